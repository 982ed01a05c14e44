/* SPDX-License-Identifier: MIT */
/*
 * manifest_base.h: the fork point of a writable branch, which its manifest keeps
 * beside its present state: what it is compared with, committed from, or rolled
 * back to. It is kept as the bytes of its record, since it is seldom looked at:
 * the id of a base list, and an edit with all in which the fork point differs
 * from it.
 *
 * The fork point never changes, but for its logs: an edit of the branch that
 * removes a log which the fork point names puts tables in its place, so it is
 * applied to the fork point too.
 *
 * Threads: one at a time; the store's manifest lock.
 */
#ifndef LSM_TREE_MANIFEST_BASE_H
#define LSM_TREE_MANIFEST_BASE_H

#include "tree/manifest.h"

/* Make the present state its own fork point, in state->base. Errors: NOMEM; the
   state is unchanged. */
LSM_MUST_CHECK enum lsm_err manifest_base_set(struct manifest_state *state);

/* Decode. As edit_decode(), of which *edit is the result. Errors: CORRUPT (not
   logged), NOMEM. */
LSM_MUST_CHECK enum lsm_err
manifest_base_decode(struct slice base, struct table_owner owner,
                     void (*adopted)(void *ctx, struct file_id id),
                     struct file_id *list_out, struct edit *edit);

/* The fork point as a state of its own: tables and logs. Errors and ownership: as
   manifest_recover(). */
LSM_MUST_CHECK enum lsm_err
manifest_base_read(const struct manifest_place *place, struct slice base,
                   struct table_owner owner,
                   void (*adopted)(void *ctx, struct file_id id),
                   struct manifest_state *state_out);

/* Put into *next, which comes empty, the fork point after `edit`; the same bytes
   where the edit does not concern it. Errors: CORRUPT, NOMEM. */
LSM_MUST_CHECK enum lsm_err manifest_base_after(struct slice base,
                                                const struct edit *edit,
                                                struct buf *next);

#endif
