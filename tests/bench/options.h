/* SPDX-License-Identifier: MIT */
/* options.h: what the command line of kvbench says. */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include "tests/bench/arg.h"
#include "tests/bench/run.h"

struct options {
	struct run_settings run;
	unsigned repeats;
	const char *engines[ARG_NAMES_MAX + 1]; /* none: all */
	const char
	    *workloads[ARG_NAMES_MAX + 1]; /* none: the short suite */
	bool full;
	const char *json_path; /* or NULL */
};

/* Exits where there is nothing more to do: --help, --list, a mistake. */
void options_parse(struct options *options, int argc, char **argv);

bool options_selects(const struct options *options,
                     const struct workload *workload);

#endif
