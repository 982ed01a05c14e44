/* SPDX-License-Identifier: MIT */
/*
 * acl.h: POSIX access control lists.
 *
 * They are xattrs like others, in the form in which Linux hands them about:
 * version u32 (2), then tag u16, permissions u16 and id u32 for each entry. What
 * is decided by them is the kernel's business (FUSE_POSIX_ACL); what they have to
 * do with modes is ours: an access ACL gives a file its mode, a new mode changes
 * the ACL, a new file inherits the default ACL of its directory.
 *
 * An access ACL that says no more than nine bits can is not kept. So a file
 * without one costs what it did, and whether it has any xattr at all, its record
 * says.
 *
 * Threads: no state. What takes a change needs the inode's lock.
 */
#ifndef SHALEFS_FS_ACL_H
#define SHALEFS_FS_ACL_H

#include "fs/change.h"

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

enum {
	ACL_MAX_ENTRIES = 255,
	/* Of one. Two take no more than a symlink's target, which is in the
	   credit of every new name. */
	ACL_MAX_BYTES = 4 + 8 * ACL_MAX_ENTRIES,
};

/* Whether that is the name of one of the two. */
bool acl_is_name(struct slice name);

/* Errors: EINVAL, E2BIG. */
int acl_check(struct slice acl);

/* Whether it has no entries: to set it means to remove it. */
bool acl_is_empty(struct slice acl);

/* The mode `mode` with the nine bits that the ACL gives. True: it says no more
   than those. */
bool acl_give_mode(struct slice acl, uint32_t *mode);

/*
 * The new inode's mode, and its ACLs where the directory has a default one; else
 * `umask` applies. Errors: EIO, ENOMEM.
 */
int acl_inherit(struct change *change, const struct inode *dir, uint32_t umask,
                struct inode *inode);

/* The mode was set: let the access ACL say the same. Errors: EIO, ENOMEM. */
int acl_follow_mode(struct change *change, const struct inode *inode);

#endif
