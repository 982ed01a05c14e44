/* SPDX-License-Identifier: MIT */
/* test_key.c: versions of one key come newest first, whatever its bytes are. */
#include <check.h>
#include <stdlib.h>

#include "base/key.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

/* The parts of an internal key, and the key. */
struct version {
	uint8_t user[4];
	size_t user_len;
	uint64_t seq;
	enum key_kind kind;
	struct buf ikey;
};

/* From few bytes and sequences, so that parts are often equal. */
static void make_version(struct gen *gen, struct version *v)
{
	static const uint8_t letters[] = {0x00, 0x01, 0x7f, 0xff};
	static const uint64_t seqs[] = {0, 1, 255, 256, KEY_SEQ_MAX};
	static const enum key_kind kinds[] = {KEY_DELETE, KEY_PUT, KEY_MERGE,
	                                      KEY_SEEK};

	v->user_len = (size_t)gen_below(gen, sizeof(v->user) + 1);
	for (size_t i = 0; i < v->user_len; i++)
		v->user[i] = letters[gen_below(gen, 4)];
	v->seq = seqs[gen_below(gen, 5)];
	v->kind = kinds[gen_below(gen, 4)];
	buf_init(&v->ikey);
	ck_assert_int_eq(key_make(&v->ikey, slice_make(v->user, v->user_len),
	                          v->seq, v->kind),
	                 LSM_OK);
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

/* The order by its definition, part by part. */
static int expected_order(const struct version *a, const struct version *b)
{
	int order = slice_compare(slice_make(a->user, a->user_len),
	                          slice_make(b->user, b->user_len));

	if (order != 0)
		return sign(order);
	if (a->seq != b->seq)
		return a->seq > b->seq ? -1 : 1;
	return sign((int)b->kind - (int)a->kind);
}

START_TEST(order_is_user_key_then_newest_first)
{
	struct gen gen;

	gen_init(&gen, gen_seed(10));
	for (int i = 0; i < 20000; i++) {
		struct version a, b;

		make_version(&gen, &a);
		make_version(&gen, &b);
		ck_assert_int_eq(
		    sign(key_compare(buf_slice(&a.ikey), buf_slice(&b.ikey))),
		    expected_order(&a, &b));
		buf_release(&a.ikey);
		buf_release(&b.ikey);
	}
}
END_TEST

START_TEST(parts_come_back_from_the_key)
{
	struct gen gen;

	gen_init(&gen, gen_seed(11));
	for (int i = 0; i < 1000; i++) {
		struct version v;
		struct slice ikey;

		make_version(&gen, &v);
		ikey = buf_slice(&v.ikey);
		ck_assert(slice_equal(key_user(ikey),
		                      slice_make(v.user, v.user_len)));
		ck_assert_uint_eq(key_seq(ikey), v.seq);
		ck_assert_int_eq(key_kind(ikey), v.kind);
		buf_release(&v.ikey);
	}
}
END_TEST

START_TEST(bytes_of_a_key_are_as_documented)
{
	struct buf ikey = BUF_INIT;

	ck_assert_int_eq(key_make(&ikey, slice_str("k"), 0x0102, KEY_MERGE),
	                 LSM_OK);
	ck_assert_uint_eq(ikey.len, 9);
	ck_assert_mem_eq(ikey.data, "k\x02\x02\x01\0\0\0\0\0", 9);
	buf_release(&ikey);
}
END_TEST

START_TEST(a_seek_key_comes_before_its_sequence_and_after_newer_ones)
{
	struct buf seek = BUF_INIT;
	struct buf found = BUF_INIT;

	ck_assert_int_eq(key_make(&seek, slice_str("k"), 7, KEY_SEEK), LSM_OK);
	ck_assert_int_eq(key_make(&found, slice_str("k"), 7, KEY_MERGE),
	                 LSM_OK);
	ck_assert_int_lt(key_compare(buf_slice(&seek), buf_slice(&found)), 0);
	ck_assert_int_eq(key_make(&found, slice_str("k"), 8, KEY_DELETE),
	                 LSM_OK);
	ck_assert_int_gt(key_compare(buf_slice(&seek), buf_slice(&found)), 0);
	buf_release(&seek);
	buf_release(&found);
}
END_TEST

START_TEST(only_known_kinds_and_whole_trailers_are_valid)
{
	uint8_t bytes[10] = {0};

	for (unsigned kind = 0; kind < 256; kind++) {
		bytes[2] = (uint8_t)kind;
		ck_assert_int_eq(key_is_valid(slice_make(bytes, 10)),
		                 kind <= KEY_POINTER);
	}
	memset(bytes, KEY_PUT, sizeof(bytes));
	for (size_t len = 0; len < sizeof(bytes); len++)
		ck_assert_int_eq(key_is_valid(slice_make(bytes, len)),
		                 len >= KEY_TRAILER_BYTES);
}
END_TEST

START_TEST(no_memory_for_a_key_is_told)
{
	struct buf ikey = BUF_INIT;
	enum lsm_err err;

	alloc_fault_arm(1);
	err = key_make(&ikey, slice_str("k"), 1, KEY_PUT);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	buf_release(&ikey);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("key");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, order_is_user_key_then_newest_first);
	tcase_add_test(tc, parts_come_back_from_the_key);
	tcase_add_test(tc, bytes_of_a_key_are_as_documented);
	tcase_add_test(
	    tc, a_seek_key_comes_before_its_sequence_and_after_newer_ones);
	tcase_add_test(tc, only_known_kinds_and_whole_trailers_are_valid);
	tcase_add_test(tc, no_memory_for_a_key_is_told);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
