/* SPDX-License-Identifier: MIT */
/*
 * format.c: the footer, in bytes:
 *
 *   0   index handle: u64 offset, u64 bytes      48  u8 index levels
 *   16  filter handle                            49  3 zeros
 *   32  properties handle                        52  u32 magic
 *                                                56  u64 checksum
 *
 * and a block's trailer: u8 codec, u32 raw length, u64 checksum. The checksum
 * covers the stored bytes and the trailer before it.
 */
#include "sst/format.h"

#include <inttypes.h>

#include "base/checksum.h"
#include "base/codec.h"
#include "base/coding.h"
#include "base/log.h"

enum {
	FOOTER_MAGIC = 0x74737366, /* "fsst" */
	FOOTER_TYPE = 255, /* in its checksum, where a block has its type */
	FOOTER_LEVELS_OFFSET = 48,
	FOOTER_MAGIC_OFFSET = 52,
	FOOTER_CHECKSUM_OFFSET = 56,
	TRAILER_CHECKSUM_OFFSET = 5,
};

_Static_assert(FOOTER_CHECKSUM_OFFSET + 8 == SST_FOOTER_BYTES,
               "the checksum ends the footer");
_Static_assert(TRAILER_CHECKSUM_OFFSET + 8 == SST_TRAILER_BYTES,
               "the checksum ends the trailer");

size_t sst_handle_encode(struct sst_handle handle, uint8_t *out)
{
	size_t used = put_varint(out, handle.offset);

	return used + put_varint(out + used, handle.bytes);
}

bool sst_handle_decode(struct slice bytes, struct sst_handle *handle_out)
{
	struct cursor c = cursor_make(bytes);

	handle_out->offset = cursor_varint(&c);
	handle_out->bytes = cursor_varint(&c);
	return !c.bad && cursor_left(&c) == 0;
}

static uint64_t footer_checksum(const uint8_t *bytes, struct file_id id,
                                uint64_t offset)
{
	return checksum_seeded(
	    slice_make(bytes, FOOTER_CHECKSUM_OFFSET),
	    checksum_place(id.creator, id.number, offset, FOOTER_TYPE));
}

static void put_handle(uint8_t *p, struct sst_handle handle)
{
	put_u64(p, handle.offset);
	put_u64(p + 8, handle.bytes);
}

static struct sst_handle get_handle(const uint8_t *p)
{
	struct sst_handle handle = {get_u64(p), get_u64(p + 8)};

	return handle;
}

void sst_footer_encode(const struct sst_footer *footer, struct file_id id,
                       uint64_t offset, uint8_t out[SST_FOOTER_BYTES])
{
	memset(out, 0, SST_FOOTER_BYTES);
	put_handle(out, footer->index);
	put_handle(out + 16, footer->filter);
	put_handle(out + 32, footer->properties);
	out[FOOTER_LEVELS_OFFSET] = footer->index_levels;
	put_u32(out + FOOTER_MAGIC_OFFSET, FOOTER_MAGIC);
	put_u64(out + FOOTER_CHECKSUM_OFFSET, footer_checksum(out, id, offset));
}

enum lsm_err sst_footer_decode(struct slice bytes, struct file_id id,
                               uint64_t offset, struct sst_footer *footer_out)
{
	const uint8_t *p = bytes.data;

	if (bytes.len != SST_FOOTER_BYTES ||
	    get_u32(p + FOOTER_MAGIC_OFFSET) != FOOTER_MAGIC ||
	    get_u64(p + FOOTER_CHECKSUM_OFFSET) !=
	        footer_checksum(p, id, offset))
		return LSM_ERR_CORRUPT;

	footer_out->index = get_handle(p);
	footer_out->filter = get_handle(p + 16);
	footer_out->properties = get_handle(p + 32);
	footer_out->index_levels = p[FOOTER_LEVELS_OFFSET];
	if (footer_out->index_levels < 1 || footer_out->index_levels > 2)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

enum lsm_err sst_block_encode(struct file_id id, uint64_t offset,
                              enum sst_block_type type, struct slice raw,
                              struct buf *out, struct sst_handle *handle_out)
{
	const uint64_t seed =
	    checksum_place(id.creator, id.number, offset, (uint8_t)type);
	const size_t start = out->len;
	enum codec codec;
	enum lsm_err err;
	uint8_t *trailer;
	size_t stored;

	if (raw.len > SST_BLOCK_MAX_BYTES)
		return LSM_ERR_TOO_BIG;
	err = codec_compress(raw, out, &codec);
	if (err != LSM_OK)
		goto out;
	stored = out->len - start;
	err = buf_reserve(out, SST_TRAILER_BYTES);
	if (err != LSM_OK)
		goto out;

	trailer = out->data + out->len;
	trailer[0] = (uint8_t)codec;
	put_u32(trailer + 1, (uint32_t)raw.len);
	put_u64(trailer + TRAILER_CHECKSUM_OFFSET,
	        checksum_seeded(slice_make(out->data + start,
	                                   stored + TRAILER_CHECKSUM_OFFSET),
	                        seed));
	out->len += SST_TRAILER_BYTES;
	handle_out->offset = offset;
	handle_out->bytes = stored;
out:
	if (err != LSM_OK)
		out->len = start;
	return err;
}

/* Whether a block can stand there at all; keeps later sums from wrapping. */
static bool handle_fits(struct sst_handle handle, uint64_t file_bytes)
{
	const uint64_t around = SST_TRAILER_BYTES + SST_FOOTER_BYTES;

	return handle.offset >= FILE_HEADER_BYTES &&
	       handle.bytes <= SST_BLOCK_MAX_BYTES &&
	       handle.offset <= file_bytes &&
	       handle.bytes + around <= file_bytes - handle.offset;
}

/* Check and decompress what was read: `got` bytes, block and trailer. */
static enum lsm_err unpack(struct slice got, struct sst_handle handle,
                           uint64_t seed, struct buf *raw,
                           const char **fault_out)
{
	const size_t stored = (size_t)handle.bytes;
	const uint8_t *trailer = got.data + stored;
	enum lsm_err err;
	uint32_t raw_len;

	*fault_out = "the file ends within the block";
	if (got.len < stored + SST_TRAILER_BYTES)
		return LSM_ERR_CORRUPT;
	*fault_out = "the checksum does not match";
	if (checksum_seeded(
		slice_make(got.data, stored + TRAILER_CHECKSUM_OFFSET), seed) !=
	    get_u64(trailer + TRAILER_CHECKSUM_OFFSET))
		return LSM_ERR_CORRUPT;
	*fault_out = "impossible raw length";
	raw_len = get_u32(trailer + 1);
	if (raw_len == 0 || raw_len > SST_BLOCK_MAX_BYTES)
		return LSM_ERR_CORRUPT;

	buf_clear(raw);
	err = buf_reserve(raw, raw_len);
	if (err != LSM_OK)
		return err;
	*fault_out = "the block does not decompress";
	err = codec_decompress(trailer[0], slice_make(got.data, stored),
	                       raw->data, raw_len);
	if (err == LSM_OK)
		raw->len = raw_len;
	return err;
}

enum lsm_err sst_block_read(struct env_file *file, const char *name,
                            struct file_id id, uint64_t file_bytes,
                            enum sst_block_type type, struct sst_handle handle,
                            struct buf *raw)
{
	const char *fault = "its handle points out of the file";
	enum lsm_err err = LSM_ERR_CORRUPT;
	struct buf packed;
	uint64_t seed;
	size_t want;

	buf_init(&packed);
	buf_clear(raw);
	if (!handle_fits(handle, file_bytes))
		goto out;

	want = (size_t)handle.bytes + SST_TRAILER_BYTES;
	err = buf_reserve(&packed, want);
	if (err != LSM_OK)
		goto out;
	err = env_read(file, handle.offset, packed.data, want, &packed.len);
	if (err != LSM_OK)
		goto out;
	seed =
	    checksum_place(id.creator, id.number, handle.offset, (uint8_t)type);
	err = unpack(buf_slice(&packed), handle, seed, raw, &fault);
out:
	if (err == LSM_ERR_CORRUPT)
		log_error("%s: bad block of type %d at offset %" PRIu64
		          " with %" PRIu64 " bytes: %s",
		          name, (int)type, handle.offset, handle.bytes, fault);
	buf_release(&packed);
	return err;
}
