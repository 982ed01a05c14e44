/* SPDX-License-Identifier: MIT */
/*
 * read.c: get and snapshots. A read holds a view and a sequence number; it takes
 * no lock while it searches.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/range.h"
#include "store/store.h"
#include "tree/fold.h"

uint64_t lsm_sequence(struct lsm *store)
{
	return atomic_load_explicit(&store->visible_seq, memory_order_acquire);
}

int64_t lsm_counter(struct lsm *store, unsigned index)
{
	return atomic_load_explicit(&store->counters[index],
	                            memory_order_relaxed);
}

/* ---- range tombstones ------------------------------------------------------ */

bool view_has_ranges(const struct lsm *store, const struct view *view)
{
	if (store->options.range_prefix_bytes == 0)
		return false;
	if (memtable_has_ranges(view->active->mem))
		return true;
	for (size_t i = 0; i < view->sealed_count; i++)
		if (memtable_has_ranges(view->sealed[i]->mem))
			return true;
	return version_has_ranges(view->version);
}

enum lsm_err view_ranges(struct lsm *store, const struct view *view,
                         struct slice prefix, uint64_t seq, key_visit_fn visit,
                         void *ctx)
{
	const struct memtable *mem = view->active->mem;

	if (memtable_has_ranges(mem) &&
	    !memtable_get(mem, prefix, seq, visit, ctx))
		return LSM_OK;
	for (size_t i = view->sealed_count; i-- > 0;) {
		mem = view->sealed[i]->mem;
		if (memtable_has_ranges(mem) &&
		    !memtable_get(mem, prefix, seq, visit, ctx))
			return LSM_OK;
	}
	return version_ranges(view->version, &store->source, prefix, seq, visit,
	                      ctx);
}

/* The newest sequence up to `seq` at which a range tombstone covers the key; 0:
   none does. */
static enum lsm_err find_floor(struct lsm *store, const struct view *view,
                               struct slice key, uint64_t seq,
                               uint64_t *floor_out)
{
	struct range_probe probe;
	enum lsm_err err;

	*floor_out = 0;
	if (!view_has_ranges(store, view) ||
	    !range_probe_init(&probe, store->options.range_prefix_bytes, key))
		return LSM_OK;
	err = view_ranges(store, view, probe.prefix, seq, range_probe_visit,
	                  &probe);
	*floor_out = probe.floor;
	return err != LSM_OK ? err : probe.err;
}

/* ---- get --------------------------------------------------------------------- */

/* Feed the versions of the key to the fold, newest source first. */
static enum lsm_err collect(struct lsm *store, const struct view *view,
                            struct slice key, uint64_t seq, struct fold *fold)
{
	bool stopped;
	enum lsm_err err = find_floor(store, view, key, seq, &fold->floor);

	if (err != LSM_OK)
		return err;
	if (!memtable_get(view->active->mem, key, seq, fold_visit, fold))
		return LSM_OK;
	for (size_t i = view->sealed_count; i-- > 0;)
		if (!memtable_get(view->sealed[i]->mem, key, seq, fold_visit,
		                  fold))
			return LSM_OK;
	return version_get(view->version, &store->source, key, seq, fold_visit,
	                   fold, &stopped);
}

enum lsm_err store_get_at(struct lsm *store, const struct view *view,
                          uint64_t seq, struct slice key, struct buf *value)
{
	enum fold_result result = FOLD_NOTHING;
	struct fold fold;
	enum lsm_err err;

	buf_clear(value);
	fold_init(&fold, store_fold_fn(store), key);
	buf_swap(&fold.value, value); /* the caller's memory for the value, */
	err = collect(store, view, key, seq, &fold);
	if (err == LSM_OK)
		err = fold_finish(&fold, true, value, &result);
	if (value->cap == 0) {
		buf_clear(&fold.value);
		buf_swap(&fold.value, value); /* and back when there is none */
	}
	if (err == LSM_OK && result == FOLD_POINTER)
		err = store_read_pointer(store, key, buf_slice(value), value);
	fold_release(&fold);
	if (err == LSM_OK && result == FOLD_NOTHING)
		err = LSM_ERR_NOT_FOUND;
	return err;
}

enum lsm_err lsm_get(struct lsm *store, const struct lsm_snapshot *snap,
                     struct slice key, struct buf *value)
{
	uint64_t seq;
	struct view *view = view_borrow(store, &seq);
	enum lsm_err err;

	if (snap != NULL)
		seq = snap->seq;
	buf_clear(value);
	err = snap != NULL && store_is_expired(store, seq)
	          ? LSM_ERR_EXPIRED
	          : store_get_at(store, view, seq, key, value);
	view_return(store, view);
	return err;
}

size_t lsm_pending_merges(struct lsm *store, struct slice key)
{
	struct view *view = view_borrow(store, NULL);
	size_t count = memtable_pending_merges(view->active->mem, key);

	view_return(store, view);
	return count;
}

/* ---- snapshots ----------------------------------------------------------------- */

void snapshot_link(struct lsm *store, struct lsm_snapshot *snap,
                   struct lsm_snapshot *older)
{
	sync_assert_held(&store->tree_mu);
	if (older == NULL)
		older = store->last_snapshot;
	assert(older == NULL || older->seq <= snap->seq);
	snap->older = older;
	snap->newer = older != NULL ? older->newer : NULL;
	if (snap->newer != NULL)
		snap->newer->older = snap;
	else
		store->last_snapshot = snap;
	if (older != NULL)
		older->newer = snap;
	else
		store->snapshots = snap;
}

void snapshot_unlink(struct lsm *store, struct lsm_snapshot *snap)
{
	sync_assert_held(&store->tree_mu);
	if (snap->newer != NULL)
		snap->newer->older = snap->older;
	else
		store->last_snapshot = snap->older;
	if (snap->older != NULL)
		snap->older->newer = snap->newer;
	else
		store->snapshots = snap->newer;
}

enum lsm_err lsm_snapshot_take(struct lsm *store,
                               struct lsm_snapshot **snap_out)
{
	struct lsm_snapshot *snap = calloc(1, sizeof(*snap));

	*snap_out = snap;
	if (snap == NULL)
		return LSM_ERR_NOMEM;
	sync_lock(&store->tree_mu);
	snap->seq = lsm_sequence(store);
	snapshot_link(store, snap, NULL);
	sync_unlock(&store->tree_mu);
	return LSM_OK;
}

void lsm_snapshot_release(struct lsm *store, struct lsm_snapshot *snap)
{
	if (snap == NULL)
		return;
	sync_lock(&store->tree_mu);
	snapshot_unlink(store, snap);
	sync_unlock(&store->tree_mu);
	free(snap);
}
