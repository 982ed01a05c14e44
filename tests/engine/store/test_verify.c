/* SPDX-License-Identifier: MIT */
/*
 * test_verify.c: no flipped byte of any file goes unseen: it is reported, or it
 * is an error where it is read, and never gives other bytes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/sync.h"
#include "store/superblock.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum {
	FILLED = 300,
	FEW = 12,
	KEEP_ALL = 256,
	TAIL_STEP = 64, /* of offsets in the zeros at the end of a file */
	LONG_VALUE_BYTES = 1000,
	LARGE_MEMTABLE_BYTES = 2 << 20,
	LARGE_CREDIT_BYTES = 8 << 20,
	RUNS = 30,
};

static struct kit kit;
static char reported[KIT_NAME_BYTES * 4];

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static void note(void *ctx, const char *line)
{
	(void)ctx;
	snprintf(reported, sizeof(reported), "%s", line);
}

static uint64_t faults(void)
{
	uint64_t count;

	ASSERT_OK(lsm_verify(kit.store, note, NULL, &count));
	return count;
}

START_TEST(whole_store_has_no_fault)
{
	ck_assert_uint_eq(faults(), 0);
	kit_fill(kit.store, "a", FILLED, "deep");
	ASSERT_OK(compact_all(kit.store));
	kit_fill(kit.store, "b", FILLED, "l0");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "c", FILLED, "memory");
	ck_assert_uint_eq(faults(), 0);
	ASSERT_OK(lsm_sync(kit.store));
	ck_assert_uint_eq(faults(), 0);
	kit_crash(&kit, KEEP_ALL, 1);
	kit.options.read_only = true;
	kit_open(&kit);
	ck_assert_uint_eq(faults(), 0);
}
END_TEST

START_TEST(flipped_byte_of_a_table_is_reported)
{
	static struct kit_names tables;

	kit_fill(kit.store, "a", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	kit_flip(kit.env, KIT_POOL, tables.name[0], 4000);
	kit_open(&kit);
	kit_log_begin();
	ck_assert_uint_eq(faults(), 1);
	ck_assert_ptr_nonnull(strstr(reported, tables.name[0]));
}
END_TEST

START_TEST(missing_table_is_reported)
{
	static struct kit_names tables;

	kit_fill(kit.store, "a", FILLED, "first");
	kit_close(&kit);
	kit_list(kit.env, KIT_POOL, ".sst", &tables);
	kit_remove_file(kit.env, KIT_POOL, tables.name[0]);
	kit.options.read_only = true;
	kit_open(&kit);
	kit_log_begin();
	ck_assert_uint_eq(faults(), 1);
	ck_assert_ptr_nonnull(strstr(reported, tables.name[0]));
}
END_TEST

START_TEST(flipped_byte_of_a_log_is_reported)
{
	static struct kit_names logs;

	kit_fill(kit.store, "a", FEW, "first");
	ASSERT_OK(lsm_sync(kit.store));
	kit_put(kit.store, "b", "1"); /* says how far it was synced */
	kit_list(kit.env, KIT_POOL, ".wal", &logs);
	ck_assert_uint_eq(logs.count, 1);
	ck_assert_uint_eq(faults(), 0);
	kit_flip(kit.env, KIT_POOL, logs.name[0], 300);
	kit_log_begin();
	ck_assert_uint_eq(faults(), 1);
	ck_assert_ptr_nonnull(strstr(reported, logs.name[0]));
}
END_TEST

/* A log that a flush drops meanwhile is no fault. */
START_TEST(verify_while_the_store_works_finds_no_fault)
{
	for (unsigned i = 0; i < 40; i++) {
		kit_fill(kit.store, "k", 500, "some");
		ck_assert_uint_eq(faults(), 0);
	}
}
END_TEST

/* ---- beside writers ------------------------------------------------------ */

/* One who writes, and one who syncs. */
struct worker {
	struct sync_thread thread;
	enum lsm_err err; /* once it ended */
};

static atomic_bool stop;

static void write_on(void *ctx)
{
	struct worker *self = ctx;
	char key[16], value[LONG_VALUE_BYTES + 1];

	memset(value, 'v', LONG_VALUE_BYTES);
	value[LONG_VALUE_BYTES] = 0;
	self->err = LSM_OK;
	for (unsigned i = 0; self->err == LSM_OK && !atomic_load(&stop); i++) {
		snprintf(key, sizeof(key), "k%u", i % FILLED);
		self->err = kit_try_put(kit.store, key, value);
	}
}

static void sync_on(void *ctx)
{
	struct worker *self = ctx;

	self->err = LSM_OK;
	while (self->err == LSM_OK && !atomic_load(&stop))
		self->err = lsm_sync(kit.store);
}

/* A log of several windows of the reader, with room that is not written yet: while
   it is read others write into that, and promise what they wrote. */
START_TEST(verify_of_a_store_that_is_written_and_synced_finds_no_fault)
{
	struct worker writer, syncer;
	struct lsm_stats stats;
	unsigned runs = 0;

	kit_close(&kit);
	kit.runtime_options.credit_bytes = LARGE_CREDIT_BYTES;
	kit.options.memtable_bytes = LARGE_MEMTABLE_BYTES;
	kit_open(&kit);
	atomic_store(&stop, false);
	ASSERT_OK(
	    sync_thread_start(&writer.thread, "writer", write_on, &writer));
	ASSERT_OK(
	    sync_thread_start(&syncer.thread, "syncer", sync_on, &syncer));
	do {
		ck_assert_uint_eq(faults(), 0);
		lsm_stats(kit.store, &stats);
	} while (++runs < RUNS || stats.flushes.count < 3);
	atomic_store(&stop, true);
	sync_thread_join(&writer.thread);
	sync_thread_join(&syncer.thread);
	ASSERT_OK(writer.err);
	ASSERT_OK(syncer.err);
}
END_TEST

/* ---- every offset
 * -------------------------------------------------------------- */

/* Every value is what was written, or cannot be read: then false. */
static bool reads_as_written(void)
{
	for (unsigned i = 0; i < FEW; i++) {
		struct buf value = BUF_INIT;
		char key[16], expected[64];
		enum lsm_err err;
		bool same;

		/* Half of them in the table, half in the log. */
		snprintf(key, sizeof(key), "%c%06u", i % 2 == 0 ? 'k' : 'l',
		         i / 2);
		snprintf(expected, sizeof(expected), "first of %s ", key);
		err = lsm_get(kit.store, NULL, slice_str(key), &value);
		same = err == LSM_OK && value.len == KIT_VALUE_BYTES &&
		       memcmp(value.data, expected, strlen(expected)) == 0;
		ck_assert(same || err == LSM_ERR_CORRUPT);
		buf_release(&value);
		if (!same)
			return false;
	}
	return true;
}

/* Flip each byte of the file in turn, and open. Whether most mattered. */
static bool flip_all(const char *folder, const char *name)
{
	struct buf bytes = BUF_INIT;
	size_t used, refused = 0, unread = 0;

	kit_read_file(kit.env, folder, name, &bytes);
	for (used = bytes.len; used > 0 && bytes.data[used - 1] == 0; used--)
		continue;
	for (size_t at = 0; at < bytes.len; at += at < used ? 1 : TAIL_STEP) {
		bytes.data[at] = (uint8_t)~bytes.data[at];
		kit_write_file(kit.env, folder, name, buf_slice(&bytes));
		kit_log_begin();
		if (kit_try_open(&kit) != LSM_OK) {
			refused++;
			ck_assert_uint_ge(kit_log_errors(), 1);
		} else {
			bool whole = reads_as_written();

			unread += !whole;
			if (!whole || strstr(name, ".sst") != NULL)
				ck_assert_msg(faults() > 0, "%s, offset %zu",
				              name, at);
			kit_close(&kit);
		}
		bytes.data[at] = (uint8_t)~bytes.data[at];
	}
	kit_write_file(kit.env, folder, name, buf_slice(&bytes));
	buf_release(&bytes);
	kit_log_end();
	return refused + unread > used / 2;
}

START_TEST(any_flipped_byte_of_any_file_is_an_error_or_harmless)
{
	static struct kit_names names;
	char folder[KIT_NAME_BYTES], manifest[KIT_NAME_BYTES];
	unsigned mattered = 0;

	kit_fill(kit.store, "k", FEW / 2, "first");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "l", FEW / 2, "first");
	ASSERT_OK(lsm_sync(kit.store));
	kit_put(kit.store, "z", "unsynced");
	kit_crash(&kit, KEEP_ALL, 1);
	kit.options.read_only = true;
	ck_assert(flip_all(KIT_PATH, SUPERBLOCK_NAME));
	kit_manifest(kit.env, KIT_PATH, folder, manifest);
	ck_assert(flip_all(folder, manifest));
	ck_assert(flip_all(folder, "CURRENT"));
	kit_list(kit.env, KIT_POOL, "", &names);
	ck_assert_uint_ge(names.count, 2);
	for (size_t i = 0; i < names.count; i++)
		mattered += flip_all(KIT_POOL, names.name[i]);
	/* The table and the log; a file that nothing names does not matter. */
	ck_assert_uint_ge(mattered, 2);
	kit_open(&kit);
	ck_assert(reads_as_written());
	kit_expect(kit.store, "z", "unsynced");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *tc = tcase_create("verify");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, whole_store_has_no_fault);
	tcase_add_test(tc, flipped_byte_of_a_table_is_reported);
	tcase_add_test(tc, missing_table_is_reported);
	tcase_add_test(tc, flipped_byte_of_a_log_is_reported);
	tcase_add_test(tc, verify_while_the_store_works_finds_no_fault);
	tcase_add_test(
	    tc, verify_of_a_store_that_is_written_and_synced_finds_no_fault);
	tcase_add_test(tc,
	               any_flipped_byte_of_any_file_is_an_error_or_harmless);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
