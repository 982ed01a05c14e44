/* SPDX-License-Identifier: MIT */
/* test_worker.c: jobs run when due, once for each submission that counts, and
   never after they were cancelled. */
#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/sync.h"
#include "compact/worker.h"
#include "tests/support/gen.h"

enum {
	NS_PER_MS = 1000000,
	HANG_MS = 60000, /* what never comes fails here instead of hanging */
	FAR_MS = 3600000,
	JOBS = 8,
	ROUNDS = 2000,
};

/* A job whose run() tells that it began, waits for leave to end, and counts. */
struct probe {
	struct worker_job job;
	struct sync_mutex mu;
	struct sync_cond changed;
	unsigned begun, ended; /* guarded by mu */
	bool hold;             /* guarded by mu: do not end */
	uint64_t began_ns;     /* guarded by mu */
	uint32_t resubmit_ms;  /* constant while jobs run */
	bool resubmit;         /* constant while jobs run */
};

static struct worker_pool *pool;

static void probe_run(struct worker_job *job)
{
	struct probe *probe = (struct probe *)job;

	sync_lock(&probe->mu);
	probe->begun++;
	probe->began_ns = sync_now_ns();
	sync_broadcast(&probe->changed);
	while (probe->hold)
		sync_wait(&probe->changed, &probe->mu);
	probe->ended++;
	sync_broadcast(&probe->changed);
	sync_unlock(&probe->mu);
	if (probe->resubmit)
		worker_submit(pool, job, probe->resubmit_ms);
}

static void probe_init(struct probe *probe, enum worker_lane lane)
{
	*probe = (struct probe){.begun = 0};
	sync_mutex_init(&probe->mu, SYNC_RANK_LEAF);
	sync_cond_init(&probe->changed);
	worker_job_init(&probe->job, lane, probe_run);
}

/* Cancels the job as well. */
static void probe_release(struct probe *probe)
{
	worker_cancel(pool, &probe->job);
	sync_cond_destroy(&probe->changed);
	sync_mutex_destroy(&probe->mu);
}

static void probe_hold(struct probe *probe, bool hold)
{
	sync_lock(&probe->mu);
	probe->hold = hold;
	sync_broadcast(&probe->changed);
	sync_unlock(&probe->mu);
}

/* Wait until *count, of the probe, is at least `want`. */
static bool reached(struct probe *probe, const unsigned *count, unsigned want)
{
	uint64_t deadline_ns = sync_now_ns() + (uint64_t)HANG_MS * NS_PER_MS;
	bool in_time = true;

	sync_lock(&probe->mu);
	while (*count < want && in_time)
		in_time =
		    sync_wait_until(&probe->changed, &probe->mu, deadline_ns);
	in_time = *count >= want;
	sync_unlock(&probe->mu);
	return in_time;
}

static unsigned ended(struct probe *probe)
{
	unsigned count;

	sync_lock(&probe->mu);
	count = probe->ended;
	sync_unlock(&probe->mu);
	return count;
}

static void setup(void)
{
	static const unsigned threads[WORKER_LANES] = {1, 2, 1, 1, 1};

	ck_assert_int_eq(worker_pool_create(threads, &pool), LSM_OK);
}

static void teardown(void)
{
	worker_pool_destroy(pool);
	pool = NULL;
}

/* ---- priorities ------------------------------------------------------------ */

struct nice_probe {
	struct worker_job job;
	atomic_int nice, policy, done;
};

static void nice_run(struct worker_job *job)
{
	struct nice_probe *probe = (struct nice_probe *)job;

	atomic_store(&probe->nice, getpriority(PRIO_PROCESS, (id_t)gettid()));
	atomic_store(&probe->policy, sched_getscheduler(0));
	atomic_store(&probe->done, 1);
}

/* How nice a thread of the lane is, more than we are. */
static int niceness_of(enum worker_lane lane, int *policy_out)
{
	struct nice_probe probe = {.job = {.run = NULL}};

	worker_job_init(&probe.job, lane, nice_run);
	worker_submit(pool, &probe.job, 0);
	for (int i = 0; i < HANG_MS && !atomic_load(&probe.done); i++)
		sync_sleep_ns(NS_PER_MS);
	ck_assert(atomic_load(&probe.done));
	worker_cancel(pool, &probe.job);
	*policy_out = atomic_load(&probe.policy);
	return atomic_load(&probe.nice) - getpriority(PRIO_PROCESS, 0);
}

START_TEST(threads_of_long_jobs_give_way)
{
	int own = sched_getscheduler(0), policy;

	if (getpriority(PRIO_PROCESS, 0) <= 19 - WORKER_COMPACT_NICE) {
		ck_assert_int_eq(niceness_of(WORKER_FLUSH, &policy),
		                 WORKER_FLUSH_NICE);
		ck_assert_int_eq(niceness_of(WORKER_COMPACT, &policy),
		                 WORKER_COMPACT_NICE);
	}
	ck_assert_int_ge(niceness_of(WORKER_FLUSH, &policy), 0);
	ck_assert_int_eq(policy, own == SCHED_OTHER ? SCHED_BATCH : own);
	ck_assert_int_eq(niceness_of(WORKER_UPKEEP, &policy), 0);
	ck_assert_int_eq(policy, own);
	ck_assert_int_eq(niceness_of(WORKER_PROMPT, &policy), 0);
}
END_TEST

/* ---- running ---------------------------------------------------------------- */

START_TEST(submitted_job_runs_once)
{
	struct probe probe, after;

	probe_init(&probe, WORKER_FLUSH);
	probe_init(&after, WORKER_FLUSH);
	worker_submit(pool, &probe.job, 0);
	ck_assert(reached(&probe, &probe.ended, 1));
	/* One thread in the lane: when the later job has run, a second run of
	   the first would have come before it. */
	worker_submit(pool, &after.job, 0);
	ck_assert(reached(&after, &after.ended, 1));
	ck_assert_uint_eq(ended(&probe), 1);
	probe_release(&after);
	probe_release(&probe);
}
END_TEST

START_TEST(jobs_of_one_time_run_in_order_of_submission)
{
	struct probe blocker, probes[JOBS];

	probe_init(&blocker, WORKER_FLUSH);
	probe_hold(&blocker, true);
	worker_submit(pool, &blocker.job, 0);
	ck_assert(reached(&blocker, &blocker.begun, 1));
	for (size_t i = 0; i < JOBS; i++) {
		probe_init(&probes[i], WORKER_FLUSH);
		worker_submit(pool, &probes[i].job, 0);
	}
	probe_hold(&blocker, false);
	for (size_t i = 0; i < JOBS; i++)
		ck_assert(reached(&probes[i], &probes[i].ended, 1));
	for (size_t i = 1; i < JOBS; i++)
		ck_assert_uint_le(probes[i - 1].began_ns, probes[i].began_ns);
	for (size_t i = 0; i < JOBS; i++)
		probe_release(&probes[i]);
	probe_release(&blocker);
}
END_TEST

START_TEST(submission_while_queued_does_not_add_a_run)
{
	struct probe blocker, probe;

	probe_init(&blocker, WORKER_FLUSH);
	probe_init(&probe, WORKER_FLUSH);
	probe_hold(&blocker, true);
	worker_submit(pool, &blocker.job, 0);
	ck_assert(reached(&blocker, &blocker.begun, 1));
	worker_submit(pool, &probe.job, 0);
	worker_submit(pool, &probe.job, 0);
	worker_submit(pool, &blocker.job, 0);
	probe_hold(&blocker, false);
	ck_assert(reached(&blocker, &blocker.ended, 2));
	ck_assert_uint_eq(ended(&probe), 1);
	probe_release(&probe);
	probe_release(&blocker);
}
END_TEST

START_TEST(submission_while_running_gives_another_run)
{
	struct probe probe;

	probe_init(&probe, WORKER_UPKEEP);
	probe_hold(&probe, true);
	worker_submit(pool, &probe.job, 0);
	ck_assert(reached(&probe, &probe.begun, 1));
	worker_submit(pool, &probe.job, FAR_MS);
	worker_submit(pool, &probe.job, 0);
	worker_submit(pool, &probe.job, FAR_MS);
	probe_hold(&probe, false);
	ck_assert(reached(&probe, &probe.ended, 2));
	probe_release(&probe);
}
END_TEST

START_TEST(job_is_not_begun_before_it_is_due)
{
	struct probe probe;
	uint64_t start_ns = sync_now_ns();

	probe_init(&probe, WORKER_UPKEEP);
	worker_submit(pool, &probe.job, 30);
	ck_assert(reached(&probe, &probe.ended, 1));
	ck_assert_uint_ge(probe.began_ns, start_ns + 30 * NS_PER_MS);
	probe_release(&probe);
}
END_TEST

START_TEST(earlier_of_two_times_counts)
{
	struct probe probe;

	probe_init(&probe, WORKER_UPKEEP);
	worker_submit(pool, &probe.job, FAR_MS);
	worker_submit(pool, &probe.job, 0);
	worker_submit(pool, &probe.job, FAR_MS);
	ck_assert(reached(&probe, &probe.ended, 1));
	probe_release(&probe);
}
END_TEST

START_TEST(due_job_does_not_wait_behind_a_later_one)
{
	struct probe later, now;

	probe_init(&later, WORKER_UPKEEP);
	probe_init(&now, WORKER_UPKEEP);
	worker_submit(pool, &later.job, FAR_MS);
	worker_submit(pool, &now.job, 0);
	ck_assert(reached(&now, &now.ended, 1));
	ck_assert_uint_eq(ended(&later), 0);
	probe_release(&now);
	probe_release(&later);
}
END_TEST

/* A thread that takes the head must pass the watch over the rest on. */
START_TEST(job_due_while_another_runs_is_taken_by_the_second_thread)
{
	struct probe first, second;

	probe_init(&first, WORKER_COMPACT);
	probe_init(&second, WORKER_COMPACT);
	probe_hold(&first, true);
	worker_submit(pool, &first.job, 5);
	worker_submit(pool, &second.job, 10);
	ck_assert(reached(&first, &first.begun, 1));
	ck_assert(reached(&second, &second.ended, 1));
	probe_hold(&first, false);
	probe_release(&second);
	probe_release(&first);
}
END_TEST

START_TEST(busy_lane_does_not_hold_up_another)
{
	struct probe compact[2], flush;

	for (size_t i = 0; i < 2; i++) {
		probe_init(&compact[i], WORKER_COMPACT);
		probe_hold(&compact[i], true);
		worker_submit(pool, &compact[i].job, 0);
	}
	for (size_t i = 0; i < 2; i++)
		ck_assert(reached(&compact[i], &compact[i].begun, 1));
	probe_init(&flush, WORKER_FLUSH);
	worker_submit(pool, &flush.job, 0);
	ck_assert(reached(&flush, &flush.ended, 1));
	probe_release(&flush);
	for (size_t i = 0; i < 2; i++) {
		probe_hold(&compact[i], false);
		probe_release(&compact[i]);
	}
}
END_TEST

START_TEST(busy_counts_what_runs_and_what_is_due)
{
	struct probe running, due, later;

	probe_init(&running, WORKER_FLUSH);
	probe_init(&due, WORKER_FLUSH);
	probe_init(&later, WORKER_FLUSH);
	ck_assert_uint_eq(worker_busy(pool, WORKER_FLUSH), 0);
	probe_hold(&running, true);
	worker_submit(pool, &running.job, 0);
	ck_assert(reached(&running, &running.begun, 1));
	worker_submit(pool, &due.job, 0);
	worker_submit(pool, &later.job, FAR_MS);
	ck_assert_uint_eq(worker_busy(pool, WORKER_FLUSH), 2);
	ck_assert_uint_eq(worker_busy(pool, WORKER_COMPACT), 0);
	probe_hold(&running, false);
	ck_assert(reached(&due, &due.ended, 1));
	probe_release(&running);
	probe_release(&due);
	ck_assert_uint_eq(worker_busy(pool, WORKER_FLUSH), 0);
	probe_release(&later);
}
END_TEST

START_TEST(job_may_submit_itself)
{
	struct probe probe;

	probe_init(&probe, WORKER_UPKEEP);
	probe.resubmit = true;
	worker_submit(pool, &probe.job, 0);
	ck_assert(reached(&probe, &probe.ended, 10));
	probe_release(&probe);
}
END_TEST

START_TEST(cancelled_job_never_runs)
{
	struct probe probe, after;

	probe_init(&probe, WORKER_UPKEEP);
	probe_init(&after, WORKER_UPKEEP);
	worker_submit(pool, &probe.job, FAR_MS);
	worker_cancel(pool, &probe.job);
	worker_submit(pool, &probe.job, 0);
	worker_submit(pool, &after.job, 0);
	ck_assert(reached(&after, &after.ended, 1));
	ck_assert_uint_eq(ended(&probe), 0);

	worker_job_init(&probe.job, WORKER_UPKEEP, probe_run);
	worker_submit(pool, &probe.job, 0);
	ck_assert(reached(&probe, &probe.ended, 1));
	probe_release(&after);
	probe_release(&probe);
}
END_TEST

/* Ends the held run of its probe once the cancelling thread is likely to wait;
   whenever that is, the claim must hold. */
static void let_go(void *ctx)
{
	struct probe *probe = ctx;

	usleep(2000);
	probe_hold(probe, false);
}

START_TEST(cancel_waits_for_a_run_in_progress)
{
	struct sync_thread helper;
	struct probe probe;

	probe_init(&probe, WORKER_FLUSH);
	probe_hold(&probe, true);
	worker_submit(pool, &probe.job, 0);
	ck_assert(reached(&probe, &probe.begun, 1));
	worker_submit(pool, &probe.job, 0);
	ck_assert_int_eq(sync_thread_start(&helper, "helper", let_go, &probe),
	                 LSM_OK);
	worker_cancel(pool, &probe.job);
	ck_assert_uint_eq(ended(&probe), 1);
	sync_thread_join(&helper);
	probe_release(&probe);
	ck_assert_uint_eq(probe.begun, 1);
}
END_TEST

/* Count runs; two at a time of one job would be seen in `inside`. */
struct counted {
	struct worker_job job;
	atomic_uint runs, inside, overlaps;
};

static void counted_run(struct worker_job *job)
{
	struct counted *counted = (struct counted *)job;

	if (atomic_fetch_add(&counted->inside, 1) != 0)
		atomic_fetch_add(&counted->overlaps, 1);
	atomic_fetch_add(&counted->runs, 1);
	atomic_fetch_sub(&counted->inside, 1);
}

struct submitter {
	struct counted *jobs;
	uint64_t seed;
	struct sync_thread thread;
};

static void submit_at_random(void *ctx)
{
	struct submitter *submitter = ctx;
	struct gen gen;

	gen_init(&gen, submitter->seed);
	for (unsigned i = 0; i < ROUNDS; i++)
		worker_submit(pool, &submitter->jobs[gen_below(&gen, JOBS)].job,
		              (uint32_t)gen_below(&gen, 3));
}

/* After its last submission every job must have run, and none with itself. */
START_TEST(no_submission_is_lost_and_no_job_meets_itself)
{
	struct counted jobs[JOBS] = {0};
	struct submitter submitters[3];
	uint64_t seed = gen_seed(1);
	unsigned before[JOBS];

	for (size_t i = 0; i < JOBS; i++)
		worker_job_init(&jobs[i].job,
		                (enum worker_lane)(i % WORKER_LANES),
		                counted_run);
	for (size_t i = 0; i < 3; i++) {
		submitters[i].jobs = jobs;
		submitters[i].seed = seed + i;
		ck_assert_int_eq(
		    sync_thread_start(&submitters[i].thread, "submitter",
		                      submit_at_random, &submitters[i]),
		    LSM_OK);
	}
	for (size_t i = 0; i < 3; i++)
		sync_thread_join(&submitters[i].thread);

	for (size_t i = 0; i < JOBS; i++) {
		before[i] = atomic_load(&jobs[i].runs);
		worker_submit(pool, &jobs[i].job, 0);
	}
	for (size_t i = 0; i < JOBS; i++) {
		for (unsigned ms = 0; ms < HANG_MS; ms++) {
			if (atomic_load(&jobs[i].runs) > before[i])
				break;
			usleep(1000);
		}
		ck_assert_uint_gt(atomic_load(&jobs[i].runs), before[i]);
		worker_cancel(pool, &jobs[i].job);
		ck_assert_uint_eq(atomic_load(&jobs[i].overlaps), 0);
	}
}
END_TEST

/* Jobs come and go while threads run them: the owner frees one right after
   worker_cancel(), which a sanitizer sees if anyone still touches it. */
START_TEST(job_can_be_freed_after_cancel)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct counted *counted = calloc(1, sizeof(*counted));

		ck_assert_ptr_nonnull(counted);
		worker_job_init(&counted->job, WORKER_COMPACT, counted_run);
		worker_submit(pool, &counted->job, 0);
		if (i % 2 == 0) {
			while (atomic_load(&counted->runs) == 0)
				usleep(1);
		}
		worker_cancel(pool, &counted->job);
		ck_assert_uint_le(atomic_load(&counted->runs), 1);
		free(counted);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *tc = tcase_create("jobs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, threads_of_long_jobs_give_way);
	tcase_add_test(tc, submitted_job_runs_once);
	tcase_add_test(tc, jobs_of_one_time_run_in_order_of_submission);
	tcase_add_test(tc, submission_while_queued_does_not_add_a_run);
	tcase_add_test(tc, submission_while_running_gives_another_run);
	tcase_add_test(tc, job_is_not_begun_before_it_is_due);
	tcase_add_test(tc, earlier_of_two_times_counts);
	tcase_add_test(tc, due_job_does_not_wait_behind_a_later_one);
	tcase_add_test(
	    tc, job_due_while_another_runs_is_taken_by_the_second_thread);
	tcase_add_test(tc, busy_lane_does_not_hold_up_another);
	tcase_add_test(tc, busy_counts_what_runs_and_what_is_due);
	tcase_add_test(tc, job_may_submit_itself);
	tcase_add_test(tc, cancelled_job_never_runs);
	tcase_add_test(tc, cancel_waits_for_a_run_in_progress);
	tcase_add_test(tc, no_submission_is_lost_and_no_job_meets_itself);
	tcase_add_test(tc, job_can_be_freed_after_cancel);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
