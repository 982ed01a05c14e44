/* SPDX-License-Identifier: MIT */
/* test_sync_queue.c: one syncs at a time, nobody returns before his own is durable,
   and those who come back together are synced together. */
#include <check.h>
#include <limits.h>
#include <stdlib.h>

#include "store/sync_queue.h"

enum { THREADS = 6, SYNCS = 3000 };

static struct sync_queue queue;
static atomic_uint_least64_t visible;

static void setup(void)
{
	atomic_init(&visible, 0);
	sync_queue_init(&queue, &visible);
}

static void teardown(void)
{
	sync_queue_release(&queue);
}

/* As if the running round took as long as the machine is up: whoever is waited
   for has all the time that it needs. */
static void lengthen(void)
{
	sync_lock(&queue.mu);
	queue.gather_most_ns = UINT64_MAX;
	queue.begun_ns = 0;
	sync_unlock(&queue.mu);
}

/* Somebody who wants `seq`, in a thread of his own. */
struct waiter {
	struct sync_thread thread;
	uint64_t seq;
	bool leads;
};

static void run_waiter(void *ctx)
{
	struct waiter *waiter = ctx;

	waiter->leads = sync_queue_enter(&queue, waiter->seq);
}

static unsigned joined(void)
{
	unsigned count;

	sync_lock(&queue.mu);
	count = queue.taken + queue.waiting;
	sync_unlock(&queue.mu);
	return count;
}

static void start_waiter(struct waiter *waiter, uint64_t seq)
{
	unsigned before = joined();

	*waiter = (struct waiter){.seq = seq};
	ck_assert_int_eq(
	    sync_thread_start(&waiter->thread, "waiter", run_waiter, waiter),
	    LSM_OK);
	while (joined() == before)
		sync_relax();
}

START_TEST(who_is_alone_leads_at_once_again_and_again)
{
	for (uint64_t seq = 1; seq <= 3; seq++) {
		atomic_store(&visible, seq);
		ck_assert(sync_queue_enter(&queue, seq));
		lengthen();
		ck_assert_uint_eq(sync_queue_durable(&queue), seq - 1);
		sync_queue_end(&queue, true);
		ck_assert_uint_eq(sync_queue_durable(&queue), seq);
		ck_assert(!sync_queue_enter(&queue, seq));
	}
}
END_TEST

START_TEST(what_was_noted_is_not_synced)
{
	atomic_store(&visible, 5);
	sync_queue_note(&queue, 5);
	sync_queue_note(&queue, 3);
	ck_assert_uint_eq(sync_queue_durable(&queue), 5);
	ck_assert(!sync_queue_enter(&queue, 5));
}
END_TEST

START_TEST(running_round_is_joined_by_those_whom_it_covers)
{
	struct waiter covered, late;

	atomic_store(&visible, 5);
	ck_assert(sync_queue_enter(&queue, 1));
	start_waiter(&covered, 5);
	atomic_store(&visible, 6);
	start_waiter(&late, 6);
	ck_assert_uint_eq(queue.taken, 2);
	sync_queue_end(&queue, true);
	ck_assert_uint_eq(sync_queue_durable(&queue), 5);
	sync_thread_join(&covered.thread);
	ck_assert(!covered.leads);
	sync_thread_join(&late.thread);
	ck_assert(late.leads);
	sync_queue_end(&queue, true);
	ck_assert_uint_eq(sync_queue_durable(&queue), 6);
}
END_TEST

static bool is_kept(void)
{
	bool kept;

	sync_lock(&queue.mu);
	kept = queue.kept;
	sync_unlock(&queue.mu);
	return kept;
}

START_TEST(round_is_put_off_until_those_released_are_back)
{
	struct waiter waiters[2];

	atomic_store(&visible, 1);
	ck_assert(sync_queue_enter(&queue, 1));
	atomic_store(&visible, 3);
	start_waiter(&waiters[0], 2);
	start_waiter(&waiters[1], 3);
	lengthen();
	sync_queue_end(&queue, true);
	while (!is_kept())
		sync_relax();
	ck_assert_uint_eq(queue.begun, 1);
	/* The third of three, and nobody else, leads. */
	atomic_store(&visible, 4);
	ck_assert(sync_queue_enter(&queue, 4));
	ck_assert_uint_eq(queue.begun, 2);
	ck_assert_uint_eq(queue.taken, 3);
	sync_queue_end(&queue, true);
	for (int i = 0; i < 2; i++) {
		sync_thread_join(&waiters[i].thread);
		ck_assert(!waiters[i].leads);
	}
	ck_assert_uint_eq(queue.misses, 0);
}
END_TEST

START_TEST(who_does_not_come_back_is_waited_for_ever_less_often)
{
	struct waiter waiter;

	queue.gather_most_ns = 1000000;
	atomic_store(&visible, 1);
	ck_assert(sync_queue_enter(&queue, 1));
	atomic_store(&visible, 2);
	start_waiter(&waiter, 2);
	sync_lock(&queue.mu);
	queue.begun_ns = 0;
	sync_unlock(&queue.mu);
	sync_queue_end(&queue, true);
	/* Nobody comes: whoever keeps watch leads in the end. */
	sync_thread_join(&waiter.thread);
	ck_assert(waiter.leads);
	ck_assert_uint_eq(queue.misses, 1);
	ck_assert_uint_eq(queue.skips, 2);
	for (uint64_t seq = 3; seq <= 4; seq++) {
		atomic_store(&visible, seq);
		start_waiter(&waiter, seq);
		lengthen();
		sync_queue_end(&queue, true);
		/* Two of them, but this time the one there is leads. */
		sync_thread_join(&waiter.thread);
		ck_assert(waiter.leads);
		ck_assert_uint_eq(queue.taken, 1);
	}
	ck_assert_uint_eq(queue.skips, 0);
	sync_queue_end(&queue, true);
}
END_TEST

static bool is_running(void)
{
	bool running;

	sync_lock(&queue.mu);
	running = queue.begun > atomic_load(&queue.ended);
	sync_unlock(&queue.mu);
	return running;
}

START_TEST(after_a_failure_each_tries_for_himself)
{
	struct waiter waiters[2];

	atomic_store(&visible, 1);
	ck_assert(sync_queue_enter(&queue, 1));
	start_waiter(&waiters[0], 1);
	atomic_store(&visible, 2);
	start_waiter(&waiters[1], 2);
	lengthen();
	sync_queue_end(&queue, false);
	ck_assert_uint_eq(sync_queue_durable(&queue), 0);
	for (int led = 0; led < 2; led++) {
		while (!is_running())
			sync_relax();
		sync_queue_end(&queue, false);
	}
	for (int i = 0; i < 2; i++) {
		sync_thread_join(&waiters[i].thread);
		ck_assert(waiters[i].leads);
	}
}
END_TEST

/* Woken for nothing, the waiter sees the round run, and wants the lock to look
   further: meanwhile it ends. */
START_TEST(round_that_ends_before_one_has_the_lock_is_not_slept_on)
{
	struct waiter waiter;
	atomic_uint *word;

	atomic_store(&visible, 1);
	ck_assert(sync_queue_enter(&queue, 1));
	start_waiter(&waiter, 1);

	sync_lock(&queue.mu);
	word = &queue.words[queue.begun & 1];
	atomic_fetch_add(word, 1);
	sync_word_wake(word, INT_MAX, SYNC_ANYBODY);
	sync_sleep_ns(20 * 1000 * 1000);
	/* As sync_queue_end() does. */
	atomic_store(&queue.durable, 1);
	atomic_store(&queue.ended, queue.begun);
	atomic_fetch_add(word, 1);
	sync_unlock(&queue.mu);
	sync_word_wake(word, INT_MAX, SYNC_ANYBODY);

	sync_thread_join(&waiter.thread);
	ck_assert(!waiter.leads);
}
END_TEST

/* ---- many at once ------------------------------------------------------- */

static atomic_uint leaders; /* at this moment */

struct syncer {
	struct sync_thread thread;
	unsigned led;
	bool alone_in_lead, durable;
};

static void run_syncer(void *ctx)
{
	struct syncer *syncer = ctx;

	for (int i = 0; i < SYNCS; i++) {
		uint64_t seq = atomic_fetch_add(&visible, 1) + 1;

		while (sync_queue_enter(&queue, seq)) {
			if (atomic_fetch_add(&leaders, 1) != 0)
				syncer->alone_in_lead = false;
			syncer->led++;
			for (int n = 0; n < 200; n++)
				sync_relax();
			atomic_fetch_sub(&leaders, 1);
			sync_queue_end(&queue, syncer->led % 16 != 0);
		}
		if (sync_queue_durable(&queue) < seq)
			syncer->durable = false;
	}
}

START_TEST(every_sync_is_durable_when_it_returns)
{
	static struct syncer syncers[THREADS];
	unsigned led = 0;

	atomic_init(&leaders, 0);
	for (int i = 0; i < THREADS; i++) {
		syncers[i].alone_in_lead = true;
		syncers[i].durable = true;
		ck_assert_int_eq(sync_thread_start(&syncers[i].thread, "syncer",
		                                   run_syncer, &syncers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++) {
		sync_thread_join(&syncers[i].thread);
		ck_assert(syncers[i].alone_in_lead);
		ck_assert(syncers[i].durable);
		led += syncers[i].led;
	}
	ck_assert_uint_eq(sync_queue_durable(&queue), THREADS * SYNCS);
	ck_assert_uint_eq(atomic_load(&queue.ended), led);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync queue");
	TCase *tc = tcase_create("queue");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, who_is_alone_leads_at_once_again_and_again);
	tcase_add_test(tc, what_was_noted_is_not_synced);
	tcase_add_test(tc, running_round_is_joined_by_those_whom_it_covers);
	tcase_add_test(tc, round_is_put_off_until_those_released_are_back);
	tcase_add_test(tc,
	               who_does_not_come_back_is_waited_for_ever_less_often);
	tcase_add_test(tc, after_a_failure_each_tries_for_himself);
	tcase_add_test(tc,
	               round_that_ends_before_one_has_the_lock_is_not_slept_on);
	tcase_add_test(tc, every_sync_is_durable_when_it_returns);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
