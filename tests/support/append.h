/* SPDX-License-Identifier: MIT */
/*
 * append.h: the simplest merge operator there is.
 */
#ifndef TESTS_SUPPORT_APPEND_H
#define TESTS_SUPPORT_APPEND_H

#include "base/buf.h"
#include "lsm.h"

/* A fold: operands are appended; a base that is not there counts as empty. */
enum lsm_err append_fold(void *ctx, struct slice key, bool has_base,
                         const struct slice *base, const struct slice *operands,
                         size_t count, struct buf *value);

#endif
