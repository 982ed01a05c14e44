/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stdlib.h>

#include "store/store.h"

enum {
	RUNTIME_CREDIT_BYTES = 64 << 20,
	RUNTIME_CACHE_BYTES = 64 << 20,
	RUNTIME_PERIOD_MS = 10000,
	RUNTIME_SYNC_PERIOD_MS = 1000,
	RUNTIME_CACHE_SHARDS = 16,
	RUNTIME_OPEN_TABLES = 512,
	RUNTIME_EXPIRE_MS = 100,
	RUNTIME_KICK_RETRY_MS = 5,
	RUNTIME_SEAL_PART = 32,    /* of the credit: sealed at a time */
	RUNTIME_FLUSH_THREADS = 4, /* of different stores; mostly they sync */
	RUNTIME_COMPACTION_THREADS_MAX = 16,
	RUNTIME_DEEP_RATE_MIN = 16 << 20, /* bytes a second */
};

void lsm_runtime_options_init(struct lsm_runtime_options *options)
{
	options->credit_bytes = RUNTIME_CREDIT_BYTES;
	options->cache_bytes = RUNTIME_CACHE_BYTES;
	options->compaction_threads = 1;
	options->period_ms = RUNTIME_PERIOD_MS;
	options->sync_period_ms = RUNTIME_SYNC_PERIOD_MS;
	options->device_rate = 0;
}

/* The credit pool calls this from a writer's thread: leave it to a worker. */
static void kick(void *ctx)
{
	struct lsm_runtime *runtime = ctx;

	worker_submit(runtime->workers, &runtime->kick, 0);
}

static uint64_t last_write(struct lsm *store)
{
	return atomic_load_explicit(&store->last_write, memory_order_relaxed);
}

/* The least recently written store that has something to seal, pinned; and how
   much that is. */
static struct lsm *pin_victim(struct lsm_runtime *runtime, uint64_t *bytes_out)
{
	struct lsm *victim = NULL;

	*bytes_out = 0;
	sync_lock(&runtime->mu);
	for (struct lsm *s = runtime->oldest; s != NULL; s = s->newer) {
		uint64_t bytes;

		if ((victim != NULL && last_write(s) >= last_write(victim)) ||
		    store_writable(s) != LSM_OK)
			continue;
		bytes = credit_account_mutable(s->credit);
		if (bytes == 0)
			continue;
		victim = s;
		*bytes_out = bytes;
	}
	if (victim != NULL)
		victim->pins++;
	sync_unlock(&runtime->mu);
	return victim;
}

static void unpin(struct lsm_runtime *runtime, struct lsm *store)
{
	sync_lock(&runtime->mu);
	assert(store->pins > 0);
	if (--store->pins == 0)
		sync_broadcast(&runtime->unpinned);
	sync_unlock(&runtime->mu);
}

static void run_kick(struct worker_job *job)
{
	struct lsm_runtime *runtime =
	    (struct lsm_runtime *)(void *)((char *)job -
	                                   offsetof(struct lsm_runtime, kick));
	uint64_t sealed = 0, bytes, enough;
	struct credit_stats credit;
	enum lsm_err err = LSM_OK;
	struct lsm *store;

	credit_pool_stats(runtime->credit, &credit);
	enough = (uint64_t)credit.limit_bytes / RUNTIME_SEAL_PART;
	/* Where stores are many and their memtables small, the syncs of one
	   flush would be waited for before the next one begins: seal several. */
	do {
		store = pin_victim(runtime, &bytes);
		if (store == NULL)
			break;
		err = store_lead_and_seal(store);
		unpin(runtime, store);
		sealed += bytes;
	} while (err == LSM_OK && sealed < enough);
	/* Wait before the pool may ask again: after a failure, and while what
	   could be sealed is held by a store that is not open yet. */
	credit_pool_stats(runtime->credit, &credit);
	if (err != LSM_OK || (sealed == 0 && credit.mutable_bytes > 0))
		worker_submit(runtime->workers, job, RUNTIME_KICK_RETRY_MS);
	else
		credit_kick_done(runtime->credit);
}

static void run_expire(struct worker_job *job)
{
	struct lsm_runtime *runtime =
	    (struct lsm_runtime *)(void *)((char *)job -
	                                   offsetof(struct lsm_runtime,
	                                            expire));

	credit_expire(runtime->credit);
	if (credit_has_nospace(runtime->credit))
		worker_submit(runtime->workers, job, RUNTIME_EXPIRE_MS);
}

void runtime_watch_nospace(struct lsm_runtime *runtime)
{
	worker_submit(runtime->workers, &runtime->expire, RUNTIME_EXPIRE_MS);
}

enum lsm_err lsm_runtime_create(const struct lsm_runtime_options *options,
                                struct lsm_runtime **runtime_out)
{
	struct lsm_runtime *runtime = calloc(1, sizeof(*runtime));
	unsigned threads[WORKER_LANES] = {RUNTIME_FLUSH_THREADS, 1, 1, 1, 1};
	enum lsm_err err;

	*runtime_out = NULL;
	if (runtime == NULL)
		return LSM_ERR_NOMEM;
	runtime->options = *options;
	sync_mutex_init(&runtime->mu, SYNC_RANK_RUNTIME);
	sync_cond_init(&runtime->unpinned);
	sync_mutex_init(&runtime->bucket_mu, SYNC_RANK_LEAF);
	bucket_init(&runtime->bucket, RUNTIME_DEEP_RATE_MIN,
	            options->device_rate, sync_now_ns());
	worker_job_init(&runtime->kick, WORKER_FLUSH, run_kick);
	worker_job_init(&runtime->expire, WORKER_UPKEEP, run_expire);
	if (options->compaction_threads > 0)
		threads[WORKER_COMPACT] =
		    options->compaction_threads > RUNTIME_COMPACTION_THREADS_MAX
			? RUNTIME_COMPACTION_THREADS_MAX
			: options->compaction_threads;

	err = credit_pool_create(options->credit_bytes, kick, runtime,
	                         &runtime->credit);
	if (err == LSM_OK)
		err = cache_create(options->cache_bytes, RUNTIME_CACHE_SHARDS,
		                   &runtime->blocks);
	if (err == LSM_OK)
		err = cache_create(RUNTIME_OPEN_TABLES * table_cache_charge(),
		                   RUNTIME_CACHE_SHARDS, &runtime->files);
	if (err == LSM_OK)
		err = worker_pool_create(threads, &runtime->workers);
	if (err != LSM_OK) {
		lsm_runtime_destroy(runtime);
		return err;
	}
	*runtime_out = runtime;
	return LSM_OK;
}

void lsm_runtime_destroy(struct lsm_runtime *runtime)
{
	if (runtime == NULL)
		return;
	assert(runtime->oldest == NULL);
	if (runtime->workers != NULL) {
		worker_cancel(runtime->workers, &runtime->kick);
		worker_cancel(runtime->workers, &runtime->expire);
	}
	worker_pool_destroy(runtime->workers);
	if (runtime->files != NULL)
		cache_destroy(runtime->files);
	if (runtime->blocks != NULL)
		cache_destroy(runtime->blocks);
	credit_pool_destroy(runtime->credit);
	sync_mutex_destroy(&runtime->bucket_mu);
	sync_cond_destroy(&runtime->unpinned);
	sync_mutex_destroy(&runtime->mu);
	free(runtime);
}

static void append_to_list(struct lsm_runtime *runtime, struct lsm *store)
{
	sync_assert_held(&runtime->mu);
	store->older = runtime->newest;
	store->newer = NULL;
	if (runtime->newest != NULL)
		runtime->newest->newer = store;
	else
		runtime->oldest = store;
	runtime->newest = store;
}

static void take_out_of_list(struct lsm_runtime *runtime, struct lsm *store)
{
	sync_assert_held(&runtime->mu);
	if (store->older != NULL)
		store->older->newer = store->newer;
	else
		runtime->oldest = store->newer;
	if (store->newer != NULL)
		store->newer->older = store->older;
	else
		runtime->newest = store->older;
}

void runtime_attach(struct lsm_runtime *runtime, struct lsm *store)
{
	sync_lock(&runtime->mu);
	append_to_list(runtime, store);
	sync_unlock(&runtime->mu);
}

void runtime_detach(struct lsm_runtime *runtime, struct lsm *store)
{
	sync_lock(&runtime->mu);
	take_out_of_list(runtime, store);
	while (store->pins > 0)
		sync_wait(&runtime->unpinned, &runtime->mu);
	sync_unlock(&runtime->mu);
}

void runtime_touch(struct lsm_runtime *runtime, struct lsm *store)
{
	uint64_t last = atomic_load_explicit(&store->last_write,
	                                     memory_order_relaxed);

	/* The order changes only when another store was written since. */
	if (atomic_load_explicit(&runtime->writes, memory_order_relaxed) ==
	        last &&
	    last > 0)
		return;
	atomic_store_explicit(
	    &store->last_write,
	    1 + atomic_fetch_add_explicit(&runtime->writes, 1,
	                                  memory_order_relaxed),
	    memory_order_relaxed);
}
