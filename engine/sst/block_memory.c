/* SPDX-License-Identifier: MIT */
#include "sst/block_memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, len) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, len) ((void)0)
#endif

enum {
	/* Sizes are multiples, so that a piece does for the next block too. */
	STEP_BYTES = 16,
	/* For smaller ones malloc has its own. */
	KEPT_MIN_BYTES = 1 << 10,
	WASTE_PART = 8, /* of a piece that does, at most */
	MALLOC_OVERHEAD_BYTES = 8,
	LINE_BYTES = 64, /* of the processor's cache */
};

struct piece {
	_Alignas(max_align_t) size_t bytes; /* with this */
	_Alignas(max_align_t) uint8_t memory[];
};

/* Acquire to take a piece out, release to put one in. */
static struct slot {
	_Alignas(LINE_BYTES) _Atomic(struct piece *) piece;
} slots[BLOCK_MEMORY_SLOTS];

static struct slot *own_slot(void)
{
	static atomic_uint thread_count;
	static _Thread_local unsigned thread; /* from 1; 0: not known */

	if (thread == 0)
		thread = 1 + atomic_fetch_add_explicit(&thread_count, 1,
		                                       memory_order_relaxed) %
		                 BLOCK_MEMORY_SLOTS;
	return &slots[thread - 1];
}

static struct piece *piece_of(const void *memory)
{
	return (struct piece *)((uintptr_t)memory -
	                        offsetof(struct piece, memory));
}

/* What is kept, if it does for so many bytes; otherwise it goes. */
static struct piece *take_kept(size_t bytes)
{
	struct slot *slot = own_slot();
	struct piece *piece;

	if (atomic_load_explicit(&slot->piece, memory_order_relaxed) == NULL)
		return NULL;
	piece =
	    atomic_exchange_explicit(&slot->piece, NULL, memory_order_acquire);
	if (piece == NULL)
		return NULL;
	ASAN_UNPOISON_MEMORY_REGION(piece->memory,
	                            piece->bytes - sizeof(*piece));
	if (piece->bytes >= bytes &&
	    piece->bytes - bytes <= piece->bytes / WASTE_PART)
		return piece;
	free(piece);
	return NULL;
}

void *block_memory_take(size_t bytes)
{
	struct piece *piece = NULL;

	if (bytes > SIZE_MAX - sizeof(*piece) - STEP_BYTES)
		return NULL;
	bytes += sizeof(*piece);
	if (bytes >= KEPT_MIN_BYTES && bytes <= BLOCK_MEMORY_KEPT_BYTES) {
		bytes = (bytes + STEP_BYTES - 1) / STEP_BYTES * STEP_BYTES;
		piece = take_kept(bytes);
	}
	if (piece == NULL) {
		piece = malloc(bytes);
		if (piece == NULL)
			return NULL;
		piece->bytes = bytes;
	}
	return piece->memory;
}

void block_memory_give(void *memory)
{
	struct piece *piece;

	if (memory == NULL)
		return;
	piece = piece_of(memory);
	if (piece->bytes >= KEPT_MIN_BYTES &&
	    piece->bytes <= BLOCK_MEMORY_KEPT_BYTES) {
		ASAN_POISON_MEMORY_REGION(piece->memory,
		                          piece->bytes - sizeof(*piece));
		piece = atomic_exchange_explicit(&own_slot()->piece, piece,
		                                 memory_order_acq_rel);
		if (piece == NULL)
			return;
		ASAN_UNPOISON_MEMORY_REGION(piece->memory,
		                            piece->bytes - sizeof(*piece));
	}
	free(piece);
}

size_t block_memory_size(const void *memory)
{
	return piece_of(memory)->bytes + MALLOC_OVERHEAD_BYTES;
}
