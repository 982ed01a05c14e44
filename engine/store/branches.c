/* SPDX-License-Identifier: MIT */
#include "store/branches.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"

#define ENTRY_OF(link, type, member)                                           \
	((type *)(void *)((char *)(link)-offsetof(type, member)))

static uint64_t hash_id(uint64_t id)
{
	return checksum_place(id, 0, 0, 0);
}

static uint64_t hash_file(struct file_id id)
{
	return checksum_place(id.creator, id.number, 0, 0);
}

static uint64_t hash_name(const char *name)
{
	return checksum_hash(slice_str(name));
}

/* ---- base lists -------------------------------------------------------------- */

static struct base_list *find_list(struct home *home, struct file_id id)
{
	sync_assert_held(&home->mu);
	for (struct link *l = links_at(&home->lists, hash_file(id)); l != NULL;
	     l = l->next) {
		struct base_list *list = ENTRY_OF(l, struct base_list, link);

		if (file_id_equal(list->id, id))
			return list;
	}
	return NULL;
}

static void free_list(struct base_list *list)
{
	if (list == NULL)
		return;
	free(list->tables);
	free(list->removed_by);
	free(list);
}

/* Read it, or copy what `listed` knows of it. */
static enum lsm_err load_list(struct home *home, struct file_id id,
                              const struct manifest_state *listed,
                              struct base_list **list_out)
{
	struct manifest_place place = {.pool = home->source.pool,
	                               .family = home->superblock.family,
	                               .learner = home_learner(home)};
	struct base_list *list = calloc(1, sizeof(*list));
	enum lsm_err err = LSM_OK;

	*list_out = NULL;
	if (list == NULL)
		return LSM_ERR_NOMEM;
	list->id = id;
	if (listed != NULL && !listed->treeless &&
	    file_id_equal(listed->list, id)) {
		list->tables = manifest_state_listed(listed);
		list->count = listed->list_table_count;
		if (list->tables == NULL)
			err = LSM_ERR_NOMEM;
	} else {
		err =
		    manifest_list_read(&place, id, &list->tables, &list->count);
	}
	if (err == LSM_OK) {
		list->removed_by =
		    calloc(list->count + 1, sizeof(*list->removed_by));
		if (list->removed_by == NULL)
			err = LSM_ERR_NOMEM;
	}
	if (err != LSM_OK)
		free_list(list);
	else
		*list_out = list;
	return err;
}

static void count_file(struct home *home, enum file_kind kind,
                       struct file_id id)
{
	/* Without memory for the count nobody knows what is named. */
	if (pool_ref(home->pool, kind, id) != LSM_OK)
		pool_keep_all(home->pool);
}

/* One more reference to the list; NULL for number 0. */
static enum lsm_err get_list(struct home *home, struct file_id id,
                             const struct manifest_state *listed,
                             struct base_list **list_out)
{
	struct base_list *list, *fresh = NULL;
	enum lsm_err err = LSM_OK;

	*list_out = NULL;
	if (id.number == 0)
		return LSM_OK;
	sync_lock(&home->mu);
	list = find_list(home, id);
	if (list == NULL) {
		sync_unlock(&home->mu);
		err = load_list(home, id, listed, &fresh);
		sync_lock(&home->mu);
		list = find_list(home, id); /* another may have been faster */
	}
	if (list == NULL && err == LSM_OK) {
		list = fresh;
		fresh = NULL;
		count_file(home, FILE_KIND_LIST, id);
		links_add(&home->lists, &list->link, hash_file(id));
	}
	if (list != NULL) {
		list->refs++;
		err = LSM_OK;
	}
	sync_unlock(&home->mu);
	free_list(fresh);
	*list_out = list;
	return err;
}

/* ---- file sets ---------------------------------------------------------------- */

static void set_init(struct file_set *set)
{
	memset(set, 0, sizeof(*set));
}

/* Needs home->mu, unless the set has no list. */
static void set_release(struct home *home, struct file_set *set)
{
	struct base_list *list = set->list;

	assert(!set->pinned);
	if (list != NULL && --list->refs == 0) {
		links_remove(&home->lists, &list->link);
		pool_unref(home->pool, FILE_KIND_LIST, list->id);
		free_list(list);
	}
	free(set->added);
	free(set->removed);
	set_init(set);
}

static enum lsm_err set_make(struct home *home, struct manifest_files *files,
                             const struct manifest_state *listed,
                             struct file_set *set)
{
	struct base_list *list;
	size_t added;
	enum lsm_err err;

	set_init(set);
	err = get_list(home, files->list, listed, &list);
	if (err != LSM_OK)
		return err;
	set->list = list;
	set->removed = calloc(files->change_count + 1, sizeof(*set->removed));
	if (set->removed == NULL)
		goto nomem;
	manifest_files_resolve(files, list != NULL ? list->tables : NULL,
	                       list != NULL ? list->count : 0, &added,
	                       set->removed, &set->removed_count);
	set->added = calloc(added + 1, sizeof(*set->added));
	if (set->added == NULL)
		goto nomem;
	for (size_t i = 0; i < added; i++)
		set->added[i] = files->changes[i].id;
	set->added_count = added;
	return LSM_OK;
nomem:
	sync_lock(&home->mu);
	set_release(home, set);
	sync_unlock(&home->mu);
	return LSM_ERR_NOMEM;
}

/* Whether the list's table `i` is counted for its users. */
static bool is_had(const struct base_list *list, size_t i)
{
	return list->removed_by[i] < list->users;
}

/*
 * One user of the list more, or one less, who has removed the tables at
 * `removed`. While nobody removed any, only the first and the last user matter.
 */
static void use_list(struct home *home, const struct file_set *set, bool more)
{
	struct base_list *list = set->list;
	size_t old_users = list->users, at = 0;
	size_t users = more ? old_users + 1 : old_users - 1;

	list->users = users;
	if (old_users > 0 && users > 0 && set->removed_count == 0 &&
	    list->removed_total == 0)
		return;
	for (size_t i = 0; i < list->count; i++) {
		bool had = list->removed_by[i] < old_users;

		if (at < set->removed_count && set->removed[at] == i) {
			list->removed_by[i] += more ? 1U : -1U;
			at++;
		}
		if (!had && is_had(list, i))
			count_file(home, FILE_KIND_TABLE, list->tables[i]);
		else if (had && !is_had(list, i))
			pool_unref(home->pool, FILE_KIND_TABLE,
			           list->tables[i]);
	}
	if (more)
		list->removed_total += set->removed_count;
	else
		list->removed_total -= set->removed_count;
}

static void set_pin(struct home *home, struct file_set *set)
{
	sync_assert_held(&home->mu);
	for (size_t i = 0; i < set->added_count; i++)
		count_file(home, FILE_KIND_TABLE, set->added[i]);
	if (set->list != NULL)
		use_list(home, set, true);
	set->pinned = true;
}

static void set_unpin(struct home *home, struct file_set *set)
{
	sync_assert_held(&home->mu);
	if (!set->pinned)
		return;
	for (size_t i = 0; i < set->added_count; i++)
		pool_unref(home->pool, FILE_KIND_TABLE, set->added[i]);
	if (set->list != NULL)
		use_list(home, set, false);
	set->pinned = false;
}

/* New pins come before old ones go. Needs home->mu. */
static void set_replace(struct home *home, struct file_set *set,
                        struct file_set *fresh)
{
	set_pin(home, fresh);
	set_unpin(home, set);
	set_release(home, set);
	*set = *fresh;
	set_init(fresh);
}

enum lsm_err branch_pin(struct home *home, struct branch *branch,
                        struct manifest_files *now, struct manifest_files *base,
                        const struct manifest_state *listed)
{
	struct file_set now_set, base_set;
	enum lsm_err err = LSM_OK;

	set_init(&now_set);
	set_init(&base_set);
	if (now != NULL)
		err = set_make(home, now, listed, &now_set);
	if (err == LSM_OK && base != NULL)
		err = set_make(home, base, listed, &base_set);
	sync_lock(&home->mu);
	if (err == LSM_OK && now != NULL)
		set_replace(home, &branch->now, &now_set);
	if (err == LSM_OK && base != NULL)
		set_replace(home, &branch->base, &base_set);
	set_release(home, &now_set);
	set_release(home, &base_set);
	sync_unlock(&home->mu);
	return err;
}

enum lsm_err branch_pin_state(struct home *home, struct branch *branch,
                              const struct manifest_state *state)
{
	struct manifest_files now, base;
	enum lsm_err err = manifest_files_of_state(state, &now, &base);

	if (err == LSM_OK)
		err = branch_pin(home, branch, &now, &base, state);
	if (err == LSM_OK)
		err = branch_set_logs(home, branch, now.logs, now.log_count);
	manifest_files_release(&now);
	manifest_files_release(&base);
	return err;
}

enum lsm_err branch_pin_base(struct home *home, struct branch *branch,
                             struct slice base)
{
	struct manifest_files files;
	enum lsm_err err;

	if (base.len == 0)
		return LSM_OK;
	err = manifest_files_of_base(base, &files);
	if (err == LSM_OK)
		err = branch_pin(home, branch, NULL, &files, NULL);
	manifest_files_release(&files);
	return err;
}

void branch_unpin_now(struct home *home, struct branch *branch)
{
	sync_lock(&home->mu);
	set_unpin(home, &branch->now);
	set_release(home, &branch->now);
	sync_unlock(&home->mu);
}

/* ---- logs ---------------------------------------------------------------------- */

/* Keep it in the list of those that have logs, or out of it. */
static void list_by_logs(struct home *home, struct branch *branch, bool before)
{
	bool after = branch->log_count > 0;

	if (after && !before) {
		branch->older = home->newest_logged;
		branch->newer = NULL;
		if (home->newest_logged != NULL)
			home->newest_logged->newer = branch;
		home->newest_logged = branch;
	} else if (before && !after) {
		if (branch->newer != NULL)
			branch->newer->older = branch->older;
		else
			home->newest_logged = branch->older;
		if (branch->older != NULL)
			branch->older->newer = branch->newer;
	}
}

enum lsm_err branch_set_logs(struct home *home, struct branch *branch,
                             const struct file_id *logs, size_t count)
{
	struct file_id *copy = calloc(count + 1, sizeof(*copy)), *old;
	size_t old_count;

	if (copy == NULL)
		return LSM_ERR_NOMEM;
	sync_lock(&home->mu);
	for (size_t i = 0; i < count; i++) {
		copy[i] = logs[i];
		count_file(home, FILE_KIND_LOG, logs[i]);
	}
	old = branch->logs;
	old_count = branch->log_count;
	branch->logs = copy;
	branch->log_count = count;
	list_by_logs(home, branch, old_count > 0);
	for (size_t i = 0; i < old_count; i++)
		pool_unref(home->pool, FILE_KIND_LOG, old[i]);
	sync_unlock(&home->mu);
	free(old);
	return LSM_OK;
}

void branch_drop_log(struct home *home, struct branch *branch,
                     struct file_id id)
{
	size_t at = 0;

	sync_lock(&home->mu);
	while (at < branch->log_count && !file_id_equal(branch->logs[at], id))
		at++;
	if (at < branch->log_count) {
		branch->log_count--;
		memmove(branch->logs + at, branch->logs + at + 1,
		        (branch->log_count - at) * sizeof(*branch->logs));
		list_by_logs(home, branch, true);
		pool_unref(home->pool, FILE_KIND_LOG, id);
	}
	sync_unlock(&home->mu);
}

/* ---- the registry ----------------------------------------------------------- */

enum lsm_err branches_init(struct home *home)
{
	enum lsm_err err;

	sync_mutex_init(&home->mu, SYNC_RANK_HOME);
	sync_cond_init(&home->changed);
	err = links_init(&home->by_id);
	if (err == LSM_OK)
		err = links_init(&home->by_name);
	if (err == LSM_OK)
		err = links_init(&home->lists);
	return err;
}

static void free_branch(struct branch *branch)
{
	free(branch->now.added);
	free(branch->now.removed);
	free(branch->base.added);
	free(branch->base.removed);
	free(branch->logs);
	free(branch->name);
	free(branch);
}

void branches_release(struct home *home)
{
	for (size_t i = 0; i < home->by_id.slot_count; i++) {
		for (struct link *l = home->by_id.slots[i], *next; l != NULL;
		     l = next) {
			next = l->next;
			free_branch(ENTRY_OF(l, struct branch, by_id));
		}
	}
	for (size_t i = 0; i < home->lists.slot_count; i++) {
		for (struct link *l = home->lists.slots[i], *next; l != NULL;
		     l = next) {
			next = l->next;
			free_list(ENTRY_OF(l, struct base_list, link));
		}
	}
	links_release(&home->by_id);
	links_release(&home->by_name);
	links_release(&home->lists);
	sync_cond_destroy(&home->changed);
	sync_mutex_destroy(&home->mu);
}

enum lsm_err branch_create(const struct branch_identity *identity,
                           struct branch **branch_out)
{
	struct branch *branch = calloc(1, sizeof(*branch));
	size_t len = strlen(identity->name);

	*branch_out = NULL;
	if (branch == NULL)
		return LSM_ERR_NOMEM;
	branch->name = malloc(len + 1);
	if (branch->name == NULL) {
		free(branch);
		return LSM_ERR_NOMEM;
	}
	memcpy(branch->name, identity->name, len + 1);
	branch->id = identity->id;
	branch->parent = identity->parent;
	branch->forked_at = identity->forked_at;
	branch->created_ns = identity->created_ns;
	branch->read_only = identity->read_only;
	*branch_out = branch;
	return LSM_OK;
}

void branch_destroy(struct branch *branch)
{
	if (branch != NULL)
		free_branch(branch);
}

struct branch *branch_find(struct home *home, const char *name)
{
	uint64_t hash = hash_name(name);

	sync_assert_held(&home->mu);
	for (struct link *l = links_at(&home->by_name, hash); l != NULL;
	     l = l->next) {
		struct branch *b = ENTRY_OF(l, struct branch, by_name);

		if (l->hash == hash && strcmp(b->name, name) == 0)
			return b;
	}
	return NULL;
}

struct branch *branch_find_id(struct home *home, uint64_t id)
{
	sync_assert_held(&home->mu);
	for (struct link *l = links_at(&home->by_id, hash_id(id)); l != NULL;
	     l = l->next) {
		struct branch *b = ENTRY_OF(l, struct branch, by_id);

		if (b->id == id)
			return b;
	}
	return NULL;
}

enum lsm_err branch_add(struct home *home, struct branch *branch)
{
	sync_assert_held(&home->mu);
	if (branch_find(home, branch->name) != NULL ||
	    branch_find_id(home, branch->id) != NULL)
		return LSM_ERR_EXISTS;
	links_add(&home->by_id, &branch->by_id, hash_id(branch->id));
	links_add(&home->by_name, &branch->by_name, hash_name(branch->name));
	return LSM_OK;
}

void branch_remove(struct home *home, struct branch *branch)
{
	struct branch *parent;

	sync_lock(&home->mu);
	assert(branch->lsm == NULL && branch->children == 0);
	links_remove(&home->by_id, &branch->by_id);
	links_remove(&home->by_name, &branch->by_name);
	parent = branch_find_id(home, branch->parent);
	if (parent != NULL)
		parent->children--;
	for (size_t i = 0; i < branch->log_count; i++)
		pool_unref(home->pool, FILE_KIND_LOG, branch->logs[i]);
	if (branch->log_count > 0) {
		branch->log_count = 0;
		list_by_logs(home, branch, true);
	}
	set_unpin(home, &branch->now);
	set_release(home, &branch->now);
	set_unpin(home, &branch->base);
	set_release(home, &branch->base);
	sync_broadcast(&home->changed);
	sync_unlock(&home->mu);
	free_branch(branch);
}

void branch_enter(struct home *home, struct branch *branch,
                  enum branch_state state)
{
	sync_assert_held(&home->mu);
	while (branch->state != BRANCH_IDLE)
		sync_wait(&home->changed, &home->mu);
	branch->state = state;
}

enum lsm_err branch_claim(struct home *home, const char *name,
                          enum branch_state state, struct branch **branch_out)
{
	struct branch *branch;

	sync_lock(&home->mu);
	/* Looked for again after each wait: it may be gone. */
	while ((branch = branch_find(home, name)) != NULL &&
	       branch->state != BRANCH_IDLE)
		sync_wait(&home->changed, &home->mu);
	if (branch != NULL)
		branch->state = state;
	sync_unlock(&home->mu);
	*branch_out = branch;
	return branch != NULL ? LSM_OK : LSM_ERR_NOT_FOUND;
}

void branch_leave(struct home *home, struct branch *branch)
{
	sync_lock(&home->mu);
	assert(branch->state != BRANCH_IDLE);
	branch->state = BRANCH_IDLE;
	sync_broadcast(&home->changed);
	sync_unlock(&home->mu);
}
