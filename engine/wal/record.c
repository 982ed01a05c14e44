/* SPDX-License-Identifier: MIT */
/*
 * record.c: the header of a record, in bytes:
 *
 *   u8 tag, v payload len, where it promises (v distance, u16 proof), u64 checksum
 *
 * The distance is how far the log was synced, counted back from the record. The
 * checksum runs over the payload, seeded with place and tag; where there is a
 * promise, also with all that stands before the proof. The proof is the low
 * bits of that seed.
 */
#include "wal/record.h"

#include <assert.h>

#include "base/checksum.h"
#include "base/coding.h"

/* On disk. Frozen. None of these bytes is one of a text in UTF-8, and zero, which
   room is filled with, is none of them. */
enum {
	TAG_BASE = 0xf8,    /* | enum wal_record_type */
	TAG_PROMISES = 0x4, /* | this where the record promises */
	TAG_TYPE_MASK = 0x3,
};

struct header {
	uint8_t tag;
	uint64_t payload_len;
	uint64_t synced_upto;
	uint64_t seed; /* of the checksum */
	uint64_t checksum;
	size_t bytes;
};

size_t wal_record_bytes(size_t payload_len)
{
	return WAL_RECORD_HEADER_MAX_BYTES + payload_len;
}

static uint64_t place_seed(struct file_id id, uint64_t offset, uint8_t tag)
{
	return checksum_place(id.creator, id.number, offset, tag);
}

size_t wal_record_header(struct file_id id, uint64_t offset,
                         const struct wal_record *record,
                         uint8_t header[WAL_RECORD_HEADER_MAX_BYTES])
{
	const bool promises = record->synced_upto > 0;
	uint64_t seed;
	size_t len = 1;

	assert(record->payload.len <= WAL_PAYLOAD_MAX_BYTES);
	assert(record->synced_upto <= offset);

	header[0] = (uint8_t)(TAG_BASE | record->type);
	if (promises)
		header[0] |= TAG_PROMISES;
	seed = place_seed(id, offset, header[0]);
	len += put_varint(header + len, record->payload.len);
	if (promises) {
		len += put_varint(header + len, offset - record->synced_upto);
		seed = checksum_seeded(slice_make(header, len), seed);
		put_u16(header + len, (uint16_t)seed);
		len += 2;
	}
	put_u64(header + len, checksum_seeded(record->payload, seed));
	return len + 8;
}

enum lsm_err wal_record_encode(struct file_id id, uint64_t offset,
                               const struct wal_record *record, struct buf *out)
{
	uint8_t header[WAL_RECORD_HEADER_MAX_BYTES];
	size_t len = wal_record_header(id, offset, record, header);
	enum lsm_err err = buf_reserve(out, len + record->payload.len);

	if (err == LSM_OK)
		err = buf_append(out, header, len);
	if (err == LSM_OK)
		err = buf_append_slice(out, record->payload);
	return err;
}

/* The distance and the proof of a record that promises. */
static bool read_promise(struct file_id id, uint64_t offset, struct slice bytes,
                         struct cursor *c, struct header *out)
{
	uint64_t distance = cursor_varint(c);
	size_t before = (size_t)(c->p - bytes.data);
	uint16_t proof = cursor_u16(c);

	if (c->bad || distance >= offset)
		return false;
	out->synced_upto = offset - distance;
	out->seed = checksum_seeded(slice_make(bytes.data, before),
	                            place_seed(id, offset, out->tag));
	return (uint16_t)out->seed == proof;
}

/* Read the header, before its checksum is believed; whether it could be one. */
static bool read_header(struct file_id id, uint64_t offset, struct slice bytes,
                        struct header *out)
{
	struct cursor c = cursor_make(bytes);

	out->tag = cursor_u8(&c);
	switch (out->tag & ~TAG_PROMISES) {
	case TAG_BASE | WAL_RECORD_DATA:
	case TAG_BASE | WAL_RECORD_END:
		break;
	default:
		return false;
	}
	out->payload_len = cursor_varint(&c);
	if (out->payload_len > WAL_PAYLOAD_MAX_BYTES ||
	    ((out->tag & TAG_TYPE_MASK) == WAL_RECORD_END &&
	     out->payload_len > 0))
		return false;
	out->synced_upto = 0;
	if ((out->tag & TAG_PROMISES) != 0) {
		if (!read_promise(id, offset, bytes, &c, out))
			return false;
	} else {
		out->seed = place_seed(id, offset, out->tag);
	}
	out->checksum = cursor_u64(&c);
	out->bytes = (size_t)(c.p - bytes.data);
	return !c.bad;
}

bool wal_record_peek(struct file_id id, uint64_t offset, struct slice bytes,
                     size_t *total_out, uint64_t *synced_upto_out)
{
	struct header header;

	/* Asked for offset after offset, of which most hold zeros. */
	if (bytes.len == 0 || bytes.data[0] < TAG_BASE ||
	    !read_header(id, offset, bytes, &header))
		return false;
	*total_out = header.bytes + (size_t)header.payload_len;
	*synced_upto_out = header.synced_upto;
	return true;
}

bool wal_record_decode(struct file_id id, uint64_t offset, struct slice bytes,
                       struct wal_record *record_out, size_t *used_out)
{
	struct header header;
	struct slice payload;

	if (!read_header(id, offset, bytes, &header) ||
	    bytes.len - header.bytes < header.payload_len)
		return false;
	payload =
	    slice_make(bytes.data + header.bytes, (size_t)header.payload_len);
	if (checksum_seeded(payload, header.seed) != header.checksum)
		return false;

	record_out->type = (enum wal_record_type)(header.tag & TAG_TYPE_MASK);
	record_out->synced_upto = header.synced_upto;
	record_out->payload = payload;
	*used_out = header.bytes + payload.len;
	return true;
}
