/* SPDX-License-Identifier: MIT */
/*
 * range.c: the tombstones of a prefix are few, one for each cut of a large file
 * since the last compaction: they are looked at one by one.
 */
#include "base/range.h"

#include <assert.h>

bool range_is_possible(struct slice prefix, struct range range)
{
	return prefix.len > 0 && prefix.len <= LSM_KEY_MAX_BYTES &&
	       range.lower.len <= LSM_KEY_MAX_BYTES - prefix.len &&
	       range.upper.len <= LSM_KEY_MAX_BYTES - prefix.len &&
	       (range.upper.len == 0 ||
	        slice_compare(range.lower, range.upper) < 0);
}

enum lsm_err range_encode(struct range range, struct buf *out)
{
	enum lsm_err err = append_prefixed(out, range.lower);

	if (err != LSM_OK)
		return err;
	return append_prefixed(out, range.upper);
}

bool range_decode(struct slice prefix, struct slice value, struct range *out)
{
	struct cursor c = cursor_make(value);

	out->lower = cursor_prefixed(&c);
	out->upper = cursor_prefixed(&c);
	return !c.bad && cursor_left(&c) == 0 &&
	       range_is_possible(prefix, *out);
}

bool range_covers(struct range range, struct slice rest)
{
	return slice_compare(rest, range.lower) >= 0 &&
	       (range.upper.len == 0 || slice_compare(rest, range.upper) < 0);
}

enum lsm_err range_reach(struct slice prefix, struct range range,
                         struct buf *out)
{
	enum lsm_err err = buf_set(out, prefix);

	if (err != LSM_OK)
		return err;
	if (range.upper.len > 0)
		return buf_append_slice(out, range.upper);
	/* The least key that is greater than all with this prefix. */
	while (out->len > 0 && out->data[out->len - 1] == 0xff)
		out->len--;
	if (out->len > 0) {
		out->data[out->len - 1]++;
		return LSM_OK;
	}
	err = buf_resize(out, LSM_KEY_MAX_BYTES); /* there is none greater */
	if (err == LSM_OK)
		memset(out->data, 0xff, out->len);
	return err;
}

static struct slice rest_of(struct slice user, size_t prefix_bytes)
{
	return slice_make(user.data + prefix_bytes, user.len - prefix_bytes);
}

/* ---- what covers one key ------------------------------------------------- */

bool range_probe_init(struct range_probe *probe, size_t prefix_bytes,
                      struct slice user)
{
	*probe = (struct range_probe){.floor = 0};
	if (prefix_bytes == 0 || user.len <= prefix_bytes)
		return false;
	probe->prefix = slice_make(user.data, prefix_bytes);
	probe->rest = rest_of(user, prefix_bytes);
	return true;
}

bool range_probe_visit(void *ctx, uint64_t seq, enum key_kind kind,
                       struct slice value)
{
	struct range_probe *probe = ctx;
	struct range range;

	if (kind != KEY_RANGE_DELETE)
		return true;
	if (!range_decode(probe->prefix, value, &range)) {
		probe->err = LSM_ERR_CORRUPT;
		return false;
	}
	if (!range_covers(range, probe->rest))
		return true;
	probe->floor = seq;
	return false;
}

/* ---- what covers the keys of a walk --------------------------------------- */

void range_set_init(struct range_set *set)
{
	memset(set, 0, sizeof(*set));
	buf_init(&set->prefix);
	buf_init(&set->values);
	buf_init(&set->items);
}

void range_set_release(struct range_set *set)
{
	buf_release(&set->prefix);
	buf_release(&set->values);
	buf_release(&set->items);
	range_set_init(set);
}

static bool add(void *ctx, uint64_t seq, enum key_kind kind, struct slice value)
{
	struct range_set *set = ctx;
	struct range_item item = {seq, set->values.len, value.len};
	struct range range;

	if (kind != KEY_RANGE_DELETE)
		return true;
	if (!range_decode(buf_slice(&set->prefix), value, &range))
		set->err = LSM_ERR_CORRUPT;
	if (set->err == LSM_OK)
		set->err = buf_append_slice(&set->values, value);
	if (set->err == LSM_OK)
		set->err = buf_append(&set->items, &item, sizeof(item));
	return set->err == LSM_OK;
}

enum lsm_err range_set_load(struct range_set *set,
                            const struct range_source *source,
                            struct slice user)
{
	struct slice prefix = slice_make(user.data, source->prefix_bytes);
	enum lsm_err err;

	if (source->load == NULL || user.len < source->prefix_bytes)
		prefix.len = 0; /* a prefix of none */
	if (set->loaded && slice_equal(prefix, buf_slice(&set->prefix)))
		return LSM_OK;
	set->loaded = false;
	set->err = LSM_OK;
	buf_clear(&set->values);
	buf_clear(&set->items);
	err = buf_set(&set->prefix, prefix);
	if (err == LSM_OK && prefix.len > 0)
		err = source->load(source->ctx, buf_slice(&set->prefix), add,
		                   set);
	if (err == LSM_OK)
		err = set->err;
	set->loaded = err == LSM_OK;
	return err;
}

static size_t item_count(const struct range_set *set)
{
	return set->items.len / sizeof(struct range_item);
}

/* The sequence of tombstone `index`, and its bounds. */
static uint64_t item_at(const struct range_set *set, size_t index,
                        struct range *range_out)
{
	struct range_item item;
	bool ok;

	memcpy(&item, set->items.data + index * sizeof(item), sizeof(item));
	ok = range_decode(buf_slice(&set->prefix),
	                  slice_make(set->values.data + item.begin, item.len),
	                  range_out);
	assert(ok); /* or it had not been added */
	(void)ok;
	return item.seq;
}

uint64_t range_set_floor(const struct range_set *set, struct slice user,
                         uint64_t seq)
{
	size_t prefix_bytes = set->prefix.len;
	uint64_t floor = 0;

	assert(set->loaded);
	if (user.len <= prefix_bytes)
		return 0;
	for (size_t i = 0; i < item_count(set); i++) {
		struct range range;
		uint64_t its_seq = item_at(set, i, &range);

		if (its_seq > floor && its_seq <= seq &&
		    range_covers(range, rest_of(user, prefix_bytes)))
			floor = its_seq;
	}
	return floor;
}

bool range_set_contains(const struct range_set *set, struct range range,
                        uint64_t after, uint64_t seq)
{
	assert(set->loaded);
	for (size_t i = 0; i < item_count(set); i++) {
		struct range other;
		uint64_t its_seq = item_at(set, i, &other);

		if (its_seq > after && its_seq <= seq &&
		    slice_compare(other.lower, range.lower) <= 0 &&
		    (other.upper.len == 0 ||
		     (range.upper.len > 0 &&
		      slice_compare(range.upper, other.upper) <= 0)))
			return true;
	}
	return false;
}
