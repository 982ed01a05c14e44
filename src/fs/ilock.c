/* SPDX-License-Identifier: MIT */
#include "fs/ilock.h"

#include <assert.h>

void ilock_table_init(struct ilock_table *table)
{
	for (size_t i = 0; i < ILOCK_STRIPES; i++) {
		sync_mutex_init(&table->stripes[i].mutex,
		                (enum sync_rank)ILOCK_RANK);
		sync_cond_init(&table->stripes[i].changed);
		table->stripes[i].first = NULL;
	}
}

void ilock_table_release(struct ilock_table *table)
{
	for (size_t i = 0; i < ILOCK_STRIPES; i++) {
		assert(table->stripes[i].first == NULL);
		sync_cond_destroy(&table->stripes[i].changed);
		sync_mutex_destroy(&table->stripes[i].mutex);
	}
}

void ilock_set_init(struct ilock_set *set)
{
	set->count = 0;
	set->held = false;
}

void ilock_set_add(struct ilock_set *set, uint64_t ino)
{
	size_t at = 0;

	assert(!set->held);
	while (at < set->count && set->places[at].ino < ino)
		at++;
	if (at < set->count && set->places[at].ino == ino)
		return;
	assert(set->count < ILOCK_SET_MAX);
	for (size_t i = set->count; i > at; i--)
		set->places[i] = set->places[i - 1];
	set->places[at].ino = ino;
	set->places[at].next = NULL;
	set->count++;
}

static struct ilock_stripe *stripe_of(struct ilock_table *table, uint64_t ino)
{
	return &table->stripes[ino % ILOCK_STRIPES];
}

/* Whether anyone stands before `place` for the same number. */
static bool must_wait(const struct ilock_stripe *stripe,
                      const struct ilock_place *place)
{
	sync_assert_held(&stripe->mutex);
	for (const struct ilock_place *p = stripe->first; p != place;
	     p = p->next) {
		if (p->ino == place->ino)
			return true;
	}
	return false;
}

static void enqueue(struct ilock_stripe *stripe, struct ilock_place *place)
{
	struct ilock_place **link = &stripe->first;

	sync_assert_held(&stripe->mutex);
	while (*link != NULL)
		link = &(*link)->next;
	place->next = NULL;
	*link = place;
}

/* Take the place out; whether somebody waits for its number. */
static bool dequeue(struct ilock_stripe *stripe, struct ilock_place *place)
{
	struct ilock_place **link = &stripe->first;

	sync_assert_held(&stripe->mutex);
	while (*link != place)
		link = &(*link)->next;
	*link = place->next;
	for (const struct ilock_place *p = place->next; p != NULL;
	     p = p->next) {
		if (p->ino == place->ino)
			return true;
	}
	return false;
}

static void take(struct ilock_stripe *stripe, struct ilock_place *place)
{
	sync_lock(&stripe->mutex);
	enqueue(stripe, place);
	while (must_wait(stripe, place))
		sync_wait(&stripe->changed, &stripe->mutex);
	sync_unlock(&stripe->mutex);
}

static bool try_take(struct ilock_stripe *stripe, struct ilock_place *place)
{
	bool taken;

	sync_lock(&stripe->mutex);
	enqueue(stripe, place);
	taken = !must_wait(stripe, place);
	/* Whoever came meanwhile would have to be told, but the mutex was held.
	 */
	if (!taken)
		(void)dequeue(stripe, place);
	sync_unlock(&stripe->mutex);
	return taken;
}

static void give(struct ilock_stripe *stripe, struct ilock_place *place)
{
	sync_lock(&stripe->mutex);
	if (dequeue(stripe, place))
		sync_broadcast(&stripe->changed);
	sync_unlock(&stripe->mutex);
}

void ilock_acquire(struct ilock_table *table, struct ilock_set *set)
{
	assert(!set->held);
	for (size_t i = 0; i < set->count; i++)
		take(stripe_of(table, set->places[i].ino), &set->places[i]);
	set->held = true;
}

bool ilock_try(struct ilock_table *table, struct ilock_set *set)
{
	size_t taken = 0;

	assert(!set->held);
	while (taken < set->count) {
		struct ilock_place *place = &set->places[taken];

		if (!try_take(stripe_of(table, place->ino), place))
			break;
		taken++;
	}
	set->held = taken == set->count;
	if (set->held)
		return true;
	while (taken > 0) {
		taken--;
		give(stripe_of(table, set->places[taken].ino),
		     &set->places[taken]);
	}
	return false;
}

void ilock_release(struct ilock_table *table, struct ilock_set *set)
{
	if (!set->held)
		return;
	for (size_t i = set->count; i > 0; i--)
		give(stripe_of(table, set->places[i - 1].ino),
		     &set->places[i - 1]);
	set->held = false;
}
