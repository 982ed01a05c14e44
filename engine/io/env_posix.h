/* SPDX-License-Identifier: MIT */
/*
 * env_posix.h: what env_posix.c and env_posix_name.c share; private to the two.
 *
 * Every descriptor is close-on-exec and belongs to one handle.
 */
#ifndef LSM_IO_ENV_POSIX_H
#define LSM_IO_ENV_POSIX_H

#include "io/env.h"

/* An open folder or file. */
struct posix_handle {
	union {
		struct env_dir dir;
		struct env_file file;
	} base;
	int fd;
	char path[]; /* for log lines */
};

static inline struct posix_handle *posix_dir(struct env_dir *dir)
{
	return (struct posix_handle *)dir;
}

/* The answer for a call that failed with `sys`, and the one log line about it:
   "FOLDER/NAME: cannot WHAT: REASON". */
LSM_MUST_CHECK enum lsm_err posix_refuse_name(int sys, const char *what,
                                              struct env_dir *dir,
                                              const char *name);

/* openat() and fdatasync(), again where a signal came; the errno is theirs.
   Created files have mode 0600, syncs are counted. */
int posix_openat(int dir_fd, const char *path, int flags);
int posix_sync_fd(int fd);

/* The functions of the table that change names. */
enum lsm_err posix_unlink(struct env_dir *dir, const char *name);
enum lsm_err posix_rmdir(struct env_dir *dir, const char *name);
enum lsm_err posix_rename(struct env_dir *from, const char *from_name,
                          struct env_dir *to, const char *to_name,
                          bool no_replace);
enum lsm_err posix_link(struct env_dir *from, const char *from_name,
                        struct env_dir *to, const char *to_name);
enum lsm_err posix_reflink(struct env_dir *from, const char *from_name,
                           struct env_dir *to, const char *to_name);

#endif
