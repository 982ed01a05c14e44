/* SPDX-License-Identifier: MIT */
/*
 * test_model.c: random work on a store with tiny limits reads like the same
 * work on a sorted array, now, at every snapshot, and in iterators that stay
 * open and go both ways, through flushes, compactions, exports, reopening and
 * the death of the process.
 *
 * SHALEFS_SEED repeats a run, SHALEFS_STEPS makes it longer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/store/model_walker.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/append.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"
#include "tests/support/model.h"

enum {
	STEPS = 1500, /* of each set of options */
	KEYS = 300,
	SNAPSHOTS = 3,
	WALKERS = 3,
	MOVES = 12, /* of a walker at a time */
	QUIET_STEPS = 100,
	BATCH_MAX = 12,
	SMALL_VALUE_BYTES = 60,
	LARGE_VALUE_BYTES = 6000,
	KEEP_ALL = 256,
};

static const struct kit_limits all_limits[] = {
    {"small", 256 << 10, 0, 0, 16 << 10, 16 << 10, 64 << 10, 1 << 10, 4, 0, 1},
    {"one-file levels", 64 << 10, 0, 0, 4 << 10, 1 << 10, 1 << 10, 1 << 10, 1,
     20, 1},
    {"a pool of one batch", 8 << 10, 0, 0, 4 << 10, 4 << 10, 8 << 10, 1 << 10,
     2, 1, 2},
    {"credit off", 0, 0, 0, 4 << 10, 8 << 10, 16 << 10, 512, 2, 40, 1},
    {"a period of 1 ms", 64 << 10, 1, 1, 8 << 10, 4 << 10, 8 << 10, 1 << 10, 3,
     40, 1},
    {"one memtable", 1 << 20, 0, 0, 512 << 10, 64 << 10, 256 << 10, 4 << 10, 4,
     40, 2},
    {"many L0 tables", 64 << 10, 0, 5, 4 << 10, 64 << 10, 1 << 20, 256, 40, 30,
     1},
    {"no range deletes", 64 << 10, 0, 0, 4 << 10, 4 << 10, 8 << 10, 1 << 10, 2,
     50, 0},
};

struct world {
	struct kit kit;
	char path[32], child_path[32];
	unsigned forks, step;
	struct gen gen;
	struct model model;
	int64_t counter;
	struct {
		struct lsm_snapshot *snap;
		struct model model;
		uint64_t seq;
	} held[SNAPSHOTS];
	/* Iterators that stay open, and what each sees. */
	struct walker walkers[WALKERS];
};

static struct world w;

static uint64_t seed;
static uint64_t steps = STEPS;

/* ---- what the store should hold -------------------------------------------
 */

static void random_key(struct buf *key)
{
	char text[32];
	uint64_t n = gen_below(&w.gen, KEYS);
	int len;

	/* Now and then no more than what is the prefix of others. */
	if (gen_below(&w.gen, 30) == 0) {
		ASSERT_OK(buf_set(key, slice_make("abc" + n % 3, 1)));
		return;
	}
	len = snprintf(text, sizeof(text), "%c%.*s%" PRIu64, (int)('a' + n % 3),
	               (int)(n % 7), "xxxxxxx", n);

	ASSERT_OK(buf_set(key, slice_make(text, (size_t)len)));
}

static void random_value(struct buf *value)
{
	uint64_t limit =
	    gen_below(&w.gen, 40) == 0 ? LARGE_VALUE_BYTES : SMALL_VALUE_BYTES;

	ASSERT_OK(buf_resize(value, (size_t)gen_below(&w.gen, limit)));
	if (value->len > 0)
		gen_bytes(&w.gen, value->data, value->len);
}

static void random_bound(struct buf *bound)
{
	buf_clear(bound);
	if (gen_below(&w.gen, 3) > 0)
		random_key(bound);
}

/* Compare a walk from `target` between bounds with the model. */
static void check_walk(struct lsm *store, const struct lsm_snapshot *snap,
                       const struct model *model, struct slice lower,
                       struct slice upper, struct slice target)
{
	struct slice from = slice_compare(target, lower) < 0 ? lower : target;
	size_t at = model_find(model, from);
	struct lsm_iter *it;

	ASSERT_OK(lsm_iter_create(store, snap, lower, upper, &it));
	for (lsm_iter_seek(it, target); lsm_iter_valid(it);
	     lsm_iter_next(it), at++) {
		ck_assert_uint_lt(at, model->count);
		ck_assert(slice_equal(lsm_iter_key(it),
		                      buf_slice(&model->entries[at].key)));
		ck_assert(slice_equal(lsm_iter_value(it),
		                      buf_slice(&model->entries[at].value)));
	}
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	if (at < model->count)
		ck_assert(upper.len > 0 &&
		          slice_compare(buf_slice(&model->entries[at].key),
		                        upper) >= 0);
}

/* ---- iterators that stay --------------------------------------------------
 */

/* A walker that lies behind the horizon says so, wherever it is to go. */
static bool is_expired(struct walker *walker)
{
	struct lsm_stats stats;

	lsm_stats(w.kit.store, &stats);
	if (walker->seq >= stats.horizon)
		return false;
	lsm_iter_seek(walker->it, slice_make(NULL, 0));
	ck_assert(!lsm_iter_valid(walker->it));
	ASSERT_ERR(lsm_iter_status(walker->it), EXPIRED);
	return true;
}

static void turn_walker(void)
{
	struct walker *walker = &w.walkers[gen_below(&w.gen, WALKERS)];
	size_t i = gen_below(&w.gen, 2 * SNAPSHOTS);
	struct buf target = BUF_INIT;

	if (walker->it == NULL) {
		random_bound(&walker->lower);
		random_bound(&walker->upper);
	}
	if (walker->it == NULL && i < SNAPSHOTS && w.held[i].snap != NULL)
		walker_open(walker, w.kit.store, w.held[i].snap,
		            &w.held[i].model, w.held[i].seq);
	else if (walker->it == NULL)
		walker_open(walker, w.kit.store, NULL, &w.model,
		            lsm_sequence(w.kit.store));
	if (is_expired(walker)) {
		walker_close(walker);
		return;
	}
	/* Where it was left it still stands. */
	walker_check(walker);
	for (int n = 0; n < MOVES; n++) {
		random_key(&target);
		walker_move(walker, &w.gen, buf_slice(&target));
		walker_check(walker);
	}
	buf_release(&target);
	if (gen_below(&w.gen, 4) == 0)
		walker_close(walker);
}

static void check_whole(struct lsm *store, const struct lsm_snapshot *snap,
                        const struct model *model)
{
	struct slice none = slice_make(NULL, 0);

	check_walk(store, snap, model, none, none, none);
}

static void check_get(const struct lsm_snapshot *snap,
                      const struct model *model)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct slice expected;
	enum lsm_err err;

	random_key(&key);
	err = lsm_get(w.kit.store, snap, buf_slice(&key), &value);
	if (model_get(model, buf_slice(&key), &expected)) {
		ASSERT_OK(err);
		ck_assert(slice_equal(buf_slice(&value), expected));
	} else {
		ASSERT_ERR(err, NOT_FOUND);
	}
	buf_release(&key);
	buf_release(&value);
}

/* ---- steps
 * -------------------------------------------------------------------- */

/* What follows the prefix in a random key. */
static struct slice random_rest(struct buf *key)
{
	size_t prefix_bytes = w.kit.options.range_prefix_bytes;

	random_key(key);
	if (key->len <= prefix_bytes || gen_below(&w.gen, 4) == 0)
		return slice_make(NULL, 0);
	return slice_make(key->data + prefix_bytes, key->len - prefix_bytes);
}

/* Mostly of a few keys; of nothing, of all that begin alike. */
static void delete_range(struct lsm_batch *batch, struct model *model)
{
	struct buf key = BUF_INIT, a = BUF_INIT, b = BUF_INIT;
	struct slice prefix, lower = random_rest(&a), upper = random_rest(&b);

	if (lower.len > 1 && gen_below(&w.gen, 4) > 0) {
		/* The last byte of both is a digit. */
		ASSERT_OK(buf_set(&b, buf_slice(&a)));
		b.data[b.len - 1] = '9' + 1;
		upper = slice_make(b.data + (b.len - lower.len), lower.len);
	}

	do
		random_key(&key);
	while (key.len < w.kit.options.range_prefix_bytes);
	prefix = slice_make(key.data, w.kit.options.range_prefix_bytes);
	if (upper.len > 0 && slice_compare(lower, upper) > 0) {
		struct slice other = lower;

		lower = upper;
		upper = other;
	}
	if (upper.len > 0 && slice_equal(lower, upper)) {
		ASSERT_ERR(lsm_batch_delete_range(batch, prefix, lower, upper),
		           INVALID);
	} else {
		ASSERT_OK(lsm_batch_delete_range(batch, prefix, lower, upper));
		model_delete_range(model, prefix, lower, upper);
	}
	buf_release(&key);
	buf_release(&a);
	buf_release(&b);
}

static void add_change(struct lsm_batch *batch, struct model *model)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	uint64_t kind = gen_below(&w.gen, 200);

	random_key(&key);
	random_value(&value);
	if (kind < 4 && w.kit.options.range_prefix_bytes > 0) {
		delete_range(batch, model);
	} else if (kind < 120) {
		ASSERT_OK(
		    lsm_batch_put(batch, buf_slice(&key), buf_slice(&value)));
		model_put(model, buf_slice(&key), buf_slice(&value));
	} else if (kind < 160) {
		ASSERT_OK(lsm_batch_delete(batch, buf_slice(&key)));
		model_delete(model, buf_slice(&key));
	} else {
		if (value.len > 8)
			value.len = 8;
		ASSERT_OK(
		    lsm_batch_merge(batch, buf_slice(&key), buf_slice(&value)));
		ASSERT_OK(model_merge(model, append_fold, NULL, buf_slice(&key),
		                      buf_slice(&value)));
	}
	buf_release(&key);
	buf_release(&value);
}

static void write_batch(struct lsm *store, struct model *model,
                        int64_t *counter)
{
	struct lsm_batch *batch;
	uint64_t entries = 1;

	if (gen_below(&w.gen, 4) == 0)
		entries += gen_below(&w.gen, BATCH_MAX);
	ASSERT_OK(lsm_batch_create(&batch));
	for (uint64_t i = 0; i < entries; i++)
		add_change(batch, model);
	entries = lsm_batch_entries(batch); /* without what was refused */
	lsm_batch_count(batch, 1, (int64_t)entries);
	*counter += (int64_t)entries;
	ASSERT_OK(lsm_write(store, batch, NULL, NULL));
	lsm_batch_destroy(batch);
}

static void release_readers(void)
{
	for (size_t i = 0; i < WALKERS; i++)
		walker_close(&w.walkers[i]);
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		lsm_snapshot_release(w.kit.store, w.held[i].snap);
		w.held[i].snap = NULL;
	}
}

static void open_store(void)
{
	if (w.kit.runtime == NULL)
		ASSERT_OK(
		    lsm_runtime_create(&w.kit.runtime_options, &w.kit.runtime));
	ASSERT_OK(
	    lsm_open(w.kit.runtime, w.path, &w.kit.options, &w.kit.store));
	check_whole(w.kit.store, NULL, &w.model);
	ck_assert_int_eq(lsm_counter(w.kit.store, 1), w.counter);
}

static void reopen(void)
{
	release_readers();
	if (gen_below(&w.gen, 2) == 0) {
		kit_close(&w.kit);
	} else {
		ASSERT_OK(lsm_close(w.kit.store));
		w.kit.store = NULL;
	}
	open_store();
}

static void crash(void)
{
	unsigned keep = KEEP_ALL;

	release_readers();
	if (gen_below(&w.gen, 2) == 0) {
		ASSERT_OK(lsm_sync(w.kit.store));
		keep = (unsigned)gen_below(&w.gen, KEEP_ALL + 1);
	}
	kit_crash(&w.kit, keep, gen_u64(&w.gen));
	open_store();
}

static void turn_snapshot(void)
{
	size_t i = gen_below(&w.gen, SNAPSHOTS);

	if (w.held[i].snap != NULL) {
		check_whole(w.kit.store, w.held[i].snap, &w.held[i].model);
		lsm_snapshot_release(w.kit.store, w.held[i].snap);
		w.held[i].snap = NULL;
	} else {
		ASSERT_OK(lsm_snapshot_take(w.kit.store, &w.held[i].snap));
		model_copy(&w.held[i].model, &w.model);
		w.held[i].seq = lsm_sequence(w.kit.store);
	}
}

static void expect_expired(const struct lsm_snapshot *snap)
{
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct lsm_iter *it;

	random_key(&key);
	ASSERT_ERR(lsm_get(w.kit.store, snap, buf_slice(&key), &value),
	           EXPIRED);
	ASSERT_ERR(lsm_iter_create(w.kit.store, snap, slice_make(NULL, 0),
	                           slice_make(NULL, 0), &it),
	           EXPIRED);
	buf_release(&key);
	buf_release(&value);
}

/* Draw a horizon, which may be an impossible one; who lies behind it goes. */
static void forget_history(void)
{
	struct lsm_stats stats;
	uint64_t up_to;
	enum lsm_err err;

	lsm_stats(w.kit.store, &stats);
	up_to = gen_below(&w.gen, stats.sequence + 3);
	if (gen_below(&w.gen, 2) == 0 && stats.sequence > 20)
		up_to = stats.sequence - gen_below(&w.gen, 20);
	err = lsm_compact(w.kit.store, up_to, NULL);
	if (up_to == 0) {
		ASSERT_ERR(err, ZERO_HORIZON);
	} else if (up_to > stats.sequence) {
		ASSERT_ERR(err, FUTURE_HORIZON);
	} else if (up_to < stats.horizon) {
		ASSERT_ERR(err, OLD_HORIZON);
	} else {
		ASSERT_OK(err);
		for (size_t i = 0; i < SNAPSHOTS; i++) {
			if (w.held[i].snap == NULL || w.held[i].seq >= up_to)
				continue;
			expect_expired(w.held[i].snap);
			lsm_snapshot_release(w.kit.store, w.held[i].snap);
			w.held[i].snap = NULL;
		}
	}
}

static void read_some(void)
{
	struct buf lower = BUF_INIT, upper = BUF_INIT, target = BUF_INIT;
	const struct lsm_snapshot *snap = NULL;
	const struct model *model = &w.model;
	size_t i = gen_below(&w.gen, 2 * SNAPSHOTS);

	if (i < SNAPSHOTS && w.held[i].snap != NULL) {
		snap = w.held[i].snap;
		model = &w.held[i].model;
	}
	for (int n = 0; n < 10; n++)
		check_get(snap, model);
	random_bound(&lower);
	random_bound(&upper);
	random_bound(&target);
	check_walk(w.kit.store, snap, model, buf_slice(&lower),
	           buf_slice(&upper), buf_slice(&target));
	buf_release(&lower);
	buf_release(&upper);
	buf_release(&target);
}

static void remove_store(const char *path)
{
	struct env_dir *root;

	ASSERT_OK(env_dir_open(w.kit.env, "/", &root));
	ASSERT_OK(env_remove_tree(root, path + 1));
	env_dir_close(root);
}

/* Parent and child go their own ways; one of them goes on. */
static void fork_store(void)
{
	struct lsm_fork_info info;
	struct model child_model;
	int64_t child_counter = w.counter;
	struct lsm *child;

	model_init(&child_model);
	model_copy(&child_model, &w.model);
	snprintf(w.child_path, sizeof(w.child_path), "/fork%u", w.forks++);
	ASSERT_OK(lsm_export(w.kit.store, w.child_path, &info));
	ck_assert_uint_eq(info.bytes_flushed, 0);
	write_batch(w.kit.store, &w.model, &w.counter);
	ASSERT_OK(
	    lsm_open(w.kit.runtime, w.child_path, &w.kit.options, &child));
	check_whole(child, NULL, &child_model);
	for (int i = 0; i < 10; i++) {
		write_batch(child, &child_model, &child_counter);
		write_batch(w.kit.store, &w.model, &w.counter);
	}
	check_whole(child, NULL, &child_model);
	check_whole(w.kit.store, NULL, &w.model);
	if (gen_below(&w.gen, 2) == 0) {
		ASSERT_OK(lsm_close(child));
		remove_store(w.child_path);
	} else {
		release_readers();
		ASSERT_OK(lsm_close(w.kit.store));
		w.kit.store = child;
		remove_store(w.path);
		memcpy(w.path, w.child_path, sizeof(w.path));
		model_copy(&w.model, &child_model);
		w.counter = child_counter;
	}
	model_release(&child_model);
}

static void take_step(void)
{
	uint64_t dice = gen_below(&w.gen, 1000);

	/* Half the time nobody holds a sequence, so that all may be reduced. */
	if (w.step % (2 * QUIET_STEPS) == 0)
		release_readers();
	if (w.step++ % (2 * QUIET_STEPS) < QUIET_STEPS && dice >= 860 &&
	    dice < 950)
		dice = 0;
	if (dice < 800)
		write_batch(w.kit.store, &w.model, &w.counter);
	else if (dice < 860)
		read_some();
	else if (dice < 925)
		turn_walker();
	else if (dice < 950)
		turn_snapshot();
	else if (dice < 965)
		ASSERT_OK(lsm_flush(w.kit.store));
	else if (dice < 969)
		ASSERT_OK(compact_all(w.kit.store));
	else if (dice < 972)
		forget_history();
	else if (dice < 975)
		ASSERT_OK(lsm_sync(w.kit.store));
	else if (dice < 982)
		reopen();
	else if (dice < 992)
		crash();
	else
		fork_store();
}

static void tell(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "%s\n", line);
}

/* Everything that is named is whole, and values lie apart where they should. */
static void check_segments(bool wanted)
{
	struct lsm_stats stats;
	uint64_t faults = 0;

	ASSERT_OK(lsm_verify(w.kit.store, tell, NULL, &faults));
	ck_assert_uint_eq(faults, 0);
	lsm_stats(w.kit.store, &stats);
	ck_assert_int_eq(stats.segments.live_bytes > 0, wanted);
}

START_TEST(random_work_reads_like_the_model)
{
	memset(&w, 0, sizeof(w));
	fprintf(stderr, "%s, %" PRIu64 " steps: seed %" PRIu64 "\n",
	        all_limits[_i].name, steps, seed);
	gen_init(&w.gen, seed + (uint64_t)_i);
	kit_init(&w.kit);
	kit_set_limits(&w.kit, &all_limits[_i]);
	/* Every other one places what it can at commit. */
	w.kit.options.direct_min_bytes = (uint32_t)_i % 2;
	model_init(&w.model);
	strcpy(w.path, "/st");
	ASSERT_OK(lsm_create(w.kit.env, w.path, slice_str("owner")));
	open_store();
	for (uint64_t i = 0; i < steps; i++)
		take_step();
	check_whole(w.kit.store, NULL, &w.model);
	release_readers();
	kit_close(&w.kit);
	open_store();
	check_segments(all_limits[_i].segment_min_bytes > 0);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		model_release(&w.held[i].model);
	for (size_t i = 0; i < WALKERS; i++)
		walker_release(&w.walkers[i]);
	model_release(&w.model);
	kit_release(&w.kit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model");
	TCase *tc = tcase_create("model");
	const char *text = getenv("SHALEFS_STEPS");

	seed = gen_seed(20261122);
	if (text != NULL && text[0] != '\0')
		steps = strtoull(text, NULL, 0);
	tcase_add_loop_test(tc, random_work_reads_like_the_model, 0,
	                    (int)(sizeof(all_limits) / sizeof(all_limits[0])));
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
