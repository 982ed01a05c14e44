/* SPDX-License-Identifier: MIT */
/*
 * env.h: every call to the operating system that touches a file of a store goes
 * through one table of functions: env_posix() is the real one, env_mem_create()
 * one in memory that can lose what was not synced, and tests wrap either.
 *
 * Files are named by an open folder and one path component. Offsets are the
 * caller's, so that nothing depends on a file position.
 *
 * Errors, of every function unless it says otherwise: NOT_FOUND, EXISTS,
 * ACCESS, READ_ONLY, NOSPACE, NO_LINK, BUSY, NOT_SUPPORTED, NOMEM, IO. Each
 * failure but NOT_FOUND and EXISTS is logged here, with folder, name and the
 * system's reason; callers only pass it up.
 *
 * Threads: any function from any thread; two writers of one file are the
 * caller's to keep apart.
 */
#ifndef LSM_IO_ENV_H
#define LSM_IO_ENV_H

#include "base/buf.h"

struct env_dir;  /* an open folder */
struct env_file; /* an open file */
struct env_map;  /* a range of a file, mapped for storing */

enum env_open_mode {
	ENV_READ,   /* exists; read only */
	ENV_CREATE, /* must not exist; read and write; mode 0600 */
};

struct env_io_stats {
	uint64_t bytes_written; /* but what was stored into a mapping last */
	uint64_t bytes_read, syncs;
};

struct env_ops {
	/* `path` may be any path, unlike the names below. */
	enum lsm_err (*dir_open)(const struct env *env, const char *path,
	                         struct env_dir **dir_out);
	enum lsm_err (*dir_open_at)(struct env_dir *parent, const char *name,
	                            struct env_dir **dir_out);
	void (*dir_close)(struct env_dir *dir);
	/* Mode 0700. */
	enum lsm_err (*dir_make)(struct env_dir *parent, const char *name);
	/* Make durable which names the folder holds. */
	enum lsm_err (*dir_sync)(struct env_dir *dir);
	/* Call `each` for every name but . and .., in any order, until it returns
	   an error, which is then returned. */
	enum lsm_err (*dir_list)(struct env_dir *dir,
	                         enum lsm_err (*each)(void *ctx,
	                                              const char *name),
	                         void *ctx);
	/* Whole and free bytes of the filesystem, free as an ordinary user sees
	   it. */
	enum lsm_err (*dir_space)(struct env_dir *dir, uint64_t *total_out,
	                          uint64_t *free_out);
	/* Lock the file `name`, made where it is missing unless `shared`: one
	   exclusive holder or several shared ones. BUSY without waiting. */
	enum lsm_err (*dir_lock)(struct env_dir *dir, const char *name,
	                         bool shared, struct env_file **lock_out);

	enum lsm_err (*unlink)(struct env_dir *dir, const char *name);
	enum lsm_err (*rmdir)(struct env_dir *dir, const char *name);
	/* Within one folder or across two. Replaces a file; EXISTS over a
	   folder, and over anything when `no_replace`. */
	enum lsm_err (*rename)(struct env_dir *from, const char *from_name,
	                       struct env_dir *to, const char *to_name,
	                       bool no_replace);
	/* NO_LINK, unlogged, where a hard link is refused for a reason that a
	   copy would not meet. */
	enum lsm_err (*link)(struct env_dir *from, const char *from_name,
	                     struct env_dir *to, const char *to_name);
	/* Share extents: NOT_SUPPORTED, unlogged, where it cannot be done. */
	enum lsm_err (*reflink)(struct env_dir *from, const char *from_name,
	                        struct env_dir *to, const char *to_name);

	enum lsm_err (*open)(struct env_dir *dir, const char *name,
	                     enum env_open_mode mode,
	                     struct env_file **file_out);
	/* Closing also lets go of a lock. Its error matters for written files. */
	enum lsm_err (*close)(struct env_file *file);
	enum lsm_err (*size)(struct env_file *file, uint64_t *size_out);
	/* Up to `len` bytes; fewer only at the end of the file. */
	enum lsm_err (*read)(struct env_file *file, uint64_t offset, void *data,
	                     size_t len, size_t *got_out);
	/* All of it, or an error. */
	enum lsm_err (*write)(struct env_file *file, uint64_t offset,
	                      const void *data, size_t len);
	/* fdatasync: contents and size. */
	enum lsm_err (*sync)(struct env_file *file);
	/* Ask for bytes to be on their way to the disk; a hint, never fails. */
	void (*write_behind)(struct env_file *file, uint64_t offset,
	                     uint64_t len);
	/* Reserve zero bytes so that writing them cannot meet a full disk; the
	   size grows, or on error stays. NOT_SUPPORTED, unlogged, where it
	   cannot be done. */
	enum lsm_err (*preallocate)(struct env_file *file, uint64_t offset,
	                            uint64_t len);
	/* Map `len` preallocated bytes from `offset` on of a file that was made
	   with ENV_CREATE, to which nothing was written yet: they are zeros,
	   and are brought into memory as such, so that storing to them costs
	   nothing more. NOT_SUPPORTED, unlogged, where that cannot be done, or
	   where the filesystem might find later that it has no room for what is
	   stored there. The file outlives the mapping. */
	enum lsm_err (*map)(struct env_file *file, uint64_t offset,
	                    uint64_t len, struct env_map **map_out);
	/* As write(), through the mapping, without a system call: whoever reads
	   the file sees the bytes, and sync() makes them durable. They lie in
	   the mapped range. Errors: IO; then no later store succeeds. */
	enum lsm_err (*map_store)(struct env_map *map, uint64_t offset,
	                          const void *data, size_t len);
	void (*unmap)(struct env_map *map);
	/* Make the file read-only for ever: mode 0400. It is not mapped. */
	enum lsm_err (*seal)(struct env_file *file);
	/* Tell that cached pages of the file will not be needed. */
	void (*drop_cache)(struct env_file *file);

	/* Random bytes, fit for identities. */
	enum lsm_err (*random)(const struct env *env, void *data, size_t len);
	/* Calendar time in ns since 1970. */
	uint64_t (*time_ns)(const struct env *env);
	void (*io_stats)(const struct env *env, struct env_io_stats *stats);
};

/*
 * What implements the table embeds these as the first member of its own struct.
 * A wrapper's dir, file and map embed them too and keep the inner one beside.
 */
struct env {
	const struct env_ops *ops;
};
struct env_dir {
	const struct env *env;
};
struct env_file {
	const struct env *env;
};
struct env_map {
	const struct env *env;
};

/* The operating system. Never fails, never freed. */
const struct env *env_posix(void);

/* Of the operating system's: who is asked where a disk is full: lsm_on_nospace(). */
void env_on_nospace(bool (*give_up)(void *ctx), void *ctx);

/* ---- calls through the table: one each, same names ---------------------- */

LSM_MUST_CHECK enum lsm_err
env_dir_open(const struct env *env, const char *path, struct env_dir **dir_out);
LSM_MUST_CHECK enum lsm_err env_dir_open_at(struct env_dir *parent,
                                            const char *name,
                                            struct env_dir **dir_out);
void env_dir_close(struct env_dir *dir); /* NULL is allowed */
LSM_MUST_CHECK enum lsm_err env_dir_make(struct env_dir *parent,
                                         const char *name);
LSM_MUST_CHECK enum lsm_err env_dir_sync(struct env_dir *dir);
LSM_MUST_CHECK enum lsm_err
env_dir_list(struct env_dir *dir,
             enum lsm_err (*each)(void *ctx, const char *name), void *ctx);
LSM_MUST_CHECK enum lsm_err
env_dir_space(struct env_dir *dir, uint64_t *total_out, uint64_t *free_out);
LSM_MUST_CHECK enum lsm_err env_dir_lock(struct env_dir *dir, const char *name,
                                         bool shared,
                                         struct env_file **lock_out);
LSM_MUST_CHECK enum lsm_err env_unlink(struct env_dir *dir, const char *name);
LSM_MUST_CHECK enum lsm_err env_rmdir(struct env_dir *dir, const char *name);
LSM_MUST_CHECK enum lsm_err env_rename(struct env_dir *from,
                                       const char *from_name,
                                       struct env_dir *to, const char *to_name,
                                       bool no_replace);
LSM_MUST_CHECK enum lsm_err env_link(struct env_dir *from,
                                     const char *from_name, struct env_dir *to,
                                     const char *to_name);
LSM_MUST_CHECK enum lsm_err env_reflink(struct env_dir *from,
                                        const char *from_name,
                                        struct env_dir *to,
                                        const char *to_name);
LSM_MUST_CHECK enum lsm_err env_open(struct env_dir *dir, const char *name,
                                     enum env_open_mode mode,
                                     struct env_file **file_out);
enum lsm_err env_close(struct env_file *file); /* NULL is allowed */
LSM_MUST_CHECK enum lsm_err env_size(struct env_file *file, uint64_t *size_out);
LSM_MUST_CHECK enum lsm_err env_read(struct env_file *file, uint64_t offset,
                                     void *data, size_t len, size_t *got_out);
LSM_MUST_CHECK enum lsm_err env_write(struct env_file *file, uint64_t offset,
                                      const void *data, size_t len);
LSM_MUST_CHECK enum lsm_err env_sync(struct env_file *file);
void env_write_behind(struct env_file *file, uint64_t offset, uint64_t len);
LSM_MUST_CHECK enum lsm_err env_preallocate(struct env_file *file,
                                            uint64_t offset, uint64_t len);
LSM_MUST_CHECK enum lsm_err env_map(struct env_file *file, uint64_t offset,
                                    uint64_t len, struct env_map **map_out);
LSM_MUST_CHECK enum lsm_err env_map_store(struct env_map *map, uint64_t offset,
                                          const void *data, size_t len);
void env_unmap(struct env_map *map); /* NULL is allowed */
LSM_MUST_CHECK enum lsm_err env_seal(struct env_file *file);
void env_drop_cache(struct env_file *file);
LSM_MUST_CHECK enum lsm_err env_random(const struct env *env, void *data,
                                       size_t len);
uint64_t env_time_ns(const struct env *env);
void env_io_stats(const struct env *env, struct env_io_stats *stats);

/* ---- what is built from those --------------------------------------------- */

/* Read the whole file, of at most `limit_bytes` (more: CORRUPT, logged). */
LSM_MUST_CHECK enum lsm_err env_read_file(struct env_dir *dir, const char *name,
                                          size_t limit_bytes, struct buf *out);

/* Write a new file whole and, with `sync`, make its bytes durable; the folder is
   the caller's to sync. On error no file is left. */
LSM_MUST_CHECK enum lsm_err env_write_file(struct env_dir *dir,
                                           const char *name,
                                           struct slice contents, bool sync);

/* Make the bytes of a file durable that was written by others. */
LSM_MUST_CHECK enum lsm_err env_sync_file(struct env_dir *dir,
                                          const char *name);

/*
 * Publish a small file atomically: write NAME.tmp, sync it, rename it over
 * `name`, sync the folder. After an error the old contents or the new stand.
 */
LSM_MUST_CHECK enum lsm_err env_publish(struct env_dir *dir, const char *name,
                                        struct slice contents);

/* Copy the bytes of a file into a new one of the other folder and sync it. */
LSM_MUST_CHECK enum lsm_err env_copy_file(struct env_dir *from,
                                          const char *from_name,
                                          struct env_dir *to,
                                          const char *to_name);

/* Remove a folder and all below it. What is missing is no error. */
LSM_MUST_CHECK enum lsm_err env_remove_tree(struct env_dir *parent,
                                            const char *name);

/* ---- the crashable one, env_mem.c ------------------------------------------ */

/*
 * A filesystem in memory that keeps, beside what is, what is durable: a file's
 * bytes once it was synced, a folder's names once the folder was. A lock dies
 * with its holder, as with flock. Paths start at "/". Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err env_mem_create(struct env **env_out);
void env_mem_destroy(struct env *env);

/*
 * How a power cut treats what was not synced: each unsynced 512-byte sector and
 * each unsynced change of a name is kept with `keep_per_256` chances in 256,
 * decided by `seed`; 0 drops all, 256 keeps all.
 */
struct env_mem_crash {
	unsigned keep_per_256;
	uint64_t seed;
};

/*
 * A new, independent env that holds what a power cut at this moment would have
 * left. The old one goes on. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
env_mem_after_crash(struct env *env, const struct env_mem_crash *crash,
                    struct env **env_out);

/* Free bytes that the env pretends to have; writing past them is NOSPACE. */
void env_mem_set_free(struct env *env, uint64_t free_bytes);

#endif
