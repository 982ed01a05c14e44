/* SPDX-License-Identifier: MIT */
/* test_read.c: get, snapshots and iterators; and blocks that are damaged. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/sync.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tables.h"

enum { FILLED = 300, SNAPSHOTS = 8 };

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

START_TEST(value_is_found_wherever_it_lies)
{
	kit_put(kit.store, "deep", "1");
	ASSERT_OK(compact_all(kit.store));
	kit_put(kit.store, "l0", "2");
	ASSERT_OK(lsm_flush(kit.store));
	kit_put(kit.store, "memory", "3");
	kit_expect(kit.store, "deep", "1");
	kit_expect(kit.store, "l0", "2");
	kit_expect(kit.store, "memory", "3");
	kit_expect(kit.store, "nowhere", NULL);
	kit_put(kit.store, "deep", "");
	kit_expect(kit.store, "deep", "");
	kit_delete(kit.store, "l0");
	kit_expect(kit.store, "l0", NULL);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 2);
}
END_TEST

START_TEST(operands_fold_across_all_places)
{
	kit_put(kit.store, "m", "base,");
	ASSERT_OK(compact_all(kit.store));
	kit_merge(kit.store, "m", "deep,");
	ASSERT_OK(compact_all(kit.store));
	kit_merge(kit.store, "m", "l0,");
	kit_merge(kit.store, "alone", "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_merge(kit.store, "m", "memory,");
	kit_merge(kit.store, "m", "last");
	kit_expect(kit.store, "m", "base,deep,l0,memory,last");
	kit_expect(kit.store, "alone", "x");
	ck_assert_uint_eq(lsm_pending_merges(kit.store, slice_str("m")), 2);
	ck_assert_uint_eq(lsm_pending_merges(kit.store, slice_str("alone")), 0);
	kit_delete(kit.store, "m");
	kit_merge(kit.store, "m", "new");
	kit_expect(kit.store, "m", "new");
	ASSERT_OK(compact_all(kit.store));
	kit_expect(kit.store, "m", "new");
}
END_TEST

START_TEST(key_over_the_limit_is_not_found)
{
	static uint8_t key[LSM_KEY_MAX_BYTES + 1];
	struct buf value = BUF_INIT;

	kit_put(kit.store, "a", "1");
	ASSERT_ERR(
	    lsm_get(kit.store, NULL, slice_make(key, sizeof(key)), &value),
	    NOT_FOUND);
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_ERR(
	    lsm_get(kit.store, NULL, slice_make(key, sizeof(key)), &value),
	    NOT_FOUND);
	ASSERT_ERR(lsm_get(kit.store, NULL, slice_make(NULL, 0), &value),
	           NOT_FOUND);
	buf_release(&value);
}
END_TEST

/* ---- snapshots -------------------------------------------------------------
 */

static void expect_round(const struct lsm_snapshot *snap, int round)
{
	char value[16], merged[2 * SNAPSHOTS + 1] = "";

	snprintf(value, sizeof(value), "%d", round);
	for (int i = 0; i <= round; i++)
		strcat(merged, "x");
	kit_expect_at(kit.store, snap, "changes", value);
	kit_expect_at(kit.store, snap, "merges", merged);
	kit_expect_at(kit.store, snap, "comes", round >= 3 ? "1" : NULL);
	kit_expect_at(kit.store, snap, "goes", round >= 3 ? NULL : "1");
}

static size_t count_at(const struct lsm_snapshot *snap)
{
	struct lsm_iter *it;
	size_t count = 0;

	ASSERT_OK(lsm_iter_create(kit.store, snap, slice_str(""), slice_str(""),
	                          &it));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it))
		count++;
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	return count;
}

START_TEST(snapshot_sees_its_state_across_flush_and_compaction)
{
	struct lsm_snapshot *snaps[SNAPSHOTS];

	kit_put(kit.store, "goes", "1");
	for (int i = 0; i < SNAPSHOTS; i++) {
		char value[16];

		snprintf(value, sizeof(value), "%d", i);
		kit_put(kit.store, "changes", value);
		kit_merge(kit.store, "merges", "x");
		if (i == 3) {
			kit_put(kit.store, "comes", "1");
			kit_delete(kit.store, "goes");
		}
		ASSERT_OK(lsm_snapshot_take(kit.store, &snaps[i]));
		if (i % 3 == 1)
			ASSERT_OK(lsm_flush(kit.store));
		if (i % 3 == 2)
			ASSERT_OK(compact_all(kit.store));
		for (int s = 0; s <= i; s++)
			expect_round(snaps[s], s);
	}
	kit_fill(kit.store, "z", FILLED, "later");
	ASSERT_OK(compact_all(kit.store));
	/* In an order that is not that of taking them. */
	for (int i = 0; i < SNAPSHOTS; i++) {
		int next = (i * 3 + 1) % SNAPSHOTS;

		expect_round(snaps[next], next);
		ck_assert_uint_eq(count_at(snaps[next]), 3);
		lsm_snapshot_release(kit.store, snaps[next]);
		if (i % 3 == 0)
			ASSERT_OK(compact_all(kit.store));
	}
	expect_round(NULL, SNAPSHOTS - 1);
	lsm_snapshot_release(kit.store, NULL);
}
END_TEST

START_TEST(iterator_keeps_the_state_it_began_with)
{
	struct lsm_iter *it;
	size_t count = 0;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	kit_fill(kit.store, "k", 2 * FILLED, "second");
	ASSERT_OK(compact_all(kit.store));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it)) {
		ck_assert_mem_eq(lsm_iter_value(it).data, "first", 5);
		count++;
	}
	ASSERT_OK(lsm_iter_status(it));
	ck_assert_uint_eq(count, FILLED);
	lsm_iter_destroy(it);
}
END_TEST

/* ---- iterators
 * ----------------------------------------------------------------- */

/* The first key from `target` on, within bounds; "" for none. */
static void expect_first(const char *lower, const char *upper,
                         const char *target, const char *first, size_t count)
{
	struct lsm_iter *it;
	size_t met = 0;

	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(lower),
	                          slice_str(upper), &it));
	ck_assert(!lsm_iter_valid(it));
	lsm_iter_seek(it, slice_str(target));
	ck_assert(lsm_iter_valid(it) == (count > 0));
	if (count > 0)
		ck_assert(slice_equal(lsm_iter_key(it), slice_str(first)));
	for (; lsm_iter_valid(it); lsm_iter_next(it))
		met++;
	ASSERT_OK(lsm_iter_status(it));
	ck_assert_uint_eq(met, count);
	/* Back again. */
	lsm_iter_seek(it, slice_str(target));
	ck_assert(lsm_iter_valid(it) == (count > 0));
	lsm_iter_destroy(it);
}

START_TEST(iterator_stays_within_its_bounds)
{
	const char *keys[] = {"a", "b", "ba", "c", "d", "e"};

	for (int place = 0; place < 3; place++) {
		for (int i = 0; i < 6; i++)
			if (place == 0 || i % 2 == place % 2)
				kit_put(kit.store, keys[i], keys[i]);
		kit_delete(kit.store, "d");
		expect_first("", "", "", "a", 5);
		expect_first("b", "", "", "b", 4);
		expect_first("b", "", "a", "b", 4);
		expect_first("", "c", "", "a", 3);
		expect_first("b", "c", "", "b", 2);
		expect_first("b", "c", "b\x01", "ba", 1);
		expect_first("b", "c", "c", "", 0);
		expect_first("c", "b", "", "", 0);
		expect_first("b", "b", "", "", 0);
		expect_first("", "", "d", "e", 1);
		expect_first("", "", "f", "", 0);
		expect_first("x", "", "", "", 0);
		if (place == 0)
			ASSERT_OK(lsm_flush(kit.store));
		else
			ASSERT_OK(compact_all(kit.store));
	}
}
END_TEST

START_TEST(iterator_gives_keys_in_order_with_their_values)
{
	struct lsm_iter *it;
	char last[KIT_NAME_BYTES] = "";

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "k", FILLED / 2, "second");
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it)) {
		struct slice key = lsm_iter_key(it);
		char text[KIT_NAME_BYTES];

		snprintf(text, sizeof(text), "%.*s", (int)key.len,
		         (const char *)key.data);
		ck_assert_str_gt(text, last);
		strcpy(last, text);
		ck_assert_mem_eq(
		    lsm_iter_value(it).data,
		    strcmp(text, "k000150") < 0 ? "second" : "first", 5);
	}
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	ck_assert_str_eq(last, "k000299");
}
END_TEST

/* The same bounds from the end: the last key before `target`. */
static void expect_last(const char *lower, const char *upper,
                        const char *target, const char *last, size_t count)
{
	struct lsm_iter *it;
	size_t found = 0;

	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(lower),
	                          slice_str(upper), &it));
	if (target != NULL)
		lsm_iter_seek_prev(it, slice_str(target));
	else
		lsm_iter_seek_last(it);
	if (count > 0)
		ck_assert(slice_equal(lsm_iter_key(it), slice_str(last)));
	for (; lsm_iter_valid(it); lsm_iter_prev(it))
		found++;
	ASSERT_OK(lsm_iter_status(it));
	ck_assert_uint_eq(found, count);
	lsm_iter_destroy(it);
}

START_TEST(iterator_stays_within_its_bounds_backwards)
{
	const char *keys[] = {"a", "b", "ba", "c", "d", "e"};

	for (int place = 0; place < 3; place++) {
		for (int i = 0; i < 6; i++)
			if (place == 0 || i % 2 == place % 2)
				kit_put(kit.store, keys[i], keys[i]);
		kit_delete(kit.store, "d");
		expect_last("", "", NULL, "e", 5);
		expect_last("", "", "", "", 0);
		expect_last("", "", "z", "e", 5);
		expect_last("", "", "e", "c", 4);
		expect_last("", "", "a", "", 0);
		expect_last("b", "", NULL, "e", 4);
		expect_last("", "c", NULL, "ba", 3);
		expect_last("", "c", "z", "ba", 3);
		expect_last("b", "c", "ba", "b", 1);
		expect_last("b", "c", "b", "", 0);
		expect_last("c", "b", NULL, "", 0);
		expect_last("x", "", NULL, "", 0);
		if (place == 0)
			ASSERT_OK(lsm_flush(kit.store));
		else
			ASSERT_OK(compact_all(kit.store));
	}
}
END_TEST

/* ---- iterators that stay
 * ---------------------------------------------------- */

static void expect_at(struct lsm_iter *it, const char *key, const char *value)
{
	ASSERT_OK(lsm_iter_status(it));
	ck_assert(lsm_iter_valid(it));
	ck_assert(slice_equal(lsm_iter_key(it), slice_str(key)));
	ck_assert(slice_equal(lsm_iter_value(it), slice_str(value)));
}

/* The store takes their views away: they see the state that they began with,
   and stand where they stood. */
START_TEST(iterator_goes_on_over_flushes_and_compactions)
{
	struct lsm_iter *before, *it, *at_snap;
	struct lsm_snapshot *snap;

	kit_put(kit.store, "a", "1");
	kit_put(kit.store, "c", "1");
	ASSERT_OK(lsm_snapshot_take(kit.store, &snap));
	kit_merge(kit.store, "a", "2");
	kit_put(kit.store, "b", "2");
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &before));
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	ASSERT_OK(lsm_iter_create(kit.store, snap, slice_str(""), slice_str(""),
	                          &at_snap));
	lsm_snapshot_release(kit.store, snap);
	lsm_iter_seek(it, slice_str(""));
	lsm_iter_seek_last(at_snap);
	for (int round = 0; round < 3; round++) {
		expect_at(it, "a", "12");
		expect_at(at_snap, "c", "1");
		kit_put(kit.store, "a", "3");
		kit_delete(kit.store, "c");
		kit_put(kit.store, "bb", "3");
		ASSERT_OK(lsm_flush(kit.store));
		if (round > 0)
			ASSERT_OK(compact_all(kit.store));
		expect_at(it, "a", "12");
		lsm_iter_next(it);
		expect_at(it, "b", "2");
		if (round == 1)
			ASSERT_OK(lsm_flush(kit.store));
		lsm_iter_next(it);
		expect_at(it, "c", "1");
		lsm_iter_prev(it);
		ASSERT_OK(compact_all(kit.store));
		lsm_iter_prev(it);
		lsm_iter_prev(at_snap);
		expect_at(at_snap, "a", "1");
		lsm_iter_next(at_snap);
	}
	lsm_iter_seek(before, slice_str("b"));
	expect_at(before, "b", "2");
	lsm_iter_destroy(before);
	lsm_iter_destroy(it);
	lsm_iter_destroy(at_snap);
	kit_expect(kit.store, "a", "3");
}
END_TEST

/* Many times the pool's bytes are written while nobody moves the iterators. */
START_TEST(forgotten_iterator_holds_no_credit_and_no_file)
{
	enum { ITERATORS = 70 };
	struct lsm_iter *its[ITERATORS];
	struct lsm_stats stats;

	kit_put(kit.store, "first", "1");
	for (int i = 0; i < ITERATORS; i++) {
		ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""),
		                          slice_str(""), &its[i]));
		lsm_iter_seek(its[i], slice_str(""));
	}
	for (int round = 0; round < 12; round++)
		kit_fill(kit.store, "k", FILLED * 2, "first");
	ASSERT_OK(compact_all(kit.store));
	lsm_stats(kit.store, &stats);
	ck_assert_uint_eq(stats.credit.used_bytes, 0);
	/* The tables that were compacted are gone. */
	KIT_WAIT_UNTIL(kit_files(kit.env, KIT_POOL, ".sst") ==
	               tables_count(kit.store));
	for (int i = 0; i < ITERATORS; i++) {
		expect_at(its[i], "first", "1");
		lsm_iter_next(its[i]);
		ck_assert(!lsm_iter_valid(its[i]));
		ASSERT_OK(lsm_iter_status(its[i]));
		lsm_iter_destroy(its[i]);
	}
}
END_TEST

/* ---- threads that have read ------------------------------------------------ */

enum { IDLE_READERS = 40 };

static struct {
	struct sync_mutex mutex;
	struct sync_cond changed;
	unsigned round, read;
	bool wrong;
} idle;

/* Reads once a round, and does nothing in between. */
static void read_and_idle(void *ctx)
{
	struct buf value = BUF_INIT;

	(void)ctx;
	sync_lock(&idle.mutex);
	for (unsigned round = 1; round <= 3; round++) {
		uint8_t wanted = (uint8_t)('0' + round);

		while (idle.round < round)
			sync_wait(&idle.changed, &idle.mutex);
		sync_unlock(&idle.mutex);
		if (lsm_get(kit.store, NULL, slice_str("round"), &value) !=
		        LSM_OK ||
		    !slice_equal(buf_slice(&value), slice_make(&wanted, 1))) {
			sync_lock(&idle.mutex);
			idle.wrong = true;
		} else {
			sync_lock(&idle.mutex);
		}
		idle.read++;
		sync_broadcast(&idle.changed);
	}
	sync_unlock(&idle.mutex);
	buf_release(&value);
}

static uint64_t used_credit(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.credit.used_bytes;
}

/* More threads than there are slots for views: each sees what was written before
   it reads, and none that is idle keeps a memtable. */
START_TEST(idle_readers_hold_no_credit_and_see_what_is_new)
{
	struct sync_thread threads[IDLE_READERS];

	sync_mutex_init(&idle.mutex, SYNC_RANK_LEAF);
	sync_cond_init(&idle.changed);
	for (unsigned i = 0; i < IDLE_READERS; i++)
		ASSERT_OK(sync_thread_start(&threads[i], "idle", read_and_idle,
		                            NULL));
	for (unsigned round = 1; round <= 3; round++) {
		char text[2] = {(char)('0' + round), 0};

		kit_put(kit.store, "round", text);
		sync_lock(&idle.mutex);
		idle.round = round;
		sync_broadcast(&idle.changed);
		while (idle.read < round * IDLE_READERS)
			sync_wait(&idle.changed, &idle.mutex);
		ck_assert(!idle.wrong);
		sync_unlock(&idle.mutex);
		ASSERT_OK(lsm_flush(kit.store));
		/* The flush lets go of the memtable after it is told of. */
		KIT_WAIT_UNTIL(used_credit() == 0);
	}
	for (unsigned i = 0; i < IDLE_READERS; i++)
		sync_thread_join(&threads[i]);
	sync_cond_destroy(&idle.changed);
	sync_mutex_destroy(&idle.mutex);
}
END_TEST

/* ---- damage
 * ----------------------------------------------------------------------- */

static bool is_corrupt(const char *prefix, unsigned i)
{
	struct buf value = BUF_INIT;
	char key[32];
	enum lsm_err err;

	snprintf(key, sizeof(key), "%s%06u", prefix, i);
	err = lsm_get(kit.store, NULL, slice_str(key), &value);
	if (err == LSM_OK)
		ck_assert_mem_eq(value.data, "first", 5);
	else
		ASSERT_ERR(err, CORRUPT);
	buf_release(&value);
	return err == LSM_ERR_CORRUPT;
}

START_TEST(damaged_block_is_an_error_for_what_it_holds_alone)
{
	static struct kit_names tables;
	unsigned corrupt = 0;
	struct lsm_iter *it;

	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	ck_assert_uint_eq(tables.count, 1);
	kit_flip(kit.env, KIT_POOL, tables.name[0], 5000);
	kit_open(&kit);
	kit_log_begin();
	for (unsigned i = 0; i < FILLED; i++)
		corrupt += is_corrupt("k", i);
	kit_log_end();
	ck_assert_uint_gt(corrupt, 0);
	ck_assert_uint_lt(corrupt, 30); /* 1 KiB of 100-byte values */
	ck_assert(kit_log_has(tables.name[0], "offset"));

	kit_log_begin();
	ASSERT_OK(lsm_iter_create(kit.store, NULL, slice_str(""), slice_str(""),
	                          &it));
	for (lsm_iter_seek(it, slice_str("")); lsm_iter_valid(it);
	     lsm_iter_next(it))
		continue;
	ASSERT_ERR(lsm_iter_status(it), CORRUPT);
	lsm_iter_destroy(it);

	/* Compaction cannot go on, and loses nothing. */
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_ERR(compact_all(kit.store), CORRUPT);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

START_TEST(missing_table_refuses_writing_and_is_an_error_for_its_keys_alone)
{
	static struct kit_names tables;
	struct buf value = BUF_INIT;
	uint64_t before;

	kit_fill(kit.store, "k", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	kit_remove_file(kit.env, KIT_POOL, tables.name[0]);
	before = kit_digest(kit.env, KIT_PATH);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), CORRUPT);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	kit.options.read_only = true;
	kit_open(&kit);
	ASSERT_ERR(lsm_get(kit.store, NULL, slice_str("k000001"), &value),
	           CORRUPT);
	ck_assert(kit_log_has(tables.name[0], ""));
	kit_expect(kit.store, "z", NULL);
	buf_release(&value);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("read");
	TCase *tc = tcase_create("read");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, value_is_found_wherever_it_lies);
	tcase_add_test(tc, operands_fold_across_all_places);
	tcase_add_test(tc, key_over_the_limit_is_not_found);
	tcase_add_test(tc, snapshot_sees_its_state_across_flush_and_compaction);
	tcase_add_test(tc, iterator_keeps_the_state_it_began_with);
	tcase_add_test(tc, iterator_stays_within_its_bounds);
	tcase_add_test(tc, iterator_stays_within_its_bounds_backwards);
	tcase_add_test(tc, iterator_goes_on_over_flushes_and_compactions);
	tcase_add_test(tc, forgotten_iterator_holds_no_credit_and_no_file);
	tcase_add_test(tc, idle_readers_hold_no_credit_and_see_what_is_new);
	tcase_add_test(tc, iterator_gives_keys_in_order_with_their_values);
	tcase_add_test(tc, damaged_block_is_an_error_for_what_it_holds_alone);
	tcase_add_test(
	    tc,
	    missing_table_refuses_writing_and_is_an_error_for_its_keys_alone);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
