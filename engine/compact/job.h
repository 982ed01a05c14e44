/* SPDX-License-Identifier: MIT */
/*
 * job.h: write sorted streams into new tables: the work of a compaction and of a
 * flush.
 *
 * Outputs are cut where compact/cut.h says. Each is synced and sealed; the caller syncs the pool folder, then logs the edit. A job that
 * fails deletes what it wrote; its inputs are untouched.
 */
#ifndef LSM_COMPACT_JOB_H
#define LSM_COMPACT_JOB_H

#include "compact/pick.h"
#include "seg/segment.h"
#include "tree/edit.h"
#include "tree/reduce.h"

/*
 * How others steer a job while it runs, and watch it. Each may be NULL. Called
 * in the job's own thread, with no lock of the job held.
 */
struct job_control {
	/* Another so many bytes went into tables and segments: may wait, and may end the
	   job, which then fails with what is returned. */
	enum lsm_err (*step)(void *ctx, uint64_t bytes);
	/* Asked at each place where the job could end early: is it to? And
	   before each copy of a value: is it to be left where it is? */
	bool (*yield)(void *ctx);
	/* Syncing a table of so many bytes took so long. */
	void (*synced)(void *ctx, uint64_t bytes, uint64_t ns);
	void *ctx;
};

/* What the job is given by the store. Borrowed for the length of the job. */
struct job_context {
	const struct table_source *source;
	struct table_owner owner; /* of the metas it makes */
	/* A number for a new file, reserved durably; and the file is now known
	   to the owner, with one reference. Errors: as the manifest. */
	enum lsm_err (*new_file)(void *ctx, struct file_id *id_out);
	void *new_file_ctx;
	struct fold_fn fold;
	const uint64_t *snapshots; /* ascending */
	size_t snapshot_count;
	size_t range_prefix_bytes;
	uint64_t table_bytes; /* 0: one table whatever its size */
	uint32_t block_bytes;
	const atomic_bool *stop; /* looked at often: give up with CLOSED */
	struct job_control control;

	/* Values of so many bytes and more go to segments; 0: none does. */
	uint32_t segment_min_bytes;
	uint64_t
	    segment_bytes; /* a segment takes no more values from here on */
	const struct segment_source *segments;
	/* As new_file, for a segment, which the job holds until a table does. */
	enum lsm_err (*new_segment)(void *ctx, struct file_id *id_out);
	void (*segment_let_go)(void *ctx, struct file_id id);
	const struct segment_uses *segments_known; /* of the version: sizes */
	const struct segment_uses *doomed; /* to be emptied; NULL: none */
	uint64_t
	    relocate_bytes; /* so much is copied out of them, then no more */
	/* A frame in the segment cannot be copied. With new_file_ctx. */
	void (*segment_damaged)(void *ctx, struct file_id id);
	atomic_uint_least64_t *segment_bytes_written; /* NULL: not counted */
};

/*
 * Write what `stream` (taken over, also on failure) yields, already reduced, into
 * tables, appended to *edit as additions at `level`. `split` false makes one table
 * of it all (a flush). Errors: those of env, CORRUPT, CLOSED, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err job_write_tables(const struct job_context *context,
                                             struct iter *stream,
                                             unsigned level, bool split,
                                             struct edit *edit);

/*
 * Carry out the plan against `version` (the one it was picked from, which tells
 * what lies below): the edit removes the inputs and adds the outputs. A trivial
 * plan writes nothing.
 *
 * A plan that starts below L0 may end early (job_control's `yield`), at a place
 * between two tables of the output level and only where at least one of them is
 * done and one is left. The edit is whole then too: inputs that lie behind that
 * place stay, and of one that straddles it the rest becomes a table of its own
 * level. So an interruption costs one such rest, and each makes progress.
 */
LSM_MUST_CHECK enum lsm_err job_compact(const struct job_context *context,
                                        struct version *version,
                                        const struct compact_plan *plan,
                                        struct edit *edit);

#endif
