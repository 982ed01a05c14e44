/* SPDX-License-Identifier: MIT */
/*
 * awake.h: keeping processors from falling asleep between requests.
 *
 * A request is two wake-ups, of a reader and of who asked. Where the other
 * processor has gone to sleep, waking it costs many times what the request does,
 * in a virtual machine above all. While requests come in close order, this holds
 * /dev/cpu_dma_latency at 0: idle processors then wait awake. It lets go a moment
 * after the last request, and nothing is held, and no thread wakes, while there
 * are none. When the process dies the kernel lets go.
 *
 * Threads: awake_note() from any, the others from one.
 * Locks: a leaf.
 */
#ifndef SHALEFS_DAEMON_AWAKE_H
#define SHALEFS_DAEMON_AWAKE_H

#include "lsm.h"

struct awake;

/* Errors: ENOMEM, those of open(2): this process may not, or there is no such
   device. End with awake_close(). */
LSM_MUST_CHECK int awake_open(struct awake **awake_out);

/* NULL is allowed. */
void awake_close(struct awake *awake);

/* A request came. */
void awake_note(struct awake *awake);

/* How often it began to hold. */
uint64_t awake_count(struct awake *awake);

#endif
