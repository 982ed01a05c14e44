/* SPDX-License-Identifier: MIT */
/* posix_files.c: limits, allocation, mappings between processes, direct and
   synchronous I/O, locks of open files, names of xattrs on what is no file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum { CHUNK = 64 << 10, BLOCK = 4096, MIB = 1 << 20 };

static off_t blocks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (off_t)st.st_blocks : -1;
}

static bool has_at(int fd, off_t offset, const char *text)
{
	char got[64] = "";
	size_t len = strlen(text);

	return pread(fd, got, len, offset) == (ssize_t)len &&
	       memcmp(got, text, len) == 0;
}

/* ---- limits ------------------------------------------------------------------ */

static void sizes_end_at_8_eib(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	off_t most = INT64_MAX;

	EXPECT(fd >= 0);
	EXPECT(ftruncate(fd, most) == 0);
	EXPECT(size_of("f") == most);
	EXPECT(pwrite(fd, "end", 3, most - 3) == 3);
	EXPECT(has_at(fd, most - 3, "end"));
	/* A chunk is stored from its beginning on. */
	EXPECT(blocks_of(fd) == CHUNK / 512);
	EXPECT(lseek(fd, 0, SEEK_DATA) == most / CHUNK * CHUNK);
	EXPECT_ERRNO(pwrite(fd, "ends", 4, most - 3), EINVAL);
	EXPECT_ERRNO(fallocate(fd, 0, most - 10, 100), EFBIG);
	EXPECT(ftruncate(fd, 5) == 0);
	EXPECT(blocks_of(fd) == 0);
	EXPECT(close(fd) == 0);
}

static void limit_of_a_process_is_efbig(void)
{
	struct rlimit limit, before;
	char bytes[200] = "";
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(getrlimit(RLIMIT_FSIZE, &before) == 0);
	limit = before;
	limit.rlim_cur = 100000;
	signal(SIGXFSZ, SIG_IGN);
	EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	EXPECT(pwrite(fd, bytes, 200, 99900) == 100);
	EXPECT_ERRNO(pwrite(fd, bytes, 200, 100000), EFBIG);
	EXPECT_ERRNO(ftruncate(fd, 100001), EFBIG);
	EXPECT_ERRNO(fallocate(fd, 0, 0, 100001), EFBIG);
	EXPECT(setrlimit(RLIMIT_FSIZE, &before) == 0);
	EXPECT(size_of("f") == 100000);
	EXPECT(close(fd) == 0);
}

/* ---- allocation -------------------------------------------------------------- */

static void blocks_are_those_that_are_stored(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *bytes = calloc(1, 4 * CHUNK);

	EXPECT(fd >= 0 && bytes != NULL);
	memset(bytes, 'x', 4 * CHUNK);
	EXPECT(pwrite(fd, "x", 1, 100 * MIB) == 1);
	EXPECT(blocks_of(fd) == 8);
	EXPECT(pwrite(fd, bytes, 4 * CHUNK, 0) == 4 * CHUNK);
	EXPECT(blocks_of(fd) == 8 + 4 * CHUNK / 512);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CHUNK,
	                 2 * CHUNK) == 0);
	EXPECT(blocks_of(fd) == 8 + 2 * CHUNK / 512);
	EXPECT(lseek(fd, 0, SEEK_HOLE) == CHUNK);
	EXPECT(lseek(fd, CHUNK, SEEK_DATA) == 3 * CHUNK);
	EXPECT(ftruncate(fd, 3 * CHUNK + BLOCK + 1) == 0);
	EXPECT(blocks_of(fd) == (CHUNK + 2 * BLOCK) / 512);
	EXPECT(ftruncate(fd, CHUNK - 1) == 0);
	EXPECT(blocks_of(fd) == CHUNK / 512);
	EXPECT(ftruncate(fd, 0) == 0);
	EXPECT(blocks_of(fd) == 0);
	free(bytes);
	EXPECT(close(fd) == 0);
}

static void fallocate_refuses_what_it_cannot(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	int reader = open("f", O_RDONLY);
	struct statvfs fs;

	EXPECT(fd >= 0 && reader >= 0);
	EXPECT(ftruncate(fd, 4 * CHUNK) == 0);
	EXPECT_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, CHUNK),
	             EOPNOTSUPP);
	EXPECT_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, CHUNK),
	             EOPNOTSUPP);
	EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	EXPECT_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	EXPECT_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	EXPECT_ERRNO(fallocate(reader, 0, 0, 10), EBADF);
	EXPECT(statvfs(".", &fs) == 0);
	EXPECT_ERRNO(
	    fallocate(fd, 0, 0, (off_t)(fs.f_bavail * fs.f_frsize) + 64 * MIB),
	    ENOSPC);
	EXPECT(size_of("f") == 4 * CHUNK);
	EXPECT(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8 * CHUNK) == 0);
	EXPECT(size_of("f") == 4 * CHUNK);
	EXPECT(posix_fallocate(fd, 0, 8 * CHUNK) == 0);
	EXPECT(size_of("f") == 8 * CHUNK);
	EXPECT(close(reader) == 0 && close(fd) == 0);
}

/* ---- mappings ---------------------------------------------------------------- */

static int wait_for(pid_t child)
{
	int status = -1;

	return waitpid(child, &status, 0) == child ? status : -1;
}

static void mappings_of_processes_see_one_another(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *shared;
	pid_t child;

	EXPECT(fd >= 0 && ftruncate(fd, 3 * CHUNK) == 0);
	shared =
	    mmap(NULL, 3 * CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(shared != MAP_FAILED);
	child = fork();
	EXPECT(child >= 0);
	if (child == 0) {
		int own = open("f", O_RDWR);
		char *map = mmap(NULL, 3 * CHUNK, PROT_READ | PROT_WRITE,
		                 MAP_SHARED, own, 0);

		if (own < 0 || map == MAP_FAILED)
			_exit(1);
		memcpy(map + CHUNK - 2, "mapped", 6);
		_exit(pwrite(own, "written", 7, 2 * CHUNK) == 7 ? 0 : 1);
	}
	EXPECT(wait_for(child) == 0);
	EXPECT(memcmp(shared + CHUNK - 2, "mapped", 6) == 0);
	EXPECT(memcmp(shared + (size_t)2 * CHUNK, "written", 7) == 0);
	EXPECT(has_at(fd, CHUNK - 2, "mapped"));
	memcpy(shared, "unmapped", 8);
	EXPECT(munmap(shared, 3 * CHUNK) == 0);
	EXPECT(has_at(fd, 0, "unmapped"));
	EXPECT(close(fd) == 0);
}

static void private_stores_stay_private(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *map;

	EXPECT(fd >= 0 && pwrite(fd, "file", 4, 0) == 4);
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	EXPECT(map != MAP_FAILED);
	memcpy(map, "mine", 4);
	EXPECT(has_at(fd, 0, "file"));
	EXPECT(memcmp(map, "mine", 4) == 0);
	EXPECT(munmap(map, BLOCK) == 0);
	EXPECT(has_at(fd, 0, "file"));
	EXPECT(close(fd) == 0);
}

/* ---- ways to write ------------------------------------------------------------- */

static void direct_and_cached_io_agree(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	int direct = open("f", O_RDWR | O_DIRECT);
	char *bytes = aligned_alloc(BLOCK, 2 * CHUNK);

	EXPECT(fd >= 0 && direct >= 0 && bytes != NULL);
	memset(bytes, 'a', 2 * CHUNK);
	EXPECT(pwrite(fd, bytes, 2 * CHUNK, 0) == 2 * CHUNK);
	memset(bytes, 'b', BLOCK);
	EXPECT(pwrite(direct, bytes, BLOCK, CHUNK - BLOCK) == BLOCK);
	EXPECT(has_at(fd, CHUNK - BLOCK, "bbbb"));
	EXPECT(has_at(fd, CHUNK, "aaaa"));
	EXPECT(pwrite(fd, "cccc", 4, CHUNK) == 4);
	EXPECT(pread(direct, bytes, BLOCK, CHUNK) == BLOCK);
	EXPECT(memcmp(bytes, "ccccaaaa", 8) == 0);
	/* What is not aligned is refused, or done. */
	if (pwrite(direct, bytes + 1, 100, 33) == 100)
		EXPECT(has_at(fd, 33, "cccaaaaa"));
	EXPECT(pread(direct, bytes, 2 * CHUNK, CHUNK) == CHUNK);
	free(bytes);
	EXPECT(close(direct) == 0 && close(fd) == 0);
}

static void synchronous_writes_are_writes(void)
{
	static const int flags[] = {O_SYNC, O_DSYNC, O_SYNC | O_APPEND};
	struct iovec part = {"wxyz", 4};

	for (unsigned i = 0; i < 3; i++) {
		int fd = open("f", O_RDWR | O_CREAT | O_TRUNC | flags[i], 0644);

		EXPECT(fd >= 0);
		EXPECT(write(fd, "one", 3) == 3);
		EXPECT(write(fd, "two", 3) == 3);
		EXPECT(has_at(fd, 0, "onetwo"));
		EXPECT(pwritev2(fd, &part, 1, 6, RWF_DSYNC) == 4);
		EXPECT(pwritev2(fd, &part, 1, 0, RWF_APPEND | RWF_SYNC) == 4);
		EXPECT(has_at(fd, 0, "onetwowxyzwxyz"));
		EXPECT(syncfs(fd) == 0);
		EXPECT(close(fd) == 0);
	}
}

static bool copy(int fd, off_t from, off_t to, size_t len)
{
	while (len > 0) {
		ssize_t n = copy_file_range(fd, &from, fd, &to, len, 0);

		CHECK(n > 0);
		len -= (size_t)n;
	}
	return true;
}

static void copying_within_a_file_does_not_overlap(void)
{
	enum { LEN = 3 * MIB + 777 };
	int fd;
	off_t from = 0, to = 100;

	EXPECT(make_file("f", LEN, 1));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	EXPECT_ERRNO(copy_file_range(fd, &from, fd, &to, 101, 0), EINVAL);
	from = 100, to = 0;
	EXPECT_ERRNO(copy_file_range(fd, &from, fd, &to, 101, 0), EINVAL);
	EXPECT(copy(fd, 0, LEN, LEN));
	EXPECT(size_of("f") == 2 * LEN);
	EXPECT(ftruncate(fd, LEN) == 0);
	EXPECT(same_file("f", LEN, 1));
	from = LEN;
	EXPECT(copy_file_range(fd, &from, fd, &to, 10, 0) == 0);
	EXPECT(close(fd) == 0);
}

/* ---- locks, xattrs --------------------------------------------------------------- */

static void locks_belong_to_open_files(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
	struct flock other = {.l_type = F_RDLCK, .l_start = 15, .l_len = 1};
	int a = open("f", O_RDWR | O_CREAT, 0644);
	int b = open("f", O_RDWR);

	EXPECT(a >= 0 && b >= 0);
	EXPECT(fcntl(a, F_OFD_SETLK, &lock) == 0);
	EXPECT_ERRNO(fcntl(b, F_OFD_SETLK, &other), EAGAIN);
	other.l_start = 20;
	EXPECT(fcntl(b, F_OFD_SETLK, &other) == 0);
	other.l_start = 15;
	EXPECT(fcntl(b, F_OFD_GETLK, &other) == 0 && other.l_type == F_WRLCK);
	EXPECT(close(a) == 0);
	other = (struct flock){.l_type = F_RDLCK, .l_start = 15, .l_len = 1};
	EXPECT(fcntl(b, F_OFD_SETLK, &other) == 0);
	EXPECT(close(b) == 0);
}

static void user_xattrs_are_of_files_and_folders(void)
{
	static const char *const names[] = {"link", "fifo"};

	EXPECT(symlink("nowhere", "link") == 0);
	EXPECT(mkfifo("fifo", 0644) == 0);
	for (unsigned i = 0; i < 2; i++) {
		EXPECT_ERRNO(lsetxattr(names[i], "user.a", "x", 1, 0), EPERM);
		EXPECT_ERRNO(lgetxattr(names[i], "user.a", NULL, 0), ENODATA);
		EXPECT(llistxattr(names[i], NULL, 0) == 0);
		if (geteuid() != 0)
			continue;
		EXPECT(lsetxattr(names[i], "trusted.a", "x", 1, 0) == 0);
		EXPECT(lgetxattr(names[i], "trusted.a", NULL, 0) == 1);
		EXPECT(llistxattr(names[i], NULL, 0) == 10);
	}
	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(setxattr("f", "system.other", "x", 1, 0), EOPNOTSUPP);
	EXPECT_ERRNO(setxattr("f", "nonsense", "x", 1, 0), EOPNOTSUPP);
	EXPECT_ERRNO(setxattr("f", "user.", "x", 1, 0), EINVAL);
}

/* version 2, CAP_NET_RAW permitted and effective */
static const unsigned char capability[20] = {1, 0, 0, 2, 0, 0x20};

static bool has_capability(const char *name)
{
	return getxattr(name, "security.capability", NULL, 0) ==
	       sizeof(capability);
}

static bool give_capability(const char *name)
{
	return setxattr(name, "security.capability", capability,
	                sizeof(capability), 0) == 0 &&
	       has_capability(name);
}

static void changing_a_program_drops_its_capability(void)
{
	int fd;
	char *map;

	if (geteuid() != 0)
		return;
	EXPECT(make_file("f", 2 * BLOCK, 0));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	EXPECT(give_capability("f"));
	EXPECT(write(fd, "x", 1) == 1);
	EXPECT(!has_capability("f"));
	EXPECT(give_capability("f"));
	EXPECT(ftruncate(fd, BLOCK) == 0);
	EXPECT(!has_capability("f"));
	EXPECT(give_capability("f"));
	EXPECT(chown("f", 1, 1) == 0);
	EXPECT(!has_capability("f"));
	EXPECT(give_capability("f"));
	EXPECT(chmod("f", 0700) == 0);
	EXPECT(has_capability("f"));
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
	                 100) == 0);
	EXPECT(!has_capability("f"));
	EXPECT(give_capability("f"));
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(map != MAP_FAILED);
	map[1] = 'y';
	EXPECT(munmap(map, BLOCK) == 0 && close(fd) == 0);
}

static const struct claim claims[] = {
    CLAIM(sizes_end_at_8_eib),
    CLAIM(limit_of_a_process_is_efbig),
    CLAIM(blocks_are_those_that_are_stored),
    CLAIM(fallocate_refuses_what_it_cannot),
    CLAIM(mappings_of_processes_see_one_another),
    CLAIM(private_stores_stay_private),
    CLAIM(direct_and_cached_io_agree),
    CLAIM(synchronous_writes_are_writes),
    CLAIM(copying_within_a_file_does_not_overlap),
    CLAIM(locks_belong_to_open_files),
    CLAIM(user_xattrs_are_of_files_and_folders),
    CLAIM(changing_a_program_drops_its_capability),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
