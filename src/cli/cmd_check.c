/* SPDX-License-Identifier: MIT */
/*
 * cmd_check.c: verify every byte of a store, then the tree of names and link
 * counts. Changes nothing.
 */
#include <stdio.h>
#include <unistd.h>

#include "base/sync.h"
#include "cli/cmd.h"
#include "fs/fs.h"

enum { PROGRESS_MS = 500 };

/* On a terminal a thread shows how much has been read, and wipes it away. */
struct progress {
	struct fs *fs; /* constant */
	bool shown;    /* constant: there is a terminal */
	struct sync_thread thread;
	struct sync_mutex mu;
	struct sync_cond changed;
	bool done; /* guarded by mu */
};

static void run_progress(void *ctx)
{
	struct progress *progress = ctx;
	struct lsm_stats stats;

	sync_lock(&progress->mu);
	while (!progress->done) {
		if (sync_wait_until(&progress->changed, &progress->mu,
		                    sync_now_ns() + PROGRESS_MS * 1000000ULL))
			continue;
		sync_unlock(&progress->mu);
		lsm_stats(fs_store(progress->fs), &stats);
		fprintf(stderr, "\rchecking: %llu MiB read",
		        (unsigned long long)(stats.io.bytes_read >> 20));
		sync_lock(&progress->mu);
	}
	sync_unlock(&progress->mu);
	fputs("\r\033[K", stderr);
}

static void progress_begin(struct progress *progress, struct fs *fs)
{
	*progress = (struct progress){.fs = fs, .shown = isatty(2) != 0};
	if (!progress->shown)
		return;
	sync_mutex_init(&progress->mu, SYNC_RANK_OUTER);
	sync_cond_init(&progress->changed);
	/* Without a thread there is no progress to see, and nothing else. */
	if (sync_thread_start(&progress->thread, "progress", run_progress,
	                      progress) != LSM_OK)
		progress->thread.started = false;
}

static void progress_end(struct progress *progress)
{
	if (!progress->shown)
		return;
	sync_lock(&progress->mu);
	progress->done = true;
	sync_broadcast(&progress->changed);
	sync_unlock(&progress->mu);
	sync_thread_join(&progress->thread);
	sync_cond_destroy(&progress->changed);
	sync_mutex_destroy(&progress->mu);
}

static void report(void *ctx, const char *line)
{
	(void)ctx;
	puts(line);
}

static int check(const char *path, struct fs *fs, uint64_t *faults_out)
{
	struct progress progress;
	int err;

	progress_begin(&progress, fs);
	err = fs_check(fs, report, NULL, faults_out);
	progress_end(&progress);
	if (err != 0)
		return cmd_fail(path, err);
	if (*faults_out == 0)
		printf("%s: no fault found\n", path);
	else
		printf("%s: %llu fault%s found\n", path,
		       (unsigned long long)*faults_out,
		       *faults_out == 1 ? "" : "s");
	return *faults_out == 0 ? CMD_OK : CMD_FAILED;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct lsm_runtime *runtime;
	uint64_t faults = 0;
	const char *path;
	struct fs *fs;
	int code;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		;
	path = argv[optind];
	err = cmd_open_store(path, true, &runtime, &fs);
	if (err != 0)
		return cmd_fail(path, err);
	code = check(path, fs, &faults);
	err = cmd_close_store(runtime, fs);
	if (err != 0 && code == CMD_OK)
		code = cmd_fail(path, err);
	return code;
}

const struct cmd cmd_check = {
    .name = "check",
    .summary = "verify a store, byte by byte and name by name",
    .help =
	"Usage: shalefs check STORE\n"
	"Read every byte of STORE, which must not be mounted, and compare the "
	"tree of\n"
	"names with itself. Prints one line for each fault and one at the end; "
	"exits\n"
	"with 0 when there is none. Changes nothing.\n"
	"\n"
	"      --help     print this and exit\n"
	"      --version  print the version and exit\n",
    .letters = ":",
    .arguments = 1,
    .run = run,
};
