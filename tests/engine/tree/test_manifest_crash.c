/* SPDX-License-Identifier: MIT */
/*
 * test_manifest_crash.c: a power cut or a failing disk at any operation leaves
 * the branch as it was before the step that was under way, or as after it; and
 * each sync is needed for that.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/engine/tree/manifest_kit.h"

enum {
	STEPS = 12,
	SYNCS_MAX = 200,
	CUT_SEEDS = 20, /* tries to notice that a sync was left out */
};

static void must_be_ok(enum lsm_err err)
{
	ck_assert_int_eq(err, LSM_OK);
}

/* One sync that the steps made. */
struct sync_call {
	uint64_t number;
	char what[FILE_NAME_MAX_BYTES + 16];
};

/* A run of the steps with a power cut before each operation. */
struct run {
	struct branch branch;
	struct buf acked, pending; /* fingerprints; pending: in flight */
	bool has_acked;
	uint64_t cut_seed; /* of the power cuts; the steps have their own */
	uint64_t skip;     /* leave this sync out; 0: none */
	uint64_t faults;
	char first_fault[200];

	struct sync_call syncs[SYNCS_MAX];
	size_t sync_count;
};

/* The ways of a power cut: what of the unsynced is kept, in 256ths. */
static const unsigned keeps[] = {0, 256, 128, 128, 128, 64, 192};

static void note_fault(struct run *run, uint64_t number, const char *why)
{
	if (run->faults++ == 0)
		snprintf(run->first_fault, sizeof(run->first_fault),
		         "before operation %llu: %s",
		         (unsigned long long)number, why);
}

/* Cut the power now, in each way, and see what recovery finds. */
static void cut_power(struct run *run, uint64_t number, bool in_flight)
{
	for (size_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
		struct env_mem_crash crash = {
		    .keep_per_256 = keeps[i],
		    .seed = run->cut_seed * 10000 + number * 10 + i,
		};
		struct buf found = BUF_INIT;
		struct env *after;
		enum lsm_err err;

		must_be_ok(
		    env_mem_after_crash(run->branch.mem, &crash, &after));
		err = recover_bytes(after, &found);
		/* Before the first publish there is no CURRENT, or a good one.
		 */
		if (err != LSM_OK &&
		    (run->has_acked || has_file(after, "/branch", "CURRENT")))
			note_fault(run, number, lsm_strerror(err));
		else if (err == LSM_OK &&
		         !(run->has_acked &&
		           slice_equal(buf_slice(&found),
		                       buf_slice(&run->acked))) &&
		         !(in_flight && slice_equal(buf_slice(&found),
		                                    buf_slice(&run->pending))))
			note_fault(run, number, "another state");
		buf_release(&found);
		env_mem_destroy(after);
	}
}

static void note_sync(struct run *run, const struct fault_call *call)
{
	struct sync_call *sync;

	ck_assert_uint_lt(run->sync_count, SYNCS_MAX);
	sync = &run->syncs[run->sync_count++];
	sync->number = call->number;
	snprintf(sync->what, sizeof(sync->what), "%s/%s", call->folder,
	         call->name);
}

static struct fault_answer before_each(void *ctx, const struct fault_call *call)
{
	struct fault_answer answer = {0};
	struct run *run = ctx;

	cut_power(run, call->number, true);
	if (call->op == FAULT_SYNC || call->op == FAULT_DIR_SYNC) {
		note_sync(run, call);
		answer.skip = call->number == run->skip;
	}
	return answer;
}

/* What step `index` of a branch's life will change. */
static void draw_step(struct run *run, unsigned index, struct edit *edit)
{
	struct manifest_state next;

	edit_init(edit);
	if (index % 4 != 0)
		draw_edit(&run->branch, edit);
	must_be_ok(manifest_state_copy(&run->branch.state, &next));
	must_be_ok(manifest_state_apply(&next, edit));
	fingerprint(&next, &run->pending);
	manifest_state_release(&next);
}

static enum lsm_err take_step(struct run *run, unsigned index,
                              const struct edit *edit)
{
	if (index % 4 != 0)
		return branch_append(&run->branch, edit);
	if (index % 8 == 4)
		return branch_relist(&run->branch);
	return branch_publish(&run->branch);
}

static void run_begin(struct run *run, uint64_t seed, uint64_t skip)
{
	memset(run, 0, sizeof(*run));
	buf_init(&run->acked);
	buf_init(&run->pending);
	run->cut_seed = seed;
	run->skip = skip;
	branch_setup(&run->branch, seed);
}

static void run_end(struct run *run)
{
	env_fault_set_hook(run->branch.fault, NULL, NULL);
	branch_teardown(&run->branch);
	buf_release(&run->acked);
	buf_release(&run->pending);
}

static void run_steps(struct run *run)
{
	env_fault_set_hook(run->branch.fault, before_each, run);
	for (unsigned i = 0; i < STEPS; i++) {
		struct edit edit;

		draw_step(run, i, &edit);
		must_be_ok(take_step(run, i, &edit));
		edit_release(&edit);
		fingerprint(&run->branch.state, &run->acked);
		run->has_acked = true;
		cut_power(run, env_fault_count(run->branch.fault), false);
	}
}

START_TEST(a_power_cut_leaves_the_old_state_or_the_new)
{
	uint64_t seed = gen_seed(61);

	for (uint64_t i = 0; i < 4; i++) {
		static struct run run;

		run_begin(&run, seed + i, 0);
		run_steps(&run);
		ck_assert_msg(run.faults == 0, "seed %llu: %s",
		              (unsigned long long)(seed + i), run.first_fault);
		run_end(&run);
	}
}
END_TEST

/* Whether leaving this sync out is noticed. What a power cut keeps is chance.
 */
static bool is_needed(const struct sync_call *sync, uint64_t seed)
{
	static struct run run;
	bool noticed = false;

	for (uint64_t i = 0; !noticed && i < CUT_SEEDS; i++) {
		run_begin(&run, seed, sync->number);
		run.cut_seed += i;
		run_steps(&run);
		noticed = run.faults > 0;
		run_end(&run);
	}
	return noticed;
}

START_TEST(every_sync_is_needed)
{
	uint64_t seed = gen_seed(62);
	static struct run whole;
	size_t needed = 0;

	run_begin(&whole, seed, 0);
	run_steps(&whole);
	ck_assert_uint_eq(whole.faults, 0);
	run_end(&whole);
	for (size_t i = 0; i < whole.sync_count; i++) {
		ck_assert_msg(is_needed(&whole.syncs[i], seed),
		              "sync %zu, of %s, is not needed", i,
		              whole.syncs[i].what);
		needed++;
	}
	/* An append: 1. A publish: 4. A list: 2 and a publish. */
	ck_assert_uint_eq(needed, 9 * 1 + 2 * 4 + 1 * 6);
}
END_TEST

/* The steps with operation `nth` failing; false when there is none such. */
static bool run_with_failure(uint64_t seed, uint64_t nth, enum lsm_err with)
{
	static struct run run;
	struct buf found = BUF_INIT;
	bool reached = false;

	run_begin(&run, seed, 0);
	env_fault_arm(run.branch.fault, nth, with, false);
	for (unsigned i = 0; i < STEPS && !reached; i++) {
		struct edit edit;
		enum lsm_err err;

		draw_step(&run, i, &edit);
		fingerprint(&run.branch.state, &run.acked);
		err = take_step(&run, i, &edit);
		reached = env_fault_count(run.branch.fault) >= nth;
		edit_release(&edit);
		ck_assert(err == LSM_OK ||
		          (reached && (err == with || err == LSM_ERR_IO)));
		fingerprint(&run.branch.state, &found);
		ck_assert(slice_equal(
		    buf_slice(&found),
		    buf_slice(err == LSM_OK ? &run.pending : &run.acked)));
		if (i > 0 || err == LSM_OK) {
			must_be_ok(recover_bytes(run.branch.mem, &found));
			ck_assert(slice_equal(buf_slice(&found),
			                      buf_slice(&run.pending)) ||
			          (err != LSM_OK &&
			           slice_equal(buf_slice(&found),
			                       buf_slice(&run.acked))));
		}
	}
	/* The disk is well again: publishing leaves one manifest, and works. */
	env_fault_arm(run.branch.fault, 0, LSM_OK, false);
	branch_sweep(&run.branch);
	ck_assert_uint_eq(count_manifests(run.branch.mem), 1);
	branch_grow(&run.branch);
	fingerprint(&run.branch.state, &run.acked);
	must_be_ok(recover_bytes(run.branch.mem, &found));
	ck_assert(slice_equal(buf_slice(&found), buf_slice(&run.acked)));
	buf_release(&found);
	run_end(&run);
	return reached;
}

START_TEST(a_failing_operation_leaves_the_old_state_or_the_new)
{
	uint64_t seed = gen_seed(63), nth = 1;

	while (run_with_failure(seed, nth, LSM_ERR_IO))
		nth++;
	ck_assert_uint_gt(nth, 60);
	for (nth = 1; run_with_failure(seed, nth, LSM_ERR_NOSPACE); nth++)
		;
}
END_TEST

START_TEST(after_a_failed_sync_the_manifest_takes_no_edit)
{
	struct branch branch;
	struct edit edit;

	branch_setup(&branch, gen_seed(64));
	must_be_ok(branch_publish(&branch));
	draw_edit(&branch, &edit);
	env_fault_arm(branch.fault, 2, LSM_ERR_IO, false); /* write, sync */
	ck_assert_int_eq(branch_append(&branch, &edit), LSM_ERR_IO);
	env_fault_arm(branch.fault, 0, LSM_OK, false);
	ck_assert_int_eq(branch_append(&branch, &edit), LSM_ERR_IO);
	ck_assert_uint_eq(env_fault_count(branch.fault), 0);
	edit_release(&edit);
	branch_teardown(&branch);
}
END_TEST

START_TEST(recovery_writes_nothing_and_passes_on_errors)
{
	struct branch branch;
	struct manifest_state state;
	uint64_t nth = 1;

	branch_setup(&branch, gen_seed(65));
	must_be_ok(branch_publish(&branch));
	branch_grow(&branch);
	must_be_ok(branch_relist(&branch));
	branch_grow(&branch);
	for (;; nth++) {
		struct env_io_stats before, after;
		enum lsm_err err;
		bool done;

		env_io_stats(branch.mem, &before);
		env_fault_arm(branch.fault, nth, LSM_ERR_IO, false);
		err = manifest_recover(&branch.place, BRANCH_ID,
		                       tally_owner(&branch.tally),
		                       tally_adopted, &state);
		done = env_fault_count(branch.fault) < nth;
		env_io_stats(branch.mem, &after);
		ck_assert_uint_eq(before.bytes_written, after.bytes_written);
		ck_assert_uint_eq(before.syncs, after.syncs);
		ck_assert(err == LSM_OK || err == LSM_ERR_IO);
		ck_assert((state.version != NULL) == (err == LSM_OK));
		manifest_state_release(&state);
		if (done) {
			must_be_ok(err);
			break;
		}
	}
	ck_assert_uint_gt(nth, 8);
	env_fault_arm(branch.fault, 0, LSM_OK, false);
	branch_teardown(&branch);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("manifest crash");
	TCase *tc = tcase_create("crash");

	tcase_add_test(tc, a_power_cut_leaves_the_old_state_or_the_new);
	tcase_add_test(tc, every_sync_is_needed);
	tcase_add_test(tc, a_failing_operation_leaves_the_old_state_or_the_new);
	tcase_add_test(tc, after_a_failed_sync_the_manifest_takes_no_edit);
	tcase_add_test(tc, recovery_writes_nothing_and_passes_on_errors);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
