/* SPDX-License-Identifier: MIT */
#include "tests/bench/fswork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sync.h"

enum { SAID_BYTES = 2000 };

const struct fswork *const fsworks[] = {fsworks_small, fsworks_tree,
                                        fsworks_data, fsworks_base, NULL};

uint64_t fswork_scaled(const struct fswork_run *run, uint64_t full,
                       uint64_t least)
{
	uint64_t n = (uint64_t)((double)full * run->scale);

	return n > least ? n : least;
}

int fswork_failed(const char *path, int err)
{
	fprintf(stderr, "fsbench: %s: %s\n", path, strerror(err));
	return err;
}

void fswork_begin(struct fswork_run *run)
{
	run->started_ns = sync_now_ns();
}

void fswork_end(struct fswork_run *run)
{
	run->ended_ns = sync_now_ns();
}

int fswork_write(int fd, const char *path, const void *data, size_t len,
                 uint64_t offset)
{
	const char *at = data;

	while (len > 0) {
		ssize_t put = pwrite(fd, at, len, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return fswork_failed(path, errno);
		at += put;
		offset += (uint64_t)put;
		len -= (size_t)put;
	}
	return 0;
}

int fswork_read(int fd, const char *path, void *data, size_t len,
                uint64_t offset)
{
	char *at = data;

	while (len > 0) {
		ssize_t got = pread(fd, at, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return fswork_failed(path, got < 0 ? errno : EIO);
		at += got;
		offset += (uint64_t)got;
		len -= (size_t)got;
	}
	return 0;
}

/* ---- tools ---------------------------------------------------------------- */

static void __attribute__((noreturn))
become_shell(const struct fswork_run *run, const char *script, const char *arg,
             int log)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(127);
	setenv("TAR", run->tar != NULL ? run->tar : "", 1);
	setenv("SOURCES", run->sources != NULL ? run->sources : "", 1);
	setenv("SCRATCH", run->scratch, 1);
	setenv("ARG", arg, 1);
	execl("/bin/sh", "sh", "-e", "-c", script, (char *)NULL);
	_exit(127);
}

static void print_end(int log)
{
	char said[SAID_BYTES];
	off_t end = lseek(log, 0, SEEK_END);
	off_t from = end > SAID_BYTES ? end - SAID_BYTES : 0;
	ssize_t got = pread(log, said, sizeof(said), from);

	if (got > 0)
		fprintf(stderr, "%.*s\n", (int)got, said);
}

int fswork_shell(const struct fswork_run *run, const char *script,
                 const char *arg)
{
	char path[PATH_MAX];
	int status = -1;
	pid_t pid;
	int log;

	snprintf(path, sizeof(path), "%s/tool.log", run->scratch);
	log = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (log < 0)
		return fswork_failed(path, errno);
	pid = fork();
	if (pid == 0)
		become_shell(run, script, arg, log);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status != 0) {
		fprintf(stderr, "fsbench: %s: a tool failed:\n%s\n",
		        run->work->name, script);
		print_end(log);
	}
	close(log);
	return status == 0 ? 0 : EIO;
}
