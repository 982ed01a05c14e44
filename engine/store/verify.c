/* SPDX-License-Identifier: MIT */
/*
 * verify.c: read every byte that the store names and report what is wrong.
 *
 * Superblock, manifests and base lists were read whole, with their checksums,
 * when the store was opened; what is left are tables and logs.
 */
#include <stdio.h>

#include "store/store.h"
#include "wal/wal_reader.h"

struct verification {
	struct lsm *store;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	uint64_t faults;
};

static void fault(struct verification *v, enum file_kind kind,
                  struct file_id id, const char *what)
{
	char line[LOG_LINE_MAX_BYTES], name[FILE_NAME_MAX_BYTES];

	file_name_format(kind, id, name);
	snprintf(line, sizeof(line), "%s/%s: %s", POOL_DIR, name, what);
	v->report(v->ctx, line);
	v->faults++;
}

static enum lsm_err verify_table(struct verification *v,
                                 const struct table_meta *meta)
{
	const struct table_source *source = &v->store->source;
	struct table_ref ref;
	uint64_t faults = 0;
	enum lsm_err err =
	    table_cache_get(source, meta->id, meta->info.file_bytes, &ref);

	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, FILE_KIND_TABLE, meta->id, lsm_strerror(err));
		return LSM_OK;
	}
	err = table_verify(ref.table, v->report, v->ctx, &faults);
	v->faults += faults;
	table_cache_release(source, &ref);
	return err;
}

static enum lsm_err verify_version(struct verification *v,
                                   const struct version *version)
{
	enum lsm_err err = LSM_OK;

	for (unsigned l = 0; l < LSM_LEVELS; l++)
		for (size_t i = 0;
		     err == LSM_OK && i < version->levels[l].count; i++)
			err = verify_table(v, version->levels[l].tables[i]);
	return err;
}

/* A torn tail is no fault: nothing in it was promised. */
static enum lsm_err verify_log(struct verification *v,
                               const struct log_ref *log)
{
	struct lsm *store = v->store;
	struct wal_reader *reader = NULL;
	struct slice payload;
	bool more = true;
	enum lsm_err err;

	err = wal_reader_open(store->source.pool, FILE_KIND_LOG, log->id,
	                      &store->home->superblock.family,
	                      log->promised_upto, &reader);
	while (err == LSM_OK && more)
		err = wal_reader_next(reader, &payload, &more);
	wal_reader_close(reader);
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK)
		fault(v, FILE_KIND_LOG, log->id, lsm_strerror(err));
	return LSM_OK;
}

static enum lsm_err verify_branch(struct verification *v,
                                  const struct manifest_state *state)
{
	enum lsm_err err = verify_version(v, state->version);

	for (size_t i = 0; err == LSM_OK && i < state->log_count; i++)
		err = verify_log(v, &state->logs[i]);
	return err;
}

/* What main is made of now. Its tables are held by the version; its logs, which
   flushes drop, are held in the pool. */
static enum lsm_err hold_main(struct lsm *store, struct manifest_state *state)
{
	size_t held = 0;
	enum lsm_err err;

	sync_lock(&store->manifest_mu);
	err = manifest_state_copy(&store->state, state);
	while (err == LSM_OK && held < state->log_count) {
		err =
		    pool_ref(store->pool, FILE_KIND_LOG, state->logs[held].id);
		held += err == LSM_OK;
	}
	sync_unlock(&store->manifest_mu);
	state->log_count = held;
	return err;
}

static void let_go(struct lsm *store, struct manifest_state *state)
{
	for (size_t i = 0; i < state->log_count; i++)
		pool_unref(store->pool, FILE_KIND_LOG, state->logs[i].id);
	manifest_state_release(state);
}

enum lsm_err lsm_verify(struct lsm *store,
                        void (*report)(void *ctx, const char *line), void *ctx,
                        uint64_t *faults_out)
{
	struct verification v = {store, report, ctx, 0};
	struct manifest_state state;
	enum lsm_err err;

	err = hold_main(store, &state);
	if (err == LSM_OK)
		err = verify_branch(&v, &state);
	let_go(store, &state);
	for (struct other_branch *b = store->home->others;
	     err == LSM_OK && b != NULL; b = b->next)
		err = verify_branch(&v, &b->state);
	*faults_out = v.faults;
	return err;
}
