/* SPDX-License-Identifier: MIT */
/* test_cache.c: the limit holds whatever happens, handles keep what they point
   to, and every value is destroyed once. */
#include <check.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/cache.h"
#include "base/sync.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

static atomic_uint alive; /* values made and not yet destroyed */

struct value {
	uint64_t number;
};

static void destroy_value(void *value)
{
	atomic_fetch_sub(&alive, 1);
	free(value);
}

static struct cache_key key_of(uint64_t number)
{
	struct cache_key key = {{1, number, 3}};

	return key;
}

/* A handle to a new entry, or NULL without memory. */
static struct cache_handle *try_insert(struct cache *cache, uint64_t number,
                                       uint64_t charge_bytes)
{
	struct cache_key key = key_of(number);
	struct value *value = malloc(sizeof(*value));
	struct cache_handle *handle;

	if (value == NULL)
		return NULL;
	value->number = number;
	if (cache_insert(cache, &key, value, charge_bytes, destroy_value,
	                 &handle) != LSM_OK) {
		free(value);
		return NULL;
	}
	atomic_fetch_add(&alive, 1);
	return handle;
}

static struct cache_handle *insert(struct cache *cache, uint64_t number,
                                   uint64_t charge_bytes)
{
	struct cache_handle *handle = try_insert(cache, number, charge_bytes);

	ck_assert_ptr_nonnull(handle);
	return handle;
}

static struct cache_handle *lookup(struct cache *cache, uint64_t number)
{
	struct cache_key key = key_of(number);

	return cache_lookup(cache, &key);
}

static bool has(struct cache *cache, uint64_t number)
{
	struct cache_handle *handle = lookup(cache, number);
	bool found = handle != NULL;

	cache_release(cache, handle);
	return found;
}

static uint64_t number_in(const struct cache_handle *handle)
{
	return ((struct value *)cache_value(handle))->number;
}

static uint64_t used(struct cache *cache)
{
	struct cache_stats stats;

	cache_stats(cache, &stats);
	return stats.used_bytes;
}

/* What an entry is charged beside what the caller says. */
static uint64_t overhead(void)
{
	struct cache *cache;
	uint64_t bytes;

	ck_assert_int_eq(cache_create(1 << 20, 1, &cache), LSM_OK);
	cache_release(cache, insert(cache, 1, 0));
	bytes = used(cache);
	cache_destroy(cache);
	return bytes;
}

static struct cache *cache;
static uint64_t entry_bytes; /* what an entry of 1000 bytes is charged */

/* One shard with room for ten entries of 1000 bytes. */
static void make_small(void)
{
	entry_bytes = 1000 + overhead();
	ck_assert_int_eq(cache_create(10 * entry_bytes, 1, &cache), LSM_OK);
}

static void destroy_small(void)
{
	cache_destroy(cache);
	ck_assert_uint_eq(alive, 0);
}

START_TEST(a_lookup_finds_what_was_inserted)
{
	struct cache_handle *handle, *again;
	struct cache_stats stats;

	make_small();
	handle = insert(cache, 7, 1000);
	again = lookup(cache, 7);
	ck_assert_ptr_eq(handle, again);
	ck_assert_uint_eq(number_in(again), 7);
	ck_assert_ptr_null(lookup(cache, 8));
	cache_stats(cache, &stats);
	ck_assert_uint_eq(stats.hits, 1);
	ck_assert_uint_eq(stats.misses, 1);
	ck_assert_uint_eq(stats.used_bytes, entry_bytes);
	ck_assert_uint_eq(stats.limit_bytes, 10 * entry_bytes);
	cache_release(cache, handle);
	cache_release(cache, again);
	cache_release(cache, NULL);
	destroy_small();
	cache_destroy(NULL);
}
END_TEST

START_TEST(every_word_of_a_key_counts)
{
	struct cache_handle *handle;

	make_small();
	handle = insert(cache, 7, 1000);
	for (unsigned i = 0; i < CACHE_KEY_WORDS; i++) {
		struct cache_key key = key_of(7);

		key.word[i]++;
		ck_assert_ptr_null(cache_lookup(cache, &key));
	}
	cache_release(cache, handle);
	destroy_small();
}
END_TEST

START_TEST(an_entry_is_charged_more_than_its_value)
{
	ck_assert_uint_ge(overhead(), sizeof(struct cache_key));
}
END_TEST

START_TEST(the_limit_is_filled_and_not_passed)
{
	make_small();
	for (uint64_t i = 0; i < 10; i++)
		cache_release(cache, insert(cache, i, 1000));
	ck_assert_uint_eq(used(cache), 10 * entry_bytes);
	cache_release(cache, insert(cache, 10, 1000));
	ck_assert_uint_eq(used(cache), 10 * entry_bytes);
	ck_assert_uint_eq(alive, 10);
	ck_assert(has(cache, 10));
	ck_assert(!has(cache, 0));
	destroy_small();
}
END_TEST

START_TEST(what_was_looked_up_outlives_what_was_not)
{
	make_small();
	for (uint64_t i = 0; i < 10; i++)
		cache_release(cache, insert(cache, i, 1000));
	for (uint64_t i = 0; i < 10; i += 2)
		ck_assert(has(cache, i));
	for (uint64_t i = 10; i < 15; i++)
		cache_release(cache, insert(cache, i, 1000));
	for (uint64_t i = 0; i < 10; i++)
		ck_assert_int_eq(has(cache, i), i % 2 == 0);
	destroy_small();
}
END_TEST

START_TEST(entries_in_use_stay_and_a_full_cache_hands_out_uncached_ones)
{
	struct cache_handle *held[10], *extra;

	make_small();
	for (uint64_t i = 0; i < 10; i++)
		held[i] = insert(cache, i, 1000);
	extra = insert(cache, 10, 1000);
	ck_assert_uint_eq(number_in(extra), 10);
	ck_assert_ptr_null(lookup(cache, 10));
	ck_assert_uint_eq(used(cache), 10 * entry_bytes);
	ck_assert_uint_eq(alive, 11);
	cache_release(cache, extra);
	ck_assert_uint_eq(alive, 10);
	for (uint64_t i = 0; i < 10; i++) {
		ck_assert_uint_eq(number_in(held[i]), i);
		ck_assert(has(cache, i));
		cache_release(cache, held[i]);
	}
	/* Released, they make room again. */
	cache_release(cache, insert(cache, 11, 1000));
	ck_assert(has(cache, 11));
	destroy_small();
}
END_TEST

START_TEST(what_is_larger_than_the_limit_evicts_nothing)
{
	struct cache_handle *handle;

	make_small();
	cache_release(cache, insert(cache, 1, 1000));
	handle = insert(cache, 2, 10 * entry_bytes);
	ck_assert_uint_eq(number_in(handle), 2);
	cache_release(cache, handle);
	ck_assert(!has(cache, 2));
	ck_assert(has(cache, 1));
	/* So is anything in a cache of nothing. */
	destroy_small();
	ck_assert_int_eq(cache_create(0, 1, &cache), LSM_OK);
	cache_release(cache, insert(cache, 3, 0));
	ck_assert(!has(cache, 3));
	destroy_small();
}
END_TEST

START_TEST(one_large_entry_takes_the_place_of_many)
{
	make_small();
	for (uint64_t i = 0; i < 10; i++) {
		cache_release(cache, insert(cache, i, 1000));
		ck_assert(has(cache, i));
	}
	cache_release(cache, insert(cache, 10, 9 * entry_bytes));
	ck_assert(has(cache, 10));
	ck_assert_uint_eq(alive, 1);
	destroy_small();
}
END_TEST

START_TEST(a_new_value_replaces_and_the_old_lives_while_held)
{
	struct cache_handle *old, *new;

	make_small();
	old = insert(cache, 1, 1000);
	new = insert(cache, 1, 500);
	ck_assert_ptr_ne(old, new);
	ck_assert_uint_eq(used(cache), entry_bytes - 500);
	ck_assert_uint_eq(number_in(old), 1);
	ck_assert_uint_eq(alive, 2);
	cache_release(cache, old);
	ck_assert_uint_eq(alive, 1);
	cache_release(cache, new);
	cache_release(cache, insert(cache, 1, 1000));
	ck_assert_uint_eq(alive, 1);
	/* Also when the new one does not fit: the old one is out of date. */
	cache_release(cache, insert(cache, 1, 11 * entry_bytes));
	ck_assert(!has(cache, 1));
	destroy_small();
}
END_TEST

START_TEST(erased_entries_are_gone_but_live_while_held)
{
	struct cache_handle *held;
	struct cache_key key = key_of(1);

	make_small();
	held = insert(cache, 1, 1000);
	cache_release(cache, insert(cache, 2, 1000));
	cache_erase(cache, &key);
	ck_assert(!has(cache, 1));
	ck_assert(has(cache, 2));
	ck_assert_uint_eq(number_in(held), 1);
	ck_assert_uint_eq(used(cache), entry_bytes);
	cache_erase(cache, &key);
	cache_release(cache, held);
	ck_assert_uint_eq(alive, 1);
	key = key_of(2);
	cache_erase(cache, &key);
	ck_assert_uint_eq(alive, 0);
	destroy_small();
}
END_TEST

/* Ten entries have room, so two may be kept. */
START_TEST(kept_entries_stay_and_are_a_part_of_the_limit)
{
	struct cache_handle *kept[2], *held, *again, *found;
	struct cache_key key = key_of(3), kept_key = key_of(1);

	make_small();
	for (unsigned i = 0; i < 2; i++) {
		kept[i] = insert(cache, i, 1000);
		ck_assert(cache_keep(cache, kept[i]));
	}
	held = insert(cache, 2, 1000);
	ck_assert(!cache_keep(cache, held)); /* no room */
	for (unsigned i = 10; i < 40; i++)
		cache_release(cache, insert(cache, i, 1000));
	ck_assert(has(cache, 0) && has(cache, 1) && has(cache, 2));
	ck_assert_uint_eq(used(cache), 10 * entry_bytes);

	/* Replaced, it would be held and not count. */
	again = insert(cache, 1, 1000);
	found = cache_lookup(cache, &kept_key);
	ck_assert_ptr_eq(found, kept[1]);
	cache_release(cache, found);
	cache_release(cache, again);

	cache_unkeep(cache, kept[0]);
	ck_assert(cache_keep(cache, held));
	cache_unkeep(cache, held);
	held = insert(cache, 3, 1000);
	cache_erase(cache, &key);
	ck_assert(!cache_keep(cache, held)); /* not the cache's */
	cache_release(cache, held);
	cache_unkeep(cache, kept[1]);
	destroy_small();
}
END_TEST

START_TEST(many_entries_are_all_found)
{
	enum { COUNT = 20000 };

	ck_assert_int_eq(cache_create(UINT64_C(1) << 30, 16, &cache), LSM_OK);
	for (uint64_t i = 0; i < COUNT; i++)
		cache_release(cache, insert(cache, i, 100));
	for (uint64_t i = 0; i < COUNT; i++) {
		struct cache_handle *handle = lookup(cache, i);

		ck_assert_ptr_nonnull(handle);
		ck_assert_uint_eq(number_in(handle), i);
		cache_release(cache, handle);
	}
	destroy_small();
}
END_TEST

/* Locks the shard, which aborts when it is held already. */
static void look_around(void *value)
{
	struct cache_stats stats;

	cache_stats(cache, &stats);
	destroy_value(value);
}

START_TEST(values_are_destroyed_with_no_lock_held)
{
	make_small();
	for (uint64_t i = 0; i < 30; i++) {
		struct cache_key key = key_of(i % 20);
		struct value *value = malloc(sizeof(*value));
		struct cache_handle *handle;

		ck_assert_ptr_nonnull(value);
		ck_assert_int_eq(cache_insert(cache, &key, value, 1000,
		                              look_around, &handle),
		                 LSM_OK);
		atomic_fetch_add(&alive, 1);
		if (i % 3 == 0)
			cache_erase(cache, &key);
		cache_release(cache, handle);
	}
	ck_assert_uint_le(alive, 10);
	destroy_small();
}
END_TEST

START_TEST(an_insertion_gives_up_early_and_the_next_goes_on)
{
	enum { COUNT = 5000 };
	struct cache_handle *held[COUNT];
	unsigned tries = 0;

	ck_assert_int_eq(cache_create(COUNT * overhead(), 1, &cache), LSM_OK);
	for (uint64_t i = 0; i < COUNT; i++)
		held[i] = insert(cache, i, 0);
	/* The one entry that could go is the last that the hand comes to. */
	cache_release(cache, held[COUNT - 1]);
	do {
		ck_assert_uint_lt(tries, COUNT);
		tries++;
		cache_release(cache, insert(cache, COUNT + tries, 0));
	} while (!has(cache, COUNT + tries));
	ck_assert(!has(cache, COUNT - 1));
	/* One try that looks at all of it would hold the lock for long. */
	ck_assert_uint_gt(tries, 1);
	ck_assert_uint_eq(used(cache), COUNT * overhead());
	for (uint64_t i = 0; i < COUNT - 1; i++)
		cache_release(cache, held[i]);
	destroy_small();
}
END_TEST

START_TEST(without_memory_the_value_stays_the_callers)
{
	struct cache_key key = key_of(1);
	struct value *value = malloc(sizeof(*value));
	struct cache_handle *handle;
	enum lsm_err err;

	ck_assert_ptr_nonnull(value);
	make_small();
	alloc_fault_arm(1);
	err = cache_insert(cache, &key, value, 1, destroy_value, &handle);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_ptr_null(handle);
	ck_assert_uint_eq(used(cache), 0);
	free(value);
	destroy_small();
}
END_TEST

START_TEST(creation_without_memory_leaves_nothing)
{
	for (uint64_t nth = 1;; nth++) {
		enum lsm_err err;

		alloc_fault_arm(nth);
		err = cache_create(1 << 20, 4, &cache);
		if (!alloc_fault_disarm()) {
			ck_assert_int_eq(err, LSM_OK);
			ck_assert_uint_gt(nth, 4);
			break;
		}
		ck_assert_int_eq(err, LSM_ERR_NOMEM);
		ck_assert_ptr_null(cache);
	}
	cache_destroy(cache);
}
END_TEST

START_TEST(a_table_that_cannot_grow_still_finds_all)
{
	ck_assert_int_eq(cache_create(1 << 20, 1, &cache), LSM_OK);
	for (uint64_t i = 0; i < 200; i++) {
		struct cache_handle *handle;

		/* The third allocation is that of more buckets. */
		alloc_fault_arm(3);
		handle = try_insert(cache, i, 1);
		alloc_fault_disarm();
		ck_assert_ptr_nonnull(handle);
		cache_release(cache, handle);
	}
	for (uint64_t i = 0; i < 200; i++)
		ck_assert(has(cache, i));
	destroy_small();
}
END_TEST

enum { KEYS = 200, PINS = 20 };

/* What a run of random operations saw that should not be; NULL for none. */
struct run {
	uint64_t seed;
	const char *fault;
};

static const char *random_operation(struct gen *gen, struct cache_handle **pins)
{
	uint64_t number = gen_below(gen, KEYS);
	struct cache_handle **pin = &pins[gen_below(gen, PINS)];
	struct cache_key key = key_of(number);

	switch (gen_below(gen, 8)) {
	case 0:
		cache_erase(cache, &key);
		return NULL;
	case 1:
		cache_release(cache, *pin);
		*pin = NULL;
		return NULL;
	case 2:
	case 3:
		cache_release(cache, *pin);
		*pin = try_insert(cache, number, gen_below(gen, 2000));
		if (*pin == NULL)
			return "no memory";
		break;
	default:
		cache_release(cache, *pin);
		*pin = lookup(cache, number);
		if (*pin == NULL)
			return NULL;
		break;
	}
	return number_in(*pin) == number ? NULL : "wrong value";
}

static void run_randomly(void *ctx)
{
	struct cache_handle *pins[PINS] = {NULL};
	struct run *run = ctx;
	struct cache_stats stats;
	struct gen gen;

	gen_init(&gen, run->seed);
	for (int i = 0; i < 20000 && run->fault == NULL; i++) {
		run->fault = random_operation(&gen, pins);
		cache_stats(cache, &stats);
		if (stats.used_bytes > stats.limit_bytes)
			run->fault = "more than the limit";
	}
	for (int i = 0; i < PINS; i++)
		cache_release(cache, pins[i]);
}

START_TEST(random_operations_keep_limit_and_values)
{
	uint64_t seed = gen_seed(14);

	for (unsigned shards = 1; shards <= 4; shards *= 2) {
		struct run run = {.seed = seed};

		ck_assert_int_eq(cache_create(60000, shards, &cache), LSM_OK);
		run_randomly(&run);
		ck_assert_msg(run.fault == NULL, "%s", run.fault);
		destroy_small();
	}
}
END_TEST

START_TEST(threads_keep_limit_and_values)
{
	enum { THREADS = 4 };
	struct sync_thread threads[THREADS];
	struct run runs[THREADS];
	uint64_t seed = gen_seed(15);

	ck_assert_int_eq(cache_create(60000, 2, &cache), LSM_OK);
	for (unsigned i = 0; i < THREADS; i++) {
		runs[i] = (struct run){.seed = seed + i};
		ck_assert_int_eq(sync_thread_start(&threads[i], "cache",
		                                   run_randomly, &runs[i]),
		                 LSM_OK);
	}
	for (unsigned i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	for (unsigned i = 0; i < THREADS; i++)
		ck_assert_msg(runs[i].fault == NULL, "%s", runs[i].fault);
	destroy_small();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cache");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_lookup_finds_what_was_inserted);
	tcase_add_test(tc, every_word_of_a_key_counts);
	tcase_add_test(tc, an_entry_is_charged_more_than_its_value);
	tcase_add_test(tc, the_limit_is_filled_and_not_passed);
	tcase_add_test(tc, what_was_looked_up_outlives_what_was_not);
	tcase_add_test(
	    tc, entries_in_use_stay_and_a_full_cache_hands_out_uncached_ones);
	tcase_add_test(tc, what_is_larger_than_the_limit_evicts_nothing);
	tcase_add_test(tc, one_large_entry_takes_the_place_of_many);
	tcase_add_test(tc, a_new_value_replaces_and_the_old_lives_while_held);
	tcase_add_test(tc, erased_entries_are_gone_but_live_while_held);
	tcase_add_test(tc, kept_entries_stay_and_are_a_part_of_the_limit);
	tcase_add_test(tc, many_entries_are_all_found);
	tcase_add_test(tc, values_are_destroyed_with_no_lock_held);
	tcase_add_test(tc, an_insertion_gives_up_early_and_the_next_goes_on);
	tcase_add_test(tc, without_memory_the_value_stays_the_callers);
	tcase_add_test(tc, creation_without_memory_leaves_nothing);
	tcase_add_test(tc, a_table_that_cannot_grow_still_finds_all);
	tcase_add_test(tc, random_operations_keep_limit_and_values);
	tcase_add_test(tc, threads_keep_limit_and_values);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
