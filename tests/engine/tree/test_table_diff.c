/* SPDX-License-Identifier: MIT */
/*
 * test_table_diff.c: the difference that follows edits is the one that two lists
 * compared would give.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/support/gen.h"
#include "tree/table_diff.h"

enum { TABLES = 60, STEPS = 400, ABSENT = -1 };

static const struct table_owner nobody = {.dropped = NULL};

static struct table_meta *metas[TABLES];
static int listed[TABLES], now[TABLES]; /* level, or ABSENT */
static struct gen gen;

static struct file_id id_of(size_t table)
{
	return (struct file_id){table % 3, 1 + table};
}

static void setup(void)
{
	gen_init(&gen, gen_seed(5));
	for (size_t i = 0; i < TABLES; i++) {
		struct table_info info;

		table_info_init(&info);
		ck_assert_int_eq(
		    table_meta_create(id_of(i), &info, nobody, &metas[i]),
		    LSM_OK);
		listed[i] = (int)gen_below(&gen, 4) - 1;
		now[i] = listed[i];
	}
}

static void teardown(void)
{
	for (size_t i = 0; i < TABLES; i++) {
		ck_assert_uint_eq(atomic_load(&metas[i]->refs), 1);
		table_meta_unref(metas[i]);
	}
}

/* Some tables go, come, or change their level. */
static void random_edit(struct edit *edit)
{
	edit_init(edit);
	for (uint64_t n = gen_below(&gen, 6); n > 0; n--) {
		size_t i = gen_below(&gen, TABLES);
		int level = (int)gen_below(&gen, 4) - 1;
		bool touched = level == now[i];

		for (size_t j = 0; j < edit->removed_count; j++)
			touched |= file_id_equal(edit->removed[j].id, id_of(i));
		for (size_t j = 0; j < edit->added_count; j++)
			touched |= edit->added[j].meta == metas[i];
		if (touched)
			continue;
		if (now[i] != ABSENT)
			ck_assert_int_eq(
			    edit_remove_table(edit, (unsigned)now[i], id_of(i)),
			    LSM_OK);
		if (level != ABSENT)
			ck_assert_int_eq(
			    edit_add_table(edit, (unsigned)level, metas[i]),
			    LSM_OK);
		now[i] = level;
	}
}

/* How often the difference adds the table, and removes it. */
static void check_table(const struct table_diff *diff, size_t i)
{
	size_t added = 0, removed = 0;
	bool changed = now[i] != listed[i];

	for (size_t j = 0; j < diff->added_count; j++)
		if (diff->added[j].meta == metas[i]) {
			added++;
			ck_assert_int_eq(diff->added[j].level, now[i]);
		}
	for (size_t j = 0; j < diff->removed_count; j++)
		if (file_id_equal(diff->removed[j].id, id_of(i))) {
			removed++;
			ck_assert_int_eq(diff->removed[j].level, listed[i]);
		}
	ck_assert_uint_eq(added, changed && now[i] != ABSENT);
	ck_assert_uint_eq(removed, changed && listed[i] != ABSENT);
}

START_TEST(difference_follows_random_edits)
{
	struct table_diff diff = {.added_count = 0};

	for (int step = 0; step < STEPS; step++) {
		struct table_diff next = {.added_count = 0};
		struct edit edit, told;

		random_edit(&edit);
		ck_assert_int_eq(table_diff_after(&diff, &edit, &next), LSM_OK);
		table_diff_release(&diff);
		diff = next;
		for (size_t i = 0; i < TABLES; i++)
			check_table(&diff, i);
		edit_init(&told);
		ck_assert_int_eq(table_diff_tell(&diff, &told), LSM_OK);
		ck_assert_uint_eq(told.added_count, diff.added_count);
		ck_assert_uint_eq(told.removed_count, diff.removed_count);
		edit_release(&told);
		edit_release(&edit);
	}
	table_diff_release(&diff);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table diff");
	TCase *tc = tcase_create("diff");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, difference_follows_random_edits);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
