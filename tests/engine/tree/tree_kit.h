/* SPDX-License-Identifier: MIT */
/*
 * tree_kit.h: versions in an array, an iterator over them that can be told to
 * fail, a fold function, and table metas, for the tests of engine/tree.
 *
 * What goes wrong in here ends the process: no test can go on without.
 */
#ifndef TESTS_ENGINE_TREE_TREE_KIT_H
#define TESTS_ENGINE_TREE_TREE_KIT_H

#include <check.h>

#include "base/iter.h"
#include "tests/support/walk.h"
#include "tree/fold.h"
#include "tree/version.h"

struct entry {
	struct buf key; /* internal */
	struct buf value;
};

struct entries {
	struct entry *all;
	size_t count, cap;
};

void entries_init(struct entries *entries);
void entries_release(struct entries *entries);
void entries_add(struct entries *entries, struct slice user, uint64_t seq,
                 enum key_kind kind, struct slice value);
void entries_add_text(struct entries *entries, const char *user, uint64_t seq,
                      enum key_kind kind, const char *value);
void entries_sort(struct entries *entries);
/* What an iterator yields from seek_first on, until it ends. */
void entries_collect(struct entries *entries, struct iter *it);
/* Whether random moves both ways find entries [begin, end). */
bool moves_match(struct iter *it, const struct entries *entries, size_t begin,
                 size_t end, struct gen *gen, unsigned moves);
bool entries_equal(const struct entries *a, const struct entries *b);

enum { NEVER = -1 };

/* Over sorted, borrowed entries; ends with IO where it would stand on entry
   `fail_at`. */
struct iter *entries_iter(const struct entries *entries, long fail_at);
/* How many of those have not been destroyed. */
extern int iters_alive;

/*
 * A fold function: the bytes of the base, if any, then those of the operands,
 * oldest first. An operand that begins with '!' is CORRUPT.
 */
enum lsm_err append_fold(void *ctx, struct slice key, bool has_base,
                         const struct slice *base, const struct slice *operands,
                         size_t count, struct buf *value);
extern const struct fold_fn append_fn;

/* Adoptions and drops of tables by number. */
enum { TALLY_NUMBERS = 4096 };
struct tally {
	int adopted[TALLY_NUMBERS];
	int dropped[TALLY_NUMBERS];
};
void tally_adopted(void *ctx, struct file_id id);
struct table_owner tally_owner(struct tally *tally);
/* Each table was dropped once for each time it was adopted. */
bool tally_is_even(const struct tally *tally);

enum { CREATOR = 0x51 };

/* A meta that no file stands behind: of [smallest, largest], with sequences
   max_seq - 5 (or 0) to max_seq. One reference. */
struct table_meta *make_meta(uint64_t number, const char *smallest,
                             const char *largest, uint64_t max_seq,
                             struct table_owner owner);

/* Run the suite; main() returns what this does. */
int run_suite(Suite *suite);

#endif
