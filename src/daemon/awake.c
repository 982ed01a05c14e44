/* SPDX-License-Identifier: MIT */
#include "daemon/awake.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/sync.h"

#define NS_PER_MS UINT64_C(1000000)

enum {
	/* So many requests, each within a millisecond of the one before, begin
	   to hold; none for two milliseconds end it. */
	CLOSE_REQUESTS = 8,
	CLOSE_NS = 1000000,
	QUIET_NS = 2000000,

	/* Microseconds that waking a processor may take. The second is what the
	   kernel has where nobody asks for less. */
	NO_LATENCY_US = 0,
	ANY_LATENCY_US = 2000000000,
};

struct awake {
	/* Constant after open. */
	int fd;
	struct sync_thread thread;

	/* Relaxed: a guess at how close requests are. */
	_Atomic uint64_t last_ns;
	_Atomic unsigned close_requests;
	_Atomic bool holds; /* changed with mu held */

	struct sync_mutex mu;
	struct sync_cond changed; /* holds, or closing */

	/* All below: guarded by mu. */
	bool closing;
	uint64_t count;
};

/* Needs awake->mu. What fails leaves things as they were, which is allowed. */
static void set_latency(struct awake *awake, int32_t latency_us)
{
	ssize_t done = write(awake->fd, &latency_us, sizeof(latency_us));

	(void)done;
}

static uint64_t last_request(struct awake *awake)
{
	return atomic_load_explicit(&awake->last_ns, memory_order_relaxed);
}

/* Until it is quiet, or closing. Needs awake->mu. */
static void await_quiet(struct awake *awake)
{
	uint64_t quiet_at;

	for (;;) {
		quiet_at = last_request(awake) + QUIET_NS;
		if (awake->closing || sync_now_ns() >= quiet_at)
			return;
		(void)sync_wait_until(&awake->changed, &awake->mu, quiet_at);
	}
}

static void run_awake(void *ctx)
{
	struct awake *awake = ctx;

	sync_lock(&awake->mu);
	while (!awake->closing) {
		if (!atomic_load_explicit(&awake->holds,
		                          memory_order_relaxed)) {
			sync_wait(&awake->changed, &awake->mu);
			continue;
		}
		await_quiet(awake);
		set_latency(awake, ANY_LATENCY_US);
		atomic_store_explicit(&awake->holds, false,
		                      memory_order_relaxed);
	}
	sync_unlock(&awake->mu);
}

int awake_open(struct awake **awake_out)
{
	struct awake *awake;
	int err;

	*awake_out = NULL;
	awake = calloc(1, sizeof(*awake));
	if (awake == NULL)
		return ENOMEM;

	sync_mutex_init(&awake->mu, SYNC_RANK_LEAF);
	sync_cond_init(&awake->changed);
	awake->fd = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
	if (awake->fd < 0) {
		err = errno;
		goto fail;
	}
	/* To open it is to ask for nothing in particular yet. */
	if (sync_thread_start(&awake->thread, "awake", run_awake, awake) !=
	    LSM_OK) {
		err = ENOMEM;
		goto fail;
	}
	*awake_out = awake;
	return 0;

fail:
	awake_close(awake);
	return err;
}

void awake_close(struct awake *awake)
{
	if (awake == NULL)
		return;
	sync_lock(&awake->mu);
	awake->closing = true;
	sync_broadcast(&awake->changed);
	sync_unlock(&awake->mu);
	sync_thread_join(&awake->thread);

	if (awake->fd >= 0)
		close(awake->fd);
	sync_cond_destroy(&awake->changed);
	sync_mutex_destroy(&awake->mu);
	free(awake);
}

static void hold(struct awake *awake)
{
	sync_lock(&awake->mu);
	if (!atomic_load_explicit(&awake->holds, memory_order_relaxed) &&
	    !awake->closing) {
		set_latency(awake, NO_LATENCY_US);
		atomic_store_explicit(&awake->holds, true,
		                      memory_order_relaxed);
		awake->count++;
		sync_signal(&awake->changed);
	}
	sync_unlock(&awake->mu);
}

void awake_note(struct awake *awake)
{
	uint64_t now = sync_now_ns();
	bool close = now - last_request(awake) < CLOSE_NS;
	unsigned count;

	atomic_store_explicit(&awake->last_ns, now, memory_order_relaxed);
	if (atomic_load_explicit(&awake->holds, memory_order_relaxed))
		return;
	count = close ? atomic_load_explicit(&awake->close_requests,
	                                     memory_order_relaxed) +
	                    1
	              : 0;
	atomic_store_explicit(&awake->close_requests, count,
	                      memory_order_relaxed);
	if (count >= CLOSE_REQUESTS) {
		atomic_store_explicit(&awake->close_requests, 0,
		                      memory_order_relaxed);
		hold(awake);
	}
}

uint64_t awake_count(struct awake *awake)
{
	uint64_t count;

	sync_lock(&awake->mu);
	count = awake->count;
	sync_unlock(&awake->mu);
	return count;
}
