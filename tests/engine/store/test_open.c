/* SPDX-License-Identifier: MIT */
/*
 * test_open.c: what cannot be opened is refused with one error line that names
 * it, and nothing on disk has changed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "store/superblock.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tmp.h"

enum { FILLED = 300 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

/* Opening fails with `err` and one line that names `part`; twice alike. */
static void expect_refused(enum lsm_err err, const char *part)
{
	uint64_t before = kit_digest(kit.env, KIT_PATH);

	for (int i = 0; i < 2; i++) {
		enum lsm_err got;

		kit.options.read_only = i == 1;
		kit_log_begin();
		got = kit_try_open(&kit);
		kit_log_end();
		ck_assert_msg(got == err, "%s, not %s", lsm_strerror(got),
		              lsm_strerror(err));
		ck_assert_uint_eq(kit_log_errors(), 1);
		ck_assert(kit_log_has(part, ""));
		ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	}
	kit.options.read_only = false;
}

/* A store with a table or more, a list, and no log; closed. */
static void create_filled(void)
{
	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(compact_all(kit.store));
	kit_fill(kit.store, "k", FILLED / 2, "second");
	kit_close(&kit);
}

START_TEST(missing_folder_is_refused)
{
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), NOT_FOUND);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, ""));
}
END_TEST

START_TEST(folder_that_is_no_store_is_refused)
{
	struct env_dir *root;

	ASSERT_OK(env_dir_open(kit.env, "/", &root));
	ASSERT_OK(env_dir_make(root, "st"));
	env_dir_close(root);
	kit_write_file(kit.env, KIT_PATH, "letter.txt", slice_str("Dear"));
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), NOT_STORE);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, "not a shalefs store"));
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH, ""), 1);
}
END_TEST

START_TEST(newer_format_is_refused)
{
	struct buf bytes = BUF_INIT;

	create_filled();
	kit_read_file(kit.env, KIT_PATH, SUPERBLOCK_NAME, &bytes);
	put_u32(bytes.data + 8, SUPERBLOCK_VERSION + 1);
	put_u64(
	    bytes.data + SUPERBLOCK_BYTES - 8,
	    checksum_seeded(slice_make(bytes.data, SUPERBLOCK_BYTES - 8), 0));
	kit_write_file(kit.env, KIT_PATH, SUPERBLOCK_NAME, buf_slice(&bytes));
	buf_release(&bytes);
	expect_refused(LSM_ERR_NEWER, KIT_PATH);
}
END_TEST

START_TEST(damaged_superblock_is_refused)
{
	create_filled();
	kit_flip(kit.env, KIT_PATH, SUPERBLOCK_NAME, 100);
	expect_refused(LSM_ERR_CORRUPT, KIT_PATH "/" SUPERBLOCK_NAME);
}
END_TEST

START_TEST(damaged_manifest_is_refused)
{
	char folder[KIT_NAME_BYTES], name[KIT_NAME_BYTES];

	create_filled();
	kit_manifest(kit.env, KIT_PATH, folder, name);
	kit_flip(kit.env, folder, name, 80); /* in the branch record */
	expect_refused(LSM_ERR_LOST, name);
}
END_TEST

START_TEST(damaged_current_is_refused)
{
	char folder[KIT_NAME_BYTES];

	create_filled();
	kit_branch_folder(kit.env, KIT_PATH, folder);
	kit_flip(kit.env, folder, "CURRENT", 0);
	expect_refused(LSM_ERR_CORRUPT, "CURRENT");
}
END_TEST

START_TEST(missing_current_is_refused)
{
	char folder[KIT_NAME_BYTES];

	create_filled();
	kit_branch_folder(kit.env, KIT_PATH, folder);
	kit_remove_file(kit.env, folder, "CURRENT");
	expect_refused(LSM_ERR_CORRUPT, "CURRENT");
}
END_TEST

START_TEST(missing_branch_is_refused)
{
	char folder[KIT_NAME_BYTES];
	struct env_dir *dir;

	create_filled();
	kit_branch_folder(kit.env, KIT_PATH, folder);
	ASSERT_OK(env_dir_open(kit.env, KIT_PATH "/branches", &dir));
	ASSERT_OK(env_remove_tree(dir, strrchr(folder, '/') + 1));
	env_dir_close(dir);
	expect_refused(LSM_ERR_CORRUPT, KIT_PATH);
}
END_TEST

START_TEST(missing_lock_is_refused)
{
	create_filled();
	kit_remove_file(kit.env, KIT_PATH, "LOCK");
	kit_log_begin();
	kit.options.read_only = true;
	ASSERT_ERR(kit_try_open(&kit), NOT_FOUND);
	ck_assert_uint_eq(kit_log_errors(), 1);
}
END_TEST

START_TEST(store_that_is_open_is_busy)
{
	struct lsm_options options = kit.options;
	struct lsm *second;

	kit_create(&kit);
	kit_put(kit.store, "a", "1");
	for (int i = 0; i < 2; i++) {
		options.read_only = i == 1;
		kit_log_begin();
		ASSERT_ERR(lsm_open(kit.runtime, KIT_PATH, &options, &second),
		           BUSY);
		ck_assert_ptr_null(second);
		ck_assert_uint_eq(kit_log_errors(), 1);
		ck_assert(kit_log_has(KIT_PATH, ""));
	}
	kit_put(kit.store, "b", "2");
	kit_reopen(&kit);
	kit_expect(kit.store, "a", "1");
	kit_expect(kit.store, "b", "2");
}
END_TEST

START_TEST(readers_share_a_store)
{
	struct lsm *second;

	create_filled();
	kit.options.read_only = true;
	kit_open(&kit);
	ASSERT_OK(lsm_open(kit.runtime, KIT_PATH, &kit.options, &second));
	kit_expect_filled(second, "k", FILLED / 2, "second");
	ASSERT_OK(lsm_close(second));
	kit.options.read_only = false;
	ASSERT_ERR(lsm_open(kit.runtime, KIT_PATH, &kit.options, &second),
	           BUSY);
}
END_TEST

START_TEST(read_only_store_refuses_every_change)
{
	struct lsm_admission admission;
	struct lsm_admit_request request = {0};
	struct lsm_fork_info info;
	uint64_t before;
	bool granted;

	create_filled();
	before = kit_digest(kit.env, KIT_PATH);
	kit.options.read_only = true;
	kit_open(&kit);
	ASSERT_ERR(kit_try_put(kit.store, "new", "1"), READ_ONLY);
	ASSERT_ERR(lsm_admit(kit.store, 10, false, &admission), READ_ONLY);
	ASSERT_ERR(lsm_admit(kit.store, 10, true, &admission), READ_ONLY);
	ck_assert(!lsm_try_admit(kit.store, 10, true, &admission));
	ASSERT_ERR(lsm_admit_async(kit.store, 10, false, &request, &granted),
	           READ_ONLY);
	ASSERT_ERR(lsm_flush(kit.store), READ_ONLY);
	ASSERT_ERR(compact_all(kit.store), READ_ONLY);
	ASSERT_ERR(lsm_export(kit.store, "/child", &info), READ_ONLY);
	ASSERT_OK(lsm_sync(kit.store));
	kit_expect_filled(kit.store, "k", FILLED / 2, "second");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), FILLED);
	kit_close(&kit);
	ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	ck_assert_uint_eq(kit_files(kit.env, "/", ""), 1);
}
END_TEST

START_TEST(path_that_is_too_long_is_refused)
{
	static char path[5000];
	struct lsm *store;

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	kit_log_begin();
	ASSERT_ERR(lsm_open(kit.runtime, path, &kit.options, &store), INVALID);
	ck_assert_ptr_null(store);
	ck_assert_uint_eq(kit_log_errors(), 1);
}
END_TEST

START_TEST(folder_that_cannot_be_written_is_refused)
{
	create_filled();
	kit_fail(&kit, FAULT_CREATE, "MANIFEST", LSM_ERR_READ_ONLY, -1);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), READ_ONLY);
	kit_heal(&kit);
	kit_open(&kit);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), FILLED);
}
END_TEST

START_TEST(owner_area_is_kept)
{
	kit_create(&kit);
	kit_reopen(&kit);
	ck_assert(slice_equal(lsm_owner_area(kit.store), slice_str("owner")));
}
END_TEST

START_TEST(null_store_closes)
{
	ASSERT_OK(lsm_close(NULL));
}
END_TEST

/* The same on a real disk. */
START_TEST(posix_store_is_made_filled_locked_and_opened_again)
{
	struct tmp scratch;
	struct lsm *second;
	char *path;

	tmp_make(&scratch);
	path = tmp_path(&scratch, "store");
	kit.options.env = NULL;
	ASSERT_OK(lsm_create(NULL, path, slice_str("owner")));
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	ASSERT_OK(lsm_open(kit.runtime, path, &kit.options, &kit.store));
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	ASSERT_ERR(lsm_open(kit.runtime, path, &kit.options, &second), BUSY);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(path, ""));
	kit_log_end();
	ASSERT_OK(lsm_close(kit.store));
	ASSERT_OK(lsm_open(kit.runtime, path, &kit.options, &kit.store));
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), FILLED);
	kit_close(&kit);
	free(path);
	tmp_remove(&scratch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("open");
	TCase *tc = tcase_create("bad input");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, missing_folder_is_refused);
	tcase_add_test(tc, folder_that_is_no_store_is_refused);
	tcase_add_test(tc, newer_format_is_refused);
	tcase_add_test(tc, damaged_superblock_is_refused);
	tcase_add_test(tc, damaged_manifest_is_refused);
	tcase_add_test(tc, damaged_current_is_refused);
	tcase_add_test(tc, missing_current_is_refused);
	tcase_add_test(tc, missing_branch_is_refused);
	tcase_add_test(tc, missing_lock_is_refused);
	tcase_add_test(tc, store_that_is_open_is_busy);
	tcase_add_test(tc, path_that_is_too_long_is_refused);
	tcase_add_test(tc, folder_that_cannot_be_written_is_refused);
	suite_add_tcase(suite, tc);

	tc = tcase_create("good input");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, readers_share_a_store);
	tcase_add_test(tc, read_only_store_refuses_every_change);
	tcase_add_test(tc, owner_area_is_kept);
	tcase_add_test(tc, null_store_closes);
	tcase_add_test(tc, posix_store_is_made_filled_locked_and_opened_again);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
