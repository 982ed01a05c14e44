/* SPDX-License-Identifier: MIT */
/* err.c: what each error code says, and where system error numbers end up. */
#include "base/err.h"

#include <errno.h>

const char *lsm_strerror(enum lsm_err err)
{
	switch (err) {
	case LSM_OK:
		return "no error";
#define X(name, sys, text)                                                     \
	case LSM_ERR_##name:                                                   \
		return text;
		LSM_ERRORS(X)
#undef X
	}
	return "unknown error";
}

int lsm_errno(enum lsm_err err)
{
	switch (err) {
	case LSM_OK:
		return 0;
#define X(name, sys, text)                                                     \
	case LSM_ERR_##name:                                                   \
		return sys;
		LSM_ERRORS(X)
#undef X
	}
	return EIO;
}

enum lsm_err err_from_errno(int sys)
{
	switch (sys) {
	case ENOENT:
		return LSM_ERR_NOT_FOUND;
	case EEXIST:
	case ENOTEMPTY:
		return LSM_ERR_EXISTS;
	case EACCES:
	case EPERM:
		return LSM_ERR_ACCESS;
	case EROFS:
		return LSM_ERR_READ_ONLY;
	case ENOSPC:
	case EDQUOT:
		return LSM_ERR_NOSPACE;
	case ENOMEM:
	case EMFILE: /* nothing was done, and the disk is not to blame */
	case ENFILE:
		return LSM_ERR_NOMEM;
	case EFBIG:
		return LSM_ERR_TOO_BIG;
	case EXDEV:
	case EMLINK:
		return LSM_ERR_NO_LINK;
	case EOPNOTSUPP:
	case ENOSYS:
	case ENOTTY: /* an ioctl that this filesystem does not know */
		return LSM_ERR_NOT_SUPPORTED;
	case EBUSY:
	case EWOULDBLOCK:
	case ETXTBSY:
		return LSM_ERR_BUSY;
	default:
		return LSM_ERR_IO;
	}
}
