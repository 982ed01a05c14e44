/* SPDX-License-Identifier: MIT */
/*
 * inode.h: inode records: load, make, change, save; link counts; atime.
 *
 * A record is read, changed in a `struct inode` and saved by whoever holds the
 * inode's lock. Reading needs no lock.
 */
#ifndef SHALEFS_FS_INODE_H
#define SHALEFS_FS_INODE_H

#include "fs/change.h"

enum {
	INODE_DIRENT_BYTES =
	    32, /* what an entry adds to st_size of its folder */
};

static inline bool inode_is_dir(const struct inode *inode)
{
	return S_ISDIR(inode->mode);
}

/* As of `snap`, or now. Errors: ESTALE (there is none), EIO, ENOMEM. */
int inode_load(struct fs *fs, const struct lsm_snapshot *snap, uint64_t ino,
               struct inode *inode);
/* Also ENOTDIR. */
int inode_load_dir(struct fs *fs, const struct lsm_snapshot *snap, uint64_t ino,
                   struct inode *inode);
/* A regular file. Also EISDIR, EINVAL. */
int inode_load_file(struct fs *fs, const struct lsm_snapshot *snap,
                    uint64_t ino, struct inode *inode);

/* Put the record into the change. */
void inode_save(struct change *change, struct inode *inode);

/* Its stored bytes were `before` long and are now `after`: move alloc_bytes and
   the counter. */
void inode_charge(struct change *change, struct inode *inode, uint64_t before,
                  uint64_t after);

/*
 * A new inode below `dir`: number, owner, times, one link (a directory: two).
 * Not saved yet. Errors: ENOSPC.
 */
int inode_make(struct change *change, const struct fs_op *op,
               const struct inode *dir, uint32_t mode, struct inode *inode);

/* A name of a file went, or the directory did: without links left it becomes a
   recorded orphan, which *victim (NULL allowed) tells. Saves it. */
void inode_lose_name(struct change *change, struct inode *inode,
                     struct fs_victim *victim);
/* A file gets one more name. Saves it. */
void inode_gain_name(struct change *change, struct inode *inode);

/* An entry came (+1) or went (-1), `subdirs` of them directories. Saves it. */
void inode_dir_changed(struct change *change, struct inode *dir, int entries,
                       int subdirs);

/* Take the set-id bits off a file, as Linux does when another changes it; the
   one for the group where the group may execute, or who asks is not in it (of
   whose groups one is known here). True: it had some. */
bool inode_drop_set_id(const struct change *change, struct inode *inode);

/* Change what `which` names, but for the size. */
void inode_apply(struct change *change, struct inode *inode, unsigned which,
                 const struct fs_attr *set);

void inode_attr(const struct inode *inode, struct fs_attr *attr);

/* Somebody read it: move atime where relatime wants that, credit is free and
   nobody holds the lock. Otherwise a later read will. Never waits. */
void inode_accessed(struct fs *fs, const struct inode *inode);

#endif
