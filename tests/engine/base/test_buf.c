/* SPDX-License-Identifier: MIT */
/* test_buf.c: a buf holds what was put in, or is unchanged after an error. */
#include <check.h>
#include <stdlib.h>

#include "base/buf.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

START_TEST(slices_order_like_memcmp_and_prefixes_come_first)
{
	ck_assert_int_lt(slice_compare(slice_str("a"), slice_str("b")), 0);
	ck_assert_int_gt(slice_compare(slice_str("b"), slice_str("a")), 0);
	ck_assert_int_lt(slice_compare(slice_str("a"), slice_str("ab")), 0);
	ck_assert_int_gt(slice_compare(slice_str("b"), slice_str("ab")), 0);
	ck_assert_int_lt(slice_compare(slice_make(NULL, 0), slice_str("a")), 0);
	ck_assert_int_eq(slice_compare(slice_make(NULL, 0), slice_str("")), 0);
	ck_assert_int_lt(slice_compare(slice_str("\x7f"), slice_str("\x80")),
	                 0);
}
END_TEST

/* Lengths about those of words, and past what is compared in place. */
START_TEST(random_slices_order_like_memcmp)
{
	uint8_t a[64], b[64];
	struct gen gen;

	gen_init(&gen, gen_seed(5));
	for (int round = 0; round < 20000; round++) {
		struct slice x, y;
		size_t least;
		int order, got;

		x = slice_make(a, (size_t)gen_below(&gen, sizeof(a)));
		y = slice_make(b, (size_t)gen_below(&gen, sizeof(b)));
		if (gen_below(&gen, 2) == 0)
			y.len = x.len;
		gen_bytes(&gen, a, x.len);
		gen_bytes(&gen, b, y.len);
		least = x.len < y.len ? x.len : y.len;
		/* Alike up to a place, or all the way. */
		memcpy(b, a, (size_t)gen_below(&gen, least + 1));
		if (gen_below(&gen, 4) == 0)
			memcpy(b, a, least);
		order = memcmp(a, b, least);
		if (order == 0)
			order = (x.len > y.len) - (x.len < y.len);
		got = slice_compare(x, y);
		ck_assert_int_eq((got > 0) - (got < 0),
		                 (order > 0) - (order < 0));
		ck_assert(slice_equal(x, y) == (order == 0));
	}
}
END_TEST

START_TEST(equality_and_prefix_look_at_every_byte)
{
	ck_assert(slice_equal(slice_str("abc"), slice_str("abc")));
	ck_assert(!slice_equal(slice_str("abc"), slice_str("abd")));
	ck_assert(!slice_equal(slice_str("abc"), slice_str("ab")));
	ck_assert(slice_equal(slice_make(NULL, 0), slice_str("")));
	ck_assert(slice_starts_with(slice_str("abc"), slice_str("ab")));
	ck_assert(slice_starts_with(slice_str("abc"), slice_make(NULL, 0)));
	ck_assert(!slice_starts_with(slice_str("abc"), slice_str("ac")));
	ck_assert(!slice_starts_with(slice_str("ab"), slice_str("abc")));
}
END_TEST

START_TEST(appended_pieces_stand_in_order)
{
	static uint8_t expected[1 << 16];
	struct buf buf = BUF_INIT;
	struct gen gen;
	size_t done = 0;

	gen_init(&gen, gen_seed(1));
	gen_bytes(&gen, expected, sizeof(expected));
	while (done < sizeof(expected)) {
		size_t len = (size_t)gen_below(&gen, 300);

		if (len > sizeof(expected) - done)
			len = sizeof(expected) - done;
		ck_assert_int_eq(buf_append(&buf, expected + done, len),
		                 LSM_OK);
		done += len;
		ck_assert_uint_eq(buf.len, done);
		ck_assert_uint_ge(buf.cap, buf.len);
	}
	ck_assert(slice_equal(buf_slice(&buf), slice_make(expected, done)));
	buf_release(&buf);
}
END_TEST

START_TEST(resize_gives_zeros_even_over_old_bytes)
{
	struct buf buf = BUF_INIT;

	ck_assert_int_eq(buf_set(&buf, slice_str("secret")), LSM_OK);
	ck_assert_int_eq(buf_resize(&buf, 2), LSM_OK);
	ck_assert_int_eq(buf_resize(&buf, 6), LSM_OK);
	ck_assert_mem_eq(buf.data, "se\0\0\0\0", 6);
	ck_assert_int_eq(buf_resize(&buf, 0), LSM_OK);
	ck_assert_uint_eq(buf.len, 0);
	buf_release(&buf);
}
END_TEST

START_TEST(reserved_room_is_not_moved_by_appending)
{
	struct buf buf = BUF_INIT;
	const uint8_t *before;

	ck_assert_int_eq(buf_reserve(&buf, 1000), LSM_OK);
	before = buf.data;
	for (int i = 0; i < 1000; i++)
		ck_assert_int_eq(buf_append(&buf, "x", 1), LSM_OK);
	ck_assert_ptr_eq(buf.data, before);
	buf_release(&buf);
}
END_TEST

START_TEST(nothing_is_appended_to_an_empty_buf_without_memory)
{
	struct buf buf = BUF_INIT;

	ck_assert_int_eq(buf_append(&buf, NULL, 0), LSM_OK);
	ck_assert_int_eq(buf_set(&buf, slice_make(NULL, 0)), LSM_OK);
	ck_assert_int_eq(buf_reserve(&buf, 0), LSM_OK);
	ck_assert_ptr_null(buf.data);
	buf_release(&buf);
	buf_release(NULL);
}
END_TEST

START_TEST(set_replaces_and_swap_exchanges)
{
	struct buf a = BUF_INIT;
	struct buf b = BUF_INIT;

	ck_assert_int_eq(buf_set(&a, slice_str("a much longer text")), LSM_OK);
	ck_assert_int_eq(buf_set(&a, slice_str("short")), LSM_OK);
	ck_assert(slice_equal(buf_slice(&a), slice_str("short")));
	buf_swap(&a, &b);
	ck_assert_uint_eq(a.len, 0);
	ck_assert(slice_equal(buf_slice(&b), slice_str("short")));
	buf_release(&a);
	buf_release(&b);
	ck_assert_ptr_null(b.data);
}
END_TEST

START_TEST(a_size_that_cannot_be_is_refused)
{
	struct buf buf = BUF_INIT;

	ck_assert_int_eq(buf_set(&buf, slice_str("kept")), LSM_OK);
	ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX), LSM_ERR_NOMEM);
	ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX - 2), LSM_ERR_NOMEM);
	ck_assert_int_eq(buf_resize(&buf, SIZE_MAX), LSM_ERR_NOMEM);
	ck_assert(slice_equal(buf_slice(&buf), slice_str("kept")));
	buf_release(&buf);
}
END_TEST

START_TEST(a_buf_is_unchanged_when_memory_runs_out)
{
	struct buf buf = BUF_INIT;
	char big[100] = {0};
	enum lsm_err err;

	ck_assert_int_eq(buf_set(&buf, slice_str("kept")), LSM_OK);
	alloc_fault_arm(1);
	err = buf_append(&buf, big, sizeof(big));
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert(slice_equal(buf_slice(&buf), slice_str("kept")));

	alloc_fault_arm(1);
	err = buf_resize(&buf, sizeof(big));
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert(slice_equal(buf_slice(&buf), slice_str("kept")));
	ck_assert_int_eq(buf_append(&buf, big, sizeof(big)), LSM_OK);
	buf_release(&buf);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buf");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, slices_order_like_memcmp_and_prefixes_come_first);
	tcase_add_test(tc, random_slices_order_like_memcmp);
	tcase_add_test(tc, equality_and_prefix_look_at_every_byte);
	tcase_add_test(tc, appended_pieces_stand_in_order);
	tcase_add_test(tc, resize_gives_zeros_even_over_old_bytes);
	tcase_add_test(tc, reserved_room_is_not_moved_by_appending);
	tcase_add_test(tc, nothing_is_appended_to_an_empty_buf_without_memory);
	tcase_add_test(tc, set_replaces_and_swap_exchanges);
	tcase_add_test(tc, a_size_that_cannot_be_is_refused);
	tcase_add_test(tc, a_buf_is_unchanged_when_memory_runs_out);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
