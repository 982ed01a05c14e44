/* SPDX-License-Identifier: MIT */
/*
 * record.c: the header of a record, in bytes:
 *
 *   0   u32 magic         8   u8 type     16  u64 synced_upto
 *   4   u32 payload len   9   7 zeros     24  u64 checksum
 *
 * The checksum runs over the header before it and then over the payload: the
 * sum of the first seeds the second, so that neither has to be copied to stand
 * beside the other. Padding carries nothing and is not looked at.
 */
#include "wal/record.h"

#include <assert.h>

#include "base/checksum.h"
#include "base/coding.h"

enum {
	RECORD_MAGIC = 0x63657277, /* "wrec" */
	TYPE_OFFSET = 8,
	SYNCED_OFFSET = 16,
	CHECKSUM_OFFSET = 24,
};

_Static_assert(CHECKSUM_OFFSET + 8 == WAL_RECORD_HEADER_BYTES,
               "the checksum ends the header");
_Static_assert(WAL_RECORD_HEADER_BYTES % WAL_RECORD_ALIGN_BYTES == 0,
               "a record without payload needs no padding");

size_t wal_record_bytes(size_t payload_len)
{
	const size_t mask = WAL_RECORD_ALIGN_BYTES - 1;

	return (WAL_RECORD_HEADER_BYTES + payload_len + mask) & ~mask;
}

static uint64_t record_checksum(struct file_id id, uint64_t offset,
                                const uint8_t *header, struct slice payload)
{
	uint64_t seed =
	    checksum_place(id.creator, id.number, offset, header[TYPE_OFFSET]);

	seed = checksum_seeded(slice_make(header, CHECKSUM_OFFSET), seed);
	return checksum_seeded(payload, seed);
}

void wal_record_header(struct file_id id, uint64_t offset,
                       const struct wal_record *record,
                       uint8_t header[WAL_RECORD_HEADER_BYTES])
{
	assert(record->payload.len <= WAL_PAYLOAD_MAX_BYTES);
	assert(offset % WAL_RECORD_ALIGN_BYTES == 0);

	memset(header, 0, WAL_RECORD_HEADER_BYTES);
	put_u32(header, RECORD_MAGIC);
	put_u32(header + 4, (uint32_t)record->payload.len);
	header[TYPE_OFFSET] = (uint8_t)record->type;
	put_u64(header + SYNCED_OFFSET, record->synced_upto);
	put_u64(header + CHECKSUM_OFFSET,
	        record_checksum(id, offset, header, record->payload));
}

enum lsm_err wal_record_encode(struct file_id id, uint64_t offset,
                               const struct wal_record *record, struct buf *out)
{
	const size_t total = wal_record_bytes(record->payload.len);
	const size_t used = WAL_RECORD_HEADER_BYTES + record->payload.len;
	enum lsm_err err;
	uint8_t *p;

	err = buf_reserve(out, total);
	if (err != LSM_OK)
		return err;

	p = out->data + out->len;
	wal_record_header(id, offset, record, p);
	if (record->payload.len > 0)
		memcpy(p + WAL_RECORD_HEADER_BYTES, record->payload.data,
		       record->payload.len);
	memset(p + used, 0, total - used);
	out->len += total;
	return LSM_OK;
}

/* Whether the header could be one, before its checksum is believed. */
static bool header_is_plausible(const uint8_t *p, uint64_t offset)
{
	const uint32_t len = get_u32(p + 4);

	if (get_u32(p) != RECORD_MAGIC || len > WAL_PAYLOAD_MAX_BYTES)
		return false;
	for (size_t i = TYPE_OFFSET + 1; i < SYNCED_OFFSET; i++) {
		if (p[i] != 0)
			return false;
	}
	if (get_u64(p + SYNCED_OFFSET) > offset)
		return false;
	switch (p[TYPE_OFFSET]) {
	case WAL_RECORD_DATA:
		return true;
	case WAL_RECORD_END:
		return len == 0;
	default:
		return false;
	}
}

bool wal_record_peek(uint64_t offset, struct slice bytes, size_t *total_out,
                     uint64_t *synced_upto_out)
{
	if (bytes.len < WAL_RECORD_HEADER_BYTES ||
	    !header_is_plausible(bytes.data, offset))
		return false;
	*total_out = wal_record_bytes(get_u32(bytes.data + 4));
	*synced_upto_out = get_u64(bytes.data + SYNCED_OFFSET);
	return true;
}

bool wal_record_decode(struct file_id id, uint64_t offset, struct slice bytes,
                       struct wal_record *record_out, size_t *used_out)
{
	struct slice payload;
	uint64_t synced_upto;
	size_t total;

	if (!wal_record_peek(offset, bytes, &total, &synced_upto) ||
	    bytes.len < total)
		return false;
	payload = slice_make(bytes.data + WAL_RECORD_HEADER_BYTES,
	                     get_u32(bytes.data + 4));
	if (record_checksum(id, offset, bytes.data, payload) !=
	    get_u64(bytes.data + CHECKSUM_OFFSET))
		return false;

	record_out->type = (enum wal_record_type)bytes.data[TYPE_OFFSET];
	record_out->synced_upto = synced_upto;
	record_out->payload = payload;
	*used_out = total;
	return true;
}
