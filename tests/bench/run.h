/* SPDX-License-Identifier: MIT */
/*
 * run.h: one workload with one engine, in a process of its own, so that its
 * memory and its I/O are nobody else's.
 */
#ifndef TESTS_BENCH_RUN_H
#define TESTS_BENCH_RUN_H

#include "tests/bench/workload.h"

struct run_settings {
	const char *folder; /* stores are made below it, and removed */
	double scale;
	double minutes;          /* of phases that run for a time */
	uint32_t sync_period_ms; /* have each engine sync its log; 0: never */
	struct engine_settings engine;
};

struct run_result {
	uint64_t ops, written_bytes, read_bytes, live_bytes;
	double foreground_s, settled_s;
	double cpu_s; /* of all threads, until settled */
	uint64_t disk_write_bytes, disk_read_bytes;
	uint64_t space_bytes, peak_bytes;
	uint64_t p50_ns, p99_ns, p999_ns, max_ns;
};

/*
 * Go through all phases; results[i] is that of phase i. What went wrong is
 * printed. Errors: CORRUPT, when a verification failed; others.
 */
LSM_MUST_CHECK enum lsm_err
run_workload(const struct run_settings *settings, const struct engine *engine,
             const struct workload *workload,
             struct run_result results[WORKLOAD_PHASES_MAX]);

/* `full` at this scale, at least `least`. */
uint64_t run_scaled(double scale, uint64_t full, uint64_t least);

#endif
