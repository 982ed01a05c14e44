/* SPDX-License-Identifier: MIT */
/*
 * test_direct.c: large values of a batch are in a segment once it is written, the
 * log leads to them, and both survive together or not at all.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"
#include "io/file_header.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/gen.h"

enum {
	LARGE = 9000, /* bytes of a value, incompressible */
	PER_BATCH = 4,
	BATCHES = 24,
	TURNS = 20, /* crashes */
	SMALL_DISK = 4 << 20,
	WRITERS = 3,
	FORKS = 12,
};

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.options.segment_min_bytes = 1 << 10;
	kit.options.direct_min_bytes = PER_BATCH * LARGE;
	kit.options.memtable_bytes = 4 << 20;
	kit.runtime_options.credit_bytes = 16 << 20;
	kit.runtime_options.sync_period_ms = 0;
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static struct slice key_of(unsigned batch, unsigned i)
{
	static char key[32];

	snprintf(key, sizeof(key), "key%04u-%u", batch, i);
	return slice_str(key);
}

static void value_of(unsigned batch, unsigned i, struct buf *value)
{
	struct gen own;

	gen_init(&own, UINT64_C(1000) * batch + i);
	ASSERT_OK(buf_resize(value, LARGE));
	gen_bytes(&own, value->data, value->len);
}

/* A batch of `count` large values, and one small. */
static struct lsm_batch *make_batch(unsigned number, unsigned count)
{
	struct buf value = BUF_INIT;
	struct lsm_batch *batch;

	ASSERT_OK(lsm_batch_create(&batch));
	for (unsigned i = 0; i < count; i++) {
		value_of(number, i, &value);
		ASSERT_OK(
		    lsm_batch_put(batch, key_of(number, i), buf_slice(&value)));
	}
	ASSERT_OK(
	    lsm_batch_put(batch, key_of(number, count), slice_str("small")));
	lsm_batch_count(batch, 0, 1);
	buf_release(&value);
	return batch;
}

static enum lsm_err write_batch(struct lsm *store, unsigned number,
                                unsigned count)
{
	struct lsm_batch *batch = make_batch(number, count);
	enum lsm_err err = lsm_write(store, batch, NULL, NULL);

	lsm_batch_destroy(batch);
	return err;
}

static void write_batches(unsigned from, unsigned to)
{
	for (unsigned b = from; b < to; b++)
		ASSERT_OK(write_batch(kit.store, b, PER_BATCH));
}

/* All of the batch is there, or nothing: which. */
static bool has_batch(struct lsm *store, unsigned number)
{
	struct buf value = BUF_INIT, found = BUF_INIT;
	unsigned there = 0;

	for (unsigned i = 0; i < PER_BATCH; i++) {
		enum lsm_err err =
		    lsm_get(store, NULL, key_of(number, i), &found);

		if (err == LSM_ERR_NOT_FOUND)
			continue;
		ASSERT_OK(err);
		value_of(number, i, &value);
		ck_assert(slice_equal(buf_slice(&value), buf_slice(&found)));
		there++;
	}
	ck_assert(there == 0 || there == PER_BATCH);
	buf_release(&value);
	buf_release(&found);
	return there > 0;
}

static void expect_batches(struct lsm *store, unsigned from, unsigned to)
{
	for (unsigned b = from; b < to; b++)
		ck_assert(has_batch(store, b));
}

static size_t segment_files(void)
{
	return kit_files(kit.env, KIT_POOL, ".seg");
}

static void expect_sound(struct lsm *store)
{
	ck_assert_uint_eq(kit_faults(store), 0);
}

START_TEST(large_batch_is_in_a_segment_before_any_flush)
{
	struct lsm_stats stats;

	write_batches(0, 3);
	ck_assert_uint_eq(segment_files(), 1);
	lsm_stats(kit.store, &stats);
	ck_assert_uint_ge(stats.segments.bytes_written, 3 * PER_BATCH * LARGE);
	expect_batches(kit.store, 0, 3);
	expect_sound(kit.store);

	/* The flush takes it over as it is. */
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(segment_files(), 1);
	expect_batches(kit.store, 0, 3);
	expect_sound(kit.store);
	kit_reopen(&kit);
	ck_assert_uint_eq(segment_files(), 1);
	expect_batches(kit.store, 0, 3);
	expect_sound(kit.store);
}
END_TEST

START_TEST(small_batch_stays_in_the_log)
{
	ASSERT_OK(write_batch(kit.store, 0, PER_BATCH - 1));
	ck_assert_uint_eq(segment_files(), 0);
}
END_TEST

static uint64_t placed_bytes(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.segments.bytes_written;
}

START_TEST(who_syncs_after_every_batch_has_it_in_the_log)
{
	uint64_t before;

	write_batches(0, 1);
	before = placed_bytes();
	ck_assert_uint_gt(before, 0);
	for (unsigned b = 1; b < 4; b++) {
		ASSERT_OK(lsm_sync(kit.store));
		write_batches(b, b + 1);
	}
	ck_assert_uint_eq(placed_bytes(), before);
	write_batches(4, 8); /* long since the last */
	ck_assert_uint_gt(placed_bytes(), before);
	expect_batches(kit.store, 0, 8);
	ASSERT_OK(lsm_flush(kit.store));
	expect_batches(kit.store, 0, 8);
	expect_sound(kit.store);
}
END_TEST

START_TEST(death_of_the_process_loses_nothing)
{
	write_batches(0, BATCHES);
	kit_crash(&kit, 256, 1);
	kit_open(&kit);
	expect_batches(kit.store, 0, BATCHES);
	ck_assert_int_eq(lsm_counter(kit.store, 0), BATCHES);
	expect_sound(kit.store);
}
END_TEST

/* What was synced is there, and of the rest a prefix. */
START_TEST(power_cut_leaves_a_prefix)
{
	uint64_t seed = gen_seed(4711);

	kit_log_begin();
	for (unsigned turn = 0; turn < TURNS; turn++) {
		unsigned from = turn * BATCHES, synced = from + turn % BATCHES;
		bool more = true;

		write_batches(from, synced);
		ASSERT_OK(lsm_sync(kit.store));
		write_batches(synced, from + BATCHES);
		kit_crash(&kit, turn % 3 == 0 ? 0 : 128, seed + turn);
		kit_open(&kit);
		expect_batches(kit.store, from, synced);
		for (unsigned b = synced; b < from + BATCHES; b++) {
			bool has = has_batch(kit.store, b);

			ck_assert(more || !has);
			more = has;
		}
		expect_sound(kit.store);
	}
	/* What the disk never had is cut, and that is no error. */
	ck_assert(kit_log_has("cut at offset", ".wal"));
	ck_assert_uint_eq(kit_log_errors(), 0);
}
END_TEST

START_TEST(lost_frame_that_was_promised_is_refused)
{
	struct kit_names names;

	write_batches(0, 2);
	ASSERT_OK(lsm_sync(kit.store));
	write_batches(2, 3); /* says that those were durable */
	kit_crash(&kit, 256, 1);
	kit_list(kit.env, KIT_POOL, ".seg", &names);
	ck_assert_uint_eq(names.count, 1);
	kit_flip(kit.env, KIT_POOL, names.name[0], FILE_HEADER_BYTES + LARGE);
	kit_log_begin();
	ASSERT_ERR(kit_try_open(&kit), LOST);
	ck_assert_uint_gt(kit_log_errors(), 0);
	kit_flip(kit.env, KIT_POOL, names.name[0], FILE_HEADER_BYTES + LARGE);
	kit_open(&kit);
	expect_batches(kit.store, 0, 3);
}
END_TEST

START_TEST(full_segment_rolls)
{
	env_mem_set_free(kit.mem, SMALL_DISK);
	write_batches(0, BATCHES);
	ck_assert_uint_gt(segment_files(), 1);
	expect_batches(kit.store, 0, BATCHES);
	expect_sound(kit.store);
	kit_reopen(&kit);
	expect_batches(kit.store, 0, BATCHES);
	expect_sound(kit.store);
}
END_TEST

/* Pointers would take long to fill a memtable, and longer to be merged. */
START_TEST(what_is_placed_over_soon_goes)
{
	struct lsm_stats stats;

	kit.options.memtable_bytes = 64 << 10;
	kit.options.level_base_bytes = 512 << 10;
	kit_reopen(&kit);
	for (unsigned round = 0; round < 6; round++)
		write_batches(0, BATCHES);
	ASSERT_OK(lsm_flush(kit.store));
	do {
		lsm_stats(kit.store, &stats);
	} while (stats.jobs > 0);
	ck_assert_uint_ge(stats.segments.live_bytes,
	                  BATCHES * PER_BATCH * LARGE);
	ck_assert_uint_lt(stats.segments.garbage_bytes,
	                  stats.segments.live_bytes);
	KIT_WAIT_UNTIL(segment_files() <= stats.segments.files + 1);
	expect_batches(kit.store, 0, BATCHES);
	expect_sound(kit.store);
}
END_TEST

static bool spare_has_segment(void)
{
	bool has;

	sync_lock(&kit.store->manifest_mu);
	has = kit.store->spare_segment != NULL;
	sync_unlock(&kit.store->manifest_mu);
	return has;
}

START_TEST(segment_of_a_log_made_ahead_may_stay_unused)
{
	struct lsm_fork_info info;
	struct lsm *child;

	env_mem_set_free(kit.mem, SMALL_DISK);
	write_batches(0, 5); /* over half of a segment */
	KIT_WAIT_UNTIL(spare_has_segment());
	ck_assert_uint_eq(segment_files(), 2);
	ASSERT_OK(lsm_flush(kit.store));
	kit_put(kit.store, "small", "1");
	ck_assert(!spare_has_segment());
	ASSERT_OK(lsm_sync(kit.store));

	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_NOSPACE, -1);
	ASSERT_OK(lsm_export(kit.store, "/child", &info));
	kit_heal(&kit);
	ck_assert_uint_eq(kit_files(kit.env, "/child/pool", ".seg"), 1);
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	kit_expect(child, "small", "1");
	ASSERT_OK(lsm_close(child));

	ASSERT_OK(lsm_flush(kit.store));
	KIT_WAIT_UNTIL(segment_files() == 1);
	expect_batches(kit.store, 0, 5);
	expect_sound(kit.store);
	kit_reopen(&kit);
	kit_expect(kit.store, "small", "1");
	expect_batches(kit.store, 0, 5);
}
END_TEST

/* ---- branches ------------------------------------------------------------- */

static struct lsm *fork_to(const char *name)
{
	kit_fork(kit.store, name);
	return kit_branch(&kit, name);
}

START_TEST(branches_share_what_was_placed)
{
	struct lsm *child;

	write_batches(0, 3);
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_NOSPACE, -1);
	child = fork_to("child");
	expect_batches(child, 0, 3);
	ASSERT_OK(write_batch(child, 3, PER_BATCH));
	write_batches(4, 5);
	ck_assert_uint_eq(segment_files(), 3);
	ck_assert(!has_batch(kit.store, 3));
	ck_assert(!has_batch(child, 4));
	kit_heal(&kit);
	ASSERT_OK(lsm_flush(child));
	ASSERT_OK(lsm_flush(kit.store));
	ck_assert_uint_eq(segment_files(), 3);
	expect_batches(child, 0, 4);
	expect_batches(kit.store, 4, 5);
	expect_sound(kit.store);
	ASSERT_OK(lsm_close(child));

	kit_reopen(&kit);
	expect_batches(kit.store, 0, 3);
	ASSERT_OK(lsm_branch_delete(kit.store, "child", false));
	KIT_WAIT_UNTIL(segment_files() == 2);
	expect_batches(kit.store, 0, 3);
	expect_sound(kit.store);
}
END_TEST

START_TEST(log_with_a_segment_is_replayed_for_all_that_name_it)
{
	struct lsm *child;

	write_batches(0, 3);
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_NOSPACE, -1);
	kit_fork(kit.store, "child");
	write_batches(3, 4);
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	expect_batches(kit.store, 0, 3);
	child = kit_branch(&kit, "child");
	expect_batches(child, 0, 3);
	expect_sound(kit.store);
	ASSERT_OK(lsm_close(child));
}
END_TEST

struct writer {
	struct sync_thread thread;
	struct lsm_batch *batches[BATCHES];
	enum lsm_err err;
};

static void run_writer(void *ctx)
{
	struct writer *writer = ctx;

	for (unsigned b = 0; b < BATCHES && writer->err == LSM_OK; b++)
		writer->err =
		    lsm_write(kit.store, writer->batches[b], NULL, NULL);
}

/* Of each writer a prefix, and as many batches as the counter says. */
static void expect_prefixes(struct lsm *branch)
{
	int64_t there = 0;

	for (unsigned w = 0; w < WRITERS; w++) {
		bool more = true;

		for (unsigned b = 0; b < BATCHES; b++) {
			bool has = has_batch(branch, w * BATCHES + b);

			ck_assert(more || !has);
			more = has;
			there += has;
		}
	}
	ck_assert_int_eq(lsm_counter(branch, 0), there);
}

START_TEST(forks_while_frames_are_in_flight)
{
	struct writer writers[WRITERS] = {0};
	char name[32];

	for (unsigned w = 0; w < WRITERS; w++)
		for (unsigned b = 0; b < BATCHES; b++)
			writers[w].batches[b] =
			    make_batch(w * BATCHES + b, PER_BATCH);
	for (unsigned w = 0; w < WRITERS; w++)
		ASSERT_OK(sync_thread_start(&writers[w].thread, "writer",
		                            run_writer, &writers[w]));
	for (unsigned f = 0; f < FORKS; f++) {
		snprintf(name, sizeof(name), "fork%u", f);
		kit_fork(kit.store, name);
	}
	for (unsigned w = 0; w < WRITERS; w++) {
		sync_thread_join(&writers[w].thread);
		ASSERT_OK(writers[w].err);
		for (unsigned b = 0; b < BATCHES; b++)
			lsm_batch_destroy(writers[w].batches[b]);
	}
	expect_batches(kit.store, 0, WRITERS * BATCHES);
	for (unsigned f = 0; f < FORKS; f++) {
		struct lsm *branch;

		snprintf(name, sizeof(name), "fork%u", f);
		branch = kit_branch(&kit, name);
		expect_prefixes(branch);
		ASSERT_OK(lsm_close(branch));
	}
	expect_sound(kit.store);
}
END_TEST

START_TEST(export_takes_the_segment_beside_the_log)
{
	struct lsm_fork_info info;
	struct lsm *child;

	write_batches(0, 3);
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_NOSPACE, 1000000);
	ASSERT_OK(lsm_export(kit.store, "/child", &info));
	kit_heal(&kit);
	ASSERT_OK(lsm_open(kit.runtime, "/child", &kit.options, &child));
	expect_batches(child, 0, 3);
	expect_sound(child);
	ASSERT_OK(lsm_close(child));
	expect_batches(kit.store, 0, 3);
}
END_TEST

START_TEST(failed_write_of_frames_poisons)
{
	write_batches(0, 1);
	kit_fail(&kit, FAULT_WRITE, ".seg", LSM_ERR_IO, 1);
	ASSERT_ERR(write_batch(kit.store, 1, PER_BATCH), POISONED);
	kit_heal(&kit);
	ASSERT_ERR(write_batch(kit.store, 2, 1), POISONED);
	expect_batches(kit.store, 0, 1);
	kit_crash(&kit, 256, 1);
	kit_open(&kit);
	expect_batches(kit.store, 0, 1);
	ck_assert(!has_batch(kit.store, 1));
}
END_TEST

START_TEST(failed_sync_of_frames_poisons)
{
	write_batches(0, 1);
	kit_fail(&kit, FAULT_SYNC, ".seg", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_sync(kit.store), POISONED);
	kit_heal(&kit);
	ASSERT_ERR(lsm_sync(kit.store), POISONED);
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	ck_assert(!has_batch(kit.store, 0));
}
END_TEST

START_TEST(without_room_for_frames_the_log_takes_them)
{
	kit_fail(&kit, FAULT_PREALLOCATE, ".seg", LSM_ERR_NOSPACE, 1);
	write_batches(0, 2);
	kit_heal(&kit);
	expect_batches(kit.store, 0, 2);
	ASSERT_OK(lsm_flush(kit.store));
	expect_batches(kit.store, 0, 2);
	expect_sound(kit.store);
}
END_TEST

/* Until the disk is full to the last byte: what was acknowledged stays, and once
   there is room again all goes on. */
START_TEST(full_disk_while_placing_heals)
{
	unsigned written = 0;

	kit_log_begin();
	for (unsigned round = 0; round < TURNS; round++) {
		enum lsm_err err = LSM_OK;

		env_mem_set_free(kit.mem, round * 7919 * PER_BATCH);
		for (unsigned b = 0; b < BATCHES && err == LSM_OK; b++) {
			err = write_batch(kit.store, written, PER_BATCH);
			ck_assert(err == LSM_OK || err == LSM_ERR_NOSPACE);
			written += err == LSM_OK;
		}
		err = lsm_flush(kit.store);
		ck_assert(err == LSM_OK || err == LSM_ERR_NOSPACE);
		env_mem_set_free(kit.mem, UINT32_MAX);
		KIT_WAIT_UNTIL(kit_try_put(kit.store, "healed", "1") == LSM_OK);
	}
	ck_assert_uint_gt(written, 0);
	expect_batches(kit.store, 0, written);
	expect_sound(kit.store);
	kit_reopen(&kit);
	expect_batches(kit.store, 0, written);
	ck_assert_int_eq(lsm_counter(kit.store, 0), written);
}
END_TEST

/* ---- the Nth failure -------------------------------------------------------- */

/* Two batches, a sync, a flush, with the Nth operation failing; whether there were
   as many. What was acknowledged survives the death of the process, and a power cut
   if it was synced too. */
static bool fail_nth(unsigned nth, enum lsm_err with)
{
	enum lsm_err written[2], synced, flushed;
	bool reached;

	setup();
	kit_log_begin();
	kit_fail(&kit, FAULT_OPS, "", with, 0);
	atomic_store(&kit.fault.skip, (int)nth - 1);
	atomic_store(&kit.fault.times, 1);
	for (unsigned b = 0; b < 2; b++)
		written[b] = write_batch(kit.store, b, PER_BATCH);
	synced = lsm_sync(kit.store);
	flushed = lsm_flush(kit.store);
	reached = atomic_load(&kit.fault.met) > 0;
	kit_crash(&kit, nth % 2 == 0 ? 0 : 256, nth);
	kit_open(&kit);
	for (unsigned b = 0; b < 2; b++) {
		bool must =
		    written[b] == LSM_OK &&
		    (nth % 2 != 0 || synced == LSM_OK || flushed == LSM_OK);

		ck_assert_msg(has_batch(kit.store, b) || !must,
		              "operation %u: batch %u is gone", nth, b);
	}
	expect_sound(kit.store);
	teardown();
	return reached;
}

START_TEST(nth_failure_of_placing_loses_nothing)
{
	unsigned nth = 1;

	while (fail_nth(nth, _i == 0 ? LSM_ERR_IO : LSM_ERR_NOSPACE))
		nth++;
	ck_assert_uint_gt(nth, 20);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("direct");
	TCase *tc = tcase_create("direct");

	tcase_set_timeout(tc, 60); /* tries that fail are far between */
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, large_batch_is_in_a_segment_before_any_flush);
	tcase_add_test(tc, small_batch_stays_in_the_log);
	tcase_add_test(tc, who_syncs_after_every_batch_has_it_in_the_log);
	tcase_add_test(tc, death_of_the_process_loses_nothing);
	tcase_add_test(tc, power_cut_leaves_a_prefix);
	tcase_add_test(tc, lost_frame_that_was_promised_is_refused);
	tcase_add_test(tc, full_segment_rolls);
	tcase_add_test(tc, what_is_placed_over_soon_goes);
	tcase_add_test(tc, segment_of_a_log_made_ahead_may_stay_unused);
	tcase_add_test(tc, branches_share_what_was_placed);
	tcase_add_test(tc, log_with_a_segment_is_replayed_for_all_that_name_it);
	tcase_add_test(tc, forks_while_frames_are_in_flight);
	tcase_add_test(tc, export_takes_the_segment_beside_the_log);
	tcase_add_test(tc, failed_write_of_frames_poisons);
	tcase_add_test(tc, failed_sync_of_frames_poisons);
	tcase_add_test(tc, without_room_for_frames_the_log_takes_them);
	tcase_add_test(tc, full_disk_while_placing_heals);
	suite_add_tcase(suite, tc);

	tc = tcase_create("failures"); /* each with a kit of its own */
	tcase_add_loop_test(tc, nth_failure_of_placing_loses_nothing, 0, 2);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
