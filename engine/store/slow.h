/* SPDX-License-Identifier: MIT */
/*
 * slow.h: writers slowed down while compaction is behind.
 *
 * Below the slow lines this costs a writer one look at an atomic. Above them
 * each admission waits for its share of the rate (compact/pace.h), before any
 * lock and any credit is taken: a thread sleeps, a request is set aside and
 * goes on from a job of its own. Deletions never wait here. An admission as large
 * as SLOW_LATE_BYTES waits for the shares of others only, and its own is taken when it
 * is written: it may be far more than what reaches a memtable, of a batch whose values
 * are placed (direct.c) next to nothing.
 *
 * At the stop line of L0 no more tables are added to it: flushes are held until
 * compaction has made room, and writers then meet the end of their credit, which
 * is a place to wait that they know already. Not so while compactions fail, or
 * where credit is off: then nothing would bound memory.
 *
 * Locks: slow->mu, a leaf.
 */
#ifndef LSM_STORE_SLOW_H
#define LSM_STORE_SLOW_H

#include "base/sync.h"
#include "compact/pace.h"
#include "compact/worker.h"

enum { SLOW_LATE_BYTES = 64 << 10 };

struct slow {
	struct pace_lines lines; /* constant */
	bool off;                /* constant */
	bool holds;              /* constant: flushes may be held */

	/* Relaxed: all of them hints. */
	atomic_uint pressure;
	atomic_uint depth;
	atomic_bool failing; /* the last compaction failed */

	struct sync_mutex mu;
	/* Guarded by mu. */
	struct pace_flow flow;
	uint64_t clock_ns;
	struct slow_waiter *head, *tail; /* by the time they are due */

	struct worker_job job;
	atomic_uint_least64_t held_since_ns; /* stored by the flush job; 0: none
	                                        is held */
};

/* An admission that was set aside; in the private area of its request. */
struct slow_waiter {
	struct slow_waiter *next;
	uint64_t due_ns, since_ns;
};

void slow_init(struct lsm *store);
void slow_release(struct lsm *store); /* nobody waits */

/* What the store's tables amount to now: after each change of them. */
void slow_update(struct lsm *store, struct version *version);

/* A memtable of so many bytes is about to become a table of L0. Of a small one
   nothing is learned. */
void slow_flushed(struct lsm *store, uint64_t bytes);

/* Whether an admission would wait now. */
bool slow_would_wait(struct lsm *store);

/* Take the share of `bytes`; how long to wait for it, in ns. */
uint64_t slow_take(struct lsm *store, uint64_t bytes);

/* Take it, and sleep. Call with no lock held. */
void slow_wait(struct lsm *store, uint64_t bytes);

/* Set a waiter aside: store_slow_due() is called for it in `wait_ns`. */
void slow_defer(struct lsm *store, struct slow_waiter *waiter,
                uint64_t wait_ns);

/* Whether the flush that is due is to wait until L0 has room. Flush job only. */
bool slow_holds_flush(struct lsm *store);

/* Call for those who wait now, however long they still would have: the store
   writes no more. */
void slow_wake_all(struct lsm *store);

void slow_run(struct worker_job *job);

/* admit.c: the time of a waiter has come. */
void store_slow_due(struct slow_waiter *waiter);

#endif
