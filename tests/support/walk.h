/* SPDX-License-Identifier: MIT */
/*
 * walk.h: random moves, both ways, of an iterator over internal keys, compared
 * with a sorted array.
 */
#ifndef TESTS_SUPPORT_WALK_H
#define TESTS_SUPPORT_WALK_H

#include "base/iter.h"
#include "tests/support/gen.h"

struct walk_entry {
	struct slice key, value; /* an internal key */
};

/* Make `moves` moves and compare after each; false, with a line on stderr, where
   the iterator stands elsewhere or has failed. `entries` ascend. */
bool walk_both_ways(struct iter *it, const struct walk_entry *entries,
                    size_t count, struct gen *gen, unsigned moves);

#endif
