/* SPDX-License-Identifier: MIT */
/*
 * checksum.h: the one place that calls XXH3. A checksum covers where bytes
 * stand as well as what they are (type, file, offset), so that a block which
 * was read from, or written to, the wrong place is caught.
 */
#ifndef LSM_BASE_CHECKSUM_H
#define LSM_BASE_CHECKSUM_H

#include "base/buf.h"

/* XXH3-64 of `bytes`, seeded. */
uint64_t checksum_seeded(struct slice bytes, uint64_t seed);

/* A seed out of where the bytes stand. */
uint64_t checksum_place(uint64_t creator, uint64_t number, uint64_t offset,
                        uint8_t type);

/* XXH3-64 of a name, keyed by the 16-byte secret of a store. */
uint64_t checksum_keyed(struct slice bytes, const uint8_t secret[16]);

/* 64-bit hash for filters and caches; may change only with the format. */
uint64_t checksum_hash(struct slice bytes);

#endif
