/* SPDX-License-Identifier: MIT */
/*
 * worker.h: background threads in lanes, each with a queue of jobs.
 *
 * A job is a struct that its owner embeds; it is queued once at most, may ask to
 * run again later, and is cancelled before its owner goes. Flushes, compactions,
 * upkeep and deletions have lanes of their own, so that a long compaction never
 * keeps a flush waiting, nor either of them a log sync, nor a row of large files
 * that are to be deleted the log that writers need next.
 *
 * States of a job (guarded by the pool's mutex):
 *   IDLE     -> QUEUED   worker_submit()
 *   QUEUED   -> RUNNING  a thread takes it once it is due
 *   RUNNING  -> IDLE     run() returned, nothing was submitted meanwhile
 *   RUNNING  -> QUEUED   submitted again while it ran
 *   any      -> CANCELLED worker_cancel(), final; after RUNNING has ended
 *
 * Threads: any function from any thread; worker_cancel() not from the job's own
 * run(). Locks: the pool's mutex; run() is called with no lock held.
 */
#ifndef LSM_COMPACT_WORKER_H
#define LSM_COMPACT_WORKER_H

#include "lsm.h"

enum worker_lane {
	WORKER_FLUSH,
	WORKER_COMPACT,
	WORKER_UPKEEP, /* log syncs, spare logs, timers */
	WORKER_DELETE, /* files that nothing names */
	WORKER_PROMPT, /* what never blocks: those who were made to wait */
	WORKER_LANES,
};

/* How much threads of a lane give way to those who want an answer (nice(2));
   others do not. No more than leaves them a fair part of a processor beside
   other programs: who has given way cannot take it back without privileges, and
   writers end up waiting for these threads. */
enum {
	WORKER_FLUSH_NICE = 2, /* writers may be waiting for credit */
	WORKER_COMPACT_NICE = 5,
	WORKER_DELETE_NICE = 10,
};

struct worker_pool;

struct worker_job {
	void (*run)(struct worker_job *job); /* constant */
	enum worker_lane lane;               /* constant */
	/* All below: the pool's. */
	struct worker_job *next;
	uint64_t due_ns;
	int state;
	bool again;
	uint64_t again_due_ns;
};

/* `threads` for each lane, 1 to 16. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
worker_pool_create(const unsigned threads[WORKER_LANES],
                   struct worker_pool **pool_out);
/* Stops the threads. Every job is idle or cancelled. NULL is allowed. */
void worker_pool_destroy(struct worker_pool *pool);

void worker_job_init(struct worker_job *job, enum worker_lane lane,
                     void (*run)(struct worker_job *job));

/*
 * Have the job run once, `delay_ms` from now at the earliest. If it is queued
 * already, the earlier time counts; while it runs it is queued anew. A cancelled
 * job is ignored.
 */
void worker_submit(struct worker_pool *pool, struct worker_job *job,
                   uint32_t delay_ms);

/* Take the job out of the queue, or wait until it has run; it never runs again
   until worker_job_init(). */
void worker_cancel(struct worker_pool *pool, struct worker_job *job);

/* How many jobs of a lane run, or are due and wait for a thread. */
unsigned worker_busy(struct worker_pool *pool, enum worker_lane lane);

#endif
