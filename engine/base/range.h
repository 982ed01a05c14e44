/* SPDX-License-Identifier: MIT */
/*
 * range.h: tombstones over ranges of keys that begin alike.
 *
 * A range tombstone deletes the keys that begin with a prefix and go on with a
 * rest in [lower, upper). It is an ordinary version: its user key is the prefix,
 * which sorts right before the keys that it is about, its kind is
 * KEY_RANGE_DELETE, its value holds the two bounds. All prefixes of a store have
 * the same length (lsm_options.range_prefix_bytes), so that the tombstones that
 * may cover a key are the versions of one other key, wherever the two lie. Keys
 * no longer than that are never covered. A tombstone covers what has a smaller
 * sequence number.
 *
 * Threads: one at a time for each object.
 */
#ifndef LSM_BASE_RANGE_H
#define LSM_BASE_RANGE_H

#include "base/key.h"

/* Of the rests; borrowed. `upper` empty: no bound. */
struct range {
	struct slice lower, upper;
};

/* Whether the bounds can be those of a tombstone of this prefix. */
bool range_is_possible(struct slice prefix, struct range range);

/* The bytes of a tombstone's value. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err range_encode(struct range range, struct buf *out);
/* False for bytes that are none; the bounds point into `value`. */
bool range_decode(struct slice prefix, struct slice value, struct range *out);

/* Whether `rest`, which is not empty, lies in the range. */
bool range_covers(struct range range, struct slice rest);

/* A user key that no key in the range is greater than. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err range_reach(struct slice prefix, struct range range,
                                        struct buf *out);

/* ---- what covers one key ------------------------------------------------- */

/* Fed, through range_probe_visit(), the versions of the key's prefix, newest
   first: finds the newest that covers the key. */
struct range_probe {
	struct slice prefix, rest; /* of the key; borrowed */
	uint64_t floor; /* versions below it are deleted; 0: none is */
	enum lsm_err err;
};

/* False when the key is too short to be covered. */
bool range_probe_init(struct range_probe *probe, size_t prefix_bytes,
                      struct slice user);
/* A key_visit_fn; false once it is found. */
bool range_probe_visit(void *probe, uint64_t seq, enum key_kind kind,
                       struct slice value);

/* ---- what covers the keys of a walk --------------------------------------- */

/*
 * Where the tombstones of a prefix come from: calls `visit` for each version of
 * the user key `prefix`, in any order.
 */
struct range_source {
	enum lsm_err (*load)(void *ctx, struct slice prefix, key_visit_fn visit,
	                     void *visit_ctx); /* NULL: there are none */
	void *ctx;
	size_t prefix_bytes;
};

struct range_item {
	uint64_t seq;
	size_t begin, len; /* of the value, in `values` */
};

/* The tombstones of one prefix: of the last key that was asked for. */
struct range_set {
	bool loaded;
	struct buf prefix;
	struct buf values;
	struct buf items; /* struct range_item */
	enum lsm_err err;
};

void range_set_init(struct range_set *set);
void range_set_release(struct range_set *set);

/* Have the tombstones of the prefix of `user`. Errors: those of the source,
   CORRUPT, NOMEM. */
LSM_MUST_CHECK enum lsm_err range_set_load(struct range_set *set,
                                           const struct range_source *source,
                                           struct slice user);
/* The newest sequence <= seq that covers `user`, whose prefix was loaded last;
   0 when there is none. */
uint64_t range_set_floor(const struct range_set *set, struct slice user,
                         uint64_t seq);
/* Whether one of sequence in (after, seq] covers all of `range`. */
bool range_set_contains(const struct range_set *set, struct range range,
                        uint64_t after, uint64_t seq);

#endif
