/* SPDX-License-Identifier: MIT */
#include "store/commit_queue.h"

#include <assert.h>

#include "store/batch.h"

enum { SPINS = 200 }; /* some microseconds */

void commit_queue_init(struct commit_queue *queue,
                       atomic_uint_least64_t *visible)
{
	queue->visible = visible;
	sync_mutex_init(&queue->mu, SYNC_RANK_COMMIT);
	sync_cond_init(&queue->drained);
	queue->head = queue->tail = NULL;
	queue->flight_head = queue->flight_tail = NULL;
}

void commit_queue_release(struct commit_queue *queue)
{
	assert(queue->head == NULL && queue->flight_head == NULL);
	sync_cond_destroy(&queue->drained);
	sync_mutex_destroy(&queue->mu);
}

static int state_of(struct commit *place)
{
	return atomic_load_explicit(&place->state, memory_order_acquire);
}

/* Whoever is not asleep may be gone as soon as it sees the state. */
static void set_state(struct commit_queue *queue, struct commit *place,
                      enum commit_state state)
{
	bool asleep = place->asleep;

	sync_assert_held(&queue->mu);
	atomic_store_explicit(&place->state, state, memory_order_release);
	if (asleep)
		sync_signal(&place->turn); /* it needs queue->mu to leave */
}

static void wait_while(struct commit_queue *queue, struct commit *place,
                       enum commit_state state)
{
	/* With one processor whoever is waited for cannot run meanwhile. */
	unsigned spins = sync_processors() > 1 ? SPINS : 0;

	for (unsigned i = 0; i < spins; i++) {
		if (state_of(place) != (int)state)
			return;
		sync_relax();
	}
	sync_lock(&queue->mu);
	sync_cond_init(&place->turn);
	place->asleep = true;
	while (state_of(place) == (int)state)
		sync_wait(&place->turn, &queue->mu);
	place->asleep = false;
	sync_cond_destroy(&place->turn);
	sync_unlock(&queue->mu);
}

bool commit_enter(struct commit_queue *queue, struct commit *place)
{
	bool leads;

	place->err = LSM_OK;
	place->next = NULL;
	place->asleep = false;
	atomic_init(&place->state, COMMIT_WAITING);

	sync_lock(&queue->mu);
	leads = queue->head == NULL;
	if (leads) {
		queue->head = place;
		atomic_store_explicit(&place->state, COMMIT_LEADS,
		                      memory_order_relaxed);
	} else {
		queue->tail->next = place;
	}
	queue->tail = place;
	sync_unlock(&queue->mu);
	if (leads)
		return true;
	wait_while(queue, place, COMMIT_WAITING);
	return state_of(place) == COMMIT_LEADS;
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

	sync_lock(&queue->mu);
	assert(queue->head == leader);
	for (struct commit *c = leader;
	     c != NULL && c->batch != NULL && group->count < COMMIT_GROUP_MAX;
	     c = c->next) {
		if (c != leader && bytes + c->batch->rep.len > most)
			break;
		bytes += c->batch->rep.len;
		group->taken += c->taken;
		group->members[group->count++] = c;
	}
	sync_unlock(&queue->mu);
}

/* The places up to `last` leave the queue, and the one behind leads. */
static void pass_lead(struct commit_queue *queue, struct commit *last)
{
	sync_assert_held(&queue->mu);
	queue->head = last->next;
	if (queue->head == NULL)
		queue->tail = NULL;
	else
		set_state(queue, queue->head, COMMIT_LEADS);
}

/* All but the leader, who knows. */
static void finish_followers(struct commit_queue *queue,
                             struct commit_group *group, enum lsm_err err)
{
	for (size_t i = 1; i < group->count; i++) {
		group->members[i]->err = err;
		set_state(queue, group->members[i], COMMIT_DONE);
	}
}

void commit_hand_over(struct commit_queue *queue, struct commit_group *group,
                      enum lsm_err err)
{
	sync_lock(&queue->mu);
	assert(queue->head == group->members[0]);
	pass_lead(queue, group->members[group->count - 1]);
	group->members[0]->err = err;
	if (err != LSM_OK) {
		finish_followers(queue, group, err);
	} else {
		group->next = NULL;
		group->linked = false;
		if (queue->flight_tail != NULL)
			queue->flight_tail->next = group;
		else
			queue->flight_head = group;
		queue->flight_tail = group;
	}
	sync_unlock(&queue->mu);
}

/*
 * Publish the groups at the head that are linked; whether `mine` was one. A
 * group, which is on the stack of its leader, is gone when that is told.
 */
static bool publish_linked(struct commit_queue *queue,
                           struct commit_group *mine)
{
	struct commit_group *group = queue->flight_head;
	bool done = false;

	sync_assert_held(&queue->mu);
	while (group != NULL && group->linked) {
		struct commit_group *next = group->next;

		atomic_store_explicit(queue->visible, group->last_seq,
		                      memory_order_release);
		finish_followers(queue, group, LSM_OK);
		if (group == mine)
			done = true;
		else
			set_state(queue, group->members[0], COMMIT_DONE);
		group = next;
	}
	queue->flight_head = group;
	if (group == NULL) {
		queue->flight_tail = NULL;
		sync_broadcast(&queue->drained);
	}
	return done;
}

void commit_publish(struct commit_queue *queue, struct commit_group *group)
{
	bool done;

	sync_lock(&queue->mu);
	group->linked = true;
	done = publish_linked(queue, group);
	sync_unlock(&queue->mu);
	if (!done)
		wait_while(queue, group->members[0], COMMIT_LEADS);
}

void commit_leave(struct commit_queue *queue, struct commit *place)
{
	sync_lock(&queue->mu);
	assert(queue->head == place);
	pass_lead(queue, place);
	sync_unlock(&queue->mu);
}

void commit_drain(struct commit_queue *queue)
{
	sync_lock(&queue->mu);
	while (queue->flight_head != NULL)
		sync_wait(&queue->drained, &queue->mu);
	sync_unlock(&queue->mu);
}
