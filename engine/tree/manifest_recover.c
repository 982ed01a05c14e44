/* SPDX-License-Identifier: MIT */
/*
 * manifest_recover.c: from CURRENT to a state, believing nothing: what is
 * missing, cut short, out of place or in contradiction with itself is said in
 * one log line, and nothing of the branch is handed out.
 */
#include <inttypes.h>

#include "base/log.h"
#include "tree/manifest_base.h"
#include "tree/manifest_names.h"
#include "tree/manifest_private.h"
#include "wal/wal_reader.h"

/* A recovery under way, and what its log lines say about where it is. */
struct recovery {
	const struct manifest_place *place;
	uint64_t branch_id;
	struct table_owner owner;
	void (*adopted)(void *ctx, struct file_id id);
	struct manifest_state *state; /* being built */
	struct manifest_names *names; /* NULL: build the tree; else its files */
	char manifest[FILE_NAME_MAX_BYTES];
	uint64_t edits; /* applied from the manifest */
	bool marked;    /* the last record was a mark */
};

static enum lsm_err refuse(const struct recovery *r, const char *name,
                           const char *why)
{
	log_error("branch %016" PRIx64 ": %s: %s", r->branch_id, name, why);
	return LSM_ERR_CORRUPT;
}

static enum lsm_err read_current(struct recovery *r)
{
	struct manifest_state *state = r->state;
	struct buf line = BUF_INIT;
	struct slice name;
	enum lsm_err err;

	err = env_read_file(r->place->dir, MANIFEST_CURRENT,
	                    MANIFEST_CURRENT_MAX_BYTES, &line);
	if (err == LSM_ERR_NOT_FOUND)
		err = refuse(r, MANIFEST_CURRENT, "it is missing");
	if (err != LSM_OK)
		goto out;
	name = buf_slice(&line);
	if (name.len == 0 || name.data[name.len - 1] != '\n') {
		err = refuse(r, MANIFEST_CURRENT, "not one whole line");
		goto out;
	}
	name.len--;
	if (!manifest_name_parse(name, &state->manifest_number)) {
		err = refuse(r, MANIFEST_CURRENT, "not the name of a manifest");
		goto out;
	}
	manifest_name_format(state->manifest_number, r->manifest);
out:
	buf_release(&line);
	return err;
}

/* A file that another file names is damage when it is missing;
   wal_reader_open() has said so. */
static enum lsm_err open_reader(const struct recovery *r, struct env_dir *dir,
                                enum file_kind kind, struct file_id id,
                                struct wal_reader **reader_out)
{
	enum lsm_err err;

	err = wal_reader_open(dir, kind, id, &r->place->family, 0, reader_out);
	return err == LSM_ERR_NOT_FOUND ? LSM_ERR_CORRUPT : err;
}

/* Take the tag off the payload; 0, which no tag is, where there is none. */
static uint8_t take_tag(struct slice *payload)
{
	uint8_t tag;

	if (payload->len == 0)
		return 0;
	tag = payload->data[0];
	*payload = slice_make(payload->data + 1, payload->len - 1);
	return tag;
}

/* Whether the edit removes a log that the fork point names. */
static bool concerns_base(const struct manifest_names *names,
                          const struct edit *edit)
{
	for (size_t i = 0; i < edit->logs_removed_count; i++)
		for (size_t j = 0; j < names->base.log_count; j++)
			if (file_id_equal(names->base.logs[j],
			                  edit->logs_removed[i]))
				return true;
	return false;
}

static enum lsm_err name_files(struct manifest_names *names,
                               const struct edit *edit)
{
	enum lsm_err err = manifest_files_apply(&names->now, edit);

	if (err == LSM_OK && concerns_base(names, edit))
		err = manifest_files_apply(&names->base, edit);
	return err;
}

static enum lsm_err apply_edit(struct recovery *r, const char *name,
                               struct slice bytes)
{
	struct edit edit;
	enum lsm_err err;

	err = edit_decode(bytes, r->owner, r->adopted, &edit);
	if (err == LSM_ERR_CORRUPT)
		return refuse(r, name, "an edit cannot be decoded");
	if (err != LSM_OK)
		return err;
	err = r->names != NULL ? name_files(r->names, &edit)
	                       : manifest_state_apply(r->state, &edit);
	edit_release(&edit);
	if (err == LSM_ERR_CORRUPT)
		return refuse(r, name, "an edit contradicts those before it");
	return err;
}

/* Read the one edit of the list, and see that the list is whole. */
static enum lsm_err read_list_records(struct recovery *r, const char *name,
                                      struct wal_reader *reader)
{
	struct slice payload;
	enum lsm_err err;
	bool more;

	err = wal_reader_next(reader, &payload, &more);
	if (err != LSM_OK)
		return err;
	if (!more || take_tag(&payload) != MANIFEST_TAG_EDIT)
		return refuse(r, name, "it does not begin with an edit");
	err = apply_edit(r, name, payload);
	if (err != LSM_OK)
		return err;
	err = wal_reader_next(reader, &payload, &more);
	if (err != LSM_OK)
		return err;
	if (more || !wal_reader_sealed(reader))
		return refuse(r, name, "it is not sealed after its edit");
	return LSM_OK;
}

static enum lsm_err read_list(struct recovery *r)
{
	struct file_id id = r->state->list;
	struct wal_reader *reader = NULL;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	file_name_format(FILE_KIND_LIST, id, name);
	err = open_reader(r, r->place->pool, FILE_KIND_LIST, id, &reader);
	if (err == LSM_OK)
		err = read_list_records(r, name, reader);
	if (err == LSM_OK && r->state->log_count > 0)
		err = refuse(r, name, "it names logs");
	if (err == LSM_OK)
		err = manifest_state_set_list(r->state, id);
	wal_reader_close(reader);
	return err;
}

static enum lsm_err decode_branch(const struct recovery *r,
                                  struct slice payload)
{
	struct branch_identity *branch = &r->state->branch;
	struct file_id *list = &r->state->list;
	struct cursor c = cursor_make(payload);
	struct slice name;
	uint8_t flags;

	branch->id = cursor_u64(&c);
	branch->parent = cursor_u64(&c);
	branch->forked_at = cursor_varint(&c);
	branch->created_ns = cursor_varint(&c);
	flags = cursor_u8(&c);
	name = cursor_prefixed(&c);
	list->creator = cursor_u64(&c);
	list->number = cursor_varint(&c);
	if (c.bad || cursor_left(&c) > 0 ||
	    (flags & ~MANIFEST_FLAG_READ_ONLY) != 0 ||
	    name.len > BRANCH_NAME_MAX_BYTES)
		return refuse(r, r->manifest,
		              "its branch record cannot be decoded");
	if (name.len > 0) {
		if (memchr(name.data, 0, name.len) != NULL)
			return refuse(r, r->manifest,
			              "the branch's name has a NUL in it");
		memcpy(branch->name, name.data, name.len);
	}
	branch->read_only = (flags & MANIFEST_FLAG_READ_ONLY) != 0;
	if (branch->id != r->branch_id)
		return refuse(r, r->manifest, "it is of another branch");
	return LSM_OK;
}

static enum lsm_err take_first(struct recovery *r, struct wal_reader *reader)
{
	struct slice payload;
	enum lsm_err err;
	bool more;

	err = wal_reader_next(reader, &payload, &more);
	if (err != LSM_OK)
		return err;
	if (!more || take_tag(&payload) != MANIFEST_TAG_BRANCH)
		return refuse(r, r->manifest,
		              "it does not begin with a branch record");
	err = decode_branch(r, payload);
	if (err == LSM_OK && r->names != NULL)
		r->names->now.list = r->state->list;
	else if (err == LSM_OK && r->state->list.number > 0 &&
	         !r->state->treeless)
		err = read_list(r);
	return err;
}

/* The fork point: once, behind the first edit. */
static enum lsm_err take_base(struct recovery *r, struct slice payload)
{
	struct edit diff;
	struct file_id list;
	enum lsm_err err;

	if (r->edits != 1 || r->state->base.len > 0)
		return refuse(r, r->manifest, "a fork point out of place");
	err = manifest_base_decode(payload, r->place->learner, NULL, &list,
	                           &diff);
	if (err == LSM_OK && r->names != NULL) {
		r->names->has_base = true;
		r->names->base.list = list;
		err = manifest_files_apply(&r->names->base, &diff);
	}
	if (err == LSM_OK)
		err = buf_set(&r->state->base, payload);
	edit_release(&diff);
	if (err == LSM_ERR_CORRUPT)
		return refuse(r, r->manifest,
		              "its fork point cannot be decoded");
	return err;
}

static enum lsm_err take_record(struct recovery *r, struct slice payload)
{
	uint8_t tag = take_tag(&payload);
	enum lsm_err err;

	r->marked = tag == MANIFEST_TAG_MARK;
	switch (tag) {
	case MANIFEST_TAG_EDIT:
		err = apply_edit(r, r->manifest, payload);
		if (err == LSM_OK)
			r->edits++;
		return err;
	case MANIFEST_TAG_BASE:
		return take_base(r, payload);
	case MANIFEST_TAG_MARK:
		if (payload.len == 0)
			return LSM_OK;
		break;
	default:
		break;
	}
	return refuse(r, r->manifest, "a record of unknown content");
}

static enum lsm_err read_manifest(struct recovery *r)
{
	struct file_id id = {r->branch_id, r->state->manifest_number};
	struct wal_reader *reader = NULL;
	struct slice payload;
	bool more = true;
	enum lsm_err err;

	err = open_reader(r, r->place->dir, FILE_KIND_MANIFEST, id, &reader);
	if (err == LSM_OK)
		err = take_first(r, reader);
	while (err == LSM_OK && more) {
		err = wal_reader_next(reader, &payload, &more);
		if (err == LSM_OK && more)
			err = take_record(r, payload);
	}
	/* CURRENT named it when branch and first edit were durable. */
	if (err == LSM_OK && r->edits == 0)
		err = refuse(r, r->manifest, "it ends before its first edit");
	wal_reader_close(reader);
	return err;
}

static enum lsm_err recover(const struct manifest_place *place,
                            uint64_t branch_id, struct table_owner owner,
                            void (*adopted)(void *ctx, struct file_id id),
                            bool treeless, struct manifest_state *state_out)
{
	struct recovery r = {
	    .place = place,
	    .branch_id = branch_id,
	    .owner = owner,
	    .adopted = adopted,
	    .state = state_out,
	};
	enum lsm_err err;

	manifest_state_init(state_out);
	state_out->treeless = treeless;
	err = read_current(&r);
	if (err == LSM_OK)
		err = read_manifest(&r);
	if (err != LSM_OK)
		manifest_state_release(state_out);
	return err;
}

enum lsm_err manifest_recover(const struct manifest_place *place,
                              uint64_t branch_id, struct table_owner owner,
                              void (*adopted)(void *ctx, struct file_id id),
                              struct manifest_state *state_out)
{
	return recover(place, branch_id, owner, adopted, false, state_out);
}

enum lsm_err
manifest_recover_treeless(const struct manifest_place *place,
                          uint64_t branch_id, struct table_owner owner,
                          void (*adopted)(void *ctx, struct file_id id),
                          struct manifest_state *state_out)
{
	return recover(place, branch_id, owner, adopted, true, state_out);
}

enum lsm_err manifest_base_read(const struct manifest_place *place,
                                struct slice base, struct table_owner owner,
                                void (*adopted)(void *ctx, struct file_id id),
                                struct manifest_state *state_out)
{
	struct recovery r = {
	    .place = place,
	    .owner = owner,
	    .adopted = adopted,
	    .state = state_out,
	};
	struct edit diff;
	enum lsm_err err;

	manifest_state_init(state_out);
	err =
	    manifest_base_decode(base, owner, adopted, &state_out->list, &diff);
	if (err == LSM_OK && state_out->list.number > 0)
		err = read_list(&r);
	if (err == LSM_OK)
		err = manifest_state_apply(state_out, &diff);
	edit_release(&diff);
	if (err != LSM_OK)
		manifest_state_release(state_out);
	return err;
}

enum lsm_err manifest_names_read(const struct manifest_place *place,
                                 uint64_t branch_id,
                                 struct manifest_names *names_out)
{
	struct manifest_state state;
	struct recovery r = {
	    .place = place,
	    .branch_id = branch_id,
	    .state = &state,
	    .names = names_out,
	    .owner = place->learner,
	};
	enum lsm_err err;

	memset(names_out, 0, sizeof(*names_out));
	manifest_state_init(&state);
	err = read_current(&r);
	if (err == LSM_OK)
		err = read_manifest(&r);
	names_out->branch = state.branch;
	names_out->manifest_number = state.manifest_number;
	/* The first one was durable before anybody could reach its folder. */
	names_out->settled =
	    state.manifest_number == MANIFEST_FIRST_NUMBER || r.marked;
	manifest_state_release(&state);
	if (err != LSM_OK)
		manifest_names_release(names_out);
	return err;
}

void manifest_names_release(struct manifest_names *names)
{
	manifest_files_release(&names->now);
	manifest_files_release(&names->base);
}

enum lsm_err manifest_list_read(const struct manifest_place *place,
                                struct file_id id, struct file_id **tables_out,
                                size_t *count_out)
{
	struct manifest_state state;
	struct recovery r = {
	    .place = place, .state = &state, .owner = place->learner};
	enum lsm_err err;

	*tables_out = NULL;
	*count_out = 0;
	manifest_state_init(&state);
	state.list = id;
	err = read_list(&r);
	if (err == LSM_OK) {
		*tables_out = manifest_state_listed(&state);
		*count_out = state.list_table_count;
		err = *tables_out == NULL ? LSM_ERR_NOMEM : LSM_OK;
	}
	manifest_state_release(&state);
	return err;
}
