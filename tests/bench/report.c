/* SPDX-License-Identifier: MIT */
#include "tests/bench/report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/median.h"

/* What is printed of one engine in one phase; each the median of all runs. */
struct figures {
	double settled_rate, foreground_rate; /* operations a second */
	double amplification, space;          /* ratios; 0: not applicable */
	double p50_us, p99_us, p999_us, max_us;
	double peak_mib, settled_s, foreground_s, read_mib;
	double cpu_us; /* of the processors, for one operation */
};

/* Ours against the better rival, each figure by itself. */
struct ratios {
	char name[64];
	enum phase_goal goal;
	double settled_rate, foreground_rate, amplification, space, p999, peak,
	    cpu;
};

enum { RATIOS_MAX = 256 };

static struct ratios all_ratios[RATIOS_MAX];
static unsigned ratios_count;
static json_t *all_json; /* NULL when there was no memory */

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

typedef double (*figure_fn)(const struct run_result *result);

static double middle(const struct report_runs *runs, unsigned phase,
                     figure_fn figure)
{
	double values[REPORT_REPEATS_MAX];

	for (unsigned i = 0; i < runs->count; i++)
		values[i] = figure(&runs->results[i][phase]);
	return median(values, runs->count);
}

static double settled_rate(const struct run_result *r)
{
	return ratio((double)r->ops, r->settled_s);
}

static double foreground_rate(const struct run_result *r)
{
	return ratio((double)r->ops, r->foreground_s);
}

static double amplification(const struct run_result *r)
{
	return ratio((double)r->disk_write_bytes, (double)r->written_bytes);
}

static double space(const struct run_result *r)
{
	return ratio((double)r->space_bytes, (double)r->live_bytes);
}

static double p50_us(const struct run_result *r)
{
	return (double)r->p50_ns / 1e3;
}

static double p99_us(const struct run_result *r)
{
	return (double)r->p99_ns / 1e3;
}

static double p999_us(const struct run_result *r)
{
	return (double)r->p999_ns / 1e3;
}

static double max_us(const struct run_result *r)
{
	return (double)r->max_ns / 1e3;
}

static double peak_mib(const struct run_result *r)
{
	return (double)r->peak_bytes / (1 << 20);
}

static double read_mib(const struct run_result *r)
{
	return (double)r->disk_read_bytes / (1 << 20);
}

static double cpu_us(const struct run_result *r)
{
	return ratio(r->cpu_s * 1e6, (double)r->ops);
}

static double settled_s(const struct run_result *r)
{
	return r->settled_s;
}

static double foreground_s(const struct run_result *r)
{
	return r->foreground_s;
}

static struct figures figures_of(const struct report_runs *runs, unsigned phase,
                                 bool writes)
{
	return (struct figures){
	    .settled_rate = middle(runs, phase, settled_rate),
	    .foreground_rate = middle(runs, phase, foreground_rate),
	    .amplification = writes ? middle(runs, phase, amplification) : 0,
	    .space = writes ? middle(runs, phase, space) : 0,
	    .p50_us = middle(runs, phase, p50_us),
	    .p99_us = middle(runs, phase, p99_us),
	    .p999_us = middle(runs, phase, p999_us),
	    .max_us = middle(runs, phase, max_us),
	    .peak_mib = middle(runs, phase, peak_mib),
	    .settled_s = middle(runs, phase, settled_s),
	    .foreground_s = middle(runs, phase, foreground_s),
	    .read_mib = middle(runs, phase, read_mib),
	    .cpu_us = middle(runs, phase, cpu_us),
	};
}

/* ---- tables -------------------------------------------------------------------- */

void report_begin(const struct run_settings *settings, unsigned repeats)
{
	const struct engine_settings *engine = &settings->engine;

	printf("scale %g, median of %u; write buffers %.1f MiB, cache %.1f "
	       "MiB, level base %.1f MiB, tables %.1f MiB, blocks ",
	       settings->scale, repeats,
	       (double)engine->buffer_bytes / (1 << 20),
	       (double)engine->cache_bytes / (1 << 20),
	       (double)engine->level_base_bytes / (1 << 20),
	       (double)engine->table_bytes / (1 << 20));
	if (engine->block_bytes == 0)
		printf("as each engine has them");
	else
		printf("%" PRIu32 " B", engine->block_bytes);
	if (settings->sync_period_ms > 0)
		printf(", logs synced each %" PRIu32 " ms\n",
		       settings->sync_period_ms);
	else
		printf(", no sync of logs but where the workload asks\n");
#ifndef NDEBUG
	printf("this build has assertions: compare nothing but ratios\n");
#endif
	all_json = json_array();
}

enum { CELL_BYTES = 16 };

/* A ratio, or a dash where there is none. */
static const char *cell(char out[CELL_BYTES], double value)
{
	if (value > 0)
		snprintf(out, CELL_BYTES, "%.2f", value);
	else
		snprintf(out, CELL_BYTES, "-");
	return out;
}

static void print_engine(const char *name, const struct figures *f)
{
	char written[CELL_BYTES], kept[CELL_BYTES];

	printf("  %-13s %10.0f %10.0f %8.2f %8.2f %7.2f %7s %7s %9.1f "
	       "%9.1f %9.1f %10.0f %8.1f %8.1f\n",
	       name, f->settled_rate, f->foreground_rate, f->settled_s,
	       f->foreground_s, f->cpu_us, cell(written, f->amplification),
	       cell(kept, f->space), f->p50_us, f->p99_us, f->p999_us,
	       f->max_us, f->peak_mib, f->read_mib);
}

static void better(double *best, double value, bool more)
{
	if (*best == 0 || (more ? value > *best : value < *best))
		*best = value;
}

/* The best of each figure that any rival reached. */
static void take_best(struct figures *best, const struct figures *f)
{
	better(&best->settled_rate, f->settled_rate, true);
	better(&best->foreground_rate, f->foreground_rate, true);
	better(&best->amplification, f->amplification, false);
	better(&best->space, f->space, false);
	better(&best->p999_us, f->p999_us, false);
	better(&best->peak_mib, f->peak_mib, false);
	better(&best->cpu_us, f->cpu_us, false);
}

/* What a phase is to reach, by kind; 0: nothing. */
static double rate_goal(enum phase_goal goal)
{
	switch (goal) {
	case GOAL_WRITE:
	case GOAL_CHUNK:
		return 1.5;
	case GOAL_READ:
		return 1.2;
	case GOAL_LOAD:
	case GOAL_NONE:
		break;
	}
	return 0;
}

static char mark(bool missed)
{
	return missed ? '!' : ' ';
}

static void print_ratios(const struct ratios *r)
{
	char written[CELL_BYTES], kept[CELL_BYTES];

	printf("%-26s %6.2f%c %6.2f %6.2f %7s%c %7s %7.2f%c %7.2f%c\n", r->name,
	       r->settled_rate, mark(r->settled_rate < rate_goal(r->goal)),
	       r->foreground_rate, r->cpu, cell(written, r->amplification),
	       mark(r->goal == GOAL_CHUNK && r->amplification > 0.5),
	       cell(kept, r->space), r->p999,
	       mark(r->goal == GOAL_LOAD && r->p999 > 0.5), r->peak,
	       mark(r->peak > 1));
}

static void print_ratios_head(const char *first)
{
	printf("%-26s %6s  %6s %6s %7s  %7s %7s  %7s\n", first, "rate", "fore",
	       "cpu", "amplif", "space", "p99.9", "memory");
}

static void note_ratios(const struct workload *workload,
                        const struct phase *phase, const struct figures *ours,
                        const struct figures *best)
{
	struct ratios *r;

	if (ratios_count == RATIOS_MAX)
		return;
	r = &all_ratios[ratios_count++];
	snprintf(r->name, sizeof(r->name), "%s %s", workload->name,
	         phase->name);
	r->goal = phase->goal;
	r->settled_rate = ratio(ours->settled_rate, best->settled_rate);
	r->foreground_rate =
	    ratio(ours->foreground_rate, best->foreground_rate);
	r->amplification = ratio(ours->amplification, best->amplification);
	r->space = ratio(ours->space, best->space);
	r->p999 = ratio(ours->p999_us, best->p999_us);
	r->peak = ratio(ours->peak_mib, best->peak_mib);
	r->cpu = ratio(ours->cpu_us, best->cpu_us);
	print_ratios_head("  ratios to the better");
	print_ratios(r);
}

static void note_json(const struct workload *workload,
                      const struct phase *phase, const char *engine,
                      const struct figures *f)
{
	json_t *row = json_pack(
	    "{ss ss ss sf sf sf sf sf sf sf sf sf sf sf sf sf}", "workload",
	    workload->name, "phase", phase->name, "engine", engine,
	    "ops_per_second", f->settled_rate, "ops_per_second_foreground",
	    f->foreground_rate, "seconds", f->settled_s, "seconds_foreground",
	    f->foreground_s, "write_amplification", f->amplification,
	    "space_over_live", f->space, "p50_us", f->p50_us, "p99_us",
	    f->p99_us, "p999_us", f->p999_us, "max_us", f->max_us,
	    "peak_resident_mib", f->peak_mib, "disk_read_mib", f->read_mib,
	    "cpu_us", f->cpu_us);

	if (all_json == NULL || row == NULL ||
	    json_array_append_new(all_json, row) != 0) {
		json_decref(all_json);
		all_json = NULL;
	}
}

static void report_phase(const struct workload *workload, unsigned phase,
                         const struct report_runs *runs, unsigned engines_count)
{
	const struct phase *p = &workload->phases[phase];
	struct figures ours = {0}, best = {0};
	bool has_ours = false, has_rival = false;

	printf("\n%s: %s\n", workload->name, p->name);
	printf("  %-13s %10s %10s %8s %8s %7s %7s %7s %9s %9s %9s %10s %8s "
	       "%8s\n",
	       "", "ops/s", "foreground", "s", "foregr.", "cpu us", "amplif",
	       "space", "p50 us", "p99 us", "p99.9 us", "max us", "MiB peak",
	       "MiB read");
	for (unsigned i = 0; i < engines_count; i++) {
		struct figures f = figures_of(&runs[i], phase, p->writes);

		print_engine(runs[i].engine->name, &f);
		note_json(workload, p, runs[i].engine->name, &f);
		if (runs[i].engine == &engine_lsm) {
			ours = f;
			has_ours = true;
		} else if (runs[i].engine->is_rival) {
			take_best(&best, &f);
			has_rival = true;
		}
	}
	if (has_ours && has_rival)
		note_ratios(workload, p, &ours, &best);
	fflush(stdout);
}

void report_workload(const struct workload *workload,
                     const struct report_runs *runs, unsigned engines_count)
{
	for (unsigned i = 0; i < WORKLOAD_PHASES_MAX; i++)
		if (workload->phases[i].goal != GOAL_NONE)
			report_phase(workload, i, runs, engines_count);
}

enum lsm_err report_end(const char *json_path)
{
	enum lsm_err err = LSM_OK;

	if (ratios_count > 0) {
		printf(
		    "\nours over the better of the rivals, figure by figure; "
		    "! misses a goal\n");
		print_ratios_head("");
	}
	for (unsigned i = 0; i < ratios_count; i++)
		print_ratios(&all_ratios[i]);
	if (json_path != NULL &&
	    (all_json == NULL ||
	     json_dump_file(all_json, json_path, JSON_INDENT(1)) != 0)) {
		fprintf(stderr, "kvbench: %s: it could not be written\n",
		        json_path);
		err = LSM_ERR_IO;
	}
	json_decref(all_json);
	return err;
}
