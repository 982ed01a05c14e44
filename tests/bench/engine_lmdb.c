/* SPDX-License-Identifier: MIT */
/*
 * engine_lmdb.c: LMDB, which is no log-structured tree: a B+tree in a map of a
 * file. It has no log, no filter, no compression and no cache of its own, and
 * its resident memory is what of the file is mapped. Without a sync for each
 * commit it survives the death of the process, as the others do; a power cut
 * may damage it, which is more than the others lose. It is here to look at; no
 * goal is measured by it.
 */
#include "tests/bench/engine.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/buf.h"

enum { READERS_MAX = 64 };
#define MAP_LEAST_BYTES (UINT64_C(8) << 30)
#define MAP_FACTOR 16

struct bench_db {
	MDB_env *env;
	MDB_dbi dbi;
};

struct bench_session {
	struct bench_db *db;
	MDB_txn *write; /* from the first change to the commit, or NULL */
	MDB_txn *read;  /* NULL, or reset but during a read */
	bool reading;
};

static enum lsm_err told(const char *call, int code)
{
	if (code == 0)
		return LSM_OK;
	if (code == MDB_NOTFOUND)
		return LSM_ERR_NOT_FOUND;
	return engine_failed("lmdb", call, mdb_strerror(code));
}

static MDB_val to_val(struct slice slice)
{
	return (MDB_val){slice.len, (void *)(uintptr_t)slice.data};
}

static struct slice to_slice(MDB_val val)
{
	return slice_make(val.mv_data, val.mv_size);
}

static enum lsm_err lmdb_close(struct bench_db *db)
{
	if (db == NULL)
		return LSM_OK;
	if (db->env != NULL)
		mdb_env_close(db->env);
	free(db);
	return LSM_OK;
}

static int open_table(struct bench_db *db)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(db->env, NULL, 0, &txn);

	if (code != 0)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &db->dbi);
	if (code == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return code;
}

static enum lsm_err lmdb_open(const struct engine_settings *settings,
                              const char *path, bool create,
                              struct bench_db **db_out)
{
	uint64_t map_bytes = settings->data_bytes * MAP_FACTOR;
	struct bench_db *db = calloc(1, sizeof(*db));
	int code = 0;

	*db_out = NULL;
	if (db == NULL)
		return LSM_ERR_NOMEM;
	if (map_bytes < MAP_LEAST_BYTES)
		map_bytes = MAP_LEAST_BYTES;
	if (create && mkdir(path, 0700) != 0)
		code = errno;
	if (code == 0)
		code = mdb_env_create(&db->env);
	if (code == 0)
		code = mdb_env_set_mapsize(db->env, map_bytes);
	if (code == 0)
		code = mdb_env_set_maxreaders(db->env, READERS_MAX);
	if (code == 0)
		code =
		    mdb_env_open(db->env, path, MDB_NOSYNC | MDB_NOTLS, 0600);
	if (code == 0)
		code = open_table(db);
	if (code == 0)
		*db_out = db;
	else
		(void)lmdb_close(db);
	return told("open", code);
}

/* ---- sessions -------------------------------------------------------------------- */

static enum lsm_err lmdb_session_open(struct bench_db *db,
                                      struct bench_session **session_out)
{
	struct bench_session *session = calloc(1, sizeof(*session));

	*session_out = session;
	if (session == NULL)
		return LSM_ERR_NOMEM;
	session->db = db;
	return LSM_OK;
}

static void end_read(struct bench_session *session)
{
	if (session->reading)
		mdb_txn_reset(session->read);
	session->reading = false;
}

static int begin_read(struct bench_session *session)
{
	int code;

	end_read(session);
	if (session->read == NULL)
		code = mdb_txn_begin(session->db->env, NULL, MDB_RDONLY,
		                     &session->read);
	else
		code = mdb_txn_renew(session->read);
	session->reading = code == 0;
	return code;
}

static int begin_write(struct bench_session *session)
{
	if (session->write != NULL)
		return 0;
	return mdb_txn_begin(session->db->env, NULL, 0, &session->write);
}

static void lmdb_session_close(struct bench_session *session)
{
	if (session == NULL)
		return;
	end_read(session);
	if (session->read != NULL)
		mdb_txn_abort(session->read);
	if (session->write != NULL)
		mdb_txn_abort(session->write);
	free(session);
}

static enum lsm_err lmdb_put(struct bench_session *session, struct slice key,
                             struct slice value)
{
	MDB_val k = to_val(key), v = to_val(value);
	int code = begin_write(session);

	if (code == 0)
		code = mdb_put(session->write, session->db->dbi, &k, &v, 0);
	return told("put", code);
}

static enum lsm_err lmdb_del(struct bench_session *session, struct slice key)
{
	MDB_val k = to_val(key);
	int code = begin_write(session);

	if (code == 0)
		code = mdb_del(session->write, session->db->dbi, &k, NULL);
	return told("delete", code == MDB_NOTFOUND ? 0 : code);
}

static enum lsm_err lmdb_commit(struct bench_session *session, bool sync)
{
	int code = 0;

	end_read(session);
	if (session->write != NULL)
		code = mdb_txn_commit(session->write);
	session->write = NULL;
	if (code == 0 && sync)
		code = mdb_env_sync(session->db->env, 1);
	return told("commit", code);
}

static enum lsm_err lmdb_get(struct bench_session *session, struct slice key,
                             struct slice *value)
{
	MDB_val k = to_val(key), v = {0, NULL};
	int code = begin_read(session);

	if (code == 0)
		code = mdb_get(session->read, session->db->dbi, &k, &v);
	*value = to_slice(v);
	return told("get", code);
}

static enum lsm_err lmdb_scan(struct bench_session *session, struct slice from,
                              struct slice upper, engine_visit_fn visit,
                              void *ctx)
{
	MDB_val k = to_val(from), v;
	MDB_cursor *cursor = NULL;
	int code = begin_read(session);

	if (code == 0)
		code =
		    mdb_cursor_open(session->read, session->db->dbi, &cursor);
	if (code == 0)
		code = mdb_cursor_get(cursor, &k, &v,
		                      from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
	while (code == 0) {
		struct slice key = to_slice(k);

		if (upper.len > 0 && slice_compare(key, upper) >= 0)
			break;
		if (!visit(ctx, key, to_slice(v)))
			break;
		code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	return told("scan", code == MDB_NOTFOUND ? 0 : code);
}

/* ---- upkeep ------------------------------------------------------------------------ */

/* It works in the caller's thread only: nothing is ever left to be done. */
static enum lsm_err lmdb_sync(struct bench_db *db)
{
	return told("sync", mdb_env_sync(db->env, 1));
}

const struct engine engine_lmdb = {
    .name = "lmdb",
    .note = "a B+tree in a map: no log, no compression, no cache of its own",
    .open = lmdb_open,
    .close = lmdb_close,
    .session_open = lmdb_session_open,
    .session_close = lmdb_session_close,
    .put = lmdb_put,
    .del = lmdb_del,
    .commit = lmdb_commit,
    .get = lmdb_get,
    .scan = lmdb_scan,
    .sync = lmdb_sync,
    .settle = lmdb_sync,
};
