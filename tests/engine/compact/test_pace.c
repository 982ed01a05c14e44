/* SPDX-License-Identifier: MIT */
/* test_pace.c: how far behind compaction is, and how fast writers go then. */
#include <check.h>
#include <stdlib.h>

#include "compact/pace.h"
#include "tests/engine/compact/pick_kit.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

static const struct pace_lines lines = {
    .depth_slow = 12,
    .depth_stop = 24,
    .debt_slow = 1000,
    .debt_stop = 5000,
};

static unsigned pressure(uint32_t depth, uint64_t bytes)
{
	const struct debt debt = {depth, bytes};

	return pace_pressure(&debt, &lines);
}

START_TEST(depth_counts_the_tables_that_are_not_small)
{
	static const struct pick_spec specs[] = {
	    {0, 0, 9, 100, 0},  {0, 0, 9, 1000, 0}, {0, 0, 9, 40, 0},
	    {0, 0, 9, 2000, 0}, {0, 0, 9, 60, 0},   {6, 0, 9, 500, 0},
	};
	struct version *version = PICK_VERSION(specs);
	struct pick_options options = pick_defaults;

	options.small_bytes = 0;
	ck_assert_uint_eq(debt_of(version, &options).depth, 5);
	options.small_bytes = 100;
	ck_assert_uint_eq(debt_of(version, &options).depth, 3);
	ck_assert_uint_eq(debt_of(version, &options).bytes, 0);
	version_unref(version);
}
END_TEST

START_TEST(debt_is_what_levels_hold_beyond_their_size)
{
	static const struct pick_spec specs[] = {
	    {5, 0, 9, 1500 << 10, 0},
	    {6, 0, 9, 1 << 20, 0},
	};
	struct version *version = PICK_VERSION(specs);
	double sizes[LSM_LEVELS];
	struct debt debt = debt_of(version, &pick_defaults);

	ck_assert_uint_eq(pick_level_sizes(version, &pick_defaults, sizes), 5);
	ck_assert_uint_gt(debt.bytes, 0);
	ck_assert_uint_eq(debt.bytes, (uint64_t)((1500 << 10) - sizes[5]));
	version_unref(version);
}
END_TEST

START_TEST(pressure_rises_evenly_between_the_lines)
{
	unsigned before = 0;

	ck_assert_uint_eq(pressure(0, 0), 0);
	ck_assert_uint_eq(pressure(12, 1000), 0);
	ck_assert_uint_eq(pressure(18, 0), PACE_PRESSURE_MAX / 2);
	ck_assert_uint_eq(pressure(24, 0), PACE_PRESSURE_MAX);
	ck_assert_uint_eq(pressure(UINT32_MAX, UINT64_MAX), PACE_PRESSURE_MAX);
	for (uint32_t depth = 13; depth <= 24; depth++) {
		ck_assert_uint_gt(pressure(depth, 0), before);
		before = pressure(depth, 0);
	}
}
END_TEST

START_TEST(the_worse_of_depth_and_debt_counts)
{
	ck_assert_uint_eq(pressure(0, 3000), PACE_PRESSURE_MAX / 2);
	ck_assert_uint_eq(pressure(13, 3000), PACE_PRESSURE_MAX / 2);
	ck_assert_uint_eq(pressure(24, 3000), PACE_PRESSURE_MAX);
	ck_assert_uint_eq(pressure(0, 5000), PACE_PRESSURE_MAX);
}
END_TEST

START_TEST(average_moves_towards_what_is_new)
{
	uint64_t rate = pace_average(0, 100 << 20, S);

	ck_assert_uint_eq(rate, 100 << 20);
	for (int i = 0; i < 40; i++) {
		uint64_t next = pace_average(rate, 10 << 20, S / 2);

		ck_assert_uint_le(next, rate);
		ck_assert_uint_ge(next, 20 << 20);
		rate = next;
	}
	ck_assert_uint_lt(rate, 21 << 20);
	ck_assert_uint_gt(pace_average(rate, 1 << 20, 0), rate);
}
END_TEST

START_TEST(writers_get_less_under_pressure_but_never_nothing)
{
	ck_assert_uint_eq(pace_rate(100 << 20, 0), 100 << 20);
	ck_assert_uint_eq(pace_rate(100 << 20, 500), 50 << 20);
	ck_assert_uint_eq(pace_rate(100 << 20, PACE_PRESSURE_MAX), 5 << 20);
	ck_assert_uint_eq(pace_rate(100, PACE_PRESSURE_MAX), PACE_RATE_LEAST);
	ck_assert_uint_eq(pace_rate(0, 500), PACE_RATE_FIRST / 2);
}
END_TEST

START_TEST(waits_add_up_to_the_rate)
{
	const uint64_t rate = 10 << 20;
	uint64_t clock = 0, now = S, admitted = 0, longest = 0;

	/* One writer that comes again as soon as it may. */
	while (now < 11 * S) {
		uint64_t wait = pace_wait(&clock, now, 4096, rate);

		if (wait > longest)
			longest = wait;
		now += wait + 1000;
		admitted += 4096;
	}
	ck_assert_uint_gt(admitted, 9 * rate);
	ck_assert_uint_lt(admitted, 11 * rate);
	ck_assert_uint_lt(longest, MS);
}
END_TEST

START_TEST(nobody_waits_longer_than_the_most)
{
	uint64_t clock = 0, now = S;

	ck_assert_uint_eq(pace_wait(&clock, now, 1 << 30, 1 << 20), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert_uint_eq(pace_wait(&clock, now, 1 << 30, 1 << 20),
		                  PACE_DELAY_MAX_NS);
		ck_assert_uint_le(clock, now + PACE_DELAY_MAX_NS);
	}
	/* And who comes once that time is over does not wait. */
	now += PACE_DELAY_MAX_NS;
	ck_assert_uint_eq(pace_wait(&clock, now, 1, 1 << 20), 0);
	/* Nor does time that was not used add up. */
	now += 100 * S;
	ck_assert_uint_eq(pace_wait(&clock, now, 10 << 10, 1 << 20), 0);
	ck_assert_uint_gt(pace_wait(&clock, now, 1, 1 << 20), 5 * MS);
}
END_TEST

/*
 * The loop closed: what is admitted becomes L0 tables, compaction takes them away
 * at a sixth of what it writes. Depth settles between the lines.
 */
START_TEST(overload_settles_before_the_stop_line)
{
	const double table = 16 << 20, drain = 200 << 20, amplification = 6;
	double l0 = 0, worst = 0, admitted = 0;
	const double step = 0.01;

	for (double time = 0; time < 600; time += step) {
		uint64_t rate = pace_rate((uint64_t)drain,
		                          pressure((uint32_t)(l0 / table), 0));
		double in = (double)rate * step;
		double out = drain / amplification * step;

		l0 += in;
		l0 -= out < l0 ? out : l0;
		if (l0 > worst)
			worst = l0;
		admitted += in;
	}
	ck_assert_double_gt(l0 / table, 12);
	ck_assert_double_lt(worst / table, 24);
	/* What comes in is what can be taken away, not a bit of it. */
	ck_assert_double_gt(admitted / 600, drain / amplification * 0.9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pace");
	TCase *tc = tcase_create("pace");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, pick_setup, pick_teardown);
	tcase_add_test(tc, depth_counts_the_tables_that_are_not_small);
	tcase_add_test(tc, debt_is_what_levels_hold_beyond_their_size);
	tcase_add_test(tc, pressure_rises_evenly_between_the_lines);
	tcase_add_test(tc, the_worse_of_depth_and_debt_counts);
	tcase_add_test(tc, average_moves_towards_what_is_new);
	tcase_add_test(tc, writers_get_less_under_pressure_but_never_nothing);
	tcase_add_test(tc, waits_add_up_to_the_rate);
	tcase_add_test(tc, nobody_waits_longer_than_the_most);
	tcase_add_test(tc, overload_settles_before_the_stop_line);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
