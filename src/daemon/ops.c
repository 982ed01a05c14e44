/* SPDX-License-Identifier: MIT */
/*
 * ops.c: the table, what the daemon asks of the kernel at INIT, and what the
 * operations have in common.
 */
#include "daemon/ops.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Every change passes through this mount, so what the kernel knows stays
   true until it is told otherwise. */
static const double TIMEOUT_SECONDS = 86400.0;

enum {
	MAX_BACKGROUND = 64,
	CONGESTION_THRESHOLD = 48,
	BLOCK_BYTES = 4096, /* st_blksize */
};

static _Thread_local struct ops_call *current_call;

void ops_call_begin(struct ops_call *call)
{
	current_call = call;
}

void ops_call_end(struct ops_call *call)
{
	lsm_admission_release(&call->admission);
	call->err = 0;
}

struct ops *ops_count(fuse_req_t req, enum ops_request request)
{
	struct ops *ops = fuse_req_userdata(req);

	atomic_fetch_add_explicit(&ops->requests[request], 1,
	                          memory_order_relaxed);
	return ops;
}

bool ops_take(fuse_req_t req, struct fs_op *op)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	assert(current_call != NULL);
	*op = (struct fs_op){
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .umask = ctx->umask,
	};
	if (current_call->err != 0) {
		fuse_reply_err(req, current_call->err);
		return false;
	}
	op->drops_set_id = current_call->drops_set_id;
	op->admission = current_call->admission;
	current_call->admission = (struct lsm_admission){0};
	return true;
}

uint32_t ops_disguised(void)
{
	assert(current_call != NULL);
	return current_call->disguised;
}

void ops_tell_dropped(struct ops *ops, const struct fs_op *op, uint64_t ino)
{
	/* The attributes alone: no offset. The kernel may not know the inode. */
	if (op->set_id_dropped)
		(void)fuse_lowlevel_notify_inval_inode(ops->session, ino, -1,
		                                       0);
}

struct buf *ops_scratch(void)
{
	assert(current_call != NULL);
	buf_clear(&current_call->scratch);
	return &current_call->scratch;
}

void ops_fill_stat(const struct fs_attr *attr, struct stat *st)
{
	*st = (struct stat){
	    .st_ino = attr->ino,
	    .st_mode = attr->mode,
	    .st_nlink = attr->nlink,
	    .st_uid = attr->uid,
	    .st_gid = attr->gid,
	    .st_rdev = attr->rdev,
	    .st_size = (off_t)attr->size,
	    .st_blksize = BLOCK_BYTES,
	    .st_blocks = (blkcnt_t)attr->blocks,
	    .st_atim = attr->atime,
	    .st_mtim = attr->mtime,
	    .st_ctim = attr->ctime,
	};
}

void ops_fill_entry(const struct fs_attr *attr, struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){
	    .ino = attr->ino,
	    .generation = 1, /* inode numbers are never used again */
	    .attr_timeout = TIMEOUT_SECONDS,
	    .entry_timeout = TIMEOUT_SECONDS,
	};
	ops_fill_stat(attr, &entry->attr);
}

/* A reply that could not be delivered gave the kernel no lookup. */
static void forget_one(struct ops *ops, uint64_t ino)
{
	if (nodes_forget(ops->nodes, ino, 1))
		ops_reclaim_later(ops, ino);
}

void ops_reply_entry(fuse_req_t req, struct ops *ops, int err,
                     const struct fs_attr *attr)
{
	struct fuse_entry_param entry;

	if (err == 0)
		err = nodes_add(ops->nodes, attr->ino);
	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_entry(attr, &entry);
	if (fuse_reply_entry(req, &entry) != 0)
		forget_one(ops, attr->ino);
}

void ops_reply_create(fuse_req_t req, struct ops *ops, int err,
                      const struct fs_attr *attr, struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;

	if (err == 0)
		err = nodes_add(ops->nodes, attr->ino);
	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_entry(attr, &entry);
	fi->keep_cache = 1;
	if (fuse_reply_create(req, &entry, fi) != 0)
		forget_one(ops, attr->ino);
}

/* ---- reclaiming --------------------------------------------------------- */

struct reclaim_job {
	struct lane_job job; /* first */
	struct ops *ops;
	uint64_t ino;
};

static void run_reclaim(struct lane_job *job)
{
	struct reclaim_job *reclaim = (struct reclaim_job *)job;

	/* What fails was logged by the engine; the next open tries again. */
	(void)fs_reclaim(reclaim->ops->fs, reclaim->ino);
	free(reclaim);
}

void ops_reclaim_later(struct ops *ops, uint64_t ino)
{
	struct reclaim_job *reclaim = malloc(sizeof(*reclaim));

	if (reclaim == NULL)
		return; /* the orphan stays recorded until the next open */
	reclaim->job.run = run_reclaim;
	reclaim->ops = ops;
	reclaim->ino = ino;
	lane_push(ops->slow, &reclaim->job);
}

/* ---- the table ---------------------------------------------------------- */

static void init_connection(void *userdata, struct fuse_conn_info *conn)
{
	struct ops *ops = userdata;

	/*
	 * Everything not named here is refused, and some of it on purpose:
	 * ATOMIC_O_TRUNC, or O_TRUNC would be lost with `open` answered ENOSYS;
	 * HANDLE_KILLPRIV, of which handshake.h asks for the second version;
	 * AUTO_INVAL_DATA, which drops cached pages whenever a time
	 * changes; splicing, because data is copied into the log anyway;
	 * WRITEBACK_CACHE unless it was asked for, because a write that
	 * returned is in the log.
	 *
	 * With POSIX_ACL the kernel asks once for the ACL of an inode when it
	 * matters, and remembers that there is none. DONT_MASK, since a default
	 * ACL goes before the umask, which only fs/ can know.
	 */
	conn->want = conn->capable &
	             (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
	              FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_READDIRPLUS |
	              FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_PARALLEL_DIROPS |
	              FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA |
	              FUSE_CAP_NO_OPEN_SUPPORT | FUSE_CAP_NO_OPENDIR_SUPPORT |
	              FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK);
	ops->writeback =
	    ops->writeback && (conn->capable & FUSE_CAP_WRITEBACK_CACHE) != 0;
	if (ops->writeback)
		conn->want |= FUSE_CAP_WRITEBACK_CACHE;
	conn->max_write = FS_WRITE_MAX_BYTES;
	conn->max_read = ops->max_read_bytes;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = CONGESTION_THRESHOLD;
	conn->time_gran = 1;
	ops->skip_open = (conn->capable & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
	ops->skip_opendir = (conn->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
}

static const struct fuse_lowlevel_ops table = {
    .init = init_connection,
    .lookup = ops_lookup,
    .forget = ops_forget,
    .forget_multi = ops_forget_multi,
    .getattr = ops_getattr,
    .setattr = ops_setattr,
    .readlink = ops_readlink,
    .mknod = ops_mknod,
    .mkdir = ops_mkdir,
    .unlink = ops_unlink,
    .rmdir = ops_rmdir,
    .symlink = ops_symlink,
    .rename = ops_rename,
    .link = ops_link,
    .open = ops_open,
    .read = ops_read,
    .write = ops_write,
    .flush = ops_flush,
    .release = ops_release,
    .fsync = ops_fsync,
    .opendir = ops_opendir,
    .readdir = ops_readdir,
    .readdirplus = ops_readdirplus,
    .releasedir = ops_releasedir,
    .fsyncdir = ops_fsyncdir,
    .statfs = ops_statfs,
    .setxattr = ops_setxattr,
    .getxattr = ops_getxattr,
    .listxattr = ops_listxattr,
    .removexattr = ops_removexattr,
    .access = ops_access,
    .create = ops_create,
    .fallocate = ops_fallocate,
    .lseek = ops_lseek,
    .copy_file_range = ops_copy_file_range,
};

const struct fuse_lowlevel_ops *ops_table(void)
{
	return &table;
}

void ops_init(struct ops *ops, struct fs *fs, struct nodes *nodes,
              struct lane *slow, uint32_t max_read_bytes, bool writeback)
{
	*ops = (struct ops){
	    .fs = fs,
	    .nodes = nodes,
	    .slow = slow,
	    .max_read_bytes = max_read_bytes,
	    .writeback = writeback,
	};
}

const char *ops_request_name(enum ops_request request)
{
	static const char *const names[] = {
#define X(name) #name,
	    OPS_REQUESTS(X)
#undef X
	};

	return names[request];
}

uint64_t ops_request_count(const struct ops *ops, enum ops_request request)
{
	return atomic_load_explicit(&ops->requests[request],
	                            memory_order_relaxed);
}
