/* SPDX-License-Identifier: MIT */
/*
 * change.h: one operation on its way to becoming one batch: its credit, its
 * batch, its counter deltas, its time.
 *
 *     err = change_begin(&change, fs, op, credit, shrinking);
 *     if (err != 0)
 *             return err;
 *     take inode locks, read, decide, change_put() ...
 *     err = change_commit(&change);
 *     release inode locks
 *     change_end(&change);
 *
 * Additions do not return errors: the first one is kept, and change_commit()
 * returns it and writes nothing. change_end() gives back whatever was not
 * spent, so every path after change_begin() must come to it.
 *
 * Threads: one at a time for each change.
 */
#ifndef SHALEFS_FS_CHANGE_H
#define SHALEFS_FS_CHANGE_H

#include "base/buf.h"
#include "fs/internal.h"

struct change {
	struct fs *fs;
	uint32_t uid, gid; /* who asks; root where nobody does */
	struct lsm_batch *batch;
	struct lsm_admission admission;
	uint64_t credit_bytes; /* what the admission amounted to */
	enum lsm_err err;      /* the first that an addition met */
	int64_t used_bytes;    /* deltas of the counters */
	int64_t inodes;
	uint64_t numbers;
	struct timespec now;
};

/*
 * Begin with the credit that came with `op` (NULL: none came) if it suffices,
 * else take `credit_bytes`; then no lock may be held, as that may wait.
 * The admission in *op is used up in any case, after an error too.
 * Errors: EROFS, ENOSPC, ESHUTDOWN, EIO, ENOMEM; then change_end() is not
 * needed, and does no harm.
 */
int change_begin(struct change *change, struct fs *fs, struct fs_op *op,
                 uint64_t credit_bytes, bool shrinking);

void change_put(struct change *change, const struct schema_key *key,
                struct slice value);
void change_delete(struct change *change, const struct schema_key *key);
/* Delete all chunks of the inode with indexes in [from, to): one entry. */
void change_delete_chunks(struct change *change, uint64_t ino, uint64_t from,
                          uint64_t to);
void change_merge(struct change *change, const struct schema_key *key,
                  struct slice operand);
/* What else may fail on the way: keep `err` when it is the first. */
void change_note(struct change *change, enum lsm_err err);

/* Take a number for a child of `dir`. Errors: ENOSPC. */
int change_number(struct change *change, uint64_t dir, uint64_t *ino_out);

/* Whether there is the credit that what was added needs. */
bool change_fits(const struct change *change);

/* Write the batch. Errors: the first of an addition, those of lsm_write(). */
int change_commit(struct change *change);

void change_end(struct change *change);

/* For an operation that is refused before it began: give back the credit that
   came with it, and return `err`. */
int change_refuse(struct fs_op *op, int err);

#endif
