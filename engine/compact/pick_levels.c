/* SPDX-License-Identifier: MIT */
/*
 * pick_levels.c: what each level may hold, and which one is due.
 *
 * What is due is decided by scores: how many times a level holds what it may.
 * L0 counts tables as well as bytes, since a read looks at each of them. Small
 * tables of L0 (forks seal what little a memtable holds) are no reason to rewrite
 * the level below: they are merged with one another first.
 *
 * What values in segments replace is garbage that nobody can tell before L0 meets
 * the level below, and meeting it moves none of them. So their bytes count for L0,
 * and the more so where it is decided when it is due.
 */
#include <assert.h>

#include "compact/pick_private.h"

enum {
	FANOUT = 10, /* a level over the one above it */

	/* L0 waits while what it would rewrite is so many times larger, and it
	   has less than so many times its trigger of tables. */
	WAIT_OVERLAP_RATIO = 8,
	WAIT_L0_TRIGGERS = 2,

	/* A byte in segments that L0 leads to makes it due as so many of its
	   tables do. */
	LED_WEIGHT = 4,

	/* What L0 goes to is overfull from so many times its size on: clearing
	   it comes before L0 then, each job of which rewrites much of it. */
	OVERFULL = 2,

	/* So many times L0's trigger of small tables in a row are merged; so
	   many are urgent. */
	SMALL_TRIGGERS = 2,
	SMALL_TRIGGERS_URGENT = 8,
};

/* The user keys from the least to the greatest of `count` >= 1 tables. */
void pick_key_bounds(struct table_meta *const *tables, size_t count,
                     struct slice *smallest_out, struct slice *largest_out)
{
	*smallest_out = pick_smallest(tables[0]);
	*largest_out = pick_largest(tables[0]);
	for (size_t i = 1; i < count; i++) {
		struct slice smallest = pick_smallest(tables[i]);
		struct slice largest = pick_largest(tables[i]);

		if (slice_compare(smallest, *smallest_out) < 0)
			*smallest_out = smallest;
		if (slice_compare(largest, *largest_out) > 0)
			*largest_out = largest;
	}
}

uint64_t pick_overlap_bytes(const struct version *version, unsigned level,
                            struct slice smallest, struct slice largest)
{
	uint64_t bytes = 0;
	size_t begin, end;

	version_range(version, level, smallest, largest, &begin, &end);
	for (size_t i = begin; i < end; i++)
		bytes += version->levels[level].tables[i]->info.file_bytes;
	return bytes;
}

/* The highest level below L0 that holds anything; the last when none does. */
unsigned pick_first_used_level(const struct version *version, unsigned from)
{
	for (unsigned level = from; level < LAST_LEVEL; level++) {
		if (version->levels[level].count > 0)
			return level;
	}
	return LAST_LEVEL;
}

/*
 * Size the levels from the largest one up: each holds a tenth of the one below
 * it, until what is left fits the base level. The base level never lies below a
 * level that holds tables, since L0 is newer than those.
 */
static unsigned size_levels(const struct version *version,
                            uint64_t level_base_bytes,
                            double targets[LSM_LEVELS])
{
	double base_max = (double)level_base_bytes;
	unsigned first = pick_first_used_level(version, 1), base;
	double size = 0;

	for (unsigned level = 1; level <= LAST_LEVEL; level++) {
		targets[level] = 0;
		if ((double)version->levels[level].bytes > size)
			size = (double)version->levels[level].bytes;
	}
	targets[0] = 0;
	for (base = LAST_LEVEL; base > first; base--)
		size /= FANOUT;
	while (base > 1 && size > base_max) {
		base--;
		size /= FANOUT;
	}
	if (size < base_max / FANOUT)
		size = base_max / FANOUT;
	if (size > base_max)
		size = base_max;
	for (unsigned level = base; level <= LAST_LEVEL; level++) {
		targets[level] = size;
		size *= FANOUT;
	}
	return base;
}

unsigned pick_base_level(const struct version *version,
                         const struct pick_options *options)
{
	double targets[LSM_LEVELS];

	return size_levels(version, options->level_base_bytes, targets);
}

unsigned pick_level_sizes(const struct version *version,
                          const struct pick_options *options,
                          double sizes[LSM_LEVELS])
{
	return size_levels(version, options->level_base_bytes, sizes);
}

void pick_init(struct picker *picker, struct version *version,
               const struct pick_options *options)
{
	assert(options->l0_trigger > 0);
	assert(options->level_base_bytes > 0);
	picker->version = version;
	picker->options = options;
	picker->base_level =
	    size_levels(version, options->level_base_bytes, picker->targets);
}

/* Bytes in segments that the table leads to. */
static uint64_t led_bytes(const struct table_meta *meta)
{
	const struct segment_uses *uses = &meta->info.segments;
	uint64_t bytes = 0;

	for (size_t i = 0; i < uses->count; i++)
		bytes += uses->items[i].bytes;
	return bytes;
}

static uint64_t l0_led_bytes(const struct picker *picker)
{
	const struct level *l0 = &picker->version->levels[0];
	uint64_t bytes = 0;

	for (size_t i = 0; i < l0->count; i++)
		bytes += led_bytes(l0->tables[i]);
	return bytes;
}

static bool is_small(const struct pick_options *options,
                     const struct table_meta *meta)
{
	return meta->info.file_bytes + led_bytes(meta) < options->small_bytes;
}

size_t pick_l0_tables(const struct version *version,
                      const struct pick_options *options)
{
	const struct level *l0 = &version->levels[0];
	size_t count = 0;

	for (size_t i = 0; i < l0->count; i++)
		count += !is_small(options, l0->tables[i]);
	return count;
}

/* The tables of L0 are in the order of their age, so that one made of a row of
   them has a place among the others. */
static size_t longest_small_run(const struct picker *picker, size_t *begin_out)
{
	const struct level *l0 = &picker->version->levels[0];
	size_t longest = 0, run = 0;

	*begin_out = 0;
	for (size_t i = 0; i < l0->count; i++) {
		run = is_small(picker->options, l0->tables[i]) ? run + 1 : 0;
		if (run > longest) {
			longest = run;
			*begin_out = i + 1 - run;
		}
	}
	return longest;
}

bool pick_small_run(const struct picker *picker, size_t *begin_out,
                    size_t *count_out)
{
	*count_out = longest_small_run(picker, begin_out);
	return *count_out >=
	       (size_t)picker->options->l0_trigger * SMALL_TRIGGERS;
}

static double l0_score(const struct picker *picker)
{
	const struct level *l0 = &picker->version->levels[0];
	double tables =
	    (double)pick_l0_tables(picker->version, picker->options) /
	    picker->options->l0_trigger;
	double weight =
	    (double)l0->bytes + LED_WEIGHT * (double)l0_led_bytes(picker);
	double bytes = weight / (double)picker->options->level_base_bytes;

	return tables > bytes ? tables : bytes;
}

/*
 * Whether L0 may wait for more tables: merging a few small ones into much that
 * they overlap rewrites all of that for little.
 */
static bool l0_may_wait(const struct picker *picker)
{
	const struct level *l0 = &picker->version->levels[0];
	struct slice smallest, largest;

	if (pick_l0_tables(picker->version, picker->options) >=
	        (size_t)picker->options->l0_trigger * WAIT_L0_TRIGGERS ||
	    l0->bytes >= picker->options->level_base_bytes)
		return false;
	pick_key_bounds(l0->tables, l0->count, &smallest, &largest);
	return pick_overlap_bytes(picker->version, picker->base_level, smallest,
	                          largest) /
	           WAIT_OVERLAP_RATIO >
	       l0->bytes + l0_led_bytes(picker);
}

static bool base_is_overfull(const struct picker *picker)
{
	unsigned base = picker->base_level;

	return base < LAST_LEVEL &&
	       (double)picker->version->levels[base].bytes >
	           OVERFULL * picker->targets[base];
}

static bool l0_is_due(const struct picker *picker)
{
	return picker->version->levels[0].count > 0 && l0_score(picker) >= 1 &&
	       !l0_may_wait(picker);
}

/* L0 when it is due and has a place to go to; otherwise the level whose trigger
   is exceeded most; LSM_LEVELS when none is. */
unsigned pick_triggered_level(const struct picker *picker)
{
	const struct version *version = picker->version;
	unsigned urgent = LSM_LEVELS;
	double most = 0;

	if (l0_is_due(picker)) {
		if (!base_is_overfull(picker))
			return 0;
		urgent = 0;
		most = l0_score(picker);
	}
	for (unsigned level = picker->base_level; level < LAST_LEVEL; level++) {
		double score = (double)version->levels[level].bytes /
		               picker->targets[level];

		if (score > 1 && score > most) {
			urgent = level;
			most = score;
		}
	}
	return urgent;
}

bool pick_l0_is_due(struct version *version, const struct pick_options *options)
{
	struct picker picker;

	pick_init(&picker, version, options);
	return l0_is_due(&picker);
}

bool pick_l0_goes_first(struct version *version,
                        const struct pick_options *options)
{
	struct picker picker;
	size_t begin;

	pick_init(&picker, version, options);
	if (longest_small_run(&picker, &begin) >=
	    (size_t)options->l0_trigger * SMALL_TRIGGERS_URGENT)
		return true;
	return l0_is_due(&picker) && !base_is_overfull(&picker);
}

bool pick_is_behind(struct version *version, const struct pick_options *options)
{
	struct picker picker;

	pick_init(&picker, version, options);
	return base_is_overfull(&picker);
}
