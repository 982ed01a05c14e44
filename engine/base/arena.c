/* SPDX-License-Identifier: MIT */
/*
 * arena.c: blocks in a list, and one run of free bytes at the end of the newest
 * shared block. A block of its own never becomes the one with the free bytes.
 *
 * Why the growth bound holds
 *
 * Let H = 8 be the header, M = max_block_bytes, and A the sum of the sizes,
 * each rounded up to 8: A <= total + 7 * count. Start from any arena and
 * allocate.
 *
 * A block of its own is made for a > next / 4 >= 1024, and takes a + H, which
 * is at most a + a/128.
 *
 * Let N1 <= ... <= Nm be the shared blocks made on the way, p_j what was
 * allocated from block j, and r_j what was left of it when block j+1 was made.
 * That happened because an allocation did not fit in r_j; it was at most
 * N_{j+1}/4, and went into block j+1. So for j < m
 *
 *     r_j < N_{j+1}/4,  r_j < p_{j+1},  N_j = p_j + H + r_j.           (1)
 *
 * As N_{j+1} <= 2 N_j and N_j >= 4096, (1) says p_j >= N_j/2 - H >= 2040, hence
 * H <= p_j/255. Let s = N_1 + ... + N_{m-1} and P = p_1 + ... + p_m. Summing
 * (1), with r_{m-1} bounded by p_m and each other r_j by N_{j+1}/4,
 *
 *     s <= P + P/255 + (N_2 + ... + N_{m-1})/4 <= P + P/255 + s/4,
 *
 * so s <= 4/3 (P + P/255). Block m adds N_m <= M. Together with the blocks of
 * their own, growth is at most A + A/3 + A/64 + M: what A/64 has over the
 * fractions above pays for rounding the divisions down, since A >= 2040 where
 * m > 1, and A >= 1024 where there is a block of its own.
 */
#include "base/arena.h"

#include <assert.h>
#include <stdlib.h>

struct arena_block {
	struct arena_block *next;
	_Alignas(ARENA_ALIGN_BYTES) uint8_t bytes[];
};

enum { ARENA_HEADER_BYTES = sizeof(struct arena_block) };

_Static_assert(ARENA_HEADER_BYTES == 8, "the proof above uses 8");

/* Relaxed: figures, which order nothing else. */
static _Atomic uint64_t total_now;
static _Atomic uint64_t total_peak;

static void count_totals(uint64_t bytes)
{
	uint64_t now =
	    atomic_fetch_add_explicit(&total_now, bytes, memory_order_relaxed) +
	    bytes;
	uint64_t peak = atomic_load_explicit(&total_peak, memory_order_relaxed);

	while (peak < now && !atomic_compare_exchange_weak_explicit(
				 &total_peak, &peak, now, memory_order_relaxed,
				 memory_order_relaxed))
		;
}

static struct arena_block *add_block(struct arena *arena, size_t bytes)
{
	struct arena_block *block = malloc(bytes);

	if (block == NULL)
		return NULL;
	block->next = arena->blocks;
	arena->blocks = block;
	atomic_fetch_add_explicit(&arena->allocated, bytes,
	                          memory_order_relaxed);
	count_totals(bytes);
	return block;
}

static bool add_shared_block(struct arena *arena)
{
	size_t bytes = arena->next_block_bytes;
	struct arena_block *block = add_block(arena, bytes);

	if (block == NULL)
		return false;
	arena->free_start = block->bytes;
	arena->free_end = (uint8_t *)block + bytes;
	if (bytes > arena->max_block_bytes / 2)
		arena->next_block_bytes = arena->max_block_bytes;
	else
		arena->next_block_bytes = bytes * 2;
	return true;
}

/* As after arena_init(), but for `allocated`, which others may be reading. */
static void forget_blocks(struct arena *arena)
{
	arena->blocks = NULL;
	arena->free_start = NULL;
	arena->free_end = NULL;
	arena->next_block_bytes = ARENA_FIRST_BLOCK_BYTES;
}

void arena_init(struct arena *arena, size_t max_block_bytes)
{
	assert(max_block_bytes >= ARENA_FIRST_BLOCK_BYTES);
	arena->max_block_bytes = max_block_bytes;
	forget_blocks(arena);
	atomic_init(&arena->allocated, 0);
}

void arena_release(struct arena *arena)
{
	size_t bytes;

	if (arena == NULL)
		return;
	while (arena->blocks != NULL) {
		struct arena_block *block = arena->blocks;

		arena->blocks = block->next;
		free(block);
	}
	forget_blocks(arena);
	bytes = atomic_exchange_explicit(&arena->allocated, 0,
	                                 memory_order_relaxed);
	atomic_fetch_sub_explicit(&total_now, bytes, memory_order_relaxed);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
	uint8_t *start;

	assert(bytes > 0);
	if (bytes > PTRDIFF_MAX - ARENA_HEADER_BYTES - ARENA_ALIGN_BYTES)
		return NULL;
	bytes = (bytes + ARENA_ALIGN_BYTES - 1) / ARENA_ALIGN_BYTES *
	        ARENA_ALIGN_BYTES;

	if (bytes > (size_t)(arena->free_end - arena->free_start)) {
		if (bytes > arena->next_block_bytes / 4) {
			struct arena_block *own =
			    add_block(arena, ARENA_HEADER_BYTES + bytes);

			return own == NULL ? NULL : own->bytes;
		}
		if (!add_shared_block(arena))
			return NULL;
	}
	start = arena->free_start;
	arena->free_start += bytes;
	return start;
}

size_t arena_allocated(const struct arena *arena)
{
	return atomic_load_explicit(&arena->allocated, memory_order_relaxed);
}

uint64_t arena_growth_bound(size_t max_block_bytes, size_t count,
                            uint64_t total_bytes)
{
	uint64_t sum;

	/* Far above every limit on a batch; no sum below overflows. */
	if (max_block_bytes > UINT64_MAX / 32 || count > UINT64_MAX / 32 / 7 ||
	    total_bytes > UINT64_MAX / 32)
		return UINT64_MAX;

	sum = total_bytes + (uint64_t)count * (ARENA_ALIGN_BYTES - 1);
	return sum + sum / 3 + sum / 64 + max_block_bytes;
}

void arena_totals(uint64_t *now_out, uint64_t *peak_out)
{
	*now_out = atomic_load_explicit(&total_now, memory_order_relaxed);
	*peak_out = atomic_load_explicit(&total_peak, memory_order_relaxed);
}
