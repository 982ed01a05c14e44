/* SPDX-License-Identifier: MIT */
#include "store/links.h"

#include <stdlib.h>

enum { LINKS_FIRST_SLOTS = 16 };

enum lsm_err links_init(struct links *links)
{
	links->slots = calloc(LINKS_FIRST_SLOTS, sizeof(*links->slots));
	links->slot_count = links->slots == NULL ? 0 : LINKS_FIRST_SLOTS;
	return links->slots == NULL ? LSM_ERR_NOMEM : LSM_OK;
}

/* A table that cannot grow still works: chains get longer. */
static void links_grow(struct links *links)
{
	size_t count = links->slot_count * 2;
	struct link **slots;

	if (links->count < links->slot_count)
		return;
	slots = calloc(count, sizeof(*slots));
	if (slots == NULL)
		return;
	for (size_t i = 0; i < links->slot_count; i++) {
		for (struct link *l = links->slots[i], *next; l != NULL;
		     l = next) {
			struct link **at = &slots[l->hash & (count - 1)];

			next = l->next;
			l->next = *at;
			*at = l;
		}
	}
	free(links->slots);
	links->slots = slots;
	links->slot_count = count;
}

void links_add(struct links *links, struct link *link, uint64_t hash)
{
	struct link **at;

	links_grow(links);
	at = &links->slots[hash & (links->slot_count - 1)];
	link->hash = hash;
	link->next = *at;
	*at = link;
	links->count++;
}

void links_remove(struct links *links, struct link *link)
{
	struct link **at = &links->slots[link->hash & (links->slot_count - 1)];

	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	links->count--;
}

struct link *links_at(const struct links *links, uint64_t hash)
{
	return links->slots[hash & (links->slot_count - 1)];
}

void links_release(struct links *links)
{
	free(links->slots);
	links->slots = NULL;
}
