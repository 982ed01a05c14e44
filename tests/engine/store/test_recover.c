/* SPDX-License-Identifier: MIT */
/*
 * test_recover.c: what a killed process and a power cut leave behind, and what
 * the next open makes of it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum { FILLED = 300, KEEP_ALL = 256, ROUNDS = 12, MANY_TABLES = 150 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static void count_one(struct lsm *store, const char *key, int64_t delta)
{
	struct lsm_batch *batch;

	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, slice_str(key), slice_str("v")));
	lsm_batch_count(batch, 2, delta);
	ASSERT_OK(lsm_write(store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
}

START_TEST(closed_store_has_no_log)
{
	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, ".wal"), 0);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ck_assert_uint_eq(lsm_sequence(kit.store), FILLED);
}
END_TEST

START_TEST(killed_store_replays_its_logs)
{
	kit_create(&kit);
	kit_fill(kit.store, "k", 2 * FILLED, "first");
	kit_merge(kit.store, "m", "a");
	kit_merge(kit.store, "m", "b");
	kit_delete(kit.store, "k000001");
	count_one(kit.store, "c", 40);
	count_one(kit.store, "c", -9);
	kit_crash(&kit, KEEP_ALL, 1);
	kit_open(&kit);
	ck_assert_uint_eq(lsm_sequence(kit.store), 2 * FILLED + 5);
	ck_assert_int_eq(lsm_counter(kit.store, 2), 31);
	kit_expect(kit.store, "m", "ab");
	kit_expect(kit.store, "k000001", NULL);
	ck_assert_uint_eq(kit_count(kit.store, "k", "l"), 2 * FILLED - 1);
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".wal") == 0);
	kit_merge(kit.store, "m", "c");
	kit_crash(&kit, KEEP_ALL, 2);
	kit_open(&kit);
	kit_expect(kit.store, "m", "abc");
}
END_TEST

START_TEST(power_cut_keeps_what_was_synced)
{
	for (uint64_t seed = 0; seed < ROUNDS; seed++) {
		kit_create(&kit);
		kit_fill(kit.store, "k", FILLED, "first");
		ASSERT_OK(lsm_sync(kit.store));
		kit_fill(kit.store, "z", FILLED, "second");
		kit_crash(&kit, seed == 0 ? 0 : 128, seed);
		kit_open(&kit);
		kit_expect_filled(kit.store, "k", FILLED, "first");
		/* What came later is a prefix. */
		kit_expect_filled(kit.store, "z",
		                  (unsigned)kit_count(kit.store, "z", ""),
		                  "second");
		kit_release(&kit);
		kit_init(&kit);
	}
}
END_TEST

START_TEST(read_only_shows_what_it_replays_and_changes_nothing)
{
	uint64_t before;

	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	count_one(kit.store, "c", 5);
	kit_crash(&kit, KEEP_ALL, 1);
	before = kit_digest(kit.env, KIT_PATH);
	kit.options.read_only = true;
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ck_assert_int_eq(lsm_counter(kit.store, 2), 5);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), FILLED + 1);
	kit_close(&kit);
	ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	kit.options.read_only = false;
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

START_TEST(missing_log_is_lost_data)
{
	struct kit_names logs;

	kit_create(&kit);
	kit_put(kit.store, "a", "1");
	kit_crash(&kit, KEEP_ALL, 1);
	kit_list(kit.env, KIT_POOL, ".wal", &logs);
	ck_assert_uint_eq(logs.count, 1);
	kit_remove_file(kit.env, KIT_POOL, logs.name[0]);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(logs.name[0], "missing"));
}
END_TEST

/* ---- logs behind a torn one -------------------------------------------------
 */

static uint64_t number_of(const char *name)
{
	enum file_kind kind;
	struct file_id id;

	ck_assert(file_name_parse(name, &kind, &id));
	return id.number;
}

/* Keys "a..." in a sealed log and "b..." in the one after it; killed. */
static void two_logs(bool sync_between, char first[KIT_NAME_BYTES])
{
	static struct kit_names logs;
	size_t at = 0;

	kit_create(&kit);
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	kit_fill(kit.store, "a", FILLED, "first");
	ASSERT_ERR(lsm_flush(kit.store), IO);
	kit_fill(kit.store, "b", 10, "second");
	if (sync_between)
		ASSERT_OK(lsm_sync(kit.store));
	kit_put(kit.store, "c", "3"); /* carries the promise */
	kit_crash(&kit, KEEP_ALL, 1);
	kit_list(kit.env, KIT_POOL, ".wal", &logs);
	ck_assert_uint_ge(logs.count, 2);
	for (size_t i = 1; i < logs.count; i++)
		if (number_of(logs.name[i]) < number_of(logs.name[at]))
			at = i;
	strcpy(first, logs.name[at]);
}

static void cut_tail(const char *name, size_t left)
{
	struct buf bytes = BUF_INIT;

	kit_read_file(kit.env, KIT_POOL, name, &bytes);
	ck_assert_uint_lt(left, bytes.len);
	memset(bytes.data + left, 0, bytes.len - left);
	kit_write_file(kit.env, KIT_POOL, name, buf_slice(&bytes));
	buf_release(&bytes);
}

START_TEST(sealed_logs_are_replayed_in_order)
{
	char first[KIT_NAME_BYTES];

	two_logs(false, first);
	kit_open(&kit);
	kit_expect_filled(kit.store, "a", FILLED, "first");
	kit_expect_filled(kit.store, "b", 10, "second");
	kit_expect(kit.store, "c", "3");
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".wal") == 0);
}
END_TEST

/* Flip a byte of the value that was written last. */
static void flip_last_value(const char *log)
{
	struct buf bytes = BUF_INIT;
	size_t at;

	kit_read_file(kit.env, KIT_POOL, log, &bytes);
	for (at = bytes.len - 5; at > 0; at--)
		if (memcmp(bytes.data + at, "last!", 5) == 0)
			break;
	bytes.data[at] ^= 1;
	kit_write_file(kit.env, KIT_POOL, log, buf_slice(&bytes));
	buf_release(&bytes);
}

START_TEST(damage_to_the_last_synced_batch_is_no_torn_tail)
{
	struct kit_names logs;

	kit_create(&kit);
	kit_put(kit.store, "a", "one");
	kit_put(kit.store, "b", "last!");
	store_sync_run(&kit.store->sync_job);
	kit_crash(&kit, KEEP_ALL, 1);
	kit_list(kit.env, KIT_POOL, ".wal", &logs);
	ck_assert_uint_eq(logs.count, 1);
	flip_last_value(logs.name[0]);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ck_assert_uint_eq(kit_log_errors(), 1);
}
END_TEST

START_TEST(cut_of_a_torn_tail_is_told)
{
	struct kit_names logs;

	kit_create(&kit);
	kit_put(kit.store, "a", "one");
	kit_put(kit.store, "b", "last!");
	kit_crash(&kit, KEEP_ALL, 1);
	kit_list(kit.env, KIT_POOL, ".wal", &logs);
	ck_assert_uint_eq(logs.count, 1);
	flip_last_value(logs.name[0]);
	kit_log_begin();
	kit_open(&kit);
	ck_assert(kit_log_has(logs.name[0], "cut at offset"));
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 1);
}
END_TEST

START_TEST(log_behind_a_torn_one_is_dropped)
{
	char first[KIT_NAME_BYTES];
	unsigned left;

	two_logs(false, first);
	cut_tail(first, 8 << 10);
	kit_open(&kit);
	left = (unsigned)kit_count(kit.store, "", "");
	ck_assert_uint_gt(left, 0);
	ck_assert_uint_lt(left, FILLED);
	kit_expect_filled(kit.store, "a", left, "first");
	ck_assert_uint_eq(lsm_sequence(kit.store), left);
	/* The dropped numbers are given out anew. */
	kit_put(kit.store, "d", "4");
	kit_crash(&kit, KEEP_ALL, 2);
	kit_open(&kit);
	kit_expect(kit.store, "d", "4");
	ck_assert_uint_eq(kit_count(kit.store, "", ""), left + 1);
}
END_TEST

START_TEST(torn_log_before_a_synced_one_is_lost_data)
{
	char first[KIT_NAME_BYTES];
	uint64_t before;

	two_logs(true, first);
	cut_tail(first, 8 << 10);
	before = kit_digest(kit.env, KIT_PATH);
	kit.options.read_only = true;
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	kit.options.read_only = false;
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ck_assert_uint_ge(kit_files(kit.env, KIT_POOL, ".wal"), 2);
}
END_TEST

/* ---- the sweep
 * ------------------------------------------------------------------ */

/* A branch beside main that names what main names. The store is closed. */
static void add_branch(uint64_t id, char folder_out[KIT_NAME_BYTES])
{
	char folder[KIT_NAME_BYTES], name[STORE_BRANCH_NAME_BYTES];
	struct table_owner nobody = {.dropped = NULL};
	struct manifest_state state;
	struct manifest_place place;
	struct manifest *manifest;
	struct superblock sb;
	struct env_dir *dir;

	ASSERT_OK(env_dir_open(kit.env, KIT_PATH, &dir));
	ASSERT_OK(superblock_read(dir, KIT_PATH, true, &sb));
	env_dir_close(dir);
	place.family = sb.family;
	ASSERT_OK(env_dir_open(kit.env, KIT_POOL, &place.pool));
	kit_branch_folder(kit.env, KIT_PATH, folder);
	ASSERT_OK(env_dir_open(kit.env, folder, &place.dir));
	ASSERT_OK(manifest_recover(&place,
	                           strtoull(strrchr(folder, '/') + 1, NULL, 16),
	                           nobody, NULL, &state));
	env_dir_close(place.dir);

	state.branch.id = id;
	strcpy(state.branch.name, "agent");
	state.manifest_number = 0;
	home_branch_folder(id, name);
	ASSERT_OK(env_dir_open(kit.env, KIT_PATH "/branches", &dir));
	ASSERT_OK(env_dir_make(dir, name));
	ASSERT_OK(env_dir_open_at(dir, name, &place.dir));
	ASSERT_OK(manifest_publish(&place, &state, &manifest));
	manifest_close(manifest);
	manifest_state_release(&state);
	env_dir_close(place.dir);
	env_dir_close(place.pool);
	env_dir_close(dir);
	snprintf(folder_out, KIT_NAME_BYTES, KIT_PATH "/branches/%s", name);
}

START_TEST(what_nothing_names_is_swept)
{
	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	kit_write_file(kit.env, KIT_POOL, "00000000000000aa-7.sst",
	               slice_str("x"));
	kit_write_file(kit.env, KIT_POOL, "00000000000000aa-8.wal",
	               slice_str("x"));
	kit_write_file(kit.env, KIT_PATH "/branches", ".tmp-agent",
	               slice_str("x"));
	kit_open(&kit);
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, "aa-"), 0);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

START_TEST(unfinished_branch_is_removed)
{
	struct env_dir *dir;

	kit_create(&kit);
	kit_close(&kit);
	ASSERT_OK(env_dir_open(kit.env, KIT_PATH "/branches", &dir));
	ASSERT_OK(env_dir_make(dir, ".tmp-agent"));
	env_dir_close(dir);
	kit_write_file(kit.env, KIT_PATH "/branches/.tmp-agent", "MANIFEST-1",
	               slice_str("x"));
	kit_open(&kit);
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH "/branches", ".tmp"), 0);
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH "/branches", ""), 1);
}
END_TEST

/* Overwrites everything and compacts: main needs no old table any more. */
static void replace_all(void)
{
	kit_fill(kit.store, "k", FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
}

START_TEST(files_of_another_branch_are_kept)
{
	static struct kit_names tables;
	char folder[KIT_NAME_BYTES];

	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	ck_assert_uint_gt(tables.count, 0);
	add_branch(0x77, folder);
	for (int i = 0; i < 3; i++) {
		kit_open(&kit);
		replace_all();
		kit_close(&kit);
		for (size_t t = 0; t < tables.count; t++)
			ck_assert_uint_eq(
			    kit_files(kit.env, KIT_POOL, tables.name[t]), 1);
	}
	/* Without the branch they go. */
	kit_remove_file(kit.env, folder, "CURRENT");
	kit_remove_file(kit.env, folder, "MANIFEST-1");
	{
		struct env_dir *dir;

		ASSERT_OK(env_dir_open(kit.env, KIT_PATH "/branches", &dir));
		ASSERT_OK(env_rmdir(dir, "0000000000000077"));
		env_dir_close(dir);
	}
	kit_open(&kit);
	for (size_t t = 0; t < tables.count; t++)
		ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, tables.name[t]),
		                  0);
	kit_expect_filled(kit.store, "k", FILLED, "second");
}
END_TEST

START_TEST(nothing_goes_while_a_branch_is_damaged)
{
	static struct kit_names tables;
	char folder[KIT_NAME_BYTES];

	kit_create(&kit);
	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	add_branch(0x77, folder);
	kit_flip(kit.env, folder, "CURRENT", 0);
	kit_write_file(kit.env, KIT_POOL, "00000000000000aa-7.sst",
	               slice_str("x"));
	kit_log_begin();
	for (int i = 0; i < 3; i++) {
		kit_open(&kit);
		replace_all();
		kit_expect_filled(kit.store, "k", FILLED, "second");
		kit_close(&kit);
		for (size_t t = 0; t < tables.count; t++)
			ck_assert_uint_eq(
			    kit_files(kit.env, KIT_POOL, tables.name[t]), 1);
		ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, "aa-7"), 1);
	}
	ck_assert(kit_log_has("CURRENT", "0000000000000077"));
}
END_TEST

/* Its tables were counted as far as it was read, and then let go of. */
START_TEST(tables_of_a_manifest_damaged_at_its_end_stay)
{
	char folder[KIT_NAME_BYTES], name[KIT_NAME_BYTES];
	struct buf bytes = BUF_INIT;
	size_t tables, end;

	kit.options.table_bytes = 1 << 10;
	kit.options.l0_trigger = 10 * MANY_TABLES;
	kit_create(&kit);
	kit_fill(kit.store, "k", 10 * MANY_TABLES, "zeroth");
	kit_fill(kit.store, "k", 10 * MANY_TABLES, "first");
	ASSERT_OK(compact_all(kit.store));
	kit_close(&kit);
	tables = kit_files(kit.env, KIT_POOL, ".sst");
	ck_assert_uint_ge(tables, MANY_TABLES);
	kit_manifest(kit.env, KIT_PATH, folder, name);
	kit_read_file(kit.env, folder, name, &bytes);
	/* Nearly all edits are whole; behind the last of them is a promise. */
	for (end = bytes.len; end > 0 && bytes.data[end - 1] == 0; end--)
		continue;
	buf_release(&bytes);
	kit_log_begin();
	for (size_t back = 40; back < 140; back += 20) {
		kit_flip(kit.env, folder, name, end - back);
		if (kit_try_open(&kit) == LSM_OK)
			kit_close(&kit);
		else
			kit_flip(kit.env, folder, name, end - back);
		ck_assert_uint_ge(kit_files(kit.env, KIT_POOL, ".sst"), tables);
		kit_manifest(kit.env, KIT_PATH, folder, name);
	}
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", 10 * MANY_TABLES, "first");
}
END_TEST

/* ---- numbers
 * ----------------------------------------------------------------------- */

static uint64_t largest_number(void)
{
	static struct kit_names names;
	uint64_t largest = 0;

	kit_list(kit.env, KIT_POOL, "", &names);
	for (size_t i = 0; i < names.count; i++)
		if (number_of(names.name[i]) > largest)
			largest = number_of(names.name[i]);
	return largest;
}

START_TEST(file_numbers_are_never_used_twice)
{
	uint64_t largest = 0;

	kit_create(&kit);
	for (uint64_t round = 0; round < ROUNDS; round++) {
		uint64_t number;

		sync_lock(&kit.store->manifest_mu);
		ASSERT_OK(store_new_number(kit.store, &number));
		sync_unlock(&kit.store->manifest_mu);
		ck_assert_uint_gt(number, largest);
		kit_fill(kit.store, "k", FILLED, "some");
		if (round % 3 == 1)
			ASSERT_OK(compact_all(kit.store));
		largest = largest_number() > number ? largest_number() : number;
		if (round % 4 == 3)
			kit_close(&kit);
		else
			kit_crash(&kit, round % 2 == 0 ? 0 : 128, round);
		kit_open(&kit);
	}
}
END_TEST

/* ---- whatever fails
 * ------------------------------------------------------------------ */

START_TEST(every_failed_operation_of_an_open_can_be_tried_again)
{
	bool failed = true;

	/* Nothing in the background comes between. */
	kit.runtime_options.period_ms = 3600 * 1000;
	kit_create(&kit);
	kit_log_begin();
	for (int nth = 1; failed; nth++) {
		/* An open opens every table: keep them few. */
		ASSERT_OK(compact_all(kit.store));
		kit_fill(kit.store, "k", 20, "first");
		kit_put(kit.store, "round", "x");
		kit_merge(kit.store, "sum", "x");
		kit_crash(&kit, KEEP_ALL, 1);
		kit_fail(&kit, FAULT_OPS, "", LSM_ERR_IO, 0);
		atomic_store(&kit.fault.skip, nth - 1);
		atomic_store(&kit.fault.times, 1);
		(void)kit_try_open(&kit);
		failed = atomic_load(&kit.fault.met) > 0;
		kit_heal(&kit);
		if (kit.store != NULL && failed) /* it was harmless, or after */
			kit_crash(&kit, KEEP_ALL, 2);
		if (kit.store == NULL)
			kit_open(&kit);
		kit_expect_filled(kit.store, "k", 20, "first");
		{
			struct buf sum = BUF_INIT;

			ASSERT_OK(
			    lsm_get(kit.store, NULL, slice_str("sum"), &sum));
			ck_assert_uint_eq(sum.len, (size_t)nth);
			buf_release(&sum);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recover");
	TCase *tc = tcase_create("recover");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, closed_store_has_no_log);
	tcase_add_test(tc, killed_store_replays_its_logs);
	tcase_add_test(tc, power_cut_keeps_what_was_synced);
	tcase_add_test(tc, read_only_shows_what_it_replays_and_changes_nothing);
	tcase_add_test(tc, missing_log_is_lost_data);
	tcase_add_test(tc, sealed_logs_are_replayed_in_order);
	tcase_add_test(tc, damage_to_the_last_synced_batch_is_no_torn_tail);
	tcase_add_test(tc, cut_of_a_torn_tail_is_told);
	tcase_add_test(tc, log_behind_a_torn_one_is_dropped);
	tcase_add_test(tc, torn_log_before_a_synced_one_is_lost_data);
	tcase_add_test(tc, file_numbers_are_never_used_twice);
	tcase_add_test(tc,
	               every_failed_operation_of_an_open_can_be_tried_again);
	suite_add_tcase(suite, tc);

	tc = tcase_create("sweep");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_nothing_names_is_swept);
	tcase_add_test(tc, unfinished_branch_is_removed);
	tcase_add_test(tc, files_of_another_branch_are_kept);
	tcase_add_test(tc, nothing_goes_while_a_branch_is_damaged);
	tcase_add_test(tc, tables_of_a_manifest_damaged_at_its_end_stay);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
