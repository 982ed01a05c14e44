/* SPDX-License-Identifier: MIT */
/*
 * block.c: a seek looks at keys stored whole, at restart offsets, where they
 * lie, and walks at most SST_RESTART_INTERVAL entries from there. Only the walk
 * puts keys together in `key`, whose memory is reused.
 */
#include "sst/block.h"

#include <assert.h>

enum { RESTART_BYTES = 4 };

/* The parts of one entry, borrowed from the block. */
struct entry {
	size_t shared;
	struct slice unshared;
	struct slice value;
	size_t end; /* offset behind it */
};

/* Take the restart array apart; false when it cannot be one. */
static bool parse(struct block_iter *it, struct slice raw)
{
	size_t room;

	if (raw.len < RESTART_BYTES)
		return false;
	room = raw.len - RESTART_BYTES;
	it->restart_count = get_u32(raw.data + room);
	if (it->restart_count > room / RESTART_BYTES)
		return false;
	room -= (size_t)it->restart_count * RESTART_BYTES;
	it->entries = slice_make(raw.data, room);
	it->restarts = raw.data + room;
	return (it->restart_count == 0) == (room == 0);
}

void block_iter_set(struct block_iter *it, struct slice raw)
{
	it->err = LSM_OK;
	it->valid = false;
	it->offset = 0;
	it->next_offset = 0;
	it->value = slice_make(NULL, 0);
	buf_clear(&it->key);
	if (!parse(it, raw)) {
		it->entries = slice_make(NULL, 0);
		it->restarts = NULL; /* what seeks go by */
		it->restart_count = 0;
	}
}

void block_iter_init(struct block_iter *it, struct slice raw)
{
	buf_init(&it->key);
	block_iter_set(it, raw);
}

void block_iter_release(struct block_iter *it)
{
	buf_release(&it->key);
	it->valid = false;
}

static void end_with(struct block_iter *it, enum lsm_err err)
{
	it->valid = false;
	it->err = err;
}

/* The three lengths that begin an entry; nearly always a byte each. */
static void read_lengths(struct cursor *c, uint64_t lengths[3])
{
	const uint8_t *p = c->p;

	if (cursor_left(c) >= 3 && (p[0] | p[1] | p[2]) < 0x80) {
		for (int i = 0; i < 3; i++)
			lengths[i] = p[i];
		c->p += 3;
		return;
	}
	for (int i = 0; i < 3; i++)
		lengths[i] = cursor_varint(c);
}

/* Read the entry at `offset`; false when it does not lie within the block. */
static bool read_entry(struct slice entries, size_t offset, struct entry *entry)
{
	uint64_t lengths[3], left;
	struct cursor c;

	if (offset >= entries.len)
		return false;
	c = cursor_make(
	    slice_make(entries.data + offset, entries.len - offset));
	read_lengths(&c, lengths);
	left = cursor_left(&c);
	if (c.bad || lengths[0] > entries.len || lengths[1] > left ||
	    lengths[2] > left - lengths[1])
		return false;
	entry->shared = (size_t)lengths[0];
	entry->unshared = slice_make(c.p, (size_t)lengths[1]);
	entry->value =
	    slice_make(c.p + entry->unshared.len, (size_t)lengths[2]);
	entry->end =
	    (size_t)(entry->value.data - entries.data) + entry->value.len;
	return true;
}

/* Make the entry at next_offset the current one, on top of the key before. */
static void step(struct block_iter *it)
{
	struct entry entry;

	it->valid = false;
	if (it->next_offset == it->entries.len)
		return;
	if (!read_entry(it->entries, it->next_offset, &entry) ||
	    entry.shared > it->key.len) {
		end_with(it, LSM_ERR_CORRUPT);
		return;
	}
	it->key.len = entry.shared;
	it->err = buf_reserve(&it->key, entry.unshared.len);
	if (it->err != LSM_OK)
		return;
	if (entry.unshared.len > 0)
		memcpy(it->key.data + entry.shared, entry.unshared.data,
		       entry.unshared.len);
	it->key.len += entry.unshared.len;
	if (!key_is_valid(buf_slice(&it->key))) {
		end_with(it, LSM_ERR_CORRUPT);
		return;
	}
	it->value = entry.value;
	it->offset = it->next_offset;
	it->next_offset = entry.end;
	it->valid = true;
}

/* The key that is stored whole at restart `index`. */
static bool restart_key(const struct block_iter *it, uint32_t index,
                        size_t *offset_out, struct slice *key_out)
{
	struct entry entry;

	*offset_out = get_u32(it->restarts + (size_t)index * RESTART_BYTES);
	if (!read_entry(it->entries, *offset_out, &entry) ||
	    entry.shared != 0 || !key_is_valid(entry.unshared))
		return false;
	*key_out = entry.unshared;
	return true;
}

/*
 * Where to walk from to find `target`: the last restart whose key is not
 * behind it, or the first entry. False when a restart is damaged.
 */
static bool find_restart(const struct block_iter *it, struct slice target,
                         size_t *offset_out)
{
	uint32_t low = 0, high = it->restart_count;

	*offset_out = 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct slice key;
		size_t offset;

		if (!restart_key(it, middle, &offset, &key))
			return false;
		if (key_compare(key, target) <= 0) {
			*offset_out = offset;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return true;
}

/* Forget the position; false when the block is no block. */
static bool rewind_to(struct block_iter *it, size_t offset)
{
	it->valid = false;
	it->err = it->restarts == NULL ? LSM_ERR_CORRUPT : LSM_OK;
	it->next_offset = offset;
	buf_clear(&it->key);
	return it->err == LSM_OK;
}

void block_iter_seek_first(struct block_iter *it)
{
	if (rewind_to(it, 0))
		step(it);
}

void block_iter_seek(struct block_iter *it, struct slice target)
{
	size_t offset;

	if (!rewind_to(it, 0))
		return;
	if (!find_restart(it, target, &offset)) {
		end_with(it, LSM_ERR_CORRUPT);
		return;
	}
	it->next_offset = offset;
	step(it);
	while (it->valid && key_compare(buf_slice(&it->key), target) < 0)
		step(it);
}

void block_iter_next(struct block_iter *it)
{
	assert(it->valid);
	step(it);
}

/* ---- backwards ----------------------------------------------------------- */

/* The last restart that lies before `offset`, which is not 0. Where restarts do
   not ascend, the walk from there will not arrive at `offset`. */
static size_t restart_before(const struct block_iter *it, size_t offset)
{
	uint32_t low = 0, high = it->restart_count;
	size_t best = 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		size_t at =
		    get_u32(it->restarts + (size_t)middle * RESTART_BYTES);

		if (at < offset) {
			best = at;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return best;
}

/* Stand on the entry that ends at `end`. */
static void step_up_to(struct block_iter *it, size_t end)
{
	if (end == 0) {
		it->valid = false;
		return;
	}
	if (!rewind_to(it, restart_before(it, end)))
		return;
	do
		step(it);
	while (it->valid && it->next_offset < end);
	/* A walk that ended before, or that ran past it, is not of this block.
	 */
	if (it->err == LSM_OK && (!it->valid || it->next_offset > end))
		end_with(it, LSM_ERR_CORRUPT);
}

void block_iter_seek_last(struct block_iter *it)
{
	if (rewind_to(it, 0))
		step_up_to(it, it->entries.len);
}

void block_iter_seek_before(struct block_iter *it, struct slice target)
{
	block_iter_seek(it, target);
	if (it->valid)
		block_iter_prev(it);
	else if (it->err == LSM_OK)
		block_iter_seek_last(it); /* all are before it */
}

void block_iter_prev(struct block_iter *it)
{
	assert(it->valid);
	step_up_to(it, it->offset);
}
