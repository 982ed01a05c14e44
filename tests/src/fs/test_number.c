/* SPDX-License-Identifier: MIT */
/*
 * test_number.c: inode numbers lie together by directory, are given once, and
 * are used only when the counter of the store covers them.
 */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/number.h"
#include "fs/schema.h"

enum { FIRST = 16, THREADS = 4, TAKES = 20000 };

static struct number_pool pool;

static void setup(void)
{
	number_pool_init(&pool, FIRST);
}

static void teardown(void)
{
	number_pool_release(&pool);
}

/* Take a number and have its batch written; 0 when it could not be had. */
static uint64_t take(uint64_t dir, bool written)
{
	uint64_t ino, delta;

	if (number_take(&pool, dir, &ino, &delta) != 0)
		return 0;
	if (delta != 0)
		number_settle(&pool, delta, written);
	return ino;
}

START_TEST(siblings_get_neighbouring_numbers)
{
	uint64_t one = take(1, true);
	uint64_t two = take(2, true);

	ck_assert_uint_eq(one, FIRST);
	ck_assert_uint_eq(two, FIRST + NUMBER_WINDOW_MIN);
	for (uint64_t i = 1; i < NUMBER_WINDOW_MIN; i++) {
		ck_assert_uint_eq(take(1, true), one + i);
		ck_assert_uint_eq(take(2, true), two + i);
	}
}
END_TEST

START_TEST(windows_double_up_to_a_limit)
{
	uint64_t last = take(1, true);
	uint64_t run = 1;
	uint64_t longest = 0;

	for (int i = 0; i < 20000; i++) {
		uint64_t ino = take(1, true);

		if (i % 7 == 0)
			(void)take(2, true); /* comes in between */
		run = ino == last + 1 ? run + 1 : 1;
		longest = run > longest ? run : longest;
		ck_assert_uint_gt(ino, last);
		last = ino;
	}
	ck_assert_uint_ge(longest, NUMBER_WINDOW_MAX);
}
END_TEST

START_TEST(first_number_past_the_counter_moves_it_by_a_step)
{
	uint64_t ino, delta;

	ck_assert_int_eq(number_take(&pool, 1, &ino, &delta), 0);
	ck_assert_uint_eq(delta, NUMBER_STEP);
	number_settle(&pool, delta, true);
	ck_assert_int_eq(number_take(&pool, 1, &ino, &delta), 0);
	ck_assert_uint_eq(delta, 0);
}
END_TEST

START_TEST(counter_that_was_not_written_is_moved_by_the_next)
{
	uint64_t ino, delta;

	ck_assert_uint_ne(take(1, false), 0);
	ck_assert_int_eq(number_take(&pool, 1, &ino, &delta), 0);
	ck_assert_uint_eq(delta, NUMBER_STEP);
	number_settle(&pool, delta, true);
}
END_TEST

START_TEST(numbers_end)
{
	uint64_t ino, delta;

	number_pool_release(&pool);
	number_pool_init(&pool, SCHEMA_INO_LIMIT - NUMBER_WINDOW_MIN);
	ck_assert_uint_eq(take(1, true), SCHEMA_INO_LIMIT - NUMBER_WINDOW_MIN);
	ck_assert_int_eq(number_take(&pool, 2, &ino, &delta), ENOSPC);
	ck_assert_uint_eq(delta, 0);
}
END_TEST

/* What a store would have counted, as the batches were written. */
static atomic_uint_fast64_t counted;

struct worker {
	struct sync_thread thread;
	uint64_t dir;
	uint64_t sum; /* of the numbers taken */
	bool covered; /* each was under the counter when it was used */
};

static void work(void *ctx)
{
	struct worker *worker = ctx;

	worker->covered = true;
	for (int i = 0; i < TAKES; i++) {
		uint64_t ino, delta;

		if (number_take(&pool, worker->dir, &ino, &delta) != 0) {
			worker->covered = false;
			return;
		}
		/* The batch: its delta and its number become visible together.
		 */
		if (delta != 0 && i % 2 == 0) {
			number_settle(&pool, delta, false);
			continue;
		}
		if (atomic_fetch_add(&counted, delta) + delta <= ino)
			worker->covered = false;
		if (delta != 0)
			number_settle(&pool, delta, true);
		worker->sum += ino;
	}
}

START_TEST(no_number_is_used_before_the_counter_covers_it)
{
	static struct worker workers[THREADS];

	atomic_store(&counted, FIRST);
	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i].dir = i + 1;
		ck_assert_int_eq(sync_thread_start(&workers[i].thread, "worker",
		                                   work, &workers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&workers[i].thread);
	for (int i = 0; i < THREADS; i++) {
		ck_assert(workers[i].covered);
		ck_assert_uint_gt(workers[i].sum, 0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("number");
	TCase *tc = tcase_create("number");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, siblings_get_neighbouring_numbers);
	tcase_add_test(tc, windows_double_up_to_a_limit);
	tcase_add_test(tc, first_number_past_the_counter_moves_it_by_a_step);
	tcase_add_test(tc, counter_that_was_not_written_is_moved_by_the_next);
	tcase_add_test(tc, numbers_end);
	tcase_add_test(tc, no_number_is_used_before_the_counter_covers_it);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
