/* SPDX-License-Identifier: MIT */
/* test_coding.c: what is encoded decodes to itself; what is cut or overlong is
   refused and read nowhere past its end. */
#include <check.h>
#include <stdlib.h>

#include "base/coding.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

/* A number whose count of significant bits is anything from 0 to 64. */
static uint64_t any_width(struct gen *gen)
{
	unsigned bits = (unsigned)gen_below(gen, 65);

	return bits == 0 ? 0 : gen_u64(gen) >> (64 - bits);
}

START_TEST(fixed_numbers_have_the_documented_bytes)
{
	uint8_t p[8];

	put_u16(p, 0x0102);
	ck_assert_mem_eq(p, "\x02\x01", 2);
	ck_assert_uint_eq(get_u16(p), 0x0102);
	put_u32(p, 0x01020384);
	ck_assert_mem_eq(p, "\x84\x03\x02\x01", 4);
	ck_assert_uint_eq(get_u32(p), 0x01020384);
	put_u64(p, UINT64_C(0xf102030405060788));
	ck_assert_mem_eq(p, "\x88\x07\x06\x05\x04\x03\x02\xf1", 8);
	ck_assert_uint_eq(get_u64(p), UINT64_C(0xf102030405060788));
	put_be32(p, 0xf1020384);
	ck_assert_mem_eq(p, "\xf1\x02\x03\x84", 4);
	ck_assert_uint_eq(get_be32(p), 0xf1020384);
	put_be64(p, UINT64_C(0xf102030405060788));
	ck_assert_mem_eq(p, "\xf1\x02\x03\x04\x05\x06\x07\x88", 8);
	ck_assert_uint_eq(get_be64(p), UINT64_C(0xf102030405060788));
}
END_TEST

START_TEST(big_endian_bytes_order_as_the_numbers_do)
{
	struct gen gen;

	gen_init(&gen, gen_seed(2));
	for (int i = 0; i < 20000; i++) {
		uint64_t a = any_width(&gen);
		uint64_t b = any_width(&gen);
		uint8_t pa[8], pb[8];

		put_be64(pa, a);
		put_be64(pb, b);
		ck_assert_int_eq(memcmp(pa, pb, 8) < 0, a < b);
		put_be32(pa, (uint32_t)a);
		put_be32(pb, (uint32_t)b);
		ck_assert_int_eq(memcmp(pa, pb, 4) < 0,
		                 (uint32_t)a < (uint32_t)b);
	}
}
END_TEST

START_TEST(varint_length_steps_every_seven_bits)
{
	uint8_t p[VARINT_MAX_BYTES];

	for (unsigned bits = 0; bits < 64; bits++) {
		uint64_t v = UINT64_C(1) << bits;

		ck_assert_uint_eq(varint_len(v), bits / 7 + 1);
		ck_assert_uint_eq(put_varint(p, v), bits / 7 + 1);
	}
	ck_assert_uint_eq(varint_len(0), 1);
	ck_assert_uint_eq(varint_len(UINT64_MAX), VARINT_MAX_BYTES);
}
END_TEST

START_TEST(a_group_of_everything_reads_back)
{
	struct gen gen;

	gen_init(&gen, gen_seed(3));
	for (int i = 0; i < 5000; i++) {
		struct buf buf = BUF_INIT;
		uint64_t v = any_width(&gen);
		uint8_t bytes[200];
		struct slice s =
		    slice_make(bytes, (size_t)gen_below(&gen, 200));
		struct cursor c;

		gen_bytes(&gen, bytes, sizeof(bytes));
		ck_assert_int_eq(append_u8(&buf, (uint8_t)v), LSM_OK);
		ck_assert_int_eq(append_u16(&buf, (uint16_t)v), LSM_OK);
		ck_assert_int_eq(append_u32(&buf, (uint32_t)v), LSM_OK);
		ck_assert_int_eq(append_u64(&buf, v), LSM_OK);
		ck_assert_int_eq(append_varint(&buf, v), LSM_OK);
		ck_assert_int_eq(append_signed_varint(&buf, (int64_t)v),
		                 LSM_OK);
		ck_assert_int_eq(append_signed_varint(&buf, (int64_t)~v),
		                 LSM_OK);
		ck_assert_int_eq(append_prefixed(&buf, s), LSM_OK);

		c = cursor_make(buf_slice(&buf));
		ck_assert_uint_eq(cursor_u8(&c), (uint8_t)v);
		ck_assert_uint_eq(cursor_u16(&c), (uint16_t)v);
		ck_assert_uint_eq(cursor_u32(&c), (uint32_t)v);
		ck_assert_uint_eq(cursor_u64(&c), v);
		ck_assert_uint_eq(cursor_varint(&c), v);
		ck_assert_int_eq(cursor_signed_varint(&c), (int64_t)v);
		ck_assert_int_eq(cursor_signed_varint(&c), (int64_t)~v);
		ck_assert(slice_equal(cursor_prefixed(&c), s));
		ck_assert(!c.bad);
		ck_assert_uint_eq(cursor_left(&c), 0);
		buf_release(&buf);
	}
}
END_TEST

START_TEST(small_negative_numbers_are_short)
{
	struct buf buf = BUF_INIT;

	ck_assert_int_eq(append_signed_varint(&buf, -64), LSM_OK);
	ck_assert_uint_eq(buf.len, 1);
	ck_assert_int_eq(append_signed_varint(&buf, INT64_MIN), LSM_OK);
	ck_assert_uint_eq(buf.len, 1 + VARINT_MAX_BYTES);
	buf_release(&buf);
}
END_TEST

/* Whether a varint of these bytes is refused. */
static bool varint_is_bad(const char *bytes, size_t len)
{
	struct cursor c = cursor_make(slice_make(bytes, len));
	uint64_t v = cursor_varint(&c);

	return c.bad && v == 0 && cursor_left(&c) == 0;
}

START_TEST(overlong_and_cut_varints_are_bad)
{
	ck_assert(varint_is_bad("", 0));
	ck_assert(varint_is_bad("\x80", 1));
	ck_assert(varint_is_bad("\xff\xff\xff", 3));
	ck_assert(varint_is_bad("\x80\x00", 2));
	ck_assert(varint_is_bad("\xff\x80\x00", 3));
	/* 65 bits, then eleven bytes. */
	ck_assert(
	    varint_is_bad("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10));
	ck_assert(
	    varint_is_bad("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11));
	/* The largest there is, and zero, are fine. */
	ck_assert(
	    !varint_is_bad("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
	ck_assert(!varint_is_bad("\x00", 1));
}
END_TEST

START_TEST(each_cut_of_a_number_is_bad_and_gives_zero)
{
	static const uint8_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};

	for (size_t len = 0; len < 8; len++) {
		struct slice s = slice_make(ones, len);
		struct cursor c = cursor_make(s);

		ck_assert_uint_eq(cursor_u64(&c), 0);
		ck_assert(c.bad);
		c = cursor_make(s);
		ck_assert_int_eq(cursor_u32(&c) == 0, len < 4);
		ck_assert_int_eq(c.bad, len < 4);
		c = cursor_make(s);
		ck_assert_int_eq(cursor_u16(&c) == 0, len < 2);
		ck_assert_int_eq(c.bad, len < 2);
		c = cursor_make(s);
		ck_assert_int_eq(cursor_u8(&c) == 0, len < 1);
		ck_assert_int_eq(c.bad, len < 1);
	}
}
END_TEST

START_TEST(a_bad_cursor_stays_bad_and_empty)
{
	struct cursor c = cursor_make(slice_str("\x01\x02\x03"));

	ck_assert_uint_eq(cursor_u32(&c), 0);
	ck_assert(c.bad);
	ck_assert_uint_eq(cursor_left(&c), 0);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert_uint_eq(cursor_varint(&c), 0);
	ck_assert_int_eq(cursor_signed_varint(&c), 0);
	ck_assert_uint_eq(cursor_bytes(&c, 0).len, 0);
	ck_assert_uint_eq(cursor_prefixed(&c).len, 0);
	ck_assert(c.bad);
}
END_TEST

START_TEST(a_length_beyond_the_end_gives_no_bytes)
{
	struct cursor c = cursor_make(slice_str("\x04zzz"));

	ck_assert_uint_eq(cursor_prefixed(&c).len, 0);
	ck_assert(c.bad);

	c = cursor_make(slice_str("abc"));
	ck_assert_uint_eq(cursor_bytes(&c, SIZE_MAX).len, 0);
	ck_assert(c.bad);

	/* A length of 2^64 - 1 bytes. */
	c = cursor_make(slice_str("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z"));
	ck_assert_uint_eq(cursor_prefixed(&c).len, 0);
	ck_assert(c.bad);
}
END_TEST

START_TEST(nothing_is_read_from_nothing)
{
	struct cursor c = cursor_make(slice_make(NULL, 0));

	ck_assert_uint_eq(cursor_left(&c), 0);
	ck_assert_uint_eq(cursor_bytes(&c, 0).len, 0);
	ck_assert(!c.bad);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	ck_assert(c.bad);
}
END_TEST

/* Each byte string either is refused or is exactly what encoding gives. */
START_TEST(every_accepted_varint_is_the_only_form_of_its_number)
{
	unsigned accepted = 0;
	struct gen gen;

	gen_init(&gen, gen_seed(4));
	for (int i = 0; i < 50000; i++) {
		uint8_t in[12], again[VARINT_MAX_BYTES];
		size_t used, len = 1 + (size_t)gen_below(&gen, sizeof(in));
		struct cursor c = cursor_make(slice_make(in, len));
		uint64_t v;

		gen_bytes(&gen, in, sizeof(in));
		for (size_t k = 0; k < sizeof(in); k++)
			in[k] |= gen_below(&gen, 4) != 0 ? 0x80 : 0;
		v = cursor_varint(&c);
		if (c.bad)
			continue;
		accepted++;
		used = len - cursor_left(&c);
		ck_assert_uint_eq(put_varint(again, v), used);
		ck_assert_mem_eq(again, in, used);
	}
	ck_assert_uint_gt(accepted, 1000);
}
END_TEST

START_TEST(a_prefix_is_never_left_without_its_bytes)
{
	struct buf buf = BUF_INIT;
	char text[64] = {0};
	enum lsm_err err;

	/* Room for the prefix, none for the text. */
	ck_assert_int_eq(buf_resize(&buf, 62), LSM_OK);
	alloc_fault_arm(1);
	err = append_prefixed(&buf, slice_make(text, sizeof(text)));
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_uint_eq(buf.len, 62);

	ck_assert_int_eq(append_prefixed(&buf, slice_make(text, SIZE_MAX)),
	                 LSM_ERR_NOMEM);
	ck_assert_uint_eq(buf.len, 62);
	buf_release(&buf);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("coding");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, fixed_numbers_have_the_documented_bytes);
	tcase_add_test(tc, big_endian_bytes_order_as_the_numbers_do);
	tcase_add_test(tc, varint_length_steps_every_seven_bits);
	tcase_add_test(tc, a_group_of_everything_reads_back);
	tcase_add_test(tc, small_negative_numbers_are_short);
	tcase_add_test(tc, overlong_and_cut_varints_are_bad);
	tcase_add_test(tc, each_cut_of_a_number_is_bad_and_gives_zero);
	tcase_add_test(tc, a_bad_cursor_stays_bad_and_empty);
	tcase_add_test(tc, a_length_beyond_the_end_gives_no_bytes);
	tcase_add_test(tc, nothing_is_read_from_nothing);
	tcase_add_test(tc,
	               every_accepted_varint_is_the_only_form_of_its_number);
	tcase_add_test(tc, a_prefix_is_never_left_without_its_bytes);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
