/* SPDX-License-Identifier: MIT */
/*
 * test_pick.c: the most urgent job is found, with all the inputs that it needs.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/compact/pick_kit.h"
#include "tests/support/alloc_fault.h"

/* ---- levels ---------------------------------------------------------- */

START_TEST(empty_version_has_nothing_due)
{
	struct version *version;

	ck_assert_int_eq(version_create(&version), LSM_OK);
	ck_assert_uint_eq(pick_base_level(version, &pick_defaults), LAST);
	ck_assert(!pick_is_due(version, PICK_TRIGGER));
	ck_assert(!pick_is_due(version, PICK_PERIOD));
	ck_assert(!pick_is_due(version, PICK_ALL));
	version_unref(version);
}
END_TEST

START_TEST(base_level_rises_as_the_last_level_grows)
{
	static const struct {
		uint64_t bytes;
		unsigned base;
	} cases[] = {
	    {1000 * KIB, LAST},       {1001 * KIB, LAST - 1},
	    {10000 * KIB, LAST - 1},  {10001 * KIB, LAST - 2},
	    {100001 * KIB, LAST - 3}, {UINT64_C(1) << 50, 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pick_spec spec = {LAST, 0, 9, cases[i].bytes, 0};
		struct version *version = pick_version(&spec, 1);

		ck_assert_uint_eq(pick_base_level(version, &pick_defaults),
		                  cases[i].base);
		version_unref(version);
	}
}
END_TEST

START_TEST(base_level_is_not_below_a_level_in_use)
{
	struct pick_spec specs[] = {{3, 0, 9, KIB, 0}, {LAST, 0, 9, KIB, 0}};
	struct version *version = PICK_VERSION(specs);

	ck_assert_uint_eq(pick_base_level(version, &pick_defaults), 3);
	version_unref(version);
}
END_TEST

START_TEST(oversized_level_gives_one_table_to_the_next)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 2000 * KIB, 0},
	    {LAST - 1, 20, 29, 2000 * KIB, 0},
	    {LAST, 0, 25, 10000 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert_uint_eq(plan.level, LAST - 1);
	ck_assert_uint_eq(plan.output_level, LAST);
	ck_assert_uint_eq(plan.input_count[0], 1);
	ck_assert_uint_eq(plan.input_count[1], 1);
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(level_within_its_size_rests)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 1000 * KIB, 0},
	    {LAST, 0, 25, 10000 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert(!pick_is_due(version, PICK_TRIGGER));
	ck_assert(!pick_is_due(version, PICK_PERIOD));
	version_unref(version);
}
END_TEST

/* ---- L0 -------------------------------------------------------------- */

START_TEST(l0_below_its_trigger_waits_for_the_period)
{
	struct pick_spec specs[] = {
	    {0, 0, 9, KIB, 0}, {0, 0, 9, KIB, 0}, {0, 0, 9, KIB, 0}};
	struct version *version = PICK_VERSION(specs);

	ck_assert(!pick_is_due(version, PICK_TRIGGER));
	ck_assert(pick_is_due(version, PICK_PERIOD));
	version_unref(version);
}
END_TEST

START_TEST(few_but_large_l0_tables_are_due)
{
	struct pick_spec specs[] = {{0, 0, 9, 1000 * KIB, 0}};
	struct version *version = PICK_VERSION(specs);

	ck_assert(pick_is_due(version, PICK_TRIGGER));
	version_unref(version);
}
END_TEST

/* What its values have replaced is not known before. */
START_TEST(l0_that_leads_to_much_in_segments_is_due)
{
	struct pick_spec specs[] = {
	    {0, 0, 9, 10 * KIB, 0},
	    {LAST, 0, 9, 900 * KIB, 0},
	};
	static const struct {
		uint64_t led_bytes;
		bool due;
	} cases[] = {{0, false}, {240 * KIB, false}, {250 * KIB, true}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct version *version;

		pick_l0_led_bytes = cases[i].led_bytes;
		version = PICK_VERSION(specs);
		ck_assert(pick_is_due(version, PICK_TRIGGER) == cases[i].due);
		version_unref(version);
	}
}
END_TEST

START_TEST(l0_waits_less_where_it_leads_to_segments)
{
	struct pick_spec specs[] = {
	    {0, 0, 9, 10 * KIB, 0},     {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},     {0, 0, 9, 10 * KIB, 0},
	    {LAST, 0, 9, 900 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert(!pick_is_due(version, PICK_TRIGGER));
	version_unref(version);
	pick_l0_led_bytes = 20 * KIB;
	version = PICK_VERSION(specs);
	ck_assert(pick_is_due(version, PICK_TRIGGER));
	version_unref(version);
}
END_TEST

START_TEST(l0_job_takes_all_of_l0_and_all_between_its_bounds)
{
	struct pick_spec specs[] = {
	    {0, 10, 20, 10 * KIB, 0},    {0, 10, 20, 10 * KIB, 0},
	    {0, 60, 70, 10 * KIB, 0},    {0, 60, 70, 10 * KIB, 0},
	    {LAST, 0, 9, 40 * KIB, 0},   {LAST, 15, 25, 10 * KIB, 0},
	    {LAST, 30, 40, 10 * KIB, 0}, /* in the gap: outputs may span it */
	    {LAST, 70, 80, 10 * KIB, 0}, {LAST, 81, 90, 40 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert_uint_eq(plan.level, 0);
	ck_assert_uint_eq(plan.output_level, LAST);
	ck_assert_uint_eq(plan.input_count[0], 4);
	ck_assert_uint_eq(plan.input_count[1], 3);
	ck_assert(!plan.trivial);
	ck_assert_uint_eq(pick_key_number(&plan.inputs[1][0]->info.smallest),
	                  15);
	ck_assert_uint_eq(pick_key_number(&plan.inputs[1][2]->info.smallest),
	                  70);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(disjoint_l0_moves_without_a_rewrite)
{
	struct pick_spec specs[] = {
	    {0, 10, 19, 30 * KIB, 0}, {0, 20, 29, 30 * KIB, 0},
	    {0, 40, 49, 30 * KIB, 0}, {0, 50, 59, 30 * KIB, 0},
	    {LAST, 30, 39, KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert(plan.trivial);
	ck_assert_uint_eq(plan.input_count[0], 4);
	ck_assert_uint_eq(plan.input_count[1], 0);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(tiny_disjoint_l0_tables_become_one)
{
	struct pick_spec specs[] = {
	    {0, 10, 19, KIB, 0},
	    {0, 20, 29, KIB, 0},
	    {0, 40, 49, KIB, 0},
	    {0, 50, 59, KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert(!plan.trivial);
	ck_assert_uint_eq(plan.input_count[0], 4);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(tiny_neighbours_are_taken_along)
{
	struct pick_spec specs[] = {
	    {0, 30, 39, KIB, 0},
	    {LAST, 0, 9, KIB, 0},
	    {LAST, 10, 19, 5 * KIB, 0},
	    {LAST, 50, 59, 30 * KIB, 0}, /* not tiny */
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	ck_assert(!plan.trivial);
	ck_assert_uint_eq(plan.input_count[0], 1);
	ck_assert_uint_eq(plan.input_count[1], 1);
	ck_assert_uint_eq(pick_key_number(&plan.inputs[1][0]->info.smallest),
	                  10);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(l0_tables_that_share_one_key_are_rewritten)
{
	struct pick_spec specs[] = {
	    {0, 10, 20, KIB, 0},
	    {0, 20, 30, KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

static struct version *small_l0_over_much(size_t tables)
{
	struct pick_spec specs[16] = {{LAST, 0, 99, 900 * KIB, 0}};

	for (size_t i = 1; i <= tables; i++)
		specs[i] = (struct pick_spec){0, 10, 20, KIB, 0};
	return pick_version(specs, tables + 1);
}

START_TEST(small_l0_over_much_waits_up_to_twice_its_trigger)
{
	struct version *few = small_l0_over_much(7);
	struct version *enough = small_l0_over_much(8);

	ck_assert(!pick_is_due(few, PICK_TRIGGER));
	ck_assert(pick_is_due(few, PICK_PERIOD));
	ck_assert(pick_is_due(enough, PICK_TRIGGER));
	version_unref(few);
	version_unref(enough);
}
END_TEST

/* ---- which table ----------------------------------------------------- */

/* The first key of the one table that is picked from the level above the last
   by `why`. */
static uint32_t picked_from(struct version *version, enum pick_why why)
{
	struct compact_plan plan;
	uint32_t from;

	ck_assert(pick_plan(version, why, &plan));
	ck_assert_uint_eq(plan.level, LAST - 1);
	ck_assert_uint_eq(plan.input_count[0], 1);
	from = pick_key_number(&plan.inputs[0][0]->info.smallest);
	compact_plan_release(&plan);
	return from;
}

START_TEST(due_l0_goes_before_a_level_that_exceeds_its_size_more)
{
	struct pick_spec specs[] = {
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {LAST - 1, 50, 59, 1900 * KIB, 0},
	    {LAST, 0, 99, 10000 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_l0_goes_first(version, &pick_defaults));
	ck_assert(!pick_is_behind(version, &pick_defaults));
	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert_uint_eq(plan.level, 0);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(overfull_base_level_goes_before_l0)
{
	struct pick_spec specs[] = {
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {0, 0, 9, 10 * KIB, 0},
	    {LAST - 1, 50, 59, 2100 * KIB, 0},
	    {LAST, 0, 99, 10000 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_l0_is_due(version, &pick_defaults));
	ck_assert(!pick_l0_goes_first(version, &pick_defaults));
	ck_assert(pick_is_behind(version, &pick_defaults));
	ck_assert(pick_plan(version, PICK_TRIGGER, &plan));
	ck_assert_uint_eq(plan.level, LAST - 1);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(nobody_yields_to_l0_that_is_not_due)
{
	struct pick_spec specs[] = {{0, 0, 9, KIB, 0}, {0, 0, 9, KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	struct version *empty = pick_version(NULL, 0);

	ck_assert(!pick_l0_is_due(version, &pick_defaults));
	ck_assert(!pick_l0_is_due(empty, &pick_defaults));
	ck_assert(!pick_l0_goes_first(version, &pick_defaults));
	ck_assert(!pick_l0_goes_first(empty, &pick_defaults));
	ck_assert(!pick_is_behind(empty, &pick_defaults));
	version_unref(empty);
	version_unref(version);
}
END_TEST

START_TEST(table_that_rewrites_least_goes_first)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 1000 * KIB, 0},
	    {LAST - 1, 20, 29, 1000 * KIB, 0},
	    {LAST - 1, 40, 49, 1000 * KIB, 0},
	    {LAST, 0, 9, 400 * KIB, 0},
	    {LAST, 20, 25, 100 * KIB, 0},
	    {LAST, 26, 29, 100 * KIB, 0},
	    {LAST, 40, 49, 300 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 20);
	version_unref(version);
}
END_TEST

START_TEST(table_of_tombstones_goes_before_one_that_rewrites_less)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 1000 * KIB, 0},
	    {LAST - 1, 20, 29, 1000 * KIB, 900},
	    {LAST, 0, 9, 300 * KIB, 0},
	    {LAST, 20, 29, 400 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 20);
	version_unref(version);
}
END_TEST

START_TEST(equal_tables_take_turns)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 1000 * KIB, 0},
	    {LAST - 1, 20, 29, 1000 * KIB, 0},
	    {LAST - 1, 40, 49, 1000 * KIB, 0},
	    {LAST, 60, 69, 100 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 0);
	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 20);
	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 40);
	ck_assert_uint_eq(picked_from(version, PICK_TRIGGER), 0);
	version_unref(version);
}
END_TEST

START_TEST(period_pushes_a_table_of_tombstones_down)
{
	struct pick_spec specs[] = {
	    {LAST - 1, 0, 9, 10 * KIB, 249},
	    {LAST - 1, 20, 29, 10 * KIB, 250},
	    {LAST, 0, 99, 500 * KIB, 0},
	};
	struct version *version = PICK_VERSION(specs);

	ck_assert(!pick_is_due(version, PICK_TRIGGER));
	ck_assert_uint_eq(picked_from(version, PICK_PERIOD), 20);
	version_unref(version);
}
END_TEST

/* Moved as they are, tombstones would stay in the last level for ever. */
START_TEST(tombstones_do_not_move_into_the_last_level)
{
	struct pick_spec many[] = {{LAST - 1, 0, 9, KIB, 250}};
	struct pick_spec few[] = {{LAST - 1, 0, 9, KIB, 1}};
	struct version *version = PICK_VERSION(many);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);

	version = PICK_VERSION(few);
	ck_assert(pick_plan(version, PICK_ALL, &plan));
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(all_rewrites_tombstones_of_the_last_level)
{
	struct pick_spec specs[] = {{LAST, 0, 9, KIB, 0},
	                            {LAST, 10, 19, KIB, 1},
	                            {LAST, 20, 29, KIB, 2}};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(!pick_is_due(version, PICK_PERIOD));
	for (uint32_t from = 10; from <= 20; from += 10) {
		ck_assert(pick_plan(version, PICK_ALL, &plan));
		ck_assert_uint_eq(plan.level, LAST);
		ck_assert_uint_eq(plan.output_level, LAST);
		ck_assert(!plan.trivial);
		ck_assert_uint_eq(plan.input_count[0], 1);
		ck_assert_uint_eq(
		    pick_key_number(&plan.inputs[0][0]->info.smallest), from);
		compact_plan_release(&plan);
	}
	/* Nothing was applied, as though snapshots had kept them. */
	ck_assert(!pick_is_due(version, PICK_ALL));
	version_unref(version);
}
END_TEST

START_TEST(plan_holds_its_tables)
{
	struct pick_spec specs[] = {{0, 0, 9, KIB, 0}, {LAST, 0, 9, KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	version_unref(version);
	ck_assert_uint_eq(pick_dropped, 0);
	compact_plan_release(&plan);
	ck_assert_uint_eq(pick_dropped, 2);
}
END_TEST

START_TEST(lack_of_memory_picks_nothing)
{
	struct pick_spec specs[] = {{0, 0, 9, KIB, 0}, {LAST, 0, 9, KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	struct pick_options options = pick_defaults;
	struct compact_plan plan;
	enum lsm_err err;
	uint64_t nth;
	bool due;

	options.why = PICK_PERIOD;
	for (nth = 1;; nth++) {
		alloc_fault_arm(nth);
		err = pick_compaction(version, &options, pick_cursor, &plan,
		                      &due);
		if (!alloc_fault_disarm())
			break;
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
		ck_assert(!due);
		ck_assert_uint_eq(plan.input_count[0], 0);
	}
	ck_assert_uint_gt(nth, 1);
	ck_assert_int_eq(err, LSM_OK);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

static void add_level_tests(Suite *suite)
{
	TCase *tc = tcase_create("levels");

	tcase_add_checked_fixture(tc, pick_setup, pick_teardown);
	tcase_add_test(tc, empty_version_has_nothing_due);
	tcase_add_test(tc, base_level_rises_as_the_last_level_grows);
	tcase_add_test(tc, base_level_is_not_below_a_level_in_use);
	tcase_add_test(tc, oversized_level_gives_one_table_to_the_next);
	tcase_add_test(tc, level_within_its_size_rests);
	tcase_add_test(tc, l0_below_its_trigger_waits_for_the_period);
	tcase_add_test(tc, few_but_large_l0_tables_are_due);
	tcase_add_test(tc, l0_that_leads_to_much_in_segments_is_due);
	tcase_add_test(tc, l0_waits_less_where_it_leads_to_segments);
	tcase_add_test(tc, l0_job_takes_all_of_l0_and_all_between_its_bounds);
	tcase_add_test(tc, disjoint_l0_moves_without_a_rewrite);
	tcase_add_test(tc, tiny_disjoint_l0_tables_become_one);
	tcase_add_test(tc, tiny_neighbours_are_taken_along);
	tcase_add_test(tc, l0_tables_that_share_one_key_are_rewritten);
	tcase_add_test(tc, small_l0_over_much_waits_up_to_twice_its_trigger);
	suite_add_tcase(suite, tc);
}

static void add_table_tests(Suite *suite)
{
	TCase *tc = tcase_create("tables");

	tcase_add_checked_fixture(tc, pick_setup, pick_teardown);
	tcase_add_test(tc,
	               due_l0_goes_before_a_level_that_exceeds_its_size_more);
	tcase_add_test(tc, overfull_base_level_goes_before_l0);
	tcase_add_test(tc, nobody_yields_to_l0_that_is_not_due);
	tcase_add_test(tc, table_that_rewrites_least_goes_first);
	tcase_add_test(tc,
	               table_of_tombstones_goes_before_one_that_rewrites_less);
	tcase_add_test(tc, equal_tables_take_turns);
	tcase_add_test(tc, period_pushes_a_table_of_tombstones_down);
	tcase_add_test(tc, tombstones_do_not_move_into_the_last_level);
	tcase_add_test(tc, all_rewrites_tombstones_of_the_last_level);
	tcase_add_test(tc, plan_holds_its_tables);
	tcase_add_test(tc, lack_of_memory_picks_nothing);
	suite_add_tcase(suite, tc);
}

int main(void)
{
	Suite *suite = suite_create("pick");
	SRunner *runner;
	int failed;

	add_level_tests(suite);
	add_table_tests(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
