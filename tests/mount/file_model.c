/* SPDX-License-Identifier: MIT */
/*
 * file_model.c: random operations on one file, compared with the same in memory,
 * in the spirit of fsx.
 *
 * Usage: file_model FILE STATE OPERATIONS
 *
 * STATE keeps what the file should hold, from one run to the next, so that a
 * mount can come between them; a run begins by comparing all of it. SHALEFS_SEED
 * gives the operations. Exit code 1: file and memory differ; the last operations
 * are printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "tests/support/gen.h"

enum {
	FILE_MAX = 700 << 10, /* a dozen chunks */
	BLOCK = 4096,
	TRAIL = 32, /* operations that are printed at the end */
	TRAIL_BYTES = 96,
};

struct file {
	const char *path;
	int fd, direct_fd;
	bool is_ours; /* it lies in a FUSE filesystem */
	struct gen gen;
	uint8_t *want, *room; /* FILE_MAX each, the second aligned to a block */
	size_t size;
	char trail[TRAIL][TRAIL_BYTES];
	unsigned long done;
};

static struct file file;

/* ---- when it goes wrong -------------------------------------------------- */

static void note(const char *what, size_t a, size_t b, size_t c)
{
	snprintf(file.trail[file.done % TRAIL], TRAIL_BYTES,
	         "%lu: %s %zu %zu %zu, size %zu", file.done, what, a, b, c,
	         file.size);
}

static _Noreturn void give_up(const char *what, size_t offset)
{
	fprintf(stderr, "file_model: %s at %zu (%s)\n", what, offset,
	        strerror(errno));
	for (unsigned i = 1; i <= TRAIL; i++) {
		const char *line = file.trail[(file.done + i) % TRAIL];

		if (line[0] != 0)
			fprintf(stderr, "  %s\n", line);
	}
	exit(1);
}

static void need(bool condition, const char *what, size_t offset)
{
	if (!condition)
		give_up(what, offset);
}

static void compare(const uint8_t *got, size_t offset, size_t len,
                    const char *what)
{
	for (size_t i = 0; i < len; i++) {
		if (got[i] == file.want[offset + i])
			continue;
		errno = 0;
		fprintf(stderr, "file_model: wanted %02x, got %02x\n",
		        file.want[offset + i], got[i]);
		give_up(what, offset + i);
	}
}

/* ---- the file in memory -------------------------------------------------- */

static size_t below(size_t limit)
{
	return (size_t)gen_below(&file.gen, limit);
}

/* Often beside the borders of chunks, blocks and of the inline form. */
static size_t some_offset(size_t limit)
{
	static const size_t borders[] = {BLOCK, 64 << 10};
	size_t offset = below(limit);

	if (below(3) == 0) {
		size_t border = borders[below(2)];

		offset = offset / border * border + below(5);
		offset = offset >= 2 ? offset - 2 : 0;
	}
	return offset < limit ? offset : limit - 1;
}

static size_t some_len(size_t offset)
{
	static const size_t most[] = {16, 5000, 70000, 300000};
	size_t len = 1 + below(most[below(4)]);

	return len < FILE_MAX - offset ? len : FILE_MAX - offset;
}

static size_t some_len_before_end(size_t offset)
{
	size_t len = some_len(offset);

	return len < file.size - offset ? len : file.size - offset;
}

static void want_size(size_t size)
{
	if (size < file.size)
		memset(file.want + size, 0, file.size - size);
	file.size = size;
}

static void want_reach(size_t end)
{
	if (end > file.size)
		file.size = end;
}

/* New bytes, that can be recognised, and compressed now and then. */
static void fill(uint8_t *bytes, size_t len)
{
	if (below(4) == 0)
		memset(bytes, (int)below(256), len);
	else
		gen_bytes(&file.gen, bytes, len);
}

/* ---- operations ---------------------------------------------------------- */

static void do_read(void)
{
	size_t offset = some_offset(file.size + 1);
	size_t len = some_len(offset);
	size_t most = file.size - offset < len ? file.size - offset : len;
	ssize_t got;

	note("read", offset, len, 0);
	got = pread(file.fd, file.room, len, (off_t)offset);
	need(got == (ssize_t)most, "a read of another length", offset);
	compare(file.room, offset, most, "read differs");
}

static void do_write(void)
{
	size_t offset = some_offset(below(2) == 0 ? FILE_MAX : file.size + 1);
	size_t len;
	struct iovec parts[2];
	int flags = below(20) == 0 ? RWF_DSYNC : 0;

	if (offset == FILE_MAX)
		offset = FILE_MAX - 1;
	len = some_len(offset);
	note("write", offset, len, (size_t)flags);
	fill(file.want + offset, len);
	parts[0] = (struct iovec){file.want + offset, below(len + 1)};
	parts[1] = (struct iovec){file.want + offset + parts[0].iov_len,
	                          len - parts[0].iov_len};
	need(pwritev2(file.fd, parts, 2, (off_t)offset, flags) == (ssize_t)len,
	     "a write of another length", offset);
	want_reach(offset + len);
}

static void do_append(void)
{
	size_t len;
	struct iovec part;

	if (file.size == FILE_MAX)
		return;
	len = some_len(file.size);
	note("append", file.size, len, 0);
	fill(file.want + file.size, len);
	part = (struct iovec){file.want + file.size, len};
	need(pwritev2(file.fd, &part, 1, 0, RWF_APPEND) == (ssize_t)len,
	     "an append of another length", file.size);
	want_reach(file.size + len);
}

static void do_direct_read(void)
{
	size_t offset = some_offset(file.size + 1) / BLOCK * BLOCK;
	size_t len = (some_len(offset) + BLOCK - 1) / BLOCK * BLOCK;
	size_t most;
	ssize_t got;

	if (len > FILE_MAX - offset)
		len = FILE_MAX - offset;
	most = file.size - offset < len ? file.size - offset : len;
	note("direct read", offset, len, 0);
	got = pread(file.direct_fd, file.room, len, (off_t)offset);
	need(got == (ssize_t)most, "a direct read of another length", offset);
	compare(file.room, offset, most, "direct read differs");
}

static void do_direct_write(void)
{
	size_t offset = some_offset(file.size + 1) / BLOCK * BLOCK;
	size_t len = (some_len(offset) + BLOCK - 1) / BLOCK * BLOCK;

	if (offset == FILE_MAX)
		return;
	if (len > FILE_MAX - offset)
		len = FILE_MAX - offset;
	note("direct write", offset, len, 0);
	fill(file.room, len);
	need(pwrite(file.direct_fd, file.room, len, (off_t)offset) ==
	         (ssize_t)len,
	     "a direct write of another length", offset);
	memcpy(file.want + offset, file.room, len);
	want_reach(offset + len);
}

/* Some bytes of the file, in a mapping. */
struct mapping {
	size_t offset, len; /* of these bytes in the file */
	uint8_t *bytes;     /* the same */
	void *start;        /* of the page in which they begin */
	size_t mapped;      /* from there on */
};

/* False: the file is empty. */
static bool map_some(const char *what, int flags, struct mapping *m)
{
	size_t skip;

	if (file.size == 0)
		return false;
	m->offset = some_offset(file.size);
	m->len = some_len_before_end(m->offset);
	note(what, m->offset, m->len, 0);

	skip = m->offset % BLOCK;
	m->mapped = skip + m->len;
	m->start = mmap(NULL, m->mapped, PROT_READ | PROT_WRITE, flags, file.fd,
	                (off_t)(m->offset - skip));
	need(m->start != MAP_FAILED, "cannot be mapped", m->offset);
	m->bytes = (uint8_t *)m->start + skip;
	return true;
}

static void do_map_read(void)
{
	struct mapping m;

	if (!map_some("map read", MAP_SHARED, &m))
		return;
	compare(m.bytes, m.offset, m.len, "mapping differs");
	munmap(m.start, m.mapped);
}

static void do_map_write(void)
{
	struct mapping m;

	if (!map_some("map write", MAP_SHARED, &m))
		return;
	fill(file.want + m.offset, m.len);
	memcpy(m.bytes, file.want + m.offset, m.len);
	if (below(2) == 0)
		need(msync(m.start, m.mapped, MS_SYNC) == 0, "msync", m.offset);
	munmap(m.start, m.mapped);
}

/* What is stored into a private mapping stays there. */
static void do_private_write(void)
{
	struct mapping m;

	if (!map_some("private write", MAP_PRIVATE, &m))
		return;
	memset(m.bytes, 0x5a, m.len);
	munmap(m.start, m.mapped);
}

static void do_truncate(void)
{
	size_t size = some_offset(below(2) == 0 ? FILE_MAX : file.size + 1);

	if (below(20) == 0)
		size = 0;
	note("truncate", size, 0, 0);
	need(ftruncate(file.fd, (off_t)size) == 0, "truncate", size);
	want_size(size);
}

static void do_allocate(int mode, const char *what)
{
	size_t offset = some_offset(FILE_MAX);
	size_t len = some_len(offset);

	note(what, offset, len, (size_t)mode);
	need(fallocate(file.fd, mode, (off_t)offset, (off_t)len) == 0, what,
	     offset);
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
		memset(file.want + offset, 0, len);
	if ((mode & FALLOC_FL_KEEP_SIZE) == 0)
		want_reach(offset + len);
}

static void do_punch(void)
{
	do_allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch");
}

static void do_zero(void)
{
	do_allocate(FALLOC_FL_ZERO_RANGE |
	                (below(2) == 0 ? FALLOC_FL_KEEP_SIZE : 0),
	            "zero");
}

static void do_reserve(void)
{
	do_allocate(below(2) == 0 ? FALLOC_FL_KEEP_SIZE : 0, "reserve");
}

static void do_copy(void)
{
	size_t from, to, len;

	if (file.size == 0)
		return;
	from = some_offset(file.size);
	to = some_offset(FILE_MAX);
	len = some_len_before_end(from);
	if (len > FILE_MAX - to)
		len = FILE_MAX - to;
	if (from < to + len && to < from + len)
		return;
	note("copy", from, to, len);
	for (size_t done = 0; done < len;) {
		off_t in = (off_t)(from + done);
		off_t out = (off_t)(to + done);
		ssize_t n =
		    copy_file_range(file.fd, &in, file.fd, &out, len - done, 0);

		need(n > 0, "copy_file_range", from + done);
		done += (size_t)n;
	}
	memcpy(file.want + to, file.want + from, len);
	want_reach(to + len);
}

/* Holes read as zeros, and data and holes alternate up to the end. */
static void do_seek(void)
{
	off_t at = 0;

	note("seek", 0, 0, 0);
	while ((size_t)at < file.size) {
		off_t data = lseek(file.fd, at, SEEK_DATA);
		size_t end = data < 0 ? file.size : (size_t)data;

		need(data >= at || (data < 0 && errno == ENXIO), "SEEK_DATA",
		     (size_t)at);
		for (size_t i = (size_t)at; i < end; i++)
			need(file.want[i] == 0, "there is data in a hole", i);
		if (data < 0)
			return;
		at = lseek(file.fd, data, SEEK_HOLE);
		need(at > data && (size_t)at <= file.size, "SEEK_HOLE",
		     (size_t)data);
	}
}

static void do_sync(void)
{
	note("fsync", 0, 0, 0);
	need((below(2) == 0 ? fsync(file.fd) : fdatasync(file.fd)) == 0,
	     "fsync", 0);
}

static void open_file(int flags)
{
	struct statfs fs;

	file.fd = open(file.path, O_RDWR | flags, 0644);
	file.direct_fd = open(file.path, O_RDWR | O_DIRECT);
	need(file.fd >= 0 && file.direct_fd >= 0 && fstatfs(file.fd, &fs) == 0,
	     "open", 0);
	file.is_ours = fs.f_type == FUSE_SUPER_MAGIC;
}

static void close_file(void)
{
	need(close(file.fd) == 0 && close(file.direct_fd) == 0, "close", 0);
}

static void do_reopen(void)
{
	bool cuts = below(8) == 0;

	note(cuts ? "open with O_TRUNC" : "open", 0, 0, 0);
	close_file();
	open_file(cuts ? O_TRUNC : 0);
	if (cuts)
		want_size(0);
}

static void drop_all_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	/* Others than root do without. */
	if (fd >= 0) {
		need(write(fd, "3", 1) == 1, "drop_caches", 0);
		close(fd);
	}
}

static void do_forget(void)
{
	note("forget", 0, 0, 0);
	need(fsync(file.fd) == 0, "fsync", 0);
	need(posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "fadvise",
	     0);
	if (below(50) == 0)
		drop_all_caches();
}

static void check_size(void)
{
	struct stat st;

	need(fstat(file.fd, &st) == 0, "fstat", 0);
	errno = 0;
	need((size_t)st.st_size == file.size, "another size",
	     (size_t)st.st_size);
	/* Others may have set blocks aside past the end. */
	need(!file.is_ours || (size_t)st.st_blocks * 512 <=
	                          (file.size + BLOCK - 1) / BLOCK * BLOCK,
	     "more blocks than bytes", (size_t)st.st_blocks);
}

static void check_all(void)
{
	ssize_t got = pread(file.fd, file.room, FILE_MAX, 0);

	note("compare all", 0, 0, 0);
	check_size();
	need(got == (ssize_t)file.size, "a read of another length", 0);
	compare(file.room, 0, file.size, "contents differ");
}

/* ---- many of them -------------------------------------------------------- */

static const struct {
	void (*run)(void);
	unsigned weight;
} operations[] = {
    {do_read, 10},       {do_write, 14},       {do_append, 2},
    {do_map_read, 6},    {do_map_write, 8},    {do_private_write, 1},
    {do_direct_read, 4}, {do_direct_write, 4}, {do_truncate, 6},
    {do_punch, 6},       {do_zero, 4},         {do_reserve, 2},
    {do_copy, 5},        {do_seek, 3},         {do_sync, 1},
    {do_reopen, 2},      {do_forget, 3},       {check_all, 2},
};

static void run_one(void)
{
	size_t total = 0;
	size_t pick;

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		total += operations[i].weight;
	pick = below(total);
	for (size_t i = 0;; i++) {
		if (pick < operations[i].weight) {
			operations[i].run();
			break;
		}
		pick -= operations[i].weight;
	}
	check_size();
	file.done++;
}

/* ---- from run to run ----------------------------------------------------- */

static void load_state(const char *path)
{
	FILE *state = fopen(path, "rb");

	if (state == NULL)
		return;
	file.size = fread(file.want, 1, FILE_MAX, state);
	need(fclose(state) == 0, "the state cannot be read", 0);
}

static void save_state(const char *path)
{
	FILE *state = fopen(path, "wb");

	need(state != NULL &&
	         fwrite(file.want, 1, file.size, state) == file.size &&
	         fclose(state) == 0,
	     "the state cannot be written", 0);
}

int main(int argc, char **argv)
{
	uint64_t fallback = 1;
	unsigned long count;

	if (argc != 4) {
		fprintf(stderr, "usage: file_model FILE STATE OPERATIONS\n");
		return 2;
	}
	(void)getrandom(&fallback, sizeof(fallback), 0);
	gen_init(&file.gen, gen_seed(fallback));
	count = strtoul(argv[3], NULL, 10);
	file.path = argv[1];
	file.want = calloc(1, FILE_MAX);
	file.room = aligned_alloc(BLOCK, FILE_MAX);
	need(file.want != NULL && file.room != NULL, "memory", 0);
	load_state(argv[2]);
	open_file(O_CREAT);
	check_all();
	while (file.done < count)
		run_one();
	check_all();
	close_file();
	save_state(argv[2]);
	free(file.want);
	free(file.room);
	return 0;
}
