/* SPDX-License-Identifier: MIT */
/*
 * verify.c: read every byte that the store names and report what is wrong.
 *
 * The superblock was read when the store was opened; the manifests and lists of
 * branches that are not open are read again. What is left are tables, segments and
 * logs, each once however many branches name it. Segments are walked frame by
 * frame, and each pointer of each table must lead to a frame of its own key and
 * sequence, as many as the manifest says.
 *
 * The store may be written meanwhile. What an open branch is made of is captured at
 * one moment, and a log that grows is read up to where it reached then.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "store/branches.h"
#include "store/store.h"
#include "tree/manifest_base.h"
#include "wal/wal_reader.h"

struct verification {
	struct lsm *store;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	uint64_t faults;
	/* Files that were verified: branches share them. Open addressing; an
	   empty place has number 0. */
	struct seen {
		struct file_id id;
		enum file_kind kind;
	} * seen;
	size_t seen_count, seen_cap; /* the latter a power of two */
};

/* What a branch is made of, held. */
struct captured {
	struct manifest_state state;
	uint64_t *log_bytes; /* of each log; UINT64_MAX: nobody appends to it */
};

static struct seen *find_seen(const struct verification *v, enum file_kind kind,
                              struct file_id id)
{
	size_t at = checksum_place(id.creator, id.number, 0, (uint8_t)kind);

	for (;; at++) {
		struct seen *s = &v->seen[at & (v->seen_cap - 1)];

		if (s->id.number == 0 ||
		    (s->kind == kind && file_id_equal(s->id, id)))
			return s;
	}
}

static enum lsm_err grow_seen(struct verification *v)
{
	struct verification grown = *v;

	if (v->seen_count * 2 < v->seen_cap)
		return LSM_OK;
	grown.seen_cap = v->seen_cap == 0 ? 64 : v->seen_cap * 2;
	grown.seen = calloc(grown.seen_cap, sizeof(*grown.seen));
	if (grown.seen == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < v->seen_cap; i++)
		if (v->seen[i].id.number != 0)
			*find_seen(&grown, v->seen[i].kind, v->seen[i].id) =
			    v->seen[i];
	free(v->seen);
	*v = grown;
	return LSM_OK;
}

/* Whether the file is met for the first time. Errors: NOMEM. */
static enum lsm_err is_new(struct verification *v, enum file_kind kind,
                           struct file_id id, bool *new_out)
{
	struct seen *place;
	enum lsm_err err = grow_seen(v);

	*new_out = false;
	if (err != LSM_OK)
		return err;
	place = find_seen(v, kind, id);
	*new_out = place->id.number == 0;
	if (*new_out) {
		place->id = id;
		place->kind = kind;
		v->seen_count++;
	}
	return LSM_OK;
}

static void fault(struct verification *v, enum file_kind kind,
                  struct file_id id, const char *what)
{
	char line[LOG_LINE_MAX_BYTES], name[FILE_NAME_MAX_BYTES];

	file_name_format(kind, id, name);
	snprintf(line, sizeof(line), "%s/%s: %s", POOL_DIR, name, what);
	v->report(v->ctx, line);
	v->faults++;
}

/* One entry of a table: where does its pointer lead? */
static enum lsm_err verify_entry(struct verification *v,
                                 const struct table_meta *meta,
                                 struct slice ikey, struct slice value,
                                 struct table_info *seen)
{
	struct pointer pointer;
	bool matches;
	enum lsm_err err;

	if (key_kind(ikey) != KEY_POINTER)
		return LSM_OK;
	err = table_info_note_pointer(seen, ikey, value);
	if (err != LSM_OK || !pointer_decode(value, &pointer))
		return err; /* table_verify() told what is no pointer */
	err = segment_matches(&v->store->segments, key_user(ikey),
	                      key_seq(ikey), &pointer, &matches);
	if (err == LSM_OK && !matches)
		fault(v, FILE_KIND_TABLE, meta->id,
		      "a pointer leads to no frame of its key");
	return err;
}

/* The table itself is whole. */
static enum lsm_err verify_pointers(struct verification *v, struct table *table,
                                    const struct table_meta *meta)
{
	struct table_info seen;
	struct iter *it = NULL;
	enum lsm_err err = table_iter(table, false, &it);

	table_info_init(&seen);
	if (err == LSM_OK)
		iter_seek_first(it);
	for (; err == LSM_OK && iter_valid(it); iter_next(it))
		err =
		    verify_entry(v, meta, iter_key(it), iter_value(it), &seen);
	if (err == LSM_OK && iter_status(it) == LSM_OK &&
	    !segment_uses_equal(&seen.segments, &meta->info.segments))
		fault(v, FILE_KIND_TABLE, meta->id,
		      "the manifest is wrong about the segments it leads to");
	iter_destroy(it);
	table_info_release(&seen);
	return err;
}

static enum lsm_err verify_table(struct verification *v,
                                 const struct table_meta *meta)
{
	const struct table_source *source = &v->store->source;
	struct table_ref ref;
	uint64_t faults = 0;
	bool fresh;
	enum lsm_err err = is_new(v, FILE_KIND_TABLE, meta->id, &fresh);

	if (err != LSM_OK || !fresh)
		return err;
	err = table_cache_get(source, meta->id, meta->info.file_bytes, &ref);
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, FILE_KIND_TABLE, meta->id, lsm_strerror(err));
		return LSM_OK;
	}
	err = table_verify(ref.table, v->report, v->ctx, &faults);
	v->faults += faults;
	if (err == LSM_OK && faults == 0)
		err = verify_pointers(v, ref.table, meta);
	table_cache_release(source, &ref);
	return err;
}

static enum lsm_err verify_segments(struct verification *v,
                                    const struct version *version)
{
	struct segment_uses uses;
	enum lsm_err err;

	segment_uses_init(&uses);
	err = version_segments(version, &uses);
	for (size_t i = 0; err == LSM_OK && i < uses.count; i++) {
		const struct segment_use *use = &uses.items[i];
		bool fresh;

		err = is_new(v, FILE_KIND_SEGMENT, use->id, &fresh);
		if (err == LSM_OK && fresh)
			err = segment_verify(&v->store->segments, use->id,
			                     use->file_bytes, v->report, v->ctx,
			                     &v->faults);
	}
	segment_uses_release(&uses);
	return err;
}

static enum lsm_err verify_version(struct verification *v,
                                   const struct version *version)
{
	enum lsm_err err = LSM_OK;

	for (unsigned l = 0; version != NULL && l < LSM_LEVELS; l++)
		for (size_t i = 0;
		     err == LSM_OK && i < version->levels[l].count; i++)
			err = verify_table(v, version->levels[l].tables[i]);
	if (err == LSM_OK && version != NULL)
		err = verify_segments(v, version);
	return err;
}

/* The next one, and what it leads to. */
static enum lsm_err verify_record(struct verification *v,
                                  const struct log_ref *log,
                                  struct wal_reader *reader, bool *more_out)
{
	struct slice payload;
	enum lsm_err err = wal_reader_next(reader, &payload, more_out);

	if (err != LSM_OK || !*more_out || payload.len == 0)
		return err;
	err = store_follow_log(v->store, log->id, payload, NULL, &payload);
	if (err != LSM_ERR_LOST)
		return err;
	*more_out = false;
	return wal_reader_reject(reader);
}

/* A torn tail is no fault: nothing in it was promised. */
static enum lsm_err verify_log(struct verification *v,
                               const struct log_ref *log, uint64_t log_bytes)
{
	struct lsm *store = v->store;
	struct wal_reader *reader = NULL;
	bool more = true, fresh;
	enum lsm_err err = is_new(v, FILE_KIND_LOG, log->id, &fresh);

	if (err != LSM_OK || !fresh)
		return err;
	err = wal_reader_open(store->source.pool, FILE_KIND_LOG, log->id,
	                      &store->home->superblock.family,
	                      log->promised_upto, &reader);
	if (err == LSM_OK)
		wal_reader_limit(reader, log_bytes);
	while (err == LSM_OK && more)
		err = verify_record(v, log, reader, &more);
	wal_reader_close(reader);
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK)
		fault(v, FILE_KIND_LOG, log->id, lsm_strerror(err));
	return LSM_OK;
}

static enum lsm_err verify_branch(struct verification *v,
                                  const struct captured *captured)
{
	const struct manifest_state *state = &captured->state;
	enum lsm_err err = verify_version(v, state->version);

	for (size_t i = 0; err == LSM_OK && i < state->log_count; i++)
		err = verify_log(v, &state->logs[i], captured->log_bytes[i]);
	return err;
}

/* The tables of the fork point, of which the branch may have lost some. */
static enum lsm_err verify_base(struct verification *v,
                                const struct manifest_state *state)
{
	struct home *home = v->store->home;
	struct manifest_place place = {.pool = home->source.pool,
	                               .dir = NULL,
	                               .family = home->superblock.family};
	struct manifest_state base;
	enum lsm_err err;

	if (state->base.len == 0)
		return LSM_OK;
	err =
	    manifest_base_read(&place, buf_slice(&state->base),
	                       home_table_owner(home), home_adopt_table, &base);
	if (err == LSM_OK)
		err = verify_version(v, base.version);
	manifest_state_release(&base);
	return err;
}

/* ---- branches ------------------------------------------------------------------ */

static void captured_init(struct captured *captured)
{
	manifest_state_init(&captured->state);
	captured->log_bytes = NULL;
}

/* Hold the logs, which flushes drop; the tables are held by the version. */
static enum lsm_err hold_logs(struct home *home, struct captured *captured)
{
	struct manifest_state *state = &captured->state;
	const size_t count = state->log_count;
	enum lsm_err err = LSM_OK;

	state->log_count = 0; /* those that are held */
	captured->log_bytes = calloc(count + 1, sizeof(*captured->log_bytes));
	if (captured->log_bytes == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		err = pool_ref(home->pool, FILE_KIND_LOG, state->logs[i].id);
		state->log_count += err == LSM_OK;
		captured->log_bytes[i] = UINT64_MAX;
	}
	return err;
}

static void let_go(struct home *home, struct captured *captured)
{
	struct manifest_state *state = &captured->state;

	for (size_t i = 0; i < state->log_count; i++)
		pool_unref(home->pool, FILE_KIND_LOG, state->logs[i].id);
	manifest_state_release(state);
	free(captured->log_bytes);
}

/* How far a log reaches, if it is this one's. */
static void note_size(struct captured *captured, const struct wal_writer *log)
{
	const struct manifest_state *state = &captured->state;

	for (size_t i = 0; log != NULL && i < state->log_count; i++)
		if (file_id_equal(state->logs[i].id, wal_writer_id(log)))
			captured->log_bytes[i] = wal_writer_size(log);
}

/* Only the spare and the active one grow; that may be sealed in the meantime. */
static void note_sizes(struct lsm *store, struct captured *captured)
{
	sync_assert_held(&store->manifest_mu);
	note_size(captured, store->spare);
	sync_lock(&store->tree_mu);
	note_size(captured, store->view->active->log);
	sync_unlock(&store->tree_mu);
}

/* What an open branch is made of now. */
static enum lsm_err hold_open(struct lsm *store, struct captured *captured)
{
	enum lsm_err err;

	sync_lock(&store->manifest_mu);
	err = manifest_state_copy(&store->state, &captured->state);
	if (err == LSM_OK)
		err = hold_logs(store->home, captured);
	if (err == LSM_OK)
		note_sizes(store, captured);
	sync_unlock(&store->manifest_mu);
	return err;
}

static enum lsm_err hold_closed(struct home *home, const struct branch *branch,
                                struct captured *captured)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .dir = NULL,
	                               .family = home->superblock.family};
	char folder[STORE_BRANCH_NAME_BYTES];
	enum lsm_err err;

	home_branch_folder(branch->id, folder);
	err = env_dir_open_at(home->branches, folder, &place.dir);
	if (err == LSM_OK)
		err =
		    manifest_recover(&place, branch->id, home_table_owner(home),
		                     home_adopt_table, &captured->state);
	env_dir_close(place.dir);
	return err == LSM_OK ? hold_logs(home, captured) : err;
}

/* The branch is neither closed, nor opened, nor deleted while it is held. */
static enum lsm_err verify_named(struct verification *v, const char *name)
{
	struct home *home = v->store->home;
	struct captured captured;
	struct branch *branch;
	enum lsm_err err;

	if (branch_claim(home, name, BRANCH_READING, &branch) != LSM_OK)
		return LSM_OK; /* it was deleted meanwhile */
	captured_init(&captured);
	err = branch->lsm != NULL ? hold_open(branch->lsm, &captured)
	                          : hold_closed(home, branch, &captured);
	branch_leave(home, branch);
	if (err == LSM_OK)
		err = verify_branch(v, &captured);
	if (err == LSM_OK)
		err = verify_base(v, &captured.state);
	let_go(home, &captured);
	return err;
}

static void report_damaged(struct verification *v, const char *folder)
{
	char line[LOG_LINE_MAX_BYTES];

	snprintf(line, sizeof(line), "%s/%s: the branch cannot be read",
	         BRANCHES_DIR, folder);
	v->report(v->ctx, line);
	v->faults++;
}

enum lsm_err lsm_verify(struct lsm *store,
                        void (*report)(void *ctx, const char *line), void *ctx,
                        uint64_t *faults_out)
{
	struct verification v = {.store = store, .report = report, .ctx = ctx};
	struct lsm_branch_info *list;
	size_t count;
	enum lsm_err err = lsm_branch_list(store, &list, &count);

	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		if (list[i].damaged)
			report_damaged(&v, list[i].name);
		else
			err = verify_named(&v, list[i].name);
	}
	free(list);
	free(v.seen);
	*faults_out = v.faults;
	return err;
}
