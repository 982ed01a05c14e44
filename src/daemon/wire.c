/* SPDX-License-Identifier: MIT */
#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

void wire_address(int store_fd, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address->sun_path, sizeof(address->sun_path),
	         "/proc/self/fd/%d/" WIRE_SOCKET_NAME, store_fd);
}

size_t wire_length(const uint8_t header[WIRE_HEADER_BYTES])
{
	size_t len = (size_t)header[0] | (size_t)header[1] << 8 |
	             (size_t)header[2] << 16 | (size_t)header[3] << 24;

	return len <= WIRE_MAX_BYTES ? len : 0;
}

static void put_length(uint8_t header[WIRE_HEADER_BYTES], size_t len)
{
	for (int i = 0; i < WIRE_HEADER_BYTES; i++)
		header[i] = (uint8_t)(len >> (8 * i));
}

/* One sendmsg(2), with the descriptor where there is one. */
static ssize_t send_some(int socket, const uint8_t *data, size_t len, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL);
}

static int send_all(int socket, const struct buf *frame, int fd)
{
	size_t sent = 0;

	while (sent < frame->len) {
		ssize_t done = send_some(socket, frame->data + sent,
		                         frame->len - sent,
		                         sent == 0 ? fd : -1);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		sent += (size_t)done;
	}
	return 0;
}

int wire_send(int socket, const json_t *message, int fd)
{
	struct buf frame = BUF_INIT;
	char *text = NULL;
	size_t len;
	int err;

	text = json_dumps(message, JSON_COMPACT);
	if (text == NULL) {
		err = ENOMEM;
		goto out;
	}
	len = strlen(text);
	if (len > WIRE_MAX_BYTES) {
		err = E2BIG;
		goto out;
	}
	err = lsm_errno(buf_resize(&frame, WIRE_HEADER_BYTES));
	if (err != 0)
		goto out;
	put_length(frame.data, len);
	err = lsm_errno(buf_append(&frame, text, len));
	if (err != 0)
		goto out;
	err = send_all(socket, &frame, fd);
out:
	free(text);
	buf_release(&frame);
	return err;
}

static int receive_all(int socket, void *data, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t done =
		    recv(socket, (uint8_t *)data + got, len - got, 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		if (done == 0)
			return EPIPE;
		got += (size_t)done;
	}
	return 0;
}

json_t *wire_decode(const void *text, size_t len)
{
	json_t *message;

	message = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(message) ||
	    json_integer_value(json_object_get(message, "version")) !=
	        WIRE_VERSION) {
		json_decref(message);
		return NULL;
	}
	return message;
}

int wire_receive(int socket, json_t **message_out)
{
	uint8_t header[WIRE_HEADER_BYTES];
	struct buf text = BUF_INIT;
	size_t len;
	int err;

	*message_out = NULL;
	err = receive_all(socket, header, sizeof(header));
	if (err != 0)
		goto out;
	len = wire_length(header);
	err = len == 0 ? EPROTO : lsm_errno(buf_resize(&text, len));
	if (err == 0)
		err = receive_all(socket, text.data, len);
	if (err != 0)
		goto out;
	*message_out = wire_decode(text.data, len);
	if (*message_out == NULL)
		err = EPROTO;
out:
	buf_release(&text);
	return err;
}

json_t *wire_ok(void)
{
	return json_pack("{s:i, s:b}", "version", WIRE_VERSION, "ok", 1);
}

json_t *wire_failure(int err, const char *reason)
{
	return json_pack("{s:i, s:b, s:s, s:i}", "version", WIRE_VERSION, "ok",
	                 0, "error", reason, "errno", err);
}
