/* SPDX-License-Identifier: MIT */
/*
 * twin.c: random operations on names and attributes, each done in two folders,
 * by the same user, with the same result; all that both hold is compared after
 * each.
 *
 * Usage: twin FOLDER REFERENCE OPERATIONS
 *
 * Root only, since it acts as others too. SHALEFS_SEED gives the operations.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "tests/mount/twin.h"
#include "tests/support/gen.h"

enum {
	ALICE = 60001,
	BOB = 60002,
	CLUB = TWIN_CLUB,
	SLOTS = 6,  /* of open files */
	TRAIL = 24, /* operations that are printed at the end */
	TEXT_BYTES = 400,
};

static struct {
	int roots[2];
	int held[2][SLOTS];
	struct gen gen;
	char trail[TRAIL][TEXT_BYTES];
	unsigned long done;
} run;

static struct twin_tree before[2], after[2];

/* One operation, the same in both folders. */
struct op {
	char path[TWIN_PATH_BYTES], other[TWIN_PATH_BYTES];
	int number; /* what else it is about: a mode, a size, flags */
	int slot;
	struct timespec times[2];
};

static unsigned below(unsigned limit)
{
	return (unsigned)gen_below(&run.gen, limit);
}

/* ---- what is done --------------------------------------------------------- */

static int put_away(int which, const struct op *op, int fd)
{
	int *slot = &run.held[which][op->slot];

	if (fd < 0)
		return -errno;
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	return 0;
}

static int result_of(int got)
{
	return got < 0 ? -errno : got;
}

static int do_open(const struct op *op, int which)
{
	static const int flags[] = {
	    O_RDONLY,
	    O_WRONLY | O_CREAT,
	    O_RDWR | O_CREAT | O_EXCL,
	    O_RDWR | O_TRUNC,
	    O_WRONLY | O_CREAT | O_TRUNC,
	    O_RDONLY | O_DIRECTORY,
	    O_RDWR | O_NOFOLLOW,
	    O_PATH,
	    O_RDWR,
	};
	size_t count = sizeof(flags) / sizeof(flags[0]);
	int flag = flags[(size_t)op->number / 010000 % count];

	return put_away(which, op,
	                open(op->path, flag | O_NONBLOCK, op->number & 07777));
}

static int do_tmpfile(const struct op *op, int which)
{
	int got = put_away(
	    which, op, open(op->path, O_TMPFILE | O_RDWR, op->number & 0777));

	/* In a removed folder ext4 says EPERM. */
	return got == -EPERM ? -ENOENT : got;
}

static int do_mkdir(const struct op *op, int which)
{
	(void)which;
	return result_of(mkdir(op->path, op->number & 07777));
}

static int do_mkdirat(const struct op *op, int which)
{
	return result_of(
	    mkdirat(run.held[which][op->slot], "m", op->number & 0777));
}

static int do_mknod(const struct op *op, int which)
{
	static const mode_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR};
	mode_t type = types[op->number / 010000 % 4];

	(void)which;
	return result_of(mknod(op->path, type | (op->number & 07777),
	                       type == S_IFCHR ? 259 : 0));
}

static int do_symlink(const struct op *op, int which)
{
	(void)which;
	return result_of(symlink(op->other, op->path));
}

static int do_link(const struct op *op, int which)
{
	(void)which;
	return result_of(linkat(AT_FDCWD, op->path, AT_FDCWD, op->other,
	                        op->number % 2 != 0 ? AT_SYMLINK_FOLLOW : 0));
}

static int do_link_held(const struct op *op, int which)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d",
	         run.held[which][op->slot]);
	return result_of(
	    linkat(AT_FDCWD, path, AT_FDCWD, op->path, AT_SYMLINK_FOLLOW));
}

static int do_unlink(const struct op *op, int which)
{
	(void)which;
	return result_of(unlink(op->path));
}

static int do_rmdir(const struct op *op, int which)
{
	(void)which;
	return result_of(rmdir(op->path));
}

static int do_rename(const struct op *op, int which)
{
	static const unsigned flags[] = {
	    0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE,
	};

	(void)which;
	return result_of(renameat2(AT_FDCWD, op->path, AT_FDCWD, op->other,
	                           flags[op->number % 6]));
}

static int do_chmod(const struct op *op, int which)
{
	(void)which;
	return result_of(chmod(op->path, op->number & 07777));
}

static int do_fchmod(const struct op *op, int which)
{
	return result_of(fchmod(run.held[which][op->slot], op->number & 07777));
}

static int do_chown(const struct op *op, int which)
{
	static const uid_t ids[] = {0, ALICE, BOB, CLUB, (uid_t)-1};
	uid_t user = ids[op->number % 5];
	gid_t group = ids[op->number / 5 % 5];

	(void)which;
	if (op->number / 25 % 2 == 0)
		return result_of(lchown(op->path, user, group));
	return result_of(chown(op->path, user, group));
}

static int do_truncate(const struct op *op, int which)
{
	(void)which;
	return result_of(truncate(op->path, op->number));
}

static int do_ftruncate(const struct op *op, int which)
{
	return result_of(ftruncate(run.held[which][op->slot], op->number));
}

static int do_write(const struct op *op, int which)
{
	return result_of((int)pwrite(run.held[which][op->slot], op->path,
	                             strlen(op->path), op->number));
}

static int do_utimens(const struct op *op, int which)
{
	(void)which;
	return result_of(
	    utimensat(AT_FDCWD, op->path, op->times,
	              op->number % 2 != 0 ? AT_SYMLINK_NOFOLLOW : 0));
}

static int do_xattr(const struct op *op, int which)
{
	const char *name = op->number % 2 != 0 ? "user.a" : "user.long";

	(void)which;
	if (op->number / 2 % 3 == 0)
		return result_of(lremovexattr(op->path, name));
	/* A new value each time: ext4 does nothing where it is the same. */
	return result_of(lsetxattr(op->path, name, &run.done, sizeof(run.done),
	                           op->number / 6 % 3)); /* create, replace */
}

static int do_access(const struct op *op, int which)
{
	(void)which;
	return result_of(
	    faccessat(AT_FDCWD, op->path, op->number % 8, AT_EACCESS));
}

/* The number of names, times a number that depends on them. */
static int do_list(const struct op *op, int which)
{
	const struct dirent *entry;
	DIR *dir = opendir(op->path);
	unsigned sum = 0;

	(void)which;
	if (dir == NULL)
		return -errno;
	errno = 0;
	while ((entry = readdir(dir)) != NULL)
		sum += 1000U + (unsigned)entry->d_name[0] * entry->d_type;
	sum = errno != 0 ? (unsigned)-errno : sum;
	closedir(dir);
	return (int)sum;
}

/* All but the size of a folder. */
static int do_fstat(const struct op *op, int which)
{
	struct stat st;

	if (fstat(run.held[which][op->slot], &st) != 0)
		return -errno;
	return (int)((twin_mode(&st) << 8) ^ st.st_nlink ^
	             (S_ISDIR(st.st_mode) ? 0 : (unsigned)st.st_size << 3) ^
	             (st.st_uid << 4) ^ (st.st_gid << 5)) &
	       0x7fffffff;
}

static const struct kind {
	const char *name;
	int (*run)(const struct op *op, int which);
} kinds[] = {
    {"open", do_open},         {"open", do_open},
    {"mkdir", do_mkdir},       {"mkdir", do_mkdir},
    {"mkdirat", do_mkdirat},   {"mknod", do_mknod},
    {"tmpfile", do_tmpfile},   {"symlink", do_symlink},
    {"link", do_link},         {"link held", do_link_held},
    {"unlink", do_unlink},     {"rmdir", do_rmdir},
    {"rename", do_rename},     {"rename", do_rename},
    {"rename", do_rename},     {"chmod", do_chmod},
    {"fchmod", do_fchmod},     {"chown", do_chown},
    {"truncate", do_truncate}, {"ftruncate", do_ftruncate},
    {"write", do_write},       {"utimens", do_utimens},
    {"xattr", do_xattr},       {"access", do_access},
    {"list", do_list},         {"fstat", do_fstat},
};

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- what it is about ------------------------------------------------------ */

static void make_path(char *path)
{
	static const char *const names[] = {"a", "b", "c", "d", "e",
	                                    "f", "g", "h", ".", ".."};
	unsigned depth = 1 + below(3);

	path[0] = '\0';
	for (unsigned i = 0; i < depth; i++) {
		unsigned which = below(40) == 0 ? 8 + below(2) : below(8);

		strcat(path, i > 0 ? "/" : "");
		strcat(path, names[which]);
	}
	if (below(50) == 0)
		strcat(path, "/");
}

/* Never out of the folder, which the parent of the working folder is. */
static bool leaves(const char *path)
{
	int depth = 0;

	for (const char *at = path; at != NULL; at = strchr(at, '/')) {
		at += at[0] == '/';
		if (strncmp(at, "..", 2) == 0)
			depth--;
		else if (at[0] != '.' && at[0] != '\0')
			depth++;
		if (depth < 0)
			return true;
	}
	return false;
}

static void make_time(struct timespec *time)
{
	time->tv_sec = (time_t)below(1000000);
	time->tv_nsec = below(1000000000);
	if (below(4) == 0)
		time->tv_nsec = below(2) == 0 ? UTIME_OMIT : UTIME_NOW;
}

static void make_op(struct op *op)
{
	do {
		make_path(op->path);
	} while (leaves(op->path));
	do {
		make_path(op->other);
	} while (leaves(op->other));
	op->number = (int)below(1 << 20);
	op->slot = (int)below(SLOTS);
	make_time(&op->times[0]);
	make_time(&op->times[1]);
}

/* ---- running --------------------------------------------------------------- */

static _Noreturn void give_up(const char *format, ...)
{
	unsigned long first = run.done < TRAIL ? 0 : run.done - TRAIL;
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\nthe operations before, the last of which is the one:\n");
	for (unsigned long i = first; i < run.done; i++)
		puts(run.trail[i % TRAIL]);
	exit(1);
}

static void act_as(uid_t user, mode_t mask)
{
	const gid_t club[] = {CLUB};

	if (seteuid(0) != 0 || setegid(0) != 0 ||
	    setgroups(user == 0 ? 0 : 1, club) != 0 || setegid(user) != 0 ||
	    seteuid(user) != 0)
		give_up("cannot become %u: %s", user, strerror(errno));
	umask(mask);
}

/* Until the coarse clock, by which some filesystems tell the time, moved. */
static void tick(void)
{
	const struct timespec moment = {.tv_nsec = 100000};
	struct timespec begin, now;

	clock_gettime(CLOCK_REALTIME_COARSE, &begin);
	do {
		nanosleep(&moment, NULL);
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_nsec == begin.tv_nsec);
}

static void look_at_both(struct twin_tree trees[2])
{
	for (int which = 0; which < 2; which++) {
		if (fchdir(run.roots[which]) != 0 || !twin_look(&trees[which]))
			give_up("cannot look: %s", strerror(errno));
	}
}

static void step(void)
{
	static const uid_t users[] = {0, 0, ALICE, BOB};
	static const mode_t masks[] = {022, 0, 077};
	const struct kind *kind = &kinds[below(KINDS)];
	uid_t user = users[below(4)];
	mode_t mask = masks[below(3)];
	int results[2];
	struct op op;

	make_op(&op);
	for (int which = 0; which < 2; which++) {
		if (fchdir(run.roots[which]) != 0)
			give_up("cannot enter: %s", strerror(errno));
		act_as(user, mask);
		results[which] = kind->run(&op, which);
		act_as(0, 022);
	}
	snprintf(run.trail[run.done % TRAIL], TEXT_BYTES,
	         "%lu: %s as %u: %.80s, %.80s, %d (%#o), slot %d: %d", run.done,
	         kind->name, user, op.path, op.other, op.number,
	         op.number & 07777, op.slot, results[1]);
	run.done++;
	if (results[0] != results[1])
		give_up("the result is %d, not %d", results[0], results[1]);
	look_at_both(after);
	if (!twin_same(before, after))
		give_up("the folders differ");
	memcpy(before, after, sizeof(before));
	tick();
}

static bool open_root(int which, const char *path)
{
	run.roots[which] = open(path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < SLOTS; i++)
		run.held[which][i] = -1;
	return run.roots[which] >= 0 && fchmod(run.roots[which], 0777) == 0;
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;

	if (count == 0 || !open_root(0, argv[1]) || !open_root(1, argv[2])) {
		fprintf(stderr, "usage: %s FOLDER REFERENCE OPERATIONS\n",
		        argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	gen_init(&run.gen, gen_seed(1));
	look_at_both(before);
	if (!twin_same(before, before))
		give_up("the folders differ");
	while (run.done < count)
		step();
	return 0;
}
