/* SPDX-License-Identifier: MIT */
/*
 * test_reduce_range.c: whatever range tombstones are in a stream, its reduced
 * form reads the same now and at every snapshot, beside what lies outside it.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tree/reduce.h"

enum { RESTS = 6, VERSIONS = 60, SNAPSHOTS_MAX = 4, SEED = 20261122 };

/* Keys are "p" and one of these behind it; the first is the prefix itself. */
static const char *const rests[RESTS] = {"", "a", "aa", "b", "c", "d"};

static struct entries in, out;
static bool outside[RESTS]; /* has an older version in no stream: "old," */
static uint64_t snapshots[SNAPSHOTS_MAX];
static size_t snapshot_count;

static void setup(void)
{
	entries_init(&in);
	entries_init(&out);
}

static void teardown(void)
{
	entries_release(&in);
	entries_release(&out);
	ck_assert_int_eq(iters_alive, 0);
}

static struct slice user_name(size_t rest, char name[8])
{
	snprintf(name, 8, "p%s", rests[rest]);
	return slice_str(name);
}

static size_t rest_of(struct slice user)
{
	for (size_t i = 0; i < RESTS; i++) {
		char name[8];

		if (slice_equal(user, user_name(i, name)))
			return i;
	}
	ck_abort();
}

static bool bottom(void *ctx, struct slice user)
{
	(void)ctx;
	return !outside[rest_of(user)];
}

static enum lsm_err range_over(void *ctx, struct slice prefix,
                               struct range range, uint64_t seq, bool *over_out)
{
	(void)ctx;
	(void)seq;
	*over_out = slice_equal(prefix, slice_str("p"));
	for (size_t i = 1; i < RESTS; i++)
		if (outside[i] && range_covers(range, slice_str(rests[i])))
			*over_out = false;
	return LSM_OK;
}

static enum lsm_err load(void *ctx, struct slice prefix, key_visit_fn visit,
                         void *visit_ctx)
{
	const struct entries *entries = ctx;

	for (size_t i = 0; i < entries->count; i++) {
		struct slice key = buf_slice(&entries->all[i].key);

		if (slice_equal(key_user(key), prefix) &&
		    !visit(visit_ctx, key_seq(key), key_kind(key),
		           buf_slice(&entries->all[i].value)))
			break;
	}
	return LSM_OK;
}

static struct iter *reduce(long fail_at, bool flush)
{
	struct reduce_options options = {
	    .fold = append_fn,
	    .snapshots = snapshots,
	    .snapshot_count = snapshot_count,
	    .bottom = flush ? NULL : bottom,
	    .range_over = flush ? NULL : range_over,
	    .ranges = {load, &in, 1},
	};
	struct iter *it;

	ck_assert_int_eq(
	    reduce_iter_create(entries_iter(&in, fail_at), &options, &it),
	    LSM_OK);
	return it;
}

/* ---- by the book ---------------------------------------------------------- */

static uint64_t floor_at(const struct entries *entries, size_t rest,
                         uint64_t seq)
{
	uint64_t floor = 0;

	for (size_t i = 0; rest > 0 && i < entries->count; i++) {
		struct slice key = buf_slice(&entries->all[i].key);
		struct range range;

		if (key_kind(key) != KEY_RANGE_DELETE || key_seq(key) > seq)
			continue;
		ck_assert(range_decode(
		    key_user(key), buf_slice(&entries->all[i].value), &range));
		if (range_covers(range, slice_str(rests[rest])) &&
		    key_seq(key) > floor)
			floor = key_seq(key);
	}
	return floor;
}

/* What a reader of `seq` sees; false: nothing. */
static bool evaluate(const struct entries *entries, size_t rest, uint64_t seq,
                     struct buf *value)
{
	uint64_t floor = floor_at(entries, rest, seq);
	struct slice met[VERSIONS + 1];
	bool exists = false, based = false;
	size_t count = 0;

	for (size_t i = 0; i < entries->count && !based; i++) {
		struct slice key = buf_slice(&entries->all[i].key);

		if (key_kind(key) == KEY_RANGE_DELETE || key_seq(key) > seq ||
		    rest_of(key_user(key)) != rest)
			continue;
		based = key_seq(key) < floor || key_kind(key) != KEY_MERGE;
		if (key_seq(key) < floor || key_kind(key) == KEY_DELETE)
			break;
		met[count++] = buf_slice(&entries->all[i].value);
		exists = true;
	}
	if (!based && outside[rest] && floor == 0) {
		met[count++] = slice_str("old,");
		exists = true;
	}
	buf_clear(value);
	while (count > 0)
		ck_assert_int_eq(buf_append_slice(value, met[--count]), LSM_OK);
	return exists;
}

static void check_reads(void)
{
	struct buf before = BUF_INIT, after = BUF_INIT;

	for (size_t s = 0; s <= snapshot_count; s++) {
		uint64_t seq = s < snapshot_count ? snapshots[s] : KEY_SEQ_MAX;

		for (size_t rest = 0; rest < RESTS; rest++) {
			bool existed = evaluate(&in, rest, seq, &before);

			ck_assert(existed == evaluate(&out, rest, seq, &after));
			ck_assert(
			    slice_equal(buf_slice(&before), buf_slice(&after)));
		}
	}
	buf_release(&before);
	buf_release(&after);
}

static void check_order(void)
{
	for (size_t i = 1; i < out.count; i++)
		ck_assert_int_lt(key_compare(buf_slice(&out.all[i - 1].key),
		                             buf_slice(&out.all[i].key)),
		                 0);
}

/* ---- streams --------------------------------------------------------------- */

static void add_range(uint64_t seq, const char *lower, const char *upper)
{
	struct range range = {slice_str(lower), slice_str(upper)};
	struct buf value = BUF_INIT;

	ck_assert_int_eq(range_encode(range, &value), LSM_OK);
	entries_add(&in, slice_str("p"), seq, KEY_RANGE_DELETE,
	            buf_slice(&value));
	buf_release(&value);
}

static void fill(struct gen *gen)
{
	size_t count = 1 + gen_below(gen, VERSIONS);

	entries_release(&in);
	entries_release(&out);
	for (uint64_t seq = 1; seq <= count; seq++) {
		size_t rest = gen_below(gen, RESTS);
		char name[8], value[8];

		if (gen_below(gen, 6) == 0) {
			size_t low = gen_below(gen, RESTS);
			size_t high = low + gen_below(gen, RESTS - low + 1);

			add_range(seq, rests[low],
			          high < RESTS && high > low ? rests[high]
			                                     : "");
			continue;
		}
		snprintf(value, sizeof(value), "%u,", (unsigned)seq);
		entries_add(&in, user_name(rest, name), seq,
		            (enum key_kind)gen_below(gen, 3), slice_str(value));
	}
	entries_sort(&in);
	snapshot_count = gen_below(gen, SNAPSHOTS_MAX + 1);
	for (size_t i = 0; i < snapshot_count; i++)
		snapshots[i] = (i > 0 ? snapshots[i - 1] : 0) +
		               gen_below(gen, count / 2 + 1);
	for (size_t i = 0; i < RESTS; i++)
		outside[i] = gen_below(gen, 3) == 0;
}

START_TEST(reduced_streams_read_the_same)
{
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int round = 0; round < 4000; round++) {
		struct iter *it;

		fill(&gen);
		it = reduce(NEVER, gen_below(&gen, 3) == 0);
		entries_collect(&out, it);
		ck_assert_int_eq(iter_status(it), LSM_OK);
		iter_destroy(it);
		check_order();
		check_reads();
	}
}
END_TEST

static void expect_count(size_t count)
{
	struct iter *it = reduce(NEVER, false);

	entries_sort(&in);
	entries_release(&out);
	entries_collect(&out, it);
	ck_assert_int_eq(iter_status(it), LSM_OK);
	ck_assert_uint_eq(out.count, count);
	iter_destroy(it);
}

static void clear(void)
{
	entries_release(&in);
	memset(outside, 0, sizeof(outside));
	snapshot_count = 0;
}

START_TEST(covered_versions_and_the_tombstone_go_together)
{
	clear();
	entries_add_text(&in, "pa", 1, KEY_PUT, "1");
	entries_add_text(&in, "pb", 2, KEY_MERGE, "2");
	entries_add_text(&in, "pc", 3, KEY_DELETE, "");
	add_range(4, "", "");
	expect_count(0);
	/* A newer version stays; the tombstone, while it has a use. */
	entries_add_text(&in, "pb", 5, KEY_MERGE, "5");
	expect_count(1);
	ck_assert_int_eq(key_kind(buf_slice(&out.all[0].key)), KEY_PUT);
	outside[5] = true;
	expect_count(2);
	outside[5] = false;
	/* An older snapshot sees what is covered. */
	snapshots[snapshot_count++] = 1;
	expect_count(3);
}
END_TEST

START_TEST(tombstone_within_a_newer_one_of_its_stripe_goes)
{
	clear();
	outside[3] = true;
	add_range(3, "a", "c");
	add_range(5, "", "d");
	expect_count(1);
	ck_assert_uint_eq(key_seq(buf_slice(&out.all[0].key)), 5);
	snapshots[snapshot_count++] = 4;
	expect_count(2);
}
END_TEST

START_TEST(tombstone_of_another_length_or_damaged_is_corrupt)
{
	for (int i = 0; i < 2; i++) {
		struct iter *it;

		clear();
		entries_add_text(&in, i == 0 ? "pq" : "p", 1, KEY_RANGE_DELETE,
		                 i == 0 ? "\1a\1b" : "\1a\2b");
		it = reduce(NEVER, false);
		iter_seek_first(it);
		ck_assert(!iter_valid(it));
		ck_assert_int_eq(iter_status(it), LSM_ERR_CORRUPT);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(an_error_of_the_stream_is_passed_on)
{
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int round = 0; round < 300; round++) {
		struct iter *it;

		fill(&gen);
		it = reduce((long)gen_below(&gen, in.count), false);
		entries_collect(&out, it);
		ck_assert_int_eq(iter_status(it), LSM_ERR_IO);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(each_failed_allocation_is_nomem)
{
	struct gen gen;
	bool failed = true;

	gen_init(&gen, 5);
	fill(&gen);
	for (unsigned n = 1; failed; n++) {
		struct iter *it = reduce(NEVER, false);

		alloc_fault_arm(n);
		for (iter_seek_first(it); iter_valid(it); iter_next(it))
			continue;
		failed = alloc_fault_disarm();
		ck_assert_int_eq(iter_status(it),
		                 failed ? LSM_ERR_NOMEM : LSM_OK);
		iter_destroy(it);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reduce_range");
	TCase *tc = tcase_create("reduce_range");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reduced_streams_read_the_same);
	tcase_add_test(tc, covered_versions_and_the_tombstone_go_together);
	tcase_add_test(tc, tombstone_within_a_newer_one_of_its_stripe_goes);
	tcase_add_test(tc, tombstone_of_another_length_or_damaged_is_corrupt);
	tcase_add_test(tc, an_error_of_the_stream_is_passed_on);
	tcase_add_test(tc, each_failed_allocation_is_nomem);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
