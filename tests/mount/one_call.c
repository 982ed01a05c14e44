/* SPDX-License-Identifier: MIT */
/*
 * one_call.c: make one system call that no ordinary tool makes by itself.
 *
 * Usage: one_call reserve|punch|zero FILE OFFSET LEN
 *        one_call data|hole FILE OFFSET               prints where it is
 *        one_call noreplace|exchange FROM TO
 *        one_call copy FROM TO LEN
 *        one_call hold FILE                           open until killed
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static off_t number(const char *text)
{
	return (off_t)strtoll(text, NULL, 10);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags, 0644);

	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static int allocate(char **argv, int mode)
{
	return fallocate(open_file(argv[2], O_RDWR), mode, number(argv[3]),
	                 number(argv[4]));
}

static int seek(char **argv, int whence)
{
	off_t found =
	    lseek(open_file(argv[2], O_RDONLY), number(argv[3]), whence);

	if (found >= 0)
		printf("%lld\n", (long long)found);
	return found < 0 ? -1 : 0;
}

static int copy(char **argv)
{
	int from = open_file(argv[2], O_RDONLY);
	int to = open_file(argv[3], O_WRONLY | O_CREAT);
	size_t len = (size_t)number(argv[4]);

	return copy_file_range(from, NULL, to, NULL, len, 0) == (ssize_t)len
	           ? 0
	           : -1;
}

static int hold(const char *path)
{
	open_file(path, O_RDONLY);
	puts("open");
	fflush(stdout);
	return pause();
}

static int call(int argc, char **argv)
{
	const char *what = argc < 2 ? "" : argv[1];

	if (argc == 5 && strcmp(what, "reserve") == 0)
		return allocate(argv, 0);
	if (argc == 5 && strcmp(what, "punch") == 0)
		return allocate(argv,
		                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	if (argc == 5 && strcmp(what, "zero") == 0)
		return allocate(argv, FALLOC_FL_ZERO_RANGE);
	if (argc == 4 && strcmp(what, "data") == 0)
		return seek(argv, SEEK_DATA);
	if (argc == 4 && strcmp(what, "hole") == 0)
		return seek(argv, SEEK_HOLE);
	if (argc == 4 && strcmp(what, "noreplace") == 0)
		return renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3],
		                 RENAME_NOREPLACE);
	if (argc == 4 && strcmp(what, "exchange") == 0)
		return renameat2(AT_FDCWD, argv[2], AT_FDCWD, argv[3],
		                 RENAME_EXCHANGE);
	if (argc == 5 && strcmp(what, "copy") == 0)
		return copy(argv);
	if (argc == 3 && strcmp(what, "hold") == 0)
		return hold(argv[2]);
	errno = EINVAL;
	return -1;
}

int main(int argc, char **argv)
{
	if (call(argc, argv) == 0)
		return 0;
	perror("one_call");
	return 1;
}
