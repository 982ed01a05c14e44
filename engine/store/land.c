/* SPDX-License-Identifier: MIT */
/*
 * land.c: a flush lands: its table takes the place of the log in the manifest of
 * every branch that names that log.
 *
 * A fork names the sealed logs of its parent. The parent, or whoever flushes such
 * a log first, puts the table into its own manifest and then, one after another,
 * into those of the others: of an open branch through its manifest as it stands,
 * of another by publishing a new one. Between two of them a crash does no harm:
 * who still names the log still has it.
 *
 * Only a branch's oldest log is replaced: its tables hold what is older.
 */
#include <stdlib.h>

#include "store/branches.h"
#include "store/store.h"

/* The next branch, in the state LANDING, that this round did not look at. */
static struct branch *next_target(struct home *home, const struct branch *self,
                                  struct file_id log, uint64_t round)
{
	struct branch *b;

	sync_lock(&home->mu);
	b = home->newest_logged;
	while (b != NULL) {
		if (b == self || b->round == round ||
		    b->state == BRANCH_OPENING ||
		    !file_id_equal(b->logs[0], log)) {
			b = b->older;
		} else if (b->state != BRANCH_IDLE) {
			sync_wait(&home->changed, &home->mu);
			b = home->newest_logged; /* it may be gone */
		} else {
			b->state = BRANCH_LANDING;
			b->round = round;
			break;
		}
	}
	sync_unlock(&home->mu);
	return b;
}

/* Publish a manifest after the edit; the fate of it is unknown on IO. */
static enum lsm_err publish_closed(struct home *home, struct env_dir *dir,
                                   struct branch *branch,
                                   const struct edit *edit,
                                   struct manifest_state *state)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .dir = dir,
	                               .family = home->superblock.family};
	struct manifest *manifest = NULL;
	enum lsm_err err;

	err = manifest_recover_treeless(&place, branch->id,
	                                home_table_owner(home),
	                                home_adopt_table, state);
	if (err != LSM_OK)
		return err;
	err = manifest_state_apply(state, edit);
	if (err == LSM_OK)
		err = manifest_publish(&place, state, &manifest);
	if (err == LSM_ERR_IO)
		pool_keep_all(home->pool);
	if (err == LSM_OK)
		manifest_settle(manifest);
	manifest_close(manifest);
	return err;
}

static enum lsm_err land_in_closed(struct home *home, struct branch *branch,
                                   const struct edit *edit)
{
	char folder[STORE_BRANCH_NAME_BYTES];
	struct manifest_state state;
	struct env_dir *dir = NULL;
	enum lsm_err err;

	home_branch_folder(branch->id, folder);
	manifest_state_init(&state);
	err = env_dir_open_at(home->branches, folder, &dir);
	if (err == LSM_OK)
		err = publish_closed(home, dir, branch, edit, &state);
	if (err == LSM_OK && branch_pin_state(home, branch, &state) != LSM_OK)
		pool_keep_all(home->pool); /* it names what is not counted */
	manifest_state_release(&state);
	env_dir_close(dir);
	return err;
}

static enum lsm_err land_in_open(struct branch *branch, const struct edit *edit,
                                 struct file_id log)
{
	struct lsm *store = branch->lsm;
	struct generation *gen;
	bool is_oldest;
	enum lsm_err err;

	sync_lock(&store->tree_mu);
	gen = store->oldest_sealed;
	is_oldest =
	    gen != NULL && gen->shared && file_id_equal(gen->log_id, log);
	sync_unlock(&store->tree_mu);
	if (!is_oldest)
		return LSM_OK;
	err = store_install(store, edit, gen);
	if (err == LSM_OK)
		store_landed(store, log);
	return err;
}

/* Pin the fork point anew, or where there is none the branch itself. */
static enum lsm_err pin_landed(struct lsm *store)
{
	struct manifest_state state;
	enum lsm_err err;

	sync_lock(&store->manifest_mu);
	err = manifest_state_copy(&store->state, &state);
	sync_unlock(&store->manifest_mu);
	if (err != LSM_OK)
		return err;
	if (store->branch->read_only)
		err = branch_pin_state(store->home, store->branch, &state);
	else
		err = branch_pin_base(store->home, store->branch,
		                      buf_slice(&state.base));
	manifest_state_release(&state);
	return err;
}

void store_landed(struct lsm *store, struct file_id log)
{
	struct home *home = store->home;

	if (pin_landed(store) != LSM_OK)
		pool_keep_all(home->pool); /* it names what is not counted */
	branch_drop_log(home, store->branch, log);
	store_note_l0(store);
	store_end_of_flush(store, LSM_OK);
	worker_submit(store->runtime->workers, &store->flush_job, 0);
	worker_submit(store->runtime->workers, &store->compact_job, 0);
}

void home_land(struct home *home, const struct branch *self,
               const struct edit *edit, struct file_id log)
{
	struct branch *branch;
	uint64_t round;

	sync_lock(&home->mu);
	round = ++home->round;
	sync_unlock(&home->mu);
	while ((branch = next_target(home, self, log, round)) != NULL) {
		enum lsm_err err = branch->lsm != NULL
		                       ? land_in_open(branch, edit, log)
		                       : land_in_closed(home, branch, edit);

		if (err != LSM_OK)
			log_warning("%s: branch %s keeps a log that was "
			            "flushed (%s)",
			            home->path, branch->name,
			            lsm_strerror(err));
		branch_leave(home, branch);
	}
}

bool home_shares_log(struct home *home, const struct branch *self,
                     struct file_id log)
{
	bool shared = false;

	sync_lock(&home->mu);
	for (struct branch *b = home->newest_logged; b != NULL && !shared;
	     b = b->older)
		for (size_t i = 0; i < b->log_count && b != self; i++)
			shared |= file_id_equal(b->logs[i], log);
	sync_unlock(&home->mu);
	return shared;
}

void home_wake_logged(struct home *home, const struct branch *self)
{
	sync_lock(&home->mu);
	for (struct branch *b = home->newest_logged; b != NULL; b = b->older)
		if (b->lsm != NULL && b != self)
			worker_submit(home->runtime->workers,
			              &b->lsm->flush_job, 0);
	sync_unlock(&home->mu);
}

/* ---- memtables of other branches ------------------------------------------------- */

/* The branch `id`, if it is open, kept open. */
static struct branch *pin_open(struct home *home, uint64_t id)
{
	struct branch *branch;

	sync_lock(&home->mu);
	branch = branch_find_id(home, id);
	if (branch != NULL && branch->lsm == NULL)
		branch = NULL;
	if (branch != NULL)
		branch->pins++;
	sync_unlock(&home->mu);
	return branch;
}

static void unpin_open(struct home *home, struct branch *branch)
{
	sync_lock(&home->mu);
	branch->pins--;
	sync_broadcast(&home->changed);
	sync_unlock(&home->mu);
}

/* The sealed generation of `store` that the log belongs to, with a reference. */
static struct generation *find_sealed(struct lsm *store, struct file_id log)
{
	struct generation *found = NULL;

	sync_lock(&store->tree_mu);
	for (struct generation *g = store->oldest_sealed;
	     g != NULL && found == NULL; g = g->newer)
		if (file_id_equal(g->log_id, log))
			found = g;
	if (found != NULL)
		generation_ref(found);
	sync_unlock(&store->tree_mu);
	return found;
}

struct generation *home_find_sealed(struct home *home,
                                    const struct branch *branch,
                                    struct file_id log)
{
	uint64_t where[2] = {log.creator, branch->parent};
	struct generation *found = NULL;

	for (size_t i = 0; i < 2 && found == NULL; i++) {
		struct branch *other = pin_open(home, where[i]);

		if (other == NULL)
			continue;
		found = find_sealed(other->lsm, log);
		unpin_open(home, other);
	}
	return found;
}

/* Some open branch forked from `parent`, or that itself; pinned. */
static struct branch *pin_relative(struct home *home, uint64_t parent)
{
	struct branch *found = pin_open(home, parent);

	if (found != NULL)
		return found;
	sync_lock(&home->mu);
	for (size_t i = 0; i < home->by_id.slot_count && found == NULL; i++)
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next)
			if (BRANCH_OF(l)->parent == parent &&
			    BRANCH_OF(l)->lsm != NULL)
				found = BRANCH_OF(l);
	if (found != NULL)
		found->pins++;
	sync_unlock(&home->mu);
	return found;
}

struct version *home_find_version(struct home *home,
                                  const struct branch *branch)
{
	struct branch *other = pin_relative(home, branch->parent);
	struct version *version;

	if (other == NULL)
		return NULL;
	sync_lock(&other->lsm->tree_mu);
	version = other->lsm->view->version;
	version_ref(version);
	sync_unlock(&other->lsm->tree_mu);
	unpin_open(home, other);
	return version;
}

/* Whether the owner of the log is going to flush it, or has it land just now. */
static bool flush_comes(struct lsm *owner, struct file_id log)
{
	struct generation *g;
	bool comes;

	sync_lock(&owner->tree_mu);
	g = owner->oldest_sealed;
	while (g != NULL && !file_id_equal(g->log_id, log))
		g = g->newer;
	if (g != NULL)
		comes = owner->flush_err == LSM_OK &&
		        atomic_load(&owner->failed) == LSM_OK;
	else
		comes = file_id_equal(owner->landing, log);
	sync_unlock(&owner->tree_mu);
	return comes;
}

bool store_awaits_landing(struct lsm *store)
{
	struct branch *owner;
	struct generation *gen;
	struct file_id log = {0, 0};
	bool comes;

	sync_lock(&store->tree_mu);
	gen = store->oldest_sealed;
	if (gen != NULL && gen->shared)
		log = gen->log_id;
	sync_unlock(&store->tree_mu);
	if (log.number == 0)
		return false;
	owner = pin_open(store->home, log.creator);
	if (owner == NULL)
		return false;
	comes = flush_comes(owner->lsm, log);
	unpin_open(store->home, owner);
	return comes;
}
