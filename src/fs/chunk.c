/* SPDX-License-Identifier: MIT */
/*
 * chunk.c
 *
 *   FULL    01, bytes (1 to 65,536; none only where a TRIM left none)
 *   PATCH   02, offset u32, length u32, bytes
 *   TRIM    03, length u32
 *   ZERO    05, length u32
 *   CLEAR   06, offset u32, length u32
 *   EXTEND  07, length u32
 *
 * Operands are combined without their base on an image of the chunk that knows,
 * for each byte, whether the operands wrote it, cleared it, or left it alone.
 * That costs 128 KiB for a moment, and makes any number of small overlapping
 * patches into the fewest records there can be.
 */
#include "fs/chunk.h"

#include <assert.h>
#include <stdlib.h>

#include "base/coding.h"

struct record {
	enum chunk_kind kind;
	uint32_t offset; /* of PATCH and CLEAR */
	uint32_t len;
	struct slice bytes; /* of PATCH */
};

/* Take the next record of an operand. Errors: CORRUPT. */
static enum lsm_err next_record(struct cursor *c, struct record *record)
{
	record->kind = (enum chunk_kind)cursor_u8(c);
	record->offset = 0;
	record->bytes = slice_make(NULL, 0);
	switch (record->kind) {
	case CHUNK_PATCH:
	case CHUNK_CLEAR:
		record->offset = cursor_u32(c);
		record->len = cursor_u32(c);
		break;
	case CHUNK_TRIM:
	case CHUNK_EXTEND:
		record->len = cursor_u32(c);
		break;
	default:
		return LSM_ERR_CORRUPT;
	}
	if (c->bad || record->len > CHUNK_BYTES ||
	    record->offset > CHUNK_BYTES - record->len)
		return LSM_ERR_CORRUPT;
	if (record->kind == CHUNK_PATCH)
		record->bytes = cursor_bytes(c, record->len);
	return c->bad ? LSM_ERR_CORRUPT : LSM_OK;
}

static bool all_zero(struct slice bytes)
{
	if (bytes.len == 0 || bytes.data[0] != 0)
		return false;
	return memcmp(bytes.data, bytes.data + 1, bytes.len - 1) == 0;
}

enum lsm_err chunk_encode(struct buf *value, struct slice bytes)
{
	enum lsm_err err;

	assert(bytes.len <= CHUNK_BYTES);
	buf_clear(value);
	if (all_zero(bytes)) {
		err = append_u8(value, CHUNK_ZERO);
		if (err != LSM_OK)
			return err;
		return append_u32(value, (uint32_t)bytes.len);
	}
	err = buf_reserve(value, 1 + bytes.len);
	if (err != LSM_OK)
		return err;
	err = append_u8(value, CHUNK_FULL);
	if (err != LSM_OK)
		return err;
	return buf_append_slice(value, bytes);
}

enum lsm_err chunk_len(struct slice value, uint32_t *len_out)
{
	struct cursor c = cursor_make(value);
	uint8_t kind = cursor_u8(&c);

	*len_out = 0;
	if (kind == CHUNK_FULL && cursor_left(&c) <= CHUNK_BYTES) {
		*len_out = (uint32_t)cursor_left(&c);
		return LSM_OK;
	}
	if (kind == CHUNK_ZERO) {
		uint32_t len = cursor_u32(&c);

		if (c.bad || cursor_left(&c) != 0 || len > CHUNK_BYTES)
			return LSM_ERR_CORRUPT;
		*len_out = len;
		return LSM_OK;
	}
	return LSM_ERR_CORRUPT;
}

enum lsm_err chunk_read(struct slice value, uint32_t offset, uint8_t *out,
                        size_t len)
{
	size_t have = 0;
	uint32_t stored;
	enum lsm_err err;

	err = chunk_len(value, &stored);
	if (err != LSM_OK)
		return err;
	if (value.data[0] == CHUNK_FULL && offset < stored) {
		have = stored - offset < len ? stored - offset : len;
		memcpy(out, value.data + 1 + offset, have);
	}
	if (have < len)
		memset(out + have, 0, len - have);
	return LSM_OK;
}

static enum lsm_err append_record(struct buf *operand, enum chunk_kind kind,
                                  uint32_t offset, uint32_t len)
{
	uint8_t head[CHUNK_HEAD_BYTES];

	head[0] = (uint8_t)kind;
	put_u32(head + 1, offset);
	put_u32(head + 5, len);
	return buf_append(operand, head, sizeof(head));
}

static enum lsm_err append_bound(struct buf *operand, enum chunk_kind kind,
                                 uint32_t len)
{
	enum lsm_err err = append_u8(operand, (uint8_t)kind);

	return err != LSM_OK ? err : append_u32(operand, len);
}

enum lsm_err chunk_patch(struct buf *operand, uint32_t offset,
                         struct slice bytes)
{
	enum lsm_err err;

	assert(bytes.len <= CHUNK_BYTES && offset <= CHUNK_BYTES - bytes.len);
	err = buf_reserve(operand, CHUNK_HEAD_BYTES + bytes.len);
	if (err != LSM_OK)
		return err;
	err = append_record(operand, CHUNK_PATCH, offset, (uint32_t)bytes.len);
	if (err != LSM_OK)
		return err;
	return buf_append_slice(operand, bytes);
}

enum lsm_err chunk_clear(struct buf *operand, uint32_t offset, uint32_t len)
{
	assert(len <= CHUNK_BYTES && offset <= CHUNK_BYTES - len);
	return append_record(operand, CHUNK_CLEAR, offset, len);
}

enum lsm_err chunk_trim(struct buf *operand, uint32_t len)
{
	assert(len <= CHUNK_BYTES);
	return append_bound(operand, CHUNK_TRIM, len);
}

/* ---- onto a base --------------------------------------------------------- */

/* Make *value a FULL one. */
static enum lsm_err expand(struct buf *value)
{
	enum lsm_err err;
	uint32_t len;

	if (value->len == 0)
		return append_u8(value, CHUNK_FULL);
	err = chunk_len(buf_slice(value), &len);
	if (err != LSM_OK || value->data[0] == CHUNK_FULL)
		return err;
	buf_clear(value);
	err = buf_resize(value, 1 + (size_t)len);
	if (err != LSM_OK)
		return err;
	value->data[0] = CHUNK_FULL;
	memset(value->data + 1, 0, len);
	return LSM_OK;
}

static enum lsm_err apply_record(struct buf *value, const struct record *record)
{
	size_t stored = value->len - 1;
	size_t end = (size_t)record->offset + record->len;
	enum lsm_err err;

	switch (record->kind) {
	case CHUNK_TRIM:
		if (stored > record->len)
			value->len = 1 + (size_t)record->len;
		return LSM_OK;
	case CHUNK_CLEAR:
		if (end > stored)
			end = stored;
		if (record->offset < end)
			memset(value->data + 1 + record->offset, 0,
			       end - record->offset);
		return LSM_OK;
	default: /* PATCH, EXTEND */
		if (end > stored) {
			err = buf_resize(value, 1 + end);
			if (err != LSM_OK)
				return err;
		}
		if (record->bytes.len > 0)
			memcpy(value->data + 1 + record->offset,
			       record->bytes.data, record->bytes.len);
		return LSM_OK;
	}
}

enum lsm_err chunk_apply(struct buf *value, struct slice operand)
{
	struct cursor c = cursor_make(operand);
	enum lsm_err err;

	err = expand(value);
	while (err == LSM_OK && cursor_left(&c) > 0) {
		struct record record;

		err = next_record(&c, &record);
		if (err == LSM_OK)
			err = apply_record(value, &record);
	}
	return err;
}

static enum lsm_err fold_full(const struct slice *base,
                              const struct slice *operands, size_t count,
                              struct buf *value)
{
	enum lsm_err err;

	err = buf_reserve(value, CHUNK_VALUE_MAX_BYTES);
	if (err != LSM_OK)
		return err;
	if (base != NULL) {
		err = buf_append_slice(value, *base);
		if (err == LSM_OK && value->len == 0)
			err = LSM_ERR_CORRUPT;
	}
	for (size_t i = 0; err == LSM_OK && i < count; i++)
		err = chunk_apply(value, operands[i]);
	return err;
}

/* ---- without a base ------------------------------------------------------ */

enum byte_state {
	BYTE_UNTOUCHED,
	BYTE_WRITTEN,
	BYTE_CLEARED,
};

struct image {
	uint32_t trim;              /* the base's length is at most this */
	uint32_t extend;            /* the result's length is at least this */
	uint8_t state[CHUNK_BYTES]; /* enum byte_state */
	uint8_t bytes[CHUNK_BYTES]; /* where written */
};

static void draw_record(struct image *image, const struct record *record)
{
	switch (record->kind) {
	case CHUNK_TRIM:
		if (image->trim > record->len)
			image->trim = record->len;
		if (image->extend > record->len)
			image->extend = record->len;
		memset(image->state + record->len, BYTE_UNTOUCHED,
		       CHUNK_BYTES - record->len);
		break;
	case CHUNK_CLEAR:
		memset(image->state + record->offset, BYTE_CLEARED,
		       record->len);
		break;
	case CHUNK_PATCH:
		memset(image->state + record->offset, BYTE_WRITTEN,
		       record->len);
		if (record->len > 0)
			memcpy(image->bytes + record->offset,
			       record->bytes.data, record->len);
		/* fall through */
	default: /* PATCH, EXTEND */
		if (image->extend < record->offset + record->len)
			image->extend = record->offset + record->len;
		break;
	}
}

static enum lsm_err draw_operand(struct image *image, struct slice operand)
{
	struct cursor c = cursor_make(operand);

	while (cursor_left(&c) > 0) {
		struct record record;
		enum lsm_err err = next_record(&c, &record);

		if (err != LSM_OK)
			return err;
		draw_record(image, &record);
	}
	return LSM_OK;
}

/* The runs of one state, as records. */
static enum lsm_err append_runs(const struct image *image, struct buf *operand)
{
	enum lsm_err err = LSM_OK;
	uint32_t from = 0;

	while (err == LSM_OK && from < CHUNK_BYTES) {
		uint8_t state = image->state[from];
		uint32_t to = from + 1;

		while (to < CHUNK_BYTES && image->state[to] == state)
			to++;
		if (state == BYTE_WRITTEN)
			err = chunk_patch(
			    operand, from,
			    slice_make(image->bytes + from, to - from));
		else if (state == BYTE_CLEARED)
			err = chunk_clear(operand, from, to - from);
		from = to;
	}
	return err;
}

static enum lsm_err fold_partial(const struct slice *operands, size_t count,
                                 struct buf *value)
{
	struct image *image = malloc(sizeof(*image));
	enum lsm_err err = LSM_OK;

	if (image == NULL)
		return LSM_ERR_NOMEM;
	image->trim = CHUNK_BYTES;
	image->extend = 0;
	memset(image->state, BYTE_UNTOUCHED, sizeof(image->state));
	for (size_t i = 0; err == LSM_OK && i < count; i++)
		err = draw_operand(image, operands[i]);
	if (err == LSM_OK && image->trim < CHUNK_BYTES)
		err = append_bound(value, CHUNK_TRIM, image->trim);
	/* A patch that ends there says so by itself. */
	if (err == LSM_OK && image->extend > 0 &&
	    image->state[image->extend - 1] != BYTE_WRITTEN)
		err = append_bound(value, CHUNK_EXTEND, image->extend);
	if (err == LSM_OK)
		err = append_runs(image, value);
	free(image);
	return err;
}

enum lsm_err chunk_fold(void *ctx, struct slice key, bool has_base,
                        const struct slice *base, const struct slice *operands,
                        size_t count, struct buf *value)
{
	(void)ctx;
	if (key.len == 0 || key.data[0] != SCHEMA_CHUNK)
		return LSM_ERR_CORRUPT;
	if (has_base)
		return fold_full(base, operands, count, value);
	return fold_partial(operands, count, value);
}
