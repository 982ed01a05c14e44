/* SPDX-License-Identifier: MIT */
/*
 * test_wal_writer.c: what append and sync say is so, also when the disk fails
 * or the power does, and while both run at once.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/sync.h"
#include "tests/engine/wal/wal_kit.h"
#include "tests/support/alloc_fault.h"

/* How often the env was asked for what. */
static unsigned calls[FAULT_OPS];
static bool no_preallocation;

static struct fault_answer count_call(void *ctx, const struct fault_call *call)
{
	struct fault_answer answer = {.err = LSM_OK};

	(void)ctx;
	calls[call->op]++;
	if (no_preallocation && call->op == FAULT_PREALLOCATE)
		answer.err = LSM_ERR_NOT_SUPPORTED;
	return answer;
}

static void setup_counted(void)
{
	setup();
	memset(calls, 0, sizeof(calls));
	no_preallocation = false;
	env_fault_set_hook(fault, count_call, NULL);
}

static void expect_records(const char *const *texts, size_t count)
{
	struct buf all = BUF_INIT;
	struct outcome got;

	for (size_t i = 0; i < count; i++)
		ck_assert_int_eq(append_prefixed(&all, slice_str(texts[i])),
		                 LSM_OK);
	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_eq(got.records, count);
	ck_assert(slice_equal(buf_slice(&got.payloads), buf_slice(&all)));
	outcome_release(&got);
	buf_release(&all);
}

START_TEST(group_is_one_write_and_comes_back_in_order)
{
	static const char *const texts[] = {"alpha", "", "gamma"};
	struct slice group[3];
	struct wal_writer *writer = new_log();
	uint64_t size = wal_writer_size(writer);

	for (size_t i = 0; i < 3; i++) {
		group[i] = slice_str(texts[i]);
		size += 10 + group[i].len;
	}
	calls[FAULT_WRITE] = 0;
	ck_assert_int_eq(wal_writer_append(writer, group, 3), LSM_OK);
	ck_assert_uint_eq(calls[FAULT_WRITE], 1);
	ck_assert_uint_eq(wal_writer_size(writer), size);
	ck_assert(file_id_equal(wal_writer_id(writer), log_header.id));
	expect_records(texts, 3);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(new_log_is_durable_once_it_and_its_folder_are_synced)
{
	struct env_mem_crash crash = {.keep_per_256 = 0};
	struct wal_writer *writer = new_log();
	struct env_dir *dir;
	struct env *after;
	struct outcome got;

	ck_assert_uint_eq(wal_writer_size(writer), FILE_HEADER_BYTES);
	ck_assert_uint_eq(wal_writer_synced(writer), 0);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(wal_writer_synced(writer), FILE_HEADER_BYTES);
	ck_assert_int_eq(env_dir_sync(pool), LSM_OK);
	ck_assert_int_eq(env_mem_after_crash(mem, &crash, &after), LSM_OK);
	ck_assert_int_eq(env_dir_open(after, "/", &dir), LSM_OK);
	read_log_of(dir, FILE_HEADER_BYTES, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	env_dir_close(dir);
	env_mem_destroy(after);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(records_say_how_far_the_log_was_synced)
{
	struct wal_writer *writer = new_log();
	struct outcome got;
	uint64_t synced;

	ck_assert_int_eq(append_one(writer, "a", 1), LSM_OK);
	read_log(0, &got);
	ck_assert_uint_eq(got.promise, 0);
	outcome_release(&got);

	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	synced = wal_writer_synced(writer);
	ck_assert_uint_eq(synced, wal_writer_size(writer));
	ck_assert_int_eq(append_one(writer, "b", 1), LSM_OK);
	ck_assert_uint_eq(wal_writer_synced(writer), synced);
	read_log(0, &got);
	ck_assert_uint_eq(got.promise, synced);
	outcome_release(&got);
	wal_writer_destroy(writer);
}
END_TEST

/* Appends a record just before a sync reaches the disk. */
static struct fault_answer append_at_sync(void *ctx,
                                          const struct fault_call *call)
{
	struct fault_answer answer = {.err = LSM_OK};

	if (call->op == FAULT_SYNC)
		answer.err = append_one(ctx, "late", 4);
	return answer;
}

START_TEST(sync_answers_for_what_was_appended_before_it_alone)
{
	struct wal_writer *writer = new_log();
	uint64_t before;

	ck_assert_int_eq(append_one(writer, "early", 5), LSM_OK);
	before = wal_writer_size(writer);
	env_fault_set_hook(fault, append_at_sync, writer);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_gt(wal_writer_size(writer), before);
	ck_assert_uint_eq(wal_writer_synced(writer), before);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(sync_of_what_is_durable_asks_nothing_of_the_disk)
{
	struct wal_writer *writer = new_log();

	ck_assert_int_eq(append_one(writer, "a", 1), LSM_OK);
	calls[FAULT_SYNC] = 0;
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(calls[FAULT_SYNC], 1);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(sealed_log_is_read_only_and_can_be_synced)
{
	static const char *const texts[] = {"last"};
	struct wal_writer *writer = new_log();
	struct outcome got;

	ck_assert_int_eq(append_one(writer, "last", 4), LSM_OK);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_OK);
	ck_assert_uint_eq(calls[FAULT_SEAL], 1);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_uint_eq(wal_writer_synced(writer), wal_writer_size(writer));
	wal_writer_destroy(writer);
	expect_records(texts, 1);
	read_log(0, &got);
	ck_assert(got.sealed);
	outcome_release(&got);
}
END_TEST

START_TEST(second_log_of_a_name_is_refused_and_the_first_stays)
{
	struct wal_writer *first = new_log(), *second;

	ck_assert_int_eq(wal_writer_create(pool, &log_header, STEP, 4, &second),
	                 LSM_ERR_EXISTS);
	ck_assert_ptr_null(second);
	expect_records(NULL, 0);
	wal_writer_destroy(first);
}
END_TEST

START_TEST(idle_log_is_small_and_a_busy_one_asks_seldom)
{
	enum { RECORDS = 4000, LEN = 1000 };
	struct wal_writer *writer = new_log();
	uint8_t data[LEN] = {0};
	struct buf bytes;

	log_bytes(&bytes);
	ck_assert_uint_eq(bytes.len, STEP);
	buf_release(&bytes);
	for (int i = 0; i < RECORDS; i++) {
		ck_assert_int_eq(
		    wal_writer_reserve(writer, wal_record_bytes(LEN)), LSM_OK);
		ck_assert_int_eq(append_one(writer, data, LEN), LSM_OK);
	}
	/* 4 MB from 4 KiB by doubling. */
	ck_assert_uint_le(calls[FAULT_PREALLOCATE], 12);
	log_bytes(&bytes);
	ck_assert_uint_eq(bytes.len % STEP, 0);
	ck_assert_uint_le(bytes.len, 2 * wal_writer_size(writer));
	buf_release(&bytes);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(full_disk_is_met_by_reserve_and_heals)
{
	static const char *const texts[] = {"small", "after"};
	struct wal_writer *writer = new_log();

	env_mem_set_free(mem, 0);
	ck_assert_int_eq(wal_writer_reserve(writer, 1 << 20), LSM_ERR_NOSPACE);
	/* What the first step holds can still be had. */
	ck_assert_int_eq(wal_writer_reserve(writer, 1000), LSM_OK);
	ck_assert_int_eq(append_one(writer, "small", 5), LSM_OK);
	ck_assert_int_eq(wal_writer_reserve(writer, 1 << 20), LSM_ERR_NOSPACE);
	env_mem_set_free(mem, 4 << 20);
	ck_assert_int_eq(wal_writer_reserve(writer, 1 << 20), LSM_OK);
	ck_assert_int_eq(append_one(writer, "after", 5), LSM_OK);
	wal_writer_destroy(writer);
	expect_records(texts, 2);
}
END_TEST

START_TEST(reserve_takes_less_where_the_disk_has_little)
{
	struct wal_writer *writer = new_log();

	ck_assert_int_eq(wal_writer_reserve(writer, 100 * STEP), LSM_OK);
	/* It would like to double, which does not fit. */
	env_mem_set_free(mem, 2 * STEP);
	ck_assert_int_eq(wal_writer_reserve(writer, 101 * STEP), LSM_OK);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(reserved_room_holds_the_end_record_too)
{
	const size_t len = STEP - FILE_HEADER_BYTES - 2 * wal_record_bytes(0);
	uint8_t *data = calloc(1, len);
	struct wal_writer *writer = new_log();

	ck_assert_int_eq(wal_writer_reserve(writer, wal_record_bytes(len)),
	                 LSM_OK);
	env_mem_set_free(mem, 0);
	ck_assert_int_eq(append_one(writer, data, len), LSM_OK);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_OK);
	wal_writer_destroy(writer);
	free(data);
}
END_TEST

START_TEST(log_goes_on_where_nothing_can_be_preallocated)
{
	static const char *const texts[] = {"x"};
	struct wal_writer *writer;

	no_preallocation = true;
	writer = new_log();
	ck_assert_int_eq(wal_writer_reserve(writer, 1 << 20), LSM_OK);
	ck_assert_int_eq(append_one(writer, "x", 1), LSM_OK);
	ck_assert_uint_eq(calls[FAULT_PREALLOCATE], 1);
	wal_writer_destroy(writer);
	expect_records(texts, 1);
}
END_TEST

/* The life of a log, until something fails. */
static enum lsm_err whole_life(struct wal_writer **writer_out)
{
	struct wal_writer *writer;
	enum lsm_err err;

	err = wal_writer_create(pool, &log_header, STEP, 4, &writer);
	*writer_out = writer;
	if (err == LSM_OK)
		err = append_one(writer, "one", 3);
	if (err == LSM_OK)
		err = wal_writer_sync(writer);
	if (err == LSM_OK)
		err = wal_writer_reserve(writer, 2 * STEP);
	if (err == LSM_OK)
		err = append_one(writer, "two", 3);
	if (err == LSM_OK)
		err = wal_writer_seal(writer);
	if (err == LSM_OK)
		err = wal_writer_sync(writer);
	return err;
}

static void remove_log(void)
{
	char name[FILE_NAME_MAX_BYTES];

	file_name_format(FILE_KIND_LOG, log_header.id, name);
	ck_assert_int_eq(env_unlink(pool, name), LSM_OK);
}

START_TEST(any_failing_operation_is_reported_and_leaves_whole_records)
{
	enum lsm_err err;
	uint64_t nth = 0;

	do {
		struct wal_writer *writer;
		struct outcome got;

		env_fault_arm(fault, ++nth, LSM_ERR_IO, false);
		err = whole_life(&writer);
		env_fault_arm(fault, 0, LSM_OK, false);
		ck_assert(err == LSM_OK || err == LSM_ERR_IO);
		read_log(0, &got);
		if (writer == NULL) {
			ck_assert_int_eq(got.err, LSM_ERR_NOT_FOUND);
		} else {
			ck_assert_int_eq(got.err, LSM_OK);
			wal_writer_destroy(writer);
			remove_log();
		}
		outcome_release(&got);
	} while (err != LSM_OK);
	ck_assert_uint_ge(nth, 10);
}
END_TEST

START_TEST(nothing_is_appended_after_a_failed_append)
{
	static const char *const texts[] = {"one"};
	struct wal_writer *writer = new_log();
	uint64_t size;

	ck_assert_int_eq(append_one(writer, "one", 3), LSM_OK);
	size = wal_writer_size(writer);
	env_fault_arm(fault, 1, LSM_ERR_NOSPACE, false);
	ck_assert_int_eq(append_one(writer, "two", 3), LSM_ERR_NOSPACE);
	calls[FAULT_WRITE] = 0;
	calls[FAULT_SYNC] = 0;
	ck_assert_int_eq(append_one(writer, "three", 5), LSM_ERR_NOSPACE);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_ERR_NOSPACE);
	ck_assert_int_eq(wal_writer_reserve(writer, 1), LSM_ERR_NOSPACE);
	ck_assert_int_eq(wal_writer_seal(writer), LSM_ERR_NOSPACE);
	ck_assert_uint_eq(calls[FAULT_WRITE] + calls[FAULT_SYNC], 0);
	ck_assert_uint_eq(wal_writer_size(writer), size);
	wal_writer_destroy(writer);
	expect_records(texts, 1);
}
END_TEST

START_TEST(failed_sync_is_never_tried_again)
{
	struct wal_writer *writer = new_log();

	ck_assert_int_eq(append_one(writer, "one", 3), LSM_OK);
	env_fault_arm(fault, 1, LSM_ERR_IO, false);
	ck_assert_int_eq(wal_writer_sync(writer), LSM_ERR_IO);
	calls[FAULT_SYNC] = 0;
	ck_assert_int_eq(wal_writer_sync(writer), LSM_ERR_IO);
	ck_assert_int_eq(append_one(writer, "two", 3), LSM_ERR_IO);
	ck_assert_uint_eq(calls[FAULT_SYNC], 0);
	ck_assert_uint_eq(wal_writer_synced(writer), 0);
	wal_writer_destroy(writer);
}
END_TEST

START_TEST(any_failing_allocation_is_reported)
{
	struct env_dir *wrapped = pool;
	enum lsm_err err;
	uint64_t nth = 0;
	bool fired;

	/* Without the wrapper, whose own allocations fail after the fact. */
	ck_assert_int_eq(env_dir_open(mem, "/", &pool), LSM_OK);
	do {
		struct wal_writer *writer;

		alloc_fault_arm(++nth);
		err = whole_life(&writer);
		fired = alloc_fault_disarm();
		ck_assert_int_eq(err, fired ? LSM_ERR_NOMEM : LSM_OK);
		if (writer != NULL) {
			wal_writer_destroy(writer);
			remove_log();
		}
	} while (fired);
	ck_assert_uint_ge(nth, 3);
	env_dir_close(pool);
	pool = wrapped;
}
END_TEST

enum { APPENDS = 3000, SYNCERS = 3 };

struct syncer {
	struct sync_thread thread;
	struct wal_writer *writer;
	atomic_bool *done;
	bool ok;
};

static void sync_on(void *ctx)
{
	struct syncer *syncer = ctx;

	syncer->ok = true;
	while (!atomic_load(syncer->done)) {
		uint64_t before = wal_writer_size(syncer->writer);

		if (wal_writer_sync(syncer->writer) != LSM_OK ||
		    wal_writer_synced(syncer->writer) < before)
			syncer->ok = false;
	}
}

/* Whether a power cut now leaves all that is said to be synced. */
static void check_crash(struct wal_writer *writer, uint64_t seed)
{
	struct env_mem_crash crash = {.keep_per_256 = 64, .seed = seed};
	uint64_t synced = wal_writer_synced(writer);
	struct env_dir *dir;
	struct env *after;
	struct outcome got;

	ck_assert_int_eq(env_mem_after_crash(mem, &crash, &after), LSM_OK);
	ck_assert_int_eq(env_dir_open(after, "/", &dir), LSM_OK);
	read_log_of(dir, synced, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_ge(got.end, synced);
	outcome_release(&got);
	env_dir_close(dir);
	env_mem_destroy(after);
}

START_TEST(appends_and_syncs_go_on_at_once)
{
	struct syncer syncers[SYNCERS];
	struct wal_writer *writer = new_log();
	atomic_bool done = false;
	struct outcome got;
	uint8_t data[100] = {7};

	env_fault_set_hook(fault, NULL, NULL); /* it counts without a lock */
	ck_assert_int_eq(wal_writer_sync(writer), LSM_OK);
	ck_assert_int_eq(env_dir_sync(pool), LSM_OK);
	for (int i = 0; i < SYNCERS; i++) {
		syncers[i].writer = writer;
		syncers[i].done = &done;
		ck_assert_int_eq(sync_thread_start(&syncers[i].thread, "syncer",
		                                   sync_on, &syncers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < APPENDS; i++) {
		ck_assert_int_eq(wal_writer_reserve(writer, 200), LSM_OK);
		ck_assert_int_eq(append_one(writer, data, sizeof(data)),
		                 LSM_OK);
		if (i % 500 == 0)
			check_crash(writer, (uint64_t)i);
	}
	atomic_store(&done, true);
	for (int i = 0; i < SYNCERS; i++) {
		sync_thread_join(&syncers[i].thread);
		ck_assert(syncers[i].ok);
	}
	read_log(0, &got);
	ck_assert_int_eq(got.err, LSM_OK);
	ck_assert_uint_eq(got.records, APPENDS);
	outcome_release(&got);
	wal_writer_destroy(writer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wal_writer");
	TCase *tc = tcase_create("log");

	tcase_add_checked_fixture(tc, setup_counted, teardown);
	tcase_add_test(tc, group_is_one_write_and_comes_back_in_order);
	tcase_add_test(
		tc, new_log_is_durable_once_it_and_its_folder_are_synced);
	tcase_add_test(tc, records_say_how_far_the_log_was_synced);
	tcase_add_test(tc, sync_answers_for_what_was_appended_before_it_alone);
	tcase_add_test(tc, sync_of_what_is_durable_asks_nothing_of_the_disk);
	tcase_add_test(tc, sealed_log_is_read_only_and_can_be_synced);
	tcase_add_test(tc, second_log_of_a_name_is_refused_and_the_first_stays);
	tcase_add_test(tc, idle_log_is_small_and_a_busy_one_asks_seldom);
	tcase_add_test(tc, full_disk_is_met_by_reserve_and_heals);
	tcase_add_test(tc, reserve_takes_less_where_the_disk_has_little);
	tcase_add_test(tc, reserved_room_holds_the_end_record_too);
	tcase_add_test(tc, log_goes_on_where_nothing_can_be_preallocated);
	tcase_add_test(
	    tc, any_failing_operation_is_reported_and_leaves_whole_records);
	tcase_add_test(tc, nothing_is_appended_after_a_failed_append);
	tcase_add_test(tc, failed_sync_is_never_tried_again);
	tcase_add_test(tc, any_failing_allocation_is_reported);
	tcase_add_test(tc, appends_and_syncs_go_on_at_once);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
