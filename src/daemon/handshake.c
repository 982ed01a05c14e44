/* SPDX-License-Identifier: MIT */
#include "daemon/handshake.h"

#include <linux/fuse.h>
#include <string.h>

enum { WANTED = FUSE_HANDLE_KILLPRIV_V2 };

uint32_t handshake_flags(const void *data, size_t len)
{
	struct fuse_in_header header;
	uint32_t offered;
	size_t at = sizeof(header) + offsetof(struct fuse_init_in, flags);

	if (len < at + sizeof(offered))
		return 0;
	memcpy(&header, data, sizeof(header));
	if (header.opcode != FUSE_INIT)
		return 0;
	memcpy(&offered, (const uint8_t *)data + at, sizeof(offered));
	return offered & WANTED;
}

void handshake_complete(const struct iovec *parts, int count, uint32_t flags)
{
	size_t at = offsetof(struct fuse_init_out, flags);
	struct fuse_out_header header;
	uint32_t agreed;

	if (count != 2 || parts[0].iov_len != sizeof(header) ||
	    parts[1].iov_len < at + sizeof(agreed))
		return;
	memcpy(&header, parts[0].iov_base, sizeof(header));
	if (header.error != 0)
		return;
	memcpy(&agreed, (uint8_t *)parts[1].iov_base + at, sizeof(agreed));
	agreed |= flags;
	memcpy((uint8_t *)parts[1].iov_base + at, &agreed, sizeof(agreed));
}
