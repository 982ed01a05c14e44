/* SPDX-License-Identifier: MIT */
/*
 * test_credit_threads.c: writers against a flusher. A flush fails now and then,
 * a reader holds its memory for a while, kicks are answered before, during and
 * after it. Whatever the order: everybody gets through, and the pool never
 * lends more than it may.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/mem/credit_kit.h"
#include "tests/support/gen.h"

enum {
	ACCOUNTS = 2,
	WRITERS = 4,
	WRITES = 1500,
	OVERSIZE = 250,
	SEED = 20240611,
};

/* The flusher: a thread that seals, writes and frees memtables. */
struct flusher {
	struct sync_thread thread;
	struct credit_account *accounts[ACCOUNTS];
	struct gen gen; /* flusher thread */

	struct sync_mutex mu;
	struct sync_cond kicked;
	/* Guarded by mu. */
	bool kick, quit;
};

static struct flusher flusher;
static uint64_t seed;

/* What this test itself counts as taken: at most what the pool does. */
static atomic_uint_fast64_t held;
static atomic_uint_fast64_t held_peak;

static void count_taken(uint64_t bytes)
{
	uint64_t now = atomic_fetch_add(&held, bytes) + bytes;
	uint64_t peak = atomic_load(&held_peak);

	while (peak < now &&
	       !atomic_compare_exchange_weak(&held_peak, &peak, now))
		;
}

static void give_back(struct credit_account *to, uint64_t bytes)
{
	atomic_fetch_sub(&held, bytes);
	credit_give(to, bytes);
}

static void kick_flusher(void *ctx)
{
	struct flusher *it = ctx;

	sync_lock(&it->mu);
	it->kick = true;
	sync_signal(&it->kicked);
	sync_unlock(&it->mu);
}

static void flush_accounts(struct flusher *it)
{
	uint64_t bytes[ACCOUNTS];
	uint64_t early = gen_below(&it->gen, 2);

	for (int i = 0; i < ACCOUNTS; i++) {
		bytes[i] = credit_account_mutable(it->accounts[i]);
		if (bytes[i] > 0)
			credit_flush_queued(it->accounts[i], bytes[i]);
	}
	if (early)
		credit_kick_done(pool);
	while (gen_below(&it->gen, 4) == 0)
		sched_yield(); /* it fails, and is tried again */
	for (int i = 0; i < ACCOUNTS; i++) {
		if (bytes[i] > 0)
			credit_flush_done(it->accounts[i]);
	}
	if (gen_below(&it->gen, 2) == 0)
		sched_yield(); /* a reader holds the memory */
	for (int i = 0; i < ACCOUNTS; i++)
		give_back(it->accounts[i], bytes[i]);
	if (!early)
		credit_kick_done(pool);
}

static void run_flusher(void *ctx)
{
	struct flusher *it = ctx;
	bool quit = false;

	while (!quit) {
		bool kick;

		sync_lock(&it->mu);
		while (!it->kick && !it->quit)
			sync_wait(&it->kicked, &it->mu);
		kick = it->kick;
		quit = !kick;
		it->kick = false;
		sync_unlock(&it->mu);
		if (kick)
			flush_accounts(it);
	}
}

struct writer {
	struct sync_thread thread;
	struct credit_account *account;
	struct gen gen;
	int writes;
	enum lsm_err err; /* the first */
	atomic_bool finished;

	/* For one asynchronous take at a time. */
	struct credit_waiter waiter;
	struct sync_mutex mu;
	struct sync_cond called;
	/* Guarded by mu. */
	bool done;
	enum lsm_err result;
};

static void wake_writer(struct credit_waiter *waiter, enum lsm_err err)
{
	size_t offset = offsetof(struct writer, waiter);
	struct writer *writer =
	    (struct writer *)(void *)((char *)waiter - offset);

	sync_lock(&writer->mu);
	writer->done = true;
	writer->result = err;
	sync_signal(&writer->called);
	sync_unlock(&writer->mu);
}

static enum lsm_err take_async_and_wait(struct writer *writer, int64_t bytes)
{
	enum lsm_err err;
	bool granted;

	writer->done = false;
	writer->waiter.granted = wake_writer;
	err = credit_take_async(writer->account, bytes, false, &writer->waiter,
	                        &granted);
	if (err != LSM_OK || granted)
		return err;
	sync_lock(&writer->mu);
	while (!writer->done)
		sync_wait(&writer->called, &writer->mu);
	err = writer->result;
	sync_unlock(&writer->mu);
	return err;
}

static enum lsm_err write_once(struct writer *writer)
{
	bool oversize = gen_below(&writer->gen, 16) == 0;
	uint64_t most = oversize ? OVERSIZE : LIMIT;
	uint64_t bytes = 1 + gen_below(&writer->gen, most);
	uint64_t spent = gen_below(&writer->gen, bytes + 1);
	enum lsm_err err;

	if (gen_below(&writer->gen, 2) == 0)
		err = take_async_and_wait(writer, (int64_t)bytes);
	else
		err = credit_take(writer->account, (int64_t)bytes, false);
	if (err != LSM_OK)
		return err;
	count_taken(bytes);
	if (gen_below(&writer->gen, 4) == 0)
		sched_yield();
	give_back(writer->account, bytes - spent);
	credit_inserted(writer->account, spent, 0);
	return LSM_OK;
}

static void run_writer(void *ctx)
{
	struct writer *writer = ctx;

	for (int i = 0; i < writer->writes && writer->err == LSM_OK; i++)
		writer->err = write_once(writer);
	atomic_store(&writer->finished, true);
}

static void setup_flusher(void)
{
	seed = gen_seed(SEED);
	atomic_init(&held, 0);
	atomic_init(&held_peak, 0);
	sync_mutex_init(&flusher.mu, SYNC_RANK_OUTER);
	sync_cond_init(&flusher.kicked);
	gen_init(&flusher.gen, seed);
	flusher.kick = false;
	flusher.quit = false;
	ck_assert_int_eq(
	    credit_pool_create(LIMIT, kick_flusher, &flusher, &pool), LSM_OK);
	for (int i = 0; i < ACCOUNTS; i++)
		flusher.accounts[i] = new_account(LONG_WAIT_MS);
	ck_assert_int_eq(sync_thread_start(&flusher.thread, "flusher",
	                                   run_flusher, &flusher),
	                 LSM_OK);
}

static void teardown_flusher(void)
{
	sync_lock(&flusher.mu);
	flusher.quit = true;
	sync_signal(&flusher.kicked);
	sync_unlock(&flusher.mu);
	sync_thread_join(&flusher.thread);
	for (int i = 0; i < ACCOUNTS; i++) {
		uint64_t left = credit_account_mutable(flusher.accounts[i]);

		credit_dropped(flusher.accounts[i], left);
		give_back(flusher.accounts[i], left);
	}
	ck_assert_uint_eq(used_now(), 0);
	ck_assert_uint_eq(atomic_load(&held), 0);
	for (int i = 0; i < ACCOUNTS; i++)
		credit_account_destroy(flusher.accounts[i]);
	credit_pool_destroy(pool);
	sync_cond_destroy(&flusher.kicked);
	sync_mutex_destroy(&flusher.mu);
}

static void start_writer(struct writer *writer, int index)
{
	writer->account = flusher.accounts[index % ACCOUNTS];
	writer->writes = WRITES;
	writer->err = LSM_OK;
	gen_init(&writer->gen, seed + (uint64_t)index + 1);
	atomic_init(&writer->finished, false);
	sync_mutex_init(&writer->mu, SYNC_RANK_OUTER);
	sync_cond_init(&writer->called);
	ck_assert_int_eq(
	    sync_thread_start(&writer->thread, "writer", run_writer, writer),
	    LSM_OK);
}

START_TEST(random_writers_all_get_through_within_the_limit)
{
	static struct writer writers[WRITERS];
	struct credit_stats stats;

	for (int i = 0; i < WRITERS; i++)
		start_writer(&writers[i], i);
	for (int i = 0; i < WRITERS; i++) {
		await_finished(&writers[i].finished);
		sync_thread_join(&writers[i].thread);
		ck_assert_int_eq(writers[i].err, LSM_OK);
		sync_cond_destroy(&writers[i].called);
		sync_mutex_destroy(&writers[i].mu);
	}
	stats = stats_now();
	ck_assert_uint_le(stats.peak_bytes, OVERSIZE);
	ck_assert_uint_le(atomic_load(&held_peak), stats.peak_bytes);
	ck_assert_uint_eq(stats.waiters, 0);
	ck_assert_uint_gt(stats.waits, 0);
	ck_assert_uint_gt(stats.oversize, 0);
	ck_assert_uint_gt(stats.stall_ns, 0);
}
END_TEST

/* Takes all, spends all, once. */
static void run_plain_writer(void *ctx)
{
	struct taker *taker = ctx;

	taker->err = credit_take(taker->from, taker->bytes, false);
	if (taker->err == LSM_OK) {
		count_taken((uint64_t)taker->bytes);
		credit_inserted(taker->from, (uint64_t)taker->bytes, 0);
	}
	atomic_store(&taker->finished, true);
}

START_TEST(second_writer_is_not_stranded)
{
	/* Capacity 100, a memtable of 60, two writers of 70. */
	static struct taker writers[3];
	static const int64_t bytes[3] = {60, 70, 70};

	for (int i = 0; i < 3; i++) {
		writers[i].from = flusher.accounts[0];
		writers[i].bytes = bytes[i];
		atomic_init(&writers[i].finished, false);
		ck_assert_int_eq(sync_thread_start(&writers[i].thread, "writer",
		                                   run_plain_writer,
		                                   &writers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < 3; i++)
		assert_taker_gets(&writers[i], LSM_OK);
	ck_assert_uint_le(stats_now().peak_bytes, LIMIT);
	ck_assert_uint_le(atomic_load(&held_peak), LIMIT);
}
END_TEST

TCase *credit_threads_case(void)
{
	TCase *tc = tcase_create("threads");

	tcase_add_checked_fixture(tc, setup_flusher, teardown_flusher);
	tcase_add_test(tc, random_writers_all_get_through_within_the_limit);
	tcase_add_loop_test(tc, second_writer_is_not_stranded, 0, 20);
	return tc;
}
