/* SPDX-License-Identifier: MIT */
/*
 * mounts.h: what is mounted where, from /proc/self/mountinfo, and taking it
 * away again.
 *
 * Threads: no state.
 */
#ifndef SHALEFS_DAEMON_MOUNTS_H
#define SHALEFS_DAEMON_MOUNTS_H

#include "lsm.h"

#define MOUNTS_TYPE "fuse.shalefs"

struct mounts_entry {
	char *target; /* where, absolute */
	char *source; /* for MOUNTS_TYPE the absolute path of the store */
	char *type;
	char *device; /* "major:minor", the same wherever it is mounted */
};

void mounts_entry_release(struct mounts_entry *entry);

/*
 * Read one line of mountinfo (it is taken apart in place). False: it is not
 * one, and *entry is empty. Errors: none but that.
 */
bool mounts_parse(char *line, struct mounts_entry *entry);

/*
 * The topmost mount at `target`, an absolute path. Release *entry_out.
 * Errors: ENOENT (nothing is mounted there), ENOMEM, what reading gave.
 */
LSM_MUST_CHECK int mounts_find(const char *target,
                               struct mounts_entry *entry_out);

/* Some mount of the filesystem with that device number. Otherwise as above. */
LSM_MUST_CHECK int mounts_find_device(const char *device,
                                      struct mounts_entry *entry_out);

/* The absolute form of `path`, also where its last component is the root of a
   mount whose daemon has died. The caller frees *resolved_out.
   Errors: those of realpath(3). */
LSM_MUST_CHECK int mounts_resolve(const char *path, char **resolved_out);

/*
 * Whether the folder `target` can be mounted on by the store `source`. True in
 * *dead_out: a mount of that store whose daemon has died is in the way, and
 * mounts_detach() removes it.
 * Errors: ENOENT, ENOTDIR, EBUSY (something is mounted), others of stat(2).
 * Each is logged, with `target`.
 */
LSM_MUST_CHECK int mounts_check(const char *target, const char *source,
                                bool *dead_out);

/*
 * Unmount `target`: as root with umount2(2), otherwise with fusermount3. `lazy`
 * detaches it at once though it is in use.
 * Errors: EBUSY, EPERM, others of umount2(2); EIO where fusermount3 failed.
 */
LSM_MUST_CHECK int mounts_detach(const char *target, bool lazy);

#endif
