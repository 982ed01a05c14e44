/* SPDX-License-Identifier: MIT */
/*
 * test_table.c: a table answers as the sorted list of its entries does, with
 * one part or many, cached or not, and passes every failure up.
 */
#include <stdlib.h>

#include "base/sync.h"
#include "tests/engine/sst/sst_kit.h"
#include "tests/support/alloc_fault.h"

enum { SEED = 20240704 };

static void check_get(struct table *table, const struct entries *entries,
                      struct slice user, uint64_t seq, size_t most)
{
	enum lsm_err err;

	ck_assert(get_matches(table, entries, user, seq, most, &err));
	ck_assert_int_eq(err, LSM_OK);
}

static void check_gets(struct table *table, const struct entries *entries,
                       struct gen *gen, int count)
{
	for (int i = 0; i < count; i++) {
		size_t at = (size_t)gen_below(gen, entries->count);
		struct slice user = key_user(entry_key(entries, at));

		if (user.len > 0 && gen_below(gen, 4) == 0)
			user.len--;
		check_get(table, entries, user, gen_below(gen, 1002),
		          1 + (size_t)gen_below(gen, 5));
	}
}

static void check_seeks(struct table *table, const struct entries *entries,
                        struct gen *gen, bool fill_cache, int count)
{
	struct buf target = BUF_INIT;
	struct iter *it;

	ck_assert_int_eq(table_iter(table, fill_cache, &it), LSM_OK);
	ck_assert(!iter_valid(it));
	iter_seek_first(it);
	ck_assert(walk_matches(it, entries, 0));
	for (int i = 0; i < count; i++) {
		size_t at = (size_t)gen_below(gen, entries->count);
		struct slice user = key_user(entry_key(entries, at));

		ck_assert_int_eq(
		    key_make(&target, user, gen_below(gen, 1002), KEY_SEEK),
		    LSM_OK);
		if (gen_below(gen, 3) == 0)
			target.data[0] ^= 1;
		iter_seek(it, buf_slice(&target));
		ck_assert(walk_matches(
		    it, entries, entries_seek(entries, buf_slice(&target))));
	}
	ck_assert(moves_match(it, entries, gen, 40 * (unsigned)count));
	iter_destroy(it);
	buf_release(&target);
}

static void random_round(struct gen *gen, uint32_t block_bytes)
{
	struct entries entries;
	struct table *table;

	entries_random(&entries, gen, 1 + (size_t)gen_below(gen, 400), 6, 80);
	ck_assert_int_eq(open_table(write_table(&entries, block_bytes), &table),
	                 LSM_OK);
	ck_assert_uint_eq(faults_of(table), 0);
	check_gets(table, &entries, gen, 100);
	check_seeks(table, &entries, gen, false, 10);
	check_seeks(table, &entries, gen, true, 10);
	table_close(table);
	entries_release(&entries);
	remove_table();
	new_block_cache();
}

START_TEST(random_tables_match_the_model)
{
	static const uint32_t block_bytes[] = {1, 100, 1000, 8192};
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int i = 0; i < 24; i++)
		random_round(&gen, block_bytes[i % 4]);
}
END_TEST

START_TEST(table_of_many_parts_matches_the_model)
{
	struct entries entries;
	struct table *table;
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	entries_long_keys(&entries, 400);
	ck_assert_int_eq(open_table(write_table(&entries, 1), &table), LSM_OK);
	ck_assert_uint_eq(faults_of(table), 0);
	check_gets(table, &entries, &gen, 500);
	check_seeks(table, &entries, &gen, true, 30);
	table_close(table);
	entries_release(&entries);
}
END_TEST

START_TEST(versions_go_on_in_the_next_block)
{
	struct entries entries = {0};
	struct table *table;

	for (uint64_t seq = 200; seq > 0; seq--)
		entries_add(&entries, slice_str("k"), seq, KEY_MERGE,
		            slice_str("operand"));
	entries_add(&entries, slice_str("l"), 1, KEY_PUT, slice_str("other"));
	ck_assert_int_eq(open_table(write_table(&entries, 100), &table),
	                 LSM_OK);
	for (uint64_t seq = 0; seq <= 201; seq++)
		check_get(table, &entries, slice_str("k"), seq, 1000);
	check_get(table, &entries, slice_str("k"), 150, 7);
	table_close(table);
	entries_release(&entries);
}
END_TEST

/* A key whose versions fill more than a part, so that several filters know it. */
START_TEST(versions_go_on_in_the_next_part)
{
	struct entries entries = {0};
	struct sst_part part;
	struct table *table;

	for (uint64_t seq = 2000; seq > 0; seq--)
		entries_add(&entries, slice_str("k"), seq, KEY_MERGE,
		            slice_str("operand"));
	entries_add(&entries, slice_str("l"), 1, KEY_PUT, slice_str("other"));
	ck_assert_int_eq(open_table(write_table(&entries, 1), &table), LSM_OK);
	ck_assert_uint_ge(read_parts(&part, 1), 5);
	ck_assert_uint_eq(faults_of(table), 0);
	for (uint64_t seq = 0; seq <= 2001; seq += 29)
		check_get(table, &entries, slice_str("k"), seq, 2000);
	for (uint64_t seq = 1; seq <= 2000; seq++)
		check_get(table, &entries, slice_str("k"), seq, 1);
	check_get(table, &entries, slice_str("l"), 1, 1);
	table_close(table);
	entries_release(&entries);
}
END_TEST

START_TEST(key_over_the_limit_is_in_no_table)
{
	uint8_t user[LSM_KEY_MAX_BYTES + 1] = {0};
	struct entries entries;
	struct table *table;

	entries_long_keys(&entries, 3);
	ck_assert_int_eq(open_table(write_table(&entries, 100), &table),
	                 LSM_OK);
	check_get(table, &entries, slice_make(user, sizeof(user)), 9, 1);
	check_get(table, &entries, slice_make(user, sizeof(user) - 1), 9, 1);
	table_close(table);
	entries_release(&entries);
}
END_TEST

START_TEST(absent_key_reads_the_filter_alone)
{
	struct expected expected = {.left = 1};
	struct cache_stats before, after;
	struct entries entries;
	struct table *table;
	bool stopped;

	entries_long_keys(&entries, 10);
	expected.entries = &entries;
	ck_assert_int_eq(open_table(write_table(&entries, 100), &table),
	                 LSM_OK);
	cache_stats(blocks, &before);
	ck_assert_int_eq(get_versions(table, slice_make("\0\0\0\7", 4), 5, see,
	                              &expected, &stopped),
	                 LSM_OK);
	cache_stats(blocks, &after);
	ck_assert_uint_eq(after.misses - before.misses, 1);
	/* Behind the last key there is no part, and so no filter. */
	ck_assert_int_eq(get_versions(table, slice_str("nowhere"), 5, see,
	                              &expected, &stopped),
	                 LSM_OK);
	cache_stats(blocks, &after);
	ck_assert_uint_eq(after.misses - before.misses, 1);
	ck_assert_uint_eq(after.hits, before.hits);
	table_close(table);
	entries_release(&entries);
}
END_TEST

/* Get the first key, and say how many blocks were looked up in the cache. */
static uint64_t lookups_of_get(struct table *table,
                               const struct entries *entries)
{
	struct expected expected = {.entries = entries, .left = 1, .ok = true};
	struct slice key = entry_key(entries, 0);
	struct cache_stats before, after;
	bool stopped;

	cache_stats(blocks, &before);
	ck_assert_int_eq(get_versions(table, key_user(key), key_seq(key), see,
	                              &expected, &stopped),
	                 LSM_OK);
	ck_assert(stopped && expected.ok);
	cache_stats(blocks, &after);
	return after.hits + after.misses - before.hits - before.misses;
}

START_TEST(filter_and_index_are_kept_if_there_is_room)
{
	enum { KEY_BYTES = LSM_KEY_MAX_BYTES };
	struct entries entries;
	struct table *table;
	uint64_t bytes;

	entries_long_keys(&entries, 4);
	bytes = write_table(&entries, 100);
	ck_assert_int_eq(open_table(bytes, &table), LSM_OK);
	ck_assert_uint_eq(lookups_of_get(table, &entries), 3);
	ck_assert_uint_eq(lookups_of_get(table, &entries), 1);
	table_close(table);

	/* Room for all blocks, and not to keep the index. */
	cache_destroy(blocks);
	ck_assert_int_eq(cache_create(12 * KEY_BYTES, 1, &blocks), LSM_OK);
	ck_assert_int_eq(open_table(bytes, &table), LSM_OK);
	ck_assert_uint_eq(lookups_of_get(table, &entries), 3);
	ck_assert_uint_eq(lookups_of_get(table, &entries), 2);
	ck_assert_uint_eq(lookups_of_get(table, &entries), 2);
	table_close(table);

	/* Nothing is kept where nothing is cached. */
	cache_destroy(blocks);
	ck_assert_int_eq(cache_create(0, 1, &blocks), LSM_OK);
	ck_assert_int_eq(open_table(bytes, &table), LSM_OK);
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(lookups_of_get(table, &entries), 3);
	table_close(table);
	new_block_cache();
	entries_release(&entries);
}
END_TEST

START_TEST(iterator_that_does_not_fill_leaves_the_cache_alone)
{
	struct cache_stats before, after;
	struct entries entries;
	struct table *table;
	struct iter *it;
	struct gen gen;

	gen_init(&gen, 31);
	entries_random(&entries, &gen, 300, 2, 60);
	ck_assert_int_eq(open_table(write_table(&entries, 256), &table),
	                 LSM_OK);
	check_get(table, &entries, key_user(entry_key(&entries, 0)), 2000, 1);
	cache_stats(blocks, &before);
	ck_assert_int_eq(table_iter(table, false, &it), LSM_OK);
	iter_seek_first(it);
	ck_assert(walk_matches(it, &entries, 0));
	iter_destroy(it);
	cache_stats(blocks, &after);
	ck_assert_uint_eq(after.used_bytes, before.used_bytes);
	/* What the get had read was found there. */
	ck_assert_uint_gt(after.hits, before.hits);
	table_close(table);
	entries_release(&entries);
}
END_TEST

START_TEST(read_info_gives_what_the_builder_said)
{
	struct table_info built, got;
	struct entries entries;
	struct table *table;
	struct gen gen;

	gen_init(&gen, 32);
	entries_random(&entries, &gen, 100, 3, 60);
	ck_assert_int_eq(write_table_as(table_id, &entries, 256, &built),
	                 LSM_OK);
	ck_assert_int_eq(open_table(built.file_bytes, &table), LSM_OK);
	ck_assert_int_eq(table_read_info(table, &got), LSM_OK);
	ck_assert_uint_eq(got.file_bytes, built.file_bytes);
	ck_assert_uint_eq(got.entries, built.entries);
	ck_assert_uint_eq(got.deletes, built.deletes);
	ck_assert_uint_eq(got.raw_bytes, built.raw_bytes);
	ck_assert_uint_eq(got.min_seq, built.min_seq);
	ck_assert_uint_eq(got.max_seq, built.max_seq);
	ck_assert(
	    slice_equal(buf_slice(&got.smallest), buf_slice(&built.smallest)));
	ck_assert(
	    slice_equal(buf_slice(&got.largest), buf_slice(&built.largest)));
	table_info_release(&got);
	table_info_release(&built);
	table_close(table);
	entries_release(&entries);
}
END_TEST

START_TEST(table_that_is_not_the_one_meant_is_refused)
{
	struct file_id other = {table_id.creator, table_id.number + 1};
	struct uuid stranger = {.bytes = {9}};
	struct entries entries;
	struct table *table;
	uint64_t bytes;

	entries_long_keys(&entries, 3);
	bytes = write_table(&entries, 100);
	ck_assert_int_eq(
	    table_open(pool, other, &family, bytes, blocks, &table),
	    LSM_ERR_CORRUPT);
	ck_assert_ptr_null(table);
	ck_assert_int_eq(
	    table_open(pool, table_id, &stranger, bytes, blocks, &table),
	    LSM_ERR_CORRUPT);
	ck_assert_ptr_null(table);
	ck_assert_int_eq(open_table(bytes + 1, &table), LSM_ERR_CORRUPT);
	ck_assert_int_eq(open_table(0, &table), LSM_ERR_CORRUPT);
	entries_release(&entries);
}
END_TEST

START_TEST(any_failing_operation_is_passed_up)
{
	struct entries entries;
	struct gen gen;
	uint64_t whole, nth;

	gen_init(&gen, 34);
	entries_random(&entries, &gen, 30, 2, 20);
	whole = write_table(&entries, 200);
	for (nth = 1;; nth++) {
		struct table *table;
		enum lsm_err err;
		bool done;

		new_block_cache();
		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		err = open_table(whole, &table);
		if (err == LSM_OK)
			ck_assert(get_matches(table, &entries,
			                      key_user(entry_key(&entries, 9)),
			                      2000, 100, &err));
		done = env_fault_count(fault) < nth;
		env_fault_arm(fault, 0, LSM_OK, false);
		ck_assert_int_eq(err, done ? LSM_OK : LSM_ERR_IO);
		if (table != NULL)
			check_gets(table, &entries, &gen, 20);
		table_close(table);
		if (done)
			break;
	}
	/* Open, size, header, footer, top index, filter, index, data. */
	ck_assert_uint_eq(nth, 9);
	entries_release(&entries);
}
END_TEST

START_TEST(any_failing_allocation_is_passed_up)
{
	struct entries entries;
	struct gen gen;
	uint64_t whole, nth = 0;
	bool fired;

	gen_init(&gen, 35);
	entries_random(&entries, &gen, 30, 2, 20);
	whole = write_table(&entries, 200);
	do {
		struct expected expected = {.entries = &entries, .left = 1};
		struct table *table;
		struct iter *it = NULL;
		enum lsm_err err;
		bool stopped;

		new_block_cache();
		alloc_fault_arm(++nth);
		err = open_table(whole, &table);
		if (err == LSM_OK)
			err = get_versions(table,
			                   key_user(entry_key(&entries, 9)),
			                   2000, see, &expected, &stopped);
		if (err == LSM_OK)
			err = table_iter(table, true, &it);
		if (err == LSM_OK) {
			iter_seek_first(it);
			while (iter_valid(it))
				iter_next(it);
			err = iter_status(it);
		}
		fired = alloc_fault_disarm();
		ck_assert_int_eq(err, fired ? LSM_ERR_NOMEM : LSM_OK);
		iter_destroy(it);
		table_close(table);
	} while (fired);
	ck_assert_uint_ge(nth, 15);
	entries_release(&entries);
}
END_TEST

enum { READERS = 4, GETS = 1500 };

struct reader {
	struct sync_thread thread;
	struct table *table;
	const struct entries *entries;
	uint64_t seed;
	bool ok;
};

/* Without an assertion: not on the test's thread. */
static void read_on(void *ctx)
{
	struct reader *reader = ctx;
	struct gen gen;

	gen_init(&gen, reader->seed);
	reader->ok = true;
	for (int i = 0; i < GETS; i++) {
		size_t at = (size_t)gen_below(&gen, reader->entries->count);
		struct slice key = entry_key(reader->entries, at);
		struct expected expected = {.entries = reader->entries,
		                            .next = at,
		                            .left = 1,
		                            .ok = true};
		bool stopped = false;

		/* The seek key sorts before all kinds of its sequence. */
		while (expected.next > 0 &&
		       slice_equal(key_user(key),
		                   key_user(entry_key(reader->entries,
		                                      expected.next - 1))) &&
		       key_seq(entry_key(reader->entries, expected.next - 1)) ==
		           key_seq(key))
			expected.next--;
		if (get_versions(reader->table, key_user(key), key_seq(key),
		                 see, &expected, &stopped) != LSM_OK ||
		    !stopped || !expected.ok)
			reader->ok = false;
	}
}

START_TEST(many_threads_read_through_a_small_cache)
{
	struct reader readers[READERS];
	struct entries entries;
	struct table *table;
	struct gen gen;
	uint64_t whole;

	gen_init(&gen, 36);
	entries_random(&entries, &gen, 400, 3, 60);
	whole = write_table(&entries, 256);
	cache_destroy(blocks);
	ck_assert_int_eq(cache_create(8192, 1, &blocks), LSM_OK);
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	for (int i = 0; i < READERS; i++) {
		readers[i].table = table;
		readers[i].entries = &entries;
		readers[i].seed = (uint64_t)i;
		ck_assert_int_eq(sync_thread_start(&readers[i].thread, "reader",
		                                   read_on, &readers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < READERS; i++) {
		sync_thread_join(&readers[i].thread);
		ck_assert(readers[i].ok);
	}
	table_close(table);
	entries_release(&entries);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table");
	TCase *whole = tcase_create("whole"), *bad = tcase_create("bad");

	tcase_add_checked_fixture(whole, setup, teardown);
	tcase_add_test(whole, random_tables_match_the_model);
	tcase_add_test(whole, table_of_many_parts_matches_the_model);
	tcase_add_test(whole, versions_go_on_in_the_next_block);
	tcase_add_test(whole, versions_go_on_in_the_next_part);
	tcase_add_test(whole, key_over_the_limit_is_in_no_table);
	tcase_add_test(whole, absent_key_reads_the_filter_alone);
	tcase_add_test(whole, filter_and_index_are_kept_if_there_is_room);
	tcase_add_test(whole,
	               iterator_that_does_not_fill_leaves_the_cache_alone);
	tcase_add_test(whole, read_info_gives_what_the_builder_said);
	tcase_add_test(whole, many_threads_read_through_a_small_cache);
	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_test(bad, table_that_is_not_the_one_meant_is_refused);
	tcase_add_test(bad, any_failing_operation_is_passed_up);
	tcase_add_test(bad, any_failing_allocation_is_passed_up);
	suite_add_tcase(suite, whole);
	suite_add_tcase(suite, bad);
	return run_suite(suite);
}
