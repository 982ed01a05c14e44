/* SPDX-License-Identifier: MIT */
/*
 * version.c: metas and versions, and the searches in them; the iterators over
 * them are in version_iter.c.
 */
#include "tree/version.h"

#include <assert.h>
#include <stdlib.h>

enum lsm_err table_meta_create(struct file_id id, struct table_info *info,
                               struct table_owner owner,
                               struct table_meta **meta_out)
{
	struct table_meta *meta;

	*meta_out = NULL;
	meta = calloc(1, sizeof(*meta));
	if (meta == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&meta->refs, 1);
	meta->id = id;
	meta->owner = owner;
	meta->info = *info;
	table_info_init(info); /* its bytes are the meta's now */
	*meta_out = meta;
	return LSM_OK;
}

void table_meta_tell(const struct table_meta *meta)
{
	if (meta->owner.leads != NULL && meta->info.segments.count > 0)
		meta->owner.leads(meta->owner.ctx, meta->id,
		                  &meta->info.segments);
}

/* Relaxed: whoever adds a reference has one, so nothing can go meanwhile. */
void table_meta_ref(struct table_meta *meta)
{
	unsigned before;

	before =
	    atomic_fetch_add_explicit(&meta->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
}

/* Acquire and release: what others did with it comes before its end. */
void table_meta_unref(struct table_meta *meta)
{
	struct table_owner owner;
	struct file_id id;
	unsigned before;

	if (meta == NULL)
		return;
	before =
	    atomic_fetch_sub_explicit(&meta->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	owner = meta->owner;
	id = meta->id;
	table_kept_release(&meta->kept);
	table_info_release(&meta->info);
	free(meta);
	if (owner.dropped != NULL)
		owner.dropped(owner.ctx, id);
}

enum lsm_err version_create(struct version **version_out)
{
	struct version *version;

	*version_out = NULL;
	version = calloc(1, sizeof(*version));
	if (version == NULL)
		return LSM_ERR_NOMEM;
	atomic_init(&version->refs, 1);
	*version_out = version;
	return LSM_OK;
}

void version_ref(struct version *version)
{
	unsigned before;

	before =
	    atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
	assert(before > 0);
	(void)before;
}

void version_unref(struct version *version)
{
	unsigned before;

	if (version == NULL)
		return;
	before =
	    atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before > 1)
		return;
	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		struct level *level = &version->levels[i];

		for (size_t j = 0; j < level->count; j++)
			table_meta_unref(level->tables[j]);
		free(level->tables);
	}
	free(version);
}

static struct slice smallest_user(const struct table_meta *meta)
{
	return key_user(buf_slice(&meta->info.smallest));
}

static struct slice largest_user(const struct table_meta *meta)
{
	return key_user(buf_slice(&meta->info.largest));
}

/* ---- sharing ------------------------------------------------------------- */

/* The order in which a level lists its tables. */
static int compare_listed(unsigned level, const struct table_meta *a,
                          const struct table_meta *b)
{
	if (level > 0)
		return slice_compare(smallest_user(a), smallest_user(b));
	return (a->info.max_seq < b->info.max_seq) -
	       (a->info.max_seq > b->info.max_seq);
}

static void share_level(unsigned index, struct level *level,
                        const struct level *other)
{
	size_t i = 0, j = 0;

	while (i < level->count && j < other->count) {
		struct table_meta **own = &level->tables[i];
		struct table_meta *theirs = other->tables[j];
		int order = compare_listed(index, *own, theirs);

		i += order <= 0;
		j += order >= 0;
		if (order == 0 && file_id_equal((*own)->id, theirs->id) &&
		    (*own)->info.file_bytes == theirs->info.file_bytes) {
			table_meta_ref(theirs);
			table_meta_unref(*own);
			*own = theirs;
		}
	}
}

void version_share(struct version *version, const struct version *other)
{
	assert(atomic_load(&version->refs) == 1);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		share_level(i, &version->levels[i], &other->levels[i]);
}

/* Of a sorted level: the first table whose largest user key is >= user. */
static size_t first_reaching(const struct level *level, struct slice user)
{
	size_t low = 0, high = level->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(largest_user(level->tables[middle]), user) <
		    0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Of a sorted level: the first table whose smallest user key is > user. */
static size_t first_beyond(const struct level *level, struct slice user)
{
	size_t low = 0, high = level->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (slice_compare(smallest_user(level->tables[middle]), user) >
		    0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool meets(const struct table_meta *meta, struct slice smallest,
                  struct slice largest)
{
	return slice_compare(smallest_user(meta), largest) <= 0 &&
	       slice_compare(largest_user(meta), smallest) >= 0;
}

/* Look into one table, whose user keys that of the probe lies among. */
static enum lsm_err get_from_table(struct table_meta *meta,
                                   const struct table_source *source,
                                   const struct table_probe *probe,
                                   key_visit_fn visit, void *ctx,
                                   bool *stopped_out)
{
	struct table_ref ref;
	enum lsm_err err;

	if (meta->info.min_seq > key_seq(probe->target))
		return LSM_OK;
	err = table_cache_get_kept(source, meta->id, meta->info.file_bytes,
	                           &meta->kept, true, &ref);
	if (err != LSM_OK)
		return err;
	err = table_get(ref.table, probe, visit, ctx, stopped_out);
	table_cache_release(source, &ref);
	return err;
}

enum lsm_err version_get(const struct version *version,
                         const struct table_source *source, struct slice user,
                         uint64_t seq, key_visit_fn visit, void *ctx,
                         bool *stopped_out)
{
	const struct level *top = &version->levels[0];
	struct table_probe probe;
	enum lsm_err err;

	*stopped_out = false;
	if (!table_probe_init(&probe, user, seq))
		return LSM_OK;
	for (size_t i = 0; i < top->count; i++) {
		if (!meets(top->tables[i], user, user))
			continue;
		err = get_from_table(top->tables[i], source, &probe, visit, ctx,
		                     stopped_out);
		if (err != LSM_OK || *stopped_out)
			return err;
	}
	for (unsigned i = 1; i < LSM_LEVELS; i++) {
		const struct level *level = &version->levels[i];
		/* The others end before it or begin behind it. */
		size_t index = first_reaching(level, user);

		if (index == level->count ||
		    slice_compare(smallest_user(level->tables[index]), user) >
		        0)
			continue;
		err = get_from_table(level->tables[index], source, &probe,
		                     visit, ctx, stopped_out);
		if (err != LSM_OK || *stopped_out)
			return err;
	}
	return LSM_OK;
}

bool version_has_ranges(const struct version *version)
{
	for (unsigned level = 0; level < LSM_LEVELS; level++)
		if (version->levels[level].ranged > 0)
			return true;
	return false;
}

enum lsm_err version_ranges(const struct version *version,
                            const struct table_source *source,
                            struct slice prefix, uint64_t seq,
                            key_visit_fn visit, void *ctx)
{
	struct table_probe probe;
	enum lsm_err err = LSM_OK;
	bool stopped = false;

	if (!table_probe_init(&probe, prefix, seq))
		return LSM_OK;
	for (unsigned index = 0; index < LSM_LEVELS; index++) {
		const struct level *level = &version->levels[index];
		size_t begin = 0, end = level->count;

		if (level->ranged == 0)
			continue;
		if (index > 0)
			version_range(version, index, prefix, prefix, &begin,
			              &end);
		for (size_t i = begin; i < end; i++) {
			if (level->tables[i]->info.ranges == 0 ||
			    !meets(level->tables[i], prefix, prefix))
				continue;
			err = get_from_table(level->tables[i], source, &probe,
			                     visit, ctx, &stopped);
			if (err != LSM_OK || stopped)
				return err;
		}
	}
	return LSM_OK;
}

struct slice table_meta_reach(const struct table_meta *meta)
{
	struct slice reach = buf_slice(&meta->info.ranges_reach);
	struct slice largest = largest_user(meta);

	return slice_compare(reach, largest) > 0 ? reach : largest;
}

bool version_overlaps(const struct version *version, unsigned level,
                      struct slice smallest, struct slice largest)
{
	size_t begin, end;

	assert(level < LSM_LEVELS);
	if (level > 0) {
		version_range(version, level, smallest, largest, &begin, &end);
		return begin < end;
	}
	for (size_t i = 0; i < version->levels[0].count; i++)
		if (meets(version->levels[0].tables[i], smallest, largest))
			return true;
	return false;
}

void version_range(const struct version *version, unsigned level,
                   struct slice smallest, struct slice largest,
                   size_t *begin_out, size_t *end_out)
{
	assert(level > 0 && level < LSM_LEVELS);
	*begin_out = first_reaching(&version->levels[level], smallest);
	*end_out = first_beyond(&version->levels[level], largest);
	if (*end_out < *begin_out)
		*end_out = *begin_out;
}

bool level_is_sound(const struct level *level, unsigned index)
{
	for (size_t i = 1; i < level->count; i++) {
		const struct table_meta *a = level->tables[i - 1];
		const struct table_meta *b = level->tables[i];

		if (index == 0 && a->info.max_seq < b->info.max_seq)
			return false;
		if (index > 0 &&
		    slice_compare(largest_user(a), smallest_user(b)) >= 0)
			return false;
	}
	return true;
}

/* What is wrong with the version, or NULL. */
static const char *find_fault(const struct version *version)
{
	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		const struct level *level = &version->levels[i];
		uint64_t bytes = 0;
		size_t ranged = 0;

		for (size_t j = 0; j < level->count; j++) {
			const struct table_meta *meta = level->tables[j];

			bytes += meta->info.file_bytes;
			ranged += meta->info.ranges > 0;
			if (key_compare(buf_slice(&meta->info.smallest),
			                buf_slice(&meta->info.largest)) > 0)
				return "a table ends before it begins";
		}
		if (bytes != level->bytes || ranged != level->ranged)
			return "the figures of a level are not those of its "
			       "tables";
		if (!level_is_sound(level, i))
			return "a level is out of order";
	}
	return NULL;
}

void version_check(const struct version *version)
{
	const char *fault = find_fault(version);

	assert(fault == NULL);
	(void)fault;
}

enum lsm_err version_segments(const struct version *version,
                              struct segment_uses *uses)
{
	enum lsm_err err = LSM_OK;

	for (unsigned l = 0; err == LSM_OK && l < LSM_LEVELS; l++) {
		const struct level *level = &version->levels[l];

		for (size_t i = 0; err == LSM_OK && i < level->count; i++)
			err = segment_uses_append(
			    uses, &level->tables[i]->info.segments);
	}
	segment_uses_sum(uses);
	return err;
}
