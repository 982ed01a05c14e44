/* SPDX-License-Identifier: MIT */
/*
 * test_bucket.c: deep compactions get what the others leave, and never nothing.
 * The clock is a number.
 */
#include <check.h>
#include <stdlib.h>

#include "compact/bucket.h"

#define MS UINT64_C(1000000)
#define S (1000 * MS)
#define MIB UINT64_C(1048576)

enum { STEP = 64 << 10 };

/* Of a writer that does as it is told. */
struct writer {
	struct bucket bucket;
	uint64_t now, written, deep;
	uint64_t others_rate; /* bytes a second that others write meanwhile */
};

static void advance(struct writer *w, uint64_t ns)
{
	w->now += ns;
	w->written += w->others_rate / 1000 * (ns / 1000) / 1000;
}

/* What it gets written within `ns`, at 1 us a step at best. */
static uint64_t run(struct writer *w, uint64_t ns)
{
	uint64_t end = w->now + ns, before = w->deep;

	while (w->now < end) {
		uint64_t pause;

		w->deep += STEP;
		w->written += STEP;
		pause = bucket_take(&w->bucket, STEP, w->written, w->now);
		advance(w, pause + 1000);
	}
	return w->deep - before;
}

static void writer_init(struct writer *w, uint64_t device_rate,
                        uint64_t others_rate)
{
	*w = (struct writer){.now = 5 * S, .others_rate = others_rate};
	bucket_init(&w->bucket, 16 * MIB, device_rate, w->now);
}

static void assert_near(uint64_t got, uint64_t wanted)
{
	ck_assert_uint_gt(got, wanted - wanted / 8);
	ck_assert_uint_lt(got, wanted + wanted / 8);
}

START_TEST(alone_it_gets_all_the_device_has)
{
	struct writer w;

	writer_init(&w, 200 * MIB, 0);
	assert_near(run(&w, 10 * S), 2000 * MIB);
}
END_TEST

START_TEST(it_gets_what_others_leave)
{
	struct writer w;

	writer_init(&w, 200 * MIB, 150 * MIB);
	(void)run(&w, 2 * S); /* until the others are known */
	assert_near(run(&w, 10 * S), 500 * MIB);
	w.others_rate = 0;
	(void)run(&w, 2 * S);
	assert_near(run(&w, 10 * S), 2000 * MIB);
}
END_TEST

START_TEST(it_never_gets_less_than_the_floor)
{
	struct writer w;

	writer_init(&w, 100 * MIB, 300 * MIB);
	(void)run(&w, 2 * S);
	assert_near(run(&w, 10 * S), 160 * MIB);
	ck_assert_uint_eq(bucket_rate(&w.bucket), 16 * MIB);
}
END_TEST

START_TEST(unknown_device_is_no_limit)
{
	struct writer w;

	writer_init(&w, 0, 300 * MIB);
	ck_assert_uint_eq(bucket_rate(&w.bucket), UINT64_MAX);
	for (unsigned i = 0; i < 1000; i++) {
		w.written += MIB;
		ck_assert_uint_eq(bucket_take(&w.bucket, MIB, w.written, w.now),
		                  0);
		w.now += 1;
	}
}
END_TEST

START_TEST(unlimited_device_never_pauses)
{
	struct writer w;

	writer_init(&w, UINT64_MAX, 300 * MIB);
	for (unsigned i = 0; i < 1000; i++) {
		w.written += MIB;
		w.now += MS;
		ck_assert_uint_eq(bucket_take(&w.bucket, MIB, w.written, w.now),
		                  0);
	}
}
END_TEST

START_TEST(device_is_measured_by_syncs_of_large_tables)
{
	struct writer w;

	writer_init(&w, 0, 0);
	bucket_synced(&w.bucket, 4096, 10 * MS); /* says nothing */
	ck_assert_uint_eq(bucket_rate(&w.bucket), UINT64_MAX);
	bucket_synced(&w.bucket, 32 * MIB, 320 * MS);
	assert_near(bucket_rate(&w.bucket), 100 * MIB);
	for (unsigned i = 0; i < 50; i++)
		bucket_synced(&w.bucket, 32 * MIB, 640 * MS);
	assert_near(bucket_rate(&w.bucket), 50 * MIB);
	bucket_synced(&w.bucket, 32 * MIB, 0); /* as fast as can be said */
	ck_assert_uint_gt(bucket_rate(&w.bucket), 50 * MIB);
}
END_TEST

START_TEST(told_device_is_not_measured)
{
	struct writer w;

	writer_init(&w, 100 * MIB, 0);
	bucket_synced(&w.bucket, 32 * MIB, 3200 * MS);
	ck_assert_uint_eq(bucket_rate(&w.bucket), 100 * MIB);
}
END_TEST

START_TEST(long_rest_is_not_made_up_for)
{
	struct writer w;

	writer_init(&w, 100 * MIB, 0);
	w.now += 3600 * S;
	assert_near(run(&w, 1 * S), 110 * MIB);
}
END_TEST

START_TEST(figures_of_another_disk_do_no_harm)
{
	struct writer w;

	writer_init(&w, 100 * MIB, 0);
	(void)run(&w, 1 * S);
	w.written = 0; /* a store on an env of its own */
	assert_near(run(&w, 10 * S), 1000 * MIB);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bucket");
	TCase *tc = tcase_create("rates");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, alone_it_gets_all_the_device_has);
	tcase_add_test(tc, it_gets_what_others_leave);
	tcase_add_test(tc, it_never_gets_less_than_the_floor);
	tcase_add_test(tc, unknown_device_is_no_limit);
	tcase_add_test(tc, unlimited_device_never_pauses);
	tcase_add_test(tc, device_is_measured_by_syncs_of_large_tables);
	tcase_add_test(tc, told_device_is_not_measured);
	tcase_add_test(tc, long_rest_is_not_made_up_for);
	tcase_add_test(tc, figures_of_another_disk_do_no_harm);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
