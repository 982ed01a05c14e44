/* SPDX-License-Identifier: MIT */
#include "store/commit_queue.h"

#include <assert.h>
#include <limits.h>

#include "store/batch.h"

enum {
	SPINS = 200, /* some microseconds */
	YIELDS = 10, /* then */
	/* Linking more than that takes longer than waking somebody. */
	WAKE_AT_ONCE_BYTES = 4096,
};

void commit_queue_init(struct commit_queue *queue,
                       atomic_uint_least64_t *visible)
{
	*queue = (struct commit_queue){.visible = visible};
	sync_mutex_init(&queue->mu, SYNC_RANK_COMMIT);
	sync_cond_init(&queue->drained);
}

void commit_queue_release(struct commit_queue *queue)
{
	assert(atomic_load(&queue->newest) == NULL);
	assert(queue->published == queue->logged);
	sync_cond_destroy(&queue->drained);
	sync_mutex_destroy(&queue->mu);
}

static enum commit_state state_of(struct commit *place)
{
	return (enum commit_state)atomic_load_explicit(&place->state,
	                                               memory_order_acquire);
}

/* The bit that a place sleeps with. Two may have the same. */
static uint32_t bit_of(const struct commit *place)
{
	/* By the top bits of a multiplication (Knuth, TAOCP 3, 6.4). */
	return UINT32_C(1) << ((uint64_t)(uintptr_t)place *
	                           UINT64_C(0x9e3779b97f4a7c15) >>
	                       59);
}

/* Returns who is to be woken. The place may be gone once its thread sees the
   state. */
static uint32_t set_state(struct commit *place, enum commit_state state)
{
	uint32_t bit = bit_of(place);

	if (atomic_exchange_explicit(&place->state, state,
	                             memory_order_acq_rel) != COMMIT_ASLEEP)
		return 0;
	return bit;
}

static void wake(struct commit_queue *queue, uint32_t who)
{
	if (who == 0)
		return;
	atomic_fetch_add_explicit(&queue->woken, 1, memory_order_release);
	sync_word_wake(&queue->woken, INT_MAX, who);
}

static void wait_while(struct commit_queue *queue, struct commit *place,
                       enum commit_state state)
{
	/* With one processor whoever is waited for cannot run meanwhile. */
	unsigned spins = sync_processors() > 1 ? SPINS : 0;
	unsigned was = state, seen;

	for (unsigned i = 0; i < spins; i++) {
		if (state_of(place) != state)
			return;
		sync_relax();
	}
	/* To a writer that was stopped in its turn, or to a compaction: this
	   one stays awake, and nobody has to wake it. */
	for (unsigned i = 0; i < YIELDS; i++) {
		if (state_of(place) != state)
			return;
		sync_yield();
	}
	if (!atomic_compare_exchange_strong_explicit(
		&place->state, &was, COMMIT_ASLEEP, memory_order_acq_rel,
		memory_order_acquire))
		return;
	for (;;) {
		/* First: who changes the state changes this after it. */
		seen =
		    atomic_load_explicit(&queue->woken, memory_order_acquire);
		if (state_of(place) != COMMIT_ASLEEP)
			return;
		sync_word_wait(&queue->woken, seen, 0, bit_of(place));
	}
}

bool commit_enter(struct commit_queue *queue, struct commit *place)
{
	place->err = LSM_OK;
	place->newer = NULL;
	place->older =
	    atomic_load_explicit(&queue->newest, memory_order_relaxed);
	atomic_init(&place->state, COMMIT_WAITING);
	while (!atomic_compare_exchange_weak_explicit(
	    &queue->newest, &place->older, place, memory_order_acq_rel,
	    memory_order_relaxed))
		;
	if (place->older == NULL) {
		atomic_store_explicit(&place->state, COMMIT_LEADS,
		                      memory_order_relaxed);
		return true;
	}
	wait_while(queue, place, COMMIT_WAITING);
	return state_of(place) == COMMIT_LEADS;
}

/* Tell each place behind `first` whom it has behind it. Needs the lead. */
static void link_newer(struct commit_queue *queue, const struct commit *first)
{
	struct commit *c =
	    atomic_load_explicit(&queue->newest, memory_order_acquire);

	for (; c != first && c->older->newer != c; c = c->older)
		c->older->newer = c;
}

void commit_gather(struct commit_queue *queue, struct commit *leader,
                   struct commit_group *group)
{
	size_t bytes = 0, most = COMMIT_GROUP_MAX_BYTES;

	group->count = 0;
	group->taken = 0;
	group->log_bytes = 0;
	if (leader->batch->rep.len < COMMIT_GROUP_SMALL_BYTES)
		most = leader->batch->rep.len + COMMIT_GROUP_SMALL_BYTES;

	link_newer(queue, leader);
	for (struct commit *c = leader;
	     c != NULL && c->batch != NULL && group->count < COMMIT_GROUP_MAX;
	     c = c->newer) {
		if (c != leader && bytes + c->batch->rep.len > most)
			break;
		bytes += c->batch->rep.len;
		group->taken += c->taken;
		group->members[group->count++] = c;
	}
}

/* The places up to `last` leave the queue, and the one behind leads: returns
   who is to be woken. */
static uint32_t pass_lead(struct commit_queue *queue, struct commit *last)
{
	struct commit *newest = last;

	if (atomic_compare_exchange_strong_explicit(&queue->newest, &newest,
	                                            NULL, memory_order_acq_rel,
	                                            memory_order_relaxed))
		return 0;
	link_newer(queue, last);
	return set_state(last->newer, COMMIT_LEADS);
}

/* All but the leader, who knows. Returns who is to be woken. */
static uint32_t finish_followers(struct commit_group *group, enum lsm_err err)
{
	uint32_t wakes = 0;

	for (size_t i = 1; i < group->count; i++) {
		group->members[i]->err = err;
		wakes |= set_state(group->members[i], COMMIT_DONE);
	}
	return wakes;
}

void commit_hand_over(struct commit_queue *queue, struct commit_group *group,
                      enum lsm_err err)
{
	struct commit *last = group->members[group->count - 1];

	group->members[0]->err = err;
	if (err == LSM_OK)
		group->ticket = queue->logged++;
	group->wakes = pass_lead(queue, last);
	if (err != LSM_OK)
		group->wakes |= finish_followers(group, err);
	if (err != LSM_OK || group->log_bytes > WAKE_AT_ONCE_BYTES) {
		wake(queue, group->wakes);
		group->wakes = 0;
	}
}

/* Take the group whose turn it is out of those that are linked; or NULL. */
static struct commit_group *take_next(struct commit_queue *queue)
{
	struct commit_group **at = &queue->linked, *group;

	sync_assert_held(&queue->mu);
	while (*at != NULL && (*at)->ticket != queue->published)
		at = &(*at)->next;
	group = *at;
	if (group != NULL)
		*at = group->next;
	return group;
}

/* Publish `group`, whose turn it is, and those behind it that are linked; they
   are a list then. */
static void publish_linked(struct commit_queue *queue,
                           struct commit_group *group)
{
	uint64_t seq;

	sync_assert_held(&queue->mu);
	do {
		seq = group->last_seq;
		queue->published++;
		group->next = take_next(queue);
		group = group->next;
	} while (group != NULL);
	atomic_store_explicit(queue->visible, seq, memory_order_release);
	if (queue->draining)
		sync_signal(&queue->drained);
}

void commit_publish(struct commit_queue *queue, struct commit_group *group)
{
	struct commit_group *others;
	uint32_t wakes = group->wakes;

	sync_lock(&queue->mu);
	if (group->ticket != queue->published) {
		group->next = queue->linked;
		queue->linked = group;
		sync_unlock(&queue->mu);
		wake(queue, wakes);
		wait_while(queue, group->members[0], COMMIT_LEADS);
		return;
	}
	publish_linked(queue, group);
	sync_unlock(&queue->mu);

	others = group->next;
	wakes |= finish_followers(group, LSM_OK);
	while (others != NULL) {
		/* It is on the stack of its leader, who is told last. */
		struct commit_group *next = others->next;

		wakes |= finish_followers(others, LSM_OK);
		wakes |= set_state(others->members[0], COMMIT_DONE);
		others = next;
	}
	wake(queue, wakes);
}

void commit_leave(struct commit_queue *queue, struct commit *place)
{
	wake(queue, pass_lead(queue, place));
}

void commit_drain(struct commit_queue *queue)
{
	sync_lock(&queue->mu);
	queue->draining = true;
	while (queue->published != queue->logged)
		sync_wait(&queue->drained, &queue->mu);
	queue->draining = false;
	sync_unlock(&queue->mu);
}
