/* SPDX-License-Identifier: MIT */
/*
 * test_manifest.c: a branch comes back from its files as it was.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/tree/manifest_kit.h"
#include "tests/support/alloc_fault.h"

static struct branch branch;
static struct buf expected, found;

static void must_be_ok(enum lsm_err err)
{
	ck_assert_int_eq(err, LSM_OK);
}

static void setup(void)
{
	branch_setup(&branch, gen_seed(51));
	buf_init(&expected);
	buf_init(&found);
}

static void teardown(void)
{
	branch_teardown(&branch);
	buf_release(&expected);
	buf_release(&found);
}

/* What is on the disk is the state. */
static void expect_recovered(void)
{
	fingerprint(&branch.state, &expected);
	must_be_ok(recover_bytes(branch.mem, &found));
	ck_assert(slice_equal(buf_slice(&expected), buf_slice(&found)));
}

static void manifest_name(char out[FILE_NAME_MAX_BYTES])
{
	struct file_id id = {BRANCH_ID, branch.state.manifest_number};

	file_name_format(FILE_KIND_MANIFEST, id, out);
}

/* A branch with a list, and edits above it. */
static void build(unsigned edits)
{
	must_be_ok(branch_publish(&branch));
	for (unsigned i = 0; i < 6; i++)
		branch_grow(&branch);
	must_be_ok(branch_relist(&branch));
	for (unsigned i = 0; i < edits; i++)
		branch_grow(&branch);
}

/* ---- as it was ---------------------------------------------------------- */

START_TEST(an_empty_branch_comes_back)
{
	must_be_ok(branch_publish(&branch));
	ck_assert_uint_eq(branch.state.manifest_number, 1);
	expect_recovered();
}
END_TEST

START_TEST(a_branch_comes_back_after_each_edit_and_each_list)
{
	must_be_ok(branch_publish(&branch));
	for (int round = 0; round < 300; round++) {
		uint64_t dice = gen_below(&branch.gen, 12);

		if (dice == 0)
			must_be_ok(branch_relist(&branch));
		else if (dice == 1)
			must_be_ok(branch_publish(&branch));
		else
			branch_grow(&branch);
		expect_recovered();
		ck_assert_uint_eq(count_manifests(branch.mem), 1);
	}
}
END_TEST

START_TEST(a_recovered_state_can_be_published_again)
{
	struct manifest_state state;

	build(5);
	branch.state.branch.read_only = true;
	must_be_ok(branch_publish(&branch));
	fingerprint(&branch.state, &expected);
	must_be_ok(manifest_recover(&branch.place, BRANCH_ID,
	                            tally_owner(&branch.tally), tally_adopted,
	                            &state));
	ck_assert_uint_eq(state.manifest_number, branch.state.manifest_number);
	ck_assert(file_id_equal(state.list, branch.state.list));
	ck_assert_uint_eq(state.list_table_count,
	                  branch.state.list_table_count);
	manifest_state_release(&branch.state);
	branch.state = state;
	must_be_ok(branch_publish(&branch));
	branch_grow(&branch);
	expect_recovered();
}
END_TEST

START_TEST(a_copy_outlives_its_original)
{
	struct manifest_state copy;

	build(3);
	fingerprint(&branch.state, &expected);
	must_be_ok(manifest_state_copy(&branch.state, &copy));
	manifest_state_release(&branch.state);
	fingerprint(&copy, &found);
	ck_assert(slice_equal(buf_slice(&expected), buf_slice(&found)));
	branch.state = copy;
}
END_TEST

START_TEST(a_manifest_on_a_list_names_the_difference_alone)
{
	struct buf bytes = BUF_INIT;
	char name[FILE_NAME_MAX_BYTES];

	must_be_ok(branch_publish(&branch));
	branch_add_tables(&branch, 200);
	must_be_ok(branch_relist(&branch));
	ck_assert_uint_eq(branch.state.list_table_count, 200);
	manifest_name(name);
	read_bytes(branch.mem, "/branch", name, &bytes);
	while (bytes.len > 0 && bytes.data[bytes.len - 1] == 0)
		bytes.len--; /* preallocated */
	ck_assert_uint_lt(bytes.len, 300);
	ck_assert_uint_eq(manifest_bytes(branch.manifest), 0);
	branch_grow(&branch);
	ck_assert_uint_gt(manifest_bytes(branch.manifest), 0);
	buf_release(&bytes);
}
END_TEST

START_TEST(publish_numbers_above_leftovers_and_removes_them)
{
	must_be_ok(branch_publish(&branch));
	write_bytes(branch.mem, "/branch", "MANIFEST-7", slice_str("junk"));
	write_bytes(branch.mem, "/branch", "MANIFEST-x", slice_str("else"));
	must_be_ok(branch_publish(&branch));
	ck_assert_uint_eq(branch.state.manifest_number, 8);
	ck_assert(!has_file(branch.mem, "/branch", "MANIFEST-1"));
	ck_assert(!has_file(branch.mem, "/branch", "MANIFEST-7"));
	ck_assert(has_file(branch.mem, "/branch", "MANIFEST-x"));
	ck_assert(has_file(branch.mem, "/branch", "MANIFEST-8"));
	expect_recovered();
}
END_TEST

START_TEST(no_number_above_the_last_one_is_corrupt)
{
	struct manifest *manifest;

	branch.state.manifest_number = UINT64_MAX;
	ck_assert_int_eq(
	    manifest_publish(&branch.place, &branch.state, &manifest),
	    LSM_ERR_CORRUPT);
	ck_assert_ptr_null(manifest);
	ck_assert_uint_eq(take_log_lines(), 1);
}
END_TEST

START_TEST(logs_that_are_unknown_or_known_twice_change_nothing)
{
	struct log_ref log = {.id = {1, 2}, .promised_upto = 3};
	struct edit add, remove;

	edit_init(&add);
	edit_init(&remove);
	must_be_ok(edit_add_log(&add, log));
	must_be_ok(edit_remove_log(&remove, log.id));
	remove.has_next_number = true;
	remove.next_number = 99;
	fingerprint(&branch.state, &expected);
	ck_assert_int_eq(manifest_state_apply(&branch.state, &remove),
	                 LSM_ERR_CORRUPT);
	fingerprint(&branch.state, &found);
	ck_assert(slice_equal(buf_slice(&expected), buf_slice(&found)));
	must_be_ok(manifest_state_apply(&branch.state, &add));
	ck_assert_int_eq(manifest_state_apply(&branch.state, &add),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(branch.state.log_count, 1);
	ck_assert_uint_eq(branch.state.logs[0].promised_upto, 3);
	must_be_ok(manifest_state_apply(&branch.state, &remove));
	ck_assert_uint_eq(branch.state.log_count, 0);
	ck_assert_uint_eq(branch.state.next_number, 99);
	edit_release(&add);
	edit_release(&remove);
}
END_TEST

START_TEST(horizon_goes_neither_back_nor_ahead_of_what_is_flushed)
{
	static const struct {
		uint64_t flushed, horizon; /* 0: not in the edit */
		enum lsm_err wanted;
	} steps[] = {
	    {0, 1, LSM_ERR_CORRUPT},  {10, 11, LSM_ERR_CORRUPT},
	    {10, 4, LSM_OK},          {0, 3, LSM_ERR_CORRUPT},
	    {3, 0, LSM_ERR_CORRUPT},  {20, 0, LSM_OK},
	    {0, 20, LSM_OK},          {0, 20, LSM_OK},
	    {0, 21, LSM_ERR_CORRUPT}, {21, 21, LSM_OK},
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint64_t before = branch.state.horizon;
		struct edit edit;

		edit_init(&edit);
		edit.has_flushed = steps[i].flushed > 0;
		edit.flushed_seq = steps[i].flushed;
		edit.has_horizon = steps[i].horizon > 0;
		edit.horizon = steps[i].horizon;
		ck_assert_int_eq(manifest_state_apply(&branch.state, &edit),
		                 steps[i].wanted);
		ck_assert_uint_eq(branch.state.horizon,
		                  steps[i].wanted == LSM_OK && edit.has_horizon
		                      ? edit.horizon
		                      : before);
		edit_release(&edit);
	}
}
END_TEST

static void add_log(struct edit *edit, uint64_t number)
{
	struct log_ref log = {.id = {1, number}, .promised_upto = 0};

	must_be_ok(edit_add_log(edit, log));
}

START_TEST(logs_keep_the_order_of_replay)
{
	static const uint64_t numbers[] = {4, 9, 7};
	struct edit add, change;

	edit_init(&add);
	add_log(&add, 3);
	add_log(&add, 4);
	add_log(&add, 5);
	edit_init(&change);
	add_log(&change, 9);
	add_log(&change, 7);
	must_be_ok(edit_remove_log(&change, add.logs_added[0].id));
	must_be_ok(edit_remove_log(&change, add.logs_added[2].id));
	must_be_ok(manifest_state_apply(&branch.state, &add));
	must_be_ok(manifest_state_apply(&branch.state, &change));
	ck_assert_uint_eq(branch.state.log_count, 3);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(branch.state.logs[i].id.number, numbers[i]);
	edit_release(&add);
	edit_release(&change);
}
END_TEST

/* ---- out of memory ------------------------------------------------------- */

START_TEST(failed_allocations_of_recovery_are_nomem)
{
	struct manifest_state state;
	uint64_t nth = 1;
	bool failed;

	build(4);
	do {
		enum lsm_err err;

		alloc_fault_arm(nth++);
		err = manifest_recover(&branch.place, BRANCH_ID,
		                       tally_owner(&branch.tally),
		                       tally_adopted, &state);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		manifest_state_release(&state);
	} while (failed);
	ck_assert_uint_gt(nth, 30);
}
END_TEST

START_TEST(an_append_that_ran_out_of_memory_happened_or_not)
{
	struct buf after = BUF_INIT;
	uint64_t nth = 1;
	bool failed;

	build(4);
	do {
		struct manifest_state next;
		struct edit edit;
		enum lsm_err err;

		draw_edit(&branch, &edit);
		must_be_ok(manifest_state_copy(&branch.state, &next));
		must_be_ok(manifest_state_apply(&next, &edit));
		fingerprint(&next, &after);
		manifest_state_release(&next);
		fingerprint(&branch.state, &expected);

		alloc_fault_arm(nth++);
		err = branch_append(&branch, &edit);
		failed = alloc_fault_disarm();
		edit_release(&edit);
		/* A mark that could not be written is no failure. */
		ck_assert(err == LSM_OK || (failed && err == LSM_ERR_NOMEM));
		must_be_ok(recover_bytes(branch.mem, &found));
		ck_assert(slice_equal(buf_slice(&after), buf_slice(&found)) ||
		          (err != LSM_OK && slice_equal(buf_slice(&expected),
		                                        buf_slice(&found))));
		branch_sweep(&branch);
	} while (failed);
	ck_assert_uint_gt(nth, 10);
	buf_release(&after);
}
END_TEST

START_TEST(a_publish_that_ran_out_of_memory_leaves_what_was)
{
	uint64_t nth = 1;
	bool failed;

	build(4);
	for (int step = 0; step < 2; step++, nth = 1) {
		do {
			enum lsm_err err;

			fingerprint(&branch.state, &expected);
			alloc_fault_arm(nth++);
			err = step == 0 ? branch_relist(&branch)
			                : branch_publish(&branch);
			failed = alloc_fault_disarm();
			/* IO: the folder was not synced after the rename. */
			ck_assert(err == LSM_OK ||
			          (failed && (err == LSM_ERR_NOMEM ||
			                      err == LSM_ERR_IO)));
			fingerprint(&branch.state, &found);
			ck_assert(slice_equal(buf_slice(&expected),
			                      buf_slice(&found)));
			expect_recovered();
			branch_sweep(&branch);
		} while (failed);
		ck_assert_uint_gt(nth, 10);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("manifest");
	TCase *whole = tcase_create("as it was");
	TCase *memory = tcase_create("out of memory");

	tcase_add_checked_fixture(whole, setup, teardown);
	tcase_add_test(whole, an_empty_branch_comes_back);
	tcase_add_test(whole,
	               a_branch_comes_back_after_each_edit_and_each_list);
	tcase_add_test(whole, a_recovered_state_can_be_published_again);
	tcase_add_test(whole, a_copy_outlives_its_original);
	tcase_add_test(whole, a_manifest_on_a_list_names_the_difference_alone);
	tcase_add_test(whole, publish_numbers_above_leftovers_and_removes_them);
	tcase_add_test(whole, no_number_above_the_last_one_is_corrupt);
	tcase_add_test(whole,
	               logs_that_are_unknown_or_known_twice_change_nothing);
	tcase_add_test(whole,
	               horizon_goes_neither_back_nor_ahead_of_what_is_flushed);
	tcase_add_test(whole, logs_keep_the_order_of_replay);
	suite_add_tcase(suite, whole);

	tcase_add_checked_fixture(memory, setup, teardown);
	tcase_add_test(memory, failed_allocations_of_recovery_are_nomem);
	tcase_add_test(memory,
	               an_append_that_ran_out_of_memory_happened_or_not);
	tcase_add_test(memory,
	               a_publish_that_ran_out_of_memory_leaves_what_was);
	suite_add_tcase(suite, memory);
	return run_suite(suite);
}
