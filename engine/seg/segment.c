/* SPDX-License-Identifier: MIT */
#include "seg/segment.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/codec.h"
#include "base/log.h"

enum {
	/* An open file with the cache's entry, and about what the kernel has. */
	OPEN_SEGMENT_BYTES = 2048,
	CACHE_ENTRY_BYTES = 256,
	CACHE_WORD = 1, /* tables have 0 there */
	LINE_MAX_BYTES = 256,
};

/* Constant after open, and so free for any thread. */
struct segment {
	struct env_file *file;
	struct file_id id;
	char name[FILE_NAME_MAX_BYTES];
};

/* One in use. */
struct segment_ref {
	struct segment *segment;
	struct cache_handle *handle;
};

static enum log_level level_of(const struct segment_source *source)
{
	return source->lenient ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR;
}

/* ---- open ------------------------------------------------------------------- */

static void segment_close(struct segment *segment)
{
	if (segment == NULL)
		return;
	env_close(segment->file);
	free(segment);
}

static void close_value(void *value)
{
	segment_close(value);
}

static enum lsm_err read_header(struct segment *segment,
                                const struct segment_source *source)
{
	uint8_t bytes[FILE_HEADER_BYTES];
	struct file_header header;
	size_t got;
	enum lsm_err err =
	    env_read(segment->file, 0, bytes, sizeof(bytes), &got);

	if (err != LSM_OK)
		return err;
	return file_header_decode(
	    slice_make(bytes, got), source->lenient ? NULL : segment->name,
	    FILE_KIND_SEGMENT, &source->family, segment->id, &header);
}

/* What only a finished segment has: a size that stays, and a footer. */
static enum lsm_err read_end(const struct segment *segment,
                             uint64_t *file_bytes_out,
                             struct segment_footer *footer_out)
{
	uint8_t bytes[SEGMENT_FOOTER_BYTES];
	size_t got = 0;
	enum lsm_err err = env_size(segment->file, file_bytes_out);
	uint64_t offset = *file_bytes_out - SEGMENT_FOOTER_BYTES;

	if (err != LSM_OK)
		return err;
	err = LSM_ERR_CORRUPT;
	if (*file_bytes_out >= FILE_HEADER_BYTES + SEGMENT_FOOTER_BYTES) {
		err =
		    env_read(segment->file, offset, bytes, sizeof(bytes), &got);
		if (err != LSM_OK)
			return err;
		err = segment_footer_decode(slice_make(bytes, got), segment->id,
		                            offset, footer_out);
	}
	if (err != LSM_OK)
		log_error("%s: bad footer at the end of %" PRIu64 " bytes",
		          segment->name, *file_bytes_out);
	return err;
}

static enum lsm_err segment_open(const struct segment_source *source,
                                 struct file_id id,
                                 struct segment **segment_out)
{
	struct segment *segment = calloc(1, sizeof(*segment));
	enum lsm_err err;

	*segment_out = NULL;
	if (segment == NULL)
		return LSM_ERR_NOMEM;
	segment->id = id;
	file_name_format(FILE_KIND_SEGMENT, id, segment->name);
	err = env_open(source->pool, segment->name, ENV_READ, &segment->file);
	if (err == LSM_ERR_NOT_FOUND) {
		/* Passed up it would say that a key does not exist. */
		log_printf(level_of(source), "%s: the segment is missing",
		           segment->name);
		err = LSM_ERR_CORRUPT;
	}
	if (err == LSM_OK)
		err = read_header(segment, source);
	if (err != LSM_OK) {
		segment_close(segment);
		return err;
	}
	*segment_out = segment;
	return LSM_OK;
}

static struct cache_key segment_key(struct file_id id)
{
	struct cache_key key = {.word = {id.creator, id.number, CACHE_WORD}};

	return key;
}

static enum lsm_err take(const struct segment_source *source, struct file_id id,
                         struct segment_ref *ref_out)
{
	struct cache_key key = segment_key(id);
	struct segment *segment;
	enum lsm_err err;

	memset(ref_out, 0, sizeof(*ref_out));
	ref_out->handle = cache_lookup(source->files, &key);
	if (ref_out->handle != NULL) {
		ref_out->segment = cache_value(ref_out->handle);
		return LSM_OK;
	}
	/* Two threads may both open it: the later one stays. */
	err = segment_open(source, id, &segment);
	if (err != LSM_OK)
		return err;
	err = cache_insert(source->files, &key, segment,
	                   OPEN_SEGMENT_BYTES - CACHE_ENTRY_BYTES, close_value,
	                   &ref_out->handle);
	if (err != LSM_OK) {
		segment_close(segment);
		return err;
	}
	ref_out->segment = segment;
	return LSM_OK;
}

static void let_go(const struct segment_source *source, struct segment_ref *ref)
{
	if (ref->handle != NULL)
		cache_release(source->files, ref->handle);
}

void segment_forget(const struct segment_source *source, struct file_id id)
{
	struct cache_key key = segment_key(id);

	cache_erase(source->files, &key);
}

enum lsm_err segment_probe(const struct segment_source *source,
                           struct file_id id, uint64_t file_bytes)
{
	struct segment_ref ref;
	struct segment_footer footer;
	uint64_t found = 0;
	enum lsm_err err = take(source, id, &ref);

	if (err == LSM_OK)
		err = read_end(ref.segment, &found, &footer);
	if (err == LSM_OK && found != file_bytes) {
		log_error("%s: the segment has %" PRIu64 " bytes where %" PRIu64
		          " were expected",
		          ref.segment->name, found, file_bytes);
		err = LSM_ERR_CORRUPT;
	}
	let_go(source, &ref);
	return err;
}

/* ---- read ------------------------------------------------------------------- */

/* Whether a frame of that length can stand there, in a file of `file_bytes`; keeps
   sums from wrapping. */
static bool frame_fits(uint64_t file_bytes, uint64_t offset, uint64_t bytes)
{
	return offset >= FILE_HEADER_BYTES && offset <= file_bytes &&
	       bytes <= file_bytes - offset;
}

static bool same_pointer(const struct pointer *a, const struct pointer *b)
{
	return a->stored_len == b->stored_len && a->raw_len == b->raw_len &&
	       a->checksum == b->checksum;
}

/* Read the frame and see that it is the one that was asked for. */
static enum lsm_err load(const struct segment *segment, enum log_level level,
                         struct slice user, const struct pointer *pointer,
                         struct buf *bytes, struct frame *frame_out)
{
	uint64_t len = frame_bytes(user.len, pointer->stored_len);
	const char *fault = "the pointer leads out of the file";
	struct pointer found;
	enum lsm_err err = LSM_ERR_CORRUPT;

	/* Lengths are those of some frame; where the file ends the read tells. */
	buf_clear(bytes);
	if (pointer->offset >= FILE_HEADER_BYTES) {
		err = buf_reserve(bytes, (size_t)len);
		if (err == LSM_OK)
			err = env_read(segment->file, pointer->offset,
			               bytes->data, (size_t)len, &bytes->len);
		if (err == LSM_OK)
			err = frame_decode(buf_slice(bytes), segment->id,
			                   pointer->offset, frame_out, &found,
			                   &fault);
		if (err == LSM_OK && (!same_pointer(&found, pointer) ||
		                      !slice_equal(frame_out->user, user))) {
			fault = "another value stands there";
			err = LSM_ERR_CORRUPT;
		}
	}
	if (err == LSM_ERR_CORRUPT)
		log_printf(level,
		           "%s: bad frame at offset %" PRIu64 " with %" PRIu64
		           " bytes: %s",
		           segment->name, pointer->offset, len, fault);
	return err;
}

enum lsm_err segment_load(const struct segment_source *source,
                          struct slice user, const struct pointer *pointer,
                          struct buf *bytes, struct frame *frame_out)
{
	struct segment_ref ref;
	enum lsm_err err = take(source, pointer->segment, &ref);

	if (err == LSM_OK)
		err = load(ref.segment, level_of(source), user, pointer, bytes,
		           frame_out);
	let_go(source, &ref);
	return err;
}

static enum lsm_err unpack(const struct frame *frame, struct buf *value)
{
	enum lsm_err err;

	buf_clear(value);
	err = buf_reserve(value, frame->raw_len);
	if (err == LSM_OK)
		err = codec_decompress(frame->codec, frame->stored, value->data,
		                       frame->raw_len);
	if (err == LSM_OK)
		value->len = frame->raw_len;
	return err;
}

enum lsm_err segment_read(const struct segment_source *source,
                          struct slice user, const struct pointer *pointer,
                          struct buf *value)
{
	struct buf bytes = BUF_INIT;
	struct frame frame;
	enum lsm_err err = segment_load(source, user, pointer, &bytes, &frame);

	if (err == LSM_OK) {
		err = unpack(&frame, value);
		if (err == LSM_ERR_CORRUPT)
			log_error("segment %016" PRIx64 "-%" PRIu64
			          ": the frame at offset %" PRIu64
			          " does not decompress",
			          pointer->segment.creator,
			          pointer->segment.number, pointer->offset);
	}
	buf_release(&bytes);
	return err;
}

enum lsm_err segment_matches(const struct segment_source *source,
                             struct slice user, uint64_t seq,
                             const struct pointer *pointer, bool *matches_out)
{
	uint8_t bytes[FRAME_HEADER_BYTES + LSM_KEY_MAX_BYTES];
	struct segment_ref ref;
	struct pointer found;
	uint64_t found_seq;
	size_t want = FRAME_HEADER_BYTES + user.len, user_len, got = 0;
	enum lsm_err err = take(source, pointer->segment, &ref);

	*matches_out = false;
	if (err == LSM_OK && user.len <= LSM_KEY_MAX_BYTES &&
	    pointer->offset >= FILE_HEADER_BYTES)
		err = env_read(ref.segment->file, pointer->offset, bytes, want,
		               &got);
	if (err == LSM_OK && got == want && got > FRAME_HEADER_BYTES)
		*matches_out =
		    frame_peek(bytes, pointer->segment, pointer->offset, &found,
		               &found_seq, &user_len) &&
		    (found_seq == seq || found_seq == FRAME_SEQ_UNKNOWN) &&
		    same_pointer(&found, pointer) &&
		    slice_equal(slice_make(bytes + FRAME_HEADER_BYTES,
		                           user_len == user.len ? user_len : 0),
		                user);
	let_go(source, &ref);
	return err == LSM_ERR_NOMEM ? err : LSM_OK;
}

/* ---- verify ------------------------------------------------------------------- */

struct verify {
	const struct segment *segment;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	uint64_t *faults;
	uint64_t file_bytes;
	struct segment_footer footer, seen;
};

static void fault(struct verify *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fault(struct verify *v, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int used = snprintf(line, sizeof(line), "%s: ", v->segment->name);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	++*v->faults;
	v->report(v->ctx, line);
}

/* Read the frame at `offset` whole: first its header, which says how long it is.
   *next_out is 0 when the walk cannot go on. */
static enum lsm_err check_frame(struct verify *v, uint64_t offset,
                                struct buf *bytes, struct buf *value,
                                uint64_t *next_out)
{
	const struct segment *segment = v->segment;
	const char *what = "no frame begins there";
	struct pointer pointer;
	struct frame frame;
	uint64_t seq, len;
	size_t user_len;
	enum lsm_err err;

	*next_out = 0;
	err = buf_resize(bytes, FRAME_HEADER_BYTES);
	if (err == LSM_OK)
		err = env_read(segment->file, offset, bytes->data,
		               FRAME_HEADER_BYTES, &bytes->len);
	if (err == LSM_OK && bytes->len == FRAME_HEADER_BYTES &&
	    frame_peek(bytes->data, segment->id, offset, &pointer, &seq,
	               &user_len)) {
		len = frame_bytes(user_len, pointer.stored_len);
		what = "it leads out of the file";
		if (frame_fits(v->file_bytes - SEGMENT_FOOTER_BYTES, offset,
		               len)) {
			*next_out = offset + len;
			err = buf_resize(bytes, (size_t)len);
			if (err == LSM_OK)
				err =
				    env_read(segment->file, offset, bytes->data,
				             (size_t)len, &bytes->len);
		}
	}
	if (err == LSM_OK)
		err = *next_out == 0
		          ? LSM_ERR_CORRUPT
		          : frame_decode(buf_slice(bytes), segment->id, offset,
		                         &frame, &pointer, &what);
	if (err == LSM_OK) {
		what = "it does not decompress";
		err = unpack(&frame, value);
	}
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, "frame at offset %" PRIu64 ": %s", offset,
		      err == LSM_ERR_CORRUPT ? what : lsm_strerror(err));
		return LSM_OK;
	}
	v->seen.frames++;
	v->seen.raw_bytes += frame.raw_len;
	return LSM_OK;
}

static enum lsm_err walk(struct verify *v)
{
	uint64_t end = v->file_bytes - SEGMENT_FOOTER_BYTES;
	uint64_t offset = FILE_HEADER_BYTES, before = *v->faults;
	struct buf bytes = BUF_INIT, value = BUF_INIT;
	enum lsm_err err = LSM_OK;

	while (err == LSM_OK && offset != 0 && offset < end)
		err = check_frame(v, offset, &bytes, &value, &offset);
	if (err == LSM_OK && *v->faults == before &&
	    (v->seen.frames != v->footer.frames ||
	     v->seen.raw_bytes != v->footer.raw_bytes))
		fault(v, "the footer does not agree with the frames");
	buf_release(&bytes);
	buf_release(&value);
	return err;
}

enum lsm_err segment_verify(const struct segment_source *source,
                            struct file_id id, uint64_t file_bytes,
                            void (*report)(void *ctx, const char *line),
                            void *ctx, uint64_t *faults)
{
	struct segment named = {.id = id};
	struct verify v = {
	    .segment = &named, .report = report, .ctx = ctx, .faults = faults};
	struct segment *segment = NULL;
	enum lsm_err err;

	file_name_format(FILE_KIND_SEGMENT, id, named.name);
	/* From the file, past the cache of open ones. */
	err = segment_open(source, id, &segment);
	if (err == LSM_OK)
		err = read_end(segment, &v.file_bytes, &v.footer);
	if (err == LSM_ERR_NOMEM)
		goto out;
	if (err != LSM_OK) {
		fault(&v, "%s", lsm_strerror(err));
		err = LSM_OK;
		goto out;
	}
	v.segment = segment;
	if (v.file_bytes != file_bytes)
		fault(&v,
		      "it has %" PRIu64 " bytes where %" PRIu64 " were "
		      "expected",
		      v.file_bytes, file_bytes);
	err = walk(&v);
out:
	segment_close(segment);
	return err;
}
