/* SPDX-License-Identifier: MIT */
/*
 * iter.h: the interface of every ordered source of internal keys (memtable,
 * block, table, level, merge of several). A struct that implements it has a
 * `struct iter` as its first member.
 *
 * An iterator starts invalid. After an error it is invalid, and status() keeps
 * the error until the next seek. Keys and values are borrowed until the next
 * move. One thread at a time.
 *
 * Whether it is valid and its key stand in the struct, to be looked at often:
 * whoever implements it sets both at the end of each move, with iter_place().
 */
#ifndef LSM_BASE_ITER_H
#define LSM_BASE_ITER_H

#include "base/buf.h"
#include "base/codec.h"

struct iter;

struct iter_ops {
	void (*seek_first)(struct iter *it);
	/* To the first entry whose internal key is >= target. */
	void (*seek)(struct iter *it, struct slice target);
	void (*next)(struct iter *it); /* needs valid() */
	/* The way back, NULL for a stream that has none. */
	void (*seek_last)(struct iter *it);
	/* To the last entry whose internal key is < target. */
	void (*seek_before)(struct iter *it, struct slice target);
	void (*prev)(struct iter *it); /* needs valid() */
	struct slice (*value)(const struct iter *it);
	/* NULL: never. See iter_packed(). */
	bool (*packed)(const struct iter *it, struct codec_packed *packed_out);
	enum lsm_err (*status)(const struct iter *it);
	void (*destroy)(struct iter *it);
};

struct iter {
	const struct iter_ops *ops;
	bool valid;
	struct slice key; /* while valid */
};

/* Begin, invalid. */
static inline void iter_init(struct iter *it, const struct iter_ops *ops)
{
	it->ops = ops;
	it->valid = false;
	it->key = slice_make(NULL, 0);
}
static inline void iter_place(struct iter *it, bool valid, struct slice key)
{
	it->valid = valid;
	it->key = key;
}

static inline void iter_seek_first(struct iter *it)
{
	it->ops->seek_first(it);
}
static inline void iter_seek(struct iter *it, struct slice target)
{
	it->ops->seek(it, target);
}
static inline void iter_next(struct iter *it)
{
	it->ops->next(it);
}
static inline void iter_seek_last(struct iter *it)
{
	it->ops->seek_last(it);
}
static inline void iter_seek_before(struct iter *it, struct slice target)
{
	it->ops->seek_before(it, target);
}
static inline void iter_prev(struct iter *it)
{
	it->ops->prev(it);
}
static inline bool iter_valid(const struct iter *it)
{
	return it->valid;
}
static inline struct slice iter_key(const struct iter *it)
{
	return it->key;
}
static inline struct slice iter_value(const struct iter *it)
{
	return it->ops->value(it);
}
/* Whether the current entry, as it is, makes up a whole data block, whose packed
   bytes are at hand: read from a table, and right. Borrowed as the value is. */
static inline bool iter_packed(const struct iter *it,
                               struct codec_packed *packed_out)
{
	return it->ops->packed != NULL && it->ops->packed(it, packed_out);
}
static inline enum lsm_err iter_status(const struct iter *it)
{
	return it->ops->status(it);
}
static inline void iter_destroy(struct iter *it)
{
	if (it != NULL)
		it->ops->destroy(it);
}

#endif
