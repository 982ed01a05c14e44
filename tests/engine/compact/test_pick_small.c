/* SPDX-License-Identifier: MIT */
/*
 * test_pick_small.c: small tables of L0 are merged with one another, and are no
 * reason to rewrite what lies below.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/compact/pick_kit.h"

enum { SMALL = 10 * KIB, MANY = 40 };

static struct pick_options options;

static void setup(void)
{
	pick_setup();
	options = pick_defaults;
	options.small_bytes = SMALL;
}

/* L0 of tables that all overlap, newest first: 's' a small one, 'b' a big one;
   over one large table in the last level. */
static struct version *l0_of(const char *tables)
{
	struct pick_spec specs[MANY + 1];
	size_t count = strlen(tables);

	ck_assert_uint_le(count, MANY);
	for (size_t i = 0; i < count; i++)
		specs[i] = (struct pick_spec){
		    0, 0, 9, tables[count - 1 - i] == 's' ? KIB : SMALL, 0};
	specs[count] = (struct pick_spec){LAST, 0, 9, 500 * KIB, 0};
	return pick_version(specs, count + 1);
}

static bool plan_for(struct version *version, struct compact_plan *plan)
{
	bool due;

	ck_assert_int_eq(
	    pick_compaction(version, &options, pick_cursor, plan, &due),
	    LSM_OK);
	return due;
}

START_TEST(small_tables_trigger_nothing_until_they_are_many)
{
	struct version *version = l0_of("sssssss");
	struct compact_plan plan;

	ck_assert_uint_eq(pick_l0_tables(version, &options), 0);
	ck_assert(!plan_for(version, &plan));
	version_unref(version);
}
END_TEST

START_TEST(many_small_tables_in_a_row_become_one_of_l0)
{
	struct version *version = l0_of("ssbssssssssb");
	struct compact_plan plan;

	ck_assert_uint_eq(pick_l0_tables(version, &options), 2);
	ck_assert(plan_for(version, &plan));
	ck_assert_uint_eq(plan.level, 0);
	ck_assert_uint_eq(plan.output_level, 0);
	ck_assert(!plan.trivial);
	ck_assert_uint_eq(plan.input_count[0], 8);
	ck_assert_uint_eq(plan.input_count[1], 0);
	for (size_t i = 0; i < 8; i++)
		ck_assert_ptr_eq(plan.inputs[0][i],
		                 version->levels[0].tables[3 + i]);
	compact_plan_release(&plan);
	ck_assert(!pick_l0_goes_first(version, &options));
	version_unref(version);
}
END_TEST

START_TEST(small_tables_that_others_part_are_no_row)
{
	struct version *version = l0_of("sssssbsssssbsssss");
	struct compact_plan plan;

	ck_assert(!plan_for(version, &plan));
	version_unref(version);
}
END_TEST

START_TEST(due_l0_takes_its_small_tables_down_with_it)
{
	/* Twice the trigger: it does not wait for what it overlaps. */
	struct version *version = l0_of("ssssssssbbbbbbbb");
	struct compact_plan plan;

	ck_assert(plan_for(version, &plan));
	ck_assert_uint_eq(plan.level, 0);
	ck_assert_uint_eq(plan.output_level, LAST);
	ck_assert_uint_eq(plan.input_count[0], 16);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(very_many_small_tables_are_urgent)
{
	struct version *version = l0_of("ssssssssssssssssssssssssssssssss");

	ck_assert(pick_l0_goes_first(version, &options));
	version_unref(version);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pick small");
	TCase *tc = tcase_create("small");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, pick_teardown);
	tcase_add_test(tc, small_tables_trigger_nothing_until_they_are_many);
	tcase_add_test(tc, many_small_tables_in_a_row_become_one_of_l0);
	tcase_add_test(tc, small_tables_that_others_part_are_no_row);
	tcase_add_test(tc, due_l0_takes_its_small_tables_down_with_it);
	tcase_add_test(tc, very_many_small_tables_are_urgent);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
