/* SPDX-License-Identifier: MIT */
/*
 * client.h: finding the store that a person means, and asking the daemon that
 * has it open.
 */
#ifndef SHALEFS_CLI_CLIENT_H
#define SHALEFS_CLI_CLIENT_H

#include <jansson.h>

#include "lsm.h"

/* The absolute path of the store at `path`, which is its folder or a mountpoint
   of it. The caller frees *store_out. Errors: those of realpath(3), ENOMEM. */
LSM_MUST_CHECK int client_find_store(const char *path, char **store_out);

/* A connection to the daemon of `store`; *socket_out is -1 when there is none.
   Errors: those of connect(2) that do not mean that. */
LSM_MUST_CHECK int client_connect(const char *store, int *socket_out);

/*
 * Send `request` (taken; NULL gives ENOMEM) with `fd` unless that is -1, and
 * wait for the reply: json_decref() it. A reply that says no is a reply.
 * Errors: ESHUTDOWN when the daemon ended meanwhile, others of the socket.
 */
LSM_MUST_CHECK int client_ask(int socket, json_t *request, int fd,
                              json_t **reply_out);

/* Wait for another reply on the same request. Errors: as client_ask(). */
LSM_MUST_CHECK int client_receive(int socket, json_t **reply_out);

/* A request without more than its name. NULL: out of memory. */
json_t *client_request(const char *op);

/* Whether the reply says yes. If not, *reason_out is why, borrowed from it. */
bool client_agreed(const json_t *reply, const char **reason_out);

#endif
