/* SPDX-License-Identifier: MIT */
/*
 * manifest_state.h: what a branch is at one moment, in memory: what its
 * manifest amounts to, and what the next manifest is written from.
 *
 * Threads: one at a time; the store's manifest lock.
 */
#ifndef LSM_TREE_MANIFEST_STATE_H
#define LSM_TREE_MANIFEST_STATE_H

#include "tree/table_diff.h"

enum { BRANCH_NAME_MAX_BYTES = 255 };

struct branch_identity {
	uint64_t id, parent; /* parent 0: none */
	char name[BRANCH_NAME_MAX_BYTES + 1];
	uint64_t forked_at;  /* sequence of the parent */
	uint64_t created_ns; /* since 1970 */
	bool read_only;
};

/* A branch at one moment. */
struct manifest_state {
	struct branch_identity branch;
	struct version *version; /* holds a reference; NULL: an empty one */
	struct log_ref *logs;    /* in the order of replay; owned */
	size_t log_count;
	uint64_t next_number;
	uint64_t flushed_seq;
	uint64_t horizon; /* at most flushed_seq; 0: none */
	int64_t counters[LSM_COUNTERS];
	struct file_id list; /* the base list; number 0: none, the empty list */
	struct edit_removal *list_tables; /* what the base list holds, sorted by
	                                     id; owned */
	size_t list_table_count;
	/* In which tables the branch differs from it. */
	struct table_diff diff;
	bool treeless; /* the list was not read: of the tables only the
	                  difference is known, and version is empty */
	uint64_t manifest_number; /* of the one in force; 0: none yet */
	struct buf base; /* the fork point (manifest_base.h); empty: none */
};

void manifest_state_init(struct manifest_state *state);
void manifest_state_release(struct manifest_state *state);
/* A deep copy (the version is shared). Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
manifest_state_copy(const struct manifest_state *from,
                    struct manifest_state *to_out);

/*
 * Apply an edit to the state: version, logs, numbers, counters, horizon. On
 * error the state is unchanged. Errors: those of edit_apply(), CORRUPT (a log
 * that is unknown or known twice, a horizon that goes back or lies ahead of what
 * is flushed).
 */
LSM_MUST_CHECK enum lsm_err manifest_state_apply(struct manifest_state *state,
                                                 const struct edit *edit);

/* Make the tables of state->version the contents of its base list, `id`.
   Errors: NOMEM; the state is unchanged. */
LSM_MUST_CHECK enum lsm_err
manifest_state_set_list(struct manifest_state *state, struct file_id id);

/* A copy of the ids in the base list, sorted, to be freed; NULL: no memory. */
struct file_id *manifest_state_listed(const struct manifest_state *state);

/* Add all tables of the state to the edit. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
manifest_state_add_tables(const struct manifest_state *state,
                          struct edit *edit);

/*
 * Put into *edit, initialised here, all in which the state differs from its
 * base list: tables, logs, numbers, counters, horizon. Released on error. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
manifest_state_diff(const struct manifest_state *state, struct edit *edit);

#endif
