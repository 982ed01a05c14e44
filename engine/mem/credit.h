/* SPDX-License-Identifier: MIT */
/*
 * credit.h: the byte-credit pool: what bounds the memory of unflushed writes.
 *
 * A writer takes credit for the most its batch can need before it takes any
 * lock. Once the batch is in the memtable, what it did not need goes back; the
 * rest goes back when the memtable's memory is freed. (STUDY section B.3.)
 *
 * Rules:
 *   used <= limit, or one batch larger than the limit holds the pool alone;
 *   first come, first served: whoever gives credit back hands it to the head
 *     of the queue, and nobody who comes later overtakes, even if its bytes
 *     would fit;
 *   whoever waits is helped: waiters exist => a flush is kicked, queued or
 *     running, or no mutable byte exists. Looked at again on each of the four
 *     events that can break it: a waiter arrives, bytes are inserted, credit
 *     comes back, a flush ends;
 *   a flush that fails stays "running": it keeps its credit and tries again;
 *   every byte taken is given back exactly once; giving back more than is used
 *     is a bug: it aborts with assertions on, and poisons the account without;
 *   arithmetic is overflow-checked; a negative amount is INVALID.
 *
 * One pool serves a runtime; each store has an account in it. Closing or
 * poisoning an account wakes its waiters alone.
 *
 * States of an account:
 *   OPEN      takes credit
 *   NOSPACE   as OPEN, but a waiter that is not shrinking gives up with NOSPACE
 *             once it has waited nospace_wait_ms; back to OPEN when a flush
 *             succeeds
 *   FAILED    every taker, present and future, gets the account's error
 *             (POISONED, CLOSED). Final. Its mutable bytes and its flushes no
 *             longer count as help for those who wait in other accounts.
 *
 * Threads: every function from any thread, but _destroy. Locks: the pool's
 * mutex, under which nothing is called, and not even that where credit is taken
 * or given back while nobody waits; `kick` and `granted` are called with no
 * lock held.
 */
#ifndef LSM_MEM_CREDIT_H
#define LSM_MEM_CREDIT_H

#include "lsm.h"

struct credit_pool;
struct credit_account;

/*
 * Asked to seal a memtable so that credit comes back. Called with no lock held,
 * from a taker's or a giver's thread: hand it to a worker and return. It is not
 * called again until credit_kick_done().
 */
typedef void (*credit_kick_fn)(void *ctx);

/* limit_bytes <= 0 switches the pool off: takers never wait, bytes are still
   counted. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err credit_pool_create(int64_t limit_bytes,
                                               credit_kick_fn kick, void *ctx,
                                               struct credit_pool **pool_out);
/* No account is left. NULL is allowed. */
void credit_pool_destroy(struct credit_pool *pool);

LSM_MUST_CHECK enum lsm_err
credit_account_create(struct credit_pool *pool, uint32_t nospace_wait_ms,
                      struct credit_account **account_out);
/* Nothing is used and nobody waits. NULL is allowed. */
void credit_account_destroy(struct credit_account *account);

/* A taker that waits. Its fields are the pool's until it was granted. */
struct credit_waiter {
	/* Called once, with no lock held: LSM_OK when the bytes are the
	   waiter's, otherwise why not. May take and give credit. */
	void (*granted)(struct credit_waiter *waiter, enum lsm_err err);
	struct credit_account *account;
	struct credit_waiter *next, *prev;
	uint64_t bytes;
	uint64_t since_ns;
	enum lsm_err result;
	bool shrinking;
};

/*
 * Take `bytes`, waiting for them. 0 takes nothing. Call with no lock held.
 * Errors: INVALID (negative, or more than can be counted), the account's error,
 * NOSPACE.
 */
LSM_MUST_CHECK enum lsm_err credit_take(struct credit_account *account,
                                        int64_t bytes, bool shrinking);

/*
 * As credit_take() without waiting: *granted_out says whether the bytes were
 * taken at once; if not, waiter->granted will be called. Errors: as above, and
 * then it will not be called.
 */
LSM_MUST_CHECK enum lsm_err credit_take_async(struct credit_account *account,
                                              int64_t bytes, bool shrinking,
                                              struct credit_waiter *waiter,
                                              bool *granted_out);

/* Take `bytes` if that needs no waiting; false otherwise, also when the account
   has failed. */
bool credit_try_take(struct credit_account *account, int64_t bytes);

/* Give back bytes that were taken: unspent, or of a freed memtable. */
void credit_give(struct credit_account *account, uint64_t bytes);

/* Tell that `bytes` of what was taken now lie in a mutable memtable, and give
   back `unspent` that do not. */
void credit_inserted(struct credit_account *account, uint64_t bytes,
                     uint64_t unspent);

/* Tell that a memtable with so many mutable bytes was sealed and queued. */
void credit_flush_queued(struct credit_account *account, uint64_t bytes);

/* Tell that a memtable with so many mutable bytes is thrown away unsealed. */
void credit_dropped(struct credit_account *account, uint64_t bytes);

/* Tell that a flush succeeded. Its credit follows when the memory is freed. */
void credit_flush_done(struct credit_account *account);

/*
 * Tell that what kick() asked for was done, or that nothing could be sealed.
 * kick() is called again from here while waiters are not helped: whoever failed
 * to seal what is mutable waits a little before telling.
 */
void credit_kick_done(struct credit_pool *pool);

/* Whether the disk is full, as the last flush found it. */
void credit_set_nospace(struct credit_account *account, bool nospace);

/* Fail every taker from now on with `err`; the first call decides. */
void credit_fail(struct credit_account *account, enum lsm_err err);

/*
 * Wake those whose wait for space is over. Call now and then (each 100 ms)
 * while credit_has_nospace(). credit_take() does this for itself.
 */
void credit_expire(struct credit_pool *pool);

/* Whether an account of the pool is in state NOSPACE with someone waiting. */
bool credit_has_nospace(struct credit_pool *pool);

struct credit_stats {
	int64_t limit_bytes;    /* 0: off */
	uint64_t used_bytes;    /* taken and not given back */
	uint64_t peak_bytes;    /* the most that ever was */
	uint64_t mutable_bytes; /* of accounts that did not fail */
	uint64_t flushes;       /* queued or running; of these accounts */
	uint64_t waiters;       /* now */
	uint64_t waits;         /* takers that ever had to wait */
	uint64_t stall_ns;      /* their waiting together */
	uint64_t
	    oversize; /* batches larger than the limit that were admitted */
	bool kicked;
};
void credit_pool_stats(struct credit_pool *pool, struct credit_stats *stats);

/* Whether nothing is used of the account. */
bool credit_account_idle(struct credit_account *account);

/* Mutable bytes of one account, failed or not: whether it has something to
   seal. */
uint64_t credit_account_mutable(struct credit_account *account);

#endif
