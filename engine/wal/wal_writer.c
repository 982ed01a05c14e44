/* SPDX-License-Identifier: MIT */
/*
 * wal_writer.c: one appending thread beside any number of syncing ones.
 *
 * They share three atomics. `size` is stored after the write returned, so that
 * a sync that reads it covers bytes that the file has. `synced` is stored after
 * the sync returned, and stands in every record framed later. `failed` keeps
 * the first error.
 *
 * Syncs run one at a time, under `sync_mutex`: the system reports a failed
 * write-back once for an open file, so of two overlapping syncs one would be
 * told of success while bytes below its offset are lost. A waiter often finds
 * that the sync before its own has covered it.
 *
 * A promise is repeated: the first record that begins in a sector carries it, and
 * the first after it grew. So it is still found where the sector of durable bytes
 * that were lost took others with it.
 *
 * Written or stored. A store into a mapping of the log costs no system call,
 * survives the process as a write does, and is a fraction of its price; but each
 * sync write-protects the page at the end of the log, and the next store there
 * then costs a fault. So the first appends after a sync are written, and only
 * those beyond `map_after` stored, where room was made ready for it
 * (wal/wal_room.h): a log that is synced after each commit never has any. Large
 * groups are written too. A store never waits for the disk, nor meets its errors
 * there: what is ready is in memory.
 *
 * Settled. Where each sync finds a page or some, zeros are written ahead of the
 * log, some pages at a time: otherwise each sync would wait for the filesystem to
 * note, in its own log, that one more page of what was reserved is in use.
 */
#include "wal/wal_writer.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/sync.h"

enum {
	WRITE_BEHIND_BYTES = 1 << 20,
	PROMISE_EACH_BYTES = 512,   /* a sector: a power of two */
	FRAME_KEEP_BYTES = 1 << 20, /* framing memory kept between appends */
	/* A log is settled after so many syncs, where the last found so much: of
	   less several would share a page, and only the first would gain. */
	SETTLE_AFTER_SYNCS = 4,
	SETTLE_LEAST_BYTES = 2 << 10,
	SETTLE_MOST_BYTES = 16 << 10,
};

struct wal_writer {
	/* Constant after create. */
	struct env_file *file;
	struct file_id id;
	uint32_t map_after;

	struct sync_mutex sync_mutex;
	_Atomic uint64_t synced; /* stored under sync_mutex; release, acquire */
	_Atomic int failed;      /* enum lsm_err; likewise */

	/* Release when stored by the appending thread, acquire when loaded: see
	   the head. */
	_Atomic uint64_t size;

	/* The appending thread's. */
	uint64_t behind_upto; /* write-back was asked for up to here */
	uint64_t seen_synced; /* `synced` at the last append */
	uint64_t per_sync;    /* bytes the last sync found, or the next will */
	uint64_t promised;    /* by the last record that promises */
	uint64_t promised_at; /* where that begins */
	unsigned since_sync;  /* appends since seen_synced changed */
	unsigned syncs;       /* how often it changed */
	bool sealed;
	struct wal_room room;
	struct buf frame;
};

static enum lsm_err sticky_error(const struct wal_writer *writer)
{
	return (enum lsm_err)atomic_load_explicit(&writer->failed,
	                                          memory_order_acquire);
}

/* Keep `err` unless there is an earlier one; returns the one that is kept. */
static enum lsm_err fail(struct wal_writer *writer, enum lsm_err err)
{
	int before = LSM_OK;

	assert(err != LSM_OK);
	if (atomic_compare_exchange_strong(&writer->failed, &before, (int)err))
		return err;
	return (enum lsm_err)before;
}

static enum lsm_err write_header(struct wal_writer *writer,
                                 const struct file_header *header)
{
	uint8_t bytes[FILE_HEADER_BYTES];
	enum lsm_err err;

	err = wal_room_reserve(&writer->room,
	                       FILE_HEADER_BYTES + wal_record_bytes(0));
	if (err != LSM_OK)
		return err;
	file_header_encode(header, bytes);
	err = env_write(writer->file, 0, bytes, sizeof(bytes));
	if (err == LSM_OK)
		atomic_store_explicit(&writer->size, FILE_HEADER_BYTES,
		                      memory_order_release);
	return err;
}

enum lsm_err wal_writer_create(struct env_dir *pool,
                               const struct file_header *header,
                               uint32_t step_bytes, uint32_t map_after,
                               struct wal_writer **writer_out)
{
	char name[FILE_NAME_MAX_BYTES];
	struct wal_writer *writer;
	enum lsm_err err;

	assert(header->kind != FILE_KIND_TABLE);
	*writer_out = NULL;

	writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return LSM_ERR_NOMEM;
	writer->id = header->id;
	writer->map_after = map_after;
	wal_room_init(&writer->room, step_bytes, map_after != UINT32_MAX);
	buf_init(&writer->frame);
	sync_mutex_init(&writer->sync_mutex, SYNC_RANK_WAL);

	file_name_format(header->kind, header->id, name);
	err = env_open(pool, name, ENV_CREATE, &writer->file);
	if (err != LSM_OK)
		goto out;
	writer->room.file = writer->file;
	err = write_header(writer, header);
	if (err != LSM_OK) {
		/* A second failure is logged by the env; the first counts. */
		enum lsm_err unlinked = env_unlink(pool, name);

		(void)unlinked;
		goto out;
	}
	*writer_out = writer;
	writer = NULL; /* now the caller's */
out:
	wal_writer_destroy(writer);
	return err;
}

void wal_writer_destroy(struct wal_writer *writer)
{
	if (writer == NULL)
		return;
	wal_room_release(&writer->room);
	env_close(writer->file);
	buf_release(&writer->frame);
	sync_mutex_destroy(&writer->sync_mutex);
	free(writer);
}

enum lsm_err wal_writer_reserve(struct wal_writer *writer, uint64_t bytes)
{
	enum lsm_err err = sticky_error(writer);

	if (err != LSM_OK)
		return err;
	/* The end record has its place too, so that sealing needs no room. */
	return wal_room_reserve(&writer->room, wal_writer_size(writer) + bytes +
	                                           wal_record_bytes(0));
}

/*
 * The log now reaches to `size`. A window that is still being filled is not
 * written behind: its pages would be written twice, and each be faulted in again.
 */
static void grow_to(struct wal_writer *writer, uint64_t size)
{
	uint64_t filled = size & ~(uint64_t)(WAL_WINDOW_BYTES - 1);

	atomic_store_explicit(&writer->size, size, memory_order_release);

	if (filled >= writer->behind_upto + WRITE_BEHIND_BYTES) {
		env_write_behind(writer->file, writer->behind_upto,
		                 filled - writer->behind_upto);
		writer->behind_upto = filled;
	}
}

/* The record that will stand at `at`. */
static struct wal_record make_record(struct wal_writer *writer,
                                     enum wal_record_type type,
                                     struct slice payload, uint64_t at)
{
	struct wal_record record = {.type = type, .payload = payload};
	uint64_t synced = wal_writer_synced(writer);

	if (synced != writer->promised ||
	    at / PROMISE_EACH_BYTES !=
	        writer->promised_at / PROMISE_EACH_BYTES) {
		record.synced_upto = synced;
		writer->promised = synced;
		writer->promised_at = at;
	}
	return record;
}

/* ---- written ----------------------------------------------------------- */

/* Write what is framed to the end of the log. */
static enum lsm_err write_frame(struct wal_writer *writer)
{
	uint64_t size = wal_writer_size(writer);
	enum lsm_err err;

	err = env_write(writer->file, size, writer->frame.data,
	                writer->frame.len);
	if (err != LSM_OK)
		return fail(writer, err);
	grow_to(writer, size + writer->frame.len);
	return LSM_OK;
}

static enum lsm_err frame_record(struct wal_writer *writer,
                                 enum wal_record_type type,
                                 struct slice payload)
{
	uint64_t at = wal_writer_size(writer) + writer->frame.len;
	struct wal_record record = make_record(writer, type, payload, at);

	return wal_record_encode(writer->id, at, &record, &writer->frame);
}

static enum lsm_err write_group(struct wal_writer *writer,
                                const struct slice *payloads, size_t count,
                                uint64_t bytes)
{
	enum lsm_err err;

	/* Room for all at once, so that it is not copied as it grows. */
	buf_clear(&writer->frame);
	err = buf_reserve(&writer->frame, bytes);
	for (size_t i = 0; err == LSM_OK && i < count; i++)
		err = frame_record(writer, WAL_RECORD_DATA, payloads[i]);
	if (err == LSM_OK)
		err = write_frame(writer);
	else
		writer->promised = 0; /* by nothing that is there */
	if (writer->frame.cap > FRAME_KEEP_BYTES)
		buf_release(&writer->frame);
	return err;
}

/* ---- stored ------------------------------------------------------------ */

/* Whether the next `bytes` are to be stored. */
static bool may_store(struct wal_writer *writer, uint64_t bytes)
{
	uint64_t size = wal_writer_size(writer);
	uint64_t synced = wal_writer_synced(writer);

	if (synced != writer->seen_synced) {
		writer->per_sync = synced - writer->seen_synced;
		writer->seen_synced = synced;
		writer->syncs++;
		writer->since_sync = 0;
	}
	if (writer->since_sync < writer->map_after) {
		writer->since_sync++;
		return false;
	}
	if (size - synced > writer->per_sync)
		writer->per_sync = size - synced;
	return wal_room_covers(&writer->room, size, bytes, writer->per_sync);
}

static enum lsm_err store_group(struct wal_writer *writer,
                                const struct slice *payloads, size_t count)
{
	uint64_t at = wal_writer_size(writer);
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		struct wal_record record =
		    make_record(writer, WAL_RECORD_DATA, payloads[i], at);
		uint8_t header[WAL_RECORD_HEADER_MAX_BYTES];
		size_t len = wal_record_header(writer->id, at, &record, header);

		err = wal_room_store(&writer->room, at, header, len);
		at += len;
		if (err == LSM_OK)
			err = wal_room_store(&writer->room, at,
			                     payloads[i].data, payloads[i].len);
		at += payloads[i].len;
	}
	if (err != LSM_OK)
		return fail(writer, err);
	grow_to(writer, at);
	return LSM_OK;
}

/* Whether syncs come after few pages, and have done so. */
static bool is_synced_often(const struct wal_writer *writer, uint64_t bytes)
{
	uint64_t ahead =
	    wal_writer_size(writer) - wal_writer_synced(writer) + bytes;

	return writer->syncs >= SETTLE_AFTER_SYNCS &&
	       writer->per_sync >= SETTLE_LEAST_BYTES &&
	       writer->per_sync <= SETTLE_MOST_BYTES &&
	       ahead <= SETTLE_MOST_BYTES;
}

static enum lsm_err settle(struct wal_writer *writer, uint64_t bytes)
{
	enum lsm_err err;

	if (!is_synced_often(writer, bytes))
		return LSM_OK;
	err = wal_room_settle(&writer->room, wal_writer_size(writer), bytes);
	return err == LSM_OK ? LSM_OK : fail(writer, err);
}

/* ---- append, sync, seal ------------------------------------------------ */

enum lsm_err wal_writer_append(struct wal_writer *writer,
                               const struct slice *payloads, size_t count)
{
	enum lsm_err err = sticky_error(writer);
	uint64_t bytes = 0;

	assert(!writer->sealed);
	if (err != LSM_OK || count == 0)
		return err;
	for (size_t i = 0; i < count; i++)
		bytes += wal_record_bytes(payloads[i].len);
	if (may_store(writer, bytes))
		return store_group(writer, payloads, count);
	err = settle(writer, bytes);
	if (err != LSM_OK)
		return err;
	return write_group(writer, payloads, count, bytes);
}

enum lsm_err wal_writer_sync(struct wal_writer *writer)
{
	return wal_writer_sync_upto(writer, wal_writer_size(writer));
}

enum lsm_err wal_writer_sync_upto(struct wal_writer *writer, uint64_t upto)
{
	enum lsm_err err;

	sync_lock(&writer->sync_mutex);
	err = sticky_error(writer);
	if (err != LSM_OK || wal_writer_synced(writer) >= upto)
		goto out;

	err = env_sync(writer->file);
	if (err != LSM_OK) {
		err = fail(writer, err);
		goto out;
	}
	atomic_store_explicit(&writer->synced, upto, memory_order_release);
out:
	sync_unlock(&writer->sync_mutex);
	return err;
}

enum lsm_err wal_writer_seal(struct wal_writer *writer)
{
	enum lsm_err err;

	assert(!writer->sealed);
	err = sticky_error(writer);
	if (err != LSM_OK)
		return err;

	buf_clear(&writer->frame);
	err = frame_record(writer, WAL_RECORD_END, slice_make(NULL, 0));
	if (err != LSM_OK)
		return err;
	err = write_frame(writer);
	if (err != LSM_OK)
		return err;
	/* From here the log is at its end, whatever its mode says. */
	writer->sealed = true;
	wal_room_release(&writer->room);
	buf_release(&writer->frame);
	err = env_seal(writer->file);
	return err == LSM_OK ? LSM_OK : fail(writer, err);
}

struct file_id wal_writer_id(const struct wal_writer *writer)
{
	return writer->id;
}

uint64_t wal_writer_size(const struct wal_writer *writer)
{
	return atomic_load_explicit(&writer->size, memory_order_acquire);
}

uint64_t wal_writer_synced(const struct wal_writer *writer)
{
	return atomic_load_explicit(&writer->synced, memory_order_acquire);
}
