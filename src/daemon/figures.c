/* SPDX-License-Identifier: MIT */
#include "daemon/figures.h"

#include <stdio.h>
#include <unistd.h>

#include "base/sync.h"
#include "daemon/nodes.h"
#include "daemon/ops.h"
#include "daemon/transport.h"

/* The resident size of this process; 0 where it cannot be read. */
static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL)
		return 0;
	if (fscanf(file, "%*s %llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* Add a figure; every failure is a lack of memory, and one is enough. */
static void add(json_t *object, const char *key, uint64_t value, bool *failed)
{
	if (json_object_set_new(object, key, number(value)) != 0)
		*failed = true;
}

static void add_part(json_t *object, const char *key, json_t *part,
                     bool *failed)
{
	if (json_object_set_new(object, key, part) != 0)
		*failed = true;
}

static json_t *credit_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_object();

	add(part, "limit_bytes",
	    stats->credit.limit_bytes > 0 ? (uint64_t)stats->credit.limit_bytes
	                                  : 0,
	    failed);
	add(part, "used_bytes", stats->credit.used_bytes, failed);
	add(part, "peak_bytes", stats->credit.peak_bytes, failed);
	add(part, "waits", stats->credit.waits, failed);
	add(part, "stall_ns", stats->credit.stall_ns, failed);
	add(part, "oversize", stats->credit.oversize, failed);
	return part;
}

static json_t *stalls_part(const struct lsm_stats *stats, bool *failed)
{
	static const char *const names[LSM_STALLS] = {
	    [LSM_STALL_BUDGET] = "budget",
	    [LSM_STALL_COMPACTION] = "compaction",
	    [LSM_STALL_L0] = "l0",
	    [LSM_STALL_DISK] = "disk",
	    [LSM_STALL_LOG] = "log",
	    [LSM_STALL_SYNC] = "sync",
	};
	json_t *part = json_object();
	char key[32];

	for (unsigned i = 0; i < LSM_STALLS; i++) {
		snprintf(key, sizeof(key), "%s_count", names[i]);
		add(part, key, stats->stalls[i].count, failed);
		snprintf(key, sizeof(key), "%s_ns", names[i]);
		add(part, key, stats->stalls[i].ns, failed);
	}
	return part;
}

static json_t *memory_part(const struct figures_source *source,
                           const struct lsm_stats *stats, bool *failed)
{
	struct transport_stats parked = {0};
	json_t *part = json_object();

	if (source->transport != NULL)
		source->transport->ops->stats(source->transport, &parked);
	add(part, "budget_bytes", source->budget_bytes, failed);
	add(part, "resident_bytes", resident_bytes(), failed);
	add(part, "arena_bytes", stats->memory.arena_bytes, failed);
	add(part, "arena_peak_bytes", stats->memory.arena_peak_bytes, failed);
	add(part, "parked_bytes", parked.parked_bytes, failed);
	add(part, "parked_peak_bytes", parked.parked_peak_bytes, failed);
	add(part, "node_bytes",
	    source->nodes == NULL ? 0 : nodes_bytes(source->nodes), failed);
	return part;
}

static json_t *transport_part(const struct figures_source *source, bool *failed)
{
	struct transport_stats stats = {0};
	json_t *part = json_object();

	if (source->transport != NULL)
		source->transport->ops->stats(source->transport, &stats);
	add(part, "received", stats.received, failed);
	add(part, "spun", stats.spun, failed);
	add(part, "handed_over", stats.handed_over, failed);
	add(part, "held_awake", stats.held_awake, failed);
	return part;
}

static json_t *cache_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_object();

	add(part, "limit_bytes", stats->cache.limit_bytes, failed);
	add(part, "used_bytes", stats->cache.used_bytes, failed);
	add(part, "hits", stats->cache.hits, failed);
	add(part, "misses", stats->cache.misses, failed);
	return part;
}

static json_t *levels_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_array();

	for (int i = 0; i < LSM_LEVELS; i++) {
		json_t *level = json_object();

		add(level, "files", stats->levels[i].files, failed);
		add(level, "bytes", stats->levels[i].bytes, failed);
		if (json_array_append_new(part, level) != 0)
			*failed = true;
	}
	return part;
}

static json_t *io_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_object();

	add(part, "bytes_written", stats->io.bytes_written, failed);
	add(part, "bytes_read", stats->io.bytes_read, failed);
	add(part, "syncs", stats->io.syncs, failed);
	return part;
}

static json_t *jobs_part(uint64_t count, uint64_t bytes, bool *failed)
{
	json_t *part = json_object();

	add(part, "count", count, failed);
	add(part, "bytes", bytes, failed);
	return part;
}

static json_t *segments_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_object();

	add(part, "files", stats->segments.files, failed);
	add(part, "bytes", stats->segments.bytes, failed);
	add(part, "live_bytes", stats->segments.live_bytes, failed);
	add(part, "garbage_bytes", stats->segments.garbage_bytes, failed);
	add(part, "damaged", stats->segments.damaged, failed);
	add(part, "bytes_written", stats->segments.bytes_written, failed);
	return part;
}

static json_t *branches_part(const struct lsm_stats *stats, bool *failed)
{
	json_t *part = json_object();

	add(part, "count", stats->branches.count, failed);
	add(part, "open", stats->branches.open, failed);
	add(part, "damaged", stats->branches.damaged, failed);
	return part;
}

static json_t *fs_part(const struct figures_source *source, bool *failed)
{
	struct fs_usage usage = {0};
	json_t *part = json_object();

	/* A disk below that cannot be asked leaves zeros; it was logged. */
	if (fs_statfs(source->fs, &usage) != 0)
		usage = (struct fs_usage){0};
	add(part, "files", usage.inodes, failed);
	add(part, "used_bytes", usage.used_bytes, failed);
	add(part, "total_bytes", usage.total_bytes, failed);
	add(part, "free_bytes", usage.free_bytes, failed);
	add(part, "available_bytes", usage.available_bytes, failed);
	add(part, "known_inodes",
	    source->nodes == NULL ? 0 : nodes_count(source->nodes), failed);
	return part;
}

static json_t *requests_part(const struct ops *ops, bool *failed)
{
	json_t *part = json_object();

	for (int i = 0; i < OPS_REQUEST_COUNT; i++)
		add(part, ops_request_name((enum ops_request)i),
		    ops == NULL ? 0
		                : ops_request_count(ops, (enum ops_request)i),
		    failed);
	return part;
}

json_t *figures_collect(const struct figures_source *source)
{
	json_t *all = json_object();
	struct lsm_stats stats;
	bool failed = false;

	lsm_stats(fs_store(source->fs), &stats);
	add_part(all, "version", json_string(PACKAGE_VERSION), &failed);
	add_part(all, "mounted", json_boolean(source->ops != NULL), &failed);
	add(all, "uptime_ms",
	    source->started_ns == 0
	        ? 0
	        : (sync_now_ns() - source->started_ns) / 1000000,
	    &failed);
	add_part(all, "credit", credit_part(&stats, &failed), &failed);
	add_part(all, "stalls", stalls_part(&stats, &failed), &failed);
	add_part(all, "memory", memory_part(source, &stats, &failed), &failed);
	add_part(all, "cache", cache_part(&stats, &failed), &failed);
	add_part(all, "levels", levels_part(&stats, &failed), &failed);
	add_part(all, "io", io_part(&stats, &failed), &failed);
	add_part(all, "flushes",
	         jobs_part(stats.flushes.count, stats.flushes.bytes, &failed),
	         &failed);
	add_part(all, "compactions",
	         jobs_part(stats.compactions.count, stats.compactions.bytes,
	                   &failed),
	         &failed);
	add_part(all, "segments", segments_part(&stats, &failed), &failed);
	add_part(all, "branches", branches_part(&stats, &failed), &failed);
	add(all, "sequence", stats.sequence, &failed);
	add(all, "horizon", stats.horizon, &failed);
	add(all, "log_bytes", stats.log_bytes, &failed);
	add_part(all, "fs", fs_part(source, &failed), &failed);
	add_part(all, "transport", transport_part(source, &failed), &failed);
	add_part(all, "requests", requests_part(source->ops, &failed), &failed);
	if (failed) {
		json_decref(all);
		return NULL;
	}
	return all;
}
