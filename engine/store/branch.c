/* SPDX-License-Identifier: MIT */
/*
 * branch.c: make, open, delete and list the branches of a store.
 *
 * A fork, once its parent is captured (fork.h): write the child's manifest, which
 * names the same files, into branches/.tmp-<id>, sync it, rename the folder to
 * its id, sync branches/. Deleting renames the folder back to .tmp-<id> first, so
 * that a crash leaves the branch whole or gone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "store/fork.h"

enum { BRANCH_TMP_NAME_BYTES = 32 };

/* ---- making -------------------------------------------------------------------- */

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= LSM_BRANCH_NAME_MAX_BYTES &&
	       strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

static enum lsm_err make_child(struct lsm *store, const char *name,
                               bool read_only, struct branch **child_out)
{
	struct branch_identity identity;
	enum lsm_err err;

	memset(&identity, 0, sizeof(identity));
	identity.parent = store->branch->id;
	identity.created_ns = env_time_ns(store->env);
	identity.read_only = read_only;
	snprintf(identity.name, sizeof(identity.name), "%s", name);
	*child_out = NULL;
	err = env_random(store->env, &identity.id, sizeof(identity.id));
	if (err == LSM_OK)
		err = branch_create(&identity, child_out);
	if (err == LSM_OK)
		(*child_out)->state = BRANCH_MAKING;
	return err;
}

static void identify(const struct branch *child, struct manifest_state *state)
{
	struct branch_identity *identity = &state->branch;

	identity->id = child->id;
	identity->parent = child->parent;
	identity->forked_at = child->forked_at;
	identity->created_ns = child->created_ns;
	identity->read_only = child->read_only;
	snprintf(identity->name, sizeof(identity->name), "%s", child->name);
	state->next_number = 1; /* under its own id as the creator */
	state->manifest_number = 0;
}

static void folder_names(uint64_t id, char folder[STORE_BRANCH_NAME_BYTES],
                         char tmp[BRANCH_TMP_NAME_BYTES])
{
	home_branch_folder(id, folder);
	snprintf(tmp, BRANCH_TMP_NAME_BYTES, TMP_PREFIX "%s", folder);
}

/* Fill the folder under its temporary name, durably. */
static enum lsm_err fill_folder(struct home *home, const char *tmp,
                                struct manifest_state *state)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .dir = NULL,
	                               .family = home->superblock.family};
	enum lsm_err err = env_dir_make(home->branches, tmp);

	if (err == LSM_OK)
		err = env_dir_open_at(home->branches, tmp, &place.dir);
	if (err == LSM_OK)
		err = manifest_lay_out(&place, state);
	if (err == LSM_OK)
		err = manifest_sync_laid_out(&place);
	env_dir_close(place.dir);
	return err;
}

/* Give the folder its name, durably. Where that is not known to have failed or
   not, what it names must stay. */
static enum lsm_err publish_folder(struct home *home, const char *tmp,
                                   const char *folder)
{
	enum lsm_err err =
	    env_rename(home->branches, tmp, home->branches, folder, true);

	if (err != LSM_OK)
		return err;
	err = env_dir_sync(home->branches);
	if (err == LSM_OK)
		return LSM_OK;
	pool_keep_all(home->pool);
	if (env_rename(home->branches, folder, home->branches, tmp, true) !=
	    LSM_OK)
		log_warning("%s: a branch whose fork failed may be found again",
		            home->path);
	return err;
}

static enum lsm_err write_branch(struct home *home, const struct branch *child,
                                 struct manifest_state *state)
{
	char folder[STORE_BRANCH_NAME_BYTES], tmp[BRANCH_TMP_NAME_BYTES];
	enum lsm_err err;

	identify(child, state);
	folder_names(child->id, folder, tmp);
	err = fill_folder(home, tmp, state);
	if (err == LSM_OK)
		err = publish_folder(home, tmp, folder);
	if (err != LSM_OK && env_remove_tree(home->branches, tmp) != LSM_OK)
		log_warning("%s: an unfinished branch stays until the next "
		            "open",
		            home->path);
	return err;
}

/* Needs home->mu. */
static void describe(const struct branch *branch, struct lsm_branch_info *info)
{
	info->id = branch->id;
	info->parent = branch->parent;
	info->forked_at = branch->forked_at;
	info->created_ns = branch->created_ns;
	info->children = branch->children;
	info->read_only = branch->read_only;
	info->open = branch->lsm != NULL;
	snprintf(info->name, sizeof(info->name), "%s", branch->name);
}

static bool name_is_taken(struct home *home, const char *name)
{
	bool taken;

	sync_lock(&home->mu);
	taken = branch_find(home, name) != NULL;
	sync_unlock(&home->mu);
	return taken;
}

enum lsm_err lsm_branch_create(struct lsm *store, const char *name,
                               bool read_only, struct lsm_branch_info *info_out)
{
	struct home *home = store->home;
	struct branch *child = NULL;
	bool registered = false;
	struct fork fork;
	enum lsm_err err;

	if (!is_name(name))
		return LSM_ERR_INVALID;
	if (home->read_only)
		return LSM_ERR_READ_ONLY;
	if (name_is_taken(home, name))
		return LSM_ERR_EXISTS;
	err = make_child(store, name, read_only, &child);
	if (err != LSM_OK)
		return err;
	sync_lock(&store->fork_mu);
	err = fork_begin(&fork, store, child, &registered);
	if (err == LSM_OK)
		err = write_branch(home, child, &fork.state);
	if (err == LSM_OK) {
		sync_lock(&home->mu);
		if (info_out != NULL)
			describe(child, info_out);
		sync_unlock(&home->mu);
		branch_leave(home, child);
	} else if (registered) {
		branch_remove(home, child);
	} else {
		branch_destroy(child);
	}
	fork_end(&fork);
	sync_unlock(&store->fork_mu);
	return err;
}

/* ---- those that cannot be read ---------------------------------------------------- */

/* The one that is listed as `name`; NULL where there is none. Needs home->mu. */
static struct damaged *find_damaged(struct home *home, const char *name)
{
	char folder[STORE_BRANCH_NAME_BYTES];

	sync_assert_held(&home->mu);
	for (size_t i = 0; i < home->damaged_count; i++) {
		home_branch_folder(home->damaged[i].id, folder);
		if (strcmp(folder, name) == 0)
			return &home->damaged[i];
	}
	return NULL;
}

static bool is_damaged(struct home *home, const char *name)
{
	bool found;

	sync_lock(&home->mu);
	found = find_damaged(home, name) != NULL;
	sync_unlock(&home->mu);
	return found;
}

/* ---- opening ------------------------------------------------------------------- */

enum lsm_err lsm_branch_open(struct lsm *store, const char *name,
                             const struct lsm_options *options,
                             struct lsm **branch_out)
{
	struct home *home = store->home;
	struct branch *branch;
	enum lsm_err err;

	*branch_out = NULL;
	err = branch_claim(home, name, BRANCH_OPENING, &branch);
	if (err != LSM_OK)
		return is_damaged(home, name) ? LSM_ERR_CORRUPT : err;
	if (branch->lsm != NULL) {
		branch_leave(home, branch);
		return LSM_ERR_BUSY;
	}
	home_ref(home);
	return store_open_branch(home, branch,
	                         options != NULL ? options : &store->given,
	                         false, branch_out);
}

/* ---- deleting ------------------------------------------------------------------ */

/* Take the folder away, durably; *gone_out: it is, for us at least. */
static enum lsm_err remove_folder(struct home *home, uint64_t id,
                                  const char *name, bool *gone_out)
{
	char folder[STORE_BRANCH_NAME_BYTES], tmp[BRANCH_TMP_NAME_BYTES];
	enum lsm_err err;

	folder_names(id, folder, tmp);
	err = env_rename(home->branches, folder, home->branches, tmp, true);
	*gone_out = err == LSM_OK;
	if (err != LSM_OK)
		return err;
	err = env_dir_sync(home->branches);
	if (err != LSM_OK) {
		/* A power cut may bring it back. */
		pool_keep_all(home->pool);
		log_warning("%s: the branch %s may be found again", home->path,
		            name);
	}
	if (env_remove_tree(home->branches, tmp) != LSM_OK)
		log_warning("%s: the rest of the branch %s stays until the "
		            "next open",
		            home->path, name);
	return err;
}

/* The folder goes, and all that only it named. The branch is in the state DELETING,
   not open and without children. */
static enum lsm_err delete_one(struct home *home, struct branch *branch)
{
	bool gone;
	enum lsm_err err = remove_folder(home, branch->id, branch->name, &gone);

	if (gone)
		branch_remove(home, branch);
	else
		branch_leave(home, branch);
	return err;
}

/* Some branch forked from `id`. Needs home->mu. */
static struct branch *find_child(struct home *home, uint64_t id)
{
	for (size_t i = 0; i < home->by_id.slot_count; i++)
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next)
			if (BRANCH_OF(l)->parent == id)
				return BRANCH_OF(l);
	return NULL;
}

static bool is_below(struct home *home, const struct branch *branch,
                     const struct branch *root)
{
	while (branch != NULL && branch != root)
		branch = branch_find_id(home, branch->parent);
	return branch == root;
}

/* Needs home->mu. */
static bool any_open_below(struct home *home, const struct branch *root)
{
	for (size_t i = 0; i < home->by_id.slot_count; i++)
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next)
			if (BRANCH_OF(l)->lsm != NULL &&
			    is_below(home, BRANCH_OF(l), root))
				return true;
	return false;
}

/* The deepest below `root` that has no children, as DELETING; `root` itself at
   last. Errors: NOT_FOUND (it is gone), BUSY, NOT_EMPTY. */
static enum lsm_err next_to_delete(struct home *home, const char *name,
                                   bool recursive, struct branch **branch_out)
{
	struct branch *root, *b;
	enum lsm_err err = LSM_OK;

	*branch_out = NULL;
	sync_lock(&home->mu);
again:
	root = b = branch_find(home, name);
	if (root == NULL)
		err = LSM_ERR_NOT_FOUND;
	else if (root->lsm != NULL || (recursive && any_open_below(home, root)))
		err = LSM_ERR_BUSY;
	else if (root->children > 0 && !recursive)
		err = LSM_ERR_NOT_EMPTY;
	while (err == LSM_OK && b->children > 0) {
		b = find_child(home, b->id);
		if (b == NULL)
			err = LSM_ERR_NOT_EMPTY; /* it is damaged */
	}
	if (err == LSM_OK && b->state != BRANCH_IDLE) {
		sync_wait(&home->changed, &home->mu);
		goto again;
	}
	if (err == LSM_OK) {
		b->state = BRANCH_DELETING;
		*branch_out = b;
	}
	sync_unlock(&home->mu);
	return err;
}

static enum lsm_err delete_named(struct home *home, const char *name,
                                 bool recursive)
{
	struct branch *branch;
	bool last = false;
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && !last) {
		err = next_to_delete(home, name, recursive, &branch);
		if (err != LSM_OK)
			break;
		last = strcmp(branch->name, name) == 0;
		err = delete_one(home, branch);
	}
	return err;
}

/* What has the damaged branch stay: *child_out, of LSM_BRANCH_NAME_MAX_BYTES + 1, is
   the name of one forked from it where that is NOT_EMPTY. Needs home->mu. */
static enum lsm_err may_delete_damaged(struct home *home,
                                       const struct damaged *damaged,
                                       char *child_out)
{
	const struct branch *child;

	if (damaged == NULL)
		return LSM_ERR_NOT_FOUND;
	if (branch_find(home, MAIN_BRANCH) == NULL) {
		log_error("%s: which branch is main cannot be read; no damaged "
		          "one is deleted",
		          home->path);
		return LSM_ERR_INVALID;
	}
	if (damaged->deleting)
		return LSM_ERR_BUSY;
	child = find_child(home, damaged->id);
	if (child == NULL)
		return LSM_OK;
	snprintf(child_out, LSM_BRANCH_NAME_MAX_BYTES + 1, "%s", child->name);
	return LSM_ERR_NOT_EMPTY;
}

/* It was damaged when the store was opened. Where it can be read now, the disk or
   memory failed then: that is no reason to lose it. */
static enum lsm_err still_damaged(struct home *home,
                                  const struct damaged *damaged,
                                  const char *name)
{
	enum lsm_err err = LSM_ERR_EXISTS;

	if (damaged->why != LSM_ERR_EXISTS)
		err = home_probe_branch(home, damaged->id);
	if (err == LSM_ERR_NOMEM || err == LSM_ERR_NEWER)
		return err;
	if (err != LSM_OK)
		return LSM_OK;
	log_error("%s: the branch %s can be read now: open the store again",
	          home->path, name);
	return LSM_ERR_INVALID;
}

static void end_of_damaged(struct home *home, uint64_t id, bool gone)
{
	size_t at = 0;

	sync_lock(&home->mu);
	while (home->damaged[at].id != id)
		at++;
	home->damaged[at].deleting = false;
	if (gone)
		home->damaged[at] = home->damaged[--home->damaged_count];
	sync_unlock(&home->mu);
}

/* What only it named is not known: it goes at the next open, if all branches can be
   read then. */
static enum lsm_err delete_damaged(struct home *home, const char *name,
                                   bool recursive)
{
	char child[LSM_BRANCH_NAME_MAX_BYTES + 1];
	struct damaged *found, copy = {0};
	bool gone = false;
	enum lsm_err err;

	for (;;) {
		sync_lock(&home->mu);
		found = find_damaged(home, name);
		err = may_delete_damaged(home, found, child);
		if (err == LSM_OK) {
			found->deleting = true;
			copy = *found;
		}
		sync_unlock(&home->mu);
		if (err != LSM_ERR_NOT_EMPTY || !recursive)
			break;
		err = delete_named(home, child, true);
		if (err != LSM_OK && err != LSM_ERR_NOT_FOUND)
			break;
	}
	if (err != LSM_OK)
		return err;
	err = still_damaged(home, &copy, name);
	if (err == LSM_OK)
		err = remove_folder(home, copy.id, name, &gone);
	end_of_damaged(home, copy.id, gone);
	if (gone)
		log_warning("%s: the damaged branch %s is deleted; its files "
		            "go when the store is opened again",
		            home->path, name);
	return err;
}

enum lsm_err lsm_branch_delete(struct lsm *store, const char *name,
                               bool recursive)
{
	struct home *home = store->home;
	enum lsm_err err;

	if (strcmp(name, MAIN_BRANCH) == 0)
		return LSM_ERR_INVALID;
	if (home->read_only)
		return LSM_ERR_READ_ONLY;
	err = delete_named(home, name, recursive);
	return err == LSM_ERR_NOT_FOUND ? delete_damaged(home, name, recursive)
	                                : err;
}

/* ---- listing ------------------------------------------------------------------- */

enum lsm_err lsm_branch_find(struct lsm *store, const char *name,
                             struct lsm_branch_info *info_out)
{
	struct home *home = store->home;
	struct branch *branch = store->branch;

	memset(info_out, 0, sizeof(*info_out));
	sync_lock(&home->mu);
	if (name != NULL)
		branch = branch_find(home, name);
	/* What is being made is not there yet. */
	if (branch != NULL && branch->state == BRANCH_MAKING)
		branch = NULL;
	if (branch != NULL)
		describe(branch, info_out);
	sync_unlock(&home->mu);
	return branch != NULL ? LSM_OK : LSM_ERR_NOT_FOUND;
}

static int compare_names(const void *left, const void *right)
{
	const struct lsm_branch_info *a = left, *b = right;

	if (a->damaged != b->damaged)
		return a->damaged ? 1 : -1;
	return strcmp(a->name, b->name);
}

static void describe_damaged(const struct damaged *damaged,
                             struct lsm_branch_info *info)
{
	info->id = damaged->id;
	info->damaged = true;
	home_branch_folder(damaged->id, info->name);
}

enum lsm_err lsm_branch_list(struct lsm *store,
                             struct lsm_branch_info **list_out,
                             size_t *count_out)
{
	struct home *home = store->home;
	struct lsm_branch_info *list;
	size_t count = 0;

	*count_out = 0;
	sync_lock(&home->mu);
	list =
	    calloc(home->by_id.count + home->damaged_count + 1, sizeof(*list));
	for (size_t i = 0; list != NULL && i < home->by_id.slot_count; i++)
		for (struct link *l = home->by_id.slots[i]; l != NULL;
		     l = l->next)
			if (BRANCH_OF(l)->state != BRANCH_MAKING)
				describe(BRANCH_OF(l), &list[count++]);
	for (size_t i = 0; list != NULL && i < home->damaged_count; i++)
		describe_damaged(&home->damaged[i], &list[count++]);
	sync_unlock(&home->mu);
	*list_out = list;
	if (list == NULL)
		return LSM_ERR_NOMEM;
	qsort(list, count, sizeof(*list), compare_names);
	*count_out = count;
	return LSM_OK;
}
