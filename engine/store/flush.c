/* SPDX-License-Identifier: MIT */
/*
 * flush.c: the oldest sealed memtable becomes a table of L0.
 *
 * A flush that fails keeps its memtable, its log and its credit, and is tried
 * again, into a new file, after a pause that doubles up to STORE_RETRY_MAX_MS.
 */
#include <stdlib.h>

#include "store/branches.h"
#include "store/store.h"

/* An L0 table's place says nothing of what is older: nothing is dropped. */
enum lsm_err store_job_context(struct lsm *store, struct buf *snapshots,
                               struct job_context *context)
{
	enum lsm_err err = LSM_OK;

	memset(context, 0, sizeof(*context));
	buf_clear(snapshots);
	sync_lock(&store->tree_mu);
	for (struct lsm_snapshot *s = store->snapshots; s != NULL && !err;
	     s = s->newer)
		if (!store_is_expired(store, s->seq) &&
		    (s->older == NULL || s->older->seq != s->seq))
			err = buf_append(snapshots, &s->seq, sizeof(s->seq));
	sync_unlock(&store->tree_mu);

	context->source = &store->source;
	context->owner = home_table_owner(store->home);
	context->new_file = store_new_table;
	context->new_file_ctx = store;
	context->fold = store_fold_fn(store);
	context->snapshots = (const uint64_t *)(const void *)snapshots->data;
	context->snapshot_count = snapshots->len / sizeof(uint64_t);
	context->range_prefix_bytes = store->options.range_prefix_bytes;
	context->table_bytes = store->options.table_bytes;
	context->block_bytes = store->options.block_bytes;
	context->stop = &store->stop;
	store_segment_context(store, context);
	return err;
}

/* Range tombstones of the memtable itself; newer ones are not needed. */
static enum lsm_err load_ranges(void *ctx, struct slice prefix,
                                key_visit_fn visit, void *visit_ctx)
{
	/* Why the walk ended the visitor knows. */
	(void)memtable_get(ctx, prefix, KEY_SEQ_MAX, visit, visit_ctx);
	return LSM_OK;
}

enum lsm_err store_write_table(struct lsm *store, struct memtable *mem,
                               const struct segment_uses *segments,
                               struct edit *edit)
{
	static const atomic_bool never = false;
	struct buf snapshots = BUF_INIT;
	struct job_context context;
	struct reduce_options reduce = {0};
	struct iter *iter = NULL;
	enum lsm_err err = store_job_context(store, &snapshots, &context);

	context.stop = &never; /* close waits for flushes */
	context.segments_known = segments;
	reduce.fold = context.fold;
	reduce.snapshots = context.snapshots;
	reduce.snapshot_count = context.snapshot_count;
	reduce.ranges.prefix_bytes = context.range_prefix_bytes;
	reduce.ranges.ctx = mem;
	if (memtable_has_ranges(mem))
		reduce.ranges.load = load_ranges;
	if (err == LSM_OK)
		err = memtable_iter(mem, &iter);
	if (err == LSM_OK)
		err = reduce_iter_create(iter, &reduce, &iter);
	if (err == LSM_OK)
		err = job_write_tables(&context, iter, 0, false, edit);
	buf_release(&snapshots);
	return err;
}

/* The segment of the generation, ready to be named by a table. */
static enum lsm_err finish_segment(struct lsm *store, struct generation *gen,
                                   struct segment_uses *uses)
{
	struct segment_use use = {.id = gen->log_id};
	enum lsm_err err;

	if (gen->segment == NULL || active_segment_is_empty(gen->segment))
		return LSM_OK;
	err = active_segment_finish(gen->segment, &use.file_bytes);
	if (err == LSM_OK)
		return segment_uses_add(uses, &use);
	if (err == LSM_ERR_NOSPACE || err == LSM_ERR_NOMEM)
		return err;
	store_fail(store, LSM_ERR_POISONED, "a segment could not be finished");
	return LSM_ERR_POISONED;
}

/* The edit that puts a table in the place of the generation and its log. */
static enum lsm_err write_generation(struct lsm *store, struct generation *gen,
                                     const struct segment_uses *uses,
                                     struct edit *edit)
{
	enum lsm_err err = store_write_table(store, gen->mem, uses, edit);

	if (err == LSM_OK)
		err = edit_remove_log(edit, gen->log_id);
	if (err == LSM_OK)
		err = env_dir_sync(store->source.pool);
	edit->has_flushed = true;
	edit->flushed_seq = gen->last_seq;
	memcpy(edit->counters, gen->counters, sizeof(edit->counters));
	return err;
}

static void count_flush(struct lsm *store, const struct generation *gen,
                        const struct edit *edit)
{
	atomic_fetch_add(&store->flush_count, 1);
	atomic_fetch_add(&store->flush_bytes, edit_added_bytes(edit));
	slow_flushed(store, memtable_bytes(gen->mem));
}

void store_end_of_flush(struct lsm *store, enum lsm_err err)
{
	sync_lock(&store->tree_mu);
	store->flush_err = err;
	store->flush_err_try = store->flush_tries;
	sync_broadcast(&store->changed);
	sync_unlock(&store->tree_mu);
}

/* Write the generation out and install the table; *edit is what did so. */
static enum lsm_err flush_one(struct lsm *store, struct generation *gen,
                              struct edit *edit)
{
	struct segment_uses uses;
	enum lsm_err err;

	segment_uses_init(&uses);
	err = finish_segment(store, gen, &uses);
	if (err == LSM_OK)
		err = write_generation(store, gen, &uses, edit);
	segment_uses_release(&uses);
	if (err != LSM_OK)
		return err;
	count_flush(store, gen, edit);
	return store_install(store, edit, gen);
}

/* A memtable that another branch filled, and may just be flushing: not both put
   a table here in its place. */
static enum lsm_err flush_shared(struct lsm *store, struct file_id log,
                                 struct edit *edit, bool *done_out)
{
	struct home *home = store->home;
	struct generation *gen;
	enum lsm_err err = LSM_OK;

	sync_lock(&home->mu);
	branch_enter(home, store->branch, BRANCH_FLUSHING);
	sync_unlock(&home->mu);
	sync_lock(&store->tree_mu);
	gen = store->oldest_sealed;
	*done_out =
	    gen != NULL && gen->shared && file_id_equal(gen->log_id, log);
	sync_unlock(&store->tree_mu);
	if (*done_out)
		err = flush_one(store, gen, edit);
	if (*done_out && err == LSM_OK)
		store_landed(store, log);
	branch_leave(home, store->branch);
	return err;
}

/* Have the tables land in other branches. Who awaited that looks again after it:
   it may have been left out, as it was being opened, or could not take them. */
static void land(struct lsm *store, const struct edit *edit, struct file_id log)
{
	home_land(store->home, store->branch, edit, log);
	sync_lock(&store->tree_mu);
	store->landing = (struct file_id){0, 0};
	sync_unlock(&store->tree_mu);
	home_wake_logged(store->home, store->branch);
}

enum lsm_err store_flush_oldest(struct lsm *store, bool *more_out)
{
	struct file_id log = {0, 0};
	bool shared = false, done = true;
	struct generation *gen;
	struct edit edit;
	enum lsm_err err;

	/* A shared one may be taken out, and freed, by another thread. */
	sync_lock(&store->tree_mu);
	gen = store->oldest_sealed;
	store->flush_tries++;
	if (gen != NULL) {
		log = gen->log_id;
		shared = gen->shared;
		store->landing = log;
	}
	sync_unlock(&store->tree_mu);
	*more_out = gen != NULL;
	if (gen == NULL)
		return LSM_OK;

	edit_init(&edit);
	err = shared ? flush_shared(store, log, &edit, &done)
	             : flush_one(store, gen, &edit);
	if (err == LSM_OK && done)
		land(store, &edit, log);
	if (err == LSM_OK && !shared)
		store_note_l0(store);
	edit_release(&edit);
	if (err == LSM_OK && !shared) {
		credit_set_nospace(store->credit, false);
		credit_flush_done(store->credit);
	}
	store_end_of_flush(store, err);
	return err;
}

void store_flush_run(struct worker_job *job)
{
	struct lsm *store = STORE_OF_JOB(job, flush_job);
	enum lsm_err err;
	bool more;

	if (atomic_load(&store->failed) == LSM_ERR_POISONED ||
	    store_awaits_landing(store))
		return;
	if (slow_holds_flush(store)) {
		/* It comes sooner when a compaction ends. */
		worker_submit(store->runtime->workers, &store->compact_job, 0);
		worker_submit(store->runtime->workers, job, STORE_HOLD_MS);
		return;
	}
	err = store_flush_oldest(store, &more);
	if (err == LSM_OK) {
		store->flush_retry_ms = 0;
		if (more)
			worker_submit(store->runtime->workers, job, 0);
		if (more || atomic_load(&store->reclaim))
			worker_submit(store->runtime->workers,
			              &store->compact_job, 0);
		return;
	}
	if (err == LSM_ERR_NOSPACE) {
		credit_set_nospace(store->credit, true);
		runtime_watch_nospace(store->runtime);
	}
	store->flush_retry_ms = store->flush_retry_ms == 0
	                            ? STORE_RETRY_MIN_MS
	                            : store->flush_retry_ms * 2;
	if (store->flush_retry_ms > STORE_RETRY_MAX_MS)
		store->flush_retry_ms = STORE_RETRY_MAX_MS;
	log_warning("%s: a flush failed (%s); trying again in %u ms",
	            store->path, lsm_strerror(err), store->flush_retry_ms);
	worker_submit(store->runtime->workers, job, store->flush_retry_ms);
	/* Others need not wait for us; they try again by themselves too. */
	if (store->flush_retry_ms == STORE_RETRY_MIN_MS)
		home_wake_logged(store->home, store->branch);
}

enum lsm_err lsm_flush(struct lsm *store)
{
	struct generation *newest;
	enum lsm_err err;
	uint64_t before;

	/* First: what is sealed is flushed at once. */
	sync_lock(&store->tree_mu);
	before = store->flush_tries;
	sync_unlock(&store->tree_mu);
	/* Not after the pause of a try that failed. */
	worker_submit(store->runtime->workers, &store->flush_job, 0);
	err = store_lead_and_seal(store);
	if (err != LSM_OK)
		return err;
	sync_lock(&store->tree_mu);
	newest = store->newest_sealed;
	if (newest != NULL)
		generation_ref(newest);
	/* It has left the queue once the oldest one there is a later one. What
	   went wrong before is no answer to this call, but to have failed for
	   good is. */
	while (newest != NULL && store->oldest_sealed != NULL &&
	       store->oldest_sealed->last_seq <= newest->last_seq) {
		err = atomic_load(&store->failed);
		if (err == LSM_OK && store->flush_err_try > before)
			err = store->flush_err;
		if (err != LSM_OK)
			break;
		sync_wait(&store->changed, &store->tree_mu);
	}
	sync_unlock(&store->tree_mu);
	generation_unref(newest);
	return err;
}
