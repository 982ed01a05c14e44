/* SPDX-License-Identifier: MIT */
/*
 * debt.h: how far compaction is behind: a pure function of a version.
 */
#ifndef LSM_COMPACT_DEBT_H
#define LSM_COMPACT_DEBT_H

#include "compact/pick.h"

struct debt {
	uint32_t depth; /* tables of L0 that count, see pick_l0_tables() */
	uint64_t bytes; /* that levels hold beyond their size */
};

struct debt debt_of(const struct version *version,
                    const struct pick_options *options);

#endif
