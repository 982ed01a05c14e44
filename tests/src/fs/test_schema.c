/* SPDX-License-Identifier: MIT */
/*
 * test_schema.c: keys sort as the filesystem needs them, values come back as
 * they went in, and bytes that are not in the one right form are refused.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fs/schema.h"
#include "tests/support/gen.h"

enum { SEED = 41, ROUNDS = 200 };

static int compare(const struct schema_key *a, const struct schema_key *b)
{
	return slice_compare(schema_slice(a), schema_slice(b));
}

START_TEST(keys_sort_by_family_then_number_then_part)
{
	struct schema_key key[9];

	schema_inode_key(&key[0], 5, SCHEMA_ATTR);
	schema_inode_key(&key[1], 5, SCHEMA_INLINE);
	schema_inode_key(&key[2], 5, SCHEMA_SYMLINK);
	schema_xattr_key(&key[3], 5, slice_str("user.a"));
	schema_inode_key(&key[4], 256, SCHEMA_ATTR);
	schema_dirent_key(&key[5], 1, 16);
	schema_dirent_key(&key[6], 1, INT64_MAX);
	schema_orphan_key(&key[7], 1);
	schema_chunk_key(&key[8], 1, 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_lt(compare(&key[i], &key[i + 1]), 0);
}
END_TEST

START_TEST(chunks_of_a_file_sort_by_index)
{
	struct schema_key low, high;

	schema_chunk_key(&low, 7, 255);
	schema_chunk_key(&high, 7, 256);
	ck_assert_int_lt(compare(&low, &high), 0);
	schema_chunk_key(&high, 7, (UINT64_C(1) << 48) - 1);
	ck_assert_int_lt(compare(&low, &high), 0);
	schema_chunk_key(&low, 8, 0);
	ck_assert_int_lt(compare(&high, &low), 0);
}
END_TEST

START_TEST(keys_decode_to_what_they_were_made_of)
{
	struct schema_inode_part part;
	struct schema_key key;
	uint64_t a, b;

	schema_xattr_key(&key, 99, slice_str("user.x"));
	ck_assert_int_eq(schema_decode_inode_key(schema_slice(&key), &part), 0);
	ck_assert_uint_eq(part.ino, 99);
	ck_assert_int_eq(part.part, SCHEMA_XATTR);
	ck_assert(slice_equal(part.name, slice_str("user.x")));
	schema_dirent_key(&key, 3, 1234567);
	ck_assert_int_eq(schema_decode_dirent_key(schema_slice(&key), &a, &b),
	                 0);
	ck_assert_uint_eq(a, 3);
	ck_assert_uint_eq(b, 1234567);
	schema_chunk_key(&key, 12, 0x123456789a);
	ck_assert_int_eq(schema_decode_chunk_key(schema_slice(&key), &a, &b),
	                 0);
	ck_assert_uint_eq(a, 12);
	ck_assert_uint_eq(b, 0x123456789a);
	schema_orphan_key(&key, 77);
	ck_assert_int_eq(schema_decode_orphan_key(schema_slice(&key), &a), 0);
	ck_assert_uint_eq(a, 77);
}
END_TEST

START_TEST(keys_of_another_family_or_length_are_refused)
{
	struct schema_inode_part part;
	struct schema_key key;
	uint64_t a, b;

	schema_chunk_key(&key, 1, 1);
	ck_assert_int_ne(schema_decode_dirent_key(schema_slice(&key), &a, &b),
	                 0);
	key.len--;
	ck_assert_int_ne(schema_decode_chunk_key(schema_slice(&key), &a, &b),
	                 0);
	schema_inode_key(&key, 1, SCHEMA_ATTR);
	key.bytes[key.len++] = 'x'; /* only an xattr has a name */
	ck_assert_int_ne(schema_decode_inode_key(schema_slice(&key), &part), 0);
	schema_xattr_key(&key, 1, slice_make(NULL, 0));
	ck_assert_int_ne(schema_decode_inode_key(schema_slice(&key), &part), 0);
	schema_inode_key(&key, 1, (enum schema_part)9);
	ck_assert_int_ne(schema_decode_inode_key(schema_slice(&key), &part), 0);
}
END_TEST

static void random_inode(struct gen *gen, struct inode *inode)
{
	static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR,
	                                 S_IFBLK, S_IFIFO, S_IFSOCK};

	memset(inode, 0, sizeof(*inode));
	inode->ino = gen_u64(gen);
	inode->mode =
	    types[gen_below(gen, 7)] | (uint32_t)gen_below(gen, 010000);
	inode->flags = (uint16_t)gen_below(gen, SCHEMA_FLAGS_KNOWN + 1);
	inode->uid = (uint32_t)gen_u64(gen);
	inode->gid = (uint32_t)gen_u64(gen);
	inode->nlink = (uint32_t)gen_u64(gen);
	inode->rdev = gen_u64(gen);
	inode->size = gen_u64(gen) >> 1;
	inode->alloc_bytes = gen_u64(gen) >> 1;
	inode->atime.tv_sec = (time_t)gen_u64(gen);
	inode->mtime.tv_sec = -1;
	inode->ctime.tv_nsec = (long)gen_below(gen, 1000000000);
	inode->btime.tv_nsec = 999999999;
	inode->parent = gen_u64(gen);
	inode->change = gen_u64(gen);
}

START_TEST(inode_record_comes_back_as_it_was)
{
	uint8_t bytes[SCHEMA_INODE_BYTES];
	uint8_t again[SCHEMA_INODE_BYTES];
	struct inode in, out;
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int i = 0; i < ROUNDS; i++) {
		random_inode(&gen, &in);
		schema_encode_inode(bytes, &in);
		memset(&out, 0, sizeof(out));
		ck_assert_int_eq(
		    schema_decode_inode(slice_make(bytes, sizeof(bytes)),
		                        in.ino, &out),
		    LSM_OK);
		ck_assert_uint_eq(out.mode, in.mode);
		ck_assert_uint_eq(out.flags, in.flags);
		ck_assert_uint_eq(out.size, in.size);
		ck_assert_int_eq(out.mtime.tv_sec, -1);
		ck_assert_uint_eq(out.change, in.change);
		schema_encode_inode(again, &out);
		ck_assert_mem_eq(bytes, again, sizeof(bytes));
	}
}
END_TEST

static enum lsm_err decode_with(size_t at, uint8_t byte, size_t len)
{
	struct inode inode = {.mode = S_IFREG | 0644, .nlink = 1};
	uint8_t bytes[SCHEMA_INODE_BYTES + 1] = {0};

	schema_encode_inode(bytes, &inode);
	bytes[at] = byte;
	return schema_decode_inode(slice_make(bytes, len), 1, &inode);
}

START_TEST(inode_record_that_is_not_right_is_corrupt)
{
	const size_t len = SCHEMA_INODE_BYTES;

	ck_assert_int_eq(decode_with(0, SCHEMA_VERSION, len), LSM_OK);
	ck_assert_int_eq(decode_with(0, 2, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(1, 3, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(2, 0xff, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(6, 1, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(35, 0x80, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(55, 0xff, len), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(0, SCHEMA_VERSION, len - 1),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_with(0, SCHEMA_VERSION, len + 1),
	                 LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(dirent_comes_back_as_it_was)
{
	struct schema_dirent in = {
	    .ino = 44, .type = S_IFSOCK, .name = slice_str("socket")};
	struct schema_dirent out;
	struct buf value = BUF_INIT;

	ck_assert_int_eq(schema_encode_dirent(&value, &in), LSM_OK);
	ck_assert_int_eq(schema_decode_dirent(buf_slice(&value), &out), LSM_OK);
	ck_assert_uint_eq(out.ino, 44);
	ck_assert_uint_eq(out.type, S_IFSOCK);
	ck_assert(slice_equal(out.name, in.name));
	/* Without its name it is no entry, and no hole either. */
	value.len = SCHEMA_DIRENT_HEAD_BYTES;
	ck_assert_int_ne(schema_decode_dirent(buf_slice(&value), &out), LSM_OK);
	memset(value.data, 0, value.len);
	ck_assert_int_eq(schema_decode_dirent(buf_slice(&value), &out), LSM_OK);
	ck_assert_uint_eq(out.ino, 0);
	value.len--;
	ck_assert_int_ne(schema_decode_dirent(buf_slice(&value), &out), LSM_OK);
	buf_release(&value);
}
END_TEST

START_TEST(owner_area_is_told_from_others)
{
	struct schema_owner in = {.uid = 3, .gid = 4, .secret = {1, 2, 3}};
	uint8_t bytes[SCHEMA_OWNER_BYTES];
	struct slice area = slice_make(bytes, sizeof(bytes));
	struct schema_owner out;

	in.created.tv_sec = 1700000000;
	schema_encode_owner(bytes, &in);
	ck_assert_int_eq(schema_decode_owner(area, &out), LSM_OK);
	ck_assert_uint_eq(out.uid, 3);
	ck_assert_uint_eq(out.gid, 4);
	ck_assert_mem_eq(out.secret, in.secret, SCHEMA_SECRET_BYTES);
	ck_assert_int_eq(out.created.tv_sec, 1700000000);
	area.len--;
	ck_assert_int_eq(schema_decode_owner(area, &out), LSM_ERR_CORRUPT);
	area.len++;
	bytes[8] = 2;
	ck_assert_int_eq(schema_decode_owner(area, &out), LSM_ERR_NEWER);
	bytes[8] = SCHEMA_VERSION;
	bytes[10] = 17;
	ck_assert_int_eq(schema_decode_owner(area, &out), LSM_ERR_NEWER);
	bytes[0] = 'S';
	ck_assert_int_eq(schema_decode_owner(area, &out), LSM_ERR_NOT_STORE);
	ck_assert_int_eq(schema_decode_owner(slice_make(NULL, 0), &out),
	                 LSM_ERR_NOT_STORE);
}
END_TEST

START_TEST(cookies_leave_room_for_the_dots_and_fit_an_off_t)
{
	static const uint8_t secret[SCHEMA_SECRET_BYTES] = {9, 8, 7};
	char name[16];

	for (int i = 0; i < 1000; i++) {
		uint64_t cookie, narrow;

		snprintf(name, sizeof(name), "n%d", i);
		cookie = schema_cookie(secret, UINT64_MAX, slice_str(name));
		ck_assert_uint_ge(cookie, SCHEMA_SLOTS);
		ck_assert_uint_le(cookie, INT64_MAX - SCHEMA_SLOTS + 1);
		ck_assert_uint_eq(cookie % SCHEMA_SLOTS, 0);
		narrow = schema_cookie(secret, 1, slice_str(name));
		ck_assert_uint_eq(narrow, SCHEMA_SLOTS);
	}
}
END_TEST

START_TEST(cookies_depend_on_the_secret)
{
	static const uint8_t one[SCHEMA_SECRET_BYTES] = {1};
	static const uint8_t two[SCHEMA_SECRET_BYTES] = {2};

	ck_assert_uint_ne(schema_cookie(one, UINT64_MAX, slice_str("name")),
	                  schema_cookie(two, UINT64_MAX, slice_str("name")));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("schema");
	TCase *tc = tcase_create("schema");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, keys_sort_by_family_then_number_then_part);
	tcase_add_test(tc, chunks_of_a_file_sort_by_index);
	tcase_add_test(tc, keys_decode_to_what_they_were_made_of);
	tcase_add_test(tc, keys_of_another_family_or_length_are_refused);
	tcase_add_test(tc, inode_record_comes_back_as_it_was);
	tcase_add_test(tc, inode_record_that_is_not_right_is_corrupt);
	tcase_add_test(tc, dirent_comes_back_as_it_was);
	tcase_add_test(tc, owner_area_is_told_from_others);
	tcase_add_test(tc, cookies_leave_room_for_the_dots_and_fit_an_off_t);
	tcase_add_test(tc, cookies_depend_on_the_secret);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
