/* SPDX-License-Identifier: MIT */
/*
 * orphan.h: inodes without a name: kept while somebody uses them, then deleted.
 *
 * An orphan is deleted in one batch, together with its record among the orphans:
 * its chunks as one range, whatever its size.
 */
#ifndef SHALEFS_FS_ORPHAN_H
#define SHALEFS_FS_ORPHAN_H

#include "fs/internal.h"

/* Delete all that a crash left. What cannot be deleted is logged and stays. */
void orphan_reclaim_all(struct fs *fs);

#endif
