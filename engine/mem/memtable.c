/* SPDX-License-Identifier: MIT */
/*
 * memtable.c: the ledger is exact: after memtable_settle() the bytes charged to
 * the account are the bytes that the arena holds. They go back after the arena
 * was freed, never before, so that the credit in use covers the memory in use
 * at every moment.
 */
#include "mem/memtable.h"

#include <assert.h>
#include <stdlib.h>

#include "mem/skiplist.h"

struct memtable {
	struct credit_account *account; /* constant; NULL: not charged */
	/* Relaxed: set before what is to be found by it is published. */
	atomic_bool has_ranges;

	struct skiplist list; /* writer; readers as skiplist.h says */
	struct arena arena;   /* writer; its figure from any thread */
	uint64_t charged;     /* writer */
	bool sealed;          /* writer */

	/* Release when dropping, acquire before freeing: whoever frees sees
	   all that others did with the table. */
	atomic_uint refs;
};

struct memtable_iter {
	struct iter base;
	struct memtable *mem; /* a reference */
	const struct skiplist_node *node;
};

enum lsm_err memtable_create(struct credit_account *account,
                             size_t max_block_bytes, struct memtable **mem_out)
{
	struct memtable *mem;

	*mem_out = NULL;
	mem = calloc(1, sizeof(*mem));
	if (mem == NULL)
		return LSM_ERR_NOMEM;

	mem->account = account;
	arena_init(&mem->arena, max_block_bytes);
	skiplist_init(&mem->list, &mem->arena);
	atomic_init(&mem->has_ranges, false);
	atomic_init(&mem->refs, 1);
	*mem_out = mem;
	return LSM_OK;
}

void memtable_ref(struct memtable *mem)
{
	atomic_fetch_add_explicit(&mem->refs, 1, memory_order_relaxed);
}

static void memtable_free(struct memtable *mem)
{
	assert(mem->charged == arena_allocated(&mem->arena));
	arena_release(&mem->arena);
	if (mem->account != NULL) {
		if (!mem->sealed)
			credit_dropped(mem->account, mem->charged);
		credit_give(mem->account, mem->charged);
	}
	free(mem);
}

void memtable_unref(struct memtable *mem)
{
	if (mem == NULL)
		return;
	if (atomic_fetch_sub_explicit(&mem->refs, 1, memory_order_acq_rel) == 1)
		memtable_free(mem);
}

uint64_t memtable_bound(size_t max_block_bytes, size_t entries, size_t bytes)
{
	return arena_growth_bound(
	    max_block_bytes, entries,
	    (uint64_t)entries * SKIPLIST_NODE_OVERHEAD_BYTES + bytes);
}

enum lsm_err memtable_prepare(struct memtable *mem, struct slice user,
                              uint64_t seq, enum key_kind kind,
                              struct slice value, struct memtable_chain *chain)
{
	struct skiplist_node *node;

	assert(!mem->sealed);
	assert(seq <= KEY_SEQ_MAX);
	node =
	    skiplist_prepare(&mem->list, user, key_trailer(seq, kind), value);
	if (node == NULL)
		return LSM_ERR_NOMEM;
	if (kind == KEY_RANGE_DELETE)
		atomic_store_explicit(&mem->has_ranges, true,
		                      memory_order_relaxed);
	if (chain->last != NULL)
		skiplist_chain(chain->last, node);
	else
		chain->first = node;
	chain->last = node;
	return LSM_OK;
}

void memtable_settle(struct memtable *mem, uint64_t taken)
{
	uint64_t grown = arena_allocated(&mem->arena) - mem->charged;

	assert(!mem->sealed);
	mem->charged += grown;
	if (mem->account == NULL)
		return;
	assert(grown <= taken);
	credit_inserted(mem->account, grown, taken - grown);
}

void memtable_apply(struct memtable *mem, struct memtable_chain *chain)
{
	struct skiplist_node *node = chain->first;

	while (node != NULL) {
		/* Linking overwrites the chain. */
		struct skiplist_node *next = skiplist_chained(node);

		skiplist_link(&mem->list, node);
		node = next;
	}
	chain->first = NULL;
	chain->last = NULL;
}

void memtable_seal(struct memtable *mem)
{
	assert(!mem->sealed);
	mem->sealed = true;
	if (mem->account != NULL)
		credit_flush_queued(mem->account, mem->charged);
}

uint64_t memtable_bytes(const struct memtable *mem)
{
	return arena_allocated(&mem->arena);
}

bool memtable_is_empty(const struct memtable *mem)
{
	return skiplist_first(&mem->list) == NULL;
}

bool memtable_has_ranges(const struct memtable *mem)
{
	return atomic_load_explicit(&mem->has_ranges, memory_order_relaxed);
}

/* The newest version of `user` with sequence <= seq, or what comes after. */
static const struct skiplist_node *seek_version(const struct memtable *mem,
                                                struct slice user, uint64_t seq)
{
	uint8_t target[LSM_KEY_MAX_BYTES + KEY_TRAILER_BYTES];

	assert(seq <= KEY_SEQ_MAX);
	if (user.len > LSM_KEY_MAX_BYTES)
		return NULL; /* no such key was ever let in */
	if (user.len > 0)
		memcpy(target, user.data, user.len);
	put_u64(target + user.len, key_trailer(seq, KEY_SEEK));
	return skiplist_seek(&mem->list,
	                     slice_make(target, user.len + KEY_TRAILER_BYTES));
}

bool memtable_get(const struct memtable *mem, struct slice user, uint64_t seq,
                  key_visit_fn visit, void *ctx)
{
	const struct skiplist_node *node = seek_version(mem, user, seq);

	for (; node != NULL; node = skiplist_next(node)) {
		struct slice key = skiplist_key(node);

		if (!slice_equal(key_user(key), user))
			break;
		if (!visit(ctx, key_seq(key), key_kind(key),
		           skiplist_value(node)))
			return false;
	}
	return true;
}

static bool count_merge(void *ctx, uint64_t seq, enum key_kind kind,
                        struct slice value)
{
	size_t *count = ctx;

	(void)seq;
	(void)value;
	if (kind != KEY_MERGE)
		return false;
	(*count)++;
	return true;
}

size_t memtable_pending_merges(const struct memtable *mem, struct slice user)
{
	size_t count = 0;

	/* Why the walk ended does not matter. */
	(void)memtable_get(mem, user, KEY_SEQ_MAX, count_merge, &count);
	return count;
}

static struct memtable_iter *iter_of(struct iter *it)
{
	return (struct memtable_iter *)it;
}

/* Stand on `node`; NULL: nowhere. */
static void place(struct iter *it, const struct skiplist_node *node)
{
	iter_of(it)->node = node;
	iter_place(it, node != NULL,
	           node != NULL ? skiplist_key(node) : slice_make(NULL, 0));
}

static void mem_seek_first(struct iter *it)
{
	place(it, skiplist_first(&iter_of(it)->mem->list));
}

static void mem_seek(struct iter *it, struct slice target)
{
	place(it, skiplist_seek(&iter_of(it)->mem->list, target));
}

static void mem_next(struct iter *it)
{
	place(it, skiplist_next(iter_of(it)->node));
}

static void mem_seek_last(struct iter *it)
{
	place(it, skiplist_last(&iter_of(it)->mem->list));
}

static void mem_seek_before(struct iter *it, struct slice target)
{
	place(it, skiplist_before(&iter_of(it)->mem->list, target));
}

static void mem_prev(struct iter *it)
{
	mem_seek_before(it, skiplist_key(iter_of(it)->node));
}

static struct slice mem_value(const struct iter *it)
{
	return skiplist_value(((const struct memtable_iter *)it)->node);
}

static enum lsm_err mem_status(const struct iter *it)
{
	(void)it;
	return LSM_OK;
}

static void mem_destroy(struct iter *it)
{
	memtable_unref(iter_of(it)->mem);
	free(it);
}

static const struct iter_ops memtable_iter_ops = {
    .seek_first = mem_seek_first,
    .seek = mem_seek,
    .next = mem_next,
    .seek_last = mem_seek_last,
    .seek_before = mem_seek_before,
    .prev = mem_prev,
    .value = mem_value,
    .status = mem_status,
    .destroy = mem_destroy,
};

enum lsm_err memtable_iter(struct memtable *mem, struct iter **iter_out)
{
	struct memtable_iter *it;

	*iter_out = NULL;
	it = malloc(sizeof(*it));
	if (it == NULL)
		return LSM_ERR_NOMEM;
	iter_init(&it->base, &memtable_iter_ops);
	it->mem = mem;
	it->node = NULL;
	memtable_ref(mem);
	*iter_out = &it->base;
	return LSM_OK;
}
