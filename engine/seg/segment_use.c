/* SPDX-License-Identifier: MIT */
#include "seg/segment_use.h"

#include <stdlib.h>

enum {
	USES_FIRST_CAP = 4,
	USE_MIN_BYTES = 8 + 3, /* encoded: creator and three varints */
};

void segment_uses_init(struct segment_uses *uses)
{
	memset(uses, 0, sizeof(*uses));
}

void segment_uses_release(struct segment_uses *uses)
{
	if (uses == NULL)
		return;
	free(uses->items);
	segment_uses_init(uses);
}

/* The index of the first entry whose id is not below. */
static size_t lower_bound(const struct segment_uses *uses, struct file_id id)
{
	size_t low = 0, high = uses->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (file_id_compare(uses->items[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct segment_use *segment_uses_find(const struct segment_uses *uses,
                                      struct file_id id)
{
	size_t at = lower_bound(uses, id);

	if (at == uses->count || !file_id_equal(uses->items[at].id, id))
		return NULL;
	return &uses->items[at];
}

static enum lsm_err make_room(struct segment_uses *uses, size_t more)
{
	size_t cap = uses->cap > 0 ? uses->cap * 2 : USES_FIRST_CAP;
	struct segment_use *grown;

	if (more <= uses->cap - uses->count)
		return LSM_OK;
	if (cap < uses->count + more)
		cap = uses->count + more;
	grown = realloc(uses->items, cap * sizeof(*grown));
	if (grown == NULL)
		return LSM_ERR_NOMEM;
	uses->items = grown;
	uses->cap = cap;
	return LSM_OK;
}

static void add_up(struct segment_use *item, const struct segment_use *use)
{
	item->frames += use->frames;
	item->bytes += use->bytes;
	item->tables += use->tables;
	if (item->file_bytes == 0)
		item->file_bytes = use->file_bytes;
}

enum lsm_err segment_uses_append(struct segment_uses *uses,
                                 const struct segment_uses *more)
{
	enum lsm_err err = make_room(uses, more->count);

	if (err != LSM_OK || more->count == 0)
		return err;
	memcpy(uses->items + uses->count, more->items,
	       more->count * sizeof(*more->items));
	uses->count += more->count;
	return LSM_OK;
}

static int compare_uses(const void *left, const void *right)
{
	const struct segment_use *a = left, *b = right;

	return file_id_compare(a->id, b->id);
}

void segment_uses_sum(struct segment_uses *uses)
{
	size_t kept = 0;

	if (uses->count == 0)
		return;
	qsort(uses->items, uses->count, sizeof(*uses->items), compare_uses);
	for (size_t i = 1; i < uses->count; i++) {
		if (file_id_equal(uses->items[kept].id, uses->items[i].id))
			add_up(&uses->items[kept], &uses->items[i]);
		else
			uses->items[++kept] = uses->items[i];
	}
	uses->count = kept + 1;
}

enum lsm_err segment_uses_add(struct segment_uses *uses,
                              const struct segment_use *use)
{
	size_t at = lower_bound(uses, use->id);
	struct segment_use *item;
	enum lsm_err err;

	if (at < uses->count && file_id_equal(uses->items[at].id, use->id)) {
		add_up(&uses->items[at], use);
		return LSM_OK;
	}
	err = make_room(uses, 1);
	if (err != LSM_OK)
		return err;
	item = &uses->items[at];
	memmove(item + 1, item, (uses->count - at) * sizeof(*item));
	*item = *use;
	uses->count++;
	return LSM_OK;
}

bool segment_uses_equal(const struct segment_uses *a,
                        const struct segment_uses *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!file_id_equal(a->items[i].id, b->items[i].id) ||
		    a->items[i].frames != b->items[i].frames ||
		    a->items[i].bytes != b->items[i].bytes)
			return false;
	return true;
}

static enum lsm_err encode_use(const struct segment_use *use, bool with_size,
                               struct buf *out)
{
	enum lsm_err err = append_u64(out, use->id.creator);

	if (err == LSM_OK)
		err = append_varint(out, use->id.number);
	if (err == LSM_OK)
		err = append_varint(out, use->frames);
	if (err == LSM_OK)
		err = append_varint(out, use->bytes);
	if (err == LSM_OK && with_size)
		err = append_varint(out, use->file_bytes);
	return err;
}

enum lsm_err segment_uses_encode(const struct segment_uses *uses,
                                 bool with_sizes, struct buf *out)
{
	enum lsm_err err = append_varint(out, uses->count);

	for (size_t i = 0; err == LSM_OK && i < uses->count; i++)
		err = encode_use(&uses->items[i], with_sizes, out);
	return err;
}

static bool is_possible(const struct segment_use *use, bool with_size)
{
	return use->id.number > 0 && use->frames > 0 &&
	       use->bytes >= use->frames &&
	       (!with_size || use->file_bytes > use->bytes);
}

static enum lsm_err decode_use(struct cursor *c, bool with_size,
                               struct segment_uses *uses)
{
	struct segment_use use = {.tables = 1};

	use.id.creator = cursor_u64(c);
	use.id.number = cursor_varint(c);
	use.frames = cursor_varint(c);
	use.bytes = cursor_varint(c);
	if (with_size)
		use.file_bytes = cursor_varint(c);
	if (c->bad || !is_possible(&use, with_size))
		return LSM_ERR_CORRUPT;
	if (uses->count > 0 &&
	    file_id_compare(uses->items[uses->count - 1].id, use.id) >= 0)
		return LSM_ERR_CORRUPT;
	return segment_uses_add(uses, &use);
}

enum lsm_err segment_uses_decode(struct cursor *c, bool with_sizes,
                                 struct segment_uses *uses)
{
	uint64_t count = cursor_varint(c);
	enum lsm_err err = LSM_OK;

	segment_uses_init(uses);
	if (c->bad || count > cursor_left(c) / USE_MIN_BYTES)
		return LSM_ERR_CORRUPT;
	for (uint64_t i = 0; err == LSM_OK && i < count; i++)
		err = decode_use(c, with_sizes, uses);
	if (err != LSM_OK)
		segment_uses_release(uses);
	return err;
}
