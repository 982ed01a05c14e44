/* SPDX-License-Identifier: MIT */
/*
 * test_crash_points.c: wherever the power is cut, what was synced is there, and
 * what is there is a prefix of what was written.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/crash_campaign.h"
#include "tests/crash/crash_check.h"
#include "tests/crash/crash_kit.h"
#include "tests/crash/crash_sites.h"
#include "tests/support/gen.h"

enum { BATCHES = 260, KILL_BATCHES = 90, TIMEOUT_S = 600 };

static uint64_t seed;
static struct kit_model *model;

static void setup(void)
{
	kit_quiet();
	seed = gen_seed(20251122);
	model = kit_model_create(seed, BATCHES);
}

static void teardown(void)
{
	kit_model_destroy(model);
}

static void run(struct campaign *c)
{
	bool good = campaign_run(c);

	fprintf(stderr, "%llu images, %llu of them in a recovery; %u stores\n",
	        (unsigned long long)c->checked, (unsigned long long)c->nested,
	        atomic_load(&c->stores));
	ck_assert_msg(good, "%s", c->why.text);
	/* Logs were mapped, not written alone. */
	ck_assert_uint_gt(atomic_load(&c->stores), 100);
	campaign_release(c);
}

START_TEST(every_sync_and_rename_survives_a_power_cut)
{
	struct campaign c = {
	    .model = model,
	    .batches = BATCHES,
	    .seed = seed,
	    .at_syncs = true,
	    .sparse = !kit_full(),
	    .randoms = kit_full() ? 6 : 1,
	    .go_on_one_in = kit_full() ? 1 : 8,
	};

	run(&c);
	ck_assert_uint_gt(c.checked, 500);
}
END_TEST

START_TEST(other_changes_survive_a_power_cut)
{
	struct campaign c = {
	    .model = model,
	    .batches = BATCHES,
	    .seed = seed + 1,
	    .one_in = kit_full() ? 1 : 12,
	    .go_on_one_in = kit_full() ? 2 : 8,
	};

	run(&c);
	ck_assert_uint_gt(c.checked, 100);
}
END_TEST

START_TEST(a_recovery_survives_a_power_cut)
{
	struct campaign c = {
	    .model = model,
	    .batches = BATCHES,
	    .seed = seed + 2,
	    .one_in = kit_full() ? 4 : 100,
	    .nested_one_in = 1,
	};

	run(&c);
	ck_assert_uint_gt(c.nested, 100);
}
END_TEST

/* The process dies first: its pages are there when the store is recovered, but
   not all of them are on the disk when the power goes. */
START_TEST(a_kill_and_then_a_power_cut_lose_nothing_synced)
{
	uint64_t operations, step, kills = 0, images = 0;
	struct campaign count = {.model = model, .batches = KILL_BATCHES};

	ck_assert(campaign_run(&count));
	operations = env_fault_count(count.fault);
	campaign_release(&count);

	step = kit_full() ? 1 : operations / 40 + 1;
	for (uint64_t at = 1 + seed % step; at <= operations; at += step) {
		struct campaign c = {
		    .model = model,
		    .batches = KILL_BATCHES,
		    .seed = seed + 3,
		    .kill_at = at,
		};

		campaign_run(&c);
		ck_assert_msg(campaign_recover_killed(&c),
		              "killed at operation %llu: %s",
		              (unsigned long long)at, c.why.text);
		kills++;
		images += c.nested;
		campaign_release(&c);
	}
	fprintf(stderr, "%llu kills, %llu images\n", (unsigned long long)kills,
	        (unsigned long long)images);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("crash points");
	TCase *tc = tcase_create("power cut");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, TIMEOUT_S);
	tcase_add_test(tc, every_sync_and_rename_survives_a_power_cut);
	tcase_add_test(tc, other_changes_survive_a_power_cut);
	tcase_add_test(tc, a_recovery_survives_a_power_cut);
	tcase_add_test(tc, a_kill_and_then_a_power_cut_lose_nothing_synced);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
