/* SPDX-License-Identifier: MIT */
/* test_skiplist.c: versions come out in the one order, also while inserting. */
#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"
#include "mem/skiplist.h"
#include "tests/support/gen.h"

enum {
	BLOCK_BYTES = 64 << 10,
	SEED = 20240612,
	KEYS = 3000,
	READERS = 2,
};

static struct arena arena;
static struct skiplist list;

static void setup(void)
{
	arena_init(&arena, BLOCK_BYTES);
	skiplist_init(&list, &arena);
}

static void teardown(void)
{
	arena_release(&arena);
}

static void insert(struct slice user, uint64_t seq, struct slice value)
{
	struct skiplist_node *node =
	    skiplist_prepare(&list, user, key_trailer(seq, KEY_PUT), value);

	ck_assert_ptr_nonnull(node);
	skiplist_link(&list, node);
}

static void insert_text(const char *user, uint64_t seq, const char *value)
{
	insert(slice_str(user), seq, slice_str(value));
}

static bool node_is(const struct skiplist_node *node, const char *user,
                    uint64_t seq, const char *value)
{
	struct slice key;

	if (node == NULL)
		return false;
	key = skiplist_key(node);
	return slice_equal(key_user(key), slice_str(user)) &&
	       key_seq(key) == seq && key_kind(key) == KEY_PUT &&
	       slice_equal(skiplist_value(node), slice_str(value));
}

static const struct skiplist_node *seek_text(const char *user, uint64_t seq)
{
	const struct skiplist_node *node;
	struct buf target = BUF_INIT;

	ck_assert_int_eq(key_make(&target, slice_str(user), seq, KEY_SEEK),
	                 LSM_OK);
	node = skiplist_seek(&list, buf_slice(&target));
	buf_release(&target);
	return node;
}

START_TEST(empty_list_has_nothing)
{
	ck_assert_ptr_null(skiplist_first(&list));
	ck_assert_ptr_null(skiplist_last(&list));
	ck_assert_ptr_null(seek_text("", 0));
	ck_assert_uint_eq(arena_allocated(&arena), 0);
}
END_TEST

START_TEST(newest_version_comes_first)
{
	const struct skiplist_node *node;

	insert_text("b", 7, "b7");
	insert_text("a", 3, "a3");
	insert_text("b", 9, "b9");
	insert_text("bb", 1, "");
	insert_text("", 4, "empty key");
	node = skiplist_first(&list);
	ck_assert(node_is(node, "", 4, "empty key"));
	node = skiplist_next(node);
	ck_assert(node_is(node, "a", 3, "a3"));
	node = skiplist_next(node);
	ck_assert(node_is(node, "b", 9, "b9"));
	node = skiplist_next(node);
	ck_assert(node_is(node, "b", 7, "b7"));
	node = skiplist_next(node);
	ck_assert(node_is(node, "bb", 1, ""));
	ck_assert_ptr_null(skiplist_next(node));
}
END_TEST

START_TEST(seek_finds_the_first_at_or_after)
{
	insert_text("b", 5, "old");
	insert_text("b", 8, "new");
	insert_text("d", 6, "d");
	ck_assert(node_is(seek_text("a", 100), "b", 8, "new"));
	ck_assert(node_is(seek_text("b", 100), "b", 8, "new"));
	ck_assert(node_is(seek_text("b", 8), "b", 8, "new"));
	ck_assert(node_is(seek_text("b", 7), "b", 5, "old"));
	ck_assert(node_is(seek_text("b", 4), "d", 6, "d"));
	ck_assert(node_is(seek_text("c", 0), "d", 6, "d"));
	ck_assert_ptr_null(seek_text("d", 5));
	ck_assert_ptr_null(seek_text("e", 100));
}
END_TEST

START_TEST(prepared_node_is_not_visible)
{
	struct skiplist_node *one, *two;

	one = skiplist_prepare(&list, slice_str("a"), key_trailer(1, KEY_PUT),
	                       slice_str("1"));
	two = skiplist_prepare(&list, slice_str("b"), key_trailer(2, KEY_PUT),
	                       slice_str("2"));
	ck_assert_ptr_null(skiplist_chained(one));
	skiplist_chain(one, two);
	ck_assert_ptr_eq(skiplist_chained(one), two);
	ck_assert_ptr_null(skiplist_chained(two));
	ck_assert_ptr_null(skiplist_first(&list));
	skiplist_link(&list, two);
	ck_assert_ptr_eq(skiplist_first(&list), two);
	skiplist_link(&list, one); /* forgets the chain */
	ck_assert_ptr_eq(skiplist_first(&list), one);
	ck_assert_ptr_eq(skiplist_next(one), two);
	ck_assert_ptr_null(skiplist_next(two));
}
END_TEST

START_TEST(largest_key_and_value_fit)
{
	static uint8_t key[LSM_KEY_MAX_BYTES], value[LSM_VALUE_MAX_BYTES];
	const struct skiplist_node *node;
	struct gen gen;

	gen_init(&gen, SEED);
	gen_bytes(&gen, key, sizeof(key));
	gen_bytes(&gen, value, sizeof(value));
	insert(slice_make(key, sizeof(key)), KEY_SEQ_MAX,
	       slice_make(value, sizeof(value)));
	node = skiplist_first(&list);
	ck_assert(slice_equal(key_user(skiplist_key(node)),
	                      slice_make(key, sizeof(key))));
	ck_assert_uint_eq(key_seq(skiplist_key(node)), KEY_SEQ_MAX);
	ck_assert(slice_equal(skiplist_value(node),
	                      slice_make(value, sizeof(value))));
}
END_TEST

/* The node takes no more than the overhead says, for any tower. */
START_TEST(overhead_is_an_upper_bound)
{
	uint8_t bytes[40] = {0};
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (uint64_t i = 0; i < 20000; i++) {
		size_t user = gen_below(&gen, 20), value = gen_below(&gen, 20);
		const uint8_t *before = arena.free_start;
		struct skiplist_node *node =
		    skiplist_prepare(&list, slice_make(bytes, user), i,
		                     slice_make(bytes, value));

		ck_assert_ptr_nonnull(node);
		if (before == (const uint8_t *)node) /* in the same block */
			ck_assert_uint_le((size_t)(arena.free_start - before),
			                  user + value +
			                      SKIPLIST_NODE_OVERHEAD_BYTES);
	}
}
END_TEST

static int compare_slices(const void *a, const void *b)
{
	const struct slice *left = a, *right = b;

	return key_compare(*left, *right);
}

START_TEST(random_versions_come_out_sorted)
{
	static struct slice keys[KEYS];
	const struct skiplist_node *node;
	struct gen gen;
	size_t count = 0;

	gen_init(&gen, gen_seed(SEED));
	for (uint64_t seq = 1; seq <= KEYS; seq++) {
		struct skiplist_node *made;
		uint8_t user[4];
		size_t len = gen_below(&gen, sizeof(user) + 1);

		for (size_t i = 0; i < len; i++)
			user[i] = (uint8_t)gen_below(&gen, 5);
		made = skiplist_prepare(&list, slice_make(user, len),
		                        key_trailer(seq, KEY_MERGE),
		                        slice_make(user, len));
		ck_assert_ptr_nonnull(made);
		skiplist_link(&list, made);
		keys[seq - 1] = skiplist_key(made);
	}
	qsort(keys, KEYS, sizeof(keys[0]), compare_slices);
	for (node = skiplist_first(&list); node != NULL;
	     node = skiplist_next(node)) {
		ck_assert_uint_lt(count, KEYS);
		ck_assert_ptr_eq(skiplist_key(node).data, keys[count].data);
		ck_assert_ptr_eq(skiplist_seek(&list, keys[count]), node);
		count++;
	}
	ck_assert_uint_eq(count, KEYS);
	for (node = skiplist_last(&list); node != NULL;
	     node = skiplist_before(&list, keys[count])) {
		count--;
		ck_assert_ptr_eq(skiplist_key(node).data, keys[count].data);
	}
	ck_assert_uint_eq(count, 0);
}
END_TEST

/* ---- readers while a writer inserts ----------------------------------- */

struct reader {
	struct sync_thread thread;
	bool sorted, whole, complete;
};

static atomic_uint_fast64_t published; /* keys below it are in the list */

static void put_number(uint8_t key[8], uint64_t number)
{
	/* Neighbours in time are far apart in the list. */
	put_be64(key, number * UINT64_C(0x9e3779b97f4a7c15));
}

static void walk(struct reader *reader)
{
	const struct skiplist_node *node = skiplist_first(&list);
	struct slice before = {NULL, 0};

	for (; node != NULL; node = skiplist_next(node)) {
		struct slice key = skiplist_key(node);

		if (before.data != NULL && key_compare(before, key) >= 0)
			reader->sorted = false;
		if (!slice_equal(key_user(key), skiplist_value(node)))
			reader->whole = false;
		before = key;
	}
}

static void run_reader(void *ctx)
{
	struct reader *reader = ctx;
	uint64_t count = 0;

	while (count < KEYS) {
		uint8_t target[8 + KEY_TRAILER_BYTES];
		const struct skiplist_node *node;

		count = atomic_load_explicit(&published, memory_order_acquire);
		if (count == 0)
			continue;
		put_number(target, count - 1);
		put_u64(target + 8, key_trailer(count, KEY_PUT));
		node = skiplist_seek(&list, slice_make(target, sizeof(target)));
		if (node == NULL ||
		    !slice_equal(skiplist_key(node),
		                 slice_make(target, sizeof(target))))
			reader->complete = false;
		if (count % 64 == 0)
			walk(reader);
	}
	walk(reader);
}

START_TEST(readers_see_whole_sorted_nodes_while_one_inserts)
{
	static struct reader readers[READERS];

	atomic_init(&published, 0);
	for (int i = 0; i < READERS; i++) {
		readers[i].sorted = true;
		readers[i].whole = true;
		readers[i].complete = true;
		ck_assert_int_eq(sync_thread_start(&readers[i].thread, "reader",
		                                   run_reader, &readers[i]),
		                 LSM_OK);
	}
	for (uint64_t i = 0; i < KEYS; i++) {
		uint8_t key[8];

		put_number(key, i);
		insert(slice_make(key, 8), i + 1, slice_make(key, 8));
		atomic_store_explicit(&published, i + 1, memory_order_release);
	}
	for (int i = 0; i < READERS; i++) {
		sync_thread_join(&readers[i].thread);
		ck_assert(readers[i].sorted);
		ck_assert(readers[i].whole);
		ck_assert(readers[i].complete);
	}
}
END_TEST

/* ---- several that link ------------------------------------------------- */

enum { LINKERS = 4 };

struct linker {
	struct sync_thread thread;
	struct skiplist_node *nodes[KEYS / LINKERS];
};

static void run_linker(void *ctx)
{
	struct linker *linker = ctx;

	for (size_t i = 0; i < KEYS / LINKERS; i++)
		skiplist_link(&list, linker->nodes[i]);
}

/* Neighbours are linked by different threads at about the same time, so that
   they meet on the same links. */
START_TEST(several_link_neighbours_at_once)
{
	static struct linker linkers[LINKERS];
	const struct skiplist_node *node;
	uint64_t count = 0;

	for (size_t i = 0; i < KEYS; i++) {
		uint8_t key[8];

		put_be64(key, i);
		linkers[i % LINKERS].nodes[i / LINKERS] = skiplist_prepare(
		    &list, slice_make(key, 8), key_trailer(i + 1, KEY_PUT),
		    slice_make(key, 8));
		ck_assert_ptr_nonnull(linkers[i % LINKERS].nodes[i / LINKERS]);
	}
	for (int i = 0; i < LINKERS; i++)
		ck_assert_int_eq(sync_thread_start(&linkers[i].thread, "linker",
		                                   run_linker, &linkers[i]),
		                 LSM_OK);
	for (int i = 0; i < LINKERS; i++)
		sync_thread_join(&linkers[i].thread);
	for (node = skiplist_first(&list); node != NULL;
	     node = skiplist_next(node)) {
		struct slice key = skiplist_key(node);

		ck_assert_uint_eq(get_be64(key.data), count);
		/* Upper levels lead to it as well. */
		ck_assert_ptr_eq(skiplist_seek(&list, key), node);
		count++;
	}
	ck_assert_uint_eq(count, KEYS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("skiplist");
	TCase *tc = tcase_create("skiplist");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, empty_list_has_nothing);
	tcase_add_test(tc, newest_version_comes_first);
	tcase_add_test(tc, seek_finds_the_first_at_or_after);
	tcase_add_test(tc, prepared_node_is_not_visible);
	tcase_add_test(tc, largest_key_and_value_fit);
	tcase_add_test(tc, overhead_is_an_upper_bound);
	tcase_add_test(tc, random_versions_come_out_sorted);
	tcase_add_test(tc, readers_see_whole_sorted_nodes_while_one_inserts);
	tcase_add_loop_test(tc, several_link_neighbours_at_once, 0, 20);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
