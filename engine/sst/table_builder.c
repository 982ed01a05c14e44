/* SPDX-License-Identifier: MIT */
/*
 * table_builder.c: data blocks leave as they fill; their index entries and the
 * hashes of their user keys stay in memory and become filter and index at the
 * end, when it is known whether the index needs two levels.
 *
 * The first error is kept: the file is worthless from then on.
 */
#include "sst/table_builder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "sst/block_builder.h"
#include "sst/bloom.h"

enum {
	WRITE_BYTES = 256 << 10,
	INDEX_SINGLE_MAX_BYTES = 128 << 10, /* past this, two levels */
	INDEX_BLOCK_BYTES = 16 << 10,
};

struct table_builder {
	/* Constant after create. */
	struct env_file *file;
	struct file_id id;
	uint32_t block_bytes;

	struct block_builder block; /* the data block, later an index block */
	struct buf out;             /* encoded, to be written at out_offset */
	uint64_t out_offset;
	struct buf index;    /* prefixed last key, prefixed handle, ... */
	struct buf hashes;   /* native u64s, one a distinct user key */
	struct buf last_key; /* internal */
	struct table_info info;
	enum lsm_err err;
};

void table_info_init(struct table_info *info)
{
	memset(info, 0, sizeof(*info));
	buf_init(&info->smallest);
	buf_init(&info->largest);
}

void table_info_release(struct table_info *info)
{
	if (info == NULL)
		return;
	buf_release(&info->smallest);
	buf_release(&info->largest);
}

void table_info_count(struct table_info *info, struct slice ikey,
                      struct slice value)
{
	const uint64_t seq = key_seq(ikey);

	if (info->entries == 0 || seq < info->min_seq)
		info->min_seq = seq;
	if (seq > info->max_seq)
		info->max_seq = seq;
	if (key_kind(ikey) == KEY_DELETE)
		info->deletes++;
	info->raw_bytes += ikey.len + value.len;
	info->entries++;
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
	return append_prefixed(out, buf_slice(&info->largest));
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
	if (c.bad || cursor_left(&c) > 0 || !key_is_valid(smallest) ||
	    !key_is_valid(largest))
		return LSM_ERR_CORRUPT;
	err = buf_set(&info->smallest, smallest);
	if (err != LSM_OK)
		return err;
	return buf_set(&info->largest, largest);
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
	block_builder_init(&builder->block);
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
	buf_release(&builder->out);
	buf_release(&builder->index);
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

/* Finish the block that is being built, as one of `type`. */
static enum lsm_err emit_block(struct table_builder *builder,
                               enum sst_block_type type,
                               struct sst_handle *handle)
{
	struct slice raw;
	enum lsm_err err;

	err = block_builder_finish(&builder->block, &raw);
	if (err != LSM_OK)
		return err;
	err = emit(builder, type, raw, handle);
	block_builder_clear(&builder->block);
	return err;
}

/* Append what an index block will say of the block that `handle` names. */
static enum lsm_err note_block(struct buf *index, struct slice last_key,
                               struct sst_handle handle)
{
	uint8_t bytes[SST_HANDLE_MAX_BYTES];
	enum lsm_err err;

	err = append_prefixed(index, last_key);
	if (err != LSM_OK)
		return err;
	return append_prefixed(
	    index, slice_make(bytes, sst_handle_encode(handle, bytes)));
}

static enum lsm_err emit_data_block(struct table_builder *builder)
{
	struct sst_handle handle;
	enum lsm_err err;

	err = emit_block(builder, SST_BLOCK_DATA, &handle);
	if (err != LSM_OK)
		return err;
	return note_block(&builder->index, buf_slice(&builder->last_key),
	                  handle);
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

/* Keep the hash of a user key that was not seen before. */
static enum lsm_err note_user(struct table_builder *builder, struct slice user)
{
	uint64_t hash;

	if (builder->info.entries > 0 &&
	    slice_equal(key_user(buf_slice(&builder->last_key)), user))
		return LSM_OK;
	hash = checksum_hash(user);
	return buf_append(&builder->hashes, &hash, sizeof(hash));
}

static enum lsm_err add(struct table_builder *builder, struct slice ikey,
                        struct slice value)
{
	enum lsm_err err;

	err = check_key(builder, ikey);
	if (err != LSM_OK)
		return err;
	err = note_user(builder, key_user(ikey));
	if (err != LSM_OK)
		return err;
	/* Blocks end before they pass the target, so that a large value does
	   not make its small neighbours dear to read. */
	if (builder->block.entries > 0 &&
	    block_builder_bytes(&builder->block) + ikey.len + value.len >
	        builder->block_bytes) {
		err = emit_data_block(builder);
		if (err != LSM_OK)
			return err;
	}
	err = block_builder_add(&builder->block, ikey, value);
	if (err != LSM_OK)
		return err;
	if (builder->info.entries == 0) {
		err = buf_set(&builder->info.smallest, ikey);
		if (err != LSM_OK)
			return err;
	}
	table_info_count(&builder->info, ikey, value);
	return buf_set(&builder->last_key, ikey);
}

enum lsm_err table_builder_add(struct table_builder *builder, struct slice ikey,
                               struct slice value)
{
	if (builder->err == LSM_OK)
		builder->err = add(builder, ikey, value);
	return builder->err;
}

uint64_t table_builder_bytes(const struct table_builder *builder)
{
	const uint64_t filter =
	    builder->hashes.len / sizeof(uint64_t) * BLOOM_BITS_PER_KEY / 8;

	return builder->out_offset + builder->out.len +
	       block_builder_bytes(&builder->block) + builder->index.len +
	       filter + SST_FOOTER_BYTES;
}

uint64_t table_builder_entries(const struct table_builder *builder)
{
	return builder->info.entries;
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
	buf_release(&builder->hashes);
	return err;
}

/*
 * Put `index` into blocks of `type` of about `limit_bytes`, and note each in
 * *above; *handle is left with the last one's, of *blocks.
 */
static enum lsm_err emit_index_blocks(struct table_builder *builder,
                                      enum sst_block_type type,
                                      struct slice index, size_t limit_bytes,
                                      struct buf *above,
                                      struct sst_handle *handle)
{
	struct cursor c = cursor_make(index);
	enum lsm_err err;

	while (cursor_left(&c) > 0) {
		struct slice key = cursor_prefixed(&c);
		struct slice value = cursor_prefixed(&c);

		err = block_builder_add(&builder->block, key, value);
		if (err != LSM_OK)
			return err;
		if (cursor_left(&c) > 0 &&
		    block_builder_bytes(&builder->block) < limit_bytes)
			continue;
		err = emit_block(builder, type, handle);
		if (err != LSM_OK)
			return err;
		err = note_block(above, key, *handle);
		if (err != LSM_OK)
			return err;
	}
	return LSM_OK;
}

/* One block where the entries fit, else one above those that they fill. */
static enum lsm_err emit_index(struct table_builder *builder,
                               struct sst_footer *footer)
{
	const bool single = builder->index.len <= INDEX_SINGLE_MAX_BYTES;
	struct buf top = BUF_INIT, above_top = BUF_INIT;
	enum lsm_err err;

	err = emit_index_blocks(
	    builder, SST_BLOCK_INDEX, buf_slice(&builder->index),
	    single ? SIZE_MAX : INDEX_BLOCK_BYTES, &top, &footer->index);
	if (err == LSM_OK && !single)
		err = emit_index_blocks(builder, SST_BLOCK_TOP_INDEX,
		                        buf_slice(&top), SIZE_MAX, &above_top,
		                        &footer->index);
	footer->index_levels = single ? 1 : 2;
	buf_release(&top);
	buf_release(&above_top);
	return err;
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
	enum lsm_err err;

	err = emit_data_block(builder);
	if (err != LSM_OK)
		return err;
	buf_swap(&builder->info.largest, &builder->last_key);
	err = emit_filter(builder, &footer.filter);
	if (err != LSM_OK)
		return err;
	err = emit_index(builder, &footer);
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
