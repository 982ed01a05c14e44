/* SPDX-License-Identifier: MIT */
#include "fs/fs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "fs/acl.h"
#include "fs/change.h"
#include "fs/chunk.h"
#include "fs/data.h"
#include "fs/inode.h"
#include "fs/internal.h"
#include "fs/orphan.h"

_Static_assert((int)FS_NAME_MAX_BYTES == (int)SCHEMA_NAME_MAX_BYTES,
               "the schema holds every name");
_Static_assert((int)SCHEMA_OWNER_BYTES <= (int)LSM_OWNER_AREA_BYTES,
               "the superblock has room for what we keep there");
_Static_assert(2 * (int)ACL_MAX_BYTES <= (int)FS_SYMLINK_MAX_BYTES,
               "a new name has credit for what it inherits");
_Static_assert((int)SCHEMA_KEY_MAX_BYTES <= (int)LSM_KEY_MAX_BYTES,
               "the store takes every key");

struct timespec fs_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

int fs_errno(enum lsm_err err)
{
	return lsm_errno(err);
}

/* ---- make ---------------------------------------------------------------- */

int fs_format(const struct env *env, const char *path, uint32_t uid,
              uint32_t gid)
{
	struct schema_owner owner = {
	    .uid = uid,
	    .gid = gid,
	    .created = fs_now(),
	};
	uint8_t area[SCHEMA_OWNER_BYTES];

	if (getrandom(owner.secret, sizeof(owner.secret), 0) !=
	    (ssize_t)sizeof(owner.secret))
		return EIO;
	schema_encode_owner(area, &owner);
	return fs_errno(lsm_create(env, path, slice_make(area, sizeof(area))));
}

/* ---- open ---------------------------------------------------------------- */

/* Errors: EPROTO, EPROTONOSUPPORT, EIO. */
static int read_owner(struct fs *fs, const char *path)
{
	enum lsm_err err;

	err = schema_decode_owner(lsm_owner_area(fs->store), &fs->owner);
	if (err == LSM_OK)
		return 0;
	if (err == LSM_ERR_NOT_STORE) {
		log_error("%s: the store holds no shalefs filesystem", path);
		return EPROTO;
	}
	log_error("%s: the description of the filesystem: %s", path,
	          lsm_strerror(err));
	return fs_errno(err);
}

/* The first batch of a store. */
static int write_root(struct fs *fs)
{
	struct change change;
	struct inode root;
	int err;

	fs->is_empty = true;
	err = inode_load(fs, NULL, FS_ROOT_INO, &root);
	fs->is_empty = fs->read_only;
	if (err != 0 || fs->read_only)
		return err;
	err = change_begin(&change, fs, NULL, fs_credit(fs, FS_CREDIT_NAME, 0),
	                   false);
	if (err != 0)
		return err;
	change.inodes = 1;
	inode_save(&change, &root);
	err = change_commit(&change);
	change_end(&change);
	return err;
}

/* With the store open: what is in it. */
static int begin(struct fs *fs, const char *path)
{
	int64_t numbers = lsm_counter(fs->store, SCHEMA_COUNT_NUMBERS);
	int err;

	err = read_owner(fs, path);
	if (err != 0)
		return err;
	if (numbers < 0 || numbers > (int64_t)SCHEMA_INO_LIMIT) {
		log_error("%s: the count of inode numbers is damaged", path);
		return EIO;
	}
	number_pool_init(&fs->numbers, FS_FIRST_INO + (uint64_t)numbers);
	ilock_table_init(&fs->locks);
	space_init(&fs->space);
	if (lsm_sequence(fs->store) == 0)
		err = write_root(fs);
	if (err == 0 && !fs->read_only)
		orphan_reclaim_all(fs);
	if (err != 0) {
		number_pool_release(&fs->numbers);
		ilock_table_release(&fs->locks);
		space_release(&fs->space);
	}
	return err;
}

int fs_open(struct lsm_runtime *runtime, const char *path,
            const struct lsm_options *options, struct fs **fs_out)
{
	struct lsm_options own;
	struct fs *fs;
	int err;

	*fs_out = NULL;
	fs = calloc(1, sizeof(*fs));
	if (fs == NULL)
		return ENOMEM;
	if (options != NULL)
		own = *options;
	else
		lsm_options_init(&own);
	own.fold = chunk_fold;
	own.fold_ctx = NULL;
	own.range_prefix_bytes = SCHEMA_CHUNK_PREFIX_BYTES;
	fs->read_only = own.read_only;
	fs->hash_mask = UINT64_MAX;
	err = fs_errno(lsm_open(runtime, path, &own, &fs->store));
	if (err == 0)
		err = begin(fs, path);
	if (err == 0) {
		*fs_out = fs;
		return 0;
	}
	/* What keeps it from closing well matters less than why we close. */
	(void)lsm_close(fs->store);
	free(fs);
	return err;
}

int fs_close(struct fs *fs)
{
	int err;

	if (fs == NULL)
		return 0;
	err = fs_errno(lsm_close(fs->store));
	number_pool_release(&fs->numbers);
	ilock_table_release(&fs->locks);
	space_release(&fs->space);
	free(fs);
	return err;
}

/* ---- the whole ----------------------------------------------------------- */

static uint64_t at_least_zero(int64_t count)
{
	return count > 0 ? (uint64_t)count : 0;
}

uint64_t fs_used_bytes(const struct fs *fs)
{
	return at_least_zero(lsm_counter(fs->store, SCHEMA_COUNT_USED_BYTES));
}

struct lsm *fs_store(struct fs *fs)
{
	return fs->store;
}

bool fs_read_only(const struct fs *fs)
{
	return fs->read_only;
}

void fs_hold_atime(struct fs *fs, bool all, bool dirs)
{
	fs->holds_atime = all;
	fs->holds_dir_atime = all || dirs;
}

int fs_sync(struct fs *fs)
{
	return fs_errno(lsm_sync(fs->store));
}

int fs_statfs(struct fs *fs, struct fs_usage *usage)
{
	int64_t numbers = lsm_counter(fs->store, SCHEMA_COUNT_NUMBERS);
	int err;

	*usage = (struct fs_usage){0};
	usage->used_bytes = fs_used_bytes(fs);
	err = fs_errno(space_ask(&fs->space, fs->store, usage->used_bytes,
	                         &usage->total_bytes, &usage->free_bytes));
	if (err != 0)
		return err;
	usage->available_bytes = usage->free_bytes;
	usage->inodes =
	    fs->is_empty
		? 1
		: at_least_zero(lsm_counter(fs->store, SCHEMA_COUNT_INODES));
	usage->free_inodes =
	    SCHEMA_INO_LIMIT - FS_FIRST_INO - at_least_zero(numbers);
	return 0;
}

/* ---- credit -------------------------------------------------------------- */

enum {
	RECORD_BYTES = SCHEMA_INODE_BYTES + SCHEMA_KEY_MAX_BYTES,
	ENTRY_BYTES = SCHEMA_DIRENT_HEAD_BYTES + FS_NAME_MAX_BYTES,

	/* A rename: two entries written, holes below the old one cleared, two
	   directories and two inodes saved, an orphan recorded. What a new
	   symlink takes for its target, others may for their ACLs. */
	NAME_ENTRIES = 8 + SCHEMA_SLOTS,
	NAME_BYTES = 4 * SCHEMA_INODE_BYTES + 2 * ENTRY_BYTES +
	             FS_SYMLINK_MAX_BYTES + NAME_ENTRIES * 32,

	/* Beside the chunks of a write: record, inline bytes. */
	WRITE_ENTRIES = 4,
	WRITE_BYTES = RECORD_BYTES + SCHEMA_INLINE_MAX_BYTES + 64,
};

/* Whole chunks are written as they are; the first and the last may have to be
   folded. */
static uint64_t write_credit(const struct fs *fs, size_t bytes)
{
	size_t chunks = bytes / CHUNK_BYTES + 2;

	return lsm_admission_bound(fs->store, chunks + WRITE_ENTRIES,
	                           bytes + 2 * CHUNK_VALUE_MAX_BYTES +
	                               chunks * 32 + WRITE_BYTES);
}

uint64_t fs_credit(const struct fs *fs, enum fs_credit_kind kind,
                   size_t payload_bytes)
{
	switch (kind) {
	case FS_CREDIT_NAME:
		return lsm_admission_bound(fs->store, NAME_ENTRIES, NAME_BYTES);
	case FS_CREDIT_ATTR:
		return lsm_admission_bound(fs->store, 1, RECORD_BYTES);
	case FS_CREDIT_SIZE:
		return lsm_admission_bound(
		    fs->store, DATA_CUT_MAX_KEYS + WRITE_ENTRIES + 1,
		    DATA_CUT_MAX_KEYS * 32 + WRITE_BYTES + ACL_MAX_BYTES);
	case FS_CREDIT_XATTR:
		return lsm_admission_bound(fs->store, 2,
		                           payload_bytes + RECORD_BYTES +
		                               SCHEMA_KEY_MAX_BYTES);
	case FS_CREDIT_WRITE:
		return write_credit(fs, payload_bytes);
	case FS_CREDIT_COPY:
		return write_credit(fs, FS_COPY_MAX_BYTES);
	}
	assert(false);
	return 0;
}
