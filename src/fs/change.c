/* SPDX-License-Identifier: MIT */
#include "fs/change.h"

#include <assert.h>
#include <errno.h>

static void return_credit(struct lsm_admission *admission)
{
	if (admission->store != NULL)
		lsm_admission_release(admission);
}

int change_begin(struct change *change, struct fs *fs, struct fs_op *op,
                 uint64_t credit_bytes, bool shrinking)
{
	enum lsm_err err = LSM_OK;

	*change = (struct change){.fs = fs, .now = fs_now()};
	if (op != NULL) {
		change->uid = op->uid;
		change->gid = op->gid;
		change->admission = op->admission;
		op->admission = (struct lsm_admission){0};
	}
	if (fs->read_only) {
		err = LSM_ERR_READ_ONLY;
		goto out;
	}
	if (change->admission.store == NULL ||
	    change->admission.bytes < credit_bytes) {
		return_credit(&change->admission);
		err = lsm_admit(fs->store, credit_bytes, shrinking,
		                &change->admission);
		if (err != LSM_OK)
			goto out;
	}
	change->credit_bytes = change->admission.bytes;
	err = lsm_batch_create(&change->batch);
out:
	if (err != LSM_OK)
		change_end(change);
	return fs_errno(err);
}

void change_note(struct change *change, enum lsm_err err)
{
	if (change->err == LSM_OK)
		change->err = err;
}

void change_put(struct change *change, const struct schema_key *key,
                struct slice value)
{
	change_note(change,
	            lsm_batch_put(change->batch, schema_slice(key), value));
}

void change_delete(struct change *change, const struct schema_key *key)
{
	change_note(change, lsm_batch_delete(change->batch, schema_slice(key)));
}

static struct slice behind_prefix(const struct schema_key *key)
{
	return slice_make(key->bytes + SCHEMA_CHUNK_PREFIX_BYTES,
	                  key->len - SCHEMA_CHUNK_PREFIX_BYTES);
}

void change_delete_chunks(struct change *change, uint64_t ino, uint64_t from,
                          uint64_t to)
{
	struct schema_key lower, upper;

	assert(from < to);
	schema_chunk_key(&lower, ino, from);
	schema_chunk_key(&upper, ino, to);
	change_note(change,
	            lsm_batch_delete_range(
			change->batch,
			slice_make(lower.bytes, SCHEMA_CHUNK_PREFIX_BYTES),
			behind_prefix(&lower), behind_prefix(&upper)));
}

void change_merge(struct change *change, const struct schema_key *key,
                  struct slice operand)
{
	change_note(change,
	            lsm_batch_merge(change->batch, schema_slice(key), operand));
}

int change_number(struct change *change, uint64_t dir, uint64_t *ino_out)
{
	assert(change->numbers == 0);
	return number_take(&change->fs->numbers, dir, ino_out,
	                   &change->numbers);
}

static uint64_t need(const struct change *change)
{
	return lsm_admission_bound(change->fs->store,
	                           lsm_batch_entries(change->batch),
	                           lsm_batch_bytes(change->batch));
}

bool change_fits(const struct change *change)
{
	return need(change) <= change->credit_bytes;
}

static void settle_numbers(struct change *change, bool written)
{
	if (change->numbers == 0)
		return;
	number_settle(&change->fs->numbers, change->numbers, written);
	change->numbers = 0;
}

int change_commit(struct change *change)
{
	enum lsm_err err = change->err;

	if (err != LSM_OK)
		return fs_errno(err);
	if (change->used_bytes != 0)
		lsm_batch_count(change->batch, SCHEMA_COUNT_USED_BYTES,
		                change->used_bytes);
	if (change->inodes != 0)
		lsm_batch_count(change->batch, SCHEMA_COUNT_INODES,
		                change->inodes);
	if (change->numbers != 0)
		lsm_batch_count(change->batch, SCHEMA_COUNT_NUMBERS,
		                (int64_t)change->numbers);
	err = lsm_write(change->fs->store, change->batch, &change->admission,
	                NULL);
	change->admission = (struct lsm_admission){0};
	settle_numbers(change, err == LSM_OK);
	if (err == LSM_OK && change->used_bytes < 0)
		space_freed(&change->fs->space, (uint64_t)-change->used_bytes);
	return fs_errno(err);
}

void change_end(struct change *change)
{
	settle_numbers(change, false);
	return_credit(&change->admission);
	change->admission = (struct lsm_admission){0};
	lsm_batch_destroy(change->batch);
	change->batch = NULL;
}

int change_refuse(struct fs_op *op, int err)
{
	if (op != NULL) {
		return_credit(&op->admission);
		op->admission = (struct lsm_admission){0};
	}
	return err;
}
