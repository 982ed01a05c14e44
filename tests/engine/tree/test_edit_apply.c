/* SPDX-License-Identifier: MIT */
/*
 * test_edit_apply.c: an edit does to a version what it does to plain arrays.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tree/edit.h"

static struct tally tally;

static const struct table_owner nobody = {.dropped = NULL, .ctx = NULL};

static void setup(void)
{
	memset(&tally, 0, sizeof(tally));
}

static void must_be_ok(enum lsm_err err)
{
	ck_assert_int_eq(err, LSM_OK);
}

static struct file_id id_of(uint64_t number)
{
	struct file_id id = {.creator = CREATOR, .number = number};

	return id;
}

static void add(struct edit *edit, unsigned level, uint64_t number,
                const char *smallest, const char *largest, uint64_t max_seq)
{
	struct table_meta *meta =
	    make_meta(number, smallest, largest, max_seq, nobody);

	must_be_ok(edit_add_table(edit, level, meta));
	table_meta_unref(meta);
}

/*
 * The model: for each table number its level, or none. Table n of a deeper
 * level covers the keys of n alone, so that any set of them fits in a level.
 */
enum { MODEL_TABLES = 60, ABSENT = -1 };

static struct table_meta *model_metas[MODEL_TABLES + 1];
static int model_level[MODEL_TABLES + 1];

static void model_setup(void)
{
	for (unsigned n = 1; n <= MODEL_TABLES; n++) {
		char smallest[16], largest[16];

		snprintf(smallest, sizeof(smallest), "%03u", n);
		snprintf(largest, sizeof(largest), "%03u+", n);
		/* Newer tables are not those of higher numbers only. */
		model_metas[n] = make_meta(n, smallest, largest,
		                           100 + n * 37 % MODEL_TABLES * 10,
		                           tally_owner(&tally));
		tally_adopted(&tally, id_of(n));
		model_level[n] = ABSENT;
	}
}

static void model_teardown(void)
{
	for (unsigned n = 1; n <= MODEL_TABLES; n++)
		table_meta_unref(model_metas[n]);
	ck_assert(tally_is_even(&tally));
}

static void compare_with_model(const struct version *version)
{
	size_t present = 0, found = 0;

	version_check(version);
	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		const struct level *level = &version->levels[i];
		uint64_t bytes = 0;

		for (size_t j = 0; j < level->count; j++) {
			const struct table_meta *meta = level->tables[j];

			ck_assert_int_eq(model_level[meta->id.number], (int)i);
			bytes += meta->info.file_bytes;
			if (j == 0)
				continue;
			if (i == 0)
				ck_assert_uint_ge(
				    level->tables[j - 1]->info.max_seq,
				    meta->info.max_seq);
			else
				ck_assert_uint_lt(
				    level->tables[j - 1]->id.number,
				    meta->id.number);
		}
		ck_assert_uint_eq(level->bytes, bytes);
		found += level->count;
	}
	for (unsigned n = 1; n <= MODEL_TABLES; n++)
		present += model_level[n] != ABSENT;
	ck_assert_uint_eq(found, present);
}

START_TEST(random_edits_do_what_they_do_to_plain_arrays)
{
	struct version *version;
	struct gen gen;

	gen_init(&gen, gen_seed(32));
	model_setup();
	must_be_ok(version_create(&version));
	for (int round = 0; round < 2000; round++) {
		struct version *next;
		struct edit edit;

		edit_init(&edit);
		for (unsigned n = 1; n <= MODEL_TABLES; n++) {
			int to = (int)gen_below(&gen, LSM_LEVELS);
			uint64_t dice = gen_below(&gen, 12);

			if (dice > 1)
				continue;
			if (model_level[n] != ABSENT)
				must_be_ok(edit_remove_table(
				    &edit, (unsigned)model_level[n], id_of(n)));
			if (model_level[n] == ABSENT || dice == 0) {
				must_be_ok(edit_add_table(&edit, (unsigned)to,
				                          model_metas[n]));
				model_level[n] = to;
			} else {
				model_level[n] = ABSENT;
			}
		}
		must_be_ok(edit_apply(version, &edit, &next));
		edit_release(&edit);
		version_unref(version);
		version = next;
		compare_with_model(version);
	}
	version_unref(version);
	model_teardown();
}
END_TEST

/* Apply the edit, which it releases, to a version that has "b" to "d" as table
   1 of level 2, and table 2 in L0. */
static enum lsm_err apply_to_two(struct edit *edit)
{
	struct version *empty, *base, *next;
	struct edit first;
	enum lsm_err err;

	edit_init(&first);
	add(&first, 2, 1, "b", "d", 10);
	add(&first, 0, 2, "a", "z", 20);
	must_be_ok(version_create(&empty));
	must_be_ok(edit_apply(empty, &first, &base));
	err = edit_apply(base, edit, &next);
	ck_assert((err == LSM_OK) == (next != NULL));
	edit_release(&first);
	edit_release(edit);
	version_unref(empty);
	version_unref(base);
	version_unref(next);
	return err;
}

START_TEST(edits_that_contradict_the_version_are_corrupt)
{
	struct edit edit;

	edit_init(&edit); /* a removal of what is not there */
	must_be_ok(edit_remove_table(&edit, 2, id_of(3)));
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);

	edit_init(&edit); /* of what is elsewhere */
	must_be_ok(edit_remove_table(&edit, 1, id_of(1)));
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);

	edit_init(&edit); /* twice */
	must_be_ok(edit_remove_table(&edit, 2, id_of(1)));
	must_be_ok(edit_remove_table(&edit, 2, id_of(1)));
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);

	edit_init(&edit); /* an addition of what is there, elsewhere */
	add(&edit, 4, 1, "x", "y", 10);
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);

	edit_init(&edit); /* twice the same */
	add(&edit, 4, 5, "x", "y", 10);
	add(&edit, 5, 5, "x", "y", 10);
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(overlaps_are_corrupt_in_deep_levels_alone)
{
	static const struct {
		const char *smallest, *largest;
		enum lsm_err err;
	} cases[] = {
	    {"a", "az", LSM_OK},         {"a", "b", LSM_ERR_CORRUPT},
	    {"c", "c", LSM_ERR_CORRUPT}, {"d", "e", LSM_ERR_CORRUPT},
	    {"da", "e", LSM_OK},         {"a", "z", LSM_ERR_CORRUPT},
	};
	struct edit edit;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		edit_init(&edit);
		add(&edit, 2, 7, cases[i].smallest, cases[i].largest, 9);
		ck_assert_int_eq(apply_to_two(&edit), cases[i].err);
		edit_init(&edit);
		add(&edit, 0, 7, cases[i].smallest, cases[i].largest, 9);
		ck_assert_int_eq(apply_to_two(&edit), LSM_OK);
	}
	edit_init(&edit); /* two additions that overlap each other */
	add(&edit, 5, 7, "a", "m", 9);
	add(&edit, 5, 8, "m", "z", 9);
	ck_assert_int_eq(apply_to_two(&edit), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(a_table_moves_down_by_one_edit)
{
	struct edit edit;

	edit_init(&edit);
	add(&edit, 3, 1, "b", "d", 10);
	must_be_ok(edit_remove_table(&edit, 2, id_of(1)));
	ck_assert_int_eq(apply_to_two(&edit), LSM_OK);
}
END_TEST

START_TEST(failed_allocations_while_applying_change_nothing)
{
	struct version *version, *next;
	struct edit edit;
	uint64_t nth = 1;
	bool failed;

	must_be_ok(version_create(&version));
	edit_init(&edit);
	add(&edit, 0, 5, "", "zz", 9);
	add(&edit, 3, 6, "abc", "abd", 77);
	do {
		enum lsm_err err;

		alloc_fault_arm(nth++);
		err = edit_apply(version, &edit, &next);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		ck_assert((next == NULL) == failed);
		version_unref(next);
	} while (failed);
	ck_assert_uint_ge(nth, 6);
	edit_release(&edit);
	version_unref(version);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("edit apply");
	TCase *apply = tcase_create("apply");

	tcase_add_checked_fixture(apply, setup, NULL);
	tcase_add_test(apply, random_edits_do_what_they_do_to_plain_arrays);
	tcase_add_test(apply, edits_that_contradict_the_version_are_corrupt);
	tcase_add_test(apply, overlaps_are_corrupt_in_deep_levels_alone);
	tcase_add_test(apply, a_table_moves_down_by_one_edit);
	tcase_add_test(apply, failed_allocations_while_applying_change_nothing);
	suite_add_tcase(suite, apply);
	return run_suite(suite);
}
