/* SPDX-License-Identifier: MIT */
/*
 * block.c: a seek looks at keys stored whole, at restart offsets, where they
 * lie, and walks at most SST_RESTART_INTERVAL entries from there, without putting
 * their keys together. That is done in `key_bytes`, and only where a key shares
 * bytes with the one before.
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

void block_iter_init(struct block_iter *it, struct slice raw)
{
	it->err = LSM_OK;
	it->valid = false;
	it->offset = 0;
	it->next_offset = 0;
	it->value = slice_make(NULL, 0);
	it->key = slice_make(NULL, 0);
	if (!parse(it, raw)) {
		it->entries = slice_make(NULL, 0);
		it->restarts = NULL; /* what seeks go by */
		it->restart_count = 0;
	}
}

static void end_with(struct block_iter *it, enum lsm_err err)
{
	it->valid = false;
	it->err = err;
}

/* The three lengths that begin an entry. False when they are none. */
static bool read_lengths(const uint8_t **p, const uint8_t *end,
                         uint64_t lengths[3])
{
	const uint8_t *at = *p;
	struct cursor c;

	/* Nearly always a byte each. */
	if (end - at >= 3 && (at[0] | at[1] | at[2]) < 0x80) {
		for (int i = 0; i < 3; i++)
			lengths[i] = at[i];
		*p = at + 3;
		return true;
	}
	c = cursor_make(slice_make(at, (size_t)(end - at)));
	for (int i = 0; i < 3; i++)
		lengths[i] = cursor_varint(&c);
	*p = c.p;
	return !c.bad;
}

/* Read the entry at `offset`; false when it does not lie within the block. */
static bool read_entry(struct slice entries, size_t offset, struct entry *entry)
{
	const uint8_t *end = entries.data + entries.len;
	uint64_t lengths[3], left;
	const uint8_t *p;

	if (offset >= entries.len)
		return false;
	p = entries.data + offset;
	if (!read_lengths(&p, end, lengths))
		return false;
	left = (uint64_t)(end - p);
	if (lengths[0] > entries.len || lengths[1] > left ||
	    lengths[2] > left - lengths[1])
		return false;
	entry->shared = (size_t)lengths[0];
	entry->unshared = slice_make(p, (size_t)lengths[1]);
	entry->value = slice_make(p + lengths[1], (size_t)lengths[2]);
	entry->end =
	    (size_t)(p - entries.data) + (size_t)(lengths[1] + lengths[2]);
	return true;
}

/* Set the key to the first `shared` bytes of what it was, then `unshared`;
   false when that is no key. */
static bool set_key(struct block_iter *it, size_t shared, struct slice unshared)
{
	if (shared == 0) {
		it->key = unshared;
		return key_is_valid(it->key);
	}
	if (shared > it->key.len || shared > sizeof(it->key_bytes) ||
	    unshared.len > sizeof(it->key_bytes) - shared)
		return false;
	if (it->key.data != it->key_bytes)
		memcpy(it->key_bytes, it->key.data, shared);
	if (unshared.len > 0)
		memcpy(it->key_bytes + shared, unshared.data, unshared.len);
	it->key = slice_make(it->key_bytes, shared + unshared.len);
	return key_is_valid(it->key);
}

/* Make the entry at next_offset the current one, on top of the key before. */
static void step(struct block_iter *it)
{
	struct entry entry;

	it->valid = false;
	if (it->next_offset == it->entries.len)
		return;
	if (!read_entry(it->entries, it->next_offset, &entry) ||
	    !set_key(it, entry.shared, entry.unshared)) {
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
	const uint8_t *p;
	size_t left;

	*offset_out = get_u32(it->restarts + (size_t)index * RESTART_BYTES);
	if (*offset_out >= it->entries.len)
		return false;
	/* The usual entry without its value, which the walk will look at. */
	p = it->entries.data + *offset_out;
	left = it->entries.len - *offset_out;
	if (left >= 3 && p[0] == 0 && (p[1] | p[2]) < 0x80 &&
	    p[1] <= left - 3) {
		*key_out = slice_make(p + 3, p[1]);
		return key_is_valid(*key_out);
	}
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
	it->key = slice_make(NULL, 0);
	return it->err == LSM_OK;
}

void block_iter_seek_first(struct block_iter *it)
{
	if (rewind_to(it, 0))
		step(it);
}

/* How many bytes two begin with alike. */
static size_t count_alike(struct slice a, struct slice b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	size_t at = 0;

	while (at + 8 <= len &&
	       slice_word(a.data + at) == slice_word(b.data + at))
		at += 8;
	while (at < len && a.data[at] == b.data[at])
		at++;
	return at;
}

/* Read the entry at next_offset for a seek, the one before having a key of
 *key_len bytes. False: there is none, or it is damaged. */
static bool read_next(struct block_iter *it, struct entry *entry,
                      size_t *key_len)
{
	if (it->next_offset == it->entries.len)
		return false;
	if (!read_entry(it->entries, it->next_offset, entry) ||
	    entry->shared > *key_len ||
	    entry->unshared.len > sizeof(it->key_bytes) - entry->shared ||
	    entry->shared + entry->unshared.len < KEY_TRAILER_BYTES) {
		end_with(it, LSM_ERR_CORRUPT);
		return false;
	}
	*key_len = entry->shared + entry->unshared.len;
	it->offset = it->next_offset;
	it->next_offset = entry->end;
	return true;
}

/* Stand on an entry that was read, of whose key the first bytes are those of
   `start`. */
static void stand_on(struct block_iter *it, const struct entry *entry,
                     struct slice start)
{
	it->key = slice_make(start.data, entry->shared);
	if (!set_key(it, entry->shared, entry->unshared)) {
		end_with(it, LSM_ERR_CORRUPT);
		return;
	}
	it->value = entry->value;
	it->valid = true;
}

/*
 * Walk from a restart to the first entry that is not before the target. Of the
 * last entry that was compared, and lies before the target, the user key has its
 * first `alike` bytes from the target's and a lesser one next: what shares more
 * than those with the entry before it lies before the target as well.
 */
static void walk_to(struct block_iter *it, struct slice target)
{
	struct slice user = key_user(target);
	size_t alike = 0, key_len = 0;
	struct entry entry;

	while (read_next(it, &entry, &key_len)) {
		struct slice own = entry.unshared, rest;
		size_t more;

		if (entry.shared > alike) {
			if (key_len - KEY_TRAILER_BYTES > alike)
				continue;
			end_with(it, LSM_ERR_CORRUPT); /* out of order */
			return;
		}
		own.len -=
		    own.len < KEY_TRAILER_BYTES ? own.len : KEY_TRAILER_BYTES;
		rest = slice_make(user.data + entry.shared,
		                  user.len - entry.shared);
		more = count_alike(own, rest);
		if (more < own.len && more < rest.len &&
		    own.data[more] < rest.data[more]) {
			alike = entry.shared + more;
			continue;
		}
		stand_on(it, &entry, user);
		break;
	}
	/* The trailers are to be compared where user keys are the same. */
	while (it->valid && key_compare(it->key, target) < 0)
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
	walk_to(it, target);
}

void block_iter_next(struct block_iter *it)
{
	assert(it->valid);
	step(it);
}

bool block_iter_is_alone(const struct block_iter *it)
{
	return it->valid && it->offset == 0 &&
	       it->next_offset == it->entries.len && it->restart_count == 1 &&
	       get_u32(it->restarts) == 0;
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
