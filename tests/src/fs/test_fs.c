/* SPDX-License-Identifier: MIT */
/*
 * test_fs.c: making and opening filesystems, their figures, and the credit that
 * operations are given.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/inode.h"
#include "fs_kit.h"
#include "tests/support/gen.h"

enum {
	BLOCK_BYTES = 1 << 18,
	DISK_BYTES = 48 << 20,
	DELETED_BYTES = 2 << 20,
};

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit_begin(&kit);
}

static void teardown(void)
{
	kit_end(&kit);
}

/* ---- open ---------------------------------------------------------------- */

START_TEST(new_filesystem_has_a_root_with_its_owner)
{
	struct fs_attr root = kit_attr(&kit, FS_ROOT_INO);

	ck_assert_uint_eq(root.mode, S_IFDIR | 0755);
	ck_assert_uint_eq(root.uid, 10);
	ck_assert_uint_eq(root.gid, 20);
	ck_assert_uint_eq(root.nlink, 2);
	ck_assert_int_gt(root.btime.tv_sec, 1600000000);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(format_does_not_touch_what_is_there)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t found;

	ck_assert_int_eq(fs_format(kit.env, "/store", 1, 2), EEXIST);
	kit_close(&kit);
	ck_assert_int_eq(fs_format(kit.env, "/store", 1, 2), EEXIST);
	kit_open(&kit);
	ck_assert_int_eq(kit_lookup(&kit, FS_ROOT_INO, "f", &found), 0);
	ck_assert_uint_eq(found, ino);
}
END_TEST

START_TEST(store_that_is_open_is_busy)
{
	struct fs *second;

	ck_assert_int_eq(fs_open(kit.runtime, "/store", &kit.options, &second),
	                 EBUSY);
	ck_assert_ptr_null(second);
}
END_TEST

START_TEST(store_of_something_else_is_refused)
{
	struct fs *other;

	ck_assert_int_eq(lsm_create(kit.env, "/other", slice_str("else")),
	                 LSM_OK);
	ck_assert_int_eq(fs_open(kit.runtime, "/other", &kit.options, &other),
	                 EPROTO);
	ck_assert_ptr_null(other);
}
END_TEST

START_TEST(store_of_a_newer_schema_is_refused)
{
	struct schema_owner owner = {.uid = 1};
	uint8_t area[SCHEMA_OWNER_BYTES];
	struct fs *newer;

	schema_encode_owner(area, &owner);
	area[8] = SCHEMA_VERSION + 1;
	ck_assert_int_eq(
	    lsm_create(kit.env, "/newer", slice_make(area, sizeof(area))),
	    LSM_OK);
	ck_assert_int_eq(fs_open(kit.runtime, "/newer", &kit.options, &newer),
	                 EPROTONOSUPPORT);
}
END_TEST

START_TEST(read_only_filesystem_refuses_every_change)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr attr = {0};

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10, 'a'), 0);
	kit_close(&kit);
	kit.options.read_only = true;
	kit_open(&kit);
	ck_assert(fs_read_only(kit.fs));
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 1, 'b'), EROFS);
	ck_assert_int_eq(kit_truncate(&kit, ino, 0), EROFS);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), EROFS);
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "f", FS_ROOT_INO, "g", 0), EROFS);
	ck_assert_int_eq(
	    fs_mkdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"), 0755, &attr),
	    EROFS);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(store_that_was_never_opened_can_be_opened_read_only)
{
	struct fs_usage usage;
	struct kit fresh;

	kit_init(&fresh);
	fresh.runtime = kit.runtime;
	fresh.env = kit.env;
	kit_close(&kit);
	ck_assert_int_eq(fs_format(kit.env, "/fresh", 3, 4), 0);
	fresh.options.env = kit.env;
	fresh.options.read_only = true;
	ck_assert_int_eq(
	    fs_open(kit.runtime, "/fresh", &fresh.options, &fresh.fs), 0);
	ck_assert_uint_eq(kit_attr(&fresh, FS_ROOT_INO).uid, 3);
	ck_assert_uint_eq(kit_attr(&fresh, FS_ROOT_INO).nlink, 2);
	ck_assert_int_eq(fs_statfs(fresh.fs, &usage), 0);
	ck_assert_uint_eq(usage.inodes, 1);
	ck_assert_uint_eq(kit_faults(&fresh, ""), 0);
	kit_close(&fresh);
	kit_open(&kit);
}
END_TEST

/* ---- figures ------------------------------------------------------------- */

START_TEST(statfs_follows_what_is_made_and_freed)
{
	struct fs_usage before, during, after;
	uint64_t ino;

	ck_assert_int_eq(fs_statfs(kit.fs, &before), 0);
	ino = kit_file(&kit, FS_ROOT_INO, "f");
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100000, 'a'), 0);
	ck_assert_int_eq(fs_statfs(kit.fs, &during), 0);
	ck_assert_uint_eq(during.inodes, before.inodes + 1);
	ck_assert_uint_eq(during.used_bytes, before.used_bytes + 102400);
	ck_assert_uint_lt(during.free_inodes, before.free_inodes);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
	ck_assert_int_eq(fs_statfs(kit.fs, &after), 0);
	ck_assert_uint_eq(after.inodes, before.inodes);
	ck_assert_uint_eq(after.used_bytes, before.used_bytes);
}
END_TEST

START_TEST(figures_survive_a_crash)
{
	struct fs_usage before, after;
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100000, 'a'), 0);
	ck_assert_int_eq(fs_statfs(kit.fs, &before), 0);
	kit_crash(&kit);
	ck_assert_int_eq(fs_statfs(kit.fs, &after), 0);
	ck_assert_uint_eq(after.used_bytes, before.used_bytes);
	ck_assert_uint_eq(after.inodes, before.inodes);
	ck_assert_uint_eq(after.free_inodes, before.free_inodes);
}
END_TEST

START_TEST(what_was_synced_survives_a_power_cut)
{
	struct env_mem_crash none = {.keep_per_256 = 0};
	struct env *after = NULL, *old = kit.env;
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100000, 'a'), 0);
	ck_assert_int_eq(fs_sync(kit.fs), 0);
	ck_assert_int_eq(env_mem_after_crash(kit.env, &none, &after), LSM_OK);
	kit_close(&kit);
	kit.options.env = after;
	kit_open(&kit);
	ck_assert(kit_is_all(&kit, ino, 0, 100000, 'a'));
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	kit_end(&kit);
	env_mem_destroy(after);
	kit_begin(&kit);
	ck_assert_ptr_ne(kit.env, old);
}
END_TEST

/* Fill the disk with what cannot be made smaller, until that is refused. */
static int fill_disk(uint64_t ino)
{
	static uint8_t block[BLOCK_BYTES];
	struct gen gen;
	int err = 0;

	gen_init(&gen, 1);
	for (uint64_t i = 0; err == 0 && i < DISK_BYTES / BLOCK_BYTES; i++) {
		gen_bytes(&gen, block, sizeof(block));
		err =
		    kit_write(&kit, ino, i * BLOCK_BYTES, block, sizeof(block));
	}
	return err;
}

START_TEST(full_disk_refuses_growth_and_lets_things_be_deleted)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t other = kit_file(&kit, FS_ROOT_INO, "g");
	struct fs_victim victim;

	kit_close(&kit);
	kit.options.nospace_wait_ms = 1;
	kit_open(&kit);
	ck_assert_int_eq(kit_fill(&kit, other, 0, 1000, 'a'), 0);
	env_mem_set_free(kit.env, DISK_BYTES);
	ck_assert_int_eq(fill_disk(ino), ENOSPC);
	ck_assert(kit_is_all(&kit, other, 0, 1000, 'a'));
	ck_assert_int_eq(kit_truncate(&kit, ino, 100000), 0);
	ck_assert_int_eq(fs_rename(kit.fs, &kit.op, FS_ROOT_INO, slice_str("g"),
	                           FS_ROOT_INO, slice_str("f"), 0, &victim),
	                 0);
	ck_assert_uint_eq(victim.ino, ino);
	ck_assert_int_eq(fs_reclaim(kit.fs, ino), 0);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
	env_mem_set_free(kit.env, UINT64_MAX / 4);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

static uint64_t available(void)
{
	struct fs_usage usage;

	ck_assert_int_eq(fs_statfs(kit.fs, &usage), 0);
	return usage.available_bytes;
}

START_TEST(what_is_deleted_counts_as_free_before_it_is_reclaimed)
{
	static uint8_t block[BLOCK_BYTES];
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t other = kit_file(&kit, FS_ROOT_INO, "g");
	uint64_t full;
	struct gen gen;

	gen_init(&gen, 1);
	env_mem_set_free(kit.env, DISK_BYTES);
	for (uint64_t i = 0; i < 2 * DELETED_BYTES / BLOCK_BYTES; i++) {
		gen_bytes(&gen, block, sizeof(block));
		ck_assert_int_eq(kit_write(&kit, i % 2 == 0 ? ino : other,
		                           i / 2 * BLOCK_BYTES, block,
		                           sizeof(block)),
		                 0);
	}
	ck_assert_int_eq(fs_errno(lsm_flush(kit.fs->store)), 0);
	full = available();
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
	ck_assert_int_eq(fs_reclaim(kit.fs, ino), 0);
	ck_assert_uint_ge(available(), full + DELETED_BYTES / 10 * 9);
	ck_assert_uint_le(available(), full + DELETED_BYTES / 10 * 11);
}
END_TEST

START_TEST(little_that_was_deleted_never_counts_for_much)
{
	static uint8_t block[BLOCK_BYTES];
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t other = kit_file(&kit, FS_ROOT_INO, "g");
	uint64_t total, left;
	struct gen gen;

	env_mem_set_free(kit.env, DISK_BYTES);
	/* What there is compresses well while something is deleted. */
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 1000000, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, other, 0, 1000000, 'a'), 0);
	ck_assert_int_eq(fs_errno(lsm_flush(kit.fs->store)), 0);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "g"), 0);
	ck_assert_int_eq(fs_reclaim(kit.fs, other), 0);
	(void)available();
	/* And what comes after that does not. */
	gen_init(&gen, 1);
	for (uint64_t i = 0; i < 40; i++) {
		gen_bytes(&gen, block, sizeof(block));
		ck_assert_int_eq(
		    kit_write(&kit, ino, i * BLOCK_BYTES, block, sizeof(block)),
		    0);
	}
	ck_assert_int_eq(fs_errno(lsm_flush(kit.fs->store)), 0);
	ck_assert_int_eq(fs_errno(lsm_disk_space(kit.fs->store, &total, &left)),
	                 0);
	ck_assert_uint_le(available(), left + (2 << 20));
}
END_TEST

/* ---- credit -------------------------------------------------------------- */

static uint64_t credit_used(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.fs->store, &stats);
	return stats.credit.used_bytes;
}

static void admit(enum fs_credit_kind kind, size_t payload_bytes)
{
	ck_assert_int_eq(lsm_admit(kit.fs->store,
	                           fs_credit(kit.fs, kind, payload_bytes),
	                           false, &kit.op.admission),
	                 LSM_OK);
}

START_TEST(credit_that_came_along_is_given_back_when_nothing_is_done)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t before = credit_used();
	struct fs_victim victim;
	struct fs_attr attr;
	uint64_t copied;

	admit(FS_CREDIT_NAME, 0);
	ck_assert_int_eq(
	    fs_mkdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("f"), 0755, &attr),
	    EEXIST);
	admit(FS_CREDIT_NAME, 0);
	ck_assert_int_eq(
	    fs_mkdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("."), 0755, &attr),
	    EEXIST);
	admit(FS_CREDIT_NAME, 0);
	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("no"), &victim),
	    ENOENT);
	admit(FS_CREDIT_WRITE, 10);
	ck_assert_int_eq(kit_fill(&kit, FS_ROOT_INO, 0, 10, 'a'), EISDIR);
	admit(FS_CREDIT_WRITE, 0);
	ck_assert_int_eq(kit_write(&kit, ino, 0, "", 0), 0);
	admit(FS_CREDIT_SIZE, 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, UINT64_MAX), EFBIG);
	admit(FS_CREDIT_SIZE, 0);
	ck_assert_int_eq(kit_truncate(&kit, 4711, 1), ESTALE);
	admit(FS_CREDIT_COPY, 0);
	ck_assert_int_eq(
	    fs_copy_range(kit.fs, &kit.op, ino, 0, ino, 10, 5, &copied), 0);
	admit(FS_CREDIT_XATTR, 5);
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, ino, slice_str("bad"),
	                             slice_str("value"), 0),
	                 EOPNOTSUPP);
	admit(FS_CREDIT_XATTR, 0);
	ck_assert_int_eq(
	    fs_removexattr(kit.fs, &kit.op, ino, slice_str("user.x")), ENODATA);
	ck_assert_uint_eq(credit_used(), before);
	ck_assert_ptr_null(kit.op.admission.store);
}
END_TEST

static char long_name[3][FS_NAME_MAX_BYTES + 1];

static void make_names(void)
{
	for (int i = 0; i < 3; i++) {
		memset(long_name[i], 'a' + i, FS_NAME_MAX_BYTES);
		long_name[i][FS_NAME_MAX_BYTES] = '\0';
	}
}

/* The largest of each kind goes through on the credit of its kind alone. */
START_TEST(credit_of_a_kind_suffices_for_all_of_that_kind)
{
	static uint8_t bytes[FS_WRITE_MAX_BYTES];
	struct fs_attr attr;
	uint64_t ino, copied;

	make_names();
	memset(bytes, 'b', sizeof(bytes));
	ino = kit_file(&kit, FS_ROOT_INO, long_name[0]);
	ck_assert_uint_ne(kit_file(&kit, FS_ROOT_INO, long_name[1]), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 4096, 'a'), 0);
	admit(FS_CREDIT_WRITE, sizeof(bytes));
	ck_assert_int_eq(kit_write(&kit, ino, 1, bytes, sizeof(bytes)), 0);
	for (uint64_t i = 0; i < 30; i++) {
		/* Past the limit of merges both edges are folded. */
		admit(FS_CREDIT_WRITE, sizeof(bytes));
		ck_assert_int_eq(
		    kit_write(&kit, ino, 100 + i, bytes, sizeof(bytes)), 0);
	}
	admit(FS_CREDIT_COPY, 0);
	ck_assert_int_eq(fs_copy_range(kit.fs, &kit.op, ino, 0, ino, 5000000,
	                               FS_COPY_MAX_BYTES, &copied),
	                 0);
	admit(FS_CREDIT_SIZE, 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 7), 0);
	admit(FS_CREDIT_XATTR, FS_XATTR_MAX_BYTES);
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, ino,
	                             slice_make("user.x", 6),
	                             slice_make(bytes, FS_XATTR_MAX_BYTES), 0),
	                 0);
	admit(FS_CREDIT_NAME, 0);
	ck_assert_int_eq(
	    fs_symlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str(long_name[2]),
	               slice_make(bytes, FS_SYMLINK_MAX_BYTES), &attr),
	    0);
	admit(FS_CREDIT_NAME, 0);
	ck_assert_int_eq(kit_rename(&kit, FS_ROOT_INO, long_name[0],
	                            FS_ROOT_INO, long_name[1], 0),
	                 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(credit_that_is_too_little_is_exchanged_for_enough)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(
	    lsm_admit(kit.fs->store, 100, false, &kit.op.admission), LSM_OK);
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100000, 'a'), 0);
	ck_assert_ptr_null(kit.op.admission.store);
	ck_assert(kit_is_all(&kit, ino, 0, 100000, 'a'));
}
END_TEST

START_TEST(errors_of_the_engine_become_errnos)
{
	ck_assert_int_eq(fs_errno(LSM_OK), 0);
	ck_assert_int_eq(fs_errno(LSM_ERR_CORRUPT), EIO);
	ck_assert_int_eq(fs_errno(LSM_ERR_NOSPACE), ENOSPC);
	ck_assert_int_eq(fs_errno(LSM_ERR_READ_ONLY), EROFS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs");
	TCase *tc = tcase_create("fs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, new_filesystem_has_a_root_with_its_owner);
	tcase_add_test(tc, format_does_not_touch_what_is_there);
	tcase_add_test(tc, store_that_is_open_is_busy);
	tcase_add_test(tc, store_of_something_else_is_refused);
	tcase_add_test(tc, store_of_a_newer_schema_is_refused);
	tcase_add_test(tc, read_only_filesystem_refuses_every_change);
	tcase_add_test(tc, store_that_was_never_opened_can_be_opened_read_only);
	tcase_add_test(tc, statfs_follows_what_is_made_and_freed);
	tcase_add_test(tc, figures_survive_a_crash);
	tcase_add_test(tc, what_was_synced_survives_a_power_cut);
	tcase_add_test(tc, full_disk_refuses_growth_and_lets_things_be_deleted);
	tcase_add_test(tc,
	               what_is_deleted_counts_as_free_before_it_is_reclaimed);
	tcase_add_test(tc, little_that_was_deleted_never_counts_for_much);
	tcase_add_test(
	    tc, credit_that_came_along_is_given_back_when_nothing_is_done);
	tcase_add_test(tc, credit_of_a_kind_suffices_for_all_of_that_kind);
	tcase_add_test(tc, credit_that_is_too_little_is_exchanged_for_enough);
	tcase_add_test(tc, errors_of_the_engine_become_errnos);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
