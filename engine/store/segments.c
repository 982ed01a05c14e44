/* SPDX-License-Identifier: MIT */
/*
 * segments.c: values that lie outside the tables: reading them, and what jobs
 * need to know to write and to collect them.
 */
#include <inttypes.h>

#include "store/store.h"
#include "seg/pointer.h"

enum {
	SEGMENT_MAX_BYTES = 256 << 20,
	SEGMENT_PART = 16, /* of the filesystem, at most */
	/* What is placed beside one memtable is so many times what fills that:
	   what it replaced is not known before its flush. */
	SEGMENT_MEMTABLES = 4,
	SEGMENT_SMALL_BYTES = 1 << 20,
	SEGMENT_SMALL_COUNT = 8,
	RELOCATE_PART = 4,            /* of what is free */
	RELOCATE_MIN_BYTES = 1 << 20, /* with less, nothing is emptied */
};

enum lsm_err store_read_pointer(struct lsm *store, struct slice user,
                                struct slice bytes, struct buf *value)
{
	struct pointer pointer;

	if (!pointer_decode(bytes, &pointer)) {
		log_error("%s: a pointer of %zu bytes cannot be decoded",
		          store->path, bytes.len);
		return LSM_ERR_CORRUPT;
	}
	return segment_read(&store->segments, user, &pointer, value);
}

static enum lsm_err load(void *ctx, struct slice user, struct slice pointer,
                         struct buf *value)
{
	return store_read_pointer(ctx, user, pointer, value);
}

struct fold_fn store_fold_fn(struct lsm *store)
{
	return (struct fold_fn){
	    .call = store->options.fold,
	    .ctx = store->options.fold_ctx,
	    .load = load,
	    .load_ctx = store,
	};
}

/* What may be copied out of doomed segments in one job: emptying them needs room
   before it gives any back. */
static uint64_t relocate_bytes(struct lsm *store, uint64_t *total_out)
{
	uint64_t free_bytes;

	if (env_dir_space(store->source.pool, total_out, &free_bytes) !=
	    LSM_OK) {
		*total_out = UINT64_MAX;
		return SEGMENT_MAX_BYTES;
	}
	return free_bytes / RELOCATE_PART < SEGMENT_MAX_BYTES
	           ? free_bytes / RELOCATE_PART
	           : SEGMENT_MAX_BYTES;
}

uint64_t store_segment_bytes(struct lsm *store)
{
	uint64_t most = SEGMENT_MAX_BYTES;
	uint64_t total, free_bytes;

	if (store->options.memtable_bytes < most / SEGMENT_MEMTABLES)
		most = SEGMENT_MEMTABLES * store->options.memtable_bytes;
	if (env_dir_space(store->source.pool, &total, &free_bytes) == LSM_OK &&
	    total / SEGMENT_PART < most)
		most = total / SEGMENT_PART;
	return most;
}

/* Without memory it is met, and noted, the next time. */
static void note_damage(void *ctx, struct file_id id)
{
	struct segment_use use = {.id = id};
	struct lsm *store = ctx;
	bool is_news;

	sync_lock(&store->damage_mu);
	is_news = segment_uses_find(&store->damaged, id) == NULL &&
	          segment_uses_add(&store->damaged, &use) == LSM_OK;
	sync_unlock(&store->damage_mu);
	if (is_news)
		log_warning("%s: segment %016" PRIx64 "-%" PRIu64
		            " has a frame that cannot be read; it stays",
		            store->path, id.creator, id.number);
}

size_t store_damaged_segments(struct lsm *store,
                              const struct segment_uses *known)
{
	size_t count = 0;

	sync_lock(&store->damage_mu);
	for (size_t i = 0; i < store->damaged.count; i++)
		count += segment_uses_find(known, store->damaged.items[i].id) !=
		         NULL;
	sync_unlock(&store->damage_mu);
	return count;
}

void store_segment_context(struct lsm *store, struct job_context *context)
{
	uint64_t total;

	context->relocate_bytes = relocate_bytes(store, &total);
	context->segment_bytes = total / SEGMENT_PART < SEGMENT_MAX_BYTES
	                             ? total / SEGMENT_PART
	                             : SEGMENT_MAX_BYTES;
	context->segment_min_bytes = store->options.segment_min_bytes;
	context->segments = &store->segments;
	context->new_segment = store_new_segment;
	context->segment_let_go = store_let_segment_go;
	context->segment_damaged = note_damage;
	context->segment_bytes_written = &store->segment_bytes_written;
}

/* ---- collecting ----------------------------------------------------------- */

static unsigned users(void *ctx, struct file_id id)
{
	const struct lsm *store = ctx;

	return pool_refs(store->pool, FILE_KIND_SEGMENT, id);
}

/* A table that others name too keeps its segments, whatever we do. */
static void mark_shared(struct lsm *store, const struct table_meta *meta,
                        struct segment_uses *known)
{
	const struct segment_uses *uses = &meta->info.segments;

	if (uses->count == 0 ||
	    pool_refs(store->pool, FILE_KIND_TABLE, meta->id) <= 1)
		return;
	for (size_t i = 0; i < uses->count; i++)
		segment_uses_find(known, uses->items[i].id)->shared = true;
}

static void mark_all_shared(struct lsm *store, const struct version *version,
                            struct segment_uses *known)
{
	for (unsigned l = 0; l < LSM_LEVELS; l++)
		for (size_t i = 0; i < version->levels[l].count; i++)
			mark_shared(store, version->levels[l].tables[i], known);
}

/* Nor is one emptied that would not become empty. */
static void mark_damaged(struct lsm *store, struct segment_uses *known)
{
	sync_lock(&store->damage_mu);
	for (size_t i = 0; i < store->damaged.count; i++) {
		struct segment_use *use =
		    segment_uses_find(known, store->damaged.items[i].id);

		if (use != NULL)
			use->shared = true;
	}
	sync_unlock(&store->damage_mu);
}

void store_collection_init(struct collection *c)
{
	memset(c, 0, sizeof(*c));
}

void store_collection_release(struct collection *c)
{
	segment_uses_release(&c->known);
	segment_uses_release(&c->doomed);
	segment_uses_release(&c->movable);
	store_collection_init(c);
}

/* Of the version's segments, what is known of all. Errors: NOMEM. */
static enum lsm_err know(struct lsm *store, const struct version *version,
                         struct collection *c)
{
	enum lsm_err err = version_segments(version, &c->known);

	for (size_t i = 0; i < c->known.count; i++) {
		c->garbage_bytes += collect_garbage(&c->known.items[i]);
		c->live_bytes += c->known.items[i].bytes;
	}
	if (err == LSM_OK) {
		mark_all_shared(store, version, &c->known);
		mark_damaged(store, &c->known);
	}
	return err;
}

uint64_t store_reclaimable_bytes(struct lsm *store,
                                 const struct version *version)
{
	struct collect_options options = {
	    .garbage_percent = STORE_COLLECT_ALL_PERCENT,
	    .users = users,
	    .ctx = store,
	};
	struct collection c;
	uint64_t bytes = 0;

	store_collection_init(&c);
	if (know(store, version, &c) == LSM_OK &&
	    collect_doomed(&c.known, &options, &c.doomed, &c.movable) ==
	        LSM_OK) {
		for (size_t i = 0; i < c.doomed.count; i++)
			bytes += collect_garbage(&c.doomed.items[i]);
	}
	store_collection_release(&c);
	return bytes;
}

/* What would not fit on the disk while it is moved stays for another time, and
   small ones with it. */
static enum lsm_err keep_what_fits(struct collection *c, uint64_t room)
{
	size_t before = c->doomed.count;
	enum lsm_err err = LSM_OK;

	collect_trim(&c->doomed, room);
	if (c->doomed.count == before)
		return LSM_OK;
	c->movable.count = 0;
	for (size_t i = 0; err == LSM_OK && i < c->doomed.count; i++)
		err = segment_uses_add(&c->movable, &c->doomed.items[i]);
	return err;
}

enum lsm_err store_collection_make(struct lsm *store,
                                   const struct version *version,
                                   unsigned garbage_percent,
                                   struct collection *c)
{
	struct collect_options options = {
	    .garbage_percent = garbage_percent,
	    .small_bytes = SEGMENT_SMALL_BYTES,
	    .small_count = SEGMENT_SMALL_COUNT,
	    .users = users,
	    .ctx = store,
	};
	enum lsm_err err = know(store, version, c);
	uint64_t total;
	uint64_t room;

	if (err != LSM_OK || store->options.segment_min_bytes == 0)
		return err;
	room = relocate_bytes(store, &total);
	if (room >= RELOCATE_MIN_BYTES)
		err = collect_doomed(&c->known, &options, &c->doomed,
		                     &c->movable);
	if (err == LSM_OK)
		err = keep_what_fits(c, room);
	return err;
}
