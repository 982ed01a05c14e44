/* SPDX-License-Identifier: MIT */
/*
 * credit.c: one queue, one way to look at it again.
 *
 * While nobody waits, credit is taken and given back without the lock: a writer
 * does so for each commit, and a lock that two processors want costs more than
 * the rest of it. Every public function that needs more has the same shape:
 * lock, change the figures, call recheck(), and leave through finish(), which
 * unlocks and then calls whoever recheck() chose. Two facts hold whenever the
 * lock is free, and recheck() is what restores them:
 *
 *   the head of the queue does not fit (or it would have been granted), so a
 *   taker that finds a queue joins it, and one that finds none and does not
 *   fit becomes its head;
 *   waiters => kicked, or a flush is queued or running, or nothing is mutable.
 *
 * Who gives takes the bytes off used_bytes, then looks at `queued`; who joins the
 * queue sets `queued`, then looks at used_bytes: sequentially consistent, all
 * four, so that one of the two sees the other.
 *
 * The figures of a failed account leave the pool's mutable bytes and flushes at
 * once: its memtable may never be written, so it neither helps those who wait
 * nor is worth a kick. Its used bytes count until their memory is freed.
 *
 * Each call of recheck() that an event makes ends its line with a comment that
 * names the event; tests/engine/mem/mutate_credit.sh takes them out one by one
 * and wants a test to fail each time.
 */
#include "mem/credit.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"

#define NS_PER_MS UINT64_C(1000000)

struct credit_pool {
	/* Constant after create. */
	uint64_t limit_bytes; /* 0: off */
	credit_kick_fn kick;
	void *kick_ctx;

	char apart[SYNC_APART_BYTES];
	atomic_uint_least64_t used_bytes; /* at most the limit, see fits() */
	atomic_uint_least64_t peak_bytes;
	atomic_uint_least64_t oversize;
	atomic_bool queued; /* head is not NULL; stored under mu */

	struct sync_mutex mu;

	/* All below: guarded by mu. */
	struct credit_waiter *head, *tail; /* first come, first served */
	uint64_t mutable_bytes;            /* of accounts that did not fail */
	uint64_t flushes;                  /* of accounts that did not fail */
	uint64_t waiters;
	uint64_t waits;
	uint64_t stall_ns; /* of those who left the queue */
	uint64_t accounts;
	bool kicked; /* kick() was chosen, credit_kick_done() not called */
};

struct credit_account {
	/* Constant after create. */
	struct credit_pool *pool;
	uint64_t nospace_wait_ns;

	atomic_uint_least64_t used_bytes;
	_Atomic(enum lsm_err) error; /* other than LSM_OK: failed; stored once,
	                                under pool->mu */

	/* All below: guarded by pool->mu. */
	uint64_t mutable_bytes;
	uint64_t flushes;
	uint64_t waiters;
	bool nospace;
};

/* Whom to call once the lock is free. */
struct outcome {
	struct credit_waiter *first, *last;
	bool kick;
};

/* A thread that waits in credit_take(). */
struct thread_waiter {
	struct credit_waiter waiter; /* first: granted() finds the rest by it */
	struct credit_pool *pool;
	struct sync_cond woken;
	bool done; /* guarded by pool->mu */
};

/* Whether the head of the queue, or a taker that finds none, may go ahead. */
static bool fits(const struct credit_pool *pool, uint64_t used, uint64_t bytes)
{
	if (bytes > UINT64_MAX - used)
		return false; /* only without a limit */
	if (pool->limit_bytes == 0 || used == 0)
		return true; /* the second also admits an oversize batch */
	return bytes <= pool->limit_bytes && used <= pool->limit_bytes - bytes;
}

/* Take `bytes` if they fit. */
static bool charge(struct credit_account *account, uint64_t bytes)
{
	struct credit_pool *pool = account->pool;
	uint64_t used = atomic_load(&pool->used_bytes), peak;

	do {
		if (!fits(pool, used, bytes))
			return false;
	} while (!atomic_compare_exchange_weak(&pool->used_bytes, &used,
	                                       used + bytes));
	atomic_fetch_add_explicit(&account->used_bytes, bytes,
	                          memory_order_relaxed);

	used += bytes;
	peak = atomic_load_explicit(&pool->peak_bytes, memory_order_relaxed);
	while (used > peak && !atomic_compare_exchange_weak_explicit(
				  &pool->peak_bytes, &peak, used,
				  memory_order_relaxed, memory_order_relaxed))
		;
	if (pool->limit_bytes != 0 && bytes > pool->limit_bytes)
		atomic_fetch_add_explicit(&pool->oversize, 1,
		                          memory_order_relaxed);
	return true;
}

static enum lsm_err error_of(struct credit_account *account)
{
	return atomic_load_explicit(&account->error, memory_order_relaxed);
}

static void join_queue(struct credit_pool *pool, struct credit_waiter *waiter)
{
	sync_assert_held(&pool->mu);
	waiter->since_ns = sync_now_ns();
	waiter->next = NULL;
	waiter->prev = pool->tail;
	if (pool->tail != NULL)
		pool->tail->next = waiter;
	else
		pool->head = waiter;
	pool->tail = waiter;
	atomic_store(&pool->queued, true);
	pool->waiters++;
	pool->waits++;
	waiter->account->waiters++;
}

/* Take a waiter out of the queue, wherever it stands, to be called. */
static void leave_queue(struct credit_pool *pool, struct credit_waiter *waiter,
                        enum lsm_err result, struct outcome *out)
{
	sync_assert_held(&pool->mu);
	if (waiter->prev != NULL)
		waiter->prev->next = waiter->next;
	else
		pool->head = waiter->next;
	if (waiter->next != NULL)
		waiter->next->prev = waiter->prev;
	else
		pool->tail = waiter->prev;
	atomic_store(&pool->queued, pool->head != NULL);
	pool->waiters--;
	waiter->account->waiters--;
	pool->stall_ns += sync_now_ns() - waiter->since_ns;

	waiter->account = NULL; /* it is no longer in the queue */
	waiter->result = result;
	waiter->next = NULL;
	if (out->last != NULL)
		out->last->next = waiter;
	else
		out->first = waiter;
	out->last = waiter;
}

/*
 * Look at the queue again, after any change: hand credit to the head for as
 * long as it fits, then see whether those who still wait are helped.
 */
static void recheck(struct credit_pool *pool, struct outcome *out)
{
	struct credit_waiter *head;

	sync_assert_held(&pool->mu);
	while ((head = pool->head) != NULL &&
	       charge(head->account, head->bytes))
		leave_queue(pool, head, LSM_OK, out);
	if (head != NULL && !pool->kicked && pool->flushes == 0 &&
	    pool->mutable_bytes > 0) {
		pool->kicked = true;
		out->kick = true;
	}
}

/* Unlock, then call. A callback may free its waiter, and may call us. */
static void finish(struct credit_pool *pool, const struct outcome *out)
{
	struct credit_waiter *waiter = out->first;

	sync_unlock(&pool->mu);
	while (waiter != NULL) {
		struct credit_waiter *next = waiter->next;

		waiter->granted(waiter, waiter->result);
		waiter = next;
	}
	if (out->kick)
		pool->kick(pool->kick_ctx);
}

/* The first call decides. Needs a recheck() afterwards. */
static void fail_account(struct credit_account *account, enum lsm_err err,
                         struct outcome *out)
{
	struct credit_pool *pool = account->pool;
	struct credit_waiter *waiter, *next;

	sync_assert_held(&pool->mu);
	if (error_of(account) != LSM_OK)
		return;
	atomic_store_explicit(&account->error, err, memory_order_relaxed);
	pool->mutable_bytes -= account->mutable_bytes;
	pool->flushes -= account->flushes;
	for (waiter = pool->head; waiter != NULL; waiter = next) {
		next = waiter->next;
		if (waiter->account == account)
			leave_queue(pool, waiter, err, out);
	}
}

enum lsm_err credit_pool_create(int64_t limit_bytes, credit_kick_fn kick,
                                void *ctx, struct credit_pool **pool_out)
{
	struct credit_pool *pool;

	assert(kick != NULL || limit_bytes <= 0);
	*pool_out = NULL;
	pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return LSM_ERR_NOMEM;

	pool->limit_bytes = limit_bytes > 0 ? (uint64_t)limit_bytes : 0;
	pool->kick = kick;
	pool->kick_ctx = ctx;
	sync_mutex_init(&pool->mu, SYNC_RANK_CREDIT);
	*pool_out = pool;
	return LSM_OK;
}

void credit_pool_destroy(struct credit_pool *pool)
{
	if (pool == NULL)
		return;
	assert(pool->accounts == 0);
	sync_mutex_destroy(&pool->mu);
	free(pool);
}

enum lsm_err credit_account_create(struct credit_pool *pool,
                                   uint32_t nospace_wait_ms,
                                   struct credit_account **account_out)
{
	struct credit_account *account;

	*account_out = NULL;
	account = calloc(1, sizeof(*account));
	if (account == NULL)
		return LSM_ERR_NOMEM;

	account->pool = pool;
	account->nospace_wait_ns = nospace_wait_ms * NS_PER_MS;
	sync_lock(&pool->mu);
	pool->accounts++;
	sync_unlock(&pool->mu);
	*account_out = account;
	return LSM_OK;
}

void credit_account_destroy(struct credit_account *account)
{
	struct credit_pool *pool;

	if (account == NULL)
		return;
	pool = account->pool;
	assert(atomic_load(&account->used_bytes) == 0 && account->waiters == 0);
	/* A flush that was queued and never ended must not seem to run on. */
	credit_fail(account, LSM_ERR_CLOSED);
	sync_lock(&pool->mu);
	pool->accounts--;
	sync_unlock(&pool->mu);
	free(account);
}

/* granted() of a thread_waiter. */
static void wake_thread(struct credit_waiter *waiter, enum lsm_err err)
{
	struct thread_waiter *thread = (struct thread_waiter *)waiter;
	struct credit_pool *pool = thread->pool;

	(void)err; /* the thread reads waiter->result */
	sync_lock(&pool->mu);
	thread->done = true;
	sync_signal(&thread->woken); /* unlocked, it may be gone */
	sync_unlock(&pool->mu);
}

/* Whether this waiter, still in the queue, waits for disk space. */
static bool waits_for_space(const struct credit_waiter *waiter)
{
	return waiter->account->nospace && !waiter->shrinking;
}

/* Until when it does so. */
static uint64_t space_deadline_ns(const struct credit_waiter *waiter)
{
	return waiter->since_ns + waiter->account->nospace_wait_ns;
}

enum lsm_err credit_take(struct credit_account *account, int64_t bytes,
                         bool shrinking)
{
	struct thread_waiter thread = {.pool = account->pool};
	struct credit_waiter *waiter = &thread.waiter;
	struct sync_mutex *mu = &thread.pool->mu;
	bool granted;
	enum lsm_err err;

	if (credit_try_take(account, bytes))
		return LSM_OK;
	waiter->granted = wake_thread;
	sync_cond_init(&thread.woken);
	err = credit_take_async(account, bytes, shrinking, waiter, &granted);
	if (err != LSM_OK || granted)
		goto out;

	sync_lock(mu);
	while (!thread.done) {
		if (waiter->account == NULL || !waits_for_space(waiter)) {
			sync_wait(&thread.woken, mu);
		} else if (!sync_wait_until(&thread.woken, mu,
		                            space_deadline_ns(waiter))) {
			sync_unlock(mu);
			credit_expire(thread.pool);
			sync_lock(mu);
		}
	}
	sync_unlock(mu);
	err = waiter->result;
out:
	sync_cond_destroy(&thread.woken);
	return err;
}

enum lsm_err credit_take_async(struct credit_account *account, int64_t bytes,
                               bool shrinking, struct credit_waiter *waiter,
                               bool *granted_out)
{
	struct credit_pool *pool = account->pool;
	struct outcome out = {NULL, NULL, false};
	uint64_t need = (uint64_t)bytes;
	enum lsm_err err = LSM_OK;

	*granted_out = false;
	if (bytes < 0)
		return LSM_ERR_INVALID;
	if (bytes == 0) {
		*granted_out = true;
		return LSM_OK;
	}

	sync_lock(&pool->mu);
	err = error_of(account);
	if (err != LSM_OK) {
		; /* the account's */
	} else if (pool->head == NULL && charge(account, need)) {
		*granted_out = true;
	} else if (pool->limit_bytes == 0) {
		err = LSM_ERR_INVALID; /* with a limit it waits its turn */
	} else {
		waiter->account = account;
		waiter->bytes = need;
		waiter->shrinking = shrinking;
		join_queue(pool, waiter);
		recheck(pool, &out); /* event: enqueue */
	}
	finish(pool, &out);
	return err;
}

bool credit_try_take(struct credit_account *account, int64_t bytes)
{
	return bytes >= 0 && error_of(account) == LSM_OK &&
	       !atomic_load(&account->pool->queued) &&
	       charge(account, (uint64_t)bytes);
}

void credit_give(struct credit_account *account, uint64_t bytes)
{
	struct credit_pool *pool = account->pool;
	struct outcome out = {NULL, NULL, false};
	uint64_t used;

	if (bytes == 0)
		return;
	used = atomic_fetch_sub_explicit(&account->used_bytes, bytes,
	                                 memory_order_release);
	assert(bytes <= used);
	if (bytes <= used) {
		atomic_fetch_sub(&pool->used_bytes, bytes);
		if (!atomic_load(&pool->queued))
			return;
	}
	sync_lock(&pool->mu);
	if (bytes > used) {
		atomic_fetch_add_explicit(&account->used_bytes, bytes,
		                          memory_order_relaxed);
		fail_account(account, LSM_ERR_POISONED, &out);
	}
	recheck(pool, &out); /* event: give */
	finish(pool, &out);
}

void credit_inserted(struct credit_account *account, uint64_t bytes,
                     uint64_t unspent)
{
	struct credit_pool *pool = account->pool;
	struct outcome out = {NULL, NULL, false};

	credit_give(account, unspent);
	if (bytes == 0)
		return;
	sync_lock(&pool->mu);
	account->mutable_bytes += bytes;
	assert(account->mutable_bytes <= atomic_load(&account->used_bytes));
	if (error_of(account) == LSM_OK)
		pool->mutable_bytes += bytes;
	recheck(pool, &out); /* event: inserted */
	finish(pool, &out);
}

/* No longer mutable. Needs pool->mu. */
static void remove_mutable(struct credit_account *account, uint64_t bytes)
{
	sync_assert_held(&account->pool->mu);
	assert(bytes <= account->mutable_bytes);
	account->mutable_bytes -= bytes;
	if (error_of(account) == LSM_OK)
		account->pool->mutable_bytes -= bytes;
}

void credit_flush_queued(struct credit_account *account, uint64_t bytes)
{
	struct credit_pool *pool = account->pool;

	sync_lock(&pool->mu);
	remove_mutable(account, bytes);
	account->flushes++;
	if (error_of(account) == LSM_OK)
		pool->flushes++;
	sync_unlock(&pool->mu);
}

void credit_dropped(struct credit_account *account, uint64_t bytes)
{
	sync_lock(&account->pool->mu);
	remove_mutable(account, bytes);
	sync_unlock(&account->pool->mu);
}

void credit_flush_done(struct credit_account *account)
{
	struct credit_pool *pool = account->pool;
	struct outcome out = {NULL, NULL, false};

	sync_lock(&pool->mu);
	assert(account->flushes > 0);
	account->flushes--;
	account->nospace = false;
	if (error_of(account) == LSM_OK)
		pool->flushes--;
	recheck(pool, &out); /* event: flush done */
	finish(pool, &out);
}

void credit_kick_done(struct credit_pool *pool)
{
	struct outcome out = {NULL, NULL, false};

	sync_lock(&pool->mu);
	pool->kicked = false;
	recheck(pool, &out); /* event: kick done */
	finish(pool, &out);
}

void credit_set_nospace(struct credit_account *account, bool nospace)
{
	struct credit_pool *pool = account->pool;
	struct credit_waiter *waiter;

	sync_lock(&pool->mu);
	account->nospace = nospace;
	/* Threads that wait without a time limit now have one, or had one. */
	for (waiter = pool->head; waiter != NULL; waiter = waiter->next) {
		if (waiter->account == account &&
		    waiter->granted == wake_thread)
			sync_signal(&((struct thread_waiter *)waiter)->woken);
	}
	sync_unlock(&pool->mu);
}

void credit_fail(struct credit_account *account, enum lsm_err err)
{
	struct credit_pool *pool = account->pool;
	struct outcome out = {NULL, NULL, false};

	assert(err != LSM_OK);
	sync_lock(&pool->mu);
	fail_account(account, err, &out);
	recheck(pool, &out); /* event: account failed */
	finish(pool, &out);
}

void credit_expire(struct credit_pool *pool)
{
	struct outcome out = {NULL, NULL, false};
	struct credit_waiter *waiter, *next;
	uint64_t now = sync_now_ns();

	sync_lock(&pool->mu);
	for (waiter = pool->head; waiter != NULL; waiter = next) {
		next = waiter->next;
		if (waits_for_space(waiter) && now >= space_deadline_ns(waiter))
			leave_queue(pool, waiter, LSM_ERR_NOSPACE, &out);
	}
	recheck(pool, &out); /* event: waiter gave up */
	finish(pool, &out);
}

bool credit_has_nospace(struct credit_pool *pool)
{
	struct credit_waiter *waiter;

	sync_lock(&pool->mu);
	waiter = pool->head;
	while (waiter != NULL && !waiter->account->nospace)
		waiter = waiter->next;
	sync_unlock(&pool->mu);
	return waiter != NULL;
}

void credit_pool_stats(struct credit_pool *pool, struct credit_stats *stats)
{
	struct credit_waiter *waiter;
	uint64_t now;

	sync_lock(&pool->mu);
	now = sync_now_ns();
	stats->limit_bytes = (int64_t)pool->limit_bytes;
	stats->used_bytes = atomic_load(&pool->used_bytes);
	stats->peak_bytes = atomic_load(&pool->peak_bytes);
	stats->mutable_bytes = pool->mutable_bytes;
	stats->flushes = pool->flushes;
	stats->waiters = pool->waiters;
	stats->waits = pool->waits;
	stats->stall_ns = pool->stall_ns;
	for (waiter = pool->head; waiter != NULL; waiter = waiter->next)
		stats->stall_ns += now - waiter->since_ns;
	stats->oversize = atomic_load(&pool->oversize);
	stats->kicked = pool->kicked;
	sync_unlock(&pool->mu);
}

bool credit_account_idle(struct credit_account *account)
{
	return atomic_load_explicit(&account->used_bytes,
	                            memory_order_acquire) == 0;
}

uint64_t credit_account_mutable(struct credit_account *account)
{
	uint64_t bytes;

	sync_lock(&account->pool->mu);
	bytes = account->mutable_bytes;
	sync_unlock(&account->pool->mu);
	return bytes;
}
