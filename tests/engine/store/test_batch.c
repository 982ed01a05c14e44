/* SPDX-License-Identifier: MIT */
/* test_batch.c: what a batch takes, and what comes out of its encoding. */
#include <stdlib.h>

#include "store/batch.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/gen.h"

enum { RANDOM_ENTRIES = 300, RANDOM_VALUE_BYTES = 300 };

static struct lsm_batch *batch;

static void setup(void)
{
	ASSERT_OK(lsm_batch_create(&batch));
}

static void teardown(void)
{
	lsm_batch_destroy(batch);
}

static struct slice finished(uint64_t first_seq)
{
	struct slice payload;

	ASSERT_OK(batch_finish(batch, first_seq, &payload));
	return payload;
}

/* All entries can be read, and the counters behind them. */
static enum lsm_err decode(struct slice payload, int64_t counters[LSM_COUNTERS])
{
	struct batch_reader reader;
	enum lsm_err err = batch_reader_init(&reader, payload);

	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		struct slice key, value;
		enum key_kind kind;

		err = batch_reader_next(&reader, &kind, &key, &value);
	}
	if (err == LSM_OK)
		err = batch_reader_counters(&reader, counters);
	return err;
}

START_TEST(over_the_limits_is_refused_and_changes_nothing)
{
	static uint8_t bytes[LSM_VALUE_MAX_BYTES + 1];
	struct slice key = slice_str("k");

	ASSERT_OK(lsm_batch_put(batch, key, slice_str("v")));
	ASSERT_ERR(lsm_batch_put(batch, slice_make(NULL, 0), key), TOO_BIG);
	ASSERT_ERR(
	    lsm_batch_delete(batch, slice_make(bytes, LSM_KEY_MAX_BYTES + 1)),
	    TOO_BIG);
	ASSERT_ERR(lsm_batch_put(batch, key, slice_make(bytes, sizeof(bytes))),
	           TOO_BIG);
	ASSERT_ERR(
	    lsm_batch_merge(batch, key, slice_make(bytes, sizeof(bytes))),
	    TOO_BIG);
	ck_assert_uint_eq(lsm_batch_entries(batch), 1);
	ck_assert_uint_eq(lsm_batch_bytes(batch), 2);
	ck_assert(!batch->merges);
	ASSERT_OK(lsm_batch_put(batch, slice_make(bytes, LSM_KEY_MAX_BYTES),
	                        slice_make(bytes, LSM_VALUE_MAX_BYTES)));
	ck_assert_uint_eq(lsm_batch_entries(batch), 2);
}
END_TEST

START_TEST(range_is_one_entry_and_comes_back)
{
	struct batch_reader reader;
	struct slice key, value;
	enum key_kind kind;

	ASSERT_OK(lsm_batch_delete_range(batch, slice_str("p"), slice_str("a"),
	                                 slice_str("b")));
	ck_assert_uint_eq(lsm_batch_entries(batch), 1);
	ck_assert_uint_eq(lsm_batch_bytes(batch), 5);
	/* One length of prefix a batch. */
	ASSERT_ERR(lsm_batch_delete_range(batch, slice_str("pp"), slice_str(""),
	                                  slice_str("")),
	           INVALID);
	ASSERT_OK(batch_reader_init(&reader, finished(1)));
	ASSERT_OK(batch_reader_next(&reader, &kind, &key, &value));
	ck_assert_int_eq(kind, KEY_RANGE_DELETE);
	ck_assert(slice_equal(key, slice_str("p")));
	ck_assert(slice_equal(value, slice_str("\1a\1b")));
	lsm_batch_clear(batch);
	ASSERT_OK(lsm_batch_delete_range(batch, slice_str("pp"), slice_str(""),
	                                 slice_str("")));
}
END_TEST

START_TEST(range_of_bounds_that_cannot_be_is_corrupt)
{
	int64_t counters[LSM_COUNTERS] = {0};
	uint8_t *bounds;

	ASSERT_OK(lsm_batch_delete_range(batch, slice_str("p"), slice_str("a"),
	                                 slice_str("b")));
	ASSERT_OK(decode(finished(1), counters));
	bounds = batch->rep.data + batch->end - 4;
	ck_assert_mem_eq(bounds, "\1a\1b", 4);
	bounds[1] = 'b';
	ASSERT_ERR(decode(finished(1), counters), CORRUPT);
	bounds[1] = 'a';
	bounds[2] = 2;
	ASSERT_ERR(decode(finished(1), counters), CORRUPT);
	bounds[2] = 0;
	ASSERT_ERR(decode(finished(1), counters), CORRUPT);
}
END_TEST

START_TEST(batch_takes_no_more_than_its_limit)
{
	static uint8_t bytes[LSM_VALUE_MAX_BYTES];
	enum lsm_err err = LSM_OK;
	size_t taken = 0;

	while (err == LSM_OK && taken <= LSM_BATCH_MAX_BYTES) {
		err = lsm_batch_put(batch, slice_str("k"),
		                    slice_make(bytes, sizeof(bytes)));
		if (err == LSM_OK)
			taken += sizeof(bytes);
	}
	ck_assert_int_eq(err, LSM_ERR_TOO_BIG);
	ck_assert_uint_ge(taken, LSM_BATCH_MAX_BYTES - 2 * sizeof(bytes));
	ck_assert_uint_le(finished(1).len, LSM_BATCH_MAX_BYTES + 128);
}
END_TEST

START_TEST(encoding_gives_back_entries_and_counters)
{
	struct gen gen;
	struct batch_reader reader;
	int64_t counters[LSM_COUNTERS] = {0};
	uint8_t keys[RANDOM_ENTRIES][16], value[RANDOM_VALUE_BYTES];
	size_t lens[RANDOM_ENTRIES];

	gen_init(&gen, gen_seed(1));
	for (size_t i = 0; i < RANDOM_ENTRIES; i++) {
		struct slice key = slice_make(keys[i], sizeof(keys[i]));

		gen_bytes(&gen, keys[i], sizeof(keys[i]));
		memset(value, keys[i][0], sizeof(value));
		lens[i] = gen_below(&gen, sizeof(value) + 1);
		keys[i][1] = (uint8_t)(i % 3);
		if (i % 3 == KEY_PUT)
			ASSERT_OK(lsm_batch_put(batch, key,
			                        slice_make(value, lens[i])));
		else if (i % 3 == KEY_MERGE)
			ASSERT_OK(lsm_batch_merge(batch, key,
			                          slice_make(value, lens[i])));
		else
			ASSERT_OK(lsm_batch_delete(batch, key));
	}
	lsm_batch_count(batch, 0, -7);
	lsm_batch_count(batch, 7, INT64_MAX);

	ASSERT_OK(batch_reader_init(&reader, finished(42)));
	ck_assert_uint_eq(reader.first_seq, 42);
	ck_assert_uint_eq(reader.entries, RANDOM_ENTRIES);
	for (size_t i = 0; i < RANDOM_ENTRIES; i++) {
		struct slice key, got;
		enum key_kind kind;

		ASSERT_OK(batch_reader_next(&reader, &kind, &key, &got));
		ck_assert_int_eq(kind, (int)(i % 3));
		ck_assert(slice_equal(key, slice_make(keys[i], 16)));
		memset(value, keys[i][0], sizeof(value));
		if (kind == KEY_DELETE)
			lens[i] = 0;
		ck_assert(slice_equal(got, slice_make(value, lens[i])));
	}
	ASSERT_OK(batch_reader_counters(&reader, counters));
	ck_assert_int_eq(counters[0], -7);
	ck_assert_int_eq(counters[1], 0);
	ck_assert_int_eq(counters[7], INT64_MAX);
}
END_TEST

START_TEST(cleared_batch_is_as_new)
{
	int64_t counters[LSM_COUNTERS] = {0};

	ASSERT_OK(lsm_batch_merge(batch, slice_str("k"), slice_str("v")));
	lsm_batch_count(batch, 3, 5);
	(void)finished(1);
	lsm_batch_clear(batch);
	ck_assert_uint_eq(lsm_batch_entries(batch), 0);
	ck_assert_uint_eq(lsm_batch_bytes(batch), 0);
	ck_assert(!batch->merges);
	ASSERT_OK(lsm_batch_put(batch, slice_str("k"), slice_str("v")));
	ASSERT_OK(decode(finished(9), counters));
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		ck_assert_int_eq(counters[i], 0);
}
END_TEST

/* A write that failed may be tried again with the batch as it is. */
START_TEST(batch_finished_twice_is_the_same)
{
	int64_t counters[LSM_COUNTERS] = {0};
	struct slice payload;
	size_t len;

	ASSERT_OK(lsm_batch_put(batch, slice_str("k"), slice_str("v")));
	lsm_batch_count(batch, 2, 300);
	len = finished(5).len;
	payload = finished(6);
	ck_assert_uint_eq(payload.len, len);
	ASSERT_OK(decode(payload, counters));
	ck_assert_int_eq(counters[2], 300);
	ASSERT_OK(lsm_batch_put(batch, slice_str("l"), slice_str("v")));
	ASSERT_OK(decode(finished(7), counters));
	ck_assert_int_eq(counters[2], 600);
}
END_TEST

/* What a batch of one costs beyond key and value: six bytes of a small number. */
START_TEST(header_has_the_documented_bytes)
{
	struct slice payload;

	ASSERT_OK(lsm_batch_put(batch, slice_str("k"), slice_str("v")));
	payload = finished(1);
	ck_assert_uint_eq(payload.len, 7);
	ck_assert_mem_eq(payload.data, "\x01\x02\x01\x01k\x01v", 7);
	lsm_batch_count(batch, 3, -1);
	payload = finished(128);
	ck_assert_uint_eq(payload.len, 10);
	ck_assert_mem_eq(payload.data, "\x80\x01\x03\x08\x01\x01k\x01v\x01",
	                 10);
	payload = finished(KEY_SEQ_MAX);
	ck_assert_uint_eq(payload.len, 16);
}
END_TEST

START_TEST(header_out_of_range_is_corrupt)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
	    {"\x00\x00", 2},                 /* sequence 0 */
	    {"\x80\x00\x00", 3},             /* overlong */
	    {"\x01\x01\x00", 3},             /* no counter, though it says so */
	    {"\x01\x80\x80\x80\x80\x20", 6}, /* 2^32 entries */
	    {"\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00",
	     10}, /* sequence 2^56 */
	};
	struct batch_reader reader;

	ASSERT_OK(batch_reader_init(&reader, slice_make("\x01\x00", 2)));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ASSERT_ERR(batch_reader_init(
			       &reader, slice_make(bad[i].bytes, bad[i].len)),
		           CORRUPT);
}
END_TEST

START_TEST(bytes_cut_short_or_too_long_are_corrupt)
{
	int64_t counters[LSM_COUNTERS] = {0};
	struct buf longer = BUF_INIT;
	struct slice payload;

	ASSERT_OK(lsm_batch_put(batch, slice_str("key"), slice_str("value")));
	ASSERT_OK(lsm_batch_delete(batch, slice_str("other")));
	lsm_batch_count(batch, 0, 300);
	payload = finished(1);
	for (size_t len = 0; len < payload.len; len++)
		ASSERT_ERR(decode(slice_make(payload.data, len), counters),
		           CORRUPT);
	ASSERT_OK(buf_append_slice(&longer, payload));
	ASSERT_OK(buf_append(&longer, "", 1));
	ASSERT_ERR(decode(buf_slice(&longer), counters), CORRUPT);
	buf_release(&longer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("batch");
	TCase *tc = tcase_create("batch");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, over_the_limits_is_refused_and_changes_nothing);
	tcase_add_test(tc, range_is_one_entry_and_comes_back);
	tcase_add_test(tc, range_of_bounds_that_cannot_be_is_corrupt);
	tcase_add_test(tc, batch_takes_no_more_than_its_limit);
	tcase_add_test(tc, encoding_gives_back_entries_and_counters);
	tcase_add_test(tc, cleared_batch_is_as_new);
	tcase_add_test(tc, batch_finished_twice_is_the_same);
	tcase_add_test(tc, header_has_the_documented_bytes);
	tcase_add_test(tc, header_out_of_range_is_corrupt);
	tcase_add_test(tc, bytes_cut_short_or_too_long_are_corrupt);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
