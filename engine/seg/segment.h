/* SPDX-License-Identifier: MIT */
/*
 * segment.h: read and verify sealed segments.
 *
 * Open segments are kept in a bounded cache of handles, which tables share.
 * Frames are not cached: the kernel has their pages, and whoever reads has them
 * decoded. Bad bytes give CORRUPT and one log line with file and offset, never
 * wrong bytes.
 *
 * Threads: any number of readers.
 */
#ifndef LSM_SEG_SEGMENT_H
#define LSM_SEG_SEGMENT_H

#include "base/cache.h"
#include "io/env.h"
#include "seg/frame.h"

/* Where the segments of one store are found. Embedded, constant. */
struct segment_source {
	struct env_dir *pool;
	struct uuid family;
	struct cache *files; /* open files; limited by their charge */
	bool lenient; /* what cannot be read may never have been durable: that
	                 is no error to be told of */
};

/* Open it once: see that it is there, and header and footer whole. `file_bytes`
   is what the manifest says. Errors: CORRUPT (also when it is missing), NEWER,
   those of env. Logged. */
LSM_MUST_CHECK enum lsm_err segment_probe(const struct segment_source *source,
                                          struct file_id id,
                                          uint64_t file_bytes);

/* Set *value to that of `user` which the pointer leads to. Errors: CORRUPT, IO,
   NOMEM. Logged. */
LSM_MUST_CHECK enum lsm_err segment_read(const struct segment_source *source,
                                         struct slice user,
                                         const struct pointer *pointer,
                                         struct buf *value);

/* The same without decoding: *frame_out borrows from *bytes. */
LSM_MUST_CHECK enum lsm_err segment_load(const struct segment_source *source,
                                         struct slice user,
                                         const struct pointer *pointer,
                                         struct buf *bytes,
                                         struct frame *frame_out);

/* The file is about to be deleted: forget the open one. */
void segment_forget(const struct segment_source *source, struct file_id id);

/* Read every frame and check it, and that the footer agrees. Calls `report` for
   each fault, and adds to *faults. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
segment_verify(const struct segment_source *source, struct file_id id,
               uint64_t file_bytes, void (*report)(void *ctx, const char *line),
               void *ctx, uint64_t *faults);

/*
 * Whether the frame at the pointer is that of `user` at `seq`, by its header:
 * segment_verify() reads the rest. False also when it cannot be read.
 * Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err segment_matches(const struct segment_source *source,
                                            struct slice user, uint64_t seq,
                                            const struct pointer *pointer,
                                            bool *matches_out);

#endif
