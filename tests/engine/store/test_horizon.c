/* SPDX-License-Identifier: MIT */
/*
 * test_horizon.c: lsm_compact() forgets what is behind the horizon, says so to
 * whoever held on to it, and nothing else.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"
#include "tests/support/tables.h"

enum { KEYS = 2000, FEW = 200, STEPS_MAX = 2000 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.options.table_bytes = 8 << 10;
	kit.options.level_base_bytes = 16 << 10;
	kit.options.block_bytes = 1024;
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static enum lsm_err compact(uint64_t up_to)
{
	return lsm_compact(kit.store, up_to, NULL);
}

static uint64_t horizon(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.horizon;
}

static struct lsm_snapshot *take(void)
{
	struct lsm_snapshot *snap;

	ASSERT_OK(lsm_snapshot_take(kit.store, &snap));
	return snap;
}

static enum lsm_err get(const struct lsm_snapshot *snap, const char *key)
{
	struct buf value = BUF_INIT;
	enum lsm_err err = lsm_get(kit.store, snap, slice_str(key), &value);

	buf_release(&value);
	return err;
}

/* ---- which horizons there can be --------------------------------------- */

START_TEST(impossible_horizons_are_refused_each_with_its_error)
{
	kit_create(&kit);
	ASSERT_ERR(compact(0), ZERO_HORIZON);
	ASSERT_ERR(compact(1), FUTURE_HORIZON);
	for (int i = 0; i < 10; i++)
		kit_put(kit.store, "k", "v");
	ck_assert_uint_eq(lsm_sequence(kit.store), 10);
	ASSERT_ERR(compact(11), FUTURE_HORIZON);
	ck_assert_uint_eq(horizon(), 0);
	ASSERT_OK(compact(5));
	ck_assert_uint_eq(horizon(), 5);
	ASSERT_ERR(compact(4), OLD_HORIZON);
	ASSERT_ERR(compact(0), ZERO_HORIZON);
	ASSERT_ERR(compact(11), FUTURE_HORIZON);
	ck_assert_uint_eq(horizon(), 5);
	ASSERT_OK(compact(5));
	ASSERT_OK(compact(10));
	ck_assert_uint_eq(horizon(), 10);
}
END_TEST

START_TEST(horizon_survives_reopening_and_the_power_cut)
{
	kit_create(&kit);
	for (int i = 0; i < 10; i++)
		kit_put(kit.store, "k", "v");
	ASSERT_OK(compact(7));
	kit_reopen(&kit);
	ck_assert_uint_eq(horizon(), 7);
	ASSERT_ERR(compact(6), OLD_HORIZON);
	ASSERT_OK(compact(8));
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	ck_assert_uint_eq(horizon(), 8);
	ck_assert_uint_ge(lsm_sequence(kit.store), 10);
	ASSERT_ERR(compact(7), OLD_HORIZON);
	ASSERT_OK(compact(9));
}
END_TEST

START_TEST(unsynced_writes_do_not_fall_behind_their_horizon)
{
	kit_create(&kit);
	kit_put(kit.store, "k", "v");
	ASSERT_OK(compact(lsm_sequence(kit.store)));
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	ck_assert_uint_ge(lsm_sequence(kit.store), horizon());
	kit_expect(kit.store, "k", "v");
}
END_TEST

START_TEST(read_only_store_keeps_its_horizon)
{
	kit_create(&kit);
	kit_put(kit.store, "k", "v");
	ASSERT_OK(compact(1));
	kit_close(&kit);
	kit.options.read_only = true;
	kit_open(&kit);
	ck_assert_uint_eq(horizon(), 1);
	ASSERT_ERR(compact(1), READ_ONLY);
}
END_TEST

/* ---- who expires ------------------------------------------------------- */

START_TEST(snapshots_behind_the_horizon_expire_and_others_do_not)
{
	struct lsm_snapshot *behind, *at, *ahead;
	struct lsm_iter *it;

	kit_create(&kit);
	kit_put(kit.store, "k", "1");
	behind = take();
	kit_put(kit.store, "k", "2");
	at = take();
	kit_put(kit.store, "k", "3");
	ahead = take();
	ck_assert_uint_eq(lsm_oldest_sequence(kit.store), 1);
	ASSERT_OK(compact(1));
	kit_expect_at(kit.store, behind, "k", "1");
	ASSERT_OK(compact(2));
	ck_assert_uint_eq(lsm_oldest_sequence(kit.store), 2);
	ASSERT_ERR(get(behind, "k"), EXPIRED);
	ASSERT_ERR(get(behind, "nowhere"), EXPIRED);
	ASSERT_ERR(lsm_iter_create(kit.store, behind, slice_str(""),
	                           slice_str(""), &it),
	           EXPIRED);
	ck_assert_ptr_null(it);
	kit_expect_at(kit.store, at, "k", "2");
	kit_expect_at(kit.store, ahead, "k", "3");
	kit_expect(kit.store, "k", "3");
	lsm_snapshot_release(kit.store, behind);
	lsm_snapshot_release(kit.store, at);
	ck_assert_uint_eq(lsm_oldest_sequence(kit.store), 3);
	lsm_snapshot_release(kit.store, ahead);
}
END_TEST

static struct lsm_iter *open_iter(const struct lsm_snapshot *snap)
{
	struct lsm_iter *it;

	ASSERT_OK(lsm_iter_create(kit.store, snap, slice_str(""), slice_str(""),
	                          &it));
	lsm_iter_seek(it, slice_str(""));
	ck_assert(lsm_iter_valid(it));
	return it;
}

START_TEST(running_iterators_behind_the_horizon_expire)
{
	struct lsm_iter *of_snap, *of_then, *of_now;
	struct lsm_snapshot *snap;

	kit_create(&kit);
	kit_fill(kit.store, "k", 10, "1");
	snap = take();
	of_snap = open_iter(snap);
	of_then = open_iter(NULL);
	kit_fill(kit.store, "k", 10, "2");
	of_now = open_iter(NULL);
	ASSERT_OK(compact(lsm_sequence(kit.store)));

	lsm_iter_next(of_snap);
	ck_assert(!lsm_iter_valid(of_snap));
	ASSERT_ERR(lsm_iter_status(of_snap), EXPIRED);
	lsm_iter_prev(of_then);
	ck_assert(!lsm_iter_valid(of_then));
	ASSERT_ERR(lsm_iter_status(of_then), EXPIRED);
	lsm_iter_seek(of_then, slice_str("k"));
	ASSERT_ERR(lsm_iter_status(of_then), EXPIRED);
	for (int i = 0; i < 9; i++) {
		lsm_iter_next(of_now);
		ck_assert(lsm_iter_valid(of_now));
	}
	lsm_iter_destroy(of_snap);
	lsm_iter_destroy(of_then);
	lsm_iter_destroy(of_now);
	lsm_snapshot_release(kit.store, snap);
}
END_TEST

START_TEST(what_only_an_expired_snapshot_could_see_goes)
{
	struct lsm_snapshot *snap;
	uint64_t once, twice;

	kit_create(&kit);
	kit_fill(kit.store, "k", KEYS, "1");
	ASSERT_OK(compact_all(kit.store));
	once = tables_bytes(kit.store);
	snap = take();
	kit_fill(kit.store, "k", KEYS, "2");
	ASSERT_OK(compact_all(kit.store));
	twice = tables_bytes(kit.store);
	ck_assert_uint_gt(twice, once * 11 / 10);
	/* It is still held; in the last level, without a tombstone. */
	ASSERT_OK(compact(lsm_sequence(kit.store)));
	ck_assert_uint_lt(tables_bytes(kit.store), once * 16 / 15);
	ASSERT_ERR(get(snap, "k000000"), EXPIRED);
	lsm_snapshot_release(kit.store, snap);
	kit_expect_filled(kit.store, "k", KEYS, "2");
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", KEYS, "2");
}
END_TEST

/* ---- other branches ---------------------------------------------------- */

START_TEST(export_takes_the_horizon_along_and_then_has_its_own)
{
	struct lsm_fork_info info;
	struct lsm *child;
	struct lsm_stats stats;

	kit_create(&kit);
	kit_fill(kit.store, "k", KEYS, "1");
	ASSERT_OK(compact(7));
	ASSERT_OK(lsm_export(kit.store, "/child", &info));
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	lsm_stats(child, &stats);
	ck_assert_uint_eq(stats.horizon, 7);
	ASSERT_ERR(lsm_compact(child, 6, NULL), OLD_HORIZON);

	kit_fill(kit.store, "k", KEYS, "2");
	ASSERT_OK(compact(lsm_sequence(kit.store)));
	lsm_stats(child, &stats);
	ck_assert_uint_eq(stats.horizon, 7);
	/* No file went that the child names. */
	kit_expect_filled(child, "k", KEYS, "1");
	ASSERT_OK(lsm_compact(child, 9, NULL));
	ck_assert_uint_gt(horizon(), 9);
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	kit_expect_filled(child, "k", KEYS, "1");
	kit_expect_filled(kit.store, "k", KEYS, "2");
	ASSERT_OK(lsm_close(child));
}
END_TEST

/* ---- progress ---------------------------------------------------------- */

struct watch {
	unsigned told, cancel_at;
	uint64_t done, total;
	bool fell;
};

static bool watch(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	struct watch *w = ctx;

	w->fell |= done_bytes < w->done || done_bytes > total_bytes;
	w->done = done_bytes;
	w->total = total_bytes;
	return ++w->told != w->cancel_at;
}

static void nobody_else_compacts(void)
{
	kit.options.l0_trigger = 1000;
	kit.options.level_base_bytes = 1 << 30;
}

/* Enough for several jobs. */
static void make_work(const char *salt)
{
	sync_lock(&kit.store->compact_mu);
	for (unsigned i = 0; i < 4; i++) {
		kit_fill(kit.store, i % 2 == 0 ? "k" : "l", KEYS / 2, salt);
		ASSERT_OK(lsm_flush(kit.store));
	}
	sync_unlock(&kit.store->compact_mu);
}

START_TEST(progress_goes_up_to_all)
{
	struct watch w = {0};
	struct lsm_compaction how = {watch, &w};

	nobody_else_compacts();
	kit_create(&kit);
	make_work("1");
	ASSERT_OK(lsm_compact(kit.store, lsm_sequence(kit.store), &how));
	ck_assert(!w.fell);
	ck_assert_uint_gt(w.told, 1);
	ck_assert_uint_gt(w.total, 0);
	ck_assert_uint_eq(w.done, w.total);
	/* And with nothing to do. */
	memset(&w, 0, sizeof(w));
	ASSERT_OK(lsm_compact(kit.store, lsm_sequence(kit.store), &how));
	ck_assert_uint_ge(w.told, 1);
	ck_assert_uint_eq(w.done, w.total);
}
END_TEST

START_TEST(compaction_can_be_cancelled_whenever_it_tells)
{
	enum lsm_err err = LSM_ERR_CANCELLED;
	unsigned nth;

	nobody_else_compacts();
	kit_create(&kit);
	for (nth = 1; err == LSM_ERR_CANCELLED && nth < STEPS_MAX; nth++) {
		struct watch w = {.cancel_at = nth};
		struct lsm_compaction how = {watch, &w};
		uint64_t up_to;

		make_work(nth % 2 == 0 ? "even" : "odd");
		up_to = lsm_sequence(kit.store);
		err = lsm_compact(kit.store, up_to, &how);
		ck_assert_uint_eq(horizon(), up_to);
		kit_expect_filled(kit.store, "k", KEYS / 2,
		                  nth % 2 == 0 ? "even" : "odd");
	}
	ASSERT_OK(err);
	ck_assert_uint_gt(nth, 3);
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "l", KEYS / 2,
	                  nth % 2 == 0 ? "odd" : "even");
}
END_TEST

/* ---- garbage that somebody held --------------------------------------- */

enum { LARGE = 9000, LARGE_KEYS = 64, GONE_EVERY = 4 };

static void put_large(unsigned i)
{
	static uint8_t bytes[LARGE]; /* of each key its own */
	char key[16];
	struct gen gen;
	struct lsm_batch *batch;

	gen_init(&gen, i + 1);
	gen_bytes(&gen, bytes, sizeof(bytes));
	snprintf(key, sizeof(key), "key%04u", i);
	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, slice_str(key),
	                        slice_make(bytes, sizeof(bytes))));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
}

static uint64_t garbage_bytes(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.segments.garbage_bytes;
}

static void run_period(void)
{
	bool done = true;

	while (done)
		ASSERT_OK(store_compact_once(kit.store, PICK_PERIOD, NULL, NULL,
		                             &done));
}

/* A quarter is too little to be collected by itself, but lsm_compact() was to. */
START_TEST(period_collects_what_others_held_when_all_was_compacted)
{
	uint64_t gone = (uint64_t)LARGE_KEYS / GONE_EVERY * LARGE;

	kit.options.segment_min_bytes = 1 << 10;
	kit.options.memtable_bytes = 4 << 20;
	kit.runtime_options.credit_bytes = 16 << 20;
	kit_create(&kit);
	for (unsigned i = 0; i < LARGE_KEYS; i++)
		put_large(i);
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_OK(lsm_branch_create(kit.store, "holds", true, NULL));
	for (unsigned i = 0; i < LARGE_KEYS; i += GONE_EVERY) {
		char key[16];

		snprintf(key, sizeof(key), "key%04u", i);
		kit_delete(kit.store, key);
	}
	ASSERT_OK(compact(lsm_sequence(kit.store)));
	ck_assert_uint_ge(garbage_bytes(), gone);
	ASSERT_OK(lsm_branch_delete(kit.store, "holds", false));
	run_period();
	ck_assert_uint_lt(garbage_bytes(), gone / 2);
	for (unsigned i = 0; i < LARGE_KEYS; i += GONE_EVERY)
		put_large(i);
	ASSERT_OK(lsm_flush(kit.store));
	run_period(); /* what came since is not collected so */
	ck_assert(!atomic_load(&kit.store->tidy));
}
END_TEST

/* ---- failures ---------------------------------------------------------- */

START_TEST(failed_compaction_loses_nothing_and_can_be_repeated)
{
	unsigned nth;
	enum lsm_err err = LSM_ERR_NOSPACE;

	nobody_else_compacts();
	kit.options.table_bytes = 2 << 10;
	kit_fail(&kit, FAULT_OPS, ".sst", LSM_ERR_NOSPACE, 0);
	kit_create(&kit);
	kit_log_begin();
	for (unsigned i = 0; i < 3; i++) {
		kit_fill(kit.store, "k", FEW, "1");
		ASSERT_OK(lsm_flush(kit.store));
	}
	for (nth = 0; err != LSM_OK && nth < STEPS_MAX; nth++) {
		atomic_store(&kit.fault.skip, (int)nth);
		atomic_store(&kit.fault.times, 1);
		err = compact(lsm_sequence(kit.store));
		atomic_store(&kit.fault.times, 0);
		ck_assert(err == LSM_OK || err == LSM_ERR_NOSPACE);
		kit_expect_filled(kit.store, "k", FEW, "1");
	}
	ASSERT_OK(err);
	ck_assert_uint_gt(nth, 5);
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", FEW, "1");
}
END_TEST

START_TEST(unrecorded_horizon_expires_nobody)
{
	struct lsm_snapshot *snap;

	kit_create(&kit);
	kit_log_begin();
	kit_put(kit.store, "k", "1");
	snap = take();
	kit_put(kit.store, "k", "2");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fail(&kit, FAULT_SYNC, "MANIFEST", LSM_ERR_IO, 1);
	ck_assert_int_ne(compact(2), LSM_OK);
	kit_heal(&kit);
	ck_assert_uint_eq(horizon(), 0);
	kit_expect_at(kit.store, snap, "k", "1");
	lsm_snapshot_release(kit.store, snap);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("horizon");
	TCase *tc = tcase_create("horizon");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, impossible_horizons_are_refused_each_with_its_error);
	tcase_add_test(tc, horizon_survives_reopening_and_the_power_cut);
	tcase_add_test(tc, unsynced_writes_do_not_fall_behind_their_horizon);
	tcase_add_test(tc, read_only_store_keeps_its_horizon);
	tcase_add_test(tc,
	               snapshots_behind_the_horizon_expire_and_others_do_not);
	tcase_add_test(tc, running_iterators_behind_the_horizon_expire);
	tcase_add_test(tc, what_only_an_expired_snapshot_could_see_goes);
	tcase_add_test(tc, export_takes_the_horizon_along_and_then_has_its_own);
	tcase_add_test(tc, progress_goes_up_to_all);
	tcase_add_test(tc, compaction_can_be_cancelled_whenever_it_tells);
	tcase_add_test(tc,
	               period_collects_what_others_held_when_all_was_compacted);
	tcase_add_test(tc, failed_compaction_loses_nothing_and_can_be_repeated);
	tcase_add_test(tc, unrecorded_horizon_expires_nobody);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
