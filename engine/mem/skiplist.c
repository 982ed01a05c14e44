/* SPDX-License-Identifier: MIT */
/*
 * skiplist.c: a node is one allocation: lengths, links, internal key, value.
 *
 * Why readers need no lock: a link only ever changes from one node to another
 * that stands before it, and the new node is whole (bytes and own links) before
 * a release store makes it reachable. A reader that still sees the old link, or
 * an old height, takes a longer way to the same place.
 *
 * Why those who link need none: each level changes by one compare-and-swap of
 * one link. Who finds the link changed walks on from there, as nodes never
 * leave; a level is linked after the ones below it, so that whatever is met on
 * a level is on all below.
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
 * Walk one level from `links`, those of a node before the target or of the
 * head, to the last node before the target; returns its links. *after_out gets
 * the node behind it; `passed` is one that is known not to be before.
 */
static const link *walk(const link *links, int level, struct slice target,
                        const struct skiplist_node *passed,
                        struct skiplist_node **after_out)
{
	struct skiplist_node *node;

	for (;;) {
		node =
		    atomic_load_explicit(&links[level], memory_order_acquire);
		if (level > 0)
			__builtin_prefetch(atomic_load_explicit(
			    &links[level - 1], memory_order_relaxed));
		if (node == NULL || node == passed ||
		    key_compare(skiplist_key(node), target) >= 0)
			break;
		links = node->next;
	}
	*after_out = node;
	return links;
}

/* The first node >= target. */
static struct skiplist_node *find(const struct skiplist *list,
                                  struct slice target)
{
	int level = atomic_load_explicit(&list->height, memory_order_relaxed);
	const link *links = list->head;
	struct skiplist_node *after = NULL;

	while (level-- > 0)
		links = walk(links, level, target, after, &after);
	return after;
}

/* Where a node belongs: on each level its neighbours at the time of looking. */
struct place {
	const link *before[SKIPLIST_MAX_HEIGHT]; /* the links of the one */
	struct skiplist_node *after[SKIPLIST_MAX_HEIGHT]; /* the other */
};

static void find_place(struct skiplist *list, struct slice key, int height,
                       struct place *place)
{
	int level = atomic_load_explicit(&list->height, memory_order_relaxed);
	struct skiplist_node *after = NULL;
	const link *links = list->head;

	/* A reader that sees the new height before the node itself finds an
	   empty level and goes down. */
	for (int seen = level; seen < height;) {
		if (atomic_compare_exchange_weak_explicit(
			&list->height, &seen, height, memory_order_relaxed,
			memory_order_relaxed))
			break;
	}
	for (int above = level; above < height; above++) {
		place->before[above] = links;
		place->after[above] = NULL;
	}
	while (level-- > 0) {
		links = walk(links, level, key, after, &after);
		place->before[level] = links;
		place->after[level] = after;
	}
}

void skiplist_link(struct skiplist *list, struct skiplist_node *node)
{
	struct slice key = skiplist_key(node);
	struct place place;

	find_place(list, key, node->height, &place);
	for (int level = 0; level < node->height; level++) {
		const link *links = place.before[level];
		struct skiplist_node *after = place.after[level];

		for (;;) {
			struct skiplist_node *expected = after;

			assert(after == NULL ||
			       key_compare(skiplist_key(after), key) > 0);
			atomic_store_explicit(&node->next[level], after,
			                      memory_order_relaxed);
			if (atomic_compare_exchange_strong_explicit(
				(link *)(uintptr_t)&links[level], &expected,
				node, memory_order_release,
				memory_order_relaxed))
				break;
			links = walk(links, level, key, NULL, &after);
		}
	}
}

const struct skiplist_node *skiplist_seek(const struct skiplist *list,
                                          struct slice target)
{
	return find(list, target);
}

const struct skiplist_node *skiplist_first(const struct skiplist *list)
{
	return atomic_load_explicit(&list->head[0], memory_order_acquire);
}

const struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
	return atomic_load_explicit(&node->next[0], memory_order_acquire);
}

/* The last node before *target, or with NULL the last of all. */
static const struct skiplist_node *find_last(const struct skiplist *list,
                                             const struct slice *target)
{
	int level = atomic_load_explicit(&list->height, memory_order_relaxed);
	const struct skiplist_node *last = NULL;
	const link *links = list->head;

	while (level-- > 0) {
		const struct skiplist_node *node =
		    atomic_load_explicit(&links[level], memory_order_acquire);

		while (node != NULL &&
		       (target == NULL ||
		        key_compare(skiplist_key(node), *target) < 0)) {
			last = node;
			links = node->next;
			node = atomic_load_explicit(&links[level],
			                            memory_order_acquire);
		}
	}
	return last;
}

const struct skiplist_node *skiplist_before(const struct skiplist *list,
                                            struct slice target)
{
	return find_last(list, &target);
}

const struct skiplist_node *skiplist_last(const struct skiplist *list)
{
	return find_last(list, NULL);
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
