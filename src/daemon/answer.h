/* SPDX-License-Identifier: MIT */
/*
 * answer.h: the last step of an answer on its way from libfuse to the kernel.
 *
 * It goes to the descriptor that its request came from, of which a connection
 * may have several, and the one to INIT is completed (handshake.h).
 *
 * Threads: an answer belongs to the thread that runs its request.
 */
#ifndef SHALEFS_DAEMON_ANSWER_H
#define SHALEFS_DAEMON_ANSWER_H

#include <fuse_lowlevel.h>

#include "lsm.h"

/* Have what libfuse sends pass through here. Once a session. Errors: ENOMEM. */
LSM_MUST_CHECK int answer_install(struct fuse_session *session);

/* The request at `data`, which this thread runs next, came from `fd`. */
void answer_expect(int fd, const void *data, size_t len);

#endif
