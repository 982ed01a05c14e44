/* SPDX-License-Identifier: MIT */
/*
 * fswork.h: what fsbench does to a filesystem: workloads of phases, each of
 * which is timed by itself.
 *
 * A phase runs in a process of its own, whose working folder is one that only
 * this workload uses, so that nothing it leaves open keeps a mount busy. Phases
 * of a workload find there what those before them made.
 *
 * Functions return 0 or a positive errno, after they said what failed.
 */
#ifndef TESTS_BENCH_FSWORK_H
#define TESTS_BENCH_FSWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lsm.h"

enum { FSWORK_PHASES_MAX = 10 };

struct fswork;

struct fswork_run {
	const struct fswork *work;
	double scale;
	const char *tar;     /* a source tree, not compressed; or NULL */
	const char *sources; /* a folder of C files to compile; or NULL */
	const char *scratch; /* a folder elsewhere, for what tools say */

	/* The phase may set these; otherwise it is timed as a whole. */
	uint64_t started_ns, ended_ns;
	uint64_t ops; /* for a rate; 0: none */
};

typedef int (*fswork_call)(struct fswork_run *run);

enum fswork_flag {
	FSWORK_COLD = 1,  /* unmount, drop caches and mount before */
	FSWORK_WEIGH = 2, /* and weigh it while it is not mounted */
	FSWORK_SYNC = 4,  /* everything is synced, within the time */
	FSWORK_QUIET = 8, /* prepares the next phase; not reported */
	FSWORK_FLOOR = 16 /* to be within 1.3 of the null filesystem */
};

struct fswork_phase {
	const char *name;
	fswork_call call;
	unsigned flags;
	double goal; /* at most so many times the time of ext4; 0: none */
};

struct fswork {
	const char *name, *help;
	const char *tools; /* that it needs, with blanks between; or NULL */
	bool needs_tar, needs_sources;
	double space_goal; /* of what is weighed to what was written; 0: none */

	/* For the workload's own calls. */
	unsigned jobs;
	bool text;
	const char *setting;

	struct fswork_phase phases[FSWORK_PHASES_MAX];
};

/* Each ends with one without a name; the list ends with NULL. */
extern const struct fswork fsworks_small[], fsworks_tree[], fsworks_data[],
    fsworks_base[];
extern const struct fswork *const fsworks[];

/* ---- for the phases ------------------------------------------------------- */

/* `full` at scale 1, at least `least`. */
uint64_t fswork_scaled(const struct fswork_run *run, uint64_t full,
                       uint64_t least);

/* Print what failed with `path`. Returns `err`. */
LSM_MUST_CHECK int fswork_failed(const char *path, int err);

/* Time only what follows, or what came before. */
void fswork_begin(struct fswork_run *run);
void fswork_end(struct fswork_run *run);

LSM_MUST_CHECK int fswork_write(int fd, const char *path, const void *data,
                                size_t len, uint64_t offset);
/* EIO where the file is shorter. */
LSM_MUST_CHECK int fswork_read(int fd, const char *path, void *data, size_t len,
                               uint64_t offset);

/* Run `script` with sh -e. It finds in the environment TAR, SOURCES, SCRATCH and
   ARG. EIO where it fails, after the end of what it said was printed. */
LSM_MUST_CHECK int fswork_shell(const struct fswork_run *run,
                                const char *script, const char *arg);

#endif
