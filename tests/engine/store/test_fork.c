/* SPDX-License-Identifier: MIT */
/*
 * test_fork.c: an export is a whole store, made of links, independent of its
 * source from the first moment on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tmp.h"

#define CHILD "/child"

enum { FILLED = 300, KEEP_ALL = 256 };

static struct kit kit;
static struct lsm_fork_info info;

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static enum lsm_err export(void) { return lsm_export(kit.store, CHILD, &info); }

static struct lsm *open_child(const char *path)
{
	struct lsm *child;

	ASSERT_OK(lsm_open(kit.runtime, path, &kit.options, &child));
	return child;
}

/* Data in a deep level, in L0, and in the memtable. */
static void fill_everywhere(void)
{
	kit_fill(kit.store, "a", FILLED, "deep");
	ASSERT_OK(compact_all(kit.store));
	kit_fill(kit.store, "b", FILLED, "l0");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "c", FILLED, "memory");
	kit_merge(kit.store, "m", "parent");
}

static void expect_everywhere(struct lsm *store)
{
	kit_expect_filled(store, "a", FILLED, "deep");
	kit_expect_filled(store, "b", FILLED, "l0");
	kit_expect_filled(store, "c", FILLED, "memory");
}

START_TEST(child_holds_everything_acknowledged_before)
{
	struct lsm_stats before, after;
	struct lsm *child;
	size_t files;

	fill_everywhere();
	/* Without a flush that happens to come between. */
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	lsm_stats(kit.store, &before);
	ASSERT_OK(export());
	lsm_stats(kit.store, &after);
	kit_heal(&kit);
	ck_assert_uint_eq(after.flushes.count, before.flushes.count);
	ck_assert_uint_eq(info.sequence, 3 * FILLED + 1);
	ck_assert_uint_eq(info.bytes_flushed, 0);
	ck_assert_uint_eq(info.files_copied + info.files_reflinked, 0);
	files = kit_files(kit.env, CHILD "/pool", "");
	ck_assert_uint_eq(info.files_linked, files);
	ck_assert_uint_ge(files, 3);
	ck_assert_uint_eq(kit_files(kit.env, CHILD "/pool", ".wal"), 1);

	child = open_child(CHILD);
	expect_everywhere(child);
	kit_expect(child, "m", "parent");
	ck_assert_uint_eq(lsm_sequence(child), info.sequence);
	ck_assert(slice_equal(lsm_owner_area(child), slice_str("owner")));
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(child_and_parent_diverge)
{
	struct lsm *child;

	fill_everywhere();
	ASSERT_OK(export());
	child = open_child(CHILD);
	for (int i = 0; i < 2; i++) {
		kit_fill(kit.store, "c", FILLED / 2, "parent");
		kit_fill(child, "b", FILLED / 2, "child");
		kit_delete(child, "a000000");
		kit_merge(kit.store, "m", "+p");
		kit_merge(child, "m", "+c");
		ASSERT_OK(compact_all(kit.store));
		ASSERT_OK(compact_all(child));
		kit_expect_filled(kit.store, "b", FILLED, "l0");
		kit_expect_filled(child, "c", FILLED, "memory");
		kit_expect_filled(child, "b", FILLED / 2, "child");
		kit_expect_filled(kit.store, "c", FILLED / 2, "parent");
		kit_expect_filled(kit.store, "a", 1, "deep");
		kit_expect(child, "a000000", NULL);
		kit_expect(kit.store, "m", i == 0 ? "parent+p" : "parent+p+p");
		kit_expect(child, "m", i == 0 ? "parent+c" : "parent+c+c");
		ASSERT_OK(lsm_close(child));
		kit_reopen(&kit);
		child = open_child(CHILD);
	}
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(child_outlives_its_parent)
{
	struct env_dir *root;
	struct lsm *child;

	fill_everywhere();
	ASSERT_OK(export());
	kit_close(&kit);
	ASSERT_OK(env_dir_open(kit.env, "/", &root));
	ASSERT_OK(env_remove_tree(root, "st"));
	env_dir_close(root);
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	for (int i = 0; i < 2; i++) {
		child = open_child(CHILD);
		expect_everywhere(child);
		kit_fill(child, "d", FILLED, "own");
		ASSERT_OK(compact_all(child));
		expect_everywhere(child);
		ASSERT_OK(lsm_close(child));
	}
	lsm_runtime_destroy(kit.runtime);
	kit.runtime = NULL;
}
END_TEST

START_TEST(parent_outlives_its_child)
{
	struct env_dir *root;

	fill_everywhere();
	ASSERT_OK(export());
	ASSERT_OK(env_dir_open(kit.env, "/", &root));
	ASSERT_OK(env_remove_tree(root, "child"));
	env_dir_close(root);
	kit_reopen(&kit);
	expect_everywhere(kit.store);
}
END_TEST

START_TEST(child_has_an_identity_of_its_own)
{
	struct superblock parent, child;
	char parent_folder[KIT_NAME_BYTES], child_folder[KIT_NAME_BYTES];
	struct env_dir *dir;

	ASSERT_OK(export());
	ASSERT_OK(env_dir_open(kit.env, KIT_PATH, &dir));
	ASSERT_OK(superblock_read(dir, KIT_PATH, true, &parent));
	env_dir_close(dir);
	ASSERT_OK(env_dir_open(kit.env, CHILD, &dir));
	ASSERT_OK(superblock_read(dir, CHILD, true, &child));
	env_dir_close(dir);
	ck_assert_mem_eq(&parent.family, &child.family, UUID_BYTES);
	ck_assert_mem_ne(&parent.store, &child.store, UUID_BYTES);
	kit_branch_folder(kit.env, KIT_PATH, parent_folder);
	kit_branch_folder(kit.env, CHILD, child_folder);
	ck_assert_str_ne(strrchr(parent_folder, '/'),
	                 strrchr(child_folder, '/'));
}
END_TEST

/* Made durable as a whole: a power cut directly afterwards takes nothing. */
START_TEST(child_survives_a_power_cut)
{
	struct lsm *child;

	fill_everywhere();
	ASSERT_OK(export());
	kit_crash(&kit, 0, 1);
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	child = open_child(CHILD);
	expect_everywhere(child);
	kit_expect(child, "m", "parent");
	ASSERT_OK(lsm_close(child));
	lsm_runtime_destroy(kit.runtime);
	kit.runtime = NULL;
	kit_open(&kit);
	expect_everywhere(kit.store); /* its logs were synced too */
}
END_TEST

START_TEST(child_of_a_child_and_of_an_empty_store)
{
	struct lsm *child, *grandchild;

	ASSERT_OK(export());
	child = open_child(CHILD);
	ck_assert_uint_eq(kit_count(child, "", ""), 0);
	kit_put(child, "a", "1");
	ASSERT_OK(lsm_export(child, "/grandchild", &info));
	kit_put(child, "a", "2");
	grandchild = open_child("/grandchild");
	kit_expect(grandchild, "a", "1");
	kit_expect(child, "a", "2");
	kit_expect(kit.store, "a", NULL);
	ASSERT_OK(lsm_close(grandchild));
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(several_sealed_logs_are_all_in_the_child)
{
	struct lsm *child;

	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	for (int i = 0; i < 3; i++) {
		kit_fill(kit.store,
		         i == 0   ? "a"
		         : i == 1 ? "b"
		                  : "c",
		         FILLED / 4, "some");
		ASSERT_ERR(lsm_flush(kit.store), IO);
	}
	kit_put(kit.store, "last", "1");
	ASSERT_OK(export());
	kit_heal(&kit);
	ck_assert_uint_eq(kit_files(kit.env, CHILD "/pool", ".wal"), 4);
	child = open_child(CHILD);
	ck_assert_uint_eq(kit_count(child, "", ""), 3 * (FILLED / 4) + 1);
	kit_expect_filled(child, "b", FILLED / 4, "some");
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(where_links_are_refused_files_are_copied)
{
	struct lsm *child;

	fill_everywhere();
	kit_fail(&kit, FAULT_LINK, "", LSM_ERR_NO_LINK, -1);
	ASSERT_OK(export());
	kit_heal(&kit);
	ck_assert_uint_eq(info.files_linked, 0);
	ck_assert_uint_eq(info.files_copied + info.files_reflinked,
	                  kit_files(kit.env, CHILD "/pool", ""));
	ck_assert_uint_eq(info.bytes_flushed, 0);
	child = open_child(CHILD);
	expect_everywhere(child);
	ASSERT_OK(lsm_close(child));
	kit_crash(&kit, 0, 1);
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	child = open_child(CHILD);
	expect_everywhere(child);
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(existing_destination_is_refused)
{
	struct env_dir *root;

	kit_put(kit.store, "a", "1");
	ASSERT_OK(env_dir_open(kit.env, "/", &root));
	ASSERT_OK(env_dir_make(root, "child"));
	env_dir_close(root);
	kit_log_begin();
	ASSERT_ERR(export(), EXISTS);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(CHILD, "exists"));
	ck_assert_uint_eq(kit_files(kit.env, CHILD, ""), 0);
	kit_write_file(kit.env, "/", "file", slice_str("x"));
	ASSERT_ERR(lsm_export(kit.store, "/file", &info), EXISTS);
	ck_assert_uint_eq(kit_files(kit.env, "/", ".tmp"), 0);
	kit_put(kit.store, "a", "2");
}
END_TEST

START_TEST(missing_parent_folder_is_refused)
{
	kit_log_begin();
	ASSERT_ERR(lsm_export(kit.store, "/no/child", &info), NOT_FOUND);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert_uint_eq(kit_files(kit.env, "/", ""), 1);
}
END_TEST

/* Whatever fails leaves the whole child or nothing, and an unharmed parent. */
START_TEST(every_failed_operation_leaves_a_child_or_none)
{
	static const enum fault_op ops[] = {
	    FAULT_LINK,     FAULT_CREATE, FAULT_WRITE,  FAULT_DIR_MAKE,
	    FAULT_DIR_SYNC, FAULT_RENAME, FAULT_RANDOM, FAULT_DIR_LOCK,
	};

	kit_log_begin();
	for (size_t op = 0; op < sizeof(ops) / sizeof(ops[0]); op++) {
		bool failed = true;

		for (int skip = 0; failed; skip++) {
			char path[64];
			enum lsm_err err;

			snprintf(path, sizeof(path), "/child-%zu-%d", op, skip);
			kit_fail(&kit, ops[op], "", LSM_ERR_NOSPACE, 0);
			atomic_store(&kit.fault.skip, skip);
			atomic_store(&kit.fault.times, 1);
			err = lsm_export(kit.store, path, &info);
			failed = atomic_load(&kit.fault.met) > 0;
			kit_heal(&kit);
			ck_assert(failed || err == LSM_OK);
			ck_assert_uint_eq(kit_files(kit.env, "/", ".tmp"), 0);
			if (kit_files(kit.env, "/", path + 1) > 0) {
				struct lsm *child = open_child(path);

				kit_expect(child, "sure", NULL);
				ASSERT_OK(lsm_close(child));
			}
		}
	}
	kit_put(kit.store, "sure", "1");
	kit_reopen(&kit);
	kit_expect(kit.store, "sure", "1");
}
END_TEST

/* No job of the store is in the env, which is about to be armed. */
static void settle(void)
{
	struct worker_pool *workers = kit.runtime->workers;

	worker_cancel(workers, &kit.store->compact_job);
	worker_cancel(workers, &kit.store->spare_job);
	worker_cancel(workers, &kit.store->home->gc_job);
	worker_cancel(workers, &kit.store->flush_job);
}

/* At every operation of an export the power goes. */
START_TEST(every_power_cut_leaves_a_child_or_none)
{
	bool cut = true;

	kit_log_begin();
	kit_release(&kit);
	for (uint64_t nth = 1; cut; nth++) {
		enum lsm_err err;

		kit_init(&kit);
		kit.runtime_options.period_ms = 3600 * 1000;
		kit_create(&kit);
		kit_put(kit.store, "a", "1");
		ASSERT_OK(lsm_flush(kit.store));
		kit_put(kit.store, "b", "2");
		ASSERT_OK(lsm_sync(kit.store));
		settle();
		env_fault_arm(kit.env, nth, LSM_ERR_IO, true);
		err = export();
		cut = env_fault_count(kit.env) >= nth;
		ck_assert(cut || err == LSM_OK);
		kit_crash(&kit, nth % 3 == 0 ? KEEP_ALL : 0, nth);
		kit_open(&kit);
		kit_expect(kit.store, "a", "1");
		kit_expect(kit.store, "b", "2");
		if (kit_files(kit.env, "/", "child") >
		    kit_files(kit.env, "/", ".tmp-")) {
			struct lsm *child = open_child(CHILD);

			kit_expect(child, "a", "1");
			kit_expect(child, "b", "2");
			ASSERT_OK(lsm_close(child));
		}
		if (cut)
			kit_release(&kit);
	}
}
END_TEST

START_TEST(what_an_interrupted_export_left_goes_with_the_next)
{
	kit_put(kit.store, "a", "1");
	kit_log_begin();
	env_fault_arm(kit.env, 25, LSM_ERR_IO, true);
	ck_assert_int_ne(export(), LSM_OK);
	kit_crash(&kit, KEEP_ALL, 1);
	ck_assert_uint_eq(kit_files(kit.env, "/", ".tmp-child-"), 1);
	kit_open(&kit);
	ASSERT_OK(export());
	ck_assert_uint_eq(kit_files(kit.env, "/", ".tmp-"), 0);
}
END_TEST

START_TEST(posix_files_are_hard_links)
{
	struct lsm *child;
	struct tmp scratch;
	char *path, *child_path;

	kit_close(&kit);
	tmp_make(&scratch);
	path = tmp_path(&scratch, "store");
	child_path = tmp_path(&scratch, "child");
	kit.options.env = NULL;
	ASSERT_OK(lsm_create(NULL, path, slice_str("owner")));
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	ASSERT_OK(lsm_open(kit.runtime, path, &kit.options, &kit.store));
	fill_everywhere();
	ASSERT_OK(lsm_export(kit.store, child_path, &info));
	ck_assert_uint_ge(info.files_linked, 3);
	ck_assert_uint_eq(info.files_copied + info.files_reflinked, 0);
	child = open_child(child_path);
	expect_everywhere(child);
	kit_put(child, "a000000", "own");
	ASSERT_OK(lsm_close(child));
	expect_everywhere(kit.store);
	kit_close(&kit);
	free(path);
	free(child_path);
	tmp_remove(&scratch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork");
	TCase *tc = tcase_create("fork");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, child_holds_everything_acknowledged_before);
	tcase_add_test(tc, child_and_parent_diverge);
	tcase_add_test(tc, child_outlives_its_parent);
	tcase_add_test(tc, parent_outlives_its_child);
	tcase_add_test(tc, child_has_an_identity_of_its_own);
	tcase_add_test(tc, child_survives_a_power_cut);
	tcase_add_test(tc, child_of_a_child_and_of_an_empty_store);
	tcase_add_test(tc, several_sealed_logs_are_all_in_the_child);
	tcase_add_test(tc, where_links_are_refused_files_are_copied);
	tcase_add_test(tc, what_an_interrupted_export_left_goes_with_the_next);
	tcase_add_test(tc, posix_files_are_hard_links);
	suite_add_tcase(suite, tc);

	tc = tcase_create("refused");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, existing_destination_is_refused);
	tcase_add_test(tc, missing_parent_folder_is_refused);
	tcase_add_test(tc, every_failed_operation_leaves_a_child_or_none);
	tcase_add_test(tc, every_power_cut_leaves_a_child_or_none);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
