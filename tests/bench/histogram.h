/* SPDX-License-Identifier: MIT */
/*
 * histogram.h: how long things took, in buckets that are never wider than 1/64
 * of what they hold, so that a percentile is right to 2 %.
 *
 * Threads: one each; histogram_merge() puts them together.
 */
#ifndef TESTS_BENCH_HISTOGRAM_H
#define TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 6, /* buckets of one power of two: 64 */
	HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
	uint64_t count, max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* What `fraction` (0 to 1) of all samples did not exceed; 0 without any. */
uint64_t histogram_at(const struct histogram *histogram, double fraction);

#endif
