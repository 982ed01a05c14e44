/* SPDX-License-Identifier: MIT */
#include "tests/bench/histogram.h"

/* Values below 64 have a bucket each; above, the top 7 bits choose. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned shift;

	if (ns < UINT64_C(1) << HISTOGRAM_SUB_BITS)
		return (unsigned)ns;
	shift = 63 - (unsigned)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	return (shift << HISTOGRAM_SUB_BITS) + (unsigned)(ns >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	const unsigned sub = 1u << HISTOGRAM_SUB_BITS;
	unsigned shift;

	if (bucket < 2 * sub)
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	return ((uint64_t)(bucket - (shift << HISTOGRAM_SUB_BITS)) << shift) +
	       ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->count++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
	histogram->buckets[bucket_of(ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t histogram_at(const struct histogram *histogram, double fraction)
{
	/* A little less, for the product may be rounded up. */
	double wanted = fraction * (double)histogram->count * (1 - 1e-12);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen > 0 && (double)seen >= wanted)
			return bucket_end(i) < histogram->max_ns
			           ? bucket_end(i)
			           : histogram->max_ns;
	}
	return histogram->max_ns;
}
