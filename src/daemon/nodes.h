/* SPDX-License-Identifier: MIT */
/*
 * nodes.h: how often the kernel knows each inode, and which of those have lost
 * their last name.
 *
 * Every reply that names an inode gives the kernel one more lookup of it, and a
 * FORGET takes lookups back. An inode without a name is an orphan: it is to be
 * reclaimed when nobody can reach it, which is when its lookups are gone. Opens
 * are not counted: with `open` answered ENOSYS they are never seen, and a
 * working folder or a mapping holds an inode without one.
 *
 * Races: the kernel forgets an inode only after its last request has returned,
 * and unlinks and links the same inode one at a time. So between the change in
 * fs/ and the call here nobody else can take the inode's last lookup.
 *
 * Threads: every function from any, except nodes_destroy() and
 * nodes_each_orphan(), which need the table to themselves.
 * Locks: one of several leaf mutexes; may be called with locks of fs/ held.
 */
#ifndef SHALEFS_DAEMON_NODES_H
#define SHALEFS_DAEMON_NODES_H

#include "lsm.h"

struct nodes;

/* Errors: ENOMEM. End with nodes_destroy(). */
LSM_MUST_CHECK int nodes_create(struct nodes **nodes_out);
void nodes_destroy(struct nodes *nodes); /* NULL is allowed */

/* The kernel is told of `ino` once more. Errors: ENOMEM. */
LSM_MUST_CHECK int nodes_add(struct nodes *nodes, uint64_t ino);

/* The kernel gives `lookups` back. True: that was the last of an orphan, which
   the caller reclaims. */
bool nodes_forget(struct nodes *nodes, uint64_t ino, uint64_t lookups);

/* `ino` lost its last name. True: nobody knows it, the caller reclaims it now;
   otherwise nodes_forget() will say so. */
bool nodes_orphan(struct nodes *nodes, uint64_t ino);

/* `ino` has a name again. */
void nodes_revive(struct nodes *nodes, uint64_t ino);

size_t nodes_count(struct nodes *nodes);
size_t nodes_bytes(struct nodes *nodes); /* memory of the table */

/* Call `each` for every orphan that is still known. */
void nodes_each_orphan(struct nodes *nodes,
                       void (*each)(void *ctx, uint64_t ino), void *ctx);

#endif
