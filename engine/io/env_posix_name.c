/* SPDX-License-Identifier: MIT */
/*
 * env_posix_name.c: removing, renaming and linking names with Linux system
 * calls, and what to do where a filesystem has no such call.
 */
#include "io/env_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum lsm_err posix_unlink(struct env_dir *dir, const char *name)
{
	if (unlinkat(posix_dir(dir)->fd, name, 0) != 0)
		return posix_refuse_name(errno, "remove", dir, name);
	return LSM_OK;
}

enum lsm_err posix_rmdir(struct env_dir *dir, const char *name)
{
	if (unlinkat(posix_dir(dir)->fd, name, AT_REMOVEDIR) != 0)
		return posix_refuse_name(errno, "remove folder", dir, name);
	return LSM_OK;
}

/* Whether a folder has that name; false as well when nobody can tell. */
static bool is_folder(int dir_fd, const char *name)
{
	struct stat st;

	return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

/*
 * For filesystems without RENAME_NOREPLACE. Another process can make `to_name`
 * between the two calls; the store's lock keeps its own files safe from that,
 * and a folder which is renamed replaces at most an empty one.
 */
static int rename_if_free(int from_fd, const char *from_name, int to_fd,
                          const char *to_name)
{
	struct stat st;

	if (fstatat(to_fd, to_name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	if (errno != ENOENT)
		return -1;
	return renameat(from_fd, from_name, to_fd, to_name);
}

enum lsm_err posix_rename(struct env_dir *from, const char *from_name,
                          struct env_dir *to, const char *to_name,
                          bool no_replace)
{
	int from_fd = posix_dir(from)->fd, to_fd = posix_dir(to)->fd;
	int rc;

	if (!no_replace) {
		/* The system would replace an empty folder. */
		if (is_folder(to_fd, to_name))
			return LSM_ERR_EXISTS;
		rc = renameat(from_fd, from_name, to_fd, to_name);
	} else {
		rc = renameat2(from_fd, from_name, to_fd, to_name,
		               RENAME_NOREPLACE);
		if (rc != 0 && (errno == EINVAL || errno == ENOSYS))
			rc = rename_if_free(from_fd, from_name, to_fd, to_name);
	}
	if (rc == 0)
		return LSM_OK;
	/* A folder over a file, or what appeared since we looked. */
	if (errno == ENOTDIR || errno == EISDIR || errno == ENOTEMPTY)
		return LSM_ERR_EXISTS;
	return posix_refuse_name(errno, "rename to that name", to, to_name);
}

enum lsm_err posix_link(struct env_dir *from, const char *from_name,
                        struct env_dir *to, const char *to_name)
{
	if (linkat(posix_dir(from)->fd, from_name, posix_dir(to)->fd, to_name,
	           0) == 0)
		return LSM_OK;
	switch (errno) {
	case EXDEV:  /* another filesystem */
	case EMLINK: /* the host's limit of links */
	case EPERM:  /* protected_hardlinks, or no links at all */
	case EOPNOTSUPP:
	case ENOSYS:
		return LSM_ERR_NO_LINK;
	default:
		return posix_refuse_name(errno, "link", to, to_name);
	}
}

static bool is_reflink_refusal(int sys)
{
	return sys == EOPNOTSUPP || sys == EXDEV || sys == EINVAL ||
	       sys == ENOTTY || sys == ENOSYS || sys == EPERM;
}

/* The copy is synced: no one else holds a descriptor of it. */
enum lsm_err posix_reflink(struct env_dir *from, const char *from_name,
                           struct env_dir *to, const char *to_name)
{
	int to_fd = posix_dir(to)->fd;
	enum lsm_err err = LSM_OK;
	int source = -1, copy = -1;

	source =
	    posix_openat(posix_dir(from)->fd, from_name, O_RDONLY | O_NOFOLLOW);
	if (source < 0) {
		err = posix_refuse_name(errno, "open", from, from_name);
		goto out;
	}
	copy = posix_openat(to_fd, to_name,
	                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW);
	if (copy < 0) {
		err = posix_refuse_name(errno, "create", to, to_name);
		goto out;
	}
	if (ioctl(copy, FICLONE, source) != 0)
		err = is_reflink_refusal(errno)
		          ? LSM_ERR_NOT_SUPPORTED
		          : posix_refuse_name(errno, "reflink", to, to_name);
	else if (posix_sync_fd(copy) != 0)
		err = posix_refuse_name(errno, "sync", to, to_name);
	if (err != LSM_OK)
		unlinkat(to_fd, to_name, 0);
out:
	if (copy >= 0)
		close(copy);
	if (source >= 0)
		close(source);
	return err;
}
