/* SPDX-License-Identifier: MIT */
#include "store/batch.h"

#include <assert.h>
#include <stdlib.h>

#include "base/range.h"
#include "seg/pointer.h"

_Static_assert(LSM_COUNTERS <= 8, "the mask of counters is one byte");

enum lsm_err lsm_batch_create(struct lsm_batch **batch_out)
{
	struct lsm_batch *batch = calloc(1, sizeof(*batch));

	*batch_out = NULL;
	if (batch == NULL)
		return LSM_ERR_NOMEM;
	if (buf_resize(&batch->rep, BATCH_HEADER_MAX_BYTES) != LSM_OK) {
		free(batch);
		return LSM_ERR_NOMEM;
	}
	batch->end = batch->rep.len;
	*batch_out = batch;
	return LSM_OK;
}

void lsm_batch_destroy(struct lsm_batch *batch)
{
	if (batch == NULL)
		return;
	buf_release(&batch->rep);
	free(batch);
}

void lsm_batch_clear(struct lsm_batch *batch)
{
	batch->rep.len = BATCH_HEADER_MAX_BYTES;
	batch->end = BATCH_HEADER_MAX_BYTES;
	batch->entries = 0;
	batch->bytes = 0;
	batch->merges = false;
	batch->range_prefix_bytes = 0;
	memset(batch->counters, 0, sizeof(batch->counters));
}

enum lsm_err batch_add(struct lsm_batch *batch, enum key_kind kind,
                       struct slice key, struct slice value)
{
	size_t most = 1 + 2 * VARINT_MAX_BYTES + key.len + value.len;
	uint8_t *p;
	enum lsm_err err;

	batch->rep.len = batch->end; /* without counters */
	if (key.len == 0 || key.len > LSM_KEY_MAX_BYTES ||
	    value.len > LSM_VALUE_MAX_BYTES ||
	    batch->rep.len + most > LSM_BATCH_MAX_BYTES)
		return LSM_ERR_TOO_BIG;
	err = buf_reserve(&batch->rep, most);
	if (err != LSM_OK)
		return err;

	p = batch->rep.data + batch->rep.len;
	*p++ = (uint8_t)kind;
	p += put_varint(p, key.len);
	memcpy(p, key.data, key.len);
	p += key.len;
	p += put_varint(p, value.len);
	if (value.len > 0)
		memcpy(p, value.data, value.len);
	p += value.len;
	batch->rep.len = (size_t)(p - batch->rep.data);
	batch->end = batch->rep.len;
	batch->entries++;
	batch->bytes += key.len + value.len;
	return LSM_OK;
}

enum lsm_err lsm_batch_put(struct lsm_batch *batch, struct slice key,
                           struct slice value)
{
	return batch_add(batch, KEY_PUT, key, value);
}

enum lsm_err lsm_batch_delete(struct lsm_batch *batch, struct slice key)
{
	return batch_add(batch, KEY_DELETE, key, slice_make(NULL, 0));
}

enum lsm_err lsm_batch_merge(struct lsm_batch *batch, struct slice key,
                             struct slice operand)
{
	enum lsm_err err = batch_add(batch, KEY_MERGE, key, operand);

	if (err == LSM_OK)
		batch->merges = true;
	return err;
}

enum lsm_err lsm_batch_delete_range(struct lsm_batch *batch,
                                    struct slice prefix, struct slice lower,
                                    struct slice upper)
{
	struct range range = {lower, upper};
	struct buf value = BUF_INIT;
	enum lsm_err err;

	if (!range_is_possible(prefix, range) ||
	    (batch->range_prefix_bytes > 0 &&
	     batch->range_prefix_bytes != prefix.len))
		return LSM_ERR_INVALID;
	err = range_encode(range, &value);
	if (err == LSM_OK)
		err = batch_add(batch, KEY_RANGE_DELETE, prefix,
		                buf_slice(&value));
	if (err == LSM_OK)
		batch->range_prefix_bytes = prefix.len;
	buf_release(&value);
	return err;
}

void lsm_batch_count(struct lsm_batch *batch, unsigned index, int64_t delta)
{
	assert(index < LSM_COUNTERS);
	batch->counters[index] += delta;
}

size_t lsm_batch_entries(const struct lsm_batch *batch)
{
	return batch->entries;
}

size_t lsm_batch_bytes(const struct lsm_batch *batch)
{
	return batch->bytes;
}

/* Write the header so that it ends where the entries begin; where it begins. */
static size_t write_header(struct lsm_batch *batch, uint64_t first_seq,
                           uint8_t mask)
{
	uint8_t header[2 * VARINT_MAX_BYTES + 1];
	size_t len = put_varint(header, first_seq);

	len += put_varint(header + len,
	                  (uint64_t)batch->entries * 2 + (mask != 0));
	if (mask != 0)
		header[len++] = mask;
	assert(len <= BATCH_HEADER_MAX_BYTES);
	memcpy(batch->rep.data + BATCH_HEADER_MAX_BYTES - len, header, len);
	return BATCH_HEADER_MAX_BYTES - len;
}

enum lsm_err batch_finish(struct lsm_batch *batch, uint64_t first_seq,
                          struct slice *payload_out)
{
	uint8_t mask = 0;
	size_t begin;
	enum lsm_err err;

	assert(first_seq <= KEY_SEQ_MAX);
	batch->rep.len = batch->end; /* it may have been finished before */
	err = buf_reserve(&batch->rep, LSM_COUNTERS * VARINT_MAX_BYTES);
	if (err != LSM_OK)
		return err;
	for (unsigned i = 0; i < LSM_COUNTERS; i++) {
		if (batch->counters[i] == 0)
			continue;
		mask = (uint8_t)(mask | 1u << i);
		err = append_signed_varint(&batch->rep, batch->counters[i]);
		if (err != LSM_OK)
			return err;
	}
	begin = write_header(batch, first_seq, mask);
	*payload_out =
	    slice_make(batch->rep.data + begin, batch->rep.len - begin);
	return LSM_OK;
}

enum lsm_err batch_reader_init(struct batch_reader *reader,
                               struct slice payload)
{
	uint64_t count;
	bool counts;

	reader->cursor = cursor_make(payload);
	reader->first_seq = cursor_varint(&reader->cursor);
	count = cursor_varint(&reader->cursor);
	counts = count % 2 != 0;
	reader->counter_mask = counts ? cursor_u8(&reader->cursor) : 0;
	count /= 2;
	if (reader->cursor.bad || count > UINT32_MAX ||
	    counts != (reader->counter_mask != 0) || reader->first_seq == 0 ||
	    reader->first_seq > KEY_SEQ_MAX - count)
		return LSM_ERR_CORRUPT;
	reader->entries = (uint32_t)count;
	return LSM_OK;
}

enum lsm_err batch_reader_next(struct batch_reader *reader,
                               enum key_kind *kind_out, struct slice *key_out,
                               struct slice *value_out)
{
	struct pointer pointer;
	struct range range;
	uint8_t kind = cursor_u8(&reader->cursor);

	*key_out = cursor_prefixed(&reader->cursor);
	*value_out = cursor_prefixed(&reader->cursor);
	if (reader->cursor.bad || kind > KEY_POINTER || key_out->len == 0 ||
	    key_out->len > LSM_KEY_MAX_BYTES ||
	    value_out->len > LSM_VALUE_MAX_BYTES)
		return LSM_ERR_CORRUPT;
	if (kind == KEY_RANGE_DELETE &&
	    !range_decode(*key_out, *value_out, &range))
		return LSM_ERR_CORRUPT;
	if (kind == KEY_POINTER && !pointer_decode(*value_out, &pointer))
		return LSM_ERR_CORRUPT;
	*kind_out = (enum key_kind)kind;
	return LSM_OK;
}

enum lsm_err batch_reader_counters(struct batch_reader *reader,
                                   int64_t counters[LSM_COUNTERS])
{
	for (unsigned i = 0; i < LSM_COUNTERS; i++) {
		if ((reader->counter_mask & 1u << i) != 0)
			counters[i] = (int64_t)((uint64_t)counters[i] +
			                        (uint64_t)cursor_signed_varint(
						    &reader->cursor));
	}
	if (reader->cursor.bad || cursor_left(&reader->cursor) != 0)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}
