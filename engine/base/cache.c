/* SPDX-License-Identifier: MIT */
/*
 * cache.c: each shard is a chained hash table whose entries also stand in a
 * ring. The hand of the clock goes round it: an entry in use is passed by, one
 * looked up since the last round loses its mark, any other is evicted.
 *
 * An entry is *listed* while it is in table and ring. The listed ones are what
 * the limit counts. One that was replaced, erased, or never fitted is unlisted:
 * it belongs to those who hold handles, and the last of them frees it.
 *
 * What leaves the cache is put on a list while the lock is held, and destroyed
 * after it was released.
 */
#include "base/cache.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/sync.h"

enum {
	CACHE_MIN_BUCKETS = 64,  /* a power of two */
	CACHE_MAX_SHARDS = 1024, /* the shard comes from hash bits of its own */
	CACHE_SHARD_SHIFT = 48,
	/*
	 * The most entries that one insertion looks at. Where all of a large
	 * shard is in use or marked, a full round for each insertion would hold
	 * the lock for too long; the hand goes on from here the next time.
	 */
	CACHE_EVICT_STEPS = 1024,
	CACHE_KEPT_SHARE = 4, /* of the limit: a part in so many */
};

/* What a lookup touches comes first, to lie in one cache line. */
struct cache_handle {
	/* Guarded by the shard's mutex. */
	struct cache_handle *next; /* in its bucket; then in a list of dead */

	/* Constant after creation. */
	uint64_t hash;
	struct cache_key key;
	void *value;

	/*
	 * Handles, and one while it is listed. It only grows under the shard's
	 * mutex; the last to let go frees the entry. Release when dropping,
	 * acquire before freeing: whoever frees sees what others did with it.
	 */
	atomic_uint refs;

	/* Guarded by the shard's mutex. */
	bool marked;      /* looked up since the hand came by */
	unsigned keepers; /* see cache_keep() */
	struct cache_handle *ring_prev, *ring_next; /* while listed */

	/* Constant after creation. */
	uint64_t charge_bytes; /* of the value, and of this struct */
	cache_destroy_fn destroy;
};

struct shard {
	uint64_t limit_bytes; /* constant after creation */

	struct sync_mutex mutex;
	/* All below: guarded by mutex. */
	struct cache_handle **buckets;
	size_t bucket_count; /* a power of two */
	size_t listed_count;
	uint64_t used_bytes;
	struct cache_handle *hand; /* NULL when nothing is listed */
	uint64_t hits, misses;
};

struct cache {
	uint64_t limit_bytes;
	atomic_uint_least64_t kept_bytes; /* relaxed: bounded, no more */
	unsigned shard_count;
	struct shard shards[];
};

/* Each word by an odd number of its own, then the high bits down, which have
   seen all of them. */
static uint64_t hash_key(const struct cache_key *key)
{
	uint64_t hash = key->word[0] * UINT64_C(0x9e3779b97f4a7c15) +
	                key->word[1] * UINT64_C(0xc2b2ae3d27d4eb4f) +
	                key->word[2] * UINT64_C(0xd6e8feb86659fd93);

	hash ^= hash >> 32;
	hash *= UINT64_C(0x9fb21c651e98df25);
	return hash ^ hash >> 28;
}

static bool same_key(const struct cache_key *a, const struct cache_key *b)
{
	return memcmp(a->word, b->word, sizeof(a->word)) == 0;
}

static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
	return &cache->shards[(hash >> CACHE_SHARD_SHIFT) &
	                      (cache->shard_count - 1)];
}

/* The link that points to the entry, or to the NULL where it would stand. */
static struct cache_handle **find_link(struct shard *shard, uint64_t hash,
                                       const struct cache_key *key)
{
	struct cache_handle **link =
	    &shard->buckets[hash & (shard->bucket_count - 1)];

	while (*link != NULL &&
	       ((*link)->hash != hash || !same_key(&(*link)->key, key)))
		link = &(*link)->next;
	return link;
}

/* Double the buckets. Without memory chains get longer, and that is all. */
static void grow_buckets(struct shard *shard)
{
	size_t count = shard->bucket_count * 2;
	struct cache_handle **buckets =
	    calloc(count, sizeof(struct cache_handle *));

	if (buckets == NULL)
		return;
	for (size_t i = 0; i < shard->bucket_count; i++) {
		struct cache_handle *entry = shard->buckets[i];

		while (entry != NULL) {
			struct cache_handle *next = entry->next;
			struct cache_handle **bucket =
			    &buckets[entry->hash & (count - 1)];

			entry->next = *bucket;
			*bucket = entry;
			entry = next;
		}
	}
	free(shard->buckets);
	shard->buckets = buckets;
	shard->bucket_count = count;
}

/* Put the entry behind the hand, where it is looked at last. */
static void ring_add(struct shard *shard, struct cache_handle *entry)
{
	struct cache_handle *hand = shard->hand;

	if (hand == NULL) {
		entry->ring_prev = entry;
		entry->ring_next = entry;
		shard->hand = entry;
		return;
	}
	entry->ring_prev = hand->ring_prev;
	entry->ring_next = hand;
	hand->ring_prev->ring_next = entry;
	hand->ring_prev = entry;
}

static void ring_remove(struct shard *shard, struct cache_handle *entry)
{
	if (shard->hand == entry)
		shard->hand =
		    entry->ring_next == entry ? NULL : entry->ring_next;
	entry->ring_prev->ring_next = entry->ring_next;
	entry->ring_next->ring_prev = entry->ring_prev;
}

static void list_entry(struct shard *shard, struct cache_handle *entry)
{
	struct cache_handle **link;

	sync_assert_held(&shard->mutex);
	/* Half empty: an entry that is passed by is a miss of the processor's
	   cache, a bucket is eight bytes. */
	if (shard->listed_count >= shard->bucket_count / 2)
		grow_buckets(shard);
	link = find_link(shard, entry->hash, &entry->key);
	assert(*link == NULL);
	entry->next = NULL;
	*link = entry;
	ring_add(shard, entry);
	atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
	shard->listed_count++;
	shard->used_bytes += entry->charge_bytes;
}

/* Let go of one reference; whether it was the last. */
static bool drop_ref(struct cache_handle *entry)
{
	unsigned before =
	    atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel);

	assert(before > 0);
	return before == 1;
}

/* Take *link out; it goes to *dead unless someone holds a handle. */
static void unlist_entry(struct shard *shard, struct cache_handle **link,
                         struct cache_handle **dead)
{
	struct cache_handle *entry = *link;

	sync_assert_held(&shard->mutex);
	*link = entry->next;
	ring_remove(shard, entry);
	shard->listed_count--;
	shard->used_bytes -= entry->charge_bytes;
	if (drop_ref(entry)) {
		entry->next = *dead;
		*dead = entry;
	}
}

/* Whether `charge_bytes` more fit now, after evicting what it takes. */
static bool make_room(struct shard *shard, uint64_t charge_bytes,
                      struct cache_handle **dead)
{
	/* Twice round clears every mark and then meets each entry again. */
	size_t steps = shard->listed_count * 2;

	sync_assert_held(&shard->mutex);
	if (charge_bytes > shard->limit_bytes)
		return false;
	if (steps > CACHE_EVICT_STEPS)
		steps = CACHE_EVICT_STEPS;
	while (shard->used_bytes > shard->limit_bytes - charge_bytes) {
		struct cache_handle *entry = shard->hand;

		if (steps-- == 0)
			return false;
		shard->hand = entry->ring_next;
		/* Nobody else can get a handle: that takes the mutex. */
		if (atomic_load_explicit(&entry->refs, memory_order_acquire) >
		    1)
			continue;
		if (entry->marked)
			entry->marked = false;
		else
			unlist_entry(shard,
			             find_link(shard, entry->hash, &entry->key),
			             dead);
	}
	return true;
}

static void destroy_dead(struct cache_handle *dead)
{
	while (dead != NULL) {
		struct cache_handle *next = dead->next;

		dead->destroy(dead->value);
		free(dead);
		dead = next;
	}
}

static enum lsm_err shard_init(struct shard *shard, uint64_t limit_bytes)
{
	shard->buckets =
	    calloc(CACHE_MIN_BUCKETS, sizeof(struct cache_handle *));
	if (shard->buckets == NULL)
		return LSM_ERR_NOMEM;
	shard->bucket_count = CACHE_MIN_BUCKETS;
	shard->limit_bytes = limit_bytes;
	sync_mutex_init(&shard->mutex, SYNC_RANK_CACHE);
	return LSM_OK;
}

static void shard_release(struct shard *shard)
{
	struct cache_handle *dead = NULL;

	sync_lock(&shard->mutex);
	while (shard->hand != NULL) {
		struct cache_handle *entry = shard->hand;

		assert(atomic_load(&entry->refs) == 1);
		unlist_entry(shard, find_link(shard, entry->hash, &entry->key),
		             &dead);
	}
	sync_unlock(&shard->mutex);
	destroy_dead(dead);
	sync_mutex_destroy(&shard->mutex);
	free(shard->buckets);
}

enum lsm_err cache_create(uint64_t limit_bytes, unsigned shards,
                          struct cache **cache_out)
{
	struct cache *cache;

	assert(shards > 0 && shards <= CACHE_MAX_SHARDS &&
	       (shards & (shards - 1)) == 0);
	*cache_out = NULL;
	cache = calloc(1, sizeof(*cache) + shards * sizeof(cache->shards[0]));
	if (cache == NULL)
		return LSM_ERR_NOMEM;

	cache->limit_bytes = limit_bytes;
	while (cache->shard_count < shards) {
		enum lsm_err err = shard_init(
		    &cache->shards[cache->shard_count], limit_bytes / shards);

		if (err != LSM_OK) {
			cache_destroy(cache);
			return err;
		}
		cache->shard_count++;
	}
	*cache_out = cache;
	return LSM_OK;
}

void cache_destroy(struct cache *cache)
{
	if (cache == NULL)
		return;
	for (unsigned i = 0; i < cache->shard_count; i++)
		shard_release(&cache->shards[i]);
	free(cache);
}

struct cache_handle *cache_lookup(struct cache *cache,
                                  const struct cache_key *key)
{
	uint64_t hash = hash_key(key);
	struct shard *shard = shard_of(cache, hash);
	struct cache_handle *entry;

	sync_lock(&shard->mutex);
	entry = *find_link(shard, hash, key);
	if (entry != NULL) {
		/* Relaxed: the mutex orders it against unlisting. */
		atomic_fetch_add_explicit(&entry->refs, 1,
		                          memory_order_relaxed);
		entry->marked = true;
		shard->hits++;
	} else {
		shard->misses++;
	}
	sync_unlock(&shard->mutex);
	return entry;
}

enum lsm_err cache_insert(struct cache *cache, const struct cache_key *key,
                          void *value, uint64_t charge_bytes,
                          cache_destroy_fn destroy,
                          struct cache_handle **handle_out)
{
	struct cache_handle *dead = NULL;
	struct cache_handle *entry, **link;
	struct shard *shard;
	bool fits;

	assert(charge_bytes <= UINT64_MAX - sizeof(*entry));
	*handle_out = NULL;
	entry = calloc(1, sizeof(*entry));
	if (entry == NULL)
		return LSM_ERR_NOMEM;
	entry->key = *key;
	entry->hash = hash_key(key);
	entry->charge_bytes = charge_bytes + sizeof(*entry);
	entry->value = value;
	entry->destroy = destroy;
	atomic_init(&entry->refs, 1);

	shard = shard_of(cache, entry->hash);
	sync_lock(&shard->mutex);
	link = find_link(shard, entry->hash, key);
	/* What is kept has to stay in the limit. */
	fits = *link == NULL || (*link)->keepers == 0;
	if (fits && *link != NULL)
		unlist_entry(shard, link, &dead);
	if (fits && make_room(shard, entry->charge_bytes, &dead))
		list_entry(shard, entry);
	sync_unlock(&shard->mutex);

	destroy_dead(dead);
	*handle_out = entry;
	return LSM_OK;
}

void *cache_value(const struct cache_handle *handle)
{
	return handle->value;
}

void cache_release(struct cache *cache, struct cache_handle *handle)
{
	(void)cache;
	if (handle != NULL && drop_ref(handle)) {
		handle->next = NULL;
		destroy_dead(handle);
	}
}

bool cache_keep(struct cache *cache, struct cache_handle *handle)
{
	struct shard *shard = shard_of(cache, handle->hash);
	uint64_t most = cache->limit_bytes / CACHE_KEPT_SHARE;
	uint64_t kept =
	    atomic_load_explicit(&cache->kept_bytes, memory_order_relaxed);
	bool listed;

	do
		if (handle->charge_bytes > most ||
		    kept > most - handle->charge_bytes)
			return false;
	while (!atomic_compare_exchange_weak_explicit(
	    &cache->kept_bytes, &kept, kept + handle->charge_bytes,
	    memory_order_relaxed, memory_order_relaxed));

	/* What never fitted is not counted in the limit. */
	sync_lock(&shard->mutex);
	listed = *find_link(shard, handle->hash, &handle->key) == handle;
	if (listed)
		handle->keepers++;
	sync_unlock(&shard->mutex);
	if (!listed)
		atomic_fetch_sub_explicit(&cache->kept_bytes,
		                          handle->charge_bytes,
		                          memory_order_relaxed);
	return listed;
}

void cache_unkeep(struct cache *cache, struct cache_handle *handle)
{
	struct shard *shard = shard_of(cache, handle->hash);

	sync_lock(&shard->mutex);
	assert(handle->keepers > 0);
	handle->keepers--;
	sync_unlock(&shard->mutex);
	atomic_fetch_sub_explicit(&cache->kept_bytes, handle->charge_bytes,
	                          memory_order_relaxed);
	cache_release(cache, handle);
}

void cache_erase(struct cache *cache, const struct cache_key *key)
{
	uint64_t hash = hash_key(key);
	struct shard *shard = shard_of(cache, hash);
	struct cache_handle *dead = NULL;
	struct cache_handle **link;

	sync_lock(&shard->mutex);
	link = find_link(shard, hash, key);
	if (*link != NULL)
		unlist_entry(shard, link, &dead);
	sync_unlock(&shard->mutex);
	destroy_dead(dead);
}

void cache_stats(struct cache *cache, struct cache_stats *stats)
{
	*stats = (struct cache_stats){.limit_bytes = cache->limit_bytes};
	for (unsigned i = 0; i < cache->shard_count; i++) {
		struct shard *shard = &cache->shards[i];

		sync_lock(&shard->mutex);
		stats->used_bytes += shard->used_bytes;
		stats->hits += shard->hits;
		stats->misses += shard->misses;
		sync_unlock(&shard->mutex);
	}
}
