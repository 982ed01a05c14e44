/* SPDX-License-Identifier: MIT */
/*
 * test_pick_range.c: a table reaches as far as its range tombstones, these are
 * brought to what they cover, and that comes to an end.
 */
#include <check.h>

#include "tests/engine/compact/pick_kit.h"

/* Make the table hold a range tombstone that reaches to `reach`; returns its
   sequence, the table's least. */
static uint64_t give_range(struct version *version, unsigned level,
                           size_t index, uint8_t reach)
{
	struct table_info *info = &version->levels[level].tables[index]->info;
	uint8_t key[4] = {0, 0, 0, reach};

	info->ranges = 1;
	info->ranges_min_seq = info->min_seq;
	ck_assert_int_eq(buf_set(&info->ranges_reach, slice_make(key, 4)),
	                 LSM_OK);
	version->levels[level].ranged++;
	version_check(version);
	return info->ranges_min_seq;
}

static uint32_t first_number(const struct compact_plan *plan)
{
	return pick_key_number(&plan->inputs[0][0]->info.smallest);
}

START_TEST(table_meets_what_its_tombstones_reach)
{
	struct pick_spec specs[] = {
	    {LAST, 0, 5, 100 * KIB, 0},     {LAST, 6, 15, 100 * KIB, 0},
	    {LAST, 16, 30, 100 * KIB, 0},   {LAST, 60, 69, 100 * KIB, 0},
	    {LAST - 1, 2, 2, 100 * KIB, 0}, {LAST - 1, 40, 50, 100 * KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	give_range(version, LAST - 1, 0, 20);
	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	ck_assert_uint_eq(plan.input_count[0], 1);
	ck_assert_uint_eq(first_number(&plan), 2);
	ck_assert_uint_eq(plan.input_count[1], 3);
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

START_TEST(tombstones_of_the_last_level_take_what_they_reach_along)
{
	struct pick_spec specs[] = {{LAST, 0, 5, 10 * KIB, 0},
	                            {LAST, 6, 15, 10 * KIB, 0},
	                            {LAST, 16, 30, 10 * KIB, 0},
	                            {LAST, 60, 69, 10 * KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	enum pick_why whys[] = {PICK_PERIOD, PICK_ALL};
	struct compact_plan plan;
	uint64_t seq = give_range(version, LAST, 1, 20);

	for (int i = 0; i < 2; i++) {
		buf_clear(&pick_cursor[LAST]);
		ck_assert(pick_plan(version, whys[i], &plan));
		ck_assert_uint_eq(plan.level, LAST);
		ck_assert_uint_eq(plan.output_level, LAST);
		ck_assert_uint_eq(first_number(&plan), 6);
		ck_assert_uint_eq(plan.input_count[0], 2);
		ck_assert_uint_eq(plan.input_count[1], 0);
		ck_assert(!plan.trivial);
		compact_plan_release(&plan);
	}
	/* An older snapshot: nothing would come of it. */
	pick_oldest_snapshot = seq - 1;
	ck_assert(!pick_is_due(version, PICK_PERIOD));
	pick_oldest_snapshot = seq;
	ck_assert(pick_is_due(version, PICK_PERIOD));
	version_unref(version);
}
END_TEST

/* Tables are given sequences as they are listed. */
START_TEST(what_lies_above_and_is_older_comes_down_first)
{
	struct pick_spec specs[] = {{LAST - 2, 10, 19, 10 * KIB, 0},
	                            {LAST - 1, 30, 39, 10 * KIB, 0},
	                            {LAST, 0, 5, 10 * KIB, 0},
	                            {LAST - 3, 4, 40, 10 * KIB, 0}};
	struct version *version = PICK_VERSION(specs);
	struct compact_plan plan;

	give_range(version, LAST, 0, 25);
	ck_assert(pick_plan(version, PICK_PERIOD, &plan));
	ck_assert_uint_eq(plan.level, LAST - 2);
	ck_assert_uint_eq(first_number(&plan), 10);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pick_range");
	TCase *tc = tcase_create("pick_range");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, pick_setup, pick_teardown);
	tcase_add_test(tc, table_meets_what_its_tombstones_reach);
	tcase_add_test(tc,
	               tombstones_of_the_last_level_take_what_they_reach_along);
	tcase_add_test(tc, what_lies_above_and_is_older_comes_down_first);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
