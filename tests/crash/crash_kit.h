/* SPDX-License-Identifier: MIT */
/*
 * crash_kit.h: what the crash tests share: a row of batches that a seed
 * repeats, what a store holds after each number of them, and the check that a
 * recovered store is one of those states and owns no stray file.
 *
 * Each batch also puts its number under a key of its own and counts itself, so
 * that a recovered store tells which prefix it claims to be; everything else in
 * it must then agree.
 *
 * The checks return false with a sentence in `why`, and never assert: they run
 * where a failure is asked for, too. What goes wrong in the kit itself ends the
 * process.
 */
#ifndef TESTS_CRASH_CRASH_KIT_H
#define TESTS_CRASH_CRASH_KIT_H

#include "io/env.h"

enum { KIT_WHY_BYTES = 512 };

struct kit_why {
	char text[KIT_WHY_BYTES];
};

/* Say why, and return false. */
bool kit_fail(struct kit_why *why, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A check that must hold for the test itself to mean anything. */
#define kit_must(condition)                                                    \
	kit_must_hold((condition), #condition, __FILE__, __LINE__)
void kit_must_hold(bool holds, const char *text, const char *file, int line);

/* Whether SHALEFS_FULL asks for everything instead of a sample. */
bool kit_full(void);

/* Keep log lines from the terminal: failures are what is tested here. They are
   shown when SHALEFS_LOG is set. */
void kit_quiet(void);

/* ---- the batches ------------------------------------------------------- */

struct kit_model;

struct kit_model *kit_model_create(uint64_t seed, size_t batches);
void kit_model_destroy(struct kit_model *model);
size_t kit_model_batches(const struct kit_model *model);

/* Make *batch, cleared first, batch `index` (from 0). Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err kit_fill(const struct kit_model *model,
                                     size_t index, struct lsm_batch *batch);

/* Fill and write batch `index`. Errors: those of lsm_write(). */
LSM_MUST_CHECK enum lsm_err kit_write(const struct kit_model *model,
                                      struct lsm *store, size_t index);

/* ---- a store so small that everything happens --------------------------- */

/* Nothing runs on a timer. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err kit_runtime(struct lsm_runtime **runtime_out);

LSM_MUST_CHECK enum lsm_err kit_create(const struct env *env,
                                       const char *path);
LSM_MUST_CHECK enum lsm_err kit_open(struct lsm_runtime *runtime,
                                     const struct env *env, const char *path,
                                     bool read_only, struct lsm **store_out);

/* ---- the checks --------------------------------------------------------- */

/* How many batches a store may hold. */
struct kit_bounds {
	size_t least, most;
};

/* Whether the open store is a prefix within the bounds; *prefix_out (NULL
   allowed) says which. */
bool kit_compare(struct lsm *store, const struct kit_model *model,
                 struct kit_bounds bounds, size_t *prefix_out,
                 struct kit_why *why);

/* Whether the pool of the closed store holds what its manifest names and
   nothing else, and its branch no file but CURRENT and that manifest. */
bool kit_no_leftovers(const struct env *env, const char *path,
                      struct kit_why *why);

/*
 * Open, compare, close, look for leftovers; when `go_on`, the next batch is
 * written in between, and the store is opened and compared once more.
 */
bool kit_check_store(const struct env *env, const char *path,
                     const struct kit_model *model, struct kit_bounds bounds,
                     bool go_on, size_t *prefix_out, struct kit_why *why);

bool kit_folder_exists(const struct env *env, const char *path);

#endif
