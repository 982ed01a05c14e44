/* SPDX-License-Identifier: MIT */
/*
 * version_iter.c: an iterator over tables that follow one another in key order,
 * of which one at a time is open. A table of L0 is such a row of one.
 */
#include <assert.h>
#include <stdlib.h>

#include "tree/version.h"

struct level_iter {
	struct iter base;
	const struct table_source *source;
	bool fill_cache;

	/* Either the row lies in `version`, or it is our own and `version` is
	   NULL; `owned` is the array then. Each holds references. */
	struct version *version;
	struct table_meta **owned;
	struct table_meta *const *tables;
	size_t count;

	/* The table that is open; it != NULL says that one is. */
	size_t index;
	struct table_ref ref;
	struct iter *it;

	enum lsm_err err;
};

static void close_table(struct level_iter *level)
{
	if (level->it == NULL)
		return;
	iter_destroy(level->it);
	level->it = NULL;
	table_cache_release(level->source, &level->ref);
}

/* Have table `index` open; false after an error. */
static bool open_table(struct level_iter *level, size_t index)
{
	struct table_meta *meta = level->tables[index];

	if (level->it != NULL && level->index == index)
		return true;
	close_table(level);
	level->err =
	    table_cache_get_kept(level->source, meta->id, meta->info.file_bytes,
	                         &meta->kept, level->fill_cache, &level->ref);
	if (level->err != LSM_OK)
		return false;
	level->err =
	    table_iter(level->ref.table, level->fill_cache, &level->it);
	if (level->err != LSM_OK) {
		table_cache_release(level->source, &level->ref);
		return false;
	}
	level->index = index;
	return true;
}

/* What is to be known of the entry of the open table, if there is one. */
static void place(struct level_iter *level)
{
	bool valid =
	    level->err == LSM_OK && level->it != NULL && iter_valid(level->it);

	iter_place(&level->base, valid,
	           valid ? iter_key(level->it) : slice_make(NULL, 0));
}

/* Where the open table has ended, go to the beginning of the next; at an error
   stay where it is. */
static void go_on(struct level_iter *level)
{
	while (level->it != NULL && !iter_valid(level->it)) {
		size_t next = level->index + 1;

		level->err = iter_status(level->it);
		if (level->err != LSM_OK)
			return;
		if (next == level->count) {
			close_table(level);
			return;
		}
		if (!open_table(level, next))
			return;
		iter_seek_first(level->it);
	}
}

/* The same towards the beginning. */
static void go_back(struct level_iter *level)
{
	while (level->it != NULL && !iter_valid(level->it)) {
		level->err = iter_status(level->it);
		if (level->err != LSM_OK)
			return;
		if (level->index == 0) {
			close_table(level);
			return;
		}
		if (!open_table(level, level->index - 1))
			return;
		iter_seek_last(level->it);
	}
}

static void settle(struct level_iter *level)
{
	go_on(level);
	place(level);
}

static void settle_back(struct level_iter *level)
{
	go_back(level);
	place(level);
}

static void level_seek_first(struct iter *base)
{
	struct level_iter *level = (struct level_iter *)base;

	level->err = LSM_OK;
	if (level->count > 0 && open_table(level, 0))
		iter_seek_first(level->it);
	settle(level);
}

/* The first table whose largest key is >= target. */
static size_t find_table(const struct level_iter *level, struct slice target)
{
	size_t low = 0, high = level->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct table_info *info = &level->tables[middle]->info;

		if (key_compare(buf_slice(&info->largest), target) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void level_seek(struct iter *base, struct slice target)
{
	struct level_iter *level = (struct level_iter *)base;
	size_t index = find_table(level, target);

	level->err = LSM_OK;
	if (index == level->count)
		close_table(level);
	else if (open_table(level, index))
		iter_seek(level->it, target);
	settle(level);
}

static void level_seek_last(struct iter *base)
{
	struct level_iter *level = (struct level_iter *)base;

	level->err = LSM_OK;
	if (level->count > 0 && open_table(level, level->count - 1))
		iter_seek_last(level->it);
	settle_back(level);
}

static void level_seek_before(struct iter *base, struct slice target)
{
	struct level_iter *level = (struct level_iter *)base;
	size_t index = find_table(level, target);

	if (index == level->count) {
		level_seek_last(base);
		return;
	}
	level->err = LSM_OK;
	if (open_table(level, index))
		iter_seek_before(level->it, target);
	settle_back(level);
}

static void level_next(struct iter *base)
{
	struct level_iter *level = (struct level_iter *)base;

	assert(iter_valid(base));
	iter_next(level->it);
	if (iter_valid(level->it))
		iter_place(base, true, iter_key(level->it));
	else
		settle(level);
}

static void level_prev(struct iter *base)
{
	struct level_iter *level = (struct level_iter *)base;

	assert(iter_valid(base));
	iter_prev(level->it);
	settle_back(level);
}

static struct slice level_value(const struct iter *base)
{
	return iter_value(((const struct level_iter *)base)->it);
}

static bool level_packed(const struct iter *base,
                         struct codec_packed *packed_out)
{
	return iter_packed(((const struct level_iter *)base)->it, packed_out);
}

static enum lsm_err level_status(const struct iter *base)
{
	return ((const struct level_iter *)base)->err;
}

static void level_destroy(struct iter *base)
{
	struct level_iter *level = (struct level_iter *)base;

	close_table(level);
	if (level->version != NULL)
		version_unref(level->version);
	else
		for (size_t i = 0; i < level->count; i++)
			table_meta_unref(level->owned[i]);
	free(level->owned);
	free(level);
}

static const struct iter_ops level_ops = {
    .seek_first = level_seek_first,
    .seek = level_seek,
    .next = level_next,
    .seek_last = level_seek_last,
    .seek_before = level_seek_before,
    .prev = level_prev,
    .value = level_value,
    .packed = level_packed,
    .status = level_status,
    .destroy = level_destroy,
};

/* Over a row of tables that somebody else keeps alive. */
static struct level_iter *make_iter(struct table_meta *const *tables,
                                    size_t count,
                                    const struct table_source *source,
                                    bool fill_cache)
{
	struct level_iter *level;

	level = calloc(1, sizeof(*level));
	if (level == NULL)
		return NULL;
	iter_init(&level->base, &level_ops);
	level->source = source;
	level->fill_cache = fill_cache;
	level->tables = tables;
	level->count = count;
	return level;
}

enum lsm_err level_iter_create(struct table_meta *const *tables, size_t count,
                               const struct table_source *source,
                               bool fill_cache, struct iter **iter_out)
{
	struct level_iter *level;
	struct table_meta **owned;

	*iter_out = NULL;
	owned = calloc(count + 1, sizeof(struct table_meta *)); /* never 0 */
	if (owned == NULL)
		return LSM_ERR_NOMEM;
	level = make_iter(owned, count, source, fill_cache);
	if (level == NULL) {
		free(owned);
		return LSM_ERR_NOMEM;
	}
	level->owned = owned;
	for (size_t i = 0; i < count; i++) {
		owned[i] = tables[i];
		table_meta_ref(owned[i]);
	}
	*iter_out = &level->base;
	return LSM_OK;
}

/* Append an iterator over tables [begin, end) of one level. */
static enum lsm_err push_row(struct version *version, unsigned index,
                             size_t begin, size_t end,
                             const struct table_source *source, bool fill_cache,
                             struct iter_list *list)
{
	struct level_iter *level;

	if (begin >= end)
		return LSM_OK;
	level = make_iter(version->levels[index].tables + begin, end - begin,
	                  source, fill_cache);
	if (level == NULL)
		return LSM_ERR_NOMEM;
	version_ref(version);
	level->version = version;
	return iter_list_push(list, &level->base);
}

/* Whether the table has user keys in [lower, upper). */
static bool is_within(const struct table_meta *meta, struct slice lower,
                      struct slice upper)
{
	struct slice smallest = key_user(buf_slice(&meta->info.smallest));
	struct slice largest = key_user(buf_slice(&meta->info.largest));

	return slice_compare(largest, lower) >= 0 &&
	       (upper.len == 0 || slice_compare(smallest, upper) < 0);
}

/* The tables of a sorted level that have user keys in [lower, upper). */
static void find_row(struct version *version, unsigned index,
                     struct slice lower, struct slice upper, size_t *begin_out,
                     size_t *end_out)
{
	const struct level *level = &version->levels[index];

	if (upper.len > 0) {
		version_range(version, index, lower, upper, begin_out, end_out);
	} else {
		version_range(version, index, lower, lower, begin_out, end_out);
		*end_out = level->count;
	}
	/* `upper` itself is outside; one table at most begins there. */
	if (*begin_out < *end_out &&
	    !is_within(level->tables[*end_out - 1], lower, upper))
		(*end_out)--;
}

enum lsm_err version_iters(struct version *version,
                           const struct table_source *source,
                           struct slice lower, struct slice upper,
                           bool fill_cache, struct iter_list *list)
{
	const struct level *top = &version->levels[0];
	size_t begin, end;
	enum lsm_err err;

	for (size_t i = 0; i < top->count; i++) {
		if (!is_within(top->tables[i], lower, upper))
			continue;
		err = push_row(version, 0, i, i + 1, source, fill_cache, list);
		if (err != LSM_OK)
			return err;
	}
	for (unsigned i = 1; i < LSM_LEVELS; i++) {
		find_row(version, i, lower, upper, &begin, &end);
		err =
		    push_row(version, i, begin, end, source, fill_cache, list);
		if (err != LSM_OK)
			return err;
	}
	return LSM_OK;
}
