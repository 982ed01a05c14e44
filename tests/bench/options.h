/* SPDX-License-Identifier: MIT */
/* options.h: what the command line of kvbench says. */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include "tests/bench/run.h"

enum { OPTIONS_NAMES_MAX = 64 };

struct options {
	struct run_settings run;
	unsigned repeats;
	const char *engines[OPTIONS_NAMES_MAX + 1]; /* none: all */
	const char
	    *workloads[OPTIONS_NAMES_MAX + 1]; /* none: the short suite */
	bool full;
	const char *json_path; /* or NULL */
};

/* Exits where there is nothing more to do: --help, --list, a mistake. */
void options_parse(struct options *options, int argc, char **argv);

/* Whether `name` is among `names`, which NULL ends. */
bool options_names(const char *const *names, const char *name);

bool options_selects(const struct options *options,
                     const struct workload *workload);

/* "12", "4K", "3M", "1G" as bytes; "-1" too. Exits where it is none. */
int64_t options_bytes(const char *text);

/* From 1 to `most`. */
uint32_t options_count(const char *text, uint32_t most);

#endif
