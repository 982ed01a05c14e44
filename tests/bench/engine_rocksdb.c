/* SPDX-License-Identifier: MIT */
/*
 * engine_rocksdb.c: RocksDB, as it is by default and with blob files.
 *
 * Two write buffers, one thread for flushes and one for compactions, lz4, a
 * bloom filter of 10 bits, index and filter blocks charged to the block cache as
 * ours are. Patches are merge operands, folded by the function ours has.
 */
#include "tests/bench/engine.h"

#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fs/chunk.h"

enum {
	FILTER_BITS = 10,
	BLOB_MIN_BYTES = 8 << 10, /* where ours separates values too */
	SETTLE_QUIET_LOOKS = 500, /* of 2 ms: debt that nobody works on */
};

struct bench_db {
	rocksdb_t *rocks;
	rocksdb_cache_t *cache;
	rocksdb_options_t *options;
	rocksdb_writeoptions_t *write, *write_synced;
	rocksdb_readoptions_t *read;
};

struct bench_session {
	struct bench_db *db;
	rocksdb_writebatch_t *batch;
	rocksdb_pinnableslice_t *value;
};

/* Whether `why` was set; it is printed and freed. */
static enum lsm_err told(const char *call, char *why)
{
	enum lsm_err err;

	if (why == NULL)
		return LSM_OK;
	err = engine_failed("rocksdb", call, why);
	rocksdb_free(why);
	return err;
}

/* ---- patches ----------------------------------------------------------------- */

static char *fold(struct slice key, bool has_base, const struct slice *base,
                  const char *const *operands, const size_t *lens, int count,
                  unsigned char *success, size_t *len_out)
{
	struct slice *slices = calloc((size_t)count, sizeof(*slices));
	struct buf value = BUF_INIT;

	*success = 0;
	*len_out = 0;
	if (slices == NULL)
		return NULL;
	for (int i = 0; i < count; i++)
		slices[i] = slice_make(operands[i], lens[i]);
	if (chunk_fold(NULL, key, has_base, base, slices, (size_t)count,
	               &value) == LSM_OK) {
		*success = 1;
		*len_out = value.len;
	}
	free(slices);
	return (char *)value.data;
}

static char *full_merge(void *ctx, const char *key, size_t key_len,
                        const char *existing, size_t existing_len,
                        const char *const *operands, const size_t *lens,
                        int count, unsigned char *success, size_t *len_out)
{
	struct slice base = slice_make(existing, existing_len);

	(void)ctx;
	return fold(slice_make(key, key_len), true,
	            existing != NULL ? &base : NULL, operands, lens, count,
	            success, len_out);
}

static char *partial_merge(void *ctx, const char *key, size_t key_len,
                           const char *const *operands, const size_t *lens,
                           int count, unsigned char *success, size_t *len_out)
{
	(void)ctx;
	return fold(slice_make(key, key_len), false, NULL, operands, lens,
	            count, success, len_out);
}

static void merge_free(void *ctx, const char *value, size_t len)
{
	(void)ctx;
	(void)len;
	free((void *)(uintptr_t)value);
}

static const char *merge_name(void *ctx)
{
	(void)ctx;
	return "chunk";
}

static void merge_gone(void *ctx)
{
	(void)ctx;
}

/* ---- open and close ------------------------------------------------------------ */

static void set_table(struct bench_db *db,
                      const struct engine_settings *settings)
{
	rocksdb_block_based_table_options_t *table =
	    rocksdb_block_based_options_create();

	db->cache = rocksdb_cache_create_lru(settings->cache_bytes);
	rocksdb_block_based_options_set_block_cache(table, db->cache);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
	rocksdb_block_based_options_set_filter_policy(
	    table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
	if (settings->block_bytes > 0)
		rocksdb_block_based_options_set_block_size(
		    table, settings->block_bytes);
	rocksdb_options_set_block_based_table_factory(db->options, table);
	rocksdb_block_based_options_destroy(table);
}

static void set_options(struct bench_db *db,
                        const struct engine_settings *settings, bool blobs)
{
	rocksdb_options_t *options = db->options = rocksdb_options_create();

	rocksdb_options_set_create_if_missing(options, 1);
	rocksdb_options_set_write_buffer_size(options,
	                                      settings->buffer_bytes / 2);
	rocksdb_options_set_max_write_buffer_number(options, 2);
	rocksdb_options_set_max_background_jobs(options, 2);
	rocksdb_options_set_compression(options, rocksdb_lz4_compression);
	rocksdb_options_set_max_bytes_for_level_base(
	    options, settings->level_base_bytes);
	rocksdb_options_set_target_file_size_base(options,
	                                          settings->table_bytes);
	rocksdb_options_set_merge_operator(
	    options, rocksdb_mergeoperator_create(NULL, merge_gone, full_merge,
	                                          partial_merge, merge_free,
	                                          merge_name));
	set_table(db, settings);
	if (blobs) {
		rocksdb_options_set_enable_blob_files(options, 1);
		rocksdb_options_set_min_blob_size(options, BLOB_MIN_BYTES);
		rocksdb_options_set_blob_compression_type(
		    options, rocksdb_lz4_compression);
		rocksdb_options_set_enable_blob_gc(options, 1);
	}
}

static enum lsm_err rocks_close(struct bench_db *db)
{
	if (db == NULL)
		return LSM_OK;
	if (db->rocks != NULL)
		rocksdb_close(db->rocks);
	rocksdb_readoptions_destroy(db->read);
	rocksdb_writeoptions_destroy(db->write);
	rocksdb_writeoptions_destroy(db->write_synced);
	rocksdb_options_destroy(db->options);
	rocksdb_cache_destroy(db->cache);
	free(db);
	return LSM_OK;
}

static enum lsm_err rocks_open(const struct engine_settings *settings,
                               const char *path, bool blobs,
                               struct bench_db **db_out)
{
	struct bench_db *db = calloc(1, sizeof(*db));
	char *why = NULL;
	enum lsm_err err;

	*db_out = NULL;
	if (db == NULL)
		return LSM_ERR_NOMEM;
	set_options(db, settings, blobs);
	db->read = rocksdb_readoptions_create();
	db->write = rocksdb_writeoptions_create();
	db->write_synced = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(db->write_synced, 1);
	db->rocks = rocksdb_open(db->options, path, &why);
	err = told("open", why);
	if (err == LSM_OK)
		*db_out = db;
	else
		(void)rocks_close(db);
	return err;
}

static enum lsm_err open_default(const struct engine_settings *settings,
                                 const char *path, bool create,
                                 struct bench_db **db_out)
{
	(void)create;
	return rocks_open(settings, path, false, db_out);
}

static enum lsm_err open_blob(const struct engine_settings *settings,
                              const char *path, bool create,
                              struct bench_db **db_out)
{
	(void)create;
	return rocks_open(settings, path, true, db_out);
}

/* ---- sessions -------------------------------------------------------------------- */

static enum lsm_err rocks_session_open(struct bench_db *db,
                                       struct bench_session **session_out)
{
	struct bench_session *session = calloc(1, sizeof(*session));

	*session_out = session;
	if (session == NULL)
		return LSM_ERR_NOMEM;
	session->db = db;
	session->batch = rocksdb_writebatch_create();
	return LSM_OK;
}

static void rocks_session_close(struct bench_session *session)
{
	if (session == NULL)
		return;
	rocksdb_pinnableslice_destroy(session->value);
	rocksdb_writebatch_destroy(session->batch);
	free(session);
}

static enum lsm_err rocks_put(struct bench_session *session, struct slice key,
                              struct slice value)
{
	rocksdb_writebatch_put(session->batch, (const char *)key.data, key.len,
	                       (const char *)value.data, value.len);
	return LSM_OK;
}

static enum lsm_err rocks_del(struct bench_session *session, struct slice key)
{
	rocksdb_writebatch_delete(session->batch, (const char *)key.data,
	                          key.len);
	return LSM_OK;
}

static enum lsm_err rocks_patch(struct bench_session *session, struct slice key,
                                struct slice operand)
{
	rocksdb_writebatch_merge(session->batch, (const char *)key.data,
	                         key.len, (const char *)operand.data,
	                         operand.len);
	return LSM_OK;
}

static enum lsm_err rocks_commit(struct bench_session *session, bool sync)
{
	struct bench_db *db = session->db;
	char *why = NULL;

	rocksdb_write(db->rocks, sync ? db->write_synced : db->write,
	              session->batch, &why);
	rocksdb_writebatch_clear(session->batch);
	return told("write", why);
}

static enum lsm_err rocks_get(struct bench_session *session, struct slice key,
                              struct slice *value)
{
	struct bench_db *db = session->db;
	char *why = NULL;
	size_t len = 0;
	const char *data;
	enum lsm_err err;

	rocksdb_pinnableslice_destroy(session->value);
	session->value = rocksdb_get_pinned(
	    db->rocks, db->read, (const char *)key.data, key.len, &why);
	err = told("get", why);
	if (err != LSM_OK)
		return err;
	if (session->value == NULL)
		return LSM_ERR_NOT_FOUND;
	data = rocksdb_pinnableslice_value(session->value, &len);
	*value = slice_make(data, len);
	return LSM_OK;
}

static enum lsm_err rocks_scan(struct bench_session *session, struct slice from,
                               struct slice upper, engine_visit_fn visit,
                               void *ctx)
{
	rocksdb_readoptions_t *options = rocksdb_readoptions_create();
	rocksdb_iterator_t *iter;
	char *why = NULL;
	bool more = true;

	if (upper.len > 0)
		rocksdb_readoptions_set_iterate_upper_bound(
		    options, (const char *)upper.data, upper.len);
	iter = rocksdb_create_iterator(session->db->rocks, options);
	rocksdb_iter_seek(iter, (const char *)from.data, from.len);
	while (more && rocksdb_iter_valid(iter)) {
		size_t key_len, value_len;
		const char *key = rocksdb_iter_key(iter, &key_len);
		const char *value = rocksdb_iter_value(iter, &value_len);

		more = visit(ctx, slice_make(key, key_len),
		             slice_make(value, value_len));
		if (more)
			rocksdb_iter_next(iter);
	}
	rocksdb_iter_get_error(iter, &why);
	rocksdb_iter_destroy(iter);
	rocksdb_readoptions_destroy(options);
	return told("scan", why);
}

/* ---- upkeep ------------------------------------------------------------------------ */

static enum lsm_err rocks_sync(struct bench_db *db)
{
	char *why = NULL;

	rocksdb_flush_wal(db->rocks, 1, &why);
	return told("sync", why);
}

static uint64_t property(struct bench_db *db, const char *name)
{
	uint64_t value = 0;

	(void)rocksdb_property_int(db->rocks, name, &value);
	return value;
}

static bool is_busy(struct bench_db *db)
{
	return property(db, "rocksdb.num-running-compactions") > 0 ||
	       property(db, "rocksdb.num-running-flushes") > 0 ||
	       property(db, "rocksdb.compaction-pending") > 0 ||
	       property(db, "rocksdb.mem-table-flush-pending") > 0;
}

/* The estimate of pending bytes may stay above 0 when no compaction is due, so
   a second without any work ends the wait too. */
static enum lsm_err rocks_settle(struct bench_db *db)
{
	rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
	unsigned quiet = 0;
	char *why = NULL;

	rocksdb_flushoptions_set_wait(options, 1);
	rocksdb_flush(db->rocks, options, &why);
	rocksdb_flushoptions_destroy(options);
	while (why == NULL && quiet < SETTLE_QUIET_LOOKS) {
		if (is_busy(db))
			quiet = 0;
		else if (property(db, "rocksdb.estimate-pending-compaction-"
		                      "bytes") == 0)
			break;
		else
			quiet++;
		engine_pause();
	}
	return told("settle", why);
}

#define ROCKSDB_CALLS                                                          \
	.is_rival = true, .close = rocks_close,                                \
	.session_open = rocks_session_open,                                    \
	.session_close = rocks_session_close, .put = rocks_put,                \
	.del = rocks_del, .patch = rocks_patch, .commit = rocks_commit,        \
	.get = rocks_get, .scan = rocks_scan, .sync = rocks_sync,              \
	.settle = rocks_settle

const struct engine engine_rocksdb = {
    .name = "rocksdb",
    .open = open_default,
    ROCKSDB_CALLS,
};

const struct engine engine_rocksdb_blob = {
    .name = "rocksdb-blob",
    .note = "values of 8 KiB and more in blob files",
    .chunks_only = true,
    .open = open_blob,
    ROCKSDB_CALLS,
};
