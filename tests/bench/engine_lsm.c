/* SPDX-License-Identifier: MIT */
/*
 * engine_lsm.c: ours. Two memtables of half the write buffers each, one thread
 * for flushes and one for compactions; no log sync but those asked for.
 */
#include "tests/bench/engine.h"

#include <stdlib.h>

#include "base/buf.h"
#include "fs/chunk.h"

struct bench_db {
	struct lsm_runtime *runtime;
	struct lsm *store;
};

struct bench_session {
	struct lsm *store;
	struct lsm_batch *batch;
	struct buf value;
};

static enum lsm_err told(const char *call, enum lsm_err err)
{
	if (err == LSM_OK || err == LSM_ERR_NOT_FOUND)
		return err;
	return engine_failed("lsm", call, lsm_strerror(err));
}

static enum lsm_err lsm_close_db(struct bench_db *db)
{
	enum lsm_err err = LSM_OK;

	if (db == NULL)
		return LSM_OK;
	if (db->store != NULL)
		err = lsm_close(db->store);
	lsm_runtime_destroy(db->runtime);
	free(db);
	return told("close", err);
}

static enum lsm_err open_with(const struct engine_settings *settings,
                              const char *path, bool create, uint32_t l0_slow,
                              struct bench_db **db_out)
{
	struct lsm_runtime_options runtime_options;
	struct lsm_options options;
	struct bench_db *db = calloc(1, sizeof(*db));
	enum lsm_err err = LSM_OK;

	*db_out = NULL;
	if (db == NULL)
		return LSM_ERR_NOMEM;
	lsm_runtime_options_init(&runtime_options);
	runtime_options.credit_bytes = (int64_t)settings->buffer_bytes;
	runtime_options.cache_bytes = settings->cache_bytes;
	runtime_options.sync_period_ms = 0;
	lsm_options_init(&options);
	options.fold = chunk_fold;
	options.memtable_bytes = settings->buffer_bytes / 2;
	options.block_bytes = settings->block_bytes;
	options.table_bytes = settings->table_bytes;
	options.level_base_bytes = settings->level_base_bytes;
	options.l0_slow = l0_slow;

	if (create)
		err = lsm_create(NULL, path, slice_make(NULL, 0));
	if (err == LSM_OK)
		err = lsm_runtime_create(&runtime_options, &db->runtime);
	if (err == LSM_OK)
		err = lsm_open(db->runtime, path, &options, &db->store);
	if (err == LSM_OK)
		*db_out = db;
	else
		(void)lsm_close_db(db);
	return told("open", err);
}

static enum lsm_err lsm_open_db(const struct engine_settings *settings,
                                const char *path, bool create,
                                struct bench_db **db_out)
{
	return open_with(settings, path, create, 0, db_out);
}

/* Nothing but credit slows its writers. */
static enum lsm_err lsm_open_unpaced(const struct engine_settings *settings,
                                     const char *path, bool create,
                                     struct bench_db **db_out)
{
	return open_with(settings, path, create, UINT32_MAX, db_out);
}

static void lsm_session_close(struct bench_session *session)
{
	if (session == NULL)
		return;
	lsm_batch_destroy(session->batch);
	buf_release(&session->value);
	free(session);
}

static enum lsm_err lsm_session_open(struct bench_db *db,
                                     struct bench_session **session_out)
{
	struct bench_session *session = calloc(1, sizeof(*session));
	enum lsm_err err;

	*session_out = NULL;
	if (session == NULL)
		return LSM_ERR_NOMEM;
	session->store = db->store;
	err = lsm_batch_create(&session->batch);
	if (err == LSM_OK)
		*session_out = session;
	else
		lsm_session_close(session);
	return err;
}

static enum lsm_err lsm_put(struct bench_session *session, struct slice key,
                            struct slice value)
{
	return told("put", lsm_batch_put(session->batch, key, value));
}

static enum lsm_err lsm_del(struct bench_session *session, struct slice key)
{
	return told("delete", lsm_batch_delete(session->batch, key));
}

static enum lsm_err lsm_patch(struct bench_session *session, struct slice key,
                              struct slice operand)
{
	return told("merge", lsm_batch_merge(session->batch, key, operand));
}

static enum lsm_err lsm_commit(struct bench_session *session, bool sync)
{
	enum lsm_err err =
	    lsm_write(session->store, session->batch, NULL, NULL);

	lsm_batch_clear(session->batch);
	if (err == LSM_OK && sync)
		err = lsm_sync(session->store);
	return told("write", err);
}

static enum lsm_err lsm_get_value(struct bench_session *session,
                                  struct slice key, struct slice *value)
{
	enum lsm_err err = lsm_get(session->store, NULL, key, &session->value);

	*value = buf_slice(&session->value);
	return told("get", err);
}

static enum lsm_err lsm_scan(struct bench_session *session, struct slice from,
                             struct slice upper, engine_visit_fn visit,
                             void *ctx)
{
	struct lsm_iter *iter;
	enum lsm_err err =
	    lsm_iter_create(session->store, NULL, from, upper, &iter);

	if (err != LSM_OK)
		return told("iterator", err);
	lsm_iter_seek(iter, from);
	while (lsm_iter_valid(iter) &&
	       visit(ctx, lsm_iter_key(iter), lsm_iter_value(iter)))
		lsm_iter_next(iter);
	err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return told("scan", err);
}

static enum lsm_err lsm_sync_db(struct bench_db *db)
{
	return told("sync", lsm_sync(db->store));
}

static enum lsm_err lsm_settle(struct bench_db *db)
{
	struct lsm_stats stats;
	enum lsm_err err = lsm_flush(db->store);

	for (lsm_stats(db->store, &stats); err == LSM_OK && stats.jobs > 0;
	     lsm_stats(db->store, &stats))
		engine_pause();
	return told("settle", err);
}

#define LSM_CALLS                                                              \
	.close = lsm_close_db, .session_open = lsm_session_open,               \
	.session_close = lsm_session_close, .put = lsm_put, .del = lsm_del,    \
	.patch = lsm_patch, .commit = lsm_commit, .get = lsm_get_value,        \
	.scan = lsm_scan, .sync = lsm_sync_db, .settle = lsm_settle

const struct engine engine_lsm = {
    .name = "lsm",
    .open = lsm_open_db,
    LSM_CALLS,
};

const struct engine engine_lsm_unpaced = {
    .name = "lsm-unpaced",
    .note = "ours with nothing but credit to slow writers down, if named",
    .if_named = true,
    .open = lsm_open_unpaced,
    LSM_CALLS,
};
