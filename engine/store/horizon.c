/* SPDX-License-Identifier: MIT */
/*
 * horizon.c: history up to a sequence number is forgotten: recorded first, so
 * that whoever still holds some of it is told and not misled, then compacted.
 */
#include "store/store.h"

uint64_t store_oldest_held(const struct lsm *store, uint64_t otherwise)
{
	const struct lsm_snapshot *snap = store->snapshots;

	while (snap != NULL && store_is_expired(store, snap->seq))
		snap = snap->newer;
	return snap != NULL ? snap->seq : otherwise;
}

uint64_t lsm_oldest_sequence(struct lsm *store)
{
	uint64_t seq;

	sync_lock(&store->tree_mu);
	seq = store_oldest_held(store, lsm_sequence(store));
	sync_unlock(&store->tree_mu);
	return seq;
}

/* Whether `up_to` can be the horizon. */
static enum lsm_err check_horizon(struct lsm *store, uint64_t up_to)
{
	if (up_to == 0)
		return LSM_ERR_ZERO_HORIZON;
	if (up_to > lsm_sequence(store))
		return LSM_ERR_FUTURE_HORIZON;
	if (up_to < atomic_load(&store->horizon))
		return LSM_ERR_OLD_HORIZON;
	return LSM_OK;
}

/*
 * In the manifest first: what a job drops because of it must not be asked for
 * after a crash either. Everything up to it is in tables, so that no crash can
 * leave a store whose sequence lies behind its horizon.
 */
static enum lsm_err record_horizon(struct lsm *store, uint64_t up_to)
{
	struct edit edit;
	enum lsm_err err;

	edit_init(&edit);
	edit.has_horizon = true;
	edit.horizon = up_to;
	sync_lock(&store->manifest_mu);
	err = check_horizon(store, up_to); /* another may have been faster */
	if (err == LSM_OK && up_to > store->state.horizon)
		err = store_log_edit(store, &edit);
	if (err == LSM_OK)
		atomic_store(&store->horizon, up_to);
	sync_unlock(&store->manifest_mu);
	edit_release(&edit);
	return err;
}

/*
 * L0 that fills up meanwhile, and what keeps it from being emptied, is dealt with
 * by triggers: writers may be waiting for that. But only every other time, so
 * that what was asked for comes to its end however much is written.
 */
static enum lsm_err compact_old(struct lsm *store,
                                struct compact_progress *progress)
{
	/* Of its own: every table of the last level is rewritten once at most. */
	struct buf cursor[LSM_LEVELS] = {BUF_INIT};
	bool urgent = false, done = true;
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && done) {
		urgent = !urgent && store_l0_is_due(store);
		err =
		    store_compact_once(store, urgent ? PICK_TRIGGER : PICK_ALL,
		                       urgent ? NULL : cursor, progress, &done);
		done = done || urgent;
	}
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_release(&cursor[level]);
	return err;
}

struct manual {
	struct lsm *store;
	struct compact_progress *progress;
	enum lsm_err err;
};

static void run_manual(void *ctx)
{
	struct manual *manual = ctx;

	sync_give_way(WORKER_COMPACT_NICE);
	manual->err = compact_old(manual->store, manual->progress);
}

/* As a compaction in the background would, in a thread that gives way to those
   who want an answer: the caller's cannot, since there is no way back. */
static enum lsm_err compact_aside(struct lsm *store,
                                  struct compact_progress *progress)
{
	struct manual manual = {store, progress, LSM_OK};
	struct sync_thread thread;
	enum lsm_err err =
	    sync_thread_start(&thread, "lsm-manual", run_manual, &manual);

	if (err != LSM_OK)
		return err;
	sync_thread_join(&thread);
	return manual.err;
}

enum lsm_err lsm_compact(struct lsm *store, uint64_t up_to,
                         const struct lsm_compaction *how)
{
	struct compact_progress progress = {.how = how, .up_to = up_to};
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK)
		err = check_horizon(store, up_to);
	if (err == LSM_OK)
		err = lsm_flush(store);
	if (err == LSM_OK)
		err = record_horizon(store, up_to);
	if (err != LSM_OK)
		return err;
	atomic_fetch_add(&store->manual, 1);
	err = compact_aside(store, &progress);
	atomic_store(&store->tidy, err == LSM_OK);
	atomic_fetch_sub(&store->manual, 1);
	worker_submit(store->runtime->workers, &store->compact_job, 0);
	return err;
}
