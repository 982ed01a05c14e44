/* SPDX-License-Identifier: MIT */
#include "fs_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/chunk.h"

#define STORE "/store"

static void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "fs_kit: %s failed\n", what);
	exit(EXIT_FAILURE);
}

void kit_init(struct kit *kit)
{
	*kit = (struct kit){.hash_mask = UINT64_MAX};
	lsm_runtime_options_init(&kit->runtime_options);
	lsm_options_init(&kit->options);
	kit->op.uid = 1000;
	kit->op.gid = 100;
}

void kit_init_tiny(struct kit *kit)
{
	kit_init(kit);
	kit->runtime_options.credit_bytes = 1 << 20;
	kit->runtime_options.cache_bytes = 1 << 16;
	kit->runtime_options.period_ms = 10;
	kit->options.memtable_bytes = 1 << 16;
	kit->options.block_bytes = 512;
	kit->options.table_bytes = 1 << 15;
	kit->options.level_base_bytes = 1 << 17;
	kit->options.l0_trigger = 2;
	kit->options.log_step_bytes = 1 << 16;
}

void kit_open(struct kit *kit)
{
	must(fs_open(kit->runtime, STORE, &kit->options, &kit->fs) == 0,
	     "open");
	kit->fs->hash_mask = kit->hash_mask;
}

void kit_begin(struct kit *kit)
{
	must(env_mem_create(&kit->env) == LSM_OK, "env");
	must(lsm_runtime_create(&kit->runtime_options, &kit->runtime) == LSM_OK,
	     "runtime");
	kit->options.env = kit->env;
	must(fs_format(kit->env, STORE, 10, 20) == 0, "format");
	kit_open(kit);
}

void kit_close(struct kit *kit)
{
	must(fs_close(kit->fs) == 0, "close");
	kit->fs = NULL;
}

void kit_crash(struct kit *kit)
{
	/* The page cache of the host survives: every write that returned. */
	struct env_mem_crash all = {.keep_per_256 = 256};
	struct env *after = NULL;

	must(env_mem_after_crash(kit->env, &all, &after) == LSM_OK, "crash");
	kit_end(kit);
	kit->env = after;
	kit->options.env = after;
	must(lsm_runtime_create(&kit->runtime_options, &kit->runtime) == LSM_OK,
	     "runtime");
	kit_open(kit);
}

void kit_end(struct kit *kit)
{
	if (kit->fs != NULL)
		kit_close(kit);
	lsm_runtime_destroy(kit->runtime);
	env_mem_destroy(kit->env);
}

struct fault_count {
	const char *prefix;
	uint64_t count;
};

static void count_fault(void *ctx, const char *line)
{
	struct fault_count *count = ctx;

	fprintf(stderr, "fault: %s\n", line);
	if (strncmp(line, count->prefix, strlen(count->prefix)) == 0)
		count->count++;
}

uint64_t kit_faults(struct kit *kit, const char *prefix)
{
	struct fault_count count = {.prefix = prefix};
	uint64_t faults;

	must(fs_check(kit->fs, count_fault, &count, &faults) == 0, "check");
	return count.count;
}

uint64_t kit_file(struct kit *kit, uint64_t dir, const char *name)
{
	struct fs_attr attr = {0};

	if (fs_mknod(kit->fs, &kit->op, dir, slice_str(name), S_IFREG | 0644, 0,
	             &attr) != 0)
		return 0;
	return attr.ino;
}

uint64_t kit_dir(struct kit *kit, uint64_t dir, const char *name)
{
	struct fs_attr attr = {0};

	if (fs_mkdir(kit->fs, &kit->op, dir, slice_str(name), 0755, &attr) != 0)
		return 0;
	return attr.ino;
}

int kit_write(struct kit *kit, uint64_t ino, uint64_t offset, const void *data,
              size_t len)
{
	return fs_write(kit->fs, &kit->op, ino, offset, data, len);
}

int kit_fill(struct kit *kit, uint64_t ino, uint64_t offset, size_t len,
             int byte)
{
	void *data = malloc(len + 1);
	int err;

	must(data != NULL, "malloc");
	memset(data, byte, len);
	err = kit_write(kit, ino, offset, data, len);
	free(data);
	return err;
}

bool kit_is_all(struct kit *kit, uint64_t ino, uint64_t offset, size_t len,
                int byte)
{
	uint8_t *data = malloc(len + 1);
	size_t got = 0;
	bool same;

	must(data != NULL, "malloc");
	same =
	    fs_read(kit->fs, ino, offset, data, len, &got) == 0 && got == len;
	for (size_t i = 0; same && i < len; i++)
		same = data[i] == (uint8_t)byte;
	free(data);
	return same;
}

int kit_truncate(struct kit *kit, uint64_t ino, uint64_t size)
{
	struct fs_attr set = {.size = size};
	struct fs_attr attr;

	return fs_setattr(kit->fs, &kit->op, ino, FS_SET_SIZE, &set, &attr);
}

struct fs_attr kit_attr(struct kit *kit, uint64_t ino)
{
	struct fs_attr attr;

	if (fs_getattr(kit->fs, ino, &attr) != 0)
		memset(&attr, 0, sizeof(attr));
	return attr;
}

int kit_unlink(struct kit *kit, uint64_t dir, const char *name)
{
	struct fs_victim victim;
	int err;

	err = fs_unlink(kit->fs, &kit->op, dir, slice_str(name), &victim);
	if (err == 0 && victim.orphan)
		err = fs_reclaim(kit->fs, victim.ino);
	return err;
}

int kit_rename(struct kit *kit, uint64_t dir, const char *name,
               uint64_t new_dir, const char *new_name, unsigned flags)
{
	struct fs_victim victim;

	return fs_rename(kit->fs, &kit->op, dir, slice_str(name), new_dir,
	                 slice_str(new_name), flags, &victim);
}

int kit_lookup(struct kit *kit, uint64_t dir, const char *name,
               uint64_t *ino_out)
{
	struct fs_attr attr = {0};
	int err = fs_lookup(kit->fs, dir, slice_str(name), &attr);

	*ino_out = attr.ino;
	return err;
}

int64_t kit_counter(struct kit *kit, enum schema_counter counter)
{
	return lsm_counter(kit->fs->store, counter);
}

void kit_put_raw(struct kit *kit, const struct schema_key *key,
                 struct slice value)
{
	struct lsm_batch *batch = NULL;

	must(lsm_batch_create(&batch) == LSM_OK, "batch");
	must(lsm_batch_put(batch, schema_slice(key), value) == LSM_OK, "put");
	must(lsm_write(kit->fs->store, batch, NULL, NULL) == LSM_OK, "write");
	lsm_batch_destroy(batch);
}

void kit_delete_raw(struct kit *kit, const struct schema_key *key)
{
	struct lsm_batch *batch = NULL;

	must(lsm_batch_create(&batch) == LSM_OK, "batch");
	must(lsm_batch_delete(batch, schema_slice(key)) == LSM_OK, "delete");
	must(lsm_write(kit->fs->store, batch, NULL, NULL) == LSM_OK, "write");
	lsm_batch_destroy(batch);
}

void kit_save_raw(struct kit *kit, const struct inode *inode)
{
	uint8_t value[SCHEMA_INODE_BYTES];
	struct schema_key key;

	schema_inode_key(&key, inode->ino, SCHEMA_ATTR);
	schema_encode_inode(value, inode);
	kit_put_raw(kit, &key, slice_make(value, sizeof(value)));
}

bool kit_exists_raw(struct kit *kit, const struct schema_key *key)
{
	struct buf value = BUF_INIT;
	enum lsm_err err;

	err = lsm_get(kit->fs->store, NULL, schema_slice(key), &value);
	buf_release(&value);
	must(err == LSM_OK || err == LSM_ERR_NOT_FOUND, "get");
	return err == LSM_OK;
}
