/* SPDX-License-Identifier: MIT */
#include "fs/number.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "fs/schema.h"

void number_pool_init(struct number_pool *pool, uint64_t first)
{
	sync_mutex_init(&pool->mutex, (enum sync_rank)NUMBER_RANK);
	sync_cond_init(&pool->changed);
	pool->next = first;
	pool->counted = first;
	pool->moving = false;
	memset(pool->windows, 0, sizeof(pool->windows));
}

void number_pool_release(struct number_pool *pool)
{
	assert(!pool->moving);
	sync_cond_destroy(&pool->changed);
	sync_mutex_destroy(&pool->mutex);
}

/* Give the directory a fresh window. Errors: ENOSPC. */
static int open_window(struct number_pool *pool, struct number_window *window,
                       uint64_t dir)
{
	uint32_t size = NUMBER_WINDOW_MIN;

	sync_assert_held(&pool->mutex);
	if (window->dir == dir)
		size = window->size < NUMBER_WINDOW_MAX ? window->size * 2
		                                        : NUMBER_WINDOW_MAX;
	if (pool->next + size > SCHEMA_INO_LIMIT)
		return ENOSPC;
	window->dir = dir;
	window->size = size;
	window->next = pool->next;
	window->end = pool->next + size;
	pool->next = window->end;
	return 0;
}

/* Make the counter cover `ino`, or take it on us to move it. */
static uint64_t cover(struct number_pool *pool, uint64_t ino)
{
	uint64_t delta;

	sync_assert_held(&pool->mutex);
	while (ino >= pool->counted && pool->moving)
		sync_wait(&pool->changed, &pool->mutex);
	if (ino < pool->counted)
		return 0;
	delta = ino + 1 - pool->counted;
	if (delta < NUMBER_STEP)
		delta = NUMBER_STEP;
	pool->moving = true;
	return delta;
}

int number_take(struct number_pool *pool, uint64_t dir, uint64_t *ino_out,
                uint64_t *delta_out)
{
	struct number_window *window = &pool->windows[dir % NUMBER_WINDOWS];
	int err = 0;

	*ino_out = 0;
	*delta_out = 0;
	sync_lock(&pool->mutex);
	if (window->dir != dir || window->next == window->end)
		err = open_window(pool, window, dir);
	if (err == 0) {
		*ino_out = window->next++;
		*delta_out = cover(pool, *ino_out);
	}
	sync_unlock(&pool->mutex);
	return err;
}

void number_settle(struct number_pool *pool, uint64_t delta, bool written)
{
	sync_lock(&pool->mutex);
	assert(pool->moving);
	pool->moving = false;
	if (written)
		pool->counted += delta;
	sync_broadcast(&pool->changed);
	sync_unlock(&pool->mutex);
}
