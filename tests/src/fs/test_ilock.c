/* SPDX-License-Identifier: MIT */
/*
 * test_ilock.c: sets of inode locks exclude each other, wait in turn, and never
 * for each other in a circle. test_number.c has the numbers.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "fs/ilock.h"
#include "tests/support/gen.h"

enum { THREADS = 4, ROUNDS = 5000, INODES = 6, SEED = 11 };

static struct ilock_table table;

static void setup(void)
{
	ilock_table_init(&table);
}

static void teardown(void)
{
	ilock_table_release(&table);
}

static void set_of(struct ilock_set *set, uint64_t a, uint64_t b)
{
	ilock_set_init(set);
	ilock_set_add(set, a);
	ilock_set_add(set, b);
}

START_TEST(set_is_in_order_whatever_the_order_of_naming)
{
	struct ilock_set set;

	ilock_set_init(&set);
	ilock_set_add(&set, 9);
	ilock_set_add(&set, 3);
	ilock_set_add(&set, 7);
	ilock_set_add(&set, 3);
	ilock_set_add(&set, ILOCK_MOVE);
	ck_assert_uint_eq(set.count, 4);
	for (size_t i = 1; i < set.count; i++)
		ck_assert_uint_lt(set.places[i - 1].ino, set.places[i].ino);
	ck_assert_uint_eq(set.places[0].ino, ILOCK_MOVE);
}
END_TEST

START_TEST(what_is_held_is_not_given_again)
{
	struct ilock_set held, other;

	set_of(&held, 1, 2);
	ilock_acquire(&table, &held);
	set_of(&other, 2, 3);
	ck_assert(!ilock_try(&table, &other));
	/* The one that was free is free again. */
	set_of(&other, 3, 4);
	ck_assert(ilock_try(&table, &other));
	ilock_release(&table, &other);
	ilock_release(&table, &held);
	set_of(&other, 2, 3);
	ck_assert(ilock_try(&table, &other));
	ilock_release(&table, &other);
}
END_TEST

START_TEST(inodes_of_one_stripe_are_not_one_lock)
{
	struct ilock_set one, other;

	set_of(&one, 5, 5);
	set_of(&other, 5 + ILOCK_STRIPES, 5 + 2 * ILOCK_STRIPES);
	ilock_acquire(&table, &one);
	ck_assert(ilock_try(&table, &other));
	ilock_release(&table, &one);
	ilock_release(&table, &other);
}
END_TEST

START_TEST(release_of_what_is_not_held_is_nothing)
{
	struct ilock_set set;

	set_of(&set, 1, 2);
	ilock_release(&table, &set);
	ck_assert(ilock_try(&table, &set));
	ilock_release(&table, &set);
	ilock_release(&table, &set);
}
END_TEST

struct worker {
	struct sync_thread thread;
	uint64_t seed;
	bool excluded; /* nobody else was seen inside */
};

static atomic_int inside[INODES];

static bool enter(const struct ilock_set *set)
{
	bool alone = true;

	for (size_t i = 0; i < set->count; i++)
		alone = atomic_fetch_add(&inside[set->places[i].ino], 1) == 0 &&
		        alone;
	return alone;
}

static void leave(const struct ilock_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		atomic_fetch_sub(&inside[set->places[i].ino], 1);
}

static void work(void *ctx)
{
	struct worker *worker = ctx;
	struct gen gen;

	gen_init(&gen, worker->seed);
	worker->excluded = true;
	for (int i = 0; i < ROUNDS; i++) {
		struct ilock_set set;

		ilock_set_init(&set);
		for (uint64_t n = 1 + gen_below(&gen, 4); n > 0; n--)
			ilock_set_add(&set, gen_below(&gen, INODES));
		if (gen_below(&gen, 4) != 0)
			ilock_acquire(&table, &set);
		else if (!ilock_try(&table, &set))
			continue;
		worker->excluded = enter(&set) && worker->excluded;
		leave(&set);
		ilock_release(&table, &set);
	}
}

START_TEST(overlapping_sets_exclude_each_other_and_come_to_an_end)
{
	static struct worker workers[THREADS];
	uint64_t seed = gen_seed(SEED);

	for (uint64_t i = 0; i < THREADS; i++) {
		workers[i].seed = seed + i;
		ck_assert_int_eq(sync_thread_start(&workers[i].thread, "worker",
		                                   work, &workers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&workers[i].thread);
	for (int i = 0; i < THREADS; i++)
		ck_assert(workers[i].excluded);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ilock");
	TCase *tc = tcase_create("ilock");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, set_is_in_order_whatever_the_order_of_naming);
	tcase_add_test(tc, what_is_held_is_not_given_again);
	tcase_add_test(tc, inodes_of_one_stripe_are_not_one_lock);
	tcase_add_test(tc, release_of_what_is_not_held_is_nothing);
	tcase_add_test(tc,
	               overlapping_sets_exclude_each_other_and_come_to_an_end);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
