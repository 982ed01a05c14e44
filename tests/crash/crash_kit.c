/* SPDX-License-Identifier: MIT */
#include "tests/crash/crash_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/append.h"
#include "tests/support/gen.h"

enum {
	KEY_BYTES = 260, /* long, so that the manifest outgrows its list soon */
	OPS_MAX = 4,
	KEYS_ALIKE = 4, /* that begin with one byte */
	VALUE_MAX_BYTES = 160,
	BIG_VALUE_BYTES = 3000,
	BIG_EVERY = 37, /* batches */
	COUNTER_BATCHES = 0,
	COUNTER_RANDOM = 1,
	COUNTER_LAST = LSM_COUNTERS - 1,
};

struct kit_model {
	uint64_t seed;
	size_t batches;
	char keys[KIT_KEYS][KEY_BYTES];
	struct kit_state *states; /* batches + 1 */
};

/* ---- failing ------------------------------------------------------------ */

bool kit_fail(struct kit_why *why, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why->text, sizeof(why->text), format, args);
	va_end(args);
	return false;
}

void kit_must_hold(bool holds, const char *text, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: the test cannot go on: %s\n", file, line, text);
	exit(EXIT_FAILURE);
}

bool kit_full(void)
{
	const char *text = getenv("SHALEFS_FULL");

	return text != NULL && strcmp(text, "1") == 0;
}

static void drop_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

void kit_quiet(void)
{
	if (getenv("SHALEFS_LOG") == NULL)
		log_set_sink(drop_line, NULL);
	else
		log_set_level(LOG_LEVEL_DEBUG);
}

/* ---- the batches --------------------------------------------------------- */

struct op {
	/* A range: of the key and those behind it that begin alike. */
	enum { OP_PUT, OP_DELETE, OP_MERGE, OP_RANGE } kind;
	size_t key;
	size_t value_len;
	char value[BIG_VALUE_BYTES];
};

struct batch_plan {
	struct op ops[OPS_MAX];
	size_t count;
	int64_t random_delta;
};

static void random_text(struct gen *gen, char *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (char)('!' + gen_below(gen, 90));
}

static void plan_batch(const struct kit_model *model, size_t index,
                       struct batch_plan *plan)
{
	struct gen gen;

	gen_init(&gen, model->seed * 1000003 + index);
	plan->count = 1 + gen_below(&gen, OPS_MAX);
	plan->random_delta = (int64_t)gen_below(&gen, 2001) - 1000;
	for (size_t i = 0; i < plan->count; i++) {
		struct op *op = &plan->ops[i];
		uint64_t dice = gen_below(&gen, 100);

		op->kind = dice < 60   ? OP_PUT
		           : dice < 74 ? OP_DELETE
		           : dice < 80 ? OP_RANGE
		                       : OP_MERGE;
		op->key = gen_below(&gen, KIT_KEYS);
		op->value_len = op->kind == OP_MERGE
		                    ? 1 + gen_below(&gen, 20)
		                    : 1 + gen_below(&gen, VALUE_MAX_BYTES);
		if (i == 0 && (index % BIG_EVERY == BIG_EVERY - 1 ||
		               index == model->batches / 5)) {
			op->kind = OP_PUT;
			op->value_len = BIG_VALUE_BYTES;
		}
		random_text(&gen, op->value, op->value_len);
	}
}

static void number_text(size_t index, char out[24])
{
	snprintf(out, 24, "%zu", index + 1);
}

enum lsm_err kit_fill(const struct kit_model *model, size_t index,
                      struct lsm_batch *batch)
{
	struct batch_plan plan;
	char number[24];
	enum lsm_err err;

	plan_batch(model, index, &plan);
	number_text(index, number);
	lsm_batch_clear(batch);
	lsm_batch_count(batch, COUNTER_BATCHES, 1);
	lsm_batch_count(batch, COUNTER_RANDOM, plan.random_delta);
	lsm_batch_count(batch, COUNTER_LAST, -(int64_t)index);
	err =
	    lsm_batch_put(batch, slice_str(KIT_NUMBER_KEY), slice_str(number));
	for (size_t i = 0; err == LSM_OK && i < plan.count; i++) {
		const struct op *op = &plan.ops[i];
		struct slice key = slice_str(model->keys[op->key]);
		struct slice value = slice_make(op->value, op->value_len);

		if (op->kind == OP_PUT)
			err = lsm_batch_put(batch, key, value);
		else if (op->kind == OP_DELETE)
			err = lsm_batch_delete(batch, key);
		else if (op->kind == OP_RANGE)
			err = lsm_batch_delete_range(
			    batch, slice_make(key.data, 1),
			    slice_make(key.data + 1, key.len - 1),
			    slice_make(NULL, 0));
		else
			err = lsm_batch_merge(batch, key, value);
	}
	return err;
}

enum lsm_err kit_write(const struct kit_model *model, struct lsm *store,
                       size_t index)
{
	struct lsm_batch *batch = NULL;
	enum lsm_err err = lsm_batch_create(&batch);

	if (err == LSM_OK)
		err = kit_fill(model, index, batch);
	if (err == LSM_OK)
		err = lsm_write(store, batch, NULL, NULL);
	lsm_batch_destroy(batch);
	return err;
}

/* ---- the model ------------------------------------------------------------
 */

enum lsm_err kit_dump_entry(struct buf *dump, struct slice key,
                            struct slice value)
{
	uint32_t lens[2] = {(uint32_t)key.len, (uint32_t)value.len};
	enum lsm_err err = buf_append(dump, lens, sizeof(lens));

	if (err == LSM_OK)
		err = buf_append_slice(dump, key);
	if (err == LSM_OK)
		err = buf_append_slice(dump, value);
	return err;
}

struct slots {
	struct buf values[KIT_KEYS];
	bool present[KIT_KEYS];
};

static void delete_slots(struct slots *slots, size_t from)
{
	for (size_t k = from; k / KEYS_ALIKE == from / KEYS_ALIKE; k++) {
		buf_clear(&slots->values[k]);
		slots->present[k] = false;
	}
}

static void apply_plan(struct slots *slots, const struct batch_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct op *op = &plan->ops[i];
		struct buf *value = &slots->values[op->key];

		if (op->kind == OP_RANGE) {
			delete_slots(slots, op->key);
			continue;
		}
		if (op->kind != OP_MERGE)
			buf_clear(value);
		if (op->kind != OP_DELETE)
			kit_must(buf_append(value, op->value, op->value_len) ==
			         LSM_OK);
		slots->present[op->key] = op->kind != OP_DELETE;
	}
}

/* The keys are in order, and KIT_NUMBER_KEY comes after them all. */
static void dump_slots(const struct kit_model *model, const struct slots *slots,
                       size_t batches, struct buf *dump)
{
	char number[24];

	for (size_t k = 0; k < KIT_KEYS; k++)
		if (slots->present[k])
			kit_must(kit_dump_entry(dump, slice_str(model->keys[k]),
			                        buf_slice(&slots->values[k])) ==
			         LSM_OK);
	if (batches == 0)
		return;
	number_text(batches - 1, number);
	kit_must(kit_dump_entry(dump, slice_str(KIT_NUMBER_KEY),
	                        slice_str(number)) == LSM_OK);
}

struct kit_model *kit_model_create(uint64_t seed, size_t batches)
{
	struct kit_model *model = calloc(1, sizeof(*model));
	struct slots slots = {0};
	struct batch_plan plan;
	struct gen gen;

	kit_must(model != NULL);
	model->seed = seed;
	model->batches = batches;
	model->states = calloc(batches + 1, sizeof(*model->states));
	kit_must(model->states != NULL);
	gen_init(&gen, seed);
	for (size_t k = 0; k < KIT_KEYS; k++) {
		random_text(&gen, model->keys[k], KEY_BYTES - 1);
		model->keys[k][0] = (char)('A' + k / KEYS_ALIKE);
		model->keys[k][1] = (char)('a' + k % KEYS_ALIKE);
	}
	for (size_t n = 1; n <= batches; n++) {
		struct kit_state *state = &model->states[n];

		plan_batch(model, n - 1, &plan);
		apply_plan(&slots, &plan);
		dump_slots(model, &slots, n, &state->dump);
		memcpy(state->counters, state[-1].counters,
		       sizeof(state->counters));
		state->counters[COUNTER_BATCHES] += 1;
		state->counters[COUNTER_RANDOM] += plan.random_delta;
		state->counters[COUNTER_LAST] -= (int64_t)(n - 1);
	}
	for (size_t k = 0; k < KIT_KEYS; k++)
		buf_release(&slots.values[k]);
	return model;
}

void kit_model_destroy(struct kit_model *model)
{
	if (model == NULL)
		return;
	for (size_t n = 0; n <= model->batches; n++)
		buf_release(&model->states[n].dump);
	free(model->states);
	free(model);
}

const struct kit_state *kit_model_state(const struct kit_model *model,
                                        size_t batches)
{
	kit_must(batches <= model->batches);
	return &model->states[batches];
}

struct slice kit_model_key(const struct kit_model *model, size_t k)
{
	return slice_str(model->keys[k]);
}

size_t kit_model_batches(const struct kit_model *model)
{
	return model->batches;
}

/* ---- stores ----------------------------------------------------------------
 */

enum lsm_err kit_runtime(struct lsm_runtime **runtime_out)
{
	struct lsm_runtime_options options;

	lsm_runtime_options_init(&options);
	options.credit_bytes = 64 << 10;
	options.cache_bytes = 64 << 10;
	options.period_ms = 0;
	options.sync_period_ms = 0;
	return lsm_runtime_create(&options, runtime_out);
}

enum lsm_err kit_create(const struct env *env, const char *path)
{
	return lsm_create(env, path, slice_str("crash test"));
}

enum lsm_err kit_open(struct lsm_runtime *runtime, const struct env *env,
                      const char *path, bool read_only, struct lsm **store_out)
{
	struct lsm_options options;

	lsm_options_init(&options);
	options.env = env;
	options.fold = append_fold;
	options.read_only = read_only;
	options.range_prefix_bytes = 1;
	options.memtable_bytes = 8 << 10;
	options.block_bytes = 512;
	options.table_bytes = 2 << 10;
	options.level_base_bytes = 8 << 10;
	options.l0_trigger = 2;
	options.log_step_bytes = 2 << 10;
	options.log_map_after = 1;
	options.nospace_wait_ms = 20;
	options.segment_min_bytes = 120; /* some of the values */
	options.direct_min_bytes = 60;   /* some of those at commit */
	return lsm_open(runtime, path, &options, store_out);
}
