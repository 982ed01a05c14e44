/* SPDX-License-Identifier: MIT */
#include "tests/engine/store/store_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/sync.h"
#include "tests/support/append.h"

enum {
	KIT_CACHE_BYTES = 1 << 20,
	KIT_BLOCK_BYTES = 1 << 10,
	KIT_TABLE_BYTES = 32 << 10,
	KIT_LEVEL_BASE_BYTES = 128 << 10,
	KIT_LOG_STEP_BYTES = 4 << 10,
	KIT_NOSPACE_WAIT_MS = 200,
	KIT_PAUSE_NS = 200000,
};

/* ---- the store -------------------------------------------------------------
 */

/* The hook of the fault env: in whatever thread does the operation. */
static struct fault_answer answer(void *ctx, const struct fault_call *call)
{
	struct kit_fault *fault = ctx;
	struct fault_answer answer = {LSM_OK, false};
	int times;

	int op = atomic_load(&fault->op);

	if ((op != (int)call->op && op != FAULT_OPS) ||
	    strstr(call->name, fault->name) == NULL)
		return answer;
	if (atomic_load(&fault->skip) > 0 &&
	    atomic_fetch_sub(&fault->skip, 1) > 0)
		return answer;
	times = atomic_load(&fault->times);
	if (times == 0 ||
	    (times > 0 && atomic_fetch_sub(&fault->times, 1) <= 0))
		return answer;
	answer.err = fault->err;
	atomic_fetch_add(&fault->met, 1);
	for (uint64_t deadline = kit_deadline();
	     atomic_load(&fault->hold) && !kit_pause(deadline);)
		;
	return answer;
}

static void wrap_env(struct kit *kit)
{
	ASSERT_OK(env_fault_create(kit->mem, &kit->env));
	env_fault_set_hook(kit->env, answer, &kit->fault);
	kit->options.env = kit->env;
}

void kit_init(struct kit *kit)
{
	memset(kit, 0, sizeof(*kit));
	atomic_init(&kit->fault.op, -1);
	kit->fault.name = "";
	lsm_runtime_options_init(&kit->runtime_options);
	kit->runtime_options.credit_bytes = KIT_CREDIT_BYTES;
	kit->runtime_options.cache_bytes = KIT_CACHE_BYTES;
	kit->runtime_options.period_ms = 0;
	kit->runtime_options.sync_period_ms = 0;
	lsm_options_init(&kit->options);
	kit->options.fold = append_fold;
	kit->options.memtable_bytes = KIT_MEMTABLE_BYTES;
	kit->options.block_bytes = KIT_BLOCK_BYTES;
	kit->options.table_bytes = KIT_TABLE_BYTES;
	kit->options.level_base_bytes = KIT_LEVEL_BASE_BYTES;
	kit->options.log_step_bytes = KIT_LOG_STEP_BYTES;
	kit->options.nospace_wait_ms = KIT_NOSPACE_WAIT_MS;
	ASSERT_OK(env_mem_create(&kit->mem));
	wrap_env(kit);
}

void kit_set_limits(struct kit *kit, const struct kit_limits *limits)
{
	kit->runtime_options.credit_bytes = limits->credit_bytes;
	kit->runtime_options.period_ms = limits->period_ms;
	kit->runtime_options.sync_period_ms = limits->sync_period_ms;
	kit->options.memtable_bytes = limits->memtable_bytes;
	kit->options.table_bytes = limits->table_bytes;
	kit->options.level_base_bytes = limits->level_base_bytes;
	kit->options.block_bytes = limits->block_bytes;
	kit->options.l0_trigger = limits->l0_trigger;
	kit->options.range_prefix_bytes = limits->range_prefix_bytes;
	kit->options.segment_min_bytes = limits->segment_min_bytes;
}

void kit_release(struct kit *kit)
{
	lsm_close(kit->store);
	lsm_runtime_destroy(kit->runtime);
	env_fault_destroy(kit->env);
	env_mem_destroy(kit->mem);
	memset(kit, 0, sizeof(*kit));
}

enum lsm_err kit_try_open(struct kit *kit)
{
	enum lsm_err err;

	ASSERT_OK(lsm_runtime_create(&kit->runtime_options, &kit->runtime));
	err = lsm_open(kit->runtime, KIT_PATH, &kit->options, &kit->store);
	if (err != LSM_OK) {
		ck_assert_ptr_null(kit->store);
		lsm_runtime_destroy(kit->runtime);
		kit->runtime = NULL;
	}
	return err;
}

void kit_open(struct kit *kit)
{
	ASSERT_OK(kit_try_open(kit));
}

void kit_create(struct kit *kit)
{
	ASSERT_OK(lsm_create(kit->env, KIT_PATH, slice_str("owner")));
	kit_open(kit);
}

enum lsm_err kit_try_close(struct kit *kit)
{
	enum lsm_err err = lsm_close(kit->store);

	kit->store = NULL;
	lsm_runtime_destroy(kit->runtime);
	kit->runtime = NULL;
	return err;
}

void kit_close(struct kit *kit)
{
	ASSERT_OK(kit_try_close(kit));
}

void kit_reopen(struct kit *kit)
{
	kit_close(kit);
	kit_open(kit);
}

void kit_crash_with(struct kit *kit, unsigned keep_per_256, uint64_t seed,
                    void (*close)(void))
{
	struct env_mem_crash crash = {keep_per_256, seed};
	struct env *after;

	ASSERT_OK(env_mem_after_crash(kit->mem, &crash, &after));
	/* What the old process does from now on nobody will see. */
	if (close != NULL)
		close();
	if (kit->runtime != NULL)
		(void)kit_try_close(kit);
	env_fault_destroy(kit->env);
	env_mem_destroy(kit->mem);
	kit->mem = after;
	wrap_env(kit);
	kit_heal(kit);
}

void kit_crash(struct kit *kit, unsigned keep_per_256, uint64_t seed)
{
	kit_crash_with(kit, keep_per_256, seed, NULL);
}

void kit_fail(struct kit *kit, enum fault_op op, const char *name,
              enum lsm_err err, int times)
{
	kit_heal(kit);
	kit->fault.name = name;
	kit->fault.err = err;
	atomic_store(&kit->fault.met, 0);
	atomic_store(&kit->fault.skip, 0);
	atomic_store(&kit->fault.times, times);
	atomic_store(&kit->fault.op, (int)op);
}

void kit_heal(struct kit *kit)
{
	atomic_store(&kit->fault.op, -1);
}

void kit_wait_met(struct kit *kit, int count)
{
	KIT_WAIT_UNTIL(atomic_load(&kit->fault.met) >= count);
}

/* ---- writing and reading
 * ------------------------------------------------------ */

typedef enum lsm_err (*change_fn)(struct lsm_batch *, struct slice,
                                  struct slice);

static enum lsm_err change(struct lsm *store, change_fn add, const char *key,
                           const char *value)
{
	struct lsm_batch *batch;
	enum lsm_err err = lsm_batch_create(&batch);

	if (err == LSM_OK)
		err = add(batch, slice_str(key), slice_str(value));
	if (err == LSM_OK)
		err = lsm_write(store, batch, NULL, NULL);
	lsm_batch_destroy(batch);
	return err;
}

enum lsm_err kit_try_put(struct lsm *store, const char *key, const char *value)
{
	return change(store, lsm_batch_put, key, value);
}

void kit_put(struct lsm *store, const char *key, const char *value)
{
	ASSERT_OK(kit_try_put(store, key, value));
}

void kit_merge(struct lsm *store, const char *key, const char *operand)
{
	ASSERT_OK(change(store, lsm_batch_merge, key, operand));
}

static enum lsm_err add_delete(struct lsm_batch *batch, struct slice key,
                               struct slice value)
{
	(void)value;
	return lsm_batch_delete(batch, key);
}

void kit_delete(struct lsm *store, const char *key)
{
	ASSERT_OK(change(store, add_delete, key, ""));
}

void kit_expect_at(struct lsm *store, const struct lsm_snapshot *snap,
                   const char *key, const char *value)
{
	struct buf got = BUF_INIT;
	enum lsm_err err = lsm_get(store, snap, slice_str(key), &got);

	ck_assert_msg(err == (value == NULL ? LSM_ERR_NOT_FOUND : LSM_OK),
	              "%s: %s", key, lsm_strerror(err));
	if (value != NULL)
		ck_assert_msg(slice_equal(buf_slice(&got), slice_str(value)),
		              "%s is '%.*s', not '%s'", key, (int)got.len,
		              (const char *)got.data, value);
	buf_release(&got);
}

void kit_expect(struct lsm *store, const char *key, const char *value)
{
	kit_expect_at(store, NULL, key, value);
}

static void filling(const char *prefix, unsigned i, const char *salt,
                    char key[KIT_NAME_BYTES], char value[KIT_NAME_BYTES])
{
	int len;

	snprintf(key, KIT_NAME_BYTES, "%s%06u", prefix, i);
	len = snprintf(value, KIT_NAME_BYTES, "%s of %s ", salt, key);
	/* Of little use to a compressor. */
	for (uint64_t x = i + 1; len < KIT_VALUE_BYTES; len++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		value[len] = (char)('a' + (x >> 33) % 26);
	}
	value[KIT_VALUE_BYTES] = '\0';
}

void kit_fill(struct lsm *store, const char *prefix, unsigned count,
              const char *salt)
{
	for (unsigned i = 0; i < count; i++) {
		char key[KIT_NAME_BYTES], value[KIT_NAME_BYTES];

		filling(prefix, i, salt, key, value);
		kit_put(store, key, value);
	}
}

void kit_expect_filled(struct lsm *store, const char *prefix, unsigned count,
                       const char *salt)
{
	for (unsigned i = 0; i < count; i++) {
		char key[KIT_NAME_BYTES], value[KIT_NAME_BYTES];

		filling(prefix, i, salt, key, value);
		kit_expect(store, key, value);
	}
}

size_t kit_count(struct lsm *store, const char *lower, const char *upper)
{
	struct lsm_iter *it;
	size_t count = 0;

	ASSERT_OK(lsm_iter_create(store, NULL, slice_str(lower),
	                          slice_str(upper), &it));
	lsm_iter_seek(it, slice_str(""));
	for (; lsm_iter_valid(it); lsm_iter_next(it))
		count++;
	ASSERT_OK(lsm_iter_status(it));
	lsm_iter_destroy(it);
	return count;
}

struct lsm *kit_branch(const struct kit *kit, const char *name)
{
	struct lsm *branch = NULL;

	ASSERT_OK(lsm_branch_open(kit->store, name, NULL, &branch));
	return branch;
}

void kit_fork(struct lsm *store, const char *name)
{
	ASSERT_OK(lsm_branch_create(store, name, false, NULL));
}

size_t kit_branch_count(const struct kit *kit)
{
	struct lsm_branch_info *list;
	size_t count;

	ASSERT_OK(lsm_branch_list(kit->store, &list, &count));
	free(list);
	return count;
}

static void print_fault(void *ctx, const char *line)
{
	fprintf(stderr, "fault: %s\n", line);
	++*(uint64_t *)ctx;
}

uint64_t kit_faults(struct lsm *store)
{
	uint64_t count = 0, lines = 0;

	ASSERT_OK(lsm_verify(store, print_fault, &lines, &count));
	ck_assert_uint_eq(lines, count);
	return count;
}

uint64_t kit_deadline(void)
{
	return sync_now_ns() + KIT_WAIT_MS * UINT64_C(1000000);
}

bool kit_pause(uint64_t deadline_ns)
{
	struct timespec rest = {0, KIT_PAUSE_NS};

	nanosleep(&rest, NULL);
	return sync_now_ns() > deadline_ns;
}

/* ---- the log
 * --------------------------------------------------------------------- */

static struct {
	struct sync_mutex mu;
	/* All below: guarded by mu. */
	char line[KIT_LINES][LOG_LINE_MAX_BYTES];
	size_t count, errors;
} lines = {.mu = SYNC_MUTEX_INIT(SYNC_RANK_LEAF)};

static void collect_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	sync_lock(&lines.mu);
	if (level == LOG_LEVEL_ERROR)
		lines.errors++;
	if (level <= LOG_LEVEL_WARNING && lines.count < KIT_LINES)
		snprintf(lines.line[lines.count++], LOG_LINE_MAX_BYTES, "%s",
		         line);
	sync_unlock(&lines.mu);
}

void kit_log_begin(void)
{
	sync_lock(&lines.mu);
	lines.count = 0;
	lines.errors = 0;
	sync_unlock(&lines.mu);
	log_set_sink(collect_line, NULL);
}

void kit_log_end(void)
{
	log_set_sink(NULL, NULL);
}

size_t kit_log_errors(void)
{
	size_t errors;

	sync_lock(&lines.mu);
	errors = lines.errors;
	sync_unlock(&lines.mu);
	return errors;
}

bool kit_log_has(const char *part, const char *other_part)
{
	bool found = false;

	sync_lock(&lines.mu);
	for (size_t i = 0; i < lines.count; i++)
		if (strstr(lines.line[i], part) != NULL &&
		    strstr(lines.line[i], other_part) != NULL)
			found = true;
	sync_unlock(&lines.mu);
	return found;
}

int kit_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
