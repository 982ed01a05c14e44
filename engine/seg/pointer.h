/* SPDX-License-Identifier: MIT */
/*
 * pointer.h: what the tree holds of a value that lies in a segment: where its
 * frame stands and what must be found there.
 */
#ifndef LSM_SEG_POINTER_H
#define LSM_SEG_POINTER_H

#include "io/file_header.h"

enum { POINTER_BYTES = 36 };

struct pointer {
	struct file_id segment;
	uint64_t offset;     /* of the frame */
	uint32_t stored_len; /* of the value, as the codec left it */
	uint32_t raw_len;    /* of the value */
	uint32_t checksum;   /* the low half of the frame's */
};

void pointer_encode(const struct pointer *pointer, uint8_t out[POINTER_BYTES]);

/* False when the bytes are no pointer: another length, or figures that no frame
   can have. */
LSM_MUST_CHECK bool pointer_decode(struct slice bytes,
                                   struct pointer *pointer_out);

#endif
