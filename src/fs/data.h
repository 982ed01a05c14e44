/* SPDX-License-Identifier: MIT */
/*
 * data.h: the contents of regular files. data.c reads, data_write.c writes,
 * data_range.c cuts, punches and extends.
 *
 * Forms: an inline file (SCHEMA_IS_INLINE) has at most 4,096 bytes, under one
 * key beside its record; any other has chunks (fs/chunk.h). A new file is
 * inline; it becomes one of chunks with the first byte past 4,096, and inline
 * again when it is cut to nothing.
 *
 * Invariants, which fs_check() looks for:
 *   nothing is stored past the size;
 *   without SCHEMA_MAY_HAVE_HOLES everything before the size is stored, so that
 *   lengths are known without looking, and what is missing is damage;
 *   alloc_bytes is the sum of the stored lengths, each in whole 4 KiB blocks.
 *
 * What changes data needs the inode's lock; reading needs a snapshot or the
 * lock, so that size and bytes belong together.
 */
#ifndef SHALEFS_FS_DATA_H
#define SHALEFS_FS_DATA_H

#include "fs/change.h"
#include "fs/chunk.h"

enum {
	/* Chunks that are deleted one by one; more go as one range, which costs
	   the same whatever it deletes, and every reader of the file a look. */
	DATA_POINT_DELETES_MAX = 16,
	/* The same where bytes stay behind them: ranges at the end of a file
	   replace one another, holes in its middle can be without number. */
	DATA_PUNCH_DELETES_MAX = 256,
	/* Chunks of a file with holes that one step of a cut looks at. */
	DATA_CUT_MAX_CHUNKS = 65536,
	/* Keys that a step of a cut changes at most: two at its ends. */
	DATA_CUT_MAX_KEYS = DATA_PUNCH_DELETES_MAX + 2,
};

static inline bool data_may_have_holes(const struct inode *inode)
{
	return (inode->flags & SCHEMA_MAY_HAVE_HOLES) != 0;
}

static inline bool data_is_inline(const struct inode *inode)
{
	return (inode->flags & SCHEMA_IS_INLINE) != 0;
}

/* Indexes below this are all that chunks of the file can have. */
static inline uint64_t data_chunk_count(const struct inode *inode)
{
	return chunk_index(inode->size + CHUNK_BYTES - 1);
}

/* Bytes that all lie before the size. Errors: EIO, ENOMEM. */
int data_read(struct fs *fs, const struct lsm_snapshot *snap,
              const struct inode *inode, uint64_t offset, uint8_t *out,
              size_t len);

/* The inline bytes; empty where nothing is stored. Errors: EIO, ENOMEM. */
int data_get_inline(struct fs *fs, const struct lsm_snapshot *snap,
                    const struct inode *inode, struct buf *bytes);
/* Replace the inline bytes, `before` many, by these; none: no key. */
void data_put_inline(struct change *change, struct inode *inode, size_t before,
                     struct slice bytes);

/* How much of a chunk is stored without a look; valid without holes. */
static inline uint32_t data_full_len(const struct inode *inode, uint64_t index)
{
	uint64_t left;

	if (chunk_start(index) >= inode->size)
		return 0;
	left = inode->size - chunk_start(index);
	return left < CHUNK_BYTES ? (uint32_t)left : (uint32_t)CHUNK_BYTES;
}

/* The bytes go into the change; size and alloc_bytes follow, times do not. The
   record is not saved. */
int data_write(struct change *change, struct inode *inode, uint64_t offset,
               const uint8_t *data, size_t len);

/*
 * Turn an inline file into one of chunks, of its first `keep` bytes, and write
 * `piece`, which may be empty, at `offset` of chunk 0, where it has room.
 */
int data_leave_inline(struct change *change, struct inode *inode, uint64_t keep,
                      uint32_t offset, struct slice piece);

/* fs_setattr() with a size. */
int data_set_size(struct fs *fs, struct fs_op *op, uint64_t ino, unsigned which,
                  const struct fs_attr *set, struct fs_attr *attr);

/* Delete the chunks [from, to), which need not exist: as a range, when they are
   more than `most`. */
void data_delete_chunks(struct change *change, uint64_t ino, uint64_t from,
                        uint64_t to, uint64_t most);

/* Existing chunks of a file. */
struct data_extent {
	uint64_t index;
	uint32_t len; /* stored */
};
struct data_extents {
	struct data_extent *items;
	size_t count, cap;
};
void data_extents_release(struct data_extents *extents);

/*
 * Append the chunks that exist in [from, to), at most `max`, by ascending
 * index; *more_out tells whether there are others. Without holes nothing is
 * read. Errors: EIO, ENOMEM.
 */
int data_collect(struct fs *fs, const struct inode *inode, uint64_t from,
                 uint64_t to, size_t max, struct data_extents *extents,
                 bool *more_out);

#endif
