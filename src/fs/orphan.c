/* SPDX-License-Identifier: MIT */
#include "fs/orphan.h"

#include <errno.h>

#include "base/log.h"
#include "fs/data.h"
#include "fs/inode.h"

enum {
	LIST_ORPHANS = 256, /* that one look at the list takes */
	OTHER_KEYS = 4,     /* record, inline bytes or target, orphan record */
	KEY_BYTES = 32,     /* no less than any of these, or a chunk's, takes */
};

struct reclaim {
	struct fs *fs;
	uint64_t ino;
	bool missing; /* there is no such inode, only a record of it */
	bool done;
};

/* Errors: ENOENT: it is no orphan (any more). */
static int load_orphan(struct reclaim *reclaim, struct inode *inode)
{
	int err = inode_load(reclaim->fs, NULL, reclaim->ino, inode);

	reclaim->missing = err == ESTALE;
	if (reclaim->missing) {
		*inode = (struct inode){.ino = reclaim->ino};
		return 0;
	}
	if (err == 0 && (inode->flags & SCHEMA_IS_ORPHAN) == 0)
		err = ENOENT;
	return err;
}

/* Delete every xattr; with `change` NULL only count them and their bytes. */
static int delete_xattrs(struct fs *fs, uint64_t ino, struct change *change,
                         size_t *keys_out, size_t *bytes_out)
{
	struct schema_key lower, upper, key;
	struct lsm_iter *iter = NULL;
	enum lsm_err err;

	schema_xattr_key(&lower, ino, slice_make(NULL, 0));
	schema_inode_key(&upper, ino, (enum schema_part)(SCHEMA_XATTR + 1));
	err = lsm_iter_create(fs->store, NULL, schema_slice(&lower),
	                      schema_slice(&upper), &iter);
	if (err != LSM_OK)
		return fs_errno(err);
	for (lsm_iter_seek(iter, schema_slice(&lower)); lsm_iter_valid(iter);
	     lsm_iter_next(iter)) {
		struct slice found = lsm_iter_key(iter);

		*keys_out += 1;
		*bytes_out += found.len;
		if (change == NULL || found.len > sizeof(key.bytes))
			continue;
		memcpy(key.bytes, found.data, found.len);
		key.len = found.len;
		change_delete(change, &key);
	}
	err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return fs_errno(err);
}

static void delete_part(struct change *change, uint64_t ino,
                        enum schema_part part)
{
	struct schema_key key;

	schema_inode_key(&key, ino, part);
	change_delete(change, &key);
}

static int delete_inode(struct reclaim *reclaim, struct change *change,
                        const struct inode *inode)
{
	size_t keys = 0;
	size_t bytes = 0;

	change->used_bytes -= (int64_t)inode->alloc_bytes;
	change->inodes--;
	delete_part(change, inode->ino, SCHEMA_ATTR);
	if (S_ISLNK(inode->mode))
		delete_part(change, inode->ino, SCHEMA_SYMLINK);
	else if (S_ISREG(inode->mode) && !data_is_inline(inode))
		data_delete_chunks(change, inode->ino, 0,
		                   data_chunk_count(inode),
		                   DATA_POINT_DELETES_MAX);
	else if (data_is_inline(inode) && inode->alloc_bytes > 0)
		delete_part(change, inode->ino, SCHEMA_INLINE);
	if ((inode->flags & SCHEMA_HAS_XATTR) == 0)
		return 0;
	return delete_xattrs(reclaim->fs, inode->ino, change, &keys, &bytes);
}

/* With the lock. EAGAIN: there is more than the credit was taken for. */
static int delete_all(struct reclaim *reclaim, struct change *change)
{
	struct schema_key key;
	struct inode inode;
	int err = load_orphan(reclaim, &inode);

	if (err == 0 && !reclaim->missing)
		err = delete_inode(reclaim, change, &inode);
	if (err != 0)
		return err;
	schema_orphan_key(&key, reclaim->ino);
	change_delete(change, &key);
	if (!change_fits(change))
		return EAGAIN;
	reclaim->done = true;
	return change_commit(change);
}

/* Credit for its keys, of which there may be more once it is locked. */
static int take_credit(struct reclaim *reclaim, struct change *change)
{
	size_t keys = OTHER_KEYS + DATA_POINT_DELETES_MAX;
	size_t bytes = 0;
	struct inode inode;
	int err = load_orphan(reclaim, &inode);

	if (err == 0 && (inode.flags & SCHEMA_HAS_XATTR) != 0)
		err =
		    delete_xattrs(reclaim->fs, inode.ino, NULL, &keys, &bytes);
	if (err != 0)
		return err;
	bytes += (OTHER_KEYS + DATA_POINT_DELETES_MAX) * KEY_BYTES;
	return change_begin(
	    change, reclaim->fs, NULL,
	    lsm_admission_bound(reclaim->fs->store, keys, bytes), true);
}

static int try_reclaim(struct reclaim *reclaim)
{
	struct fs *fs = reclaim->fs;
	struct ilock_set locks;
	struct change change;
	int err = take_credit(reclaim, &change);

	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, reclaim->ino);
	ilock_acquire(&fs->locks, &locks);
	err = delete_all(reclaim, &change);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	return err == EAGAIN ? 0 : err; /* nothing was written: once more */
}

int fs_reclaim(struct fs *fs, uint64_t ino)
{
	struct reclaim reclaim = {.fs = fs, .ino = ino};
	int err = 0;

	while (err == 0 && !reclaim.done)
		err = try_reclaim(&reclaim);
	space_settle(&fs->space, fs->store, fs_used_bytes(fs));
	return err == ENOENT ? 0 : err;
}

/* The orphans from `first` on, at most LIST_ORPHANS. */
static enum lsm_err list_orphans(struct fs *fs, uint64_t first, uint64_t *inos,
                                 size_t *count_out)
{
	struct schema_key lower, upper;
	struct lsm_iter *iter = NULL;
	enum lsm_err err;

	*count_out = 0;
	schema_family_range(SCHEMA_ORPHAN, &lower, &upper);
	schema_orphan_key(&lower, first);
	err = lsm_iter_create(fs->store, NULL, schema_slice(&lower),
	                      schema_slice(&upper), &iter);
	if (err != LSM_OK)
		return err;
	for (lsm_iter_seek(iter, schema_slice(&lower));
	     lsm_iter_valid(iter) && *count_out < LIST_ORPHANS;
	     lsm_iter_next(iter)) {
		err = schema_decode_orphan_key(lsm_iter_key(iter),
		                               &inos[*count_out]);
		if (err != LSM_OK)
			break;
		*count_out += 1;
	}
	if (err == LSM_OK)
		err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return err;
}

void orphan_reclaim_all(struct fs *fs)
{
	uint64_t inos[LIST_ORPHANS];
	uint64_t next = 0;
	size_t count;

	do {
		enum lsm_err failure = list_orphans(fs, next, inos, &count);

		if (failure != LSM_OK)
			log_warning("orphans cannot be listed: %s",
			            lsm_strerror(failure));
		for (size_t i = 0; i < count; i++) {
			int err = fs_reclaim(fs, inos[i]);

			if (err != 0)
				log_warning("orphan %llu cannot be deleted: "
				            "error %d",
				            (unsigned long long)inos[i], err);
			next = inos[i] + 1;
		}
	} while (count == LIST_ORPHANS);
}
