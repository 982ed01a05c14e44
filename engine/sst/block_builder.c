/* SPDX-License-Identifier: MIT */
/* block_builder.c: every interval-th key is stored whole. */
#include "sst/block_builder.h"

#include <assert.h>

#include "base/coding.h"

void block_builder_init(struct block_builder *b, uint32_t interval)
{
	buf_init(&b->raw);
	buf_init(&b->last_key);
	buf_init(&b->restarts);
	b->interval = interval;
	b->since_restart = 0;
	b->entries = 0;
}

void block_builder_release(struct block_builder *b)
{
	buf_release(&b->raw);
	buf_release(&b->last_key);
	buf_release(&b->restarts);
	block_builder_clear(b);
}

void block_builder_clear(struct block_builder *b)
{
	buf_clear(&b->raw);
	buf_clear(&b->last_key);
	buf_clear(&b->restarts);
	b->since_restart = 0;
	b->entries = 0;
}

static size_t shared_prefix(struct slice a, struct slice b)
{
	const size_t limit = a.len < b.len ? a.len : b.len;
	size_t n = 0;

	while (n < limit && a.data[n] == b.data[n])
		n++;
	return n;
}

static bool restart_is_due(const struct block_builder *b)
{
	return b->entries == 0 || b->since_restart == b->interval;
}

enum lsm_err block_builder_add(struct block_builder *b, struct slice key,
                               struct slice value)
{
	const bool restart = restart_is_due(b);
	size_t shared = 0, unshared;
	enum lsm_err err;
	uint8_t *p;

	assert(b->raw.len <= UINT32_MAX);
	if (!restart)
		shared = shared_prefix(buf_slice(&b->last_key), key);
	unshared = key.len - shared;

	/* All that can fail comes first, so that no half entry is left. */
	err = buf_reserve(&b->raw, 3 * VARINT_MAX_BYTES + unshared + value.len);
	if (err != LSM_OK)
		return err;
	err = buf_set(&b->last_key, key);
	if (err != LSM_OK)
		return err;
	if (restart) {
		err = append_u32(&b->restarts, (uint32_t)b->raw.len);
		if (err != LSM_OK)
			return err;
		b->since_restart = 0;
	}

	p = b->raw.data + b->raw.len;
	p += put_varint(p, shared);
	p += put_varint(p, unshared);
	p += put_varint(p, value.len);
	memcpy(p, key.data + shared, unshared);
	p += unshared;
	if (value.len > 0)
		memcpy(p, value.data, value.len);
	p += value.len;
	b->raw.len = (size_t)(p - b->raw.data);
	b->since_restart++;
	b->entries++;
	return LSM_OK;
}

size_t block_builder_bytes(const struct block_builder *b)
{
	return b->raw.len + b->restarts.len + sizeof(uint32_t);
}

enum lsm_err block_builder_finish(struct block_builder *b,
                                  struct slice *raw_out)
{
	const uint32_t count = (uint32_t)(b->restarts.len / sizeof(uint32_t));
	enum lsm_err err;

	*raw_out = slice_make(NULL, 0);
	err = buf_append_slice(&b->raw, buf_slice(&b->restarts));
	if (err != LSM_OK)
		return err;
	err = append_u32(&b->raw, count);
	if (err != LSM_OK)
		return err;
	*raw_out = buf_slice(&b->raw);
	return LSM_OK;
}
