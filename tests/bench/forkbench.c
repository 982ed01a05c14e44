/* SPDX-License-Identifier: MIT */
/*
 * forkbench.c: what a fork into a branch, and its deletion, take: with few tables
 * in the store and with many, of the first branch and of the ten thousandth, and
 * while a writer fills memtables as fast as it can; how long a store of so many
 * branches takes to open; and what memory a thousand open branches take.
 *
 * Tables and branches that only have to be there are made without syncs. Before
 * each measured fork one small entry is written, so that there is a memtable to be
 * sealed and a log to be synced. Beside each stands what the disk asks for the
 * least that a fork can do, in the same second: a folder with two small files,
 * synced, renamed, the folder above synced.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sync.h"
#include "io/env.h"
#include "tests/bench/histogram.h"
#include "tests/support/tables.h"

enum {
	SAMPLES = 1000,
	BRANCHES = 10000,
	PATH_BYTES = 4096,
	TABLE_BYTES = 4 << 10, /* small, so that there can be many */
	VALUE_BYTES = 1 << 10,
	BUSY_MEMTABLE_BYTES = 4 << 20,
	BUSY_KEYS = 200000,
	BUSY_BATCH = 16, /* entries of a batch of the busy writer */
	OPEN_BRANCHES = 1000,
	OPEN_TABLES = 1000,
};

static char root[PATH_BYTES];
static struct env_dir *root_dir;
static uint64_t probes;
static struct histogram create_ns, delete_ns, probe_ns;

static void must(enum lsm_err err, const char *what)
{
	if (err == LSM_OK)
		return;
	fprintf(stderr, "forkbench: %s: %s\n", what, lsm_strerror(err));
	exit(EXIT_FAILURE);
}

/* ---- an env whose syncs can be left out ------------------------------------------ */

/* While a store is made that is to be measured: it need not survive. */
static atomic_bool unsynced;

static enum lsm_err sync_file(struct env_file *file)
{
	return atomic_load(&unsynced) ? LSM_OK : env_posix()->ops->sync(file);
}

static enum lsm_err sync_dir(struct env_dir *dir)
{
	return atomic_load(&unsynced) ? LSM_OK
	                              : env_posix()->ops->dir_sync(dir);
}

/* The system's, with those two in the place of its own. */
static const struct env *bench_env(void)
{
	static struct env_ops ops;
	static struct env env;

	ops = *env_posix()->ops;
	ops.sync = sync_file;
	ops.dir_sync = sync_dir;
	env.ops = &ops;
	return &env;
}

/* ---- one store --------------------------------------------------------------- */

static struct lsm_runtime *start(void)
{
	struct lsm_runtime_options options;
	struct lsm_runtime *runtime;

	lsm_runtime_options_init(&options);
	must(lsm_runtime_create(&options, &runtime), "start");
	return runtime;
}

static void store_path(const char *name, char path[PATH_BYTES])
{
	if (snprintf(path, PATH_BYTES, "%s/%s", root, name) >= PATH_BYTES)
		must(LSM_ERR_INVALID, "path");
}

static struct lsm *open_with(struct lsm_runtime *runtime, const char *name,
                             struct lsm_options *options)
{
	char path[PATH_BYTES];
	struct lsm *store;

	store_path(name, path);
	options->env = bench_env();
	must(lsm_open(runtime, path, options, &store), "open");
	return store;
}

static struct lsm *open_store(struct lsm_runtime *runtime, const char *name)
{
	struct lsm_options options;

	lsm_options_init(&options);
	options.table_bytes = TABLE_BYTES;
	options.level_base_bytes = 1 << 30; /* not to be rewritten again */
	return open_with(runtime, name, &options);
}

static void create_store(const char *name)
{
	char path[PATH_BYTES];

	store_path(name, path);
	must(lsm_create(bench_env(), path, (struct slice){NULL, 0}), "create");
}

static struct lsm *make_store(struct lsm_runtime *runtime, const char *name)
{
	create_store(name);
	return open_store(runtime, name);
}

static void put(struct lsm *store, uint64_t key, size_t value_bytes)
{
	static uint8_t value[VALUE_BYTES];
	struct lsm_batch *batch;
	char text[32];
	int len =
	    snprintf(text, sizeof(text), "key%012llu", (unsigned long long)key);

	/* Not to be compressed. */
	must(env_random(env_posix(), value, value_bytes), "random");
	must(lsm_batch_create(&batch), "batch");
	must(lsm_batch_put(batch, slice_make(text, (size_t)len),
	                   slice_make(value, value_bytes)),
	     "put");
	must(lsm_write(store, batch, NULL, NULL), "write");
	lsm_batch_destroy(batch);
}

/* From here on all is synced, and what was written before too. */
static void sync_all(void)
{
	sync();
	atomic_store(&unsynced, false);
}

/* Entries until the store has so many tables: in two flushes that overlap, since
   one alone would be moved down as the one table that it is. */
static void grow_to(struct lsm *store, uint64_t tables)
{
	uint64_t each = tables * (TABLE_BYTES / VALUE_BYTES) / 2;

	for (uint64_t i = 0; tables_count(store) < tables; i++) {
		for (uint64_t half = 0; half < 2; half++) {
			for (uint64_t k = 0; k < each; k++)
				put(store, 2 * (i * each + k) + half,
				    VALUE_BYTES);
			must(lsm_flush(store), "flush");
		}
		must(lsm_compact(store, lsm_sequence(store), NULL), "compact");
	}
}

/* ---- samples ------------------------------------------------------------------ */

/* The least I/O of a fork, without an engine. */
static void probe(void)
{
	static const char *const names[] = {"one", "two"};
	uint8_t bytes[512] = {0};
	char tmp[64], name[32];
	struct env_dir *dir;
	uint64_t begin;

	snprintf(name, sizeof(name), "probe%llu", (unsigned long long)++probes);
	snprintf(tmp, sizeof(tmp), ".tmp-%s", name);
	begin = sync_now_ns();
	must(env_dir_make(root_dir, tmp), "probe");
	must(env_dir_open_at(root_dir, tmp, &dir), "probe");
	for (size_t i = 0; i < 2; i++)
		must(env_write_file(dir, names[i],
		                    slice_make(bytes, sizeof(bytes)), true),
		     "probe");
	must(env_dir_sync(dir), "probe");
	env_dir_close(dir);
	must(env_rename(root_dir, tmp, root_dir, name, true), "probe");
	must(env_dir_sync(root_dir), "probe");
	histogram_add(&probe_ns, sync_now_ns() - begin);
	must(env_remove_tree(root_dir, name), "probe");
}

static void branch_name(uint64_t number, char name[32])
{
	snprintf(name, 32, "branch%llu", (unsigned long long)number);
}

static void create_one(struct lsm *store, uint64_t number)
{
	char name[32];
	uint64_t begin;

	branch_name(number, name);
	put(store, UINT64_C(900000000000) + number, 100);
	begin = sync_now_ns();
	must(lsm_branch_create(store, name, false, NULL), "fork");
	histogram_add(&create_ns, sync_now_ns() - begin);
}

static void delete_one(struct lsm *store, uint64_t number)
{
	char name[32];
	uint64_t begin;

	branch_name(number, name);
	begin = sync_now_ns();
	must(lsm_branch_delete(store, name, false), "delete");
	histogram_add(&delete_ns, sync_now_ns() - begin);
}

static void clear(void)
{
	memset(&create_ns, 0, sizeof(create_ns));
	memset(&delete_ns, 0, sizeof(delete_ns));
	memset(&probe_ns, 0, sizeof(probe_ns));
}

static void print(const char *what, const struct histogram *histogram)
{
	printf("  %-22s p50 %8.3f  p99 %8.3f  max %8.3f ms\n", what,
	       (double)histogram_at(histogram, 0.5) / 1e6,
	       (double)histogram_at(histogram, 0.99) / 1e6,
	       (double)histogram->max_ns / 1e6);
	fflush(stdout);
}

/* ---- what is measured ----------------------------------------------------------- */

/* Forks and deletions of a store of so many tables. */
static void with_tables(uint64_t tables, uint64_t samples)
{
	struct lsm_runtime *runtime = start();
	struct lsm *store = make_store(runtime, "tables");

	atomic_store(&unsynced, true);
	grow_to(store, tables);
	sync_all();
	clear();
	printf("%llu tables in the store\n",
	       (unsigned long long)tables_count(store));
	for (uint64_t i = 0; i < samples; i++) {
		create_one(store, i);
		probe();
	}
	for (uint64_t i = 0; i < samples; i++)
		delete_one(store, i);
	print("fork", &create_ns);
	print("delete", &delete_ns);
	print("the same I/O alone", &probe_ns);
	must(lsm_close(store), "close");
	lsm_runtime_destroy(runtime);
	must(env_remove_tree(root_dir, "tables"), "remove");
}

static void time_open(const char *when)
{
	struct lsm_runtime *runtime = start();
	uint64_t begin = sync_now_ns();
	struct lsm *store = open_store(runtime, "branches");

	printf("  opened in %.3f s%s\n", (double)(sync_now_ns() - begin) / 1e9,
	       when);
	must(lsm_close(store), "close");
	lsm_runtime_destroy(runtime);
}

/* The n-th branch, for n around 1, a tenth, and all. */
static void with_branches(uint64_t branches, uint64_t samples)
{
	const uint64_t at[] = {0, branches / 10, branches};
	struct lsm_runtime *runtime = start();
	struct lsm *store = make_store(runtime, "branches");
	uint64_t number = 0;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		atomic_store(&unsynced, true);
		while (number < at[i])
			create_one(store, number++);
		sync_all();
		clear();
		while (number < at[i] + samples) {
			create_one(store, number++);
			probe();
		}
		printf("branches %llu to %llu\n", (unsigned long long)at[i] + 1,
		       (unsigned long long)number);
		print("fork", &create_ns);
		print("the same I/O alone", &probe_ns);
	}
	while (number > branches)
		delete_one(store, --number);
	print("delete", &delete_ns);
	must(lsm_close(store), "close");
	lsm_runtime_destroy(runtime);
	printf("a store of %llu branches and main\n",
	       (unsigned long long)branches);
	time_open("");
	time_open(", again");
	must(env_remove_tree(root_dir, "branches"), "remove");
}

/* ---- beside a writer --------------------------------------------------------------- */

struct writer {
	struct lsm *store;
	atomic_bool stop;
	struct histogram write_ns;
};

/* Overwrites at random, as fast as it is let. */
static void write_on(void *ctx)
{
	struct writer *writer = ctx;
	static uint8_t noise[BUSY_BATCH * VALUE_BYTES];
	uint64_t random[BUSY_BATCH], begin;
	struct lsm_batch *batch;
	char key[32];

	must(env_random(env_posix(), noise, sizeof(noise)), "random");
	must(lsm_batch_create(&batch), "batch");
	while (!atomic_load(&writer->stop)) {
		must(env_random(env_posix(), random, sizeof(random)), "random");
		lsm_batch_clear(batch);
		for (size_t i = 0; i < BUSY_BATCH; i++) {
			int len =
			    snprintf(key, sizeof(key), "key%08llu",
			             (unsigned long long)random[i] % BUSY_KEYS);

			must(lsm_batch_put(batch, slice_make(key, (size_t)len),
			                   slice_make(noise + i * VALUE_BYTES,
			                              VALUE_BYTES)),
			     "put");
		}
		begin = sync_now_ns();
		must(lsm_write(writer->store, batch, NULL, NULL), "write");
		histogram_add(&writer->write_ns, sync_now_ns() - begin);
	}
	lsm_batch_destroy(batch);
}

/* Until the writer has filled so many memtables. */
static void await_flushes(struct lsm *store, uint64_t count)
{
	struct lsm_stats stats;

	do {
		sync_sleep_ns(10000000);
		lsm_stats(store, &stats);
	} while (stats.flushes.count < count);
}

/* A fork, its deletion, and again: memtables are full, and compactions run. */
static void while_busy(uint64_t samples)
{
	static struct writer writer;
	struct lsm_runtime *runtime = start();
	struct lsm_options options;
	struct sync_thread thread;
	struct lsm_stats before, after;

	lsm_options_init(&options);
	options.memtable_bytes = BUSY_MEMTABLE_BYTES;
	options.table_bytes = BUSY_MEMTABLE_BYTES;
	options.level_base_bytes = 4 * BUSY_MEMTABLE_BYTES;
	create_store("busy");
	writer.store = open_with(runtime, "busy", &options);
	must(sync_thread_start(&thread, "writer", write_on, &writer), "thread");
	await_flushes(writer.store, 16);
	clear();
	lsm_stats(writer.store, &before);
	for (uint64_t i = 0; i < samples; i++) {
		create_one(writer.store, i);
		probe();
		delete_one(writer.store, i);
	}
	lsm_stats(writer.store, &after);
	atomic_store(&writer.stop, true);
	sync_thread_join(&thread);
	printf("beside a writer, %llu flushes and %llu compactions\n",
	       (unsigned long long)(after.flushes.count - before.flushes.count),
	       (unsigned long long)(after.compactions.count -
	                            before.compactions.count));
	print("fork", &create_ns);
	print("delete", &delete_ns);
	print("the same I/O alone", &probe_ns);
	print("the writer's batches", &writer.write_ns);
	must(lsm_close(writer.store), "close");
	lsm_runtime_destroy(runtime);
	must(env_remove_tree(root_dir, "busy"), "remove");
}

/* ---- open branches ------------------------------------------------------------------ */

static uint64_t resident_bytes(void)
{
	unsigned long long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file == NULL || fscanf(file, "%*u %llu", &pages) != 1)
		must(LSM_ERR_IO, "/proc/self/statm");
	(void)fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What it takes to have so many branches open, each written to once. */
static void with_open(void)
{
	static struct lsm *open[OPEN_BRANCHES];
	struct lsm_runtime *runtime = start();
	struct lsm *store = make_store(runtime, "open");
	uint64_t before, begin;
	char name[32];

	atomic_store(&unsynced, true);
	grow_to(store, OPEN_TABLES);
	for (uint64_t i = 0; i < OPEN_BRANCHES; i++)
		create_one(store, i);
	must(lsm_flush(store), "flush");
	before = resident_bytes();
	begin = sync_now_ns();
	for (uint64_t i = 0; i < OPEN_BRANCHES; i++) {
		branch_name(i, name);
		must(lsm_branch_open(store, name, NULL, &open[i]), "open");
	}
	printf("%d open branches of %llu tables\n", OPEN_BRANCHES,
	       (unsigned long long)tables_count(store));
	printf("  opened in %.3f s, %.1f KiB of memory each\n",
	       (double)(sync_now_ns() - begin) / 1e9,
	       (double)(resident_bytes() - before) / 1024 / OPEN_BRANCHES);
	for (uint64_t i = 0; i < OPEN_BRANCHES; i++)
		put(open[i], i, 100);
	printf("  %.1f KiB each with a memtable\n",
	       (double)(resident_bytes() - before) / 1024 / OPEN_BRANCHES);
	for (uint64_t i = 0; i < OPEN_BRANCHES; i++)
		must(lsm_close(open[i]), "close");
	must(lsm_close(store), "close");
	lsm_runtime_destroy(runtime);
	must(env_remove_tree(root_dir, "open"), "remove");
}

static bool wants(const char *part, const char *asked)
{
	return asked == NULL || strcmp(asked, part) == 0;
}

int main(int argc, char **argv)
{
	uint64_t samples = SAMPLES, branches = BRANCHES;
	static const uint64_t tables[] = {10, 1000, 10000};
	const char *asked = argc > 4 ? argv[4] : NULL;

	if (argc < 2 || argc > 5) {
		fprintf(stderr, "usage: forkbench FOLDER [SAMPLES [BRANCHES "
		                "[tables|branches|busy|open]]]\n");
		return EXIT_FAILURE;
	}
	snprintf(root, sizeof(root), "%s", argv[1]);
	if (argc > 2)
		samples = strtoull(argv[2], NULL, 10);
	if (argc > 3)
		branches = strtoull(argv[3], NULL, 10);
	must(env_dir_open(env_posix(), root, &root_dir), root);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		if (wants("tables", asked))
			with_tables(tables[i], samples);
	if (wants("branches", asked))
		with_branches(branches, samples);
	if (wants("busy", asked))
		while_busy(samples);
	if (wants("open", asked))
		with_open();
	env_dir_close(root_dir);
	return EXIT_SUCCESS;
}
