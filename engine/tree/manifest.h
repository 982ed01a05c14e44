/* SPDX-License-Identifier: MIT */
/*
 * manifest.h: the durable sequence of edits that makes up a branch, and which
 * one is current.
 *
 *   branches/<id>/CURRENT       one line: the name of the manifest in force
 *   branches/<id>/MANIFEST-<n>  record 1: the branch (identity, the id of its
 *                               base list), record 2 and on: edits, marks,
 *                               the fork point
 *   pool/<creator>-<n>.list     sealed: one edit that adds a whole list of
 *                               tables
 *
 * The state is the base list with all edits applied in order. Forks name the
 * same base list. Manifest and list are framed as logs (wal/record.h): a torn
 * last edit was never acknowledged and is cut; lost durable ones are LOST. A
 * manifest that was not written by this process is never appended to: whoever
 * opens a branch for writing publishes a new one.
 *
 * Threads: one at a time; the store's manifest lock.
 */
#ifndef LSM_TREE_MANIFEST_H
#define LSM_TREE_MANIFEST_H

#include "tree/manifest_state.h"

/* Where the files of a branch are. Borrowed by whoever is given it. */
struct manifest_place {
	struct env_dir *pool;
	struct env_dir *dir; /* branches/<id> */
	struct uuid family;
	/* Told by manifest_names.h what tables lead to; it counts no metas.
	   Zeroed: nobody is. */
	struct table_owner learner;
};

/*
 * Write the tables of state->version as a new sealed list `id`, synced, and
 * make it the base list of *state. The caller syncs the pool folder.
 */
LSM_MUST_CHECK enum lsm_err
manifest_write_list(const struct manifest_place *place, struct file_id id,
                    struct manifest_state *state);

struct manifest;

/*
 * Write a new MANIFEST, numbered above state->manifest_number and above every
 * one in the folder: the branch, and one edit with all in which state differs
 * from its base list. Then publish CURRENT, durably, and remove all manifests
 * but the new one. state->manifest_number follows. On error what was in force
 * is in force, or CURRENT's fate is unknown (IO): trying again is safe in both.
 * Errors: those of env, TOO_BIG, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err manifest_publish(const struct manifest_place *place,
                                             struct manifest_state *state,
                                             struct manifest **manifest_out);
/*
 * Write the first manifest and CURRENT of a branch whose folder nobody can reach
 * yet, and sync nothing; then, once all else is written too, make them durable.
 * Syncing at the end spares commits of the disk's journal: a fork waits for
 * little else.
 */
LSM_MUST_CHECK enum lsm_err manifest_lay_out(const struct manifest_place *place,
                                             struct manifest_state *state);
LSM_MUST_CHECK enum lsm_err
manifest_sync_laid_out(const struct manifest_place *place);

/* Make durable what is found of a branch: manifest `number`, CURRENT, their
   names. Errors: those of env. */
LSM_MUST_CHECK enum lsm_err manifest_sync(struct env_dir *dir, uint64_t number);

void manifest_close(struct manifest *manifest); /* NULL is allowed */

/* Leave a mark that says that what was published is durable, for a manifest that
   is closed without an edit. A precaution: nothing is synced, nothing fails. */
void manifest_settle(struct manifest *manifest);

/* Make sure that the disk has room for appending the edit. Nothing is written,
   and no error is sticky. Errors: TOO_BIG, NOMEM, those of env; POISONED when a
   mark could not be written, so that no edit can be any more. */
LSM_MUST_CHECK enum lsm_err manifest_reserve(struct manifest *manifest,
                                             const struct edit *edit);

/* Append one edit and make it durable. After TOO_BIG nothing was written; after
   any other error the fate of the edit is unknown until the branch is published
   anew or recovered; those of the disk are sticky. Errors: TOO_BIG, NOMEM, those
   of env. */
LSM_MUST_CHECK enum lsm_err manifest_append(struct manifest *manifest,
                                            const struct edit *edit);

/* Bytes of edits appended since it was published: when they outgrow the list,
   the store writes a new list and publishes anew. */
uint64_t manifest_bytes(const struct manifest *manifest);

/*
 * Read the branch whose folder is place->dir. `branch_id` is from the folder's
 * name. Errors: CORRUPT, LOST, NEWER, those of env. Logged. *state_out is
 * released on error. Writes nothing.
 */
LSM_MUST_CHECK enum lsm_err
manifest_recover(const struct manifest_place *place, uint64_t branch_id,
                 struct table_owner owner,
                 void (*adopted)(void *ctx, struct file_id id),
                 struct manifest_state *state_out);

/* The same without reading the base list: enough to publish the branch anew after
   an edit that adds tables and removes logs. */
LSM_MUST_CHECK enum lsm_err manifest_recover_treeless(
    const struct manifest_place *place, uint64_t branch_id,
    struct table_owner owner, void (*adopted)(void *ctx, struct file_id id),
    struct manifest_state *state_out);

#endif
