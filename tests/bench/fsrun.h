/* SPDX-License-Identifier: MIT */
/*
 * fsrun.h: one workload on one filesystem, once: made, mounted, each phase
 * timed in a process of its own, unmounted, thrown away.
 */
#ifndef TESTS_BENCH_FSRUN_H
#define TESTS_BENCH_FSRUN_H

#include "tests/bench/fsoptions.h"

struct fsrun_phase {
	double seconds; /* the sync too */
	double sync_s;
	uint64_t ops;
};

struct fsrun_result {
	struct fsrun_phase phases[FSWORK_PHASES_MAX];
	/* Where a phase weighs: what is in the files, and what it takes. */
	uint64_t logical_bytes, space_bytes;
};

/* From now on SIGTERM, SIGINT and SIGHUP end the phase that runs, and
   fsrun_stopped() is true. */
void fsrun_catch_signals(void);
bool fsrun_stopped(void);

/* Errors: those of the phases, EIO; EINTR when it was stopped. */
LSM_MUST_CHECK int fsrun_workload(const struct fsoptions *options,
                                  const struct fsoptions_target *target,
                                  const struct fswork *work,
                                  struct fsrun_result *result);

#endif
