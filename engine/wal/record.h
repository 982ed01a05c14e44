/* SPDX-License-Identifier: MIT */
/*
 * record.h: the framing of one log record: length, type, how far the log had
 * been synced, checksum. docs/format.md has the bytes.
 *
 * Records follow one another from offset FILE_HEADER_BYTES, each padded with
 * zeros to a multiple of 8, so that a reader that met a bad one can look for a
 * later one at every multiple of 8. The checksum is seeded with log, offset and
 * type, so that a record of another log or another place is never taken for
 * one.
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
	WAL_RECORD_HEADER_BYTES = 32,
	WAL_RECORD_ALIGN_BYTES = 8,
	WAL_PAYLOAD_MAX_BYTES = 65 << 20,
};

struct wal_record {
	enum wal_record_type type;
	uint64_t synced_upto; /* offset below which the log was durable */
	struct slice payload;
};

/* Bytes of a record with such a payload, padding included. */
size_t wal_record_bytes(size_t payload_len);

/* The header of the record that will stand at `offset` of log `id`. */
void wal_record_header(struct file_id id, uint64_t offset,
                       const struct wal_record *record,
                       uint8_t header[WAL_RECORD_HEADER_BYTES]);

/* Append that record. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err wal_record_encode(struct file_id id,
                                              uint64_t offset,
                                              const struct wal_record *record,
                                              struct buf *out);

/*
 * Look at the header of the record that `bytes` may begin with: how long it
 * would be and what it would promise. Nothing is proven yet. False: there is
 * none.
 */
bool wal_record_peek(uint64_t offset, struct slice bytes, size_t *total_out,
                     uint64_t *synced_upto_out);

/*
 * Decode the record at the start of `bytes`, which begin at `offset` of the
 * log. False when there is none that is whole. The payload is borrowed from
 * `bytes`.
 */
bool wal_record_decode(struct file_id id, uint64_t offset, struct slice bytes,
                       struct wal_record *record_out, size_t *used_out);

#endif
