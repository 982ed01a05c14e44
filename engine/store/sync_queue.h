/* SPDX-License-Identifier: MIT */
/*
 * sync_queue.h: who syncs the logs next, and for whom.
 *
 * Syncs are rounds, one at a time. Who wants to have something durable waits for
 * the end of the next round, or of the running one if that began late enough. One
 * of those who wait for a round leads it.
 *
 *   begun == ended   no round runs: the next begins once somebody leads it
 *   begun > ended    one runs
 *
 * A sync costs the same for one as for many. Writers who commit again and again
 * come back soon after the round that they waited for: if the next began with the
 * first of them, the others would just miss it. So it is put off until as many
 * wait as were released or wait already, for as long as the last sync took at most.
 * The last of them leads at once; the first keeps watch over the deadline. Where
 * they do not come back that is not tried again for a growing number of rounds.
 *
 * Who waits sleeps on a word and is woken with all others of its round by one
 * call, without a mutex to be taken by each.
 *
 * Locks: queue->mu, for moments.
 */
#ifndef LSM_STORE_SYNC_QUEUE_H
#define LSM_STORE_SYNC_QUEUE_H

#include <stdatomic.h>

#include "base/sync.h"

struct sync_queue {
	atomic_uint_least64_t *visible; /* constant: the published sequence */
	uint64_t gather_most_ns; /* constant: nobody is waited for any longer */

	struct sync_mutex mu;
	atomic_uint words[2]; /* slept on, by the low bit of the round; changed
	                         under mu */

	/* Guarded by mu; atomic ones may be read without, and are stored with
	   release. */
	atomic_uint_least64_t durable; /* sequence */
	atomic_uint_least64_t ended;   /* rounds */
	uint64_t begun;
	uint64_t covers;   /* sequence that the running round makes durable */
	unsigned taken;    /* who wait for the running round, its leader too */
	unsigned waiting;  /* for the one after */
	unsigned expected; /* so many are waited for before it begins */
	unsigned misses;   /* times in a row that they did not come */
	unsigned skips;    /* rounds that begin without */
	bool kept;         /* somebody keeps watch over the deadline */
	uint64_t begun_ns; /* when the running round began */
	uint64_t deadline_ns; /* nobody is waited for any longer */
};

void sync_queue_init(struct sync_queue *queue, atomic_uint_least64_t *visible);
void sync_queue_release(struct sync_queue *queue);

uint64_t sync_queue_durable(const struct sync_queue *queue);

/* Note that everything up to `seq` is durable. */
void sync_queue_note(struct sync_queue *queue, uint64_t seq);

/*
 * Wait until everything up to `seq`, which is visible, is durable: false. True:
 * the caller leads a round: it syncs the logs as they are from now on, calls
 * sync_queue_end(), and unless that failed comes back.
 */
bool sync_queue_enter(struct sync_queue *queue, uint64_t seq);

/* The end of the round that the caller led, and whether it succeeded. */
void sync_queue_end(struct sync_queue *queue, bool synced);

#endif
