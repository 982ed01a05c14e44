/* SPDX-License-Identifier: MIT */
#include "tests/bench/fsoptions.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_SCALE 0.1

static const char usage[] =
    "Usage: fsbench [OPTION]... NAME=FOLDER...\n"
    "Do the same work in each FOLDER in turn, in several rounds, and print "
    "how\n"
    "long it took beside the first.\n\n"
    "  -l, --list              name the workloads and their phases\n"
    "  -w, --workloads=A,B...  these only (default: all); A* stands for all\n"
    "                          that begin with A\n"
    "  -s, --scale=FRACTION    of the full number of files and bytes (0.1)\n"
    "  -r, --rounds=N          medians of so many are printed (3)\n"
    "  -j, --json=FILE         write the figures there too\n"
    "      --recipe=PROGRAM    how to make, mount, unmount and weigh what is\n"
    "                          called NAME: it is run with an action, NAME "
    "and\n"
    "                          FOLDER. docs/benchmarks.md has the actions, "
    "and\n"
    "                          tests/bench/fsbench_fs.sh is one. Without it\n"
    "                          folders stay mounted, and cold means that the\n"
    "                          kernel was asked to drop its caches\n"
    "      --tar=FILE          a source tree for the workloads that need one\n"
    "      --sources=FOLDER    C files to compile\n"
    "      --scratch=FOLDER    for logs of tools (default: $TMPDIR or /tmp)\n"
    "  -h, --help              this text\n\n"
    "The exit status is 1 when something failed.\n";

static bool matches_any(const char *pattern)
{
	for (unsigned i = 0; fsworks[i] != NULL; i++)
		for (const struct fswork *w = fsworks[i]; w->name != NULL; w++)
			if (arg_name_matches(pattern, w->name))
				return true;
	return false;
}

static void __attribute__((noreturn)) list(void)
{
	for (unsigned i = 0; fsworks[i] != NULL; i++) {
		for (const struct fswork *w = fsworks[i]; w->name != NULL;
		     w++) {
			printf("%-16s %s\n%-16s", w->name, w->help, "");
			for (unsigned p = 0; p < FSWORK_PHASES_MAX; p++)
				if (w->phases[p].call != NULL &&
				    (w->phases[p].flags & FSWORK_QUIET) == 0)
					printf(" %s", w->phases[p].name);
			printf("\n");
		}
	}
	exit(EXIT_SUCCESS);
}

bool fsoptions_select(const struct fsoptions *options,
                      const struct fswork *work)
{
	return options->workloads[0] == NULL ||
	       arg_named(options->workloads, work->name);
}

/* A name is printed and handed to the recipe: plain letters only. */
static void add_target(struct fsoptions *options, char *text)
{
	char *equals = strchr(text, '=');
	struct fsoptions_target *target;

	if (equals == NULL || equals == text || equals[1] != '/')
		arg_mistake(text, "not NAME=/FOLDER");
	if (options->target_count == FSOPTIONS_TARGETS_MAX)
		arg_mistake(text, "too many");
	*equals = '\0';
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-")] !=
	    '\0')
		arg_mistake(text, "a name has a to z, 0 to 9, - and _");
	for (unsigned i = 0; i < options->target_count; i++)
		if (strcmp(options->targets[i].name, text) == 0)
			arg_mistake(text, "twice");
	target = &options->targets[options->target_count++];
	target->name = text;
	target->folder = equals + 1;
}

enum long_option {
	OPTION_RECIPE = 256,
	OPTION_TAR,
	OPTION_SOURCES,
	OPTION_SCRATCH,
};

static const struct option long_options[] = {
    {"list", no_argument, NULL, 'l'},
    {"workloads", required_argument, NULL, 'w'},
    {"scale", required_argument, NULL, 's'},
    {"rounds", required_argument, NULL, 'r'},
    {"json", required_argument, NULL, 'j'},
    {"recipe", required_argument, NULL, OPTION_RECIPE},
    {"tar", required_argument, NULL, OPTION_TAR},
    {"sources", required_argument, NULL, OPTION_SOURCES},
    {"scratch", required_argument, NULL, OPTION_SCRATCH},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static void parse_path(struct fsoptions *options, int c, const char *text)
{
	switch (c) {
	case OPTION_RECIPE:
		options->recipe = text;
		break;
	case OPTION_TAR:
		options->tar = text;
		break;
	case OPTION_SOURCES:
		options->sources = text;
		break;
	case OPTION_SCRATCH:
		options->scratch = text;
		break;
	default:
		fputs(usage, stderr);
		exit(2);
	}
	/* Tools run in other folders. */
	if (text[0] != '/')
		arg_mistake(text, "not an absolute path");
}

static void parse_one(struct fsoptions *options, int c)
{
	switch (c) {
	case 'l':
		list();
	case 'w':
		arg_names(optarg, options->workloads);
		break;
	case 's':
		options->scale = arg_fraction(optarg, 100);
		break;
	case 'r':
		options->rounds = arg_count(optarg, FSOPTIONS_ROUNDS_MAX);
		break;
	case 'j':
		options->json_path = optarg;
		break;
	case 'h':
		fputs(usage, stdout);
		exit(EXIT_SUCCESS);
	default:
		parse_path(options, c, optarg);
	}
}

void fsoptions_parse(struct fsoptions *options, int argc, char **argv)
{
	int c;

	*options = (struct fsoptions){
	    .scale = DEFAULT_SCALE,
	    .rounds = 3,
	    .scratch = getenv("TMPDIR"),
	};
	if (options->scratch == NULL || options->scratch[0] != '/')
		options->scratch = "/tmp";
	while ((c = getopt_long(argc, argv, "lw:s:r:j:h", long_options,
	                        NULL)) != -1)
		parse_one(options, c);
	for (; optind < argc; optind++)
		add_target(options, argv[optind]);
	if (options->target_count == 0)
		arg_mistake("NAME=/FOLDER", "is missing");
	for (unsigned i = 0; options->workloads[i] != NULL; i++)
		if (!matches_any(options->workloads[i]))
			arg_mistake(options->workloads[i], "no such workload");
}
