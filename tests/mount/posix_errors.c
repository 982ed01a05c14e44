/* SPDX-License-Identifier: MIT */
/*
 * posix_errors.c: each system call on names gives the error that Linux documents,
 * and has then done nothing.
 *
 * What is claimed here holds on ext4 too, but for is_ours().
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/claims.h"

enum {
	NAME_BYTES = 255,
	PATH_BYTES = 4095,
	CHAIN = 40, /* symlinks that one path may lead through */
	FUSE_MAGIC = 0x65735546,
};

static bool is_ours(void)
{
	struct statfs st;

	return statfs(".", &st) == 0 && st.f_type == FUSE_MAGIC;
}

/* ---- paths that lead nowhere ---------------------------------------------- */

static int on_open(const char *path)
{
	return open(path, O_RDONLY);
}

static int on_create(const char *path)
{
	return open(path, O_WRONLY | O_CREAT, 0644);
}

static int on_unnamed(const char *path)
{
	return open(path, O_WRONLY | O_TMPFILE, 0644);
}

static int on_mkdir(const char *path)
{
	return mkdir(path, 0755);
}

static int on_mkfifo(const char *path)
{
	return mkfifo(path, 0644);
}

static int on_mknod(const char *path)
{
	return mknod(path, S_IFREG | 0644, 0);
}

static int on_symlink(const char *path)
{
	return symlink("target", path);
}

static int on_link_from(const char *path)
{
	return link(path, "other");
}

static int on_link_to(const char *path)
{
	return link("file", path);
}

static int on_rename_from(const char *path)
{
	return rename(path, "other");
}

static int on_rename_to(const char *path)
{
	return rename("file", path);
}

static int on_exchange(const char *path)
{
	return renameat2(AT_FDCWD, "file", AT_FDCWD, path, RENAME_EXCHANGE);
}

static int on_chmod(const char *path)
{
	return chmod(path, 0600);
}

static int on_chown(const char *path)
{
	return chown(path, geteuid(), getegid());
}

static int on_lchown(const char *path)
{
	return lchown(path, geteuid(), getegid());
}

static int on_truncate(const char *path)
{
	return truncate(path, 0);
}

static int on_utimens(const char *path)
{
	return utimensat(AT_FDCWD, path, NULL, 0);
}

static int on_stat(const char *path)
{
	struct stat st;

	return stat(path, &st);
}

static int on_lstat(const char *path)
{
	struct stat st;

	return lstat(path, &st);
}

static int on_statfs(const char *path)
{
	struct statfs st;

	return statfs(path, &st);
}

static int on_access(const char *path)
{
	return access(path, F_OK);
}

static int on_readlink(const char *path)
{
	char target[16];

	return readlink(path, target, sizeof(target)) < 0 ? -1 : 0;
}

static int on_setxattr(const char *path)
{
	return setxattr(path, "user.a", "", 0, 0);
}

static int on_getxattr(const char *path)
{
	return getxattr(path, "user.a", NULL, 0) < 0 ? -1 : 0;
}

static const struct path_call {
	const char *name;
	int (*call)(const char *path);
} calls[] = {
    {"open", on_open},
    {"create", on_create},
    {"unnamed", on_unnamed},
    {"mkdir", on_mkdir},
    {"mkfifo", on_mkfifo},
    {"mknod", on_mknod},
    {"symlink", on_symlink},
    {"link from", on_link_from},
    {"link to", on_link_to},
    {"unlink", unlink},
    {"rmdir", rmdir},
    {"rename from", on_rename_from},
    {"rename to", on_rename_to},
    {"exchange", on_exchange},
    {"chmod", on_chmod},
    {"chown", on_chown},
    {"lchown", on_lchown},
    {"truncate", on_truncate},
    {"utimens", on_utimens},
    {"stat", on_stat},
    {"lstat", on_lstat},
    {"statfs", on_statfs},
    {"access", on_access},
    {"readlink", on_readlink},
    {"setxattr", on_setxattr},
    {"getxattr", on_getxattr},
    {"chdir", chdir},
};

/* All of them fail with that error. */
static bool all_fail(const char *path, int error)
{
	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		errno = 0;
		if (calls[i].call(path) < 0 && errno == error)
			continue;
		printf("%s on %.40s: %s\n", calls[i].name, path,
		       strerror(errno));
		return false;
	}
	return true;
}

static void file_on_the_way_is_enotdir(void)
{
	EXPECT(make_file("file", 3, 0));
	EXPECT(all_fail("file/x", ENOTDIR));
	EXPECT(all_fail("file/x/y", ENOTDIR));
	EXPECT(all_fail("file/.", ENOTDIR));
	EXPECT(same_file("file", 3, 0) && !exists("other"));
}

static void nothing_on_the_way_is_enoent(void)
{
	EXPECT(make_file("file", 3, 0));
	EXPECT(symlink("missing", "dangling") == 0);
	EXPECT(all_fail("missing/x", ENOENT));
	EXPECT(all_fail("dangling/x", ENOENT));
	EXPECT(all_fail("", ENOENT));
	EXPECT(same_file("file", 3, 0) && !exists("other"));
}

static void circle_on_the_way_is_eloop(void)
{
	EXPECT(make_file("file", 3, 0));
	EXPECT(symlink("b", "a") == 0 && symlink("a", "b") == 0);
	EXPECT(all_fail("a/x", ELOOP));
	EXPECT(same_file("file", 3, 0) && !exists("other"));
}

static void chain_of_40_links_is_followed(void)
{
	char from[16], to[16];

	EXPECT(make_file("0", 3, 7));
	for (int i = 1; i <= CHAIN + 1; i++) {
		snprintf(from, sizeof(from), "%d", i);
		snprintf(to, sizeof(to), "%d", i - 1);
		EXPECT(symlink(to, from) == 0);
	}
	snprintf(to, sizeof(to), "%d", CHAIN);
	EXPECT(same_file(to, 3, 7));
	EXPECT_ERRNO(open(from, O_RDONLY), ELOOP);
}

static void too_long_is_enametoolong(void)
{
	char path[PATH_BYTES + 2];
	char name[NAME_BYTES + 2];

	EXPECT(make_file("file", 3, 0));
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	EXPECT(all_fail(name, ENAMETOOLONG));

	/* ./././ ... ./file of as many bytes as may be, then of one more */
	for (unsigned i = 0; i < sizeof(path); i++)
		path[i] = i % 2 == 0 ? '.' : '/';
	memcpy(path + PATH_BYTES - 5, "/file", 6);
	EXPECT(strlen(path) == PATH_BYTES);
	EXPECT(same_file(path, 3, 0));
	memcpy(path + PATH_BYTES - 5, "//file", 7);
	EXPECT(all_fail(path, ENAMETOOLONG));
	EXPECT(same_file("file", 3, 0) && !exists("other"));
}

/* ---- one call each -------------------------------------------------------- */

static void open_looks_at_what_is_there(void)
{
	int fd;

	EXPECT(make_file("f", 3, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(symlink("missing", "dangling") == 0);
	EXPECT(symlink("f", "l") == 0);
	EXPECT(mkfifo("p", 0644) == 0);
	EXPECT_ERRNO(open("missing", O_RDONLY), ENOENT);
	EXPECT_ERRNO(open("dangling", O_RDONLY), ENOENT);
	EXPECT_ERRNO(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
	EXPECT_ERRNO(open("l", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
	EXPECT_ERRNO(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	EXPECT_ERRNO(open("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	EXPECT_ERRNO(open("f/", O_RDONLY), ENOTDIR);
	EXPECT_ERRNO(open("new/", O_WRONLY | O_CREAT, 0644), EISDIR);
	EXPECT_ERRNO(open("d", O_WRONLY), EISDIR);
	EXPECT_ERRNO(open("d", O_RDONLY | O_CREAT, 0644), EISDIR);
	EXPECT_ERRNO(open("d", O_RDONLY | O_TRUNC), EISDIR);
	EXPECT_ERRNO(open("p", O_WRONLY | O_NONBLOCK), ENXIO);
	EXPECT_ERRNO(open(".", O_RDONLY | O_TMPFILE, 0644), EINVAL);
	EXPECT_ERRNO(open("f", O_RDWR | O_TMPFILE, 0644), ENOTDIR);
	/* Through a link that leads nowhere a file is made where it leads. */
	fd = open("dangling", O_WRONLY | O_CREAT, 0644);
	EXPECT(fd >= 0 && close(fd) == 0);
	EXPECT(exists("missing"));
}

static void sockets_are_not_opened(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	EXPECT(fd >= 0);
	strcpy(address.sun_path, "s");
	EXPECT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	EXPECT(close(fd) == 0);
	EXPECT_ERRNO(open("s", O_RDONLY), ENXIO);
	EXPECT_ERRNO(truncate("s", 0), EINVAL);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(fd >= 0);
	EXPECT_ERRNO(bind(fd, (struct sockaddr *)&address, sizeof(address)),
	             EADDRINUSE);
	EXPECT_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof(address)),
	             ECONNREFUSED);
	EXPECT(close(fd) == 0);
}

static void new_name_must_be_free(void)
{
	static const char *const taken[] = {"f", "d", "dangling", "p"};

	EXPECT(make_file("f", 3, 0));
	EXPECT(make_file("other", 4, 1));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(symlink("missing", "dangling") == 0);
	EXPECT(mkfifo("p", 0644) == 0);
	for (unsigned i = 0; i < 4; i++) {
		EXPECT_ERRNO(mkdir(taken[i], 0755), EEXIST);
		EXPECT_ERRNO(mkfifo(taken[i], 0644), EEXIST);
		EXPECT_ERRNO(mknod(taken[i], S_IFREG | 0644, 0), EEXIST);
		EXPECT_ERRNO(mknod(taken[i], S_IFSOCK | 0644, 0), EEXIST);
		EXPECT_ERRNO(symlink("x", taken[i]), EEXIST);
		EXPECT_ERRNO(link("other", taken[i]), EEXIST);
		EXPECT_ERRNO(renameat2(AT_FDCWD, "other", AT_FDCWD, taken[i],
		                       RENAME_NOREPLACE),
		             EEXIST);
	}
	EXPECT_ERRNO(mkdir(".", 0755), EEXIST);
	EXPECT_ERRNO(mkdir("d/..", 0755), EEXIST);
	EXPECT_ERRNO(symlink("x", "."), EEXIST);
	EXPECT(!exists("missing") && same_file("other", 4, 1));
}

static void removal_looks_at_what_is_there(void)
{
	EXPECT(make_file("f", 3, 0));
	EXPECT(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	EXPECT(symlink("d", "l") == 0);
	EXPECT_ERRNO(unlink("missing"), ENOENT);
	EXPECT_ERRNO(unlink("d"), EISDIR);
	EXPECT_ERRNO(unlink("."), EISDIR);
	EXPECT_ERRNO(unlink("f/"), ENOTDIR);
	EXPECT_ERRNO(rmdir("missing"), ENOENT);
	EXPECT_ERRNO(rmdir("f"), ENOTDIR);
	EXPECT_ERRNO(rmdir("l"), ENOTDIR);
	EXPECT_ERRNO(rmdir("d"), ENOTEMPTY);
	EXPECT_ERRNO(rmdir("d/e/."), EINVAL);
	EXPECT_ERRNO(rmdir("d/e/.."), ENOTEMPTY);
	EXPECT_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
	EXPECT_ERRNO(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR), ENOTDIR);
	EXPECT(exists("f") && exists("d/e"));
	EXPECT(unlink("l") == 0 && rmdir("d/e/") == 0);
}

static void rename_looks_at_both_names(void)
{
	EXPECT(make_file("f", 3, 0));
	EXPECT(mkdir("d", 0755) == 0 && mkdir("d/e", 0755) == 0);
	EXPECT(mkdir("empty", 0755) == 0);
	EXPECT(symlink("d", "l") == 0);
	EXPECT_ERRNO(rename("missing", "f"), ENOENT);
	EXPECT_ERRNO(rename("missing", "missing"), ENOENT);
	EXPECT_ERRNO(rename("d", "f"), ENOTDIR);
	EXPECT_ERRNO(rename("d", "l"), ENOTDIR);
	EXPECT_ERRNO(rename("f", "empty"), EISDIR);
	EXPECT_ERRNO(rename("l", "empty"), EISDIR);
	EXPECT_ERRNO(rename("f", "new/"), ENOTDIR);
	EXPECT_ERRNO(rename("f/", "new"), ENOTDIR);
	EXPECT_ERRNO(rename("empty", "d"), ENOTEMPTY);
	EXPECT_ERRNO(rename("d/e", "d"), ENOTEMPTY);
	EXPECT_ERRNO(rename("d", "d/e/x"), EINVAL);
	EXPECT_ERRNO(rename("d", "d/x"), EINVAL);
	EXPECT_ERRNO(rename(".", "x"), EBUSY);
	EXPECT_ERRNO(rename("d/..", "x"), EBUSY);
	EXPECT_ERRNO(rename("f", "."), EBUSY);
	EXPECT_ERRNO(rename("d/e", "d/.."), EBUSY);
	EXPECT(same_file("f", 3, 0) && exists("d/e") && exists("l"));
}

static void rename_flags_are_looked_at(void)
{
	EXPECT(make_file("f", 3, 0));
	EXPECT(make_file("g", 4, 1));
	EXPECT_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "x", 1U << 20), EINVAL);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "g",
	                       RENAME_NOREPLACE | RENAME_EXCHANGE),
	             EINVAL);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "g",
	                       RENAME_WHITEOUT | RENAME_EXCHANGE),
	             EINVAL);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "x", RENAME_EXCHANGE),
	             ENOENT);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "x", AT_FDCWD, "f", RENAME_EXCHANGE),
	             ENOENT);
	EXPECT_ERRNO(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE),
	             ENOENT);
	if (is_ours() && geteuid() == 0)
		EXPECT_ERRNO(
		    renameat2(AT_FDCWD, "f", AT_FDCWD, "x", RENAME_WHITEOUT),
		    EINVAL);
	/* And such a refusal does not end the ones that are kept. */
	EXPECT(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_EXCHANGE) == 0);
	EXPECT(same_file("g", 3, 0) && same_file("f", 4, 1));
}

static void links_are_of_files(void)
{
	struct stat st;

	EXPECT(make_file("f", 3, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(symlink("missing", "dangling") == 0);
	EXPECT_ERRNO(link("d", "x"), EPERM);
	EXPECT_ERRNO(link("missing", "x"), ENOENT);
	EXPECT_ERRNO(link("f", "x/"), ENOENT);
	EXPECT_ERRNO(
	    linkat(AT_FDCWD, "dangling", AT_FDCWD, "x", AT_SYMLINK_FOLLOW),
	    ENOENT);
	EXPECT(link("dangling", "x") == 0);
	EXPECT(lstat("x", &st) == 0);
	EXPECT(S_ISLNK(st.st_mode) && st.st_nlink == 2);
	EXPECT(mkfifo("p", 0644) == 0 && link("p", "q") == 0);
	EXPECT(lstat("q", &st) == 0);
	EXPECT(S_ISFIFO(st.st_mode) && st.st_nlink == 2);
}

static void targets_have_a_length(void)
{
	char target[PATH_BYTES + 2];
	char byte;

	memset(target, 't', sizeof(target));
	target[PATH_BYTES + 1] = '\0';
	EXPECT_ERRNO(symlink(target, "l"), ENAMETOOLONG);
	EXPECT_ERRNO(symlink("", "l"), ENOENT);
	EXPECT(symlink("xyz", "l") == 0);
	EXPECT_ERRNO(readlink("l", &byte, 0), EINVAL);
	EXPECT(readlink("l", &byte, 1) == 1 && byte == 'x');
	EXPECT(make_file("f", 1, 0));
	EXPECT_ERRNO(readlink("f", &byte, 1), EINVAL);
	EXPECT_ERRNO(readlink(".", &byte, 1), EINVAL);
}

static void cuts_are_of_files(void)
{
	int fd;

	EXPECT(make_file("f", 3, 0));
	EXPECT(mkdir("d", 0755) == 0);
	EXPECT(mkfifo("p", 0644) == 0);
	EXPECT_ERRNO(truncate("d", 0), EISDIR);
	EXPECT_ERRNO(truncate("p", 0), EINVAL);
	EXPECT_ERRNO(truncate("f", -1), EINVAL);
	fd = open("f", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT_ERRNO(ftruncate(fd, 0), EINVAL);
	EXPECT_ERRNO(write(fd, "x", 1), EBADF);
	EXPECT(close(fd) == 0);
	fd = open("d", O_RDONLY);
	EXPECT(fd >= 0);
	EXPECT_ERRNO(ftruncate(fd, 0), EINVAL);
	EXPECT_ERRNO(read(fd, &fd, 1), EISDIR);
	EXPECT(close(fd) == 0);
	EXPECT(same_file("f", 3, 0));
}

static void folders_are_not_made_by_mknod(void)
{
	EXPECT_ERRNO(mknod("d", S_IFDIR | 0755, 0), EPERM);
	EXPECT_ERRNO(mknod("l", S_IFLNK | 0755, 0), EINVAL);
	EXPECT(mknod("f", 0640, 0) == 0); /* no type: a file */
	EXPECT(size_of("f") == 0);
	EXPECT(!exists("d") && !exists("l"));
}

/* ---- programs ------------------------------------------------------------- */

static int run(const char *path)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		execl(path, path, "-c", "exit 0", NULL);
		_exit(errno);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status)
	           ? WEXITSTATUS(status)
	           : -1;
}

static bool copy_program(const char *from, const char *to)
{
	char bytes[65536];
	int in = open(from, O_RDONLY);
	int out = open(to, O_WRONLY | O_CREAT, 0755);
	ssize_t got;

	CHECK(in >= 0 && out >= 0);
	while ((got = read(in, bytes, sizeof(bytes))) > 0)
		CHECK(write(out, bytes, (size_t)got) == got);
	CHECK(got == 0 && close(in) == 0 && close(out) == 0);
	return true;
}

static void program_that_runs_is_not_written_to(void)
{
	pid_t child;
	int fd;

	EXPECT(copy_program("/bin/sleep", "sleep"));
	EXPECT(copy_program("/bin/sh", "sh"));
	EXPECT(run("./sh") == 0);
	fd = open("sh", O_WRONLY);
	EXPECT(fd >= 0 && run("./sh") == ETXTBSY);
	EXPECT(close(fd) == 0 && chmod("sh", 0644) == 0);
	EXPECT(run("./sh") == EACCES);
	EXPECT(run(".") == EACCES);

	/* A vfork() returns when its child runs the program. */
	child = vfork();
	if (child == 0) {
		execl("./sleep", "sleep", "60", NULL);
		_exit(1);
	}
	fd = open("sleep", O_WRONLY);
	if (fd < 0 && errno == ETXTBSY && truncate("sleep", 0) < 0)
		fd = -errno;
	kill(child, SIGKILL);
	EXPECT(waitpid(child, NULL, 0) == child);
	EXPECT(fd == -ETXTBSY);
	fd = open("sleep", O_WRONLY);
	EXPECT(fd >= 0 && close(fd) == 0);
}

static const struct claim claims[] = {
    CLAIM(file_on_the_way_is_enotdir),
    CLAIM(nothing_on_the_way_is_enoent),
    CLAIM(circle_on_the_way_is_eloop),
    CLAIM(chain_of_40_links_is_followed),
    CLAIM(too_long_is_enametoolong),
    CLAIM(open_looks_at_what_is_there),
    CLAIM(sockets_are_not_opened),
    CLAIM(new_name_must_be_free),
    CLAIM(removal_looks_at_what_is_there),
    CLAIM(rename_looks_at_both_names),
    CLAIM(rename_flags_are_looked_at),
    CLAIM(links_are_of_files),
    CLAIM(targets_have_a_length),
    CLAIM(cuts_are_of_files),
    CLAIM(folders_are_not_made_by_mknod),
    CLAIM(program_that_runs_is_not_written_to),
};

int main(int argc, char **argv)
{
	return claims_run(claims, sizeof(claims) / sizeof(claims[0]), argc,
	                  argv);
}
