/* SPDX-License-Identifier: MIT */
#include "tree/table_diff.h"

#include <stdlib.h>

void table_diff_release(struct table_diff *diff)
{
	for (size_t i = 0; i < diff->added_count; i++)
		table_meta_unref(diff->added[i].meta);
	free(diff->added);
	free(diff->removed);
	memset(diff, 0, sizeof(*diff));
}

/* Where an id stands, or belongs; true when it is there. */
static bool find_added(const struct table_diff *diff, struct file_id id,
                       size_t *at_out)
{
	size_t low = 0, high = diff->added_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (file_id_compare(diff->added[middle].meta->id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*at_out = low;
	return low < diff->added_count &&
	       file_id_equal(diff->added[low].meta->id, id);
}

static bool find_removed(const struct table_diff *diff, struct file_id id,
                         size_t *at_out)
{
	size_t low = 0, high = diff->removed_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (file_id_compare(diff->removed[middle].id, id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*at_out = low;
	return low < diff->removed_count &&
	       file_id_equal(diff->removed[low].id, id);
}

/* What was added since goes without a trace; what the list has is noted. */
static void remove_table(struct table_diff *diff, struct edit_removal removal)
{
	size_t at;

	if (find_added(diff, removal.id, &at)) {
		table_meta_unref(diff->added[at].meta);
		diff->added_count--;
		memmove(diff->added + at, diff->added + at + 1,
		        (diff->added_count - at) * sizeof(*diff->added));
		return;
	}
	(void)find_removed(diff, removal.id, &at);
	memmove(diff->removed + at + 1, diff->removed + at,
	        (diff->removed_count - at) * sizeof(*diff->removed));
	diff->removed[at] = removal;
	diff->removed_count++;
}

/* What comes back to where the list has it was never gone. */
static void add_table(struct table_diff *diff, struct edit_table table)
{
	size_t at;

	if (find_removed(diff, table.meta->id, &at) &&
	    diff->removed[at].level == table.level) {
		diff->removed_count--;
		memmove(diff->removed + at, diff->removed + at + 1,
		        (diff->removed_count - at) * sizeof(*diff->removed));
		return;
	}
	(void)find_added(diff, table.meta->id, &at);
	memmove(diff->added + at + 1, diff->added + at,
	        (diff->added_count - at) * sizeof(*diff->added));
	diff->added[at] = table;
	diff->added_count++;
	table_meta_ref(table.meta);
}

static enum lsm_err copy_with_room(const struct table_diff *from,
                                   const struct edit *edit,
                                   struct table_diff *to)
{
	size_t added = from->added_count + edit->added_count;
	size_t removed = from->removed_count + edit->removed_count;

	to->added = calloc(added + 1, sizeof(*to->added));
	to->removed = calloc(removed + 1, sizeof(*to->removed));
	if (to->added == NULL || to->removed == NULL) {
		table_diff_release(to);
		return LSM_ERR_NOMEM;
	}
	for (size_t i = 0; i < from->added_count; i++) {
		to->added[i] = from->added[i];
		table_meta_ref(to->added[i].meta);
	}
	to->added_count = from->added_count;
	for (size_t i = 0; i < from->removed_count; i++)
		to->removed[i] = from->removed[i];
	to->removed_count = from->removed_count;
	return LSM_OK;
}

static int compare_tables(const void *left, const void *right)
{
	const struct edit_table *a = left, *b = right;

	return file_id_compare(a->meta->id, b->meta->id);
}

/* The first tables, which may be many: a base list that is read. */
static void add_all(struct table_diff *diff, const struct edit *edit)
{
	for (size_t i = 0; i < edit->added_count; i++) {
		diff->added[i] = edit->added[i];
		table_meta_ref(edit->added[i].meta);
	}
	diff->added_count = edit->added_count;
	if (diff->added_count > 0)
		qsort(diff->added, diff->added_count, sizeof(*diff->added),
		      compare_tables);
}

enum lsm_err table_diff_after(const struct table_diff *from,
                              const struct edit *edit, struct table_diff *to)
{
	enum lsm_err err = copy_with_room(from, edit, to);

	if (err != LSM_OK)
		return err;
	if (to->added_count + to->removed_count + edit->removed_count == 0) {
		add_all(to, edit);
		return LSM_OK;
	}
	/* As edit_apply() does it: removals come first. */
	for (size_t i = 0; i < edit->removed_count; i++)
		remove_table(to, edit->removed[i]);
	for (size_t i = 0; i < edit->added_count; i++)
		add_table(to, edit->added[i]);
	return LSM_OK;
}

enum lsm_err table_diff_tell(const struct table_diff *diff, struct edit *edit)
{
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < diff->added_count; i++)
		err = edit_add_table(edit, diff->added[i].level,
		                     diff->added[i].meta);
	for (size_t i = 0; err == LSM_OK && i < diff->removed_count; i++)
		err = edit_remove_table(edit, diff->removed[i].level,
		                        diff->removed[i].id);
	return err;
}
