/* SPDX-License-Identifier: MIT */
/*
 * posix_times.c: which times each system call moves, and that it moves no other.
 * A call that fails moves none.
 *
 * What is claimed here holds on ext4 too, but for is_ours().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum {
	ATIME = 1,
	MTIME = 2,
	CTIME = 4,
	BTIME = 8,
	NONE = 0,
	MC = MTIME | CTIME,

	FUSE_MAGIC = 0x65735546,
	BLOCK = 4096,
	DAY_S = 24 * 60 * 60,
};

/* ---- looking ------------------------------------------------------------- */

static struct statx seen[4];

/* Until the coarse clock, by which some filesystems tell the time, moved. */
static void tick(void)
{
	const struct timespec moment = {.tv_nsec = 100000};
	struct timespec begin, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &begin);
	do {
		nanosleep(&moment, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == begin.tv_sec && now.tv_nsec == begin.tv_nsec);
}

static bool ask(const char *name, struct statx *stx)
{
	return statx(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW,
	             STATX_BASIC_STATS | STATX_BTIME, stx) == 0;
}

/* Remember the times of what has that name; later changes differ from them. */
static bool look(unsigned slot, const char *name)
{
	bool asked = ask(name, &seen[slot]);

	tick();
	return asked;
}

static int differs(struct statx_timestamp a, struct statx_timestamp b,
                   int which)
{
	return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec ? which : 0;
}

/* Whether since look() these times have moved, and no others. */
static bool moved(unsigned slot, const char *name, int which)
{
	const struct statx *old = &seen[slot];
	struct statx now;
	int did;

	if (!ask(name, &now))
		return false;
	did = differs(old->stx_atime, now.stx_atime, ATIME) |
	      differs(old->stx_mtime, now.stx_mtime, MTIME) |
	      differs(old->stx_ctime, now.stx_ctime, CTIME) |
	      differs(old->stx_btime, now.stx_btime, BTIME);
	if (did != which)
		printf("%s: moved %d, not %d\n", name, did, which);
	return did == which;
}

/* Between the two, and the four are one. */
static bool is_new(const char *name, struct timespec from, struct timespec to)
{
	struct statx stx;

	CHECK(ask(name, &stx));
	CHECK((stx.stx_mask & STATX_BTIME) != 0);
	CHECK(differs(stx.stx_mtime, stx.stx_atime, 1) == 0);
	CHECK(differs(stx.stx_mtime, stx.stx_ctime, 1) == 0);
	CHECK(differs(stx.stx_mtime, stx.stx_btime, 1) == 0);
	CHECK(stx.stx_mtime.tv_sec > from.tv_sec ||
	      (stx.stx_mtime.tv_sec == from.tv_sec &&
	       stx.stx_mtime.tv_nsec >= from.tv_nsec));
	CHECK(stx.stx_mtime.tv_sec < to.tv_sec ||
	      (stx.stx_mtime.tv_sec == to.tv_sec &&
	       stx.stx_mtime.tv_nsec <= to.tv_nsec));
	return true;
}

static bool is_ours(void)
{
	struct statfs st;

	return statfs(".", &st) == 0 && st.f_type == FUSE_MAGIC;
}

static bool set_times(const char *name, time_t atime, time_t mtime)
{
	const struct timespec times[2] = {{.tv_sec = atime}, {.tv_sec = mtime}};

	return utimensat(AT_FDCWD, name, times, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- names --------------------------------------------------------------- */

static void new_names_move_the_folder(void)
{
	static const char *const names[] = {"f", "d", "p", "l"};
	struct timespec from, to;
	int fd;

	for (unsigned i = 0; i < 4; i++) {
		EXPECT(look(0, "."));
		clock_gettime(CLOCK_REALTIME_COARSE, &from);
		switch (i) {
		case 0:
			fd = open("f", O_WRONLY | O_CREAT | O_EXCL, 0644);
			EXPECT(fd >= 0 && close(fd) == 0);
			break;
		case 1:
			EXPECT(mkdir("d", 0755) == 0);
			break;
		case 2:
			EXPECT(mkfifo("p", 0644) == 0);
			break;
		default:
			EXPECT(symlink("target", "l") == 0);
			break;
		}
		clock_gettime(CLOCK_REALTIME, &to);
		EXPECT(moved(0, ".", MC));
		EXPECT(is_new(names[i], from, to));
	}
}

static void what_is_opened_stays(void)
{
	int fd;

	EXPECT(make_file("f", 10, 0));
	EXPECT(look(0, ".") && look(1, "f"));
	fd = open("f", O_RDWR | O_CREAT, 0600);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(moved(0, ".", NONE) && moved(1, "f", NONE));
	EXPECT(access("f", R_OK) == 0);
	EXPECT(moved(1, "f", NONE));
}

static void links_move_file_and_folder(void)
{
	EXPECT(make_file("f", 10, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(look(0, ".") && look(1, "f") && look(2, "d"));
	EXPECT(link("f", "d/g") == 0);
	EXPECT(moved(0, ".", NONE));
	EXPECT(moved(1, "f", CTIME));
	EXPECT(moved(2, "d", MC));

	EXPECT(look(1, "f") && look(2, "d"));
	EXPECT(unlink("d/g") == 0);
	EXPECT(moved(0, ".", NONE));
	EXPECT(moved(1, "f", CTIME));
	EXPECT(moved(2, "d", MC));
}

static void removals_move_the_folder(void)
{
	EXPECT(make_file("f", 10, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(look(0, "."));
	EXPECT(unlink("f") == 0);
	EXPECT(moved(0, ".", MC));
	EXPECT(look(0, "."));
	EXPECT(rmdir("d") == 0);
	EXPECT(moved(0, ".", MC));
}

static void renames_move_both_folders_and_what_moves(void)
{
	EXPECT(mkdir("a", 0755) == 0 && mkdir("b", 0755) == 0);
	EXPECT(make_file("a/f", 10, 0) && make_file("b/g", 10, 1));
	EXPECT(link("b/g", "h") == 0);
	EXPECT(look(0, "a") && look(1, "b") && look(2, "a/f") && look(3, "h"));
	EXPECT(rename("a/f", "b/g") == 0);
	EXPECT(moved(0, "a", MC) && moved(1, "b", MC));
	EXPECT(moved(2, "b/g", CTIME));
	EXPECT(moved(3, "h", CTIME)); /* it lost a name */

	EXPECT(look(0, "a") && look(1, "b") && look(2, ".") && look(3, "h"));
	EXPECT(renameat2(AT_FDCWD, "a", AT_FDCWD, "h", RENAME_EXCHANGE) == 0);
	EXPECT(moved(0, "h", CTIME) && moved(1, "b", NONE));
	EXPECT(moved(2, ".", MC) && moved(3, "a", CTIME));
}

static void one_file_renamed_to_itself_stays(void)
{
	EXPECT(make_file("f", 10, 0));
	EXPECT(link("f", "g") == 0);
	EXPECT(look(0, ".") && look(1, "f"));
	EXPECT(rename("f", "g") == 0 && rename("f", "f") == 0);
	EXPECT(moved(0, ".", NONE) && moved(1, "f", NONE));
	EXPECT(exists("g"));
}

/* ---- contents ------------------------------------------------------------ */

static void writes_move_mtime_and_ctime(void)
{
	int fd;

	EXPECT(make_file("f", 10, 0));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	EXPECT(look(0, ".") && look(1, "f"));
	EXPECT(write(fd, "", 0) == 0);
	EXPECT(moved(1, "f", NONE));
	EXPECT(write(fd, "x", 1) == 1);
	EXPECT(moved(1, "f", MC));
	EXPECT(look(1, "f"));
	EXPECT(pwrite(fd, "x", 1, 100000) == 1);
	EXPECT(moved(1, "f", MC));
	EXPECT(look(1, "f"));
	EXPECT(close(fd) == 0);
	EXPECT(moved(0, ".", NONE) && moved(1, "f", NONE));
}

static void cuts_move_mtime_and_ctime(void)
{
	int fd;

	EXPECT(make_file("f", 10, 0));
	EXPECT(look(0, ".") && look(1, "f"));
	EXPECT(truncate("f", 5) == 0);
	EXPECT(moved(1, "f", MC));
	EXPECT(look(1, "f"));
	EXPECT(truncate("f", 200000) == 0);
	EXPECT(moved(1, "f", MC));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	EXPECT(look(1, "f"));
	EXPECT(ftruncate(fd, 200000) == 0); /* as long as it is */
	EXPECT(moved(1, "f", MC));
	EXPECT(close(fd) == 0);

	EXPECT(look(1, "f"));
	fd = open("f", O_WRONLY | O_TRUNC);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(size_of("f") == 0);
	EXPECT(moved(1, "f", MC));
	EXPECT(look(1, "f"));
	fd = open("f", O_WRONLY | O_TRUNC | O_CREAT, 0644);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(moved(1, "f", MC)); /* though it was empty */
	EXPECT(moved(0, ".", NONE));
}

static void stores_to_a_mapping_move_mtime_and_ctime(void)
{
	char *map;
	int fd;

	EXPECT(make_file("f", BLOCK, 0));
	fd = open("f", O_RDWR);
	EXPECT(fd >= 0);
	map = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT(map != MAP_FAILED);
	EXPECT(look(0, "f"));
	map[17]++;
	EXPECT(msync(map, BLOCK, MS_SYNC) == 0);
	EXPECT(munmap(map, BLOCK) == 0 && close(fd) == 0);
	EXPECT(moved(0, "f", MC));
}

/* ---- attributes ---------------------------------------------------------- */

static void attributes_move_ctime_alone(void)
{
	EXPECT(make_file("f", 10, 0));
	EXPECT(symlink("f", "l") == 0);
	EXPECT(look(0, ".") && look(1, "f") && look(2, "l"));
	EXPECT(chmod("f", 0600) == 0);
	EXPECT(moved(1, "f", CTIME));
	EXPECT(look(1, "f"));
	EXPECT(chmod("f", 0600) == 0); /* the same again */
	EXPECT(moved(1, "f", CTIME));
	EXPECT(look(1, "f"));
	EXPECT(chown("f", geteuid(), getegid()) == 0);
	EXPECT(moved(1, "f", CTIME));
	EXPECT(look(1, "f"));
	EXPECT(setxattr("f", "user.a", "x", 1, 0) == 0);
	EXPECT(moved(1, "f", CTIME));
	EXPECT(look(1, "f"));
	EXPECT(removexattr("f", "user.a") == 0);
	EXPECT(moved(1, "f", CTIME));
	EXPECT(look(1, "f"));
	EXPECT(lchown("l", geteuid(), getegid()) == 0);
	EXPECT(moved(0, ".", NONE) && moved(1, "f", NONE));
	EXPECT(moved(2, "l", CTIME));
}

static void utimens_sets_what_it_is_told(void)
{
	static const struct timespec omit[2] = {{.tv_nsec = UTIME_OMIT},
	                                        {.tv_nsec = UTIME_OMIT}};
	static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW},
	                                       {.tv_nsec = UTIME_OMIT}};
	static const struct timespec bad[2] = {{.tv_nsec = 1000000000},
	                                       {.tv_nsec = UTIME_OMIT}};

	EXPECT(make_file("f", 10, 0));
	EXPECT(look(0, ".") && look(1, "f"));
	EXPECT(utimensat(AT_FDCWD, "f", omit, 0) == 0);
	EXPECT_ERRNO(utimensat(AT_FDCWD, "f", bad, 0), EINVAL);
	EXPECT(moved(1, "f", NONE));
	EXPECT(utimensat(AT_FDCWD, "f", now, 0) == 0);
	EXPECT(moved(1, "f", ATIME | CTIME));
	EXPECT(look(1, "f"));
	EXPECT(utimensat(AT_FDCWD, "f", NULL, 0) == 0);
	EXPECT(moved(1, "f", ATIME | MTIME | CTIME));
	EXPECT(look(1, "f"));
	EXPECT(set_times("f", 5, 6));
	EXPECT(moved(1, "f", ATIME | MTIME | CTIME));
	EXPECT(moved(0, ".", NONE));
}

static bool keeps_second(int64_t second)
{
	const struct timespec times[2] = {
	    {.tv_sec = second, .tv_nsec = 1},
	    {.tv_sec = second, .tv_nsec = 999999999},
	};
	struct stat st;

	CHECK(utimensat(AT_FDCWD, "f", times, 0) == 0);
	CHECK(stat("f", &st) == 0);
	CHECK(st.st_atim.tv_sec == second && st.st_atim.tv_nsec == 1);
	CHECK(st.st_mtim.tv_sec == second && st.st_mtim.tv_nsec == 999999999);
	return true;
}

static void every_second_is_kept(void)
{
	/* From 1901 to 2446, as on ext4; of the outermost seconds the kernel
	   drops the fraction. */
	static const int64_t usual[] = {
	    0,
	    -1,
	    -1000000000,
	    INT32_MIN + 1,
	    INT32_MAX,
	    (int64_t)INT32_MAX + 1,
	    (INT64_C(1) << 33) + 5,
	    INT64_C(15032385534),
	};

	EXPECT(make_file("f", 1, 0));
	for (unsigned i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		EXPECT(keeps_second(usual[i]));
	if (!is_ours())
		return;
	EXPECT(keeps_second((int64_t)INT32_MIN - 1));
	EXPECT(keeps_second(INT64_C(1) << 40));
	EXPECT(keeps_second(-(INT64_C(1) << 40)));
	EXPECT(keeps_second(INT64_MAX - 1));
	EXPECT(keeps_second(INT64_MIN + 1));
}

static void birth_is_not_moved(void)
{
	struct statx before, after;
	int fd;

	EXPECT(make_file("f", 10, 0));
	EXPECT(ask("f", &before));
	EXPECT((before.stx_mask & STATX_BTIME) != 0);
	tick();
	fd = open("f", O_WRONLY | O_APPEND);
	EXPECT(fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0);
	EXPECT(chmod("f", 0600) == 0 && set_times("f", 1, 1));
	EXPECT(rename("f", "g") == 0 && truncate("g", 3) == 0);
	EXPECT(ask("g", &after));
	EXPECT(differs(before.stx_btime, after.stx_btime, 1) == 0);
	EXPECT(after.stx_size == 3 && (after.stx_mode & 07777) == 0600);
	EXPECT(after.stx_ino == before.stx_ino && after.stx_nlink == 1);
	EXPECT(after.stx_uid == geteuid() && after.stx_gid == getegid());
}

/* ---- reading ------------------------------------------------------------- */

/* Past the page cache: such a read is one that the filesystem learns of. */
static bool read_direct(void)
{
	void *page = NULL;
	int fd = open("f", O_RDONLY | O_DIRECT);
	bool got;

	CHECK(fd >= 0);
	CHECK(posix_memalign(&page, BLOCK, BLOCK) == 0);
	got = read(fd, page, BLOCK) == BLOCK;
	free(page);
	CHECK(got && close(fd) == 0);
	return true;
}

static void reads_move_atime_as_relatime_says(void)
{
	time_t now = time(NULL);
	char target[8];

	EXPECT(make_file("f", 2 * BLOCK, 0));
	/* Read before it was last written to. */
	EXPECT(set_times("f", now - 100, now - 50));
	EXPECT(look(0, "f") && read_direct());
	EXPECT(moved(0, "f", ATIME));
	/* Once more: since then it was not. */
	EXPECT(look(0, "f") && read_direct());
	EXPECT(moved(0, "f", NONE));
	/* A day later. ctime cannot be set, and so lies after atime. */
	EXPECT(set_times("f", now - 2 * DAY_S, now - 3 * DAY_S));
	EXPECT(look(0, "f") && read_direct());
	EXPECT(moved(0, "f", ATIME));

	EXPECT(symlink("t", "l") == 0);
	EXPECT(set_times("l", 100, 200));
	EXPECT(look(0, "l"));
	EXPECT(readlink("l", target, sizeof(target)) == 1);
	EXPECT(moved(0, "l", ATIME));
}

/* ---- what fails ---------------------------------------------------------- */

static void failures_move_nothing(void)
{
	char name[300];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	EXPECT(make_file("f", 10, 0));
	EXPECT(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	EXPECT(mkdir("x", 0755) == 0);
	EXPECT(look(0, ".") && look(1, "f") && look(2, "d") && look(3, "x"));
	EXPECT_ERRNO(mkdir("f", 0755), EEXIST);
	EXPECT_ERRNO(mkdir(name, 0755), ENAMETOOLONG);
	EXPECT_ERRNO(mkfifo("f", 0644), EEXIST);
	EXPECT_ERRNO(symlink("t", "f"), EEXIST);
	EXPECT_ERRNO(link("f", "d"), EEXIST);
	EXPECT_ERRNO(link("d", "g"), EPERM);
	EXPECT_ERRNO(open("f", O_RDWR | O_CREAT | O_EXCL, 0644), EEXIST);
	EXPECT_ERRNO(open(name, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
	EXPECT_ERRNO(unlink("d"), EISDIR);
	EXPECT_ERRNO(unlink("missing"), ENOENT);
	EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
	EXPECT_ERRNO(rmdir("f"), ENOTDIR);
	EXPECT_ERRNO(rename("x", "d"), ENOTEMPTY);
	EXPECT_ERRNO(rename("f", "d"), EISDIR);
	EXPECT_ERRNO(rename("d", "f"), ENOTDIR);
	EXPECT_ERRNO(rename("d", "d/e/g"), EINVAL);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "x", RENAME_NOREPLACE),
	             EEXIST);
	EXPECT_ERRNO(truncate("f", -1), EINVAL);
	EXPECT_ERRNO(truncate("d", 0), EISDIR);
	EXPECT_ERRNO(setxattr("f", "user.a", "", 0, XATTR_REPLACE), ENODATA);
	EXPECT(moved(0, ".", NONE) && moved(1, "f", NONE));
	EXPECT(moved(2, "d", NONE) && moved(3, "x", NONE));
}

static const struct claim claims[] = {
    CLAIM(new_names_move_the_folder),
    CLAIM(what_is_opened_stays),
    CLAIM(links_move_file_and_folder),
    CLAIM(removals_move_the_folder),
    CLAIM(renames_move_both_folders_and_what_moves),
    CLAIM(one_file_renamed_to_itself_stays),
    CLAIM(writes_move_mtime_and_ctime),
    CLAIM(cuts_move_mtime_and_ctime),
    CLAIM(stores_to_a_mapping_move_mtime_and_ctime),
    CLAIM(attributes_move_ctime_alone),
    CLAIM(utimens_sets_what_it_is_told),
    CLAIM(every_second_is_kept),
    CLAIM(birth_is_not_moved),
    CLAIM(reads_move_atime_as_relatime_says),
    CLAIM(failures_move_nothing),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
