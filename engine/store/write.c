/* SPDX-License-Identifier: MIT */
/*
 * write.c: group commit: number, prepare, log, hand the lead on; then link and
 * publish (store/commit_queue.h).
 */
#include "store/batch.h"
#include "store/store.h"
#include "wal/record.h"

void store_lead(struct lsm *store, struct commit *place)
{
	memset(place, 0, sizeof(*place));
	(void)commit_enter(&store->queue, place); /* nobody can do it for us */
	commit_drain(&store->queue);
}

void store_unlead(struct lsm *store, struct commit *place)
{
	commit_leave(&store->queue, place);
}

/* ---- the leader's work --------------------------------------------------------- */

/* Give every batch its sequence numbers and its final bytes. */
static enum lsm_err number_batches(struct lsm *store,
                                   struct commit_group *group)
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
static enum lsm_err prepare_group(struct lsm *store, struct commit_group *group)
{
	struct memtable *mem = store->active->mem;
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < group->count; i++)
		err = prepare_batch(mem, group->payloads[i], &group->chains[i]);
	memtable_settle(mem, group->taken);
	group->taken = 0;
	return err;
}

/* No longer the leader's: others may link theirs at the same time. */
static void link_group(struct lsm *store, struct commit_group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		struct lsm_batch *batch = group->members[i]->batch;

		memtable_apply(group->mem, &group->chains[i]);
		for (unsigned n = 0; n < LSM_COUNTERS; n++)
			if (batch->counters[n] != 0)
				atomic_fetch_add_explicit(&store->counters[n],
				                          batch->counters[n],
				                          memory_order_relaxed);
	}
}

/* Start what the new bytes call for: a spare log, a later sync. */
static void after_commit(struct lsm *store)
{
	struct generation *gen = store->active;
	uint64_t placed =
	    gen->segment != NULL ? active_segment_bytes(gen->segment) : 0;
	uint64_t written;

	runtime_touch(store->runtime, store);
	if (!gen->spare_asked &&
	    (memtable_bytes(gen->mem) > store->options.memtable_bytes / 2 ||
	     (placed > 0 &&
	      placed > active_segment_max_bytes(gen->segment) / 2))) {
		atomic_store(&store->places, placed > FILE_HEADER_BYTES);
		gen->spare_asked = true;
		worker_submit(store->runtime->workers, &store->spare_job, 0);
	}
	if (store->runtime->options.sync_period_ms == 0)
		return;
	if (!atomic_exchange(&store->sync_armed, true))
		worker_submit(store->runtime->workers, &store->sync_job,
		              store->runtime->options.sync_period_ms);
	/* What a fork, or an fsync, has to wait for stays small. */
	written = wal_writer_size(gen->log) + placed;
	if (written >= gen->sync_asked_bytes + STORE_SYNC_BYTES) {
		gen->sync_asked_bytes = written;
		worker_submit(store->runtime->workers, &store->sync_job, 0);
	}
}

/* A full memtable is sealed once what is in flight is linked. */
static enum lsm_err make_room(struct lsm *store)
{
	struct active_segment *segment = store->active->segment;

	if (memtable_bytes(store->active->mem) < store->options.memtable_bytes)
		return LSM_OK;
	/* Not before those have been logged, perhaps by this very group. */
	if (segment != NULL && !active_segment_close(segment))
		return LSM_OK;
	commit_drain(&store->queue);
	return store_seal(store);
}

static enum lsm_err log_group(struct lsm *store, struct commit_group *group)
{
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK)
		err = make_room(store);
	if (err == LSM_OK)
		err = number_batches(store, group);
	if (err == LSM_OK)
		err = store_take_log(store, false);
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
	group->mem = store->active->mem;
	store->last_seq = group->last_seq;
	after_commit(store);
out:
	if (group->taken > 0)
		credit_give(store->credit, group->taken);
	return err;
}

/* Lead the group of `place`. */
static void lead_group(struct lsm *store, struct commit *place)
{
	struct commit_group group;
	enum lsm_err err;

	commit_gather(&store->queue, place, &group);
	err = log_group(store, &group);
	commit_hand_over(&store->queue, &group, err);
	if (err != LSM_OK)
		return;
	link_group(store, &group);
	commit_publish(&store->queue, &group);
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
	struct placement placement;
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
	/* The whole credit is held until the frames are written, and more: what is
	   too much of it is given back once the pointers are in the memtable. */
	err = store_place(store, batch, &placement);
	if (err != LSM_OK) {
		credit_give(store->credit, place.taken);
		return err;
	}
	if (placement.batch != NULL) {
		place.batch = placement.batch;
		store_give_space(store, batch->bytes);
	}
	store_charge(store, place.taken, place.batch);
	if (commit_enter(&store->queue, &place))
		lead_group(store, &place);
	store_end_placement(&placement);
	if (seq_out != NULL)
		*seq_out = place.seq;
	return place.err;
}
