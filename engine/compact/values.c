/* SPDX-License-Identifier: MIT */
#include "compact/values.h"

#include <inttypes.h>

#include "base/log.h"

void values_init(struct values *values, const struct job_context *context)
{
	memset(values, 0, sizeof(*values));
	values->context = context;
}

void values_let_go(struct values *values)
{
	const struct job_context *context = values->context;

	for (size_t i = 0; i < values->written.count; i++)
		context->segment_let_go(context->new_file_ctx,
		                        values->written.items[i].id);
	segment_uses_release(&values->written);
}

void values_release(struct values *values)
{
	const struct job_context *context = values->context;

	segment_writer_destroy(values->writer);
	(void)env_close(values->file); /* it is garbage */
	if (values->held)
		context->segment_let_go(context->new_file_ctx, values->id);
	values_let_go(values);
	buf_release(&values->key);
	buf_release(&values->bytes);
}

static enum lsm_err segment_begin(struct values *values)
{
	const struct job_context *context = values->context;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	err = context->new_segment(context->new_file_ctx, &values->id);
	if (err != LSM_OK)
		return err;
	values->held = true;
	file_name_format(FILE_KIND_SEGMENT, values->id, name);
	err =
	    env_open(context->segments->pool, name, ENV_CREATE, &values->file);
	if (err != LSM_OK)
		return err;
	return segment_writer_create(values->file, values->id,
	                             &context->segments->family,
	                             &values->writer);
}

/* Make the file what it stays: whole, durable, read-only. */
static enum lsm_err segment_end(struct values *values)
{
	struct segment_use use = {.id = values->id};
	enum lsm_err err;

	if (values->writer == NULL)
		return LSM_OK;
	use.file_bytes = segment_writer_bytes(values->writer);
	err = segment_writer_finish(values->writer);
	if (err == LSM_OK)
		err = env_sync(values->file);
	if (err == LSM_OK)
		err = env_seal(values->file);
	if (err == LSM_OK)
		err = segment_uses_add(&values->written, &use);
	if (err != LSM_OK)
		return err;
	values->held = false; /* values->written is what tells */
	segment_writer_destroy(values->writer);
	values->writer = NULL;
	err = env_close(values->file);
	values->file = NULL;
	if (values->context->segment_bytes_written != NULL)
		atomic_fetch_add(values->context->segment_bytes_written,
		                 use.file_bytes);
	return err;
}

/* A segment that has room for one more value. */
static enum lsm_err segment_ready(struct values *values)
{
	enum lsm_err err = LSM_OK;

	if (values->writer != NULL && segment_writer_bytes(values->writer) >=
	                                  values->context->segment_bytes)
		err = segment_end(values);
	if (err == LSM_OK && values->writer == NULL)
		err = segment_begin(values);
	return err;
}

uint64_t values_take_written(struct values *values)
{
	uint64_t bytes = values->untold_bytes;

	values->untold_bytes = 0;
	return bytes;
}

/* The entry is now a pointer. */
static enum lsm_err become_pointer(struct values *values,
                                   const struct pointer *pointer,
                                   struct slice *ikey, struct slice *value)
{
	size_t user_len = key_user(*ikey).len;
	enum lsm_err err = key_make(&values->key, key_user(*ikey),
	                            key_seq(*ikey), KEY_POINTER);

	values->untold_bytes += frame_bytes(user_len, pointer->stored_len);
	pointer_encode(pointer, values->pointer);
	*ikey = buf_slice(&values->key);
	*value = slice_make(values->pointer, sizeof(values->pointer));
	return err;
}

static enum lsm_err separate(struct values *values, struct slice *ikey,
                             struct slice *value)
{
	struct pointer pointer;
	enum lsm_err err = segment_ready(values);

	if (err == LSM_OK)
		err = segment_writer_add(values->writer, key_user(*ikey),
		                         key_seq(*ikey), *value, &pointer);
	if (err != LSM_OK)
		return err;
	return become_pointer(values, &pointer, ikey, value);
}

/*
 * Copy the frame out of a segment that is to be emptied. One that cannot be read
 * stays where it is: who reads it is told, and the segment is not collected.
 */
static enum lsm_err relocate(struct values *values, const struct pointer *from,
                             struct slice *ikey, struct slice *value)
{
	const struct job_context *context = values->context;
	struct pointer to;
	struct frame frame;
	enum lsm_err err = segment_load(context->segments, key_user(*ikey),
	                                from, &values->bytes, &frame);

	if (err == LSM_ERR_CORRUPT) {
		context->segment_damaged(context->new_file_ctx, from->segment);
		return LSM_OK;
	}
	if (err == LSM_OK)
		err = segment_ready(values);
	if (err == LSM_OK)
		err = segment_writer_copy(values->writer, &frame, &to);
	if (err != LSM_OK)
		return err;
	values->relocated_bytes += values->bytes.len;
	return become_pointer(values, &to, ikey, value);
}

/* Whether the job may copy another frame: not past its share, nor while what is
   more urgent waits for it; but one at least, so that it comes to an end. */
static bool may_relocate(const struct values *values)
{
	const struct job_context *context = values->context;
	const struct job_control *control = &context->control;

	if (values->relocated_bytes >= context->relocate_bytes)
		return false;
	return values->relocated_bytes == 0 || control->yield == NULL ||
	       !control->yield(control->ctx);
}

enum lsm_err values_place(struct values *values, struct slice *ikey,
                          struct slice *value)
{
	const struct job_context *context = values->context;
	enum key_kind kind = key_kind(*ikey);
	struct pointer pointer;

	if (kind == KEY_PUT && context->segment_min_bytes > 0 &&
	    value->len >= context->segment_min_bytes &&
	    value->len <= LSM_VALUE_MAX_BYTES)
		return separate(values, ikey, value);
	if (kind == KEY_POINTER && context->doomed != NULL &&
	    pointer_decode(*value, &pointer) &&
	    segment_uses_find(context->doomed, pointer.segment) != NULL &&
	    may_relocate(values))
		return relocate(values, &pointer, ikey, value);
	return LSM_OK;
}

enum lsm_err values_finish(struct values *values, struct segment_uses *uses)
{
	const struct segment_uses *known = values->context->segments_known;
	enum lsm_err err = segment_end(values);

	for (size_t i = 0; err == LSM_OK && i < uses->count; i++) {
		struct segment_use *use = &uses->items[i], *found;

		found = segment_uses_find(&values->written, use->id);
		if (found == NULL && known != NULL)
			found = segment_uses_find(known, use->id);
		if (found == NULL) {
			log_error("segment %016" PRIx64 "-%" PRIu64
			          ": a table leads to it, but no manifest "
			          "knows it",
			          use->id.creator, use->id.number);
			return LSM_ERR_CORRUPT;
		}
		use->file_bytes = found->file_bytes;
	}
	return err;
}
