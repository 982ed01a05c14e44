/* SPDX-License-Identifier: MIT */
/*
 * pick_private.h: what the files that pick share.
 */
#ifndef LSM_COMPACT_PICK_PRIVATE_H
#define LSM_COMPACT_PICK_PRIVATE_H

#include "compact/pick.h"

enum { LAST_LEVEL = LSM_LEVELS - 1 };

/* What pick_compaction() is about; borrowed. */
struct picker {
	struct version *version;
	const struct pick_options *options;
	unsigned base_level;
	double targets[LSM_LEVELS]; /* bytes; 0 above the base level */
};

void pick_init(struct picker *picker, struct version *version,
               const struct pick_options *options);

/* The least and the greatest user key of a table; with what its range tombstones
   reach: they are to meet what they cover. */
static inline struct slice pick_smallest(const struct table_meta *meta)
{
	return key_user(buf_slice(&meta->info.smallest));
}

static inline struct slice pick_largest(const struct table_meta *meta)
{
	return table_meta_reach(meta);
}

/* The user keys from the least to the greatest of `count` >= 1 tables. */
void pick_key_bounds(struct table_meta *const *tables, size_t count,
                     struct slice *smallest_out, struct slice *largest_out);

uint64_t pick_overlap_bytes(const struct version *version, unsigned level,
                            struct slice smallest, struct slice largest);

/* The highest level from `from` >= 1 on that holds anything; the last one when
   none does. */
unsigned pick_first_used_level(const struct version *version, unsigned from);

/* L0 when it is due and has a place to go to; otherwise the level whose trigger
   is exceeded most; LSM_LEVELS when none is. */
unsigned pick_triggered_level(const struct picker *picker);

/* The longest row of small tables in L0, if it is to be merged: *count_out of
   them from *begin_out on. */
bool pick_small_run(const struct picker *picker, size_t *begin_out,
                    size_t *count_out);

#endif
