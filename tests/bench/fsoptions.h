/* SPDX-License-Identifier: MIT */
/* fsoptions.h: what the command line of fsbench says. */
#ifndef TESTS_BENCH_FSOPTIONS_H
#define TESTS_BENCH_FSOPTIONS_H

#include "tests/bench/arg.h"
#include "tests/bench/fswork.h"

enum { FSOPTIONS_TARGETS_MAX = 16, FSOPTIONS_ROUNDS_MAX = 25 };

struct fsoptions_target {
	char *name;
	const char *folder;
};

struct fsoptions {
	struct fsoptions_target targets[FSOPTIONS_TARGETS_MAX];
	unsigned target_count;
	const char *workloads[ARG_NAMES_MAX + 1]; /* none: all */
	double scale;
	unsigned rounds;
	const char
	    *recipe; /* a program, or NULL: the folders are as they are */
	const char *tar, *sources;
	const char *scratch;
	const char *json_path; /* or NULL */
};

/* Exits where there is nothing more to do: --help, --list, a mistake. */
void fsoptions_parse(struct fsoptions *options, int argc, char **argv);

bool fsoptions_select(const struct fsoptions *options,
                      const struct fswork *work);

#endif
