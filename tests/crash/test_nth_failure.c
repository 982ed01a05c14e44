/* SPDX-License-Identifier: MIT */
/*
 * test_nth_failure.c: whichever operation or allocation fails, the caller is
 * told in plain words, nothing hangs or leaks, and what was acknowledged is
 * there when the store is opened again.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/compact_all.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"

enum {
	BATCHES = 100,
	BEFORE = 40, /* in tables when it begins... */
	IN_LOG = 12, /* ...and those in a log, to be replayed */
	TRIES = 3,   /* of a write that was refused */
	HANGS_AFTER_S = 60,
	SAMPLES = 150,
	TIMEOUT_S = 1200,
};

static uint64_t seed;
static struct kit_model *model;
static struct env *grown; /* what a killed process left */

/* What the watchdog says; set before the alarm is. */
static volatile sig_atomic_t failing;

static void bark(int signal_number)
{
	static const char text[] = "hangs after failure number ";
	char digits[24];
	size_t at = sizeof(digits);
	sig_atomic_t left = failing;

	(void)signal_number;
	digits[--at] = '\n';
	do {
		digits[--at] = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ||
	    write(STDERR_FILENO, digits + at, sizeof(digits) - at) < 0)
		_exit(EXIT_FAILURE);
	abort();
}

static void watch(uint64_t number)
{
	failing = (sig_atomic_t)number;
	signal(SIGALRM, bark);
	alarm(HANGS_AFTER_S);
}

static void write_batches(struct lsm *store, size_t from, size_t count)
{
	for (size_t i = from; i < from + count; i++)
		kit_must(kit_write(model, store, i) == LSM_OK);
}

static void setup(void)
{
	struct env_mem_crash all = {256, 1};
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	struct env *env = NULL;

	kit_quiet();
	seed = gen_seed(777);
	model = kit_model_create(seed, BATCHES);

	kit_must(env_mem_create(&env) == LSM_OK);
	kit_must(kit_create(env, "/store") == LSM_OK);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	kit_must(kit_open(runtime, env, "/store", false, &store) == LSM_OK);
	write_batches(store, 0, BEFORE);
	kit_must(compact_all(store) == LSM_OK);
	write_batches(store, BEFORE, IN_LOG);
	kit_must(env_mem_after_crash(env, &all, &grown) == LSM_OK);
	kit_must(lsm_close(store) == LSM_OK);
	lsm_runtime_destroy(runtime);
	env_mem_destroy(env);
}

static void teardown(void)
{
	alarm(0);
	env_mem_destroy(grown);
	kit_model_destroy(model);
}

/* ---- the scenario -----------------------------------------------------------
 */

struct run {
	enum lsm_err expected; /* what the failure is told as; or POISONED */
	size_t started, acked, synced;
	struct kit_why why; /* an error that is not a plain one */
};

/* Note an error that does not say what happened. A CURRENT whose fate is
   unknown is IO, whatever the reason. */
static enum lsm_err heed(struct run *r, enum lsm_err err, const char *what)
{
	if (err != LSM_OK && err != r->expected && err != LSM_ERR_POISONED &&
	    err != LSM_ERR_IO && r->why.text[0] == '\0')
		kit_fail(&r->why, "%s said \"%s\"", what, lsm_strerror(err));
	return err;
}

static bool write_one(struct run *r, struct lsm *store, size_t index)
{
	r->started = index + 1;
	for (unsigned t = 0; t < TRIES; t++) {
		if (heed(r, kit_write(model, store, index), "a write") ==
		    LSM_OK) {
			r->acked = index + 1;
			return true;
		}
	}
	return false;
}

static void keep_up(struct run *r, struct lsm *store, size_t index)
{
	enum lsm_err err = LSM_ERR_INVALID;

	if (index % 9 == 4)
		err = heed(r, lsm_sync(store), "a sync");
	if (index % 19 == 11)
		err = heed(r, lsm_flush(store), "a flush");
	if (index == BEFORE + IN_LOG + 25)
		err = heed(r, compact_all(store), "a compaction");
	if (err == LSM_OK)
		r->synced = r->acked;
}

/* Open, write, flush, compact, close; whatever fails, go on. */
static void live(struct run *r, const struct env *env)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	enum lsm_err err = heed(r, kit_runtime(&runtime), "a runtime");

	/* The log that is replayed was not synced when its process died. */
	r->started = r->acked = BEFORE + IN_LOG;
	r->synced = BEFORE;
	if (err == LSM_OK)
		err = heed(r, kit_open(runtime, env, "/store", false, &store),
		           "open");
	if (err == LSM_OK) {
		r->synced = r->acked;
		for (size_t i = r->acked; i < BATCHES && write_one(r, store, i);
		     i++)
			keep_up(r, store, i);
		err = heed(r, lsm_close(store), "close");
		if (err == LSM_OK)
			r->synced = r->acked;
	}
	lsm_runtime_destroy(runtime);
}

/* What is left must hold what was acknowledged, and after a power cut what was
   synced. */
static bool check_rest(const struct run *r, struct env *env,
                       struct kit_why *why)
{
	struct env_mem_crash none = {0, 1};
	struct kit_bounds alive = {r->acked, r->started};
	struct kit_bounds cut = {r->synced, r->started};
	struct kit_why cut_why;
	struct env *after = NULL;
	bool good = true;

	if (r->why.text[0] != '\0')
		return kit_fail(why, "%s", r->why.text);
	kit_must(env_mem_after_crash(env, &none, &after) == LSM_OK);
	if (!kit_check_store(after, "/store", model, cut, false, NULL,
	                     &cut_why))
		good = kit_fail(why, "after a power cut: %.400s", cut_why.text);
	env_mem_destroy(after);
	return good &&
	       kit_check_store(env, "/store", model, alive, true, NULL, why);
}

static struct env *clone(void)
{
	struct env_mem_crash all = {256, 1};
	struct env *env = NULL;

	kit_must(env_mem_after_crash(grown, &all, &env) == LSM_OK);
	return env;
}

/* Numbers from 1 to `last`, or a sample: the early ones of a store's life are
   of one kind each, so they are all taken. */
static uint64_t next_sample(uint64_t at, uint64_t last)
{
	uint64_t step = kit_full() ? 1 : last / SAMPLES + 1;

	return at < SAMPLES / 4 ? at + 1 : at + step;
}

/* ---- the env
 * -------------------------------------------------------------------- */

static bool live_with_failure(uint64_t nth, enum lsm_err err, bool and_later,
                              uint64_t *operations_out, struct kit_why *why)
{
	struct run r = {.expected = err};
	struct env *env = clone(), *fault = NULL;
	bool good;

	kit_must(env_fault_create(env, &fault) == LSM_OK);
	env_fault_arm(fault, nth, err, and_later);
	live(&r, fault);
	*operations_out = env_fault_count(fault);
	env_fault_destroy(fault);
	good = check_rest(&r, env, why);
	env_mem_destroy(env);
	return good;
}

static void fail_each_operation(enum lsm_err err, bool and_later)
{
	uint64_t last, ignored, tried = 0;
	struct kit_why why;

	ck_assert_msg(live_with_failure(0, err, and_later, &last, &why), "%s",
	              why.text);
	for (uint64_t at = 1; at <= last; at = next_sample(at, last)) {
		watch(at);
		ck_assert_msg(
		    live_with_failure(at, err, and_later, &ignored, &why),
		    "operation %llu of %llu: %s", (unsigned long long)at,
		    (unsigned long long)last, why.text);
		tried++;
	}
	fprintf(stderr, "%llu of %llu operations\n", (unsigned long long)tried,
	        (unsigned long long)last);
}

START_TEST(any_failed_operation_is_told_and_survived)
{
	fail_each_operation(LSM_ERR_IO, false);
}
END_TEST

START_TEST(any_operation_may_find_the_disk_full)
{
	fail_each_operation(LSM_ERR_NOSPACE, false);
}
END_TEST

START_TEST(a_disk_that_dies_is_survived)
{
	fail_each_operation(LSM_ERR_IO, true);
}
END_TEST

/* An lsm_create() that failed left nothing that hinders the next. */
static void create_after_failures(bool folder_exists)
{
	uint64_t last = 0; /* operations of one that succeeds: the first */

	for (uint64_t at = 0; at <= last; at++) {
		struct kit_bounds none = {0, 0};
		struct env *env = NULL, *fault = NULL;
		struct env_dir *root = NULL;
		struct kit_why why;
		enum lsm_err err;

		kit_must(env_mem_create(&env) == LSM_OK);
		kit_must(env_dir_open(env, "/", &root) == LSM_OK);
		if (folder_exists)
			kit_must(env_dir_make(root, "store") == LSM_OK);
		env_dir_close(root);
		kit_must(env_fault_create(env, &fault) == LSM_OK);
		env_fault_arm(fault, at, LSM_ERR_IO, false);
		err = kit_create(fault, "/store");
		if (env_fault_count(fault) > last)
			last = env_fault_count(fault);
		env_fault_destroy(fault);
		if (err != LSM_OK)
			ck_assert_msg(kit_create(env, "/store") == LSM_OK,
			              "operation %llu failed: no store can be "
			              "made",
			              (unsigned long long)at);
		ck_assert_msg(kit_check_store(env, "/store", model, none, true,
		                              NULL, &why),
		              "operation %llu: %s", (unsigned long long)at,
		              why.text);
		env_mem_destroy(env);
	}
	ck_assert_uint_gt(last, 20);
}

START_TEST(create_that_failed_can_be_done_again)
{
	create_after_failures(false);
}
END_TEST

START_TEST(create_that_failed_in_a_given_folder_can_be_done_again)
{
	create_after_failures(true);
}
END_TEST

/* ---- memory
 * ------------------------------------------------------------------------ */

/* *fired_out: there was an allocation number `nth`. */
static bool live_without_memory(uint64_t nth, bool *fired_out,
                                struct kit_why *why)
{
	struct run r = {.expected = LSM_ERR_NOMEM};
	struct env *env = clone();
	bool good;

	alloc_fault_arm(nth);
	live(&r, env);
	*fired_out = alloc_fault_disarm();
	good = check_rest(&r, env, why);
	env_mem_destroy(env);
	return good;
}

/* About how many allocations the scenario makes. */
static uint64_t count_allocations(void)
{
	uint64_t low = 1, high = 1;
	struct kit_why why;
	bool fired = true;

	while (fired) {
		low = high;
		high *= 2;
		watch(high);
		ck_assert_msg(live_without_memory(high, &fired, &why),
		              "allocation %llu: %s", (unsigned long long)high,
		              why.text);
	}
	return (low + high) / 2;
}

START_TEST(any_failed_allocation_is_told_and_survived)
{
	uint64_t last = count_allocations(), tried = 0;
	struct kit_why why;
	bool fired = true;

	for (uint64_t at = 1; fired; at = next_sample(at, last)) {
		watch(at);
		ck_assert_msg(live_without_memory(at, &fired, &why),
		              "allocation %llu: %s", (unsigned long long)at,
		              why.text);
		tried++;
	}
	fprintf(stderr, "%llu of about %llu allocations\n",
	        (unsigned long long)tried, (unsigned long long)last);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("nth failure");
	TCase *tc = tcase_create("one failure");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, any_failed_operation_is_told_and_survived);
	tcase_add_test(tc, any_operation_may_find_the_disk_full);
	tcase_add_test(tc, a_disk_that_dies_is_survived);
	tcase_add_test(tc, create_that_failed_can_be_done_again);
	tcase_add_test(tc,
	               create_that_failed_in_a_given_folder_can_be_done_again);
	tcase_add_test(tc, any_failed_allocation_is_told_and_survived);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
