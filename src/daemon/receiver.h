/* SPDX-License-Identifier: MIT */
/*
 * receiver.h: how the next request is waited for on /dev/fuse.
 *
 * Two ways to spare wake-ups: other processors are kept awake (awake.h), or the
 * receiver itself looks for the next request for some microseconds before it
 * sleeps. How long it looks adapts: longer while requests follow soon after it
 * fell asleep, shorter while they do not, and soon not at all; and it stops when
 * it finds that others want its processor.
 *
 * It looks through a second descriptor of the same connection, which does not
 * block. An answer has to go where its request came from.
 *
 * Threads: receiver_read() from one at a time, the counts from any.
 */
#ifndef SHALEFS_DAEMON_RECEIVER_H
#define SHALEFS_DAEMON_RECEIVER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "daemon/awake.h"

enum receiver_wakeup {
	RECEIVER_AUTO, /* HOLD on few processors if allowed; or else SPIN */
	RECEIVER_HOLD, /* keep processors awake; or else SPIN */
	RECEIVER_SPIN, /* look before sleeping; on one processor it sleeps */
	RECEIVER_SLEEP,
};

struct receiver {
	/* Constant after open. */
	int fd;              /* not owned */
	int spin_fd;         /* -1: it does not spin */
	struct awake *awake; /* NULL: it does not hold */

	uint64_t spin_ns; /* how long it looks at present */

	/* Relaxed: figures. */
	_Atomic uint64_t received, spun;
};

/* On the open connection `fd`. What is not allowed here is done without. */
void receiver_open(struct receiver *receiver, int fd,
                   enum receiver_wakeup wakeup);
void receiver_close(struct receiver *receiver);

/* As read(2) on the connection; *fd_out is where to answer. */
ssize_t receiver_read(struct receiver *receiver, void *data, size_t len,
                      int *fd_out);

#endif
