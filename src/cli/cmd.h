/* SPDX-License-Identifier: MIT */
/*
 * cmd.h: what the commands share: options, and saying in exactly one line what
 * failed.
 *
 * While a command runs, messages of the engine are kept. When it fails, the
 * first error among them is its line; when it succeeds they are all printed.
 *
 * Threads: messages come from any; the functions here from the main one.
 */
#ifndef SHALEFS_CLI_CMD_H
#define SHALEFS_CLI_CMD_H

#include <getopt.h>

#include "lsm.h"

enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

struct cmd {
	const char *name;
	const char *summary;          /* half a line */
	const char *help;             /* all of --help, from "Usage:" on */
	const char *letters;          /* short options, as for getopt(3) */
	const struct option *options; /* long ones but help and version */
	int arguments;                /* how many must follow the options */
	int (*run)(const struct cmd *cmd, int argc, char **argv);
};

extern const struct cmd cmd_mkfs;
extern const struct cmd cmd_mount;
extern const struct cmd cmd_umount;
extern const struct cmd cmd_fork;
extern const struct cmd cmd_compact;
extern const struct cmd cmd_stats;
extern const struct cmd cmd_check;

/* The next option's letter, or -1 once optind is at the arguments, whose number
   has been checked then. Does not return after --help, --version, a mistake. */
int cmd_getopt(const struct cmd *cmd, int argc, char **argv);

/* ---- messages ----------------------------------------------------------- */

/* From now on messages are kept. */
void cmd_log_keep(void);

/* What was kept, and all that follows, goes to stderr, or to syslog. */
void cmd_log_to_stderr(void);
void cmd_log_to_syslog(void);

/* The line for a failure: the first error kept, after `path` unless it names one
   itself, or else "`path`: reason of `err`". Lasts until the next call. */
const char *cmd_failure(const char *path, int err);

/* Print that line. Returns CMD_FAILED. */
int cmd_fail(const char *path, int err);

/* Print "`path`: `reason`", whatever was kept. Returns CMD_FAILED. */
int cmd_fail_because(const char *path, const char *reason);

void cmd_print_version(void);

/* The exit code of a command that ended with `code`: what was printed must have
   arrived, or a full disk would look like success. */
int cmd_end(int code);

/* ---- stores ------------------------------------------------------------- */

struct fs;
struct lsm_runtime;

/* Open a store that no daemon has open, with little memory. Close with
   cmd_close_store(). Errors: those of fs_open(). */
LSM_MUST_CHECK int cmd_open_store(const char *path, bool read_only,
                                  struct lsm_runtime **runtime_out,
                                  struct fs **fs_out);
LSM_MUST_CHECK int cmd_close_store(struct lsm_runtime *runtime, struct fs *fs);

#endif
