/* SPDX-License-Identifier: MIT */
#include "tests/support/walk.h"

#include <stdio.h>

#include "base/key.h"

struct walk {
	struct iter *it;
	const struct walk_entry *entries;
	size_t count;
	struct gen *gen;
	size_t at; /* where it should stand; `count`: nowhere */
};

/* The first entry whose key is >= target. */
static size_t find(const struct walk *walk, struct slice target)
{
	size_t at = 0;

	while (at < walk->count &&
	       key_compare(walk->entries[at].key, target) < 0)
		at++;
	return at;
}

/* A key that is there, or one near it. */
static bool random_target(struct walk *walk, struct buf *target)
{
	struct slice near = slice_str("aaaaaaaaaa");
	uint64_t seq = gen_below(walk->gen, 1000);

	if (walk->count > 0)
		near = walk->entries[gen_below(walk->gen, walk->count)].key;
	if (walk->count > 0 && gen_below(walk->gen, 2) == 0)
		return buf_set(target, near) == LSM_OK;
	near = key_user(near);
	if (near.len > 0 && gen_below(walk->gen, 3) == 0)
		near.len--;
	if (gen_below(walk->gen, 4) == 0)
		seq = KEY_SEQ_MAX;
	return key_make(target, near, seq, KEY_SEEK) == LSM_OK;
}

static bool seek(struct walk *walk, bool before)
{
	struct buf target = BUF_INIT;
	bool ok = random_target(walk, &target);
	size_t at;

	if (ok) {
		at = find(walk, buf_slice(&target));
		if (before)
			iter_seek_before(walk->it, buf_slice(&target));
		else
			iter_seek(walk->it, buf_slice(&target));
		walk->at = at;
		if (before)
			walk->at = at > 0 ? at - 1 : walk->count;
	}
	buf_release(&target);
	return ok;
}

static bool move(struct walk *walk)
{
	uint64_t dice = gen_below(walk->gen, 20);

	if (walk->at < walk->count && dice < 8) {
		iter_next(walk->it);
		walk->at++;
	} else if (walk->at < walk->count && dice < 16) {
		iter_prev(walk->it);
		walk->at = walk->at > 0 ? walk->at - 1 : walk->count;
	} else if (dice == 16) {
		iter_seek_first(walk->it);
		walk->at = 0;
	} else if (dice == 17) {
		iter_seek_last(walk->it);
		walk->at = walk->count > 0 ? walk->count - 1 : 0;
	} else {
		return seek(walk, dice % 2 == 0);
	}
	return true;
}

static bool stands_right(const struct walk *walk)
{
	const struct walk_entry *entry = walk->entries + walk->at;

	if (walk->at == walk->count)
		return !iter_valid(walk->it) && iter_status(walk->it) == LSM_OK;
	return iter_valid(walk->it) &&
	       slice_equal(iter_key(walk->it), entry->key) &&
	       slice_equal(iter_value(walk->it), entry->value);
}

bool walk_both_ways(struct iter *it, const struct walk_entry *entries,
                    size_t count, struct gen *gen, unsigned moves)
{
	struct walk walk = {it, entries, count, gen, count};

	for (unsigned i = 0; i < moves; i++) {
		if (!move(&walk) || !stands_right(&walk)) {
			fprintf(stderr,
			        "walk: after move %u not at entry %zu of "
			        "%zu, error %d\n",
			        i, walk.at, count, (int)iter_status(it));
			return false;
		}
	}
	return true;
}
