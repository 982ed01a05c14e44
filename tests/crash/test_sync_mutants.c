/* SPDX-License-Identifier: MIT */
/*
 * test_sync_mutants.c: every sync is needed. A first run of the workload finds
 * where syncs of files and folders are issued; for each such place another run
 * leaves them out silently, and some check of what a power cut leaves must then
 * fail. What is not caught is either a sync too many or a check too weak.
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
	tcase_add_test(tc, every_sync_is_needed);
	tcase_add_test(tc, every_sync_of_an_export_by_copies_is_needed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
