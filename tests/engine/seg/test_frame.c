/* SPDX-License-Identifier: MIT */
/*
 * test_frame.c: a frame is accepted where it was written for, whole, and nowhere
 * else; so is a footer.
 */
#include <check.h>
#include <stdlib.h>

#include "base/codec.h"
#include "seg/frame.h"

enum { OFFSET = 4096 };

static const struct file_id id = {77, 3};
static uint8_t bytes[FRAME_HEADER_BYTES + 3 + 10];
static struct pointer written;

static void setup(void)
{
	struct frame frame = {.codec = CODEC_RAW, .raw_len = 10, .seq = 41};
	uint8_t *body = bytes + FRAME_HEADER_BYTES;

	memcpy(body, "key0123456789", 13);
	frame.user = slice_make(body, 3);
	frame.stored = slice_make(body + 3, 10);
	frame_encode(&frame, id, OFFSET, bytes, &written);
}

static enum lsm_err decode(struct slice from, struct file_id where,
                           uint64_t offset, struct frame *frame)
{
	struct pointer pointer;
	const char *fault = NULL;
	enum lsm_err err =
	    frame_decode(from, where, offset, frame, &pointer, &fault);

	if (err != LSM_OK)
		ck_assert_ptr_nonnull(fault);
	else
		ck_assert_mem_eq(&pointer, &written, sizeof(pointer));
	return err;
}

START_TEST(what_was_written_is_read)
{
	struct frame frame;

	ck_assert_int_eq(
	    decode(slice_make(bytes, sizeof(bytes)), id, OFFSET, &frame),
	    LSM_OK);
	ck_assert_uint_eq(frame.seq, 41);
	ck_assert_uint_eq(frame.codec, CODEC_RAW);
	ck_assert_uint_eq(frame.raw_len, 10);
	ck_assert(slice_equal(frame.user, slice_str("key")));
	ck_assert(slice_equal(frame.stored, slice_str("0123456789")));
	ck_assert_uint_eq(written.offset, OFFSET);
	ck_assert_uint_eq(written.stored_len, 10);
	ck_assert_uint_eq(frame_bytes(3, 10), sizeof(bytes));
}
END_TEST

START_TEST(any_other_bit_is_refused)
{
	struct frame frame;

	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(decode(slice_make(bytes, sizeof(bytes)), id,
		                        OFFSET, &frame),
		                 LSM_ERR_CORRUPT);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(fewer_bytes_and_other_places_are_refused)
{
	struct slice whole = slice_make(bytes, sizeof(bytes));
	struct file_id others[] = {{78, 3}, {77, 4}};
	struct frame frame;

	for (size_t len = 0; len < sizeof(bytes); len++)
		ck_assert_int_eq(
		    decode(slice_make(bytes, len), id, OFFSET, &frame),
		    LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode(whole, id, OFFSET + 1, &frame),
	                 LSM_ERR_CORRUPT);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(decode(whole, others[i], OFFSET, &frame),
		                 LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(peek_tells_the_length_and_refuses_impossible_ones)
{
	struct pointer pointer;
	uint64_t seq;
	size_t user_len;

	ck_assert(frame_peek(bytes, id, OFFSET, &pointer, &seq, &user_len));
	ck_assert_mem_eq(&pointer, &written, sizeof(pointer));
	ck_assert_uint_eq(seq, 41);
	ck_assert_uint_eq(user_len, 3);
	memset(bytes + 24, 0xff, 2);
	ck_assert(!frame_peek(bytes, id, OFFSET, &pointer, &seq, &user_len));
	memset(bytes + 24, 0, 2);
	ck_assert(!frame_peek(bytes, id, OFFSET, &pointer, &seq, &user_len));
	setup();
	memset(bytes + 8, 0xff, 8); /* both lengths */
	ck_assert(!frame_peek(bytes, id, OFFSET, &pointer, &seq, &user_len));
}
END_TEST

START_TEST(footer_is_bound_to_its_place)
{
	struct segment_footer footer = {5, 40000}, found;
	uint8_t out[SEGMENT_FOOTER_BYTES];
	struct slice whole = slice_make(out, sizeof(out));
	struct file_id other = {77, 4};

	segment_footer_encode(&footer, id, OFFSET, out);
	ck_assert_int_eq(segment_footer_decode(whole, id, OFFSET, &found),
	                 LSM_OK);
	ck_assert_uint_eq(found.frames, 5);
	ck_assert_uint_eq(found.raw_bytes, 40000);
	ck_assert_int_eq(segment_footer_decode(whole, other, OFFSET, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(segment_footer_decode(whole, id, OFFSET - 1, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(segment_footer_decode(slice_make(out, sizeof(out) - 1),
	                                       id, OFFSET, &found),
	                 LSM_ERR_CORRUPT);
	for (size_t bit = 0; bit < 8 * sizeof(out); bit++) {
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_int_eq(
		    segment_footer_decode(whole, id, OFFSET, &found),
		    LSM_ERR_CORRUPT);
		out[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("frame");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, any_other_bit_is_refused);
	tcase_add_test(tc, fewer_bytes_and_other_places_are_refused);
	tcase_add_test(tc, peek_tells_the_length_and_refuses_impossible_ones);
	tcase_add_test(tc, footer_is_bound_to_its_place);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
