/* SPDX-License-Identifier: MIT */
/*
 * tree_storm.c: several processes change one tree at random, in each other's way,
 * in the spirit of fsstress.
 *
 * Usage: tree_storm FOLDER PROCESSES OPERATIONS
 *
 * SHALEFS_SEED gives the operations of each. What they do to one another decides
 * whether one succeeds; but it fails only as it may on a tree that others change.
 * Exit code 1: one failed in another way.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <dirent.h>
#include <unistd.h>

#include "tests/support/gen.h"

enum { NAMES = 12, DEPTH = 3, PATH_BYTES = 64, FILE_MAX = 400000 };

static struct gen gen;
static char a[PATH_BYTES], b[PATH_BYTES];
static uint8_t bytes[100000];

static uint64_t below(uint64_t limit)
{
	return gen_below(&gen, limit);
}

/* One to DEPTH names: folders, of which the last may be a file. */
static void some_path(char *path)
{
	size_t len = 0;

	for (uint64_t left = 1 + below(DEPTH); left > 0; left--)
		len += (size_t)snprintf(
		    path + len, PATH_BYTES - len, "%s%c%u", len > 0 ? "/" : "",
		    left > 1 ? 'd' : "fd"[below(2)], (unsigned)below(NAMES));
}

static int on_file(int flags, int (*call)(int fd))
{
	int fd = open(a, flags | O_NOFOLLOW | O_NONBLOCK, 0644);
	int rc, sys;

	if (fd < 0)
		return -1;
	rc = call(fd);
	sys = errno;
	if (close(fd) != 0)
		return -1;
	errno = sys;
	return rc;
}

static int do_write(int fd)
{
	size_t len = 1 + below(sizeof(bytes));

	return pwrite(fd, bytes, len, (off_t)below(FILE_MAX)) == (ssize_t)len
	           ? 0
	           : -1;
}

static int do_read(int fd)
{
	return pread(fd, bytes, sizeof(bytes), (off_t)below(FILE_MAX)) >= 0
	           ? 0
	           : -1;
}

static int do_cut(int fd)
{
	return ftruncate(fd, (off_t)below(FILE_MAX));
}

static int do_punch(int fd)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                 (off_t)below(FILE_MAX), 1 + (off_t)below(FILE_MAX));
}

static int do_zero(int fd)
{
	return fallocate(fd, FALLOC_FL_ZERO_RANGE, (off_t)below(FILE_MAX),
	                 1 + (off_t)below(FILE_MAX));
}

static int do_sync(int fd)
{
	return fsync(fd);
}

static int copy_from(int fd)
{
	int to = open(b, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644);
	off_t from = (off_t)below(FILE_MAX), at = (off_t)below(FILE_MAX);
	ssize_t n;
	int sys;

	if (to < 0)
		return -1;
	n = copy_file_range(fd, &from, to, &at, sizeof(bytes), 0);
	sys = errno;
	close(to);
	errno = sys;
	return n < 0 ? -1 : 0;
}

static int list(void)
{
	DIR *dir = opendir(a);
	struct dirent *entry;
	struct stat st;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		(void)fstatat(dirfd(dir), entry->d_name, &st,
		              AT_SYMLINK_NOFOLLOW);
	return closedir(dir);
}

/* A file that is open when it loses its name. Others may have found it before that,
   and cut it; but what is written past the largest file is ours, or gone. */
static int use_unlinked(void)
{
	enum { OURS = 3 * FILE_MAX };
	int fd = open(a, O_RDWR | O_CREAT | O_EXCL, 0600);
	char own[8] = "";
	bool same;

	if (fd < 0)
		return -1;
	if (unlink(a) != 0) {
		close(fd);
		return -1;
	}
	same = pwrite(fd, "unnamed", 7, OURS) == 7 &&
	       pread(fd, own, 7, OURS) >= 0 &&
	       (own[0] == 0 || strcmp(own, "unnamed") == 0);
	errno = EIO;
	return close(fd) == 0 && same ? 0 : -1;
}

static int run_one(void)
{
	struct stat st;

	some_path(a);
	some_path(b);
	switch (below(24)) {
	case 0:
	case 1:
		return mkdir(a, 0755);
	case 2:
		return rmdir(a);
	case 3:
	case 4:
		return unlink(a);
	case 5:
	case 6:
		return rename(a, b);
	case 7:
		return renameat2(AT_FDCWD, a, AT_FDCWD, b,
		                 below(2) == 0 ? RENAME_EXCHANGE
		                               : RENAME_NOREPLACE);
	case 8:
		return link(a, b);
	case 9:
		return symlink(a, b);
	case 10:
		return mkfifo(a, 0600);
	case 11:
		return lsetxattr(a, below(2) == 0 ? "user.a" : "user.b", bytes,
		                 below(3000), 0);
	case 12:
		return lremovexattr(a, "user.a");
	case 13:
		return chmod(a, 0600 + (mode_t)below(2) * 0111);
	case 14:
		return list();
	case 15:
		return lstat(a, &st);
	case 16:
		return use_unlinked();
	case 17:
		return on_file(O_RDWR, do_cut);
	case 18:
		return on_file(O_RDWR, do_punch);
	case 19:
		return on_file(O_RDWR, do_zero);
	case 20:
		return on_file(O_RDONLY, copy_from);
	case 21:
		return on_file(O_RDWR, below(8) == 0 ? do_sync : do_read);
	default:
		return on_file(O_RDWR | O_CREAT, do_write);
	}
}

/* What others may have done before, or what was asked for makes no sense. */
static bool may_be(int sys)
{
	static const int errors[] = {
	    ENOENT, EEXIST,  ENOTEMPTY, ENOTDIR, EISDIR, ELOOP,  EINVAL,
	    EPERM,  ENODATA, EBUSY,     ENXIO,   ESPIPE, ENODEV, EBADF,
	};

	for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i] == sys)
			return true;
	}
	return false;
}

static int storm(uint64_t seed, unsigned long count)
{
	gen_init(&gen, seed);
	gen_bytes(&gen, bytes, sizeof(bytes));
	for (unsigned long i = 0; i < count; i++) {
		errno = 0;
		if (run_one() == 0 || may_be(errno))
			continue;
		fprintf(stderr, "tree_storm: operation %lu on %s and %s: %s\n",
		        i, a, b, strerror(errno));
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t fallback = 1;
	int code = 0, status;
	unsigned long count;
	uint64_t seed;

	if (argc != 4 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: tree_storm FOLDER PROCESSES "
		                "OPERATIONS\n");
		return 2;
	}
	(void)getrandom(&fallback, sizeof(fallback), 0);
	seed = gen_seed(fallback);
	count = strtoul(argv[3], NULL, 10);
	for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; i--) {
		pid_t child = fork();

		if (child < 0)
			return 2;
		if (child == 0)
			_exit(storm(seed * 1000 + i, count));
	}
	while (wait(&status) > 0)
		code |= status != 0;
	return code;
}
