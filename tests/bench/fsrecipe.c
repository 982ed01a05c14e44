/* SPDX-License-Identifier: MIT */
#include "tests/bench/fsrecipe.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/measure.h"

enum { NOT_HERE = 77, CANNOT_RUN = 127 };

static void read_all(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while (len < size - 1) {
		got = read(fd, out + len, size - 1 - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	out[len] = '\0';
	out[strcspn(out, "\n")] = '\0';
}

/* The exit status, or CANNOT_RUN; the first line that it printed to `out`. */
static int call(const struct fsoptions *options,
                const struct fsoptions_target *target, const char *action,
                char out[FSRECIPE_REASON_BYTES])
{
	int status = -1;
	int ends[2];
	pid_t pid;

	if (pipe(ends) != 0)
		return CANNOT_RUN;
	pid = fork();
	if (pid == 0) {
		(void)dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl(options->recipe, options->recipe, action, target->name,
		      target->folder, (char *)NULL);
		_exit(CANNOT_RUN);
	}
	close(ends[1]);
	read_all(ends[0], out, FSRECIPE_REASON_BYTES);
	close(ends[0]);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : CANNOT_RUN;
}

static int failed(const struct fsoptions_target *target, const char *action,
                  const char *why)
{
	fprintf(stderr, "fsbench: %s: cannot %s: %s\n", target->name, action,
	        why);
	return EIO;
}

int fsrecipe_check(const struct fsoptions *options,
                   const struct fsoptions_target *target,
                   char reason[FSRECIPE_REASON_BYTES])
{
	int status;

	reason[0] = '\0';
	if (options->recipe == NULL)
		return 0;
	status = call(options, target, "check", reason);
	if (status == NOT_HERE)
		return ENOTSUP;
	return status == 0 ? 0 : failed(target, "check", reason);
}

int fsrecipe_do(const struct fsoptions *options,
                const struct fsoptions_target *target, const char *action)
{
	char said[FSRECIPE_REASON_BYTES];

	if (options->recipe == NULL)
		return 0;
	if (call(options, target, action, said) != 0)
		return failed(target, action, said);
	return 0;
}

int fsrecipe_weigh(const struct fsoptions *options,
                   const struct fsoptions_target *target, uint64_t *bytes_out)
{
	char said[FSRECIPE_REASON_BYTES];

	if (options->recipe == NULL)
		return measure_space(target->folder, bytes_out) == LSM_OK ? 0
		                                                          : EIO;
	if (call(options, target, "weigh", said) != 0 ||
	    sscanf(said, "%" SCNu64, bytes_out) != 1)
		return failed(target, "weigh", said);
	return 0;
}
