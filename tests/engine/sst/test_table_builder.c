/* SPDX-License-Identifier: MIT */
/*
 * test_table_builder.c: what is known of a finished table is true, and a table
 * that could not be finished is never said to be.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/sst/sst_kit.h"
#include "tests/support/alloc_fault.h"

enum { SEED = 20240703 };

START_TEST(info_agrees_with_the_entries)
{
	struct table_info info, seen;
	struct entries entries;
	struct buf bytes;
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	entries_random(&entries, &gen, 500, 3, 60);
	ck_assert_int_eq(write_table_as(table_id, &entries, 512, &info),
	                 LSM_OK);
	table_info_init(&seen);
	for (size_t i = 0; i < entries.count; i++)
		table_info_count(
		    &seen, entry_key(&entries, i), entry_value(&entries, i),
		    i > 0 && slice_equal(key_user(entry_key(&entries, i)),
		                         key_user(entry_key(&entries, i - 1))));
	ck_assert_uint_eq(info.entries, entries.count);
	ck_assert_uint_eq(info.deletes, seen.deletes);
	ck_assert_uint_eq(info.raw_bytes, seen.raw_bytes);
	ck_assert_uint_eq(info.min_seq, seen.min_seq);
	ck_assert_uint_eq(info.max_seq, seen.max_seq);
	ck_assert(
	    slice_equal(buf_slice(&info.smallest), entry_key(&entries, 0)));
	ck_assert(slice_equal(buf_slice(&info.largest),
	                      entry_key(&entries, entries.count - 1)));
	table_bytes(&bytes);
	ck_assert_uint_eq(bytes.len, info.file_bytes);
	buf_release(&bytes);
	table_info_release(&info);
	entries_release(&entries);
}
END_TEST

START_TEST(figures_count_what_they_say)
{
	struct table_info info;
	struct buf key = BUF_INIT;

	table_info_init(&info);
	ck_assert_int_eq(key_make(&key, slice_str("abc"), 9, KEY_PUT), LSM_OK);
	table_info_count(&info, buf_slice(&key), slice_str("12345"), false);
	ck_assert_int_eq(key_make(&key, slice_str("abc"), 4, KEY_DELETE),
	                 LSM_OK);
	table_info_count(&info, buf_slice(&key), slice_make(NULL, 0), false);
	ck_assert_int_eq(key_make(&key, slice_str("abc"), 4, KEY_PUT), LSM_OK);
	table_info_count(&info, buf_slice(&key), slice_make(NULL, 0), true);
	ck_assert_uint_eq(info.entries, 3);
	ck_assert_uint_eq(info.deletes, 2);
	ck_assert_uint_eq(info.raw_bytes, 11 + 5 + 11 + 11);
	ck_assert_uint_eq(info.min_seq, 4);
	ck_assert_uint_eq(info.max_seq, 9);
	buf_release(&key);
}
END_TEST

START_TEST(info_comes_back_from_its_bytes)
{
	struct table_info info = {.entries = 1,
	                          .deletes = 2,
	                          .raw_bytes = 3,
	                          .min_seq = 4,
	                          .max_seq = 5};
	struct table_info got;
	struct buf bytes = BUF_INIT;

	ck_assert_int_eq(key_make(&info.smallest, slice_str("a"), 1, KEY_PUT),
	                 LSM_OK);
	ck_assert_int_eq(key_make(&info.largest, slice_str("b"), 1, KEY_PUT),
	                 LSM_OK);
	ck_assert_int_eq(table_info_encode(&info, &bytes), LSM_OK);
	table_info_init(&got);
	ck_assert_int_eq(table_info_decode(buf_slice(&bytes), &got), LSM_OK);
	ck_assert_uint_eq(got.entries, 1);
	ck_assert_uint_eq(got.max_seq, 5);
	ck_assert(
	    slice_equal(buf_slice(&got.largest), buf_slice(&info.largest)));
	for (size_t len = 0; len < bytes.len; len++)
		ck_assert_int_eq(
		    table_info_decode(slice_make(bytes.data, len), &got),
		    LSM_ERR_CORRUPT);
	table_info_release(&got);
	table_info_release(&info);
	buf_release(&bytes);
}
END_TEST

static void add_segment(struct table_info *info, uint64_t creator,
                        uint64_t number, uint64_t frames)
{
	struct segment_use use = {
	    .id = {creator, number},
	    .frames = frames,
	    .bytes = frames * 9001,
	    .tables = 1,
	};

	ck_assert_int_eq(segment_uses_add(&info->segments, &use), LSM_OK);
}

static void expect_possible(const struct segment_uses *uses)
{
	for (size_t i = 0; i < uses->count; i++) {
		const struct segment_use *use = &uses->items[i];

		ck_assert_uint_gt(use->id.number, 0);
		ck_assert_uint_gt(use->frames, 0);
		ck_assert_uint_ge(use->bytes, use->frames);
		ck_assert_uint_eq(use->tables, 1);
		ck_assert(i == 0 ||
		          file_id_compare(uses->items[i - 1].id, use->id) < 0);
	}
}

/* What a checksum would tell aside, damage gives an error, or figures that some
   table could have: then they are those that the bytes say. */
static bool info_is_taken_for_what_it_says(struct slice damaged)
{
	struct buf bytes = BUF_INIT;
	struct table_info got, again;
	enum lsm_err err;

	table_info_init(&got);
	table_info_init(&again);
	err = table_info_decode(damaged, &got);
	if (err == LSM_OK) {
		expect_possible(&got.segments);
		ck_assert_int_eq(table_info_encode(&got, &bytes), LSM_OK);
		ck_assert_int_eq(table_info_decode(buf_slice(&bytes), &again),
		                 LSM_OK);
		ck_assert(segment_uses_equal(&got.segments, &again.segments));
	} else {
		ck_assert_int_eq(err, LSM_ERR_CORRUPT);
	}
	table_info_release(&got);
	table_info_release(&again);
	buf_release(&bytes);
	return err == LSM_OK;
}

START_TEST(flipped_bits_of_a_list_of_segments_are_refused_or_make_sense)
{
	struct table_info info = {.entries = 900, .min_seq = 4, .max_seq = 5};
	struct buf bytes = BUF_INIT, without = BUF_INIT;
	size_t taken = 0, bits, begin;

	ck_assert_int_eq(key_make(&info.smallest, slice_str("a"), 4, KEY_PUT),
	                 LSM_OK);
	ck_assert_int_eq(key_make(&info.largest, slice_str("b"), 5, KEY_PUT),
	                 LSM_OK);
	ck_assert_int_eq(table_info_encode(&info, &without), LSM_OK);
	begin = without.len - 1; /* an empty list is one byte */
	add_segment(&info, 3, 1, 1);
	add_segment(&info, 3, 300, 200);
	add_segment(&info, UINT64_MAX, 70000, 20000);
	ck_assert_int_eq(table_info_encode(&info, &bytes), LSM_OK);
	ck_assert_uint_gt(bytes.len, begin + 3 * 11);

	for (size_t bit = begin * 8; bit < bytes.len * 8; bit++) {
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		taken += info_is_taken_for_what_it_says(buf_slice(&bytes));
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	bits = (bytes.len - begin) * 8;
	ck_assert_uint_gt(taken, 0);
	ck_assert_uint_lt(taken, bits);

	for (size_t at = begin; at < bytes.len; at++) {
		uint8_t was = bytes.data[at];

		for (unsigned other = 0; other < 256; other++) {
			bytes.data[at] = (uint8_t)other;
			(void)info_is_taken_for_what_it_says(buf_slice(&bytes));
		}
		bytes.data[at] = was;
	}
	ck_assert(info_is_taken_for_what_it_says(buf_slice(&bytes)));
	table_info_release(&info);
	buf_release(&without);
	buf_release(&bytes);
}
END_TEST

START_TEST(range_tombstones_are_told_of_and_verified)
{
	struct entries entries = {0};
	struct table_info info;
	struct table *table;

	entries_add(&entries, slice_str("aa"), 9, KEY_RANGE_DELETE,
	            slice_str("\1b\1x"));
	entries_add(&entries, slice_str("aa"), 5, KEY_RANGE_DELETE,
	            slice_make("\0\1c", 3));
	entries_add(&entries, slice_str("ab"), 3, KEY_PUT, slice_str("v"));
	ck_assert_int_eq(write_table_as(table_id, &entries, 512, &info),
	                 LSM_OK);
	ck_assert_uint_eq(info.ranges, 2);
	ck_assert_uint_eq(info.ranges_prefix_bytes, 2);
	ck_assert_uint_eq(info.ranges_min_seq, 5);
	ck_assert(slice_equal(buf_slice(&info.ranges_reach), slice_str("aax")));
	ck_assert_uint_eq(info.deletes, 0);
	ck_assert_int_eq(open_table(info.file_bytes, &table), LSM_OK);
	ck_assert_uint_eq(faults_of(table), 0);
	table_info_release(&info);
	ck_assert_int_eq(table_read_info(table, &info), LSM_OK);
	ck_assert_uint_eq(info.ranges, 2);
	ck_assert_uint_eq(info.ranges_prefix_bytes, 2);
	ck_assert(slice_equal(buf_slice(&info.ranges_reach), slice_str("aax")));
	table_info_release(&info);
	table_close(table);
	remove_table();

	/* What is none is not written. */
	entries_add(&entries, slice_str("ac"), 2, KEY_RANGE_DELETE,
	            slice_str("\1b\1a"));
	ck_assert_int_eq(write_table_as(table_id, &entries, 512, &info),
	                 LSM_ERR_CORRUPT);
	table_info_release(&info);
	entries_release(&entries);
}
END_TEST

START_TEST(range_tombstones_of_a_table_have_prefixes_of_one_length)
{
	struct entries entries = {0};
	struct table_info info;

	entries_add(&entries, slice_str("aa"), 9, KEY_RANGE_DELETE,
	            slice_str("\1b\1x"));
	entries_add(&entries, slice_str("abc"), 5, KEY_RANGE_DELETE,
	            slice_str("\1b\1x"));
	ck_assert_int_eq(write_table_as(table_id, &entries, 512, &info),
	                 LSM_ERR_CORRUPT);
	table_info_release(&info);
	entries_release(&entries);
}
END_TEST

static enum lsm_err add_pair(struct slice first, struct slice second)
{
	struct table_builder *builder;
	struct env_file *file;
	struct table_info info;
	enum lsm_err err;

	remove_table();
	ck_assert_int_eq(env_open(pool, "x", ENV_CREATE, &file), LSM_OK);
	ck_assert_int_eq(
	    table_builder_create(file, table_id, &family, 512, &builder),
	    LSM_OK);
	ck_assert_int_eq(table_builder_add(builder, first, slice_str("v")),
	                 LSM_OK);
	err = table_builder_add(builder, second, slice_str("v"));
	/* An error stays. */
	ck_assert_int_eq(table_builder_finish(builder, &info), err);
	table_info_release(&info);
	table_builder_destroy(builder);
	ck_assert_int_eq(env_close(file), LSM_OK);
	ck_assert_int_eq(env_unlink(pool, "x"), LSM_OK);
	return err;
}

START_TEST(keys_out_of_order_are_refused)
{
	struct buf old = BUF_INIT, new = BUF_INIT;

	ck_assert_int_eq(key_make(&old, slice_str("k"), 5, KEY_PUT), LSM_OK);
	ck_assert_int_eq(key_make(&new, slice_str("k"), 6, KEY_PUT), LSM_OK);
	ck_assert_int_eq(add_pair(buf_slice(&new), buf_slice(&old)), LSM_OK);
	ck_assert_int_eq(add_pair(buf_slice(&old), buf_slice(&new)),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(add_pair(buf_slice(&old), buf_slice(&old)),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(add_pair(buf_slice(&old), slice_str("short")),
	                 LSM_ERR_CORRUPT);
	buf_release(&old);
	buf_release(&new);
}
END_TEST

START_TEST(any_failing_operation_is_reported)
{
	struct table_info info;
	struct entries entries;
	enum lsm_err err;
	struct gen gen;
	uint64_t nth = 0;

	gen_init(&gen, 21);
	entries_random(&entries, &gen, 1500, 2, 2000);
	do {
		env_fault_arm(fault, ++nth, LSM_ERR_NOSPACE, false);
		err = write_table_as(table_id, &entries, 4096, &info);
		/* The close is the test's own. */
		if (nth < env_fault_count(fault))
			ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		if (err != LSM_OK)
			ck_assert_uint_eq(info.smallest.len, 0);
		table_info_release(&info);
		env_fault_arm(fault, 0, LSM_OK, false);
		remove_table();
	} while (err != LSM_OK);
	/* Open, writes of at least 256 KiB, the last write, close. */
	ck_assert_uint_ge(nth, 5);
	ck_assert_uint_le(nth, 4 + (3 << 20) / (256 << 10));
	entries_release(&entries);
}
END_TEST

START_TEST(any_failing_allocation_is_reported)
{
	struct table_info info;
	struct entries entries;
	enum lsm_err err;
	struct gen gen;
	uint64_t nth = 0;
	bool fired;

	gen_init(&gen, 22);
	entries_random(&entries, &gen, 60, 2, 40);
	do {
		alloc_fault_arm(++nth);
		err = write_table_as(table_id, &entries, 512, &info);
		fired = alloc_fault_disarm();
		ck_assert_int_eq(err, fired ? LSM_ERR_NOMEM : LSM_OK);
		table_info_release(&info);
		remove_table();
	} while (fired);
	ck_assert_uint_ge(nth, 10);
	entries_release(&entries);
}
END_TEST

/* A large value between small ones: who reads those pays nothing for it. */
START_TEST(large_value_has_a_block_of_its_own)
{
	struct entries entries = {0};
	uint8_t *large = malloc(LSM_VALUE_MAX_BYTES);
	struct cache_stats stats;
	struct table *table;
	struct iter *it;
	uint64_t bytes;
	struct gen gen;

	gen_init(&gen, 23);
	gen_bytes(&gen, large, LSM_VALUE_MAX_BYTES);
	entries_add(&entries, slice_str("a"), 1, KEY_PUT, slice_str("small"));
	entries_add(&entries, slice_str("b"), 1, KEY_PUT,
	            slice_make(large, LSM_VALUE_MAX_BYTES));
	entries_add(&entries, slice_str("c"), 1, KEY_PUT, slice_str("small"));
	bytes = write_table(&entries, 8192);
	ck_assert_int_eq(open_table(bytes, &table), LSM_OK);
	ck_assert_int_eq(table_iter(table, true, &it), LSM_OK);
	iter_seek_first(it);
	ck_assert(iter_valid(it));
	iter_seek(it, entry_key(&entries, 2));
	ck_assert(walk_matches(it, &entries, 2));
	cache_stats(blocks, &stats);
	ck_assert_uint_lt(stats.used_bytes, 8192);
	iter_seek_first(it);
	ck_assert(walk_matches(it, &entries, 0));
	iter_destroy(it);
	table_close(table);
	entries_release(&entries);
	free(large);
}
END_TEST

START_TEST(bytes_follow_the_size_of_the_file)
{
	struct table_builder *builder;
	struct entries entries;
	struct env_file *file;
	struct table_info info;
	uint64_t bytes;
	struct gen gen;

	gen_init(&gen, 24);
	entries_random(&entries, &gen, 4000, 1, 100);
	ck_assert_int_eq(env_open(pool, "x", ENV_CREATE, &file), LSM_OK);
	ck_assert_int_eq(
	    table_builder_create(file, table_id, &family, 4096, &builder),
	    LSM_OK);
	for (size_t i = 0; i < entries.count; i++)
		ck_assert_int_eq(table_builder_add(builder,
		                                   entry_key(&entries, i),
		                                   entry_value(&entries, i)),
		                 LSM_OK);
	ck_assert_uint_eq(table_builder_entries(builder), entries.count);
	bytes = table_builder_bytes(builder);
	ck_assert_int_eq(table_builder_finish(builder, &info), LSM_OK);
	ck_assert_uint_lt(bytes, info.file_bytes + 8192);
	ck_assert_uint_lt(info.file_bytes, bytes + 8192);
	table_info_release(&info);
	table_builder_destroy(builder);
	ck_assert_int_eq(env_close(file), LSM_OK);
	entries_release(&entries);
}
END_TEST

/* The table of so many short keys, each with a short value. */
static size_t write_short_keys(int count, uint32_t block_bytes,
                               struct sst_part *parts, size_t most)
{
	struct entries entries = {0};
	size_t made;
	char user[16];

	for (int i = 0; i < count; i++) {
		snprintf(user, sizeof(user), "%08d", i);
		entries_add(&entries, slice_str(user), 1, KEY_PUT,
		            slice_str("v"));
	}
	write_table(&entries, block_bytes);
	made = read_parts(parts, most);
	entries_release(&entries);
	remove_table();
	return made;
}

/* What is read at a time stays small, and in proportion, however large the table
   is: by the size of the index, and by the number of keys. */
START_TEST(parts_are_cut_before_they_are_large)
{
	enum { MOST = 32 };
	struct sst_part parts[MOST];
	size_t count;

	ck_assert_uint_eq(write_short_keys(100, 1, parts, MOST), 1);
	count = write_short_keys(3000, 1, parts, MOST);
	ck_assert_uint_ge(count, 15);
	ck_assert_uint_le(count, MOST);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_le(parts[i].index.bytes, 5000);
		ck_assert_uint_le(parts[i].filter.bytes, 500);
	}
	count = write_short_keys(70000, 8192, parts, MOST);
	ck_assert_uint_eq(count, 3);
	for (size_t i = 0; i < count; i++)
		ck_assert_uint_le(parts[i].filter.bytes, 42 << 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_builder");
	TCase *tc = tcase_create("file");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, info_agrees_with_the_entries);
	tcase_add_test(tc, figures_count_what_they_say);
	tcase_add_test(tc, info_comes_back_from_its_bytes);
	tcase_add_test(
	    tc, flipped_bits_of_a_list_of_segments_are_refused_or_make_sense);
	tcase_add_test(tc, range_tombstones_are_told_of_and_verified);
	tcase_add_test(tc,
	               range_tombstones_of_a_table_have_prefixes_of_one_length);
	tcase_add_test(tc, keys_out_of_order_are_refused);
	tcase_add_test(tc, any_failing_operation_is_reported);
	tcase_add_test(tc, any_failing_allocation_is_reported);
	tcase_add_test(tc, large_value_has_a_block_of_its_own);
	tcase_add_test(tc, bytes_follow_the_size_of_the_file);
	tcase_add_test(tc, parts_are_cut_before_they_are_large);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
