/* SPDX-License-Identifier: MIT */
/* test_options.c: what mount options mean, and what the line says of a wrong
   one. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "daemon/options.h"

enum { MIB = 1 << 20 };

static struct options options;
static char last_line[LOG_LINE_MAX_BYTES + 1];
static int lines;

static void keep(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	snprintf(last_line, sizeof(last_line), "%s", line);
	lines++;
}

static void setup(void)
{
	log_set_sink(keep, NULL);
	lines = 0;
	last_line[0] = '\0';
	options_init(&options);
}

static void teardown(void)
{
	options_release(&options);
	log_set_sink(NULL, NULL);
}

static void refused(const char *list, const char *word)
{
	int before = lines;

	ck_assert_int_eq(options_parse(&options, list), EINVAL);
	ck_assert_int_eq(lines, before + 1);
	ck_assert_msg(strstr(last_line, word) != NULL, "'%s' in '%s'", word,
	              last_line);
}

static int64_t size_of(const char *text)
{
	int64_t bytes;

	ck_assert_int_eq(options_parse_size(text, &bytes), 0);
	return bytes;
}

START_TEST(wakeup_is_one_of_four_ways)
{
	ck_assert_int_eq(options.wakeup, RECEIVER_AUTO);
	ck_assert_int_eq(options_parse(&options, "wakeup=hold"), 0);
	ck_assert_int_eq(options.wakeup, RECEIVER_HOLD);
	ck_assert_int_eq(options_parse(&options, "wakeup=spin"), 0);
	ck_assert_int_eq(options.wakeup, RECEIVER_SPIN);
	ck_assert_int_eq(options_parse(&options, "wakeup=sleep"), 0);
	ck_assert_int_eq(options.wakeup, RECEIVER_SLEEP);
	ck_assert_int_eq(options_parse(&options, "wakeup=auto"), 0);
	ck_assert_int_eq(options.wakeup, RECEIVER_AUTO);
	refused("wakeup=", "wakeup=");
	refused("wakeup=spinning", "wakeup=spinning");
}
END_TEST

START_TEST(writeback_is_off_unless_given)
{
	ck_assert(!options.writeback);
	ck_assert_int_eq(options_parse(&options, "writeback"), 0);
	ck_assert(options.writeback);
	refused("writeback=1", "writeback=1");
}
END_TEST

START_TEST(sizes_have_suffixes_of_1024)
{
	ck_assert_int_eq(size_of("0"), 0);
	ck_assert_int_eq(size_of("17"), 17);
	ck_assert_int_eq(size_of("1K"), 1024);
	ck_assert_int_eq(size_of("3m"), 3 * MIB);
	ck_assert_int_eq(size_of("2G"), INT64_C(2) << 30);
	ck_assert_int_eq(size_of("1t"), INT64_C(1) << 40);
	ck_assert_int_eq(size_of("-5K"), -5120);
	ck_assert_int_eq(size_of("9223372036854775807"), INT64_MAX);
}
END_TEST

START_TEST(what_is_no_size_is_refused)
{
	static const char *const wrong[] = {"",    "K",    "x",  "1X",
	                                    "1KB", "--1",  "+1", " 1",
	                                    "1 ",  "1.5M", "-",  "0x10"};
	int64_t bytes;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(options_parse_size(wrong[i], &bytes), EINVAL);
}
END_TEST

START_TEST(sizes_that_overflow_are_refused)
{
	static const char *const wrong[] = {
	    "9223372036854775808", "18446744073709551616", "8388608T",
	    "9007199254740992K", "-9223372036854775808"};
	int64_t bytes;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_int_eq(options_parse_size(wrong[i], &bytes), ERANGE);
}
END_TEST

START_TEST(the_default_budget_is_shared_out)
{
	struct options_budget budget;

	ck_assert_int_eq(options_parse(&options, ""), 0);
	ck_assert_int_eq(options_budget(&options, &budget), 0);
	ck_assert_int_eq(budget.credit_bytes, 64 * MIB);
	ck_assert_uint_eq(budget.cache_bytes, 64 * MIB);
	ck_assert_uint_eq(budget.parked_bytes, 32 * MIB);
	ck_assert_uint_eq(budget.memtable_bytes, 0);
}
END_TEST

START_TEST(the_parts_never_exceed_the_whole)
{
	static const char *const lists[] = {
	    "memory=16M", "memory=100M", "memory=4G", "memory=64M,credit=32M"};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct options_budget budget;

		ck_assert_int_eq(options_parse(&options, lists[i]), 0);
		ck_assert_int_eq(options_budget(&options, &budget), 0);
		ck_assert_uint_le((uint64_t)budget.credit_bytes +
		                      budget.cache_bytes + budget.parked_bytes,
		                  options.memory_bytes);
	}
}
END_TEST

START_TEST(a_small_memory_makes_small_credit)
{
	struct options_budget budget;

	ck_assert_int_eq(options_parse(&options, "memory=16M"), 0);
	ck_assert_int_eq(options_budget(&options, &budget), 0);
	ck_assert_int_eq(budget.credit_bytes, 4 * MIB);
}
END_TEST

START_TEST(credit_of_zero_or_less_is_off)
{
	struct options_budget budget;

	ck_assert_int_eq(options_parse(&options, "credit=0"), 0);
	ck_assert_int_eq(options_budget(&options, &budget), 0);
	ck_assert_int_eq(budget.credit_bytes, 0);
	ck_assert_uint_eq(budget.memtable_bytes, 64 * MIB);
	ck_assert_int_eq(options_parse(&options, "credit=-1"), 0);
	ck_assert_int_eq(options_budget(&options, &budget), 0);
	ck_assert_int_eq(budget.credit_bytes, -1);
}
END_TEST

START_TEST(credit_beyond_half_the_memory_is_refused)
{
	struct options_budget budget;

	ck_assert_int_eq(options_parse(&options, "credit=33M,memory=64M"), 0);
	ck_assert_int_eq(options_budget(&options, &budget), EINVAL);
	ck_assert(strstr(last_line, "credit=") != NULL);
	ck_assert_int_eq(lines, 1);
}
END_TEST

START_TEST(a_later_option_wins)
{
	ck_assert_int_eq(options_parse(&options, "ro,memory=1G"), 0);
	ck_assert_int_eq(options_parse(&options, "rw,memory=32M"), 0);
	ck_assert(!options.read_only);
	ck_assert_uint_eq(options.memory_bytes, 32 * MIB);
}
END_TEST

START_TEST(options_for_the_kernel_are_handed_on)
{
	ck_assert_int_eq(
	    options_parse(&options, "nosuid,,allow_other,max_read=64K"), 0);
	ck_assert_str_eq((const char *)options.kernel.data,
	                 "nosuid,allow_other,max_read=65536");
	ck_assert_uint_eq(options.max_read_bytes, 65536);
	ck_assert(!options.holds_atime && !options.holds_dir_atime);
	ck_assert_int_eq(options_parse(&options, "noatime,nodiratime"), 0);
	ck_assert(options.holds_atime && options.holds_dir_atime);
}
END_TEST

START_TEST(what_mount_adds_is_ignored)
{
	ck_assert_int_eq(
	    options_parse(&options,
	                  "defaults,_netdev,nofail,user,user=joe,users,noauto,"
	                  "x-systemd.automount,X-mount.mkdir=0755,relatime,"
	                  "default_permissions"),
	    0);
	ck_assert_uint_eq(options.kernel.len, 0);
	ck_assert_int_eq(lines, 0);
}
END_TEST

START_TEST(an_unknown_option_is_named)
{
	refused("ro,frobnicate", "frobnicate: unknown");
	refused("fsname=other", "fsname=other: unknown");
	refused("memor=1G", "memor=1G: unknown");
	refused("roo", "roo: unknown");
	refused("ro=1", "ro=1: unknown");
	refused("memory", "memory: unknown");
}
END_TEST

START_TEST(a_value_out_of_range_is_named)
{
	refused("memory=15M", "memory=15M: less than 16M");
	refused("memory=-1", "memory=-1: less than 16M");
	refused("memory=17T", "memory=17T: more than 16T");
	refused("memory=99999999999999999999", "too large");
	refused("credit=lots", "credit=lots: not a size");
	refused("credit=", "credit=: not a size");
	refused("max_read=1", "max_read=1: not between");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, wakeup_is_one_of_four_ways);
	tcase_add_test(tc, writeback_is_off_unless_given);
	tcase_add_test(tc, sizes_have_suffixes_of_1024);
	tcase_add_test(tc, what_is_no_size_is_refused);
	tcase_add_test(tc, sizes_that_overflow_are_refused);
	tcase_add_test(tc, the_default_budget_is_shared_out);
	tcase_add_test(tc, the_parts_never_exceed_the_whole);
	tcase_add_test(tc, a_small_memory_makes_small_credit);
	tcase_add_test(tc, credit_of_zero_or_less_is_off);
	tcase_add_test(tc, credit_beyond_half_the_memory_is_refused);
	tcase_add_test(tc, a_later_option_wins);
	tcase_add_test(tc, options_for_the_kernel_are_handed_on);
	tcase_add_test(tc, what_mount_adds_is_ignored);
	tcase_add_test(tc, an_unknown_option_is_named);
	tcase_add_test(tc, a_value_out_of_range_is_named);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
