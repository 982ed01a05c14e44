/* SPDX-License-Identifier: MIT */
/*
 * reduce.h: a stream of versions, less those that no reader can tell missing.
 * What a flush and a compaction write.
 *
 * The sequence numbers that snapshots hold cut history into stripes. Of one
 * user key only the newest state of each stripe is kept: older versions are
 * shadowed, and operands are folded within their stripe. A tombstone goes when
 * it is the oldest version of its key in the stream and nothing older can exist
 * below (`bottom`); operands become a value under the same condition.
 * What is left keeps the sequence number of its newest version; none is zeroed.
 *
 * A range tombstone does away with what it covers of its own stripe. It goes
 * itself when another of its stripe covers all that it does, or when no snapshot
 * is older and `range_over` says that nothing is left for it to cover. Beside
 * other versions of the key at which it is stored it is as if it ended a stripe:
 * less of those is reduced, nothing is lost.
 */
#ifndef LSM_TREE_REDUCE_H
#define LSM_TREE_REDUCE_H

#include "base/iter.h"
#include "base/range.h"
#include "tree/fold.h"

struct reduce_options {
	struct fold_fn fold;
	const uint64_t
	    *snapshots; /* ascending; borrowed as long as the stream */
	size_t snapshot_count;
	/* Whether no older version of `user` exists outside the stream; NULL:
	   it may. A flush answers "it may" always: it never reads a base. */
	bool (*bottom)(void *ctx, struct slice user);
	/* Whether no key of the range has a version older than `seq` outside
	   the stream, which has none that no snapshot sees; NULL: it may.
	   Errors: NOMEM. */
	enum lsm_err (*range_over)(void *ctx, struct slice prefix,
	                           struct range range, uint64_t seq,
	                           bool *over_out);
	void *ctx; /* of both */
	/* All range tombstones that may cover a key of the stream. */
	struct range_source ranges;
};

/*
 * An iterator over `inner`, which it takes over (also on failure, when it is
 * destroyed). Only seek_first and next are used. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
reduce_iter_create(struct iter *inner, const struct reduce_options *options,
                   struct iter **iter_out);

#endif
