/* SPDX-License-Identifier: MIT */
#include "fs/data.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "fs/inode.h"

static int report_damage(const struct inode *inode, uint64_t offset,
                         const char *what)
{
	log_error("inode %llu: at byte %llu: %s",
	          (unsigned long long)inode->ino, (unsigned long long)offset,
	          what);
	return EIO;
}

/* What the engine could not give: say of which file, once more than it did. */
static int report_failure(const struct inode *inode, uint64_t offset,
                          enum lsm_err err)
{
	if (err == LSM_ERR_CORRUPT)
		return report_damage(inode, offset, lsm_strerror(err));
	return fs_errno(err);
}

int data_get_inline(struct fs *fs, const struct lsm_snapshot *snap,
                    const struct inode *inode, struct buf *bytes)
{
	struct schema_key key;
	enum lsm_err err;

	schema_inode_key(&key, inode->ino, SCHEMA_INLINE);
	err = lsm_get(fs->store, snap, schema_slice(&key), bytes);
	if (err == LSM_ERR_NOT_FOUND) {
		buf_clear(bytes);
		err = LSM_OK;
	}
	if (err != LSM_OK)
		return report_failure(inode, 0, err);
	if (bytes->len > inode->size ||
	    (bytes->len < inode->size && !data_may_have_holes(inode)))
		return report_damage(inode, 0,
		                     "inline bytes do not fit the size");
	return 0;
}

static int read_inline(struct fs *fs, const struct lsm_snapshot *snap,
                       const struct inode *inode, uint64_t offset, uint8_t *out,
                       size_t len)
{
	struct buf bytes = BUF_INIT;
	size_t have = 0;
	int err;

	err = data_get_inline(fs, snap, inode, &bytes);
	if (err == 0) {
		if (offset < bytes.len) {
			have = bytes.len - (size_t)offset;
			if (have > len)
				have = len;
			memcpy(out, bytes.data + offset, have);
		}
		memset(out + have, 0, len - have);
	}
	buf_release(&bytes);
	return err;
}

/* Part of one chunk. `value` is room to read it into. */
static int read_chunk(struct fs *fs, const struct lsm_snapshot *snap,
                      const struct inode *inode, uint64_t offset, uint8_t *out,
                      size_t len, struct buf *value)
{
	uint64_t index = chunk_index(offset);
	uint32_t from = (uint32_t)(offset - chunk_start(index));
	struct schema_key key;
	uint32_t stored;
	enum lsm_err err;

	schema_chunk_key(&key, inode->ino, index);
	err = lsm_get(fs->store, snap, schema_slice(&key), value);
	if (err == LSM_ERR_NOT_FOUND && data_may_have_holes(inode)) {
		memset(out, 0, len);
		return 0;
	}
	if (err == LSM_ERR_NOT_FOUND)
		return report_damage(inode, offset, "a chunk is missing");
	if (err == LSM_OK)
		err = chunk_len(buf_slice(value), &stored);
	if (err == LSM_OK)
		err = chunk_read(buf_slice(value), from, out, len);
	if (err != LSM_OK)
		return report_failure(inode, offset, err);
	if (!data_may_have_holes(inode) &&
	    stored != data_full_len(inode, index))
		return report_damage(inode, offset,
		                     "a chunk has a wrong length");
	return 0;
}

int data_read(struct fs *fs, const struct lsm_snapshot *snap,
              const struct inode *inode, uint64_t offset, uint8_t *out,
              size_t len)
{
	struct buf value = BUF_INIT;
	int err = 0;

	if (data_is_inline(inode))
		return read_inline(fs, snap, inode, offset, out, len);
	while (err == 0 && len > 0) {
		size_t n = CHUNK_BYTES - (size_t)(offset % CHUNK_BYTES);

		if (n > len)
			n = len;
		err = read_chunk(fs, snap, inode, offset, out, n, &value);
		offset += n;
		out += n;
		len -= n;
	}
	buf_release(&value);
	return err;
}

int fs_read(struct fs *fs, uint64_t ino, uint64_t offset, void *data,
            size_t len, size_t *got_out)
{
	struct lsm_snapshot *snap = NULL;
	struct inode inode;
	int err;

	*got_out = 0;
	err = fs_errno(lsm_snapshot_take(fs->store, &snap));
	if (err != 0)
		return err;
	err = inode_load_file(fs, snap, ino, &inode);
	if (err == 0 && offset < inode.size) {
		if (len > inode.size - offset)
			len = (size_t)(inode.size - offset);
		err = data_read(fs, snap, &inode, offset, data, len);
		if (err == 0)
			*got_out = len;
	}
	lsm_snapshot_release(fs->store, snap);
	if (err == 0)
		inode_accessed(fs, &inode);
	return err;
}

/* ---- which chunks exist -------------------------------------------------- */

void data_extents_release(struct data_extents *extents)
{
	free(extents->items);
	*extents = (struct data_extents){0};
}

static int add_extent(struct data_extents *extents, uint64_t index,
                      uint32_t len)
{
	if (extents->count == extents->cap) {
		size_t cap = extents->cap == 0 ? 64 : extents->cap * 2;
		struct data_extent *items;

		items = realloc(extents->items, cap * sizeof(*items));
		if (items == NULL)
			return ENOMEM;
		extents->items = items;
		extents->cap = cap;
	}
	extents->items[extents->count].index = index;
	extents->items[extents->count].len = len;
	extents->count++;
	return 0;
}

static int collect_known(const struct inode *inode, uint64_t from, uint64_t to,
                         size_t max, struct data_extents *extents,
                         bool *more_out)
{
	int err = 0;

	if (to > data_chunk_count(inode))
		to = data_chunk_count(inode);
	*more_out = to > from && to - from > max;
	if (*more_out)
		to = from + max;
	for (; err == 0 && from < to; from++)
		err = add_extent(extents, from, data_full_len(inode, from));
	return err;
}

static int chunk_iter(struct fs *fs, const struct lsm_snapshot *snap,
                      uint64_t ino, uint64_t from, uint64_t to,
                      struct lsm_iter **iter_out)
{
	struct schema_key lower, upper;
	enum lsm_err err;

	schema_chunk_key(&lower, ino, from);
	schema_chunk_key(&upper, ino, to);
	err = lsm_iter_create(fs->store, snap, schema_slice(&lower),
	                      schema_slice(&upper), iter_out);
	if (err == LSM_OK)
		lsm_iter_seek(*iter_out, schema_slice(&lower));
	return fs_errno(err);
}

static enum lsm_err decode_chunk(struct lsm_iter *iter,
                                 struct data_extent *extent)
{
	struct slice value;
	uint64_t ino;
	enum lsm_err err;

	err = schema_decode_chunk_key(lsm_iter_key(iter), &ino, &extent->index);
	if (err != LSM_OK)
		return err;
	value = lsm_iter_value(iter);
	err = lsm_iter_status(iter);
	return err == LSM_OK ? chunk_len(value, &extent->len) : err;
}

int data_collect(struct fs *fs, const struct inode *inode, uint64_t from,
                 uint64_t to, size_t max, struct data_extents *extents,
                 bool *more_out)
{
	struct lsm_iter *iter = NULL;
	struct data_extent extent = {0};
	enum lsm_err damage = LSM_OK;
	size_t count = 0;
	int err;

	*more_out = false;
	if (!data_may_have_holes(inode))
		return collect_known(inode, from, to, max, extents, more_out);
	err = chunk_iter(fs, NULL, inode->ino, from, to, &iter);
	for (; err == 0 && lsm_iter_valid(iter); lsm_iter_next(iter)) {
		if (count++ == max) {
			*more_out = true;
			break;
		}
		damage = decode_chunk(iter, &extent);
		if (damage != LSM_OK)
			break;
		err = add_extent(extents, extent.index, extent.len);
	}
	if (err == 0 && damage == LSM_OK)
		damage = lsm_iter_status(iter);
	if (err == 0 && damage != LSM_OK)
		err = report_failure(inode, chunk_start(extent.index), damage);
	lsm_iter_destroy(iter);
	return err;
}

/* ---- seek ---------------------------------------------------------------- */

static int seek_chunks(struct fs *fs, const struct lsm_snapshot *snap,
                       const struct inode *inode, uint64_t pos, int whence,
                       uint64_t *found_out)
{
	struct lsm_iter *iter = NULL;
	struct data_extent extent = {0};
	enum lsm_err damage = LSM_OK;
	bool found = false;
	int err;

	err = chunk_iter(fs, snap, inode->ino, chunk_index(pos),
	                 data_chunk_count(inode), &iter);
	if (err != 0)
		return err;
	for (; !found && lsm_iter_valid(iter); lsm_iter_next(iter)) {
		uint64_t start, end;

		damage = decode_chunk(iter, &extent);
		if (damage != LSM_OK)
			break;
		start = chunk_start(extent.index);
		end = start + chunk_alloc(extent.len);
		if (whence == SEEK_DATA) {
			found = end > pos;
			if (found && start > pos)
				pos = start;
		} else {
			found = start > pos || end <= pos;
			if (!found)
				pos = end;
		}
	}
	if (damage == LSM_OK)
		damage = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	if (damage != LSM_OK)
		return report_failure(inode, pos, damage);
	if (whence == SEEK_DATA && !found)
		return ENXIO;
	*found_out = pos < inode->size ? pos : inode->size;
	return 0;
}

/* An inline file is one block, or nothing. */
static int seek_inline(struct fs *fs, const struct lsm_snapshot *snap,
                       const struct inode *inode, uint64_t pos, int whence,
                       uint64_t *found_out)
{
	struct buf bytes = BUF_INIT;
	bool is_data;
	int err;

	err = data_get_inline(fs, snap, inode, &bytes);
	is_data = bytes.len > 0;
	buf_release(&bytes);
	if (err != 0)
		return err;
	if (whence == SEEK_DATA && !is_data)
		return ENXIO;
	*found_out = whence == SEEK_HOLE && is_data ? inode->size : pos;
	return 0;
}

int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence,
            uint64_t *found_out)
{
	struct lsm_snapshot *snap = NULL;
	struct inode inode;
	int err;

	*found_out = 0;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return EINVAL;
	err = fs_errno(lsm_snapshot_take(fs->store, &snap));
	if (err != 0)
		return err;
	err = inode_load_file(fs, snap, ino, &inode);
	if (err != 0)
		goto out;
	if (offset >= inode.size)
		err = ENXIO;
	else if (!data_may_have_holes(&inode))
		*found_out = whence == SEEK_DATA ? offset : inode.size;
	else if (data_is_inline(&inode))
		err = seek_inline(fs, snap, &inode, offset, whence, found_out);
	else
		err = seek_chunks(fs, snap, &inode, offset, whence, found_out);
out:
	lsm_snapshot_release(fs->store, snap);
	return err;
}
