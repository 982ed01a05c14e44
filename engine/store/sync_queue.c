/* SPDX-License-Identifier: MIT */
#include "store/sync_queue.h"

#include <assert.h>
#include <limits.h>

enum {
	GATHER_MOST_NS = 400 * 1000,
	MISSES_MOST = 6, /* 64 rounds without */
};

void sync_queue_init(struct sync_queue *queue, atomic_uint_least64_t *visible)
{
	*queue = (struct sync_queue){.visible = visible,
	                             .gather_most_ns = GATHER_MOST_NS};
	sync_mutex_init(&queue->mu, SYNC_RANK_SYNC);
}

void sync_queue_release(struct sync_queue *queue)
{
	assert(queue->begun == atomic_load(&queue->ended));
	assert(queue->waiting == 0);
	sync_mutex_destroy(&queue->mu);
}

uint64_t sync_queue_durable(const struct sync_queue *queue)
{
	return atomic_load_explicit(&queue->durable, memory_order_acquire);
}

static uint64_t ended(const struct sync_queue *queue)
{
	return atomic_load_explicit(&queue->ended, memory_order_acquire);
}

static void raise_durable(struct sync_queue *queue, uint64_t seq)
{
	sync_assert_held(&queue->mu);
	if (seq > sync_queue_durable(queue))
		atomic_store_explicit(&queue->durable, seq,
		                      memory_order_release);
}

void sync_queue_note(struct sync_queue *queue, uint64_t seq)
{
	sync_lock(&queue->mu);
	raise_durable(queue, seq);
	sync_unlock(&queue->mu);
}

/* Whether the next round is put off for those who may still come. */
static bool gathers(const struct sync_queue *queue)
{
	return queue->waiting < queue->expected &&
	       sync_now_ns() < queue->deadline_ns;
}

static void begin(struct sync_queue *queue)
{
	sync_assert_held(&queue->mu);
	if (queue->expected > 1 &&
	    queue->waiting < queue->expected - queue->expected / 4) {
		if (queue->misses < MISSES_MOST)
			queue->misses++;
		queue->skips = 1u << queue->misses;
	} else if (queue->expected > 1) {
		queue->misses = 0;
	}
	queue->begun++;
	/* Now: who comes later finds out whether it is among them. */
	queue->covers =
	    atomic_load_explicit(queue->visible, memory_order_acquire);
	queue->taken = queue->waiting;
	queue->waiting = 0;
	queue->kept = false;
	queue->begun_ns = sync_now_ns();
}

/* Join a round: the running one, if that covers `seq`, or the next. */
static uint64_t join(struct sync_queue *queue, uint64_t seq)
{
	if (queue->begun > ended(queue) && seq <= queue->covers) {
		queue->taken++;
		return queue->begun;
	}
	queue->waiting++;
	return queue->begun + 1;
}

/*
 * Sleep until something happened to `round`, or, if that is not 0, until the
 * deadline. False when the round has ended: then mu is not held any longer.
 */
static bool sleep_on(struct sync_queue *queue, uint64_t round,
                     uint64_t deadline_ns)
{
	atomic_uint *word = &queue->words[round & 1];
	unsigned seen = atomic_load_explicit(word, memory_order_relaxed);

	sync_unlock(&queue->mu);
	sync_word_wait(word, seen, deadline_ns, SYNC_ANYBODY);
	if (ended(queue) >= round)
		return false;
	sync_lock(&queue->mu);
	return true;
}

/* Wait for the end of `round`: false. True: the caller leads it. Either way mu is
   not held any longer. */
static bool await_end(struct sync_queue *queue, uint64_t round)
{
	bool kept = false;

	/* It may end between a look and the lock. */
	while (ended(queue) < round) {
		uint64_t deadline_ns = 0;

		if (kept && queue->begun < round)
			queue->kept = false;
		kept = false;
		if (queue->begun < round && queue->begun == ended(queue)) {
			if (!gathers(queue)) {
				begin(queue);
				sync_unlock(&queue->mu);
				return true;
			}
			if (!queue->kept) {
				kept = queue->kept = true;
				deadline_ns = queue->deadline_ns;
			}
		}
		if (!sleep_on(queue, round, deadline_ns))
			return false;
	}
	sync_unlock(&queue->mu);
	return false;
}

bool sync_queue_enter(struct sync_queue *queue, uint64_t seq)
{
	while (sync_queue_durable(queue) < seq) {
		sync_lock(&queue->mu);
		if (sync_queue_durable(queue) >= seq) {
			sync_unlock(&queue->mu);
			break;
		}
		if (await_end(queue, join(queue, seq)))
			return true;
	}
	return false;
}

/* How long, and for how many, the next round is put off. */
static void expect(struct sync_queue *queue, bool synced)
{
	uint64_t now = sync_now_ns(), most = now - queue->begun_ns;

	if (most > queue->gather_most_ns)
		most = queue->gather_most_ns;
	queue->deadline_ns = now + most;
	queue->expected = queue->taken + queue->waiting;
	if (!synced) {
		queue->expected = 0;
	} else if (queue->skips > 0) {
		queue->skips--;
		queue->expected = 0;
	}
}

void sync_queue_end(struct sync_queue *queue, bool synced)
{
	atomic_uint *done, *next;
	bool others, wanted;

	sync_lock(&queue->mu);
	assert(queue->begun == ended(queue) + 1);
	if (synced)
		raise_durable(queue, queue->covers);
	expect(queue, synced);
	atomic_store_explicit(&queue->ended, queue->begun,
	                      memory_order_release);
	done = &queue->words[queue->begun & 1];
	next = &queue->words[(queue->begun + 1) & 1];
	others = queue->taken > 1;
	wanted = queue->waiting > 0;
	atomic_fetch_add_explicit(done, 1, memory_order_release);
	if (wanted)
		atomic_fetch_add_explicit(next, 1, memory_order_release);
	sync_unlock(&queue->mu);

	/* One of those who wait already sees to the next round. */
	if (wanted)
		sync_word_wake(next, 1, SYNC_ANYBODY);
	if (others)
		sync_word_wake(done, INT_MAX, SYNC_ANYBODY);
}
