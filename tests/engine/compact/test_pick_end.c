/* SPDX-License-Identifier: MIT */
/*
 * test_pick_end.c: picking and applying, over and over, comes to an end, and
 * never makes an overlap, whatever the version is to begin with.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/compact/pick_kit.h"
#include "tests/support/gen.h"

enum {
	KEYS = 4000,
	STEPS_MAX = 20000,
};

/* Add sorted tables that do not overlap to a level. */
static void add_random_level(struct gen *gen, unsigned level, struct edit *edit)
{
	uint32_t key = (uint32_t)gen_below(gen, 50);

	while (key < KEYS) {
		struct pick_spec spec = {.level = level, .from = key};

		spec.to = key + (uint32_t)gen_below(gen, 60);
		spec.bytes = 1 + gen_below(gen, 150 * KIB);
		spec.deletes = gen_below(gen, 2) * gen_below(gen, PICK_ENTRIES);
		pick_add_spec(edit, &spec);
		key = spec.to + 1 + (uint32_t)gen_below(gen, 200);
	}
}

static struct version *random_version(struct gen *gen)
{
	struct version *empty, *version;
	struct edit edit;
	uint64_t l0 = gen_below(gen, 12);

	edit_init(&edit);
	for (uint64_t i = 0; i < l0; i++) {
		struct pick_spec spec = {.level = 0};

		spec.from = (uint32_t)gen_below(gen, KEYS);
		spec.to = spec.from + (uint32_t)gen_below(gen, 300);
		spec.bytes = 1 + gen_below(gen, 100 * KIB);
		spec.deletes = gen_below(gen, 2) * gen_below(gen, PICK_ENTRIES);
		pick_add_spec(&edit, &spec);
	}
	for (unsigned level = 1; level < LSM_LEVELS; level++) {
		if (gen_below(gen, 2) == 0)
			add_random_level(gen, level, &edit);
	}
	ck_assert_int_eq(version_create(&empty), LSM_OK);
	ck_assert_int_eq(edit_apply(empty, &edit, &version), LSM_OK);
	version_unref(empty);
	edit_release(&edit);
	return version;
}

/* As much of the inputs as a rewrite might leave, cut into tables. */
static void add_outputs(struct gen *gen, const struct compact_plan *plan,
                        bool keep_deletes, struct edit *edit)
{
	uint32_t from = UINT32_MAX, to = 0;
	uint64_t bytes = 0, tables, span;

	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < plan->input_count[side]; i++) {
			struct table_info *info = &plan->inputs[side][i]->info;

			if (pick_key_number(&info->smallest) < from)
				from = pick_key_number(&info->smallest);
			if (pick_key_number(&info->largest) > to)
				to = pick_key_number(&info->largest);
			bytes += info->file_bytes;
		}
	}
	bytes -= gen_below(gen, bytes);
	span = (uint64_t)to - from + 1;
	tables = bytes / pick_defaults.table_bytes + 1;
	if (tables > span)
		tables = span;
	for (uint64_t i = 0; i < tables; i++) {
		struct pick_spec spec = {
		    .level = plan->output_level,
		    .from = from + (uint32_t)(span * i / tables),
		    .to = from + (uint32_t)(span * (i + 1) / tables) - 1,
		    .bytes = bytes / tables + 1,
		};

		if (keep_deletes || plan->output_level != LAST)
			spec.deletes = gen_below(gen, PICK_ENTRIES);
		pick_add_spec(edit, &spec);
	}
}

static struct version *apply(struct gen *gen, struct version *version,
                             const struct compact_plan *plan, bool keep_deletes)
{
	unsigned levels[2] = {plan->level, plan->output_level};
	struct version *next;
	struct edit edit;

	edit_init(&edit);
	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < plan->input_count[side]; i++) {
			struct table_meta *meta = plan->inputs[side][i];

			ck_assert_int_eq(
			    edit_remove_table(&edit, levels[side], meta->id),
			    LSM_OK);
			if (plan->trivial)
				ck_assert_int_eq(
				    edit_add_table(&edit, plan->output_level,
				                   meta),
				    LSM_OK);
		}
	}
	if (!plan->trivial)
		add_outputs(gen, plan, keep_deletes, &edit);
	ck_assert_int_eq(edit_apply(version, &edit, &next), LSM_OK);
	version_check(next);
	version_unref(version);
	edit_release(&edit);
	return next;
}

/* Nothing may be skipped by what moves past it. */
static void check_plan(const struct version *version,
                       const struct compact_plan *plan)
{
	ck_assert(plan->output_level > plan->level ||
	          (plan->level == LAST && plan->output_level == LAST));
	ck_assert(plan->level > 0 ||
	          plan->input_count[0] == version->levels[0].count);
	for (unsigned level = plan->level + 1; level < plan->output_level;
	     level++)
		ck_assert_uint_eq(version->levels[level].count, 0);
	ck_assert(!plan->trivial || plan->input_count[1] == 0);
}

static void check_end(const struct version *version, enum pick_why why,
                      bool keep_deletes)
{
	if (why == PICK_TRIGGER) {
		ck_assert_uint_lt(version->levels[0].count, 8);
		return;
	}
	ck_assert_uint_eq(version->levels[0].count, 0);
	for (unsigned level = 1; level < LSM_LEVELS && why == PICK_ALL;
	     level++) {
		const struct level *at = &version->levels[level];

		ck_assert(level == LAST || at->count == 0);
		for (size_t i = 0; i < at->count && !keep_deletes; i++)
			ck_assert_uint_eq(at->tables[i]->info.deletes, 0);
	}
}

static void drain(struct gen *gen, enum pick_why why, bool keep_deletes)
{
	struct version *version = random_version(gen);
	struct compact_plan plan;
	unsigned steps = 0;

	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_clear(&pick_cursor[level]);
	while (pick_plan(version, why, &plan)) {
		ck_assert_uint_lt(++steps, STEPS_MAX);
		check_plan(version, &plan);
		version = apply(gen, version, &plan, keep_deletes);
		compact_plan_release(&plan);
	}
	check_end(version, why, keep_deletes);
	version_unref(version);
}

START_TEST(picking_ends_for_random_versions)
{
	struct gen gen;

	gen_init(&gen, gen_seed(7));
	for (unsigned round = 0; round < 20; round++) {
		drain(&gen, PICK_TRIGGER, false);
		drain(&gen, PICK_PERIOD, false);
		drain(&gen, PICK_ALL, false);
	}
}
END_TEST

START_TEST(picking_ends_where_snapshots_keep_tombstones)
{
	struct gen gen;

	gen_init(&gen, gen_seed(11));
	for (unsigned round = 0; round < 10; round++) {
		drain(&gen, PICK_PERIOD, true);
		drain(&gen, PICK_ALL, true);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pick end");
	TCase *tc = tcase_create("random");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, pick_setup, pick_teardown);
	tcase_add_test(tc, picking_ends_for_random_versions);
	tcase_add_test(tc, picking_ends_where_snapshots_keep_tombstones);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
