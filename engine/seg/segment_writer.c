/* SPDX-License-Identifier: MIT */
/*
 * segment_writer.c: a frame is put together behind the others in `out`: first the
 * key and the value as stored, behind a gap, then the header into the gap.
 *
 * The first error is kept: the file is worthless from then on.
 */
#include "seg/segment_writer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/codec.h"

enum { WRITE_BYTES = 256 << 10 };

struct segment_writer {
	/* Constant after create. */
	struct env_file *file;
	struct file_id id;

	struct buf out; /* to be written at out_offset */
	uint64_t out_offset;
	struct segment_footer footer;
	enum lsm_err err;
};

enum lsm_err segment_writer_create(struct env_file *file, struct file_id id,
                                   const struct uuid *family,
                                   struct segment_writer **writer_out)
{
	struct file_header header = {FILE_KIND_SEGMENT, id, *family, 0};
	struct segment_writer *writer;
	enum lsm_err err;

	*writer_out = NULL;
	writer = calloc(1, sizeof(*writer));
	if (writer == NULL)
		return LSM_ERR_NOMEM;
	writer->file = file;
	writer->id = id;
	err = buf_resize(&writer->out, FILE_HEADER_BYTES);
	if (err != LSM_OK) {
		segment_writer_destroy(writer);
		return err;
	}
	file_header_encode(&header, writer->out.data);
	*writer_out = writer;
	return LSM_OK;
}

void segment_writer_destroy(struct segment_writer *writer)
{
	if (writer == NULL)
		return;
	buf_release(&writer->out);
	free(writer);
}

static enum lsm_err write_out(struct segment_writer *writer)
{
	enum lsm_err err = env_write(writer->file, writer->out_offset,
	                             writer->out.data, writer->out.len);

	if (err != LSM_OK)
		return err;
	env_write_behind(writer->file, writer->out_offset, writer->out.len);
	writer->out_offset += writer->out.len;
	buf_clear(&writer->out);
	return LSM_OK;
}

/* A gap for a header, and the key. */
static enum lsm_err begin_frame(struct segment_writer *writer,
                                struct slice user)
{
	enum lsm_err err =
	    buf_resize(&writer->out, writer->out.len + FRAME_HEADER_BYTES);

	return err == LSM_OK ? buf_append_slice(&writer->out, user) : err;
}

/* The frame that begins at `start` of the buffer is there but for its header. */
static enum lsm_err end_frame(struct segment_writer *writer, size_t start,
                              struct frame *frame, struct pointer *pointer_out)
{
	uint8_t *header = writer->out.data + start;
	size_t user_len = frame->user.len;

	frame->user = slice_make(header + FRAME_HEADER_BYTES, user_len);
	frame->stored =
	    slice_make(frame->user.data + user_len,
	               writer->out.len - start - FRAME_HEADER_BYTES - user_len);
	frame_encode(frame, writer->id, writer->out_offset + start, header,
	             pointer_out);
	writer->footer.frames++;
	writer->footer.raw_bytes += frame->raw_len;
	return writer->out.len >= WRITE_BYTES ? write_out(writer) : LSM_OK;
}

static enum lsm_err add(struct segment_writer *writer, struct slice user,
                        uint64_t seq, struct slice value,
                        struct pointer *pointer_out)
{
	struct frame frame = {
	    .raw_len = (uint32_t)value.len, .seq = seq, .user = user};
	size_t start = writer->out.len;
	enum codec codec;
	enum lsm_err err = begin_frame(writer, user);

	if (err == LSM_OK)
		err = codec_compress(value, &writer->out, &codec);
	if (err != LSM_OK)
		return err;
	frame.codec = (uint8_t)codec;
	return end_frame(writer, start, &frame, pointer_out);
}

enum lsm_err segment_writer_add(struct segment_writer *writer,
                                struct slice user, uint64_t seq,
                                struct slice value, struct pointer *pointer_out)
{
	assert(user.len > 0 && user.len <= LSM_KEY_MAX_BYTES);
	assert(value.len > 0 && value.len <= LSM_VALUE_MAX_BYTES);
	memset(pointer_out, 0, sizeof(*pointer_out));
	if (writer->err == LSM_OK)
		writer->err = add(writer, user, seq, value, pointer_out);
	return writer->err;
}

static enum lsm_err copy(struct segment_writer *writer,
                         const struct frame *from, struct pointer *pointer_out)
{
	struct frame frame = *from;
	size_t start = writer->out.len;
	enum lsm_err err = begin_frame(writer, from->user);

	if (err == LSM_OK)
		err = buf_append_slice(&writer->out, from->stored);
	return err == LSM_OK ? end_frame(writer, start, &frame, pointer_out)
	                     : err;
}

enum lsm_err segment_writer_copy(struct segment_writer *writer,
                                 const struct frame *frame,
                                 struct pointer *pointer_out)
{
	memset(pointer_out, 0, sizeof(*pointer_out));
	if (writer->err == LSM_OK)
		writer->err = copy(writer, frame, pointer_out);
	return writer->err;
}

uint64_t segment_writer_bytes(const struct segment_writer *writer)
{
	return writer->out_offset + writer->out.len + SEGMENT_FOOTER_BYTES;
}

static enum lsm_err finish(struct segment_writer *writer)
{
	uint64_t offset = writer->out_offset + writer->out.len;
	uint8_t bytes[SEGMENT_FOOTER_BYTES];
	enum lsm_err err;

	segment_footer_encode(&writer->footer, writer->id, offset, bytes);
	err = buf_append(&writer->out, bytes, sizeof(bytes));
	return err == LSM_OK ? write_out(writer) : err;
}

enum lsm_err segment_writer_finish(struct segment_writer *writer)
{
	if (writer->err == LSM_OK)
		writer->err = finish(writer);
	return writer->err;
}
