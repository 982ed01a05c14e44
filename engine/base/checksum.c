/* SPDX-License-Identifier: MIT */
#include "base/checksum.h"

#include <xxhash.h>

#include "base/coding.h"

uint64_t checksum_seeded(struct slice bytes, uint64_t seed)
{
	return XXH3_64bits_withSeed(bytes.data, bytes.len, seed);
}

uint64_t checksum_place(uint64_t creator, uint64_t number, uint64_t offset,
                        uint8_t type)
{
	uint8_t place[8 + 8 + 8 + 1];

	put_u64(place, creator);
	put_u64(place + 8, number);
	put_u64(place + 16, offset);
	place[24] = type;
	return XXH3_64bits(place, sizeof(place));
}

/*
 * XXH3 takes either a 64-bit seed or a secret of 136 bytes and more, and our
 * secret is 16 bytes long. So its first half seeds a 128-bit hash of the name,
 * and its second half seeds a 64-bit hash of that result: the wide middle keeps
 * the second step from adding collisions that matter, and names collide in the
 * result only by a choice that depends on both halves.
 */
uint64_t checksum_keyed(struct slice bytes, const uint8_t secret[16])
{
	uint8_t middle[16];
	XXH128_hash_t wide;

	wide = XXH3_128bits_withSeed(bytes.data, bytes.len, get_u64(secret));
	put_u64(middle, wide.low64);
	put_u64(middle + 8, wide.high64);
	return XXH3_64bits_withSeed(middle, sizeof(middle),
	                            get_u64(secret + 8));
}

uint64_t checksum_hash(struct slice bytes)
{
	return XXH3_64bits(bytes.data, bytes.len);
}
