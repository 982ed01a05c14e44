/* SPDX-License-Identifier: MIT */
/*
 * test_env_map.c: what is stored through a mapping is in the file, is lost by a
 * power cut until it is synced, and an error met on the way is an error, not the
 * end of the process.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "io/env.h"
#include "tests/support/env_fault.h"
#include "tests/support/tmp.h"

enum { FILE_BYTES = 64 << 10, SECTOR = 512 };

static struct tmp tmp;
static struct env *mem, *fault;
static struct env_dir *root;
static struct env_file *file;
static unsigned lines;

static void count_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	lines++;
}

static void ok(enum lsm_err err)
{
	ck_assert_msg(err == LSM_OK, "%s", lsm_strerror(err));
}

static void make_file(void)
{
	ok(env_open(root, "f", ENV_CREATE, &file));
	ok(env_preallocate(file, 0, FILE_BYTES));
}

/* A filesystem that can be mapped: that of the scratch folder, or else the one
   in /dev/shm. */
static void setup_posix(void)
{
	struct env_map *map;
	enum lsm_err err;

	log_set_sink(count_line, NULL);
	tmp_make(&tmp);
	ok(env_dir_open(env_posix(), tmp.path, &root));
	make_file();
	err = env_map(file, 0, FILE_BYTES, &map);
	env_unmap(map);
	if (err == LSM_ERR_NOT_SUPPORTED) {
		ok(env_close(file));
		env_dir_close(root);
		tmp_remove(&tmp);
		ck_assert_int_eq(setenv("TMPDIR", "/dev/shm", 1), 0);
		tmp_make(&tmp);
		ok(env_dir_open(env_posix(), tmp.path, &root));
		make_file();
	}
	lines = 0;
}

static void teardown_posix(void)
{
	ok(env_close(file));
	env_dir_close(root);
	tmp_remove(&tmp);
}

static void setup_mem(void)
{
	log_set_sink(count_line, NULL);
	ok(env_mem_create(&mem));
	ok(env_fault_create(mem, &fault));
	ok(env_dir_open(fault, "/", &root));
	make_file();
	lines = 0;
}

static void teardown_mem(void)
{
	ok(env_close(file));
	env_dir_close(root);
	env_fault_destroy(fault);
	env_mem_destroy(mem);
}

static struct env_map *map_all(void)
{
	struct env_map *map;

	ok(env_map(file, 0, FILE_BYTES, &map));
	return map;
}

static bool file_has(uint64_t offset, const char *text)
{
	char got[64] = "";
	size_t len;

	ok(env_read(file, offset, got, strlen(text), &len));
	return len == strlen(text) && memcmp(got, text, len) == 0;
}

START_TEST(what_is_stored_is_read_at_once_and_after_unmapping)
{
	struct env_map *map = map_all();

	ok(env_map_store(map, 4090, "across two pages", 16));
	ck_assert(file_has(4090, "across two pages"));
	ok(env_write(file, 4094, "written", 7));
	ok(env_map_store(map, 4096, "STORED", 6));
	ck_assert(file_has(4090, "acrowrSTOREDages"));
	env_unmap(map);
	ck_assert(file_has(4090, "acrowrSTOREDages"));
	ok(env_sync(file));
}
END_TEST

START_TEST(a_range_need_not_begin_at_a_page)
{
	struct env_map *map;

	ok(env_map(file, 5000, 3000, &map));
	ok(env_map_store(map, 5000, "first", 5));
	ok(env_map_store(map, 7996, "last", 4));
	env_unmap(map);
	ck_assert(file_has(5000, "first"));
	ck_assert(file_has(7996, "last"));
}
END_TEST

START_TEST(stores_count_as_written)
{
	struct env_io_stats before, after;
	struct env_map *map = map_all();

	env_io_stats(root->env, &before);
	ok(env_map_store(map, 0, "12345", 5));
	env_unmap(map); /* until then, some of it may not be counted */
	env_io_stats(root->env, &after);
	ck_assert_uint_eq(after.bytes_written - before.bytes_written, 5);
}
END_TEST

/* ---- a file that was cut ------------------------------------------------ */

static void cut_file(off_t len)
{
	char *path = tmp_path(&tmp, "f");

	ck_assert_int_eq(truncate(path, len), 0);
	free(path);
}

START_TEST(a_store_behind_the_end_is_an_error_for_good)
{
	static const char big[3 * 4096] = "x";
	struct env_map *map = map_all();

	ok(env_map_store(map, 0, "kept", 4));
	cut_file(4096);
	ck_assert_int_eq(env_map_store(map, 5000, "lost", 4), LSM_ERR_IO);
	ck_assert_uint_eq(lines, 1);
	/* Also where there is a file still, and where there is memory now. */
	ck_assert_int_eq(env_map_store(map, 0, "no", 2), LSM_ERR_IO);
	ck_assert_int_eq(env_map_store(map, 5000, "no", 2), LSM_ERR_IO);
	env_unmap(map);
	ck_assert(file_has(0, "kept"));

	ok(env_preallocate(file, 0, FILE_BYTES));
	map = map_all();
	ok(env_map_store(map, 5000, "again", 5));
	cut_file(4096);
	ck_assert_int_eq(env_map_store(map, 100, big, sizeof(big)), LSM_ERR_IO);
	env_unmap(map);
}
END_TEST

/* Must end with SIGBUS. */
START_TEST(a_fault_elsewhere_still_ends_the_process)
{
	volatile char *bytes;
	struct env_map *map;
	FILE *other;
	char *path;

	/* Before the first mapping of this process, which is this test's own:
	   a sanitizer has a handler. */
	ck_assert(signal(SIGBUS, SIG_DFL) != SIG_ERR);
	setup_posix();
	map = map_all();
	ok(env_map_store(map, 0, "x", 1));
	path = tmp_path(&tmp, "other");
	other = fopen(path, "w+");
	ck_assert_ptr_nonnull(other);
	ck_assert_int_eq(ftruncate(fileno(other), 4096), 0);
	bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
	             fileno(other), 0);
	ck_assert(bytes != MAP_FAILED);
	ck_assert_int_eq(ftruncate(fileno(other), 0), 0);
	ck_assert_int_eq(unlink(path), 0);
	free(path);
	ok(env_unlink(root, "f"));
	ck_assert_int_eq(rmdir(tmp.path), 0);
	bytes[0] = 1;
}
END_TEST

static volatile sig_atomic_t handled;
static char *handled_page;

static void give_page(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	handled++;
	(void)mmap(handled_page, 4096, PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

START_TEST(a_handler_that_was_there_gets_what_is_not_ours)
{
	struct sigaction action = {.sa_sigaction = give_page,
	                           .sa_flags = SA_SIGINFO};
	struct env_map *map;
	FILE *other;
	char *path;

	/* Before the first mapping of this process, which is this test's own. */
	ck_assert_int_eq(sigaction(SIGBUS, &action, NULL), 0);
	setup_posix();
	map = map_all();
	ok(env_map_store(map, 0, "x", 1));
	path = tmp_path(&tmp, "f");
	other = fopen(path, "r+");
	ck_assert_ptr_nonnull(other);
	handled_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
	                    fileno(other), 8192);
	ck_assert(handled_page != MAP_FAILED);
	cut_file(4096);
	*(volatile char *)handled_page = 1;
	ck_assert_int_eq(handled, 1);
	ck_assert_int_eq(env_map_store(map, 8192, "y", 1), LSM_ERR_IO);
	ck_assert_int_eq(handled, 1);
	env_unmap(map);
	munmap(handled_page, 4096);
	fclose(other);
	free(path);
	teardown_posix();
}
END_TEST

START_TEST(where_reservations_may_fail_nothing_is_mapped)
{
	struct env_map *map;
	struct env_dir *proc;
	struct env_file *self;

	/* No filesystem that writes elsewhere is sure to be here; this one is,
	   and makes no promise either. */
	ok(env_dir_open(env_posix(), "/proc/self", &proc));
	ok(env_open(proc, "comm", ENV_READ, &self));
	ck_assert_int_eq(env_map(self, 0, 1, &map), LSM_ERR_NOT_SUPPORTED);
	ck_assert_ptr_null(map);
	ck_assert_uint_eq(lines, 0);
	ok(env_close(self));
	env_dir_close(proc);
}
END_TEST

/* ---- power cuts ---------------------------------------------------------- */

/* What of the file a power cut leaves. */
static void after_crash(unsigned keep_per_256, uint64_t seed, struct buf *got)
{
	struct env_mem_crash how = {keep_per_256, seed};
	struct env_dir *dir;
	struct env *after;

	ok(env_mem_after_crash(mem, &how, &after));
	ok(env_dir_open(after, "/", &dir));
	ok(env_read_file(dir, "f", FILE_BYTES, got));
	env_dir_close(dir);
	env_mem_destroy(after);
}

START_TEST(stored_bytes_are_lost_by_sector_until_synced)
{
	static uint8_t ones[8 * SECTOR];
	struct env_map *map = map_all();
	struct buf got = BUF_INIT;
	bool torn = false;

	memset(ones, 1, sizeof(ones));
	ok(env_sync(file));
	ok(env_dir_sync(root));
	ok(env_map_store(map, 0, ones, sizeof(ones)));
	after_crash(0, 1, &got);
	ck_assert_uint_eq(got.data[0], 0);
	after_crash(256, 1, &got);
	ck_assert_mem_eq(got.data, ones, sizeof(ones));
	for (uint64_t seed = 1; seed <= 16; seed++) {
		after_crash(128, seed, &got);
		for (size_t i = 1; i < 8; i++)
			torn |= got.data[i * SECTOR] != got.data[0];
		for (size_t i = 0; i < sizeof(ones); i++)
			ck_assert_uint_eq(got.data[i],
			                  got.data[i / SECTOR * SECTOR]);
	}
	ck_assert(torn);
	ok(env_sync(file));
	after_crash(0, 1, &got);
	ck_assert_mem_eq(got.data, ones, sizeof(ones));
	env_unmap(map);
	buf_release(&got);
}
END_TEST

START_TEST(a_store_can_be_made_to_fail)
{
	struct env_map *map = map_all();

	env_fault_arm(fault, 1, LSM_ERR_IO, false);
	ck_assert_int_eq(env_map_store(map, 0, "a", 1), LSM_ERR_IO);
	ok(env_map_store(map, 0, "b", 1));
	env_unmap(map);
	env_fault_arm(fault, 1, LSM_ERR_NOT_SUPPORTED, false);
	ck_assert_int_eq(env_map(file, 0, 1, &map), LSM_ERR_NOT_SUPPORTED);
	ck_assert_ptr_null(map);
	ck_assert(file_has(0, "b"));
}
END_TEST

static void add_common(TCase *tc)
{
	tcase_add_test(tc, what_is_stored_is_read_at_once_and_after_unmapping);
	tcase_add_test(tc, a_range_need_not_begin_at_a_page);
	tcase_add_test(tc, stores_count_as_written);
}

int main(void)
{
	Suite *suite = suite_create("env_map");
	TCase *posix = tcase_create("posix");
	TCase *alone = tcase_create("alone");
	TCase *memory = tcase_create("mem");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(posix, setup_posix, teardown_posix);
	add_common(posix);
	tcase_add_test(posix, a_store_behind_the_end_is_an_error_for_good);
	tcase_add_test(posix, where_reservations_may_fail_nothing_is_mapped);
	suite_add_tcase(suite, posix);
	tcase_add_test_raise_signal(
	    alone, a_fault_elsewhere_still_ends_the_process, SIGBUS);
	tcase_add_test(alone, a_handler_that_was_there_gets_what_is_not_ours);
	suite_add_tcase(suite, alone);

	tcase_add_checked_fixture(memory, setup_mem, teardown_mem);
	add_common(memory);
	tcase_add_test(memory, stored_bytes_are_lost_by_sector_until_synced);
	tcase_add_test(memory, a_store_can_be_made_to_fail);
	suite_add_tcase(suite, memory);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
