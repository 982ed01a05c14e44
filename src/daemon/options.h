/* SPDX-License-Identifier: MIT */
/*
 * options.h: mount options and their limits, and how the memory budget is
 * shared out.
 *
 * Threads: no state.
 */
#ifndef SHALEFS_DAEMON_OPTIONS_H
#define SHALEFS_DAEMON_OPTIONS_H

#include "base/buf.h"
#include "daemon/receiver.h"
#include "lsm.h"

#define OPTIONS_MEMORY_DEFAULT_BYTES (UINT64_C(256) << 20)
#define OPTIONS_MEMORY_MIN_BYTES (UINT64_C(16) << 20)
#define OPTIONS_MEMORY_MAX_BYTES (UINT64_C(1) << 44)

struct options {
	uint64_t memory_bytes; /* the whole budget */
	int64_t credit_bytes;  /* 0 or less: off; see has_credit */
	bool has_credit;       /* given, and not a part of the budget */
	bool read_only;
	uint32_t max_read_bytes; /* 0: not given */
	enum receiver_wakeup wakeup;
	bool writeback; /* use the kernel's write-back cache */
	bool holds_atime, holds_dir_atime; /* noatime, nodiratime */
	struct buf kernel;                 /* for libfuse: comma-separated, NUL-terminated */
};

/* How the budget is shared out. */
struct options_budget {
	int64_t credit_bytes;
	uint64_t cache_bytes;
	uint64_t parked_bytes;   /* requests that wait for credit */
	uint64_t memtable_bytes; /* 0: the engine's default */
};

void options_init(struct options *options);
void options_release(struct options *options);

/*
 * Take in a comma-separated list, as -o gives it; later options win. A failure
 * is logged in one line that names the option. Errors: EINVAL, ENOMEM.
 */
LSM_MUST_CHECK int options_parse(struct options *options, const char *list);

/* After the last list: whether the options fit one another. Logged as above.
   Errors: EINVAL. */
LSM_MUST_CHECK int options_budget(const struct options *options,
                                  struct options_budget *budget);

/*
 * A number of bytes: digits, then nothing or one of K, M, G and T (either
 * case), powers of 1024; a leading '-' is taken. Errors: EINVAL, ERANGE.
 */
LSM_MUST_CHECK int options_parse_size(const char *text, int64_t *bytes_out);

#endif
