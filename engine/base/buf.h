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

/* memcmp order; a prefix comes before what it begins. */
static inline int slice_compare(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}
bool slice_equal(struct slice a, struct slice b);
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
LSM_MUST_CHECK enum lsm_err buf_set(struct buf *buf, struct slice s);

/* Exchange two bufs. */
void buf_swap(struct buf *a, struct buf *b);

#endif
