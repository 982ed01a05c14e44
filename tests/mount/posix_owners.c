/* SPDX-License-Identifier: MIT */
/*
 * posix_owners.c: who may do what, and which mode bits that costs. Root only,
 * in a mount with allow_other: claims act as users who have no name.
 *
 * What is claimed here holds on ext4 too.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum {
	ALICE = 60001, /* in groups ALICE and CLUB */
	BOB = 60002,   /* in group BOB */
	CLUB = 60003,
};

/* ---- acting --------------------------------------------------------------- */

static bool act_as(uid_t user)
{
	const gid_t club[] = {CLUB};

	CHECK(seteuid(0) == 0 && setegid(0) == 0);
	CHECK(setgroups(user == ALICE ? 1 : 0, club) == 0);
	CHECK(setegid(user) == 0 && seteuid(user) == 0);
	return true;
}

static void act_as_root(void)
{
	umask(022);
	if (!act_as(0))
		abort();
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0 ? st.st_mode & 07777 : (mode_t)-1;
}

static bool is_owned(const char *name, uid_t uid, gid_t gid)
{
	struct stat st;

	return lstat(name, &st) == 0 && st.st_uid == uid && st.st_gid == gid;
}

static bool make_owned(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	return make_file(name, 10, 0) && chown(name, uid, gid) == 0 &&
	       chmod(name, mode) == 0;
}

static bool make_folder(const char *name, uid_t uid, gid_t gid, mode_t mode)
{
	return mkdir(name, 0700) == 0 && chown(name, uid, gid) == 0 &&
	       chmod(name, mode) == 0;
}

static int try_open(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	return fd < 0 ? -1 : close(fd);
}

/* ---- folders --------------------------------------------------------------- */

static void folder_without_x_hides_what_is_in_it(void)
{
	struct stat st;

	EXPECT(make_folder("d", 0, 0, 0766));
	EXPECT(make_owned("d/f", ALICE, ALICE, 0666));
	EXPECT(act_as(ALICE));
	EXPECT_ERRNO(stat("d/f", &st), EACCES);
	EXPECT_ERRNO(try_open("d/f", O_RDONLY), EACCES);
	EXPECT_ERRNO(try_open("d/g", O_WRONLY | O_CREAT), EACCES);
	EXPECT_ERRNO(faccessat(AT_FDCWD, "d/f", F_OK, AT_EACCESS), EACCES);
	EXPECT_ERRNO(unlink("d/f"), EACCES);
	EXPECT_ERRNO(chmod("d/f", 0600), EACCES);
	EXPECT_ERRNO(truncate("d/f", 0), EACCES);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "d/f", NULL, 0), EACCES);
	EXPECT_ERRNO(link("d/f", "g"), EACCES);
	EXPECT_ERRNO(rename("d/f", "g"), EACCES);
	EXPECT_ERRNO(chdir("d"), EACCES);
	EXPECT(try_open("d", O_RDONLY | O_DIRECTORY) == 0);
	EXPECT(act_as(0) && stat("d/f", &st) == 0);
}

static void folder_without_r_is_not_listed(void)
{
	EXPECT(make_folder("d", 0, 0, 0711));
	EXPECT(make_owned("d/f", 0, 0, 0644));
	EXPECT(act_as(ALICE));
	EXPECT_ERRNO(try_open("d", O_RDONLY | O_DIRECTORY), EACCES);
	EXPECT(try_open("d/f", O_RDONLY) == 0);
	EXPECT(act_as(0));
}

static void folder_without_w_keeps_its_names(void)
{
	EXPECT(chmod(".", 0777) == 0);
	EXPECT(make_folder("d", 0, 0, 0755));
	EXPECT(make_owned("d/f", ALICE, ALICE, 0644));
	EXPECT(make_folder("d/e", ALICE, ALICE, 0755));
	EXPECT(make_owned("g", ALICE, ALICE, 0644));
	EXPECT(act_as(ALICE));
	EXPECT_ERRNO(try_open("d/x", O_WRONLY | O_CREAT), EACCES);
	EXPECT_ERRNO(open("d", O_WRONLY | O_TMPFILE, 0600), EACCES);
	EXPECT_ERRNO(mkdir("d/x", 0755), EACCES);
	EXPECT_ERRNO(mkfifo("d/x", 0644), EACCES);
	EXPECT_ERRNO(symlink("t", "d/x"), EACCES);
	EXPECT_ERRNO(link("g", "d/x"), EACCES);
	EXPECT_ERRNO(unlink("d/f"), EACCES);
	EXPECT_ERRNO(rmdir("d/e"), EACCES);
	EXPECT_ERRNO(rename("d/f", "x"), EACCES);
	EXPECT_ERRNO(rename("g", "d/x"), EACCES);
	EXPECT_ERRNO(rename("g", "d/f"), EACCES);
	/* What is there stays as open to its owner as it is. */
	EXPECT(try_open("d/f", O_WRONLY) == 0);
	EXPECT(rename("g", "h") == 0);
	EXPECT(act_as(0) && exists("d/f") && exists("d/e"));
}

static void folder_that_moves_must_be_writable(void)
{
	EXPECT(chmod(".", 0777) == 0);
	EXPECT(make_folder("a", ALICE, ALICE, 0777));
	EXPECT(make_folder("a/d", 0, 0, 0755));
	EXPECT(make_folder("b", ALICE, ALICE, 0777));
	EXPECT(act_as(ALICE));
	/* Its ".." would change. */
	EXPECT_ERRNO(rename("a/d", "b/d"), EACCES);
	EXPECT(rename("a/d", "a/e") == 0);
	EXPECT(act_as(0));
}

static void sticky_folder_keeps_what_is_not_yours(void)
{
	EXPECT(chmod(".", 0777) == 0);
	EXPECT(make_folder("d", 0, 0, 01777));
	EXPECT(make_owned("d/alice", ALICE, ALICE, 0666));
	EXPECT(make_folder("d/folder", ALICE, ALICE, 0777));
	EXPECT(make_owned("d/bob", BOB, BOB, 0666));
	EXPECT(act_as(BOB));
	EXPECT_ERRNO(unlink("d/alice"), EPERM);
	EXPECT_ERRNO(rmdir("d/folder"), EPERM);
	EXPECT_ERRNO(rename("d/alice", "x"), EPERM);
	EXPECT_ERRNO(rename("d/alice", "d/x"), EPERM);
	EXPECT_ERRNO(rename("d/bob", "d/alice"), EPERM);
	EXPECT(try_open("d/alice", O_WRONLY) == 0);
	EXPECT(rename("d/bob", "d/robert") == 0);
	EXPECT(unlink("d/robert") == 0);
	EXPECT(act_as(0) && chown("d", BOB, BOB) == 0);
	EXPECT(act_as(BOB));
	EXPECT(unlink("d/alice") == 0 && rmdir("d/folder") == 0);
	EXPECT(act_as(0));
}

/* ---- files ----------------------------------------------------------------- */

static void one_class_of_bits_counts(void)
{
	/* The first class that one is in decides, though another allowed more. */
	EXPECT(make_owned("owner", ALICE, CLUB, 0077));
	EXPECT(make_owned("group", BOB, CLUB, 0707));
	EXPECT(make_owned("other", BOB, BOB, 0770));
	EXPECT(make_owned("club", 0, CLUB, 0060));
	EXPECT(act_as(ALICE));
	EXPECT_ERRNO(try_open("owner", O_RDONLY), EACCES);
	EXPECT_ERRNO(try_open("group", O_RDONLY), EACCES);
	EXPECT_ERRNO(try_open("other", O_WRONLY), EACCES);
	EXPECT_ERRNO(truncate("other", 0), EACCES);
	EXPECT(try_open("club", O_RDWR) == 0);
	EXPECT(faccessat(AT_FDCWD, "club", R_OK | W_OK, AT_EACCESS) == 0);
	EXPECT_ERRNO(faccessat(AT_FDCWD, "club", X_OK, AT_EACCESS), EACCES);
	EXPECT_ERRNO(faccessat(AT_FDCWD, "owner", R_OK, AT_EACCESS), EACCES);
	EXPECT(chmod("owner", 0600) == 0);
	EXPECT(try_open("owner", O_RDWR) == 0);
	EXPECT(act_as(0));
}

static void what_is_open_stays_open(void)
{
	char byte;
	int fd;

	EXPECT(make_owned("f", ALICE, ALICE, 0600));
	EXPECT(act_as(ALICE));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0 && chmod("f", 0) == 0);
	EXPECT_ERRNO(try_open("f", O_RDONLY), EACCES);
	EXPECT(pread(fd, &byte, 1, 0) == 1 && pwrite(fd, "x", 1, 0) == 1);
	EXPECT(ftruncate(fd, 3) == 0 && close(fd) == 0);
	/* And one that is made without rights can be written to. */
	EXPECT(act_as(0) && chmod(".", 0777) == 0 && act_as(ALICE));
	fd = open("g", O_RDWR | O_CREAT | O_EXCL, 0);
	EXPECT(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	EXPECT(act_as(0));
	EXPECT(size_of("f") == 3 && mode_of("g") == 0);
}

static void only_the_owner_changes_modes(void)
{
	EXPECT(make_owned("f", ALICE, CLUB, 0666));
	EXPECT(act_as(BOB));
	EXPECT_ERRNO(chmod("f", 0777), EPERM);
	EXPECT(act_as(ALICE) && chmod("f", 02771) == 0);
	EXPECT(act_as(0) && mode_of("f") == 02771);
	/* Of a group that one is not in, no file becomes set-group-id. */
	EXPECT(chown("f", ALICE, BOB) == 0);
	EXPECT(act_as(ALICE) && chmod("f", 06755) == 0);
	EXPECT(act_as(0) && mode_of("f") == 04755);
}

static void only_root_gives_files_away(void)
{
	EXPECT(make_owned("f", ALICE, ALICE, 0644));
	EXPECT(symlink("f", "l") == 0 && lchown("l", ALICE, ALICE) == 0);
	EXPECT(act_as(ALICE));
	EXPECT_ERRNO(chown("f", BOB, (gid_t)-1), EPERM);
	EXPECT_ERRNO(chown("f", (uid_t)-1, BOB), EPERM);
	EXPECT_ERRNO(lchown("l", BOB, BOB), EPERM);
	EXPECT(chown("f", ALICE, CLUB) == 0);
	EXPECT(chown("f", (uid_t)-1, ALICE) == 0);
	EXPECT(lchown("l", (uid_t)-1, CLUB) == 0);
	EXPECT(act_as(BOB));
	EXPECT_ERRNO(chown("f", BOB, BOB), EPERM);
	EXPECT_ERRNO(chown("f", (uid_t)-1, BOB), EPERM);
	EXPECT(act_as(0));
	EXPECT(is_owned("f", ALICE, ALICE) && is_owned("l", ALICE, CLUB));
	EXPECT(chown("l", BOB, CLUB) == 0); /* what it leads to */
	EXPECT(is_owned("f", BOB, CLUB) && is_owned("l", ALICE, CLUB));
	EXPECT(lchown("l", 4000000000U, 4000000001U) == 0);
	EXPECT(is_owned("l", 4000000000U, 4000000001U));
}

static void times_are_the_owners_and_the_writers(void)
{
	static const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 6}};
	static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW},
	                                       {.tv_nsec = UTIME_NOW}};
	static const struct timespec half[2] = {{.tv_nsec = UTIME_NOW},
	                                        {.tv_nsec = UTIME_OMIT}};

	EXPECT(make_owned("mine", ALICE, ALICE, 0));
	EXPECT(make_owned("open", BOB, BOB, 0666));
	EXPECT(make_owned("closed", BOB, BOB, 0644));
	EXPECT(act_as(ALICE));
	EXPECT(utimensat(AT_FDCWD, "mine", times, 0) == 0);
	EXPECT(utimensat(AT_FDCWD, "mine", NULL, 0) == 0);
	EXPECT(utimensat(AT_FDCWD, "open", NULL, 0) == 0);
	EXPECT(utimensat(AT_FDCWD, "open", now, 0) == 0);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "open", half, 0), EPERM);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "open", times, 0), EPERM);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "closed", NULL, 0), EACCES);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "closed", times, 0), EPERM);
	EXPECT_ERRNO(try_open("open", O_RDONLY | O_NOATIME), EPERM);
	EXPECT(act_as(0));
}

static void new_files_belong_to_who_makes_them(void)
{
	EXPECT(chmod(".", 0777) == 0);
	EXPECT(act_as(ALICE));
	EXPECT(try_open("f", O_WRONLY | O_CREAT) == 0);
	EXPECT(mkdir("d", 0755) == 0 && mkfifo("p", 0644) == 0);
	EXPECT(symlink("t", "l") == 0);
	EXPECT_ERRNO(mknod("c", S_IFCHR | 0644, 259), EPERM);
	EXPECT_ERRNO(mknod("b", S_IFBLK | 0644, 259), EPERM);
	EXPECT(mknod("s", S_IFSOCK | 0644, 0) == 0);
	EXPECT(act_as(0));
	EXPECT(is_owned("f", ALICE, ALICE) && is_owned("d", ALICE, ALICE));
	EXPECT(is_owned("p", ALICE, ALICE) && is_owned("l", ALICE, ALICE));
	EXPECT(is_owned("s", ALICE, ALICE));
}

/* ---- set-id bits ----------------------------------------------------------- */

static void sgid_folder_hands_on_its_group_and_no_rights(void)
{
	int fd;

	EXPECT(make_folder("d", BOB, BOB, 02777));
	EXPECT(act_as(ALICE));
	umask(0);
	fd = open("d/f", O_WRONLY | O_CREAT, 02755);
	EXPECT(fd >= 0 && close(fd) == 0);
	fd = open("d/g", O_WRONLY | O_CREAT, 02644);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(mkdir("d/e", 0700) == 0 && symlink("t", "d/l") == 0);
	umask(022);
	EXPECT(act_as(0));
	EXPECT(is_owned("d/f", ALICE, BOB) && mode_of("d/f") == 0755);
	EXPECT(is_owned("d/g", ALICE, BOB) && mode_of("d/g") == 02644);
	EXPECT(is_owned("d/e", ALICE, BOB) && mode_of("d/e") == 02700);
	EXPECT(is_owned("d/l", ALICE, BOB));
}

static int by_write(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd >= 0 && write(fd, "x", 1) == 1 ? close(fd) : -1;
}

static int by_truncate(const char *name)
{
	return truncate(name, 3);
}

static int by_growth(const char *name)
{
	return truncate(name, 100000);
}

static int by_ftruncate(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd >= 0 && ftruncate(fd, 3) == 0 ? close(fd) : -1;
}

static int by_o_trunc(const char *name)
{
	return try_open(name, O_WRONLY | O_TRUNC);
}

static int by_fallocate(const char *name)
{
	int fd = open(name, O_WRONLY);

	return fd >= 0 && fallocate(fd, 0, 0, 100) == 0 ? close(fd) : -1;
}

static int (*const changes[])(const char *name) = {
    by_write, by_truncate, by_growth, by_ftruncate, by_o_trunc, by_fallocate,
};

enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

static bool change_drops(uid_t user, mode_t before, mode_t after)
{
	for (unsigned i = 0; i < CHANGES; i++) {
		CHECK(make_owned("f", ALICE, ALICE, before));
		CHECK(mode_of("f") == before);
		CHECK(act_as(user) && changes[i]("f") == 0 && act_as(0));
		if (mode_of("f") != after)
			printf("change %u as %u: %o became %o\n", i, user,
			       before, mode_of("f"));
		CHECK(mode_of("f") == after);
		CHECK(unlink("f") == 0);
	}
	return true;
}

static void change_of_contents_drops_set_id_bits(void)
{
	EXPECT(change_drops(ALICE, 06777, 0777));
	EXPECT(change_drops(BOB, 06777, 0777));
	EXPECT(change_drops(BOB, 04766, 0766));
	EXPECT(change_drops(BOB, 0777, 0777));
}

static void root_keeps_set_id_bits(void)
{
	EXPECT(change_drops(0, 06777, 06777));
}

static void change_of_owner_drops_set_id_bits(void)
{
	EXPECT(make_owned("f", ALICE, ALICE, 06755));
	EXPECT(make_folder("d", ALICE, ALICE, 06755));
	EXPECT(act_as(ALICE));
	EXPECT(chown("f", (uid_t)-1, CLUB) == 0);
	EXPECT(chown("d", (uid_t)-1, CLUB) == 0);
	EXPECT(act_as(0));
	EXPECT(mode_of("f") == 0755);
	EXPECT(mode_of("d") == 06755); /* of folders they stay */
	EXPECT(chmod("f", 06755) == 0 && chown("f", BOB, BOB) == 0);
	EXPECT(mode_of("f") == 0755); /* root's too */
	EXPECT(chmod("f", 06745) == 0 && chown("f", ALICE, ALICE) == 0);
	EXPECT((mode_of("f") & S_ISUID) == 0);
}

static const struct claim claims[] = {
    CLAIM(folder_without_x_hides_what_is_in_it),
    CLAIM(folder_without_r_is_not_listed),
    CLAIM(folder_without_w_keeps_its_names),
    CLAIM(folder_that_moves_must_be_writable),
    CLAIM(sticky_folder_keeps_what_is_not_yours),
    CLAIM(one_class_of_bits_counts),
    CLAIM(what_is_open_stays_open),
    CLAIM(only_the_owner_changes_modes),
    CLAIM(only_root_gives_files_away),
    CLAIM(times_are_the_owners_and_the_writers),
    CLAIM(new_files_belong_to_who_makes_them),
    CLAIM(sgid_folder_hands_on_its_group_and_no_rights),
    CLAIM(change_of_contents_drops_set_id_bits),
    CLAIM(root_keeps_set_id_bits),
    CLAIM(change_of_owner_drops_set_id_bits),
};

int main(int argc, char **argv)
{
	claims_after = act_as_root;
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
