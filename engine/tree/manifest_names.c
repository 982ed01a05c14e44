/* SPDX-License-Identifier: MIT */
#include "tree/manifest_names.h"

#include <assert.h>
#include <stdlib.h>

#include "tree/manifest_base.h"

void manifest_files_init(struct manifest_files *files)
{
	memset(files, 0, sizeof(*files));
}

void manifest_files_release(struct manifest_files *files)
{
	free(files->changes);
	free(files->logs);
	manifest_files_init(files);
}

/* ---- edits ----------------------------------------------------------------- */

static void note_change(struct manifest_files *files, struct file_id id,
                        bool added)
{
	struct table_change *change = &files->changes[files->change_count];

	assert(files->change_count < files->change_cap);
	change->id = id;
	change->order = (uint32_t)files->change_count++;
	change->added = added;
}

/* Room for so many more changes and logs. */
static enum lsm_err reserve(struct manifest_files *files, size_t changes,
                            size_t logs)
{
	size_t change_cap = files->change_count + changes;
	size_t log_cap = files->log_count + logs;
	void *grown;

	if (change_cap > files->change_cap) {
		change_cap += change_cap / 2;
		if (change_cap > UINT32_MAX)
			return LSM_ERR_TOO_BIG;
		grown = realloc(files->changes,
		                change_cap * sizeof(*files->changes));
		if (grown == NULL)
			return LSM_ERR_NOMEM;
		files->changes = grown;
		files->change_cap = change_cap;
	}
	if (log_cap > files->log_cap) {
		log_cap += log_cap / 2;
		grown = realloc(files->logs, log_cap * sizeof(*files->logs));
		if (grown == NULL)
			return LSM_ERR_NOMEM;
		files->logs = grown;
		files->log_cap = log_cap;
	}
	return LSM_OK;
}

static size_t find_log(const struct manifest_files *files, struct file_id id)
{
	size_t i = 0;

	while (i < files->log_count && !file_id_equal(files->logs[i], id))
		i++;
	return i;
}

enum lsm_err manifest_files_apply(struct manifest_files *files,
                                  const struct edit *edit)
{
	enum lsm_err err =
	    reserve(files, edit->added_count + edit->removed_count,
	            edit->logs_added_count);

	if (err != LSM_OK)
		return err;
	for (size_t i = 0; i < edit->removed_count; i++)
		note_change(files, edit->removed[i].id, false);
	for (size_t i = 0; i < edit->added_count; i++)
		note_change(files, edit->added[i].meta->id, true);
	for (size_t i = 0; i < edit->logs_removed_count; i++) {
		size_t at = find_log(files, edit->logs_removed[i]);

		if (at == files->log_count)
			return LSM_ERR_CORRUPT;
		files->log_count--;
		memmove(files->logs + at, files->logs + at + 1,
		        (files->log_count - at) * sizeof(*files->logs));
	}
	for (size_t i = 0; i < edit->logs_added_count; i++) {
		struct file_id id = edit->logs_added[i].id;

		if (find_log(files, id) < files->log_count)
			return LSM_ERR_CORRUPT;
		files->logs[files->log_count++] = id;
	}
	return LSM_OK;
}

enum lsm_err manifest_files_of_base(struct slice base,
                                    struct manifest_files *files)
{
	static const struct table_owner nobody = {.dropped = NULL};
	struct edit diff;
	enum lsm_err err;

	manifest_files_init(files);
	err = manifest_base_decode(base, nobody, NULL, &files->list, &diff);
	if (err == LSM_OK)
		err = manifest_files_apply(files, &diff);
	edit_release(&diff);
	if (err != LSM_OK)
		manifest_files_release(files);
	return err;
}

enum lsm_err manifest_files_of_state(const struct manifest_state *state,
                                     struct manifest_files *now_out,
                                     struct manifest_files *base_out)
{
	struct edit diff;
	enum lsm_err err;

	manifest_files_init(now_out);
	manifest_files_init(base_out);
	err = manifest_state_diff(state, &diff);
	if (err != LSM_OK)
		return err;
	now_out->list = state->list;
	err = manifest_files_apply(now_out, &diff);
	edit_release(&diff);
	if (err == LSM_OK && state->base.len > 0)
		err = manifest_files_of_base(buf_slice(&state->base), base_out);
	if (err != LSM_OK) {
		manifest_files_release(now_out);
		manifest_files_release(base_out);
	}
	return err;
}

/* ---- what they come to ------------------------------------------------------- */

static int compare_changes(const void *left, const void *right)
{
	const struct table_change *a = left, *b = right;
	int order = file_id_compare(a->id, b->id);

	return order != 0 ? order
	                  : (a->order > b->order) - (a->order < b->order);
}

static int compare_ids(const void *left, const void *right)
{
	const struct file_id *a = left, *b = right;

	return file_id_compare(*a, *b);
}

void manifest_files_resolve(struct manifest_files *files,
                            const struct file_id *listed, size_t listed_count,
                            size_t *added_out, uint32_t *removed,
                            size_t *removed_out)
{
	struct table_change *changes = files->changes;
	size_t added = 0;

	*added_out = 0;
	*removed_out = 0;
	if (files->change_count == 0)
		return;
	qsort(changes, files->change_count, sizeof(*changes), compare_changes);
	for (size_t i = 0; i < files->change_count; i++) {
		const struct file_id *found = NULL;

		/* The last change of a table counts. */
		if (i + 1 < files->change_count &&
		    file_id_equal(changes[i].id, changes[i + 1].id))
			continue;
		if (listed_count > 0)
			found = bsearch(&changes[i].id, listed, listed_count,
			                sizeof(*listed), compare_ids);
		if (changes[i].added && found == NULL)
			changes[added++] = changes[i];
		else if (!changes[i].added && found != NULL)
			removed[(*removed_out)++] = (uint32_t)(found - listed);
	}
	*added_out = added;
}
