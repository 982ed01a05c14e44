/* SPDX-License-Identifier: MIT */
#include "fs/dir.h"

#include <errno.h>

#include "base/log.h"
#include "fs/inode.h"

enum { SLOT_MASK = SCHEMA_SLOTS - 1 };

/* ---- entries ------------------------------------------------------------- */

uint64_t dir_cookie(const struct fs *fs, struct slice name)
{
	return schema_cookie(fs->owner.secret, fs->hash_mask, name);
}

/* Errors: NOT_FOUND, CORRUPT and what a get can meet. */
static enum lsm_err get_entry(struct fs *fs, const struct lsm_snapshot *snap,
                              uint64_t dir, uint64_t cookie, struct buf *value,
                              struct schema_dirent *entry)
{
	struct schema_key key;
	enum lsm_err err;

	schema_dirent_key(&key, dir, cookie);
	err = lsm_get(fs->store, snap, schema_slice(&key), value);
	if (err != LSM_OK)
		return err;
	err = schema_decode_dirent(buf_slice(value), entry);
	if (err != LSM_OK)
		log_error("directory %llu: the entry at %llu cannot be read",
		          (unsigned long long)dir, (unsigned long long)cookie);
	return err;
}

int dir_find(struct fs *fs, const struct lsm_snapshot *snap, uint64_t dir,
             struct slice name, struct dir_spot *spot)
{
	uint64_t first = dir_cookie(fs, name);
	struct buf value = BUF_INIT;
	enum lsm_err err = LSM_OK;

	*spot = (struct dir_spot){0};
	for (uint64_t c = first; c < first + SCHEMA_SLOTS; c++) {
		struct schema_dirent entry;

		err = get_entry(fs, snap, dir, c, &value, &entry);
		if (err == LSM_ERR_NOT_FOUND && spot->cookie == 0)
			spot->cookie = c;
		if (err != LSM_OK)
			break;
		if (entry.ino != 0 && slice_equal(entry.name, name)) {
			spot->found = true;
			spot->cookie = c;
			spot->ino = entry.ino;
			spot->type = entry.type;
			break;
		}
		spot->collided = true;
		if (entry.ino == 0 && spot->cookie == 0)
			spot->cookie = c;
	}
	spot->full = spot->cookie == 0;
	buf_release(&value);
	return err == LSM_ERR_NOT_FOUND ? 0 : fs_errno(err);
}

void dir_put(struct change *change, uint64_t dir, uint64_t cookie,
             struct slice name, const struct inode *inode)
{
	struct schema_dirent entry = {
	    .ino = inode->ino,
	    .type = inode->mode & S_IFMT,
	    .name = name,
	};
	struct buf value = BUF_INIT;
	struct schema_key key;

	schema_dirent_key(&key, dir, cookie);
	change_note(change, schema_encode_dirent(&value, &entry));
	change_put(change, &key, buf_slice(&value));
	buf_release(&value);
}

static void put_hole(struct change *change, const struct schema_key *key)
{
	static const uint8_t hole[SCHEMA_DIRENT_HEAD_BYTES];

	change_put(change, key, slice_make(hole, sizeof(hole)));
}

int dir_remove(struct change *change, uint64_t dir, uint64_t cookie)
{
	struct buf value = BUF_INIT;
	struct schema_dirent entry;
	struct schema_key key;
	enum lsm_err err = LSM_ERR_NOT_FOUND;

	schema_dirent_key(&key, dir, cookie);
	if ((cookie & SLOT_MASK) != SLOT_MASK)
		err = get_entry(change->fs, NULL, dir, cookie + 1, &value,
		                &entry);
	if (err == LSM_OK)
		put_hole(change, &key);
	if (err != LSM_ERR_NOT_FOUND)
		goto out;
	change_delete(change, &key);
	/* Holes that have nothing above them now go too. */
	for (err = LSM_OK; (cookie & SLOT_MASK) != 0; cookie--) {
		err = get_entry(change->fs, NULL, dir, cookie - 1, &value,
		                &entry);
		if (err != LSM_OK || entry.ino != 0)
			break;
		schema_dirent_key(&key, dir, cookie - 1);
		change_delete(change, &key);
	}
out:
	buf_release(&value);
	return fs_errno(err == LSM_ERR_NOT_FOUND ? LSM_ERR_CORRUPT : err);
}

int dir_is_empty(struct fs *fs, const struct inode *dir, bool *empty_out)
{
	struct schema_key lower, upper;
	struct lsm_iter *iter = NULL;
	enum lsm_err err;

	*empty_out = false;
	if (dir->size > 0)
		return 0;
	/* The record says so; losing what is below would be worse than a look.
	 */
	schema_dirent_key(&lower, dir->ino, 0);
	schema_dirent_key(&upper, dir->ino, UINT64_MAX);
	err = lsm_iter_create(fs->store, NULL, schema_slice(&lower),
	                      schema_slice(&upper), &iter);
	if (err != LSM_OK)
		return fs_errno(err);
	lsm_iter_seek(iter, schema_slice(&lower));
	*empty_out = !lsm_iter_valid(iter);
	err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	if (err == LSM_OK && !*empty_out)
		log_error("directory %llu has entries, but counts none",
		          (unsigned long long)dir->ino);
	return fs_errno(err);
}

/* ---- names --------------------------------------------------------------- */

int dir_check_name(struct slice name)
{
	if (name.len == 0)
		return ENOENT;
	if (name.len > FS_NAME_MAX_BYTES)
		return ENAMETOOLONG;
	if (memchr(name.data, '/', name.len) != NULL ||
	    memchr(name.data, 0, name.len) != NULL)
		return EINVAL;
	return 0;
}

bool dir_is_dots(struct slice name)
{
	return slice_equal(name, slice_str(".")) ||
	       slice_equal(name, slice_str(".."));
}

bool dir_is_reserved(uint64_t dir, struct slice name)
{
	return dir == FS_ROOT_INO && (slice_equal(name, slice_str(".snap")) ||
	                              slice_equal(name, slice_str(".fork")));
}

int dir_load(struct fs *fs, uint64_t ino, struct inode *dir)
{
	int err = inode_load_dir(fs, NULL, ino, dir);

	if (err == 0 && dir->nlink == 0)
		err = ENOENT;
	return err;
}

/* ---- lookup -------------------------------------------------------------- */

/* An inode by its number, or a directory's parent: for who holds a handle. What
   has lost its last name is found by none that does not hold it open. */
static int lookup_dots(struct fs *fs, uint64_t ino, struct slice name,
                       struct inode *inode)
{
	int err;

	if (name.len == 1)
		err = inode_load(fs, NULL, ino, inode);
	else
		err = inode_load_dir(fs, NULL, ino, inode);
	if (err == 0 && inode->nlink == 0)
		err = ESTALE;
	if (err == 0 && name.len == 2)
		err = inode_load(fs, NULL, inode->parent, inode);
	return err;
}

/* *sure: what was found out cannot be the work of somebody in between. */
static int lookup_as_of(struct fs *fs, const struct lsm_snapshot *snap,
                        uint64_t dir, struct slice name, struct inode *inode,
                        bool *sure)
{
	struct dir_spot spot;
	int err;

	*sure = true;
	err = dir_find(fs, snap, dir, name, &spot);
	if (err != 0)
		return err;
	if (spot.found) {
		err = inode_load(fs, snap, spot.ino, inode);
		*sure = err != ESTALE;
		return err;
	}
	*sure = !spot.collided;
	err = inode_load_dir(fs, snap, dir, inode);
	return err == 0 ? ENOENT : err;
}

int fs_lookup(struct fs *fs, uint64_t dir, struct slice name,
              struct fs_attr *attr)
{
	struct lsm_snapshot *snap = NULL;
	struct inode inode;
	bool sure;
	int err;

	err = dir_check_name(name);
	if (err != 0)
		return err;
	if (dir_is_dots(name)) {
		err = lookup_dots(fs, dir, name, &inode);
		goto out;
	}
	err = lookup_as_of(fs, NULL, dir, name, &inode, &sure);
	if (sure)
		goto out;
	err = fs_errno(lsm_snapshot_take(fs->store, &snap));
	if (err != 0)
		return err;
	err = lookup_as_of(fs, snap, dir, name, &inode, &sure);
	lsm_snapshot_release(fs->store, snap);
	if (err == ESTALE && !sure) {
		log_error("directory %llu names an inode that does not exist",
		          (unsigned long long)dir);
		err = EIO;
	}
out:
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}

/* ---- new entries --------------------------------------------------------- */

struct creation {
	uint64_t dir;
	struct slice name;
	uint32_t mode;
	uint64_t rdev;
	struct slice target; /* of a symlink */
};

/* Load the directory, and find where in it the name goes. Errors: EEXIST,
   ENOSPC, those of dir_load(). */
static int find_place(struct fs *fs, uint64_t dir, struct slice name,
                      struct inode *inode, struct dir_spot *spot)
{
	int err;

	err = dir_load(fs, dir, inode);
	if (err == 0)
		err = dir_find(fs, NULL, dir, name, spot);
	if (err != 0)
		return err;
	if (spot->found)
		return EEXIST;
	return spot->full ? ENOSPC : 0;
}

static int create_locked(struct change *change, const struct fs_op *op,
                         const struct creation *what, struct inode *inode)
{
	struct schema_key key;
	struct dir_spot spot;
	struct inode dir;
	int err;

	err = find_place(change->fs, what->dir, what->name, &dir, &spot);
	if (err != 0)
		return err;
	err = inode_make(change, op, &dir, what->mode, inode);
	if (err != 0)
		return err;
	inode->rdev = what->rdev;
	if (S_ISLNK(what->mode)) {
		inode->size = what->target.len;
		schema_inode_key(&key, inode->ino, SCHEMA_SYMLINK);
		change_put(change, &key, what->target);
	}
	inode_save(change, inode);
	dir_put(change, dir.ino, spot.cookie, what->name, inode);
	inode_dir_changed(change, &dir, 1, inode_is_dir(inode) ? 1 : 0);
	return change_commit(change);
}

static int check_new_name(uint64_t dir, struct slice name)
{
	int err = dir_check_name(name);

	if (err == 0 && (dir_is_dots(name) || dir_is_reserved(dir, name)))
		err = EEXIST;
	return err;
}

static int create(struct fs *fs, struct fs_op *op, const struct creation *what,
                  struct fs_attr *attr)
{
	struct ilock_set locks;
	struct change change;
	struct inode inode;
	int err;

	err = check_new_name(what->dir, what->name);
	if (err != 0)
		return change_refuse(op, err);
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   false);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, what->dir);
	ilock_acquire(&fs->locks, &locks);
	err = create_locked(&change, op, what, &inode);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}

int fs_mknod(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             uint32_t mode, uint64_t rdev, struct fs_attr *attr)
{
	struct creation what = {.dir = dir, .name = name, .mode = mode};

	switch (mode & S_IFMT) {
	case S_IFCHR:
	case S_IFBLK:
		what.rdev = rdev;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return change_refuse(op, EINVAL);
	}
	return create(fs, op, &what, attr);
}

int fs_mkdir(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             uint32_t mode, struct fs_attr *attr)
{
	struct creation what = {
	    .dir = dir,
	    .name = name,
	    .mode = S_IFDIR | (mode & 07777),
	};

	return create(fs, op, &what, attr);
}

int fs_symlink(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
               struct slice target, struct fs_attr *attr)
{
	struct creation what = {
	    .dir = dir,
	    .name = name,
	    .mode = S_IFLNK | 0777,
	    .target = target,
	};

	if (target.len == 0)
		return change_refuse(op, ENOENT);
	if (target.len > FS_SYMLINK_MAX_BYTES)
		return change_refuse(op, ENAMETOOLONG);
	return create(fs, op, &what, attr);
}

int fs_readlink(struct fs *fs, uint64_t ino, struct buf *target)
{
	struct schema_key key;
	struct inode inode;
	enum lsm_err failure;
	int err;

	err = inode_load(fs, NULL, ino, &inode);
	if (err != 0)
		return err;
	if (!S_ISLNK(inode.mode))
		return EINVAL;
	schema_inode_key(&key, ino, SCHEMA_SYMLINK);
	failure = lsm_get(fs->store, NULL, schema_slice(&key), target);
	if (failure == LSM_ERR_NOT_FOUND ||
	    (failure == LSM_OK && target->len != inode.size)) {
		log_error("symlink %llu: its target is not as long as it says",
		          (unsigned long long)ino);
		failure = LSM_ERR_CORRUPT;
	}
	if (failure == LSM_OK)
		inode_accessed(fs, &inode);
	return fs_errno(failure);
}

static int tmpfile_locked(struct change *change, const struct fs_op *op,
                          uint64_t dir, uint32_t mode, struct inode *inode)
{
	struct inode parent;
	struct schema_key key;
	int err;

	err = dir_load(change->fs, dir, &parent);
	if (err == 0)
		err = inode_make(change, op, &parent, mode, inode);
	if (err != 0)
		return err;
	inode->nlink = 0;
	inode->flags |= SCHEMA_IS_ORPHAN | SCHEMA_IS_LINKABLE;
	inode_save(change, inode);
	schema_orphan_key(&key, inode->ino);
	change_put(change, &key, slice_make(NULL, 0));
	return change_commit(change);
}

int fs_tmpfile(struct fs *fs, struct fs_op *op, uint64_t dir, uint32_t mode,
               struct fs_attr *attr)
{
	struct change change;
	struct inode inode;
	int err;

	if (!S_ISREG(mode))
		return change_refuse(op, EINVAL);
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   false);
	if (err != 0)
		return err;
	err = tmpfile_locked(&change, op, dir, mode, &inode);
	change_end(&change);
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}

static int link_locked(struct change *change, uint64_t ino, uint64_t dir,
                       struct slice name, struct inode *inode)
{
	struct dir_spot spot;
	struct inode parent;
	int err;

	err = inode_load(change->fs, NULL, ino, inode);
	if (err != 0)
		return err;
	if (inode_is_dir(inode))
		return EPERM;
	err = find_place(change->fs, dir, name, &parent, &spot);
	if (err != 0)
		return err;
	if (inode->nlink == 0 && (inode->flags & SCHEMA_IS_LINKABLE) == 0)
		return ENOENT;
	if (inode->nlink >= FS_LINK_MAX)
		return EMLINK;
	inode->parent = dir;
	inode_gain_name(change, inode);
	dir_put(change, dir, spot.cookie, name, inode);
	inode_dir_changed(change, &parent, 1, 0);
	return change_commit(change);
}

int fs_link(struct fs *fs, struct fs_op *op, uint64_t ino, uint64_t dir,
            struct slice name, struct fs_attr *attr)
{
	struct ilock_set locks;
	struct change change;
	struct inode inode;
	int err;

	err = check_new_name(dir, name);
	if (err != 0)
		return change_refuse(op, err);
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   false);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, ino);
	ilock_set_add(&locks, dir);
	ilock_acquire(&fs->locks, &locks);
	err = link_locked(&change, ino, dir, name, &inode);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	if (err == 0)
		inode_attr(&inode, attr);
	return err;
}
