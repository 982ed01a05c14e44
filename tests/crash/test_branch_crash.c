/* SPDX-License-Identifier: MIT */
/*
 * test_branch_crash.c: a fork into a branch, a flush that lands in it, and the
 * deletion of another branch are cut off, or fail, at each operation of the env
 * and at each allocation. Whatever was said to be done is, the rest is whole or
 * absent, and the parent never minds.
 */
#include <stdio.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/alloc_fault.h"

enum {
	FILLED = 20,
	KEEP_ALL = 256,
	KEEP_SOME = 120,
	LEAST_OPERATIONS =
	    30, /* fewer: the test does not reach them any more */
	TIMEOUT_S = 600,
};

static struct kit kit;

/* A store with a branch "old" of its own files, and a memtable in main. */
static void begin(void)
{
	struct lsm *old;

	kit_init(&kit);
	kit.runtime_options.period_ms = 3600 * 1000;
	kit_create(&kit);
	kit_fill(kit.store, "a", FILLED, "main");
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_OK(lsm_branch_create(kit.store, "old", false, NULL));
	ASSERT_OK(lsm_branch_open(kit.store, "old", NULL, &old));
	kit_fill(old, "o", FILLED, "old");
	ASSERT_OK(lsm_close(old));
	kit_fill(kit.store, "b", FILLED, "main");
	ASSERT_OK(lsm_sync(kit.store));
}

struct outcome {
	enum lsm_err created, deleted;
};

static struct outcome work(void)
{
	struct outcome outcome;

	outcome.created = lsm_branch_create(kit.store, "new", false, NULL);
	/* It lands in "new"; where it fails it is tried again later. */
	(void)!lsm_flush(kit.store);
	outcome.deleted = lsm_branch_delete(kit.store, "old", false);
	return outcome;
}

static bool has_branch(const char *name)
{
	struct lsm_branch_info info;

	return lsm_branch_find(kit.store, name, &info) == LSM_OK;
}

static void print_fault(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "fault: %s\n", line);
}

static void check_branch(const char *name, const char *prefix, const char *salt)
{
	struct lsm *branch;

	ASSERT_OK(lsm_branch_open(kit.store, name, NULL, &branch));
	kit_expect_filled(branch, "a", FILLED, "main");
	kit_expect_filled(branch, prefix, FILLED, salt);
	ASSERT_OK(lsm_close(branch));
}

/* The store was opened anew. */
static void check(const struct outcome *outcome)
{
	uint64_t faults;

	kit_expect_filled(kit.store, "a", FILLED, "main");
	kit_expect_filled(kit.store, "b", FILLED, "main");
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH "/branches", ".tmp-"), 0);
	ck_assert(outcome->created != LSM_OK || has_branch("new"));
	ck_assert(outcome->deleted != LSM_OK || !has_branch("old"));
	if (has_branch("new"))
		check_branch("new", "b", "main");
	if (has_branch("old"))
		check_branch("old", "o", "old");
	ASSERT_OK(lsm_verify(kit.store, print_fault, NULL, &faults));
	ck_assert_uint_eq(faults, 0);
}

/* ---- the power goes ------------------------------------------------------- */

/* From operation `nth` on nothing reaches the disk any more. */
static bool cut_at(uint64_t nth, unsigned keep)
{
	struct outcome outcome;
	bool cut;

	begin();
	env_fault_arm(kit.env, nth, LSM_ERR_IO, true);
	outcome = work();
	cut = env_fault_count(kit.env) >= nth;
	if (!cut) {
		ASSERT_OK(outcome.created);
		ASSERT_OK(outcome.deleted);
		ck_assert_uint_gt(nth, LEAST_OPERATIONS);
	}
	kit_crash(&kit, keep, nth);
	kit_open(&kit);
	check(&outcome);
	kit_release(&kit);
	return cut;
}

static void cut_everywhere(unsigned keep)
{
	kit_log_begin();
	for (uint64_t nth = 1; cut_at(nth, keep); nth++)
		continue;
	kit_log_end();
}

START_TEST(power_cut_that_loses_what_was_not_synced)
{
	cut_everywhere(0);
}
END_TEST

START_TEST(power_cut_that_loses_some_of_it)
{
	cut_everywhere(KEEP_SOME);
}
END_TEST

START_TEST(death_of_the_process)
{
	cut_everywhere(KEEP_ALL);
}
END_TEST

/* ---- one failure ------------------------------------------------------------- */

static bool fail_at(uint64_t nth, enum lsm_err err)
{
	struct outcome outcome;
	enum lsm_err wrote;
	bool failed;

	begin();
	env_fault_arm(kit.env, nth, err, false);
	outcome = work();
	failed = env_fault_count(kit.env) >= nth;
	env_fault_arm(kit.env, 0, LSM_OK, false);
	ck_assert((outcome.created == LSM_OK) == has_branch("new"));
	/* It goes on, or stopped writing because its own log or manifest is what
	   failed. */
	wrote = kit_try_put(kit.store, "after", "1");
	ck_assert(wrote == LSM_OK || wrote == LSM_ERR_POISONED);
	if (!failed) {
		ASSERT_OK(outcome.created);
		ASSERT_OK(outcome.deleted);
		ASSERT_OK(wrote);
	}
	(void)kit_try_close(&kit); /* it may be poisoned */
	kit_open(&kit);
	check(&outcome);
	kit_expect(kit.store, "after", wrote == LSM_OK ? "1" : NULL);
	kit_release(&kit);
	return failed;
}

static void fail_everywhere(enum lsm_err err)
{
	kit_log_begin();
	for (uint64_t nth = 1; fail_at(nth, err); nth++)
		continue;
	kit_log_end();
}

START_TEST(failed_operation)
{
	fail_everywhere(LSM_ERR_IO);
}
END_TEST

START_TEST(full_disk)
{
	fail_everywhere(LSM_ERR_NOSPACE);
}
END_TEST

/* ---- memory ---------------------------------------------------------------- */

/* Make, open, and delete a branch with one allocation failing. */
static enum lsm_err one_life(void)
{
	struct lsm *child = NULL;
	enum lsm_err err, deleted;

	err = lsm_branch_create(kit.store, "new", false, NULL);
	if (err != LSM_OK)
		return err;
	err = lsm_branch_open(kit.store, "new", NULL, &child);
	if (err == LSM_OK)
		err = lsm_close(child);
	deleted = lsm_branch_delete(kit.store, "new", false);
	return err != LSM_OK ? err : deleted;
}

/* Something to be sealed; where the manifest could not be written for want of
   memory, after opening anew. */
static void put_again(void)
{
	enum lsm_err err = kit_try_put(kit.store, "again", "1");

	if (err == LSM_ERR_POISONED) {
		(void)kit_try_close(&kit); /* it says so */
		kit_open(&kit);
		err = kit_try_put(kit.store, "again", "1");
	}
	ASSERT_OK(err);
}

static size_t branch_folders(void)
{
	return kit_files(kit.env, KIT_PATH "/branches", "");
}

START_TEST(failed_allocation_leaves_no_branch)
{
	bool failed = true;

	kit_log_begin();
	begin();
	for (uint64_t nth = 1; failed; nth++) {
		enum lsm_err err;

		put_again();
		alloc_fault_arm(nth);
		err = one_life();
		failed = alloc_fault_disarm();
		ck_assert(failed || err == LSM_OK);
		put_again();
		if (has_branch("new"))
			ASSERT_OK(lsm_branch_delete(kit.store, "new", false));
		kit_expect_filled(kit.store, "b", FILLED, "main");
		if (branch_folders() != 2)
			kit_reopen(&kit); /* the rest of one stays until then */
		ck_assert_uint_eq(branch_folders(), 2);
	}
	kit_reopen(&kit);
	check(&(struct outcome){LSM_ERR_NOMEM, LSM_ERR_NOMEM});
	kit_log_end();
	kit_release(&kit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("branch crash");
	TCase *tc = tcase_create("each operation");

	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, power_cut_that_loses_what_was_not_synced);
	tcase_add_test(tc, power_cut_that_loses_some_of_it);
	tcase_add_test(tc, death_of_the_process);
	tcase_add_test(tc, failed_operation);
	tcase_add_test(tc, full_disk);
	suite_add_tcase(suite, tc);

	tc = tcase_create("each allocation");
	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, failed_allocation_leaves_no_branch);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
