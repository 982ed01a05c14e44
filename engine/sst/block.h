/* SPDX-License-Identifier: MIT */
/*
 * block.h: read one block of sorted entries with shared key prefixes.
 *
 *   entry   = varint shared, varint unshared, varint value length,
 *             unshared key bytes, value bytes
 *   block   = entries, u32 restart offsets, u32 number of restarts
 *
 * An entry at a restart offset has shared = 0. Every length is checked
 * before use; bad bytes end the walk with CORRUPT (logged by the table).
 */
#ifndef LSM_SST_BLOCK_H
#define LSM_SST_BLOCK_H

#include "base/iter.h"
#include "base/key.h"

/*
 * Walk the raw bytes of a block, which the caller keeps alive as long as the
 * iterator. Embed it, or keep it on the stack; it holds nothing to be freed.
 */
struct block_iter {
	struct slice entries; /* without the restart array */
	const uint8_t *restarts;
	uint32_t restart_count;
	size_t offset;      /* of the current entry */
	size_t next_offset; /* of the entry after it */
	struct slice key;   /* in the block where it stands whole, else below */
	struct slice value;
	enum lsm_err err; /* LSM_OK or CORRUPT */
	bool valid;
	uint8_t key_bytes[LSM_KEY_MAX_BYTES + KEY_TRAILER_BYTES];
};

/* Errors of a bad restart array show in status after the first seek. */
void block_iter_init(struct block_iter *it, struct slice raw);
void block_iter_seek_first(struct block_iter *it);
void block_iter_seek(struct block_iter *it, struct slice target);
void block_iter_next(struct block_iter *it);
/* Whether the current entry is all that the block holds. */
bool block_iter_is_alone(const struct block_iter *it);
/* The way back walks again from the restart before. */
void block_iter_seek_last(struct block_iter *it);
/* To the last entry before target. */
void block_iter_seek_before(struct block_iter *it, struct slice target);
void block_iter_prev(struct block_iter *it);

#endif
