/* SPDX-License-Identifier: MIT */
/*
 * lane.h: threads that work through one queue of jobs, in order of arrival.
 *
 * The daemon has two lanes. What holds credit already goes to the quick one,
 * whose jobs never wait for credit; what may wait for it, or for a disk, goes
 * to the slow one. Were they one, every thread could be waiting for credit that
 * only a job behind it in the queue can spend.
 *
 * Threads: lane_push() from any, also from the engine's; lane_close() from one,
 * once nothing is pushed any more from elsewhere than the lane's own jobs.
 * Locks: lane->mu, a leaf.
 */
#ifndef SHALEFS_DAEMON_LANE_H
#define SHALEFS_DAEMON_LANE_H

#include "lsm.h"

struct lane;

/* Embedded in what is queued; `run` may free it. */
struct lane_job {
	void (*run)(struct lane_job *job);
	struct lane_job *next; /* the lane's */
};

/* `name` as for sync_thread_start(). Errors: ENOMEM. End with lane_close(). */
LSM_MUST_CHECK int lane_open(const char *name, unsigned threads,
                             struct lane **lane_out);

/* Run what is queued, stop the threads, free. NULL is allowed. */
void lane_close(struct lane *lane);

/* Never fails and never waits. */
void lane_push(struct lane *lane, struct lane_job *job);

#endif
