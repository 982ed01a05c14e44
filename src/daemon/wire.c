/* SPDX-License-Identifier: MIT */
#include "daemon/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	SEND_TIMEOUT_S = 2,
	READ_BYTES = 4096,
	MAX_PASSED = 4, /* descriptors at a time; more are lost */
};

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
		ssize_t done =
		    send_some(socket, frame->data + sent, frame->len - sent,
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

/* ---- the daemon's end --------------------------------------------------- */

static int check_credentials(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
		return errno;
	return cred.uid == 0 || cred.uid == geteuid() ? 0 : EACCES;
}

int wire_peer_open(struct wire_peer *peer, int fd)
{
	struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
	int err;

	*peer = (struct wire_peer){.fd = -1, .passed_fd = -1};
	err = check_credentials(fd);
	if (err == 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout,
	                           sizeof(timeout)) != 0)
		err = errno;
	if (err == 0)
		peer->fd = fd;
	else
		close(fd);
	return err;
}

void wire_peer_drop_passed(struct wire_peer *peer)
{
	if (peer->passed_fd >= 0)
		close(peer->passed_fd);
	peer->passed_fd = -1;
}

void wire_peer_close(struct wire_peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
	wire_peer_drop_passed(peer);
	buf_release(&peer->in);
}

/* Keep the last descriptor that came, and close the others. */
static void take_descriptors(struct wire_peer *peer, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t count;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			wire_peer_drop_passed(peer);
			peer->passed_fd = fd;
		}
	}
}

int wire_peer_read(struct wire_peer *peer)
{
	union {
		char bytes[CMSG_SPACE(MAX_PASSED * sizeof(int))];
		struct cmsghdr align;
	} passed;
	char bytes[READ_BYTES];
	struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = passed.bytes,
	    .msg_controllen = sizeof(passed.bytes),
	};
	ssize_t got;

	got = recvmsg(peer->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : errno;
	take_descriptors(peer, &msg);
	if (got == 0)
		return EPIPE;
	return lsm_errno(buf_append(&peer->in, bytes, (size_t)got));
}

int wire_peer_next(struct wire_peer *peer, json_t **message_out)
{
	struct buf *in = &peer->in;
	size_t len, whole;

	*message_out = NULL;
	if (in->len < WIRE_HEADER_BYTES)
		return 0;
	len = wire_length(in->data);
	if (len == 0)
		return EPROTO;
	whole = WIRE_HEADER_BYTES + len;
	if (in->len < whole)
		return 0;
	*message_out = wire_decode(in->data + WIRE_HEADER_BYTES, len);
	if (*message_out == NULL)
		return EPROTO;
	memmove(in->data, in->data + whole, in->len - whole);
	in->len -= whole;
	return 0;
}

int wire_peer_answer(const struct wire_peer *peer, json_t *message)
{
	int err;

	if (message == NULL)
		return ENOMEM;
	err = wire_send(peer->fd, message, -1);
	json_decref(message);
	return err;
}
