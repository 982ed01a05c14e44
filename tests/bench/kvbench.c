/* SPDX-License-Identifier: MIT */
/*
 * kvbench.c: the same work for our engine and for others, side by side.
 *
 * Each run of a workload is a process of its own; the engines take turns, so
 * that a slow minute of the machine hits them all. docs/benchmarks.md says how
 * the settings are made equal and what the columns mean.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/arg.h"
#include "tests/bench/budget.h"
#include "tests/bench/compaction.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"

static struct report_runs runs[REPORT_ENGINES_MAX];

static bool takes_part(const struct options *options,
                       const struct engine *engine,
                       const struct workload *workload)
{
	if (options->engines[0] != NULL)
		return arg_named(options->engines, engine->name);
	if (engine->if_named)
		return false;
	if (workload->rivals_only && engine != &engine_lsm && !engine->is_rival)
		return false;
	return workload->chunks || !engine->chunks_only;
}

static enum lsm_err one_workload(const struct options *options,
                                 const struct workload *workload)
{
	unsigned count = 0;
	enum lsm_err err = LSM_OK;

	for (unsigned i = 0; engines[i] != NULL; i++)
		if (takes_part(options, engines[i], workload) &&
		    count < REPORT_ENGINES_MAX)
			runs[count++] = (struct report_runs){
			    .engine = engines[i],
			};
	for (unsigned repeat = 0; repeat < options->repeats; repeat++) {
		for (unsigned i = 0; err == LSM_OK && i < count; i++) {
			err = run_workload(&options->run, runs[i].engine,
			                   workload, runs[i].results[repeat]);
			runs[i].count++;
			if (err != LSM_OK)
				fprintf(stderr, "kvbench: %s failed with %s\n",
				        workload->name, runs[i].engine->name);
		}
	}
	if (err == LSM_OK)
		report_workload(workload, runs, count);
	return err;
}

int main(int argc, char **argv)
{
	struct options options;
	bool failed = false;

	if (argc > 1 && strcmp(argv[1], "budget") == 0)
		return budget_main(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "compaction") == 0)
		return compaction_main(argc - 1, argv + 1);
	options_parse(&options, argc, argv);
	report_begin(&options.run, options.repeats);
	for (unsigned i = 0; workloads[i] != NULL; i++) {
		const struct workload *w;

		for (w = workloads[i]; w->name != NULL; w++)
			if (options_selects(&options, w) &&
			    one_workload(&options, w) != LSM_OK)
				failed = true;
	}
	if (report_end(options.json_path) != LSM_OK)
		failed = true;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
