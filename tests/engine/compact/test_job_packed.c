/* SPDX-License-Identifier: MIT */
/*
 * test_job_packed.c: a block that was one entry, and becomes one again, goes from
 * table to table as it is stored. To tell it from one that was packed anew, the
 * inputs here hold values of one letter as they are, which no packing would leave.
 */
#include <check.h>
#include <stdlib.h>

#include "sst/block_builder.h"
#include "tests/engine/compact/job_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/env_fault.h"

enum {
	LAST = LSM_LEVELS - 1,
	BLOCK = 256,
	LARGE = 240, /* bytes of a value that fills a block */
};

static struct kit kit;
static struct version *version;
static char large[26][LARGE + 1]; /* one for each letter */

static void setup(void)
{
	kit_open(&kit);
	ck_assert_uint_eq(kit.context.block_bytes, BLOCK);
	ck_assert_int_eq(version_create(&version), LSM_OK);
	for (int i = 0; i < 26; i++) {
		memset(large[i], 'a' + i, LARGE);
		large[i][LARGE] = '\0';
	}
}

static void teardown(void)
{
	version_unref(version);
	kit_close(&kit);
}

/* ---- tables whose blocks are stored in a way of our own ---------------- */

/* A stream that says of each entry that it was a block, and how that was stored. */
struct stored_iter {
	struct iter base;
	struct iter *inner;
	bool damaged; /* stored as what does not unpack */
	struct block_builder block;
	struct slice raw; /* of the current entry */
};

static void settle(struct stored_iter *it)
{
	block_builder_clear(&it->block);
	iter_place(&it->base, iter_valid(it->inner), iter_key(it->inner));
	if (!iter_valid(it->inner))
		return;
	ck_assert_int_eq(block_builder_add(&it->block, iter_key(it->inner),
	                                   iter_value(it->inner)),
	                 LSM_OK);
	ck_assert_int_eq(block_builder_finish(&it->block, &it->raw), LSM_OK);
}

static void stored_seek_first(struct iter *base)
{
	struct stored_iter *it = (struct stored_iter *)base;

	iter_seek_first(it->inner);
	settle(it);
}

static void stored_next(struct iter *base)
{
	struct stored_iter *it = (struct stored_iter *)base;

	iter_next(it->inner);
	settle(it);
}

static struct slice stored_value(const struct iter *base)
{
	return iter_value(((const struct stored_iter *)base)->inner);
}

static bool stored_packed(const struct iter *base,
                          struct codec_packed *packed_out)
{
	const struct stored_iter *it = (const struct stored_iter *)base;

	*packed_out = (struct codec_packed){it->raw, CODEC_RAW, it->raw.len};
	if (it->damaged)
		packed_out->codec = CODEC_LZ4;
	return true;
}

static enum lsm_err stored_status(const struct iter *base)
{
	return iter_status(((const struct stored_iter *)base)->inner);
}

static void stored_destroy(struct iter *base)
{
	struct stored_iter *it = (struct stored_iter *)base;

	block_builder_release(&it->block);
	iter_destroy(it->inner);
	free(it);
}

static const struct iter_ops stored_ops = {
    .seek_first = stored_seek_first,
    .next = stored_next,
    .value = stored_value,
    .packed = stored_packed,
    .status = stored_status,
    .destroy = stored_destroy,
};

static void add_stored(unsigned level, const struct entry *entries,
                       size_t count, bool damaged)
{
	struct stored_iter *it = calloc(1, sizeof(*it));
	struct edit edit;

	ck_assert_ptr_nonnull(it);
	iter_init(&it->base, &stored_ops);
	it->inner = kit_stream(entries, count);
	it->damaged = damaged;
	block_builder_init(&it->block, 1);
	edit_init(&edit);
	ck_assert_int_eq(
	    job_write_tables(&kit.context, &it->base, level, false, &edit),
	    LSM_OK);
	kit_apply(&version, &edit);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ADD_STORED(level, entries)                                             \
	add_stored((level), (entries), COUNT(entries), false)

/* ---- what is asked of them --------------------------------------------- */

static void table_name(unsigned level, char name[FILE_NAME_MAX_BYTES])
{
	ck_assert_uint_eq(version->levels[level].count, 1);
	file_name_format(FILE_KIND_TABLE, version->levels[level].tables[0]->id,
	                 name);
}

/* The bytes of the one table of `level`. */
static void read_table(unsigned level, struct buf *bytes)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;
	size_t got;

	table_name(level, name);
	ck_assert_int_eq(
	    buf_resize(bytes,
	               version->levels[level].tables[0]->info.file_bytes),
	    LSM_OK);
	ck_assert_int_eq(env_open(kit.pool, name, ENV_READ, &file), LSM_OK);
	ck_assert_int_eq(env_read(file, 0, bytes->data, bytes->len, &got),
	                 LSM_OK);
	ck_assert_uint_eq(got, bytes->len);
	ck_assert_int_eq(env_close(file), LSM_OK);
}

static size_t find(const struct buf *bytes, const char *what)
{
	const uint8_t *at = memmem(bytes->data, bytes->len, what, strlen(what));

	return at == NULL ? 0 : (size_t)(at - bytes->data);
}

/* Whether the value lies in the one table of `level` as it is, unpacked. */
static bool lies_unpacked(unsigned level, const char *value)
{
	struct buf bytes = BUF_INIT;
	bool found;

	read_table(level, &bytes);
	found = find(&bytes, value) != 0;
	buf_release(&bytes);
	return found;
}

static void report(void *ctx, const char *line)
{
	(void)ctx;
	ck_abort_msg("%s", line);
}

/* Every block of the one table of `level` is right, and its figures are. */
static void assert_sound(unsigned level)
{
	const struct table_meta *meta = version->levels[level].tables[0];
	uint64_t faults;
	struct table *table;

	ck_assert_uint_eq(version->levels[level].count, 1);
	ck_assert_int_eq(table_open(kit.pool, meta->id, &kit.source.family,
	                            meta->info.file_bytes, kit.blocks, &table),
	                 LSM_OK);
	ck_assert_int_eq(table_verify(table, report, NULL, &faults), LSM_OK);
	ck_assert_uint_eq(faults, 0);
	table_close(table);
}

static void assert_reads(const char *user, const char *expected)
{
	struct buf value = BUF_INIT;

	ck_assert(kit_get(&kit, version, user, KEY_SEQ_MAX, &value));
	ck_assert_str_eq((const char *)value.data, expected);
	buf_release(&value);
}

/* L0 with the last level. */
static enum lsm_err compact(struct edit *edit)
{
	return kit_compact(&kit, version, 0, LAST, edit);
}

static void must_compact(void)
{
	struct edit edit;

	ck_assert_int_eq(compact(&edit), LSM_OK);
	kit_apply(&version, &edit);
	assert_sound(LAST);
}

static void must_be_corrupt(void)
{
	size_t before = kit_in_folder(&kit);
	struct edit edit;

	ck_assert_int_eq(compact(&edit), LSM_ERR_CORRUPT);
	ck_assert_uint_eq(edit.added_count, 0);
	ck_assert_uint_eq(kit_in_folder(&kit), before);
	edit_release(&edit);
}

/* Two large entries in the last level, and two between them in L0. */
static void make_inputs(void)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]},
	                      {"c", 2, KEY_PUT, large[2]}};
	struct entry high[] = {{"b", 3, KEY_PUT, large[1]},
	                       {"d", 4, KEY_PUT, large[3]}};

	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
}

/* ---- what passes --------------------------------------------------------- */

START_TEST(blocks_of_one_entry_pass_as_they_are_stored)
{
	make_inputs();
	must_compact();
	for (int i = 0; i < 4; i++) {
		char user[2] = {(char)('a' + i), '\0'};

		ck_assert(lies_unpacked(LAST, large[i]));
		assert_reads(user, large[i]);
	}
}
END_TEST

/* A table comes to the same, block by block, as if they had been packed anew. */
START_TEST(what_passed_is_as_if_packed_anew)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]},
	                      {"c", 2, KEY_PUT, large[2]}};
	struct entry high[] = {{"b", 3, KEY_PUT, large[1]},
	                       {"bb", 4, KEY_PUT, "small"}};
	struct entry all[] = {low[0], high[0], high[1], low[1]};
	struct buf passed = BUF_INIT, anew = BUF_INIT;
	uint64_t number;

	kit_add_table(&kit, &version, LAST, low, COUNT(low));
	kit_add_table(&kit, &version, 0, high, COUNT(high));
	number = kit.last_number;
	must_compact();
	read_table(LAST, &passed);
	/* A file of the same number has the same checksums. */
	{
		struct edit edit;

		edit_init(&edit);
		ck_assert_int_eq(
		    edit_remove_table(&edit, LAST,
		                      version->levels[LAST].tables[0]->id),
		    LSM_OK);
		kit_apply(&version, &edit);
	}
	kit.last_number = number;
	kit_add_table(&kit, &version, LAST, all, COUNT(all));
	read_table(LAST, &anew);
	ck_assert(slice_equal(buf_slice(&passed), buf_slice(&anew)));
	buf_release(&passed);
	buf_release(&anew);
}
END_TEST

START_TEST(newer_version_passes_and_the_older_goes)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]}};
	struct entry high[] = {{"a", 2, KEY_PUT, large[1]}};

	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	must_compact();
	ck_assert(lies_unpacked(LAST, large[1]));
	ck_assert(!lies_unpacked(LAST, large[0]));
	assert_reads("a", large[1]);
}
END_TEST

/* ---- what does not ------------------------------------------------------- */

START_TEST(value_that_was_folded_is_packed)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]}};
	struct entry high[] = {{"a", 2, KEY_MERGE, "x"}};
	struct buf expected = BUF_INIT;

	ck_assert_int_eq(buf_append_slice(&expected, slice_str(large[0])),
	                 LSM_OK);
	ck_assert_int_eq(buf_append(&expected, "x", 2), LSM_OK);
	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	must_compact();
	ck_assert(!lies_unpacked(LAST, large[0]));
	assert_reads("a", (const char *)expected.data);
	buf_release(&expected);
}
END_TEST

START_TEST(entries_that_share_a_block_are_packed)
{
	char half[BLOCK / 2 + 20];
	struct entry low[] = {{"a", 1, KEY_PUT, "small"}};
	struct entry high[] = {{"b", 2, KEY_PUT, half}};
	struct entry end[] = {{"c", 3, KEY_PUT, "small"}};

	memset(half, 'h', sizeof(half) - 1);
	half[sizeof(half) - 1] = '\0';
	/* Behind one that leaves it room. */
	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	must_compact();
	ck_assert(!lies_unpacked(LAST, half));
	/* And what is not alone in its block does not pass for that. */
	ADD_STORED(0, end);
	must_compact();
	assert_reads("a", "small");
	assert_reads("b", half);
	assert_reads("c", "small");
}
END_TEST

START_TEST(small_entries_do_not_get_blocks_of_their_own)
{
	struct entry low[] = {{"a", 1, KEY_PUT, "abcdefghijklm"}};
	struct entry high[] = {{"b", 2, KEY_PUT, "nopqrstuvwxyz"}};

	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	must_compact();
	/* Entries of one block follow each other at once. */
	{
		struct buf bytes = BUF_INIT;
		size_t a, b;

		read_table(LAST, &bytes);
		a = find(&bytes, low[0].value);
		b = find(&bytes, high[0].value);
		ck_assert_uint_gt(a, 0);
		ck_assert_uint_gt(b, a);
		ck_assert_uint_lt(b, a + 2 * strlen(low[0].value));
		buf_release(&bytes);
	}
}
END_TEST

/* What lies in the cache is there unpacked only. */
START_TEST(block_out_of_the_cache_is_packed)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]}};
	struct entry high[] = {{"b", 2, KEY_PUT, large[1]}};

	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	assert_reads("a", large[0]);
	must_compact();
	ck_assert(!lies_unpacked(LAST, large[0]));
	ck_assert(lies_unpacked(LAST, large[1]));
	assert_reads("a", large[0]);
	assert_reads("b", large[1]);
}
END_TEST

/* ---- damage ---------------------------------------------------------------- */

START_TEST(block_with_a_flipped_bit_is_not_passed_on)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]}};
	struct entry high[] = {{"b", 2, KEY_PUT, large[1]}};
	char name[FILE_NAME_MAX_BYTES];
	struct buf bytes = BUF_INIT;
	struct env_file *file;
	size_t at;

	ADD_STORED(LAST, low);
	ADD_STORED(0, high);
	read_table(LAST, &bytes);
	at = find(&bytes, large[0]) + LARGE / 2;
	bytes.data[at] ^= 0x10;
	/* Sealed files cannot be written to: one in its place can. */
	table_name(LAST, name);
	ck_assert_int_eq(env_unlink(kit.pool, name), LSM_OK);
	ck_assert_int_eq(env_open(kit.pool, name, ENV_CREATE, &file), LSM_OK);
	ck_assert_int_eq(env_write(file, 0, bytes.data, bytes.len), LSM_OK);
	ck_assert_int_eq(env_close(file), LSM_OK);
	must_be_corrupt();
	buf_release(&bytes);
}
END_TEST

START_TEST(block_that_does_not_unpack_is_not_passed_on)
{
	struct entry low[] = {{"a", 1, KEY_PUT, large[0]}};
	struct entry high[] = {{"b", 2, KEY_PUT, large[1]}};

	ADD_STORED(LAST, low);
	add_stored(0, high, COUNT(high), true);
	must_be_corrupt();
}
END_TEST

/* ---- failures -------------------------------------------------------------- */

static void assert_passed(struct edit *edit)
{
	kit_apply(&version, edit);
	assert_sound(LAST);
	for (int i = 0; i < 4; i++)
		ck_assert(lies_unpacked(LAST, large[i]));
}

/* Until the job goes through with fewer than `nth`. */
START_TEST(each_failing_operation_leaves_nothing)
{
	enum lsm_err err = LSM_ERR_NOSPACE;
	struct edit edit;

	make_inputs();
	for (uint64_t nth = 1; err != LSM_OK; nth++) {
		env_fault_arm(kit.env, nth, LSM_ERR_NOSPACE, false);
		err = compact(&edit);
		env_fault_arm(kit.env, 0, LSM_OK, false);
		if (err == LSM_OK)
			break;
		ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		ck_assert_uint_eq(edit.added_count, 0);
		ck_assert_uint_eq(kit_known(&kit), 2);
		edit_release(&edit);
	}
	assert_passed(&edit);
}
END_TEST

START_TEST(each_failing_allocation_leaves_nothing)
{
	bool failed = true;
	enum lsm_err err;
	struct edit edit;

	make_inputs();
	for (uint64_t nth = 1; failed; nth++) {
		struct compact_plan plan;

		kit_plan(version, 0, LAST, &plan);
		edit_init(&edit);
		alloc_fault_arm(nth);
		err = job_compact(&kit.context, version, &plan, &edit);
		failed = alloc_fault_disarm();
		compact_plan_release(&plan);
		if (err == LSM_OK)
			break;
		ck_assert(failed);
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
		ck_assert_uint_eq(edit.added_count, 0);
		ck_assert_uint_eq(kit_known(&kit), 2);
		edit_release(&edit);
	}
	assert_passed(&edit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job packed");
	TCase *tc = tcase_create("blocks");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, blocks_of_one_entry_pass_as_they_are_stored);
	tcase_add_test(tc, what_passed_is_as_if_packed_anew);
	tcase_add_test(tc, newer_version_passes_and_the_older_goes);
	tcase_add_test(tc, value_that_was_folded_is_packed);
	tcase_add_test(tc, entries_that_share_a_block_are_packed);
	tcase_add_test(tc, small_entries_do_not_get_blocks_of_their_own);
	tcase_add_test(tc, block_out_of_the_cache_is_packed);
	tcase_add_test(tc, block_with_a_flipped_bit_is_not_passed_on);
	tcase_add_test(tc, block_that_does_not_unpack_is_not_passed_on);
	tcase_add_test(tc, each_failing_operation_leaves_nothing);
	tcase_add_test(tc, each_failing_allocation_leaves_nothing);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
