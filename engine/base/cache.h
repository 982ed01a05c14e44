/* SPDX-License-Identifier: MIT */
/*
 * cache.h: a bounded, sharded cache of counted objects: table blocks, open
 * tables.
 *
 * An entry is reached through a counted handle. Entries without a handle are
 * evicted in CLOCK order when the charge of a shard would pass its limit. The
 * limit is hard: when all that could go is in use, the new entry is handed to
 * the caller alone, uncached, and dies with its handle.
 *
 * Threads: every function from any thread. Locks: one shard's mutex, a near
 * leaf, and none to release a handle; `destroy` callbacks run with no lock
 * held.
 */
#ifndef LSM_BASE_CACHE_H
#define LSM_BASE_CACHE_H

#include "lsm.h"

enum { CACHE_KEY_WORDS = 3 };

/* What an entry is known by: creator, number and offset for a block. */
struct cache_key {
	uint64_t word[CACHE_KEY_WORDS];
};

struct cache;
struct cache_handle;

typedef void (*cache_destroy_fn)(void *value);

/* `shards` is a power of two. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err cache_create(uint64_t limit_bytes, unsigned shards,
                                         struct cache **cache_out);
/* No handle is left. */
void cache_destroy(struct cache *cache);

/* A handle to the entry, or NULL. */
struct cache_handle *cache_lookup(struct cache *cache,
                                  const struct cache_key *key);

/*
 * Add `value`, which from now on is the cache's, and get a handle to it. If
 * `key` is there already, the new value replaces it for later lookups, unless
 * that is kept.
 * Errors: NOMEM, and then `value` is still the caller's.
 */
LSM_MUST_CHECK enum lsm_err cache_insert(struct cache *cache,
                                         const struct cache_key *key,
                                         void *value, uint64_t charge_bytes,
                                         cache_destroy_fn destroy,
                                         struct cache_handle **handle_out);

void *cache_value(const struct cache_handle *handle);
void cache_release(struct cache *cache, struct cache_handle *handle);

/*
 * Keep a handle for long. Entries in use cannot make room, so all that are kept
 * together have at most a quarter of the limit. False: there is no room, and the
 * handle is as it was; otherwise it is let go of with cache_unkeep().
 */
bool cache_keep(struct cache *cache, struct cache_handle *handle);
void cache_unkeep(struct cache *cache, struct cache_handle *handle);

/* Forget the entry; those who hold a handle keep it. */
void cache_erase(struct cache *cache, const struct cache_key *key);

struct cache_stats {
	uint64_t limit_bytes, used_bytes, hits, misses;
};
void cache_stats(struct cache *cache, struct cache_stats *stats);

#endif
