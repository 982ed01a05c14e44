/* SPDX-License-Identifier: MIT */
/*
 * gen.h: random numbers that a seed repeats (xoshiro256**, seeded through
 * splitmix64). One thread at a time for each generator.
 */
#ifndef TESTS_SUPPORT_GEN_H
#define TESTS_SUPPORT_GEN_H

#include <stddef.h>
#include <stdint.h>

struct gen {
	uint64_t state[4];
};

/* The seed to use: SHALEFS_SEED, or `fallback`. Prints "seed N" on stderr. */
uint64_t gen_seed(uint64_t fallback);

void gen_init(struct gen *gen, uint64_t seed);

uint64_t gen_u64(struct gen *gen);
/* Below `limit` (at least 1), each value as likely as any other. */
uint64_t gen_below(struct gen *gen, uint64_t limit);
void gen_bytes(struct gen *gen, void *data, size_t len);

#endif
