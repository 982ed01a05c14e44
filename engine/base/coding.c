/* SPDX-License-Identifier: MIT */
#include "base/coding.h"

size_t put_varint(uint8_t *p, uint64_t v)
{
	size_t len = 0;

	while (v >= 0x80) {
		p[len++] = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	p[len++] = (uint8_t)v;
	return len;
}

size_t varint_len(uint64_t v)
{
	size_t len = 1;

	while (v >= 0x80) {
		v >>= 7;
		len++;
	}
	return len;
}

enum lsm_err append_u8(struct buf *buf, uint8_t v)
{
	return buf_append(buf, &v, 1);
}

enum lsm_err append_u16(struct buf *buf, uint16_t v)
{
	uint8_t bytes[2];

	put_u16(bytes, v);
	return buf_append(buf, bytes, sizeof(bytes));
}

enum lsm_err append_u32(struct buf *buf, uint32_t v)
{
	uint8_t bytes[4];

	put_u32(bytes, v);
	return buf_append(buf, bytes, sizeof(bytes));
}

enum lsm_err append_u64(struct buf *buf, uint64_t v)
{
	uint8_t bytes[8];

	put_u64(bytes, v);
	return buf_append(buf, bytes, sizeof(bytes));
}

enum lsm_err append_varint(struct buf *buf, uint64_t v)
{
	uint8_t bytes[VARINT_MAX_BYTES];

	return buf_append(buf, bytes, put_varint(bytes, v));
}

enum lsm_err append_signed_varint(struct buf *buf, int64_t v)
{
	uint64_t sign = v < 0 ? UINT64_MAX : 0;

	return append_varint(buf, (uint64_t)v << 1 ^ sign);
}

enum lsm_err append_prefixed(struct buf *buf, struct slice s)
{
	uint8_t prefix[VARINT_MAX_BYTES];
	size_t prefix_len = put_varint(prefix, s.len);
	enum lsm_err err;

	/* Both or neither: a prefix without its bytes would be a lie. */
	if (s.len > SIZE_MAX - prefix_len)
		return LSM_ERR_NOMEM;
	err = buf_reserve(buf, prefix_len + s.len);
	if (err != LSM_OK)
		return err;
	err = buf_append(buf, prefix, prefix_len);
	if (err != LSM_OK)
		return err;
	return buf_append_slice(buf, s);
}

/* The next `len` bytes, or NULL and bad for ever. */
static const uint8_t *take(struct cursor *c, size_t len)
{
	const uint8_t *p = c->p;

	if (c->bad || len > cursor_left(c)) {
		c->bad = true;
		c->p = c->end;
		return NULL;
	}
	if (len > 0)
		c->p += len;
	return p;
}

struct cursor cursor_make(struct slice s)
{
	struct cursor c = {s.data, s.data, false};

	if (s.len > 0)
		c.end += s.len;
	return c;
}

size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = take(c, 1);

	return p == NULL ? 0 : *p;
}

uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = take(c, 2);

	return p == NULL ? 0 : get_u16(p);
}

uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *p = take(c, 4);

	return p == NULL ? 0 : get_u32(p);
}

uint64_t cursor_u64(struct cursor *c)
{
	const uint8_t *p = take(c, 8);

	return p == NULL ? 0 : get_u64(p);
}

/*
 * Each number has one encoding: one that ends in a needless zero byte, or does
 * not fit in 64 bits, is refused.
 */
uint64_t cursor_varint(struct cursor *c)
{
	const uint8_t *p = c->p;
	uint64_t v = 0;

	for (unsigned i = 0; i < VARINT_MAX_BYTES && p != c->end; i++) {
		uint8_t byte = *p++;
		bool needless = i > 0 && byte == 0;
		bool too_large = i == VARINT_MAX_BYTES - 1 && byte > 1;

		if (needless || too_large)
			break;
		v |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte < 0x80) {
			c->p = p;
			return v;
		}
	}
	c->bad = true;
	c->p = c->end;
	return 0;
}

int64_t cursor_signed_varint(struct cursor *c)
{
	uint64_t v = cursor_varint(c);
	uint64_t sign = (v & 1) != 0 ? UINT64_MAX : 0;

	return (int64_t)(v >> 1 ^ sign);
}

struct slice cursor_bytes(struct cursor *c, size_t len)
{
	const uint8_t *p = take(c, len);

	return slice_make(p, p == NULL ? 0 : len);
}

struct slice cursor_prefixed(struct cursor *c)
{
	uint64_t len = cursor_varint(c);

	if (len > cursor_left(c)) {
		c->bad = true;
		c->p = c->end;
		len = 0;
	}
	return cursor_bytes(c, (size_t)len);
}
