/* SPDX-License-Identifier: MIT */
/*
 * handshake.h: what is asked of the kernel at INIT that libfuse 3.14 does not
 * know: its answer is completed on its way out.
 *
 * HANDLE_KILLPRIV_V2: the kernel leaves set-id bits to us, says with each WRITE
 * and SETATTR whether they have to go, and then remembers of an inode that it
 * has no capabilities. Otherwise it asks for them, with a GETXATTR, before each
 * write(2).
 *
 * Threads: the one that answers INIT.
 */
#ifndef SHALEFS_DAEMON_HANDSHAKE_H
#define SHALEFS_DAEMON_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Of what the INIT request at `data` offers, the flags that libfuse does not
   take up but we do; 0 for any other request. */
uint32_t handshake_flags(const void *data, size_t len);

/* Add the flags to the answer to INIT, if that is what the parts are and it
   agrees to go on. */
void handshake_complete(const struct iovec *parts, int count, uint32_t flags);

#endif
