/* SPDX-License-Identifier: MIT */
#include "tests/bench/fsreport.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/median.h"

/* The medians of one filesystem in one phase; 0: there is none. */
struct figures {
	const char *name;
	double seconds, sync_s, rate;
};

/* One of ours in one phase that has a goal. */
struct standing {
	char what[64];
	const char *name;
	double to_ext4, goal;  /* 0: none */
	double to_null, floor; /* likewise */
};

enum { STANDINGS_MAX = 256, CELL_BYTES = 16 };

/* What ours may take more than the null filesystem. */
#define FLOOR_GOAL 1.3

static struct standing standings[STANDINGS_MAX];
static unsigned standing_count;
static json_t *all_json; /* NULL when there was no memory */

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static bool is_ours(const char *name)
{
	return strncmp(name, "shalefs", strlen("shalefs")) == 0;
}

/* A number, or a dash where there is none. */
static const char *cell(char out[CELL_BYTES], const char *format, double value)
{
	if (value <= 0)
		format = "-";
	snprintf(out, CELL_BYTES, format, value);
	return out;
}

static struct figures figures_of(const struct fsreport_runs *runs,
                                 unsigned phase)
{
	double seconds[FSOPTIONS_ROUNDS_MAX], syncs[FSOPTIONS_ROUNDS_MAX];
	struct figures f = {.name = runs->name};

	if (runs->count == 0)
		return f;
	for (unsigned i = 0; i < runs->count; i++) {
		seconds[i] = runs->results[i].phases[phase].seconds;
		syncs[i] = runs->results[i].phases[phase].sync_s;
	}
	f.seconds = median(seconds, runs->count);
	f.sync_s = median(syncs, runs->count);
	f.rate = ratio((double)runs->results[0].phases[phase].ops, f.seconds);
	return f;
}

/* Keeps the reference when it is handed on; loses all when memory is short. */
static void note_json(json_t *row)
{
	if (all_json == NULL || row == NULL ||
	    json_array_append_new(all_json, row) != 0) {
		json_decref(all_json);
		all_json = NULL;
	}
}

void fsreport_begin(const struct fsoptions *options)
{
	printf("scale %g, median of %u; seconds, final syncs included\n",
	       options->scale, options->rounds);
#ifndef NDEBUG
	printf("this build has assertions: compare nothing but ratios\n");
#endif
	all_json = json_array();
}

void fsreport_left_out(const char *name, const char *why)
{
	printf("left out: %s: %s\n", name, why);
	fflush(stdout);
	note_json(json_pack("{ss ss}", "left_out", name, "why", why));
}

/* ---- one phase ------------------------------------------------------------ */

static double seconds_of(const struct figures *figures, unsigned count,
                         const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(figures[i].name, name) == 0)
			return figures[i].seconds;
	return 0;
}

static struct standing *new_standing(const char *work, const char *phase,
                                     const char *name)
{
	struct standing *s;

	if (standing_count == STANDINGS_MAX)
		return NULL;
	s = &standings[standing_count++];
	*s = (struct standing){.name = name};
	snprintf(s->what, sizeof(s->what), "%s %s", work, phase);
	return s;
}

static void note_standing(const struct fswork *work,
                          const struct fswork_phase *phase,
                          const struct figures *f, double ext4, double null)
{
	bool floor = (phase->flags & FSWORK_FLOOR) != 0;
	struct standing *s;

	if (!is_ours(f->name) || (phase->goal == 0 && !floor))
		return;
	s = new_standing(work->name, phase->name, f->name);
	if (s == NULL)
		return;
	s->goal = phase->goal;
	s->to_ext4 = phase->goal > 0 ? ratio(f->seconds, ext4) : 0;
	s->floor = floor ? FLOOR_GOAL : 0;
	s->to_null = floor ? ratio(f->seconds, null) : 0;
}

static void report_phase(const struct fswork *work, unsigned index,
                         const struct fsreport_runs *runs, unsigned count)
{
	const struct fswork_phase *phase = &work->phases[index];
	struct figures figures[FSOPTIONS_TARGETS_MAX];
	char sync[CELL_BYTES], rate[CELL_BYTES], by[CELL_BYTES], to[CELL_BYTES];

	for (unsigned i = 0; i < count; i++)
		figures[i] = figures_of(&runs[i], index);
	printf("\n%-24s %9s %8s %10s %8s %8s\n", "", "s", "sync", "a second",
	       "to first", "to null");
	printf("%s %s\n", work->name, phase->name);
	for (unsigned i = 0; i < count; i++) {
		struct figures *f = &figures[i];
		double null = seconds_of(figures, count, "null");
		double first = ratio(f->seconds, figures[0].seconds);

		if (f->seconds <= 0)
			continue;
		printf("  %-22s %9.4f %8s %10s %8s %8s\n", f->name, f->seconds,
		       cell(sync, "%.4f", f->sync_s),
		       cell(rate, "%.0f", f->rate), cell(by, "%.2f", first),
		       cell(to, "%.2f", ratio(f->seconds, null)));
		note_json(json_pack(
		    "{ss ss ss sf sf sf sf}", "workload", work->name, "phase",
		    phase->name, "name", f->name, "seconds", f->seconds,
		    "sync_seconds", f->sync_s, "operations_per_second", f->rate,
		    "ratio_to_first", first));
		note_standing(work, phase, f,
		              seconds_of(figures, count, "ext4"), null);
	}
}

/* ---- space ---------------------------------------------------------------- */

static double space_of(const struct fsreport_runs *runs, double *logical)
{
	double space[FSOPTIONS_ROUNDS_MAX];

	*logical = 0;
	if (runs->count == 0)
		return 0;
	for (unsigned i = 0; i < runs->count; i++)
		space[i] = (double)runs->results[i].space_bytes;
	*logical = (double)runs->results[0].logical_bytes;
	return median(space, runs->count);
}

static void report_space(const struct fswork *work,
                         const struct fsreport_runs *runs, unsigned count)
{
	printf("\n%s space, MiB after unmounting\n", work->name);
	for (unsigned i = 0; i < count; i++) {
		double logical, space = space_of(&runs[i], &logical);
		struct standing *s;

		if (logical <= 0)
			continue;
		printf("  %-22s %9.1f of %.1f written: %.2f\n", runs[i].name,
		       space / (1 << 20), logical / (1 << 20),
		       ratio(space, logical));
		note_json(json_pack("{ss ss ss sf sf}", "workload", work->name,
		                    "phase", "space", "name", runs[i].name,
		                    "bytes", space, "logical_bytes", logical));
		if (work->space_goal <= 0 || !is_ours(runs[i].name))
			continue;
		s = new_standing(work->name, "space", runs[i].name);
		if (s != NULL) {
			s->goal = work->space_goal;
			s->to_ext4 = ratio(space, logical);
		}
	}
}

void fsreport_workload(const struct fswork *work,
                       const struct fsreport_runs *runs, unsigned count)
{
	bool weighs = false, any = false;

	for (unsigned i = 0; i < count; i++)
		any |= runs[i].count > 0;
	if (!any)
		return;
	for (unsigned i = 0; i < FSWORK_PHASES_MAX; i++) {
		unsigned flags = work->phases[i].flags;

		if (work->phases[i].call == NULL)
			break;
		weighs |= (flags & FSWORK_WEIGH) != 0;
		if ((flags & FSWORK_QUIET) == 0)
			report_phase(work, i, runs, count);
	}
	if (weighs)
		report_space(work, runs, count);
	fflush(stdout);
}

/* ---- goals ---------------------------------------------------------------- */

static char mark(double value, double goal)
{
	return value > 0 && goal > 0 && value > goal ? '!' : ' ';
}

static void print_standing(const struct standing *s)
{
	char by[CELL_BYTES], goal[CELL_BYTES], to[CELL_BYTES],
	    floor[CELL_BYTES];

	printf("%-24s %-18s %8s%c %6s  %8s%c %6s\n", s->what, s->name,
	       cell(by, "%.2f", s->to_ext4), mark(s->to_ext4, s->goal),
	       cell(goal, "%.2f", s->goal), cell(to, "%.2f", s->to_null),
	       mark(s->to_null, s->floor), cell(floor, "%.2f", s->floor));
}

int fsreport_end(const char *json_path)
{
	int err = 0;

	if (standing_count > 0)
		printf("\ntimes ext4 (of space: times what was written) and "
		       "times null; ! misses the goal\n%-24s %-18s %8s  %6s  "
		       "%8s  %6s\n",
		       "", "", "ext4", "goal", "null", "goal");
	for (unsigned i = 0; i < standing_count; i++)
		print_standing(&standings[i]);
	if (json_path != NULL &&
	    (all_json == NULL ||
	     json_dump_file(all_json, json_path, JSON_INDENT(1)) != 0)) {
		fprintf(stderr, "fsbench: %s: it could not be written\n",
		        json_path);
		err = EIO;
	}
	json_decref(all_json);
	return err;
}
