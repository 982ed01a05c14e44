/* SPDX-License-Identifier: MIT */
/*
 * session.h: one mount, from open to close, in an order that loses nothing:
 *
 *   runtime, store (locks it), control socket, mount, readers, INIT answered
 *   ... until the kernel unmounts, or a signal asks for the end ...
 *   readers gone and every request answered, control socket removed, orphans
 *   reclaimed, store closed, whoever waits for that told
 *
 * Threads: session_run() from the main thread, before any other exists; it
 * blocks the signals that end the session for all of them.
 */
#ifndef SHALEFS_DAEMON_SESSION_H
#define SHALEFS_DAEMON_SESSION_H

#include "daemon/options.h"

struct session_config {
	const char *store;      /* absolute */
	const char *mountpoint; /* absolute */
	const struct options *options;

	/* Called once, in the calling thread, when the mount can be used. */
	void (*on_ready)(void *ctx);
	void *ctx;
};

/*
 * Mount, serve until the end, close. Every failure is logged, first of all the
 * one that is returned. Errors: a mount that cannot be made, a store that
 * cannot be opened or not be closed without loss.
 */
LSM_MUST_CHECK int session_run(const struct session_config *config);

#endif
