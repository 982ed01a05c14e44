/* SPDX-License-Identifier: MIT */
/*
 * open.c: a store from lsm_open() to lsm_close().
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "store/branches.h"
#include "store/store.h"

enum {
	OPEN_MEMTABLE_BYTES = 64 << 20, /* where credit is off */
	OPEN_BLOCK_BYTES = 4 << 10,
	OPEN_TABLE_BYTES = 32 << 20,
	OPEN_LEVEL_BASE_BYTES = 256 << 20,
	OPEN_L0_TRIGGER = 4,
	OPEN_LOG_STEP_BYTES = 64 << 10,
	OPEN_LOG_MAP_AFTER = 32,
	OPEN_NOSPACE_WAIT_MS = 5000,
	/* An arena block is at most this part of a memtable, so that what many
	   writers reserve at once stays small against the pool. */
	OPEN_BLOCKS_PER_MEMTABLE = 64,
	OPEN_MAX_BLOCK_BYTES = 64 << 10,
	OPEN_RESERVE_BYTES = 64 << 20,
	OPEN_RESERVE_PART = 16,
	OPEN_CLOSE_TRIES = 3,
	OPEN_SEGMENT_MIN_BYTES = 8 << 10,
	OPEN_DIRECT_MIN_BYTES = 64 << 10,
};

void lsm_options_init(struct lsm_options *options)
{
	memset(options, 0, sizeof(*options));
	options->segment_min_bytes = OPEN_SEGMENT_MIN_BYTES;
	options->direct_min_bytes = OPEN_DIRECT_MIN_BYTES;
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
	worker_submit(store->runtime->workers, &store->slow.job, 0);
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
	sync_mutex_init(&store->damage_mu, SYNC_RANK_LEAF);
	segment_uses_init(&store->damaged);
	sync_mutex_init(&store->fork_mu, SYNC_RANK_FORK);
	sync_mutex_init(&store->compact_mu, SYNC_RANK_COMPACT);
	commit_queue_init(&store->queue, &store->visible_seq);
	sync_queue_init(&store->sync_queue, &store->visible_seq);
	sync_mutex_init(&store->manifest_mu, SYNC_RANK_MANIFEST);
	sync_mutex_init(&store->tree_mu, SYNC_RANK_TREE);
	sync_cond_init(&store->changed);
}

static void init_jobs(struct lsm *store)
{
	worker_job_init(&store->flush_job, WORKER_FLUSH, store_flush_run);
	worker_job_init(&store->compact_job, WORKER_COMPACT, store_compact_run);
	worker_job_init(&store->sync_job, WORKER_UPKEEP, store_sync_run);
	worker_job_init(&store->spare_job, WORKER_UPKEEP, store_spare_run);
}

static enum lsm_err alloc_store(struct home *home, struct branch *branch,
                                const struct lsm_options *options,
                                struct lsm **store_out)
{
	struct lsm *store = calloc(1, sizeof(*store));

	*store_out = store;
	if (store == NULL)
		return LSM_ERR_NOMEM;
	store->home = home;
	store->branch = branch;
	store->env = home->env;
	store->runtime = home->runtime;
	store->source = home->source;
	store->segments = home->segments;
	store->pool = home->pool;
	store->path = home->path;
	store->given = *options;
	store->given.branch = NULL;
	store->options = *options;
	store->options.read_only |= home->read_only || branch->read_only;
	set_defaults(&store->options, home->runtime->options.credit_bytes);
	store->max_block_bytes = max_block_bytes(store->options.memtable_bytes);
	manifest_state_init(&store->state);
	init_locks(store);
	init_jobs(store);
	slow_init(store);
	store_expect_no_sync(store);
	return LSM_OK;
}

/* What a branch is called in log lines. */
static enum lsm_err name_store(struct lsm *store)
{
	size_t len = strlen(store->home->path) + strlen(store->branch->name);

	if (strcmp(store->branch->name, MAIN_BRANCH) == 0)
		return LSM_OK;
	store->label = malloc(len + 2);
	if (store->label == NULL)
		return LSM_ERR_NOMEM;
	snprintf(store->label, len + 2, "%s@%s", store->home->path,
	         store->branch->name);
	store->path = store->label;
	return LSM_OK;
}

static void forget_spare(struct lsm *store)
{
	struct file_id id;

	if (store->spare == NULL)
		return;
	id = wal_writer_id(store->spare);
	wal_writer_destroy(store->spare);
	store->spare = NULL;
	active_segment_unref(store->spare_segment);
	store->spare_segment = NULL;
	pool_unref(store->pool, FILE_KIND_LOG, id);
}

/* Every job is cancelled, nobody uses the store. */
static void free_store(struct lsm *store)
{
	slow_release(store);
	view_clear_slots(store);
	view_unref(store->view);
	while (store->oldest_sealed != NULL) {
		struct generation *gen = store->oldest_sealed;

		store->oldest_sealed = gen->newer;
		generation_unref(gen);
	}
	generation_unref(store->active);
	forget_spare(store);
	manifest_close(store->manifest);
	if (store->state.list.number != 0)
		pool_unref(store->pool, FILE_KIND_LIST, store->state.list);
	manifest_state_release(&store->state);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		buf_release(&store->cursor[i]);
	if (store->credit != NULL)
		home_retire(store->home, store->retired, store->credit);
	else
		free(store->retired);
	env_dir_close(store->branch_dir);
	free(store->label);

	sync_cond_destroy(&store->changed);
	sync_mutex_destroy(&store->tree_mu);
	sync_mutex_destroy(&store->manifest_mu);
	sync_queue_release(&store->sync_queue);
	commit_queue_release(&store->queue);
	sync_mutex_destroy(&store->compact_mu);
	sync_mutex_destroy(&store->fork_mu);
	segment_uses_release(&store->damaged);
	sync_mutex_destroy(&store->damage_mu);
	free(store);
}

static void cancel_jobs(struct lsm *store)
{
	struct worker_pool *workers = store->runtime->workers;

	worker_cancel(workers, &store->compact_job);
	worker_cancel(workers, &store->flush_job);
	worker_cancel(workers, &store->spare_job);
	worker_cancel(workers, &store->sync_job);
	worker_cancel(workers, &store->slow.job);
	slow_wake_all(store); /* with the error that ended it */
}

/* The branch is not open any more: what it is made of is counted for it, and what
   it was made of before is let go. */
static void leave_store(struct lsm *store)
{
	struct home *home = store->home;
	struct branch *branch = store->branch;

	/* Without a version nothing of it was read. */
	if (store->state.version != NULL &&
	    branch_pin_state(home, branch, &store->state) != LSM_OK)
		pool_keep_all(home->pool);
	branch_leave(home, branch);
	free_store(store);
	home_unref(home);
}

static enum lsm_err prepare_store(struct lsm *store, bool first)
{
	enum lsm_err err = name_store(store);

	store->retired = malloc(sizeof(*store->retired));
	if (err == LSM_OK && store->retired == NULL)
		err = LSM_ERR_NOMEM;
	if (err == LSM_OK)
		err = credit_account_create(store->runtime->credit,
		                            store->options.nospace_wait_ms,
		                            &store->credit);
	if (err == LSM_OK)
		err = store_recover(store, first);
	return err;
}

/* From now on landings, and those who look for its memtables, find it. */
static void enter_home(struct lsm *store)
{
	struct home *home = store->home;

	/* One that is not written to may share all its metas with its parent,
	   and no fork point tells the pool of it: its pins do. */
	if (!store->branch->read_only)
		branch_unpin_now(home, store->branch);
	sync_lock(&home->mu);
	store->branch->lsm = store;
	home->open_count++;
	sync_unlock(&home->mu);
	branch_leave(home, store->branch);
	runtime_attach(store->runtime, store);
	if (home->read_only)
		return;
	worker_submit(store->runtime->workers, &store->flush_job, 0);
	if (!store->options.read_only)
		worker_submit(store->runtime->workers, &store->compact_job,
		              store->runtime->options.period_ms);
}

enum lsm_err store_open_branch(struct home *home, struct branch *branch,
                               const struct lsm_options *options, bool first,
                               struct lsm **store_out)
{
	struct lsm *store;
	enum lsm_err err = alloc_store(home, branch, options, &store);

	*store_out = NULL;
	if (err != LSM_OK) {
		branch_leave(home, branch);
		home_unref(home);
		return err;
	}
	err = prepare_store(store, first);
	if (err == LSM_OK)
		err = branch_pin_base(home, branch,
		                      buf_slice(&store->state.base));
	if (err != LSM_OK) {
		cancel_jobs(store);
		leave_store(store);
		return err;
	}
	enter_home(store);
	*store_out = store;
	return LSM_OK;
}

static enum lsm_err find_first(struct home *home, const char *name,
                               struct branch **branch_out)
{
	enum lsm_err damage, err = home_read(home, &damage);

	*branch_out = NULL;
	if (err == LSM_OK)
		err = branch_claim(home, name, BRANCH_OPENING, branch_out);
	if (err != LSM_ERR_NOT_FOUND)
		return err;
	if (damage != LSM_OK)
		return damage; /* told by whoever met it */
	log_error("%s: the store has no branch %s", home->path, name);
	return strcmp(name, MAIN_BRANCH) == 0 ? LSM_ERR_CORRUPT : err;
}

enum lsm_err lsm_open(struct lsm_runtime *runtime, const char *path,
                      const struct lsm_options *options, struct lsm **store_out)
{
	const char *name =
	    options->branch != NULL ? options->branch : MAIN_BRANCH;
	struct branch *branch;
	struct home *home;
	enum lsm_err err;

	*store_out = NULL;
	err = home_open(runtime,
	                options->env != NULL ? options->env : env_posix(), path,
	                options->read_only, &home);
	if (err != LSM_OK)
		return err;
	err = find_first(home, name, &branch);
	if (err != LSM_OK) {
		home_unref(home);
		return err;
	}
	return store_open_branch(home, branch, options, true, store_out);
}

/* ---- closing -------------------------------------------------------------------------- */

/* No new write is taken; those in the queue end; the memtable is sealed. */
static enum lsm_err stop_writing(struct lsm *store)
{
	store_fail(store, LSM_ERR_CLOSED, "closing");
	return store_lead_and_seal_last(store);
}

/* Whether what is sealed is all of other branches: while those are to flush it, it
   may stay as it is, in logs that the manifest names. */
static bool only_shares(struct lsm *store)
{
	bool only = true;

	sync_lock(&store->tree_mu);
	for (struct generation *g = store->oldest_sealed; g != NULL;
	     g = g->newer)
		only = only && g->shared;
	sync_unlock(&store->tree_mu);
	return only;
}

/* Flush in this thread what is sealed: the workers have let go. */
static enum lsm_err flush_all(struct lsm *store)
{
	enum lsm_err err = LSM_OK;
	bool more = !only_shares(store) || !store_awaits_landing(store);

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
	enum lsm_err err = drop_empty_log(store, store->spare);

	if (err == LSM_OK)
		forget_spare(store);
	return err;
}

/* Flush, sync and drop what is empty: the branch was open for writing. */
static enum lsm_err finish_writing(struct lsm *store, enum lsm_err err)
{
	enum lsm_err synced;

	if (err == LSM_OK)
		err = flush_all(store);
	synced = err == LSM_OK ? LSM_OK : lsm_sync(store);
	if (err == LSM_OK)
		err = drop_spare(store);
	if (err == LSM_OK)
		err = drop_empty_log(store, store->active->log);
	return err == LSM_OK ? synced : err;
}

/* Nobody lands here any more, nor looks for memtables: it is not found as open
   from the moment on at which nobody keeps it open. */
static void enter_closing(struct lsm *store)
{
	struct home *home = store->home;

	sync_lock(&home->mu);
	branch_enter(home, store->branch, BRANCH_CLOSING);
	while (store->branch->pins > 0)
		sync_wait(&home->changed, &home->mu);
	store->branch->lsm = NULL;
	home->open_count--;
	sync_unlock(&home->mu);
}

enum lsm_err lsm_close(struct lsm *store)
{
	enum lsm_err err = LSM_OK;
	struct home *home;

	if (store == NULL)
		return LSM_OK;
	home = store->home;
	atomic_store(&store->stop, true);
	if (store_writable(store) == LSM_OK) {
		err = stop_writing(store);
		runtime_detach(store->runtime, store);
		cancel_jobs(store);
		err = finish_writing(store, err);
	} else {
		err = store->home->read_only ? LSM_OK
		                             : atomic_load(&store->failed);
		runtime_detach(store->runtime, store);
		cancel_jobs(store);
		if (err == LSM_OK && !store->home->read_only)
			err = flush_all(store); /* what it shares */
	}
	home_ref(home);
	enter_closing(store);
	store_forget_l0(store);
	leave_store(store);
	home_wake_logged(home, NULL); /* what we did not flush, others must */
	home_unref(home);
	return err;
}

struct slice lsm_owner_area(const struct lsm *store)
{
	const struct superblock *sb = &store->home->superblock;

	return slice_make(sb->owner_area, sb->owner_len);
}
