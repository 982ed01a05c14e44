/* SPDX-License-Identifier: MIT */
/*
 * skiplist.c: a node is one allocation: lengths, links, internal key, value.
 *
 * Why readers need no lock: a link only ever changes from one node to another
 * that stands before it, and the new node is whole (bytes and own links) before
 * a release store makes it reachable. A reader that still sees the old link, or
 * an old height, takes a longer way to the same place.
 */
#include "mem/skiplist.h"

#include <assert.h>
#include <string.h>

typedef _Atomic(struct skiplist_node *) link;

struct skiplist_node {
	/* Constant once prepared. */
	uint32_t value_len;
	uint16_t key_len;
	uint8_t height;

	/* `height` links, then key and value. Until the node is linked, the
	   first one belongs to the chain. */
	link next[];
};

enum { NODE_ALIGN_BYTES = sizeof(link) };

_Static_assert(sizeof(struct skiplist_node) == 8, "the overhead counts 8");
_Static_assert((size_t)SKIPLIST_NODE_OVERHEAD_BYTES ==
                   sizeof(struct skiplist_node) +
                       SKIPLIST_MAX_HEIGHT * sizeof(link) + KEY_TRAILER_BYTES +
                       NODE_ALIGN_BYTES - 1,
               "the overhead is what node_bytes() can add");
_Static_assert(LSM_KEY_MAX_BYTES + KEY_TRAILER_BYTES <= UINT16_MAX,
               "a key's length fits");
_Static_assert((int)ARENA_ALIGN_BYTES >= (int)NODE_ALIGN_BYTES,
               "the arena aligns links");

static size_t node_bytes(int height, size_t user_len, size_t value_len)
{
	size_t bytes = sizeof(struct skiplist_node) +
	               (size_t)height * sizeof(link) + user_len +
	               KEY_TRAILER_BYTES + value_len;

	return (bytes + NODE_ALIGN_BYTES - 1) & ~((size_t)NODE_ALIGN_BYTES - 1);
}

static uint8_t *node_key_bytes(const struct skiplist_node *node)
{
	return (uint8_t *)(uintptr_t)&node->next[node->height];
}

/* One level more with probability 1/4. xorshift64 (Marsaglia 2003). */
static int random_height(struct skiplist *list)
{
	uint64_t bits = list->random;
	int height = 1;

	bits ^= bits << 13;
	bits ^= bits >> 7;
	bits ^= bits << 17;
	list->random = bits;
	for (bits >>= 16; height < SKIPLIST_MAX_HEIGHT && (bits & 3) == 0;
	     bits >>= 2)
		height++;
	return height;
}

void skiplist_init(struct skiplist *list, struct arena *arena)
{
	list->arena = arena;
	for (int level = 0; level < SKIPLIST_MAX_HEIGHT; level++)
		atomic_init(&list->head[level], NULL);
	atomic_init(&list->height, 1);
	list->random = UINT64_C(0x9e3779b97f4a7c15);
}

struct skiplist_node *skiplist_prepare(struct skiplist *list, struct slice user,
                                       uint64_t trailer, struct slice value)
{
	int height = random_height(list);
	size_t bytes = node_bytes(height, user.len, value.len);
	struct skiplist_node *node;
	uint8_t *p;

	assert(user.len <= LSM_KEY_MAX_BYTES);
	assert(value.len <= UINT32_MAX);
	assert(bytes <= user.len + value.len + SKIPLIST_NODE_OVERHEAD_BYTES);
	node = arena_alloc(list->arena, bytes);
	if (node == NULL)
		return NULL;

	node->value_len = (uint32_t)value.len;
	node->key_len = (uint16_t)(user.len + KEY_TRAILER_BYTES);
	node->height = (uint8_t)height;
	for (int level = 0; level < height; level++)
		atomic_init(&node->next[level], NULL);
	p = node_key_bytes(node);
	if (user.len > 0)
		memcpy(p, user.data, user.len);
	put_u64(p + user.len, trailer);
	if (value.len > 0)
		memcpy(p + node->key_len, value.data, value.len);
	return node;
}

void skiplist_chain(struct skiplist_node *node, struct skiplist_node *next)
{
	atomic_store_explicit(&node->next[0], next, memory_order_relaxed);
}

struct skiplist_node *skiplist_chained(const struct skiplist_node *node)
{
	return atomic_load_explicit(&node->next[0], memory_order_relaxed);
}

/*
 * The first node >= target. Where `before` is given, it gets for each level the
 * link at which a node of that key belongs.
 */
static struct skiplist_node *find(const struct skiplist *list,
                                  struct slice target, const link **before)
{
	int level = atomic_load_explicit(&list->height, memory_order_relaxed);
	const link *links = list->head;
	struct skiplist_node *node = NULL;

	while (level-- > 0) {
		node =
		    atomic_load_explicit(&links[level], memory_order_acquire);
		while (node != NULL &&
		       key_compare(skiplist_key(node), target) < 0) {
			links = node->next;
			node = atomic_load_explicit(&links[level],
			                            memory_order_acquire);
		}
		if (before != NULL)
			before[level] = &links[level];
	}
	return node;
}

void skiplist_link(struct skiplist *list, struct skiplist_node *node)
{
	const link *before[SKIPLIST_MAX_HEIGHT];
	int height = atomic_load_explicit(&list->height, memory_order_relaxed);
	struct skiplist_node *after = find(list, skiplist_key(node), before);

	assert(after == NULL ||
	       key_compare(skiplist_key(after), skiplist_key(node)) != 0);
	(void)after;
	for (; height < node->height; height++) {
		before[height] = &list->head[height];
		/* A reader that sees this height before the node itself finds
		   an empty level and goes down. */
		atomic_store_explicit(&list->height, height + 1,
		                      memory_order_relaxed);
	}
	for (int level = 0; level < node->height; level++) {
		link *slot = (link *)(uintptr_t)before[level];

		atomic_store_explicit(
		    &node->next[level],
		    atomic_load_explicit(slot, memory_order_relaxed),
		    memory_order_relaxed);
		atomic_store_explicit(slot, node, memory_order_release);
	}
}

const struct skiplist_node *skiplist_seek(const struct skiplist *list,
                                          struct slice target)
{
	return find(list, target, NULL);
}

const struct skiplist_node *skiplist_first(const struct skiplist *list)
{
	return atomic_load_explicit(&list->head[0], memory_order_acquire);
}

const struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
	return atomic_load_explicit(&node->next[0], memory_order_acquire);
}

struct slice skiplist_key(const struct skiplist_node *node)
{
	return slice_make(node_key_bytes(node), node->key_len);
}

struct slice skiplist_value(const struct skiplist_node *node)
{
	return slice_make(node_key_bytes(node) + node->key_len,
	                  node->value_len);
}
