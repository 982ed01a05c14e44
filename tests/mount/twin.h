/* SPDX-License-Identifier: MIT */
/*
 * twin.h: two trees that the same operations were done to, looked at and
 * compared.
 */
#ifndef TESTS_MOUNT_TWIN_H
#define TESTS_MOUNT_TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

enum { TWIN_PATH_BYTES = 512, TWIN_ENTRIES_MAX = 2000 };

struct twin_entry {
	char path[TWIN_PATH_BYTES];
	struct stat st;
	char target[TWIN_PATH_BYTES]; /* of a symlink */
	long xattrs;                  /* bytes of their names */
};

/* What is below a folder, itself first, by path. */
struct twin_tree {
	struct twin_entry entries[TWIN_ENTRIES_MAX];
	size_t count;
};

enum { TWIN_CLUB = 60003 }; /* a group of those who are not root */

/*
 * Its mode, without what a filesystem in user space cannot know: whether a writer
 * is in a file's group by a supplementary group, which decides about a
 * set-group-id bit that means nothing, as the group may not execute.
 */
mode_t twin_mode(const struct stat *st);

/* Look at all below the working folder. False: there is too much, or a call
   failed; errno says which. */
bool twin_look(struct twin_tree *tree);

/*
 * Whether two trees are the same but for numbers, times of now and sizes of
 * folders; and whether between `before` and `after` the same times moved.
 * Prints what differs.
 */
bool twin_same(const struct twin_tree before[2],
               const struct twin_tree after[2]);

#endif
