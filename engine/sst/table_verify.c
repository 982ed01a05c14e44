/* SPDX-License-Identifier: MIT */
/*
 * table_verify.c: every byte of a table belongs to its header, one of its
 * blocks, or its footer, without gaps. The walk goes down the index, reads each
 * block from the file, past the cache, and counts what the properties should
 * say. A block that cannot be read is one fault; the walk goes on behind it
 * and leaves out the comparisons which then cannot hold.
 */
#include "sst/table.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/checksum.h"
#include "sst/block.h"
#include "sst/bloom.h"
#include "sst/table_private.h"

enum { LINE_MAX_BYTES = 256 };

struct verify {
	struct table *table;
	void (*report)(void *ctx, const char *line);
	void *ctx;
	uint64_t faults;

	struct sst_footer footer; /* as it is in the file now */
	struct buf filter;        /* empty when it could not be read */
	struct buf last_key;      /* internal; empty before the first */
	struct table_info seen;
	uint64_t data_end;  /* where the next data block should stand, */
	uint64_t index_end; /* and index block; 0: not known */
	bool incomplete;    /* not all entries were seen */
};

static void fault(struct verify *v, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fault(struct verify *v, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int used = snprintf(line, sizeof(line), "%s: ", v->table->name);
	va_list args;

	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
	va_end(args);
	v->faults++;
	v->report(v->ctx, line);
}

/* Check that a block stands where the one before it ended. */
static void check_place(struct verify *v, uint64_t *end,
                        struct sst_handle handle)
{
	if (*end != 0 && handle.offset != *end)
		fault(v, "a block at offset %" PRIu64 " should be at %" PRIu64,
		      handle.offset, *end);
	*end = handle.offset + handle.bytes + SST_TRAILER_BYTES;
}

/* Read a block, or report it and set *read_out to false. Errors: NOMEM. */
static enum lsm_err read_block(struct verify *v, enum sst_block_type type,
                               struct sst_handle handle, struct buf *raw,
                               bool *read_out)
{
	struct table *table = v->table;
	enum lsm_err err;

	err = sst_block_read(table->file, table->name, table->id,
	                     table->file_bytes, type, handle, raw);
	*read_out = err == LSM_OK;
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, "block of type %d at offset %" PRIu64 ": %s",
		      (int)type, handle.offset, lsm_strerror(err));
		v->incomplete = true;
	}
	return LSM_OK;
}

static enum lsm_err check_entry(struct verify *v, uint64_t offset,
                                struct slice key, struct slice value)
{
	if (v->last_key.len > 0 &&
	    key_compare(buf_slice(&v->last_key), key) >= 0)
		fault(v, "keys do not ascend in the block at offset %" PRIu64,
		      offset);
	if (!bloom_may_contain(buf_slice(&v->filter),
	                       checksum_hash(key_user(key))))
		fault(v,
		      "the filter misses a key of the block at offset %" PRIu64,
		      offset);
	if (v->seen.entries == 0) {
		enum lsm_err err = buf_set(&v->seen.smallest, key);

		if (err != LSM_OK)
			return err;
	}
	table_info_count(&v->seen, key, value);
	return buf_set(&v->last_key, key);
}

/* After the last entry of a block: did it end well, and at the key that the
   index has for it? The walk goes on from that key. */
static enum lsm_err check_block_end(struct verify *v, uint64_t offset,
                                    const struct block_iter *it,
                                    struct slice index_key)
{
	if (it->err == LSM_ERR_NOMEM)
		return it->err;
	if (it->err != LSM_OK) {
		fault(v, "bad entry in the block at offset %" PRIu64, offset);
		v->incomplete = true;
	} else if (!slice_equal(buf_slice(&v->last_key), index_key)) {
		fault(v,
		      "the index is wrong about the block at offset %" PRIu64,
		      offset);
	}
	return buf_set(&v->last_key, index_key);
}

static enum lsm_err check_data_block(struct verify *v, struct sst_handle handle,
                                     struct slice index_key)
{
	struct buf raw = BUF_INIT;
	struct block_iter it;
	enum lsm_err err;
	bool read;

	block_iter_init(&it, slice_make(NULL, 0));
	check_place(v, &v->data_end, handle);
	err = read_block(v, SST_BLOCK_DATA, handle, &raw, &read);
	if (err != LSM_OK)
		goto out;
	if (!read) {
		err = buf_set(&v->last_key, index_key);
		goto out;
	}

	block_iter_set(&it, buf_slice(&raw));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		err =
		    check_entry(v, handle.offset, buf_slice(&it.key), it.value);
		if (err != LSM_OK)
			goto out;
	}
	err = check_block_end(v, handle.offset, &it, index_key);
out:
	block_iter_release(&it);
	buf_release(&raw);
	return err;
}

/* Part of an index block of `type` was lost, and so is what it leads to. */
static void lose_track(struct verify *v, enum sst_block_type type)
{
	v->incomplete = true;
	v->data_end = 0;
	if (type == SST_BLOCK_TOP_INDEX)
		v->index_end = 0;
}

static enum lsm_err check_index(struct verify *v, enum sst_block_type type,
                                struct sst_handle handle);

static enum lsm_err check_child(struct verify *v, enum sst_block_type type,
                                struct slice key, struct sst_handle child)
{
	enum lsm_err err;

	if (type == SST_BLOCK_INDEX)
		return check_data_block(v, child, key);
	check_place(v, &v->index_end, child);
	err = check_index(v, SST_BLOCK_INDEX, child);
	if (err != LSM_OK)
		return err;
	if (!slice_equal(buf_slice(&v->last_key), key) && !v->incomplete)
		fault(v, "the top index is wrong about offset %" PRIu64,
		      child.offset);
	return buf_set(&v->last_key, key);
}

/* Check an index block and all below it. */
static enum lsm_err check_index(struct verify *v, enum sst_block_type type,
                                struct sst_handle handle)
{
	struct buf raw = BUF_INIT;
	struct block_iter it;
	enum lsm_err err;
	bool read;

	block_iter_init(&it, slice_make(NULL, 0));
	err = read_block(v, type, handle, &raw, &read);
	if (err != LSM_OK)
		goto out;
	if (!read) {
		lose_track(v, type);
		goto out;
	}

	block_iter_set(&it, buf_slice(&raw));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		struct sst_handle child;

		if (!sst_handle_decode(it.value, &child)) {
			fault(v, "bad handle in the index at offset %" PRIu64,
			      handle.offset);
			lose_track(v, type);
			continue;
		}
		err = check_child(v, type, buf_slice(&it.key), child);
		if (err != LSM_OK)
			goto out;
	}
	err = it.err == LSM_ERR_NOMEM ? it.err : LSM_OK;
	if (it.err == LSM_ERR_CORRUPT) {
		fault(v, "bad entry in the index at offset %" PRIu64,
		      handle.offset);
		lose_track(v, type);
	}
out:
	block_iter_release(&it);
	buf_release(&raw);
	return err;
}

/* Compare the properties with what was seen. */
static enum lsm_err check_properties(struct verify *v)
{
	const struct table_info *seen = &v->seen;
	struct table_info info;
	enum lsm_err err;
	bool agree;

	err = table_read_info(v->table, &info);
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, "properties at offset %" PRIu64 ": %s",
		      v->footer.properties.offset, lsm_strerror(err));
		return LSM_OK;
	}
	agree =
	    info.entries == seen->entries && info.deletes == seen->deletes &&
	    info.raw_bytes == seen->raw_bytes &&
	    info.min_seq == seen->min_seq && info.max_seq == seen->max_seq &&
	    slice_equal(buf_slice(&info.smallest),
	                buf_slice(&seen->smallest)) &&
	    slice_equal(buf_slice(&info.largest), buf_slice(&v->last_key));
	if (!agree && !v->incomplete)
		fault(v, "the properties do not agree with the entries");
	table_info_release(&info);
	return LSM_OK;
}

static enum lsm_err check_filter(struct verify *v)
{
	const bool incomplete = v->incomplete;
	enum lsm_err err;
	bool read;

	err = read_block(v, SST_BLOCK_FILTER, v->footer.filter, &v->filter,
	                 &read);
	v->incomplete = incomplete; /* entries do not depend on the filter */
	return err;
}

/* Check that nothing lies between the blocks that the footer names. */
static void check_places(struct verify *v)
{
	const struct sst_footer *footer = &v->footer;
	struct sst_handle end = {v->table->file_bytes - SST_FOOTER_BYTES, 0};

	check_place(v, &v->data_end, footer->filter);
	check_place(v, &v->index_end, footer->index);
	check_place(v, &v->index_end, footer->properties);
	check_place(v, &v->index_end, end);
}

static enum lsm_err check_all(struct verify *v)
{
	enum lsm_err err;

	err = table_read_ends(v->table, &v->footer);
	if (err == LSM_ERR_NOMEM)
		return err;
	if (err != LSM_OK) {
		fault(v, "header or footer: %s", lsm_strerror(err));
		v->footer = v->table->footer;
	}
	err = check_filter(v);
	if (err != LSM_OK)
		return err;
	v->data_end = FILE_HEADER_BYTES;
	v->index_end = v->footer.filter.offset + v->footer.filter.bytes +
	               SST_TRAILER_BYTES;
	err = check_index(v, table_root_type(v->table), v->footer.index);
	if (err != LSM_OK)
		return err;
	err = check_properties(v);
	if (err != LSM_OK)
		return err;
	check_places(v);
	return LSM_OK;
}

enum lsm_err table_verify(struct table *table,
                          void (*report)(void *ctx, const char *line),
                          void *ctx, uint64_t *faults_out)
{
	struct verify v = {.table = table, .report = report, .ctx = ctx};
	enum lsm_err err;

	table_info_init(&v.seen);
	err = check_all(&v);
	*faults_out = v.faults;
	table_info_release(&v.seen);
	buf_release(&v.filter);
	buf_release(&v.last_key);
	return err;
}
