/* SPDX-License-Identifier: MIT */
/*
 * fork.c: export a store of hard links, while this one goes on.
 *
 *  1. Seal the memtable and its log; nothing is written out.
 *  2. Capture, under the manifest's lock: the version, the sealed generations,
 *     the base list. Their files cannot go while they are held.
 *  3. Sync the sealed logs.
 *  4. Lay out a store in PARENT/.tmp-NAME-<random>: link the files, write a
 *     manifest that names the same base list, write a superblock of the same
 *     family.
 *  5. Rename it to NAME, sync PARENT.
 *
 * A crash before 5 leaves a folder that is no store under that name; the next
 * fork to NAME removes it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

enum { FORK_TMP_NAME_BYTES = 256 };

struct capture {
	struct lsm *store;
	struct manifest_state state; /* of the child */
	struct view *view;           /* its sealed generations are the logs */
	struct file_id list;         /* held in the pool; number 0: none */
	struct lsm_fork_info *info;
};

/* What is sealed now, and what is in tables, is a prefix of what was written. */
static enum lsm_err capture_files(struct capture *c)
{
	struct lsm *store = c->store;
	enum lsm_err err;

	sync_lock(&store->manifest_mu);
	err = manifest_state_copy(&store->state, &c->state);
	if (err == LSM_OK && c->state.list.number != 0)
		err = pool_ref(store->pool, FILE_KIND_LIST, c->state.list);
	if (err == LSM_OK)
		c->list = c->state.list;
	/* Flushes are installed under manifest_mu: version and view agree. */
	c->view = view_get(store, NULL);
	sync_unlock(&store->manifest_mu);
	return err;
}

/* The child's logs: those of the sealed generations, durable to their ends. */
static enum lsm_err capture_logs(struct capture *c)
{
	size_t count = c->view->sealed_count;
	struct log_ref *logs = calloc(count + 1, sizeof(*logs));
	enum lsm_err err = LSM_OK;

	if (logs == NULL)
		return LSM_ERR_NOMEM;
	c->info->sequence = c->state.flushed_seq;
	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		struct generation *gen = c->view->sealed[i];

		err = wal_writer_sync(gen->log);
		logs[i].id = wal_writer_id(gen->log);
		logs[i].promised_upto = wal_writer_size(gen->log);
		c->info->sequence = gen->last_seq;
	}
	if (err != LSM_OK) {
		store_fail(c->store, LSM_ERR_POISONED,
		           "a log could not be synced");
		free(logs);
		return LSM_ERR_POISONED;
	}
	free(c->state.logs);
	c->state.logs = logs;
	c->state.log_count = count;
	return LSM_OK;
}

static enum lsm_err child_identity(struct capture *c)
{
	struct branch_identity *branch = &c->state.branch;
	const struct env *env = c->store->env;

	branch->parent = branch->id;
	branch->forked_at = c->info->sequence;
	branch->created_ns = env_time_ns(env);
	branch->read_only = false;
	snprintf(branch->name, sizeof(branch->name), MAIN_BRANCH);
	c->state.next_number = 1; /* under its own id as the creator */
	c->state.manifest_number = 0;
	return env_random(env, &branch->id, sizeof(branch->id));
}

/* ---- the files -------------------------------------------------------------------- */

/* Copy what can neither be linked nor share extents, and seal the copy. */
static enum lsm_err copy_sealed(struct env_dir *from, struct env_dir *to,
                                const char *name)
{
	struct env_file *file = NULL;
	enum lsm_err err = env_copy_file(from, name, to, name);

	if (err == LSM_OK)
		err = env_open(to, name, ENV_READ, &file);
	if (err == LSM_OK)
		err = env_seal(file);
	env_close(file);
	return err;
}

static enum lsm_err share_file(struct capture *c, struct env_dir *pool,
                               enum file_kind kind, struct file_id id)
{
	struct env_dir *from = c->store->source.pool;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	file_name_format(kind, id, name);
	err = env_link(from, name, pool, name);
	if (err == LSM_OK) {
		c->info->files_linked++;
		return LSM_OK;
	}
	if (err != LSM_ERR_NO_LINK)
		return err;
	err = env_reflink(from, name, pool, name);
	if (err == LSM_OK) {
		c->info->files_reflinked++;
		return LSM_OK;
	}
	if (err != LSM_ERR_NOT_SUPPORTED)
		return err;
	err = copy_sealed(from, pool, name);
	if (err == LSM_OK)
		c->info->files_copied++;
	return err;
}

/* store_lay_out()'s fill. */
static enum lsm_err share_files(void *ctx, struct env_dir *pool)
{
	struct capture *c = ctx;
	const struct version *version = c->state.version;
	enum lsm_err err = LSM_OK;

	for (unsigned l = 0; l < LSM_LEVELS; l++)
		for (size_t i = 0;
		     err == LSM_OK && i < version->levels[l].count; i++)
			err = share_file(c, pool, FILE_KIND_TABLE,
			                 version->levels[l].tables[i]->id);
	for (size_t i = 0; err == LSM_OK && i < c->state.log_count; i++)
		err = share_file(c, pool, FILE_KIND_LOG, c->state.logs[i].id);
	if (err == LSM_OK && c->state.list.number != 0)
		err = share_file(c, pool, FILE_KIND_LIST, c->state.list);
	return err;
}

/* ---- the store ---------------------------------------------------------------------- */

static enum lsm_err child_superblock(const struct lsm *store,
                                     struct superblock *sb)
{
	enum lsm_err err =
	    superblock_init(sb, store->env, lsm_owner_area(store));

	sb->family = store->home->superblock.family;
	sb->compat = store->home->superblock.compat;
	sb->ro_compat = store->home->superblock.ro_compat;
	return err;
}

/* ".tmp-NAME-"; a long name is cut: a random part makes the whole unique. */
static void temporary_prefix(const char *name, char out[FORK_TMP_NAME_BYTES])
{
	snprintf(out, FORK_TMP_NAME_BYTES, TMP_PREFIX "%.200s-", name);
}

static enum lsm_err temporary_name(const struct env *env, const char *name,
                                   char out[FORK_TMP_NAME_BYTES])
{
	uint64_t random;
	enum lsm_err err = env_random(env, &random, sizeof(random));
	size_t len;

	temporary_prefix(name, out);
	len = strlen(out);
	snprintf(out + len, FORK_TMP_NAME_BYTES - len, "%016llx",
	         (unsigned long long)random);
	return err;
}

struct leftovers {
	struct env_dir *parent;
	char prefix[FORK_TMP_NAME_BYTES];
};

/* What a crash left of an earlier fork to the same name: nobody holds its lock. */
static enum lsm_err drop_leftover(void *ctx, const char *name)
{
	const struct leftovers *left = ctx;
	struct env_dir *dir = NULL;
	struct env_file *lock = NULL;
	enum lsm_err err;

	if (strncmp(name, left->prefix, strlen(left->prefix)) != 0 ||
	    strlen(name) != strlen(left->prefix) + 16)
		return LSM_OK;
	err = env_dir_open_at(left->parent, name, &dir);
	if (err == LSM_OK)
		err = env_dir_lock(dir, LOCK_NAME, false, &lock);
	env_dir_close(dir);
	if (err == LSM_OK && env_remove_tree(left->parent, name) != LSM_OK)
		log_warning("%s: an unfinished fork stays", name);
	env_close(lock);
	return LSM_OK;
}

/* What cannot be listed or removed is only in the way. */
static void drop_leftovers(struct env_dir *parent, const char *name)
{
	struct leftovers left = {.parent = parent};

	temporary_prefix(name, left.prefix);
	if (env_dir_list(parent, drop_leftover, &left) != LSM_OK)
		log_debug("%s: leftovers of earlier forks stay", name);
}

static enum lsm_err refuse_existing(struct env_dir *parent, const char *name,
                                    const char *path)
{
	struct env_dir *dir = NULL;
	enum lsm_err err = env_dir_open_at(parent, name, &dir);

	env_dir_close(dir);
	if (err != LSM_OK)
		return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
	log_error("%s: it exists already", path);
	return LSM_ERR_EXISTS;
}

/* Give the finished store its name, durably, or let it keep the temporary one. */
static enum lsm_err publish(struct env_dir *parent, const char *tmp,
                            const char *name, const char *path)
{
	enum lsm_err err = env_rename(parent, tmp, parent, name, true);

	if (err == LSM_ERR_EXISTS)
		log_error("%s: it exists already", path);
	if (err != LSM_OK)
		return err;
	err = env_dir_sync(parent);
	if (err != LSM_OK &&
	    env_rename(parent, name, parent, tmp, true) != LSM_OK)
		log_warning("%s: it is there, but perhaps not durable", path);
	return err;
}

static enum lsm_err build(struct capture *c, struct env_dir *parent,
                          const char *name, const char *path)
{
	char tmp[FORK_TMP_NAME_BYTES];
	struct superblock sb;
	struct env_dir *dir = NULL;
	enum lsm_err err = temporary_name(c->store->env, name, tmp);

	if (err == LSM_OK)
		err = child_superblock(c->store, &sb);
	if (err == LSM_OK)
		err = env_dir_make(parent, tmp);
	if (err != LSM_OK)
		return err;
	err = env_dir_open_at(parent, tmp, &dir);
	if (err == LSM_OK)
		err = store_lay_out(dir, &sb, &c->state, share_files, c);
	env_dir_close(dir);
	if (err == LSM_OK)
		err = publish(parent, tmp, name, path);
	if (err != LSM_OK && env_remove_tree(parent, tmp) != LSM_OK)
		log_warning("%s: the unfinished fork %s stays", path, tmp);
	return err;
}

static void release_capture(struct capture *c)
{
	if (c->list.number != 0)
		pool_unref(c->store->pool, FILE_KIND_LIST, c->list);
	view_unref(c->view);
	manifest_state_release(&c->state);
}

enum lsm_err lsm_export(struct lsm *store, const char *path,
                        struct lsm_fork_info *info_out)
{
	struct capture c = {.store = store, .info = info_out};
	struct env_dir *parent = NULL;
	const char *name;
	enum lsm_err err;

	memset(info_out, 0, sizeof(*info_out));
	manifest_state_init(&c.state);
	err = store_open_parent(store->env, path, &parent, &name);
	if (err == LSM_OK)
		err = refuse_existing(parent, name, path);
	if (err != LSM_OK)
		goto out;
	drop_leftovers(parent, name);

	sync_lock(&store->fork_mu);
	err = store_lead_and_seal(store);
	if (err == LSM_OK)
		err = capture_files(&c);
	if (err == LSM_OK)
		err = capture_logs(&c);
	if (err == LSM_OK)
		err = child_identity(&c);
	if (err == LSM_OK)
		err = build(&c, parent, name, path);
	sync_unlock(&store->fork_mu);
out:
	release_capture(&c);
	env_dir_close(parent);
	return err;
}
