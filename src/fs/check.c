/* SPDX-License-Identifier: MIT */
#include "fs/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/inode.h"

enum {
	LINE_BYTES = 1024,
	TYPE_SHIFT = 12,
	COUNTER_TRIES = 100,
};

void check_fault(struct check *check, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *p = line; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	}
	check->faults++;
	check->report(check->ctx, line);
}

int check_walk_end(struct check *check, const char *what, enum lsm_err err)
{
	if (err != LSM_ERR_CORRUPT)
		return fs_errno(err);
	check_fault(check, "checksum: the walk over the %s ended early: %s",
	            what, lsm_strerror(err));
	return 0;
}

int check_iter(struct check *check, enum schema_family family,
               struct lsm_iter **iter_out)
{
	struct schema_key lower, upper;
	enum lsm_err err;

	schema_family_range(family, &lower, &upper);
	err =
	    lsm_iter_create(check->fs->store, check->snap, schema_slice(&lower),
	                    schema_slice(&upper), iter_out);
	if (err == LSM_OK)
		lsm_iter_seek(*iter_out, schema_slice(&lower));
	return fs_errno(err);
}

/* ---- what was found ------------------------------------------------------ */

struct check_inode *check_find(const struct check *check, uint64_t ino)
{
	size_t low = 0;
	size_t high = check->inode_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (check->inodes[middle].ino < ino)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == check->inode_count || check->inodes[low].ino != ino)
		return NULL;
	return &check->inodes[low];
}

static int grow(void *array, size_t count, size_t *cap, size_t item_bytes)
{
	void **items = array;
	size_t more = *cap == 0 ? 64 : *cap * 2;
	void *grown;

	if (count < *cap)
		return 0;
	grown = realloc(*items, more * item_bytes);
	if (grown == NULL)
		return ENOMEM;
	*items = grown;
	*cap = more;
	return 0;
}

static int add_dir(struct check *check, const struct inode *inode)
{
	int err = grow(&check->dirs, check->dir_count, &check->dir_cap,
	               sizeof(check->dirs[0]));

	if (err == 0)
		check->dirs[check->dir_count++] = (struct check_dir){
		    .parent = inode->parent,
		    .counted = inode->size / INODE_DIRENT_BYTES,
		};
	return err;
}

int check_add(struct check *check, const struct inode *inode)
{
	int err = grow(&check->inodes, check->inode_count, &check->inode_cap,
	               sizeof(check->inodes[0]));

	if (err != 0)
		return err;
	check->inodes[check->inode_count++] = (struct check_inode){
	    .ino = inode->ino,
	    .nlink = inode->nlink,
	    .dir_index = (uint32_t)check->dir_count,
	    .type = (uint8_t)((inode->mode & S_IFMT) >> TYPE_SHIFT),
	    .is_orphan = (inode->flags & SCHEMA_IS_ORPHAN) != 0,
	};
	return inode_is_dir(inode) ? add_dir(check, inode) : 0;
}

/* ---- counters ------------------------------------------------------------ */

struct counters {
	int64_t used_bytes, inodes, numbers;
	bool known; /* they belong to the snapshot */
};

/* A snapshot, and the counters at that moment if no writer is too fast. */
static int take_snapshot(struct check *check, struct counters *counters)
{
	struct lsm *store = check->fs->store;

	counters->known = false;
	for (int try = 0; try < COUNTER_TRIES && !counters->known; try++) {
		uint64_t before = lsm_sequence(store);
		int err;

		lsm_snapshot_release(store, check->snap);
		err = fs_errno(lsm_snapshot_take(store, &check->snap));
		if (err != 0)
			return err;
		counters->used_bytes =
		    lsm_counter(store, SCHEMA_COUNT_USED_BYTES);
		counters->inodes = lsm_counter(store, SCHEMA_COUNT_INODES);
		counters->numbers = lsm_counter(store, SCHEMA_COUNT_NUMBERS);
		counters->known = lsm_sequence(store) == before;
	}
	return 0;
}

static void check_counters(struct check *check, const struct counters *counters)
{
	uint64_t last = check->inode_count == 0
	                    ? 0
	                    : check->inodes[check->inode_count - 1].ino;

	if (!counters->known)
		return;
	if ((uint64_t)counters->used_bytes != check->used_bytes)
		check_fault(check,
		            "counter: %lld bytes are counted as used, but "
		            "inodes have %llu",
		            (long long)counters->used_bytes,
		            (unsigned long long)check->used_bytes);
	if ((uint64_t)counters->inodes != check->inode_count)
		check_fault(check,
		            "counter: %lld inodes are counted, but there are "
		            "%zu",
		            (long long)counters->inodes, check->inode_count);
	if (last >= FS_FIRST_INO + (uint64_t)counters->numbers)
		check_fault(check,
		            "counter: inode %llu is past the numbers given "
		            "out, %lld",
		            (unsigned long long)last,
		            (long long)counters->numbers);
}

/* ---- the whole ----------------------------------------------------------- */

static void report_checksum(void *ctx, const char *line)
{
	struct check *check = ctx;

	check_fault(check, "checksum: %s", line);
}

static int check_tree(struct check *check)
{
	struct counters counters = {0};
	int err;

	err = take_snapshot(check, &counters);
	if (err == 0)
		err = check_inodes(check);
	if (err == 0)
		err = check_names(check);
	if (err == 0)
		check_counters(check, &counters);
	return err;
}

int fs_check(struct fs *fs, void (*report)(void *ctx, const char *line),
             void *ctx, uint64_t *faults_out)
{
	struct check check = {.fs = fs, .report = report, .ctx = ctx};
	uint64_t damaged;
	int err;

	*faults_out = 0;
	err =
	    fs_errno(lsm_verify(fs->store, report_checksum, &check, &damaged));
	/* A read-only store that was never written to has nothing to compare.
	 */
	if (err == 0 && !fs->is_empty)
		err = check_tree(&check);
	*faults_out = check.faults;
	lsm_snapshot_release(fs->store, check.snap);
	free(check.inodes);
	free(check.dirs);
	return err;
}
