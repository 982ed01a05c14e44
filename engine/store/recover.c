/* SPDX-License-Identifier: MIT */
/*
 * recover.c: from what is on disk to a branch that stands ready.
 *
 * The logs of the branch are replayed in order into memtables, and these are
 * written out as tables at once: what the page cache may hold of an old log but
 * the disk may not is thereby written, and synced, anew. Then one edit puts the
 * tables in the place of the logs. A crash at any point before leaves the old
 * state, to be recovered again.
 *
 * A log that other branches name too has tables and an edit of its own, so that
 * these can take its place there as well: it is replayed once for all. And where
 * other open branches still have the memtables of all logs, these are shared
 * instead.
 *
 * A log that ends without its end record was the active one when the process
 * died. What stands in a later log came after it, so it is dropped too: unless a
 * record there says that its log had been synced, for then the earlier log had
 * been synced whole before, and has lost bytes.
 */
#include <stdlib.h>

#include "store/batch.h"
#include "store/branches.h"
#include "store/store.h"
#include "wal/wal_reader.h"

struct replay {
	struct lsm *store;
	struct generation *gen; /* what was replayed and not yet written out */
	struct edit edit;       /* tables made; logs replayed */
	uint64_t last_seq;
	int64_t counters[LSM_COUNTERS];
	size_t log_count; /* 0 where memtables are shared instead */
	bool cut;         /* a log was torn: later ones hold nothing */
	bool rehearsal;   /* only look whether it can be done */
};

/* ---- replay -------------------------------------------------------------------- */

/* Write what was replayed so far out as a table; readers see nothing yet. */
static enum lsm_err write_out(struct replay *replay)
{
	struct lsm *store = replay->store;
	enum lsm_err err;

	if (memtable_is_empty(replay->gen->mem) || store->home->read_only ||
	    replay->rehearsal)
		return LSM_OK;
	err = store_write_table(store, replay->gen->mem, NULL, &replay->edit);
	if (err != LSM_OK)
		return err;
	generation_unref(replay->gen);
	return generation_create(store, store->credit, &replay->gen);
}

/*
 * Credit for one batch. What this store replayed so far gives its own back once
 * it is written out; only other stores are waited for.
 */
static enum lsm_err take_credit(struct replay *replay,
                                const struct batch_reader *reader,
                                size_t payload_bytes, uint64_t *taken_out)
{
	struct lsm *store = replay->store;
	int64_t bound = (int64_t)memtable_bound(store->max_block_bytes,
	                                        reader->entries, payload_bytes);
	enum lsm_err err = LSM_OK;

	*taken_out = 0;
	if (store->home->read_only || replay->rehearsal)
		return LSM_OK; /* all of it stays in memory: not charged */
	if (memtable_bytes(replay->gen->mem) >= store->options.memtable_bytes)
		err = write_out(replay);
	if (err == LSM_OK && !credit_try_take(store->credit, bound)) {
		err = write_out(replay);
		if (err == LSM_OK)
			err = credit_take(store->credit, bound, true);
	}
	if (err == LSM_OK)
		*taken_out = (uint64_t)bound;
	return err;
}

static enum lsm_err check_prefix(const struct lsm *store, size_t bytes)
{
	if (bytes == store->options.range_prefix_bytes)
		return LSM_OK;
	log_error("%s: a log holds a range delete with a prefix of %zu bytes, "
	          "not of the %zu that it is opened with",
	          store->path, bytes, store->options.range_prefix_bytes);
	return LSM_ERR_INVALID;
}

static enum lsm_err replay_entries(struct replay *replay,
                                   struct batch_reader *reader, uint64_t taken)
{
	struct memtable_chain chain = {0};
	struct memtable *mem = replay->gen->mem;
	enum lsm_err err = LSM_OK;

	for (uint32_t i = 0; err == LSM_OK && i < reader->entries; i++) {
		struct slice key, value;
		enum key_kind kind;

		err = batch_reader_next(reader, &kind, &key, &value);
		if (err == LSM_OK && kind == KEY_RANGE_DELETE)
			err = check_prefix(replay->store, key.len);
		if (err == LSM_OK && !replay->rehearsal)
			err = memtable_prepare(mem, key, reader->first_seq + i,
			                       kind, value, &chain);
	}
	if (err == LSM_OK)
		err = batch_reader_counters(reader, replay->counters);
	memtable_settle(mem, taken);
	if (err == LSM_OK) {
		memtable_apply(mem, &chain);
		replay->last_seq = reader->first_seq + reader->entries - 1;
	}
	return err;
}

static enum lsm_err replay_batch(struct replay *replay, struct slice payload,
                                 const char *log_name)
{
	struct lsm *store = replay->store;
	struct batch_reader reader;
	uint64_t taken = 0;
	enum lsm_err err = batch_reader_init(&reader, payload);

	if (err == LSM_OK && reader.first_seq != replay->last_seq + 1) {
		log_error("%s/%s/%s: a batch begins at sequence %llu, expected "
		          "%llu",
		          store->path, POOL_DIR, log_name,
		          (unsigned long long)reader.first_seq,
		          (unsigned long long)replay->last_seq + 1);
		return LSM_ERR_CORRUPT;
	}
	if (err == LSM_OK)
		err = take_credit(replay, &reader, payload.len, &taken);
	if (err == LSM_OK)
		err = replay_entries(replay, &reader, taken);
	if (err == LSM_ERR_CORRUPT)
		log_error("%s/%s/%s: a batch cannot be decoded", store->path,
		          POOL_DIR, log_name);
	return err;
}

/* A log behind a torn one: it must hold no promise. */
static enum lsm_err check_dropped(struct replay *replay,
                                  const struct wal_reader *reader,
                                  const char *log_name)
{
	if (wal_reader_promise(reader) <= FILE_HEADER_BYTES)
		return LSM_OK;
	log_error("%s/%s/%s: this log was synced, but the one before it "
	          "has lost its end",
	          replay->store->path, POOL_DIR, log_name);
	return LSM_ERR_LOST;
}

/*
 * See to the values of a batch that lie in the segment beside its log. They come
 * into the memtable and go out with its table, anew: what the page cache may hold
 * of that segment the disk may not. A store that writes nothing leaves them there.
 */
static enum lsm_err follow(struct replay *replay, struct file_id log,
                           struct slice payload, struct lsm_batch **inlined,
                           struct slice *payload_out)
{
	struct lsm *store = replay->store;
	enum lsm_err err = LSM_OK;

	if (replay->rehearsal || store->home->read_only)
		return store_follow_log(store, log, payload, NULL, payload_out);
	if (*inlined == NULL)
		err = lsm_batch_create(inlined);
	return err == LSM_OK ? store_follow_log(store, log, payload, *inlined,
	                                        payload_out)
	                     : err;
}

static enum lsm_err replay_log(struct replay *replay, const struct log_ref *log)
{
	struct lsm *store = replay->store;
	char name[FILE_NAME_MAX_BYTES];
	struct lsm_batch *inlined = NULL;
	struct wal_reader *reader = NULL;
	struct slice payload;
	bool more = true, torn_before = replay->cut;
	enum lsm_err err;

	file_name_format(FILE_KIND_LOG, log->id, name);
	err = wal_reader_open(store->source.pool, FILE_KIND_LOG, log->id,
	                      &store->home->superblock.family,
	                      log->promised_upto, &reader);
	if (err == LSM_ERR_NOT_FOUND)
		err = LSM_ERR_LOST; /* told by the reader */
	while (err == LSM_OK && more) {
		err = wal_reader_next(reader, &payload, &more);
		/* A record without a payload is a mark (log.c). */
		if (err != LSM_OK || !more || torn_before || payload.len == 0)
			continue;
		err = follow(replay, log->id, payload, &inlined, &payload);
		if (err == LSM_ERR_LOST) {
			err = wal_reader_reject(reader);
			more = false;
		} else if (err == LSM_OK || err == LSM_ERR_CORRUPT) {
			err = replay_batch(replay, payload, name);
		}
	}
	if (err == LSM_OK && torn_before)
		err = check_dropped(replay, reader, name);
	if (err == LSM_OK && !wal_reader_sealed(reader))
		replay->cut = true;
	if (err == LSM_OK && wal_reader_torn(reader) && !replay->rehearsal)
		log_warning("%s/%s/%s: cut at offset %llu: what follows is no "
		            "whole record, and was never synced",
		            store->path, POOL_DIR, name,
		            (unsigned long long)wal_reader_end(reader));
	wal_reader_close(reader);
	lsm_batch_destroy(inlined);
	if (err == LSM_OK)
		err = edit_remove_log(&replay->edit, log->id);
	return err;
}

/* Replace the logs by the tables made of them, durably. */
static enum lsm_err replace_logs(struct replay *replay)
{
	struct lsm *store = replay->store;
	struct edit *edit = &replay->edit;
	enum lsm_err err = LSM_OK;

	if (edit->logs_removed_count == 0)
		return LSM_OK;
	edit->has_flushed = true;
	edit->flushed_seq = replay->last_seq;
	memcpy(edit->counters, replay->counters, sizeof(edit->counters));
	if (edit->added_count > 0)
		err = env_dir_sync(store->source.pool);
	if (err == LSM_OK) {
		sync_lock(&store->manifest_mu);
		err = store_log_edit(store, edit);
		sync_unlock(&store->manifest_mu);
	}
	for (size_t i = 0; err == LSM_OK && i < edit->logs_removed_count; i++)
		branch_drop_log(store->home, store->branch,
		                edit->logs_removed[i]);
	return err;
}

/* What was replayed up to here is a table of its own, and in the manifest. */
static enum lsm_err finish_edit(struct replay *replay)
{
	bool writes = !replay->rehearsal && !replay->store->home->read_only;
	enum lsm_err err = write_out(replay);

	if (err == LSM_OK && writes)
		err = replace_logs(replay);
	return err;
}

static void clear_edit(struct replay *replay)
{
	edit_release(&replay->edit);
	edit_init(&replay->edit);
}

/* A log that others name, or whose table the fork point is to name. */
static enum lsm_err replay_shared(struct replay *replay,
                                  const struct log_ref *log)
{
	struct lsm *store = replay->store;
	enum lsm_err err = finish_edit(replay);

	clear_edit(replay);
	if (err == LSM_OK)
		err = replay_log(replay, log);
	if (err == LSM_OK)
		err = finish_edit(replay);
	if (err == LSM_OK && !replay->rehearsal && !store->home->read_only)
		home_land(store->home, store->branch, &replay->edit, log->id);
	clear_edit(replay);
	return err;
}

static enum lsm_err replay_logs(struct replay *replay)
{
	struct lsm *store = replay->store;
	struct log_ref *logs;
	enum lsm_err err = LSM_OK;

	/* A copy: edits change the state's own. */
	logs = calloc(replay->log_count + 1, sizeof(*logs));
	if (logs == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < replay->log_count; i++)
		logs[i] = store->state.logs[i];
	for (size_t i = 0; err == LSM_OK && i < replay->log_count; i++) {
		bool shared =
		    logs[i].id.creator != store->branch->id ||
		    home_shares_log(store->home, store->branch, logs[i].id);

		err = shared ? replay_shared(replay, &logs[i])
		             : replay_log(replay, &logs[i]);
	}
	if (err == LSM_OK)
		err = finish_edit(replay);
	free(logs);
	return err;
}

/* ---- standing ready --------------------------------------------------------------- */

static void drop_shared(struct lsm *store)
{
	while (store->oldest_sealed != NULL) {
		struct generation *gen = store->oldest_sealed;

		store->oldest_sealed = gen->newer;
		generation_unref(gen);
	}
	store->newest_sealed = NULL;
}

/*
 * Queue the memtables of the logs where other branches still have them all. Else
 * all logs are replayed: who waits for credit to replay one must not keep a
 * memtable, and with it the credit, that others give back by flushing it.
 */
static enum lsm_err share_memtables(struct lsm *store, struct replay *replay)
{
	const struct log_ref *logs = store->state.logs;
	struct generation *gen, *found;
	enum lsm_err err = LSM_OK;

	for (size_t i = store->state.log_count; err == LSM_OK && i > 0; i--) {
		found = home_find_sealed(store->home, store->branch,
		                         logs[i - 1].id);
		if (found == NULL) {
			drop_shared(store);
			return LSM_OK;
		}
		err = generation_share(found, &gen);
		generation_unref(found);
		if (err != LSM_OK)
			break;
		gen->newer = store->oldest_sealed;
		store->oldest_sealed = gen;
		if (store->newest_sealed == NULL)
			store->newest_sealed = gen;
	}
	if (err == LSM_OK)
		replay->log_count = 0;
	return err;
}

/* The newest state that is known: of the last shared memtable, or replayed. */
static void set_sequence(struct lsm *store, const struct replay *replay)
{
	const struct generation *gen = store->newest_sealed;
	const int64_t *counters =
	    gen != NULL ? gen->counters : replay->counters;

	store->last_seq = gen != NULL ? gen->last_seq : replay->last_seq;
	sync_queue_note(&store->sync_queue, store->last_seq);
	atomic_store(&store->visible_seq, store->last_seq);
	atomic_store(&store->horizon, store->state.horizon);
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		atomic_store(&store->counters[i], counters[i]);
}

/* Show readers the sealed generations and the tables. */
static enum lsm_err first_view(struct lsm *store)
{
	struct view *view = NULL;
	size_t count = 0;
	enum lsm_err err;

	for (struct generation *g = store->oldest_sealed; g != NULL;
	     g = g->newer)
		count++;
	err = view_alloc(count, &view);
	if (err != LSM_OK)
		return err;
	view->active = store->active;
	generation_ref(view->active);
	for (struct generation *g = store->oldest_sealed; g != NULL;
	     g = g->newer) {
		view->sealed[view->sealed_count++] = g;
		generation_ref(g);
	}
	view->version = store->state.version;
	version_ref(view->version);
	store->view = view;
	slow_update(store, view->version);
	return LSM_OK;
}

static enum lsm_err stand_ready(struct lsm *store, struct replay *replay)
{
	enum lsm_err err = LSM_OK;

	if (store->home->read_only) {
		store->active = replay->gen; /* it holds what was replayed */
		replay->gen = NULL;
	} else {
		err = generation_create(store, store->credit, &store->active);
	}
	if (err == LSM_OK)
		err = first_view(store);
	if (err == LSM_OK)
		set_sequence(store, replay);
	return err;
}

static enum lsm_err replay_init(struct replay *replay, struct lsm *store)
{
	*replay = (struct replay){.store = store};
	edit_init(&replay->edit);
	replay->last_seq = store->state.flushed_seq;
	replay->log_count = store->state.log_count;
	memcpy(replay->counters, store->state.counters,
	       sizeof(replay->counters));
	return generation_create(
	    store, store->home->read_only ? NULL : store->credit, &replay->gen);
}

static void replay_release(struct replay *replay)
{
	generation_unref(replay->gen);
	edit_release(&replay->edit);
}

/* Read the logs once without doing anything: a branch that has to be refused is
   left as it was found. */
static enum lsm_err rehearse(struct lsm *store, size_t log_count)
{
	struct replay replay;
	enum lsm_err err = replay_init(&replay, store);

	replay.log_count = log_count;
	replay.rehearsal = true;
	if (err == LSM_OK)
		err = replay_logs(&replay);
	replay_release(&replay);
	return err;
}

/*
 * Open every table and every segment once: one that is missing, or whose header,
 * footer or top index is damaged, has the store refused rather than much of it
 * unreadable. A read-only store opens all the same, to save what can be read.
 */
static enum lsm_err open_segments(struct lsm *store)
{
	struct segment_uses uses;
	enum lsm_err err;

	segment_uses_init(&uses);
	err = version_segments(store->state.version, &uses);
	for (size_t i = 0; err == LSM_OK && i < uses.count; i++)
		err = segment_probe(&store->segments, uses.items[i].id,
		                    uses.items[i].file_bytes);
	segment_uses_release(&uses);
	return err;
}

static enum lsm_err open_tables(struct lsm *store)
{
	const struct version *version = store->state.version;
	enum lsm_err err = version != NULL ? open_segments(store) : LSM_OK;

	for (unsigned l = 0; version != NULL && l < LSM_LEVELS; l++) {
		const struct level *level = &version->levels[l];

		for (size_t i = 0; err == LSM_OK && i < level->count; i++) {
			const struct table_meta *meta = level->tables[i];
			struct table_ref ref;

			err = table_cache_get(&store->source, meta->id,
			                      meta->info.file_bytes, &ref);
			if (err == LSM_OK)
				table_cache_release(&store->source, &ref);
		}
	}
	return err;
}

/*
 * Nothing is deleted before what was read is durable. Main, which is about to be
 * written, also publishes its manifest anew first.
 */
static enum lsm_err take_over(struct lsm *store)
{
	enum lsm_err err = home_settle(store->home);

	if (err == LSM_OK) {
		sync_lock(&store->manifest_mu);
		err = store_begin_manifest(store);
		sync_unlock(&store->manifest_mu);
	}
	if (err == LSM_OK)
		err = pool_sweep(store->pool);
	return err;
}

static bool have_prefix(const struct version *version, uint64_t prefix_bytes)
{
	for (unsigned l = 0; l < LSM_LEVELS; l++) {
		const struct level *level = &version->levels[l];

		for (size_t i = 0; level->ranged > 0 && i < level->count; i++) {
			const struct table_info *info = &level->tables[i]->info;

			if (info->ranges > 0 &&
			    info->ranges_prefix_bytes != prefix_bytes)
				return false;
		}
	}
	return true;
}

/* Range tombstones are found by the length of their prefix. So it is that of the
   tables, and that of branches open before: memtables may be theirs. */
static enum lsm_err check_range_option(struct lsm *store, bool first)
{
	size_t bytes = store->options.range_prefix_bytes;

	if (first)
		store->home->range_prefix_bytes = bytes;
	if (bytes == store->home->range_prefix_bytes &&
	    have_prefix(store->state.version, bytes))
		return LSM_OK;
	log_error("%s: its range deletes have prefixes of another length than "
	          "the %zu bytes that it is opened with",
	          store->path, bytes);
	return LSM_ERR_INVALID;
}

static enum lsm_err replay_branch(struct lsm *store, struct replay *replay,
                                  bool first)
{
	enum lsm_err err = check_range_option(store, first);

	if (err == LSM_OK && !store->home->read_only) {
		if (!first)
			err = share_memtables(store, replay);
		if (err == LSM_OK)
			err = open_tables(store);
		if (err == LSM_OK)
			err = rehearse(store, replay->log_count);
		if (err == LSM_OK && first)
			err = take_over(store);
	}
	if (err == LSM_OK)
		err = replay_logs(replay);
	if (err == LSM_OK)
		err = stand_ready(store, replay);
	return err;
}

/* A thousand open branches of a store have most tables in common, and so what is
   kept of each. */
static void share_tables(struct lsm *store)
{
	struct version *other = home_find_version(store->home, store->branch);

	if (other != NULL)
		version_share(store->state.version, other);
	version_unref(other);
}

/* The manifest, whose base list is one user more of that file. */
static enum lsm_err read_manifest(struct lsm *store)
{
	enum lsm_err err;

	err = manifest_recover(&store->place, store->branch->id,
	                       home_table_owner(store->home), home_adopt_table,
	                       &store->state);
	if (err == LSM_OK && store->state.list.number != 0)
		err = pool_ref(store->pool, FILE_KIND_LIST, store->state.list);
	if (err == LSM_OK)
		share_tables(store);
	else
		manifest_state_release(&store->state);
	return err;
}

enum lsm_err store_recover(struct lsm *store, bool first)
{
	char folder[STORE_BRANCH_NAME_BYTES];
	struct replay replay;
	enum lsm_err err;

	home_branch_folder(store->branch->id, folder);
	err =
	    env_dir_open_at(store->home->branches, folder, &store->branch_dir);
	store->place.pool = store->source.pool;
	store->place.dir = store->branch_dir;
	store->place.family = store->home->superblock.family;
	if (err == LSM_OK)
		err = read_manifest(store);
	if (err != LSM_OK)
		return err;
	store->next_number = store->state.next_number;
	err = replay_init(&replay, store);
	if (err == LSM_OK)
		err = replay_branch(store, &replay, first);
	replay_release(&replay);
	return err;
}
