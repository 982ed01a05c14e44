/* SPDX-License-Identifier: MIT */
/*
 * open.c: a store from lsm_open() to lsm_close().
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "store/store.h"

enum {
	OPEN_MEMTABLE_BYTES = 64 << 20, /* where credit is off */
	OPEN_BLOCK_BYTES = 4 << 10,
	OPEN_TABLE_BYTES = 32 << 20,
	OPEN_LEVEL_BASE_BYTES = 256 << 20,
	OPEN_L0_TRIGGER = 4,
	OPEN_LOG_STEP_BYTES = 64 << 10,
	OPEN_LOG_MAP_AFTER = 4,
	OPEN_NOSPACE_WAIT_MS = 5000,
	/* An arena block is at most this part of a memtable, so that what many
	   writers reserve at once stays small against the pool. */
	OPEN_BLOCKS_PER_MEMTABLE = 64,
	OPEN_MAX_BLOCK_BYTES = 64 << 10,
	OPEN_RESERVE_BYTES = 64 << 20,
	OPEN_RESERVE_PART = 16,
	OPEN_CLOSE_TRIES = 3,
};

void lsm_options_init(struct lsm_options *options)
{
	memset(options, 0, sizeof(*options));
}

static void set_defaults(struct lsm_options *o, int64_t credit_bytes)
{
	if (o->memtable_bytes == 0)
		o->memtable_bytes = credit_bytes > 0
		                        ? (uint64_t)credit_bytes / 8 * 3
		                        : OPEN_MEMTABLE_BYTES;
	if (o->block_bytes == 0)
		o->block_bytes = OPEN_BLOCK_BYTES;
	if (o->table_bytes == 0)
		o->table_bytes = OPEN_TABLE_BYTES;
	if (o->level_base_bytes == 0)
		o->level_base_bytes = OPEN_LEVEL_BASE_BYTES;
	if (o->l0_trigger == 0)
		o->l0_trigger = OPEN_L0_TRIGGER;
	if (o->log_step_bytes == 0)
		o->log_step_bytes = OPEN_LOG_STEP_BYTES;
	if (o->log_map_after == 0)
		o->log_map_after = OPEN_LOG_MAP_AFTER;
	if (o->nospace_wait_ms == 0)
		o->nospace_wait_ms = OPEN_NOSPACE_WAIT_MS;
}

static size_t max_block_bytes(uint64_t memtable_bytes)
{
	uint64_t bytes = memtable_bytes / OPEN_BLOCKS_PER_MEMTABLE;

	if (bytes < ARENA_FIRST_BLOCK_BYTES)
		return ARENA_FIRST_BLOCK_BYTES;
	return bytes > OPEN_MAX_BLOCK_BYTES ? OPEN_MAX_BLOCK_BYTES
	                                    : (size_t)bytes;
}

uint64_t store_reserve_bytes(const struct lsm *store, uint64_t total_bytes)
{
	uint64_t most = total_bytes / OPEN_RESERVE_PART;
	uint64_t wanted = 2 * store->options.memtable_bytes;

	if (wanted < OPEN_RESERVE_BYTES)
		wanted = OPEN_RESERVE_BYTES;
	return wanted < most ? wanted : most;
}

/* ---- failing ------------------------------------------------------------------- */

void store_fail(struct lsm *store, enum lsm_err err, const char *what)
{
	enum lsm_err none = LSM_OK;

	if (!atomic_compare_exchange_strong(&store->failed, &none, err))
		return;
	if (err != LSM_ERR_CLOSED)
		log_error("%s: %s: nothing more is written; reads go on",
		          store->path, what);
	credit_fail(store->credit, err);
	sync_lock(&store->tree_mu);
	sync_broadcast(&store->changed);
	sync_unlock(&store->tree_mu);
}

enum lsm_err store_writable(struct lsm *store)
{
	if (store->options.read_only)
		return LSM_ERR_READ_ONLY;
	return atomic_load(&store->failed);
}

/* ---- opening ------------------------------------------------------------------------ */

enum lsm_err store_open_parent(const struct env *env, const char *path,
                               struct env_dir **parent_out,
                               const char **name_out)
{
	const char *slash = strrchr(path, '/');
	char parent[STORE_PATH_MAX_BYTES];
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);
	enum lsm_err err;

	*parent_out = NULL;
	*name_out = slash == NULL ? path : slash + 1;
	if (strlen(path) >= sizeof(parent) || (*name_out)[0] == '\0') {
		log_error("%s: not the path of a folder that can be made",
		          path);
		return LSM_ERR_INVALID;
	}
	if (slash == NULL)
		snprintf(parent, sizeof(parent), ".");
	else
		snprintf(parent, sizeof(parent), "%.*s", (int)(len ? len : 1),
		         path);
	err = env_dir_open(env, parent, parent_out);
	if (err == LSM_ERR_NOT_FOUND)
		log_error("%s: no such folder: %s", path, parent);
	return err;
}

static void init_locks(struct lsm *store)
{
	sync_mutex_init(&store->fork_mu, SYNC_RANK_FORK);
	sync_mutex_init(&store->compact_mu, SYNC_RANK_COMPACT);
	commit_queue_init(&store->queue, &store->visible_seq);
	sync_mutex_init(&store->sync_mu, SYNC_RANK_SYNC);
	sync_mutex_init(&store->manifest_mu, SYNC_RANK_MANIFEST);
	sync_mutex_init(&store->tree_mu, SYNC_RANK_TREE);
	sync_cond_init(&store->synced);
	sync_cond_init(&store->changed);
}

static void init_jobs(struct lsm *store)
{
	worker_job_init(&store->flush_job, WORKER_FLUSH, store_flush_run);
	worker_job_init(&store->compact_job, WORKER_COMPACT, store_compact_run);
	worker_job_init(&store->sync_job, WORKER_UPKEEP, store_sync_run);
	worker_job_init(&store->spare_job, WORKER_UPKEEP, store_spare_run);
}

/* A branch of the home, whose reference it takes over, also on failure. */
static enum lsm_err alloc_store(struct home *home,
                                const struct lsm_options *options,
                                struct lsm **store_out)
{
	struct lsm *store = calloc(1, sizeof(*store));

	*store_out = store;
	if (store == NULL) {
		home_unref(home);
		return LSM_ERR_NOMEM;
	}
	store->home = home;
	store->env = home->env;
	store->runtime = home->runtime;
	store->source = home->source;
	store->pool = home->pool;
	store->path = home->path;
	store->options = *options;
	set_defaults(&store->options, home->runtime->options.credit_bytes);
	store->max_block_bytes = max_block_bytes(store->options.memtable_bytes);
	manifest_state_init(&store->state);
	init_locks(store);
	init_jobs(store);
	return LSM_OK;
}

/* Every job is cancelled, nobody uses the store. */
static void free_store(struct lsm *store)
{
	view_unref(store->view);
	while (store->oldest_sealed != NULL) {
		struct generation *gen = store->oldest_sealed;

		store->oldest_sealed = gen->newer;
		generation_unref(gen);
	}
	generation_unref(store->active);
	wal_writer_destroy(store->spare);
	manifest_close(store->manifest);
	manifest_state_release(&store->state);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		buf_release(&store->cursor[i]);
	credit_account_destroy(store->credit);
	env_dir_close(store->branch_dir);
	home_unref(store->home);

	sync_cond_destroy(&store->changed);
	sync_cond_destroy(&store->synced);
	sync_mutex_destroy(&store->tree_mu);
	sync_mutex_destroy(&store->manifest_mu);
	sync_mutex_destroy(&store->sync_mu);
	commit_queue_release(&store->queue);
	sync_mutex_destroy(&store->compact_mu);
	sync_mutex_destroy(&store->fork_mu);
	free(store);
}

static void cancel_jobs(struct lsm *store)
{
	struct worker_pool *workers = store->runtime->workers;

	worker_cancel(workers, &store->compact_job);
	worker_cancel(workers, &store->flush_job);
	worker_cancel(workers, &store->spare_job);
	worker_cancel(workers, &store->sync_job);
	/* What the branch lets go of from now on is named by its manifest. */
	worker_cancel(workers, &store->home->gc_job);
}

enum lsm_err lsm_open(struct lsm_runtime *runtime, const char *path,
                      const struct lsm_options *options, struct lsm **store_out)
{
	struct home *home;
	struct lsm *store;
	enum lsm_err err;

	*store_out = NULL;
	err = home_open(runtime,
	                options->env != NULL ? options->env : env_posix(), path,
	                options->read_only, &home);
	if (err == LSM_OK)
		err = alloc_store(home, options, &store);
	if (err != LSM_OK)
		return err;
	err = credit_account_create(
	    runtime->credit, store->options.nospace_wait_ms, &store->credit);
	if (err == LSM_OK)
		err = store_recover(store);
	if (err != LSM_OK) {
		cancel_jobs(store);
		free_store(store);
		return err;
	}
	runtime_attach(runtime, store);
	if (!store->options.read_only)
		worker_submit(runtime->workers, &store->compact_job,
		              runtime->options.period_ms);
	*store_out = store;
	return LSM_OK;
}

/* ---- closing -------------------------------------------------------------------------- */

/* No new write is taken; those in the queue end; the memtable is sealed. */
static enum lsm_err stop_writing(struct lsm *store)
{
	struct commit place;
	enum lsm_err err;

	store_fail(store, LSM_ERR_CLOSED, "closing");
	store_lead(store, &place);
	err = store_seal(store);
	store_unlead(store, &place);
	return err;
}

/* Flush in this thread what is sealed: the workers have let go. */
static enum lsm_err flush_all(struct lsm *store)
{
	enum lsm_err err = LSM_OK;
	bool more = true;

	for (unsigned tries = 0; more && tries < OPEN_CLOSE_TRIES;) {
		err = store_flush_oldest(store, &more);
		if (err == LSM_ERR_POISONED)
			break; /* the manifest: nothing can be installed */
		if (err != LSM_OK)
			tries++;
	}
	return err;
}

/* Logs that hold nothing leave the manifest, and so the pool. */
static enum lsm_err drop_empty_log(struct lsm *store, struct wal_writer *log)
{
	struct edit edit;
	enum lsm_err err;

	if (log == NULL)
		return LSM_OK;
	edit_init(&edit);
	err = edit_remove_log(&edit, wal_writer_id(log));
	if (err == LSM_OK) {
		sync_lock(&store->manifest_mu);
		err = store_log_edit(store, &edit);
		sync_unlock(&store->manifest_mu);
	}
	edit_release(&edit);
	return err;
}

static enum lsm_err drop_spare(struct lsm *store)
{
	struct wal_writer *spare = store->spare;
	struct file_id id;
	enum lsm_err err = drop_empty_log(store, spare);

	if (spare == NULL)
		return LSM_OK;
	store->spare = NULL;
	id = wal_writer_id(spare);
	wal_writer_destroy(spare);
	pool_unref(store->pool, FILE_KIND_LOG, id);
	return err;
}

enum lsm_err lsm_close(struct lsm *store)
{
	enum lsm_err err = LSM_OK, synced;

	if (store == NULL)
		return LSM_OK;
	atomic_store(&store->stop, true);
	if (store_writable(store) == LSM_OK) {
		err = stop_writing(store);
		runtime_detach(store->runtime, store);
		cancel_jobs(store);
		if (err == LSM_OK)
			err = flush_all(store);
		synced = err == LSM_OK ? LSM_OK : lsm_sync(store);
		if (err == LSM_OK)
			err = drop_spare(store);
		if (err == LSM_OK)
			err = drop_empty_log(store, store->active->log);
		if (err == LSM_OK)
			err = synced;
	} else {
		err = store->options.read_only ? LSM_OK
		                               : atomic_load(&store->failed);
		runtime_detach(store->runtime, store);
		cancel_jobs(store);
	}
	/* The last files to go: jobs are cancelled, so here. */
	store_forget_l0(store);
	view_unref(store->view);
	store->view = NULL;
	generation_unref(store->active);
	store->active = NULL;
	if (err == LSM_OK)
		home_collect(store->home);
	free_store(store);
	return err;
}

struct slice lsm_owner_area(const struct lsm *store)
{
	const struct superblock *sb = &store->home->superblock;

	return slice_make(sb->owner_area, sb->owner_len);
}
