/* SPDX-License-Identifier: MIT */
/* table_cache.c: open tables are values of a cache, keyed by file id. */
#include "sst/table_cache.h"

enum {
	/* Beside the table itself: its file, the entry of the cache, and what
	   the kernel holds for a descriptor: file, name and inode. */
	OPEN_FILE_BYTES = 1536,
	CACHE_ENTRY_BYTES = 256, /* at most what the cache adds by itself */
	/* The least that a table is charged, so that descriptors are bounded as
	   well; enough for the usual top index. */
	OPEN_TABLE_BYTES = 4096,
};

uint64_t table_cache_charge(void)
{
	return OPEN_TABLE_BYTES;
}

static uint64_t charge_of(const struct table *table)
{
	uint64_t bytes = OPEN_FILE_BYTES + table_memory(table);

	return bytes < OPEN_TABLE_BYTES ? OPEN_TABLE_BYTES : bytes;
}

static void close_value(void *value)
{
	table_close(value);
}

static struct cache_key table_key(struct file_id id)
{
	struct cache_key key = {.word = {id.creator, id.number, 0}};

	return key;
}

enum lsm_err table_cache_get(const struct table_source *source,
                             struct file_id id, uint64_t file_bytes,
                             struct table_ref *ref_out)
{
	struct cache_key key = table_key(id);
	struct table *table;
	enum lsm_err err;

	memset(ref_out, 0, sizeof(*ref_out));
	ref_out->handle = cache_lookup(source->files, &key);
	if (ref_out->handle != NULL) {
		ref_out->table = cache_value(ref_out->handle);
		return LSM_OK;
	}

	/* Two threads may both open it: the later one stays, the earlier one
	   closes when it is released. */
	err = table_open(source->pool, id, &source->family, file_bytes,
	                 source->blocks, &table);
	if (err != LSM_OK)
		return err;
	err = cache_insert(source->files, &key, table,
	                   charge_of(table) - CACHE_ENTRY_BYTES, close_value,
	                   &ref_out->handle);
	if (err != LSM_OK) {
		table_close(table);
		return err;
	}
	ref_out->table = table;
	return LSM_OK;
}

/* Have *kept take the handle of *ref over, if there is room for it. */
static void offer(struct table_kept *kept, const struct table_source *source,
                  struct table_ref *ref)
{
	struct cache_handle *expected = NULL;

	if (!cache_keep(source->files, ref->handle))
		return;
	atomic_store_explicit(&kept->files, source->files,
	                      memory_order_relaxed);
	if (!atomic_compare_exchange_strong_explicit(
		&kept->handle, &expected, ref->handle, memory_order_release,
		memory_order_acquire)) {
		/* Another thread was first: its table does as well. */
		cache_unkeep(source->files, ref->handle);
		ref->table = cache_value(expected);
	}
	ref->handle = NULL;
}

enum lsm_err table_cache_get_kept(const struct table_source *source,
                                  struct file_id id, uint64_t file_bytes,
                                  struct table_kept *kept, bool keep,
                                  struct table_ref *ref_out)
{
	struct cache_handle *handle =
	    atomic_load_explicit(&kept->handle, memory_order_acquire);
	enum lsm_err err;

	if (handle != NULL) {
		ref_out->table = cache_value(handle);
		ref_out->handle = NULL;
		return LSM_OK;
	}
	err = table_cache_get(source, id, file_bytes, ref_out);
	if (err == LSM_OK && keep)
		offer(kept, source, ref_out);
	return err;
}

void table_kept_release(struct table_kept *kept)
{
	struct cache_handle *handle =
	    atomic_exchange_explicit(&kept->handle, NULL, memory_order_acquire);

	if (handle != NULL)
		cache_unkeep(
		    atomic_load_explicit(&kept->files, memory_order_relaxed),
		    handle);
}

void table_cache_release(const struct table_source *source,
                         struct table_ref *ref)
{
	if (ref->handle != NULL)
		cache_release(source->files, ref->handle);
	memset(ref, 0, sizeof(*ref));
}

void table_cache_forget(const struct table_source *source, struct file_id id)
{
	struct cache_key key = table_key(id);

	cache_erase(source->files, &key);
}
