/* SPDX-License-Identifier: MIT */
/*
 * fs.h: POSIX files over the engine: what the daemon and the commands call.
 *
 * Every function that can fail returns 0 or a positive errno. An operation that
 * changes something is one atomic batch of the engine: after a crash it happened
 * or it did not. When it returned, it is in the log; fs_sync() makes it durable.
 *
 * Permissions are the kernel's to check (default_permissions); what is checked
 * here is what the kernel leaves to a filesystem.
 *
 * Lifetime of inodes: the last unlink leaves an orphan, which can still be read
 * and written. Whoever keeps count of its users calls fs_reclaim() when the last
 * is gone. fs_open() reclaims what a crash left.
 *
 * Threads: every function from any thread. Locks: inode locks in one order
 * (fs/ilock.h), taken after credit, so that a writer that waits for credit holds
 * up nobody.
 */
#ifndef SHALEFS_FS_FS_H
#define SHALEFS_FS_FS_H

#include <sys/stat.h>
#include <time.h>

#include "lsm.h"

struct fs;

enum {
	FS_ROOT_INO = 1,
	FS_FIRST_INO =
	    16, /* 2 and 3 are .snap and .fork, the rest is reserved */
	FS_NAME_MAX_BYTES = 255,
	FS_SYMLINK_MAX_BYTES = 4095,
	FS_XATTR_MAX_BYTES = 65536,
	FS_LINK_MAX = 65000,
	FS_COPY_MAX_BYTES = 1 << 20,  /* of one fs_copy_range() */
	FS_WRITE_MAX_BYTES = 1 << 20, /* of one fs_write() */
};

struct fs_attr {
	uint64_t ino;
	uint32_t mode; /* type and permissions, as st_mode */
	uint32_t nlink;
	uint32_t uid, gid;
	uint64_t rdev;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes, that are allocated */
	struct timespec atime, mtime, ctime, btime;
};

/* Who asks, and the credit that was taken for it beforehand, if any. */
struct fs_op {
	uint32_t uid, gid;
	/* Of who makes something; not where the mode has it applied. A default
	   ACL of the directory goes before it. */
	uint32_t umask;
	bool sheds_setgid; /* an access ACL that is set clears set-group-id */
	struct lsm_admission admission; /* spent or returned by the call */
	/* Who asks may not keep the set-id bits of a file whose contents it
	   changes. */
	bool drops_set_id;
	bool set_id_dropped; /* set by the call: there were some */
	bool keeps_times;    /* a write moves no times: they come apart */
};

/* ---- the filesystem ----------------------------------------------------- */

/* Make a store with an empty root directory, owned by uid and gid, at `path`.
   `env` NULL: the operating system. EEXIST: there is something there. */
int fs_format(const struct env *env, const char *path, uint32_t uid,
              uint32_t gid);

/*
 * Open the store. `options` NULL: defaults; its fold function is replaced.
 * A writable fs reclaims orphans of a crash before it returns. Errors: those of
 * lsm_open() through fs_errno(), EPROTO (the store holds no filesystem of ours).
 */
int fs_open(struct lsm_runtime *runtime, const char *path,
            const struct lsm_options *options, struct fs **fs_out);

/* Close the store too. Freed whatever is returned. NULL is allowed. */
int fs_close(struct fs *fs);

struct lsm *fs_store(struct fs *fs); /* for stats, fork and sync */
bool fs_read_only(const struct fs *fs);

/* Let no read move an atime, or none of a directory. Before the first read. */
void fs_hold_atime(struct fs *fs, bool all, bool dirs);

/* The one crossing from engine errors to errno. */
int fs_errno(enum lsm_err err);

/* Everything acknowledged before survives a power cut afterwards. */
int fs_sync(struct fs *fs);

struct fs_usage {
	uint64_t total_bytes, free_bytes,
	    available_bytes; /* of the disk below */
	uint64_t used_bytes; /* allocated to files */
	uint64_t inodes;
	uint64_t free_inodes;
};
int fs_statfs(struct fs *fs, struct fs_usage *usage);

/* ---- credit -------------------------------------------------------------- */

/* Operations that need credit, for fs_credit(). */
enum fs_credit_kind {
	FS_CREDIT_NAME, /* mknod, mkdir, symlink, link, rename, unlink, rmdir */
	FS_CREDIT_ATTR, /* setattr without size */
	FS_CREDIT_SIZE, /* setattr with size, fallocate */
	FS_CREDIT_XATTR, /* payload: value bytes */
	FS_CREDIT_WRITE, /* payload: data bytes */
	FS_CREDIT_COPY,  /* copy_range */
};

/* The most credit an operation of that kind can need before it takes inode
   locks; what it needs beyond (a truncation of a huge file) it takes in
   steps. */
uint64_t fs_credit(const struct fs *fs, enum fs_credit_kind kind,
                   size_t payload_bytes);

/* ---- names ---------------------------------------------------------------- */

/* ENAMETOOLONG over 255 bytes, ENOTDIR, ENOENT. "." and ".." are looked up too
   (for NFS export), "." of any inode; ESTALE: it is gone, or has no name. */
int fs_lookup(struct fs *fs, uint64_t dir, struct slice name,
              struct fs_attr *attr);

/*
 * Make a file of any type but directory and symlink. `mode` holds type and
 * permissions, umask applied. A set-group-id directory hands on its group.
 */
int fs_mknod(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             uint32_t mode, uint64_t rdev, struct fs_attr *attr);
int fs_mkdir(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             uint32_t mode, struct fs_attr *attr);
int fs_symlink(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
               struct slice target, struct fs_attr *attr);
int fs_readlink(struct fs *fs, uint64_t ino, struct buf *target);
/* EMLINK at FS_LINK_MAX, EPERM for a directory; of an orphan made by
   fs_tmpfile(): it gets its first name. */
int fs_link(struct fs *fs, struct fs_op *op, uint64_t ino, uint64_t dir,
            struct slice name, struct fs_attr *attr);
/* A file without a name: an orphan until linked. */
int fs_tmpfile(struct fs *fs, struct fs_op *op, uint64_t dir, uint32_t mode,
               struct fs_attr *attr);

/* What lost a name. `orphan`: it was the last; reclaim it when it is unused.
   ino 0: nothing. */
struct fs_victim {
	uint64_t ino;
	bool orphan;
};
int fs_unlink(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
              struct fs_victim *victim);
int fs_rmdir(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
             struct fs_victim *victim);
/* flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE; others EINVAL. */
int fs_rename(struct fs *fs, struct fs_op *op, uint64_t dir, struct slice name,
              uint64_t new_dir, struct slice new_name, unsigned flags,
              struct fs_victim *victim);

/* Delete all that an orphan holds. Nothing when it is none (it was linked
   again). Waits for credit. */
int fs_reclaim(struct fs *fs, uint64_t ino);

/*
 * List from `cookie` (0: from the start): "." and ".." first, then entries.
 * `emit` gets the cookie at which to continue after the entry, and attributes
 * (with `plus`; otherwise only ino and the type in mode are valid); it returns
 * false when it has no room, and the entry was not taken.
 */
typedef bool (*fs_emit_fn)(void *ctx, struct slice name, uint64_t next_cookie,
                           const struct fs_attr *attr);
int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool plus,
               fs_emit_fn emit, void *ctx);

/* ---- attributes ------------------------------------------------------------- */

int fs_getattr(struct fs *fs, uint64_t ino, struct fs_attr *attr);

enum {
	FS_SET_MODE = 1 << 0,
	FS_SET_UID = 1 << 1,
	FS_SET_GID = 1 << 2,
	FS_SET_SIZE = 1 << 3,
	FS_SET_ATIME = 1 << 4,
	FS_SET_MTIME = 1 << 5,
	FS_SET_CTIME = 1 << 6,
	FS_SET_ATIME_NOW = 1 << 7,
	FS_SET_MTIME_NOW = 1 << 8,
};
/* Change what `which` names, from `set`; the result in *attr. A new owner or
   group costs the set-id bits, unless the mode is set too. EFBIG past
   INT64_MAX, EINVAL (size of what has none), EISDIR. */
int fs_setattr(struct fs *fs, struct fs_op *op, uint64_t ino, unsigned which,
               const struct fs_attr *set, struct fs_attr *attr);

/* flags: XATTR_CREATE (EEXIST), XATTR_REPLACE (ENODATA). E2BIG, ERANGE,
   EOPNOTSUPP. A POSIX ACL gives the inode its mode; EINVAL, E2BIG (over 255
   entries), EACCES (a default one of no directory). */
int fs_setxattr(struct fs *fs, struct fs_op *op, uint64_t ino,
                struct slice name, struct slice value, int flags);
int fs_getxattr(struct fs *fs, uint64_t ino, struct slice name,
                struct buf *value); /* ENODATA */
/* Names one after another, each with its NUL. */
int fs_listxattr(struct fs *fs, uint64_t ino, struct buf *names);
int fs_removexattr(struct fs *fs, struct fs_op *op, uint64_t ino,
                   struct slice name);

/* ---- contents ---------------------------------------------------------------- */

/* Up to `len` bytes into `data`; fewer only at the end of the file. EIO where
   the stored bytes are damaged. Moves atime by relatime's rules. */
int fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *data,
            size_t len, size_t *got_out);
/* All of `len` (at most FS_WRITE_MAX_BYTES) or nothing. */
int fs_write(struct fs *fs, struct fs_op *op, uint64_t ino, uint64_t offset,
             const void *data, size_t len);
/* mode: 0, FALLOC_FL_KEEP_SIZE, PUNCH_HOLE | KEEP_SIZE, ZERO_RANGE with or
   without KEEP_SIZE; others EOPNOTSUPP. */
int fs_fallocate(struct fs *fs, struct fs_op *op, uint64_t ino, int mode,
                 uint64_t offset, uint64_t len);
/* SEEK_DATA and SEEK_HOLE; ENXIO past the end. */
int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence,
            uint64_t *found_out);
/* At most FS_COPY_MAX_BYTES; *copied_out may be short. EINVAL: one file, ranges
   that overlap. */
int fs_copy_range(struct fs *fs, struct fs_op *op, uint64_t from,
                  uint64_t from_offset, uint64_t to, uint64_t to_offset,
                  uint64_t len, uint64_t *copied_out);

/* ---- check -------------------------------------------------------------------- */

/*
 * The store's bytes (lsm_verify()), then the tree against itself: dirents
 * against inodes, link counts, orphans, sizes, counters. One line to `report`
 * for each fault, beginning with its class: "checksum: ", "dirent: ",
 * "link count: ", "orphan: ", "size: ", "counter: ".
 */
int fs_check(struct fs *fs, void (*report)(void *ctx, const char *line),
             void *ctx, uint64_t *faults_out);

#endif
