/* SPDX-License-Identifier: MIT */
/*
 * damage.c: damage a store that nobody has open.
 *
 * Bytes, with nothing else changed:
 *   damage flip FILE OFFSET       a bit of one byte; from the end if negative
 *   damage newer STORE            the superblock of a format yet to come
 *   damage reading STORE          one with a feature that allows reading only
 *
 * The filesystem, by way of the engine, so that every checksum is right:
 *   damage inode STORE NAME       NAME, in the root, has lost its inode
 *   damage name STORE NAME        the inode has lost its only name
 *   damage links STORE NAME       its link count is one too many
 *   damage orphan STORE NAME      an orphan is recorded that does not exist
 *   damage recorded STORE NAME    it is recorded as an orphan, but has a name
 *   damage size STORE NAME        its size is a MiB more than it has
 *   damage counter STORE NAME     the bytes in use are miscounted
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/coding.h"
#include "fs/fs.h"
#include "fs/schema.h"

enum {
	SUPERBLOCK_BYTES = 512,
	AT_VERSION = 8,
	AT_RO_COMPAT = 24,
	AT_CHECKSUM = 504,
};

static void need(bool done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "damage: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void need_ok(enum lsm_err err, const char *what)
{
	if (err == LSM_OK)
		return;
	fprintf(stderr, "damage: %s: %s\n", what, lsm_strerror(err));
	exit(1);
}

/* ---- bytes
 * --------------------------------------------------------------------- */

/* Sealed files are read-only. */
static int open_anyhow(const char *path)
{
	int fd;

	need(chmod(path, 0600) == 0, path);
	fd = open(path, O_RDWR);
	need(fd >= 0, path);
	return fd;
}

static void flip(const char *path, off_t offset)
{
	int fd = open_anyhow(path);
	struct stat st;
	uint8_t byte;

	need(fstat(fd, &st) == 0, path);
	if (offset < 0)
		offset += st.st_size;
	need(pread(fd, &byte, 1, offset) == 1, path);
	byte ^= 0x40;
	need(pwrite(fd, &byte, 1, offset) == 1, path);
	need(close(fd) == 0, path);
}

static void change_superblock(const char *store, unsigned version,
                              uint64_t ro_compat)
{
	uint8_t bytes[SUPERBLOCK_BYTES];
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/SHALEFS", store);
	fd = open_anyhow(path);
	need(pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes), path);
	put_u32(bytes + AT_VERSION, version);
	put_u64(bytes + AT_RO_COMPAT, ro_compat);
	put_u64(bytes + AT_CHECKSUM,
	        checksum_seeded(slice_make(bytes, AT_CHECKSUM), 0));
	need(pwrite(fd, bytes, sizeof(bytes), 0) == sizeof(bytes), path);
	need(close(fd) == 0, path);
}

/* ---- the filesystem
 * --------------------------------------------------------------- */

struct victim {
	struct lsm *store;
	struct lsm_batch *batch;
	struct schema_key dirent;
	struct inode inode;
};

static void find(struct victim *victim, struct fs *fs, const char *name)
{
	struct slice bytes = slice_make((const uint8_t *)name, strlen(name));
	struct buf value = BUF_INIT;
	struct schema_owner owner;
	struct schema_key key;
	struct fs_attr attr;

	errno = fs_lookup(fs, FS_ROOT_INO, bytes, &attr);
	need(errno == 0, name);
	need_ok(schema_decode_owner(lsm_owner_area(victim->store), &owner),
	        "owner area");
	schema_dirent_key(&victim->dirent, FS_ROOT_INO,
	                  schema_cookie(owner.secret, UINT64_MAX, bytes));
	schema_inode_key(&key, attr.ino, SCHEMA_ATTR);
	need_ok(lsm_get(victim->store, NULL, schema_slice(&key), &value),
	        "inode");
	need_ok(
	    schema_decode_inode(buf_slice(&value), attr.ino, &victim->inode),
	    "inode");
	buf_release(&value);
}

static void put_inode(struct victim *victim)
{
	uint8_t bytes[SCHEMA_INODE_BYTES];
	struct schema_key key;

	schema_encode_inode(bytes, &victim->inode);
	schema_inode_key(&key, victim->inode.ino, SCHEMA_ATTR);
	need_ok(lsm_batch_put(victim->batch, schema_slice(&key),
	                      slice_make(bytes, sizeof(bytes))),
	        "put");
}

static void put_orphan(struct victim *victim, uint64_t ino)
{
	struct schema_key key;

	schema_orphan_key(&key, ino);
	need_ok(lsm_batch_put(victim->batch, schema_slice(&key),
	                      slice_make((const uint8_t *)"", 0)),
	        "put");
}

static void drop_inode(struct victim *victim)
{
	struct schema_key key;

	schema_inode_key(&key, victim->inode.ino, SCHEMA_ATTR);
	need_ok(lsm_batch_delete(victim->batch, schema_slice(&key)), "delete");
}

static bool fill_batch(struct victim *victim, const char *what)
{
	if (strcmp(what, "inode") == 0) {
		drop_inode(victim);
	} else if (strcmp(what, "name") == 0) {
		need_ok(lsm_batch_delete(victim->batch,
		                         schema_slice(&victim->dirent)),
		        "delete");
	} else if (strcmp(what, "links") == 0) {
		victim->inode.nlink++;
		put_inode(victim);
	} else if (strcmp(what, "orphan") == 0) {
		put_orphan(victim, 4711);
	} else if (strcmp(what, "recorded") == 0) {
		put_orphan(victim, victim->inode.ino);
	} else if (strcmp(what, "size") == 0) {
		victim->inode.size += 1 << 20;
		put_inode(victim);
	} else if (strcmp(what, "counter") == 0) {
		lsm_batch_count(victim->batch, SCHEMA_COUNT_USED_BYTES, 4096);
		put_inode(victim);
	} else {
		return false;
	}
	return true;
}

static void damage_tree(const char *what, const char *path, const char *name)
{
	struct lsm_runtime_options options;
	struct lsm_runtime *runtime;
	struct victim victim = {0};
	struct fs *fs;

	lsm_runtime_options_init(&options);
	need_ok(lsm_runtime_create(&options, &runtime), "runtime");
	errno = fs_open(runtime, path, NULL, &fs);
	need(errno == 0, path);
	victim.store = fs_store(fs);
	need_ok(lsm_batch_create(&victim.batch), "batch");
	find(&victim, fs, name);
	errno = EINVAL;
	need(fill_batch(&victim, what), what);
	need_ok(lsm_write(victim.store, victim.batch, NULL, NULL), "write");
	lsm_batch_destroy(victim.batch);
	errno = fs_close(fs);
	need(errno == 0, path);
	lsm_runtime_destroy(runtime);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "flip") == 0)
		flip(argv[2], (off_t)strtoll(argv[3], NULL, 10));
	else if (argc == 3 && strcmp(argv[1], "newer") == 0)
		change_superblock(argv[2], 99, 0);
	else if (argc == 3 && strcmp(argv[1], "reading") == 0)
		change_superblock(argv[2], 1, 1);
	else if (argc == 4)
		damage_tree(argv[1], argv[2], argv[3]);
	else
		return fputs("usage: damage WHAT WHERE [NAME]\n", stderr), 2;
	return 0;
}
