/* SPDX-License-Identifier: MIT */
#include "tests/engine/tree/manifest_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static unsigned log_lines;

static void must_be_ok(enum lsm_err err)
{
	if (err != LSM_OK) {
		fprintf(stderr, "manifest_kit: %s\n", lsm_strerror(err));
		abort();
	}
}

static void count_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
	log_lines++;
}

unsigned take_log_lines(void)
{
	unsigned lines = log_lines;

	log_lines = 0;
	return lines;
}

static const struct uuid family = {{0xfa, 0x11}};

static void open_place(struct env *env, struct manifest_place *place)
{
	must_be_ok(env_dir_open(env, "/pool", &place->pool));
	must_be_ok(env_dir_open(env, "/branch", &place->dir));
	place->family = family;
}

static void close_place(struct manifest_place *place)
{
	env_dir_close(place->pool);
	env_dir_close(place->dir);
}

void branch_setup(struct branch *branch, uint64_t seed)
{
	struct env_dir *root;

	memset(branch, 0, sizeof(*branch));
	log_set_sink(count_line, NULL);
	take_log_lines();
	must_be_ok(env_mem_create(&branch->mem));
	must_be_ok(env_dir_open(branch->mem, "/", &root));
	must_be_ok(env_dir_make(root, "pool"));
	must_be_ok(env_dir_make(root, "branch"));
	must_be_ok(env_dir_sync(root));
	env_dir_close(root);
	must_be_ok(env_fault_create(branch->mem, &branch->fault));
	open_place(branch->fault, &branch->place);

	manifest_state_init(&branch->state);
	branch->state.branch.id = BRANCH_ID;
	branch->state.branch.parent = 0xa0;
	strcpy(branch->state.branch.name, "main");
	branch->state.branch.forked_at = 1000;
	branch->state.branch.created_ns = UINT64_C(1700000000000000000);
	branch->next_number = 1;
	gen_init(&branch->gen, seed);
}

void branch_teardown(struct branch *branch)
{
	manifest_close(branch->manifest);
	manifest_state_release(&branch->state);
	if (!tally_is_even(&branch->tally)) {
		fputs("manifest_kit: a table was not dropped\n", stderr);
		abort();
	}
	close_place(&branch->place);
	env_fault_destroy(branch->fault);
	env_mem_destroy(branch->mem);
}

enum lsm_err branch_publish(struct branch *branch)
{
	struct manifest *manifest;
	enum lsm_err err;

	err = manifest_publish(&branch->place, &branch->state, &manifest);
	if (err != LSM_OK)
		return err;
	manifest_close(branch->manifest);
	branch->manifest = manifest;
	return LSM_OK;
}

enum lsm_err branch_append(struct branch *branch, const struct edit *edit)
{
	struct manifest_state next;
	enum lsm_err err;

	err = manifest_state_copy(&branch->state, &next);
	if (err != LSM_OK)
		return err;
	err = manifest_state_apply(&next, edit);
	if (err == LSM_OK)
		err = manifest_append(branch->manifest, edit);
	if (err != LSM_OK) {
		manifest_state_release(&next);
		return err;
	}
	manifest_state_release(&branch->state);
	branch->state = next;
	return LSM_OK;
}

enum lsm_err branch_relist(struct branch *branch)
{
	struct file_id id = {.creator = BRANCH_ID,
	                     .number = branch->next_number++};
	struct manifest_state before = branch->state;
	enum lsm_err err;

	err = manifest_state_copy(&before, &branch->state);
	if (err == LSM_OK)
		err = manifest_write_list(&branch->place, id, &branch->state);
	if (err == LSM_OK)
		err = env_dir_sync(branch->place.pool);
	if (err == LSM_OK)
		err = branch_publish(branch);
	if (err == LSM_OK) {
		manifest_state_release(&before);
	} else {
		manifest_state_release(&branch->state);
		branch->state = before;
	}
	return err;
}

static enum lsm_err sweep_name(void *ctx, const char *name)
{
	struct branch *branch = ctx;
	enum file_kind kind;
	struct file_id id;

	if (!file_name_parse(name, &kind, &id) || kind != FILE_KIND_LIST ||
	    file_id_equal(id, branch->state.list))
		return LSM_OK;
	return env_unlink(branch->place.pool, name);
}

void branch_sweep(struct branch *branch)
{
	must_be_ok(branch_publish(branch));
	must_be_ok(env_dir_list(branch->place.pool, sweep_name, branch));
}

static void draw_table(struct branch *branch, struct edit *edit)
{
	uint64_t number = branch->next_number++;
	struct file_id id = {.creator = CREATOR, .number = number};
	char smallest[24], largest[24];
	struct table_meta *meta;

	/* Each has keys of its own, so that it fits everywhere. */
	snprintf(smallest, sizeof(smallest), "%06u", (unsigned)number);
	snprintf(largest, sizeof(largest), "%06u+", (unsigned)number);
	meta = make_meta(number, smallest, largest, number * 10,
	                 tally_owner(&branch->tally));
	tally_adopted(&branch->tally, id);
	must_be_ok(edit_add_table(
	    edit, (unsigned)gen_below(&branch->gen, LSM_LEVELS), meta));
	table_meta_unref(meta);
}

static void draw_changes(struct branch *branch, struct edit *edit)
{
	const struct version *version = branch->state.version;

	for (unsigned i = 0; version != NULL && i < LSM_LEVELS; i++) {
		for (size_t j = 0; j < version->levels[i].count; j++) {
			struct table_meta *meta = version->levels[i].tables[j];
			uint64_t dice = gen_below(&branch->gen, 8);

			if (dice > 1)
				continue;
			must_be_ok(edit_remove_table(edit, i, meta->id));
			if (dice == 1) /* it moves */
				must_be_ok(edit_add_table(
				    edit, (i + 1) % LSM_LEVELS, meta));
		}
	}
}

void draw_edit(struct branch *branch, struct edit *edit)
{
	struct manifest_state *state = &branch->state;
	struct log_ref log = {.id = {BRANCH_ID, branch->next_number++}};

	edit_init(edit);
	draw_changes(branch, edit);
	for (uint64_t n = gen_below(&branch->gen, 4); n > 0; n--)
		draw_table(branch, edit);
	if (state->log_count > 0 && gen_below(&branch->gen, 2) == 0)
		must_be_ok(edit_remove_log(edit, state->logs[0].id));
	log.promised_upto = gen_below(&branch->gen, 10000);
	if (gen_below(&branch->gen, 2) == 0)
		must_be_ok(edit_add_log(edit, log));
	edit->has_next_number = gen_below(&branch->gen, 2) == 0;
	if (edit->has_next_number)
		edit->next_number = branch->next_number;
	edit->has_flushed = gen_below(&branch->gen, 2) == 0;
	if (!edit->has_flushed)
		return;
	edit->flushed_seq = branch->next_number * 100;
	edit->has_horizon = gen_below(&branch->gen, 2) == 0;
	if (edit->has_horizon)
		edit->horizon =
		    edit->flushed_seq - gen_below(&branch->gen, 100);
	for (int i = 0; i < LSM_COUNTERS; i++)
		edit->counters[i] = (int64_t)gen_u64(&branch->gen);
}

void branch_grow(struct branch *branch)
{
	struct edit edit;

	draw_edit(branch, &edit);
	must_be_ok(branch_append(branch, &edit));
	edit_release(&edit);
}

void branch_add_tables(struct branch *branch, unsigned count)
{
	struct edit edit;

	edit_init(&edit);
	for (unsigned i = 0; i < count; i++)
		draw_table(branch, &edit);
	must_be_ok(branch_append(branch, &edit));
	edit_release(&edit);
}

void fingerprint(const struct manifest_state *state, struct buf *out)
{
	const struct branch_identity *branch = &state->branch;
	struct manifest_state bare = *state;
	struct edit edit;

	buf_clear(out);
	must_be_ok(append_u64(out, branch->id));
	must_be_ok(append_u64(out, branch->parent));
	must_be_ok(append_u64(out, branch->forked_at));
	must_be_ok(append_u64(out, branch->created_ns));
	must_be_ok(append_u8(out, branch->read_only));
	must_be_ok(append_prefixed(out, slice_str(branch->name)));
	/* In what it differs from no list at all. */
	memset(&bare.diff, 0, sizeof(bare.diff));
	must_be_ok(manifest_state_diff(&bare, &edit));
	must_be_ok(manifest_state_add_tables(state, &edit));
	must_be_ok(edit_encode(&edit, out));
	edit_release(&edit);
}

enum lsm_err recover_bytes(struct env *env, struct buf *out)
{
	struct tally *tally = calloc(1, sizeof(*tally));
	struct manifest_state state;
	struct manifest_place place;
	enum lsm_err err;

	buf_clear(out);
	if (tally == NULL)
		return LSM_ERR_NOMEM;
	open_place(env, &place);
	err = manifest_recover(&place, BRANCH_ID, tally_owner(tally),
	                       tally_adopted, &state);
	if (err == LSM_OK) {
		if (state.version != NULL)
			version_check(state.version);
		fingerprint(&state, out);
	} else if (state.version != NULL || state.logs != NULL) {
		fputs("manifest_kit: an error left a state\n", stderr);
		abort();
	}
	manifest_state_release(&state);
	close_place(&place);
	if (!tally_is_even(tally)) {
		fputs("manifest_kit: recovery keeps a table\n", stderr);
		abort();
	}
	free(tally);
	return err;
}

void read_bytes(struct env *env, const char *folder, const char *name,
                struct buf *out)
{
	struct env_dir *dir;

	must_be_ok(env_dir_open(env, folder, &dir));
	must_be_ok(env_read_file(dir, name, 1 << 20, out));
	env_dir_close(dir);
}

bool has_file(struct env *env, const char *folder, const char *name)
{
	struct env_file *file;
	struct env_dir *dir;
	enum lsm_err err;

	must_be_ok(env_dir_open(env, folder, &dir));
	err = env_open(dir, name, ENV_READ, &file);
	if (err == LSM_OK)
		must_be_ok(env_close(file));
	env_dir_close(dir);
	return err == LSM_OK;
}

void write_bytes(struct env *env, const char *folder, const char *name,
                 struct slice bytes)
{
	struct env_file *file;
	struct env_dir *dir;
	enum lsm_err err;

	must_be_ok(env_dir_open(env, folder, &dir));
	err = env_unlink(dir, name);
	if (err != LSM_ERR_NOT_FOUND)
		must_be_ok(err);
	must_be_ok(env_open(dir, name, ENV_CREATE, &file));
	must_be_ok(env_write(file, 0, bytes.data, bytes.len));
	must_be_ok(env_close(file));
	env_dir_close(dir);
}

static enum lsm_err count_name(void *ctx, const char *name)
{
	unsigned *count = ctx;

	*count += strncmp(name, "MANIFEST-", 9) == 0;
	return LSM_OK;
}

unsigned count_manifests(struct env *env)
{
	struct env_dir *dir;
	unsigned count = 0;

	must_be_ok(env_dir_open(env, "/branch", &dir));
	must_be_ok(env_dir_list(dir, count_name, &count));
	env_dir_close(dir);
	return count;
}
