/* SPDX-License-Identifier: MIT */
#include "compact/bucket.h"

#include <assert.h>

enum {
	NS_PER_S = 1000000000,
	/* A bucket holds what comes in so long: longer pauses are not made up
	   for by a burst. */
	BURST_NS = 100000000,
	/* The others are measured over so long at least. */
	WINDOW_NS = 100000000,
	/* A smaller table is synced in the time of one seek. */
	SAMPLE_MIN_BYTES = 4 << 20,
	/* A new measurement counts for one part in so many. */
	SMOOTHING = 4,
};

/* bytes * NS_PER_S / ns without overflow for what a file may hold. */
static uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
	double rate = (double)bytes * NS_PER_S / (double)(ns > 0 ? ns : 1);

	return rate < (double)INT64_MAX ? (uint64_t)rate : INT64_MAX;
}

static uint64_t smoothed(uint64_t old, uint64_t sample)
{
	return old - old / SMOOTHING + sample / SMOOTHING;
}

void bucket_init(struct bucket *bucket, uint64_t floor_rate,
                 uint64_t device_rate, uint64_t now_ns)
{
	assert(floor_rate > 0);
	*bucket = (struct bucket){
	    .floor_rate = floor_rate,
	    .device_rate = device_rate,
	    .measured = device_rate == 0,
	    .filled_ns = now_ns,
	};
}

uint64_t bucket_rate(const struct bucket *bucket)
{
	uint64_t rate;

	if (bucket->device_rate == 0)
		return UINT64_MAX;
	rate = bucket->device_rate > bucket->others_rate
	           ? bucket->device_rate - bucket->others_rate
	           : 0;
	return rate > bucket->floor_rate ? rate : bucket->floor_rate;
}

static void measure_others(struct bucket *bucket, uint64_t written,
                           uint64_t now_ns)
{
	uint64_t ns = now_ns - bucket->seen_ns;
	uint64_t in_all =
	    written > bucket->seen_written ? written - bucket->seen_written : 0;

	if (ns < WINDOW_NS)
		return;
	/* What was taken may be written later, after the next look. */
	if (bucket->seen_ns != 0)
		bucket->others_rate = smoothed(
		    bucket->others_rate,
		    rate_of(in_all > bucket->taken ? in_all - bucket->taken : 0,
		            ns));
	bucket->seen_ns = now_ns;
	bucket->seen_written = written;
	bucket->taken = 0;
}

uint64_t bucket_take(struct bucket *bucket, uint64_t bytes, uint64_t written,
                     uint64_t now_ns)
{
	uint64_t rate;
	double filled, most;

	bucket->taken += bytes;
	measure_others(bucket, written, now_ns);
	rate = bucket_rate(bucket);
	filled = (double)bucket->level +
	         (double)rate * (double)(now_ns - bucket->filled_ns) / NS_PER_S;
	most = (double)rate * BURST_NS / NS_PER_S;
	bucket->filled_ns = now_ns;
	if (rate == UINT64_MAX) {
		bucket->level = 0;
		return 0;
	}
	if (filled > most)
		filled = most;
	bucket->level = (int64_t)filled - (int64_t)bytes;
	if (bucket->level >= 0)
		return 0;
	return (uint64_t)((double)-bucket->level * NS_PER_S / (double)rate);
}

void bucket_synced(struct bucket *bucket, uint64_t bytes, uint64_t ns)
{
	uint64_t sample = rate_of(bytes, ns);

	if (!bucket->measured || bytes < SAMPLE_MIN_BYTES)
		return;
	bucket->device_rate = bucket->device_rate == 0
	                          ? sample
	                          : smoothed(bucket->device_rate, sample);
	if (bucket->device_rate == 0)
		bucket->device_rate = 1;
}
