/* SPDX-License-Identifier: MIT */
/*
 * test_fork_model.c: random work on many branches of one store reads like the same
 * work on as many sorted arrays: forks of forks, writes on all sides, flushes that
 * fail and land late, compactions, deletions in any order, closing, reopening from
 * any branch, the death of the process, power cuts, and one damaged manifest.
 *
 * SHALEFS_SEED repeats a run, SHALEFS_STEPS makes it longer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/store/store_kit.h"
#include "tests/support/append.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"
#include "tests/support/model.h"

enum {
	SEGMENT_MIN_BYTES = 30, /* most values lie apart */
	STEPS = 500,            /* of each set of options */
	BRANCHES = 12,
	KEYS = 80,
	BATCH_MAX = 12,
	VALUE_BYTES = 120,
	KEEP_ALL = 256,
};

static const struct kit_limits all_limits[] = {
    {"small", 256 << 10, 0, 0, 16 << 10, 16 << 10, 64 << 10, 1 << 10, 4,
     SEGMENT_MIN_BYTES, 0},
    {"one-file levels", 64 << 10, 0, 0, 4 << 10, 1 << 10, 1 << 10, 1 << 10, 1,
     SEGMENT_MIN_BYTES, 0},
    {"a pool of one batch", 8 << 10, 0, 0, 4 << 10, 4 << 10, 8 << 10, 1 << 10,
     2, SEGMENT_MIN_BYTES, 0},
    {"credit off", 0, 0, 0, 4 << 10, 8 << 10, 16 << 10, 512, 2,
     SEGMENT_MIN_BYTES, 0},
    {"a period of 1 ms", 64 << 10, 1, 1, 8 << 10, 4 << 10, 8 << 10, 1 << 10, 3,
     SEGMENT_MIN_BYTES, 0},
    {"many L0 tables", 64 << 10, 0, 5, 4 << 10, 64 << 10, 1 << 20, 256, 100,
     SEGMENT_MIN_BYTES, 0},
};

struct side {
	bool exists, read_only;
	char name[24];
	int parent; /* index; -1: none */
	struct model model;
	int64_t counter;
	struct lsm *lsm; /* NULL: not open */
};

static struct world {
	struct kit kit;
	struct gen gen;
	struct side sides[BRANCHES];
	unsigned names;
	bool holding; /* no table can be made */
} w;

static uint64_t seed;
static uint64_t steps = STEPS;

/* ---- choosing ------------------------------------------------------------ */

static bool is_open(const struct side *side)
{
	return side->exists && side->lsm != NULL;
}

static bool is_writable(const struct side *side)
{
	return is_open(side) && !side->read_only;
}

static bool is_closed(const struct side *side)
{
	return side->exists && side->lsm == NULL;
}

static bool is_there(const struct side *side)
{
	return side->exists;
}

static bool is_free(const struct side *side)
{
	return !side->exists;
}

/* One of those that `is` says yes to; NULL where there is none. */
static struct side *choose(bool (*is)(const struct side *side))
{
	size_t start = gen_below(&w.gen, BRANCHES);

	for (size_t i = 0; i < BRANCHES; i++)
		if (is(&w.sides[(start + i) % BRANCHES]))
			return &w.sides[(start + i) % BRANCHES];
	return NULL;
}

static struct lsm *any_open(void)
{
	struct side *side = choose(is_open);

	ck_assert_ptr_nonnull(side);
	return side->lsm;
}

static size_t count_open(void)
{
	size_t count = 0;

	for (size_t i = 0; i < BRANCHES; i++)
		count += is_open(&w.sides[i]);
	return count;
}

static size_t count_children(const struct side *side)
{
	size_t count = 0;

	for (size_t i = 0; i < BRANCHES; i++)
		count += w.sides[i].exists &&
		         w.sides[i].parent == (int)(side - w.sides);
	return count;
}

static bool is_below(const struct side *side, const struct side *root)
{
	while (side != root && side->parent >= 0)
		side = &w.sides[side->parent];
	return side == root;
}

/* ---- what a branch should hold -------------------------------------------- */

static void check_side(const struct side *side)
{
	struct slice none = slice_make(NULL, 0);
	struct lsm_iter *it;
	size_t at = 0;

	ASSERT_OK(lsm_iter_create(side->lsm, NULL, none, none, &it));
	for (lsm_iter_seek(it, none); lsm_iter_valid(it);
	     lsm_iter_next(it), at++) {
		const struct model_entry *entry = &side->model.entries[at];

		ck_assert_uint_lt(at, side->model.count);
		ck_assert(
		    slice_equal(lsm_iter_key(it), buf_slice(&entry->key)));
		ck_assert(
		    slice_equal(lsm_iter_value(it), buf_slice(&entry->value)));
	}
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	ck_assert_uint_eq(at, side->model.count);
	ck_assert_int_eq(lsm_counter(side->lsm, 1), side->counter);
}

static void verify_all(uint64_t expected)
{
	ck_assert_uint_eq(kit_faults(any_open()), expected);
}

static void check_list(size_t damaged)
{
	struct lsm_branch_info *list;
	size_t count, expected = 0, bad = 0;

	ASSERT_OK(lsm_branch_list(any_open(), &list, &count));
	while (count > 0 && list[count - 1].damaged) {
		bad++;
		count--;
	}
	for (size_t i = 0; i < BRANCHES; i++)
		expected += w.sides[i].exists;
	ck_assert_uint_eq(count + damaged, expected);
	ck_assert_uint_eq(bad, damaged);
	for (size_t i = 0; i < BRANCHES; i++) {
		const struct side *side = &w.sides[i];
		size_t at = 0;

		while (side->exists && at < count &&
		       strcmp(list[at].name, side->name) != 0)
			at++;
		if (!side->exists || (at == count && damaged > 0))
			continue;
		ck_assert_uint_lt(at, count);
		ck_assert(list[at].read_only == side->read_only);
		ck_assert(list[at].open == (side->lsm != NULL));
		if (damaged == 0)
			ck_assert_uint_eq(list[at].children,
			                  count_children(side));
	}
	free(list);
}

/* ---- steps ----------------------------------------------------------------- */

static void add_change(struct lsm_batch *batch, struct model *model)
{
	uint64_t kind = gen_below(&w.gen, 10);
	uint8_t bytes[VALUE_BYTES];
	struct slice key, value;
	char text[16];
	int len =
	    snprintf(text, sizeof(text), "k%" PRIu64, gen_below(&w.gen, KEYS));

	key = slice_make(text, (size_t)len);
	value = slice_make(bytes, (size_t)gen_below(&w.gen, VALUE_BYTES));
	gen_bytes(&w.gen, bytes, value.len);
	if (kind < 6) {
		ASSERT_OK(lsm_batch_put(batch, key, value));
		model_put(model, key, value);
	} else if (kind < 8) {
		ASSERT_OK(lsm_batch_delete(batch, key));
		model_delete(model, key);
	} else {
		if (value.len > 8)
			value.len = 8;
		ASSERT_OK(lsm_batch_merge(batch, key, value));
		ASSERT_OK(model_merge(model, append_fold, NULL, key, value));
	}
}

static void write_some(struct side *side)
{
	struct lsm_batch *batch;
	uint64_t entries = 1 + gen_below(&w.gen, BATCH_MAX);

	/* Credit does not come back while nothing is flushed. */
	if (w.holding && gen_below(&w.gen, 8) > 0)
		return;
	ASSERT_OK(lsm_batch_create(&batch));
	for (uint64_t i = 0; i < entries; i++)
		add_change(batch, &side->model);
	lsm_batch_count(batch, 1, (int64_t)entries);
	side->counter += (int64_t)entries;
	ASSERT_OK(lsm_write(side->lsm, batch, NULL, NULL));
	lsm_batch_destroy(batch);
}

static void stop_holding(void)
{
	if (w.holding)
		kit_heal(&w.kit);
	w.holding = false;
}

/* A while without flushes: logs are shared, and land later. Where credit is
   scarce that would only be waited for. */
static void turn_holding(void)
{
	if (w.holding) {
		stop_holding();
	} else if (w.kit.runtime_options.credit_bytes > 128 << 10 ||
	           w.kit.runtime_options.credit_bytes == 0) {
		kit_fail(&w.kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
		w.holding = true;
	}
}

static void fork_one(struct side *from)
{
	struct side *to = choose(is_free);
	struct lsm_branch_info info;

	if (to == NULL)
		return;
	to->read_only = gen_below(&w.gen, 4) == 0;
	snprintf(to->name, sizeof(to->name), "b%u", w.names++);
	to->parent = (int)(from - w.sides);
	model_copy(&to->model, &from->model);
	to->counter = from->counter;
	ASSERT_OK(lsm_branch_create(from->lsm, to->name, to->read_only, &info));
	ck_assert_str_eq(info.name, to->name);
	ck_assert_uint_eq(info.forked_at, lsm_sequence(from->lsm));
	to->exists = true;
}

static void open_one(struct side *side)
{
	enum lsm_err err;

	if (side == NULL)
		return;
	err = lsm_branch_open(any_open(), side->name, NULL, &side->lsm);
	/* It may have logs to be replayed into a table. */
	if (w.holding && err == LSM_ERR_IO)
		return;
	ASSERT_OK(err);
	check_side(side);
}

static void close_one(struct side *side)
{
	enum lsm_err err = lsm_close(side->lsm);

	side->lsm = NULL;
	ck_assert(err == LSM_OK || (w.holding && err == LSM_ERR_IO));
}

static void delete_one(struct side *side)
{
	bool recursive = gen_below(&w.gen, 2) == 0, open = false;
	enum lsm_err expected = LSM_OK;

	for (size_t i = 0; i < BRANCHES; i++)
		if (is_open(&w.sides[i]) && is_below(&w.sides[i], side))
			open = true;
	if (side->parent < 0)
		expected = LSM_ERR_INVALID;
	else if (side->lsm != NULL || (open && recursive))
		expected = LSM_ERR_BUSY;
	else if (!recursive && count_children(side) > 0)
		expected = LSM_ERR_NOT_EMPTY;
	ck_assert_int_eq(lsm_branch_delete(any_open(), side->name, recursive),
	                 expected);
	for (size_t i = 0; expected == LSM_OK && i < BRANCHES; i++)
		if (&w.sides[i] != side && w.sides[i].exists &&
		    is_below(&w.sides[i], side))
			w.sides[i].exists = false;
	if (expected == LSM_OK)
		side->exists = false;
}

/* ---- the whole store --------------------------------------------------------- */

static void close_all(void)
{
	struct side *side;

	while ((side = choose(is_open)) != NULL)
		close_one(side);
}

/* Open from any branch but `not`, then some of the others. */
static void open_all(const struct side * not )
{
	struct side *first;

	do {
		first = choose(is_closed);
	} while (first == not );
	if (w.kit.runtime == NULL)
		ASSERT_OK(
		    lsm_runtime_create(&w.kit.runtime_options, &w.kit.runtime));
	w.kit.options.branch = first->name;
	ASSERT_OK(
	    lsm_open(w.kit.runtime, KIT_PATH, &w.kit.options, &first->lsm));
	check_side(first);
	for (size_t i = 0; i < BRANCHES; i++)
		if (is_closed(&w.sides[i]) &&
		    &w.sides[i] != not &&gen_below(&w.gen, 3) > 0)
			open_one(&w.sides[i]);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void list_pool(struct kit_names *names)
{
	kit_list(w.kit.env, KIT_POOL, "", names);
	qsort(names->name, names->count, sizeof(names->name[0]), compare_names);
}

/* Open the branch, with nothing that is due to be compacted. */
static void open_at_rest(struct side *side)
{
	struct lsm_runtime_options runtime_options = w.kit.runtime_options;
	struct lsm_options options = w.kit.options;

	runtime_options.period_ms = 0;
	options.branch = side->name;
	options.l0_trigger = 10000;
	options.level_base_bytes = UINT64_C(1) << 40;
	options.segment_min_bytes = 0;
	lsm_runtime_destroy(w.kit.runtime);
	ASSERT_OK(lsm_runtime_create(&runtime_options, &w.kit.runtime));
	ASSERT_OK(lsm_open(w.kit.runtime, KIT_PATH, &options, &side->lsm));
}

/* After everything was closed well no log is left, and there is nothing to
   sweep. A branch whose close failed is opened first: it still has its logs. */
static void reopen(void)
{
	static struct kit_names before, after;
	struct side *side;

	stop_holding();
	while ((side = choose(is_closed)) != NULL)
		open_one(side);
	close_all();
	list_pool(&before);
	for (size_t i = 0; i < before.count; i++)
		ck_assert(strstr(before.name[i], ".wal") == NULL);
	side = choose(is_there);
	open_at_rest(side);
	list_pool(&after);
	ck_assert_uint_eq(before.count, after.count);
	for (size_t i = 0; i < before.count; i++)
		ck_assert_str_eq(before.name[i], after.name[i]);
	check_side(side);
	close_one(side);
	lsm_runtime_destroy(w.kit.runtime);
	w.kit.runtime = NULL;
	open_all(NULL);
}

static void crash(void)
{
	unsigned keep = KEEP_ALL;
	bool cut = gen_below(&w.gen, 2) == 0;

	for (size_t i = 0; i < BRANCHES && cut; i++)
		if (is_writable(&w.sides[i]))
			ASSERT_OK(lsm_sync(w.sides[i].lsm));
	if (cut)
		keep = (unsigned)gen_below(&w.gen, KEEP_ALL + 1);
	/* kit_crash() takes the disk as it is, then closes what it knows of. */
	w.kit.store = NULL;
	kit_crash_with(&w.kit, keep, gen_u64(&w.gen), close_all);
	w.holding = false;
	kit_heal(&w.kit);
	open_all(NULL);
}

/* Damage, or mend, the manifest in force of a branch that is not open; durably. */
static void flip_manifest(const struct lsm_branch_info *info)
{
	char folder[KIT_NAME_BYTES], name[KIT_NAME_BYTES];
	struct buf current = BUF_INIT;
	struct env_dir *dir;

	snprintf(folder, sizeof(folder), KIT_PATH "/branches/%016" PRIx64,
	         info->id);
	kit_read_file(w.kit.env, folder, "CURRENT", &current);
	snprintf(name, sizeof(name), "%.*s", (int)current.len - 1,
	         (const char *)current.data);
	buf_release(&current);
	kit_flip(w.kit.env, folder, name, 110);
	ASSERT_OK(env_dir_open(w.kit.env, folder, &dir));
	ASSERT_OK(env_sync_file(dir, name));
	ASSERT_OK(env_dir_sync(dir));
	env_dir_close(dir);
}

/* One manifest is damaged; the others go on, and when it is mended nothing of it
   is missing. */
static void damage(void)
{
	struct side *side = choose(is_there);
	struct lsm_branch_info info;

	if (side->parent < 0 || count_children(side) > 0)
		return;
	stop_holding();
	ASSERT_OK(lsm_branch_find(any_open(), side->name, &info));
	close_all();
	flip_manifest(&info);
	kit_log_begin();
	open_all(side);
	kit_log_end();
	check_list(1);
	for (int i = 0; i < 20; i++) {
		struct side *writer = choose(is_writable);

		if (writer != NULL)
			write_some(writer);
		if (writer != NULL && i % 5 == 0)
			ASSERT_OK(compact_all(writer->lsm));
	}
	verify_all(1);
	close_all();
	flip_manifest(&info);
	open_all(NULL);
	if (side->lsm == NULL)
		open_one(side);
	check_side(side);
}

static void compact(struct side *side)
{
	if (!w.holding)
		ASSERT_OK(compact_all(side->lsm));
}

static void flush(struct side *side)
{
	if (!w.holding)
		KIT_WAIT_UNTIL(lsm_flush(side->lsm) == LSM_OK);
}

static void take_step(void)
{
	uint64_t dice = gen_below(&w.gen, 1000);
	struct side *writer = choose(is_writable);

	if (dice < 600 && writer != NULL)
		write_some(writer);
	else if (dice < 680)
		fork_one(choose(is_open));
	else if (dice < 730)
		open_one(choose(is_closed));
	else if (dice < 770 && count_open() > 1)
		close_one(choose(is_open));
	else if (dice < 830)
		delete_one(choose(is_there));
	else if (dice < 870)
		turn_holding();
	else if (dice < 890 && writer != NULL)
		flush(writer);
	else if (dice < 905 && writer != NULL)
		compact(writer);
	else if (dice < 940)
		check_side(choose(is_open));
	else if (dice < 955)
		check_list(0);
	else if (dice < 970)
		verify_all(0);
	else if (dice < 982)
		reopen();
	else if (dice < 995)
		crash();
	else
		damage();
}

START_TEST(random_work_on_branches_reads_like_the_model)
{
	memset(&w, 0, sizeof(w));
	fprintf(stderr, "%s, %" PRIu64 " steps: seed %" PRIu64 "\n",
	        all_limits[_i].name, steps, seed);
	gen_init(&w.gen, seed + (uint64_t)_i);
	kit_init(&w.kit);
	kit_set_limits(&w.kit, &all_limits[_i]);
	/* Every other one places what it can at commit. */
	w.kit.options.direct_min_bytes = (uint32_t)_i % 2;
	ASSERT_OK(lsm_create(w.kit.env, KIT_PATH, slice_str("owner")));
	w.sides[0].exists = true;
	w.sides[0].parent = -1;
	strcpy(w.sides[0].name, "main");
	open_all(NULL);
	for (uint64_t i = 0; i < steps; i++)
		take_step();
	reopen();
	verify_all(0);
	while (choose(is_closed) != NULL)
		open_one(choose(is_closed));
	close_all();
	for (size_t i = 0; i < BRANCHES; i++)
		model_release(&w.sides[i].model);
	kit_release(&w.kit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fork model");
	TCase *tc = tcase_create("model");
	const char *text = getenv("SHALEFS_STEPS");

	seed = gen_seed(31);
	if (text != NULL && text[0] != '\0')
		steps = strtoull(text, NULL, 0);
	tcase_set_timeout(tc, 600);
	tcase_add_loop_test(tc, random_work_on_branches_reads_like_the_model, 0,
	                    (int)(sizeof(all_limits) / sizeof(all_limits[0])));
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
