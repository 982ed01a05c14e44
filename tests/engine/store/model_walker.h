/* SPDX-License-Identifier: MIT */
/*
 * model_walker.h: an iterator that stays open while its store changes, and the
 * sorted array of what it sees, for the model test.
 */
#ifndef TESTS_ENGINE_STORE_MODEL_WALKER_H
#define TESTS_ENGINE_STORE_MODEL_WALKER_H

#include "tests/engine/store/store_kit.h"
#include "tests/support/gen.h"
#include "tests/support/model.h"

/* Zeroed: closed. The bounds are set by who opens it. */
struct walker {
	struct lsm_iter *it;
	struct model model;
	struct buf lower, upper;
	uint64_t seq;
	size_t at; /* of the model, where it stands; or nowhere */
};

void walker_open(struct walker *walker, struct lsm *store,
                 const struct lsm_snapshot *snap, const struct model *model,
                 uint64_t seq);
void walker_close(struct walker *walker);
void walker_release(struct walker *walker); /* closed */

/* Make one random move; a seek goes to `target`. */
void walker_move(struct walker *walker, struct gen *gen, struct slice target);
/* It stands where it should, on what it should. */
void walker_check(const struct walker *walker);

#endif
