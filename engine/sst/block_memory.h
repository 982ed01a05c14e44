/* SPDX-License-Identifier: MIT */
/*
 * block_memory.h: memory for unpacked blocks.
 *
 * A full cache takes in a block for each that it throws out, of about the same
 * size, and often one that another thread took. malloc gives such memory back to
 * where it came from and cuts it up anew; so each thread keeps the last piece
 * that it gave back, for its next block.
 *
 * Threads: any. What is kept is bounded: BLOCK_MEMORY_SLOTS pieces of at most
 * BLOCK_MEMORY_KEPT_BYTES.
 */
#ifndef LSM_SST_BLOCK_MEMORY_H
#define LSM_SST_BLOCK_MEMORY_H

#include <stddef.h>

enum {
	BLOCK_MEMORY_SLOTS = 8, /* threads share them in turn */
	BLOCK_MEMORY_KEPT_BYTES = 12 << 10,
};

/* At least `bytes`, aligned as malloc does; NULL: none left. */
void *block_memory_take(size_t bytes);
void block_memory_give(void *memory); /* NULL is allowed */

/* What it takes of the machine's memory. */
size_t block_memory_size(const void *memory);

#endif
