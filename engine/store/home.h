/* SPDX-License-Identifier: MIT */
/*
 * home.h: what the folder of a store has once, however many of its branches are
 * open: the lock, the folders, the superblock, the pool of files, and the
 * branches (branches.h).
 *
 * Counted: each open branch (struct lsm) holds a reference; the last one to let
 * go closes the folder. Table metas and the pool's garbage belong to the home,
 * not to a branch, since branches share tables.
 *
 * Threads: any. Locks: home->mu for the branches; it is held for moments, and
 * comes after the locks of any branch.
 */
#ifndef LSM_STORE_HOME_H
#define LSM_STORE_HOME_H

#include <stdatomic.h>

#include "seg/segment.h"
#include "store/links.h"
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

/* A branch whose manifest cannot be read: only its folder's name is known. */
struct damaged {
	uint64_t id;
	enum lsm_err why; /* EXISTS: another has its name */
	bool deleting;    /* somebody does */
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
	struct segment_source segments;
	struct pool *pool;
	struct env_dir *branches;
	size_t range_prefix_bytes; /* of the first branch that was opened */

	struct sync_mutex mu;
	struct sync_cond changed; /* a branch came back to IDLE, or went */
	/* Guarded by mu. */
	struct links by_id, by_name, lists;
	size_t open_count;            /* of the branches */
	struct branch *newest_logged; /* of those with logs of others */
	uint64_t round;               /* of landings, and of walks at open */
	struct damaged *damaged;      /* branches that cannot be read; owned */
	size_t damaged_count;
	struct retired *retired;

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

/*
 * Credit of memtables that other branches still share when the branch that filled
 * them closes. Give it up where nothing is used of it; the rest goes when the
 * home goes. `retired` is memory for it, taken over.
 */
struct retired {
	struct credit_account *account;
	struct retired *next;
};
void home_retire(struct home *home, struct retired *retired,
                 struct credit_account *account);

/* The owner of table metas: a dropped one is one user less of its file. And an
   owner of metas that count nothing, which is told as well what tables lead to. */
struct table_owner home_table_owner(struct home *home);
struct table_owner home_learner(struct home *home);
void home_adopt_table(void *ctx, struct file_id id); /* ctx: the home */

void home_branch_folder(uint64_t id, char name[STORE_BRANCH_NAME_BYTES]);

/* ---- home_read.c ------------------------------------------------------------ */

/*
 * Read the manifest of every branch, so that every reference to a pool file is
 * known. One that cannot be read is kept as damaged, and then no file is ever
 * deleted. What an interrupted operation left is removed, unless the home is
 * read-only. *damage_out: why the first damaged one could not be read. Errors:
 * CORRUPT (no folder of branches; one that is above itself), those of env, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err home_read(struct home *home,
                                      enum lsm_err *damage_out);

/* Why the folder of a branch cannot be read; LSM_OK: it can. */
LSM_MUST_CHECK enum lsm_err home_probe_branch(struct home *home, uint64_t id);

/*
 * What was read may be in the page cache only, of a process that died: a file
 * that it does not name may be named by what is on the disk, and a name may be
 * gone after a power cut. Make it durable, before anything is deleted or
 * promised. Errors: those of env.
 */
LSM_MUST_CHECK enum lsm_err home_settle(struct home *home);

/* ---- land.c ------------------------------------------------------------------ */

/*
 * `edit`, now in force in the branch `self`, put tables in the place of the log
 * `log`: do the same in every other branch that names the log. One where that
 * fails keeps the log, and replays it when it is opened. No lock is held.
 */
struct branch;
struct edit;
void home_land(struct home *home, const struct branch *self,
               const struct edit *edit, struct file_id log);

/* Whether another branch than `self` names the log. */
bool home_shares_log(struct home *home, const struct branch *self,
                     struct file_id log);

/* The tables of an open branch of which the branch may have many: of its parent, or
   of one forked from that; with a reference, NULL where none is open. */
struct version;
struct version *home_find_version(struct home *home,
                                  const struct branch *branch);

/* Have branches that wait for the flush of another, which `self` is not, look
   whether it will come. */
void home_wake_logged(struct home *home, const struct branch *self);

/* ---- gc.c ------------------------------------------------------------------ */

/* Delete what nothing names any more, in the caller's thread. */
void home_collect(struct home *home);

/* For home_open(): the pool's `wake`, whose ctx is the home, and the job. */
void home_gc_wake(void *ctx);
void home_gc_run(struct worker_job *job);

#endif
