/* SPDX-License-Identifier: MIT */
/*
 * tmp.h: a scratch folder for one test, under $TMPDIR or /tmp.
 *
 * Call tmp_remove() as the last thing of a test: one that fails never gets
 * there, its folder stays, and the program names it on stderr when it ends.
 *
 * What goes wrong in here ends the process: no test can go on without.
 */
#ifndef TESTS_SUPPORT_TMP_H
#define TESTS_SUPPORT_TMP_H

enum { TMP_PATH_BYTES = 512 };

struct tmp {
	char path[TMP_PATH_BYTES];
};

void tmp_make(struct tmp *tmp);
void tmp_remove(struct tmp *tmp);

/* The path of `name` in the folder; free() it. */
char *tmp_path(const struct tmp *tmp, const char *name);

#endif
