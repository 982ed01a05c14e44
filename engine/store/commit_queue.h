/* SPDX-License-Identifier: MIT */
/*
 * commit_queue.h: who writes the log next, and in which order groups become
 * visible.
 *
 * The queue is first come, first served. Its head leads: it takes the batches
 * behind it into a group, writes the log for all of them, and hands the lead on
 * to whoever is next. Then it links the entries, while the next leader may
 * write the log already. Groups are published in the order in which they were
 * logged: one that is linked before its turn waits for those before it.
 *
 *   WAITING   in the queue, behind the head
 *   LEADS     the head; owns what store.h gives to the leader. Later, in
 *             flight: logged, being linked, or waiting to be published
 *   ASLEEP    either of these, and to be woken
 *   DONE      published, or failed; the place may be gone at once
 *
 * A writer joins by one compare-and-swap, as in RocksDB's WriteThread: each
 * place knows who came before it, and the leader finds out who came after it.
 *
 * Waiting is short, mostly, and waking is dear, so who waits looks for a while,
 * and lets others run for a while, before it sleeps. Who is woken may take the processor of who wakes it: that is
 * put off until the waker has published its own, and is one call for all. A
 * writer that is stopped in between would hold up everyone.
 *
 * Locks: queue->mu, for moments.
 */
#ifndef LSM_STORE_COMMIT_QUEUE_H
#define LSM_STORE_COMMIT_QUEUE_H

#include <stdatomic.h>

#include "base/sync.h"
#include "mem/memtable.h"

enum {
	COMMIT_GROUP_MAX = 64,            /* batches of a group */
	COMMIT_GROUP_MAX_BYTES = 1 << 20, /* of a group */
	COMMIT_GROUP_SMALL_BYTES = 128
	                           << 10, /* a small leader takes on so much */
};

enum commit_state { COMMIT_WAITING, COMMIT_LEADS, COMMIT_ASLEEP, COMMIT_DONE };

/* One place in the queue; on the stack of who waits there. */
struct commit {
	struct lsm_batch *batch; /* constant; NULL: only leads */
	uint64_t taken;          /* constant: credit */
	uint64_t seq;            /* the leader's: of the batch's last entry */
	enum lsm_err err;        /* the leader's */

	struct commit *older; /* constant once entered; gone once this leads */
	struct commit *newer; /* the leader's */
	atomic_uint state;    /* an enum commit_state; the last of all that
	                         others touch */
};

/* What one leader does at once; on its stack. */
struct commit_group {
	struct commit *members[COMMIT_GROUP_MAX]; /* the leader first */
	struct slice payloads[COMMIT_GROUP_MAX];
	struct memtable_chain chains[COMMIT_GROUP_MAX];
	size_t count;
	uint64_t taken;     /* credit of all members */
	uint64_t log_bytes; /* their records */
	uint64_t last_seq;
	struct memtable *mem; /* where the entries belong */

	uint64_t ticket; /* which of all that were in flight */
	uint32_t wakes;  /* put off: as sync_word_wake() names them */

	struct commit_group *next; /* guarded by queue->mu until published */
};

struct commit_queue {
	atomic_uint_least64_t *visible; /* constant: the published sequence */

	/* The last to enter; NULL: nobody leads or waits. */
	_Atomic(struct commit *) newest;
	uint64_t logged; /* groups; the leader's */

	atomic_uint woken; /* what all sleep on */

	struct sync_mutex mu;
	struct sync_cond drained;
	/* Guarded by mu. */
	uint64_t published;          /* groups */
	struct commit_group *linked; /* before their turn, in no order */
	bool draining;
};

void commit_queue_init(struct commit_queue *queue,
                       atomic_uint_least64_t *visible);
void commit_queue_release(struct commit_queue *queue);

/* Join the queue with a batch, or without to lead alone. Returns when the place
   leads (true), or was done by another. */
bool commit_enter(struct commit_queue *queue, struct commit *place);

/* Take the leader, and what stands behind it up to the limits, into a group. */
void commit_gather(struct commit_queue *queue, struct commit *leader,
                   struct commit_group *group);

/*
 * Give up the lead. With LSM_OK the group is in flight, and ends with
 * commit_publish(); otherwise its members are done, with that error.
 */
void commit_hand_over(struct commit_queue *queue, struct commit_group *group,
                      enum lsm_err err);

/* The entries of the group are linked: return once it is visible. */
void commit_publish(struct commit_queue *queue, struct commit_group *group);

/* Give up the lead of a place without a batch. */
void commit_leave(struct commit_queue *queue, struct commit *place);

/* Wait until no group is in flight. Needs the lead. */
void commit_drain(struct commit_queue *queue);

#endif
