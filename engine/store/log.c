/* SPDX-License-Identifier: MIT */
/*
 * log.c: the life of a log beside its memtable: made, synced, sealed.
 *
 * A log is named in the manifest before the first record reaches it, so that
 * recovery knows which logs to expect. That costs syncs, so the next log is made
 * ahead, as a spare, once half of the active memtable is full.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/store.h"

/*
 * Make a log and name it in the manifest; and, if values are placed, a segment
 * beside it (NULL: there is none). Needs manifest_mu, and holds it over the syncs:
 * the manifest names logs in the order in which they are used, so the spare and
 * one for a leader who cannot wait are not made side by side. Of forks beside a
 * writer who fills a memtable every 10 ms, one in fifty waits for it.
 */
static enum lsm_err make_log(struct lsm *store, bool places,
                             struct wal_writer **log_out,
                             struct active_segment **segment_out)
{
	struct file_header header = {.kind = FILE_KIND_LOG,
	                             .family = store->home->superblock.family};
	struct wal_writer *log = NULL;
	struct edit edit;
	enum lsm_err err;

	*log_out = NULL;
	*segment_out = NULL;
	edit_init(&edit);
	header.id.creator = store->state.branch.id;
	err = store_new_number(store, &header.id.number);
	if (err == LSM_OK)
		err = pool_ref(store->pool, FILE_KIND_LOG, header.id);
	if (err != LSM_OK)
		goto out;
	err = wal_writer_create(store->source.pool, &header,
	                        store->options.log_step_bytes,
	                        store->options.log_map_after, &log);
	if (err == LSM_OK)
		err = wal_writer_sync(log);
	if (err == LSM_OK && places)
		*segment_out = store_make_segment(store, header.id);
	if (err == LSM_OK)
		err = env_dir_sync(store->source.pool);
	if (err == LSM_OK)
		err = edit_add_log(&edit, (struct log_ref){.id = header.id});
	if (err == LSM_OK)
		err = store_log_edit(store, &edit);
	if (err != LSM_OK) {
		wal_writer_destroy(log);
		active_segment_unref(*segment_out);
		*segment_out = NULL;
		pool_unref(store->pool, FILE_KIND_LOG, header.id);
		goto out;
	}
	*log_out = log;
out:
	edit_release(&edit);
	return err;
}

enum lsm_err store_take_log(struct lsm *store, bool places)
{
	struct active_segment *segment = NULL;
	struct wal_writer *log = NULL;
	enum lsm_err err = LSM_OK;

	if (store->active->log != NULL)
		return LSM_OK;
	sync_lock(&store->manifest_mu);
	if (store->spare != NULL) {
		log = store->spare;
		store->spare = NULL;
		segment = store->spare_segment;
		store->spare_segment = NULL;
	} else {
		uint64_t start = sync_now_ns();

		err = make_log(store, places, &log, &segment);
		store_stalled(store, LSM_STALL_LOG, start);
	}
	if (err == LSM_OK) {
		/* Whoever holds manifest_mu finds the writer of each log that
		   may grow. */
		sync_lock(&store->tree_mu);
		store->active->log = log;
		sync_unlock(&store->tree_mu);
		atomic_store(&store->active->segment, segment);
	}
	sync_unlock(&store->manifest_mu);
	return err;
}

void store_spare_run(struct worker_job *job)
{
	struct lsm *store = STORE_OF_JOB(job, spare_job);

	sync_lock(&store->manifest_mu);
	/* A failure is met again, and told, by the leader who needs the log. */
	if (store->spare == NULL && store_writable(store) == LSM_OK &&
	    make_log(store, atomic_load(&store->places), &store->spare,
	             &store->spare_segment) != LSM_OK)
		log_info("%s: no log could be made ahead", store->path);
	sync_unlock(&store->manifest_mu);
}

/* ---- sealing -------------------------------------------------------------------- */

static void enqueue_sealed(struct lsm *store, struct generation *gen)
{
	sync_assert_held(&store->tree_mu);
	gen->newer = NULL;
	if (store->newest_sealed != NULL)
		store->newest_sealed->newer = gen;
	else
		store->oldest_sealed = gen;
	store->newest_sealed = gen;
}

/* Only the leader adds to the queue, so it can only have got shorter. */
static size_t sealed_count(struct lsm *store)
{
	size_t count;

	sync_lock(&store->tree_mu);
	count = store->view->sealed_count;
	sync_unlock(&store->tree_mu);
	return count;
}

enum lsm_err store_seal(struct lsm *store)
{
	struct generation *gen = store->active, *next = NULL;
	struct view *fresh = NULL, *old;
	enum lsm_err err;

	/* A batch that failed may have left bytes and no entry: they hold credit,
	   so they count. */
	if (memtable_bytes(gen->mem) == 0)
		return LSM_OK;
	err = generation_create(store, store->credit, &next);
	if (err == LSM_OK)
		err = view_alloc(sealed_count(store) + 1, &fresh);
	if (err != LSM_OK) {
		generation_unref(next);
		return err;
	}
	assert(gen->log != NULL);
	if (gen->segment != NULL) {
		bool idle = active_segment_close(gen->segment);

		assert(idle);
		(void)idle;
	}
	err = wal_writer_seal(gen->log);
	if (err != LSM_OK) {
		store_fail(store, LSM_ERR_POISONED,
		           "a log could not be sealed");
		generation_unref(next);
		free(fresh);
		return LSM_ERR_POISONED;
	}

	gen->log_id = wal_writer_id(gen->log);
	gen->log_bytes = wal_writer_size(gen->log);
	gen->last_seq = store->last_seq;
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		gen->counters[i] = atomic_load(&store->counters[i]);
	store->active = next;

	/* First: once it is queued a running flush may take it, and free it. */
	memtable_seal(gen->mem);
	sync_lock(&store->tree_mu);
	enqueue_sealed(store, gen); /* the reference of `active` moves along */
	old = view_replace(store, fresh, next, NULL);
	sync_unlock(&store->tree_mu);
	view_unref(old);

	worker_submit(store->runtime->workers, &store->flush_job, 0);
	return LSM_OK;
}

/*
 * Take the lead while the active segment is closed and idle, so that what is
 * sealed with it holds all that its frames were placed for. Whoever has frames
 * there waits for the lead to log them: do not hold it meanwhile.
 */
static struct active_segment *lead_idle(struct lsm *store, struct commit *place)
{
	struct active_segment *segment;

	for (;;) {
		store_lead(store, place);
		segment = store->active->segment;
		if (segment == NULL || active_segment_close(segment))
			return segment;
		active_segment_ref(segment);
		store_unlead(store, place);
		active_segment_await_idle(segment);
		active_segment_unref(segment);
	}
}

/* Give up the lead; what is still active takes frames again. */
static void unlead_idle(struct lsm *store, struct commit *place,
                        struct active_segment *segment)
{
	if (segment != NULL && store->active->segment == segment)
		active_segment_reopen(segment);
	store_unlead(store, place);
}

enum lsm_err store_lead_and_seal(struct lsm *store)
{
	struct commit place;
	struct active_segment *segment = lead_idle(store, &place);
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK)
		err = store_seal(store);
	unlead_idle(store, &place, segment);
	return err;
}

enum lsm_err store_lead_and_seal_last(struct lsm *store)
{
	struct commit place;
	struct active_segment *segment = lead_idle(store, &place);
	enum lsm_err err = store_seal(store);

	unlead_idle(store, &place, segment);
	return err;
}

enum lsm_err store_lead_and_seal_segment(struct lsm *store,
                                         struct active_segment *segment,
                                         bool *sealed_out)
{
	struct commit place;
	struct active_segment *active = lead_idle(store, &place);
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK && active == segment)
		err = store_seal(store);
	*sealed_out = store->active->segment != segment;
	unlead_idle(store, &place, active);
	return err;
}

/* ---- syncing --------------------------------------------------------------------- */

/* The generations that have a log, oldest first, each with a reference.
   Errors: NOMEM. */
static enum lsm_err logged_generations(struct lsm *store,
                                       struct generation ***gens_out,
                                       size_t *count_out)
{
	struct view *view = view_get(store, NULL);
	struct generation **gens;
	size_t count = 0;

	*count_out = 0;
	gens = calloc(view->sealed_count + 1, sizeof(struct generation *));
	*gens_out = gens;
	if (gens == NULL) {
		view_unref(view);
		return LSM_ERR_NOMEM;
	}
	sync_lock(&store->tree_mu);
	for (size_t i = 0; i <= view->sealed_count; i++) {
		struct generation *g =
		    i < view->sealed_count ? view->sealed[i] : view->active;

		if (g->log == NULL)
			continue;
		generation_ref(g);
		gens[count++] = g;
	}
	sync_unlock(&store->tree_mu);
	view_unref(view);
	*count_out = count;
	return LSM_OK;
}

/*
 * Sync the logs in order. An older log is durable, with its end record, before
 * any record of a newer one says how far that one was synced: recovery relies
 * on it.
 */
static enum lsm_err sync_logs(struct lsm *store)
{
	struct generation **gens;
	size_t count;
	enum lsm_err err = logged_generations(store, &gens, &count);

	for (size_t i = 0; i < count; i++) {
		if (err == LSM_OK) {
			err = generation_sync(gens[i]);
			if (err != LSM_OK) {
				store_fail(store, LSM_ERR_POISONED,
				           "a log could not be synced");
				err = LSM_ERR_POISONED;
			}
		}
		generation_unref(gens[i]);
	}
	free(gens);
	return err;
}

static enum lsm_err sync_all(struct lsm *store)
{
	struct sync_queue *queue = &store->sync_queue;
	uint64_t wanted = lsm_sequence(store), start;
	enum lsm_err err = LSM_OK;

	if (sync_queue_durable(queue) >= wanted)
		return LSM_OK;
	start = sync_now_ns();
	while (err == LSM_OK && sync_queue_enter(queue, wanted)) {
		err = atomic_load(&store->failed) == LSM_ERR_POISONED
		          ? LSM_ERR_POISONED
		          : sync_logs(store);
		sync_queue_end(queue, err == LSM_OK);
	}
	store_stalled(store, LSM_STALL_SYNC, start);
	return err;
}

enum lsm_err lsm_sync(struct lsm *store)
{
	atomic_store_explicit(&store->large_since_sync, 0,
	                      memory_order_relaxed);
	return sync_all(store);
}

/*
 * A record without a payload, which only carries the promise "all before me is
 * durable": with it damage to the last batches is told from a torn tail, also
 * when nothing more is written. It is not synced itself.
 */
static void append_mark(struct lsm *store)
{
	const struct slice nothing = slice_make(NULL, 0);
	struct wal_writer *log;
	struct commit place;
	enum lsm_err err = LSM_OK;

	store_lead(store, &place);
	log = store->active->log;
	if (store_writable(store) == LSM_OK && log != NULL &&
	    wal_writer_synced(log) == wal_writer_size(log) &&
	    wal_writer_reserve(log, wal_record_bytes(0)) == LSM_OK)
		err = wal_writer_append(log, &nothing, 1);
	if (err != LSM_OK && err != LSM_ERR_NOMEM)
		store_fail(store, LSM_ERR_POISONED,
		           "a log could not be written");
	store_unlead(store, &place);
}

void store_sync_run(struct worker_job *job)
{
	struct lsm *store = STORE_OF_JOB(job, sync_job);

	/* Disarmed first: what is written from now on arms it again. */
	atomic_store(&store->sync_armed, false);
	if (sync_all(store) == LSM_OK)
		append_mark(store);
	else
		log_debug("%s: the background sync failed", store->path);
}
