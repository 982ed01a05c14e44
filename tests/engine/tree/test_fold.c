/* SPDX-License-Identifier: MIT */
/* test_fold.c: operands are folded once, oldest first, onto the newest base. */
#include <check.h>
#include <stdlib.h>

#include "base/log.h"
#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"

static struct fold fold;
static struct buf value;

static void ignore_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static void setup(void)
{
	log_set_sink(ignore_line, NULL);
	fold_init(&fold, append_fn, slice_str("user"));
	buf_init(&value);
}

static void teardown(void)
{
	fold_release(&fold);
	buf_release(&value);
}

static bool visit(uint64_t seq, enum key_kind kind, const char *text)
{
	return fold_visit(&fold, seq, kind, slice_str(text));
}

/* Conclude and compare. */
static void expect(bool bottom, enum fold_result result, const char *text)
{
	enum fold_result found;

	ck_assert_int_eq(fold_finish(&fold, bottom, &value, &found), LSM_OK);
	ck_assert_int_eq(found, result);
	ck_assert(slice_equal(buf_slice(&value), slice_str(text)));
}

START_TEST(no_version_is_nothing)
{
	expect(true, FOLD_NOTHING, "");
	fold_reset(&fold, slice_str("user"));
	expect(false, FOLD_NOTHING, "");
}
END_TEST

START_TEST(a_put_ends_the_walk_and_is_the_value)
{
	ck_assert(!visit(9, KEY_PUT, "new"));
	ck_assert(!visit(8, KEY_PUT, "old"));
	expect(false, FOLD_VALUE, "new");
}
END_TEST

START_TEST(a_deletion_ends_the_walk_and_is_nothing)
{
	ck_assert(!visit(9, KEY_DELETE, ""));
	ck_assert(!visit(8, KEY_PUT, "old"));
	expect(false, FOLD_NOTHING, "");
}
END_TEST

START_TEST(operands_go_onto_a_put_oldest_first)
{
	ck_assert(visit(9, KEY_MERGE, "c"));
	ck_assert(visit(8, KEY_MERGE, ""));
	ck_assert(visit(7, KEY_MERGE, "b"));
	ck_assert(!visit(6, KEY_PUT, "a"));
	expect(false, FOLD_VALUE, "abc");
}
END_TEST

START_TEST(operands_on_an_empty_put_and_on_a_deletion_are_values)
{
	ck_assert(visit(9, KEY_MERGE, "c"));
	ck_assert(!visit(6, KEY_PUT, ""));
	expect(false, FOLD_VALUE, "c");
	fold_reset(&fold, slice_str("user"));
	ck_assert(visit(9, KEY_MERGE, "d"));
	ck_assert(!visit(6, KEY_DELETE, ""));
	expect(false, FOLD_VALUE, "d");
}
END_TEST

START_TEST(operands_without_a_base_are_one_operand_or_at_the_bottom_a_value)
{
	ck_assert(visit(9, KEY_MERGE, "b"));
	ck_assert(visit(8, KEY_MERGE, "a"));
	expect(false, FOLD_OPERAND, "ab");
	fold_reset(&fold, slice_str("user"));
	ck_assert(visit(9, KEY_MERGE, "b"));
	ck_assert(visit(8, KEY_MERGE, "a"));
	expect(true, FOLD_VALUE, "ab");
}
END_TEST

static void visit_back(uint64_t seq, enum key_kind kind, const char *text)
{
	ck_assert(fold_visit_back(&fold, seq, kind, slice_str(text)));
}

START_TEST(a_walk_from_the_oldest_gives_the_same)
{
	visit_back(1, KEY_MERGE, "x");
	visit_back(2, KEY_PUT, "old");
	visit_back(3, KEY_MERGE, "y");
	visit_back(4, KEY_PUT, "a");
	visit_back(5, KEY_MERGE, "b");
	visit_back(6, KEY_MERGE, "c");
	expect(true, FOLD_VALUE, "abc");

	fold_reset(&fold, slice_str("user"));
	visit_back(1, KEY_PUT, "old");
	visit_back(2, KEY_DELETE, "");
	expect(true, FOLD_NOTHING, "");
	visit_back(3, KEY_MERGE, "d");
	visit_back(4, KEY_MERGE, "e");
	expect(true, FOLD_VALUE, "de");

	fold_reset(&fold, slice_str("user"));
	visit_back(1, KEY_MERGE, "d");
	visit_back(2, KEY_MERGE, "e");
	expect(false, FOLD_OPERAND, "de");
}
END_TEST

START_TEST(empty_operands_fold_to_an_empty_one)
{
	ck_assert(visit(9, KEY_MERGE, ""));
	ck_assert(visit(8, KEY_MERGE, ""));
	expect(false, FOLD_OPERAND, "");
}
END_TEST

/* A fold function that remembers what it was told. */
static struct {
	int calls;
	bool has_base, base_is_null;
	size_t count;
	struct slice key;
} told;

static enum lsm_err remember(void *ctx, struct slice key, bool has_base,
                             const struct slice *base,
                             const struct slice *operands, size_t count,
                             struct buf *out)
{
	(void)operands;
	(void)ctx;
	told.calls++;
	told.has_base = has_base;
	told.base_is_null = base == NULL;
	told.count = count;
	told.key = key;
	return append_u8(out, 'x');
}

START_TEST(the_function_is_told_what_is_under_the_operands)
{
	struct fold_fn fn = {.call = remember, .ctx = NULL};

	fold_init(&fold, fn, slice_str("me"));
	ck_assert(visit(3, KEY_MERGE, "2"));
	ck_assert(visit(2, KEY_MERGE, "1"));
	expect(false, FOLD_OPERAND, "x");
	ck_assert(!told.has_base && told.base_is_null);
	ck_assert_uint_eq(told.count, 2);
	ck_assert(slice_equal(told.key, slice_str("me")));

	fold_reset(&fold, slice_str("me"));
	ck_assert(visit(3, KEY_MERGE, "2"));
	expect(true, FOLD_VALUE, "x");
	ck_assert(told.has_base && told.base_is_null);

	fold_reset(&fold, slice_str("me"));
	ck_assert(visit(3, KEY_MERGE, "2"));
	ck_assert(!visit(2, KEY_PUT, ""));
	expect(false, FOLD_VALUE, "x");
	ck_assert(told.has_base && !told.base_is_null);
	ck_assert_int_eq(told.calls, 3);
}
END_TEST

START_TEST(one_operand_alone_is_passed_on_without_a_call)
{
	struct fold_fn fn = {.call = remember, .ctx = NULL};

	told.calls = 0;
	fold_init(&fold, fn, slice_str("me"));
	ck_assert(visit(3, KEY_MERGE, "same"));
	expect(false, FOLD_OPERAND, "same");
	ck_assert_int_eq(told.calls, 0);
}
END_TEST

START_TEST(a_merge_without_a_function_is_corrupt_until_reset)
{
	struct fold_fn none = {.call = NULL, .ctx = NULL};
	enum fold_result result;

	fold_init(&fold, none, slice_str("user"));
	ck_assert(!visit(3, KEY_MERGE, "x"));
	ck_assert(!visit(2, KEY_PUT, "y"));
	ck_assert_int_eq(fold_finish(&fold, true, &value, &result),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(value.len, 0);
	fold_reset(&fold, slice_str("user"));
	ck_assert(!visit(2, KEY_PUT, "y"));
	expect(false, FOLD_VALUE, "y");
}
END_TEST

START_TEST(an_unknown_kind_is_corrupt)
{
	enum fold_result result;

	ck_assert(!visit(3, (enum key_kind)77, "x"));
	ck_assert_int_eq(fold_finish(&fold, true, &value, &result),
	                 LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(an_error_of_the_function_leaves_the_value_empty)
{
	enum fold_result result;

	ck_assert(visit(3, KEY_MERGE, "!bad"));
	ck_assert(!visit(2, KEY_PUT, "y"));
	ck_assert_int_eq(fold_finish(&fold, true, &value, &result),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(value.len, 0);
	ck_assert_int_eq(result, FOLD_NOTHING);
}
END_TEST

START_TEST(a_put_costs_one_allocation_and_none_when_reused)
{
	char text[3000];
	enum fold_result result;
	enum lsm_err err;
	bool more, failed;

	memset(text, 'v', sizeof(text));
	alloc_fault_arm(2);
	more = fold_visit(&fold, 1, KEY_PUT, slice_make(text, sizeof(text)));
	err = fold_finish(&fold, false, &value, &result);
	failed = alloc_fault_disarm();
	ck_assert(!failed && !more);
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_eq(value.len, sizeof(text));

	/* The buf that the caller had is the fold's now: fill it once. */
	fold_reset(&fold, slice_str("next"));
	fold_visit(&fold, 1, KEY_PUT, slice_make(text, sizeof(text)));
	ck_assert_int_eq(fold_finish(&fold, false, &value, &result), LSM_OK);
	fold_reset(&fold, slice_str("next"));
	alloc_fault_arm(1);
	fold_visit(&fold, 1, KEY_PUT, slice_make(text, sizeof(text)));
	err = fold_finish(&fold, false, &value, &result);
	failed = alloc_fault_disarm();
	ck_assert(!failed);
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_eq(value.len, sizeof(text));
}
END_TEST

START_TEST(each_failed_allocation_is_nomem)
{
	enum fold_result result;
	enum lsm_err err;
	uint64_t nth;

	for (nth = 1;; nth++) {
		bool failed;

		fold_release(&fold);
		fold_init(&fold, append_fn, slice_str("user"));
		buf_release(&value);
		alloc_fault_arm(nth);
		visit(5, KEY_MERGE, "c");
		visit(4, KEY_MERGE, "b");
		visit(3, KEY_PUT, "a");
		err = fold_finish(&fold, false, &value, &result);
		failed = alloc_fault_disarm();
		if (!failed)
			break;
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
		ck_assert_uint_eq(value.len, 0);
	}
	ck_assert_int_eq(err, LSM_OK);
	ck_assert(slice_equal(buf_slice(&value), slice_str("abc")));
	ck_assert_uint_ge(nth, 5); /* base, operands, ends, array, result */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fold");
	TCase *tc = tcase_create("fold");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, no_version_is_nothing);
	tcase_add_test(tc, a_put_ends_the_walk_and_is_the_value);
	tcase_add_test(tc, a_deletion_ends_the_walk_and_is_nothing);
	tcase_add_test(tc, operands_go_onto_a_put_oldest_first);
	tcase_add_test(tc,
	               operands_on_an_empty_put_and_on_a_deletion_are_values);
	tcase_add_test(
	    tc,
	    operands_without_a_base_are_one_operand_or_at_the_bottom_a_value);
	tcase_add_test(tc, a_walk_from_the_oldest_gives_the_same);
	tcase_add_test(tc, empty_operands_fold_to_an_empty_one);
	tcase_add_test(tc, the_function_is_told_what_is_under_the_operands);
	tcase_add_test(tc, one_operand_alone_is_passed_on_without_a_call);
	tcase_add_test(tc, a_merge_without_a_function_is_corrupt_until_reset);
	tcase_add_test(tc, an_unknown_kind_is_corrupt);
	tcase_add_test(tc, an_error_of_the_function_leaves_the_value_empty);
	tcase_add_test(tc, a_put_costs_one_allocation_and_none_when_reused);
	tcase_add_test(tc, each_failed_allocation_is_nomem);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
