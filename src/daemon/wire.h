/* SPDX-License-Identifier: MIT */
/*
 * wire.h: the messages between the command line and a live daemon, on the unix
 * socket STORE/control.sock.
 *
 * A message is its length in four bytes, little-endian, and a JSON object of
 * that length, with "version" in it. The first byte may carry one descriptor.
 *
 *   {"op":"stats"}
 *       {"ok":true,"figures":{...}}, see figures.h
 *   {"op":"fork","name":NAME}, with the folder in which NAME is to be made
 *       {"ok":true, counts}
 *   {"op":"compact"}
 *       {"ok":true,"done":BYTES,"total":BYTES} now and then, in the end
 *       {"ok":true,"finished":true}. To hang up is to cancel
 *   {"op":"umount-wait","device":"MAJOR:MINOR"}
 *       {"ok":true} at once, {"ok":true,"closed":true} when the store is
 *       closed, the end of the stream when its lock is free. Refused for
 *       another mount, of which there may be several if they are read-only
 *   what fails
 *       {"ok":false,"error":"...","errno":n}
 *
 * Threads: no state, but for struct wire_peer.
 */
#ifndef SHALEFS_DAEMON_WIRE_H
#define SHALEFS_DAEMON_WIRE_H

#include <jansson.h>

#include "base/buf.h"

enum {
	WIRE_VERSION = 1,
	WIRE_HEADER_BYTES = 4,
	WIRE_MAX_BYTES = 64 << 10, /* of one JSON text */
};

#define WIRE_SOCKET_NAME "control.sock"

/*
 * Put a socket address for STORE/control.sock into *address, by way of the
 * descriptor of the open folder: a path may be longer than an address can hold.
 */
struct sockaddr_un;
void wire_address(int store_fd, struct sockaddr_un *address);

/* Send `message` (borrowed), and `fd` with it unless that is -1. Errors: those
   of sendmsg(2), ENOMEM, E2BIG. */
LSM_MUST_CHECK int wire_send(int socket, const json_t *message, int fd);

/* Wait for one message; json_decref() it. Errors: those of recv(2), EPIPE at
   the end of the stream, EPROTO for what is no message. */
LSM_MUST_CHECK int wire_receive(int socket, json_t **message_out);

/* The message that the bytes hold. NULL: they are no JSON object, or one of
   another version. */
json_t *wire_decode(const void *text, size_t len);

/* The length that the header promises; 0: more than is allowed, or nothing. */
size_t wire_length(const uint8_t header[WIRE_HEADER_BYTES]);

/* {"ok":true} and {"ok":false,...}. NULL: out of memory. */
json_t *wire_ok(void);
json_t *wire_failure(int err, const char *reason);

/* ---- the daemon's end --------------------------------------------------- */

/* One connection: what has come, in pieces, and what came with it. It belongs
   to one thread at a time. What a peer sends is checked like any input. */
struct wire_peer {
	int fd;
	int passed_fd; /* came with a request; -1: none */
	struct buf in; /* received, not yet taken */
};

/* Take over the connected `fd`, if root or the user of this process is at its
   other end; otherwise it is closed. Errors: EACCES, those of setsockopt(2). */
LSM_MUST_CHECK int wire_peer_open(struct wire_peer *peer, int fd);
void wire_peer_close(struct wire_peer *peer);

/* Read what has come, without waiting. Errors: EPIPE at the end, those of
   recvmsg(2), ENOMEM. */
LSM_MUST_CHECK int wire_peer_read(struct wire_peer *peer);

/* The next message that is here whole; json_decref() it. NULL in *message_out:
   there is none yet. Errors: EPROTO for what is no message, ENOMEM. */
LSM_MUST_CHECK int wire_peer_next(struct wire_peer *peer, json_t **message_out);

/* Send `message`, which is taken; NULL gives ENOMEM. Waits two seconds at most
   for a peer that does not read. Errors: as for wire_send(). */
int wire_peer_answer(const struct wire_peer *peer, json_t *message);

/* Close the descriptor that came with a request, if there is one. */
void wire_peer_drop_passed(struct wire_peer *peer);

#endif
