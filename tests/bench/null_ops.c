/* SPDX-License-Identifier: MIT */
#include "tests/bench/null_ops.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

enum {
	BLOCK_BYTES = 4096,
	BLOCKS = 1 << 28, /* that statfs shows: a tebibyte */
};

static struct null_tree *tree_of(fuse_req_t req)
{
	return ((struct null_fuse *)fuse_req_userdata(req))->tree;
}

/* ---- replies -------------------------------------------------------------- */

static void reply_entry(fuse_req_t req, int err, const struct fs_attr *attr)
{
	struct null_tree *tree = tree_of(req);
	struct fuse_entry_param entry;

	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_entry(attr, &entry);
	/* The request is gone once it is replied to. */
	if (fuse_reply_entry(req, &entry) != 0)
		null_tree_forget(tree, attr->ino, 1);
}

static void reply_attr(fuse_req_t req, int err, const struct fs_attr *attr)
{
	struct fuse_entry_param entry;

	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_entry(attr, &entry);
	fuse_reply_attr(req, &entry.attr, entry.attr_timeout);
}

static void reply_none(fuse_req_t req, fuse_ino_t ino,
                       struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void reply_not_needed(fuse_req_t req, fuse_ino_t ino,
                             struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

/* ---- names ---------------------------------------------------------------- */

static void lookup(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	struct fs_attr attr = {0};
	struct fuse_entry_param none;
	int err = null_tree_lookup(tree_of(req), dir, name, &attr);

	if (err == ENOENT) {
		ops_fill_entry(&attr, &none);
		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, err, &attr);
}

static void forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	null_tree_forget(tree_of(req), ino, lookups);
	fuse_reply_none(req);
}

static void forget_multi(fuse_req_t req, size_t count,
                         struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		null_tree_forget(tree_of(req), forgets[i].ino,
		                 forgets[i].nlookup);
	fuse_reply_none(req);
}

static int make(fuse_req_t req, fuse_ino_t dir, const char *name, mode_t mode,
                dev_t rdev, const char *target, struct fs_attr *attr)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct null_make what = {
	    .mode = mode,
	    .rdev = rdev,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .target = target,
	};

	return null_tree_make(tree_of(req), dir, name, &what, attr);
}

static void make_node(fuse_req_t req, fuse_ino_t dir, const char *name,
                      mode_t mode, dev_t rdev)
{
	struct fs_attr attr;
	int err = make(req, dir, name, mode, rdev, NULL, &attr);

	reply_entry(req, err, &attr);
}

static void make_dir(fuse_req_t req, fuse_ino_t dir, const char *name,
                     mode_t mode)
{
	struct fs_attr attr;
	int err = make(req, dir, name, (mode & ~(mode_t)S_IFMT) | S_IFDIR, 0,
	               NULL, &attr);

	reply_entry(req, err, &attr);
}

static void make_symlink(fuse_req_t req, const char *target, fuse_ino_t dir,
                         const char *name)
{
	struct fs_attr attr;
	int err = make(req, dir, name, S_IFLNK | 0777, 0, target, &attr);

	reply_entry(req, err, &attr);
}

static void create(fuse_req_t req, fuse_ino_t dir, const char *name,
                   mode_t mode, struct fuse_file_info *fi)
{
	struct null_fuse *null = fuse_req_userdata(req);
	struct fuse_entry_param entry;
	struct fs_attr attr;
	int err;

	/* As the daemon: the kernel makes files with MKNOD from then on. */
	if (null->ops.skip_open) {
		fuse_reply_err(req, ENOSYS);
		return;
	}
	err = make(req, dir, name, (mode & ~(mode_t)S_IFMT) | S_IFREG, 0, NULL,
	           &attr);
	if (err != 0) {
		fuse_reply_err(req, err);
		return;
	}
	ops_fill_entry(&attr, &entry);
	fi->keep_cache = 1;
	if (fuse_reply_create(req, &entry, fi) != 0)
		null_tree_forget(null->tree, attr.ino, 1);
}

static void make_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t dir,
                      const char *name)
{
	struct fs_attr attr;
	int err = null_tree_link(tree_of(req), ino, dir, name, &attr);

	reply_entry(req, err, &attr);
}

static void remove_file(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	fuse_reply_err(req, null_tree_remove(tree_of(req), dir, name, false));
}

static void remove_dir(fuse_req_t req, fuse_ino_t dir, const char *name)
{
	fuse_reply_err(req, null_tree_remove(tree_of(req), dir, name, true));
}

static void rename_entry(fuse_req_t req, fuse_ino_t dir, const char *name,
                         fuse_ino_t new_dir, const char *new_name,
                         unsigned flags)
{
	if ((flags & ~(unsigned)RENAME_NOREPLACE) != 0) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	fuse_reply_err(req, null_tree_rename(tree_of(req), dir, name, new_dir,
	                                     new_name, flags != 0));
}

static void read_link(fuse_req_t req, fuse_ino_t ino)
{
	struct buf *target = ops_scratch();
	int err = null_tree_readlink(tree_of(req), ino, target);

	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_readlink(req, (const char *)target->data);
}

/* ---- listing -------------------------------------------------------------- */

/* One reply being filled. */
struct listing {
	fuse_req_t req;
	char *at;
	size_t left;
	bool plus;
};

static bool emit(void *ctx, const char *name, uint64_t cookie,
                 const struct fs_attr *attr)
{
	struct listing *listing = ctx;
	struct fuse_entry_param entry;
	size_t need;

	ops_fill_entry(attr, &entry);
	if (!listing->plus) {
		need =
		    fuse_add_direntry(listing->req, listing->at, listing->left,
		                      name, &entry.attr, (off_t)cookie);
	} else {
		/* The kernel makes no inodes of these two. */
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			entry.ino = 0;
		need = fuse_add_direntry_plus(listing->req, listing->at,
		                              listing->left, name, &entry,
		                              (off_t)cookie);
	}
	if (need > listing->left)
		return false;
	listing->at += need;
	listing->left -= need;
	return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                 bool plus)
{
	struct buf *reply = ops_scratch();
	struct listing listing = {.req = req, .left = size, .plus = plus};
	int err = fs_errno(buf_resize(reply, size));

	if (err == 0) {
		listing.at = (char *)reply->data;
		err = null_tree_list(tree_of(req), ino, (uint64_t)cookie, plus,
		                     emit, &listing);
	}
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_buf(req, (const char *)reply->data,
		               size - listing.left);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t cookie,
                     struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, cookie, false);
}

static void read_dir_plus(fuse_req_t req, fuse_ino_t ino, size_t size,
                          off_t cookie, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, cookie, true);
}

/* ---- contents and attributes ---------------------------------------------- */

static void read_file(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
	struct buf *data = ops_scratch();
	size_t got = 0;
	int err;

	(void)fi;
	err = fs_errno(buf_reserve(data, size));
	if (err == 0)
		err = null_tree_read(tree_of(req), ino, (uint64_t)offset,
		                     data->data, size, &got);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_buf(req, (const char *)data->data, got);
}

static void write_file(fuse_req_t req, fuse_ino_t ino, const char *data,
                       size_t size, off_t offset, struct fuse_file_info *fi)
{
	int err;

	(void)fi;
	err = null_tree_write(tree_of(req), ino, (uint64_t)offset, data, size);
	if (err != 0)
		fuse_reply_err(req, err);
	else
		fuse_reply_write(req, size);
}

static void sync_file(fuse_req_t req, fuse_ino_t ino, int datasync,
                      struct fuse_file_info *fi)
{
	(void)datasync;
	reply_none(req, ino, fi);
}

static void get_attr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs_attr attr;
	int err = null_tree_getattr(tree_of(req), ino, &attr);

	(void)fi;
	reply_attr(req, err, &attr);
}

static unsigned set_of(int to_set)
{
	unsigned set = 0;

	if ((to_set & FUSE_SET_ATTR_MODE) != 0)
		set |= NULL_SET_MODE;
	if ((to_set & FUSE_SET_ATTR_UID) != 0)
		set |= NULL_SET_UID;
	if ((to_set & FUSE_SET_ATTR_GID) != 0)
		set |= NULL_SET_GID;
	if ((to_set & FUSE_SET_ATTR_SIZE) != 0)
		set |= NULL_SET_SIZE;
	if ((to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW)) != 0)
		set |= NULL_SET_ATIME;
	if ((to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) != 0)
		set |= NULL_SET_MTIME;
	return set;
}

static void set_attr(fuse_req_t req, fuse_ino_t ino, struct stat *st,
                     int to_set, struct fuse_file_info *fi)
{
	struct fs_attr from = {
	    .mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size = (uint64_t)st->st_size,
	    .atime = st->st_atim,
	    .mtime = st->st_mtim,
	};
	struct timespec now;
	struct fs_attr attr;
	int err;

	(void)fi;
	clock_gettime(CLOCK_REALTIME, &now);
	if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0)
		from.atime = now;
	if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0)
		from.mtime = now;
	err =
	    null_tree_setattr(tree_of(req), ino, set_of(to_set), &from, &attr);
	reply_attr(req, err, &attr);
}

static void stat_fs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st = {
	    .f_bsize = BLOCK_BYTES,
	    .f_frsize = BLOCK_BYTES,
	    .f_blocks = BLOCKS,
	    .f_bfree = BLOCKS,
	    .f_bavail = BLOCKS,
	    .f_files = BLOCKS,
	    .f_ffree = BLOCKS,
	    .f_favail = BLOCKS,
	    .f_namemax = FS_NAME_MAX_BYTES,
	};

	(void)ino;
	fuse_reply_statfs(req, &st);
}

/* As the daemon answers where there is none; with ENOSYS the kernel would never
   ask again, and this would be the floor of another protocol. */
static void get_xattr(fuse_req_t req, fuse_ino_t ino, const char *name,
                      size_t size)
{
	(void)ino;
	(void)name;
	(void)size;
	fuse_reply_err(req, ENODATA);
}

struct fuse_lowlevel_ops null_ops_table(void)
{
	return (struct fuse_lowlevel_ops){
	    .init = ops_table()->init,
	    .lookup = lookup,
	    .forget = forget,
	    .forget_multi = forget_multi,
	    .getattr = get_attr,
	    .setattr = set_attr,
	    .readlink = read_link,
	    .mknod = make_node,
	    .mkdir = make_dir,
	    .unlink = remove_file,
	    .rmdir = remove_dir,
	    .symlink = make_symlink,
	    .rename = rename_entry,
	    .link = make_link,
	    .create = create,
	    .open = reply_not_needed,
	    .read = read_file,
	    .write = write_file,
	    .flush = reply_not_needed,
	    .release = reply_none,
	    .fsync = sync_file,
	    .opendir = reply_not_needed,
	    .readdir = read_dir,
	    .readdirplus = read_dir_plus,
	    .releasedir = reply_none,
	    .fsyncdir = sync_file,
	    .statfs = stat_fs,
	    .getxattr = get_xattr,
	};
}
