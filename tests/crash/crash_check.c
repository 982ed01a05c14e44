/* SPDX-License-Identifier: MIT */
#include "tests/crash/crash_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/superblock.h"
#include "tree/manifest.h"

/* ---- contents ------------------------------------------------------------ */

static enum lsm_err dump_store(struct lsm *store, struct buf *dump)
{
	struct slice all = slice_make(NULL, 0);
	struct lsm_iter *iter = NULL;
	enum lsm_err err = lsm_iter_create(store, NULL, all, all, &iter);

	if (err != LSM_OK)
		return err;
	for (lsm_iter_seek(iter, all); err == LSM_OK && lsm_iter_valid(iter);
	     lsm_iter_next(iter))
		err = kit_dump_entry(dump, lsm_iter_key(iter),
		                     lsm_iter_value(iter));
	if (err == LSM_OK)
		err = lsm_iter_status(iter);
	lsm_iter_destroy(iter);
	return err;
}

/* The prefix that the store claims to be. */
static enum lsm_err claimed_prefix(struct lsm *store, size_t *prefix_out)
{
	struct buf value = BUF_INIT;
	enum lsm_err err =
	    lsm_get(store, NULL, slice_str(KIT_NUMBER_KEY), &value);

	*prefix_out = 0;
	if (err == LSM_ERR_NOT_FOUND)
		err = LSM_OK;
	else if (err == LSM_OK && buf_append(&value, "", 1) == LSM_OK)
		*prefix_out = strtoul((const char *)value.data, NULL, 10);
	buf_release(&value);
	return err;
}

static bool compare_state(struct lsm *store, const struct kit_state *state,
                          size_t prefix, struct kit_why *why)
{
	struct buf dump = BUF_INIT;
	enum lsm_err err = dump_store(store, &dump);
	bool equal = slice_equal(buf_slice(&dump), buf_slice(&state->dump));

	buf_release(&dump);
	if (err != LSM_OK)
		return kit_fail(why, "reading everything: %s",
		                lsm_strerror(err));
	if (!equal)
		return kit_fail(why,
		                "it says that it holds %zu batches, but its "
		                "contents are others",
		                prefix);
	for (unsigned i = 0; i < LSM_COUNTERS; i++)
		if (lsm_counter(store, i) != state->counters[i])
			return kit_fail(why,
			                "counter %u is %lld after %zu batches, "
			                "not %lld",
			                i, (long long)lsm_counter(store, i),
			                prefix, (long long)state->counters[i]);
	return true;
}

/* What was compacted away must not be ahead of what survived. */
static bool horizon_is_reached(struct lsm *store, struct kit_why *why)
{
	struct lsm_stats stats;

	lsm_stats(store, &stats);
	if (stats.horizon <= stats.sequence)
		return true;
	return kit_fail(why, "its horizon is %llu, its sequence %llu",
	                (unsigned long long)stats.horizon,
	                (unsigned long long)stats.sequence);
}

bool kit_compare(struct lsm *store, const struct kit_model *model,
                 struct kit_bounds bounds, size_t *prefix_out,
                 struct kit_why *why)
{
	size_t prefix;
	enum lsm_err err = claimed_prefix(store, &prefix);

	if (err != LSM_OK)
		return kit_fail(why, "reading one key: %s", lsm_strerror(err));
	if (prefix_out != NULL)
		*prefix_out = prefix;
	if (prefix < bounds.least || prefix > bounds.most)
		return kit_fail(why, "it holds %zu batches, not %zu to %zu",
		                prefix, bounds.least, bounds.most);
	return horizon_is_reached(store, why) &&
	       compare_state(store, kit_model_state(model, prefix), prefix,
	                     why);
}

/* What the dump says of `key`; false: it is not there. */
static bool find_in_dump(struct slice dump, struct slice key,
                         struct slice *value_out)
{
	while (dump.len > 0) {
		uint32_t lens[2];
		struct slice found;

		memcpy(lens, dump.data, sizeof(lens));
		found = slice_make(dump.data + sizeof(lens), lens[0]);
		*value_out = slice_make(found.data + lens[0], lens[1]);
		if (slice_equal(found, key))
			return true;
		dump.data += sizeof(lens) + lens[0] + lens[1];
		dump.len -= sizeof(lens) + lens[0] + lens[1];
	}
	return false;
}

/* Each key by itself is right, or says CORRUPT. */
static bool check_keys(struct lsm *store, const struct kit_model *model,
                       const struct kit_state *state, struct kit_why *why)
{
	struct buf value = BUF_INIT;
	bool good = true;

	for (size_t k = 0; k < KIT_KEYS && good; k++) {
		struct slice key = kit_model_key(model, k), expected;
		bool present =
		    find_in_dump(buf_slice(&state->dump), key, &expected);
		enum lsm_err err = lsm_get(store, NULL, key, &value);

		if (err == LSM_OK)
			good =
			    present && slice_equal(buf_slice(&value), expected);
		else if (err == LSM_ERR_NOT_FOUND)
			good = !present;
		else
			good = err == LSM_ERR_CORRUPT;
	}
	buf_release(&value);
	return good || kit_fail(why, "a key has another value");
}

bool kit_compare_or_error(struct lsm *store, const struct kit_model *model,
                          struct kit_bounds bounds, struct kit_why *why)
{
	struct buf dump = BUF_INIT;
	size_t prefix;
	enum lsm_err err = claimed_prefix(store, &prefix);
	bool equal;

	if (err == LSM_OK && (prefix < bounds.least || prefix > bounds.most))
		return kit_fail(why, "it holds %zu batches, not %zu to %zu",
		                prefix, bounds.least, bounds.most);
	if (err == LSM_ERR_CORRUPT)
		prefix = bounds.most;
	else if (err != LSM_OK)
		return kit_fail(why, "reading one key: %s", lsm_strerror(err));
	err = dump_store(store, &dump);
	equal = slice_equal(buf_slice(&dump),
	                    buf_slice(&kit_model_state(model, prefix)->dump));
	buf_release(&dump);
	if (err != LSM_OK && err != LSM_ERR_CORRUPT)
		return kit_fail(why, "reading everything: %s",
		                lsm_strerror(err));
	if (err == LSM_OK && !equal)
		return kit_fail(why, "other contents after %zu batches",
		                prefix);
	return check_keys(store, model, kit_model_state(model, prefix), why);
}

bool kit_folder_exists(const struct env *env, const char *path)
{
	struct env_dir *dir = NULL;
	enum lsm_err err = env_dir_open(env, path, &dir);

	env_dir_close(dir);
	kit_must(err == LSM_OK || err == LSM_ERR_NOT_FOUND);
	return err == LSM_OK;
}

/* ---- files ----------------------------------------------------------------
 */

/* What is in the folders against what the manifest names. */
struct listing {
	struct manifest_state state;
	struct segment_uses segments; /* those that its tables lead to */
	size_t expected, found;
	char stray[FILE_NAME_MAX_BYTES];
	char branch[FILE_NAME_MAX_BYTES];
	size_t branches;
};

static bool is_named(const struct listing *listing, enum file_kind kind,
                     struct file_id id)
{
	const struct manifest_state *state = &listing->state;
	const struct version *version = state->version;

	if (kind == FILE_KIND_LIST)
		return state->list.number != 0 &&
		       file_id_equal(id, state->list);
	for (size_t i = 0; kind == FILE_KIND_LOG && i < state->log_count; i++)
		if (file_id_equal(id, state->logs[i].id))
			return true;
	for (unsigned l = 0; kind == FILE_KIND_TABLE && l < LSM_LEVELS; l++)
		for (size_t i = 0; i < version->levels[l].count; i++)
			if (file_id_equal(id, version->levels[l].tables[i]->id))
				return true;
	return kind == FILE_KIND_SEGMENT &&
	       segment_uses_find(&listing->segments, id) != NULL;
}

static enum lsm_err see_pool_file(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	enum file_kind kind;
	struct file_id id;

	/* Beside a log there may be a segment. */
	if (file_name_parse(name, &kind, &id) && kind == FILE_KIND_SEGMENT &&
	    segment_uses_find(&listing->segments, id) == NULL &&
	    is_named(listing, FILE_KIND_LOG, id))
		return LSM_OK;
	if (file_name_parse(name, &kind, &id) && is_named(listing, kind, id))
		listing->found++;
	else
		snprintf(listing->stray, sizeof(listing->stray), "%.60s", name);
	return LSM_OK;
}

static enum lsm_err see_branch_file(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	struct file_id id = {0, listing->state.manifest_number};
	char manifest[FILE_NAME_MAX_BYTES];

	file_name_format(FILE_KIND_MANIFEST, id, manifest);
	if (strcmp(name, "CURRENT") != 0 && strcmp(name, manifest) != 0)
		snprintf(listing->stray, sizeof(listing->stray), "%.60s", name);
	return LSM_OK;
}

static enum lsm_err see_branch(void *ctx, const char *name)
{
	struct listing *listing = ctx;

	snprintf(listing->branch, sizeof(listing->branch), "%.60s", name);
	listing->branches++;
	return LSM_OK;
}

static enum lsm_err list_store(struct env_dir *dir, struct env_dir *branches,
                               struct manifest_place *place,
                               struct listing *listing)
{
	struct table_owner nobody = {.dropped = NULL};
	struct superblock sb;
	enum lsm_err err = superblock_read(dir, "store", true, &sb);

	place->family = sb.family;
	if (err == LSM_OK)
		err = env_dir_list(branches, see_branch, listing);
	if (err == LSM_OK)
		err = env_dir_open_at(branches, listing->branch, &place->dir);
	if (err == LSM_OK)
		err =
		    manifest_recover(place, strtoull(listing->branch, NULL, 16),
		                     nobody, NULL, &listing->state);
	if (err == LSM_OK)
		err = version_segments(listing->state.version,
		                       &listing->segments);
	if (err == LSM_OK)
		err = env_dir_list(place->pool, see_pool_file, listing);
	if (err == LSM_OK)
		err = env_dir_list(place->dir, see_branch_file, listing);
	return err;
}

bool kit_no_leftovers(const struct env *env, const char *path,
                      struct kit_why *why)
{
	struct listing listing = {.expected = 0};
	struct manifest_place place = {.pool = NULL};
	struct env_dir *dir = NULL, *branches = NULL;
	const struct manifest_state *state = &listing.state;
	enum lsm_err err = env_dir_open(env, path, &dir);

	if (err == LSM_OK)
		err = env_dir_open_at(dir, "pool", &place.pool);
	if (err == LSM_OK)
		err = env_dir_open_at(dir, "branches", &branches);
	if (err == LSM_OK)
		err = list_store(dir, branches, &place, &listing);
	if (err == LSM_OK) {
		listing.expected = state->log_count +
		                   (state->list.number != 0) +
		                   listing.segments.count;
		for (unsigned l = 0; l < LSM_LEVELS; l++)
			listing.expected += state->version->levels[l].count;
	}
	segment_uses_release(&listing.segments);
	manifest_state_release(&listing.state);
	env_dir_close(place.dir);
	env_dir_close(place.pool);
	env_dir_close(branches);
	env_dir_close(dir);
	if (err != LSM_OK)
		return kit_fail(why, "listing files: %s", lsm_strerror(err));
	if (listing.branches != 1)
		return kit_fail(why, "%zu branches", listing.branches);
	if (listing.stray[0] != '\0')
		return kit_fail(why, "nothing names the file %s",
		                listing.stray);
	if (listing.found != listing.expected)
		return kit_fail(why, "%zu of %zu named files are there",
		                listing.found, listing.expected);
	return true;
}

/* ---- a whole visit ---------------------------------------------------------
 */

/* Open, compare, maybe write the batch behind, close. */
static bool visit(const struct env *env, const char *path,
                  const struct kit_model *model, struct kit_bounds bounds,
                  bool write, size_t *prefix_out, struct kit_why *why)
{
	struct lsm_runtime *runtime = NULL;
	struct lsm *store = NULL;
	enum lsm_err err = LSM_OK;
	bool good;

	kit_must(kit_runtime(&runtime) == LSM_OK);
	err = kit_open(runtime, env, path, false, &store);
	if (err != LSM_OK) {
		lsm_runtime_destroy(runtime);
		return kit_fail(why, "opening: %s", lsm_strerror(err));
	}
	good = kit_compare(store, model, bounds, prefix_out, why);
	if (good && write && *prefix_out < kit_model_batches(model)) {
		err = kit_write(model, store, *prefix_out);
		if (err == LSM_OK)
			err = lsm_sync(store);
		if (err != LSM_OK)
			good = kit_fail(why, "writing: %s", lsm_strerror(err));
	}
	err = lsm_close(store);
	lsm_runtime_destroy(runtime);
	if (good && err != LSM_OK)
		good = kit_fail(why, "closing: %s", lsm_strerror(err));
	return good && kit_no_leftovers(env, path, why);
}

bool kit_check_store(const struct env *env, const char *path,
                     const struct kit_model *model, struct kit_bounds bounds,
                     bool go_on, size_t *prefix_out, struct kit_why *why)
{
	struct kit_why again;
	size_t prefix = 0;
	bool good = visit(env, path, model, bounds, go_on, &prefix, why);

	if (prefix_out != NULL)
		*prefix_out = prefix;
	if (!good || !go_on)
		return good;
	if (prefix < kit_model_batches(model))
		prefix++;
	bounds.least = bounds.most = prefix;
	good = visit(env, path, model, bounds, false, &prefix, &again);
	return good || kit_fail(why, "opened again: %.400s", again.text);
}
