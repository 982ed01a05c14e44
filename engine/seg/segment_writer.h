/* SPDX-License-Identifier: MIT */
/*
 * segment_writer.h: stream values into one segment file.
 *
 * Frames leave in large writes; what was added is in the file once the writer is
 * finished, and durable once the caller synced it.
 *
 * Threads: one at a time.
 */
#ifndef LSM_SEG_SEGMENT_WRITER_H
#define LSM_SEG_SEGMENT_WRITER_H

#include "io/env.h"
#include "seg/frame.h"

struct segment_writer;

/* Write segment `id` through `file`, which is borrowed. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
segment_writer_create(struct env_file *file, struct file_id id,
                      const struct uuid *family,
                      struct segment_writer **writer_out);
void segment_writer_destroy(struct segment_writer *writer); /* NULL: nothing */

/* Compress the value (1 byte to LSM_VALUE_MAX_BYTES) and add it as that of `user`
   at `seq`. Errors: those of env, NOMEM; then the file is worthless. */
LSM_MUST_CHECK enum lsm_err segment_writer_add(struct segment_writer *writer,
                                               struct slice user, uint64_t seq,
                                               struct slice value,
                                               struct pointer *pointer_out);

/* The same for what was read from another segment, as it is. */
LSM_MUST_CHECK enum lsm_err segment_writer_copy(struct segment_writer *writer,
                                                const struct frame *frame,
                                                struct pointer *pointer_out);

/* What the file would take if it were finished now. */
uint64_t segment_writer_bytes(const struct segment_writer *writer);

/* Write what is left, and the footer. The caller syncs and seals. */
LSM_MUST_CHECK enum lsm_err
segment_writer_finish(struct segment_writer *writer);

#endif
