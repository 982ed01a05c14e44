/* SPDX-License-Identifier: MIT */
/*
 * orphan.h: inodes without a name: kept while somebody uses them, then deleted.
 *
 * An orphan is deleted in bounded steps; its record among the orphans goes with
 * the last one, so that a crash midway only makes the next open go on. While
 * that goes on, sizes of an orphan do not tell what it still holds.
 */
#ifndef SHALEFS_FS_ORPHAN_H
#define SHALEFS_FS_ORPHAN_H

#include "fs/internal.h"

/* Delete all that a crash left. What cannot be deleted is logged and stays. */
void orphan_reclaim_all(struct fs *fs);

#endif
