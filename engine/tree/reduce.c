/* SPDX-License-Identifier: MIT */
/*
 * reduce.c: history of one user key, newest first, cut into stripes. A stripe
 * is the versions with sequence in (snapshots[i - 1], snapshots[i]], which
 * snapshot i sees as one state; the last one ends nowhere and is what later
 * readers see.
 *
 *   newest of the stripe   what goes out, with the sequence of the newest
 *   PUT, POINTER           the entry as it is
 *   DELETE                 a tombstone; nothing, when nothing older is left
 *   MERGE                  the operands down to the first PUT or DELETE of the
 *                          stripe folded onto it: a PUT. Without such a base:
 *                          one operand; a PUT, when nothing older is left.
 *                          Onto a POINTER only when they are much of its
 *                          value: otherwise one operand, then the POINTER
 *
 *
 * Under a range tombstone of its stripe the newest is as a DELETE, which need not
 * go out itself.
 *
 * An operand is never folded onto a base of an older stripe: the base must stay
 * for the snapshots that see it, and a PUT beside it would hold its bytes
 * twice. "Nothing older is left" is: the stream has no older version of the
 * key, and `bottom` says that nobody else has one.
 *
 * Of each stripe the stream holds one state in memory, whatever its length.
 */
#include "tree/reduce.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "seg/pointer.h"

/* Operands are folded onto a value in a segment once they make up this part of
   it: reading it and writing it anew, whole, then pays. */
enum { FOLD_POINTER_PART = 4 };

struct reduce_iter {
	struct iter base;
	struct iter *inner; /* owned */
	struct reduce_options options;

	struct fold fold;
	struct range_set ranges; /* of the prefix of `key` */
	struct buf key;          /* of the entry we stand on */
	struct buf value;
	size_t stripe; /* of the entry we stand on */
	/* The entry is the inner one as it is: no byte of it was copied, and
	   inner stands on it still. Otherwise inner is past its stripe. */
	bool direct;
	enum lsm_err err;
};

/* The number of snapshots that do not see `seq`: the same within a stripe. */
static size_t stripe_of(const struct reduce_iter *it, uint64_t seq)
{
	size_t low = 0, high = it->options.snapshot_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (it->options.snapshots[middle] < seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool inner_has_same_user(const struct reduce_iter *it)
{
	return iter_valid(it->inner) &&
	       slice_equal(key_user(iter_key(it->inner)),
	                   key_user(buf_slice(&it->key)));
}

static bool inner_is_in_stripe(const struct reduce_iter *it)
{
	return inner_has_same_user(it) &&
	       key_kind(iter_key(it->inner)) != KEY_RANGE_DELETE &&
	       stripe_of(it, key_seq(iter_key(it->inner))) == it->stripe;
}

static void skip_stripe(struct reduce_iter *it)
{
	while (inner_is_in_stripe(it))
		iter_next(it->inner);
}

/* Whether inner stands on a value in a segment that is large against the operands
   on top of it, and not deleted. */
static bool is_too_large_to_fold(const struct reduce_iter *it, uint64_t floor)
{
	struct slice key = iter_key(it->inner);
	struct pointer pointer;

	return it->fold.operand_count > 0 && key_seq(key) >= floor &&
	       key_kind(key) == KEY_POINTER &&
	       pointer_decode(iter_value(it->inner), &pointer) &&
	       it->fold.operands.len < pointer.raw_len / FOLD_POINTER_PART;
}

/* Feed the stripe to the fold down to its base, and go past the stripe; or, short
   of a base that stays as it is, up to that. */
static enum lsm_err fold_stripe(struct reduce_iter *it, uint64_t floor)
{
	bool more = true;

	fold_reset(&it->fold, key_user(buf_slice(&it->key)));
	it->fold.floor = floor;
	while (more && inner_is_in_stripe(it)) {
		struct slice key = iter_key(it->inner);

		if (is_too_large_to_fold(it, floor))
			return LSM_OK;
		more = fold_visit(&it->fold, key_seq(key), key_kind(key),
		                  iter_value(it->inner));
		iter_next(it->inner);
	}
	skip_stripe(it);
	/* A stripe that an error cut short must not pass for a whole one. */
	return iter_valid(it->inner) ? LSM_OK : iter_status(it->inner);
}

static bool nothing_older(const struct reduce_iter *it)
{
	return !inner_has_same_user(it) && it->options.bottom != NULL &&
	       it->options.bottom(it->options.ctx,
	                          key_user(buf_slice(&it->key)));
}

static void set_kind(struct reduce_iter *it, enum key_kind kind)
{
	uint64_t seq = key_seq(buf_slice(&it->key));

	put_u64(it->key.data + it->key.len - KEY_TRAILER_BYTES,
	        key_trailer(seq, kind));
}

/* The last sequence that belongs to the stripe. */
static uint64_t stripe_end(const struct reduce_iter *it)
{
	if (it->stripe == it->options.snapshot_count)
		return KEY_SEQ_MAX;
	return it->options.snapshots[it->stripe];
}

/* Whether the range tombstone at which inner stands is needed no more. */
static enum lsm_err range_is_over(struct reduce_iter *it, bool *over_out)
{
	struct slice prefix = key_user(buf_slice(&it->key));
	uint64_t seq = key_seq(buf_slice(&it->key));
	struct range range;

	*over_out = false;
	if (prefix.len != it->options.ranges.prefix_bytes) {
		log_error("a range tombstone over keys that begin with %zu "
		          "bytes in a store where that is %zu",
		          prefix.len, it->options.ranges.prefix_bytes);
		return LSM_ERR_CORRUPT;
	}
	if (!range_decode(prefix, iter_value(it->inner), &range))
		return LSM_ERR_CORRUPT;
	if (range_set_contains(&it->ranges, range, seq, stripe_end(it))) {
		*over_out = true;
		return LSM_OK;
	}
	if (it->stripe > 0 || it->options.range_over == NULL)
		return LSM_OK;
	return it->options.range_over(it->options.ctx, prefix, range, seq,
	                              over_out);
}

static enum lsm_err take_range(struct reduce_iter *it, bool *emitted_out)
{
	bool over;
	enum lsm_err err = range_is_over(it, &over);

	if (err != LSM_OK)
		return err;
	*emitted_out = !over;
	it->direct = !over;
	if (!over)
		return LSM_OK;
	iter_next(it->inner);
	return iter_valid(it->inner) ? LSM_OK : iter_status(it->inner);
}

/* Stand on what the stripe that begins at inner amounts to; *emitted_out is
   false when that is nothing. */
static enum lsm_err take_stripe(struct reduce_iter *it, bool *emitted_out)
{
	enum fold_result result;
	uint64_t floor;
	bool bottom;
	enum lsm_err err;

	*emitted_out = true;
	err = buf_set(&it->key, iter_key(it->inner));
	if (err == LSM_OK)
		err = range_set_load(&it->ranges, &it->options.ranges,
		                     key_user(buf_slice(&it->key)));
	if (err != LSM_OK)
		return err;
	it->stripe = stripe_of(it, key_seq(buf_slice(&it->key)));
	if (key_kind(buf_slice(&it->key)) == KEY_RANGE_DELETE)
		return take_range(it, emitted_out);
	floor = range_set_floor(&it->ranges, key_user(buf_slice(&it->key)),
	                        stripe_end(it));
	if (key_seq(buf_slice(&it->key)) < floor) {
		skip_stripe(it);
		*emitted_out = false;
		return iter_valid(it->inner) ? LSM_OK : iter_status(it->inner);
	}
	it->direct = key_kind(buf_slice(&it->key)) == KEY_PUT ||
	             key_kind(buf_slice(&it->key)) == KEY_POINTER;
	if (it->direct)
		return LSM_OK;

	err = fold_stripe(it, floor);
	if (err != LSM_OK)
		return err;
	/* Who asks: a tombstone, and operands without a base. */
	bottom = (it->fold.operand_count == 0 || !it->fold.done) &&
	         nothing_older(it);
	err = fold_finish(&it->fold, bottom, &it->value, &result);
	if (err != LSM_OK)
		return err;
	if (result == FOLD_NOTHING)
		*emitted_out = !bottom; /* a tombstone, as the key says */
	else
		set_kind(it, result == FOLD_VALUE ? KEY_PUT : KEY_MERGE);
	return LSM_OK;
}

/* From the first version of a stripe, go to the next entry that is kept. */
static void settle(struct reduce_iter *it)
{
	bool valid = false;

	while (!valid && it->err == LSM_OK && iter_valid(it->inner))
		it->err = take_stripe(it, &valid);
	if (it->err == LSM_OK && !valid)
		it->err = iter_status(it->inner);
	iter_place(&it->base, valid && it->err == LSM_OK, buf_slice(&it->key));
}

static void reduce_seek_first(struct iter *base)
{
	struct reduce_iter *it = (struct reduce_iter *)base;

	it->err = LSM_OK;
	iter_seek_first(it->inner);
	settle(it);
}

static void reduce_next(struct iter *base)
{
	struct reduce_iter *it = (struct reduce_iter *)base;

	assert(iter_valid(base));
	if (it->direct && key_kind(buf_slice(&it->key)) == KEY_RANGE_DELETE)
		iter_next(it->inner);
	else if (it->direct)
		skip_stripe(it);
	settle(it);
}

static struct slice reduce_value(const struct iter *base)
{
	const struct reduce_iter *it = (const struct reduce_iter *)base;

	return it->direct ? iter_value(it->inner) : buf_slice(&it->value);
}

static bool reduce_packed(const struct iter *base,
                          struct codec_packed *packed_out)
{
	const struct reduce_iter *it = (const struct reduce_iter *)base;

	return it->direct && iter_packed(it->inner, packed_out);
}

static enum lsm_err reduce_status(const struct iter *base)
{
	return ((const struct reduce_iter *)base)->err;
}

static void reduce_destroy(struct iter *base)
{
	struct reduce_iter *it = (struct reduce_iter *)base;

	iter_destroy(it->inner);
	fold_release(&it->fold);
	range_set_release(&it->ranges);
	buf_release(&it->key);
	buf_release(&it->value);
	free(it);
}

/* No seek: what lies before a place decides what stands there. */
static const struct iter_ops reduce_ops = {
    .seek_first = reduce_seek_first,
    .next = reduce_next,
    .value = reduce_value,
    .packed = reduce_packed,
    .status = reduce_status,
    .destroy = reduce_destroy,
};

enum lsm_err reduce_iter_create(struct iter *inner,
                                const struct reduce_options *options,
                                struct iter **iter_out)
{
	struct reduce_iter *it;

	*iter_out = NULL;
	it = calloc(1, sizeof(*it));
	if (it == NULL) {
		iter_destroy(inner);
		return LSM_ERR_NOMEM;
	}
	iter_init(&it->base, &reduce_ops);
	it->inner = inner;
	it->options = *options;
	fold_init(&it->fold, options->fold, slice_make(NULL, 0));
	range_set_init(&it->ranges);
	buf_init(&it->key);
	buf_init(&it->value);
	*iter_out = &it->base;
	return LSM_OK;
}
