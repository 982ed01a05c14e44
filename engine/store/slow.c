/* SPDX-License-Identifier: MIT */
#include "store/slow.h"

#include <assert.h>

#include "store/store.h"

#define NS_PER_MS UINT64_C(1000000)

enum {
	DEPTH_SLOW_TRIGGERS = 3, /* times the trigger of L0 */
	DEPTH_STOP_TRIGGERS = 6,
	DEBT_SLOW_BASES = 4, /* times the size of the base level */
	DEBT_STOP_BASES = 16,
};

static uint32_t times(uint32_t value, uint32_t factor)
{
	return value > UINT32_MAX / factor ? UINT32_MAX : value * factor;
}

void slow_init(struct lsm *store)
{
	const struct lsm_options *options = &store->options;
	struct slow *slow = &store->slow;
	uint64_t base = options->level_base_bytes;

	slow->off = options->l0_slow == UINT32_MAX;
	slow->lines.depth_slow =
	    options->l0_slow > 0
		? options->l0_slow
		: times(options->l0_trigger, DEPTH_SLOW_TRIGGERS);
	slow->lines.depth_stop =
	    options->l0_stop > 0 && options->l0_stop < UINT32_MAX
		? options->l0_stop
		: times(options->l0_trigger, DEPTH_STOP_TRIGGERS);
	if (slow->lines.depth_slow >= slow->lines.depth_stop)
		slow->lines.depth_slow = slow->lines.depth_stop - 1;
	if (base > UINT64_MAX / DEBT_STOP_BASES)
		base = UINT64_MAX / DEBT_STOP_BASES;
	slow->lines.debt_slow = base * DEBT_SLOW_BASES;
	slow->lines.debt_stop = base * DEBT_STOP_BASES;
	slow->holds = !slow->off && options->l0_stop != UINT32_MAX &&
	              store->runtime->options.credit_bytes > 0;
	sync_mutex_init(&slow->mu, SYNC_RANK_LEAF);
	worker_job_init(&slow->job, WORKER_PROMPT, slow_run);
}

void slow_release(struct lsm *store)
{
	assert(store->slow.head == NULL);
	sync_mutex_destroy(&store->slow.mu);
}

void slow_update(struct lsm *store, struct version *version)
{
	struct slow *slow = &store->slow;
	struct pick_options options;
	struct debt debt;

	store_pick_options(store, PICK_TRIGGER, &options);
	debt = debt_of(version, &options);
	atomic_store_explicit(&slow->depth, debt.depth, memory_order_relaxed);
	sync_lock(&slow->mu);
	pace_changed(&slow->flow, debt.depth, pick_l0_is_due(version, &options),
	             sync_now_ns());
	debt.depth = pace_depth(&slow->flow);
	sync_unlock(&slow->mu);
	if (!slow->off)
		atomic_store_explicit(&slow->pressure,
		                      pace_pressure(&debt, &slow->lines),
		                      memory_order_relaxed);
}

void slow_flushed(struct lsm *store, uint64_t bytes)
{
	struct slow *slow = &store->slow;
	struct pick_options options;

	store_pick_options(store, PICK_TRIGGER, &options);
	if (bytes < options.small_bytes)
		return; /* it does not count */
	sync_lock(&slow->mu);
	pace_flushed(&slow->flow, bytes);
	sync_unlock(&slow->mu);
}

static unsigned pressure_of(const struct slow *slow)
{
	return atomic_load_explicit(&slow->pressure, memory_order_relaxed);
}

bool slow_would_wait(struct lsm *store)
{
	struct slow *slow = &store->slow;
	bool would;

	if (pressure_of(slow) == 0)
		return false;
	sync_lock(&slow->mu);
	would = pace_must_wait(slow->clock_ns, sync_now_ns());
	sync_unlock(&slow->mu);
	return would;
}

uint64_t slow_take(struct lsm *store, uint64_t bytes)
{
	struct slow *slow = &store->slow;
	unsigned pressure = pressure_of(slow);
	uint64_t wait;

	if (pressure == 0)
		return 0;
	sync_lock(&slow->mu);
	wait = pace_wait(&slow->clock_ns, sync_now_ns(), bytes,
	                 pace_rate(slow->flow.drain_rate, pressure));
	sync_unlock(&slow->mu);
	return wait;
}

void slow_wait(struct lsm *store, uint64_t bytes)
{
	uint64_t wait = slow_take(store, bytes), start;

	if (wait == 0)
		return;
	start = sync_now_ns();
	sync_sleep_ns(wait);
	store_stalled(store, LSM_STALL_COMPACTION, start);
}

/* ---- those set aside ------------------------------------------------------ */

static uint32_t ms_until(uint64_t due_ns, uint64_t now_ns)
{
	if (due_ns <= now_ns)
		return 0;
	return (uint32_t)((due_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

void slow_defer(struct lsm *store, struct slow_waiter *waiter, uint64_t wait_ns)
{
	struct slow *slow = &store->slow;

	waiter->next = NULL;
	waiter->since_ns = sync_now_ns();
	waiter->due_ns = waiter->since_ns + wait_ns;
	sync_lock(&slow->mu);
	if (slow->tail != NULL)
		slow->tail->next = waiter;
	else
		slow->head = waiter;
	slow->tail = waiter;
	sync_unlock(&slow->mu);
	worker_submit(store->runtime->workers, &slow->job,
	              ms_until(wait_ns, 0));
}

/* Who came first, if it is due; or all, one by one. */
static struct slow_waiter *pop_due(struct slow *slow, bool all,
                                   uint64_t *next_due_out)
{
	struct slow_waiter *waiter;

	*next_due_out = 0;
	sync_lock(&slow->mu);
	waiter = slow->head;
	if (waiter != NULL && !all && waiter->due_ns > sync_now_ns()) {
		*next_due_out = waiter->due_ns;
		waiter = NULL;
	}
	if (waiter != NULL) {
		slow->head = waiter->next;
		if (slow->head == NULL)
			slow->tail = NULL;
	}
	sync_unlock(&slow->mu);
	return waiter;
}

static uint64_t call_due(struct lsm *store, bool all)
{
	struct slow_waiter *waiter;
	uint64_t next_due;

	while ((waiter = pop_due(&store->slow, all, &next_due)) != NULL) {
		store_stalled(store, LSM_STALL_COMPACTION, waiter->since_ns);
		store_slow_due(waiter);
	}
	return next_due;
}

void slow_run(struct worker_job *job)
{
	struct slow *slow =
	    (struct slow *)(void *)((char *)job - offsetof(struct slow, job));
	struct lsm *store =
	    (struct lsm *)(void *)((char *)slow - offsetof(struct lsm, slow));
	uint64_t next_due = call_due(store, store_writable(store) != LSM_OK);

	if (next_due > 0)
		worker_submit(store->runtime->workers, job,
		              ms_until(next_due, sync_now_ns()));
}

void slow_wake_all(struct lsm *store)
{
	(void)call_due(store, true);
}

/* ---- the stop line of L0 -------------------------------------------------- */

bool slow_holds_flush(struct lsm *store)
{
	struct slow *slow = &store->slow;
	uint64_t since = atomic_load(&slow->held_since_ns);
	bool holds =
	    slow->holds &&
	    atomic_load_explicit(&slow->depth, memory_order_relaxed) >=
		slow->lines.depth_stop &&
	    !atomic_load_explicit(&slow->failing, memory_order_relaxed) &&
	    store_writable(store) == LSM_OK;

	if (holds && since == 0) {
		atomic_store(&slow->held_since_ns, sync_now_ns());
	} else if (!holds && since != 0) {
		store_stalled(store, LSM_STALL_L0, since);
		atomic_store(&slow->held_since_ns, 0);
	}
	return holds;
}
