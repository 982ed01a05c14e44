/* SPDX-License-Identifier: MIT */
/*
 * nodes.c: open addressing with linear probes, in shards. An entry is 16 bytes,
 * a shard is between an eighth and three quarters full, and doubling or halving
 * one shard is short enough to be done under its mutex.
 */
#include "daemon/nodes.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/sync.h"

enum {
	SHARD_BITS = 5,
	SHARDS = 1 << SHARD_BITS,
	MIN_SLOTS = 64, /* of a shard; a power of two */
};

/* A slot is free where `ino` is 0, which is no inode's number. */
struct node {
	uint64_t ino;
	uint64_t state; /* lookups * LOOKUP, plus ORPHAN */
};
enum { ORPHAN = 1, LOOKUP = 2 };

struct shard {
	struct sync_mutex mu;

	/* All below: guarded by mu. */
	struct node *slots;
	size_t slot_count; /* a power of two */
	size_t used;
};

struct nodes {
	struct shard shards[SHARDS];
};

/* Inode numbers are nearly consecutive: spread them over all bits. */
static uint64_t hash_of(uint64_t ino)
{
	uint64_t h = ino * UINT64_C(0x9e3779b97f4a7c15);

	return h ^ (h >> 32);
}

static struct shard *shard_of(struct nodes *nodes, uint64_t ino)
{
	return &nodes->shards[hash_of(ino) >> (64 - SHARD_BITS)];
}

/* The slot of `ino`, or the free one where it belongs. Needs shard->mu. */
static size_t find_slot(const struct shard *shard, uint64_t ino)
{
	size_t mask = shard->slot_count - 1;
	size_t at = (size_t)hash_of(ino) & mask;

	while (shard->slots[at].ino != 0 && shard->slots[at].ino != ino)
		at = (at + 1) & mask;
	return at;
}

/* Needs shard->mu. On ENOMEM the shard is unchanged. */
static int resize(struct shard *shard, size_t slot_count)
{
	struct node *old = shard->slots;
	size_t old_count = shard->slot_count;
	struct node *slots;

	slots = calloc(slot_count, sizeof(*slots));
	if (slots == NULL)
		return ENOMEM;

	shard->slots = slots;
	shard->slot_count = slot_count;
	for (size_t i = 0; i < old_count; i++) {
		if (old[i].ino != 0)
			slots[find_slot(shard, old[i].ino)] = old[i];
	}
	free(old);
	return 0;
}

/* Free slot `hole` and close the gap, so that no probe ends early: an entry
   behind it moves up unless its own place lies between. Needs shard->mu. */
static void remove_slot(struct shard *shard, size_t hole)
{
	size_t mask = shard->slot_count - 1;

	for (size_t at = (hole + 1) & mask; shard->slots[at].ino != 0;
	     at = (at + 1) & mask) {
		size_t home = (size_t)hash_of(shard->slots[at].ino) & mask;

		if (((at - home) & mask) >= ((at - hole) & mask)) {
			shard->slots[hole] = shard->slots[at];
			hole = at;
		}
	}
	shard->slots[hole] = (struct node){0};
	shard->used--;

	/* One that cannot shrink now stays as it is, at a cost in memory. */
	if (shard->slot_count > MIN_SLOTS &&
	    shard->used < shard->slot_count / 8)
		(void)resize(shard, shard->slot_count / 2);
}

int nodes_create(struct nodes **nodes_out)
{
	struct nodes *nodes;

	*nodes_out = NULL;
	nodes = calloc(1, sizeof(*nodes));
	if (nodes == NULL)
		return ENOMEM;

	for (size_t i = 0; i < SHARDS; i++)
		sync_mutex_init(&nodes->shards[i].mu, SYNC_RANK_LEAF);
	for (size_t i = 0; i < SHARDS; i++) {
		if (resize(&nodes->shards[i], MIN_SLOTS) != 0) {
			nodes_destroy(nodes);
			return ENOMEM;
		}
	}
	*nodes_out = nodes;
	return 0;
}

void nodes_destroy(struct nodes *nodes)
{
	if (nodes == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		free(nodes->shards[i].slots);
		sync_mutex_destroy(&nodes->shards[i].mu);
	}
	free(nodes);
}

int nodes_add(struct nodes *nodes, uint64_t ino)
{
	struct shard *shard = shard_of(nodes, ino);
	size_t at;
	int err = 0;

	assert(ino != 0);
	sync_lock(&shard->mu);
	at = find_slot(shard, ino);
	if (shard->slots[at].ino == 0) {
		if (shard->used >= shard->slot_count / 4 * 3) {
			err = resize(shard, shard->slot_count * 2);
			if (err != 0)
				goto out;
			at = find_slot(shard, ino);
		}
		shard->slots[at].ino = ino;
		shard->used++;
	}
	shard->slots[at].state += LOOKUP;
out:
	sync_unlock(&shard->mu);
	return err;
}

bool nodes_forget(struct nodes *nodes, uint64_t ino, uint64_t lookups)
{
	struct shard *shard = shard_of(nodes, ino);
	bool reclaim = false;
	size_t at;

	sync_lock(&shard->mu);
	at = find_slot(shard, ino);
	if (shard->slots[at].ino != 0) {
		if (shard->slots[at].state / LOOKUP > lookups) {
			shard->slots[at].state -= lookups * LOOKUP;
		} else {
			reclaim = (shard->slots[at].state & ORPHAN) != 0;
			remove_slot(shard, at);
		}
	}
	sync_unlock(&shard->mu);
	return reclaim;
}

bool nodes_orphan(struct nodes *nodes, uint64_t ino)
{
	struct shard *shard = shard_of(nodes, ino);
	bool unknown;
	size_t at;

	sync_lock(&shard->mu);
	at = find_slot(shard, ino);
	unknown = shard->slots[at].ino == 0;
	if (!unknown)
		shard->slots[at].state |= ORPHAN;
	sync_unlock(&shard->mu);
	return unknown;
}

void nodes_revive(struct nodes *nodes, uint64_t ino)
{
	struct shard *shard = shard_of(nodes, ino);
	size_t at;

	sync_lock(&shard->mu);
	at = find_slot(shard, ino);
	if (shard->slots[at].ino != 0)
		shard->slots[at].state &= ~(uint64_t)ORPHAN;
	sync_unlock(&shard->mu);
}

size_t nodes_count(struct nodes *nodes)
{
	size_t count = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		sync_lock(&nodes->shards[i].mu);
		count += nodes->shards[i].used;
		sync_unlock(&nodes->shards[i].mu);
	}
	return count;
}

size_t nodes_bytes(struct nodes *nodes)
{
	size_t slots = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		sync_lock(&nodes->shards[i].mu);
		slots += nodes->shards[i].slot_count;
		sync_unlock(&nodes->shards[i].mu);
	}
	return sizeof(*nodes) + slots * sizeof(struct node);
}

void nodes_each_orphan(struct nodes *nodes,
                       void (*each)(void *ctx, uint64_t ino), void *ctx)
{
	for (size_t i = 0; i < SHARDS; i++) {
		const struct shard *shard = &nodes->shards[i];

		for (size_t at = 0; at < shard->slot_count; at++) {
			if (shard->slots[at].ino != 0 &&
			    (shard->slots[at].state & ORPHAN) != 0)
				each(ctx, shard->slots[at].ino);
		}
	}
}
