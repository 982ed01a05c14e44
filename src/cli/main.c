/* SPDX-License-Identifier: MIT */
/* main.c: find the command and run it. */
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"

static const struct cmd *const commands[] = {
    &cmd_mkfs,    &cmd_mount, &cmd_umount, &cmd_fork,
    &cmd_compact, &cmd_stats, &cmd_check,
};

static void print_help(void)
{
	puts("Usage: shalefs COMMAND [OPTION]... ARGUMENT...\n"
	     "A filesystem whose whole tree can be forked in an instant.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-8s %s\n", commands[i]->name, commands[i]->summary);
	puts("\n"
	     "Options:\n"
	     "      --help     print this and exit\n"
	     "      --version  print the version and exit\n"
	     "\n"
	     "'shalefs COMMAND --help' tells more about one; so does "
	     "shalefs(1).");
}

/* Shells complete a folder's name with a slash; the folder is meant. */
static void strip_slashes(int argc, char **argv)
{
	for (int i = 2; i < argc; i++) {
		size_t len = strlen(argv[i]);

		while (len > 1 && argv[i][len - 1] == '/')
			argv[i][--len] = '\0';
	}
}

int main(int argc, char **argv)
{
	const char *name = argc < 2 ? "" : argv[1];

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(name, commands[i]->name) != 0)
			continue;
		cmd_log_keep();
		strip_slashes(argc, argv);
		return cmd_end(
		    commands[i]->run(commands[i], argc - 1, argv + 1));
	}
	if (strcmp(name, "--help") == 0) {
		print_help();
		return cmd_end(CMD_OK);
	}
	if (strcmp(name, "--version") == 0) {
		cmd_print_version();
		return cmd_end(CMD_OK);
	}
	if (name[0] == '\0')
		fputs("shalefs: a command is missing; see 'shalefs --help'\n",
		      stderr);
	else
		fprintf(stderr,
		        "shalefs: unknown command '%s'; see 'shalefs --help'\n",
		        name);
	return CMD_USAGE;
}
