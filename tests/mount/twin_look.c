/* SPDX-License-Identifier: MIT */
#include "tests/mount/twin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	LONG_AGO_S = 1000000000, /* times before it were set by hand */
	MOVED_MTIME = 1,
	MOVED_CTIME = 2,
};

/* ---- looking ------------------------------------------------------------- */

static int by_path(const void *a, const void *b)
{
	const struct twin_entry *x = a;
	const struct twin_entry *y = b;

	return strcmp(x->path, y->path);
}

mode_t twin_mode(const struct stat *st)
{
	if (S_ISREG(st->st_mode) && st->st_gid == TWIN_CLUB &&
	    (st->st_mode & S_IXGRP) == 0)
		return st->st_mode & ~(mode_t)S_ISGID;
	return st->st_mode;
}

static bool look_at(struct twin_tree *tree, const char *path);

static bool look_below(struct twin_tree *tree, const char *path)
{
	char below[TWIN_PATH_BYTES];
	const struct dirent *entry;
	DIR *dir = opendir(path);
	bool good = dir != NULL;

	while (good && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		errno = ENAMETOOLONG;
		good = (size_t)snprintf(below, sizeof(below), "%s/%s", path,
		                        entry->d_name) < sizeof(below) &&
		       look_at(tree, below);
	}
	if (dir != NULL)
		closedir(dir);
	return good;
}

static bool look_at(struct twin_tree *tree, const char *path)
{
	struct twin_entry *entry = &tree->entries[tree->count];
	ssize_t len;

	errno = E2BIG;
	if (tree->count == TWIN_ENTRIES_MAX)
		return false;
	tree->count++;
	memset(entry, 0, sizeof(*entry));
	snprintf(entry->path, sizeof(entry->path), "%s", path);
	if (lstat(path, &entry->st) != 0)
		return false;
	if (S_ISLNK(entry->st.st_mode)) {
		len = readlink(path, entry->target, sizeof(entry->target) - 1);
		if (len != entry->st.st_size)
			return false;
	}
	entry->xattrs = llistxattr(path, NULL, 0);
	return !S_ISDIR(entry->st.st_mode) || look_below(tree, path);
}

bool twin_look(struct twin_tree *tree)
{
	tree->count = 0;
	if (!look_at(tree, "."))
		return false;
	qsort(tree->entries, tree->count, sizeof(tree->entries[0]), by_path);
	return true;
}

/* ---- comparing ------------------------------------------------------------ */

static bool differ(const struct twin_entry *a, const char *what, long long one,
                   long long two)
{
	if (one == two)
		return false;
	printf("%s: %s is %lld and %lld\n", a->path, what, one, two);
	return true;
}

/* A time that was set by hand, else none. */
static long long old_time(struct timespec time)
{
	return time.tv_sec < LONG_AGO_S
	           ? time.tv_sec * 1000000000LL + time.tv_nsec
	           : -1;
}

static bool same_entry(const struct twin_entry *a, const struct twin_entry *b)
{
	const struct stat *x = &a->st;
	const struct stat *y = &b->st;
	bool bad = false;

	if (strcmp(a->path, b->path) != 0) {
		printf("there are %s and %s\n", a->path, b->path);
		return false;
	}
	bad |= differ(a, "mode", twin_mode(x), twin_mode(y));
	bad |=
	    differ(a, "links", (long long)x->st_nlink, (long long)y->st_nlink);
	bad |= differ(a, "owner", x->st_uid, y->st_uid);
	bad |= differ(a, "group", x->st_gid, y->st_gid);
	bad |=
	    differ(a, "device", (long long)x->st_rdev, (long long)y->st_rdev);
	bad |= differ(a, "mtime", old_time(x->st_mtim), old_time(y->st_mtim));
	bad |= differ(a, "xattrs", a->xattrs, b->xattrs);
	if (!S_ISDIR(x->st_mode))
		bad |= differ(a, "size", x->st_size, y->st_size);
	if (S_ISREG(x->st_mode))
		bad |= differ(a, "atime", old_time(x->st_atim),
		              old_time(y->st_atim));
	if (strcmp(a->target, b->target) != 0) {
		printf("%s: leads to %s and %s\n", a->path, a->target,
		       b->target);
		bad = true;
	}
	return !bad;
}

/* Entries that are one inode here are one there. */
static bool same_identity(const struct twin_tree *a, const struct twin_tree *b,
                          size_t at)
{
	for (size_t i = 0; i < at; i++) {
		bool one = a->entries[i].st.st_ino == a->entries[at].st.st_ino;
		bool two = b->entries[i].st.st_ino == b->entries[at].st.st_ino;

		if (one != two) {
			printf("%s and %s are one inode only %s\n",
			       a->entries[i].path, a->entries[at].path,
			       one ? "here" : "there");
			return false;
		}
	}
	return true;
}

static bool is_later(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

/* Which times of the inode at `after` have moved; -1: it was not there. */
static int moves(const struct twin_tree *before, const struct twin_entry *after)
{
	for (size_t i = 0; i < before->count; i++) {
		const struct stat *old = &before->entries[i].st;

		if (old->st_ino != after->st.st_ino ||
		    ((old->st_mode ^ after->st.st_mode) & S_IFMT) != 0)
			continue;
		return (is_later(after->st.st_mtim, old->st_mtim) ? MOVED_MTIME
		                                                  : 0) |
		       (is_later(after->st.st_ctim, old->st_ctim) ? MOVED_CTIME
		                                                  : 0);
	}
	return -1;
}

bool twin_same(const struct twin_tree before[2],
               const struct twin_tree after[2])
{
	bool same = after[0].count == after[1].count;
	size_t count =
	    after[0].count < after[1].count ? after[0].count : after[1].count;

	if (!same)
		printf("%zu and %zu entries\n", after[0].count, after[1].count);
	for (size_t i = 0; i < count; i++) {
		const struct twin_entry *a = &after[0].entries[i];
		const struct twin_entry *b = &after[1].entries[i];
		int one, two;

		if (!same_entry(a, b) ||
		    !same_identity(&after[0], &after[1], i))
			return false;
		one = moves(&before[0], a);
		two = moves(&before[1], b);
		/* What ext4 calls by an old number may be new. */
		if (one >= 0 && two >= 0 &&
		    differ(a, "what moved (1 mtime, 2 ctime)", one, two))
			return false;
	}
	return same;
}
