/* SPDX-License-Identifier: MIT */
/*
 * home_read.c: the branches of a store, as they are found on disk.
 */
#include <stdlib.h>

#include "base/log.h"
#include "store/branches.h"

struct scan {
	struct home *home;
	enum lsm_err damage; /* of the first that cannot be read */
};

static bool parse_folder(const char *name, uint64_t *id_out)
{
	char again[STORE_BRANCH_NAME_BYTES];

	*id_out = strtoull(name, NULL, 16);
	home_branch_folder(*id_out, again);
	return strcmp(name, again) == 0;
}

/* Register the branch and count its files. Errors: EXISTS (its name), CORRUPT, those
   of env, NOMEM. */
static enum lsm_err keep_branch(struct home *home, struct manifest_names *names)
{
	struct branch *branch;
	enum lsm_err err = branch_create(&names->branch, &branch);

	if (err != LSM_OK)
		return err;
	branch->settled = names->settled;
	branch->manifest_number = names->manifest_number;
	sync_lock(&home->mu);
	err = branch_add(home, branch);
	sync_unlock(&home->mu);
	if (err == LSM_ERR_EXISTS) {
		log_error("branch %016llx: another is called %s too",
		          (unsigned long long)branch->id, branch->name);
		branch_destroy(branch);
		return err;
	}
	err = branch_pin(home, branch, &names->now,
	                 names->has_base ? &names->base : NULL, NULL);
	if (err == LSM_OK)
		err = branch_set_logs(home, branch, names->now.logs,
		                      names->now.log_count);
	if (err != LSM_OK)
		branch_remove(home, branch);
	return err;
}

/* What the manifest of a branch names. */
static enum lsm_err read_names(struct home *home, const char *folder,
                               uint64_t id, struct manifest_names *names)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .family = home->superblock.family,
	                               .learner = home_learner(home)};
	enum lsm_err err = env_dir_open_at(home->branches, folder, &place.dir);

	if (err == LSM_OK)
		err = manifest_names_read(&place, id, names);
	env_dir_close(place.dir);
	return err;
}

static enum lsm_err probe_list(struct home *home, struct file_id id)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .family = home->superblock.family};
	struct file_id *tables = NULL;
	size_t count;
	enum lsm_err err = LSM_OK;

	if (id.number != 0)
		err = manifest_list_read(&place, id, &tables, &count);
	free(tables);
	return err;
}

enum lsm_err home_probe_branch(struct home *home, uint64_t id)
{
	char folder[STORE_BRANCH_NAME_BYTES];
	struct manifest_names names;
	enum lsm_err err;

	home_branch_folder(id, folder);
	err = read_names(home, folder, id, &names);
	if (err != LSM_OK)
		return err;
	err = probe_list(home, names.now.list);
	if (err == LSM_OK && names.has_base)
		err = probe_list(home, names.base.list);
	manifest_names_release(&names);
	return err;
}

/* The others may still open: go on, but delete nothing from now on. */
static enum lsm_err keep_damaged(struct home *home, uint64_t id,
                                 enum lsm_err why)
{
	struct damaged *grown;

	pool_keep_all(home->pool);
	sync_lock(&home->mu);
	grown =
	    realloc(home->damaged, (home->damaged_count + 1) * sizeof(*grown));
	if (grown != NULL) {
		home->damaged = grown;
		grown[home->damaged_count++] = (struct damaged){id, why, false};
	}
	sync_unlock(&home->mu);
	return grown != NULL ? LSM_OK : LSM_ERR_NOMEM;
}

static enum lsm_err read_branch(void *ctx, const char *name)
{
	struct scan *scan = ctx;
	struct home *home = scan->home;
	struct manifest_names names;
	uint64_t id;
	enum lsm_err err;

	if (!parse_folder(name, &id)) {
		log_warning("%s/%s/%s is no branch; left alone", home->path,
		            BRANCHES_DIR, name);
		return LSM_OK;
	}
	err = read_names(home, name, id, &names);
	if (err == LSM_OK) {
		err = keep_branch(home, &names);
		manifest_names_release(&names);
	}
	if (err == LSM_OK)
		return LSM_OK;
	if (scan->damage == LSM_OK)
		scan->damage = err == LSM_ERR_EXISTS ? LSM_ERR_CORRUPT : err;
	return keep_damaged(home, id, err);
}

static enum lsm_err drop_temporary(void *ctx, const char *name)
{
	if (strncmp(name, TMP_PREFIX, strlen(TMP_PREFIX)) != 0)
		return LSM_OK;
	return env_remove_tree(ctx, name);
}

static void count_children(struct home *home)
{
	sync_lock(&home->mu);
	for (size_t i = 0; i < home->by_id.slot_count; i++) {
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next) {
			struct branch *branch = BRANCH_OF(l);
			struct branch *parent =
			    branch_find_id(home, branch->parent);

			if (parent != NULL)
				parent->children++;
		}
	}
	sync_unlock(&home->mu);
}

/*
 * The parents of a branch lead to one that has none: who looks at those above or
 * below it relies on coming to an end. Each branch is stepped on once, in a round
 * of its own or that of one below it; a walk that meets its own round goes in a
 * circle. Errors: CORRUPT.
 */
static enum lsm_err check_parents(struct home *home)
{
	const struct branch *bad = NULL;

	sync_lock(&home->mu);
	for (size_t i = 0; i < home->by_id.slot_count; i++)
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next) {
			struct branch *b = BRANCH_OF(l);

			home->round++;
			for (; b != NULL && b->round == 0;
			     b = branch_find_id(home, b->parent))
				b->round = home->round;
			if (b != NULL && b->round == home->round)
				bad = b;
		}
	if (bad != NULL)
		log_error("%s/%s/%016llx: the parents of the branch %s lead "
		          "back to it",
		          home->path, BRANCHES_DIR, (unsigned long long)bad->id,
		          bad->name);
	sync_unlock(&home->mu);
	return bad != NULL ? LSM_ERR_CORRUPT : LSM_OK;
}

enum lsm_err home_read(struct home *home, enum lsm_err *damage_out)
{
	struct scan scan = {.home = home};
	enum lsm_err err =
	    env_dir_open_at(home->dir, BRANCHES_DIR, &home->branches);

	*damage_out = LSM_OK;
	if (err == LSM_OK && !home->read_only)
		err = env_dir_list(home->branches, drop_temporary,
		                   home->branches);
	if (err == LSM_OK)
		err = env_dir_list(home->branches, read_branch, &scan);
	if (err == LSM_ERR_NOT_FOUND) {
		log_error("%s: the store has no folder %s", home->path,
		          BRANCHES_DIR);
		return LSM_ERR_CORRUPT;
	}
	*damage_out = scan.damage;
	count_children(home);
	return err == LSM_OK ? check_parents(home) : err;
}

/* ---- making it durable --------------------------------------------------------- */

static enum lsm_err settle_branch(struct home *home, struct branch *branch)
{
	char folder[STORE_BRANCH_NAME_BYTES];
	struct env_dir *dir = NULL;
	enum lsm_err err;

	home_branch_folder(branch->id, folder);
	err = env_dir_open_at(home->branches, folder, &dir);
	if (err == LSM_OK)
		err = manifest_sync(dir, branch->manifest_number);
	env_dir_close(dir);
	branch->settled = err == LSM_OK;
	return err;
}

/* The folder that the store is in, where we may open it: whoever made the store
   could. */
static enum lsm_err sync_parent(struct home *home)
{
	struct env_dir *parent = NULL;
	enum lsm_err err = env_dir_open_at(home->dir, "..", &parent);

	if (err == LSM_OK)
		err = env_dir_sync(parent);
	env_dir_close(parent);
	return err == LSM_ERR_ACCESS || err == LSM_ERR_READ_ONLY ? LSM_OK : err;
}

enum lsm_err home_settle(struct home *home)
{
	enum lsm_err err = LSM_OK;

	/* Nobody else is here yet: it is being opened. */
	for (size_t i = 0; i < home->by_id.slot_count; i++)
		for (struct link *l = home->by_id.slots[i];
		     err == LSM_OK && l != NULL; l = l->next)
			if (!BRANCH_OF(l)->settled)
				err = settle_branch(home, BRANCH_OF(l));
	if (err == LSM_OK)
		err = env_dir_sync(home->branches);
	if (err == LSM_OK)
		err = env_dir_sync(home->dir);
	if (err == LSM_OK)
		err = sync_parent(home);
	return err;
}
