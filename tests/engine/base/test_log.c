/* SPDX-License-Identifier: MIT */
/* test_log.c: a message is one line, of a bounded length, given to one sink at
   a time. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sync.h"

/* What a sink was called with. No lock: the log has one. */
struct heard {
	unsigned lines;
	enum log_level level;
	char line[2 * LOG_LINE_MAX_BYTES];
};

static struct heard heard;

static void hear(void *ctx, enum log_level level, const char *line)
{
	struct heard *h = ctx;

	h->lines++;
	h->level = level;
	snprintf(h->line, sizeof(h->line), "%s", line);
	errno = EDOM;
}

START_TEST(the_sink_gets_level_and_line)
{
	log_set_sink(hear, &heard);
	log_error("%s: offset %d", "00001.sst", 7);
	ck_assert_uint_eq(heard.lines, 1);
	ck_assert_int_eq(heard.level, LOG_LEVEL_ERROR);
	ck_assert_str_eq(heard.line, "00001.sst: offset 7");
}
END_TEST

START_TEST(messages_above_the_level_are_dropped)
{
	log_set_sink(hear, &heard);
	log_info("not by default");
	ck_assert_uint_eq(heard.lines, 0);
	log_warning("this one");
	ck_assert_uint_eq(heard.lines, 1);
	log_set_level(LOG_LEVEL_DEBUG);
	log_info("now");
	log_debug("too");
	ck_assert_uint_eq(heard.lines, 3);
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("no more");
	ck_assert_uint_eq(heard.lines, 3);
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
	char text[3 * LOG_LINE_MAX_BYTES];

	log_set_sink(hear, &heard);
	memset(text, 'a', sizeof(text));
	text[LOG_LINE_MAX_BYTES] = '\0';
	log_error("%s", text);
	ck_assert_str_eq(heard.line, text);

	text[LOG_LINE_MAX_BYTES] = 'a';
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
	ck_assert_uint_eq(strlen(heard.line), LOG_LINE_MAX_BYTES);
	ck_assert_str_eq(heard.line + LOG_LINE_MAX_BYTES - 4, "a...");
}
END_TEST

START_TEST(control_characters_cannot_forge_a_line)
{
	log_set_sink(hear, &heard);
	log_error("a\nshalefs: error: b\r\t\x1b[2J\x7f \xc3\xa4");
	ck_assert_str_eq(heard.line, "a?shalefs: error: b???[2J? \xc3\xa4");
}
END_TEST

START_TEST(errno_is_left_alone)
{
	log_set_sink(hear, &heard);
	errno = ENOENT;
	log_error("x");
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(without_a_sink_stderr_gets_program_and_level)
{
	char text[100] = "";
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t len;

	ck_assert_ptr_nonnull(file);
	log_set_sink(hear, &heard);
	log_set_sink(NULL, NULL);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	log_error("one");
	log_warning("two");
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	ck_assert_uint_eq(len, strlen(text));
	ck_assert_str_eq(text, "shalefs: error: one\nshalefs: warning: two\n");
	ck_assert_uint_eq(heard.lines, 0);
}
END_TEST

enum { THREADS = 4, LINES = 2000 };

static void talk(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < LINES; i++)
		log_error("line %d", i);
}

START_TEST(one_line_at_a_time_reaches_the_sink)
{
	struct sync_thread threads[THREADS];

	log_set_sink(hear, &heard);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(
		    sync_thread_start(&threads[i], "talk", talk, NULL), LSM_OK);
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	ck_assert_uint_eq(heard.lines, THREADS * LINES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, the_sink_gets_level_and_line);
	tcase_add_test(tc, messages_above_the_level_are_dropped);
	tcase_add_test(tc, a_long_line_is_cut_and_says_so);
	tcase_add_test(tc, control_characters_cannot_forge_a_line);
	tcase_add_test(tc, errno_is_left_alone);
	tcase_add_test(tc, without_a_sink_stderr_gets_program_and_level);
	tcase_add_test(tc, one_line_at_a_time_reaches_the_sink);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
