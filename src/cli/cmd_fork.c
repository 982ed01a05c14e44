/* SPDX-License-Identifier: MIT */
/*
 * cmd_fork.c: fork a filesystem into a store of its own. A live one is forked
 * by its daemon, which is given the folder that the fork is to be made in.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sync.h"
#include "cli/client.h"
#include "cli/cmd.h"
#include "fs/fs.h"

/* DEST apart: the folder, open, and the name in it. */
struct destination {
	const char *path;
	char *name;
	int folder_fd;
};

static int open_destination(const char *path, struct destination *dest)
{
	char *for_dir = strdup(path);
	char *for_base = strdup(path);
	int err = 0;

	*dest = (struct destination){.path = path, .folder_fd = -1};
	if (for_dir == NULL || for_base == NULL) {
		err = ENOMEM;
		goto out;
	}
	dest->name = strdup(basename(for_base));
	if (dest->name == NULL) {
		err = ENOMEM;
		goto out;
	}
	dest->folder_fd =
	    open(dirname(for_dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* Seen before the store is opened, which changes files of it. */
	if (dest->folder_fd < 0)
		err = errno;
	else if (faccessat(dest->folder_fd, dest->name, F_OK,
	                   AT_SYMLINK_NOFOLLOW) == 0)
		err = EEXIST;
out:
	free(for_base);
	free(for_dir);
	return err;
}

static void close_destination(struct destination *dest)
{
	if (dest->folder_fd >= 0)
		close(dest->folder_fd);
	free(dest->name);
}

static uint64_t count_in(const json_t *reply, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(reply, key));
}

static int fork_live(int socket, const struct destination *dest,
                     struct lsm_fork_info *info)
{
	json_t *request = client_request("fork");
	json_t *reply = NULL;
	const char *reason;
	int code = CMD_OK;
	int err;

	if (request != NULL &&
	    json_object_set_new(request, "name", json_string(dest->name)) !=
	        0) {
		json_decref(request);
		return cmd_fail_because(dest->path, "not a name in UTF-8");
	}
	err = client_ask(socket, request, dest->folder_fd, &reply);
	if (err != 0)
		return cmd_fail(dest->path, err);
	if (client_agreed(reply, &reason))
		*info = (struct lsm_fork_info){
		    .sequence = count_in(reply, "sequence"),
		    .files_linked = count_in(reply, "files_linked"),
		    .files_reflinked = count_in(reply, "files_reflinked"),
		    .files_copied = count_in(reply, "files_copied"),
		    .bytes_flushed = count_in(reply, "bytes_flushed"),
		};
	else
		code = cmd_fail_because(dest->path, reason);
	json_decref(reply);
	return code;
}

static int fork_closed(const char *store, const struct destination *dest,
                       struct lsm_fork_info *info)
{
	struct lsm_runtime *runtime;
	struct fs *fs;
	int fork_err;
	int err;

	err = cmd_open_store(store, false, &runtime, &fs);
	if (err != 0)
		return cmd_fail(store, err);
	fork_err = fs_errno(lsm_export(fs_store(fs), dest->path, info));
	err = cmd_close_store(runtime, fs);
	if (fork_err != 0)
		return cmd_fail(dest->path, fork_err);
	if (err != 0)
		return cmd_fail(store, err);
	return CMD_OK;
}

static void print_result(const char *source, const char *dest,
                         const struct lsm_fork_info *info, uint64_t began_ns)
{
	printf("%s: forked to %s in %.1f ms: %llu files linked, %llu "
	       "reflinked, %llu copied, %llu bytes flushed\n",
	       source, dest, (double)(sync_now_ns() - began_ns) / 1e6,
	       (unsigned long long)info->files_linked,
	       (unsigned long long)info->files_reflinked,
	       (unsigned long long)info->files_copied,
	       (unsigned long long)info->bytes_flushed);
}

static int fork_store(const char *store, const struct destination *dest,
                      struct lsm_fork_info *info)
{
	int socket;
	int code;
	int err;

	err = client_connect(store, &socket);
	if (err != 0)
		return cmd_fail(store, err);
	if (socket < 0)
		return fork_closed(store, dest, info);
	code = fork_live(socket, dest, info);
	close(socket);
	return code;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	uint64_t began_ns = sync_now_ns();
	struct destination dest = {.folder_fd = -1};
	struct lsm_fork_info info;
	char *store = NULL;
	int code;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		;
	err = client_find_store(argv[optind], &store);
	if (err != 0) {
		code = cmd_fail(argv[optind], err);
		goto out;
	}
	err = open_destination(argv[optind + 1], &dest);
	if (err != 0) {
		code = cmd_fail(argv[optind + 1], err);
		goto out;
	}
	code = fork_store(store, &dest, &info);
	if (code == CMD_OK) {
		cmd_log_to_stderr();
		print_result(argv[optind], argv[optind + 1], &info, began_ns);
	}
out:
	close_destination(&dest);
	free(store);
	return code;
}

const struct cmd cmd_fork = {
    .name = "fork",
    .summary = "fork a filesystem, mounted or not",
    .help = "Usage: shalefs fork SOURCE DEST\n"
	    "Make DEST, a new store that holds everything that SOURCE holds at "
	    "this "
	    "moment.\n"
	    "SOURCE is a store or a mountpoint, and may be in use. Both share "
	    "files "
	    "on disk\n"
	    "and otherwise know nothing of each other. DEST must not exist.\n"
	    "\n"
	    "      --help     print this and exit\n"
	    "      --version  print the version and exit\n",
    .letters = ":",
    .arguments = 2,
    .run = run,
};
