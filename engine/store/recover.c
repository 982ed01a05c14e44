/* SPDX-License-Identifier: MIT */
/*
 * recover.c: from what is on disk to a store that stands ready.
 *
 * All branches are read, so that every reference to a pool file is known; a
 * branch that cannot be read is refused, and then nothing is deleted. The logs
 * of the main branch are replayed in order into memtables, and these are written
 * out as tables at once: what the page cache may hold of an old log but the disk
 * may not is thereby written, and synced, anew. Then one edit puts the tables in
 * the place of the logs. A crash at any point before leaves the old state, to be
 * recovered again.
 *
 * A log that ends without its end record was the active one when the process
 * died. What stands in a later log came after it, so it is dropped too: unless a
 * record there says that its log had been synced, for then the earlier log had
 * been synced whole before, and has lost bytes.
 */
#include <stdlib.h>

#include "store/batch.h"
#include "store/store.h"
#include "wal/wal_reader.h"

struct replay {
	struct lsm *store;
	struct generation *gen; /* what was replayed and not yet written out */
	struct edit edit;       /* tables made; logs replayed */
	uint64_t last_seq;
	int64_t counters[LSM_COUNTERS];
	bool cut;       /* a log was torn: later ones hold nothing */
	bool rehearsal; /* only look whether it can be done */
};

/* ---- branches ---------------------------------------------------------------- */

struct branch_scan {
	struct lsm *store;
	struct env_dir *branches;
	bool found;          /* main */
	enum lsm_err damage; /* of the first that cannot be read */
};

static bool parse_branch_folder(const char *name, uint64_t *id_out)
{
	char again[STORE_BRANCH_NAME_BYTES];

	*id_out = strtoull(name, NULL, 16);
	home_branch_folder(*id_out, again);
	return strcmp(name, again) == 0;
}

/* Count a branch's lists and logs; its tables were counted as they were read. */
static enum lsm_err count_files(struct lsm *store,
                                const struct manifest_state *state)
{
	enum lsm_err err = LSM_OK;

	if (state->list.number != 0)
		err = pool_ref(store->pool, FILE_KIND_LIST, state->list);
	for (size_t i = 0; err == LSM_OK && i < state->log_count; i++)
		err = pool_ref(store->pool, FILE_KIND_LOG, state->logs[i].id);
	return err;
}

/* Main is the store's own; another is kept for what it names. */
static enum lsm_err keep_branch(struct branch_scan *scan, struct env_dir *dir,
                                struct manifest_state *state)
{
	struct lsm *store = scan->store;
	struct other_branch *other;

	if (strcmp(state->branch.name, MAIN_BRANCH) == 0 && !scan->found) {
		scan->found = true;
		store->branch_dir = dir;
		store->state = *state;
	} else {
		other = calloc(1, sizeof(*other));
		if (other == NULL)
			return LSM_ERR_NOMEM;
		other->state = *state;
		other->next = store->home->others;
		store->home->others = other;
		env_dir_close(dir);
	}
	manifest_state_init(state); /* moved */
	return LSM_OK;
}

static enum lsm_err read_branch(void *ctx, const char *name)
{
	struct branch_scan *scan = ctx;
	struct lsm *store = scan->store;
	struct manifest_place place = {store->source.pool, NULL,
	                               store->home->superblock.family};
	struct manifest_state state;
	uint64_t id;
	enum lsm_err err;

	if (!parse_branch_folder(name, &id)) {
		log_warning("%s/%s/%s is no branch; left alone", store->path,
		            BRANCHES_DIR, name);
		return LSM_OK;
	}
	manifest_state_init(&state);
	err = env_dir_open_at(scan->branches, name, &place.dir);
	if (err == LSM_OK)
		err =
		    manifest_recover(&place, id, home_table_owner(store->home),
		                     home_adopt_table, &state);
	if (err == LSM_OK)
		err = count_files(store, &state);
	if (err == LSM_OK)
		err = keep_branch(scan, place.dir, &state);
	if (err == LSM_OK)
		return LSM_OK;

	/* The others may still open: go on, but delete nothing from now on. */
	env_dir_close(place.dir);
	manifest_state_release(&state);
	pool_keep_all(store->pool);
	if (scan->damage == LSM_OK)
		scan->damage = err;
	return LSM_OK;
}

static enum lsm_err drop_temporary(void *ctx, const char *name)
{
	if (strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) != 0)
		return LSM_OK;
	return env_remove_tree(ctx, name);
}

static enum lsm_err read_branches(struct lsm *store)
{
	struct branch_scan scan = {.store = store};
	enum lsm_err err =
	    env_dir_open_at(store->home->dir, BRANCHES_DIR, &scan.branches);

	if (err == LSM_OK && !store->options.read_only)
		err =
		    env_dir_list(scan.branches, drop_temporary, scan.branches);
	if (err == LSM_OK)
		err = env_dir_list(scan.branches, read_branch, &scan);
	env_dir_close(scan.branches);
	if (err == LSM_ERR_NOT_FOUND) {
		log_error("%s: the store has no folder %s", store->path,
		          BRANCHES_DIR);
		return LSM_ERR_CORRUPT;
	}
	if (err != LSM_OK || scan.found)
		return err;
	if (scan.damage != LSM_OK)
		return scan.damage; /* told by whoever met it */
	log_error("%s: the store has no branch %s", store->path, MAIN_BRANCH);
	return LSM_ERR_CORRUPT;
}

/* ---- replay -------------------------------------------------------------------- */

/* Write what was replayed so far out as a table; readers see nothing yet. */
static enum lsm_err write_out(struct replay *replay)
{
	struct lsm *store = replay->store;
	enum lsm_err err;

	if (memtable_entries(replay->gen->mem) == 0 ||
	    store->options.read_only || replay->rehearsal)
		return LSM_OK;
	err = store_write_table(store, replay->gen->mem, &replay->edit);
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
	if (store->options.read_only || replay->rehearsal)
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
		if (err == LSM_OK && kind == KEY_RANGE_DELETE &&
		    key.len != replay->store->options.range_prefix_bytes)
			err = LSM_ERR_INVALID;
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

static enum lsm_err replay_log(struct replay *replay, const struct log_ref *log)
{
	struct lsm *store = replay->store;
	char name[FILE_NAME_MAX_BYTES];
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
		if (err == LSM_OK && more && !torn_before && payload.len > 0)
			err = replay_batch(replay, payload, name);
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
	if (err == LSM_OK)
		err = edit_remove_log(&replay->edit, log->id);
	return err;
}

static enum lsm_err replay_logs(struct replay *replay)
{
	struct manifest_state *state = &replay->store->state;
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < state->log_count; i++)
		err = replay_log(replay, &state->logs[i]);
	if (err == LSM_OK)
		err = write_out(replay);
	return err;
}

/* ---- standing ready --------------------------------------------------------------- */

/*
 * A manifest that this process wrote, to be appended to; it also reserves the
 * numbers of the files that recovery makes.
 */
static enum lsm_err begin_manifest(struct lsm *store)
{
	store->next_number = store->state.next_number;
	store->state.next_number += STORE_NUMBER_STEP;
	return manifest_publish(&store->place, &store->state, &store->manifest);
}

/* Replace the logs by the tables made of them, durably. */
static enum lsm_err replace_logs(struct lsm *store, struct replay *replay)
{
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
		pool_unref(store->pool, FILE_KIND_LOG, edit->logs_removed[i]);
	return err;
}

static enum lsm_err stand_ready(struct lsm *store, struct replay *replay)
{
	struct view *view = NULL;
	enum lsm_err err;

	if (store->options.read_only) {
		store->active = replay->gen; /* it holds what was replayed */
		replay->gen = NULL;
	} else {
		err = generation_create(store, store->credit, &store->active);
		if (err != LSM_OK)
			return err;
	}
	err = view_alloc(0, &view);
	if (err != LSM_OK)
		return err;
	view->active = store->active;
	generation_ref(view->active);
	view->version = store->state.version;
	version_ref(view->version);
	store->view = view;

	store->last_seq = replay->last_seq;
	store->synced_seq = replay->last_seq;
	atomic_store(&store->visible_seq, replay->last_seq);
	atomic_store(&store->horizon, store->state.horizon);
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		atomic_store(&store->counters[i], replay->counters[i]);
	return LSM_OK;
}

static enum lsm_err replay_init(struct replay *replay, struct lsm *store)
{
	*replay = (struct replay){.store = store};
	edit_init(&replay->edit);
	replay->last_seq = store->state.flushed_seq;
	memcpy(replay->counters, store->state.counters,
	       sizeof(replay->counters));
	return generation_create(
	    store, store->options.read_only ? NULL : store->credit,
	    &replay->gen);
}

static void replay_release(struct replay *replay)
{
	generation_unref(replay->gen);
	edit_release(&replay->edit);
}

/* Read the logs once without doing anything: a store that has to be refused is
   left as it was found. */
static enum lsm_err rehearse(struct lsm *store)
{
	struct replay replay;
	enum lsm_err err = replay_init(&replay, store);

	replay.rehearsal = true;
	if (err == LSM_OK)
		err = replay_logs(&replay);
	replay_release(&replay);
	return err;
}

/*
 * Open every table once: one that is missing, or whose header or footer is
 * damaged, has the store refused rather than much of it unreadable. A read-only
 * store opens all the same, to save what can be read.
 */
static enum lsm_err open_tables(struct lsm *store)
{
	const struct version *version = store->state.version;
	enum lsm_err err = LSM_OK;

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
 * What was read may be in the page cache only, of a process that died: a file
 * that it does not name may be named by what is on the disk. So nothing is
 * deleted before it was published anew, durably.
 */
static enum lsm_err take_over(struct lsm *store)
{
	enum lsm_err err = open_tables(store);

	if (err == LSM_OK)
		err = rehearse(store);
	if (err == LSM_OK)
		err = begin_manifest(store);
	if (err == LSM_OK)
		err = pool_sweep(store->pool);
	return err;
}

/* Range tombstones are found by the length of their prefix. */
static enum lsm_err check_range_option(struct lsm *store)
{
	if (store->options.range_prefix_bytes > 0 ||
	    !version_has_ranges(store->state.version))
		return LSM_OK;
	log_error("%s: it holds range deletes, and is opened without "
	          "range_prefix_bytes",
	          store->path);
	return LSM_ERR_INVALID;
}

static enum lsm_err recover_main(struct lsm *store)
{
	bool ro = store->options.read_only;
	struct replay replay;
	enum lsm_err err = check_range_option(store);

	if (err == LSM_OK && !ro)
		err = take_over(store);
	if (err != LSM_OK)
		return err;
	err = replay_init(&replay, store);
	if (err == LSM_OK)
		err = replay_logs(&replay);
	if (err == LSM_OK && !ro)
		err = replace_logs(store, &replay);
	if (err == LSM_OK)
		err = stand_ready(store, &replay);
	replay_release(&replay);
	return err;
}

enum lsm_err store_recover(struct lsm *store)
{
	enum lsm_err err = read_branches(store);

	store->place.pool = store->source.pool;
	store->place.dir = store->branch_dir;
	store->place.family = store->home->superblock.family;
	if (err == LSM_OK)
		err = recover_main(store);
	/* The tables that it made before it was refused; nothing names them. */
	if (err != LSM_OK)
		home_collect(store->home);
	return err;
}
