/* SPDX-License-Identifier: MIT */
/*
 * buf.h: bytes. A `struct slice` (lsm.h) borrows, a `struct buf` owns and grows.
 *
 * Threads: none of this locks; a buf belongs to one thread at a time.
 */
#ifndef LSM_BASE_BUF_H
#define LSM_BASE_BUF_H

#include <string.h>

#include "lsm.h"

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
};

#define BUF_INIT                                                               \
	{                                                                      \
		NULL, 0, 0                                                     \
	}

static inline struct slice slice_make(const void *data, size_t len)
{
	struct slice s = {(const uint8_t *)data, len};
	return s;
}

/* The bytes of a C string, without its NUL. */
static inline struct slice slice_str(const char *text)
{
	return slice_make(text, strlen(text));
}

enum { SLICE_SHORT_BYTES = 40 };

/* Eight bytes as a number that orders as they do; compilers make one load. */
static inline uint64_t slice_word(const uint8_t *p)
{
	return (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 |
	       (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
	       (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 |
	       (uint64_t)p[6] << 8 | (uint64_t)p[7];
}

/* The order of the first `len` bytes, which are not many: no call for them. The
   last word overlaps the one before. */
static inline int slice_compare_short(const uint8_t *a, const uint8_t *b,
                                      size_t len)
{
	uint64_t x, y;

	for (size_t at = 0; at + 8 < len; at += 8) {
		x = slice_word(a + at);
		y = slice_word(b + at);
		if (x != y)
			return x < y ? -1 : 1;
	}
	if (len >= 8) {
		x = slice_word(a + len - 8);
		y = slice_word(b + len - 8);
		return (x > y) - (x < y);
	}
	for (size_t at = 0; at < len; at++)
		if (a[at] != b[at])
			return a[at] < b[at] ? -1 : 1;
	return 0;
}

/* memcmp order; a prefix comes before what it begins. */
static inline int slice_compare(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len <= SLICE_SHORT_BYTES
	                ? slice_compare_short(a.data, b.data, len)
	                : memcmp(a.data, b.data, len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}
static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && slice_compare(a, b) == 0;
}
bool slice_starts_with(struct slice s, struct slice prefix);

void buf_init(struct buf *buf);
void buf_release(struct buf *buf); /* frees; reusable afterwards */
static inline void buf_clear(struct buf *buf)
{
	buf->len = 0;
}
static inline struct slice buf_slice(const struct buf *buf)
{
	return slice_make(buf->data, buf->len);
}

/* Make room for `more` bytes past len. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err buf_reserve(struct buf *buf, size_t more);

/* Set len; new bytes are zero. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err buf_resize(struct buf *buf, size_t len);

/* Append. `data` must not lie inside the buf. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err buf_append(struct buf *buf, const void *data,
                                       size_t len);
LSM_MUST_CHECK enum lsm_err buf_append_slice(struct buf *buf, struct slice s);

/* Replace the contents. Errors: NOMEM. */
LSM_MUST_CHECK static inline enum lsm_err buf_set(struct buf *buf,
                                                  struct slice s)
{
	buf_clear(buf);
	if (s.len > buf->cap)
		return buf_append_slice(buf, s);
	if (s.len > 0)
		memcpy(buf->data, s.data, s.len);
	buf->len = s.len;
	return LSM_OK;
}

/* Exchange two bufs. */
void buf_swap(struct buf *a, struct buf *b);

#endif
