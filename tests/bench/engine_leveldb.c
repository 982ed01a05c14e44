/* SPDX-License-Identifier: MIT */
/*
 * engine_leveldb.c: LevelDB. It compresses with snappy, for it has no lz4; one
 * thread of its own flushes and compacts; its index and filter blocks lie
 * outside its cache; the sizes of its levels and tables stay its own.
 *
 * It cannot be asked to flush, nor to wait. Compacting a range that lies behind
 * all keys flushes the memtable, and returns once the work that was running is
 * done; whether more is due follows from the sizes of the levels, by its own
 * rule, which is repeated here.
 */
#include "tests/bench/engine.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum {
	FILTER_BITS = 10,
	LEVELS = 7,
	L0_TRIGGER = 4,
	LEVEL_1_BYTES = 10 << 20, /* each deeper one is 10 times as large */
};

struct bench_db {
	leveldb_t *level;
	leveldb_cache_t *cache;
	leveldb_filterpolicy_t *filter;
	leveldb_options_t *options;
	leveldb_writeoptions_t *write, *write_synced;
	leveldb_readoptions_t *read;
};

struct bench_session {
	struct bench_db *db;
	leveldb_writebatch_t *batch;
	char *value;
};

static enum lsm_err told(const char *call, char *why)
{
	enum lsm_err err;

	if (why == NULL)
		return LSM_OK;
	err = engine_failed("leveldb", call, why);
	leveldb_free(why);
	return err;
}

static enum lsm_err level_close(struct bench_db *db)
{
	if (db == NULL)
		return LSM_OK;
	if (db->level != NULL)
		leveldb_close(db->level);
	leveldb_readoptions_destroy(db->read);
	leveldb_writeoptions_destroy(db->write);
	leveldb_writeoptions_destroy(db->write_synced);
	leveldb_options_destroy(db->options);
	leveldb_filterpolicy_destroy(db->filter);
	leveldb_cache_destroy(db->cache);
	free(db);
	return LSM_OK;
}

static enum lsm_err level_open(const struct engine_settings *settings,
                               const char *path, bool create,
                               struct bench_db **db_out)
{
	struct bench_db *db = calloc(1, sizeof(*db));
	leveldb_options_t *options = leveldb_options_create();
	char *why = NULL;
	enum lsm_err err;

	*db_out = NULL;
	if (db == NULL) {
		leveldb_options_destroy(options);
		return LSM_ERR_NOMEM;
	}
	db->options = options;
	db->cache = leveldb_cache_create_lru(settings->cache_bytes);
	db->filter = leveldb_filterpolicy_create_bloom(FILTER_BITS);
	db->read = leveldb_readoptions_create();
	db->write = leveldb_writeoptions_create();
	db->write_synced = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(db->write_synced, 1);
	leveldb_readoptions_set_verify_checksums(db->read, 1);
	leveldb_options_set_create_if_missing(options, create);
	leveldb_options_set_write_buffer_size(options,
	                                      settings->buffer_bytes / 2);
	leveldb_options_set_cache(options, db->cache);
	leveldb_options_set_filter_policy(options, db->filter);
	leveldb_options_set_compression(options, leveldb_snappy_compression);
	if (settings->block_bytes > 0)
		leveldb_options_set_block_size(options, settings->block_bytes);
	db->level = leveldb_open(options, path, &why);
	err = told("open", why);
	if (err == LSM_OK)
		*db_out = db;
	else
		(void)level_close(db);
	return err;
}

/* ---- sessions -------------------------------------------------------------------- */

static enum lsm_err level_session_open(struct bench_db *db,
                                       struct bench_session **session_out)
{
	struct bench_session *session = calloc(1, sizeof(*session));

	*session_out = session;
	if (session == NULL)
		return LSM_ERR_NOMEM;
	session->db = db;
	session->batch = leveldb_writebatch_create();
	return LSM_OK;
}

static void level_session_close(struct bench_session *session)
{
	if (session == NULL)
		return;
	leveldb_free(session->value);
	leveldb_writebatch_destroy(session->batch);
	free(session);
}

static enum lsm_err level_put(struct bench_session *session, struct slice key,
                              struct slice value)
{
	leveldb_writebatch_put(session->batch, (const char *)key.data, key.len,
	                       (const char *)value.data, value.len);
	return LSM_OK;
}

static enum lsm_err level_del(struct bench_session *session, struct slice key)
{
	leveldb_writebatch_delete(session->batch, (const char *)key.data,
	                          key.len);
	return LSM_OK;
}

static enum lsm_err level_commit(struct bench_session *session, bool sync)
{
	struct bench_db *db = session->db;
	char *why = NULL;

	leveldb_write(db->level, sync ? db->write_synced : db->write,
	              session->batch, &why);
	leveldb_writebatch_clear(session->batch);
	return told("write", why);
}

static enum lsm_err level_get(struct bench_session *session, struct slice key,
                              struct slice *value)
{
	struct bench_db *db = session->db;
	char *why = NULL;
	size_t len = 0;
	enum lsm_err err;

	leveldb_free(session->value);
	session->value = leveldb_get(
	    db->level, db->read, (const char *)key.data, key.len, &len, &why);
	err = told("get", why);
	if (err == LSM_OK && session->value == NULL)
		err = LSM_ERR_NOT_FOUND;
	*value = slice_make(session->value, len);
	return err;
}

static enum lsm_err level_scan(struct bench_session *session, struct slice from,
                               struct slice upper, engine_visit_fn visit,
                               void *ctx)
{
	struct bench_db *db = session->db;
	leveldb_iterator_t *iter = leveldb_create_iterator(db->level, db->read);
	char *why = NULL;

	for (leveldb_iter_seek(iter, (const char *)from.data, from.len);
	     leveldb_iter_valid(iter); leveldb_iter_next(iter)) {
		size_t key_len, value_len;
		const char *data = leveldb_iter_key(iter, &key_len);
		const char *value = leveldb_iter_value(iter, &value_len);
		struct slice key = slice_make(data, key_len);

		if (upper.len > 0 && slice_compare(key, upper) >= 0)
			break;
		if (!visit(ctx, key, slice_make(value, value_len)))
			break;
	}
	leveldb_iter_get_error(iter, &why);
	leveldb_iter_destroy(iter);
	return told("scan", why);
}

/* ---- upkeep ------------------------------------------------------------------------ */

/* There is no call for it; a batch of nothing, written synchronously, does. */
static enum lsm_err level_sync(struct bench_db *db)
{
	leveldb_writebatch_t *nothing = leveldb_writebatch_create();
	char *why = NULL;

	leveldb_write(db->level, db->write_synced, nothing, &why);
	leveldb_writebatch_destroy(nothing);
	return told("sync", why);
}

/* Whether a level is larger than it may be, going by the list of tables: a line
   "--- level N ---" for each level, then " NUMBER:BYTES[KEYS]" for each table. */
static bool is_due(const char *tables)
{
	uint64_t bytes[LEVELS] = {0}, limit = LEVEL_1_BYTES;
	unsigned level = 0, l0_tables = 0;
	const char *line = tables;

	while (line != NULL) {
		unsigned long long number, size;

		if (sscanf(line, "--- level %u", &level) == 1) {
			if (level >= LEVELS)
				return false;
		} else if (sscanf(line, " %llu:%llu[", &number, &size) == 2) {
			bytes[level] += size;
			l0_tables += level == 0;
		}
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	if (l0_tables >= L0_TRIGGER)
		return true;
	for (level = 1; level < LEVELS - 1; level++, limit *= 10)
		if (bytes[level] >= limit)
			return true;
	return false;
}

static enum lsm_err level_settle(struct bench_db *db)
{
	static const char last[2] = {'\xff', '\xff'};
	bool due = true;

	while (due) {
		char *tables;

		leveldb_compact_range(db->level, last, sizeof(last), last,
		                      sizeof(last));
		tables = leveldb_property_value(db->level, "leveldb.sstables");
		if (tables == NULL)
			return engine_failed("leveldb", "settle",
			                     "it does not list its tables");
		due = is_due(tables);
		leveldb_free(tables);
		if (due)
			engine_pause();
	}
	return LSM_OK;
}

const struct engine engine_leveldb = {
    .name = "leveldb",
    .note = "snappy, for it has no lz4; one thread flushes and compacts; "
	    "index and filter blocks outside its cache",
    .is_rival = true,
    .open = level_open,
    .close = level_close,
    .session_open = level_session_open,
    .session_close = level_session_close,
    .put = level_put,
    .del = level_del,
    .commit = level_commit,
    .get = level_get,
    .scan = level_scan,
    .sync = level_sync,
    .settle = level_settle,
};
