/* SPDX-License-Identifier: MIT */
/*
 * version_kit.h: a version over real tables in memory, and the plain array of
 * all that is in them, for the tests of tree/version.
 */
#ifndef TESTS_ENGINE_TREE_VERSION_KIT_H
#define TESTS_ENGINE_TREE_VERSION_KIT_H

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"
#include "tree/edit.h"

enum { USERS = 120, L0_TABLES = 4 };

/* What every test starts from. */
extern struct env *mem, *fault;
extern struct table_source source; /* through `fault` */
extern struct tally tally;
extern struct version *version; /* levels 0, 2, 5 and 6 are filled */
extern struct entries whole;    /* sorted */
extern uint64_t last_seq;
extern unsigned tables_opened; /* counted by a hook of `fault` */

void setup(void);
void teardown(void);

void must_be_ok(enum lsm_err err);
/* Names from 0 to USERS - 1 are in use. */
struct slice user_name(uint64_t index, char out[16]);
/* Close every open table and forget every block. */
void empty_caches(void);
/* All of the version within the bounds as one stream. */
struct iter *merged(struct slice lower, struct slice upper);

#endif
