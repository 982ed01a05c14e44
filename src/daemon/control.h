/* SPDX-License-Identifier: MIT */
/*
 * control.h: the unix socket through which the command line talks to a live
 * mount. wire.h has the messages.
 *
 * One thread serves all connections and never waits for one of them; others
 * make forks and compact, so that figures can be had meanwhile. Only root and the user
 * that the daemon runs as are served: what is made for a peer is made with the
 * daemon's rights.
 *
 * A connection that waits for the end of the mount is not closed by us at all:
 * the end of the process does it, when the lock of the store is certainly free.
 *
 * Threads: the functions below from one thread.
 * Locks: control->mu, a leaf.
 */
#ifndef SHALEFS_DAEMON_CONTROL_H
#define SHALEFS_DAEMON_CONTROL_H

#include "daemon/figures.h"

struct control;

/*
 * Bind the socket in the folder `store`. The caller holds the store's lock, so
 * a socket that is there is a dead daemon's; where the lock is shared
 * (`read_only`) it may be alive: then, and where the folder cannot be written,
 * the daemon goes without, and *control_out is NULL. Logged. Errors: those of
 * the system calls.
 */
LSM_MUST_CHECK int control_open(const char *store, bool read_only,
                                struct control **control_out);

/* Begin to serve the mount with that device number. `figures` is copied; what
   it names outlives control_stop(), as does `device`. Errors: ENOMEM. */
LSM_MUST_CHECK int control_start(struct control *control,
                                 const struct figures_source *figures,
                                 const char *device);

/* Remove the socket, finish a fork that is being made, cancel a compaction, stop
   the threads. Before
   the store is closed. NULL is allowed, as below. */
void control_stop(struct control *control);

/* Tell who waits how closing went (0 or an errno), and free; their connections
   stay open. */
void control_finish(struct control *control, int err);

#endif
