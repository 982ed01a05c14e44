/* SPDX-License-Identifier: MIT */
/*
 * fs_kit.h: a filesystem in memory for the tests of src/fs, and short forms of
 * what they do most. What goes wrong in the kit itself ends the process.
 */
#ifndef TESTS_SRC_FS_FS_KIT_H
#define TESTS_SRC_FS_FS_KIT_H

#include "fs/internal.h"
#include "io/env.h"

struct kit {
	struct env *env;
	struct lsm_runtime *runtime;
	struct lsm_runtime_options runtime_options;
	struct lsm_options options; /* for the next kit_open() */
	uint64_t hash_mask;
	struct fs *fs;
	struct fs_op op;
};

/* Defaults; change runtime_options and options, then kit_begin(). */
void kit_init(struct kit *kit);
/* Tiny memtables, blocks, tables and levels. */
void kit_init_tiny(struct kit *kit);
/* Format and open. */
void kit_begin(struct kit *kit);
void kit_open(struct kit *kit);
void kit_close(struct kit *kit);
/* Go on with what a death of the process at this moment would have left. */
void kit_crash(struct kit *kit);
void kit_end(struct kit *kit);

/* The number of faults; each is printed, and counted if it has `prefix`. */
uint64_t kit_faults(struct kit *kit, const char *prefix);

/* The inode of a new thing in `dir`; 0 when it could not be made. */
uint64_t kit_file(struct kit *kit, uint64_t dir, const char *name);
uint64_t kit_dir(struct kit *kit, uint64_t dir, const char *name);

int kit_write(struct kit *kit, uint64_t ino, uint64_t offset, const void *data,
              size_t len);
/* `len` bytes of `byte`. */
int kit_fill(struct kit *kit, uint64_t ino, uint64_t offset, size_t len,
             int byte);
/* Whether [offset, offset + len) reads as `byte` throughout. */
bool kit_is_all(struct kit *kit, uint64_t ino, uint64_t offset, size_t len,
                int byte);
int kit_truncate(struct kit *kit, uint64_t ino, uint64_t size);
/* Attributes; zeroed when there is no such inode. */
struct fs_attr kit_attr(struct kit *kit, uint64_t ino);
int kit_unlink(struct kit *kit, uint64_t dir, const char *name);
int kit_rename(struct kit *kit, uint64_t dir, const char *name,
               uint64_t new_dir, const char *new_name, unsigned flags);
int kit_lookup(struct kit *kit, uint64_t dir, const char *name,
               uint64_t *ino_out);
int64_t kit_counter(struct kit *kit, enum schema_counter counter);

/* Write or delete a key behind the filesystem's back. */
void kit_put_raw(struct kit *kit, const struct schema_key *key,
                 struct slice value);
void kit_delete_raw(struct kit *kit, const struct schema_key *key);
/* Load, and later save, an inode record behind its back. */
void kit_save_raw(struct kit *kit, const struct inode *inode);
bool kit_exists_raw(struct kit *kit, const struct schema_key *key);

#endif
