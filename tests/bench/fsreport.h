/* SPDX-License-Identifier: MIT */
/* fsreport.h: medians, ratios to the first, and where ours stands. */
#ifndef TESTS_BENCH_FSREPORT_H
#define TESTS_BENCH_FSREPORT_H

#include "tests/bench/fsrun.h"

/* All rounds of one workload on one filesystem. */
struct fsreport_runs {
	const char *name;
	unsigned count; /* that went well: the first ones */
	struct fsrun_result results[FSOPTIONS_ROUNDS_MAX];
};

/* The settings, once, before all else. */
void fsreport_begin(const struct fsoptions *options);

/* Something is not measured, and why. */
void fsreport_left_out(const char *name, const char *why);

/* A table for each phase. */
void fsreport_workload(const struct fswork *work,
                       const struct fsreport_runs *runs, unsigned count);

/* Each goal, then everything to `json_path` unless it is NULL. Errors: EIO. */
LSM_MUST_CHECK int fsreport_end(const char *json_path);

#endif
