/* SPDX-License-Identifier: MIT */
/* test_file_header.c: a header is taken whole and in its place, or refused. */
#include <check.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/coding.h"
#include "base/log.h"
#include "io/file_header.h"

static const struct file_header sample = {
    .kind = FILE_KIND_LOG,
    .id = {UINT64_C(0x0123456789abcdef), 42},
    .family = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
    .extra = 41,
};

static uint8_t bytes[FILE_HEADER_BYTES];
static unsigned lines;

static void count_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	lines++;
}

static void setup(void)
{
	log_set_sink(count_line, NULL);
	lines = 0;
	file_header_encode(&sample, bytes);
}

static enum lsm_err decode(size_t len, struct file_header *found)
{
	return file_header_decode(slice_make(bytes, len), "test", sample.kind,
	                          &sample.family, sample.id, found);
}

/* Change the header and make the checksum right again. */
static void sign(void)
{
	put_u64(bytes + 56, checksum_seeded(slice_make(bytes, 56), 0));
}

START_TEST(what_is_encoded_is_decoded)
{
	struct file_header found;

	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_OK);
	ck_assert_int_eq(found.kind, sample.kind);
	ck_assert(file_id_equal(found.id, sample.id));
	ck_assert_mem_eq(found.family.bytes, sample.family.bytes, UUID_BYTES);
	ck_assert_uint_eq(found.extra, sample.extra);
	ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(the_layout_is_frozen)
{
	static const uint8_t head[] = {
	    's', 'h', 'a', 'l', 'e',  'f',  'i',  'l',  1,    0,    2,    0,
	    0,   0,   0,   0,   0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
	    42,  0,   0,   0,   0,    0,    0,    0,    1,    2,    3,    4,
	    5,   6,   7,   8,   9,    10,   11,   12,   13,   14,   15,   16,
	    41,  0,   0,   0,   0,    0,    0,    0,
	};

	ck_assert_mem_eq(bytes, head, sizeof(head));
	ck_assert_uint_eq(get_u64(bytes + 56),
	                  checksum_seeded(slice_make(head, sizeof(head)), 0));
}
END_TEST

START_TEST(every_flipped_bit_is_refused)
{
	struct file_header found;

	for (unsigned bit = 0; bit < 8 * FILE_HEADER_BYTES; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		lines = 0;
		ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found),
		                 LSM_ERR_CORRUPT);
		ck_assert_uint_eq(lines, 1);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_OK);
}
END_TEST

START_TEST(every_shorter_header_is_refused)
{
	struct file_header found;

	for (size_t len = 0; len < FILE_HEADER_BYTES; len++)
		ck_assert_int_eq(decode(len, &found), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(a_newer_format_is_named_as_such)
{
	struct file_header found;

	put_u16(bytes + 8, FILE_FORMAT_VERSION + 1);
	sign();
	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_ERR_NEWER);
	bytes[60] ^= 1; /* a damaged one is not newer */
	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_ERR_CORRUPT);
	put_u16(bytes + 8, 0);
	sign();
	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(reserved_bytes_must_be_zero)
{
	struct file_header found;

	for (size_t at = 11; at < 16; at++) {
		bytes[at] = 1;
		sign();
		ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found),
		                 LSM_ERR_CORRUPT);
		bytes[at] = 0;
	}
	sign();
	ck_assert_int_eq(decode(FILE_HEADER_BYTES, &found), LSM_OK);
}
END_TEST

START_TEST(another_identity_is_refused)
{
	struct slice whole = slice_make(bytes, sizeof(bytes));
	struct uuid family = sample.family;
	struct file_id creator = sample.id, number = sample.id;
	struct file_header found;

	family.bytes[15]++;
	creator.creator++;
	number.number++;
	ck_assert_int_eq(file_header_decode(whole, "t", FILE_KIND_TABLE,
	                                    &sample.family, sample.id, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(file_header_decode(whole, "t", FILE_KIND_LOG, &family,
	                                    sample.id, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(file_header_decode(whole, "t", FILE_KIND_LOG,
	                                    &sample.family, creator, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(file_header_decode(whole, "t", FILE_KIND_LOG,
	                                    &sample.family, number, &found),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(lines, 4);
}
END_TEST

START_TEST(a_name_is_parsed_as_it_was_formatted)
{
	static const struct {
		enum file_kind kind;
		struct file_id id;
		const char *name;
	} cases[] = {
	    {FILE_KIND_TABLE, {0, 1}, "0000000000000000-1.sst"},
	    {FILE_KIND_LOG, {0xab, 10}, "00000000000000ab-10.wal"},
	    {FILE_KIND_LIST,
	     {UINT64_MAX, UINT64_MAX},
	     "ffffffffffffffff-18446744073709551615.list"},
	};
	char name[FILE_NAME_MAX_BYTES];
	enum file_kind kind;
	struct file_id id;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		file_name_format(cases[i].kind, cases[i].id, name);
		ck_assert_str_eq(name, cases[i].name);
		ck_assert(file_name_parse(name, &kind, &id));
		ck_assert_int_eq(kind, cases[i].kind);
		ck_assert(file_id_equal(id, cases[i].id));
	}
}
END_TEST

START_TEST(a_manifest_has_a_name_outside_the_pool)
{
	char name[FILE_NAME_MAX_BYTES];
	enum file_kind kind;
	struct file_id id;

	file_name_format(FILE_KIND_MANIFEST, sample.id, name);
	ck_assert_str_eq(name, "MANIFEST-42");
	ck_assert(!file_name_parse(name, &kind, &id));
}
END_TEST

START_TEST(what_is_no_pool_name_is_not_parsed)
{
	static const char *const names[] = {
	    "",
	    "LOCK",
	    "0123456789abcdef",
	    "0123456789abcdef-",
	    "0123456789abcdef-.sst",
	    "0123456789abcdef-1",
	    "0123456789abcdef-1.",
	    "0123456789abcdef-1.ss",
	    "0123456789abcdef-1.sstx",
	    "0123456789abcdef-1.sst.tmp",
	    "0123456789abcdef-1.SST",
	    "0123456789abcdef-1.segment",
	    "0123456789ABCDEF-1.sst",
	    "0123456789abcde-1.sst",
	    "0123456789abcdef0-1.sst",
	    "0123456789abcdeg-1.sst",
	    "0123456789abcdef_1.sst",
	    "0123456789abcdef-0.sst",
	    "0123456789abcdef-01.sst",
	    "0123456789abcdef--1.sst",
	    "0123456789abcdef-+1.sst",
	    "0123456789abcdef- 1.sst",
	    "0123456789abcdef-1 .sst",
	    "0123456789abcdef-18446744073709551616.sst",
	    "0123456789abcdef-99999999999999999999.sst",
	};
	enum file_kind kind;
	struct file_id id;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!file_name_parse(names[i], &kind, &id), "%s",
		              names[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_header");
	TCase *tc = tcase_create("header");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, what_is_encoded_is_decoded);
	tcase_add_test(tc, the_layout_is_frozen);
	tcase_add_test(tc, every_flipped_bit_is_refused);
	tcase_add_test(tc, every_shorter_header_is_refused);
	tcase_add_test(tc, a_newer_format_is_named_as_such);
	tcase_add_test(tc, reserved_bytes_must_be_zero);
	tcase_add_test(tc, another_identity_is_refused);
	tcase_add_test(tc, a_name_is_parsed_as_it_was_formatted);
	tcase_add_test(tc, a_manifest_has_a_name_outside_the_pool);
	tcase_add_test(tc, what_is_no_pool_name_is_not_parsed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
