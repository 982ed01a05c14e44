/* SPDX-License-Identifier: MIT */
/*
 * test_table_cache.c: a table is open once, as long as it is used or there is
 * room, and no longer.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"
#include "sst/table_cache.h"
#include "tests/engine/sst/sst_kit.h"

enum { TABLES = 6, ROOM = 3 };

static struct table_source source;
static struct entries entries;
static uint64_t bytes[TABLES];

/* Files opened and closed through the env. */
static atomic_int opened, closed;

static struct fault_answer count_call(void *ctx, const struct fault_call *call)
{
	struct fault_answer answer = {.err = LSM_OK};

	(void)ctx;
	if (call->op == FAULT_OPEN)
		atomic_fetch_add(&opened, 1);
	if (call->op == FAULT_CLOSE)
		atomic_fetch_add(&closed, 1);
	return answer;
}

static struct file_id id_of(int i)
{
	struct file_id id = {table_id.creator, (uint64_t)i + 1};

	return id;
}

static void setup_source(void)
{
	setup();
	source.pool = pool;
	source.family = family;
	source.blocks = blocks;
	ck_assert_int_eq(
	    cache_create(ROOM * table_cache_charge(), 1, &source.files),
	    LSM_OK);
	memset(&entries, 0, sizeof(entries));
	entries_add(&entries, slice_str("key"), 1, KEY_PUT, slice_str("value"));
	for (int i = 0; i < TABLES; i++) {
		struct table_info info;

		ck_assert_int_eq(write_table_as(id_of(i), &entries, 512, &info),
		                 LSM_OK);
		bytes[i] = info.file_bytes;
		table_info_release(&info);
	}
	env_fault_set_hook(fault, count_call, NULL);
	atomic_store(&opened, 0);
	atomic_store(&closed, 0);
}

static void teardown_source(void)
{
	entries_release(&entries);
	cache_destroy(source.files);
	teardown();
}

static struct table_ref get(int i)
{
	struct table_ref ref;

	ck_assert_int_eq(table_cache_get(&source, id_of(i), bytes[i], &ref),
	                 LSM_OK);
	ck_assert_ptr_nonnull(ref.table);
	return ref;
}

static void expect_open(int count)
{
	ck_assert_int_eq(atomic_load(&opened) - atomic_load(&closed), count);
}

static void check_table(struct table *table)
{
	struct iter *it;

	ck_assert_int_eq(table_iter(table, true, &it), LSM_OK);
	iter_seek_first(it);
	ck_assert(walk_matches(it, &entries, 0));
	iter_destroy(it);
}

START_TEST(table_is_opened_once)
{
	struct table_ref first = get(0), second = get(0);

	ck_assert_ptr_eq(first.table, second.table);
	check_table(first.table);
	table_cache_release(&source, &first);
	table_cache_release(&source, &second);
	first = get(0);
	table_cache_release(&source, &first);
	ck_assert_int_eq(atomic_load(&opened), 1);
}
END_TEST

START_TEST(only_as_many_stay_open_as_there_is_room_for)
{
	for (int i = 0; i < TABLES; i++) {
		struct table_ref ref = get(i);

		table_cache_release(&source, &ref);
		expect_open(i < ROOM ? i + 1 : ROOM);
	}
}
END_TEST

START_TEST(table_in_use_stays_open_past_the_limit)
{
	struct table_ref refs[TABLES];

	for (int i = 0; i < TABLES; i++)
		refs[i] = get(i);
	expect_open(TABLES);
	for (int i = 0; i < TABLES; i++) {
		check_table(refs[i].table);
		table_cache_release(&source, &refs[i]);
	}
	ck_assert_int_le(atomic_load(&opened) - atomic_load(&closed), ROOM);
}
END_TEST

START_TEST(forgotten_table_closes_when_let_go)
{
	struct table_ref ref = get(0);

	table_cache_forget(&source, id_of(0));
	expect_open(1);
	check_table(ref.table);
	table_cache_release(&source, &ref);
	expect_open(0);
	table_cache_forget(&source, id_of(1)); /* never opened */
}
END_TEST

static struct table *get_kept(const struct table_source *from, int i,
                              struct table_kept *kept, bool keep)
{
	struct table_ref ref;
	struct table *table;

	ck_assert_int_eq(
	    table_cache_get_kept(from, id_of(i), bytes[i], kept, keep, &ref),
	    LSM_OK);
	table = ref.table;
	check_table(table);
	table_cache_release(from, &ref);
	return table;
}

/* Four have room, so one may be kept. */
START_TEST(kept_table_stays_open_and_the_others_take_turns)
{
	struct table_source roomy = source;
	struct table_kept kept[TABLES];
	struct table *first;

	memset(kept, 0, sizeof(kept));
	ck_assert_int_eq(
	    cache_create(4 * table_cache_charge(), 1, &roomy.files), LSM_OK);
	(void)get_kept(&roomy, 0, &kept[0], false);
	ck_assert_ptr_null(atomic_load(&kept[0].handle));
	first = get_kept(&roomy, 0, &kept[0], true);
	for (int round = 0; round < 3; round++)
		for (int i = TABLES - 1; i > 0; i--)
			(void)get_kept(&roomy, i, &kept[i], true);
	expect_open(4);
	ck_assert_ptr_eq(get_kept(&roomy, 0, &kept[0], true), first);
	for (int i = 1; i < TABLES; i++)
		ck_assert_ptr_null(atomic_load(&kept[i].handle));

	table_kept_release(&kept[0]);
	(void)get_kept(&roomy, 1, &kept[1], true);
	ck_assert_ptr_nonnull(atomic_load(&kept[1].handle));
	table_kept_release(&kept[1]);
	cache_destroy(roomy.files);
	expect_open(0);
}
END_TEST

START_TEST(table_that_cannot_be_opened_leaves_nothing)
{
	struct table_ref ref;

	ck_assert_int_eq(table_cache_get(&source, id_of(TABLES), 1000, &ref),
	                 LSM_ERR_CORRUPT);
	ck_assert_ptr_null(ref.table);
	table_cache_release(&source, &ref); /* empty: nothing */
	atomic_store(&opened, 0);           /* the try was counted */
	ck_assert_int_eq(table_cache_get(&source, id_of(0), bytes[0] + 1, &ref),
	                 LSM_ERR_CORRUPT);
	ck_assert_ptr_null(ref.table);
	expect_open(0);
	ref = get(0); /* the failure was not kept */
	table_cache_release(&source, &ref);
}
END_TEST

enum { USERS = 4, USES = 500 };

struct user {
	struct sync_thread thread;
	uint64_t seed;
	bool ok;
};

static void use_tables(void *ctx)
{
	struct user *user = ctx;
	struct gen gen;

	gen_init(&gen, user->seed);
	user->ok = true;
	for (int n = 0; n < USES; n++) {
		int i = (int)gen_below(&gen, TABLES);
		struct table_ref ref;
		struct table_info info;

		if (table_cache_get(&source, id_of(i), bytes[i], &ref) !=
		    LSM_OK) {
			user->ok = false;
			continue;
		}
		if (table_read_info(ref.table, &info) != LSM_OK ||
		    info.file_bytes != bytes[i])
			user->ok = false;
		table_info_release(&info);
		table_cache_release(&source, &ref);
		if (gen_below(&gen, 10) == 0)
			table_cache_forget(&source, id_of(i));
	}
}

START_TEST(many_threads_share_the_open_tables)
{
	struct user users[USERS];

	for (int i = 0; i < USERS; i++) {
		users[i].seed = (uint64_t)i;
		ck_assert_int_eq(sync_thread_start(&users[i].thread, "user",
		                                   use_tables, &users[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < USERS; i++) {
		sync_thread_join(&users[i].thread);
		ck_assert(users[i].ok);
	}
	ck_assert_int_le(atomic_load(&opened) - atomic_load(&closed), ROOM);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_cache");
	TCase *tc = tcase_create("open");

	tcase_add_checked_fixture(tc, setup_source, teardown_source);
	tcase_add_test(tc, table_is_opened_once);
	tcase_add_test(tc, only_as_many_stay_open_as_there_is_room_for);
	tcase_add_test(tc, table_in_use_stays_open_past_the_limit);
	tcase_add_test(tc, forgotten_table_closes_when_let_go);
	tcase_add_test(tc, kept_table_stays_open_and_the_others_take_turns);
	tcase_add_test(tc, table_that_cannot_be_opened_leaves_nothing);
	tcase_add_test(tc, many_threads_share_the_open_tables);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
