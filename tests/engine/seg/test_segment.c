/* SPDX-License-Identifier: MIT */
/*
 * test_segment.c: what segment_writer wrote is read back, from where the pointer
 * says and for whom it was written; whatever is damaged is told.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "seg/segment.h"
#include "seg/segment_writer.h"
#include "tests/engine/seg/seg_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"

enum { VALUES = 12, VALUE_MAX_BYTES = 3000, LARGE_BYTES = 700 << 10 };

static const struct file_id id = {0x1234, 7};
static struct env *memory, *env;
static struct segment_source source;
static char name[FILE_NAME_MAX_BYTES];
static struct buf values[VALUES];
static struct pointer pointers[VALUES];
static uint64_t file_bytes;

static struct slice user_of(unsigned i)
{
	static char users[VALUES][16];

	snprintf(users[i], sizeof(users[i]), "user%0*u", (int)(1 + i % 5), i);
	return slice_str(users[i]);
}

/* Half random, half one byte over and over. */
static void make_value(struct gen *gen, struct buf *value, size_t len)
{
	ck_assert_int_eq(buf_resize(value, len), LSM_OK);
	memset(value->data, 'x', len);
	gen_bytes(gen, value->data, len / 2);
}

static enum lsm_err write_segment(struct file_id to)
{
	struct segment_writer *writer = NULL;
	struct env_file *file = NULL;
	enum lsm_err err;

	file_name_format(FILE_KIND_SEGMENT, to, name);
	err = env_open(source.pool, name, ENV_CREATE, &file);
	if (err == LSM_OK)
		err = segment_writer_create(file, to, &source.family, &writer);
	for (unsigned i = 0; err == LSM_OK && i < VALUES; i++)
		err = segment_writer_add(writer, user_of(i), 100 + i,
		                         buf_slice(&values[i]), &pointers[i]);
	if (err == LSM_OK) {
		file_bytes = segment_writer_bytes(writer);
		err = segment_writer_finish(writer);
	}
	segment_writer_destroy(writer);
	env_close(file);
	return err;
}

static void setup(void)
{
	struct gen gen;

	gen_init(&gen, gen_seed(31));
	kit_open(&memory, &env, &source);
	for (unsigned i = 0; i < VALUES; i++)
		make_value(
		    &gen, &values[i],
		    i == 3 ? 1 : 1 + (size_t)gen_below(&gen, VALUE_MAX_BYTES));
	ck_assert_int_eq(write_segment(id), LSM_OK);
}

static void teardown(void)
{
	for (unsigned i = 0; i < VALUES; i++)
		buf_release(&values[i]);
	kit_close(memory, env, &source);
}

static void tell(void *ctx, const char *line)
{
	++*(unsigned *)ctx;
	ck_assert_ptr_nonnull(strstr(line, name));
}

static uint64_t faults(uint64_t expected_bytes)
{
	uint64_t found = 0;
	unsigned lines = 0;

	ck_assert_int_eq(
	    segment_verify(&source, id, expected_bytes, tell, &lines, &found),
	    LSM_OK);
	ck_assert_uint_eq(found, lines);
	return found;
}

static void replace_file(struct slice bytes)
{
	struct env_file *file = NULL;

	segment_forget(&source, id);
	ck_assert_int_eq(env_unlink(source.pool, name), LSM_OK);
	ck_assert_int_eq(env_open(source.pool, name, ENV_CREATE, &file),
	                 LSM_OK);
	ck_assert_int_eq(env_write(file, 0, bytes.data, bytes.len), LSM_OK);
	env_close(file);
}

START_TEST(what_was_written_is_read)
{
	struct buf found = BUF_INIT;
	bool matches;

	ck_assert_int_eq(segment_probe(&source, id, file_bytes), LSM_OK);
	for (unsigned i = VALUES; i-- > 0;) {
		ck_assert_int_eq(
		    segment_read(&source, user_of(i), &pointers[i], &found),
		    LSM_OK);
		ck_assert(
		    slice_equal(buf_slice(&found), buf_slice(&values[i])));
		ck_assert_int_eq(segment_matches(&source, user_of(i), 100 + i,
		                                 &pointers[i], &matches),
		                 LSM_OK);
		ck_assert(matches);
	}
	ck_assert_uint_eq(faults(file_bytes), 0);
	buf_release(&found);
}
END_TEST

START_TEST(half_compressible_values_take_less)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < VALUES; i++)
		raw += values[i].len;
	ck_assert_uint_lt(file_bytes, raw);
}
END_TEST

START_TEST(frames_are_copied_as_they_are)
{
	const struct file_id other = {0x1234, 8};
	struct segment_writer *writer = NULL;
	struct buf bytes = BUF_INIT, found = BUF_INIT;
	struct env_file *file = NULL;
	struct pointer copies[VALUES];
	struct frame frame;

	file_name_format(FILE_KIND_SEGMENT, other, name);
	ck_assert_int_eq(env_open(source.pool, name, ENV_CREATE, &file),
	                 LSM_OK);
	ck_assert_int_eq(
	    segment_writer_create(file, other, &source.family, &writer),
	    LSM_OK);
	for (unsigned i = 0; i < VALUES; i += 2) {
		ck_assert_int_eq(segment_load(&source, user_of(i), &pointers[i],
		                              &bytes, &frame),
		                 LSM_OK);
		ck_assert_uint_eq(frame.seq, 100 + i);
		ck_assert_int_eq(
		    segment_writer_copy(writer, &frame, &copies[i]), LSM_OK);
	}
	ck_assert_int_eq(segment_writer_finish(writer), LSM_OK);
	segment_writer_destroy(writer);
	env_close(file);
	for (unsigned i = 0; i < VALUES; i += 2) {
		ck_assert(file_id_equal(copies[i].segment, other));
		ck_assert_uint_eq(copies[i].stored_len, pointers[i].stored_len);
		ck_assert_int_eq(
		    segment_read(&source, user_of(i), &copies[i], &found),
		    LSM_OK);
		ck_assert(
		    slice_equal(buf_slice(&found), buf_slice(&values[i])));
	}
	buf_release(&bytes);
	buf_release(&found);
}
END_TEST

START_TEST(values_larger_than_the_buffer_are_written_and_read)
{
	const struct file_id other = {0x1234, 9};
	struct buf found = BUF_INIT;
	struct gen gen;

	gen_init(&gen, gen_seed(32));
	make_value(&gen, &values[1], LARGE_BYTES);
	make_value(&gen, &values[5], LSM_VALUE_MAX_BYTES);
	ck_assert_int_eq(write_segment(other), LSM_OK);
	for (unsigned i = 0; i < VALUES; i++) {
		ck_assert_int_eq(
		    segment_read(&source, user_of(i), &pointers[i], &found),
		    LSM_OK);
		ck_assert(
		    slice_equal(buf_slice(&found), buf_slice(&values[i])));
	}
	buf_release(&found);
}
END_TEST

START_TEST(pointer_to_anything_else_is_refused)
{
	struct buf found = BUF_INIT;
	struct pointer bad;
	bool matches;

	/* Another's value, another place, another length, another checksum. */
	ck_assert_int_eq(
	    segment_read(&source, user_of(2), &pointers[1], &found),
	    LSM_ERR_CORRUPT);
	for (int what = 0; what < 6; what++) {
		bad = pointers[4];
		bad.offset += what == 0;
		bad.offset = what == 1 ? file_bytes - 8 : bad.offset;
		bad.offset = what == 2 ? INT64_MAX : bad.offset;
		bad.stored_len -= what == 3;
		bad.raw_len += what == 4;
		bad.checksum ^= what == 5;
		ck_assert_int_eq(
		    segment_read(&source, user_of(4), &bad, &found),
		    LSM_ERR_CORRUPT);
		ck_assert_int_eq(
		    segment_matches(&source, user_of(4), 104, &bad, &matches),
		    LSM_OK);
		ck_assert(!matches);
	}
	ck_assert_int_eq(
	    segment_matches(&source, user_of(4), 105, &pointers[4], &matches),
	    LSM_OK);
	ck_assert(!matches);
	buf_release(&found);
}
END_TEST

START_TEST(missing_segment_is_damage)
{
	struct buf found = BUF_INIT;
	bool matches;

	ck_assert_int_eq(env_unlink(source.pool, name), LSM_OK);
	ck_assert_int_eq(
	    segment_read(&source, user_of(1), &pointers[1], &found),
	    LSM_ERR_CORRUPT);
	ck_assert_int_eq(segment_probe(&source, id, file_bytes),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(
	    segment_matches(&source, user_of(1), 101, &pointers[1], &matches),
	    LSM_OK);
	ck_assert(!matches);
	ck_assert_uint_eq(faults(file_bytes), 1);
	buf_release(&found);
}
END_TEST

START_TEST(another_size_than_the_manifest_says_is_told)
{
	ck_assert_int_eq(segment_probe(&source, id, file_bytes + 1),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(faults(file_bytes + 1), 1);
}
END_TEST

/* Every value is right or CORRUPT, and each flip is met by the walk. */
START_TEST(every_flipped_byte_is_found)
{
	struct buf bytes = BUF_INIT, found = BUF_INIT;

	ck_assert_int_eq(env_read_file(source.pool, name, 1 << 20, &bytes),
	                 LSM_OK);
	for (size_t at = 0; at < bytes.len; at++) {
		bytes.data[at] ^= 0x40;
		replace_file(buf_slice(&bytes));
		bytes.data[at] ^= 0x40;
		/* Eight bytes of the header are for later: nobody looks. */
		if (at < FILE_HEADER_BYTES || at % 7 == 0)
			ck_assert_uint_ge(faults(file_bytes), 1);
		for (unsigned i = (unsigned)(at % 5);
		     at % 11 == 0 && i < VALUES; i += 5) {
			enum lsm_err err = segment_read(&source, user_of(i),
			                                &pointers[i], &found);

			ck_assert(err == LSM_ERR_CORRUPT ||
			          (err == LSM_OK &&
			           slice_equal(buf_slice(&found),
			                       buf_slice(&values[i]))));
		}
	}
	buf_release(&bytes);
	buf_release(&found);
}
END_TEST

START_TEST(every_cut_is_found)
{
	struct buf bytes = BUF_INIT;

	ck_assert_int_eq(env_read_file(source.pool, name, 1 << 20, &bytes),
	                 LSM_OK);
	for (size_t len = 0; len < bytes.len; len += 13) {
		replace_file(slice_make(bytes.data, len));
		ck_assert_int_ne(segment_probe(&source, id, file_bytes),
		                 LSM_OK);
		ck_assert_uint_ge(faults(file_bytes), 1);
	}
	buf_release(&bytes);
}
END_TEST

START_TEST(failed_writes_are_passed_up)
{
	const struct file_id other = {0x1234, 10};
	uint64_t operations;
	enum lsm_err err = LSM_OK;

	env_fault_arm(env, 0, LSM_OK, false);
	ck_assert_int_eq(write_segment(other), LSM_OK);
	operations = env_fault_count(env);
	for (uint64_t nth = 1; nth < operations; nth++) {
		ck_assert_int_eq(env_unlink(source.pool, name), LSM_OK);
		env_fault_arm(env, nth, LSM_ERR_NOSPACE, false);
		err = write_segment(other);
		env_fault_arm(env, 0, LSM_OK, false);
		ck_assert_int_eq(err, LSM_ERR_NOSPACE);
		if (nth == 1) /* it was not made */
			ck_assert_int_eq(write_segment(other), LSM_OK);
	}
}
END_TEST

START_TEST(any_failing_allocation_is_passed_up)
{
	struct buf found = BUF_INIT;
	bool fired = true;

	for (uint64_t nth = 1; fired; nth++) {
		struct file_id to = {0x99, nth};
		enum lsm_err err;

		alloc_fault_arm(nth);
		err = write_segment(to);
		if (err == LSM_OK)
			err = segment_probe(&source, to, file_bytes);
		if (err == LSM_OK)
			err = segment_read(&source, user_of(0), &pointers[0],
			                   &found);
		fired = alloc_fault_disarm();
		ck_assert_int_eq(err, fired ? LSM_ERR_NOMEM : LSM_OK);
		buf_release(&found);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, half_compressible_values_take_less);
	tcase_add_test(tc, frames_are_copied_as_they_are);
	tcase_add_test(tc, values_larger_than_the_buffer_are_written_and_read);
	tcase_add_test(tc, pointer_to_anything_else_is_refused);
	tcase_add_test(tc, missing_segment_is_damage);
	tcase_add_test(tc, another_size_than_the_manifest_says_is_told);
	tcase_add_test(tc, every_flipped_byte_is_found);
	tcase_add_test(tc, every_cut_is_found);
	tcase_add_test(tc, failed_writes_are_passed_up);
	tcase_add_test(tc, any_failing_allocation_is_passed_up);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
