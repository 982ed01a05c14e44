/* SPDX-License-Identifier: MIT */
/*
 * cmd_compact.c: compact a store: by its daemon when it is mounted, else here.
 * How far it has come is shown where somebody is there to see it. A signal
 * cancels: a daemon is told so by hanging up.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/cmd.h"
#include "fs/fs.h"

static volatile sig_atomic_t interrupted;

static void note_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = note_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- what is shown ------------------------------------------------------ */

static bool line_is_open;

static void show(uint64_t done_bytes, uint64_t total_bytes)
{
	static const double mib = 1 << 20;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\rcompacting: %.0f of %.0f MiB   ",
	        (double)done_bytes / mib, (double)total_bytes / mib);
	line_is_open = true;
}

static void end_line(void)
{
	if (line_is_open)
		fputc('\n', stderr);
	line_is_open = false;
}

/* ---- live --------------------------------------------------------------- */

static uint64_t count_in(const json_t *reply, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(reply, key));
}

/* Take one reply; *more_out says whether others follow. */
static int take_reply(const char *path, const json_t *reply, bool *more_out)
{
	const char *reason;

	*more_out = false;
	if (!client_agreed(reply, &reason)) {
		end_line();
		return cmd_fail_because(path, reason);
	}
	if (json_is_true(json_object_get(reply, "finished")))
		return CMD_OK;
	show(count_in(reply, "done"), count_in(reply, "total"));
	*more_out = true;
	return CMD_OK;
}

static int compact_live(int socket, const char *path)
{
	json_t *reply = NULL;
	bool more = true;
	int code = CMD_OK;
	int err;

	err = client_ask(socket, client_request("compact"), -1, &reply);
	while (err == 0 && more && !interrupted) {
		code = take_reply(path, reply, &more);
		json_decref(reply);
		reply = NULL;
		if (more)
			err = client_receive(socket, &reply);
	}
	json_decref(reply);
	end_line();
	if (err != 0)
		return cmd_fail(path, err);
	if (more)
		return cmd_fail(path, ECANCELED);
	return code;
}

/* ---- not mounted -------------------------------------------------------- */

static bool progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
	(void)ctx;
	show(done_bytes, total_bytes);
	return !interrupted;
}

static int compact_closed(const char *path)
{
	const struct lsm_compaction how = {.progress = progress};
	struct lsm_runtime *runtime;
	uint64_t up_to;
	struct fs *fs;
	int compact_err = 0;
	int err;

	err = cmd_open_store(path, false, &runtime, &fs);
	if (err != 0)
		return cmd_fail(path, err);
	up_to = lsm_oldest_sequence(fs_store(fs));
	if (up_to > 0)
		compact_err = fs_errno(lsm_compact(fs_store(fs), up_to, &how));
	end_line();
	err = cmd_close_store(runtime, fs);
	if (compact_err != 0 || err != 0)
		return cmd_fail(path, compact_err != 0 ? compact_err : err);
	return CMD_OK;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	char *store = NULL;
	int socket;
	int code;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		;
	catch_signals();
	err = client_find_store(argv[optind], &store);
	if (err == 0)
		err = client_connect(store, &socket);
	if (err != 0) {
		code = cmd_fail(argv[optind], err);
	} else if (socket < 0) {
		code = compact_closed(store);
	} else {
		code = compact_live(socket, argv[optind]);
		close(socket);
	}
	free(store);
	return code;
}

const struct cmd cmd_compact = {
    .name = "compact",
    .summary = "give back the room of what is gone, now",
    .help = "Usage: shalefs compact SOURCE\n"
	    "Merge all that SOURCE, a store or a mountpoint, holds into as few "
	    "files as it\n"
	    "takes, and give back the room of what was deleted or written "
	    "over. It may be in\n"
	    "use. How far it has come is shown on a terminal; ^C cancels, and "
	    "what is done\n"
	    "by then stays done.\n"
	    "\n"
	    "      --help     print this and exit\n"
	    "      --version  print the version and exit\n",
    .letters = ":",
    .arguments = 1,
    .run = run,
};
