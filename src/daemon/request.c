/* SPDX-License-Identifier: MIT */
#include "daemon/request.h"

#include <linux/fuse.h>

#include "base/buf.h"

/* Copy the fixed part that follows the header; false where it is cut short,
   which libfuse will refuse by itself. */
static bool fixed_part(const void *data, size_t len, void *part,
                       size_t part_len)
{
	if (len < sizeof(struct fuse_in_header) + part_len)
		return false;
	memcpy(part, (const uint8_t *)data + sizeof(struct fuse_in_header),
	       part_len);
	return true;
}

/* Without an fs nothing needs credit. */
static uint64_t credit(const struct fs *fs, enum fs_credit_kind kind,
                       size_t payload_bytes)
{
	return fs != NULL ? fs_credit(fs, kind, payload_bytes) : 0;
}

static void plan_write(const struct fs *fs, const void *data, size_t len,
                       struct request_plan *plan)
{
	size_t headers =
	    sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in);
	struct fuse_write_in in;

	if (!fixed_part(data, len, &in, sizeof(in)))
		return;
	plan->credit_bytes = credit(fs, FS_CREDIT_WRITE, len - headers);
	plan->drops_set_id = (in.write_flags & FUSE_WRITE_KILL_SUIDGID) != 0;
}

static void plan_setattr(const struct fs *fs, const void *data, size_t len,
                         struct request_plan *plan)
{
	struct fuse_setattr_in in;

	if (!fixed_part(data, len, &in, sizeof(in)))
		return;
	plan->slow = (in.valid & FATTR_SIZE) != 0;
	plan->drops_set_id = (in.valid & FATTR_KILL_SUIDGID) != 0;
	if (!plan->slow)
		plan->credit_bytes = credit(fs, FS_CREDIT_ATTR, 0);
}

static void plan_name(const struct fs *fs, bool shrinking,
                      struct request_plan *plan)
{
	plan->credit_bytes = credit(fs, FS_CREDIT_NAME, 0);
	plan->shrinking = shrinking;
}

uint32_t request_disguise(void *data, size_t len)
{
	struct fuse_in_header header;
	uint32_t opcode;

	if (len < sizeof(header))
		return 0;
	memcpy(&header, data, sizeof(header));
	opcode = header.opcode;
	if (opcode == FUSE_TMPFILE)
		header.opcode = FUSE_CREATE;
	else if (opcode == REQUEST_STATX)
		header.opcode = FUSE_GETATTR;
	else
		return 0;
	memcpy(data, &header, sizeof(header));
	return opcode;
}

void request_plan(const struct fs *fs, const void *data, size_t len,
                  struct request_plan *plan)
{
	struct fuse_in_header header;

	*plan = (struct request_plan){0};
	if (len < sizeof(header))
		return;
	memcpy(&header, data, sizeof(header));

	switch (header.opcode) {
	case FUSE_INIT:
		plan->is_init = true;
		break;
	case FUSE_WRITE:
		plan_write(fs, data, len, plan);
		break;
	case FUSE_SETATTR:
		plan_setattr(fs, data, len, plan);
		break;
	case FUSE_SYMLINK:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
	case FUSE_LINK:
	case FUSE_RENAME:
	case FUSE_RENAME2:
		plan_name(fs, false, plan);
		break;
	case FUSE_UNLINK:
	case FUSE_RMDIR:
		plan_name(fs, true, plan);
		break;
	case FUSE_SETXATTR:
		plan->credit_bytes = credit(fs, FS_CREDIT_XATTR, len);
		break;
	case FUSE_REMOVEXATTR:
		plan->credit_bytes = credit(fs, FS_CREDIT_XATTR, 0);
		plan->shrinking = true;
		break;
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
		/* The kernel does not say; but to root. */
		plan->drops_set_id = header.uid != 0;
		plan->slow = true;
		break;
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
		plan->slow = true;
		break;
	default:
		break;
	}
}
