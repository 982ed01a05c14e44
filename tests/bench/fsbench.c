/* SPDX-License-Identifier: MIT */
/*
 * fsbench.c: the same work on our filesystem and on others, side by side.
 *
 * In each round the filesystems take turns, each made anew, so that a slow
 * minute of the machine hits them all and what one workload leaves behind
 * meets no other. docs/benchmarks.md says how they are set up.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/data.h"
#include "tests/bench/fsrecipe.h"
#include "tests/bench/fsreport.h"

static struct fsreport_runs runs[FSOPTIONS_TARGETS_MAX];

/* Name what cannot be had here, and go on without it. */
static int leave_out_targets(struct fsoptions *options)
{
	char reason[FSRECIPE_REASON_BYTES];
	unsigned kept = 0;

	for (unsigned i = 0; i < options->target_count; i++) {
		struct fsoptions_target target = options->targets[i];
		int err = fsrecipe_check(options, &target, reason);

		if (err == ENOTSUP)
			fsreport_left_out(target.name, reason);
		else if (err != 0)
			return err;
		else
			options->targets[kept++] = target;
	}
	options->target_count = kept;
	return 0;
}

/* Whether `tool` is in PATH, or in one of the folders where Debian hides the
   programs of PostgreSQL. */
static bool has_tool(const char *tool)
{
	char command[256];

	snprintf(command, sizeof(command),
	         "PATH=$PATH:/sbin:/usr/sbin:$(echo /usr/lib/postgresql/*/bin |"
	         " tr ' ' ':') command -v %s >/dev/null",
	         tool);
	return system(command) == 0;
}

/* NULL: nothing is missing. */
static const char *missing(const struct fsoptions *options,
                           const struct fswork *work)
{
	static char why[64];
	char tools[128];

	if (work->needs_tar && options->tar == NULL)
		return "no --tar";
	if (work->needs_sources && options->sources == NULL)
		return "no --sources";
	snprintf(tools, sizeof(tools), "%s",
	         work->tools != NULL ? work->tools : "");
	for (char *tool = strtok(tools, " "); tool != NULL;
	     tool = strtok(NULL, " ")) {
		if (has_tool(tool))
			continue;
		snprintf(why, sizeof(why), "%s is not installed", tool);
		return why;
	}
	return NULL;
}

static int one_workload(const struct fsoptions *options,
                        const struct fswork *work)
{
	unsigned count = options->target_count;
	int first_err = 0;

	for (unsigned i = 0; i < count; i++) {
		runs[i].name = options->targets[i].name;
		runs[i].count = 0;
	}
	for (unsigned round = 0; round < options->rounds; round++) {
		for (unsigned i = 0; i < count && !fsrun_stopped(); i++) {
			int err;

			if (runs[i].count != round)
				continue; /* it failed before */
			err = fsrun_workload(options, &options->targets[i],
			                     work, &runs[i].results[round]);
			if (err == 0)
				runs[i].count++;
			else
				first_err = err;
		}
	}
	fsreport_workload(work, runs, count);
	return first_err;
}

static bool all_workloads(const struct fsoptions *options)
{
	bool good = true;

	for (unsigned i = 0; fsworks[i] != NULL; i++) {
		const struct fswork *work;

		for (work = fsworks[i]; work->name != NULL; work++) {
			const char *why;

			if (!fsoptions_select(options, work) || fsrun_stopped())
				continue;
			why = missing(options, work);
			if (why != NULL)
				fsreport_left_out(work->name, why);
			else if (one_workload(options, work) != 0)
				good = false;
		}
	}
	return good;
}

int main(int argc, char **argv)
{
	struct fsoptions options;
	bool good;

	fsoptions_parse(&options, argc, argv);
	if (data_prepare() != LSM_OK) {
		fprintf(stderr, "fsbench: no memory\n");
		return EXIT_FAILURE;
	}
	fsrun_catch_signals();
	fsreport_begin(&options);
	good = leave_out_targets(&options) == 0 && all_workloads(&options);
	if (fsreport_end(options.json_path) != 0)
		good = false;
	return good && !fsrun_stopped() ? EXIT_SUCCESS : EXIT_FAILURE;
}
