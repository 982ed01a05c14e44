/* SPDX-License-Identifier: MIT */
#include "tests/engine/mem/credit_kit.h"

#include <sched.h>
#include <stdlib.h>

enum { HANG_S = 60 }; /* so long a thread may take on a busy machine */

struct credit_pool *pool;
struct credit_account *account;
unsigned kicks;

static void count_kick(void *ctx)
{
	unsigned *count = ctx;

	(*count)++;
}

struct credit_account *new_account(uint32_t nospace_wait_ms)
{
	struct credit_account *made;

	ck_assert_int_eq(credit_account_create(pool, nospace_wait_ms, &made),
	                 LSM_OK);
	return made;
}

void start(int64_t limit_bytes)
{
	kicks = 0;
	ck_assert_int_eq(
	    credit_pool_create(limit_bytes, count_kick, &kicks, &pool), LSM_OK);
	account = new_account(LONG_WAIT_MS);
}

void stop(void)
{
	credit_account_destroy(account);
	credit_pool_destroy(pool);
}

void setup(void)
{
	start(LIMIT);
}

struct credit_stats stats_now(void)
{
	struct credit_stats stats;

	credit_pool_stats(pool, &stats);
	return stats;
}

uint64_t used_now(void)
{
	return stats_now().used_bytes;
}

static unsigned turns;

void note_granted(struct credit_waiter *waiter, enum lsm_err err)
{
	struct probe *probe = (struct probe *)waiter;

	probe->err = err;
	probe->calls++;
	probe->turn = ++turns;
}

bool take_of(struct credit_account *from, struct probe *probe, int64_t bytes,
             bool shrinking)
{
	bool granted;

	*probe = (struct probe){.waiter.granted = note_granted};
	ck_assert_int_eq(
	    credit_take_async(from, bytes, shrinking, &probe->waiter, &granted),
	    LSM_OK);
	return granted;
}

bool take(struct probe *probe, int64_t bytes)
{
	return take_of(account, probe, bytes, false);
}

void take_now(struct credit_account *from, int64_t bytes)
{
	struct probe probe;

	ck_assert(take_of(from, &probe, bytes, false));
}

void fill(struct credit_account *from, int64_t bytes)
{
	take_now(from, bytes);
	credit_inserted(from, (uint64_t)bytes, 0);
}

void assert_called(const struct probe *probe, enum lsm_err err)
{
	ck_assert_uint_eq(probe->calls, 1);
	ck_assert_int_eq(probe->err, err);
}

void assert_waiting(const struct probe *probe)
{
	ck_assert_uint_eq(probe->calls, 0);
}

static void run_taker(void *ctx)
{
	struct taker *taker = ctx;

	taker->err = credit_take(taker->from, taker->bytes, taker->shrinking);
	atomic_store(&taker->finished, true);
}

void start_taker(struct taker *taker, struct credit_account *from,
                 int64_t bytes, bool shrinking)
{
	taker->from = from;
	taker->bytes = bytes;
	taker->shrinking = shrinking;
	taker->err = LSM_ERR_INVALID;
	atomic_init(&taker->finished, false);
	ck_assert_int_eq(
	    sync_thread_start(&taker->thread, "taker", run_taker, taker),
	    LSM_OK);
}

static uint64_t hang_deadline_ns(void)
{
	const char *seconds = getenv("SHALEFS_HANG_S");

	return sync_now_ns() +
	       (seconds != NULL ? strtoull(seconds, NULL, 10) : HANG_S) *
	           UINT64_C(1000000000);
}

void await_waiters(uint64_t count)
{
	uint64_t deadline = hang_deadline_ns();

	while (stats_now().waiters != count) {
		ck_assert_msg(sync_now_ns() < deadline, "no waiter comes");
		sched_yield();
	}
}

void await_finished(atomic_bool *finished)
{
	uint64_t deadline = hang_deadline_ns();

	while (!atomic_load(finished)) {
		ck_assert_msg(sync_now_ns() < deadline, "a thread hangs");
		sched_yield();
	}
}

void assert_taker_gets(struct taker *taker, enum lsm_err err)
{
	await_finished(&taker->finished);
	sync_thread_join(&taker->thread);
	ck_assert_int_eq(taker->err, err);
}
