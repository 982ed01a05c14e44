/* SPDX-License-Identifier: MIT */
/*
 * write.c: group commit.
 *
 * The commit queue is first come, first served. Its head leads: it takes the
 * batches behind it into its group, up to a size, and does the work of all. The
 * followers sleep until they are done, or until they are the head themselves.
 */
#include <assert.h>

#include "store/batch.h"
#include "store/store.h"
#include "wal/record.h"

/* ---- the queue --------------------------------------------------------------- */

/* Join the queue and wait to be its head, or to be done by another. */
static void enter_queue(struct lsm *store, struct commit *place)
{
	place->next = NULL;
	place->done = false;
	place->err = LSM_OK;
	sync_cond_init(&place->turn);

	sync_lock(&store->commit_mu);
	if (store->queue_tail != NULL)
		store->queue_tail->next = place;
	else
		store->queue_head = place;
	store->queue_tail = place;
	while (!place->done && store->queue_head != place)
		sync_wait(&place->turn, &store->commit_mu);
	sync_unlock(&store->commit_mu);
}

/*
 * The leader `first` leaves with its group up to `last`. A follower may return,
 * and its place be gone, as soon as the lock is free.
 */
static void leave_queue(struct lsm *store, struct commit *first,
                        struct commit *last, enum lsm_err err)
{
	struct commit *place = first, *next;

	sync_lock(&store->commit_mu);
	assert(store->queue_head == first);
	store->queue_head = last->next;
	if (store->queue_head == NULL)
		store->queue_tail = NULL;
	for (bool more = true; more; place = next) {
		more = place != last;
		next = place->next;
		place->err = err;
		place->done = true;
		if (place != first)
			sync_signal(&place->turn);
	}
	if (store->queue_head != NULL)
		sync_signal(&store->queue_head->turn);
	sync_unlock(&store->commit_mu);
	sync_cond_destroy(&first->turn);
}

void store_lead(struct lsm *store, struct commit *place)
{
	memset(place, 0, sizeof(*place));
	enter_queue(store, place);
}

void store_unlead(struct lsm *store, struct commit *place)
{
	leave_queue(store, place, place, LSM_OK);
}

/* ---- the leader's work --------------------------------------------------------- */

struct group {
	struct commit *members[STORE_GROUP_MAX];
	struct slice payloads[STORE_GROUP_MAX];
	struct memtable_chain chains[STORE_GROUP_MAX];
	size_t count;
	uint64_t taken;     /* credit of all members */
	uint64_t log_bytes; /* their records */
	uint64_t last_seq;
};

static void gather(struct lsm *store, struct commit *leader,
                   struct group *group)
{
	size_t bytes = 0, most = STORE_GROUP_MAX_BYTES;

	group->count = 0;
	group->taken = 0;
	group->log_bytes = 0;
	if (leader->batch->rep.len < STORE_GROUP_SMALL_BYTES)
		most = leader->batch->rep.len + STORE_GROUP_SMALL_BYTES;

	sync_lock(&store->commit_mu);
	for (struct commit *c = leader;
	     c != NULL && c->batch != NULL && group->count < STORE_GROUP_MAX;
	     c = c->next) {
		if (c != leader && bytes + c->batch->rep.len > most)
			break;
		bytes += c->batch->rep.len;
		group->taken += c->taken;
		group->members[group->count++] = c;
	}
	sync_unlock(&store->commit_mu);
}

/* Give every batch its sequence numbers and its final bytes. */
static enum lsm_err number_batches(struct lsm *store, struct group *group)
{
	uint64_t seq = store->last_seq;

	for (size_t i = 0; i < group->count; i++) {
		struct commit *c = group->members[i];
		enum lsm_err err =
		    batch_finish(c->batch, seq + 1, &group->payloads[i]);

		if (err != LSM_OK)
			return err;
		seq += c->batch->entries;
		c->seq = seq;
		group->log_bytes += wal_record_bytes(group->payloads[i].len);
	}
	group->last_seq = seq;
	return LSM_OK;
}

static enum lsm_err prepare_batch(struct memtable *mem, struct slice payload,
                                  struct memtable_chain *chain)
{
	struct batch_reader reader;
	enum lsm_err err = batch_reader_init(&reader, payload);

	memset(chain, 0, sizeof(*chain));
	for (uint32_t i = 0; err == LSM_OK && i < reader.entries; i++) {
		struct slice key, value;
		enum key_kind kind;

		err = batch_reader_next(&reader, &kind, &key, &value);
		if (err == LSM_OK)
			err = memtable_prepare(mem, key, reader.first_seq + i,
			                       kind, value, chain);
	}
	return err;
}

/* Whatever fails here leaves no trace: nothing was logged yet. */
static enum lsm_err prepare_group(struct lsm *store, struct group *group)
{
	struct memtable *mem = store->active->mem;
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < group->count; i++)
		err = prepare_batch(mem, group->payloads[i], &group->chains[i]);
	memtable_settle(mem, group->taken);
	group->taken = 0;
	return err;
}

static void apply_group(struct lsm *store, struct group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		struct lsm_batch *batch = group->members[i]->batch;

		memtable_apply(store->active->mem, &group->chains[i]);
		for (unsigned n = 0; n < LSM_COUNTERS; n++)
			if (batch->counters[n] != 0)
				atomic_fetch_add_explicit(&store->counters[n],
				                          batch->counters[n],
				                          memory_order_relaxed);
	}
	store->last_seq = group->last_seq;
	atomic_store_explicit(&store->visible_seq, group->last_seq,
	                      memory_order_release);
}

/* Start what the new bytes call for: a spare log, a later sync. */
static void after_commit(struct lsm *store)
{
	struct generation *gen = store->active;

	if (!gen->spare_asked &&
	    memtable_bytes(gen->mem) > store->options.memtable_bytes / 2) {
		gen->spare_asked = true;
		worker_submit(store->runtime->workers, &store->spare_job, 0);
	}
	if (store->runtime->options.sync_period_ms == 0)
		return;
	if (!atomic_exchange(&store->sync_armed, true))
		worker_submit(store->runtime->workers, &store->sync_job,
		              store->runtime->options.sync_period_ms);
	/* What a fork, or an fsync, has to wait for stays small. */
	if (wal_writer_size(gen->log) >=
	    gen->sync_asked_bytes + STORE_SYNC_BYTES) {
		gen->sync_asked_bytes = wal_writer_size(gen->log);
		worker_submit(store->runtime->workers, &store->sync_job, 0);
	}
}

static enum lsm_err commit_group(struct lsm *store, struct group *group)
{
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK &&
	    memtable_bytes(store->active->mem) >= store->options.memtable_bytes)
		err = store_seal(store);
	if (err == LSM_OK)
		err = number_batches(store, group);
	if (err == LSM_OK)
		err = store_take_log(store);
	if (err == LSM_OK)
		err = wal_writer_reserve(store->active->log, group->log_bytes);
	if (err == LSM_OK)
		err = prepare_group(store, group);
	if (err != LSM_OK)
		goto out;

	err = wal_writer_append(store->active->log, group->payloads,
	                        group->count);
	if (err == LSM_ERR_NOMEM)
		goto out; /* before anything was written */
	if (err != LSM_OK) {
		store_fail(store, LSM_ERR_POISONED,
		           "a log could not be written");
		err = LSM_ERR_POISONED;
		goto out;
	}
	apply_group(store, group);
	after_commit(store);
out:
	if (group->taken > 0)
		credit_give(store->credit, group->taken);
	return err;
}

/* Lead the group of `place`. */
static void lead_group(struct lsm *store, struct commit *place)
{
	struct group group;
	enum lsm_err err;

	gather(store, place, &group);
	err = commit_group(store, &group);
	leave_queue(store, place, group.members[group.count - 1], err);
}

static enum lsm_err check_batch(struct lsm *store,
                                const struct lsm_batch *batch,
                                const struct lsm_admission *admission)
{
	enum lsm_err err = store_writable(store);

	if (err != LSM_OK)
		return err;
	if (batch->merges && store->options.fold == NULL)
		return LSM_ERR_INVALID;
	if (batch->range_prefix_bytes > 0 &&
	    batch->range_prefix_bytes != store->options.range_prefix_bytes)
		return LSM_ERR_INVALID;
	if (admission != NULL &&
	    (admission->store != store ||
	     admission->bytes <
	         lsm_admission_bound(store, batch->entries, batch->bytes)))
		return LSM_ERR_INVALID;
	return LSM_OK;
}

enum lsm_err lsm_write(struct lsm *store, struct lsm_batch *batch,
                       struct lsm_admission *admission, uint64_t *seq_out)
{
	struct lsm_admission own = {NULL, 0};
	struct commit place = {.batch = batch};
	enum lsm_err err = check_batch(store, batch, admission);

	if (err == LSM_OK && batch->entries > 0 && admission == NULL) {
		admission = &own;
		err = lsm_admit(
		    store,
		    lsm_admission_bound(store, batch->entries, batch->bytes),
		    false, &own);
	}
	if (err != LSM_OK || batch->entries == 0) {
		if (admission != NULL)
			lsm_admission_release(admission);
		return err;
	}

	place.taken = admission->bytes;
	*admission = (struct lsm_admission){NULL, 0};
	enter_queue(store, &place);
	if (!place.done)
		lead_group(store, &place);
	else
		sync_cond_destroy(&place.turn);
	if (seq_out != NULL)
		*seq_out = place.seq;
	return place.err;
}
