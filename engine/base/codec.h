/* SPDX-License-Identifier: MIT */
/*
 * codec.h: bytes made smaller with lz4, or left raw where that saves less than
 * an eighth.
 */
#ifndef LSM_BASE_CODEC_H
#define LSM_BASE_CODEC_H

#include "base/buf.h"

/* On disk. Frozen. */
enum codec {
	CODEC_RAW = 0,
	CODEC_LZ4 = 1,
};

/* What codec_compress() made of some bytes, borrowed. */
struct codec_packed {
	struct slice stored;
	uint8_t codec; /* as a file has it */
	size_t raw_len;
};

/*
 * Append `raw` to *out in the form that *codec_out names. Tries the first 4 KiB
 * of a large input alone and gives up early when they do not shrink by an
 * eighth. Errors: NOMEM, TOO_BIG (more than 1 GiB).
 */
LSM_MUST_CHECK enum lsm_err codec_compress(struct slice raw, struct buf *out,
                                           enum codec *codec_out);

/*
 * Decode into `raw`, which has exactly `raw_len` bytes. `codec` is a byte from
 * disk. Errors: CORRUPT when it is unknown or the bytes do not decode to exactly
 * raw_len.
 */
LSM_MUST_CHECK enum lsm_err codec_decompress(uint8_t codec, struct slice packed,
                                             uint8_t *raw, size_t raw_len);

#endif
