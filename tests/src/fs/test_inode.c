/* SPDX-License-Identifier: MIT */
/*
 * test_inode.c: attributes, link counts, orphans, atime.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/inode.h"
#include "fs_kit.h"

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

static int set(uint64_t ino, unsigned which, struct fs_attr value,
               struct fs_attr *attr)
{
	return fs_setattr(kit.fs, &kit.op, ino, which, &value, attr);
}

START_TEST(new_file_has_what_was_asked_for)
{
	struct fs_attr attr;

	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, FS_ROOT_INO, slice_str("f"),
	                          S_IFREG | 04640, 77, &attr),
	                 0);
	ck_assert_uint_eq(attr.mode, S_IFREG | 04640);
	ck_assert_uint_eq(attr.uid, 1000);
	ck_assert_uint_eq(attr.gid, 100);
	ck_assert_uint_eq(attr.nlink, 1);
	ck_assert_uint_eq(attr.size, 0);
	ck_assert_uint_eq(attr.rdev, 0);
	ck_assert_uint_ge(attr.ino, FS_FIRST_INO);
	ck_assert_int_gt(attr.btime.tv_sec, 1600000000);
}
END_TEST

START_TEST(device_keeps_its_number)
{
	struct fs_attr attr;

	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"),
	                          S_IFCHR | 0600, 0x501, &attr),
	                 0);
	ck_assert_uint_eq(kit_attr(&kit, attr.ino).rdev, 0x501);
	ck_assert_uint_eq(kit_attr(&kit, attr.ino).mode, S_IFCHR | 0600);
}
END_TEST

START_TEST(types_that_mknod_does_not_make_are_refused)
{
	struct fs_attr attr;

	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"),
	                          S_IFDIR | 0600, 0, &attr),
	                 EINVAL);
	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"),
	                          0600, 0, &attr),
	                 EINVAL);
}
END_TEST

static gid_t writer_gid; /* 0: the owner's */

/* The mode that `which` leaves of a new file with mode `mode`. */
static uint32_t mode_after(uint32_t mode, unsigned which, bool drops)
{
	struct fs_attr attr, value = {.uid = 1, .gid = 2, .mode = 04711};
	uint32_t owner_gid = kit.op.gid;
	static int count;
	char name[32];
	int err;

	snprintf(name, sizeof(name), "mode%d", count++);
	ck_assert_int_eq(fs_mknod(kit.fs, &kit.op, FS_ROOT_INO, slice_str(name),
	                          S_IFREG | mode, 0, &attr),
	                 0);
	if (writer_gid != 0)
		kit.op.gid = writer_gid;
	kit.op.drops_set_id = drops;
	kit.op.set_id_dropped = false;
	err = (which & FS_SET_ATIME) != 0
	          ? fs_write(kit.fs, &kit.op, attr.ino, 0, "x", 1)
	          : set(attr.ino, which, value, &attr);
	kit.op.drops_set_id = false;
	kit.op.gid = owner_gid;
	ck_assert_int_eq(err, 0);
	return kit_attr(&kit, attr.ino).mode & 07777;
}

START_TEST(another_owner_costs_the_set_id_bits)
{
	ck_assert_uint_eq(mode_after(06755, FS_SET_UID, false), 0755);
	ck_assert_uint_eq(mode_after(06755, FS_SET_GID, false), 0755);
	ck_assert_uint_eq(mode_after(06745, FS_SET_GID, false), 02745);
	ck_assert_uint_eq(mode_after(06755, 0, false), 0755);
	ck_assert_uint_eq(mode_after(06755, FS_SET_UID | FS_SET_MODE, false),
	                  04711);
	ck_assert_uint_eq(mode_after(06755, FS_SET_MTIME, false), 06755);
}
END_TEST

START_TEST(a_change_of_contents_costs_them_where_it_is_said)
{
	ck_assert_uint_eq(mode_after(06755, FS_SET_ATIME, false), 06755);
	ck_assert_uint_eq(mode_after(06755, FS_SET_ATIME, true), 0755);
	ck_assert(kit.op.set_id_dropped);
	ck_assert_uint_eq(mode_after(02745, FS_SET_ATIME, true), 02745);
	ck_assert(!kit.op.set_id_dropped);
	writer_gid = 7;
	ck_assert_uint_eq(mode_after(02745, FS_SET_ATIME, true), 0745);
	ck_assert(kit.op.set_id_dropped);
	writer_gid = 0;
	ck_assert_uint_eq(mode_after(06755, FS_SET_SIZE, false), 06755);
	ck_assert_uint_eq(mode_after(06755, FS_SET_SIZE, true), 0755);
	ck_assert(kit.op.set_id_dropped);
}
END_TEST

START_TEST(setgid_directory_hands_on_its_group)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	struct fs_attr attr;

	ck_assert_int_eq(set(dir, FS_SET_MODE | FS_SET_GID,
	                     (struct fs_attr){.mode = 02755, .gid = 42}, &attr),
	                 0);
	ck_assert_uint_eq(kit_attr(&kit, kit_file(&kit, dir, "f")).gid, 42);
	attr = kit_attr(&kit, kit_dir(&kit, dir, "sub"));
	ck_assert_uint_eq(attr.gid, 42);
	ck_assert_uint_eq(attr.mode & S_ISGID, S_ISGID);
}
END_TEST

START_TEST(setattr_changes_what_it_is_told_and_ctime)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr before = kit_attr(&kit, ino);
	struct fs_attr value = {.mode = 0600, .uid = 7, .gid = 8};
	struct fs_attr attr;

	value.atime.tv_sec = 5;
	value.mtime.tv_nsec = 6;
	ck_assert_int_eq(set(ino, FS_SET_MODE | FS_SET_ATIME, value, &attr), 0);
	ck_assert_uint_eq(attr.mode, S_IFREG | 0600);
	ck_assert_uint_eq(attr.uid, before.uid);
	ck_assert_int_eq(attr.atime.tv_sec, 5);
	ck_assert_int_eq(attr.mtime.tv_sec, before.mtime.tv_sec);
	ck_assert(attr.ctime.tv_sec > before.ctime.tv_sec ||
	          attr.ctime.tv_nsec != before.ctime.tv_nsec);
	ck_assert_int_eq(
	    set(ino, FS_SET_UID | FS_SET_GID | FS_SET_MTIME, value, &attr), 0);
	attr = kit_attr(&kit, ino);
	ck_assert_uint_eq(attr.uid, 7);
	ck_assert_uint_eq(attr.gid, 8);
	ck_assert_int_eq(attr.mtime.tv_nsec, 6);
	ck_assert_int_eq(set(ino, FS_SET_MTIME_NOW, value, &attr), 0);
	ck_assert_int_gt(attr.mtime.tv_sec, 1600000000);
}
END_TEST

START_TEST(inode_that_does_not_exist_is_stale)
{
	struct fs_attr attr;

	ck_assert_int_eq(fs_getattr(kit.fs, 4711, &attr), ESTALE);
	ck_assert_int_eq(set(4711, FS_SET_MODE, (struct fs_attr){0}, &attr),
	                 ESTALE);
	ck_assert_int_eq(kit_fill(&kit, 4711, 0, 1, 1), ESTALE);
}
END_TEST

START_TEST(links_are_counted_up_to_a_limit)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct inode inode;
	struct fs_attr attr;

	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, FS_ROOT_INO, slice_str("g"), &attr),
	    0);
	ck_assert_uint_eq(attr.nlink, 2);
	ck_assert_int_eq(inode_load(kit.fs, NULL, ino, &inode), 0);
	inode.nlink = FS_LINK_MAX;
	kit_save_raw(&kit, &inode);
	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, FS_ROOT_INO, slice_str("h"), &attr),
	    EMLINK);
	ck_assert_uint_eq(kit_attr(&kit, ino).nlink, FS_LINK_MAX);
}
END_TEST

START_TEST(directory_counts_its_subdirectories)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t other = kit_dir(&kit, FS_ROOT_INO, "e");
	struct fs_victim victim;

	ck_assert_uint_eq(kit_attr(&kit, dir).nlink, 2);
	ck_assert_uint_ne(kit_dir(&kit, dir, "s"), 0);
	ck_assert_uint_ne(kit_file(&kit, dir, "f"), 0);
	ck_assert_uint_eq(kit_attr(&kit, dir).nlink, 3);
	ck_assert_uint_eq(kit_attr(&kit, dir).size, 2 * INODE_DIRENT_BYTES);
	ck_assert_int_eq(kit_rename(&kit, dir, "s", other, "s", 0), 0);
	ck_assert_uint_eq(kit_attr(&kit, dir).nlink, 2);
	ck_assert_uint_eq(kit_attr(&kit, other).nlink, 3);
	ck_assert_int_eq(
	    fs_rmdir(kit.fs, &kit.op, other, slice_str("s"), &victim), 0);
	ck_assert_uint_eq(kit_attr(&kit, other).nlink, 2);
	ck_assert_uint_eq(kit_attr(&kit, FS_ROOT_INO).nlink, 4);
}
END_TEST

START_TEST(unlinked_file_can_be_used_until_it_is_reclaimed)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_victim victim;
	struct fs_attr attr;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100000, 'a'), 0);
	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("f"), &victim),
	    0);
	ck_assert_uint_eq(victim.ino, ino);
	ck_assert(victim.orphan);
	ck_assert_int_eq(kit_fill(&kit, ino, 100000, 100000, 'b'), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 100000, 'a'));
	ck_assert(kit_is_all(&kit, ino, 100000, 100000, 'b'));
	ck_assert_uint_eq(kit_attr(&kit, ino).nlink, 0);
	ck_assert_int_eq(fs_reclaim(kit.fs, ino), 0);
	ck_assert_int_eq(fs_getattr(kit.fs, ino, &attr), ESTALE);
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_USED_BYTES), 0);
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_INODES), 1);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(reclaim_of_what_has_a_name_is_nothing)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 5000, 'a'), 0);
	ck_assert_int_eq(fs_reclaim(kit.fs, ino), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 5000, 'a'));
}
END_TEST

START_TEST(orphans_of_a_crash_go_when_the_store_is_opened)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	struct fs_victim victim;
	struct fs_attr attr;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 300000, 'a'), 0);
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, ino, slice_str("user.x"),
	                             slice_str("y"), 0),
	                 0);
	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("f"), &victim),
	    0);
	ck_assert_int_eq(
	    fs_rmdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"), &victim), 0);
	ck_assert_uint_eq(victim.ino, dir);
	ck_assert(victim.orphan);
	kit_crash(&kit);
	ck_assert_int_eq(fs_getattr(kit.fs, ino, &attr), ESTALE);
	ck_assert_int_eq(fs_getattr(kit.fs, dir, &attr), ESTALE);
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_INODES), 1);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(large_orphan_goes_in_steps)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr attr;

	/* Chunks far apart, more than one step looks at. */
	for (uint64_t i = 0; i < 6000; i++)
		ck_assert_int_eq(kit_write(&kit, ino, i << 30, "x", 1), 0);
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
	ck_assert_int_eq(fs_getattr(kit.fs, ino, &attr), ESTALE);
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_USED_BYTES), 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

/* For who holds a handle: LOOKUP of "." with its number. */
START_TEST(inode_is_found_by_number_while_it_has_a_name)
{
	uint64_t dir = kit_dir(&kit, FS_ROOT_INO, "d");
	uint64_t ino = kit_file(&kit, dir, "f");
	struct fs_victim victim;
	uint64_t found;

	ck_assert_int_eq(kit_lookup(&kit, ino, ".", &found), 0);
	ck_assert_uint_eq(found, ino);
	ck_assert_int_eq(kit_lookup(&kit, ino, "..", &found), ENOTDIR);
	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, dir, slice_str("f"), &victim), 0);
	ck_assert_int_eq(
	    fs_rmdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"), &victim), 0);
	/* Both are orphans, and there. */
	ck_assert_uint_eq(kit_attr(&kit, ino).nlink, 0);
	ck_assert_int_eq(kit_lookup(&kit, ino, ".", &found), ESTALE);
	ck_assert_int_eq(kit_lookup(&kit, dir, ".", &found), ESTALE);
	ck_assert_int_eq(kit_lookup(&kit, dir, "..", &found), ESTALE);
}
END_TEST

START_TEST(tmpfile_gets_a_name_once)
{
	struct fs_victim victim;
	struct fs_attr attr;

	ck_assert_int_eq(
	    fs_tmpfile(kit.fs, &kit.op, FS_ROOT_INO, S_IFREG | 0600, &attr), 0);
	ck_assert_uint_eq(attr.nlink, 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	ck_assert_int_eq(fs_link(kit.fs, &kit.op, attr.ino, FS_ROOT_INO,
	                         slice_str("t"), &attr),
	                 0);
	ck_assert_uint_eq(attr.nlink, 1);
	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, FS_ROOT_INO, slice_str("t"), &victim),
	    0);
	ck_assert_int_eq(fs_link(kit.fs, &kit.op, attr.ino, FS_ROOT_INO,
	                         slice_str("u"), &attr),
	                 ENOENT);
}
END_TEST

START_TEST(first_read_after_a_write_moves_atime_and_the_next_does_not)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr first, second, attr;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10, 'a'), 0);
	ck_assert_int_eq(set(ino, FS_SET_ATIME, (struct fs_attr){0}, &attr), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	first = kit_attr(&kit, ino);
	ck_assert_int_gt(first.atime.tv_sec, 1600000000);
	ck_assert_int_eq(first.ctime.tv_nsec, attr.ctime.tv_nsec);
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	second = kit_attr(&kit, ino);
	ck_assert_int_eq(first.atime.tv_sec, second.atime.tv_sec);
	ck_assert_int_eq(first.atime.tv_nsec, second.atime.tv_nsec);
}
END_TEST

START_TEST(held_atime_is_not_moved)
{
	uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");
	struct fs_attr attr;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10, 'a'), 0);
	ck_assert_int_eq(set(ino, FS_SET_ATIME, (struct fs_attr){0}, &attr), 0);
	fs_hold_atime(kit.fs, true, false);
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	ck_assert_int_eq(kit_attr(&kit, ino).atime.tv_sec, 0);
	fs_hold_atime(kit.fs, false, true); /* of directories alone */
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	ck_assert_int_gt(kit_attr(&kit, ino).atime.tv_sec, 1600000000);
}
END_TEST

START_TEST(numbers_are_not_given_again_after_a_crash)
{
	uint64_t last = 0;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 100; i++) {
			uint64_t ino = kit_file(&kit, FS_ROOT_INO, "f");

			ck_assert_uint_gt(ino, last);
			last = ino;
			ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, "f"), 0);
		}
		kit_crash(&kit);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inode");
	TCase *tc = tcase_create("inode");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, new_file_has_what_was_asked_for);
	tcase_add_test(tc, device_keeps_its_number);
	tcase_add_test(tc, types_that_mknod_does_not_make_are_refused);
	tcase_add_test(tc, another_owner_costs_the_set_id_bits);
	tcase_add_test(tc, a_change_of_contents_costs_them_where_it_is_said);
	tcase_add_test(tc, setgid_directory_hands_on_its_group);
	tcase_add_test(tc, setattr_changes_what_it_is_told_and_ctime);
	tcase_add_test(tc, inode_that_does_not_exist_is_stale);
	tcase_add_test(tc, links_are_counted_up_to_a_limit);
	tcase_add_test(tc, directory_counts_its_subdirectories);
	tcase_add_test(tc, unlinked_file_can_be_used_until_it_is_reclaimed);
	tcase_add_test(tc, reclaim_of_what_has_a_name_is_nothing);
	tcase_add_test(tc, orphans_of_a_crash_go_when_the_store_is_opened);
	tcase_add_test(tc, large_orphan_goes_in_steps);
	tcase_add_test(tc, inode_is_found_by_number_while_it_has_a_name);
	tcase_add_test(tc, tmpfile_gets_a_name_once);
	tcase_add_test(
	    tc, first_read_after_a_write_moves_atime_and_the_next_does_not);
	tcase_add_test(tc, held_atime_is_not_moved);
	tcase_add_test(tc, numbers_are_not_given_again_after_a_crash);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
