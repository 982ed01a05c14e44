/* SPDX-License-Identifier: MIT */
/* test_superblock.c: a damaged or foreign superblock never passes for one. */
#include "base/checksum.h"
#include "base/coding.h"
#include "store/superblock.h"
#include "tests/engine/store/store_kit.h"

enum { AT_VERSION = 8, AT_OWNER_LEN = 12, AT_RO_COMPAT = 24, AT_INCOMPAT = 32 };

static struct env *env;
static struct env_dir *dir;
static struct superblock sb;

static void setup(void)
{
	ASSERT_OK(env_mem_create(&env));
	ASSERT_OK(env_dir_open(env, "/", &dir));
	ASSERT_OK(superblock_init(&sb, env, slice_str("owner")));
	kit_log_begin();
}

static void teardown(void)
{
	kit_log_end();
	env_dir_close(dir);
	env_mem_destroy(env);
}

static enum lsm_err read_back(bool read_only, struct superblock *out)
{
	return superblock_read(dir, "/place", read_only, out);
}

static enum lsm_err publish(const struct superblock *superblock)
{
	uint8_t bytes[SUPERBLOCK_BYTES];

	superblock_encode(superblock, bytes);
	return env_publish(dir, SUPERBLOCK_NAME,
	                   slice_make(bytes, sizeof(bytes)));
}

/* Write `sb` with a field changed and the checksum set right. */
static void write_changed(size_t at, uint64_t value, size_t width)
{
	uint8_t field[8];
	struct buf bytes = BUF_INIT;

	ASSERT_OK(publish(&sb));
	kit_read_file(env, "/", SUPERBLOCK_NAME, &bytes);
	put_u64(field, value);
	memcpy(bytes.data + at, field, width);
	put_u64(
	    bytes.data + SUPERBLOCK_BYTES - 8,
	    checksum_seeded(slice_make(bytes.data, SUPERBLOCK_BYTES - 8), 0));
	kit_write_file(env, "/", SUPERBLOCK_NAME, buf_slice(&bytes));
	buf_release(&bytes);
}

START_TEST(what_was_written_is_read)
{
	struct superblock got;

	sb.compat = 6;
	ASSERT_OK(publish(&sb));
	ASSERT_OK(read_back(false, &got));
	ck_assert_mem_eq(&got.family, &sb.family, UUID_BYTES);
	ck_assert_mem_eq(&got.store, &sb.store, UUID_BYTES);
	ck_assert_mem_ne(&got.store, &got.family, UUID_BYTES);
	ck_assert_uint_eq(got.created_ns, sb.created_ns);
	ck_assert_uint_eq(got.compat, 6);
	ck_assert_uint_eq(got.owner_len, 5);
	ck_assert_mem_eq(got.owner_area, "owner", 5);
	ck_assert_uint_eq(kit_log_errors(), 0);
}
END_TEST

START_TEST(owner_area_over_its_limit_is_refused)
{
	uint8_t area[LSM_OWNER_AREA_BYTES + 1] = {0};

	ASSERT_OK(
	    superblock_init(&sb, env, slice_make(area, LSM_OWNER_AREA_BYTES)));
	ASSERT_ERR(superblock_init(&sb, env, slice_make(area, sizeof(area))),
	           TOO_BIG);
}
END_TEST

START_TEST(any_flipped_byte_is_one_error_line)
{
	for (size_t at = 0; at < SUPERBLOCK_BYTES; at++) {
		struct superblock got;
		enum lsm_err err;

		ASSERT_OK(publish(&sb));
		kit_flip(env, "/", SUPERBLOCK_NAME, at);
		kit_log_begin();
		err = read_back(false, &got);
		ck_assert_msg(
		    err == (at < 8 ? LSM_ERR_NOT_STORE : LSM_ERR_CORRUPT),
		    "offset %zu: %s", at, lsm_strerror(err));
		ck_assert_uint_eq(kit_log_errors(), 1);
		ck_assert(kit_log_has("/place", SUPERBLOCK_NAME));
	}
}
END_TEST

START_TEST(file_of_another_length_is_refused)
{
	struct buf bytes = BUF_INIT;
	struct superblock got;

	ASSERT_OK(publish(&sb));
	kit_read_file(env, "/", SUPERBLOCK_NAME, &bytes);
	for (size_t len = 0; len < SUPERBLOCK_BYTES; len++) {
		kit_write_file(env, "/", SUPERBLOCK_NAME,
		               slice_make(bytes.data, len));
		ck_assert_int_ne(read_back(false, &got), LSM_OK);
	}
	ASSERT_OK(buf_append(&bytes, "", 1));
	kit_write_file(env, "/", SUPERBLOCK_NAME, buf_slice(&bytes));
	ASSERT_ERR(read_back(false, &got), CORRUPT);
	buf_release(&bytes);
}
END_TEST

START_TEST(folder_without_one_is_no_store)
{
	struct superblock got;

	ASSERT_ERR(read_back(false, &got), NOT_STORE);
	ck_assert_uint_eq(kit_log_errors(), 1);
	ck_assert(kit_log_has("/place", "not a shalefs store"));
}
END_TEST

START_TEST(newer_format_is_told_apart_from_damage)
{
	struct superblock got;

	write_changed(AT_VERSION, 2, 4);
	ASSERT_ERR(read_back(false, &got), NEWER);
	write_changed(AT_INCOMPAT, 1, 8);
	ASSERT_ERR(read_back(true, &got), NEWER);
	ck_assert_uint_eq(kit_log_errors(), 2);
	write_changed(AT_VERSION, 0, 4);
	ASSERT_ERR(read_back(false, &got), CORRUPT);
	write_changed(AT_OWNER_LEN, LSM_OWNER_AREA_BYTES + 1, 2);
	ASSERT_ERR(read_back(false, &got), CORRUPT);
}
END_TEST

START_TEST(feature_that_forbids_writing_still_allows_reading)
{
	struct superblock got;

	write_changed(AT_RO_COMPAT, 4, 8);
	ASSERT_OK(read_back(true, &got));
	ck_assert_uint_eq(kit_log_errors(), 0);
	ASSERT_ERR(read_back(false, &got), READ_ONLY);
	ck_assert_uint_eq(kit_log_errors(), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("superblock");
	TCase *tc = tcase_create("superblock");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_was_written_is_read);
	tcase_add_test(tc, owner_area_over_its_limit_is_refused);
	tcase_add_test(tc, any_flipped_byte_is_one_error_line);
	tcase_add_test(tc, file_of_another_length_is_refused);
	tcase_add_test(tc, folder_without_one_is_no_store);
	tcase_add_test(tc, newer_format_is_told_apart_from_damage);
	tcase_add_test(tc, feature_that_forbids_writing_still_allows_reading);
	suite_add_tcase(suite, tc);
	return kit_run(suite);
}
