/* SPDX-License-Identifier: MIT */
/* test_block_builder.c: a block has the bytes that block.h describes. */
#include <stdio.h>
#include <stdlib.h>

#include "base/coding.h"
#include "sst/block_builder.h"
#include "sst/format.h"
#include "tests/engine/sst/sst_kit.h"
#include "tests/support/alloc_fault.h"

static struct block_builder builder;

static void setup_builder(void)
{
	block_builder_init(&builder, SST_RESTART_INTERVAL);
}

static void teardown_builder(void)
{
	block_builder_release(&builder);
}

static void add(const char *key, const char *value)
{
	ck_assert_int_eq(
	    block_builder_add(&builder, slice_str(key), slice_str(value)),
	    LSM_OK);
}

START_TEST(keys_share_the_prefix_of_the_one_before)
{
	static const uint8_t expected[] = {
	    0, 5, 1, 'h', 'e', 'l', 'l', 'o', '1', /* hello */
	    4, 2, 0, ' ', 'p',                     /* hell p */
	    0, 1, 2, 'z', '2', '3',                /* z */
	    0, 0, 0, 0,                            /* restart offset */
	    1, 0, 0, 0,                            /* restarts */
	};
	struct slice raw;

	add("hello", "1");
	add("hell p", "");
	add("z", "23");
	ck_assert_int_eq(block_builder_finish(&builder, &raw), LSM_OK);
	ck_assert_uint_eq(raw.len, sizeof(expected));
	ck_assert_mem_eq(raw.data, expected, sizeof(expected));
}
END_TEST

START_TEST(every_sixteenth_key_is_whole)
{
	struct slice raw;
	uint32_t count;
	char key[32];

	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "prefix%03d", i);
		add(key, "");
	}
	ck_assert_int_eq(block_builder_finish(&builder, &raw), LSM_OK);
	count = get_u32(raw.data + raw.len - 4);
	ck_assert_uint_eq(count, 3);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = get_u32(raw.data + raw.len - 4 - 4 * (count - i));

		snprintf(key, sizeof(key), "prefix%03d",
		         (int)i * SST_RESTART_INTERVAL);
		ck_assert_uint_eq(raw.data[at], 0);
		ck_assert_mem_eq(raw.data + at + 3, key, 9);
	}
}
END_TEST

START_TEST(bytes_is_what_finish_gives)
{
	struct slice raw;
	char key[32];

	for (int i = 0; i < 100; i++) {
		size_t bytes;

		snprintf(key, sizeof(key), "%05d", i);
		add(key, "value");
		bytes = block_builder_bytes(&builder);
		if (i % 33 == 0) {
			ck_assert_int_eq(block_builder_finish(&builder, &raw),
			                 LSM_OK);
			ck_assert_uint_eq(raw.len, bytes);
			block_builder_clear(&builder);
		}
	}
}
END_TEST

START_TEST(cleared_builder_begins_anew)
{
	struct slice raw;
	struct buf first = BUF_INIT;

	add("abc", "1");
	add("abd", "2");
	ck_assert_int_eq(block_builder_finish(&builder, &raw), LSM_OK);
	ck_assert_int_eq(buf_set(&first, raw), LSM_OK);
	block_builder_clear(&builder);
	ck_assert_uint_eq(builder.entries, 0);
	add("abc", "1");
	add("abd", "2");
	ck_assert_int_eq(block_builder_finish(&builder, &raw), LSM_OK);
	ck_assert(slice_equal(raw, buf_slice(&first)));
	buf_release(&first);
}
END_TEST

static enum lsm_err build(void)
{
	struct slice raw;
	enum lsm_err err;

	err = block_builder_add(&builder, slice_str("key"), slice_str("value"));
	if (err == LSM_OK)
		err = block_builder_finish(&builder, &raw);
	return err;
}

START_TEST(any_failing_allocation_is_reported)
{
	uint64_t nth = 0;
	enum lsm_err err;
	bool fired;

	do {
		alloc_fault_arm(++nth);
		err = build();
		fired = alloc_fault_disarm();
		ck_assert_int_eq(err, fired ? LSM_ERR_NOMEM : LSM_OK);
		block_builder_release(&builder);
	} while (fired);
	ck_assert_uint_ge(nth, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("block_builder");
	TCase *tc = tcase_create("bytes");

	tcase_add_checked_fixture(tc, setup_builder, teardown_builder);
	tcase_add_test(tc, keys_share_the_prefix_of_the_one_before);
	tcase_add_test(tc, every_sixteenth_key_is_whole);
	tcase_add_test(tc, bytes_is_what_finish_gives);
	tcase_add_test(tc, cleared_builder_begins_anew);
	tcase_add_test(tc, any_failing_allocation_is_reported);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
