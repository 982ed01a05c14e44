/* SPDX-License-Identifier: MIT */
/*
 * block_builder.h: build one block with shared key prefixes (block.h has the
 * layout).
 */
#ifndef LSM_SST_BLOCK_BUILDER_H
#define LSM_SST_BLOCK_BUILDER_H

#include "base/buf.h"

struct block_builder {
	struct buf raw;
	struct buf last_key;
	struct buf restarts; /* encoded */
	uint32_t interval;   /* every so many entries a key is stored whole */
	uint32_t since_restart;
	uint32_t entries;
};

void block_builder_init(struct block_builder *b, uint32_t interval);
void block_builder_release(struct block_builder *b);
void block_builder_clear(struct block_builder *b);

/* `key` sorts after every key before it. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err block_builder_add(struct block_builder *b,
                                              struct slice key,
                                              struct slice value);
/* Raw size if it were finished now. */
size_t block_builder_bytes(const struct block_builder *b);

/* Append the restart array; the bytes are borrowed until clear. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err block_builder_finish(struct block_builder *b,
                                                 struct slice *raw_out);

#endif
