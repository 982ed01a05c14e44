/* SPDX-License-Identifier: MIT */
/*
 * format.h: the fixed parts of a table file: block handle, block trailer, footer.
 *
 *   table  = file header (64), parts, top index, properties, footer
 *            (SST_FOOTER_BYTES, at the very end)
 *   part   = data blocks, the filter of their keys, the index over them
 *   block  = bytes as stored by the codec, trailer
 *
 * docs/format.md is the authority.
 */
#ifndef LSM_SST_FORMAT_H
#define LSM_SST_FORMAT_H

#include "base/codec.h"
#include "io/env.h"
#include "io/file_header.h"

/* On disk. Frozen. The type is part of a block's checksum. */
enum sst_block_type {
	SST_BLOCK_DATA = 1,
	SST_BLOCK_INDEX = 2,     /* its values are handles of data blocks */
	SST_BLOCK_TOP_INDEX = 3, /* its values name the parts */
	SST_BLOCK_FILTER = 4,
	SST_BLOCK_PROPERTIES = 5,
};

enum {
	SST_TRAILER_BYTES = 1 + 4 + 8, /* codec, raw length, checksum */
	SST_FOOTER_BYTES = 64,
	SST_BLOCK_MAX_BYTES = 16 << 20, /* raw */
	SST_HANDLE_MAX_BYTES = 20,
	SST_PART_MAX_BYTES = 2 * SST_HANDLE_MAX_BYTES,
	SST_RESTART_INTERVAL = 16, /* in data blocks; in others it is 1 */
};

/* Where a block stands: offset of its first byte, length without trailer. */
struct sst_handle {
	uint64_t offset;
	uint64_t bytes;
};

/* What the top index says of a part. */
struct sst_part {
	struct sst_handle index;
	struct sst_handle filter;
};

struct sst_footer {
	struct sst_handle top; /* index */
	struct sst_handle properties;
};

size_t sst_handle_encode(struct sst_handle handle, uint8_t *out);
bool sst_handle_decode(struct slice bytes, struct sst_handle *handle_out);
size_t sst_part_encode(const struct sst_part *part, uint8_t *out);
bool sst_part_decode(struct slice bytes, struct sst_part *part_out);

void sst_footer_encode(const struct sst_footer *footer, struct file_id id,
                       uint64_t offset, uint8_t out[SST_FOOTER_BYTES]);
/* Errors: CORRUPT. Not logged. */
LSM_MUST_CHECK enum lsm_err sst_footer_decode(struct slice bytes,
                                              struct file_id id,
                                              uint64_t offset,
                                              struct sst_footer *footer_out);

/*
 * Compress `raw` and append block and trailer to *out, as they will stand at
 * `offset` of file `id`. Errors: NOMEM, TOO_BIG.
 */
LSM_MUST_CHECK enum lsm_err sst_block_encode(struct file_id id, uint64_t offset,
                                             enum sst_block_type type,
                                             struct slice raw, struct buf *out,
                                             struct sst_handle *handle_out);

/* The same for bytes that were packed before. Errors: NOMEM, TOO_BIG. */
LSM_MUST_CHECK enum lsm_err sst_block_copy(struct file_id id, uint64_t offset,
                                           enum sst_block_type type,
                                           const struct codec_packed *packed,
                                           struct buf *out,
                                           struct sst_handle *handle_out);

/*
 * Read, check and decompress one block into *raw. `name` is for the log line,
 * which names file and offset. Errors: CORRUPT, IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
sst_block_read(struct env_file *file, const char *name, struct file_id id,
               uint64_t file_bytes, enum sst_block_type type,
               struct sst_handle handle, struct buf *raw);

/* A block as it was read, packed. Zeroed: none, and no memory. */
struct sst_kept {
	struct buf bytes;
	struct codec_packed packed; /* of these bytes; raw_len 0: none */
};

/*
 * The same into memory of its own (sst/block_memory.h): `head` bytes for the caller,
 * then *raw_len_out bytes of the block. `kept` NULL: what was read is not kept.
 */
LSM_MUST_CHECK enum lsm_err
sst_block_load(struct env_file *file, const char *name, struct file_id id,
               uint64_t file_bytes, enum sst_block_type type,
               struct sst_handle handle, struct sst_kept *kept, size_t head,
               void **block_out, size_t *raw_len_out);

#endif
