/* SPDX-License-Identifier: MIT */
/* posix_data.c: what is written is what is read, holes and all. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum { CHUNK = 64 << 10, MIB = 1 << 20 };

/* Whether `len` bytes at `offset` are all `byte`. */
static bool all_are(int fd, off_t offset, size_t len, uint8_t byte)
{
	uint8_t *bytes = malloc(len);
	bool same =
	    bytes != NULL && pread(fd, bytes, len, offset) == (ssize_t)len;

	for (size_t i = 0; same && i < len; i++)
		same = bytes[i] == byte;
	free(bytes);
	return same;
}

static bool put_all(int fd, off_t offset, size_t len, uint8_t byte)
{
	uint8_t *bytes = malloc(len);
	bool done;

	if (bytes == NULL)
		return false;
	memset(bytes, byte, len);
	done = pwrite(fd, bytes, len, offset) == (ssize_t)len;
	free(bytes);
	return done;
}

static blkcnt_t blocks_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_blocks : -1;
}

static off_t end_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

static void sizes_around_every_border_are_kept(void)
{
	static const size_t sizes[] = {
	    0,         1,      4095,    4096, 4097,    CHUNK - 1,    CHUNK,
	    CHUNK + 1, 200000, MIB - 1, MIB,  MIB + 1, 3 * MIB + 17,
	};
	char name[32];

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "f%u", i);
		EXPECT(make_file(name, sizes[i], i));
		EXPECT(size_of(name) == (off_t)sizes[i]);
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(name, sizeof(name), "f%u", i);
		EXPECT(same_file(name, sizes[i], i));
	}
}

static void o_trunc_empties(void)
{
	int fd;

	EXPECT(make_file("f", 100000, 1));
	fd = open("f", O_WRONLY | O_TRUNC);
	EXPECT(fd >= 0);
	EXPECT(end_of(fd) == 0);
	EXPECT(write(fd, "x", 1) == 1);
	EXPECT(close(fd) == 0);
	EXPECT(size_of("f") == 1);
	/* Without O_TRUNC the rest stays. */
	EXPECT(make_file("g", 1000, 2));
	fd = open("g", O_WRONLY);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(same_file("g", 1000, 2));
}

static void truncate_cuts_and_grows_with_zeros(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 0, 200000, 'x'));
	EXPECT(ftruncate(fd, 70000) == 0);
	EXPECT(end_of(fd) == 70000);
	EXPECT(ftruncate(fd, 200000) == 0);
	EXPECT(all_are(fd, 0, 70000, 'x'));
	EXPECT(all_are(fd, 70000, 130000, 0));
	EXPECT(truncate("f", 0) == 0);
	EXPECT(blocks_of(fd) == 0);
	EXPECT(truncate("f", 10) == 0);
	EXPECT(all_are(fd, 0, 10, 0));
	EXPECT(close(fd) == 0);
}

static void huge_offset_makes_a_sparse_file(void)
{
	const off_t far = (off_t)1 << 42;
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char byte;

	EXPECT(fd >= 0);
	EXPECT(pwrite(fd, "end", 3, far) == 3);
	EXPECT(end_of(fd) == far + 3);
	EXPECT(blocks_of(fd) <= CHUNK / 512);
	EXPECT(all_are(fd, far / 2, 1000, 0));
	EXPECT(pread(fd, &byte, 1, far + 2) == 1 && byte == 'd');
	EXPECT(pread(fd, &byte, 1, far + 3) == 0);
	EXPECT(lseek(fd, 0, SEEK_DATA) <= far);
	EXPECT(lseek(fd, 0, SEEK_DATA) >= far - CHUNK);
	EXPECT(ftruncate(fd, 1) == 0);
	EXPECT(blocks_of(fd) == 0);
	EXPECT(close(fd) == 0);
	EXPECT_ERRNO(truncate("f", -1), EINVAL);
}

static void seek_finds_holes_and_data(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 4 * CHUNK, CHUNK, 'x'));
	EXPECT(put_all(fd, 8 * CHUNK, CHUNK, 'y'));
	EXPECT(ftruncate(fd, 12 * CHUNK) == 0);
	EXPECT(lseek(fd, 0, SEEK_HOLE) == 0);
	EXPECT(lseek(fd, 0, SEEK_DATA) == 4 * CHUNK);
	EXPECT(lseek(fd, 4 * CHUNK, SEEK_HOLE) == 5 * CHUNK);
	EXPECT(lseek(fd, 5 * CHUNK, SEEK_DATA) == 8 * CHUNK);
	EXPECT(lseek(fd, 8 * CHUNK + 1, SEEK_DATA) == 8 * CHUNK + 1);
	EXPECT_ERRNO(lseek(fd, 9 * CHUNK, SEEK_DATA), ENXIO);
	EXPECT_ERRNO(lseek(fd, 12 * CHUNK, SEEK_HOLE), ENXIO);
	EXPECT(lseek(fd, 0, SEEK_END) == 12 * CHUNK);
	EXPECT(close(fd) == 0);
}

/* ---- fallocate
 * ------------------------------------------------------------------ */

static void reserve_grows_and_keeps_bytes(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 0, 100, 'x'));
	EXPECT(fallocate(fd, 0, 0, 300000) == 0);
	EXPECT(end_of(fd) == 300000);
	EXPECT(all_are(fd, 0, 100, 'x'));
	EXPECT(all_are(fd, 100, 299900, 0));
	EXPECT(fallocate(fd, FALLOC_FL_KEEP_SIZE, 300000, MIB) == 0);
	EXPECT(end_of(fd) == 300000);
	EXPECT(posix_fallocate(fd, 0, 400000) == 0);
	EXPECT(end_of(fd) == 400000);
	EXPECT_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	EXPECT(close(fd) == 0);
}

static void punched_hole_reads_as_zeros(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	blkcnt_t before;

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 0, 10 * CHUNK, 'x'));
	before = blocks_of(fd);
	EXPECT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000,
	                 5 * CHUNK) == 0);
	EXPECT(end_of(fd) == 10 * CHUNK);
	EXPECT(all_are(fd, 0, 1000, 'x'));
	EXPECT(all_are(fd, 1000, 5 * CHUNK, 0));
	EXPECT(all_are(fd, 1000 + 5 * CHUNK, 5 * CHUNK - 1000, 'x'));
	EXPECT(blocks_of(fd) <= before - 4 * CHUNK / 512);
	EXPECT(close(fd) == 0);
}

static void zeroed_range_reads_as_zeros(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 0, 3 * CHUNK, 'x'));
	EXPECT(fallocate(fd, FALLOC_FL_ZERO_RANGE, 10, 2 * CHUNK) == 0);
	EXPECT(end_of(fd) == 3 * CHUNK);
	EXPECT(all_are(fd, 0, 10, 'x'));
	EXPECT(all_are(fd, 10, 2 * CHUNK, 0));
	EXPECT(all_are(fd, 2 * CHUNK + 10, CHUNK - 10, 'x'));
	EXPECT(fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * CHUNK, CHUNK) == 0);
	EXPECT(end_of(fd) == 4 * CHUNK);
	EXPECT(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	                 4 * CHUNK, CHUNK) == 0);
	EXPECT(end_of(fd) == 4 * CHUNK);
	EXPECT_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, CHUNK),
	             EOPNOTSUPP);
	EXPECT(close(fd) == 0);
}

/* ---- copying
 * ---------------------------------------------------------------------- */

static void copy_file_range_copies(void)
{
	off_t from_at = 1000, to_at = 77;
	uint8_t *want = malloc(3 * MIB), *got = malloc(3 * MIB);
	size_t left = 2 * MIB + 12345;
	size_t len = left;
	int from, to;

	EXPECT(want != NULL && got != NULL);
	EXPECT(make_file("from", 3 * MIB, 5));
	from = open("from", O_RDWR);
	to = open("to", O_RDWR | O_CREAT, 0644);
	EXPECT(from >= 0 && to >= 0);
	while (left > 0) {
		ssize_t done =
		    copy_file_range(from, &from_at, to, &to_at, left, 0);

		EXPECT(done > 0);
		left -= (size_t)done;
	}
	EXPECT(end_of(to) == (off_t)(77 + len));
	fill_bytes(want, len, 1000, 5);
	EXPECT(pread(to, got, len, 77) == (ssize_t)len);
	EXPECT(memcmp(want, got, len) == 0);
	EXPECT(all_are(to, 0, 77, 0));

	/* Within one file: ranges apart are copied, an overlap is refused. */
	from_at = 0;
	to_at = 4 * MIB;
	EXPECT(copy_file_range(from, &from_at, from, &to_at, 1000, 0) == 1000);
	EXPECT(end_of(from) == 4 * MIB + 1000);
	from_at = 0;
	to_at = 500;
	EXPECT_ERRNO(copy_file_range(from, &from_at, from, &to_at, 1000, 0),
	             EINVAL);
	from_at = 5 * MIB;
	to_at = 0;
	EXPECT(copy_file_range(from, &from_at, to, &to_at, 10, 0) == 0);
	EXPECT(close(from) == 0 && close(to) == 0);
	free(want);
	free(got);
}

static void mapped_stores_are_written(void)
{
	const size_t len = 3 * CHUNK + 100;
	uint8_t *bytes, *want = malloc(len);
	int fd;

	EXPECT(want != NULL);
	EXPECT(make_file("f", len, 1));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(bytes != MAP_FAILED);
	fill_bytes(want, len, 0, 1);
	EXPECT(memcmp(bytes, want, len) == 0);
	fill_bytes(bytes, len, 0, 2);
	EXPECT(msync(bytes, len, MS_SYNC) == 0);
	EXPECT(munmap(bytes, len) == 0);
	EXPECT(close(fd) == 0);
	EXPECT(same_file("f", len, 2));
	free(want);
}

static void mapping_sees_what_write_wrote(void)
{
	uint8_t *bytes;
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0);
	EXPECT(put_all(fd, 0, CHUNK, 'a'));
	bytes = mmap(NULL, CHUNK, PROT_READ, MAP_SHARED, fd, 0);
	EXPECT(bytes != MAP_FAILED);
	EXPECT(bytes[5000] == 'a');
	EXPECT(put_all(fd, 5000, 1, 'b'));
	EXPECT(bytes[5000] == 'b');
	EXPECT(munmap(bytes, CHUNK) == 0);
	EXPECT(close(fd) == 0);
}

/* ---- several processes
 * -------------------------------------------------------------- */

enum { APPENDERS = 4, APPENDS = 500, RECORD = 37 };

static int append_records(unsigned who)
{
	int fd = open("f", O_WRONLY | O_APPEND);
	char record[RECORD];

	if (fd < 0)
		return 1;
	for (unsigned i = 0; i < APPENDS; i++) {
		memset(record, 'a' + (int)who, sizeof(record));
		snprintf(record, sizeof(record), "%u %u ", who, i);
		record[strlen(record)] = '.';
		record[RECORD - 1] = '\n';
		if (write(fd, record, RECORD) != RECORD)
			return 1;
	}
	return close(fd) != 0;
}

static bool reap(unsigned count)
{
	bool good = true;

	for (unsigned i = 0; i < count; i++) {
		int status;

		if (wait(&status) < 0 || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != 0)
			good = false;
	}
	return good;
}

static void appends_of_several_processes_are_whole(void)
{
	unsigned next[APPENDERS] = {0};
	char record[RECORD + 1];
	FILE *file;

	EXPECT(make_file("f", 0, 0));
	fflush(stdout);
	for (unsigned who = 0; who < APPENDERS; who++) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (pid == 0)
			_exit(append_records(who));
	}
	EXPECT(reap(APPENDERS));
	EXPECT(size_of("f") == APPENDERS * APPENDS * RECORD);
	file = fopen("f", "r");
	EXPECT(file != NULL);
	while (fgets(record, sizeof(record), file) != NULL) {
		unsigned who, number;

		EXPECT(sscanf(record, "%u %u ", &who, &number) == 2);
		EXPECT(who < APPENDERS && number == next[who]);
		next[who]++;
	}
	fclose(file);
	for (unsigned who = 0; who < APPENDERS; who++)
		EXPECT(next[who] == APPENDS);
}

/* Add one to the number in the file, under its lock. */
static int count_up(unsigned times)
{
	int fd = open("f", O_RDWR);

	if (fd < 0)
		return 1;
	for (unsigned i = 0; i < times; i++) {
		char text[16] = {0};

		if (flock(fd, LOCK_EX) != 0 ||
		    pread(fd, text, sizeof(text) - 1, 0) < 0)
			return 1;
		snprintf(text, sizeof(text), "%lu\n",
		         strtoul(text, NULL, 10) + 1);
		if (pwrite(fd, text, strlen(text), 0) < 0 ||
		    flock(fd, LOCK_UN) != 0)
			return 1;
	}
	return close(fd) != 0;
}

static void flock_keeps_processes_apart(void)
{
	char text[16] = {0};
	int fd;

	EXPECT(make_file("f", 0, 0));
	fflush(stdout);
	for (unsigned i = 0; i < APPENDERS; i++) {
		pid_t pid = fork();

		EXPECT(pid >= 0);
		if (pid == 0)
			_exit(count_up(200));
	}
	EXPECT(reap(APPENDERS));
	fd = open("f", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT(read(fd, text, sizeof(text) - 1) > 0);
	EXPECT(strtoul(text, NULL, 10) == APPENDERS * 200);
	close(fd);
}

static void fcntl_lock_keeps_others_out(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	pid_t pid;

	EXPECT(fd >= 0);
	EXPECT(fcntl(fd, F_SETLK, &lock) == 0);
	fflush(stdout);
	pid = fork();
	EXPECT(pid >= 0);
	if (pid == 0) {
		int mine = open("f", O_RDWR);

		_exit(fcntl(mine, F_SETLK, &lock) == 0 ? 1 : 0);
	}
	EXPECT(reap(1));
	EXPECT(close(fd) == 0);
}

/* ---- without a name
 * ------------------------------------------------------------------ */

static void unlinked_open_file_lives_on(void)
{
	struct stat st;
	int fd;

	EXPECT(make_file("f", 300000, 3));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	EXPECT(unlink("f") == 0);
	EXPECT(!exists("f"));
	EXPECT(fstat(fd, &st) == 0 && st.st_nlink == 0);
	EXPECT(put_all(fd, 400000, 1000, 'z'));
	EXPECT(all_are(fd, 400000, 1000, 'z'));
	EXPECT(all_are(fd, 300000, 100000, 0));
	EXPECT(ftruncate(fd, 10) == 0);
	EXPECT(fchmod(fd, 0600) == 0);
	EXPECT(fstat(fd, &st) == 0);
	EXPECT(st.st_size == 10 && (st.st_mode & 0777) == 0600);
	/* The name is free for another. */
	EXPECT(make_file("f", 5, 4));
	EXPECT(end_of(fd) == 10);
	EXPECT(close(fd) == 0);
	EXPECT(same_file("f", 5, 4));
}

static void replaced_open_file_lives_on(void)
{
	int fd;

	EXPECT(make_file("f", 1000, 1));
	EXPECT(make_file("g", 1000, 2));
	fd = open("f", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT(rename("g", "f") == 0);
	EXPECT(same_file("f", 1000, 2));
	EXPECT(end_of(fd) == 1000);
	EXPECT(close(fd) == 0);
}

static void fsync_returns(void)
{
	int fd = open("f", O_RDWR | O_CREAT | O_SYNC, 0644);
	int dir = open(".", O_RDONLY | O_DIRECTORY);

	EXPECT(fd >= 0 && dir >= 0);
	EXPECT(put_all(fd, 0, 1000, 'x'));
	EXPECT(fsync(fd) == 0);
	EXPECT(fdatasync(fd) == 0);
	EXPECT(fsync(dir) == 0);
	EXPECT(syncfs(dir) == 0);
	EXPECT(close(fd) == 0 && close(dir) == 0);
}

static const struct claim claims[] = {
    CLAIM(sizes_around_every_border_are_kept),
    CLAIM(o_trunc_empties),
    CLAIM(truncate_cuts_and_grows_with_zeros),
    CLAIM(huge_offset_makes_a_sparse_file),
    CLAIM(seek_finds_holes_and_data),
    CLAIM(reserve_grows_and_keeps_bytes),
    CLAIM(punched_hole_reads_as_zeros),
    CLAIM(zeroed_range_reads_as_zeros),
    CLAIM(copy_file_range_copies),
    CLAIM(mapped_stores_are_written),
    CLAIM(mapping_sees_what_write_wrote),
    CLAIM(appends_of_several_processes_are_whole),
    CLAIM(flock_keeps_processes_apart),
    CLAIM(fcntl_lock_keeps_others_out),
    CLAIM(unlinked_open_file_lives_on),
    CLAIM(replaced_open_file_lives_on),
    CLAIM(fsync_returns),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
