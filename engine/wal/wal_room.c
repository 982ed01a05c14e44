/* SPDX-License-Identifier: MIT */
#include "wal/wal_room.h"

enum {
	/* A window is as long as the log before it, and as what a sync finds,
	   within these. Whoever makes one waits for it: some 70 us for the
	   largest. */
	WINDOW_LEAST_BYTES = 16 << 10,
	WINDOW_MOST_BYTES = WAL_WINDOW_BYTES,
	/* A window has room for several, and ends with less unused. */
	STORE_MOST_BYTES = 32 << 10,
	/* What is settled at a time, in pieces. */
	SETTLE_BYTES = 64 << 10,
	ZERO_BYTES = 16 << 10,
};

void wal_room_init(struct wal_room *room, uint64_t step_bytes, bool maps)
{
	room->file = NULL;
	room->step_bytes = step_bytes;
	room->reserved_upto = 0;
	room->settled_upto = 0;
	room->preallocates = step_bytes > 0;
	room->maps = maps;
	room->map = NULL;
	room->map_end = room->map_len = 0;
}

void wal_room_release(struct wal_room *room)
{
	env_unmap(room->map);
	room->map = NULL;
	room->maps = false;
}

/* ---- reserve ----------------------------------------------------------- */

static uint64_t round_up(uint64_t bytes, uint64_t step)
{
	return (bytes + step - 1) / step * step;
}

static enum lsm_err preallocate_upto(struct wal_room *room, uint64_t upto)
{
	enum lsm_err err;

	err = env_preallocate(room->file, room->reserved_upto,
	                      upto - room->reserved_upto);
	if (err == LSM_OK)
		room->reserved_upto = upto;
	return err;
}

enum lsm_err wal_room_reserve(struct wal_room *room, uint64_t needed)
{
	const uint64_t step = room->step_bytes;
	uint64_t grown = room->reserved_upto;
	uint64_t least;
	enum lsm_err err;

	if (!room->preallocates || needed <= room->reserved_upto)
		return LSM_OK;
	least = round_up(needed, step);
	grown += grown < WAL_STEP_MAX_BYTES ? grown : WAL_STEP_MAX_BYTES;
	grown = round_up(grown, step);
	if (grown < least)
		grown = least;

	err = preallocate_upto(room, grown);
	if (err == LSM_ERR_NOSPACE && grown > least)
		err = preallocate_upto(room, least);
	if (err == LSM_ERR_NOT_SUPPORTED) {
		room->preallocates = false;
		err = LSM_OK;
	}
	return err;
}

/* ---- settle ------------------------------------------------------------ */

enum lsm_err wal_room_settle(struct wal_room *room, uint64_t at, uint64_t bytes)
{
	static const uint8_t zeros[ZERO_BYTES];
	uint64_t end = at + bytes + SETTLE_BYTES;
	enum lsm_err err = LSM_OK;

	if (!room->preallocates || at + bytes <= room->settled_upto)
		return LSM_OK;
	if (end > room->reserved_upto)
		end = room->reserved_upto;
	while (err == LSM_OK && at < end) {
		uint64_t len = end - at < ZERO_BYTES ? end - at : ZERO_BYTES;

		err = env_write(room->file, at, zeros, (size_t)len);
		at += len;
	}
	if (err == LSM_OK)
		room->settled_upto = end;
	return err;
}

/* ---- store ------------------------------------------------------------- */

/*
 * Where a window from `at` on ends that has room for `bytes`: where its length
 * divides the offset, so that what the kernel keeps together, and writes to the
 * disk together, lies in one window.
 */
static uint64_t window_end(const struct wal_room *room, uint64_t at,
                           uint64_t bytes, uint64_t len)
{
	uint64_t end = round_up(at + bytes, len);

	return end < room->reserved_upto ? end : room->reserved_upto;
}

static uint64_t window_len(uint64_t at, uint64_t per_sync)
{
	uint64_t len = WINDOW_LEAST_BYTES;

	while (len < WINDOW_MOST_BYTES && len * 2 <= at && len * 2 <= per_sync)
		len *= 2;
	return len;
}

static void next_window(struct wal_room *room, uint64_t at, uint64_t bytes,
                        uint64_t len)
{
	uint64_t end = window_end(room, at, bytes, len);

	env_unmap(room->map);
	if (env_map(room->file, at, end - at, &room->map) == LSM_OK) {
		room->map_end = end;
		room->map_len = len;
	} else {
		room->maps = false; /* whatever it was: there is write */
	}
}

bool wal_room_covers(struct wal_room *room, uint64_t at, uint64_t bytes,
                     uint64_t per_sync)
{
	uint64_t end = at + bytes;

	if (room->map != NULL && end <= room->map_end)
		return room->map_len <= WINDOW_LEAST_BYTES ||
		       room->map_len <= per_sync;
	if (!room->maps || bytes > STORE_MOST_BYTES ||
	    end > room->reserved_upto)
		return false;
	next_window(room, at, bytes, window_len(at, per_sync));
	return room->map != NULL && end <= room->map_end;
}

enum lsm_err wal_room_store(struct wal_room *room, uint64_t at,
                            const void *data, size_t len)
{
	return len == 0 ? LSM_OK : env_map_store(room->map, at, data, len);
}
