/* SPDX-License-Identifier: MIT */
#include "fs/inode.h"

#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "fs/acl.h"
#include "fs/data.h"

enum { RELATIME_S = 24 * 60 * 60 };

/* The root of a store that nothing was ever written to. */
static void make_root(const struct fs *fs, struct inode *inode)
{
	*inode = (struct inode){
	    .ino = FS_ROOT_INO,
	    .mode = S_IFDIR | 0755,
	    .uid = fs->owner.uid,
	    .gid = fs->owner.gid,
	    .nlink = 2,
	    .atime = fs->owner.created,
	    .mtime = fs->owner.created,
	    .ctime = fs->owner.created,
	    .btime = fs->owner.created,
	    .parent = FS_ROOT_INO,
	};
}

int inode_load(struct fs *fs, const struct lsm_snapshot *snap, uint64_t ino,
               struct inode *inode)
{
	struct buf value = BUF_INIT;
	struct schema_key key;
	enum lsm_err err;

	if (fs->is_empty && ino == FS_ROOT_INO) {
		make_root(fs, inode);
		return 0;
	}
	schema_inode_key(&key, ino, SCHEMA_ATTR);
	err = lsm_get(fs->store, snap, schema_slice(&key), &value);
	if (err == LSM_OK) {
		err = schema_decode_inode(buf_slice(&value), ino, inode);
		if (err != LSM_OK)
			log_error("inode %llu: its record cannot be read",
			          (unsigned long long)ino);
	}
	buf_release(&value);
	return err == LSM_ERR_NOT_FOUND ? ESTALE : fs_errno(err);
}

int inode_load_dir(struct fs *fs, const struct lsm_snapshot *snap, uint64_t ino,
                   struct inode *inode)
{
	int err = inode_load(fs, snap, ino, inode);

	if (err == 0 && !inode_is_dir(inode))
		err = ENOTDIR;
	return err;
}

int inode_load_file(struct fs *fs, const struct lsm_snapshot *snap,
                    uint64_t ino, struct inode *inode)
{
	int err = inode_load(fs, snap, ino, inode);

	if (err != 0 || S_ISREG(inode->mode))
		return err;
	return inode_is_dir(inode) ? EISDIR : EINVAL;
}

void inode_save(struct change *change, struct inode *inode)
{
	uint8_t value[SCHEMA_INODE_BYTES];
	struct schema_key key;

	inode->change++;
	schema_inode_key(&key, inode->ino, SCHEMA_ATTR);
	schema_encode_inode(value, inode);
	change_put(change, &key, slice_make(value, sizeof(value)));
}

void inode_charge(struct change *change, struct inode *inode, uint64_t before,
                  uint64_t after)
{
	int64_t delta = (int64_t)(chunk_alloc(after) - chunk_alloc(before));

	/* A record that counted too little stays one that can be read. */
	if (delta < -(int64_t)inode->alloc_bytes)
		delta = -(int64_t)inode->alloc_bytes;
	inode->alloc_bytes += (uint64_t)delta;
	change->used_bytes += delta;
}

int inode_make(struct change *change, const struct fs_op *op,
               const struct inode *dir, uint32_t mode, struct inode *inode)
{
	uint64_t ino;
	int err;

	err = change_number(change, dir->ino, &ino);
	if (err != 0)
		return err;
	*inode = (struct inode){
	    .ino = ino,
	    .mode = mode & (S_IFMT | 07777),
	    .uid = op->uid,
	    .gid = op->gid,
	    .nlink = 1,
	    .atime = change->now,
	    .mtime = change->now,
	    .ctime = change->now,
	    .btime = change->now,
	    .parent = dir->ino,
	};
	if (S_ISREG(mode))
		inode->flags = SCHEMA_IS_INLINE;
	if (S_ISDIR(mode))
		inode->nlink = 2;
	if ((dir->mode & S_ISGID) != 0) {
		inode->gid = dir->gid;
		if (S_ISDIR(mode))
			inode->mode |= S_ISGID;
	}
	change->inodes++;
	return acl_inherit(change, dir, op->umask, inode);
}

static void record_orphan(struct change *change, const struct inode *inode)
{
	struct schema_key key;

	schema_orphan_key(&key, inode->ino);
	change_put(change, &key, slice_make(NULL, 0));
}

void inode_lose_name(struct change *change, struct inode *inode,
                     struct fs_victim *victim)
{
	bool is_last = inode_is_dir(inode) || inode->nlink <= 1;

	inode->nlink = is_last ? 0 : inode->nlink - 1;
	inode->ctime = change->now;
	if (is_last) {
		inode->flags |= SCHEMA_IS_ORPHAN;
		record_orphan(change, inode);
	}
	inode_save(change, inode);
	if (victim != NULL) {
		victim->ino = inode->ino;
		victim->orphan = is_last;
	}
}

void inode_gain_name(struct change *change, struct inode *inode)
{
	struct schema_key key;

	if ((inode->flags & SCHEMA_IS_ORPHAN) != 0) {
		inode->flags &=
		    (uint16_t) ~(SCHEMA_IS_ORPHAN | SCHEMA_IS_LINKABLE);
		schema_orphan_key(&key, inode->ino);
		change_delete(change, &key);
	}
	inode->nlink++;
	inode->ctime = change->now;
	inode_save(change, inode);
}

void inode_dir_changed(struct change *change, struct inode *dir, int entries,
                       int subdirs)
{
	dir->size += (uint64_t)((int64_t)entries * INODE_DIRENT_BYTES);
	dir->nlink += (uint32_t)subdirs;
	dir->mtime = change->now;
	dir->ctime = change->now;
	inode_save(change, dir);
}

bool inode_drop_set_id(const struct change *change, struct inode *inode)
{
	bool outsider = change->uid != 0 && change->gid != inode->gid;
	uint32_t bits = S_ISUID;

	if ((inode->mode & S_IXGRP) != 0 || outsider)
		bits |= S_ISGID;
	if (inode_is_dir(inode) || (inode->mode & bits) == 0)
		return false;
	inode->mode &= ~bits;
	return true;
}

void inode_apply(struct change *change, struct inode *inode, unsigned which,
                 const struct fs_attr *set)
{
	if ((which & FS_SET_MODE) != 0)
		inode->mode = (inode->mode & S_IFMT) | (set->mode & 07777);
	else if (which == 0 || (which & (FS_SET_UID | FS_SET_GID)) != 0)
		/* 0: chown(-1, -1) */
		(void)inode_drop_set_id(change, inode);
	if ((which & FS_SET_UID) != 0)
		inode->uid = set->uid;
	if ((which & FS_SET_GID) != 0)
		inode->gid = set->gid;
	if ((which & FS_SET_ATIME) != 0)
		inode->atime = set->atime;
	if ((which & FS_SET_MTIME) != 0)
		inode->mtime = set->mtime;
	if ((which & FS_SET_ATIME_NOW) != 0)
		inode->atime = change->now;
	if ((which & FS_SET_MTIME_NOW) != 0)
		inode->mtime = change->now;
	inode->ctime = (which & FS_SET_CTIME) != 0 ? set->ctime : change->now;
}

void inode_attr(const struct inode *inode, struct fs_attr *attr)
{
	*attr = (struct fs_attr){
	    .ino = inode->ino,
	    .mode = inode->mode,
	    .nlink = inode->nlink,
	    .uid = inode->uid,
	    .gid = inode->gid,
	    .rdev = inode->rdev,
	    .size = inode->size,
	    .blocks = inode->alloc_bytes / 512,
	    .atime = inode->atime,
	    .mtime = inode->mtime,
	    .ctime = inode->ctime,
	    .btime = inode->btime,
	};
}

/* ---- atime --------------------------------------------------------------- */

static bool is_after(struct timespec a, struct timespec b)
{
	if (a.tv_sec != b.tv_sec)
		return a.tv_sec > b.tv_sec;
	return a.tv_nsec > b.tv_nsec;
}

static bool atime_is_stale(const struct inode *inode, struct timespec now)
{
	return !is_after(inode->atime, inode->mtime) ||
	       !is_after(inode->atime, inode->ctime) ||
	       inode->atime.tv_sec < now.tv_sec - RELATIME_S;
}

static void move_atime(struct change *change, uint64_t ino)
{
	struct inode inode;

	if (inode_load(change->fs, NULL, ino, &inode) != 0 ||
	    !atime_is_stale(&inode, change->now))
		return;
	inode.atime = change->now;
	inode_save(change, &inode);
	/* A read does not fail because its time could not be noted. */
	(void)change_commit(change);
}

void inode_accessed(struct fs *fs, const struct inode *inode)
{
	struct fs_op op = {0};
	struct ilock_set locks;
	struct change change;
	uint64_t credit;

	if (inode_is_dir(inode) ? fs->holds_dir_atime : fs->holds_atime)
		return;
	if (fs->read_only || !atime_is_stale(inode, fs_now()))
		return;
	credit = lsm_admission_bound(fs->store, 1,
	                             SCHEMA_INODE_BYTES + SCHEMA_KEY_MAX_BYTES);
	if (!lsm_try_admit(fs->store, credit, false, &op.admission))
		return;
	if (change_begin(&change, fs, &op, credit, false) != 0)
		return;
	ilock_set_init(&locks);
	ilock_set_add(&locks, inode->ino);
	if (ilock_try(&fs->locks, &locks)) {
		move_atime(&change, inode->ino);
		ilock_release(&fs->locks, &locks);
	}
	change_end(&change);
}

/* ---- the public ones ----------------------------------------------------- */

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr)
{
	struct inode inode;
	int err;

	err = inode_load(fs, NULL, ino, &inode);
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}

/* With the lock. EAGAIN: it has an ACL, which the credit does not suffice for. */
static int set_locked(struct change *change, uint64_t ino, unsigned which,
                      const struct fs_attr *set, struct fs_attr *attr)
{
	struct inode inode;
	int err = inode_load(change->fs, NULL, ino, &inode);

	if (err != 0)
		return err;
	inode_apply(change, &inode, which, set);
	inode_save(change, &inode);
	if ((which & FS_SET_MODE) != 0)
		err = acl_follow_mode(change, &inode);
	if (err != 0)
		return err;
	if (!change_fits(change))
		return EAGAIN;
	err = change_commit(change);
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}

static int set_attributes(struct fs *fs, struct fs_op *op, uint64_t ino,
                          unsigned which, const struct fs_attr *set,
                          struct fs_attr *attr)
{
	uint64_t credit = fs_credit(fs, FS_CREDIT_ATTR, 0);
	struct ilock_set locks;
	struct change change;
	int err;

	do {
		err = change_begin(&change, fs, op, credit, false);
		if (err != 0)
			return err;
		ilock_set_init(&locks);
		ilock_set_add(&locks, ino);
		ilock_acquire(&fs->locks, &locks);
		err = set_locked(&change, ino, which, set, attr);
		ilock_release(&fs->locks, &locks);
		change_end(&change);
		credit = fs_credit(fs, FS_CREDIT_XATTR, ACL_MAX_BYTES);
	} while (err == EAGAIN);
	return err;
}

int fs_setattr(struct fs *fs, struct fs_op *op, uint64_t ino, unsigned which,
               const struct fs_attr *set, struct fs_attr *attr)
{
	if ((which & FS_SET_SIZE) != 0)
		return data_set_size(fs, op, ino, which, set, attr);
	return set_attributes(fs, op, ino, which, set, attr);
}
