/* SPDX-License-Identifier: MIT */
/*
 * ops.h: the operations that libfuse dispatches: each unpacks its arguments,
 * calls fs/ and replies exactly once.
 *
 * What runs an operation (a transport) lends it an ops_call: what was done for
 * the request beforehand, and memory to answer from. An operation that changes
 * something spends the call's credit or returns it; without credit in the call
 * it waits for its own inside fs/.
 *
 * Threads: operations run on any thread, several at once.
 * Locks: none of their own; those of nodes.h and fs/.
 */
#ifndef SHALEFS_DAEMON_OPS_H
#define SHALEFS_DAEMON_OPS_H

#include <stdatomic.h>

#include <fuse_lowlevel.h>

#include "base/buf.h"
#include "daemon/lane.h"
#include "daemon/nodes.h"
#include "fs/fs.h"

/* What is counted: operations that were run, by the kernel's name. */
#define OPS_REQUESTS(X)                                                        \
	X(LOOKUP)                                                              \
	X(FORGET)                                                              \
	X(GETATTR)                                                             \
	X(SETATTR)                                                             \
	X(READLINK)                                                            \
	X(SYMLINK)                                                             \
	X(MKNOD)                                                               \
	X(MKDIR)                                                               \
	X(UNLINK)                                                              \
	X(RMDIR)                                                               \
	X(RENAME)                                                              \
	X(RENAME2)                                                             \
	X(LINK)                                                                \
	X(OPEN)                                                                \
	X(READ)                                                                \
	X(WRITE)                                                               \
	X(STATFS)                                                              \
	X(RELEASE)                                                             \
	X(FSYNC)                                                               \
	X(SETXATTR)                                                            \
	X(GETXATTR)                                                            \
	X(LISTXATTR)                                                           \
	X(REMOVEXATTR)                                                         \
	X(FLUSH)                                                               \
	X(OPENDIR)                                                             \
	X(READDIR)                                                             \
	X(READDIRPLUS)                                                         \
	X(RELEASEDIR)                                                          \
	X(FSYNCDIR)                                                            \
	X(ACCESS)                                                              \
	X(CREATE)                                                              \
	X(TMPFILE)                                                             \
	X(STATX)                                                               \
	X(FALLOCATE)                                                           \
	X(LSEEK)                                                               \
	X(COPY_FILE_RANGE)

enum ops_request {
#define X(name) OPS_##name,
	OPS_REQUESTS(X)
#undef X
	    OPS_REQUEST_COUNT
};

struct ops {
	/* Constant after init. */
	struct fs *fs;
	struct nodes *nodes;
	struct lane *slow; /* where orphans are reclaimed */
	uint32_t max_read_bytes;
	struct fuse_session *session; /* set once, before requests come */

	/* Constant after INIT, which comes before every other request. */
	bool skip_open;
	bool skip_opendir;
	bool writeback; /* the kernel keeps what is written for a while, and
	                   the times of it */

	/* Relaxed: figures for people, which order nothing. */
	_Atomic uint64_t requests[OPS_REQUEST_COUNT];
};

/* The caller owns `fs`, `nodes` and `slow`, which outlive the requests.
   `max_read_bytes` is what the mount option of that name says; 0: no limit.
   `writeback`: ask for the kernel's write-back cache. */
void ops_init(struct ops *ops, struct fs *fs, struct nodes *nodes,
              struct lane *slow, uint32_t max_read_bytes, bool writeback);

/* The table for fuse_session_new(), whose userdata is the struct ops. */
const struct fuse_lowlevel_ops *ops_table(void);

const char *ops_request_name(enum ops_request request);
uint64_t ops_request_count(const struct ops *ops, enum ops_request request);

/* Delete what the orphan `ino` holds, on the slow lane. */
void ops_reclaim_later(struct ops *ops, uint64_t ino);

/* ---- between a transport and an operation ------------------------------- */

/* One for each thread that runs operations, or for each request. */
struct ops_call {
	struct lsm_admission admission; /* zeroed: none */
	int err;                        /* what kept it from credit */
	uint32_t disguised;             /* of request_disguise() */
	bool drops_set_id;              /* as in struct fs_op */
	struct buf scratch;             /* kept between calls */
};

/* The operations that this thread runs next belong to `call`; NULL: none. */
void ops_call_begin(struct ops_call *call);

/* Return what an operation left over, because it was refused before it ran. */
void ops_call_end(struct ops_call *call);

/* ---- inside the operations ---------------------------------------------- */

/* The struct ops of a request, after counting it. */
struct ops *ops_count(fuse_req_t req, enum ops_request request);

/* What fs/ wants to know of a request that changes something. False: it got no
   credit, and was answered. */
bool ops_take(fuse_req_t req, struct fs_op *op);

/* The opcode of what libfuse takes for another request; else 0. */
uint32_t ops_disguised(void);

/* After an operation that may have dropped the set-id bits of `ino`, before the
   reply: have the kernel ask again what it takes for known. */
void ops_tell_dropped(struct ops *ops, const struct fs_op *op, uint64_t ino);

/* Memory that lasts until this thread's next operation. */
struct buf *ops_scratch(void);

void ops_fill_stat(const struct fs_attr *attr, struct stat *st);
void ops_fill_entry(const struct fs_attr *attr, struct fuse_entry_param *entry);

/* Tell the kernel of the inode and count the lookup; or answer `err`. */
void ops_reply_entry(fuse_req_t req, struct ops *ops, int err,
                     const struct fs_attr *attr);
/* The same with the answer to an open. */
void ops_reply_create(fuse_req_t req, struct ops *ops, int err,
                      const struct fs_attr *attr, struct fuse_file_info *fi);

/* ops_name.c */
void ops_lookup(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void ops_forget_multi(fuse_req_t req, size_t count,
                      struct fuse_forget_data *forgets);
void ops_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
               dev_t rdev);
void ops_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode);
void ops_unlink(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
                 const char *name);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);
void ops_rename(fuse_req_t req, fuse_ino_t dir, const char *name,
                fuse_ino_t new_dir, const char *new_name, unsigned flags);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name);
/* TMPFILE too. */
void ops_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                struct fuse_file_info *fi);
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                 struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                     struct fuse_file_info *fi);
void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
                  struct fuse_file_info *fi);

/* ops_file.c */
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *fi);
void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
               off_t offset, struct fuse_file_info *fi);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
               struct fuse_file_info *fi);
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
                   off_t len, struct fuse_file_info *fi);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
               struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
                         struct fuse_file_info *from_fi, fuse_ino_t to,
                         off_t to_offset, struct fuse_file_info *to_fi,
                         size_t len, int flags);

/* ops_attr.c; GETATTR is STATX too, which asks for the time of birth */
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                 struct fuse_file_info *fi);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                  const char *value, size_t size, int flags);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                  size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void ops_access(fuse_req_t req, fuse_ino_t ino, int mask);

#endif
