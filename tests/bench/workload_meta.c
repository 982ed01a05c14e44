/* SPDX-License-Identifier: MIT */
/*
 * workload_meta.c: what a filesystem does to its metadata. The keys are those of
 * docs/filesystem.md: inodes by number, dirents by directory and hash; a record
 * of an inode has 96 bytes. Directories hold 1,000 files each and are filled one
 * after another, as an archive is unpacked.
 */
#include "tests/bench/workload.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/coding.h"
#include "fs/schema.h"
#include "tests/bench/data.h"

enum {
	FILES_OF_DIR = 1000,
	INODE_BYTES = 96,
	NAME_BYTES = 16,
	DIRENT_BYTES = SCHEMA_DIRENT_HEAD_BYTES + NAME_BYTES,
	INODE_KEY_BYTES = 10,
	DIRENT_KEY_BYTES = 17,
	FIRST_FILE = 1 << 30, /* directories have the numbers below */
	FIRST_DIR = 16,
};

static uint64_t dir_of(uint64_t file)
{
	return FIRST_DIR + file / FILES_OF_DIR;
}

static uint64_t ino_of(uint64_t file)
{
	return FIRST_FILE + file;
}

/* A hash in the upper 59 of 63 bits, as a cookie is; never a reserved one. */
static uint64_t cookie_of(uint64_t file)
{
	return (data_scatter(file + 1) >> 5 << 4) | UINT64_C(1) << 40;
}

static uint64_t any_file(struct bench_worker *worker)
{
	return data_random(&worker->random) % worker->keys;
}

/* The dirent as bytes. */
static void make_dirent(uint8_t out[DIRENT_BYTES], uint64_t file)
{
	char name[NAME_BYTES + 1];

	snprintf(name, sizeof(name), "file-%011llu", (unsigned long long)file);
	put_u64(out, ino_of(file));
	out[8] = 8; /* a regular file */
	memcpy(out + SCHEMA_DIRENT_HEAD_BYTES, name, NAME_BYTES);
}

static enum lsm_err put_inode(struct bench_worker *worker, uint64_t ino,
                              uint64_t version)
{
	struct schema_key key;

	schema_inode_key(&key, ino, SCHEMA_ATTR);
	return workload_put(worker, schema_slice(&key), ino, version);
}

static enum lsm_err put_dirent(struct bench_worker *worker, uint64_t file)
{
	uint8_t dirent[DIRENT_BYTES];
	struct schema_key key;

	make_dirent(dirent, file);
	schema_dirent_key(&key, dir_of(file), cookie_of(file));
	worker->written_bytes += key.len + sizeof(dirent);
	return worker->engine->put(worker->session, schema_slice(&key),
	                           slice_make(dirent, sizeof(dirent)));
}

/* Get the inode's record and look at it. */
static enum lsm_err get_inode(struct bench_worker *worker, uint64_t ino)
{
	struct schema_key key;
	struct slice value;
	enum lsm_err err;

	schema_inode_key(&key, ino, SCHEMA_ATTR);
	err = worker->engine->get(worker->session, schema_slice(&key), &value);
	if (err == LSM_ERR_NOT_FOUND ||
	    (err == LSM_OK && !data_value_is(value, INODE_BYTES, ino)))
		return workload_wrong(worker, "not the inode", ino);
	worker->read_bytes += INODE_KEY_BYTES + INODE_BYTES;
	return err;
}

/* ---- phases ---------------------------------------------------------------------- */

static enum lsm_err create(struct bench_worker *worker, uint64_t i)
{
	enum lsm_err err = put_inode(worker, ino_of(i), 0);

	if (err == LSM_OK)
		err = put_dirent(worker, i);
	if (err == LSM_OK)
		err = put_inode(worker, dir_of(i), i);
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	worker->ops++;
	worker->live_bytes +=
	    INODE_KEY_BYTES + INODE_BYTES + DIRENT_KEY_BYTES + DIRENT_BYTES;
	return err;
}

static enum lsm_err lookup(struct bench_worker *worker, uint64_t i)
{
	uint64_t file = any_file(worker);
	uint8_t dirent[DIRENT_BYTES];
	struct schema_key key;
	struct slice value;
	enum lsm_err err;

	(void)i;
	make_dirent(dirent, file);
	schema_dirent_key(&key, dir_of(file), cookie_of(file));
	err = worker->engine->get(worker->session, schema_slice(&key), &value);
	if (err == LSM_ERR_NOT_FOUND ||
	    (err == LSM_OK &&
	     !slice_equal(value, slice_make(dirent, sizeof(dirent)))))
		return workload_wrong(worker, "not the dirent", file);
	if (err == LSM_OK)
		err = get_inode(worker, ino_of(file));
	worker->ops++;
	worker->read_bytes += key.len + sizeof(dirent);
	return err;
}

static enum lsm_err lookup_missing(struct bench_worker *worker, uint64_t i)
{
	uint64_t file = any_file(worker);
	struct schema_key key;
	struct slice value;
	enum lsm_err err;

	(void)i;
	schema_dirent_key(&key, dir_of(file), cookie_of(file) + 1);
	err = worker->engine->get(worker->session, schema_slice(&key), &value);
	if (err == LSM_OK)
		return workload_wrong(worker, "an absent dirent", file);
	worker->ops++;
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

static enum lsm_err update(struct bench_worker *worker, uint64_t i)
{
	uint64_t ino = ino_of(any_file(worker));
	enum lsm_err err = get_inode(worker, ino);

	if (err == LSM_OK)
		err = put_inode(worker, ino, i + 1);
	if (err == LSM_OK)
		err = worker->engine->commit(worker->session, false);
	worker->ops++;
	return err;
}

struct listing {
	struct bench_worker *worker;
	uint64_t seen;
	bool wrong;
};

static bool visit(void *ctx, struct slice key, struct slice value)
{
	struct listing *listing = ctx;

	if (key.len != DIRENT_KEY_BYTES || value.len != DIRENT_BYTES) {
		listing->wrong = true;
		return false;
	}
	listing->seen++;
	listing->worker->read_bytes += key.len + value.len;
	return true;
}

static enum lsm_err list(struct bench_worker *worker, uint64_t i)
{
	uint64_t first =
	    any_file(worker) / FILES_OF_DIR * (uint64_t)FILES_OF_DIR;
	uint64_t files = worker->keys - first;
	struct listing listing = {.worker = worker};
	struct schema_key from, upper;
	enum lsm_err err;

	(void)i;
	if (files > FILES_OF_DIR)
		files = FILES_OF_DIR;
	schema_dirent_key(&from, dir_of(first), 0);
	schema_dirent_key(&upper, dir_of(first) + 1, 0);
	err = worker->engine->scan(worker->session, schema_slice(&from),
	                           schema_slice(&upper), visit, &listing);
	if (err == LSM_OK && (listing.wrong || listing.seen != files))
		return workload_wrong(worker, "a wrong list", first);
	worker->ops += listing.seen;
	return err;
}

static enum lsm_err delete (struct bench_worker *worker, uint64_t i) {
	struct schema_key inode, dirent; enum lsm_err err;

	schema_inode_key(&inode, ino_of(i), SCHEMA_ATTR);
	schema_dirent_key(&dirent, dir_of(i), cookie_of(i));
	err = worker->engine->del(worker->session, schema_slice(&inode));
	if (err == LSM_OK)
	    err = worker->engine->del(worker->session, schema_slice(&dirent));
	if (err == LSM_OK) err = put_inode(worker, dir_of(i), i);
	if (err == LSM_OK) err = worker->engine->commit(worker->session, false);
	worker->ops++;
	worker->written_bytes += inode.len + dirent.len;
	worker->live_bytes -=
	INODE_KEY_BYTES + INODE_BYTES + DIRENT_KEY_BYTES + DIRENT_BYTES;
	return err;
}

/* clang-format off */
#define META(its_threads)                                                     \
	{                                                                     \
		{.name = "create", .call = create, .threads = (its_threads),          \
		 .goal = GOAL_WRITE, .writes = true},                             \
		{.name = "lookup", .call = lookup, .count = 1000000,              \
		 .threads = (its_threads), .goal = GOAL_WRITE},                        \
		{.name = "miss", .call = lookup_missing, .count = 1000000,        \
		 .threads = (its_threads), .goal = GOAL_WRITE},                        \
		{.name = "list", .call = list, .count = 5000,                     \
		 .threads = (its_threads), .goal = GOAL_WRITE},                        \
		{.name = "update", .call = update, .count = 1000000,              \
		 .threads = (its_threads), .goal = GOAL_WRITE, .writes = true},   \
		{.name = "delete", .call = delete, .count = 500000,               \
		 .threads = (its_threads), .goal = GOAL_WRITE, .writes = true},   \
	}
/* clang-format on */

const struct workload workloads_meta[] = {
    {
	.name = "meta",
	.help = "inodes and dirents of a million files",
	.keys = 1000000,
	.value_bytes = INODE_BYTES,
	.phases = META(1),
    },
    {
	.name = "meta-t4",
	.help = "the same by 4 threads",
	.keys = 1000000,
	.value_bytes = INODE_BYTES,
	.no_short = true,
	.phases = META(4),
    },
    {.name = NULL},
};
