/* SPDX-License-Identifier: MIT */
/*
 * arena.h: many small allocations freed together, counted to the byte.
 *
 * Memory comes from malloc in blocks: ARENA_FIRST_BLOCK_BYTES first, each next
 * one twice as large up to max_block_bytes. An allocation that does not fit in
 * what is left of the newest one and is larger than a quarter of the next gets
 * a block of its own, exactly as large as it needs.
 * A block's header is part of its size, and is counted.
 *
 * Growth bound: allocating sizes a1..ak grows the arena by at most
 * arena_growth_bound(max_block_bytes, k, a1 + ... + ak). The proof stands in
 * arena.c, a test tries to break it; the credit pool relies on it.
 *
 * Threads: one allocating thread at a time; arena_allocated() from any.
 */
#ifndef LSM_BASE_ARENA_H
#define LSM_BASE_ARENA_H

#include <stdatomic.h>

#include "lsm.h"

enum {
	ARENA_FIRST_BLOCK_BYTES = 4096,
	ARENA_ALIGN_BYTES = 8,
};

struct arena_block;

struct arena {
	size_t max_block_bytes;         /* constant after init */
	struct arena_block *blocks;     /* allocating thread */
	uint8_t *free_start, *free_end; /* allocating thread */
	size_t next_block_bytes;        /* allocating thread */
	atomic_size_t allocated;        /* relaxed: a figure */
};

/* Takes no memory. max_block_bytes is at least ARENA_FIRST_BLOCK_BYTES. */
void arena_init(struct arena *arena, size_t max_block_bytes);
void arena_release(struct arena *arena);

/* `bytes` > 0, aligned to ARENA_ALIGN_BYTES; NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t bytes);

/* Bytes held from malloc, headers included. */
size_t arena_allocated(const struct arena *arena);

/* See above. */
uint64_t arena_growth_bound(size_t max_block_bytes, size_t count,
                            uint64_t total_bytes);

/* What all arenas of the process hold from malloc, and the most they ever did:
   counted apart from the credit pool, to check it. */
void arena_totals(uint64_t *now_out, uint64_t *peak_out);

#endif
