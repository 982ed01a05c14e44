/* SPDX-License-Identifier: MIT */
/*
 * active_segment.h: a segment that writers place frames into, side by side, before
 * the log says where they are.
 *
 *   OPEN      a writer reserves room, writes its frames there, commits the pointers,
 *             and lets go of the reservation
 *   CLOSED    nothing is reserved any more; it is idle once the last reservation
 *             is let go of
 *   FINISHED  idle for good: it has its footer, is durable and read-only
 *
 * Room is preallocated as it is reserved, so that a full disk is met before
 * anything is written. The first failed write or sync is sticky.
 *
 * Threads: any. Locks: its own mutex.
 */
#ifndef LSM_SEG_ACTIVE_SEGMENT_H
#define LSM_SEG_ACTIVE_SEGMENT_H

#include "io/env.h"
#include "seg/frame.h"

struct active_segment;

/*
 * Make the file in the folder `pool` and write its header; neither is synced.
 * It takes nothing more once it has `max_bytes`. One reference. A file may be left
 * on error. Errors: those of env.
 */
LSM_MUST_CHECK enum lsm_err
active_segment_create(struct env_dir *pool, struct file_id id,
                      const struct uuid *family, uint64_t max_bytes,
                      struct active_segment **segment_out);
void active_segment_ref(struct active_segment *segment);
void active_segment_unref(struct active_segment *segment); /* NULL: nothing */

struct file_id active_segment_id(const struct active_segment *segment);
uint64_t active_segment_max_bytes(const struct active_segment *segment);
/* Whether there is nothing to lead to. */
bool active_segment_is_empty(struct active_segment *segment);
/* Reserved so far. */
uint64_t active_segment_bytes(struct active_segment *segment);

/* Room for frames of together `bytes`, and with LSM_OK a reservation. Errors: BUSY
   (closed, or full, which closes it), NOSPACE, the sticky one, those of env. */
LSM_MUST_CHECK enum lsm_err
active_segment_reserve(struct active_segment *segment, uint64_t bytes,
                       uint64_t frames, uint64_t raw_bytes,
                       uint64_t *offset_out);
/* Errors: sticky. */
LSM_MUST_CHECK enum lsm_err active_segment_write(struct active_segment *segment,
                                                 uint64_t offset,
                                                 struct slice bytes);
void active_segment_let_go(struct active_segment *segment);

/* Close it; whether it is idle. */
LSM_MUST_CHECK bool active_segment_close(struct active_segment *segment);
void active_segment_await_idle(struct active_segment *segment);
/* Take it back; needs what active_segment_close() was called under. */
void active_segment_reopen(struct active_segment *segment);

/* Make what was written before the call durable. Errors: sticky. */
LSM_MUST_CHECK enum lsm_err active_segment_sync(struct active_segment *segment);

/* Write the footer to the closed, idle segment, sync and seal it; again: nothing.
   Errors: NOSPACE, NOMEM; others are sticky. */
LSM_MUST_CHECK enum lsm_err
active_segment_finish(struct active_segment *segment, uint64_t *bytes_out);

#endif
