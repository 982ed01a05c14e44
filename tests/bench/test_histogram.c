/* SPDX-License-Identifier: MIT */
/* test_histogram.c: percentiles are those of the sorted samples, but for 2 %. */
#include <check.h>
#include <stdlib.h>

#include "tests/bench/histogram.h"
#include "tests/support/gen.h"

enum { SAMPLES = 20000 };

static struct histogram histogram;
static uint64_t samples[SAMPLES];

static void setup(void)
{
	histogram = (struct histogram){.count = 0};
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The sample that `fraction` of all do not exceed. */
static uint64_t exact(double fraction)
{
	size_t rank = (size_t)(fraction * SAMPLES + 0.999999);

	return samples[rank > 0 ? rank - 1 : 0];
}

START_TEST(percentiles_are_those_of_the_samples)
{
	static const double fractions[] = {0, 0.01, 0.5, 0.9, 0.99, 0.999, 1};
	struct gen gen;

	gen_init(&gen, gen_seed(3));
	for (size_t i = 0; i < SAMPLES; i++) {
		samples[i] = gen_u64(&gen) >> gen_below(&gen, 64);
		histogram_add(&histogram, samples[i]);
	}
	qsort(samples, SAMPLES, sizeof(samples[0]), by_size);
	for (size_t i = 0; i < sizeof(fractions) / sizeof(fractions[0]); i++) {
		uint64_t want = exact(fractions[i]);
		uint64_t got = histogram_at(&histogram, fractions[i]);

		ck_assert_uint_ge(got, want);
		ck_assert_uint_le(got - want, want / 50);
	}
	ck_assert_uint_eq(histogram_at(&histogram, 1), samples[SAMPLES - 1]);
	ck_assert_uint_eq(histogram.max_ns, samples[SAMPLES - 1]);
}
END_TEST

START_TEST(small_and_largest_values_are_kept_apart)
{
	for (uint64_t ns = 0; ns < 100; ns++)
		histogram_add(&histogram, ns);
	for (unsigned i = 1; i <= 100; i++)
		ck_assert_uint_eq(histogram_at(&histogram, i / 100.0), i - 1);
	histogram_add(&histogram, UINT64_MAX);
	ck_assert_uint_eq(histogram_at(&histogram, 1), UINT64_MAX);
}
END_TEST

START_TEST(merged_ones_count_together)
{
	static struct histogram other;

	for (unsigned i = 0; i < 10; i++) {
		histogram_add(&histogram, 5);
		histogram_add(&other, 50);
	}
	histogram_merge(&histogram, &other);
	ck_assert_uint_eq(histogram.count, 20);
	ck_assert_uint_eq(histogram_at(&histogram, 0.5), 5);
	ck_assert_uint_eq(histogram_at(&histogram, 0.51), 50);
	ck_assert_uint_eq(histogram.max_ns, 50);
}
END_TEST

START_TEST(empty_one_has_no_percentile)
{
	ck_assert_uint_eq(histogram_at(&histogram, 0.99), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *tc = tcase_create("histogram");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, percentiles_are_those_of_the_samples);
	tcase_add_test(tc, small_and_largest_values_are_kept_apart);
	tcase_add_test(tc, merged_ones_count_together);
	tcase_add_test(tc, empty_one_has_no_percentile);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
