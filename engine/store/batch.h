/* SPDX-License-Identifier: MIT */
/*
 * batch.h: changes that are applied together, in the form in which the log keeps
 * them (docs/format.md).
 *
 *   batch = varint first sequence, varint 2 * entries (+ 1 where counters change),
 *           u8 mask of counters if so, entries, a signed varint for each
 *           counter in the mask
 *   entry = u8 kind, varint key length, key, varint value length, value
 *
 * Entry i has the sequence number first + i.
 */
#ifndef LSM_STORE_BATCH_H
#define LSM_STORE_BATCH_H

#include "base/key.h"

enum { BATCH_HEADER_MAX_BYTES = 8 + 5 + 1 };

struct lsm_batch {
	/* Room for the header, which ends where the room does, and entries;
	   counters once it is finished. */
	struct buf rep;
	size_t end; /* of the entries in rep */
	size_t entries;
	size_t bytes;              /* of keys and values */
	bool merges;               /* it holds a merge operand */
	size_t range_prefix_bytes; /* of its range tombstones; 0: it has none */
	int64_t counters[LSM_COUNTERS];
};

/* Add an entry of any kind. Errors: TOO_BIG, NOMEM. */
LSM_MUST_CHECK enum lsm_err batch_add(struct lsm_batch *batch,
                                      enum key_kind kind, struct slice key,
                                      struct slice value);

/* Write the header, and the counters behind the entries. A batch whose write
   failed may be added to and finished again. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err batch_finish(struct lsm_batch *batch,
                                         uint64_t first_seq,
                                         struct slice *payload_out);

/* A walk over the entries of an encoded batch. */
struct batch_reader {
	struct cursor cursor;
	uint64_t first_seq;
	uint32_t entries;
	uint8_t counter_mask;
};

/* Errors: CORRUPT. */
LSM_MUST_CHECK enum lsm_err batch_reader_init(struct batch_reader *reader,
                                              struct slice payload);
/* Call it exactly reader->entries times. Errors: CORRUPT. */
LSM_MUST_CHECK enum lsm_err batch_reader_next(struct batch_reader *reader,
                                              enum key_kind *kind_out,
                                              struct slice *key_out,
                                              struct slice *value_out);
/* Then add the counters to `counters`. Errors: CORRUPT. */
LSM_MUST_CHECK enum lsm_err
batch_reader_counters(struct batch_reader *reader,
                      int64_t counters[LSM_COUNTERS]);

#endif
