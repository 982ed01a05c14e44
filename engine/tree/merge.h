/* SPDX-License-Identifier: MIT */
/*
 * merge.h: one ordered stream out of many iterators: a binary heap on the
 * internal key. Internal keys are unique over all sources.
 *
 * It goes both ways. A turn moves every source to the other side of the current
 * entry, which costs as much as a seek.
 */
#ifndef LSM_TREE_MERGE_H
#define LSM_TREE_MERGE_H

#include "base/iter.h"
#include "base/key.h"

/* A growing list of iterators that it owns. */
struct iter_list {
	struct iter **iters;
	size_t count, cap;
};

void iter_list_init(struct iter_list *list);
void iter_list_release(struct iter_list *list); /* destroys what is in it */
/* Takes `it` over, also on failure (then it is destroyed). Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err iter_list_push(struct iter_list *list,
                                           struct iter *it);

/* Takes the iterators out of `list`, which is empty afterwards; on error they
   stay there. The first error of any source ends the stream. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err merge_iter_create(struct iter_list *list,
                                              struct iter **iter_out);

#endif
