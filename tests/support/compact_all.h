/* SPDX-License-Identifier: MIT */
/*
 * compact_all.h: a store brought to rest, whatever is open in it.
 */
#ifndef TESTS_SUPPORT_COMPACT_ALL_H
#define TESTS_SUPPORT_COMPACT_ALL_H

#include "lsm.h"

/* lsm_compact() up to the greatest horizon by which nobody expires; a flush,
   where there is none above zero. Errors: theirs. */
LSM_MUST_CHECK enum lsm_err compact_all(struct lsm *store);

#endif
