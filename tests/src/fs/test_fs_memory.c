/* SPDX-License-Identifier: MIT */
/*
 * test_fs_memory.c: each allocation of each operation fails once: the operation
 * says ENOMEM and changed nothing, or it was done; and the tree is whole.
 *
 * Linked with the wraps of alloc_fault.h.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>

#include "fs_kit.h"
#include "tests/support/alloc_fault.h"

enum { TRIES_MAX = 400 };

static struct kit kit;
static uint64_t dir, file;
static uint8_t bytes[200000];

static void setup(void)
{
	kit_init(&kit);
	/* No background work that would meet the failures instead. */
	kit.runtime_options.period_ms = 0;
	kit.runtime_options.sync_period_ms = 0;
	kit_begin(&kit);
	dir = kit_dir(&kit, FS_ROOT_INO, "dir");
	file = kit_file(&kit, dir, "file");
	memset(bytes, 'a', sizeof(bytes));
	ck_assert_int_eq(kit_write(&kit, file, 0, bytes, sizeof(bytes)), 0);
}

static void teardown(void)
{
	kit_end(&kit);
}

/* Sweep. `undo` follows each success, so that the next try starts alike. */
static void sweep(int (*operation)(void), int (*undo)(void))
{
	uint64_t failures = 0;
	uint64_t nth;
	bool failed = true;

	for (nth = 1; failed && nth < TRIES_MAX; nth++) {
		int err;

		alloc_fault_arm(nth);
		err = operation();
		failed = alloc_fault_disarm();
		if (!failed)
			ck_assert_int_eq(err, 0);
		else if (err != 0)
			ck_assert_int_eq(err, ENOMEM);
		failures += err != 0;
		if (err == 0 && undo != NULL)
			ck_assert_int_eq(undo(), 0);
	}
	ck_assert(!failed);
	ck_assert_uint_gt(failures, 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}

static int make_dir(void)
{
	struct fs_attr attr;

	return fs_mkdir(kit.fs, &kit.op, dir, slice_str("sub"), 0755, &attr);
}

static int remove_dir(void)
{
	struct fs_victim victim;
	int err;

	err = fs_rmdir(kit.fs, &kit.op, dir, slice_str("sub"), &victim);
	return err == 0 ? fs_reclaim(kit.fs, victim.ino) : err;
}

START_TEST(making_a_directory)
{
	sweep(make_dir, remove_dir);
}
END_TEST

static int rename_away(void)
{
	return kit_rename(&kit, dir, "file", FS_ROOT_INO, "moved", 0);
}

static int rename_back(void)
{
	return kit_rename(&kit, FS_ROOT_INO, "moved", dir, "file", 0);
}

START_TEST(renaming)
{
	sweep(rename_away, rename_back);
}
END_TEST

static int write_patch(void)
{
	return kit_write(&kit, file, 65000, bytes, 70000);
}

START_TEST(writing_with_and_without_a_fold)
{
	sweep(write_patch, NULL);
	ck_assert(kit_is_all(&kit, file, 0, sizeof(bytes), 'a'));
}
END_TEST

static int cut(void)
{
	return kit_truncate(&kit, file, 1000);
}

static int fill(void)
{
	return kit_write(&kit, file, 0, bytes, sizeof(bytes));
}

START_TEST(cutting)
{
	sweep(cut, fill);
	ck_assert(kit_is_all(&kit, file, 0, sizeof(bytes), 'a'));
}
END_TEST

static int punch(void)
{
	return fs_fallocate(kit.fs, &kit.op, file,
	                    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 60000,
	                    100000);
}

START_TEST(punching)
{
	sweep(punch, fill);
}
END_TEST

static int grow_out_of_inline(void)
{
	uint64_t ino;

	if (kit_lookup(&kit, dir, "small", &ino) != 0)
		return ENOMEM;
	return kit_write(&kit, ino, 10, bytes, 5000);
}

static int cut_to_inline(void)
{
	uint64_t ino;
	int err = kit_lookup(&kit, dir, "small", &ino);

	if (err == 0)
		err = kit_truncate(&kit, ino, 0);
	return err == 0 ? kit_write(&kit, ino, 0, bytes, 10) : err;
}

START_TEST(leaving_the_inline_form)
{
	ck_assert_uint_ne(kit_file(&kit, dir, "small"), 0);
	ck_assert_int_eq(cut_to_inline(), 0);
	sweep(grow_out_of_inline, cut_to_inline);
}
END_TEST

static int set_attribute(void)
{
	return fs_setxattr(kit.fs, &kit.op, file, slice_str("user.x"),
	                   slice_str("y"), 0);
}

static int remove_attribute(void)
{
	return fs_removexattr(kit.fs, &kit.op, file, slice_str("user.x"));
}

START_TEST(setting_an_attribute)
{
	sweep(set_attribute, remove_attribute);
}
END_TEST

/* Both steps are repeated until the second is done, too. */
static int unlink_and_reclaim(void)
{
	struct fs_victim victim;
	uint64_t ino;
	int err;

	err = kit_lookup(&kit, dir, "gone", &ino);
	if (err != 0)
		return err;
	err = fs_unlink(kit.fs, &kit.op, dir, slice_str("gone"), &victim);
	if (err != 0)
		return err;
	err = fs_reclaim(kit.fs, ino);
	/* Not again in this test: as after a crash. */
	return err == 0 ? 0 : fs_reclaim(kit.fs, ino);
}

static int make_gone(void)
{
	uint64_t ino = kit_file(&kit, dir, "gone");

	return kit_write(&kit, ino, 0, bytes, 100000);
}

START_TEST(unlinking)
{
	ck_assert_int_eq(make_gone(), 0);
	sweep(unlink_and_reclaim, make_gone);
}
END_TEST

static bool take_entry(void *ctx, struct slice name, uint64_t next_cookie,
                       const struct fs_attr *attr)
{
	(void)name;
	(void)next_cookie;
	(void)attr;
	*(int *)ctx += 1;
	return true;
}

static int read_and_list(void)
{
	static uint8_t out[sizeof(bytes)];
	int count = 0;
	size_t got;
	int err;

	err = fs_read(kit.fs, file, 0, out, sizeof(out), &got);
	if (err == 0 && (got != sizeof(out) || out[got - 1] != 'a'))
		return EIO;
	if (err == 0)
		err = fs_readdir(kit.fs, dir, 0, true, take_entry, &count);
	return err;
}

START_TEST(reading)
{
	sweep(read_and_list, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_memory");
	TCase *tc = tcase_create("fs_memory");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, making_a_directory);
	tcase_add_test(tc, renaming);
	tcase_add_test(tc, writing_with_and_without_a_fold);
	tcase_add_test(tc, cutting);
	tcase_add_test(tc, punching);
	tcase_add_test(tc, leaving_the_inline_form);
	tcase_add_test(tc, setting_an_attribute);
	tcase_add_test(tc, unlinking);
	tcase_add_test(tc, reading);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
