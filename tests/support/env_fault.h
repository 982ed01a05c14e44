/* SPDX-License-Identifier: MIT */
/*
 * env_fault.h: an env around any other that counts its operations, fails the
 * one that a test asks for, and shows each to a hook before it happens. From
 * the hook a test takes env_mem_after_crash() of the inner env, or has a sync
 * silently left out to show that it was needed.
 *
 * Counted, failed and shown is each function of the table that returns an
 * error, closing a file included: a close that fails closes all the same. A
 * failed operation never reaches the inner env and is not logged.
 *
 * Threads: operations from any; arm and set_hook while no other thread is in
 * the env. The hook runs in the thread of the operation, with no lock held.
 */
#ifndef TESTS_SUPPORT_ENV_FAULT_H
#define TESTS_SUPPORT_ENV_FAULT_H

#include "io/env.h"

enum fault_op {
	FAULT_DIR_OPEN,
	FAULT_DIR_MAKE,
	FAULT_DIR_SYNC,
	FAULT_DIR_LIST,
	FAULT_DIR_SPACE,
	FAULT_DIR_LOCK,
	FAULT_UNLINK,
	FAULT_RMDIR,
	FAULT_RENAME,
	FAULT_LINK,
	FAULT_REFLINK,
	FAULT_OPEN,   /* of a file that exists */
	FAULT_CREATE, /* of one that must not */
	FAULT_CLOSE,
	FAULT_SIZE,
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_PREALLOCATE,
	FAULT_MAP,
	FAULT_STORE, /* through a mapping */
	FAULT_SEAL,
	FAULT_RANDOM,
	FAULT_OPS, /* how many there are */
};

/* The strings are borrowed for the call. */
struct fault_call {
	enum fault_op op;
	uint64_t number;       /* from 1, as env_fault_arm() counts */
	const char *folder;    /* last component of its path; "/" of the root */
	const char *name;      /* in that folder; "" when it is about the folder
	                          itself; of a rename or link the new name */
	const char *from_name; /* rename, link, reflink: the old name, or "" */
};

/* Zeroed: go ahead. */
struct fault_answer {
	enum lsm_err err; /* fail with this */
	bool skip; /* say LSM_OK and do nothing: DIR_SYNC and SYNC only */
};

typedef struct fault_answer (*fault_hook_fn)(void *ctx,
                                             const struct fault_call *call);

/* For messages: "rename". */
const char *fault_op_name(enum fault_op op);

/* `inner` is borrowed until destroy. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err env_fault_create(const struct env *inner,
                                             struct env **env_out);
/* Every folder and file that was opened through it is closed. */
void env_fault_destroy(struct env *env);

/*
 * Count from 0 again, and fail operation `nth`, counted from 1, with `err`; all
 * later ones too when `and_later`. `nth` 0 fails none.
 */
void env_fault_arm(struct env *env, uint64_t nth, enum lsm_err err,
                   bool and_later);

/* Operations since the last env_fault_arm(), or since create. */
uint64_t env_fault_count(const struct env *env);

/* NULL for no hook. It comes before what env_fault_arm() asks for. */
void env_fault_set_hook(struct env *env, fault_hook_fn hook, void *ctx);

#endif
