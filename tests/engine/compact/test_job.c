/* SPDX-License-Identifier: MIT */
/*
 * test_job.c: what a job writes holds what its inputs did, less what no reader
 * can tell missing; and a job that fails leaves nothing.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/compact/job_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/env_fault.h"

enum {
	LAST = LSM_LEVELS - 1,
	MANY = 400,
};

static struct kit kit;
static struct version *version;

static void setup(void)
{
	kit_open(&kit);
	ck_assert_int_eq(version_create(&version), LSM_OK);
}

static void teardown(void)
{
	version_unref(version);
	kit_close(&kit);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ADD_TABLE(level, entries)                                              \
	kit_add_table(&kit, &version, (level), (entries), COUNT(entries))

static void assert_reads(const char *user, uint64_t seq, const char *expected)
{
	struct buf value = BUF_INIT;
	bool found = kit_get(&kit, version, user, seq, &value);

	ck_assert(found == (expected != NULL));
	if (found)
		ck_assert_str_eq((const char *)value.data, expected);
	buf_release(&value);
}

static void compact_levels(unsigned level, unsigned output_level)
{
	struct edit edit;

	ck_assert_int_eq(kit_compact(&kit, version, level, output_level, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
}

static uint64_t entries_of(unsigned level)
{
	uint64_t entries = 0;

	for (size_t i = 0; i < version->levels[level].count; i++)
		entries += version->levels[level].tables[i]->info.entries;
	return entries;
}

/* `count` entries of a family, with values of 40 bytes. */
static void fill(struct entry *entries, size_t count, char (*users)[8],
                 char family)
{
	for (size_t i = 0; i < count; i++) {
		snprintf(users[i], 8, "%c%05zu", family, i % 100000);
		entries[i] =
		    (struct entry){users[i], i + 1, KEY_PUT,
		                   "0123456789012345678901234567890123456789"};
	}
}

/* ---- writing tables -------------------------------------------------- */

START_TEST(flush_makes_one_table_of_all)
{
	struct entry entries[2 * MANY];
	char users[2 * MANY][8];
	struct edit edit;

	kit.context.table_bytes = 1024;
	fill(entries, MANY, users, 'a');
	fill(entries + MANY, MANY, users + MANY, 'b');
	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit.context,
	                                  kit_stream(entries, 2 * MANY), 0,
	                                  false, &edit),
	                 LSM_OK);
	ck_assert_uint_eq(edit.added_count, 1);
	ck_assert_uint_eq(edit.added[0].level, 0);
	ck_assert_uint_eq(edit.added[0].meta->info.entries, 2 * MANY);
	kit_apply(&version, &edit);
	assert_reads("a00007", KEY_SEQ_MAX, entries[7].value);
	assert_reads("b00399", KEY_SEQ_MAX, entries[7].value);
}
END_TEST

START_TEST(empty_stream_makes_no_table)
{
	struct edit edit;

	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit.context, kit_stream(NULL, 0), 0,
	                                  false, &edit),
	                 LSM_OK);
	ck_assert_uint_eq(edit.added_count, 0);
	ck_assert_uint_eq(kit.last_number, 0);
	edit_release(&edit);
}
END_TEST

START_TEST(outputs_are_cut_at_their_size_and_between_families)
{
	struct entry entries[2 * MANY];
	char users[2 * MANY][8];
	unsigned mixed = 0;
	struct edit edit;

	kit.context.table_bytes = 4096;
	fill(entries, MANY, users, 'a');
	fill(entries + MANY, MANY, users + MANY, 'b');
	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit.context,
	                                  kit_stream(entries, 2 * MANY), LAST,
	                                  true, &edit),
	                 LSM_OK);
	ck_assert_uint_gt(edit.added_count, 2);
	for (size_t i = 0; i < edit.added_count; i++) {
		const struct table_info *info = &edit.added[i].meta->info;

		ck_assert_uint_le(info->file_bytes, 2 * 4096);
		if (info->smallest.data[0] != info->largest.data[0])
			mixed++;
	}
	/* A tiny rest of one family goes along with the next. */
	ck_assert_uint_le(mixed, 1);
	kit_apply(&version, &edit);
	ck_assert_uint_eq(entries_of(LAST), 2 * MANY);
}
END_TEST

START_TEST(family_that_is_worth_a_table_gets_one)
{
	struct entry entries[2 * MANY];
	char users[2 * MANY][8];
	struct edit edit;

	kit.context.table_bytes = 16384; /* more than one family has */
	fill(entries, MANY, users, 'a');
	fill(entries + MANY, MANY, users + MANY, 'b');
	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit.context,
	                                  kit_stream(entries, 2 * MANY), LAST,
	                                  true, &edit),
	                 LSM_OK);
	ck_assert_uint_eq(edit.added_count, 2);
	ck_assert_uint_eq(edit.added[0].meta->info.largest.data[0], 'a');
	ck_assert_uint_eq(edit.added[1].meta->info.smallest.data[0], 'b');
	kit_apply(&version, &edit);
}
END_TEST

START_TEST(tables_of_l0_merged_with_one_another_keep_what_is_below)
{
	struct entry base[] = {{"a", 1, KEY_PUT, "1"}, {"b", 2, KEY_PUT, "2"}};
	struct entry first[] = {{"a", 3, KEY_DELETE, ""},
	                        {"b", 4, KEY_MERGE, "+"}};
	struct entry second[] = {{"b", 5, KEY_MERGE, "-"}};
	struct compact_plan plan;
	struct edit edit;

	ADD_TABLE(0, base);
	ADD_TABLE(0, first);
	ADD_TABLE(0, second);
	/* The two newest. The oldest of L0 is below them. */
	kit_plan(version, 0, 1, &plan);
	plan.output_level = 0;
	table_meta_unref(plan.inputs[0][2]);
	plan.input_count[0] = 2;
	edit_init(&edit);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
	compact_plan_release(&plan);
	ck_assert_uint_eq(version->levels[0].count, 2);
	ck_assert_uint_eq(entries_of(0), 4);
	assert_reads("a", KEY_SEQ_MAX, NULL);
	assert_reads("b", KEY_SEQ_MAX, "2+-");
}
END_TEST

START_TEST(versions_of_one_key_stay_in_one_table)
{
	struct entry entries[MANY];

	kit.context.table_bytes = 512;
	for (size_t i = 0; i < MANY; i++)
		entries[i] = (struct entry){i < MANY / 2 ? "a" : "aa", i + 1,
		                            KEY_PUT, "some value"};
	for (unsigned level = 1; level <= LAST; level += LAST - 1) {
		struct edit edit;

		edit_init(&edit);
		ck_assert_int_eq(job_write_tables(&kit.context,
		                                  kit_stream(entries, MANY),
		                                  level, true, &edit),
		                 LSM_OK);
		ck_assert_uint_eq(edit.added_count, 2);
		kit_apply(&version, &edit);
	}
}
END_TEST

START_TEST(outputs_survive_a_power_cut_once_the_folder_is_synced)
{
	struct entry entries[] = {{"a", 1, KEY_PUT, "1"}};
	struct env_mem_crash crash = {.keep_per_256 = 0};
	struct table_info info;
	struct table *table;
	struct env_dir *pool;
	struct env *after;

	ADD_TABLE(0, entries);
	ck_assert_int_eq(env_dir_sync(kit.pool), LSM_OK);
	ck_assert_int_eq(env_mem_after_crash(kit.memory, &crash, &after),
	                 LSM_OK);
	ck_assert_int_eq(env_dir_open(after, "/pool", &pool), LSM_OK);
	ck_assert_int_eq(
	    table_open(pool, version->levels[0].tables[0]->id,
	               &kit.source.family,
	               version->levels[0].tables[0]->info.file_bytes,
	               kit.blocks, &table),
	    LSM_OK);
	ck_assert_int_eq(table_read_info(table, &info), LSM_OK);
	ck_assert_uint_eq(info.entries, 1);
	table_info_release(&info);
	table_close(table);
	env_dir_close(pool);
	env_mem_destroy(after);
}
END_TEST

/* ---- compaction ------------------------------------------------------ */

START_TEST(newest_version_wins_and_tombstones_go_at_the_bottom)
{
	struct entry old[] = {{"a", 1, KEY_PUT, "old"},
	                      {"b", 2, KEY_PUT, "gone"},
	                      {"c", 3, KEY_PUT, "kept"}};
	struct entry new[] = {{"a", 4, KEY_PUT, "new"},
	                      {"b", 5, KEY_DELETE, ""}};

	ADD_TABLE(LAST, old);
	ADD_TABLE(0, new);
	compact_levels(0, LAST);
	ck_assert_uint_eq(version->levels[0].count, 0);
	ck_assert_uint_eq(entries_of(LAST), 2);
	assert_reads("a", KEY_SEQ_MAX, "new");
	assert_reads("b", KEY_SEQ_MAX, NULL);
	assert_reads("c", KEY_SEQ_MAX, "kept");
}
END_TEST

START_TEST(tombstone_over_a_deeper_level_is_kept)
{
	struct entry deep[] = {{"a", 1, KEY_PUT, "deep"}};
	struct entry gone[] = {{"a", 2, KEY_DELETE, ""},
	                       {"b", 3, KEY_DELETE, ""}};

	ADD_TABLE(LAST, deep);
	ADD_TABLE(0, gone);
	compact_levels(0, 2);
	ck_assert_uint_eq(entries_of(2), 1);
	assert_reads("a", KEY_SEQ_MAX, NULL);
	compact_levels(2, LAST);
	ck_assert_uint_eq(entries_of(LAST), 0);
	ck_assert_uint_eq(kit_known(&kit), 0);
}
END_TEST

START_TEST(operands_are_folded_onto_their_base)
{
	struct entry base[] = {{"a", 1, KEY_PUT, "1"}};
	struct entry more[] = {{"a", 2, KEY_MERGE, "2"},
	                       {"b", 3, KEY_MERGE, "x"}};
	struct entry most[] = {{"a", 4, KEY_MERGE, "3"}};

	ADD_TABLE(LAST, base);
	ADD_TABLE(0, more);
	ADD_TABLE(0, most);
	compact_levels(0, LAST);
	ck_assert_uint_eq(entries_of(LAST), 2);
	assert_reads("a", KEY_SEQ_MAX, "123");
	assert_reads("b", KEY_SEQ_MAX, "x");
}
END_TEST

START_TEST(snapshots_keep_what_they_see)
{
	struct entry entries[] = {{"a", 1, KEY_PUT, "1"},
	                          {"a", 2, KEY_PUT, "2"},
	                          {"a", 3, KEY_PUT, "3"},
	                          {"a", 4, KEY_DELETE, ""}};
	uint64_t snapshots[] = {2};

	kit.context.snapshots = snapshots;
	kit.context.snapshot_count = 1;
	ADD_TABLE(0, entries);
	compact_levels(0, LAST);
	assert_reads("a", 2, "2");
	assert_reads("a", KEY_SEQ_MAX, NULL);
	ck_assert_uint_eq(entries_of(LAST), 2);
}
END_TEST

START_TEST(trivial_job_writes_nothing)
{
	struct entry entries[] = {{"a", 1, KEY_PUT, "1"}};
	struct compact_plan plan;
	struct edit edit;
	struct file_id id;

	ADD_TABLE(0, entries);
	id = version->levels[0].tables[0]->id;
	kit_plan(version, 0, 3, &plan);
	plan.trivial = true;
	kit.new_file_err = LSM_ERR_IO;
	edit_init(&edit);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
	compact_plan_release(&plan);
	ck_assert_uint_eq(version->levels[3].count, 1);
	ck_assert(file_id_equal(version->levels[3].tables[0]->id, id));
	assert_reads("a", KEY_SEQ_MAX, "1");
}
END_TEST

/* ---- failures -------------------------------------------------------- */

/* Three tables in L0 over one in the last level, to be made into several. */
static void make_inputs(struct compact_plan *plan)
{
	struct entry entries[MANY];
	char users[MANY][8];

	fill(entries, MANY, users, 'a');
	kit_add_table(&kit, &version, LAST, entries, 150);
	kit_add_table(&kit, &version, 0, entries + 150, 100);
	kit_add_table(&kit, &version, 0, entries + 250, 100);
	kit_add_table(&kit, &version, 0, entries + 350, 50);
	kit_plan(version, 0, LAST, plan);
	kit.context.table_bytes = 4096;
}

/* Whether nothing is left of a job that failed. */
static void assert_untouched(const struct edit *edit)
{
	ck_assert_uint_eq(edit->added_count, 0);
	ck_assert_uint_eq(edit->removed_count, 0);
	ck_assert_uint_eq(kit_known(&kit), 4);
	ck_assert_uint_eq(kit_in_folder(&kit), 4);
}

/* The job goes through in the end, with the same edit. */
static void assert_done(struct edit *edit, struct compact_plan *plan)
{
	ck_assert_uint_gt(edit->added_count, 2);
	kit_apply(&version, edit);
	compact_plan_release(plan);
	ck_assert_uint_eq(entries_of(LAST), MANY);
	assert_reads("a00399", KEY_SEQ_MAX,
	             "0123456789012345678901234567890123456789");
}

START_TEST(stopped_job_leaves_nothing)
{
	struct compact_plan plan;
	struct edit edit;

	make_inputs(&plan);
	edit_init(&edit);
	atomic_store(&kit.stop, true);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_ERR_CLOSED);
	assert_untouched(&edit);
	compact_plan_release(&plan);
	edit_release(&edit);
}
END_TEST

START_TEST(each_failing_operation_leaves_nothing)
{
	struct compact_plan plan;
	struct edit edit;
	enum lsm_err err;
	uint64_t nth;

	make_inputs(&plan);
	edit_init(&edit);
	for (nth = 1;; nth++) {
		env_fault_arm(kit.env, nth, LSM_ERR_NOSPACE, false);
		err = job_compact(&kit.context, version, &plan, &edit);
		if (env_fault_count(kit.env) < nth)
			break;
		env_fault_arm(kit.env, 0, LSM_OK, false);
		ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		assert_untouched(&edit);
	}
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_gt(nth, 20);
	assert_done(&edit, &plan);
}
END_TEST

START_TEST(refused_file_number_leaves_nothing)
{
	struct compact_plan plan;
	struct edit edit;

	make_inputs(&plan);
	edit_init(&edit);
	kit.new_file_err = LSM_ERR_POISONED;
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_ERR_POISONED);
	assert_untouched(&edit);
	compact_plan_release(&plan);
	edit_release(&edit);
}
END_TEST

START_TEST(each_failing_allocation_leaves_nothing)
{
	struct compact_plan plan;
	struct edit edit;
	enum lsm_err err;
	uint64_t nth;

	make_inputs(&plan);
	edit_init(&edit);
	for (nth = 1;; nth++) {
		bool failed;

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
	assert_done(&edit, &plan);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job");
	TCase *tc = tcase_create("jobs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, flush_makes_one_table_of_all);
	tcase_add_test(tc, empty_stream_makes_no_table);
	tcase_add_test(tc, outputs_are_cut_at_their_size_and_between_families);
	tcase_add_test(tc, family_that_is_worth_a_table_gets_one);
	tcase_add_test(tc,
	               tables_of_l0_merged_with_one_another_keep_what_is_below);
	tcase_add_test(tc, versions_of_one_key_stay_in_one_table);
	tcase_add_test(tc,
	               outputs_survive_a_power_cut_once_the_folder_is_synced);
	tcase_add_test(tc, newest_version_wins_and_tombstones_go_at_the_bottom);
	tcase_add_test(tc, tombstone_over_a_deeper_level_is_kept);
	tcase_add_test(tc, operands_are_folded_onto_their_base);
	tcase_add_test(tc, snapshots_keep_what_they_see);
	tcase_add_test(tc, trivial_job_writes_nothing);
	tcase_add_test(tc, stopped_job_leaves_nothing);
	tcase_add_test(tc, each_failing_operation_leaves_nothing);
	tcase_add_test(tc, refused_file_number_leaves_nothing);
	tcase_add_test(tc, each_failing_allocation_leaves_nothing);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
