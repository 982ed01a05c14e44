/* SPDX-License-Identifier: MIT */
#include "io/env.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum {
	TMP_NAME_MAX_BYTES = 256,
	COPY_STEP_BYTES = 1 << 20,
	TREE_DEPTH_MAX = 16, /* a store is three folders deep */
};

enum lsm_err env_dir_open(const struct env *env, const char *path,
                          struct env_dir **dir_out)
{
	*dir_out = NULL;
	return env->ops->dir_open(env, path, dir_out);
}

enum lsm_err env_dir_open_at(struct env_dir *parent, const char *name,
                             struct env_dir **dir_out)
{
	*dir_out = NULL;
	return parent->env->ops->dir_open_at(parent, name, dir_out);
}

void env_dir_close(struct env_dir *dir)
{
	if (dir != NULL)
		dir->env->ops->dir_close(dir);
}

enum lsm_err env_dir_make(struct env_dir *parent, const char *name)
{
	return parent->env->ops->dir_make(parent, name);
}

enum lsm_err env_dir_sync(struct env_dir *dir)
{
	return dir->env->ops->dir_sync(dir);
}

enum lsm_err env_dir_list(struct env_dir *dir,
                          enum lsm_err (*each)(void *ctx, const char *name),
                          void *ctx)
{
	return dir->env->ops->dir_list(dir, each, ctx);
}

enum lsm_err env_dir_space(struct env_dir *dir, uint64_t *total_out,
                           uint64_t *free_out)
{
	*total_out = 0;
	*free_out = 0;
	return dir->env->ops->dir_space(dir, total_out, free_out);
}

enum lsm_err env_dir_lock(struct env_dir *dir, const char *name, bool shared,
                          struct env_file **lock_out)
{
	*lock_out = NULL;
	return dir->env->ops->dir_lock(dir, name, shared, lock_out);
}

enum lsm_err env_unlink(struct env_dir *dir, const char *name)
{
	return dir->env->ops->unlink(dir, name);
}

enum lsm_err env_rmdir(struct env_dir *dir, const char *name)
{
	return dir->env->ops->rmdir(dir, name);
}

enum lsm_err env_rename(struct env_dir *from, const char *from_name,
                        struct env_dir *to, const char *to_name,
                        bool no_replace)
{
	assert(from->env == to->env);
	return from->env->ops->rename(from, from_name, to, to_name, no_replace);
}

enum lsm_err env_link(struct env_dir *from, const char *from_name,
                      struct env_dir *to, const char *to_name)
{
	assert(from->env == to->env);
	return from->env->ops->link(from, from_name, to, to_name);
}

enum lsm_err env_reflink(struct env_dir *from, const char *from_name,
                         struct env_dir *to, const char *to_name)
{
	assert(from->env == to->env);
	return from->env->ops->reflink(from, from_name, to, to_name);
}

enum lsm_err env_open(struct env_dir *dir, const char *name,
                      enum env_open_mode mode, struct env_file **file_out)
{
	*file_out = NULL;
	return dir->env->ops->open(dir, name, mode, file_out);
}

enum lsm_err env_close(struct env_file *file)
{
	if (file == NULL)
		return LSM_OK;
	return file->env->ops->close(file);
}

enum lsm_err env_size(struct env_file *file, uint64_t *size_out)
{
	*size_out = 0;
	return file->env->ops->size(file, size_out);
}

enum lsm_err env_read(struct env_file *file, uint64_t offset, void *data,
                      size_t len, size_t *got_out)
{
	*got_out = 0;
	return file->env->ops->read(file, offset, data, len, got_out);
}

enum lsm_err env_write(struct env_file *file, uint64_t offset, const void *data,
                       size_t len)
{
	return file->env->ops->write(file, offset, data, len);
}

enum lsm_err env_sync(struct env_file *file)
{
	return file->env->ops->sync(file);
}

void env_write_behind(struct env_file *file, uint64_t offset, uint64_t len)
{
	file->env->ops->write_behind(file, offset, len);
}

enum lsm_err env_preallocate(struct env_file *file, uint64_t offset,
                             uint64_t len)
{
	return file->env->ops->preallocate(file, offset, len);
}

enum lsm_err env_map(struct env_file *file, uint64_t offset, uint64_t len,
                     struct env_map **map_out)
{
	*map_out = NULL;
	return file->env->ops->map(file, offset, len, map_out);
}

enum lsm_err env_map_store(struct env_map *map, uint64_t offset,
                           const void *data, size_t len)
{
	return map->env->ops->map_store(map, offset, data, len);
}

void env_unmap(struct env_map *map)
{
	if (map != NULL)
		map->env->ops->unmap(map);
}

enum lsm_err env_seal(struct env_file *file)
{
	return file->env->ops->seal(file);
}

void env_drop_cache(struct env_file *file)
{
	file->env->ops->drop_cache(file);
}

enum lsm_err env_random(const struct env *env, void *data, size_t len)
{
	return env->ops->random(env, data, len);
}

uint64_t env_time_ns(const struct env *env)
{
	return env->ops->time_ns(env);
}

void env_io_stats(const struct env *env, struct env_io_stats *stats)
{
	env->ops->io_stats(env, stats);
}

enum lsm_err env_read_file(struct env_dir *dir, const char *name,
                           size_t limit_bytes, struct buf *out)
{
	struct env_file *file = NULL;
	uint64_t size;
	size_t got;
	enum lsm_err err;

	buf_clear(out);
	err = env_open(dir, name, ENV_READ, &file);
	if (err != LSM_OK)
		goto out;
	err = env_size(file, &size);
	if (err != LSM_OK)
		goto out;
	if (size > limit_bytes) {
		log_error("%s: %" PRIu64 " bytes, expected at most %zu", name,
		          size, limit_bytes);
		err = LSM_ERR_CORRUPT;
		goto out;
	}
	err = buf_resize(out, (size_t)size);
	if (err != LSM_OK)
		goto out;
	err = env_read(file, 0, out->data, out->len, &got);
	if (err != LSM_OK)
		goto out;
	out->len = got;
out:
	if (err != LSM_OK)
		buf_clear(out);
	env_close(file); /* only read: nothing to lose */
	return err;
}

/* Make a file that holds `contents`, synced; none is left after an error. */
enum lsm_err env_write_file(struct env_dir *dir, const char *name,
                            struct slice contents, bool sync)
{
	struct env_file *file = NULL;
	enum lsm_err err, close_err;

	err = env_open(dir, name, ENV_CREATE, &file);
	if (err != LSM_OK)
		return err;
	err = env_write(file, 0, contents.data, contents.len);
	if (err == LSM_OK && sync)
		err = env_sync(file);
	close_err = env_close(file);
	if (err == LSM_OK)
		err = close_err;
	if (err != LSM_OK) {
		/* What stays behind is overwritten by the next attempt. */
		close_err = env_unlink(dir, name);
		(void)close_err;
	}
	return err;
}

enum lsm_err env_sync_file(struct env_dir *dir, const char *name)
{
	struct env_file *file = NULL;
	enum lsm_err err = env_open(dir, name, ENV_READ, &file);

	if (err != LSM_OK)
		return err;
	err = env_sync(file);
	env_close(file);
	return err;
}

enum lsm_err env_publish(struct env_dir *dir, const char *name,
                         struct slice contents)
{
	char tmp[TMP_NAME_MAX_BYTES];
	enum lsm_err err, clean_err;
	int len;

	len = snprintf(tmp, sizeof(tmp), "%s.tmp", name);
	if (len < 0 || (size_t)len >= sizeof(tmp)) {
		log_error("%s: name is too long to publish", name);
		return LSM_ERR_TOO_BIG;
	}

	/* A crash may have left one. */
	err = env_unlink(dir, tmp);
	if (err != LSM_OK && err != LSM_ERR_NOT_FOUND)
		return err;
	err = env_write_file(dir, tmp, contents, true);
	if (err != LSM_OK)
		return err;
	err = env_rename(dir, tmp, dir, name, false);
	if (err != LSM_OK) {
		clean_err = env_unlink(dir, tmp);
		(void)clean_err; /* the next publish removes it */
		return err;
	}
	return env_dir_sync(dir);
}

static enum lsm_err copy_bytes(struct env_file *from, struct env_file *to)
{
	uint64_t offset = 0;
	uint8_t *step;
	size_t got;
	enum lsm_err err;

	step = malloc(COPY_STEP_BYTES);
	if (step == NULL)
		return LSM_ERR_NOMEM;
	do {
		err = env_read(from, offset, step, COPY_STEP_BYTES, &got);
		if (err == LSM_OK && got > 0)
			err = env_write(to, offset, step, got);
		offset += got;
	} while (err == LSM_OK && got == COPY_STEP_BYTES);
	free(step);
	return err;
}

enum lsm_err env_copy_file(struct env_dir *from, const char *from_name,
                           struct env_dir *to, const char *to_name)
{
	struct env_file *source = NULL, *copy = NULL;
	enum lsm_err err, late_err;

	err = env_open(from, from_name, ENV_READ, &source);
	if (err != LSM_OK)
		goto out;
	err = env_open(to, to_name, ENV_CREATE, &copy);
	if (err != LSM_OK)
		goto out;
	err = copy_bytes(source, copy);
	if (err == LSM_OK)
		err = env_sync(copy);
	late_err = env_close(copy);
	if (err == LSM_OK)
		err = late_err;
	if (err != LSM_OK) {
		late_err = env_unlink(to, to_name);
		(void)late_err; /* the first error is the one to tell */
	}
out:
	env_close(source); /* only read: nothing to lose */
	return err;
}

/* Append the name with its NUL. */
static enum lsm_err collect_name(void *ctx, const char *name)
{
	return buf_append(ctx, name, strlen(name) + 1);
}

static enum lsm_err remove_below(struct env_dir *parent, const char *name,
                                 unsigned depth);

/* Names are collected first: what a listing shows of entries that are removed
   meanwhile differs between filesystems. */
static enum lsm_err empty_folder(struct env_dir *dir, unsigned depth)
{
	struct buf names = BUF_INIT;
	const char *name;
	size_t at = 0;
	enum lsm_err err;

	err = env_dir_list(dir, collect_name, &names);
	while (err == LSM_OK && at < names.len) {
		name = (const char *)names.data + at;
		err = remove_below(dir, name, depth);
		at += strlen(name) + 1;
	}
	buf_release(&names);
	return err;
}

/* Remove a file or a folder; what is missing is no error. */
static enum lsm_err remove_below(struct env_dir *parent, const char *name,
                                 unsigned depth)
{
	struct env_dir *dir = NULL;
	enum lsm_err err;

	if (depth == TREE_DEPTH_MAX) {
		log_error("%s: more than %d folders deep", name,
		          TREE_DEPTH_MAX);
		return LSM_ERR_TOO_BIG;
	}
	err = env_dir_open_at(parent, name, &dir);
	if (err == LSM_ERR_NOT_FOUND) {
		/* Not a folder, if it is anything. */
		err = env_unlink(parent, name);
		return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
	}
	if (err != LSM_OK)
		return err;
	err = empty_folder(dir, depth + 1);
	env_dir_close(dir);
	if (err == LSM_OK)
		err = env_rmdir(parent, name);
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

enum lsm_err env_remove_tree(struct env_dir *parent, const char *name)
{
	return remove_below(parent, name, 0);
}
