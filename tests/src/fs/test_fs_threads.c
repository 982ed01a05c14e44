/* SPDX-License-Identifier: MIT */
/*
 * test_fs_threads.c: several threads in one tree: what they leave is whole, and
 * what readers see in between is too.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs_kit.h"
#include "tests/support/gen.h"

enum {
	THREADS = 4,
	STEPS = 600,
	DIRS = 4,
	NAMES = 6,
	SEED = 313,
	PAGE = 4096,
};

static struct kit kit;
static uint64_t dirs[DIRS];

static void setup(void)
{
	kit_init_tiny(&kit);
	kit.hash_mask = 3;
	kit_begin(&kit);
	for (int i = 0; i < DIRS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "dir%d", i);
		dirs[i] = kit_dir(&kit, FS_ROOT_INO, name);
	}
}

static void teardown(void)
{
	kit_end(&kit);
}

struct worker {
	struct sync_thread thread;
	struct gen gen;
	struct fs_op op;
	const char *what;
	int err; /* the first that nobody could have caused */
};

/* Errors that other threads may cause. */
static void note(struct worker *worker, const char *what, int err)
{
	switch (err) {
	case 0:
	case ENOENT:
	case EEXIST:
	case EISDIR:
	case ENOTDIR:
	case ENOTEMPTY:
	case EINVAL:
	case ESTALE:
	case EPERM:
	case ENXIO:
		return;
	default:
		if (worker->err == 0) {
			worker->err = err;
			worker->what = what;
		}
	}
}

static uint64_t pick_dir(struct worker *worker)
{
	return dirs[gen_below(&worker->gen, DIRS)];
}

static struct slice pick_name(struct worker *worker)
{
	static const char names[] = "abcdefgh";

	return slice_make(names + gen_below(&worker->gen, NAMES), 1);
}

static void remove_one(struct worker *worker)
{
	struct fs_victim victim;
	uint64_t dir = pick_dir(worker);
	struct slice name = pick_name(worker);
	int err;

	if (gen_below(&worker->gen, 3) == 0)
		err = fs_rmdir(kit.fs, &worker->op, dir, name, &victim);
	else
		err = fs_unlink(kit.fs, &worker->op, dir, name, &victim);
	note(worker, "remove", err);
	if (err == 0 && victim.orphan)
		note(worker, "reclaim", fs_reclaim(kit.fs, victim.ino));
}

static void rename_one(struct worker *worker)
{
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE,
	                                 RENAME_EXCHANGE};
	struct fs_victim victim;
	int err;

	err = fs_rename(kit.fs, &worker->op, pick_dir(worker),
	                pick_name(worker), pick_dir(worker), pick_name(worker),
	                flags[gen_below(&worker->gen, 4)], &victim);
	note(worker, "rename", err);
	if (err == 0 && victim.orphan)
		note(worker, "reclaim", fs_reclaim(kit.fs, victim.ino));
}

/* The directories themselves move in and out of each other. */
static void move_dir(struct worker *worker)
{
	struct fs_victim victim;
	char name[16], new_name[16];

	snprintf(name, sizeof(name), "dir%d",
	         (int)gen_below(&worker->gen, DIRS));
	snprintf(new_name, sizeof(new_name), "dir%d",
	         (int)gen_below(&worker->gen, DIRS));
	note(worker, "move",
	     fs_rename(kit.fs, &worker->op,
	               gen_below(&worker->gen, 2) == 0 ? FS_ROOT_INO
	                                               : pick_dir(worker),
	               slice_str(name),
	               gen_below(&worker->gen, 2) == 0 ? FS_ROOT_INO
	                                               : pick_dir(worker),
	               slice_str(new_name), RENAME_NOREPLACE, &victim));
}

static void create_one(struct worker *worker)
{
	struct fs_attr attr;

	if (gen_below(&worker->gen, 3) == 0)
		note(worker, "mkdir",
		     fs_mkdir(kit.fs, &worker->op, pick_dir(worker),
		              pick_name(worker), 0755, &attr));
	else
		note(worker, "mknod",
		     fs_mknod(kit.fs, &worker->op, pick_dir(worker),
		              pick_name(worker), S_IFREG | 0644, 0, &attr));
}

static bool take_entry(void *ctx, struct slice name, uint64_t next_cookie,
                       const struct fs_attr *attr)
{
	(void)name;
	(void)next_cookie;
	/* With attributes there is always a link to what is named. */
	if (attr->nlink == 0)
		*(bool *)ctx = false;
	return true;
}

static void use_one(struct worker *worker)
{
	static const uint8_t data[30000] = {1, 2, 3};
	uint8_t bytes[100];
	struct fs_attr attr;
	bool whole = true;
	size_t got;
	uint64_t found;
	int err;

	err = fs_lookup(kit.fs, pick_dir(worker), pick_name(worker), &attr);
	note(worker, "lookup", err);
	note(worker, "readdir",
	     fs_readdir(kit.fs, pick_dir(worker), 0, true, take_entry, &whole));
	note(worker, "a listing with an inode that is not there",
	     whole ? 0 : EIO);
	if (err != 0 || !S_ISREG(attr.mode))
		return;
	note(worker, "write",
	     fs_write(kit.fs, &worker->op, attr.ino,
	              gen_below(&worker->gen, 200000), data,
	              gen_below(&worker->gen, sizeof(data))));
	note(worker, "read",
	     fs_read(kit.fs, attr.ino, gen_below(&worker->gen, 200000), bytes,
	             sizeof(bytes), &got));
	note(worker, "punch",
	     fs_fallocate(kit.fs, &worker->op, attr.ino,
	                  FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                  gen_below(&worker->gen, 100000), 70000));
	note(worker, "seek", fs_seek(kit.fs, attr.ino, 0, SEEK_DATA, &found));
	note(worker, "link",
	     fs_link(kit.fs, &worker->op, attr.ino, pick_dir(worker),
	             pick_name(worker), &attr));
}

static void work(void *ctx)
{
	static void (*const steps[])(struct worker *) = {
	    create_one, create_one, remove_one, rename_one,
	    move_dir,   use_one,    use_one,
	};
	struct worker *worker = ctx;

	for (int i = 0; i < STEPS && worker->err == 0; i++)
		steps[gen_below(&worker->gen, 7)](worker);
}

START_TEST(random_operations_of_several_threads_leave_a_whole_tree)
{
	static struct worker workers[THREADS];
	uint64_t seed = gen_seed(SEED);

	for (uint64_t i = 0; i < THREADS; i++) {
		gen_init(&workers[i].gen, seed + i);
		ck_assert_int_eq(sync_thread_start(&workers[i].thread, "worker",
		                                   work, &workers[i]),
		                 LSM_OK);
	}
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&workers[i].thread);
	for (int i = 0; i < THREADS; i++) {
		if (workers[i].err != 0)
			fprintf(stderr, "%s: errno %d\n", workers[i].what,
			        workers[i].err);
		ck_assert_int_eq(workers[i].err, 0);
	}
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
	kit_crash(&kit);
	ck_assert_uint_eq(kit_faults(&kit, ""), 0);
}
END_TEST

/* ---- one writer, one reader ---------------------------------------------- */

struct pair {
	struct sync_thread thread;
	uint64_t ino;
	atomic_bool stop;
	bool whole;
};

/* A name that is replaced again and again is always there. */
static void look_it_up(void *ctx)
{
	struct pair *pair = ctx;

	pair->whole = true;
	while (!atomic_load(&pair->stop)) {
		struct fs_attr attr;

		if (fs_lookup(kit.fs, dirs[0], slice_str("name"), &attr) != 0)
			pair->whole = false;
	}
}

START_TEST(name_that_is_replaced_is_there_at_every_moment)
{
	struct pair pair = {.stop = false};
	struct fs_victim victim;

	ck_assert_uint_ne(kit_file(&kit, dirs[0], "other"), 0);
	ck_assert_uint_ne(kit_file(&kit, dirs[0], "name"), 0);
	ck_assert_int_eq(
	    sync_thread_start(&pair.thread, "reader", look_it_up, &pair),
	    LSM_OK);
	for (int i = 0; i < STEPS; i++) {
		if (kit_file(&kit, dirs[0], "new") == 0 ||
		    fs_rename(kit.fs, &kit.op, dirs[0], slice_str("new"),
		              dirs[0], slice_str("name"), 0, &victim) != 0 ||
		    fs_reclaim(kit.fs, victim.ino) != 0)
			break;
	}
	atomic_store(&pair.stop, true);
	sync_thread_join(&pair.thread);
	ck_assert(pair.whole);
}
END_TEST

/* Each write is of one byte value over two chunks; a read never sees two. */
static void read_it(void *ctx)
{
	struct pair *pair = ctx;
	uint8_t bytes[2 * PAGE];

	pair->whole = true;
	while (!atomic_load(&pair->stop)) {
		size_t got;

		if (fs_read(kit.fs, pair->ino, 65536 - PAGE, bytes,
		            sizeof(bytes), &got) != 0 ||
		    got != sizeof(bytes) ||
		    memcmp(bytes, bytes + 1, sizeof(bytes) - 1) != 0)
			pair->whole = false;
	}
}

START_TEST(read_sees_all_of_a_write_or_nothing)
{
	struct pair pair = {.stop = false};

	pair.ino = kit_file(&kit, dirs[0], "f");
	ck_assert_int_eq(kit_fill(&kit, pair.ino, 0, 131072, 1), 0);
	ck_assert_int_eq(
	    sync_thread_start(&pair.thread, "reader", read_it, &pair), LSM_OK);
	for (int i = 0; i < STEPS; i++) {
		if (kit_fill(&kit, pair.ino, 65536 - PAGE, 2 * PAGE, i % 200) !=
		    0)
			break;
	}
	atomic_store(&pair.stop, true);
	sync_thread_join(&pair.thread);
	ck_assert(pair.whole);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_threads");
	TCase *tc = tcase_create("fs_threads");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc,
	               random_operations_of_several_threads_leave_a_whole_tree);
	tcase_add_test(tc, name_that_is_replaced_is_there_at_every_moment);
	tcase_add_test(tc, read_sees_all_of_a_write_or_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
