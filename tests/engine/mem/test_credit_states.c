/* SPDX-License-Identifier: MIT */
/*
 * test_credit_states.c: accounts that fail, disks that are full, memory that
 * readers hold, and the figures.
 */
#include <signal.h>
#include <stdlib.h>

#include "tests/engine/mem/credit_kit.h"
#include "mem/memtable.h"

enum { SHORT_WAIT_MS = 20 };

/* ---- close and poison ------------------------------------------------- */

static void assert_failure_wakes_every_waiter(enum lsm_err err)
{
	struct taker taker[2];
	struct probe probe[2], late = {.waiter.granted = note_granted};
	bool granted;

	take_now(account, LIMIT);
	for (int i = 0; i < 2; i++) {
		ck_assert(!take(&probe[i], 10));
		start_taker(&taker[i], account, LIMIT + i, i == 1);
		await_waiters(2 * (uint64_t)i + 2);
	}
	credit_fail(account, err);
	credit_fail(account, LSM_ERR_IO); /* the first call decides */
	for (int i = 0; i < 2; i++) {
		assert_called(&probe[i], err);
		assert_taker_gets(&taker[i], err);
	}
	ck_assert_uint_eq(stats_now().waiters, 0);
	ck_assert_uint_eq(used_now(), LIMIT);

	credit_give(account, LIMIT);
	ck_assert_int_eq(credit_take(account, 1, true), err);
	ck_assert_int_eq(
	    credit_take_async(account, 1, false, &late.waiter, &granted), err);
	ck_assert(!granted);
	assert_waiting(&late);
	ck_assert_int_eq(credit_take(account, -1, false), LSM_ERR_INVALID);
	ck_assert_int_eq(credit_take(account, 0, false), LSM_OK);
	ck_assert_uint_eq(used_now(), 0);
}

START_TEST(close_wakes_every_waiter)
{
	assert_failure_wakes_every_waiter(LSM_ERR_CLOSED);
}
END_TEST

START_TEST(poison_wakes_every_waiter)
{
	assert_failure_wakes_every_waiter(LSM_ERR_POISONED);
}
END_TEST

START_TEST(failed_account_wakes_its_own_waiters_alone)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe mine[2], theirs[2];

	take_now(account, 60);
	ck_assert(!take_of(other, &theirs[0], 50, false));
	ck_assert(!take(&mine[0], 10)); /* leaves the middle */
	ck_assert(!take_of(other, &theirs[1], 20, false));
	ck_assert(!take(&mine[1], 10)); /* leaves the end */
	credit_fail(account, LSM_ERR_POISONED);
	assert_called(&mine[0], LSM_ERR_POISONED);
	assert_called(&mine[1], LSM_ERR_POISONED);
	assert_waiting(&theirs[0]);
	assert_waiting(&theirs[1]);
	credit_give(account, 60);
	assert_called(&theirs[0], LSM_OK);
	assert_called(&theirs[1], LSM_OK);
	ck_assert_uint_lt(theirs[0].turn, theirs[1].turn);
	credit_give(other, 70);
	credit_account_destroy(other);
}
END_TEST

START_TEST(head_that_fails_lets_the_next_go_ahead)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe mine, theirs;

	take_now(other, 60);
	ck_assert(!take(&mine, 50));
	ck_assert(!take_of(other, &theirs, 40, false));
	credit_fail(account, LSM_ERR_CLOSED);
	assert_called(&mine, LSM_ERR_CLOSED);
	assert_called(&theirs, LSM_OK);
	ck_assert_uint_eq(used_now(), 100);
	credit_give(other, 100);
	credit_account_destroy(other);
}
END_TEST

START_TEST(flush_of_a_failed_account_is_no_help)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe probe;

	fill(account, 50);
	credit_flush_queued(account, 50);
	fill(other, 50);
	ck_assert(!take_of(other, &probe, 10, false));
	ck_assert_uint_eq(kicks, 0);
	credit_fail(account, LSM_ERR_POISONED);
	ck_assert_uint_eq(kicks, 1);
	ck_assert_uint_eq(stats_now().flushes, 0);
	credit_flush_queued(other, 50);
	credit_kick_done(pool);
	credit_flush_done(account); /* it ends all the same */
	credit_flush_done(other);
	credit_give(other, 50);
	assert_called(&probe, LSM_OK);
	credit_give(other, 10);
	credit_give(account, 50);
	credit_account_destroy(other);
}
END_TEST

START_TEST(memtable_of_a_failed_account_is_not_worth_a_kick)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe probe;

	fill(account, 50);
	take_now(account, 50);
	credit_fail(account, LSM_ERR_POISONED);
	credit_inserted(account, 50, 0); /* was under way */
	ck_assert(!take_of(other, &probe, 10, false));
	ck_assert_uint_eq(kicks, 0);
	ck_assert_uint_eq(stats_now().mutable_bytes, 0);
	ck_assert_uint_eq(credit_account_mutable(account), 100);
	credit_dropped(account, 100);
	credit_give(account, 100);
	assert_called(&probe, LSM_OK);
	credit_give(other, 10);
	credit_account_destroy(other);
}
END_TEST

START_TEST(flush_of_a_destroyed_account_is_no_help)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe probe;

	fill(other, 50);
	credit_flush_queued(other, 50); /* it never ends */
	credit_give(other, 50);
	fill(account, 90);
	ck_assert(!take(&probe, 20));
	ck_assert_uint_eq(kicks, 0);
	credit_account_destroy(other);
	ck_assert_uint_eq(kicks, 1);
	credit_dropped(account, 90);
	credit_give(account, 90);
	credit_give(account, 20);
}
END_TEST

START_TEST(two_accounts_share_one_pool)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);
	struct probe first, second;

	fill(account, 60);
	take_now(other, 40);
	ck_assert(!take_of(other, &first, 30, false));
	ck_assert_uint_eq(kicks, 1); /* the one can be flushed for the other */
	ck_assert(!take(&second, 30));
	ck_assert_uint_eq(credit_account_mutable(account), 60);
	ck_assert_uint_eq(credit_account_mutable(other), 0);
	credit_flush_queued(account, 60);
	credit_kick_done(pool);
	credit_flush_done(account);
	credit_give(account, 60);
	assert_called(&first, LSM_OK);
	assert_called(&second, LSM_OK);
	ck_assert_uint_eq(used_now(), 100);
	credit_give(other, 70);
	credit_give(account, 30);
	credit_account_destroy(other);
}
END_TEST

/* ---- a full disk ------------------------------------------------------ */

START_TEST(nospace_growing_gives_up_shrinking_passes)
{
	struct credit_account *small = new_account(0);
	struct probe growing[2], shrinking;

	take_now(small, 60);
	ck_assert(!take_of(small, &growing[0], 50, false));
	ck_assert(!take_of(small, &shrinking, 40, true));
	ck_assert(!take_of(small, &growing[1], 50, false));
	ck_assert(!credit_has_nospace(pool));
	credit_expire(pool); /* the disk is not full */
	assert_waiting(&growing[0]);

	credit_set_nospace(small, true);
	ck_assert(credit_has_nospace(pool));
	credit_expire(pool);
	assert_called(&growing[0], LSM_ERR_NOSPACE);
	assert_called(&growing[1], LSM_ERR_NOSPACE);
	assert_called(&shrinking, LSM_OK);    /* the next head: it fits */
	ck_assert(!credit_has_nospace(pool)); /* nobody waits */
	credit_give(small, 100);
	take_now(small, 10); /* what fits is admitted */
	credit_give(small, 10);
	credit_account_destroy(small);
}
END_TEST

START_TEST(nospace_waits_its_time_and_heals_with_a_flush)
{
	struct credit_account *hasty = new_account(0);
	struct probe patient, other;

	fill(account, LIMIT);
	credit_flush_queued(account, LIMIT);
	credit_set_nospace(account, true);
	credit_set_nospace(hasty, true);
	ck_assert(!take(&patient, 10));
	ck_assert(!take_of(hasty, &other, 10, false));
	credit_set_nospace(hasty, false);
	credit_expire(pool);
	assert_waiting(&patient); /* its hour is not over */
	assert_waiting(&other);   /* its disk has room again */
	ck_assert(credit_has_nospace(pool));
	credit_flush_done(account);
	ck_assert(!credit_has_nospace(pool));
	credit_give(account, LIMIT);
	assert_called(&patient, LSM_OK);
	assert_called(&other, LSM_OK);
	credit_give(account, 10);
	credit_give(hasty, 10);
	credit_account_destroy(hasty);
}
END_TEST

START_TEST(nospace_thread_gives_up_by_itself)
{
	struct credit_account *hasty = new_account(SHORT_WAIT_MS);
	struct taker before, during, shrinking;
	uint64_t began_ns = sync_now_ns();

	take_now(hasty, LIMIT);
	start_taker(&before, hasty, 10, false);
	await_waiters(1);
	start_taker(&shrinking, hasty, 20, true);
	await_waiters(2);
	credit_set_nospace(hasty, true);
	start_taker(&during, hasty, 30, false);
	assert_taker_gets(&during, LSM_ERR_NOSPACE);
	assert_taker_gets(&before, LSM_ERR_NOSPACE);
	ck_assert_uint_ge(sync_now_ns() - began_ns,
	                  SHORT_WAIT_MS * UINT64_C(1000000));
	ck_assert_uint_eq(stats_now().waiters, 1);
	credit_give(hasty, LIMIT);
	assert_taker_gets(&shrinking, LSM_OK);
	credit_give(hasty, 20);
	credit_account_destroy(hasty);
}
END_TEST

/* ---- giving back ------------------------------------------------------ */

START_TEST(giving_back_too_much_is_a_bug)
{
	take_now(account, 10);
#ifdef NDEBUG
	credit_give(account, 11);
	ck_assert_int_eq(credit_take(account, 1, false), LSM_ERR_POISONED);
	ck_assert_uint_eq(used_now(), 10);
	credit_give(account, 10);
#else
	credit_give(account, 11); /* aborts */
	ck_abort_msg("it went on");
#endif
}
END_TEST

START_TEST(giving_back_what_another_took_is_a_bug)
{
	struct credit_account *other = new_account(LONG_WAIT_MS);

	take_now(other, 10);
#ifdef NDEBUG
	credit_give(account, 10);
	ck_assert_int_eq(credit_take(account, 1, false), LSM_ERR_POISONED);
	ck_assert_int_eq(credit_take(other, 1, false), LSM_OK);
	credit_give(other, 11);
	credit_account_destroy(other);
#else
	credit_give(account, 10); /* aborts */
	ck_abort_msg("it went on");
#endif
}
END_TEST

START_TEST(credit_comes_back_when_the_arena_is_freed)
{
	enum { BLOCK_BYTES = 4096 };
	uint64_t bound = memtable_bound(BLOCK_BYTES, 1, 8);
	struct memtable_chain chain = {NULL, NULL};
	struct memtable *mem;
	struct probe probe;
	uint64_t held;

	stop();
	start((int64_t)bound);
	ck_assert_int_eq(memtable_create(account, BLOCK_BYTES, &mem), LSM_OK);
	take_now(account, (int64_t)bound);
	ck_assert_int_eq(memtable_prepare(mem, slice_str("key"), 1, KEY_PUT,
	                                  slice_str("value"), &chain),
	                 LSM_OK);
	memtable_settle(mem, bound);
	memtable_apply(mem, &chain);
	held = memtable_bytes(mem);
	ck_assert_uint_gt(held, 0);
	ck_assert_uint_eq(used_now(), held);

	memtable_ref(mem); /* a reader */
	ck_assert(!take(&probe, (int64_t)bound));
	ck_assert_uint_eq(kicks, 1);
	memtable_seal(mem);
	credit_kick_done(pool);
	credit_flush_done(account);
	memtable_unref(mem); /* the store's */
	ck_assert_uint_eq(used_now(), held);
	assert_waiting(&probe);
	memtable_unref(mem); /* the reader's: the last */
	assert_called(&probe, LSM_OK);
	ck_assert_uint_eq(used_now(), bound);
	credit_give(account, bound);
}
END_TEST

/* ---- figures ---------------------------------------------------------- */

START_TEST(figures_are_readable_and_exact)
{
	struct credit_stats stats;
	struct probe probe[2];
	uint64_t stall_ns;

	fill(account, 30);
	take_now(account, 57);
	credit_give(account, 57);
	ck_assert_uint_eq(stats_now().peak_bytes, 87);
	take_now(account, 58);
	ck_assert_uint_eq(stats_now().peak_bytes, 88);
	ck_assert_uint_eq(stats_now().waits, 0);
	ck_assert_uint_eq(stats_now().stall_ns, 0);

	ck_assert(!take(&probe[0], 13));
	ck_assert(!take(&probe[1], 1));
	stats = stats_now();
	ck_assert_int_eq(stats.limit_bytes, LIMIT);
	ck_assert_uint_eq(stats.used_bytes, 88);
	ck_assert_uint_eq(stats.peak_bytes, 88);
	ck_assert_uint_eq(stats.mutable_bytes, 30);
	ck_assert_uint_eq(stats.waiters, 2);
	ck_assert_uint_eq(stats.waits, 2);
	ck_assert(stats.kicked);
	do /* it grows while they wait */
		stall_ns = stats_now().stall_ns;
	while (stall_ns == stats.stall_ns);

	credit_flush_queued(account, 30);
	ck_assert_uint_eq(stats_now().flushes, 1);
	ck_assert_uint_eq(stats_now().mutable_bytes, 0);
	credit_kick_done(pool);
	ck_assert(!stats_now().kicked);
	credit_flush_done(account);
	credit_give(account, 88);
	stats = stats_now();
	ck_assert_uint_eq(stats.used_bytes, 14);
	ck_assert_uint_eq(stats.peak_bytes, 88);
	ck_assert_uint_eq(stats.flushes, 0);
	ck_assert_uint_eq(stats.waiters, 0);
	ck_assert_uint_eq(stats.waits, 2);
	ck_assert_uint_gt(stats.stall_ns, stall_ns);
	ck_assert_uint_eq(stats_now().stall_ns, stats.stall_ns);
	credit_give(account, 14);
}
END_TEST

TCase *credit_states_case(void)
{
	TCase *tc = tcase_create("states");

	tcase_add_checked_fixture(tc, setup, stop);
	tcase_add_test(tc, close_wakes_every_waiter);
	tcase_add_test(tc, poison_wakes_every_waiter);
	tcase_add_test(tc, failed_account_wakes_its_own_waiters_alone);
	tcase_add_test(tc, head_that_fails_lets_the_next_go_ahead);
	tcase_add_test(tc, flush_of_a_failed_account_is_no_help);
	tcase_add_test(tc, memtable_of_a_failed_account_is_not_worth_a_kick);
	tcase_add_test(tc, flush_of_a_destroyed_account_is_no_help);
	tcase_add_test(tc, two_accounts_share_one_pool);
	tcase_add_test(tc, nospace_growing_gives_up_shrinking_passes);
	tcase_add_test(tc, nospace_waits_its_time_and_heals_with_a_flush);
	tcase_add_test(tc, nospace_thread_gives_up_by_itself);
	tcase_add_test(tc, credit_comes_back_when_the_arena_is_freed);
	tcase_add_test(tc, figures_are_readable_and_exact);
#ifdef NDEBUG
	tcase_add_test(tc, giving_back_too_much_is_a_bug);
	tcase_add_test(tc, giving_back_what_another_took_is_a_bug);
#else
	tcase_add_test_raise_signal(tc, giving_back_too_much_is_a_bug, SIGABRT);
	tcase_add_test_raise_signal(tc, giving_back_what_another_took_is_a_bug,
	                            SIGABRT);
#endif
	return tc;
}
