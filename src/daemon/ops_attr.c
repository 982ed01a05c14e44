/* SPDX-License-Identifier: MIT */
/* ops_attr.c: operations on attributes. */
#include "daemon/ops.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "daemon/request.h"

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

/* The answer to STATX, as <linux/fuse.h> has it from Linux 6.6 on. */
struct statx_time {
	int64_t seconds;
	uint32_t nanoseconds;
	int32_t spare;
};

struct statx_answer {
	uint64_t valid_seconds;
	uint32_t valid_nanoseconds;
	uint32_t flags;
	uint64_t spare[2];

	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode;
	uint16_t spare_mode;
	uint64_t ino, size, blocks;
	uint64_t attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare_end[14];
};
_Static_assert(sizeof(struct statx_answer) == 288, "what the kernel reads");

static struct statx_time statx_time(struct timespec time)
{
	return (struct statx_time){
	    .seconds = time.tv_sec,
	    .nanoseconds = (uint32_t)time.tv_nsec,
	};
}

static void reply_statx(fuse_req_t req, const struct fs_attr *attr)
{
	struct stat st;
	struct statx_answer answer;

	ops_fill_stat(attr, &st);
	answer = (struct statx_answer){
	    .valid_seconds = (uint64_t)ATTR_TIMEOUT_SECONDS,
	    .mask = STATX_BASIC_STATS | STATX_BTIME,
	    .blksize = (uint32_t)st.st_blksize,
	    .nlink = attr->nlink,
	    .uid = attr->uid,
	    .gid = attr->gid,
	    .mode = (uint16_t)attr->mode,
	    .ino = attr->ino,
	    .size = attr->size,
	    .blocks = attr->blocks,
	    .atime = statx_time(attr->atime),
	    .btime = statx_time(attr->btime),
	    .ctime = statx_time(attr->ctime),
	    .mtime = statx_time(attr->mtime),
	    .rdev_major = major(attr->rdev),
	    .rdev_minor = minor(attr->rdev),
	};
	fuse_reply_buf(req, (const char *)&answer, sizeof(answer));
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	bool is_statx = ops_disguised() == REQUEST_STATX;
	struct ops *ops = ops_count(req, is_statx ? OPS_STATX : OPS_GETATTR);
	struct fs_attr attr;
	int err;

	(void)fi;
	err = fs_getattr(ops->fs, ino, &attr);
	if (err == 0 && is_statx)
		reply_statx(req, &attr);
	else
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

static bool is_in_group(fuse_req_t req, uint32_t gid)
{
	gid_t groups[256];
	int count;

	if (fuse_req_ctx(req)->gid == gid)
		return true;
	count = fuse_req_getgroups(
	    req, (int)(sizeof(groups) / sizeof(groups[0])), groups);
	for (int i = 0; i < count; i++) {
		if (i < (int)(sizeof(groups) / sizeof(groups[0])) &&
		    groups[i] == gid)
			return true;
	}
	return false;
}

/* Who is neither root nor in the group of the file, and sets its ACL, takes
   set-group-id off, as with chmod(2). The kernel leaves that to us. */
static bool sheds_setgid(fuse_req_t req, struct ops *ops, fuse_ino_t ino,
                         const char *name)
{
	struct fs_attr attr;

	return fuse_req_ctx(req)->uid != 0 &&
	       strcmp(name, "system.posix_acl_access") == 0 &&
	       fs_getattr(ops->fs, ino, &attr) == 0 &&
	       (attr.mode & S_ISGID) != 0 && !is_in_group(req, attr.gid);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                  const char *value, size_t size, int flags)
{
	struct ops *ops = ops_count(req, OPS_SETXATTR);
	struct fs_op op;

	if (!ops_take(req, &op))
		return;
	op.sheds_setgid = sheds_setgid(req, ops, ino, name);
	fuse_reply_err(req, fs_setxattr(ops->fs, &op, ino, slice_str(name),
	                                slice_make(value, size), flags));
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct ops *ops = ops_count(req, OPS_GETXATTR);
	struct buf *value = ops_scratch();
	int err;

	err = fs_getxattr(ops->fs, ino, slice_str(name), value);
	/* ls asks for the label of every file that it lists, each time, unless
	   it hears once that there are none here. The kernel caches none. */
	if (err == ENODATA && strcmp(name, "security.selinux") == 0)
		err = EOPNOTSUPP;
	reply_bytes(req, err, value, size);
}

/* Who may not read trusted xattrs is not shown them either. */
static void hide_trusted(struct buf *names)
{
	static const char space[] = "trusted.";
	size_t kept = 0;

	for (size_t at = 0, len; at < names->len; at += len) {
		const char *name = (const char *)names->data + at;

		len = strlen(name) + 1;
		if (strncmp(name, space, sizeof(space) - 1) == 0)
			continue;
		memmove(names->data + kept, name, len);
		kept += len;
	}
	names->len = kept;
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct ops *ops = ops_count(req, OPS_LISTXATTR);
	struct buf *names = ops_scratch();
	int err;

	err = fs_listxattr(ops->fs, ino, names);
	if (err == 0 && fuse_req_ctx(req)->uid != 0)
		hide_trusted(names);
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
