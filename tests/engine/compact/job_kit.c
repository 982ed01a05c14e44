/* SPDX-License-Identifier: MIT */
#include "tests/engine/compact/job_kit.h"

#include <check.h>
#include <stdlib.h>

#include "tests/support/append.h"
#include "tests/support/env_fault.h"

enum { CACHE_BYTES = 1 << 20 };

/* ---- the owner ------------------------------------------------------- */

static enum lsm_err new_file(void *ctx, struct file_id *id_out)
{
	struct kit *kit = ctx;

	if (kit->new_file_err != LSM_OK)
		return kit->new_file_err;
	if (kit->last_number + 1 >= KIT_FILES_MAX)
		return LSM_ERR_TOO_BIG;
	id_out->creator = 1;
	id_out->number = ++kit->last_number;
	kit->refs[id_out->number] = 1;
	return LSM_OK;
}

static void dropped(void *ctx, struct file_id id)
{
	struct kit *kit = ctx;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	if (kit->refs[id.number] != 1)
		kit->misuses++;
	kit->refs[id.number] = 0;
	table_cache_forget(&kit->source, id);
	file_name_format(FILE_KIND_TABLE, id, name);
	err = env_unlink(kit->pool, name);
	if (err != LSM_OK && err != LSM_ERR_NOT_FOUND)
		kit->misuses++;
}

size_t kit_known(const struct kit *kit)
{
	size_t count = 0;

	for (size_t i = 0; i < KIT_FILES_MAX; i++)
		count += kit->refs[i];
	return count;
}

static enum lsm_err count_name(void *ctx, const char *name)
{
	(void)name;
	++*(size_t *)ctx;
	return LSM_OK;
}

size_t kit_in_folder(const struct kit *kit)
{
	size_t count = 0;

	ck_assert_int_eq(env_dir_list(kit->pool, count_name, &count), LSM_OK);
	return count;
}

/* ---- the kit --------------------------------------------------------- */

void kit_open(struct kit *kit)
{
	struct env_dir *root;

	memset(kit, 0, sizeof(*kit));
	ck_assert_int_eq(env_mem_create(&kit->memory), LSM_OK);
	ck_assert_int_eq(env_fault_create(kit->memory, &kit->env), LSM_OK);
	ck_assert_int_eq(env_dir_open(kit->env, "/", &root), LSM_OK);
	ck_assert_int_eq(env_dir_make(root, "pool"), LSM_OK);
	ck_assert_int_eq(env_dir_sync(root), LSM_OK);
	ck_assert_int_eq(env_dir_open_at(root, "pool", &kit->pool), LSM_OK);
	env_dir_close(root);
	ck_assert_int_eq(cache_create(CACHE_BYTES, 1, &kit->files), LSM_OK);
	ck_assert_int_eq(cache_create(CACHE_BYTES, 1, &kit->blocks), LSM_OK);
	kit->source.pool = kit->pool;
	kit->source.files = kit->files;
	kit->source.blocks = kit->blocks;
	atomic_init(&kit->stop, false);
	kit->context = (struct job_context){
	    .source = &kit->source,
	    .owner = {dropped, kit},
	    .new_file = new_file,
	    .new_file_ctx = kit,
	    .fold = {append_fold, NULL},
	    .block_bytes = 256,
	    .stop = &kit->stop,
	};
}

void kit_close(struct kit *kit)
{
	ck_assert_uint_eq(kit->misuses, 0);
	ck_assert_uint_eq(kit_known(kit), 0);
	ck_assert_uint_eq(kit_in_folder(kit), 0);
	cache_destroy(kit->files);
	cache_destroy(kit->blocks);
	env_dir_close(kit->pool);
	env_fault_destroy(kit->env);
	env_mem_destroy(kit->memory);
}

/* ---- streams --------------------------------------------------------- */

struct list_item {
	struct buf ikey, value;
};

struct list_iter {
	struct iter base;
	struct list_item *items;
	size_t count, at;
};

static void place(struct list_iter *list)
{
	bool valid = list->at < list->count;

	iter_place(&list->base, valid,
	           valid ? buf_slice(&list->items[list->at].ikey)
	                 : slice_make(NULL, 0));
}

static void list_seek_first(struct iter *it)
{
	struct list_iter *list = (struct list_iter *)it;

	list->at = 0;
	place(list);
}

static void list_seek(struct iter *it, struct slice target)
{
	struct list_iter *list = (struct list_iter *)it;

	for (list->at = 0; list->at < list->count; list->at++) {
		if (key_compare(buf_slice(&list->items[list->at].ikey),
		                target) >= 0)
			break;
	}
	place(list);
}

static void list_next(struct iter *it)
{
	struct list_iter *list = (struct list_iter *)it;

	list->at++;
	place(list);
}

static struct slice list_value(const struct iter *it)
{
	const struct list_iter *list = (const struct list_iter *)it;

	return buf_slice(&list->items[list->at].value);
}

static enum lsm_err list_status(const struct iter *it)
{
	(void)it;
	return LSM_OK;
}

static void list_destroy(struct iter *it)
{
	struct list_iter *list = (struct list_iter *)it;

	for (size_t i = 0; i < list->count; i++) {
		buf_release(&list->items[i].ikey);
		buf_release(&list->items[i].value);
	}
	free(list->items);
	free(list);
}

static const struct iter_ops list_ops = {
    .seek_first = list_seek_first,
    .seek = list_seek,
    .next = list_next,
    .value = list_value,
    .status = list_status,
    .destroy = list_destroy,
};

static int compare_items(const void *a, const void *b)
{
	return key_compare(buf_slice(&((const struct list_item *)a)->ikey),
	                   buf_slice(&((const struct list_item *)b)->ikey));
}

struct iter *kit_stream(const struct entry *entries, size_t count)
{
	struct list_iter *list = calloc(1, sizeof(*list));

	ck_assert_ptr_nonnull(list);
	iter_init(&list->base, &list_ops);
	list->items = calloc(count + 1, sizeof(*list->items));
	ck_assert_ptr_nonnull(list->items);
	list->count = count;
	list->at = count;
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(key_make(&list->items[i].ikey,
		                          slice_str(entries[i].user),
		                          entries[i].seq, entries[i].kind),
		                 LSM_OK);
		ck_assert_int_eq(
		    buf_set(&list->items[i].value, slice_str(entries[i].value)),
		    LSM_OK);
	}
	qsort(list->items, count, sizeof(*list->items), compare_items);
	return &list->base;
}

/* ---- versions -------------------------------------------------------- */

void kit_apply(struct version **version, struct edit *edit)
{
	struct version *next;

	ck_assert_int_eq(edit_apply(*version, edit, &next), LSM_OK);
	version_check(next);
	version_unref(*version);
	*version = next;
	edit_release(edit);
}

void kit_add_table(struct kit *kit, struct version **version, unsigned level,
                   const struct entry *entries, size_t count)
{
	struct edit edit;

	edit_init(&edit);
	ck_assert_int_eq(job_write_tables(&kit->context,
	                                  kit_stream(entries, count), level,
	                                  false, &edit),
	                 LSM_OK);
	ck_assert_uint_eq(edit.added_count, 1);
	kit_apply(version, &edit);
}

void kit_plan(const struct version *version, unsigned level,
              unsigned output_level, struct compact_plan *plan)
{
	const unsigned levels[2] = {level, output_level};

	compact_plan_init(plan);
	plan->level = level;
	plan->output_level = output_level;
	for (size_t side = 0; side < 2; side++) {
		const struct level *from = &version->levels[levels[side]];

		plan->inputs[side] =
		    calloc(from->count + 1, sizeof(struct table_meta *));
		ck_assert_ptr_nonnull(plan->inputs[side]);
		for (size_t i = 0; i < from->count; i++) {
			plan->inputs[side][i] = from->tables[i];
			table_meta_ref(from->tables[i]);
		}
		plan->input_count[side] = from->count;
	}
}

enum lsm_err kit_compact(struct kit *kit, struct version *version,
                         unsigned level, unsigned output_level,
                         struct edit *edit)
{
	struct compact_plan plan;
	enum lsm_err err;

	kit_plan(version, level, output_level, &plan);
	edit_init(edit);
	err = job_compact(&kit->context, version, &plan, edit);
	compact_plan_release(&plan);
	return err;
}

bool kit_get(struct kit *kit, const struct version *version, const char *user,
             uint64_t seq, struct buf *value)
{
	enum fold_result result;
	struct fold fold;
	bool stopped;

	buf_clear(value);
	fold_init(&fold, kit->context.fold, slice_str(user));
	ck_assert_int_eq(version_get(version, &kit->source, slice_str(user),
	                             seq, fold_visit, &fold, &stopped),
	                 LSM_OK);
	ck_assert_int_eq(fold_finish(&fold, true, value, &result), LSM_OK);
	fold_release(&fold);
	if (result == FOLD_NOTHING)
		return false;
	ck_assert_int_eq(buf_append(value, "", 1), LSM_OK);
	return true;
}
