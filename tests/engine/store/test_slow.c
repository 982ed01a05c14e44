/* SPDX-License-Identifier: MIT */
/* test_slow.c: while compaction stands still writers are slowed down, and L0 has a
   bound; deletions, closing and a poisoned store are not held up. */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/tables.h"

enum { SLOW = 3, STOP = 6, FEW = 10, LARGE = 100 << 10 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.options.l0_trigger = 2;
	kit.options.l0_slow = SLOW;
	kit.options.l0_stop = STOP;
	kit_log_begin();
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

/* No compaction begins from here on. */
static void stop_compaction(void)
{
	sync_lock(&kit.store->compact_mu);
}

static void let_compaction_go(void)
{
	sync_unlock(&kit.store->compact_mu);
}

static size_t l0_tables(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return (size_t)stats.levels[0].files;
}

static uint64_t stalls(enum lsm_stall cause)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.stalls[cause].count;
}

static void add_tables(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		kit_fill(kit.store, "k", 100, "1");
		ASSERT_OK(lsm_flush(kit.store));
	}
}

/* So much that the next admission finds the rate used up. */
static void use_up(void)
{
	(void)slow_take(kit.store, 1 << 30);
}

START_TEST(writers_are_slowed_from_the_slow_line_on)
{
	kit_create(&kit);
	stop_compaction();
	add_tables(SLOW);
	use_up();
	kit_fill(kit.store, "a", FEW, "1");
	ck_assert_uint_eq(stalls(LSM_STALL_COMPACTION), 0);
	add_tables(1);
	use_up();
	kit_fill(kit.store, "a", FEW, "1");
	ck_assert_uint_gt(stalls(LSM_STALL_COMPACTION), 0);
	let_compaction_go();
	KIT_WAIT_UNTIL(l0_tables() <= SLOW);
	KIT_WAIT_UNTIL(!slow_would_wait(kit.store));
	/* Also for those who come next: L0 is no longer at work. */
	use_up();
	kit_fill(kit.store, "a", FEW, "1");
	ck_assert(!slow_would_wait(kit.store));
}
END_TEST

/* Not of all the credit that it asks for in case its arena must grow. */
START_TEST(a_small_write_takes_a_small_share)
{
	const uint64_t ns_per_kib =
	    UINT64_C(1000000000) * 1024 / PACE_RATE_LEAST;
	uint64_t start, end, clock;

	kit_create(&kit);
	stop_compaction();
	add_tables(STOP - 1);
	start = sync_now_ns();
	sync_lock(&kit.store->slow.mu);
	kit.store->slow.flow.drain_rate = 1;
	kit.store->slow.clock_ns = start;
	sync_unlock(&kit.store->slow.mu);
	kit_put(kit.store, "a", "1");
	end = sync_now_ns();
	sync_lock(&kit.store->slow.mu);
	clock = kit.store->slow.clock_ns;
	sync_unlock(&kit.store->slow.mu);
	ck_assert_uint_gt(clock, start);
	ck_assert_uint_lt(clock, end + ns_per_kib);
	let_compaction_go();
}
END_TEST

static uint64_t bytes_of_table(void)
{
	uint64_t bytes;

	sync_lock(&kit.store->slow.mu);
	bytes = kit.store->slow.flow.table_bytes;
	sync_unlock(&kit.store->slow.mu);
	return bytes;
}

static uint64_t pace_clock(void)
{
	uint64_t clock;

	sync_lock(&kit.store->slow.mu);
	clock = kit.store->slow.clock_ns;
	sync_unlock(&kit.store->slow.mu);
	return clock;
}

/* A write of a large value, from when to when, and until when it took the rate. */
struct large_write {
	uint64_t start, end, clock;
};

static void write_large(uint32_t direct_min_bytes, struct large_write *out)
{
	struct buf value = BUF_INIT;

	kit.options.segment_min_bytes = 8 << 10;
	kit.options.direct_min_bytes = direct_min_bytes;
	kit_create(&kit);
	ASSERT_OK(buf_resize(&value, LARGE + 1));
	memset(value.data, 'x', LARGE);
	value.data[LARGE] = '\0';
	stop_compaction();
	add_tables(STOP - 1);
	out->start = sync_now_ns();
	sync_lock(&kit.store->slow.mu);
	kit.store->slow.flow.drain_rate = LARGE;
	kit.store->slow.clock_ns = out->start;
	sync_unlock(&kit.store->slow.mu);
	kit_put(kit.store, "large", (const char *)value.data);
	out->end = sync_now_ns();
	out->clock = pace_clock();
	let_compaction_go();
	buf_release(&value);
}

START_TEST(placed_value_takes_the_share_of_its_pointer)
{
	const uint64_t ns_per_kib =
	    UINT64_C(1000000000) * 1024 / PACE_RATE_LEAST;
	struct large_write write;
	uint64_t before;

	write_large(LARGE, &write);
	ck_assert_uint_gt(write.clock, write.start);
	ck_assert_uint_lt(write.clock, write.end + ns_per_kib);
	before = bytes_of_table();
	ck_assert_uint_gt(before, 0);
	ASSERT_OK(lsm_flush(kit.store));
	/* Nothing to learn from. */
	ck_assert_uint_eq(bytes_of_table(), before);
}
END_TEST

START_TEST(value_in_the_log_takes_its_own_share)
{
	struct large_write write;

	write_large(0, &write);
	ck_assert_uint_ge(write.clock, write.start + PACE_DELAY_MAX_NS);
}
END_TEST

START_TEST(deletions_are_not_slowed)
{
	struct lsm_admission admission;

	kit_create(&kit);
	stop_compaction();
	add_tables(SLOW + 1);
	use_up();
	ck_assert(slow_would_wait(kit.store));
	ck_assert(!lsm_try_admit(kit.store, 1000, false, &admission));
	ck_assert(lsm_try_admit(kit.store, 1000, true, &admission));
	lsm_admission_release(&admission);
	ASSERT_OK(lsm_admit(kit.store, 1000, true, &admission));
	lsm_admission_release(&admission);
	ck_assert_uint_eq(stalls(LSM_STALL_COMPACTION), 0);
	let_compaction_go();
}
END_TEST

START_TEST(nothing_is_slowed_when_that_is_switched_off)
{
	kit.options.l0_slow = UINT32_MAX;
	kit_create(&kit);
	stop_compaction();
	add_tables(2 * STOP);
	ck_assert(!slow_would_wait(kit.store));
	ck_assert_uint_eq(l0_tables(), 2 * STOP);
	ck_assert_uint_eq(stalls(LSM_STALL_COMPACTION), 0);
	let_compaction_go();
}
END_TEST

/* ---- requests that do not wait in a thread ------------------------------- */

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

/* Ask for admission, which is put off. */
static void ask(struct answer *answer)
{
	bool now;

	memset(answer, 0, sizeof(*answer));
	answer->request.granted = granted;
	ASSERT_OK(
	    lsm_admit_async(kit.store, 1000, false, &answer->request, &now));
	ck_assert(!now);
}

START_TEST(request_is_set_aside_and_granted_later)
{
	struct answer answers[3];

	kit_create(&kit);
	stop_compaction();
	add_tables(SLOW + 1);
	use_up();
	for (int i = 0; i < 3; i++)
		ask(&answers[i]);
	for (int i = 0; i < 3; i++) {
		KIT_WAIT_UNTIL(atomic_load(&answers[i].calls) == 1);
		ASSERT_OK(answers[i].err);
		ck_assert_ptr_eq(answers[i].request.admission.store, kit.store);
		lsm_admission_release(&answers[i].request.admission);
	}
	ck_assert_uint_eq(stalls(LSM_STALL_COMPACTION), 3);
	let_compaction_go();
}
END_TEST

START_TEST(request_set_aside_gets_the_error_of_a_store_that_closes)
{
	struct lsm_runtime *runtime;
	struct answer answer;
	bool still_there;

	kit_create(&kit);
	runtime = kit.runtime;
	stop_compaction();
	add_tables(SLOW + 1);
	use_up();
	ask(&answer);
	/* As if its time were far away: it must be called for. On a slow machine
	   it may have been called already. */
	sync_lock(&kit.store->slow.mu);
	still_there = kit.store->slow.head != NULL;
	if (still_there)
		kit.store->slow.head->due_ns += UINT64_C(3600000000000);
	sync_unlock(&kit.store->slow.mu);
	if (!still_there) {
		KIT_WAIT_UNTIL(atomic_load(&answer.calls) == 1);
		lsm_admission_release(&answer.request.admission);
	}
	let_compaction_go();
	ASSERT_OK(lsm_close(kit.store));
	kit.store = NULL;
	ck_assert_int_eq(atomic_load(&answer.calls), 1);
	if (still_there)
		ASSERT_ERR(answer.err, CLOSED);
	lsm_runtime_destroy(runtime);
	kit.runtime = NULL;
}
END_TEST

/* ---- the bound of L0 ------------------------------------------------------ */

static atomic_bool stop_writing;

static void write_on(void *ctx)
{
	char key[32];

	(void)ctx;
	for (unsigned i = 0; !atomic_load(&stop_writing); i++) {
		snprintf(key, sizeof(key), "w%06u", i % 5000);
		if (kit_try_put(kit.store, key,
		                "a value that fills memtables, one by one") !=
		    LSM_OK)
			return;
	}
}

START_TEST(l0_does_not_grow_beyond_the_stop_line)
{
	struct sync_thread writer;

	kit.options.memtable_bytes = 16 << 10;
	kit_create(&kit);
	atomic_init(&stop_writing, false);
	stop_compaction();
	ASSERT_OK(sync_thread_start(&writer, "writer", write_on, NULL));
	/* The writer is stopped by its credit in the end. */
	KIT_WAIT_UNTIL(stalls(LSM_STALL_BUDGET) > 0 && l0_tables() == STOP);
	for (int i = 0; i < 100; i++)
		ck_assert_uint_eq(l0_tables(), STOP);
	let_compaction_go();
	KIT_WAIT_UNTIL(stalls(LSM_STALL_L0) > 0);
	atomic_store(&stop_writing, true);
	sync_thread_join(&writer);
	ASSERT_OK(lsm_flush(kit.store));
}
END_TEST

START_TEST(flushes_are_not_held_while_compactions_fail)
{
	kit_create(&kit);
	stop_compaction();
	add_tables(STOP);
	atomic_store(&kit.store->slow.failing, true);
	add_tables(2);
	ck_assert_uint_eq(l0_tables(), STOP + 2);
	atomic_store(&kit.store->slow.failing, false);
	let_compaction_go();
	KIT_WAIT_UNTIL(l0_tables() < STOP);
}
END_TEST

START_TEST(store_closes_with_a_flush_that_is_held)
{
	kit_create(&kit);
	stop_compaction();
	add_tables(STOP);
	kit_fill(kit.store, "z", FEW, "1");
	ASSERT_OK(store_lead_and_seal(kit.store));
	KIT_WAIT_UNTIL(atomic_load(&kit.store->slow.held_since_ns) != 0);
	let_compaction_go();
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "z", FEW, "1");
}
END_TEST

START_TEST(failing_compactions_are_noticed)
{
	kit_create(&kit);
	stop_compaction();
	add_tables(2);
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	let_compaction_go();
	KIT_WAIT_UNTIL(atomic_load(&kit.store->slow.failing));
	kit_heal(&kit);
	KIT_WAIT_UNTIL(!atomic_load(&kit.store->slow.failing));
}
END_TEST

/* A compaction that meets a full disk loses nothing and leaves nothing, is tried
   again, and comes to its end by itself once there is room. */
START_TEST(compactions_go_on_when_a_full_disk_has_room_again)
{
	kit_create(&kit);
	stop_compaction();
	kit_fill(kit.store, "k", 100, "1");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "k", 100, "2");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fail(&kit, FAULT_WRITE, ".sst", LSM_ERR_NOSPACE, -1);
	let_compaction_go();
	kit_wait_met(&kit, 3);
	KIT_WAIT_UNTIL(atomic_load(&kit.store->slow.failing));
	ck_assert_uint_eq(l0_tables(), 2);
	kit_expect_filled(kit.store, "k", 100, "2");
	kit_put(kit.store, "meanwhile", "1");
	kit_heal(&kit);
	KIT_WAIT_UNTIL(l0_tables() == 0);
	KIT_WAIT_UNTIL(!atomic_load(&kit.store->slow.failing));
	kit_expect_filled(kit.store, "k", 100, "2");
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".sst") ==
	               tables_count(kit.store));
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", 100, "2");
	kit_expect(kit.store, "meanwhile", "1");
}
END_TEST

START_TEST(syncs_and_new_logs_are_counted)
{
	uint64_t before;

	kit_create(&kit);
	before = stalls(LSM_STALL_SYNC);
	ck_assert_uint_eq(stalls(LSM_STALL_LOG), 0);
	kit_put(kit.store, "a", "1");
	ck_assert_uint_eq(stalls(LSM_STALL_LOG), 1);
	ASSERT_OK(lsm_sync(kit.store));
	ck_assert_uint_eq(stalls(LSM_STALL_SYNC), before + 1);
	ASSERT_OK(lsm_sync(kit.store)); /* nothing to wait for */
	ck_assert_uint_eq(stalls(LSM_STALL_SYNC), before + 1);
}
END_TEST

/* Whoever wants one level alone, or a memtable without end, may say so. */
START_TEST(limits_beyond_all_bounds_slow_nobody)
{
	const uint64_t bounds[] = {UINT64_MAX, UINT64_C(1) << 62,
	                           UINT64_C(1) << 60};

	kit.options.l0_slow = kit.options.l0_stop = 0;
	kit_create(&kit);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		kit_close(&kit);
		kit.options.level_base_bytes = bounds[i];
		kit.options.memtable_bytes = bounds[i];
		kit_open(&kit);
		add_tables(2);
		ck_assert(!slow_would_wait(kit.store));
		ck_assert_uint_eq(stalls(LSM_STALL_COMPACTION), 0);
		ck_assert_uint_ge(store_segment_bytes(kit.store), 1 << 20);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slow");
	TCase *tc = tcase_create("slow");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, writers_are_slowed_from_the_slow_line_on);
	tcase_add_test(tc, a_small_write_takes_a_small_share);
	tcase_add_test(tc, placed_value_takes_the_share_of_its_pointer);
	tcase_add_test(tc, value_in_the_log_takes_its_own_share);
	tcase_add_test(tc, deletions_are_not_slowed);
	tcase_add_test(tc, nothing_is_slowed_when_that_is_switched_off);
	tcase_add_test(tc, request_is_set_aside_and_granted_later);
	tcase_add_test(tc,
	               request_set_aside_gets_the_error_of_a_store_that_closes);
	tcase_add_test(tc, l0_does_not_grow_beyond_the_stop_line);
	tcase_add_test(tc, flushes_are_not_held_while_compactions_fail);
	tcase_add_test(tc, store_closes_with_a_flush_that_is_held);
	tcase_add_test(tc, failing_compactions_are_noticed);
	tcase_add_test(tc, compactions_go_on_when_a_full_disk_has_room_again);
	tcase_add_test(tc, syncs_and_new_logs_are_counted);
	tcase_add_test(tc, limits_beyond_all_bounds_slow_nobody);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
