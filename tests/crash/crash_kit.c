/* SPDX-License-Identifier: MIT */
#include "tests/crash/crash_kit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/superblock.h"
#include "tests/support/gen.h"
#include "tree/manifest.h"

enum {
	KEYS = 32,
	KEY_BYTES = 260, /* long, so that the manifest outgrows its list soon */
	OPS_MAX = 4,
	VALUE_MAX_BYTES = 160,
	BIG_VALUE_BYTES = 3000,
	BIG_EVERY = 37, /* batches */
	COUNTER_BATCHES = 0,
	COUNTER_RANDOM = 1,
	COUNTER_LAST = LSM_COUNTERS - 1,
};

#define NUMBER_KEY "number"

struct state {
	struct buf dump; /* all keys and values, as dump_entry() has them */
	int64_t counters[LSM_COUNTERS];
};

struct kit_model {
	uint64_t seed;
	size_t batches;
	char keys[KEYS][KEY_BYTES];
	struct state *states; /* batches + 1 */
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
	enum { OP_PUT, OP_DELETE, OP_MERGE } kind;
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

		op->kind = dice < 60 ? OP_PUT : dice < 80 ? OP_DELETE : OP_MERGE;
		op->key = gen_below(&gen, KEYS);
		op->value_len = op->kind == OP_MERGE
		                        ? 1 + gen_below(&gen, 20)
		                        : 1 + gen_below(&gen, VALUE_MAX_BYTES);
		if (i == 0 && index % BIG_EVERY == BIG_EVERY - 1) {
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
	err = lsm_batch_put(batch, slice_str(NUMBER_KEY), slice_str(number));
	for (size_t i = 0; err == LSM_OK && i < plan.count; i++) {
		const struct op *op = &plan.ops[i];
		struct slice key = slice_str(model->keys[op->key]);
		struct slice value = slice_make(op->value, op->value_len);

		if (op->kind == OP_PUT)
			err = lsm_batch_put(batch, key, value);
		else if (op->kind == OP_DELETE)
			err = lsm_batch_delete(batch, key);
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

/* Operands are appended; what is not there counts as empty. */
static enum lsm_err fold(void *ctx, struct slice key, bool has_base,
                         const struct slice *base, const struct slice *operands,
                         size_t count, struct buf *value)
{
	enum lsm_err err = LSM_OK;

	(void)ctx;
	(void)key;
	if (has_base && base != NULL)
		err = buf_append_slice(value, *base);
	for (size_t i = 0; err == LSM_OK && i < count; i++)
		err = buf_append_slice(value, operands[i]);
	return err;
}

/* ---- the model ------------------------------------------------------------ */

static enum lsm_err dump_entry(struct buf *dump, struct slice key,
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
	struct buf values[KEYS];
	bool present[KEYS];
};

static void apply_plan(struct slots *slots, const struct batch_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct op *op = &plan->ops[i];
		struct buf *value = &slots->values[op->key];

		if (op->kind != OP_MERGE)
			buf_clear(value);
		if (op->kind != OP_DELETE)
			kit_must(buf_append(value, op->value, op->value_len) ==
			         LSM_OK);
		slots->present[op->key] = op->kind != OP_DELETE;
	}
}

/* The keys are in order, and NUMBER_KEY comes after them all. */
static void dump_slots(const struct kit_model *model, const struct slots *slots,
                       size_t batches, struct buf *dump)
{
	char number[24];

	for (size_t k = 0; k < KEYS; k++)
		if (slots->present[k])
			kit_must(dump_entry(dump, slice_str(model->keys[k]),
			                    buf_slice(&slots->values[k])) ==
			         LSM_OK);
	if (batches == 0)
		return;
	number_text(batches - 1, number);
	kit_must(dump_entry(dump, slice_str(NUMBER_KEY), slice_str(number)) ==
	         LSM_OK);
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
	for (size_t k = 0; k < KEYS; k++) {
		random_text(&gen, model->keys[k], KEY_BYTES - 1);
		model->keys[k][0] = (char)('A' + k / 4);
		model->keys[k][1] = (char)('a' + k % 4);
	}
	for (size_t n = 1; n <= batches; n++) {
		struct state *state = &model->states[n];

		plan_batch(model, n - 1, &plan);
		apply_plan(&slots, &plan);
		dump_slots(model, &slots, n, &state->dump);
		memcpy(state->counters, state[-1].counters,
		       sizeof(state->counters));
		state->counters[COUNTER_BATCHES] += 1;
		state->counters[COUNTER_RANDOM] += plan.random_delta;
		state->counters[COUNTER_LAST] -= (int64_t)(n - 1);
	}
	for (size_t k = 0; k < KEYS; k++)
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

size_t kit_model_batches(const struct kit_model *model)
{
	return model->batches;
}

/* ---- stores ---------------------------------------------------------------- */

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
	options.fold = fold;
	options.read_only = read_only;
	options.memtable_bytes = 8 << 10;
	options.block_bytes = 512;
	options.table_bytes = 2 << 10;
	options.level_base_bytes = 8 << 10;
	options.l0_trigger = 2;
	options.log_step_bytes = 2 << 10;
	options.nospace_wait_ms = 20;
	return lsm_open(runtime, path, &options, store_out);
}

/* ---- the checks ------------------------------------------------------------- */

static enum lsm_err dump_store(struct lsm *store, struct buf *dump)
{
	struct slice all = slice_make(NULL, 0);
	struct lsm_iter *iter = NULL;
	enum lsm_err err = lsm_iter_create(store, NULL, all, all, &iter);

	if (err != LSM_OK)
		return err;
	for (lsm_iter_seek(iter, all); err == LSM_OK && lsm_iter_valid(iter);
	     lsm_iter_next(iter))
		err = dump_entry(dump, lsm_iter_key(iter),
		                 lsm_iter_value(iter));
	if (err == LSM_OK)
		err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return err;
}

/* The prefix that the store claims to be. */
static enum lsm_err claimed_prefix(struct lsm *store, size_t *prefix_out)
{
	struct buf value = BUF_INIT;
	enum lsm_err err = lsm_get(store, NULL, slice_str(NUMBER_KEY), &value);

	*prefix_out = 0;
	if (err == LSM_ERR_NOT_FOUND)
		err = LSM_OK;
	else if (err == LSM_OK && buf_append(&value, "", 1) == LSM_OK)
		*prefix_out = strtoul((const char *)value.data, NULL, 10);
	buf_release(&value);
	return err;
}

static bool compare_state(struct lsm *store, const struct state *state,
                          size_t prefix, struct kit_why *why)
{
	struct buf dump = BUF_INIT;
	enum lsm_err err = dump_store(store, &dump);
	bool equal = slice_equal(buf_slice(&dump), buf_slice(&state->dump));

	buf_release(&dump);
	if (err != LSM_OK)
		return kit_fail(why, "reading everything: %s",
		                lsm_strerror(err));
	if (!equal)
		return kit_fail(why,
		                "it says that it holds %zu batches, but its "
		                "contents are others",
		                prefix);
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		if (lsm_counter(store, i) != state->counters[i])
			return kit_fail(why,
			                "counter %u is %lld after %zu batches, "
			                "not %lld",
			                i, (long long)lsm_counter(store, i),
			                prefix, (long long)state->counters[i]);
	return true;
}

bool kit_compare(struct lsm *store, const struct kit_model *model,
                 struct kit_bounds bounds, size_t *prefix_out,
                 struct kit_why *why)
{
	size_t prefix;
	enum lsm_err err = claimed_prefix(store, &prefix);

	if (err != LSM_OK)
		return kit_fail(why, "reading one key: %s", lsm_strerror(err));
	if (prefix_out != NULL)
		*prefix_out = prefix;
	if (prefix < bounds.least || prefix > bounds.most)
		return kit_fail(why, "it holds %zu batches, not %zu to %zu",
		                prefix, bounds.least, bounds.most);
	return compare_state(store, &model->states[prefix], prefix, why);
}

bool kit_folder_exists(const struct env *env, const char *path)
{
	struct env_dir *dir = NULL;
	enum lsm_err err = env_dir_open(env, path, &dir);

	env_dir_close(dir);
	kit_must(err == LSM_OK || err == LSM_ERR_NOT_FOUND);
	return err == LSM_OK;
}

/* What is in the folders against what the manifest names. */
struct listing {
	struct manifest_state state;
	size_t expected, found;
	char stray[FILE_NAME_MAX_BYTES];
	char branch[FILE_NAME_MAX_BYTES];
	size_t branches;
};

static bool is_named(const struct manifest_state *state, enum file_kind kind,
                     struct file_id id)
{
	const struct version *version = state->version;

	if (kind == FILE_KIND_LIST)
		return state->list.number != 0 && file_id_equal(id, state->list);
	for (size_t i = 0; kind == FILE_KIND_LOG && i < state->log_count; i++)
		if (file_id_equal(id, state->logs[i].id))
			return true;
	for (unsigned l = 0; kind == FILE_KIND_TABLE && l < LSM_LEVELS; l++)
		for (size_t i = 0; i < version->levels[l].count; i++)
			if (file_id_equal(id, version->levels[l].tables[i]->id))
				return true;
	return false;
}

static enum lsm_err see_pool_file(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	enum file_kind kind;
	struct file_id id;

	if (file_name_parse(name, &kind, &id) &&
	    is_named(&listing->state, kind, id))
		listing->found++;
	else
		snprintf(listing->stray, sizeof(listing->stray), "%.60s", name);
	return LSM_OK;
}

static enum lsm_err see_branch_file(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	struct file_id id = {0, listing->state.manifest_number};
	char manifest[FILE_NAME_MAX_BYTES];

	file_name_format(FILE_KIND_MANIFEST, id, manifest);
	if (strcmp(name, "CURRENT") != 0 && strcmp(name, manifest) != 0)
		snprintf(listing->stray, sizeof(listing->stray), "%.60s", name);
	return LSM_OK;
}

static enum lsm_err see_branch(void *ctx, const char *name)
{
	struct listing *listing = ctx;

	snprintf(listing->branch, sizeof(listing->branch), "%.60s", name);
	listing->branches++;
	return LSM_OK;
}

static enum lsm_err list_store(struct env_dir *dir, struct env_dir *branches,
                               struct manifest_place *place,
                               struct listing *listing)
{
	struct table_owner nobody = {NULL, NULL};
	struct superblock sb;
	enum lsm_err err = superblock_read(dir, "store", true, &sb);

	place->family = sb.family;
	if (err == LSM_OK)
		err = env_dir_list(branches, see_branch, listing);
	if (err == LSM_OK)
		err = env_dir_open_at(branches, listing->branch, &place->dir);
	if (err == LSM_OK)
		err = manifest_recover(place,
		                       strtoull(listing->branch, NULL, 16),
		                       nobody, NULL, &listing->state);
	if (err == LSM_OK)
		err = env_dir_list(place->pool, see_pool_file, listing);
	if (err == LSM_OK)
		err = env_dir_list(place->dir, see_branch_file, listing);
	return err;
}

bool kit_no_leftovers(const struct env *env, const char *path,
                      struct kit_why *why)
{
	struct listing listing = {.expected = 0};
	struct manifest_place place = {NULL, NULL, {{0}}};
	struct env_dir *dir = NULL, *branches = NULL;
	const struct manifest_state *state = &listing.state;
	enum lsm_err err = env_dir_open(env, path, &dir);

	if (err == LSM_OK)
		err = env_dir_open_at(dir, "pool", &place.pool);
	if (err == LSM_OK)
		err = env_dir_open_at(dir, "branches", &branches);
	if (err == LSM_OK)
		err = list_store(dir, branches, &place, &listing);
	if (err == LSM_OK) {
		listing.expected = state->log_count + (state->list.number != 0);
		for (unsigned l = 0; l < LSM_LEVELS; l++)
			listing.expected += state->version->levels[l].count;
	}
	manifest_state_release(&listing.state);
	env_dir_close(place.dir);
	env_dir_close(place.pool);
	env_dir_close(branches);
	env_dir_close(dir);
	if (err != LSM_OK)
		return kit_fail(why, "listing files: %s", lsm_strerror(err));
	if (listing.branches != 1)
		return kit_fail(why, "%zu branches", listing.branches);
	if (listing.stray[0] != '\0')
		return kit_fail(why, "nothing names the file %s",
		                listing.stray);
	if (listing.found != listing.expected)
		return kit_fail(why, "%zu of %zu named files are there",
		                listing.found, listing.expected);
	return true;
}

/* Open, compare, maybe write the batch behind, close. */
static bool visit(const struct env *env, const char *path,
                  const struct kit_model *model, struct kit_bounds bounds,
                  bool write, size_t *prefix_out, struct kit_why *why)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	enum lsm_err err = LSM_OK;
	bool good;

	kit_must(kit_runtime(&runtime) == LSM_OK);
	err = kit_open(runtime, env, path, false, &store);
	if (err != LSM_OK) {
		lsm_runtime_destroy(runtime);
		return kit_fail(why, "opening: %s", lsm_strerror(err));
	}
	good = kit_compare(store, model, bounds, prefix_out, why);
	if (good && write && *prefix_out < model->batches) {
		err = kit_write(model, store, *prefix_out);
		if (err == LSM_OK)
			err = lsm_sync(store);
		if (err != LSM_OK)
			good = kit_fail(why, "writing: %s", lsm_strerror(err));
	}
	err = lsm_close(store);
	lsm_runtime_destroy(runtime);
	if (good && err != LSM_OK)
		good = kit_fail(why, "closing: %s", lsm_strerror(err));
	return good && kit_no_leftovers(env, path, why);
}

bool kit_check_store(const struct env *env, const char *path,
                     const struct kit_model *model, struct kit_bounds bounds,
                     bool go_on, size_t *prefix_out, struct kit_why *why)
{
	struct kit_why again;
	size_t prefix = 0;
	bool good = visit(env, path, model, bounds, go_on, &prefix, why);

	if (prefix_out != NULL)
		*prefix_out = prefix;
	if (!good || !go_on)
		return good;
	if (prefix < model->batches)
		prefix++;
	bounds.least = bounds.most = prefix;
	good = visit(env, path, model, bounds, false, &prefix, &again);
	return good || kit_fail(why, "opened again: %.400s", again.text);
}
