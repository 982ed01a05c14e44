/* SPDX-License-Identifier: MIT */
#include "tests/support/tables.h"

uint64_t tables_count(struct lsm *store)
{
	struct lsm_stats stats;
	uint64_t count = 0;

	lsm_stats(store, &stats);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		count += stats.levels[i].files;
	return count;
}

uint64_t tables_bytes(struct lsm *store)
{
	struct lsm_stats stats;
	uint64_t bytes = 0;

	lsm_stats(store, &stats);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		bytes += stats.levels[i].bytes;
	return bytes;
}
