/* SPDX-License-Identifier: MIT */
/*
 * edit.h: one change of what makes up a branch: encode, decode, apply.
 */
#ifndef LSM_TREE_EDIT_H
#define LSM_TREE_EDIT_H

#include "tree/version.h"

/* A log whose records are not, or not all, in tables. */
struct log_ref {
	struct file_id id;
	uint64_t promised_upto; /* bytes known to be durable; 0: none */
};

struct edit_table {
	uint8_t level;
	struct table_meta *meta; /* holds a reference */
};

struct edit_removal {
	uint8_t level;
	struct file_id id;
};

/* Arrays own their memory; absent things have count 0 or has_ false. */
struct edit {
	struct edit_table *added;
	size_t added_count, added_cap;
	struct edit_removal *removed;
	size_t removed_count, removed_cap;
	struct log_ref *logs_added;
	size_t logs_added_count, logs_added_cap;
	struct file_id *logs_removed;
	size_t logs_removed_count, logs_removed_cap;
	bool has_next_number;
	uint64_t next_number; /* file numbers below it may be in use */
	bool has_flushed;
	uint64_t flushed_seq;           /* everything up to here is in tables */
	int64_t counters[LSM_COUNTERS]; /* their values at flushed_seq */
	bool has_horizon;
	uint64_t horizon; /* what was before it need not be readable */
};

void edit_init(struct edit *edit);
void edit_release(struct edit *edit);

/* Bytes of the tables that it adds. */
uint64_t edit_added_bytes(const struct edit *edit);

/* Each takes a reference of its own. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err edit_add_table(struct edit *edit, unsigned level,
                                           struct table_meta *meta);
LSM_MUST_CHECK enum lsm_err edit_remove_table(struct edit *edit, unsigned level,
                                              struct file_id id);
LSM_MUST_CHECK enum lsm_err edit_add_log(struct edit *edit, struct log_ref log);
LSM_MUST_CHECK enum lsm_err edit_remove_log(struct edit *edit,
                                            struct file_id id);

/* Append the bytes of the edit to *out. Errors: NOMEM; *out is as before. */
LSM_MUST_CHECK enum lsm_err edit_encode(const struct edit *edit,
                                        struct buf *out);

/*
 * Decode. `edit` is initialised here and released on error. Every meta that is
 * made belongs to `owner`; `adopted` (NULL allowed) is called with owner.ctx
 * and its id before it can be dropped. Errors: CORRUPT (not logged: the caller
 * knows the file), NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
edit_decode(struct slice bytes, struct table_owner owner,
            void (*adopted)(void *ctx, struct file_id id), struct edit *edit);

/*
 * A new version: `base` with the tables of `edit` removed and added. A trivial
 * move is a removal and an addition of the same id.
 * Errors: CORRUPT (a removal of what is not there, an addition of what is, an
 * overlap in a level >= 1; not logged), NOMEM.
 */
LSM_MUST_CHECK enum lsm_err edit_apply(const struct version *base,
                                       const struct edit *edit,
                                       struct version **version_out);

#endif
