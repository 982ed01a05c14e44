/* SPDX-License-Identifier: MIT */
/*
 * table.h: open, get, iterate and verify one table file.
 *
 * A table object holds the open file, the footer and a top index of a few
 * kilobytes; filter, index and data blocks come through the block cache and are
 * charged there, so that memory does not grow with the number of tables. Filters
 * and indexes that gets went through are kept there, up to a quarter of it.
 *
 * Threads: any number of readers. Bad bytes give CORRUPT and one log line with
 * file and offset, never wrong bytes.
 */
#ifndef LSM_SST_TABLE_H
#define LSM_SST_TABLE_H

#include "base/cache.h"
#include "base/iter.h"
#include "base/key.h"
#include "sst/format.h"
#include "sst/table_builder.h"

struct table;

/*
 * Open the table `id` of `file_bytes` bytes (from the manifest) in the folder
 * `pool`. `blocks` is borrowed. Errors: those of env, CORRUPT, NEWER. Logged.
 */
LSM_MUST_CHECK enum lsm_err
table_open(struct env_dir *pool, struct file_id id, const struct uuid *family,
           uint64_t file_bytes, struct cache *blocks, struct table **table_out);
void table_close(struct table *table); /* NULL is allowed */

/* What the open table takes from malloc, but for its file. */
size_t table_memory(const struct table *table);

/* What is to be found, made once for all tables to be asked. */
struct table_probe {
	struct slice target; /* borrowed from the bytes below */
	uint64_t hash;       /* of the user key, for the filters */
	uint8_t bytes[LSM_KEY_MAX_BYTES + KEY_TRAILER_BYTES];
};

/* The versions of `user` with sequence <= seq. False: no table has so long a
   key. */
bool table_probe_init(struct table_probe *probe, struct slice user,
                      uint64_t seq);

/* Visit them, newest first; *stopped_out says whether the visitor stopped the
   walk. Errors: CORRUPT, IO, NOMEM. */
LSM_MUST_CHECK enum lsm_err table_get(struct table *table,
                                      const struct table_probe *probe,
                                      key_visit_fn visit, void *ctx,
                                      bool *stopped_out);

/* An iterator; the table outlives it. `fill_cache` false: a compaction or a
   verification, which does not displace what readers use. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err table_iter(struct table *table, bool fill_cache,
                                       struct iter **iter_out);

/*
 * Read every block, check every checksum, that keys ascend, that the filter knows
 * every key, and that properties agree with the entries. Calls `report` for each
 * fault and goes on where it can. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
table_verify(struct table *table, void (*report)(void *ctx, const char *line),
             void *ctx, uint64_t *faults_out);

/* Decode the properties block into *info (initialised here). Errors: as get. */
LSM_MUST_CHECK enum lsm_err table_read_info(struct table *table,
                                            struct table_info *info);

#endif
