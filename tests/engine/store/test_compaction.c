/* SPDX-License-Identifier: MIT */
/*
 * test_compaction.c: background compaction is alive: a process that only
 * writes, and then idles, gets its space back.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "io/env.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"
#include "tests/support/tables.h"
#include "tests/support/tmp.h"

enum {
	KEYS = 20000,
	VALUE_BYTES = 200, /* incompressible */
	ROUNDS = 10,
	BATCH = 50,
	PERIOD_MS = 1000,
	LOOK_MS = 20,
	IDLE_LOOKS = 3000, /* the store does nothing: it will not any more */
	TIMEOUT_S = 600,   /* against hangs */
};

static struct lsm_runtime *runtime;
static struct lsm *store;
static struct tmp scratch;
static char *path;

static void open_store(void)
{
	struct lsm_runtime_options runtime_options;
	struct lsm_options options;

	tmp_make(&scratch);
	path = tmp_path(&scratch, "store");
	ck_assert_ptr_nonnull(path);

	lsm_runtime_options_init(&runtime_options);
	runtime_options.credit_bytes = 4 << 20;
	runtime_options.period_ms = PERIOD_MS;
	lsm_options_init(&options);
	options.table_bytes = 1 << 20;
	options.level_base_bytes = 8 << 20;
	ck_assert_int_eq(lsm_create(NULL, path, slice_make(NULL, 0)), LSM_OK);
	ck_assert_int_eq(lsm_runtime_create(&runtime_options, &runtime),
	                 LSM_OK);
	ck_assert_int_eq(lsm_open(runtime, path, &options, &store), LSM_OK);
}

static void close_store(void)
{
	ck_assert_int_eq(lsm_close(store), LSM_OK);
	lsm_runtime_destroy(runtime);
	free(path);
	tmp_remove(&scratch);
}

static void write_round(struct gen *gen)
{
	struct lsm_batch *batch;
	uint8_t value[VALUE_BYTES];
	char key[16];

	ck_assert_int_eq(lsm_batch_create(&batch), LSM_OK);
	for (unsigned i = 0; i < KEYS; i++) {
		gen_bytes(gen, value, sizeof(value));
		snprintf(key, sizeof(key), "%08u", i * 7919u % KEYS);
		ck_assert_int_eq(
		    lsm_batch_put(batch, slice_str(key),
		                  slice_make(value, sizeof(value))),
		    LSM_OK);
		if (i % BATCH == BATCH - 1) {
			ck_assert_int_eq(lsm_write(store, batch, NULL, NULL),
			                 LSM_OK);
			lsm_batch_clear(batch);
		}
	}
	lsm_batch_destroy(batch);
}

static enum lsm_err add_size(void *ctx, const char *name)
{
	char file[8192];
	struct env_dir *pool;
	struct env_file *f = NULL;
	uint64_t size = 0;
	enum lsm_err err;

	snprintf(file, sizeof(file), "%s/pool", path);
	err = env_dir_open(env_posix(), file, &pool);
	if (err == LSM_OK)
		err = env_open(pool, name, ENV_READ, &f);
	if (err == LSM_OK)
		err = env_size(f, &size);
	env_close(f);
	env_dir_close(pool);
	*(uint64_t *)ctx += size;
	/* A file may go while the folder is listed. */
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

/* What the folder takes, as anyone outside sees it. */
static uint64_t pool_bytes(void)
{
	char folder[8192];
	struct env_dir *pool;
	uint64_t bytes = 0;

	snprintf(folder, sizeof(folder), "%s/pool", path);
	ck_assert_int_eq(env_dir_open(env_posix(), folder, &pool), LSM_OK);
	ck_assert_int_eq(env_dir_list(pool, add_size, &bytes), LSM_OK);
	env_dir_close(pool);
	return bytes;
}

static uint64_t l0_files(void)
{
	struct lsm_stats stats;

	lsm_stats(store, &stats);
	return stats.levels[0].files;
}

/* Something that changes with whatever the store does. */
static uint64_t progress(void)
{
	struct lsm_stats stats;

	lsm_stats(store, &stats);
	return pool_bytes() + stats.flushes.count + stats.compactions.count;
}

/* Wait until `holds` does, for as long as the store does anything. */
static bool comes_true(bool (*holds)(void))
{
	const struct timespec pause = {0, LOOK_MS * 1000000};
	uint64_t before = 0;

	for (unsigned idle = 0; !holds(); idle++) {
		uint64_t now = progress();

		if (now != before)
			idle = 0;
		if (idle == IDLE_LOOKS)
			return false;
		before = now;
		nanosleep(&pause, NULL);
	}
	return true;
}

static bool l0_is_empty(void)
{
	return l0_files() == 0;
}

static bool space_is_near_live(void)
{
	const uint64_t live = (uint64_t)KEYS * (VALUE_BYTES + 8);

	return pool_bytes() * 2 <= live * 3;
}

START_TEST(l0_shrinks_while_a_process_that_only_wrote_idles)
{
	struct gen gen;

	gen_init(&gen, gen_seed(1));
	open_store();
	write_round(&gen);
	ck_assert_int_eq(lsm_flush(store), LSM_OK);
	/* Below the trigger: only the period takes them down. */
	ck_assert(comes_true(l0_is_empty));
	close_store();
}
END_TEST

START_TEST(space_after_ten_overwrites_comes_within_half_of_what_is_live)
{
	struct gen gen;

	gen_init(&gen, gen_seed(1));
	open_store();
	for (unsigned i = 0; i < ROUNDS; i++)
		write_round(&gen);
	ck_assert(comes_true(space_is_near_live));
	close_store();
}
END_TEST

START_TEST(deleting_everything_gives_nearly_all_space_back)
{
	struct lsm_batch *batch;
	struct gen gen;
	char key[16];
	uint64_t before;

	gen_init(&gen, gen_seed(1));
	open_store();
	write_round(&gen);
	ck_assert_int_eq(compact_all(store), LSM_OK);
	before = tables_bytes(store);
	ck_assert_uint_gt(before, KEYS * VALUE_BYTES);
	ck_assert_int_eq(lsm_batch_create(&batch), LSM_OK);
	for (unsigned i = 0; i < KEYS; i++) {
		snprintf(key, sizeof(key), "%08u", i);
		ck_assert_int_eq(lsm_batch_delete(batch, slice_str(key)),
		                 LSM_OK);
	}
	ck_assert_int_eq(lsm_write(store, batch, NULL, NULL), LSM_OK);
	lsm_batch_destroy(batch);
	ck_assert_int_eq(compact_all(store), LSM_OK);
	ck_assert_uint_lt(tables_bytes(store), before / 100);
	close_store();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compaction");
	TCase *tc = tcase_create("alive");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, l0_shrinks_while_a_process_that_only_wrote_idles);
	tcase_add_test(
	    tc, space_after_ten_overwrites_comes_within_half_of_what_is_live);
	tcase_add_test(tc, deleting_everything_gives_nearly_all_space_back);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
