/* SPDX-License-Identifier: MIT */
/*
 * format.c: the footer, in bytes:
 *
 *   0   top index handle: u64 offset, u64 bytes  32  20 zeros
 *   16  properties handle                        52  u32 magic
 *                                                56  u64 checksum
 *
 * and a block's trailer: u8 codec, u32 raw length, u64 checksum. The checksum
 * covers the stored bytes and the trailer before it.
 */
#include "sst/format.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/coding.h"
#include "base/log.h"
#include "sst/block_memory.h"

enum {
	FOOTER_MAGIC = 0x74737366, /* "fsst" */
	FOOTER_TYPE = 255, /* in its checksum, where a block has its type */
	FOOTER_MAGIC_OFFSET = 52,
	FOOTER_CHECKSUM_OFFSET = 56,
	TRAILER_CHECKSUM_OFFSET = 5,
	USUAL_BYTES = 12 << 10, /* a block up to here is read on the stack */
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

size_t sst_part_encode(const struct sst_part *part, uint8_t *out)
{
	size_t used = sst_handle_encode(part->index, out);

	return used + sst_handle_encode(part->filter, out + used);
}

bool sst_part_decode(struct slice bytes, struct sst_part *part_out)
{
	struct cursor c = cursor_make(bytes);

	part_out->index.offset = cursor_varint(&c);
	part_out->index.bytes = cursor_varint(&c);
	part_out->filter.offset = cursor_varint(&c);
	part_out->filter.bytes = cursor_varint(&c);
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
	put_handle(out, footer->top);
	put_handle(out + 16, footer->properties);
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

	footer_out->top = get_handle(p);
	footer_out->properties = get_handle(p + 16);
	return LSM_OK;
}

/* Append the trailer of the block that has been stored at the end of *out, and will
   stand at `offset`, where `start` is in *out. */
static enum lsm_err append_trailer(struct file_id id, uint64_t offset,
                                   enum sst_block_type type, size_t start,
                                   uint8_t codec, size_t raw_len,
                                   struct buf *out,
                                   struct sst_handle *handle_out)
{
	const uint64_t seed =
	    checksum_place(id.creator, id.number, offset, (uint8_t)type);
	const size_t stored = out->len - start;
	enum lsm_err err = buf_reserve(out, SST_TRAILER_BYTES);
	uint8_t *trailer;

	if (err != LSM_OK)
		return err;
	trailer = out->data + out->len;
	trailer[0] = codec;
	put_u32(trailer + 1, (uint32_t)raw_len);
	put_u64(trailer + TRAILER_CHECKSUM_OFFSET,
	        checksum_seeded(slice_make(out->data + start,
	                                   stored + TRAILER_CHECKSUM_OFFSET),
	                        seed));
	out->len += SST_TRAILER_BYTES;
	handle_out->offset = offset;
	handle_out->bytes = stored;
	return LSM_OK;
}

enum lsm_err sst_block_encode(struct file_id id, uint64_t offset,
                              enum sst_block_type type, struct slice raw,
                              struct buf *out, struct sst_handle *handle_out)
{
	const size_t start = out->len;
	enum codec codec;
	enum lsm_err err;

	if (raw.len > SST_BLOCK_MAX_BYTES)
		return LSM_ERR_TOO_BIG;
	err = codec_compress(raw, out, &codec);
	if (err == LSM_OK)
		err = append_trailer(id, offset, type, start, (uint8_t)codec,
		                     raw.len, out, handle_out);
	if (err != LSM_OK)
		out->len = start;
	return err;
}

enum lsm_err sst_block_copy(struct file_id id, uint64_t offset,
                            enum sst_block_type type,
                            const struct codec_packed *packed, struct buf *out,
                            struct sst_handle *handle_out)
{
	const size_t start = out->len;
	enum lsm_err err;

	if (packed->raw_len > SST_BLOCK_MAX_BYTES)
		return LSM_ERR_TOO_BIG;
	err = buf_append_slice(out, packed->stored);
	if (err == LSM_OK)
		err = append_trailer(id, offset, type, start, packed->codec,
		                     packed->raw_len, out, handle_out);
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

/* Check what was read: `got` bytes, block and trailer. NULL, or the fault. */
static const char *check(struct slice got, struct sst_handle handle,
                         uint64_t seed, struct codec_packed *packed)
{
	const size_t stored = (size_t)handle.bytes;
	const uint8_t *trailer = got.data + stored;
	uint32_t raw_len;

	if (got.len < stored + SST_TRAILER_BYTES)
		return "the file ends within the block";
	if (checksum_seeded(
		slice_make(got.data, stored + TRAILER_CHECKSUM_OFFSET), seed) !=
	    get_u64(trailer + TRAILER_CHECKSUM_OFFSET))
		return "the checksum does not match";
	raw_len = get_u32(trailer + 1);
	if (raw_len == 0 || raw_len > SST_BLOCK_MAX_BYTES)
		return "impossible raw length";
	packed->stored = slice_make(got.data, stored);
	packed->codec = trailer[0];
	packed->raw_len = raw_len;
	return NULL;
}

/* What reads a block gives: memory for the raw bytes. NULL: none left. */
typedef uint8_t *(*room_fn)(void *ctx, size_t raw_len);

/* Read into `bytes`, which has room, and unpack into what `room` gives. */
static enum lsm_err read_and_unpack(struct env_file *file, uint8_t *bytes,
                                    struct sst_handle handle, uint64_t seed,
                                    room_fn room, void *ctx,
                                    struct codec_packed *packed,
                                    const char **fault_out)
{
	enum lsm_err err;
	uint8_t *raw;
	size_t got;

	err = env_read(file, handle.offset, bytes,
	               (size_t)handle.bytes + SST_TRAILER_BYTES, &got);
	if (err != LSM_OK)
		return err;
	*fault_out = check(slice_make(bytes, got), handle, seed, packed);
	if (*fault_out != NULL)
		return LSM_ERR_CORRUPT;
	raw = room(ctx, packed->raw_len);
	if (raw == NULL)
		return LSM_ERR_NOMEM;
	*fault_out = "the block does not decompress";
	return codec_decompress(packed->codec, packed->stored, raw,
	                        packed->raw_len);
}

static enum lsm_err read_block(struct env_file *file, const char *name,
                               struct file_id id, uint64_t file_bytes,
                               enum sst_block_type type,
                               struct sst_handle handle, struct sst_kept *kept,
                               room_fn room, void *ctx)
{
	const char *fault = "its handle points out of the file";
	const size_t bytes = (size_t)handle.bytes + SST_TRAILER_BYTES;
	enum lsm_err err = LSM_ERR_CORRUPT;
	uint8_t usual[USUAL_BYTES];
	struct sst_kept ours = {0};
	struct codec_packed packed;
	uint64_t seed;

	if (!handle_fits(handle, file_bytes))
		goto out;
	if (kept == NULL)
		kept = &ours;
	seed =
	    checksum_place(id.creator, id.number, handle.offset, (uint8_t)type);
	if (kept == &ours && bytes <= sizeof(usual)) {
		err = read_and_unpack(file, usual, handle, seed, room, ctx,
		                      &packed, &fault);
	} else {
		buf_clear(&kept->bytes);
		err = buf_reserve(&kept->bytes, bytes);
		if (err == LSM_OK)
			err = read_and_unpack(file, kept->bytes.data, handle,
			                      seed, room, ctx, &packed, &fault);
		if (err == LSM_OK)
			kept->packed = packed;
	}
	buf_release(&ours.bytes);
out:
	if (err == LSM_ERR_CORRUPT)
		log_error("%s: bad block of type %d at offset %" PRIu64
		          " with %" PRIu64 " bytes: %s",
		          name, (int)type, handle.offset, handle.bytes, fault);
	return err;
}

static uint8_t *room_in_buf(void *ctx, size_t raw_len)
{
	struct buf *raw = ctx;

	if (buf_reserve(raw, raw_len) != LSM_OK)
		return NULL;
	raw->len = raw_len;
	return raw->data;
}

enum lsm_err sst_block_read(struct env_file *file, const char *name,
                            struct file_id id, uint64_t file_bytes,
                            enum sst_block_type type, struct sst_handle handle,
                            struct buf *raw)
{
	enum lsm_err err;

	buf_clear(raw);
	err = read_block(file, name, id, file_bytes, type, handle, NULL,
	                 room_in_buf, raw);
	if (err != LSM_OK)
		buf_clear(raw);
	return err;
}

/* Memory of its own for a block, behind the caller's head. */
struct own_room {
	size_t head, raw_len;
	uint8_t *start;
};

static uint8_t *room_behind_head(void *ctx, size_t raw_len)
{
	struct own_room *own = ctx;

	own->start = block_memory_take(own->head + raw_len);
	own->raw_len = raw_len;
	return own->start == NULL ? NULL : own->start + own->head;
}

enum lsm_err sst_block_load(struct env_file *file, const char *name,
                            struct file_id id, uint64_t file_bytes,
                            enum sst_block_type type, struct sst_handle handle,
                            struct sst_kept *kept, size_t head,
                            void **block_out, size_t *raw_len_out)
{
	struct own_room own = {.head = head};
	enum lsm_err err;

	err = read_block(file, name, id, file_bytes, type, handle, kept,
	                 room_behind_head, &own);
	if (err != LSM_OK) {
		block_memory_give(own.start);
		own = (struct own_room){0};
	}
	*block_out = own.start;
	*raw_len_out = own.raw_len;
	return err;
}
