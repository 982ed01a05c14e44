/* SPDX-License-Identifier: MIT */
/*
 * create.c: lay out a store in a folder. The superblock comes last and makes it
 * one: what a crash leaves before that is no store, and is made anew.
 */
#include <stdio.h>

#include "store/store.h"

/* The folders of a store that is laid out; NULL: not made yet. */
struct layout {
	struct env_dir *dir; /* borrowed */
	struct env_dir *branches;
	struct manifest_place place;
};

static enum lsm_err make_folder(struct env_dir *parent, const char *name,
                                struct env_dir **dir_out)
{
	enum lsm_err err = env_dir_make(parent, name);

	return err == LSM_OK ? env_dir_open_at(parent, name, dir_out) : err;
}

/* Everything but the superblock; nothing is synced. */
static enum lsm_err
write_layout(struct layout *l, struct manifest_state *state,
             enum lsm_err (*fill)(void *ctx, struct env_dir *pool), void *ctx)
{
	char name[STORE_BRANCH_NAME_BYTES];
	enum lsm_err err = make_folder(l->dir, POOL_DIR, &l->place.pool);

	home_branch_folder(state->branch.id, name);
	if (err == LSM_OK && fill != NULL)
		err = fill(ctx, l->place.pool);
	if (err == LSM_OK)
		err = make_folder(l->dir, BRANCHES_DIR, &l->branches);
	if (err == LSM_OK)
		err = make_folder(l->branches, name, &l->place.dir);
	if (err == LSM_OK)
		err = manifest_lay_out(&l->place, state);
	return err;
}

static enum lsm_err sync_layout(const struct layout *l, bool filled)
{
	enum lsm_err err = filled ? env_dir_sync(l->place.pool) : LSM_OK;

	if (err == LSM_OK)
		err = manifest_sync_laid_out(&l->place);
	if (err == LSM_OK)
		err = env_dir_sync(l->branches);
	/* Last: a power cut must not keep the superblock and lose a folder. */
	if (err == LSM_OK)
		err = env_dir_sync(l->dir);
	return err;
}

enum lsm_err
store_lay_out(struct env_dir *dir, const struct superblock *sb,
              struct manifest_state *state,
              enum lsm_err (*fill)(void *ctx, struct env_dir *pool), void *ctx)
{
	struct layout l = {.dir = dir, .place.family = sb->family};
	uint8_t bytes[SUPERBLOCK_BYTES];
	struct slice contents;
	bool hidden = fill != NULL; /* by a temporary name */
	enum lsm_err err = write_layout(&l, state, fill, ctx);

	superblock_encode(sb, bytes);
	contents = slice_make(bytes, sizeof(bytes));
	if (err == LSM_OK && hidden)
		err = env_write_file(dir, SUPERBLOCK_NAME, contents, true);
	if (err == LSM_OK)
		err = sync_layout(&l, hidden);
	if (err == LSM_OK && !hidden)
		err = env_publish(dir, SUPERBLOCK_NAME, contents);
	env_dir_close(l.place.dir);
	env_dir_close(l.branches);
	env_dir_close(l.place.pool);
	return err;
}

/* A folder may be made into a store when it is empty, or holds no more than an
   earlier, unfinished attempt left. */
static enum lsm_err refuse_foreign(void *ctx, const char *name)
{
	const char *path = ctx;

	if (strcmp(name, LOCK_NAME) == 0 || strcmp(name, POOL_DIR) == 0 ||
	    strcmp(name, BRANCHES_DIR) == 0 ||
	    strcmp(name, SUPERBLOCK_NAME ".tmp") == 0)
		return LSM_OK;
	if (strcmp(name, SUPERBLOCK_NAME) == 0)
		log_error("%s: there is a store already", path);
	else
		log_error("%s: the folder is not empty: it holds %s", path,
		          name);
	return LSM_ERR_EXISTS;
}

struct leftover {
	const char *path, *folder;
};

/* An unfinished attempt had an empty pool, and branches named by numbers: a
   folder of that name that holds anything else is somebody's own. */
static enum lsm_err refuse_strange(void *ctx, const char *name)
{
	const struct leftover *left = ctx;

	if (strcmp(left->folder, BRANCHES_DIR) == 0 &&
	    strspn(name, "0123456789abcdef") == STORE_BRANCH_NAME_BYTES - 1)
		return LSM_OK;
	log_error("%s: the folder is not empty: it holds %s/%s", left->path,
	          left->folder, name);
	return LSM_ERR_EXISTS;
}

static enum lsm_err check_leftover(struct env_dir *dir, const char *path,
                                   const char *folder)
{
	struct leftover left = {path, folder};
	struct env_dir *sub = NULL;
	enum lsm_err err = env_dir_open_at(dir, folder, &sub);

	if (err == LSM_OK)
		err = env_dir_list(sub, refuse_strange, &left);
	env_dir_close(sub);
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

static enum lsm_err check_place(struct env_dir *dir, const char *path)
{
	enum lsm_err err =
	    env_dir_list(dir, refuse_foreign, (void *)(uintptr_t)path);

	if (err == LSM_OK)
		err = check_leftover(dir, path, POOL_DIR);
	if (err == LSM_OK)
		err = check_leftover(dir, path, BRANCHES_DIR);
	return err;
}

/* Needs the lock: what looks left over may be a store that is being made, or that
   was made and opened by now. */
static enum lsm_err clear_leftovers(struct env_dir *dir, const char *path)
{
	enum lsm_err err = check_place(dir, path);

	if (err == LSM_OK)
		err = env_remove_tree(dir, POOL_DIR);
	if (err == LSM_OK)
		err = env_remove_tree(dir, BRANCHES_DIR);
	return err;
}

static enum lsm_err main_branch(const struct env *env,
                                struct manifest_state *state)
{
	enum lsm_err err;

	manifest_state_init(state);
	err = env_random(env, &state->branch.id, sizeof(state->branch.id));
	if (err == LSM_OK)
		err = version_create(&state->version);
	snprintf(state->branch.name, sizeof(state->branch.name), MAIN_BRANCH);
	state->branch.created_ns = env_time_ns(env);
	state->next_number = 1;
	return err;
}

static enum lsm_err fill_folder(const struct env *env, struct env_dir *dir,
                                struct slice owner_area)
{
	struct superblock sb;
	struct manifest_state state;
	enum lsm_err err = main_branch(env, &state);

	if (err == LSM_OK)
		err = superblock_init(&sb, env, owner_area);
	if (err == LSM_OK)
		err = store_lay_out(dir, &sb, &state, NULL, NULL);
	manifest_state_release(&state);
	return err;
}

/* Fill the folder, which holds no store, and see that it is found again. After
   an error it still is none. */
static enum lsm_err make_store(const struct env *env, struct env_dir *parent,
                               struct env_dir *dir, struct slice owner_area)
{
	enum lsm_err err = fill_folder(env, dir, owner_area), undone;

	/* Also when the folder was there: whoever made it may not have. */
	if (err == LSM_OK)
		err = env_dir_sync(parent);
	if (err == LSM_OK)
		return LSM_OK;
	undone = env_unlink(dir, SUPERBLOCK_NAME);
	if (undone != LSM_OK && undone != LSM_ERR_NOT_FOUND)
		log_debug("an unfinished store stays");
	return err;
}

enum lsm_err lsm_create(const struct env *env, const char *path,
                        struct slice owner_area)
{
	struct env_dir *parent = NULL, *dir = NULL;
	struct env_file *lock = NULL;
	const char *name;
	bool made = false, ours = false;
	enum lsm_err err;

	if (env == NULL)
		env = env_posix();
	if (owner_area.len > LSM_OWNER_AREA_BYTES) {
		log_error("%s: the owner's area is too big", path);
		return LSM_ERR_TOO_BIG;
	}
	err = store_open_parent(env, path, &parent, &name);
	if (err != LSM_OK)
		return err;
	err = env_dir_make(parent, name);
	made = err == LSM_OK;
	if (err == LSM_OK || err == LSM_ERR_EXISTS)
		err = env_dir_open_at(parent, name, &dir);
	if (err == LSM_ERR_NOT_FOUND) {
		log_error("%s: there is something that is no folder", path);
		err = LSM_ERR_EXISTS;
	}
	/* No lock is put where something else is. */
	if (err == LSM_OK)
		err = check_place(dir, path);
	if (err == LSM_OK)
		err = env_dir_lock(dir, LOCK_NAME, false, &lock);
	if (err == LSM_OK)
		err = clear_leftovers(dir, path);
	ours = err == LSM_OK;
	if (err == LSM_OK)
		err = make_store(env, parent, dir, owner_area);
	env_dir_close(dir);
	if (err != LSM_OK && made && ours &&
	    env_remove_tree(parent, name) != LSM_OK)
		log_debug("%s: an unfinished store stays", path);
	env_close(lock);
	env_dir_close(parent);
	return err;
}
