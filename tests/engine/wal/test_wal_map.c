/* SPDX-License-Identifier: MIT */
/*
 * test_wal_map.c: when a log is stored to through a mapping, and that this is as
 * good as writing it.
 */
#include <stdlib.h>

#include "base/coding.h"
#include "tests/engine/wal/wal_kit.h"

/* How often the env was asked for what. */
static unsigned calls[FAULT_OPS];
static bool no_preallocation, no_map;

static struct fault_answer count_call(void *ctx, const struct fault_call *call)
{
	struct fault_answer answer = {.err = LSM_OK};

	(void)ctx;
	calls[call->op]++;
	if ((no_preallocation && call->op == FAULT_PREALLOCATE) ||
	    (no_map && call->op == FAULT_MAP))
		answer.err = LSM_ERR_NOT_SUPPORTED;
	return answer;
}

static void setup_counted(void)
{
	setup();
	memset(calls, 0, sizeof(calls));
	no_preallocation = false;
	no_map = false;
	env_fault_set_hook(fault, count_call, NULL);
}

enum { MANY = 40, LEAST_WRITTEN = 2, MOST_WRITTEN = 16 };

/* Append so many records of their numbers; how many of them were written. */
static unsigned append_many(struct wal_writer *writer, unsigned first,
                            unsigned count)
{
	unsigned before = calls[FAULT_WRITE];

	for (unsigned i = first; i < first + count; i++) {
		uint8_t number[4];

		put_u32(number, i);
		ck_assert_int_eq(wal_writer_reserve(writer, 100), LSM_OK);
		ck_assert_int_eq(append_one(writer, number, 4), LSM_OK);
	}
	return calls[FAULT_WRITE] - before;
}

static void expect_numbers(unsigned count)
{
	struct buf all = BUF_INIT;
	struct outcome got;

	for (unsigned i = 0; i < count; i++) {
		uint8_t number[4];

		put_u32(number, i);
		ck_assert_int_eq(append_prefixed(&all, slice_make(number, 4)),
		                 LSM_OK);
	}
	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert(slice_equal(buf_slice(&got.payloads), buf_slice(&all)));
	outcome_release(&got);
	buf_release(&all);
}

START_TEST(first_appends_after_a_sync_are_written_and_later_ones_stored)
{
	struct wal_writer *writer = new_log();
	unsigned written = append_many(writer, 0, MANY);

	ck_assert_uint_ge(written, LEAST_WRITTEN);
	ck_assert_uint_le(written, MOST_WRITTEN);
	ck_assert_uint_ge(calls[FAULT_STORE], MANY - written);
	ck_assert_uint_eq(append_many(writer, MANY, MANY), 0);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(append_many(writer, 2 * MANY, MANY), written);
	expect_numbers(3 * MANY);

	/* Who syncs each time never pays for a mapping. */
	calls[FAULT_STORE] = 0;
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
		ck_assert_uint_eq(append_many(writer, 3 * MANY + i, 1), 1);
	}
	ck_assert_uint_eq(calls[FAULT_STORE], 0);
	expect_numbers(4 * MANY);
	wal_writer_destroy(writer);
}
END_TEST

enum { PAGEFUL = 3000 };

/* Append as much and sync, so often; how many writes that took. */
static unsigned sync_many(struct wal_writer *writer, unsigned count)
{
	static const uint8_t data[PAGEFUL] = {1};
	unsigned before = calls[FAULT_WRITE];

	for (unsigned i = 0; i < count; i++) {
		ck_assert_int_eq(
		    wal_writer_reserve(writer, wal_record_bytes(PAGEFUL)),
		    LSM_OK);
		ck_assert_int_eq(append_one(writer, data, PAGEFUL), LSM_OK);
		ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	}
	return calls[FAULT_WRITE] - before;
}

static void expect_pagefuls(unsigned count)
{
	struct outcome got;

	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_eq(got.records, count);
	outcome_release(&got);
}

START_TEST(log_that_is_synced_often_is_written_ahead_with_zeros)
{
	enum { FEW = 3, ROOM = 200 << 10, ZERO_WRITES = 5, LASTS = 20 };
	struct wal_writer *writer = new_log();
	unsigned written;

	ck_assert_int_eq(wal_writer_reserve(writer, ROOM), LSM_OK);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(sync_many(writer, FEW), FEW);
	written = sync_many(writer, 1);
	ck_assert_uint_gt(written, 1);
	ck_assert_uint_le(written, 1 + ZERO_WRITES);
	ck_assert_uint_eq(sync_many(writer, LASTS), LASTS);
	expect_pagefuls(FEW + 1 + LASTS);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(log_without_reserved_room_is_not_written_ahead)
{
	struct wal_writer *writer;

	no_preallocation = true;
	writer = new_log();
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(sync_many(writer, MANY), MANY);
	expect_pagefuls(MANY);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(mapping_follows_the_log_as_it_grows)
{
	enum { COUNT = 4000 };
	struct wal_writer *writer = new_log();

	/* From 4 KiB by doubling, as the room is. */
	ck_assert_uint_le(append_many(writer, 0, COUNT), MOST_WRITTEN);
	ck_assert_uint_gt(calls[FAULT_MAP], 2);
	ck_assert_uint_le(calls[FAULT_MAP], 10);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_OK);
	expect_numbers(COUNT);
	wal_writer_destroy(writer);
	expect_numbers(COUNT);
}
END_TEST

START_TEST(room_is_made_ready_in_windows_that_end_where_they_divide_the_log)
{
	enum { COUNT = 700, VALUE_BYTES = 4000 };
	static uint8_t value[VALUE_BYTES];
	struct wal_writer *writer = new_log();
	struct buf all = BUF_INIT;
	struct outcome got;
	unsigned most;

	for (unsigned i = 0; i < COUNT; i++) {
		put_u32(value, i);
		ck_assert_int_eq(wal_writer_reserve(writer, VALUE_BYTES + 32),
		                 LSM_OK);
		ck_assert_int_eq(append_one(writer, value, VALUE_BYTES),
		                 LSM_OK);
		ck_assert_int_eq(
		    append_prefixed(&all, slice_make(value, VALUE_BYTES)),
		    LSM_OK);
	}
	/* Its doublings, then one window for each WAL_WINDOW_BYTES. */
	most = 8 + (unsigned)(wal_writer_size(writer) / WAL_WINDOW_BYTES);
	ck_assert_uint_gt(calls[FAULT_MAP], 4);
	ck_assert_uint_le(calls[FAULT_MAP], most);
	ck_assert_uint_le(calls[FAULT_WRITE], MOST_WRITTEN);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_OK);
	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert(slice_equal(buf_slice(&got.payloads), buf_slice(&all)));
	outcome_release(&got);
	buf_release(&all);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(large_groups_are_written)
{
	static uint8_t data[64 << 10];
	struct wal_writer *writer = new_log();

	append_many(writer, 0, MANY);
	calls[FAULT_WRITE] = 0;
	calls[FAULT_STORE] = 0;
	ck_assert_int_eq(wal_writer_reserve(writer, 2 * sizeof(data)), LSM_OK);
	ck_assert_int_eq(append_one(writer, data, sizeof(data)), LSM_OK);
	ck_assert_uint_eq(calls[FAULT_WRITE], 1);
	ck_assert_uint_eq(calls[FAULT_STORE], 0);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(log_that_cannot_be_mapped_is_written)
{
	struct wal_writer *writer = new_log();
	char name[FILE_NAME_MAX_BYTES];

	no_map = true;
	ck_assert_uint_eq(append_many(writer, 0, MANY), MANY);
	ck_assert_uint_eq(calls[FAULT_MAP], 1);
	wal_writer_destroy(writer);
	file_name_format(FILE_KIND_LOG, log_header.id, name);
	ck_assert_int_eq(env_unlink(pool, name), LSM_OK);

	/* Nor is one whose room is not its own. */
	no_map = false;
	no_preallocation = true;
	writer = new_log();
	ck_assert_uint_eq(append_many(writer, 0, MANY), MANY);
	ck_assert_uint_eq(calls[FAULT_MAP], 1);
	expect_numbers(MANY);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(nothing_is_appended_after_a_failed_store)
{
	struct wal_writer *writer = new_log();
	uint64_t size;

	append_many(writer, 0, MANY);
	size = wal_writer_size(writer);
	/* The payload: the header is there already. */
	env_fault_arm(fault, 2, LSM_ERR_IO, false);
	ck_assert_int_eq(append_one(writer, "two", 3), LSM_ERR_IO);
	ck_assert_int_eq(append_one(writer, "three", 5), LSM_ERR_IO);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_ERR_IO);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_ERR_IO);
	ck_assert_uint_eq(wal_writer_size(writer), size);
	wal_writer_destroy(writer);
	expect_numbers(MANY);
}
END_TEST

START_TEST(stored_records_are_lost_or_kept_by_a_power_cut_as_a_prefix)
{
	struct wal_writer *writer = new_log();
	struct outcome whole;
	uint64_t synced;

	append_many(writer, 0, MANY);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_int_eq(env_dir_sync(pool), LSM_OK);
	synced = wal_writer_synced(writer);
	append_many(writer, MANY, 20 * MANY);
	ck_assert_uint_gt(calls[FAULT_STORE], 20 * MANY);
	read_log(synced, &whole);
	for (uint64_t seed = 1; seed <= 32; seed++) {
		struct env_mem_crash crash = {seed == 1 ? 0 : 128, seed};
		struct env_dir *dir;
		struct env *after;
		struct outcome got;

		ck_assert_int_eq(env_mem_after_crash(mem, &crash, &after),
		                 LSM_OK);
		ck_assert_int_eq(env_dir_open(after, "/", &dir), LSM_OK);
		read_log_of(dir, synced, &got);
		ck_assert_int_eq(got.err, LSM_OK);
		ck_assert_uint_ge(got.end, synced);
		ck_assert(is_prefix(&got, &whole));
		if (seed == 1)
			ck_assert_uint_eq(got.records, MANY);
		outcome_release(&got);
		env_dir_close(dir);
		env_mem_destroy(after);
	}
	outcome_release(&whole);
	wal_writer_destroy(writer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wal_map");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup_counted, teardown);
	tcase_add_test(
	    tc, first_appends_after_a_sync_are_written_and_later_ones_stored);
	tcase_add_test(tc,
	               log_that_is_synced_often_is_written_ahead_with_zeros);
	tcase_add_test(tc, log_without_reserved_room_is_not_written_ahead);
	tcase_add_test(tc, mapping_follows_the_log_as_it_grows);
	tcase_add_test(
	    tc,
	    room_is_made_ready_in_windows_that_end_where_they_divide_the_log);
	tcase_add_test(tc, large_groups_are_written);
	tcase_add_test(tc, log_that_cannot_be_mapped_is_written);
	tcase_add_test(tc, nothing_is_appended_after_a_failed_store);
	tcase_add_test(
	    tc, stored_records_are_lost_or_kept_by_a_power_cut_as_a_prefix);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
