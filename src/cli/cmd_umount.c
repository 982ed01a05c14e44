/* SPDX-License-Identifier: MIT */
/*
 * cmd_umount.c: unmount and wait until the store is closed.
 *
 * The connection to the daemon is made before the unmount. Afterwards it says
 * how closing went, and ends when the process has ended, so that the store's
 * lock is free.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/cmd.h"
#include "daemon/mounts.h"
#include "daemon/wire.h"

static json_t *wait_request(const char *device)
{
	json_t *request = client_request("umount-wait");

	if (request != NULL &&
	    json_object_set_new(request, "device", json_string(device)) == 0)
		return request;
	json_decref(request);
	return NULL;
}

/*
 * Ask to be told of the end. *socket_out is -1 where nobody can tell: the
 * daemon has died, or it is one of several that have mounted the store
 * read-only, of which only the first is listening.
 */
static int enlist(const struct mounts_entry *entry, int *socket_out)
{
	const char *reason;
	json_t *reply;
	int err;

	err = client_connect(entry->source, socket_out);
	if (err != 0 || *socket_out < 0)
		return err;
	err = client_ask(*socket_out, wait_request(entry->device), -1, &reply);
	if (err != 0 || !client_agreed(reply, &reason)) {
		close(*socket_out);
		*socket_out = -1;
	}
	json_decref(reply);
	return err;
}

/* Whether it is mounted elsewhere too, so that the daemon goes on. */
static bool is_still_mounted(const struct mounts_entry *entry)
{
	struct mounts_entry other;
	int err = mounts_find_device(entry->device, &other);

	if (err == 0)
		printf("%s: unmounted; still mounted on %s\n", entry->target,
		       other.target);
	mounts_entry_release(&other);
	return err == 0;
}

static int await_close(const char *mountpoint, int socket)
{
	const char *reason = NULL;
	json_t *message;
	int code = CMD_OK;
	char byte;
	int err;

	err = wire_receive(socket, &message);
	if (err != 0)
		return cmd_fail_because(mountpoint,
		                        "unmounted, but the daemon died before "
		                        "it had closed the store");
	if (!client_agreed(message, &reason))
		code = cmd_fail_because(mountpoint, reason);
	json_decref(message);

	/* Nothing more is said: this waits for the end of the process. */
	while (read(socket, &byte, 1) < 0 && errno == EINTR)
		;
	return code;
}

static const char *reason_of(int err)
{
	switch (err) {
	case EBUSY:
		return "in use: a process has files open or its working folder "
		       "there";
	case EIO:
		return "fusermount3 cannot unmount it: in use, or mounted by "
		       "another user";
	default:
		return strerror(err);
	}
}

static int unmount(const struct mounts_entry *entry, bool lazy)
{
	int socket = -1;
	int code = CMD_OK;
	int err = 0;

	if (!lazy)
		err = enlist(entry, &socket);
	if (err != 0 && err != EACCES && err != EPERM) {
		code = cmd_fail(entry->target, err);
		goto out;
	}
	err = mounts_detach(entry->target, lazy);
	if (err != 0)
		code = cmd_fail_because(entry->target, reason_of(err));
	else if (socket >= 0 && !is_still_mounted(entry))
		code = await_close(entry->target, socket);
out:
	if (socket >= 0)
		close(socket);
	return code;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct mounts_entry entry = {0};
	char *mountpoint = NULL;
	bool lazy = false;
	int code;
	int err;

	while (cmd_getopt(cmd, argc, argv) != -1)
		lazy = true;
	err = mounts_resolve(argv[optind], &mountpoint);
	if (err == 0)
		err = mounts_find(mountpoint, &entry);
	if (err == ENOENT && mountpoint != NULL)
		code = cmd_fail_because(argv[optind], "not mounted");
	else if (err != 0)
		code = cmd_fail(argv[optind], err);
	else if (strcmp(entry.type, MOUNTS_TYPE) != 0)
		code = cmd_fail_because(argv[optind], "not a shalefs mount");
	else
		code = unmount(&entry, lazy);
	mounts_entry_release(&entry);
	free(mountpoint);
	return code;
}

static const struct option long_options[] = {
    {"lazy", no_argument, NULL, 'l'},
    {NULL, 0, NULL, 0},
};

const struct cmd cmd_umount = {
    .name = "umount",
    .summary = "unmount, and wait until the store is closed",
    .help =
	"Usage: shalefs umount [-l] MOUNTPOINT\n"
	"Unmount MOUNTPOINT and return when its daemon has closed the store.\n"
	"\n"
	"  -l, --lazy     detach it at once though it is in use, and do not "
	"wait\n"
	"      --help     print this and exit\n"
	"      --version  print the version and exit\n",
    .letters = ":l",
    .options = long_options,
    .arguments = 1,
    .run = run,
};
