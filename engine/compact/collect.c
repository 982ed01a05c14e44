/* SPDX-License-Identifier: MIT */
#include "compact/collect.h"

#include <stdlib.h>

#include "seg/frame.h"

enum { AROUND_BYTES = FILE_HEADER_BYTES + SEGMENT_FOOTER_BYTES };

uint64_t collect_garbage(const struct segment_use *use)
{
	uint64_t used = use->bytes + AROUND_BYTES;

	return use->file_bytes > used ? use->file_bytes - used : 0;
}

static bool is_stale(const struct segment_use *use,
                     const struct collect_options *options)
{
	uint64_t garbage = collect_garbage(use);

	return garbage > 0 &&
	       garbage >= use->file_bytes / 100 * options->garbage_percent;
}

static bool is_ours_alone(const struct segment_use *use,
                          const struct collect_options *options)
{
	return !use->shared &&
	       options->users(options->ctx, use->id) <= use->tables;
}

static bool is_small(const struct segment_use *use,
                     const struct collect_options *options)
{
	return use->file_bytes < options->small_bytes &&
	       is_ours_alone(use, options);
}

enum lsm_err collect_doomed(const struct segment_uses *uses,
                            const struct collect_options *options,
                            struct segment_uses *doomed,
                            struct segment_uses *movable)
{
	size_t small = 0;
	enum lsm_err err = LSM_OK;

	for (size_t i = 0; i < uses->count; i++)
		small += is_small(&uses->items[i], options);
	for (size_t i = 0; err == LSM_OK && i < uses->count; i++) {
		const struct segment_use *use = &uses->items[i];
		bool stale =
		    is_stale(use, options) && is_ours_alone(use, options);

		if (stale)
			err = segment_uses_add(doomed, use);
		if (err == LSM_OK && (stale || (small >= options->small_count &&
		                                is_small(use, options))))
			err = segment_uses_add(movable, use);
	}
	return err;
}

static unsigned percent_in_use(const struct segment_use *use)
{
	if (use->bytes >= use->file_bytes)
		return 100;
	return (unsigned)((double)use->bytes * 100 / (double)use->file_bytes);
}

/* In use in those of which no more than `percent` is. */
static uint64_t bytes_in_use(const struct segment_uses *uses, unsigned percent)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < uses->count; i++) {
		if (percent_in_use(&uses->items[i]) <= percent)
			bytes += uses->items[i].bytes;
	}
	return bytes;
}

void collect_trim(struct segment_uses *doomed, uint64_t room)
{
	unsigned percent = 0;
	size_t kept = 0;

	while (percent <= 100 && bytes_in_use(doomed, percent) <= room)
		percent++;
	/* All with less fit, and some of these. */
	if (percent > 0)
		room -= bytes_in_use(doomed, percent - 1);
	for (size_t i = 0; i < doomed->count; i++) {
		const struct segment_use *use = &doomed->items[i];
		unsigned used = percent_in_use(use);

		if (used > percent || (used == percent && use->bytes > room))
			continue;
		if (used == percent)
			room -= use->bytes;
		doomed->items[kept++] = *use;
	}
	doomed->count = kept;
}

/* Bytes that a rewrite of the table would move out of doomed segments. */
static uint64_t doomed_bytes(const struct table_meta *meta,
                             const struct segment_uses *doomed)
{
	const struct segment_uses *uses = &meta->info.segments;
	uint64_t bytes = 0;

	for (size_t i = 0; i < uses->count; i++)
		if (segment_uses_find(doomed, uses->items[i].id) != NULL)
			bytes += uses->items[i].bytes;
	return bytes;
}

enum lsm_err collect_pick(const struct version *version,
                          const struct segment_uses *doomed,
                          struct compact_plan *plan, bool *due_out)
{
	struct table_meta *most = NULL;
	uint64_t most_bytes = 0;

	*due_out = false;
	for (unsigned l = 1; doomed->count > 0 && l < LSM_LEVELS; l++) {
		const struct level *level = &version->levels[l];

		for (size_t i = 0; i < level->count; i++) {
			uint64_t bytes = doomed_bytes(level->tables[i], doomed);

			if (bytes <= most_bytes)
				continue;
			most = level->tables[i];
			most_bytes = bytes;
			plan->level = plan->output_level = l;
		}
	}
	if (most == NULL)
		return LSM_OK;
	plan->inputs[0] = calloc(1, sizeof(struct table_meta *));
	if (plan->inputs[0] == NULL)
		return LSM_ERR_NOMEM;
	table_meta_ref(most);
	plan->inputs[0][0] = most;
	plan->input_count[0] = 1;
	plan->trivial = false;
	*due_out = true;
	return LSM_OK;
}
