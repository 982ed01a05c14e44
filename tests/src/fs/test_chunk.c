/* SPDX-License-Identifier: MIT */
/*
 * test_chunk.c: operands do to a chunk what they say, and it makes no
 * difference where a run of them is cut into partial folds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/chunk.h"
#include "tests/support/gen.h"

enum { SEED = 5, ROUNDS = 300, OPERANDS = 8 };

static struct slice chunk_key_slice(void)
{
	static struct schema_key key;

	schema_chunk_key(&key, 1, 0);
	return schema_slice(&key);
}

/* What a chunk is, without any cleverness. */
struct plain {
	size_t len;
	uint8_t bytes[CHUNK_BYTES];
};

static void plain_extend(struct plain *plain, size_t len)
{
	if (len > plain->len) {
		memset(plain->bytes + plain->len, 0, len - plain->len);
		plain->len = len;
	}
}

/* Near the edges of the chunk, or close together. */
static uint32_t pick(struct gen *gen)
{
	switch (gen_below(gen, 4)) {
	case 0:
		return (uint32_t)gen_below(gen, 64);
	case 1:
		return CHUNK_BYTES - (uint32_t)gen_below(gen, 64);
	case 2:
		return 1000 + (uint32_t)gen_below(gen, 64);
	default:
		return (uint32_t)gen_below(gen, CHUNK_BYTES + 1);
	}
}

/* Append one random record to *operand and do the same to *plain. */
static void random_record(struct gen *gen, struct buf *operand,
                          struct plain *plain)
{
	static uint8_t bytes[CHUNK_BYTES];
	uint32_t from = pick(gen);
	uint32_t to = pick(gen);
	uint32_t len;

	if (from > to) {
		uint32_t swap = from;

		from = to;
		to = swap;
	}
	len = to - from;
	switch (gen_below(gen, 4)) {
	case 0:
		ck_assert_int_eq(chunk_trim(operand, to), LSM_OK);
		if (plain->len > to)
			plain->len = to;
		break;
	case 1:
		ck_assert_int_eq(chunk_clear(operand, from, len), LSM_OK);
		if (from < plain->len)
			memset(plain->bytes + from, 0,
			       (to < plain->len ? to : plain->len) - from);
		break;
	default:
		gen_bytes(gen, bytes, len);
		ck_assert_int_eq(
		    chunk_patch(operand, from, slice_make(bytes, len)), LSM_OK);
		plain_extend(plain, to);
		memcpy(plain->bytes + from, bytes, len);
		break;
	}
}

static void expect_plain(const struct buf *value, const struct plain *plain)
{
	static uint8_t bytes[CHUNK_BYTES];
	uint32_t len;

	ck_assert_int_eq(chunk_len(buf_slice(value), &len), LSM_OK);
	ck_assert_uint_eq(len, plain->len);
	ck_assert_int_eq(chunk_read(buf_slice(value), 0, bytes, len), LSM_OK);
	ck_assert_mem_eq(bytes, plain->bytes, len);
}

/* Fold operands[from..to) without a base. */
static void partial(struct buf *operands, size_t from, size_t to,
                    struct buf *out)
{
	struct slice slices[OPERANDS];

	for (size_t i = from; i < to; i++)
		slices[i - from] = buf_slice(&operands[i]);
	buf_clear(out);
	ck_assert_int_eq(chunk_fold(NULL, chunk_key_slice(), false, NULL,
	                            slices, to - from, out),
	                 LSM_OK);
}

static void full(const struct slice *base, const struct slice *operands,
                 size_t count, struct buf *out)
{
	buf_clear(out);
	ck_assert_int_eq(chunk_fold(NULL, chunk_key_slice(), true, base,
	                            operands, count, out),
	                 LSM_OK);
}

/* None, a FULL one or a ZERO one; *base_out NULL for none. */
static const struct slice *random_base(struct gen *gen, struct plain *plain,
                                       struct buf *base, struct slice *slice)
{
	uint64_t kind = gen_below(gen, 3);

	memset(plain, 0, sizeof(*plain));
	buf_clear(base);
	if (kind == 0)
		return NULL;
	plain->len = 1 + pick(gen) % CHUNK_BYTES;
	if (kind == 1)
		gen_bytes(gen, plain->bytes, plain->len);
	ck_assert_int_eq(
	    chunk_encode(base, slice_make(plain->bytes, plain->len)), LSM_OK);
	*slice = buf_slice(base);
	return slice;
}

static void one_round(struct gen *gen)
{
	static struct plain plain;
	struct buf operands[OPERANDS] = {BUF_INIT};
	struct buf base = BUF_INIT, value = BUF_INIT;
	struct buf low = BUF_INIT, high = BUF_INIT;
	struct slice base_slice;
	struct slice both[2], all[OPERANDS];
	const struct slice *under;
	size_t cut = 1 + gen_below(gen, OPERANDS - 1);

	under = random_base(gen, &plain, &base, &base_slice);
	for (size_t i = 0; i < OPERANDS; i++) {
		for (uint64_t n = 1 + gen_below(gen, 3); n > 0; n--)
			random_record(gen, &operands[i], &plain);
		all[i] = buf_slice(&operands[i]);
	}
	full(under, all, OPERANDS, &value);
	expect_plain(&value, &plain);

	/* In two parts, each made one operand first. */
	partial(operands, 0, cut, &low);
	partial(operands, cut, OPERANDS, &high);
	both[0] = buf_slice(&low);
	both[1] = buf_slice(&high);
	full(under, both, 2, &value);
	expect_plain(&value, &plain);

	/* And those made one again. */
	buf_clear(&value);
	ck_assert_int_eq(
	    chunk_fold(NULL, chunk_key_slice(), false, NULL, both, 2, &value),
	    LSM_OK);
	both[0] = buf_slice(&value);
	full(under, both, 1, &high);
	expect_plain(&high, &plain);

	for (size_t i = 0; i < OPERANDS; i++)
		buf_release(&operands[i]);
	buf_release(&base);
	buf_release(&value);
	buf_release(&low);
	buf_release(&high);
}

START_TEST(folds_do_what_the_records_say_wherever_they_are_cut)
{
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int i = 0; i < ROUNDS; i++)
		one_round(&gen);
}
END_TEST

START_TEST(appends_become_one_patch)
{
	struct buf operands[OPERANDS] = {BUF_INIT};
	struct buf out = BUF_INIT;

	for (uint32_t i = 0; i < OPERANDS; i++)
		ck_assert_int_eq(chunk_patch(&operands[i], 100 + i * 10,
		                             slice_str("0123456789")),
		                 LSM_OK);
	partial(operands, 0, OPERANDS, &out);
	ck_assert_uint_eq(out.len, CHUNK_HEAD_BYTES + OPERANDS * 10);
	ck_assert_uint_eq(out.data[0], CHUNK_PATCH);
	for (size_t i = 0; i < OPERANDS; i++)
		buf_release(&operands[i]);
	buf_release(&out);
}
END_TEST

START_TEST(zeros_are_stored_as_their_number)
{
	static const uint8_t zeros[CHUNK_BYTES];
	struct buf value = BUF_INIT;
	uint8_t out[10];
	uint32_t len;

	ck_assert_int_eq(chunk_encode(&value, slice_make(zeros, CHUNK_BYTES)),
	                 LSM_OK);
	ck_assert_uint_eq(value.len, 5);
	ck_assert_int_eq(chunk_len(buf_slice(&value), &len), LSM_OK);
	ck_assert_uint_eq(len, CHUNK_BYTES);
	memset(out, 1, sizeof(out));
	ck_assert_int_eq(chunk_read(buf_slice(&value), 65530, out, 10), LSM_OK);
	ck_assert_mem_eq(out, zeros, 10);
	buf_release(&value);
}
END_TEST

START_TEST(bytes_past_the_stored_length_read_as_zero)
{
	struct buf value = BUF_INIT;
	uint8_t out[8];

	ck_assert_int_eq(chunk_encode(&value, slice_str("abc")), LSM_OK);
	ck_assert_int_eq(chunk_read(buf_slice(&value), 1, out, 8), LSM_OK);
	ck_assert_mem_eq(out, "bc\0\0\0\0\0\0", 8);
	ck_assert_int_eq(chunk_read(buf_slice(&value), 60000, out, 8), LSM_OK);
	ck_assert_mem_eq(out, "\0\0\0\0\0\0\0\0", 8);
	buf_release(&value);
}
END_TEST

static enum lsm_err fold_bytes(const uint8_t *bytes, size_t len, bool has_base)
{
	struct slice operand = slice_make(bytes, len);
	struct buf out = BUF_INIT;
	enum lsm_err err;

	err = chunk_fold(NULL, chunk_key_slice(), has_base, NULL, &operand, 1,
	                 &out);
	buf_release(&out);
	return err;
}

START_TEST(operands_that_are_not_right_are_corrupt)
{
	static const uint8_t cut[] = {CHUNK_PATCH, 0, 0, 0, 0, 4, 0, 0, 0, 'x'};
	static const uint8_t far[] = {CHUNK_CLEAR, 1, 0, 0, 0, 0, 0, 1, 0};
	static const uint8_t wide[] = {CHUNK_TRIM, 1, 0, 1, 0};
	static const uint8_t full_kind[] = {CHUNK_FULL, 'x'};
	static const uint8_t huge[] = {CHUNK_CLEAR, 0xff, 0xff, 0xff, 0xff,
	                               0xff,        0xff, 0xff, 0xff};

	for (int has_base = 0; has_base < 2; has_base++) {
		ck_assert_int_eq(fold_bytes(cut, sizeof(cut), has_base),
		                 LSM_ERR_CORRUPT);
		ck_assert_int_eq(fold_bytes(far, sizeof(far), has_base),
		                 LSM_ERR_CORRUPT);
		ck_assert_int_eq(fold_bytes(wide, sizeof(wide), has_base),
		                 LSM_ERR_CORRUPT);
		ck_assert_int_eq(
		    fold_bytes(full_kind, sizeof(full_kind), has_base),
		    LSM_ERR_CORRUPT);
		ck_assert_int_eq(fold_bytes(huge, sizeof(huge), has_base),
		                 LSM_ERR_CORRUPT);
	}
}
END_TEST

START_TEST(values_that_are_not_right_are_corrupt)
{
	static uint8_t bytes[CHUNK_VALUE_MAX_BYTES + 1] = {CHUNK_FULL};
	uint8_t out[4];
	uint32_t len;

	ck_assert_int_eq(chunk_len(slice_make(bytes, sizeof(bytes)), &len),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(chunk_len(slice_make(bytes, 0), &len),
	                 LSM_ERR_CORRUPT);
	bytes[0] = CHUNK_ZERO;
	bytes[3] = 2; /* 131,072 */
	ck_assert_int_eq(chunk_len(slice_make(bytes, 5), &len),
	                 LSM_ERR_CORRUPT);
	bytes[0] = CHUNK_PATCH;
	ck_assert_int_eq(chunk_read(slice_make(bytes, 5), 0, out, 4),
	                 LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(only_chunks_are_folded)
{
	struct buf operand = BUF_INIT, out = BUF_INIT;
	struct schema_key key;
	struct slice slice;

	schema_inode_key(&key, 1, SCHEMA_ATTR);
	ck_assert_int_eq(chunk_trim(&operand, 1), LSM_OK);
	slice = buf_slice(&operand);
	ck_assert_int_eq(
	    chunk_fold(NULL, schema_slice(&key), true, NULL, &slice, 1, &out),
	    LSM_ERR_CORRUPT);
	buf_release(&operand);
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("chunk");
	TCase *tc = tcase_create("chunk");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, folds_do_what_the_records_say_wherever_they_are_cut);
	tcase_add_test(tc, appends_become_one_patch);
	tcase_add_test(tc, zeros_are_stored_as_their_number);
	tcase_add_test(tc, bytes_past_the_stored_length_read_as_zero);
	tcase_add_test(tc, operands_that_are_not_right_are_corrupt);
	tcase_add_test(tc, values_that_are_not_right_are_corrupt);
	tcase_add_test(tc, only_chunks_are_folded);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
