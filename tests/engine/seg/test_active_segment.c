/* SPDX-License-Identifier: MIT */
/*
 * test_active_segment.c: what is placed side by side is read back before and after
 * the segment is finished; it is finished once nobody has room reserved; what fails
 * stays failed, but for a full disk.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/sync.h"
#include "seg/active_segment.h"
#include "seg/segment.h"
#include "tests/engine/seg/seg_kit.h"
#include "tests/support/env_fault.h"

enum { MAX_BYTES = 4096, VALUE_BYTES = 500, THREADS = 4, ROUNDS = 50 };

static const struct file_id id = {0x1234, 7};
static struct env *memory, *env;
static struct segment_source source;
static char name[FILE_NAME_MAX_BYTES];
static struct active_segment *segment;

static void setup(void)
{
	kit_open(&memory, &env, &source);
	file_name_format(FILE_KIND_SEGMENT, id, name);
	ck_assert_int_eq(active_segment_create(source.pool, id, &source.family,
	                                       MAX_BYTES, &segment),
	                 LSM_OK);
}

static void teardown(void)
{
	active_segment_unref(segment);
	kit_close(memory, env, &source);
}

static uint64_t frame_len(void)
{
	return frame_bytes(1, VALUE_BYTES);
}

static enum lsm_err reserve(uint64_t *offset_out)
{
	return active_segment_reserve(segment, frame_len(), 1, VALUE_BYTES,
	                              offset_out);
}

/* A frame of `letter`, many times over, where room is reserved. */
static enum lsm_err write_frame(char letter, uint64_t offset,
                                struct pointer *pointer)
{
	uint8_t bytes[FRAME_HEADER_BYTES + 1 + VALUE_BYTES];
	struct frame frame = {.codec = CODEC_RAW, .raw_len = VALUE_BYTES};

	memset(bytes, letter, sizeof(bytes));
	frame.user = slice_make(bytes + FRAME_HEADER_BYTES, 1);
	frame.stored = slice_make(bytes + FRAME_HEADER_BYTES + 1, VALUE_BYTES);
	frame_encode(&frame, id, offset, bytes, pointer);
	return active_segment_write(segment, offset,
	                            slice_make(bytes, sizeof(bytes)));
}

static enum lsm_err place(char letter, struct pointer *pointer)
{
	uint64_t offset;
	enum lsm_err err = reserve(&offset);

	if (err != LSM_OK)
		return err;
	err = write_frame(letter, offset, pointer);
	active_segment_let_go(segment);
	return err;
}

static void expect(char letter, const struct pointer *pointer)
{
	struct buf value = BUF_INIT;

	ck_assert_int_eq(
	    segment_read(&source, slice_make(&letter, 1), pointer, &value),
	    LSM_OK);
	ck_assert_uint_eq(value.len, VALUE_BYTES);
	for (size_t i = 0; i < value.len; i++)
		ck_assert_int_eq(value.data[i], letter);
	buf_release(&value);
}

static void report(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s\n", line);
}

static void expect_sound(uint64_t bytes)
{
	uint64_t faults = 0;

	ck_assert_int_eq(segment_probe(&source, id, bytes), LSM_OK);
	ck_assert_int_eq(
	    segment_verify(&source, id, bytes, report, NULL, &faults), LSM_OK);
	ck_assert_uint_eq(faults, 0);
}

START_TEST(frames_are_read_before_and_after_the_end)
{
	struct pointer a, b;
	uint64_t bytes, again;

	ck_assert_int_eq(place('a', &a), LSM_OK);
	expect('a', &a);
	ck_assert_int_eq(place('b', &b), LSM_OK);
	ck_assert_uint_eq(active_segment_bytes(segment),
	                  FILE_HEADER_BYTES + 2 * frame_len());
	ck_assert(active_segment_close(segment));
	ck_assert_int_eq(active_segment_finish(segment, &bytes), LSM_OK);
	ck_assert_int_eq(active_segment_finish(segment, &again), LSM_OK);
	ck_assert_uint_eq(bytes, again);
	expect_sound(bytes);
	expect('a', &a);
	expect('b', &b);
}
END_TEST

START_TEST(closed_or_full_one_takes_nothing)
{
	struct pointer pointer;
	uint64_t offset;
	enum lsm_err err;

	ck_assert_int_eq(reserve(&offset), LSM_OK);
	ck_assert(!active_segment_close(segment));
	ck_assert_int_eq(place('a', &pointer), LSM_ERR_BUSY);
	active_segment_reopen(segment);
	ck_assert_int_eq(write_frame('b', offset, &pointer), LSM_OK);
	active_segment_let_go(segment);
	do {
		err = place('a', &pointer);
	} while (err == LSM_OK);
	ck_assert_int_eq(err, LSM_ERR_BUSY);
	ck_assert_uint_le(active_segment_bytes(segment), MAX_BYTES);
	ck_assert_uint_gt(active_segment_bytes(segment) + frame_len(),
	                  MAX_BYTES);
	ck_assert(active_segment_close(segment));
}
END_TEST

START_TEST(first_frames_fit_whatever_they_are)
{
	uint64_t offset;

	ck_assert_int_eq(
	    active_segment_reserve(segment, 2 * MAX_BYTES, 1, 1, &offset),
	    LSM_OK);
	ck_assert_uint_eq(offset, FILE_HEADER_BYTES);
	active_segment_let_go(segment);
}
END_TEST

START_TEST(sync_makes_frames_durable)
{
	const struct env_mem_crash all_lost = {0, 1};
	struct pointer pointer;
	struct env *after;
	struct env_dir *root, *pool, *lived = source.pool;

	ck_assert_int_eq(env_dir_open(env, "/", &root), LSM_OK);
	ck_assert_int_eq(env_dir_sync(root), LSM_OK); /* it has the pool */
	env_dir_close(root);
	ck_assert_int_eq(env_dir_sync(source.pool), LSM_OK);

	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	ck_assert_int_eq(active_segment_sync(segment), LSM_OK);
	ck_assert_int_eq(env_mem_after_crash(memory, &all_lost, &after),
	                 LSM_OK);
	ck_assert_int_eq(env_dir_open(after, "/pool", &pool), LSM_OK);
	source.pool = pool;
	expect('a', &pointer);
	segment_forget(&source, id);
	source.pool = lived;
	env_dir_close(pool);
	env_mem_destroy(after);
}
END_TEST

static uint64_t operations_of_sync(void)
{
	env_fault_arm(env, 0, LSM_OK, false);
	ck_assert_int_eq(active_segment_sync(segment), LSM_OK);
	return env_fault_count(env);
}

START_TEST(only_what_is_new_is_synced)
{
	struct pointer pointer;
	uint64_t offset;

	ck_assert(active_segment_is_empty(segment));
	ck_assert_uint_eq(operations_of_sync(), 0);
	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	ck_assert(!active_segment_is_empty(segment));
	ck_assert_uint_eq(operations_of_sync(), 1);
	ck_assert_uint_eq(operations_of_sync(), 0);
	ck_assert_int_eq(reserve(&offset), LSM_OK);
	ck_assert_uint_eq(operations_of_sync(), 1); /* not of what comes yet */
	ck_assert_int_eq(write_frame('b', offset, &pointer), LSM_OK);
	active_segment_let_go(segment);
	ck_assert_uint_eq(operations_of_sync(), 1);
	ck_assert_uint_eq(operations_of_sync(), 0);
}
END_TEST

START_TEST(failures_stay_but_for_a_full_disk)
{
	struct pointer pointer;
	uint64_t offset, bytes;

	env_fault_arm(env, 1, LSM_ERR_NOSPACE, false);
	ck_assert_int_eq(place('a', &pointer), LSM_ERR_NOSPACE);
	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	ck_assert_int_eq(reserve(&offset), LSM_OK);
	env_fault_arm(env, 1, LSM_ERR_IO, false);
	ck_assert_int_eq(write_frame('b', offset, &pointer), LSM_ERR_IO);
	active_segment_let_go(segment);
	ck_assert_int_eq(place('c', &pointer), LSM_ERR_IO);
	ck_assert_int_eq(active_segment_sync(segment), LSM_ERR_IO);
	ck_assert(active_segment_close(segment));
	ck_assert_int_eq(active_segment_finish(segment, &bytes), LSM_ERR_IO);
}
END_TEST

START_TEST(full_disk_leaves_the_end_to_be_tried_again)
{
	struct pointer pointer;
	uint64_t bytes;

	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	ck_assert(active_segment_close(segment));
	env_fault_arm(env, 1, LSM_ERR_NOSPACE, false);
	ck_assert_int_eq(active_segment_finish(segment, &bytes),
	                 LSM_ERR_NOSPACE);
	ck_assert_int_eq(active_segment_finish(segment, &bytes), LSM_OK);
	expect_sound(bytes);
}
END_TEST

/* The second sync, or the end, comes while the first one fails. */
struct late {
	struct sync_thread thread;
	bool finishes;
	atomic_bool done;
	atomic_uint syncs;
	enum lsm_err err;
};

static void run_late(void *ctx)
{
	struct late *late = ctx;
	uint64_t bytes;

	late->err = late->finishes ? active_segment_finish(segment, &bytes)
	                           : active_segment_sync(segment);
	atomic_store(&late->done, true);
}

static struct fault_answer fail_first_sync(void *ctx,
                                           const struct fault_call *call)
{
	struct fault_answer answer = {LSM_OK, false};
	struct late *late = ctx;

	if (call->op != FAULT_SYNC || atomic_fetch_add(&late->syncs, 1) > 0)
		return answer;
	answer.err = sync_thread_start(&late->thread, "late", run_late, late);
	for (int i = 0; i < 100 && !atomic_load(&late->done); i++)
		sync_sleep_ns(1000000);
	if (answer.err == LSM_OK)
		answer.err = LSM_ERR_IO;
	return answer;
}

START_TEST(nobody_passes_a_sync_that_fails)
{
	struct late late = {.finishes = _i == 1};
	struct pointer pointer;

	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	ck_assert(active_segment_close(segment));
	env_fault_set_hook(env, fail_first_sync, &late);
	ck_assert_int_eq(active_segment_sync(segment), LSM_ERR_IO);
	sync_thread_join(&late.thread);
	env_fault_set_hook(env, NULL, NULL);
	ck_assert_int_eq(late.err, LSM_ERR_IO);
}
END_TEST

START_TEST(footer_needs_no_room_of_its_own)
{
	struct pointer pointer;
	uint64_t bytes;

	ck_assert_int_eq(place('a', &pointer), LSM_OK);
	env_mem_set_free(memory, 0);
	ck_assert(active_segment_close(segment));
	ck_assert_int_eq(active_segment_finish(segment, &bytes), LSM_OK);
	expect_sound(bytes);
}
END_TEST

/* ---- side by side ----------------------------------------------------------- */

struct placer {
	struct sync_thread thread;
	char letter;
	struct pointer placed[ROUNDS];
	unsigned count;
	enum lsm_err err;
};

static void run_placer(void *ctx)
{
	struct placer *placer = ctx;

	while (placer->err == LSM_OK && placer->count < ROUNDS) {
		placer->err =
		    place(placer->letter, &placer->placed[placer->count]);
		placer->count += placer->err == LSM_OK;
	}
}

START_TEST(several_place_until_it_is_full)
{
	struct placer placers[THREADS] = {0};
	uint64_t bytes, count = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		placers[i].letter = (char)('a' + i);
		ck_assert_int_eq(sync_thread_start(&placers[i].thread, "placer",
		                                   run_placer, &placers[i]),
		                 LSM_OK);
	}
	while (!active_segment_close(segment))
		active_segment_await_idle(segment);
	for (unsigned i = 0; i < THREADS; i++) {
		sync_thread_join(&placers[i].thread);
		ck_assert_int_eq(placers[i].err, LSM_ERR_BUSY);
		count += placers[i].count;
	}
	ck_assert_int_eq(active_segment_finish(segment, &bytes), LSM_OK);
	ck_assert_uint_eq(bytes, FILE_HEADER_BYTES + count * frame_len() +
	                             SEGMENT_FOOTER_BYTES);
	expect_sound(bytes);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned n = 0; n < placers[i].count; n++)
			expect(placers[i].letter, &placers[i].placed[n]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("active_segment");
	TCase *tc = tcase_create("active_segment");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, frames_are_read_before_and_after_the_end);
	tcase_add_test(tc, closed_or_full_one_takes_nothing);
	tcase_add_test(tc, first_frames_fit_whatever_they_are);
	tcase_add_test(tc, sync_makes_frames_durable);
	tcase_add_test(tc, only_what_is_new_is_synced);
	tcase_add_test(tc, failures_stay_but_for_a_full_disk);
	tcase_add_test(tc, full_disk_leaves_the_end_to_be_tried_again);
	tcase_add_loop_test(tc, nobody_passes_a_sync_that_fails, 0, 2);
	tcase_add_test(tc, footer_needs_no_room_of_its_own);
	tcase_add_test(tc, several_place_until_it_is_full);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
