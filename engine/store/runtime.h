/* SPDX-License-Identifier: MIT */
/*
 * runtime.h: what all stores of a process share: the credit pool, the caches,
 * the workers; and the list of stores, among which credit is won back.
 *
 * When a writer waits for credit, the pool kicks the runtime, which has the
 * least recently written store with a mutable byte seal its memtable, and the
 * next ones as well where that memtable is small.
 *
 * Locks: runtime->mu for the list, runtime->bucket_mu, a leaf. A store is pinned, not locked, while it
 * seals, since sealing takes outer locks; whoever closes a store waits for pins.
 */
#ifndef LSM_STORE_RUNTIME_H
#define LSM_STORE_RUNTIME_H

#include "base/cache.h"
#include <stdatomic.h>

#include "base/sync.h"
#include "compact/bucket.h"
#include "compact/worker.h"
#include "mem/credit.h"

struct lsm_runtime {
	struct lsm_runtime_options options; /* constant */
	struct credit_pool *credit;         /* own synchronization */
	struct cache *blocks;               /* own synchronization */
	struct cache *files;                /* own synchronization */
	struct worker_pool *workers;        /* own synchronization */
	struct worker_job kick;             /* the workers' */
	struct worker_job expire;           /* the workers' */
	atomic_uint_least64_t writes; /* relaxed: of another store than the last
	                                 time; what runtime_touch() counts */
	atomic_uint l0_waiting; /* stores whose L0 waits for a compaction */

	struct sync_mutex bucket_mu;
	struct bucket bucket; /* guarded by bucket_mu: of deep compactions */

	struct sync_mutex mu;
	struct sync_cond unpinned;
	/* All below: guarded by mu. */
	struct lsm *oldest, *newest; /* by when they were opened */
};

/* Add a store to the list, and take it out again (waits for its pins). */
void runtime_attach(struct lsm_runtime *runtime, struct lsm *store);
void runtime_detach(struct lsm_runtime *runtime, struct lsm *store);

/* The store was written to: it is the last to be asked for credit. */
void runtime_touch(struct lsm_runtime *runtime, struct lsm *store);

/* A flush met a full disk: look after waiters until it has room again. */
void runtime_watch_nospace(struct lsm_runtime *runtime);

#endif
