/* SPDX-License-Identifier: MIT */
/*
 * sst_kit.h: sorted entries to put into blocks and tables, a folder in memory
 * behind a fault env, and one table in it, for the tests of engine/sst.
 */
#ifndef TESTS_ENGINE_SST_SST_KIT_H
#define TESTS_ENGINE_SST_SST_KIT_H

#include <check.h>

#include "sst/block.h"
#include "sst/table.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"
#include "tests/support/walk.h"

struct entry {
	struct buf key; /* internal */
	struct buf value;
};

/* Sorted as key_compare() has it. */
struct entries {
	struct entry *list;
	size_t count, cap;
};

void entries_add(struct entries *entries, struct slice user, uint64_t seq,
                 enum key_kind kind, struct slice value);
/* `users` keys that share prefixes, with up to `versions` versions each. */
void entries_random(struct entries *entries, struct gen *gen, size_t users,
                    size_t versions, size_t value_max);
/* `count` keys of the full size, each in its own block: the index has two
 * levels. */
void entries_long_keys(struct entries *entries, size_t count);
void entries_release(struct entries *entries);
/* The index of the first entry >= target, or count. */
size_t entries_seek(const struct entries *entries, struct slice target);
struct slice entry_key(const struct entries *entries, size_t i);
struct slice entry_value(const struct entries *entries, size_t i);

/* Whether a walk from where `it` stands gives entries from..count, whole. */
bool walk_matches(struct iter *it, const struct entries *entries, size_t from);

/* Whether random moves both ways find the entries. */
bool moves_match(struct iter *it, const struct entries *entries,
                 struct gen *gen, unsigned moves);

/* What a get should give, and how far it was looked at. */
struct expected {
	const struct entries *entries;
	size_t next;
	size_t left; /* stop when this many were seen */
	bool ok;
};

bool see(void *ctx, uint64_t seq, enum key_kind kind, struct slice value);

/* Get at most `most` versions and compare; false when they are others. On an
   error what was seen before it must still be right. */
bool get_matches(struct table *table, const struct entries *entries,
                 struct slice user, uint64_t seq, size_t most,
                 enum lsm_err *err_out);

/* table_get(); a key that is too long has no versions. */
enum lsm_err get_versions(struct table *table, struct slice user, uint64_t seq,
                          key_visit_fn visit, void *ctx, bool *stopped);

/* What every test starts from. */
extern struct env *mem;
extern struct env *fault;
extern struct env_dir *pool;
extern struct cache *blocks;
extern const struct file_id table_id;
extern const struct uuid family;

void setup(void);
void teardown(void);

/* Write the table `id` of `entries`; *info is initialised. */
enum lsm_err write_table_as(struct file_id id, const struct entries *entries,
                            uint32_t block_bytes, struct table_info *info);
/* The table table_id, which must succeed; returns its size. */
uint64_t write_table(const struct entries *entries, uint32_t block_bytes);
enum lsm_err open_table(uint64_t bytes, struct table **table_out);
/* Forget all cached blocks. */
void new_block_cache(void);

/* The bytes of the table, and others in their place. */
void table_bytes(struct buf *out);
void set_table_bytes(struct slice bytes);
void remove_table(void);

void decode_footer(const struct buf *bytes, struct sst_footer *footer);
/* What the top index of the table says, at most `most` parts; returns how many
   there are. */
size_t read_parts(struct sst_part *parts, size_t most);

/* table_verify() without a report: the faults. */
uint64_t faults_of(struct table *table);

int run_suite(Suite *suite);

#endif
