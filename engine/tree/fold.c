/* SPDX-License-Identifier: MIT */
/*
 * fold.c: the usual key has one version, a PUT: then its bytes are copied once,
 * into a buf that is swapped with the caller's.
 */
#include "tree/fold.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

void fold_init(struct fold *fold, struct fold_fn fn, struct slice user)
{
	memset(fold, 0, sizeof(*fold));
	fold->fn = fn;
	buf_init(&fold->value);
	buf_init(&fold->operands);
	buf_init(&fold->ends);
	fold->user = user;
}

void fold_release(struct fold *fold)
{
	if (fold == NULL)
		return;
	buf_release(&fold->value);
	buf_release(&fold->operands);
	buf_release(&fold->ends);
	fold_reset(fold, slice_make(NULL, 0));
}

void fold_reset(struct fold *fold, struct slice user)
{
	fold->user = user;
	buf_clear(&fold->value);
	buf_clear(&fold->operands);
	buf_clear(&fold->ends);
	fold->floor = 0;
	fold->operand_count = 0;
	fold->has_value = false;
	fold->is_pointer = false;
	fold->done = false;
	fold->oldest_first = false;
	fold->err = LSM_OK;
}

static enum lsm_err add_operand(struct fold *fold, struct slice operand)
{
	enum lsm_err err;

	if (fold->fn.call == NULL) {
		log_error("a merge entry in a store without a fold function");
		return LSM_ERR_CORRUPT;
	}
	err = buf_append_slice(&fold->operands, operand);
	if (err == LSM_OK)
		err = append_u64(&fold->ends, fold->operands.len);
	if (err == LSM_OK)
		fold->operand_count++;
	return err;
}

bool fold_visit(void *ctx, uint64_t seq, enum key_kind kind, struct slice value)
{
	struct fold *fold = ctx;

	if (fold->done || fold->err != LSM_OK)
		return false;
	if (seq < fold->floor)
		kind = KEY_DELETE;
	switch (kind) {
	case KEY_POINTER:
	case KEY_PUT:
		fold->is_pointer = kind == KEY_POINTER;
		fold->err = buf_set(&fold->value, value);
		fold->has_value = fold->err == LSM_OK;
		fold->done = true;
		break;
	case KEY_DELETE:
		fold->done = true;
		break;
	case KEY_MERGE:
		fold->err = add_operand(fold, value);
		break;
	case KEY_RANGE_DELETE:
		break;
	default:
		log_error("an entry of unknown kind %u at sequence %llu",
		          (unsigned)kind, (unsigned long long)seq);
		fold->err = LSM_ERR_CORRUPT;
		break;
	}
	return !fold->done && fold->err == LSM_OK;
}

bool fold_visit_back(struct fold *fold, uint64_t seq, enum key_kind kind,
                     struct slice value)
{
	uint64_t floor = fold->floor;

	if (fold->err != LSM_OK)
		return false;
	if (seq < floor || kind == KEY_RANGE_DELETE)
		return true;
	if (kind != KEY_MERGE) {
		fold_reset(fold, fold->user);
		fold->floor = floor;
	}
	fold->oldest_first = true;
	if (kind == KEY_MERGE)
		fold->err = add_operand(fold, value);
	else
		(void)fold_visit(fold, seq, kind, value);
	return fold->err == LSM_OK;
}

/* Operand `index`, in the order in which they came. */
static struct slice operand_at(const struct fold *fold, size_t index)
{
	const uint8_t *ends = fold->ends.data;
	size_t begin = 0, end;

	assert(index < fold->operand_count);
	end = (size_t)get_u64(ends + index * sizeof(uint64_t));
	if (index > 0)
		begin = (size_t)get_u64(ends + (index - 1) * sizeof(uint64_t));
	/* All of them may be empty: then there are no bytes to point into. */
	if (begin == end)
		return slice_make("", 0);
	return slice_make(fold->operands.data + begin, end - begin);
}

/* The value that the pointer leads to takes its place. */
static enum lsm_err load_base(struct fold *fold)
{
	struct buf value = BUF_INIT;
	enum lsm_err err = LSM_ERR_CORRUPT;

	if (fold->fn.load != NULL)
		err = fold->fn.load(fold->fn.load_ctx, fold->user,
		                    buf_slice(&fold->value), &value);
	else
		log_error("a pointer entry in a store without segments");
	if (err == LSM_OK) {
		buf_swap(&fold->value, &value);
		fold->is_pointer = false;
	}
	buf_release(&value);
	return err;
}

static enum lsm_err call_fn(struct fold *fold, bool has_base, struct buf *value)
{
	size_t count = fold->operand_count;
	struct slice *operands;
	struct slice base;
	enum lsm_err err = LSM_OK;

	if (fold->is_pointer)
		err = load_base(fold);
	if (err != LSM_OK)
		return err;
	base = buf_slice(&fold->value);
	operands = malloc(count * sizeof(*operands));
	if (operands == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		operands[i] =
		    operand_at(fold, fold->oldest_first ? i : count - 1 - i);
	err = fold->fn.call(fold->fn.ctx, fold->user, has_base,
	                    fold->has_value ? &base : NULL, operands, count,
	                    value);
	free(operands);
	return err;
}

enum lsm_err fold_finish(struct fold *fold, bool bottom, struct buf *value,
                         enum fold_result *result_out)
{
	bool has_base = fold->done || bottom;
	enum lsm_err err;

	buf_clear(value);
	*result_out = FOLD_NOTHING;
	if (fold->err != LSM_OK)
		return fold->err;

	if (fold->operand_count == 0) {
		if (!fold->has_value)
			return LSM_OK;
		buf_swap(&fold->value, value);
		*result_out = fold->is_pointer ? FOLD_POINTER : FOLD_VALUE;
		return LSM_OK;
	}
	if (!has_base && fold->operand_count == 1) {
		buf_swap(&fold->operands, value);
		*result_out = FOLD_OPERAND;
		return LSM_OK;
	}
	err = call_fn(fold, has_base, value);
	if (err != LSM_OK) {
		buf_clear(value);
		return err;
	}
	*result_out = has_base ? FOLD_VALUE : FOLD_OPERAND;
	return LSM_OK;
}
