/* SPDX-License-Identifier: MIT */
#include "daemon/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/sync.h"

enum { LANE_MAX_THREADS = 16 };

struct lane {
	/* Constant after open. */
	struct sync_thread threads[LANE_MAX_THREADS];
	unsigned thread_count;

	struct sync_mutex mu;
	struct sync_cond changed; /* a job came, or closing */

	/* All below: guarded by mu. */
	struct lane_job *first;
	struct lane_job **end; /* where the next job is hung */
	bool closing;
};

/* The next job, or NULL when the lane is closing and empty. */
static struct lane_job *take(struct lane *lane)
{
	struct lane_job *job;

	sync_lock(&lane->mu);
	while (lane->first == NULL && !lane->closing)
		sync_wait(&lane->changed, &lane->mu);

	job = lane->first;
	if (job != NULL) {
		lane->first = job->next;
		if (lane->first == NULL)
			lane->end = &lane->first;
	}
	sync_unlock(&lane->mu);
	return job;
}

static void run_lane(void *ctx)
{
	struct lane *lane = ctx;
	struct lane_job *job;

	while ((job = take(lane)) != NULL)
		job->run(job);
}

int lane_open(const char *name, unsigned threads, struct lane **lane_out)
{
	struct lane *lane;

	assert(threads > 0 && threads <= LANE_MAX_THREADS);
	*lane_out = NULL;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return ENOMEM;

	lane->end = &lane->first;
	sync_mutex_init(&lane->mu, SYNC_RANK_LEAF);
	sync_cond_init(&lane->changed);
	for (unsigned i = 0; i < threads; i++) {
		if (sync_thread_start(&lane->threads[i], name, run_lane,
		                      lane) != LSM_OK) {
			lane_close(lane);
			return ENOMEM;
		}
		lane->thread_count++;
	}
	*lane_out = lane;
	return 0;
}

void lane_close(struct lane *lane)
{
	if (lane == NULL)
		return;
	sync_lock(&lane->mu);
	lane->closing = true;
	sync_broadcast(&lane->changed);
	sync_unlock(&lane->mu);

	for (unsigned i = 0; i < lane->thread_count; i++)
		sync_thread_join(&lane->threads[i]);
	assert(lane->first == NULL);
	sync_cond_destroy(&lane->changed);
	sync_mutex_destroy(&lane->mu);
	free(lane);
}

void lane_push(struct lane *lane, struct lane_job *job)
{
	job->next = NULL;
	sync_lock(&lane->mu);
	*lane->end = job;
	lane->end = &job->next;
	sync_signal(&lane->changed);
	sync_unlock(&lane->mu);
}
