/* SPDX-License-Identifier: MIT */
/*
 * ballast.h: disk space held back while a store is mounted, so that deletions, and
 * the flushes and compactions that give space back, go on when others fill the
 * disk to its last byte.
 *
 * It is a file without a name in the store's folder: the end of the daemon, of
 * whatever kind, frees it. The first write that finds no room gives it up; it is
 * taken again once there is enough. The store counts it as a part of its reserve.
 *
 * Threads: any may give it up, under any lock; the rest is for one.
 */
#ifndef SHALEFS_DAEMON_BALLAST_H
#define SHALEFS_DAEMON_BALLAST_H

#include "lsm.h"

struct ballast;

/*
 * Hold some space back beside the open store at `path`. One in a process. A
 * filesystem that has no nameless files, or reserves nothing, goes without.
 * Errors: ENOMEM, EMFILE.
 */
int ballast_open(const char *path, struct lsm *store,
                 struct ballast **ballast_out);

/* Once the store is closed. NULL is allowed. */
void ballast_close(struct ballast *ballast);

/* Can be read from once it was given up. -1 without a ballast. */
int ballast_event(const struct ballast *ballast);

/* Hold it again, if there is room; false: there is none yet. */
bool ballast_restore(struct ballast *ballast);

#endif
