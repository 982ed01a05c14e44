/* SPDX-License-Identifier: MIT */
/*
 * env_mem.c: the table of env.h over the inodes of env_mem.h.
 *
 * Each function takes env->mu for its whole length, so that a crash falls
 * between two calls. A listing copies the names first: its callback may call
 * back in.
 */
#include "io/env_mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"

struct mem_dir {
	struct env_dir base;
	struct mem_inode *inode;
	char path[]; /* for log lines */
};

static struct mem_dir *to_dir(struct env_dir *dir)
{
	return (struct mem_dir *)dir;
}

static struct mem_file *to_file(struct env_file *file)
{
	return (struct mem_file *)file;
}

static struct mem_entry **find(struct env_dir *dir, const char *name)
{
	return mem_entry_find(&to_dir(dir)->inode->entries, name);
}

/* Give an inode a name, in a folder that is still there. */
static enum lsm_err add_name(struct env_dir *dir, const char *name,
                             struct mem_inode *inode)
{
	struct mem_inode *folder = to_dir(dir)->inode;
	enum lsm_err err;

	if (folder->links == 0)
		return LSM_ERR_NOT_FOUND;
	err = mem_entry_add(&folder->entries, name, inode);
	if (err == LSM_OK)
		inode->links++;
	return err;
}

static void remove_name(struct env_mem *env, struct mem_entry **at)
{
	struct mem_entry *entry = *at;

	*at = entry->next;
	entry->inode->links--;
	mem_inode_settle(env, entry->inode);
	free(entry);
}

/* ---- folders ---------------------------------------------------------- */

static enum lsm_err make_dir_handle(struct env_mem *env,
                                    struct mem_inode *inode, const char *folder,
                                    const char *name, struct env_dir **dir_out)
{
	size_t path_bytes = strlen(folder) + 1 + strlen(name) + 1;
	struct mem_dir *dir = malloc(sizeof(*dir) + path_bytes);

	if (dir == NULL)
		return LSM_ERR_NOMEM;
	snprintf(dir->path, path_bytes, "%s%s%s", folder,
	         *name == '\0' ? "" : "/", name);
	dir->base.env = &env->base;
	dir->inode = inode;
	inode->handles++;
	env->open_handles++;
	*dir_out = &dir->base;
	return LSM_OK;
}

static struct mem_inode *child_dir(struct mem_inode *dir, const char *name)
{
	struct mem_entry *entry = *mem_entry_find(&dir->entries, name);

	return entry == NULL || !entry->inode->is_dir ? NULL : entry->inode;
}

/* Walk down from the root; `path` is cut into its components. */
static struct mem_inode *walk(struct env_mem *env, char *path)
{
	struct mem_inode *dir = *path == '/' ? env->root : NULL;
	char *rest = NULL;
	char *name;

	for (name = strtok_r(path, "/", &rest); name != NULL && dir != NULL;
	     name = strtok_r(NULL, "/", &rest))
		if (strcmp(name, ".") != 0)
			dir = child_dir(dir, name);
	return dir;
}

/* What holds the folder that was opened by `path`. */
static struct mem_inode *parent_dir(struct env_mem *env, const char *path)
{
	struct mem_inode *inode = NULL;
	char *parts = strdup(path);
	size_t len;

	if (parts == NULL)
		return NULL;
	len = strlen(parts);
	while (len > 1 && parts[len - 1] == '/')
		len--;
	while (len > 1 && parts[len - 1] != '/')
		len--;
	parts[len] = '\0';
	inode = walk(env, parts);
	free(parts);
	return inode;
}

static enum lsm_err mem_dir_open(const struct env *base, const char *path,
                                 struct env_dir **dir_out)
{
	struct env_mem *env = mem_enter(base);
	enum lsm_err err = LSM_ERR_NOMEM;
	char *parts = strdup(path);
	struct mem_inode *inode;

	if (parts != NULL) {
		inode = walk(env, parts);
		err = inode == NULL
		          ? LSM_ERR_NOT_FOUND
		          : make_dir_handle(env, inode, path, "", dir_out);
	}
	free(parts);
	return mem_leave(env, err, "open folder", path, "");
}

static enum lsm_err mem_dir_open_at(struct env_dir *parent, const char *name,
                                    struct env_dir **dir_out)
{
	struct env_mem *env = mem_enter(parent->env);
	const char *folder = to_dir(parent)->path;
	struct mem_inode *inode;
	enum lsm_err err = LSM_ERR_NOT_FOUND;

	inode = strcmp(name, "..") == 0
	            ? parent_dir(env, folder)
	            : child_dir(to_dir(parent)->inode, name);
	if (inode != NULL)
		err = make_dir_handle(env, inode, folder, name, dir_out);
	return mem_leave(env, err, "open folder", folder, name);
}

static void mem_dir_close(struct env_dir *dir)
{
	struct env_mem *env = mem_enter(dir->env);
	struct mem_inode *inode = to_dir(dir)->inode;

	inode->handles--;
	env->open_handles--;
	mem_inode_settle(env, inode);
	sync_unlock(&env->mu);
	free(dir);
}

/* A new inode under a name that must be free. */
static enum lsm_err make_named(struct env_mem *env, struct env_dir *dir,
                               const char *name, bool is_dir,
                               struct mem_inode **inode_out)
{
	enum lsm_err err;

	if (*find(dir, name) != NULL)
		return LSM_ERR_EXISTS;
	err = mem_inode_create(env, is_dir, inode_out);
	if (err != LSM_OK)
		return err;
	err = add_name(dir, name, *inode_out);
	if (err != LSM_OK)
		mem_inode_settle(env, *inode_out);
	return err;
}

static enum lsm_err mem_dir_make(struct env_dir *parent, const char *name)
{
	struct env_mem *env = mem_enter(parent->env);
	struct mem_inode *inode;
	enum lsm_err err;

	err = make_named(env, parent, name, true, &inode);
	return mem_leave(env, err, "make folder", to_dir(parent)->path, name);
}

static enum lsm_err mem_dir_sync(struct env_dir *dir)
{
	struct env_mem *env = mem_enter(dir->env);
	enum lsm_err err;

	env->stats.syncs++;
	err = mem_dir_harden(env, to_dir(dir)->inode);
	return mem_leave(env, err, "sync folder", to_dir(dir)->path, "");
}

static enum lsm_err
mem_dir_list(struct env_dir *dir,
             enum lsm_err (*each)(void *ctx, const char *name), void *ctx)
{
	struct env_mem *env = mem_enter(dir->env);
	struct buf names = BUF_INIT;
	struct mem_entry *entry = to_dir(dir)->inode->entries;
	enum lsm_err err = LSM_OK;
	size_t at = 0;

	for (; entry != NULL && err == LSM_OK; entry = entry->next)
		err = buf_append(&names, entry->name, strlen(entry->name) + 1);
	err = mem_leave(env, err, "list folder", to_dir(dir)->path, "");
	while (err == LSM_OK && at < names.len) {
		const char *name = (const char *)names.data + at;

		at += strlen(name) + 1;
		err = each(ctx, name);
	}
	buf_release(&names);
	return err;
}

static enum lsm_err mem_dir_space(struct env_dir *dir, uint64_t *total_out,
                                  uint64_t *free_out)
{
	struct env_mem *env = mem_enter(dir->env);

	*total_out = env->used_bytes + env->free_bytes;
	*free_out = env->free_bytes;
	sync_unlock(&env->mu);
	return LSM_OK;
}

/* ---- files ------------------------------------------------------------ */

static enum lsm_err make_file_handle(struct env_mem *env, struct env_dir *dir,
                                     const char *name, struct mem_inode *inode,
                                     struct mem_file **file_out)
{
	const char *folder = to_dir(dir)->path;
	size_t path_bytes = strlen(folder) + 1 + strlen(name) + 1;
	struct mem_file *file = malloc(sizeof(*file) + path_bytes);

	if (file == NULL)
		return LSM_ERR_NOMEM;
	snprintf(file->path, path_bytes, "%s/%s", folder, name);
	file->base.env = &env->base;
	file->inode = inode;
	file->writable = false;
	file->lock = MEM_LOCK_NONE;
	inode->handles++;
	env->open_handles++;
	*file_out = file;
	return LSM_OK;
}

static enum lsm_err open_existing(struct env_mem *env, struct env_dir *dir,
                                  const char *name, struct mem_file **file_out)
{
	struct mem_entry *entry = *find(dir, name);

	if (entry == NULL)
		return LSM_ERR_NOT_FOUND;
	if (entry->inode->is_dir)
		return LSM_ERR_IO;
	return make_file_handle(env, dir, name, entry->inode, file_out);
}

static enum lsm_err create_file(struct env_mem *env, struct env_dir *dir,
                                const char *name, struct mem_file **file_out)
{
	struct mem_inode *inode;
	enum lsm_err err;

	err = make_named(env, dir, name, false, &inode);
	if (err != LSM_OK)
		return err;
	err = make_file_handle(env, dir, name, inode, file_out);
	if (err != LSM_OK)
		remove_name(env, find(dir, name));
	else
		(*file_out)->writable = true;
	return err;
}

static enum lsm_err mem_open(struct env_dir *dir, const char *name,
                             enum env_open_mode mode,
                             struct env_file **file_out)
{
	struct env_mem *env = mem_enter(dir->env);
	struct mem_file *file = NULL;
	enum lsm_err err;

	err = mode == ENV_READ ? open_existing(env, dir, name, &file)
	                       : create_file(env, dir, name, &file);
	if (err == LSM_OK)
		*file_out = &file->base;
	return mem_leave(env, err, mode == ENV_READ ? "open" : "create",
	                 to_dir(dir)->path, name);
}

static void free_file(struct env_mem *env, struct mem_file *file)
{
	struct mem_inode *inode = file->inode;

	if (file->lock == MEM_LOCK_EXCLUSIVE)
		inode->exclusive_lock = false;
	else if (file->lock == MEM_LOCK_SHARED)
		inode->shared_locks--;
	inode->handles--;
	env->open_handles--;
	mem_inode_settle(env, inode);
	free(file);
}

static enum lsm_err take_lock(struct mem_file *file, bool shared)
{
	struct mem_inode *inode = file->inode;

	if (inode->exclusive_lock || (!shared && inode->shared_locks > 0))
		return LSM_ERR_BUSY;
	if (shared)
		inode->shared_locks++;
	else
		inode->exclusive_lock = true;
	file->lock = shared ? MEM_LOCK_SHARED : MEM_LOCK_EXCLUSIVE;
	return LSM_OK;
}

static enum lsm_err mem_dir_lock(struct env_dir *dir, const char *name,
                                 bool shared, struct env_file **lock_out)
{
	struct env_mem *env = mem_enter(dir->env);
	struct mem_file *file = NULL;
	enum lsm_err err;

	err = open_existing(env, dir, name, &file);
	if (err == LSM_ERR_NOT_FOUND && !shared)
		err = create_file(env, dir, name, &file);
	if (err == LSM_OK) {
		err = take_lock(file, shared);
		if (err == LSM_OK)
			*lock_out = &file->base;
		else
			free_file(env, file);
	}
	return mem_leave(env, err, "lock", to_dir(dir)->path, name);
}

static enum lsm_err mem_close(struct env_file *file)
{
	struct env_mem *env = mem_enter(file->env);

	free_file(env, to_file(file));
	sync_unlock(&env->mu);
	return LSM_OK;
}

/* ---- names ------------------------------------------------------------ */

static enum lsm_err mem_unlink(struct env_dir *dir, const char *name)
{
	struct env_mem *env = mem_enter(dir->env);
	struct mem_entry **at = find(dir, name);
	enum lsm_err err = LSM_OK;

	if (*at == NULL)
		err = LSM_ERR_NOT_FOUND;
	else if ((*at)->inode->is_dir)
		err = LSM_ERR_IO;
	else
		remove_name(env, at);
	return mem_leave(env, err, "remove", to_dir(dir)->path, name);
}

static enum lsm_err mem_rmdir(struct env_dir *dir, const char *name)
{
	struct env_mem *env = mem_enter(dir->env);
	struct mem_entry **at = find(dir, name);
	enum lsm_err err = LSM_OK;

	if (*at == NULL)
		err = LSM_ERR_NOT_FOUND;
	else if (!(*at)->inode->is_dir)
		err = LSM_ERR_IO;
	else if ((*at)->inode->entries != NULL)
		err = LSM_ERR_EXISTS;
	else
		remove_name(env, at);
	return mem_leave(env, err, "remove folder", to_dir(dir)->path, name);
}

static enum lsm_err rename_entry(struct env_mem *env, struct env_dir *from,
                                 const char *from_name, struct env_dir *to,
                                 const char *to_name, bool no_replace)
{
	struct mem_entry *source = *find(from, from_name);
	struct mem_entry **target = find(to, to_name);
	struct mem_inode *moved;
	enum lsm_err err;

	if (source == NULL)
		return LSM_ERR_NOT_FOUND;
	moved = source->inode;
	if (*target != NULL) {
		if (no_replace || moved->is_dir || (*target)->inode->is_dir)
			return LSM_ERR_EXISTS;
		if ((*target)->inode == moved)
			return LSM_OK; /* POSIX: two links of one file stay */
	}
	err = add_name(to, to_name, moved);
	if (err != LSM_OK)
		return err;
	/* The new entry is at the head; what it replaces comes after it. */
	target = mem_entry_find(&to_dir(to)->inode->entries->next, to_name);
	if (*target != NULL)
		remove_name(env, target);
	remove_name(env, find(from, from_name));
	return LSM_OK;
}

static enum lsm_err mem_rename(struct env_dir *from, const char *from_name,
                               struct env_dir *to, const char *to_name,
                               bool no_replace)
{
	struct env_mem *env = mem_enter(from->env);
	enum lsm_err err;

	err = rename_entry(env, from, from_name, to, to_name, no_replace);
	return mem_leave(env, err, "rename to that name", to_dir(to)->path,
	                 to_name);
}

static enum lsm_err link_entry(struct env_dir *from, const char *from_name,
                               struct env_dir *to, const char *to_name)
{
	struct mem_entry *source = *find(from, from_name);

	if (source == NULL)
		return LSM_ERR_NOT_FOUND;
	if (*find(to, to_name) != NULL)
		return LSM_ERR_EXISTS;
	if (source->inode->is_dir)
		return LSM_ERR_IO;
	return add_name(to, to_name, source->inode);
}

static enum lsm_err mem_link(struct env_dir *from, const char *from_name,
                             struct env_dir *to, const char *to_name)
{
	struct env_mem *env = mem_enter(from->env);
	enum lsm_err err = link_entry(from, from_name, to, to_name);

	return mem_leave(env, err, "link", to_dir(to)->path, to_name);
}

/* No extents to share here: callers copy. */
static enum lsm_err mem_reflink(struct env_dir *from, const char *from_name,
                                struct env_dir *to, const char *to_name)
{
	(void)from;
	(void)from_name;
	(void)to;
	(void)to_name;
	return LSM_ERR_NOT_SUPPORTED;
}

/* ---- what needs no file ------------------------------------------------ */

static enum lsm_err mem_random_bytes(const struct env *base, void *data,
                                     size_t len)
{
	struct env_mem *env = mem_enter(base);
	uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(mem_random(&env->random_state) >> 32);
	sync_unlock(&env->mu);
	return LSM_OK;
}

static uint64_t mem_time_ns(const struct env *env)
{
	struct timespec now;

	(void)env;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)now.tv_nsec;
}

static void mem_io_stats(const struct env *base, struct env_io_stats *stats)
{
	struct env_mem *env = mem_enter(base);

	*stats = env->stats;
	sync_unlock(&env->mu);
}

static const struct env_ops mem_ops = {
    .dir_open = mem_dir_open,
    .dir_open_at = mem_dir_open_at,
    .dir_close = mem_dir_close,
    .dir_make = mem_dir_make,
    .dir_sync = mem_dir_sync,
    .dir_list = mem_dir_list,
    .dir_space = mem_dir_space,
    .dir_lock = mem_dir_lock,
    .unlink = mem_unlink,
    .rmdir = mem_rmdir,
    .rename = mem_rename,
    .link = mem_link,
    .reflink = mem_reflink,
    .open = mem_open,
    .close = mem_close,
    .size = mem_file_size,
    .read = mem_file_read,
    .write = mem_file_write,
    .sync = mem_file_sync,
    .write_behind = mem_file_write_behind,
    .preallocate = mem_file_preallocate,
    .map = mem_file_map,
    .map_store = mem_file_map_store,
    .unmap = mem_file_unmap,
    .seal = mem_file_seal,
    .drop_cache = mem_file_drop_cache,
    .random = mem_random_bytes,
    .time_ns = mem_time_ns,
    .io_stats = mem_io_stats,
};

enum lsm_err env_mem_create(struct env **env_out)
{
	/* Two stores of one process must not get the same identities. */
	static atomic_uint_fast64_t created;
	struct env_mem *env;
	enum lsm_err err;

	*env_out = NULL;
	err = mem_env_create(&mem_ops, atomic_fetch_add(&created, 1), &env);
	if (err == LSM_OK)
		*env_out = &env->base;
	return err;
}

void env_mem_set_free(struct env *base, uint64_t free_bytes)
{
	struct env_mem *env = mem_enter(base);

	env->free_bytes = free_bytes;
	sync_unlock(&env->mu);
}
