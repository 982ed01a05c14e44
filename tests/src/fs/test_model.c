/* SPDX-License-Identifier: MIT */
/*
 * test_model.c: random operations on a filesystem and on a model of it; every
 * answer is compared, and from time to time everything there is.
 *
 * SHALEFS_SEED repeats a run. The number of a step is printed where one fails.
 */
#include <check.h>
#include <stdlib.h>

#include "model_run.h"
#include "tests/support/compact_all.h"

enum {
	STEPS = 1500,
	DUMP_EVERY = 250,
	SEED = 977,
};

static void step_dump_one(struct run *run)
{
	run->what = "look at one";
	run_expect_node(run, run_pick(run, NULL));
}

/* Nobody uses anything any more, so what is held goes. */
static void step_reopen(struct run *run)
{
	run->what = "reopen";
	if (run_below(run, 6) != 0)
		return;
	if (run_below(run, 2) == 0) {
		kit_crash(&run->kit);
	} else {
		kit_close(&run->kit);
		kit_open(&run->kit);
	}
	for (int i = 0; i < TREE_NODES; i++) {
		if (run->tree.nodes[i].held)
			tree_drop(&run->tree, i);
	}
}

static void step_upkeep(struct run *run)
{
	run->what = "flush or compact";
	if (run_below(run, 3) == 0)
		run_expect(run, lsm_flush(run->kit.fs->store) == LSM_OK,
		           "flush");
	else if (run_below(run, 8) == 0)
		run_expect(run, compact_all(run->kit.fs->store) == LSM_OK,
		           "compact");
}

/* ---- runs ---------------------------------------------------------------- */

static void run_steps(struct run *run)
{
	static void (*const steps[])(struct run *) = {
	    step_create,      step_create,   step_create,    step_create,
	    step_tmpfile,     step_link,     step_link,      step_remove,
	    step_remove,      step_rename,   step_rename,    step_rename,
	    step_reclaim,     step_reclaim,  step_lookup,    step_write,
	    step_write,       step_write,    step_write,     step_small_writes,
	    step_read,        step_truncate, step_fallocate, step_fallocate,
	    step_seek,        step_copy,     step_setattr,   step_setxattr,
	    step_removexattr, step_dump_one, step_reopen,    step_upkeep,
	};
	int count = (int)(sizeof(steps) / sizeof(steps[0]));

	for (run->step = 0; run->step < STEPS && !run->failed; run->step++) {
		steps[run_below(run, count)](run);
		if (run->step % DUMP_EVERY == 0)
			run_expect_all(run);
	}
	run_expect_all(run);
}

static bool run_with(struct run *run, uint64_t seed)
{
	gen_init(&run->gen, gen_seed(seed));
	run->io = malloc(TREE_FILE_MAX_BYTES + 1);
	if (run->io == NULL)
		return false;
	kit_begin(&run->kit);
	tree_init(&run->tree, FS_ROOT_INO);
	run_steps(run);
	if (!run->failed)
		kit_end(&run->kit);
	tree_release(&run->tree);
	free(run->io);
	return !run->failed;
}

static struct run the_run;

START_TEST(filesystem_does_what_the_model_does)
{
	kit_init(&the_run.kit);
	ck_assert(run_with(&the_run, SEED));
}
END_TEST

START_TEST(with_tiny_limits_too)
{
	kit_init_tiny(&the_run.kit);
	ck_assert(run_with(&the_run, SEED + 1));
}
END_TEST

START_TEST(with_colliding_hashes_too)
{
	kit_init_tiny(&the_run.kit);
	/* Two hashes for 24 names; the other limits are as they were. */
	the_run.kit.hash_mask = 3;
	ck_assert(run_with(&the_run, SEED + 2));
}
END_TEST

START_TEST(without_credit_too)
{
	kit_init_tiny(&the_run.kit);
	the_run.kit.runtime_options.credit_bytes = 0;
	ck_assert(run_with(&the_run, SEED + 3));
}
END_TEST

START_TEST(with_batches_larger_than_the_credit_too)
{
	kit_init_tiny(&the_run.kit);
	the_run.kit.runtime_options.credit_bytes = 100000;
	the_run.kit.options.memtable_bytes = 0;
	ck_assert(run_with(&the_run, SEED + 4));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model");
	TCase *tc = tcase_create("model");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, filesystem_does_what_the_model_does);
	tcase_add_test(tc, with_tiny_limits_too);
	tcase_add_test(tc, with_colliding_hashes_too);
	tcase_add_test(tc, without_credit_too);
	tcase_add_test(tc, with_batches_larger_than_the_credit_too);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
