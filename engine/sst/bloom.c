/* SPDX-License-Identifier: MIT */
/*
 * bloom.c: a filter is 64-byte lines and one byte, the number of probes.
 *
 * The upper bits of a key's hash choose its line. The probes are 9 bits each of
 * the remixed hash, a place among the line's 512 bits.
 */
#include "sst/bloom.h"

enum {
	LINE_BYTES = 64,
	LINE_BITS = LINE_BYTES * 8,
	PROBES = 7,
	PROBE_BITS = 9,
	/* A filter is one block (format.h); past this, fewer bits a key. */
	LINES_MAX = (16 << 20) / LINE_BYTES - 1,
};

_Static_assert(1 << PROBE_BITS == LINE_BITS, "a probe reaches every bit");
_Static_assert(PROBES *PROBE_BITS <= 64, "the probes come out of one word");

static size_t line_of(uint64_t hash, size_t lines)
{
	return (size_t)(((unsigned __int128)hash * lines) >> 64);
}

/* Spread the hash anew, so that keys of one line differ in their probes. */
static uint64_t probes_of(uint64_t hash)
{
	hash ^= hash >> 32;
	hash *= UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static void line_add(uint8_t *line, uint64_t hash)
{
	uint64_t probes = probes_of(hash);

	for (int i = 0; i < PROBES; i++) {
		unsigned bit = (unsigned)(probes & (LINE_BITS - 1));

		line[bit / 8] = (uint8_t)(line[bit / 8] | 1u << bit % 8);
		probes >>= PROBE_BITS;
	}
}

enum lsm_err bloom_build(const uint64_t *hashes, size_t count, struct buf *out)
{
	const size_t bits = count * BLOOM_BITS_PER_KEY;
	const size_t start = out->len;
	enum lsm_err err;
	uint8_t *filter;
	size_t lines;

	lines = (bits + LINE_BITS - 1) / LINE_BITS;
	if (lines == 0)
		lines = 1;
	if (lines > LINES_MAX)
		lines = LINES_MAX;

	err = buf_resize(out, start + lines * LINE_BYTES + 1);
	if (err != LSM_OK)
		return err;
	filter = out->data + start;
	filter[lines * LINE_BYTES] = PROBES;
	for (size_t i = 0; i < count; i++)
		line_add(filter + line_of(hashes[i], lines) * LINE_BYTES,
		         hashes[i]);
	return LSM_OK;
}

bool bloom_may_contain(struct slice filter, uint64_t hash)
{
	uint64_t probes = probes_of(hash);
	const uint8_t *line;
	size_t lines;

	if (filter.len <= LINE_BYTES || filter.len % LINE_BYTES != 1 ||
	    filter.data[filter.len - 1] != PROBES)
		return true;
	lines = filter.len / LINE_BYTES;
	line = filter.data + line_of(hash, lines) * LINE_BYTES;
	for (int i = 0; i < PROBES; i++) {
		unsigned bit = (unsigned)(probes & (LINE_BITS - 1));

		if ((line[bit / 8] & 1u << bit % 8) == 0)
			return false;
		probes >>= PROBE_BITS;
	}
	return true;
}
