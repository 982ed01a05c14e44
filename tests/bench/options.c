/* SPDX-License-Identifier: MIT */
#include "tests/bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/arg.h"
#include "tests/bench/report.h"

enum {
	MIB = 1 << 20,
	FULL_BUFFER_BYTES = 64 * MIB,
	FULL_CACHE_BYTES = 64 * MIB,
	FULL_LEVEL_BASE_BYTES = 256 * MIB,
	FULL_TABLE_BYTES = 32 * MIB,
	LEAST_BUFFER_BYTES = 4 * MIB,
	LEAST_CACHE_BYTES = 8 * MIB,
	LEAST_LEVEL_BASE_BYTES = 16 * MIB,
	LEAST_TABLE_BYTES = 2 * MIB,
	FULL_MINUTES = 5,
};
#define DEFAULT_SCALE 0.02
#define LEAST_MINUTES 0.05

static const char usage[] =
    "Usage: kvbench [OPTION]... [FOLDER]\n"
    "       kvbench budget [OPTION]... [FOLDER]\n"
    "       kvbench compaction [OPTION]... [FOLDER]\n"
    "Do the same work with our engine and with others, in stores below FOLDER\n"
    "(default: .), each run in a process of its own, the engines in turn.\n"
    "`budget` is about what bounding unflushed bytes costs, `compaction` "
    "about\n"
    "what a manual compaction costs a writer; each has its own --help.\n\n"
    "  -l, --list              name the workloads and the engines\n"
    "  -w, --workloads=A,B...  these only (default: a short suite; with "
    "--full:\n"
    "                          all); A* stands for all that begin with A\n"
    "  -e, --engines=A,B...    these only (default: all of this build;\n"
    "                          rocksdb-blob where values are large)\n"
    "  -s, --scale=FRACTION    of the full number of entries, and of the "
    "memory\n"
    "                          down to a least (default 0.02)\n"
    "  -f, --full              all workloads, at scale 1\n"
    "  -r, --repeat=N          runs of each; medians are printed (default 3)\n"
    "  -m, --minutes=N         of the workload that overloads (default 5, "
    "times\n"
    "                          the scale)\n"
    "  -j, --json=FILE         write the figures there too\n"
    "      --buffer=BYTES      write buffers together (default 64M at scale "
    "1)\n"
    "      --cache=BYTES       of blocks, indexes and filters (64M)\n"
    "      --level-base=BYTES  largest size of the first sorted level (256M)\n"
    "      --table=BYTES       that compactions aim at (32M)\n"
    "      --block=BYTES       of tables (default: what each engine has)\n"
    "      --sync-period=MS    sync every engine's log so often (default: "
    "never)\n"
    "  -h, --help              this text\n\n"
    "BYTES may end in K, M or G. The exit status is 1 when an engine failed "
    "or\n"
    "when what was read was not what had been written.\n";

bool options_selects(const struct options *options,
                     const struct workload *workload)
{
	if (options->workloads[0] != NULL)
		return arg_named(options->workloads, workload->name);
	return options->full || !workload->no_short;
}

static bool is_workload(const char *pattern)
{
	for (unsigned i = 0; workloads[i] != NULL; i++)
		for (const struct workload *w = workloads[i]; w->name != NULL;
		     w++)
			if (arg_name_matches(pattern, w->name))
				return true;
	return false;
}

static bool is_engine(const char *pattern)
{
	for (unsigned i = 0; engines[i] != NULL; i++)
		if (arg_name_matches(pattern, engines[i]->name))
			return true;
	return false;
}

static void check_names(const struct options *options)
{
	for (unsigned i = 0; options->workloads[i] != NULL; i++)
		if (!is_workload(options->workloads[i]))
			arg_mistake(options->workloads[i], "no such workload");
	for (unsigned i = 0; options->engines[i] != NULL; i++)
		if (!is_engine(options->engines[i]))
			arg_mistake(options->engines[i], "not in this build");
}

static void __attribute__((noreturn)) list(void)
{
	for (unsigned i = 0; workloads[i] != NULL; i++) {
		const struct workload *w;

		for (w = workloads[i]; w->name != NULL; w++) {
			printf("%-16s %s\n%-16s", w->name, w->help, "");
			for (unsigned p = 0; p < WORKLOAD_PHASES_MAX; p++)
				if (w->phases[p].goal != GOAL_NONE)
					printf(" %s", w->phases[p].name);
			printf("%s\n", w->no_short ? " (not by default)" : "");
		}
	}
	printf("\n");
	for (unsigned i = 0; engines[i] != NULL; i++)
		printf("%-16s %s\n", engines[i]->name,
		       engines[i]->note != NULL ? engines[i]->note : "");
	exit(EXIT_SUCCESS);
}

/* ---- the whole -------------------------------------------------------------------- */

static void set_default(uint64_t *bytes, double scale, uint64_t full,
                        uint64_t least)
{
	if (*bytes == 0)
		*bytes = run_scaled(scale < 1 ? scale : 1, full, least);
}

static void finish(struct options *options)
{
	struct engine_settings *engine = &options->run.engine;
	double scale = options->run.scale;

	if (scale == 0)
		scale = options->full ? 1 : DEFAULT_SCALE;
	options->run.scale = scale;
	set_default(&engine->buffer_bytes, scale, FULL_BUFFER_BYTES,
	            LEAST_BUFFER_BYTES);
	set_default(&engine->cache_bytes, scale, FULL_CACHE_BYTES,
	            LEAST_CACHE_BYTES);
	set_default(&engine->level_base_bytes, scale, FULL_LEVEL_BASE_BYTES,
	            LEAST_LEVEL_BASE_BYTES);
	set_default(&engine->table_bytes, scale, FULL_TABLE_BYTES,
	            LEAST_TABLE_BYTES);
	if (options->run.minutes == 0)
		options->run.minutes = FULL_MINUTES * scale;
	if (options->run.minutes < LEAST_MINUTES)
		options->run.minutes = LEAST_MINUTES;
}

enum long_option {
	OPTION_BUFFER = 256,
	OPTION_CACHE,
	OPTION_LEVEL_BASE,
	OPTION_TABLE,
	OPTION_BLOCK,
	OPTION_SYNC_PERIOD,
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},
    {"workloads", required_argument, NULL, 'w'},
    {"engines", required_argument, NULL, 'e'},
    {"scale", required_argument, NULL, 's'},
    {"full", no_argument, NULL, 'f'},
    {"repeat", required_argument, NULL, 'r'},
    {"minutes", required_argument, NULL, 'm'},
    {"json", required_argument, NULL, 'j'},
    {"buffer", required_argument, NULL, OPTION_BUFFER},
    {"cache", required_argument, NULL, OPTION_CACHE},
    {"level-base", required_argument, NULL, OPTION_LEVEL_BASE},
    {"table", required_argument, NULL, OPTION_TABLE},
    {"block", required_argument, NULL, OPTION_BLOCK},
    {"sync-period", required_argument, NULL, OPTION_SYNC_PERIOD},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void parse_setting(struct options *options, int c, const char *text)
{
	struct engine_settings *engine = &options->run.engine;

	switch (c) {
	case OPTION_BUFFER:
		engine->buffer_bytes = arg_size(text);
		break;
	case OPTION_CACHE:
		engine->cache_bytes = arg_size(text);
		break;
	case OPTION_LEVEL_BASE:
		engine->level_base_bytes = arg_size(text);
		break;
	case OPTION_TABLE:
		engine->table_bytes = arg_size(text);
		break;
	case OPTION_BLOCK:
		engine->block_bytes = arg_count(text, 4 * MIB);
		break;
	case OPTION_SYNC_PERIOD:
		options->run.sync_period_ms = arg_count(text, 3600000);
		break;
	default:
		fputs(usage, stderr);
		exit(2);
	}
}

void options_parse(struct options *options, int argc, char **argv)
{
	int c;

	*options = (struct options){.run.folder = ".", .repeats = 3};
	while ((c = getopt_long(argc, argv, "lw:e:s:fr:m:j:h", long_options,
	                        NULL)) != -1) {
		switch (c) {
		case 'l':
			list();
		case 'w':
			arg_names(optarg, options->workloads);
			break;
		case 'e':
			arg_names(optarg, options->engines);
			break;
		case 's':
			options->run.scale = arg_fraction(optarg, 1000);
			break;
		case 'f':
			options->full = true;
			break;
		case 'r':
			options->repeats =
			    arg_count(optarg, REPORT_REPEATS_MAX);
			break;
		case 'm':
			options->run.minutes = arg_fraction(optarg, 10000);
			break;
		case 'j':
			options->json_path = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		default:
			parse_setting(options, c, optarg);
		}
	}
	if (optind < argc)
		options->run.folder = argv[optind];
	check_names(options);
	finish(options);
}
