/* SPDX-License-Identifier: MIT */
/*
 * pick.c: every job moves its tables towards the last level, or (PICK_ALL only)
 * rewrites one of the last level; that is why picking comes to an end.
 *
 * Which level is due is decided in pick_levels.c, what of it goes along here.
 */
#include <assert.h>
#include <stdlib.h>

#include "compact/pick_private.h"

enum {
	/* Tombstones are many from one in so many entries on. */
	DELETES_SHARE = 4,
	/* A table is tiny below this part of table_bytes. Tiny neighbours are
	   taken along while they are less than so many times what moves, so
	   that flushes of disjoint keys do not pile up as tiny tables: the
	   number of files is what a fork costs. */
	TINY_PART = 4,
	TINY_NEIGHBOUR_RATIO = 8,

	/* One tombstone weighs as much as so many entries: what it stands over
	   is reclaimed below. */
	DELETE_WEIGHT = 4,
};

/* ---- plans ----------------------------------------------------------- */

void compact_plan_init(struct compact_plan *plan)
{
	*plan = (struct compact_plan){.level = 0};
}

void compact_plan_release(struct compact_plan *plan)
{
	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < plan->input_count[side]; i++)
			table_meta_unref(plan->inputs[side][i]);
		free(plan->inputs[side]);
	}
	compact_plan_init(plan);
}

/* Append `count` tables to one side of the plan. Errors: NOMEM. */
static enum lsm_err plan_inputs(struct compact_plan *plan, size_t side,
                                struct table_meta *const *tables, size_t count)
{
	assert(plan->inputs[side] == NULL);
	if (count == 0)
		return LSM_OK;
	plan->inputs[side] = calloc(count, sizeof(*tables));
	if (plan->inputs[side] == NULL)
		return LSM_ERR_NOMEM;
	for (size_t i = 0; i < count; i++) {
		plan->inputs[side][i] = tables[i];
		table_meta_ref(tables[i]);
	}
	plan->input_count[side] = count;
	return LSM_OK;
}

/* ---- tables ---------------------------------------------------------- */

static bool many_deletes(const struct table_meta *meta)
{
	return meta->info.ranges > 0 ||
	       (meta->info.deletes > 0 &&
	        meta->info.deletes * DELETES_SHARE >= meta->info.entries);
}

/* Whether reaching the last level by a rewrite frees enough to be worth it. */
static bool worth_rewriting(const struct table_meta *meta, enum pick_why why)
{
	if (why == PICK_ALL)
		return meta->info.deletes > 0 || meta->info.ranges > 0;
	return many_deletes(meta);
}

static bool mutually_disjoint(struct table_meta *const *tables, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = i + 1; j < count; j++) {
			if (slice_compare(pick_smallest(tables[i]),
			                  pick_largest(tables[j])) <= 0 &&
			    slice_compare(pick_smallest(tables[j]),
			                  pick_largest(tables[i])) <= 0)
				return false;
		}
	}
	return true;
}

/* ---- choosing tables ------------------------------------------------- */

/* Bytes rewritten for each byte moved down, less for a table of tombstones. */
static double cost(const struct version *version, unsigned output_level,
                   const struct table_meta *meta)
{
	double overlap = (double)pick_overlap_bytes(
	    version, output_level, pick_smallest(meta), pick_largest(meta));
	double entries = (double)meta->info.entries + 1;
	double boost = 1 + DELETE_WEIGHT * (double)meta->info.deletes / entries;

	/* What a range tombstone meets is mostly not even read. */
	if (meta->info.ranges > 0)
		return 0;
	return overlap / (((double)meta->info.file_bytes + 1) * boost);
}

/*
 * The index of the cheapest table of `level` that `wanted` (NULL: any) likes;
 * among equals the next one past the cursor, else the first. The level's count
 * when there is none.
 */
static size_t cheapest_table(const struct picker *picker, unsigned level,
                             unsigned output_level, struct slice cursor,
                             bool (*wanted)(const struct picker *picker,
                                            const struct table_meta *meta))
{
	const struct version *version = picker->version;
	const struct level *from = &version->levels[level];
	size_t best = from->count;
	bool best_past = false;
	double least = 0;

	for (size_t i = 0; i < from->count; i++) {
		const struct table_meta *meta = from->tables[i];
		double its_cost;
		bool past;

		if (wanted != NULL && !wanted(picker, meta))
			continue;
		its_cost = cost(version, output_level, meta);
		past = slice_compare(pick_smallest(meta), cursor) >= 0;
		if (best == from->count || its_cost < least ||
		    (its_cost <= least && past && !best_past)) {
			best = i;
			best_past = past;
			least = its_cost;
		}
	}
	return best;
}

/* ---- building plans -------------------------------------------------- */

static uint64_t input_bytes(const struct compact_plan *plan)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < plan->input_count[0]; i++)
		bytes += plan->inputs[0][i]->info.file_bytes;
	return bytes;
}

static bool same_family(struct slice a, struct slice b)
{
	return a.len > 0 && b.len > 0 && a.data[0] == b.data[0];
}

/*
 * Widen the range [*begin, *end) of the output level by the table on either
 * side of it, where that is tiny and of the inputs' key family; false when
 * neither is.
 */
static bool take_tiny_neighbours(const struct picker *picker,
                                 const struct compact_plan *plan, size_t *begin,
                                 size_t *end)
{
	const struct level *below =
	    &picker->version->levels[plan->output_level];
	uint64_t most = input_bytes(plan) * TINY_NEIGHBOUR_RATIO;
	size_t count = *end - *begin;
	struct slice smallest, largest;

	if (most > picker->options->table_bytes / TINY_PART)
		most = picker->options->table_bytes / TINY_PART;
	pick_key_bounds(plan->inputs[0], plan->input_count[0], &smallest,
	                &largest);
	if (*begin > 0) {
		const struct table_meta *left = below->tables[*begin - 1];

		if (left->info.file_bytes < most &&
		    same_family(pick_largest(left), smallest))
			(*begin)--;
	}
	if (*end < below->count) {
		const struct table_meta *right = below->tables[*end];

		if (right->info.file_bytes < most &&
		    same_family(pick_smallest(right), largest))
			(*end)++;
	}
	return *end - *begin > count;
}

/* Whether moving the inputs as they are would leave several tiny tables. */
static bool are_tiny(const struct picker *picker,
                     const struct compact_plan *plan)
{
	return plan->input_count[0] > 1 &&
	       input_bytes(plan) / plan->input_count[0] <
	           picker->options->table_bytes / TINY_PART;
}

static bool may_move(const struct picker *picker,
                     const struct compact_plan *plan)
{
	if (are_tiny(picker, plan))
		return false;
	for (size_t i = 0; i < plan->input_count[0]; i++) {
		const struct table_meta *meta = plan->inputs[0][i];

		if (version_overlaps(picker->version, plan->output_level,
		                     pick_smallest(meta), pick_largest(meta)))
			return false;
		if (plan->output_level == LAST_LEVEL &&
		    worth_rewriting(meta, picker->options->why))
			return false;
	}
	return mutually_disjoint(plan->inputs[0], plan->input_count[0]);
}

/* Add what the inputs meet in the output level, unless they can just move.
   The range between inputs counts: an output may span it. */
static enum lsm_err complete_plan(const struct picker *picker,
                                  struct compact_plan *plan)
{
	const struct level *below =
	    &picker->version->levels[plan->output_level];
	struct slice smallest, largest;
	size_t begin, end;

	pick_key_bounds(plan->inputs[0], plan->input_count[0], &smallest,
	                &largest);
	version_range(picker->version, plan->output_level, smallest, largest,
	              &begin, &end);
	plan->trivial = !take_tiny_neighbours(picker, plan, &begin, &end) &&
	                may_move(picker, plan);
	if (plan->trivial)
		return LSM_OK;
	return plan_inputs(plan, 1, below->tables + begin, end - begin);
}

static enum lsm_err plan_l0(const struct picker *picker,
                            struct compact_plan *plan)
{
	const struct level *l0 = &picker->version->levels[0];
	enum lsm_err err;

	plan->level = 0;
	plan->output_level = picker->options->why == PICK_ALL
	                         ? pick_first_used_level(picker->version, 1)
	                         : picker->base_level;
	err = plan_inputs(plan, 0, l0->tables, l0->count);
	if (err != LSM_OK)
		return err;
	return complete_plan(picker, plan);
}

/* Push one table of `level`, not the last, down by one level. */
static enum lsm_err plan_table(const struct picker *picker, unsigned level,
                               unsigned output_level, size_t index,
                               struct compact_plan *plan)
{
	enum lsm_err err;

	plan->level = level;
	plan->output_level = output_level;
	err = plan_inputs(plan, 0,
	                  picker->version->levels[level].tables + index, 1);
	if (err != LSM_OK)
		return err;
	return complete_plan(picker, plan);
}

static enum lsm_err plan_trigger(const struct picker *picker,
                                 const struct buf cursor[LSM_LEVELS],
                                 struct compact_plan *plan)
{
	unsigned level = pick_triggered_level(picker);
	size_t begin, count;

	if (level == 0)
		return plan_l0(picker, plan);
	if (pick_small_run(picker, &begin, &count))
		return plan_inputs(
		    plan, 0, picker->version->levels[0].tables + begin, count);
	if (level == LSM_LEVELS)
		return LSM_OK;
	return plan_table(picker, level, level + 1,
	                  cheapest_table(picker, level, level + 1,
	                                 buf_slice(&cursor[level]), NULL),
	                  plan);
}

/* Rewrite a table of the last level, with what its range tombstones reach. */
static enum lsm_err plan_last(const struct picker *picker, size_t index,
                              struct compact_plan *plan)
{
	const struct level *last = &picker->version->levels[LAST_LEVEL];
	const struct table_meta *meta = last->tables[index];
	size_t begin, end;

	plan->level = LAST_LEVEL;
	plan->output_level = LAST_LEVEL;
	version_range(picker->version, LAST_LEVEL, pick_smallest(meta),
	              pick_largest(meta), &begin, &end);
	return plan_inputs(plan, 0, last->tables + index, end - index);
}

/* Of `level`, the first table that may hold what the range tombstones of `meta`
   still cover; the level's count when there is none. */
static size_t first_covered(const struct picker *picker, unsigned level,
                            const struct table_meta *meta)
{
	const struct level *from = &picker->version->levels[level];
	size_t begin, end;

	version_range(picker->version, level, pick_smallest(meta),
	              pick_largest(meta), &begin, &end);
	while (begin < end &&
	       from->tables[begin]->info.min_seq >= meta->info.ranges_min_seq)
		begin++;
	return begin < end ? begin : from->count;
}

/*
 * Have the oldest range tombstone of a table of the last level be over: first
 * whatever it may cover comes down, then it is rewritten with that. Not while a
 * snapshot is older: nothing would come of it, time and again.
 */
static enum lsm_err plan_ranges(const struct picker *picker,
                                struct compact_plan *plan)
{
	const struct version *version = picker->version;
	const struct level *last = &version->levels[LAST_LEVEL];

	for (size_t i = 0; i < last->count && last->ranged > 0; i++) {
		const struct table_meta *meta = last->tables[i];

		if (meta->info.ranges == 0 || picker->options->oldest_snapshot <
		                                  meta->info.ranges_min_seq)
			continue;
		for (unsigned level = 1; level < LAST_LEVEL; level++) {
			size_t index = first_covered(picker, level, meta);

			if (index < version->levels[level].count)
				return plan_table(
				    picker, level,
				    pick_first_used_level(version, level + 1),
				    index, plan);
		}
		return plan_last(picker, i, plan);
	}
	return LSM_OK;
}

static bool has_many_deletes(const struct picker *picker,
                             const struct table_meta *meta)
{
	(void)picker;
	return many_deletes(meta);
}

/* Whether PICK_ALL has to do with it. */
static bool is_old(const struct picker *picker, const struct table_meta *meta)
{
	return picker->options->up_to == 0 ||
	       meta->info.min_seq <= picker->options->up_to;
}

static bool has_old(const struct picker *picker, unsigned level)
{
	const struct level *at = &picker->version->levels[level];

	for (size_t i = 0; i < at->count; i++)
		if (is_old(picker, at->tables[i]))
			return true;
	return false;
}

/* What is worth doing although no trigger demands it. */
static enum lsm_err plan_period(const struct picker *picker,
                                const struct buf cursor[LSM_LEVELS],
                                struct compact_plan *plan)
{
	const struct version *version = picker->version;

	if (version->levels[0].count > 0)
		return plan_l0(picker, plan);
	for (unsigned level = 1; level < LAST_LEVEL; level++) {
		unsigned output = pick_first_used_level(version, level + 1);
		size_t index =
		    cheapest_table(picker, level, output,
		                   buf_slice(&cursor[level]), has_many_deletes);

		if (index < version->levels[level].count)
			return plan_table(picker, level, output, index, plan);
	}
	return plan_ranges(picker, plan);
}

static bool is_to_be_rewritten(const struct picker *picker,
                               const struct table_meta *meta,
                               struct slice cursor)
{
	return worth_rewriting(meta, PICK_ALL) && is_old(picker, meta) &&
	       slice_compare(pick_smallest(meta), cursor) >= 0;
}

/* The first table with tombstones past the cursor: one pass, which ends also
   when snapshots keep the tombstones alive. */
static enum lsm_err plan_rewrite(const struct picker *picker,
                                 struct slice cursor, struct compact_plan *plan)
{
	const struct level *last = &picker->version->levels[LAST_LEVEL];

	for (size_t i = 0; i < last->count; i++) {
		const struct table_meta *meta = last->tables[i];

		if (!is_to_be_rewritten(picker, meta, cursor))
			continue;
		return plan_last(picker, i, plan);
	}
	return LSM_OK;
}

static enum lsm_err plan_all(const struct picker *picker,
                             const struct buf cursor[LSM_LEVELS],
                             struct compact_plan *plan)
{
	const struct version *version = picker->version;
	unsigned level, output;

	if (has_old(picker, 0))
		return plan_l0(picker, plan);
	for (level = 1; level < LAST_LEVEL && !has_old(picker, level);)
		level++;
	if (level == LAST_LEVEL)
		return plan_rewrite(picker, buf_slice(&cursor[LAST_LEVEL]),
		                    plan);
	output = pick_first_used_level(version, level + 1);
	return plan_table(picker, level, output,
	                  cheapest_table(picker, level, output,
	                                 buf_slice(&cursor[level]), is_old),
	                  plan);
}

static enum lsm_err make_plan(const struct picker *picker,
                              const struct buf cursor[LSM_LEVELS],
                              struct compact_plan *plan)
{
	enum lsm_err err;

	if (picker->options->why == PICK_ALL)
		return plan_all(picker, cursor, plan);
	err = plan_trigger(picker, cursor, plan);
	if (err != LSM_OK || plan->input_count[0] > 0 ||
	    picker->options->why == PICK_TRIGGER)
		return err;
	return plan_period(picker, cursor, plan);
}

static bool is_below_any(const struct version *version,
                         const struct table_meta *meta)
{
	for (unsigned level = 0; level < LAST_LEVEL; level++)
		if (version_overlaps(version, level, pick_smallest(meta),
		                     pick_largest(meta)))
			return true;
	return false;
}

uint64_t pick_bytes_left(const struct version *version,
                         const struct pick_options *options,
                         const struct buf cursor[LSM_LEVELS])
{
	const struct picker picker = {.options = options};
	const struct level *last = &version->levels[LAST_LEVEL];
	uint64_t bytes = 0;

	for (unsigned level = 0; level < LAST_LEVEL; level++)
		for (size_t i = 0; i < version->levels[level].count; i++)
			if (is_old(&picker, version->levels[level].tables[i]))
				bytes += version->levels[level]
				             .tables[i]
				             ->info.file_bytes;
	for (size_t i = 0; i < last->count; i++) {
		const struct table_meta *meta = last->tables[i];

		if (is_below_any(version, meta) ||
		    is_to_be_rewritten(&picker, meta,
		                       buf_slice(&cursor[LAST_LEVEL])))
			bytes += meta->info.file_bytes;
	}
	return bytes;
}

/* To the least key greater than `key`. */
static enum lsm_err set_cursor(struct buf *cursor, struct slice key)
{
	enum lsm_err err = buf_set(cursor, key);

	if (err != LSM_OK)
		return err;
	return buf_append(cursor, "", 1);
}

enum lsm_err pick_compaction(struct version *version,
                             const struct pick_options *options,
                             struct buf cursor[LSM_LEVELS],
                             struct compact_plan *plan, bool *due_out)
{
	struct slice smallest, largest;
	struct picker picker;
	enum lsm_err err;

	*due_out = false;
	compact_plan_init(plan);
	pick_init(&picker, version, options);
	err = make_plan(&picker, cursor, plan);
	if (err != LSM_OK || plan->input_count[0] == 0)
		goto out;
	pick_key_bounds(plan->inputs[0], plan->input_count[0], &smallest,
	                &largest);
	err = set_cursor(&cursor[plan->level], largest);
	if (err != LSM_OK)
		goto out;
	*due_out = true;
out:
	if (err != LSM_OK)
		compact_plan_release(plan);
	return err;
}
