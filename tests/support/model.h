/* SPDX-License-Identifier: MIT */
/*
 * model.h: what a store should hold: a sorted array of keys and values, too
 * simple to be wrong.
 *
 * Running out of memory ends the process: no test can go on without. One thread
 * at a time.
 */
#ifndef TESTS_SUPPORT_MODEL_H
#define TESTS_SUPPORT_MODEL_H

#include "base/buf.h"

struct model_entry {
	struct buf key, value;
};

struct model {
	struct model_entry *entries; /* ascending by key */
	size_t count, cap;
};

void model_init(struct model *model);
void model_release(struct model *model);

/* Make `to`, whatever it held, hold what `from` holds. */
void model_copy(struct model *to, const struct model *from);

void model_put(struct model *model, struct slice key, struct slice value);
void model_delete(struct model *model, struct slice key);

/* Delete the keys that begin with `prefix` and go on with at least one byte, in
   [lower, upper); `upper` empty: no bound. */
void model_delete_range(struct model *model, struct slice prefix,
                        struct slice lower, struct slice upper);

/* Fold one operand onto what is there, by the fold of the store. */
enum lsm_err model_merge(struct model *model, lsm_fold_fn fold, void *ctx,
                         struct slice key, struct slice operand);

/* False when there is none; *value_out is borrowed until the next change. */
bool model_get(const struct model *model, struct slice key,
               struct slice *value_out);

/* The index of the first key >= `key`; model->count when there is none. */
size_t model_find(const struct model *model, struct slice key);

#endif
