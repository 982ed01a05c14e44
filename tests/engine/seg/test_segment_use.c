/* SPDX-License-Identifier: MIT */
/* test_segment_use.c: lists of segments add up, and are read as written. */
#include <check.h>
#include <stdlib.h>

#include "seg/segment_use.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

static struct segment_uses uses;

static void setup(void)
{
	segment_uses_init(&uses);
}

static void teardown(void)
{
	segment_uses_release(&uses);
}

static struct segment_use use_of(uint64_t creator, uint64_t number,
                                 uint64_t frames)
{
	struct segment_use use = {.id = {creator, number},
	                          .file_bytes = 100000,
	                          .frames = frames,
	                          .bytes = frames * 100,
	                          .tables = 1};

	return use;
}

static void add(uint64_t creator, uint64_t number, uint64_t frames)
{
	struct segment_use use = use_of(creator, number, frames);

	ck_assert_int_eq(segment_uses_add(&uses, &use), LSM_OK);
}

static void assert_is_sorted(const struct segment_uses *list)
{
	for (size_t i = 1; i < list->count; i++) {
		const struct segment_use *a = &list->items[i - 1];
		const struct segment_use *b = &list->items[i];

		ck_assert(a->id.creator < b->id.creator ||
		          (a->id.creator == b->id.creator &&
		           a->id.number < b->id.number));
	}
}

START_TEST(same_segment_is_added_up)
{
	struct segment_use *found;

	add(2, 1, 3);
	add(1, 9, 1);
	add(2, 1, 4);
	ck_assert_uint_eq(uses.count, 2);
	assert_is_sorted(&uses);
	found = segment_uses_find(&uses, (struct file_id){2, 1});
	ck_assert_ptr_nonnull(found);
	ck_assert_uint_eq(found->frames, 7);
	ck_assert_uint_eq(found->bytes, 700);
	ck_assert_uint_eq(found->tables, 2);
	ck_assert_uint_eq(found->file_bytes, 100000);
	ck_assert_ptr_null(segment_uses_find(&uses, (struct file_id){2, 2}));
}
END_TEST

START_TEST(appended_lists_give_what_adding_one_by_one_gives)
{
	struct segment_uses part, sum;
	struct gen gen;

	gen_init(&gen, gen_seed(5));
	segment_uses_init(&sum);
	for (int lists = 0; lists < 20; lists++) {
		segment_uses_init(&part);
		for (int i = 0; i < 15; i++) {
			uint64_t creator = gen_below(&gen, 3);
			uint64_t number = 1 + gen_below(&gen, 30);
			struct segment_use use =
			    use_of(creator, number, 1 + gen_below(&gen, 9));

			if (segment_uses_find(&part, use.id) != NULL)
				continue;
			ck_assert_int_eq(segment_uses_add(&part, &use), LSM_OK);
			ck_assert_int_eq(segment_uses_add(&uses, &use), LSM_OK);
		}
		ck_assert_int_eq(segment_uses_append(&sum, &part), LSM_OK);
		segment_uses_release(&part);
	}
	segment_uses_sum(&sum);
	ck_assert(segment_uses_equal(&sum, &uses));
	assert_is_sorted(&sum);
	for (size_t i = 0; i < sum.count; i++)
		ck_assert_uint_eq(sum.items[i].tables, uses.items[i].tables);
	segment_uses_release(&sum);
}
END_TEST

static enum lsm_err decode(struct slice bytes, bool with_sizes,
                           struct segment_uses *out)
{
	struct cursor c = cursor_make(bytes);
	enum lsm_err err = segment_uses_decode(&c, with_sizes, out);

	if (err == LSM_OK && cursor_left(&c) > 0)
		err = LSM_ERR_INVALID;
	return err;
}

START_TEST(what_was_written_is_read)
{
	for (unsigned with_sizes = 0; with_sizes < 2; with_sizes++) {
		struct segment_uses found;
		struct buf bytes = BUF_INIT;

		for (uint64_t i = 1; i < 40; i++)
			add(i % 3, i, i);
		ck_assert_int_eq(
		    segment_uses_encode(&uses, with_sizes == 1, &bytes),
		    LSM_OK);
		ck_assert_int_eq(
		    decode(buf_slice(&bytes), with_sizes == 1, &found), LSM_OK);
		ck_assert(segment_uses_equal(&found, &uses));
		ck_assert_uint_eq(found.items[0].file_bytes,
		                  with_sizes == 1 ? 100000 : 0);
		ck_assert_uint_eq(found.items[0].tables, 1);
		segment_uses_release(&found);
		for (size_t len = 0; len < bytes.len; len++) {
			ck_assert_int_eq(decode(slice_make(bytes.data, len),
			                        with_sizes == 1, &found),
			                 LSM_ERR_CORRUPT);
			ck_assert_uint_eq(found.count, 0);
		}
		buf_release(&bytes);
	}
}
END_TEST

static enum lsm_err decode_pair(struct segment_use a, struct segment_use b)
{
	struct segment_use items[2] = {a, b};
	struct segment_uses pair = {items, 2, 2}, found;
	struct buf bytes = BUF_INIT;
	enum lsm_err err;

	ck_assert_int_eq(segment_uses_encode(&pair, true, &bytes), LSM_OK);
	err = decode(buf_slice(&bytes), true, &found);
	segment_uses_release(&found);
	buf_release(&bytes);
	return err;
}

START_TEST(impossible_lists_are_refused)
{
	struct segment_use a = use_of(1, 1, 5), b = use_of(1, 2, 5), bad;

	ck_assert_int_eq(decode_pair(a, b), LSM_OK);
	ck_assert_int_eq(decode_pair(b, a), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_pair(a, a), LSM_ERR_CORRUPT);
	bad = b;
	bad.id.number = 0;
	ck_assert_int_eq(decode_pair(bad, b), LSM_ERR_CORRUPT);
	bad = b;
	bad.frames = 0;
	ck_assert_int_eq(decode_pair(a, bad), LSM_ERR_CORRUPT);
	bad = b;
	bad.bytes = bad.frames - 1;
	ck_assert_int_eq(decode_pair(a, bad), LSM_ERR_CORRUPT);
	bad = b;
	bad.file_bytes = bad.bytes;
	ck_assert_int_eq(decode_pair(a, bad), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(count_beyond_the_bytes_allocates_nothing)
{
	struct segment_uses found;
	uint8_t bytes[VARINT_MAX_BYTES];
	size_t len = put_varint(bytes, UINT64_MAX);
	enum lsm_err err;

	alloc_fault_arm(1);
	err = decode(slice_make(bytes, len), true, &found);
	ck_assert(!alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(failed_allocation_leaves_the_list_as_it_was)
{
	struct segment_use use = use_of(9, 9, 1);
	struct segment_uses more = {&use, 1, 1};
	bool fired = false;

	for (uint64_t i = 1; i < 20 && !fired; i++) {
		size_t before = uses.count;
		enum lsm_err err;

		use.id.number = i;
		alloc_fault_arm(1);
		err = i % 2 == 0 ? segment_uses_add(&uses, &use)
		                 : segment_uses_append(&uses, &more);
		if (alloc_fault_disarm() && before > 0) {
			ck_assert_int_eq(err, LSM_ERR_NOMEM);
			ck_assert_uint_eq(uses.count, before);
			fired = true;
		} else if (before == 0) {
			ck_assert_int_eq(err, LSM_ERR_NOMEM);
			add(9, 100, 1);
		}
	}
	ck_assert(fired);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment use");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, same_segment_is_added_up);
	tcase_add_test(tc, appended_lists_give_what_adding_one_by_one_gives);
	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, impossible_lists_are_refused);
	tcase_add_test(tc, count_beyond_the_bytes_allocates_nothing);
	tcase_add_test(tc, failed_allocation_leaves_the_list_as_it_was);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
