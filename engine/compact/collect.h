/* SPDX-License-Identifier: MIT */
/*
 * collect.h: which segments hold too much garbage, and which table to rewrite
 * so that their live values move out. Pure functions of a version.
 *
 * A segment that nothing names goes by itself, unread. One that is partly garbage
 * is doomed: whatever job meets a pointer into it copies the value into a new
 * segment, and when no job does, the tables that lead to it are rewritten where
 * they stand. So are many small segments emptied by whatever job meets them, that
 * frequent flushes do not leave a file each.
 */
#ifndef LSM_COMPACT_COLLECT_H
#define LSM_COMPACT_COLLECT_H

#include "compact/pick.h"

struct collect_options {
	unsigned garbage_percent; /* doomed from here on */
	/* Once there are so many below this size, they are emptied on the way:
	   each time a value is moved its segment grows, so it moves seldom. */
	uint64_t small_bytes;
	size_t small_count;
	/* How many tables lead to a segment, those of other branches and of
	   versions in use among them: one with more than this version has is
	   left alone. */
	unsigned (*users)(void *ctx, struct file_id id);
	void *ctx;
};

/* Bytes of frames in the segment that nothing leads to. */
uint64_t collect_garbage(const struct segment_use *use);

/*
 * Of the segments that a version uses, put into the empty lists those to be
 * emptied: *doomed for their garbage, *movable these and the small ones.
 * Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err
collect_doomed(const struct segment_uses *uses,
               const struct collect_options *options,
               struct segment_uses *doomed, struct segment_uses *movable);

/*
 * Keep of the doomed segments those with the smallest part in use, as far as
 * `room` bytes are enough for what is in use in them: so they become empty, and
 * give back more than they take. Many that lose a little each give back nothing.
 */
void collect_trim(struct segment_uses *doomed, uint64_t room);

/*
 * Plan to rewrite, in its level, the table that has most in doomed segments;
 * *due_out false where there is none. Tables of L0 wait until a compaction takes
 * them down. Errors: NOMEM; then nothing is planned.
 */
LSM_MUST_CHECK enum lsm_err collect_pick(const struct version *version,
                                         const struct segment_uses *doomed,
                                         struct compact_plan *plan,
                                         bool *due_out);

#endif
