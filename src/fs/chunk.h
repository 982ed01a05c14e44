/* SPDX-License-Identifier: MIT */
/*
 * chunk.h: the contents of a file as values of the store: one chunk is 64 KiB
 * of it, or less. A chunk has a stored length; what lies past it, and a chunk
 * that does not exist, reads as zeros.
 *
 * A value is FULL (all stored bytes) or ZERO (only their number). A merge
 * operand is a run of records that change a chunk without reading it:
 *
 *   PATCH   these bytes are at this offset; the stored length reaches at least
 *           to their end, and what was missing between is zero
 *   CLEAR   the stored bytes of this range are zero; the length stays
 *   TRIM    the stored length is at most this
 *   EXTEND  the stored length is at least this; only folds make it
 *
 * chunk_fold() applies operands to a value, or makes one operand of several.
 * An operand it made has a normal form: at most one TRIM, at most one EXTEND,
 * then PATCH and CLEAR records that do not overlap, by ascending offset.
 *
 * All functions are pure; any thread.
 */
#ifndef SHALEFS_FS_CHUNK_H
#define SHALEFS_FS_CHUNK_H

#include "base/buf.h"
#include "fs/schema.h"

/* First byte of a value or of a record. Frozen; 4 is kept for pointers. */
enum chunk_kind {
	CHUNK_FULL = 0x01,
	CHUNK_PATCH = 0x02,
	CHUNK_TRIM = 0x03,
	CHUNK_ZERO = 0x05,
	CHUNK_CLEAR = 0x06,
	CHUNK_EXTEND = 0x07,
};

enum {
	CHUNK_BYTES = 1 << SCHEMA_CHUNK_SHIFT,
	CHUNK_BLOCK_BYTES = 4096, /* allocation is counted in these */
	CHUNK_HEAD_BYTES = 9,     /* most of a record before its bytes */
	CHUNK_VALUE_MAX_BYTES = 1 + CHUNK_BYTES,
};

static inline uint64_t chunk_index(uint64_t offset)
{
	return offset >> SCHEMA_CHUNK_SHIFT;
}

static inline uint64_t chunk_start(uint64_t index)
{
	return index << SCHEMA_CHUNK_SHIFT;
}

/* What `len` stored bytes count as: whole blocks. */
static inline uint64_t chunk_alloc(uint64_t len)
{
	const uint64_t mask = CHUNK_BLOCK_BYTES - 1;

	return (len + mask) & ~mask;
}

/* ---- values -------------------------------------------------------------- */

/* Set *value to a chunk of these bytes: ZERO where all are, else FULL. */
LSM_MUST_CHECK enum lsm_err chunk_encode(struct buf *value, struct slice bytes);

/* The stored length. Errors: CORRUPT. */
LSM_MUST_CHECK enum lsm_err chunk_len(struct slice value, uint32_t *len_out);

/* Copy `len` bytes at `offset` to `out`, zeros past the stored length. */
LSM_MUST_CHECK enum lsm_err chunk_read(struct slice value, uint32_t offset,
                                       uint8_t *out, size_t len);

/* ---- operands: append one record to *operand; errors: NOMEM -------------- */

LSM_MUST_CHECK enum lsm_err chunk_patch(struct buf *operand, uint32_t offset,
                                        struct slice bytes);
LSM_MUST_CHECK enum lsm_err chunk_clear(struct buf *operand, uint32_t offset,
                                        uint32_t len);
LSM_MUST_CHECK enum lsm_err chunk_trim(struct buf *operand, uint32_t len);

/* Change *value, a chunk or (empty) none, by one operand: it becomes FULL.
   Errors: CORRUPT, NOMEM. */
LSM_MUST_CHECK enum lsm_err chunk_apply(struct buf *value,
                                        struct slice operand);

/* The lsm_fold_fn of a filesystem; needs no context. */
enum lsm_err chunk_fold(void *ctx, struct slice key, bool has_base,
                        const struct slice *base, const struct slice *operands,
                        size_t count, struct buf *value);

#endif
