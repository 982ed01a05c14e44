/* SPDX-License-Identifier: MIT */
/*
 * wire.h: the messages between the command line and a live daemon, on the unix
 * socket STORE/control.sock.
 *
 * A message is its length in four bytes, little-endian, and a JSON object of
 * that length, with "version" in it. The first byte may carry one descriptor.
 *
 *   {"op":"stats"}                 {"ok":true,"figures":{...}}, see figures.h
 *   {"op":"fork","name":NAME}      {"ok":true, counts}; the descriptor is the
 *                                  folder in which NAME is to be made
 *   {"op":"umount-wait",           {"ok":true} at once; once the store is closed
 *    "device":"MAJOR:MINOR"}       {"ok":true,"closed":true}, and the end of the
 *                                  stream when its lock is free. No for another
 *                                  mount (several read-only ones may exist)
 *   what fails                     {"ok":false,"error":"...","errno":n}
 *
 * Threads: no state.
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

#endif
