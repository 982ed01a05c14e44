/* SPDX-License-Identifier: MIT */
/*
 * worker.c: one queue for each lane, in the order in which jobs are due, and
 * equal ones first come first served.
 *
 * Liveness: while a queue holds a job and a thread of its lane sleeps, one of
 * the sleepers wakes when the head is due at the latest. A submission signals
 * one sleeper, which then looks at the head anew; whoever takes the head and
 * leaves others behind signals the next.
 */
#include "compact/worker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"

enum {
	THREADS_MAX = 16, /* of one lane */
	NS_PER_MS = 1000000,
};

enum job_state {
	JOB_IDLE,
	JOB_QUEUED,
	JOB_RUNNING,
	JOB_CANCELLING, /* running, and waited for by worker_cancel() */
	JOB_CANCELLED,
};

struct lane {
	struct worker_pool *pool; /* constant */
	int nice;                 /* constant */
	struct sync_cond work;    /* the head changed, or the pool stops */
	struct worker_job *head;  /* guarded by pool->mu; soonest first */
	unsigned running;         /* guarded by pool->mu */

	/* Constant while any thread runs. */
	struct sync_thread threads[THREADS_MAX];
	unsigned thread_count;
};

struct worker_pool {
	struct sync_mutex mu;
	struct sync_cond cancelled; /* a job became CANCELLED */
	bool stopping;              /* guarded by mu */
	struct lane lanes[WORKER_LANES];
};

/* Behind all jobs that are due at the same time or before. */
static void enqueue(struct lane *lane, struct worker_job *job, uint64_t due_ns)
{
	struct worker_job **at = &lane->head;

	sync_assert_held(&lane->pool->mu);
	while (*at != NULL && (*at)->due_ns <= due_ns)
		at = &(*at)->next;
	job->due_ns = due_ns;
	job->next = *at;
	job->state = JOB_QUEUED;
	*at = job;
	sync_signal(&lane->work);
}

static void dequeue(struct lane *lane, struct worker_job *job)
{
	struct worker_job **at = &lane->head;

	sync_assert_held(&lane->pool->mu);
	while (*at != job) {
		assert(*at != NULL);
		at = &(*at)->next;
	}
	*at = job->next;
	job->next = NULL;
}

/* Wait for a job that is due and take it; NULL when the pool stops. */
static struct worker_job *take(struct lane *lane)
{
	struct worker_pool *pool = lane->pool;
	struct worker_job *job;

	for (;;) {
		if (pool->stopping)
			return NULL;
		job = lane->head;
		if (job == NULL)
			sync_wait(&lane->work, &pool->mu);
		else if (job->due_ns > sync_now_ns())
			(void)sync_wait_until(&lane->work, &pool->mu,
			                      job->due_ns);
		else
			break;
	}
	dequeue(lane, job);
	if (lane->head != NULL)
		sync_signal(&lane->work);
	return job;
}

/* After this the job is not touched, unless it is in the queue: its owner may
   have waited for just that to free it. */
static void finish(struct lane *lane, struct worker_job *job)
{
	if (job->state == JOB_CANCELLING) {
		job->state = JOB_CANCELLED;
		sync_broadcast(&lane->pool->cancelled);
	} else if (job->again) {
		enqueue(lane, job, job->again_due_ns);
	} else {
		job->state = JOB_IDLE;
	}
}

static void lane_main(void *ctx)
{
	struct lane *lane = ctx;
	struct worker_pool *pool = lane->pool;
	struct worker_job *job;

	if (lane->nice > 0)
		sync_give_way(lane->nice);
	sync_lock(&pool->mu);
	while ((job = take(lane)) != NULL) {
		job->state = JOB_RUNNING;
		job->again = false;
		lane->running++;
		sync_unlock(&pool->mu);
		job->run(job);
		sync_lock(&pool->mu);
		lane->running--;
		finish(lane, job);
	}
	sync_unlock(&pool->mu);
}

static enum lsm_err start_threads(struct lane *lane, const char *what,
                                  unsigned count)
{
	char name[16];
	enum lsm_err err;

	assert(count >= 1 && count <= THREADS_MAX);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "lsm-%s-%u", what, i % 100);
		err =
		    sync_thread_start(&lane->threads[i], name, lane_main, lane);
		if (err != LSM_OK)
			return err;
		lane->thread_count = i + 1;
	}
	return LSM_OK;
}

enum lsm_err worker_pool_create(const unsigned threads[WORKER_LANES],
                                struct worker_pool **pool_out)
{
	static const struct {
		const char *name;
		int nice;
	} kinds[WORKER_LANES] = {
	    [WORKER_FLUSH] = {"flush", WORKER_FLUSH_NICE},
	    [WORKER_COMPACT] = {"compact", WORKER_COMPACT_NICE},
	    [WORKER_UPKEEP] = {"upkeep", 0},
	    [WORKER_DELETE] = {"delete", WORKER_DELETE_NICE},
	    [WORKER_PROMPT] = {"prompt", 0},
	};
	struct worker_pool *pool;
	enum lsm_err err = LSM_OK;

	*pool_out = NULL;
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return LSM_ERR_NOMEM;
	sync_mutex_init(&pool->mu, SYNC_RANK_WORKER);
	sync_cond_init(&pool->cancelled);
	for (size_t i = 0; i < WORKER_LANES; i++) {
		pool->lanes[i].pool = pool;
		pool->lanes[i].nice = kinds[i].nice;
		sync_cond_init(&pool->lanes[i].work);
	}

	for (size_t i = 0; i < WORKER_LANES && err == LSM_OK; i++)
		err = start_threads(&pool->lanes[i], kinds[i].name, threads[i]);
	if (err != LSM_OK)
		goto out;
	*pool_out = pool;
	pool = NULL;
out:
	worker_pool_destroy(pool);
	return err;
}

void worker_pool_destroy(struct worker_pool *pool)
{
	if (pool == NULL)
		return;
	sync_lock(&pool->mu);
	pool->stopping = true;
	for (size_t i = 0; i < WORKER_LANES; i++) {
		assert(pool->lanes[i].head == NULL);
		sync_broadcast(&pool->lanes[i].work);
	}
	sync_unlock(&pool->mu);

	for (size_t i = 0; i < WORKER_LANES; i++) {
		struct lane *lane = &pool->lanes[i];

		for (unsigned j = 0; j < lane->thread_count; j++)
			sync_thread_join(&lane->threads[j]);
		sync_cond_destroy(&lane->work);
	}
	sync_cond_destroy(&pool->cancelled);
	sync_mutex_destroy(&pool->mu);
	free(pool);
}

void worker_job_init(struct worker_job *job, enum worker_lane lane,
                     void (*run)(struct worker_job *job))
{
	*job = (struct worker_job){
	    .run = run,
	    .lane = lane,
	    .state = JOB_IDLE,
	};
}

void worker_submit(struct worker_pool *pool, struct worker_job *job,
                   uint32_t delay_ms)
{
	struct lane *lane = &pool->lanes[job->lane];
	uint64_t due_ns;

	sync_lock(&pool->mu);
	due_ns = sync_now_ns() + (uint64_t)delay_ms * NS_PER_MS;
	switch ((enum job_state)job->state) {
	case JOB_IDLE:
		enqueue(lane, job, due_ns);
		break;
	case JOB_QUEUED:
		if (due_ns < job->due_ns) {
			dequeue(lane, job);
			enqueue(lane, job, due_ns);
		}
		break;
	case JOB_RUNNING:
		if (!job->again || due_ns < job->again_due_ns)
			job->again_due_ns = due_ns;
		job->again = true;
		break;
	case JOB_CANCELLING:
	case JOB_CANCELLED:
		break;
	}
	sync_unlock(&pool->mu);
}

void worker_cancel(struct worker_pool *pool, struct worker_job *job)
{
	sync_lock(&pool->mu);
	switch ((enum job_state)job->state) {
	case JOB_QUEUED:
		dequeue(&pool->lanes[job->lane], job);
		job->state = JOB_CANCELLED;
		break;
	case JOB_IDLE:
		job->state = JOB_CANCELLED;
		break;
	case JOB_RUNNING:
		job->state = JOB_CANCELLING;
		break;
	case JOB_CANCELLING:
	case JOB_CANCELLED:
		break;
	}
	while (job->state != JOB_CANCELLED)
		sync_wait(&pool->cancelled, &pool->mu);
	sync_unlock(&pool->mu);
}

unsigned worker_busy(struct worker_pool *pool, enum worker_lane lane)
{
	uint64_t now_ns = sync_now_ns();
	const struct worker_job *job;
	unsigned count;

	sync_lock(&pool->mu);
	count = pool->lanes[lane].running;
	for (job = pool->lanes[lane].head; job != NULL && job->due_ns <= now_ns;
	     job = job->next)
		count++;
	sync_unlock(&pool->mu);
	return count;
}
