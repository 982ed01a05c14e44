/* SPDX-License-Identifier: MIT */
/*
 * wal_room.h: the room ahead of the end of a log: reserved on the disk, and made
 * ready to be stored to.
 *
 * To reserve room is one call, and only takes the disk's promise. To make it
 * ready costs more: its pages are brought into memory as zeros, many at a time,
 * and mapped. Appending there is then a copy, where a write, or a store into a
 * page that is not there yet, would have the kernel find a page, and place it,
 * for each 4 KiB: half of the price is saved.
 *
 *      header, records      | ready      | reserved
 *   ------------------------+------------+----------------
 *                           ^ the window ^                ^ reserved_upto
 *                     end of the log
 *
 * Threads: one, the appending thread.
 */
#ifndef LSM_WAL_WAL_ROOM_H
#define LSM_WAL_WAL_ROOM_H

#include "io/env.h"

/* A log is never preallocated further than this beyond what is needed. */
enum { WAL_STEP_MAX_BYTES = 1 << 20 };

/* No window is longer, and each ends where this divides the offset, or before. A
   power of two. */
enum { WAL_WINDOW_BYTES = 256 << 10 };

struct wal_room {
	struct env_file *file; /* constant once it is there; not owned */
	uint64_t step_bytes;   /* constant */

	uint64_t reserved_upto;
	uint64_t settled_upto; /* zeros were written up to here */
	bool preallocates;
	bool maps;           /* it did not fail yet */
	struct env_map *map; /* of the window; NULL: there is none */
	uint64_t map_end, map_len;
};

/* step_bytes 0: nothing is ever reserved. `maps`: it may be made ready. The file
   is the caller's to set before anything else is called, and to close after
   wal_room_release(). */
void wal_room_init(struct wal_room *room, uint64_t step_bytes, bool maps);
void wal_room_release(struct wal_room *room);

/*
 * Have room up to `needed`: it grows by the log's own size, so that a busy log
 * asks seldom and an idle one stays small; on a disk too full for that, by no
 * more than what is needed. Errors: those of env_preallocate().
 */
LSM_MUST_CHECK enum lsm_err wal_room_reserve(struct wal_room *room,
                                             uint64_t needed);

/*
 * Write zeros where the next `bytes` from `at` on will be written, and some way
 * further. The first write to what is only reserved changes what the filesystem
 * knows of the file, for which a sync has to wait; a sync of what is written again
 * is one write and no more. Errors: those of env_write().
 */
LSM_MUST_CHECK enum lsm_err wal_room_settle(struct wal_room *room, uint64_t at,
                                            uint64_t bytes);

/*
 * Whether the next `bytes` from `at` on, the end of the log, are ready to be
 * stored to. Makes the next window where they are few; many are better written.
 * So are those of which a sync finds few, about `per_sync` bytes: what is stored to
 * may go to the disk as one piece of the window's length.
 */
bool wal_room_covers(struct wal_room *room, uint64_t at, uint64_t bytes,
                     uint64_t per_sync);

/* Store bytes that it covers. Errors: those of env_map_store(). */
LSM_MUST_CHECK enum lsm_err wal_room_store(struct wal_room *room, uint64_t at,
                                           const void *data, size_t len);

#endif
