/* SPDX-License-Identifier: MIT */
/*
 * test_fork_crash.c: an export that is cut off leaves nothing under its name,
 * or a whole store; one that fails leaves nothing; and the source never minds.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash_campaign.h"
#include "tests/crash/crash_check.h"
#include "tests/crash/crash_kit.h"
#include "tests/crash/crash_sites.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"

enum {
	BATCHES = 200,
	BEFORE = 60,   /* batches of the store that is exported... */
	UNFLUSHED = 7, /* ...and those then in its memtable */
	AFTER = 3,     /* written when the export is over */
	TIMEOUT_S = 600,
};

static uint64_t seed;
static struct kit_model *model;
static struct env *grown; /* holds a closed store of BEFORE batches */

static void setup(void)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;

	kit_quiet();
	seed = gen_seed(86400);
	model = kit_model_create(seed, BATCHES);

	kit_must(env_mem_create(&grown) == LSM_OK);
	kit_must(kit_create(grown, "/store") == LSM_OK);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	kit_must(kit_open(runtime, grown, "/store", false, &store) == LSM_OK);
	for (size_t i = 0; i < BEFORE; i++)
		kit_must(kit_write(model, store, i) == LSM_OK);
	kit_must(compact_all(store) == LSM_OK);
	kit_must(lsm_close(store) == LSM_OK);
	lsm_runtime_destroy(runtime);
}

static void teardown(void)
{
	env_mem_destroy(grown);
	kit_model_destroy(model);
}

/* ---- power cuts ------------------------------------------------------------
 */

static void run(bool copy_export, bool hold_flush)
{
	struct campaign c = {
	    .model = model,
	    .batches = BATCHES,
	    .seed = seed,
	    .dense_export = true,
	    .randoms = kit_full() ? 8 : 2,
	    .go_on_one_in = 4,
	    .copy_export = copy_export,
	    .hold_flush = hold_flush,
	};
	bool good = campaign_run(&c);

	fprintf(stderr, "%llu images\n", (unsigned long long)c.checked);
	ck_assert_msg(good, "%s", c.why.text);
	ck_assert(atomic_load(&c.dest_done));
	ck_assert_uint_gt(c.checked, 100);
	campaign_release(&c);
}

START_TEST(export_by_links_is_whole_or_absent)
{
	run(false, true);
}
END_TEST

START_TEST(export_beside_a_flush_is_whole_or_absent)
{
	run(false, false);
}
END_TEST

START_TEST(export_by_copies_is_whole_or_absent)
{
	run(true, true);
}
END_TEST

/* ---- failures
 * ----------------------------------------------------------------- */

struct attempt {
	enum lsm_err fail;
	bool copy_export;
	uint64_t fail_at; /* of the export's operations; 0: none */
	/* Atomics: operations come from several threads. */
	atomic_bool running;
	atomic_bool poisons; /* what failed was a change of the source itself */
	uint64_t operations; /* when the export was over */
};

static bool is_of_the_source(const struct fault_call *call)
{
	bool change = call->op == FAULT_SYNC || call->op == FAULT_WRITE ||
	              call->op == FAULT_SEAL;

	/* The fork's own manifest is number 1 of its branch. */
	return change && (strstr(call->name, ".wal") != NULL ||
	                  strstr(call->name, ".seg") != NULL ||
	                  (strncmp(call->name, "MANIFEST-", 9) == 0 &&
	                   strcmp(call->name, "MANIFEST-1") != 0));
}

static struct fault_answer on_call(void *ctx, const struct fault_call *call)
{
	struct attempt *a = ctx;
	struct fault_answer answer = {LSM_OK, false};

	if (a->copy_export && call->op == FAULT_LINK)
		answer.err = LSM_ERR_NO_LINK;
	if (atomic_load(&a->running) && call->number == a->fail_at) {
		answer.err = a->fail;
		atomic_store(&a->poisons, is_of_the_source(call));
	}
	return answer;
}

/* Export with one operation failing; the source must go on, or be poisoned when
   it was its own file. */
static bool export_once(struct attempt *a, struct lsm *store, struct env *fault,
                        struct kit_why *why)
{
	struct lsm_fork_info info;
	enum lsm_err err, wrote = LSM_OK;
	uint64_t before;

	before = env_fault_count(fault);
	if (a->fail_at > 0)
		a->fail_at += before;
	atomic_store(&a->running, true);
	err = lsm_export(store, "/dest", &info);
	atomic_store(&a->running, false);
	a->operations = env_fault_count(fault) - before;
	if (a->fail_at == 0 && err != LSM_OK)
		return kit_fail(why, "the export failed: %s",
		                lsm_strerror(err));
	for (size_t i = 0; i < AFTER && wrote == LSM_OK; i++)
		wrote = kit_write(model, store, BEFORE + UNFLUSHED + i);
	if (wrote != LSM_OK &&
	    (wrote != LSM_ERR_POISONED || !atomic_load(&a->poisons)))
		return kit_fail(why, "a write after it: %s",
		                lsm_strerror(wrote));
	if (kit_folder_exists(fault, "/dest") != (err == LSM_OK))
		return kit_fail(why,
		                "the export said \"%s\", but there is%s "
		                "a store",
		                lsm_strerror(err), err == LSM_OK ? " not" : "");
	return true;
}

/* The store of `grown` with a memtable, exported in an env of its own. */
static bool try_export(struct attempt *a, struct kit_why *why)
{
	struct env_mem_crash all = {256, 1};
	struct kit_bounds dest = {BEFORE + UNFLUSHED, BEFORE + UNFLUSHED};
	struct kit_bounds bounds = {dest.least, dest.least + AFTER};
	struct lsm_runtime *runtime = NULL;
	struct env *env = NULL, *fault = NULL;
	struct lsm *store = NULL;
	bool good;

	kit_must(env_mem_after_crash(grown, &all, &env) == LSM_OK);
	kit_must(env_fault_create(env, &fault) == LSM_OK);
	env_fault_set_hook(fault, on_call, a);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	kit_must(kit_open(runtime, fault, "/store", false, &store) == LSM_OK);
	for (size_t i = 0; i < UNFLUSHED; i++)
		kit_must(kit_write(model, store, BEFORE + i) == LSM_OK);
	good = export_once(a, store, fault, why);
	(void)lsm_close(store); /* it may be poisoned */
	lsm_runtime_destroy(runtime);
	env_fault_destroy(fault);
	if (good)
		good = kit_check_store(env, "/store", model, bounds, false,
		                       NULL, why);
	if (good && kit_folder_exists(env, "/dest"))
		good =
		    kit_check_store(env, "/dest", model, dest, true, NULL, why);
	env_mem_destroy(env);
	return good;
}

static void fail_each(enum lsm_err fail, bool copy_export)
{
	struct attempt whole = {.copy_export = copy_export};
	struct kit_why why;
	uint64_t step;

	ck_assert_msg(try_export(&whole, &why), "%s", why.text);
	step = kit_full() ? 1 : whole.operations / 80 + 1;
	for (uint64_t at = 1 + seed % step; at <= whole.operations;
	     at += step) {
		struct attempt a = {
		    .fail = fail, .copy_export = copy_export, .fail_at = at};

		ck_assert_msg(try_export(&a, &why),
		              "operation %llu of %llu failed: %s",
		              (unsigned long long)at,
		              (unsigned long long)whole.operations, why.text);
	}
	fprintf(stderr, "%llu operations\n",
	        (unsigned long long)whole.operations);
}

START_TEST(failed_export_leaves_no_store)
{
	fail_each(LSM_ERR_IO, false);
}
END_TEST

START_TEST(export_on_a_full_disk_leaves_no_store)
{
	fail_each(LSM_ERR_NOSPACE, false);
}
END_TEST

START_TEST(failed_export_by_copies_leaves_no_store)
{
	fail_each(LSM_ERR_IO, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork crash");
	TCase *cuts = tcase_create("power cut");
	TCase *failures = tcase_create("failure");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(cuts, setup, teardown);
	tcase_set_timeout(cuts, TIMEOUT_S);
	tcase_add_test(cuts, export_by_links_is_whole_or_absent);
	tcase_add_test(cuts, export_beside_a_flush_is_whole_or_absent);
	tcase_add_test(cuts, export_by_copies_is_whole_or_absent);
	suite_add_tcase(suite, cuts);
	tcase_add_checked_fixture(failures, setup, teardown);
	tcase_set_timeout(failures, TIMEOUT_S);
	tcase_add_test(failures, failed_export_leaves_no_store);
	tcase_add_test(failures, export_on_a_full_disk_leaves_no_store);
	tcase_add_test(failures, failed_export_by_copies_leaves_no_store);
	suite_add_tcase(suite, failures);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
