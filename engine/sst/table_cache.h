/* SPDX-License-Identifier: MIT */
/*
 * table_cache.h: open tables, bounded: a table is opened when it is first needed
 * and closed when room is wanted and nobody uses it.
 *
 * Threads: any. What `get` hands out stays open until `release`.
 */
#ifndef LSM_SST_TABLE_CACHE_H
#define LSM_SST_TABLE_CACHE_H

#include "sst/table.h"

/* Where the tables of one store are found. Embedded, constant. */
struct table_source {
	struct env_dir *pool;
	struct uuid family;
	struct cache
	    *files; /* open tables; limit in table_cache_charge() units */
	struct cache *blocks;
};

struct table_ref {
	struct table *table;
	struct cache_handle *handle;
};

/* The least that an open table is charged in `files`, so that a limit in these
   units bounds their number; one with a large top index is charged up to three
   times as much. */
uint64_t table_cache_charge(void);

/* Errors: those of table_open(). */
LSM_MUST_CHECK enum lsm_err table_cache_get(const struct table_source *source,
                                            struct file_id id,
                                            uint64_t file_bytes,
                                            struct table_ref *ref_out);
void table_cache_release(const struct table_source *source,
                         struct table_ref *ref);

/* The file is about to be deleted: forget the open table. Its blocks age out. */
void table_cache_forget(const struct table_source *source, struct file_id id);

#endif
