/* SPDX-License-Identifier: MIT */
/*
 * test_poison.c: after a failed write or sync of a log or manifest reads go on,
 * nothing more is written, and nothing acknowledged is lost; and whoever waits
 * is told, then and when the store is closed.
 */
#include <errno.h>
#include <stdio.h>

#include "base/err.h"
#include "base/sync.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum { FILLED = 200 };

static struct kit kit;

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

/* ---- poison
 * ---------------------------------------------------------------------- */

/* Writes are refused, reads go on, and everything acknowledged is there after
   the next open. Keys "k" were filled. */
static void expect_poisoned(void)
{
	struct lsm_admission admission;
	struct lsm_fork_info info;

	ASSERT_ERR(kit_try_put(kit.store, "later", "1"), POISONED);
	ASSERT_ERR(lsm_admit(kit.store, 1, true, &admission), POISONED);
	ck_assert(!lsm_try_admit(kit.store, 1, true, &admission));
	ASSERT_ERR(lsm_flush(kit.store), POISONED);
	ASSERT_ERR(compact_all(kit.store), POISONED);
	ASSERT_ERR(lsm_export(kit.store, "/child", &info), POISONED);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	ck_assert_uint_eq(kit_count(kit.store, "k", "l"), FILLED);
	kit_heal(&kit);
	ASSERT_ERR(kit_try_put(kit.store, "later", "1"), POISONED);
	ck_assert_uint_eq(kit_files(kit.env, "/", ""), 1);

	ASSERT_ERR(kit_try_close(&kit), POISONED);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_expect(kit.store, "later", NULL);
	kit_put(kit.store, "later", "2");
	kit_reopen(&kit);
	kit_expect(kit.store, "later", "2");
	kit_expect_filled(kit.store, "k", FILLED, "first");
}

static void append_fails(enum fault_op op)
{
	kit_log_begin();
	kit_fail(&kit, op, ".wal", LSM_ERR_IO, 1);
	ASSERT_ERR(kit_try_put(kit.store, "late", "1"), POISONED);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, "log could not be written"));
	kit_expect(kit.store, "late", NULL);
	expect_poisoned();
}

START_TEST(failed_log_write_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_sync(kit.store)); /* what comes next is written */
	append_fails(FAULT_WRITE);
}
END_TEST

START_TEST(failed_store_into_a_mapped_log_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	append_fails(FAULT_STORE);
}
END_TEST

static enum lsm_err ask_for_all(struct answer *answer, bool shrinking)
{
	enum lsm_err err;
	bool now;

	err = lsm_admit_async(kit.store, KIT_CREDIT_BYTES, shrinking,
	                      &answer->request, &now);
	ck_assert(err == LSM_OK || err == LSM_ERR_POISONED);
	ck_assert(!now);
	return err;
}

/* The waiter has the log sealed, and that fails. */
START_TEST(poison_wakes_every_waiter)
{
	struct answer answers[3] = {{.err = LSM_OK}};
	struct lsm_admission held;

	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_admit(kit.store, 1000, false, &held));
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, ".wal", LSM_ERR_IO, -1);
	for (int i = 0; i < 3; i++) {
		answers[i].request.granted = granted;
		/* The later ones may come too late to wait. */
		if (ask_for_all(&answers[i], i == 1) != LSM_OK)
			granted(&answers[i].request, LSM_ERR_POISONED);
	}
	for (int i = 0; i < 3; i++) {
		KIT_WAIT_UNTIL(atomic_load(&answers[i].calls) == 1);
		ASSERT_ERR(answers[i].err, POISONED);
		ck_assert_ptr_null(answers[i].request.admission.store);
	}
	lsm_admission_release(&held);
	expect_poisoned();
}
END_TEST

START_TEST(failed_log_sync_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_SYNC, ".wal", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_sync(kit.store), POISONED);
	ASSERT_ERR(lsm_sync(kit.store), POISONED);
	ck_assert_uint_eq(kit_log_errors(), 1);
	expect_poisoned();
}
END_TEST

START_TEST(failed_log_seal_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, ".wal", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_flush(kit.store), POISONED);
	expect_poisoned();
}
END_TEST

/* The edit may be on the disk: what it adds and what it removes must stay. */
START_TEST(failed_manifest_sync_poisons_and_deletes_nothing)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_SYNC, "MANIFEST", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_flush(kit.store), POISONED);
	expect_poisoned();
}
END_TEST

START_TEST(failed_manifest_write_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	kit_log_begin();
	kit_fail(&kit, FAULT_WRITE, "MANIFEST", LSM_ERR_IO, 1);
	ASSERT_ERR(lsm_flush(kit.store), POISONED);
	expect_poisoned();
}
END_TEST

START_TEST(manifest_that_fails_when_a_log_is_named_poisons)
{
	kit_fill(kit.store, "k", FILLED, "first");
	ASSERT_OK(lsm_flush(kit.store));
	/* The spare log, if one was made, goes first. */
	kit_log_begin();
	kit_fail(&kit, FAULT_SYNC, "MANIFEST", LSM_ERR_IO, -1);
	while (kit_try_put(kit.store, "new", "1") == LSM_OK)
		continue;
	kit_expect_filled(kit.store, "k", FILLED, "first");
	kit_heal(&kit);
	ASSERT_ERR(kit_try_close(&kit), POISONED);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

/* ---- close
 * -------------------------------------------------------------------------- */

struct waiter {
	struct sync_thread thread;
	enum lsm_err err;
};

static void wait_for_credit(void *ctx)
{
	struct waiter *waiter = ctx;
	struct lsm_admission admission;

	waiter->err = lsm_admit(kit.store, KIT_CREDIT_BYTES, false, &admission);
	lsm_admission_release(&admission);
}

static uint64_t waiters(void)
{
	struct credit_stats stats;

	credit_pool_stats(kit.runtime->credit, &stats);
	return stats.waiters;
}

/* A process that is short of descriptors is not a disk that has failed. */
START_TEST(no_descriptor_for_a_new_manifest_poisons_nothing)
{
	char key[16];

	kit_close(&kit);
	kit.options.l0_trigger = 1000; /* nothing is merged */
	kit_open(&kit);
	for (unsigned i = 0; i <= STORE_FORK_CHANGES; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		kit_put(kit.store, key, "1");
		ASSERT_OK(lsm_flush(kit.store));
	}
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".list", err_from_errno(EMFILE), -1);
	ASSERT_OK(lsm_branch_create(kit.store, "child", false, NULL));
	ck_assert_int_gt(atomic_load(&kit.fault.met), 0);
	kit_heal(&kit);
	kit_put(kit.store, "later", "1");
	kit_reopen(&kit);
	kit_expect(kit.store, "later", "1");
}
END_TEST

START_TEST(close_wakes_every_waiter)
{
	struct waiter waiter[3];
	struct answer answer = {.request = {.granted = granted}};
	bool now;

	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
	kit_fill(kit.store, "k", FILLED, "first");
	for (int i = 0; i < 3; i++)
		ASSERT_OK(sync_thread_start(&waiter[i].thread, "waiter",
		                            wait_for_credit, &waiter[i]));
	ASSERT_OK(lsm_admit_async(kit.store, KIT_CREDIT_BYTES, true,
	                          &answer.request, &now));
	ck_assert(!now);
	KIT_WAIT_UNTIL(waiters() == 4);
	ASSERT_ERR(lsm_close(kit.store), IO); /* the flush failed */
	kit.store = NULL;
	for (int i = 0; i < 3; i++) {
		sync_thread_join(&waiter[i].thread);
		ASSERT_ERR(waiter[i].err, CLOSED);
	}
	ck_assert_int_eq(atomic_load(&answer.calls), 1);
	ASSERT_ERR(answer.err, CLOSED);
	lsm_runtime_destroy(kit.runtime);
	kit_heal(&kit);
	kit_open(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "first");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("poison");
	TCase *tc = tcase_create("poison");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, failed_log_write_poisons);
	tcase_add_test(tc, failed_store_into_a_mapped_log_poisons);
	tcase_add_test(tc, poison_wakes_every_waiter);
	tcase_add_test(tc, failed_log_sync_poisons);
	tcase_add_test(tc, failed_log_seal_poisons);
	tcase_add_test(tc, failed_manifest_sync_poisons_and_deletes_nothing);
	tcase_add_test(tc, failed_manifest_write_poisons);
	tcase_add_test(tc, manifest_that_fails_when_a_log_is_named_poisons);
	tcase_add_test(tc, no_descriptor_for_a_new_manifest_poisons_nothing);
	tcase_add_test(tc, close_wakes_every_waiter);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
