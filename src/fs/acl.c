/* SPDX-License-Identifier: MIT */
#include "fs/acl.h"

#include <errno.h>

#include "base/coding.h"
#include "base/log.h"

enum {
	ACL_VERSION = 2,
	HEAD_BYTES = 4,
	ENTRY_BYTES = 8,

	/* Tags. */
	USER_OBJ = 0x01,
	USER = 0x02,
	GROUP_OBJ = 0x04,
	GROUP = 0x08,
	MASK = 0x10,
	OTHER = 0x20,
};

#define NOBODY UINT32_C(0xffffffff)

/* ---- entries ------------------------------------------------------------- */

static size_t entry_count(struct slice acl)
{
	return (acl.len - HEAD_BYTES) / ENTRY_BYTES;
}

static unsigned get_tag(const uint8_t *acl, size_t i)
{
	return get_u16(acl + HEAD_BYTES + i * ENTRY_BYTES);
}

static unsigned get_perm(const uint8_t *acl, size_t i)
{
	return get_u16(acl + HEAD_BYTES + i * ENTRY_BYTES + 2);
}

/* At most 7. */
static void set_perm(uint8_t *acl, size_t i, unsigned perm)
{
	acl[HEAD_BYTES + i * ENTRY_BYTES + 2] = (uint8_t)perm;
}

/* How far the three bits of that entry lie to the left in a mode. The mask
   stands in for the group where there is one. -1: they are in no mode. */
static int shift_of(unsigned tag, bool has_mask)
{
	switch (tag) {
	case USER_OBJ:
		return 6;
	case GROUP_OBJ:
		return has_mask ? -1 : 3;
	case MASK:
		return 3;
	case OTHER:
		return 0;
	default:
		return -1;
	}
}

static bool has_mask(struct slice acl)
{
	for (size_t i = 0; i < entry_count(acl); i++) {
		if (get_tag(acl.data, i) == MASK)
			return true;
	}
	return false;
}

bool acl_is_name(struct slice name)
{
	return slice_equal(name, slice_str(ACL_ACCESS_NAME)) ||
	       slice_equal(name, slice_str(ACL_DEFAULT_NAME));
}

bool acl_is_empty(struct slice acl)
{
	return acl.len <= HEAD_BYTES;
}

/* One of each of the three that there must be, in their order; users and groups
   between them, and then a mask too. */
int acl_check(struct slice acl)
{
	unsigned last = 0, seen = 0;

	if (acl.len < HEAD_BYTES || get_u32(acl.data) != ACL_VERSION ||
	    (acl.len - HEAD_BYTES) % ENTRY_BYTES != 0)
		return EINVAL;
	if (entry_count(acl) > ACL_MAX_ENTRIES)
		return E2BIG;
	for (size_t i = 0; i < entry_count(acl); i++) {
		unsigned tag = get_tag(acl.data, i);
		bool many = tag == USER || tag == GROUP;

		if (tag < last || (tag == last && !many) || tag > OTHER ||
		    (tag & (tag - 1)) != 0 || get_perm(acl.data, i) > 7)
			return EINVAL;
		if (many && get_u32(acl.data + HEAD_BYTES + i * ENTRY_BYTES +
		                     4) == NOBODY)
			return EINVAL;
		last = tag;
		seen |= tag;
	}
	if (seen == 0)
		return 0;
	if ((seen & (USER_OBJ | GROUP_OBJ | OTHER)) !=
	        (USER_OBJ | GROUP_OBJ | OTHER) ||
	    ((seen & (USER | GROUP)) != 0 && (seen & MASK) == 0))
		return EINVAL;
	return 0;
}

bool acl_give_mode(struct slice acl, uint32_t *mode)
{
	bool mask = has_mask(acl);
	bool is_plain = true;
	uint32_t bits = 0;

	for (size_t i = 0; i < entry_count(acl); i++) {
		unsigned tag = get_tag(acl.data, i);
		int shift = shift_of(tag, mask);

		if (shift >= 0)
			bits |= get_perm(acl.data, i) << shift;
		if (tag == USER || tag == GROUP || tag == MASK)
			is_plain = false;
	}
	*mode = (*mode & ~(uint32_t)0777) | bits;
	return is_plain;
}

/* Its entries that a mode has too: what the mode says, or no more than that. */
static void take_mode(struct buf *acl, uint32_t mode, bool only_less)
{
	bool mask = has_mask(buf_slice(acl));

	for (size_t i = 0; i < entry_count(buf_slice(acl)); i++) {
		int shift = shift_of(get_tag(acl->data, i), mask);
		unsigned perm;

		if (shift < 0)
			continue;
		perm = mode >> shift & 7;
		if (only_less)
			perm &= get_perm(acl->data, i);
		set_perm(acl->data, i, perm);
	}
}

/* ---- of inodes ----------------------------------------------------------- */

/* Empty where it has none. Errors: EIO, ENOMEM. */
static int load(struct fs *fs, const struct inode *inode, const char *name,
                struct buf *acl)
{
	struct schema_key key;
	enum lsm_err err;

	buf_clear(acl);
	if ((inode->flags & SCHEMA_HAS_XATTR) == 0)
		return 0;
	schema_xattr_key(&key, inode->ino, slice_str(name));
	err = lsm_get(fs->store, NULL, schema_slice(&key), acl);
	if (err == LSM_ERR_NOT_FOUND) {
		buf_clear(acl);
		return 0;
	}
	if (err == LSM_OK && acl_check(buf_slice(acl)) != 0) {
		log_error("inode %llu: its %s cannot be read",
		          (unsigned long long)inode->ino, name);
		err = LSM_ERR_CORRUPT;
	}
	return fs_errno(err);
}

static void save(struct change *change, struct inode *inode, const char *name,
                 const struct buf *acl)
{
	struct schema_key key;

	schema_xattr_key(&key, inode->ino, slice_str(name));
	change_put(change, &key, buf_slice(acl));
	inode->flags |= SCHEMA_HAS_XATTR;
}

int acl_inherit(struct change *change, const struct inode *dir, uint32_t umask,
                struct inode *inode)
{
	struct buf acl = BUF_INIT;
	int err = load(change->fs, dir, ACL_DEFAULT_NAME, &acl);

	if (err != 0 || S_ISLNK(inode->mode))
		goto out;
	if (acl_is_empty(buf_slice(&acl))) {
		inode->mode &= ~(umask & 0777);
		goto out;
	}
	if (S_ISDIR(inode->mode))
		save(change, inode, ACL_DEFAULT_NAME, &acl);
	take_mode(&acl, inode->mode, true);
	if (!acl_give_mode(buf_slice(&acl), &inode->mode))
		save(change, inode, ACL_ACCESS_NAME, &acl);
out:
	buf_release(&acl);
	return err;
}

int acl_follow_mode(struct change *change, const struct inode *inode)
{
	struct buf acl = BUF_INIT;
	struct schema_key key;
	int err = load(change->fs, inode, ACL_ACCESS_NAME, &acl);

	if (err == 0 && !acl_is_empty(buf_slice(&acl))) {
		take_mode(&acl, inode->mode, false);
		schema_xattr_key(&key, inode->ino, slice_str(ACL_ACCESS_NAME));
		change_put(change, &key, buf_slice(&acl));
	}
	buf_release(&acl);
	return err;
}
