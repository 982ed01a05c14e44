/* SPDX-License-Identifier: MIT */
/*
 * table_cache.h: open tables, bounded: a table is opened when it is first needed
 * and closed when room is wanted and nobody uses it.
 *
 * Threads: any. What `get` hands out stays open until `release`.
 */
#ifndef LSM_SST_TABLE_CACHE_H
#define LSM_SST_TABLE_CACHE_H

#include <stdatomic.h>

#include "base/cache.h"
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
	struct cache_handle *handle; /* NULL: somebody else's */
};

/*
 * The open table, kept by whoever knows the file while it exists: to look up
 * nothing for those that were first (cache_keep() says how many). Zeroed: none.
 */
struct table_kept {
	_Atomic(struct cache_handle *) handle; /* set once, with release */
	_Atomic(struct cache *) files;         /* set before; always the same */
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
/* The same, with *kept looked at first. What is handed out is released before
   *kept is. `keep`: keep the table if there is room. */
LSM_MUST_CHECK enum lsm_err
table_cache_get_kept(const struct table_source *source, struct file_id id,
                     uint64_t file_bytes, struct table_kept *kept, bool keep,
                     struct table_ref *ref_out);
/* None is kept then. Nobody else uses it. */
void table_kept_release(struct table_kept *kept);

void table_cache_release(const struct table_source *source,
                         struct table_ref *ref);

/* The file is about to be deleted: forget the open table. Its blocks age out. */
void table_cache_forget(const struct table_source *source, struct file_id id);

#endif
