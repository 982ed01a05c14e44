/* SPDX-License-Identifier: MIT */
#include "tests/crash/crash_sites.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { ROLE_BYTES = 16, NAME_BYTES = 64 };

/* What the last operations of this thread were, to tell call sites apart. */
static _Thread_local struct {
	bool is_workload;
	enum fault_op last_op;
	char made_ext[8];           /* of the last file made in a pool */
	char made_name[NAME_BYTES]; /* of the last file made anywhere */
	unsigned writes;            /* into that one */
	enum campaign_phase made_in;
} trail;

bool site_is_change(enum fault_op op)
{
	switch (op) {
	case FAULT_DIR_MAKE:
	case FAULT_DIR_SYNC:
	case FAULT_UNLINK:
	case FAULT_RMDIR:
	case FAULT_RENAME:
	case FAULT_LINK:
	case FAULT_REFLINK:
	case FAULT_CREATE:
	case FAULT_WRITE:
	case FAULT_SYNC:
	case FAULT_PREALLOCATE:
	case FAULT_STORE:
	case FAULT_SEAL:
		return true;
	default:
		return false;
	}
}

static const char *extension(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot == NULL ? "" : dot + 1;
}

const char *site_role(enum campaign_phase phase)
{
	static const char *const phases[PHASES] = {"create", "open",  "write",
	                                           "sync",   "flush", "compact",
	                                           "export", "close"};
	static _Thread_local char name[ROLE_BYTES];

	/* What is sealed when the store closes is flushed by whoever comes
	   first, the worker or the closing thread. */
	if (trail.is_workload && phase == PHASE_CLOSE &&
	    strcmp(trail.made_ext, "sst") == 0 &&
	    strncmp(trail.made_name, "MANIFEST", 8) != 0)
		return "flush";
	if (trail.is_workload)
		return phases[phase];
	if (pthread_getname_np(pthread_self(), name, sizeof(name)) != 0)
		return "thread";
	if (strncmp(name, "lsm-flush", 9) == 0)
		return "flush";
	if (strncmp(name, "lsm-compact", 11) == 0)
		return "compact";
	return "upkeep";
}

/* What is synced of a file: its header, what makes it whole, or more. */
static const char *file_part(enum campaign_phase phase,
                             const struct fault_call *call)
{
	bool mine = strcmp(call->name, trail.made_name) == 0;
	bool manifest = strncmp(call->name, "MANIFEST", 8) == 0;

	if (trail.is_workload && phase == PHASE_EXPORT && mine && !manifest &&
	    trail.made_in == phase && strcmp(call->folder, "pool") == 0)
		return "copy";
	if (mine && trail.writes == 1 &&
	    (manifest || strcmp(extension(call->name), "wal") == 0 ||
	     strcmp(extension(call->name), "list") == 0))
		return "header";
	if (manifest)
		return mine && trail.writes == 2 ? "first records" : "edit";
	return "bytes";
}

static const char *file_sort(const char *name)
{
	if (strncmp(name, "MANIFEST", 8) == 0)
		return "MANIFEST";
	return extension(name)[0] != '\0' && strcmp(extension(name), "tmp") != 0
	           ? extension(name)
	           : name;
}

/* "/" is the parent of both stores; a pool, their pools. */
const char *site_folder(const char *folder)
{
	if (strcmp(folder, "pool") == 0 || strcmp(folder, "branches") == 0)
		return folder;
	if (strcmp(folder, "/") == 0 || strcmp(folder, "..") == 0)
		return "the parent";
	if (strcmp(folder, "store") == 0 || folder[0] == '.')
		return "the store";
	return "the branch";
}

/* A manifest is rolled by whichever thread finds that it has grown too long. */
static bool is_roll(enum campaign_phase phase, const struct fault_call *call)
{
	if (trail.is_workload && (phase == PHASE_CREATE ||
	                          phase == PHASE_OPEN || phase == PHASE_EXPORT))
		return false;
	if (call->op == FAULT_DIR_SYNC)
		return strcmp(site_folder(call->folder), "the branch") == 0 ||
		       strcmp(trail.made_ext, "list") == 0;
	return strcmp(file_sort(call->name), "list") == 0 ||
	       strncmp(call->name, "CURRENT", 7) == 0 ||
	       strcmp(file_part(phase, call), "first records") == 0;
}

void site_name(enum campaign_phase phase, const struct fault_call *call,
               char out[SITE_NAME_BYTES])
{
	const char *role = is_roll(phase, call) ? "a roll" : site_role(phase);

	if (call->op == FAULT_SYNC)
		snprintf(out, SITE_NAME_BYTES, "%s in %s: %s",
		         file_sort(call->name), role, file_part(phase, call));
	else if (strcmp(call->folder, "pool") == 0)
		snprintf(out, SITE_NAME_BYTES, "folder pool in %s after %s",
		         role, trail.made_ext);
	else
		snprintf(out, SITE_NAME_BYTES, "folder %s in %s%s",
		         site_folder(call->folder), role,
		         trail.last_op == FAULT_RENAME ? " after a rename"
		                                       : "");
}

void site_follow(enum campaign_phase phase, const struct fault_call *call)
{
	if (call->op == FAULT_CREATE || call->op == FAULT_LINK) {
		snprintf(trail.made_name, sizeof(trail.made_name), "%.60s",
		         call->name);
		trail.writes = 0;
		trail.made_in = phase;
		if (strcmp(call->folder, "pool") == 0)
			snprintf(trail.made_ext, sizeof(trail.made_ext), "%.7s",
			         call->op == FAULT_LINK
			             ? "link"
			             : extension(call->name));
	}
	if (call->op == FAULT_WRITE && strcmp(call->name, trail.made_name) == 0)
		trail.writes++;
	if (site_is_change(call->op))
		trail.last_op = call->op;
}

void site_start(void)
{
	memset(&trail, 0, sizeof(trail));
	trail.is_workload = true;
}
