/* SPDX-License-Identifier: MIT */
/*
 * space.h: room on the disk that was given back, and is not free there yet.
 *
 * What is deleted takes its place on the disk until compactions come by. The free
 * space of the filesystem is what can be written, and not what the disk below says
 * at the moment: what the store takes there, beyond what it needs for what is in
 * it, counts as free. And when much was deleted, for the room that is left, the
 * store is asked to reclaim it.
 *
 * What it needs is known but for what was deleted since the last time that all was
 * reclaimed. Until that is done it is estimated: each allocated byte needs what it
 * did on average before. So it is true within what files differ in how well they
 * compress, and exact again soon.
 *
 * Threads: any. Its lock is a leaf, held over no call.
 */
#ifndef SHALEFS_FS_SPACE_H
#define SHALEFS_FS_SPACE_H

#include "base/sync.h"
#include "lsm.h"

struct space {
	struct sync_mutex mu;
	/* Guarded by mu. Allocated bytes deleted since the store was last asked
	   to reclaim, and before. */
	uint64_t recent, asked;
	uint64_t asked_seq; /* as lsm_reclaim() returned it; 0: not asked */
	double ratio; /* bytes on the disk for an allocated one; below 0: not
	                 known. Kept from the first deletion on. */
};

void space_init(struct space *space);
void space_release(struct space *space);

/* So much was deleted. */
void space_freed(struct space *space, uint64_t bytes);

/* After that, under no lock of ours: ask for it, if it is much. `used_bytes`:
   allocated to what there is. */
void space_settle(struct space *space, struct lsm *store, uint64_t used_bytes);

/* As lsm_disk_space(), with what is deleted as free. */
LSM_MUST_CHECK enum lsm_err space_ask(struct space *space, struct lsm *store,
                                      uint64_t used_bytes, uint64_t *total_out,
                                      uint64_t *free_out);

#endif
