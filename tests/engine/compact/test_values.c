/* SPDX-License-Identifier: MIT */
/*
 * test_values.c: a job puts large values into segments, and copies them out of
 * doomed ones for as long as it may.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/compact/job_kit.h"

enum { LAST = LSM_LEVELS - 1, SEGMENT_NUMBERS = 9000 };

static struct kit kit;
static struct version *version;
static struct segment_source segments;
static uint64_t segment_number;
static unsigned held;
static struct file_id damaged; /* the last; zero: none */
static struct segment_uses known;

static const struct entry entries[] = {
    {"a", 1, KEY_PUT, "large value a"}, {"b", 2, KEY_PUT, "s"},
    {"c", 3, KEY_PUT, "large value c"}, {"d", 4, KEY_DELETE, ""},
    {"e", 5, KEY_PUT, "large value e"}, {"f", 6, KEY_MERGE, "op"},
};
enum { ENTRIES = sizeof(entries) / sizeof(entries[0]), LARGE_VALUES = 3 };

static enum lsm_err new_segment(void *ctx, struct file_id *id_out)
{
	(void)ctx;
	held++;
	*id_out = (struct file_id){1, SEGMENT_NUMBERS + ++segment_number};
	return LSM_OK;
}

static void let_go(void *ctx, struct file_id id)
{
	(void)ctx;
	(void)id;
	held--;
}

static void note_damage(void *ctx, struct file_id id)
{
	(void)ctx;
	damaged = id;
}

static void setup(void)
{
	kit_open(&kit);
	ck_assert_int_eq(version_create(&version), LSM_OK);
	segments.pool = kit.pool;
	segments.family = kit.source.family;
	segments.files = kit.files;
	segment_uses_init(&known);
	kit.context.segment_min_bytes = 5;
	kit.context.segment_bytes = 1 << 20;
	kit.context.relocate_bytes = 1 << 20;
	kit.context.segments = &segments;
	kit.context.new_segment = new_segment;
	kit.context.segment_let_go = let_go;
	kit.context.segment_damaged = note_damage;
	kit.context.segments_known = &known;
}

static enum lsm_err unlink_segment(void *ctx, const char *name)
{
	enum file_kind kind;
	struct file_id id;

	(void)ctx;
	if (file_name_parse(name, &kind, &id) && kind == FILE_KIND_SEGMENT) {
		segment_forget(&segments, id);
		return env_unlink(kit.pool, name);
	}
	return LSM_OK;
}

static void teardown(void)
{
	ck_assert_uint_eq(held, 0);
	segment_uses_release(&known);
	version_unref(version);
	ck_assert_int_eq(env_dir_list(kit.pool, unlink_segment, NULL), LSM_OK);
	kit_close(&kit);
}

/* The one table of the last level, whose values are apart. */
static void write_table(void)
{
	struct edit edit;

	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit.context,
	                                  kit_stream(entries, ENTRIES), LAST,
	                                  false, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
	segment_uses_release(&known);
	ck_assert_int_eq(version_segments(version, &known), LSM_OK);
}

/* Rewrite it where it stands, with all segments of `doomed` to be emptied. */
static void rewrite(const struct segment_uses *doomed)
{
	struct compact_plan plan;
	struct edit edit;

	compact_plan_init(&plan);
	plan.level = plan.output_level = LAST;
	plan.inputs[0] = calloc(1, sizeof(struct table_meta *));
	ck_assert_ptr_nonnull(plan.inputs[0]);
	plan.inputs[0][0] = version->levels[LAST].tables[0];
	table_meta_ref(plan.inputs[0][0]);
	plan.input_count[0] = 1;
	kit.context.doomed = doomed;
	edit_init(&edit);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
	compact_plan_release(&plan);
}

static const struct segment_uses *uses(void)
{
	ck_assert_uint_eq(version->levels[LAST].count, 1);
	return &version->levels[LAST].tables[0]->info.segments;
}

START_TEST(large_values_go_into_a_segment)
{
	write_table();
	ck_assert_uint_eq(uses()->count, 1);
	ck_assert_uint_eq(uses()->items[0].frames, LARGE_VALUES);
	ck_assert_uint_gt(uses()->items[0].file_bytes, uses()->items[0].bytes);
	ck_assert_uint_eq(kit_in_folder(&kit), 2);
}
END_TEST

START_TEST(a_full_segment_is_followed_by_another)
{
	kit.context.segment_bytes = 1;
	write_table();
	ck_assert_uint_eq(uses()->count, LARGE_VALUES);
}
END_TEST

START_TEST(pointers_pass_as_they_are)
{
	write_table();
	rewrite(NULL);
	ck_assert(segment_uses_equal(uses(), &known));
	ck_assert_uint_eq(segment_number, 1);
}
END_TEST

START_TEST(doomed_segment_is_emptied)
{
	write_table();
	rewrite(&known);
	ck_assert_uint_eq(uses()->count, 1);
	ck_assert(!file_id_equal(uses()->items[0].id, known.items[0].id));
	ck_assert_uint_eq(uses()->items[0].frames, LARGE_VALUES);
	ck_assert_uint_eq(damaged.number, 0);
}
END_TEST

static bool always(void *ctx)
{
	(void)ctx;
	return true;
}

/* One value is copied, however urgent others are. */
START_TEST(copying_ends_when_the_job_is_to_yield_or_has_had_its_share)
{
	struct segment_use *left;

	for (int round = 0; round < 2; round++) {
		write_table();
		if (round == 0)
			kit.context.control.yield = always;
		else
			kit.context.relocate_bytes = 1;
		rewrite(&known);
		left = segment_uses_find(uses(), known.items[0].id);
		ck_assert_ptr_nonnull(left);
		ck_assert_uint_eq(left->frames, LARGE_VALUES - 1);
		ck_assert_uint_eq(uses()->count, 2);
		kit.context.control.yield = NULL;
		version_unref(version);
		ck_assert_int_eq(version_create(&version), LSM_OK);
	}
}
END_TEST

START_TEST(frame_that_cannot_be_read_stays)
{
	char name[FILE_NAME_MAX_BYTES];
	struct segment_uses before;

	write_table();
	file_name_format(FILE_KIND_SEGMENT, known.items[0].id, name);
	segment_forget(&segments, known.items[0].id);
	ck_assert_int_eq(env_unlink(kit.pool, name), LSM_OK);
	rewrite(&known);
	ck_assert(file_id_equal(damaged, known.items[0].id));
	before = known;
	ck_assert(segment_uses_equal(uses(), &before));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("values");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, large_values_go_into_a_segment);
	tcase_add_test(tc, a_full_segment_is_followed_by_another);
	tcase_add_test(tc, pointers_pass_as_they_are);
	tcase_add_test(tc, doomed_segment_is_emptied);
	tcase_add_test(
	    tc, copying_ends_when_the_job_is_to_yield_or_has_had_its_share);
	tcase_add_test(tc, frame_that_cannot_be_read_stays);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
