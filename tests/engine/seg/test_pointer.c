/* SPDX-License-Identifier: MIT */
/* test_pointer.c: a pointer is read as it was written, or not at all. */
#include <check.h>
#include <stdlib.h>

#include "base/coding.h"
#include "seg/pointer.h"

static const struct pointer sample = {
    .segment = {0x0102030405060708, 9},
    .offset = 64,
    .stored_len = 5000,
    .raw_len = 9000,
    .checksum = 0xa1b2c3d4,
};

static bool decodes(const struct pointer *pointer)
{
	uint8_t bytes[POINTER_BYTES];
	struct pointer found;

	pointer_encode(pointer, bytes);
	return pointer_decode(slice_make(bytes, sizeof(bytes)), &found);
}

START_TEST(what_was_written_is_read)
{
	uint8_t bytes[POINTER_BYTES];
	struct pointer found;

	pointer_encode(&sample, bytes);
	ck_assert(pointer_decode(slice_make(bytes, sizeof(bytes)), &found));
	ck_assert(file_id_equal(found.segment, sample.segment));
	ck_assert_uint_eq(found.offset, sample.offset);
	ck_assert_uint_eq(found.stored_len, sample.stored_len);
	ck_assert_uint_eq(found.raw_len, sample.raw_len);
	ck_assert_uint_eq(found.checksum, sample.checksum);
}
END_TEST

START_TEST(bytes_are_those_of_the_format)
{
	static const uint8_t expected[POINTER_BYTES] = {
	    8,    7,    6, 5, 4,    3,    2, 1, 9,    0,    0,    0,
	    0,    0,    0, 0, 64,   0,    0, 0, 0,    0,    0,    0,
	    0x88, 0x13, 0, 0, 0x28, 0x23, 0, 0, 0xd4, 0xc3, 0xb2, 0xa1};
	uint8_t bytes[POINTER_BYTES];

	pointer_encode(&sample, bytes);
	ck_assert_mem_eq(bytes, expected, sizeof(bytes));
}
END_TEST

START_TEST(another_length_is_no_pointer)
{
	uint8_t bytes[POINTER_BYTES + 1] = {0};
	struct pointer found;

	pointer_encode(&sample, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		ck_assert_int_eq(pointer_decode(slice_make(bytes, len), &found),
		                 len == POINTER_BYTES);
}
END_TEST

START_TEST(figures_that_no_frame_has_are_refused)
{
	struct pointer bad;

	ck_assert(decodes(&sample));
	bad = sample;
	bad.segment.number = 0;
	ck_assert(!decodes(&bad));
	bad = sample;
	bad.offset = FILE_HEADER_BYTES - 1;
	ck_assert(!decodes(&bad));
	bad.offset = UINT64_MAX;
	ck_assert(!decodes(&bad));
	bad = sample;
	bad.stored_len = 0;
	ck_assert(!decodes(&bad));
	bad.stored_len = bad.raw_len + 1;
	ck_assert(!decodes(&bad));
	bad = sample;
	bad.raw_len = LSM_VALUE_MAX_BYTES + 1;
	ck_assert(!decodes(&bad));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pointer");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, bytes_are_those_of_the_format);
	tcase_add_test(tc, another_length_is_no_pointer);
	tcase_add_test(tc, figures_that_no_frame_has_are_refused);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
