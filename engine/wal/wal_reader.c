/* SPDX-License-Identifier: MIT */
/*
 * wal_reader.c: a window slides over the file and grows to the largest record.
 *
 * Behind the first record that is not whole, every offset may begin one that was
 * written later: its promise counts, its payload does not. Only headers that
 * promise more than is known are worth the checksum of a payload, which keeps
 * that search short.
 */
#include "wal/wal_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"

enum { READ_STEP_BYTES = 256 << 10 };

struct wal_reader {
	/* Constant after open. */
	struct env_file *file;
	struct file_header header;
	uint64_t promised_upto;
	char name[FILE_NAME_MAX_BYTES];

	uint64_t file_bytes; /* less when the file turns out to be shorter */
	struct buf window;   /* the bytes of the file from window_offset */
	uint64_t window_offset;
	uint64_t offset; /* of the next record, or of the end */
	uint64_t last;   /* of the record whose payload is lent */
	uint64_t promise;
	enum lsm_err err; /* what ended the walk early */
	bool torn;
	bool sealed;
	bool ended;
};

/* Read on behind the window until it holds `len` bytes or the file ends. */
static enum lsm_err extend_window(struct wal_reader *reader, size_t len)
{
	struct buf *window = &reader->window;
	enum lsm_err err;

	if (len < READ_STEP_BYTES)
		len = READ_STEP_BYTES;
	err = buf_reserve(window, len - window->len);
	if (err != LSM_OK)
		return err;
	while (window->len < len) {
		uint64_t from = reader->window_offset + window->len;
		size_t want = len - window->len, got;

		if (from >= reader->file_bytes)
			break;
		if (want > reader->file_bytes - from)
			want = (size_t)(reader->file_bytes - from);
		err = env_read(reader->file, from, window->data + window->len,
		               want, &got);
		if (err != LSM_OK)
			return err;
		window->len += got;
		if (got < want)
			reader->file_bytes = from + got;
	}
	return LSM_OK;
}

/*
 * Get the bytes from `offset` on: at least `len` of them unless the file ends
 * before. Offsets never go back. What was lent before is gone.
 */
static enum lsm_err view(struct wal_reader *reader, uint64_t offset, size_t len,
                         struct slice *bytes_out)
{
	struct buf *window = &reader->window;
	uint64_t skip = offset - reader->window_offset;

	if (skip > window->len || window->len - (size_t)skip < len) {
		size_t keep = 0;
		enum lsm_err err;

		if (skip < window->len) {
			keep = window->len - (size_t)skip;
			memmove(window->data, window->data + skip, keep);
		}
		window->len = keep;
		reader->window_offset = offset;
		skip = 0;
		err = extend_window(reader, len);
		if (err != LSM_OK)
			return err;
	}
	*bytes_out =
	    slice_make(window->data + skip, window->len - (size_t)skip);
	return LSM_OK;
}

/* Read the record at `offset`; *whole_out is false where there is none. */
static enum lsm_err read_record(struct wal_reader *reader, uint64_t offset,
                                struct wal_record *record, size_t *used_out,
                                bool *whole_out)
{
	struct slice bytes;
	uint64_t synced_upto;
	enum lsm_err err;
	size_t total;

	*whole_out = false;
	err = view(reader, offset, WAL_RECORD_HEADER_MAX_BYTES, &bytes);
	if (err != LSM_OK)
		return err;
	if (!wal_record_peek(reader->header.id, offset, bytes, &total,
	                     &synced_upto) ||
	    total > reader->file_bytes - offset)
		return LSM_OK;
	err = view(reader, offset, total, &bytes);
	if (err != LSM_OK)
		return err;
	*whole_out = wal_record_decode(reader->header.id, offset, bytes, record,
	                               used_out);
	return LSM_OK;
}

/*
 * The first offset from `offset` on, within the window, whose header promises
 * more than is known; or where the window leaves off, or holds no whole header
 * for sure.
 */
static uint64_t skip_to_candidate(const struct wal_reader *reader,
                                  uint64_t offset, struct slice bytes,
                                  bool *found_out)
{
	bool last = offset + bytes.len >= reader->file_bytes;
	size_t least = last ? 1 : WAL_RECORD_HEADER_MAX_BYTES;
	size_t at = 0;

	*found_out = false;
	for (; bytes.len - at >= least; at++) {
		struct slice rest = slice_make(bytes.data + at, bytes.len - at);
		uint64_t synced_upto;
		size_t total;

		if (wal_record_peek(reader->header.id, offset + at, rest,
		                    &total, &synced_upto) &&
		    synced_upto > reader->promise) {
			*found_out = true;
			break;
		}
	}
	return offset + at;
}

/* Raise the promise by the records behind the end of the log. */
static enum lsm_err look_behind(struct wal_reader *reader)
{
	uint64_t offset = reader->offset;

	for (;;) {
		struct wal_record record;
		struct slice bytes;
		bool found, whole;
		enum lsm_err err;
		size_t used;

		err = view(reader, offset, WAL_RECORD_HEADER_MAX_BYTES, &bytes);
		if (err != LSM_OK || bytes.len == 0)
			return err;
		offset = skip_to_candidate(reader, offset, bytes, &found);
		if (!found)
			continue;
		err = read_record(reader, offset, &record, &used, &whole);
		if (err != LSM_OK)
			return err;
		if (whole) {
			reader->promise = record.synced_upto;
			offset += used;
		} else {
			offset++;
		}
	}
}

/* Whether what stands at the end is more than preallocated zeros. */
static enum lsm_err look_at_end(struct wal_reader *reader)
{
	struct slice bytes;
	enum lsm_err err;

	err = view(reader, reader->offset, WAL_RECORD_HEADER_MAX_BYTES, &bytes);
	for (size_t i = 0; err == LSM_OK && i < bytes.len; i++)
		reader->torn |= bytes.data[i] != 0;
	return err;
}

/* The log ends here: was anything promised behind? */
static enum lsm_err judge_end(struct wal_reader *reader)
{
	uint64_t promised = reader->promised_upto;
	enum lsm_err err;

	if (!reader->sealed) {
		err = look_at_end(reader);
		if (err == LSM_OK)
			err = look_behind(reader);
		if (err != LSM_OK)
			return err;
	}
	if (promised < reader->promise)
		promised = reader->promise;
	if (reader->offset < promised) {
		log_error("%s: the log ends at offset %" PRIu64
		          ", but was synced up to offset %" PRIu64,
		          reader->name, reader->offset, promised);
		return LSM_ERR_LOST;
	}
	return LSM_OK;
}

enum lsm_err wal_reader_open(struct env_dir *pool, enum file_kind kind,
                             struct file_id id, const struct uuid *family,
                             uint64_t promised_upto,
                             struct wal_reader **reader_out)
{
	uint8_t header[FILE_HEADER_BYTES];
	struct wal_reader *reader;
	enum lsm_err err;
	size_t got;

	*reader_out = NULL;
	reader = calloc(1, sizeof(*reader));
	if (reader == NULL)
		return LSM_ERR_NOMEM;
	buf_init(&reader->window);
	reader->promised_upto = promised_upto;
	reader->offset = FILE_HEADER_BYTES;
	reader->window_offset = FILE_HEADER_BYTES;
	file_name_format(kind, id, reader->name);

	err = env_open(pool, reader->name, ENV_READ, &reader->file);
	if (err == LSM_ERR_NOT_FOUND)
		log_error("%s: the file is missing", reader->name);
	if (err != LSM_OK)
		goto out;
	err = env_size(reader->file, &reader->file_bytes);
	if (err != LSM_OK)
		goto out;
	err = env_read(reader->file, 0, header, sizeof(header), &got);
	if (err != LSM_OK)
		goto out;
	err = file_header_decode(slice_make(header, got), reader->name, kind,
	                         family, id, &reader->header);
	if (err != LSM_OK)
		goto out;

	*reader_out = reader;
	reader = NULL; /* now the caller's */
out:
	wal_reader_close(reader);
	return err;
}

void wal_reader_close(struct wal_reader *reader)
{
	if (reader == NULL)
		return;
	env_close(reader->file);
	buf_release(&reader->window);
	free(reader);
}

void wal_reader_limit(struct wal_reader *reader, uint64_t bytes)
{
	assert(reader->window.len == 0);
	if (reader->file_bytes > bytes)
		reader->file_bytes = bytes;
}

/* Take the next record, or find that there is none. */
static enum lsm_err step(struct wal_reader *reader, struct slice *payload_out)
{
	struct wal_record record;
	enum lsm_err err;
	bool whole;
	size_t used;

	err = read_record(reader, reader->offset, &record, &used, &whole);
	if (err != LSM_OK)
		return err;
	if (!whole) {
		reader->ended = true;
		return judge_end(reader);
	}
	reader->last = reader->offset;
	reader->offset += used;
	if (reader->promise < record.synced_upto)
		reader->promise = record.synced_upto;
	if (record.type == WAL_RECORD_END) {
		reader->ended = true;
		reader->sealed = true;
		return judge_end(reader);
	}
	*payload_out = record.payload;
	return LSM_OK;
}

enum lsm_err wal_reader_next(struct wal_reader *reader,
                             struct slice *payload_out, bool *more_out)
{
	*payload_out = slice_make(NULL, 0);
	*more_out = false;
	if (reader->err == LSM_OK && !reader->ended) {
		reader->err = step(reader, payload_out);
		*more_out = reader->err == LSM_OK && !reader->ended;
	}
	return reader->err;
}

enum lsm_err wal_reader_reject(struct wal_reader *reader)
{
	if (reader->err == LSM_OK && !reader->ended) {
		reader->offset = reader->last;
		reader->ended = true;
		reader->torn = true;
		reader->err = judge_end(reader);
	}
	return reader->err;
}

bool wal_reader_sealed(const struct wal_reader *reader)
{
	return reader->sealed;
}

bool wal_reader_torn(const struct wal_reader *reader)
{
	return reader->torn;
}

uint64_t wal_reader_end(const struct wal_reader *reader)
{
	return reader->offset;
}

uint64_t wal_reader_promise(const struct wal_reader *reader)
{
	return reader->promise;
}
