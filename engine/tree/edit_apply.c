/* SPDX-License-Identifier: MIT */
/*
 * edit_apply.c: a version and an edit make the next version. Levels are sorted
 * already, so that the work is one merge of each level with the additions to
 * it.
 */
#include <stdlib.h>

#include "tree/edit.h"

static int compare_removals(const void *left, const void *right)
{
	const struct edit_removal *a = left, *b = right;

	if (a->level != b->level)
		return a->level < b->level ? -1 : 1;
	return file_id_compare(a->id, b->id);
}

static int compare_added_ids(const void *left, const void *right)
{
	const struct edit_table *a = left, *b = right;

	return file_id_compare(a->meta->id, b->meta->id);
}

/* The order of tables in a level; by id where it leaves a choice. */
static int compare_places(unsigned level, const struct table_meta *a,
                          const struct table_meta *b)
{
	int order;

	if (level == 0)
		order = (a->info.max_seq < b->info.max_seq) -
		        (a->info.max_seq > b->info.max_seq);
	else
		order = key_compare(buf_slice(&a->info.smallest),
		                    buf_slice(&b->info.smallest));
	return order != 0 ? order : file_id_compare(b->id, a->id);
}

static int compare_added_places(const void *left, const void *right)
{
	const struct edit_table *a = left, *b = right;

	if (a->level != b->level)
		return a->level < b->level ? -1 : 1;
	return compare_places(a->level, a->meta, b->meta);
}

/* The arrays of an edit in the orders that applying it needs. */
struct plan {
	struct edit_removal *removed; /* by level, then id */
	size_t removed_count;
	struct edit_table *by_id;    /* the additions */
	struct edit_table *by_place; /* the same by level, then place in it */
	size_t added_count;
};

static void *copy_array(const void *array, size_t count, size_t item_bytes)
{
	void *copy = calloc(count + 1, item_bytes); /* never 0 bytes */

	if (copy != NULL && count > 0)
		memcpy(copy, array, count * item_bytes);
	return copy;
}

static void plan_release(struct plan *plan)
{
	free(plan->removed);
	free(plan->by_id);
	free(plan->by_place);
}

static enum lsm_err plan_make(struct plan *plan, const struct edit *edit)
{
	plan->removed_count = edit->removed_count;
	plan->added_count = edit->added_count;
	plan->removed = copy_array(edit->removed, edit->removed_count,
	                           sizeof(*edit->removed));
	plan->by_id =
	    copy_array(edit->added, edit->added_count, sizeof(*edit->added));
	plan->by_place =
	    copy_array(edit->added, edit->added_count, sizeof(*edit->added));
	if (plan->removed == NULL || plan->by_id == NULL ||
	    plan->by_place == NULL)
		return LSM_ERR_NOMEM;
	qsort(plan->removed, plan->removed_count, sizeof(*plan->removed),
	      compare_removals);
	qsort(plan->by_id, plan->added_count, sizeof(*plan->by_id),
	      compare_added_ids);
	qsort(plan->by_place, plan->added_count, sizeof(*plan->by_place),
	      compare_added_places);
	for (size_t i = 1; i < plan->added_count; i++)
		if (compare_added_ids(&plan->by_id[i - 1], &plan->by_id[i]) ==
		    0)
			return LSM_ERR_CORRUPT;
	return LSM_OK;
}

static bool plan_removes(const struct plan *plan, unsigned level,
                         struct file_id id)
{
	struct edit_removal wanted = {.level = (uint8_t)level, .id = id};

	return bsearch(&wanted, plan->removed, plan->removed_count,
	               sizeof(wanted), compare_removals) != NULL;
}

static bool plan_adds(const struct plan *plan, struct table_meta *meta)
{
	struct edit_table wanted = {.meta = meta};

	return bsearch(&wanted, plan->by_id, plan->added_count, sizeof(wanted),
	               compare_added_ids) != NULL;
}

static void level_append(struct level *level, struct table_meta *meta)
{
	table_meta_ref(meta);
	level->tables[level->count++] = meta;
	level->bytes += meta->info.file_bytes;
	level->ranged += meta->info.ranges > 0;
}

/*
 * Fill `level`, number `index`, with what stays of `before` and what `added`
 * adds to this level, both in order. *kept_out counts what stays.
 */
static enum lsm_err build_level(const struct level *before,
                                const struct plan *plan, unsigned index,
                                const struct edit_table *added,
                                size_t added_count, struct level *level,
                                size_t *kept_out)
{
	size_t next = 0;

	*kept_out = 0;
	if (before->count + added_count == 0)
		return LSM_OK;
	level->tables =
	    calloc(before->count + added_count, sizeof(struct table_meta *));
	if (level->tables == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < before->count; i++) {
		struct table_meta *meta = before->tables[i];

		if (plan_removes(plan, index, meta->id))
			continue;
		if (plan_adds(plan, meta))
			return LSM_ERR_CORRUPT;
		while (next < added_count &&
		       compare_places(index, added[next].meta, meta) < 0)
			level_append(level, added[next++].meta);
		level_append(level, meta);
		(*kept_out)++;
	}
	while (next < added_count)
		level_append(level, added[next++].meta);
	/* What stays was sound without it. */
	if (added_count > 0 && !level_is_sound(level, index))
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

static enum lsm_err build_version(const struct version *base,
                                  const struct plan *plan,
                                  struct version *version)
{
	const struct edit_table *added = plan->by_place;
	size_t left = plan->added_count, removed = 0, kept;
	enum lsm_err err;

	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		size_t count = 0;

		while (count < left && added[count].level == i)
			count++;
		err = build_level(&base->levels[i], plan, i, added, count,
		                  &version->levels[i], &kept);
		if (err != LSM_OK)
			return err;
		added += count;
		left -= count;
		removed += base->levels[i].count - kept;
	}
	/* Fewer: something was to be removed that is not there, or twice. */
	return removed == plan->removed_count ? LSM_OK : LSM_ERR_CORRUPT;
}

enum lsm_err edit_apply(const struct version *base, const struct edit *edit,
                        struct version **version_out)
{
	struct plan plan = {0};
	struct version *version = NULL;
	enum lsm_err err;

	*version_out = NULL;
	err = plan_make(&plan, edit);
	if (err != LSM_OK)
		goto out;
	err = version_create(&version);
	if (err != LSM_OK)
		goto out;
	err = build_version(base, &plan, version);
	if (err != LSM_OK)
		goto out;
	*version_out = version;
	version = NULL;
out:
	version_unref(version);
	plan_release(&plan);
	return err;
}
