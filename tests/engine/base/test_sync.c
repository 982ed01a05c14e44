/* SPDX-License-Identifier: MIT */
/* test_sync.c: mutexes exclude and keep their order, conditions wake, threads
   leave signals to others. */
#include <check.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

#include "base/sync.h"
#include "tests/support/alloc_fault.h"

enum { THREADS = 4, ROUNDS = 5000, NS_PER_MS = 1000000 };

static struct sync_mutex outer = SYNC_MUTEX_INIT(SYNC_RANK_OUTER);
static struct sync_mutex tree = SYNC_MUTEX_INIT(SYNC_RANK_TREE);
static struct sync_mutex leaf = SYNC_MUTEX_INIT(SYNC_RANK_LEAF);

static struct sync_cond changed;
static unsigned shared; /* guarded by tree */

static void count_up(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < ROUNDS; i++) {
		sync_lock(&outer);
		sync_lock(&tree);
		sync_assert_held(&tree);
		shared++;
		sync_unlock(&tree);
		sync_unlock(&outer);
	}
}

START_TEST(a_mutex_lets_one_thread_in)
{
	struct sync_thread threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
		    sync_thread_start(&threads[i], "count", count_up, NULL),
		    LSM_OK);
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	ck_assert_uint_eq(shared, THREADS * ROUNDS);
}
END_TEST

START_TEST(rising_ranks_nest_and_unlock_in_any_order)
{
	struct sync_mutex mine;

	sync_mutex_init(&mine, SYNC_RANK_CREDIT);
	for (int i = 0; i < 2; i++) {
		sync_lock(&outer);
		sync_lock(&tree);
		sync_lock(&mine);
		sync_lock(&leaf);
		sync_unlock(&outer);
		sync_unlock(&mine);
		sync_assert_held(&tree);
		sync_assert_held(&leaf);
		sync_unlock(&leaf);
		sync_lock(&leaf);
		sync_unlock(&tree);
		sync_unlock(&leaf);
	}
	sync_mutex_destroy(&mine);
}
END_TEST

#ifndef NDEBUG

static struct sync_mutex other_tree = SYNC_MUTEX_INIT(SYNC_RANK_TREE);

START_TEST(a_lower_rank_under_a_higher_aborts)
{
	sync_lock(&leaf);
	sync_lock(&tree);
}
END_TEST

START_TEST(a_lower_rank_aborts_after_unlocking_out_of_order)
{
	sync_lock(&outer);
	sync_lock(&leaf);
	sync_unlock(&outer);
	sync_lock(&tree);
}
END_TEST

START_TEST(an_equal_rank_aborts)
{
	sync_lock(&tree);
	sync_lock(&other_tree);
}
END_TEST

START_TEST(locking_twice_aborts)
{
	sync_lock(&tree);
	sync_lock(&tree);
}
END_TEST

START_TEST(waiting_under_a_higher_rank_aborts)
{
	sync_cond_init(&changed);
	sync_lock(&tree);
	sync_lock(&leaf);
	sync_wait_until(&changed, &tree, sync_now_ns());
}
END_TEST

START_TEST(asserting_an_unlocked_mutex_aborts)
{
	sync_lock(&tree);
	sync_unlock(&tree);
	sync_assert_held(&tree);
}
END_TEST

START_TEST(asserting_another_mutex_of_the_rank_aborts)
{
	sync_lock(&other_tree);
	sync_unlock(&other_tree);
	sync_lock(&tree);
	sync_assert_held(&other_tree);
}
END_TEST

static void lock_other_tree_for_good(void *ctx)
{
	(void)ctx;
	sync_lock(&other_tree);
}

START_TEST(asserting_another_threads_mutex_of_the_rank_aborts)
{
	struct sync_thread thread;

	if (sync_thread_start(&thread, "lock", lock_other_tree_for_good,
	                      NULL) != LSM_OK)
		exit(EXIT_FAILURE);
	sync_thread_join(&thread);
	sync_lock(&tree);
	sync_assert_held(&other_tree);
}
END_TEST

START_TEST(unlocking_what_is_not_held_aborts)
{
	sync_unlock(&tree);
}
END_TEST

static void assert_held_by_the_other(void *ctx)
{
	(void)ctx;
	sync_assert_held(&tree);
}

START_TEST(a_mutex_of_another_thread_is_not_held)
{
	struct sync_thread thread;

	sync_lock(&tree);
	if (sync_thread_start(&thread, "assert", assert_held_by_the_other,
	                      NULL) != LSM_OK)
		exit(EXIT_FAILURE);
	sync_thread_join(&thread);
}
END_TEST

#endif

/* Add one each time that `shared` is even, ROUNDS times. */
static void answer(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < ROUNDS; i++) {
		sync_lock(&tree);
		while (shared % 2 == 1)
			sync_wait(&changed, &tree);
		sync_assert_held(&tree);
		shared++;
		sync_signal(&changed);
		sync_unlock(&tree);
	}
}

START_TEST(a_signal_wakes_the_waiter)
{
	struct sync_thread thread;

	sync_cond_init(&changed);
	ck_assert_int_eq(sync_thread_start(&thread, "answer", answer, NULL),
	                 LSM_OK);
	for (int i = 0; i < ROUNDS; i++) {
		sync_lock(&tree);
		while (shared % 2 == 0)
			sync_wait(&changed, &tree);
		shared++;
		sync_signal(&changed);
		sync_unlock(&tree);
	}
	sync_thread_join(&thread);
	ck_assert_uint_eq(shared, 2 * ROUNDS);
	sync_cond_destroy(&changed);
}
END_TEST

static bool go;          /* guarded by tree */
static unsigned waiting; /* guarded by tree */

static void wait_for_go(void *ctx)
{
	(void)ctx;
	sync_lock(&tree);
	waiting++;
	while (!go)
		sync_wait(&changed, &tree);
	waiting--;
	sync_unlock(&tree);
}

START_TEST(a_broadcast_wakes_all)
{
	struct sync_thread threads[THREADS];
	unsigned seen = 0;

	sync_cond_init(&changed);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
		    sync_thread_start(&threads[i], "wait", wait_for_go, NULL),
		    LSM_OK);
	/* That the waiters let go of the mutex is why this ends. */
	while (seen < THREADS) {
		sync_lock(&tree);
		seen = waiting;
		sync_unlock(&tree);
	}
	sync_lock(&tree);
	go = true;
	sync_broadcast(&changed);
	sync_unlock(&tree);
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	ck_assert_uint_eq(waiting, 0);
	sync_cond_destroy(&changed);
}
END_TEST

START_TEST(a_deadline_is_kept_and_never_early)
{
	uint64_t deadline;

	sync_cond_init(&changed);
	sync_lock(&outer);
	sync_lock(&tree);
	deadline = sync_now_ns() + 20 * NS_PER_MS;
	/* Unasked wake-ups are allowed; a false before the time is not. */
	while (sync_wait_until(&changed, &tree, deadline))
		;
	ck_assert_uint_ge(sync_now_ns(), deadline);
	sync_assert_held(&tree);
	ck_assert(!sync_wait_until(&changed, &tree, 0));
	sync_unlock(&tree);
	sync_unlock(&outer);
	sync_cond_destroy(&changed);
}
END_TEST

static void set_go(void *ctx)
{
	(void)ctx;
	sync_lock(&tree);
	go = true;
	sync_signal(&changed);
	sync_unlock(&tree);
}

START_TEST(a_signal_comes_before_a_far_deadline)
{
	struct sync_thread thread;
	bool in_time = true;

	sync_cond_init(&changed);
	ck_assert_int_eq(sync_thread_start(&thread, "set", set_go, NULL),
	                 LSM_OK);
	sync_lock(&tree);
	while (!go && in_time)
		in_time = sync_wait_until(&changed, &tree, UINT64_MAX);
	sync_unlock(&tree);
	sync_thread_join(&thread);
	ck_assert(in_time);
	sync_cond_destroy(&changed);
}
END_TEST

static void read_mask(void *ctx)
{
	pthread_sigmask(SIG_SETMASK, NULL, ctx);
}

static atomic_uint word, woken;

static void sleep_on_word(void *ctx)
{
	unsigned *seen = ctx;

	while (atomic_load(&word) == *seen)
		sync_word_wait(&word, *seen, 0, SYNC_ANYBODY);
	atomic_fetch_add(&woken, 1);
}

START_TEST(a_word_that_changed_wakes_all_who_sleep_on_it)
{
	struct sync_thread sleepers[3];
	unsigned seen = 7;

	atomic_init(&word, seen);
	atomic_init(&woken, 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(sync_thread_start(&sleepers[i], "sleeper",
		                                   sleep_on_word, &seen),
		                 LSM_OK);
	ck_assert_uint_eq(atomic_load(&woken), 0);
	atomic_fetch_add(&word, 1);
	sync_word_wake(&word, INT_MAX, SYNC_ANYBODY);
	for (int i = 0; i < 3; i++)
		sync_thread_join(&sleepers[i]);
	ck_assert_uint_eq(atomic_load(&woken), 3);
}
END_TEST

START_TEST(a_word_is_not_slept_on_once_it_changed_or_time_is_over)
{
	uint64_t start = sync_now_ns();

	atomic_init(&word, 1);
	sync_word_wait(&word, 2, 0, SYNC_ANYBODY);
	sync_word_wait(&word, 1, 1, SYNC_ANYBODY);
	/* It may wake early, so not just once. */
	while (sync_now_ns() < start + 2000000)
		sync_word_wait(&word, 1, start + 2000000, SYNC_ANYBODY);
	sync_word_wake(&word, 1, SYNC_ANYBODY); /* nobody */
}
END_TEST

static void count_wait(void *ctx)
{
	++*(unsigned *)ctx;
}

START_TEST(a_thread_is_told_before_each_of_its_waits)
{
	atomic_uint mine = 1;
	unsigned waits = 0;

	sync_cond_init(&changed);
	sync_on_wait(count_wait, &waits);
	sync_word_wait(&mine, 1, sync_now_ns() + 1, SYNC_ANYBODY);
	ck_assert_uint_eq(waits, 1);
	sync_sleep_ns(1);
	ck_assert_uint_eq(waits, 2);
	sync_will_wait();
	ck_assert_uint_eq(waits, 3);
	sync_lock(&tree);
	(void)sync_wait_until(&changed, &tree, sync_now_ns() + 1);
	sync_unlock(&tree);
	ck_assert_uint_eq(waits, 4);
	sync_on_wait(NULL, NULL);
	sync_sleep_ns(1);
	ck_assert_uint_eq(waits, 4);
	sync_cond_destroy(&changed);
}
END_TEST

START_TEST(a_thread_has_signals_blocked_and_its_maker_has_not)
{
	struct sync_thread thread;
	sigset_t in_thread, here;

	sigemptyset(&in_thread);
	ck_assert_int_eq(
	    sync_thread_start(&thread, "mask", read_mask, &in_thread), LSM_OK);
	sync_thread_join(&thread);
	ck_assert(sigismember(&in_thread, SIGTERM));
	ck_assert(sigismember(&in_thread, SIGINT));
	ck_assert(sigismember(&in_thread, SIGCHLD));
	ck_assert(!sigismember(&in_thread, SIGSEGV));
	pthread_sigmask(SIG_SETMASK, NULL, &here);
	ck_assert(!sigismember(&here, SIGTERM));
}
END_TEST

static void read_name(void *ctx)
{
	pthread_getname_np(pthread_self(), ctx, 16);
}

START_TEST(a_thread_has_its_name)
{
	struct sync_thread thread;
	char name[16] = "";

	ck_assert_int_eq(
	    sync_thread_start(&thread, "fifteen-letters", read_name, name),
	    LSM_OK);
	sync_thread_join(&thread);
	ck_assert_str_eq(name, "fifteen-letters");
}
END_TEST

START_TEST(joining_twice_or_what_never_started_returns)
{
	struct sync_thread thread = {.started = false};
	enum lsm_err err;

	sync_thread_join(&thread);
	alloc_fault_arm(1);
	err = sync_thread_start(&thread, "none", set_go, NULL);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	sync_thread_join(&thread);
	ck_assert(!go);

	sync_cond_init(&changed);
	ck_assert_int_eq(sync_thread_start(&thread, "once", set_go, NULL),
	                 LSM_OK);
	sync_thread_join(&thread);
	sync_thread_join(&thread);
	ck_assert(go);
	sync_cond_destroy(&changed);
}
END_TEST

START_TEST(time_never_goes_back)
{
	uint64_t last = sync_now_ns();

	for (int i = 0; i < 10000; i++) {
		uint64_t now = sync_now_ns();

		ck_assert_uint_ge(now, last);
		last = now;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_mutex_lets_one_thread_in);
	tcase_add_test(tc, rising_ranks_nest_and_unlock_in_any_order);
	tcase_add_test(tc, a_signal_wakes_the_waiter);
	tcase_add_test(tc, a_broadcast_wakes_all);
	tcase_add_test(tc, a_deadline_is_kept_and_never_early);
	tcase_add_test(tc, a_signal_comes_before_a_far_deadline);
	tcase_add_test(tc, a_word_that_changed_wakes_all_who_sleep_on_it);
	tcase_add_test(tc,
	               a_word_is_not_slept_on_once_it_changed_or_time_is_over);
	tcase_add_test(tc, a_thread_is_told_before_each_of_its_waits);
	tcase_add_test(tc, a_thread_has_signals_blocked_and_its_maker_has_not);
	tcase_add_test(tc, a_thread_has_its_name);
	tcase_add_test(tc, joining_twice_or_what_never_started_returns);
	tcase_add_test(tc, time_never_goes_back);
#ifndef NDEBUG
	tcase_add_test_raise_signal(tc, a_lower_rank_under_a_higher_aborts,
	                            SIGABRT);
	tcase_add_test_raise_signal(
	    tc, a_lower_rank_aborts_after_unlocking_out_of_order, SIGABRT);
	tcase_add_test_raise_signal(tc, an_equal_rank_aborts, SIGABRT);
	tcase_add_test_raise_signal(tc, locking_twice_aborts, SIGABRT);
	tcase_add_test_raise_signal(tc, waiting_under_a_higher_rank_aborts,
	                            SIGABRT);
	tcase_add_test_raise_signal(tc, asserting_an_unlocked_mutex_aborts,
	                            SIGABRT);
	tcase_add_test_raise_signal(
	    tc, asserting_another_mutex_of_the_rank_aborts, SIGABRT);
	tcase_add_test_raise_signal(
	    tc, asserting_another_threads_mutex_of_the_rank_aborts, SIGABRT);
	tcase_add_test_raise_signal(tc, unlocking_what_is_not_held_aborts,
	                            SIGABRT);
	tcase_add_test_raise_signal(tc, a_mutex_of_another_thread_is_not_held,
	                            SIGABRT);
#endif
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
