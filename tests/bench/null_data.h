/* SPDX-License-Identifier: MIT */
/*
 * null_data.h: the bytes of a file of null_fuse, in pieces that grow as they are
 * written. What was not written is zero.
 *
 * Threads: none of this locks.
 */
#ifndef TESTS_BENCH_NULL_DATA_H
#define TESTS_BENCH_NULL_DATA_H

#include "lsm.h"

struct null_piece;

/* Zeroed: empty. */
struct null_data {
	struct null_piece **pieces; /* NULL where nothing was written */
	size_t count;
};

/* Errors: ENOMEM. */
LSM_MUST_CHECK int null_data_write(struct null_data *data, uint64_t offset,
                                   const void *from, size_t size);
void null_data_read(const struct null_data *data, uint64_t offset, void *to,
                    size_t size);
/* Forget what is past `size`. */
void null_data_cut(struct null_data *data, uint64_t size);
void null_data_release(struct null_data *data);

#endif
