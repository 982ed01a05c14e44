/* SPDX-License-Identifier: MIT */
/* test_env_mem.c: what a power cut takes from the env in memory, and what it
   must leave. */
#include <check.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/env.h"
#include "tests/support/gen.h"

enum {
	SECTOR = 512,
	SECTORS = 64,
	SEEDS = 64, /* crashes of one state */
	KEEP_ALL = 256,
};

static struct env *env;
static struct env_dir *root;

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

static void setup(void)
{
	log_set_sink(drop_line, NULL);
	ok(env_mem_create(&env));
	ok(env_dir_open(env, "/", &root));
}

static void teardown(void)
{
	env_dir_close(root);
	env_mem_destroy(env);
}

/* ---- helpers ------------------------------------------------------------ */

static void put(struct env_dir *dir, const char *name, const char *text,
                bool synced)
{
	struct env_file *file;

	ok(env_open(dir, name, ENV_CREATE, &file));
	ok(env_write(file, 0, text, strlen(text)));
	if (synced)
		ok(env_sync(file));
	ok(env_close(file));
}

static void put_durable(struct env_dir *dir, const char *name, const char *text)
{
	put(dir, name, text, true);
	ok(env_dir_sync(dir));
}

static struct env_dir *make_dir(struct env_dir *parent, const char *name)
{
	struct env_dir *dir;

	ok(env_dir_make(parent, name));
	ok(env_dir_open_at(parent, name, &dir));
	return dir;
}

static struct env *crash(unsigned keep_per_256, uint64_t seed)
{
	struct env_mem_crash how = {keep_per_256, seed};
	struct env *after;

	ok(env_mem_after_crash(env, &how, &after));
	return after;
}

/* Append what the file at FOLDER/NAME of `of` holds; "-" where there is none.
 */
static void read_at(struct env *of, const char *folder, const char *name,
                    struct buf *got)
{
	struct env_dir *dir;

	if (env_dir_open(of, folder, &dir) != LSM_OK ||
	    env_read_file(dir, name, 1 << 20, got) != LSM_OK)
		ok(buf_set(got, slice_str("-")));
	env_dir_close(dir);
}

static bool holds(struct env *of, const char *folder, const char *name,
                  const char *text)
{
	struct buf got = BUF_INIT;
	bool same;

	read_at(of, folder, name, &got);
	same = slice_equal(buf_slice(&got), slice_str(text));
	buf_release(&got);
	return same;
}

/* After a crash that keeps so much, does FOLDER/NAME hold the text? "-" is
   for no such file. */
static bool crash_holds(unsigned keep_per_256, const char *folder,
                        const char *name, const char *text)
{
	struct env *after = crash(keep_per_256, 1);
	bool same = holds(after, folder, name, text);

	env_mem_destroy(after);
	return same;
}

/* ---- what survives ---------------------------------------------------------
 */

START_TEST(synced_bytes_under_a_synced_name_survive)
{
	put_durable(root, "f", "abc");
	ck_assert(crash_holds(0, "/", "f", "abc"));
	ck_assert(crash_holds(KEEP_ALL, "/", "f", "abc"));
}
END_TEST

START_TEST(unsynced_bytes_and_size_are_dropped_or_kept)
{
	struct env_file *file;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "abcdef", 6));
	ok(env_sync(file));
	ok(env_dir_sync(root));
	ok(env_write(file, 1, "XYZ", 3));
	ok(env_write(file, 6, "gh", 2));
	ck_assert(crash_holds(0, "/", "f", "abcdef"));
	ck_assert(crash_holds(KEEP_ALL, "/", "f", "aXYZefgh"));
	ok(env_sync(file));
	ck_assert(crash_holds(0, "/", "f", "aXYZefgh"));
	ok(env_close(file));
}
END_TEST

START_TEST(a_synced_file_is_lost_with_its_unsynced_name)
{
	put(root, "f", "abc", true);
	ck_assert(crash_holds(0, "/", "f", "-"));
	ck_assert(crash_holds(KEEP_ALL, "/", "f", "abc"));
}
END_TEST

START_TEST(a_synced_name_of_an_unsynced_file_is_empty)
{
	put(root, "f", "abc", false);
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/", "f", ""));
	ck_assert(crash_holds(KEEP_ALL, "/", "f", "abc"));
}
END_TEST

START_TEST(all_below_a_lost_folder_is_lost)
{
	struct env_dir *dir = make_dir(root, "d"), *below;

	below = make_dir(dir, "e");
	put_durable(below, "f", "abc");
	ok(env_dir_sync(dir));
	ck_assert(crash_holds(0, "/d/e", "f", "-"));
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/d/e", "f", "abc"));
	env_dir_close(below);
	env_dir_close(dir);
}
END_TEST

START_TEST(preallocated_size_is_lost_until_synced)
{
	struct env_file *file;
	struct env *after;
	struct buf got = BUF_INIT;

	put_durable(root, "g", "");
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_dir_sync(root));
	ok(env_preallocate(file, 0, 1000));
	ck_assert(crash_holds(0, "/", "f", ""));
	ok(env_sync(file));
	after = crash(0, 1);
	read_at(after, "/", "f", &got);
	ck_assert_uint_eq(got.len, 1000);
	buf_release(&got);
	env_mem_destroy(after);
	ok(env_close(file));
}
END_TEST

START_TEST(an_unsynced_removal_comes_back)
{
	struct env_file *file;

	put_durable(root, "f", "abc");
	ok(env_unlink(root, "f"));
	ck_assert(crash_holds(0, "/", "f", "abc"));
	ck_assert(crash_holds(KEEP_ALL, "/", "f", "-"));
	/* A new file of that name is another file. */
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, "new", 3));
	ck_assert(crash_holds(0, "/", "f", "abc"));
	ok(env_close(file));
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/", "f", ""));
}
END_TEST

START_TEST(an_unsynced_removal_of_a_folder_comes_back_whole)
{
	struct env_dir *dir = make_dir(root, "d");

	put_durable(dir, "f", "abc");
	ok(env_dir_sync(root));
	env_dir_close(dir);
	ok(env_remove_tree(root, "d"));
	ck_assert(crash_holds(0, "/d", "f", "abc"));
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/d", "f", "-"));
}
END_TEST

START_TEST(an_unsynced_rename_is_undone)
{
	put_durable(root, "a", "new");
	put_durable(root, "b", "old");
	ok(env_rename(root, "a", root, "b", false));
	ck_assert(crash_holds(0, "/", "a", "new"));
	ck_assert(crash_holds(0, "/", "b", "old"));
	ck_assert(crash_holds(KEEP_ALL, "/", "a", "-"));
	ck_assert(crash_holds(KEEP_ALL, "/", "b", "new"));
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/", "a", "-"));
	ck_assert(crash_holds(0, "/", "b", "new"));
}
END_TEST

START_TEST(a_rename_across_folders_needs_both_synced)
{
	struct env_dir *dir = make_dir(root, "d");

	put_durable(root, "a", "1");
	ok(env_rename(root, "a", dir, "b", true));
	ok(env_dir_sync(dir));
	ck_assert(crash_holds(0, "/", "a", "1"));
	ck_assert(crash_holds(0, "/d", "b", "1"));
	ok(env_dir_sync(root));
	ck_assert(crash_holds(0, "/", "a", "-"));
	ck_assert(crash_holds(0, "/d", "b", "1"));
	env_dir_close(dir);
}
END_TEST

START_TEST(links_are_one_file_after_a_crash)
{
	struct env_dir *dir;
	struct env *after;
	uint64_t whole, left, left_before;

	put_durable(root, "a", "abc");
	ok(env_link(root, "a", root, "b"));
	ok(env_dir_space(root, &whole, &left_before));
	ok(env_dir_sync(root));
	after = crash(0, 1);
	ok(env_dir_open(after, "/", &dir));
	ok(env_dir_space(dir, &whole, &left));
	ck_assert_uint_eq(left, left_before); /* counted once */
	ok(env_unlink(dir, "a"));
	ck_assert(holds(after, "/", "b", "abc"));
	env_dir_close(dir);
	env_mem_destroy(after);
}
END_TEST

START_TEST(a_crashed_env_is_independent)
{
	struct env *after;
	struct env_dir *dir;
	uint8_t a[16], b[16];

	put_durable(root, "f", "abc");
	after = crash(0, 1);
	ok(env_dir_open(after, "/", &dir));
	ok(env_unlink(root, "f"));
	put(dir, "g", "new", false);
	ck_assert(holds(after, "/", "f", "abc"));
	ck_assert(holds(env, "/", "g", "-"));
	ok(env_random(env, a, sizeof(a)));
	ok(env_random(after, b, sizeof(b)));
	ck_assert_mem_ne(a, b, sizeof(a));
	env_dir_close(dir);
	env_mem_destroy(after);
}
END_TEST

START_TEST(a_lock_does_not_survive)
{
	struct env_file *lock, *again;
	struct env_dir *dir;
	struct env *after;

	ok(env_dir_lock(root, "LOCK", false, &lock));
	ok(env_dir_sync(root));
	after = crash(0, 1);
	ok(env_dir_open(after, "/", &dir));
	ok(env_dir_lock(dir, "LOCK", false, &again));
	ok(env_close(again));
	ok(env_close(lock));
	env_dir_close(dir);
	env_mem_destroy(after);
}
END_TEST

/* ---- in between -----------------------------------------------------------
 */

/* Over a synced file of 'o', SECTORS sectors of 'n', the last one short. */
static void overwrite_sectors(void)
{
	struct env_file *file;
	struct buf bytes = BUF_INIT;

	ok(buf_resize(&bytes, SECTORS * SECTOR / 2));
	memset(bytes.data, 'o', bytes.len);
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, bytes.data, bytes.len));
	ok(env_sync(file));
	ok(env_dir_sync(root));
	ok(buf_resize(&bytes, SECTORS * SECTOR - 100));
	memset(bytes.data, 'n', bytes.len);
	ok(env_write(file, 0, bytes.data, bytes.len));
	ok(env_close(file));
	buf_release(&bytes);
}

/* What a sector holds throughout; 1 when it is mixed. */
static uint8_t sector_of(const struct buf *bytes, size_t at)
{
	for (size_t i = at; i < at + SECTOR && i < bytes->len; i++)
		if (bytes->data[i] != bytes->data[at])
			return '\1';
	return bytes->data[at];
}

START_TEST(each_unsynced_sector_is_kept_or_lost_whole)
{
	unsigned old = 0, new = 0, zero = 0, sizes = 0;
	struct buf got = BUF_INIT;
	struct env *after;
	size_t first_size = 0;

	overwrite_sectors();
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		after = crash(128, seed);
		read_at(after, "/", "f", &got);
		ck_assert_uint_ge(got.len, SECTORS * SECTOR / 2);
		ck_assert_uint_le(got.len, SECTORS * SECTOR - 100);
		if (seed == 0)
			first_size = got.len;
		sizes += got.len != first_size;
		for (size_t at = 0; at < got.len; at += SECTOR) {
			uint8_t byte = sector_of(&got, at);

			old += byte == 'o';
			new += byte == 'n';
			zero += byte == 0;
			ck_assert_uint_ne(byte, '\1');
		}
		env_mem_destroy(after);
	}
	/* Half of SEEDS * SECTORS, give or take. */
	ck_assert_uint_gt(old, SEEDS * SECTORS / 8);
	ck_assert_uint_gt(new, SEEDS * SECTORS / 8);
	ck_assert_uint_gt(zero, SEEDS);
	ck_assert_uint_gt(sizes, 0);
	buf_release(&got);
}
END_TEST

START_TEST(each_name_of_an_unsynced_rename_is_decided_alone)
{
	unsigned seen[2][2] = {{0, 0}, {0, 0}};
	struct env *after;

	put_durable(root, "a", "1");
	ok(env_rename(root, "a", root, "b", true));
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		after = crash(128, seed);
		seen[holds(after, "/", "a", "1")]
		    [holds(after, "/", "b", "1")]++;
		env_mem_destroy(after);
	}
	for (int a = 0; a < 2; a++)
		for (int b = 0; b < 2; b++)
			ck_assert_uint_gt(seen[a][b], 0);
}
END_TEST

START_TEST(a_folder_under_two_kept_names_has_one)
{
	struct env_dir *dir = make_dir(root, "d");
	struct env *after;
	unsigned names;

	put_durable(dir, "f", "1");
	ok(env_dir_sync(root));
	ok(env_rename(root, "d", root, "e", true));
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		after = crash(128, seed);
		names =
		    holds(after, "/d", "f", "1") + holds(after, "/e", "f", "1");
		ck_assert_uint_le(names, 1);
		env_mem_destroy(after);
	}
	env_dir_close(dir);
}
END_TEST

START_TEST(one_seed_gives_one_outcome)
{
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct env *first, *second;

	overwrite_sectors();
	for (uint64_t seed = 0; seed < 8; seed++) {
		first = crash(100, seed);
		second = crash(100, seed);
		read_at(first, "/", "f", &a);
		read_at(second, "/", "f", &b);
		ck_assert(slice_equal(buf_slice(&a), buf_slice(&b)));
		env_mem_destroy(first);
		env_mem_destroy(second);
	}
	buf_release(&a);
	buf_release(&b);
}
END_TEST

/*
 * Random writes and syncs of one file against the rule itself: each sector is
 * what was synced, or what was last written.
 */
START_TEST(random_writes_crash_by_the_rule)
{
	enum { LEN = 16 * SECTOR, STEPS = 400 };
	static uint8_t now[LEN], synced[LEN];
	struct buf got = BUF_INIT;
	struct env_file *file;
	struct env *after;
	struct gen gen;

	gen_init(&gen, gen_seed(7));
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_write(file, 0, now, LEN));
	ok(env_sync(file));
	ok(env_dir_sync(root));
	for (int step = 0; step < STEPS; step++) {
		size_t at = gen_below(&gen, LEN);
		size_t len = 1 + gen_below(&gen, 1500);

		len = len < LEN - at ? len : LEN - at;
		gen_bytes(&gen, now + at, len);
		ok(env_write(file, at, now + at, len));
		if (gen_below(&gen, 4) == 0) {
			ok(env_sync(file));
			memcpy(synced, now, LEN);
		}
		after = crash((unsigned)gen_below(&gen, 257), gen_u64(&gen));
		read_at(after, "/", "f", &got);
		ck_assert_uint_eq(got.len, LEN);
		for (at = 0; at < LEN; at += SECTOR)
			ck_assert(
			    memcmp(got.data + at, now + at, SECTOR) == 0 ||
			    memcmp(got.data + at, synced + at, SECTOR) == 0);
		env_mem_destroy(after);
	}
	ok(env_close(file));
	buf_release(&got);
}
END_TEST

/* ---- a full disk --------------------------------------------------------- */

START_TEST(a_full_disk_takes_what_fits_and_heals)
{
	struct env_file *file, *other;
	uint64_t whole, left, size;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_open(root, "g", ENV_CREATE, &other));
	env_mem_set_free(env, 10);
	ck_assert_int_eq(env_preallocate(file, 0, 11), LSM_ERR_NOSPACE);
	ok(env_size(file, &size));
	ck_assert_uint_eq(size, 0);
	ok(env_write(file, 0, "123456", 6));
	ck_assert_int_eq(env_write(file, 6, "789012", 6), LSM_ERR_NOSPACE);
	ok(env_size(file, &size));
	ck_assert_uint_eq(size, 10);
	ok(env_write(file, 0, "abc", 3)); /* needs no more room */
	ck_assert_int_eq(env_write(other, 0, "x", 1), LSM_ERR_NOSPACE);
	ok(env_dir_space(root, &whole, &left));
	ck_assert_uint_eq(whole, 10);
	ck_assert_uint_eq(left, 0);

	ok(env_unlink(root, "f")); /* still open: still there */
	ck_assert_int_eq(env_write(other, 0, "x", 1), LSM_ERR_NOSPACE);
	ok(env_close(file));
	ok(env_write(other, 0, "x", 1));
	ok(env_close(other));
}
END_TEST

START_TEST(a_sealed_file_is_not_written)
{
	struct env_file *file;

	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_seal(file));
	ck_assert_int_eq(env_write(file, 0, "x", 1), LSM_ERR_ACCESS);
	ck_assert_int_eq(env_preallocate(file, 0, 1), LSM_ERR_ACCESS);
	ok(env_close(file));
}
END_TEST

static void add_crash_tests(TCase *tc)
{
	tcase_add_test(tc, synced_bytes_under_a_synced_name_survive);
	tcase_add_test(tc, unsynced_bytes_and_size_are_dropped_or_kept);
	tcase_add_test(tc, a_synced_file_is_lost_with_its_unsynced_name);
	tcase_add_test(tc, a_synced_name_of_an_unsynced_file_is_empty);
	tcase_add_test(tc, all_below_a_lost_folder_is_lost);
	tcase_add_test(tc, preallocated_size_is_lost_until_synced);
	tcase_add_test(tc, an_unsynced_removal_comes_back);
	tcase_add_test(tc, an_unsynced_removal_of_a_folder_comes_back_whole);
	tcase_add_test(tc, an_unsynced_rename_is_undone);
	tcase_add_test(tc, a_rename_across_folders_needs_both_synced);
	tcase_add_test(tc, links_are_one_file_after_a_crash);
	tcase_add_test(tc, a_crashed_env_is_independent);
	tcase_add_test(tc, a_lock_does_not_survive);
	tcase_add_test(tc, each_unsynced_sector_is_kept_or_lost_whole);
	tcase_add_test(tc, each_name_of_an_unsynced_rename_is_decided_alone);
	tcase_add_test(tc, a_folder_under_two_kept_names_has_one);
	tcase_add_test(tc, one_seed_gives_one_outcome);
	tcase_add_test(tc, random_writes_crash_by_the_rule);
	tcase_add_test(tc, a_full_disk_takes_what_fits_and_heals);
	tcase_add_test(tc, a_sealed_file_is_not_written);
}

int main(void)
{
	Suite *suite = suite_create("env_mem");
	TCase *tc = tcase_create("crash");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	add_crash_tests(tc);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
