/* SPDX-License-Identifier: MIT */
/*
 * test_flush.c: a flush that fails loses nothing and tries again; a full disk
 * heals; nothing is left behind.
 */
#include <stdio.h>

#include "base/buf.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum {
	FILLED = 200,
	DISK_BYTES = 64 << 20,
	BALLAST_BYTES = 16 << 20,
	RESERVE_PART = 16, /* of the disk */
	LOW_BYTES = BALLAST_BYTES / RESERVE_PART / 2,
	ROUNDS = 40,
};

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static struct lsm_stats stats_now(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats;
}

START_TEST(flushed_memtable_is_a_table_without_a_log)
{
	struct lsm_stats stats;

	kit_fill(kit.store, "k", FILLED, "first");
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, ".sst"), 0);
	ASSERT_OK(lsm_flush(kit.store));
	stats = stats_now();
	ck_assert_uint_eq(stats.levels[0].files, 1);
	ck_assert_uint_eq(stats.flushes.count, 1);
	ck_assert_uint_eq(stats.log_bytes, 0);
	ck_assert_uint_eq(stats.credit.used_bytes, 0);
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, ".sst"), 1);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(stats_now().flushes.count, 1);
}
END_TEST

START_TEST(memtable_at_its_size_is_flushed_unasked)
{
	kit_fill(kit.store, "k", 2 * KIT_MEMTABLE_BYTES / KIT_VALUE_BYTES,
	         "first");
	KIT_WAIT_UNTIL(stats_now().flushes.count >= 1);
	kit_expect_filled(kit.store, "k",
	                  2 * KIT_MEMTABLE_BYTES / KIT_VALUE_BYTES, "first");
}
END_TEST

START_TEST(idle_memtable_is_flushed_after_a_period)
{
	kit_close(&kit);
	kit.runtime_options.period_ms = 1;
	kit_open(&kit);
	kit_put(kit.store, "a", "1");
	KIT_WAIT_UNTIL(stats_now().log_bytes == 0);
	kit_expect(kit.store, "a", "1");
}
END_TEST

/* Whichever operation on the new table fails. */
static void fail_flush(enum fault_op op, const char *name)
{
	uint64_t used;

	kit_fill(kit.store, "k", FILLED, "first");
	used = stats_now().credit.used_bytes;
	kit_log_begin();
	kit_fail(&kit, op, name, LSM_ERR_IO, 3);
	ASSERT_ERR(lsm_flush(kit.store), IO);
	ck_assert_uint_eq(stats_now().credit.used_bytes, used);
	ck_assert_uint_gt(stats_now().log_bytes, 0);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_wait_met(&kit, 3);
	kit_put(kit.store, "meanwhile", "1");
	KIT_WAIT_UNTIL(stats_now().flushes.count == 1);
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".sst") == 1);
	ck_assert(kit_log_has(KIT_PATH, "trying again"));
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(stats_now().credit.used_bytes, 0);
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_expect(kit.store, "meanwhile", "1");
}

START_TEST(flush_without_a_file_tries_again)
{
	fail_flush(FAULT_CREATE, ".sst");
}
END_TEST

START_TEST(flush_whose_write_fails_tries_again)
{
	fail_flush(FAULT_WRITE, ".sst");
}
END_TEST

START_TEST(flush_whose_sync_fails_tries_again)
{
	fail_flush(FAULT_SYNC, ".sst");
}
END_TEST

START_TEST(flush_whose_seal_fails_tries_again)
{
	fail_flush(FAULT_SEAL, ".sst");
}
END_TEST

START_TEST(flush_whose_folder_sync_fails_tries_again)
{
	fail_flush(FAULT_DIR_SYNC, "");
}
END_TEST

/* One who calls lsm_flush(). */
static enum lsm_err flushed;

static void run_flush(void *ctx)
{
	(void)ctx;
	flushed = lsm_flush(kit.store);
}

static size_t sealed_now(void)
{
	struct view *view = view_get(kit.store, NULL);
	size_t count = view->sealed_count;

	view_unref(view);
	return count;
}

START_TEST(flush_does_not_answer_for_a_try_that_began_before)
{
	struct sync_thread thread;

	kit_log_begin();
	atomic_store(&kit.fault.hold, true);
	kit_fail(&kit, FAULT_SYNC, ".sst", LSM_ERR_IO, 1);
	kit_fill(kit.store, "k", KIT_MEMTABLE_BYTES / KIT_VALUE_BYTES, "first");
	kit_wait_met(&kit, 1);
	ck_assert_uint_eq(sealed_now(), 1);
	ASSERT_OK(sync_thread_start(&thread, "flush", run_flush, NULL));
	KIT_WAIT_UNTIL(sealed_now() == 2);
	atomic_store(&kit.fault.hold, false);
	sync_thread_join(&thread);
	ASSERT_OK(flushed);
	ck_assert(kit_log_has(KIT_PATH, "trying again"));
	ck_assert_uint_eq(stats_now().log_bytes, 0);
	/* One that fails in its time is told. */
	kit_fail(&kit, FAULT_SYNC, ".sst", LSM_ERR_IO, -1);
	kit_put(kit.store, "m", "1");
	ASSERT_ERR(lsm_flush(kit.store), IO);
	kit_heal(&kit);
	ASSERT_OK(lsm_flush(kit.store));
}
END_TEST

START_TEST(memtables_are_flushed_oldest_first)
{
	uint64_t seq = 0;

	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	for (int i = 0; i < 4; i++) {
		kit_fill(kit.store, "k", 20, i == 3 ? "last" : "some");
		ASSERT_ERR(lsm_flush(kit.store), IO);
	}
	sync_lock(&kit.store->tree_mu);
	for (struct generation *g = kit.store->oldest_sealed; g != NULL;
	     g = g->newer) {
		ck_assert_uint_gt(g->last_seq, seq);
		seq = g->last_seq;
	}
	sync_unlock(&kit.store->tree_mu);
	ck_assert_uint_eq(seq, 80);
	kit_expect_filled(kit.store, "k", 20, "last");
	kit_heal(&kit);
	KIT_WAIT_UNTIL(stats_now().log_bytes == 0);
	ck_assert_uint_eq(stats_now().flushes.count, 4);
	kit_expect_filled(kit.store, "k", 20, "last");
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", 20, "last");
}
END_TEST

START_TEST(close_whose_flush_fails_leaves_the_log)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	ASSERT_ERR(kit_try_close(&kit), IO);
	ck_assert_uint_ge(kit_files(kit.env, KIT_POOL, ".wal"), 1);
	kit_crash(&kit, 0, 1); /* and it was synced */
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

/* ---- a full disk
 * -------------------------------------------------------------- */

static enum lsm_err put_shrinking(const char *key)
{
	struct lsm_admission admission;
	struct lsm_batch *batch;
	enum lsm_err err;

	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_delete(batch, slice_str(key)));
	err =
	    lsm_admit(kit.store, lsm_admission_bound(kit.store, 1, strlen(key)),
	              true, &admission);
	if (err == LSM_OK)
		err = lsm_write(kit.store, batch, &admission, NULL);
	lsm_batch_destroy(batch);
	return err;
}

static bool is_admitted(void)
{
	struct lsm_admission admission;
	bool admitted = lsm_try_admit(kit.store, 10, false, &admission);

	lsm_admission_release(&admission);
	return admitted;
}

/* Something else on the disk, of which the reserve is a part. */
static void put_ballast(void)
{
	struct buf bytes = BUF_INIT;

	ASSERT_OK(buf_resize(&bytes, BALLAST_BYTES));
	kit_write_file(kit.mem, "/", "ballast", buf_slice(&bytes));
	buf_release(&bytes);
}

START_TEST(full_disk_refuses_growth_and_takes_deletions)
{
	struct lsm_admission admission;
	uint64_t total, left;

	put_ballast();
	kit_fill(kit.store, "k", FILLED, "first");
	env_mem_set_free(kit.mem, BALLAST_BYTES);
	ASSERT_OK(lsm_disk_space(kit.store, &total, &left));
	ck_assert_uint_ge(total, 2 * BALLAST_BYTES);
	/* Less the reserve, the next logs, and what is to be flushed. */
	ck_assert_uint_eq(left, BALLAST_BYTES - total / RESERVE_PART -
	                            2 * WAL_STEP_MAX_BYTES -
	                            stats_now().credit.used_bytes);

	kit_log_begin();
	env_mem_set_free(kit.mem, LOW_BYTES);
	ASSERT_OK(lsm_disk_space(kit.store, &total, &left));
	ck_assert_uint_eq(left, 0);
	KIT_WAIT_UNTIL(!is_admitted());
	ASSERT_ERR(kit_try_put(kit.store, "new", "1"), NOSPACE);
	ASSERT_ERR(lsm_admit(kit.store, 10, false, &admission), NOSPACE);
	ASSERT_OK(put_shrinking("k000000"));
	kit_expect(kit.store, "k000000", NULL);
	ASSERT_OK(lsm_sync(kit.store));
	ASSERT_OK(lsm_flush(kit.store)); /* the reserve is for that */
	ASSERT_OK(put_shrinking("k000001"));

	env_mem_set_free(kit.mem, DISK_BYTES);
	KIT_WAIT_UNTIL(kit_try_put(kit.store, "new", "2") == LSM_OK);
	kit_expect(kit.store, "new", "2");
	kit_reopen(&kit);
	kit_expect(kit.store, "new", "2");
	kit_expect(kit.store, "k000000", NULL);
	ck_assert_uint_eq(kit_count(kit.store, "k", "l"), FILLED - 2);
}
END_TEST

START_TEST(growth_on_a_full_disk_is_refused_once_all_is_reclaimed)
{
	struct lsm_admission admission;
	uint64_t asked;

	kit_close(&kit);
	kit.options.nospace_wait_ms = 1000 * 1000;
	kit_open(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	env_mem_set_free(kit.mem, LOW_BYTES);
	KIT_WAIT_UNTIL(!is_admitted());
	kit_log_begin();
	ASSERT_ERR(lsm_admit(kit.store, 10, false, &admission), NOSPACE);
	ck_assert_uint_eq(lsm_reclaimed(kit.store), lsm_sequence(kit.store));
	ck_assert_uint_eq(stats_now().flushes.count, 1);

	/* What is deleted later is worth another look. */
	ASSERT_OK(put_shrinking("k000000"));
	ck_assert_uint_lt(lsm_reclaimed(kit.store), lsm_sequence(kit.store));
	asked = lsm_reclaim(kit.store);
	ck_assert_uint_eq(asked, lsm_sequence(kit.store));
	KIT_WAIT_UNTIL(lsm_reclaimed(kit.store) >= asked);
	kit_expect(kit.store, "k000000", NULL);
}
END_TEST

START_TEST(flush_on_a_full_disk_keeps_all_and_heals)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, ".sst", LSM_ERR_NOSPACE, -1);
	ASSERT_ERR(lsm_flush(kit.store), NOSPACE);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_put(kit.store, "small", "1"); /* there is credit */
	kit_heal(&kit);
	KIT_WAIT_UNTIL(stats_now().flushes.count == 1);
	kit_fill(kit.store, "l", FILLED, "second");
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_expect_filled(kit.store, "l", FILLED, "second");
}
END_TEST

START_TEST(waiter_on_a_full_disk_gives_up_after_a_while)
{
	struct lsm_admission most, more;

	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, ".sst", LSM_ERR_NOSPACE, -1);
	ASSERT_ERR(lsm_flush(kit.store), NOSPACE);
	ASSERT_ERR(lsm_admit(kit.store, KIT_CREDIT_BYTES, false, &most),
	           NOSPACE);
	kit_heal(&kit);
	ASSERT_OK(lsm_admit(kit.store, KIT_CREDIT_BYTES, true, &more));
	lsm_admission_release(&more);
	ASSERT_OK(lsm_admit(kit.store, KIT_CREDIT_BYTES, false, &more));
	lsm_admission_release(&more);
}
END_TEST

/* A disk that is full to the last byte is no poison either: whatever cannot be
   written is refused, and all that was acknowledged stays. */
START_TEST(disk_that_fills_up_while_we_write_heals)
{
	unsigned acknowledged = 0;

	kit_log_begin();
	for (unsigned round = 0; round < ROUNDS; round++) {
		char prefix[16];
		enum lsm_err err = LSM_OK;

		env_mem_set_free(kit.mem, (uint64_t)round * 3000);
		snprintf(prefix, sizeof(prefix), "r%02u-", round);
		for (unsigned i = 0; i < 300 && err == LSM_OK; i++) {
			char key[32];

			snprintf(key, sizeof(key), "%s%06u", prefix, i);
			err = kit_try_put(kit.store, key, "some value");
			ck_assert_msg(err == LSM_OK || err == LSM_ERR_NOSPACE,
			              "%s", lsm_strerror(err));
			acknowledged += err == LSM_OK;
		}
		err = lsm_flush(kit.store);
		ck_assert_msg(err == LSM_OK || err == LSM_ERR_NOSPACE, "%s",
		              lsm_strerror(err));
		env_mem_set_free(kit.mem, DISK_BYTES);
		KIT_WAIT_UNTIL(kit_try_put(kit.store, "healed", "1") == LSM_OK);
	}
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_eq(kit_count(kit.store, "r", "s"), acknowledged);
	kit_reopen(&kit);
	ck_assert_uint_eq(kit_count(kit.store, "r", "s"), acknowledged);
	ck_assert_uint_gt(acknowledged, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flush");
	TCase *tc = tcase_create("flush");
	tcase_set_timeout(tc, 60); /* tries that fail are far between */

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, flushed_memtable_is_a_table_without_a_log);
	tcase_add_test(tc, memtable_at_its_size_is_flushed_unasked);
	tcase_add_test(tc, idle_memtable_is_flushed_after_a_period);
	tcase_add_test(tc, flush_without_a_file_tries_again);
	tcase_add_test(tc, flush_whose_write_fails_tries_again);
	tcase_add_test(tc, flush_whose_sync_fails_tries_again);
	tcase_add_test(tc, flush_whose_seal_fails_tries_again);
	tcase_add_test(tc, flush_whose_folder_sync_fails_tries_again);
	tcase_add_test(tc, flush_does_not_answer_for_a_try_that_began_before);
	tcase_add_test(tc, memtables_are_flushed_oldest_first);
	tcase_add_test(tc, close_whose_flush_fails_leaves_the_log);
	suite_add_tcase(suite, tc);

	tc = tcase_create("a full disk");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, full_disk_refuses_growth_and_takes_deletions);
	tcase_add_test(tc,
	               growth_on_a_full_disk_is_refused_once_all_is_reclaimed);
	tcase_add_test(tc, flush_on_a_full_disk_keeps_all_and_heals);
	tcase_add_test(tc, waiter_on_a_full_disk_gives_up_after_a_while);
	tcase_add_test(tc, disk_that_fills_up_while_we_write_heals);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
