/* SPDX-License-Identifier: MIT */
/* posix_attrs.c: modes, owners, times, extended attributes, statfs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum { MAX_XATTR = 65536, MAX_XATTR_NAME = 255 };

static bool xattr_is(const char *file, const char *name, const char *value)
{
	char got[256];
	ssize_t len = lgetxattr(file, name, got, sizeof(got));

	return len == (ssize_t)strlen(value) &&
	       memcmp(got, value, (size_t)len) == 0;
}

static void xattrs_are_set_listed_and_removed(void)
{
	char list[256];

	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(getxattr("f", "user.a", list, sizeof(list)), ENODATA);
	EXPECT(listxattr("f", list, sizeof(list)) == 0);
	EXPECT(setxattr("f", "user.a", "one", 3, 0) == 0);
	EXPECT(setxattr("f", "user.b", "", 0, 0) == 0);
	EXPECT(xattr_is("f", "user.a", "one"));
	EXPECT(xattr_is("f", "user.b", ""));
	EXPECT(listxattr("f", NULL, 0) == 14);
	EXPECT(listxattr("f", list, sizeof(list)) == 14);
	EXPECT(memmem(list, 14, "user.a", 7) != NULL);
	EXPECT(memmem(list, 14, "user.b", 7) != NULL);
	EXPECT_ERRNO(listxattr("f", list, 5), ERANGE);
	EXPECT_ERRNO(getxattr("f", "user.a", list, 2), ERANGE);
	EXPECT(getxattr("f", "user.a", NULL, 0) == 3);
	EXPECT(removexattr("f", "user.a") == 0);
	EXPECT_ERRNO(removexattr("f", "user.a"), ENODATA);
	EXPECT(listxattr("f", list, sizeof(list)) == 7);
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(setxattr("d", "user.a", "dir", 3, 0) == 0);
	EXPECT(xattr_is("d", "user.a", "dir"));
}

static void xattr_create_and_replace_look_first(void)
{
	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(setxattr("f", "user.a", "x", 1, XATTR_REPLACE), ENODATA);
	EXPECT(setxattr("f", "user.a", "x", 1, XATTR_CREATE) == 0);
	EXPECT_ERRNO(setxattr("f", "user.a", "y", 1, XATTR_CREATE), EEXIST);
	EXPECT(xattr_is("f", "user.a", "x"));
	EXPECT(setxattr("f", "user.a", "zz", 2, XATTR_REPLACE) == 0);
	EXPECT(xattr_is("f", "user.a", "zz"));
}

static void xattr_limits_are_held(void)
{
	char *big = malloc(MAX_XATTR + 1);
	char *got = malloc(MAX_XATTR + 1);
	char name[MAX_XATTR_NAME + 2];

	EXPECT(big != NULL && got != NULL);
	memset(big, 'v', MAX_XATTR + 1);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[MAX_XATTR_NAME] = '\0';
	EXPECT(make_file("f", 1, 0));
	EXPECT(setxattr("f", name, big, MAX_XATTR, 0) == 0);
	EXPECT(getxattr("f", name, got, MAX_XATTR) == MAX_XATTR);
	EXPECT(memcmp(big, got, MAX_XATTR) == 0);
	EXPECT_ERRNO(setxattr("f", "user.a", big, MAX_XATTR + 1, 0), E2BIG);
	name[MAX_XATTR_NAME] = 'n';
	name[MAX_XATTR_NAME + 1] = '\0';
	EXPECT_ERRNO(setxattr("f", name, "x", 1, 0), ERANGE);
	EXPECT(listxattr("f", NULL, 0) == MAX_XATTR_NAME + 1);
	free(got);
	free(big);
}

static void times_are_kept_to_the_nanosecond(void)
{
	const struct timespec times[2] = {
	    {.tv_sec = 1234567890, .tv_nsec = 123456789},
	    {.tv_sec = -1000, .tv_nsec = 999999999},
	};
	const struct timespec omit[2] = {
	    {.tv_nsec = UTIME_OMIT},
	    {.tv_sec = (time_t)1 << 33, .tv_nsec = 1},
	};
	struct stat st;

	EXPECT(make_file("f", 1, 0));
	EXPECT(symlink("f", "l") == 0);
	EXPECT(utimensat(AT_FDCWD, "f", times, 0) == 0);
	EXPECT(stat("f", &st) == 0);
	EXPECT(st.st_atim.tv_sec == 1234567890);
	EXPECT(st.st_atim.tv_nsec == 123456789);
	EXPECT(st.st_mtim.tv_sec == -1000);
	EXPECT(st.st_mtim.tv_nsec == 999999999);
	EXPECT(utimensat(AT_FDCWD, "f", omit, 0) == 0);
	EXPECT(stat("f", &st) == 0);
	EXPECT(st.st_atim.tv_sec == 1234567890);
	EXPECT(st.st_mtim.tv_sec == (time_t)1 << 33);
	EXPECT(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW) == 0);
	EXPECT(lstat("l", &st) == 0 && st.st_mtim.tv_sec == -1000);
	EXPECT(stat("f", &st) == 0 && st.st_mtim.tv_sec == (time_t)1 << 33);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec ||
	       (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void changes_move_the_times(void)
{
	const struct timespec past[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct stat before, after;
	int fd;

	EXPECT(make_file("f", 1, 0));
	EXPECT(utimensat(AT_FDCWD, "f", past, 0) == 0);
	EXPECT(utimensat(AT_FDCWD, ".", past, 0) == 0);
	EXPECT(stat("f", &before) == 0);
	fd = open("f", O_WRONLY);
	EXPECT(fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0);
	EXPECT(stat("f", &after) == 0);
	EXPECT(later(after.st_mtim, before.st_mtim));
	EXPECT(later(after.st_ctim, before.st_ctim));

	before = after;
	EXPECT(chmod("f", 0600) == 0);
	EXPECT(stat("f", &after) == 0);
	EXPECT(later(after.st_ctim, before.st_ctim));
	EXPECT(after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
	EXPECT(stat(".", &after) == 0 && after.st_mtim.tv_sec == 1000);
	EXPECT(unlink("f") == 0);
	EXPECT(stat(".", &after) == 0 && after.st_mtim.tv_sec > 1000);
}

static void modes_and_owners_are_set(void)
{
	struct stat st;

	EXPECT(make_file("f", 1, 0));
	EXPECT(chmod("f", 04751) == 0);
	EXPECT(stat("f", &st) == 0 && (st.st_mode & 07777) == 04751);
	EXPECT(mkdir("d", 0755) == 0 && chmod("d", 01777) == 0);
	EXPECT(stat("d", &st) == 0 && (st.st_mode & 07777) == 01777);
	if (geteuid() != 0)
		return;
	EXPECT(chown("f", 123456, 654321) == 0);
	EXPECT(stat("f", &st) == 0);
	EXPECT(st.st_uid == 123456 && st.st_gid == 654321);
	EXPECT(chown("f", (uid_t)-1, 7) == 0);
	EXPECT(stat("f", &st) == 0);
	EXPECT(st.st_uid == 123456 && st.st_gid == 7);
}

static void statfs_follows_what_is_written(void)
{
	struct statvfs before, after;
	struct stat st;
	fsblkcnt_t used;

	EXPECT(statvfs(".", &before) == 0);
	EXPECT(before.f_namemax == 255);
	EXPECT(before.f_frsize > 0 && before.f_blocks > 0);
	EXPECT(before.f_bavail <= before.f_bfree);
	EXPECT(before.f_bfree <= before.f_blocks);
	EXPECT(make_file("f", 8 << 20, 1));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(statvfs(".", &after) == 0);
	EXPECT(after.f_files - after.f_ffree ==
	       before.f_files - before.f_ffree + 2);
	/* The disk below is shared with others: only what is ours is exact. */
	used = after.f_blocks - after.f_bfree;
	EXPECT(used * after.f_frsize >= 8 << 20);
	EXPECT(stat("f", &st) == 0);
	EXPECT(st.st_blocks == (8 << 20) / 512);
	EXPECT(unlink("f") == 0 && rmdir("d") == 0);
}

static const struct claim claims[] = {
    /* First: what others unlinked would be reclaimed meanwhile. */
    CLAIM(statfs_follows_what_is_written),
    CLAIM(xattrs_are_set_listed_and_removed),
    CLAIM(xattr_create_and_replace_look_first),
    CLAIM(xattr_limits_are_held),
    CLAIM(times_are_kept_to_the_nanosecond),
    CLAIM(changes_move_the_times),
    CLAIM(modes_and_owners_are_set),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
