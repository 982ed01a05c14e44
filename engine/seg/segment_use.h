/* SPDX-License-Identifier: MIT */
/*
 * segment_use.h: how much of which segments something refers to: one table, or a
 * whole version. Nothing else is recorded about segments: what is live in one is
 * the sum over the tables that name it, and what is not is garbage; so the count
 * cannot drift from the truth.
 *
 * Threads: none of this locks.
 */
#ifndef LSM_SEG_SEGMENT_USE_H
#define LSM_SEG_SEGMENT_USE_H

#include "base/coding.h"
#include "io/file_header.h"

struct segment_use {
	struct file_id id;
	uint64_t file_bytes; /* of the segment; 0: not known yet */
	uint64_t frames;     /* referred to */
	uint64_t bytes;      /* of those frames */
	uint64_t tables;     /* that refer to it; 1 in the list of a table */
	bool shared;         /* one of them is named by others too */
};

/* Sorted by id, each once. */
struct segment_uses {
	struct segment_use *items;
	size_t count, cap;
};

void segment_uses_init(struct segment_uses *uses);
void segment_uses_release(struct segment_uses *uses);

/* Add `use` to the entry of its id, which is made where it is missing. The file's
   size is kept once it is known. Errors: NOMEM; the list is unchanged. */
LSM_MUST_CHECK enum lsm_err segment_uses_add(struct segment_uses *uses,
                                             const struct segment_use *use);

/*
 * Append a whole list, in whatever order it is; and, once all are there, sort
 * them and add up those of one segment. Between the two no other function is
 * called. Errors: NOMEM; what was appended stays.
 */
LSM_MUST_CHECK enum lsm_err
segment_uses_append(struct segment_uses *uses, const struct segment_uses *more);
void segment_uses_sum(struct segment_uses *uses);

/* NULL when the segment is not in the list. */
struct segment_use *segment_uses_find(const struct segment_uses *uses,
                                      struct file_id id);

/* Of one table: same segments, frames and bytes. */
bool segment_uses_equal(const struct segment_uses *a,
                        const struct segment_uses *b);

/*
 * The list of a table in bytes: docs/format.md. Sizes of files stand in it where
 * `with_sizes`. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err segment_uses_encode(const struct segment_uses *uses,
                                                bool with_sizes,
                                                struct buf *out);
/* *uses is initialised here, and empty after an error. Errors: CORRUPT, not
   logged; NOMEM. */
LSM_MUST_CHECK enum lsm_err segment_uses_decode(struct cursor *c,
                                                bool with_sizes,
                                                struct segment_uses *uses);

#endif
