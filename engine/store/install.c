/* SPDX-License-Identifier: MIT */
/*
 * install.c: changes of what the store is made of: logged in the manifest first,
 * then shown to readers.
 */
#include <assert.h>
#include <stdlib.h>

#include "store/store.h"

enum lsm_err store_new_number(struct lsm *store, uint64_t *number_out)
{
	sync_assert_held(&store->manifest_mu);
	*number_out = 0;
	if (store->next_number == store->state.next_number) {
		struct edit edit;
		enum lsm_err err;

		edit_init(&edit);
		edit.has_next_number = true;
		edit.next_number = store->next_number + STORE_NUMBER_STEP;
		err = store_log_edit(store, &edit);
		edit_release(&edit);
		if (err != LSM_OK)
			return err;
	}
	assert(store->next_number < store->state.next_number);
	*number_out = store->next_number++;
	return LSM_OK;
}

static enum lsm_err new_file(struct lsm *store, enum file_kind kind,
                             struct file_id *id_out)
{
	enum lsm_err err;

	sync_lock(&store->manifest_mu);
	id_out->creator = store->state.branch.id;
	err = store_new_number(store, &id_out->number);
	sync_unlock(&store->manifest_mu);
	if (err == LSM_OK)
		err = pool_ref(store->pool, kind, *id_out);
	return err;
}

enum lsm_err store_new_table(void *ctx, struct file_id *id_out)
{
	return new_file(ctx, FILE_KIND_TABLE, id_out);
}

enum lsm_err store_new_segment(void *ctx, struct file_id *id_out)
{
	return new_file(ctx, FILE_KIND_SEGMENT, id_out);
}

void store_let_segment_go(void *ctx, struct file_id id)
{
	struct lsm *store = ctx;

	pool_unref(store->pool, FILE_KIND_SEGMENT, id);
}

/*
 * What is on the disk of the manifest is unknown: write no more of it, not even
 * to close. The edit may be there at the next open, and what it adds, or what it
 * removes, is named then: so delete nothing either.
 */
static enum lsm_err give_up_manifest(struct lsm *store, const char *what)
{
	pool_keep_all(store->pool);
	manifest_close(store->manifest);
	store->manifest = NULL;
	store->manifest_lost = true;
	store_fail(store, LSM_ERR_POISONED, what);
	return LSM_ERR_POISONED;
}

static bool edits_outgrow_list(const struct lsm *store)
{
	uint64_t list_bytes =
	    store->state.list_table_count * STORE_LIST_ENTRY_BYTES;
	uint64_t most = list_bytes > STORE_MANIFEST_ROLL_BYTES
	                    ? list_bytes
	                    : STORE_MANIFEST_ROLL_BYTES;

	return manifest_bytes(store->manifest) > most;
}

/* What is known to have left the manifest in force as it was. A full disk is
   one, and no reason to stop writing for ever. */
static bool is_harmless(enum lsm_err err)
{
	return err == LSM_ERR_NOSPACE || err == LSM_ERR_NOMEM ||
	       err == LSM_ERR_TOO_BIG;
}

/* Write the list `id` and a manifest over it; both change *state. */
static enum lsm_err publish_over_list(struct lsm *store, struct file_id id,
                                      struct manifest_state *state,
                                      struct manifest **fresh_out)
{
	enum lsm_err err = manifest_write_list(&store->place, id, state);

	*fresh_out = NULL;
	if (err == LSM_OK)
		err = env_dir_sync(store->source.pool);
	if (err == LSM_OK)
		err = manifest_publish(&store->place, state, fresh_out);
	if (err != LSM_OK && !is_harmless(err))
		err = give_up_manifest(store,
		                       "a new manifest could not be published");
	return err;
}

static void replace_state(struct lsm *store, struct manifest_state *next)
{
	manifest_state_release(&store->state);
	store->state = *next;
	manifest_state_init(next); /* moved */
}

/*
 * Start a new manifest over a new base list, once edits outgrow them. The old
 * list is dropped when the new manifest stands.
 */
static enum lsm_err roll(struct lsm *store)
{
	struct file_id old_list = store->state.list;
	struct file_id id = {store->state.branch.id, 0};
	struct manifest *fresh = NULL;
	struct manifest_state next;
	enum lsm_err err = store_new_number(store, &id.number);

	if (err == LSM_OK)
		err = manifest_state_copy(&store->state, &next);
	if (err != LSM_OK)
		return err;
	err = pool_ref(store->pool, FILE_KIND_LIST, id);
	if (err != LSM_OK)
		goto out;
	err = publish_over_list(store, id, &next, &fresh);
	if (err != LSM_OK) {
		pool_unref(store->pool, FILE_KIND_LIST, id);
		goto out;
	}
	replace_state(store, &next);
	manifest_close(store->manifest);
	store->manifest = fresh;
	if (old_list.number != 0)
		pool_unref(store->pool, FILE_KIND_LIST, old_list);
out:
	manifest_state_release(&next);
	return err;
}

/* A branch that may not be written to still has the flushes of others land. */
static enum lsm_err may_install(struct lsm *store)
{
	enum lsm_err err = atomic_load(&store->failed);

	if (store->home->read_only)
		return LSM_ERR_READ_ONLY;
	if (store->manifest_lost)
		return LSM_ERR_POISONED;
	/* Close itself still flushes. */
	return err == LSM_ERR_CLOSED ? LSM_OK : err;
}

enum lsm_err store_begin_manifest(struct lsm *store)
{
	enum lsm_err err;

	sync_assert_held(&store->manifest_mu);
	assert(store->next_number == store->state.next_number);
	store->state.next_number += STORE_NUMBER_STEP;
	err = manifest_publish(&store->place, &store->state, &store->manifest);
	if (err == LSM_OK)
		return LSM_OK;
	store->state.next_number = store->next_number;
	return err;
}

enum lsm_err store_log_edit(struct lsm *store, const struct edit *edit)
{
	struct manifest_state next;
	enum lsm_err err;

	sync_assert_held(&store->manifest_mu);
	err = may_install(store);
	if (err == LSM_OK && store->manifest == NULL) {
		err = store_begin_manifest(store);
		if (err != LSM_OK && !is_harmless(err))
			err = give_up_manifest(
			    store, "a new manifest could not be published");
	}
	if (err == LSM_OK) {
		err = manifest_reserve(store->manifest, edit);
		if (err == LSM_ERR_POISONED)
			err = give_up_manifest(
			    store, "the manifest could not be written");
	}
	if (err == LSM_OK)
		err = manifest_state_copy(&store->state, &next);
	if (err != LSM_OK)
		return err;
	/* First whether it can be applied, then durable, then true. */
	err = manifest_state_apply(&next, edit);
	if (err == LSM_OK && manifest_append(store->manifest, edit) != LSM_OK)
		err = give_up_manifest(store,
		                       "the manifest could not be written");
	if (err == LSM_OK)
		replace_state(store, &next);
	manifest_state_release(&next);
	return err;
}

/* Take the flushed generation, which is the oldest, out of the queue. */
static void dequeue_flushed(struct lsm *store, struct generation *flushed)
{
	sync_assert_held(&store->tree_mu);
	assert(store->oldest_sealed == flushed);
	store->oldest_sealed = flushed->newer;
	if (store->oldest_sealed == NULL)
		store->newest_sealed = NULL;
}

/* A view with room for all that can be sealed while the lock is free. */
static enum lsm_err alloc_view(struct lsm *store, struct view **fresh_out)
{
	size_t count;

	sync_lock(&store->tree_mu);
	count = store->view->sealed_count;
	sync_unlock(&store->tree_mu);
	return view_alloc(2 * count + 64, fresh_out);
}

enum lsm_err store_install(struct lsm *store, const struct edit *edit,
                           struct generation *flushed)
{
	struct view *fresh = NULL, *old = NULL;
	enum lsm_err err;

	err = alloc_view(store, &fresh);
	if (err != LSM_OK)
		return err;

	sync_lock(&store->manifest_mu);
	err = store_log_edit(store, edit);
	if (err == LSM_OK) {
		sync_lock(&store->tree_mu);
		if (flushed != NULL)
			dequeue_flushed(store, flushed);
		old = view_replace(store, fresh, NULL, store->state.version);
		sync_unlock(&store->tree_mu);
		fresh = NULL;
		slow_update(store, store->state.version);
	}
	if (err == LSM_OK && edits_outgrow_list(store) && roll(store) != LSM_OK)
		log_warning("%s: the manifest stays long", store->path);
	sync_unlock(&store->manifest_mu);

	free(fresh);
	view_unref(old);
	if (err == LSM_OK)
		store_refresh_iterators(store);
	if (err == LSM_OK && flushed != NULL) {
		sync_queue_note(&store->sync_queue, flushed->last_seq);
		generation_unref(flushed);
	}
	return err;
}

void store_shorten_manifest(struct lsm *store)
{
	struct edit diff;
	size_t changes = 0;

	sync_assert_held(&store->manifest_mu);
	if (manifest_state_diff(&store->state, &diff) == LSM_OK)
		changes = diff.added_count + diff.removed_count;
	edit_release(&diff);
	if (changes > STORE_FORK_CHANGES && may_install(store) == LSM_OK &&
	    roll(store) != LSM_OK)
		log_warning("%s: the manifest stays long", store->path);
}
