/* SPDX-License-Identifier: MIT */
#include "store/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/sync.h"

enum { POOL_FIRST_SLOTS = 64 };

struct entry {
	struct entry *next;
	struct pool_garbage file;
	unsigned refs; /* 0: garbage, waiting to be deleted; or, before the
	                  sweep, a table that nobody counts yet */
	struct file_id *segments; /* of a table or log: what it leads to;
	                             owned */
	size_t segment_count;
};

struct pool {
	struct env_dir *dir;     /* constant */
	void (*wake)(void *ctx); /* constant */
	void *ctx;               /* constant */

	struct sync_mutex mu;
	/* All below: guarded by mu. */
	struct entry **slots; /* chained hash table */
	size_t slot_count;    /* a power of two */
	size_t entries;
	struct entry *garbage; /* no longer in the table */
	bool swept;            /* what is named is known */
	bool keep_all;
};

static size_t slot_of(const struct pool *pool, enum file_kind kind,
                      struct file_id id)
{
	return checksum_place(id.creator, id.number, 0, (uint8_t)kind) &
	       (pool->slot_count - 1);
}

enum lsm_err pool_create(struct env_dir *dir, void (*wake)(void *ctx),
                         void *ctx, struct pool **pool_out)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	*pool_out = NULL;
	if (pool == NULL)
		return LSM_ERR_NOMEM;
	pool->slots = calloc(POOL_FIRST_SLOTS, sizeof(*pool->slots));
	if (pool->slots == NULL) {
		free(pool);
		return LSM_ERR_NOMEM;
	}
	pool->slot_count = POOL_FIRST_SLOTS;
	pool->dir = dir;
	pool->wake = wake;
	pool->ctx = ctx;
	sync_mutex_init(&pool->mu, SYNC_RANK_POOL);
	*pool_out = pool;
	return LSM_OK;
}

static void free_chain(struct entry *e)
{
	while (e != NULL) {
		struct entry *next = e->next;

		free(e->segments);
		free(e);
		e = next;
	}
}

void pool_destroy(struct pool *pool)
{
	if (pool == NULL)
		return;
	for (size_t i = 0; i < pool->slot_count; i++)
		free_chain(pool->slots[i]);
	free_chain(pool->garbage);
	free(pool->slots);
	sync_mutex_destroy(&pool->mu);
	free(pool);
}

static struct entry **find(struct pool *pool, enum file_kind kind,
                           struct file_id id)
{
	struct entry **p = &pool->slots[slot_of(pool, kind, id)];

	sync_assert_held(&pool->mu);
	while (*p != NULL &&
	       ((*p)->file.kind != kind || !file_id_equal((*p)->file.id, id)))
		p = &(*p)->next;
	return p;
}

/* A table that cannot grow still works: chains get longer. */
static void grow(struct pool *pool)
{
	size_t old_count = pool->slot_count;
	struct entry **old = pool->slots;
	struct entry **slots;

	if (pool->entries < old_count)
		return;
	slots = calloc(old_count * 2, sizeof(*slots));
	if (slots == NULL)
		return;
	pool->slots = slots;
	pool->slot_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct entry *e = old[i], *next; e != NULL; e = next) {
			struct entry **p =
			    &slots[slot_of(pool, e->file.kind, e->file.id)];

			next = e->next;
			e->next = *p;
			*p = e;
		}
	}
	free(old);
}

/* The entry of the file, made with no users where it is missing; NULL: there is no
   memory for it. */
static struct entry *have(struct pool *pool, enum file_kind kind,
                          struct file_id id)
{
	struct entry **p = find(pool, kind, id), *e = *p;

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return NULL;
	e->file.kind = kind;
	e->file.id = id;
	*p = e;
	pool->entries++;
	grow(pool);
	return e;
}

enum lsm_err pool_ref(struct pool *pool, enum file_kind kind, struct file_id id)
{
	struct entry *e;

	sync_lock(&pool->mu);
	e = have(pool, kind, id);
	if (e != NULL)
		e->refs++;
	sync_unlock(&pool->mu);
	return e != NULL ? LSM_OK : LSM_ERR_NOMEM;
}

/* One user fewer; whether there is something to delete now. */
static bool drop(struct pool *pool, enum file_kind kind, struct file_id id)
{
	struct entry **p = find(pool, kind, id), *e = *p;
	struct file_id *segments;
	size_t count;

	/* Only what could not be counted is missing: see pool_keep_all(). */
	assert(e != NULL ? e->refs > 0 : pool->keep_all);
	if (e == NULL || --e->refs > 0)
		return false;
	if (!pool->swept && e->segments != NULL)
		return false; /* it may be counted again: the sweep decides */
	*p = e->next;
	pool->entries--;
	segments = e->segments;
	count = e->segment_count;
	e->segments = NULL;
	if (pool->swept) {
		e->next = pool->garbage;
		pool->garbage = e;
	} else {
		free(e); /* the sweep will meet the file */
	}
	for (size_t i = 0; i < count; i++)
		(void)drop(pool, FILE_KIND_SEGMENT, segments[i]);
	free(segments);
	return pool->swept && !pool->keep_all;
}

void pool_unref(struct pool *pool, enum file_kind kind, struct file_id id)
{
	bool wake;

	sync_lock(&pool->mu);
	wake = drop(pool, kind, id);
	sync_unlock(&pool->mu);
	if (wake)
		pool->wake(pool->ctx);
}

/* Give the table its segments, counted. */
static enum lsm_err lead(struct pool *pool, struct entry *table,
                         const struct segment_uses *uses)
{
	table->segments = calloc(uses->count, sizeof(*table->segments));
	if (table->segments == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < uses->count; i++) {
		struct file_id id = uses->items[i].id;
		struct entry *segment = have(pool, FILE_KIND_SEGMENT, id);

		if (segment == NULL)
			return LSM_ERR_NOMEM;
		segment->refs++;
		table->segments[table->segment_count++] = id;
	}
	return LSM_OK;
}

void pool_lead(struct pool *pool, struct file_id table,
               const struct segment_uses *uses)
{
	struct entry *e;

	sync_lock(&pool->mu);
	e = pool->swept ? *find(pool, FILE_KIND_TABLE, table)
	                : have(pool, FILE_KIND_TABLE, table);
	if (e == NULL ? !pool->swept
	              : e->segments == NULL && uses->count > 0 &&
	                    lead(pool, e, uses) != LSM_OK)
		pool->keep_all = true;
	sync_unlock(&pool->mu);
}

/* Needs the mutex. */
static enum lsm_err lead_log(struct pool *pool, struct file_id log)
{
	struct segment_use use = {.id = log};
	struct segment_uses uses = {.items = &use, .count = 1};
	struct entry *e = *find(pool, FILE_KIND_LOG, log);
	enum lsm_err err;

	sync_assert_held(&pool->mu);
	if (e == NULL || e->segments != NULL)
		return LSM_OK;
	err = lead(pool, e, &uses);
	if (err != LSM_OK) {
		free(e->segments);
		e->segments = NULL;
	}
	return err;
}

enum lsm_err pool_lead_log(struct pool *pool, struct file_id log)
{
	enum lsm_err err;

	sync_lock(&pool->mu);
	err = lead_log(pool, log);
	sync_unlock(&pool->mu);
	return err;
}

unsigned pool_refs(struct pool *pool, enum file_kind kind, struct file_id id)
{
	struct entry *e;
	unsigned refs;

	sync_lock(&pool->mu);
	e = *find(pool, kind, id);
	refs = e != NULL ? e->refs : 0;
	sync_unlock(&pool->mu);
	return refs;
}

void pool_keep_all(struct pool *pool)
{
	sync_lock(&pool->mu);
	pool->keep_all = true;
	sync_unlock(&pool->mu);
}

bool pool_next_garbage(struct pool *pool, struct pool_garbage *out)
{
	struct entry *e = NULL;

	sync_lock(&pool->mu);
	if (!pool->keep_all)
		e = pool->garbage;
	if (e != NULL)
		pool->garbage = e->next;
	sync_unlock(&pool->mu);
	if (e == NULL)
		return false;
	*out = e->file;
	free(e);
	return true;
}

static enum lsm_err sweep_one(void *ctx, const char *name)
{
	struct pool *pool = ctx;
	enum file_kind kind;
	enum lsm_err err = LSM_OK;
	struct file_id id;
	bool named;

	if (!file_name_parse(name, &kind, &id)) {
		log_warning("pool/%s is no file of this store; left alone",
		            name);
		return LSM_OK;
	}
	sync_lock(&pool->mu);
	if (kind == FILE_KIND_SEGMENT)
		err = lead_log(pool, id);
	named = *find(pool, kind, id) != NULL || pool->keep_all;
	sync_unlock(&pool->mu);
	if (named || err != LSM_OK)
		return err;
	log_info("pool/%s: nothing names it; deleted", name);
	return env_unlink(pool->dir, name);
}

/* Tables that no manifest names after all: out, with what they lead to. */
static void forget_unnamed(struct pool *pool)
{
	for (size_t i = 0; i < pool->slot_count; i++) {
		struct entry **p = &pool->slots[i];

		while (*p != NULL) {
			struct entry *e = *p;

			if (e->refs > 0 || e->segments == NULL) {
				p = &e->next;
				continue;
			}
			e->refs = 1;
			pool->swept = true;
			(void)drop(pool, e->file.kind, e->file.id);
			pool->swept = false;
			p = &pool->slots[i]; /* others of the slot went too */
		}
	}
}

enum lsm_err pool_sweep(struct pool *pool)
{
	enum lsm_err err;

	sync_lock(&pool->mu);
	forget_unnamed(pool);
	sync_unlock(&pool->mu);
	err = env_dir_list(pool->dir, sweep_one, pool);

	sync_lock(&pool->mu);
	pool->swept = true;
	sync_unlock(&pool->mu);
	return err;
}
