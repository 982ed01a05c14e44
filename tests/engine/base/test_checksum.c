/* SPDX-License-Identifier: MIT */
/* test_checksum.c: the numbers are those in the format, and each input counts.
 */
#include <check.h>
#include <stdlib.h>

#include "base/checksum.h"

static const uint8_t secret[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                   8, 9, 10, 11, 12, 13, 14, 15};

START_TEST(xxh3_has_its_published_values)
{
	struct slice nothing = slice_make(NULL, 0);

	ck_assert_uint_eq(checksum_hash(nothing), UINT64_C(0x2d06800538d394c2));
	ck_assert_uint_eq(checksum_seeded(nothing, 0),
	                  UINT64_C(0x2d06800538d394c2));
	ck_assert_uint_eq(checksum_hash(slice_str("a")),
	                  UINT64_C(0xe6c632b61e964e1f));
}
END_TEST

/* These are on disk: a change here is a change of the format. */
START_TEST(what_is_on_disk_never_changes)
{
	ck_assert_uint_eq(checksum_seeded(slice_str("shalefs"), 42),
	                  UINT64_C(0xdf26443ed9354572));
	ck_assert_uint_eq(checksum_place(1, 2, 3, 4),
	                  UINT64_C(0xc28171d4973d30e6));
	ck_assert_uint_eq(checksum_keyed(slice_str("shalefs"), secret),
	                  UINT64_C(0x52126fbe8bc3362f));
}
END_TEST

START_TEST(a_place_differs_in_each_of_its_parts)
{
	uint64_t here = checksum_place(10, 20, 30, 4);

	ck_assert_uint_ne(here, checksum_place(11, 20, 30, 4));
	ck_assert_uint_ne(here, checksum_place(10, 21, 30, 4));
	ck_assert_uint_ne(here, checksum_place(10, 20, 31, 4));
	ck_assert_uint_ne(here, checksum_place(10, 20, 30, 5));
	ck_assert_uint_ne(here, checksum_place(20, 10, 30, 4));
	ck_assert_uint_eq(here, checksum_place(10, 20, 30, 4));
}
END_TEST

START_TEST(a_checksum_differs_with_the_place_and_each_byte)
{
	uint8_t bytes[300] = {0};
	struct slice s = slice_make(bytes, sizeof(bytes));
	uint64_t sum = checksum_seeded(s, 1);

	ck_assert_uint_ne(sum, checksum_seeded(s, 2));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 1;
		ck_assert_uint_ne(sum, checksum_seeded(s, 1));
		bytes[i] ^= 1;
	}
}
END_TEST

START_TEST(each_byte_of_the_secret_counts)
{
	struct slice name = slice_str("name");
	uint64_t hash = checksum_keyed(name, secret);
	uint8_t other[16];

	memcpy(other, secret, sizeof(other));
	for (size_t i = 0; i < sizeof(other); i++) {
		other[i] ^= 0x80;
		ck_assert_uint_ne(hash, checksum_keyed(name, other));
		other[i] ^= 0x80;
	}
	ck_assert_uint_ne(hash, checksum_keyed(slice_str("nama"), secret));
	ck_assert_uint_eq(hash, checksum_keyed(name, other));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("checksum");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, xxh3_has_its_published_values);
	tcase_add_test(tc, what_is_on_disk_never_changes);
	tcase_add_test(tc, a_place_differs_in_each_of_its_parts);
	tcase_add_test(tc, a_checksum_differs_with_the_place_and_each_byte);
	tcase_add_test(tc, each_byte_of_the_secret_counts);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
