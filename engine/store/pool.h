/* SPDX-License-Identifier: MIT */
/*
 * pool.h: the sealed and active files of all branches of a store: how many name
 * each, and their end.
 *
 * References are counted in memory, from every manifest read at open and from
 * every version, log and fork since: nothing about them is stored, so nothing
 * can drift. A file whose last reference goes is deleted by gc. But before all
 * manifests were read nobody knows what they name: until the sweep nothing is
 * deleted, and if one could not be read whole, nothing ever is.
 *
 * Threads: any. Locks: the pool's mutex; `wake` is called under no lock of the
 * pool, but under whatever the caller of pool_unref() holds.
 */
#ifndef LSM_STORE_POOL_H
#define LSM_STORE_POOL_H

#include "io/env.h"
#include "io/file_header.h"
#include "seg/segment_use.h"

struct pool;

/* `dir` is borrowed. `wake` is told when there is something to delete.
   Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err pool_create(struct env_dir *dir,
                                        void (*wake)(void *ctx), void *ctx,
                                        struct pool **pool_out);
void pool_destroy(struct pool *pool); /* NULL is allowed */

/* Count one more user of a file. A new file is counted before it is made.
   Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err pool_ref(struct pool *pool, enum file_kind kind,
                                     struct file_id id);
/* One user fewer; the last one makes the file garbage. */
void pool_unref(struct pool *pool, enum file_kind kind, struct file_id id);

/*
 * A table leads to these segments: each has one user more for as long as the table
 * has any. Said again it changes nothing. Before the sweep it may be said before the
 * table is counted, since manifests are read before it is known what they come to;
 * later, of a table that nobody counts it is not heard. Without memory for it
 * nothing is deleted any more.
 */
void pool_lead(struct pool *pool, struct file_id table,
               const struct segment_uses *uses);

/*
 * Beside a log there is a segment of the same id, which its records lead to: that
 * has one user more for as long as the log has any. Later on who made it says so,
 * and the sweep does of those that it meets. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err pool_lead_log(struct pool *pool,
                                          struct file_id log);

/* How many users a file has now; 0: nobody counts it. */
unsigned pool_refs(struct pool *pool, enum file_kind kind, struct file_id id);

/* From now on nothing is deleted: `ro`, a manifest that cannot be read, or one
   that was left in an unknown state. */
void pool_keep_all(struct pool *pool);

struct pool_garbage {
	enum file_kind kind;
	struct file_id id;
};
/* Take one file to be deleted off the list; false when there is none. */
bool pool_next_garbage(struct pool *pool, struct pool_garbage *out);

/* Delete what is in the folder and what nothing names, at open, once all
   manifests were read. From now on what becomes garbage is deleted. */
LSM_MUST_CHECK enum lsm_err pool_sweep(struct pool *pool);

#endif
