/* SPDX-License-Identifier: MIT */
/* test_env.c: what env.h promises, against the operating system, the env in
   memory, and the fault env around that. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/env.h"
#include "tests/support/env_fault.h"
#include "tests/support/tmp.h"

static struct tmp tmp;
static struct env *mem, *fault;
static const struct env *env;
static struct env_dir *root; /* an empty folder */

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

static void setup_posix(void)
{
	log_set_sink(drop_line, NULL);
	tmp_make(&tmp);
	env = env_posix();
	ok(env_dir_open(env, tmp.path, &root));
}

/* `at` is an env in memory, or one around it. */
static void make_mem_folder(const struct env *at)
{
	struct env_dir *top;

	env = at;
	ok(env_dir_open(env, "/", &top));
	ok(env_dir_make(top, "scratch"));
	env_dir_close(top);
	ok(env_dir_open(env, "/scratch/", &root));
}

static void setup_mem(void)
{
	log_set_sink(drop_line, NULL);
	ok(env_mem_create(&mem));
	make_mem_folder(mem);
}

static void setup_fault(void)
{
	log_set_sink(drop_line, NULL);
	ok(env_mem_create(&mem));
	ok(env_fault_create(mem, &fault));
	make_mem_folder(fault);
}

static void teardown(void)
{
	env_dir_close(root);
	env_fault_destroy(fault);
	env_mem_destroy(mem);
	if (env == env_posix())
		tmp_remove(&tmp);
}

/* ---- helpers ------------------------------------------------------------ */

static void put(struct env_dir *dir, const char *name, const char *text)
{
	struct env_file *file;

	ok(env_open(dir, name, ENV_CREATE, &file));
	ok(env_write(file, 0, text, strlen(text)));
	ok(env_close(file));
}

static bool holds(struct env_dir *dir, const char *name, const char *text)
{
	struct buf got = BUF_INIT;
	bool same = env_read_file(dir, name, 1 << 20, &got) == LSM_OK &&
	            slice_equal(buf_slice(&got), slice_str(text));

	buf_release(&got);
	return same;
}

static bool is_missing(struct env_dir *dir, const char *name)
{
	struct env_file *file;
	enum lsm_err err = env_open(dir, name, ENV_READ, &file);

	env_close(file);
	return err == LSM_ERR_NOT_FOUND;
}

static struct env_dir *make_dir(struct env_dir *parent, const char *name)
{
	struct env_dir *dir;

	ok(env_dir_make(parent, name));
	ok(env_dir_open_at(parent, name, &dir));
	return dir;
}

static enum lsm_err count_name(void *ctx, const char *name)
{
	unsigned *count = ctx;

	(void)name;
	++*count;
	return LSM_OK;
}

static unsigned names_in(struct env_dir *dir)
{
	unsigned count = 0;

	ok(env_dir_list(dir, count_name, &count));
	return count;
}

/* ---- files -------------------------------------------------------------- */

START_TEST(bytes_written_are_read_back)
{
	struct env_file *file;
	char got[8];
	size_t len;
	uint64_t size;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "abcdef", 6));
	ok(env_write(file, 2, "XY", 2));
	ok(env_sync(file));
	env_write_behind(file, 0, 6);
	env_drop_cache(file);
	ok(env_size(file, &size));
	ck_assert_uint_eq(size, 6);
	ok(env_read(file, 1, got, 3, &len));
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(got, "bXY", 3);
	ok(env_close(file));
	ck_assert(holds(root, "f", "abXYef"));
}
END_TEST

START_TEST(read_is_short_only_at_the_end)
{
	struct env_file *file;
	char got[8];
	size_t len;

	put(root, "f", "abc");
	ok(env_open(root, "f", ENV_READ, &file));
	ok(env_read(file, 1, got, sizeof(got), &len));
	ck_assert_uint_eq(len, 2);
	ok(env_read(file, 3, got, sizeof(got), &len));
	ck_assert_uint_eq(len, 0);
	ok(env_read(file, 1000, got, sizeof(got), &len));
	ck_assert_uint_eq(len, 0);
	ok(env_close(file));
}
END_TEST

START_TEST(a_hole_reads_as_zeros)
{
	static const uint8_t zeros[5000];
	uint8_t got[5000];
	struct env_file *file;
	size_t len;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 5000, "x", 1));
	ok(env_read(file, 0, got, sizeof(got), &len));
	ck_assert_uint_eq(len, sizeof(got));
	ck_assert_mem_eq(got, zeros, sizeof(got));
	ok(env_close(file));
}
END_TEST

START_TEST(create_needs_a_free_name_and_open_a_taken_one)
{
	struct env_file *file;

	put(root, "f", "1");
	ck_assert_int_eq(env_open(root, "f", ENV_CREATE, &file),
	                 LSM_ERR_EXISTS);
	ck_assert_ptr_null(file);
	ck_assert_int_eq(env_open(root, "g", ENV_READ, &file),
	                 LSM_ERR_NOT_FOUND);
	ck_assert_ptr_null(file);
	ck_assert(holds(root, "f", "1"));
}
END_TEST

START_TEST(write_through_a_reader_is_refused)
{
	struct env_file *file;

	put(root, "f", "1");
	ok(env_open(root, "f", ENV_READ, &file));
	ck_assert_int_eq(env_write(file, 0, "2", 1), LSM_ERR_IO);
	ok(env_close(file));
	ck_assert(holds(root, "f", "1"));
}
END_TEST

START_TEST(an_unlinked_file_can_still_be_read)
{
	struct env_file *file;
	char got[3];
	size_t len;

	put(root, "f", "abc");
	ok(env_open(root, "f", ENV_READ, &file));
	ok(env_unlink(root, "f"));
	ck_assert_int_eq(env_unlink(root, "f"), LSM_ERR_NOT_FOUND);
	put(root, "f", "new");
	ok(env_read(file, 0, got, sizeof(got), &len));
	ck_assert_uint_eq(len, 3);
	ck_assert_mem_eq(got, "abc", 3);
	ok(env_close(file));
}
END_TEST

START_TEST(preallocated_bytes_are_zero_and_kept)
{
	static const uint8_t zeros[4096];
	uint8_t got[4096];
	struct env_file *file;
	enum lsm_err err;
	size_t len;
	uint64_t size;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "abc", 3));
	err = env_preallocate(file, 0, 3 + sizeof(zeros));
	ok(env_size(file, &size));
	if (err == LSM_ERR_NOT_SUPPORTED) {
		ck_assert_uint_eq(size, 3);
	} else {
		ok(err);
		ck_assert_uint_eq(size, 3 + sizeof(zeros));
		ok(env_read(file, 3, got, sizeof(got), &len));
		ck_assert_uint_eq(len, sizeof(got));
		ck_assert_mem_eq(got, zeros, sizeof(zeros));
	}
	ok(env_close(file));
}
END_TEST

START_TEST(a_sealed_file_is_read_and_removed)
{
	struct env_file *file;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "abc", 3));
	ok(env_sync(file));
	ok(env_seal(file));
	ok(env_close(file));
	ck_assert(holds(root, "f", "abc"));
	ok(env_unlink(root, "f"));
}
END_TEST

/* ---- folders ------------------------------------------------------------ */

START_TEST(a_folder_is_made_once_and_is_no_file)
{
	struct env_dir *dir, *none;
	struct env_file *file;

	dir = make_dir(root, "d");
	ck_assert_int_eq(env_dir_make(root, "d"), LSM_ERR_EXISTS);
	ck_assert_int_eq(env_dir_open_at(root, "e", &none), LSM_ERR_NOT_FOUND);
	ck_assert_ptr_null(none);
	put(dir, "f", "1");
	ck_assert_int_eq(env_dir_open_at(dir, "f", &none), LSM_ERR_NOT_FOUND);
	ck_assert_int_eq(env_dir_make(dir, "f"), LSM_ERR_EXISTS);
	ck_assert_int_eq(env_open(root, "d", ENV_CREATE, &file),
	                 LSM_ERR_EXISTS);
	ck_assert_int_eq(env_dir_open(env, "/no/such/folder", &none),
	                 LSM_ERR_NOT_FOUND);
	ok(env_dir_sync(dir));
	env_dir_close(dir);
}
END_TEST

START_TEST(only_an_empty_folder_is_removed)
{
	struct env_dir *dir = make_dir(root, "d");

	put(dir, "f", "1");
	ck_assert_int_eq(env_rmdir(root, "d"), LSM_ERR_EXISTS);
	ok(env_unlink(dir, "f"));
	ok(env_rmdir(root, "d"));
	ck_assert_int_eq(env_rmdir(root, "d"), LSM_ERR_NOT_FOUND);
	env_dir_close(dir);
}
END_TEST

enum { LISTED = 300 };

static enum lsm_err mark_name(void *ctx, const char *name)
{
	unsigned *seen = ctx;
	unsigned long number = strtoul(name, NULL, 10);

	if (number >= LISTED)
		return LSM_ERR_CORRUPT;
	seen[number]++;
	return LSM_OK;
}

static enum lsm_err stop_at_third(void *ctx, const char *name)
{
	unsigned *count = ctx;

	(void)name;
	return ++*count == 3 ? LSM_ERR_TOO_BIG : LSM_OK;
}

START_TEST(a_listing_shows_every_name_once_and_stops_when_told)
{
	unsigned seen[LISTED] = {0}, count = 0;
	char name[16];

	for (unsigned i = 0; i < LISTED; i++) {
		snprintf(name, sizeof(name), "%u", i);
		put(root, name, "");
	}
	for (int round = 1; round <= 2; round++) {
		ok(env_dir_list(root, mark_name, seen));
		for (unsigned i = 0; i < LISTED; i++)
			ck_assert_uint_eq(seen[i], (unsigned)round);
	}
	ck_assert_int_eq(env_dir_list(root, stop_at_third, &count),
	                 LSM_ERR_TOO_BIG);
	ck_assert_uint_eq(count, 3);
}
END_TEST

START_TEST(a_lock_is_for_one_or_is_shared)
{
	struct env_file *a, *b, *c;

	ck_assert_int_eq(env_dir_lock(root, "LOCK", true, &a),
	                 LSM_ERR_NOT_FOUND);
	ok(env_dir_lock(root, "LOCK", false, &a));
	ck_assert_int_eq(env_dir_lock(root, "LOCK", false, &b), LSM_ERR_BUSY);
	ck_assert_ptr_null(b);
	ck_assert_int_eq(env_dir_lock(root, "LOCK", true, &b), LSM_ERR_BUSY);
	ok(env_close(a));
	ok(env_dir_lock(root, "LOCK", true, &a));
	ok(env_dir_lock(root, "LOCK", true, &b));
	ck_assert_int_eq(env_dir_lock(root, "LOCK", false, &c), LSM_ERR_BUSY);
	ok(env_close(a));
	ck_assert_int_eq(env_dir_lock(root, "LOCK", false, &c), LSM_ERR_BUSY);
	ok(env_close(b));
	ok(env_dir_lock(root, "LOCK", false, &c));
	ok(env_close(c));
}
END_TEST

START_TEST(space_is_told)
{
	uint64_t whole, left;

	ok(env_dir_space(root, &whole, &left));
	ck_assert_uint_gt(left, 0);
	ck_assert_uint_ge(whole, left);
}
END_TEST

/* ---- names -------------------------------------------------------------- */

START_TEST(rename_replaces_a_file)
{
	struct env_dir *dir = make_dir(root, "d");

	put(root, "a", "new");
	put(root, "b", "old");
	ok(env_rename(root, "a", root, "b", false));
	ck_assert(holds(root, "b", "new"));
	ck_assert(is_missing(root, "a"));
	ok(env_rename(root, "b", dir, "c", true));
	ck_assert(holds(dir, "c", "new"));
	ck_assert(is_missing(root, "b"));
	ck_assert_int_eq(env_rename(root, "b", dir, "c", false),
	                 LSM_ERR_NOT_FOUND);
	ck_assert(holds(dir, "c", "new"));
	env_dir_close(dir);
}
END_TEST

START_TEST(rename_without_replacing_leaves_both_names)
{
	put(root, "a", "1");
	put(root, "b", "2");
	ck_assert_int_eq(env_rename(root, "a", root, "b", true),
	                 LSM_ERR_EXISTS);
	ck_assert(holds(root, "a", "1"));
	ck_assert(holds(root, "b", "2"));
}
END_TEST

START_TEST(a_folder_moves_with_what_it_holds_but_over_nothing)
{
	struct env_dir *dir = make_dir(root, "d"), *moved;

	put(dir, "f", "1");
	put(root, "file", "2");
	ok(env_dir_make(root, "empty"));
	ck_assert_int_eq(env_rename(root, "d", root, "empty", false),
	                 LSM_ERR_EXISTS);
	ck_assert_int_eq(env_rename(root, "d", root, "empty", true),
	                 LSM_ERR_EXISTS);
	ck_assert_int_eq(env_rename(root, "d", root, "file", false),
	                 LSM_ERR_EXISTS);
	ck_assert_int_eq(env_rename(root, "file", root, "empty", false),
	                 LSM_ERR_EXISTS);
	ok(env_rename(root, "d", root, "e", true));
	ok(env_dir_open_at(root, "e", &moved));
	ck_assert(holds(moved, "f", "1"));
	put(dir, "g", "3"); /* an open folder goes along */
	ck_assert(holds(moved, "g", "3"));
	env_dir_close(moved);
	env_dir_close(dir);
}
END_TEST

START_TEST(linked_names_share_one_file)
{
	struct env_dir *dir = make_dir(root, "d");

	put(root, "a", "1");
	put(root, "b", "2");
	ok(env_link(root, "a", dir, "l"));
	ck_assert_int_eq(env_link(root, "a", root, "b"), LSM_ERR_EXISTS);
	ck_assert_int_eq(env_link(root, "x", root, "y"), LSM_ERR_NOT_FOUND);
	ok(env_unlink(root, "a"));
	ck_assert(holds(dir, "l", "1"));
	ck_assert(holds(root, "b", "2"));
	env_dir_close(dir);
}
END_TEST

START_TEST(reflink_makes_the_whole_file_or_none)
{
	enum lsm_err err;

	put(root, "a", "abc");
	err = env_reflink(root, "a", root, "b");
	if (err == LSM_ERR_NOT_SUPPORTED) {
		ck_assert(is_missing(root, "b"));
	} else {
		ok(err);
		ck_assert(holds(root, "b", "abc"));
	}
}
END_TEST

/* ---- what is built from those ----------------------------------------------
 */

START_TEST(publish_replaces_and_leaves_no_other_name)
{
	put(root, "CURRENT.tmp", "left by a crash");
	ok(env_publish(root, "CURRENT", slice_str("1")));
	ck_assert(holds(root, "CURRENT", "1"));
	ok(env_publish(root, "CURRENT", slice_str("22")));
	ck_assert(holds(root, "CURRENT", "22"));
	ok(env_publish(root, "CURRENT", slice_str("")));
	ck_assert(holds(root, "CURRENT", ""));
	ck_assert_uint_eq(names_in(root), 1);
}
END_TEST

START_TEST(a_file_over_the_limit_is_corrupt)
{
	struct buf got = BUF_INIT;

	put(root, "f", "abc");
	ok(env_read_file(root, "f", 3, &got));
	ck_assert_uint_eq(got.len, 3);
	ck_assert_int_eq(env_read_file(root, "f", 2, &got), LSM_ERR_CORRUPT);
	ck_assert_uint_eq(got.len, 0);
	ck_assert_int_eq(env_read_file(root, "g", 2, &got), LSM_ERR_NOT_FOUND);
	buf_release(&got);
}
END_TEST

START_TEST(a_removed_tree_is_gone)
{
	struct env_dir *dir, *below;

	put(root, "stays", "1");
	dir = make_dir(root, "d");
	put(dir, "f", "2");
	below = make_dir(dir, "e");
	put(below, "g", "3");
	put(below, "h", "4");
	env_dir_close(below);
	env_dir_close(dir);
	ok(env_remove_tree(root, "d"));
	ck_assert_int_eq(env_dir_open_at(root, "d", &dir), LSM_ERR_NOT_FOUND);
	ok(env_remove_tree(root, "d"));
	ck_assert_uint_eq(names_in(root), 1);
	ck_assert(holds(root, "stays", "1"));
}
END_TEST

START_TEST(random_bytes_differ)
{
	uint8_t a[16] = {0}, b[16] = {0};

	ok(env_random(env, a, sizeof(a)));
	ok(env_random(env, b, sizeof(b)));
	ck_assert_mem_ne(a, b, sizeof(a));
	ck_assert_uint_gt(env_time_ns(env), UINT64_C(1600000000000000000));
}
END_TEST

START_TEST(figures_count_bytes_and_syncs)
{
	struct env_io_stats before, after;
	struct env_file *file;
	char got[10];
	size_t len;

	env_io_stats(env, &before);
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "abcde", 5));
	ok(env_read(file, 1, got, sizeof(got), &len));
	ok(env_sync(file));
	ok(env_dir_sync(root));
	ok(env_close(file));
	env_io_stats(env, &after);
	ck_assert_uint_eq(after.bytes_written - before.bytes_written, 5);
	ck_assert_uint_eq(after.bytes_read - before.bytes_read, 4);
	ck_assert_uint_eq(after.syncs - before.syncs, 2);
}
END_TEST

static void add_contract(Suite *suite, const char *name, void (*setup)(void))
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bytes_written_are_read_back);
	tcase_add_test(tc, read_is_short_only_at_the_end);
	tcase_add_test(tc, a_hole_reads_as_zeros);
	tcase_add_test(tc, create_needs_a_free_name_and_open_a_taken_one);
	tcase_add_test(tc, write_through_a_reader_is_refused);
	tcase_add_test(tc, an_unlinked_file_can_still_be_read);
	tcase_add_test(tc, preallocated_bytes_are_zero_and_kept);
	tcase_add_test(tc, a_sealed_file_is_read_and_removed);
	tcase_add_test(tc, a_folder_is_made_once_and_is_no_file);
	tcase_add_test(tc, only_an_empty_folder_is_removed);
	tcase_add_test(tc, a_listing_shows_every_name_once_and_stops_when_told);
	tcase_add_test(tc, a_lock_is_for_one_or_is_shared);
	tcase_add_test(tc, space_is_told);
	tcase_add_test(tc, rename_replaces_a_file);
	tcase_add_test(tc, rename_without_replacing_leaves_both_names);
	tcase_add_test(tc, a_folder_moves_with_what_it_holds_but_over_nothing);
	tcase_add_test(tc, linked_names_share_one_file);
	tcase_add_test(tc, reflink_makes_the_whole_file_or_none);
	tcase_add_test(tc, publish_replaces_and_leaves_no_other_name);
	tcase_add_test(tc, a_file_over_the_limit_is_corrupt);
	tcase_add_test(tc, a_removed_tree_is_gone);
	tcase_add_test(tc, random_bytes_differ);
	tcase_add_test(tc, figures_count_bytes_and_syncs);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("env");
	SRunner *runner;
	int failed;

	add_contract(suite, "posix", setup_posix);
	add_contract(suite, "mem", setup_mem);
	add_contract(suite, "fault", setup_fault);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
