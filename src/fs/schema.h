/* SPDX-License-Identifier: MIT */
/*
 * schema.h: every key and value of a filesystem in the store, but for the
 * values of chunks (fs/chunk.h): encode, decode. docs/filesystem.md shows them.
 *
 * Keys begin with their family and hold big-endian numbers, so that the store's
 * order is ours: all of one inode together, a directory in the order of its
 * cookies, a file in the order of its chunks.
 *
 * Decoders trust nothing: bytes that do not have the one right form are
 * CORRUPT. All functions are pure; any thread.
 */
#ifndef SHALEFS_FS_SCHEMA_H
#define SHALEFS_FS_SCHEMA_H

#include <time.h>

#include "base/buf.h"

/* First byte of a key. Frozen. */
enum schema_family {
	SCHEMA_INODE = 0x01,
	SCHEMA_DIRENT = 0x02,
	SCHEMA_ORPHAN = 0x03,
	SCHEMA_CHUNK = 0x80,
};

/* What of an inode: the byte after its number. Frozen. */
enum schema_part {
	SCHEMA_ATTR = 0x00,
	SCHEMA_INLINE = 0x01,
	SCHEMA_SYMLINK = 0x02,
	SCHEMA_XATTR = 0x10,
};

/* Flags of an inode record. Frozen. */
enum schema_flag {
	SCHEMA_HAS_XATTR = 1 << 0, /* it has at least one */
	SCHEMA_IS_INLINE = 1 << 1, /* bytes in the inline key, not chunks */
	SCHEMA_IS_ORPHAN = 1 << 2, /* no name, and recorded as an orphan */
	SCHEMA_MAY_HAVE_HOLES = 1
	                        << 3, /* stored bytes may end before the size */
	SCHEMA_IS_LINKABLE = 1 << 4,  /* an orphan that never had a name */
	SCHEMA_FLAGS_KNOWN = (1 << 5) - 1,
};

/* Counters of the store. Frozen. */
enum schema_counter {
	SCHEMA_COUNT_USED_BYTES = 0, /* sum of alloc_bytes over all inodes */
	SCHEMA_COUNT_INODES = 1,
	SCHEMA_COUNT_NUMBERS =
	    2, /* inode numbers given out, or reserved to be */
};

enum {
	SCHEMA_VERSION = 1,
	SCHEMA_CHUNK_SHIFT = 16,
	SCHEMA_CHUNK_PREFIX_BYTES = 9, /* of a chunk's key: whose it is */
	SCHEMA_KEY_MAX_BYTES = 272,
	SCHEMA_SECRET_BYTES = 16,
	SCHEMA_OWNER_BYTES = 48,
	SCHEMA_INODE_BYTES = 108,
	SCHEMA_DIRENT_HEAD_BYTES = 9, /* before the name */
	SCHEMA_NAME_MAX_BYTES = 255,
	SCHEMA_INLINE_MAX_BYTES = 4096,
	SCHEMA_SLOTS = 16, /* names of one directory with one hash */
};

#define SCHEMA_INO_LIMIT (UINT64_C(1) << 48)

/* ---- the owner area of the superblock ------------------------------------ */

struct schema_owner {
	uint32_t uid, gid;                   /* of the root directory */
	uint8_t secret[SCHEMA_SECRET_BYTES]; /* keys the hash of names */
	struct timespec created;
};

void schema_encode_owner(uint8_t out[SCHEMA_OWNER_BYTES],
                         const struct schema_owner *owner);
/* Errors: NOT_STORE (not a filesystem of ours), NEWER, CORRUPT. */
LSM_MUST_CHECK enum lsm_err schema_decode_owner(struct slice area,
                                                struct schema_owner *owner);

/* ---- keys ---------------------------------------------------------------- */

struct schema_key {
	uint8_t bytes[SCHEMA_KEY_MAX_BYTES];
	size_t len;
};

static inline struct slice schema_slice(const struct schema_key *key)
{
	return slice_make(key->bytes, key->len);
}

/* A part of an inode but an xattr. */
void schema_inode_key(struct schema_key *key, uint64_t ino,
                      enum schema_part part);
/* `name` of at most SCHEMA_NAME_MAX_BYTES; empty: where the first would be. */
void schema_xattr_key(struct schema_key *key, uint64_t ino, struct slice name);
void schema_dirent_key(struct schema_key *key, uint64_t dir, uint64_t cookie);
void schema_orphan_key(struct schema_key *key, uint64_t ino);
/* `index` below 2^48. */
void schema_chunk_key(struct schema_key *key, uint64_t ino, uint64_t index);

/* The smallest key of a family, and the bound that ends it. */
void schema_family_range(enum schema_family family, struct schema_key *lower,
                         struct schema_key *upper);

/* Errors of all: CORRUPT, when the key is none of its family. */
struct schema_inode_part {
	uint64_t ino;
	enum schema_part part;
	struct slice name; /* of an xattr; borrowed from the key */
};
LSM_MUST_CHECK enum lsm_err
schema_decode_inode_key(struct slice key, struct schema_inode_part *part);
LSM_MUST_CHECK enum lsm_err schema_decode_dirent_key(struct slice key,
                                                     uint64_t *dir_out,
                                                     uint64_t *cookie_out);
LSM_MUST_CHECK enum lsm_err schema_decode_orphan_key(struct slice key,
                                                     uint64_t *ino_out);
LSM_MUST_CHECK enum lsm_err schema_decode_chunk_key(struct slice key,
                                                    uint64_t *ino_out,
                                                    uint64_t *index_out);

/*
 * The cookie of a name in slot 0: 59 bits of its keyed hash, then 4 bits of
 * slot. `mask` is all ones, except in tests that want collisions. Never below
 * SCHEMA_SLOTS: the cookies under it stand for the start, "." and "..".
 */
uint64_t schema_cookie(const uint8_t secret[SCHEMA_SECRET_BYTES], uint64_t mask,
                       struct slice name);

/* ---- values -------------------------------------------------------------- */

struct inode {
	uint64_t ino;  /* of the key; not in the value */
	uint32_t mode; /* type and permissions, as st_mode */
	uint16_t flags;
	uint32_t uid, gid;
	uint32_t nlink;
	uint64_t rdev;
	uint64_t size;
	uint64_t alloc_bytes;
	struct timespec atime, mtime, ctime, btime;
	uint64_t parent; /* true for a directory, a hint for a file */
	uint64_t change; /* grows by one with every record */
};

void schema_encode_inode(uint8_t out[SCHEMA_INODE_BYTES],
                         const struct inode *inode);
LSM_MUST_CHECK enum lsm_err
schema_decode_inode(struct slice value, uint64_t ino, struct inode *inode);

struct schema_dirent {
	uint64_t ino;      /* 0: a hole, which only keeps its slot taken */
	uint32_t type;     /* the type bits of st_mode */
	struct slice name; /* borrowed from the value */
};

/* Append to *out. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err
schema_encode_dirent(struct buf *out, const struct schema_dirent *dirent);
LSM_MUST_CHECK enum lsm_err schema_decode_dirent(struct slice value,
                                                 struct schema_dirent *dirent);

#endif
