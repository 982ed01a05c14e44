/* SPDX-License-Identifier: MIT */
/* test_range.c: a range tombstone covers its range, and bytes that are none are
   refused. */
#include <check.h>
#include <stdlib.h>

#include "base/range.h"
#include "tests/support/alloc_fault.h"

static struct range make(const char *lower, const char *upper)
{
	struct range range = {slice_str(lower), slice_str(upper)};

	return range;
}

static void encode(const char *lower, const char *upper, struct buf *out)
{
	buf_clear(out);
	ck_assert_int_eq(range_encode(make(lower, upper), out), LSM_OK);
}

START_TEST(bounds_come_back_from_the_value)
{
	struct buf value = BUF_INIT;
	struct range range;

	encode("lo", "up", &value);
	/* As docs/format.md has it. */
	ck_assert(slice_equal(buf_slice(&value), slice_str("\2lo\2up")));
	ck_assert(range_decode(slice_str("p"), buf_slice(&value), &range));
	ck_assert(slice_equal(range.lower, slice_str("lo")));
	ck_assert(slice_equal(range.upper, slice_str("up")));
	buf_release(&value);
}
END_TEST

START_TEST(bytes_that_are_no_bounds_are_refused)
{
	static const char *const bad[] = {"",         "\2lo",     "\2lo\2u",
	                                  "\2up\2lo", "\2lo\2lo", "\2lo\2up!"};
	static const uint8_t zeros[LSM_KEY_MAX_BYTES] = {0};
	struct slice prefix = slice_str("p");
	struct range range;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert(!range_decode(prefix, slice_str(bad[i]), &range));
	range = make("", "");
	ck_assert(range_is_possible(prefix, range));
	ck_assert(!range_is_possible(slice_make(NULL, 0), range));
	range.lower = slice_make(zeros, LSM_KEY_MAX_BYTES - 1);
	ck_assert(range_is_possible(prefix, range));
	range.lower.len++;
	ck_assert(!range_is_possible(prefix, range));
}
END_TEST

START_TEST(a_range_has_its_lower_bound_and_not_its_upper_one)
{
	struct range range = make("b", "d");

	ck_assert(!range_covers(range, slice_str("a")));
	ck_assert(range_covers(range, slice_str("b")));
	ck_assert(range_covers(range, slice_str("czzz")));
	ck_assert(!range_covers(range, slice_str("d")));
	range = make("", "");
	ck_assert(range_covers(range, slice_str("\xff\xff")));
}
END_TEST

static void expect_reach(const char *prefix, const char *upper,
                         const char *reach)
{
	struct buf out = BUF_INIT;

	ck_assert_int_eq(range_reach(slice_str(prefix), make("", upper), &out),
	                 LSM_OK);
	ck_assert(slice_equal(buf_slice(&out), slice_str(reach)));
	buf_release(&out);
}

START_TEST(nothing_of_a_range_is_greater_than_its_reach)
{
	struct buf out = BUF_INIT;

	expect_reach("p", "up", "pup");
	expect_reach("p", "", "q");
	expect_reach("p\xff\xff", "", "q");
	ck_assert_int_eq(range_reach(slice_str("\xff"), make("", ""), &out),
	                 LSM_OK);
	ck_assert_uint_eq(out.len, LSM_KEY_MAX_BYTES);
	for (size_t i = 0; i < out.len; i++)
		ck_assert_uint_eq(out.data[i], 0xff);
	buf_release(&out);
}
END_TEST

/* ---- a probe ------------------------------------------------------------- */

static bool probe(struct range_probe *probe, uint64_t seq, const char *lower,
                  const char *upper)
{
	struct buf value = BUF_INIT;
	bool more;

	encode(lower, upper, &value);
	more =
	    range_probe_visit(probe, seq, KEY_RANGE_DELETE, buf_slice(&value));
	buf_release(&value);
	return more;
}

START_TEST(probe_stops_at_the_newest_that_covers)
{
	struct range_probe p;

	ck_assert(range_probe_init(&p, 2, slice_str("abk")));
	ck_assert(range_probe_visit(&p, 9, KEY_PUT, slice_str("x")));
	ck_assert(probe(&p, 8, "l", ""));
	ck_assert(probe(&p, 7, "a", "k"));
	ck_assert_uint_eq(p.floor, 0);
	ck_assert(!probe(&p, 6, "k", "l"));
	ck_assert_uint_eq(p.floor, 6);
	ck_assert_int_eq(p.err, LSM_OK);
}
END_TEST

START_TEST(key_no_longer_than_the_prefix_is_never_covered)
{
	struct range_probe p;

	ck_assert(!range_probe_init(&p, 2, slice_str("ab")));
	ck_assert(!range_probe_init(&p, 2, slice_str("a")));
	ck_assert(!range_probe_init(&p, 0, slice_str("abc")));
}
END_TEST

START_TEST(probe_of_damaged_bytes_is_corrupt)
{
	struct range_probe p;

	ck_assert(range_probe_init(&p, 1, slice_str("abc")));
	ck_assert(
	    !range_probe_visit(&p, 1, KEY_RANGE_DELETE, slice_str("\3a")));
	ck_assert_int_eq(p.err, LSM_ERR_CORRUPT);
}
END_TEST

/* ---- a set --------------------------------------------------------------- */

/* Tombstones of the prefixes "a" and "b". */
static const struct {
	const char *prefix;
	uint64_t seq;
	const char *value;
	size_t len;
} stored[] = {
    {"a", 9, "\1k\1m", 4},
    {"a", 5, "\1a\1l", 4},
    {"a", 3, "\0\0", 2},
    {"b", 4, "\0\1c", 3},
};

static int loads;
static bool damage;

static enum lsm_err load(void *ctx, struct slice prefix, key_visit_fn visit,
                         void *visit_ctx)
{
	bool more = visit(visit_ctx, 20, KEY_PUT, slice_str("no tombstone"));

	(void)ctx;
	loads++;
	for (size_t i = 0; more && i < sizeof(stored) / sizeof(stored[0]); i++)
		if (slice_equal(prefix, slice_str(stored[i].prefix)))
			more = visit(visit_ctx, stored[i].seq, KEY_RANGE_DELETE,
			             slice_make(stored[i].value,
			                        stored[i].len - damage));
	return LSM_OK;
}

static struct range_set set;
static struct range_source source = {load, NULL, 1};

static void setup(void)
{
	range_set_init(&set);
	loads = 0;
	damage = false;
}

static void teardown(void)
{
	range_set_release(&set);
}

static uint64_t floor_of(const char *user, uint64_t seq)
{
	ck_assert_int_eq(range_set_load(&set, &source, slice_str(user)),
	                 LSM_OK);
	return range_set_floor(&set, slice_str(user), seq);
}

START_TEST(floor_is_the_newest_that_covers_and_is_seen)
{
	ck_assert_uint_eq(floor_of("ak", 20), 9);
	ck_assert_uint_eq(floor_of("ak", 8), 5);
	ck_assert_uint_eq(floor_of("ak", 4), 3);
	ck_assert_uint_eq(floor_of("ak", 2), 0);
	ck_assert_uint_eq(floor_of("am", 20), 3);
	ck_assert_uint_eq(floor_of("a", 20), 0);
	ck_assert_int_eq(loads, 1);
	ck_assert_uint_eq(floor_of("bb", 20), 4);
	ck_assert_uint_eq(floor_of("bc", 20), 0);
	ck_assert_int_eq(loads, 2);
	ck_assert_uint_eq(floor_of("", 20), 0);
	ck_assert_uint_eq(floor_of("ak", 20), 9);
}
END_TEST

START_TEST(containing_is_by_one_alone)
{
	ck_assert_uint_eq(floor_of("ak", 20), 9);
	ck_assert(range_set_contains(&set, make("k", "m"), 8, 20));
	ck_assert(range_set_contains(&set, make("ka", "l"), 8, 20));
	ck_assert(!range_set_contains(&set, make("k", "m"), 9, 20));
	ck_assert(!range_set_contains(&set, make("k", "m"), 3, 4));
	/* 9 and 5 together would do. */
	ck_assert(!range_set_contains(&set, make("a", "m"), 3, 20));
	ck_assert(range_set_contains(&set, make("a", "m"), 2, 20));
	ck_assert(!range_set_contains(&set, make("k", ""), 3, 20));
	ck_assert(range_set_contains(&set, make("k", ""), 2, 20));
}
END_TEST

START_TEST(damaged_tombstone_is_corrupt_and_loaded_again)
{
	damage = true;
	ck_assert_int_eq(range_set_load(&set, &source, slice_str("ak")),
	                 LSM_ERR_CORRUPT);
	damage = false;
	ck_assert_uint_eq(floor_of("ak", 20), 9);
}
END_TEST

START_TEST(each_failed_allocation_is_nomem)
{
	enum lsm_err err = LSM_ERR_NOMEM;

	for (unsigned n = 1; err != LSM_OK; n++) {
		range_set_release(&set);
		alloc_fault_arm(n);
		err = range_set_load(&set, &source, slice_str("ak"));
		if (!alloc_fault_disarm())
			break;
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
	}
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_eq(range_set_floor(&set, slice_str("ak"), 20), 9);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("range");
	TCase *tc = tcase_create("range");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, bounds_come_back_from_the_value);
	tcase_add_test(tc, bytes_that_are_no_bounds_are_refused);
	tcase_add_test(tc, a_range_has_its_lower_bound_and_not_its_upper_one);
	tcase_add_test(tc, nothing_of_a_range_is_greater_than_its_reach);
	tcase_add_test(tc, probe_stops_at_the_newest_that_covers);
	tcase_add_test(tc, key_no_longer_than_the_prefix_is_never_covered);
	tcase_add_test(tc, probe_of_damaged_bytes_is_corrupt);
	tcase_add_test(tc, floor_is_the_newest_that_covers_and_is_seen);
	tcase_add_test(tc, containing_is_by_one_alone);
	tcase_add_test(tc, damaged_tombstone_is_corrupt_and_loaded_again);
	tcase_add_test(tc, each_failed_allocation_is_nomem);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
