/* SPDX-License-Identifier: MIT */
/*
 * manifest_names.h: which files of the pool a manifest names, without building
 * the tree: what is kept of a branch that is not open.
 *
 * A store may have ten thousand branches that share a base list. So the tables
 * of a branch are told as what its manifest changes in that list.
 *
 * Threads: one at a time.
 */
#ifndef LSM_TREE_MANIFEST_NAMES_H
#define LSM_TREE_MANIFEST_NAMES_H

#include "tree/manifest.h"

struct table_change {
	struct file_id id;
	uint32_t order; /* in which it was made */
	bool added;
};

/* The base list, and what was added to it and removed from it. */
struct manifest_files {
	struct file_id list; /* number 0: none */
	struct table_change *changes;
	size_t change_count, change_cap;
	struct file_id *logs; /* in the order of replay */
	size_t log_count, log_cap;
};

void manifest_files_init(struct manifest_files *files);
void manifest_files_release(struct manifest_files *files);

/* Errors: NOMEM, CORRUPT (a log that is unknown or known twice). */
LSM_MUST_CHECK enum lsm_err manifest_files_apply(struct manifest_files *files,
                                                 const struct edit *edit);

/* What a state, and (where there is one) its fork point, names; initialised
   here, released on error. Errors: NOMEM, CORRUPT. */
LSM_MUST_CHECK enum lsm_err
manifest_files_of_state(const struct manifest_state *state,
                        struct manifest_files *now_out,
                        struct manifest_files *base_out);

/* The same of a fork point alone (manifest_base.h). */
LSM_MUST_CHECK enum lsm_err
manifest_files_of_base(struct slice base, struct manifest_files *files_out);

/*
 * Of `changes`, sorted here: ids that are there at last and that the base list,
 * `listed` (sorted), does not have: to the front of `changes`, *added_out of
 * them. The indexes into `listed` of those that are gone at last: to `removed`,
 * with room for change_count, ascending.
 */
void manifest_files_resolve(struct manifest_files *files,
                            const struct file_id *listed, size_t listed_count,
                            size_t *added_out, uint32_t *removed,
                            size_t *removed_out);

struct manifest_names {
	struct branch_identity branch;
	uint64_t manifest_number;
	bool settled; /* surely durable as it was read */
	bool has_base;
	struct manifest_files now, base;
};

/* As manifest_recover(). */
LSM_MUST_CHECK enum lsm_err
manifest_names_read(const struct manifest_place *place, uint64_t branch_id,
                    struct manifest_names *names_out);
void manifest_names_release(struct manifest_names *names);

/* The ids in the base list `id`, sorted; to be freed. Errors: as
   manifest_recover(). */
LSM_MUST_CHECK enum lsm_err
manifest_list_read(const struct manifest_place *place, struct file_id id,
                   struct file_id **tables_out, size_t *count_out);

#endif
