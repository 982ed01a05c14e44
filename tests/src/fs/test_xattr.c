/* SPDX-License-Identifier: MIT */
/*
 * test_xattr.c: extended attributes and their limits.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "fs/inode.h"
#include "fs_kit.h"

static struct kit kit;
static uint64_t ino;

static void setup(void)
{
	kit_init(&kit);
	kit_begin(&kit);
	ino = kit_file(&kit, FS_ROOT_INO, "f");
}

static void teardown(void)
{
	if (kit_faults(&kit, "") != 0)
		exit(EXIT_FAILURE);
	kit_end(&kit);
}

static int set(const char *name, const char *value, int flags)
{
	return fs_setxattr(kit.fs, &kit.op, ino, slice_str(name),
	                   slice_str(value), flags);
}

static int get(const char *name, struct buf *value)
{
	return fs_getxattr(kit.fs, ino, slice_str(name), value);
}

static int erase(const char *name)
{
	return fs_removexattr(kit.fs, &kit.op, ino, slice_str(name));
}

static bool has_flag(void)
{
	struct inode inode;

	ck_assert_int_eq(inode_load(kit.fs, NULL, ino, &inode), 0);
	return (inode.flags & SCHEMA_HAS_XATTR) != 0;
}

START_TEST(value_comes_back_until_it_is_removed)
{
	struct buf value = BUF_INIT;

	ck_assert_int_eq(get("user.a", &value), ENODATA);
	ck_assert_int_eq(set("user.a", "one", 0), 0);
	ck_assert_int_eq(set("user.b", "", 0), 0);
	ck_assert(has_flag());
	ck_assert_int_eq(get("user.a", &value), 0);
	ck_assert(slice_equal(buf_slice(&value), slice_str("one")));
	ck_assert_int_eq(get("user.b", &value), 0);
	ck_assert_uint_eq(value.len, 0);
	ck_assert_int_eq(get("user.c", &value), ENODATA);
	ck_assert_int_eq(erase("user.a"), 0);
	ck_assert_int_eq(erase("user.a"), ENODATA);
	ck_assert(has_flag());
	ck_assert_int_eq(erase("user.b"), 0);
	ck_assert(!has_flag());
	buf_release(&value);
}
END_TEST

START_TEST(flags_tell_making_from_replacing)
{
	struct buf value = BUF_INIT;

	ck_assert_int_eq(set("user.a", "one", XATTR_REPLACE), ENODATA);
	ck_assert(!has_flag());
	ck_assert_int_eq(set("user.a", "one", XATTR_CREATE), 0);
	ck_assert_int_eq(set("user.a", "two", XATTR_CREATE), EEXIST);
	ck_assert_int_eq(set("user.a", "three", XATTR_REPLACE), 0);
	ck_assert_int_eq(get("user.a", &value), 0);
	ck_assert(slice_equal(buf_slice(&value), slice_str("three")));
	ck_assert_int_eq(set("user.a", "x", 64), EINVAL);
	buf_release(&value);
}
END_TEST

START_TEST(names_outside_our_namespaces_are_refused)
{
	char longest[SCHEMA_NAME_MAX_BYTES + 2];
	struct buf value = BUF_INIT;

	memset(longest, 'n', sizeof(longest));
	memcpy(longest, "user.", 5);
	longest[SCHEMA_NAME_MAX_BYTES + 1] = '\0';
	ck_assert_int_eq(set(longest, "x", 0), ERANGE);
	longest[SCHEMA_NAME_MAX_BYTES] = '\0';
	ck_assert_int_eq(set(longest, "x", 0), 0);
	ck_assert_int_eq(set("", "x", 0), ERANGE);
	ck_assert_int_eq(set("user.", "x", 0), EINVAL);
	ck_assert_int_eq(set("system.posix_acl_access", "x", 0), EINVAL);
	ck_assert_int_eq(get("system.posix_acl_default", &value), ENODATA);
	ck_assert_int_eq(set("system.posix_acl_accessx", "x", 0), EOPNOTSUPP);
	ck_assert_int_eq(get("system.x", &value), EOPNOTSUPP);
	ck_assert_int_eq(set("nonsense", "x", 0), EOPNOTSUPP);
	ck_assert_int_eq(set("trusted.t", "x", 0), 0);
	ck_assert_int_eq(set("security.s", "x", 0), 0);
	buf_release(&value);
}
END_TEST

START_TEST(list_has_each_name_once_with_its_nul)
{
	struct buf names = BUF_INIT;

	ck_assert_int_eq(fs_listxattr(kit.fs, ino, &names), 0);
	ck_assert_uint_eq(names.len, 0);
	ck_assert_int_eq(set("user.b", "2", 0), 0);
	ck_assert_int_eq(set("user.a", "1", 0), 0);
	ck_assert_int_eq(fs_listxattr(kit.fs, ino, &names), 0);
	ck_assert_uint_eq(names.len, 14);
	ck_assert_mem_eq(names.data, "user.a\0user.b", 14);
	buf_release(&names);
}
END_TEST

START_TEST(large_values_are_kept_up_to_the_limit)
{
	static uint8_t bytes[FS_XATTR_MAX_BYTES + 1];
	struct buf value = BUF_INIT;

	memset(bytes, 'v', sizeof(bytes));
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, ino, slice_str("user.v"),
	                             slice_make(bytes, sizeof(bytes)), 0),
	                 E2BIG);
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, ino, slice_str("user.v"),
	                             slice_make(bytes, FS_XATTR_MAX_BYTES), 0),
	                 0);
	ck_assert_int_eq(get("user.v", &value), 0);
	ck_assert_uint_eq(value.len, FS_XATTR_MAX_BYTES);
	buf_release(&value);
}
END_TEST

START_TEST(list_never_outgrows_what_a_program_can_ask_for)
{
	struct buf names = BUF_INIT;
	char name[256];
	int err = 0;
	int count = 0;

	while (err == 0) {
		snprintf(name, sizeof(name), "user.%0240d", count++);
		err = set(name, "x", 0);
	}
	ck_assert_int_eq(err, ENOSPC);
	ck_assert_int_eq(fs_listxattr(kit.fs, ino, &names), 0);
	ck_assert_uint_le(names.len, 65536);
	ck_assert_uint_gt(names.len, 65536 - 256);
	/* What is there can still be changed. */
	snprintf(name, sizeof(name), "user.%0240d", 0);
	ck_assert_int_eq(set(name, "y", 0), 0);
	buf_release(&names);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
}
END_TEST

START_TEST(change_of_an_attribute_moves_ctime_alone)
{
	struct fs_attr before = kit_attr(&kit, ino);
	struct fs_attr after;

	ck_assert_int_eq(set("user.a", "x", 0), 0);
	after = kit_attr(&kit, ino);
	ck_assert(after.ctime.tv_sec > before.ctime.tv_sec ||
	          after.ctime.tv_nsec != before.ctime.tv_nsec);
	ck_assert_int_eq(after.mtime.tv_nsec, before.mtime.tv_nsec);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("xattr");
	TCase *tc = tcase_create("xattr");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, value_comes_back_until_it_is_removed);
	tcase_add_test(tc, flags_tell_making_from_replacing);
	tcase_add_test(tc, names_outside_our_namespaces_are_refused);
	tcase_add_test(tc, list_has_each_name_once_with_its_nul);
	tcase_add_test(tc, large_values_are_kept_up_to_the_limit);
	tcase_add_test(tc, list_never_outgrows_what_a_program_can_ask_for);
	tcase_add_test(tc, change_of_an_attribute_moves_ctime_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
