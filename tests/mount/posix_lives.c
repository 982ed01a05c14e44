/* SPDX-License-Identifier: MIT */
/*
 * posix_lives.c: how long files live: open without a name, never named, with
 * many names, found by a handle.
 *
 * What is claimed here holds on ext4 too. SHALEFS_LINKS says how many links a
 * file gets, 65,000 being the limit; SHALEFS_ENTRIES how large a folder is that is
 * listed while it changes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum {
	LINK_MAX_LINKS = 65000,
	SOME_LINKS = 1000,
	SOME_ENTRIES = 5000,
	BLOCK = 4096
};

static nlink_t links_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_nlink : (nlink_t)-1;
}

static ino_t number_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_ino : 0;
}

static int link_open(int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static int count_names(const char *folder)
{
	DIR *dir = opendir(folder);
	int count = 0;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count - 2; /* without "." and ".." */
}

/* ---- without a name -------------------------------------------------------- */

/* All that can be done with a file can be done through `fd`. */
static bool is_usable(int fd)
{
	char bytes[BLOCK];
	struct stat st;
	char *map;

	CHECK(pwrite(fd, "hello", 5, 100000) == 5);
	CHECK(pread(fd, bytes, 5, 100000) == 5 &&
	      memcmp(bytes, "hello", 5) == 0);
	CHECK(ftruncate(fd, 2 * BLOCK) == 0);
	CHECK(fallocate(fd, 0, 0, 3 * BLOCK) == 0);
	CHECK(fchmod(fd, 0640) == 0 && fsync(fd) == 0);
	CHECK(fsetxattr(fd, "user.a", "b", 1, 0) == 0);
	CHECK(fgetxattr(fd, "user.a", bytes, sizeof(bytes)) == 1);
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	map[10] = 'm';
	CHECK(msync(map, BLOCK, MS_SYNC) == 0 && munmap(map, BLOCK) == 0);
	CHECK(pread(fd, bytes, 1, 10) == 1 && bytes[0] == 'm');
	CHECK(fstat(fd, &st) == 0);
	CHECK(st.st_size == 3 * BLOCK && (st.st_mode & 07777) == 0640);
	return true;
}

static void unlinked_file_lives_while_it_is_open(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	ino_t number = number_of("f");

	EXPECT(fd >= 0 && write(fd, "abc", 3) == 3);
	EXPECT(unlink("f") == 0);
	EXPECT(links_of(fd) == 0);
	EXPECT(is_usable(fd));
	EXPECT_ERRNO(link_open(fd, "g"), ENOENT);
	EXPECT(make_file("f", 5, 0));
	EXPECT(number_of("f") != number);
	EXPECT(links_of(fd) == 0 && is_usable(fd));
	EXPECT(close(fd) == 0 && same_file("f", 5, 0));
}

static void replaced_file_lives_while_it_is_open(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	EXPECT(fd >= 0 && write(fd, "abc", 3) == 3);
	EXPECT(make_file("g", 5, 0));
	EXPECT(rename("g", "f") == 0);
	EXPECT(links_of(fd) == 0);
	EXPECT(is_usable(fd));
	EXPECT(close(fd) == 0 && same_file("f", 5, 0));
}

static void mapping_keeps_an_unlinked_file(void)
{
	uint8_t want[BLOCK];
	uint8_t *map;
	int fd;

	EXPECT(make_file("f", BLOCK, 3));
	fd = open("f", O_RDONLY);
	EXPECT(fd >= 0);
	map = mmap(NULL, BLOCK, PROT_READ, MAP_PRIVATE, fd, 0);
	EXPECT(map != MAP_FAILED && close(fd) == 0);
	EXPECT(unlink("f") == 0);
	fill_bytes(want, BLOCK, 0, 3);
	EXPECT(memcmp(map, want, BLOCK) == 0);
	EXPECT(munmap(map, BLOCK) == 0);
}

/* Nothing can be made in it any more. */
static bool is_dead_folder(int fd)
{
	char bytes[1024];
	struct stat st;

	CHECK(fstat(fd, &st) == 0 && S_ISDIR(st.st_mode));
	CHECK(st.st_nlink == 0);
	CHECK(openat(fd, "f", O_WRONLY | O_CREAT, 0644) < 0 && errno == ENOENT);
	/* ext4 says EPERM. */
	CHECK(openat(fd, ".", O_WRONLY | O_TMPFILE, 0644) < 0);
	CHECK(errno == ENOENT || errno == EPERM);
	CHECK(mkdirat(fd, "d", 0755) < 0 && errno == ENOENT);
	CHECK(mknodat(fd, "n", S_IFIFO | 0644, 0) < 0 && errno == ENOENT);
	CHECK(symlinkat("t", fd, "l") < 0 && errno == ENOENT);
	CHECK(linkat(AT_FDCWD, "file", fd, "l", 0) < 0 && errno == ENOENT);
	CHECK(renameat(AT_FDCWD, "file", fd, "l") < 0 && errno == ENOENT);
	CHECK(getdents64(fd, bytes, sizeof(bytes)) < 0 && errno == ENOENT);
	CHECK(fchmod(fd, 0700) == 0 && futimens(fd, NULL) == 0);
	return true;
}

static void removed_folder_is_dead(void)
{
	int fd;

	EXPECT(make_file("file", 1, 0));
	EXPECT(mkdir("d", 0755) == 0);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	EXPECT(fd >= 0 && rmdir("d") == 0);
	EXPECT(is_dead_folder(fd) && close(fd) == 0);
	EXPECT(mkdir("d", 0755) == 0 && exists("file"));
}

static void replaced_folder_is_dead(void)
{
	int fd;

	EXPECT(make_file("file", 1, 0));
	EXPECT(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
	EXPECT(make_file("e/f", 1, 0));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	EXPECT(fd >= 0 && rename("e", "d") == 0);
	EXPECT(is_dead_folder(fd) && close(fd) == 0);
	EXPECT(exists("d/f") && exists("file"));
}

static void working_folder_may_be_removed(void)
{
	char path[4096];
	struct stat st;

	EXPECT(mkdir("d", 0755) == 0 && chdir("d") == 0);
	EXPECT(rmdir("../d") == 0);
	EXPECT(getcwd(path, sizeof(path)) == NULL && errno == ENOENT);
	EXPECT(stat(".", &st) == 0 && st.st_nlink == 0);
	EXPECT_ERRNO(open("f", O_WRONLY | O_CREAT, 0644), ENOENT);
	EXPECT_ERRNO(stat("f", &st), ENOENT);
	EXPECT(chdir("..") == 0);
	EXPECT(!exists("d"));
}

static void open_file_follows_its_folder(void)
{
	char byte;
	int fd;

	EXPECT(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0);
	EXPECT(mkdir("z", 0755) == 0);
	fd = open("a/b/f", O_RDWR | O_CREAT, 0644);
	EXPECT(fd >= 0 && rename("a/b", "z/b") == 0);
	EXPECT(write(fd, "x", 1) == 1 && size_of("z/b/f") == 1);
	EXPECT(rename("z/b/f", "g") == 0 && write(fd, "y", 1) == 1);
	EXPECT(size_of("g") == 2 && links_of(fd) == 1);
	EXPECT(pread(fd, &byte, 1, 1) == 1 && byte == 'y');
	EXPECT(close(fd) == 0);
}

/* ---- never named ----------------------------------------------------------- */

static void unnamed_file_is_like_others(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0644);
	struct stat before, after;

	EXPECT(fd >= 0);
	EXPECT(links_of(fd) == 0 && count_names(".") == 0);
	EXPECT(is_usable(fd));
	EXPECT(fstat(fd, &before) == 0);
	EXPECT(link_open(fd, "f") == 0);
	EXPECT(links_of(fd) == 1 && count_names(".") == 1);
	EXPECT(stat("f", &after) == 0 && before.st_ino == after.st_ino);
	EXPECT(before.st_dev == after.st_dev && after.st_size == 3 * BLOCK);
	EXPECT(link_open(fd, "g") == 0 && links_of(fd) == 2);
	EXPECT_ERRNO(link_open(fd, "g"), EEXIST);
	EXPECT(unlink("f") == 0 && unlink("g") == 0);
	/* Named once and unlinked, it is gone for good. */
	EXPECT_ERRNO(link_open(fd, "f"), ENOENT);
	EXPECT(is_usable(fd) && close(fd) == 0);
	EXPECT(count_names(".") == 0);
}

static void unnamed_file_may_be_kept_so(void)
{
	int fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0644);

	EXPECT(fd >= 0);
	EXPECT_ERRNO(link_open(fd, "f"), ENOENT);
	EXPECT(is_usable(fd) && close(fd) == 0);
	EXPECT(count_names(".") == 0);
}

static void unnamed_file_is_made_like_a_named_one(void)
{
	struct stat folder, st;
	int fd;

	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(geteuid() != 0 || chown("d", 0, 4242) == 0);
	EXPECT(chmod("d", 02755) == 0);
	EXPECT(stat("d", &folder) == 0);
	umask(027);
	fd = open("d", O_TMPFILE | O_WRONLY, 0666);
	umask(022);
	EXPECT(fd >= 0 && fstat(fd, &st) == 0);
	EXPECT(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640);
	EXPECT(st.st_uid == geteuid() && st.st_gid == folder.st_gid);
	/* The folder got no name, and has not changed. */
	EXPECT(stat("d", &st) == 0);
	EXPECT(st.st_mtim.tv_nsec == folder.st_mtim.tv_nsec);
	EXPECT(st.st_ctim.tv_nsec == folder.st_ctim.tv_nsec);
	EXPECT(close(fd) == 0 && rmdir("d") == 0);
}

static void many_unnamed_files_come_and_go(void)
{
	int fds[100];

	for (unsigned i = 0; i < 100; i++) {
		fds[i] = open(".", O_TMPFILE | O_RDWR, 0600);
		EXPECT(fds[i] >= 0 && write(fds[i], &i, sizeof(i)) > 0);
	}
	for (unsigned i = 0; i < 100; i++) {
		unsigned got;

		EXPECT(pread(fds[i], &got, sizeof(got), 0) == sizeof(got));
		EXPECT(got == i && close(fds[i]) == 0);
	}
}

/* ---- many names ------------------------------------------------------------ */

static void file_has_up_to_65000_links(void)
{
	const char *wanted = getenv("SHALEFS_LINKS");
	unsigned limit = SOME_LINKS;
	char name[16];
	struct stat st;

	if (wanted != NULL)
		limit = (unsigned)strtoul(wanted, NULL, 10);
	EXPECT(limit > 1 && limit <= LINK_MAX_LINKS);
	EXPECT(make_file("0", 10, 0));
	for (unsigned i = 1; i < limit; i++) {
		snprintf(name, sizeof(name), "%u", i);
		EXPECT(link("0", name) == 0);
	}
	EXPECT(stat("0", &st) == 0 && st.st_nlink == limit);
	if (limit == LINK_MAX_LINKS) {
		EXPECT_ERRNO(link("0", "more"), EMLINK);
		EXPECT(unlink("7") == 0 && link("0", "7") == 0);
		EXPECT_ERRNO(link("0", "more"), EMLINK);
		EXPECT(rename("8", "9") == 0); /* one file: nothing happens */
		EXPECT(rename("8", "more") == 0);
	} else {
		EXPECT(link("0", "more") == 0);
	}
	EXPECT(same_file("more", 10, 0));
}

/* ---- listing what changes --------------------------------------------------- */

/* Names that come, change and go, until this is killed. */
static _Noreturn void churn(void)
{
	char name[32], next[32];

	for (unsigned i = 0;; i++) {
		int fd;

		snprintf(name, sizeof(name), "x%u", i % 50);
		snprintf(next, sizeof(next), "y%u", i % 70);
		fd = open(name, O_WRONLY | O_CREAT, 0644);
		if (fd >= 0)
			close(fd);
		if (i % 3 == 0)
			rename(name, next);
		if (i % 7 == 0)
			unlink(next);
	}
}

/* Whether a listing has each of the names 0, 1, 2 ... exactly once. */
static bool lists_each_once(unsigned char *seen, unsigned count)
{
	const struct dirent *entry;
	DIR *dir = opendir(".");

	CHECK(dir != NULL);
	memset(seen, 0, count);
	while ((entry = readdir(dir)) != NULL) {
		char *end;
		unsigned long number = strtoul(entry->d_name, &end, 10);

		if (end == entry->d_name || *end != '\0')
			continue;
		CHECK(number < count);
		seen[number]++;
	}
	closedir(dir);
	for (unsigned i = 0; i < count; i++)
		CHECK(seen[i] == 1);
	return true;
}

static void what_stays_is_listed_once_while_others_come_and_go(void)
{
	const char *wanted = getenv("SHALEFS_ENTRIES");
	unsigned count = SOME_ENTRIES;
	unsigned char *seen;
	bool listed = true;
	char name[16];
	pid_t child;

	if (wanted != NULL)
		count = (unsigned)strtoul(wanted, NULL, 10);
	seen = malloc(count);
	EXPECT(seen != NULL);
	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%u", i);
		EXPECT(mknod(name, S_IFREG | 0644, 0) == 0);
	}
	child = fork();
	if (child == 0)
		churn();
	EXPECT(child > 0);
	for (unsigned i = 0; listed && i < 5; i++)
		listed = lists_each_once(seen, count);
	kill(child, SIGKILL);
	EXPECT(waitpid(child, NULL, 0) == child);
	free(seen);
	EXPECT(listed);
}

/* ---- handles --------------------------------------------------------------- */

struct handle {
	struct file_handle head;
	char bytes[MAX_HANDLE_SZ];
};

static bool get_handle(const char *name, struct handle *handle)
{
	int mount;

	handle->head.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(AT_FDCWD, name, &handle->head, &mount, 0) == 0;
}

static int open_handle(struct handle *handle, int flags)
{
	return open_by_handle_at(AT_FDCWD, &handle->head, flags);
}

static void handle_opens_what_it_was_made_for(void)
{
	struct handle file, folder, again;
	char byte;
	int fd;

	if (geteuid() != 0)
		return;
	EXPECT(mkdir("d", 0755) == 0 && make_file("d/f", 10, 0));
	EXPECT(get_handle("d/f", &file) && get_handle("d", &folder));
	EXPECT(rename("d/f", "g") == 0);
	fd = open_handle(&file, O_RDWR);
	EXPECT(fd >= 0 && links_of(fd) == 1);
	EXPECT(write(fd, "abc", 3) == 3 && close(fd) == 0);
	EXPECT(get_handle("g", &again));
	EXPECT(again.head.handle_bytes == file.head.handle_bytes);
	EXPECT(memcmp(again.bytes, file.bytes, file.head.handle_bytes) == 0);

	fd = open_handle(&folder, O_RDONLY | O_DIRECTORY);
	EXPECT(fd >= 0 && faccessat(fd, "../g", F_OK, 0) == 0);
	EXPECT(close(fd) == 0);
	EXPECT_ERRNO(open_handle(&folder, O_WRONLY), EISDIR);

	/* Unlinked, it is there for as long as it is open. */
	fd = open("g", O_RDONLY);
	EXPECT(fd >= 0 && unlink("g") == 0);
	EXPECT(close(open_handle(&file, O_RDONLY)) == 0);
	EXPECT(read(fd, &byte, 1) == 1 && byte == 'a' && close(fd) == 0);
}

static const struct claim claims[] = {
    CLAIM(unlinked_file_lives_while_it_is_open),
    CLAIM(replaced_file_lives_while_it_is_open),
    CLAIM(mapping_keeps_an_unlinked_file),
    CLAIM(removed_folder_is_dead),
    CLAIM(replaced_folder_is_dead),
    CLAIM(working_folder_may_be_removed),
    CLAIM(open_file_follows_its_folder),
    CLAIM(unnamed_file_is_like_others),
    CLAIM(unnamed_file_may_be_kept_so),
    CLAIM(unnamed_file_is_made_like_a_named_one),
    CLAIM(many_unnamed_files_come_and_go),
    CLAIM(file_has_up_to_65000_links),
    CLAIM(what_stays_is_listed_once_while_others_come_and_go),
    CLAIM(handle_opens_what_it_was_made_for),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
