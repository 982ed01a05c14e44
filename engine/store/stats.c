/* SPDX-License-Identifier: MIT */
/*
 * stats.c: counters for people and tests.
 */
#include "base/arena.h"
#include "store/store.h"

static void runtime_part(struct lsm_runtime *runtime, struct lsm_stats *stats)
{
	struct credit_stats credit;
	struct cache_stats cache;

	credit_pool_stats(runtime->credit, &credit);
	stats->credit.limit_bytes = credit.limit_bytes;
	stats->credit.used_bytes = credit.used_bytes;
	stats->credit.peak_bytes = credit.peak_bytes;
	stats->credit.waits = credit.waits;
	stats->credit.stall_ns = credit.stall_ns;
	stats->credit.oversize = credit.oversize;

	cache_stats(runtime->blocks, &cache);
	stats->cache.limit_bytes = cache.limit_bytes;
	stats->cache.used_bytes = cache.used_bytes;
	stats->cache.hits = cache.hits;
	stats->cache.misses = cache.misses;
	arena_totals(&stats->memory.arena_bytes,
	             &stats->memory.arena_peak_bytes);
	stats->jobs = worker_busy(runtime->workers, WORKER_FLUSH) +
	              worker_busy(runtime->workers, WORKER_COMPACT);
}

void store_stalled(struct lsm *store, enum lsm_stall cause, uint64_t since_ns)
{
	atomic_fetch_add_explicit(&store->stalls[cause].count, 1,
	                          memory_order_relaxed);
	atomic_fetch_add_explicit(&store->stalls[cause].ns,
	                          sync_now_ns() - since_ns,
	                          memory_order_relaxed);
}

static void stall_part(struct lsm *store, struct lsm_stats *stats)
{
	for (unsigned i = 0; i < LSM_STALLS; i++) {
		stats->stalls[i].count = atomic_load_explicit(
		    &store->stalls[i].count, memory_order_relaxed);
		stats->stalls[i].ns = atomic_load_explicit(
		    &store->stalls[i].ns, memory_order_relaxed);
	}
	stats->stalls[LSM_STALL_BUDGET].count = stats->credit.waits;
	stats->stalls[LSM_STALL_BUDGET].ns = stats->credit.stall_ns;
}

static uint64_t unflushed_log_bytes(struct lsm *store, const struct view *view)
{
	uint64_t bytes = 0;

	sync_lock(&store->tree_mu); /* an active log may just be set */
	for (size_t i = 0; i < view->sealed_count; i++)
		if (view->sealed[i]->log != NULL)
			bytes += wal_writer_size(view->sealed[i]->log);
	if (view->active->log != NULL)
		bytes += wal_writer_size(view->active->log);
	sync_unlock(&store->tree_mu);
	return bytes;
}

/* Without memory for the list there are no figures. */
static void segment_part(struct lsm *store, const struct version *version,
                         struct lsm_stats *stats)
{
	struct segment_uses uses;

	segment_uses_init(&uses);
	memset(&stats->segments, 0, sizeof(stats->segments));
	stats->segments.bytes_written =
	    atomic_load(&store->segment_bytes_written);
	if (version_segments(version, &uses) == LSM_OK) {
		stats->segments.files = uses.count;
		stats->segments.damaged = store_damaged_segments(store, &uses);
		for (size_t i = 0; i < uses.count; i++) {
			const struct segment_use *use = &uses.items[i];

			stats->segments.bytes += use->file_bytes;
			stats->segments.live_bytes += use->bytes;
			stats->segments.garbage_bytes += collect_garbage(use);
		}
	}
	segment_uses_release(&uses);
}

static void branches_part(struct home *home, struct lsm_stats *stats)
{
	sync_lock(&home->mu);
	stats->branches.count = home->by_id.count;
	stats->branches.open = home->open_count;
	stats->branches.damaged = home->damaged_count;
	sync_unlock(&home->mu);
}

void lsm_stats(struct lsm *store, struct lsm_stats *stats)
{
	struct env_io_stats io;
	struct view *view = view_get(store, &stats->sequence);

	runtime_part(store->runtime, stats);
	stall_part(store, stats);
	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		stats->levels[i].files = view->version->levels[i].count;
		stats->levels[i].bytes = view->version->levels[i].bytes;
	}
	stats->log_bytes = unflushed_log_bytes(store, view);
	segment_part(store, view->version, stats);
	stats->segments.reclaimable_bytes =
	    store_reclaimable_bytes(store, view->version);
	view_unref(view);
	branches_part(store->home, stats);
	stats->horizon = atomic_load(&store->horizon);

	env_io_stats(store->env, &io);
	stats->io.bytes_written = io.bytes_written;
	stats->io.bytes_read = io.bytes_read;
	stats->io.syncs = io.syncs;
	stats->flushes.count = atomic_load(&store->flush_count);
	stats->flushes.bytes = atomic_load(&store->flush_bytes);
	stats->compactions.count = atomic_load(&store->compact_count);
	stats->compactions.bytes = atomic_load(&store->compact_bytes);
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		stats->counters[i] = lsm_counter(store, i);
}
