/* SPDX-License-Identifier: MIT */
/* test_gc.c: what nothing names any more goes, and nothing else does. */
#include <stdio.h>

#include "base/buf.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tables.h"

enum { FILLED = 300, ROUNDS = 6 };

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

static size_t tables_there(void)
{
	return kit_files(kit.env, KIT_POOL, ".sst");
}

START_TEST(inputs_of_a_compaction_go)
{
	for (int i = 0; i < ROUNDS; i++) {
		kit_fill(kit.store, "k", FILLED, i % 2 == 0 ? "even" : "odd");
		ASSERT_OK(compact_all(kit.store));
	}
	KIT_WAIT_UNTIL(tables_there() == tables_count(kit.store));
	ck_assert_uint_le(tables_there(), 3);
	kit_expect_filled(kit.store, "k", FILLED, "odd");
	kit_close(&kit);
	ck_assert_uint_le(kit_files(kit.env, KIT_POOL, ""), 4);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "odd");
}
END_TEST

START_TEST(flushed_logs_go)
{
	for (int i = 0; i < ROUNDS; i++) {
		kit_fill(kit.store, "k", FILLED, "some");
		ASSERT_OK(lsm_flush(kit.store));
	}
	/* One may be there that was made ahead. */
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".wal") <= 1);
}
END_TEST

START_TEST(iterator_holds_no_table_between_moves)
{
	struct lsm_iter *it;
	size_t count = 0;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(tables_there() == tables_count(kit.store));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it)) {
		ck_assert(memmem(lsm_iter_value(it).data,
		                 lsm_iter_value(it).len, "first", 5) != NULL);
		count++;
	}
	ASSERT_OK(lsm_iter_status(it));
	ck_assert_uint_eq(count, FILLED);
	lsm_iter_destroy(it);
}
END_TEST

START_TEST(space_of_deleted_keys_comes_back)
{
	struct lsm_stats stats;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(compact_all(kit.store));
	for (unsigned i = 0; i < FILLED; i++) {
		char key[32];

		snprintf(key, sizeof(key), "k%06u", i);
		kit_delete(kit.store, key);
	}
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(tables_there() == 0);
	lsm_stats(kit.store, &stats);
	ck_assert_uint_eq(tables_count(kit.store), 0);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 0);
}
END_TEST

/* Tombstones that a snapshot kept in the last level go after it. */
START_TEST(tombstones_go_once_no_snapshot_needs_them)
{
	struct lsm_snapshot *snap;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_snapshot_take(kit.store, &snap));
	for (unsigned i = 0; i < FILLED; i++) {
		char key[32];

		snprintf(key, sizeof(key), "k%06u", i);
		kit_delete(kit.store, key);
	}
	for (int i = 0; i < 2; i++)
		ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_gt(tables_count(kit.store), 0);
	kit_expect_at(kit.store, NULL, "k000001", NULL);
	lsm_snapshot_release(kit.store, snap);
	ASSERT_OK(compact_all(kit.store));
	ck_assert_uint_eq(tables_count(kit.store), 0);
}
END_TEST

START_TEST(failed_compaction_keeps_its_inputs_and_leaves_no_file)
{
	int failed = 0;

	kit.options.l0_trigger = 1000;
	kit_reopen(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(lsm_flush(kit.store));
	kit_log_begin();
	for (int skip = 0; skip < 20; skip++) {
		kit_fail(&kit, FAULT_WRITE, ".sst", LSM_ERR_IO, 0);
		atomic_store(&kit.fault.skip, skip);
		atomic_store(&kit.fault.times, 1);
		if (compact_all(kit.store) == LSM_OK)
			break;
		failed++;
		KIT_WAIT_UNTIL(tables_there() == tables_count(kit.store));
		kit_expect_filled(kit.store, "k", FILLED, "second");
	}
	ck_assert_int_gt(failed, 0);
	kit_heal(&kit);
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(tables_there() == tables_count(kit.store));
	kit_expect_filled(kit.store, "k", FILLED, "second");
}
END_TEST

/* Logged by the env, and swept at the next open. */
START_TEST(file_that_cannot_be_deleted_is_swept_later)
{
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	kit_log_begin();
	kit_fail(&kit, FAULT_UNLINK, ".sst", LSM_ERR_IO, -1);
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
	kit_wait_met(&kit, 2);
	kit_heal(&kit);
	ck_assert_uint_gt(tables_there(), tables_count(kit.store));
	kit_reopen(&kit);
	ck_assert_uint_eq(tables_there(), tables_count(kit.store));
	kit_expect_filled(kit.store, "k", FILLED, "second");
}
END_TEST

/* Many edits: the manifest is written anew, over a new list of tables. */
START_TEST(manifest_that_grew_long_is_replaced)
{
	char folder[KIT_NAME_BYTES], first[KIT_NAME_BYTES];
	char last[KIT_NAME_BYTES];
	unsigned flushes = 0;

	kit_manifest(kit.env, KIT_PATH, folder, first);
	do {
		static struct kit_names names;

		ck_assert_uint_lt(flushes++, 2000);
		kit_fill(kit.store, "k", 3, "some");
		ASSERT_OK(lsm_flush(kit.store));
		/* Both are there while it is replaced. */
		kit_list(kit.env, folder, "MANIFEST", &names);
		strcpy(last, names.name[0]);
	} while (strcmp(first, last) == 0);
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".list") == 1);
	kit_put(kit.store, "a", "1");
	kit_crash(&kit, 256, 1);
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
	kit_expect_filled(kit.store, "k", 3, "some");
}
END_TEST

/* A full disk when the manifest is replaced: it stays long, for now. */
START_TEST(manifest_that_cannot_be_replaced_stays_in_force)
{
	unsigned flushes = 0;

	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".list", LSM_ERR_NOSPACE, 3);
	while (atomic_load(&kit.fault.met) < 3) {
		ck_assert_uint_lt(flushes++, 2000);
		kit_fill(kit.store, "k", 3, "some");
		ASSERT_OK(lsm_flush(kit.store));
	}
	kit_heal(&kit);
	ck_assert(kit_log_has(KIT_PATH, "manifest stays long"));
	kit_fill(kit.store, "k", 3, "more");
	ASSERT_OK(lsm_flush(kit.store));
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".list") == 1);
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", 3, "more");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("gc");
	TCase *tc = tcase_create("gc");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, inputs_of_a_compaction_go);
	tcase_add_test(tc, flushed_logs_go);
	tcase_add_test(tc, iterator_holds_no_table_between_moves);
	tcase_add_test(tc, space_of_deleted_keys_comes_back);
	tcase_add_test(tc, tombstones_go_once_no_snapshot_needs_them);
	tcase_add_test(tc,
	               failed_compaction_keeps_its_inputs_and_leaves_no_file);
	tcase_add_test(tc, file_that_cannot_be_deleted_is_swept_later);
	tcase_add_test(tc, manifest_that_grew_long_is_replaced);
	tcase_add_test(tc, manifest_that_cannot_be_replaced_stays_in_force);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
