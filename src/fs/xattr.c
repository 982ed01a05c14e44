/* SPDX-License-Identifier: MIT */
/*
 * xattr.c: extended attributes: one key each, beside the inode's record, which
 * has a flag when there is any, so that the commonest question, for one of a
 * file that has none, is answered without a look.
 */
#include <errno.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/change.h"
#include "fs/inode.h"

enum { LIST_MAX_BYTES = 65536 }; /* all names of an inode, each with its NUL */

/* Errors: ERANGE (length), EOPNOTSUPP (not one of the namespaces we keep, and no
   ACL), EINVAL (nothing after the namespace). */
static int check_name(struct slice name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};

	if (name.len == 0 || name.len > SCHEMA_NAME_MAX_BYTES)
		return ERANGE;
	if (memchr(name.data, 0, name.len) != NULL)
		return EINVAL;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		struct slice space = slice_str(spaces[i]);

		if (slice_starts_with(name, space))
			return name.len > space.len ? 0 : EINVAL;
	}
	return acl_is_name(name) ? 0 : EOPNOTSUPP;
}

static bool has_any(const struct inode *inode)
{
	return (inode->flags & SCHEMA_HAS_XATTR) != 0;
}

/*
 * The names of an inode, each with its NUL, into *names (NULL: not wanted), and
 * the bytes of them.
 */
static int list_names(struct fs *fs, const struct lsm_snapshot *snap,
                      uint64_t ino, struct buf *names, size_t *bytes_out)
{
	struct schema_key lower, upper;
	struct lsm_iter *iter = NULL;
	enum lsm_err err;

	*bytes_out = 0;
	schema_xattr_key(&lower, ino, slice_make(NULL, 0));
	schema_inode_key(&upper, ino, (enum schema_part)(SCHEMA_XATTR + 1));
	err = lsm_iter_create(fs->store, snap, schema_slice(&lower),
	                      schema_slice(&upper), &iter);
	if (err != LSM_OK)
		return fs_errno(err);
	lsm_iter_seek(iter, schema_slice(&lower));
	while (err == LSM_OK && lsm_iter_valid(iter)) {
		struct schema_inode_part part;

		err = schema_decode_inode_key(lsm_iter_key(iter), &part);
		if (err != LSM_OK)
			break;
		*bytes_out += part.name.len + 1;
		if (names != NULL) {
			err = buf_append_slice(names, part.name);
			if (err == LSM_OK)
				err = buf_append(names, "", 1);
		}
		lsm_iter_next(iter);
	}
	if (err == LSM_OK)
		err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return fs_errno(err);
}

int fs_getxattr(struct fs *fs, uint64_t ino, struct slice name,
                struct buf *value)
{
	struct schema_key key;
	struct inode inode;
	enum lsm_err failure;
	int err;

	err = check_name(name);
	if (err == 0)
		err = inode_load(fs, NULL, ino, &inode);
	if (err != 0)
		return err;
	if (!has_any(&inode))
		return ENODATA;
	schema_xattr_key(&key, ino, name);
	failure = lsm_get(fs->store, NULL, schema_slice(&key), value);
	return failure == LSM_ERR_NOT_FOUND ? ENODATA : fs_errno(failure);
}

int fs_listxattr(struct fs *fs, uint64_t ino, struct buf *names)
{
	struct inode inode;
	size_t bytes;
	int err;

	buf_clear(names);
	err = inode_load(fs, NULL, ino, &inode);
	if (err != 0 || !has_any(&inode))
		return err;
	return list_names(fs, NULL, ino, names, &bytes);
}

/* ---- changing ------------------------------------------------------------ */

struct xattr_change {
	uint64_t ino;
	struct slice name;
	struct slice value;
	int flags;
	bool removes;
	bool sheds_setgid;
};

/* Whether the name is there now. */
static int find(struct fs *fs, const struct schema_key *key, bool *found_out)
{
	struct buf value = BUF_INIT;
	enum lsm_err err;

	err = lsm_get(fs->store, NULL, schema_slice(key), &value);
	buf_release(&value);
	*found_out = err == LSM_OK;
	return err == LSM_ERR_NOT_FOUND ? 0 : fs_errno(err);
}

static int set_locked(struct change *change, const struct xattr_change *what,
                      struct inode *inode, bool found)
{
	size_t bytes = 0;
	int err = 0;

	if (found && (what->flags & XATTR_CREATE) != 0)
		return EEXIST;
	if (!found && (what->flags & XATTR_REPLACE) != 0)
		return ENODATA;
	if (!found && has_any(inode))
		err = list_names(change->fs, NULL, what->ino, NULL, &bytes);
	if (err == 0 && bytes + what->name.len + 1 > LIST_MAX_BYTES)
		err = ENOSPC;
	inode->flags |= SCHEMA_HAS_XATTR;
	return err;
}

static int remove_locked(struct change *change, const struct xattr_change *what,
                         struct inode *inode, bool found)
{
	size_t bytes;
	int err;

	if (!found)
		return ENODATA;
	err = list_names(change->fs, NULL, what->ino, NULL, &bytes);
	if (err == 0 && bytes == what->name.len + 1)
		inode->flags &= (uint16_t)~SCHEMA_HAS_XATTR;
	return err;
}

/* What the ACL does to the inode. *removes: it says no more than the mode then.
   Errors: EOPNOTSUPP, EACCES. */
static int take_acl(struct inode *inode, const struct xattr_change *what,
                    bool *removes)
{
	if (S_ISLNK(inode->mode))
		return EOPNOTSUPP;
	if (acl_is_empty(what->value))
		*removes = true;
	if (!slice_equal(what->name, slice_str(ACL_ACCESS_NAME)))
		return S_ISDIR(inode->mode) || *removes ? 0 : EACCES;
	if (!*removes)
		*removes = acl_give_mode(what->value, &inode->mode);
	if (what->sheds_setgid)
		inode->mode &= ~(uint32_t)S_ISGID;
	return 0;
}

static int change_locked(struct change *change, const struct xattr_change *what)
{
	bool is_acl = acl_is_name(what->name);
	bool removes = what->removes;
	struct schema_key key;
	struct inode inode;
	bool found;
	int err;

	schema_xattr_key(&key, what->ino, what->name);
	err = inode_load(change->fs, NULL, what->ino, &inode);
	if (err == 0)
		err = find(change->fs, &key, &found);
	if (err == 0 && is_acl && !removes)
		err = take_acl(&inode, what, &removes);
	/* To remove an ACL that is not there is no mistake. */
	if (err == 0 && removes && (found || !is_acl))
		err = remove_locked(change, what, &inode, found);
	if (err == 0 && !removes)
		err = set_locked(change, what, &inode, found);
	if (err != 0)
		return err;
	if (!removes)
		change_put(change, &key, what->value);
	else if (found)
		change_delete(change, &key);
	inode.ctime = change->now;
	inode_save(change, &inode);
	return change_commit(change);
}

static int run(struct fs *fs, struct fs_op *op, const struct xattr_change *what)
{
	struct ilock_set locks;
	struct change change;
	int err;

	err = check_name(what->name);
	if (err != 0)
		return change_refuse(op, err);
	err = change_begin(&change, fs, op,
	                   fs_credit(fs, FS_CREDIT_XATTR, what->value.len),
	                   what->removes);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, what->ino);
	ilock_acquire(&fs->locks, &locks);
	err = change_locked(&change, what);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	return err;
}

int fs_setxattr(struct fs *fs, struct fs_op *op, uint64_t ino,
                struct slice name, struct slice value, int flags)
{
	struct xattr_change what = {
	    .ino = ino,
	    .name = name,
	    .value = value,
	    .flags = flags,
	    .sheds_setgid = op->sheds_setgid,
	};
	int err = acl_is_name(name) ? acl_check(value) : 0;

	if (value.len > FS_XATTR_MAX_BYTES)
		err = E2BIG;
	if (err != 0)
		return change_refuse(op, err);
	if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0)
		return change_refuse(op, EINVAL);
	return run(fs, op, &what);
}

int fs_removexattr(struct fs *fs, struct fs_op *op, uint64_t ino,
                   struct slice name)
{
	struct xattr_change what = {.ino = ino, .name = name, .removes = true};

	return run(fs, op, &what);
}
