/* SPDX-License-Identifier: MIT */
/*
 * test_dir.c: names: lookup, creation, removal, rename, listing; and what
 * happens to names with one hash.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/dir.h"
#include "fs/inode.h"
#include "fs_kit.h"

enum { MANY = 500 };

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

static int rmdir_of(uint64_t dir, const char *name)
{
	struct fs_victim victim;

	return fs_rmdir(kit.fs, &kit.op, dir, slice_str(name), &victim);
}

static int unlink_of(uint64_t dir, const char *name)
{
	struct fs_victim victim;

	return fs_unlink(kit.fs, &kit.op, dir, slice_str(name), &victim);
}

static int mkdir_of(uint64_t dir, const char *name)
{
	struct fs_attr attr;

	return fs_mkdir(kit.fs, &kit.op, dir, slice_str(name), 0755, &attr);
}

static uint64_t lookup_of(uint64_t dir, const char *name)
{
	uint64_t ino;

	return kit_lookup(&kit, dir, name, &ino) == 0 ? ino : 0;
}

START_TEST(name_is_found_where_it_was_made)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t ino = kit_file(&kit, dir, "f");
	uint64_t found;

	ck_assert_uint_eq(lookup_of(dir, "f"), ino);
	ck_assert_int_eq(kit_lookup(&kit, FS_ROOT_INO, "f", &found), ENOENT);
	ck_assert_int_eq(kit_lookup(&kit, ino, "f", &found), ENOTDIR);
	ck_assert_int_eq(kit_lookup(&kit, 4711, "f", &found), ESTALE);
	ck_assert_uint_eq(lookup_of(dir, "."), dir);
	ck_assert_uint_eq(lookup_of(dir, ".."), FS_ROOT_INO);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, ".."), FS_ROOT_INO);
}
END_TEST

START_TEST(names_that_cannot_be_are_refused)
{
	char longest[FS_NAME_MAX_BYTES + 2];
	uint64_t ino;

	memset(longest, 'n', sizeof(longest));
	longest[FS_NAME_MAX_BYTES + 1] = '\0';
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, longest), ENAMETOOLONG);
	ck_assert_int_eq(kit_lookup(&kit, FS_ROOT_INO, longest, &ino),
	                 ENAMETOOLONG);
	longest[FS_NAME_MAX_BYTES] = '\0';
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, longest), 0);
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, ""), ENOENT);
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, "a/b"), EINVAL);
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, "."), EEXIST);
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, ".."), EEXIST);
	ck_assert_int_eq(rmdir_of(FS_ROOT_INO, "."), EINVAL);
	ck_assert_int_eq(rmdir_of(FS_ROOT_INO, ".."), ENOTEMPTY);
	ck_assert_int_eq(unlink_of(FS_ROOT_INO, "."), EISDIR);
}
END_TEST

START_TEST(names_of_branches_are_kept_at_the_root)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");

	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, ".snap"), EEXIST);
	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, ".fork"), EEXIST);
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "d", FS_ROOT_INO, ".fork", 0),
	    EEXIST);
	ck_assert_int_eq(mkdir_of(dir, ".snap"), 0);
}
END_TEST

START_TEST(existing_name_is_not_made_again)
{
	struct fs_attr attr;
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(mkdir_of(FS_ROOT_INO, "f"), EEXIST);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, FS_ROOT_INO,
	                            slice_str("f"), slice_str("t"), &attr),
	                 EEXIST);
	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, FS_ROOT_INO, slice_str("f"), &attr),
	    EEXIST);
}
END_TEST

START_TEST(unlink_and_rmdir_keep_to_their_kind)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");

	ck_assert_uint_ne(kit_file(&kit, dir, "f"), 0);
	ck_assert_int_eq(unlink_of(FS_ROOT_INO, "d"), EISDIR);
	ck_assert_int_eq(rmdir_of(FS_ROOT_INO, "d"), ENOTEMPTY);
	ck_assert_int_eq(rmdir_of(dir, "f"), ENOTDIR);
	ck_assert_int_eq(unlink_of(dir, "g"), ENOENT);
	ck_assert_int_eq(unlink_of(dir, "f"), 0);
	ck_assert_int_eq(rmdir_of(FS_ROOT_INO, "d"), 0);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, "d"), 0);
}
END_TEST

START_TEST(nothing_is_made_in_a_removed_directory)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr attr;

	ck_assert_int_eq(rmdir_of(FS_ROOT_INO, "d"), 0);
	ck_assert_int_eq(mkdir_of(dir, "s"), ENOENT);
	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, dir, slice_str("g"), &attr), ENOENT);
	ck_assert_int_eq(kit_rename(&kit, FS_ROOT_INO, "f", dir, "f", 0),
	                 ENOENT);
	ck_assert_int_eq(fs_tmpfile(kit.fs, &kit.op, dir, S_IFREG, &attr),
	                 ENOENT);
}
END_TEST

START_TEST(symlink_keeps_its_target)
{
	char longest[FS_SYMLINK_MAX_BYTES + 2];
	struct buf target = BUF_INIT;
	struct fs_attr attr;

	memset(longest, 't', sizeof(longest));
	ck_assert_int_eq(
	    fs_symlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("l"),
	               slice_make(longest, FS_SYMLINK_MAX_BYTES), &attr),
	    0);
	ck_assert_uint_eq(attr.size, FS_SYMLINK_MAX_BYTES);
	ck_assert_int_eq(fs_readlink(kit.fs, attr.ino, &target), 0);
	ck_assert(slice_equal(buf_slice(&target),
	                      slice_make(longest, FS_SYMLINK_MAX_BYTES)));
	buf_release(&target);
	ck_assert_int_eq(
	    fs_symlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("m"),
	               slice_make(longest, FS_SYMLINK_MAX_BYTES + 1), &attr),
	    ENAMETOOLONG);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, FS_ROOT_INO,
	                            slice_str("m"), slice_str(""), &attr),
	                 ENOENT);
	ck_assert_int_eq(fs_readlink(kit.fs, FS_ROOT_INO, &target), EINVAL);
}
END_TEST

/* ---- rename -------------------------------------------------------------- */

START_TEST(rename_moves_and_replaces)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t one = kit_file(&kit, FS_ROOT_INO, "one");
	uint64_t two = kit_file(&kit, dir, "two");
	struct fs_victim victim;

	ck_assert_int_eq(fs_rename(kit.fs, &kit.op, FS_ROOT_INO,
	                           slice_str("one"), dir, slice_str("two"), 0,
	                           &victim),
	                 0);
	ck_assert_uint_eq(victim.ino, two);
	ck_assert(victim.orphan);
	ck_assert_uint_eq(lookup_of(dir, "two"), one);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, "one"), 0);
	ck_assert_int_eq(kit_rename(&kit, dir, "two", dir, "three", 0), 0);
	ck_assert_uint_eq(lookup_of(dir, "three"), one);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(rename_refuses_what_posix_refuses)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t sub = kit_dir(&kit, dir, "s");
	uint64_t root = FS_ROOT_INO;

	ck_assert_uint_ne(kit_file(&kit, root, "f"), 0);
	ck_assert_uint_ne(kit_dir(&kit, root, "e"), 0);
	ck_assert_int_eq(kit_rename(&kit, root, "no", root, "x", 0), ENOENT);
	ck_assert_int_eq(kit_rename(&kit, root, "f", root, "d", 0), EISDIR);
	ck_assert_int_eq(kit_rename(&kit, root, "d", root, "f", 0), ENOTDIR);
	ck_assert_int_eq(kit_rename(&kit, root, "e", root, "d", 0), ENOTEMPTY);
	ck_assert_int_eq(kit_rename(&kit, root, "d", dir, "x", 0), EINVAL);
	ck_assert_int_eq(kit_rename(&kit, root, "d", sub, "x", 0), EINVAL);
	ck_assert_int_eq(kit_rename(&kit, dir, "s", root, "d", 0), ENOTEMPTY);
	ck_assert_int_eq(kit_rename(&kit, root, ".", root, "x", 0), EBUSY);
	ck_assert_int_eq(kit_rename(&kit, root, "f", root, "..", 0), EBUSY);
	ck_assert_int_eq(
	    kit_rename(&kit, root, "f", root, "e", RENAME_NOREPLACE), EEXIST);
	ck_assert_int_eq(
	    kit_rename(&kit, root, "f", root, "x", RENAME_WHITEOUT), EINVAL);
	ck_assert_int_eq(kit_rename(&kit, root, "f", root, "x",
	                            RENAME_NOREPLACE | RENAME_EXCHANGE),
	                 EINVAL);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(rename_of_one_file_to_its_other_name_leaves_both)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr attr;

	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, FS_ROOT_INO, slice_str("g"), &attr),
	    0);
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "f", FS_ROOT_INO, "g", 0), 0);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, "f"), ino);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, "g"), ino);
	ck_assert_uint_eq(kit_attr(&kit, ino).nlink, 2);
}
END_TEST

START_TEST(moved_directory_knows_its_new_parent)
{
	uint64_t one = kit_dir(&kit, FS_ROOT_INO, "one");
	uint64_t two = kit_dir(&kit, FS_ROOT_INO, "two");
	uint64_t sub = kit_dir(&kit, one, "s");

	ck_assert_int_eq(kit_rename(&kit, one, "s", two, "t", 0), 0);
	ck_assert_uint_eq(lookup_of(sub, ".."), two);
	/* And can be moved out of where its old parent went. */
	ck_assert_int_eq(kit_rename(&kit, FS_ROOT_INO, "one", sub, "o", 0), 0);
	ck_assert_int_eq(kit_rename(&kit, FS_ROOT_INO, "two", one, "x", 0),
	                 EINVAL);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(exchange_swaps_a_file_and_a_directory)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t file = kit_file(&kit, dir, "f");
	uint64_t other = kit_dir(&kit, FS_ROOT_INO, "e");

	ck_assert_uint_ne(kit_file(&kit, other, "in"), 0);
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "e", dir, "no", RENAME_EXCHANGE),
	    ENOENT);
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "e", dir, "f", RENAME_EXCHANGE), 0);
	ck_assert_uint_eq(lookup_of(FS_ROOT_INO, "e"), file);
	ck_assert_uint_eq(lookup_of(dir, "f"), other);
	ck_assert_uint_eq(lookup_of(other, ".."), dir);
	ck_assert_uint_eq(kit_attr(&kit, dir).nlink, 3);
	ck_assert_uint_eq(kit_attr(&kit, FS_ROOT_INO).nlink, 3);
	/* A directory with what lies in it, either way round. */
	ck_assert_int_eq(
	    kit_rename(&kit, FS_ROOT_INO, "d", dir, "f", RENAME_EXCHANGE),
	    EINVAL);
	ck_assert_int_eq(
	    kit_rename(&kit, dir, "f", FS_ROOT_INO, "d", RENAME_EXCHANGE),
	    EINVAL);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

/* ---- listing ------------------------------------------------------------- */

struct listing {
	uint64_t cookies[MANY + 2];
	uint64_t inos[MANY + 2];
	size_t count;
	size_t room;
};

static bool take(void *ctx, struct slice name, uint64_t next_cookie,
                 const struct fs_attr *attr)
{
	struct listing *listing = ctx;

	(void)name;
	if (listing->room == 0)
		return false;
	listing->room--;
	listing->cookies[listing->count] = next_cookie;
	listing->inos[listing->count] = attr->ino;
	listing->count++;
	return true;
}

static void list(struct listing *listing, uint64_t dir, uint64_t cookie,
                 size_t room)
{
	listing->room = room;
	ck_assert_int_eq(fs_readdir(kit.fs, dir, cookie, true, take, listing),
	                 0);
}

START_TEST(listing_gives_each_entry_once_from_any_cookie)
{
	static struct listing whole, parts;
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t cookie = 0;
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_uint_ne(kit_file(&kit, dir, name), 0);
	}
	list(&whole, dir, 0, MANY + 2);
	ck_assert_uint_eq(whole.count, MANY + 2);
	while (parts.count < MANY + 2) {
		list(&parts, dir, cookie, 7);
		cookie = parts.cookies[parts.count - 1];
	}
	ck_assert_mem_eq(whole.inos, parts.inos, sizeof(whole.inos));
	list(&parts, dir, cookie, 7);
	ck_assert_uint_eq(parts.count, MANY + 2);
	for (size_t i = 1; i < whole.count; i++)
		ck_assert_uint_lt(whole.cookies[i - 1], whole.cookies[i]);
	ck_assert_uint_eq(whole.inos[0], dir);
	ck_assert_uint_eq(whole.inos[1], FS_ROOT_INO);
}
END_TEST

START_TEST(listing_goes_on_where_it_was_after_removals_and_a_crash)
{
	static struct listing first, rest;
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	char name[16];

	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		ck_assert_uint_ne(kit_file(&kit, dir, name), 0);
	}
	list(&first, dir, 0, MANY / 2);
	for (int i = 0; i < MANY; i++) {
		bool listed = false;
		uint64_t ino;

		snprintf(name, sizeof(name), "%d", i);
		ino = lookup_of(dir, name);
		for (size_t j = 0; j < first.count; j++)
			listed = listed || first.inos[j] == ino;
		if (listed)
			ck_assert_int_eq(kit_unlink(&kit, dir, name), 0);
	}
	kit_crash(&kit);
	list(&rest, dir, first.cookies[first.count - 1], MANY + 2);
	ck_assert_uint_eq(first.count + rest.count, MANY + 2);
}
END_TEST

START_TEST(listing_of_what_is_no_directory_is_refused)
{
	struct listing none = {.room = 1};
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(fs_readdir(kit.fs, ino, 0, false, take, &none),
	                 ENOTDIR);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dir");
	TCase *tc = tcase_create("dir");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, name_is_found_where_it_was_made);
	tcase_add_test(tc, names_that_cannot_be_are_refused);
	tcase_add_test(tc, names_of_branches_are_kept_at_the_root);
	tcase_add_test(tc, existing_name_is_not_made_again);
	tcase_add_test(tc, unlink_and_rmdir_keep_to_their_kind);
	tcase_add_test(tc, nothing_is_made_in_a_removed_directory);
	tcase_add_test(tc, symlink_keeps_its_target);
	tcase_add_test(tc, rename_moves_and_replaces);
	tcase_add_test(tc, rename_refuses_what_posix_refuses);
	tcase_add_test(tc, rename_of_one_file_to_its_other_name_leaves_both);
	tcase_add_test(tc, moved_directory_knows_its_new_parent);
	tcase_add_test(tc, exchange_swaps_a_file_and_a_directory);
	tcase_add_test(tc, listing_gives_each_entry_once_from_any_cookie);
	tcase_add_test(tc,
	               listing_goes_on_where_it_was_after_removals_and_a_crash);
	tcase_add_test(tc, listing_of_what_is_no_directory_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
