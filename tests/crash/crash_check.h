/* SPDX-License-Identifier: MIT */
/*
 * crash_check.h: whether a recovered store is one of the model's states, and
 * owns no stray file.
 *
 * The checks return false with a sentence in `why`, and never assert: they run
 * where a failure is asked for, too.
 */
#ifndef TESTS_CRASH_CRASH_CHECK_H
#define TESTS_CRASH_CRASH_CHECK_H

#include "tests/crash/crash_kit.h"

/* How many batches a store may hold. */
struct kit_bounds {
	size_t least, most;
};

/* Whether the open store is a prefix within the bounds; *prefix_out (NULL
   allowed) says which. */
bool kit_compare(struct lsm *store, const struct kit_model *model,
                 struct kit_bounds bounds, size_t *prefix_out,
                 struct kit_why *why);

/* The same of a store that may be damaged: what cannot be read must say
   CORRUPT, and whatever can must be right. */
bool kit_compare_or_error(struct lsm *store, const struct kit_model *model,
                          struct kit_bounds bounds, struct kit_why *why);

/* Whether the pool of the closed store holds what its manifest names and
   nothing else, and its branch no file but CURRENT and that manifest. */
bool kit_no_leftovers(const struct env *env, const char *path,
                      struct kit_why *why);

/*
 * Open, compare, close, look for leftovers; when `go_on`, the next batch is
 * written in between, and the store is opened and compared once more.
 */
bool kit_check_store(const struct env *env, const char *path,
                     const struct kit_model *model, struct kit_bounds bounds,
                     bool go_on, size_t *prefix_out, struct kit_why *why);

bool kit_folder_exists(const struct env *env, const char *path);

#endif
