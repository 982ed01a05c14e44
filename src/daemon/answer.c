/* SPDX-License-Identifier: MIT */
#include "daemon/answer.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "daemon/handshake.h"

/* Of the request that this thread runs. */
static _Thread_local struct {
	int fd;              /* 0: none; then it is a notification */
	uint32_t init_flags; /* to be added, if it is INIT */
} expected;

static ssize_t send_answer(int fd, struct iovec *parts, int count, void *ctx)
{
	(void)ctx;
	if (expected.init_flags != 0)
		handshake_complete(parts, count, expected.init_flags);
	return writev(expected.fd != 0 ? expected.fd : fd, parts, count);
}

/* libfuse wants this one too, for a loop of its own that nobody runs. */
static ssize_t receive(int fd, void *data, size_t len, void *ctx)
{
	(void)ctx;
	return read(fd, data, len);
}

int answer_install(struct fuse_session *session)
{
	static const struct fuse_custom_io io = {
	    .writev = send_answer,
	    .read = receive,
	};

	return fuse_session_custom_io(session, &io, fuse_session_fd(session)) ==
	               0
	           ? 0
	           : ENOMEM;
}

void answer_expect(int fd, const void *data, size_t len)
{
	expected.fd = fd;
	expected.init_flags = handshake_flags(data, len);
}
