/* SPDX-License-Identifier: MIT */
/*
 * test_env_fault.c: the fault env does what it is asked; and with it, what
 * env.c builds, with a failure or a power cut at each step.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sync.h"
#include "io/env.h"
#include "tests/support/env_fault.h"

enum { KEEP_ALL = 256 };

static struct env *env;
static struct env_dir *root;

static void drop_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static void ok(enum lsm_err err)
{
	ck_assert_msg(err == LSM_OK, "%s", lsm_strerror(err));
}

static void setup(void)
{
	log_set_sink(drop_line, NULL);
	ok(env_mem_create(&env));
	ok(env_dir_open(env, "/", &root));
}

static void teardown(void)
{
	env_dir_close(root);
	env_mem_destroy(env);
}

/* ---- helpers ------------------------------------------------------------ */

static void put(struct env_dir *dir, const char *name, const char *text,
                bool synced)
{
	struct env_file *file;

	ok(env_open(dir, name, ENV_CREATE, &file));
	ok(env_write(file, 0, text, strlen(text)));
	if (synced)
		ok(env_sync(file));
	ok(env_close(file));
}

static void put_durable(struct env_dir *dir, const char *name, const char *text)
{
	put(dir, name, text, true);
	ok(env_dir_sync(dir));
}

static struct env *crash(unsigned keep_per_256, uint64_t seed)
{
	struct env_mem_crash how = {keep_per_256, seed};
	struct env *after;

	ok(env_mem_after_crash(env, &how, &after));
	return after;
}

/* Whether the file holds the text; "-" is for no such file. */
static bool holds(struct env *of, const char *name, const char *text)
{
	struct buf got = BUF_INIT;
	struct env_dir *dir;
	bool same;

	ok(env_dir_open(of, "/", &dir));
	if (env_read_file(dir, name, 1 << 20, &got) != LSM_OK)
		ok(buf_set(&got, slice_str("-")));
	same = slice_equal(buf_slice(&got), slice_str(text));
	env_dir_close(dir);
	buf_release(&got);
	return same;
}

/* ---- publish, step by step ----------------------------------------------- */

struct watch {
	bool skip_sync, skip_dir_sync; /* leave these out */
	unsigned calls, broken;
};

/* Whether CURRENT is anything but the old contents or the new, after any of
   the power cuts that can come now. `only` the new when `is_done`. */
static bool is_broken(bool is_done)
{
	static const unsigned keeps[] = {0, 64, 128, 192, KEEP_ALL};
	bool broken = false;

	for (size_t k = 0; k < sizeof(keeps) / sizeof(keeps[0]); k++) {
		for (uint64_t seed = 0; seed < 16; seed++) {
			struct env *after = crash(keeps[k], seed);
			bool found = holds(after, "CURRENT", "new");

			if (!is_done)
				found |= holds(after, "CURRENT", "old");
			broken |= !found;
			env_mem_destroy(after);
		}
	}
	return broken;
}

static struct fault_answer watch_call(void *ctx, const struct fault_call *call)
{
	struct fault_answer go = {LSM_OK, false};
	struct watch *watch = ctx;

	watch->calls++;
	if (is_broken(false))
		watch->broken++;
	if (call->op == FAULT_SYNC)
		go.skip = watch->skip_sync;
	if (call->op == FAULT_DIR_SYNC)
		go.skip = watch->skip_dir_sync;
	return go;
}

/* Publish "new" over a durable "old" and crash before each step and after. */
static void publish_watched(struct watch *watch)
{
	struct env *fault;
	struct env_dir *dir;

	put_durable(root, "CURRENT", "old");
	put_durable(root, "CURRENT.tmp", "stale");
	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &dir));
	env_fault_set_hook(fault, watch_call, watch);
	ok(env_publish(dir, "CURRENT", slice_str("new")));
	if (is_broken(true))
		watch->broken++;
	env_fault_set_hook(fault, NULL, NULL);
	env_dir_close(dir);
	env_fault_destroy(fault);
}

START_TEST(publish_is_atomic_under_a_crash_at_each_step)
{
	struct watch watch = {false, false, 0, 0};

	publish_watched(&watch);
	ck_assert_uint_eq(watch.calls, 7);
	ck_assert_uint_eq(watch.broken, 0);
}
END_TEST

START_TEST(publish_without_its_file_sync_is_not)
{
	struct watch watch = {true, false, 0, 0};

	publish_watched(&watch);
	ck_assert_uint_gt(watch.broken, 0);
}
END_TEST

START_TEST(publish_without_its_folder_sync_is_not)
{
	struct watch watch = {false, true, 0, 0};

	publish_watched(&watch);
	ck_assert_uint_gt(watch.broken, 0);
}
END_TEST

START_TEST(publish_that_fails_at_any_step_leaves_old_or_new)
{
	struct env_dir *dir;
	struct env *fault;
	enum lsm_err err;
	uint64_t nth = 0;

	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &dir));
	put_durable(root, "CURRENT", "old");
	do {
		env_fault_arm(fault, ++nth, LSM_ERR_IO, false);
		err = env_publish(dir, "CURRENT", slice_str("new"));
		ck_assert(holds(env, "CURRENT", "old") ||
		          holds(env, "CURRENT", "new"));
		ck_assert(!is_broken(err == LSM_OK));
		/* A failure before the rename leaves nothing behind. */
		ck_assert(holds(env, "CURRENT.tmp", "-"));
	} while (err != LSM_OK);
	ck_assert_uint_eq(nth, 8); /* the seven steps each failed once */
	env_dir_close(dir);
	env_fault_destroy(fault);
}
END_TEST

/* ---- the fault env itself -------------------------------------------------
 */

START_TEST(fault_fails_one_operation_or_all_later_ones)
{
	struct env_dir *dir;
	struct env *fault;

	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &dir));
	ck_assert_uint_eq(env_fault_count(fault), 1);
	env_fault_arm(fault, 2, LSM_ERR_NOSPACE, false);
	ok(env_dir_make(dir, "a"));
	ck_assert_int_eq(env_dir_make(dir, "b"), LSM_ERR_NOSPACE);
	ok(env_dir_make(dir, "c"));
	ck_assert_uint_eq(env_fault_count(fault), 3);
	env_fault_arm(fault, 2, LSM_ERR_IO, true);
	ok(env_dir_make(dir, "d"));
	ck_assert_int_eq(env_dir_make(dir, "e"), LSM_ERR_IO);
	ck_assert_int_eq(env_dir_sync(dir), LSM_ERR_IO);
	env_fault_arm(fault, 0, LSM_OK, false);
	ck_assert_int_eq(env_rmdir(dir, "b"), LSM_ERR_NOT_FOUND);
	ck_assert_int_eq(env_rmdir(dir, "e"), LSM_ERR_NOT_FOUND);
	env_dir_close(dir);
	env_fault_destroy(fault);
}
END_TEST

static struct fault_answer note_call(void *ctx, const struct fault_call *call)
{
	struct fault_answer go = {LSM_OK, false};
	struct buf *lines = ctx;
	char line[128];

	snprintf(line, sizeof(line), "%s %s/%s%s%s\n", fault_op_name(call->op),
	         call->folder, call->name, *call->from_name == '\0' ? "" : " ",
	         call->from_name);
	ok(buf_append_slice(lines, slice_str(line)));
	if (call->op == FAULT_LINK)
		go.err = LSM_ERR_NO_LINK;
	return go;
}

START_TEST(fault_shows_each_operation_with_its_names)
{
	static const char expected[] = "dir_make store/pool\n"
				       "dir_open store/pool\n"
				       "create pool/1.sst\n"
				       "write pool/1.sst\n"
				       "sync pool/1.sst\n"
				       "close pool/1.sst\n"
				       "dir_sync pool/\n"
				       "rename store/2.sst 1.sst\n"
				       "link pool/3.sst 2.sst\n"
				       "dir_sync store/\n";
	struct buf lines = BUF_INIT;
	struct env_dir *store, *pool;
	struct env_file *file;
	struct env *fault;

	ok(env_dir_make(root, "store"));
	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/store/", &store));
	env_fault_set_hook(fault, note_call, &lines);
	ok(env_dir_make(store, "pool"));
	ok(env_dir_open_at(store, "pool", &pool));
	ok(env_open(pool, "1.sst", ENV_CREATE, &file));
	ok(env_write(file, 0, "x", 1));
	ok(env_sync(file));
	ok(env_close(file));
	ok(env_dir_sync(pool));
	ok(env_rename(pool, "1.sst", store, "2.sst", true));
	ck_assert_int_eq(env_link(store, "2.sst", pool, "3.sst"),
	                 LSM_ERR_NO_LINK);
	ok(env_dir_sync(store));
	ok(buf_append(&lines, "", 1));
	ck_assert_str_eq((const char *)lines.data, expected);
	buf_release(&lines);
	env_dir_close(pool);
	env_dir_close(store);
	env_fault_destroy(fault);
}
END_TEST

START_TEST(removing_a_tree_fails_at_every_step_and_then_succeeds)
{
	struct env_dir *dir, *top;
	struct env *fault;
	enum lsm_err err;
	uint64_t nth = 0;

	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &top));
	do {
		err = env_dir_make(root, "d");
		ck_assert(err == LSM_OK || err == LSM_ERR_EXISTS);
		ok(env_dir_open_at(root, "d", &dir));
		ok(env_remove_tree(dir, "f"));
		put(dir, "f", "1", false);
		env_dir_close(dir);
		env_fault_arm(fault, ++nth, LSM_ERR_IO, false);
		err = env_remove_tree(top, "d");
		ck_assert(err == LSM_OK || err == LSM_ERR_IO);
	} while (err != LSM_OK);
	ck_assert_uint_eq(nth, 6); /* open, list, open, unlink, rmdir */
	ck_assert_int_eq(env_dir_open_at(root, "d", &dir), LSM_ERR_NOT_FOUND);
	env_dir_close(top);
	env_fault_destroy(fault);
}
END_TEST

START_TEST(a_copy_has_all_bytes)
{
	enum { STEP = 1 << 20 };
	static const size_t sizes[] = {0, 1, STEP - 1, STEP, STEP + 17};
	struct env_file *file;
	struct buf got = BUF_INIT, bytes = BUF_INIT;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ok(buf_resize(&bytes, sizes[i]));
		for (size_t at = 0; at < sizes[i]; at++)
			bytes.data[at] = (uint8_t)(at * 31 + i);
		ok(env_open(root, "a", ENV_CREATE, &file));
		ok(env_write(file, 0, bytes.data, bytes.len));
		ok(env_close(file));
		ok(env_copy_file(root, "a", root, "b"));
		ok(env_read_file(root, "b", 2 * STEP, &got));
		ck_assert(slice_equal(buf_slice(&got), buf_slice(&bytes)));
		ok(env_unlink(root, "a"));
		ok(env_unlink(root, "b"));
	}
	buf_release(&got);
	buf_release(&bytes);
}
END_TEST

START_TEST(a_copy_replaces_nothing)
{
	put(root, "a", "1", false);
	put(root, "b", "2", false);
	ck_assert_int_eq(env_copy_file(root, "a", root, "b"), LSM_ERR_EXISTS);
	ck_assert_int_eq(env_copy_file(root, "x", root, "y"),
	                 LSM_ERR_NOT_FOUND);
	ck_assert(holds(env, "b", "2"));
	ck_assert(holds(env, "y", "-"));
}
END_TEST

START_TEST(a_copy_that_fails_leaves_no_name)
{
	struct env_dir *top;
	struct env *fault;
	enum lsm_err err;
	uint64_t nth = 0;

	put(root, "a", "abc", false);
	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &top));
	for (;;) {
		env_fault_arm(fault, ++nth, LSM_ERR_NOSPACE, false);
		err = env_copy_file(top, "a", top, "b");
		if (holds(env, "b", "abc"))
			break;
		ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		ck_assert(holds(env, "b", "-"));
	}
	ok(err); /* only closing the source was left to fail */
	ck_assert_uint_eq(nth, 7);
	env_dir_close(top);
	env_fault_destroy(fault);
}
END_TEST

enum { THREADS = 3, ROUNDS = 60 };

struct worker {
	struct sync_thread thread;
	struct env_dir *dir;
	unsigned number;
	enum lsm_err err; /* read after join */
};

static enum lsm_err work_once(struct worker *worker)
{
	char name[16], other[16];
	struct env_file *file;
	enum lsm_err err, close_err;

	snprintf(name, sizeof(name), "a%u", worker->number);
	snprintf(other, sizeof(other), "b%u", worker->number);
	err = env_open(worker->dir, name, ENV_CREATE, &file);
	if (err != LSM_OK)
		return err;
	err = env_write(file, 0, name, strlen(name));
	if (err == LSM_OK)
		err = env_sync(file);
	close_err = env_close(file);
	if (err == LSM_OK)
		err = close_err;
	if (err == LSM_OK)
		err = env_rename(worker->dir, name, worker->dir, other, true);
	if (err == LSM_OK)
		err = env_dir_sync(worker->dir);
	if (err == LSM_OK)
		err = env_unlink(worker->dir, other);
	return err;
}

static void work(void *ctx)
{
	struct worker *worker = ctx;

	for (int round = 0; round < ROUNDS && worker->err == LSM_OK; round++)
		worker->err = work_once(worker);
}

START_TEST(threads_share_an_env_that_crashes_meanwhile)
{
	struct worker workers[THREADS];
	struct env_dir *dir;
	struct env *fault;

	ok(env_fault_create(env, &fault));
	ok(env_dir_open(fault, "/", &dir));
	memset(workers, 0, sizeof(workers));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].dir = dir;
		workers[i].number = i;
		ok(sync_thread_start(&workers[i].thread, "worker", work,
		                     &workers[i]));
	}
	for (uint64_t seed = 0; seed < ROUNDS; seed++)
		env_mem_destroy(crash(128, seed));
	for (unsigned i = 0; i < THREADS; i++) {
		sync_thread_join(&workers[i].thread);
		ok(workers[i].err);
	}
	/* Opening the folder, then seven steps a round. */
	ck_assert_uint_eq(env_fault_count(fault), 1 + THREADS * ROUNDS * 7);
	env_dir_close(dir);
	env_fault_destroy(fault);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("env_fault");
	TCase *tc = tcase_create("fault");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, publish_is_atomic_under_a_crash_at_each_step);
	tcase_add_test(tc, publish_without_its_file_sync_is_not);
	tcase_add_test(tc, publish_without_its_folder_sync_is_not);
	tcase_add_test(tc, publish_that_fails_at_any_step_leaves_old_or_new);
	tcase_add_test(tc, fault_fails_one_operation_or_all_later_ones);
	tcase_add_test(tc, fault_shows_each_operation_with_its_names);
	tcase_add_test(tc,
	               removing_a_tree_fails_at_every_step_and_then_succeeds);
	tcase_add_test(tc, a_copy_has_all_bytes);
	tcase_add_test(tc, a_copy_replaces_nothing);
	tcase_add_test(tc, a_copy_that_fails_leaves_no_name);
	tcase_add_test(tc, threads_share_an_env_that_crashes_meanwhile);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
