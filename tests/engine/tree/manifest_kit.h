/* SPDX-License-Identifier: MIT */
/*
 * manifest_kit.h: a branch in memory behind a fault env, edits to grow it by,
 * and what its state is in bytes, for the tests of tree/manifest.
 */
#ifndef TESTS_ENGINE_TREE_MANIFEST_KIT_H
#define TESTS_ENGINE_TREE_MANIFEST_KIT_H

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"
#include "tree/manifest.h"

enum { BRANCH_ID = 0xb0 };

/* What every test starts from: empty folders, synced, and a state to publish.
 */
struct branch {
	struct env *mem;
	struct env *fault; /* around it; place is through it */
	struct manifest_place place;
	struct manifest_state state;
	struct manifest *manifest;
	struct tally tally;
	uint64_t next_number; /* for tables and lists */
	struct gen gen;
};

void branch_setup(struct branch *branch, uint64_t seed);
void branch_teardown(struct branch *branch);

/* Errors are those of the call; on success the state follows. */
enum lsm_err branch_publish(struct branch *branch);
enum lsm_err branch_append(struct branch *branch, const struct edit *edit);
/* A new list, the pool synced, and a manifest on top of it. */
enum lsm_err branch_relist(struct branch *branch);
/* After an error: publish anew and remove lists that nothing names. */
void branch_sweep(struct branch *branch);

/* A random edit that fits the state: tables, logs, numbers, counters. */
void draw_edit(struct branch *branch, struct edit *edit);
/* Draw one and append it. */
void branch_grow(struct branch *branch);

/* Append one edit that adds `count` tables. */
void branch_add_tables(struct branch *branch, unsigned count);

/* All that a state says, the numbers of list and manifest left out. */
void fingerprint(const struct manifest_state *state, struct buf *out);

/* Recover from `env` and give the fingerprint; empty after an error. */
enum lsm_err recover_bytes(struct env *env, struct buf *out);
/* Log lines since the last call. */
unsigned take_log_lines(void);

void read_bytes(struct env *env, const char *folder, const char *name,
                struct buf *out);
/* Whether there is such a file. */
bool has_file(struct env *env, const char *folder, const char *name);
/* Make or replace it. */
void write_bytes(struct env *env, const char *folder, const char *name,
                 struct slice bytes);
/* The names in the branch's folder that begin with "MANIFEST-". */
unsigned count_manifests(struct env *env);

#endif
