/* SPDX-License-Identifier: MIT */
/*
 * null_tree.h: a tree of files in plain memory, for null_fuse.
 *
 * Names are in one hash table, inodes in one array, data in pieces of 64 KiB.
 * Nothing is stored and nothing is waited for, so that what null_fuse takes is
 * what FUSE takes.
 *
 * Every function that can fail returns 0 or a positive errno. A function that
 * fills `attr` from a name gives the kernel one lookup of the inode, which
 * null_tree_forget() takes back; an inode goes with its last name and lookup.
 *
 * Threads: every function from any, except create and destroy.
 * Locks: tree->mu, a leaf.
 */
#ifndef TESTS_BENCH_NULL_TREE_H
#define TESTS_BENCH_NULL_TREE_H

#include "base/buf.h"
#include "fs/fs.h"

struct null_tree;

/* A new inode. `target` is of a symlink, or NULL. */
struct null_make {
	uint32_t mode; /* type and permissions */
	uint64_t rdev;
	uint32_t uid, gid;
	const char *target;
};

LSM_MUST_CHECK int null_tree_create(struct null_tree **tree_out);
void null_tree_destroy(struct null_tree *tree); /* NULL is allowed */

int null_tree_lookup(struct null_tree *tree, uint64_t dir, const char *name,
                     struct fs_attr *attr);
void null_tree_forget(struct null_tree *tree, uint64_t ino, uint64_t lookups);
int null_tree_make(struct null_tree *tree, uint64_t dir, const char *name,
                   const struct null_make *make, struct fs_attr *attr);
int null_tree_link(struct null_tree *tree, uint64_t ino, uint64_t dir,
                   const char *name, struct fs_attr *attr);
int null_tree_remove(struct null_tree *tree, uint64_t dir, const char *name,
                     bool folder);
/* `keep`: EEXIST where new_name is taken. */
int null_tree_rename(struct null_tree *tree, uint64_t dir, const char *name,
                     uint64_t new_dir, const char *new_name, bool keep);

int null_tree_getattr(struct null_tree *tree, uint64_t ino,
                      struct fs_attr *attr);

/* What to change is a set of these, as `attr` has them. */
enum null_set {
	NULL_SET_MODE = 1,
	NULL_SET_UID = 2,
	NULL_SET_GID = 4,
	NULL_SET_SIZE = 8,
	NULL_SET_ATIME = 16,
	NULL_SET_MTIME = 32,
};
int null_tree_setattr(struct null_tree *tree, uint64_t ino, unsigned set,
                      const struct fs_attr *from, struct fs_attr *attr);

/* Up to `size` bytes to `data`, which is as long. */
int null_tree_read(struct null_tree *tree, uint64_t ino, uint64_t offset,
                   void *data, size_t size, size_t *got_out);
int null_tree_write(struct null_tree *tree, uint64_t ino, uint64_t offset,
                    const void *data, size_t size);
/* NUL-terminated. */
int null_tree_readlink(struct null_tree *tree, uint64_t ino,
                       struct buf *target);

/* Take one entry; false: it did not fit. With the tree locked. */
typedef bool (*null_tree_emit)(void *ctx, const char *name, uint64_t cookie,
                               const struct fs_attr *attr);
/* What follows `cookie`, 0 at first. With `plus`, an entry that was taken gives
   a lookup, but "." and ".." do not. */
int null_tree_list(struct null_tree *tree, uint64_t dir, uint64_t cookie,
                   bool plus, null_tree_emit emit, void *ctx);

#endif
