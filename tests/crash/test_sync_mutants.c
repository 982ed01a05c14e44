/* SPDX-License-Identifier: MIT */
/*
 * test_sync_mutants.c: every sync is needed. A first run of the workload finds
 * where syncs of files and folders are issued; for each such place another run
 * leaves them out silently, and some check of what a power cut leaves must then
 * fail. What is not caught is either a sync too many or a check too weak; or, with
 * another seed (SHALEFS_SEED), of a file that a sync had covered before, or that
 * nothing refers to when the power is cut, as a site that is passed once only.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/crash_campaign.h"
#include "tests/crash/crash_check.h"
#include "tests/crash/crash_kit.h"
#include "tests/crash/crash_sites.h"
#include "tests/support/gen.h"

enum {
	BATCHES = 260,
	WINDOW = 60,
	RANDOMS = 3,
	TRIES = 4,
	SITES_LEAST = 30, /* fewer: the workload does not reach them any more */
	TIMEOUT_S = 600,
};

static uint64_t seed;
static struct kit_model *model;

static void setup(void)
{
	kit_quiet();
	seed = gen_seed(1763798400);
	model = kit_model_create(seed, BATCHES);
}

static void teardown(void)
{
	kit_model_destroy(model);
}

/* Whether leaving the syncs of `site` out made a check fail. */
static bool is_caught(const char *site, bool copy_export, unsigned attempt,
                      unsigned *skipped, struct kit_why *why)
{
	struct campaign c = {
	    .model = model,
	    .batches = BATCHES,
	    .seed = seed + attempt,
	    .skip = site,
	    .skip_window = WINDOW,
	    .randoms = RANDOMS,
	    .go_on_one_in = 8,
	    .copy_export = copy_export,
	    .hold_flush = true,
	};
	bool caught = !campaign_run(&c);

	if (caught)
		*why = c.why;
	else
		kit_fail(why, "left out %u times, %llu images",
		         atomic_load(&c.skipped),
		         (unsigned long long)c.checked);
	*skipped += atomic_load(&c.skipped);
	campaign_release(&c);
	return caught;
}

/* ---- names that a dead process did not sync ------------------------------------ */

/* A process dies between a rename and the sync of the folder; another goes on. */
struct heir {
	const char *folder; /* whose syncs the dead one left out */
	bool mutant;        /* its heir leaves them out too */
	atomic_bool dead;
};

static struct fault_answer on_heir_call(void *ctx,
                                        const struct fault_call *call)
{
	struct heir *heir = ctx;
	struct fault_answer answer = {LSM_OK, false};

	answer.skip = call->op == FAULT_DIR_SYNC &&
	              strncmp(call->folder, ".tmp-", 5) != 0 &&
	              strcmp(site_folder(call->folder), heir->folder) == 0 &&
	              (heir->mutant || !atomic_load(&heir->dead));
	return answer;
}

/* Make a store and a branch, and die. */
static void leave_names(struct env *fault)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;

	kit_must(kit_create(fault, "/store") == LSM_OK);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	kit_must(kit_open(runtime, fault, "/store", false, &store) == LSM_OK);
	kit_must(lsm_branch_create(store, "child", false, NULL) == LSM_OK);
	kit_must(lsm_close(store) == LSM_OK);
	lsm_runtime_destroy(runtime);
}

/* Whether the store, what is written to it, and its branch are found. */
static bool names_are_found(struct env *env, bool write, struct kit_why *why)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL, *child = NULL;
	enum lsm_err err;
	bool good = true;

	kit_must(kit_runtime(&runtime) == LSM_OK);
	err = kit_open(runtime, env, "/store", false, &store);
	if (err == LSM_OK && write)
		err = kit_write(model, store, 0);
	if (err == LSM_OK && write)
		err = lsm_sync(store);
	if (err == LSM_OK && !write && lsm_sequence(store) == 0)
		good = kit_fail(why, "what was written is gone");
	if (err == LSM_OK)
		err = lsm_branch_open(store, "child", NULL, &child);
	(void)lsm_close(child);
	(void)lsm_close(store);
	lsm_runtime_destroy(runtime);
	return err == LSM_OK ? good : kit_fail(why, "%s", lsm_strerror(err));
}

/* Whether a power cut leaves all that the heir found, and then relied upon. */
static bool heir_is_safe(const char *folder, bool mutant, struct kit_why *why)
{
	struct heir heir = {.folder = folder, .mutant = mutant};
	struct env_mem_crash nothing = {0, 1};
	struct env *env = NULL, *fault = NULL, *after = NULL;
	bool good;

	kit_must(env_mem_create(&env) == LSM_OK);
	kit_must(env_fault_create(env, &fault) == LSM_OK);
	env_fault_set_hook(fault, on_heir_call, &heir);
	leave_names(fault);
	atomic_store(&heir.dead, true);
	good = names_are_found(fault, true, why);
	kit_must(env_mem_after_crash(env, &nothing, &after) == LSM_OK);
	if (good)
		good = names_are_found(after, false, why);
	env_fault_destroy(fault);
	env_mem_destroy(env);
	env_mem_destroy(after);
	return good;
}

/* The folders whose names an opening makes durable. */
static const char *const heirlooms[] = {"branches", "the store", "the parent"};
enum { HEIRLOOMS = sizeof(heirlooms) / sizeof(heirlooms[0]) };

START_TEST(names_that_the_dead_left_unsynced_are_synced_by_who_opens)
{
	for (size_t i = 0; i < HEIRLOOMS; i++) {
		struct kit_why why;

		ck_assert_msg(heir_is_safe(heirlooms[i], false, &why), "%s: %s",
		              heirlooms[i], why.text);
		ck_assert_msg(!heir_is_safe(heirlooms[i], true, &why),
		              "%s need not be synced", heirlooms[i]);
	}
}
END_TEST

/* Syncs of an opening that only matter after such a death. */
static bool is_heirloom(const char *site)
{
	char name[SITE_NAME_BYTES];

	for (size_t i = 0; i < HEIRLOOMS; i++) {
		snprintf(name, sizeof(name), "folder %s in open", heirlooms[i]);
		if (strcmp(site, name) == 0)
			return true;
	}
	return false;
}

/* What became of all sites. */
struct tally {
	unsigned caught, missed;
};

/* Leave a site out until that is caught. One that does not come again, since
   it hangs on which thread was first, is not judged. */
static void try_site(const struct campaign_site *site, bool copy_export,
                     struct tally *tally)
{
	unsigned skipped = 0;
	struct kit_why why;
	bool caught = false;

	for (unsigned t = 0; t < TRIES && !caught; t++)
		caught = is_caught(site->name, copy_export, t, &skipped, &why);
	fprintf(stderr, "sync of %s (%u) taken out: %s %s\n", site->name,
	        site->count, caught ? "caught by" : "NOT CAUGHT:", why.text);
	tally->caught += caught;
	tally->missed += !caught && skipped > 0;
}

/* Run the workload as it is, to see its sites; release it. */
static void record(struct campaign *c, bool copy_export)
{
	memset(c, 0, sizeof(*c));
	c->model = model;
	c->batches = BATCHES;
	c->seed = seed;
	c->copy_export = copy_export;
	c->hold_flush = true;
	ck_assert_msg(campaign_run(c), "%s", c->why.text);
}

START_TEST(every_sync_is_needed)
{
	static struct campaign c;
	struct tally tally = {0, 0};

	record(&c, false);
	for (size_t i = 0; i < c.site_count; i++)
		if (!is_heirloom(c.sites[i].name))
			try_site(&c.sites[i], false, &tally);
	campaign_release(&c);
	ck_assert_uint_eq(tally.missed, 0);
	ck_assert_uint_ge(tally.caught, SITES_LEAST);
}
END_TEST

/* The sites that the workload does not have when the export makes links. */
START_TEST(every_sync_of_an_export_by_copies_is_needed)
{
	static struct campaign c;
	struct tally tally = {0, 0};

	record(&c, true);
	for (size_t i = 0; i < c.site_count; i++) {
		if (strstr(c.sites[i].name, ": copy") == NULL &&
		    strstr(c.sites[i].name, "pool in export") == NULL)
			continue;
		try_site(&c.sites[i], true, &tally);
	}
	campaign_release(&c);
	ck_assert_uint_eq(tally.missed, 0);
	ck_assert_uint_ge(tally.caught, 3); /* a table, a log, their folder */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sync mutants");
	TCase *tc = tcase_create("mutants");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(
	    tc, names_that_the_dead_left_unsynced_are_synced_by_who_opens);
	tcase_add_test(tc, every_sync_is_needed);
	tcase_add_test(tc, every_sync_of_an_export_by_copies_is_needed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
