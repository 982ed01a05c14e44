/* SPDX-License-Identifier: MIT */
/* test_record.c: a record is taken whole and at its place, or not at all. */
#include <check.h>
#include <stdlib.h>

#include "base/checksum.h"
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

static void encode_promise(enum wal_record_type type, uint64_t promise,
                           const void *data, size_t len)
{
	struct wal_record record = {type, promise, slice_make(data, len)};

	buf_clear(&encoded);
	ck_assert_int_eq(wal_record_encode(log_id, OFFSET, &record, &encoded),
	                 LSM_OK);
}

static void encode(enum wal_record_type type, const void *data, size_t len)
{
	encode_promise(type, PROMISE, data, len);
}

static bool decode_at(struct file_id id, uint64_t offset, struct slice bytes)
{
	struct wal_record record;
	size_t used;

	return wal_record_decode(id, offset, bytes, &record, &used);
}

START_TEST(record_comes_back_whatever_its_length)
{
	static const size_t lengths[] = {0,   1,   7,     8,     9,    31,
	                                 127, 128, 16383, 16384, 70000};
	static const uint64_t promises[] = {0, 1, PROMISE, OFFSET - 1, OFFSET};
	uint8_t *data = malloc(70000);
	struct gen gen;

	gen_init(&gen, 1);
	gen_bytes(&gen, data, 70000);
	for (size_t i = 0; i < 5 * sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t len = lengths[i / 5], total, used;
		uint64_t promise = promises[i % 5], synced_upto;
		struct wal_record record;

		encode_promise(WAL_RECORD_DATA, promise, data, len);
		ck_assert_uint_le(encoded.len, wal_record_bytes(len));
		ck_assert(wal_record_peek(log_id, OFFSET, buf_slice(&encoded),
		                          &total, &synced_upto));
		ck_assert_uint_eq(total, encoded.len);
		ck_assert_uint_eq(synced_upto, promise);
		ck_assert(wal_record_decode(log_id, OFFSET, buf_slice(&encoded),
		                            &record, &used));
		ck_assert_uint_eq(used, encoded.len);
		ck_assert_int_eq(record.type, WAL_RECORD_DATA);
		ck_assert_uint_eq(record.synced_upto, promise);
		ck_assert(slice_equal(record.payload, slice_make(data, len)));
	}
	free(data);
}
END_TEST

START_TEST(header_has_the_documented_bytes)
{
	/* Tag, length, 512 bytes back. */
	static const uint8_t before[] = {0xfd, 3, 0x80, 0x04};
	const struct slice payload = slice_str("abc");
	uint64_t place;

	encode_promise(WAL_RECORD_DATA, 0, "abc", 3);
	place = checksum_place(log_id.creator, log_id.number, OFFSET, 0xf9);
	ck_assert_uint_eq(encoded.len, 1 + 1 + 8 + 3);
	ck_assert_mem_eq(encoded.data, "\xf9\x03", 2);
	ck_assert_uint_eq(get_u64(encoded.data + 2),
	                  checksum_seeded(payload, place));
	ck_assert_mem_eq(encoded.data + 10, "abc", 3);

	encode(WAL_RECORD_DATA, "abc", 3);
	place = checksum_place(log_id.creator, log_id.number, OFFSET, 0xfd);
	place = checksum_seeded(slice_make(before, sizeof(before)), place);
	ck_assert_uint_eq(encoded.len, 1 + 1 + 2 + 2 + 8 + 3);
	ck_assert_mem_eq(encoded.data, before, sizeof(before));
	ck_assert_uint_eq(get_u16(encoded.data + 4), place & 0xffff);
	ck_assert_uint_eq(get_u64(encoded.data + 6),
	                  checksum_seeded(payload, place));
	ck_assert_mem_eq(encoded.data + 14, "abc", 3);

	encode_promise(WAL_RECORD_END, OFFSET, NULL, 0);
	ck_assert_mem_eq(encoded.data, "\xfe\0\0", 3);
	ck_assert_uint_eq(encoded.len, 1 + 1 + 1 + 2 + 8);
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

START_TEST(any_flipped_bit_is_refused)
{
	struct slice payload = slice_str("some bytes, whatever they are");
	static const uint64_t promises[] = {0, PROMISE};

	for (size_t i = 0; i < 2; i++) {
		encode_promise(WAL_RECORD_DATA, promises[i], payload.data,
		               payload.len);
		for (size_t bit = 0; bit < encoded.len * 8; bit++) {
			uint8_t mask = (uint8_t)(1u << bit % 8);

			encoded.data[bit / 8] ^= mask;
			ck_assert(
			    !decode_at(log_id, OFFSET, buf_slice(&encoded)));
			encoded.data[bit / 8] ^= mask;
		}
	}
}
END_TEST

/* Also without its payload, and of bytes that are none few seem to be one. */
START_TEST(promise_is_told_by_its_header)
{
	enum { BYTES = 1 << 20 };
	uint8_t *noise = malloc(BYTES);
	uint64_t synced_upto;
	unsigned found = 0;
	struct gen gen;
	size_t total;

	encode(WAL_RECORD_DATA, "payload", 7);
	ck_assert(wal_record_peek(log_id, OFFSET,
	                          slice_make(encoded.data, encoded.len - 7),
	                          &total, &synced_upto));
	ck_assert_uint_eq(synced_upto, PROMISE);
	for (size_t bit = 0; bit < 6 * 8; bit++) {
		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (wal_record_peek(log_id, OFFSET, buf_slice(&encoded), &total,
		                    &synced_upto))
			ck_assert_uint_eq(synced_upto, 0);
		encoded.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}

	gen_init(&gen, gen_seed(7));
	gen_bytes(&gen, noise, BYTES);
	for (size_t at = 0; at < BYTES; at++)
		if (wal_record_peek(log_id, OFFSET + at,
		                    slice_make(noise + at, BYTES - at), &total,
		                    &synced_upto) &&
		    synced_upto > 0)
			found++;
	ck_assert_uint_le(found, 8); /* one in 2^23 is expected */
	free(noise);
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
	ck_assert(!decode_at(log_id, OFFSET + 1, bytes));
}
END_TEST

/* A record that is right but for its fields: tag, length, distance. */
static bool forged_is_taken(uint8_t tag, uint64_t len, uint64_t distance)
{
	uint64_t seed =
	    checksum_place(log_id.creator, log_id.number, OFFSET, tag);

	buf_clear(&encoded);
	ck_assert_int_eq(append_u8(&encoded, tag), LSM_OK);
	ck_assert_int_eq(append_varint(&encoded, len), LSM_OK);
	if ((tag & 4) != 0) {
		ck_assert_int_eq(append_varint(&encoded, distance), LSM_OK);
		seed = checksum_seeded(buf_slice(&encoded), seed);
		ck_assert_int_eq(append_u16(&encoded, (uint16_t)seed), LSM_OK);
	}
	ck_assert_int_eq(
	    append_u64(&encoded, checksum_seeded(slice_make("xy", len), seed)),
	    LSM_OK);
	ck_assert_int_eq(buf_append(&encoded, "xy", len), LSM_OK);
	return decode_at(log_id, OFFSET, buf_slice(&encoded));
}

START_TEST(fields_out_of_range_are_refused)
{
	ck_assert(forged_is_taken(0xf9, 1, 0));
	ck_assert(forged_is_taken(0xfd, 1, OFFSET - 1));
	ck_assert(forged_is_taken(0xfa, 0, 0));
	ck_assert(forged_is_taken(0xfe, 0, 0));
	/* A promise of nothing, or of less. */
	ck_assert(!forged_is_taken(0xfd, 1, OFFSET));
	ck_assert(!forged_is_taken(0xfd, 1, OFFSET + 1));
	ck_assert(!forged_is_taken(0xfd, 1, UINT64_MAX));
	/* An end with a payload. */
	ck_assert(!forged_is_taken(0xfa, 1, 0));
	ck_assert(!forged_is_taken(0xfe, 1, 0));
	/* Other tags. */
	for (unsigned tag = 0; tag < 256; tag++)
		if (tag != 0xf9 && tag != 0xfa && tag != 0xfd && tag != 0xfe)
			ck_assert(!forged_is_taken((uint8_t)tag, 0, 0));
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
	tcase_add_test(tc, any_flipped_bit_is_refused);
	tcase_add_test(tc, promise_is_told_by_its_header);
	tcase_add_test(tc, part_of_a_record_is_none);
	tcase_add_test(tc, record_of_another_place_is_none);
	tcase_add_test(tc, fields_out_of_range_are_refused);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
