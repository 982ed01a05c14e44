/* SPDX-License-Identifier: MIT */
/*
 * test_check.c: what fs_check() claims to find, it finds: each test damages a
 * store behind the filesystem's back in one way, and expects faults of the
 * class that names it, and of no other class where nothing else is wrong.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/chunk.h"
#include "fs/dir.h"
#include "fs/inode.h"
#include "fs_kit.h"

static struct kit kit;
static uint64_t dir, file, holey, small;

/* A tree with a bit of everything. */
static void setup(void)
{
	struct fs_attr attr;

	kit_init(&kit);
	kit_begin(&kit);
	dir = kit_dir(&kit, FS_ROOT_INO, "dir");
	file = kit_file(&kit, dir, "file");
	holey = kit_file(&kit, dir, "holey");
	small = kit_file(&kit, FS_ROOT_INO, "small");
	ck_assert_int_eq(kit_fill(&kit, file, 0, 200000, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, holey, 300000, 5000, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, small, 0, 100, 'a'), 0);
	ck_assert_int_eq(
	    fs_link(kit.fs, &kit.op, small, dir, slice_str("s"), &attr), 0);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, dir, slice_str("l"),
	                            slice_str("target"), &attr),
	                 0);
	ck_assert_int_eq(
	    fs_tmpfile(kit.fs, &kit.op, dir, S_IFREG | 0600, &attr), 0);
	ck_assert_int_eq(fs_setxattr(kit.fs, &kit.op, file, slice_str("user.x"),
	                             slice_str("y"), 0),
	                 0);
}

static void teardown(void)
{
	kit_end(&kit);
}

static struct inode load(uint64_t ino)
{
	struct inode inode;

	ck_assert_int_eq(inode_load(kit.fs, NULL, ino, &inode), 0);
	return inode;
}

/* All faults are of the class `prefix`, and there is one at least. */
static void expect_only(const char *prefix)
{
	uint64_t of_class = kit_faults(&kit, prefix);

	ck_assert_uint_gt(of_class, 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), of_class);
}

static void expect_class(const char *prefix)
{
	ck_assert_uint_gt(kit_faults(&kit, prefix), 0);
}

static void delete_chunk(uint64_t ino, uint64_t index)
{
	struct schema_key key;

	schema_chunk_key(&key, ino, index);
	kit_delete_raw(&kit, &key);
}

static void put_chunk(uint64_t ino, uint64_t index, const char *bytes)
{
	struct buf value = BUF_INIT;
	struct schema_key key;

	ck_assert_int_eq(chunk_encode(&value, slice_str(bytes)), LSM_OK);
	schema_chunk_key(&key, ino, index);
	kit_put_raw(&kit, &key, buf_slice(&value));
	buf_release(&value);
}

static void put_entry(uint64_t in, uint64_t cookie, const char *name,
                      uint64_t ino, uint32_t type)
{
	struct schema_dirent entry = {
	    .ino = ino, .type = type, .name = slice_str(name)};
	struct buf value = BUF_INIT;
	struct schema_key key;

	ck_assert_int_eq(schema_encode_dirent(&value, &entry), LSM_OK);
	schema_dirent_key(&key, in, cookie);
	kit_put_raw(&kit, &key, buf_slice(&value));
	buf_release(&value);
}

static uint64_t cookie_of(uint64_t in, const char *name)
{
	struct dir_spot spot;

	ck_assert_int_eq(dir_find(kit.fs, NULL, in, slice_str(name), &spot), 0);
	return spot.cookie;
}

static void put_orphan(uint64_t ino)
{
	struct schema_key key;

	schema_orphan_key(&key, ino);
	kit_put_raw(&kit, &key, slice_make(NULL, 0));
}

START_TEST(whole_tree_has_no_faults)
{
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	kit_crash(&kit);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

/* ---- dirent -------------------------------------------------------------- */

START_TEST(entry_that_names_nothing_is_found)
{
	struct schema_key key;

	schema_inode_key(&key, small, SCHEMA_ATTR);
	kit_delete_raw(&kit, &key);
	expect_class("dirent: directory");
}
END_TEST

START_TEST(entry_of_another_type_is_found)
{
	put_entry(dir, cookie_of(dir, "file"), "file", file, S_IFIFO);
	expect_only("dirent: ");
}
END_TEST

START_TEST(entry_that_is_not_where_its_hash_says_is_found)
{
	put_entry(dir, cookie_of(dir, "file"), "elif", file, S_IFREG);
	expect_only("dirent: ");
}
END_TEST

START_TEST(entry_above_an_empty_slot_is_found)
{
	struct schema_key key;
	uint64_t cookie = cookie_of(dir, "file");

	schema_dirent_key(&key, dir, cookie);
	kit_delete_raw(&kit, &key);
	put_entry(dir, cookie + 1, "file", file, S_IFREG);
	expect_only("dirent: ");
}
END_TEST

START_TEST(name_that_is_there_twice_is_found)
{
	put_entry(dir, cookie_of(dir, "file") + 1, "file", file, S_IFREG);
	expect_class("dirent: ");
	expect_class("link count: ");
	expect_class("size: directory");
}
END_TEST

START_TEST(hole_with_nothing_above_is_found)
{
	static const uint8_t hole[SCHEMA_DIRENT_HEAD_BYTES];
	struct schema_key key;

	schema_dirent_key(&key, dir, cookie_of(dir, "file") + 1);
	kit_put_raw(&kit, &key, slice_make(hole, sizeof(hole)));
	expect_only("dirent: ");
}
END_TEST

START_TEST(entry_in_what_is_no_directory_is_found)
{
	put_entry(file, dir_cookie(kit.fs, slice_str("x")), "x", small,
	          S_IFREG);
	expect_only("dirent: ");
}
END_TEST

START_TEST(directory_with_another_parent_is_found)
{
	uint64_t sub = kit_dir(&kit, dir, "sub");
	struct inode inode = load(sub);

	inode.parent = FS_ROOT_INO;
	kit_save_raw(&kit, &inode);
	expect_only("dirent: ");
}
END_TEST

START_TEST(directories_in_a_circle_are_found)
{
	uint64_t sub = kit_dir(&kit, dir, "sub");
	struct schema_key key;
	struct inode inode;

	/* dir moves from the root into its own subdirectory. */
	schema_dirent_key(&key, FS_ROOT_INO, cookie_of(FS_ROOT_INO, "dir"));
	kit_delete_raw(&kit, &key);
	put_entry(sub, dir_cookie(kit.fs, slice_str("dir")), "dir", dir,
	          S_IFDIR);
	inode = load(FS_ROOT_INO);
	inode.size -= INODE_DIRENT_BYTES;
	inode.nlink--;
	kit_save_raw(&kit, &inode);
	inode = load(sub);
	inode.size += INODE_DIRENT_BYTES;
	inode.nlink++;
	kit_save_raw(&kit, &inode);
	inode = load(dir);
	inode.parent = sub;
	kit_save_raw(&kit, &inode);
	expect_only("dirent: ");
}
END_TEST

/* ---- link count ---------------------------------------------------------- */

START_TEST(wrong_link_count_of_a_file_is_found)
{
	struct inode inode = load(small);

	inode.nlink = 3;
	kit_save_raw(&kit, &inode);
	expect_only("link count: ");
}
END_TEST

START_TEST(wrong_link_count_of_a_directory_is_found)
{
	struct inode inode = load(dir);

	inode.nlink = 3;
	kit_save_raw(&kit, &inode);
	expect_only("link count: ");
}
END_TEST

/* ---- orphan -------------------------------------------------------------- */

START_TEST(inode_without_name_or_record_is_found)
{
	struct inode inode = load(dir);
	struct schema_key key;

	schema_dirent_key(&key, dir, cookie_of(dir, "file"));
	kit_delete_raw(&kit, &key);
	inode.size -= INODE_DIRENT_BYTES;
	kit_save_raw(&kit, &inode);
	expect_only("orphan: ");
}
END_TEST

START_TEST(record_of_an_orphan_that_does_not_exist_is_found)
{
	put_orphan(99999999);
	expect_only("orphan: ");
	put_orphan(2);
	ck_assert_uint_eq(kit_faults(&kit, "orphan: "), 2);
}
END_TEST

START_TEST(record_of_an_orphan_that_has_links_is_found)
{
	put_orphan(file);
	expect_only("orphan: ");
}
END_TEST

START_TEST(orphan_without_its_record_is_found)
{
	struct fs_victim victim;
	struct schema_key key;

	ck_assert_int_eq(
	    fs_unlink(kit.fs, &kit.op, dir, slice_str("file"), &victim), 0);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	schema_orphan_key(&key, file);
	kit_delete_raw(&kit, &key);
	expect_only("orphan: ");
}
END_TEST

/* ---- size ---------------------------------------------------------------- */

START_TEST(chunk_past_the_size_is_found)
{
	struct inode inode = load(holey);

	put_chunk(holey, 100, "x");
	inode.alloc_bytes += 4096;
	kit_save_raw(&kit, &inode);
	ck_assert_uint_gt(kit_faults(&kit, "size: "), 0);
}
END_TEST

START_TEST(size_smaller_than_what_is_stored_is_found)
{
	struct inode inode = load(holey);

	inode.size = 301000;
	kit_save_raw(&kit, &inode);
	expect_only("size: ");
}
END_TEST

START_TEST(chunk_that_is_missing_is_found)
{
	delete_chunk(file, 1);
	ck_assert_uint_eq(kit_faults(&kit, "size: "), 2);
	/* And never read as zeros. */
	ck_assert(!kit_is_all(&kit, file, 65536, 100, 0));
}
END_TEST

START_TEST(chunk_that_is_too_short_is_found)
{
	put_chunk(file, 1, "short");
	expect_only("size: ");
	ck_assert(!kit_is_all(&kit, file, 65536 + 5, 100, 0));
}
END_TEST

START_TEST(chunks_of_nobody_are_found)
{
	put_chunk(5, 0, "x");
	put_chunk(5, 1, "x");
	put_chunk(99999999, 0, "x");
	ck_assert_uint_eq(kit_faults(&kit, "size: "), 2);
	ck_assert_uint_eq(kit_faults(&kit, ""), 2);
}
END_TEST

START_TEST(allocation_that_is_not_what_is_stored_is_found)
{
	struct inode inode = load(file);

	inode.alloc_bytes += 4096;
	kit_save_raw(&kit, &inode);
	expect_class("size: ");
	expect_class("counter: ");
}
END_TEST

START_TEST(inline_flag_that_is_wrong_is_found)
{
	struct inode inode = load(file);

	inode.flags |= SCHEMA_IS_INLINE;
	kit_save_raw(&kit, &inode);
	expect_only("size: ");
	inode = load(small);
	inode.flags &= (uint16_t)~SCHEMA_IS_INLINE;
	kit_save_raw(&kit, &inode);
	expect_only("size: ");
}
END_TEST

START_TEST(xattr_flag_that_is_wrong_is_found)
{
	struct inode inode = load(file);

	inode.flags &= (uint16_t)~SCHEMA_HAS_XATTR;
	kit_save_raw(&kit, &inode);
	expect_only("size: ");
}
END_TEST

START_TEST(target_of_another_length_is_found)
{
	struct schema_key key;
	uint64_t link;

	ck_assert_int_eq(kit_lookup(&kit, dir, "l", &link), 0);
	schema_inode_key(&key, link, SCHEMA_SYMLINK);
	kit_put_raw(&kit, &key, slice_str("longer than it was"));
	expect_only("size: ");
}
END_TEST

START_TEST(count_of_entries_that_is_wrong_is_found)
{
	struct inode inode = load(dir);

	inode.size += INODE_DIRENT_BYTES;
	kit_save_raw(&kit, &inode);
	expect_only("size: ");
}
END_TEST

START_TEST(contents_without_a_record_are_found)
{
	struct schema_key key;

	schema_xattr_key(&key, 77777777, slice_str("user.x"));
	kit_put_raw(&kit, &key, slice_str("y"));
	expect_only("size: ");
}
END_TEST

/* ---- counter ------------------------------------------------------------- */

static void count(enum schema_counter counter, int64_t delta)
{
	struct lsm_batch *batch = NULL;
	struct schema_key key;

	/* Some change that changes nothing. */
	schema_orphan_key(&key, 99999999);
	ck_assert_int_eq(lsm_batch_create(&batch), LSM_OK);
	ck_assert_int_eq(lsm_batch_delete(batch, schema_slice(&key)), LSM_OK);
	lsm_batch_count(batch, counter, delta);
	ck_assert_int_eq(lsm_write(kit.fs->store, batch, NULL, NULL), LSM_OK);
	lsm_batch_destroy(batch);
}

START_TEST(counters_that_are_wrong_are_found)
{
	count(SCHEMA_COUNT_USED_BYTES, 4096);
	expect_only("counter: ");
	count(SCHEMA_COUNT_USED_BYTES, -4096);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	count(SCHEMA_COUNT_INODES, -1);
	expect_only("counter: ");
	count(SCHEMA_COUNT_INODES, 1);
	count(SCHEMA_COUNT_NUMBERS, -kit_counter(&kit, SCHEMA_COUNT_NUMBERS));
	expect_only("counter: ");
}
END_TEST

/* ---- checksum ------------------------------------------------------------ */

START_TEST(record_that_cannot_be_read_is_found)
{
	struct schema_key key;
	struct fs_attr attr;

	schema_inode_key(&key, small, SCHEMA_ATTR);
	kit_put_raw(&kit, &key, slice_str("not a record"));
	expect_class("checksum: ");
	ck_assert_int_eq(fs_getattr(kit.fs, small, &attr), EIO);
}
END_TEST

/* Flip a bit in every table of the pool. */
static enum lsm_err damage(void *ctx, const char *name)
{
	struct env_dir *pool = ctx;
	struct env_file *copy = NULL;
	struct buf bytes = BUF_INIT;
	enum lsm_err err;

	if (strstr(name, ".sst") == NULL)
		return LSM_OK;
	err = env_read_file(pool, name, 1 << 24, &bytes);
	if (err == LSM_OK) {
		bytes.data[bytes.len / 2] ^= 1;
		err = env_unlink(pool, name);
	}
	if (err == LSM_OK)
		err = env_open(pool, name, ENV_CREATE, &copy);
	if (err == LSM_OK)
		err = env_write(copy, 0, bytes.data, bytes.len);
	if (err == LSM_OK)
		err = env_close(copy);
	buf_release(&bytes);
	return err;
}

START_TEST(flipped_bit_in_a_table_is_found)
{
	struct env_dir *pool = NULL;

	ck_assert_int_eq(lsm_flush(kit.fs->store), LSM_OK);
	kit_close(&kit);
	/* The cache of blocks goes with the runtime. */
	lsm_runtime_destroy(kit.runtime);
	ck_assert_int_eq(lsm_runtime_create(&kit.runtime_options, &kit.runtime),
	                 LSM_OK);
	ck_assert_int_eq(env_dir_open(kit.env, "/store/pool", &pool), LSM_OK);
	ck_assert_int_eq(pool->env->ops->dir_list(pool, damage, pool), LSM_OK);
	env_dir_close(pool);
	kit.options.read_only = true;
	kit_open(&kit);
	expect_class("checksum: ");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("check");
	TCase *tc = tcase_create("check");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, whole_tree_has_no_faults);
	tcase_add_test(tc, entry_that_names_nothing_is_found);
	tcase_add_test(tc, entry_of_another_type_is_found);
	tcase_add_test(tc, entry_that_is_not_where_its_hash_says_is_found);
	tcase_add_test(tc, entry_above_an_empty_slot_is_found);
	tcase_add_test(tc, name_that_is_there_twice_is_found);
	tcase_add_test(tc, hole_with_nothing_above_is_found);
	tcase_add_test(tc, entry_in_what_is_no_directory_is_found);
	tcase_add_test(tc, directory_with_another_parent_is_found);
	tcase_add_test(tc, directories_in_a_circle_are_found);
	tcase_add_test(tc, wrong_link_count_of_a_file_is_found);
	tcase_add_test(tc, wrong_link_count_of_a_directory_is_found);
	tcase_add_test(tc, inode_without_name_or_record_is_found);
	tcase_add_test(tc, record_of_an_orphan_that_does_not_exist_is_found);
	tcase_add_test(tc, record_of_an_orphan_that_has_links_is_found);
	tcase_add_test(tc, orphan_without_its_record_is_found);
	tcase_add_test(tc, chunk_past_the_size_is_found);
	tcase_add_test(tc, size_smaller_than_what_is_stored_is_found);
	tcase_add_test(tc, chunk_that_is_missing_is_found);
	tcase_add_test(tc, chunk_that_is_too_short_is_found);
	tcase_add_test(tc, chunks_of_nobody_are_found);
	tcase_add_test(tc, allocation_that_is_not_what_is_stored_is_found);
	tcase_add_test(tc, inline_flag_that_is_wrong_is_found);
	tcase_add_test(tc, xattr_flag_that_is_wrong_is_found);
	tcase_add_test(tc, target_of_another_length_is_found);
	tcase_add_test(tc, count_of_entries_that_is_wrong_is_found);
	tcase_add_test(tc, contents_without_a_record_are_found);
	tcase_add_test(tc, counters_that_are_wrong_are_found);
	tcase_add_test(tc, record_that_cannot_be_read_is_found);
	tcase_add_test(tc, flipped_bit_in_a_table_is_found);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
