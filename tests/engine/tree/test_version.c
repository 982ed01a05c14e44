/* SPDX-License-Identifier: MIT */
/*
 * test_version.c: a version over real tables answers as the plain array of what
 * is in them does, opens no table that it need not, and drops each one once.
 */
#include <check.h>
#include <stdlib.h>

#include "base/sync.h"
#include "tests/engine/tree/version_kit.h"

/* ---- get ---------------------------------------------------------------- */

struct visits {
	struct entries entries;
	struct slice user;
	size_t limit; /* stop after so many */
};

static bool note_visit(void *ctx, uint64_t seq, enum key_kind kind,
                       struct slice value)
{
	struct visits *visits = ctx;

	entries_add(&visits->entries, visits->user, seq, kind, value);
	return visits->entries.count < visits->limit;
}

/* The versions that the array has of `user` up to `seq`, at most `limit`. */
static void scan(struct slice user, uint64_t seq, size_t limit,
                 struct entries *out)
{
	entries_init(out);
	for (size_t i = 0; i < whole.count && out->count < limit; i++) {
		struct slice key = buf_slice(&whole.all[i].key);

		if (slice_equal(key_user(key), user) && key_seq(key) <= seq)
			entries_add(out, user, key_seq(key), key_kind(key),
			            buf_slice(&whole.all[i].value));
	}
}

static void check_get(uint64_t index, uint64_t seq, size_t limit)
{
	struct visits visits = {.limit = limit};
	struct entries expected;
	char user[16];
	bool stopped;

	visits.user = user_name(index, user);
	entries_init(&visits.entries);
	must_be_ok(version_get(version, &source, visits.user, seq, note_visit,
	                       &visits, &stopped));
	scan(visits.user, seq, limit, &expected);
	ck_assert(entries_equal(&visits.entries, &expected));
	ck_assert_int_eq(stopped, expected.count == limit);
	entries_release(&visits.entries);
	entries_release(&expected);
}

START_TEST(get_visits_what_the_array_has_newest_first)
{
	struct gen gen;

	for (uint64_t index = 0; index < USERS + 2; index++)
		check_get(index, KEY_SEQ_MAX, SIZE_MAX);
	gen_init(&gen, gen_seed(42));
	for (int round = 0; round < 2000; round++)
		check_get(gen_below(&gen, USERS + 2),
		          gen_below(&gen, last_seq + 2),
		          1 + (size_t)gen_below(&gen, 5));
}
END_TEST

START_TEST(get_opens_no_table_that_cannot_hold_the_key)
{
	struct visits visits = {.limit = SIZE_MAX};
	bool stopped;

	entries_init(&visits.entries);
	empty_caches();
	tables_opened = 0;
	visits.user = slice_str("zzz");
	must_be_ok(version_get(version, &source, visits.user, KEY_SEQ_MAX,
	                       note_visit, &visits, &stopped));
	visits.user = slice_str("user050");
	must_be_ok(version_get(version, &source, visits.user, 0, note_visit,
	                       &visits, &stopped));
	ck_assert(!stopped);
	ck_assert_uint_eq(tables_opened, 0);
	must_be_ok(version_get(version, &source, visits.user, KEY_SEQ_MAX,
	                       note_visit, &visits, &stopped));
	/* One a level, and those of L0. */
	ck_assert_uint_le(tables_opened, L0_TABLES + 3);
	entries_release(&visits.entries);
}
END_TEST

START_TEST(each_failing_read_of_a_get_is_its_error)
{
	char user[16];

	for (uint64_t nth = 1;; nth++) {
		struct visits visits = {.limit = SIZE_MAX};
		struct entries expected;
		enum lsm_err err;
		bool stopped, done, whole_answer;

		entries_init(&visits.entries);
		visits.user = user_name(60, user);
		empty_caches();
		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		err = version_get(version, &source, visits.user, KEY_SEQ_MAX,
		                  note_visit, &visits, &stopped);
		done = env_fault_count(fault) < nth;
		env_fault_arm(fault, 0, LSM_OK, false);
		scan(visits.user, KEY_SEQ_MAX, SIZE_MAX, &expected);
		whole_answer = entries_equal(&visits.entries, &expected);
		entries_release(&expected);
		entries_release(&visits.entries);
		ck_assert(!stopped);
		/* An error of closing a file that was only read is none. */
		ck_assert(err == LSM_ERR_IO || err == LSM_OK);
		ck_assert(err == LSM_ERR_IO || whole_answer);
		if (done) {
			must_be_ok(err);
			ck_assert_uint_gt(nth, 5);
			break;
		}
	}
}
END_TEST

/* ---- overlaps, order, references ---------------------------------------- */

START_TEST(overlaps_and_ranges_are_what_a_scan_finds)
{
	struct gen gen;

	gen_init(&gen, gen_seed(45));
	for (int round = 0; round < 2000; round++) {
		unsigned index = (unsigned)gen_below(&gen, LSM_LEVELS);
		const struct level *level = &version->levels[index];
		uint64_t low = gen_below(&gen, USERS + 5);
		uint64_t high = low + gen_below(&gen, 12);
		char a[16], b[16];
		struct slice smallest = user_name(low, a);
		struct slice largest = user_name(high, b);
		size_t meeting = 0, begin, end;

		for (size_t i = 0; i < level->count; i++) {
			const struct table_info *info = &level->tables[i]->info;
			bool meets =
			    slice_compare(key_user(buf_slice(&info->largest)),
			                  smallest) >= 0 &&
			    slice_compare(key_user(buf_slice(&info->smallest)),
			                  largest) <= 0;

			meeting += meets;
			if (index == 0)
				continue;
			version_range(version, index, smallest, largest, &begin,
			              &end);
			ck_assert_int_eq(meets, i >= begin && i < end);
		}
		ck_assert_int_eq(
		    version_overlaps(version, index, smallest, largest),
		    meeting > 0);
	}
}
END_TEST

START_TEST(a_range_that_ends_before_it_begins_is_empty)
{
	size_t begin, end;

	version_range(version, 6, slice_str("user090"), slice_str("user010"),
	              &begin, &end);
	ck_assert_uint_eq(begin, end);
	ck_assert_uint_gt(begin, 0);
}
END_TEST

START_TEST(a_level_out_of_order_is_not_sound)
{
	struct table_owner nobody = {.dropped = NULL, .ctx = NULL};
	struct table_meta *tables[2] = {make_meta(1, "a", "c", 10, nobody),
	                                make_meta(2, "d", "f", 20, nobody)};
	struct table_meta *swapped[2] = {tables[1], tables[0]};
	struct level level = {.tables = tables, .count = 2};

	ck_assert(level_is_sound(&level, 1));
	ck_assert(!level_is_sound(&level, 0)); /* the older one first */
	level.tables = swapped;
	ck_assert(!level_is_sound(&level, 1));
	ck_assert(level_is_sound(&level, 0));
	table_meta_unref(tables[1]);
	tables[1] = make_meta(3, "c", "f", 5, nobody);
	level.tables = tables;
	ck_assert(!level_is_sound(&level, 1)); /* they share "c" */
	table_meta_unref(tables[0]);
	table_meta_unref(tables[1]);
}
END_TEST

START_TEST(an_iterator_keeps_the_version_and_a_version_its_tables)
{
	struct slice none = slice_make(NULL, 0);
	struct iter *it = merged(none, none);
	struct version *next;
	struct edit edit;
	struct entries found;

	/* A version without any table takes its place. */
	edit_init(&edit);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		for (size_t j = 0; j < version->levels[i].count; j++)
			must_be_ok(edit_remove_table(
			    &edit, i, version->levels[i].tables[j]->id));
	must_be_ok(edit_apply(version, &edit, &next));
	edit_release(&edit);
	version_unref(version);
	version = next;
	for (int i = 0; i < TALLY_NUMBERS; i++)
		ck_assert_int_eq(tally.dropped[i], 0);

	entries_collect(&found, it);
	ck_assert(entries_equal(&found, &whole));
	entries_release(&found);
	iter_destroy(it);
	ck_assert(tally_is_even(&tally));
	ck_assert_int_eq(tally.dropped[1], 1);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void take_and_give(void *ctx)
{
	struct version *shared = ctx;

	for (int i = 0; i < ROUNDS; i++) {
		struct table_meta *meta = shared->levels[0].tables[0];

		version_ref(shared);
		table_meta_ref(meta);
		version_unref(shared);
		table_meta_unref(meta);
	}
	version_unref(shared);
}

START_TEST(threads_that_share_a_version_drop_its_tables_once)
{
	struct sync_thread threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		version_ref(version);
		must_be_ok(sync_thread_start(&threads[i], "reader",
		                             take_and_give, version));
	}
	version_unref(version); /* a thread is the last one */
	version = NULL;
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	ck_assert(tally_is_even(&tally));
	ck_assert_int_eq(tally.dropped[1], 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("version");
	TCase *tc = tcase_create("version");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, get_visits_what_the_array_has_newest_first);
	tcase_add_test(tc, get_opens_no_table_that_cannot_hold_the_key);
	tcase_add_test(tc, each_failing_read_of_a_get_is_its_error);
	tcase_add_test(tc, overlaps_and_ranges_are_what_a_scan_finds);
	tcase_add_test(tc, a_range_that_ends_before_it_begins_is_empty);
	tcase_add_test(tc, a_level_out_of_order_is_not_sound);
	tcase_add_test(tc,
	               an_iterator_keeps_the_version_and_a_version_its_tables);
	tcase_add_test(tc, threads_that_share_a_version_drop_its_tables_once);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
