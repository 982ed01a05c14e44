/* SPDX-License-Identifier: MIT */
#include "compact/ranges.h"

void compact_ranges_release(struct compact_ranges *ranges)
{
	buf_release(&ranges->reach);
	range_set_release(&ranges->set);
}

static enum lsm_err load(void *ctx, struct slice prefix, key_visit_fn visit,
                         void *visit_ctx)
{
	const struct compact_ranges *ranges = ctx;

	return version_ranges(ranges->version, ranges->tables, prefix,
	                      KEY_SEQ_MAX, visit, visit_ctx);
}

struct range_source compact_ranges_source(struct compact_ranges *ranges)
{
	struct range_source source = {NULL, ranges, ranges->prefix_bytes};

	if (ranges->prefix_bytes > 0 && version_has_ranges(ranges->version))
		source.load = load;
	return source;
}

/* ---- is one over? ---------------------------------------------------------- */

static bool is_input(const struct compact_plan *plan,
                     const struct table_meta *meta)
{
	for (size_t side = 0; side < 2; side++)
		for (size_t i = 0; i < plan->input_count[side]; i++)
			if (plan->inputs[side][i] == meta)
				return true;
	return false;
}

static bool is_older(const struct compact_ranges *ranges,
                     const struct table_meta *meta, struct slice first,
                     struct slice last, uint64_t seq)
{
	struct slice smallest = key_user(buf_slice(&meta->info.smallest));
	struct slice largest = key_user(buf_slice(&meta->info.largest));

	return meta->info.min_seq < seq && slice_compare(smallest, last) <= 0 &&
	       slice_compare(largest, first) >= 0 &&
	       !is_input(ranges->plan, meta);
}

/* Whether a table that is no input may hold user keys [first, last] of a
   sequence below `seq`. */
static bool older_outside(const struct compact_ranges *ranges,
                          struct slice first, struct slice last, uint64_t seq)
{
	for (unsigned index = 0; index < LSM_LEVELS; index++) {
		const struct level *level = &ranges->version->levels[index];
		size_t begin = 0, end = level->count;

		if (index > 0)
			version_range(ranges->version, index, first, last,
			              &begin, &end);
		for (size_t i = begin; i < end; i++)
			if (is_older(ranges, level->tables[i], first, last,
			             seq))
				return true;
	}
	return false;
}

enum lsm_err compact_ranges_over(void *ctx, struct slice prefix,
                                 struct range range, uint64_t seq,
                                 bool *over_out)
{
	struct compact_ranges *ranges = ctx;
	struct buf first = BUF_INIT, last = BUF_INIT;
	enum lsm_err err = buf_append_slice(&first, prefix);

	if (err == LSM_OK)
		err = buf_append_slice(&first, range.lower);
	if (err == LSM_OK)
		err = range_reach(prefix, range, &last);
	if (err != LSM_OK)
		goto out;
	*over_out =
	    !older_outside(ranges, buf_slice(&first), buf_slice(&last), seq);
	if (*over_out &&
	    slice_compare(buf_slice(&last), buf_slice(&ranges->reach)) > 0)
		buf_swap(&last, &ranges->reach);
out:
	buf_release(&first);
	buf_release(&last);
	return err;
}

/* ---- is a table covered? ----------------------------------------------------- */

/* The last sequence that every snapshot which sees `seq` or later does see too. */
static uint64_t stripe_end(const struct compact_ranges *ranges, uint64_t seq)
{
	for (size_t i = 0; i < ranges->snapshot_count; i++)
		if (ranges->snapshots[i] >= seq)
			return ranges->snapshots[i];
	return KEY_SEQ_MAX;
}

static bool may_be_covered(const struct compact_ranges *ranges,
                           const struct table_meta *meta)
{
	struct slice smallest = key_user(buf_slice(&meta->info.smallest));
	struct slice largest = key_user(buf_slice(&meta->info.largest));
	size_t prefix_bytes = ranges->prefix_bytes;

	return smallest.len > prefix_bytes && largest.len > prefix_bytes &&
	       memcmp(smallest.data, largest.data, prefix_bytes) == 0;
}

enum lsm_err compact_ranges_cover(struct compact_ranges *ranges,
                                  const struct table_meta *meta,
                                  bool *covered_out)
{
	struct range_source source = compact_ranges_source(ranges);
	const struct table_info *info = &meta->info;
	struct buf upper = BUF_INIT;
	struct slice smallest, largest;
	struct range range;
	enum lsm_err err;

	*covered_out = false;
	if (source.load == NULL || !may_be_covered(ranges, meta))
		return LSM_OK;
	smallest = key_user(buf_slice(&info->smallest));
	largest = key_user(buf_slice(&info->largest));
	err = range_set_load(&ranges->set, &source, smallest);
	/* The least key behind the largest one. */
	if (err == LSM_OK)
		err = buf_append(&upper, largest.data + source.prefix_bytes,
		                 largest.len - source.prefix_bytes);
	if (err == LSM_OK)
		err = buf_append(&upper, "", 1);
	if (err == LSM_OK) {
		range.lower = slice_make(smallest.data + source.prefix_bytes,
		                         smallest.len - source.prefix_bytes);
		range.upper = buf_slice(&upper);
		*covered_out =
		    range_set_contains(&ranges->set, range, info->max_seq,
		                       stripe_end(ranges, info->min_seq));
	}
	buf_release(&upper);
	return err;
}
