/* SPDX-License-Identifier: MIT */
/*
 * test_manifest_recover.c: whatever is damaged in the files of a branch gives
 * an error and one log line, never another state.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/tree/manifest_kit.h"
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
	    ("MANIFEST-1"
	     "0000000000000000000000000000000000000000000000000000001\n"),
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
	size_t end;

	build(1);
	before = manifest_bytes(branch.manifest);
	branch_grow(&branch);
	manifest_name(name);
	read_bytes(branch.mem, "/branch", name, &bytes);
	/* Behind the last record, whose payload is no zero, is preallocated room. */
	for (end = bytes.len; bytes.data[end - 1] == 0; end--)
		continue;
	/* The first byte of the last edit's record. */
	bytes.data[end - (manifest_bytes(branch.manifest) - before)] ^= 1;
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
	must_be_ok(wal_writer_create(branch.place.pool, &header, 0, UINT32_MAX, &writer));
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

	must_be_ok(wal_writer_create(branch.place.dir, &header, 0, UINT32_MAX, &writer));
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

int main(void)
{
	Suite *suite = suite_create("manifest recover");
	TCase *damage = tcase_create("damage");

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
	return run_suite(suite);
}
