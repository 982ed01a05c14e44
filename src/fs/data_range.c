/* SPDX-License-Identifier: MIT */
/*
 * data_range.c: sizes and holes.
 *
 * Of what is taken away whole chunks are deleted, a few one by one and many as
 * one range; one that loses its end is trimmed, one that loses its middle is
 * cleared. That is one small batch, whatever the size, where the file has no
 * holes or is cut to nothing: then what is freed is known without a look.
 *
 * In the middle of a file with holes the chunks must be looked at to know what
 * they held. At most DATA_CUT_MAX_CHUNKS are at a time: more goes in steps, each
 * a batch that leaves a valid file: a cut goes from the end, so that after a
 * crash the file is longer than asked for, but whole.
 */
#include "fs/data.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>

#include "fs/acl.h"
#include "fs/inode.h"

/* One call, in as many steps as it takes. */
struct range {
	struct fs *fs;
	struct fs_op *op; /* its credit is for the first step */
	uint64_t ino;
	uint64_t from, to; /* bytes to take away; `from` moves with the steps */
	uint64_t size;     /* the size that is wanted in the end */
	int (*step)(struct range *range, struct change *change,
	            struct inode *inode);
	bool shrinks; /* it does nothing but free */
	bool again;   /* the step did not finish the call */

	/* For fs_setattr(); applied by the last step. */
	unsigned which;
	const struct fs_attr *set;
	struct fs_attr *attr; /* NULL: not wanted */
};

/* ---- taking away --------------------------------------------------------- */

/* Take the bytes from `from` to `to` out of a chunk. */
static int discard(struct change *change, struct inode *inode,
                   const struct data_extent *extent, uint64_t from, uint64_t to)
{
	uint64_t start = chunk_start(extent->index);
	uint32_t a = from > start ? (uint32_t)(from - start) : 0;
	uint32_t b = to - start < CHUNK_BYTES ? (uint32_t)(to - start)
	                                      : (uint32_t)CHUNK_BYTES;
	struct buf operand = BUF_INIT;
	struct schema_key key;
	enum lsm_err err;

	if (a >= extent->len)
		return 0;
	schema_chunk_key(&key, inode->ino, extent->index);
	if (a == 0 && b >= extent->len) {
		change_delete(change, &key);
		inode_charge(change, inode, extent->len, 0);
		return 0;
	}
	if (b >= extent->len) {
		err = chunk_trim(&operand, a);
		inode_charge(change, inode, extent->len, a);
	} else {
		err = chunk_clear(&operand, a, b - a);
	}
	if (err == LSM_OK)
		change_merge(change, &key, buf_slice(&operand));
	buf_release(&operand);
	return fs_errno(err);
}

/* Whether all that is stored of the chunk lies in [from, to). */
static bool is_whole(const struct data_extent *extent, uint64_t from,
                     uint64_t to)
{
	uint64_t start = chunk_start(extent->index);

	return start >= from && start + extent->len <= to;
}

/* Whole chunks of a cut up to `to` that are deleted one by one. */
static uint64_t deletes_max(const struct inode *inode, uint64_t to)
{
	return to < inode->size ? DATA_PUNCH_DELETES_MAX
	                        : DATA_POINT_DELETES_MAX;
}

/* Take [from, to) out of chunks of which some may lie there in part only. */
static int discard_all(struct change *change, struct inode *inode,
                       const struct data_extents *extents, uint64_t from,
                       uint64_t to)
{
	uint64_t first = UINT64_MAX, last = 0;
	uint64_t most = deletes_max(inode, to);
	size_t whole = 0;
	int err = 0;

	for (size_t i = 0; i < extents->count; i++) {
		if (!is_whole(&extents->items[i], from, to))
			continue;
		if (whole++ == 0)
			first = extents->items[i].index;
		last = extents->items[i].index;
	}
	for (size_t i = 0; err == 0 && i < extents->count; i++) {
		const struct data_extent *extent = &extents->items[i];

		if (whole > most && is_whole(extent, from, to))
			inode_charge(change, inode, extent->len, 0);
		else
			err = discard(change, inode, extent, from, to);
	}
	if (whole > most)
		change_delete_chunks(change, inode->ino, first, last + 1);
	return err;
}

void data_delete_chunks(struct change *change, uint64_t ino, uint64_t from,
                        uint64_t to, uint64_t most)
{
	if (to - from > most) {
		change_delete_chunks(change, ino, from, to);
		return;
	}
	for (; from < to; from++) {
		struct schema_key key;

		schema_chunk_key(&key, ino, from);
		change_delete(change, &key);
	}
}

/* Whether it is known without a look what [from, to) holds. */
static bool is_known(const struct inode *inode, uint64_t from, uint64_t to)
{
	return !data_may_have_holes(inode) || (from == 0 && to >= inode->size);
}

static int discard_known_chunk(struct change *change, struct inode *inode,
                               uint64_t index, uint64_t from, uint64_t to)
{
	struct data_extent extent = {index, data_full_len(inode, index)};

	return discard(change, inode, &extent, from, to);
}

static int discard_known(struct change *change, struct inode *inode,
                         uint64_t from, uint64_t to)
{
	/* The chunks [first, end) go whole, those beside them in part. */
	uint64_t first = chunk_index(from + CHUNK_BYTES - 1);
	uint64_t end =
	    to < inode->size ? chunk_index(to) : data_chunk_count(inode);
	uint64_t bytes;
	int err = 0;

	if (from < chunk_start(first))
		err = discard_known_chunk(change, inode, first - 1, from, to);
	if (err == 0 && end >= first && to < inode->size &&
	    to > chunk_start(end))
		err = discard_known_chunk(change, inode, end, from, to);
	if (err != 0 || first >= end)
		return err;
	bytes = inode->size < chunk_start(end) ? inode->size : chunk_start(end);
	bytes -= chunk_start(first);
	data_delete_chunks(change, inode->ino, first, end,
	                   deletes_max(inode, to));
	inode_charge(change, inode,
	             data_may_have_holes(inode) ? inode->alloc_bytes : bytes,
	             0);
	return 0;
}

static int discard_inline(struct change *change, struct inode *inode,
                          uint64_t from, uint64_t to)
{
	struct buf bytes = BUF_INIT;
	size_t before;
	int err;

	err = data_get_inline(change->fs, NULL, inode, &bytes);
	before = bytes.len;
	if (err == 0 && from < before) {
		if (to >= before)
			bytes.len = (size_t)from;
		else
			memset(bytes.data + from, 0, (size_t)(to - from));
		data_put_inline(change, inode, before, buf_slice(&bytes));
	}
	buf_release(&bytes);
	return err;
}

/*
 * The last chunks of [from, end), at most DATA_CUT_MAX_CHUNKS, and the index from
 * which on these are all. Where lengths must be looked up, widen the look
 * downwards until a look finds too many: those are left for the next step.
 */
static int collect_tail(struct fs *fs, const struct inode *inode, uint64_t from,
                        uint64_t end, struct data_extents *extents,
                        uint64_t *start_out)
{
	uint64_t span = DATA_CUT_MAX_CHUNKS;
	uint64_t start = end;
	bool more = false;
	int err = 0;

	while (err == 0 && start > from) {
		uint64_t lower = start - from > span ? start - span : from;
		size_t count = extents->count;

		err = data_collect(fs, inode, lower, start,
		                   DATA_CUT_MAX_CHUNKS - count, extents, &more);
		if (more) {
			extents->count = count;
			break;
		}
		start = lower;
		span *= 2;
	}
	*start_out = start;
	return err;
}

/* Take away all chunks past range->size, or as many as a step may. */
static int cut_chunks(struct range *range, struct change *change,
                      struct inode *inode)
{
	struct data_extents extents = {0};
	uint64_t first = chunk_index(range->size);
	uint64_t reached = range->size;
	uint64_t start;
	int err;

	if (is_known(inode, range->size, inode->size)) {
		err = discard_known(change, inode, range->size, inode->size);
		inode->size = range->size;
		return err;
	}
	err = collect_tail(range->fs, inode, first, data_chunk_count(inode),
	                   &extents, &start);
	if (err != 0)
		goto out;
	range->again = start > first;
	if (range->again)
		reached = chunk_start(start);
	err = discard_all(change, inode, &extents, reached, inode->size);
	inode->size = reached;
out:
	data_extents_release(&extents);
	return err;
}

static int cut(struct range *range, struct change *change, struct inode *inode)
{
	int err;

	if (data_is_inline(inode)) {
		err = discard_inline(change, inode, range->size, inode->size);
		inode->size = range->size;
	} else {
		err = cut_chunks(range, change, inode);
	}
	if (err == 0 && inode->size == 0) {
		inode->flags |= SCHEMA_IS_INLINE;
		inode->flags &= (uint16_t)~SCHEMA_MAY_HAVE_HOLES;
	}
	return err;
}

/* What is added is a hole; of the bytes there are, the first `keep` stay. That
   is less than all only in an inline file that outgrows its form. */
static int grow(struct change *change, struct inode *inode, uint64_t size,
                uint64_t keep)
{
	int err = 0;

	if (size <= inode->size)
		return 0;
	if (data_is_inline(inode) && size > SCHEMA_INLINE_MAX_BYTES)
		err = data_leave_inline(change, inode, keep, 0,
		                        slice_make(NULL, 0));
	if (err != 0)
		return err;
	inode->flags |= SCHEMA_MAY_HAVE_HOLES;
	inode->size = size;
	return 0;
}

/* Take away range->from to `to`, or as much as a step may. */
static int punch_chunks(struct range *range, struct change *change,
                        struct inode *inode, uint64_t to)
{
	struct data_extents extents = {0};
	int err;

	if (is_known(inode, range->from, to))
		return discard_known(change, inode, range->from, to);
	err = data_collect(range->fs, inode, chunk_index(range->from),
	                   chunk_index(to - 1) + 1, DATA_CUT_MAX_CHUNKS,
	                   &extents, &range->again);
	if (err != 0)
		goto out;
	if (range->again)
		to = chunk_start(extents.items[extents.count - 1].index + 1);
	err = discard_all(change, inode, &extents, range->from, to);
	range->from = to;
out:
	data_extents_release(&extents);
	return err;
}

static int punch(struct range *range, struct change *change,
                 struct inode *inode)
{
	uint64_t to = range->to < inode->size ? range->to : inode->size;
	int err;

	if (range->from >= to)
		return 0;
	if (data_is_inline(inode))
		err = discard_inline(change, inode, range->from, to);
	else
		err = punch_chunks(range, change, inode, to);
	inode->flags |= SCHEMA_MAY_HAVE_HOLES;
	return err;
}

/* ---- steps --------------------------------------------------------------- */

/* With the inode locked. */
static int run_locked(struct range *range, struct change *change)
{
	struct inode inode;
	int err;

	err = inode_load_file(range->fs, NULL, range->ino, &inode);
	if (err != 0)
		return err;
	inode.mtime = change->now;
	inode.ctime = change->now;
	if (range->op->drops_set_id && inode_drop_set_id(change, &inode))
		range->op->set_id_dropped = true;
	err = range->step(range, change, &inode);
	if (err != 0)
		return err;
	if (!range->again && range->set != NULL)
		inode_apply(change, &inode, range->which, range->set);
	if (!range->again && (range->which & FS_SET_MODE) != 0)
		err = acl_follow_mode(change, &inode);
	if (err != 0)
		return err;
	inode_save(change, &inode);
	assert(change->err != LSM_OK || change_fits(change));
	err = change_commit(change);
	if (err == 0 && range->attr != NULL)
		inode_attr(&inode, range->attr);
	return err;
}

static int run_step(struct range *range)
{
	struct ilock_set locks;
	struct change change;
	struct inode inode;
	int err;

	range->again = false;
	err = inode_load_file(range->fs, NULL, range->ino, &inode);
	if (err != 0)
		return change_refuse(range->op, err);
	err = change_begin(&change, range->fs, range->op,
	                   fs_credit(range->fs, FS_CREDIT_SIZE, 0),
	                   range->shrinks || range->size < inode.size);
	if (err != 0)
		return err;
	ilock_set_init(&locks);
	ilock_set_add(&locks, range->ino);
	ilock_acquire(&range->fs->locks, &locks);
	err = run_locked(range, &change);
	ilock_release(&range->fs->locks, &locks);
	change_end(&change);
	return err;
}

static int run(struct range *range)
{
	int err;

	do {
		err = run_step(range);
	} while (err == 0 && range->again);
	space_settle(&range->fs->space, range->fs->store,
	             fs_used_bytes(range->fs));
	return err;
}

/* ---- the public ones ----------------------------------------------------- */

static int step_set_size(struct range *range, struct change *change,
                         struct inode *inode)
{
	if (range->size < inode->size)
		return cut(range, change, inode);
	return grow(change, inode, range->size, inode->size);
}

int data_set_size(struct fs *fs, struct fs_op *op, uint64_t ino, unsigned which,
                  const struct fs_attr *set, struct fs_attr *attr)
{
	struct range range = {
	    .fs = fs,
	    .op = op,
	    .ino = ino,
	    .from = set->size,
	    .to = UINT64_MAX,
	    .size = set->size,
	    .step = step_set_size,
	    .which = which,
	    .set = set,
	    .attr = attr,
	};

	if (set->size > INT64_MAX)
		return change_refuse(op, EFBIG);
	return run(&range);
}

static int step_punch(struct range *range, struct change *change,
                      struct inode *inode)
{
	int err;

	/* All from the offset on is zeroed, and the bytes before it change
	   their form: both at once, as neither sees the other's keys. */
	if (data_is_inline(inode) && range->size > SCHEMA_INLINE_MAX_BYTES)
		return grow(change, inode, range->size, range->from);
	err = punch(range, change, inode);
	if (err != 0 || range->again)
		return err;
	return grow(change, inode, range->size, inode->size);
}

static int step_reserve(struct range *range, struct change *change,
                        struct inode *inode)
{
	return grow(change, inode, range->size, inode->size);
}

/* Nothing is set aside, but what cannot be there is not promised. */
static int check_room(struct fs *fs, uint64_t ino, uint64_t len)
{
	struct fs_usage usage;
	struct inode inode;
	int err = inode_load_file(fs, NULL, ino, &inode);

	if (err == 0)
		err = fs_statfs(fs, &usage);
	if (err != 0)
		return err;
	return len > inode.alloc_bytes &&
	               len - inode.alloc_bytes > usage.available_bytes
	           ? ENOSPC
	           : 0;
}

int fs_fallocate(struct fs *fs, struct fs_op *op, uint64_t ino, int mode,
                 uint64_t offset, uint64_t len)
{
	struct range range = {
	    .fs = fs,
	    .op = op,
	    .ino = ino,
	    .from = offset,
	    .to = offset + len,
	};
	int err = 0;

	if (len == 0)
		return change_refuse(op, EINVAL);
	if (offset > INT64_MAX || len > INT64_MAX - offset)
		return change_refuse(op, EFBIG);
	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
		range.step = step_reserve;
		range.from = range.to; /* takes nothing away */
		err = check_room(fs, ino, len);
		break;
	case FALLOC_FL_PUNCH_HOLE:
		if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
			return change_refuse(op, EOPNOTSUPP);
		range.step = step_punch;
		break;
	case FALLOC_FL_ZERO_RANGE:
		range.step = step_punch;
		break;
	default:
		return change_refuse(op, EOPNOTSUPP);
	}
	if (err != 0)
		return change_refuse(op, err);
	range.shrinks = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
	/* Wanted is the larger of this and the size that is. */
	range.size = (mode & FALLOC_FL_KEEP_SIZE) != 0 ? 0 : range.to;
	return run(&range);
}
