/* SPDX-License-Identifier: MIT */
/*
 * merge.c: the heap keeps each source's key beside the source: the key is
 * borrowed until that source moves, and only the source at the top moves.
 *
 * Forwards every other source stands on its first entry behind the top's, and
 * the least key is at the top; backwards on its last entry before it, and the
 * greatest is.
 */
#include "tree/merge.h"

#include <assert.h>
#include <stdlib.h>

enum { LIST_FIRST_CAP = 8 };

struct heap_entry {
	struct slice key;
	struct iter *source;
};

struct merge_iter {
	struct iter base;
	struct iter **sources; /* owned, with what is in it */
	size_t source_count;
	enum lsm_err err; /* the first of any source */
	bool backward;
	size_t heap_count; /* sources that are valid */
	size_t second;     /* the lesser child of the top; 0: not known */
	struct heap_entry heap[];
};

void iter_list_init(struct iter_list *list)
{
	*list = (struct iter_list){NULL, 0, 0};
}

void iter_list_release(struct iter_list *list)
{
	if (list == NULL)
		return;
	for (size_t i = 0; i < list->count; i++)
		iter_destroy(list->iters[i]);
	free(list->iters);
	iter_list_init(list);
}

enum lsm_err iter_list_push(struct iter_list *list, struct iter *it)
{
	assert(it != NULL);
	if (list->count == list->cap) {
		size_t cap = list->cap > 0 ? list->cap * 2 : LIST_FIRST_CAP;
		struct iter **grown;

		grown = realloc(list->iters, cap * sizeof(*grown));
		if (grown == NULL) {
			iter_destroy(it);
			return LSM_ERR_NOMEM;
		}
		list->iters = grown;
		list->cap = cap;
	}
	list->iters[list->count++] = it;
	return LSM_OK;
}

/* In the direction of the walk. */
static bool comes_before(const struct merge_iter *it,
                         const struct heap_entry *a, const struct heap_entry *b)
{
	int order = key_compare(a->key, b->key);

	return it->backward ? order > 0 : order < 0;
}

/* Move the entry at `hole` down to where neither child comes before it. */
static void sift_down(struct merge_iter *it, size_t hole)
{
	struct heap_entry entry = it->heap[hole];

	for (;;) {
		size_t child = 2 * hole + 1;

		if (child >= it->heap_count)
			break;
		if (child + 1 < it->heap_count &&
		    comes_before(it, &it->heap[child + 1], &it->heap[child]))
			child++;
		if (!comes_before(it, &it->heap[child], &entry))
			break;
		it->heap[hole] = it->heap[child];
		hole = child;
	}
	it->heap[hole] = entry;
}

/* What is to be known of the top. */
static void place(struct merge_iter *it)
{
	bool valid = it->err == LSM_OK && it->heap_count > 0;

	iter_place(&it->base, valid,
	           valid ? it->heap[0].key : slice_make(NULL, 0));
}

/* All sources have been moved: collect those that stand on an entry. */
static void build_heap(struct merge_iter *it, bool backward)
{
	it->backward = backward;
	it->heap_count = 0;
	it->err = LSM_OK;
	for (size_t i = 0; i < it->source_count; i++) {
		struct iter *source = it->sources[i];

		if (iter_valid(source)) {
			it->heap[it->heap_count].key = iter_key(source);
			it->heap[it->heap_count].source = source;
			it->heap_count++;
		} else if (it->err == LSM_OK) {
			it->err = iter_status(source);
		}
	}
	for (size_t i = it->heap_count / 2; i > 0; i--)
		sift_down(it, i - 1);
	it->second = 0;
	place(it);
}

static void merge_seek_first(struct iter *base)
{
	struct merge_iter *it = (struct merge_iter *)base;

	for (size_t i = 0; i < it->source_count; i++)
		iter_seek_first(it->sources[i]);
	build_heap(it, false);
}

static void merge_seek(struct iter *base, struct slice target)
{
	struct merge_iter *it = (struct merge_iter *)base;

	for (size_t i = 0; i < it->source_count; i++)
		iter_seek(it->sources[i], target);
	build_heap(it, false);
}

static void merge_seek_last(struct iter *base)
{
	struct merge_iter *it = (struct merge_iter *)base;

	for (size_t i = 0; i < it->source_count; i++)
		iter_seek_last(it->sources[i]);
	build_heap(it, true);
}

static void merge_seek_before(struct iter *base, struct slice target)
{
	struct merge_iter *it = (struct merge_iter *)base;

	for (size_t i = 0; i < it->source_count; i++)
		iter_seek_before(it->sources[i], target);
	build_heap(it, true);
}

/* Walk the other way from the current entry. Its source moves last, since the
   key is borrowed from it. */
static void turn(struct merge_iter *it)
{
	struct heap_entry top = it->heap[0];

	for (size_t i = 0; i < it->source_count; i++) {
		if (it->sources[i] == top.source)
			continue;
		if (it->backward)
			iter_seek(it->sources[i], top.key);
		else
			iter_seek_before(it->sources[i], top.key);
	}
	if (it->backward)
		iter_next(top.source);
	else
		iter_prev(top.source);
	build_heap(it, !it->backward);
}

/* The top, whose key is another one now, to where it belongs. Usually it stays:
   then one comparison says so, since the lesser of its children has not changed. */
static void settle_top(struct merge_iter *it)
{
	if (it->heap_count < 2)
		return;
	if (it->second == 0)
		it->second =
		    it->heap_count > 2 &&
			    comes_before(it, &it->heap[2], &it->heap[1])
			? 2
			: 1;
	if (comes_before(it, &it->heap[it->second], &it->heap[0])) {
		sift_down(it, 0);
		it->second = 0;
	}
}

/* The source at the top has moved on. */
static void replace_top(struct merge_iter *it)
{
	struct heap_entry *top = &it->heap[0];

	if (iter_valid(top->source)) {
		top->key = iter_key(top->source);
		settle_top(it);
	} else {
		it->err = iter_status(top->source);
		it->heap_count--;
		*top = it->heap[it->heap_count];
		if (it->heap_count > 0)
			sift_down(it, 0);
		it->second = 0;
	}
	place(it);
}

static void merge_next(struct iter *base)
{
	struct merge_iter *it = (struct merge_iter *)base;

	assert(iter_valid(base));
	if (it->backward) {
		turn(it);
		return;
	}
	iter_next(it->heap[0].source);
	replace_top(it);
}

static void merge_prev(struct iter *base)
{
	struct merge_iter *it = (struct merge_iter *)base;

	assert(iter_valid(base));
	if (!it->backward) {
		turn(it);
		return;
	}
	iter_prev(it->heap[0].source);
	replace_top(it);
}

static struct slice merge_value(const struct iter *base)
{
	const struct merge_iter *it = (const struct merge_iter *)base;

	return iter_value(it->heap[0].source);
}

static bool merge_packed(const struct iter *base,
                         struct codec_packed *packed_out)
{
	const struct merge_iter *it = (const struct merge_iter *)base;

	return iter_packed(it->heap[0].source, packed_out);
}

static enum lsm_err merge_status(const struct iter *base)
{
	const struct merge_iter *it = (const struct merge_iter *)base;

	return it->err;
}

static void merge_destroy(struct iter *base)
{
	struct merge_iter *it = (struct merge_iter *)base;

	for (size_t i = 0; i < it->source_count; i++)
		iter_destroy(it->sources[i]);
	free(it->sources);
	free(it);
}

static const struct iter_ops merge_ops = {
    .seek_first = merge_seek_first,
    .seek = merge_seek,
    .next = merge_next,
    .seek_last = merge_seek_last,
    .seek_before = merge_seek_before,
    .prev = merge_prev,
    .value = merge_value,
    .packed = merge_packed,
    .status = merge_status,
    .destroy = merge_destroy,
};

enum lsm_err merge_iter_create(struct iter_list *list, struct iter **iter_out)
{
	struct merge_iter *it;

	*iter_out = NULL;
	if (list->count == 1) {
		/* Nothing to merge it with. */
		*iter_out = list->iters[0];
		list->count = 0;
		iter_list_release(list);
		return LSM_OK;
	}
	it = calloc(1, sizeof(*it) + list->count * sizeof(it->heap[0]));
	if (it == NULL)
		return LSM_ERR_NOMEM;
	iter_init(&it->base, &merge_ops);
	it->sources = list->iters;
	it->source_count = list->count;
	iter_list_init(list);
	*iter_out = &it->base;
	return LSM_OK;
}
