/* SPDX-License-Identifier: MIT */
/*
 * edit.c: the bytes of an edit. What it does to a version is in edit_apply.c.
 *
 *   edit    = field*                  up to the end of the payload
 *   field   = tag (u8), then by tag:
 *     1 table added     level (u8), id, file_bytes (v), entries (v),
 *                       deletes (v), raw_bytes (v), min_seq (v), max_seq (v),
 *                       smallest (p), largest (p), segment uses with sizes
 *                       (seg/segment_use.h)
 *     2 table removed   level (u8), id
 *     3 log added       id, promised_upto (v)
 *     4 log removed     id
 *     5 next number     number (v); at most once
 *     6 flushed         sequence (v), LSM_COUNTERS times counter (s);
 *                       at most once
 *     7 horizon         sequence (v), at least 1; at most once
 *     14 table added    that holds range tombstones: as 1, then their number
 *                       (v, at least 1), their least sequence (v), what none
 *                       of them reaches beyond (p)
 *   id      = creator (u64, little-endian), number (v), at least 1
 *
 * v is a varint, s a zigzag varint, p a varint length and that many bytes. A
 * level is below LSM_LEVELS. smallest and largest are internal keys, smallest
 * first; min_seq <= max_seq < 2^56; deletes <= entries. Anything else, an
 * unknown tag included, is CORRUPT.
 *
 * The order of the fields of one tag is kept; that of different tags means
 * nothing: removals come before additions.
 */
#include "tree/edit.h"

#include <assert.h>
#include <stdlib.h>

/* On disk. Frozen. */
enum edit_tag {
	TAG_TABLE_ADDED = 1,
	TAG_TABLE_REMOVED = 2,
	TAG_LOG_ADDED = 3,
	TAG_LOG_REMOVED = 4,
	TAG_NEXT_NUMBER = 5,
	TAG_FLUSHED = 6,
	TAG_HORIZON = 7,
	TAG_TABLE_WITH_RANGES = 14,
};

enum { ARRAY_FIRST_CAP = 8 };

void edit_init(struct edit *edit)
{
	memset(edit, 0, sizeof(*edit));
}

void edit_release(struct edit *edit)
{
	if (edit == NULL)
		return;
	for (size_t i = 0; i < edit->added_count; i++)
		table_meta_unref(edit->added[i].meta);
	free(edit->added);
	free(edit->removed);
	free(edit->logs_added);
	free(edit->logs_removed);
	edit_init(edit);
}

uint64_t edit_added_bytes(const struct edit *edit)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < edit->added_count; i++)
		bytes += edit->added[i].meta->info.file_bytes;
	return bytes;
}

/* Where the array is once it has room for one more; NULL: it has not. */
static void *array_grow(void *array, size_t *cap, size_t count,
                        size_t item_bytes)
{
	size_t wanted = *cap > 0 ? *cap * 2 : ARRAY_FIRST_CAP;
	void *grown;

	if (count < *cap)
		return array;
	grown = realloc(array, wanted * item_bytes);
	if (grown != NULL)
		*cap = wanted;
	return grown;
}

enum lsm_err edit_add_table(struct edit *edit, unsigned level,
                            struct table_meta *meta)
{
	void *grown = array_grow(edit->added, &edit->added_cap,
	                         edit->added_count, sizeof(*edit->added));

	assert(level < LSM_LEVELS);
	if (grown == NULL)
		return LSM_ERR_NOMEM;
	edit->added = grown;
	table_meta_ref(meta);
	edit->added[edit->added_count++] =
	    (struct edit_table){.level = (uint8_t)level, .meta = meta};
	return LSM_OK;
}

enum lsm_err edit_remove_table(struct edit *edit, unsigned level,
                               struct file_id id)
{
	void *grown = array_grow(edit->removed, &edit->removed_cap,
	                         edit->removed_count, sizeof(*edit->removed));

	assert(level < LSM_LEVELS);
	if (grown == NULL)
		return LSM_ERR_NOMEM;
	edit->removed = grown;
	edit->removed[edit->removed_count++] =
	    (struct edit_removal){.level = (uint8_t)level, .id = id};
	return LSM_OK;
}

enum lsm_err edit_add_log(struct edit *edit, struct log_ref log)
{
	void *grown =
	    array_grow(edit->logs_added, &edit->logs_added_cap,
	               edit->logs_added_count, sizeof(*edit->logs_added));

	if (grown == NULL)
		return LSM_ERR_NOMEM;
	edit->logs_added = grown;
	edit->logs_added[edit->logs_added_count++] = log;
	return LSM_OK;
}

enum lsm_err edit_remove_log(struct edit *edit, struct file_id id)
{
	void *grown =
	    array_grow(edit->logs_removed, &edit->logs_removed_cap,
	               edit->logs_removed_count, sizeof(*edit->logs_removed));

	if (grown == NULL)
		return LSM_ERR_NOMEM;
	edit->logs_removed = grown;
	edit->logs_removed[edit->logs_removed_count++] = id;
	return LSM_OK;
}

/* ---- encode ------------------------------------------------------------- */

/* Keeps the first error, so that it is looked at once. */
struct sink {
	struct buf *out;
	enum lsm_err err;
};

static void sink_u8(struct sink *sink, uint8_t v)
{
	if (sink->err == LSM_OK)
		sink->err = append_u8(sink->out, v);
}

static void sink_varint(struct sink *sink, uint64_t v)
{
	if (sink->err == LSM_OK)
		sink->err = append_varint(sink->out, v);
}

static void sink_signed(struct sink *sink, int64_t v)
{
	if (sink->err == LSM_OK)
		sink->err = append_signed_varint(sink->out, v);
}

static void sink_prefixed(struct sink *sink, struct slice s)
{
	if (sink->err == LSM_OK)
		sink->err = append_prefixed(sink->out, s);
}

static void sink_id(struct sink *sink, struct file_id id)
{
	if (sink->err == LSM_OK)
		sink->err = append_u64(sink->out, id.creator);
	sink_varint(sink, id.number);
}

static void sink_ranges(struct sink *sink, const struct table_info *info)
{
	if (sink->err == LSM_OK)
		sink->err = table_info_encode_ranges(info, sink->out);
}

static void sink_table(struct sink *sink, const struct edit_table *added)
{
	const struct table_info *info = &added->meta->info;

	sink_u8(sink,
	        info->ranges > 0 ? TAG_TABLE_WITH_RANGES : TAG_TABLE_ADDED);
	sink_u8(sink, added->level);
	sink_id(sink, added->meta->id);
	sink_varint(sink, info->file_bytes);
	sink_varint(sink, info->entries);
	sink_varint(sink, info->deletes);
	sink_varint(sink, info->raw_bytes);
	sink_varint(sink, info->min_seq);
	sink_varint(sink, info->max_seq);
	sink_prefixed(sink, buf_slice(&info->smallest));
	sink_prefixed(sink, buf_slice(&info->largest));
	if (sink->err == LSM_OK)
		sink->err =
		    segment_uses_encode(&info->segments, true, sink->out);
	sink_ranges(sink, info);
}

static void sink_logs(struct sink *sink, const struct edit *edit)
{
	for (size_t i = 0; i < edit->logs_removed_count; i++) {
		sink_u8(sink, TAG_LOG_REMOVED);
		sink_id(sink, edit->logs_removed[i]);
	}
	for (size_t i = 0; i < edit->logs_added_count; i++) {
		sink_u8(sink, TAG_LOG_ADDED);
		sink_id(sink, edit->logs_added[i].id);
		sink_varint(sink, edit->logs_added[i].promised_upto);
	}
}

enum lsm_err edit_encode(const struct edit *edit, struct buf *out)
{
	struct sink sink = {out, LSM_OK};
	size_t before = out->len;

	for (size_t i = 0; i < edit->removed_count; i++) {
		sink_u8(&sink, TAG_TABLE_REMOVED);
		sink_u8(&sink, edit->removed[i].level);
		sink_id(&sink, edit->removed[i].id);
	}
	for (size_t i = 0; i < edit->added_count; i++)
		sink_table(&sink, &edit->added[i]);
	sink_logs(&sink, edit);
	if (edit->has_next_number) {
		sink_u8(&sink, TAG_NEXT_NUMBER);
		sink_varint(&sink, edit->next_number);
	}
	if (edit->has_flushed) {
		sink_u8(&sink, TAG_FLUSHED);
		sink_varint(&sink, edit->flushed_seq);
		for (size_t i = 0; i < LSM_COUNTERS; i++)
			sink_signed(&sink, edit->counters[i]);
	}
	if (edit->has_horizon) {
		sink_u8(&sink, TAG_HORIZON);
		sink_varint(&sink, edit->horizon);
	}
	if (sink.err != LSM_OK)
		out->len = before;
	return sink.err;
}

/* ---- decode ------------------------------------------------------------- */

struct decoder {
	struct cursor c;
	struct table_owner owner;
	void (*adopted)(void *ctx, struct file_id id);
	struct edit *edit;
};

static struct file_id cursor_id(struct cursor *c)
{
	struct file_id id;

	id.creator = cursor_u64(c);
	id.number = cursor_varint(c);
	if (id.number == 0)
		c->bad = true;
	return id;
}

static uint8_t cursor_level(struct cursor *c)
{
	uint8_t level = cursor_u8(c);

	if (level >= LSM_LEVELS)
		c->bad = true;
	return level;
}

static bool info_is_possible(const struct table_info *info,
                             struct slice smallest, struct slice largest)
{
	return info->deletes <= info->entries &&
	       info->min_seq <= info->max_seq && info->max_seq <= KEY_SEQ_MAX &&
	       key_is_valid(smallest) && key_is_valid(largest) &&
	       key_compare(smallest, largest) <= 0;
}

/* The fields of a table from file_bytes on. *info is initialised. */
static enum lsm_err decode_info(struct cursor *c, struct table_info *info)
{
	struct slice smallest, largest;
	enum lsm_err err;

	info->file_bytes = cursor_varint(c);
	info->entries = cursor_varint(c);
	info->deletes = cursor_varint(c);
	info->raw_bytes = cursor_varint(c);
	info->min_seq = cursor_varint(c);
	info->max_seq = cursor_varint(c);
	smallest = cursor_prefixed(c);
	largest = cursor_prefixed(c);
	err = segment_uses_decode(c, true, &info->segments);
	if (err != LSM_OK)
		return err;
	if (c->bad || !info_is_possible(info, smallest, largest))
		return LSM_ERR_CORRUPT;
	err = buf_set(&info->smallest, smallest);
	if (err == LSM_OK)
		err = buf_set(&info->largest, largest);
	return err;
}

static enum lsm_err decode_table(struct decoder *d, bool with_ranges)
{
	struct table_meta *meta = NULL;
	struct table_info info;
	unsigned level;
	struct file_id id;
	enum lsm_err err;

	table_info_init(&info);
	level = cursor_level(&d->c);
	id = cursor_id(&d->c);
	err = decode_info(&d->c, &info);
	if (err == LSM_OK && with_ranges)
		err = table_info_decode_ranges(&d->c, &info);
	if (err != LSM_OK)
		goto out;
	err = table_meta_create(id, &info, d->owner, &meta);
	if (err != LSM_OK)
		goto out;
	if (d->adopted != NULL)
		d->adopted(d->owner.ctx, id);
	table_meta_tell(meta);
	err = edit_add_table(d->edit, level, meta);
out:
	table_meta_unref(meta);
	table_info_release(&info);
	return err;
}

static enum lsm_err decode_removal(struct decoder *d)
{
	unsigned level = cursor_level(&d->c);
	struct file_id id = cursor_id(&d->c);

	if (d->c.bad)
		return LSM_ERR_CORRUPT;
	return edit_remove_table(d->edit, level, id);
}

static enum lsm_err decode_log(struct decoder *d)
{
	struct log_ref log;

	log.id = cursor_id(&d->c);
	log.promised_upto = cursor_varint(&d->c);
	if (d->c.bad)
		return LSM_ERR_CORRUPT;
	return edit_add_log(d->edit, log);
}

static enum lsm_err decode_log_removal(struct decoder *d)
{
	struct file_id id = cursor_id(&d->c);

	if (d->c.bad)
		return LSM_ERR_CORRUPT;
	return edit_remove_log(d->edit, id);
}

static enum lsm_err decode_next_number(struct decoder *d)
{
	if (d->edit->has_next_number)
		return LSM_ERR_CORRUPT;
	d->edit->has_next_number = true;
	d->edit->next_number = cursor_varint(&d->c);
	return LSM_OK;
}

static enum lsm_err decode_flushed(struct decoder *d)
{
	if (d->edit->has_flushed)
		return LSM_ERR_CORRUPT;
	d->edit->has_flushed = true;
	d->edit->flushed_seq = cursor_varint(&d->c);
	if (d->edit->flushed_seq > KEY_SEQ_MAX)
		return LSM_ERR_CORRUPT;
	for (size_t i = 0; i < LSM_COUNTERS; i++)
		d->edit->counters[i] = cursor_signed_varint(&d->c);
	return LSM_OK;
}

static enum lsm_err decode_horizon(struct decoder *d)
{
	if (d->edit->has_horizon)
		return LSM_ERR_CORRUPT;
	d->edit->has_horizon = true;
	d->edit->horizon = cursor_varint(&d->c);
	if (d->edit->horizon == 0 || d->edit->horizon > KEY_SEQ_MAX)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

static enum lsm_err decode_field(struct decoder *d)
{
	switch (cursor_u8(&d->c)) {
	case TAG_TABLE_ADDED:
		return decode_table(d, false);
	case TAG_TABLE_WITH_RANGES:
		return decode_table(d, true);
	case TAG_TABLE_REMOVED:
		return decode_removal(d);
	case TAG_LOG_ADDED:
		return decode_log(d);
	case TAG_LOG_REMOVED:
		return decode_log_removal(d);
	case TAG_NEXT_NUMBER:
		return decode_next_number(d);
	case TAG_FLUSHED:
		return decode_flushed(d);
	case TAG_HORIZON:
		return decode_horizon(d);
	default:
		return LSM_ERR_CORRUPT;
	}
}

enum lsm_err edit_decode(struct slice bytes, struct table_owner owner,
                         void (*adopted)(void *ctx, struct file_id id),
                         struct edit *edit)
{
	struct decoder d = {cursor_make(bytes), owner, adopted, edit};
	enum lsm_err err = LSM_OK;

	edit_init(edit);
	while (err == LSM_OK && cursor_left(&d.c) > 0) {
		err = decode_field(&d);
		if (err == LSM_OK && d.c.bad)
			err = LSM_ERR_CORRUPT;
	}
	if (err != LSM_OK)
		edit_release(edit);
	return err;
}
