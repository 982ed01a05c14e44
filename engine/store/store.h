/* SPDX-License-Identifier: MIT */
/*
 * store.h: the private struct of an open branch of a store, and what its files call of
 * each other.
 *
 * Life of a write: lsm_admit() takes credit; lsm_write() joins the commit
 * queue; its leader prepares the entries of the group in the memtable, appends
 * the group to the log at once, hands the lead on, links the entries, and
 * publishes the last sequence number in its turn. A full memtable is sealed with its log into a generation,
 * which the flush worker turns into a table, oldest first.
 *
 * Leadership: whoever is at the head of the commit queue owns the active
 * generation and last_seq until it hands the lead on. It is not a mutex: the leader does
 * I/O, and takes the locks below as it needs them.
 *
 * What a reader sees is a view: the active memtable, the sealed ones, and a
 * version of the tables; immutable, counted, replaced under tree_mu.
 *
 * Locks, outermost first: fork_mu, compact_mu, queue.mu, sync_queue.mu,
 * manifest_mu, tree_mu. docs/locking.md says why.
 */
#ifndef LSM_STORE_STORE_H
#define LSM_STORE_STORE_H

#include <stdatomic.h>

#include "base/log.h"
#include "compact/collect.h"
#include "compact/job.h"
#include "mem/memtable.h"
#include "seg/active_segment.h"
#include "store/commit_queue.h"
#include "store/home.h"
#include "store/slow.h"
#include "store/sync_queue.h"
#include "wal/wal_writer.h"

enum {
	STORE_SYNC_BYTES = 4 << 20, /* unsynced: do not wait for the period */
	STORE_NUMBER_STEP = 256,    /* file numbers reserved at a time */
	STORE_MANIFEST_ROLL_BYTES = 64 << 10,
	STORE_LIST_ENTRY_BYTES = 128, /* about what a list takes for a table */
	STORE_FORK_CHANGES = 32, /* of the base list, that a fork repeats */
	STORE_HOLD_MS = 100, /* a held flush is looked at again */
	STORE_VIEW_SLOTS = 32,
	STORE_RETRY_MIN_MS = 50,
	STORE_RETRY_MAX_MS = 5000,
};

/*
 * A memtable and the log that holds the same batches. Counted: by the store
 * while it is active or waits for its flush, and by each view, sync or fork that
 * uses it.
 */
struct generation {
	atomic_uint refs;
	struct pool *pool;      /* constant; not owned */
	struct memtable *mem;   /* constant */
	struct wal_writer *log; /* set once, under tree_mu, by the leader; NULL
	                            until the first write */
	_Atomic(struct active_segment *) segment; /* of the log's id; set once,
	                                             by the leader; NULL: none */
	bool segment_refused; /* leader: none could be made */
	bool shared; /* constant: another branch's; its log is not ours */
	struct file_id log_id;          /* constant once sealed */
	uint64_t log_bytes;             /* constant once sealed: whole, or 0 */
	uint64_t last_seq;              /* constant once sealed */
	int64_t counters[LSM_COUNTERS]; /* constant once sealed */
	bool spare_asked;               /* leader */
	uint64_t sync_asked_bytes; /* leader: of the log, at the last time */
	struct generation *newer;  /* tree_mu: the queue of sealed ones */
};

struct view {
	atomic_uint refs;
	struct generation *active;
	struct version *version;
	size_t sealed_count, sealed_cap;
	struct generation *sealed[]; /* oldest first */
};

/* Where threads that read leave the view for the next read; view.c says how. */
struct view_slot {
	atomic_uintptr_t word;
	char apart[64 - sizeof(atomic_uintptr_t)]; /* no shared cache line */
};

/* One open branch of a store. */
struct lsm {
	/* Constant after open. */
	struct home *home; /* a reference */
	struct branch *branch;
	struct retired *retired; /* memory for the end of `credit` */
	const struct env *env;   /* the home's, as are the next four */
	struct lsm_runtime *runtime;
	struct table_source source;
	struct segment_source segments;
	struct pool *pool;
	const char *path; /* for log lines */
	char *label;      /* path, where it is not the home's; NULL otherwise */
	struct lsm_options given;   /* as they were given */
	struct lsm_options options; /* with defaults */
	struct env_dir *branch_dir;
	struct credit_account *credit;
	size_t max_block_bytes; /* of a memtable's arena */
	struct manifest_place place;

	/* Atomics. */
	_Atomic(enum lsm_err) failed;  /* LSM_OK, or why nothing is written any
	                                 more; set once */
	atomic_uint_least64_t horizon; /* of state; stored before a job drops
	                                  anything that is behind it */
	atomic_bool stop;                 /* jobs give up */
	atomic_bool l0_waits; /* for a compaction; counted in the runtime */
	atomic_uint manual;   /* lsm_compact() runs: it also does what the job
	                         would, which keeps away */
	atomic_bool reclaim;  /* lsm_reclaim(): do not wait for the period */
	atomic_uint_least64_t reclaim_wanted; /* sequence number asked for */
	atomic_uint_least64_t reclaimed;      /* and up to which it is done */
	atomic_uint_least64_t held_bytes;     /* lsm_set_held() */
	atomic_bool tidy;     /* since lsm_compact(): the period empties segments
	                         as that does, which others may have held */
	atomic_bool places; /* the spare log is to have a segment */
	atomic_uint_least64_t flush_count, flush_bytes;     /* figures */
	atomic_uint_least64_t compact_count, compact_bytes; /* figures */
	atomic_uint_least64_t segment_bytes_written;        /* figure */
	atomic_uint_least64_t large_since_sync; /* relaxed: bytes of large values
	                                           since the last lsm_sync() */

	struct {
		atomic_uint_least64_t count, ns;
	} stalls[LSM_STALLS]; /* figures; not the budget's */

	struct slow slow; /* own synchronization */
	struct view_slot view_slots[STORE_VIEW_SLOTS]; /* view.c */

	struct sync_mutex damage_mu; /* a leaf */
	struct segment_uses damaged; /* guarded by it: with a frame that cannot
	                                be read, and so not emptied */

	struct sync_mutex fork_mu; /* one export at a time */

	uint64_t reclaim_sealed; /* the compaction job's: sealed up to here */

	struct sync_mutex compact_mu; /* one compaction at a time */
	/* Guarded by compact_mu. */
	struct buf cursor[LSM_LEVELS];

	/* Atomics that each writer stores. */
	char apart_writers[SYNC_APART_BYTES];
	atomic_uint_least64_t space_asked_ns; /* when space_left was set */
	atomic_int_least64_t space_left; /* bytes that may yet be admitted; both
	                                    relaxed: asked for anew when low */

	struct commit_queue queue; /* own synchronization */

	/* Atomics that the leader stores. */
	atomic_uint_least64_t visible_seq; /* release, by the leader once the
	                                      entries are linked */
	atomic_int_least64_t counters[LSM_COUNTERS]; /* stored by the leader */
	atomic_uint_least64_t last_write; /* relaxed: by runtime_touch() */
	atomic_bool sync_armed; /* sync_job is queued for what was written */

	/* The leader's. */
	uint64_t last_seq;
	struct generation *active; /* the same as view->active */
	char apart_leader[SYNC_APART_BYTES];

	struct sync_queue sync_queue;

	struct sync_mutex manifest_mu;
	/* Guarded by manifest_mu. */
	struct manifest *manifest; /* NULL: begun with the first edit */
	bool manifest_lost;        /* its fate is unknown: no edit any more */
	struct manifest_state state;
	uint64_t next_number;
	struct wal_writer *spare; /* the next log, named in the manifest */
	struct active_segment *spare_segment; /* beside it; NULL: none */

	struct sync_mutex tree_mu;
	struct sync_cond changed; /* a flush ended */
	/* Guarded by tree_mu. */
	struct view *view;
	struct generation *oldest_sealed, *newest_sealed;
	struct file_id landing; /* log that is being flushed, until its tables
	                           have landed in other branches too */
	struct lsm_snapshot *snapshots, *last_snapshot; /* ascending */
	uint64_t flush_tries;   /* begun; one at a time */
	enum lsm_err flush_err; /* of the last that ended */
	uint64_t flush_err_try; /* which one that was */

	/* Each its own job's. */
	uint32_t flush_retry_ms, compact_retry_ms;
	uint64_t period_seq; /* visible_seq at the last period */
	bool quiet;          /* it was the same a period before */
	uint64_t period_due_ns;
	struct worker_job flush_job, compact_job, sync_job, spare_job;

	/* Guarded by runtime->mu. */
	struct lsm *older, *newer;
	unsigned pins;
};

/* The store that a job is embedded in, as `member`. */
#define STORE_OF_JOB(job, member)                                              \
	((struct lsm *)(void *)((char *)(job)-offsetof(struct lsm, member)))

/* A sequence number that jobs keep the state of: of a snapshot, or of an open
   iterator. Guarded by tree_mu, but for seq, which is constant. */
struct lsm_snapshot {
	uint64_t seq;
	struct lsm_snapshot *newer, *older;
	struct lsm_iter *iter; /* NULL: a snapshot */
};

/* ---- open.c ----------------------------------------------------------------- */

/* Stop writing for ever: the first call decides why, and logs `what`. */
void store_fail(struct lsm *store, enum lsm_err err, const char *what);

/* Why nothing may be written: READ_ONLY, POISONED, CLOSED; or LSM_OK. */
enum lsm_err store_writable(struct lsm *store);

/* Count one who waited for `cause` since `since_ns`. */
void store_stalled(struct lsm *store, enum lsm_stall cause, uint64_t since_ns);

/* Bytes of a filesystem of `total_bytes` that growing writes may not use, so
   that flushes, compactions and deletions can. */
uint64_t store_reserve_bytes(const struct lsm *store, uint64_t total_bytes);

/* Split `path` into its parent folder, opened, and its last component (borrowed
   from path). Errors: INVALID, NOT_FOUND; logged. */
LSM_MUST_CHECK enum lsm_err store_open_parent(const struct env *env,
                                              const char *path,
                                              struct env_dir **parent_out,
                                              const char **name_out);

/*
 * Open the branch, which the caller has in the state OPENING and which leaves it;
 * the reference to the home is taken over. Both also on failure.
 */
LSM_MUST_CHECK enum lsm_err store_open_branch(struct home *home,
                                              struct branch *branch,
                                              const struct lsm_options *options,
                                              bool first,
                                              struct lsm **store_out);

/* ---- create.c ---------------------------------------------------------------- */

/*
 * Lay out a store in the folder `dir`, which is empty but for its lock, which the
 * caller holds: its pool, the one branch that `state` describes, and the superblock,
 * which makes it a store.
 *
 * Without `fill` the folder may have its final name already: all else is durable
 * before the superblock appears. With `fill`, which is handed the pool to put
 * files there, the folder has a temporary name, and when it is renamed is what
 * counts: so everything is written first and synced together. ext4 then commits
 * its journal once or twice, not for each file.
 */
LSM_MUST_CHECK enum lsm_err
store_lay_out(struct env_dir *dir, const struct superblock *sb,
              struct manifest_state *state,
              enum lsm_err (*fill)(void *ctx, struct env_dir *pool), void *ctx);

/* ---- land.c -------------------------------------------------------------------- */

/* The sealed generation that the log belongs to, in a branch that `branch` may
   share it with; with a reference, NULL where there is none. */
struct generation *home_find_sealed(struct home *home,
                                    const struct branch *branch,
                                    struct file_id log);

/* A shared generation was flushed, and has left the queue: let go of its log. The
   caller has the branch in a state of its own. */
void store_landed(struct lsm *store, struct file_id log);

/* Whether the oldest sealed generation will be flushed by another branch. */
bool store_awaits_landing(struct lsm *store);

/* ---- recover.c ----------------------------------------------------------------- */

/*
 * Read the branch, replay its logs, and stand ready: state, view, sequence. Of
 * logs whose memtables other open branches still have, the memtable is shared.
 * `first`: nothing of the store was open before; what was read is made durable
 * and the pool is swept. Writes nothing when the home is read-only.
 */
LSM_MUST_CHECK enum lsm_err store_recover(struct lsm *store, bool first);

/* ---- view.c -------------------------------------------------------------------- */

/* Empty, without a log, with one reference. `credit` NULL: not charged.
   Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err generation_create(struct lsm *store,
                                              struct credit_account *credit,
                                              struct generation **gen_out);
/* A generation of its own with the memtable of another branch's sealed one.
   Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err generation_share(struct generation *of,
                                             struct generation **gen_out);
void generation_ref(struct generation *gen);
void generation_unref(struct generation *gen); /* NULL is allowed */
/* Make its log durable, and before that the frames that the log leads to.
   Errors: sticky. */
LSM_MUST_CHECK enum lsm_err generation_sync(struct generation *gen);

/* Room for `cap` sealed generations, otherwise empty. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err view_alloc(size_t cap, struct view **view_out);
void view_unref(struct view *view); /* NULL is allowed */

/* The present view, and (NULL allowed) the sequence to read it at. The second
   is for one read: cheaper, and given back by the same thread to the store. */
struct view *view_get(struct lsm *store, uint64_t *seq_out);
struct view *view_borrow(struct lsm *store, uint64_t *seq_out);
void view_return(struct lsm *store, struct view *view);

/* Take what returned views the slots hold. Needs tree_mu, or nobody else that
   uses the store; and a reference to the present view. */
void view_clear_slots(struct lsm *store);

/*
 * Replace the view by one of `active` (NULL: as before), the queue of sealed
 * generations and `version` (NULL: as before), using the memory of `fresh`, which
 * has room. Returns the old one, to be unreffed without the lock.
 * Needs tree_mu.
 */
struct view *view_replace(struct lsm *store, struct view *fresh,
                          struct generation *active, struct version *version);

/* ---- read.c ------------------------------------------------------------------- */

/* The value of `key` as of `seq`, of which nothing that the view shows was
   reduced away. Errors: as lsm_get(). */
LSM_MUST_CHECK enum lsm_err store_get_at(struct lsm *store,
                                         const struct view *view, uint64_t seq,
                                         struct slice key, struct buf *value);

/* Hold snap->seq behind `older` of the list; NULL: as its last. Both need
   tree_mu. */
void snapshot_link(struct lsm *store, struct lsm_snapshot *snap,
                   struct lsm_snapshot *older);
void snapshot_unlink(struct lsm *store, struct lsm_snapshot *snap);

/* Whether a reader of the view needs to look for range tombstones; visit the
   versions of `prefix` with sequence <= seq in all that hold some, newest first.
   Errors: those of table_get(). */
bool view_has_ranges(const struct lsm *store, const struct view *view);
LSM_MUST_CHECK enum lsm_err view_ranges(struct lsm *store,
                                        const struct view *view,
                                        struct slice prefix, uint64_t seq,
                                        key_visit_fn visit, void *ctx);

/* ---- iterate.c ---------------------------------------------------------------- */

/* Take the old views away from all iterators, so that what only they use is
   freed. Call it after replacing the view; takes tree_mu. */
void store_refresh_iterators(struct lsm *store);

/* ---- write.c: the commit queue ---------------------------------------------- */

/* Wait for the lead, without a batch; then give it up. */
void store_lead(struct lsm *store, struct commit *place);
void store_unlead(struct lsm *store, struct commit *place);

/* ---- log.c ----------------------------------------------------------------------- */

/* Give the active generation its log, and with it a segment if the log was made with
   one, as it is now if `places`. Needs the lead. Errors: NOSPACE, those of env and
   manifest. */
LSM_MUST_CHECK enum lsm_err store_take_log(struct lsm *store, bool places);

/* Close the active generation for writing and queue its flush; nothing when it
   is empty. Needs the lead. Errors: NOMEM, POISONED. */
LSM_MUST_CHECK enum lsm_err store_seal(struct lsm *store);

/* The same, taking the lead, while no batch has frames in the active segment that
   are not logged. */
LSM_MUST_CHECK enum lsm_err store_lead_and_seal(struct lsm *store);

/* The same for a store that takes no writes any more. */
LSM_MUST_CHECK enum lsm_err store_lead_and_seal_last(struct lsm *store);

/* The same, but only the generation that `segment` is the segment of. *sealed_out:
   whether another one is active now. */
LSM_MUST_CHECK enum lsm_err
store_lead_and_seal_segment(struct lsm *store, struct active_segment *segment,
                            bool *sealed_out);

/* ---- admit.c --------------------------------------------------------------------- */

/* A batch that was admitted with so much credit is written: take what it still has to
   take of the rate that writers are slowed down to. */
void store_charge(struct lsm *store, uint64_t credit,
                  const struct lsm_batch *batch);

/* So much of what was admitted will not be written. */
void store_give_space(struct lsm *store, uint64_t bytes);

/* ---- direct.c -------------------------------------------------------------------- */

/* What became of a batch whose large values were placed. */
struct placement {
	struct lsm_batch *batch; /* with pointers; NULL: it stays as it is */
	struct active_segment *segment; /* with a reservation; NULL: none */
};

/* A segment beside a log that the pool knows; the caller syncs the folder. NULL: none
   could be made, which is logged. */
struct active_segment *store_make_segment(struct lsm *store,
                                          struct file_id log);

/* As if it were long since a sync. */
void store_expect_no_sync(struct lsm *store);

/*
 * Write the large values of the batch into the segment of the active generation,
 * if they are enough, and make a batch with pointers in their place. That
 * generation stays active until the placement ends. Errors: NOMEM, POISONED, and
 * whatever keeps a segment from being made.
 */
LSM_MUST_CHECK enum lsm_err store_place(struct lsm *store,
                                        struct lsm_batch *batch,
                                        struct placement *placement);
void store_end_placement(struct placement *placement);

/*
 * Follow the pointers of a payload of the log `log`, and, with `inlined`, make it
 * the same batch with the values in their place; else only see that they are there.
 * Errors: LOST (one leads to no such frame; logged), CORRUPT (no batch), IO, NOMEM;
 * then *payload_out is the payload.
 */
LSM_MUST_CHECK enum lsm_err store_follow_log(struct lsm *store,
                                             struct file_id log,
                                             struct slice payload,
                                             struct lsm_batch *inlined,
                                             struct slice *payload_out);

void store_sync_run(struct worker_job *job);
void store_spare_run(struct worker_job *job);

/* ---- install.c ------------------------------------------------------------------ */

/* Begin a manifest that this process wrote, to be appended to; it also reserves
   file numbers. Needs manifest_mu. Errors: those of manifest_publish(). */
LSM_MUST_CHECK enum lsm_err store_begin_manifest(struct lsm *store);

/* A number for a new file, durably reserved. Needs manifest_mu. */
LSM_MUST_CHECK enum lsm_err store_new_number(struct lsm *store,
                                             uint64_t *number_out);

/* job_context's new_file and new_segment: number, and one user in the pool. Take
   manifest_mu. */
LSM_MUST_CHECK enum lsm_err store_new_table(void *ctx, struct file_id *id_out);
LSM_MUST_CHECK enum lsm_err store_new_segment(void *ctx,
                                              struct file_id *id_out);
void store_let_segment_go(void *ctx, struct file_id id);

/* Apply an edit that changes no table, durably. Needs manifest_mu. */
LSM_MUST_CHECK enum lsm_err store_log_edit(struct lsm *store,
                                           const struct edit *edit);

/*
 * Apply an edit durably and show its tables to readers; `flushed` (NULL allowed)
 * leaves the queue of sealed generations. Takes manifest_mu and tree_mu.
 * On error nothing changed, or the store has failed.
 */
LSM_MUST_CHECK enum lsm_err store_install(struct lsm *store,
                                          const struct edit *edit,
                                          struct generation *flushed);

/* Put a list under the manifest once forks would have to repeat more than a few
   changes. A failure is of no harm to the caller. Needs manifest_mu. */
void store_shorten_manifest(struct lsm *store);

/* ---- flush.c -------------------------------------------------------------------- */

void store_flush_run(struct worker_job *job);

/* Write a memtable as a table of L0 and add that to the edit; `segments` (NULL
   allowed) are those that its pointers lead to. The caller syncs the pool's folder. */
LSM_MUST_CHECK enum lsm_err
store_write_table(struct lsm *store, struct memtable *mem,
                  const struct segment_uses *segments, struct edit *edit);

/* A try to flush ended: wake who waits for it. */
void store_end_of_flush(struct lsm *store, enum lsm_err err);

/* Write the oldest sealed generation out, in the caller's thread; *more_out says
   whether there was one. For the flush worker, and for close. */
LSM_MUST_CHECK enum lsm_err store_flush_oldest(struct lsm *store,
                                               bool *more_out);

/* What jobs need; `snapshots` gets the sequence numbers held now, and is released
   by the caller. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err store_job_context(struct lsm *store,
                                              struct buf *snapshots,
                                              struct job_context *context);

/* ---- horizon.c ------------------------------------------------------------------ */

/* Whether what was visible at `seq` may be gone from the present view. Ask once
   the view is taken. */
static inline bool store_is_expired(const struct lsm *store, uint64_t seq)
{
	return seq < atomic_load(&store->horizon);
}

/* The oldest sequence that somebody holds who is not expired; `otherwise` when
   nobody does. Needs tree_mu. */
uint64_t store_oldest_held(const struct lsm *store, uint64_t otherwise);

/* ---- compaction.c --------------------------------------------------------------- */

/* What the store's tables are picked by, with no snapshot. */
void store_pick_options(const struct lsm *store, enum pick_why why,
                        struct pick_options *options);

void store_compact_run(struct worker_job *job);

/* Whether L0 has more than it is to have. */
bool store_l0_is_due(struct lsm *store);

/* What somebody is told of a row of compactions. */
struct compact_progress {
	const struct lsm_compaction *how;
	uint64_t up_to; /* nothing that is newer need be touched */
	uint64_t done, total;
};

/*
 * Do the most urgent compaction; *done_out says whether there was one. `cursor`
 * NULL: the store's own. `progress` NULL: nobody is told, nobody can cancel.
 * Errors: CANCELLED, those of job_compact() and store_install().
 */
LSM_MUST_CHECK enum lsm_err
store_compact_once(struct lsm *store, enum pick_why why, struct buf *cursor,
                   struct compact_progress *progress, bool *done_out);

/* A table was added to L0: if that makes a compaction urgent, have deeper ones
   yield to it. */
void store_note_l0(struct lsm *store);
/* Nobody is to yield to this store any more. */
void store_forget_l0(struct lsm *store);

/* ---- segments.c ----------------------------------------------------------------- */

/* Set *value to what the bytes of a pointer entry lead to; they may be *value's
   own. Errors: as segment_read(). */
LSM_MUST_CHECK enum lsm_err store_read_pointer(struct lsm *store,
                                               struct slice user,
                                               struct slice bytes,
                                               struct buf *value);

/* How the store folds. */
struct fold_fn store_fold_fn(struct lsm *store);

/* What a segment may grow to. */
uint64_t store_segment_bytes(struct lsm *store);

/* How many of them have a frame that a job could not read. */
size_t store_damaged_segments(struct lsm *store,
                              const struct segment_uses *known);

/* Tell a job what it has to know of segments. */
void store_segment_context(struct lsm *store, struct job_context *context);

/* Garbage of a segment at which it is emptied when everything is to be made small,
   or the disk is nearly full. */
enum { STORE_COLLECT_ALL_PERCENT = 10 };

/* Garbage in segments that are emptied then; without memory to find out, none. */
uint64_t store_reclaimable_bytes(struct lsm *store,
                                 const struct version *version);

/* The segments of a version, and those of them to be emptied. */
struct collection {
	struct segment_uses known, doomed, movable;
	uint64_t live_bytes, garbage_bytes; /* of all known */
};

void store_collection_init(struct collection *c);
void store_collection_release(struct collection *c);
/* Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err store_collection_make(struct lsm *store,
                                                  const struct version *version,
                                                  unsigned garbage_percent,
                                                  struct collection *c);

#endif
