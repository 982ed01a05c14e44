/* SPDX-License-Identifier: MIT */
/*
 * test_branch.c: branches of one store: what a fork holds, that each side goes its
 * own way, and whose flush serves whom.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/branches.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"

enum { FILLED = 200 };

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
	kit_create(&kit);
}

static void teardown(void)
{
	kit_release(&kit);
}

static size_t files(const char *part)
{
	return kit_files(kit.env, KIT_POOL, part);
}

/* ---- what a fork holds -------------------------------------------------- */

START_TEST(each_side_goes_its_own_way)
{
	struct lsm *child;

	kit_put(kit.store, "a", "before");
	kit_put(kit.store, "b", "before");
	kit_fork(kit.store, "child");
	kit_put(kit.store, "a", "parent");
	child = kit_branch(&kit, "child");
	kit_expect(child, "a", "before");
	kit_put(child, "b", "child");
	kit_delete(child, "a");
	kit_expect(kit.store, "a", "parent");
	kit_expect(kit.store, "b", "before");
	ASSERT_OK(lsm_close(child));
	kit_reopen(&kit);
	kit_expect(kit.store, "a", "parent");
	child = kit_branch(&kit, "child");
	kit_expect(child, "a", NULL);
	kit_expect(child, "b", "child");
	ck_assert_uint_eq(kit_faults(kit.store), 0);
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(fork_survives_a_power_cut_at_once)
{
	struct lsm *child;

	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	child = kit_branch(&kit, "child");
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(description_is_kept)
{
	struct lsm_branch_info info, again;

	kit_put(kit.store, "a", "1");
	kit_put(kit.store, "b", "2");
	ASSERT_OK(lsm_branch_create(kit.store, "child", true, &info));
	ck_assert_uint_eq(info.forked_at, 2);
	ck_assert(info.read_only);
	kit_reopen(&kit);
	ASSERT_OK(lsm_branch_find(kit.store, "child", &again));
	ck_assert_uint_eq(info.id, again.id);
	ck_assert_uint_eq(info.created_ns, again.created_ns);
	ck_assert_uint_eq(again.forked_at, 2);
	ck_assert(again.read_only && !again.open);
	ASSERT_OK(lsm_branch_find(kit.store, NULL, &info));
	ck_assert_str_eq(info.name, "main");
	ck_assert_uint_eq(info.id, again.parent);
	ck_assert_uint_eq(info.children, 1);
	ck_assert(info.open);
	ASSERT_ERR(lsm_branch_find(kit.store, "other", &info), NOT_FOUND);
}
END_TEST

START_TEST(list_is_by_name)
{
	static const char *const names[] = {"a", "b", "c", "main"};
	struct lsm_branch_info *list;
	size_t count;

	kit_fork(kit.store, "c");
	kit_fork(kit.store, "a");
	kit_fork(kit.store, "b");
	ASSERT_OK(lsm_branch_list(kit.store, &list, &count));
	ck_assert_uint_eq(count, 4);
	for (size_t i = 0; i < count; i++)
		ck_assert_str_eq(list[i].name, names[i]);
	free(list);
}
END_TEST

START_TEST(fork_of_a_fork_and_of_a_snapshot)
{
	struct lsm *child, *snap, *grandchild;

	kit_put(kit.store, "a", "1");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	kit_put(child, "a", "2");
	ASSERT_OK(lsm_branch_create(child, "snap", true, NULL));
	kit_put(child, "a", "3");
	snap = kit_branch(&kit, "snap");
	kit_expect(snap, "a", "2");
	kit_fork(snap, "grandchild");
	grandchild = kit_branch(&kit, "grandchild");
	kit_put(grandchild, "b", "4");
	kit_expect(grandchild, "a", "2");
	kit_expect(snap, "b", NULL);
	kit_expect(child, "a", "3");
	/* In an order that leaves the youngest the last. */
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_close(kit.store));
	ASSERT_OK(lsm_close(snap));
	kit.store = grandchild;
	kit_expect(grandchild, "b", "4");
	kit_close(&kit);
	kit_open(&kit);
	snap = kit_branch(&kit, "snap");
	kit_expect(snap, "a", "2");
	ASSERT_OK(lsm_close(snap));
	grandchild = kit_branch(&kit, "grandchild");
	kit_expect(grandchild, "b", "4");
	ASSERT_OK(lsm_close(grandchild));
}
END_TEST

START_TEST(snapshot_refuses_writes)
{
	struct lsm *snap;

	kit_put(kit.store, "a", "1");
	ASSERT_OK(lsm_branch_create(kit.store, "snap", true, NULL));
	snap = kit_branch(&kit, "snap");
	ASSERT_ERR(kit_try_put(snap, "a", "2"), READ_ONLY);
	ASSERT_ERR(lsm_flush(snap), READ_ONLY);
	kit_expect(snap, "a", "1");
	ASSERT_OK(lsm_close(snap));
}
END_TEST

START_TEST(names_and_states_are_checked)
{
	char longest[300];
	struct lsm *child, *again = NULL;

	memset(longest, 'x', sizeof(longest));
	longest[256] = '\0';
	ASSERT_ERR(lsm_branch_create(kit.store, "", false, NULL), INVALID);
	ASSERT_ERR(lsm_branch_create(kit.store, ".", false, NULL), INVALID);
	ASSERT_ERR(lsm_branch_create(kit.store, "..", false, NULL), INVALID);
	ASSERT_ERR(lsm_branch_create(kit.store, "a/b", false, NULL), INVALID);
	ASSERT_ERR(lsm_branch_create(kit.store, longest, false, NULL), INVALID);
	longest[255] = '\0';
	kit_fork(kit.store, longest);
	kit_fork(kit.store, "child");
	ASSERT_ERR(lsm_branch_create(kit.store, "child", false, NULL), EXISTS);
	ASSERT_ERR(lsm_branch_create(kit.store, "main", false, NULL), EXISTS);
	ASSERT_ERR(lsm_branch_open(kit.store, "main", NULL, &again), BUSY);
	ASSERT_ERR(lsm_branch_open(kit.store, "none", NULL, &again), NOT_FOUND);
	child = kit_branch(&kit, "child");
	ASSERT_ERR(lsm_branch_open(kit.store, "child", NULL, &again), BUSY);
	ASSERT_ERR(lsm_branch_delete(kit.store, "child", false), BUSY);
	ASSERT_OK(lsm_close(child));
	ASSERT_ERR(lsm_branch_delete(kit.store, "main", true), INVALID);
	ASSERT_ERR(lsm_branch_delete(kit.store, "none", true), NOT_FOUND);
	kit_reopen(&kit);
	ASSERT_OK(lsm_branch_delete(kit.store, longest, false));
	ck_assert_uint_eq(kit_branch_count(&kit), 2);
}
END_TEST

START_TEST(another_branch_can_be_the_first)
{
	struct lsm *opened = NULL;

	kit_put(kit.store, "a", "1");
	kit_fork(kit.store, "child");
	kit_put(kit.store, "a", "2");
	kit_close(&kit);
	kit.options.branch = "child";
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
	opened = kit_branch(&kit, "main");
	kit_expect(opened, "a", "2");
	ASSERT_OK(lsm_close(opened));
	kit_close(&kit);
	kit.options.branch = "none";
	ASSERT_ERR(kit_try_open(&kit), NOT_FOUND);
	kit.options.branch = NULL;
	kit_open(&kit);
}
END_TEST

/* ---- whose flush serves whom --------------------------------------------- */

/* Nothing is flushed until kit_heal(). */
static void hold_flushes(void)
{
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
}

/* The same without a failed try, which lsm_flush() might still be told of. */
static void stop_flushing(void)
{
	worker_cancel(kit.runtime->workers, &kit.store->flush_job);
}

static void go_on_flushing(void)
{
	worker_job_init(&kit.store->flush_job, WORKER_FLUSH, store_flush_run);
	worker_submit(kit.runtime->workers, &kit.store->flush_job, 0);
}

/* Whether all that was flushed has landed. */
static bool all_landed(void)
{
	struct home *home = kit.store->home;
	bool landed;

	sync_lock(&home->mu);
	landed = home->newest_logged == NULL;
	sync_unlock(&home->mu);
	return landed;
}

START_TEST(memtable_is_shared_while_both_are_open)
{
	struct lsm *child;

	stop_flushing();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	ck_assert_ptr_eq(child->oldest_sealed->mem,
	                 kit.store->oldest_sealed->mem);
	kit_expect_filled(child, "k", FILLED, "x");
	kit_put(child, "own", "1");
	go_on_flushing();
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_OK(lsm_flush(child));
	ck_assert_uint_eq(files(".sst"), 2); /* the shared one, and its own */
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
	kit_reopen(&kit);
	ck_assert_uint_eq(files(".wal"), 0);
	child = kit_branch(&kit, "child");
	kit_expect_filled(child, "k", FILLED, "x");
	kit_expect(child, "own", "1");
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(flush_lands_in_branches_that_are_not_open)
{
	struct lsm *child;

	stop_flushing();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "one");
	kit_fork(kit.store, "two");
	go_on_flushing();
	ASSERT_OK(lsm_flush(kit.store));
	KIT_WAIT_UNTIL(all_landed());
	kit_close(&kit);
	kit_crash(&kit, 0, 1);
	kit_open(&kit);
	ck_assert_uint_eq(files(".wal"), 0);
	ck_assert_uint_eq(files(".sst"), 1);
	child = kit_branch(&kit, "two");
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
	ck_assert_uint_eq(files(".sst"), 1);
}
END_TEST

START_TEST(log_that_several_name_is_replayed_once)
{
	struct lsm *child;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "one");
	kit_put(kit.store, "own", "1");
	ASSERT_OK(lsm_sync(kit.store));
	kit_crash(&kit, 256, 1);
	kit_heal(&kit);
	kit_open(&kit);
	kit_expect(kit.store, "own", "1");
	/* What both hold, and what is main's alone. */
	ck_assert_uint_eq(files(".sst"), 2);
	KIT_WAIT_UNTIL(files(".wal") == 0);
	child = kit_branch(&kit, "one");
	kit_expect_filled(child, "k", FILLED, "x");
	kit_expect(child, "own", NULL);
	ASSERT_OK(lsm_close(child));
	ck_assert_uint_eq(files(".sst"), 2);
}
END_TEST

START_TEST(child_flushes_what_its_parent_could_not)
{
	struct lsm *child, *main_again;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	kit_put(child, "own", "1");
	ASSERT_ERR(lsm_close(kit.store), IO);
	kit_heal(&kit);
	KIT_WAIT_UNTIL(lsm_flush(child) == LSM_OK);
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_branch_open(child, "main", NULL, &main_again));
	kit_expect_filled(main_again, "k", FILLED, "x");
	kit_expect(main_again, "own", NULL);
	ASSERT_OK(lsm_close(child));
	kit.store = main_again;
	ck_assert_uint_eq(files(".sst"), 2);
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "k", FILLED, "x");
}
END_TEST

/* Whether a memtable of a branch that is closing could be found. */
static struct {
	struct lsm *asker; /* NULL: do not look */
	struct file_id log;
	bool looked, found;
} closing;

/* Called by lsm_close() between the moment at which nobody keeps the branch open
   any more and its end (the Makefile has the linker put it there). */
void __real_store_forget_l0(struct lsm *store);
void __wrap_store_forget_l0(struct lsm *store);
void __wrap_store_forget_l0(struct lsm *store)
{
	if (closing.asker != NULL) {
		struct generation *gen = home_find_sealed(
		    closing.asker->home, closing.asker->branch, closing.log);

		closing.looked = true;
		closing.found = gen != NULL;
		generation_unref(gen);
	}
	__real_store_forget_l0(store);
}

/* Who found it would use what close frees. */
START_TEST(memtable_of_a_branch_that_closes_is_not_found)
{
	struct lsm *child;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	closing.log = child->oldest_sealed->log_id;
	closing.asker = child;
	ASSERT_ERR(lsm_close(kit.store), IO);
	closing.asker = NULL;
	ck_assert(closing.looked);
	ck_assert(!closing.found);
	kit_heal(&kit);
	kit.store = child;
	kit_expect_filled(child, "k", FILLED, "x");
}
END_TEST

/* They wake each other at the first failure, not at each. */
START_TEST(branches_whose_flushes_fail_try_again_after_pauses)
{
	struct lsm *one, *two;
	uint64_t begin;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "one");
	kit_fork(kit.store, "two");
	one = kit_branch(&kit, "one");
	two = kit_branch(&kit, "two");
	kit_wait_met(&kit, 4);
	begin = sync_now_ns();
	kit_wait_met(&kit, 16);
	/* At least one tried six times; its pauses double from 50 ms on. */
	ck_assert_uint_gt(sync_now_ns() - begin, 300 * UINT64_C(1000000));
	kit_heal(&kit);
	ASSERT_OK(lsm_close(one));
	ASSERT_OK(lsm_close(two));
}
END_TEST

START_TEST(parent_closes_while_its_memtable_is_read)
{
	struct lsm_iter *iter = NULL;
	struct lsm *child;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	ASSERT_OK(
	    lsm_iter_create(child, NULL, slice_str(""), slice_str(""), &iter));
	lsm_iter_seek(iter, slice_str(""));
	kit_heal(&kit);
	ASSERT_OK(lsm_close(kit.store));
	kit.store = child;
	for (size_t i = 0; i < FILLED; i++) {
		ck_assert(lsm_iter_valid(iter));
		lsm_iter_next(iter);
	}
	ck_assert(!lsm_iter_valid(iter));
	lsm_iter_destroy(iter);
	kit_expect_filled(child, "k", FILLED, "x");
}
END_TEST

/* How many metas the versions of both hold, of those that are in `one`. */
static size_t shared_metas(const struct lsm *one, const struct lsm *other,
                           size_t *count_out)
{
	size_t shared = 0;

	*count_out = 0;
	for (unsigned l = 0; l < LSM_LEVELS; l++) {
		const struct level *a = &one->view->version->levels[l];
		const struct level *b = &other->view->version->levels[l];

		*count_out += a->count;
		for (size_t i = 0; i < a->count; i++)
			for (size_t j = 0; j < b->count; j++)
				shared += a->tables[i] == b->tables[j];
	}
	return shared;
}

START_TEST(open_branches_share_what_is_kept_of_tables)
{
	struct lsm *one, *two;
	size_t count;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(kit.store, "k", FILLED, "y");
	ASSERT_OK(compact_all(kit.store));
	kit_fill(kit.store, "l", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fork(kit.store, "one");
	kit_fork(kit.store, "two");
	one = kit_branch(&kit, "one");
	ck_assert_uint_eq(shared_metas(one, kit.store, &count), count);
	ck_assert_uint_ge(count, 2);
	kit_put(one, "own", "1");
	ASSERT_OK(lsm_flush(one));
	ASSERT_OK(lsm_close(kit.store));
	kit.store = one;
	two = kit_branch(&kit, "two"); /* from its sister */
	ck_assert_uint_eq(shared_metas(one, two, &count), count - 1);
	kit_expect_filled(two, "k", FILLED, "y");
	ASSERT_OK(lsm_close(two));
	kit_expect_filled(one, "k", FILLED, "y");
	kit_reopen(&kit);
	kit_expect_filled(kit.store, "l", FILLED, "x");
}
END_TEST

/* Who asks the pool whether a table is its own alone must not be told that it is. */
START_TEST(shared_tables_are_counted_for_each_branch)
{
	const struct level *l0;
	struct lsm *child, *snap;

	stop_flushing();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	ASSERT_OK(lsm_branch_create(kit.store, "snap", true, NULL));
	snap = kit_branch(&kit, "snap");
	go_on_flushing();
	ASSERT_OK(lsm_flush(kit.store));
	KIT_WAIT_UNTIL(all_landed());
	l0 = &kit.store->view->version->levels[0];
	ck_assert_uint_eq(l0->count, 1);
	/* Main's meta, the pins of both, the fork point of one. */
	ck_assert_uint_eq(pool_refs(kit.store->home->pool, FILE_KIND_TABLE,
	                            l0->tables[0]->id),
	                  4);
	child = kit_branch(&kit, "child");
	/* Now the meta of main may be the child's too. */
	ck_assert_uint_ge(pool_refs(kit.store->home->pool, FILE_KIND_TABLE,
	                            l0->tables[0]->id),
	                  3);
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_close(snap));
	ASSERT_OK(lsm_branch_delete(kit.store, "child", false));
	ASSERT_OK(lsm_branch_delete(kit.store, "snap", false));
	ck_assert_uint_eq(pool_refs(kit.store->home->pool, FILE_KIND_TABLE,
	                            l0->tables[0]->id),
	                  1);
}
END_TEST

START_TEST(idle_branch_is_two_small_files)
{
	struct lsm_branch_info info;
	char folder[KIT_NAME_BYTES];
	static struct kit_names names;
	struct buf bytes = BUF_INIT;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_branch_create(kit.store, "child", true, &info));
	ASSERT_OK(lsm_flush(kit.store));
	KIT_WAIT_UNTIL(all_landed());
	snprintf(folder, sizeof(folder), KIT_PATH "/branches/%016llx",
	         (unsigned long long)info.id);
	ck_assert_uint_eq(kit_files(kit.env, folder, ""), 2);
	kit_list(kit.env, folder, "MANIFEST", &names);
	ck_assert_uint_eq(names.count, 1);
	kit_read_file(kit.env, folder, names.name[0], &bytes);
	ck_assert_uint_le(bytes.len, 4096 + 64);
	buf_release(&bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("branch");
	TCase *tc = tcase_create("what a fork holds");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, each_side_goes_its_own_way);
	tcase_add_test(tc, fork_survives_a_power_cut_at_once);
	tcase_add_test(tc, description_is_kept);
	tcase_add_test(tc, list_is_by_name);
	tcase_add_test(tc, fork_of_a_fork_and_of_a_snapshot);
	tcase_add_test(tc, snapshot_refuses_writes);
	tcase_add_test(tc, names_and_states_are_checked);
	tcase_add_test(tc, another_branch_can_be_the_first);
	suite_add_tcase(suite, tc);

	tc = tcase_create("whose flush serves whom");
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, memtable_is_shared_while_both_are_open);
	tcase_add_test(tc, flush_lands_in_branches_that_are_not_open);
	tcase_add_test(tc, log_that_several_name_is_replayed_once);
	tcase_add_test(tc, child_flushes_what_its_parent_could_not);
	tcase_add_test(tc, memtable_of_a_branch_that_closes_is_not_found);
	tcase_add_test(tc, branches_whose_flushes_fail_try_again_after_pauses);
	tcase_add_test(tc, parent_closes_while_its_memtable_is_read);
	tcase_add_test(tc, open_branches_share_what_is_kept_of_tables);
	tcase_add_test(tc, shared_tables_are_counted_for_each_branch);
	tcase_add_test(tc, idle_branch_is_two_small_files);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
