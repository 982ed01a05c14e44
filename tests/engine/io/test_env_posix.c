/* SPDX-License-Identifier: MIT */
/*
 * test_env_posix.c: a system that writes short, is interrupted, or lacks a
 * call. The program defines the calls itself, so that the linker takes these
 * instead of the C library's.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "io/env.h"
#include "tests/support/tmp.h"

static struct tmp tmp;
static struct env_dir *root;
static char last_line[LOG_LINE_MAX_BYTES + 1];
static unsigned lines;

/* What the calls below do. */
static size_t max_step;        /* bytes that a read or write moves; 0: all */
static unsigned interruptions; /* so many EINTR first */
static int write_errno, sync_errno, link_errno, noreplace_errno;
static int fallocate_errno;
static off_t fallocate_part; /* bytes that a failing one leaves reserved */
static int cached_errno;     /* of a read that is not to wait; 0: it reads */
static size_t cached_bytes;  /* that are cached of each read; 0: all */
static unsigned calls;

static unsigned advised; /* how often neighbours were asked for; which, last */
static off_t advised_offset, advised_len;

static bool is_interrupted(void)
{
	calls++;
	if (interruptions == 0)
		return false;
	interruptions--;
	errno = EINTR;
	return true;
}

static size_t step_of(size_t len)
{
	return max_step != 0 && len > max_step ? max_step : len;
}

static int fail_with(int sys)
{
	errno = sys;
	return -1;
}

ssize_t pread(int fd, void *data, size_t len, off_t offset)
{
	if (is_interrupted())
		return -1;
	return syscall(SYS_pread64, fd, data, step_of(len), offset);
}

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset,
                int flags)
{
	size_t len = parts[0].iov_len;

	if (count != 1 || flags != RWF_NOWAIT)
		return fail_with(EINVAL);
	if (cached_errno != 0)
		return fail_with(cached_errno);
	if (cached_bytes != 0 && len > cached_bytes)
		len = cached_bytes;
	return syscall(SYS_pread64, fd, parts[0].iov_base, len, offset);
}

int posix_fadvise(int fd, off_t offset, off_t len, int advice)
{
	(void)fd;
	if (advice != POSIX_FADV_WILLNEED)
		return 0;
	advised++;
	advised_offset = offset;
	advised_len = len;
	return EIO; /* nobody is to mind */
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
	if (is_interrupted())
		return -1;
	if (write_errno != 0)
		return fail_with(write_errno);
	return syscall(SYS_pwrite64, fd, data, step_of(len), offset);
}

int fdatasync(int fd)
{
	if (is_interrupted())
		return -1;
	if (sync_errno != 0)
		return fail_with(sync_errno);
	return (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (is_interrupted())
		return -1;
	if (fallocate_part != 0 &&
	    syscall(SYS_fallocate, fd, mode, offset, fallocate_part) != 0)
		return -1;
	if (fallocate_errno != 0)
		return fail_with(fallocate_errno);
	return (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int linkat(int from, const char *from_name, int to, const char *to_name,
           int flags)
{
	calls++;
	if (link_errno != 0)
		return fail_with(link_errno);
	return (int)syscall(SYS_linkat, from, from_name, to, to_name, flags);
}

int renameat2(int from, const char *from_name, int to, const char *to_name,
              unsigned flags)
{
	calls++;
	if (flags != 0 && noreplace_errno != 0)
		return fail_with(noreplace_errno);
	return (int)syscall(SYS_renameat2, from, from_name, to, to_name, flags);
}

static void keep_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	snprintf(last_line, sizeof(last_line), "%s", line);
	lines++;
}

static void ok(enum lsm_err err)
{
	ck_assert_msg(err == LSM_OK, "%s", lsm_strerror(err));
}

static void setup(void)
{
	log_set_sink(keep_line, NULL);
	lines = 0;
	max_step = 0;
	interruptions = 0;
	calls = 0;
	write_errno = 0;
	sync_errno = 0;
	link_errno = 0;
	noreplace_errno = 0;
	fallocate_errno = 0;
	fallocate_part = 0;
	cached_errno = 0;
	cached_bytes = 0;
	advised = 0;
	tmp_make(&tmp);
	ok(env_dir_open(env_posix(), tmp.path, &root));
}

static void teardown(void)
{
	env_dir_close(root);
	tmp_remove(&tmp);
}

static struct env_file *create(const char *name)
{
	struct env_file *file;

	ok(env_open(root, name, ENV_CREATE, &file));
	return file;
}

static void put(const char *name, const char *text)
{
	struct env_file *file = create(name);

	ok(env_write(file, 0, text, strlen(text)));
	ok(env_close(file));
}

static bool holds(const char *name, const char *text)
{
	struct buf got = BUF_INIT;
	bool same = env_read_file(root, name, 1 << 20, &got) == LSM_OK &&
	            slice_equal(buf_slice(&got), slice_str(text));

	buf_release(&got);
	return same;
}

static unsigned mode_of(const char *name)
{
	char *path = tmp_path(&tmp, name);
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	free(path);
	return st.st_mode & 07777;
}

START_TEST(short_and_interrupted_calls_move_all_bytes)
{
	struct env_file *file = create("f");
	char got[11] = "";
	size_t len;

	max_step = 3;
	interruptions = 2;
	ok(env_write(file, 0, "0123456789", 10));
	ck_assert_uint_eq(calls, 6);
	interruptions = 2;
	cached_errno = EAGAIN;
	ok(env_read(file, 0, got, 10, &len));
	ck_assert_uint_eq(len, 10);
	ck_assert_str_eq(got, "0123456789");
	interruptions = 1;
	ok(env_sync(file));
	interruptions = 1;
	ok(env_preallocate(file, 0, 100));
	ok(env_close(file));
	ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(a_read_that_must_wait_fetches_its_neighbourhood)
{
	enum {
		BYTES = 400000,
		AT = 300001,
		LEN = 5000,
		NEAR = 128 << 10,
		ALONE = 20000,
	};
	static uint8_t bytes[BYTES], got[BYTES];
	struct env_file *file = create("f");
	size_t len;

	for (size_t i = 0; i < BYTES; i++)
		bytes[i] = (uint8_t)(i * 7 / 3);
	ok(env_write(file, 0, bytes, BYTES));
	for (int i = 0; i < 4; i++) {
		/* All is cached, a part, nothing, or nobody knows. */
		cached_bytes = i == 1 ? 1234 : 0;
		cached_errno = i == 2 ? EAGAIN : i == 3 ? EOPNOTSUPP : 0;
		advised = 0;
		ok(env_read(file, AT, got, LEN, &len));
		ck_assert_uint_eq(len, LEN);
		ck_assert_mem_eq(got, bytes + AT, LEN);
		/* What is waited for, and what is about it. */
		ck_assert_uint_eq(advised, i == 1 || i == 2 ? 2 : 0);
		if (i == 1) {
			ck_assert_int_eq(advised_offset, AT / NEAR * NEAR);
			ck_assert_int_eq(advised_len, NEAR);
		}
	}
	/* A large read costs as much for itself: a chunk, or all. */
	for (size_t large = ALONE; large <= BYTES; large += BYTES - ALONE) {
		advised = 0;
		cached_errno = EAGAIN;
		ok(env_read(file, 0, got, large, &len));
		ck_assert_uint_eq(len, large);
		ck_assert_mem_eq(got, bytes, large);
		ck_assert_uint_eq(advised, 0);
	}
	ok(env_close(file));
	ck_assert_uint_eq(lines, 0);
}
END_TEST

/* Read bytes that are not cached, and see how many are fetched about them. */
static void read_cold(struct env_file *file, uint64_t at, off_t near_bytes)
{
	uint8_t got[5000];
	size_t len;

	cached_errno = EAGAIN;
	advised = 0;
	ok(env_read(file, at, got, sizeof(got), &len));
	ck_assert_uint_eq(len, sizeof(got));
	ck_assert_uint_eq(advised, near_bytes == 0 ? 0 : 2);
	if (near_bytes != 0) {
		ck_assert_int_eq(advised_len, near_bytes);
		ck_assert_int_eq(advised_offset,
		                 (off_t)at / near_bytes * near_bytes);
	}
}

START_TEST(neighbourhoods_grow_until_they_are_fetched_in_vain)
{
	enum { BYTES = 400000, KIB = 1 << 10 };
	static uint8_t bytes[BYTES];
	struct env_file *file = create("f");

	ok(env_write(file, 0, bytes, BYTES));
	read_cold(file, 300001, 128 * KIB);
	read_cold(file, 1, 256 * KIB);
	read_cold(file, 200000, 512 * KIB);
	/* That was more than twice the file. The excess of 117,504 bytes is made
	   up for by what is read without. */
	for (unsigned i = 0; i < 24; i++)
		read_cold(file, i * 5000, 0);
	read_cold(file, 390000, 1024 * KIB);
	for (unsigned i = 0; i < 200; i++)
		read_cold(file, i * 1000, 0);
	ok(env_close(file));
	ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(a_failure_is_one_line_with_folder_name_and_reason)
{
	struct env_file *file = create("f");

	write_errno = ENOSPC;
	ck_assert_int_eq(env_write(file, 0, "1", 1), LSM_ERR_NOSPACE);
	ck_assert_uint_eq(lines, 1);
	ck_assert_ptr_nonnull(strstr(last_line, tmp.path));
	ck_assert_ptr_nonnull(strstr(last_line, "/f: cannot write"));
	ck_assert_ptr_nonnull(strstr(last_line, strerror(ENOSPC)));
	sync_errno = EIO;
	ck_assert_int_eq(env_sync(file), LSM_ERR_IO);
	ck_assert_uint_eq(lines, 2);
	ck_assert_ptr_nonnull(strstr(last_line, "/f: cannot sync"));
	ok(env_close(file));
}
END_TEST

START_TEST(what_is_missing_or_there_is_not_logged)
{
	struct env_file *file;

	put("f", "1");
	ck_assert_int_eq(env_open(root, "g", ENV_READ, &file),
	                 LSM_ERR_NOT_FOUND);
	ck_assert_int_eq(env_open(root, "f", ENV_CREATE, &file),
	                 LSM_ERR_EXISTS);
	ck_assert_int_eq(env_unlink(root, "g"), LSM_ERR_NOT_FOUND);
	ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(a_refused_link_says_so_unlogged)
{
	static const int refusals[] = {EXDEV, EMLINK, EPERM, EOPNOTSUPP};

	put("f", "1");
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		link_errno = refusals[i];
		ck_assert_int_eq(env_link(root, "f", root, "g"),
		                 LSM_ERR_NO_LINK);
	}
	ck_assert_uint_eq(lines, 0);
	link_errno = ENOSPC; /* a copy would meet that too */
	ck_assert_int_eq(env_link(root, "f", root, "g"), LSM_ERR_NOSPACE);
	ck_assert_uint_eq(lines, 1);
}
END_TEST

START_TEST(rename_without_replacing_needs_no_support)
{
	static const int refusals[] = {EINVAL, ENOSYS};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		noreplace_errno = refusals[i];
		put("a", "1");
		put("b", "2");
		calls = 0;
		ck_assert_int_eq(env_rename(root, "a", root, "b", true),
		                 LSM_ERR_EXISTS);
		ck_assert_uint_eq(calls, 1);
		ck_assert(holds("a", "1"));
		ck_assert(holds("b", "2"));
		ok(env_rename(root, "a", root, "c", true));
		ck_assert(holds("c", "1"));
		ok(env_unlink(root, "b"));
		ok(env_unlink(root, "c"));
	}
	ck_assert_uint_eq(lines, 0);
}
END_TEST

START_TEST(missing_preallocation_is_not_supported_unlogged)
{
	struct env_file *file = create("f");
	uint64_t size;

	fallocate_errno = EOPNOTSUPP;
	ck_assert_int_eq(env_preallocate(file, 0, 10), LSM_ERR_NOT_SUPPORTED);
	ck_assert_uint_eq(lines, 0);
	fallocate_errno = ENOSPC;
	ck_assert_int_eq(env_preallocate(file, 0, 10), LSM_ERR_NOSPACE);
	ck_assert_uint_eq(lines, 1);
	ok(env_size(file, &size));
	ck_assert_uint_eq(size, 0);
	ok(env_close(file));
}
END_TEST

/* As ext4 leaves it. */
START_TEST(preallocation_that_fails_midway_leaves_the_size)
{
	struct env_file *file = create("f");
	char got[8];
	uint64_t size;
	size_t len;

	ok(env_write(file, 0, "12345", 5));
	fallocate_part = 4096;
	fallocate_errno = ENOSPC;
	ck_assert_int_eq(env_preallocate(file, 2, 10000), LSM_ERR_NOSPACE);
	ok(env_size(file, &size));
	ck_assert_uint_eq(size, 5);
	ok(env_read(file, 0, got, sizeof(got), &len));
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(got, "12345", 5);
	ok(env_close(file));
}
END_TEST

START_TEST(modes_keep_others_out)
{
	struct env_file *file;

	umask(0);
	ok(env_dir_make(root, "d"));
	ck_assert_uint_eq(mode_of("d"), 0700);
	file = create("f");
	ck_assert_uint_eq(mode_of("f"), 0600);
	ok(env_seal(file));
	ck_assert_uint_eq(mode_of("f"), 0400);
	ok(env_close(file));
	ok(env_dir_lock(root, "LOCK", false, &file));
	ck_assert_uint_eq(mode_of("LOCK"), 0600);
	ok(env_close(file));
}
END_TEST

START_TEST(a_symbolic_link_is_not_followed)
{
	char *path = tmp_path(&tmp, "d/l");
	struct env_dir *dir;

	put("f", "1");
	ok(env_dir_make(root, "d"));
	ok(env_dir_make(root, "target"));
	ck_assert_int_eq(symlink("../target", path), 0);
	ok(env_dir_open_at(root, "d", &dir));
	env_dir_close(dir);
	ok(env_remove_tree(root, "d"));
	ok(env_dir_open_at(root, "target", &dir));
	env_dir_close(dir);
	free(path);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("env_posix");
	TCase *tc = tcase_create("system");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, short_and_interrupted_calls_move_all_bytes);
	tcase_add_test(tc, a_read_that_must_wait_fetches_its_neighbourhood);
	tcase_add_test(tc, neighbourhoods_grow_until_they_are_fetched_in_vain);
	tcase_add_test(tc, a_failure_is_one_line_with_folder_name_and_reason);
	tcase_add_test(tc, what_is_missing_or_there_is_not_logged);
	tcase_add_test(tc, a_refused_link_says_so_unlogged);
	tcase_add_test(tc, rename_without_replacing_needs_no_support);
	tcase_add_test(tc, missing_preallocation_is_not_supported_unlogged);
	tcase_add_test(tc, preallocation_that_fails_midway_leaves_the_size);
	tcase_add_test(tc, modes_keep_others_out);
	tcase_add_test(tc, a_symbolic_link_is_not_followed);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
