/* SPDX-License-Identifier: MIT */
/*
 * cut.h: where one table of a job ends and the next begins.
 *
 * A table ends when it is full; a little before that where the prefix of the key
 * changes, so that the files of different inodes are apart; and where the first
 * byte (the key family) changes, if it is worth a file of its own by then. It
 * also ends before it meets too much of the level below its own, since all of
 * that is rewritten with it one day. (LevelDB cuts at such grandparents too.)
 * Never between two versions of one user key, and never for a tiny table: the
 * number of files is what a fork costs.
 *
 * A pure function of what it is given. One thread.
 */
#ifndef LSM_COMPACT_CUT_H
#define LSM_COMPACT_CUT_H

#include "tree/version.h"

struct cut {
	/* Set by whoever makes it. */
	uint64_t table_bytes; /* of a full table; 0: whatever its size */
	size_t prefix_bytes;  /* 0: keys have none */
	const struct level
	    *below; /* the level below the outputs'; NULL: none */

	/* Zero at first. */
	size_t passed; /* of below: these end before the last key */
	uint64_t met;  /* bytes of those that this table has gone past */
};

/* Whether a table that has `bytes` and ends with the user key `last` is to end
   before `user`, which is not less. Called for every key once, in order. */
bool cut_before(struct cut *cut, struct slice last, struct slice user,
                uint64_t bytes);

/* A new table has begun. */
void cut_begin(struct cut *cut);

#endif
