/* SPDX-License-Identifier: MIT */
/*
 * codec.c: lz4 gets room for seven eighths of the input and no more, so that it
 * stops by itself where the rest would not be worth it.
 */
#include "base/codec.h"

#include <lz4.h>

enum {
	CODEC_RAW_MAX_BYTES = 1 << 30,
	CODEC_PROBE_BYTES = 4096,
	/* From here on a probe costs little beside what it may save. */
	CODEC_PROBE_FROM_BYTES = 4 * CODEC_PROBE_BYTES,
	/* Shorter than this, lz4 has nothing to refer back to. */
	CODEC_MIN_BYTES = 16,
};

_Static_assert(CODEC_RAW_MAX_BYTES <= LZ4_MAX_INPUT_SIZE,
               "lz4 takes what we accept");

/* The most bytes that `raw_len` bytes may become and still be worth it. */
static size_t worth_bytes(size_t raw_len)
{
	return raw_len - (raw_len + 7) / 8;
}

/* Whether it is worth while to compress all of it, judged by its beginning. */
static bool looks_compressible(struct slice raw)
{
	char packed[CODEC_PROBE_BYTES];

	if (raw.len < CODEC_MIN_BYTES)
		return false;
	if (raw.len < CODEC_PROBE_FROM_BYTES)
		return true;
	return LZ4_compress_default((const char *)raw.data, packed,
	                            CODEC_PROBE_BYTES,
	                            (int)worth_bytes(CODEC_PROBE_BYTES)) > 0;
}

enum lsm_err codec_compress(struct slice raw, struct buf *out,
                            enum codec *codec_out)
{
	enum lsm_err err;

	*codec_out = CODEC_RAW;
	if (raw.len > CODEC_RAW_MAX_BYTES)
		return LSM_ERR_TOO_BIG;
	err = buf_reserve(out, raw.len);
	if (err != LSM_OK)
		return err;

	if (looks_compressible(raw)) {
		int len = LZ4_compress_default(
		    (const char *)raw.data, (char *)out->data + out->len,
		    (int)raw.len, (int)worth_bytes(raw.len));

		if (len > 0) {
			out->len += (size_t)len;
			*codec_out = CODEC_LZ4;
			return LSM_OK;
		}
	}
	return buf_append_slice(out, raw);
}

static enum lsm_err copy_raw(struct slice packed, uint8_t *raw, size_t raw_len)
{
	if (packed.len != raw_len)
		return LSM_ERR_CORRUPT;
	if (raw_len > 0)
		memcpy(raw, packed.data, raw_len);
	return LSM_OK;
}

static enum lsm_err unpack_lz4(struct slice packed, uint8_t *raw,
                               size_t raw_len)
{
	int len;

	/* What codec_compress() makes of nothing is raw. */
	if (raw_len == 0 || raw_len > CODEC_RAW_MAX_BYTES ||
	    packed.len > CODEC_RAW_MAX_BYTES)
		return LSM_ERR_CORRUPT;
	len = LZ4_decompress_safe((const char *)packed.data, (char *)raw,
	                          (int)packed.len, (int)raw_len);
	if (len < 0 || (size_t)len != raw_len)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

enum lsm_err codec_decompress(uint8_t codec, struct slice packed, uint8_t *raw,
                              size_t raw_len)
{
	switch (codec) {
	case CODEC_RAW:
		return copy_raw(packed, raw, raw_len);
	case CODEC_LZ4:
		return unpack_lz4(packed, raw, raw_len);
	default:
		return LSM_ERR_CORRUPT;
	}
}
