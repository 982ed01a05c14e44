/* SPDX-License-Identifier: MIT */
#include "tests/crash/crash_campaign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tests/support/compact_all.h"
#include "tests/support/gen.h"

#define STORE "/store"
#define DEST "/dest"

static uint64_t mix(uint64_t seed, uint64_t number)
{
	struct gen gen;

	gen_init(&gen, seed * UINT64_C(0x9e3779b97f4a7c15) + number);
	return gen_u64(&gen);
}

static enum campaign_phase phase_of(const struct campaign *c)
{
	return (enum campaign_phase)atomic_load(&c->phase);
}

static void note_site(struct campaign *c, const char *name)
{
	size_t i = 0;

	pthread_mutex_lock(&c->mu);
	while (i < c->site_count && strcmp(c->sites[i].name, name) != 0)
		i++;
	kit_must(i < CAMPAIGN_SITES_MAX);
	if (i == c->site_count) {
		snprintf(c->sites[i].name, sizeof(c->sites[i].name), "%s",
		         name);
		c->site_count++;
	}
	c->sites[i].count++;
	pthread_mutex_unlock(&c->mu);
}

/* ---- taking images --------------------------------------------------------
 */

static void take_image(struct campaign *c, const struct fault_call *call,
                       unsigned keep, uint64_t seed)
{
	struct campaign_image *image = calloc(1, sizeof(*image));
	struct env_mem_crash crash = {keep, seed};

	kit_must(image != NULL);
	/* These first, what was begun last: see the head of the header. */
	image->created = atomic_load(&c->created);
	image->dest_done = atomic_load(&c->dest_done);
	image->bounds.least = atomic_load(keep >= 256 ? &c->acked : &c->synced);
	kit_must(env_mem_after_crash(c->mem, &crash, &image->env) == LSM_OK);
	image->bounds.most = atomic_load(&c->started);
	image->dest_batches = atomic_load(&c->dest_batches);
	snprintf(image->where, sizeof(image->where),
	         "cut before operation %llu (%s of %s/%s in %s), keep %u, "
	         "seed %llu",
	         (unsigned long long)call->number, fault_op_name(call->op),
	         call->folder, call->name, site_role(phase_of(c)), keep,
	         (unsigned long long)seed);
	pthread_mutex_lock(&c->mu);
	image->next = c->images;
	c->images = image;
	pthread_mutex_unlock(&c->mu);
}

static void take_random(struct campaign *c, const struct fault_call *call,
                        unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t seed = mix(c->seed, call->number * 64 + i);

		take_image(c, call, 16 + (unsigned)(seed % 225), seed);
	}
}

static bool is_point(enum fault_op op)
{
	return op == FAULT_SYNC || op == FAULT_DIR_SYNC || op == FAULT_RENAME;
}

/* Behind a sync that was left out, for some time; an export comes to its end
   first. */
static bool in_window(struct campaign *c)
{
	unsigned left = atomic_load(&c->window_left);

	if (left > 0 && phase_of(c) == PHASE_EXPORT)
		return true;
	while (left > 0)
		if (atomic_compare_exchange_weak(&c->window_left, &left,
		                                 left - 1))
			return true;
	return false;
}

/* With all that a power cut may keep; or with nothing kept, and now and then
   something else. */
static void take_point(struct campaign *c, const struct fault_call *call)
{
	bool create = phase_of(c) == PHASE_CREATE;
	bool all = !c->sparse || create;

	take_image(c, call, 0, 1);
	if (all || call->number % 4 == 0)
		take_image(c, call, 256, 1);
	/* A store is created once, so look harder there. */
	if (all || call->number % 4 == 2)
		take_random(c, call, create ? 16 : c->randoms);
}

static void take_images(struct campaign *c, const struct fault_call *call)
{
	bool exporting = phase_of(c) == PHASE_EXPORT;

	if ((c->at_syncs && is_point(call->op)) ||
	    (c->dense_export && exporting)) {
		take_point(c, call);
	} else if (c->skip != NULL && in_window(c)) {
		take_image(c, call, 0, 1);
		/* Some sites leave one operation only to catch them at. */
		take_random(c, call, is_point(call->op) ? 12 : c->randoms);
	} else if (c->one_in > 0 &&
	           mix(c->seed + 1, call->number) % c->one_in == 0) {
		take_random(c, call, 1);
	}
}

/*
 * A flush that begins its table waits for the export; no lock is held there. It has
 * finished and synced the segment beside its log then: that is of a memtable sealed
 * before the last batch, so what the export seals is synced by nobody but the export.
 */
static void hold_flush(struct campaign *c, const struct fault_call *call)
{
	if (!c->hold_flush || call->op != FAULT_CREATE ||
	    strcmp(site_role(phase_of(c)), "flush") != 0)
		return;
	pthread_mutex_lock(&c->mu);
	while (c->holding)
		pthread_cond_wait(&c->exported, &c->mu);
	pthread_mutex_unlock(&c->mu);
}

static void set_holding(struct campaign *c, bool holding)
{
	pthread_mutex_lock(&c->mu);
	c->holding = holding;
	pthread_cond_broadcast(&c->exported);
	pthread_mutex_unlock(&c->mu);
}

static struct fault_answer on_call(void *ctx, const struct fault_call *call)
{
	struct campaign *c = ctx;
	struct fault_answer answer = {LSM_OK, false};
	char site[SITE_NAME_BYTES];

	if (c->copy_export && call->op == FAULT_LINK)
		answer.err = LSM_ERR_NO_LINK;
	if (!site_is_change(call->op))
		return answer;
	if (call->op == FAULT_STORE)
		atomic_fetch_add(&c->stores, 1);
	hold_flush(c, call);
	take_images(c, call);
	if (call->op == FAULT_SYNC || call->op == FAULT_DIR_SYNC) {
		site_name(phase_of(c), call, site);
		note_site(c, site);
		answer.skip = c->skip != NULL && strcmp(site, c->skip) == 0;
	}
	if (answer.skip) {
		atomic_fetch_add(&c->skipped, 1);
		atomic_store(&c->window_left, c->skip_window);
	}
	site_follow(phase_of(c), call);
	return answer;
}

/* ---- checking images -------------------------------------------------------
 */

/* The images of one recovery, crashed in its turn. */
struct second_crash {
	struct env *env;
	struct env *images[64];
	bool durable[64]; /* taken when the open had returned */
	size_t count;
	atomic_bool opened;
	uint64_t seed;
	pthread_mutex_t mu; /* guards images, durable, count */
};

static struct fault_answer on_second_call(void *ctx,
                                          const struct fault_call *call)
{
	struct second_crash *second = ctx;
	struct fault_answer answer = {LSM_OK, false};
	uint64_t dice = mix(second->seed, call->number);
	unsigned keep = dice % 2 == 0 ? 0 : 16 + (unsigned)(dice / 2 % 225);
	struct env_mem_crash crash = {keep, dice};
	bool opened = atomic_load(&second->opened);
	struct env *image = NULL;

	if (!site_is_change(call->op) ||
	    (!is_point(call->op) && dice / 256 % 4))
		return answer;
	pthread_mutex_lock(&second->mu);
	if (second->count < 64) {
		kit_must(env_mem_after_crash(second->env, &crash, &image) ==
		         LSM_OK);
		second->images[second->count] = image;
		second->durable[second->count++] = opened;
	}
	pthread_mutex_unlock(&second->mu);
	return answer;
}

/* Open the store of `env`, cut off at many points; *prefix_out is what it holds
   when it stands. The images stay in *second. */
static bool recover_watched(struct campaign *c, struct env *env, uint64_t seed,
                            struct kit_bounds bounds,
                            struct second_crash *second, size_t *prefix_out)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	struct env *fault = NULL;
	enum lsm_err err;
	bool good = true;

	memset(second, 0, sizeof(*second));
	second->env = env;
	second->seed = seed;
	pthread_mutex_init(&second->mu, NULL);
	kit_must(env_fault_create(env, &fault) == LSM_OK);
	kit_must(kit_runtime(&runtime) == LSM_OK);
	env_fault_set_hook(fault, on_second_call, second);
	err = kit_open(runtime, fault, STORE, false, &store);
	atomic_store(&second->opened, true);
	if (err != LSM_OK) {
		good = kit_fail(&c->why, "opening: %s", lsm_strerror(err));
	} else {
		good =
		    kit_compare(store, c->model, bounds, prefix_out, &c->why);
		err = lsm_close(store);
		if (good && err != LSM_OK)
			good =
			    kit_fail(&c->why, "closing: %s", lsm_strerror(err));
	}
	lsm_runtime_destroy(runtime);
	env_fault_destroy(fault);
	return good;
}

static bool check_second_images(struct campaign *c, struct second_crash *second,
                                struct kit_bounds before,
                                struct kit_bounds after)
{
	bool good = true;

	for (size_t i = 0; i < second->count; i++) {
		struct kit_why why;

		if (good &&
		    !kit_check_store(second->images[i], STORE, c->model,
		                     second->durable[i] ? after : before, false,
		                     NULL, &why))
			good = kit_fail(&c->why,
			                "cut off while it recovered (image "
			                "%zu of %zu%s): %.300s",
			                i, second->count,
			                second->durable[i] ? ", opened" : "",
			                why.text);
		env_mem_destroy(second->images[i]);
		c->nested++;
	}
	pthread_mutex_destroy(&second->mu);
	return good;
}

/* What is durable in the image before recovery is so after it, wherever that is
   cut off: every recovery of it finds the same. */
static bool check_nested(struct campaign *c, struct campaign_image *image,
                         uint64_t seed)
{
	struct env_mem_crash all = {256, seed};
	struct second_crash second;
	struct env *env = NULL;
	size_t prefix = 0;
	bool good;

	kit_must(env_mem_after_crash(image->env, &all, &env) == LSM_OK);
	good = recover_watched(c, env, seed, image->bounds, &second, &prefix);
	image->bounds.least = image->bounds.most = prefix;
	good = check_second_images(c, &second, image->bounds, image->bounds) &&
	       good;
	env_mem_destroy(env);
	return good;
}

/* Before lsm_create() returned there may be no store yet: then one can be made
   after all. */
static bool check_uncreated(struct campaign *c, struct campaign_image *image)
{
	enum lsm_err err = kit_create(image->env, STORE);

	if (err != LSM_OK && err != LSM_ERR_EXISTS)
		return kit_fail(&c->why, "creating it again: %s",
		                lsm_strerror(err));
	return kit_check_store(image->env, STORE, c->model, image->bounds, true,
	                       NULL, &c->why);
}

static bool check_image(struct campaign *c, struct campaign_image *image)
{
	uint64_t dice = mix(c->seed + 2, c->checked);
	struct kit_bounds dest = {image->dest_batches, image->dest_batches};
	bool go_on = c->go_on_one_in > 0 && dice % c->go_on_one_in == 0;
	struct kit_why why;

	if (!image->created)
		return check_uncreated(c, image);
	if (c->nested_one_in > 0 && dice / 256 % c->nested_one_in == 0 &&
	    !check_nested(c, image, dice))
		return false;
	if (!kit_check_store(image->env, STORE, c->model, image->bounds, go_on,
	                     NULL, &c->why))
		return false;
	if (!kit_folder_exists(image->env, DEST))
		return !image->dest_done ||
		       kit_fail(&c->why, "the exported store is gone");
	if (!kit_check_store(image->env, DEST, c->model, dest, go_on, NULL,
	                     &why))
		return kit_fail(&c->why, "the exported store: %.400s",
		                why.text);
	return true;
}

/* Check the images taken so far. */
static void drain(struct campaign *c)
{
	struct campaign_image *image, *next;
	struct kit_why why;

	pthread_mutex_lock(&c->mu);
	image = c->images;
	c->images = NULL;
	pthread_mutex_unlock(&c->mu);
	for (; image != NULL; image = next) {
		next = image->next;
		if (!c->failed && !check_image(c, image)) {
			c->failed = true;
			why = c->why;
			kit_fail(&c->why, "%s: %.300s", image->where, why.text);
		}
		c->checked++;
		env_mem_destroy(image->env);
		free(image);
	}
}

/* ---- the workload
 * ------------------------------------------------------------ */

/* False: the workload is over, by a failure or by the kill. */
static bool done(struct campaign *c, enum lsm_err err, const char *what)
{
	drain(c);
	if (err != LSM_OK && c->kill_at != 0)
		c->killed = true;
	else if (err != LSM_OK && !c->failed)
		c->failed =
		    !kit_fail(&c->why, "%s: %s", what, lsm_strerror(err));
	return !c->killed && !c->failed;
}

static bool create(struct campaign *c)
{
	enum lsm_err err;

	atomic_store(&c->phase, PHASE_CREATE);
	err = kit_create(c->fault, STORE);
	atomic_store(&c->created, err == LSM_OK);
	return done(c, err, "create");
}

static bool open_store(struct campaign *c)
{
	enum lsm_err err;

	atomic_store(&c->phase, PHASE_OPEN);
	kit_must(kit_runtime(&c->runtime) == LSM_OK);
	err = kit_open(c->runtime, c->fault, STORE, false, &c->store);
	return done(c, err, "open");
}

static enum lsm_err shut(struct campaign *c)
{
	enum lsm_err err;

	atomic_store(&c->phase, PHASE_CLOSE);
	err = lsm_close(c->store);
	lsm_runtime_destroy(c->runtime);
	c->store = NULL;
	c->runtime = NULL;
	return err;
}

static bool close_store(struct campaign *c)
{
	enum lsm_err err = shut(c);

	if (err == LSM_OK)
		atomic_store(&c->synced, atomic_load(&c->acked));
	return done(c, err, "close");
}

static bool write_one(struct campaign *c, size_t index)
{
	enum lsm_err err;

	atomic_store(&c->phase, PHASE_WRITE);
	atomic_store(&c->started, index + 1);
	err = kit_write(c->model, c->store, index);
	if (err == LSM_OK)
		atomic_store(&c->acked, index + 1);
	return done(c, err, "write");
}

static bool upkeep(struct campaign *c, enum campaign_phase phase,
                   enum lsm_err (*call)(struct lsm *store), const char *what)
{
	enum lsm_err err;

	atomic_store(&c->phase, phase);
	err = call(c->store);
	if (err == LSM_OK)
		atomic_store(&c->synced, atomic_load(&c->acked));
	return done(c, err, what);
}

static bool export_store(struct campaign *c)
{
	struct lsm_fork_info info;
	enum lsm_err err;

	if (atomic_load(&c->dest_done))
		return true;
	atomic_store(&c->dest_batches, atomic_load(&c->acked));
	atomic_store(&c->phase, PHASE_EXPORT);
	err = lsm_export(c->store, DEST, &info);
	set_holding(c, false);
	atomic_store(&c->dest_done, err == LSM_OK);
	return done(c, err, "export");
}

/* What is to be flushed from now on waits for the export of the next batch. */
static bool begin_hold(struct campaign *c)
{
	if (atomic_load(&c->dest_done))
		return true;
	set_holding(c, true);
	return done(c, store_lead_and_seal(c->store), "seal");
}

/* What follows batch `index`. The numbers are coprime, so that the workload
   meets each beside each. */
static bool follow_up(struct campaign *c, size_t index)
{
	bool more = true, held = c->hold_flush && index == c->batches / 5;

	if (index % 7 == 6)
		more = upkeep(c, PHASE_SYNC, lsm_sync, "sync");
	if (more && !held && index % 23 == 19)
		more = upkeep(c, PHASE_FLUSH, lsm_flush, "flush");
	if (more && !held && index % 41 == 31)
		more = upkeep(c, PHASE_COMPACT, compact_all, "compact");
	if (more && c->hold_flush && index + 1 == c->batches / 5)
		more = begin_hold(c);
	if (more && index == c->batches / 5)
		more = export_store(c);
	if (more && (index == c->batches / 8 || index == c->batches / 4))
		more = close_store(c) && open_store(c);
	return more;
}

static void prepare(struct campaign *c)
{
	pthread_mutex_init(&c->mu, NULL);
	pthread_cond_init(&c->exported, NULL);
	kit_must(env_mem_create(&c->mem) == LSM_OK);
	kit_must(env_fault_create(c->mem, &c->fault) == LSM_OK);
	env_fault_set_hook(c->fault, on_call, c);
	if (c->kill_at != 0)
		env_fault_arm(c->fault, c->kill_at, LSM_ERR_IO, true);
	site_start();
}

bool campaign_run(struct campaign *c)
{
	bool more;

	prepare(c);
	more = create(c) && open_store(c);
	for (size_t i = 0; more && i < c->batches; i++)
		more = write_one(c, i) && follow_up(c, i);
	if (more)
		more = close_store(c) && open_store(c) && close_store(c);
	if (c->runtime != NULL) { /* after a failure */
		set_holding(c, false);
		(void)shut(c);
	}
	drain(c);
	return !c->failed;
}

bool campaign_recover_killed(struct campaign *c)
{
	struct kit_bounds all = {atomic_load(&c->acked),
	                         atomic_load(&c->started)};
	struct kit_bounds synced = {atomic_load(&c->synced), all.most};
	struct second_crash second;
	size_t prefix = 0;
	bool good;

	/* Who was never told that there is a store was promised none. */
	if (!atomic_load(&c->created))
		return true;
	good = recover_watched(c, c->mem, mix(c->seed + 3, c->kill_at), all,
	                       &second, &prefix);
	all.least = all.most = prefix;
	synced.most = prefix;
	return check_second_images(c, &second, synced, all) && good;
}

void campaign_release(struct campaign *c)
{
	env_fault_destroy(c->fault);
	env_mem_destroy(c->mem);
	pthread_cond_destroy(&c->exported);
	pthread_mutex_destroy(&c->mu);
}
