/* SPDX-License-Identifier: MIT */
/*
 * internal.h: the filesystem object, shared by the files of src/fs and by
 * nobody else.
 *
 * Locks: inode locks (fs/ilock.h), then the mutex of the number pool
 * (fs/number.h); credit before either. No mutex of src/fs is held while the
 * engine is called.
 */
#ifndef SHALEFS_FS_INTERNAL_H
#define SHALEFS_FS_INTERNAL_H

#include "fs/fs.h"
#include "fs/ilock.h"
#include "fs/number.h"
#include "fs/schema.h"
#include "fs/space.h"

struct fs {
	/* Constant after open. */
	struct lsm *store;
	struct schema_owner owner;
	uint64_t hash_mask; /* all ones; tests narrow it before first use */
	bool read_only;
	bool holds_atime, holds_dir_atime; /* reads do not move it */
	bool is_empty; /* read-only and never written: the root is made up */

	/* These lock for themselves. */
	struct ilock_table locks;
	struct number_pool numbers;
	struct space space;
};

/* The calendar time of now. */
struct timespec fs_now(void);

/* Allocated to all inodes. */
uint64_t fs_used_bytes(const struct fs *fs);

#endif
