/* SPDX-License-Identifier: MIT */
/*
 * workload_sync.c: commits that survive a power cut, and more writes than any
 * engine can take.
 */
#include "tests/bench/workload.h"

#include "base/buf.h"
#include "tests/bench/data.h"

static enum lsm_err write_key(struct bench_worker *worker, uint64_t n,
                              uint64_t version, bool sync)
{
	uint8_t key[DATA_KEY_BYTES];
	enum lsm_err err;

	data_key(key, data_scatter(n));
	err = workload_put(worker, slice_make(key, sizeof(key)), n, version);
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, sync);
	worker->ops++;
	return err;
}

static enum lsm_err write_synced(struct bench_worker *worker, uint64_t i)
{
	worker->live_bytes +=
	    DATA_KEY_BYTES + (int64_t)worker->workload->value_bytes;
	return write_key(worker, i, 0, true);
}

static enum lsm_err write_any(struct bench_worker *worker, uint64_t i)
{
	return write_key(worker, data_random(&worker->random) % worker->keys, i,
	                 false);
}

/* clang-format off */
#define SYNCED(its_threads)                                                   \
	{                                                                     \
		{.name = "commit", .call = write_synced,                          \
		 .threads = (its_threads), .goal = GOAL_WRITE, .writes = true},   \
	}
/* clang-format on */

const struct workload workloads_sync[] = {
    {
	.name = "sync-1",
	.help = "synchronous commits of 100 bytes",
	.keys = 20000,
	.value_bytes = 100,
	.phases = SYNCED(1),
    },
    {
	.name = "sync-4",
	.help = "the same by 4 threads",
	.keys = 20000,
	.value_bytes = 100,
	.phases = SYNCED(4),
    },
    {
	.name = "sync-16",
	.help = "the same by 16 threads",
	.keys = 20000,
	.value_bytes = 100,
	.phases = SYNCED(16),
    },
    {
	.name = "sync-64k",
	.help = "the same by one, of 64 KiB",
	.keys = 2000,
	.value_bytes = 64 << 10,
	.phases = SYNCED(1),
    },
    {
	.name = "sync-256k",
	.help = "the same by one, of 256 KiB",
	.keys = 1000,
	.value_bytes = 256 << 10,
	.phases = SYNCED(1),
    },
    {
	.name = "overload",
	.help = "4 threads overwrite 2 million entries of 1,000 bytes, for "
		"minutes",
	.keys = 2000000,
	.value_bytes = 1000,
	.rivals_only = true,
	.no_short = true,
	.phases =
	    {
		{.name = "write",
                 .call = write_any,
                 .threads = 4,
                 .goal = GOAL_LOAD,
                 .writes = true,
                 .timed = true},
	    },
    },
    {.name = NULL},
};
