/* SPDX-License-Identifier: MIT */
/*
 * test_manifest.c: a branch comes back from its files as it was; whatever is
 * damaged in them gives an error and one log line, never another state.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "tests/engine/tree/manifest_kit.h"
#include "tests/support/alloc_fault.h"
#include "wal/wal_writer.h"

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

static void list_name(char out[FILE_NAME_MAX_BYTES])
{
	file_name_format(FILE_KIND_LIST, branch.state.list, out);
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
	for (int i = 0; i < 100; i++)
		branch_grow(&branch);
	must_be_ok(branch_relist(&branch));
	ck_assert_uint_gt(branch.state.list_table_count, 10);
	manifest_name(name);
	read_bytes(branch.mem, "/branch", name, &bytes);
	ck_assert_uint_lt(bytes.len, 2000 + 24 * branch.state.log_count);
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

/* ---- damage ------------------------------------------------------------- */

/* Recover and demand this error, told in one line. */
static void expect_refused(enum lsm_err err)
{
	take_log_lines();
	ck_assert_int_eq(recover_bytes(branch.mem, &found), err);
	ck_assert_uint_eq(take_log_lines(), 1);
}

START_TEST(only_the_name_of_a_manifest_is_a_current)
{
	static const char *const bad[] = {
	    "",
	    "\n",
	    "MANIFEST-1",
	    "MANIFEST-\n",
	    "MANIFEST-0\n",
	    "MANIFEST-01\n",
	    "MANIFEST-1\n\n",
	    "MANIFEST-1 \n",
	    " MANIFEST-1\n",
	    "MANIFEST-+1\n",
	    "MANIFEST-1x\n",
	    "manifest-1\n",
	    "MANIFEST-2\n", /* there is none */
	    "MANIFEST-18446744073709551617\n",
	    "MANIFEST-"
	    "10000000000000000000000000000000000000000000000000000001\n",
	};

	must_be_ok(branch_publish(&branch));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_bytes(branch.mem, "/branch", "CURRENT",
		            slice_str(bad[i]));
		expect_refused(LSM_ERR_CORRUPT);
	}
	write_bytes(branch.mem, "/branch", "CURRENT",
	            slice_str("MANIFEST-1\n"));
	expect_recovered();
}
END_TEST

START_TEST(missing_files_are_corrupt)
{
	char name[FILE_NAME_MAX_BYTES];

	expect_refused(LSM_ERR_CORRUPT); /* no CURRENT */
	build(2);
	list_name(name);
	must_be_ok(env_unlink(branch.place.pool, name));
	expect_refused(LSM_ERR_CORRUPT);
	manifest_name(name);
	must_be_ok(env_unlink(branch.place.dir, name));
	expect_refused(LSM_ERR_CORRUPT);
}
END_TEST

/* Recovery gives an error in one line, or what is expected. */
static void expect_same_or_refused(const char *name, size_t at)
{
	enum lsm_err err;

	take_log_lines();
	err = recover_bytes(branch.mem, &found);
	if (err == LSM_OK) {
		ck_assert_msg(
		    slice_equal(buf_slice(&expected), buf_slice(&found)),
		    "%s at %zu: another state", name, at);
	} else {
		ck_assert_msg(err == LSM_ERR_CORRUPT || err == LSM_ERR_LOST ||
		                  err == LSM_ERR_NEWER,
		              "%s at %zu: %s", name, at, lsm_strerror(err));
		ck_assert_msg(take_log_lines() == 1,
		              "%s at %zu: not one log line", name, at);
	}
}

static void flip_each_byte(const char *folder, const char *name)
{
	static const uint8_t masks[] = {0x01, 0x10, 0x80, 0xff};
	struct buf bytes = BUF_INIT;

	fingerprint(&branch.state, &expected);
	read_bytes(branch.mem, folder, name, &bytes);
	for (size_t i = 0; i < bytes.len; i++) {
		for (size_t m = 0; m < sizeof(masks); m++) {
			bytes.data[i] ^= masks[m];
			write_bytes(branch.mem, folder, name,
			            buf_slice(&bytes));
			expect_same_or_refused(name, i);
			bytes.data[i] ^= masks[m];
		}
	}
	write_bytes(branch.mem, folder, name, buf_slice(&bytes));
	buf_release(&bytes);
	expect_recovered();
}

START_TEST(no_flipped_byte_of_current_gives_another_state)
{
	build(3);
	flip_each_byte("/branch", "CURRENT");
}
END_TEST

START_TEST(no_flipped_byte_of_a_manifest_gives_another_state)
{
	char name[FILE_NAME_MAX_BYTES];

	build(3);
	manifest_name(name);
	flip_each_byte("/branch", name);
	/* Nor of one that has its first edit alone. */
	must_be_ok(branch_publish(&branch));
	manifest_name(name);
	flip_each_byte("/branch", name);
}
END_TEST

START_TEST(no_flipped_byte_of_a_list_gives_another_state)
{
	char name[FILE_NAME_MAX_BYTES];

	build(3);
	list_name(name);
	flip_each_byte("/pool", name);
}
END_TEST

START_TEST(a_list_cut_anywhere_is_refused)
{
	struct buf bytes = BUF_INIT;
	char name[FILE_NAME_MAX_BYTES];

	build(3);
	list_name(name);
	read_bytes(branch.mem, "/pool", name, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		write_bytes(branch.mem, "/pool", name,
		            slice_make(bytes.data, len));
		expect_refused(LSM_ERR_CORRUPT);
	}
	buf_release(&bytes);
}
END_TEST

START_TEST(a_manifest_cut_anywhere_is_refused_or_ends_with_a_whole_edit)
{
	enum { EDITS = 4 };
	struct buf bytes = BUF_INIT, states[EDITS + 1];
	char name[FILE_NAME_MAX_BYTES];
	unsigned latest = 0;

	build(0);
	for (unsigned i = 0; i <= EDITS; i++) {
		if (i > 0)
			branch_grow(&branch);
		buf_init(&states[i]);
		fingerprint(&branch.state, &states[i]);
	}
	manifest_name(name);
	read_bytes(branch.mem, "/branch", name, &bytes);
	for (size_t len = 0; len <= bytes.len; len++) {
		write_bytes(branch.mem, "/branch", name,
		            slice_make(bytes.data, len));
		take_log_lines();
		if (recover_bytes(branch.mem, &found) != LSM_OK) {
			ck_assert_uint_eq(take_log_lines(), 1);
			ck_assert_uint_eq(latest, 0);
			continue;
		}
		/* The state moves on by one edit at a time. */
		if (latest < EDITS &&
		    !slice_equal(buf_slice(&found), buf_slice(&states[latest])))
			latest++;
		ck_assert(
		    slice_equal(buf_slice(&found), buf_slice(&states[latest])));
	}
	ck_assert_uint_eq(latest, EDITS);
	for (unsigned i = 0; i <= EDITS; i++)
		buf_release(&states[i]);
	buf_release(&bytes);
}
END_TEST

START_TEST(a_damaged_last_edit_is_lost_and_not_cut)
{
	struct buf bytes = BUF_INIT;
	char name[FILE_NAME_MAX_BYTES];
	uint64_t before;

	build(1);
	before = manifest_bytes(branch.manifest);
	branch_grow(&branch);
	manifest_name(name);
	read_bytes(branch.mem, "/branch", name, &bytes);
	/* The first byte of the last edit's record. */
	bytes.data[bytes.len - (manifest_bytes(branch.manifest) - before)] ^= 1;
	write_bytes(branch.mem, "/branch", name, buf_slice(&bytes));
	expect_refused(LSM_ERR_LOST);
	buf_release(&bytes);
}
END_TEST

/* Replace the list by a sealed, or unsealed, one of these payloads. */
static void forge_list(const struct slice *payloads, size_t count, bool seal)
{
	struct file_header header = {
	    .kind = FILE_KIND_LIST,
	    .id = branch.state.list,
	    .family = branch.place.family,
	};
	struct wal_writer *writer;
	char name[FILE_NAME_MAX_BYTES];

	list_name(name);
	must_be_ok(env_unlink(branch.place.pool, name));
	must_be_ok(wal_writer_create(branch.place.pool, &header, 0, &writer));
	must_be_ok(wal_writer_append(writer, payloads, count));
	if (seal)
		must_be_ok(wal_writer_seal(writer));
	wal_writer_destroy(writer);
}

START_TEST(a_list_is_one_sealed_edit_of_tables)
{
	struct slice empty = slice_str("\x02");
	struct slice two[2] = {empty, empty};
	struct slice untagged = slice_make(NULL, 0);
	struct slice branch_tag = slice_str("\x01");
	struct slice with_log = slice_str("\x02\x03"
	                                  "12345678"
	                                  "\x05\x06");
	struct slice unknown = slice_str("\x02\x77");

	must_be_ok(branch_relist(&branch));
	forge_list(&empty, 1, true);
	expect_recovered();
	forge_list(&empty, 1, false);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(two, 2, true);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(two, 0, true);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(&untagged, 1, true);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(&branch_tag, 1, true);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(&with_log, 1, true);
	expect_refused(LSM_ERR_CORRUPT);
	forge_list(&unknown, 1, true);
	expect_refused(LSM_ERR_CORRUPT);
}
END_TEST

/* Have CURRENT name a manifest of these payloads. */
static void forge_manifest(const struct slice *payloads, size_t count)
{
	struct file_header header = {
	    .kind = FILE_KIND_MANIFEST,
	    .id = {BRANCH_ID, ++branch.state.manifest_number},
	    .family = branch.place.family,
	};
	struct wal_writer *writer;
	char line[FILE_NAME_MAX_BYTES + 1];

	must_be_ok(wal_writer_create(branch.place.dir, &header, 0, &writer));
	must_be_ok(wal_writer_append(writer, payloads, count));
	wal_writer_destroy(writer);
	manifest_name(line);
	strcat(line, "\n");
	write_bytes(branch.mem, "/branch", "CURRENT", slice_str(line));
}

/* tag, id 0xb0, parent 0, forked_at 0, created_ns 0, flags, name, no list */
#define BRANCH_RECORD(flags, name)                                             \
	slice_make("\x01"                                                      \
	           "\xb0\0\0\0\0\0\0\0"                                        \
	           "\0\0\0\0\0\0\0\0"                                          \
	           "\0\0" flags name "\0\0\0\0\0\0\0\0"                        \
	           "\0",                                                       \
	           sizeof(flags name) - 1 + 28)

START_TEST(a_manifest_is_a_branch_record_and_known_records)
{
	struct slice good = BRANCH_RECORD("\1", "\2me");
	struct slice edit = slice_str("\x02"), mark = slice_str("\x03");
	struct slice records[3] = {good, edit, mark};
	struct slice firsts[] = {
	    BRANCH_RECORD("\2", "\2me"),  /* an unknown flag */
	    BRANCH_RECORD("\0", "\2m\0"), /* a NUL in the name */
	    BRANCH_RECORD("\0", "\3me"),  /* too long a name */
	    BRANCH_RECORD("\0", "\1me"),  /* a byte too many */
	    slice_make(good.data, good.len - 1),
	    slice_make(good.data, 1),
	    edit,
	    slice_make(NULL, 0),
	};
	struct slice thirds[] = {slice_str("\x03!"), slice_str("\x04"), good,
	                         slice_make(NULL, 0), slice_str("\x02\x55")};
	struct slice log = slice_str("\x02\x03"
	                             "12345678"
	                             "\x05\x06");
	struct slice twice[3] = {good, log, log};
	struct slice other;
	uint8_t other_id[64];

	manifest_state_release(&branch.state);
	branch.state.branch.id = BRANCH_ID;
	branch.state.branch.read_only = true;
	strcpy(branch.state.branch.name, "me");
	forge_manifest(records, 3);
	expect_recovered();
	forge_manifest(records, 1); /* no edit */
	expect_refused(LSM_ERR_CORRUPT);
	forge_manifest(records, 0);
	expect_refused(LSM_ERR_CORRUPT);
	for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
		records[0] = firsts[i];
		forge_manifest(records, 3);
		expect_refused(LSM_ERR_CORRUPT);
	}
	records[0] = good;
	for (size_t i = 0; i < sizeof(thirds) / sizeof(thirds[0]); i++) {
		records[2] = thirds[i];
		forge_manifest(records, 3);
		expect_refused(LSM_ERR_CORRUPT);
	}
	forge_manifest(twice, 3);
	expect_refused(LSM_ERR_CORRUPT);
	memcpy(other_id, good.data, good.len);
	other_id[1] ^= 1; /* another branch's */
	other = slice_make(other_id, good.len);
	records[0] = other;
	records[2] = mark;
	forge_manifest(records, 3);
	expect_refused(LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(the_manifest_of_another_branch_or_family_is_refused)
{
	struct manifest_state state;

	build(1);
	take_log_lines();
	ck_assert_int_eq(manifest_recover(&branch.place, BRANCH_ID + 1,
	                                  tally_owner(&branch.tally), NULL,
	                                  &state),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(take_log_lines(), 1);
	branch.place.family.bytes[3] ^= 1;
	ck_assert_int_eq(manifest_recover(&branch.place, BRANCH_ID,
	                                  tally_owner(&branch.tally), NULL,
	                                  &state),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(take_log_lines(), 1);
	ck_assert_ptr_null(state.version);
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
	TCase *damage = tcase_create("damage");
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
	suite_add_tcase(suite, whole);

	tcase_add_checked_fixture(damage, setup, teardown);
	tcase_add_test(damage, only_the_name_of_a_manifest_is_a_current);
	tcase_add_test(damage, missing_files_are_corrupt);
	tcase_add_test(damage, no_flipped_byte_of_current_gives_another_state);
	tcase_add_test(damage,
	               no_flipped_byte_of_a_manifest_gives_another_state);
	tcase_add_test(damage, no_flipped_byte_of_a_list_gives_another_state);
	tcase_add_test(damage, a_list_cut_anywhere_is_refused);
	tcase_add_test(
	    damage,
	    a_manifest_cut_anywhere_is_refused_or_ends_with_a_whole_edit);
	tcase_add_test(damage, a_damaged_last_edit_is_lost_and_not_cut);
	tcase_add_test(damage, a_list_is_one_sealed_edit_of_tables);
	tcase_add_test(damage, a_manifest_is_a_branch_record_and_known_records);
	tcase_add_test(damage,
	               the_manifest_of_another_branch_or_family_is_refused);
	suite_add_tcase(suite, damage);

	tcase_add_checked_fixture(memory, setup, teardown);
	tcase_add_test(memory, failed_allocations_of_recovery_are_nomem);
	tcase_add_test(memory,
	               an_append_that_ran_out_of_memory_happened_or_not);
	tcase_add_test(memory,
	               a_publish_that_ran_out_of_memory_leaves_what_was);
	suite_add_tcase(suite, memory);
	return run_suite(suite);
}
