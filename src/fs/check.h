/* SPDX-License-Identifier: MIT */
/*
 * check.h: what the passes of fs_check() share. check.c runs them and counts;
 * check_inodes.c walks inodes, orphan records and chunks side by side, as all
 * three lie in the order of inode numbers; check_names.c walks directories and
 * compares what they name with what was found.
 *
 * Memory: 24 bytes for each inode, 32 more for each directory.
 * One snapshot is checked, so a store in use may be checked too.
 */
#ifndef SHALEFS_FS_CHECK_H
#define SHALEFS_FS_CHECK_H

#include "fs/internal.h"

struct check_inode {
	uint64_t ino;
	uint32_t nlink;     /* as its record says */
	uint32_t names;     /* entries that name it */
	uint32_t dir_index; /* into dirs, for a directory */
	uint8_t type;       /* st_mode >> 12 */
	bool is_orphan;
};

enum check_reach {
	CHECK_UNKNOWN,
	CHECK_ON_THE_WAY, /* its parents are being followed */
	CHECK_REACHED,    /* they lead to the root, or the fault is reported */
};

struct check_dir {
	uint64_t parent;
	uint64_t counted; /* entries as its size says */
	uint64_t entries;
	uint32_t subdirs;
	enum check_reach reach;
};

struct check {
	struct fs *fs;
	struct lsm_snapshot *snap;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	uint64_t faults;

	/* By ascending number. */
	struct check_inode *inodes;
	size_t inode_count, inode_cap;
	struct check_dir *dirs;
	size_t dir_count, dir_cap;
	uint64_t used_bytes; /* sum of alloc_bytes */
};

/* Report one fault; `format` begins with its class. */
void check_fault(struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A walk ended: damage is reported, anything else is returned as an errno. */
int check_walk_end(struct check *check, const char *what, enum lsm_err err);

/* An iterator over a family, at its first key. */
int check_iter(struct check *check, enum schema_family family,
               struct lsm_iter **iter_out);

/* NULL: there is none. */
struct check_inode *check_find(const struct check *check, uint64_t ino);
/* Errors: ENOMEM. */
int check_add(struct check *check, const struct inode *inode);

int check_inodes(struct check *check);
int check_names(struct check *check);

#endif
