/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c: everything at once on one store: writers, readers, snapshots,
 * iterators both ways, syncs, flushes, compactions, exports and branches.
 *
 * Each writer owns some keys and writes rising numbers, one round a batch: all
 * its keys get the round's number together, and its merged key gets a byte. So
 * whatever anybody sees at one moment must be one round of a writer, whole, and
 * no older than what that writer had been told before.
 *
 * SHALEFS_SECONDS says for how long each test works.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/coding.h"
#include "base/sync.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/append.h"
#include "tests/support/compact_all.h"
#include "tests/support/tmp.h"

enum {
	WRITERS = 4,
	KEYS = 40, /* of one writer */
	READERS = 2,
	SECONDS = 4,
	VALUE_BYTES = 64,
	KEY_BYTES = 8,
	PREFIX_BYTES = 2, /* that one writer's keys begin with */
	BRANCHERS = 2,
	MIXED_THREADS = WRITERS + READERS + 5 + BRANCHERS,
};

struct worker {
	struct sync_thread thread;
	unsigned index;
	void (*run)(struct worker *worker);
	const char *failure; /* NULL: all went well */
	enum lsm_err err;
	uint64_t rounds;
};

static struct {
	struct lsm_runtime *runtime;
	struct lsm_options options;
	struct lsm *store;
	struct worker workers[MIXED_THREADS];
	size_t worker_count;
	atomic_uint_least64_t acknowledged[WRITERS];
	atomic_bool stop;
	char path[TMP_PATH_BYTES];
} t;

/* ---- what a worker says -------------------------------------------------- */

static bool complain(struct worker *worker, const char *what, enum lsm_err err)
{
	if (worker->failure == NULL) {
		worker->failure = what;
		worker->err = err;
	}
	atomic_store(&t.stop, true);
	return false;
}

static bool must(struct worker *worker, enum lsm_err err, const char *what)
{
	return err == LSM_OK || complain(worker, what, err);
}

static struct slice make_key(char key[KEY_BYTES], unsigned writer, unsigned i)
{
	key[0] = 'w';
	key[1] = (char)('0' + writer);
	put_be32((uint8_t *)key + 2, i);
	return slice_make(key, 6);
}

/* ---- writers
 * ------------------------------------------------------------------- */

/* The keys of the writer from `from` on, but for its merged one. */
static enum lsm_err delete_range(struct lsm_batch *batch, unsigned writer,
                                 uint64_t from)
{
	char low[KEY_BYTES], high[KEY_BYTES];
	struct slice lower = make_key(low, writer, (unsigned)from);
	struct slice upper = make_key(high, writer, KEYS);

	return lsm_batch_delete_range(
	    batch, slice_make(lower.data, PREFIX_BYTES),
	    slice_make(lower.data + PREFIX_BYTES, lower.len - PREFIX_BYTES),
	    slice_make(upper.data + PREFIX_BYTES, upper.len - PREFIX_BYTES));
}

static bool write_round(struct worker *worker, struct lsm_batch *batch)
{
	uint64_t round = worker->rounds + 1;
	uint8_t value[VALUE_BYTES] = {0};
	char key[KEY_BYTES];
	enum lsm_err err = LSM_OK;

	lsm_batch_clear(batch);
	put_u64(value, round);
	/* Every fifth round some of its keys go as a range, and come again. */
	if (round % 5 == 0)
		err = delete_range(batch, worker->index, round % KEYS);
	for (unsigned i = 0; err == LSM_OK && i < KEYS; i++) {
		struct slice k = make_key(key, worker->index, i);

		/* Every seventh round a key is deleted and put again. */
		if ((round + i) % 7 == 0)
			err = lsm_batch_delete(batch, k);
		if (err == LSM_OK)
			err = lsm_batch_put(batch, k,
			                    slice_make(value, sizeof(value)));
	}
	if (err == LSM_OK)
		err = round % 64 == 1
		          ? lsm_batch_put(batch,
		                          make_key(key, worker->index, KEYS),
		                          slice_make("x", 1))
		          : lsm_batch_merge(batch,
		                            make_key(key, worker->index, KEYS),
		                            slice_make("x", 1));
	lsm_batch_count(batch, worker->index, 1);
	if (err == LSM_OK)
		err = lsm_write(t.store, batch, NULL, NULL);
	if (!must(worker, err, "write"))
		return false;
	worker->rounds = round;
	atomic_store(&t.acknowledged[worker->index], round);
	return true;
}

static void run_writer(struct worker *worker)
{
	struct lsm_batch *batch;

	if (!must(worker, lsm_batch_create(&batch), "batch"))
		return;
	while (!atomic_load(&t.stop) && write_round(worker, batch)) {
		if (worker->rounds % 50 == 0 &&
		    !must(worker, lsm_sync(t.store), "sync"))
			break;
	}
	lsm_batch_destroy(batch);
}

/* ---- readers
 * ---------------------------------------------------------------------- */

/* All keys of the writer at one moment: one round, at least `least`. */
static bool check_writer(struct worker *worker, struct lsm *store,
                         const struct lsm_snapshot *snap, unsigned writer,
                         uint64_t least, uint64_t *round_out)
{
	char low[KEY_BYTES], high[KEY_BYTES];
	uint64_t round = 0, merged = 0;
	struct lsm_iter *it;
	unsigned count = 0;
	bool good = true;

	*round_out = 0;
	if (!must(worker,
	          lsm_iter_create(store, snap, make_key(low, writer, 0),
	                          make_key(high, writer, KEYS + 1), &it),
	          "iterator"))
		return false;
	for (lsm_iter_seek(it, slice_make(NULL, 0)); good && lsm_iter_valid(it);
	     lsm_iter_next(it)) {
		struct slice value = lsm_iter_value(it);

		if (get_be32(lsm_iter_key(it).data + 2) == KEYS) {
			merged = value.len;
			continue;
		}
		if (value.len != VALUE_BYTES ||
		    (count > 0 && get_u64(value.data) != round))
			good = complain(worker, "a round is torn", LSM_OK);
		round = value.len >= 8 ? get_u64(value.data) : 0;
		count++;
	}
	good = must(worker, lsm_iter_status(it), "walk") && good;
	lsm_iter_destroy(it);
	if (good && count != (round > 0 ? KEYS : 0))
		good = complain(worker, "keys are missing", LSM_OK);
	if (good && round < least)
		good =
		    complain(worker, "an acknowledged round is gone", LSM_OK);
	if (good && round > 0 && merged != (round - 1) % 64 + 1)
		good = complain(worker, "operands are missing", LSM_OK);
	*round_out = round;
	return good;
}

/* From the end, turning at every step: each key once, in one round. */
static bool check_writer_back(struct worker *worker, unsigned writer,
                              uint64_t least)
{
	char low[KEY_BYTES], high[KEY_BYTES];
	unsigned left = KEYS;
	struct lsm_iter *it;
	uint64_t round = 0;
	bool good = true;

	if (!must(worker,
	          lsm_iter_create(t.store, NULL, make_key(low, writer, 0),
	                          make_key(high, writer, KEYS), &it),
	          "iterator"))
		return false;
	for (lsm_iter_seek_last(it); good && lsm_iter_valid(it);
	     lsm_iter_prev(it)) {
		bool first = left-- == KEYS;

		if (get_be32(lsm_iter_key(it).data + 2) != left ||
		    (!first && get_u64(lsm_iter_value(it).data) != round))
			good = complain(worker, "a round is torn backwards",
			                LSM_OK);
		round = get_u64(lsm_iter_value(it).data);
		if (left % 8 == 1 && !first) {
			lsm_iter_next(it);
			lsm_iter_prev(it);
		}
	}
	good = must(worker, lsm_iter_status(it), "walk back") && good;
	lsm_iter_destroy(it);
	if (good && left != (round > 0 ? 0 : KEYS))
		good = complain(worker, "keys are missing backwards", LSM_OK);
	if (good && round < least)
		good = complain(worker, "a round is gone backwards", LSM_OK);
	return good;
}

/* A key alone never goes back either. */
static bool check_key(struct worker *worker, unsigned writer, uint64_t least)
{
	struct buf value = BUF_INIT;
	char key[KEY_BYTES];
	enum lsm_err err =
	    lsm_get(t.store, NULL, make_key(key, writer, 3), &value);
	bool good = true;

	if (err == LSM_ERR_NOT_FOUND && least == 0)
		err = LSM_OK;
	else if (err == LSM_OK && get_u64(value.data) < least)
		good = complain(worker, "a key went back", LSM_OK);
	buf_release(&value);
	return must(worker, err, "get") && good;
}

static void run_reader(struct worker *worker)
{
	while (!atomic_load(&t.stop)) {
		unsigned writer = (unsigned)(worker->rounds++ % WRITERS);
		uint64_t least = atomic_load(&t.acknowledged[writer]), round;

		if (!check_key(worker, writer, least) ||
		    !check_writer_back(worker, writer, least) ||
		    !check_writer(worker, t.store, NULL, writer, least, &round))
			return;
	}
}

/* A snapshot reads the same at its end as when it was taken. */
static void run_snapshots(struct worker *worker)
{
	while (!atomic_load(&t.stop)) {
		uint64_t first[WRITERS], again;
		struct lsm_snapshot *snap;
		bool good = true;

		for (unsigned i = 0; i < WRITERS; i++)
			first[i] = atomic_load(&t.acknowledged[i]);
		if (!must(worker, lsm_snapshot_take(t.store, &snap),
		          "snapshot"))
			return;
		for (unsigned i = 0; good && i < WRITERS; i++)
			good = check_writer(worker, t.store, snap, i, first[i],
			                    &first[i]);
		if (good && worker->rounds++ % 4 == 0)
			good = must(worker, lsm_flush(t.store), "flush");
		for (unsigned i = 0; good && i < WRITERS; i++) {
			good = check_writer(worker, t.store, snap, i, first[i],
			                    &again);
			if (good && again != first[i])
				good = complain(worker, "a snapshot moved",
				                LSM_OK);
		}
		lsm_snapshot_release(t.store, snap);
		if (!good)
			return;
	}
}

/* ---- upkeep
 * ---------------------------------------------------------------------- */

static void rest(unsigned ms)
{
	uint64_t until = sync_now_ns() + ms * UINT64_C(1000000);

	while (!atomic_load(&t.stop) && !kit_pause(until))
		continue;
}

static void run_syncer(struct worker *worker)
{
	while (!atomic_load(&t.stop) && must(worker, lsm_sync(t.store), "sync"))
		worker->rounds++;
}

static void run_flusher(struct worker *worker)
{
	while (!atomic_load(&t.stop) &&
	       must(worker, lsm_flush(t.store), "flush")) {
		worker->rounds++;
		rest(5);
	}
}

static void run_compacter(struct worker *worker)
{
	while (!atomic_load(&t.stop) &&
	       must(worker, compact_all(t.store), "compaction")) {
		struct lsm_stats stats;

		lsm_stats(t.store, &stats);
		if (stats.credit.peak_bytes >
		    (uint64_t)stats.credit.limit_bytes)
			complain(worker, "more credit than there is", LSM_OK);
		worker->rounds++;
		rest(20);
	}
}

static void see_acknowledged(uint64_t least[WRITERS])
{
	for (unsigned i = 0; i < WRITERS; i++)
		least[i] = atomic_load(&t.acknowledged[i]);
}

static bool check_rounds(struct worker *worker, struct lsm *child,
                         const uint64_t least[WRITERS])
{
	uint64_t round;
	bool good = true;

	for (unsigned i = 0; good && i < WRITERS; i++) {
		good = check_writer(worker, child, NULL, i, least[i], &round);
		if (good && (int64_t)round != lsm_counter(child, i))
			good = complain(worker, "a counter is off", LSM_OK);
	}
	return good;
}

static bool check_child(struct worker *worker, const char *path,
                        const uint64_t least[WRITERS])
{
	struct lsm *child;
	bool good;

	if (!must(worker, lsm_open(t.runtime, path, &t.options, &child),
	          "open"))
		return false;
	good = check_rounds(worker, child, least);
	return must(worker, lsm_close(child), "close") && good;
}

/* A branch, written to, with a snapshot of its own; then both are deleted. */
static bool one_branch(struct worker *worker, const char *name,
                       const char *snap_name)
{
	struct lsm *child = NULL, *snap = NULL;
	uint64_t least[WRITERS];
	bool good;

	see_acknowledged(least);
	if (!must(worker, lsm_branch_create(t.store, name, false, NULL),
	          "fork") ||
	    !must(worker, lsm_branch_open(t.store, name, NULL, &child),
	          "open a branch"))
		return false;
	good = check_rounds(worker, child, least) &&
	       must(worker, kit_try_put(child, "own", name), "write") &&
	       must(worker, lsm_branch_create(child, snap_name, true, NULL),
	            "snapshot") &&
	       must(worker, kit_try_put(child, "own", "later"), "write") &&
	       must(worker, lsm_branch_open(t.store, snap_name, NULL, &snap),
	            "open a snapshot") &&
	       check_rounds(worker, snap, least);
	good = must(worker, lsm_close(child), "close a branch") && good;
	good = must(worker, lsm_close(snap), "close a snapshot") && good;
	return must(worker, lsm_branch_delete(t.store, name, true), "delete") &&
	       good;
}

static void run_brancher(struct worker *worker)
{
	bool good = true;

	while (good && !atomic_load(&t.stop)) {
		char name[32], snap_name[48];

		snprintf(name, sizeof(name), "b%u-%" PRIu64, worker->index,
		         worker->rounds++);
		snprintf(snap_name, sizeof(snap_name), "%s-snap", name);
		good = one_branch(worker, name, snap_name);
		rest(5);
	}
}

static bool remove_child(struct worker *worker, const char *path)
{
	struct env_dir *root;
	const char *name = strrchr(path, '/') + 1;
	enum lsm_err err = env_dir_open(t.options.env, t.path, &root);

	if (err == LSM_OK)
		err = env_remove_tree(root, name);
	env_dir_close(root);
	return must(worker, err, "remove");
}

static void run_forker(struct worker *worker)
{
	while (!atomic_load(&t.stop)) {
		char path[TMP_PATH_BYTES + 32];
		struct lsm_fork_info info;
		uint64_t least[WRITERS];

		snprintf(path, sizeof(path), "%s/fork%" PRIu64,
		         strcmp(t.path, "/") == 0 ? "" : t.path,
		         worker->rounds++);
		see_acknowledged(least);
		if (!must(worker, lsm_export(t.store, path, &info), "export") ||
		    !check_child(worker, path, least) ||
		    !remove_child(worker, path))
			return;
		rest(30);
	}
}

/* ---- the tests
 * ------------------------------------------------------------------------ */

static void start(void *ctx)
{
	struct worker *worker = ctx;

	worker->run(worker);
}

static void add(void (*run)(struct worker *worker), unsigned index)
{
	struct worker *worker = &t.workers[t.worker_count++];

	memset(worker, 0, sizeof(*worker));
	worker->run = run;
	worker->index = index;
	ASSERT_OK(sync_thread_start(&worker->thread, "stress", start, worker));
}

static uint64_t test_seconds(void)
{
	const char *text = getenv("SHALEFS_SECONDS");

	return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 0)
	                                       : SECONDS;
}

/* For its time, or until somebody found a fault. */
static void work(void)
{
	uint64_t until = sync_now_ns() + test_seconds() * UINT64_C(1000000000);

	for (unsigned i = 0; i < WRITERS; i++)
		add(run_writer, i);
	for (unsigned i = 0; i < READERS; i++)
		add(run_reader, i);
	add(run_snapshots, 0);
	add(run_syncer, 0);
	add(run_flusher, 0);
	add(run_compacter, 0);
	add(run_forker, 0);
	for (unsigned i = 0; i < BRANCHERS; i++)
		add(run_brancher, i);
	while (!atomic_load(&t.stop) && !kit_pause(until))
		continue;
	atomic_store(&t.stop, true);
	for (size_t i = 0; i < t.worker_count; i++)
		sync_thread_join(&t.workers[i].thread);
	for (size_t i = 0; i < t.worker_count; i++)
		ck_assert_msg(t.workers[i].failure == NULL,
		              "worker %zu: %s: %s", i, t.workers[i].failure,
		              lsm_strerror(t.workers[i].err));
	for (size_t i = 0; i < t.worker_count; i++)
		ck_assert_msg(t.workers[i].rounds > 0,
		              "worker %zu never came "
		              "to work",
		              i);
}

/* Whoever stopped in between was told of every round. */
static void check_all(void)
{
	struct worker here = {.failure = NULL};

	for (unsigned i = 0; i < WRITERS; i++) {
		uint64_t round;

		ck_assert(check_writer(&here, t.store, NULL, i,
		                       atomic_load(&t.acknowledged[i]),
		                       &round));
		ck_assert_uint_eq(round, atomic_load(&t.acknowledged[i]));
		ck_assert_int_eq(lsm_counter(t.store, i), (int64_t)round);
	}
}

static void open_store(const char *path)
{
	ASSERT_OK(lsm_open(t.runtime, path, &t.options, &t.store));
}

static void run_all(const struct env *env, const char *folder)
{
	struct lsm_runtime_options runtime_options;
	char path[TMP_PATH_BYTES + 32];

	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "%s", folder);
	snprintf(path, sizeof(path), "%s/store",
	         strcmp(folder, "/") == 0 ? "" : folder);
	lsm_runtime_options_init(&runtime_options);
	runtime_options.credit_bytes = 512 << 10;
	runtime_options.cache_bytes = 256 << 10;
	runtime_options.compaction_threads = 2;
	runtime_options.period_ms = 5;
	runtime_options.sync_period_ms = 3;
	lsm_options_init(&t.options);
	t.options.range_prefix_bytes = PREFIX_BYTES;
	t.options.env = env;
	t.options.fold = append_fold;
	t.options.memtable_bytes = 128 << 10;
	t.options.block_bytes = 1 << 10;
	t.options.table_bytes = 16 << 10;
	t.options.level_base_bytes = 32 << 10;
	t.options.l0_trigger = 2;
	t.options.log_step_bytes = 16 << 10;
	t.options.segment_min_bytes = VALUE_BYTES;
	t.options.direct_min_bytes = VALUE_BYTES;
	ASSERT_OK(lsm_create(env, path, slice_str("")));
	ASSERT_OK(lsm_runtime_create(&runtime_options, &t.runtime));
	open_store(path);
	work();
	check_all();
	ASSERT_OK(lsm_close(t.store));
	open_store(path);
	check_all();
	ASSERT_OK(lsm_close(t.store));
	lsm_runtime_destroy(t.runtime);
}

START_TEST(all_at_once_in_memory)
{
	struct env *env;

	ASSERT_OK(env_mem_create(&env));
	run_all(env, "/");
	env_mem_destroy(env);
}
END_TEST

START_TEST(all_at_once_on_a_disk)
{
	struct tmp scratch;

	tmp_make(&scratch);
	run_all(env_posix(), scratch.path);
	tmp_remove(&scratch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("threads");
	TCase *tc = tcase_create("threads");

	tcase_add_test(tc, all_at_once_in_memory);
	tcase_add_test(tc, all_at_once_on_a_disk);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
