/* SPDX-License-Identifier: MIT */
/*
 * compaction.c: one writer that is given a pace, half of what it can do, with
 * and without a manual compaction beside it.
 *
 * The loop is open: an entry is due at its time whatever became of the one
 * before, and its latency counts from then, so that a pause is paid for by all
 * that it delayed. Slices with and without a compaction take turns.
 */
#include "tests/bench/compaction.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sync.h"
#include "io/env.h"
#include "tests/bench/data.h"
#include "tests/bench/engine.h"
#include "tests/bench/histogram.h"
#include "tests/bench/arg.h"

enum {
	ROUNDS_MAX = 99,
	NS_PER_S = 1000000000,
	SPIN_NS = 200000, /* a shorter wait than this is not slept through */
	LOOK_EVERY = 16,  /* entries between two looks at the clock */
};

struct bench {
	/* Constant while it runs. */
	const char *folder;
	uint64_t keys, slice_ns;
	uint32_t rounds, value_bytes;
	struct lsm *store;
	struct lsm_batch *batch;

	uint64_t random, written;
	atomic_bool over; /* ends the compactions; plain order will do */
	uint64_t compactions;
	enum lsm_err compact_err;
};

struct slice_result {
	double p50_us, p99_us, p999_us, max_us;
};

static enum lsm_err write_entry(struct bench *bench, uint64_t n)
{
	uint8_t key[DATA_KEY_BYTES], value[DATA_VALUE_MAX_BYTES];
	enum lsm_err err;

	data_key(key, data_scatter(n));
	data_value(value, bench->value_bytes, n, bench->written++);
	lsm_batch_clear(bench->batch);
	err = lsm_batch_put(bench->batch, slice_make(key, sizeof(key)),
	                    slice_make(value, bench->value_bytes));
	if (err == LSM_OK)
		err = lsm_write(bench->store, bench->batch, NULL, NULL);
	return err;
}

static enum lsm_err write_any(struct bench *bench)
{
	return write_entry(bench, data_random(&bench->random) % bench->keys);
}

static enum lsm_err settle(struct bench *bench)
{
	enum lsm_err err = lsm_flush(bench->store);
	struct lsm_stats stats;

	for (lsm_stats(bench->store, &stats); err == LSM_OK && stats.jobs > 0;
	     lsm_stats(bench->store, &stats))
		engine_pause();
	return err;
}

/* How long an entry takes where the next follows at once. */
static enum lsm_err measure_pace(struct bench *bench, double *ns_out)
{
	uint64_t start_ns = sync_now_ns(), count = 0;
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && (count % LOOK_EVERY != 0 || count == 0 ||
	                         sync_now_ns() - start_ns < bench->slice_ns)) {
		err = write_any(bench);
		count++;
	}
	*ns_out = (double)(sync_now_ns() - start_ns) / (double)count;
	return err;
}

static uint64_t wait_until(uint64_t due_ns)
{
	uint64_t now_ns = sync_now_ns();

	while (now_ns < due_ns) {
		if (due_ns - now_ns > SPIN_NS) {
			struct timespec pause = {
			    .tv_nsec = (long)(due_ns - now_ns) % NS_PER_S,
			};

			nanosleep(&pause, NULL);
		}
		now_ns = sync_now_ns();
	}
	return now_ns;
}

/* Write an entry each `gap_ns`, for one slice. */
static enum lsm_err run_slice(struct bench *bench, double gap_ns,
                              struct slice_result *result)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	uint64_t start_ns = sync_now_ns(), due_ns = start_ns;
	enum lsm_err err = histogram == NULL ? LSM_ERR_NOMEM : LSM_OK;

	for (uint64_t i = 0;
	     err == LSM_OK && due_ns - start_ns < bench->slice_ns; i++) {
		due_ns = start_ns + (uint64_t)((double)i * gap_ns);
		wait_until(due_ns);
		err = write_any(bench);
		histogram_add(histogram, sync_now_ns() - due_ns);
	}
	if (err == LSM_OK)
		*result = (struct slice_result){
		    (double)histogram_at(histogram, 0.5) / 1e3,
		    (double)histogram_at(histogram, 0.99) / 1e3,
		    (double)histogram_at(histogram, 0.999) / 1e3,
		    (double)histogram->max_ns / 1e3,
		};
	free(histogram);
	return err;
}

static bool goes_on(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	struct bench *bench = ctx;

	(void)done_bytes;
	(void)total_bytes;
	return !atomic_load(&bench->over);
}

/* One compaction after another, up to the end of the slice. */
static void compact_on(void *ctx)
{
	struct bench *bench = ctx;
	const struct lsm_compaction how = {goes_on, bench};

	while (bench->compact_err == LSM_OK && !atomic_load(&bench->over)) {
		bench->compact_err =
		    lsm_compact(bench->store, lsm_sequence(bench->store), &how);
		bench->compactions++;
	}
	if (bench->compact_err == LSM_ERR_CANCELLED)
		bench->compact_err = LSM_OK;
}

static enum lsm_err run_compacted_slice(struct bench *bench, double gap_ns,
                                        struct slice_result *result)
{
	struct sync_thread thread = {0};
	enum lsm_err err;

	atomic_store(&bench->over, false);
	err = sync_thread_start(&thread, "compactions", compact_on, bench);
	if (err == LSM_OK)
		err = run_slice(bench, gap_ns, result);
	atomic_store(&bench->over, true);
	sync_thread_join(&thread);
	return err != LSM_OK ? err : bench->compact_err;
}

/* ---- printing ---------------------------------------------------------------- */

static int by_p50(const void *a, const void *b)
{
	double x = ((const struct slice_result *)a)->p50_us;
	double y = ((const struct slice_result *)b)->p50_us;

	return (x > y) - (x < y);
}

static void print_slice(const char *what, const struct slice_result *r)
{
	printf("%-18s p50 %8.2f us  p99 %9.2f us  p99.9 %10.1f us  max %10.0f "
	       "us\n",
	       what, r->p50_us, r->p99_us, r->p999_us, r->max_us);
	fflush(stdout);
}

static enum lsm_err run_rounds(struct bench *bench)
{
	struct slice_result quiet[ROUNDS_MAX], busy[ROUNDS_MAX];
	enum lsm_err err;
	double gap_ns = 0;

	err = measure_pace(bench, &gap_ns);
	gap_ns *= 2;
	printf("%.0f entries a second, half of what is possible\n",
	       NS_PER_S / gap_ns);
	for (uint32_t i = 0; err == LSM_OK && i < bench->rounds; i++) {
		err = settle(bench);
		if (err == LSM_OK)
			err = run_slice(bench, gap_ns, &quiet[i]);
		if (err != LSM_OK)
			break;
		print_slice("alone", &quiet[i]);
		err = run_compacted_slice(bench, gap_ns, &busy[i]);
		if (err == LSM_OK)
			print_slice("with compactions", &busy[i]);
	}
	if (err != LSM_OK)
		return err;
	qsort(quiet, bench->rounds, sizeof(quiet[0]), by_p50);
	qsort(busy, bench->rounds, sizeof(busy[0]), by_p50);
	printf("\nmedians of %" PRIu32 " rounds, %" PRIu64 " compactions\n",
	       bench->rounds, bench->compactions);
	print_slice("alone", &quiet[bench->rounds / 2]);
	print_slice("with compactions", &busy[bench->rounds / 2]);
	printf("p50 with compactions: %+.1f %%\n",
	       100 * (busy[bench->rounds / 2].p50_us /
	                  quiet[bench->rounds / 2].p50_us -
	              1));
	return LSM_OK;
}

/* ---- the whole ------------------------------------------------------------------ */

static enum lsm_err run_in_store(struct bench *bench, const char *path)
{
	struct lsm_runtime_options runtime_options;
	struct lsm_options options;
	struct lsm_runtime *runtime = NULL;
	enum lsm_err err, close_err;

	lsm_runtime_options_init(&runtime_options);
	lsm_options_init(&options);
	err = lsm_create(NULL, path, slice_make(NULL, 0));
	if (err == LSM_OK)
		err = lsm_runtime_create(&runtime_options, &runtime);
	if (err == LSM_OK)
		err = lsm_open(runtime, path, &options, &bench->store);
	if (err == LSM_OK)
		err = lsm_batch_create(&bench->batch);
	for (uint64_t n = 0; err == LSM_OK && n < bench->keys; n++)
		err = write_entry(bench, n);
	if (err == LSM_OK)
		err = settle(bench);
	if (err == LSM_OK)
		err = run_rounds(bench);
	lsm_batch_destroy(bench->batch);
	close_err = lsm_close(bench->store);
	lsm_runtime_destroy(runtime);
	return err != LSM_OK ? err : close_err;
}

static enum lsm_err run(struct bench *bench)
{
	char name[64], path[4096];
	struct env_dir *folder;
	enum lsm_err err, remove_err;

	snprintf(name, sizeof(name), "kvbench-%ld", (long)getpid());
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", bench->folder,
	                     name) >= sizeof(path))
		return LSM_ERR_TOO_BIG;
	err = data_prepare();
	if (err == LSM_OK)
		err = env_dir_open(env_posix(), bench->folder, &folder);
	if (err != LSM_OK)
		return err;
	err = run_in_store(bench, path);
	remove_err = env_remove_tree(folder, name);
	env_dir_close(folder);
	return err != LSM_OK ? err : remove_err;
}

static const char usage[] =
    "Usage: kvbench compaction [OPTION]... [FOLDER]\n"
    "Fill a store, then have one writer overwrite it at half its pace, with "
    "and\n"
    "without manual compactions meanwhile.\n\n"
    "  -k, --keys=N         entries of the store (default 5 million)\n"
    "  -v, --value=BYTES    of each value (default 100)\n"
    "  -t, --seconds=N      of each slice (default 10)\n"
    "  -r, --rounds=N       slices of each kind (default 5)\n"
    "  -h, --help           this text\n";

static void parse(int argc, char **argv, struct bench *bench)
{
	static const struct option options[] = {
	    {"keys", required_argument, NULL, 'k'},
	    {"value", required_argument, NULL, 'v'},
	    {"seconds", required_argument, NULL, 't'},
	    {"rounds", required_argument, NULL, 'r'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "k:v:t:r:h", options, NULL)) !=
	       -1) {
		switch (c) {
		case 'k':
			bench->keys = arg_count(optarg, 1000000000);
			break;
		case 'v':
			bench->value_bytes =
			    arg_count(optarg, DATA_VALUE_MAX_BYTES);
			if (bench->value_bytes < DATA_VALUE_MIN_BYTES)
				bench->value_bytes = DATA_VALUE_MIN_BYTES;
			break;
		case 't':
			bench->slice_ns =
			    arg_count(optarg, 3600) * (uint64_t)NS_PER_S;
			break;
		case 'r':
			bench->rounds = arg_count(optarg, ROUNDS_MAX);
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
		bench->folder = argv[optind];
}

int compaction_main(int argc, char **argv)
{
	struct bench bench = {
	    .folder = ".",
	    .keys = 5000000,
	    .value_bytes = 100,
	    .slice_ns = UINT64_C(10) * NS_PER_S,
	    .rounds = 5,
	};
	enum lsm_err err;

	parse(argc, argv, &bench);
	err = run(&bench);
	if (err != LSM_OK)
		fprintf(stderr, "kvbench compaction: %s\n", lsm_strerror(err));
	return err == LSM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
