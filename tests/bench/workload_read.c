/* SPDX-License-Identifier: MIT */
/*
 * workload_read.c: point reads and scans of a store that was filled at random
 * and has settled. One value in eight is compared byte for byte.
 */
#include "tests/bench/workload.h"

#include "base/buf.h"
#include "tests/bench/data.h"

enum { SHORT_SCAN = 50 };

static uint64_t any(struct bench_worker *worker)
{
	return data_random(&worker->random) % worker->keys;
}

static enum lsm_err read_one(struct bench_worker *worker, uint64_t i)
{
	size_t len = worker->workload->value_bytes;
	uint64_t n = any(worker);
	uint8_t key[DATA_KEY_BYTES];
	struct slice value;
	enum lsm_err err;

	data_key(key, data_scatter(n));
	err = worker->engine->get(worker->session, slice_make(key, sizeof(key)),
	                          &value);
	if (err == LSM_ERR_NOT_FOUND)
		return workload_wrong(worker, "no value", n);
	if (err != LSM_OK)
		return err;
	if (i % 8 == 0 ? !data_value_is(value, len, n) : value.len != len)
		return workload_wrong(worker, "not the value", n);
	worker->ops++;
	worker->read_bytes += sizeof(key) + len;
	return LSM_OK;
}

static enum lsm_err read_missing(struct bench_worker *worker, uint64_t i)
{
	uint64_t n = worker->keys + any(worker);
	uint8_t key[DATA_KEY_BYTES];
	struct slice value;
	enum lsm_err err;

	(void)i;
	data_key(key, data_scatter(n));
	err = worker->engine->get(worker->session, slice_make(key, sizeof(key)),
	                          &value);
	if (err == LSM_OK)
		return workload_wrong(worker, "a value for the absent key", n);
	worker->ops++;
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

struct scan {
	struct bench_worker *worker;
	uint64_t limit, seen;
	uint8_t last[DATA_KEY_BYTES];
	bool wrong;
};

static bool visit(void *ctx, struct slice key, struct slice value)
{
	struct scan *scan = ctx;
	struct slice last = slice_make(scan->last, sizeof(scan->last));

	if (key.len != DATA_KEY_BYTES ||
	    value.len != scan->worker->workload->value_bytes ||
	    (scan->seen > 0 && slice_compare(last, key) >= 0)) {
		scan->wrong = true;
		return false;
	}
	memcpy(scan->last, key.data, key.len);
	scan->seen++;
	scan->worker->read_bytes += key.len + value.len;
	return scan->seen < scan->limit;
}

static enum lsm_err scan_short(struct bench_worker *worker, uint64_t i)
{
	struct scan scan = {.worker = worker, .limit = SHORT_SCAN};
	uint64_t n = any(worker);
	uint8_t key[DATA_KEY_BYTES];
	enum lsm_err err;

	(void)i;
	data_key(key, data_scatter(n));
	err =
	    worker->engine->scan(worker->session, slice_make(key, sizeof(key)),
	                         slice_make(NULL, 0), visit, &scan);
	if (err == LSM_OK && (scan.wrong || scan.seen == 0))
		return workload_wrong(worker, "a wrong scan from the key", n);
	worker->ops += scan.seen;
	return err;
}

static enum lsm_err scan_all(struct bench_worker *worker, uint64_t i)
{
	struct scan scan = {.worker = worker, .limit = UINT64_MAX};
	enum lsm_err err =
	    worker->engine->scan(worker->session, slice_make("", 0),
	                         slice_make(NULL, 0), visit, &scan);

	(void)i;
	if (err == LSM_OK && (scan.wrong || scan.seen != worker->keys))
		return workload_wrong(worker, "a wrong scan, entries",
		                      scan.seen);
	worker->ops += scan.seen;
	return err;
}

static enum lsm_err write_any(struct bench_worker *worker, uint64_t i)
{
	uint64_t n = any(worker);
	uint8_t key[DATA_KEY_BYTES];
	enum lsm_err err;

	data_key(key, data_scatter(n));
	err = workload_put(worker, slice_make(key, sizeof(key)), n, i + 1);
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	return err;
}

/* clang-format off */
#define READS(hot_n, cold_n)                                                  \
	{                                                                     \
		{.name = "fill", .call = workload_fill_random, .threads = 1,      \
		 .writes = true},                                                 \
		{.name = "warm", .call = read_one, .count = (hot_n) / 4,            \
		 .threads = 1},                                                   \
		{.name = "hot", .call = read_one, .count = (hot_n), .threads = 1,   \
		 .goal = GOAL_READ},                                              \
		{.name = "hot-t4", .call = read_one, .count = (hot_n),              \
		 .threads = 4, .goal = GOAL_READ},                                \
		{.name = "miss", .call = read_missing, .count = (hot_n),            \
		 .threads = 1, .goal = GOAL_READ},                                \
		{.name = "scan-50", .call = scan_short, .count = (hot_n) / 10,      \
		 .threads = 1, .goal = GOAL_READ},                                \
		{.name = "scan-all", .call = scan_all, .count = 1, .fixed = true,    \
		 .threads = 1, .goal = GOAL_READ},                                \
		{.name = "cold", .call = read_one, .count = (cold_n),               \
		 .threads = 1, .goal = GOAL_READ, .cold = true},    \
	}
/* clang-format on */

const struct workload workloads_read[] = {
    {
	.name = "read-100",
	.help = "point reads and scans: 5 million entries of 100 bytes",
	.keys = 2000000,
	.value_bytes = 100,
	.phases = READS(1000000, 20000),
    },
    {
	.name = "read-4k",
	.help = "point reads and scans: 500 thousand entries of 4 KiB",
	.keys = 200000,
	.value_bytes = 4096,
	.phases = READS(400000, 20000),
    },
    {
	.name = "read-write",
	.help = "point reads while 20,000 entries a second are written",
	.keys = 2000000,
	.value_bytes = 100,
	.phases =
	    {
		{.name = "fill",
                 .call = workload_fill_random,
                 .threads = 1,
                 .writes = true},
		{.name = "hot",
                 .call = read_one,
                 .count = 2000000,
                 .threads = 2,
                 .goal = GOAL_READ,
                 .beside = write_any,
                 .pace = 20000},
	    },
    },
    {.name = NULL},
};
