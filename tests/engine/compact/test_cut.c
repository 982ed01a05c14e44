/* SPDX-License-Identifier: MIT */
/*
 * test_cut.c: tables end where little is cut apart, and are never tiny.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/compact/pick_kit.h"

#include "compact/cut.h"

enum { FULL = 1000, PREFIX = 3 };

static struct cut cut;

static void setup(void)
{
	pick_setup();
	cut = (struct cut){.table_bytes = FULL, .prefix_bytes = PREFIX};
}

static bool ends(const char *last, const char *user, uint64_t bytes)
{
	return cut_before(&cut, slice_str(last), slice_str(user), bytes);
}

START_TEST(full_table_ends_anywhere_but_within_a_key)
{
	ck_assert(!ends("a001x", "a001y", FULL - 1));
	ck_assert(ends("a001x", "a001y", FULL));
	ck_assert(!ends("a001y", "a001y", 10 * FULL));
}
END_TEST

START_TEST(table_ends_between_prefixes_once_it_is_nearly_full)
{
	ck_assert(!ends("a01x", "a02x", FULL - FULL / 8 - 1));
	ck_assert(ends("a01x", "a02x", FULL - FULL / 8));
	ck_assert(!ends("a01x", "a01y", FULL - FULL / 8));
	/* A key without the whole prefix is one of its own. */
	ck_assert(ends("a0", "a01y", FULL - 1));
	cut.prefix_bytes = 0;
	ck_assert(!ends("a01x", "a02x", FULL - 1));
}
END_TEST

START_TEST(table_ends_between_families_unless_it_is_tiny)
{
	ck_assert(!ends("a01x", "b01x", FULL / 4 - 1));
	ck_assert(ends("a01x", "b01x", FULL / 4));
	ck_assert(ends("", "b01x", FULL / 4));
	ck_assert(!ends("a", "a01x", FULL / 4));
}
END_TEST

START_TEST(table_without_a_limit_never_ends)
{
	cut.table_bytes = 0;
	ck_assert(!ends("a01x", "b01x", UINT64_MAX));
}
END_TEST

static struct slice number(uint8_t bytes[4], uint32_t n)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(n >> (24 - 8 * i));
	return slice_make(bytes, 4);
}

static bool ends_at(uint32_t last, uint32_t user, uint64_t bytes)
{
	uint8_t a[4], b[4];

	return cut_before(&cut, number(a, last), number(b, user), bytes);
}

START_TEST(table_ends_before_it_meets_too_much_below)
{
	struct pick_spec specs[30];
	struct version *version;

	for (uint32_t i = 0; i < 30; i++)
		specs[i] =
		    (struct pick_spec){LAST, 10 * i, 10 * i + 9, FULL, 0};
	version = PICK_VERSION(specs);
	cut.below = &version->levels[LAST];
	cut.prefix_bytes = 0;
	cut_begin(&cut);
	ck_assert(!ends_at(0, 5, FULL / 8));
	ck_assert(!ends_at(5, 205, FULL / 8)); /* past 20 of them */
	ck_assert(!ends_at(205, 214, FULL / 8 - 1));
	ck_assert(ends_at(209, 215, FULL / 8)); /* past 21 */
	cut_begin(&cut);
	ck_assert(!ends_at(215, 299, FULL / 8));
	ck_assert(!ends_at(299, 1000, FULL / 8));
	version_unref(version);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cut");
	TCase *tc = tcase_create("cuts");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, pick_teardown);
	tcase_add_test(tc, full_table_ends_anywhere_but_within_a_key);
	tcase_add_test(tc, table_ends_between_prefixes_once_it_is_nearly_full);
	tcase_add_test(tc, table_ends_between_families_unless_it_is_tiny);
	tcase_add_test(tc, table_without_a_limit_never_ends);
	tcase_add_test(tc, table_ends_before_it_meets_too_much_below);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
