/* SPDX-License-Identifier: MIT */
/*
 * test_job_model.c: random flushes and compactions, with snapshots that come
 * and go, change nothing that can be read at any sequence number that is held.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/compact/job_kit.h"
#include "tests/support/gen.h"

enum {
	LAST = LSM_LEVELS - 1,
	MODEL_KEYS = 24,
	MODEL_OPS = 2000,
	MODEL_SNAPSHOTS = 4,
	VALUE_BYTES = 1 << 14,
};

static struct kit kit;
static struct version *version;

static void setup(void)
{
	kit_open(&kit);
	ck_assert_int_eq(version_create(&version), LSM_OK);
}

static void teardown(void)
{
	version_unref(version);
	kit_close(&kit);
}

static void assert_reads(const char *user, uint64_t seq, const char *expected)
{
	struct buf value = BUF_INIT;
	bool found = kit_get(&kit, version, user, seq, &value);

	ck_assert(found == (expected != NULL));
	if (found)
		ck_assert_str_eq((const char *)value.data, expected);
	buf_release(&value);
}

static uint64_t entries_of(unsigned level)
{
	uint64_t entries = 0;

	for (size_t i = 0; i < version->levels[level].count; i++)
		entries += version->levels[level].tables[i]->info.entries;
	return entries;
}

/* A job that may end early does so at every other place, by lot. */
static bool yields_at_random(void *ctx)
{
	return gen_below(ctx, 2) == 0;
}

struct model {
	struct gen gen;
	struct entry ops[MODEL_OPS]; /* of sequence index + 1 */
	size_t op_count;
	char users[MODEL_KEYS][8], values[MODEL_OPS][8];
	uint64_t snapshots[MODEL_SNAPSHOTS];
	size_t snapshot_count;
	struct buf cursor[LSM_LEVELS];
};

static void model_init(struct model *model, uint64_t seed)
{
	memset(model, 0, sizeof(*model));
	gen_init(&model->gen, seed);
	for (size_t i = 0; i < MODEL_KEYS; i++)
		snprintf(model->users[i], 8, "%c%zu", "abc"[i % 3], i);
}

static void model_release(struct model *model)
{
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_release(&model->cursor[level]);
}

/* What the changes up to `seq` amount to; false for nothing. */
static bool model_get(const struct model *model, const char *user, uint64_t seq,
                      char value[VALUE_BYTES])
{
	bool found = false;

	value[0] = '\0';
	for (size_t i = 0; i < model->op_count && i < seq; i++) {
		const struct entry *op = &model->ops[i];

		if (op->user != user)
			continue;
		found = op->kind != KEY_DELETE;
		if (op->kind != KEY_MERGE)
			value[0] = '\0';
		strcat(value, op->value);
	}
	return found;
}

static void model_compare(const struct model *model)
{
	static char value[VALUE_BYTES];

	for (size_t i = 0; i < MODEL_KEYS; i++) {
		const char *user = model->users[i];

		for (size_t j = 0; j <= model->snapshot_count; j++) {
			uint64_t seq = j < model->snapshot_count
			                   ? model->snapshots[j]
			                   : model->op_count;
			bool found = model_get(model, user, seq, value);

			assert_reads(user, seq, found ? value : NULL);
		}
	}
}

/* Make some changes, reduce them as a flush does, add them to L0. */
static void model_flush(struct model *model)
{
	static const enum key_kind kinds[] = {KEY_PUT, KEY_DELETE, KEY_MERGE};
	struct reduce_options options = {
	    .fold = kit.context.fold,
	    .snapshots = model->snapshots,
	    .snapshot_count = model->snapshot_count,
	};
	size_t first = model->op_count;
	size_t count = 1 + gen_below(&model->gen, 20);
	struct iter *stream;
	struct edit edit;

	for (size_t i = first; i < first + count; i++) {
		enum key_kind kind = kinds[gen_below(&model->gen, 3)];
		size_t key = gen_below(&model->gen, MODEL_KEYS);

		snprintf(model->values[i], 8, "%zu,", i % 100000);
		model->ops[i] =
		    (struct entry){model->users[key], i + 1, kind,
		                   kind == KEY_DELETE ? "" : model->values[i]};
	}
	model->op_count += count;
	ck_assert_int_eq(
	    reduce_iter_create(kit_stream(&model->ops[first], count), &options,
	                       &stream),
	    LSM_OK);
	edit_init(&edit);
	ck_assert_int_eq(
	    job_write_tables(&kit.context, stream, 0, false, &edit), LSM_OK);
	kit_apply(&version, &edit);
}

static void model_change_snapshots(struct model *model)
{
	size_t drop;

	if (model->snapshot_count < MODEL_SNAPSHOTS &&
	    (model->snapshot_count == 0 ||
	     model->snapshots[model->snapshot_count - 1] < model->op_count)) {
		model->snapshots[model->snapshot_count++] = model->op_count;
	} else {
		drop = gen_below(&model->gen, model->snapshot_count);
		model->snapshot_count--;
		for (size_t i = drop; i < model->snapshot_count; i++)
			model->snapshots[i] = model->snapshots[i + 1];
	}
}

static bool model_compact(struct model *model, enum pick_why why)
{
	struct pick_options options = {
	    4,           2048, 512, gen_below(&model->gen, 2) * 4096,
	    KEY_SEQ_MAX, why,  0};
	struct compact_plan plan;
	struct edit edit;
	bool due;

	kit.context.snapshots = model->snapshots;
	kit.context.snapshot_count = model->snapshot_count;
	ck_assert_int_eq(
	    pick_compaction(version, &options, model->cursor, &plan, &due),
	    LSM_OK);
	if (!due)
		return false;
	edit_init(&edit);
	ck_assert_int_eq(job_compact(&kit.context, version, &plan, &edit),
	                 LSM_OK);
	kit_apply(&version, &edit);
	compact_plan_release(&plan);
	return true;
}

static uint64_t model_live(const struct model *model)
{
	static char value[VALUE_BYTES];
	uint64_t live = 0;

	for (size_t i = 0; i < MODEL_KEYS; i++)
		live +=
		    model_get(model, model->users[i], model->op_count, value);
	return live;
}

START_TEST(random_jobs_change_nothing_that_can_be_read)
{
	static struct model model;

	model_init(&model, gen_seed(3));
	kit.context.table_bytes = 512;
	kit.context.control.yield = yields_at_random;
	kit.context.control.ctx = &model.gen;
	while (model.op_count + 20 < MODEL_OPS) {
		model_flush(&model);
		if (gen_below(&model.gen, 3) == 0)
			model_change_snapshots(&model);
		if (gen_below(&model.gen, 2) == 0)
			(void)model_compact(
			    &model, (enum pick_why)gen_below(&model.gen, 3));
		model_compare(&model);
	}
	model.snapshot_count = 0;
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		buf_clear(&model.cursor[level]);
	while (model_compact(&model, PICK_ALL))
		model_compare(&model);
	for (unsigned level = 0; level < LAST; level++)
		ck_assert_uint_eq(version->levels[level].count, 0);
	ck_assert_uint_le(model_live(&model), entries_of(LAST));
	ck_assert_uint_eq(kit_known(&kit), version->levels[LAST].count);
	model_release(&model);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("job model");
	TCase *tc = tcase_create("random");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, random_jobs_change_nothing_that_can_be_read);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
