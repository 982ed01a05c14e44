/* SPDX-License-Identifier: MIT */
/*
 * links.h: a chained hash table of structs that embed their place in it.
 *
 * Threads: one at a time. What is in the table is its owner's: walk the slots to
 * free it.
 */
#ifndef LSM_STORE_LINKS_H
#define LSM_STORE_LINKS_H

#include "lsm.h"

struct link {
	struct link *next;
	uint64_t hash;
};

struct links {
	struct link **slots;
	size_t slot_count; /* a power of two */
	size_t count;
};

/* Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err links_init(struct links *links);
void links_release(struct links *links);

void links_add(struct links *links, struct link *link, uint64_t hash);
void links_remove(struct links *links, struct link *link); /* it is there */

/* The first of those that may have this hash; the others follow it. */
struct link *links_at(const struct links *links, uint64_t hash);

#endif
