/* SPDX-License-Identifier: MIT */
/*
 * buf.c: the bytes of a buf at least double when they grow, so that appending
 * one by one stays linear.
 */
#include "base/buf.h"

#include <stdlib.h>

enum { BUF_MIN_CAP_BYTES = 64 };

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len &&
	       slice_equal(slice_make(s.data, prefix.len), prefix);
}

void buf_init(struct buf *buf)
{
	*buf = (struct buf)BUF_INIT;
}

void buf_release(struct buf *buf)
{
	if (buf == NULL)
		return;
	free(buf->data);
	buf_init(buf);
}

enum lsm_err buf_reserve(struct buf *buf, size_t more)
{
	size_t need, cap;
	uint8_t *data;

	if (more <= buf->cap - buf->len)
		return LSM_OK;
	if (more > PTRDIFF_MAX - buf->len)
		return LSM_ERR_NOMEM;

	need = buf->len + more;
	/* No overflow: malloc never gave more than PTRDIFF_MAX. */
	cap = buf->cap * 2;
	if (cap < BUF_MIN_CAP_BYTES)
		cap = BUF_MIN_CAP_BYTES;
	if (cap < need)
		cap = need;

	data = realloc(buf->data, cap);
	if (data == NULL)
		return LSM_ERR_NOMEM;
	buf->data = data;
	buf->cap = cap;
	return LSM_OK;
}

enum lsm_err buf_resize(struct buf *buf, size_t len)
{
	if (len > buf->len) {
		enum lsm_err err = buf_reserve(buf, len - buf->len);

		if (err != LSM_OK)
			return err;
		memset(buf->data + buf->len, 0, len - buf->len);
	}
	buf->len = len;
	return LSM_OK;
}

enum lsm_err buf_append(struct buf *buf, const void *data, size_t len)
{
	enum lsm_err err;

	if (len == 0)
		return LSM_OK; /* `data` may be NULL, which memcpy forbids */
	err = buf_reserve(buf, len);
	if (err != LSM_OK)
		return err;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return LSM_OK;
}

enum lsm_err buf_append_slice(struct buf *buf, struct slice s)
{
	return buf_append(buf, s.data, s.len);
}

void buf_swap(struct buf *a, struct buf *b)
{
	struct buf kept = *a;

	*a = *b;
	*b = kept;
}
