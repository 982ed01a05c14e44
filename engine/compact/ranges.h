/* SPDX-License-Identifier: MIT */
/*
 * ranges.h: what a compaction may do for the range tombstones of its version:
 * leave one out, because it has nothing to cover any more, and leave a table
 * unread, because all of it is covered.
 *
 * Tombstones are looked up in the whole version, wherever they lie: what one of
 * them covers is deleted in every table. One is over when no snapshot is older
 * than it and no table but the job's inputs has something older in its range.
 * Memtables hold nothing that is older than what is in tables.
 *
 * Threads: the job's own.
 */
#ifndef LSM_COMPACT_RANGES_H
#define LSM_COMPACT_RANGES_H

#include "base/range.h"
#include "compact/pick.h"

struct compact_ranges {
	/* Borrowed for the length of the job. */
	const struct version *version;
	const struct table_source *tables;
	const struct compact_plan *plan;
	const uint64_t *snapshots; /* ascending */
	size_t snapshot_count;
	size_t prefix_bytes;

	/* No tombstone that was found to be over reaches beyond: the inputs up
	   to there must all be done with. */
	struct buf reach;
	struct range_set set; /* of the last table that was asked about */
};

void compact_ranges_release(struct compact_ranges *ranges);

/* All tombstones of the version; load is NULL when it has none. */
struct range_source compact_ranges_source(struct compact_ranges *ranges);

/* reduce_options.range_over; ctx: struct compact_ranges. */
LSM_MUST_CHECK enum lsm_err compact_ranges_over(void *ctx, struct slice prefix,
                                                struct range range,
                                                uint64_t seq, bool *over_out);

/* Whether no reader sees anything of the table. Errors: those of table_get(). */
LSM_MUST_CHECK enum lsm_err compact_ranges_cover(struct compact_ranges *ranges,
                                                 const struct table_meta *meta,
                                                 bool *covered_out);

#endif
