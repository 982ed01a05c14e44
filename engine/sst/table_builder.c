/* SPDX-License-Identifier: MIT */
/*
 * table_builder.c: data blocks leave as they fill. Their index entries and the
 * hashes of their user keys are kept until they make a part, which ends with its
 * filter and its index; of a part the entry of the top index is kept. So what a
 * builder holds does not grow with the table, but for the top index.
 *
 * The first error is kept: the file is worthless from then on.
 */
#include "sst/table_builder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/range.h"
#include "seg/frame.h"
#include "sst/block_builder.h"
#include "sst/bloom.h"

enum {
	WRITE_BYTES = 256 << 10,
	/* So much is handed to the disk at a time while more is being built, so
	   that the sync at the end has little left to wait for. */
	WRITE_BEHIND_BYTES = 1 << 20,
	/* A part ends when its index is so large and leads to so many blocks, so
	   that long keys do not make parts of one block; or when its filter
	   would be larger than the cache likes. */
	PART_INDEX_BYTES = 4 << 10,
	PART_BLOCKS_MIN = 32,
	PART_KEYS_MAX = 32 << 10,
};

struct table_builder {
	/* Constant after create. */
	struct env_file *file;
	struct file_id id;
	uint32_t block_bytes;

	struct block_builder block; /* of data */
	struct block_builder index; /* of the part */
	struct block_builder top;   /* index, over the parts */
	struct buf out;             /* encoded, to be written at out_offset */
	uint64_t out_offset;
	uint64_t behind_upto; /* write-back was asked for up to here */
	struct buf
	    hashes; /* native u64s, one a distinct user key of the part */
	struct buf last_key; /* internal */
	struct table_info info;
	enum lsm_err err;
};

void table_info_init(struct table_info *info)
{
	memset(info, 0, sizeof(*info));
	buf_init(&info->smallest);
	buf_init(&info->largest);
	buf_init(&info->ranges_reach);
	segment_uses_init(&info->segments);
}

void table_info_release(struct table_info *info)
{
	if (info == NULL)
		return;
	buf_release(&info->smallest);
	buf_release(&info->largest);
	buf_release(&info->ranges_reach);
	segment_uses_release(&info->segments);
}

void table_info_count(struct table_info *info, struct slice ikey,
                      struct slice value, bool older)
{
	const uint64_t seq = key_seq(ikey);

	if (info->entries == 0 || seq < info->min_seq)
		info->min_seq = seq;
	if (seq > info->max_seq)
		info->max_seq = seq;
	if (older ? key_kind(ikey) != KEY_RANGE_DELETE
	          : key_kind(ikey) == KEY_DELETE)
		info->deletes++;
	info->raw_bytes += ikey.len + value.len;
	info->entries++;
}

enum lsm_err table_info_note_range(struct table_info *info, struct slice ikey,
                                   struct slice value)
{
	struct slice prefix = key_user(ikey);
	struct buf reach = BUF_INIT;
	struct range range;
	enum lsm_err err;

	if (key_kind(ikey) != KEY_RANGE_DELETE)
		return LSM_OK;
	if (!range_decode(prefix, value, &range) ||
	    (info->ranges > 0 && prefix.len != info->ranges_prefix_bytes))
		return LSM_ERR_CORRUPT;
	err = range_reach(prefix, range, &reach);
	if (err == LSM_OK && slice_compare(buf_slice(&reach),
	                                   buf_slice(&info->ranges_reach)) > 0)
		buf_swap(&reach, &info->ranges_reach);
	buf_release(&reach);
	if (err != LSM_OK)
		return err;
	if (info->ranges == 0 || key_seq(ikey) < info->ranges_min_seq)
		info->ranges_min_seq = key_seq(ikey);
	info->ranges_prefix_bytes = prefix.len;
	info->ranges++;
	return LSM_OK;
}

enum lsm_err table_info_encode_ranges(const struct table_info *info,
                                      struct buf *out)
{
	enum lsm_err err;

	if (info->ranges == 0)
		return LSM_OK;
	err = append_varint(out, info->ranges);
	if (err == LSM_OK)
		err = append_varint(out, info->ranges_prefix_bytes);
	if (err == LSM_OK)
		err = append_varint(out, info->ranges_min_seq);
	if (err == LSM_OK)
		err = append_prefixed(out, buf_slice(&info->ranges_reach));
	return err;
}

enum lsm_err table_info_decode_ranges(struct cursor *c, struct table_info *info)
{
	struct slice reach;

	info->ranges = cursor_varint(c);
	info->ranges_prefix_bytes = cursor_varint(c);
	info->ranges_min_seq = cursor_varint(c);
	reach = cursor_prefixed(c);
	if (c->bad || info->ranges == 0 || info->ranges > info->entries ||
	    info->ranges_prefix_bytes == 0 ||
	    info->ranges_prefix_bytes > LSM_KEY_MAX_BYTES ||
	    info->ranges_min_seq < info->min_seq ||
	    info->ranges_min_seq > info->max_seq || reach.len == 0 ||
	    reach.len > LSM_KEY_MAX_BYTES)
		return LSM_ERR_CORRUPT;
	return buf_set(&info->ranges_reach, reach);
}

enum lsm_err table_info_note_pointer(struct table_info *info, struct slice ikey,
                                     struct slice value)
{
	struct segment_use use = {.frames = 1, .tables = 1};
	struct segment_use *known;
	struct pointer pointer;

	if (key_kind(ikey) != KEY_POINTER)
		return LSM_OK;
	if (!pointer_decode(value, &pointer))
		return LSM_ERR_CORRUPT;
	use.id = pointer.segment;
	use.bytes = frame_bytes(key_user(ikey).len, pointer.stored_len);
	known = segment_uses_find(&info->segments, use.id);
	if (known == NULL)
		return segment_uses_add(&info->segments, &use);
	known->frames++; /* the table is counted */
	known->bytes += use.bytes;
	return LSM_OK;
}

enum lsm_err table_info_encode(const struct table_info *info, struct buf *out)
{
	const uint64_t figures[] = {info->entries, info->deletes,
	                            info->raw_bytes, info->min_seq,
	                            info->max_seq};
	enum lsm_err err;

	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		err = append_u64(out, figures[i]);
		if (err != LSM_OK)
			return err;
	}
	err = append_prefixed(out, buf_slice(&info->smallest));
	if (err != LSM_OK)
		return err;
	err = append_prefixed(out, buf_slice(&info->largest));
	if (err != LSM_OK)
		return err;
	err = segment_uses_encode(&info->segments, false, out);
	if (err != LSM_OK)
		return err;
	return table_info_encode_ranges(info, out);
}

enum lsm_err table_info_decode(struct slice raw, struct table_info *info)
{
	struct cursor c = cursor_make(raw);
	struct slice smallest, largest;
	enum lsm_err err;

	info->entries = cursor_u64(&c);
	info->deletes = cursor_u64(&c);
	info->raw_bytes = cursor_u64(&c);
	info->min_seq = cursor_u64(&c);
	info->max_seq = cursor_u64(&c);
	smallest = cursor_prefixed(&c);
	largest = cursor_prefixed(&c);
	err = segment_uses_decode(&c, false, &info->segments);
	if (err != LSM_OK)
		return err;
	if (c.bad || !key_is_valid(smallest) || !key_is_valid(largest))
		return LSM_ERR_CORRUPT;
	err = buf_set(&info->smallest, smallest);
	if (err == LSM_OK)
		err = buf_set(&info->largest, largest);
	if (err == LSM_OK && cursor_left(&c) > 0)
		err = table_info_decode_ranges(&c, info);
	if (err == LSM_OK && (c.bad || cursor_left(&c) > 0))
		err = LSM_ERR_CORRUPT;
	return err;
}

enum lsm_err table_builder_create(struct env_file *file, struct file_id id,
                                  const struct uuid *family,
                                  uint32_t block_bytes,
                                  struct table_builder **builder_out)
{
	struct file_header header = {FILE_KIND_TABLE, id, *family, 0};
	struct table_builder *builder;
	enum lsm_err err;

	assert(block_bytes > 0 && block_bytes <= SST_BLOCK_MAX_BYTES);
	*builder_out = NULL;

	builder = calloc(1, sizeof(*builder));
	if (builder == NULL)
		return LSM_ERR_NOMEM;
	builder->file = file;
	builder->id = id;
	builder->block_bytes = block_bytes;
	block_builder_init(&builder->block, SST_RESTART_INTERVAL);
	block_builder_init(&builder->index, 1);
	block_builder_init(&builder->top, 1);
	table_info_init(&builder->info);

	err = buf_resize(&builder->out, FILE_HEADER_BYTES);
	if (err != LSM_OK)
		goto out;
	file_header_encode(&header, builder->out.data);
	*builder_out = builder;
	builder = NULL; /* now the caller's */
out:
	table_builder_destroy(builder);
	return err;
}

void table_builder_destroy(struct table_builder *builder)
{
	if (builder == NULL)
		return;
	block_builder_release(&builder->block);
	block_builder_release(&builder->index);
	block_builder_release(&builder->top);
	buf_release(&builder->out);
	buf_release(&builder->hashes);
	buf_release(&builder->last_key);
	table_info_release(&builder->info);
	free(builder);
}

static enum lsm_err write_out(struct table_builder *builder)
{
	enum lsm_err err;

	err = env_write(builder->file, builder->out_offset, builder->out.data,
	                builder->out.len);
	if (err != LSM_OK)
		return err;
	builder->out_offset += builder->out.len;
	buf_clear(&builder->out);
	if (builder->out_offset - builder->behind_upto >= WRITE_BEHIND_BYTES) {
		env_write_behind(builder->file, builder->behind_upto,
		                 builder->out_offset - builder->behind_upto);
		builder->behind_upto = builder->out_offset;
	}
	return LSM_OK;
}

static enum lsm_err emit(struct table_builder *builder,
                         enum sst_block_type type, struct slice raw,
                         struct sst_handle *handle)
{
	enum lsm_err err;

	err = sst_block_encode(builder->id,
	                       builder->out_offset + builder->out.len, type,
	                       raw, &builder->out, handle);
	if (err == LSM_ERR_TOO_BIG)
		log_error("a table block of type %d would have %zu bytes",
		          (int)type, raw.len);
	if (err != LSM_OK)
		return err;
	return builder->out.len >= WRITE_BYTES ? write_out(builder) : LSM_OK;
}

/* Finish what `block` has built, as a block of `type`, and begin it anew. */
static enum lsm_err emit_block(struct table_builder *builder,
                               struct block_builder *block,
                               enum sst_block_type type,
                               struct sst_handle *handle)
{
	struct slice raw;
	enum lsm_err err;

	err = block_builder_finish(block, &raw);
	if (err != LSM_OK)
		return err;
	err = emit(builder, type, raw, handle);
	block_builder_clear(block);
	return err;
}

static enum lsm_err emit_filter(struct table_builder *builder,
                                struct sst_handle *handle)
{
	struct buf filter = BUF_INIT;
	enum lsm_err err;

	/* malloc aligns the bytes of a buf for any type. */
	err = bloom_build((const uint64_t *)(const void *)builder->hashes.data,
	                  builder->hashes.len / sizeof(uint64_t), &filter);
	if (err == LSM_OK)
		err =
		    emit(builder, SST_BLOCK_FILTER, buf_slice(&filter), handle);
	buf_release(&filter);
	buf_clear(&builder->hashes);
	return err;
}

/* End the part, whose last key is last_key. */
static enum lsm_err emit_part(struct table_builder *builder)
{
	uint8_t bytes[SST_PART_MAX_BYTES];
	struct sst_part part;
	enum lsm_err err;

	err = emit_filter(builder, &part.filter);
	if (err == LSM_OK)
		err = emit_block(builder, &builder->index, SST_BLOCK_INDEX,
		                 &part.index);
	if (err != LSM_OK)
		return err;
	return block_builder_add(
	    &builder->top, buf_slice(&builder->last_key),
	    slice_make(bytes, sst_part_encode(&part, bytes)));
}

static bool part_is_full(const struct table_builder *builder)
{
	return (block_builder_bytes(&builder->index) >= PART_INDEX_BYTES &&
	        builder->index.entries >= PART_BLOCKS_MIN) ||
	       builder->hashes.len >= PART_KEYS_MAX * sizeof(uint64_t);
}

/* A data block, whose last key is last_key, has been emitted. */
static enum lsm_err note_data_block(struct table_builder *builder,
                                    struct sst_handle handle)
{
	uint8_t bytes[SST_HANDLE_MAX_BYTES];
	enum lsm_err err;

	err = block_builder_add(
	    &builder->index, buf_slice(&builder->last_key),
	    slice_make(bytes, sst_handle_encode(handle, bytes)));
	if (err == LSM_OK && part_is_full(builder))
		err = emit_part(builder);
	return err;
}

static enum lsm_err emit_data_block(struct table_builder *builder)
{
	struct sst_handle handle;
	enum lsm_err err;

	err = emit_block(builder, &builder->block, SST_BLOCK_DATA, &handle);
	return err == LSM_OK ? note_data_block(builder, handle) : err;
}

static enum lsm_err emit_packed(struct table_builder *builder,
                                const struct codec_packed *packed)
{
	struct sst_handle handle;
	enum lsm_err err;

	err =
	    sst_block_copy(builder->id, builder->out_offset + builder->out.len,
	                   SST_BLOCK_DATA, packed, &builder->out, &handle);
	if (err == LSM_OK && builder->out.len >= WRITE_BYTES)
		err = write_out(builder);
	return err == LSM_OK ? note_data_block(builder, handle) : err;
}

/* The keys come from other tables too, thus from disk: no assert. */
static enum lsm_err check_key(const struct table_builder *builder,
                              struct slice ikey)
{
	bool fits = key_is_valid(ikey) &&
	            ikey.len <= LSM_KEY_MAX_BYTES + KEY_TRAILER_BYTES;

	if (fits && builder->info.entries > 0)
		fits = key_compare(buf_slice(&builder->last_key), ikey) < 0;
	if (fits)
		return LSM_OK;
	log_error("table %016" PRIx64 "-%" PRIu64 ": entry %" PRIu64
	          " to be written is out of order",
	          builder->id.creator, builder->id.number,
	          builder->info.entries);
	return LSM_ERR_CORRUPT;
}

static bool is_last_user(const struct table_builder *builder, struct slice user)
{
	return builder->info.entries > 0 &&
	       slice_equal(key_user(buf_slice(&builder->last_key)), user);
}

/* Keep the hash of a user key that the part did not have before. */
static enum lsm_err note_user(struct table_builder *builder, struct slice user,
                              bool older)
{
	uint64_t hash;

	if (older && builder->hashes.len > 0)
		return LSM_OK;
	hash = checksum_hash(user);
	return buf_append(&builder->hashes, &hash, sizeof(hash));
}

/* `packed` NULL: there is none. */
static enum lsm_err add(struct table_builder *builder, struct slice ikey,
                        struct slice value, const struct codec_packed *packed)
{
	bool older;
	enum lsm_err err;

	err = check_key(builder, ikey);
	if (err != LSM_OK)
		return err;
	older = is_last_user(builder, key_user(ikey));
	/* Blocks end before they pass the target, so that a large value does
	   not make its small neighbours dear to read. */
	if (builder->block.entries > 0 &&
	    block_builder_bytes(&builder->block) + ikey.len + value.len >
	        builder->block_bytes) {
		err = emit_data_block(builder);
		if (err != LSM_OK)
			return err;
	}
	err = note_user(builder, key_user(ikey), older);
	if (err != LSM_OK)
		return err;
	if (builder->block.entries > 0)
		packed = NULL;
	if (packed == NULL)
		err = block_builder_add(&builder->block, ikey, value);
	if (err == LSM_OK && builder->info.entries == 0)
		err = buf_set(&builder->info.smallest, ikey);
	if (err != LSM_OK)
		return err;
	table_info_count(&builder->info, ikey, value, older);
	err = table_info_note_range(&builder->info, ikey, value);
	if (err == LSM_OK)
		err = table_info_note_pointer(&builder->info, ikey, value);
	if (err == LSM_ERR_CORRUPT)
		log_error("table %016" PRIx64 "-%" PRIu64 ": entry %" PRIu64
		          " to be written is no range tombstone, or no pointer",
		          builder->id.creator, builder->id.number,
		          builder->info.entries);
	if (err == LSM_OK)
		err = buf_set(&builder->last_key, ikey);
	if (err == LSM_OK && packed != NULL)
		err = emit_packed(builder, packed);
	return err;
}

enum lsm_err table_builder_add(struct table_builder *builder, struct slice ikey,
                               struct slice value)
{
	return table_builder_add_packed(builder, ikey, value, NULL);
}

enum lsm_err table_builder_add_packed(struct table_builder *builder,
                                      struct slice ikey, struct slice value,
                                      const struct codec_packed *packed)
{
	if (builder->err == LSM_OK)
		builder->err = add(builder, ikey, value, packed);
	return builder->err;
}

uint64_t table_builder_bytes(const struct table_builder *builder)
{
	const uint64_t filter =
	    builder->hashes.len / sizeof(uint64_t) * BLOOM_BITS_PER_KEY / 8;

	return builder->out_offset + builder->out.len +
	       block_builder_bytes(&builder->block) +
	       block_builder_bytes(&builder->index) +
	       block_builder_bytes(&builder->top) + filter + SST_FOOTER_BYTES;
}

uint64_t table_builder_entries(const struct table_builder *builder)
{
	return builder->info.entries;
}

size_t table_builder_segments(const struct table_builder *builder)
{
	return builder->info.segments.count;
}

static enum lsm_err emit_properties(struct table_builder *builder,
                                    struct sst_handle *handle)
{
	struct buf raw = BUF_INIT;
	enum lsm_err err;

	err = table_info_encode(&builder->info, &raw);
	if (err == LSM_OK)
		err = emit(builder, SST_BLOCK_PROPERTIES, buf_slice(&raw),
		           handle);
	buf_release(&raw);
	return err;
}

static enum lsm_err emit_footer(struct table_builder *builder,
                                const struct sst_footer *footer)
{
	const uint64_t offset = builder->out_offset + builder->out.len;
	uint8_t bytes[SST_FOOTER_BYTES];
	enum lsm_err err;

	sst_footer_encode(footer, builder->id, offset, bytes);
	err = buf_append(&builder->out, bytes, sizeof(bytes));
	if (err != LSM_OK)
		return err;
	return write_out(builder);
}

static enum lsm_err finish(struct table_builder *builder)
{
	struct sst_footer footer;
	enum lsm_err err = LSM_OK;

	if (builder->block.entries > 0)
		err = emit_data_block(builder);
	if (err == LSM_OK && builder->index.entries > 0)
		err = emit_part(builder);
	if (err != LSM_OK)
		return err;
	buf_swap(&builder->info.largest, &builder->last_key);
	err = emit_block(builder, &builder->top, SST_BLOCK_TOP_INDEX,
	                 &footer.top);
	if (err != LSM_OK)
		return err;
	err = emit_properties(builder, &footer.properties);
	if (err != LSM_OK)
		return err;
	err = emit_footer(builder, &footer);
	if (err != LSM_OK)
		return err;
	builder->info.file_bytes = builder->out_offset;
	return LSM_OK;
}

enum lsm_err table_builder_finish(struct table_builder *builder,
                                  struct table_info *info)
{
	assert(builder->info.entries > 0 || builder->err != LSM_OK);
	table_info_init(info);
	if (builder->err == LSM_OK)
		builder->err = finish(builder);
	if (builder->err != LSM_OK)
		return builder->err;
	*info = builder->info;
	table_info_init(&builder->info); /* its bytes are the caller's */
	return LSM_OK;
}
