/* SPDX-License-Identifier: MIT */
/*
 * home.h: what the folder of a store has once, however many of its branches are
 * open: the lock, the folders, the superblock, the pool of files, and what the
 * other branches name.
 *
 * Counted: each open branch (struct lsm) holds a reference; the last one to let
 * go closes the folder. Table metas and the pool's garbage belong to the home,
 * not to a branch, since branches share tables.
 *
 * Threads: any; the fields are constant once the home is open.
 */
#ifndef LSM_STORE_HOME_H
#define LSM_STORE_HOME_H

#include <stdatomic.h>

#include "store/pool.h"
#include "store/runtime.h"
#include "store/superblock.h"
#include "tree/manifest.h"

enum {
	STORE_PATH_MAX_BYTES = 4096,
	STORE_BRANCH_NAME_BYTES =
	    17, /* a branch's folder: 16 hex digits, NUL */
};

#define POOL_DIR "pool"
#define BRANCHES_DIR "branches"
#define LOCK_NAME "LOCK"
#define MAIN_BRANCH "main"
#define TMP_PREFIX ".tmp-"

/* Another branch of the store: known so that its files are counted. */
struct other_branch {
	struct other_branch *next;
	struct manifest_state state;
};

struct home {
	atomic_uint refs;

	/* Constant once open. */
	const struct env *env;
	struct lsm_runtime *runtime;
	bool read_only; /* change nothing on disk */
	char path[STORE_PATH_MAX_BYTES];
	struct superblock superblock;
	struct env_dir *dir;
	struct env_file *lock;
	struct table_source source; /* with the pool's folder */
	struct pool *pool;
	struct other_branch *others;

	struct worker_job gc_job;
};

/*
 * Lock the store at `path` and open its folders; nothing of its branches is read
 * yet. Errors: those of lsm_open() but for LOST.
 */
LSM_MUST_CHECK enum lsm_err home_open(struct lsm_runtime *runtime,
                                      const struct env *env, const char *path,
                                      bool read_only, struct home **home_out);
void home_ref(struct home *home);
/* The last one closes the folder; NULL is allowed. No lock is held. */
void home_unref(struct home *home);

/* The owner of table metas: a dropped one is one user less of its file. */
struct table_owner home_table_owner(struct home *home);
void home_adopt_table(void *ctx, struct file_id id); /* ctx: the home */

void home_branch_folder(uint64_t id, char name[STORE_BRANCH_NAME_BYTES]);

/* ---- gc.c ------------------------------------------------------------------ */

/* Delete what nothing names any more, in the caller's thread. */
void home_collect(struct home *home);

/* For home_open(): the pool's `wake`, whose ctx is the home, and the job. */
void home_gc_wake(void *ctx);
void home_gc_run(struct worker_job *job);

#endif
