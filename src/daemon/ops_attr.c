/* SPDX-License-Identifier: MIT */
/* ops_attr.c: operations on attributes. */
#include "daemon/ops.h"

#include <errno.h>
#include <sys/statvfs.h>

static const double ATTR_TIMEOUT_SECONDS = 86400.0;

enum { STATFS_BLOCK_BYTES = 4096 };

static void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr)
{
	struct stat st;

	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_stat(attr, &st);
	fuse_reply_attr(req, &st, ATTR_TIMEOUT_SECONDS);
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_GETATTR);
	struct fs_attr attr;
	int err;

	(void)fi;
	err = fs_getattr(ops->fs, ino, &attr);
	reply_attr(req, err, &attr);
}

/* libfuse's flags for setattr as those of fs/. */
static unsigned which_of(int to_set)
{
	static const struct {
		int theirs;
		unsigned ours;
	} pairs[] = {
	    {FUSE_SET_ATTR_MODE, FS_SET_MODE},
	    {FUSE_SET_ATTR_UID, FS_SET_UID},
	    {FUSE_SET_ATTR_GID, FS_SET_GID},
	    {FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
	    {FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
	    {FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
	    {FUSE_SET_ATTR_CTIME, FS_SET_CTIME},
	    {FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
	    {FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
	};
	unsigned which = 0;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if ((to_set & pairs[i].theirs) != 0)
			which |= pairs[i].ours;
	}
	/* "Now" comes with the plain flag; one of the two is enough. */
	if ((which & FS_SET_ATIME_NOW) != 0)
		which &= ~(unsigned)FS_SET_ATIME;
	if ((which & FS_SET_MTIME_NOW) != 0)
		which &= ~(unsigned)FS_SET_MTIME;
	return which;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                 struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_SETATTR);
	struct fs_attr set = {
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size = (uint64_t)st->st_size,
	    .atime = st->st_atim,
	    .mtime = st->st_mtim,
	    .ctime = st->st_ctim,
	};
	struct fs_attr attr;
	struct fs_op op;
	int err;

	(void)fi;
	if (!ops_take(req, &op))
		return;
	err = fs_setattr(ops->fs, &op, ino, which_of(to_set), &set, &attr);
	reply_attr(req, err, &attr);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *ops = ops_count(req, OPS_STATFS);
	struct fs_usage usage;
	struct statvfs st;
	int err;

	(void)ino;
	err = fs_statfs(ops->fs, &usage);
	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	st = (struct statvfs){
	    .f_bsize = STATFS_BLOCK_BYTES,
	    .f_frsize = STATFS_BLOCK_BYTES,
	    .f_blocks = usage.total_bytes / STATFS_BLOCK_BYTES,
	    .f_bfree = usage.free_bytes / STATFS_BLOCK_BYTES,
	    .f_bavail = usage.available_bytes / STATFS_BLOCK_BYTES,
	    .f_files = usage.inodes + usage.free_inodes,
	    .f_ffree = usage.free_inodes,
	    .f_favail = usage.free_inodes,
	    .f_namemax = FS_NAME_MAX_BYTES,
	};
	fuse_reply_statfs(req, &st);
}

/* ---- extended attributes ------------------------------------------------ */

/* `size` 0 asks how long the answer is. */
static void reply_bytes(fuse_req_t req, int err, const struct buf *bytes,
                        size_t size)
{
	if (err == 0 && size != 0 && bytes->len > size)
		err = ERANGE;
	if (err != 0)
		fuse_reply_err(req, err);
	else if (size == 0)
		fuse_reply_xattr(req, bytes->len);
	else
		fuse_reply_buf(req, (const char *)bytes->data, bytes->len);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                  const char *value, size_t size, int flags)
{
	struct ops *ops = ops_count(req, OPS_SETXATTR);
	struct fs_op op;

	if (!ops_take(req, &op))
		return;
	fuse_reply_err(req, fs_setxattr(ops->fs, &op, ino, slice_str(name),
	                                slice_make(value, size), flags));
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct ops *ops = ops_count(req, OPS_GETXATTR);
	struct buf *value = ops_scratch();
	int err;

	err = fs_getxattr(ops->fs, ino, slice_str(name), value);
	reply_bytes(req, err, value, size);
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct ops *ops = ops_count(req, OPS_LISTXATTR);
	struct buf *names = ops_scratch();
	int err;

	err = fs_listxattr(ops->fs, ino, names);
	reply_bytes(req, err, names, size);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct ops *ops = ops_count(req, OPS_REMOVEXATTR);
	struct fs_op op;

	if (!ops_take(req, &op))
		return;
	fuse_reply_err(req, fs_removexattr(ops->fs, &op, ino, slice_str(name)));
}

void ops_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct ops *ops = ops_count(req, OPS_ACCESS);
	struct fs_attr attr;

	/* With default_permissions, which is always on, the kernel has checked
	   the rights: what is left is whether the inode exists. */
	(void)mask;
	fuse_reply_err(req, fs_getattr(ops->fs, ino, &attr));
}
