/* SPDX-License-Identifier: MIT */
/*
 * test_job_yield.c: a deep job that ends early leaves a whole tree, wherever it
 * does, and what is left of it can be done later.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/compact/job_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"

enum {
	LAST = LSM_LEVELS - 1,
	TABLES = 6, /* in the last level */
	EACH = 20,  /* keys of one */
	KEYS = TABLES * EACH,
	VALUE_BYTES = 4000,
};

static struct kit kit;
static struct version *version;
static char users[KEYS][8];
static char values[2][VALUE_BYTES + 1]; /* old, new */

/* What steers the jobs. */
static struct {
	unsigned asked, yield_at; /* end early when asked for that time */
	unsigned steps, refuse_at;
	uint64_t bytes;
	unsigned syncs;
} steer;

static bool yields(void *ctx)
{
	(void)ctx;
	return ++steer.asked == steer.yield_at;
}

static enum lsm_err step(void *ctx, uint64_t bytes)
{
	(void)ctx;
	steer.bytes += bytes;
	return ++steer.steps == steer.refuse_at ? LSM_ERR_INVALID : LSM_OK;
}

static void synced(void *ctx, uint64_t bytes, uint64_t ns)
{
	(void)ctx;
	(void)ns;
	steer.syncs += bytes > 0;
}

/* Old values in the tables of the last level, one table of new ones for every
   other key above them, among them `deleted` as tombstones. */
static void setup(void)
{
	struct entry entries[KEYS];
	struct gen gen;

	memset(&steer, 0, sizeof(steer));
	gen_init(&gen, gen_seed(1));
	for (size_t i = 0; i < 2 * (VALUE_BYTES + 1); i++)
		values[i / (VALUE_BYTES + 1)][i % (VALUE_BYTES + 1)] =
		    i % (VALUE_BYTES + 1) == VALUE_BYTES
			? '\0'
			: (char)(1 + gen_below(&gen, 255));
	kit_open(&kit);
	kit.context.control = (struct job_control){step, yields, synced, NULL};
	kit.context.table_bytes = 16 << 10;
	ck_assert_int_eq(version_create(&version), LSM_OK);
	for (size_t i = 0; i < KEYS; i++) {
		snprintf(users[i], sizeof(users[i]), "a%04u", (unsigned)i);
		entries[i] =
		    (struct entry){users[i], i + 1, KEY_PUT, values[0]};
	}
	for (size_t i = 0; i < TABLES; i++)
		kit_add_table(&kit, &version, LAST, entries + i * EACH, EACH);
	for (size_t i = 0; i < KEYS / 2; i++)
		entries[i] = (struct entry){users[2 * i], KEYS + i + 1, KEY_PUT,
		                            values[1]};
	kit_add_table(&kit, &version, LAST - 1, entries, KEYS / 2);
	memset(&steer, 0, sizeof(steer));
}

static void teardown(void)
{
	version_unref(version);
	kit_close(&kit);
}

/* All of both levels. */
static enum lsm_err compact(struct edit *edit)
{
	return kit_compact(&kit, version, LAST - 1, LAST, edit);
}

static void assert_reads(const char *user, const char *expected)
{
	struct buf value = BUF_INIT;
	bool found = kit_get(&kit, version, user, KEY_SEQ_MAX, &value);

	ck_assert(found == (expected != NULL));
	if (found)
		ck_assert_str_eq((const char *)value.data, expected);
	buf_release(&value);
}

static void assert_all(void)
{
	for (size_t i = 0; i < KEYS; i++)
		assert_reads(users[i], values[i % 2 == 0 ? 1 : 0]);
}

static bool lists(const struct level *level, struct file_id id)
{
	for (size_t i = 0; i < level->count; i++)
		if (file_id_equal(level->tables[i]->id, id))
			return true;
	return false;
}

/* ---- where it ends --------------------------------------------------- */

START_TEST(job_may_end_between_any_two_tables_of_the_output_level)
{
	struct file_id before[TABLES];
	struct edit edit;

	for (size_t i = 0; i < TABLES; i++)
		before[i] = version->levels[LAST].tables[i]->id;
	steer.yield_at = (unsigned)_i;
	ck_assert_int_eq(compact(&edit), LSM_OK);
	ck_assert_uint_eq(steer.asked, (unsigned)_i);
	kit_apply(&version, &edit);
	assert_all();

	ck_assert_uint_eq(version->levels[LAST - 1].count, 1);
	ck_assert_uint_eq(version->levels[LAST - 1].tables[0]->info.entries,
	                  (KEYS - (unsigned)_i * EACH) / 2);
	for (size_t i = 0; i < TABLES; i++)
		ck_assert(lists(&version->levels[LAST], before[i]) ==
		          (i >= (size_t)_i));
}
END_TEST

START_TEST(job_that_is_interrupted_each_time_comes_to_its_end)
{
	unsigned jobs = 0;

	while (version->levels[LAST - 1].count > 0) {
		struct edit edit;

		steer.asked = 0;
		steer.yield_at = 1;
		ck_assert_int_eq(compact(&edit), LSM_OK);
		kit_apply(&version, &edit);
		assert_all();
		ck_assert_uint_lt(jobs++, TABLES * EACH);
	}
	ck_assert_uint_gt(jobs, 1);
}
END_TEST

START_TEST(job_of_l0_is_not_interrupted)
{
	struct entry entries[] = {{users[0], 1000, KEY_PUT, values[1]},
	                          {users[KEYS - 1], 1001, KEY_PUT, values[0]}};
	struct compact_plan plan;
	struct edit edit;

	kit_add_table(&kit, &version, 0, entries, 2);
	kit_plan(version, LAST - 1, LAST, &plan);
	plan.level = 0;
	table_meta_unref(plan.inputs[0][0]);
	plan.inputs[0][0] = version->levels[0].tables[0];
	table_meta_ref(plan.inputs[0][0]);
	steer.yield_at = 1;
	edit_init(&edit);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_OK);
	ck_assert_uint_eq(steer.asked, 0);
	edit_release(&edit);
	compact_plan_release(&plan);
}
END_TEST

/* The place by what is written would lie between two tables, but the tombstone
   that hides the next table's first key is gone by then. */
START_TEST(what_was_dropped_before_the_place_stays_dropped)
{
	struct entry entries[] = {
	    {users[1], 1000, KEY_PUT, values[1]},
	    {users[EACH], 1001, KEY_DELETE, ""},
	    {users[EACH + 1], 1002, KEY_PUT, values[1]},
	    {users[KEYS - 1], 1003, KEY_PUT, values[1]},
	};
	struct edit edit;

	edit_init(&edit);
	ck_assert_int_eq(
	    edit_remove_table(&edit, LAST - 1,
	                      version->levels[LAST - 1].tables[0]->id),
	    LSM_OK);
	kit_apply(&version, &edit);
	kit_add_table(&kit, &version, LAST - 1, entries, 4);
	steer.yield_at = 1;
	ck_assert_int_eq(compact(&edit), LSM_OK);
	kit_apply(&version, &edit);
	ck_assert_uint_eq(version->levels[LAST - 1].count, 1);
	assert_reads(users[EACH - 1], values[0]);
	assert_reads(users[EACH], NULL);
	assert_reads(users[EACH + 1], values[1]);
}
END_TEST

/* The tombstone is over and goes: what it covers must all go with it. */
START_TEST(job_does_not_end_in_the_range_of_a_tombstone_that_went)
{
	struct entry entries[] = {
	    {"a", 1000, KEY_RANGE_DELETE,
	     "\1"
	     "0"
	     "\4"
	     "0061"},
	    {users[1], 1001, KEY_PUT, values[1]},
	    {users[EACH], 1002, KEY_PUT, values[1]},
	    {users[KEYS - 1], 1003, KEY_PUT, values[1]},
	};
	struct edit edit;

	kit.context.range_prefix_bytes = 1;
	edit_init(&edit);
	ck_assert_int_eq(
	    edit_remove_table(&edit, LAST - 1,
	                      version->levels[LAST - 1].tables[0]->id),
	    LSM_OK);
	kit_apply(&version, &edit);
	kit_add_table(&kit, &version, LAST - 1, entries, 4);
	ck_assert(version_has_ranges(version));
	steer.yield_at = 1;
	ck_assert_int_eq(compact(&edit), LSM_OK);
	kit_apply(&version, &edit);
	/* It ended early, and not before users[80]. */
	ck_assert_uint_eq(version->levels[LAST - 1].count, 1);
	ck_assert(!version_has_ranges(version));
	for (size_t i = 0; i < KEYS; i++)
		if (i == 1 || i == EACH || i == KEYS - 1)
			assert_reads(users[i], values[1]);
		else
			assert_reads(users[i], i < 61 ? NULL : values[0]);
}
END_TEST

/* ---- failures -------------------------------------------------------- */

static void assert_untouched(const struct edit *edit)
{
	ck_assert_uint_eq(edit->added_count, 0);
	ck_assert_uint_eq(edit->removed_count, 0);
	ck_assert_uint_eq(kit_known(&kit), TABLES + 1);
	ck_assert_uint_eq(kit_in_folder(&kit), TABLES + 1);
}

START_TEST(each_failing_operation_of_an_interrupted_job_leaves_nothing)
{
	struct edit edit;
	enum lsm_err err;
	uint64_t nth;

	for (nth = 1;; nth++) {
		steer.asked = 0;
		steer.yield_at = 2;
		env_fault_arm(kit.env, nth, LSM_ERR_NOSPACE, false);
		err = compact(&edit);
		if (env_fault_count(kit.env) < nth)
			break;
		env_fault_arm(kit.env, 0, LSM_OK, false);
		ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		assert_untouched(&edit);
		edit_release(&edit);
	}
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_gt(nth, 20);
	kit_apply(&version, &edit);
	ck_assert_uint_eq(version->levels[LAST - 1].count, 1);
	assert_all();
}
END_TEST

START_TEST(each_failing_allocation_of_an_interrupted_job_leaves_nothing)
{
	struct compact_plan plan;
	struct edit edit;
	enum lsm_err err;
	uint64_t nth;

	kit_plan(version, LAST - 1, LAST, &plan);
	edit_init(&edit);
	for (nth = 1;; nth++) {
		bool failed;

		steer.asked = 0;
		steer.yield_at = 2;
		alloc_fault_arm(nth);
		err = job_compact(&kit.context, version, &plan, &edit);
		failed = alloc_fault_disarm();
		if (err == LSM_OK)
			break;
		ck_assert(failed);
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
		assert_untouched(&edit);
	}
	ck_assert_uint_gt(nth, 20);
	compact_plan_release(&plan);
	kit_apply(&version, &edit);
	ck_assert_uint_eq(version->levels[LAST - 1].count, 1);
	assert_all();
}
END_TEST

START_TEST(job_may_be_refused_at_each_step)
{
	struct edit edit;
	enum lsm_err err;
	unsigned nth;

	for (nth = 1;; nth++) {
		steer.steps = 0;
		steer.refuse_at = nth;
		err = compact(&edit);
		if (err == LSM_OK)
			break;
		ck_assert_int_eq(err, LSM_ERR_INVALID);
		assert_untouched(&edit);
		edit_release(&edit);
	}
	ck_assert_uint_gt(nth, 3);
	kit_apply(&version, &edit);
	assert_all();
}
END_TEST

START_TEST(steps_and_syncs_tell_what_is_written)
{
	uint64_t written = 0;
	struct edit edit;

	kit.context.table_bytes = 200 << 10;
	ck_assert_int_eq(compact(&edit), LSM_OK);
	ck_assert_uint_eq(steer.syncs, edit.added_count);
	kit_apply(&version, &edit);
	for (size_t i = 0; i < version->levels[LAST].count; i++)
		written += version->levels[LAST].tables[i]->info.file_bytes;
	ck_assert_uint_gt(steer.bytes, written / 2);
	ck_assert_uint_le(steer.bytes, written);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job yield");
	TCase *tc = tcase_create("ends");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(
	    tc, job_may_end_between_any_two_tables_of_the_output_level, 1,
	    TABLES);
	tcase_add_test(tc, job_that_is_interrupted_each_time_comes_to_its_end);
	tcase_add_test(tc, job_of_l0_is_not_interrupted);
	tcase_add_test(tc, what_was_dropped_before_the_place_stays_dropped);
	tcase_add_test(tc,
	               job_does_not_end_in_the_range_of_a_tombstone_that_went);
	tcase_add_test(
	    tc, each_failing_operation_of_an_interrupted_job_leaves_nothing);
	tcase_add_test(
	    tc, each_failing_allocation_of_an_interrupted_job_leaves_nothing);
	tcase_add_test(tc, job_may_be_refused_at_each_step);
	tcase_add_test(tc, steps_and_syncs_tell_what_is_written);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
