/* SPDX-License-Identifier: MIT */
/*
 * job.c: one output is open at a time. An output belongs to the job from
 * new_file() on; once it is a table_meta, the meta holds the owner's reference.
 * Until then the job itself gives it back when it fails.
 */
#include "compact/job.h"

#include <assert.h>
#include <stdlib.h>

#include "base/sync.h"
#include "compact/cut.h"
#include "compact/ranges.h"
#include "compact/values.h"
#include "io/env.h"
#include "tree/merge.h"

enum { JOB_STEP_BYTES = 64 << 10 }; /* of a table, between two steps */

/* The table being written, none when builder is NULL. */
struct output {
	const struct job_context *context;
	unsigned level;
	struct cut cut;
	struct edit *edit;

	bool known; /* to the owner, which has a reference of ours */
	struct file_id id;
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;
	struct table_builder *builder;
	struct buf last_user; /* the last user key added to it */
	uint64_t stepped;     /* of its bytes, counted in untold */
	uint64_t untold;      /* written, not yet told to control.step */

	/* The plan that may end early, or NULL: and how many of its tables of
	   the output level lie behind us. */
	const struct compact_plan *plan;
	const struct compact_ranges *ranges;
	size_t passed;
	bool ended_early;
	struct buf rest; /* ended_early: the user key that was not reached */
	struct values values;
};

/* A table that leads to more segments than this is cut: what the manifest has
   to say of one table stays short. */
enum { TABLE_SEGMENTS_MAX = 4096 };

static void output_init(struct output *output,
                        const struct job_context *context, unsigned level,
                        struct edit *edit)
{
	*output = (struct output){
	    .context = context,
	    .level = level,
	    .edit = edit,
	};
	buf_init(&output->last_user);
	buf_init(&output->rest);
	values_init(&output->values, context);
}

/* More than one table may be made. `version` NULL: nothing lies below. */
static void cut_init(struct output *output, const struct version *version)
{
	const struct job_context *context = output->context;

	output->cut.table_bytes = context->table_bytes;
	output->cut.prefix_bytes = context->range_prefix_bytes;
	if (version != NULL && output->level + 1 < LSM_LEVELS)
		output->cut.below = &version->levels[output->level + 1];
}

/* What stays after a failure is named by nothing, and swept at the next open;
   env has logged it. */
static void delete_table(const struct job_context *context, const char *name)
{
	enum lsm_err err = env_unlink(context->source->pool, name);

	(void)err;
}

/* Also deletes the table that was not finished. */
static void output_release(struct output *output)
{
	const struct job_context *context = output->context;

	table_builder_destroy(output->builder);
	if (output->file != NULL) {
		(void)env_close(output->file);
		delete_table(context, output->name);
	}
	if (output->known)
		context->owner.dropped(context->owner.ctx, output->id);
	buf_release(&output->last_user);
	buf_release(&output->rest);
	values_release(&output->values);
}

static enum lsm_err output_open(struct output *output)
{
	const struct job_context *context = output->context;
	enum lsm_err err;

	assert(output->builder == NULL);
	err = context->new_file(context->new_file_ctx, &output->id);
	if (err != LSM_OK)
		return err;
	output->known = true;
	output->stepped = 0;
	cut_begin(&output->cut);
	file_name_format(FILE_KIND_TABLE, output->id, output->name);
	err = env_open(context->source->pool, output->name, ENV_CREATE,
	               &output->file);
	if (err != LSM_OK)
		return err;
	return table_builder_create(output->file, output->id,
	                            &context->source->family,
	                            context->block_bytes, &output->builder);
}

/* Make the file what it stays: whole, durable, read-only. */
static enum lsm_err output_seal(struct output *output, struct table_info *info)
{
	const struct job_control *control = &output->context->control;
	struct env_file *file = output->file;
	uint64_t began_ns;
	enum lsm_err err;

	err = table_builder_finish(output->builder, info);
	if (err != LSM_OK)
		return err;
	began_ns = sync_now_ns();
	err = env_sync(file);
	if (err != LSM_OK)
		return err;
	if (control->synced != NULL)
		control->synced(control->ctx, info->file_bytes,
		                sync_now_ns() - began_ns);
	return env_seal(file);
}

/* The table is written: add it to the edit, so that output holds none. */
static enum lsm_err output_finish(struct output *output)
{
	const struct job_context *context = output->context;
	struct table_meta *meta = NULL;
	struct table_info info;
	enum lsm_err err;

	table_info_init(&info);
	err = output_seal(output, &info);
	if (err == LSM_OK)
		err = values_finish(&output->values, &info.segments);
	if (err != LSM_OK)
		goto out;
	err = table_meta_create(output->id, &info, context->owner, &meta);
	if (err != LSM_OK)
		goto out;
	output->known = false; /* the meta gives the reference back */
	table_meta_tell(meta);
	values_let_go(&output->values);
	err = edit_add_table(output->edit, output->level, meta);
	if (err != LSM_OK)
		goto out;

	table_builder_destroy(output->builder);
	output->builder = NULL;
	err = env_close(output->file);
	output->file = NULL;
out:
	table_meta_unref(meta);
	table_info_release(&info);
	return err;
}

/* Whether a table ends before `user`. Versions of one key stay together. */
static bool must_cut(struct output *output, struct slice user)
{
	struct slice last = buf_slice(&output->last_user);

	if (output->builder == NULL)
		return false;
	return cut_before(&output->cut, last, user,
	                  table_builder_bytes(output->builder)) ||
	       (table_builder_segments(output->builder) >= TABLE_SEGMENTS_MAX &&
	        !slice_equal(last, user));
}

/* Tell how much was written since the last time, if that is worth it. */
static enum lsm_err take_step(struct output *output)
{
	const struct job_control *control = &output->context->control;
	uint64_t bytes = table_builder_bytes(output->builder);
	uint64_t untold = output->untold + values_take_written(&output->values);

	/* It shrinks where a block is compressed. */
	if (bytes > output->stepped) {
		untold += bytes - output->stepped;
		output->stepped = bytes;
	}
	output->untold = untold < JOB_STEP_BYTES ? untold : 0;
	if (control->step == NULL || untold < JOB_STEP_BYTES)
		return LSM_OK;
	return control->step(control->ctx, untold);
}

/* Add the entry at which `stream` stands. What was a block before, and is most of
   one, is not packed again. */
static enum lsm_err output_add(struct output *output, const struct iter *stream)
{
	struct slice ikey = iter_key(stream), value = iter_value(stream);
	struct slice user = key_user(ikey);
	struct codec_packed packed;
	enum lsm_err err = LSM_OK;
	bool keeps;

	if (must_cut(output, user))
		err = output_finish(output);
	if (err == LSM_OK && output->builder == NULL)
		err = output_open(output);
	if (err == LSM_OK)
		err = buf_set(&output->last_user, user);
	if (err == LSM_OK)
		err = values_place(&output->values, &ikey, &value);
	if (err != LSM_OK)
		return err;
	keeps = value.len > output->context->block_bytes / 2 &&
	        value.data == iter_value(stream).data &&
	        iter_packed(stream, &packed);
	err = table_builder_add_packed(output->builder, ikey, value,
	                               keeps ? &packed : NULL);
	return err == LSM_OK ? take_step(output) : err;
}

static struct slice smallest_user(const struct table_meta *meta)
{
	return key_user(buf_slice(&meta->info.smallest));
}

static struct slice largest_user(const struct table_meta *meta)
{
	return key_user(buf_slice(&meta->info.largest));
}

/*
 * Whether the job ends before `user`, the next key that is left. What was
 * reduced to nothing before it counts as passed, so the place must lie between
 * two tables of the output level by that key and not by those written.
 */
static bool ends_before(struct output *output, struct slice user)
{
	const struct job_control *control = &output->context->control;
	const struct compact_plan *plan = output->plan;
	size_t before = output->passed;

	if (plan == NULL)
		return false;
	while (output->passed < plan->input_count[1] &&
	       slice_compare(largest_user(plan->inputs[1][output->passed]),
	                     user) < 0)
		output->passed++;
	/* Something of the upper level must be done with, or a job that is
	   always interrupted would never end. */
	return output->passed > before &&
	       slice_compare(user, buf_slice(&output->ranges->reach)) >= 0 &&
	       slice_compare(smallest_user(plan->inputs[0][0]), user) < 0 &&
	       output->passed < plan->input_count[1] &&
	       slice_compare(
		   user, smallest_user(plan->inputs[1][output->passed])) <= 0 &&
	       control->yield(control->ctx);
}

/* All of the stream, or (not empty) what lies from the internal key `from` on. */
static enum lsm_err write_all(struct output *output, struct iter *stream,
                              struct slice from)
{
	enum lsm_err err;

	if (from.len > 0)
		iter_seek(stream, from);
	else
		iter_seek_first(stream);
	for (; iter_valid(stream); iter_next(stream)) {
		if (atomic_load_explicit(output->context->stop,
		                         memory_order_relaxed))
			return LSM_ERR_CLOSED;
		if (ends_before(output, key_user(iter_key(stream)))) {
			output->ended_early = true;
			err =
			    buf_set(&output->rest, key_user(iter_key(stream)));
			if (err != LSM_OK)
				return err;
			break;
		}
		err = output_add(output, stream);
		if (err != LSM_OK)
			return err;
	}
	err = iter_status(stream);
	if (err != LSM_OK || output->builder == NULL)
		return err;
	return output_finish(output);
}

/* Delete the tables that *edit got past the first `keep`, and take them out. */
static void discard_outputs(const struct job_context *context,
                            struct edit *edit, size_t keep)
{
	char name[FILE_NAME_MAX_BYTES];

	while (edit->added_count > keep) {
		struct table_meta *meta = edit->added[--edit->added_count].meta;

		file_name_format(FILE_KIND_TABLE, meta->id, name);
		delete_table(context, name);
		table_meta_unref(meta);
	}
}

enum lsm_err job_write_tables(const struct job_context *context,
                              struct iter *stream, unsigned level, bool split,
                              struct edit *edit)
{
	size_t added_before = edit->added_count;
	struct output output;
	enum lsm_err err;

	assert(level < LSM_LEVELS);
	output_init(&output, context, level, edit);
	if (split)
		cut_init(&output, NULL);
	err = write_all(&output, stream, slice_make(NULL, 0));
	output_release(&output);
	if (err != LSM_OK)
		discard_outputs(context, edit, added_before);
	iter_destroy(stream);
	return err;
}

/* ---- compaction ------------------------------------------------------ */

/* What tells what lies outside the job. */
struct outside {
	struct compact_ranges ranges;
	unsigned level; /* of the outputs */
};

static bool nothing_below(void *ctx, struct slice user)
{
	const struct outside *outside = ctx;
	const struct version *version = outside->ranges.version;

	if (outside->level == 0)
		return false; /* other tables of L0 may be older */
	for (unsigned level = outside->level + 1; level < LSM_LEVELS; level++) {
		if (version_overlaps(version, level, user, user))
			return false;
	}
	return true;
}

static enum lsm_err range_is_over(void *ctx, struct slice prefix,
                                  struct range range, uint64_t seq,
                                  bool *over_out)
{
	struct outside *outside = ctx;

	return compact_ranges_over(&outside->ranges, prefix, range, seq,
	                           over_out);
}

/* Append an iterator over `count` tables that do not overlap to *list. What no
   reader sees is not read. */
static enum lsm_err push_tables(const struct job_context *context,
                                struct outside *outside,
                                struct table_meta *const *tables, size_t count,
                                struct iter_list *list)
{
	struct table_meta **kept = calloc(count + 1, sizeof(*tables));
	size_t kept_count = 0;
	struct iter *it;
	enum lsm_err err = kept == NULL ? LSM_ERR_NOMEM : LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < count; i++) {
		bool covered;

		err =
		    compact_ranges_cover(&outside->ranges, tables[i], &covered);
		if (!covered)
			kept[kept_count++] = tables[i];
	}
	if (err == LSM_OK && kept_count > 0) {
		err = level_iter_create(kept, kept_count, context->source,
		                        false, &it);
		if (err == LSM_OK)
			err = iter_list_push(list, it);
	}
	free(kept);
	return err;
}

/* Tables of L0 may overlap: each is a source of its own. */
static enum lsm_err push_inputs(const struct job_context *context,
                                struct outside *outside,
                                const struct compact_plan *plan,
                                struct iter_list *list)
{
	size_t step = plan->level == 0 ? 1 : plan->input_count[0];
	enum lsm_err err;

	for (size_t i = 0; i < plan->input_count[0]; i += step) {
		err = push_tables(context, outside, plan->inputs[0] + i, step,
		                  list);
		if (err != LSM_OK)
			return err;
	}
	return push_tables(context, outside, plan->inputs[1],
	                   plan->input_count[1], list);
}

/* The merged and reduced stream of all inputs. `outside` outlives it. */
static enum lsm_err open_stream(const struct job_context *context,
                                const struct compact_plan *plan,
                                struct outside *outside,
                                struct iter **stream_out)
{
	struct reduce_options options = {
	    .fold = context->fold,
	    .snapshots = context->snapshots,
	    .snapshot_count = context->snapshot_count,
	    .bottom = nothing_below,
	    .range_over = range_is_over,
	    .ctx = outside,
	    .ranges = compact_ranges_source(&outside->ranges),
	};
	struct iter_list list;
	struct iter *merged;
	enum lsm_err err;

	*stream_out = NULL;
	iter_list_init(&list);
	err = push_inputs(context, outside, plan, &list);
	if (err != LSM_OK)
		goto out;
	err = merge_iter_create(&list, &merged);
	if (err != LSM_OK)
		goto out;
	err = reduce_iter_create(merged, &options, stream_out);
out:
	iter_list_release(&list);
	return err;
}

/* Of a table that straddles the place where the job ended, make what lies from
   there on a table of its own level, entry by entry. */
static enum lsm_err keep_rest(const struct job_context *context,
                              struct table_meta *meta, unsigned level,
                              struct slice rest, struct edit *edit)
{
	struct buf from = BUF_INIT;
	struct iter *it = NULL;
	struct output output;
	enum lsm_err err;

	output_init(&output, context, level, edit);
	err = level_iter_create(&meta, 1, context->source, false, &it);
	if (err == LSM_OK)
		err = key_make(&from, rest, KEY_SEQ_MAX, KEY_SEEK);
	if (err == LSM_OK)
		err = write_all(&output, it, buf_slice(&from));
	iter_destroy(it);
	output_release(&output);
	buf_release(&from);
	return err;
}

/* The job ended early: remove what lies before that place. */
static enum lsm_err remove_passed(const struct output *output,
                                  struct edit *edit)
{
	const struct compact_plan *plan = output->plan;
	struct slice rest = buf_slice(&output->rest);
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; err == LSM_OK && i < output->passed; i++)
		err = edit_remove_table(edit, plan->output_level,
		                        plan->inputs[1][i]->id);
	for (size_t i = 0; err == LSM_OK && i < plan->input_count[0]; i++) {
		struct table_meta *meta = plan->inputs[0][i];

		if (slice_compare(smallest_user(meta), rest) >= 0)
			break;
		err = edit_remove_table(edit, plan->level, meta->id);
		if (err == LSM_OK &&
		    slice_compare(largest_user(meta), rest) >= 0)
			err = keep_rest(output->context, meta, plan->level,
			                rest, edit);
	}
	return err;
}

static enum lsm_err remove_inputs(const struct compact_plan *plan,
                                  struct edit *edit)
{
	unsigned levels[2] = {plan->level, plan->output_level};
	enum lsm_err err;

	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < plan->input_count[side]; i++) {
			err = edit_remove_table(edit, levels[side],
			                        plan->inputs[side][i]->id);
			if (err != LSM_OK)
				return err;
		}
	}
	return LSM_OK;
}

static enum lsm_err rewrite(const struct job_context *context,
                            struct version *version,
                            const struct compact_plan *plan, struct edit *edit)
{
	struct outside outside = {
	    .ranges =
		{
		    .version = version,
		    .tables = context->source,
		    .plan = plan,
		    .snapshots = context->snapshots,
		    .snapshot_count = context->snapshot_count,
		    .prefix_bytes = context->range_prefix_bytes,
		},
	    .level = plan->output_level,
	};
	size_t added_before = edit->added_count;
	struct output output;
	struct iter *stream;
	enum lsm_err err;

	err = open_stream(context, plan, &outside, &stream);
	if (err != LSM_OK)
		goto out;
	output_init(&output, context, plan->output_level, edit);
	if (plan->output_level > 0)
		cut_init(&output, version);
	if (plan->level > 0 && context->control.yield != NULL)
		output.plan = plan;
	output.ranges = &outside.ranges;
	err = write_all(&output, stream, slice_make(NULL, 0));
	iter_destroy(stream);
	if (err == LSM_OK && output.ended_early)
		err = remove_passed(&output, edit);
	else if (err == LSM_OK)
		err = remove_inputs(plan, edit);
	output_release(&output);
	if (err != LSM_OK)
		discard_outputs(context, edit, added_before);
out:
	compact_ranges_release(&outside.ranges);
	return err;
}

static enum lsm_err move(const struct compact_plan *plan, struct edit *edit)
{
	enum lsm_err err = remove_inputs(plan, edit);

	for (size_t i = 0; i < plan->input_count[0] && err == LSM_OK; i++)
		err = edit_add_table(edit, plan->output_level,
		                     plan->inputs[0][i]);
	return err;
}

enum lsm_err job_compact(const struct job_context *context,
                         struct version *version,
                         const struct compact_plan *plan, struct edit *edit)
{
	size_t added_before = edit->added_count;
	size_t removed_before = edit->removed_count;
	enum lsm_err err;

	assert(plan->input_count[0] > 0);
	assert(!plan->trivial || plan->input_count[1] == 0);
	if (plan->trivial)
		err = move(plan, edit);
	else
		err = rewrite(context, version, plan, edit);
	if (err != LSM_OK) {
		while (edit->added_count > added_before)
			table_meta_unref(edit->added[--edit->added_count].meta);
		edit->removed_count = removed_before;
	}
	return err;
}
