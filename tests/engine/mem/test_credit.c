/* SPDX-License-Identifier: MIT */
/*
 * test_credit.c: one test per clause of the credit pool's contract.
 *
 * The cases "queue" (here) and "states" are stepped by hand, mostly in one
 * thread with takers that have none, so that each outcome is exact;
 * mutate_credit.sh runs these two. The case "threads" runs writers against a
 * flusher.
 */
#include <stdlib.h>

#include "tests/engine/mem/credit_kit.h"

/* ---- who gets credit, and in which order ------------------------------ */

START_TEST(first_come_first_served_nobody_barges_in)
{
	struct probe large, small;

	take_now(account, 60);
	ck_assert(!take(&large, 50));
	ck_assert(!take(&small, 10)); /* 10 bytes are free: still no */
	assert_waiting(&small);
	credit_give(account, 60);
	assert_called(&large, LSM_OK);
	assert_called(&small, LSM_OK);
	ck_assert_uint_lt(large.turn, small.turn);
	ck_assert_uint_eq(used_now(), 60);
	credit_give(account, 60);
}
END_TEST

START_TEST(hand_off_calls_exactly_those_who_fit)
{
	struct probe probe[4];

	take_now(account, 100);
	ck_assert(!take(&probe[0], 30));
	ck_assert(!take(&probe[1], 30));
	ck_assert(!take(&probe[2], 50));
	ck_assert(!take(&probe[3], 1));
	credit_give(account, 29);
	assert_waiting(&probe[0]);
	credit_give(account, 31);
	assert_called(&probe[0], LSM_OK);
	assert_called(&probe[1], LSM_OK);
	assert_waiting(&probe[2]);
	ck_assert_uint_eq(used_now(), 100); /* the giver did the accounting */
	credit_give(account, 49);
	assert_waiting(&probe[2]);
	assert_waiting(&probe[3]); /* would fit, stands behind */
	credit_give(account, 1);
	assert_called(&probe[2], LSM_OK);
	assert_waiting(&probe[3]);
	credit_give(account, 100);
	assert_called(&probe[3], LSM_OK);
	assert_called(&probe[0], LSM_OK); /* nobody was called twice */
	credit_give(account, 1);
}
END_TEST

START_TEST(hand_off_wakes_a_thread)
{
	struct taker taker;

	take_now(account, LIMIT);
	start_taker(&taker, account, 40, false);
	await_waiters(1);
	credit_give(account, 40);
	ck_assert_uint_eq(used_now(), LIMIT);
	assert_taker_gets(&taker, LSM_OK);
	credit_give(account, LIMIT);
}
END_TEST

START_TEST(oversize_is_admitted_alone)
{
	struct probe large, small;

	take_now(account, 1);
	ck_assert(!take(&large, LIMIT + 50));
	ck_assert(!take(&small, 1));
	ck_assert_uint_eq(stats_now().oversize, 0);
	credit_give(account, 1);
	assert_called(&large, LSM_OK);
	assert_waiting(&small);
	ck_assert_uint_eq(used_now(), LIMIT + 50);
	ck_assert_uint_eq(stats_now().oversize, 1);
	credit_give(account, 49); /* used is over the limit by one */
	assert_waiting(&small);
	credit_give(account, 1); /* used is the limit */
	assert_waiting(&small);
	credit_give(account, 1);
	assert_called(&small, LSM_OK);
	credit_give(account, 100);
	take_now(account, LIMIT + 1); /* at once when nothing is used */
	ck_assert_uint_eq(stats_now().peak_bytes, LIMIT + 50);
	credit_give(account, LIMIT + 1);
}
END_TEST

START_TEST(surplus_comes_back_after_insertion)
{
	struct probe probe;

	take_now(account, 80);
	ck_assert(!take(&probe, 50));
	credit_give(account, 60);
	credit_inserted(account, 20, 0);
	assert_called(&probe, LSM_OK);
	ck_assert_uint_eq(used_now(), 70);
	ck_assert_uint_eq(credit_account_mutable(account), 20);
	ck_assert_uint_eq(kicks, 0); /* nobody waits: no flush for 20 bytes */
	credit_dropped(account, 20);
	credit_give(account, 70);
}
END_TEST

START_TEST(negative_is_refused)
{
	static const int64_t amounts[] = {-1, -LIMIT, INT64_MIN};
	struct probe probe = {.waiter.granted = note_granted};
	bool granted;

	for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
		ck_assert_int_eq(credit_take(account, amounts[i], false),
		                 LSM_ERR_INVALID);
		ck_assert_int_eq(credit_take_async(account, amounts[i], false,
		                                   &probe.waiter, &granted),
		                 LSM_ERR_INVALID);
		ck_assert(!granted);
	}
	assert_waiting(&probe);
	ck_assert_uint_eq(used_now(), 0);
	ck_assert_uint_eq(stats_now().waits, 0);
}
END_TEST

START_TEST(zero_takes_nothing)
{
	struct probe probe;

	take_now(account, LIMIT);
	ck_assert(!take(&probe, 1));
	take_now(account, 0); /* the pool is full and has a queue */
	ck_assert_int_eq(credit_take(account, 0, false), LSM_OK);
	ck_assert_uint_eq(used_now(), LIMIT);
	credit_give(account, 0);
	ck_assert_uint_eq(used_now(), LIMIT);
	assert_waiting(&probe);
	credit_give(account, LIMIT);
	credit_give(account, 1);
}
END_TEST

START_TEST(amounts_that_overflow_are_refused)
{
	struct probe probe;

	/* With a limit they wait like any oversize batch. */
	take_now(account, 60);
	ck_assert(!take(&probe, INT64_MAX));
	credit_give(account, 60);
	assert_called(&probe, LSM_OK);
	ck_assert_uint_eq(used_now(), INT64_MAX);
	ck_assert(!take(&probe, INT64_MAX));
	credit_give(account, INT64_MAX);
	assert_called(&probe, LSM_OK);
	credit_give(account, INT64_MAX);
	stop();

	start(0);
	take_now(account, INT64_MAX);
	take_now(account, INT64_MAX);
	ck_assert_int_eq(credit_take(account, 2, false), LSM_ERR_INVALID);
	take_now(account, 1);
	ck_assert_uint_eq(used_now(), UINT64_MAX);
	credit_give(account, UINT64_MAX);
	ck_assert_uint_eq(used_now(), 0);
}
END_TEST

START_TEST(limit_of_zero_or_less_disables)
{
	static const int64_t limits[] = {0, -1, INT64_MIN};

	stop();
	start(limits[_i]);
	for (int i = 0; i < 10; i++)
		fill(account, LIMIT);
	ck_assert_int_eq(credit_take(account, LIMIT, false), LSM_OK);
	ck_assert_int_eq(stats_now().limit_bytes, 0);
	ck_assert_uint_eq(used_now(), 11 * LIMIT); /* still counted */
	ck_assert_uint_eq(stats_now().peak_bytes, 11 * LIMIT);
	ck_assert_uint_eq(stats_now().waits, 0);
	ck_assert_uint_eq(stats_now().oversize, 0);
	ck_assert_uint_eq(kicks, 0);
	credit_fail(account, LSM_ERR_CLOSED);
	ck_assert_int_eq(credit_take(account, 1, false), LSM_ERR_CLOSED);
	credit_dropped(account, 10 * LIMIT);
	credit_give(account, 11 * LIMIT);
}
END_TEST

/* Gives back at once, and takes for the next in line. */
static void give_and_take(struct credit_waiter *waiter, enum lsm_err err)
{
	struct probe *probe = (struct probe *)waiter;

	note_granted(waiter, err);
	credit_give(account, probe->waiter.bytes);
	take_now(account, 5);
}

START_TEST(granted_may_give_and_take)
{
	struct probe probe = {.waiter.granted = give_and_take};
	struct probe second;
	bool granted;

	take_now(account, 60);
	ck_assert_int_eq(
	    credit_take_async(account, 90, false, &probe.waiter, &granted),
	    LSM_OK);
	ck_assert(!granted);
	ck_assert(!take(&second, 95));
	credit_give(account, 60);
	assert_called(&probe, LSM_OK);
	assert_called(&second, LSM_OK);
	ck_assert_uint_eq(used_now(), 100);
	credit_give(account, 100);
}
END_TEST

/* ---- who waits is helped ---------------------------------------------- */

START_TEST(waiter_that_arrives_kicks_a_flush)
{
	struct probe probe[2];

	fill(account, 60);
	ck_assert_uint_eq(kicks, 0);
	ck_assert(!take(&probe[0], 70));
	ck_assert_uint_eq(kicks, 1);
	ck_assert(stats_now().kicked);
	ck_assert(!take(&probe[1], 70));
	ck_assert_uint_eq(kicks, 1); /* not again before kick_done */
	credit_flush_queued(account, 60);
	credit_kick_done(pool);
	ck_assert_uint_eq(kicks, 1); /* a flush is queued */
	credit_flush_done(account);
	credit_give(account, 60);
	credit_give(account, 70);
	credit_give(account, 70);
	assert_called(&probe[1], LSM_OK);
}
END_TEST

START_TEST(insertion_kicks_when_only_reservations_were_in_flight)
{
	struct probe probe;

	take_now(account, 90);
	ck_assert(!take(&probe, 50));
	ck_assert_uint_eq(kicks, 0); /* there is nothing to flush */
	credit_give(account, 10);
	ck_assert_uint_eq(kicks, 0);
	credit_inserted(account, 80, 0);
	ck_assert_uint_eq(kicks, 1);
	credit_flush_queued(account, 80);
	credit_kick_done(pool);
	credit_flush_done(account);
	credit_give(account, 80);
	assert_called(&probe, LSM_OK);
	credit_give(account, 50);
}
END_TEST

START_TEST(refund_reaches_the_queue_and_the_rest_stays_helped)
{
	struct probe probe[2];

	fill(account, 10);
	take_now(account, 90);
	ck_assert(!take(&probe[0], 40));
	ck_assert(!take(&probe[1], 60));
	ck_assert_uint_eq(kicks, 1);
	credit_kick_done(pool); /* nothing was sealed: asked again */
	ck_assert_uint_eq(kicks, 2);
	credit_give(account, 90); /* a batch that failed: refunded whole */
	assert_called(&probe[0], LSM_OK);
	assert_waiting(&probe[1]);
	ck_assert(stats_now().kicked);
	credit_give(account, 40);
	assert_called(&probe[1], LSM_OK);
	credit_kick_done(pool);
	ck_assert_uint_eq(kicks, 2); /* nobody waits */
	credit_dropped(account, 10);
	credit_give(account, 70);
}
END_TEST

START_TEST(flush_that_ends_kicks_the_next)
{
	struct probe probe;

	fill(account, 60);
	credit_flush_queued(account, 60);
	fill(account, 40);
	ck_assert(!take(&probe, 50));
	ck_assert_uint_eq(kicks, 0); /* a flush is queued */
	credit_flush_done(account);  /* a reader still holds its memory */
	assert_waiting(&probe);
	ck_assert_uint_eq(kicks, 1);
	credit_flush_queued(account, 40);
	credit_kick_done(pool);
	credit_flush_done(account);
	credit_give(account, 60);
	assert_called(&probe, LSM_OK);
	credit_give(account, 90);
}
END_TEST

START_TEST(kick_that_is_done_is_followed_by_another)
{
	struct probe probe;

	fill(account, 60);
	ck_assert(!take(&probe, 70));
	credit_flush_queued(account, 60);
	credit_flush_done(account); /* all of it before kick_done */
	credit_give(account, 60);
	assert_called(&probe, LSM_OK);
	credit_inserted(account, 70, 0);
	ck_assert(!take(&probe, 70));
	ck_assert_uint_eq(kicks, 1);
	credit_kick_done(pool);
	ck_assert_uint_eq(kicks, 2);
	credit_fail(account, LSM_ERR_CLOSED);
	credit_dropped(account, 70);
	credit_give(account, 70);
}
END_TEST

START_TEST(second_waiter_is_not_stranded)
{
	struct probe first, second;

	fill(account, 60); /* capacity 100, memtable 60, two writers of 70 */
	ck_assert(!take(&first, 70));
	ck_assert(!take(&second, 70));
	credit_flush_queued(account, 60);
	credit_kick_done(pool);
	credit_flush_done(account);
	credit_give(account, 60);
	assert_called(&first, LSM_OK);
	ck_assert_uint_eq(kicks, 1);
	credit_inserted(account, 70, 0); /* and no event of the second's own */
	ck_assert_uint_eq(kicks, 2);
	credit_flush_queued(account, 70);
	credit_kick_done(pool);
	credit_flush_done(account);
	credit_give(account, 70);
	assert_called(&second, LSM_OK);
	credit_give(account, 70);
}
END_TEST

START_TEST(failed_flush_keeps_credit_and_stays_running)
{
	struct probe probe[2];

	fill(account, 60);
	ck_assert(!take(&probe[0], 70));
	credit_flush_queued(account, 60);
	credit_kick_done(pool);
	/* It fails, and waits to try again: the pool is told nothing. */
	ck_assert_uint_eq(used_now(), 60);
	ck_assert_uint_eq(stats_now().flushes, 1);
	ck_assert(!take(&probe[1], 30));
	assert_waiting(&probe[0]);
	ck_assert_uint_eq(kicks, 1);
	credit_flush_done(account); /* it worked at last */
	credit_give(account, 60);
	assert_called(&probe[0], LSM_OK);
	assert_called(&probe[1], LSM_OK);
	credit_give(account, 100);
}
END_TEST

START_TEST(dropped_memtable_is_not_worth_a_kick)
{
	struct probe probe;

	fill(account, 60);
	take_now(account, 40);
	credit_dropped(account, 60);
	ck_assert(!take(&probe, 1));
	ck_assert_uint_eq(kicks, 0);
	ck_assert_uint_eq(stats_now().mutable_bytes, 0);
	credit_give(account, 100);
	credit_give(account, 1);
}
END_TEST

TCase *credit_queue_case(void)
{
	TCase *tc = tcase_create("queue");

	tcase_add_checked_fixture(tc, setup, stop);
	tcase_add_test(tc, first_come_first_served_nobody_barges_in);
	tcase_add_test(tc, hand_off_calls_exactly_those_who_fit);
	tcase_add_test(tc, hand_off_wakes_a_thread);
	tcase_add_test(tc, oversize_is_admitted_alone);
	tcase_add_test(tc, surplus_comes_back_after_insertion);
	tcase_add_test(tc, negative_is_refused);
	tcase_add_test(tc, zero_takes_nothing);
	tcase_add_test(tc, amounts_that_overflow_are_refused);
	tcase_add_loop_test(tc, limit_of_zero_or_less_disables, 0, 3);
	tcase_add_test(tc, granted_may_give_and_take);
	tcase_add_test(tc, waiter_that_arrives_kicks_a_flush);
	tcase_add_test(tc,
	               insertion_kicks_when_only_reservations_were_in_flight);
	tcase_add_test(tc, refund_reaches_the_queue_and_the_rest_stays_helped);
	tcase_add_test(tc, flush_that_ends_kicks_the_next);
	tcase_add_test(tc, kick_that_is_done_is_followed_by_another);
	tcase_add_test(tc, second_waiter_is_not_stranded);
	tcase_add_test(tc, failed_flush_keeps_credit_and_stays_running);
	tcase_add_test(tc, dropped_memtable_is_not_worth_a_kick);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("credit");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, credit_queue_case());
	suite_add_tcase(suite, credit_states_case());
	suite_add_tcase(suite, credit_threads_case());
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
