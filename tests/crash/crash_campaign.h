/* SPDX-License-Identifier: MIT */
/*
 * crash_campaign.h: run one workload over an env that can crash, take images of
 * what a power cut would have left at chosen operations, and check that each of
 * them recovers.
 *
 * The workload is create, open, batches with syncs, flushes, compactions, an
 * export and some reopenings between them, and a close; it writes from one
 * thread, while flushes and compactions come and go behind it.
 *
 * What an image may hold: at least what was synced when it was taken (when the
 * process alone died: what was acknowledged), at most what had been begun. The
 * hook reads the first count before it takes the image and the last one after.
 *
 * Threads: the hook runs in any; images are checked by the caller's, between
 * two steps, since opening a store within a hook would do so under the locks of
 * another.
 */
#ifndef TESTS_CRASH_CRASH_CAMPAIGN_H
#define TESTS_CRASH_CRASH_CAMPAIGN_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/crash/crash_check.h"
#include "tests/crash/crash_sites.h"

enum {
	CAMPAIGN_SITES_MAX = 96,
	CAMPAIGN_WHERE_BYTES = 160,
};

/* A place that issues syncs. */
struct campaign_site {
	char name[SITE_NAME_BYTES];
	unsigned count;
};

struct campaign_image {
	struct campaign_image *next;
	struct env *env;
	bool created, dest_done;
	struct kit_bounds bounds;
	size_t dest_batches;
	char where[CAMPAIGN_WHERE_BYTES];
};

/* Zero it, fill in the settings, run it, release it. */
struct campaign {
	/* Settings, constant while it runs. */
	const struct kit_model *model;
	size_t batches; /* at most the model's */
	uint64_t seed;
	bool at_syncs;    /* images at each sync, folder sync and rename */
	unsigned randoms; /* so many of them with a random keep */
	unsigned one_in; /* an image at one in so many other changes; 0: none */
	bool sparse;     /* of those, most only with nothing kept */
	bool dense_export;      /* images at every change while it exports */
	unsigned go_on_one_in;  /* so many recovered stores are written to */
	unsigned nested_one_in; /* so many recoveries are crashed again */
	const char *skip; /* leave the syncs of this site out, and take images
	                     for some time behind each */
	unsigned skip_window; /* so many changes */
	uint64_t kill_at; /* fail this operation and all later ones; 0: none */
	bool copy_export; /* refuse links, so that the export copies */
	/* No flush ends while it exports: the fork has logs, one of them with a
	   segment that nobody else syncs. */
	bool hold_flush;

	struct env *mem, *fault;

	/* Atomics: what the images are held against. */
	atomic_size_t started, acked, synced, dest_batches;
	atomic_bool created, dest_done;
	atomic_int phase;
	atomic_uint window_left, skipped;
	atomic_uint stores; /* into mapped logs */

	pthread_mutex_t mu;
	pthread_cond_t exported;
	/* Guarded by mu. */
	bool holding;
	struct campaign_image *images; /* to be checked */
	struct campaign_site sites[CAMPAIGN_SITES_MAX];
	size_t site_count;

	/* The caller's. */
	struct lsm_runtime *runtime;
	struct lsm *store;
	bool killed;
	uint64_t checked, nested;
	bool failed;
	struct kit_why why; /* the first failure */
};

/* Run the workload and check every image. False: c->why says what failed. After
   a kill the env is left for campaign_recover_killed(). */
bool campaign_run(struct campaign *c);

/*
 * After a run with kill_at: open what the process left behind in the page
 * cache, with images of power cuts during that recovery.
 */
bool campaign_recover_killed(struct campaign *c);

void campaign_release(struct campaign *c);

#endif
