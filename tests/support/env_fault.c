/* SPDX-License-Identifier: MIT */
#include "tests/support/env_fault.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct env_fault {
	struct env base;         /* constant */
	const struct env *inner; /* constant */

	/* Set while no other thread is in the env. */
	uint64_t fail_at;
	enum lsm_err fail_err;
	bool fail_later;
	fault_hook_fn hook;
	void *hook_ctx;

	atomic_uint_fast64_t count; /* no other data hangs on it */
};

struct fault_dir {
	struct env_dir base;
	struct env_dir *inner;
	char label[];
};

struct fault_file {
	struct env_file base;
	struct env_file *inner;
	const char *name; /* in `label`, behind the folder's */
	char label[];
};

struct fault_map {
	struct env_map base;
	struct env_map *inner;
	struct fault_file *file;
};

static struct env_fault *to_env(const struct env *env)
{
	return (struct env_fault *)env;
}

static struct fault_dir *to_dir(struct env_dir *dir)
{
	return (struct fault_dir *)dir;
}

static struct fault_file *to_file(struct env_file *file)
{
	return (struct fault_file *)file;
}

const char *fault_op_name(enum fault_op op)
{
	static const char *const names[FAULT_OPS] = {
	    [FAULT_DIR_OPEN] = "dir_open",
	    [FAULT_DIR_MAKE] = "dir_make",
	    [FAULT_DIR_SYNC] = "dir_sync",
	    [FAULT_DIR_LIST] = "dir_list",
	    [FAULT_DIR_SPACE] = "dir_space",
	    [FAULT_DIR_LOCK] = "dir_lock",
	    [FAULT_UNLINK] = "unlink",
	    [FAULT_RMDIR] = "rmdir",
	    [FAULT_RENAME] = "rename",
	    [FAULT_LINK] = "link",
	    [FAULT_REFLINK] = "reflink",
	    [FAULT_OPEN] = "open",
	    [FAULT_CREATE] = "create",
	    [FAULT_CLOSE] = "close",
	    [FAULT_SIZE] = "size",
	    [FAULT_READ] = "read",
	    [FAULT_WRITE] = "write",
	    [FAULT_SYNC] = "sync",
	    [FAULT_PREALLOCATE] = "preallocate",
	    [FAULT_MAP] = "map",
	    [FAULT_STORE] = "store",
	    [FAULT_SEAL] = "seal",
	    [FAULT_RANDOM] = "random",
	};

	return op < FAULT_OPS ? names[op] : "unknown";
}

/* Count and show one operation; what it says is to be done. */
static struct fault_answer ask(struct env_fault *env, struct fault_call call)
{
	struct fault_answer answer = {LSM_OK, false};

	call.number = atomic_fetch_add(&env->count, 1) + 1;
	if (env->hook != NULL)
		answer = env->hook(env->hook_ctx, &call);
	assert(!answer.skip || call.op == FAULT_SYNC ||
	       call.op == FAULT_DIR_SYNC);
	if (answer.err == LSM_OK && env->fail_at != 0 &&
	    (call.number == env->fail_at ||
	     (env->fail_later && call.number > env->fail_at)))
		answer.err = env->fail_err;
	return answer;
}

static struct fault_answer ask_dir(struct env_dir *dir, enum fault_op op,
                                   const char *name, const char *from_name)
{
	struct fault_call call = {op, 0, to_dir(dir)->label, name, from_name};

	return ask(to_env(dir->env), call);
}

static struct fault_answer ask_file(struct env_file *file, enum fault_op op)
{
	struct fault_file *f = to_file(file);
	struct fault_call call = {op, 0, f->label, f->name, ""};

	return ask(to_env(file->env), call);
}

/* ---- folders ---------------------------------------------------------- */

/* Wrap an inner folder, which is closed when there is no memory for it. */
static enum lsm_err wrap_dir(const struct env *env, struct env_dir *inner,
                             const char *label, size_t label_len,
                             struct env_dir **dir_out)
{
	struct fault_dir *dir = malloc(sizeof(*dir) + label_len + 1);

	if (dir == NULL) {
		env_dir_close(inner);
		return LSM_ERR_NOMEM;
	}
	dir->base.env = env;
	dir->inner = inner;
	memcpy(dir->label, label, label_len);
	dir->label[label_len] = '\0';
	*dir_out = &dir->base;
	return LSM_OK;
}

/* The last component of a path, without slashes behind it. */
static const char *last_part(const char *path, size_t *len_out)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	if (start == end)
		start = 0; /* "/" */
	*len_out = end - start;
	return path + start;
}

static enum lsm_err fault_dir_open(const struct env *env, const char *path,
                                   struct env_dir **dir_out)
{
	struct fault_call call = {FAULT_DIR_OPEN, 0, "", path, ""};
	struct env_dir *inner;
	const char *label;
	size_t label_len;
	enum lsm_err err;

	err = ask(to_env(env), call).err;
	if (err == LSM_OK)
		err = env_dir_open(to_env(env)->inner, path, &inner);
	if (err != LSM_OK)
		return err;
	label = last_part(path, &label_len);
	return wrap_dir(env, inner, label, label_len, dir_out);
}

static enum lsm_err fault_dir_open_at(struct env_dir *parent, const char *name,
                                      struct env_dir **dir_out)
{
	struct env_dir *inner;
	enum lsm_err err = ask_dir(parent, FAULT_DIR_OPEN, name, "").err;

	if (err == LSM_OK)
		err = env_dir_open_at(to_dir(parent)->inner, name, &inner);
	if (err != LSM_OK)
		return err;
	return wrap_dir(parent->env, inner, name, strlen(name), dir_out);
}

static void fault_dir_close(struct env_dir *dir)
{
	env_dir_close(to_dir(dir)->inner);
	free(dir);
}

static enum lsm_err fault_dir_make(struct env_dir *parent, const char *name)
{
	enum lsm_err err = ask_dir(parent, FAULT_DIR_MAKE, name, "").err;

	return err != LSM_OK ? err : env_dir_make(to_dir(parent)->inner, name);
}

static enum lsm_err fault_dir_sync(struct env_dir *dir)
{
	struct fault_answer answer = ask_dir(dir, FAULT_DIR_SYNC, "", "");

	if (answer.err != LSM_OK || answer.skip)
		return answer.err;
	return env_dir_sync(to_dir(dir)->inner);
}

static enum lsm_err
fault_dir_list(struct env_dir *dir,
               enum lsm_err (*each)(void *ctx, const char *name), void *ctx)
{
	enum lsm_err err = ask_dir(dir, FAULT_DIR_LIST, "", "").err;

	return err != LSM_OK ? err
	                     : env_dir_list(to_dir(dir)->inner, each, ctx);
}

static enum lsm_err fault_dir_space(struct env_dir *dir, uint64_t *total_out,
                                    uint64_t *free_out)
{
	enum lsm_err err = ask_dir(dir, FAULT_DIR_SPACE, "", "").err;

	if (err != LSM_OK)
		return err;
	return env_dir_space(to_dir(dir)->inner, total_out, free_out);
}

/* ---- files ------------------------------------------------------------ */

/* Wrap an inner file, which is closed when there is no memory for it. */
static enum lsm_err wrap_file(struct env_dir *dir, const char *name,
                              struct env_file *inner,
                              struct env_file **file_out)
{
	const char *label = to_dir(dir)->label;
	size_t label_bytes = strlen(label) + 1, name_bytes = strlen(name) + 1;
	struct fault_file *file;

	file = malloc(sizeof(*file) + label_bytes + name_bytes);
	if (file == NULL) {
		env_close(inner);
		return LSM_ERR_NOMEM;
	}
	file->base.env = dir->env;
	file->inner = inner;
	memcpy(file->label, label, label_bytes);
	memcpy(file->label + label_bytes, name, name_bytes);
	file->name = file->label + label_bytes;
	*file_out = &file->base;
	return LSM_OK;
}

static enum lsm_err fault_dir_lock(struct env_dir *dir, const char *name,
                                   bool shared, struct env_file **lock_out)
{
	struct env_file *inner;
	enum lsm_err err = ask_dir(dir, FAULT_DIR_LOCK, name, "").err;

	if (err == LSM_OK)
		err = env_dir_lock(to_dir(dir)->inner, name, shared, &inner);
	if (err != LSM_OK)
		return err;
	return wrap_file(dir, name, inner, lock_out);
}

static enum lsm_err fault_open(struct env_dir *dir, const char *name,
                               enum env_open_mode mode,
                               struct env_file **file_out)
{
	enum fault_op op = mode == ENV_READ ? FAULT_OPEN : FAULT_CREATE;
	struct env_file *inner;
	enum lsm_err err = ask_dir(dir, op, name, "").err;

	if (err == LSM_OK)
		err = env_open(to_dir(dir)->inner, name, mode, &inner);
	if (err != LSM_OK)
		return err;
	return wrap_file(dir, name, inner, file_out);
}

static enum lsm_err fault_close(struct env_file *file)
{
	enum lsm_err err = ask_file(file, FAULT_CLOSE).err;
	enum lsm_err inner_err = env_close(to_file(file)->inner);

	free(file);
	return err != LSM_OK ? err : inner_err;
}

static enum lsm_err fault_size(struct env_file *file, uint64_t *size_out)
{
	enum lsm_err err = ask_file(file, FAULT_SIZE).err;

	return err != LSM_OK ? err : env_size(to_file(file)->inner, size_out);
}

static enum lsm_err fault_read(struct env_file *file, uint64_t offset,
                               void *data, size_t len, size_t *got_out)
{
	enum lsm_err err = ask_file(file, FAULT_READ).err;

	if (err != LSM_OK)
		return err;
	return env_read(to_file(file)->inner, offset, data, len, got_out);
}

static enum lsm_err fault_write(struct env_file *file, uint64_t offset,
                                const void *data, size_t len)
{
	enum lsm_err err = ask_file(file, FAULT_WRITE).err;

	if (err != LSM_OK)
		return err;
	return env_write(to_file(file)->inner, offset, data, len);
}

static enum lsm_err fault_sync(struct env_file *file)
{
	struct fault_answer answer = ask_file(file, FAULT_SYNC);

	if (answer.err != LSM_OK || answer.skip)
		return answer.err;
	return env_sync(to_file(file)->inner);
}

static void fault_write_behind(struct env_file *file, uint64_t offset,
                               uint64_t len)
{
	env_write_behind(to_file(file)->inner, offset, len);
}

static enum lsm_err fault_preallocate(struct env_file *file, uint64_t offset,
                                      uint64_t len)
{
	enum lsm_err err = ask_file(file, FAULT_PREALLOCATE).err;

	if (err != LSM_OK)
		return err;
	return env_preallocate(to_file(file)->inner, offset, len);
}

static enum lsm_err fault_map(struct env_file *file, uint64_t offset,
                              uint64_t len, struct env_map **map_out)
{
	enum lsm_err err = ask_file(file, FAULT_MAP).err;
	struct fault_map *map;

	if (err != LSM_OK)
		return err;
	map = malloc(sizeof(*map));
	if (map == NULL)
		return LSM_ERR_NOMEM;
	err = env_map(to_file(file)->inner, offset, len, &map->inner);
	if (err != LSM_OK) {
		free(map);
		return err;
	}
	map->base.env = file->env;
	map->file = to_file(file);
	*map_out = &map->base;
	return LSM_OK;
}

static enum lsm_err fault_map_store(struct env_map *base, uint64_t offset,
                                    const void *data, size_t len)
{
	struct fault_map *map = (struct fault_map *)base;
	enum lsm_err err = ask_file(&map->file->base, FAULT_STORE).err;

	return err != LSM_OK ? err
	                     : env_map_store(map->inner, offset, data, len);
}

static void fault_unmap(struct env_map *base)
{
	struct fault_map *map = (struct fault_map *)base;

	env_unmap(map->inner);
	free(map);
}

static enum lsm_err fault_seal(struct env_file *file)
{
	enum lsm_err err = ask_file(file, FAULT_SEAL).err;

	return err != LSM_OK ? err : env_seal(to_file(file)->inner);
}

static void fault_drop_cache(struct env_file *file)
{
	env_drop_cache(to_file(file)->inner);
}

/* ---- names ------------------------------------------------------------ */

static enum lsm_err fault_unlink(struct env_dir *dir, const char *name)
{
	enum lsm_err err = ask_dir(dir, FAULT_UNLINK, name, "").err;

	return err != LSM_OK ? err : env_unlink(to_dir(dir)->inner, name);
}

static enum lsm_err fault_rmdir(struct env_dir *dir, const char *name)
{
	enum lsm_err err = ask_dir(dir, FAULT_RMDIR, name, "").err;

	return err != LSM_OK ? err : env_rmdir(to_dir(dir)->inner, name);
}

static enum lsm_err fault_rename(struct env_dir *from, const char *from_name,
                                 struct env_dir *to, const char *to_name,
                                 bool no_replace)
{
	enum lsm_err err = ask_dir(to, FAULT_RENAME, to_name, from_name).err;

	if (err != LSM_OK)
		return err;
	return env_rename(to_dir(from)->inner, from_name, to_dir(to)->inner,
	                  to_name, no_replace);
}

static enum lsm_err fault_link(struct env_dir *from, const char *from_name,
                               struct env_dir *to, const char *to_name)
{
	enum lsm_err err = ask_dir(to, FAULT_LINK, to_name, from_name).err;

	if (err != LSM_OK)
		return err;
	return env_link(to_dir(from)->inner, from_name, to_dir(to)->inner,
	                to_name);
}

static enum lsm_err fault_reflink(struct env_dir *from, const char *from_name,
                                  struct env_dir *to, const char *to_name)
{
	enum lsm_err err = ask_dir(to, FAULT_REFLINK, to_name, from_name).err;

	if (err != LSM_OK)
		return err;
	return env_reflink(to_dir(from)->inner, from_name, to_dir(to)->inner,
	                   to_name);
}

/* ---- what needs no file ------------------------------------------------ */

static enum lsm_err fault_random(const struct env *env, void *data, size_t len)
{
	struct fault_call call = {FAULT_RANDOM, 0, "", "", ""};
	enum lsm_err err = ask(to_env(env), call).err;

	return err != LSM_OK ? err : env_random(to_env(env)->inner, data, len);
}

static uint64_t fault_time_ns(const struct env *env)
{
	return env_time_ns(to_env(env)->inner);
}

static void fault_io_stats(const struct env *env, struct env_io_stats *stats)
{
	env_io_stats(to_env(env)->inner, stats);
}

static const struct env_ops fault_ops = {
    .dir_open = fault_dir_open,
    .dir_open_at = fault_dir_open_at,
    .dir_close = fault_dir_close,
    .dir_make = fault_dir_make,
    .dir_sync = fault_dir_sync,
    .dir_list = fault_dir_list,
    .dir_space = fault_dir_space,
    .dir_lock = fault_dir_lock,
    .unlink = fault_unlink,
    .rmdir = fault_rmdir,
    .rename = fault_rename,
    .link = fault_link,
    .reflink = fault_reflink,
    .open = fault_open,
    .close = fault_close,
    .size = fault_size,
    .read = fault_read,
    .write = fault_write,
    .sync = fault_sync,
    .write_behind = fault_write_behind,
    .preallocate = fault_preallocate,
    .map = fault_map,
    .map_store = fault_map_store,
    .unmap = fault_unmap,
    .seal = fault_seal,
    .drop_cache = fault_drop_cache,
    .random = fault_random,
    .time_ns = fault_time_ns,
    .io_stats = fault_io_stats,
};

enum lsm_err env_fault_create(const struct env *inner, struct env **env_out)
{
	struct env_fault *env = calloc(1, sizeof(*env));

	*env_out = NULL;
	if (env == NULL)
		return LSM_ERR_NOMEM;
	env->base.ops = &fault_ops;
	env->inner = inner;
	*env_out = &env->base;
	return LSM_OK;
}

void env_fault_destroy(struct env *env)
{
	free(env);
}

void env_fault_arm(struct env *base, uint64_t nth, enum lsm_err err,
                   bool and_later)
{
	struct env_fault *env = to_env(base);

	assert(nth == 0 || err != LSM_OK);
	env->fail_at = nth;
	env->fail_err = err;
	env->fail_later = and_later;
	atomic_store(&env->count, 0);
}

uint64_t env_fault_count(const struct env *env)
{
	return atomic_load(&to_env(env)->count);
}

void env_fault_set_hook(struct env *base, fault_hook_fn hook, void *ctx)
{
	struct env_fault *env = to_env(base);

	env->hook = hook;
	env->hook_ctx = ctx;
}
