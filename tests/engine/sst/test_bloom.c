/* SPDX-License-Identifier: MIT */
/* test_bloom.c: a filter never denies a key, and seldom admits a stranger. */
#include <stdlib.h>

#include "base/checksum.h"
#include "base/coding.h"
#include "sst/bloom.h"
#include "tests/engine/sst/sst_kit.h"

static uint64_t hash_of(uint64_t number)
{
	uint8_t bytes[8];

	put_be64(bytes, number);
	return checksum_hash(slice_make(bytes, sizeof(bytes)));
}

static void build(size_t count, struct buf *filter)
{
	uint64_t *hashes = calloc(count + 1, sizeof(*hashes));

	for (size_t i = 0; i < count; i++)
		hashes[i] = hash_of(i);
	buf_init(filter);
	ck_assert_int_eq(bloom_build(hashes, count, filter), LSM_OK);
	free(hashes);
}

START_TEST(every_key_is_admitted)
{
	static const size_t counts[] = {1, 2, 51, 52, 1000, 100000};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct buf filter;

		build(counts[i], &filter);
		for (size_t key = 0; key < counts[i]; key++)
			ck_assert(bloom_may_contain(buf_slice(&filter),
			                            hash_of(key)));
		buf_release(&filter);
	}
}
END_TEST

START_TEST(about_one_stranger_in_a_hundred_is_admitted)
{
	enum { KEYS = 100000, STRANGERS = 200000 };
	struct buf filter;
	size_t admitted = 0;

	build(KEYS, &filter);
	ck_assert_uint_le(filter.len, KEYS * BLOOM_BITS_PER_KEY / 8 + 65);
	for (uint64_t i = 0; i < STRANGERS; i++)
		admitted +=
		    bloom_may_contain(buf_slice(&filter), hash_of(KEYS + i));
	ck_assert_msg(admitted < STRANGERS * 15 / 1000, "%zu of %d admitted",
	              admitted, STRANGERS);
	buf_release(&filter);
}
END_TEST

START_TEST(filter_of_nothing_admits_nothing)
{
	struct buf filter;

	build(0, &filter);
	for (uint64_t i = 0; i < 100; i++)
		ck_assert(!bloom_may_contain(buf_slice(&filter), hash_of(i)));
	buf_release(&filter);
}
END_TEST

START_TEST(bytes_that_are_no_filter_admit_all)
{
	struct buf filter;

	build(0, &filter);
	for (size_t len = 0; len < filter.len; len++)
		ck_assert(bloom_may_contain(slice_make(filter.data, len), 7));
	filter.data[filter.len - 1]++;
	ck_assert(bloom_may_contain(buf_slice(&filter), 7));
	buf_release(&filter);
}
END_TEST

START_TEST(filter_is_appended)
{
	const uint64_t hash = hash_of(1);
	struct buf out = BUF_INIT;

	ck_assert_int_eq(buf_append(&out, "abc", 3), LSM_OK);
	ck_assert_int_eq(bloom_build(&hash, 1, &out), LSM_OK);
	ck_assert_mem_eq(out.data, "abc", 3);
	ck_assert(
	    bloom_may_contain(slice_make(out.data + 3, out.len - 3), hash));
	buf_release(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bloom");
	TCase *tc = tcase_create("filter");

	tcase_add_test(tc, every_key_is_admitted);
	tcase_add_test(tc, about_one_stranger_in_a_hundred_is_admitted);
	tcase_add_test(tc, filter_of_nothing_admits_nothing);
	tcase_add_test(tc, bytes_that_are_no_filter_admit_all);
	tcase_add_test(tc, filter_is_appended);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
