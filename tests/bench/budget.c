/* SPDX-License-Identifier: MIT */
/*
 * budget.c: write small entries flat out under a byte budget, and say what it
 * cost.
 *
 * One run prints operations a second, how often writers waited, the most credit
 * that was ever charged, the most bytes that arenas ever held from malloc
 * (counted apart), and the peak resident memory. With --compare it runs itself
 * in turn with the budget and with the budget off, each in a process of its own,
 * and prints the medians side by side. A run is timed until close has returned.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sync.h"
#include "io/env.h"
#include "tests/bench/budget.h"
#include "tests/bench/data.h"
#include "tests/bench/arg.h"

enum {
	MAX_PAIRS = 101,
	MAX_THREADS = 64,
	KEY_BYTES = 16,
	VALUE_MAX_BYTES = 64 << 10,
	POOL_BYTES = 1 << 20, /* of values to choose from */
};

struct config {
	int64_t budget_bytes; /* <= 0: off */
	uint64_t total_bytes;
	uint32_t value_bytes, batch_entries, threads, period_ms, pairs;
	bool sequential, compare;
	const char *folder;
};

struct result {
	double seconds, ops_per_second;
	uint64_t ops, bytes, waits, stall_ns, peak_bytes, arena_peak_bytes;
	uint64_t resident_peak_bytes, store_bytes, compacted_bytes;
};

struct writer {
	const struct config *config;
	struct lsm *store;
	const uint8_t *values;
	uint64_t first, count;
	enum lsm_err err;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kvbench: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void need(enum lsm_err err, const char *what)
{
	if (err != LSM_OK)
		die(what, lsm_strerror(err));
}

/* Bytes of which about half compress away. */
static uint8_t *make_values(void)
{
	uint8_t *values = malloc(POOL_BYTES + VALUE_MAX_BYTES);

	if (values == NULL)
		die("values", "out of memory");
	for (size_t i = 0; i < POOL_BYTES + VALUE_MAX_BYTES; i++)
		values[i] =
		    (i / 16) % 2 == 0 ? 'x' : (uint8_t)data_scatter(i + 1);
	return values;
}

static enum lsm_err write_batch(struct writer *w, struct lsm_batch *batch,
                                uint64_t first, uint32_t entries)
{
	enum lsm_err err = LSM_OK;

	lsm_batch_clear(batch);
	for (uint32_t i = 0; err == LSM_OK && i < entries; i++) {
		uint64_t n = first + i;
		char key[KEY_BYTES + 1];

		snprintf(key, sizeof(key), "%016" PRIx64,
		         w->config->sequential ? n : data_scatter(n));
		err = lsm_batch_put(
		    batch, slice_make(key, KEY_BYTES),
		    slice_make(w->values + data_scatter(n) % POOL_BYTES,
		               w->config->value_bytes));
	}
	if (err == LSM_OK)
		err = lsm_write(w->store, batch, NULL, NULL);
	return err;
}

static void run_writer(void *ctx)
{
	struct writer *w = ctx;
	struct lsm_batch *batch = NULL;
	uint64_t done = 0;

	w->err = lsm_batch_create(&batch);
	while (w->err == LSM_OK && done < w->count) {
		uint32_t entries = w->config->batch_entries;

		if (entries > w->count - done)
			entries = (uint32_t)(w->count - done);
		w->err = write_batch(w, batch, w->first + done, entries);
		done += entries;
	}
	lsm_batch_destroy(batch);
}

static void write_all(const struct config *config, struct lsm *store,
                      uint64_t ops)
{
	struct writer writers[MAX_THREADS];
	struct sync_thread threads[MAX_THREADS] = {0};
	uint8_t *values = make_values();
	uint64_t share = ops / config->threads;

	for (uint32_t i = 0; i < config->threads; i++) {
		writers[i] = (struct writer){config,    store, values,
		                             share * i, share, LSM_OK};
		if (i == config->threads - 1)
			writers[i].count = ops - share * i;
		need(sync_thread_start(&threads[i], "writer", run_writer,
		                       &writers[i]),
		     "thread");
	}
	for (uint32_t i = 0; i < config->threads; i++) {
		sync_thread_join(&threads[i]);
		need(writers[i].err, "write");
	}
	free(values);
}

static uint64_t tables_bytes(const struct lsm_stats *stats)
{
	uint64_t bytes = stats->log_bytes;

	for (unsigned i = 0; i < LSM_LEVELS; i++)
		bytes += stats->levels[i].bytes;
	return bytes;
}

static void one_run(const struct config *config, const char *path,
                    struct result *result)
{
	struct lsm_runtime_options runtime_options;
	struct lsm_options options;
	struct lsm_runtime *runtime;
	struct lsm_stats stats;
	struct lsm *store;
	struct rusage usage;
	uint64_t start;

	lsm_runtime_options_init(&runtime_options);
	runtime_options.credit_bytes = config->budget_bytes;
	runtime_options.cache_bytes = 8 << 20;
	runtime_options.period_ms = config->period_ms;
	lsm_options_init(&options);
	result->ops = config->total_bytes / (KEY_BYTES + config->value_bytes);
	result->bytes = result->ops * (KEY_BYTES + config->value_bytes);

	need(lsm_create(NULL, path, slice_make(NULL, 0)), path);
	need(lsm_runtime_create(&runtime_options, &runtime), "runtime");
	need(lsm_open(runtime, path, &options, &store), path);
	start = sync_now_ns();
	write_all(config, store, result->ops);
	lsm_stats(store, &stats);
	need(lsm_close(store), "close");
	result->seconds = (double)(sync_now_ns() - start) / 1e9;
	lsm_runtime_destroy(runtime);

	getrusage(RUSAGE_SELF, &usage);
	result->ops_per_second = (double)result->ops / result->seconds;
	result->waits = stats.credit.waits;
	result->stall_ns = stats.credit.stall_ns;
	result->peak_bytes = stats.credit.peak_bytes;
	result->arena_peak_bytes = stats.memory.arena_peak_bytes;
	result->resident_peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
	result->store_bytes = tables_bytes(&stats);
	result->compacted_bytes = stats.compactions.bytes;
}

/* Run in a process of its own, so that its peak memory is its own. */
static void run_in_child(const struct config *config, struct result *result)
{
	char name[64], path[4096];
	struct env_dir *folder;
	int fds[2], status;
	pid_t pid;

	snprintf(name, sizeof(name), "kvbench-%ld", (long)getpid());
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", config->folder,
	                     name) >= sizeof(path))
		die(config->folder, "the path is too long");
	need(env_dir_open(env_posix(), config->folder, &folder),
	     config->folder);
	if (pipe(fds) != 0)
		die("pipe", strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork", strerror(errno));
	if (pid == 0) {
		struct result mine = {0};

		one_run(config, path, &mine);
		if (write(fds[1], &mine, sizeof(mine)) != (ssize_t)sizeof(mine))
			die("pipe", strerror(errno));
		_exit(EXIT_SUCCESS);
	}
	close(fds[1]);
	if (read(fds[0], result, sizeof(*result)) != (ssize_t)sizeof(*result))
		die("run", "it ended without a result");
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("run", "it failed");
	need(env_remove_tree(folder, name), path);
	env_dir_close(folder);
}

/* ---- printing ---------------------------------------------------------------- */

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static void print_row(const char *label, const struct result *r)
{
	printf("%-10s %8.0f ops/s  %6.1f s  %7.1f MiB written  waits %" PRIu64
	       "  stalled %.1f s  peak charged %" PRIu64
	       " B (%.3f MiB)  arenas' peak %" PRIu64
	       " B  resident peak %.1f MiB  compacted %.0f MiB\n",
	       label, r->ops_per_second, r->seconds, mib(r->bytes), r->waits,
	       (double)r->stall_ns / 1e9, r->peak_bytes, mib(r->peak_bytes),
	       r->arena_peak_bytes, mib(r->resident_peak_bytes),
	       mib(r->compacted_bytes));
	fflush(stdout);
}

static int by_speed(const void *a, const void *b)
{
	double x = ((const struct result *)a)->ops_per_second;
	double y = ((const struct result *)b)->ops_per_second;

	return (x > y) - (x < y);
}

/* What a budget promises; a breach makes the bench fail. */
static int check_result(const struct config *config, const struct result *r)
{
	int bad = 0;

	if (config->budget_bytes <= 0)
		return 0;
	if (r->peak_bytes > (uint64_t)config->budget_bytes) {
		printf("FAIL: more was charged than the budget\n");
		bad = 1;
	}
	if (r->arena_peak_bytes > r->peak_bytes) {
		printf("FAIL: arenas held more than was charged\n");
		bad = 1;
	}
	if (r->waits == 0 && r->bytes >= 20 * (uint64_t)config->budget_bytes) {
		printf("FAIL: no writer ever waited\n");
		bad = 1;
	}
	return bad;
}

static int compare(const struct config *config)
{
	struct result with[MAX_PAIRS], without[MAX_PAIRS];
	struct config off = *config;
	int bad = 0;

	off.budget_bytes = 0;
	for (uint32_t i = 0; i < config->pairs; i++) {
		run_in_child(config, &with[i]);
		print_row("budget", &with[i]);
		bad |= check_result(config, &with[i]);
		run_in_child(&off, &without[i]);
		print_row("off", &without[i]);
	}
	qsort(with, config->pairs, sizeof(with[0]), by_speed);
	qsort(without, config->pairs, sizeof(without[0]), by_speed);
	printf("\nmedians of %" PRIu32 " interleaved pairs\n", config->pairs);
	print_row("budget", &with[config->pairs / 2]);
	print_row("off", &without[config->pairs / 2]);
	printf("throughput with the budget: %.1f %% of that without\n",
	       100 * with[config->pairs / 2].ops_per_second /
	           without[config->pairs / 2].ops_per_second);
	return bad;
}

/* ---- arguments ------------------------------------------------------------------ */

static const char usage[] =
    "Usage: kvbench budget [OPTION]... [FOLDER]\n"
    "Write small entries flat out into a store in FOLDER (default: .).\n\n"
    "  -b, --budget=BYTES   the credit pool; 0 or less: off (default 16M)\n"
    "  -t, --total=BYTES    keys and values to write (default 24 budgets,\n"
    "                       at least 512M, or 2G with --compare)\n"
    "  -v, --value=BYTES    of each value (default 100)\n"
    "  -n, --batch=N        entries in a batch (default 16)\n"
    "  -j, --threads=N      writers (default 4)\n"
    "  -p, --period=MS      periodic compaction (default 10000)\n"
    "  -s, --sequential     keys in order, not scattered\n"
    "  -c, --compare[=N]    N pairs with and without the budget (default 5)\n"
    "  -h, --help           this text\n\n"
    "BYTES may end in K, M or G.\n";

static void parse(int argc, char **argv, struct config *config)
{
	static const struct option options[] = {
	    {"budget", required_argument, NULL, 'b'},
	    {"total", required_argument, NULL, 't'},
	    {"value", required_argument, NULL, 'v'},
	    {"batch", required_argument, NULL, 'n'},
	    {"threads", required_argument, NULL, 'j'},
	    {"period", required_argument, NULL, 'p'},
	    {"sequential", no_argument, NULL, 's'},
	    {"compare", optional_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "b:t:v:n:j:p:sc::h", options,
	                        NULL)) != -1) {
		switch (c) {
		case 'b':
			config->budget_bytes = arg_bytes(optarg);
			break;
		case 't':
			config->total_bytes = (uint64_t)arg_bytes(optarg);
			break;
		case 'v':
			config->value_bytes =
			    arg_count(optarg, VALUE_MAX_BYTES);
			break;
		case 'n':
			config->batch_entries = arg_count(optarg, 100000);
			break;
		case 'j':
			config->threads = arg_count(optarg, MAX_THREADS);
			break;
		case 'p':
			config->period_ms = arg_count(optarg, 1000000);
			break;
		case 's':
			config->sequential = true;
			break;
		case 'c':
			config->compare = true;
			if (optarg != NULL)
				config->pairs = arg_count(optarg, MAX_PAIRS);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		config->folder = argv[optind];
}

/* Enough budgets' worth that writers must have waited. */
static void set_total(struct config *config)
{
	uint64_t least = config->compare ? UINT64_C(2) << 30 : 512 << 20;
	uint64_t budgets =
	    config->budget_bytes > 0 ? 24 * (uint64_t)config->budget_bytes : 0;

	if (config->total_bytes == 0)
		config->total_bytes = budgets > least ? budgets : least;
}

int budget_main(int argc, char **argv)
{
	struct config config = {
	    .budget_bytes = 16 << 20,
	    .value_bytes = 100,
	    .batch_entries = 16,
	    .threads = 4,
	    .period_ms = 10000,
	    .pairs = 5,
	    .folder = ".",
	};
	struct result result;
	int bad;

	parse(argc, argv, &config);
	set_total(&config);
	if (config.compare) {
		bad = compare(&config);
	} else {
		run_in_child(&config, &result);
		print_row(config.budget_bytes > 0 ? "budget" : "off", &result);
		bad = check_result(&config, &result);
	}
	return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
