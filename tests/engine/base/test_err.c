/* SPDX-License-Identifier: MIT */
/* test_err.c: every error has a sentence and an errno, also one from outside.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static const enum lsm_err all[] = {
#define X(name, sys, text) LSM_ERR_##name,
    LSM_ERRORS(X)
#undef X
};

enum { COUNT = sizeof(all) / sizeof(all[0]) };

START_TEST(every_error_has_a_sentence_of_its_own)
{
	for (size_t i = 0; i < COUNT; i++) {
		ck_assert_str_ne(lsm_strerror(all[i]), "");
		ck_assert_str_ne(lsm_strerror(all[i]), lsm_strerror(LSM_OK));
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(lsm_strerror(all[i]),
			                 lsm_strerror(all[j]));
	}
}
END_TEST

START_TEST(only_success_has_errno_zero)
{
	ck_assert_int_eq(lsm_errno(LSM_OK), 0);
	for (size_t i = 0; i < COUNT; i++)
		ck_assert_int_gt(lsm_errno(all[i]), 0);
}
END_TEST

START_TEST(errno_of_an_error_is_the_one_listed)
{
	ck_assert_int_eq(lsm_errno(LSM_ERR_CORRUPT), EIO);
	ck_assert_int_eq(lsm_errno(LSM_ERR_NOSPACE), ENOSPC);
	ck_assert_int_eq(lsm_errno(LSM_ERR_READ_ONLY), EROFS);
	ck_assert_int_eq(lsm_errno(LSM_ERR_NO_LINK), EXDEV);
}
END_TEST

START_TEST(a_number_that_is_no_error_is_answered)
{
	ck_assert_str_eq(lsm_strerror((enum lsm_err)1000), "unknown error");
	ck_assert_int_eq(lsm_errno((enum lsm_err)1000), EIO);
}
END_TEST

START_TEST(system_errors_keep_what_a_caller_acts_on)
{
	static const struct {
		int sys;
		enum lsm_err err;
	} table[] = {
	    {ENOENT, LSM_ERR_NOT_FOUND},
	    {EEXIST, LSM_ERR_EXISTS},
	    {ENOTEMPTY, LSM_ERR_EXISTS},
	    {EACCES, LSM_ERR_ACCESS},
	    {EPERM, LSM_ERR_ACCESS},
	    {EROFS, LSM_ERR_READ_ONLY},
	    {ENOSPC, LSM_ERR_NOSPACE},
	    {EDQUOT, LSM_ERR_NOSPACE},
	    {ENOMEM, LSM_ERR_NOMEM},
	    {EMFILE, LSM_ERR_NOMEM},
	    {ENFILE, LSM_ERR_NOMEM},
	    {EFBIG, LSM_ERR_TOO_BIG},
	    {EXDEV, LSM_ERR_NO_LINK},
	    {EMLINK, LSM_ERR_NO_LINK},
	    {EOPNOTSUPP, LSM_ERR_NOT_SUPPORTED},
	    {ENOTTY, LSM_ERR_NOT_SUPPORTED},
	    {EBUSY, LSM_ERR_BUSY},
	    {EAGAIN, LSM_ERR_BUSY},
	    {EIO, LSM_ERR_IO},
	    {ENOTDIR, LSM_ERR_IO},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_int_eq(err_from_errno(table[i].sys), table[i].err);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("err");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, every_error_has_a_sentence_of_its_own);
	tcase_add_test(tc, only_success_has_errno_zero);
	tcase_add_test(tc, errno_of_an_error_is_the_one_listed);
	tcase_add_test(tc, a_number_that_is_no_error_is_answered);
	tcase_add_test(tc, system_errors_keep_what_a_caller_acts_on);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
