/* SPDX-License-Identifier: MIT */
/*
 * table.c: a table is a tree of three levels of blocks: the top index and the
 * indexes of the parts, whose keys are the last keys of what they point to,
 * above data blocks. The iterator holds one block a level, and descends, steps
 * and climbs on all levels alike. To get one key is done in table_get.c.
 */
#include "sst/table.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "sst/block.h"
#include "sst/block_memory.h"
#include "sst/table_private.h"

enum { LEVEL_TOP, LEVEL_INDEX, LEVEL_DATA, LEVELS };

/* ---- open ------------------------------------------------------------- */

static enum lsm_err read_header(struct table *table)
{
	uint8_t bytes[FILE_HEADER_BYTES];
	struct file_header header;
	enum lsm_err err;
	size_t got;

	err = env_read(table->file, 0, bytes, sizeof(bytes), &got);
	if (err != LSM_OK)
		return err;
	return file_header_decode(slice_make(bytes, got), table->name,
	                          FILE_KIND_TABLE, &table->family, table->id,
	                          &header);
}

static enum lsm_err read_footer(struct table *table,
                                struct sst_footer *footer_out)
{
	const uint64_t offset = table->file_bytes - SST_FOOTER_BYTES;
	uint8_t bytes[SST_FOOTER_BYTES];
	enum lsm_err err;
	size_t got;

	err = env_read(table->file, offset, bytes, sizeof(bytes), &got);
	if (err != LSM_OK)
		return err;
	err = sst_footer_decode(slice_make(bytes, got), table->id, offset,
	                        footer_out);
	if (err != LSM_OK)
		log_error("%s: bad footer at offset %" PRIu64, table->name,
		          offset);
	return err;
}

enum lsm_err table_read_ends(struct table *table, struct sst_footer *footer_out)
{
	uint64_t bytes;
	enum lsm_err err;

	err = env_size(table->file, &bytes);
	if (err != LSM_OK)
		return err;
	err = read_header(table);
	if (err != LSM_OK)
		return err;
	if (bytes != table->file_bytes ||
	    bytes < FILE_HEADER_BYTES + SST_FOOTER_BYTES) {
		log_error("%s: the table has %" PRIu64 " bytes where %" PRIu64
		          " were expected",
		          table->name, bytes, table->file_bytes);
		return LSM_ERR_CORRUPT;
	}
	return read_footer(table, footer_out);
}

enum lsm_err table_open(struct env_dir *pool, struct file_id id,
                        const struct uuid *family, uint64_t file_bytes,
                        struct cache *blocks, struct table **table_out)
{
	struct table *table;
	enum lsm_err err;

	*table_out = NULL;
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		return LSM_ERR_NOMEM;
	table->id = id;
	table->family = *family;
	table->file_bytes = file_bytes;
	table->blocks = blocks;
	file_name_format(FILE_KIND_TABLE, id, table->name);

	err = env_open(pool, table->name, ENV_READ, &table->file);
	if (err == LSM_ERR_NOT_FOUND) {
		/* Passed up it would say that a key does not exist. */
		log_error("%s: the table is missing", table->name);
		err = LSM_ERR_CORRUPT;
	}
	if (err != LSM_OK)
		goto out;
	err = table_read_ends(table, &table->footer);
	if (err == LSM_OK)
		err = table_pin_top(table);
	if (err != LSM_OK)
		goto out;

	*table_out = table;
	table = NULL; /* now the caller's */
out:
	table_close(table);
	return err;
}

void table_close(struct table *table)
{
	if (table == NULL)
		return;
	env_close(table->file);
	table_drop_parts(table);
	block_memory_give(table->top);
	free(table);
}

size_t table_memory(const struct table *table)
{
	return sizeof(*table) + table->part_count * sizeof(*table->parts) +
	       (table->top != NULL ? block_memory_size(table->top) : 0);
}

/* ---- iterator ----------------------------------------------------------- */

struct table_level {
	struct block_ref ref;
	struct block_iter it;
};

/*
 * The iterator is valid when that of the data is; those above stand on the
 * entries that led there.
 */
struct table_iter {
	struct iter base;
	struct table *table;
	bool fill_cache;
	enum lsm_err err;
	struct sst_kept kept; /* of the data, unless it came from the cache */
	struct table_level level[LEVELS];
};

static struct block_iter *data_iter(struct table_iter *ti)
{
	return &ti->level[LEVEL_DATA].it;
}

static const enum sst_block_type level_types[LEVELS] = {
    [LEVEL_TOP] = SST_BLOCK_TOP_INDEX,
    [LEVEL_INDEX] = SST_BLOCK_INDEX,
    [LEVEL_DATA] = SST_BLOCK_DATA,
};

static void ti_init(struct table_iter *ti, struct table *table, bool fill_cache)
{
	ti->table = table;
	ti->fill_cache = fill_cache;
	ti->err = LSM_OK;
	memset(&ti->kept, 0, sizeof(ti->kept));
	for (unsigned i = 0; i < LEVELS; i++) {
		memset(&ti->level[i].ref, 0, sizeof(ti->level[i].ref));
		block_iter_init(&ti->level[i].it, slice_make(NULL, 0));
	}
}

static void ti_release(struct table_iter *ti)
{
	for (unsigned i = 0; i < LEVELS; i++)
		block_ref_release(ti->table, &ti->level[i].ref);
	buf_release(&ti->kept.bytes);
}

/* Invalidate with `err`; at the end of the table it is LSM_OK. */
static void ti_end(struct table_iter *ti, enum lsm_err err)
{
	ti->err = err;
	data_iter(ti)->valid = false;
}

static void ti_end_corrupt(struct table_iter *ti, unsigned level)
{
	table_bad_entry(ti->table, ti->level[level].ref.offset);
	ti_end(ti, LSM_ERR_CORRUPT);
}

/* End where the block iterator of `level` failed; false when it did not. */
static bool ti_failed(struct table_iter *ti, unsigned level)
{
	enum lsm_err err = ti->level[level].it.err;

	if (err == LSM_ERR_CORRUPT)
		ti_end_corrupt(ti, level);
	else if (err != LSM_OK)
		ti_end(ti, err);
	return err != LSM_OK;
}

/* Where the level above says that the block of `level` is. */
static bool child_handle(const struct table_iter *ti, unsigned level,
                         struct sst_handle *handle_out)
{
	struct sst_part part;

	if (level == LEVEL_TOP) {
		*handle_out = ti->table->footer.top;
		return true;
	}
	if (level == LEVEL_DATA)
		return sst_handle_decode(ti->level[LEVEL_INDEX].it.value,
		                         handle_out);
	if (!sst_part_decode(ti->level[LEVEL_TOP].it.value, &part))
		return false;
	*handle_out = part.index;
	return true;
}

/* Bring the block that the level above points to. False: ended with an error.
 */
static bool ti_load(struct table_iter *ti, unsigned level)
{
	struct table_level *at = &ti->level[level];
	/* Who fills the cache is a reader, and wants entries only. */
	struct sst_kept *kept =
	    level == LEVEL_DATA && !ti->fill_cache ? &ti->kept : NULL;
	struct sst_handle handle;
	enum lsm_err err;

	if (!child_handle(ti, level, &handle)) {
		ti_end_corrupt(ti, level - 1);
		return false;
	}
	if (at->ref.block != NULL && at->ref.offset == handle.offset)
		return true;

	block_ref_release(ti->table, &at->ref);
	err = block_ref_get(ti->table, level_types[level], handle,
	                    ti->fill_cache, kept, &at->ref);
	if (err != LSM_OK) {
		ti_end(ti, err);
		return false;
	}
	block_iter_init(&at->it, block_ref_raw(&at->ref));
	return true;
}

/* Where to go in each block on the way down. */
enum where { FIRST, LAST, TARGET };

static void seek_block(struct block_iter *it, enum where where,
                       struct slice target)
{
	if (where == FIRST)
		block_iter_seek_first(it);
	else if (where == LAST)
		block_iter_seek_last(it);
	else
		block_iter_seek(it, target);
}

/* Go down from `level`, which has just been loaded on, to the first or last
   entries or to the first ones that are not before the target. */
static void ti_descend(struct table_iter *ti, unsigned level, enum where where,
                       struct slice target)
{
	for (; level < LEVELS; level++) {
		struct block_iter *it = &ti->level[level].it;

		if (!ti_load(ti, level))
			return;
		seek_block(it, where, target);
		if (ti_failed(ti, level))
			return;
		if (!it->valid && level == 0 && where == TARGET) {
			ti_end(ti, LSM_OK); /* all keys are before it */
			return;
		}
		if (!it->valid) {
			/* Blocks are not empty, and the level above promised
			   a key that is not before the target. */
			ti_end_corrupt(ti, level);
			return;
		}
	}
}

static void ti_restart(struct table_iter *ti, enum where where,
                       struct slice target)
{
	ti->err = LSM_OK;
	data_iter(ti)->valid = false;
	ti_descend(ti, 0, where, target);
}

/* A step led out of the data block, or to an error: climb to the lowest level
   that has another entry, and go down from there. */
static void ti_leave(struct table_iter *ti, void (*step)(struct block_iter *it),
                     enum where where)
{
	unsigned level = LEVEL_DATA;

	while (!ti_failed(ti, level)) {
		if (level == 0) {
			ti_end(ti, LSM_OK);
			return;
		}
		level--;
		step(&ti->level[level].it);
		if (ti->level[level].it.valid) {
			ti_descend(ti, level + 1, where, slice_make(NULL, 0));
			return;
		}
	}
}

/* Nearly always within the data block. */
static void ti_next(struct table_iter *ti)
{
	block_iter_next(data_iter(ti));
	if (!data_iter(ti)->valid)
		ti_leave(ti, block_iter_next, FIRST);
}

static void ti_prev(struct table_iter *ti)
{
	block_iter_prev(data_iter(ti));
	if (!data_iter(ti)->valid)
		ti_leave(ti, block_iter_prev, LAST);
}

static struct table_iter *from_iter(struct iter *it)
{
	return (struct table_iter *)it;
}

static const struct table_iter *from_const_iter(const struct iter *it)
{
	return (const struct table_iter *)it;
}

/* What is to be known of where the data's iterator stands. */
static void place(struct iter *it)
{
	const struct block_iter *data = data_iter(from_iter(it));

	iter_place(it, data->valid, data->key);
}

static void iter_op_seek_first(struct iter *it)
{
	ti_restart(from_iter(it), FIRST, slice_make(NULL, 0));
	place(it);
}

static void iter_op_seek(struct iter *it, struct slice target)
{
	ti_restart(from_iter(it), TARGET, target);
	place(it);
}

static void iter_op_next(struct iter *it)
{
	ti_next(from_iter(it));
	place(it);
}

static void iter_op_seek_last(struct iter *it)
{
	ti_restart(from_iter(it), LAST, slice_make(NULL, 0));
	place(it);
}

static void iter_op_seek_before(struct iter *it, struct slice target)
{
	struct table_iter *ti = from_iter(it);

	ti_restart(ti, TARGET, target);
	if (data_iter(ti)->valid)
		ti_prev(ti);
	else if (ti->err == LSM_OK)
		ti_restart(ti, LAST, slice_make(NULL, 0)); /* all are before */
	place(it);
}

static void iter_op_prev(struct iter *it)
{
	ti_prev(from_iter(it));
	place(it);
}

static struct slice iter_op_value(const struct iter *it)
{
	const struct table_iter *ti = from_const_iter(it);

	return ti->level[LEVEL_DATA].it.value;
}

static bool iter_op_packed(const struct iter *it,
                           struct codec_packed *packed_out)
{
	const struct table_iter *ti = from_const_iter(it);

	*packed_out = ti->kept.packed;
	return packed_out->raw_len > 0 &&
	       block_iter_is_alone(&ti->level[LEVEL_DATA].it);
}

static enum lsm_err iter_op_status(const struct iter *it)
{
	return from_const_iter(it)->err;
}

static void iter_op_destroy(struct iter *it)
{
	ti_release(from_iter(it));
	free(it);
}

static const struct iter_ops table_iter_ops = {
    .seek_first = iter_op_seek_first,
    .seek = iter_op_seek,
    .next = iter_op_next,
    .seek_last = iter_op_seek_last,
    .seek_before = iter_op_seek_before,
    .prev = iter_op_prev,
    .value = iter_op_value,
    .packed = iter_op_packed,
    .status = iter_op_status,
    .destroy = iter_op_destroy,
};

enum lsm_err table_iter(struct table *table, bool fill_cache,
                        struct iter **iter_out)
{
	struct table_iter *ti = malloc(sizeof(*ti));

	*iter_out = NULL;
	if (ti == NULL)
		return LSM_ERR_NOMEM;
	ti_init(ti, table, fill_cache);
	iter_init(&ti->base, &table_iter_ops);
	*iter_out = &ti->base;
	return LSM_OK;
}

/* ---- properties ------------------------------------------------------------
 */

enum lsm_err table_read_info(struct table *table, struct table_info *info)
{
	struct buf raw = BUF_INIT;
	enum lsm_err err;

	table_info_init(info);
	err = sst_block_read(table->file, table->name, table->id,
	                     table->file_bytes, SST_BLOCK_PROPERTIES,
	                     table->footer.properties, &raw);
	if (err != LSM_OK)
		goto out;
	err = table_info_decode(buf_slice(&raw), info);
	if (err == LSM_ERR_CORRUPT)
		log_error("%s: the properties make no sense", table->name);
	info->file_bytes = table->file_bytes;
out:
	if (err != LSM_OK) {
		table_info_release(info);
		table_info_init(info);
	}
	buf_release(&raw);
	return err;
}
