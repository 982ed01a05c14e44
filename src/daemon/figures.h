/* SPDX-License-Identifier: MIT */
/*
 * figures.h: the figures of a store and of the daemon over it, as one JSON
 * object: what `shalefs stats --json` prints. docs/shalefs.1 lists the keys.
 *
 * Threads: no state.
 */
#ifndef SHALEFS_DAEMON_FIGURES_H
#define SHALEFS_DAEMON_FIGURES_H

#include <jansson.h>

#include "fs/fs.h"

struct nodes;
struct ops;
struct transport;

struct figures_source {
	struct fs *fs;
	uint64_t budget_bytes; /* 0: none, the store is not mounted */

	/* Of a live mount; NULL and 0 otherwise. */
	struct ops *ops;
	struct nodes *nodes;
	struct transport *transport;
	uint64_t started_ns; /* of sync_now_ns() */
};

/* The caller ends it with json_decref(). NULL: out of memory. */
json_t *figures_collect(const struct figures_source *source);

#endif
