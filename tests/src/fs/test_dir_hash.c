/* SPDX-License-Identifier: MIT */
/*
 * test_dir_hash.c: names with one hash. The hash is narrowed so that all names
 * of a directory collide.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/dir.h"
#include "fs_kit.h"
#include "tests/support/gen.h"

enum { STEPS = 3000, SEED = 77 };

static struct kit kit;
static uint64_t dir;

static void setup(void)
{
	kit_init(&kit);
	kit.hash_mask = 1;
	kit_begin(&kit);
	dir = kit_dir(&kit, FS_ROOT_INO, "d");
}

static void teardown(void)
{
	kit_end(&kit);
}

static const char *name_of(int i)
{
	static const char *const names[] = {
	    "a", "b", "c", "d", "e", "f", "g", "h", "i",
	    "j", "k", "l", "m", "n", "o", "p", "q", "r",
	};

	return names[i];
}

static bool slot_exists(uint64_t slot)
{
	struct schema_key key;

	schema_dirent_key(&key, dir, SCHEMA_SLOTS + slot);
	return kit_exists_raw(&kit, &key);
}

static uint64_t slot_of(const char *name)
{
	struct dir_spot spot;

	ck_assert_int_eq(dir_find(kit.fs, NULL, dir, slice_str(name), &spot),
	                 0);
	return spot.found ? spot.cookie - SCHEMA_SLOTS : UINT64_MAX;
}

START_TEST(colliding_names_get_slots_in_order)
{
	for (int i = 0; i < SCHEMA_SLOTS; i++)
		ck_assert_uint_ne(kit_file(&kit, dir, name_of(i)), 0);
	for (int i = 0; i < SCHEMA_SLOTS; i++)
		ck_assert_uint_eq(slot_of(name_of(i)), (uint64_t)i);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(seventeenth_colliding_name_has_no_room)
{
	struct fs_attr attr;
	uint64_t ino;

	for (int i = 0; i < SCHEMA_SLOTS; i++)
		ck_assert_uint_ne(kit_file(&kit, dir, name_of(i)), 0);
	ck_assert_int_eq(
	    fs_mkdir(kit.fs, &kit.op, dir, slice_str("q"), 0755, &attr),
	    ENOSPC);
	ino = kit_file(&kit, FS_ROOT_INO, "q");
	ck_assert_int_eq(kit_rename(&kit, FS_ROOT_INO, "q", dir, "q", 0),
	                 ENOSPC);
	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, ino, dir, slice_str("q"), &attr), ENOSPC);
	/* To a new name in place of its old one there is room. */
	ck_assert_int_eq(kit_rename(&kit, dir, "c", dir, "q", 0), 0);
	ck_assert_uint_eq(slot_of("q"), 2);
	ck_assert_uint_eq(slot_of("c"), UINT64_MAX);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(removed_name_leaves_a_hole_that_the_next_fills)
{
	for (int i = 0; i < 3; i++)
		ck_assert_uint_ne(kit_file(&kit, dir, name_of(i)), 0);
	ck_assert_int_eq(kit_unlink(&kit, dir, "b"), 0);
	ck_assert(slot_exists(1));
	ck_assert_uint_eq(slot_of("c"), 2);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	ck_assert_uint_ne(kit_file(&kit, dir, "x"), 0);
	ck_assert_uint_eq(slot_of("x"), 1);
	ck_assert(!slot_exists(3));
}
END_TEST

START_TEST(holes_go_with_what_was_above_them)
{
	for (int i = 0; i < 5; i++)
		ck_assert_uint_ne(kit_file(&kit, dir, name_of(i)), 0);
	ck_assert_int_eq(kit_unlink(&kit, dir, "c"), 0);
	ck_assert_int_eq(kit_unlink(&kit, dir, "d"), 0);
	ck_assert(slot_exists(2) && slot_exists(3));
	ck_assert_int_eq(kit_unlink(&kit, dir, "e"), 0);
	ck_assert(!slot_exists(2) && !slot_exists(3) && !slot_exists(4));
	ck_assert_uint_eq(slot_of("b"), 1);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

START_TEST(directory_with_holes_only_does_not_remain)
{
	struct fs_victim victim;

	ck_assert_uint_ne(kit_file(&kit, dir, "a"), 0);
	ck_assert_uint_ne(kit_file(&kit, dir, "b"), 0);
	ck_assert_int_eq(kit_unlink(&kit, dir, "a"), 0);
	ck_assert_int_eq(
	    fs_rmdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"), &victim),
	    ENOTEMPTY);
	ck_assert_int_eq(kit_unlink(&kit, dir, "b"), 0);
	ck_assert_int_eq(
	    fs_rmdir(kit.fs, &kit.op, FS_ROOT_INO, slice_str("d"), &victim), 0);
}
END_TEST

START_TEST(random_changes_keep_every_name_where_it_can_be_found)
{
	bool exists[18] = {false};
	struct gen gen;
	int count = 0;

	gen_init(&gen, gen_seed(SEED));
	for (int step = 0; step < STEPS; step++) {
		int i = (int)gen_below(&gen, 18);
		int j = (int)gen_below(&gen, 18);

		if (exists[i] && gen_below(&gen, 2) == 0) {
			ck_assert_int_eq(kit_unlink(&kit, dir, name_of(i)), 0);
			exists[i] = false;
			count--;
		} else if (exists[i] && !exists[j]) {
			ck_assert_int_eq(kit_rename(&kit, dir, name_of(i), dir,
			                            name_of(j), 0),
			                 0);
			exists[i] = false;
			exists[j] = true;
		} else if (!exists[i] && count < SCHEMA_SLOTS) {
			ck_assert_uint_ne(kit_file(&kit, dir, name_of(i)), 0);
			exists[i] = true;
			count++;
		}
		for (int k = 0; k < 18; k++)
			ck_assert_int_eq(slot_of(name_of(k)) != UINT64_MAX,
			                 exists[k]);
	}
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dir_hash");
	TCase *tc = tcase_create("dir_hash");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, colliding_names_get_slots_in_order);
	tcase_add_test(tc, seventeenth_colliding_name_has_no_room);
	tcase_add_test(tc, removed_name_leaves_a_hole_that_the_next_fills);
	tcase_add_test(tc, holes_go_with_what_was_above_them);
	tcase_add_test(tc, directory_with_holes_only_does_not_remain);
	tcase_add_test(tc,
	               random_changes_keep_every_name_where_it_can_be_found);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
