/* SPDX-License-Identifier: MIT */
/*
 * null_node.h: what null_tree.c and null_names.c share.
 *
 * Threads: whoever calls holds tree->mu.
 */
#ifndef TESTS_BENCH_NULL_NODE_H
#define TESTS_BENCH_NULL_NODE_H

#include "base/sync.h"
#include "tests/bench/null_data.h"
#include "tests/bench/null_tree.h"

/* Cookies: 1 follows ".", 2 follows "..", then the entries. */
enum { NULL_FIRST_COOKIE = 3 };

/* One name. */
struct null_entry {
	struct null_entry *next; /* in its bucket */
	uint64_t dir, ino;
	uint64_t cookie;
	char name[];
};

struct null_node {
	struct fs_attr attr;
	uint64_t lookups;

	struct null_data data; /* a file's */

	/* A folder's entries, in the order in which they came: that with cookie c
	   is list[c - list_first], NULL once it is gone. */
	struct null_entry **list;
	size_t list_count, list_capacity;
	uint64_t list_first;
	uint64_t names;
	uint64_t parent;

	char *target; /* a symlink's */
};

struct null_tree {
	struct sync_mutex mu;

	/* All below: guarded by mu. */
	struct null_node **nodes; /* by inode number; NULL: gone */
	size_t node_count, node_capacity;
	struct null_entry **buckets;
	size_t bucket_count; /* a power of two */
	size_t entry_count;
};

struct timespec null_now(void);

/* NULL: there is none. */
struct null_node *null_node_at(struct null_tree *tree, uint64_t ino);
LSM_MUST_CHECK int null_node_create(struct null_tree *tree,
                                    const struct null_make *make,
                                    struct null_node **node_out);
/* Free it if nobody can reach it any more. */
void null_node_drop(struct null_tree *tree, struct null_node *node);
/* Its contents did: move the times. */
void null_node_changed(struct null_node *node);

#endif
