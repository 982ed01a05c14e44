/* SPDX-License-Identifier: MIT */
/* cmd_mkfs.c: create an empty filesystem. */
#include <unistd.h>

#include "cli/cmd.h"
#include "fs/fs.h"

static int run(const struct cmd *cmd, int argc, char **argv)
{
	const char *path;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		;
	path = argv[optind];
	err = fs_format(NULL, path, getuid(), getgid());
	if (err != 0)
		return cmd_fail(path, err);
	cmd_log_to_stderr();
	return CMD_OK;
}

const struct cmd cmd_mkfs = {
    .name = "mkfs",
    .summary = "create an empty filesystem",
    .help = "Usage: shalefs mkfs STORE\n"
	    "Create a store with an empty filesystem in the folder STORE, "
	    "which must not\n"
	    "exist or be empty. Its root folder belongs to you.\n"
	    "\n"
	    "      --help     print this and exit\n"
	    "      --version  print the version and exit\n",
    .letters = ":",
    .arguments = 1,
    .run = run,
};
