/* SPDX-License-Identifier: MIT */
/*
 * dir_list.c: listing. The cookie of an entry is its place, so a listing needs
 * no state between calls: it goes on after the cookie, whatever came or went.
 */
#include "fs/dir.h"

#include <errno.h>

#include "fs/inode.h"

enum {
	COOKIE_AFTER_DOT = 1,
	COOKIE_AFTER_DOTDOT = 2,
};

struct listing {
	struct fs *fs;
	struct lsm_snapshot *snap;
	struct inode dir;
	bool plus;
	fs_emit_fn emit;
	void *ctx;
	bool emitted; /* at least one */
	bool full;    /* the taker has no room */
};

/* Give out one entry. Of an inode that cannot be read, or without `plus`, there
   are only number and type, and no link. */
static void emit(struct listing *listing, struct slice name, uint64_t next,
                 uint64_t ino, uint32_t type)
{
	struct fs_attr attr = {.ino = ino, .mode = type};
	struct inode inode;

	if (listing->plus &&
	    inode_load(listing->fs, listing->snap, ino, &inode) == 0)
		inode_attr(&inode, &attr);
	if (listing->emit(listing->ctx, name, next, &attr))
		listing->emitted = true;
	else
		listing->full = true;
}

static void emit_dots(struct listing *listing, uint64_t cookie)
{
	if (cookie < COOKIE_AFTER_DOT)
		emit(listing, slice_str("."), COOKIE_AFTER_DOT,
		     listing->dir.ino, S_IFDIR);
	if (cookie < COOKIE_AFTER_DOTDOT && !listing->full)
		emit(listing, slice_str(".."), COOKIE_AFTER_DOTDOT,
		     listing->dir.parent, S_IFDIR);
}

static enum lsm_err emit_found(struct listing *listing, struct lsm_iter *iter)
{
	struct schema_dirent entry;
	uint64_t dir, cookie;
	enum lsm_err err;

	err = schema_decode_dirent_key(lsm_iter_key(iter), &dir, &cookie);
	if (err == LSM_OK)
		err = schema_decode_dirent(lsm_iter_value(iter), &entry);
	if (err == LSM_OK && entry.ino != 0)
		emit(listing, entry.name, cookie, entry.ino, entry.type);
	return err;
}

static enum lsm_err emit_entries(struct listing *listing, uint64_t cookie)
{
	struct schema_key lower, upper;
	struct lsm_iter *iter = NULL;
	enum lsm_err err;

	schema_dirent_key(&lower, listing->dir.ino, cookie + 1);
	schema_dirent_key(&upper, listing->dir.ino, UINT64_MAX);
	err =
	    lsm_iter_create(listing->fs->store, listing->snap,
	                    schema_slice(&lower), schema_slice(&upper), &iter);
	if (err != LSM_OK)
		return err;
	lsm_iter_seek(iter, schema_slice(&lower));
	while (err == LSM_OK && !listing->full && lsm_iter_valid(iter)) {
		err = emit_found(listing, iter);
		lsm_iter_next(iter);
	}
	if (err == LSM_OK)
		err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return err;
}

static int list(struct listing *listing, uint64_t dir, uint64_t cookie)
{
	enum lsm_err failure = LSM_OK;
	int err;

	err = inode_load_dir(listing->fs, listing->snap, dir, &listing->dir);
	if (err != 0)
		return err;
	emit_dots(listing, cookie);
	if (!listing->full && cookie <= INT64_MAX)
		failure = emit_entries(listing, cookie);
	/* What was given out is good; the next call meets the failure. */
	return listing->emitted ? 0 : fs_errno(failure);
}

int fs_readdir(struct fs *fs, uint64_t dir, uint64_t cookie, bool plus,
               fs_emit_fn emit_fn, void *ctx)
{
	struct listing listing = {
	    .fs = fs,
	    .plus = plus,
	    .emit = emit_fn,
	    .ctx = ctx,
	};
	int err;

	err = fs_errno(lsm_snapshot_take(fs->store, &listing.snap));
	if (err != 0)
		return err;
	err = list(&listing, dir, cookie);
	lsm_snapshot_release(fs->store, listing.snap);
	if (err == 0 && cookie == 0)
		inode_accessed(fs, &listing.dir);
	return err;
}
