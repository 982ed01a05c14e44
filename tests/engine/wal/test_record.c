/* SPDX-License-Identifier: MIT */
/* test_record.c: a record is taken whole and at its place, or not at all. */
#include <check.h>
#include <stdlib.h>

#include "base/coding.h"
#include "tests/support/gen.h"
#include "wal/record.h"

enum { OFFSET = 1024, PROMISE = 512 };

static const struct file_id log_id = {0x0123456789abcdef, 42};

static struct buf encoded;

static void setup(void)
{
	buf_init(&encoded);
}

static void teardown(void)
{
	buf_release(&encoded);
}

static void encode(enum wal_record_type type, const void *data, size_t len)
{
	struct wal_record record = {type, PROMISE, slice_make(data, len)};

	buf_clear(&encoded);
	ck_assert_int_eq(wal_record_encode(log_id, OFFSET, &record, &encoded),
	                 LSM_OK);
}

static bool decode_at(struct file_id id, uint64_t offset, struct slice bytes)
{
	struct wal_record record;
	size_t used;

	return wal_record_decode(id, offset, bytes, &record, &used);
}

START_TEST(record_comes_back_whatever_its_length)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 31, 32, 100, 70000};
	uint8_t *data = malloc(70000);
	struct gen gen;

	gen_init(&gen, 1);
	gen_bytes(&gen, data, 70000);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct wal_record record;
		size_t used;

		encode(WAL_RECORD_DATA, data, lengths[i]);
		ck_assert_uint_eq(encoded.len, wal_record_bytes(lengths[i]));
		ck_assert_uint_eq(encoded.len % WAL_RECORD_ALIGN_BYTES, 0);
		ck_assert(wal_record_decode(log_id, OFFSET, buf_slice(&encoded),
		                            &record, &used));
		ck_assert_uint_eq(used, encoded.len);
		ck_assert_int_eq(record.type, WAL_RECORD_DATA);
		ck_assert_uint_eq(record.synced_upto, PROMISE);
		ck_assert(
		    slice_equal(record.payload, slice_make(data, lengths[i])));
	}
	free(data);
}
END_TEST

START_TEST(header_has_the_documented_bytes)
{
	static const uint8_t zeros[7];

	encode(WAL_RECORD_DATA, "abc", 3);
	ck_assert_uint_eq(encoded.len, 40);
	ck_assert_mem_eq(encoded.data, "wrec", 4);
	ck_assert_uint_eq(get_u32(encoded.data + 4), 3);
	ck_assert_uint_eq(encoded.data[8], WAL_RECORD_DATA);
	ck_assert_mem_eq(encoded.data + 9, zeros, 7);
	ck_assert_uint_eq(get_u64(encoded.data + 16), PROMISE);
	ck_assert_mem_eq(encoded.data + 32, "abc\0\0\0\0\0", 8);
}
END_TEST

START_TEST(encoding_appends_behind_what_is_there)
{
	struct wal_record record = {WAL_RECORD_DATA, PROMISE, slice_str("two")};
	size_t first;

	encode(WAL_RECORD_DATA, "one", 3);
	first = encoded.len;
	ck_assert_int_eq(
	    wal_record_encode(log_id, OFFSET + first, &record, &encoded),
	    LSM_OK);
	ck_assert(decode_at(log_id, OFFSET, buf_slice(&encoded)));
	ck_assert(
	    decode_at(log_id, OFFSET + first,
	              slice_make(encoded.data + first, encoded.len - first)));
}
END_TEST

START_TEST(any_flipped_bit_is_refused_or_was_padding)
{
	struct slice payload = slice_str("some bytes, not a multiple of 8");

	encode(WAL_RECORD_DATA, payload.data, payload.len);
	for (size_t bit = 0; bit < encoded.len * 8; bit++) {
		uint8_t mask = (uint8_t)(1u << bit % 8);
		struct wal_record record;
		size_t used;

		encoded.data[bit / 8] ^= mask;
		if (wal_record_decode(log_id, OFFSET, buf_slice(&encoded),
		                      &record, &used)) {
			ck_assert_uint_ge(bit / 8, WAL_RECORD_HEADER_BYTES +
			                               payload.len);
			ck_assert(slice_equal(record.payload, payload));
		}
		encoded.data[bit / 8] ^= mask;
	}
}
END_TEST

START_TEST(part_of_a_record_is_none)
{
	encode(WAL_RECORD_DATA, "payload", 7);
	for (size_t len = 0; len < encoded.len; len++) {
		/* A copy of just that size, so that a sanitizer sees a step
		   past its end. */
		uint8_t *part = malloc(len + 1);

		memcpy(part + 1, encoded.data, len);
		ck_assert(
		    !decode_at(log_id, OFFSET, slice_make(part + 1, len)));
		free(part);
	}
}
END_TEST

START_TEST(record_of_another_place_is_none)
{
	struct file_id other_number = {log_id.creator, log_id.number + 1};
	struct file_id other_creator = {log_id.creator + 1, log_id.number};
	struct slice bytes;

	encode(WAL_RECORD_DATA, "payload", 7);
	bytes = buf_slice(&encoded);
	ck_assert(decode_at(log_id, OFFSET, bytes));
	ck_assert(!decode_at(other_number, OFFSET, bytes));
	ck_assert(!decode_at(other_creator, OFFSET, bytes));
	ck_assert(!decode_at(log_id, OFFSET + 8, bytes));
}
END_TEST

START_TEST(promise_beyond_the_record_itself_is_refused)
{
	struct wal_record record = {WAL_RECORD_DATA, OFFSET + 1,
	                            slice_str("x")};

	ck_assert_int_eq(wal_record_encode(log_id, OFFSET, &record, &encoded),
	                 LSM_OK);
	ck_assert(!decode_at(log_id, OFFSET, buf_slice(&encoded)));
}
END_TEST

START_TEST(end_record_with_a_payload_is_refused)
{
	encode(WAL_RECORD_END, NULL, 0);
	ck_assert(decode_at(log_id, OFFSET, buf_slice(&encoded)));
	encode(WAL_RECORD_END, "x", 1);
	ck_assert(!decode_at(log_id, OFFSET, buf_slice(&encoded)));
}
END_TEST

START_TEST(unknown_type_is_refused)
{
	encode((enum wal_record_type)3, "x", 1);
	ck_assert(!decode_at(log_id, OFFSET, buf_slice(&encoded)));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("record");
	TCase *tc = tcase_create("bytes");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, record_comes_back_whatever_its_length);
	tcase_add_test(tc, header_has_the_documented_bytes);
	tcase_add_test(tc, encoding_appends_behind_what_is_there);
	tcase_add_test(tc, any_flipped_bit_is_refused_or_was_padding);
	tcase_add_test(tc, part_of_a_record_is_none);
	tcase_add_test(tc, record_of_another_place_is_none);
	tcase_add_test(tc, promise_beyond_the_record_itself_is_refused);
	tcase_add_test(tc, end_record_with_a_payload_is_refused);
	tcase_add_test(tc, unknown_type_is_refused);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
