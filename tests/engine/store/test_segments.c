/* SPDX-License-Identifier: MIT */
/*
 * test_segments.c: large values lie apart from the tree, are read from there, move
 * when what lies around them is garbage, and go when nothing leads to them.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/file_header.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/gen.h"

enum {
	KEYS = 64,
	LARGE = 9000,    /* bytes of a value, incompressible */
	APART = 1 << 10, /* values of so many go to segments */
};

static struct kit kit;
static struct gen gen;
static unsigned rounds[KEYS]; /* of the value that a key has; 0: none */

static void setup(void)
{
	kit_init(&kit);
	kit.options.segment_min_bytes = APART;
	kit.options.memtable_bytes = 4 << 20;
	kit.runtime_options.credit_bytes = 16 << 20;
	kit.options.l0_trigger = 100; /* compactions where the test asks */
	kit.options.level_base_bytes = 64 << 20;
	memset(rounds, 0, sizeof(rounds));
	gen_init(&gen, gen_seed(77));
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static struct slice key_of(unsigned i)
{
	static char key[16];

	snprintf(key, sizeof(key), "key%04u", i);
	return slice_str(key);
}

/* The bytes that key i has after `round`. */
static void value_of(unsigned i, unsigned round, struct buf *value)
{
	struct gen own;

	gen_init(&own, UINT64_C(1000000) * round + i);
	ASSERT_OK(buf_resize(value, LARGE));
	gen_bytes(&own, value->data, value->len);
}

static void put(struct lsm *store, unsigned i, unsigned round)
{
	struct buf value = BUF_INIT;
	struct lsm_batch *batch;

	value_of(i, round, &value);
	ASSERT_OK(lsm_batch_create(&batch));
	ASSERT_OK(lsm_batch_put(batch, key_of(i), buf_slice(&value)));
	ASSERT_OK(lsm_write(store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
	buf_release(&value);
}

/* New values for every `step`th key, in a table of their own. */
static void write_round(unsigned round, unsigned step)
{
	for (unsigned i = 0; i < KEYS; i += step) {
		put(kit.store, i, round);
		rounds[i] = round;
	}
	ASSERT_OK(lsm_flush(kit.store));
}

static void check_values_of(struct lsm *store)
{
	struct buf value = BUF_INIT, found = BUF_INIT;

	for (unsigned i = 0; i < KEYS; i++) {
		enum lsm_err err = lsm_get(store, NULL, key_of(i), &found);

		if (rounds[i] == 0) {
			ck_assert_int_eq(err, LSM_ERR_NOT_FOUND);
			continue;
		}
		ASSERT_OK(err);
		value_of(i, rounds[i], &value);
		ck_assert(slice_equal(buf_slice(&value), buf_slice(&found)));
	}
	buf_release(&value);
	buf_release(&found);
}

static void check_values(void)
{
	check_values_of(kit.store);
}

static struct lsm_stats stats_now(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats;
}

static size_t segment_files(void)
{
	return kit_files(kit.env, KIT_POOL, ".seg");
}

static void compact_all(struct lsm *store)
{
	ASSERT_OK(lsm_compact(store, lsm_sequence(store), NULL));
}

/* From now on tables leave L0 by themselves; no history is forgotten. */
static void compact_at_once(void)
{
	kit.options.l0_trigger = 1;
	kit_reopen(&kit);
}

static void wait_for_compaction(void)
{
	KIT_WAIT_UNTIL(stats_now().levels[0].files == 0 &&
	               stats_now().jobs == 0);
}

/* What the figures say is what lies in the pool. */
static void expect_segments(size_t files)
{
	struct lsm_stats stats = stats_now();

	ck_assert_uint_eq(stats.segments.files, files);
	KIT_WAIT_UNTIL(segment_files() == files);
}

START_TEST(a_flush_puts_large_values_apart)
{
	struct lsm_stats stats;

	write_round(1, 1);
	kit_put(kit.store, "small", "value");
	ASSERT_OK(lsm_flush(kit.store));
	stats = stats_now();
	expect_segments(1);
	ck_assert_uint_lt(stats.levels[0].bytes, KEYS * 200);
	ck_assert_uint_ge(stats.segments.live_bytes, KEYS * LARGE);
	ck_assert_uint_eq(stats.segments.garbage_bytes, 0);
	check_values();
	kit_expect(kit.store, "small", "value");
	ck_assert_uint_eq(kit_faults(kit.store), 0);
	kit_reopen(&kit);
	check_values();
	expect_segments(1);
}
END_TEST

START_TEST(without_a_bound_nothing_is_apart)
{
	kit.options.segment_min_bytes = 0;
	kit_reopen(&kit);
	write_round(1, 1);
	expect_segments(0);
	check_values();
}
END_TEST

START_TEST(compaction_writes_no_value_again)
{
	uint64_t before;

	for (unsigned round = 1; round <= 3; round++) {
		/* Each key once, a third of them in each table. */
		for (unsigned i = round - 1; i < KEYS; i += 3) {
			put(kit.store, i, round);
			rounds[i] = round;
		}
		/* Larger than what is moved for its smallness. */
		for (unsigned i = 0; i < 130; i++)
			put(kit.store, 1000 * round + i, 1);
		ASSERT_OK(lsm_flush(kit.store));
	}
	before = stats_now().segments.bytes_written;
	compact_all(kit.store);
	ck_assert_uint_eq(stats_now().segments.bytes_written, before);
	expect_segments(3);
	check_values();
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(small_segments_are_put_together)
{
	for (unsigned i = 0; i < 12; i++) {
		put(kit.store, i, 1);
		rounds[i] = 1;
		ASSERT_OK(lsm_flush(kit.store));
	}
	expect_segments(12);
	compact_all(kit.store);
	expect_segments(1);
	check_values();
}
END_TEST

START_TEST(dead_segment_goes_unread)
{
	unsigned i;

	/* Large enough not to be moved for their smallness. */
	for (i = 0; i < 140; i++)
		put(kit.store, 1000 + i, 1);
	write_round(1, 1);
	for (i = 0; i < 140; i++)
		put(kit.store, 1000 + i, 1);
	write_round(2, 1);
	expect_segments(2);
	kit_log_begin();
	kit_fail(&kit, FAULT_READ, ".seg", LSM_ERR_IO, -1);
	compact_all(kit.store);
	kit_heal(&kit);
	expect_segments(1);
	ck_assert_uint_eq(stats_now().segments.garbage_bytes, 0);
	check_values();
}
END_TEST

START_TEST(live_values_move_out_of_garbage)
{
	uint64_t live;

	write_round(1, 1);
	compact_all(kit.store);
	for (unsigned i = 0; i < KEYS; i++) {
		struct lsm_batch *batch;

		if (i % 4 == 0)
			continue;
		ASSERT_OK(lsm_batch_create(&batch));
		ASSERT_OK(lsm_batch_delete(batch, key_of(i)));
		ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
		lsm_batch_destroy(batch);
		rounds[i] = 0;
	}
	compact_all(kit.store);
	live = stats_now().segments.live_bytes;
	ck_assert_uint_lt(live, KEYS * LARGE / 3);
	ck_assert_uint_lt(stats_now().segments.bytes, live + live / 4);
	expect_segments(1);
	check_values();
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

/* What is left alone while there is work, for what it would write. */
START_TEST(quiet_store_is_rid_of_a_third_of_garbage)
{
	struct lsm_stats stats;

	write_round(1, 1);
	for (unsigned i = 0; i < KEYS; i++) {
		if (i % 5 < 2)
			put(kit.store, i, 2);
		rounds[i] = i % 5 < 2 ? 2 : 1;
	}
	compact_at_once();
	ASSERT_OK(lsm_flush(kit.store));
	wait_for_compaction();
	stats = stats_now();
	ck_assert_uint_gt(stats.segments.garbage_bytes, KEYS * LARGE / 3);
	ck_assert_uint_eq(stats.segments.files, 2);

	kit.runtime_options.period_ms = 20;
	kit_reopen(&kit);
	KIT_WAIT_UNTIL(stats_now().segments.garbage_bytes == 0);
	check_values();
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

/* Ten times everything: the pool comes back to about what is live. */
START_TEST(overwrites_do_not_pile_up)
{
	for (unsigned round = 1; round <= 10; round++)
		write_round(round, 1 + round % 3);
	compact_all(kit.store);
	ck_assert_uint_lt(stats_now().segments.bytes, KEYS * LARGE * 3 / 2);
	expect_segments(stats_now().segments.files);
	check_values();
}
END_TEST

START_TEST(snapshot_keeps_what_was_overwritten)
{
	struct lsm_snapshot *snap;
	struct buf found = BUF_INIT, value = BUF_INIT;

	compact_at_once();
	write_round(1, 1);
	ASSERT_OK(lsm_snapshot_take(kit.store, &snap));
	write_round(2, 1);
	wait_for_compaction();
	for (unsigned i = 0; i < KEYS; i++) {
		ASSERT_OK(lsm_get(kit.store, snap, key_of(i), &found));
		value_of(i, 1, &value);
		ck_assert(slice_equal(buf_slice(&value), buf_slice(&found)));
	}
	check_values();
	lsm_snapshot_release(kit.store, snap);
	write_round(3, 64);
	compact_all(kit.store);
	check_values();
	ck_assert_uint_lt(stats_now().segments.bytes, KEYS * LARGE * 5 / 4);
	buf_release(&found);
	buf_release(&value);
}
END_TEST

/* ---- operands ------------------------------------------------------------ */

static void expect_appended(unsigned i, const char *tail)
{
	struct buf found = BUF_INIT, value = BUF_INIT;

	ASSERT_OK(lsm_get(kit.store, NULL, key_of(i), &found));
	value_of(i, rounds[i], &value);
	ASSERT_OK(buf_append_slice(&value, slice_str(tail)));
	ck_assert(slice_equal(buf_slice(&value), buf_slice(&found)));
	buf_release(&found);
	buf_release(&value);
}

START_TEST(small_operand_stays_beside_its_value)
{
	uint64_t before;

	write_round(1, 1);
	for (unsigned i = 0; i < 140; i++) /* not small, so not moved */
		put(kit.store, 1000 + i, 1);
	ASSERT_OK(lsm_flush(kit.store));
	compact_all(kit.store);
	before = stats_now().segments.bytes_written;
	kit_merge(kit.store, "key0003", "+a");
	expect_appended(3, "+a");
	ASSERT_OK(lsm_flush(kit.store));
	kit_merge(kit.store, "key0003", "+b");
	compact_all(kit.store);
	ck_assert_uint_eq(stats_now().segments.bytes_written, before);
	expect_appended(3, "+a+b");
	kit_reopen(&kit);
	expect_appended(3, "+a+b");
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(large_operands_are_folded_into_a_new_value)
{
	char tail[LARGE / 3 + 1];
	uint64_t before;

	memset(tail, 't', sizeof(tail) - 1);
	tail[sizeof(tail) - 1] = '\0';
	write_round(1, 1);
	compact_all(kit.store);
	before = stats_now().segments.bytes_written;
	kit_merge(kit.store, "key0003", tail);
	compact_all(kit.store);
	ck_assert_uint_gt(stats_now().segments.bytes_written, before + LARGE);
	expect_appended(3, tail);
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

/* ---- iterators ---------------------------------------------------------------- */

START_TEST(walk_over_keys_reads_no_segment)
{
	struct slice none = slice_make(NULL, 0);
	struct buf value = BUF_INIT;
	struct lsm_iter *it;
	unsigned count = 0;

	write_round(1, 1);
	kit_log_begin();
	kit_fail(&kit, FAULT_READ, ".seg", LSM_ERR_IO, -1);
	ASSERT_OK(lsm_iter_create(kit.store, NULL, none, none, &it));
	for (lsm_iter_seek(it, none); lsm_iter_valid(it); lsm_iter_next(it))
		ck_assert(slice_equal(lsm_iter_key(it), key_of(count++)));
	ASSERT_OK(lsm_iter_status(it));
	ck_assert_uint_eq(count, KEYS);

	/* Asked for, it fails; and says so. */
	lsm_iter_seek(it, key_of(5));
	ck_assert_uint_eq(lsm_iter_value(it).len, 0);
	ck_assert(!lsm_iter_valid(it));
	ASSERT_ERR(lsm_iter_status(it), IO);
	kit_heal(&kit);
	lsm_iter_seek(it, key_of(5));
	value_of(5, 1, &value);
	ck_assert(slice_equal(lsm_iter_value(it), buf_slice(&value)));
	ck_assert(slice_equal(lsm_iter_value(it), buf_slice(&value)));
	ck_assert(slice_equal(lsm_iter_key(it), key_of(5)));
	lsm_iter_next(it);
	ck_assert(slice_equal(lsm_iter_key(it), key_of(6)));
	lsm_iter_prev(it);
	ck_assert(slice_equal(lsm_iter_value(it), buf_slice(&value)));
	lsm_iter_destroy(it);
	buf_release(&value);
}
END_TEST

/* The value that an iterator stands on may be moved, and its segment deleted,
   before it is asked for. */
START_TEST(value_that_moved_meanwhile_is_found)
{
	struct slice none = slice_make(NULL, 0);
	struct buf value = BUF_INIT;
	struct lsm_iter *it;

	compact_at_once();
	write_round(1, 1);
	ASSERT_OK(lsm_iter_create(kit.store, NULL, none, none, &it));
	lsm_iter_seek(it, key_of(7));
	ck_assert(lsm_iter_valid(it));
	for (unsigned round = 2; round < 12; round++) {
		write_round(round, 1);
		wait_for_compaction();
	}
	KIT_WAIT_UNTIL(segment_files() == stats_now().segments.files);
	value_of(7, 1, &value);
	ck_assert(slice_equal(lsm_iter_value(it), buf_slice(&value)));
	lsm_iter_next(it);
	ck_assert(slice_equal(lsm_iter_key(it), key_of(8)));
	value_of(8, 1, &value);
	ck_assert(slice_equal(lsm_iter_value(it), buf_slice(&value)));
	lsm_iter_destroy(it);
	buf_release(&value);
}
END_TEST

/* ---- forks ---------------------------------------------------------------------- */

START_TEST(export_has_the_segments_for_its_own)
{
	struct lsm_fork_info info;
	struct lsm *child;

	write_round(1, 1);
	compact_all(kit.store);
	put(kit.store, 2, 2);
	rounds[2] = 2;
	ASSERT_OK(lsm_export(kit.store, "/child", &info));
	ck_assert_uint_ge(kit_files(kit.env, "/child/pool", ".seg"), 1);
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	check_values_of(child);
	for (unsigned i = 0; i < KEYS; i++)
		put(kit.store, i, 9);
	compact_all(kit.store);
	check_values_of(child);
	compact_all(child);
	check_values_of(child);
	ASSERT_OK(lsm_close(child));
	for (unsigned i = 0; i < KEYS; i++)
		rounds[i] = 9;
	check_values();
}
END_TEST

START_TEST(full_disk_leaves_what_was_to_be_emptied)
{
	enum lsm_err err;

	write_round(1, 1);
	compact_all(kit.store);
	for (unsigned i = 0; i < KEYS; i++) {
		if (i % 4 == 0)
			continue;
		put(kit.store, i, 2);
		rounds[i] = 2;
	}
	ASSERT_OK(lsm_flush(kit.store));
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, ".seg", LSM_ERR_NOSPACE, -1);
	err = lsm_compact(kit.store, lsm_sequence(kit.store), NULL);
	ck_assert(err == LSM_OK || err == LSM_ERR_NOSPACE);
	kit_wait_met(&kit, 1);
	check_values();
	ck_assert_uint_eq(kit_faults(kit.store), 0);

	kit_heal(&kit);
	put(kit.store, 1, 3);
	rounds[1] = 3;
	compact_all(kit.store);
	KIT_WAIT_UNTIL(stats_now().segments.garbage_bytes <
	               KEYS / 2 * (uint64_t)LARGE);
	check_values();
	kit_reopen(&kit);
	check_values();
}
END_TEST

/* ---- damage ------------------------------------------------------------------ */

static void flip_in_segment(size_t offset)
{
	struct kit_names names = {.count = 0};

	kit_list(kit.env, KIT_POOL, ".seg", &names);
	ck_assert_uint_eq(names.count, 1);
	kit_flip(kit.env, KIT_POOL, names.name[0], offset);
}

START_TEST(damaged_frame_costs_its_own_value_alone)
{
	struct buf found = BUF_INIT;
	unsigned bad = 0;

	write_round(1, 1);
	compact_all(kit.store);
	kit_close(&kit);
	flip_in_segment(20 * LARGE);
	kit_log_begin();
	kit_open(&kit);
	for (unsigned i = 0; i < KEYS; i++) {
		enum lsm_err err = lsm_get(kit.store, NULL, key_of(i), &found);

		ck_assert(err == LSM_OK || err == LSM_ERR_CORRUPT);
		bad += err == LSM_ERR_CORRUPT;
	}
	ck_assert_uint_eq(bad, 1);
	ck_assert(kit_log_has(".seg", "offset"));
	ck_assert_uint_ge(kit_faults(kit.store), 1);
	buf_release(&found);
}
END_TEST

/* Neither lost, nor in the way of anything else. */
START_TEST(damaged_frame_stays_where_it_is)
{
	struct buf found = BUF_INIT;

	write_round(1, 1);
	compact_all(kit.store);
	kit_close(&kit);
	flip_in_segment(FILE_HEADER_BYTES + 200); /* of the first key */
	kit_log_begin();
	kit_open(&kit);
	ASSERT_ERR(lsm_get(kit.store, NULL, key_of(0), &found), CORRUPT);
	for (unsigned i = 1; i < KEYS; i++) {
		put(kit.store, i, 2);
		rounds[i] = 2;
	}
	compact_all(kit.store);
	ASSERT_ERR(lsm_get(kit.store, NULL, key_of(0), &found), CORRUPT);
	put(kit.store, 0, 3);
	rounds[0] = 3;
	check_values();
	compact_all(kit.store);
	check_values();
	buf_release(&found);
}
END_TEST

static bool is_in_pool(const char *name)
{
	return kit_files(kit.env, KIT_POOL, name) > 0;
}

START_TEST(damaged_segment_keeps_no_other_from_being_emptied)
{
	struct kit_names first = {.count = 0}, both = {.count = 0};
	struct buf found = BUF_INIT;
	const char *second;

	write_round(1, 1);
	compact_all(kit.store);
	kit_close(&kit);
	flip_in_segment(FILE_HEADER_BYTES + 200); /* of the first key */
	kit_list(kit.env, KIT_POOL, ".seg", &first);
	kit_log_begin();
	kit_open(&kit);
	for (unsigned i = 1; i < KEYS; i++)
		put(kit.store, i, 2);
	compact_all(kit.store);
	kit_list(kit.env, KIT_POOL, ".seg", &both);
	ck_assert_uint_eq(both.count, 2);
	ck_assert_uint_eq(stats_now().segments.damaged, 1);
	second = both.name[strcmp(both.name[0], first.name[0]) == 0];

	for (unsigned i = 2; i < KEYS; i++)
		put(kit.store, i, 3);
	compact_all(kit.store);
	KIT_WAIT_UNTIL(!is_in_pool(second));
	ck_assert(is_in_pool(first.name[0]));
	ck_assert_uint_eq(stats_now().segments.damaged, 1);
	ASSERT_ERR(lsm_get(kit.store, NULL, key_of(0), &found), CORRUPT);
	rounds[0] = 4;
	put(kit.store, 0, 4);
	rounds[1] = 2;
	for (unsigned i = 2; i < KEYS; i++)
		rounds[i] = 3;
	compact_all(kit.store);
	check_values();
	KIT_WAIT_UNTIL(stats_now().segments.damaged == 0);
	buf_release(&found);
}
END_TEST

START_TEST(missing_segment_is_refused_at_open)
{
	struct kit_names names = {.count = 0};

	write_round(1, 1);
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".seg", &names);
	kit_remove_file(kit.env, KIT_POOL, names.name[0]);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), CORRUPT);
	ck_assert(kit_log_has(names.name[0], "missing"));
}
END_TEST

START_TEST(failed_segment_leaves_the_flush_to_be_tried_again)
{
	kit_log_begin();
	kit_fail(&kit, FAULT_SYNC, ".seg", LSM_ERR_IO, 2);
	for (unsigned i = 0; i < KEYS; i++) {
		put(kit.store, i, 1);
		rounds[i] = 1;
	}
	ASSERT_ERR(lsm_flush(kit.store), IO);
	check_values();
	kit_wait_met(&kit, 2);
	KIT_WAIT_UNTIL(lsm_flush(kit.store) == LSM_OK);
	expect_segments(1);
	check_values();
	kit_reopen(&kit);
	check_values();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segments");
	TCase *tc = tcase_create("values");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_flush_puts_large_values_apart);
	tcase_add_test(tc, without_a_bound_nothing_is_apart);
	tcase_add_test(tc, compaction_writes_no_value_again);
	tcase_add_test(tc, small_segments_are_put_together);
	tcase_add_test(tc, dead_segment_goes_unread);
	tcase_add_test(tc, live_values_move_out_of_garbage);
	tcase_add_test(tc, quiet_store_is_rid_of_a_third_of_garbage);
	tcase_add_test(tc, overwrites_do_not_pile_up);
	tcase_add_test(tc, snapshot_keeps_what_was_overwritten);
	tcase_add_test(tc, small_operand_stays_beside_its_value);
	tcase_add_test(tc, large_operands_are_folded_into_a_new_value);
	tcase_add_test(tc, walk_over_keys_reads_no_segment);
	tcase_add_test(tc, value_that_moved_meanwhile_is_found);
	tcase_add_test(tc, export_has_the_segments_for_its_own);
	tcase_add_test(tc, full_disk_leaves_what_was_to_be_emptied);
	tcase_add_test(tc, damaged_frame_costs_its_own_value_alone);
	tcase_add_test(tc, damaged_frame_stays_where_it_is);
	tcase_add_test(tc, damaged_segment_keeps_no_other_from_being_emptied);
	tcase_add_test(tc, missing_segment_is_refused_at_open);
	tcase_add_test(tc, failed_segment_leaves_the_flush_to_be_tried_again);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
