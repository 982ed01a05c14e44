/* SPDX-License-Identifier: MIT */
/*
 * test_acl.c: POSIX ACLs: what is one, what they do to modes and modes to them,
 * who inherits them.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "base/coding.h"
#include "fs/acl.h"
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

/* ---- lists ----------------------------------------------------------------- */

struct list {
	uint8_t bytes[ACL_MAX_BYTES + 8];
	size_t len;
};

static void begin(struct list *list)
{
	put_u32(list->bytes, 2);
	list->len = 4;
}

static void add(struct list *list, unsigned tag, unsigned perm, uint32_t id)
{
	ck_assert_uint_le(list->len + 8, sizeof(list->bytes));
	put_u16(list->bytes + list->len, (uint16_t)tag);
	put_u16(list->bytes + list->len + 2, (uint16_t)perm);
	put_u32(list->bytes + list->len + 4, id);
	list->len += 8;
}

static struct slice list_slice(const struct list *list)
{
	return slice_make(list->bytes, list->len);
}

/* Owner, `users` users who may do all, group, mask, others. */
static void make_list(struct list *list, unsigned owner, size_t users,
                      unsigned group, unsigned mask, unsigned other)
{
	begin(list);
	add(list, 1, owner, UINT32_MAX);
	for (size_t i = 0; i < users; i++)
		add(list, 2, 7, (uint32_t)(1000 + i));
	add(list, 4, group, UINT32_MAX);
	if (users > 0)
		add(list, 0x10, mask, UINT32_MAX);
	add(list, 0x20, other, UINT32_MAX);
}

static int set_acl(uint64_t of, const char *name, const struct list *list)
{
	return fs_setxattr(kit.fs, &kit.op, of, slice_str(name),
	                   list_slice(list), 0);
}

static bool has_acl(uint64_t of, const char *name, const struct list *want)
{
	struct buf value = BUF_INIT;
	int err = fs_getxattr(kit.fs, of, slice_str(name), &value);
	bool same =
	    err == 0 && slice_equal(buf_slice(&value), list_slice(want));

	buf_release(&value);
	return same;
}

static bool has_none(uint64_t of, const char *name)
{
	struct buf value = BUF_INIT;
	int err = fs_getxattr(kit.fs, of, slice_str(name), &value);

	buf_release(&value);
	return err == ENODATA;
}

static uint32_t mode_of(uint64_t of)
{
	return kit_attr(&kit, of).mode & 07777;
}

static void change_mode(uint32_t mode)
{
	struct fs_attr set = {.mode = mode};
	struct fs_attr attr;

	ck_assert_int_eq(
	    fs_setattr(kit.fs, &kit.op, ino, FS_SET_MODE, &set, &attr), 0);
	ck_assert_uint_eq(attr.mode & 07777, mode);
}

/* ---- tests ------------------------------------------------------------------ */

START_TEST(only_what_is_one_is_taken)
{
	struct list list;

	make_list(&list, 6, 2, 4, 6, 0);
	ck_assert_int_eq(acl_check(list_slice(&list)), 0);
	for (size_t len = 0; len < list.len; len++) {
		/* Nothing but the head is an empty one. */
		ck_assert_int_eq(acl_check(slice_make(list.bytes, len)),
		                 len == 4 ? 0 : EINVAL);
	}
	put_u32(list.bytes, 3);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);

	make_list(&list, 8, 0, 4, 0, 0);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	begin(&list);
	add(&list, 1, 6, UINT32_MAX);
	add(&list, 4, 6, UINT32_MAX);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	add(&list, 0x20, 6, UINT32_MAX);
	ck_assert_int_eq(acl_check(list_slice(&list)), 0);
	add(&list, 0x20, 6, UINT32_MAX);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	begin(&list);
	add(&list, 1, 6, UINT32_MAX);
	add(&list, 2, 6, 5); /* a user, and no mask */
	add(&list, 4, 6, UINT32_MAX);
	add(&list, 0x20, 6, UINT32_MAX);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	begin(&list);
	add(&list, 4, 6, UINT32_MAX);
	add(&list, 1, 6, UINT32_MAX);
	add(&list, 0x20, 6, UINT32_MAX);
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	make_list(&list, 6, 1, 4, 6, 0);
	put_u32(list.bytes + 16, UINT32_MAX); /* a user without a number */
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	make_list(&list, 6, 1, 4, 6, 0);
	put_u16(list.bytes + 12, 3); /* no tag */
	ck_assert_int_eq(acl_check(list_slice(&list)), EINVAL);
	make_list(&list, 6, ACL_MAX_ENTRIES - 3, 4, 6, 0);
	ck_assert_int_eq(acl_check(list_slice(&list)), E2BIG);
}
END_TEST

START_TEST(access_acl_gives_the_mode)
{
	struct list list;

	change_mode(04640);
	make_list(&list, 7, 1, 4, 5, 1);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	ck_assert(has_acl(ino, ACL_ACCESS_NAME, &list));
	ck_assert_uint_eq(mode_of(ino), 04751);
	make_list(&list, 6, 0, 4, 0, 0);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	ck_assert(has_none(ino, ACL_ACCESS_NAME));
	ck_assert_uint_eq(mode_of(ino), 04640);
	ck_assert_int_eq(
	    fs_removexattr(kit.fs, &kit.op, ino, slice_str(ACL_ACCESS_NAME)),
	    0);
}
END_TEST

START_TEST(who_is_outside_of_the_group_sheds_setgid)
{
	struct list list;

	change_mode(02770);
	make_list(&list, 7, 1, 7, 7, 0);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	ck_assert_uint_eq(mode_of(ino), 02770);
	kit.op.sheds_setgid = true;
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	ck_assert_uint_eq(mode_of(ino), 0770);
}
END_TEST

START_TEST(mode_changes_the_mask_or_else_the_group)
{
	struct list list;

	make_list(&list, 7, 1, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	change_mode(0640);
	make_list(&list, 6, 1, 7, 4, 0);
	ck_assert(has_acl(ino, ACL_ACCESS_NAME, &list));

	/* The longest, which is more than what a mode has credit for. */
	make_list(&list, 7, ACL_MAX_ENTRIES - 4, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	change_mode(0750);
	make_list(&list, 7, ACL_MAX_ENTRIES - 4, 7, 5, 0);
	ck_assert(has_acl(ino, ACL_ACCESS_NAME, &list));
}
END_TEST

START_TEST(cut_that_clears_bits_changes_the_acl_too)
{
	struct fs_attr set = {.mode = 0700, .size = 1};
	struct fs_attr attr;
	struct list list;

	make_list(&list, 7, 1, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	ck_assert_int_eq(fs_setattr(kit.fs, &kit.op, ino,
	                            FS_SET_MODE | FS_SET_SIZE, &set, &attr),
	                 0);
	make_list(&list, 7, 1, 7, 0, 0);
	ck_assert(has_acl(ino, ACL_ACCESS_NAME, &list));
}
END_TEST

START_TEST(default_acl_is_inherited_instead_of_the_umask)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t file, sub, plain;
	struct fs_attr attr;
	struct list list;

	kit.op.umask = 077;
	plain = kit_file(&kit, dir, "plain");
	ck_assert_uint_eq(mode_of(plain) & 077, 0);
	make_list(&list, 7, ACL_MAX_ENTRIES - 4, 5, 7, 0);
	ck_assert_int_eq(set_acl(dir, ACL_DEFAULT_NAME, &list), 0);
	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, dir, slice_str("f"),
	                          S_IFREG | 0664, 0, &attr),
	                 0);
	file = attr.ino;
	ck_assert_int_eq(
	    fs_mkdir(kit.fs, &kit.op, dir, slice_str("s"), 0777, &attr), 0);
	sub = attr.ino;
	ck_assert(has_acl(sub, ACL_DEFAULT_NAME, &list));
	ck_assert(has_acl(sub, ACL_ACCESS_NAME, &list));
	ck_assert_uint_eq(mode_of(sub), 0770);
	ck_assert(has_none(file, ACL_DEFAULT_NAME));
	make_list(&list, 6, ACL_MAX_ENTRIES - 4, 5, 6, 0);
	ck_assert(has_acl(file, ACL_ACCESS_NAME, &list));
	ck_assert_uint_eq(mode_of(file), 0660);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, dir, slice_str("l"),
	                            slice_str("f"), &attr),
	                 0);
	ck_assert_uint_eq(attr.mode & 0777, 0777);
	ck_assert(has_none(attr.ino, ACL_ACCESS_NAME));
	ck_assert_int_eq(kit_unlink(&kit, dir, "f"), 0);
	ck_assert_int_eq(fs_reclaim(kit.fs, file), 0);

	/* An empty one takes it away. */
	begin(&list);
	ck_assert_int_eq(set_acl(dir, ACL_DEFAULT_NAME, &list), 0);
	ck_assert(has_none(dir, ACL_DEFAULT_NAME));
}
END_TEST

START_TEST(what_can_have_none_is_refused)
{
	struct fs_attr attr;
	struct list list;

	make_list(&list, 7, 1, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_DEFAULT_NAME, &list), EACCES);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, FS_ROOT_INO,
	                            slice_str("l"), slice_str("f"), &attr),
	                 0);
	ck_assert_int_eq(set_acl(attr.ino, ACL_ACCESS_NAME, &list), EOPNOTSUPP);
}
END_TEST

START_TEST(check_finds_one_that_says_other_than_the_mode)
{
	struct schema_key key;
	struct list list;

	make_list(&list, 7, 1, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
	schema_xattr_key(&key, ino, slice_str(ACL_ACCESS_NAME));
	make_list(&list, 6, 1, 7, 7, 7);
	kit_put_raw(&kit, &key, list_slice(&list));
	ck_assert_uint_eq(kit_faults(&kit, "size: "), 1);
	list.bytes[0] = 9;
	kit_put_raw(&kit, &key, list_slice(&list));
	ck_assert_uint_eq(kit_faults(&kit, "size: "), 1);
	/* Who goes by it is told so, and can replace it. */
	ck_assert_int_eq(fs_setattr(kit.fs, &kit.op, ino, FS_SET_MODE,
	                            &(struct fs_attr){.mode = 0600},
	                            &(struct fs_attr){0}),
	                 EIO);
	make_list(&list, 7, 1, 7, 7, 7);
	ck_assert_int_eq(set_acl(ino, ACL_ACCESS_NAME, &list), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("acl");
	TCase *tc = tcase_create("acl");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, only_what_is_one_is_taken);
	tcase_add_test(tc, access_acl_gives_the_mode);
	tcase_add_test(tc, who_is_outside_of_the_group_sheds_setgid);
	tcase_add_test(tc, mode_changes_the_mask_or_else_the_group);
	tcase_add_test(tc, cut_that_clears_bits_changes_the_acl_too);
	tcase_add_test(tc, default_acl_is_inherited_instead_of_the_umask);
	tcase_add_test(tc, what_can_have_none_is_refused);
	tcase_add_test(tc, check_finds_one_that_says_other_than_the_mode);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
