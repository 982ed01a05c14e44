/* SPDX-License-Identifier: MIT */
/*
 * store_kit.h: a store in memory, with tiny limits, and what tests of it share:
 * faults, crashes, damage, the log's lines, and short ways to write and read.
 *
 * What goes wrong in a helper fails the test; so call them from the test's own
 * thread, unless told otherwise.
 */
#ifndef TESTS_ENGINE_STORE_STORE_KIT_H
#define TESTS_ENGINE_STORE_STORE_KIT_H

#include <check.h>
#include <stdatomic.h>

#include "base/log.h"
#include "io/env.h"
#include "tests/support/env_fault.h"

#define KIT_PATH "/st"
#define KIT_POOL KIT_PATH "/pool"
#define ASSERT_OK(call) ck_assert_int_eq((call), LSM_OK)
#define ASSERT_ERR(call, wanted) ck_assert_int_eq((call), LSM_ERR_##wanted)

enum {
	KIT_CREDIT_BYTES = 256 << 10,
	KIT_MEMTABLE_BYTES = 64 << 10,
	KIT_VALUE_BYTES = 100,
	KIT_WAIT_MS = 20000, /* a bound against hangs, not a gate on time */
	KIT_NAME_BYTES = 128,
	KIT_NAMES = 4096,
	KIT_LINES = 64,
};

/* Fails operations that match. All atomics: set while the store works. */
struct kit_fault {
	atomic_int op;    /* enum fault_op; FAULT_OPS: any; -1: none */
	const char *name; /* part of the name; set before `op` */
	enum lsm_err err; /* set before `op` */
	atomic_int skip;  /* so many that match pass first */
	atomic_int times; /* so many fail; negative: all */
	atomic_int met;   /* failed so far */
	atomic_bool hold; /* those that fail do so once this is cleared */
};

struct kit {
	struct env *mem;
	struct env *env; /* the fault env around it, which the store uses */
	struct kit_fault fault;
	struct lsm_runtime_options runtime_options;
	struct lsm_runtime *runtime;
	struct lsm_options options;
	struct lsm *store;
};

/* What random work is bounded by. */
struct kit_limits {
	const char *name;
	int64_t credit_bytes;
	uint32_t period_ms, sync_period_ms;
	uint64_t memtable_bytes, table_bytes, level_base_bytes;
	uint32_t block_bytes, l0_trigger, segment_min_bytes;
	size_t range_prefix_bytes;
};

/* An env and the options: background work only where it is triggered. */
void kit_init(struct kit *kit);
/* Before the store is opened. */
void kit_set_limits(struct kit *kit, const struct kit_limits *limits);
/* Closes the store, should it be open. */
void kit_release(struct kit *kit);

/* A runtime, and the store in it; kit_create() makes the store first. */
void kit_create(struct kit *kit);
void kit_open(struct kit *kit);
enum lsm_err kit_try_open(struct kit *kit);
/* Close both; with the error of lsm_close(). */
enum lsm_err kit_try_close(struct kit *kit);
void kit_close(struct kit *kit);
void kit_reopen(struct kit *kit);

/* Cut the power, open nothing. keep_per_256 256 is the death of the process. */
void kit_crash(struct kit *kit, unsigned keep_per_256, uint64_t seed);
/* The same where the test has opened more than kit->store: `close` closes it. */
void kit_crash_with(struct kit *kit, unsigned keep_per_256, uint64_t seed,
                    void (*close)(void));

/* From now on operations `op` on names with `name` in them fail. */
void kit_fail(struct kit *kit, enum fault_op op, const char *name,
              enum lsm_err err, int times);
void kit_heal(struct kit *kit);
/* Wait until so many have failed. */
void kit_wait_met(struct kit *kit, int count);

/* ---- writing and reading ----------------------------------------------- */

/* One change in one batch. From any thread. */
enum lsm_err kit_try_put(struct lsm *store, const char *key, const char *value);
void kit_put(struct lsm *store, const char *key, const char *value);
void kit_merge(struct lsm *store, const char *key, const char *operand);
void kit_delete(struct lsm *store, const char *key);

/* `value` NULL: the key is not there. */
void kit_expect_at(struct lsm *store, const struct lsm_snapshot *snap,
                   const char *key, const char *value);
void kit_expect(struct lsm *store, const char *key, const char *value);

/* Keys PREFIX000000 and on, values of KIT_VALUE_BYTES that name key and salt.
 */
void kit_fill(struct lsm *store, const char *prefix, unsigned count,
              const char *salt);
void kit_expect_filled(struct lsm *store, const char *prefix, unsigned count,
                       const char *salt);

/* How many keys an iterator meets from `lower` to `upper` ("": no bound). */
size_t kit_count(struct lsm *store, const char *lower, const char *upper);

/* Wait until the condition holds; it fails the test after KIT_WAIT_MS. */
#define KIT_WAIT_UNTIL(condition)                                              \
	do {                                                                   \
		uint64_t until_ = kit_deadline();                              \
		while (!(condition) && !kit_pause(until_))                     \
			;                                                      \
		ck_assert(condition);                                          \
	} while (0)
uint64_t kit_deadline(void);
/* A moment's rest; true once the deadline is over. */
bool kit_pause(uint64_t deadline_ns);

/* ---- branches ------------------------------------------------------------- */

struct lsm *kit_branch(const struct kit *kit, const char *name); /* opened */
void kit_fork(struct lsm *store, const char *name); /* a writable one */
size_t kit_branch_count(const struct kit *kit);

/* How many faults lsm_verify() finds; each is printed. */
uint64_t kit_faults(struct lsm *store);

/* ---- files --------------------------------------------------------------- */

struct kit_names {
	char name[KIT_NAMES][KIT_NAME_BYTES];
	size_t count;
};

/* The names in a folder that contain `part`. */
void kit_list(const struct env *env, const char *folder, const char *part,
              struct kit_names *names);
size_t kit_files(const struct env *env, const char *folder, const char *part);

void kit_read_file(const struct env *env, const char *folder, const char *name,
                   struct buf *out);
/* In the place of what is there. */
void kit_write_file(const struct env *env, const char *folder, const char *name,
                    struct slice bytes);
void kit_remove_file(const struct env *env, const char *folder,
                     const char *name);
/* Invert a byte. */
void kit_flip(const struct env *env, const char *folder, const char *name,
              size_t offset);

/* branches/<id> of the first branch, and the manifest in force there. */
void kit_branch_folder(const struct env *env, const char *store_path,
                       char out[KIT_NAME_BYTES]);
void kit_manifest(const struct env *env, const char *store_path,
                  char folder[KIT_NAME_BYTES], char name[KIT_NAME_BYTES]);

/* Something that every change of a name or a byte of the store changes. */
uint64_t kit_digest(const struct env *env, const char *store_path);

/* ---- the log ---------------------------------------------------------------
 */

/* Begin to collect lines; they no longer go to stderr. */
void kit_log_begin(void);
/* Back to stderr. Collected lines stay. */
void kit_log_end(void);
size_t kit_log_errors(void);
/* Whether a line of at least warning level holds both. */
bool kit_log_has(const char *part, const char *other_part);

/* Run the suite; main() returns what this does. */
int kit_run(Suite *suite);

#endif
