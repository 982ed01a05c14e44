/* SPDX-License-Identifier: MIT */
/*
 * test_flip.c: one damaged byte, or a lost end, of any file of a store gives an
 * error or the same contents, never a crash or other bytes.
 *
 * The store that is damaged holds everything at once: superblock, CURRENT,
 * manifest, base list, tables, a sealed log whose flush has not ended, and an
 * active log with a synced and an unsynced part. Only what was not synced may
 * be missing, and only whole batches from the end of it.
 */
#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"

enum {
	BATCHES = 420,
	COMPACT_EVERY = 20,
	TAIL = 5, /* batches behind the last sync */
	FILES_MAX = 64,
	NAME_BYTES = 64,
	FLIPS = 500, /* of a file, when it is sampled */
	CUTS = 120,
	TABLES = 2, /* so many tables, segments and logs are damaged */
	SEGMENTS = 2,
	LOGS = 3,
	TIMEOUT_S = 1800,
};

/* One file, as it was. */
struct file {
	char folder[160]; /* path */
	char name[NAME_BYTES];
	struct buf bytes;
};

static uint64_t seed;
static struct kit_model *model;
static struct env *whole; /* what a killed process left */
static size_t written, synced;
static struct file files[FILES_MAX];
static size_t file_count;

/* ---- the store
 * ---------------------------------------------------------------- */

/* Holds back the flush worker before it makes a table, where it has no lock. */
static struct {
	pthread_mutex_t mu;
	pthread_cond_t changed;
	bool closed; /* guarded by mu */
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};

static void set_gate(bool closed)
{
	pthread_mutex_lock(&gate.mu);
	gate.closed = closed;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.mu);
}

static struct fault_answer wait_at_gate(void *ctx,
                                        const struct fault_call *call)
{
	struct fault_answer answer = {LSM_OK, false};
	char name[16] = "";

	(void)ctx;
	if (call->op != FAULT_CREATE || strstr(call->name, ".sst") == NULL ||
	    pthread_getname_np(pthread_self(), name, sizeof(name)) != 0 ||
	    strncmp(name, "lsm-flush", 9) != 0)
		return answer;
	pthread_mutex_lock(&gate.mu);
	while (gate.closed)
		pthread_cond_wait(&gate.changed, &gate.mu);
	pthread_mutex_unlock(&gate.mu);
	return answer;
}

static enum lsm_err add_file(const char *folder, const char *name,
                             struct env_dir *dir)
{
	struct file *file = &files[file_count];

	kit_must(file_count < FILES_MAX);
	snprintf(file->folder, sizeof(file->folder), "%s", folder);
	snprintf(file->name, sizeof(file->name), "%s", name);
	file_count++;
	return env_read_file(dir, name, 1 << 20, &file->bytes);
}

struct listing {
	const char *folder;
	struct env_dir *dir;
	char only[NAME_BYTES]; /* a name found */
};

static enum lsm_err list_one(void *ctx, const char *name)
{
	struct listing *listing = ctx;

	return add_file(listing->folder, name, listing->dir);
}

static enum lsm_err keep_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;

	snprintf(listing->only, sizeof(listing->only), "%s", name);
	return LSM_OK;
}

/* Read all files of the folder into `files`. */
static void list_folder(const struct env *env, const char *folder)
{
	struct listing listing = {.folder = folder};

	kit_must(env_dir_open(env, folder, &listing.dir) == LSM_OK);
	kit_must(env_dir_list(listing.dir, list_one, &listing) == LSM_OK);
	env_dir_close(listing.dir);
}

static void list_files(const struct env *env)
{
	struct listing branch = {.only = ""};
	struct env_dir *dir = NULL;
	char folder[160];

	kit_must(env_dir_open(env, "/store/branches", &dir) == LSM_OK);
	kit_must(env_dir_list(dir, keep_name, &branch) == LSM_OK);
	env_dir_close(dir);
	snprintf(folder, sizeof(folder), "/store/branches/%s", branch.only);
	list_folder(env, folder);
	list_folder(env, "/store/pool");
	kit_must(env_dir_open(env, "/store", &dir) == LSM_OK);
	kit_must(add_file("/store", "SHALEFS", dir) == LSM_OK);
	env_dir_close(dir);
}

static size_t count_files(const char *part)
{
	size_t count = 0;

	for (size_t i = 0; i < file_count; i++)
		count += strstr(files[i].name, part) != NULL;
	return count;
}

static void forget_files(void)
{
	for (size_t i = 0; i < file_count; i++)
		buf_release(&files[i].bytes);
	file_count = 0;
}

static void write_next(struct lsm *store)
{
	kit_must(written < BATCHES - 1);
	kit_must(kit_write(model, store, written) == LSM_OK);
	written++;
}

struct name_count {
	const char *part;
	size_t count;
};

static enum lsm_err count_part(void *ctx, const char *name)
{
	struct name_count *c = ctx;

	c->count += strstr(name, c->part) != NULL;
	return LSM_OK;
}

/* How many names in the pool have `part` in them. */
static size_t count_in_pool(const struct env *env, const char *part)
{
	struct name_count c = {part, 0};
	struct env_dir *dir = NULL;

	kit_must(env_dir_open(env, "/store/pool", &dir) == LSM_OK);
	kit_must(env_dir_list(dir, count_part, &c) == LSM_OK);
	env_dir_close(dir);
	return c.count;
}

/* Write and compact until the manifest was rolled over a base list. */
static void grow_list(struct lsm *store, const struct env *env)
{
	while (count_in_pool(env, ".list") == 0) {
		for (size_t i = 0; i < COMPACT_EVERY; i++)
			write_next(store);
		kit_must(compact_all(store) == LSM_OK);
	}
}

/* A sealed log, an active one, and one made ahead: with the gate closed nothing
   of them becomes a table. */
static void fill_logs(struct lsm *store, const struct env *env)
{
	kit_must(lsm_flush(store) == LSM_OK);
	set_gate(true);
	while (count_in_pool(env, ".wal") < LOGS)
		write_next(store);
	kit_must(lsm_sync(store) == LSM_OK);
	synced = written;
	for (size_t i = 0; i < TAIL; i++)
		write_next(store);
}

static void setup(void)
{
	struct env_mem_crash all = {256, 1};
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	struct env *env = NULL, *fault = NULL;

	kit_quiet();
	seed = gen_seed(4096);
	model = kit_model_create(seed, BATCHES);
	written = 0;
	kit_must(env_mem_create(&env) == LSM_OK);
	kit_must(kit_create(env, "/store") == LSM_OK);
	kit_must(env_fault_create(env, &fault) == LSM_OK);
	env_fault_set_hook(fault, wait_at_gate, NULL);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	kit_must(kit_open(runtime, fault, "/store", false, &store) == LSM_OK);
	grow_list(store, env);
	kit_must(lsm_close(store) == LSM_OK);
	kit_must(kit_open(runtime, fault, "/store", false, &store) == LSM_OK);
	fill_logs(store, env);
	kit_must(env_mem_after_crash(env, &all, &whole) == LSM_OK);
	set_gate(false);
	kit_must(lsm_close(store) == LSM_OK);
	lsm_runtime_destroy(runtime);
	env_fault_destroy(fault);
	env_mem_destroy(env);

	forget_files();
	list_files(whole);
	kit_must(count_files(".list") == 1 && count_files(".wal") >= LOGS &&
	         count_files(".sst") >= TABLES && count_files("MANIFEST") == 1);
}

static void teardown(void)
{
	forget_files();
	env_mem_destroy(whole);
	kit_model_destroy(model);
}

/* ---- damage
 * ---------------------------------------------------------------------- */

/* A copy of the store in which `file` holds other bytes. */
static struct env *damaged(const struct file *file, struct slice bytes)
{
	struct env_mem_crash all = {256, 1};
	struct env *env = NULL;
	struct env_dir *dir = NULL;
	struct env_file *out = NULL;

	kit_must(env_mem_after_crash(whole, &all, &env) == LSM_OK);
	kit_must(env_dir_open(env, file->folder, &dir) == LSM_OK);
	kit_must(env_unlink(dir, file->name) == LSM_OK);
	kit_must(env_open(dir, file->name, ENV_CREATE, &out) == LSM_OK);
	if (bytes.len > 0)
		kit_must(env_write(out, 0, bytes.data, bytes.len) == LSM_OK);
	kit_must(env_close(out) == LSM_OK);
	env_dir_close(dir);
	return env;
}

/* Whether every file of the pool, but the damaged one, is as it was, and no
   other has come. */
static bool pool_is_untouched(const struct env *env, const struct file *file,
                              struct kit_why *why)
{
	struct env_dir *dir = NULL;
	struct buf bytes = BUF_INIT;
	size_t before = 0, after = count_in_pool(env, "");
	bool good = true;

	kit_must(env_dir_open(env, "/store/pool", &dir) == LSM_OK);
	for (size_t i = 0; i < file_count && good; i++) {
		const struct file *f = &files[i];

		if (strcmp(f->folder, "/store/pool") != 0)
			continue;
		before++;
		if (f == file)
			continue;
		good = env_read_file(dir, f->name, 1 << 20, &bytes) == LSM_OK &&
		       slice_equal(buf_slice(&bytes), buf_slice(&f->bytes));
		if (!good)
			kit_fail(why, "a refused open took %s away", f->name);
	}
	if (good && after != before)
		good = kit_fail(why, "a refused open left %zu files, not %zu",
		                after, before);
	buf_release(&bytes);
	env_dir_close(dir);
	return good;
}

static bool is_refusal(enum lsm_err err)
{
	return err == LSM_ERR_CORRUPT || err == LSM_ERR_LOST ||
	       err == LSM_ERR_NOT_STORE || err == LSM_ERR_NEWER;
}

/* An error, or contents within the bounds. */
static bool try_damage(const struct file *file, struct slice bytes,
                       struct kit_bounds bounds, struct kit_why *why)
{
	struct env *env = damaged(file, bytes);
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	bool good = true;
	enum lsm_err err;

	kit_must(kit_runtime(&runtime) == LSM_OK);
	err = kit_open(runtime, env, "/store", false, &store);
	if (err == LSM_OK) {
		good = kit_compare_or_error(store, model, bounds, why);
		(void)lsm_close(store); /* a compaction may have met it */
	} else if (!is_refusal(err)) {
		good = kit_fail(why, "opening says \"%s\"", lsm_strerror(err));
	} else {
		good = pool_is_untouched(env, file, why);
	}
	lsm_runtime_destroy(runtime);
	env_mem_destroy(env);
	return good;
}

static uint64_t step_for(size_t len, size_t samples)
{
	return kit_full() || len <= samples ? 1 : len / samples + 1;
}

static void flip_each(const struct file *file, struct kit_bounds bounds)
{
	static const uint8_t patterns[] = {0x01, 0x80, 0xff};
	uint64_t step = step_for(file->bytes.len, FLIPS), tried = 0;
	struct buf bytes = BUF_INIT;
	struct kit_why why;

	kit_must(buf_set(&bytes, buf_slice(&file->bytes)) == LSM_OK);
	for (size_t at = seed % step; at < bytes.len; at += step) {
		for (size_t p = 0; p < sizeof(patterns); p++) {
			/* All three where it is cheap, or asked for. */
			if (!kit_full() && bytes.len > 64 &&
			    p != at / step % sizeof(patterns))
				continue;
			bytes.data[at] ^= patterns[p];
			ck_assert_msg(
			    try_damage(file, buf_slice(&bytes), bounds, &why),
			    "%s: byte %zu flipped by %#x: %s", file->name, at,
			    patterns[p], why.text);
			bytes.data[at] ^= patterns[p];
			tried++;
		}
	}
	buf_release(&bytes);
	fprintf(stderr, "%s: %zu bytes, %llu flips\n", file->name,
	        file->bytes.len, (unsigned long long)tried);
}

static void cut_each(const struct file *file, struct kit_bounds bounds)
{
	uint64_t step = step_for(file->bytes.len, CUTS);
	struct kit_why why;

	for (size_t len = seed % step; len < file->bytes.len; len += step)
		ck_assert_msg(try_damage(file,
		                         slice_make(file->bytes.data, len),
		                         bounds, &why),
		              "%s: cut to %zu of %zu bytes: %s", file->name,
		              len, file->bytes.len, why.text);
}

/* Damage up to `count` of the files with `part` in their names. */
static void damage(const char *part, size_t count, struct kit_bounds flipped,
                   struct kit_bounds cut)
{
	for (size_t i = 0; i < file_count && count > 0; i++) {
		if (strstr(files[i].name, part) == NULL)
			continue;
		flip_each(&files[i], flipped);
		cut_each(&files[i], cut);
		count--;
	}
	ck_assert_uint_eq(count, 0);
}

START_TEST(undamaged_store_holds_everything)
{
	struct kit_bounds all = {written, written};
	struct kit_why why;

	ck_assert_msg(
	    try_damage(&files[0], buf_slice(&files[0].bytes), all, &why), "%s",
	    why.text);
	ck_assert_msg(
	    kit_check_store(whole, "/store", model, all, true, NULL, &why),
	    "%s", why.text);
}
END_TEST

START_TEST(damaged_superblock_is_refused)
{
	struct kit_bounds none = {1, 0};

	damage("SHALEFS", 1, none, none);
}
END_TEST

START_TEST(damaged_current_is_refused)
{
	struct kit_bounds none = {1, 0};

	damage("CURRENT", 1, none, none);
}
END_TEST

/* Cut between two edits it is whole as it was then: an earlier state, if its
   files are still there. */
START_TEST(damaged_manifest_is_refused_or_harmless)
{
	struct kit_bounds all = {written, written};
	struct kit_bounds cut = {0, written};

	damage("MANIFEST", 1, all, cut);
}
END_TEST

/* What pads its records is no part of it. */
START_TEST(damaged_list_is_refused_or_harmless)
{
	struct kit_bounds all = {written, written};

	damage(".list", 1, all, all);
}
END_TEST

START_TEST(damaged_table_is_told_or_harmless)
{
	struct kit_bounds all = {written, written};

	damage(".sst", TABLES, all, all);
}
END_TEST

/* Also what nothing leads to any more. */
START_TEST(damaged_segment_is_told_or_harmless)
{
	struct kit_bounds all = {written, written};

	damage(".seg", SEGMENTS, all, all);
}
END_TEST

/* What was synced is there or said to be lost; a log that has lost its end with
   all promises in it cannot tell. */
START_TEST(damaged_log_loses_whole_unsynced_batches_only)
{
	struct kit_bounds flipped = {synced, written};
	struct kit_bounds cut = {0, written};

	damage(".wal", LOGS, flipped, cut);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flip");
	TCase *tc = tcase_create("damage");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, undamaged_store_holds_everything);
	tcase_add_test(tc, damaged_superblock_is_refused);
	tcase_add_test(tc, damaged_current_is_refused);
	tcase_add_test(tc, damaged_manifest_is_refused_or_harmless);
	tcase_add_test(tc, damaged_list_is_refused_or_harmless);
	tcase_add_test(tc, damaged_table_is_told_or_harmless);
	tcase_add_test(tc, damaged_segment_is_told_or_harmless);
	tcase_add_test(tc, damaged_log_loses_whole_unsynced_batches_only);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
