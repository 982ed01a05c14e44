/* SPDX-License-Identifier: MIT */
/*
 * frame.h: the fixed parts of a segment file.
 *
 *   segment = file header (64), frames, footer (SEGMENT_FOOTER_BYTES, at the end)
 *   frame   = frame header (FRAME_HEADER_BYTES), user key, value as stored
 *
 * A frame tells whose value it is, so that a segment can be walked, and its
 * live values moved, without the tree. docs/format.md is the authority.
 */
#ifndef LSM_SEG_FRAME_H
#define LSM_SEG_FRAME_H

#include "seg/pointer.h"

enum {
	FRAME_HEADER_BYTES = 40,
	SEGMENT_FOOTER_BYTES = 32,
	/* The longest frame there can be. */
	FRAME_MAX_BYTES =
	    FRAME_HEADER_BYTES + LSM_KEY_MAX_BYTES + LSM_VALUE_MAX_BYTES,
};

/* The sequence of a frame that was written before it had one. */
#define FRAME_SEQ_UNKNOWN UINT64_C(0)

struct frame {
	uint8_t codec;
	uint32_t raw_len;
	uint64_t seq; /* of the version that it was written for */
	struct slice user;
	struct slice stored;
};

/* What a frame takes of its segment. */
static inline uint64_t frame_bytes(size_t user_len, uint32_t stored_len)
{
	return FRAME_HEADER_BYTES + (uint64_t)user_len + stored_len;
}

/*
 * Write the header of `frame` as it will stand at `offset` of segment `id`;
 * frame->user and frame->stored follow each other in memory, as they will in the
 * file. *pointer_out gets what leads to it.
 */
void frame_encode(const struct frame *frame, struct file_id id, uint64_t offset,
                  uint8_t out[FRAME_HEADER_BYTES], struct pointer *pointer_out);

/*
 * Decode the frame that stands at `offset` and check its checksum; `bytes` begin
 * with it. *frame_out borrows from them. *pointer_out is what leads to it.
 * Errors: CORRUPT, not logged; *fault_out says what is wrong.
 */
LSM_MUST_CHECK enum lsm_err frame_decode(struct slice bytes, struct file_id id,
                                         uint64_t offset,
                                         struct frame *frame_out,
                                         struct pointer *pointer_out,
                                         const char **fault_out);

/*
 * Only the header: how long the whole frame would be. For a walk, and to compare
 * a frame with its pointer without reading the value. *pointer_out and
 * *user_len_out are not to be believed before the whole was decoded.
 */
LSM_MUST_CHECK bool frame_peek(const uint8_t bytes[FRAME_HEADER_BYTES],
                               struct file_id id, uint64_t offset,
                               struct pointer *pointer_out, uint64_t *seq_out,
                               size_t *user_len_out);

struct segment_footer {
	uint64_t frames;
	uint64_t raw_bytes; /* of all values */
};

void segment_footer_encode(const struct segment_footer *footer,
                           struct file_id id, uint64_t offset,
                           uint8_t out[SEGMENT_FOOTER_BYTES]);
/* Errors: CORRUPT. Not logged. */
LSM_MUST_CHECK enum lsm_err
segment_footer_decode(struct slice bytes, struct file_id id, uint64_t offset,
                      struct segment_footer *footer_out);

#endif
