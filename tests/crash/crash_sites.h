/* SPDX-License-Identifier: MIT */
/*
 * crash_sites.h: where in the code an operation comes from, as far as one can
 * tell from outside: by its thread, by the phase of the workload, by the file
 * or folder, and by what the same thread did last.
 *
 * Threads: any; what is remembered is each thread's own.
 */
#ifndef TESTS_CRASH_CRASH_SITES_H
#define TESTS_CRASH_CRASH_SITES_H

#include "tests/support/env_fault.h"

enum { SITE_NAME_BYTES = 96 };

enum campaign_phase {
	PHASE_CREATE,
	PHASE_OPEN,
	PHASE_WRITE,
	PHASE_SYNC,
	PHASE_FLUSH,
	PHASE_COMPACT,
	PHASE_EXPORT,
	PHASE_CLOSE,
	PHASES,
};

/* The calling thread is the one that runs the workload, from its beginning. */
void site_start(void);

/* Whether the operation changes anything that a power cut could lose. */
bool site_is_change(enum fault_op op);

/* Which part of the store the calling thread is busy with. */
const char *site_role(enum campaign_phase phase);

/* What a folder is, whatever its name: "branches", "the store", "the parent"... */
const char *site_folder(const char *folder);

/* Name the place that issues this SYNC or DIR_SYNC. */
void site_name(enum campaign_phase phase, const struct fault_call *call,
               char out[SITE_NAME_BYTES]);

/* Remember the operation; after what is asked about it. */
void site_follow(enum campaign_phase phase, const struct fault_call *call);

#endif
