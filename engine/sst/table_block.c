/* SPDX-License-Identifier: MIT */
/*
 * table_block.c: the blocks of a table, through the cache. A top index that is
 * small stays in the open table, whose number is bounded (table_cache.h).
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "sst/block_memory.h"
#include "sst/table_private.h"

enum { TOP_PINNED_MAX_BYTES = 8 << 10 };

void block_ref_release(struct table *table, struct block_ref *ref)
{
	if (ref->handle != NULL)
		cache_release(table->blocks, ref->handle);
	else if (ref->block != table->top)
		block_memory_give(ref->block);
	memset(ref, 0, sizeof(*ref));
}

static enum lsm_err load(struct table *table, enum sst_block_type type,
                         struct sst_handle handle, struct sst_kept *kept,
                         struct cached_block **block_out)
{
	struct cached_block *block;
	void *memory;
	enum lsm_err err;
	size_t len;

	*block_out = NULL;
	err = sst_block_load(table->file, table->name, table->id,
	                     table->file_bytes, type, handle, kept,
	                     sizeof(*block), &memory, &len);
	if (err != LSM_OK)
		return err;
	block = memory;
	block->type = type;
	block->len = len;
	*block_out = block;
	return LSM_OK;
}

static struct cache_key block_key(const struct table *table, uint64_t offset)
{
	struct cache_key key = {
	    .word = {table->id.creator, table->id.number, offset},
	};

	return key;
}

/* Bring a block that the cache does not have; put it there when `fill`. */
static enum lsm_err miss(struct table *table, enum sst_block_type type,
                         struct sst_handle handle, bool fill,
                         struct sst_kept *kept, struct block_ref *ref)
{
	struct cache_key key = block_key(table, handle.offset);
	struct cached_block *block;
	enum lsm_err err;

	err = load(table, type, handle, kept, &block);
	if (err != LSM_OK)
		return err;
	if (fill) {
		err = cache_insert(table->blocks, &key, block,
		                   block_memory_size(block), block_memory_give,
		                   &ref->handle);
		if (err != LSM_OK) {
			block_memory_give(block);
			return err;
		}
	}
	ref->block = block;
	return LSM_OK;
}

enum lsm_err block_ref_get(struct table *table, enum sst_block_type type,
                           struct sst_handle handle, bool fill,
                           struct sst_kept *kept, struct block_ref *ref)
{
	struct cache_key key = block_key(table, handle.offset);

	memset(ref, 0, sizeof(*ref));
	if (kept != NULL)
		kept->packed.raw_len = 0;
	ref->offset = handle.offset;
	if (type == SST_BLOCK_TOP_INDEX && table->top != NULL) {
		ref->block = table->top;
		return LSM_OK;
	}
	ref->handle = cache_lookup(table->blocks, &key);
	if (ref->handle == NULL)
		return miss(table, type, handle, fill, kept, ref);

	ref->block = cache_value(ref->handle);
	if (ref->block->type != type) {
		log_error("%s: the block at offset %" PRIu64
		          " is of type %d, not %d",
		          table->name, handle.offset, (int)ref->block->type,
		          (int)type);
		block_ref_release(table, ref);
		return LSM_ERR_CORRUPT;
	}
	return LSM_OK;
}

void table_bad_entry(const struct table *table, uint64_t offset)
{
	log_error("%s: bad entry in the block at offset %" PRIu64, table->name,
	          offset);
}

enum lsm_err table_pin_top(struct table *table)
{
	struct cached_block *block;
	enum lsm_err err;

	err = load(table, SST_BLOCK_TOP_INDEX, table->footer.top, NULL, &block);
	if (err != LSM_OK)
		return err;
	if (block->len > TOP_PINNED_MAX_BYTES)
		block_memory_give(block);
	else
		table->top = block;
	return table->top == NULL ? LSM_OK : table_take_parts(table);
}
