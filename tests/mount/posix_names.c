/* SPDX-License-Identifier: MIT */
/* posix_names.c: names, links and directories behave as POSIX says. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum { NAME_BYTES = 255, TARGET_BYTES = 4095, MANY = 10000 };

static nlink_t links_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_nlink : 0;
}

static void full_folder_is_not_removed(void)
{
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(make_file("d/f", 1, 0));
	EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
	EXPECT(mkdir("e", 0755) == 0);
	EXPECT_ERRNO(rename("e", "d"), ENOTEMPTY);
	EXPECT(same_file("d/f", 1, 0));
	EXPECT(unlink("d/f") == 0);
	EXPECT(rename("e", "d") == 0);
	EXPECT(rmdir("d") == 0);
	EXPECT(!exists("d"));
}

static void taken_name_is_refused(void)
{
	EXPECT(make_file("f", 3, 0));
	EXPECT_ERRNO(open("f", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	EXPECT_ERRNO(mkdir("f", 0755), EEXIST);
	EXPECT_ERRNO(symlink("x", "f"), EEXIST);
	EXPECT_ERRNO(mknod("f", S_IFIFO | 0644, 0), EEXIST);
	EXPECT_ERRNO(link("f", "f"), EEXIST);
	EXPECT(same_file("f", 3, 0));
}

static void file_and_folder_are_not_mixed_up(void)
{
	EXPECT(make_file("f", 1, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT_ERRNO(open("d", O_WRONLY), EISDIR);
	EXPECT(unlink("d") < 0 && (errno == EISDIR || errno == EPERM));
	EXPECT_ERRNO(rmdir("f"), ENOTDIR);
	EXPECT_ERRNO(open("f/x", O_RDONLY), ENOTDIR);
	EXPECT_ERRNO(rename("f", "d"), EISDIR);
	EXPECT_ERRNO(rename("d", "f"), ENOTDIR);
	EXPECT_ERRNO(open("missing", O_RDONLY), ENOENT);
	EXPECT_ERRNO(unlink("missing"), ENOENT);
	EXPECT_ERRNO(rename("missing", "x"), ENOENT);
	EXPECT(link("d", "e") < 0 && errno == EPERM);
	EXPECT_ERRNO(rmdir("."), EINVAL);
}

static void name_of_255_bytes_is_the_longest(void)
{
	char name[NAME_BYTES + 2];

	memset(name, 'n', sizeof(name));
	name[NAME_BYTES] = '\0';
	EXPECT(make_file(name, 5, 1));
	EXPECT(same_file(name, 5, 1));
	EXPECT(unlink(name) == 0);
	name[NAME_BYTES] = 'n';
	name[NAME_BYTES + 1] = '\0';
	EXPECT_ERRNO(open(name, O_WRONLY | O_CREAT, 0644), ENAMETOOLONG);
	EXPECT_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
	EXPECT_ERRNO(symlink("x", name), ENAMETOOLONG);
	EXPECT_ERRNO(access(name, F_OK), ENAMETOOLONG);
	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(rename("f", name), ENAMETOOLONG);
	EXPECT_ERRNO(link("f", name), ENAMETOOLONG);
	EXPECT(links_of("f") == 1);
}

static void odd_names_are_kept(void)
{
	static const char *const names[] = {
	    " ", "\n",  "a\tb", "-rf", "\xff\xfe", "\xc3\xa4\xe2\x82\xac",
	    "*", "...", "\\",   "\"'",
	};
	const unsigned count = sizeof(names) / sizeof(names[0]);

	for (unsigned i = 0; i < count; i++)
		EXPECT(make_file(names[i], 10, i));
	for (unsigned i = 0; i < count; i++)
		EXPECT(same_file(names[i], 10, i));
}

static void other_filesystem_is_exdev(void)
{
	char outside[] = "/tmp/shalefs-exdev-XXXXXX";
	char name[64];
	int fd = mkstemp(outside);

	EXPECT(fd >= 0);
	close(fd);
	snprintf(name, sizeof(name), "%s.2", outside);
	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(rename("f", name), EXDEV);
	EXPECT_ERRNO(rename(outside, "g"), EXDEV);
	EXPECT_ERRNO(link("f", name), EXDEV);
	EXPECT(unlink(outside) == 0);
	EXPECT(exists("f"));
}

/* ---- rename -----------------------------------------------------------------
 */

static void rename_replaces_at_once(void)
{
	struct stat before, after;

	EXPECT(make_file("a", 100, 1));
	EXPECT(make_file("b", 200, 2));
	EXPECT(stat("a", &before) == 0);
	EXPECT(rename("a", "b") == 0);
	EXPECT(!exists("a"));
	EXPECT(same_file("b", 100, 1));
	EXPECT(stat("b", &after) == 0);
	EXPECT(before.st_ino == after.st_ino);
	EXPECT(rename("b", "b") == 0);
	EXPECT(exists("b"));
}

static void rename_noreplace_keeps_what_is_there(void)
{
	EXPECT(make_file("a", 10, 1));
	EXPECT(make_file("b", 10, 2));
	EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE),
	             EEXIST);
	EXPECT(same_file("a", 10, 1));
	EXPECT(same_file("b", 10, 2));
	EXPECT(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE) == 0);
	EXPECT(!exists("a"));
	EXPECT(same_file("c", 10, 1));
}

static void rename_exchange_swaps(void)
{
	EXPECT(make_file("a", 10, 1));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(mkdir("d/sub", 0755) == 0);
	EXPECT(make_file("d/sub/f", 10, 2));
	EXPECT(renameat2(AT_FDCWD, "a", AT_FDCWD, "d/sub", RENAME_EXCHANGE) ==
	       0);
	EXPECT(same_file("d/sub", 10, 1));
	EXPECT(same_file("a/f", 10, 2));
	/* The folder moved from `d` to here. */
	EXPECT(links_of("d") == 2);
	EXPECT(links_of(".") == 4);
	EXPECT_ERRNO(
	    renameat2(AT_FDCWD, "a", AT_FDCWD, "missing", RENAME_EXCHANGE),
	    ENOENT);
	EXPECT(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE) == 0);
	EXPECT(same_file("d/f", 10, 2));
	EXPECT(same_file("a/sub", 10, 1));
	EXPECT_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "d",
	                       RENAME_EXCHANGE | RENAME_NOREPLACE),
	             EINVAL);
}

static void folder_is_not_moved_into_itself(void)
{
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(mkdir("d/e", 0755) == 0);
	EXPECT_ERRNO(rename("d", "d/e/f"), EINVAL);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE),
	             EINVAL);
	EXPECT(exists("d/e"));
}

static void moved_folder_knows_its_parent(void)
{
	struct stat dotdot, here;

	EXPECT(mkdir("a", 0755) == 0);
	EXPECT(mkdir("b", 0755) == 0);
	EXPECT(mkdir("a/c", 0755) == 0);
	EXPECT(make_file("a/c/f", 10, 1));
	EXPECT(rename("a/c", "b/c") == 0);
	EXPECT(stat("b/c/..", &dotdot) == 0);
	EXPECT(stat("b", &here) == 0);
	EXPECT(dotdot.st_ino == here.st_ino);
	EXPECT(links_of("a") == 2);
	EXPECT(links_of("b") == 3);
	EXPECT(same_file("b/c/f", 10, 1));
}

/* ---- links
 * -------------------------------------------------------------------- */

static void links_are_counted(void)
{
	EXPECT(make_file("a", 10, 1));
	EXPECT(links_of("a") == 1);
	EXPECT(link("a", "b") == 0);
	EXPECT(link("b", "c") == 0);
	EXPECT(links_of("a") == 3);
	EXPECT(rename("a", "b") == 0); /* one file: nothing happens */
	EXPECT(exists("a"));
	EXPECT(unlink("a") == 0);
	EXPECT(links_of("b") == 2);
	EXPECT(make_file("d", 10, 2));
	EXPECT(rename("d", "b") == 0);
	EXPECT(links_of("c") == 1);
	EXPECT(same_file("c", 10, 1));

	EXPECT(links_of(".") == 2);
	EXPECT(mkdir("x", 0755) == 0);
	EXPECT(mkdir("y", 0755) == 0);
	EXPECT(links_of(".") == 4);
	EXPECT(rmdir("x") == 0);
	EXPECT(links_of(".") == 3);
}

static void symlink_holds_up_to_4095_bytes(void)
{
	char target[TARGET_BYTES + 2];
	char got[TARGET_BYTES + 1];

	memset(target, 't', sizeof(target));
	target[TARGET_BYTES] = '\0';
	EXPECT(symlink(target, "long") == 0);
	EXPECT(readlink("long", got, sizeof(got)) == TARGET_BYTES);
	EXPECT(memcmp(got, target, TARGET_BYTES) == 0);
	EXPECT(size_of("long") == TARGET_BYTES);
	target[TARGET_BYTES] = 't';
	target[TARGET_BYTES + 1] = '\0';
	EXPECT_ERRNO(symlink(target, "longer"), ENAMETOOLONG);
	EXPECT(symlink("x", "short") == 0);
	EXPECT(readlink("short", got, sizeof(got)) == 1 && got[0] == 'x');
	EXPECT(symlink("loop", "loop") == 0);
	EXPECT_ERRNO(open("loop", O_RDONLY), ELOOP);
	EXPECT(link("short", "second") == 0);
	EXPECT(links_of("short") == 2);
}

static void special_files_are_made(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	int fd;

	EXPECT(mkfifo("fifo", 0640) == 0);
	EXPECT(stat("fifo", &st) == 0);
	EXPECT(S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0640);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(fd >= 0);
	strcpy(address.sun_path, "socket");
	EXPECT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	close(fd);
	EXPECT(stat("socket", &st) == 0 && S_ISSOCK(st.st_mode));

	if (geteuid() != 0)
		return;
	EXPECT(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	EXPECT(stat("null", &st) == 0);
	EXPECT(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
	EXPECT(mknod("block", S_IFBLK | 0600, makedev(259, 70000)) == 0);
	EXPECT(stat("block", &st) == 0);
	EXPECT(S_ISBLK(st.st_mode) && st.st_rdev == makedev(259, 70000));
}

static void unnamed_file_gets_a_name(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	EXPECT(fd >= 0);
	EXPECT(write(fd, "hello", 5) == 5);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT(linkat(AT_FDCWD, path, AT_FDCWD, "f", AT_SYMLINK_FOLLOW) == 0);
	EXPECT(close(fd) == 0);
	EXPECT(size_of("f") == 5);
	EXPECT(links_of("f") == 1);
}

/* ---- directories
 * ----------------------------------------------------------------- */

/* Seen is how often each of the names 0, 1, 2 ... came. */
static bool scan(DIR *dir, unsigned char *seen, unsigned limit)
{
	const struct dirent *entry;

	for (unsigned i = 0; i < limit; i++) {
		char *end;
		unsigned long number;

		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return errno == 0;
		number = strtoul(entry->d_name, &end, 10);
		if (*end == '\0' && number < 2 * MANY)
			seen[number]++;
	}
	return true;
}

static bool make_numbered(unsigned from, unsigned count)
{
	char name[16];

	for (unsigned i = from; i < from + count; i++) {
		int fd;

		snprintf(name, sizeof(name), "%u", i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		if (fd < 0 || close(fd) != 0)
			return false;
	}
	return true;
}

static bool remove_numbered(unsigned from, unsigned to, unsigned stride)
{
	char name[16];

	for (unsigned i = from; i < to; i += stride) {
		snprintf(name, sizeof(name), "%u", i);
		if (unlink(name) != 0)
			return false;
	}
	return true;
}

static void folder_of_10000_lists_each_once(void)
{
	static unsigned char seen[2 * MANY];
	DIR *dir;

	memset(seen, 0, sizeof(seen));
	EXPECT(make_numbered(0, MANY));
	dir = opendir(".");
	EXPECT(dir != NULL);
	EXPECT(scan(dir, seen, 2 * MANY));
	closedir(dir);
	for (unsigned i = 0; i < MANY; i++)
		EXPECT(seen[i] == 1);

	/* While it is listed again, a third goes and others come. */
	memset(seen, 0, sizeof(seen));
	dir = opendir(".");
	EXPECT(dir != NULL);
	EXPECT(scan(dir, seen, MANY / 2));
	EXPECT(remove_numbered(0, MANY, 3));
	EXPECT(make_numbered(MANY, MANY / 10));
	EXPECT(scan(dir, seen, 2 * MANY));
	closedir(dir);
	for (unsigned i = 0; i < 2 * MANY; i++) {
		EXPECT(seen[i] <= 1);
		EXPECT(i >= MANY || i % 3 == 0 || seen[i] == 1);
	}
}

static void removal_during_a_scan_empties_the_folder(void)
{
	const struct dirent *entry;
	DIR *dir;

	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(chdir("d") == 0);
	EXPECT(make_numbered(0, 1000));
	dir = opendir(".");
	EXPECT(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			EXPECT(unlink(entry->d_name) == 0);
	}
	closedir(dir);
	EXPECT(chdir("..") == 0);
	EXPECT(rmdir("d") == 0);
}

static void seekdir_goes_back_to_telldir(void)
{
	char names[100][16];
	long places[100];
	DIR *dir;

	EXPECT(make_numbered(0, 2000));
	dir = opendir(".");
	EXPECT(dir != NULL);
	for (unsigned i = 0; i < 100; i++) {
		const struct dirent *entry;

		places[i] = telldir(dir);
		entry = readdir(dir);
		EXPECT(entry != NULL);
		snprintf(names[i], sizeof(names[i]), "%.15s", entry->d_name);
		for (unsigned skip = 0; skip < 10; skip++)
			EXPECT(readdir(dir) != NULL);
	}
	/* What comes and goes elsewhere does not move a place. */
	EXPECT(make_numbered(5000, 500));
	for (unsigned i = 100; i-- > 0;) {
		const struct dirent *entry;

		if (i % 2 == 0 && names[i][0] != '.')
			EXPECT(unlink(names[i]) == 0);
		if (i % 2 == 0)
			continue;
		seekdir(dir, places[i]);
		for (;;) {
			unsigned long number;

			entry = readdir(dir);
			EXPECT(entry != NULL);
			number = strtoul(entry->d_name, NULL, 10);
			if (number < 5000)
				break;
		}
		EXPECT(strcmp(entry->d_name, names[i]) == 0);
	}
	closedir(dir);
}

static void rewinddir_sees_what_is_new(void)
{
	static unsigned char seen[2 * MANY];
	DIR *dir;

	memset(seen, 0, sizeof(seen));
	EXPECT(make_numbered(0, 10));
	dir = opendir(".");
	EXPECT(dir != NULL);
	EXPECT(scan(dir, seen, MANY));
	EXPECT(make_numbered(10, 10));
	EXPECT(remove_numbered(0, 5, 1));
	rewinddir(dir);
	memset(seen, 0, sizeof(seen));
	EXPECT(scan(dir, seen, MANY));
	closedir(dir);
	for (unsigned i = 0; i < 20; i++)
		EXPECT(seen[i] == (i >= 5));
}

static void removed_folder_takes_no_new_names(void)
{
	int fd;

	EXPECT(mkdir("d", 0755) == 0);
	fd = open("d", O_RDONLY | O_DIRECTORY);
	EXPECT(fd >= 0);
	EXPECT(rmdir("d") == 0);
	EXPECT_ERRNO(openat(fd, "f", O_WRONLY | O_CREAT, 0644), ENOENT);
	EXPECT_ERRNO(mkdirat(fd, "e", 0755), ENOENT);
	EXPECT(close(fd) == 0);
}

/* ---- owners
 * ------------------------------------------------------------------------ */

static void umask_is_applied(void)
{
	struct stat st;
	int fd;

	umask(027);
	fd = open("f", O_WRONLY | O_CREAT, 0666);
	EXPECT(fd >= 0);
	close(fd);
	EXPECT(mkdir("d", 0777) == 0);
	umask(022);
	EXPECT(stat("f", &st) == 0 && (st.st_mode & 07777) == 0640);
	EXPECT(stat("d", &st) == 0 && (st.st_mode & 07777) == 0750);
}

static void sgid_folder_hands_on_its_group(void)
{
	gid_t group = geteuid() == 0 ? 4242 : getegid();
	struct stat st;

	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(chown("d", (uid_t)-1, group) == 0);
	EXPECT(chmod("d", 02775) == 0);
	EXPECT(make_file("d/f", 1, 0));
	EXPECT(mkdir("d/e", 0755) == 0);
	EXPECT(symlink("x", "d/l") == 0);
	EXPECT(stat("d/f", &st) == 0);
	EXPECT(st.st_gid == group && (st.st_mode & S_ISGID) == 0);
	EXPECT(stat("d/e", &st) == 0);
	EXPECT(st.st_gid == group && (st.st_mode & S_ISGID) != 0);
	EXPECT(lstat("d/l", &st) == 0 && st.st_gid == group);
}

static const struct claim claims[] = {
    CLAIM(full_folder_is_not_removed),
    CLAIM(taken_name_is_refused),
    CLAIM(file_and_folder_are_not_mixed_up),
    CLAIM(name_of_255_bytes_is_the_longest),
    CLAIM(odd_names_are_kept),
    CLAIM(other_filesystem_is_exdev),
    CLAIM(rename_replaces_at_once),
    CLAIM(rename_noreplace_keeps_what_is_there),
    CLAIM(rename_exchange_swaps),
    CLAIM(folder_is_not_moved_into_itself),
    CLAIM(moved_folder_knows_its_parent),
    CLAIM(links_are_counted),
    CLAIM(symlink_holds_up_to_4095_bytes),
    CLAIM(special_files_are_made),
    CLAIM(unnamed_file_gets_a_name),
    CLAIM(folder_of_10000_lists_each_once),
    CLAIM(removal_during_a_scan_empties_the_folder),
    CLAIM(seekdir_goes_back_to_telldir),
    CLAIM(rewinddir_sees_what_is_new),
    CLAIM(removed_folder_takes_no_new_names),
    CLAIM(umask_is_applied),
    CLAIM(sgid_folder_hands_on_its_group),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
