/* SPDX-License-Identifier: MIT */
/*
 * iterate.c: an ordered walk over the user keys of a view, as of a sequence.
 *
 * Below is one merged stream of versions. For each user key the versions up to
 * the sequence are folded into a value; keys that amount to nothing are skipped.
 */
#include <stdlib.h>

#include "store/store.h"
#include "tree/fold.h"

struct lsm_iter {
	struct view *view;
	struct iter *inner;
	uint64_t seq;
	struct buf lower, upper;
	struct fold fold;
	struct buf key, value, target;
	enum lsm_err err;
	bool valid;
};

/* Every source of the view within the bounds, merged. */
static enum lsm_err open_sources(struct lsm *store, struct lsm_iter *it)
{
	struct iter_list list;
	struct iter *mem = NULL;
	enum lsm_err err;

	iter_list_init(&list);
	err = memtable_iter(it->view->active->mem, &mem);
	if (err == LSM_OK)
		err = iter_list_push(&list, mem);
	for (size_t i = it->view->sealed_count; err == LSM_OK && i-- > 0;) {
		err = memtable_iter(it->view->sealed[i]->mem, &mem);
		if (err == LSM_OK)
			err = iter_list_push(&list, mem);
	}
	if (err == LSM_OK)
		err = version_iters(it->view->version, &store->source,
		                    buf_slice(&it->lower),
		                    buf_slice(&it->upper), true, &list);
	if (err == LSM_OK)
		err = merge_iter_create(&list, &it->inner);
	iter_list_release(&list);
	return err;
}

enum lsm_err lsm_iter_create(struct lsm *store, const struct lsm_snapshot *snap,
                             struct slice lower, struct slice upper,
                             struct lsm_iter **iter_out)
{
	struct fold_fn fn = {store->options.fold, store->options.fold_ctx};
	struct lsm_iter *it = calloc(1, sizeof(*it));
	enum lsm_err err;

	*iter_out = NULL;
	if (it == NULL)
		return LSM_ERR_NOMEM;
	it->view = view_get(store, &it->seq);
	if (snap != NULL)
		it->seq = snap->seq;
	fold_init(&it->fold, fn, slice_make(NULL, 0));
	err = buf_append_slice(&it->lower, lower);
	if (err == LSM_OK)
		err = buf_append_slice(&it->upper, upper);
	if (err == LSM_OK)
		err = open_sources(store, it);
	if (err != LSM_OK) {
		lsm_iter_destroy(it);
		return err;
	}
	*iter_out = it;
	return LSM_OK;
}

void lsm_iter_destroy(struct lsm_iter *it)
{
	if (it == NULL)
		return;
	iter_destroy(it->inner);
	fold_release(&it->fold);
	buf_release(&it->lower);
	buf_release(&it->upper);
	buf_release(&it->key);
	buf_release(&it->value);
	buf_release(&it->target);
	view_unref(it->view);
	free(it);
}

static bool past_upper(const struct lsm_iter *it, struct slice user)
{
	return it->upper.len > 0 &&
	       slice_compare(user, buf_slice(&it->upper)) >= 0;
}

/* Fold the versions of the user key at which the stream stands, and leave the
   stream behind them. */
static enum lsm_err fold_key(struct lsm_iter *it, enum fold_result *result_out)
{
	enum lsm_err err = buf_set(&it->key, key_user(iter_key(it->inner)));
	bool wanted = true;

	if (err != LSM_OK)
		return err;
	fold_reset(&it->fold, buf_slice(&it->key));
	while (iter_valid(it->inner)) {
		struct slice ikey = iter_key(it->inner);

		if (!slice_equal(key_user(ikey), buf_slice(&it->key)))
			break;
		if (wanted && key_seq(ikey) <= it->seq)
			wanted =
			    fold_visit(&it->fold, key_seq(ikey), key_kind(ikey),
			               iter_value(it->inner));
		iter_next(it->inner);
	}
	err = iter_status(it->inner);
	if (err == LSM_OK)
		err = fold_finish(&it->fold, true, &it->value, result_out);
	return err;
}

/* Go on from where the stream stands to the next key that has a value. */
static void settle(struct lsm_iter *it)
{
	enum fold_result result = FOLD_NOTHING;

	it->valid = false;
	while (it->err == LSM_OK && iter_valid(it->inner) &&
	       !past_upper(it, key_user(iter_key(it->inner)))) {
		it->err = fold_key(it, &result);
		if (it->err == LSM_OK && result == FOLD_VALUE) {
			it->valid = true;
			return;
		}
	}
	if (it->err == LSM_OK)
		it->err = iter_status(it->inner);
}

void lsm_iter_seek(struct lsm_iter *it, struct slice target)
{
	if (slice_compare(target, buf_slice(&it->lower)) < 0)
		target = buf_slice(&it->lower);
	it->valid = false;
	it->err = key_make(&it->target, target, KEY_SEQ_MAX, KEY_SEEK);
	if (it->err != LSM_OK)
		return;
	iter_seek(it->inner, buf_slice(&it->target));
	settle(it);
}

void lsm_iter_next(struct lsm_iter *it)
{
	settle(it);
}

bool lsm_iter_valid(const struct lsm_iter *it)
{
	return it->valid;
}

enum lsm_err lsm_iter_status(const struct lsm_iter *it)
{
	return it->err;
}

struct slice lsm_iter_key(const struct lsm_iter *it)
{
	return buf_slice(&it->key);
}

struct slice lsm_iter_value(const struct lsm_iter *it)
{
	return buf_slice(&it->value);
}
