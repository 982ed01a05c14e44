/* SPDX-License-Identifier: MIT */
/*
 * test_ranges.c: range deletes of a store: what they hide and from whom, what
 * becomes of them, and that what they cover is given back without being read.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tables.h"

enum { PREFIX_BYTES = 2, FILLED = 300, KEEP_ALL = 256 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.options.range_prefix_bytes = PREFIX_BYTES;
	kit.options.block_bytes = 256;
	kit.options.table_bytes = 1 << 10;
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static enum lsm_err try_delete_range(const char *prefix, const char *lower,
                                     const char *upper)
{
	struct lsm_batch *batch;
	enum lsm_err err;

	ASSERT_OK(lsm_batch_create(&batch));
	err = lsm_batch_delete_range(batch, slice_str(prefix), slice_str(lower),
	                             slice_str(upper));
	if (err == LSM_OK)
		err = lsm_write(kit.store, batch, NULL, NULL);
	lsm_batch_destroy(batch);
	return err;
}

static void delete_range(const char *prefix, const char *lower,
                         const char *upper)
{
	ASSERT_OK(try_delete_range(prefix, lower, upper));
}

/* ---- what they hide -------------------------------------------------------- */

static void expect_cut(void)
{
	kit_expect(kit.store, "aa", "the prefix");
	kit_expect(kit.store, "aa1", "1");
	kit_expect(kit.store, "aa2", NULL);
	kit_expect(kit.store, "aa3", "new");
	kit_expect(kit.store, "aa4", "+");
	kit_expect(kit.store, "aa5", "5");
	kit_expect(kit.store, "ab3", "3");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 6);
	ck_assert_uint_eq(kit_count(kit.store, "aa2", "aa5"), 2);
}

START_TEST(range_hides_what_is_older_and_within_wherever_it_lies)
{
	kit_put(kit.store, "aa", "the prefix");
	kit_put(kit.store, "aa1", "1");
	kit_put(kit.store, "aa2", "2");
	ASSERT_OK(compact_all(kit.store));
	kit_put(kit.store, "aa3", "3");
	kit_put(kit.store, "aa4", "4");
	ASSERT_OK(lsm_flush(kit.store));
	kit_put(kit.store, "aa5", "5");
	kit_put(kit.store, "ab3", "3");
	delete_range("aa", "2", "5");
	ck_assert_uint_eq(kit_count(kit.store, "aa2", "aa5"), 0);
	kit_put(kit.store, "aa3", "new");
	kit_merge(kit.store, "aa4", "+");
	expect_cut();
	ASSERT_OK(lsm_flush(kit.store));
	expect_cut();
	kit_reopen(&kit);
	expect_cut();
	ASSERT_OK(compact_all(kit.store));
	expect_cut();
	kit_reopen(&kit);
	expect_cut();
}
END_TEST

START_TEST(range_is_replayed_from_the_log)
{
	kit_fill(kit.store, "aa", FILLED, "first");
	ASSERT_OK(compact_all(kit.store));
	delete_range("aa", "000100", "");
	ASSERT_OK(lsm_sync(kit.store));
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	kit_expect_filled(kit.store, "aa", 100, "first");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 100);
}
END_TEST

START_TEST(later_changes_of_a_batch_win_over_its_range)
{
	struct lsm_batch *batch;

	kit_put(kit.store, "aa1", "old");
	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, slice_str("aa2"), slice_str("before")));
	ASSERT_OK(lsm_batch_delete_range(batch, slice_str("aa"), slice_str(""),
	                                 slice_str("")));
	ASSERT_OK(lsm_batch_put(batch, slice_str("aa3"), slice_str("after")));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
	for (int place = 0; place < 3; place++) {
		kit_expect(kit.store, "aa1", NULL);
		kit_expect(kit.store, "aa2", NULL);
		kit_expect(kit.store, "aa3", "after");
		if (place == 0)
			ASSERT_OK(lsm_flush(kit.store));
		else
			ASSERT_OK(compact_all(kit.store));
	}
}
END_TEST

START_TEST(snapshot_and_iterator_still_see_what_was_deleted_later)
{
	struct lsm_snapshot *snap;
	struct lsm_iter *it;
	size_t count = 0;

	kit_fill(kit.store, "aa", FILLED, "first");
	ASSERT_OK(lsm_snapshot_take(kit.store, &snap));
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	delete_range("aa", "", "");
	for (int place = 0; place < 3; place++) {
		kit_expect(kit.store, "aa000007", NULL);
		ck_assert_uint_eq(kit_count(kit.store, "", ""), 0);
		kit_put(kit.store, "b", "2");
		if (place == 0)
			ASSERT_OK(lsm_flush(kit.store));
		else
			ASSERT_OK(compact_all(kit.store));
		kit_delete(kit.store, "b");
	}
	for (lsm_iter_seek_last(it); lsm_iter_valid(it); lsm_iter_prev(it))
		count++;
	ck_assert_uint_eq(count, FILLED);
	lsm_iter_destroy(it);
	count = 0;
	ASSERT_OK(lsm_iter_create(kit.store, snap, slice_str(""), slice_str(""),
	                          &it));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it))
		count++;
	ck_assert_uint_eq(count, FILLED);
	lsm_iter_destroy(it);
	lsm_snapshot_release(kit.store, snap);
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_eq(tables_count(kit.store), 0);
}
END_TEST

START_TEST(ranges_of_a_fork_are_its_own)
{
	struct lsm_fork_info info;
	struct lsm *child;

	kit_fill(kit.store, "aa", FILLED, "first");
	delete_range("aa", "", "000100");
	ASSERT_OK(lsm_export(kit.store, "/child", &info));
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	delete_range("aa", "000100", "");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 0);
	ck_assert_uint_eq(kit_count(child, "", ""), FILLED - 100);
	ASSERT_OK(compact_all(kit.store));
	ASSERT_OK(compact_all(child));
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 0);
	ck_assert_uint_eq(kit_count(child, "", ""), FILLED - 100);
	ASSERT_OK(lsm_close(child));
}
END_TEST

/* ---- what is refused -------------------------------------------------------- */

START_TEST(range_that_is_none_is_refused)
{
	ASSERT_ERR(try_delete_range("", "", ""), INVALID);
	ASSERT_ERR(try_delete_range("a", "", ""), INVALID);
	ASSERT_ERR(try_delete_range("aaa", "", ""), INVALID);
	ASSERT_ERR(try_delete_range("aa", "b", "b"), INVALID);
	ASSERT_ERR(try_delete_range("aa", "b", "a"), INVALID);
	ck_assert_uint_eq(lsm_sequence(kit.store), 0);
}
END_TEST

START_TEST(store_with_ranges_does_not_open_with_another_length)
{
	for (int place = 0; place < 2; place++) {
		kit_put(kit.store, "aa1", "1");
		delete_range("aa", "", "0");
		ASSERT_OK(lsm_sync(kit.store));
		if (place == 0)
			kit_crash(&kit, KEEP_ALL, 1); /* in the log */
		else
			kit_close(&kit); /* in a table */
		kit_log_begin();
		for (size_t bytes = 0; bytes <= 3; bytes++) {
			kit.options.range_prefix_bytes = bytes;
			if (bytes != PREFIX_BYTES)
				ASSERT_ERR(kit_try_open(&kit), INVALID);
		}
		ck_assert(kit_log_has("range delete", "opened with"));
		kit_log_end();
		kit.options.range_prefix_bytes = PREFIX_BYTES;
		kit_open(&kit);
		kit_expect(kit.store, "aa1", "1");
	}
}
END_TEST

START_TEST(branches_are_open_with_one_length)
{
	struct lsm_options options = kit.options;
	struct lsm *child = NULL;

	delete_range("aa", "", "0");
	kit_fork(kit.store, "child");
	kit_log_begin();
	options.range_prefix_bytes = PREFIX_BYTES + 1;
	ASSERT_ERR(lsm_branch_open(kit.store, "child", &options, &child),
	           INVALID);
	kit_log_end();
	child = kit_branch(&kit, "child");
	kit_expect(child, "aa", NULL);
	ASSERT_OK(lsm_close(child));
}
END_TEST

/* ---- what becomes of them --------------------------------------------------- */

/* Several tables: a flush alone would make one, which moves as it is. */
static void fill_tables(void)
{
	kit_fill(kit.store, "aa", FILLED, "zeroth");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "aa", FILLED, "first");
	ASSERT_OK(compact_all(kit.store));
}

START_TEST(deleted_range_leaves_nothing_behind)
{
	fill_tables();
	ck_assert_uint_gt(tables_count(kit.store), 1);
	delete_range("aa", "", "");
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_eq(tables_count(kit.store), 0);
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".sst") == 0);
}
END_TEST

/* Its blocks are damaged: whoever reads it meets an error. */
START_TEST(covered_table_goes_unread)
{
	static struct kit_names tables;

	fill_tables();
	delete_range("aa", "", "");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	for (size_t i = 0; i < tables.count; i++) {
		struct buf bytes = BUF_INIT;

		kit_read_file(kit.env, KIT_POOL, tables.name[i], &bytes);
		/* All but the one that holds the tombstone alone. */
		if (bytes.len > 1000)
			kit_flip(kit.env, KIT_POOL, tables.name[i], 100);
		buf_release(&bytes);
	}
	kit_open(&kit);
	ck_assert_uint_gt(tables_count(kit.store), 2);
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_eq(tables_count(kit.store), 0);
}
END_TEST

/* Values that lie in segments go with the tables that lead to them. */
START_TEST(segments_of_covered_tables_go_unread_too)
{
	static char large[4096];

	kit_close(&kit);
	kit.options.segment_min_bytes = 1 << 10;
	kit_open(&kit);
	memset(large, 'v', sizeof(large) - 1);
	for (char c = 'a'; c <= 'z'; c++) {
		char key[] = {'a', 'a', c, '\0'};

		kit_put(kit.store, key, large);
	}
	kit_put(kit.store, "bb", large);
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_gt(kit_files(kit.env, KIT_POOL, ".seg"), 0);
	delete_range("aa", "", "");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 1);
	ASSERT_OK(compact_all(kit.store));
	kit_expect(kit.store, "bb", large);
	kit_delete(kit.store, "bb");
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".seg") == 0);
}
END_TEST

/* The background brings the tombstone to what it covers, level by level. */
START_TEST(quiet_store_gives_the_space_back_by_itself)
{
	uint64_t alone;

	kit_fill(kit.store, "bb", FILLED, "other");
	ASSERT_OK(compact_all(kit.store));
	alone = tables_bytes(kit.store);
	kit_fill(kit.store, "aa", FILLED, "first");
	ASSERT_OK(compact_all(kit.store));
	kit_fill(kit.store, "aa", FILLED / 2, "again");
	ASSERT_OK(lsm_flush(kit.store));
	delete_range("aa", "", "");
	kit_close(&kit);
	kit.runtime_options.period_ms = 5;
	kit_open(&kit);
	KIT_WAIT_UNTIL(tables_bytes(kit.store) <= alone);
	kit_expect_filled(kit.store, "bb", FILLED, "other");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ranges");
	TCase *tc = tcase_create("ranges");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc,
	               range_hides_what_is_older_and_within_wherever_it_lies);
	tcase_add_test(tc, range_is_replayed_from_the_log);
	tcase_add_test(tc, later_changes_of_a_batch_win_over_its_range);
	tcase_add_test(tc,
	               snapshot_and_iterator_still_see_what_was_deleted_later);
	tcase_add_test(tc, ranges_of_a_fork_are_its_own);
	tcase_add_test(tc, range_that_is_none_is_refused);
	tcase_add_test(tc, store_with_ranges_does_not_open_with_another_length);
	tcase_add_test(tc, branches_are_open_with_one_length);
	tcase_add_test(tc, deleted_range_leaves_nothing_behind);
	tcase_add_test(tc, covered_table_goes_unread);
	tcase_add_test(tc, segments_of_covered_tables_go_unread_too);
	tcase_add_test(tc, quiet_store_gives_the_space_back_by_itself);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
