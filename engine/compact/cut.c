/* SPDX-License-Identifier: MIT */
#include "compact/cut.h"

enum {
	/* A change of family ends a table that has this part of a full one. */
	FAMILY_PART = 4,
	/* A change of prefix ends one that misses less than this part. */
	PREFIX_PART = 8,
	/* Too much below is so many full tables; at a size of this part. */
	BELOW_TABLES = 20,
	BELOW_PART = 8,
};

void cut_begin(struct cut *cut)
{
	cut->met = 0;
}

/* Whether the first `count` bytes differ; a key that has less is one of its
   own. */
static bool prefixes_differ(struct slice a, struct slice b, size_t count)
{
	if (a.len < count || b.len < count)
		return true;
	return memcmp(a.data, b.data, count) != 0;
}

/* Go past what ends before `user`. */
static void meet_below(struct cut *cut, struct slice user)
{
	const struct level *below = cut->below;

	while (below != NULL && cut->passed < below->count) {
		const struct table_info *info =
		    &below->tables[cut->passed]->info;

		if (slice_compare(key_user(buf_slice(&info->largest)), user) >=
		    0)
			return;
		cut->met += info->file_bytes;
		cut->passed++;
	}
}

bool cut_before(struct cut *cut, struct slice last, struct slice user,
                uint64_t bytes)
{
	const uint64_t full = cut->table_bytes;

	meet_below(cut, user);
	if (full == 0 || slice_equal(last, user))
		return false;
	if (bytes >= full)
		return true;
	if (bytes >= full / FAMILY_PART && prefixes_differ(last, user, 1))
		return true;
	if (bytes >= full - full / PREFIX_PART && cut->prefix_bytes > 0 &&
	    prefixes_differ(last, user, cut->prefix_bytes))
		return true;
	return bytes >= full / BELOW_PART && cut->met > BELOW_TABLES * full;
}
