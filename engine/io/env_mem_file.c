/* SPDX-License-Identifier: MIT */
/*
 * env_mem_file.c: the bytes of an open file of the in-memory env, with the
 * range of them that was not synced, and the room that they take.
 */
#include "io/env_mem.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

static struct mem_file *to_file(struct env_file *file)
{
	return (struct mem_file *)file;
}

struct env_mem *mem_enter(const struct env *base)
{
	struct env_mem *env = (struct env_mem *)base;

	sync_lock(&env->mu);
	return env;
}

enum lsm_err mem_leave(struct env_mem *env, enum lsm_err err, const char *what,
                       const char *path, const char *name)
{
	sync_unlock(&env->mu);
	if (err != LSM_OK && err != LSM_ERR_NOT_FOUND && err != LSM_ERR_EXISTS)
		log_error("%s%s%s: cannot %s: %s", path,
		          *name == '\0' ? "" : "/", name, what,
		          lsm_strerror(err));
	return err;
}

enum lsm_err mem_file_size(struct env_file *file, uint64_t *size_out)
{
	struct env_mem *env = mem_enter(file->env);

	*size_out = to_file(file)->inode->data.len;
	sync_unlock(&env->mu);
	return LSM_OK;
}

enum lsm_err mem_file_read(struct env_file *file, uint64_t offset, void *data,
                           size_t len, size_t *got_out)
{
	struct env_mem *env = mem_enter(file->env);
	const struct buf *bytes = &to_file(file)->inode->data;
	size_t got = 0;

	if (offset < bytes->len) {
		got = bytes->len - (size_t)offset;
		got = got < len ? got : len;
	}
	if (got > 0)
		memcpy(data, bytes->data + offset, got);
	env->stats.bytes_read += got;
	sync_unlock(&env->mu);
	*got_out = got;
	return LSM_OK;
}

/* Note that bytes changed which a power cut can take back. */
static void soil(struct mem_inode *inode, uint64_t start, uint64_t end)
{
	if (inode->dirty_start == inode->dirty_end) {
		inode->dirty_start = start;
		inode->dirty_end = end;
		return;
	}
	if (start < inode->dirty_start)
		inode->dirty_start = start;
	if (end > inode->dirty_end)
		inode->dirty_end = end;
}

/* Make the file reach `end`, or as far as there is room. */
static enum lsm_err grow(struct env_mem *env, struct mem_inode *inode,
                         uint64_t end)
{
	uint64_t more = end > inode->data.len ? end - inode->data.len : 0;
	bool is_full = more > env->free_bytes;
	enum lsm_err err;

	if (is_full)
		more = env->free_bytes;
	err = buf_resize(&inode->data, inode->data.len + (size_t)more);
	if (err != LSM_OK)
		return err;
	env->used_bytes += more;
	env->free_bytes -= more;
	return is_full ? LSM_ERR_NOSPACE : LSM_OK;
}

/* As a real disk does, a full one takes the first part of the bytes. */
static enum lsm_err put_bytes(struct env_mem *env, struct mem_inode *inode,
                              uint64_t offset, const void *data, size_t len)
{
	enum lsm_err err = grow(env, inode, offset + len);
	uint64_t end = offset + len;

	if (end > inode->data.len)
		end = inode->data.len;
	if (offset >= end)
		return err;
	memcpy(inode->data.data + offset, data, (size_t)(end - offset));
	soil(inode, offset, end);
	env->stats.bytes_written += end - offset;
	return err;
}

static enum lsm_err may_write(const struct mem_file *file)
{
	if (!file->writable)
		return LSM_ERR_IO;
	return file->inode->sealed ? LSM_ERR_ACCESS : LSM_OK;
}

enum lsm_err mem_file_write(struct env_file *file, uint64_t offset,
                            const void *data, size_t len)
{
	struct env_mem *env = mem_enter(file->env);
	struct mem_file *f = to_file(file);
	enum lsm_err err = may_write(f);

	if (err == LSM_OK && len > 0)
		err = put_bytes(env, f->inode, offset, data, len);
	return mem_leave(env, err, "write", f->path, "");
}

enum lsm_err mem_file_sync(struct env_file *file)
{
	struct env_mem *env = mem_enter(file->env);
	enum lsm_err err;

	env->stats.syncs++;
	err = mem_file_harden(to_file(file)->inode);
	return mem_leave(env, err, "sync", to_file(file)->path, "");
}

void mem_file_write_behind(struct env_file *file, uint64_t offset, uint64_t len)
{
	(void)file;
	(void)offset;
	(void)len;
}

enum lsm_err mem_file_preallocate(struct env_file *file, uint64_t offset,
                                  uint64_t len)
{
	struct env_mem *env = mem_enter(file->env);
	struct mem_file *f = to_file(file);
	enum lsm_err err = may_write(f);

	/* All or nothing, as fallocate. */
	if (err == LSM_OK && offset + len > f->inode->data.len &&
	    offset + len - f->inode->data.len > env->free_bytes)
		err = LSM_ERR_NOSPACE;
	if (err == LSM_OK)
		err = grow(env, f->inode, offset + len);
	return mem_leave(env, err, "reserve space", f->path, "");
}

enum lsm_err mem_file_map(struct env_file *file, uint64_t offset, uint64_t len,
                          struct env_map **map_out)
{
	struct env_mem *env = mem_enter(file->env);
	struct mem_file *f = to_file(file);
	struct mem_map *map = NULL;
	enum lsm_err err = may_write(f);

	if (err == LSM_OK) {
		assert(offset + len <= f->inode->data.len);
		map = malloc(sizeof(*map));
		err = map == NULL ? LSM_ERR_NOMEM : LSM_OK;
	}
	if (err == LSM_OK) {
		map->base.env = file->env;
		map->file = f;
		map->offset = offset;
		map->end = offset + len;
		f->inode->maps++;
		*map_out = &map->base;
	}
	return mem_leave(env, err, "map", f->path, "");
}

/* A power cut treats what was stored as it treats what was written: what was not
   synced may be gone, sector by sector. */
enum lsm_err mem_file_map_store(struct env_map *base, uint64_t offset,
                                const void *data, size_t len)
{
	struct env_mem *env = mem_enter(base->env);
	struct mem_map *map = (struct mem_map *)base;
	struct mem_inode *inode = map->file->inode;
	enum lsm_err err = LSM_OK;

	assert(len > 0 && offset >= map->offset && offset + len <= map->end);
	/* SIGBUS, where the file was cut. */
	if (offset + len > inode->data.len)
		err = LSM_ERR_IO;
	else
		err = put_bytes(env, inode, offset, data, len);
	return mem_leave(env, err, "store", map->file->path, "");
}

void mem_file_unmap(struct env_map *base)
{
	struct env_mem *env = mem_enter(base->env);
	struct mem_map *map = (struct mem_map *)base;

	map->file->inode->maps--;
	sync_unlock(&env->mu);
	free(map);
}

enum lsm_err mem_file_seal(struct env_file *file)
{
	struct env_mem *env = mem_enter(file->env);

	assert(to_file(file)->inode->maps == 0);
	to_file(file)->inode->sealed = true;
	sync_unlock(&env->mu);
	return LSM_OK;
}

void mem_file_drop_cache(struct env_file *file)
{
	(void)file;
}
