/* SPDX-License-Identifier: MIT */
/*
 * null_ops.h: the operations of null_fuse, as libfuse dispatches them.
 *
 * Threads: operations run on any thread, several at once.
 */
#ifndef TESTS_BENCH_NULL_OPS_H
#define TESTS_BENCH_NULL_OPS_H

#include "daemon/ops.h"
#include "tests/bench/null_tree.h"

struct null_fuse {
	struct ops ops; /* first: the daemon's own INIT answers for it */
	struct null_tree *tree;
};

/* For fuse_session_new(), whose userdata is the struct null_fuse. */
struct fuse_lowlevel_ops null_ops_table(void);

#endif
