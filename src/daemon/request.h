/* SPDX-License-Identifier: MIT */
/*
 * request.h: what a transport must know of a raw request before libfuse sees
 * it: where it is to run, and the credit to take for it first.
 *
 * What runs on the slow lane takes its credit there, by itself. Credit held
 * while queueing behind threads that wait for credit could never be spent.
 *
 * Threads: no state.
 */
#ifndef SHALEFS_DAEMON_REQUEST_H
#define SHALEFS_DAEMON_REQUEST_H

#include "fs/fs.h"

enum {
	/* The longest request: a WRITE with its headers. */
	REQUEST_MAX_BYTES = FS_WRITE_MAX_BYTES + 4096,
};

struct request_plan {
	uint64_t credit_bytes; /* 0: needs none, or is slow */
	bool shrinking;        /* as for lsm_admit() */
	bool slow;         /* may block for long: not where it is received */
	bool drops_set_id; /* as in struct fs_op */
	bool is_init;
};

/* An opcode that <linux/fuse.h> has from Linux 6.6 on. */
enum { REQUEST_STATX = 52 };

/*
 * libfuse 3.14 knows neither TMPFILE nor STATX. One has the form of a CREATE, the
 * other begins as a GETATTR does: call them that, so that libfuse unpacks them,
 * and the operation sees in its call what they are. Returns FUSE_TMPFILE,
 * REQUEST_STATX, or 0: nothing was changed.
 */
uint32_t request_disguise(void *data, size_t len);

/* Decide about the `len` bytes at `data`, which came from the kernel. Without
   `fs` nothing needs credit. */
void request_plan(const struct fs *fs, const void *data, size_t len,
                  struct request_plan *plan);

#endif
