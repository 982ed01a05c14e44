/* SPDX-License-Identifier: MIT */
/*
 * env_mem.h: what env_mem.c (folders, names, the table), env_mem_file.c (bytes
 * of files) and env_mem_crash.c (inodes and the power cut) share; private to
 * the three.
 *
 * Everything exists twice. A file has the bytes that a reader sees and those
 * that were synced; a folder has the entries that are and those that were made
 * durable. Entries point at inodes and each kind counts its own, so that an
 * inode lives for as long as a name, a durable name or an open handle needs it.
 *
 * Locks: env_mem.mu guards everything but what is said to be constant.
 */
#ifndef LSM_IO_ENV_MEM_H
#define LSM_IO_ENV_MEM_H

#include "base/sync.h"
#include "io/env.h"

enum { MEM_SECTOR_BYTES = 512 };

struct mem_inode;

struct mem_entry {
	struct mem_entry *next;
	struct mem_inode *inode;
	char name[];
};

struct mem_inode {
	struct mem_inode *prev, *next; /* all of the env */
	bool is_dir;                   /* constant */
	unsigned links;                /* entries that are */
	unsigned durable_links;        /* entries that are durable */
	unsigned handles;
	bool gone; /* no entry, no handle: its bytes count as free */

	/* A file. Bytes outside [dirty_start, dirty_end) are alike in both. */
	struct buf data, durable;
	uint64_t dirty_start, dirty_end;
	bool sealed;
	unsigned maps;
	bool exclusive_lock;
	unsigned shared_locks;

	/* A folder. */
	struct mem_entry *entries, *durable_entries;

	struct mem_inode *crash_copy; /* while a crash is made */
};

struct env_mem {
	struct env base; /* constant */

	struct sync_mutex mu;
	struct mem_inode *inodes;
	struct mem_inode *root;
	unsigned open_handles;
	uint64_t used_bytes, free_bytes;
	uint64_t random_state;
	struct env_io_stats stats;
};

enum mem_lock_kind { MEM_LOCK_NONE, MEM_LOCK_SHARED, MEM_LOCK_EXCLUSIVE };

struct mem_file {
	struct env_file base;
	struct mem_inode *inode;
	bool writable;
	enum mem_lock_kind lock; /* held through this handle */
	char path[];             /* for log lines */
};

struct mem_map {
	struct env_map base;
	struct mem_file *file;
	uint64_t offset, end;
};

/* Lock the env of a handle. */
struct env_mem *mem_enter(const struct env *base);

/*
 * Unlock, log why `what` cannot be done unless `err` is one that is not logged,
 * and pass `err` on. `name` is empty where `path` says it all.
 */
LSM_MUST_CHECK enum lsm_err mem_leave(struct env_mem *env, enum lsm_err err,
                                      const char *what, const char *path,
                                      const char *name);

/* The functions of the table that work on an open file. */
enum lsm_err mem_file_size(struct env_file *file, uint64_t *size_out);
enum lsm_err mem_file_read(struct env_file *file, uint64_t offset, void *data,
                           size_t len, size_t *got_out);
enum lsm_err mem_file_write(struct env_file *file, uint64_t offset,
                            const void *data, size_t len);
enum lsm_err mem_file_sync(struct env_file *file);
void mem_file_write_behind(struct env_file *file, uint64_t offset,
                           uint64_t len);
enum lsm_err mem_file_preallocate(struct env_file *file, uint64_t offset,
                                  uint64_t len);
enum lsm_err mem_file_map(struct env_file *file, uint64_t offset, uint64_t len,
                          struct env_map **map_out);
enum lsm_err mem_file_map_store(struct env_map *map, uint64_t offset,
                                const void *data, size_t len);
void mem_file_unmap(struct env_map *map);
enum lsm_err mem_file_seal(struct env_file *file);
void mem_file_drop_cache(struct env_file *file);

/* All below need env->mu. */

/* An inode that nothing counts yet: give it a name, a handle, or drop it. */
LSM_MUST_CHECK enum lsm_err mem_inode_create(struct env_mem *env, bool is_dir,
                                             struct mem_inode **inode_out);
/* Free what nothing counts any more; call after a count went down. */
void mem_inode_settle(struct env_mem *env, struct mem_inode *inode);

/* Where the pointer to the entry is, or to the NULL that ends the list. */
struct mem_entry **mem_entry_find(struct mem_entry **list, const char *name);
/* An entry at the head of the list; it counts nothing. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err mem_entry_add(struct mem_entry **list,
                                          const char *name,
                                          struct mem_inode *inode);

/* Make the present entries of a folder the durable ones. Errors: NOMEM, and
   then the old ones stand. */
LSM_MUST_CHECK enum lsm_err mem_dir_harden(struct env_mem *env,
                                           struct mem_inode *dir);
/* Make the present bytes of a file the durable ones. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err mem_file_harden(struct mem_inode *file);

/* The next of a row of random numbers (splitmix64). */
uint64_t mem_random(uint64_t *state);

/* An env with an empty root folder, of `seed`. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err mem_env_create(const struct env_ops *ops,
                                           uint64_t seed,
                                           struct env_mem **env_out);

#endif
