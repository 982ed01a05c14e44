/* SPDX-License-Identifier: MIT */
#include "cli/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/mounts.h"
#include "daemon/wire.h"

int client_find_store(const char *path, char **store_out)
{
	struct mounts_entry entry;
	int err;

	err = mounts_resolve(path, store_out);
	if (err != 0)
		return err;
	err = mounts_find(*store_out, &entry);
	if (err == 0 && strcmp(entry.type, MOUNTS_TYPE) == 0) {
		free(*store_out);
		*store_out = entry.source;
		entry.source = NULL;
	}
	mounts_entry_release(&entry);
	/* Where nothing is mounted, or /proc is missing, it is a folder. */
	return 0;
}

int client_connect(const char *store, int *socket_out)
{
	struct sockaddr_un address;
	int store_fd;
	int fd = -1;
	int err = 0;

	*socket_out = -1;
	store_fd = open(store, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (store_fd < 0)
		return errno;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = errno;
		goto out;
	}
	wire_address(store_fd, &address);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) ==
	    0) {
		*socket_out = fd;
		fd = -1;
	} else if (errno != ENOENT && errno != ECONNREFUSED) {
		err = errno;
	}
out:
	if (fd >= 0)
		close(fd);
	close(store_fd);
	return err;
}

json_t *client_request(const char *op)
{
	return json_pack("{s:i, s:s}", "version", WIRE_VERSION, "op", op);
}

static int end_of_daemon(int err)
{
	return err == EPIPE || err == ECONNRESET ? ESHUTDOWN : err;
}

int client_receive(int socket, json_t **reply_out)
{
	*reply_out = NULL;
	return end_of_daemon(wire_receive(socket, reply_out));
}

int client_ask(int socket, json_t *request, int fd, json_t **reply_out)
{
	int err;

	*reply_out = NULL;
	if (request == NULL)
		return ENOMEM;
	err = wire_send(socket, request, fd);
	json_decref(request);
	if (err == 0)
		err = wire_receive(socket, reply_out);
	return end_of_daemon(err);
}

bool client_agreed(const json_t *reply, const char **reason_out)
{
	const char *reason = json_string_value(json_object_get(reply, "error"));

	*reason_out = reason == NULL ? "the daemon refused" : reason;
	return json_is_true(json_object_get(reply, "ok"));
}
