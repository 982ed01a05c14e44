/* SPDX-License-Identifier: MIT */
/*
 * wal_writer.h: append to one log, sync it, seal it.
 *
 * The log is preallocated in steps, before the bytes that need the room, so
 * that a full disk is met before anything was accepted. The first failed write
 * or sync is sticky: the state of the bytes is unknown, and every later call
 * returns the same error.
 *
 * Threads: append and seal from one thread at a time; sync from any, also
 * during an append; wal_writer_size() and _synced() from any.
 */
#ifndef LSM_WAL_WAL_WRITER_H
#define LSM_WAL_WAL_WRITER_H

#include "io/env.h"
#include "wal/record.h"
#include "wal/wal_room.h"

struct wal_writer;

/*
 * Make the file of `header` (a log, or a manifest, which has the same framing)
 * in the folder `pool`, under the name that file_name_format() gives it, with
 * its first step preallocated (step_bytes 0: nothing ever is) and its header
 * written. Neither the file nor the folder is synced. After each sync so many
 * appends are written before others are stored (UINT32_MAX: none ever is).
 * On error no file is left.
 * Errors: those of env.
 */
LSM_MUST_CHECK enum lsm_err wal_writer_create(struct env_dir *pool,
                                              const struct file_header *header,
                                              uint32_t step_bytes,
                                              uint32_t map_after,
                                              struct wal_writer **writer_out);

/* Close, without sealing; NULL is allowed. */
void wal_writer_destroy(struct wal_writer *writer);

/*
 * Make sure that `bytes` more (as of wal_record_bytes()) have their place
 * reserved. Errors: NOSPACE, which is not sticky: nothing was written.
 */
LSM_MUST_CHECK enum lsm_err wal_writer_reserve(struct wal_writer *writer,
                                               uint64_t bytes);

/* Append one DATA record a payload, all in one write. Errors: those of env,
   sticky. */
LSM_MUST_CHECK enum lsm_err wal_writer_append(struct wal_writer *writer,
                                              const struct slice *payloads,
                                              size_t count);

/* Make what was appended before the call durable. Errors: sticky. */
LSM_MUST_CHECK enum lsm_err wal_writer_sync(struct wal_writer *writer);

/* The same for the first `upto` bytes, which were appended; of what stands behind
   them nothing is promised. */
LSM_MUST_CHECK enum lsm_err wal_writer_sync_upto(struct wal_writer *writer,
                                                 uint64_t upto);

/*
 * Append the END record and make the file read-only (mode 0400). Nothing may be
 * appended afterwards; wal_writer_sync() still works, and is what makes the seal
 * durable. Errors: sticky.
 */
LSM_MUST_CHECK enum lsm_err wal_writer_seal(struct wal_writer *writer);

struct file_id wal_writer_id(const struct wal_writer *writer);
uint64_t wal_writer_size(const struct wal_writer *writer);   /* appended */
uint64_t wal_writer_synced(const struct wal_writer *writer); /* durable */

#endif
