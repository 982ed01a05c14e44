/* SPDX-License-Identifier: MIT */
/*
 * view.c: generations and views: what a reader holds on to.
 *
 * A read borrows the view from the slot of its thread, which several threads may
 * share, without touching what all threads share. The word in a slot is
 *
 *   0          nothing
 *   V          the view V with a reference of the slot's, for whoever is next
 *   V | LENT   room for a reference to V, of whoever returns V first
 *
 * Only with tree_mu held does it come from 0 to V | LENT, for the present V, and
 * to 0; from V to V | LENT and back by one compare-and-swap. So who replaces the
 * view clears all slots, and from then on none has or takes the old one: idle
 * threads keep nothing alive, and a read that begins later sees the new one.
 */
#include "store/store.h"

#include <assert.h>
#include <stdlib.h>

enum lsm_err generation_create(struct lsm *store, struct credit_account *credit,
                               struct generation **gen_out)
{
	struct generation *gen = calloc(1, sizeof(*gen));
	enum lsm_err err;

	*gen_out = NULL;
	if (gen == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&gen->refs, 1);
	gen->pool = store->pool;
	err = memtable_create(credit, store->max_block_bytes, &gen->mem);
	if (err != LSM_OK) {
		free(gen);
		return err;
	}
	*gen_out = gen;
	return LSM_OK;
}

enum lsm_err generation_share(struct generation *of,
                              struct generation **gen_out)
{
	struct generation *gen = calloc(1, sizeof(*gen));

	*gen_out = gen;
	if (gen == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&gen->refs, 1);
	gen->pool = of->pool;
	gen->mem = of->mem;
	memtable_ref(gen->mem);
	gen->shared = true;
	gen->log_id = of->log_id;
	gen->log_bytes = of->log_bytes;
	atomic_init(&gen->segment, atomic_load(&of->segment));
	if (of->segment != NULL)
		active_segment_ref(of->segment);
	gen->last_seq = of->last_seq;
	memcpy(gen->counters, of->counters, sizeof(gen->counters));
	return LSM_OK;
}

void generation_ref(struct generation *gen)
{
	atomic_fetch_add_explicit(&gen->refs, 1, memory_order_relaxed);
}

void generation_unref(struct generation *gen)
{
	if (gen == NULL ||
	    atomic_fetch_sub_explicit(&gen->refs, 1, memory_order_acq_rel) != 1)
		return;
	memtable_unref(gen->mem);
	active_segment_unref(gen->segment);
	if (gen->log != NULL) {
		struct file_id id = wal_writer_id(gen->log);

		wal_writer_destroy(gen->log);
		pool_unref(gen->pool, FILE_KIND_LOG, id);
	}
	free(gen);
}

/* The log's size first: the frames that its records lead to were written before
   these. Later ones are promised by neither. */
enum lsm_err generation_sync(struct generation *gen)
{
	uint64_t size = wal_writer_size(gen->log);
	struct active_segment *segment = atomic_load(&gen->segment);
	enum lsm_err err = LSM_OK;

	if (wal_writer_synced(gen->log) >= size)
		return LSM_OK;
	if (segment != NULL)
		err = active_segment_sync(segment);
	return err == LSM_OK ? wal_writer_sync_upto(gen->log, size) : err;
}

enum lsm_err view_alloc(size_t cap, struct view **view_out)
{
	struct view *view =
	    calloc(1, sizeof(*view) + cap * sizeof(view->sealed[0]));

	*view_out = view;
	if (view == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&view->refs, 1);
	view->sealed_cap = cap;
	return LSM_OK;
}

void view_unref(struct view *view)
{
	if (view == NULL || atomic_fetch_sub_explicit(
				&view->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < view->sealed_count; i++)
		generation_unref(view->sealed[i]);
	generation_unref(view->active);
	version_unref(view->version);
	free(view);
}

/*
 * The view is taken before the sequence: of a sequence that is visible now, all
 * that this view does not show is newer than the view's last. The other way round
 * a flush in between could have dropped the versions that an older sequence asks
 * for.
 */
static void read_sequence(struct lsm *store, uint64_t *seq_out)
{
	if (seq_out != NULL)
		*seq_out = atomic_load_explicit(&store->visible_seq,
		                                memory_order_acquire);
}

/* The present view with one more reference. */
static struct view *ref_present(struct lsm *store)
{
	struct view *view = store->view;

	sync_assert_held(&store->tree_mu);
	atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
	return view;
}

struct view *view_get(struct lsm *store, uint64_t *seq_out)
{
	struct view *view;

	sync_lock(&store->tree_mu);
	view = ref_present(store);
	read_sequence(store, seq_out);
	sync_unlock(&store->tree_mu);
	return view;
}

/* ---- slots ------------------------------------------------------------------- */

#define LENT ((uintptr_t)1)

/* Threads have slots in turn, whichever store they read. */
static atomic_uintptr_t *own_slot(struct lsm *store)
{
	static atomic_uint thread_count;
	static _Thread_local unsigned thread; /* from 1; 0: not known */

	if (thread == 0)
		thread = 1 + atomic_fetch_add_explicit(&thread_count, 1,
		                                       memory_order_relaxed) %
		                 STORE_VIEW_SLOTS;
	return &store->view_slots[thread - 1].word;
}

/* The present view, for which room is made in the slot if that is empty. */
static struct view *lend_present(struct lsm *store, atomic_uintptr_t *slot)
{
	uintptr_t expected = 0;
	struct view *view;

	sync_lock(&store->tree_mu);
	view = ref_present(store);
	atomic_compare_exchange_strong_explicit(
	    slot, &expected, (uintptr_t)view | LENT, memory_order_relaxed,
	    memory_order_relaxed);
	sync_unlock(&store->tree_mu);
	return view;
}

struct view *view_borrow(struct lsm *store, uint64_t *seq_out)
{
	atomic_uintptr_t *slot = own_slot(store);
	uintptr_t word = atomic_load_explicit(slot, memory_order_relaxed);
	struct view *view;

	if (word != 0 && (word & LENT) == 0 &&
	    atomic_compare_exchange_strong_explicit(slot, &word, word | LENT,
	                                            memory_order_acquire,
	                                            memory_order_relaxed))
		view = (struct view *)word;
	else
		view = lend_present(store, slot);
	read_sequence(store, seq_out);
	return view;
}

/* Release: what was done with the view comes before what its next user does, or
   its end. */
void view_return(struct lsm *store, struct view *view)
{
	uintptr_t word = (uintptr_t)view | LENT;

	if (!atomic_compare_exchange_strong_explicit(
		own_slot(store), &word, (uintptr_t)view, memory_order_release,
		memory_order_relaxed))
		view_unref(view);
}

void view_clear_slots(struct lsm *store)
{
	for (size_t i = 0; i < STORE_VIEW_SLOTS; i++) {
		uintptr_t word = atomic_exchange_explicit(
		    &store->view_slots[i].word, 0, memory_order_acquire);

		if (word != 0 && (word & LENT) == 0) {
			assert((struct view *)word == store->view);
			view_unref((struct view *)word); /* not the last */
		}
	}
}

struct view *view_replace(struct lsm *store, struct view *fresh,
                          struct generation *active, struct version *version)
{
	struct view *old = store->view;

	sync_assert_held(&store->tree_mu);
	view_clear_slots(store);
	fresh->active = active != NULL ? active : old->active;
	generation_ref(fresh->active);
	fresh->version = version != NULL ? version : old->version;
	version_ref(fresh->version);
	for (struct generation *g = store->oldest_sealed; g != NULL;
	     g = g->newer) {
		assert(fresh->sealed_count < fresh->sealed_cap);
		fresh->sealed[fresh->sealed_count++] = g;
		generation_ref(g);
	}
	store->view = fresh;
	return old;
}
