/* SPDX-License-Identifier: MIT */
/*
 * dir.h: entries of directories. dir.c finds, adds and removes them and has the
 * operations that add one; dir_remove.c, dir_rename.c and dir_list.c have
 * theirs.
 *
 * An entry's key is its directory and its cookie: 59 bits of the hash of the
 * name, then a slot. Names with one hash lie in slots 0, 1, 2 ... without a
 * gap: where an entry leaves with others above it, a hole stays in its place,
 * which the next such name fills, and which goes with the last entry above it.
 * So a lookup may end at the first slot that does not exist.
 *
 * What changes a directory needs its inode's lock. dir_find() without lock and
 * snapshot may miss a name with a colliding hash that moves at that moment;
 * fs_lookup() asks again under a snapshot.
 */
#ifndef SHALEFS_FS_DIR_H
#define SHALEFS_FS_DIR_H

#include "fs/change.h"

struct dir_spot {
	bool found;
	bool full;       /* not found, and no slot is free */
	bool collided;   /* other names or holes were met */
	uint64_t cookie; /* of the entry, or where it would go */
	uint64_t ino;    /* 0: not found */
	uint32_t type;   /* type bits of st_mode */
};

/* A name that an operation is about. */
struct dir_name {
	uint64_t dir;
	struct slice name;
	struct dir_spot spot; /* filled in by dir_lock_names() */
};

/* The cookie of the name's slot 0. */
uint64_t dir_cookie(const struct fs *fs, struct slice name);

/* Errors: EIO, ENOMEM. Not found is no error. */
int dir_find(struct fs *fs, const struct lsm_snapshot *snap, uint64_t dir,
             struct slice name, struct dir_spot *spot);

/* Write the entry at `cookie`, whatever was there. */
void dir_put(struct change *change, uint64_t dir, uint64_t cookie,
             struct slice name, const struct inode *inode);

/* Take out the entry at `cookie`. Errors: EIO, ENOMEM. */
int dir_remove(struct change *change, uint64_t dir, uint64_t cookie);

/* Whether it has no entry. Errors: EIO, ENOMEM. */
int dir_is_empty(struct fs *fs, const struct inode *dir, bool *empty_out);

/* Errors: ENOENT (empty), EINVAL (a slash or NUL), ENAMETOOLONG. */
int dir_check_name(struct slice name);
bool dir_is_dots(struct slice name);
/* Names of the root that are kept for the branches of a store. */
bool dir_is_reserved(uint64_t dir, struct slice name);

/*
 * Lock the directories of one or two names and what the names stand for, which
 * must be looked up first: look, lock, and look again, until both agree. For a
 * directory between two parents ILOCK_MOVE is held too. Holds nothing after an
 * error. Errors: EIO, ENOMEM.
 */
int dir_lock_names(struct fs *fs, struct ilock_set *locks,
                   struct dir_name *names, size_t count);

/* Load what an entry names. Errors: EIO (damage: there is no such inode). */
int dir_load_entry(struct fs *fs, const struct dir_name *name,
                   struct inode *inode);

/* Load a directory that gets or loses an entry. Errors: ENOENT (it was
   removed), ENOTDIR, ESTALE, EIO, ENOMEM. */
int dir_load(struct fs *fs, uint64_t ino, struct inode *dir);

#endif
