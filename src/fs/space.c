/* SPDX-License-Identifier: MIT */
#include "fs/space.h"

enum {
	/* Less than this is not worth a look at the disk. */
	LEAST_BYTES = 4 << 20,
	/* It is much from this part of the free bytes on. */
	MUCH_PART = 8,
};

void space_init(struct space *space)
{
	*space = (struct space){.ratio = -1};
	sync_mutex_init(&space->mu, SYNC_RANK_LEAF);
}

void space_release(struct space *space)
{
	sync_mutex_destroy(&space->mu);
}

void space_freed(struct space *space, uint64_t bytes)
{
	sync_lock(&space->mu);
	space->recent += bytes;
	sync_unlock(&space->mu);
}

/* ---- what it takes, and what it needs -------------------------------------- */

/* On the disk; *reclaimable of it is known not to be needed. */
static uint64_t taken_bytes(struct lsm *store, uint64_t *reclaimable)
{
	struct lsm_stats stats;
	uint64_t bytes;

	lsm_stats(store, &stats);
	bytes = stats.segments.bytes + stats.log_bytes;
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		bytes += stats.levels[i].bytes;
	*reclaimable = stats.segments.reclaimable_bytes;
	return bytes;
}

/* How much is deleted that may still take its place. *ratio as it was before. */
static uint64_t deleted_bytes(struct space *space, const struct lsm *store,
                              double *ratio)
{
	uint64_t done = lsm_reclaimed(store);
	uint64_t bytes;

	sync_lock(&space->mu);
	if (space->asked_seq != 0 && done >= space->asked_seq) {
		space->asked = 0;
		space->asked_seq = 0;
	}
	bytes = space->asked + space->recent;
	if (bytes == 0)
		space->ratio = -1;
	*ratio = space->ratio;
	sync_unlock(&space->mu);
	return bytes;
}

static void keep_ratio(struct space *space, double ratio)
{
	sync_lock(&space->mu);
	if (space->ratio < 0)
		space->ratio = ratio;
	sync_unlock(&space->mu);
}

/* Bytes on the disk that the store could do without: no less than what is known of
   them, and no more than what was deleted beside. */
static uint64_t spare_bytes(struct space *space, struct lsm *store,
                            uint64_t used_bytes)
{
	uint64_t reclaimable;
	uint64_t taken = taken_bytes(store, &reclaimable);
	double ratio;
	uint64_t deleted = deleted_bytes(space, store, &ratio);
	uint64_t spare, needed;

	if (deleted == 0)
		return reclaimable;
	if (ratio < 0) {
		ratio = (double)(taken - reclaimable) /
		        (double)(used_bytes + deleted);
		keep_ratio(space, ratio);
	}
	needed = (uint64_t)(ratio * (double)used_bytes);
	spare = needed < taken ? taken - needed : 0;
	if (spare < reclaimable)
		return reclaimable;
	return spare - reclaimable < deleted ? spare : reclaimable + deleted;
}

/* ---- asking for it --------------------------------------------------------- */

static void ask_if_much(struct space *space, struct lsm *store,
                        uint64_t free_bytes)
{
	uint64_t bytes, seq;

	sync_lock(&space->mu);
	bytes = space->recent;
	sync_unlock(&space->mu);
	if (bytes < LEAST_BYTES || bytes < free_bytes / MUCH_PART)
		return;
	seq = lsm_reclaim(store);
	sync_lock(&space->mu);
	/* Another may have asked at the same time. */
	if (bytes > space->recent)
		bytes = space->recent;
	space->recent -= bytes;
	space->asked += bytes;
	if (space->asked_seq < seq)
		space->asked_seq = seq;
	sync_unlock(&space->mu);
}

void space_settle(struct space *space, struct lsm *store, uint64_t used_bytes)
{
	uint64_t total, left;
	bool is_known;
	uint64_t recent;

	sync_lock(&space->mu);
	recent = space->recent;
	is_known = space->ratio >= 0;
	sync_unlock(&space->mu);
	if (recent > 0 && !is_known)
		(void)spare_bytes(space, store, used_bytes);
	if (recent >= LEAST_BYTES &&
	    lsm_disk_space(store, &total, &left) == LSM_OK)
		ask_if_much(space, store, left);
}

enum lsm_err space_ask(struct space *space, struct lsm *store,
                       uint64_t used_bytes, uint64_t *total_out,
                       uint64_t *free_out)
{
	enum lsm_err err = lsm_disk_space(store, total_out, free_out);

	if (err != LSM_OK)
		return err;
	ask_if_much(space, store, *free_out);
	*free_out += spare_bytes(space, store, used_bytes);
	if (*free_out > *total_out)
		*free_out = *total_out;
	return LSM_OK;
}
