/* SPDX-License-Identifier: MIT */
/* test_pool.c: a file goes when its last user has let go, and not before. */
#include <stdio.h>

#include "store/pool.h"
#include "tests/engine/store/store_kit.h"

enum { MANY = 1000 };

static struct env *env;
static struct env_dir *dir;
static struct pool *pool;
static int wakes;

static void wake(void *ctx)
{
	(void)ctx;
	wakes++;
}

static void setup(void)
{
	ASSERT_OK(env_mem_create(&env));
	ASSERT_OK(env_dir_open(env, "/", &dir));
	ASSERT_OK(pool_create(dir, wake, NULL, &pool));
	wakes = 0;
	kit_log_begin();
}

static void teardown(void)
{
	kit_log_end();
	pool_destroy(pool);
	env_dir_close(dir);
	env_mem_destroy(env);
}

static struct file_id id_of(uint64_t number)
{
	return (struct file_id){7, number};
}

static void make_file(enum file_kind kind, uint64_t number)
{
	char name[FILE_NAME_MAX_BYTES];

	file_name_format(kind, id_of(number), name);
	kit_write_file(env, "/", name, slice_str("x"));
}

static size_t garbage(void)
{
	struct pool_garbage file;
	size_t count = 0;

	while (pool_next_garbage(pool, &file))
		count++;
	return count;
}

START_TEST(last_unref_makes_garbage_and_wakes)
{
	struct pool_garbage file;

	ASSERT_OK(pool_sweep(pool));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_LOG, id_of(1)));
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ck_assert_int_eq(wakes, 0);
	ck_assert(!pool_next_garbage(pool, &file));
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ck_assert_int_eq(wakes, 1);
	ck_assert(pool_next_garbage(pool, &file));
	ck_assert_int_eq(file.kind, FILE_KIND_TABLE);
	ck_assert(file_id_equal(file.id, id_of(1)));
	ck_assert(!pool_next_garbage(pool, &file));
	pool_unref(pool, FILE_KIND_LOG, id_of(1));
	ck_assert_uint_eq(garbage(), 1);
}
END_TEST

START_TEST(many_files_are_each_counted)
{
	ASSERT_OK(pool_sweep(pool));
	for (uint64_t i = 1; i <= MANY; i++)
		ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(i)));
	for (uint64_t i = 1; i <= MANY; i += 2)
		pool_unref(pool, FILE_KIND_TABLE, id_of(i));
	ck_assert_uint_eq(garbage(), MANY / 2);
	for (uint64_t i = 2; i <= MANY; i += 2)
		pool_unref(pool, FILE_KIND_TABLE, id_of(i));
	ck_assert_uint_eq(garbage(), MANY / 2);
}
END_TEST

START_TEST(nothing_is_garbage_once_all_is_kept)
{
	ASSERT_OK(pool_sweep(pool));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(2)));
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	pool_keep_all(pool);
	pool_unref(pool, FILE_KIND_TABLE, id_of(2));
	ck_assert_uint_eq(garbage(), 0);
}
END_TEST

/* Which files the branches name is known only then. */
START_TEST(nothing_is_garbage_before_the_sweep)
{
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ck_assert_int_eq(wakes, 0);
	ck_assert_uint_eq(garbage(), 0);
	/* Another branch names it. */
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	make_file(FILE_KIND_TABLE, 1);
	ASSERT_OK(pool_sweep(pool));
	ck_assert_uint_eq(garbage(), 0);
	ck_assert_uint_eq(kit_files(env, "/", ".sst"), 1);
}
END_TEST

START_TEST(sweep_deletes_what_nobody_names)
{
	make_file(FILE_KIND_TABLE, 1);
	make_file(FILE_KIND_TABLE, 2);
	make_file(FILE_KIND_LOG, 1);
	make_file(FILE_KIND_LIST, 3);
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_LIST, id_of(3)));
	ASSERT_OK(pool_sweep(pool));
	ck_assert_uint_eq(kit_files(env, "/", ""), 2);
	ck_assert_uint_eq(kit_files(env, "/", "-1.sst"), 1);
	ck_assert_uint_eq(kit_files(env, "/", "-3.list"), 1);
}
END_TEST

START_TEST(sweep_leaves_foreign_names_alone)
{
	kit_write_file(env, "/", "holiday.jpg", slice_str("x"));
	kit_write_file(env, "/", "7-1.sst", slice_str("x"));
	ASSERT_OK(pool_sweep(pool));
	ck_assert_uint_eq(kit_files(env, "/", ""), 2);
	ck_assert(kit_log_has("holiday.jpg", "left alone"));
}
END_TEST

START_TEST(sweep_deletes_nothing_once_all_is_kept)
{
	make_file(FILE_KIND_TABLE, 1);
	pool_keep_all(pool);
	ASSERT_OK(pool_sweep(pool));
	ck_assert_uint_eq(kit_files(env, "/", ""), 1);
}
END_TEST

/* ---- segments ------------------------------------------------------------- */

static void tell(uint64_t table, uint64_t first, uint64_t second)
{
	struct segment_use items[2] = {{.id = {7, first}}, {.id = {7, second}}};
	struct segment_uses uses = {items, 2, 2};

	pool_lead(pool, id_of(table), &uses);
}

static unsigned users(uint64_t segment)
{
	return pool_refs(pool, FILE_KIND_SEGMENT, id_of(segment));
}

START_TEST(segments_stay_as_long_as_a_table_that_leads_to_them)
{
	ASSERT_OK(pool_sweep(pool));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(2)));
	tell(1, 10, 11);
	tell(1, 10, 11); /* again: nothing new */
	tell(2, 11, 12);
	ck_assert_uint_eq(users(10), 1);
	ck_assert_uint_eq(users(11), 2);
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ck_assert_uint_eq(users(10), 1);
	ck_assert_uint_eq(garbage(), 0);
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ck_assert_int_gt(wakes, 0);
	ck_assert_uint_eq(garbage(), 2); /* the table and 10 */
	ck_assert_uint_eq(users(11), 1);
	pool_unref(pool, FILE_KIND_TABLE, id_of(2));
	ck_assert_uint_eq(garbage(), 3);
	tell(2, 11, 12); /* nobody counts it: not heard */
	ck_assert_uint_eq(users(11), 0);
}
END_TEST

START_TEST(segments_of_tables_that_no_manifest_names_are_swept)
{
	for (uint64_t i = 1; i <= 2; i++)
		make_file(FILE_KIND_TABLE, i);
	for (uint64_t i = 10; i <= 12; i++)
		make_file(FILE_KIND_SEGMENT, i);
	tell(1, 10, 11); /* read before it is counted */
	tell(2, 11, 12);
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	/* Counted, given up, counted again, as manifests are read. */
	pool_unref(pool, FILE_KIND_TABLE, id_of(1));
	ASSERT_OK(pool_ref(pool, FILE_KIND_TABLE, id_of(1)));
	ASSERT_OK(pool_sweep(pool));
	ck_assert_uint_eq(kit_files(env, "/", ".sst"), 1);
	ck_assert_uint_eq(kit_files(env, "/", ".seg"), 2);
	ck_assert_uint_eq(users(10), 1);
	ck_assert_uint_eq(users(11), 1);
	ck_assert_uint_eq(users(12), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pool");
	TCase *tc = tcase_create("pool");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, last_unref_makes_garbage_and_wakes);
	tcase_add_test(tc, many_files_are_each_counted);
	tcase_add_test(tc, nothing_is_garbage_once_all_is_kept);
	tcase_add_test(tc, nothing_is_garbage_before_the_sweep);
	tcase_add_test(tc, sweep_deletes_what_nobody_names);
	tcase_add_test(tc, sweep_leaves_foreign_names_alone);
	tcase_add_test(tc, sweep_deletes_nothing_once_all_is_kept);
	tcase_add_test(tc, segments_stay_as_long_as_a_table_that_leads_to_them);
	tcase_add_test(tc, segments_of_tables_that_no_manifest_names_are_swept);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
