/* SPDX-License-Identifier: MIT */
/*
 * number.h: inode numbers, never given twice.
 *
 * A directory hands its children neighbouring numbers, so that what is used
 * together lies in the same blocks: it has a window of 64 numbers, and when
 * that is used up one of twice as many, up to 4,096. The table of windows is
 * bounded: a directory whose place is taken by another gets a new window next
 * time, and the rest of the old one is never used.
 *
 * The counter in the store says up to where numbers may be in use. A number
 * past it may be used only by the batch that moves the counter, or after it. So
 * whoever takes the first such number moves the counter, by a large step, and
 * those who come meanwhile wait until that batch is written or was given up.
 * Whoever moves it waits for nothing but the write, for it has its credit
 * and all its inode locks by then.
 *
 * Threads: any. Locks: the pool's mutex, a leaf; nothing is locked under it.
 */
#ifndef SHALEFS_FS_NUMBER_H
#define SHALEFS_FS_NUMBER_H

#include "base/sync.h"

enum {
	NUMBER_WINDOWS = 1024,
	NUMBER_WINDOW_MIN = 64,
	NUMBER_WINDOW_MAX = 4096,
	NUMBER_STEP = 16384, /* by which the counter moves */
	NUMBER_RANK = 85,
};

struct number_window {
	uint64_t dir; /* 0: unused */
	uint64_t next, end;
	uint32_t size;
};

struct number_pool {
	struct sync_mutex mutex;
	struct sync_cond changed; /* the counter was moved, or was not */

	/* Guarded by mutex. */
	uint64_t next;    /* the first that is in no window */
	uint64_t counted; /* numbers below are covered by the counter */
	bool moving;      /* a batch that moves the counter is under way */
	struct number_window windows[NUMBER_WINDOWS];
};

/* `first`: the smallest number that was surely never used. */
void number_pool_init(struct number_pool *pool, uint64_t first);
void number_pool_release(struct number_pool *pool);

/*
 * Take a number for a child of `dir`. *delta_out is what to add to the counter
 * in the batch that uses it; if not 0, number_settle() must follow. Call it
 * with credit and inode locks taken. Errors: ENOSPC (all are used up).
 */
int number_take(struct number_pool *pool, uint64_t dir, uint64_t *ino_out,
                uint64_t *delta_out);

/* Tell how the batch with `delta` ended. */
void number_settle(struct number_pool *pool, uint64_t delta, bool written);

#endif
