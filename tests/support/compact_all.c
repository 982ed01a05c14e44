/* SPDX-License-Identifier: MIT */
#include "tests/support/compact_all.h"

enum lsm_err compact_all(struct lsm *store)
{
	uint64_t up_to = lsm_oldest_sequence(store);

	return up_to > 0 ? lsm_compact(store, up_to, NULL) : lsm_flush(store);
}
