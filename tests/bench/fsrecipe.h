/* SPDX-License-Identifier: MIT */
/*
 * fsrecipe.h: how fsbench makes, mounts, unmounts and weighs a filesystem: by a
 * program that is called with an action, the name and the folder.
 *
 *   check    exit status 0, or 77 with the reason on its output: not here
 *   make     an empty one, not mounted
 *   mount    at the folder, so that every user may use it
 *   unmount  returns when the daemon, if there is one, has ended
 *   weigh    while it is not mounted: print the bytes that it takes
 *   end      unmount and throw away, whatever state it is in
 *
 * Without a program the folder is used as it is.
 */
#ifndef TESTS_BENCH_FSRECIPE_H
#define TESTS_BENCH_FSRECIPE_H

#include "tests/bench/fsoptions.h"

enum { FSRECIPE_REASON_BYTES = 128 };

/* Errors: ENOTSUP with the reason; EIO. */
LSM_MUST_CHECK int fsrecipe_check(const struct fsoptions *options,
                                  const struct fsoptions_target *target,
                                  char reason[FSRECIPE_REASON_BYTES]);

/* One of the other actions. Errors: EIO, after it was said. */
LSM_MUST_CHECK int fsrecipe_do(const struct fsoptions *options,
                               const struct fsoptions_target *target,
                               const char *action);

/* Errors: EIO, after it was said. */
LSM_MUST_CHECK int fsrecipe_weigh(const struct fsoptions *options,
                                  const struct fsoptions_target *target,
                                  uint64_t *bytes_out);

#endif
