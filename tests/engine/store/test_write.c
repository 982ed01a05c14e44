/* SPDX-License-Identifier: MIT */
/* test_write.c: batches, their admission, and syncs. */
#include <sched.h>
#include <stdio.h>

#include "base/sync.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"

enum { FILLED = 200, SYNCERS = 8 };

static struct kit kit;
static struct lsm_batch *batch;

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
	ASSERT_OK(lsm_batch_create(&batch));
}

static void teardown(void)
{
	kit_log_end();
	lsm_batch_destroy(batch);
	kit_release(&kit);
}

static uint64_t used(void)
{
	struct lsm_stats stats;

	lsm_stats(kit.store, &stats);
	return stats.credit.used_bytes;
}

/* ---- batches ------------------------------------------------------------ */

START_TEST(later_change_of_a_batch_wins)
{
	uint64_t seq;

	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	ASSERT_OK(lsm_batch_put(batch, slice_str("b"), slice_str("1")));
	ASSERT_OK(lsm_batch_delete(batch, slice_str("a")));
	ASSERT_OK(lsm_batch_merge(batch, slice_str("b"), slice_str("2")));
	ASSERT_OK(lsm_batch_put(batch, slice_str("c"), slice_str("1")));
	ASSERT_OK(lsm_batch_put(batch, slice_str("c"), slice_str("2")));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, &seq));
	ck_assert_uint_eq(seq, 6);
	ck_assert_uint_eq(lsm_sequence(kit.store), 6);
	for (int i = 0; i < 2; i++) {
		kit_expect(kit.store, "a", NULL);
		kit_expect(kit.store, "b", "12");
		kit_expect(kit.store, "c", "2");
		kit_reopen(&kit);
	}
}
END_TEST

START_TEST(empty_batch_changes_nothing)
{
	struct lsm_admission admission;

	ASSERT_OK(lsm_admit(kit.store, lsm_admission_bound(kit.store, 0, 0),
	                    false, &admission));
	ASSERT_OK(lsm_write(kit.store, batch, &admission, NULL));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	ck_assert_uint_eq(lsm_sequence(kit.store), 0);
	ck_assert_uint_eq(used(), 0);
}
END_TEST

START_TEST(merge_without_a_fold_is_refused)
{
	struct lsm_admission admission;

	kit_close(&kit);
	kit.options.fold = NULL;
	kit_open(&kit);
	ASSERT_OK(lsm_batch_merge(batch, slice_str("a"), slice_str("1")));
	ASSERT_ERR(lsm_write(kit.store, batch, NULL, NULL), INVALID);
	ASSERT_OK(lsm_admit(kit.store, 1 << 16, false, &admission));
	ASSERT_ERR(lsm_write(kit.store, batch, &admission, NULL), INVALID);
	ck_assert_uint_eq(used(), 0);
	kit_expect(kit.store, "a", NULL);
}
END_TEST

START_TEST(counters_follow_their_batches)
{
	for (int round = 0; round < 3; round++) {
		lsm_batch_clear(batch);
		ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
		lsm_batch_count(batch, 0, 10);
		lsm_batch_count(batch, 7, -1);
		ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
		ck_assert_int_eq(lsm_counter(kit.store, 0), 10 * (round + 1));
		ck_assert_int_eq(lsm_counter(kit.store, 7), -(round + 1));
		if (round == 1)
			ASSERT_OK(lsm_flush(kit.store));
		kit_reopen(&kit);
	}
	ck_assert_int_eq(lsm_counter(kit.store, 0), 30);
}
END_TEST

/* A batch whose write failed can be written again as it is. */
START_TEST(failed_batch_can_be_written_again)
{
	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	lsm_batch_count(batch, 0, 5);
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".wal", LSM_ERR_NOSPACE, 1);
	ASSERT_ERR(lsm_write(kit.store, batch, NULL, NULL), NOSPACE);
	ck_assert_uint_eq(used(), 0);
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	kit_crash(&kit, 256, 1);
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
	ck_assert_int_eq(lsm_counter(kit.store, 0), 10);
}
END_TEST

/* ---- admission -------------------------------------------------------------
 */

START_TEST(admission_that_is_too_small_is_refused)
{
	struct lsm_admission admission;
	uint64_t bound;

	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	bound = lsm_admission_bound(kit.store, 1, 2);
	ASSERT_OK(lsm_admit(kit.store, bound - 1, false, &admission));
	ASSERT_ERR(lsm_write(kit.store, batch, &admission, NULL), INVALID);
	ck_assert_uint_eq(used(), 0);
	ck_assert_ptr_null(admission.store);
	kit_expect(kit.store, "a", NULL);
	ASSERT_OK(lsm_admit(kit.store, bound, false, &admission));
	ASSERT_OK(lsm_write(kit.store, batch, &admission, NULL));
	ck_assert_ptr_null(admission.store);
	ck_assert_uint_le(used(), bound);
	ck_assert_uint_gt(used(), 0);
}
END_TEST

START_TEST(admission_of_another_store_is_refused)
{
	struct lsm_admission admission;
	struct lsm *other;

	ASSERT_OK(lsm_create(kit.env, "/other", slice_str("")));
	ASSERT_OK(lsm_open(kit.runtime, "/other", &kit.options, &other));
	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	ASSERT_OK(lsm_admit(other, 1 << 16, false, &admission));
	ASSERT_ERR(lsm_write(kit.store, batch, &admission, NULL), INVALID);
	ck_assert_uint_eq(used(), 0);
	ASSERT_OK(lsm_close(other));
}
END_TEST

START_TEST(released_admission_is_given_back_once)
{
	struct lsm_admission admission;

	ASSERT_OK(lsm_admit(kit.store, 5000, false, &admission));
	ck_assert_uint_eq(used(), 5000);
	lsm_admission_release(&admission);
	ck_assert_uint_eq(used(), 0);
	lsm_admission_release(&admission);
	ck_assert_uint_eq(used(), 0);
}
END_TEST

START_TEST(amount_that_cannot_be_counted_is_refused)
{
	struct lsm_admission admission;
	struct lsm_admit_request request = {0};
	bool granted;

	ASSERT_ERR(lsm_admit(kit.store, UINT64_MAX, false, &admission),
	           INVALID);
	ck_assert(!lsm_try_admit(kit.store, UINT64_MAX, false, &admission));
	ASSERT_ERR(
	    lsm_admit_async(kit.store, UINT64_MAX, false, &request, &granted),
	    INVALID);
	ck_assert_uint_eq(used(), 0);
}
END_TEST

START_TEST(try_admit_takes_only_what_is_free)
{
	struct lsm_admission first, second;

	ck_assert(
	    lsm_try_admit(kit.store, KIT_CREDIT_BYTES - 10, false, &first));
	ck_assert(!lsm_try_admit(kit.store, 11, false, &second));
	ck_assert_ptr_null(second.store);
	ck_assert(lsm_try_admit(kit.store, 10, false, &second));
	lsm_admission_release(&first);
	lsm_admission_release(&second);
	ck_assert_uint_eq(used(), 0);
}
END_TEST

/* Or it was asked for anew in between, and then it is more. */
START_TEST(admission_that_fails_takes_no_room_on_the_disk)
{
	const atomic_int_least64_t *left = &kit.store->space_left;
	struct lsm_admission first, second;
	int64_t before;

	ck_assert(lsm_try_admit(kit.store, KIT_CREDIT_BYTES, false, &first));
	before = atomic_load(left);
	ck_assert_int_gt(before, 0);
	ck_assert(!lsm_try_admit(kit.store, KIT_CREDIT_BYTES, false, &second));
	ck_assert_int_ge(atomic_load(left), before);
	ck_assert(!lsm_try_admit(kit.store, INT64_MAX / 4, false, &second));
	ck_assert_int_ge(atomic_load(left), before);
	lsm_admission_release(&first);
}
END_TEST

struct answer {
	struct lsm_admit_request request;
	atomic_int calls;
	enum lsm_err err; /* before `calls` */
};

static void granted(struct lsm_admit_request *request, enum lsm_err err)
{
	struct answer *answer = (struct answer *)(void *)request;

	answer->err = err;
	atomic_fetch_add(&answer->calls, 1);
}

START_TEST(async_admission_is_granted_now_or_later)
{
	struct answer answer = {.request = {.granted = granted}};
	struct lsm_admission all;
	bool now;

	ASSERT_OK(
	    lsm_admit_async(kit.store, 100, false, &answer.request, &now));
	ck_assert(now);
	ck_assert_uint_eq(answer.request.admission.bytes, 100);
	lsm_admission_release(&answer.request.admission);

	ASSERT_OK(lsm_admit(kit.store, KIT_CREDIT_BYTES, false, &all));
	ASSERT_OK(
	    lsm_admit_async(kit.store, 100, false, &answer.request, &now));
	ck_assert(!now);
	ck_assert_int_eq(atomic_load(&answer.calls), 0);
	lsm_admission_release(&all);
	KIT_WAIT_UNTIL(atomic_load(&answer.calls) == 1);
	ASSERT_OK(answer.err);
	ck_assert_uint_eq(used(), 100);
	ASSERT_OK(lsm_batch_put(batch, slice_str("a"), slice_str("1")));
	lsm_admission_release(&answer.request.admission);
	ck_assert_uint_eq(used(), 0);
}
END_TEST

START_TEST(batch_larger_than_the_pool_goes_through_alone)
{
	static uint8_t value[2 * KIT_CREDIT_BYTES];
	struct lsm_stats stats;
	struct buf got = BUF_INIT;

	kit_fill(kit.store, "k", FILLED, "first");
	memset(value, 7, sizeof(value));
	ASSERT_OK(lsm_batch_put(batch, slice_str("big"),
	                        slice_make(value, sizeof(value))));
	ASSERT_OK(lsm_write(kit.store, batch, NULL, NULL));
	kit_fill(kit.store, "l", FILLED, "second");
	lsm_stats(kit.store, &stats);
	ck_assert_uint_eq(stats.credit.oversize, 1);
	ck_assert_uint_le(stats.credit.peak_bytes,
	                  lsm_admission_bound(kit.store, 1, sizeof(value) + 3));
	kit_reopen(&kit);
	ASSERT_OK(lsm_get(kit.store, NULL, slice_str("big"), &got));
	ck_assert(
	    slice_equal(buf_slice(&got), slice_make(value, sizeof(value))));
	buf_release(&got);
	kit_expect_filled(kit.store, "l", FILLED, "second");
}
END_TEST

/* ---- syncs
 * -------------------------------------------------------------------- */

static struct {
	atomic_bool hold;
	atomic_int syncs, putters;
} gate;

static struct fault_answer hold_sync(void *ctx, const struct fault_call *call)
{
	struct fault_answer go = {LSM_OK, false};

	(void)ctx;
	if (call->op != FAULT_SYNC || strstr(call->name, ".wal") == NULL)
		return go;
	atomic_fetch_add(&gate.syncs, 1);
	while (atomic_load(&gate.hold))
		sched_yield();
	return go;
}

struct syncer {
	struct sync_thread thread;
	enum lsm_err err;
	char key[16];
};

static void put_and_sync(void *ctx)
{
	struct syncer *syncer = ctx;

	syncer->err = kit_try_put(kit.store, syncer->key, "v");
	atomic_fetch_add(&gate.putters, 1);
	if (syncer->err == LSM_OK)
		syncer->err = lsm_sync(kit.store);
}

START_TEST(concurrent_syncs_share_one)
{
	struct syncer syncers[SYNCERS];

	kit_close(&kit);
	env_fault_set_hook(kit.env, hold_sync, NULL);
	kit_open(&kit);
	kit_put(kit.store, "first", "v"); /* makes the log, which is a sync */
	atomic_store(&gate.syncs, 0);
	atomic_store(&gate.hold, true);
	for (int i = 0; i < SYNCERS; i++) {
		snprintf(syncers[i].key, sizeof(syncers[i].key), "k%d", i);
		ASSERT_OK(sync_thread_start(&syncers[i].thread, "syncer",
		                            put_and_sync, &syncers[i]));
	}
	KIT_WAIT_UNTIL(atomic_load(&gate.putters) == SYNCERS);
	atomic_store(&gate.hold, false);
	for (int i = 0; i < SYNCERS; i++) {
		sync_thread_join(&syncers[i].thread);
		ASSERT_OK(syncers[i].err);
	}
	/* The first covers some, the second all others. */
	ck_assert_int_le(atomic_load(&gate.syncs), 2);
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	ck_assert_uint_eq(kit_count(kit.store, "k", "l"), SYNCERS);
}
END_TEST

START_TEST(sync_with_nothing_new_does_no_io)
{
	struct lsm_stats before, after;

	kit_put(kit.store, "a", "1");
	ASSERT_OK(lsm_sync(kit.store));
	lsm_stats(kit.store, &before);
	ASSERT_OK(lsm_sync(kit.store));
	lsm_stats(kit.store, &after);
	ck_assert_uint_eq(after.io.syncs, before.io.syncs);
}
END_TEST

static uint64_t synced(void)
{
	return sync_queue_durable(&kit.store->sync_queue);
}

START_TEST(background_sync_follows_by_itself)
{
	kit_close(&kit);
	kit.runtime_options.sync_period_ms = 1;
	kit_open(&kit);
	kit_put(kit.store, "a", "1");
	KIT_WAIT_UNTIL(synced() == lsm_sequence(kit.store));
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("write");
	TCase *tc = tcase_create("batches");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, later_change_of_a_batch_wins);
	tcase_add_test(tc, empty_batch_changes_nothing);
	tcase_add_test(tc, merge_without_a_fold_is_refused);
	tcase_add_test(tc, counters_follow_their_batches);
	tcase_add_test(tc, failed_batch_can_be_written_again);
	suite_add_tcase(suite, tc);

	tc = tcase_create("admission");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, admission_that_is_too_small_is_refused);
	tcase_add_test(tc, admission_of_another_store_is_refused);
	tcase_add_test(tc, released_admission_is_given_back_once);
	tcase_add_test(tc, amount_that_cannot_be_counted_is_refused);
	tcase_add_test(tc, try_admit_takes_only_what_is_free);
	tcase_add_test(tc, admission_that_fails_takes_no_room_on_the_disk);
	tcase_add_test(tc, async_admission_is_granted_now_or_later);
	tcase_add_test(tc, batch_larger_than_the_pool_goes_through_alone);
	suite_add_tcase(suite, tc);

	tc = tcase_create("sync");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, concurrent_syncs_share_one);
	tcase_add_test(tc, sync_with_nothing_new_does_no_io);
	tcase_add_test(tc, background_sync_follows_by_itself);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
