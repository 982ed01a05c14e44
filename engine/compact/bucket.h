/* SPDX-License-Identifier: MIT */
/*
 * bucket.h: how fast deep compactions may write: a bucket of bytes that fills at
 *
 *	max(floor, what the device can do - what others write to it)
 *
 * What the device can do is told, or measured: by how long it takes to sync a
 * large table. What others write is what was written in all less what was taken
 * from the bucket. (SILK, Balmau et al., USENIX ATC 2019: latency at the tail
 * comes from flushes that compete with deep compactions.)
 *
 * A pure function of its arguments: the caller's clock, the caller's lock.
 */
#ifndef LSM_COMPACT_BUCKET_H
#define LSM_COMPACT_BUCKET_H

#include "lsm.h"

struct bucket {
	uint64_t floor_rate;  /* bytes a second; constant */
	uint64_t device_rate; /* 0: not known yet */
	bool measured;        /* device_rate comes from bucket_synced() */
	uint64_t others_rate;

	/* What the last measurement of the others began with. */
	uint64_t seen_ns, seen_written;
	uint64_t taken; /* since then */

	int64_t level; /* bytes; below 0: owed */
	uint64_t filled_ns;
};

/* Empty. `device_rate` 0: measured, and no limit until it is known. */
void bucket_init(struct bucket *bucket, uint64_t floor_rate,
                 uint64_t device_rate, uint64_t now_ns);

/*
 * Take `bytes`, which have been written; `written` is what all have written so
 * far, those included. Returns for how many ns to pause before writing more.
 */
LSM_MUST_CHECK uint64_t bucket_take(struct bucket *bucket, uint64_t bytes,
                                    uint64_t written, uint64_t now_ns);

/* A table of `bytes` was synced in `ns`; small ones say nothing. */
void bucket_synced(struct bucket *bucket, uint64_t bytes, uint64_t ns);

/* Bytes a second now; UINT64_MAX: no limit. */
uint64_t bucket_rate(const struct bucket *bucket);

#endif
