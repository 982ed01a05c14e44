/* SPDX-License-Identifier: MIT */
/*
 * env_mem_crash.c: inodes and entries of the in-memory env, and what a power
 * cut makes of them.
 *
 * A crash walks down from the root over the names that survive and copies what
 * it reaches; so what lies below a lost name is lost. A file is copied once,
 * however many names it has. A folder is given one name only: where an
 * unsynced rename survived as two, the one that is met first is it.
 */
#include "io/env_mem.h"

#include <assert.h>
#include <stdlib.h>

#define FREE_BYTES_DEFAULT (UINT64_C(1) << 40)

uint64_t mem_random(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* ---- inodes and entries -------------------------------------------------- */

enum lsm_err mem_inode_create(struct env_mem *env, bool is_dir,
                              struct mem_inode **inode_out)
{
	struct mem_inode *inode = calloc(1, sizeof(*inode));

	*inode_out = inode;
	if (inode == NULL)
		return LSM_ERR_NOMEM;
	inode->is_dir = is_dir;
	inode->next = env->inodes;
	if (env->inodes != NULL)
		env->inodes->prev = inode;
	env->inodes = inode;
	return LSM_OK;
}

static void free_entries(struct mem_entry *list)
{
	while (list != NULL) {
		struct mem_entry *next = list->next;

		free(list);
		list = next;
	}
}

static void inode_free(struct env_mem *env, struct mem_inode *inode)
{
	if (inode->prev != NULL)
		inode->prev->next = inode->next;
	else
		env->inodes = inode->next;
	if (inode->next != NULL)
		inode->next->prev = inode->prev;
	free_entries(inode->entries);
	free_entries(inode->durable_entries);
	buf_release(&inode->data);
	buf_release(&inode->durable);
	free(inode);
}

/* Drop durable entries, and what only they kept. */
static void release_durable(struct env_mem *env, struct mem_entry *list)
{
	for (struct mem_entry *entry = list; entry != NULL;
	     entry = entry->next) {
		entry->inode->durable_links--;
		mem_inode_settle(env, entry->inode);
	}
	free_entries(list);
}

void mem_inode_settle(struct env_mem *env, struct mem_inode *inode)
{
	struct mem_entry *durable;

	if (inode->links > 0 || inode->handles > 0)
		return;
	/* To whoever looks the file is gone, and so are the bytes it took; but
	   a power cut can bring it back. */
	if (!inode->gone) {
		env->used_bytes -= inode->data.len;
		env->free_bytes += inode->data.len;
		inode->gone = true;
	}
	if (inode->durable_links > 0)
		return;
	durable = inode->durable_entries;
	inode->durable_entries = NULL;
	inode_free(env, inode);
	release_durable(env, durable);
}

struct mem_entry **mem_entry_find(struct mem_entry **list, const char *name)
{
	while (*list != NULL && strcmp((*list)->name, name) != 0)
		list = &(*list)->next;
	return list;
}

enum lsm_err mem_entry_add(struct mem_entry **list, const char *name,
                           struct mem_inode *inode)
{
	size_t name_bytes = strlen(name) + 1;
	struct mem_entry *entry = malloc(sizeof(*entry) + name_bytes);

	if (entry == NULL)
		return LSM_ERR_NOMEM;
	memcpy(entry->name, name, name_bytes);
	entry->inode = inode;
	entry->next = *list;
	*list = entry;
	return LSM_OK;
}

enum lsm_err mem_dir_harden(struct env_mem *env, struct mem_inode *dir)
{
	struct mem_entry *durable = NULL, *old = dir->durable_entries;
	struct mem_entry *entry;
	enum lsm_err err;

	for (entry = dir->entries; entry != NULL; entry = entry->next) {
		err = mem_entry_add(&durable, entry->name, entry->inode);
		if (err != LSM_OK) {
			free_entries(durable);
			return err;
		}
	}
	for (entry = durable; entry != NULL; entry = entry->next)
		entry->inode->durable_links++;
	dir->durable_entries = durable;
	release_durable(env, old);
	return LSM_OK;
}

enum lsm_err mem_file_harden(struct mem_inode *file)
{
	size_t start = (size_t)file->dirty_start;
	enum lsm_err err;

	assert(file->dirty_end <= file->data.len);
	err = buf_resize(&file->durable, file->data.len);
	if (err != LSM_OK)
		return err;
	if (file->dirty_end > file->dirty_start)
		memcpy(file->durable.data + start, file->data.data + start,
		       (size_t)file->dirty_end - start);
	file->dirty_start = 0;
	file->dirty_end = 0;
	return LSM_OK;
}

/* ---- the env ------------------------------------------------------------ */

enum lsm_err mem_env_create(const struct env_ops *ops, uint64_t seed,
                            struct env_mem **env_out)
{
	struct env_mem *env = calloc(1, sizeof(*env));
	enum lsm_err err;

	*env_out = NULL;
	if (env == NULL)
		return LSM_ERR_NOMEM;
	env->base.ops = ops;
	err = mem_inode_create(env, true, &env->root);
	if (err != LSM_OK) {
		free(env);
		return err;
	}
	/* It needs no name. */
	env->root->links = 1;
	env->root->durable_links = 1;
	env->free_bytes = FREE_BYTES_DEFAULT;
	env->random_state = seed;
	sync_mutex_init(&env->mu, SYNC_RANK_ENV);
	*env_out = env;
	return LSM_OK;
}

void env_mem_destroy(struct env *base)
{
	struct env_mem *env = (struct env_mem *)base;

	if (env == NULL)
		return;
	assert(env->open_handles == 0);
	while (env->inodes != NULL)
		inode_free(env, env->inodes);
	sync_mutex_destroy(&env->mu);
	free(env);
}

/* ---- the power cut ------------------------------------------------------- */

struct crash {
	struct env_mem *to;
	unsigned keep_per_256;
	uint64_t random_state;
};

static bool is_kept(struct crash *crash)
{
	return mem_random(&crash->random_state) % 256 < crash->keep_per_256;
}

/* The size on disk: the new one, or any since the last sync. */
static uint64_t crash_size(struct crash *crash, const struct mem_inode *file)
{
	uint64_t grown = file->data.len - file->durable.len;

	if (is_kept(crash))
		return file->data.len;
	if (crash->keep_per_256 == 0)
		return file->durable.len;
	return file->durable.len +
	       mem_random(&crash->random_state) % (grown + 1);
}

static enum lsm_err crash_file(struct crash *crash,
                               const struct mem_inode *from,
                               struct mem_inode *to)
{
	uint64_t start = from->dirty_start / MEM_SECTOR_BYTES;
	uint64_t end, len;
	enum lsm_err err;

	err = buf_set(&to->data, buf_slice(&from->durable));
	if (err == LSM_OK)
		err = buf_resize(&to->data, (size_t)crash_size(crash, from));
	if (err != LSM_OK)
		return err;

	end = from->dirty_end < to->data.len ? from->dirty_end : to->data.len;
	for (uint64_t at = start * MEM_SECTOR_BYTES; at < end;
	     at += MEM_SECTOR_BYTES) {
		len = end - at < MEM_SECTOR_BYTES ? end - at : MEM_SECTOR_BYTES;
		if (is_kept(crash))
			memcpy(to->data.data + at, from->data.data + at,
			       (size_t)len);
	}
	to->sealed = from->sealed;
	crash->to->used_bytes += to->data.len;
	return buf_set(&to->durable, buf_slice(&to->data));
}

static enum lsm_err crash_dir(struct crash *crash, struct mem_inode *from,
                              struct mem_inode *to);

/* Give the copy of `from`, made here when this is its first name, a name. */
static enum lsm_err crash_name(struct crash *crash, struct mem_inode *from,
                               struct mem_inode *to_dir, const char *name)
{
	bool is_new = from->crash_copy == NULL;
	enum lsm_err err;

	if (from->is_dir && !is_new)
		return LSM_OK;
	if (is_new) {
		err = mem_inode_create(crash->to, from->is_dir,
		                       &from->crash_copy);
		if (err != LSM_OK)
			return err;
	}
	err = mem_entry_add(&to_dir->entries, name, from->crash_copy);
	if (err != LSM_OK)
		return err;
	from->crash_copy->links++;
	if (!is_new)
		return LSM_OK;
	if (from->is_dir)
		return crash_dir(crash, from, from->crash_copy);
	return crash_file(crash, from, from->crash_copy);
}

static struct mem_inode *inode_of(struct mem_entry *list, const char *name)
{
	struct mem_entry *entry = *mem_entry_find(&list, name);

	return entry == NULL ? NULL : entry->inode;
}

/* What survives of the names of one folder, and of all below. */
static enum lsm_err crash_dir(struct crash *crash, struct mem_inode *from,
                              struct mem_inode *to)
{
	struct mem_entry *entry;
	enum lsm_err err = LSM_OK;

	for (entry = from->entries; entry != NULL && err == LSM_OK;
	     entry = entry->next) {
		struct mem_inode *old =
		    inode_of(from->durable_entries, entry->name);
		struct mem_inode *kept = entry->inode;

		if (old != kept && !is_kept(crash))
			kept = old;
		if (kept != NULL)
			err = crash_name(crash, kept, to, entry->name);
	}
	for (entry = from->durable_entries; entry != NULL && err == LSM_OK;
	     entry = entry->next) {
		if (inode_of(from->entries, entry->name) != NULL)
			continue;    /* seen above */
		if (!is_kept(crash)) /* the removal */
			err = crash_name(crash, entry->inode, to, entry->name);
	}
	if (err == LSM_OK)
		err = mem_dir_harden(crash->to, to);
	return err;
}

enum lsm_err env_mem_after_crash(struct env *base,
                                 const struct env_mem_crash *how,
                                 struct env **env_out)
{
	struct env_mem *env = (struct env_mem *)base;
	struct crash crash = {NULL, how->keep_per_256, how->seed};
	uint64_t whole, random_state;
	enum lsm_err err;

	*env_out = NULL;
	sync_lock(&env->mu);
	/* Its random numbers are others, or identities would be met twice;
	   ours stay as if there had been no crash. */
	random_state = env->random_state;
	random_state = mem_random(&random_state) ^ how->seed;
	err = mem_env_create(env->base.ops, random_state, &crash.to);
	if (err != LSM_OK)
		goto out;
	for (struct mem_inode *i = env->inodes; i != NULL; i = i->next)
		i->crash_copy = NULL;
	env->root->crash_copy = crash.to->root;
	err = crash_dir(&crash, env->root, crash.to->root);
	if (err != LSM_OK)
		goto out;
	whole = env->used_bytes + env->free_bytes;
	crash.to->free_bytes =
	    whole > crash.to->used_bytes ? whole - crash.to->used_bytes : 0;
	*env_out = &crash.to->base;
	crash.to = NULL;
out:
	sync_unlock(&env->mu);
	if (crash.to != NULL)
		env_mem_destroy(&crash.to->base);
	return err;
}
