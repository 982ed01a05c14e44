/* SPDX-License-Identifier: MIT */
/*
 * coding.h: integers as bytes: fixed width little-endian for values, fixed width
 * big-endian for keys, LEB128 varints; and a cursor that never reads past
 * its end. The format of every file is written with these alone.
 */
#ifndef LSM_BASE_CODING_H
#define LSM_BASE_CODING_H

#include "base/buf.h"

/* Byte by byte, so that neither alignment nor the machine's byte order matters;
   compilers make single loads and stores of it. */
static inline void put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
	p[3] = (uint8_t)(v >> 24);
}

static inline void put_u64(uint8_t *p, uint64_t v)
{
	put_u32(p, (uint32_t)v);
	put_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static inline uint64_t get_u64(const uint8_t *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static inline uint64_t get_be64(const uint8_t *p)
{
	return (uint64_t)get_be32(p) << 32 | get_be32(p + 4);
}

enum { VARINT_MAX_BYTES = 10 };

/* Write `v` at `p` (room for VARINT_MAX_BYTES); returns the bytes written. */
size_t put_varint(uint8_t *p, uint64_t v);
size_t varint_len(uint64_t v);

LSM_MUST_CHECK enum lsm_err append_u8(struct buf *buf, uint8_t v);
LSM_MUST_CHECK enum lsm_err append_u16(struct buf *buf, uint16_t v);
LSM_MUST_CHECK enum lsm_err append_u32(struct buf *buf, uint32_t v);
LSM_MUST_CHECK enum lsm_err append_u64(struct buf *buf, uint64_t v);
LSM_MUST_CHECK enum lsm_err append_varint(struct buf *buf, uint64_t v);
/* Zigzag, so that small negative numbers are short. */
LSM_MUST_CHECK enum lsm_err append_signed_varint(struct buf *buf, int64_t v);
/* A varint length, then the bytes. */
LSM_MUST_CHECK enum lsm_err append_prefixed(struct buf *buf, struct slice s);

/*
 * A cursor over borrowed bytes. Reading past the end sets `bad` and gives zeros
 * or empty slices from then on, so that a decoder checks `bad` once at the end
 * of a group, and always before it uses a length or an index.
 */
struct cursor {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

struct cursor cursor_make(struct slice s);
size_t cursor_left(const struct cursor *c);
uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint64_t cursor_varint(struct cursor *c); /* an overlong one is bad */
int64_t cursor_signed_varint(struct cursor *c);
struct slice cursor_bytes(struct cursor *c, size_t len);
struct slice cursor_prefixed(struct cursor *c);

#endif
