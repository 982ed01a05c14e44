/* SPDX-License-Identifier: MIT */
/*
 * superblock.h: the file SHALEFS, which makes a folder a store: who the store
 * is, what its format demands, and the owner's opaque area. Written once.
 *
 * A feature that an older program does not know may be harmless (compat), forbid
 * writing (ro_compat) or forbid opening (incompat).
 */
#ifndef LSM_STORE_SUPERBLOCK_H
#define LSM_STORE_SUPERBLOCK_H

#include "io/env.h"
#include "io/file_header.h"

#define SUPERBLOCK_NAME "SHALEFS"

enum {
	SUPERBLOCK_BYTES = 512,
	SUPERBLOCK_VERSION = 1,
};

struct superblock {
	uint64_t compat, ro_compat, incompat; /* feature masks */
	struct uuid family; /* shared with every export and its source */
	struct uuid store;  /* of this folder alone */
	uint64_t created_ns;
	uint8_t owner_area[LSM_OWNER_AREA_BYTES];
	uint16_t owner_len;
};

/* A superblock with fresh identities. Errors: IO, TOO_BIG. */
LSM_MUST_CHECK enum lsm_err superblock_init(struct superblock *sb,
                                            const struct env *env,
                                            struct slice owner_area);

/* The bytes of the file SHALEFS. */
void superblock_encode(const struct superblock *sb,
                       uint8_t bytes[SUPERBLOCK_BYTES]);

/* Errors: NOT_STORE, CORRUPT, NEWER, READ_ONLY (a feature forbids writing and
   read_only is false), those of env. Logged with `path`. */
LSM_MUST_CHECK enum lsm_err superblock_read(struct env_dir *dir,
                                            const char *path, bool read_only,
                                            struct superblock *sb_out);

#endif
