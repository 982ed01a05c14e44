/* SPDX-License-Identifier: MIT */
#include "seg/active_segment.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"

enum { BEHIND_BYTES = 1 << 20 }; /* the disk is handed so much at a time */

struct active_segment {
	atomic_uint refs;

	/* Constant after create. */
	struct env_file *file;
	struct file_id id;
	uint64_t max_bytes;

	_Atomic(enum lsm_err) failed; /* the first error of write and sync */

	struct sync_mutex mu;
	struct sync_cond changed; /* idle, or a sync has ended */
	/* Guarded by mu. */
	uint64_t bytes;  /* reserved; the file is as long */
	uint64_t synced; /* of them; all written then */
	unsigned reservations;
	struct segment_footer footer;
	bool preallocates; /* until it cannot be done */
	bool closed, finished;
	bool syncing; /* somebody is */
};

/* ---- made and gone ---------------------------------------------------------- */

static enum lsm_err write_header(struct active_segment *segment,
                                 const struct uuid *family)
{
	struct file_header header = {FILE_KIND_SEGMENT, segment->id, *family,
	                             0};
	uint8_t bytes[FILE_HEADER_BYTES];

	file_header_encode(&header, bytes);
	return env_write(segment->file, 0, bytes, sizeof(bytes));
}

enum lsm_err active_segment_create(struct env_dir *pool, struct file_id id,
                                   const struct uuid *family,
                                   uint64_t max_bytes,
                                   struct active_segment **segment_out)
{
	struct active_segment *segment = calloc(1, sizeof(*segment));
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	*segment_out = NULL;
	if (segment == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&segment->refs, 1);
	atomic_init(&segment->failed, LSM_OK);
	segment->id = id;
	segment->max_bytes = max_bytes;
	segment->bytes = FILE_HEADER_BYTES;
	segment->synced = FILE_HEADER_BYTES; /* of no use alone */
	segment->preallocates = true;
	sync_mutex_init(&segment->mu, SYNC_RANK_WAL);
	sync_cond_init(&segment->changed);
	file_name_format(FILE_KIND_SEGMENT, id, name);
	err = env_open(pool, name, ENV_CREATE, &segment->file);
	if (err == LSM_OK)
		err = write_header(segment, family);
	if (err != LSM_OK) {
		active_segment_unref(segment);
		return err;
	}
	*segment_out = segment;
	return LSM_OK;
}

void active_segment_ref(struct active_segment *segment)
{
	atomic_fetch_add_explicit(&segment->refs, 1, memory_order_relaxed);
}

void active_segment_unref(struct active_segment *segment)
{
	if (segment == NULL ||
	    atomic_fetch_sub_explicit(&segment->refs, 1,
	                              memory_order_acq_rel) != 1)
		return;
	assert(segment->reservations == 0);
	(void)env_close(segment->file); /* what counts was synced */
	sync_cond_destroy(&segment->changed);
	sync_mutex_destroy(&segment->mu);
	free(segment);
}

struct file_id active_segment_id(const struct active_segment *segment)
{
	return segment->id;
}

uint64_t active_segment_max_bytes(const struct active_segment *segment)
{
	return segment->max_bytes;
}

uint64_t active_segment_bytes(struct active_segment *segment)
{
	uint64_t bytes;

	sync_lock(&segment->mu);
	bytes = segment->bytes;
	sync_unlock(&segment->mu);
	return bytes;
}

bool active_segment_is_empty(struct active_segment *segment)
{
	return active_segment_bytes(segment) == FILE_HEADER_BYTES;
}

/* ---- reserve and write ------------------------------------------------------ */

static enum lsm_err fail(struct active_segment *segment, enum lsm_err err)
{
	enum lsm_err none = LSM_OK;

	atomic_compare_exchange_strong(&segment->failed, &none, err);
	return err;
}

/* With room for a footer, so that who finishes it meets no full disk. Needs mu. */
static enum lsm_err preallocate(struct active_segment *segment, uint64_t bytes)
{
	enum lsm_err err;

	if (!segment->preallocates)
		return LSM_OK;
	err = env_preallocate(segment->file, segment->bytes,
	                      bytes + SEGMENT_FOOTER_BYTES);
	if (err != LSM_ERR_NOT_SUPPORTED)
		return err;
	segment->preallocates = false;
	return LSM_OK;
}

enum lsm_err active_segment_reserve(struct active_segment *segment,
                                    uint64_t bytes, uint64_t frames,
                                    uint64_t raw_bytes, uint64_t *offset_out)
{
	enum lsm_err err = atomic_load(&segment->failed);

	*offset_out = 0;
	sync_lock(&segment->mu);
	/* The first ones fit, whatever they are. */
	if (segment->footer.frames > 0 &&
	    segment->bytes + bytes > segment->max_bytes)
		segment->closed = true;
	if (err == LSM_OK && segment->closed)
		err = LSM_ERR_BUSY;
	if (err == LSM_OK)
		err = preallocate(segment, bytes);
	if (err == LSM_OK) {
		*offset_out = segment->bytes;
		segment->bytes += bytes;
		segment->footer.frames += frames;
		segment->footer.raw_bytes += raw_bytes;
		segment->reservations++;
	}
	sync_unlock(&segment->mu);
	return err;
}

/* Hand the disk what fills whole steps up to `end`. A writer beside may not be done
   there: the rest then waits for the sync. */
static void write_behind(struct active_segment *segment, uint64_t offset,
                         uint64_t end)
{
	uint64_t from = offset - offset % BEHIND_BYTES;
	uint64_t to = end - end % BEHIND_BYTES;

	if (to > from)
		env_write_behind(segment->file, from, to - from);
}

enum lsm_err active_segment_write(struct active_segment *segment,
                                  uint64_t offset, struct slice bytes)
{
	enum lsm_err err = atomic_load(&segment->failed);

	if (err == LSM_OK)
		err = env_write(segment->file, offset, bytes.data, bytes.len);
	if (err != LSM_OK)
		return fail(segment, err);
	write_behind(segment, offset, offset + bytes.len);
	return LSM_OK;
}

void active_segment_let_go(struct active_segment *segment)
{
	sync_lock(&segment->mu);
	assert(segment->reservations > 0);
	if (--segment->reservations == 0)
		sync_broadcast(&segment->changed);
	sync_unlock(&segment->mu);
}

/* ---- close, sync, finish ---------------------------------------------------- */

bool active_segment_close(struct active_segment *segment)
{
	bool idle;

	sync_lock(&segment->mu);
	segment->closed = true;
	idle = segment->reservations == 0;
	sync_unlock(&segment->mu);
	return idle;
}

void active_segment_await_idle(struct active_segment *segment)
{
	sync_lock(&segment->mu);
	while (segment->reservations > 0)
		sync_wait(&segment->changed, &segment->mu);
	sync_unlock(&segment->mu);
}

void active_segment_reopen(struct active_segment *segment)
{
	sync_lock(&segment->mu);
	assert(!segment->finished);
	segment->closed = false;
	sync_unlock(&segment->mu);
}

/* Needs mu. */
static void await_sync(struct active_segment *segment)
{
	while (segment->syncing)
		sync_wait(&segment->changed, &segment->mu);
}

/*
 * One at a time: the system reports a failed write-back once for an open file, so
 * of two overlapping syncs one would be told of success while bytes are lost.
 */
enum lsm_err active_segment_sync(struct active_segment *segment)
{
	uint64_t covers;
	enum lsm_err err;

	sync_lock(&segment->mu);
	await_sync(segment);
	err = atomic_load(&segment->failed);
	if (err != LSM_OK || segment->finished ||
	    segment->synced == segment->bytes)
		goto out;
	/* What is reserved may yet be written: that is for the next sync. */
	covers = segment->reservations == 0 ? segment->bytes : segment->synced;
	segment->syncing = true;
	sync_unlock(&segment->mu);

	err = env_sync(segment->file);
	if (err != LSM_OK)
		err = fail(segment, err);

	sync_lock(&segment->mu);
	segment->syncing = false;
	if (err == LSM_OK && segment->synced < covers)
		segment->synced = covers;
	sync_broadcast(&segment->changed);
out:
	sync_unlock(&segment->mu);
	return err;
}

/* Needs mu. A full disk is met by the footer's write only, which may be tried
   again: nobody else writes. */
static enum lsm_err finish(struct active_segment *segment)
{
	uint8_t bytes[SEGMENT_FOOTER_BYTES];
	enum lsm_err err = atomic_load(&segment->failed);

	segment_footer_encode(&segment->footer, segment->id, segment->bytes,
	                      bytes);
	if (err == LSM_OK)
		err = env_write(segment->file, segment->bytes, bytes,
		                sizeof(bytes));
	if (err == LSM_ERR_NOSPACE || err == LSM_ERR_NOMEM)
		return err;
	if (err == LSM_OK)
		err = env_sync(segment->file);
	if (err == LSM_OK)
		err = env_seal(segment->file);
	return err == LSM_OK ? LSM_OK : fail(segment, err);
}

enum lsm_err active_segment_finish(struct active_segment *segment,
                                   uint64_t *bytes_out)
{
	enum lsm_err err = LSM_OK;

	sync_lock(&segment->mu);
	assert(segment->closed && segment->reservations == 0);
	await_sync(segment);
	if (!segment->finished)
		err = finish(segment);
	segment->finished = err == LSM_OK;
	*bytes_out = segment->bytes + SEGMENT_FOOTER_BYTES;
	sync_unlock(&segment->mu);
	return err;
}
