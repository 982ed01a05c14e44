/* SPDX-License-Identifier: MIT */
/*
 * env_posix.h: what env_posix.c, env_posix_name.c and env_posix_map.c share;
 * private to the three.
 *
 * Every descriptor is close-on-exec and belongs to one handle.
 */
#ifndef LSM_IO_ENV_POSIX_H
#define LSM_IO_ENV_POSIX_H

#include <stdatomic.h>

#include "io/env.h"

/* An open folder or file. */
struct posix_handle {
	union {
		struct env_dir dir;
		struct env_file file;
	} base;
	int fd;
	/* Around what was wanted, less what made up for it. Relaxed: rough. */
	atomic_uint_least64_t fetched_bytes;
	char path[]; /* for log lines */
};

static inline struct posix_handle *posix_dir(struct env_dir *dir)
{
	return (struct posix_handle *)dir;
}

static inline struct posix_handle *posix_file(struct env_file *file)
{
	return (struct posix_handle *)file;
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

/* The same for a range of a file: "FILE: cannot WHAT at offset N: REASON". */
LSM_MUST_CHECK enum lsm_err posix_refuse_at(int sys, const char *what,
                                            const struct posix_handle *file,
                                            uint64_t offset);

/* Count bytes that reached a file. */
void posix_count_written(uint64_t bytes);

/* The functions of the table that map. */
enum lsm_err posix_map(struct env_file *file, uint64_t offset, uint64_t len,
                       struct env_map **map_out);
enum lsm_err posix_map_store(struct env_map *map, uint64_t offset,
                             const void *data, size_t len);
void posix_unmap(struct env_map *map);

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
