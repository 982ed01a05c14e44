/* SPDX-License-Identifier: MIT */
/*
 * test_branch_files.c: a file of the pool goes with the last branch that names it,
 * in whatever order branches go, and stays where that is not known.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/branches.h"
#include "store/store.h"
#include "tests/engine/store/store_kit.h"
#include "tests/support/compact_all.h"
#include "tests/support/tables.h"

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

static size_t folders(const char *part)
{
	return kit_files(kit.env, KIT_PATH "/branches", part);
}

/* Nothing is flushed until kit_heal(). */
static void hold_flushes(void)
{
	kit_log_begin();
	kit_fail(&kit, FAULT_CREATE, ".sst", LSM_ERR_IO, -1);
}

START_TEST(files_go_with_the_last_branch_that_names_them)
{
	struct lsm *child;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	kit_fill(child, "c", FILLED, "y");
	ASSERT_OK(lsm_flush(child));
	ASSERT_OK(lsm_close(child));
	ck_assert_uint_eq(files(".sst"), 2);
	/* Main is rewritten; the old table stays for the child. */
	kit_fill(kit.store, "k", FILLED, "z");
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(files(".sst") == 3);
	child = kit_branch(&kit, "child");
	kit_expect_filled(child, "k", FILLED, "x");
	kit_expect_filled(child, "c", FILLED, "y");
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_branch_delete(kit.store, "child", false));
	KIT_WAIT_UNTIL(files(".sst") == 1);
	ck_assert_uint_eq(folders(""), 1);
	kit_expect_filled(kit.store, "k", FILLED, "z");
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(fork_point_is_kept_until_the_branch_goes)
{
	struct lsm *child;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fork(kit.store, "child");
	kit_fill(kit.store, "k", FILLED, "y");
	ASSERT_OK(compact_all(kit.store));
	child = kit_branch(&kit, "child");
	kit_fill(child, "k", FILLED, "z");
	ASSERT_OK(compact_all(child));
	KIT_WAIT_UNTIL(files(".sst") == 3);
	ASSERT_OK(lsm_close(child));
	kit_reopen(&kit);
	ck_assert_uint_eq(files(".sst"), 3);
	ck_assert_uint_eq(kit_faults(kit.store), 0);
	ASSERT_OK(lsm_branch_delete(kit.store, "child", false));
	KIT_WAIT_UNTIL(files(".sst") == 1);
}
END_TEST

START_TEST(fork_point_gets_the_table_of_its_log)
{
	struct lsm *child;

	worker_cancel(kit.runtime->workers, &kit.store->flush_job);
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	worker_job_init(&kit.store->flush_job, WORKER_FLUSH, store_flush_run);
	worker_submit(kit.runtime->workers, &kit.store->flush_job, 0);
	ASSERT_OK(lsm_flush(kit.store));
	kit_fill(child, "k", FILLED, "z");
	ASSERT_OK(compact_all(child));
	kit_fill(kit.store, "k", FILLED, "y");
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(files(".sst") == 3);
	ASSERT_OK(lsm_close(child));
	kit_crash(&kit, 256, 1);
	kit_open(&kit);
	ck_assert_uint_eq(files(".sst"), 3);
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(deletion_is_refused_over_children_unless_recursive)
{
	struct lsm *child, *open;

	kit_fork(kit.store, "a");
	child = kit_branch(&kit, "a");
	kit_fill(child, "k", FILLED, "x");
	kit_fork(child, "b");
	kit_fork(child, "c");
	open = kit_branch(&kit, "c");
	kit_fork(open, "d");
	ASSERT_OK(lsm_close(child));
	kit_fork(kit.store, "aside");
	ASSERT_ERR(lsm_branch_delete(kit.store, "a", false), NOT_EMPTY);
	ASSERT_ERR(lsm_branch_delete(kit.store, "a", true), BUSY);
	ck_assert_uint_eq(kit_branch_count(&kit), 6);
	ASSERT_OK(lsm_close(open));
	ASSERT_OK(lsm_branch_delete(kit.store, "b", false));
	ASSERT_OK(lsm_branch_delete(kit.store, "a", true));
	ck_assert_uint_eq(kit_branch_count(&kit), 2);
	KIT_WAIT_UNTIL(files(".sst") == 0 && files(".wal") == 0);
	kit_reopen(&kit);
	ck_assert_uint_eq(kit_branch_count(&kit), 2);
	ck_assert_uint_eq(folders(""), 2);
}
END_TEST

/* Damage the manifest of a branch that is not open, or mend it again. */
static void flip_branch(uint64_t id)
{
	static struct kit_names names;
	char folder[KIT_NAME_BYTES];

	snprintf(folder, sizeof(folder), KIT_PATH "/branches/%016llx",
	         (unsigned long long)id);
	kit_list(kit.env, folder, "MANIFEST", &names);
	ck_assert_uint_eq(names.count, 1);
	kit_flip(kit.env, folder, names.name[0], 100);
}

/* What damaged branches are listed as, the last ones: the name of the one `id`. */
static void damaged_name(uint64_t id, size_t readable,
                         char name[LSM_BRANCH_NAME_MAX_BYTES + 1])
{
	struct lsm_branch_info *list;
	size_t count, found = 0;

	ASSERT_OK(lsm_branch_list(kit.store, &list, &count));
	ck_assert_uint_gt(count, readable);
	for (size_t i = 0; i < count; i++) {
		ck_assert(list[i].damaged == (i >= readable));
		if (list[i].damaged && list[i].id == id) {
			snprintf(name, LSM_BRANCH_NAME_MAX_BYTES + 1, "%s",
			         list[i].name);
			found++;
		}
	}
	ck_assert_uint_eq(found, 1);
	free(list);
}

START_TEST(damaged_branch_is_refused_and_nothing_is_deleted)
{
	char name[LSM_BRANCH_NAME_MAX_BYTES + 1];
	struct lsm_branch_info info;
	struct lsm *child = NULL;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	ASSERT_OK(lsm_branch_create(kit.store, "bad", false, &info));
	kit_fork(kit.store, "good");
	kit_close(&kit);
	flip_branch(info.id);
	kit_log_begin();
	kit_open(&kit);
	damaged_name(info.id, 2, name);
	ASSERT_ERR(lsm_branch_open(kit.store, "bad", NULL, &child), NOT_FOUND);
	ASSERT_ERR(lsm_branch_open(kit.store, name, NULL, &child), CORRUPT);
	child = kit_branch(&kit, "good");
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
	ck_assert_uint_eq(kit_faults(kit.store), 1);
	kit_fill(kit.store, "k", FILLED, "y");
	ASSERT_OK(compact_all(kit.store));
	ASSERT_OK(lsm_branch_delete(kit.store, "good", false));
	ck_assert_uint_ge(files(".sst"), 2);
	flip_branch(info.id); /* mended */
	ASSERT_ERR(lsm_branch_delete(kit.store, name, false), INVALID);
	ck_assert(kit_log_has(name, "can be read now"));
	kit_reopen(&kit);
	child = kit_branch(&kit, "bad");
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
}
END_TEST

START_TEST(damaged_branch_is_deleted_by_its_id)
{
	char name[LSM_BRANCH_NAME_MAX_BYTES + 1];
	struct lsm_branch_info info;
	struct lsm *child;

	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fork(kit.store, "good");
	ASSERT_OK(lsm_branch_create(kit.store, "bad", false, &info));
	child = kit_branch(&kit, "bad");
	kit_fill(child, "k", FILLED, "bad");
	ASSERT_OK(compact_all(child)); /* of good's, nothing is left in it */
	ASSERT_OK(lsm_close(child));
	kit_close(&kit);
	flip_branch(info.id);
	kit_log_begin();
	kit_open(&kit);
	damaged_name(info.id, 2, name);
	ASSERT_OK(lsm_branch_delete(kit.store, name, false));
	ck_assert(kit_log_has(name, "deleted"));
	ASSERT_ERR(lsm_branch_delete(kit.store, name, false), NOT_FOUND);
	ck_assert_uint_eq(kit_branch_count(&kit), 2);
	ck_assert_uint_eq(folders(""), 2);
	ck_assert_uint_ge(files(".sst"), 2);
	kit_reopen(&kit);
	/* What only it named is swept, what others name is not. */
	ck_assert_uint_eq(files(".sst"), 1);
	kit_expect_filled(kit.store, "k", FILLED, "x");
	child = kit_branch(&kit, "good");
	kit_expect_filled(child, "k", FILLED, "x");
	ASSERT_OK(lsm_close(child));
	ck_assert_uint_eq(kit_faults(kit.store), 0);
}
END_TEST

START_TEST(damaged_parent_goes_with_its_children_or_not_at_all)
{
	char name[LSM_BRANCH_NAME_MAX_BYTES + 1];
	struct lsm_branch_info info;
	struct lsm *bad, *child;

	ASSERT_OK(lsm_branch_create(kit.store, "bad", false, &info));
	bad = kit_branch(&kit, "bad");
	kit_put(bad, "a", "1");
	kit_fork(bad, "child");
	ASSERT_OK(lsm_close(bad));
	child = kit_branch(&kit, "child");
	kit_fork(child, "grandchild");
	ASSERT_OK(lsm_close(child));
	kit_close(&kit);
	flip_branch(info.id);
	kit_log_begin();
	kit_open(&kit);
	damaged_name(info.id, 3, name);
	ASSERT_ERR(lsm_branch_delete(kit.store, name, false), NOT_EMPTY);
	child = kit_branch(&kit, "child");
	ASSERT_ERR(lsm_branch_delete(kit.store, name, true), BUSY);
	kit_expect(child, "a", "1");
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_branch_delete(kit.store, name, true));
	ck_assert_uint_eq(kit_branch_count(&kit), 1);
	kit_reopen(&kit);
	ck_assert_uint_eq(kit_branch_count(&kit), 1);
	ck_assert_uint_eq(folders(""), 1);
}
END_TEST

/* Its name cannot be read either. */
START_TEST(no_damaged_branch_is_deleted_that_may_be_main)
{
	char name[LSM_BRANCH_NAME_MAX_BYTES + 1];
	struct lsm_branch_info info;

	kit_put(kit.store, "a", "1");
	kit_fork(kit.store, "good");
	ASSERT_OK(lsm_branch_find(kit.store, NULL, &info));
	kit_close(&kit);
	kit_log_begin();
	flip_branch(info.id);
	kit.options.branch = "good";
	kit_open(&kit);
	damaged_name(info.id, 1, name);
	ASSERT_ERR(lsm_branch_delete(kit.store, name, true), INVALID);
	ck_assert(kit_log_has("main", "cannot be read"));
	kit_close(&kit);
	flip_branch(info.id);
	kit.options.branch = NULL;
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
}
END_TEST

/* Publish a whole manifest of the branch, which is not open and has no tables, with
   another parent. */
static void set_parent(const struct uuid *family, uint64_t id, uint64_t parent)
{
	const struct table_owner nobody = {NULL, NULL, NULL};
	struct manifest_place place = {.family = *family};
	struct manifest *manifest;
	struct manifest_state state;
	char folder[KIT_NAME_BYTES];

	snprintf(folder, sizeof(folder), KIT_PATH "/branches/%016llx",
	         (unsigned long long)id);
	ASSERT_OK(env_dir_open(kit.env, KIT_POOL, &place.pool));
	ASSERT_OK(env_dir_open(kit.env, folder, &place.dir));
	ASSERT_OK(manifest_recover(&place, id, nobody, NULL, &state));
	state.branch.parent = parent;
	ASSERT_OK(manifest_publish(&place, &state, &manifest));
	manifest_close(manifest);
	manifest_state_release(&state);
	env_dir_close(place.dir);
	env_dir_close(place.pool);
}

/* Each checksum is right, and each manifest whole by itself. */
START_TEST(branches_that_are_above_themselves_are_refused)
{
	struct lsm_branch_info first, second, below;
	struct uuid family = kit.store->home->superblock.family;
	struct lsm *child;
	char folder[32];

	ASSERT_OK(lsm_branch_create(kit.store, "first", false, &first));
	child = kit_branch(&kit, "first");
	ASSERT_OK(lsm_branch_create(child, "second", false, &second));
	ASSERT_OK(lsm_close(child));
	child = kit_branch(&kit, "second");
	ASSERT_OK(lsm_branch_create(child, "below", false, &below));
	ASSERT_OK(lsm_close(child));
	kit_close(&kit);
	kit_log_begin();

	set_parent(&family, first.id, second.id);
	ASSERT_ERR(kit_try_open(&kit), CORRUPT);
	ck_assert(kit_log_has(KIT_PATH "/branches/", "lead back to it"));

	kit_log_begin();
	set_parent(&family, first.id, first.id);
	ASSERT_ERR(kit_try_open(&kit), CORRUPT);
	snprintf(folder, sizeof(folder), "%016llx",
	         (unsigned long long)first.id);
	ck_assert(kit_log_has(folder, "lead back to it"));

	set_parent(&family, first.id, first.parent);
	kit_open(&kit);
	ASSERT_OK(lsm_branch_delete(kit.store, "first", true));
	ck_assert_uint_eq(kit_branch_count(&kit), 1);
}
END_TEST

static const struct kit_limits periodic = {
    "a period of 1 ms", 256 << 10, 1, 1,  64 << 10, 16 << 10,
    64 << 10,           1 << 10,   4, 30, 0};

static bool is_tidy(struct lsm *store)
{
	struct lsm_stats stats;

	lsm_stats(store, &stats);
	return stats.segments.garbage_bytes <= stats.segments.live_bytes &&
	       files(".seg") == stats.segments.files;
}

/* A table that several name is each one's to rewrite: what one of them has deleted
   does not wait for what another wants. Segments wait for their last user alone. */
START_TEST(each_branch_is_rid_of_what_it_deleted_of_shared_tables)
{
	struct lsm *child;
	char key[32];

	kit_close(&kit);
	kit_set_limits(&kit, &periodic);
	kit_open(&kit);
	kit_fill(kit.store, "k", FILLED, "x");
	ASSERT_OK(lsm_flush(kit.store));
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	for (unsigned i = 0; i < FILLED; i++) {
		snprintf(key, sizeof(key), "k%06u", i);
		kit_delete(child, key);
	}
	KIT_WAIT_UNTIL(tables_count(child) == 0);
	kit_expect_filled(kit.store, "k", FILLED, "x");
	ck_assert_uint_gt(tables_count(kit.store), 0);
	kit_fill(kit.store, "k", FILLED, "y");
	ASSERT_OK(lsm_close(child));
	ASSERT_OK(lsm_branch_delete(kit.store, "child", false));
	KIT_WAIT_UNTIL(is_tidy(kit.store));
	kit_expect_filled(kit.store, "k", FILLED, "y");
}
END_TEST

START_TEST(many_changes_are_put_into_a_list_that_forks_share)
{
	char name[16];

	kit_close(&kit);
	kit.options.l0_trigger = 1000; /* nothing is merged */
	kit_open(&kit);
	for (unsigned i = 0; i < 2 * STORE_FORK_CHANGES; i++) {
		snprintf(name, sizeof(name), "b%u", i);
		kit_put(kit.store, name, "1");
		kit_fork(kit.store, name);
		ASSERT_OK(lsm_flush(kit.store));
	}
	ck_assert_uint_ge(files(".list"), 1);
	kit_reopen(&kit);
	for (unsigned i = 0; i < 2 * STORE_FORK_CHANGES; i++) {
		struct lsm *child;
		char next[16];

		snprintf(name, sizeof(name), "b%u", i);
		snprintf(next, sizeof(next), "b%u", i + 1);
		child = kit_branch(&kit, name);
		kit_expect(child, name, "1");
		kit_expect(child, next, NULL);
		ASSERT_OK(lsm_close(child));
		ASSERT_OK(lsm_branch_delete(kit.store, name, false));
	}
	ASSERT_OK(compact_all(kit.store));
	KIT_WAIT_UNTIL(files(".sst") == 1 && files(".list") <= 1);
}
END_TEST

START_TEST(branch_can_be_exported)
{
	struct lsm_fork_info info;
	struct lsm_options options = kit.options;
	struct lsm *child, *other = NULL;

	hold_flushes();
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	kit_put(child, "own", "1");
	ASSERT_OK(lsm_export(child, "/other", &info));
	kit_heal(&kit);
	options.env = kit.env;
	ASSERT_OK(lsm_open(kit.runtime, "/other", &options, &other));
	kit_expect_filled(other, "k", FILLED, "x");
	kit_expect(other, "own", "1");
	ASSERT_OK(lsm_close(other));
	ASSERT_OK(lsm_close(child));
}
END_TEST

/* When the export begins to make its folder. */
static struct fault_answer flush_parent(void *ctx,
                                        const struct fault_call *call)
{
	struct fault_answer answer = {LSM_OK, false};
	bool *flushed = ctx;

	if (call->op != FAULT_DIR_MAKE || *flushed)
		return answer;
	*flushed = true;
	worker_job_init(&kit.store->flush_job, WORKER_FLUSH, store_flush_run);
	answer.err = lsm_flush(kit.store);
	home_collect(kit.store->home);
	return answer;
}

START_TEST(branch_can_be_exported_while_a_flush_lands_in_it)
{
	struct lsm_fork_info info;
	struct lsm *child, *other;
	bool flushed = false;

	worker_cancel(kit.runtime->workers, &kit.store->flush_job);
	kit_fill(kit.store, "k", FILLED, "x");
	kit_fork(kit.store, "child");
	child = kit_branch(&kit, "child");
	ck_assert_uint_eq(child->view->sealed_count, 1);
	env_fault_set_hook(kit.env, flush_parent, &flushed);
	ASSERT_OK(lsm_export(child, "/other", &info));
	ck_assert(flushed);
	ck_assert_uint_eq(child->view->sealed_count, 0);
	ASSERT_OK(lsm_open(kit.runtime, "/other", &kit.options, &other));
	kit_expect_filled(other, "k", FILLED, "x");
	ASSERT_OK(lsm_close(other));
	ASSERT_OK(lsm_close(child));
	KIT_WAIT_UNTIL(files(".wal") == 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("branch files");
	TCase *tc = tcase_create("files");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, files_go_with_the_last_branch_that_names_them);
	tcase_add_test(tc, fork_point_is_kept_until_the_branch_goes);
	tcase_add_test(tc, fork_point_gets_the_table_of_its_log);
	tcase_add_test(tc, deletion_is_refused_over_children_unless_recursive);
	tcase_add_test(tc, damaged_branch_is_refused_and_nothing_is_deleted);
	tcase_add_test(tc, damaged_branch_is_deleted_by_its_id);
	tcase_add_test(tc, damaged_parent_goes_with_its_children_or_not_at_all);
	tcase_add_test(tc, no_damaged_branch_is_deleted_that_may_be_main);
	tcase_add_test(tc, branches_that_are_above_themselves_are_refused);
	tcase_add_test(tc,
	               each_branch_is_rid_of_what_it_deleted_of_shared_tables);
	tcase_add_test(tc, many_changes_are_put_into_a_list_that_forks_share);
	tcase_add_test(tc, branch_can_be_exported);
	tcase_add_test(tc, branch_can_be_exported_while_a_flush_lands_in_it);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
