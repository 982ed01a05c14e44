/* SPDX-License-Identifier: MIT */
/*
 * test_data.c: forms of files, what writes store, holes, sizes, allocation.
 * What random sequences of these do is for test_model.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/data.h"
#include "fs/inode.h"
#include "fs_kit.h"

enum {
	PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	ZERO = FALLOC_FL_ZERO_RANGE,
};

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static struct kit kit;
static uint64_t ino;

static void setup(void)
{
	kit_init(&kit);
	kit_begin(&kit);
	ino = kit_file(&kit, FS_ROOT_INO, "f");
}

static void teardown(void)
{
	if (kit_faults(&kit, "") != 0)
		exit(EXIT_FAILURE);
	kit_end(&kit);
}

static uint16_t flags_now(void)
{
	struct inode inode;

	ck_assert_int_eq(inode_load(kit.fs, NULL, ino, &inode), 0);
	return inode.flags;
}

static bool chunk_exists(uint64_t index)
{
	struct schema_key key;

	schema_chunk_key(&key, ino, index);
	return kit_exists_raw(&kit, &key);
}

static uint64_t allocated(void)
{
	return kit_attr(&kit, ino).blocks * 512;
}

static int allocate(int mode, uint64_t offset, uint64_t len)
{
	return fs_fallocate(kit.fs, &kit.op, ino, mode, offset, len);
}

static uint64_t seek(uint64_t offset, int whence)
{
	uint64_t found;

	ck_assert_int_eq(fs_seek(kit.fs, ino, offset, whence, &found), 0);
	return found;
}

/* ---- forms --------------------------------------------------------------- */

START_TEST(small_file_lies_beside_its_record)
{
	struct schema_key key;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 4096, 'a'), 0);
	schema_inode_key(&key, ino, SCHEMA_INLINE);
	ck_assert(kit_exists_raw(&kit, &key));
	ck_assert(!chunk_exists(0));
	ck_assert_uint_eq(allocated(), 4096);
	ck_assert(kit_is_all(&kit, ino, 0, 4096, 'a'));
}
END_TEST

START_TEST(first_byte_past_the_limit_makes_it_one_of_chunks)
{
	struct schema_key key;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 4096, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, 4096, 1, 'b'), 0);
	schema_inode_key(&key, ino, SCHEMA_INLINE);
	ck_assert(!kit_exists_raw(&kit, &key));
	ck_assert(chunk_exists(0));
	ck_assert(kit_is_all(&kit, ino, 0, 4096, 'a'));
	ck_assert(kit_is_all(&kit, ino, 4096, 1, 'b'));
	ck_assert_uint_eq(allocated(), 8192);
}
END_TEST

START_TEST(inline_file_that_leaps_keeps_its_bytes)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, 200000, 100, 'b'), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 100, 'a'));
	ck_assert(kit_is_all(&kit, ino, 100, 199900, 0));
	ck_assert(kit_is_all(&kit, ino, 200000, 100, 'b'));
	ck_assert_uint_ne(flags_now() & SCHEMA_MAY_HAVE_HOLES, 0);
}
END_TEST

START_TEST(sequential_writes_leave_no_holes_and_gaps_do)
{
	for (uint64_t i = 0; i < 20; i++)
		ck_assert_int_eq(kit_fill(&kit, ino, i * 10000, 10000, 'a'), 0);
	/* A gap within the chunk that is written is stored as zeros. */
	ck_assert_int_eq(kit_fill(&kit, ino, 250000, 10, 'a'), 0);
	ck_assert_uint_eq(flags_now() & SCHEMA_MAY_HAVE_HOLES, 0);
	ck_assert_uint_eq(allocated(), 253952);
	ck_assert_int_eq(kit_fill(&kit, ino, 400000, 10, 'a'), 0);
	ck_assert_uint_ne(flags_now() & SCHEMA_MAY_HAVE_HOLES, 0);
	ck_assert(!chunk_exists(5));
}
END_TEST

START_TEST(file_cut_to_nothing_is_inline_again)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 400000, 10, 'a'), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 0), 0);
	ck_assert_uint_eq(flags_now(), SCHEMA_IS_INLINE);
	ck_assert_uint_eq(allocated(), 0);
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_USED_BYTES), 0);
	ck_assert(!chunk_exists(6));
}
END_TEST

START_TEST(many_small_writes_to_one_chunk_are_folded)
{
	struct schema_key key;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 65536, 'a'), 0);
	schema_chunk_key(&key, ino, 0);
	for (uint64_t i = 0; i < 100; i++) {
		ck_assert_int_eq(kit_fill(&kit, ino, 100 + i, 1, 'b'), 0);
		ck_assert_uint_le(
		    lsm_pending_merges(kit.fs->store, schema_slice(&key)), 8);
	}
	ck_assert(kit_is_all(&kit, ino, 0, 100, 'a'));
	ck_assert(kit_is_all(&kit, ino, 100, 100, 'b'));
	ck_assert(kit_is_all(&kit, ino, 200, 65336, 'a'));
}
END_TEST

START_TEST(zeros_that_are_written_are_allocated_but_small)
{
	struct buf value = BUF_INIT;
	struct schema_key key;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 131072, 0), 0);
	ck_assert_uint_eq(allocated(), 131072);
	schema_chunk_key(&key, ino, 1);
	ck_assert_int_eq(
	    lsm_get(kit.fs->store, NULL, schema_slice(&key), &value), LSM_OK);
	ck_assert_uint_eq(value.len, 5);
	ck_assert_uint_eq(seek(0, SEEK_HOLE), 131072);
	buf_release(&value);
}
END_TEST

/* ---- limits -------------------------------------------------------------- */

START_TEST(sizes_and_kinds_that_cannot_be_are_refused)
{
	struct fs_attr attr;
	size_t got;
	char byte = 0;

	ck_assert_int_eq(kit_write(&kit, ino, INT64_MAX, &byte, 1), EFBIG);
	ck_assert_int_eq(kit_write(&kit, ino, 0, &byte, FS_WRITE_MAX_BYTES + 1),
	                 EINVAL);
	ck_assert_int_eq(kit_truncate(&kit, ino, UINT64_C(1) << 63), EFBIG);
	ck_assert_int_eq(kit_truncate(&kit, FS_ROOT_INO, 0), EISDIR);
	ck_assert_int_eq(kit_write(&kit, FS_ROOT_INO, 0, &byte, 1), EISDIR);
	ck_assert_int_eq(fs_read(kit.fs, FS_ROOT_INO, 0, &byte, 1, &got),
	                 EISDIR);
	ck_assert_int_eq(fs_symlink(kit.fs, &kit.op, FS_ROOT_INO,
	                            slice_str("l"), slice_str("t"), &attr),
	                 0);
	ck_assert_int_eq(kit_truncate(&kit, attr.ino, 0), EINVAL);
	ck_assert_int_eq(kit_write(&kit, attr.ino, 0, &byte, 1), EINVAL);
}
END_TEST

START_TEST(last_byte_that_can_be_is_written_and_read)
{
	ck_assert_int_eq(kit_write(&kit, ino, INT64_MAX - 1, "x", 1), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, INT64_MAX);
	ck_assert(kit_is_all(&kit, ino, INT64_MAX - 1, 1, 'x'));
	ck_assert_uint_eq(seek(0, SEEK_DATA) / 65536,
	                  (uint64_t)(INT64_MAX - 1) / 65536);
	/* And taken away without looking at what is not there. */
	ck_assert_int_eq(kit_truncate(&kit, ino, 1), 0);
	ck_assert_uint_eq(allocated(), 0);
}
END_TEST

START_TEST(read_past_the_end_is_short)
{
	char bytes[10];
	size_t got;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 5, 'a'), 0);
	ck_assert_int_eq(fs_read(kit.fs, ino, 2, bytes, 10, &got), 0);
	ck_assert_uint_eq(got, 3);
	ck_assert_int_eq(fs_read(kit.fs, ino, 5, bytes, 10, &got), 0);
	ck_assert_uint_eq(got, 0);
}
END_TEST

START_TEST(empty_write_changes_nothing)
{
	struct fs_attr before = kit_attr(&kit, ino);
	struct fs_attr after;

	ck_assert_int_eq(kit_write(&kit, ino, 100, "", 0), 0);
	after = kit_attr(&kit, ino);
	ck_assert_uint_eq(after.size, 0);
	ck_assert_int_eq(after.mtime.tv_nsec, before.mtime.tv_nsec);
}
END_TEST

/* ---- sizes --------------------------------------------------------------- */

START_TEST(growing_stores_nothing_and_reads_as_zeros)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10, 'a'), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 100 * GIB), 0);
	ck_assert_uint_eq(allocated(), 4096);
	ck_assert(kit_is_all(&kit, ino, 0, 10, 'a'));
	ck_assert(kit_is_all(&kit, ino, 10, 100000, 0));
	ck_assert(kit_is_all(&kit, ino, 100 * GIB - 10, 10, 0));
	ck_assert_uint_eq(seek(5, SEEK_HOLE), 4096);
}
END_TEST

START_TEST(what_was_cut_off_does_not_come_back)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 200000, 'a'), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 70000), 0);
	ck_assert_uint_eq(allocated(), 65536 + 8192);
	ck_assert_int_eq(kit_truncate(&kit, ino, 200000), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 70000, 'a'));
	ck_assert(kit_is_all(&kit, ino, 70000, 130000, 0));
	/* The same in an inline file. */
	ck_assert_int_eq(kit_truncate(&kit, ino, 0), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 4000, 'a'), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 100), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, 4000), 0);
	ck_assert(kit_is_all(&kit, ino, 100, 3900, 0));
}
END_TEST

/* Entries that went into batches since the last call. */
static uint64_t entries_written(void)
{
	static uint64_t before;
	uint64_t now = lsm_sequence(fs_store(kit.fs));
	uint64_t written = now - before;

	before = now;
	return written;
}

/* Cut in the middle, cut to nothing, and deleted: what each writes. */
static void cut_and_delete(const char *name, uint64_t bytes, bool holes,
                           uint64_t written[3])
{
	ino = kit_file(&kit, FS_ROOT_INO, name);
	for (uint64_t at = 0; at < bytes; at += MIB)
		ck_assert_int_eq(kit_fill(&kit, ino, at, MIB, 'a'), 0);
	if (holes)
		ck_assert_int_eq(allocate(PUNCH, 0, 65536), 0);
	entries_written();
	ck_assert_int_eq(kit_truncate(&kit, ino, bytes / 2 + 100), 0);
	written[0] = entries_written();
	ck_assert_uint_eq(allocated(), bytes / 2 + 4096 - 65536 * holes);
	ck_assert_int_eq(kit_truncate(&kit, ino, 0), 0);
	written[1] = entries_written();
	ck_assert_uint_eq(allocated(), 0);
	for (uint64_t at = 0; at < bytes; at += MIB)
		ck_assert_int_eq(kit_fill(&kit, ino, at, MIB, 'b'), 0);
	entries_written();
	ck_assert_int_eq(kit_unlink(&kit, FS_ROOT_INO, name), 0);
	written[2] = entries_written();
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_USED_BYTES), 0);
}

START_TEST(cutting_and_deleting_write_as_little_whatever_the_size)
{
	uint64_t small[3], large[3];

	for (int holes = 0; holes < 2; holes++) {
		cut_and_delete("small", 4 * MIB, holes, small);
		cut_and_delete("large", 96 * MIB, holes, large);
		for (int i = 0; i < 3; i++)
			ck_assert_uint_eq(small[i], large[i]);
		/* A range, the chunk that stays in part, the record. */
		ck_assert_uint_eq(large[0], 3);
		ck_assert_uint_eq(large[1], 2);
		/* The name, the directory; record, range, orphan's record. */
		ck_assert_uint_le(large[2], 8);
	}
	/* A few go one by one, and leave readers alone. */
	cut_and_delete("tiny", MIB, false, small);
	ck_assert_uint_eq(small[1], 8 + 1 + 1);
	ino = kit_file(&kit, FS_ROOT_INO, "last");
}
END_TEST

START_TEST(large_punch_in_the_middle_is_one_range)
{
	uint64_t written[2];

	for (int holes = 0; holes < 2; holes++) {
		for (uint64_t at = 0; at < 40 * MIB; at += MIB)
			ck_assert_int_eq(kit_fill(&kit, ino, at, MIB, 'a'), 0);
		entries_written();
		ck_assert_int_eq(allocate(PUNCH, MIB + 100, 2 * MIB), 0);
		written[0] = entries_written();
		ck_assert_int_eq(allocate(PUNCH, 5 * MIB + 100, 30 * MIB), 0);
		written[1] = entries_written();
		/* One chunk trimmed, one cleared, the record; and what is
		   between one by one, or as a range. */
		ck_assert_uint_eq(written[0], 3 + 31);
		ck_assert_uint_eq(written[1], 3 + 1);
		ck_assert_uint_eq(allocated(), 8 * MIB + 2 * 4096);
		ck_assert(kit_is_all(&kit, ino, MIB, 100, 'a'));
		ck_assert(kit_is_all(&kit, ino, MIB + 100, 2 * MIB, 0));
		ck_assert(kit_is_all(&kit, ino, 3 * MIB + 100, MIB, 'a'));
		ck_assert(kit_is_all(&kit, ino, 5 * MIB + 100, MIB, 0));
		ck_assert(kit_is_all(&kit, ino, 35 * MIB + 100, MIB, 'a'));
	}
}
END_TEST

START_TEST(cut_of_many_chunks_between_holes_goes_in_steps)
{
	const uint64_t count = DATA_CUT_MAX_CHUNKS + 1000;
	struct inode inode;

	/* As if written: that many chunks of zeros. */
	ck_assert_int_eq(kit_truncate(&kit, ino, 1), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 65536, 0), 0);
	for (uint64_t i = 1; i < count; i++)
		ck_assert_int_eq(kit_fill(&kit, ino, i * 65536, 65536, 0), 0);
	ck_assert_uint_eq(allocated(), count * 65536);
	ck_assert_int_eq(kit_truncate(&kit, ino, 100), 0);
	ck_assert_int_eq(inode_load(kit.fs, NULL, ino, &inode), 0);
	ck_assert_uint_eq(inode.size, 100);
	ck_assert_uint_eq(allocated(), 4096);
	ck_assert(!chunk_exists(1) && !chunk_exists(count - 1));
	ck_assert_int_eq(kit_counter(&kit, SCHEMA_COUNT_USED_BYTES), 4096);
}
END_TEST

/* ---- holes --------------------------------------------------------------- */

START_TEST(punch_frees_whole_chunks_and_zeroes_the_rest)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 5 * 65536, 'a'), 0);
	ck_assert_int_eq(allocate(PUNCH, 65536 - 100, 2 * 65536 + 200), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 5 * 65536);
	ck_assert(!chunk_exists(1) && !chunk_exists(2));
	ck_assert(chunk_exists(0) && chunk_exists(3));
	ck_assert(kit_is_all(&kit, ino, 0, 65436, 'a'));
	ck_assert(kit_is_all(&kit, ino, 65436, 131272, 0));
	ck_assert(kit_is_all(&kit, ino, 196708, 65536 * 2 - 100, 'a'));
	ck_assert_uint_eq(allocated(), 3 * 65536);
	ck_assert_uint_eq(seek(0, SEEK_HOLE), 65536);
	ck_assert_uint_eq(seek(65536, SEEK_DATA), 3 * 65536);
	ck_assert_uint_eq(seek(3 * 65536, SEEK_HOLE), 5 * 65536);
}
END_TEST

START_TEST(punch_to_the_end_of_what_is_stored_shortens_it)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 60000, 'a'), 0);
	ck_assert_int_eq(allocate(PUNCH, 10000, 100000), 0);
	ck_assert_uint_eq(allocated(), 12288);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 60000);
	ck_assert(kit_is_all(&kit, ino, 10000, 50000, 0));
	ck_assert_int_eq(allocate(PUNCH, 0, 60000), 0);
	ck_assert_uint_eq(allocated(), 0);
	ck_assert(!chunk_exists(0));
}
END_TEST

START_TEST(fallocate_keeps_to_its_modes)
{
	ck_assert_int_eq(allocate(0, 0, 0), EINVAL);
	ck_assert_int_eq(allocate(0, INT64_MAX, 1), EFBIG);
	ck_assert_int_eq(allocate(FALLOC_FL_PUNCH_HOLE, 0, 1), EOPNOTSUPP);
	ck_assert_int_eq(allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
	                 EOPNOTSUPP);
	ck_assert_int_eq(allocate(0, 1000, 9000), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 10000);
	ck_assert_int_eq(allocate(FALLOC_FL_KEEP_SIZE, 0, 90000), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 10000);
	ck_assert_int_eq(allocate(PUNCH, 0, 90000), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 10000);
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10000, 'a'), 0);
	ck_assert_int_eq(allocate(ZERO, 5000, 70000), 0);
	ck_assert_uint_eq(kit_attr(&kit, ino).size, 75000);
	ck_assert(kit_is_all(&kit, ino, 0, 5000, 'a'));
	ck_assert(kit_is_all(&kit, ino, 5000, 70000, 0));
}
END_TEST

START_TEST(zero_range_past_an_inline_file_zeroes_what_it_had)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 1849, 'a'), 0);
	ck_assert_int_eq(allocate(ZERO, 500, 150000), 0);
	ck_assert(kit_is_all(&kit, ino, 0, 500, 'a'));
	ck_assert(kit_is_all(&kit, ino, 500, 150000, 0));
}
END_TEST

START_TEST(seek_past_the_end_finds_nothing)
{
	uint64_t found;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 100, 'a'), 0);
	ck_assert_int_eq(kit_truncate(&kit, ino, MIB), 0);
	ck_assert_int_eq(fs_seek(kit.fs, ino, MIB, SEEK_HOLE, &found), ENXIO);
	ck_assert_int_eq(fs_seek(kit.fs, ino, MIB, SEEK_DATA, &found), ENXIO);
	ck_assert_int_eq(fs_seek(kit.fs, ino, 70000, SEEK_DATA, &found), ENXIO);
	ck_assert_int_eq(fs_seek(kit.fs, ino, 0, SEEK_CUR, &found), EINVAL);
	ck_assert_uint_eq(seek(70000, SEEK_HOLE), 70000);
}
END_TEST

/* ---- copies -------------------------------------------------------------- */

static uint64_t copy(uint64_t from_offset, uint64_t to, uint64_t to_offset,
                     uint64_t len, int want)
{
	uint64_t copied;

	ck_assert_int_eq(fs_copy_range(kit.fs, &kit.op, ino, from_offset, to,
	                               to_offset, len, &copied),
	                 want);
	return copied;
}

START_TEST(copy_ends_at_the_end_of_the_source_and_at_a_limit)
{
	uint64_t to = kit_file(&kit, FS_ROOT_INO, "g");

	ck_assert_int_eq(kit_fill(&kit, ino, 0, MIB, 'a'), 0);
	ck_assert_int_eq(kit_fill(&kit, ino, MIB, 100, 'b'), 0);
	ck_assert_uint_eq(copy(0, to, 50, 4 * MIB, 0), FS_COPY_MAX_BYTES);
	ck_assert_uint_eq(copy(MIB - 10, to, MIB + 40, MIB, 0), 110);
	ck_assert_uint_eq(kit_attr(&kit, to).size, MIB + 150);
	ck_assert(kit_is_all(&kit, to, 0, 50, 0));
	ck_assert(kit_is_all(&kit, to, 50, MIB, 'a'));
	ck_assert(kit_is_all(&kit, to, MIB + 50, 100, 'b'));
	ck_assert_uint_eq(copy(2 * MIB, to, 0, 10, 0), 0);
}
END_TEST

START_TEST(copy_within_a_file_refuses_to_overlap)
{
	ck_assert_int_eq(kit_fill(&kit, ino, 0, 1000, 'a'), 0);
	ck_assert_uint_eq(copy(0, ino, 500, 501, EINVAL), 0);
	ck_assert_uint_eq(copy(0, ino, 1000, 1000, 0), 1000);
	ck_assert(kit_is_all(&kit, ino, 0, 2000, 'a'));
	ck_assert_uint_eq(copy(0, FS_ROOT_INO, 0, 10, EISDIR), 0);
}
END_TEST

START_TEST(cut_times_the_file_and_sets_what_else_was_asked)
{
	struct fs_attr set = {.mode = 0600, .size = 3};
	struct fs_attr attr;

	ck_assert_int_eq(kit_fill(&kit, ino, 0, 10, 'a'), 0);
	ck_assert_int_eq(fs_setattr(kit.fs, &kit.op, ino,
	                            FS_SET_SIZE | FS_SET_MODE | FS_SET_MTIME,
	                            &set, &attr),
	                 0);
	ck_assert_uint_eq(attr.size, 3);
	ck_assert_uint_eq(attr.mode, S_IFREG | 0600);
	ck_assert_int_eq(attr.mtime.tv_sec, 0);
	ck_assert_int_gt(attr.ctime.tv_sec, 1600000000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("data");
	TCase *tc = tcase_create("data");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, small_file_lies_beside_its_record);
	tcase_add_test(tc, first_byte_past_the_limit_makes_it_one_of_chunks);
	tcase_add_test(tc, inline_file_that_leaps_keeps_its_bytes);
	tcase_add_test(tc, sequential_writes_leave_no_holes_and_gaps_do);
	tcase_add_test(tc, file_cut_to_nothing_is_inline_again);
	tcase_add_test(tc, many_small_writes_to_one_chunk_are_folded);
	tcase_add_test(tc, zeros_that_are_written_are_allocated_but_small);
	tcase_add_test(tc, sizes_and_kinds_that_cannot_be_are_refused);
	tcase_add_test(tc, last_byte_that_can_be_is_written_and_read);
	tcase_add_test(tc, read_past_the_end_is_short);
	tcase_add_test(tc, empty_write_changes_nothing);
	tcase_add_test(tc, growing_stores_nothing_and_reads_as_zeros);
	tcase_add_test(tc, what_was_cut_off_does_not_come_back);
	tcase_add_test(tc,
	               cutting_and_deleting_write_as_little_whatever_the_size);
	tcase_add_test(tc, large_punch_in_the_middle_is_one_range);
	tcase_add_test(tc, cut_of_many_chunks_between_holes_goes_in_steps);
	tcase_add_test(tc, punch_frees_whole_chunks_and_zeroes_the_rest);
	tcase_add_test(tc, punch_to_the_end_of_what_is_stored_shortens_it);
	tcase_add_test(tc, fallocate_keeps_to_its_modes);
	tcase_add_test(tc, zero_range_past_an_inline_file_zeroes_what_it_had);
	tcase_add_test(tc, seek_past_the_end_finds_nothing);
	tcase_add_test(tc, copy_ends_at_the_end_of_the_source_and_at_a_limit);
	tcase_add_test(tc, copy_within_a_file_refuses_to_overlap);
	tcase_add_test(tc, cut_times_the_file_and_sets_what_else_was_asked);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
