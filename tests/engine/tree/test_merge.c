/* SPDX-License-Identifier: MIT */
/* test_merge.c: many sorted sources read as one, and end where one fails. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tree/merge.h"

enum { SOURCES_MAX = 12 };

/* What is merged, and the same in one array. */
static struct entries sources[SOURCES_MAX], whole;
static size_t source_count;

static void setup(void)
{
	for (size_t i = 0; i < SOURCES_MAX; i++)
		entries_init(&sources[i]);
	entries_init(&whole);
}

static void teardown(void)
{
	for (size_t i = 0; i < SOURCES_MAX; i++)
		entries_release(&sources[i]);
	entries_release(&whole);
	ck_assert_int_eq(iters_alive, 0);
}

/* Deal `count` versions out to the sources; sequences are unique. */
static void fill(struct gen *gen, size_t count)
{
	teardown();
	source_count = (size_t)gen_below(gen, SOURCES_MAX + 1);
	for (size_t i = 0; source_count > 0 && i < count; i++) {
		char user[8], value[24];
		size_t to = (size_t)gen_below(gen, source_count);
		enum key_kind kind = (enum key_kind)gen_below(gen, 3);

		snprintf(user, sizeof(user), "k%02u",
		         (unsigned)gen_below(gen, 40));
		snprintf(value, sizeof(value), "v%zu", i);
		entries_add_text(&sources[to], user, i + 1, kind, value);
		entries_add_text(&whole, user, i + 1, kind, value);
	}
	for (size_t i = 0; i < source_count; i++)
		entries_sort(&sources[i]);
	entries_sort(&whole);
}

/* Merge the sources; source `failing` ends with IO before entry `fail_at`. */
static struct iter *merge_all(size_t failing, long fail_at)
{
	struct iter_list list;
	struct iter *it;

	iter_list_init(&list);
	for (size_t i = 0; i < source_count; i++)
		ck_assert_int_eq(
		    iter_list_push(
			&list, entries_iter(&sources[i],
		                            i == failing ? fail_at : NEVER)),
		    LSM_OK);
	ck_assert_int_eq(merge_iter_create(&list, &it), LSM_OK);
	ck_assert_uint_eq(list.count, 0);
	ck_assert_ptr_null(list.iters);
	return it;
}

START_TEST(merged_streams_are_the_sorted_whole)
{
	struct gen gen;

	gen_init(&gen, gen_seed(11));
	for (int round = 0; round < 200; round++) {
		struct entries found;
		struct iter *it;

		fill(&gen, (size_t)gen_below(&gen, 200));
		it = merge_all(0, NEVER);
		ck_assert(!iter_valid(it));
		entries_collect(&found, it);
		ck_assert(entries_equal(&found, &whole));
		ck_assert_int_eq(iter_status(it), LSM_OK);
		entries_release(&found);
		iter_destroy(it);
		ck_assert_int_eq(iters_alive, 0);
	}
}
END_TEST

START_TEST(seek_finds_the_first_at_or_after)
{
	struct gen gen;

	gen_init(&gen, gen_seed(12));
	for (int round = 0; round < 300; round++) {
		struct buf target = BUF_INIT;
		struct iter *it;
		char user[8];
		size_t at = 0;

		fill(&gen, 60);
		it = merge_all(0, NEVER);
		snprintf(user, sizeof(user), "k%02u",
		         (unsigned)gen_below(&gen, 42));
		ck_assert_int_eq(key_make(&target, slice_str(user),
		                          gen_below(&gen, 62), KEY_SEEK),
		                 LSM_OK);
		iter_seek(it, buf_slice(&target));
		while (at < whole.count &&
		       key_compare(buf_slice(&whole.all[at].key),
		                   buf_slice(&target)) < 0)
			at++;
		for (; at < whole.count; at++, iter_next(it)) {
			ck_assert(iter_valid(it));
			ck_assert(slice_equal(iter_key(it),
			                      buf_slice(&whole.all[at].key)));
			ck_assert(slice_equal(iter_value(it),
			                      buf_slice(&whole.all[at].value)));
		}
		ck_assert(!iter_valid(it));
		buf_release(&target);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(moves_both_ways_find_every_entry)
{
	struct gen gen;

	gen_init(&gen, gen_seed(14));
	for (int round = 0; round < 200; round++) {
		struct iter *it;

		fill(&gen, (size_t)gen_below(&gen, 200));
		it = merge_all(0, NEVER);
		ck_assert(moves_match(it, &whole, 0, whole.count, &gen, 300));
		iter_destroy(it);
	}
}
END_TEST

START_TEST(an_error_on_the_way_back_ends_the_stream)
{
	struct gen gen;

	gen_init(&gen, gen_seed(15));
	for (int round = 0; round < 300; round++) {
		size_t failing, fail_at, left;
		struct iter *it;

		do {
			fill(&gen, 80);
			failing = (size_t)gen_below(&gen, SOURCES_MAX);
		} while (failing >= source_count ||
		         sources[failing].count == 0);
		fail_at = (size_t)gen_below(&gen, sources[failing].count);
		left = whole.count;
		it = merge_all(failing, (long)fail_at);
		for (iter_seek_last(it); iter_valid(it); iter_prev(it)) {
			ck_assert_uint_gt(left, 0);
			ck_assert(slice_equal(
			    iter_key(it), buf_slice(&whole.all[--left].key)));
		}
		ck_assert_int_eq(iter_status(it), LSM_ERR_IO);
		ck_assert(left > 0);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(an_error_of_one_source_ends_the_stream_before_what_is_missing)
{
	struct gen gen;

	gen_init(&gen, gen_seed(13));
	for (int round = 0; round < 300; round++) {
		struct entries found;
		size_t failing, fail_at;
		struct iter *it;

		do {
			fill(&gen, 80);
			failing = (size_t)gen_below(&gen, SOURCES_MAX);
		} while (failing >= source_count ||
		         sources[failing].count == 0);
		fail_at = (size_t)gen_below(&gen, sources[failing].count);
		it = merge_all(failing, (long)fail_at);
		entries_collect(&found, it);
		ck_assert(!iter_valid(it));
		ck_assert_int_eq(iter_status(it), LSM_ERR_IO);
		/* A prefix, and nothing from behind the hole. */
		ck_assert_uint_lt(found.count, whole.count);
		for (size_t i = 0; i < found.count; i++) {
			struct slice key = buf_slice(&found.all[i].key);

			ck_assert(
			    slice_equal(key, buf_slice(&whole.all[i].key)));
			ck_assert_int_lt(
			    key_compare(
				key,
				buf_slice(&sources[failing].all[fail_at].key)),
			    0);
		}
		entries_release(&found);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(a_seek_after_an_error_begins_anew)
{
	struct iter *it;

	source_count = 2;
	entries_add_text(&sources[0], "a", 1, KEY_PUT, "1");
	entries_add_text(&sources[0], "b", 2, KEY_PUT, "2");
	entries_add_text(&sources[1], "c", 3, KEY_PUT, "3");
	it = merge_all(0, 0);
	iter_seek_first(it);
	ck_assert(!iter_valid(it));
	ck_assert_int_eq(iter_status(it), LSM_ERR_IO);
	iter_seek(it, buf_slice(&sources[0].all[1].key));
	ck_assert(iter_valid(it));
	ck_assert_int_eq(iter_status(it), LSM_OK);
	ck_assert(slice_equal(iter_value(it), slice_str("2")));
	iter_destroy(it);
}
END_TEST

START_TEST(a_list_that_is_released_destroys_its_iterators)
{
	struct iter_list list;

	iter_list_init(&list);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(
		    iter_list_push(&list, entries_iter(&whole, NEVER)), LSM_OK);
	ck_assert_int_eq(iters_alive, 20);
	iter_list_release(&list);
	ck_assert_int_eq(iters_alive, 0);
	iter_list_release(&list);
	iter_list_release(NULL);
}
END_TEST

START_TEST(failed_allocations_lose_no_iterator)
{
	struct iter *a = entries_iter(&whole, NEVER);
	struct iter *b = entries_iter(&whole, NEVER);
	struct iter *c = entries_iter(&whole, NEVER);
	struct iter_list list;
	struct iter *it;
	enum lsm_err err;

	iter_list_init(&list);
	alloc_fault_arm(1);
	err = iter_list_push(&list, a);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_int_eq(iters_alive, 2);

	ck_assert_int_eq(iter_list_push(&list, b), LSM_OK);
	ck_assert_int_eq(iter_list_push(&list, c), LSM_OK);
	alloc_fault_arm(1);
	err = merge_iter_create(&list, &it);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_ptr_null(it);
	ck_assert_uint_eq(list.count, 2);
	iter_list_release(&list);
	ck_assert_int_eq(iters_alive, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("merge");
	TCase *tc = tcase_create("merge");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, merged_streams_are_the_sorted_whole);
	tcase_add_test(tc, seek_finds_the_first_at_or_after);
	tcase_add_test(tc, moves_both_ways_find_every_entry);
	tcase_add_test(tc, an_error_on_the_way_back_ends_the_stream);
	tcase_add_test(
	    tc, an_error_of_one_source_ends_the_stream_before_what_is_missing);
	tcase_add_test(tc, a_seek_after_an_error_begins_anew);
	tcase_add_test(tc, a_list_that_is_released_destroys_its_iterators);
	tcase_add_test(tc, failed_allocations_lose_no_iterator);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
