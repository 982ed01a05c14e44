/* SPDX-License-Identifier: MIT */
/*
 * branches.h: the branches of a store, open or not, and the files that those
 * which are not open name.
 *
 * A store may have ten thousand branches, so one that is not open costs little:
 * its identity, a reference to a base list that it shares with others, and what
 * it changes in that list. A table of the list is counted once in the pool for as
 * long as any user of the list still has it.
 *
 * States of a branch (guarded by home->mu):
 *   IDLE      -> MAKING    lsm_branch_create() registers it before it is on disk
 *   IDLE      -> OPENING   lsm_branch_open(); it may wait for credit
 *   IDLE      -> LANDING   a table takes a log's place in its manifest
 *   IDLE      -> FLUSHING  an open branch flushes a memtable that it shares
 *   IDLE      -> READING   its manifest is read by lsm_verify()
 *   IDLE      -> CLOSING   the end of lsm_close()
 *   IDLE      -> DELETING  lsm_branch_delete()
 * Each belongs to one thread, which goes back to IDLE, or takes the branch out.
 * Nobody holds two; who holds one waits for no other, nor (but for OPENING) for
 * credit or a flush. So landing, which does wait for others, skips OPENING.
 *
 * Locks: home->mu, which each function takes unless it says that it needs it.
 */
#ifndef LSM_STORE_BRANCHES_H
#define LSM_STORE_BRANCHES_H

#include "store/home.h"
#include "tree/manifest_names.h"

/* The tables of a base list, and how many users of it have removed each. */
struct base_list {
	struct link link;
	struct file_id id;      /* constant */
	struct file_id *tables; /* constant, sorted */
	size_t count;           /* constant */
	/* home->mu: */
	size_t refs;  /* file_sets that name it */
	size_t users; /* of those, pinned */
	uint32_t *removed_by;
	size_t removed_total;
};

/* Files that a branch names, each counted in the pool while it is pinned. */
struct file_set {
	struct base_list *list; /* NULL: none */
	struct file_id *added;
	size_t added_count;
	uint32_t *removed; /* indexes into the list, ascending */
	size_t removed_count;
	bool pinned;
};

enum branch_state {
	BRANCH_IDLE,
	BRANCH_MAKING,
	BRANCH_OPENING,
	BRANCH_LANDING,
	BRANCH_FLUSHING,
	BRANCH_READING,
	BRANCH_CLOSING,
	BRANCH_DELETING,
};

struct branch {
	struct link by_id, by_name;
	/* Constant. */
	uint64_t id, parent, forked_at, created_ns;
	bool read_only;
	char *name;
	uint64_t manifest_number; /* as it was read */
	bool settled;             /* surely durable as it was read */
	/* home->mu: */
	enum branch_state state;
	size_t children;
	struct lsm *lsm;      /* NULL: not open, or CLOSING without pins */
	unsigned pins;        /* of lsm: it is not closed meanwhile */
	struct file_set now;  /* pinned while it is not open for writing */
	struct file_set base; /* the fork point; always pinned */
	/* Logs that it names and that are not its own to flush: while it is open,
	   those of memtables that it shares; otherwise all. Each is counted. */
	struct file_id *logs;
	size_t log_count;
	struct branch *newer, *older; /* of those that have such logs */
	uint64_t round;               /* the last that looked at it */
};

/* The branch at a place of home->by_id. */
#define BRANCH_OF(link)                                                        \
	((struct branch *)(void *)((char *)(link)-offsetof(struct branch,      \
	                                                   by_id)))

/* ---- the registry ---------------------------------------------------------- */

/* With the tables of a home that has no branches yet. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err branches_init(struct home *home);
/* Frees all; counts are left as they are, since the pool goes too. */
void branches_release(struct home *home);

/* A branch of its own, not registered. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
branch_create(const struct branch_identity *identity,
              struct branch **branch_out);
void branch_destroy(struct branch *branch); /* NULL is allowed */

/* Register it. Needs home->mu. Errors: EXISTS (name or id). */
LSM_MUST_CHECK enum lsm_err branch_add(struct home *home,
                                       struct branch *branch);
/* Take it out and destroy it: what it pins is let go. */
void branch_remove(struct home *home, struct branch *branch);

/* NULL where there is none. Needs home->mu. */
struct branch *branch_find(struct home *home, const char *name);
struct branch *branch_find_id(struct home *home, uint64_t id);

/* The branch `name`, waited for until it is IDLE, as `state`. Errors:
   NOT_FOUND. */
LSM_MUST_CHECK enum lsm_err branch_claim(struct home *home, const char *name,
                                         enum branch_state state,
                                         struct branch **branch_out);

/* Wait until it is IDLE and make it `state`; needs home->mu, which is let go
   meanwhile, so the caller knows that the branch stays: it has it open. */
void branch_enter(struct home *home, struct branch *branch,
                  enum branch_state state);
void branch_leave(struct home *home, struct branch *branch); /* back to IDLE */

/* ---- files ------------------------------------------------------------------ */

/*
 * Have the branch pin the files of its present state and of its fork point (NULL:
 * as before), and let go of those it pinned before. `listed` (NULL allowed) knows
 * the base list of `now`. Without memory for the counts the pool keeps all.
 * Errors: those of reading a base list; the branch is as before.
 */
LSM_MUST_CHECK enum lsm_err branch_pin(struct home *home, struct branch *branch,
                                       struct manifest_files *now,
                                       struct manifest_files *base,
                                       const struct manifest_state *listed);
/* The same for what a state names, its logs too. */
LSM_MUST_CHECK enum lsm_err
branch_pin_state(struct home *home, struct branch *branch,
                 const struct manifest_state *state);
/* Pin the fork point of a state anew. Errors: as branch_pin(). */
LSM_MUST_CHECK enum lsm_err
branch_pin_base(struct home *home, struct branch *branch, struct slice base);
/* It is open now: its own version holds the files of its present state. */
void branch_unpin_now(struct home *home, struct branch *branch);

/* Replace its logs. Errors: NOMEM; as before. */
LSM_MUST_CHECK enum lsm_err branch_set_logs(struct home *home,
                                            struct branch *branch,
                                            const struct file_id *logs,
                                            size_t count);
/* Its first log was replaced by tables. */
void branch_drop_log(struct home *home, struct branch *branch,
                     struct file_id id);

#endif
