/* SPDX-License-Identifier: MIT */
/*
 * cmd_mount.c: run the daemon, in the foreground or in a process of its own.
 *
 * In the background the child tells through a pipe how mounting went: one byte
 * when the mount can be used, or the line that says why it cannot.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "daemon/mounts.h"
#include "daemon/options.h"
#include "daemon/session.h"

enum { MOUNTED = '\n' }; /* begins no error line */

static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t done = write(fd, data, len);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		data += done;
		len -= (size_t)done;
	}
	return 0;
}

/* ---- the child ---------------------------------------------------------- */

static void forget_terminal(void)
{
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null_fd < 0)
		return;
	(void)dup2(null_fd, STDIN_FILENO);
	(void)dup2(null_fd, STDOUT_FILENO);
	(void)dup2(null_fd, STDERR_FILENO);
	if (null_fd > STDERR_FILENO)
		close(null_fd);
}

static void on_ready_background(void *ctx)
{
	int *pipe_fd = ctx;
	char mounted = MOUNTED;

	/* A parent that is gone has nobody left to tell. */
	(void)write_all(*pipe_fd, &mounted, 1);
	close(*pipe_fd);
	*pipe_fd = -1;
	forget_terminal();
	cmd_log_to_syslog();
}

static int run_child(struct session_config *config, int pipe_fd)
{
	const char *line;
	int err;

	config->on_ready = on_ready_background;
	config->ctx = &pipe_fd;
	setsid();
	if (chdir("/") != 0)
		err = errno;
	else
		err = session_run(config);
	if (err != 0 && pipe_fd >= 0) {
		line = cmd_failure(config->store, err);
		(void)write_all(pipe_fd, line, strlen(line));
	}
	return err == 0 ? CMD_OK : CMD_FAILED;
}

/* ---- the parent --------------------------------------------------------- */

static int await_child(const struct session_config *config, int pipe_fd)
{
	char line[LOG_LINE_MAX_BYTES + 1];
	size_t len = 0;

	for (;;) {
		ssize_t got = read(pipe_fd, line + len, sizeof(line) - 1 - len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (line[0] == MOUNTED)
			return CMD_OK;
		len += (size_t)got;
	}
	line[len] = '\0';
	if (len == 0)
		return cmd_fail_because(config->mountpoint,
		                        "the daemon died while mounting");
	fprintf(stderr, "shalefs: %s\n", line);
	return CMD_FAILED;
}

static int run_background(struct session_config *config)
{
	int ends[2];
	pid_t child;
	int code;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return cmd_fail(config->mountpoint, errno);
	child = fork();
	if (child < 0) {
		code = cmd_fail(config->mountpoint, errno);
		close(ends[1]);
	} else if (child == 0) {
		close(ends[0]);
		return run_child(config, ends[1]);
	} else {
		close(ends[1]);
		code = await_child(config, ends[0]);
	}
	close(ends[0]);
	return code;
}

static void on_ready_foreground(void *ctx)
{
	bool *ready = ctx;

	*ready = true;
	cmd_log_to_stderr();
}

static int run_foreground(struct session_config *config)
{
	bool ready = false;
	int err;

	config->on_ready = on_ready_foreground;
	config->ctx = &ready;
	err = session_run(config);
	if (err == 0)
		return CMD_OK;
	/* Once it was ready, messages have been printed as they came. */
	return ready ? CMD_FAILED : cmd_fail(config->store, err);
}

/* ---- the command -------------------------------------------------------- */

static int mount_store(const char *store_arg, const char *mountpoint_arg,
                       const struct options *options, bool foreground)
{
	struct session_config config = {.options = options};
	char *store = NULL, *mountpoint = NULL;
	int code;
	int err;

	err = mounts_resolve(store_arg, &store);
	if (err != 0) {
		code = cmd_fail(store_arg, err);
		goto out;
	}
	err = mounts_resolve(mountpoint_arg, &mountpoint);
	if (err != 0) {
		code = cmd_fail(mountpoint_arg, err);
		goto out;
	}
	config.store = store;
	config.mountpoint = mountpoint;
	code = foreground ? run_foreground(&config) : run_background(&config);
out:
	free(mountpoint);
	free(store);
	return code;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	bool foreground = false;
	struct options options;
	struct options_budget budget;
	int code = CMD_OK;
	int letter;
	int err = 0;

	options_init(&options);
	while ((letter = cmd_getopt(cmd, argc, argv)) != -1) {
		if (letter == 'f')
			foreground = true;
		else if (err == 0)
			err = options_parse(&options, optarg);
	}
	if (err == 0)
		err = options_budget(&options, &budget);
	if (err != 0)
		code = cmd_fail("option", err);
	else
		code = mount_store(argv[optind], argv[optind + 1], &options,
		                   foreground);
	options_release(&options);
	return err == EINVAL ? CMD_USAGE : code;
}

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, 'f'},
    {"options", required_argument, NULL, 'o'},
    {NULL, 0, NULL, 0},
};

const struct cmd cmd_mount = {
    .name = "mount",
    .summary = "mount a store on a folder",
    .help =
	"Usage: shalefs mount [-f] [-o OPTION,...] STORE MOUNTPOINT\n"
	"Mount the filesystem in STORE on the folder MOUNTPOINT, and return "
	"when it can\n"
	"be used.\n"
	"\n"
	"  -f, --foreground      stay in the foreground, log to standard "
	"error\n"
	"  -o, --options=LIST    mount options, separated by commas:\n"
	"        memory=SIZE     the whole memory budget (256M; at least "
	"16M)\n"
	"        credit=SIZE     bytes of writes not yet in a table, at most "
	"half the\n"
	"                        budget (a quarter, 64M at most); 0 or less: "
	"no limit\n"
	"        ro, rw          read-only, or not\n"
	"        allow_other     let other users in\n"
	"        max_read=SIZE   the longest read request (1M)\n"
	"        writeback       keep writes in the kernel for a while\n"
	"        wakeup=HOW      how requests are waited for: hold, spin, "
	"sleep (auto)\n"
	"        nosuid, nodev, noexec, noatime, sync, dirsync, auto_unmount "
	"...\n"
	"                        as for mount(8) and FUSE\n"
	"      --help            print this and exit\n"
	"      --version         print the version and exit\n"
	"\n"
	"SIZE is a number of bytes, or one with K, M, G or T after it.\n",
    .letters = ":fo:",
    .options = long_options,
    .arguments = 2,
    .run = run,
};
