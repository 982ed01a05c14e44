/* SPDX-License-Identifier: MIT */
/*
 * view.c: generations and views: what a reader holds on to.
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
 * The view is taken before the sequence: a sequence that is visible now lies in
 * the active memtable of this view or in what is older, since no memtable is
 * sealed while tree_mu is held. The other way round a flush in between could
 * have dropped the versions that an older sequence asks for.
 */
struct view *view_get(struct lsm *store, uint64_t *seq_out)
{
	struct view *view;

	sync_lock(&store->tree_mu);
	view = store->view;
	atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
	if (seq_out != NULL)
		*seq_out = atomic_load_explicit(&store->visible_seq,
		                                memory_order_acquire);
	sync_unlock(&store->tree_mu);
	return view;
}

struct view *view_replace(struct lsm *store, struct view *fresh,
                          struct generation *active, struct version *version)
{
	struct view *old = store->view;

	sync_assert_held(&store->tree_mu);
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
