/* SPDX-License-Identifier: MIT */
/*
 * pick.h: which compaction is due: a pure function of a version.
 *
 * Levels are sized from the bottom up: the last level holds most of the data,
 * each level above it a tenth, and the highest level in use (the base level,
 * into which L0 goes) is the first whose size fits level_base_bytes. (RocksDB's
 * level_compaction_dynamic_level_bytes; Dong et al., "Optimizing Space
 * Amplification in RocksDB", CIDR 2017.)
 */
#ifndef LSM_COMPACT_PICK_H
#define LSM_COMPACT_PICK_H

#include "tree/version.h"

enum pick_why {
	PICK_TRIGGER, /* only what a trigger demands */
	PICK_PERIOD,  /* also what is worth doing when there is time: any L0
	                 table; tables that hold many tombstones, or range
	                 tombstones, until those are over */
	PICK_ALL,     /* whatever is not in the last level, or could be rid of
	                 entries there */
};

struct pick_options {
	uint32_t l0_trigger; /* tables */
	uint64_t level_base_bytes;
	uint64_t table_bytes;
	uint64_t small_bytes;     /* smaller tables of L0 are merged with one
	                         another, and trigger nothing else */
	uint64_t oldest_snapshot; /* KEY_SEQ_MAX: there is none */
	enum pick_why why;
	uint64_t up_to; /* PICK_ALL leaves alone what is newer; 0: nothing */
};

/* Tables of `level` and of `output_level` to be merged into output_level. From
   L0 to L0 they are a row of neighbours, which become one table. */
struct compact_plan {
	unsigned level, output_level;
	struct table_meta *
	    *inputs[2]; /* of level, of output_level; references */
	size_t input_count[2];
	bool trivial; /* inputs[0] can move as they are */
};

void compact_plan_init(struct compact_plan *plan);
void compact_plan_release(struct compact_plan *plan);

/* The base level of a version; LSM_LEVELS - 1 when it is nearly empty. */
unsigned pick_base_level(const struct version *version,
                         const struct pick_options *options);

/* The same, with the size in bytes that each level may have: 0 above the base
   level. */
unsigned pick_level_sizes(const struct version *version,
                          const struct pick_options *options,
                          double sizes[LSM_LEVELS]);

/* How many tables of L0 count for triggers and for slowing writers down. */
size_t pick_l0_tables(const struct version *version,
                      const struct pick_options *options);

/* Whether L0 has more than it is to have. */
bool pick_l0_is_due(struct version *version,
                    const struct pick_options *options);

/* Whether a job of L0 is due and comes before any of a deeper level. */
bool pick_l0_goes_first(struct version *version,
                        const struct pick_options *options);

/* Whether the deeper levels lag so far behind that they come before L0. */
bool pick_is_behind(struct version *version,
                    const struct pick_options *options);

/* About how many bytes PICK_ALL, with these cursors, has yet to have read. */
uint64_t pick_bytes_left(const struct version *version,
                         const struct pick_options *options,
                         const struct buf cursor[LSM_LEVELS]);

/*
 * Find the most urgent job; *due_out false when there is none. `cursor`: for
 * each level the user key just past which the last job of it ended (round robin
 * among equals); updated. Errors: NOMEM; then nothing is picked.
 *
 * PICK_ALL rewrites tables of the last level past its cursor only, so that it
 * comes to an end where snapshots keep tombstones: give it empty cursors of its
 * own, the same ones until nothing is due.
 */
LSM_MUST_CHECK enum lsm_err pick_compaction(struct version *version,
                                            const struct pick_options *options,
                                            struct buf cursor[LSM_LEVELS],
                                            struct compact_plan *plan,
                                            bool *due_out);

#endif
