/* SPDX-License-Identifier: MIT */
#include "tests/support/gen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t gen_seed(uint64_t fallback)
{
	const char *text = getenv("SHALEFS_SEED");
	uint64_t seed = fallback;

	if (text != NULL && text[0] != '\0') {
		char *end;

		seed = strtoull(text, &end, 0);
		if (*end != '\0') {
			fprintf(stderr, "SHALEFS_SEED is not a number: %s\n",
			        text);
			exit(EXIT_FAILURE);
		}
	}
	fprintf(stderr, "seed %" PRIu64 "\n", seed);
	return seed;
}

static uint64_t splitmix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void gen_init(struct gen *gen, uint64_t seed)
{
	for (size_t i = 0; i < 4; i++)
		gen->state[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

uint64_t gen_u64(struct gen *gen)
{
	uint64_t *s = gen->state;
	uint64_t result = rotate(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t gen_below(struct gen *gen, uint64_t limit)
{
	/* The uneven rest at the bottom is thrown again. */
	uint64_t uneven = (UINT64_MAX - limit + 1) % limit;
	uint64_t x;

	do {
		x = gen_u64(gen);
	} while (x < uneven);
	return x % limit;
}

void gen_bytes(struct gen *gen, void *data, size_t len)
{
	uint8_t *p = data;

	while (len > 0) {
		uint64_t x = gen_u64(gen);
		size_t part = len < sizeof(x) ? len : sizeof(x);

		for (size_t i = 0; i < part; i++)
			p[i] = (uint8_t)(x >> (8 * i));
		p += part;
		len -= part;
	}
}
