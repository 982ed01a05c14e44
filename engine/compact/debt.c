/* SPDX-License-Identifier: MIT */
#include "compact/debt.h"

struct debt debt_of(const struct version *version,
                    const struct pick_options *options)
{
	struct debt debt = {(uint32_t)pick_l0_tables(version, options), 0};
	double targets[LSM_LEVELS];
	unsigned base = pick_level_sizes(version, options, targets);

	/* The last level has nowhere to go. */
	for (unsigned level = base; level + 1 < LSM_LEVELS; level++) {
		double over =
		    (double)version->levels[level].bytes - targets[level];

		if (over > 0)
			debt.bytes += (uint64_t)over;
	}
	return debt;
}
