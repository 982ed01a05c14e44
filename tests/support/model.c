/* SPDX-License-Identifier: MIT */
#include "tests/support/model.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_ENTRIES = 64 };

static void must(enum lsm_err err)
{
	if (err == LSM_OK)
		return;
	fprintf(stderr, "model: %s\n", lsm_strerror(err));
	exit(EXIT_FAILURE);
}

void model_init(struct model *model)
{
	memset(model, 0, sizeof(*model));
}

static void entry_release(struct model_entry *entry)
{
	buf_release(&entry->key);
	buf_release(&entry->value);
}

void model_release(struct model *model)
{
	for (size_t i = 0; i < model->count; i++)
		entry_release(&model->entries[i]);
	free(model->entries);
	model_init(model);
}

void model_copy(struct model *to, const struct model *from)
{
	model_release(to);
	for (size_t i = 0; i < from->count; i++)
		model_put(to, buf_slice(&from->entries[i].key),
		          buf_slice(&from->entries[i].value));
}

size_t model_find(const struct model *model, struct slice key)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(buf_slice(&model->entries[middle].key), key) <
		    0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct model *model, size_t index, struct slice key)
{
	return index < model->count &&
	       slice_equal(buf_slice(&model->entries[index].key), key);
}

static void open_gap(struct model *model, size_t index)
{
	if (model->count == model->cap) {
		model->cap = model->cap == 0 ? FIRST_ENTRIES : model->cap * 2;
		model->entries = realloc(model->entries,
		                         model->cap * sizeof(*model->entries));
		must(model->entries == NULL ? LSM_ERR_NOMEM : LSM_OK);
	}
	memmove(model->entries + index + 1, model->entries + index,
	        (model->count - index) * sizeof(*model->entries));
	memset(&model->entries[index], 0, sizeof(*model->entries));
	model->count++;
}

void model_put(struct model *model, struct slice key, struct slice value)
{
	size_t index = model_find(model, key);

	if (!is_at(model, index, key)) {
		open_gap(model, index);
		must(buf_set(&model->entries[index].key, key));
	}
	must(buf_set(&model->entries[index].value, value));
}

void model_delete(struct model *model, struct slice key)
{
	size_t index = model_find(model, key);

	if (!is_at(model, index, key))
		return;
	entry_release(&model->entries[index]);
	model->count--;
	memmove(model->entries + index, model->entries + index + 1,
	        (model->count - index) * sizeof(*model->entries));
}

void model_delete_range(struct model *model, struct slice prefix,
                        struct slice lower, struct slice upper)
{
	size_t kept = 0;

	for (size_t i = 0; i < model->count; i++) {
		struct model_entry *entry = &model->entries[i];
		struct slice rest = buf_slice(&entry->key);
		bool deleted =
		    rest.len > prefix.len && slice_starts_with(rest, prefix);

		if (deleted) {
			rest.data += prefix.len;
			rest.len -= prefix.len;
			deleted =
			    slice_compare(rest, lower) >= 0 &&
			    (upper.len == 0 || slice_compare(rest, upper) < 0);
		}
		if (deleted)
			entry_release(entry);
		else
			model->entries[kept++] = *entry;
	}
	model->count = kept;
}

enum lsm_err model_merge(struct model *model, lsm_fold_fn fold, void *ctx,
                         struct slice key, struct slice operand)
{
	struct buf value = BUF_INIT;
	struct slice base;
	bool has = model_get(model, key, &base);
	enum lsm_err err =
	    fold(ctx, key, true, has ? &base : NULL, &operand, 1, &value);

	if (err == LSM_OK)
		model_put(model, key, buf_slice(&value));
	buf_release(&value);
	return err;
}

bool model_get(const struct model *model, struct slice key,
               struct slice *value_out)
{
	size_t index = model_find(model, key);

	*value_out = slice_make(NULL, 0);
	if (!is_at(model, index, key))
		return false;
	*value_out = buf_slice(&model->entries[index].value);
	return true;
}
