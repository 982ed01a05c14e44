/* SPDX-License-Identifier: MIT */
/*
 * wal_reader.h: replay one log; tell a torn tail from lost data.
 *
 * A log ends where the first record is not whole. Each record says how far the
 * log had been synced when it was written, so the largest such promise, looked
 * for also behind the bad record, tells what the end means: bytes that were
 * never promised (a torn tail: cut it) or bytes that were (LOST: refuse).
 *
 * Threads: one at a time.
 */
#ifndef LSM_WAL_WAL_READER_H
#define LSM_WAL_WAL_READER_H

#include "io/env.h"
#include "wal/record.h"

struct wal_reader;

/*
 * Open the log (or the manifest: `kind`) `id` in the folder `pool`.
 * `promised_upto` is what others know to be durable, 0 when nothing. Reads the
 * header only.
 * Errors: those of env, CORRUPT (header), NEWER. Logged.
 */
LSM_MUST_CHECK enum lsm_err
wal_reader_open(struct env_dir *pool, enum file_kind kind, struct file_id id,
                const struct uuid *family, uint64_t promised_upto,
                struct wal_reader **reader_out);
void wal_reader_close(struct wal_reader *reader); /* NULL is allowed */

/*
 * See no more than the first `bytes` of the log, to be called before the first
 * record is read. Of a log that is written meanwhile these are the size that its
 * writer told: what is written and promised later is then no record, and none that
 * is missed.
 */
void wal_reader_limit(struct wal_reader *reader, uint64_t bytes);

/*
 * Get the next DATA payload, borrowed until the next call. At the end *more_out
 * is false. Errors: LOST when the end lies before a promise (logged, with file
 * and both offsets), CORRUPT, IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err wal_reader_next(struct wal_reader *reader,
                                            struct slice *payload_out,
                                            bool *more_out);

/*
 * The last payload leads to what is not there: the log ends before its record, as
 * if that were not whole. Then *more_out is false. Errors: LOST, as above.
 */
LSM_MUST_CHECK enum lsm_err wal_reader_reject(struct wal_reader *reader);

/* Valid once *more_out was false: */
bool wal_reader_sealed(const struct wal_reader *reader); /* ended with END */
uint64_t
wal_reader_end(const struct wal_reader *reader); /* offset of the end */
/* Bytes that are no whole record stand at the end. They were never promised. */
bool wal_reader_torn(const struct wal_reader *reader);
/* The largest synced_upto that any record of the log carries. Above
   FILE_HEADER_BYTES it proves that every earlier log was durable too. */
uint64_t wal_reader_promise(const struct wal_reader *reader);

#endif
