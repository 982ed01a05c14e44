/* SPDX-License-Identifier: MIT */
/*
 * tmp.c: folders are named after the process that runs the suite, not after the
 * child that Check forks for a test, so that the parent finds what the children
 * left behind, however they died.
 */
#include "tests/support/tmp.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK_FDS = 16 };

static pid_t suite_pid;

static void die(const char *what, const char *path)
{
	fprintf(stderr, "tmp: %s %s: ", what, path);
	perror(NULL);
	exit(EXIT_FAILURE);
}

static const char *parent_folder(void)
{
	const char *path = getenv("TMPDIR");

	return path != NULL && path[0] != '\0' ? path : "/tmp";
}

static void make_prefix(char *prefix, size_t size)
{
	snprintf(prefix, size, "shalefs-test.%ld.", (long)suite_pid);
}

static void name_what_was_kept(void)
{
	char prefix[64];
	struct dirent *entry;
	DIR *dir;

	if (getpid() != suite_pid)
		return;
	dir = opendir(parent_folder());
	if (dir == NULL)
		return;
	make_prefix(prefix, sizeof(prefix));
	while ((entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
			fprintf(stderr, "a failed test left %s/%s\n",
			        parent_folder(), entry->d_name);
	}
	closedir(dir);
}

__attribute__((constructor)) static void remember_suite(void)
{
	suite_pid = getpid();
	atexit(name_what_was_kept);
}

void tmp_make(struct tmp *tmp)
{
	char prefix[64];
	int len;

	make_prefix(prefix, sizeof(prefix));
	len = snprintf(tmp->path, sizeof(tmp->path), "%s/%sXXXXXX",
	               parent_folder(), prefix);
	if (len < 0 || (size_t)len >= sizeof(tmp->path) ||
	    mkdtemp(tmp->path) == NULL)
		die("cannot make", tmp->path);
}

static int open_up(const char *path, const struct stat *st, int type,
                   struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_D || type == FTW_DNR)
		return chmod(path, 0700);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type,
                      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void tmp_remove(struct tmp *tmp)
{
	/* A test may have made folders read-only. */
	if (nftw(tmp->path, open_up, WALK_FDS, FTW_PHYS | FTW_MOUNT) != 0 ||
	    nftw(tmp->path, remove_one, WALK_FDS,
	         FTW_PHYS | FTW_MOUNT | FTW_DEPTH) != 0)
		die("cannot remove", tmp->path);
}

char *tmp_path(const struct tmp *tmp, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", tmp->path, name) < 0)
		die("no memory for", name);
	return path;
}
