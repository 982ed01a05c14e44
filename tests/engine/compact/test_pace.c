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

/* ---- what flows through L0 ------------------------------------------------ */

START_TEST(drain_is_what_strokes_take_over_time)
{
	struct pace_flow flow = {0};

	pace_flushed(&flow, 10 << 20);
	ck_assert_uint_eq(flow.table_bytes, 10 << 20);
	for (uint32_t depth = 1; depth <= 4; depth++)
		pace_changed(&flow, depth, depth == 4, depth * S);
	ck_assert_uint_eq(flow.drain_rate, 0);
	pace_changed(&flow, 6, true, 5 * S);
	/* 4 tables in the 2 seconds since it was due. */
	pace_changed(&flow, 2, true, 6 * S);
	ck_assert_uint_eq(flow.drain_rate, 20 << 20);
	/* And none in one that tells nothing. */
	pace_changed(&flow, 3, true, 7 * S);
	ck_assert_uint_eq(flow.drain_rate, 20 << 20);
	pace_changed(&flow, 1, true, 10 * S); /* 2 in 4 seconds */
	ck_assert_uint_eq(flow.drain_rate, (20 << 20) - (15 << 20) / 4);
}
END_TEST

START_TEST(time_without_work_is_not_drained_in)
{
	struct pace_flow flow = {0};

	pace_flushed(&flow, 10 << 20);
	pace_changed(&flow, 4, true, S);
	pace_changed(&flow, 0, false, 2 * S);
	ck_assert_uint_eq(flow.drain_rate, 40 << 20);
	pace_changed(&flow, 4, true, 100 * S);
	pace_changed(&flow, 0, false, 101 * S);
	ck_assert_uint_eq(flow.drain_rate, 40 << 20);
}
END_TEST

START_TEST(tables_of_unknown_size_tell_nothing)
{
	struct pace_flow flow = {0};

	pace_changed(&flow, 9, true, S); /* as a store is opened */
	pace_changed(&flow, 0, false, 2 * S);
	ck_assert_uint_eq(flow.drain_rate, 0);
	pace_flushed(&flow, 100);
	for (int i = 0; i < 60; i++)
		pace_flushed(&flow, 1000);
	ck_assert_uint_gt(flow.table_bytes, 980);
	ck_assert_uint_le(flow.table_bytes, 1000);
}
END_TEST

START_TEST(depth_is_held_while_l0_is_at_work)
{
	struct pace_flow flow = {0};

	pace_flushed(&flow, 1 << 20);
	pace_changed(&flow, 18, true, S);
	ck_assert_uint_eq(pace_depth(&flow), 18);
	pace_changed(&flow, 8, true, 2 * S);
	ck_assert_uint_eq(pace_depth(&flow), 18);
	pace_changed(&flow, 20, true, 3 * S);
	ck_assert_uint_eq(pace_depth(&flow), 20);
	pace_changed(&flow, 7, true, 4 * S);
	ck_assert_uint_eq(pace_depth(&flow), 20);
	/* A stroke that met less. */
	pace_changed(&flow, 9, true, 5 * S);
	pace_changed(&flow, 4, true, 6 * S);
	ck_assert_uint_eq(pace_depth(&flow), 9);
	/* Over: what comes next is not slowed for what was. */
	pace_changed(&flow, 3, false, 7 * S);
	ck_assert_uint_eq(pace_depth(&flow), 3);
}
END_TEST

/* ---- what writers get ------------------------------------------------------ */

START_TEST(writers_get_less_under_pressure_but_never_nothing)
{
	uint64_t before = UINT64_MAX;

	ck_assert_uint_eq(pace_rate(100 << 20, 0), 125 << 20);
	ck_assert_uint_eq(pace_rate(100 << 20, 500), 100 << 20);
	ck_assert_uint_eq(pace_rate(8 << 20, 750), 7 << 20);
	ck_assert_uint_lt(pace_rate(100 << 20, PACE_PRESSURE_MAX), 18 << 20);
	ck_assert_uint_eq(pace_rate(100, PACE_PRESSURE_MAX), PACE_RATE_LEAST);
	ck_assert_uint_eq(pace_rate(0, 500), PACE_RATE_FIRST);
	for (unsigned p = 0; p <= PACE_PRESSURE_MAX; p++) {
		ck_assert_uint_le(pace_rate(100 << 20, p), before);
		before = pace_rate(100 << 20, p);
	}
}
END_TEST

/* One writer, which oversleeps by `over_ns`, for ten seconds. */
static uint64_t admitted_in_ten_seconds(uint64_t rate, uint64_t over_ns)
{
	uint64_t clock = 0, now = S, admitted = 0;

	while (now < 11 * S) {
		uint64_t wait = pace_wait(&clock, now, 4096, rate);

		ck_assert(wait == 0 || wait >= PACE_DELAY_MIN_NS);
		ck_assert_uint_lt(wait, PACE_DELAY_MIN_NS + MS);
		now += wait + (wait > 0 ? over_ns : 0) + 1000;
		admitted += 4096;
	}
	return admitted;
}

START_TEST(waits_add_up_to_the_rate)
{
	const uint64_t rate = 10 << 20;

	for (uint64_t over_ns = 0; over_ns < MS; over_ns += MS / 4) {
		uint64_t admitted = admitted_in_ten_seconds(rate, over_ns);

		ck_assert_uint_gt(admitted, 10 * rate - rate / 100);
		ck_assert_uint_lt(admitted, 10 * rate + rate / 100);
	}
}
END_TEST

START_TEST(nobody_waits_longer_than_the_most)
{
	uint64_t clock = 0, now = S;

	ck_assert_uint_eq(pace_wait(&clock, now, 1 << 30, 1 << 20), 0);
	for (int i = 0; i < 100; i++) {
		ck_assert(pace_must_wait(clock, now));
		ck_assert_uint_eq(pace_wait(&clock, now, 1 << 30, 1 << 20),
		                  PACE_DELAY_MAX_NS);
		ck_assert_uint_le(clock, now + PACE_DELAY_MAX_NS);
	}
	/* And who comes once that time is over does not wait. */
	now += PACE_DELAY_MAX_NS;
	ck_assert(!pace_must_wait(clock, now));
	ck_assert_uint_eq(pace_wait(&clock, now, 1, 1 << 20), 0);
}
END_TEST

START_TEST(time_that_was_not_used_does_not_add_up)
{
	uint64_t clock = 0, now = 1000 * S;

	/* 10 ms worth of it, of which the lag makes good one. */
	ck_assert_uint_eq(pace_wait(&clock, now, 10486, 1 << 20), 0);
	ck_assert(pace_must_wait(clock, now));
	ck_assert_uint_gt(pace_wait(&clock, now, 1, 1 << 20), 8 * MS);
	ck_assert_uint_lt(clock, now + 10 * MS);
}
END_TEST

START_TEST(a_short_wait_is_left_to_the_next)
{
	uint64_t clock = S + PACE_DELAY_MIN_NS - 1;

	ck_assert(!pace_must_wait(clock, S));
	ck_assert_uint_eq(pace_wait(&clock, S, 1 << 10, 1 << 30), 0);
	ck_assert(pace_must_wait(clock, S));
	ck_assert_uint_ge(pace_wait(&clock, S, 1 << 10, 1 << 30),
	                  PACE_DELAY_MIN_NS);
}
END_TEST

/*
 * The loop closed, by strokes: a job takes the tables that there are when it
 * begins, in a time for each and a time for the level below, while others come.
 * Writers want all that they get.
 */
START_TEST(overload_settles_before_the_stop_line)
{
	const double table = 32 << 20, each_s = 0.25, level_s = 2, step = 0.01;
	struct pace_flow flow = {0};
	double part = 0, ends = 0, sum = 0, least = 1e18, most = 0;
	uint32_t depth = 0, taken = 0, worst = 0;

	for (double time = 1; time < 600; time += step) {
		uint64_t now = (uint64_t)(time * S), rate;
		unsigned p = pressure(pace_depth(&flow), 0);

		/* Nobody can write more than 300 MB/s. */
		rate = p == 0 ? 300 << 20 : pace_rate(flow.drain_rate, p);
		part += (double)rate * step / table;
		if (part >= 1) {
			part -= 1;
			pace_flushed(&flow, (uint64_t)table);
			depth++;
			pace_changed(&flow, depth, depth >= 4, now);
		}
		if (taken > 0 && time >= ends) {
			depth -= taken;
			taken = 0;
			pace_changed(&flow, depth, depth >= 4, now);
		}
		if (taken == 0 && depth >= 4) {
			taken = depth;
			ends = time + level_s + each_s * taken;
		}
		if (time < 60)
			continue; /* it has to learn first */
		worst = depth > worst ? depth : worst;
		least = (double)rate < least ? (double)rate : least;
		most = (double)rate > most ? (double)rate : most;
		sum += (double)rate * step;
	}
	ck_assert_uint_gt(worst, 12);
	ck_assert_uint_lt(worst, 24);
	/* Nine tables in 4.25 seconds, evenly. */
	ck_assert_double_gt(sum / 540, 9 * table / 4.25 * 0.9);
	ck_assert_double_gt(least, sum / 540 * 0.7);
	ck_assert_double_lt(most, sum / 540 * 1.3);
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
	tcase_add_test(tc, drain_is_what_strokes_take_over_time);
	tcase_add_test(tc, time_without_work_is_not_drained_in);
	tcase_add_test(tc, tables_of_unknown_size_tell_nothing);
	tcase_add_test(tc, depth_is_held_while_l0_is_at_work);
	tcase_add_test(tc, writers_get_less_under_pressure_but_never_nothing);
	tcase_add_test(tc, waits_add_up_to_the_rate);
	tcase_add_test(tc, nobody_waits_longer_than_the_most);
	tcase_add_test(tc, time_that_was_not_used_does_not_add_up);
	tcase_add_test(tc, a_short_wait_is_left_to_the_next);
	tcase_add_test(tc, overload_settles_before_the_stop_line);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
