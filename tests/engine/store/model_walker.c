/* SPDX-License-Identifier: MIT */
#include "tests/engine/store/model_walker.h"

#include "base/buf.h"

#define NOWHERE SIZE_MAX

static bool is_within(const struct walker *walker, size_t at)
{
	struct slice key = buf_slice(&walker->model.entries[at].key);

	return slice_compare(key, buf_slice(&walker->lower)) >= 0 &&
	       (walker->upper.len == 0 ||
	        slice_compare(key, buf_slice(&walker->upper)) < 0);
}

/* It should stand on the first entry from `at` on, or the last one before it. */
static void expect_from(struct walker *walker, size_t at)
{
	struct slice lower = buf_slice(&walker->lower);
	size_t first = model_find(&walker->model, lower);

	if (at < first)
		at = first;
	walker->at = NOWHERE;
	if (at < walker->model.count && is_within(walker, at))
		walker->at = at;
}

static void expect_before(struct walker *walker, size_t at)
{
	struct slice upper = buf_slice(&walker->upper);
	size_t end = walker->model.count;

	if (upper.len > 0)
		end = model_find(&walker->model, upper);
	if (at > end)
		at = end;
	walker->at = NOWHERE;
	if (at > 0 && is_within(walker, at - 1))
		walker->at = at - 1;
}

void walker_check(const struct walker *walker)
{
	const struct model_entry *entry;

	ASSERT_OK(lsm_iter_status(walker->it));
	ck_assert(lsm_iter_valid(walker->it) == (walker->at != NOWHERE));
	if (walker->at == NOWHERE)
		return;
	entry = &walker->model.entries[walker->at];
	ck_assert(
	    slice_equal(lsm_iter_key(walker->it), buf_slice(&entry->key)));
	ck_assert(
	    slice_equal(lsm_iter_value(walker->it), buf_slice(&entry->value)));
}

void walker_move(struct walker *walker, struct gen *gen, struct slice target)
{
	uint64_t dice = gen_below(gen, 16);
	size_t found = model_find(&walker->model, target);

	if (walker->at != NOWHERE && dice < 6) {
		lsm_iter_next(walker->it);
		expect_from(walker, walker->at + 1);
	} else if (walker->at != NOWHERE && dice < 12) {
		lsm_iter_prev(walker->it);
		expect_before(walker, walker->at);
	} else if (dice % 3 == 0) {
		lsm_iter_seek(walker->it, target);
		expect_from(walker, found);
	} else if (dice % 3 == 1) {
		lsm_iter_seek_prev(walker->it, target);
		expect_before(walker, found);
	} else {
		lsm_iter_seek_last(walker->it);
		expect_before(walker, walker->model.count);
	}
}

void walker_open(struct walker *walker, struct lsm *store,
                 const struct lsm_snapshot *snap, const struct model *model,
                 uint64_t seq)
{
	walker->seq = seq;
	model_copy(&walker->model, model);
	ASSERT_OK(lsm_iter_create(store, snap, buf_slice(&walker->lower),
	                          buf_slice(&walker->upper), &walker->it));
	walker->at = NOWHERE;
}

void walker_close(struct walker *walker)
{
	lsm_iter_destroy(walker->it);
	walker->it = NULL;
}

void walker_release(struct walker *walker)
{
	model_release(&walker->model);
	buf_release(&walker->lower);
	buf_release(&walker->upper);
}
