/* SPDX-License-Identifier: MIT */
/*
 * dir_rename.c: rename: from one name to another, with or without replacing
 * what has that name, or exchanging the two.
 *
 * Only a directory that changes its parent can close a circle. Such a move
 * holds ILOCK_MOVE, so that no parent pointer changes while it walks up from
 * the new parent to see that it does not pass the moved directory.
 */
#include "fs/dir.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "fs/inode.h"

enum {
	DEPTH_MAX = 1 << 20, /* deeper is a circle made by damage */
	FROM = 0,
	TO = 1,
};

struct move {
	struct change *change;
	unsigned flags;
	struct dir_name names[2];
	struct fs_victim victim;

	bool same_dir;
	bool has_target;
	/* Where same_dir, both are dirs[FROM]. */
	struct inode dirs[2];
	struct inode moved;
	struct inode target;
};

static struct inode *to_dir(struct move *move)
{
	return &move->dirs[move->same_dir ? FROM : TO];
}

/* ---- whether it may be --------------------------------------------------- */

/* EINVAL when `inode` is a directory and `below` is it or lies under it. */
static int check_circle(struct fs *fs, const struct inode *inode,
                        uint64_t below)
{
	if (!inode_is_dir(inode))
		return 0;
	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		struct inode dir;
		int err;

		if (below == inode->ino)
			return EINVAL;
		if (below == FS_ROOT_INO)
			return 0;
		err = inode_load_dir(fs, NULL, below, &dir);
		if (err != 0)
			return err;
		below = dir.parent;
	}
	log_error("inode %llu: its parents do not lead to the root",
	          (unsigned long long)below);
	return EIO;
}

static int load_dirs(struct move *move)
{
	struct fs *fs = move->change->fs;
	int err;

	move->same_dir = move->names[FROM].dir == move->names[TO].dir;
	err = dir_load(fs, move->names[FROM].dir, &move->dirs[FROM]);
	if (err == 0 && !move->same_dir)
		err = dir_load(fs, move->names[TO].dir, &move->dirs[TO]);
	return err;
}

static int load_inodes(struct move *move)
{
	struct fs *fs = move->change->fs;
	int err;

	if (!move->names[FROM].spot.found)
		return ENOENT;
	move->has_target = move->names[TO].spot.found;
	if (move->has_target && (move->flags & RENAME_NOREPLACE) != 0)
		return EEXIST;
	if (!move->has_target && (move->flags & RENAME_EXCHANGE) != 0)
		return ENOENT;
	err = dir_load_entry(fs, &move->names[FROM], &move->moved);
	if (err == 0 && move->has_target)
		err = dir_load_entry(fs, &move->names[TO], &move->target);
	return err;
}

static int check_replace(struct move *move)
{
	bool empty;
	int err;

	if (!inode_is_dir(&move->target))
		return inode_is_dir(&move->moved) ? ENOTDIR : 0;
	if (!inode_is_dir(&move->moved))
		return EISDIR;
	err = dir_is_empty(move->change->fs, &move->target, &empty);
	return err == 0 && !empty ? ENOTEMPTY : err;
}

static int check_circles(struct move *move)
{
	struct fs *fs = move->change->fs;
	int err;

	if (move->same_dir)
		return 0;
	err = check_circle(fs, &move->moved, move->names[TO].dir);
	if (err == 0 && (move->flags & RENAME_EXCHANGE) != 0)
		err = check_circle(fs, &move->target, move->names[FROM].dir);
	return err;
}

/* ---- doing it ------------------------------------------------------------ */

static bool is_same_hash(const struct move *move)
{
	const struct fs *fs = move->change->fs;

	return move->same_dir && dir_cookie(fs, move->names[FROM].name) ==
	                             dir_cookie(fs, move->names[TO].name);
}

static void set_parent(struct move *move, struct inode *inode, int where)
{
	inode->parent = move->names[where].dir;
	inode->ctime = move->change->now;
	inode_save(move->change, inode);
}

/* The entry at the new name, and none at the old one. */
static int move_entry(struct move *move)
{
	const struct dir_name *from = &move->names[FROM];
	const struct dir_name *to = &move->names[TO];

	/* A free slot among names of one hash was chosen with the old name in
	   its place: the new one takes that instead. */
	if (!move->has_target && is_same_hash(move)) {
		dir_put(move->change, to->dir, from->spot.cookie, to->name,
		        &move->moved);
		return 0;
	}
	if (!move->has_target && to->spot.full)
		return ENOSPC;
	dir_put(move->change, to->dir, to->spot.cookie, to->name, &move->moved);
	return dir_remove(move->change, from->dir, from->spot.cookie);
}

static int replace(struct move *move)
{
	int moved_dirs = inode_is_dir(&move->moved) ? 1 : 0;
	int lost = move->has_target ? 1 : 0;
	int lost_dirs = move->has_target && inode_is_dir(&move->target) ? 1 : 0;
	int err;

	err = move_entry(move);
	if (err != 0)
		return err;
	set_parent(move, &move->moved, TO);
	if (move->has_target)
		inode_lose_name(move->change, &move->target, &move->victim);
	if (move->same_dir) {
		inode_dir_changed(move->change, to_dir(move), -lost,
		                  -lost_dirs);
	} else {
		inode_dir_changed(move->change, &move->dirs[FROM], -1,
		                  -moved_dirs);
		inode_dir_changed(move->change, to_dir(move), 1 - lost,
		                  moved_dirs - lost_dirs);
	}
	return change_commit(move->change);
}

static int exchange(struct move *move)
{
	const struct dir_name *from = &move->names[FROM];
	const struct dir_name *to = &move->names[TO];
	int dirs = (inode_is_dir(&move->target) ? 1 : 0) -
	           (inode_is_dir(&move->moved) ? 1 : 0);

	dir_put(move->change, to->dir, to->spot.cookie, to->name, &move->moved);
	dir_put(move->change, from->dir, from->spot.cookie, from->name,
	        &move->target);
	set_parent(move, &move->moved, TO);
	set_parent(move, &move->target, FROM);
	inode_dir_changed(move->change, &move->dirs[FROM], 0,
	                  move->same_dir ? 0 : dirs);
	if (!move->same_dir)
		inode_dir_changed(move->change, to_dir(move), 0, -dirs);
	return change_commit(move->change);
}

static int rename_locked(struct move *move)
{
	int err;

	err = load_dirs(move);
	if (err == 0)
		err = load_inodes(move);
	if (err != 0)
		return err;
	if (move->has_target && move->moved.ino == move->target.ino)
		return 0; /* two names of one file: POSIX has both stay */
	err = check_circles(move);
	if (err != 0)
		return err;
	if ((move->flags & RENAME_EXCHANGE) != 0)
		return exchange(move);
	if (move->has_target)
		err = check_replace(move);
	return err == 0 ? replace(move) : err;
}

static int check_names(const struct move *move)
{
	const struct dir_name *from = &move->names[FROM];
	const struct dir_name *to = &move->names[TO];
	int err;

	if (move->flags != 0 && move->flags != RENAME_NOREPLACE &&
	    move->flags != RENAME_EXCHANGE)
		return EINVAL;
	err = dir_check_name(from->name);
	if (err == 0)
		err = dir_check_name(to->name);
	if (err != 0)
		return err;
	if (dir_is_dots(from->name) || dir_is_dots(to->name))
		return EBUSY;
	return dir_is_reserved(to->dir, to->name) ? EEXIST : 0;
}

int fs_rename(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
              uint64_t new_dir, struct slice new_name, unsigned flags,
              struct fs_victim *victim)
{
	struct change change;
	struct move move = {
	    .change = &change,
	    .flags = flags,
	    .names = {{.dir = dir, .name = name},
	              {.dir = new_dir, .name = new_name}},
	};
	struct ilock_set locks;
	int err;

	*victim = (struct fs_victim){0};
	err = check_names(&move);
	if (err != 0)
		return change_refuse(op, err);
	/* What it replaces may be what makes room on a full disk. */
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   true);
	if (err != 0)
		return err;
	err = dir_lock_names(fs, &locks, move.names, 2);
	if (err == 0)
		err = rename_locked(&move);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	if (err == 0)
		*victim = move.victim;
	return err;
}
