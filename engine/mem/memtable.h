/* SPDX-License-Identifier: MIT */
/*
 * memtable.h: the versions that are not in a table yet: a skiplist over an
 * arena, counted, freed at once when the last reader lets go.
 *
 * It owns the credit of every byte that its arena holds from malloc, and gives
 * it back when that memory is freed, not before.
 *
 * Threads: one writer at a time (prepare, apply, seal); readers without a lock,
 * each with a reference.
 */
#ifndef LSM_MEM_MEMTABLE_H
#define LSM_MEM_MEMTABLE_H

#include "base/iter.h"
#include "base/key.h"
#include "mem/credit.h"

struct memtable;
struct skiplist_node;

/* Prepared entries of one batch; zeroed to begin with. */
struct memtable_chain {
	struct skiplist_node *first, *last;
};

/*
 * Make an empty memtable, with one reference, whose arena blocks grow to
 * max_block_bytes. Takes no credit. `account` NULL: bytes are not charged.
 * Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err memtable_create(struct credit_account *account,
                                            size_t max_block_bytes,
                                            struct memtable **mem_out);
void memtable_ref(struct memtable *mem);
void memtable_unref(struct memtable *mem); /* NULL is allowed */

/* The most an arena with such blocks can grow by `entries` entries that have
   together `bytes` bytes of user keys and values. */
uint64_t memtable_bound(size_t max_block_bytes, size_t entries, size_t bytes);

/*
 * Copy one version and append it to *chain; it is not visible yet. Errors:
 * NOMEM; what was prepared before stays, as garbage, until the table is freed.
 */
LSM_MUST_CHECK enum lsm_err memtable_prepare(struct memtable *mem,
                                             struct slice user, uint64_t seq,
                                             enum key_kind kind,
                                             struct slice value,
                                             struct memtable_chain *chain);

/*
 * Settle the credit of the prepared batch: of `taken` bytes the memtable keeps
 * what its arena grew by since the last call, and the rest is given back. Call
 * it after preparing, also when that failed.
 */
void memtable_settle(struct memtable *mem, uint64_t taken);

/* Make the chain visible. Cannot fail. */
void memtable_apply(struct memtable *mem, struct memtable_chain *chain);

/* No more writes: its mutable bytes are now queued for flush (credit.h). */
void memtable_seal(struct memtable *mem);

/* Bytes that the arena holds from malloc. */
uint64_t memtable_bytes(const struct memtable *mem);

/* Whether nothing was applied yet. */
bool memtable_is_empty(const struct memtable *mem);

/* Whether it may hold range tombstones; true before the first one is visible. */
bool memtable_has_ranges(const struct memtable *mem);

/* Visit the versions of `user` with sequence <= seq, newest first; returns
   false when the visitor stopped the walk. */
bool memtable_get(const struct memtable *mem, struct slice user, uint64_t seq,
                  key_visit_fn visit, void *ctx);

/* Merge operands on top of `user`, newer than any base. */
size_t memtable_pending_merges(const struct memtable *mem, struct slice user);

/* An iterator that holds a reference. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err memtable_iter(struct memtable *mem,
                                          struct iter **iter_out);

#endif
