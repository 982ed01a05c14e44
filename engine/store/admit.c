/* SPDX-License-Identifier: MIT */
/*
 * admit.c: what a writer needs before it takes a lock: room on the disk, and
 * byte credit.
 */
#include "store/batch.h"
#include "store/store.h"

#define SPACE_ASK_NS UINT64_C(100000000)

/* ---- room on the disk ------------------------------------------------------ */

/*
 * What may grow before free space is asked for again: the free bytes, without
 * the reserve and without what all unflushed bytes will take as tables. An
 * admission takes twice its bytes off, for log and table; what is placed is given
 * back one of them. So a full disk is met
 * here, and there is always room to flush what was admitted, and to delete.
 */
static void ask_for_space(struct lsm *store, uint64_t now)
{
	uint64_t total, left;

	atomic_store_explicit(&store->space_asked_ns, now,
	                      memory_order_relaxed);
	if (lsm_disk_space(store, &total, &left) != LSM_OK) {
		/* Unknown is not full: let the write itself meet the disk. */
		atomic_store_explicit(&store->space_left, INT64_MAX / 2,
		                      memory_order_relaxed);
		return;
	}
	atomic_store_explicit(&store->space_left,
	                      left < INT64_MAX ? (int64_t)left : INT64_MAX,
	                      memory_order_relaxed);
}

void lsm_set_held(struct lsm *store, uint64_t bytes)
{
	atomic_store(&store->held_bytes, bytes);
}

void lsm_on_nospace(bool (*give_up)(void *ctx), void *ctx)
{
	env_on_nospace(give_up, ctx);
}

enum lsm_err lsm_disk_space(struct lsm *store, uint64_t *total_bytes_out,
                            uint64_t *free_bytes_out)
{
	uint64_t held = atomic_load(&store->held_bytes);
	struct credit_stats credit;
	uint64_t left, kept;
	enum lsm_err err =
	    env_dir_space(store->home->dir, total_bytes_out, &left);

	*free_bytes_out = 0;
	if (err != LSM_OK)
		return err;
	credit_pool_stats(store->runtime->credit, &credit);
	kept = store_reserve_bytes(store, *total_bytes_out);
	kept = kept > held ? kept - held : 0;
	kept += credit.used_bytes +
	        2 * WAL_STEP_MAX_BYTES; /* the active log and the next */
	if (left > kept)
		*free_bytes_out = left - kept;
	return LSM_OK;
}

/* What an admission takes off. */
static int64_t space_of(uint64_t bytes)
{
	return bytes < INT64_MAX / 2 ? (int64_t)bytes * 2 : INT64_MAX;
}

/* All of it, or nothing: what one cannot have is there for a smaller one. */
static bool take_off(struct lsm *store, int64_t need)
{
	int64_t left =
	    atomic_load_explicit(&store->space_left, memory_order_relaxed);

	while (left >= need)
		if (atomic_compare_exchange_weak_explicit(
			&store->space_left, &left, left - need,
			memory_order_relaxed, memory_order_relaxed))
			return true;
	return false;
}

static bool take_space(struct lsm *store, uint64_t bytes)
{
	uint64_t now = sync_now_ns(), asked;

	asked =
	    atomic_load_explicit(&store->space_asked_ns, memory_order_relaxed);
	if (now < asked + SPACE_ASK_NS && take_off(store, space_of(bytes)))
		return true;
	ask_for_space(store, now);
	return take_off(store, space_of(bytes));
}

/*
 * Wait until flushes and compactions made room, up to nospace_wait_ms. There is
 * nothing to wait for once all was reclaimed, and nothing was deleted since.
 */
static enum lsm_err wait_until_reclaimed(struct lsm *store, uint64_t bytes)
{
	uint64_t end =
	    sync_now_ns() + (uint64_t)store->options.nospace_wait_ms * 1000000;
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && !take_space(store, bytes)) {
		uint64_t now = sync_now_ns();

		if (now >= end || lsm_reclaimed(store) >= lsm_sequence(store))
			return LSM_ERR_NOSPACE;
		(void)lsm_reclaim(store);
		sync_lock(&store->tree_mu);
		(void)sync_wait_until(&store->changed, &store->tree_mu,
		                      now + SPACE_ASK_NS);
		sync_unlock(&store->tree_mu);
		err = store_writable(store);
	}
	return err;
}

static enum lsm_err wait_for_space(struct lsm *store, uint64_t bytes)
{
	uint64_t start = sync_now_ns();
	enum lsm_err err = wait_until_reclaimed(store, bytes);

	store_stalled(store, LSM_STALL_DISK, start);
	return err;
}

static enum lsm_err may_grow(struct lsm *store, uint64_t bytes, bool shrinking)
{
	enum lsm_err err = store_writable(store);

	if (err == LSM_OK && !shrinking && !take_space(store, bytes))
		err = LSM_ERR_NOSPACE;
	return err;
}

/* ---- credit ----------------------------------------------------------------- */

/* About what a batch is that asks for so much credit: without the block that its
   arena may have to add, and without the third that blocks may waste. */
static uint64_t likely_bytes(const struct lsm *store, uint64_t credit)
{
	if (credit <= store->max_block_bytes)
		return credit;
	return (credit - store->max_block_bytes) / 4 * 3;
}

uint64_t lsm_admission_bound(const struct lsm *store, size_t entries,
                             size_t bytes)
{
	return memtable_bound(store->max_block_bytes, entries, bytes);
}

/* What an admission takes of the rate before it is granted. */
static uint64_t early_share(const struct lsm *store, uint64_t credit)
{
	uint64_t bytes = likely_bytes(store, credit);

	return bytes < SLOW_LATE_BYTES ? bytes : 0;
}

void store_charge(struct lsm *store, uint64_t credit,
                  const struct lsm_batch *batch)
{
	if (early_share(store, credit) == 0)
		(void)slow_take(
		    store, likely_bytes(
			       store, lsm_admission_bound(store, batch->entries,
		                                          batch->bytes)));
}

void store_give_space(struct lsm *store, uint64_t bytes)
{
	atomic_fetch_add_explicit(&store->space_left, (int64_t)bytes,
	                          memory_order_relaxed);
}

void lsm_admission_release(struct lsm_admission *admission)
{
	if (admission->store != NULL && admission->bytes > 0)
		credit_give(admission->store->credit, admission->bytes);
	admission->store = NULL;
	admission->bytes = 0;
}

enum lsm_err lsm_admit(struct lsm *store, uint64_t bytes, bool shrinking,
                       struct lsm_admission *admission_out)
{
	enum lsm_err err;

	admission_out->store = NULL;
	admission_out->bytes = 0;
	if (bytes > INT64_MAX)
		return LSM_ERR_INVALID;
	err = may_grow(store, bytes, shrinking);
	if (err == LSM_ERR_NOSPACE)
		err = wait_for_space(store, bytes);
	if (err == LSM_OK && !shrinking)
		slow_wait(store, early_share(store, bytes));
	if (err != LSM_OK)
		return err;
	err = credit_take(store->credit, (int64_t)bytes, shrinking);
	if (err == LSM_OK) {
		admission_out->store = store;
		admission_out->bytes = bytes;
	} else if (!shrinking && err == LSM_ERR_NOSPACE) {
		/* Whatever else it was, the store takes no more, and may just
		   be closed by who had it fail. */
		store_give_space(store, (uint64_t)space_of(bytes));
	}
	return err;
}

bool lsm_try_admit(struct lsm *store, uint64_t bytes, bool shrinking,
                   struct lsm_admission *admission_out)
{
	admission_out->store = NULL;
	admission_out->bytes = 0;
	if (bytes > INT64_MAX || may_grow(store, bytes, shrinking) != LSM_OK)
		return false;
	if ((!shrinking && slow_would_wait(store)) ||
	    !credit_try_take(store->credit, (int64_t)bytes)) {
		/* Who tries again takes it again. */
		if (!shrinking)
			store_give_space(store, (uint64_t)space_of(bytes));
		return false;
	}
	if (!shrinking)
		/* Nothing to wait for, or next to it. */
		(void)slow_take(store, early_share(store, bytes));
	admission_out->store = store;
	admission_out->bytes = bytes;
	return true;
}

/* What the engine keeps in a request: first while it is set aside, then while it
   waits for credit. */
struct waiting {
	union {
		struct slow_waiter slow;
		struct credit_waiter credit;
	} as;
	bool shrinking;
};

_Static_assert(sizeof(struct waiting) <=
                   sizeof(((struct lsm_admit_request *)0)->private_area),
               "a request has room for it");
_Static_assert(_Alignof(struct waiting) <= _Alignof(uint64_t),
               "and it is aligned");

static struct waiting *waiting_of(struct lsm_admit_request *request)
{
	return (struct waiting *)(void *)request->private_area;
}

/* Of either kind of waiter, which stand at the beginning. */
static struct lsm_admit_request *request_of(void *waiter)
{
	return (
	    struct lsm_admit_request *)(void *)((char *)waiter -
	                                        offsetof(
						    struct lsm_admit_request,
						    private_area));
}

static void async_granted(struct credit_waiter *waiter, enum lsm_err err)
{
	struct lsm_admit_request *request = request_of(waiter);

	if (err != LSM_OK)
		request->admission = (struct lsm_admission){NULL, 0};
	request->granted(request, err);
}

/* Take the credit of a request whose admission says how much. */
static enum lsm_err take_async(struct lsm_admit_request *request,
                               bool *granted_out)
{
	struct lsm *store = request->admission.store;
	int64_t bytes = (int64_t)request->admission.bytes;
	bool shrinking = waiting_of(request)->shrinking;
	struct credit_waiter *waiter = &waiting_of(request)->as.credit;
	enum lsm_err err;

	memset(waiter, 0, sizeof(*waiter));
	waiter->granted = async_granted;
	err = credit_take_async(store->credit, bytes, shrinking, waiter,
	                        granted_out);
	if (err != LSM_OK)
		request->admission = (struct lsm_admission){NULL, 0};
	return err;
}

void store_slow_due(struct slow_waiter *waiter)
{
	struct lsm_admit_request *request = request_of(waiter);
	bool granted;
	enum lsm_err err = take_async(request, &granted);

	if (err != LSM_OK || granted)
		request->granted(request, err);
}

enum lsm_err lsm_admit_async(struct lsm *store, uint64_t bytes, bool shrinking,
                             struct lsm_admit_request *request,
                             bool *granted_out)
{
	uint64_t wait_ns;
	enum lsm_err err;

	*granted_out = false;
	if (bytes > INT64_MAX)
		return LSM_ERR_INVALID;
	err = may_grow(store, bytes, shrinking);
	if (err != LSM_OK)
		return err;

	/* Set first: it may be granted before the call below returns. */
	request->admission = (struct lsm_admission){store, bytes};
	waiting_of(request)->shrinking = shrinking;
	wait_ns = shrinking ? 0 : slow_take(store, early_share(store, bytes));
	if (wait_ns == 0)
		return take_async(request, granted_out);
	slow_defer(store, &waiting_of(request)->as.slow, wait_ns);
	return LSM_OK;
}
