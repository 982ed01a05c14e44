/* SPDX-License-Identifier: MIT */
/*
 * fork.h: what every fork begins with, be it a branch of the same store or an
 * export: everything acknowledged is sealed, captured and durable.
 *
 *  1. Seal the memtable and its log; nothing is written out.
 *  2. Capture, under the manifest's lock: the version, the sealed generations,
 *     the base list. Their files cannot go while they are held.
 *  3. Sync the sealed logs.
 */
#ifndef LSM_STORE_FORK_H
#define LSM_STORE_FORK_H

#include "store/branches.h"
#include "store/store.h"

struct fork {
	struct lsm *store;
	struct manifest_state state; /* of the child: files, logs, sequence */
	struct view *view;           /* its sealed generations are the logs */
	struct file_id list;         /* held in the pool; number 0: none */
	size_t pinned_logs;          /* so many of these, from the first on */
	uint64_t sequence;           /* the child holds everything up to here */
};

/*
 * Begin. `child` (NULL allowed), in the state MAKING, is registered along with
 * what it pins, so that flushes land in it. Takes the lead of the commit queue,
 * manifest_mu, home->mu. Call fork_end() also on failure.
 * Errors: those of sealing, EXISTS (the child's name), POISONED (a log could not
 * be synced), NOMEM.
 */
LSM_MUST_CHECK enum lsm_err fork_begin(struct fork *fork, struct lsm *store,
                                       struct branch *child,
                                       bool *registered_out);
void fork_end(struct fork *fork);

#endif
