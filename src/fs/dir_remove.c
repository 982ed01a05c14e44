/* SPDX-License-Identifier: MIT */
/*
 * dir_remove.c: unlink, rmdir, and the locks of operations on names that exist.
 */
#include "fs/dir.h"

#include <errno.h>

#include "base/log.h"
#include "fs/inode.h"

/* ---- locks --------------------------------------------------------------- */

static int find_all(struct fs *fs, struct dir_name *names, size_t count)
{
	int err = 0;

	for (size_t i = 0; err == 0 && i < count; i++)
		err = dir_find(fs, NULL, names[i].dir, names[i].name,
		               &names[i].spot);
	return err;
}

static void name_locks(struct ilock_set *locks, const struct dir_name *names,
                       size_t count)
{
	bool moves = false;

	ilock_set_init(locks);
	for (size_t i = 0; i < count; i++) {
		ilock_set_add(locks, names[i].dir);
		if (names[i].spot.found)
			ilock_set_add(locks, names[i].spot.ino);
		if (S_ISDIR(names[i].spot.type) &&
		    names[i].dir != names[count - 1 - i].dir)
			moves = true;
	}
	if (moves)
		ilock_set_add(locks, ILOCK_MOVE);
}

int dir_lock_names(struct fs *fs, struct ilock_set *locks,
                   struct dir_name *names, size_t count)
{
	uint64_t seen[2] = {0, 0};
	bool agree;
	int err;

	ilock_set_init(locks);
	err = find_all(fs, names, count);
	if (err != 0)
		return err;
	do {
		for (size_t i = 0; i < count; i++)
			seen[i] = names[i].spot.ino;
		name_locks(locks, names, count);
		ilock_acquire(&fs->locks, locks);
		err = find_all(fs, names, count);
		agree = true;
		for (size_t i = 0; i < count; i++)
			agree = agree && seen[i] == names[i].spot.ino;
		if (err != 0 || !agree)
			ilock_release(&fs->locks, locks);
	} while (err == 0 && !agree);
	return err;
}

int dir_load_entry(struct fs *fs, const struct dir_name *name,
                   struct inode *inode)
{
	int err = inode_load(fs, NULL, name->spot.ino, inode);

	if (err == ESTALE) {
		log_error("directory %llu names inode %llu, which does not "
		          "exist",
		          (unsigned long long)name->dir,
		          (unsigned long long)name->spot.ino);
		err = EIO;
	}
	return err;
}

/* ---- unlink and rmdir ---------------------------------------------------- */

typedef int (*remove_fn)(struct change *change, const struct dir_name *name,
                         struct fs_victim *victim);

/* Whether a directory may go. Errors: ENOTEMPTY. */
static int check_empty(struct fs *fs, const struct inode *inode)
{
	bool empty;
	int err = dir_is_empty(fs, inode, &empty);

	return err == 0 && !empty ? ENOTEMPTY : err;
}

static int remove_entry(struct change *change, const struct dir_name *name,
                        struct inode *dir, struct inode *inode,
                        struct fs_victim *victim)
{
	int err;

	err = dir_remove(change, name->dir, name->spot.cookie);
	if (err != 0)
		return err;
	inode_dir_changed(change, dir, -1, inode_is_dir(inode) ? -1 : 0);
	inode_lose_name(change, inode, victim);
	return change_commit(change);
}

static int load_both(struct fs *fs, const struct dir_name *name,
                     struct inode *dir, struct inode *inode)
{
	int err = dir_load(fs, name->dir, dir);

	if (err == 0 && !name->spot.found)
		err = ENOENT;
	if (err == 0)
		err = dir_load_entry(fs, name, inode);
	return err;
}

static int unlink_locked(struct change *change, const struct dir_name *name,
                         struct fs_victim *victim)
{
	struct inode dir, inode;
	int err;

	err = load_both(change->fs, name, &dir, &inode);
	if (err != 0)
		return err;
	if (inode_is_dir(&inode))
		return EISDIR;
	return remove_entry(change, name, &dir, &inode, victim);
}

static int rmdir_locked(struct change *change, const struct dir_name *name,
                        struct fs_victim *victim)
{
	struct inode dir, inode;
	int err;

	err = load_both(change->fs, name, &dir, &inode);
	if (err != 0)
		return err;
	if (!inode_is_dir(&inode))
		return ENOTDIR;
	err = check_empty(change->fs, &inode);
	if (err != 0)
		return err;
	return remove_entry(change, name, &dir, &inode, victim);
}

static int run_remove(struct fs *fs, struct fs_op *op, struct dir_name *name,
                      struct fs_victim *victim, remove_fn remove_locked)
{
	struct fs_victim lost = {0};
	struct ilock_set locks;
	struct change change;
	int err;

	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   true);
	if (err != 0)
		return err;
	err = dir_lock_names(fs, &locks, name, 1);
	if (err == 0)
		err = remove_locked(&change, name, &lost);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	if (err == 0)
		*victim = lost;
	return err;
}

int fs_unlink(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
              struct fs_victim *victim)
{
	struct dir_name what = {.dir = dir, .name = name};
	int err = dir_check_name(name);

	*victim = (struct fs_victim){0};
	if (err == 0 && dir_is_dots(name))
		err = EISDIR;
	if (err != 0)
		return change_refuse(op, err);
	return run_remove(fs, op, &what, victim, unlink_locked);
}

int fs_rmdir(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             struct fs_victim *victim)
{
	struct dir_name what = {.dir = dir, .name = name};
	int err = dir_check_name(name);

	*victim = (struct fs_victim){0};
	if (err == 0 && dir_is_dots(name))
		err = name.len == 1 ? EINVAL : ENOTEMPTY;
	if (err != 0)
		return change_refuse(op, err);
	return run_remove(fs, op, &what, victim, rmdir_locked);
}
