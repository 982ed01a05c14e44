/* SPDX-License-Identifier: MIT */
/* fswork_data.c: large files: in sequence, at random, and synced. */
#include "tests/bench/fswork.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/sync.h"
#include "tests/bench/data.h"

enum {
	BLOCK_BYTES = 4096,
	PIECE_BYTES = 1 << 20,
	TEXT_BYTES = 64 << 20, /* that is kept; then it begins anew */
	JOBS_MAX = 4,
	OVERWRITES_OF_SYNC = 32,
	NAME_BYTES = 32,
};
#define SEQUENTIAL_BYTES (UINT64_C(1) << 30)
#define RANDOM_BYTES (UINT64_C(1) << 30) /* of all jobs together */
enum {
	RANDOM_READS = 80000, /* likewise */
	OVERWRITES = 40000,
	APPENDS = 8000,
};

/* ---- contents ------------------------------------------------------------- */

/* What does not compress. */
static void fill_noise(uint8_t *out, size_t len, uint64_t state)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t word = data_random(&state);

		memcpy(out + i, &word, sizeof(word));
	}
}

/* Sources as they are in the archive, as many as there are. */
static int read_text(const char *tar, uint8_t *text, size_t *len_out)
{
	int fd = open(tar, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;
	size_t len = 0;

	if (fd < 0)
		return fswork_failed(tar, errno);
	while (got > 0 && len < TEXT_BYTES) {
		got = read(fd, text + len, TEXT_BYTES - len);
		if (got > 0)
			len += (size_t)got;
	}
	close(fd);
	*len_out = len - len % PIECE_BYTES;
	return *len_out > 0 ? 0 : fswork_failed(tar, EINVAL);
}

static int make_contents(const struct fswork_run *run, uint8_t **bytes_out,
                         size_t *len_out)
{
	uint8_t *bytes = malloc(TEXT_BYTES);
	int err = 0;

	*bytes_out = NULL;
	*len_out = TEXT_BYTES;
	if (bytes == NULL)
		return fswork_failed("contents", ENOMEM);
	if (run->work->text)
		err = read_text(run->tar, bytes, len_out);
	else
		fill_noise(bytes, TEXT_BYTES, 1);
	if (err == 0)
		*bytes_out = bytes;
	else
		free(bytes);
	return err;
}

static void name_job(char name[NAME_BYTES], unsigned job)
{
	snprintf(name, NAME_BYTES, "job-%u", job);
}

/* ---- in sequence ---------------------------------------------------------- */

static uint64_t sequential_pieces(const struct fswork_run *run)
{
	return fswork_scaled(run, SEQUENTIAL_BYTES / PIECE_BYTES, 4);
}

/* The first byte of each page says which it is, so that no two are the same. */
static void number_pages(uint8_t *piece, uint64_t n)
{
	for (size_t at = 0; at < PIECE_BYTES; at += BLOCK_BYTES)
		memcpy(piece + at, &n, sizeof(n));
}

static int write_pieces(struct fswork_run *run, int fd, const uint8_t *bytes,
                        size_t len, uint64_t pieces)
{
	uint8_t *piece = malloc(PIECE_BYTES);
	int err = piece != NULL ? 0 : fswork_failed("a piece", ENOMEM);

	fswork_begin(run);
	for (uint64_t i = 0; err == 0 && i < pieces; i++) {
		memcpy(piece, bytes + i * PIECE_BYTES % len, PIECE_BYTES);
		number_pages(piece, i);
		err = fswork_write(fd, "large", piece, PIECE_BYTES,
		                   i * PIECE_BYTES);
	}
	free(piece);
	return err;
}

static int write_large(struct fswork_run *run)
{
	uint64_t pieces = sequential_pieces(run);
	uint8_t *bytes;
	size_t len;
	int fd, err;

	err = make_contents(run, &bytes, &len);
	if (err != 0)
		return err;
	fd = open("large", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0) {
		err = fswork_failed("large", errno);
	} else {
		err = write_pieces(run, fd, bytes, len, pieces);
		if (close(fd) != 0 && err == 0)
			err = fswork_failed("large", errno);
	}
	free(bytes);
	fswork_end(run);
	run->ops = pieces;
	return err;
}

static int read_large(struct fswork_run *run)
{
	uint64_t pieces = sequential_pieces(run);
	uint8_t *piece = malloc(PIECE_BYTES);
	int fd = open("large", O_RDONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0 || piece == NULL)
		err = fswork_failed("large", fd < 0 ? errno : ENOMEM);
	for (uint64_t i = 0; err == 0 && i < pieces; i++) {
		uint64_t number;

		err = fswork_read(fd, "large", piece, PIECE_BYTES,
		                  i * PIECE_BYTES);
		memcpy(&number, piece, sizeof(number));
		if (err == 0 && number != i)
			err = fswork_failed("large", EILSEQ);
	}
	if (fd >= 0)
		close(fd);
	free(piece);
	run->ops = pieces;
	return err;
}

/* ---- jobs ----------------------------------------------------------------- */

/* A thread of a phase, with a file of its own. */
struct job {
	struct fswork_run *run;
	unsigned number;
	uint64_t blocks; /* of its file */
	uint64_t ops;
	int fd;
	char name[NAME_BYTES];
	uint64_t random;
	int err;
	int (*step)(struct job *job, uint64_t i);
	struct sync_thread thread;
};

static void run_job(void *ctx)
{
	struct job *job = ctx;

	for (uint64_t i = 0; job->err == 0 && i < job->ops; i++)
		job->err = job->step(job, i);
}

static int open_job(struct job *job, int flags)
{
	name_job(job->name, job->number);
	job->fd = open(job->name, flags | O_CLOEXEC, 0644);
	if (job->fd < 0)
		return fswork_failed(job->name, errno);
	/* What is read ahead of random reads is thrown away. */
	(void)posix_fadvise(job->fd, 0, 0, POSIX_FADV_RANDOM);
	return 0;
}

/* All jobs of the workload, `ops` steps together. */
static int run_jobs(struct fswork_run *run, int flags, uint64_t ops,
                    int (*step)(struct job *job, uint64_t i))
{
	unsigned count = run->work->jobs;
	struct job jobs[JOBS_MAX];
	unsigned opened = 0, started = 0;
	int err = 0;

	for (; err == 0 && opened < count; opened++) {
		jobs[opened] = (struct job){
		    .run = run,
		    .number = opened,
		    .blocks =
			fswork_scaled(run, RANDOM_BYTES / BLOCK_BYTES, 1024) /
			count,
		    .ops = ops / count,
		    .random = opened + 1,
		    .step = step,
		};
		err = open_job(&jobs[opened], flags);
	}
	fswork_begin(run);
	for (; err == 0 && started < count; started++)
		if (sync_thread_start(&jobs[started].thread, "job", run_job,
		                      &jobs[started]) != LSM_OK)
			err = fswork_failed("a thread", ENOMEM);
	for (unsigned i = 0; i < started; i++) {
		sync_thread_join(&jobs[i].thread);
		if (err == 0)
			err = jobs[i].err;
	}
	fswork_end(run);
	for (unsigned i = 0; i < opened; i++)
		if (jobs[i].fd >= 0)
			close(jobs[i].fd);
	run->ops = ops / count * count;
	return err;
}

/* Half of each block compresses away. */
static void fill_block(uint8_t block[BLOCK_BYTES], uint64_t n, uint64_t version)
{
	data_value(block, BLOCK_BYTES, n, version);
}

static int fill_step(struct job *job, uint64_t i)
{
	uint8_t block[BLOCK_BYTES];

	fill_block(block, i, 0);
	return fswork_write(job->fd, job->name, block, BLOCK_BYTES,
	                    i * BLOCK_BYTES);
}

static int fill_jobs(struct fswork_run *run)
{
	return run_jobs(run, O_WRONLY | O_CREAT | O_EXCL,
	                fswork_scaled(run, RANDOM_BYTES / BLOCK_BYTES, 1024),
	                fill_step);
}

static int read_step(struct job *job, uint64_t i)
{
	uint64_t n = data_random(&job->random) % job->blocks;
	uint8_t block[BLOCK_BYTES];
	int err = fswork_read(job->fd, job->name, block, BLOCK_BYTES,
	                      n * BLOCK_BYTES);

	(void)i;
	if (err == 0 &&
	    !data_value_is(slice_make(block, BLOCK_BYTES), BLOCK_BYTES, n))
		err = fswork_failed(job->name, EILSEQ);
	return err;
}

static int read_at_random(struct fswork_run *run)
{
	return run_jobs(run, O_RDONLY, fswork_scaled(run, RANDOM_READS, 256),
	                read_step);
}

static int overwrite_step(struct job *job, uint64_t i)
{
	uint64_t n = data_random(&job->random) % job->blocks;
	uint8_t block[BLOCK_BYTES];
	int err;

	fill_block(block, n, i + 1);
	err = fswork_write(job->fd, job->name, block, BLOCK_BYTES,
	                   n * BLOCK_BYTES);
	if (err == 0 && i % OVERWRITES_OF_SYNC == OVERWRITES_OF_SYNC - 1 &&
	    fdatasync(job->fd) != 0)
		err = fswork_failed(job->name, errno);
	return err;
}

static int overwrite_at_random(struct fswork_run *run)
{
	return run_jobs(run, O_WRONLY, fswork_scaled(run, OVERWRITES, 256),
	                overwrite_step);
}

static int append_step(struct job *job, uint64_t i)
{
	uint8_t block[BLOCK_BYTES];
	int err;

	fill_block(block, i, 0);
	err = fswork_write(job->fd, job->name, block, BLOCK_BYTES,
	                   i * BLOCK_BYTES);
	if (err == 0 && fsync(job->fd) != 0)
		err = fswork_failed(job->name, errno);
	return err;
}

static int append_and_sync(struct fswork_run *run)
{
	return run_jobs(run, O_WRONLY | O_CREAT | O_EXCL,
	                fswork_scaled(run, APPENDS, 64), append_step);
}

/* clang-format off */
#define SEQUENTIAL(write_goal, cold_goal)                                     \
	{                                                                     \
		{"write", write_large, FSWORK_SYNC, write_goal},                  \
		{"read-cold", read_large, FSWORK_COLD | FSWORK_WEIGH, cold_goal}, \
		{"read-warm", read_large, 0, 0},                                  \
	}
#define RANDOM_READ                                                           \
	{                                                                     \
		{"fill", fill_jobs, FSWORK_SYNC | FSWORK_QUIET, 0},               \
		{"read-cold", read_at_random, FSWORK_COLD, 1.0},                  \
	}
#define OVERWRITE(goal)                                                       \
	{                                                                     \
		{"fill", fill_jobs, FSWORK_SYNC | FSWORK_QUIET, 0},               \
		{"write", overwrite_at_random, FSWORK_SYNC | FSWORK_COLD, goal},  \
	}
#define APPEND                                                                \
	{                                                                     \
		{"fsync", append_and_sync, FSWORK_SYNC, 0.3},                     \
	}
/* clang-format on */

const struct fswork fsworks_data[] = {
    {
	.name = "seq-text",
	.help = "1 GiB of sources in one file",
	.needs_tar = true,
	.text = true,
	.space_goal = 0.45,
	.phases = SEQUENTIAL(1.0, 1.0),
    },
    {
	.name = "seq-noise",
	.help = "1 GiB that does not compress",
	.phases = SEQUENTIAL(1.0, 0),
    },
    {
	.name = "random-read-1",
	.help = "reads of 4 KiB in 1 GiB",
	.jobs = 1,
	.phases = RANDOM_READ,
    },
    {
	.name = "random-read-4",
	.help = "the same by 4 threads, in 4 files",
	.jobs = 4,
	.phases = RANDOM_READ,
    },
    {
	.name = "overwrite-1",
	.help = "writes of 4 KiB at random, fdatasync each 32",
	.jobs = 1,
	.phases = OVERWRITE(1.2),
    },
    {
	.name = "overwrite-4",
	.help = "the same by 4 threads, in 4 files",
	.jobs = 4,
	.phases = OVERWRITE(2.5),
    },
    {
	.name = "append-1",
	.help = "4 KiB appended, fsync, again",
	.jobs = 1,
	.phases = APPEND,
    },
    {
	.name = "append-4",
	.help = "the same by 4 threads, in 4 files",
	.jobs = 4,
	.phases = APPEND,
    },
    {.name = NULL},
};
