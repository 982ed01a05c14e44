/* SPDX-License-Identifier: MIT */
#include "cli/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "base/log.h"
#include "fs/fs.h"

enum {
	MAX_LONG_OPTIONS = 8,
	MAX_KEPT_LINES = 16,
	STORE_CREDIT_BYTES = 16 << 20,
	STORE_CACHE_BYTES = 16 << 20,
};

/* ---- options ------------------------------------------------------------ */

enum { LETTER_HELP = 0x100, LETTER_VERSION };

static void usage_error(const struct cmd *cmd, const char *what,
                        const char *which)
{
	fprintf(stderr, "shalefs %s: %s%s; see 'shalefs %s --help'\n",
	        cmd->name, what, which, cmd->name);
	exit(CMD_USAGE);
}

static void check_arguments(const struct cmd *cmd, int count)
{
	if (count < cmd->arguments)
		usage_error(cmd, "an argument is missing", "");
	if (count > cmd->arguments)
		usage_error(cmd, "too many arguments", "");
}

/* What getopt_long() did not like, as it was typed. */
static void refuse_option(const struct cmd *cmd, int letter, char **argv)
{
	char text[3] = {'-', (char)optopt, '\0'};
	const char *what =
	    letter == ':' ? "a value is missing after " : "unknown option ";

	/* A long option leaves no letter, or one that is no character. */
	if (optopt == 0 || optopt >= LETTER_HELP)
		usage_error(cmd, what, argv[optind - 1]);
	usage_error(cmd, what, text);
}

int cmd_getopt(const struct cmd *cmd, int argc, char **argv)
{
	static const struct option common[] = {
	    {"help", no_argument, NULL, LETTER_HELP},
	    {"version", no_argument, NULL, LETTER_VERSION},
	};
	struct option options[MAX_LONG_OPTIONS + 3] = {common[0], common[1]};
	int letter;

	for (int i = 0; i < MAX_LONG_OPTIONS && cmd->options != NULL &&
	                cmd->options[i].name != NULL;
	     i++)
		options[i + 2] = cmd->options[i];

	opterr = 0;
	letter = getopt_long(argc, argv, cmd->letters, options, NULL);
	switch (letter) {
	case -1:
		check_arguments(cmd, argc - optind);
		return -1;
	case LETTER_HELP:
		fputs(cmd->help, stdout);
		exit(cmd_end(CMD_OK));
	case LETTER_VERSION:
		cmd_print_version();
		exit(cmd_end(CMD_OK));
	case '?':
	case ':':
		refuse_option(cmd, letter, argv);
	}
	return letter;
}

/* ---- messages ----------------------------------------------------------- */

struct kept_line {
	enum log_level level;
	char text[LOG_LINE_MAX_BYTES + 1];
};

/* Written by the sink, which is called for one line at a time; read by the main
   thread after cmd_log_keep()'s sink was replaced by take_kept(). */
static struct kept_line kept[MAX_KEPT_LINES];
static size_t kept_count;

static void keep_line(void *ctx, enum log_level level, const char *line)
{
	struct kept_line *last;

	(void)ctx;
	if (kept_count == MAX_KEPT_LINES)
		return;
	last = &kept[kept_count++];
	last->level = level;
	snprintf(last->text, sizeof(last->text), "%s", line);
}

static void send_to_syslog(void *ctx, enum log_level level, const char *line)
{
	static const int priorities[] = {
	    [LOG_LEVEL_ERROR] = LOG_ERR,
	    [LOG_LEVEL_WARNING] = LOG_WARNING,
	    [LOG_LEVEL_INFO] = LOG_INFO,
	    [LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};

	(void)ctx;
	syslog(priorities[level], "%s", line);
}

static void replay(void)
{
	for (size_t i = 0; i < kept_count; i++)
		log_printf(kept[i].level, "%s", kept[i].text);
	kept_count = 0;
}

void cmd_log_keep(void)
{
	kept_count = 0;
	log_set_sink(keep_line, NULL);
}

void cmd_log_to_stderr(void)
{
	log_set_sink(NULL, NULL);
	replay();
}

void cmd_log_to_syslog(void)
{
	openlog("shalefs", LOG_PID, LOG_DAEMON);
	log_set_sink(send_to_syslog, NULL);
	replay();
}

const char *cmd_failure(const char *path, int err)
{
	static char line[2 * (LOG_LINE_MAX_BYTES + 1)];

	for (size_t i = 0; i < kept_count; i++) {
		const char *text = kept[i].text;

		if (kept[i].level != LOG_LEVEL_ERROR)
			continue;
		/* The engine knows a file of a store by its name alone. */
		if (text[0] == '/' || strstr(text, path) != NULL)
			return text;
		snprintf(line, sizeof(line), "%s: %s", path, text);
		return line;
	}
	snprintf(line, sizeof(line), "%s: %s", path, strerror(err));
	return line;
}

static void print_line(const char *line)
{
	fprintf(stderr, "shalefs: %s\n", line);
}

int cmd_fail(const char *path, int err)
{
	print_line(cmd_failure(path, err));
	return CMD_FAILED;
}

int cmd_fail_because(const char *path, const char *reason)
{
	fprintf(stderr, "shalefs: %s: %s\n", path, reason);
	return CMD_FAILED;
}

void cmd_print_version(void)
{
	printf("shalefs %s\n", PACKAGE_VERSION);
}

int cmd_end(int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	return cmd_fail_because("standard output", "cannot be written");
}

/* ---- stores ------------------------------------------------------------- */

int cmd_open_store(const char *path, bool read_only,
                   struct lsm_runtime **runtime_out, struct fs **fs_out)
{
	struct lsm_runtime_options runtime;
	struct lsm_options options;
	int err;

	*fs_out = NULL;
	lsm_runtime_options_init(&runtime);
	runtime.credit_bytes = STORE_CREDIT_BYTES;
	runtime.cache_bytes = STORE_CACHE_BYTES;
	err = fs_errno(lsm_runtime_create(&runtime, runtime_out));
	if (err != 0)
		return err;

	lsm_options_init(&options);
	options.read_only = read_only;
	err = fs_open(*runtime_out, path, &options, fs_out);
	if (err != 0) {
		lsm_runtime_destroy(*runtime_out);
		*runtime_out = NULL;
	}
	return err;
}

int cmd_close_store(struct lsm_runtime *runtime, struct fs *fs)
{
	int err = fs_close(fs);

	lsm_runtime_destroy(runtime);
	return err;
}
