/* SPDX-License-Identifier: MIT */
/*
 * ilock.h: exclusive locks on inodes, taken in sets.
 *
 * An operation names all inodes it will change, and gets them in ascending
 * order, so that two operations never wait for each other in a circle. An
 * inode lock is a state, not a mutex: the lock is held by whoever stands first
 * in the queue for that number. The mutex of a stripe guards its queue only for
 * the moment of coming and going, and no mutex is held along with an inode
 * lock. Queues are first come, first served.
 *
 * Nothing is allocated: the places in the queues are in the caller's set, which
 * must stay where it is from ilock_acquire() to ilock_release().
 *
 * An operation takes one set at a time, after its credit. Number 0 is no inode:
 * it stands for the right to move directories between parents, and as the
 * smallest number it comes first in the order.
 *
 * Threads: any; a set belongs to one thread.
 */
#ifndef SHALEFS_FS_ILOCK_H
#define SHALEFS_FS_ILOCK_H

#include "base/sync.h"

enum {
	ILOCK_STRIPES = 64,
	ILOCK_SET_MAX =
	    5, /* of a rename: two parents, two inodes, ILOCK_MOVE */
	ILOCK_MOVE = 0,
	ILOCK_RANK = 80,
};

struct ilock_place {
	uint64_t ino;
	struct ilock_place *next; /* guarded by the stripe's mutex */
};

struct ilock_stripe {
	struct sync_mutex mutex;
	struct sync_cond changed;
	struct ilock_place *first; /* guarded by mutex; oldest first */
};

struct ilock_table {
	struct ilock_stripe stripes[ILOCK_STRIPES];
};

struct ilock_set {
	struct ilock_place places[ILOCK_SET_MAX]; /* by ascending number */
	size_t count;
	bool held;
};

void ilock_table_init(struct ilock_table *table);
void ilock_table_release(struct ilock_table *table); /* none held */

void ilock_set_init(struct ilock_set *set);
/* Name an inode; naming it again changes nothing. The set is not held. */
void ilock_set_add(struct ilock_set *set, uint64_t ino);

/* Wait until all are held. */
void ilock_acquire(struct ilock_table *table, struct ilock_set *set);

/* Take all, or none when any would have to be waited for. */
LSM_MUST_CHECK bool ilock_try(struct ilock_table *table, struct ilock_set *set);

/* Let go of all; nothing when the set is not held. */
void ilock_release(struct ilock_table *table, struct ilock_set *set);

#endif
