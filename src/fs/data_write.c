/* SPDX-License-Identifier: MIT */
/*
 * data_write.c: bytes into files.
 *
 * What a write does to a chunk: all that is stored there is replaced by a PUT;
 * less is a merge of a PATCH, which reads nothing; when too many merges wait in
 * the memtable, this write folds them, so that no reader meets a long chain.
 */
#include "fs/data.h"

#include <errno.h>
#include <stdlib.h>

#include "fs/inode.h"

enum { PENDING_MERGES_MAX = 8 };

/* ---- inline -------------------------------------------------------------- */

void data_put_inline(struct change *change, struct inode *inode, size_t before,
                     struct slice bytes)
{
	struct schema_key key;

	schema_inode_key(&key, inode->ino, SCHEMA_INLINE);
	if (bytes.len > 0)
		change_put(change, &key, bytes);
	else if (before > 0)
		change_delete(change, &key);
	inode_charge(change, inode, before, bytes.len);
}

/* Put `piece` at `offset` of the bytes, with zeros before it. */
static enum lsm_err overlay(struct buf *bytes, size_t offset,
                            struct slice piece)
{
	enum lsm_err err = LSM_OK;

	if (piece.len == 0)
		return LSM_OK;
	if (bytes->len < offset + piece.len)
		err = buf_resize(bytes, offset + piece.len);
	if (err == LSM_OK)
		memcpy(bytes->data + offset, piece.data, piece.len);
	return err;
}

static int write_inline(struct change *change, struct inode *inode,
                        size_t offset, struct slice piece)
{
	struct buf bytes = BUF_INIT;
	size_t before;
	int err;

	err = data_get_inline(change->fs, NULL, inode, &bytes);
	if (err != 0)
		goto out;
	before = bytes.len;
	err = fs_errno(overlay(&bytes, offset, piece));
	if (err == 0)
		data_put_inline(change, inode, before, buf_slice(&bytes));
out:
	buf_release(&bytes);
	return err;
}

int data_leave_inline(struct change *change, struct inode *inode, uint64_t keep,
                      uint32_t offset, struct slice piece)
{
	struct buf bytes = BUF_INIT;
	struct buf value = BUF_INIT;
	struct schema_key key;
	size_t stored;
	int err;

	err = data_get_inline(change->fs, NULL, inode, &bytes);
	if (err != 0)
		goto out;
	data_put_inline(change, inode, bytes.len, slice_make(NULL, 0));
	if (bytes.len > keep)
		bytes.len = (size_t)keep;
	err = fs_errno(overlay(&bytes, offset, piece));
	stored = bytes.len;
	if (err == 0 && stored > 0)
		err = fs_errno(chunk_encode(&value, buf_slice(&bytes)));
	if (err != 0)
		goto out;
	if (stored > 0) {
		schema_chunk_key(&key, inode->ino, 0);
		change_put(change, &key, buf_slice(&value));
		inode_charge(change, inode, 0, stored);
	}
	inode->flags &= (uint16_t)~SCHEMA_IS_INLINE;
out:
	buf_release(&value);
	buf_release(&bytes);
	return err;
}

/* ---- chunks -------------------------------------------------------------- */

/* The stored length of a chunk; looked up only where there may be holes. */
static int stored_len(struct fs *fs, const struct inode *inode, uint64_t index,
                      struct buf *value, uint32_t *len_out)
{
	struct schema_key key;
	enum lsm_err err;

	*len_out = data_full_len(inode, index);
	if (*len_out == 0 || !data_may_have_holes(inode))
		return 0;
	schema_chunk_key(&key, inode->ino, index);
	err = lsm_get(fs->store, NULL, schema_slice(&key), value);
	if (err == LSM_OK)
		err = chunk_len(buf_slice(value), len_out);
	if (err == LSM_ERR_NOT_FOUND) {
		*len_out = 0;
		err = LSM_OK;
	}
	return fs_errno(err);
}

struct chunk_write {
	struct schema_key key;
	uint32_t from, end; /* in the chunk */
	uint32_t before;    /* stored length until now */
	struct slice piece;
};

/* Read the chunk, apply the patch, put it back whole. */
static int fold_chunk(struct change *change, const struct chunk_write *write,
                      struct slice patch, struct buf *value)
{
	enum lsm_err err;

	err =
	    lsm_get(change->fs->store, NULL, schema_slice(&write->key), value);
	if (err == LSM_ERR_NOT_FOUND) {
		buf_clear(value);
		err = write->before > 0 ? LSM_ERR_CORRUPT : LSM_OK;
	}
	if (err == LSM_OK)
		err = chunk_apply(value, patch);
	if (err == LSM_OK)
		change_put(change, &write->key, buf_slice(value));
	return fs_errno(err);
}

static int patch_chunk(struct change *change, const struct chunk_write *write,
                       struct buf *value)
{
	struct slice key = schema_slice(&write->key);
	struct buf patch = BUF_INIT;
	int err;

	err = fs_errno(chunk_patch(&patch, write->from, write->piece));
	if (err != 0)
		goto out;
	if (lsm_pending_merges(change->fs->store, key) < PENDING_MERGES_MAX)
		change_merge(change, &write->key, buf_slice(&patch));
	else
		err = fold_chunk(change, write, buf_slice(&patch), value);
out:
	buf_release(&patch);
	return err;
}

/* `value` is room to work in. The inode still has its old size. */
static int write_chunk(struct change *change, struct inode *inode,
                       uint64_t index, uint32_t from, struct slice piece,
                       struct buf *value)
{
	struct chunk_write write = {
	    .from = from,
	    .end = from + (uint32_t)piece.len,
	    .piece = piece,
	};
	int err;

	err = stored_len(change->fs, inode, index, value, &write.before);
	if (err != 0)
		return err;
	schema_chunk_key(&write.key, inode->ino, index);
	if (from == 0 && write.end >= write.before) {
		err = fs_errno(chunk_encode(value, piece));
		if (err == 0)
			change_put(change, &write.key, buf_slice(value));
	} else {
		err = patch_chunk(change, &write, value);
	}
	if (err == 0 && write.end > write.before)
		inode_charge(change, inode, write.before, write.end);
	return err;
}

static int write_chunks(struct change *change, struct inode *inode,
                        uint64_t offset, struct slice bytes)
{
	struct buf value = BUF_INIT;
	int err = 0;

	while (err == 0 && bytes.len > 0) {
		uint64_t index = chunk_index(offset);
		uint32_t from = (uint32_t)(offset - chunk_start(index));
		size_t n = CHUNK_BYTES - from;

		if (n > bytes.len)
			n = bytes.len;
		err = write_chunk(change, inode, index, from,
		                  slice_make(bytes.data, n), &value);
		offset += n;
		bytes = slice_make(bytes.data + n, bytes.len - n);
	}
	buf_release(&value);
	return err;
}

/* The first bytes go with the inline ones into chunk 0, the rest as usual. */
static int write_leaving_inline(struct change *change, struct inode *inode,
                                uint64_t offset, struct slice bytes)
{
	size_t n = 0;
	int err;

	if (offset < CHUNK_BYTES) {
		n = CHUNK_BYTES - (size_t)offset;
		if (n > bytes.len)
			n = bytes.len;
	}
	err = data_leave_inline(change, inode, inode->size,
	                        n > 0 ? (uint32_t)offset : 0,
	                        slice_make(bytes.data, n));
	if (err != 0)
		return err;
	return write_chunks(change, inode, offset + n,
	                    slice_make(bytes.data + n, bytes.len - n));
}

/* Whether a write there leaves something unstored before it. A gap inside the
   chunk that is written does not: a patch stores the zeros before it. */
static bool leaves_hole(const struct inode *inode, uint64_t offset)
{
	return chunk_index(offset) > chunk_index(inode->size);
}

int data_write(struct change *change, struct inode *inode, uint64_t offset,
               const uint8_t *data, size_t len)
{
	struct slice bytes = slice_make(data, len);
	uint64_t end = offset + len;
	int err;

	if (data_is_inline(inode) && end <= SCHEMA_INLINE_MAX_BYTES)
		err = write_inline(change, inode, (size_t)offset, bytes);
	else if (data_is_inline(inode))
		err = write_leaving_inline(change, inode, offset, bytes);
	else
		err = write_chunks(change, inode, offset, bytes);
	if (err != 0)
		return err;
	if (leaves_hole(inode, offset))
		inode->flags |= SCHEMA_MAY_HAVE_HOLES;
	if (end > inode->size)
		inode->size = end;
	return 0;
}

/* ---- the public ones ----------------------------------------------------- */

static int finish_write(struct change *change, struct fs_op *op,
                        struct inode *inode)
{
	if (op->drops_set_id)
		op->set_id_dropped = inode_drop_set_id(change, inode);
	if (!op->keeps_times) {
		inode->mtime = change->now;
		inode->ctime = change->now;
	}
	inode_save(change, inode);
	return change_commit(change);
}

int fs_write(struct fs *fs, struct fs_op *op, uint64_t ino, uint64_t offset,
             const void *data, size_t len)
{
	struct ilock_set locks;
	struct change change;
	struct inode inode;
	int err;

	if (len > FS_WRITE_MAX_BYTES)
		return change_refuse(op, EINVAL);
	if (offset > INT64_MAX - (uint64_t)len)
		return change_refuse(op, EFBIG);
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_WRITE, len),
	                   false);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, ino);
	ilock_acquire(&fs->locks, &locks);
	err = inode_load_file(fs, NULL, ino, &inode);
	if (err == 0 && len > 0)
		err = data_write(&change, &inode, offset, data, len);
	if (err == 0 && len > 0)
		err = finish_write(&change, op, &inode);
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	return err;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Both inodes are locked; `len` is not 0. */
static int copy_bytes(struct change *change, struct fs_op *op,
                      const struct inode *source, uint64_t from_offset,
                      uint64_t to, uint64_t to_offset, size_t len)
{
	struct inode target;
	uint8_t *bytes;
	int err;

	err = inode_load_file(change->fs, NULL, to, &target);
	if (err != 0)
		return err;
	bytes = malloc(len);
	if (bytes == NULL)
		return ENOMEM;
	err = data_read(change->fs, NULL, source, from_offset, bytes, len);
	if (err == 0)
		err = data_write(change, &target, to_offset, bytes, len);
	if (err == 0)
		err = finish_write(change, op, &target);
	free(bytes);
	return err;
}

int fs_copy_range(struct fs *fs, struct fs_op *op, uint64_t from,
                  uint64_t from_offset, uint64_t to, uint64_t to_offset,
                  uint64_t len, uint64_t *copied_out)
{
	struct ilock_set locks;
	struct change change;
	struct inode source;
	int err;

	*copied_out = 0;
	if (from_offset > INT64_MAX || to_offset > INT64_MAX)
		return change_refuse(op, EFBIG);
	err = change_begin(&change, fs, op, fs_credit(fs, FS_CREDIT_COPY, 0),
	                   false);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, from);
	ilock_set_add(&locks, to);
	ilock_acquire(&fs->locks, &locks);
	err = inode_load_file(fs, NULL, from, &source);
	if (err != 0)
		goto out;
	len = from_offset < source.size ? least(len, source.size - from_offset)
	                                : 0;
	if (from == to && from_offset < to_offset + len &&
	    to_offset < from_offset + len) {
		err = EINVAL;
		goto out;
	}
	len = least(len, FS_COPY_MAX_BYTES);
	if (len > INT64_MAX - to_offset)
		err = EFBIG;
	else if (len > 0)
		err = copy_bytes(&change, op, &source, from_offset, to,
		                 to_offset, (size_t)len);
	if (err == 0)
		*copied_out = len;
out:
	ilock_release(&fs->locks, &locks);
	change_end(&change);
	return err;
}
