/* SPDX-License-Identifier: MIT */
/*
 * manifest.c: the files of a branch: how they are written, and in which order
 * they become durable. manifest_recover.c reads them.
 *
 *   CURRENT   = "MANIFEST-", number (decimal, from 1, no leading zero), LF
 *   MANIFEST  = file header (id: branch, number of the manifest), then one
 *               DATA record (wal/record.h) a payload:
 *                 branch, edit, [ base ], { edit | mark }*
 *   .list     = file header, one DATA record with an edit that only adds
 *               tables, END record; mode 0400
 *
 *   payload   = tag (u8), body up to its end
 *   1 branch  = id (u64), parent (u64), forked_at (v), created_ns (v),
 *               flags (u8: 1 read-only, other bits 0), name (p, at most 255
 *               bytes, no NUL), base list: creator (u64), number (v; 0: none)
 *   2 edit    = as said in edit.c
 *   3 mark    = nothing
 *   4 base    = the fork point of a writable fork: base list: creator (u64),
 *               number (v; 0: none), then as an edit: all in which the fork
 *               point differs from that list
 *
 * v is a varint, p a varint length and that many bytes, integers little-endian.
 *
 * The first edit is the whole difference from the base list. A mark follows an
 * edit once that is durable; what it is for is the promise of its record ("all
 * before me was synced"): with it a damaged last edit is told from a torn one.
 * The mark itself is not synced before the next edit is.
 */
#include "tree/manifest.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/log.h"
#include "tree/manifest_private.h"
#include "wal/wal_writer.h"

struct manifest {
	struct wal_writer *writer;
	uint64_t published_bytes; /* its size when CURRENT named it */
	bool broken; /* a mark could not be written: no edit can be any more */
};

bool manifest_name_parse(struct slice name, uint64_t *number_out)
{
	struct slice prefix = slice_str("MANIFEST-");
	uint64_t number = 0;

	*number_out = 0;
	if (!slice_starts_with(name, prefix) || name.len == prefix.len ||
	    name.data[prefix.len] == '0')
		return false;
	for (size_t i = prefix.len; i < name.len; i++) {
		uint64_t digit = (uint64_t)name.data[i] - '0';

		if (name.data[i] < '0' || name.data[i] > '9' ||
		    number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*number_out = number;
	return true;
}

void manifest_name_format(uint64_t number, char out[FILE_NAME_MAX_BYTES])
{
	struct file_id id = {.creator = 0, .number = number};

	file_name_format(FILE_KIND_MANIFEST, id, out);
}

/* Called for each name of the branch's folder; ctx: a buf of u64 numbers. */
static enum lsm_err collect_number(void *ctx, const char *name)
{
	uint64_t number;

	if (!manifest_name_parse(slice_str(name), &number))
		return LSM_OK;
	return append_u64(ctx, number);
}

static enum lsm_err encode_branch(const struct manifest_state *state,
                                  struct buf *out)
{
	const struct branch_identity *branch = &state->branch;
	enum lsm_err err;

	err = append_u8(out, MANIFEST_TAG_BRANCH);
	if (err == LSM_OK)
		err = append_u64(out, branch->id);
	if (err == LSM_OK)
		err = append_u64(out, branch->parent);
	if (err == LSM_OK)
		err = append_varint(out, branch->forked_at);
	if (err == LSM_OK)
		err = append_varint(out, branch->created_ns);
	if (err == LSM_OK)
		err = append_u8(out, branch->read_only ? MANIFEST_FLAG_READ_ONLY
		                                       : 0);
	if (err == LSM_OK)
		err = append_prefixed(out, slice_str(branch->name));
	if (err == LSM_OK)
		err = append_u64(out, state->list.creator);
	if (err == LSM_OK)
		err = append_varint(out, state->list.number);
	return err;
}

static enum lsm_err encode_edit(const struct edit *edit, struct buf *out)
{
	enum lsm_err err;

	err = append_u8(out, MANIFEST_TAG_EDIT);
	if (err == LSM_OK)
		err = edit_encode(edit, out);
	if (err == LSM_OK && out->len > WAL_PAYLOAD_MAX_BYTES) {
		log_error("an edit of %zu bytes: a record holds %d", out->len,
		          WAL_PAYLOAD_MAX_BYTES);
		err = LSM_ERR_TOO_BIG;
	}
	return err;
}

/* The record of the fork point; nothing where none is kept. */
static enum lsm_err encode_base(const struct manifest_state *state,
                                struct buf *out)
{
	enum lsm_err err;

	if (state->base.len == 0)
		return LSM_OK;
	err = append_u8(out, MANIFEST_TAG_BASE);
	if (err == LSM_OK)
		err = buf_append_slice(out, buf_slice(&state->base));
	if (err == LSM_OK && out->len > WAL_PAYLOAD_MAX_BYTES)
		err = LSM_ERR_TOO_BIG;
	return err;
}

/* Remove a file that nothing names. One that stays is only in the way. */
static void discard(struct env_dir *dir, const char *name)
{
	enum lsm_err err = env_unlink(dir, name);

	if (err != LSM_OK && err != LSM_ERR_NOT_FOUND)
		log_warning("%s: it is not needed, and stays", name);
}

/* Write the whole list `id`, sealed and synced; none is left on error. */
static enum lsm_err write_list_file(const struct manifest_place *place,
                                    struct file_id id, struct slice payload)
{
	struct file_header header = {
	    .kind = FILE_KIND_LIST,
	    .id = id,
	    .family = place->family,
	};
	struct wal_writer *writer = NULL;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	err = wal_writer_create(place->pool, &header, 0, UINT32_MAX, &writer);
	if (err != LSM_OK)
		return err;
	err = wal_writer_append(writer, &payload, 1);
	if (err == LSM_OK)
		err = wal_writer_seal(writer);
	if (err == LSM_OK)
		err = wal_writer_sync(writer);
	wal_writer_destroy(writer);
	if (err != LSM_OK) {
		file_name_format(FILE_KIND_LIST, id, name);
		discard(place->pool, name);
	}
	return err;
}

enum lsm_err manifest_write_list(const struct manifest_place *place,
                                 struct file_id id,
                                 struct manifest_state *state)
{
	struct buf payload = BUF_INIT;
	struct edit edit;
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	edit_init(&edit);
	err = manifest_state_add_tables(state, &edit);
	if (err == LSM_OK)
		err = encode_edit(&edit, &payload);
	if (err != LSM_OK)
		goto out;
	err = write_list_file(place, id, buf_slice(&payload));
	if (err != LSM_OK)
		goto out;
	err = manifest_state_set_list(state, id);
	if (err != LSM_OK) {
		file_name_format(FILE_KIND_LIST, id, name);
		discard(place->pool, name);
	}
out:
	edit_release(&edit);
	buf_release(&payload);
	return err;
}

/* Begin manifest `number` with the state, not synced; none is left on error. */
static enum lsm_err write_first(const struct manifest_place *place,
                                const struct manifest_state *state,
                                uint64_t number, struct wal_writer **writer_out)
{
	struct file_header header = {
	    .kind = FILE_KIND_MANIFEST,
	    .id = {.creator = state->branch.id, .number = number},
	    .family = place->family,
	};
	struct buf branch = BUF_INIT, whole = BUF_INIT, base = BUF_INIT;
	struct wal_writer *writer = NULL;
	struct slice payloads[3];
	char name[FILE_NAME_MAX_BYTES];
	struct edit edit;
	enum lsm_err err;

	*writer_out = NULL;
	manifest_name_format(number, name);
	err = manifest_state_diff(state, &edit);
	if (err == LSM_OK)
		err = encode_branch(state, &branch);
	if (err == LSM_OK)
		err = encode_edit(&edit, &whole);
	if (err == LSM_OK)
		err = encode_base(state, &base);
	if (err == LSM_OK)
		err =
		    wal_writer_create(place->dir, &header, MANIFEST_STEP_BYTES,
		                      UINT32_MAX, &writer);
	if (err != LSM_OK)
		goto out;
	payloads[0] = buf_slice(&branch);
	payloads[1] = buf_slice(&whole);
	payloads[2] = buf_slice(&base);
	err = wal_writer_append(writer, payloads, base.len > 0 ? 3 : 2);
	if (err != LSM_OK) {
		wal_writer_destroy(writer);
		discard(place->dir, name);
		goto out;
	}
	*writer_out = writer;
out:
	edit_release(&edit);
	buf_release(&branch);
	buf_release(&whole);
	buf_release(&base);
	return err;
}

static void current_line(uint64_t number, char out[FILE_NAME_MAX_BYTES + 1])
{
	manifest_name_format(number, out);
	strcat(out, "\n");
}

/* Whether CURRENT is `line`. Errors: those of env. */
static enum lsm_err current_is(struct env_dir *dir, struct slice line,
                               bool *is_out)
{
	struct buf found = BUF_INIT;
	enum lsm_err err;

	err = env_read_file(dir, MANIFEST_CURRENT, MANIFEST_CURRENT_MAX_BYTES,
	                    &found);
	*is_out = err == LSM_OK && slice_equal(buf_slice(&found), line);
	buf_release(&found);
	return err == LSM_ERR_NOT_FOUND ? LSM_OK : err;
}

/*
 * Have CURRENT name manifest `number`, or remove that manifest. The folder is
 * synced twice: here, so that the manifest's name is durable before the new
 * CURRENT can be (both are in one folder, and a power cut may keep a later
 * change of it and lose an earlier), and by env_publish() after the rename.
 * When only the latter failed, either CURRENT may be found after a power cut:
 * that is IO, whatever the reason, and both manifests stay.
 */
static enum lsm_err make_current(struct env_dir *dir, struct wal_writer *writer,
                                 uint64_t number)
{
	char name[FILE_NAME_MAX_BYTES], line[FILE_NAME_MAX_BYTES + 1];
	bool is_new = false;
	enum lsm_err err;

	manifest_name_format(number, name);
	current_line(number, line);
	err = wal_writer_sync(writer);
	if (err == LSM_OK)
		err = env_dir_sync(dir);
	if (err == LSM_OK) {
		err = env_publish(dir, MANIFEST_CURRENT, slice_str(line));
		if (err == LSM_OK)
			return LSM_OK;
		if (current_is(dir, slice_str(line), &is_new) != LSM_OK ||
		    is_new)
			return LSM_ERR_IO;
	}
	discard(dir, name);
	return err;
}

/* The numbers of the manifests in the folder, and one above all of them. */
static enum lsm_err find_numbers(const struct manifest_place *place,
                                 const struct manifest_state *state,
                                 struct buf *numbers, uint64_t *next_out)
{
	uint64_t largest = state->manifest_number;
	enum lsm_err err;

	err = env_dir_list(place->dir, collect_number, numbers);
	if (err != LSM_OK)
		return err;
	for (size_t at = 0; at < numbers->len; at += sizeof(uint64_t))
		if (get_u64(numbers->data + at) > largest)
			largest = get_u64(numbers->data + at);
	if (largest == UINT64_MAX) {
		log_error("MANIFEST-%" PRIu64 ": no number is left above it",
		          largest);
		return LSM_ERR_CORRUPT;
	}
	*next_out = largest + 1;
	return LSM_OK;
}

enum lsm_err manifest_publish(const struct manifest_place *place,
                              struct manifest_state *state,
                              struct manifest **manifest_out)
{
	struct manifest *manifest;
	struct buf numbers = BUF_INIT; /* of manifests to be removed */
	char name[FILE_NAME_MAX_BYTES];
	uint64_t number;
	enum lsm_err err;

	*manifest_out = NULL;
	manifest = calloc(1, sizeof(*manifest));
	if (manifest == NULL)
		return LSM_ERR_NOMEM;
	err = find_numbers(place, state, &numbers, &number);
	if (err != LSM_OK)
		goto out;
	err = write_first(place, state, number, &manifest->writer);
	if (err != LSM_OK)
		goto out;
	manifest->published_bytes = wal_writer_size(manifest->writer);
	err = make_current(place->dir, manifest->writer, number);
	if (err != LSM_OK)
		goto out;

	state->manifest_number = number;
	*manifest_out = manifest;
	manifest = NULL;
	for (size_t at = 0; at < numbers.len; at += sizeof(uint64_t)) {
		manifest_name_format(get_u64(numbers.data + at), name);
		discard(place->dir, name);
	}
out:
	manifest_close(manifest);
	buf_release(&numbers);
	return err;
}

enum lsm_err manifest_lay_out(const struct manifest_place *place,
                              struct manifest_state *state)
{
	char line[FILE_NAME_MAX_BYTES + 1];
	struct wal_writer *writer = NULL;
	enum lsm_err err;

	err = write_first(place, state, MANIFEST_FIRST_NUMBER, &writer);
	if (err != LSM_OK)
		return err;
	wal_writer_destroy(writer);
	current_line(MANIFEST_FIRST_NUMBER, line);
	state->manifest_number = MANIFEST_FIRST_NUMBER;
	return env_write_file(place->dir, MANIFEST_CURRENT, slice_str(line),
	                      false);
}

enum lsm_err manifest_sync(struct env_dir *dir, uint64_t number)
{
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	manifest_name_format(number, name);
	err = env_sync_file(dir, name);
	if (err == LSM_OK)
		err = env_sync_file(dir, MANIFEST_CURRENT);
	if (err == LSM_OK)
		err = env_dir_sync(dir);
	return err;
}

enum lsm_err manifest_sync_laid_out(const struct manifest_place *place)
{
	return manifest_sync(place->dir, MANIFEST_FIRST_NUMBER);
}

void manifest_close(struct manifest *manifest)
{
	if (manifest == NULL)
		return;
	wal_writer_destroy(manifest->writer);
	free(manifest);
}

/* A precaution, no part of what was promised: the edit is durable without it. A
   disk that refuses it refuses the next edit too. */
static void append_mark(struct manifest *manifest)
{
	static const uint8_t tag = MANIFEST_TAG_MARK;
	struct slice mark = slice_make(&tag, 1);
	enum lsm_err err = wal_writer_append(manifest->writer, &mark, 1);

	/* Without memory nothing was written; else the writer's error sticks. */
	if (err != LSM_OK && err != LSM_ERR_NOMEM)
		manifest->broken = true;
}

void manifest_settle(struct manifest *manifest)
{
	append_mark(manifest);
}

enum lsm_err manifest_reserve(struct manifest *manifest,
                              const struct edit *edit)
{
	struct buf bytes = BUF_INIT;
	enum lsm_err err = encode_edit(edit, &bytes);

	if (err == LSM_OK && manifest->broken)
		err = LSM_ERR_POISONED;
	if (err == LSM_OK) /* the edit, and the mark behind it */
		err = wal_writer_reserve(manifest->writer,
		                         wal_record_bytes(bytes.len) +
		                             wal_record_bytes(1));
	buf_release(&bytes);
	return err;
}

enum lsm_err manifest_append(struct manifest *manifest, const struct edit *edit)
{
	struct buf bytes = BUF_INIT;
	struct slice payload;
	enum lsm_err err;

	err = encode_edit(edit, &bytes);
	if (err != LSM_OK)
		goto out;
	payload = buf_slice(&bytes);
	err = wal_writer_append(manifest->writer, &payload, 1);
	if (err == LSM_OK)
		err = wal_writer_sync(manifest->writer);
	if (err == LSM_OK)
		append_mark(manifest);
out:
	buf_release(&bytes);
	return err;
}

uint64_t manifest_bytes(const struct manifest *manifest)
{
	return wal_writer_size(manifest->writer) - manifest->published_bytes;
}
