/* SPDX-License-Identifier: MIT */
/*
 * bloom.h: a filter that rules tables out: cache-line-blocked bloom filter, one
 * 64-byte line a key, about 1 % false positives at 10 bits a key.
 * (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters",
 * WEA 2007.)
 */
#ifndef LSM_SST_BLOOM_H
#define LSM_SST_BLOOM_H

#include "base/buf.h"

enum { BLOOM_BITS_PER_KEY = 10 };

/* Append the filter of the given checksum_hash() values. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err bloom_build(const uint64_t *hashes, size_t count,
                                        struct buf *out);

/* False: the key was not among them. Bytes that make no filter answer true. */
bool bloom_may_contain(struct slice filter, uint64_t hash);

#endif
