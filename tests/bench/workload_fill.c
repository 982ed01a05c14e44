/* SPDX-License-Identifier: MIT */
/*
 * workload_fill.c: fill in order, fill at random, overwrite: one entry a batch.
 */
#include "tests/bench/workload.h"

#include "base/buf.h"
#include "tests/bench/data.h"

static enum lsm_err write_one(struct bench_worker *worker, uint64_t n,
                              uint64_t number, uint64_t version)
{
	uint8_t key[DATA_KEY_BYTES];
	enum lsm_err err;

	data_key(key, number);
	err = workload_put(worker, slice_make(key, sizeof(key)), n, version);
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	worker->ops++;
	return err;
}

static int64_t entry_bytes(const struct bench_worker *worker)
{
	return DATA_KEY_BYTES + (int64_t)worker->workload->value_bytes;
}

static enum lsm_err fill_in_order(struct bench_worker *worker, uint64_t i)
{
	worker->live_bytes += entry_bytes(worker);
	return write_one(worker, i, i, 0);
}

enum lsm_err workload_fill_random(struct bench_worker *worker, uint64_t i)
{
	worker->live_bytes += entry_bytes(worker);
	return write_one(worker, i, data_scatter(i), 0);
}

static enum lsm_err overwrite(struct bench_worker *worker, uint64_t i)
{
	uint64_t n = data_random(&worker->random) % worker->keys;

	return write_one(worker, n, data_scatter(n), i + 1);
}

/* That a sample of what was written can be read. */
static enum lsm_err verify(struct bench_worker *worker, uint64_t number,
                           uint64_t n)
{
	uint8_t key[DATA_KEY_BYTES];
	struct slice value;
	enum lsm_err err;

	data_key(key, number);
	err = worker->engine->get(worker->session, slice_make(key, sizeof(key)),
	                          &value);
	if (err == LSM_ERR_NOT_FOUND)
		return workload_wrong(worker, "no value", n);
	if (err == LSM_OK &&
	    !data_value_is(value, worker->workload->value_bytes, n))
		return workload_wrong(worker, "not the value", n);
	worker->ops++;
	return err;
}

static enum lsm_err verify_in_order(struct bench_worker *worker, uint64_t i)
{
	uint64_t n = data_random(&worker->random) % worker->keys;

	(void)i;
	return verify(worker, n, n);
}

static enum lsm_err verify_random(struct bench_worker *worker, uint64_t i)
{
	uint64_t n = data_random(&worker->random) % worker->keys;

	(void)i;
	return verify(worker, data_scatter(n), n);
}

enum { SAMPLES = 1000 };

/* clang-format off */
#define IN_ORDER(its_threads)                                                 \
	{                                                                     \
		{.name = "fill", .call = fill_in_order, .threads = (its_threads),     \
		 .goal = GOAL_WRITE, .writes = true},                             \
		{.name = "verify", .call = verify_in_order, .count = SAMPLES,     \
		 .fixed = true, .threads = 1},                                 \
	}
#define AT_RANDOM(its_threads)                                                \
	{                                                                     \
		{.name = "fill", .call = workload_fill_random,                    \
		 .threads = (its_threads), .goal = GOAL_WRITE, .writes = true},   \
		{.name = "overwrite", .call = overwrite, .threads = (its_threads),    \
		 .goal = GOAL_WRITE, .writes = true},                             \
		{.name = "verify", .call = verify_random, .count = SAMPLES,       \
		 .fixed = true, .threads = 1},                                 \
	}
/* clang-format on */

const struct workload workloads_fill[] = {
    {
	.name = "seq-100",
	.help = "fill in order: 5 million entries of 100 bytes",
	.keys = 5000000,
	.value_bytes = 100,
	.phases = IN_ORDER(1),
    },
    {
	.name = "seq-100-t4",
	.help = "the same by 4 threads",
	.no_short = true,
	.keys = 5000000,
	.value_bytes = 100,
	.phases = IN_ORDER(4),
    },
    {
	.name = "seq-4k",
	.help = "fill in order: 500 thousand entries of 4 KiB",
	.keys = 500000,
	.value_bytes = 4096,
	.phases = IN_ORDER(1),
    },
    {
	.name = "seq-4k-t4",
	.help = "the same by 4 threads",
	.no_short = true,
	.keys = 500000,
	.value_bytes = 4096,
	.phases = IN_ORDER(4),
    },
    {
	.name = "random-100",
	.help = "fill at random, then overwrite: 5 million of 100 bytes",
	.keys = 5000000,
	.value_bytes = 100,
	.phases = AT_RANDOM(1),
    },
    {
	.name = "random-100-t4",
	.help = "the same by 4 threads",
	.no_short = true,
	.keys = 5000000,
	.value_bytes = 100,
	.phases = AT_RANDOM(4),
    },
    {
	.name = "random-4k",
	.help = "fill at random, then overwrite: 500 thousand of 4 KiB",
	.keys = 500000,
	.value_bytes = 4096,
	.phases = AT_RANDOM(1),
    },
    {
	.name = "random-4k-t4",
	.help = "the same by 4 threads",
	.no_short = true,
	.keys = 500000,
	.value_bytes = 4096,
	.phases = AT_RANDOM(4),
    },
    {.name = NULL},
};
