/* SPDX-License-Identifier: MIT */
/* test_create.c: a store is made whole, in an empty place, or not at all. */
#include <stdio.h>

#include "base/buf.h"
#include "tests/engine/store/store_kit.h"

static struct kit kit;

static void setup(void)
{
	kit_init(&kit);
}

static void teardown(void)
{
	kit_log_end();
	kit_release(&kit);
}

static enum lsm_err create(void)
{
	return lsm_create(kit.env, KIT_PATH, slice_str("owner"));
}

static void make_folder(const char *parent, const char *name)
{
	struct env_dir *dir;

	ASSERT_OK(env_dir_open(kit.env, parent, &dir));
	ASSERT_OK(env_dir_make(dir, name));
	env_dir_close(dir);
}

START_TEST(new_store_is_empty)
{
	kit_create(&kit);
	ck_assert_uint_eq(kit_count(kit.store, "", ""), 0);
	ck_assert_uint_eq(lsm_sequence(kit.store), 0);
	kit_expect(kit.store, "a", NULL);
	kit_reopen(&kit);
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, ""), 0);
}
END_TEST

START_TEST(empty_folder_becomes_a_store)
{
	make_folder("/", "st");
	ASSERT_OK(create());
	kit_open(&kit);
}
END_TEST

START_TEST(existing_store_is_left_alone)
{
	uint64_t before;

	kit_create(&kit);
	kit_put(kit.store, "a", "1");
	kit_close(&kit);
	before = kit_digest(kit.env, KIT_PATH);
	kit_log_begin();
	ASSERT_ERR(create(), EXISTS);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, "store already"));
	ck_assert_uint_eq(kit_digest(kit.env, KIT_PATH), before);
	kit_open(&kit);
	kit_expect(kit.store, "a", "1");
}
END_TEST

START_TEST(folder_that_is_not_empty_is_left_alone)
{
	make_folder("/", "st");
	kit_write_file(kit.env, KIT_PATH, "letter.txt", slice_str("Dear"));
	kit_log_begin();
	ASSERT_ERR(create(), EXISTS);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, "letter.txt"));
	ck_assert_uint_eq(kit_files(kit.env, KIT_PATH, ""), 1);
}
END_TEST

/* Somebody's own folder of that name is no left-over of ours. */
START_TEST(folder_with_a_foreign_pool_is_left_alone)
{
	make_folder("/", "st");
	make_folder(KIT_PATH, "pool");
	kit_write_file(kit.env, KIT_POOL, "swimming.jpg", slice_str("x"));
	kit_log_begin();
	ASSERT_ERR(create(), EXISTS);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has(KIT_PATH, "pool"));
	ck_assert_uint_eq(kit_files(kit.env, KIT_POOL, "swimming"), 1);
}
END_TEST

START_TEST(file_in_the_place_is_left_alone)
{
	kit_write_file(kit.env, "/", "st", slice_str("x"));
	kit_log_begin();
	ASSERT_ERR(create(), EXISTS);
	ck_assert_uint_ge(kit_log_errors(), 1);
	ck_assert_uint_eq(kit_files(kit.env, "/", "st"), 1);
}
END_TEST

START_TEST(missing_parent_is_refused)
{
	kit_log_begin();
	ASSERT_ERR(lsm_create(kit.env, "/no/st", slice_str("")), NOT_FOUND);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has("/no", ""));
	ck_assert_uint_eq(kit_files(kit.env, "/", ""), 0);
}
END_TEST

START_TEST(owner_area_over_the_limit_leaves_nothing)
{
	uint8_t area[LSM_OWNER_AREA_BYTES + 1] = {0};

	kit_log_begin();
	ASSERT_ERR(
	    lsm_create(kit.env, KIT_PATH, slice_make(area, sizeof(area))),
	    TOO_BIG);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert_uint_eq(kit_files(kit.env, "/", ""), 0);
}
END_TEST

/* Whatever fails, there is a store or there is none; then trying again works.
 */
START_TEST(every_failed_operation_leaves_a_store_or_none)
{
	bool failed = true;

	kit_log_begin();
	for (uint64_t nth = 1; failed; nth++) {
		struct kit one;
		enum lsm_err err;

		kit_init(&one);
		env_fault_arm(one.env, nth, LSM_ERR_IO, false);
		err = lsm_create(one.env, KIT_PATH, slice_str("owner"));
		failed = env_fault_count(one.env) >= nth;
		env_fault_arm(one.env, 0, LSM_OK, false);
		ck_assert(failed || err == LSM_OK);
		if (err != LSM_OK) {
			err = lsm_create(one.env, KIT_PATH, slice_str("owner"));
			ck_assert(err == LSM_OK || err == LSM_ERR_EXISTS);
		}
		kit_open(&one);
		kit_put(one.store, "a", "1");
		kit_close(&one);
		kit_release(&one);
	}
}
END_TEST

/* After a power cut at any operation too. */
START_TEST(every_power_cut_leaves_a_store_or_none)
{
	bool cut = true;

	kit_log_begin();
	for (uint64_t nth = 1; cut; nth++) {
		struct kit one;
		enum lsm_err err;

		kit_init(&one);
		env_fault_arm(one.env, nth, LSM_ERR_IO, true);
		err = lsm_create(one.env, KIT_PATH, slice_str("owner"));
		cut = env_fault_count(one.env) >= nth;
		ck_assert(cut || err == LSM_OK);
		kit_crash(&one, 0, nth);
		if (err != LSM_OK) {
			err = lsm_create(one.env, KIT_PATH, slice_str("owner"));
			ck_assert(err == LSM_OK || err == LSM_ERR_EXISTS);
		}
		kit_open(&one);
		kit_put(one.store, "a", "1");
		kit_close(&one);
		kit_release(&one);
	}
}
END_TEST

/* Somebody who makes a store in the same place, and puts a key into it, just
   before operation `nth`. */
struct rival {
	uint64_t nth;
	bool came;
	enum lsm_err created, opened, wrote;
};

static struct fault_answer come_between(void *ctx,
                                        const struct fault_call *call)
{
	struct fault_answer answer = {LSM_OK, false};
	struct lsm_options options = kit.options;
	struct rival *rival = ctx;
	struct lsm_runtime *runtime;
	struct lsm *store;

	if (call->number != rival->nth)
		return answer;
	rival->came = true;
	rival->created = lsm_create(kit.mem, KIT_PATH, slice_str("rival"));
	if (rival->created != LSM_OK)
		return answer;
	options.env = kit.mem;
	rival->opened = lsm_runtime_create(&kit.runtime_options, &runtime);
	if (rival->opened != LSM_OK)
		return answer;
	rival->opened = lsm_open(runtime, KIT_PATH, &options, &store);
	if (rival->opened == LSM_OK) {
		rival->wrote = kit_try_put(store, "a", "rival's");
		rival->opened = lsm_close(store);
	}
	lsm_runtime_destroy(runtime);
	return answer;
}

START_TEST(of_two_who_make_one_each_is_told_the_truth)
{
	struct rival rival = {.came = true};

	kit_log_begin();
	if (_i == 1)
		make_folder("/", "st");
	for (uint64_t nth = 1; rival.came; nth++) {
		enum lsm_err err;

		rival = (struct rival){.nth = nth};
		env_fault_arm(kit.env, 0, LSM_OK, false);
		env_fault_set_hook(kit.env, come_between, &rival);
		err = create();
		env_fault_set_hook(kit.env, NULL, NULL);
		ASSERT_OK(rival.opened);
		ASSERT_OK(rival.wrote);
		ck_assert((err == LSM_OK) !=
		          (rival.came && rival.created == LSM_OK));
		kit_open(&kit);
		kit_expect(kit.store, "a", err == LSM_OK ? NULL : "rival's");
		kit_close(&kit);
		kit_release(&kit);
		kit_init(&kit);
		if (_i == 1)
			make_folder("/", "st");
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("create");
	TCase *tc = tcase_create("create");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, new_store_is_empty);
	tcase_add_test(tc, empty_folder_becomes_a_store);
	tcase_add_test(tc, existing_store_is_left_alone);
	tcase_add_test(tc, folder_that_is_not_empty_is_left_alone);
	tcase_add_test(tc, folder_with_a_foreign_pool_is_left_alone);
	tcase_add_test(tc, file_in_the_place_is_left_alone);
	tcase_add_test(tc, missing_parent_is_refused);
	tcase_add_test(tc, owner_area_over_the_limit_leaves_nothing);
	tcase_add_test(tc, every_failed_operation_leaves_a_store_or_none);
	tcase_add_test(tc, every_power_cut_leaves_a_store_or_none);
	tcase_add_loop_test(tc, of_two_who_make_one_each_is_told_the_truth, 0,
	                    2);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
