/* SPDX-License-Identifier: MIT */
#include "tree/manifest_base.h"

static enum lsm_err encode(struct file_id list, const struct edit *edit,
                           struct buf *out)
{
	enum lsm_err err = append_u64(out, list.creator);

	if (err == LSM_OK)
		err = append_varint(out, list.number);
	if (err == LSM_OK)
		err = edit_encode(edit, out);
	return err;
}

enum lsm_err manifest_base_set(struct manifest_state *state)
{
	struct buf bytes = BUF_INIT;
	struct edit diff;
	enum lsm_err err = manifest_state_diff(state, &diff);

	if (err != LSM_OK)
		return err;
	diff.has_next_number = false;
	err = encode(state->list, &diff, &bytes);
	edit_release(&diff);
	if (err == LSM_OK)
		buf_swap(&bytes, &state->base);
	buf_release(&bytes);
	return err;
}

enum lsm_err manifest_base_decode(struct slice base, struct table_owner owner,
                                  void (*adopted)(void *ctx, struct file_id id),
                                  struct file_id *list_out, struct edit *edit)
{
	struct cursor c = cursor_make(base);

	list_out->creator = cursor_u64(&c);
	list_out->number = cursor_varint(&c);
	edit_init(edit);
	if (c.bad)
		return LSM_ERR_CORRUPT;
	return edit_decode(slice_make(c.p, cursor_left(&c)), owner, adopted,
	                   edit);
}

/* Take a log out of the edit's additions; false where it is not among them. */
static bool take_log(struct edit *edit, struct file_id id)
{
	struct log_ref *logs = edit->logs_added;

	for (size_t i = 0; i < edit->logs_added_count; i++) {
		if (!file_id_equal(logs[i].id, id))
			continue;
		edit->logs_added_count--;
		memmove(logs + i, logs + i + 1,
		        (edit->logs_added_count - i) * sizeof(*logs));
		return true;
	}
	return false;
}

/* Apply `edit` to the difference `diff` where it concerns it. */
static enum lsm_err change(struct edit *diff, const struct edit *edit,
                           bool *concerned_out)
{
	enum lsm_err err = LSM_OK;

	*concerned_out = false;
	for (size_t i = 0; i < edit->logs_removed_count; i++)
		if (take_log(diff, edit->logs_removed[i]))
			*concerned_out = true;
	if (!*concerned_out)
		return LSM_OK;
	for (size_t i = 0; err == LSM_OK && i < edit->added_count; i++)
		err = edit_add_table(diff, edit->added[i].level,
		                     edit->added[i].meta);
	if (edit->has_flushed) {
		diff->has_flushed = true;
		diff->flushed_seq = edit->flushed_seq;
		memcpy(diff->counters, edit->counters, sizeof(diff->counters));
	}
	return err;
}

enum lsm_err manifest_base_after(struct slice base, const struct edit *edit,
                                 struct buf *next)
{
	static const struct table_owner nobody = {.dropped = NULL};
	struct edit diff;
	struct file_id list;
	bool concerned;
	enum lsm_err err;

	err = manifest_base_decode(base, nobody, NULL, &list, &diff);
	if (err != LSM_OK)
		return err;
	err = change(&diff, edit, &concerned);
	if (err == LSM_OK)
		err =
		    concerned ? encode(list, &diff, next) : buf_set(next, base);
	edit_release(&diff);
	return err;
}
