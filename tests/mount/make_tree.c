/* SPDX-License-Identifier: MIT */
/*
 * make_tree.c: make a folder with files of every sort, of which a copy can be
 * compared. Usage: make_tree FOLDER FILES SEED
 *
 * Sizes from nothing to 3 MiB, most of them small; holes; hard links; symlinks;
 * modes, times with nanoseconds, extended attributes; names with spaces and
 * newlines, in UTF-8 and not, of 255 bytes; empty folders and deep ones. What
 * diff(1) cannot compare (fifos, devices) lies in FOLDER/special.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum { PER_FOLDER = 40, LARGE = 3 << 20 };

static uint64_t random_state;

static uint64_t below(uint64_t limit)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15U;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
	return (x ^ (x >> 31)) % limit;
}

static void need(bool done, const char *what)
{
	if (done)
		return;
	fprintf(stderr, "make_tree: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void pick_name(unsigned number, char *name, size_t size)
{
	static const char *const odd[] = {
	    "with space ",
	    "new\nline ",
	    "\xc3\xa4\xc3\xb6\xc3\xbc\xe2\x82\xac ",
	    "-dash",
	    "\xff\xfe",
	    "quote'\"",
	};

	snprintf(name, size, "file-%u.c", number);
	if (number % 50 == 0) {
		memset(name, 'a' + (int)(number / 50 % 26), 255);
		snprintf(name + 248, size - 248, "%07u", number);
	} else if (number % 7 == 0) {
		snprintf(name, size, "%s%u", odd[below(6)], number);
	}
}

static size_t pick_size(unsigned number)
{
	if (number % 1000 == 999)
		return LARGE - below(100000);
	switch (below(20)) {
	case 0:
		return 0;
	case 1:
		return below(300000);
	case 2:
		return 65536;
	case 3:
		return 4096;
	default:
		return below(12000);
	}
}

/* Half compressible, so that tables have blocks of both sorts. */
static void write_bytes(int fd, size_t len, unsigned salt)
{
	uint8_t *bytes = malloc(len + 1);

	need(bytes != NULL, "memory");
	fill_bytes(bytes, len, 0, salt);
	if (salt % 2 == 0) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)('a' + bytes[i] % 4);
	}
	need(write(fd, bytes, len) == (ssize_t)len, "write");
	free(bytes);
}

static void write_holes(int fd)
{
	for (unsigned i = 1 + (unsigned)below(4); i > 0; i--)
		need(pwrite(fd, "data between holes", 18,
		            (off_t)below(1 << 24)) == 18,
		     "pwrite");
	need(ftruncate(fd, (1 << 24) + (off_t)below(100000)) == 0, "ftruncate");
}

static void add_attributes(int fd, unsigned number)
{
	const struct timespec times[2] = {
	    {.tv_sec = (time_t)below(2000000000),
	     .tv_nsec = (long)below(1000000000)},
	    {.tv_sec = (time_t)below(2000000000),
	     .tv_nsec = (long)below(1000000000)},
	};
	char value[64];

	if (number % 10 == 0) {
		snprintf(value, sizeof(value), "value of %u", number);
		need(fsetxattr(fd, "user.first", value, strlen(value), 0) == 0,
		     "fsetxattr");
		need(fsetxattr(fd, "user.empty", "", 0, 0) == 0, "fsetxattr");
	}
	need(fchmod(fd, (mode_t)(0400 + below(0400))) == 0, "fchmod");
	need(futimens(fd, times) == 0, "futimens");
}

static void make_one(unsigned number)
{
	char name[300], other[320];
	int fd;

	pick_name(number, name, sizeof(name));
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
	need(fd >= 0, name);
	if (number % 100 == 42)
		write_holes(fd);
	else
		write_bytes(fd, pick_size(number), number);
	add_attributes(fd, number);
	need(close(fd) == 0, name);

	if (number % 11 == 0) {
		snprintf(other, sizeof(other), "link-%u", number);
		need(link(name, other) == 0, other);
	}
	if (number % 13 == 0) {
		snprintf(other, sizeof(other), "symlink-%u", number);
		need(symlink(number % 2 == 0 ? name : "/nowhere/at all",
		             other) == 0,
		     other);
	}
}

static void make_files(unsigned count)
{
	char name[32];

	for (unsigned i = 0; i < count; i++) {
		if (i % PER_FOLDER == 0) {
			/* Every fourth lies in the one before. */
			need(i == 0 || i / PER_FOLDER % 4 != 0 ||
			         chdir("../../../..") == 0,
			     "..");
			snprintf(name, sizeof(name), "folder-%u", i);
			need(mkdir(name, 0755) == 0, name);
			need(mkdir("empty", 0700) == 0 || errno == EEXIST,
			     "empty");
			need(chdir(name) == 0, name);
		}
		make_one(i);
	}
}

static void make_special(void)
{
	need(mkdir("special", 0755) == 0, "special");
	need(mkfifo("special/fifo", 0622) == 0, "fifo");
	if (geteuid() != 0)
		return;
	need(mknod("special/null", S_IFCHR | 0666, makedev(1, 3)) == 0, "null");
	need(chown("special/null", 1234, 5678) == 0, "chown");
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return fputs("usage: make_tree FOLDER FILES SEED\n", stderr), 2;
	random_state = strtoull(argv[3], NULL, 10);
	need(mkdir(argv[1], 0755) == 0, argv[1]);
	need(chdir(argv[1]) == 0, argv[1]);
	make_special();
	make_files((unsigned)strtoul(argv[2], NULL, 10));
	return 0;
}
