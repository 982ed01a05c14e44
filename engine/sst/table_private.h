/* SPDX-License-Identifier: MIT */
/* table_private.h: an open table, as table.c, table_block.c, table_get.c and
   table_verify.c see it. */
#ifndef LSM_SST_TABLE_PRIVATE_H
#define LSM_SST_TABLE_PRIVATE_H

#include <stdatomic.h>

#include "sst/block.h"
#include "sst/table.h"

/* What the cache holds. */
struct cached_block {
	enum sst_block_type type;
	size_t len;
	uint8_t bytes[];
};

/* A part, as the top index says, and the handles of what is kept of it: set once,
   with release. */
struct table_part {
	struct slice last; /* the key that ends it; lies in the top index */
	struct sst_part where;
	_Atomic(struct cache_handle *) filter, index;
};

/* Constant after open, but for what parts keep, and so free for any thread. */
struct table {
	struct env_file *file;
	struct cache *blocks; /* borrowed */
	struct file_id id;
	struct uuid family;
	uint64_t file_bytes;
	struct sst_footer footer;
	struct cached_block
	    *top; /* its index, unless that is large: then NULL */
	struct table_part *parts; /* NULL: not known */
	size_t part_count;
	char name[FILE_NAME_MAX_BYTES];
};

/* Read and check header and footer. Errors: CORRUPT, NEWER, IO. Logged. */
LSM_MUST_CHECK enum lsm_err table_read_ends(struct table *table,
                                            struct sst_footer *footer_out);

/* ---- table_block.c ------------------------------------------------------ */

/* A block in use. Zeroed: none. */
struct block_ref {
	struct cached_block *block;
	struct cache_handle *handle; /* NULL: the block is not the cache's */
	uint64_t offset;
};

static inline struct slice block_ref_raw(const struct block_ref *ref)
{
	return slice_make(ref->block->bytes, ref->block->len);
}

/* Get a block, from the cache if it is there; put it there when `fill`. In `kept`
   (or NULL) it stays packed, if it was read. Errors: CORRUPT, IO, NOMEM. */
LSM_MUST_CHECK enum lsm_err block_ref_get(struct table *table,
                                          enum sst_block_type type,
                                          struct sst_handle handle, bool fill,
                                          struct sst_kept *kept,
                                          struct block_ref *ref);
void block_ref_release(struct table *table, struct block_ref *ref);

/* Keep the top index in the table, if it is small. Errors: as above. */
LSM_MUST_CHECK enum lsm_err table_pin_top(struct table *table);

/* Log that an entry of the block at `offset` makes no sense. */
void table_bad_entry(const struct table *table, uint64_t offset);

/* ---- table_get.c -------------------------------------------------------- */

/* Take the top index apart, which is in the table; a damaged one not. Errors:
   NOMEM. Let go of what is kept of the parts; none is known then. */
LSM_MUST_CHECK enum lsm_err table_take_parts(struct table *table);
void table_drop_parts(struct table *table);

#endif
