/* SPDX-License-Identifier: MIT */
/*
 * skiplist.h: an ordered set of versions (internal key, value) over an arena.
 *
 * Inserting has two steps, so that nothing can fail once a batch is in the log:
 * skiplist_prepare() takes memory and copies the bytes, skiplist_link() makes
 * the node visible and cannot fail. No node is ever changed or freed before the
 * whole list is. (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced
 * Trees", CACM 1990; p = 1/4.)
 *
 * Threads: one at a time prepares; any number link and read, with no lock, at
 * the same time. A node is published from level 0 upwards, by a release on each;
 * readers load with acquire.
 */
#ifndef LSM_MEM_SKIPLIST_H
#define LSM_MEM_SKIPLIST_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/key.h"
#include "base/sync.h"

enum {
	SKIPLIST_MAX_HEIGHT = 12,
	/* The most that a node takes beyond its user key and value: links,
	   lengths, trailer, alignment. */
	SKIPLIST_NODE_OVERHEAD_BYTES = 12 * 8 + 8 + KEY_TRAILER_BYTES + 7,
};

struct skiplist_node;

struct skiplist {
	_Atomic(struct skiplist_node *) head[SKIPLIST_MAX_HEIGHT];
	atomic_int height;   /* grows; a stale value is harmless */
	struct arena *arena; /* constant; not owned */
	char apart[SYNC_APART_BYTES];
	uint64_t random; /* who prepares */
};

void skiplist_init(struct skiplist *list, struct arena *arena);

/*
 * Make a node of user key, trailer and value. NULL when out of memory. Until it
 * is linked, skiplist_chain() and skiplist_chained() string nodes together for
 * the caller.
 */
struct skiplist_node *skiplist_prepare(struct skiplist *list, struct slice user,
                                       uint64_t trailer, struct slice value);
void skiplist_chain(struct skiplist_node *node, struct skiplist_node *next);
struct skiplist_node *skiplist_chained(const struct skiplist_node *node);

/* Make the node visible. No equal internal key is in the list. */
void skiplist_link(struct skiplist *list, struct skiplist_node *node);

/* The first node with internal key >= target, or NULL; then the next. */
const struct skiplist_node *skiplist_seek(const struct skiplist *list,
                                          struct slice target);
const struct skiplist_node *skiplist_first(const struct skiplist *list);
const struct skiplist_node *skiplist_next(const struct skiplist_node *node);

/* The last node with internal key < target, or NULL; the last of all. Nodes
   have no links back: each is a search of its own. */
const struct skiplist_node *skiplist_before(const struct skiplist *list,
                                            struct slice target);
const struct skiplist_node *skiplist_last(const struct skiplist *list);

/* Borrowed for the life of the arena. */
struct slice skiplist_key(const struct skiplist_node *node);
struct slice skiplist_value(const struct skiplist_node *node);

#endif
