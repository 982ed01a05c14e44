/* SPDX-License-Identifier: MIT */
/*
 * test_fork_busy.c: forks while a thread writes as fast as it is let: it waits for
 * credit, memtables are full, flushes and compactions run. Each fork holds all that
 * was acknowledged before it, and a prefix of the whole.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/sync.h"
#include "tests/engine/store/store_kit.h"

enum {
	FORKS = 40,
	KEYS = 400,
	VALUE_BYTES = 300,
	OPEN_AT_ONCE = 3,
};

static const struct kit_limits tiny = {
    "tiny", 48 << 10, 0, 0, 16 << 10, 16 << 10, 32 << 10, 1 << 10, 2, 0, 0};

static struct kit kit;

static struct {
	atomic_bool stop;
	atomic_uint_least64_t acknowledged; /* batches */
	enum lsm_err err;                   /* of the thread, once it ended */
} writer;

static void setup(void)
{
	kit_init(&kit);
	kit_set_limits(&kit, &tiny);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_release(&kit);
}

static int key_of(uint64_t index, char key[32])
{
	return snprintf(key, 32, "key%06llu",
	                (unsigned long long)(index % KEYS));
}

/* Batch `number`, from 1: its number under "last" and, padded, under a key. */
static enum lsm_err write_one(struct lsm_batch *batch, uint64_t number)
{
	char key[32], value[VALUE_BYTES + 1];
	enum lsm_err err;

	snprintf(value, sizeof(value), "%-*llu", VALUE_BYTES,
	         (unsigned long long)number);
	key_of(number, key);
	lsm_batch_clear(batch);
	err = lsm_batch_put(batch, slice_str("last"), slice_str(value));
	if (err == LSM_OK)
		err = lsm_batch_put(batch, slice_str(key), slice_str(value));
	return err == LSM_OK ? lsm_write(kit.store, batch, NULL, NULL) : err;
}

static void write_on(void *ctx)
{
	struct lsm_batch *batch;
	uint64_t number = 0;

	(void)ctx;
	writer.err = lsm_batch_create(&batch);
	while (writer.err == LSM_OK && !atomic_load(&writer.stop)) {
		writer.err = write_one(batch, ++number);
		if (writer.err == LSM_OK)
			atomic_store(&writer.acknowledged, number);
	}
	lsm_batch_destroy(batch);
}

static uint64_t number_at(struct lsm *store, const char *key)
{
	struct buf value = BUF_INIT;
	char text[VALUE_BYTES + 1] = "";
	enum lsm_err err = lsm_get(store, NULL, slice_str(key), &value);

	if (err == LSM_OK) {
		ck_assert_uint_eq(value.len, VALUE_BYTES);
		memcpy(text, value.data, VALUE_BYTES);
	} else {
		ck_assert_int_eq(err, LSM_ERR_NOT_FOUND);
	}
	buf_release(&value);
	return strtoull(text, NULL, 10);
}

/* What is there is what the first batches left, and no less than `least` of
   them. */
static void expect_prefix(struct lsm *store, uint64_t least)
{
	uint64_t last = number_at(store, "last");

	ck_assert_uint_ge(last, least);
	for (uint64_t n = last; n > 0 && n + KEYS > last; n--) {
		char key[32];

		key_of(n, key);
		ck_assert_uint_eq(number_at(store, key), n);
	}
}

static void begin_writing(struct sync_thread *thread)
{
	struct lsm_stats stats;

	atomic_store(&writer.stop, false);
	atomic_store(&writer.acknowledged, 0);
	ASSERT_OK(sync_thread_start(thread, "writer", write_on, NULL));
	do {
		ck_assert(!kit_pause(UINT64_MAX));
		lsm_stats(kit.store, &stats);
	} while (stats.credit.waits == 0 || stats.flushes.count < 8 ||
	         stats.compactions.count < 2);
}

static void end_writing(struct sync_thread *thread)
{
	atomic_store(&writer.stop, true);
	sync_thread_join(thread);
	ASSERT_OK(writer.err);
}

START_TEST(fork_beside_a_writer_without_credit_is_a_prefix)
{
	struct lsm_stats before, after;
	struct sync_thread thread;

	begin_writing(&thread);
	lsm_stats(kit.store, &before);
	for (unsigned i = 0; i < FORKS; i++) {
		uint64_t least = atomic_load(&writer.acknowledged);
		struct lsm *child;
		char name[32];

		snprintf(name, sizeof(name), "fork%u", i);
		kit_fork(kit.store, name);
		child = kit_branch(&kit, name);
		expect_prefix(child, least);
		kit_put(child, "own", name);
		ASSERT_OK(lsm_close(child));
		if (i >= OPEN_AT_ONCE) {
			snprintf(name, sizeof(name), "fork%u",
			         i - OPEN_AT_ONCE);
			ASSERT_OK(lsm_branch_delete(kit.store, name, false));
		}
	}
	lsm_stats(kit.store, &after);
	end_writing(&thread);
	ck_assert_uint_gt(after.credit.waits, before.credit.waits);
	ck_assert_uint_gt(after.flushes.count, before.flushes.count);
	ck_assert_uint_gt(after.compactions.count, before.compactions.count);
	expect_prefix(kit.store, atomic_load(&writer.acknowledged));
	ck_assert_uint_eq(kit_branch_count(&kit), 1 + OPEN_AT_ONCE);
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(forks_that_stay_open_beside_a_writer_keep_their_state)
{
	struct lsm *children[OPEN_AT_ONCE];
	uint64_t last[OPEN_AT_ONCE];
	struct sync_thread thread;

	begin_writing(&thread);
	for (unsigned i = 0; i < OPEN_AT_ONCE; i++) {
		char name[32];

		snprintf(name, sizeof(name), "fork%u", i);
		kit_fork(kit.store, name);
		children[i] = kit_branch(&kit, name);
		last[i] = number_at(children[i], "last");
	}
	for (unsigned round = 0; round < FORKS; round++) {
		unsigned i = round % OPEN_AT_ONCE;

		expect_prefix(children[i], last[i]);
		ck_assert_uint_eq(number_at(children[i], "last"), last[i]);
	}
	end_writing(&thread);
	for (unsigned i = 0; i < OPEN_AT_ONCE; i++)
		ASSERT_OK(lsm_close(children[i]));
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork busy");
	TCase *tc = tcase_create("beside a writer");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, fork_beside_a_writer_without_credit_is_a_prefix);
	tcase_add_test(tc,
	               forks_that_stay_open_beside_a_writer_keep_their_state);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
