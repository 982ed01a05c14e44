/* SPDX-License-Identifier: MIT */
#include "tree/manifest_state.h"

#include <assert.h>
#include <stdlib.h>

#include "tree/manifest_base.h"

void manifest_state_init(struct manifest_state *state)
{
	memset(state, 0, sizeof(*state));
}

void manifest_state_release(struct manifest_state *state)
{
	if (state == NULL)
		return;
	version_unref(state->version);
	free(state->logs);
	free(state->list_tables);
	table_diff_release(&state->diff);
	buf_release(&state->base);
	manifest_state_init(state);
}

enum lsm_err manifest_state_copy(const struct manifest_state *from,
                                 struct manifest_state *to_out)
{
	struct log_ref *logs;
	struct edit_removal *list_tables;
	const struct edit nothing = {.added_count = 0};
	struct table_diff diff = {.added_count = 0};
	struct buf base = BUF_INIT;

	manifest_state_init(to_out);
	/* One more than needed: never a request for 0 bytes. */
	logs = calloc(from->log_count + 1, sizeof(*logs));
	list_tables = calloc(from->list_table_count + 1, sizeof(*list_tables));
	if (logs == NULL || list_tables == NULL ||
	    buf_set(&base, buf_slice(&from->base)) != LSM_OK ||
	    table_diff_after(&from->diff, &nothing, &diff) != LSM_OK) {
		free(logs);
		free(list_tables);
		buf_release(&base);
		return LSM_ERR_NOMEM;
	}
	for (size_t i = 0; i < from->log_count; i++)
		logs[i] = from->logs[i];
	for (size_t i = 0; i < from->list_table_count; i++)
		list_tables[i] = from->list_tables[i];
	*to_out = *from;
	to_out->logs = logs;
	to_out->list_tables = list_tables;
	to_out->base = base;
	to_out->diff = diff;
	if (to_out->version != NULL)
		version_ref(to_out->version);
	return LSM_OK;
}

static bool find_log(const struct log_ref *logs, size_t count,
                     struct file_id id, size_t *index_out)
{
	for (size_t i = 0; i < count; i++) {
		if (file_id_equal(logs[i].id, id)) {
			*index_out = i;
			return true;
		}
	}
	return false;
}

/* The logs after the edit: removals first, additions at the end. */
static enum lsm_err apply_to_logs(const struct manifest_state *state,
                                  const struct edit *edit,
                                  struct log_ref **logs_out, size_t *count_out)
{
	size_t count = state->log_count, index;
	struct log_ref *logs;

	logs = calloc(count + edit->logs_added_count + 1, sizeof(*logs));
	if (logs == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < count; i++)
		logs[i] = state->logs[i];
	for (size_t i = 0; i < edit->logs_removed_count; i++) {
		if (!find_log(logs, count, edit->logs_removed[i], &index))
			goto corrupt;
		count--;
		memmove(logs + index, logs + index + 1,
		        (count - index) * sizeof(*logs));
	}
	for (size_t i = 0; i < edit->logs_added_count; i++) {
		if (find_log(logs, count, edit->logs_added[i].id, &index))
			goto corrupt;
		logs[count++] = edit->logs_added[i];
	}
	*logs_out = logs;
	*count_out = count;
	return LSM_OK;
corrupt:
	free(logs);
	return LSM_ERR_CORRUPT;
}

static enum lsm_err apply_to_version(const struct manifest_state *state,
                                     const struct edit *edit,
                                     struct version **version_out)
{
	bool same = edit->added_count + edit->removed_count == 0;
	struct version *empty;
	enum lsm_err err;

	if (state->version != NULL && (same || state->treeless)) {
		*version_out = state->version;
		version_ref(*version_out);
		return LSM_OK;
	}
	if (state->treeless)
		return version_create(version_out);
	if (state->version != NULL)
		return edit_apply(state->version, edit, version_out);
	*version_out = NULL;
	err = version_create(&empty);
	if (err != LSM_OK)
		return err;
	err = edit_apply(empty, edit, version_out);
	version_unref(empty);
	return err;
}

/* A horizon only grows, and what it forgets is in tables. */
static bool horizon_is_possible(const struct manifest_state *state,
                                const struct edit *edit)
{
	uint64_t flushed =
	    edit->has_flushed ? edit->flushed_seq : state->flushed_seq;
	uint64_t horizon = edit->has_horizon ? edit->horizon : state->horizon;

	return state->horizon <= horizon && horizon <= flushed;
}

enum lsm_err manifest_state_apply(struct manifest_state *state,
                                  const struct edit *edit)
{
	struct version *version;
	struct log_ref *logs = NULL;
	struct table_diff diff = {.added_count = 0};
	struct buf base = BUF_INIT;
	size_t log_count;
	enum lsm_err err;

	if (!horizon_is_possible(state, edit))
		return LSM_ERR_CORRUPT;
	err = apply_to_version(state, edit, &version);
	if (err != LSM_OK)
		return err;
	err = apply_to_logs(state, edit, &logs, &log_count);
	if (err == LSM_OK && state->base.len > 0)
		err = manifest_base_after(buf_slice(&state->base), edit, &base);
	if (err == LSM_OK)
		err = table_diff_after(&state->diff, edit, &diff);
	if (err != LSM_OK) {
		version_unref(version);
		free(logs);
		buf_release(&base);
		return err;
	}
	/* Nothing fails from here on. */
	version_unref(state->version);
	state->version = version;
	free(state->logs);
	state->logs = logs;
	state->log_count = log_count;
	table_diff_release(&state->diff);
	state->diff = diff;
	buf_swap(&state->base, &base);
	buf_release(&base);
	if (edit->has_next_number)
		state->next_number = edit->next_number;
	if (edit->has_flushed) {
		state->flushed_seq = edit->flushed_seq;
		memcpy(state->counters, edit->counters,
		       sizeof(state->counters));
	}
	if (edit->has_horizon)
		state->horizon = edit->horizon;
	return LSM_OK;
}

static int compare_list_tables(const void *left, const void *right)
{
	const struct edit_removal *a = left, *b = right;

	return file_id_compare(a->id, b->id);
}

static size_t count_tables(const struct version *version)
{
	size_t count = 0;

	for (unsigned i = 0; version != NULL && i < LSM_LEVELS; i++)
		count += version->levels[i].count;
	return count;
}

enum lsm_err manifest_state_set_list(struct manifest_state *state,
                                     struct file_id id)
{
	size_t count = count_tables(state->version), next = 0;
	struct edit_removal *tables;

	assert(id.number > 0);
	tables = calloc(count + 1, sizeof(*tables));
	if (tables == NULL)
		return LSM_ERR_NOMEM;
	for (unsigned i = 0; count > 0 && i < LSM_LEVELS; i++) {
		const struct level *level = &state->version->levels[i];

		for (size_t j = 0; j < level->count; j++) {
			tables[next].level = (uint8_t)i;
			tables[next].id = level->tables[j]->id;
			next++;
		}
	}
	qsort(tables, count, sizeof(*tables), compare_list_tables);
	free(state->list_tables);
	table_diff_release(&state->diff);
	state->list_tables = tables;
	state->list_table_count = count;
	state->list = id;
	return LSM_OK;
}

struct file_id *manifest_state_listed(const struct manifest_state *state)
{
	struct file_id *ids = calloc(state->list_table_count + 1, sizeof(*ids));

	for (size_t i = 0; ids != NULL && i < state->list_table_count; i++)
		ids[i] = state->list_tables[i].id;
	return ids;
}

enum lsm_err manifest_state_add_tables(const struct manifest_state *state,
                                       struct edit *edit)
{
	enum lsm_err err = LSM_OK;

	for (unsigned i = 0; state->version != NULL && i < LSM_LEVELS; i++) {
		const struct level *level = &state->version->levels[i];

		for (size_t j = 0; err == LSM_OK && j < level->count; j++)
			err = edit_add_table(edit, i, level->tables[j]);
	}
	return err;
}

enum lsm_err manifest_state_diff(const struct manifest_state *state,
                                 struct edit *edit)
{
	enum lsm_err err;

	edit_init(edit);
	err = table_diff_tell(&state->diff, edit);
	for (size_t i = 0; err == LSM_OK && i < state->log_count; i++)
		err = edit_add_log(edit, state->logs[i]);
	if (err != LSM_OK) {
		edit_release(edit);
		return err;
	}
	edit->has_next_number = true;
	edit->next_number = state->next_number;
	edit->has_flushed = true;
	edit->flushed_seq = state->flushed_seq;
	memcpy(edit->counters, state->counters, sizeof(edit->counters));
	edit->has_horizon = state->horizon != 0;
	edit->horizon = state->horizon;
	return LSM_OK;
}
