/* SPDX-License-Identifier: MIT */
/* ops_name.c: operations on names and folders. */
#include "daemon/ops.h"

#include <errno.h>
#include <linux/fuse.h>

void ops_lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct ops *ops = ops_count(req, OPS_LOOKUP);
	struct fs_attr attr;
	int err;

	err = fs_lookup(ops->fs, dir, slice_str(name), &attr);
	if (err == ENOENT) {
		/* An entry without an inode: the kernel remembers that there
		   is none. */
		struct fs_attr none = {0};
		struct fuse_entry_param entry;

		ops_fill_entry(&none, &entry);
		fuse_reply_entry(req, &entry);
		return;
	}
	ops_reply_entry(req, ops, err, &attr);
}

static void forget(struct ops *ops, uint64_t ino, uint64_t lookups)
{
	if (nodes_forget(ops->nodes, ino, lookups))
		ops_reclaim_later(ops, ino);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	forget(ops_count(req, OPS_FORGET), ino, lookups);
	fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count,
                      struct fuse_forget_data *forgets)
{
	struct ops *ops = ops_count(req, OPS_FORGET);

	for (size_t i = 0; i < count; i++)
		forget(ops, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* ---- making ------------------------------------------------------------- */

void ops_mknod(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
               dev_t rdev)
{
	struct ops *ops = ops_count(req, OPS_MKNOD);
	struct fs_attr attr;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_mknod(ops->fs, &op, dir, slice_str(name), mode, rdev, &attr);
	ops_reply_entry(req, ops, err, &attr);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode)
{
	struct ops *ops = ops_count(req, OPS_MKDIR);
	struct fs_attr attr;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_mkdir(ops->fs, &op, dir, slice_str(name), mode, &attr);
	ops_reply_entry(req, ops, err, &attr);
}

static void make_unnamed(fuse_req_t req, struct ops *ops, struct fs_op *op,
                         fuse_ino_t dir, mode_t mode, struct fuse_file_info *fi)
{
	struct fs_attr attr;
	int err;

	err = fs_tmpfile(ops->fs, op, dir, mode, &attr);
	if (err == 0) {
		/* Known before it is marked, so that it is not reclaimed
		   between the two; this count is given back at the end. */
		err = nodes_add(ops->nodes, attr.ino);
		if (err == 0)
			(void)nodes_orphan(ops->nodes, attr.ino);
		else
			ops_reclaim_later(ops, attr.ino);
	}
	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_reply_create(req, ops, 0, &attr, fi);
	forget(ops, attr.ino, 1);
}

void ops_create(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                struct fuse_file_info *fi)
{
	bool unnamed = ops_disguised() == FUSE_TMPFILE;
	struct ops *ops = ops_count(req, unnamed ? OPS_TMPFILE : OPS_CREATE);
	struct fs_attr attr;
	struct fs_op op;
	int err;

	/* ENOSYS, once: from then on the kernel makes a file with MKNOD and opens
	   it by itself, as any other, so that no RELEASE follows. */
	if (ops->skip_open && !unnamed) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	if (!ops_take(req, &op))
		return;
	mode = (mode & ~(mode_t)S_IFMT) | S_IFREG;
	if (unnamed) {
		make_unnamed(req, ops, &op, dir, mode, fi);
		return;
	}
	err = fs_mknod(ops->fs, &op, dir, slice_str(name), mode, 0, &attr);
	ops_reply_create(req, ops, err, &attr, fi);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
                 const char *name)
{
	struct ops *ops = ops_count(req, OPS_SYMLINK);
	struct fs_attr attr;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_symlink(ops->fs, &op, dir, slice_str(name), slice_str(target),
	                 &attr);
	ops_reply_entry(req, ops, err, &attr);
}

void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct ops *ops = ops_count(req, OPS_READLINK);
	struct buf *target = ops_scratch();
	int err;

	err = fs_readlink(ops->fs, ino, target);
	if (err == 0)
		err = fs_errno(buf_append(target, "", 1));
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_readlink(req, (const char *)target->data);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir, const char *name)
{
	struct ops *ops = ops_count(req, OPS_LINK);
	struct fs_attr attr;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_link(ops->fs, &op, ino, dir, slice_str(name), &attr);
	if (err == 0)
		nodes_revive(ops->nodes, ino);
	ops_reply_entry(req, ops, err, &attr);
}

/* ---- removing ----------------------------------------------------------- */

/* Before the reply: afterwards the kernel may forget the inode at any time. */
static void drop_victim(struct ops *ops, const struct fs_victim *victim)
{
	if (victim->ino != 0 && victim->orphan &&
	    nodes_orphan(ops->nodes, victim->ino))
		ops_reclaim_later(ops, victim->ino);
}

void ops_unlink(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct ops *ops = ops_count(req, OPS_UNLINK);
	struct fs_victim victim;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_unlink(ops->fs, &op, dir, slice_str(name), &victim);
	if (err == 0)
		drop_victim(ops, &victim);
	fuse_reply_err(req, err);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct ops *ops = ops_count(req, OPS_RMDIR);
	struct fs_victim victim;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_rmdir(ops->fs, &op, dir, slice_str(name), &victim);
	if (err == 0)
		drop_victim(ops, &victim);
	fuse_reply_err(req, err);
}

void ops_rename(fuse_req_t req, fuse_ino_t dir, const char *name,
                fuse_ino_t new_dir, const char *new_name, unsigned flags)
{
	struct ops *ops = ops_count(req, flags == 0 ? OPS_RENAME : OPS_RENAME2);
	struct fs_victim victim;
	struct fs_op op;
	int err;

	if (!ops_take(req, &op))
		return;
	err = fs_rename(ops->fs, &op, dir, slice_str(name), new_dir,
	                slice_str(new_name), flags, &victim);
	if (err == 0)
		drop_victim(ops, &victim);
	fuse_reply_err(req, err);
}

/* ---- listing ------------------------------------------------------------ */

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct ops *ops = ops_count(req, OPS_OPENDIR);

	(void)ino;
	if (ops->skip_opendir) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ops_count(req, OPS_RELEASEDIR);
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

/* One reply being filled. */
struct listing {
	fuse_req_t req;
	struct ops *ops;
	char *at;
	size_t left;
	bool plus;
	struct buf told; /* inode numbers that the reply gives lookups of */
	int err;
};

static bool is_dots(struct slice name)
{
	return slice_equal(name, slice_str(".")) ||
	       slice_equal(name, slice_str(".."));
}

/* Count the lookup that the entry gives, and note it in case the reply does not
   arrive. */
static bool tell(struct listing *listing, uint64_t ino)
{
	listing->err = fs_errno(buf_append(&listing->told, &ino, sizeof(ino)));
	if (listing->err != 0)
		return false;
	listing->err = nodes_add(listing->ops->nodes, ino);
	if (listing->err != 0)
		listing->told.len -= sizeof(ino);
	return listing->err == 0;
}

static bool emit(void *ctx, struct slice name, uint64_t next_cookie,
                 const struct fs_attr *attr)
{
	struct listing *listing = ctx;
	struct fuse_entry_param entry;
	char text[FS_NAME_MAX_BYTES + 1];
	size_t need;

	if (name.len >= sizeof(text)) {
		listing->err = EIO;
		return false;
	}
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';

	ops_fill_entry(attr, &entry);
	if (!listing->plus) {
		need =
		    fuse_add_direntry(listing->req, listing->at, listing->left,
		                      text, &entry.attr, (off_t)next_cookie);
	} else {
		/* The kernel makes no inodes of these two; and what has no links
		   could not be read: let it be looked up, and fail there. */
		if (is_dots(name) || attr->nlink == 0)
			entry.ino = 0;
		need = fuse_add_direntry_plus(listing->req, listing->at,
		                              listing->left, text, &entry,
		                              (off_t)next_cookie);
	}
	if (need > listing->left)
		return false;
	if (listing->plus && entry.ino != 0 && !tell(listing, entry.ino))
		return false;
	listing->at += need;
	listing->left -= need;
	return true;
}

static void list(fuse_req_t req, struct ops *ops, fuse_ino_t ino, size_t size,
                 off_t cookie, bool plus)
{
	struct buf *reply = ops_scratch();
	struct listing listing = {.req = req, .ops = ops, .plus = plus};
	size_t len;
	int err;

	err = fs_errno(buf_resize(reply, size));
	if (err == 0) {
		listing.at = (char *)reply->data;
		listing.left = size;
		err = fs_readdir(ops->fs, ino, (uint64_t)cookie, plus, emit,
		                 &listing);
	}
	len = size - listing.left;
	if (err == 0)
		err = listing.err;
	/* What was listed before a failure is an answer; the next call meets
	   the failure again. */
	if (err != 0 && (listing.at == NULL || len == 0)) {
		fuse_reply_err(req, err);
	} else if (fuse_reply_buf(req, (const char *)reply->data, len) != 0) {
		for (size_t at = 0; at < listing.told.len; at += sizeof(ino)) {
			uint64_t told;

			memcpy(&told, listing.told.data + at, sizeof(told));
			forget(ops, told, 1);
		}
	}
	buf_release(&listing.told);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                 struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ops_count(req, OPS_READDIR), ino, size, cookie, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                     struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ops_count(req, OPS_READDIRPLUS), ino, size, cookie, true);
}
