/* SPDX-License-Identifier: MIT */
/*
 * transport.h: the seam between requests and what carries them.
 *
 * A transport takes requests from the kernel, sees to credit before it runs
 * them, and runs each through libfuse (and so the operations of ops.h) on one
 * of its own threads or on a lane. It never waits for credit where it receives:
 * a request that must wait is parked, holding no thread.
 */
#ifndef SHALEFS_DAEMON_TRANSPORT_H
#define SHALEFS_DAEMON_TRANSPORT_H

#include <fuse_lowlevel.h>

#include "daemon/lane.h"
#include "daemon/receiver.h"
#include "fs/fs.h"

struct transport_config {
	struct fuse_session *session; /* mounted */
	struct fs *fs;                /* NULL: nothing needs credit */
	struct lane *quick;           /* for what holds its credit */
	struct lane *slow;            /* for what may wait */
	bool disguises;               /* operations ask ops_disguised() */
	unsigned readers; /* threads; one receives, more than one work only
	                     where that one must wait */
	enum receiver_wakeup wakeup;
	uint64_t parked_limit_bytes; /* of requests that wait for credit */

	/* Called from the transport's threads, each at most once. */
	void (*on_ready)(void *ctx, bool agreed); /* INIT was answered */
	void (*on_end)(void *ctx); /* no request will come any more */
	void *ctx;
};

struct transport_stats {
	uint64_t parked_bytes, parked_peak_bytes;
	uint64_t parked; /* requests that had to wait for credit, so far */

	/* Also so far. */
	uint64_t received;
	uint64_t spun;        /* of these, found before sleeping */
	uint64_t handed_over; /* waits in which another thread received */
	uint64_t held_awake;  /* times that processors were kept awake */
};

struct transport;

struct transport_ops {
	/* Begin to receive. Errors: ENOMEM. */
	int (*start)(const struct transport_config *config,
	             struct transport **transport_out);
	/* Stop receiving, wait until every request received is answered,
	   free. */
	void (*stop)(struct transport *transport);
	void (*stats)(struct transport *transport,
	              struct transport_stats *stats);
};

/* What implements the table embeds this as its first member. */
struct transport {
	const struct transport_ops *ops;
};

/* Threads that read /dev/fuse: transport_dev.c. */
extern const struct transport_ops transport_dev;

#endif
