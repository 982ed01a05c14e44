/* SPDX-License-Identifier: MIT */
/*
 * fork.c: what every fork begins with (fork.h), and the export of a store of hard
 * links, while this one goes on.
 *
 * An export, once the source is captured:
 *  4. Lay out a store in PARENT/.tmp-NAME-<random>: link the files, write a
 *     manifest that names the same base list, write a superblock of the same
 *     family.
 *  5. Rename it to NAME, sync PARENT.
 *
 * A crash before 5 leaves a folder that is no store under that name; the next
 * fork to NAME removes it.
 */
#include "store/fork.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tree/manifest_base.h"

enum {
	FORK_TMP_NAME_BYTES = 256,
	FORK_SMALL_MAX = 2, /* small memtables that may await their flush... */
	FORK_SMALL_BYTES = 1 << 20, /* ...of together so many bytes of log */
};

/* ---- the beginning ------------------------------------------------------------- */

/* The child's logs: those of the sealed generations. */
static enum lsm_err capture_logs(struct fork *fork)
{
	size_t count = fork->view->sealed_count;
	struct log_ref *logs = calloc(count + 1, sizeof(*logs));

	if (logs == NULL)
		return LSM_ERR_NOMEM;
	fork->sequence = fork->state.flushed_seq;
	for (size_t i = 0; i < count; i++) {
		const struct generation *gen = fork->view->sealed[i];

		logs[i].id = gen->log_id;
		logs[i].promised_upto = gen->log_bytes;
		fork->sequence = gen->last_seq;
	}
	free(fork->state.logs);
	fork->state.logs = logs;
	fork->state.log_count = count;
	return LSM_OK;
}

/* The view keeps the memtables, and files only of those that are not shared: a
   flush of another branch may land here at any moment. */
static enum lsm_err pin_logs(struct fork *fork)
{
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && fork->pinned_logs < fork->view->sealed_count) {
		err = pool_ref(fork->store->pool, FILE_KIND_LOG,
		               fork->view->sealed[fork->pinned_logs]->log_id);
		fork->pinned_logs += err == LSM_OK;
	}
	return err;
}

/* Needs manifest_mu, so that a flush either lies before the capture, or meets the
   child among the branches that name its log. */
static enum lsm_err register_child(struct fork *fork, struct branch *child)
{
	struct home *home = fork->store->home;
	struct branch *parent;
	enum lsm_err err;

	sync_lock(&home->mu);
	err = branch_add(home, child);
	parent = branch_find_id(home, child->parent);
	if (err == LSM_OK && parent != NULL)
		parent->children++;
	sync_unlock(&home->mu);
	return err;
}

/* What is sealed now, and what is in tables, is a prefix of what was written. */
static enum lsm_err capture(struct fork *fork, struct branch *child,
                            bool *registered_out)
{
	struct lsm *store = fork->store;
	enum lsm_err err;

	err = manifest_state_copy(&store->state, &fork->state);
	if (err == LSM_OK && fork->state.list.number != 0)
		err = pool_ref(store->pool, FILE_KIND_LIST, fork->state.list);
	if (err == LSM_OK)
		fork->list = fork->state.list;
	buf_release(&fork->state.base);
	/* Flushes are installed under manifest_mu: version and view agree. */
	fork->view = view_get(store, NULL);
	if (err == LSM_OK)
		err = capture_logs(fork);
	if (err == LSM_OK)
		err = pin_logs(fork);
	if (err == LSM_OK && child != NULL) {
		child->forked_at = fork->sequence;
		err = register_child(fork, child);
		*registered_out = err == LSM_OK;
	}
	if (err == LSM_OK && child != NULL && !child->read_only)
		err = manifest_base_set(&fork->state);
	if (err == LSM_OK && child != NULL)
		err = branch_pin_state(store->home, child, &fork->state);
	return err;
}

/* The logs are durable to their ends, which the child relies on. */
static enum lsm_err sync_sealed(struct fork *fork)
{
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < fork->view->sealed_count; i++) {
		if (fork->view->sealed[i]->log != NULL)
			err = generation_sync(fork->view->sealed[i]);
	}
	if (err == LSM_OK)
		return LSM_OK;
	store_fail(fork->store, LSM_ERR_POISONED, "a log could not be synced");
	return LSM_ERR_POISONED;
}

/* Whether so little awaits its flush, in so many logs, that waiting is better:
   needs tree_mu. */
static bool has_small_backlog(struct lsm *store)
{
	uint64_t bytes = 0;
	size_t count = 0;

	sync_assert_held(&store->tree_mu);
	for (struct generation *g = store->oldest_sealed; g != NULL;
	     g = g->newer) {
		bytes += g->log_bytes;
		count++;
	}
	return count >= FORK_SMALL_MAX && bytes < FORK_SMALL_BYTES &&
	       store->flush_err == LSM_OK &&
	       atomic_load(&store->failed) == LSM_OK;
}

/*
 * Who forks and writes a little in turn would leave a log for each fork, named by
 * all forks after it; and each flush would have to land in them all, which takes
 * the longer the more there are. So at most a few small ones are ahead of it. A
 * large memtable is not waited for, nor a flush that fails, nor what is sealed
 * meanwhile.
 */
static void await_small_flushes(struct lsm *store)
{
	uint64_t upto;

	sync_lock(&store->tree_mu);
	upto =
	    store->newest_sealed != NULL ? store->newest_sealed->last_seq : 0;
	while (has_small_backlog(store) &&
	       store->oldest_sealed->last_seq <= upto)
		sync_wait(&store->changed, &store->tree_mu);
	sync_unlock(&store->tree_mu);
}

enum lsm_err fork_begin(struct fork *fork, struct lsm *store,
                        struct branch *child, bool *registered_out)
{
	enum lsm_err err = LSM_OK;

	memset(fork, 0, sizeof(*fork));
	fork->store = store;
	manifest_state_init(&fork->state);
	if (registered_out != NULL)
		*registered_out = false;
	if (store->home->read_only)
		return LSM_ERR_READ_ONLY;
	if (child != NULL)
		await_small_flushes(store);
	/* A branch that is not written to has nothing to seal. */
	if (!store->options.read_only)
		err = store_lead_and_seal(store);
	if (err != LSM_OK)
		return err;
	sync_lock(&store->manifest_mu);
	if (child != NULL)
		store_shorten_manifest(store);
	err = capture(fork, child, registered_out);
	sync_unlock(&store->manifest_mu);
	return err == LSM_OK ? sync_sealed(fork) : err;
}

void fork_end(struct fork *fork)
{
	if (fork->store == NULL)
		return;
	if (fork->list.number != 0)
		pool_unref(fork->store->pool, FILE_KIND_LIST, fork->list);
	for (size_t i = 0; i < fork->pinned_logs; i++)
		pool_unref(fork->store->pool, FILE_KIND_LOG,
		           fork->view->sealed[i]->log_id);
	view_unref(fork->view);
	manifest_state_release(&fork->state);
}

/* ---- an export ------------------------------------------------------------------ */

struct export
{
	struct fork fork;
	struct lsm_fork_info *info;
};

static enum lsm_err child_identity(struct export *c)
{
	struct branch_identity *branch = &c->fork.state.branch;
	const struct env *env = c->fork.store->env;

	branch->parent = branch->id;
	branch->forked_at = c->fork.sequence;
	branch->created_ns = env_time_ns(env);
	branch->read_only = false;
	snprintf(branch->name, sizeof(branch->name), MAIN_BRANCH);
	c->fork.state.next_number = 1; /* under its own id as the creator */
	c->fork.state.manifest_number = 0;
	c->info->sequence = c->fork.sequence;
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

static enum lsm_err share_file(struct export *c, struct env_dir *pool,
                               enum file_kind kind, struct file_id id)
{
	struct env_dir *from = c->fork.store->source.pool;
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

/* A log, and the segment that its records lead to, which is finished first: a file
   that others have too does not change. */
static enum lsm_err share_log(struct export *c, struct env_dir *pool,
                              const struct generation *gen)
{
	enum lsm_err err = LSM_OK;
	uint64_t bytes;

	if (gen->segment != NULL && !active_segment_is_empty(gen->segment)) {
		err = active_segment_finish(gen->segment, &bytes);
		if (err == LSM_OK)
			err =
			    share_file(c, pool, FILE_KIND_SEGMENT, gen->log_id);
	}
	return err == LSM_OK ? share_file(c, pool, FILE_KIND_LOG, gen->log_id)
	                     : err;
}

/* store_lay_out()'s fill. */
static enum lsm_err share_files(void *ctx, struct env_dir *pool)
{
	struct export *c = ctx;
	const struct version *version = c->fork.state.version;
	struct segment_uses segments;
	enum lsm_err err;

	segment_uses_init(&segments);
	err = version_segments(version, &segments);
	for (size_t i = 0; err == LSM_OK && i < segments.count; i++)
		err = share_file(c, pool, FILE_KIND_SEGMENT,
		                 segments.items[i].id);
	segment_uses_release(&segments);

	for (unsigned l = 0; l < LSM_LEVELS; l++)
		for (size_t i = 0;
		     err == LSM_OK && i < version->levels[l].count; i++)
			err = share_file(c, pool, FILE_KIND_TABLE,
			                 version->levels[l].tables[i]->id);
	for (size_t i = 0; err == LSM_OK && i < c->fork.view->sealed_count; i++)
		err = share_log(c, pool, c->fork.view->sealed[i]);
	if (err == LSM_OK && c->fork.state.list.number != 0)
		err = share_file(c, pool, FILE_KIND_LIST, c->fork.state.list);
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

static enum lsm_err build(struct export *c, struct env_dir *parent,
                          const char *name, const char *path)
{
	char tmp[FORK_TMP_NAME_BYTES];
	struct superblock sb;
	struct env_dir *dir = NULL;
	struct env_file *lock = NULL;
	enum lsm_err err = temporary_name(c->fork.store->env, name, tmp);

	if (err == LSM_OK)
		err = child_superblock(c->fork.store, &sb);
	if (err == LSM_OK)
		err = env_dir_make(parent, tmp);
	if (err != LSM_OK)
		return err;
	err = env_dir_open_at(parent, tmp, &dir);
	if (err == LSM_OK)
		err = env_dir_lock(dir, LOCK_NAME, false, &lock);
	if (err == LSM_OK)
		err = store_lay_out(dir, &sb, &c->fork.state, share_files, c);
	env_close(lock);
	env_dir_close(dir);
	if (err == LSM_OK)
		err = publish(parent, tmp, name, path);
	if (err != LSM_OK && env_remove_tree(parent, tmp) != LSM_OK)
		log_warning("%s: the unfinished fork %s stays", path, tmp);
	return err;
}

enum lsm_err lsm_export(struct lsm *store, const char *path,
                        struct lsm_fork_info *info_out)
{
	struct export c = {.info = info_out};
	struct env_dir *parent = NULL;
	const char *name;
	enum lsm_err err;

	memset(info_out, 0, sizeof(*info_out));
	err = store_open_parent(store->env, path, &parent, &name);
	if (err == LSM_OK)
		err = refuse_existing(parent, name, path);
	if (err != LSM_OK)
		goto out;
	drop_leftovers(parent, name);

	sync_lock(&store->fork_mu);
	err = fork_begin(&c.fork, store, NULL, NULL);
	if (err == LSM_OK)
		err = child_identity(&c);
	if (err == LSM_OK)
		err = build(&c, parent, name, path);
	sync_unlock(&store->fork_mu);
out:
	fork_end(&c.fork);
	env_dir_close(parent);
	return err;
}
