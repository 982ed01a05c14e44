/* SPDX-License-Identifier: MIT */
/*
 * version.h: the immutable list of tables by level that make up one state of a
 * tree; counted, so that a reader keeps the one it began with.
 *
 * L0 holds one table a flush, newest first (by largest sequence); they overlap.
 * L1 and deeper hold tables sorted by key whose user keys do not overlap.
 *
 * A table goes from the pool when the last version that lists it is gone: that
 * is what table_meta's `dropped` tells its owner. A segment goes when the last
 * table is gone that leads to it.
 *
 * Threads: versions and metas are constant once published, but for references
 * and `kept`, which are atomic. `dropped` is called by whoever lets go last, with
 * whatever locks that caller holds: it must only take note.
 */
#ifndef LSM_TREE_VERSION_H
#define LSM_TREE_VERSION_H

#include <stdatomic.h>

#include "sst/table_cache.h"
#include "tree/merge.h"

struct table_owner {
	void (*dropped)(void *ctx, struct file_id id);
	void *ctx;
	/* Told which segments a table leads to, when its meta is made or read:
	   these stay as long as the table does. NULL: not told. */
	void (*leads)(void *ctx, struct file_id table,
	              const struct segment_uses *uses);
};

struct table_meta {
	atomic_uint refs;
	struct file_id id;
	struct table_info info;
	struct table_owner owner;
	struct table_kept kept;
};

/* Takes *info over (leaving it empty), with one reference. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err table_meta_create(struct file_id id,
                                              struct table_info *info,
                                              struct table_owner owner,
                                              struct table_meta **meta_out);
void table_meta_ref(struct table_meta *meta);
/* Tell its owner which segments its table leads to. */
void table_meta_tell(const struct table_meta *meta);
void table_meta_unref(struct table_meta *meta); /* NULL is allowed */

struct level {
	struct table_meta **tables;
	size_t count;
	uint64_t bytes; /* of the files */
	size_t ranged;  /* tables that hold range tombstones */
};

struct version {
	atomic_uint refs;
	struct level levels[LSM_LEVELS];
};

/* An empty one, with one reference. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err version_create(struct version **version_out);
void version_ref(struct version *version);
void version_unref(struct version *version); /* NULL is allowed */

/* Have a version that nobody else sees yet use the metas of `other` for the tables
   that both list at the same level, in the place of its own. */
void version_share(struct version *version, const struct version *other);

/* Visit the versions of `user` with sequence <= seq, newest first, over all
   levels. Errors: those of table_get(). */
LSM_MUST_CHECK enum lsm_err version_get(const struct version *version,
                                        const struct table_source *source,
                                        struct slice user, uint64_t seq,
                                        key_visit_fn visit, void *ctx,
                                        bool *stopped_out);

/* Whether any table holds range tombstones; visit the versions of the user key
   `prefix` with sequence <= seq in those that do. Errors: those of table_get(). */
bool version_has_ranges(const struct version *version);
LSM_MUST_CHECK enum lsm_err version_ranges(const struct version *version,
                                           const struct table_source *source,
                                           struct slice prefix, uint64_t seq,
                                           key_visit_fn visit, void *ctx);

/* A user key that neither a key nor a range tombstone of the table lies beyond;
   borrowed. */
struct slice table_meta_reach(const struct table_meta *meta);

/*
 * Append iterators that together cover the user keys from `lower` to `upper`
 * (exclusive; empty: no bound): one for each L0 table, one for each deeper
 * level, which opens its tables as it goes. They hold a reference to the
 * version. Errors: NOMEM; what was appended stays in the list.
 */
LSM_MUST_CHECK enum lsm_err version_iters(struct version *version,
                                          const struct table_source *source,
                                          struct slice lower,
                                          struct slice upper, bool fill_cache,
                                          struct iter_list *list);

/* One iterator over some tables of one level >= 1, in order; holds a reference
   to each. For compaction. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err level_iter_create(struct table_meta *const *tables,
                                              size_t count,
                                              const struct table_source *source,
                                              bool fill_cache,
                                              struct iter **iter_out);

/* Whether the user keys [smallest, largest] meet a table of `level`. */
bool version_overlaps(const struct version *version, unsigned level,
                      struct slice smallest, struct slice largest);

/* The tables of level >= 1 that meet the user keys [smallest, largest]: indexes
   [*begin_out, *end_out). */
void version_range(const struct version *version, unsigned level,
                   struct slice smallest, struct slice largest,
                   size_t *begin_out, size_t *end_out);

/* What its tables use of which segments, together, into the empty list *uses.
   Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err version_segments(const struct version *version,
                                             struct segment_uses *uses);

/* Whether `level`, which is level number `index`, is ordered as said above, and
   free of overlaps where it must be. */
bool level_is_sound(const struct level *level, unsigned index);

/* Abort, with assertions on, where an invariant above does not hold. */
void version_check(const struct version *version);

#endif
