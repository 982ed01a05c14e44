/* SPDX-License-Identifier: MIT */
/*
 * table_get.c: one key out of a table: the filter of its part, the index of the
 * part, one data block.
 *
 * Where the top index is kept, it is kept taken apart as well, and each part keeps
 * the handles of its filter and its index once they were needed, so far as the
 * cache has room for what is kept (cache_keep()). Without, all comes through the
 * cache.
 */
#include <stdlib.h>

#include "base/checksum.h"
#include "base/log.h"
#include "sst/bloom.h"
#include "sst/table_private.h"

bool table_probe_init(struct table_probe *probe, struct slice user,
                      uint64_t seq)
{
	if (user.len > LSM_KEY_MAX_BYTES)
		return false;
	if (user.len > 0)
		memcpy(probe->bytes, user.data, user.len);
	put_u64(probe->bytes + user.len, key_trailer(seq, KEY_SEEK));
	probe->target = slice_make(probe->bytes, user.len + KEY_TRAILER_BYTES);
	probe->hash = checksum_hash(user);
	return true;
}

/* ---- the parts ------------------------------------------------------------- */

/* One entry of the top index. False: it is none, or has to be put together. */
static bool take_part(const struct block_iter *top, struct table_part *part)
{
	if (top->key.data == top->key_bytes)
		return false;
	part->last = top->key;
	atomic_init(&part->filter, NULL);
	atomic_init(&part->index, NULL);
	return sst_part_decode(top->value, &part->where);
}

enum lsm_err table_take_parts(struct table *table)
{
	struct block_iter top;
	size_t count = 0;

	block_iter_init(&top, slice_make(table->top->bytes, table->top->len));
	table->parts = calloc(top.restart_count, sizeof(*table->parts));
	if (table->parts == NULL)
		return top.restart_count == 0 ? LSM_OK : LSM_ERR_NOMEM;
	block_iter_seek_first(&top);
	for (; top.valid && count < top.restart_count; count++) {
		if (!take_part(&top, &table->parts[count]))
			break;
		block_iter_next(&top);
	}
	table->part_count = count;
	/* What is not as we write it is left to those who say what is wrong. */
	if (top.valid || top.err != LSM_OK || count == 0)
		table_drop_parts(table);
	return LSM_OK;
}

static void drop(struct table *table, _Atomic(struct cache_handle *) *kept)
{
	struct cache_handle *handle =
	    atomic_load_explicit(kept, memory_order_acquire);

	if (handle != NULL)
		cache_unkeep(table->blocks, handle);
}

void table_drop_parts(struct table *table)
{
	for (size_t i = 0; i < table->part_count; i++) {
		drop(table, &table->parts[i].filter);
		drop(table, &table->parts[i].index);
	}
	free(table->parts);
	table->parts = NULL;
	table->part_count = 0;
}

/* The first part whose last key is not before the target, or NULL. */
static struct table_part *find_part(const struct table *table,
                                    struct slice target)
{
	size_t low = 0, high = table->part_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (key_compare(table->parts[middle].last, target) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < table->part_count ? &table->parts[low] : NULL;
}

/* The same where the top index comes through the cache, decoded into *room. */
static enum lsm_err read_part(struct table *table, struct slice target,
                              struct table_part *room,
                              struct table_part **part_out)
{
	struct block_ref ref;
	struct block_iter top;
	enum lsm_err err;

	*part_out = NULL;
	err = block_ref_get(table, SST_BLOCK_TOP_INDEX, table->footer.top, true,
	                    NULL, &ref);
	if (err != LSM_OK)
		return err;
	block_iter_init(&top, block_ref_raw(&ref));
	block_iter_seek(&top, target);
	err = top.err;
	if (err == LSM_OK && top.valid) {
		*part_out = room;
		if (!sst_part_decode(top.value, &room->where))
			err = LSM_ERR_CORRUPT;
	}
	if (err == LSM_ERR_CORRUPT)
		table_bad_entry(table, ref.offset);
	block_ref_release(table, &ref);
	return err;
}

/* ---- blocks of a part -------------------------------------------------------- */

/* Have *kept take what *ref holds over, if there is room for it. */
static void offer(struct table *table, _Atomic(struct cache_handle *) *kept,
                  struct block_ref *ref, const struct cached_block **block)
{
	struct cache_handle *expected = NULL;

	if (ref->handle == NULL || !cache_keep(table->blocks, ref->handle))
		return;
	if (!atomic_compare_exchange_strong_explicit(
		kept, &expected, ref->handle, memory_order_release,
		memory_order_acquire)) {
		/* Another thread was first: its block does as well. */
		*block = cache_value(expected);
		cache_unkeep(table->blocks, ref->handle);
	}
	memset(ref, 0, sizeof(*ref));
}

/* Begin to walk the filter or the index of a part; *ref holds what is not kept. */
static enum lsm_err part_block(struct table *table, enum sst_block_type type,
                               struct sst_handle where,
                               _Atomic(struct cache_handle *) *kept,
                               struct block_ref *ref, struct slice *raw_out)
{
	struct cache_handle *handle =
	    atomic_load_explicit(kept, memory_order_acquire);
	const struct cached_block *block;
	enum lsm_err err;

	memset(ref, 0, sizeof(*ref));
	if (handle != NULL) {
		block = cache_value(handle);
	} else {
		err = block_ref_get(table, type, where, true, NULL, ref);
		if (err != LSM_OK)
			return err;
		block = ref->block;
		if (table->parts != NULL)
			offer(table, kept, ref, &block);
	}
	*raw_out = slice_make(block->bytes, block->len);
	return LSM_OK;
}

/* Whether the part may have the key. */
static enum lsm_err filter_allows(struct table *table, struct table_part *part,
                                  uint64_t hash, bool *allows_out)
{
	struct block_ref ref;
	struct slice filter;
	enum lsm_err err =
	    part_block(table, SST_BLOCK_FILTER, part->where.filter,
	               &part->filter, &ref, &filter);

	*allows_out = err == LSM_OK && bloom_may_contain(filter, hash);
	block_ref_release(table, &ref);
	return err;
}

/* The data block of the part where the target is, or would be. */
static enum lsm_err find_data(struct table *table, struct table_part *part,
                              struct slice target, struct sst_handle *data_out)
{
	struct block_iter index;
	struct block_ref ref;
	struct slice raw;
	enum lsm_err err = part_block(table, SST_BLOCK_INDEX, part->where.index,
	                              &part->index, &ref, &raw);

	if (err != LSM_OK)
		return err;
	block_iter_init(&index, raw);
	block_iter_seek(&index, target);
	/* The top index promised a key that is not before the target. */
	if (!index.valid || !sst_handle_decode(index.value, data_out)) {
		err = LSM_ERR_CORRUPT;
		table_bad_entry(table, part->where.index.offset);
	}
	block_ref_release(table, &ref);
	return err;
}

/* ---- get ----------------------------------------------------------------------- */

/* A get on its way. */
struct visit {
	struct slice user;
	key_visit_fn call;
	void *ctx;
	bool stopped;
};

/* Visit the entry, if it is a version of the key. False: no more of them. */
static bool visit_entry(struct visit *visit, struct slice ikey,
                        struct slice value)
{
	if (!slice_equal(key_user(ikey), visit->user))
		return false;
	visit->stopped =
	    !visit->call(visit->ctx, key_seq(ikey), key_kind(ikey), value);
	return !visit->stopped;
}

/* Visit what lies in the blocks behind the one that ends with `last`. */
static enum lsm_err visit_behind(struct table *table, struct slice last,
                                 struct visit *visit)
{
	struct iter *it;
	enum lsm_err err = table_iter(table, true, &it);

	if (err != LSM_OK)
		return err;
	iter_seek(it, last);
	if (iter_valid(it))
		iter_next(it);
	while (iter_valid(it) &&
	       visit_entry(visit, iter_key(it), iter_value(it)))
		iter_next(it);
	err = visit->stopped ? LSM_OK : iter_status(it);
	iter_destroy(it);
	return err;
}

/* Visit what a data block has from the target on. */
static enum lsm_err visit_block(struct table *table, struct sst_handle where,
                                struct slice target, struct visit *visit)
{
	struct slice last = slice_make(NULL, 0);
	struct block_iter data;
	struct block_ref ref;
	enum lsm_err err =
	    block_ref_get(table, SST_BLOCK_DATA, where, true, NULL, &ref);

	if (err != LSM_OK)
		return err;
	block_iter_init(&data, block_ref_raw(&ref));
	block_iter_seek(&data, target);
	if (!data.valid)
		data.err = LSM_ERR_CORRUPT; /* the index promised one */
	while (data.valid && visit_entry(visit, data.key, data.value)) {
		last = data.key; /* which stays where it is at the end */
		block_iter_next(&data);
	}
	err = data.err;
	if (err != LSM_OK)
		table_bad_entry(table, where.offset);
	else if (!data.valid)
		err = visit_behind(table, last, visit);
	block_ref_release(table, &ref);
	return err;
}

enum lsm_err table_get(struct table *table, const struct table_probe *probe,
                       key_visit_fn visit, void *ctx, bool *stopped_out)
{
	struct visit state = {key_user(probe->target), visit, ctx, false};
	struct table_part room = {.filter = NULL}, *part = NULL;
	enum lsm_err err = LSM_OK;
	struct sst_handle data;
	bool allows = false;

	*stopped_out = false;
	if (table->parts != NULL)
		part = find_part(table, probe->target);
	else
		err = read_part(table, probe->target, &room, &part);
	if (err == LSM_OK && part != NULL)
		err = filter_allows(table, part, probe->hash, &allows);
	if (err != LSM_OK || !allows)
		return err;
	err = find_data(table, part, probe->target, &data);
	if (err == LSM_OK)
		err = visit_block(table, data, probe->target, &state);
	*stopped_out = state.stopped;
	return err;
}
