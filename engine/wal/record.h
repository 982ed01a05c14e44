/* SPDX-License-Identifier: MIT */
/*
 * record.h: the framing of one log record: type, length, how far the log had
 * been synced, checksum. docs/format.md has the bytes.
 *
 * Records follow one another from offset FILE_HEADER_BYTES without a gap. The
 * checksum is seeded with log, offset and type, so that a record of another log
 * or another place is never taken for one. One that promises how far the log was
 * synced can be told, by its header alone, from other bytes: a reader that met a
 * bad record looks for one at every offset behind it.
 */
#ifndef LSM_WAL_RECORD_H
#define LSM_WAL_RECORD_H

#include "io/file_header.h"

/* On disk. Frozen. */
enum wal_record_type {
	WAL_RECORD_DATA = 1, /* payload: the caller's bytes */
	WAL_RECORD_END = 2,  /* the log is sealed; no payload */
};

enum {
	WAL_RECORD_HEADER_MAX_BYTES = 1 + 4 + 10 + 2 + 8,
	WAL_PAYLOAD_MAX_BYTES = 65 << 20,
};

struct wal_record {
	enum wal_record_type type;
	/* Offset below which the log was durable; 0: the record says nothing. */
	uint64_t synced_upto;
	struct slice payload;
};

/* The most bytes that a record with such a payload may have. */
size_t wal_record_bytes(size_t payload_len);

/* The header of the record that will stand at `offset` of log `id`; returns its
   length. */
size_t wal_record_header(struct file_id id, uint64_t offset,
                         const struct wal_record *record,
                         uint8_t header[WAL_RECORD_HEADER_MAX_BYTES]);

/* Append that record. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err wal_record_encode(struct file_id id,
                                              uint64_t offset,
                                              const struct wal_record *record,
                                              struct buf *out);

/*
 * Look at the header of the record that `bytes` may begin with: how long it
 * would be and what it would promise. Nothing is proven yet; but of bytes that
 * are no record few seem to promise anything. False: there is none.
 */
bool wal_record_peek(struct file_id id, uint64_t offset, struct slice bytes,
                     size_t *total_out, uint64_t *synced_upto_out);

/*
 * Decode the record at the start of `bytes`, which begin at `offset` of the
 * log. False when there is none that is whole. The payload is borrowed from
 * `bytes`.
 */
bool wal_record_decode(struct file_id id, uint64_t offset, struct slice bytes,
                       struct wal_record *record_out, size_t *used_out);

#endif
