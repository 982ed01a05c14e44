/* SPDX-License-Identifier: MIT */
/*
 * test_budget.c: credit from end to end: what is not flushed yet never exceeds
 * the budget, to the byte, and whoever waits is served.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/alloc_fault.h"

enum {
	BUDGET = 1 << 20,
	WRITERS = 6,
	BUDGETS_WRITTEN = 20,
	TINY_WRITERS = 1000,
	STACKED = 40, /* threads alive at once */
	ENTRY_BYTES = 200,
	CREDIT_OFF_WRITTEN = 8 << 20,
};

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.runtime_options.credit_bytes = BUDGET;
	kit.options.memtable_bytes = 0; /* as it comes */
	kit.options.table_bytes = 1 << 20;
	kit.options.level_base_bytes = 4 << 20;
	kit.options.block_bytes = 8 << 10;
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static struct lsm_stats now(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats;
}

struct writer {
	struct sync_thread thread;
	unsigned index, count;
	size_t value_bytes;
	enum lsm_err err;
};

static void run_writer(void *ctx)
{
	struct writer *writer = ctx;
	struct lsm_batch *batch;
	uint8_t *value = calloc(1, writer->value_bytes);

	writer->err = value == NULL ? LSM_ERR_NOMEM : lsm_batch_create(&batch);
	for (unsigned i = 0; writer->err == LSM_OK && i < writer->count; i++) {
		char key[32];

		snprintf(key, sizeof(key), "w%04u-%06u", writer->index, i);
		lsm_batch_clear(batch);
		writer->err =
		    lsm_batch_put(batch, slice_str(key),
		                  slice_make(value, writer->value_bytes));
		if (writer->err == LSM_OK)
			writer->err = lsm_write(kit.store, batch, NULL, NULL);
	}
	lsm_batch_destroy(batch);
	free(value);
}

static void start_writers(struct writer *writers, unsigned count,
                          unsigned entries, size_t value_bytes)
{
	for (unsigned i = 0; i < count; i++) {
		writers[i].index = i;
		writers[i].count = entries;
		writers[i].value_bytes = value_bytes;
		ASSERT_OK(sync_thread_start(&writers[i].thread, "writer",
		                            run_writer, &writers[i]));
	}
}

static void join_writers(struct writer *writers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		sync_thread_join(&writers[i].thread);
		ASSERT_OK(writers[i].err);
	}
}

static void run_writers(struct writer *writers, unsigned count,
                        unsigned entries, size_t value_bytes)
{
	start_writers(writers, count, entries, value_bytes);
	join_writers(writers, count);
}

START_TEST(unflushed_bytes_never_exceed_the_budget)
{
	struct writer writers[WRITERS];
	struct lsm_admission all;
	struct lsm_stats stats;
	unsigned entries = BUDGETS_WRITTEN * BUDGET / WRITERS / ENTRY_BYTES;

	/* However fast the flusher is: they begin by waiting. */
	ASSERT_OK(lsm_admit(kit.store, BUDGET, false, &all));
	start_writers(writers, WRITERS, entries, ENTRY_BYTES);
	KIT_WAIT_UNTIL(now().credit.waits > 0);
	lsm_admission_release(&all);
	join_writers(writers, WRITERS);
	stats = now();
	ck_assert_int_eq(stats.credit.limit_bytes, BUDGET);
	ck_assert_uint_le(stats.credit.peak_bytes, BUDGET);
	ck_assert_uint_ge(stats.credit.peak_bytes, BUDGET / 2);
	ck_assert_uint_le(stats.memory.arena_peak_bytes,
	                  stats.credit.peak_bytes);
	ck_assert_uint_gt(stats.memory.arena_peak_bytes, BUDGET / 4);
	ck_assert_uint_gt(stats.credit.waits, 0);
	ck_assert_uint_gt(stats.credit.stall_ns, 0);
	ck_assert_uint_eq(stats.credit.oversize, 0);
	ck_assert_uint_eq(kit_count(kit.store, "w", "x"), WRITERS * entries);
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(now().credit.used_bytes, 0);
	ck_assert_uint_eq(now().memory.arena_bytes, 0);
}
END_TEST

START_TEST(a_thousand_tiny_writers_finish)
{
	static struct writer writers[TINY_WRITERS];
	struct lsm_stats stats;

	kit_close(&kit);
	kit.runtime_options.credit_bytes = 16 << 10;
	kit_open(&kit);
	for (unsigned done = 0; done < TINY_WRITERS; done += STACKED) {
		for (unsigned i = done; i < done + STACKED; i++) {
			writers[i].index = i;
			writers[i].count = 5;
			writers[i].value_bytes = 10;
			ASSERT_OK(sync_thread_start(&writers[i].thread, "tiny",
			                            run_writer, &writers[i]));
		}
		for (unsigned i = done; i < done + STACKED; i++) {
			sync_thread_join(&writers[i].thread);
			ASSERT_OK(writers[i].err);
		}
	}
	stats = now();
	ck_assert_uint_le(stats.credit.peak_bytes, 16 << 10);
	ck_assert_uint_gt(stats.credit.waits, 0);
	ck_assert_uint_eq(kit_count(kit.store, "w", "x"), 5 * TINY_WRITERS);
}
END_TEST

/*
 * STUDY B.3's case at the store: the memtable holds 60 of 100, two writers want
 * 70 each. The flush lets the first in; unless its own bytes are then flushed
 * for the second, that one waits for ever.
 */
START_TEST(second_waiter_is_not_stranded)
{
	enum { PART = 10 << 10 };
	struct writer writers[3];
	struct lsm_stats stats;

	kit_close(&kit);
	kit.runtime_options.credit_bytes = 100 * PART;
	kit.options.memtable_bytes = 2 << 20; /* never full by itself */
	kit.options.direct_min_bytes = 0;     /* values take credit */
	kit_open(&kit);
	run_writers(writers, 1, 1, 58 * PART);
	ck_assert_uint_gt(now().credit.used_bytes, 50 * PART);
	run_writers(writers, 3, 3, 64 * PART);
	stats = now();
	ck_assert_uint_ge(stats.credit.waits, 2);
	ck_assert_uint_le(stats.credit.peak_bytes, 100 * PART);
	ck_assert_uint_eq(kit_count(kit.store, "w", "x"), 9);
}
END_TEST

START_TEST(writers_of_every_size_are_served)
{
	struct writer writers[WRITERS];
	uint64_t largest = 3 * BUDGET / 2;
	struct lsm_stats stats;

	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i].index = i;
		writers[i].count = i == 0 ? 4 : 60;
		writers[i].value_bytes =
		    i == 0 ? largest : (size_t)1 << (3 * i);
		ASSERT_OK(sync_thread_start(&writers[i].thread, "writer",
		                            run_writer, &writers[i]));
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		sync_thread_join(&writers[i].thread);
		ASSERT_OK(writers[i].err);
	}
	stats = now();
	ck_assert_uint_eq(stats.credit.oversize, 4);
	ck_assert_uint_le(stats.credit.peak_bytes,
	                  lsm_admission_bound(kit.store, 1, largest + 12));
	ck_assert_uint_le(stats.memory.arena_peak_bytes,
	                  stats.credit.peak_bytes);
	ck_assert_uint_eq(kit_count(kit.store, "w", "x"),
	                  4 + 60 * (WRITERS - 1));
}
END_TEST

START_TEST(pool_that_is_off_never_makes_anybody_wait)
{
	struct writer writers[WRITERS];
	struct lsm_stats stats;
	unsigned entries = CREDIT_OFF_WRITTEN / WRITERS / 4096;

	kit_close(&kit);
	kit.runtime_options.credit_bytes = -5;
	kit.options.memtable_bytes = 1 << 20;
	kit_open(&kit);
	run_writers(writers, WRITERS, entries, 4096);
	stats = now();
	ck_assert_int_eq(stats.credit.limit_bytes, 0);
	ck_assert_uint_eq(stats.credit.waits, 0);
	ck_assert_uint_gt(stats.credit.peak_bytes, 0);
	ck_assert_uint_eq(kit_count(kit.store, "w", "x"), WRITERS * entries);
}
END_TEST

/*
 * A batch for which memory runs out half way leaves bytes in the memtable, and
 * maybe no entry. They too must come back to whoever waits for them.
 */
START_TEST(bytes_of_a_failed_batch_come_back)
{
	static uint8_t large[100 << 10];
	struct lsm_batch *batch;
	bool failed = true;

	/* The second has a block of its own. */
	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	ASSERT_OK(lsm_batch_put(batch, slice_str("b"),
	                        slice_make(large, sizeof(large))));
	kit_log_begin();
	for (uint64_t nth = 1; failed; nth++) {
		struct lsm_admission all;
		enum lsm_err err;

		/* A new memtable, without a log, each time. */
		kit_put(kit.store, "a", "0");
		ASSERT_OK(lsm_flush(kit.store));
		alloc_fault_arm(nth);
		err = lsm_write(kit.store, batch, NULL, NULL);
		failed = alloc_fault_disarm();
		ck_assert(failed || err == LSM_OK);
		if (err == LSM_ERR_POISONED) { /* the env had no memory */
			(void)kit_try_close(&kit);
			kit_open(&kit);
			continue;
		}
		ck_assert(err == LSM_OK || err == LSM_ERR_NOMEM);
		ASSERT_OK(lsm_admit(kit.store, BUDGET, false, &all));
		lsm_admission_release(&all);
	}
	lsm_batch_destroy(batch);
	kit_put(kit.store, "a", "2");
	kit_reopen(&kit);
	kit_expect(kit.store, "a", "2");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("budget");
	TCase *tc = tcase_create("budget");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, unflushed_bytes_never_exceed_the_budget);
	tcase_add_test(tc, a_thousand_tiny_writers_finish);
	tcase_add_test(tc, second_waiter_is_not_stranded);
	tcase_add_test(tc, writers_of_every_size_are_served);
	tcase_add_test(tc, pool_that_is_off_never_makes_anybody_wait);
	tcase_add_test(tc, bytes_of_a_failed_batch_come_back);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
