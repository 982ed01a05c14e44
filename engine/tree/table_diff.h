/* SPDX-License-Identifier: MIT */
/*
 * table_diff.h: in which tables a branch differs from its base list, kept up to
 * date with every edit: so that a fork, which writes just that, need not look at
 * all tables.
 *
 * Threads: one at a time.
 */
#ifndef LSM_TREE_TABLE_DIFF_H
#define LSM_TREE_TABLE_DIFF_H

#include "tree/edit.h"

/* Both sorted by id. A table that changed its level is in both. */
struct table_diff {
	struct edit_table *added; /* hold references */
	size_t added_count;
	struct edit_removal *removed; /* of what the base list has */
	size_t removed_count;
};

void table_diff_release(struct table_diff *diff); /* empty afterwards */

/* Put into *to, which comes empty, the difference `from` after `edit`, which has
   been found to fit. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err table_diff_after(const struct table_diff *from,
                                             const struct edit *edit,
                                             struct table_diff *to);

/* Add it to an edit. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err table_diff_tell(const struct table_diff *diff,
                                            struct edit *edit);

#endif
