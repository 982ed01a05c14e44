/* SPDX-License-Identifier: MIT */
/* test_stats.c: each figure moves, and is what is measured from outside. */
#include <stdio.h>

#include "base/buf.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum { FILLED = 300 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_release(&kit);
}

static struct lsm_stats now(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats;
}

/* Bytes of the files of the pool whose names contain `part`. */
static uint64_t bytes_of(const char *part)
{
	static struct kit_names names;
	struct buf bytes = BUF_INIT;
	uint64_t sum = 0;

	kit_list(kit.env, KIT_POOL, part, &names);
	for (size_t i = 0; i < names.count; i++) {
		buf_clear(&bytes);
		kit_read_file(kit.env, KIT_POOL, names.name[i], &bytes);
		sum += bytes.len;
	}
	buf_release(&bytes);
	return sum;
}

START_TEST(levels_are_the_files_that_are_there)
{
	struct lsm_stats stats = now();

	for (unsigned l = 0; l < LSM_LEVELS; l++)
		ck_assert_uint_eq(stats.levels[l].files, 0);
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	stats = now();
	ck_assert_uint_eq(stats.levels[0].files,
	                  kit_files(kit.env, KIT_POOL, ".sst"));
	ck_assert_uint_eq(stats.levels[0].bytes, bytes_of(".sst"));
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".sst") ==
	               now().levels[LSM_LEVELS - 1].files);
	stats = now();
	ck_assert_uint_eq(stats.levels[0].files, 0);
	ck_assert_uint_eq(stats.levels[LSM_LEVELS - 1].bytes, bytes_of(".sst"));
}
END_TEST

START_TEST(flushes_and_compactions_count_what_they_wrote)
{
	struct lsm_stats stats;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	stats = now();
	ck_assert_uint_eq(stats.flushes.count, 1);
	ck_assert_uint_eq(stats.flushes.bytes, bytes_of(".sst"));
	ck_assert_uint_eq(stats.compactions.bytes, 0);
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
	stats = now();
	ck_assert_uint_eq(stats.flushes.count, 2);
	ck_assert_uint_ge(stats.compactions.count, 1);
	ck_assert_uint_ge(stats.compactions.bytes,
	                  stats.levels[LSM_LEVELS - 1].bytes);
}
END_TEST

START_TEST(without_jobs_no_compaction_is_left)
{
	for (int i = 0; i < 20; i++) {
		kit_fill(kit.store, "k", FILLED, "first");
		ASSERT_OK(lsm_flush(kit.store));
	}
	KIT_WAIT_UNTIL(now().jobs == 0);
	ck_assert_uint_gt(now().compactions.count, 0);
	ck_assert_uint_lt(now().levels[0].files, 4);
}
END_TEST

START_TEST(log_bytes_are_those_not_yet_in_tables)
{
	uint64_t few;

	ck_assert_uint_eq(now().log_bytes, 0);
	kit_fill(kit.store, "k", 10, "first");
	few = now().log_bytes;
	ck_assert_uint_gt(few, 10 * KIT_VALUE_BYTES);
	ck_assert_uint_le(few, bytes_of(".wal"));
	kit_fill(kit.store, "l", 10, "first");
	ck_assert_uint_ge(now().log_bytes, few + 10 * KIT_VALUE_BYTES);
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(now().log_bytes, 0);
}
END_TEST

START_TEST(sequence_and_counters_follow_the_writes)
{
	struct lsm_batch *batch;
	struct lsm_stats stats;

	kit_fill(kit.store, "k", 10, "first");
	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	lsm_batch_count(batch, 4, -12);
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
	stats = now();
	ck_assert_uint_eq(stats.sequence, 11);
	ck_assert_int_eq(stats.counters[4], -12);
	ck_assert_int_eq(stats.counters[0], 0);
}
END_TEST

static void expect_branches(uint64_t count, uint64_t open, uint64_t damaged)
{
	struct lsm_stats stats = now();

	ck_assert_uint_eq(stats.branches.count, count);
	ck_assert_uint_eq(stats.branches.open, open);
	ck_assert_uint_eq(stats.branches.damaged, damaged);
}

START_TEST(branches_are_those_that_are_there_and_open)
{
	char folder[KIT_NAME_BYTES];
	struct lsm_branch_info info;
	struct lsm *child;

	expect_branches(1, 1, 0);
	ASSERT_OK(lsm_branch_create(kit.store, "one", false, &info));
	kit_fork(kit.store, "two");
	expect_branches(3, 1, 0);
	child = kit_branch(&kit, "two");
	expect_branches(3, 2, 0);
	ASSERT_OK(lsm_close(child));
	expect_branches(3, 1, 0);
	ASSERT_OK(lsm_branch_delete(kit.store, "two", false));
	expect_branches(2, 1, 0);
	kit_close(&kit);
	snprintf(folder, sizeof(folder), KIT_PATH "/branches/%016llx",
	         (unsigned long long)info.id);
	kit_remove_file(kit.env, folder, "CURRENT");
	kit_log_begin();
	kit_open(&kit);
	expect_branches(1, 1, 1);
}
END_TEST

START_TEST(io_is_what_the_env_counts)
{
	struct lsm_stats before = now(), after;
	struct env_io_stats io;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_sync(kit.store));
	ASSERT_OK(lsm_flush(kit.store));
	kit_expect_filled(kit.store, "k", FILLED, "first");
	after = now();
	env_io_stats(kit.mem, &io);
	/* Each value went to the log and to a table. */
	ck_assert_uint_ge(after.io.bytes_written - before.io.bytes_written,
	                  2 * FILLED * 40);
	ck_assert_uint_gt(after.io.bytes_read, before.io.bytes_read);
	ck_assert_uint_ge(after.io.syncs, before.io.syncs + 2);
	ck_assert_uint_ge(io.bytes_written, after.io.bytes_written);
	ck_assert_uint_ge(io.syncs, after.io.syncs);
}
END_TEST

START_TEST(cache_is_hit_and_stays_within_its_limit)
{
	struct lsm_stats stats;

	kit_close(&kit);
	kit.runtime_options.cache_bytes = 16 << 10;
	kit_open(&kit);
	kit_fill(kit.store, "k", 4 * FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	for (int i = 0; i < 2; i++)
		kit_expect_filled(kit.store, "k", 4 * FILLED, "first");
	stats = now();
	ck_assert_uint_eq(stats.cache.limit_bytes, 16 << 10);
	ck_assert_uint_gt(stats.cache.hits, 0);
	ck_assert_uint_gt(stats.cache.misses, 0);
	ck_assert_uint_gt(stats.cache.used_bytes, 0);
	ck_assert_uint_le(stats.cache.used_bytes, stats.cache.limit_bytes);
}
END_TEST

START_TEST(credit_and_arenas_are_given_back)
{
	struct lsm_admission admission;
	struct lsm_stats stats = now();

	ck_assert_int_eq(stats.credit.limit_bytes, KIT_CREDIT_BYTES);
	ck_assert_uint_eq(stats.credit.used_bytes, 0);
	ck_assert_uint_eq(stats.memory.arena_bytes, 0);
	kit_fill(kit.store, "k", 100, "first");
	stats = now();
	ck_assert_uint_ge(stats.credit.used_bytes, 100 * KIT_VALUE_BYTES);
	ck_assert_uint_eq(stats.credit.used_bytes, stats.memory.arena_bytes);
	ck_assert_uint_ge(stats.credit.peak_bytes, stats.credit.used_bytes);
	ck_assert_uint_le(stats.memory.arena_peak_bytes,
	                  stats.credit.peak_bytes);
	ck_assert_uint_eq(stats.credit.waits, 0);
	/* Wait for a flush. */
	ASSERT_OK(lsm_admit(kit.store, KIT_CREDIT_BYTES, false, &admission));
	stats = now();
	ck_assert_uint_eq(stats.credit.waits, 1);
	ck_assert_uint_gt(stats.credit.stall_ns, 0);
	ck_assert_uint_eq(stats.credit.used_bytes, KIT_CREDIT_BYTES);
	ck_assert_uint_eq(stats.credit.peak_bytes, KIT_CREDIT_BYTES);
	lsm_admission_release(&admission);
	stats = now();
	ck_assert_uint_eq(stats.credit.used_bytes, 0);
	ck_assert_uint_eq(stats.memory.arena_bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tc = tcase_create("stats");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, levels_are_the_files_that_are_there);
	tcase_add_test(tc, flushes_and_compactions_count_what_they_wrote);
	tcase_add_test(tc, without_jobs_no_compaction_is_left);
	tcase_add_test(tc, log_bytes_are_those_not_yet_in_tables);
	tcase_add_test(tc, sequence_and_counters_follow_the_writes);
	tcase_add_test(tc, branches_are_those_that_are_there_and_open);
	tcase_add_test(tc, io_is_what_the_env_counts);
	tcase_add_test(tc, cache_is_hit_and_stays_within_its_limit);
	tcase_add_test(tc, credit_and_arenas_are_given_back);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
