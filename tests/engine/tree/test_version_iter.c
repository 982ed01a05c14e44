/* SPDX-License-Identifier: MIT */
/*
 * test_version_iter.c: the iterators of a version cover every range, open one
 * table of a level at a time, and pass on the error of any read.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/tree/version_kit.h"
#include "tests/support/alloc_fault.h"

/* A bound, or none. */
static struct slice draw_bound(struct gen *gen, char out[16])
{
	if (gen_below(gen, 4) == 0)
		return slice_make(NULL, 0);
	return user_name(gen_below(gen, USERS + 10), out);
}

static bool is_in(struct slice user, struct slice lower, struct slice upper)
{
	return slice_compare(user, lower) >= 0 &&
	       (upper.len == 0 || slice_compare(user, upper) < 0);
}

static void check_range(struct slice lower, struct slice upper)
{
	struct iter *it = merged(lower, upper);
	struct buf target = BUF_INIT;

	must_be_ok(key_make(&target, lower, KEY_SEQ_MAX, KEY_SEEK));
	iter_seek(it, buf_slice(&target));
	for (size_t i = 0; i < whole.count; i++) {
		struct slice key = buf_slice(&whole.all[i].key);

		if (!is_in(key_user(key), lower, upper))
			continue;
		ck_assert(iter_valid(it));
		ck_assert(slice_equal(iter_key(it), key));
		ck_assert(slice_equal(iter_value(it),
		                      buf_slice(&whole.all[i].value)));
		iter_next(it);
	}
	must_be_ok(iter_status(it));
	ck_assert(!iter_valid(it) ||
	          !is_in(key_user(iter_key(it)), lower, upper));
	buf_release(&target);
	iter_destroy(it);
}

START_TEST(iterators_cover_every_range)
{
	struct slice none = slice_make(NULL, 0);
	struct gen gen;

	check_range(none, none);
	gen_init(&gen, gen_seed(43));
	for (int round = 0; round < 300; round++) {
		char lower[16], upper[16];
		struct slice from = draw_bound(&gen, lower);

		check_range(from, draw_bound(&gen, upper));
	}
}
END_TEST

START_TEST(iterators_go_both_ways)
{
	struct slice none = slice_make(NULL, 0);
	struct iter *it = merged(none, none);
	struct gen gen;

	gen_init(&gen, gen_seed(45));
	ck_assert(moves_match(it, &whole, 0, whole.count, &gen, 5000));
	iter_destroy(it);
}
END_TEST

START_TEST(a_level_iterator_goes_both_ways_over_its_row)
{
	const struct level *level = &version->levels[6];
	struct entries found;
	struct iter *it;
	struct gen gen;

	gen_init(&gen, gen_seed(46));
	for (size_t begin = 0; begin <= level->count; begin++) {
		must_be_ok(level_iter_create(level->tables + begin,
		                             (level->count - begin) / 2,
		                             &source, true, &it));
		entries_collect(&found, it);
		ck_assert(moves_match(it, &found, 0, found.count, &gen, 500));
		entries_release(&found);
		iter_destroy(it);
	}
}
END_TEST

/* How many iterators a range needs, by looking at every table. */
static size_t count_needed(struct slice lower, struct slice upper)
{
	size_t needed = 0;

	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		const struct level *level = &version->levels[i];
		size_t meeting = 0;

		for (size_t j = 0; j < level->count; j++) {
			const struct table_info *info = &level->tables[j]->info;

			meeting +=
			    slice_compare(key_user(buf_slice(&info->largest)),
			                  lower) >= 0 &&
			    (upper.len == 0 ||
			     slice_compare(key_user(buf_slice(&info->smallest)),
			                   upper) < 0);
		}
		needed += i == 0 ? meeting : meeting > 0;
	}
	return needed;
}

START_TEST(iterators_leave_out_what_is_outside_the_range)
{
	struct gen gen;

	gen_init(&gen, gen_seed(44));
	for (int round = 0; round < 500; round++) {
		char a[16], b[16];
		struct slice lower = draw_bound(&gen, a);
		struct slice upper = draw_bound(&gen, b);
		struct iter_list list;

		if (upper.len > 0 && slice_compare(lower, upper) >= 0)
			continue;
		iter_list_init(&list);
		must_be_ok(
		    version_iters(version, &source, lower, upper, true, &list));
		ck_assert_uint_eq(list.count, count_needed(lower, upper));
		iter_list_release(&list);
	}
}
END_TEST

START_TEST(a_level_iterator_opens_one_table_at_a_time)
{
	const struct level *level = &version->levels[6];
	struct slice largest = buf_slice(&level->tables[3]->info.largest);
	struct iter *it;

	ck_assert_uint_ge(level->count, 5);
	empty_caches();
	tables_opened = 0;
	must_be_ok(level_iter_create(level->tables, level->count, &source,
	                             false, &it));
	ck_assert(!iter_valid(it));
	ck_assert_uint_eq(tables_opened, 0);
	iter_seek(it, largest);
	ck_assert(iter_valid(it));
	ck_assert(slice_equal(iter_key(it), largest));
	ck_assert_uint_eq(tables_opened, 1);
	iter_next(it);
	ck_assert(slice_equal(iter_key(it),
	                      buf_slice(&level->tables[4]->info.smallest)));
	ck_assert_uint_eq(tables_opened, 2);
	iter_destroy(it);
}
END_TEST

START_TEST(a_level_iterator_yields_a_row_of_tables_in_order)
{
	const struct level *level = &version->levels[6];

	for (size_t begin = 0; begin <= level->count; begin++) {
		size_t count = (level->count - begin) / 2;
		struct entries found;
		uint64_t expected = 0;
		struct iter *it;

		must_be_ok(level_iter_create(level->tables + begin, count,
		                             &source, true, &it));
		entries_collect(&found, it);
		must_be_ok(iter_status(it));
		for (size_t i = begin; i < begin + count; i++)
			expected += level->tables[i]->info.entries;
		ck_assert_uint_eq(found.count, expected);
		if (count > 0)
			ck_assert(slice_equal(
			    buf_slice(&found.all[0].key),
			    buf_slice(&level->tables[begin]->info.smallest)));
		for (size_t i = 1; i < found.count; i++)
			ck_assert_int_lt(
			    key_compare(buf_slice(&found.all[i - 1].key),
			                buf_slice(&found.all[i].key)),
			    0);
		entries_release(&found);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(each_failing_read_ends_the_iterator_with_its_error)
{
	struct slice none = slice_make(NULL, 0);

	for (uint64_t nth = 1;; nth++) {
		struct iter *it = merged(none, none);
		size_t count = 0;
		enum lsm_err err;
		bool done;

		empty_caches();
		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		for (iter_seek_first(it); iter_valid(it); iter_next(it)) {
			if (!slice_equal(iter_key(it),
			                 buf_slice(&whole.all[count].key)))
				break;
			count++;
		}
		done = env_fault_count(fault) < nth;
		env_fault_arm(fault, 0, LSM_OK, false);
		err = iter_status(it);
		ck_assert(!iter_valid(it));
		ck_assert(err == LSM_OK || err == LSM_ERR_IO);
		ck_assert((count == whole.count) == (err == LSM_OK));
		/* It can be read again from the start. */
		iter_seek_first(it);
		ck_assert(iter_valid(it));
		must_be_ok(iter_status(it));
		iter_destroy(it);
		if (done) {
			must_be_ok(err);
			ck_assert_uint_gt(nth, 20);
			break;
		}
	}
}
END_TEST

START_TEST(each_failed_allocation_is_nomem_and_leaks_nothing)
{
	struct slice none = slice_make(NULL, 0);
	struct iter_list list;
	uint64_t nth = 1;
	bool failed;

	do {
		enum lsm_err err;

		iter_list_init(&list);
		alloc_fault_arm(nth++);
		err = version_iters(version, &source, none, none, true, &list);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		iter_list_release(&list);
	} while (failed);
	ck_assert_uint_gt(nth, L0_TABLES + 3);
	nth = 1;
	do {
		struct iter *it;
		enum lsm_err err;

		empty_caches();
		alloc_fault_arm(nth++);
		err = level_iter_create(version->levels[6].tables, 3, &source,
		                        true, &it);
		if (err == LSM_OK) {
			iter_seek_first(it);
			err = iter_status(it);
		}
		failed = alloc_fault_disarm();
		ck_assert(err == (failed ? LSM_ERR_NOMEM : LSM_OK) ||
		          (failed && err == LSM_OK && iter_valid(it)));
		iter_destroy(it);
	} while (failed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("version iter");
	TCase *tc = tcase_create("version");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, iterators_cover_every_range);
	tcase_add_test(tc, iterators_go_both_ways);
	tcase_add_test(tc, a_level_iterator_goes_both_ways_over_its_row);
	tcase_add_test(tc, iterators_leave_out_what_is_outside_the_range);
	tcase_add_test(tc, a_level_iterator_opens_one_table_at_a_time);
	tcase_add_test(tc, a_level_iterator_yields_a_row_of_tables_in_order);
	tcase_add_test(tc, each_failing_read_ends_the_iterator_with_its_error);
	tcase_add_test(tc, each_failed_allocation_is_nomem_and_leaks_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
