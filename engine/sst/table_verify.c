/* SPDX-License-Identifier: MIT */
/*
 * table_verify.c: every byte of a table belongs to its header, one of its
 * blocks, or its footer, without gaps. The walk goes down the top index, part
 * by part, reads each block from the file, past the cache, and counts what the
 * properties should say. A block that cannot be read is one fault; the walk goes on behind it
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
	struct buf filter;        /* of the part; empty: could not be read */
	struct buf last_key;      /* internal; empty before the first */
	struct table_info seen;
	uint64_t end;    /* where the next block should stand; 0: not known */
	bool incomplete; /* not all entries were seen */
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
static void check_place(struct verify *v, struct sst_handle handle)
{
	if (v->end != 0 && handle.offset != v->end)
		fault(v, "a block at offset %" PRIu64 " should be at %" PRIu64,
		      handle.offset, v->end);
	v->end = handle.offset + handle.bytes + SST_TRAILER_BYTES;
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
	enum lsm_err err;

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
		err = buf_set(&v->seen.smallest, key);
		if (err != LSM_OK)
			return err;
	}
	table_info_count(
	    &v->seen, key, value,
	    v->last_key.len > 0 &&
		slice_equal(key_user(buf_slice(&v->last_key)), key_user(key)));
	err = table_info_note_range(&v->seen, key, value);
	if (err == LSM_ERR_CORRUPT)
		fault(v,
		      "a bad range tombstone in the block at offset %" PRIu64,
		      offset);
	if (err == LSM_ERR_NOMEM)
		return err;
	err = table_info_note_pointer(&v->seen, key, value);
	if (err == LSM_ERR_CORRUPT)
		fault(v, "a bad pointer in the block at offset %" PRIu64,
		      offset);
	if (err == LSM_ERR_NOMEM)
		return err;
	return buf_set(&v->last_key, key);
}

/* After the last entry of a block: did it end well, and at the key that the
   index has for it? The walk goes on from that key. */
static enum lsm_err check_block_end(struct verify *v, uint64_t offset,
                                    const struct block_iter *it,
                                    struct slice index_key)
{
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

	check_place(v, handle);
	err = read_block(v, SST_BLOCK_DATA, handle, &raw, &read);
	if (err != LSM_OK)
		goto out;
	if (!read) {
		err = buf_set(&v->last_key, index_key);
		goto out;
	}

	block_iter_init(&it, buf_slice(&raw));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		err = check_entry(v, handle.offset, it.key, it.value);
		if (err != LSM_OK)
			goto out;
	}
	err = check_block_end(v, handle.offset, &it, index_key);
out:
	buf_release(&raw);
	return err;
}

/* Part of an index block was lost, and so is what it leads to. */
static void lose_track(struct verify *v)
{
	v->incomplete = true;
	v->end = 0;
}

/* What an entry of an index block leads to. Errors: NOMEM. */
typedef enum lsm_err (*child_fn)(struct verify *v, struct slice key,
                                 struct slice value, bool *good_out);

static enum lsm_err check_block_of_part(struct verify *v, struct slice key,
                                        struct slice value, bool *good_out)
{
	struct sst_handle handle;

	*good_out = sst_handle_decode(value, &handle);
	return *good_out ? check_data_block(v, handle, key) : LSM_OK;
}

/* Check the index block and, with `child`, what each entry leads to. */
static enum lsm_err check_index(struct verify *v, enum sst_block_type type,
                                struct sst_handle handle, child_fn child)
{
	struct buf raw = BUF_INIT;
	struct block_iter it;
	enum lsm_err err;
	bool read, good;

	err = read_block(v, type, handle, &raw, &read);
	if (err != LSM_OK)
		goto out;
	if (!read) {
		lose_track(v);
		goto out;
	}

	block_iter_init(&it, buf_slice(&raw));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		err = child(v, it.key, it.value, &good);
		if (err != LSM_OK)
			goto out;
		if (!good) {
			fault(v, "bad handle in the index at offset %" PRIu64,
			      handle.offset);
			lose_track(v);
		}
	}
	if (it.err != LSM_OK) {
		fault(v, "bad entry in the index at offset %" PRIu64,
		      handle.offset);
		lose_track(v);
	}
out:
	buf_release(&raw);
	return err;
}

/* The filter first: entries are compared with it. They do not depend on it. */
static enum lsm_err read_filter(struct verify *v, struct sst_handle handle)
{
	const bool incomplete = v->incomplete;
	enum lsm_err err;
	bool read;

	err = read_block(v, SST_BLOCK_FILTER, handle, &v->filter, &read);
	v->incomplete = incomplete;
	return err;
}

static enum lsm_err check_part(struct verify *v, struct slice key,
                               struct slice value, bool *good_out)
{
	struct sst_part part;
	enum lsm_err err;

	*good_out = sst_part_decode(value, &part);
	if (!*good_out)
		return LSM_OK;
	err = read_filter(v, part.filter);
	if (err == LSM_OK)
		err = check_index(v, SST_BLOCK_INDEX, part.index,
		                  check_block_of_part);
	if (err != LSM_OK)
		return err;
	check_place(v, part.filter);
	check_place(v, part.index);
	if (!slice_equal(buf_slice(&v->last_key), key) && !v->incomplete)
		fault(v, "the top index is wrong about offset %" PRIu64,
		      part.index.offset);
	return buf_set(&v->last_key, key);
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
	agree = info.entries == seen->entries &&
	        info.deletes == seen->deletes &&
	        info.raw_bytes == seen->raw_bytes &&
	        info.min_seq == seen->min_seq &&
	        info.max_seq == seen->max_seq && info.ranges == seen->ranges &&
	        info.ranges_prefix_bytes == seen->ranges_prefix_bytes &&
	        info.ranges_min_seq == seen->ranges_min_seq &&
	        slice_equal(buf_slice(&info.ranges_reach),
	                    buf_slice(&seen->ranges_reach)) &&
	        slice_equal(buf_slice(&info.smallest),
	                    buf_slice(&seen->smallest)) &&
	        slice_equal(buf_slice(&info.largest), buf_slice(&v->last_key)) &&
	        segment_uses_equal(&info.segments, &seen->segments);
	if (!agree && !v->incomplete)
		fault(v, "the properties do not agree with the entries");
	table_info_release(&info);
	return LSM_OK;
}

/* Check that nothing lies between the blocks that the footer names. */
static void check_places(struct verify *v)
{
	struct sst_handle end = {v->table->file_bytes - SST_FOOTER_BYTES, 0};

	check_place(v, v->footer.top);
	check_place(v, v->footer.properties);
	check_place(v, end);
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
	v->end = FILE_HEADER_BYTES;
	err = check_index(v, SST_BLOCK_TOP_INDEX, v->footer.top, check_part);
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
