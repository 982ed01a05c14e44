/* SPDX-License-Identifier: MIT */
/* ops_file.c: operations on the contents of files. */
#include "daemon/ops.h"

#include <errno.h>

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_OPEN);

	(void)ino;
	/* No state hangs on an open: ENOSYS, once, tells the kernel to do opens
	   by itself. */
	if (ops->skip_open) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_READ);
	struct buf *data = ops_scratch();
	size_t got = 0;
	int err;

	(void)fi;
	err = fs_errno(buf_reserve(data, size));
	if (err == 0)
		err = fs_read(ops->fs, ino, (uint64_t)offset, data->data, size,
		              &got);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_buf(req, (const char *)data->data, got);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
               off_t offset, struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_WRITE);
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	/* What the kernel kept it writes later, and sets the times itself. */
	op.keeps_times = ops->writeback && fi->writepage;
	err = fs_write(ops->fs, &op, ino, (uint64_t)offset, data, size);
	ops_tell_dropped(ops, &op, ino);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_write(req, size);
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ops_count(req, OPS_FLUSH);
	(void)ino;
	(void)fi;
	/* A write that returned is in the log: closing adds nothing. ENOSYS,
	   once, and the kernel stops asking. */
	fuse_reply_err(req, ENOSYS);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ops_count(req, OPS_RELEASE);
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* fsync of anything makes everything acknowledged before it durable. */
static void sync_store(fuse_req_t req, struct ops *ops)
{
	fuse_reply_err(req, fs_read_only(ops->fs) ? 0 : fs_sync(ops->fs));
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
               struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	sync_store(req, ops_count(req, OPS_FSYNC));
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
                  struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	sync_store(req, ops_count(req, OPS_FSYNCDIR));
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
                   off_t len, struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_FALLOCATE);
	struct fs_op op;
	int err;

	(void)fi;
	if (!ops_take(req, &op))
		return;
	err = fs_fallocate(ops->fs, &op, ino, mode, (uint64_t)offset,
	                   (uint64_t)len);
	ops_tell_dropped(ops, &op, ino);
	fuse_reply_err(req, err);
}

void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
               struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_LSEEK);
	uint64_t found;
	int err;

	(void)fi;
	/* What the kernel has kept so far is no hole: it has to take all for
	   data then, which it does when told that we cannot. */
	if (ops->writeback) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	if (offset < 0) {
		fuse_reply_err(req, ENXIO);
		return;
	}
	err = fs_seek(ops->fs, ino, (uint64_t)offset, whence, &found);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_lseek(req, (off_t)found);
}

void ops_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                         struct fuse_file_info *from_fi, fuse_ino_t to,
                         off_t to_offset, struct fuse_file_info *to_fi,
                         size_t len, int flags)
{
	struct ops *ops = ops_count(req, OPS_COPY_FILE_RANGE);
	uint64_t copied;
	struct fs_op op;
	int err;

	(void)from_fi;
	(void)to_fi;
	(void)flags; /* none is defined, and the kernel lets none pass */
	if (!ops_take(req, &op))
		return;
	if (len > FS_COPY_MAX_BYTES)
		len = FS_COPY_MAX_BYTES;
	err = fs_copy_range(ops->fs, &op, from, (uint64_t)from_offset, to,
	                    (uint64_t)to_offset, len, &copied);
	ops_tell_dropped(ops, &op, to);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_write(req, (size_t)copied);
}
