/* SPDX-License-Identifier: MIT */
/*
 * membench.c: whether memory stays bounded by what the runtime was given: with
 * many keys in one store, and with many stores open at once.
 *
 * Memory is shared out as a mount does it (daemon/options.h). Resident memory is
 * what the kernel counts for the process, code and malloc's slack included; the
 * most since the row before is printed, not a sample.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sync.h"
#include "daemon/options.h"
#include "io/env.h"
#include "tests/bench/data.h"
#include "tests/bench/measure.h"
#include "tests/support/tables.h"

enum {
	BATCH = 16,
	THREADS = 2,
	VALUE_MAX_BYTES = 4096,
	STORES_MAX = 100000,
};

struct config {
	const char *folder;
	struct options_budget budget;
	uint64_t memory_bytes, keys, stores;
	uint32_t value_bytes;
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "membench: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void need(enum lsm_err err, const char *what)
{
	if (err != LSM_OK)
		die(what, lsm_strerror(err));
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

static uint64_t peak_bytes(void)
{
	uint64_t bytes;

	need(measure_peak(&bytes), "resident memory");
	return bytes;
}

static unsigned open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	if (folder == NULL)
		die("/proc/self/fd", strerror(errno));
	while (readdir(folder) != NULL)
		count++;
	closedir(folder);
	return count - 3; /* two dots and the listing's own */
}

/* As many as the system lets us have, as the daemon does. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		die("file limit", strerror(errno));
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		die("file limit", strerror(errno));
}

static struct lsm_runtime *make_runtime(const struct config *config)
{
	struct lsm_runtime_options options;
	struct lsm_runtime *runtime;

	lsm_runtime_options_init(&options);
	options.credit_bytes = config->budget.credit_bytes;
	options.cache_bytes = config->budget.cache_bytes;
	need(lsm_runtime_create(&options, &runtime), "runtime");
	return runtime;
}

static struct lsm *open_store(struct lsm_runtime *runtime, const char *path)
{
	struct lsm_options options;
	struct lsm *store;

	lsm_options_init(&options);
	need(lsm_create(NULL, path, slice_make(NULL, 0)), path);
	need(lsm_open(runtime, path, &options, &store), path);
	return store;
}

/* Write the keys first..first + BATCH - 1, each where `scatter` puts it. */
static enum lsm_err write_batch(struct lsm *store, struct lsm_batch *batch,
                                uint64_t first, uint32_t value_bytes)
{
	uint8_t key[DATA_KEY_BYTES], value[VALUE_MAX_BYTES];
	enum lsm_err err = LSM_OK;

	lsm_batch_clear(batch);
	for (uint64_t n = first; err == LSM_OK && n < first + BATCH; n++) {
		data_key(key, data_scatter(n));
		data_value(value, value_bytes, n, 0);
		err = lsm_batch_put(batch, slice_make(key, sizeof(key)),
		                    slice_make(value, value_bytes));
	}
	if (err == LSM_OK)
		err = lsm_write(store, batch, NULL, NULL);
	return err;
}

/* ---- many keys in one store ---------------------------------------------- */

struct keys_run {
	const struct config *config;
	struct lsm *store;
	atomic_uint_least64_t written; /* release, by the writer */
	atomic_uint_least64_t gets;
	atomic_bool done;
	enum lsm_err err;
	const char *fault;
};

/* Read what was written, and as often what never was, until told. */
static void read_keys(void *ctx)
{
	struct keys_run *run = ctx;
	uint64_t random = 7;
	struct buf value = BUF_INIT;

	while (!atomic_load(&run->done) && run->fault == NULL) {
		uint64_t count =
		    atomic_load_explicit(&run->written, memory_order_acquire);
		uint64_t n = data_random(&random);
		uint8_t key[DATA_KEY_BYTES];
		bool there = count > 0 && n % 2 == 0;
		enum lsm_err err;

		n = there ? n % count : run->config->keys + n % (1 << 30);
		data_key(key, data_scatter(n));
		err = lsm_get(run->store, NULL, slice_make(key, sizeof(key)),
		              &value);
		if (err != (there ? LSM_OK : LSM_ERR_NOT_FOUND))
			run->fault = "a get gave the wrong answer";
		else if (there && !data_value_is(buf_slice(&value),
		                                 run->config->value_bytes, n))
			run->fault = "a get gave another value";
		atomic_fetch_add(&run->gets, 1);
	}
	buf_release(&value);
}

static bool print_keys(struct keys_run *run, uint64_t written,
                       uint64_t started_ns)
{
	const struct config *config = run->config;
	double seconds = (double)(sync_now_ns() - started_ns) / 1e9;
	uint64_t gets = atomic_exchange(&run->gets, 0);
	uint64_t peak = peak_bytes();
	struct lsm_stats stats;

	lsm_stats(run->store, &stats);
	printf("%6.1f M keys  %7.1f MiB resident at most  %5" PRIu64 " tables  "
	       "%6.1f MiB cached  %6.1f MiB in arenas at most  "
	       "%8.0f gets/s meanwhile\n",
	       (double)written / 1e6, mib(peak), tables_count(run->store),
	       mib(stats.cache.used_bytes), mib(stats.memory.arena_peak_bytes),
	       (double)gets / seconds);
	fflush(stdout);
	measure_reset_peak();
	if (peak <= config->memory_bytes)
		return true;
	printf("FAIL: more than the %.0f MiB of the budget\n",
	       mib(config->memory_bytes));
	return false;
}

/* Write, and print a row at 1/50, 1/5, 1/2 of the keys and at all. */
static bool write_keys(struct keys_run *run)
{
	static const unsigned marks[] = {50, 5, 2, 1};
	const uint64_t keys = run->config->keys;
	uint64_t started_ns = sync_now_ns();
	struct lsm_batch *batch;
	bool good = true;
	uint64_t n = 0;

	need(lsm_batch_create(&batch), "batch");
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		for (; n < keys / marks[i]; n += BATCH) {
			need(write_batch(run->store, batch, n,
			                 run->config->value_bytes),
			     "write");
			atomic_store_explicit(&run->written, n + BATCH,
			                      memory_order_release);
		}
		good &= print_keys(run, n, started_ns);
		started_ns = sync_now_ns();
	}
	lsm_batch_destroy(batch);
	return good;
}

static bool run_keys(const struct config *config, const char *path)
{
	struct keys_run run = {.config = config};
	struct lsm_runtime *runtime = make_runtime(config);
	struct sync_thread reader = {.started = false};
	bool good;

	run.store = open_store(runtime, path);
	need(sync_thread_start(&reader, "reader", read_keys, &run), "thread");
	good = write_keys(&run);
	atomic_store(&run.done, true);
	sync_thread_join(&reader);
	if (run.fault != NULL)
		die("read", run.fault);
	need(lsm_close(run.store), "close");
	lsm_runtime_destroy(runtime);
	return good;
}

/* ---- many stores ---------------------------------------------------------- */

struct stores_run {
	const struct config *config;
	struct lsm **stores;
};

struct stores_writer {
	struct stores_run *run;
	uint64_t random, first, count;
	enum lsm_err err;
};

static void write_stores(void *ctx)
{
	struct stores_writer *w = ctx;
	const struct config *config = w->run->config;
	struct lsm_batch *batch = NULL;

	w->err = lsm_batch_create(&batch);
	for (uint64_t n = 0; w->err == LSM_OK && n < w->count; n += BATCH) {
		uint64_t store = data_random(&w->random) % config->stores;

		w->err = write_batch(w->run->stores[store], batch, w->first + n,
		                     config->value_bytes);
	}
	lsm_batch_destroy(batch);
}

static void open_stores(struct stores_run *run, struct lsm_runtime *runtime,
                        const char *path)
{
	uint64_t before, after;
	char name[4096];

	measure_reset_peak();
	before = peak_bytes();
	for (uint64_t i = 0; i < run->config->stores; i++) {
		snprintf(name, sizeof(name), "%s/%06" PRIu64, path, i);
		run->stores[i] = open_store(runtime, name);
	}
	after = peak_bytes();
	printf("%" PRIu64 " stores open: %.1f MiB resident, %.1f KiB and %.1f "
	       "descriptors a store\n",
	       run->config->stores, mib(after),
	       (double)(after - before) / 1024 / (double)run->config->stores,
	       (double)open_files() / (double)run->config->stores);
	fflush(stdout);
}

static void write_all_stores(struct stores_run *run)
{
	struct sync_thread threads[THREADS] = {{.started = false}};
	struct stores_writer writers[THREADS];
	uint64_t share = run->config->keys / THREADS;

	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct stores_writer){run, i + 1, share * i,
		                                    share, LSM_OK};
		need(sync_thread_start(&threads[i], "writer", write_stores,
		                       &writers[i]),
		     "thread");
	}
	for (unsigned i = 0; i < THREADS; i++) {
		sync_thread_join(&threads[i]);
		need(writers[i].err, "write");
	}
}

/* Flushes of all stores together, and their bytes. */
static void sum_flushes(const struct stores_run *run, uint64_t *count_out,
                        uint64_t *bytes_out)
{
	*count_out = 0;
	*bytes_out = 0;
	for (uint64_t i = 0; i < run->config->stores; i++) {
		struct lsm_stats stats;

		lsm_stats(run->stores[i], &stats);
		*count_out += stats.flushes.count;
		*bytes_out += stats.flushes.bytes;
	}
}

static bool print_stores(const struct stores_run *run, double seconds)
{
	const struct config *config = run->config;
	uint64_t peak = peak_bytes(), flushes, flushed;
	struct lsm_stats stats;
	bool good = true;

	lsm_stats(run->stores[0], &stats);
	sum_flushes(run, &flushes, &flushed);
	printf("%" PRIu64 " entries of %u bytes: %.0f a second, "
	       "%" PRIu64 " waits, %.1f s stalled, %" PRIu64
	       " flushes of %.1f KiB\n"
	       "unflushed at most %.3f of %.0f MiB (arenas' own count %.3f), "
	       "resident at most %.1f MiB, %u descriptors\n",
	       config->keys, DATA_KEY_BYTES + config->value_bytes,
	       (double)config->keys / seconds, stats.credit.waits,
	       (double)stats.credit.stall_ns / 1e9, flushes,
	       flushes > 0 ? (double)flushed / 1024 / (double)flushes : 0.0,
	       mib(stats.credit.peak_bytes),
	       mib((uint64_t)stats.credit.limit_bytes),
	       mib(stats.memory.arena_peak_bytes), mib(peak), open_files());
	if (stats.credit.peak_bytes > (uint64_t)stats.credit.limit_bytes ||
	    stats.memory.arena_peak_bytes > stats.credit.peak_bytes) {
		printf("FAIL: more unflushed bytes than credit\n");
		good = false;
	}
	if (peak > config->memory_bytes) {
		printf("FAIL: more than the %.0f MiB of the budget\n",
		       mib(config->memory_bytes));
		good = false;
	}
	return good;
}

static bool run_stores(const struct config *config, const char *path)
{
	struct stores_run run = {.config = config};
	struct lsm_runtime *runtime;
	uint64_t started_ns;
	bool good;

	raise_file_limit();
	if (mkdir(path, 0700) != 0)
		die(path, strerror(errno));
	run.stores = calloc(config->stores, sizeof(struct lsm *));
	if (run.stores == NULL)
		die("stores", "out of memory");
	runtime = make_runtime(config);
	open_stores(&run, runtime, path);
	started_ns = sync_now_ns();
	write_all_stores(&run);
	good = print_stores(&run, (double)(sync_now_ns() - started_ns) / 1e9);
	for (uint64_t i = 0; i < config->stores; i++)
		need(lsm_close(run.stores[i]), "close");
	lsm_runtime_destroy(runtime);
	free(run.stores);
	return good;
}

/* ---- arguments -------------------------------------------------------------- */

static const char usage[] =
    "Usage: membench keys [OPTION]... [FOLDER]\n"
    "  or:  membench stores [OPTION]... [FOLDER]\n"
    "Write many small entries at random into one store, reading meanwhile, or\n"
    "into many stores that are open at once, below FOLDER (default: .), and\n"
    "print what memory that took. The exit status is 1 when it was more than\n"
    "the budget.\n\n"
    "  -m, --memory=SIZE    budget, as of a mount (default 256M)\n"
    "  -k, --keys=N         entries to write (default 50M; stores: 4M)\n"
    "  -n, --stores=N       stores (default 1000)\n"
    "  -v, --value=BYTES    of each value (default 16; stores: 100)\n"
    "  -h, --help           this text\n";

static uint64_t parse_size(const char *text, uint64_t least, uint64_t most)
{
	int64_t size;

	if (options_parse_size(text, &size) != 0 || size < 0 ||
	    (uint64_t)size < least || (uint64_t)size > most) {
		fprintf(stderr, "membench: %s: not a size, or out of range\n",
		        text);
		exit(2);
	}
	return (uint64_t)size;
}

static void parse(int argc, char **argv, struct config *config)
{
	static const struct option known[] = {
	    {"memory", required_argument, NULL, 'm'},
	    {"keys", required_argument, NULL, 'k'},
	    {"stores", required_argument, NULL, 'n'},
	    {"value", required_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "m:k:n:v:h", known, NULL)) != -1) {
		if (c == 'm')
			config->memory_bytes =
			    parse_size(optarg, OPTIONS_MEMORY_MIN_BYTES,
			               OPTIONS_MEMORY_MAX_BYTES);
		else if (c == 'k')
			config->keys = parse_size(optarg, 1000, INT64_MAX / 2);
		else if (c == 'n')
			config->stores = parse_size(optarg, 1, STORES_MAX);
		else if (c == 'v')
			config->value_bytes = (uint32_t)parse_size(
			    optarg, DATA_VALUE_MIN_BYTES, VALUE_MAX_BYTES);
		else {
			fputs(usage, c == 'h' ? stdout : stderr);
			exit(c == 'h' ? EXIT_SUCCESS : 2);
		}
	}
	if (optind < argc)
		config->folder = argv[optind];
}

static void share_out(struct config *config)
{
	struct options options;

	options_init(&options);
	options.memory_bytes = config->memory_bytes;
	if (options_budget(&options, &config->budget) != 0)
		die("memory", "cannot be shared out");
}

int main(int argc, char **argv)
{
	struct config config = {.folder = ".",
	                        .memory_bytes = OPTIONS_MEMORY_DEFAULT_BYTES};
	bool stores = argc > 1 && strcmp(argv[1], "stores") == 0;
	char name[64], path[3000];
	struct env_dir *folder;
	bool good;

	if (!stores && (argc < 2 || strcmp(argv[1], "keys") != 0)) {
		fputs(usage, stderr);
		return 2;
	}
	config.keys = stores ? 4000000 : 50000000;
	config.stores = 1000;
	config.value_bytes = stores ? 100 : 16;
	parse(argc - 1, argv + 1, &config);
	share_out(&config);
	need(data_prepare(), "values");
	snprintf(name, sizeof(name), "membench-%ld", (long)getpid());
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", config.folder,
	                     name) >= sizeof(path))
		die(config.folder, "the path is too long");
	need(env_dir_open(env_posix(), config.folder, &folder), config.folder);
	good = stores ? run_stores(&config, path) : run_keys(&config, path);
	need(env_remove_tree(folder, name), path);
	env_dir_close(folder);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
