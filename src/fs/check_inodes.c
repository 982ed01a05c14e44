/* SPDX-License-Identifier: MIT */
/*
 * check_inodes.c: each inode against its own keys: inline bytes, link target,
 * xattrs, chunks, orphan record.
 */
#include "fs/check.h"

#include <errno.h>

#include "fs/acl.h"
#include "fs/data.h"

typedef unsigned long long ull;

struct walk {
	struct check *check;
	struct lsm_iter *parts;
	struct lsm_iter *orphans;
	struct lsm_iter *chunks;

	/* The inode whose keys are being read. */
	struct inode inode;
	bool has_record;
	bool has_inline;
	uint64_t inline_len;
	bool has_target;
	uint64_t target_len;
	bool has_xattr;

	/* Of its chunks. */
	uint64_t chunk_count;
	uint64_t alloc_bytes;
};

/* ---- chunks -------------------------------------------------------------- */

/* The number of the chunk the walk is at; all ones: at the end. */
static uint64_t chunk_ino(struct walk *walk, uint64_t *index_out)
{
	uint64_t ino = UINT64_MAX;

	*index_out = 0;
	while (lsm_iter_valid(walk->chunks)) {
		if (schema_decode_chunk_key(lsm_iter_key(walk->chunks), &ino,
		                            index_out) == LSM_OK)
			return ino;
		check_fault(walk->check, "size: a key of a chunk cannot be "
		                         "read");
		lsm_iter_next(walk->chunks);
	}
	return UINT64_MAX;
}

/* Chunks of numbers below `ino`: nobody's. */
static void skip_chunks(struct walk *walk, uint64_t ino)
{
	uint64_t reported = 0;
	uint64_t index;

	for (;;) {
		uint64_t at = chunk_ino(walk, &index);

		if (at >= ino)
			return;
		if (at != reported)
			check_fault(walk->check,
			            "size: there are chunks of inode %llu, "
			            "which does not exist",
			            (ull)at);
		reported = at;
		lsm_iter_next(walk->chunks);
	}
}

static void check_chunk(struct walk *walk, uint64_t index)
{
	const struct inode *inode = &walk->inode;
	uint32_t full = data_full_len(inode, index);
	uint32_t len;

	if (chunk_len(lsm_iter_value(walk->chunks), &len) != LSM_OK) {
		check_fault(walk->check,
		            "size: inode %llu: chunk %llu cannot be read",
		            (ull)inode->ino, (ull)index);
		return;
	}
	walk->chunk_count++;
	walk->alloc_bytes += chunk_alloc(len);
	if (inode->nlink == 0)
		return; /* it may be about to be deleted, in steps */
	if (full == 0 || len > full)
		check_fault(walk->check,
		            "size: inode %llu: chunk %llu lies past the size, "
		            "%llu",
		            (ull)inode->ino, (ull)index, (ull)inode->size);
	else if (len < full && !data_may_have_holes(inode))
		check_fault(walk->check,
		            "size: inode %llu: chunk %llu is too short",
		            (ull)inode->ino, (ull)index);
}

static void check_chunks(struct walk *walk)
{
	uint64_t index;

	skip_chunks(walk, walk->inode.ino);
	while (chunk_ino(walk, &index) == walk->inode.ino) {
		check_chunk(walk, index);
		lsm_iter_next(walk->chunks);
	}
}

/* ---- forms --------------------------------------------------------------- */

static void check_inline_file(struct walk *walk)
{
	const struct inode *inode = &walk->inode;
	struct check *check = walk->check;

	if (walk->chunk_count > 0)
		check_fault(check, "size: inode %llu is inline, but has chunks",
		            (ull)inode->ino);
	if (inode->size > SCHEMA_INLINE_MAX_BYTES)
		check_fault(check,
		            "size: inode %llu is inline, but of %llu "
		            "bytes",
		            (ull)inode->ino, (ull)inode->size);
	if (walk->inline_len > inode->size ||
	    (walk->inline_len < inode->size && !data_may_have_holes(inode)))
		check_fault(check,
		            "size: inode %llu has %llu inline bytes, but the "
		            "size %llu",
		            (ull)inode->ino, (ull)walk->inline_len,
		            (ull)inode->size);
}

static void check_file(struct walk *walk)
{
	const struct inode *inode = &walk->inode;
	struct check *check = walk->check;

	if (inode->nlink == 0)
		return;
	if (data_is_inline(inode)) {
		check_inline_file(walk);
	} else {
		if (walk->has_inline)
			check_fault(check,
			            "size: inode %llu is not inline, but has "
			            "inline bytes",
			            (ull)inode->ino);
		if (!data_may_have_holes(inode) &&
		    walk->chunk_count < data_chunk_count(inode))
			check_fault(check,
			            "size: inode %llu has %llu chunks, but the "
			            "size %llu",
			            (ull)inode->ino, (ull)walk->chunk_count,
			            (ull)inode->size);
	}
	if (walk->alloc_bytes + chunk_alloc(walk->inline_len) !=
	    inode->alloc_bytes)
		check_fault(
		    check,
		    "size: inode %llu counts %llu bytes allocated, but "
		    "has %llu",
		    (ull)inode->ino, (ull)inode->alloc_bytes,
		    (ull)(walk->alloc_bytes + chunk_alloc(walk->inline_len)));
}

static void check_no_file(struct walk *walk)
{
	const struct inode *inode = &walk->inode;
	struct check *check = walk->check;

	if (walk->has_inline || walk->chunk_count > 0 ||
	    inode->alloc_bytes != 0)
		check_fault(check,
		            "size: inode %llu is no regular file, but has "
		            "contents",
		            (ull)inode->ino);
	if (S_ISLNK(inode->mode) &&
	    (!walk->has_target || walk->target_len != inode->size))
		check_fault(check,
		            "size: symlink %llu has the size %llu, but a "
		            "target of %llu bytes",
		            (ull)inode->ino, (ull)inode->size,
		            (ull)walk->target_len);
}

static void check_parts(struct walk *walk)
{
	const struct inode *inode = &walk->inode;
	bool flag = (inode->flags & SCHEMA_HAS_XATTR) != 0;

	if (S_ISREG(inode->mode))
		check_file(walk);
	else
		check_no_file(walk);
	if (walk->has_target && !S_ISLNK(inode->mode))
		check_fault(walk->check,
		            "size: inode %llu is no symlink, but has a target",
		            (ull)inode->ino);
	if (flag != walk->has_xattr)
		check_fault(walk->check,
		            "size: inode %llu has %s xattrs, but says it has "
		            "%s",
		            (ull)inode->ino, walk->has_xattr ? "some" : "no",
		            flag ? "some" : "none");
}

/* ---- orphans ------------------------------------------------------------- */

/* Whether there is an orphan record of `ino`; those of smaller numbers are
   nobody's. */
static bool take_orphan(struct walk *walk, uint64_t ino)
{
	while (lsm_iter_valid(walk->orphans)) {
		uint64_t at;

		if (schema_decode_orphan_key(lsm_iter_key(walk->orphans),
		                             &at) != LSM_OK) {
			check_fault(walk->check,
			            "orphan: a record cannot be read");
			lsm_iter_next(walk->orphans);
			continue;
		}
		if (at > ino)
			return false;
		lsm_iter_next(walk->orphans);
		if (at == ino)
			return true;
		check_fault(walk->check,
		            "orphan: inode %llu is recorded, but does not "
		            "exist",
		            (ull)at);
	}
	return false;
}

static void check_orphan(struct walk *walk)
{
	const struct inode *inode = &walk->inode;
	bool recorded = take_orphan(walk, inode->ino);
	bool flag = (inode->flags & SCHEMA_IS_ORPHAN) != 0;

	if (recorded && inode->nlink > 0)
		check_fault(walk->check,
		            "orphan: inode %llu is recorded, but has %u links",
		            (ull)inode->ino, inode->nlink);
	else if (recorded != flag)
		check_fault(walk->check,
		            "orphan: inode %llu is %srecorded, but says it is "
		            "%s",
		            (ull)inode->ino, recorded ? "" : "not ",
		            flag ? "one" : "none");
	else if (!recorded && inode->nlink == 0)
		check_fault(walk->check,
		            "orphan: inode %llu has no link, and is not "
		            "recorded",
		            (ull)inode->ino);
}

/* ---- the walk ------------------------------------------------------------ */

/* All keys of an inode were seen. */
static int end_inode(struct walk *walk)
{
	if (!walk->has_record)
		return 0;
	check_chunks(walk);
	check_parts(walk);
	check_orphan(walk);
	walk->check->used_bytes += walk->inode.alloc_bytes;
	return check_add(walk->check, &walk->inode);
}

static void begin_inode(struct walk *walk, uint64_t ino)
{
	walk->has_record = false;
	walk->inode.ino = ino;
	walk->has_inline = false;
	walk->inline_len = 0;
	walk->has_target = false;
	walk->target_len = 0;
	walk->has_xattr = false;
	walk->chunk_count = 0;
	walk->alloc_bytes = 0;
}

/* An access ACL gives the mode what the mode says, and more. */
static void check_acl(struct walk *walk, const struct schema_inode_part *part,
                      struct slice value)
{
	uint32_t mode = walk->inode.mode;

	if (!acl_is_name(part->name))
		return;
	if (acl_check(value) != 0 || acl_is_empty(value))
		check_fault(walk->check,
		            "size: inode %llu has an ACL that cannot be read",
		            (ull)part->ino);
	else if (walk->has_record &&
	         slice_equal(part->name, slice_str(ACL_ACCESS_NAME)) &&
	         (acl_give_mode(value, &mode) || mode != walk->inode.mode))
		check_fault(walk->check,
		            "size: inode %llu has an ACL that does not fit its "
		            "mode",
		            (ull)part->ino);
}

static void take_part(struct walk *walk, const struct schema_inode_part *part)
{
	struct slice value = lsm_iter_value(walk->parts);

	switch (part->part) {
	case SCHEMA_ATTR:
		walk->has_record = schema_decode_inode(value, part->ino,
		                                       &walk->inode) == LSM_OK;
		if (!walk->has_record)
			check_fault(walk->check,
			            "checksum: inode %llu: its record cannot "
			            "be read",
			            (ull)part->ino);
		return;
	case SCHEMA_INLINE:
		walk->has_inline = true;
		walk->inline_len = value.len;
		break;
	case SCHEMA_SYMLINK:
		walk->has_target = true;
		walk->target_len = value.len;
		break;
	case SCHEMA_XATTR:
		walk->has_xattr = true;
		check_acl(walk, part, value);
		break;
	}
	if (!walk->has_record)
		check_fault(walk->check,
		            "size: inode %llu has contents or xattrs, but no "
		            "record",
		            (ull)part->ino);
}

static int walk_parts(struct walk *walk)
{
	struct schema_inode_part part;
	int err = 0;

	begin_inode(walk, 0);
	for (; err == 0 && lsm_iter_valid(walk->parts);
	     lsm_iter_next(walk->parts)) {
		if (schema_decode_inode_key(lsm_iter_key(walk->parts), &part) !=
		    LSM_OK) {
			check_fault(walk->check,
			            "size: a key of an inode cannot be read");
			continue;
		}
		if (part.ino != walk->inode.ino) {
			err = end_inode(walk);
			begin_inode(walk, part.ino);
		}
		take_part(walk, &part);
	}
	if (err == 0)
		err = end_inode(walk);
	if (err != 0)
		return err;
	skip_chunks(walk, UINT64_MAX);
	(void)take_orphan(walk, UINT64_MAX);
	return 0;
}

int check_inodes(struct check *check)
{
	struct walk walk = {.check = check};
	int err;

	err = check_iter(check, SCHEMA_INODE, &walk.parts);
	if (err == 0)
		err = check_iter(check, SCHEMA_ORPHAN, &walk.orphans);
	if (err == 0)
		err = check_iter(check, SCHEMA_CHUNK, &walk.chunks);
	if (err == 0)
		err = walk_parts(&walk);
	if (err == 0)
		err = check_walk_end(check, "inodes",
		                     lsm_iter_status(walk.parts));
	if (err == 0)
		err = check_walk_end(check, "orphans",
		                     lsm_iter_status(walk.orphans));
	if (err == 0)
		err = check_walk_end(check, "chunks",
		                     lsm_iter_status(walk.chunks));
	lsm_iter_destroy(walk.parts);
	lsm_iter_destroy(walk.orphans);
	lsm_iter_destroy(walk.chunks);
	return err;
}
