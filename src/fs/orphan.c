/* SPDX-License-Identifier: MIT */
#include "fs/orphan.h"

#include <errno.h>

#include "base/log.h"
#include "fs/data.h"
#include "fs/inode.h"

enum {
	STEP_KEYS = 4096,   /* that one batch deletes of chunks */
	LIST_ORPHANS = 256, /* that one look at the list takes */
	/* Deleting keys unseen is right while at most so many are in vain for
	   each that exists. */
	VAIN_PER_CHUNK = 4,
	OTHER_KEYS = 4, /* record, inline bytes or target, orphan record */
	KEY_BYTES = 32, /* no less than any of these, or a chunk's, takes */
};

/* One reclaim, over as many batches as it takes. */
struct reclaim {
	struct fs *fs;
	uint64_t ino;
	uint64_t next; /* chunks below are gone */
	bool missing;  /* there is no such inode, only a record of it */
	bool done;
};

typedef int (*reclaim_fn)(struct reclaim *reclaim, struct change *change,
                          const struct inode *inode);

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

/* Take credit and the lock, and have `work` fill the batch and write it. */
static int run_locked(struct reclaim *reclaim, size_t keys, size_t bytes,
                      reclaim_fn work)
{
	struct fs *fs = reclaim->fs;
	struct ilock_set locks;
	struct change change;
	struct inode inode;
	int err;

	err = change_begin(&change, fs, NULL,
	                   lsm_admission_bound(fs->store, keys, bytes), true);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, reclaim->ino);
	ilock_acquire(&fs->locks, &locks);
	err = load_orphan(reclaim, &inode);
	if (err == 0)
		err = work(reclaim, &change, &inode);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	return err;
}

/* ---- chunks -------------------------------------------------------------- */

static uint64_t chunks_left(const struct reclaim *reclaim,
                            const struct inode *inode)
{
	uint64_t end = data_chunk_count(inode);

	if (!S_ISREG(inode->mode) || data_is_inline(inode))
		return 0;
	return end > reclaim->next ? end - reclaim->next : 0;
}

/*
 * Whether its chunks are so dense that deleting every index is cheaper than
 * looking for those that exist, which would read the file.
 */
static bool is_dense(const struct inode *inode)
{
	uint64_t least = inode->alloc_bytes / CHUNK_BYTES;

	return !data_may_have_holes(inode) ||
	       data_chunk_count(inode) <= STEP_KEYS + least * VAIN_PER_CHUNK;
}

static void delete_chunk(struct change *change, uint64_t ino, uint64_t index)
{
	struct schema_key key;

	schema_chunk_key(&key, ino, index);
	change_delete(change, &key);
}

/* Delete the chunks from reclaim->next on, at most STEP_KEYS, and move it. */
static int delete_chunks(struct reclaim *reclaim, struct change *change,
                         const struct inode *inode)
{
	struct data_extents extents = {0};
	uint64_t left = chunks_left(reclaim, inode);
	uint64_t end = reclaim->next + left;
	bool more;
	int err;

	if (is_dense(inode)) {
		if (left > STEP_KEYS)
			end = reclaim->next + STEP_KEYS;
		for (; reclaim->next < end; reclaim->next++)
			delete_chunk(change, inode->ino, reclaim->next);
		return 0;
	}
	err = data_collect(reclaim->fs, inode, reclaim->next, end, STEP_KEYS,
	                   &extents, &more);
	for (size_t i = 0; err == 0 && i < extents.count; i++)
		delete_chunk(change, inode->ino, extents.items[i].index);
	if (err == 0 && more)
		end = extents.items[extents.count - 1].index + 1;
	if (err == 0)
		reclaim->next = end;
	data_extents_release(&extents);
	return err;
}

static int drop_step(struct reclaim *reclaim, struct change *change,
                     const struct inode *inode)
{
	struct inode closed = *inode;
	int err;

	err = delete_chunks(reclaim, change, inode);
	if (err != 0)
		return err;
	/* What lost bytes here must not get a name again. */
	if ((closed.flags & SCHEMA_IS_LINKABLE) != 0) {
		closed.flags &= (uint16_t)~SCHEMA_IS_LINKABLE;
		inode_save(change, &closed);
	}
	return change_commit(change);
}

/* ---- the rest ------------------------------------------------------------ */

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
	else if (data_is_inline(inode) && inode->alloc_bytes > 0)
		delete_part(change, inode->ino, SCHEMA_INLINE);
	if ((inode->flags & SCHEMA_HAS_XATTR) == 0)
		return 0;
	return delete_xattrs(reclaim->fs, inode->ino, change, &keys, &bytes);
}

/* EAGAIN: there is more than the credit was taken for. */
static int finish_step(struct reclaim *reclaim, struct change *change,
                       const struct inode *inode)
{
	struct schema_key key;
	int err = 0;

	if (!reclaim->missing) {
		err = delete_chunks(reclaim, change, inode);
		if (err == 0 && chunks_left(reclaim, inode) > 0)
			return EAGAIN;
		if (err == 0)
			err = delete_inode(reclaim, change, inode);
	}
	if (err != 0)
		return err;
	schema_orphan_key(&key, reclaim->ino);
	change_delete(change, &key);
	if (!change_fits(change))
		return EAGAIN;
	reclaim->done = true;
	return change_commit(change);
}

/* A large file is first made smaller; the rest goes in one batch. */
static int next_step(struct reclaim *reclaim)
{
	struct inode inode;
	size_t keys = OTHER_KEYS;
	size_t bytes = 0;
	uint64_t next = reclaim->next;
	uint64_t left;
	int err;

	err = load_orphan(reclaim, &inode);
	if (err != 0)
		return err;
	left = chunks_left(reclaim, &inode);
	if (left > STEP_KEYS)
		return run_locked(reclaim, STEP_KEYS + 1,
		                  STEP_KEYS * KEY_BYTES + SCHEMA_INODE_BYTES +
		                      KEY_BYTES,
		                  drop_step);
	keys += (size_t)left;
	if ((inode.flags & SCHEMA_HAS_XATTR) != 0)
		err =
		    delete_xattrs(reclaim->fs, inode.ino, NULL, &keys, &bytes);
	if (err != 0)
		return err;
	bytes += ((size_t)left + OTHER_KEYS) * KEY_BYTES;
	err = run_locked(reclaim, keys, bytes, finish_step);
	if (err == EAGAIN) {
		/* Nothing was written. */
		reclaim->next = next;
		err = 0;
	}
	return err;
}

int fs_reclaim(struct fs *fs, uint64_t ino)
{
	struct reclaim reclaim = {.fs = fs, .ino = ino};
	int err = 0;

	while (err == 0 && !reclaim.done)
		err = next_step(&reclaim);
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
