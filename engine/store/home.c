/* SPDX-License-Identifier: MIT */
#include "store/home.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/branches.h"

void home_branch_folder(uint64_t id, char name[STORE_BRANCH_NAME_BYTES])
{
	snprintf(name, STORE_BRANCH_NAME_BYTES, "%016llx",
	         (unsigned long long)id);
}

/* ---- tables ---------------------------------------------------------------- */

static void table_dropped(void *ctx, struct file_id id)
{
	struct home *home = ctx;

	pool_unref(home->pool, FILE_KIND_TABLE, id);
}

static void table_leads(void *ctx, struct file_id table,
                        const struct segment_uses *uses)
{
	struct home *home = ctx;

	pool_lead(home->pool, table, uses);
}

struct table_owner home_table_owner(struct home *home)
{
	return (struct table_owner){
	    .dropped = table_dropped,
	    .ctx = home,
	    .leads = table_leads,
	};
}

struct table_owner home_learner(struct home *home)
{
	return (struct table_owner){.ctx = home, .leads = table_leads};
}

void home_adopt_table(void *ctx, struct file_id id)
{
	struct home *home = ctx;

	/* Without memory for the count the file is swept by nobody: keep all. */
	if (pool_ref(home->pool, FILE_KIND_TABLE, id) != LSM_OK)
		pool_keep_all(home->pool);
}

/* ---- opening and closing ---------------------------------------------------- */

static enum lsm_err alloc_home(struct lsm_runtime *runtime,
                               const struct env *env, const char *path,
                               bool read_only, struct home **home_out)
{
	struct home *home;

	*home_out = NULL;
	if (strlen(path) >= STORE_PATH_MAX_BYTES) {
		log_error("%.60s...: the path is too long", path);
		return LSM_ERR_INVALID;
	}
	home = calloc(1, sizeof(*home));
	if (home == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&home->refs, 1);
	home->env = env;
	home->runtime = runtime;
	home->read_only = read_only;
	snprintf(home->path, sizeof(home->path), "%s", path);
	worker_job_init(&home->gc_job, WORKER_DELETE, home_gc_run);
	*home_out = home;
	return LSM_OK;
}

/* The folder, its superblock, its lock, its pool. */
static enum lsm_err open_folders(struct home *home)
{
	enum lsm_err err = env_dir_open(home->env, home->path, &home->dir);

	if (err == LSM_ERR_NOT_FOUND)
		log_error("%s: no such folder", home->path);
	if (err == LSM_OK)
		err = superblock_read(home->dir, home->path, home->read_only,
		                      &home->superblock);
	if (err == LSM_OK) {
		err = env_dir_lock(home->dir, LOCK_NAME, home->read_only,
		                   &home->lock);
		if (err == LSM_ERR_NOT_FOUND)
			log_error("%s: the store has no file %s", home->path,
			          LOCK_NAME);
	}
	if (err == LSM_OK) {
		err = env_dir_open_at(home->dir, POOL_DIR, &home->source.pool);
		if (err == LSM_ERR_NOT_FOUND) {
			log_error("%s: the store has no folder %s", home->path,
			          POOL_DIR);
			err = LSM_ERR_CORRUPT;
		}
	}
	return err;
}

enum lsm_err home_open(struct lsm_runtime *runtime, const struct env *env,
                       const char *path, bool read_only, struct home **home_out)
{
	struct home *home;
	enum lsm_err err = alloc_home(runtime, env, path, read_only, &home);

	*home_out = NULL;
	if (err != LSM_OK)
		return err;
	err = branches_init(home);
	if (err == LSM_OK)
		err = open_folders(home);
	if (err == LSM_OK)
		err = pool_create(home->source.pool, home_gc_wake, home,
		                  &home->pool);
	if (err != LSM_OK) {
		home_unref(home);
		return err;
	}
	if (read_only)
		pool_keep_all(home->pool);
	home->source.family = home->superblock.family;
	home->source.files = runtime->files;
	home->source.blocks = runtime->blocks;
	home->segments.pool = home->source.pool;
	home->segments.family = home->source.family;
	home->segments.files = runtime->files;
	*home_out = home;
	return LSM_OK;
}

void home_ref(struct home *home)
{
	atomic_fetch_add_explicit(&home->refs, 1, memory_order_relaxed);
}

void home_retire(struct home *home, struct retired *retired,
                 struct credit_account *account)
{
	if (credit_account_idle(account)) {
		credit_account_destroy(account);
		free(retired);
		return;
	}
	credit_fail(account, LSM_ERR_CLOSED);
	retired->account = account;
	sync_lock(&home->mu);
	retired->next = home->retired;
	home->retired = retired;
	sync_unlock(&home->mu);
}

/* No branch is open, so nobody shares a memtable. */
static void free_retired(struct retired *retired)
{
	while (retired != NULL) {
		struct retired *next = retired->next;

		credit_account_destroy(retired->account);
		free(retired);
		retired = next;
	}
}

void home_unref(struct home *home)
{
	if (home == NULL || atomic_fetch_sub_explicit(
				&home->refs, 1, memory_order_acq_rel) != 1)
		return;
	worker_cancel(home->runtime->workers, &home->gc_job);
	if (home->pool != NULL)
		home_collect(home);
	free_retired(home->retired);
	branches_release(home);
	free(home->damaged);
	pool_destroy(home->pool);
	env_dir_close(home->branches);
	env_dir_close(home->source.pool);
	env_close(home->lock);
	env_dir_close(home->dir);
	free(home);
}
