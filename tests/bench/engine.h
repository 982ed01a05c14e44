/* SPDX-License-Identifier: MIT */
/*
 * engine.h: what kvbench asks of a key-value store, whosever it is. Each adapter
 * is one table of functions; the workloads know nothing else.
 *
 * A session is one thread's: the batch it gathers and the memory that what it
 * reads lies in. put, del and patch gather, commit applies the batch whole and
 * leaves it empty. A patch is an operand of fs/chunk.h; an engine without merge
 * operands has no `patch`, and the workload reads, modifies and writes.
 *
 * Errors: NOT_FOUND where `get` says so; NOMEM; IO for whatever the engine says
 * otherwise, once it has been printed.
 */
#ifndef TESTS_BENCH_ENGINE_H
#define TESTS_BENCH_ENGINE_H

#include "lsm.h"

/* The same for every engine, as far as it has such a setting. */
struct engine_settings {
	uint64_t buffer_bytes; /* all write buffers together: two of half */
	uint64_t cache_bytes;  /* blocks, indexes and filters */
	uint64_t level_base_bytes, table_bytes;
	uint32_t block_bytes; /* 0: what the engine takes by itself */
	uint64_t data_bytes;  /* about what will be written; for a map's size */
};

struct bench_db;
struct bench_session;

/* False ends the scan. Key and value are borrowed for the call. */
typedef bool (*engine_visit_fn)(void *ctx, struct slice key,
                                struct slice value);

struct engine {
	const char *name;
	const char *note; /* what is not equal, or NULL */
	bool is_rival;    /* what ours is compared with */
	bool chunks_only; /* meant for large values */
	bool if_named;    /* takes part only where -e names it */

	enum lsm_err (*open)(const struct engine_settings *settings,
	                     const char *path, bool create,
	                     struct bench_db **db_out);
	enum lsm_err (*close)(struct bench_db *db);
	enum lsm_err (*session_open)(struct bench_db *db,
	                             struct bench_session **session_out);
	void (*session_close)(struct bench_session *session);

	enum lsm_err (*put)(struct bench_session *session, struct slice key,
	                    struct slice value);
	enum lsm_err (*del)(struct bench_session *session, struct slice key);
	enum lsm_err (*patch)(struct bench_session *session, struct slice key,
	                      struct slice operand); /* or NULL */
	enum lsm_err (*commit)(struct bench_session *session, bool sync);

	/* *value is borrowed until the session's next call. */
	enum lsm_err (*get)(struct bench_session *session, struct slice key,
	                    struct slice *value);
	/* Visit the entries from `from` up to `upper` (empty: the end). */
	enum lsm_err (*scan)(struct bench_session *session, struct slice from,
	                     struct slice upper, engine_visit_fn visit,
	                     void *ctx);

	/* Make what was committed survive a power cut. */
	enum lsm_err (*sync)(struct bench_db *db);
	/* Flush, then wait until no background work is left. */
	enum lsm_err (*settle)(struct bench_db *db);
};

/* The engines that this build has, ours first; NULL ends them. */
extern const struct engine *const engines[];

extern const struct engine engine_lsm, engine_lsm_unpaced;
extern const struct engine engine_rocksdb, engine_rocksdb_blob;
extern const struct engine engine_leveldb;
extern const struct engine engine_lmdb;

/* Print what an engine said, and give the error that stands for it. */
LSM_MUST_CHECK enum lsm_err engine_failed(const char *engine, const char *call,
                                          const char *why);

/* Wait a little between two looks at whether an engine has settled. */
void engine_pause(void);

#endif
