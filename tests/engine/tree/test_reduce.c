/* SPDX-License-Identifier: MIT */
/*
 * test_reduce.c: what a reduced stream says to every reader is what the whole
 * one said; and it is as small as it can be.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tree/reduce.h"

enum { USERS = 6, SNAPSHOTS_MAX = 6 };

/* Versions older than the stream, held elsewhere: none, or one of sequence 1.
 */
struct outside {
	bool exists[USERS];
	enum key_kind kind[USERS]; /* PUT or DELETE */
	bool admit_it;             /* bottom() says nothing when false */
};

static struct slice user_name(size_t index)
{
	static const char names[USERS][6] = {"", "a", "ab", "b", "ba", "c"};

	return slice_str(names[index]);
}

static bool bottom(void *ctx, struct slice user)
{
	const struct outside *outside = ctx;

	for (size_t i = 0; i < USERS; i++)
		if (slice_equal(user, user_name(i)))
			return !outside->exists[i];
	return false;
}

static struct iter *reduce(const struct entries *entries, long fail_at,
                           const uint64_t *snapshots, size_t count,
                           struct outside *outside)
{
	struct reduce_options options = {
	    .fold = append_fn,
	    .snapshots = snapshots,
	    .snapshot_count = count,
	    .bottom = outside == NULL ? NULL : bottom,
	    .ctx = outside,
	};
	struct iter *it;

	ck_assert_int_eq(
	    reduce_iter_create(entries_iter(entries, fail_at), &options, &it),
	    LSM_OK);
	return it;
}

/* What a reader of `seq` sees of `user`; false: nothing. By the book: walk to
   the base, then put what was met behind it. */
static bool evaluate(const struct entries *entries,
                     const struct outside *outside, size_t index, uint64_t seq,
                     struct buf *value)
{
	struct slice met[256];
	size_t count = 0;
	bool exists = false;

	buf_clear(value);
	for (size_t i = 0; i < entries->count; i++) {
		struct slice key = buf_slice(&entries->all[i].key);

		if (!slice_equal(key_user(key), user_name(index)) ||
		    key_seq(key) > seq)
			continue;
		if (key_kind(key) == KEY_DELETE)
			goto operands;
		met[count++] = buf_slice(&entries->all[i].value);
		exists = true;
		if (key_kind(key) == KEY_PUT)
			goto operands;
	}
	if (outside->exists[index] && outside->kind[index] == KEY_PUT) {
		exists = true;
		met[count++] = slice_str("outside,");
	}
operands:
	while (count > 0)
		ck_assert_int_eq(buf_append_slice(value, met[--count]), LSM_OK);
	return exists;
}

static size_t stripe_of(uint64_t seq, const uint64_t *snapshots, size_t count)
{
	size_t stripe = 0;

	while (stripe < count && snapshots[stripe] < seq)
		stripe++;
	return stripe;
}

/* Keys ascend, one a stripe, each with the sequence of the newest there; and
   where nothing is older, no tombstone and no operand is the oldest. */
static void check_form(const struct entries *in, const struct entries *out,
                       const uint64_t *snapshots, size_t count,
                       struct outside *outside)
{
	for (size_t i = 0; i < out->count; i++) {
		struct slice key = buf_slice(&out->all[i].key);
		size_t stripe = stripe_of(key_seq(key), snapshots, count);
		uint64_t newest = 0;
		struct slice next;

		for (size_t j = 0; j < in->count; j++) {
			struct slice other = buf_slice(&in->all[j].key);

			if (slice_equal(key_user(key), key_user(other)) &&
			    stripe_of(key_seq(other), snapshots, count) ==
			        stripe &&
			    key_seq(other) > newest)
				newest = key_seq(other);
		}
		ck_assert_uint_eq(key_seq(key), newest);

		if (i + 1 < out->count) {
			next = buf_slice(&out->all[i + 1].key);
			ck_assert_int_lt(key_compare(key, next), 0);
			if (slice_equal(key_user(key), key_user(next))) {
				ck_assert_uint_gt(
				    stripe,
				    stripe_of(key_seq(next), snapshots, count));
				continue;
			}
		}
		if (outside->admit_it && bottom(outside, key_user(key)) &&
		    key_kind(key) != KEY_PUT) {
			/* Something older went, or this would have. */
			bool older = false;

			for (size_t j = 0; j < in->count; j++) {
				struct slice other = buf_slice(&in->all[j].key);

				older |= slice_equal(key_user(key),
				                     key_user(other)) &&
				         stripe_of(key_seq(other), snapshots,
				                   count) < stripe;
			}
			ck_assert(older);
		}
	}
}

static void fill(struct gen *gen, struct entries *in, struct outside *outside)
{
	size_t count = (size_t)gen_below(gen, 60);

	for (size_t i = 0; i < count; i++) {
		char value[24];
		uint64_t dice = gen_below(gen, 10);
		enum key_kind kind = dice < 3   ? KEY_PUT
		                     : dice < 5 ? KEY_DELETE
		                                : KEY_MERGE;

		snprintf(value, sizeof(value), "%zu,", i);
		entries_add(in, user_name((size_t)gen_below(gen, USERS)), i + 2,
		            kind, slice_str(kind == KEY_DELETE ? "" : value));
	}
	entries_sort(in);
	for (size_t i = 0; i < USERS; i++) {
		outside->exists[i] = gen_below(gen, 2) == 0;
		outside->kind[i] =
		    gen_below(gen, 2) == 0 ? KEY_PUT : KEY_DELETE;
	}
	outside->admit_it = gen_below(gen, 4) != 0;
}

static size_t draw_snapshots(struct gen *gen, uint64_t *snapshots)
{
	size_t wanted = (size_t)gen_below(gen, SNAPSHOTS_MAX + 1), count = 0;
	uint64_t seq = 0;

	while (count < wanted) {
		seq += 1 + gen_below(gen, 15);
		snapshots[count++] = seq;
	}
	return count;
}

START_TEST(every_snapshot_reads_the_same_before_and_after)
{
	struct gen gen;

	gen_init(&gen, gen_seed(21));
	for (int round = 0; round < 2000; round++) {
		struct buf before = BUF_INIT, after = BUF_INIT;
		uint64_t snapshots[SNAPSHOTS_MAX + 1];
		struct entries in, out;
		struct outside outside;
		struct iter *it;
		size_t count;

		entries_init(&in);
		fill(&gen, &in, &outside);
		count = draw_snapshots(&gen, snapshots);
		it = reduce(&in, NEVER, snapshots, count,
		            outside.admit_it ? &outside : NULL);
		entries_collect(&out, it);
		ck_assert_int_eq(iter_status(it), LSM_OK);
		iter_destroy(it);

		check_form(&in, &out, snapshots, count, &outside);
		snapshots[count] = UINT64_MAX; /* the readers of now */
		for (size_t s = 0; s <= count; s++) {
			for (size_t u = 0; u < USERS; u++) {
				bool was = evaluate(&in, &outside, u,
				                    snapshots[s], &before);
				bool is = evaluate(&out, &outside, u,
				                   snapshots[s], &after);

				ck_assert_msg(
				    was == is && slice_equal(buf_slice(&before),
				                             buf_slice(&after)),
				    "round %d user %zu snapshot %zu", round, u,
				    s);
			}
		}
		buf_release(&before);
		buf_release(&after);
		entries_release(&in);
		entries_release(&out);
	}
	ck_assert_int_eq(iters_alive, 0);
}
END_TEST

/* Reduce `in` and compare with the rows "user seq kind value". */
struct row {
	const char *user;
	uint64_t seq;
	enum key_kind kind;
	const char *value;
};

static void check_rows(const struct row *in, size_t in_count,
                       const struct row *out, size_t out_count,
                       const uint64_t *snapshots, size_t snapshot_count,
                       bool at_bottom)
{
	struct outside outside = {.admit_it = true};
	struct entries given, expected, found;
	struct iter *it;

	entries_init(&given);
	entries_init(&expected);
	for (size_t i = 0; i < in_count; i++)
		entries_add_text(&given, in[i].user, in[i].seq, in[i].kind,
		                 in[i].value);
	for (size_t i = 0; i < out_count; i++)
		entries_add_text(&expected, out[i].user, out[i].seq,
		                 out[i].kind, out[i].value);
	it = reduce(&given, NEVER, snapshots, snapshot_count,
	            at_bottom ? &outside : NULL);
	entries_collect(&found, it);
	ck_assert(entries_equal(&found, &expected));
	iter_destroy(it);
	entries_release(&given);
	entries_release(&expected);
	entries_release(&found);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

START_TEST(operands_of_a_newer_stripe_stay_off_an_older_base)
{
	static const uint64_t snapshots[] = {5};
	static const struct row in[] = {
	    {"a", 8, KEY_MERGE, "z"}, {"a", 7, KEY_MERGE, "y"},
	    {"a", 5, KEY_MERGE, "x"}, {"a", 4, KEY_PUT, "w"},
	    {"a", 3, KEY_PUT, "v"},
	};
	static const struct row out[] = {
	    {"a", 8, KEY_MERGE, "yz"},
	    {"a", 5, KEY_PUT, "wx"},
	};

	check_rows(in, COUNT(in), out, COUNT(out), snapshots, 1, true);
	check_rows(in, COUNT(in), out, COUNT(out), snapshots, 1, false);
}
END_TEST

START_TEST(a_tombstone_goes_only_at_the_bottom_and_as_the_oldest)
{
	static const uint64_t snapshots[] = {5};
	static const struct row in[] = {
	    {"a", 8, KEY_DELETE, ""}, {"a", 4, KEY_PUT, "w"},
	    {"b", 9, KEY_DELETE, ""}, {"b", 7, KEY_PUT, "v"},
	    {"c", 3, KEY_DELETE, ""},
	};
	static const struct row bottom_rows[] = {
	    {"a", 8, KEY_DELETE, ""},
	    {"a", 4, KEY_PUT, "w"},
	};
	static const struct row other_rows[] = {
	    {"a", 8, KEY_DELETE, ""},
	    {"a", 4, KEY_PUT, "w"},
	    {"b", 9, KEY_DELETE, ""},
	    {"c", 3, KEY_DELETE, ""},
	};

	check_rows(in, COUNT(in), bottom_rows, COUNT(bottom_rows), snapshots, 1,
	           true);
	check_rows(in, COUNT(in), other_rows, COUNT(other_rows), snapshots, 1,
	           false);
}
END_TEST

START_TEST(operands_become_a_value_only_where_nothing_is_below)
{
	static const struct row in[] = {
	    {"a", 8, KEY_MERGE, "y"},
	    {"a", 7, KEY_MERGE, "x"},
	    {"b", 9, KEY_MERGE, "t"},
	    {"b", 3, KEY_DELETE, ""},
	};
	static const struct row bottom_rows[] = {
	    {"a", 8, KEY_PUT, "xy"},
	    {"b", 9, KEY_PUT, "t"},
	};
	static const struct row other_rows[] = {
	    {"a", 8, KEY_MERGE, "xy"},
	    {"b", 9, KEY_PUT, "t"},
	};

	check_rows(in, COUNT(in), bottom_rows, COUNT(bottom_rows), NULL, 0,
	           true);
	check_rows(in, COUNT(in), other_rows, COUNT(other_rows), NULL, 0,
	           false);
}
END_TEST

START_TEST(a_source_that_fails_anywhere_never_gives_a_half_folded_entry)
{
	struct gen gen;

	gen_init(&gen, gen_seed(22));
	for (int round = 0; round < 60; round++) {
		uint64_t snapshots[SNAPSHOTS_MAX + 1];
		struct entries in, whole, part;
		struct outside outside;
		struct iter *it;
		size_t count;

		entries_init(&in);
		fill(&gen, &in, &outside);
		outside.admit_it = true;
		count = draw_snapshots(&gen, snapshots);
		it = reduce(&in, NEVER, snapshots, count, &outside);
		entries_collect(&whole, it);
		iter_destroy(it);
		for (size_t at = 0; at < in.count; at++) {
			it = reduce(&in, (long)at, snapshots, count, &outside);
			entries_collect(&part, it);
			ck_assert_int_eq(iter_status(it), LSM_ERR_IO);
			iter_destroy(it);
			ck_assert_uint_le(part.count, whole.count);
			for (size_t i = 0; i < part.count; i++) {
				ck_assert(
				    slice_equal(buf_slice(&part.all[i].key),
				                buf_slice(&whole.all[i].key)));
				ck_assert(slice_equal(
				    buf_slice(&part.all[i].value),
				    buf_slice(&whole.all[i].value)));
			}
			entries_release(&part);
		}
		entries_release(&in);
		entries_release(&whole);
	}
	ck_assert_int_eq(iters_alive, 0);
}
END_TEST

START_TEST(an_error_of_the_fold_function_ends_the_stream)
{
	struct entries in, out;
	struct iter *it;

	entries_init(&in);
	entries_add_text(&in, "a", 9, KEY_PUT, "fine");
	entries_add_text(&in, "b", 8, KEY_MERGE, "!bad");
	entries_add_text(&in, "b", 7, KEY_PUT, "base");
	entries_add_text(&in, "c", 6, KEY_PUT, "never seen");
	it = reduce(&in, NEVER, NULL, 0, NULL);
	entries_collect(&out, it);
	ck_assert_uint_eq(out.count, 1);
	ck_assert_int_eq(iter_status(it), LSM_ERR_CORRUPT);
	entries_release(&out);
	entries_release(&in);
	iter_destroy(it);
}
END_TEST

START_TEST(failed_allocations_end_the_stream_and_leak_nothing)
{
	struct entries in;
	uint64_t nth = 1;
	bool failed;

	entries_init(&in);
	entries_add_text(&in, "a", 9, KEY_MERGE, "2");
	entries_add_text(&in, "a", 8, KEY_MERGE, "1");
	entries_add_text(&in, "a", 7, KEY_PUT, "0");
	do {
		struct reduce_options options = {.fold = append_fn};
		struct iter *inner = entries_iter(&in, NEVER), *it;
		enum lsm_err err;

		alloc_fault_arm(nth++);
		err = reduce_iter_create(inner, &options, &it);
		if (err == LSM_OK) {
			iter_seek_first(it);
			err = iter_status(it);
		}
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		ck_assert(it == NULL || iter_valid(it) == !failed);
		iter_destroy(it);
		ck_assert_int_eq(iters_alive, 0);
	} while (failed);
	/* The stream, three pairs lent, key, operands, ends, base, array and
	   what came of it. */
	ck_assert_uint_ge(nth, 13);
	entries_release(&in);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reduce");
	TCase *tc = tcase_create("reduce");

	tcase_add_test(tc, every_snapshot_reads_the_same_before_and_after);
	tcase_add_test(tc, operands_of_a_newer_stripe_stay_off_an_older_base);
	tcase_add_test(tc,
	               a_tombstone_goes_only_at_the_bottom_and_as_the_oldest);
	tcase_add_test(tc, operands_become_a_value_only_where_nothing_is_below);
	tcase_add_test(
	    tc, a_source_that_fails_anywhere_never_gives_a_half_folded_entry);
	tcase_add_test(tc, an_error_of_the_fold_function_ends_the_stream);
	tcase_add_test(tc, failed_allocations_end_the_stream_and_leak_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
