/* SPDX-License-Identifier: MIT */
/*
 * frame.c: a frame's header, in bytes:
 *
 *   0   u32 magic            16  u64 sequence
 *   4   u8 codec             24  u16 length of the key
 *   5   3 zeros              26  6 zeros
 *   8   u32 stored length    32  u64 checksum
 *   12  u32 raw length
 *
 * and the footer: u32 magic, 4 zeros, u64 frames, u64 raw bytes, u64 checksum.
 */
#include "seg/frame.h"

#include <assert.h>

#include "base/checksum.h"
#include "base/coding.h"

enum {
	FRAME_MAGIC = 0x6d726676,  /* "vfrm" */
	FOOTER_MAGIC = 0x646e6576, /* "vend" */
	/* In the checksums. On disk. Frozen. */
	FRAME_TYPE = 1,
	FOOTER_TYPE = 2,

	AT_CODEC = 4,
	AT_STORED = 8,
	AT_RAW = 12,
	AT_SEQ = 16,
	AT_USER = 24,
	AT_CHECKSUM = 32,
	FOOTER_AT_CHECKSUM = 24,
};

_Static_assert(AT_CHECKSUM + 8 == FRAME_HEADER_BYTES,
               "the checksum ends the frame's header");
_Static_assert(FOOTER_AT_CHECKSUM + 8 == SEGMENT_FOOTER_BYTES,
               "the checksum ends the footer");

static uint64_t frame_checksum(const uint8_t *header, struct slice body,
                               struct file_id id, uint64_t offset)
{
	uint64_t place =
	    checksum_place(id.creator, id.number, offset, FRAME_TYPE);

	return checksum_seeded(
	    body, checksum_seeded(slice_make(header, AT_CHECKSUM), place));
}

void frame_encode(const struct frame *frame, struct file_id id, uint64_t offset,
                  uint8_t out[FRAME_HEADER_BYTES], struct pointer *pointer_out)
{
	struct slice body = {frame->user.data,
	                     frame->user.len + frame->stored.len};
	uint64_t checksum;

	assert(frame->stored.data == frame->user.data + frame->user.len);
	memset(out, 0, FRAME_HEADER_BYTES);
	put_u32(out, FRAME_MAGIC);
	out[AT_CODEC] = frame->codec;
	put_u32(out + AT_STORED, (uint32_t)frame->stored.len);
	put_u32(out + AT_RAW, frame->raw_len);
	put_u64(out + AT_SEQ, frame->seq);
	put_u16(out + AT_USER, (uint16_t)frame->user.len);
	checksum = frame_checksum(out, body, id, offset);
	put_u64(out + AT_CHECKSUM, checksum);
	*pointer_out = (struct pointer){
	    .segment = id,
	    .offset = offset,
	    .stored_len = (uint32_t)frame->stored.len,
	    .raw_len = frame->raw_len,
	    .checksum = (uint32_t)checksum,
	};
}

bool frame_peek(const uint8_t bytes[FRAME_HEADER_BYTES], struct file_id id,
                uint64_t offset, struct pointer *pointer_out, uint64_t *seq_out,
                size_t *user_len_out)
{
	*seq_out = get_u64(bytes + AT_SEQ);
	*user_len_out = get_u16(bytes + AT_USER);
	*pointer_out = (struct pointer){
	    .segment = id,
	    .offset = offset,
	    .stored_len = get_u32(bytes + AT_STORED),
	    .raw_len = get_u32(bytes + AT_RAW),
	    .checksum = (uint32_t)get_u64(bytes + AT_CHECKSUM),
	};
	return get_u32(bytes) == FRAME_MAGIC && *user_len_out > 0 &&
	       *user_len_out <= LSM_KEY_MAX_BYTES && pointer_out->raw_len > 0 &&
	       pointer_out->raw_len <= LSM_VALUE_MAX_BYTES &&
	       pointer_out->stored_len > 0 &&
	       pointer_out->stored_len <= pointer_out->raw_len;
}

enum lsm_err frame_decode(struct slice bytes, struct file_id id,
                          uint64_t offset, struct frame *frame_out,
                          struct pointer *pointer_out, const char **fault_out)
{
	const uint8_t *p = bytes.data;
	struct slice body;
	size_t user_len;
	uint64_t seq;

	memset(frame_out, 0, sizeof(*frame_out));
	memset(pointer_out, 0, sizeof(*pointer_out));
	*fault_out = "the file ends within the frame";
	if (bytes.len < FRAME_HEADER_BYTES)
		return LSM_ERR_CORRUPT;
	*fault_out = "no frame begins there";
	if (!frame_peek(p, id, offset, pointer_out, &seq, &user_len))
		return LSM_ERR_CORRUPT;
	*fault_out = "the file ends within the frame";
	body = slice_make(p + FRAME_HEADER_BYTES,
	                  user_len + pointer_out->stored_len);
	if (bytes.len - FRAME_HEADER_BYTES < body.len)
		return LSM_ERR_CORRUPT;
	*fault_out = "the checksum does not match";
	if (get_u64(p + AT_CHECKSUM) != frame_checksum(p, body, id, offset))
		return LSM_ERR_CORRUPT;

	frame_out->codec = p[AT_CODEC];
	frame_out->raw_len = pointer_out->raw_len;
	frame_out->seq = seq;
	frame_out->user = slice_make(body.data, user_len);
	frame_out->stored =
	    slice_make(body.data + user_len, pointer_out->stored_len);
	return LSM_OK;
}

static uint64_t footer_checksum(const uint8_t *bytes, struct file_id id,
                                uint64_t offset)
{
	return checksum_seeded(
	    slice_make(bytes, FOOTER_AT_CHECKSUM),
	    checksum_place(id.creator, id.number, offset, FOOTER_TYPE));
}

void segment_footer_encode(const struct segment_footer *footer,
                           struct file_id id, uint64_t offset,
                           uint8_t out[SEGMENT_FOOTER_BYTES])
{
	memset(out, 0, SEGMENT_FOOTER_BYTES);
	put_u32(out, FOOTER_MAGIC);
	put_u64(out + 8, footer->frames);
	put_u64(out + 16, footer->raw_bytes);
	put_u64(out + FOOTER_AT_CHECKSUM, footer_checksum(out, id, offset));
}

enum lsm_err segment_footer_decode(struct slice bytes, struct file_id id,
                                   uint64_t offset,
                                   struct segment_footer *footer_out)
{
	const uint8_t *p = bytes.data;

	memset(footer_out, 0, sizeof(*footer_out));
	if (bytes.len != SEGMENT_FOOTER_BYTES || get_u32(p) != FOOTER_MAGIC ||
	    get_u64(p + FOOTER_AT_CHECKSUM) != footer_checksum(p, id, offset))
		return LSM_ERR_CORRUPT;
	footer_out->frames = get_u64(p + 8);
	footer_out->raw_bytes = get_u64(p + 16);
	return LSM_OK;
}
