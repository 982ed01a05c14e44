/* SPDX-License-Identifier: MIT */
/*
 * test_branch_lives.c: random work on several branches, large values placed at
 * commit, flushes, compactions, forks and deletions, until the power goes at a random
 * operation; then the store is opened, and lives on from what it holds. After each
 * cut every branch is a prefix of what was written to it, no shorter than what was
 * synced; what was said to be made or deleted is; and nothing is damaged.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"

#define NUMBER_KEY "~"

enum {
	LIVES = 60,
	LIVES_FULL = 600,
	OPERATIONS = 150, /* of a life, at most */
	CUT_MOST = 700,   /* the power goes before so many of the env's */
	BRANCHES = 6,
	KEYS = 24,
	KEYS_ALIKE = 4, /* that begin with one byte */
	KEY_BYTES = 16,
	CHANGES = 4, /* of a batch, at most */
	VALUE_MOST = 1200,
	TIMEOUT_S = 1200,
};

/* A branch, and the seed of each batch that was written to it. */
struct life {
	char name[16];
	bool exists, sure; /* not sure: a fork or deletion of it failed */
	bool read_only;
	struct lsm *lsm; /* NULL: not open */
	uint64_t parent; /* index */
	uint64_t *seeds;
	size_t started, acked, synced;
};

static struct kit kit;
static struct gen gen;
static struct life lives[BRANCHES];
static unsigned names;

/* ---- batches -------------------------------------------------------------- */

struct change {
	enum { PUT, DELETE, MERGE, RANGE } kind;
	unsigned key;
	size_t len;
	char value[VALUE_MOST];
};

static unsigned plan(uint64_t seed, struct change changes[CHANGES])
{
	static const size_t lens[] = {20, 20, 150, 400, VALUE_MOST};
	struct gen g;
	unsigned count;

	gen_init(&g, seed);
	count = 1 + (unsigned)gen_below(&g, CHANGES);
	for (unsigned i = 0; i < count; i++) {
		struct change *c = &changes[i];
		uint64_t dice = gen_below(&g, 100);

		c->kind = dice < 65   ? PUT
		          : dice < 75 ? DELETE
		          : dice < 95 ? MERGE
		                      : RANGE;
		c->key = (unsigned)gen_below(&g, KEYS);
		c->len = c->kind == MERGE ? 10 : lens[gen_below(&g, 5)];
		for (size_t n = 0; n < c->len; n++)
			c->value[n] = (char)('!' + gen_below(&g, 90));
	}
	return count;
}

static void name_key(unsigned key, char out[KEY_BYTES])
{
	snprintf(out, KEY_BYTES, "%c%u", (char)('A' + key / KEYS_ALIKE),
	         key % KEYS_ALIKE);
}

static void add_change(struct lsm_batch *batch, const struct change *c)
{
	struct slice value = slice_make(c->value, c->len);
	char key[KEY_BYTES];

	name_key(c->key, key);
	if (c->kind == PUT)
		ASSERT_OK(lsm_batch_put(batch, slice_str(key), value));
	else if (c->kind == DELETE)
		ASSERT_OK(lsm_batch_delete(batch, slice_str(key)));
	else if (c->kind == MERGE)
		ASSERT_OK(lsm_batch_merge(batch, slice_str(key), value));
	else
		ASSERT_OK(lsm_batch_delete_range(batch, slice_make(key, 1),
		                                 slice_str(key + 1),
		                                 slice_make(NULL, 0)));
}

static enum lsm_err write_batch(struct life *life)
{
	struct change changes[CHANGES];
	struct lsm_batch *batch;
	uint64_t seed = gen_u64(&gen);
	unsigned count = plan(seed, changes);
	char number[24];
	enum lsm_err err;

	life->seeds =
	    realloc(life->seeds, (life->acked + 1) * sizeof(*life->seeds));
	ck_assert_ptr_nonnull(life->seeds);
	life->seeds[life->acked] = seed;
	life->started = life->acked + 1;
	ASSERT_OK(lsm_batch_create(&batch));
	snprintf(number, sizeof(number), "%zu", life->started);
	ASSERT_OK(
	    lsm_batch_put(batch, slice_str(NUMBER_KEY), slice_str(number)));
	lsm_batch_count(batch, 0, 1);
	for (unsigned i = 0; i < count; i++)
		add_change(batch, &changes[i]);
	err = lsm_write(life->lsm, batch, NULL, NULL);
	lsm_batch_destroy(batch);
	if (err == LSM_OK)
		life->acked = life->started;
	return err;
}

/* ---- what a branch holds ---------------------------------------------------- */

struct state {
	bool present[KEYS];
	struct buf values[KEYS];
};

static void apply(struct state *state, const struct change *c)
{
	struct buf *value = &state->values[c->key];

	if (c->kind == RANGE) {
		for (unsigned k = c->key; k / KEYS_ALIKE == c->key / KEYS_ALIKE;
		     k++) {
			state->present[k] = false;
			buf_clear(&state->values[k]);
		}
		return;
	}
	if (c->kind != MERGE)
		buf_clear(value);
	state->present[c->key] = c->kind != DELETE;
	if (c->kind != DELETE)
		ASSERT_OK(buf_append(value, c->value, c->len));
}

/* How many batches the branch claims to hold. */
static size_t claim(struct lsm *lsm)
{
	struct buf value = BUF_INIT;
	size_t count = 0;
	enum lsm_err err = lsm_get(lsm, NULL, slice_str(NUMBER_KEY), &value);

	ck_assert_msg(err == LSM_OK || err == LSM_ERR_NOT_FOUND, "%s",
	              lsm_strerror(err));
	if (err == LSM_OK) {
		ASSERT_OK(buf_append(&value, "", 1));
		count = strtoul((const char *)value.data, NULL, 10);
	}
	buf_release(&value);
	return count;
}

static void expect_state(struct lsm *lsm, const struct state *state,
                         size_t claimed)
{
	struct lsm_iter *it;
	char key[KEY_BYTES];

	ASSERT_OK(lsm_iter_create(lsm, NULL, slice_make(NULL, 0),
	                          slice_make(NULL, 0), &it));
	lsm_iter_seek(it, slice_make(NULL, 0));
	for (unsigned k = 0; k < KEYS; k++) {
		if (!state->present[k])
			continue;
		name_key(k, key);
		ASSERT_OK(lsm_iter_status(it));
		ck_assert(lsm_iter_valid(it));
		ck_assert(slice_equal(lsm_iter_key(it), slice_str(key)));
		ck_assert_msg(slice_equal(lsm_iter_value(it),
		                          buf_slice(&state->values[k])),
		              "the value of %s", key);
		lsm_iter_next(it);
	}
	if (claimed > 0) {
		ck_assert(lsm_iter_valid(it));
		lsm_iter_next(it);
	}
	ck_assert(!lsm_iter_valid(it));
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	ck_assert_int_eq(lsm_counter(lsm, 0), (int64_t)claimed);
}

/* It holds a prefix, from which it lives on. */
static void check_open(struct life *life, struct lsm *lsm)
{
	struct change changes[CHANGES];
	struct state state = {.present = {false}};
	size_t claimed = claim(lsm);

	ck_assert_msg(claimed >= life->synced && claimed <= life->started,
	              "%s holds %zu batches, of %zu synced, %zu written",
	              life->name, claimed, life->synced, life->started);
	for (size_t i = 0; i < claimed; i++) {
		unsigned count = plan(life->seeds[i], changes);

		for (unsigned n = 0; n < count; n++)
			apply(&state, &changes[n]);
	}
	expect_state(lsm, &state, claimed);
	for (unsigned k = 0; k < KEYS; k++)
		buf_release(&state.values[k]);
	life->started = life->acked = life->synced = claimed;
}

/* ---- operations --------------------------------------------------------------- */

/* Some branch that is open, or is not; NULL: there is none. */
static struct life *pick(bool open)
{
	unsigned at = (unsigned)gen_below(&gen, BRANCHES);

	for (unsigned i = 0; i < BRANCHES; i++) {
		struct life *life = &lives[(at + i) % BRANCHES];

		if (life->exists && (life->lsm != NULL) == open)
			return life;
	}
	return NULL;
}

static enum lsm_err fork_from(struct life *parent)
{
	struct life *child = lives;
	enum lsm_err err;

	while (child < lives + BRANCHES && child->exists)
		child++;
	if (child == lives + BRANCHES)
		return LSM_OK;
	*child = (struct life){.exists = true,
	                       .read_only = gen_below(&gen, 4) == 0,
	                       .parent = (uint64_t)(parent - lives)};
	snprintf(child->name, sizeof(child->name), "b%u", names++);
	child->started = child->acked = child->synced = parent->acked;
	child->seeds = malloc((parent->acked + 1) * sizeof(*child->seeds));
	ck_assert_ptr_nonnull(child->seeds);
	if (parent->acked > 0)
		memcpy(child->seeds, parent->seeds,
		       parent->acked * sizeof(*child->seeds));
	err =
	    lsm_branch_create(parent->lsm, child->name, child->read_only, NULL);
	child->sure = err == LSM_OK;
	if (err == LSM_OK)
		parent->synced = parent->acked;
	return err;
}

static void forget(struct life *life)
{
	free(life->seeds);
	memset(life, 0, sizeof(*life));
}

static enum lsm_err delete_branch(struct life *life)
{
	enum lsm_err err;

	for (unsigned i = 1; i < BRANCHES; i++)
		if (lives[i].exists &&
		    lives[i].parent == (uint64_t)(life - lives))
			return LSM_OK;
	err = lsm_branch_delete(kit.store, life->name, false);
	life->sure = false;
	if (err == LSM_OK)
		forget(life);
	return err;
}

static enum lsm_err settle(struct life *life, enum lsm_err err)
{
	if (err == LSM_OK)
		life->synced = life->acked;
	return err;
}

static enum lsm_err close_branch(struct life *life)
{
	struct lsm *lsm = life->lsm;

	life->lsm = NULL;
	return settle(life, lsm_close(lsm));
}

static enum lsm_err operate(void)
{
	struct life *life = pick(true), *closed = pick(false);
	uint64_t dice = gen_below(&gen, 100);

	if (dice < 6 && closed != NULL)
		return lsm_branch_open(kit.store, closed->name, NULL,
		                       &closed->lsm);
	if (dice < 9 && closed != NULL)
		return delete_branch(closed);
	if (dice < 13 && life != lives)
		return close_branch(life);
	if (dice < 20)
		return fork_from(life);
	if (life->read_only)
		return LSM_OK;
	if (dice < 26)
		return settle(life, lsm_sync(life->lsm));
	if (dice < 30)
		return settle(life, lsm_flush(life->lsm));
	if (dice < 33)
		return settle(life, compact_all(life->lsm));
	return write_batch(life);
}

/* ---- lives --------------------------------------------------------------------- */

/* After the power went: what that makes durable nobody will see. */
static void close_all(void)
{
	for (unsigned i = 1; i < BRANCHES; i++) {
		(void)lsm_close(lives[i].lsm);
		lives[i].lsm = NULL;
	}
}

static void close_well(void)
{
	for (unsigned i = 1; i < BRANCHES; i++)
		if (lives[i].lsm != NULL)
			ASSERT_OK(close_branch(&lives[i]));
	ASSERT_OK(settle(&lives[0], kit_try_close(&kit)));
}

/* From operation `nth` of the env on nothing reaches the disk. */
static void cut_power(int nth)
{
	atomic_store(&kit.fault.skip, nth);
	kit.fault.err = LSM_ERR_IO;
	atomic_store(&kit.fault.times, -1);
	atomic_store(&kit.fault.op, (int)FAULT_OPS);
}

static void check_branch(struct life *life, size_t *found)
{
	struct lsm_branch_info info;
	struct lsm *lsm;
	enum lsm_err err = lsm_branch_find(kit.store, life->name, &info);

	if (err == LSM_ERR_NOT_FOUND && !life->sure) {
		forget(life);
		return;
	}
	ASSERT_OK(err);
	life->sure = true;
	++*found;
	ASSERT_OK(lsm_branch_open(kit.store, life->name, NULL, &lsm));
	check_open(life, lsm);
	if (gen_below(&gen, 2) == 0)
		ASSERT_OK(lsm_close(lsm));
	else
		life->lsm = lsm;
}

static void check_all(void)
{
	size_t found = 1;

	kit_open(&kit);
	lives[0].lsm = kit.store;
	check_open(&lives[0], kit.store);
	for (unsigned i = 1; i < BRANCHES; i++)
		if (lives[i].exists)
			check_branch(&lives[i], &found);
	ck_assert_uint_eq(kit_branch_count(&kit), found);
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH "/branches", ".tmp-"), 0);
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}

static void live(unsigned *cuts)
{
	static const unsigned keeps[] = {0, 256, 128, 20, 240};
	unsigned keep = keeps[gen_below(&gen, 5)];
	bool well = gen_below(&gen, 8) == 0;
	enum lsm_err err = LSM_OK;

	if (!well)
		cut_power((int)gen_below(&gen, CUT_MOST));
	for (unsigned i = 0; err == LSM_OK && i < OPERATIONS; i++)
		err = operate();
	if (well) {
		ASSERT_OK(err);
		close_well();
	} else {
		*cuts += err != LSM_OK;
		/* The death of the process alone loses nothing. */
		for (unsigned i = 0; keep == 256 && i < BRANCHES; i++)
			lives[i].synced = lives[i].acked;
		kit.store = lives[0].lsm;
		kit_crash_with(&kit, keep, gen_u64(&gen), close_all);
	}
	lives[0].lsm = NULL;
	check_all();
}

START_TEST(every_life_goes_on_from_a_prefix)
{
	const char *full = getenv("SHALEFS_FULL");
	unsigned count =
	    full != NULL && strcmp(full, "1") == 0 ? LIVES_FULL : LIVES;
	unsigned cuts = 0;

	gen_init(&gen, gen_seed(20261122));
	kit_init(&kit);
	kit.runtime_options.credit_bytes = 64 << 10;
	kit.options.range_prefix_bytes = 1;
	kit.options.memtable_bytes = 8 << 10;
	kit.options.block_bytes = 512;
	kit.options.table_bytes = 2 << 10;
	kit.options.level_base_bytes = 8 << 10;
	kit.options.l0_trigger = 2;
	kit.options.log_step_bytes = 2 << 10;
	kit.options.log_map_after = 1;
	kit.options.nospace_wait_ms = 20;
	kit.options.segment_min_bytes = 120;
	kit.options.direct_min_bytes = 140;
	kit_log_begin();
	kit_create(&kit);
	lives[0] = (struct life){.name = "main",
	                         .exists = true,
	                         .sure = true,
	                         .parent = BRANCHES,
	                         .lsm = kit.store};
	for (unsigned i = 0; i < count; i++)
		live(&cuts);
	close_well();
	kit_log_end();
	fprintf(stderr, "%u lives, %u cut off, %u branches\n", count, cuts,
	        names);
	ck_assert_uint_gt(cuts, count / 8);
	ck_assert_uint_gt(names, count / 8);
	for (unsigned i = 0; i < BRANCHES; i++)
		free(lives[i].seeds);
	kit_release(&kit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("branch lives");
	TCase *tc = tcase_create("lives");

	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, every_life_goes_on_from_a_prefix);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
