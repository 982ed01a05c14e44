/* SPDX-License-Identifier: MIT */
/*
 * values.h: where the values of one output table lie: in the table, or in
 * segments that are written beside it.
 *
 * A large value goes into the segment being written; a pointer passes as it is,
 * unless its segment is to be emptied: then its frame is copied, until the job
 * has copied as much as it may; the rest is left for the next. A segment is
 * written for one table, so that the table knows what it leads to when it is
 * finished; others come to share it as tables are merged.
 *
 * A segment that is being written is held at the owner. What no table came to
 * hold is garbage when it is let go of: so nothing is left to undo on failure.
 */
#ifndef LSM_COMPACT_VALUES_H
#define LSM_COMPACT_VALUES_H

#include "compact/job.h"
#include "seg/segment_writer.h"

struct values {
	const struct job_context *context;
	bool held; /* `id` is */
	struct file_id id;
	struct env_file *file;
	struct segment_writer *writer; /* NULL: no segment is being written */
	struct segment_uses written;   /* of this table: sealed, and held */
	struct buf key, bytes;         /* scratch */
	uint8_t pointer[POINTER_BYTES];
	uint64_t relocated_bytes; /* in the whole job */
	uint64_t untold_bytes;    /* of frames, not yet taken */
};

void values_init(struct values *values, const struct job_context *context);
/* Also lets go of what values_finish() sealed. */
void values_release(struct values *values);

/* Put the value of an entry where it belongs; *ikey and *value become those of
   the table's entry, borrowed until the next call. Errors: those of env, CORRUPT,
   NOMEM. */
LSM_MUST_CHECK enum lsm_err
values_place(struct values *values, struct slice *ikey, struct slice *value);

/* Bytes of frames written since the last call. */
uint64_t values_take_written(struct values *values);

/* The table ends: seal what is being written, durably, and tell the sizes of the
   segments that *uses names. Errors: those of env, CORRUPT, NOMEM. */
LSM_MUST_CHECK enum lsm_err values_finish(struct values *values,
                                          struct segment_uses *uses);

/* The table holds its segments, or failed to. */
void values_let_go(struct values *values);

#endif
