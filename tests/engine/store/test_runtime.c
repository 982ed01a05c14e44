/* SPDX-License-Identifier: MIT */
/* test_runtime.c: several stores share one budget, and the one that was not
   written to for the longest gives credit back first. */
#include <stdio.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"

enum { STORES = 4, FILLED = 50 };

static struct kit kit; /* its store is the first */
static struct lsm *stores[STORES];

static void open_store(int i)
{
	char path[32];

	snprintf(path, sizeof(path), "/st%d", i);
	ASSERT_OK(lsm_create(kit.env, path, slice_str("")));
	ASSERT_OK(lsm_open(kit.runtime, path, &kit.options, &stores[i]));
}

static void setup(void)
{
	kit_init(&kit);
	ASSERT_OK(lsm_runtime_create(&kit.runtime_options, &kit.runtime));
	for (int i = 0; i < STORES; i++)
		open_store(i);
}

static void teardown(void)
{
	kit_log_end();
	for (int i = 0; i < STORES; i++) {
		lsm_close(stores[i]);
		stores[i] = NULL;
	}
	kit_release(&kit);
}

static uint64_t flushes_of(int i)
{
	struct lsm_stats stats;

	lsm_stats(stores[i], &stats);
	return stats.flushes.count;
}

static uint64_t used(void)
{
	struct lsm_stats stats;

	lsm_stats(stores[0], &stats);
	return stats.credit.used_bytes;
}

START_TEST(defaults_are_those_of_the_header)
{
	struct lsm_runtime_options options;

	lsm_runtime_options_init(&options);
	ck_assert_int_eq(options.credit_bytes, 64 << 20);
	ck_assert_uint_eq(options.cache_bytes, 64 << 20);
	ck_assert_uint_eq(options.compaction_threads, 1);
	ck_assert_uint_eq(options.period_ms, 10000);
	ck_assert_uint_eq(options.sync_period_ms, 1000);
	ck_assert_uint_eq(options.device_rate, 0);
}
END_TEST

START_TEST(runtime_without_stores_comes_and_goes)
{
	struct lsm_runtime *runtime;
	struct lsm_runtime_options options;

	lsm_runtime_options_init(&options);
	for (int i = 0; i < 20; i++) {
		options.credit_bytes = i - 10;
		options.compaction_threads = (unsigned)i;
		ASSERT_OK(lsm_runtime_create(&options, &runtime));
		lsm_runtime_destroy(runtime);
	}
	lsm_runtime_destroy(NULL);
}
END_TEST

START_TEST(stores_share_one_pool)
{
	uint64_t before = 0;

	for (int i = 0; i < STORES; i++) {
		kit_fill(stores[i], "k", FILLED, "some");
		ck_assert_uint_ge(used(), before + FILLED * KIT_VALUE_BYTES);
		before = used();
	}
}
END_TEST

START_TEST(least_recently_written_store_gives_back_first)
{
	struct lsm_admission admission;

	for (int i = 0; i < STORES; i++)
		kit_fill(stores[i], "k", FILLED, "some");
	/* Just over what is free: one store is enough. */
	ASSERT_OK(lsm_admit(stores[3], KIT_CREDIT_BYTES - used() + 1, false,
	                    &admission));
	ck_assert_uint_eq(flushes_of(0), 1);
	ck_assert_uint_eq(flushes_of(3), 0);
	lsm_admission_release(&admission);
	/* Now store 0 is written to again: store 1 is next. */
	kit_fill(stores[0], "k", FILLED, "more");
	ASSERT_OK(lsm_admit(stores[3], KIT_CREDIT_BYTES - used() + 1, false,
	                    &admission));
	ck_assert_uint_eq(flushes_of(0), 1);
	ck_assert_uint_eq(flushes_of(1), 1);
	lsm_admission_release(&admission);
	for (int i = 0; i < STORES; i++)
		kit_expect_filled(stores[i], "k", FILLED,
		                  i == 0 ? "more" : "some");
}
END_TEST

/* The oldest memtable is not the one that lies idle. */
START_TEST(a_store_that_is_written_to_again_keeps_its_memtable)
{
	struct lsm_admission admission;

	for (int i = 0; i < STORES; i++)
		kit_fill(stores[i], "k", FILLED, "some");
	kit_fill(stores[0], "z", 1, "more");
	ASSERT_OK(lsm_admit(stores[3], KIT_CREDIT_BYTES - used() + 1, false,
	                    &admission));
	ck_assert_uint_eq(flushes_of(0), 0);
	ck_assert_uint_eq(flushes_of(1), 1);
	lsm_admission_release(&admission);
}
END_TEST

START_TEST(idle_stores_are_flushed_for_a_busy_one)
{
	for (int i = 0; i < STORES; i++)
		kit_fill(stores[i], "k", 2 * FILLED, "some");
	kit_fill(stores[3], "z", 100 * FILLED, "busy");
	for (int i = 0; i < STORES - 1; i++)
		kit_expect_filled(stores[i], "k", 2 * FILLED, "some");
	kit_expect_filled(stores[3], "z", 100 * FILLED, "busy");
}
END_TEST

START_TEST(poisoned_store_does_not_stop_the_others)
{
	struct lsm_admission admission;

	for (int i = 0; i < STORES; i++)
		kit_fill(stores[i], "k", FILLED, "some");
	kit_log_begin();
	kit_fail(&kit, FAULT_SYNC, ".wal", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_sync(stores[0]), POISONED);
	kit_heal(&kit);
	ASSERT_ERR(kit_try_put(stores[0], "a", "1"), POISONED);
	/* What the poisoned one holds does not come back; the rest does. */
	ASSERT_OK(
	    lsm_admit(stores[1], KIT_CREDIT_BYTES / 2, false, &admission));
	lsm_admission_release(&admission);
	kit_fill(stores[1], "z", 20 * FILLED, "busy");
	kit_expect_filled(stores[1], "z", 20 * FILLED, "busy");
	kit_expect_filled(stores[0], "k", FILLED, "some");
	ASSERT_ERR(lsm_close(stores[0]), POISONED);
	stores[0] = NULL;
	kit_fill(stores[1], "z", 20 * FILLED, "more");
}
END_TEST

struct answer {
	struct lsm_admit_request request;
	atomic_int calls;
	enum lsm_err err; /* before `calls` */
};

static void granted(struct lsm_admit_request *request, enum lsm_err err)
{
	struct answer *answer = (struct answer *)(void *)request;

	answer->err = err;
	atomic_fetch_add(&answer->calls, 1);
}

START_TEST(close_wakes_the_waiters_of_its_store_alone)
{
	struct answer first = {.request = {.granted = granted}};
	struct answer second = {.request = {.granted = granted}};
	struct lsm_admission all;
	bool now;

	ASSERT_OK(lsm_admit(stores[1], KIT_CREDIT_BYTES, false, &all));
	ASSERT_OK(lsm_admit_async(stores[0], 100, false, &first.request, &now));
	ck_assert(!now);
	ASSERT_OK(
	    lsm_admit_async(stores[1], 100, false, &second.request, &now));
	ck_assert(!now);
	ASSERT_OK(lsm_close(stores[0]));
	stores[0] = NULL;
	KIT_WAIT_UNTIL(atomic_load(&first.calls) == 1);
	ASSERT_ERR(first.err, CLOSED);
	ck_assert_int_eq(atomic_load(&second.calls), 0);
	lsm_admission_release(&all);
	KIT_WAIT_UNTIL(atomic_load(&second.calls) == 1);
	ASSERT_OK(second.err);
	lsm_admission_release(&second.request.admission);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runtime");
	TCase *tc = tcase_create("runtime");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, defaults_are_those_of_the_header);
	tcase_add_test(tc, runtime_without_stores_comes_and_goes);
	tcase_add_test(tc, stores_share_one_pool);
	tcase_add_test(tc, least_recently_written_store_gives_back_first);
	tcase_add_test(tc, a_store_that_is_written_to_again_keeps_its_memtable);
	tcase_add_test(tc, idle_stores_are_flushed_for_a_busy_one);
	tcase_add_test(tc, poisoned_store_does_not_stop_the_others);
	tcase_add_test(tc, close_wakes_the_waiters_of_its_store_alone);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
