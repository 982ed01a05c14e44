/* SPDX-License-Identifier: MIT */
/*
 * report.h: medians, ratios to the better rival, and whether the goals are met.
 */
#ifndef TESTS_BENCH_REPORT_H
#define TESTS_BENCH_REPORT_H

#include "tests/bench/run.h"

enum { REPORT_REPEATS_MAX = 25, REPORT_ENGINES_MAX = 8 };

/* All runs of one workload with one engine. */
struct report_runs {
	const struct engine *engine;
	unsigned count;
	struct run_result results[REPORT_REPEATS_MAX][WORKLOAD_PHASES_MAX];
};

/* The settings, once, before all else. */
void report_begin(const struct run_settings *settings, unsigned repeats);

/* Print a table for each phase that has a goal. */
void report_workload(const struct workload *workload,
                     const struct report_runs *runs, unsigned engines_count);

/* Print the ratios of all workloads so far, a line for each phase; then write
   everything to `json_path` unless it is NULL. Errors: IO, NOMEM. */
LSM_MUST_CHECK enum lsm_err report_end(const char *json_path);

#endif
