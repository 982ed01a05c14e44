/* SPDX-License-Identifier: MIT */
/*
 * pointer.c: in bytes: u64 creator, u64 number, u64 offset, u32 stored length,
 * u32 raw length, u32 checksum. docs/format.md is the authority.
 */
#include "seg/pointer.h"

#include "base/coding.h"

void pointer_encode(const struct pointer *pointer, uint8_t out[POINTER_BYTES])
{
	put_u64(out, pointer->segment.creator);
	put_u64(out + 8, pointer->segment.number);
	put_u64(out + 16, pointer->offset);
	put_u32(out + 24, pointer->stored_len);
	put_u32(out + 28, pointer->raw_len);
	put_u32(out + 32, pointer->checksum);
}

bool pointer_decode(struct slice bytes, struct pointer *pointer_out)
{
	struct cursor c = cursor_make(bytes);

	memset(pointer_out, 0, sizeof(*pointer_out));
	if (bytes.len != POINTER_BYTES)
		return false;
	pointer_out->segment.creator = cursor_u64(&c);
	pointer_out->segment.number = cursor_u64(&c);
	pointer_out->offset = cursor_u64(&c);
	pointer_out->stored_len = cursor_u32(&c);
	pointer_out->raw_len = cursor_u32(&c);
	pointer_out->checksum = cursor_u32(&c);
	return pointer_out->segment.number > 0 &&
	       pointer_out->offset >= FILE_HEADER_BYTES &&
	       pointer_out->offset <= INT64_MAX && pointer_out->raw_len > 0 &&
	       pointer_out->raw_len <= LSM_VALUE_MAX_BYTES &&
	       pointer_out->stored_len > 0 &&
	       pointer_out->stored_len <= pointer_out->raw_len;
}
