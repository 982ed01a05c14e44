/* SPDX-License-Identifier: MIT */
/*
 * data.h: the keys and values that the bench writes, and how a reader knows that
 * what it got is what was written.
 *
 * A value begins with the version it was written with. What follows is cut from
 * a pool of bytes of which about half compress away, at a place that its key and
 * its version choose: so any value can be checked without a copy of it.
 *
 * Threads: any, after data_prepare().
 */
#ifndef TESTS_BENCH_DATA_H
#define TESTS_BENCH_DATA_H

#include "lsm.h"

enum {
	DATA_KEY_BYTES = 16,
	DATA_VALUE_MIN_BYTES = 8,
	DATA_VALUE_MAX_BYTES = 256 << 10,
};

/* Make the pool. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err data_prepare(void);

/* A bijection on 64 bits: every number once, in no order. */
uint64_t data_scatter(uint64_t n);

/* The next of a stream of random numbers. */
uint64_t data_random(uint64_t *state);

/* DATA_KEY_BYTES for number n, as its digits. */
void data_key(uint8_t key[DATA_KEY_BYTES], uint64_t n);

/* `len` bytes (from DATA_VALUE_MIN_BYTES to DATA_VALUE_MAX_BYTES) to `out`. */
void data_value(uint8_t *out, size_t len, uint64_t n, uint64_t version);

/* Whether `value` is one that was made for n, of that length. */
bool data_value_is(struct slice value, size_t len, uint64_t n);

#endif
