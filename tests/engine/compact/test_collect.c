/* SPDX-License-Identifier: MIT */
/*
 * test_collect.c: segments are emptied for their garbage, or their smallness, and
 * only where nobody else uses them.
 */
#include <check.h>
#include <stdlib.h>

#include "compact/collect.h"
#include "tests/support/alloc_fault.h"

enum { AROUND = 96, SMALL = 1000 };

static struct segment_uses uses, doomed, movable;
static unsigned extra_users;

static unsigned users(void *ctx, struct file_id id)
{
	const struct segment_uses *list = ctx;
	const struct segment_use *use = segment_uses_find(list, id);

	return (use != NULL ? (unsigned)use->tables : 0) + extra_users;
}

static const struct collect_options half = {50, SMALL, 2, users, &uses};

static void add(uint64_t number, uint64_t file_bytes, uint64_t bytes)
{
	struct segment_use use = {.id = {1, number},
	                          .file_bytes = file_bytes + AROUND,
	                          .frames = 1,
	                          .bytes = bytes,
	                          .tables = 2};

	ck_assert_int_eq(segment_uses_add(&uses, &use), LSM_OK);
}

static bool has(const struct segment_uses *list, uint64_t number)
{
	return segment_uses_find(list, (struct file_id){1, number}) != NULL;
}

static void setup(void)
{
	segment_uses_init(&uses);
	segment_uses_init(&doomed);
	segment_uses_init(&movable);
	extra_users = 0;
	add(1, 100000, 100000); /* all in use */
	add(2, 100000, 70000);
	add(3, 100000, 40000);
	add(4, 100000, 1);
	add(5, 300, 300); /* small */
	add(6, 300, 100); /* and much garbage */
}

static void teardown(void)
{
	segment_uses_release(&uses);
	segment_uses_release(&doomed);
	segment_uses_release(&movable);
}

START_TEST(garbage_is_what_nothing_leads_to)
{
	ck_assert_uint_eq(collect_garbage(&uses.items[0]), 0);
	ck_assert_uint_eq(collect_garbage(&uses.items[1]), 30000);
	ck_assert_uint_eq(collect_garbage(&uses.items[3]), 99999);
	uses.items[0].bytes = UINT64_MAX / 2; /* nonsense from a disk */
	ck_assert_uint_eq(collect_garbage(&uses.items[0]), 0);
}
END_TEST

START_TEST(much_garbage_dooms_and_small_ones_may_move)
{
	ck_assert_int_eq(collect_doomed(&uses, &half, &doomed, &movable),
	                 LSM_OK);
	ck_assert_uint_eq(doomed.count, 3);
	ck_assert(has(&doomed, 3) && has(&doomed, 4) && has(&doomed, 6));
	ck_assert_uint_eq(movable.count, 4);
	ck_assert(has(&movable, 3) && has(&movable, 4) && has(&movable, 5) &&
	          has(&movable, 6));
}
END_TEST

START_TEST(few_small_ones_stay)
{
	struct collect_options three = half;

	three.small_count = 3;
	ck_assert_int_eq(collect_doomed(&uses, &three, &doomed, &movable),
	                 LSM_OK);
	ck_assert_uint_eq(doomed.count, 3);
	ck_assert_uint_eq(movable.count, 3);
	ck_assert(!has(&movable, 5) && has(&movable, 6));
}
END_TEST

START_TEST(what_others_use_is_left_alone)
{
	extra_users = 1;
	ck_assert_int_eq(collect_doomed(&uses, &half, &doomed, &movable),
	                 LSM_OK);
	ck_assert_uint_eq(doomed.count, 0);
	ck_assert_uint_eq(movable.count, 0);
	extra_users = 0;
	uses.items[2].shared = true;
	uses.items[5].shared = true;
	ck_assert_int_eq(collect_doomed(&uses, &half, &doomed, &movable),
	                 LSM_OK);
	ck_assert_uint_eq(doomed.count, 1);
	ck_assert(has(&doomed, 4));
}
END_TEST

START_TEST(a_lower_bound_dooms_more)
{
	struct collect_options tenth = half;

	tenth.garbage_percent = 10;
	ck_assert_int_eq(collect_doomed(&uses, &tenth, &doomed, &movable),
	                 LSM_OK);
	ck_assert_uint_eq(doomed.count, 4);
	ck_assert(!has(&doomed, 1) && has(&doomed, 2));
}
END_TEST

/* A table of `level` that refers to `bytes` of segment `number`. */
static struct table_meta *meta_of(uint64_t table, uint64_t number,
                                  uint64_t bytes)
{
	struct table_owner nobody = {.dropped = NULL};
	struct segment_use use = {.id = {1, number},
	                          .file_bytes = 100000,
	                          .frames = 1,
	                          .bytes = bytes,
	                          .tables = 1};
	struct table_meta *meta = NULL;
	struct table_info info;

	table_info_init(&info);
	ck_assert_int_eq(segment_uses_add(&info.segments, &use), LSM_OK);
	ck_assert_int_eq(
	    table_meta_create((struct file_id){1, table}, &info, nobody, &meta),
	    LSM_OK);
	return meta;
}

static void put_level(struct level *level, struct table_meta *a,
                      struct table_meta *b)
{
	level->tables = calloc(2, sizeof(struct table_meta *));
	ck_assert_ptr_nonnull(level->tables);
	level->tables[0] = a;
	level->tables[1] = b;
	level->count = 2;
}

START_TEST(only_what_fits_is_kept_and_the_emptiest_first)
{
	ck_assert_int_eq(segment_uses_append(&doomed, &uses), LSM_OK);
	segment_uses_sum(&doomed);
	collect_trim(&doomed, UINT64_MAX);
	ck_assert_uint_eq(doomed.count, 6);
	collect_trim(&doomed, 40200);
	ck_assert_uint_eq(doomed.count, 3);
	ck_assert(has(&doomed, 3) && has(&doomed, 4) && has(&doomed, 6));
	collect_trim(&doomed, 40000);
	ck_assert_uint_eq(doomed.count, 2);
	ck_assert(has(&doomed, 4) && has(&doomed, 6));
	collect_trim(&doomed, 1);
	ck_assert_uint_eq(doomed.count, 1);
	ck_assert(has(&doomed, 4));
	collect_trim(&doomed, 0);
	ck_assert_uint_eq(doomed.count, 0);
	/* Of those that are alike, some. */
	for (uint64_t i = 10; i < 20; i++)
		add(i, 100000, 50000);
	ck_assert_int_eq(segment_uses_append(&doomed, &uses), LSM_OK);
	segment_uses_sum(&doomed);
	collect_trim(&doomed, 200000);
	ck_assert_uint_eq(doomed.count, 3 + 3);
	ck_assert(has(&doomed, 12) && !has(&doomed, 13));
}
END_TEST

START_TEST(table_with_most_in_doomed_segments_is_picked)
{
	struct version *version = NULL;
	struct compact_plan plan;
	enum lsm_err err;
	bool due;

	ck_assert_int_eq(version_create(&version), LSM_OK);
	put_level(&version->levels[0], meta_of(11, 4, 90000),
	          meta_of(12, 3, 1));
	put_level(&version->levels[2], meta_of(13, 4, 500),
	          meta_of(14, 1, 99999));
	put_level(&version->levels[5], meta_of(15, 2, 9000),
	          meta_of(16, 3, 501));
	compact_plan_init(&plan);
	ck_assert_int_eq(collect_pick(version, &doomed, &plan, &due), LSM_OK);
	ck_assert(!due); /* nothing is doomed */

	ck_assert_int_eq(collect_doomed(&uses, &half, &doomed, &movable),
	                 LSM_OK);
	alloc_fault_arm(1);
	err = collect_pick(version, &doomed, &plan, &due);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert(!due);
	ck_assert_int_eq(collect_pick(version, &doomed, &plan, &due), LSM_OK);
	ck_assert(due);
	ck_assert_uint_eq(plan.level, 5);
	ck_assert_uint_eq(plan.output_level, 5);
	ck_assert_uint_eq(plan.input_count[0], 1);
	ck_assert_uint_eq(plan.input_count[1], 0);
	ck_assert_uint_eq(plan.inputs[0][0]->id.number, 16);
	ck_assert(!plan.trivial);
	compact_plan_release(&plan);
	version_unref(version);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("collect");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, garbage_is_what_nothing_leads_to);
	tcase_add_test(tc, much_garbage_dooms_and_small_ones_may_move);
	tcase_add_test(tc, few_small_ones_stay);
	tcase_add_test(tc, what_others_use_is_left_alone);
	tcase_add_test(tc, a_lower_bound_dooms_more);
	tcase_add_test(tc, only_what_fits_is_kept_and_the_emptiest_first);
	tcase_add_test(tc, table_with_most_in_doomed_segments_is_picked);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
