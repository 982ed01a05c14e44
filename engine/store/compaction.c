/* SPDX-License-Identifier: MIT */
/*
 * compaction.c: keep reads short and dead bytes few, in the background.
 *
 * The job runs after each flush, after each compaction, and once a period.
 * Once a period it also looks for work that no trigger demands, and has a
 * memtable that nobody wrote to for a whole period flushed, so that a quiet
 * store comes to rest in tables.
 *
 * L0 comes first: its tables are what reads and writers suffer from. A deep job
 * ends early where L0 of any store waits, since jobs share their threads, and
 * goes no faster than the bucket lets it, unless deep levels are what is behind.
 */
#include "store/store.h"

enum {
	/* A flush is small below this part of a full memtable, or this. */
	SMALL_PART = 8,
	SMALL_MAX_BYTES = 1 << 20,
	/* Garbage of a segment at which it is emptied: on the way, and once
	   nobody wrote for a period. Emptying at u parts in use writes
	   u / (1 - u) of what was written since. */
	COLLECT_PERCENT = 50,
	COLLECT_QUIET_PERCENT = 33,
	/* With less than this part of the disk left it is made small for. */
	NEARLY_FULL_PART = 16,
};

void store_pick_options(const struct lsm *store, enum pick_why why,
                        struct pick_options *options)
{
	options->l0_trigger = store->options.l0_trigger;
	options->level_base_bytes = store->options.level_base_bytes;
	options->table_bytes = store->options.table_bytes;
	options->small_bytes = store->options.memtable_bytes / SMALL_PART;
	if (options->small_bytes > SMALL_MAX_BYTES)
		options->small_bytes = SMALL_MAX_BYTES;
	options->oldest_snapshot = KEY_SEQ_MAX;
	options->why = why;
	options->up_to = 0;
}

static void count_compaction(struct lsm *store, const struct edit *edit,
                             bool trivial)
{
	atomic_fetch_add(&store->compact_count, 1);
	if (!trivial)
		atomic_fetch_add(&store->compact_bytes, edit_added_bytes(edit));
}

static struct version *present_version(struct lsm *store)
{
	struct version *version;

	sync_lock(&store->tree_mu);
	version = store->view->version;
	version_ref(version);
	sync_unlock(&store->tree_mu);
	return version;
}

/* ---- what comes first ------------------------------------------------ */

void store_note_l0(struct lsm *store)
{
	struct version *version = present_version(store);
	struct pick_options options;

	store_pick_options(store, PICK_TRIGGER, &options);
	if (!atomic_load(&store->stop) &&
	    pick_l0_goes_first(version, &options) &&
	    !atomic_exchange(&store->l0_waits, true))
		atomic_fetch_add(&store->runtime->l0_waiting, 1);
	version_unref(version);
}

bool store_l0_is_due(struct lsm *store)
{
	struct version *version = present_version(store);
	struct pick_options options;
	bool due;

	store_pick_options(store, PICK_TRIGGER, &options);
	due = pick_l0_is_due(version, &options);
	version_unref(version);
	return due;
}

void store_forget_l0(struct lsm *store)
{
	if (atomic_exchange(&store->l0_waits, false))
		atomic_fetch_sub(&store->runtime->l0_waiting, 1);
}

/* A compaction that is being carried out. */
struct running {
	struct lsm *store;
	bool paced; /* it is to leave room for others on the disk */
	struct compact_progress *progress; /* NULL: it is a background job */
	uint64_t written;
};

/* A job of the caller's own thread is in nobody's way but its own store's. */
static bool yields(void *ctx)
{
	const struct running *running = ctx;

	return running->progress != NULL
	           ? atomic_load(&running->store->l0_waits)
	           : atomic_load(&running->store->runtime->l0_waiting) > 0;
}

/* Tell that `bytes` are done of what was left when the job began. */
static enum lsm_err report(const struct compact_progress *progress,
                           uint64_t bytes)
{
	const struct lsm_compaction *how = progress->how;
	uint64_t left = progress->total - progress->done;

	if (how == NULL || how->progress == NULL ||
	    how->progress(how->ctx,
	                  progress->done + (bytes < left ? bytes : left),
	                  progress->total))
		return LSM_OK;
	return LSM_ERR_CANCELLED;
}

static void pace(struct running *running, uint64_t bytes)
{
	struct lsm_runtime *runtime = running->store->runtime;
	struct env_io_stats io;
	uint64_t pause_ns;

	env_io_stats(running->store->env, &io);
	sync_lock(&runtime->bucket_mu);
	pause_ns = bucket_take(&runtime->bucket, bytes, io.bytes_written,
	                       sync_now_ns());
	sync_unlock(&runtime->bucket_mu);
	if (pause_ns > 0)
		sync_sleep_ns(pause_ns);
}

static enum lsm_err step(void *ctx, uint64_t bytes)
{
	struct running *running = ctx;

	if (running->paced)
		pace(running, bytes);
	running->written += bytes;
	if (running->progress == NULL)
		return LSM_OK;
	return report(running->progress, running->written);
}

static void synced(void *ctx, uint64_t bytes, uint64_t ns)
{
	const struct running *running = ctx;
	struct lsm_runtime *runtime = running->store->runtime;

	sync_lock(&runtime->bucket_mu);
	bucket_synced(&runtime->bucket, bytes, ns);
	sync_unlock(&runtime->bucket_mu);
}

/* ---- one compaction -------------------------------------------------- */

static enum lsm_err carry_out(struct running *running, struct version *version,
                              const struct compact_plan *plan,
                              const struct collection *collection)
{
	struct lsm *store = running->store;
	struct buf snapshots = BUF_INIT;
	struct job_context context;
	struct edit edit;
	enum lsm_err err = store_job_context(store, &snapshots, &context);

	context.control = (struct job_control){step, yields, synced, running};
	context.segments_known = &collection->known;
	context.doomed = &collection->movable;
	edit_init(&edit);
	if (err == LSM_OK)
		err = job_compact(&context, version, plan, &edit);
	if (err == LSM_OK && !plan->trivial && edit.added_count > 0)
		err = env_dir_sync(store->source.pool);
	if (err == LSM_OK)
		err = store_install(store, &edit, NULL);
	if (err == LSM_OK)
		count_compaction(store, &edit, plan->trivial);
	edit_release(&edit);
	buf_release(&snapshots);
	return err;
}

static unsigned collect_percent(const struct lsm *store, enum pick_why why,
                                bool tidy)
{
	if (why == PICK_ALL || tidy)
		return STORE_COLLECT_ALL_PERCENT;
	return why == PICK_PERIOD && store->quiet ? COLLECT_QUIET_PERCENT
	                                          : COLLECT_PERCENT;
}

/* The most urgent compaction. Segments are emptied when nothing else is due, or
   once they hold more garbage than values and L0 does not wait. */
static enum lsm_err choose(struct lsm *store, struct version *version,
                           const struct pick_options *options,
                           struct buf *cursor, struct collection *collection,
                           struct compact_plan *plan, bool *due_out)
{
	bool tidy = options->why == PICK_PERIOD && atomic_load(&store->tidy);
	enum lsm_err err = store_collection_make(
	    store, version, collect_percent(store, options->why, tidy),
	    collection);

	if (err == LSM_OK &&
	    collection->garbage_bytes > collection->live_bytes &&
	    !pick_l0_goes_first(version, options))
		err = collect_pick(version, &collection->doomed, plan, due_out);
	if (err == LSM_OK && !*due_out)
		err = pick_compaction(version, options, cursor, plan, due_out);
	if (err == LSM_OK && !*due_out)
		err = collect_pick(version, &collection->doomed, plan, due_out);
	if (err == LSM_OK && !*due_out && tidy)
		atomic_store(&store->tidy, false);
	return err;
}

/* See anew how much there is to do, and tell. */
static enum lsm_err foresee(struct compact_progress *progress,
                            const struct version *version,
                            const struct pick_options *options,
                            const struct buf *cursor)
{
	progress->total =
	    progress->done + pick_bytes_left(version, options, cursor);
	return report(progress, 0);
}

static void advance(struct compact_progress *progress, uint64_t written)
{
	uint64_t left = progress->total - progress->done;

	progress->done += written < left ? written : left;
}

enum lsm_err store_compact_once(struct lsm *store, enum pick_why why,
                                struct buf *cursor,
                                struct compact_progress *progress,
                                bool *done_out)
{
	struct running running = {.store = store, .progress = progress};
	struct pick_options options;
	struct collection collection;
	struct compact_plan plan;
	struct version *version;
	enum lsm_err err = LSM_OK;

	*done_out = false;
	compact_plan_init(&plan);
	store_collection_init(&collection);
	sync_lock(&store->compact_mu);
	store_forget_l0(store); /* what is added from here on is not seen */
	version = present_version(store);
	store_pick_options(store, why, &options);
	sync_lock(&store->tree_mu);
	options.oldest_snapshot = store_oldest_held(store, KEY_SEQ_MAX);
	sync_unlock(&store->tree_mu);
	if (cursor == NULL)
		cursor = store->cursor;
	if (progress != NULL) {
		options.up_to = progress->up_to;
		err = foresee(progress, version, &options, cursor);
	}
	if (err == LSM_OK)
		err = choose(store, version, &options, cursor, &collection,
		             &plan, done_out);
	if (err == LSM_OK && *done_out) {
		running.paced = plan.level > 0 &&
		                !pick_is_behind(version, &options) &&
		                atomic_load(&store->reclaimed) >=
		                    atomic_load(&store->reclaim_wanted);
		err = carry_out(&running, version, &plan, &collection);
	}
	if (err == LSM_OK && *done_out) /* a flush may be held */
		worker_submit(store->runtime->workers, &store->flush_job, 0);
	if (progress != NULL)
		advance(progress, running.written);
	compact_plan_release(&plan);
	store_collection_release(&collection);
	version_unref(version);
	sync_unlock(&store->compact_mu);
	return err;
}

/* Once a period, or at once where room is wanted. */
static bool period_is_over(struct lsm *store, bool *reclaims)
{
	uint64_t now = sync_now_ns();
	uint64_t period_ns =
	    (uint64_t)store->runtime->options.period_ms * 1000000;

	*reclaims = atomic_exchange(&store->reclaim, false);
	if (!*reclaims && (period_ns == 0 || now < store->period_due_ns))
		return false;
	store->period_due_ns = now + period_ns;
	return true;
}

static void seal_if_idle(struct lsm *store)
{
	uint64_t seq = lsm_sequence(store);

	store->quiet = seq == store->period_seq;
	if (store->quiet && store_lead_and_seal(store) != LSM_OK)
		log_debug("%s: an idle memtable stays", store->path);
	store->period_seq = seq;
}

uint64_t lsm_reclaim(struct lsm *store)
{
	uint64_t seq = lsm_sequence(store);
	uint64_t wanted = atomic_load(&store->reclaim_wanted);

	while (wanted < seq && !atomic_compare_exchange_weak(
				   &store->reclaim_wanted, &wanted, seq))
		;
	atomic_store(&store->reclaim, true);
	worker_submit(store->runtime->workers, &store->compact_job, 0);
	return seq;
}

uint64_t lsm_reclaimed(const struct lsm *store)
{
	return atomic_load(&store->reclaimed);
}

static bool is_nearly_full(struct lsm *store)
{
	uint64_t total, left;

	return lsm_disk_space(store, &total, &left) == LSM_OK &&
	       left < total / NEARLY_FULL_PART;
}

/*
 * Seal what is asked for. What compactions can reach is in tables: up to where
 * that is so is returned. Where a flush is on the way, it is asked for anew: the
 * end of the flush has this job run again.
 */
static uint64_t begin_reclaim(struct lsm *store)
{
	uint64_t wanted = atomic_load(&store->reclaim_wanted);
	struct view *view;
	bool flushed;

	if (is_nearly_full(store))
		atomic_store(&store->tidy, true);
	if (wanted > store->reclaim_sealed &&
	    store_lead_and_seal(store) == LSM_OK)
		store->reclaim_sealed = wanted;
	view = view_get(store, NULL);
	flushed = view->sealed_count == 0;
	view_unref(view);
	if (flushed)
		return store->reclaim_sealed;
	atomic_store(&store->reclaim, true);
	return 0;
}

static void end_reclaim(struct lsm *store, uint64_t seq)
{
	if (seq == 0)
		return;
	sync_lock(&store->tree_mu);
	atomic_store(&store->reclaimed, seq);
	sync_broadcast(&store->changed);
	sync_unlock(&store->tree_mu);
}

/* Also what no trigger demands. */
static enum lsm_err compact_quietly(struct lsm *store, bool reclaims)
{
	uint64_t reclaimed = 0;
	enum lsm_err err;
	bool done;

	if (reclaims)
		reclaimed = begin_reclaim(store);
	else
		seal_if_idle(store);
	do {
		err = store_compact_once(store, PICK_PERIOD, NULL, NULL, &done);
	} while (err == LSM_OK && done && !atomic_load(&store->stop));
	if (err == LSM_OK && !done)
		end_reclaim(store, reclaimed);
	return err;
}

void store_compact_run(struct worker_job *job)
{
	struct lsm *store = STORE_OF_JOB(job, compact_job);
	struct worker_pool *workers = store->runtime->workers;
	bool done = false;
	bool reclaims;
	enum lsm_err err;

	if (store_writable(store) != LSM_OK || atomic_load(&store->stop)) {
		store_forget_l0(store);
		return;
	}
	if (atomic_load(&store->manual) > 0)
		return; /* it is called again after that */
	err = store_compact_once(store, PICK_TRIGGER, NULL, NULL, &done);
	if (err == LSM_OK && !done && period_is_over(store, &reclaims))
		err = compact_quietly(store, reclaims);
	atomic_store(&store->slow.failing,
	             err != LSM_OK && err != LSM_ERR_CLOSED);
	if (err != LSM_OK && err != LSM_ERR_CLOSED) {
		store->compact_retry_ms = store->compact_retry_ms == 0
		                              ? STORE_RETRY_MIN_MS
		                              : store->compact_retry_ms * 2;
		if (store->compact_retry_ms > STORE_RETRY_MAX_MS)
			store->compact_retry_ms = STORE_RETRY_MAX_MS;
		log_warning("%s: a compaction failed (%s); trying again in "
		            "%u ms",
		            store->path, lsm_strerror(err),
		            store->compact_retry_ms);
		worker_submit(workers, job, store->compact_retry_ms);
		return;
	}
	store->compact_retry_ms = 0;
	if (done)
		worker_submit(workers, job, 0);
	else if (store->runtime->options.period_ms > 0)
		worker_submit(workers, job, store->runtime->options.period_ms);
}
