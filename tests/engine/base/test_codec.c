/* SPDX-License-Identifier: MIT */
/* test_codec.c: bytes come back as they were, and damaged ones never do more
   than fail. */
#include <check.h>
#include <stdlib.h>

#include "base/codec.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

enum { MAX_BYTES = 1 << 17 };

static uint8_t raw[MAX_BYTES];

/* Bytes of which `variety` in 256 are random, the others zero. */
static struct slice make_raw(struct gen *gen, size_t len, unsigned variety)
{
	gen_bytes(gen, raw, len);
	for (size_t i = 0; i < len; i++) {
		if (gen_below(gen, 256) >= variety)
			raw[i] = 0;
	}
	return slice_make(raw, len);
}

/* Decode from and into blocks that are exactly as long as they should be. */
static enum lsm_err decode_exactly(uint8_t codec, struct slice packed,
                                   size_t raw_len, uint8_t **out)
{
	uint8_t *in = malloc(packed.len > 0 ? packed.len : 1);
	enum lsm_err err;

	*out = malloc(raw_len > 0 ? raw_len : 1);
	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(*out);
	if (packed.len > 0)
		memcpy(in, packed.data, packed.len);
	err =
	    codec_decompress(codec, slice_make(in, packed.len), *out, raw_len);
	free(in);
	return err;
}

START_TEST(every_input_comes_back)
{
	bool seen[2] = {false, false};
	struct gen gen;

	gen_init(&gen, gen_seed(5));
	for (int i = 0; i < 400; i++) {
		size_t len =
		    (size_t)gen_below(&gen, UINT64_C(1) << gen_below(&gen, 18));
		struct slice in =
		    make_raw(&gen, len, (unsigned)gen_below(&gen, 257));
		struct buf out = BUF_INIT;
		enum codec codec;
		uint8_t *back;

		ck_assert_int_eq(buf_set(&out, slice_str("head")), LSM_OK);
		ck_assert_int_eq(codec_compress(in, &out, &codec), LSM_OK);
		ck_assert(
		    slice_starts_with(buf_slice(&out), slice_str("head")));
		seen[codec] = true;
		if (codec == CODEC_RAW)
			ck_assert_uint_eq(out.len - 4, len);
		else
			ck_assert_uint_le(out.len - 4, len - len / 8);
		ck_assert_int_eq(
		    decode_exactly((uint8_t)codec,
		                   slice_make(out.data + 4, out.len - 4), len,
		                   &back),
		    LSM_OK);
		ck_assert(slice_equal(slice_make(back, len), in));
		free(back);
		buf_release(&out);
	}
	ck_assert(seen[CODEC_RAW] && seen[CODEC_LZ4]);
}
END_TEST

static enum codec codec_of(struct slice in)
{
	struct buf out = BUF_INIT;
	enum codec codec;

	ck_assert_int_eq(codec_compress(in, &out, &codec), LSM_OK);
	buf_release(&out);
	return codec;
}

START_TEST(what_saves_less_than_an_eighth_stays_raw)
{
	struct gen gen;

	gen_init(&gen, gen_seed(6));
	make_raw(&gen, 8000, 256);
	ck_assert_int_eq(codec_of(slice_make(raw, 8000)), CODEC_RAW);
	/* A tenth of it zero is too little, a fifth is enough. */
	memset(raw + 7200, 0, 800);
	ck_assert_int_eq(codec_of(slice_make(raw, 8000)), CODEC_RAW);
	memset(raw + 6400, 0, 800);
	ck_assert_int_eq(codec_of(slice_make(raw, 8000)), CODEC_LZ4);
}
END_TEST

START_TEST(a_large_input_is_judged_by_its_beginning)
{
	struct gen gen;

	gen_init(&gen, gen_seed(7));
	make_raw(&gen, 65536, 0);
	ck_assert_int_eq(codec_of(slice_make(raw, 65536)), CODEC_LZ4);
	gen_bytes(&gen, raw, 4096);
	ck_assert_int_eq(codec_of(slice_make(raw, 65536)), CODEC_RAW);
	/* A small one is tried whole. */
	ck_assert_int_eq(codec_of(slice_make(raw, 8192)), CODEC_LZ4);
}
END_TEST

START_TEST(empty_and_tiny_inputs_are_raw)
{
	static const uint8_t zeros[8];

	ck_assert_int_eq(codec_of(slice_make(NULL, 0)), CODEC_RAW);
	ck_assert_int_eq(codec_of(slice_make(zeros, 1)), CODEC_RAW);
	ck_assert_int_eq(codec_of(slice_make(zeros, 8)), CODEC_RAW);
	ck_assert_int_eq(
	    codec_decompress(CODEC_RAW, slice_make(NULL, 0), NULL, 0), LSM_OK);
}
END_TEST

START_TEST(more_than_a_gibibyte_is_refused_unread)
{
	struct buf out = BUF_INIT;
	enum codec codec;

	ck_assert_int_eq(codec_compress(slice_make(raw, ((size_t)1 << 30) + 1),
	                                &out, &codec),
	                 LSM_ERR_TOO_BIG);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(codec_decompress(CODEC_LZ4, slice_str("x"), raw,
	                                  ((size_t)1 << 30) + 1),
	                 LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(a_wrong_length_or_codec_is_corrupt)
{
	struct buf out = BUF_INIT;
	struct gen gen;
	enum codec codec;
	uint8_t *back;

	gen_init(&gen, gen_seed(8));
	ck_assert_int_eq(codec_compress(make_raw(&gen, 3000, 40), &out, &codec),
	                 LSM_OK);
	ck_assert_int_eq(codec, CODEC_LZ4);
	for (size_t len = 0; len < 3100; len++) {
		if (len == 3000)
			continue;
		ck_assert_int_eq(
		    decode_exactly(CODEC_LZ4, buf_slice(&out), len, &back),
		    LSM_ERR_CORRUPT);
		free(back);
	}
	for (unsigned other = 2; other < 256; other++)
		ck_assert_int_eq(codec_decompress((uint8_t)other,
		                                  buf_slice(&out), raw, 3000),
		                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(
	    codec_decompress(CODEC_RAW, buf_slice(&out), raw, out.len + 1),
	    LSM_ERR_CORRUPT);
	ck_assert_int_eq(
	    codec_decompress(CODEC_RAW, buf_slice(&out), raw, out.len - 1),
	    LSM_ERR_CORRUPT);
	buf_release(&out);
}
END_TEST

START_TEST(cut_or_flipped_bytes_never_reach_past_a_block)
{
	struct buf out = BUF_INIT;
	struct gen gen;
	enum codec codec;
	uint8_t *back;

	gen_init(&gen, gen_seed(9));
	ck_assert_int_eq(codec_compress(make_raw(&gen, 2000, 60), &out, &codec),
	                 LSM_OK);
	ck_assert_int_eq(codec, CODEC_LZ4);
	for (size_t len = 0; len < out.len; len++) {
		ck_assert_int_eq(decode_exactly(CODEC_LZ4,
		                                slice_make(out.data, len), 2000,
		                                &back),
		                 LSM_ERR_CORRUPT);
		free(back);
	}
	for (size_t i = 0; i < out.len * 8; i++) {
		enum lsm_err err;

		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
		err = decode_exactly(CODEC_LZ4, buf_slice(&out), 2000, &back);
		ck_assert(err == LSM_OK || err == LSM_ERR_CORRUPT);
		free(back);
		out.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	buf_release(&out);
}
END_TEST

START_TEST(without_memory_the_output_is_unchanged)
{
	struct buf out = BUF_INIT;
	enum codec codec;
	enum lsm_err err;

	alloc_fault_arm(1);
	err = codec_compress(slice_make(raw, 1000), &out, &codec);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_uint_eq(out.len, 0);
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("codec");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_input_comes_back);
	tcase_add_test(tc, what_saves_less_than_an_eighth_stays_raw);
	tcase_add_test(tc, a_large_input_is_judged_by_its_beginning);
	tcase_add_test(tc, empty_and_tiny_inputs_are_raw);
	tcase_add_test(tc, more_than_a_gibibyte_is_refused_unread);
	tcase_add_test(tc, a_wrong_length_or_codec_is_corrupt);
	tcase_add_test(tc, cut_or_flipped_bytes_never_reach_past_a_block);
	tcase_add_test(tc, without_memory_the_output_is_unchanged);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
