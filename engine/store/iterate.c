/* SPDX-License-Identifier: MIT */
/*
 * iterate.c: an ordered walk over the user keys as of a sequence, both ways.
 *
 * Below is one merged stream of versions. For each user key the versions up to
 * the sequence are folded into a value; keys that amount to nothing are skipped.
 * Forwards the stream then stands behind the versions of the key, backwards
 * before them.
 *
 * The sequence is held like a snapshot's for as long as the iterator lives, the
 * view is not: credit comes back only when the last reader of a memtable lets go
 * of it, so an iterator that somebody forgot would stop all writers. Whoever
 * replaces the view therefore takes the old one, with the stream over it, away
 * from every iterator. Key and value are copies; the next move opens a stream
 * over the view of then and finds its place by the key. Between an iterator's
 * thread and who takes the view away `state` decides:
 *
 *   IDLE    between two moves. Who finds it so may make it BUSY and touch the
 *           view: the thread for a move, the other with tree_mu held for moments
 *   BUSY    in a move
 *   STALE   in a move at whose end the thread itself lets go of the view
 */
#include <assert.h>
#include <stdlib.h>

#include "base/range.h"
#include "store/store.h"
#include "tree/fold.h"

enum iter_state { IDLE, BUSY, STALE };

enum { TAKE_AT_ONCE = 32 };

struct lsm_iter {
	struct lsm *store;
	struct lsm_snapshot hold; /* tree_mu; its seq is constant */
	struct buf lower, upper;  /* constant */

	/* Acquire to leave IDLE, release to return to it. */
	_Atomic(enum iter_state) state;

	/* Whose state BUSY or STALE is. Both or none. */
	struct view *view;
	struct iter *inner;

	/* The iterator's thread. */
	bool backward; /* where inner stands, as said above */
	bool placed;   /* inner is where the last move left it */
	struct fold fold;
	struct range_set ranges; /* of the prefix of `key`, up to hold.seq */
	struct range_source range_source;
	struct buf key, value, target;
	enum lsm_err err;
	bool valid;
	bool apart; /* value holds a pointer: nobody asked for more yet */
};

/* ---- the view ---------------------------------------------------------------- */

static enum lsm_err load_ranges(void *ctx, struct slice prefix,
                                key_visit_fn visit, void *visit_ctx)
{
	const struct lsm_iter *it = ctx;

	return view_ranges(it->store, it->view, prefix, it->hold.seq, visit,
	                   visit_ctx);
}

/* Every source of the view within the bounds, merged. */
static enum lsm_err open_sources(struct lsm_iter *it)
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
		err = version_iters(it->view->version, &it->store->source,
		                    buf_slice(&it->lower),
		                    buf_slice(&it->upper), true, &list);
	if (err == LSM_OK)
		err = merge_iter_create(&list, &it->inner);
	iter_list_release(&list);
	it->placed = false;
	/* A memtable that gets its first one later gets it with a sequence that
	   this iterator does not see. */
	if (err == LSM_OK && view_has_ranges(it->store, it->view))
		it->range_source.load = load_ranges;
	return err;
}

static void close_sources(struct lsm_iter *it)
{
	iter_destroy(it->inner);
	view_unref(it->view);
	it->inner = NULL;
	it->view = NULL;
}

/* Begin a move: have sources. */
static void begin(struct lsm_iter *it)
{
	enum iter_state expected = IDLE;

	while (!atomic_compare_exchange_strong_explicit(
	    &it->state, &expected, BUSY, memory_order_acquire,
	    memory_order_relaxed)) {
		/* Its view is being taken away, under this lock. */
		sync_lock(&it->store->tree_mu);
		sync_unlock(&it->store->tree_mu);
		expected = IDLE;
	}
	it->valid = false;
	it->err = LSM_OK;
	if (it->inner == NULL) {
		it->view = view_get(it->store, NULL);
		it->err = open_sources(it);
	}
	if (it->err == LSM_OK && store_is_expired(it->store, it->hold.seq))
		it->err = LSM_ERR_EXPIRED;
}

static void end(struct lsm_iter *it)
{
	enum iter_state expected = BUSY;

	if (it->err != LSM_OK)
		close_sources(it);
	if (atomic_compare_exchange_strong_explicit(&it->state, &expected, IDLE,
	                                            memory_order_release,
	                                            memory_order_relaxed))
		return;
	assert(expected == STALE);
	close_sources(it);
	atomic_store_explicit(&it->state, IDLE, memory_order_release);
}

/* Make an idle iterator ours, or have its thread do what we came for. */
static bool is_ours(struct lsm_iter *it)
{
	enum iter_state expected = IDLE;

	while (!atomic_compare_exchange_weak_explicit(
	    &it->state, &expected, expected == IDLE ? BUSY : STALE,
	    memory_order_acquire, memory_order_relaxed))
		if (expected == STALE)
			return false;
	return expected == IDLE;
}

/* What was taken from an iterator, to be freed with no lock held. */
struct taken {
	struct view *view;
	struct iter *inner;
};

static size_t take_views(struct lsm *store, struct taken taken[TAKE_AT_ONCE])
{
	size_t count = 0;

	sync_assert_held(&store->tree_mu);
	for (struct lsm_snapshot *s = store->snapshots;
	     s != NULL && count < TAKE_AT_ONCE; s = s->newer) {
		struct lsm_iter *it = s->iter;

		if (it == NULL || !is_ours(it))
			continue;
		if (it->view != NULL && it->view != store->view) {
			taken[count].view = it->view;
			taken[count++].inner = it->inner;
			it->view = NULL;
			it->inner = NULL;
		}
		atomic_store_explicit(&it->state, IDLE, memory_order_release);
	}
	return count;
}

void store_refresh_iterators(struct lsm *store)
{
	struct taken taken[TAKE_AT_ONCE];
	size_t count;

	do {
		sync_lock(&store->tree_mu);
		count = take_views(store, taken);
		sync_unlock(&store->tree_mu);
		for (size_t i = 0; i < count; i++) {
			iter_destroy(taken[i].inner);
			view_unref(taken[i].view);
		}
	} while (count == TAKE_AT_ONCE);
}

/* ---- from beginning to end --------------------------------------------------- */

/* Take the view, and hold the sequence to read it at. */
static void attach(struct lsm_iter *it, struct lsm_snapshot *snap)
{
	struct lsm *store = it->store;

	sync_lock(&store->tree_mu);
	it->view = store->view;
	atomic_fetch_add_explicit(&it->view->refs, 1, memory_order_relaxed);
	it->hold.iter = it;
	it->hold.seq = snap != NULL ? snap->seq : lsm_sequence(store);
	snapshot_link(store, &it->hold, snap);
	sync_unlock(&store->tree_mu);
}

enum lsm_err lsm_iter_create(struct lsm *store, const struct lsm_snapshot *snap,
                             struct slice lower, struct slice upper,
                             struct lsm_iter **iter_out)
{
	struct fold_fn fn = store_fold_fn(store);
	struct lsm_iter *it = calloc(1, sizeof(*it));
	enum lsm_err err;

	*iter_out = NULL;
	if (it == NULL)
		return LSM_ERR_NOMEM;
	it->store = store;
	atomic_init(&it->state, BUSY);
	fold_init(&it->fold, fn, slice_make(NULL, 0));
	range_set_init(&it->ranges);
	it->range_source.ctx = it;
	it->range_source.prefix_bytes = store->options.range_prefix_bytes;
	/* The list of what is held is the store's, as snap's links are. */
	attach(it, (struct lsm_snapshot *)(uintptr_t)snap);
	err = buf_append_slice(&it->lower, lower);
	if (err == LSM_OK)
		err = buf_append_slice(&it->upper, upper);
	if (err == LSM_OK && store_is_expired(store, it->hold.seq))
		err = LSM_ERR_EXPIRED;
	if (err == LSM_OK)
		err = open_sources(it);
	it->err = err;
	end(it);
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
	sync_lock(&it->store->tree_mu);
	snapshot_unlink(it->store, &it->hold);
	sync_unlock(&it->store->tree_mu);
	close_sources(it); /* nobody else finds it any more */
	fold_release(&it->fold);
	range_set_release(&it->ranges);
	buf_release(&it->lower);
	buf_release(&it->upper);
	buf_release(&it->key);
	buf_release(&it->value);
	buf_release(&it->target);
	free(it);
}

/* ---- moves ------------------------------------------------------------------- */

static bool past_upper(const struct lsm_iter *it, struct slice user)
{
	return it->upper.len > 0 &&
	       slice_compare(user, buf_slice(&it->upper)) >= 0;
}

static bool inner_has_key(const struct lsm_iter *it)
{
	return iter_valid(it->inner) &&
	       slice_equal(key_user(iter_key(it->inner)), buf_slice(&it->key));
}

/* Feed the versions of it->key, from where the stream stands to behind them. */
static void feed_forward(struct lsm_iter *it)
{
	bool wanted = true;

	for (; inner_has_key(it); iter_next(it->inner)) {
		struct slice ikey = iter_key(it->inner);

		if (wanted && key_seq(ikey) <= it->hold.seq)
			wanted =
			    fold_visit(&it->fold, key_seq(ikey), key_kind(ikey),
			               iter_value(it->inner));
	}
}

static void feed_backward(struct lsm_iter *it)
{
	bool wanted = true;

	for (; inner_has_key(it); iter_prev(it->inner)) {
		struct slice ikey = iter_key(it->inner);

		if (wanted && key_seq(ikey) <= it->hold.seq)
			wanted = fold_visit_back(&it->fold, key_seq(ikey),
			                         key_kind(ikey),
			                         iter_value(it->inner));
	}
}

/* Whether the stream stands on the usual key forwards: what it amounts to is its
   newest version, whose value lies there. */
static bool is_plain(const struct lsm_iter *it, struct slice ikey)
{
	return !it->backward && key_kind(ikey) == KEY_PUT &&
	       key_seq(ikey) <= it->hold.seq && it->range_source.load == NULL;
}

/* What fold_key() does, for such a key. */
static enum lsm_err take_plain(struct lsm_iter *it, struct slice ikey)
{
	enum lsm_err err = buf_set(&it->key, key_user(ikey));

	if (err == LSM_OK)
		err = buf_set(&it->value, iter_value(it->inner));
	if (err != LSM_OK)
		return err;
	do
		iter_next(it->inner);
	while (inner_has_key(it));
	return iter_valid(it->inner) ? LSM_OK : iter_status(it->inner);
}

/* Fold the versions of the user key at which the stream stands, and leave the
   stream past them. */
static enum lsm_err fold_key(struct lsm_iter *it, enum fold_result *result_out)
{
	enum lsm_err err = buf_set(&it->key, key_user(iter_key(it->inner)));

	if (err != LSM_OK)
		return err;
	fold_reset(&it->fold, buf_slice(&it->key));
	if (it->range_source.load != NULL) {
		err = range_set_load(&it->ranges, &it->range_source,
		                     buf_slice(&it->key));
		if (err != LSM_OK)
			return err;
		it->fold.floor = range_set_floor(
		    &it->ranges, buf_slice(&it->key), it->hold.seq);
	}
	if (it->backward)
		feed_backward(it);
	else
		feed_forward(it);
	err = iter_status(it->inner);
	if (err == LSM_OK)
		err = fold_finish(&it->fold, true, &it->value, result_out);
	return err;
}

static bool inner_is_within(const struct lsm_iter *it)
{
	struct slice user;

	if (!iter_valid(it->inner))
		return false;
	user = key_user(iter_key(it->inner));
	if (it->backward)
		return slice_compare(user, buf_slice(&it->lower)) >= 0;
	return !past_upper(it, user);
}

/* Go on from where the stream stands to the next key that has a value. */
static void settle(struct lsm_iter *it)
{
	enum fold_result result = FOLD_NOTHING;

	while (it->err == LSM_OK && inner_is_within(it)) {
		struct slice ikey = iter_key(it->inner);

		result = FOLD_VALUE;
		it->err = is_plain(it, ikey) ? take_plain(it, ikey)
		                             : fold_key(it, &result);
		if (it->err == LSM_OK && result != FOLD_NOTHING) {
			it->valid = true;
			it->apart = result == FOLD_POINTER;
			return;
		}
	}
	if (it->err == LSM_OK)
		it->err = iter_status(it->inner);
}

/* Go to the first key at `user` or behind it, or (`past`) behind it. */
static void walk_forward(struct lsm_iter *it, struct slice user, bool past)
{
	if (it->err != LSM_OK)
		return;
	it->err = key_make(&it->target, user, past ? 0 : KEY_SEQ_MAX,
	                   past ? KEY_DELETE : KEY_SEEK);
	if (it->err != LSM_OK)
		return;
	it->backward = false;
	it->placed = true;
	iter_seek(it->inner, buf_slice(&it->target));
	settle(it);
}

/* Go to the last key before `user`. */
static void walk_backward(struct lsm_iter *it, struct slice user)
{
	if (it->err != LSM_OK)
		return;
	it->err = key_make(&it->target, user, KEY_SEQ_MAX, KEY_SEEK);
	if (it->err != LSM_OK)
		return;
	it->backward = true;
	it->placed = true;
	iter_seek_before(it->inner, buf_slice(&it->target));
	settle(it);
}

void lsm_iter_seek(struct lsm_iter *it, struct slice target)
{
	if (slice_compare(target, buf_slice(&it->lower)) < 0)
		target = buf_slice(&it->lower);
	begin(it);
	walk_forward(it, target, false);
	end(it);
}

/* Whether a value could not be read, so that the walk ends here with its error. */
static bool is_at_failure(const struct lsm_iter *it)
{
	assert(it->valid || it->err != LSM_OK);
	return !it->valid;
}

void lsm_iter_next(struct lsm_iter *it)
{
	if (is_at_failure(it))
		return;
	begin(it);
	if (it->placed && !it->backward)
		settle(it);
	else
		walk_forward(it, buf_slice(&it->key), true);
	end(it);
}

void lsm_iter_seek_prev(struct lsm_iter *it, struct slice target)
{
	if (past_upper(it, target))
		target = buf_slice(&it->upper);
	begin(it);
	walk_backward(it, target);
	end(it);
}

void lsm_iter_seek_last(struct lsm_iter *it)
{
	begin(it);
	if (it->upper.len > 0) {
		walk_backward(it, buf_slice(&it->upper));
	} else if (it->err == LSM_OK) {
		it->backward = true;
		it->placed = true;
		iter_seek_last(it->inner);
		settle(it);
	}
	end(it);
}

void lsm_iter_prev(struct lsm_iter *it)
{
	if (is_at_failure(it))
		return;
	begin(it);
	if (it->placed && it->backward)
		settle(it);
	else
		walk_backward(it, buf_slice(&it->key));
	end(it);
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

/* The value takes the place of the pointer to it. What the pointer leads to may
   have moved if the view that it came from was taken away: look it up again. */
static void fetch(struct lsm_iter *it)
{
	begin(it);
	it->apart = false;
	if (it->err == LSM_OK && it->placed)
		it->err = store_read_pointer(it->store, buf_slice(&it->key),
		                             buf_slice(&it->value), &it->value);
	else if (it->err == LSM_OK)
		it->err = store_get_at(it->store, it->view, it->hold.seq,
		                       buf_slice(&it->key), &it->value);
	if (it->err != LSM_OK)
		buf_clear(&it->value);
	it->valid = it->err == LSM_OK;
	end(it);
}

struct slice lsm_iter_value(struct lsm_iter *it)
{
	if (it->valid && it->apart)
		fetch(it);
	return buf_slice(&it->value);
}
