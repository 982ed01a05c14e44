/* SPDX-License-Identifier: MIT */
/*
 * crash_kit.h: what the crash tests share: a row of batches that a seed
 * repeats, what a store holds after each number of them, and a store so small
 * that everything happens in it. crash_check.h compares the two.
 *
 * Each batch also puts its number under a key of its own and counts itself, so
 * that a recovered store tells which prefix it claims to be; everything else in
 * it must then agree.
 *
 * What goes wrong in the kit itself ends the process.
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

#define KIT_NUMBER_KEY "number" /* behind all others */

enum { KIT_KEYS = 32 };

struct kit_model;

/* What a store holds at one moment. */
struct kit_state {
	struct buf dump; /* every entry in order, by kit_dump_entry() */
	int64_t counters[LSM_COUNTERS];
};

/* Append the two lengths (u32), the key and the value. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err kit_dump_entry(struct buf *dump, struct slice key,
                                           struct slice value);

struct kit_model *kit_model_create(uint64_t seed, size_t batches);
void kit_model_destroy(struct kit_model *model);
size_t kit_model_batches(const struct kit_model *model);
const struct kit_state *kit_model_state(const struct kit_model *model,
                                        size_t batches);
/* One of the keys that the batches change, below KIT_KEYS. */
struct slice kit_model_key(const struct kit_model *model, size_t k);

/* Make *batch, cleared first, batch `index` (from 0). Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err kit_fill(const struct kit_model *model,
                                     size_t index, struct lsm_batch *batch);

/* Fill and write batch `index`. Errors: those of lsm_write(). */
LSM_MUST_CHECK enum lsm_err kit_write(const struct kit_model *model,
                                      struct lsm *store, size_t index);

/* ---- a store so small that everything happens --------------------------- */

/* Nothing runs on a timer. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err kit_runtime(struct lsm_runtime **runtime_out);

LSM_MUST_CHECK enum lsm_err kit_create(const struct env *env, const char *path);
LSM_MUST_CHECK enum lsm_err kit_open(struct lsm_runtime *runtime,
                                     const struct env *env, const char *path,
                                     bool read_only, struct lsm **store_out);

#endif
