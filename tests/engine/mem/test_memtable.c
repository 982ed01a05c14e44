/* SPDX-License-Identifier: MIT */
/*
 * test_memtable.c: versions are found as of a sequence number; the ledger of
 * bytes is exact; memory stays as long as somebody reads.
 *
 * Linked with the wraps of alloc_fault.h.
 */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/sync.h"
#include "mem/memtable.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tests/support/walk.h"

enum {
	BLOCK_BYTES = 64 << 10,
	SEED = 20240613,
	READERS = 2,
};

static struct credit_pool *pool;
static struct credit_account *account;
static struct memtable *mem;

static void setup(void)
{
	ck_assert_int_eq(credit_pool_create(0, NULL, NULL, &pool), LSM_OK);
	ck_assert_int_eq(credit_account_create(pool, 0, &account), LSM_OK);
	ck_assert_int_eq(memtable_create(account, BLOCK_BYTES, &mem), LSM_OK);
}

static void teardown(void)
{
	memtable_unref(mem);
	credit_account_destroy(account);
	credit_pool_destroy(pool);
}

static uint64_t used_now(void)
{
	struct credit_stats stats;

	credit_pool_stats(pool, &stats);
	return stats.used_bytes;
}

/* Take, prepare, settle, apply: a whole batch of one. */
static enum lsm_err write_one(struct memtable *to, struct slice user,
                              uint64_t seq, enum key_kind kind,
                              struct slice value)
{
	struct memtable_chain chain = {NULL, NULL};
	uint64_t bound = memtable_bound(BLOCK_BYTES, 1, user.len + value.len);
	enum lsm_err err = credit_take(account, (int64_t)bound, false);

	if (err != LSM_OK)
		return err;
	err = memtable_prepare(to, user, seq, kind, value, &chain);
	memtable_settle(to, bound);
	memtable_apply(to, &chain);
	return err;
}

static void write_text(const char *user, uint64_t seq, enum key_kind kind,
                       const char *value)
{
	ck_assert_int_eq(
	    write_one(mem, slice_str(user), seq, kind, slice_str(value)),
	    LSM_OK);
}

/* What a walk met, as text: "9=new 5x". */
struct seen {
	char text[128];
	size_t stop_after;
};

static bool note_version(void *ctx, uint64_t seq, enum key_kind kind,
                         struct slice value)
{
	static const char signs[] = {'x', '=', '+'};
	struct seen *seen = ctx;
	size_t len = strlen(seen->text);

	snprintf(seen->text + len, sizeof(seen->text) - len, "%s%llu%c%.*s",
	         len > 0 ? " " : "", (unsigned long long)seq, signs[kind],
	         (int)value.len, (const char *)value.data);
	return --seen->stop_after > 0;
}

static void assert_seen(const char *user, uint64_t seq, const char *text)
{
	struct seen seen = {"", 100};

	ck_assert(memtable_get(mem, slice_str(user), seq, note_version, &seen));
	ck_assert_str_eq(seen.text, text);
}

START_TEST(get_visits_versions_up_to_a_sequence_newest_first)
{
	write_text("k", 5, KEY_PUT, "old");
	write_text("k", 7, KEY_DELETE, "");
	write_text("k", 9, KEY_MERGE, "op");
	write_text("ka", 6, KEY_PUT, "other");
	assert_seen("k", KEY_SEQ_MAX, "9+op 7x 5=old");
	assert_seen("k", 9, "9+op 7x 5=old");
	assert_seen("k", 8, "7x 5=old");
	assert_seen("k", 5, "5=old");
	assert_seen("k", 4, "");
	assert_seen("j", KEY_SEQ_MAX, "");
	assert_seen("", KEY_SEQ_MAX, "");
	assert_seen("z", KEY_SEQ_MAX, "");
}
END_TEST

START_TEST(get_stops_when_the_visitor_says_so)
{
	struct seen seen = {"", 1};

	write_text("k", 1, KEY_PUT, "a");
	write_text("k", 2, KEY_PUT, "b");
	ck_assert(!memtable_get(mem, slice_str("k"), 9, note_version, &seen));
	ck_assert_str_eq(seen.text, "2=b");
}
END_TEST

START_TEST(key_over_the_limit_is_not_found)
{
	static const uint8_t key[LSM_KEY_MAX_BYTES + 1];
	struct seen seen = {"", 100};

	ck_assert_int_eq(write_one(mem, slice_make(key, LSM_KEY_MAX_BYTES), 1,
	                           KEY_PUT, slice_str("longest")),
	                 LSM_OK);
	ck_assert(memtable_get(mem, slice_make(key, sizeof(key)), 9,
	                       note_version, &seen));
	ck_assert_str_eq(seen.text, "");
	ck_assert(memtable_get(mem, slice_make(key, LSM_KEY_MAX_BYTES), 9,
	                       note_version, &seen));
	ck_assert_str_eq(seen.text, "1=longest");
}
END_TEST

START_TEST(merges_are_counted_down_to_the_newest_base)
{
	ck_assert_uint_eq(memtable_pending_merges(mem, slice_str("k")), 0);
	write_text("k", 1, KEY_MERGE, "");
	write_text("k", 2, KEY_MERGE, "");
	write_text("l", 3, KEY_MERGE, "");
	ck_assert_uint_eq(memtable_pending_merges(mem, slice_str("k")), 2);
	write_text("k", 4, KEY_PUT, "");
	ck_assert_uint_eq(memtable_pending_merges(mem, slice_str("k")), 0);
	write_text("k", 5, KEY_MERGE, "");
	ck_assert_uint_eq(memtable_pending_merges(mem, slice_str("k")), 1);
	write_text("k", 6, KEY_DELETE, "");
	ck_assert_uint_eq(memtable_pending_merges(mem, slice_str("k")), 0);
}
END_TEST

START_TEST(key_and_value_are_copied)
{
	char user[] = "k", value[] = "mine";

	ck_assert_int_eq(
	    write_one(mem, slice_str(user), 1, KEY_PUT, slice_str(value)),
	    LSM_OK);
	user[0] = 'x';
	memset(value, '?', sizeof(value) - 1);
	assert_seen("k", 9, "1=mine");
}
END_TEST

START_TEST(batch_is_invisible_until_applied)
{
	struct memtable_chain chain = {NULL, NULL};
	uint64_t bound = memtable_bound(BLOCK_BYTES, 2, 6);

	ck_assert_int_eq(credit_take(account, (int64_t)bound, false), LSM_OK);
	ck_assert_int_eq(memtable_prepare(mem, slice_str("a"), 1, KEY_PUT,
	                                  slice_str("1"), &chain),
	                 LSM_OK);
	ck_assert_int_eq(memtable_prepare(mem, slice_str("b"), 2, KEY_PUT,
	                                  slice_str("2"), &chain),
	                 LSM_OK);
	memtable_settle(mem, bound);
	assert_seen("a", 9, "");
	ck_assert(memtable_is_empty(mem));
	memtable_apply(mem, &chain);
	assert_seen("a", 9, "1=1");
	assert_seen("b", 9, "2=2");
	ck_assert(!memtable_is_empty(mem));
	ck_assert_ptr_null(chain.first);
	memtable_apply(mem, &chain); /* empty */
	assert_seen("a", 9, "1=1");
}
END_TEST

START_TEST(iterator_goes_both_ways)
{
	enum { VERSIONS = 300 };
	struct walk_entry entries[VERSIONS];
	struct gen gen;
	struct iter *it;
	size_t count = 0;

	gen_init(&gen, gen_seed(20261122));
	ck_assert_int_eq(memtable_iter(mem, &it), LSM_OK);
	ck_assert(walk_both_ways(it, entries, 0, &gen, 50));
	for (uint64_t seq = 1; seq <= VERSIONS; seq++) {
		char user[2] = {(char)('a' + gen_below(&gen, 26)), '\0'};

		write_text(user, seq, KEY_PUT, user);
	}
	for (iter_seek_first(it); iter_valid(it); iter_next(it)) {
		ck_assert_uint_lt(count, VERSIONS);
		entries[count].key = iter_key(it);
		entries[count++].value = iter_value(it);
	}
	ck_assert_uint_eq(count, VERSIONS);
	ck_assert(walk_both_ways(it, entries, count, &gen, 5000));
	iter_destroy(it);
}
END_TEST

START_TEST(iterator_walks_all_and_holds_the_table)
{
	struct buf target = BUF_INIT;
	struct iter *it;

	write_text("b", 2, KEY_PUT, "2");
	write_text("a", 1, KEY_PUT, "1");
	write_text("b", 3, KEY_DELETE, "");
	ck_assert_int_eq(memtable_iter(mem, &it), LSM_OK);
	memtable_unref(mem);
	ck_assert_uint_gt(used_now(), 0);
	ck_assert(!iter_valid(it));
	iter_seek_first(it);
	ck_assert(iter_valid(it));
	ck_assert(slice_equal(key_user(iter_key(it)), slice_str("a")));
	iter_next(it);
	ck_assert_uint_eq(key_seq(iter_key(it)), 3);
	ck_assert_int_eq(key_kind(iter_key(it)), KEY_DELETE);
	iter_next(it);
	ck_assert(slice_equal(iter_value(it), slice_str("2")));
	iter_next(it);
	ck_assert(!iter_valid(it));
	ck_assert_int_eq(iter_status(it), LSM_OK);
	ck_assert_int_eq(key_make(&target, slice_str("b"), 2, KEY_SEEK),
	                 LSM_OK);
	iter_seek(it, buf_slice(&target));
	ck_assert_uint_eq(key_seq(iter_key(it)), 2);
	iter_destroy(it);
	ck_assert_uint_eq(used_now(), 0);
	buf_release(&target);
	mem = NULL;
}
END_TEST

/* ---- the ledger ------------------------------------------------------- */

/* One batch of random entries; checks bound and ledger around it. */
static void write_random_batch(struct gen *gen, size_t block_bytes,
                               uint64_t *seq)
{
	static uint8_t bytes[160 << 10];
	struct memtable_chain chain = {NULL, NULL};
	uint64_t before = memtable_bytes(mem), bound;
	size_t entries = 1 + gen_below(gen, 8), total = 0;
	size_t key_len[8], value_len[8];

	for (size_t i = 0; i < entries; i++) {
		uint64_t most = UINT64_C(1) << gen_below(gen, 18);

		key_len[i] = 1 + gen_below(gen, 30);
		value_len[i] = gen_below(gen, most);
		total += key_len[i] + value_len[i];
	}
	bound = memtable_bound(block_bytes, entries, total);
	ck_assert_int_eq(credit_take(account, (int64_t)bound, false), LSM_OK);
	for (size_t i = 0; i < entries; i++)
		ck_assert_int_eq(
		    memtable_prepare(mem, slice_make(bytes, key_len[i]), ++*seq,
		                     KEY_PUT, slice_make(bytes, value_len[i]),
		                     &chain),
		    LSM_OK);
	ck_assert_uint_le(memtable_bytes(mem) - before, bound);
	memtable_settle(mem, bound);
	ck_assert_uint_eq(used_now(), memtable_bytes(mem));
	ck_assert_uint_eq(credit_account_mutable(account), memtable_bytes(mem));
	if (gen_below(gen, 8) != 0) /* else it failed: garbage, but charged */
		memtable_apply(mem, &chain);
}

START_TEST(charged_bytes_are_arena_bytes_and_within_the_bound)
{
	static const size_t blocks[] = {4096, 6000, 64 << 10, 1 << 20};
	size_t block_bytes = blocks[_i];
	uint64_t seq = 0, total, peak;
	struct gen gen;

	gen_init(&gen, gen_seed(SEED) + (uint64_t)_i);
	for (int round = 0; round < 10; round++) {
		memtable_unref(mem);
		ck_assert_int_eq(memtable_create(account, block_bytes, &mem),
		                 LSM_OK);
		ck_assert_uint_eq(used_now(), 0);
		for (int i = 0; i < 60; i++)
			write_random_batch(&gen, block_bytes, &seq);
		arena_totals(&total, &peak);
		ck_assert_uint_eq(total, used_now());
	}
}
END_TEST

START_TEST(batch_that_failed_is_settled_too)
{
	struct memtable_chain chain = {NULL, NULL};
	uint64_t bound = memtable_bound(BLOCK_BYTES, 2, 16);
	enum lsm_err err;

	ck_assert_int_eq(credit_take(account, (int64_t)bound, false), LSM_OK);
	alloc_fault_arm(1);
	err = memtable_prepare(mem, slice_str("a"), 1, KEY_PUT, slice_str("1"),
	                       &chain);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_ptr_null(chain.first);
	memtable_settle(mem, bound);
	ck_assert_uint_eq(used_now(), 0);
	write_text("a", 2, KEY_PUT, "2");
	assert_seen("a", 9, "2=2");
}
END_TEST

START_TEST(memory_exhaustion_is_an_error)
{
	struct memtable *made;
	struct iter *it;
	enum lsm_err err;

	alloc_fault_arm(1);
	err = memtable_create(account, BLOCK_BYTES, &made);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_ptr_null(made);
	alloc_fault_arm(1);
	err = memtable_iter(mem, &it);
	ck_assert(alloc_fault_disarm());
	ck_assert_int_eq(err, LSM_ERR_NOMEM);
	ck_assert_ptr_null(it);
}
END_TEST

START_TEST(seal_hands_mutable_bytes_to_the_flush)
{
	struct credit_stats stats;
	uint64_t held;

	write_text("a", 1, KEY_PUT, "1");
	held = memtable_bytes(mem);
	ck_assert_uint_eq(credit_account_mutable(account), held);
	memtable_seal(mem);
	credit_pool_stats(pool, &stats);
	ck_assert_uint_eq(stats.mutable_bytes, 0);
	ck_assert_uint_eq(stats.flushes, 1);
	ck_assert_uint_eq(stats.used_bytes, held);
	credit_flush_done(account);
	memtable_unref(mem);
	ck_assert_uint_eq(used_now(), 0);
	mem = NULL;
}
END_TEST

START_TEST(table_that_is_thrown_away_returns_everything)
{
	write_text("a", 1, KEY_PUT, "1");
	memtable_unref(mem);
	mem = NULL;
	ck_assert_uint_eq(used_now(), 0);
	ck_assert_uint_eq(credit_account_mutable(account), 0);
	memtable_unref(NULL);
}
END_TEST

START_TEST(table_without_an_account_charges_nobody)
{
	struct memtable_chain chain = {NULL, NULL};
	struct memtable *free_table;

	ck_assert_int_eq(memtable_create(NULL, BLOCK_BYTES, &free_table),
	                 LSM_OK);
	ck_assert_int_eq(memtable_prepare(free_table, slice_str("a"), 1,
	                                  KEY_PUT, slice_str("1"), &chain),
	                 LSM_OK);
	memtable_settle(free_table, 0);
	memtable_apply(free_table, &chain);
	ck_assert_uint_gt(memtable_bytes(free_table), 0);
	ck_assert_uint_eq(used_now(), 0);
	memtable_seal(free_table);
	memtable_unref(free_table);
}
END_TEST

/* ---- readers while one writes ----------------------------------------- */

enum { ROUNDS = 2000, NAMES = 16 };

struct reader {
	struct sync_thread thread;
	struct memtable *mem; /* a reference */
	bool right;
};

static atomic_uint_fast64_t visible; /* the last applied sequence */

static bool take_first(void *ctx, uint64_t seq, enum key_kind kind,
                       struct slice value)
{
	uint64_t *found = ctx;

	*found = kind == KEY_PUT && value.len == 8 && get_u64(value.data) == seq
	             ? seq
	             : 0;
	return false;
}

static void run_reader(void *ctx)
{
	struct reader *reader = ctx;
	uint64_t seq = 0;

	while (seq < ROUNDS) {
		uint64_t found = 0;
		uint8_t name;

		seq = atomic_load_explicit(&visible, memory_order_acquire);
		name = (uint8_t)(seq % NAMES);
		if (seq == 0)
			continue;
		if (memtable_get(reader->mem, slice_make(&name, 1), seq,
		                 take_first, &found) ||
		    found != seq || memtable_is_empty(reader->mem))
			reader->right = false;
	}
	memtable_unref(reader->mem);
}

START_TEST(readers_see_what_was_applied_while_one_writes)
{
	static struct reader readers[READERS];
	enum lsm_err err = LSM_OK;

	atomic_init(&visible, 0);
	for (int i = 0; i < READERS; i++) {
		memtable_ref(mem);
		readers[i].mem = mem;
		readers[i].right = true;
		ck_assert_int_eq(sync_thread_start(&readers[i].thread, "reader",
		                                   run_reader, &readers[i]),
		                 LSM_OK);
	}
	for (uint64_t seq = 1; seq <= ROUNDS; seq++) {
		uint8_t name = (uint8_t)(seq % NAMES), value[8];

		put_u64(value, seq);
		if (err == LSM_OK)
			err = write_one(mem, slice_make(&name, 1), seq, KEY_PUT,
			                slice_make(value, 8));
		atomic_store_explicit(&visible, seq, memory_order_release);
	}
	memtable_unref(mem); /* the last to let go frees it */
	mem = NULL;
	for (int i = 0; i < READERS; i++) {
		sync_thread_join(&readers[i].thread);
		ck_assert(readers[i].right);
	}
	ck_assert_int_eq(err, LSM_OK);
	ck_assert_uint_eq(used_now(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("memtable");
	TCase *tc = tcase_create("memtable");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, get_visits_versions_up_to_a_sequence_newest_first);
	tcase_add_test(tc, get_stops_when_the_visitor_says_so);
	tcase_add_test(tc, key_over_the_limit_is_not_found);
	tcase_add_test(tc, merges_are_counted_down_to_the_newest_base);
	tcase_add_test(tc, key_and_value_are_copied);
	tcase_add_test(tc, batch_is_invisible_until_applied);
	tcase_add_test(tc, iterator_goes_both_ways);
	tcase_add_test(tc, iterator_walks_all_and_holds_the_table);
	tcase_add_loop_test(
	    tc, charged_bytes_are_arena_bytes_and_within_the_bound, 0, 4);
	tcase_add_test(tc, batch_that_failed_is_settled_too);
	tcase_add_test(tc, memory_exhaustion_is_an_error);
	tcase_add_test(tc, seal_hands_mutable_bytes_to_the_flush);
	tcase_add_test(tc, table_that_is_thrown_away_returns_everything);
	tcase_add_test(tc, table_without_an_account_charges_nobody);
	tcase_add_test(tc, readers_see_what_was_applied_while_one_writes);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
