/* SPDX-License-Identifier: MIT */
/*
 * test_compact_turns.c: deep compactions make way for L0.
 */
#include <stdlib.h>

#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"

enum { KEYS = 3000, ROUNDS = 4, LARGE_BYTES = 12 << 10 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit.options.table_bytes = 4 << 10;
	kit.options.level_base_bytes = 16 << 10;
	kit.options.block_bytes = 1024;
	kit.options.l0_trigger = 2;
	kit.options.segment_min_bytes = 0; /* of which tables count alone */
}

static void teardown(void)
{
	kit_release(&kit);
}

/* A table of L0 that is no small one. */
static void flush_large(char c)
{
	static char value[LARGE_BYTES + 1];
	struct gen gen;

	gen_init(&gen, gen_seed(1));
	for (size_t i = 0; i < LARGE_BYTES; i++)
		value[i] = (char)(1 + gen_below(&gen, 255));
	value[0] = c;
	kit_put(kit.store, "k", value);
	ASSERT_OK(lsm_flush(kit.store));
}

START_TEST(l0_that_is_due_is_announced_until_it_is_taken)
{
	kit_create(&kit);
	sync_lock(&kit.store->compact_mu); /* no compaction begins */
	flush_large('1');
	ck_assert_uint_eq(atomic_load(&kit.runtime->l0_waiting), 0);
	for (unsigned i = 0; i < 3; i++) {
		flush_large('2');
		KIT_WAIT_UNTIL(atomic_load(&kit.runtime->l0_waiting) == 1);
	}
	sync_unlock(&kit.store->compact_mu);
	KIT_WAIT_UNTIL(atomic_load(&kit.runtime->l0_waiting) == 0);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 1);
}
END_TEST

START_TEST(closed_store_is_not_waited_for)
{
	struct lsm_runtime *runtime;

	kit_create(&kit);
	runtime = kit.runtime;
	sync_lock(&kit.store->compact_mu);
	for (unsigned i = 0; i < 2; i++) {
		flush_large('1');
	}
	KIT_WAIT_UNTIL(atomic_load(&runtime->l0_waiting) == 1);
	kit_fail(&kit, FAULT_OPEN, ".sst", LSM_ERR_IO, -1);
	sync_unlock(&kit.store->compact_mu);
	ASSERT_OK(lsm_close(kit.store));
	kit.store = NULL;
	ck_assert_uint_eq(atomic_load(&runtime->l0_waiting), 0);
	kit_heal(&kit);
	lsm_runtime_destroy(runtime);
	kit.runtime = NULL;
}
END_TEST

/* Somebody's L0 waits all the time. */
START_TEST(always_interrupted_compactions_come_to_their_end)
{
	struct lsm_stats stats;

	kit_create(&kit);
	atomic_fetch_add(&kit.runtime->l0_waiting, 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		kit_fill(kit.store, "k", KEYS, i % 2 == 0 ? "even" : "odd");
		ASSERT_OK(lsm_flush(kit.store));
	}
	kit_fill(kit.store, "k", KEYS / 50, "odd");
	ASSERT_OK(compact_all(kit.store));
	lsm_stats(kit.store, &stats);
	for (unsigned i = 0; i + 1 < LSM_LEVELS; i++)
		ck_assert_uint_eq(stats.levels[i].files, 0);
	atomic_fetch_sub(&kit.runtime->l0_waiting, 1);
	kit_expect_filled(kit.store, "k", KEYS, "odd");
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", KEYS, "odd");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compact turns");
	TCase *tc = tcase_create("turns");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, l0_that_is_due_is_announced_until_it_is_taken);
	tcase_add_test(tc, closed_store_is_not_waited_for);
	tcase_add_test(tc, always_interrupted_compactions_come_to_their_end);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
