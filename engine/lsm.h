/* SPDX-License-Identifier: MIT */
/*
 * lsm.h: the public face of the engine, an ordered key-value store on an LSM
 * tree whose sealed files can be shared by forks.
 *
 * Keys are byte strings ordered by memcmp. A write is a batch, applied whole or
 * not at all; every batch gets one range of sequence numbers, and a reader sees
 * a prefix of the batches. A batch that returned has reached the log and thus
 * survives the death of the process; lsm_sync() makes it survive a power cut.
 *
 * Threads: every function may be called from any thread, except that a batch
 * and an iterator belong to one thread at a time, and that a _close or _destroy
 * needs its object to itself.
 * Memory: what a function hands out through an `_out` pointer is owned by the
 * caller, and is NULL or empty after an error. Slices are borrowed.
 * Errors: see LSM_ERRORS. Whoever meets a failure first logs it once, naming
 * file and reason; what is returned is the class of it.
 */
#ifndef LSM_H
#define LSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LSM_MUST_CHECK __attribute__((warn_unused_result))

/* X(name, errno the filesystem answers with, sentence for a log) */
#define LSM_ERRORS(X)                                                          \
	X(IO, EIO, "the system refused an I/O")                                \
	X(CORRUPT, EIO, "stored bytes are damaged")                            \
	X(LOST, EIO, "bytes that were synced are missing from the log")        \
	X(POISONED, EIO, "the store stopped writing after a failed write")     \
	X(NOMEM, ENOMEM, "out of memory or file descriptors")                  \
	X(TOO_BIG, EFBIG, "more than a fixed limit")                           \
	X(CLOSED, ESHUTDOWN, "the store is shutting down")                     \
	X(NOT_FOUND, ENOENT, "no such entry")                                  \
	X(EXISTS, EEXIST, "it exists already")                                 \
	X(INVALID, EINVAL, "invalid argument")                                 \
	X(NOSPACE, ENOSPC, "no space left on the disk")                        \
	X(READ_ONLY, EROFS, "the store is open read-only")                     \
	X(ACCESS, EACCES, "permission denied")                                 \
	X(BUSY, EBUSY, "the store is in use by another process")               \
	X(NOT_STORE, EINVAL, "not a shalefs store")                            \
	X(NEWER, EPROTONOSUPPORT, "written by a newer version")                \
	X(NO_LINK, EXDEV, "the file cannot be hard-linked there")              \
	X(NOT_SUPPORTED, EOPNOTSUPP, "not supported")                          \
	X(EXPIRED, ESTALE, "the snapshot lies behind the horizon")             \
	X(ZERO_HORIZON, EINVAL, "a horizon cannot be zero")                    \
	X(FUTURE_HORIZON, EINVAL, "no write has reached this horizon yet")     \
	X(OLD_HORIZON, EINVAL, "the recorded horizon is beyond this one")      \
	X(CANCELLED, ECANCELED, "cancelled")                                   \
	X(NOT_EMPTY, ENOTEMPTY, "the branch has branches of its own")

enum lsm_err {
	LSM_OK = 0,
#define X(name, sys, text) LSM_ERR_##name,
	LSM_ERRORS(X)
#undef X
};

/* Borrowed bytes; valid for as long as whoever lent them says. */
struct slice {
	const uint8_t *data;
	size_t len;
};

struct buf;          /* owned, growing bytes: base/buf.h */
struct env;          /* the operating system: io/env.h */
struct lsm_runtime;  /* what all stores of a process share */
struct lsm;          /* one open store */
struct lsm_batch;    /* changes to be applied together */
struct lsm_snapshot; /* a sequence number, held */
struct lsm_iter;     /* an ordered walk */

enum {
	LSM_KEY_MAX_BYTES = 1024,
	LSM_BRANCH_NAME_MAX_BYTES = 255,
	LSM_VALUE_MAX_BYTES = 4 << 20,
	LSM_BATCH_MAX_BYTES = 64 << 20, /* one batch, encoded */
	LSM_COUNTERS = 8,           /* opaque 64-bit counters of the owner */
	LSM_OWNER_AREA_BYTES = 256, /* opaque bytes in the superblock */
	LSM_LEVELS = 7,
};

/* The sentence of `err`, for a log line or a person. Never NULL. */
const char *lsm_strerror(enum lsm_err err);

/* The errno that src/fs answers with for `err`; 0 for LSM_OK. */
int lsm_errno(enum lsm_err err);

/* ---- runtime ---------------------------------------------------------- */

struct lsm_runtime_options {
	int64_t credit_bytes;        /* pool of unflushed bytes; <= 0: off */
	uint64_t cache_bytes;        /* hard limit of the block cache */
	unsigned compaction_threads; /* 0: one */
	uint32_t period_ms;          /* periodic compaction; 0: never */
	uint32_t sync_period_ms;     /* background log sync; 0: never */
	/* What the disk can write, bytes a second: compactions of deep levels
	   take what others leave of it, and 16 MiB at least. 0: measured */
	uint64_t device_rate;
};

/* Fill in the defaults: 64 MiB, 64 MiB, 1 thread, 10 s, 1 s, measured. */
void lsm_runtime_options_init(struct lsm_runtime_options *options);

/* Start the threads. Errors: NOMEM. End with lsm_runtime_destroy(). */
LSM_MUST_CHECK enum lsm_err
lsm_runtime_create(const struct lsm_runtime_options *options,
                   struct lsm_runtime **runtime_out);

/* Stop the threads; NULL is allowed. Every store must be closed. */
void lsm_runtime_destroy(struct lsm_runtime *runtime);

/* ---- store ------------------------------------------------------------ */

/*
 * Fold merge operands. `base` is the value under them, NULL where there is
 * none; `has_base` says whether what is under them is known at all.
 * `operands` are oldest first, `count` at least 1. When has_base, *value gets
 * the new value; otherwise one operand that stands for all of them.
 * `value` comes empty. Errors: CORRUPT when a value cannot be decoded, NOMEM.
 * Called from any thread, also concurrently; must not call the engine.
 */
typedef enum lsm_err (*lsm_fold_fn)(void *ctx, struct slice key, bool has_base,
                                    const struct slice *base,
                                    const struct slice *operands, size_t count,
                                    struct buf *value);

struct lsm_options {
	const struct env *env; /* NULL: the operating system */
	lsm_fold_fn fold;      /* NULL: merge is refused with INVALID */
	void *fold_ctx;
	const char *branch; /* to open; NULL: main. Borrowed for the call */
	bool read_only;     /* change nothing on disk */
	uint64_t memtable_bytes; /* seal at this size; 0: 3/8 of the credit,
	                               or 64 MiB when credit is off */
	uint32_t block_bytes;    /* uncompressed target; 0: 4 KiB */
	uint64_t table_bytes;    /* compaction output; 0: 32 MiB */
	uint64_t
	    level_base_bytes; /* largest size of the base level; 0: 256 MiB */
	uint32_t l0_trigger;  /* tables in L0 that start a compaction; 0: 4 */
	/* Writers are slowed down from so many tables in L0 on (UINT32_MAX:
	   never; 0: 3 triggers), and none is added from so many on (UINT32_MAX:
	   always; 0: 6 triggers). */
	uint32_t l0_slow, l0_stop;
	uint32_t log_step_bytes; /* first preallocation of a log, which grows
	                               with use; 0: 64 KiB */
	uint32_t log_map_after;  /* commits after a sync that are written before
	                               the log is mapped, and stored to without a
	                               system call; UINT32_MAX: it never is;
	                               0: 32 */
	size_t range_prefix_bytes; /* of a key: what ranges lie within, see
	                               lsm_batch_delete_range(). 0: there are
	                               none. Where there are, opening with
	                               another length is INVALID */
	uint32_t segment_min_bytes; /* values from here on are kept apart from
	                               the keys; 0: none is, and those that are
	                               stay where they are */
	uint32_t direct_min_bytes; /* a batch with so many bytes of such values
	                              writes them there at once, and not to the
	                              log; 0: none does */
	uint32_t nospace_wait_ms;  /* a growing write waits so long for reclaim
	                               on a full disk; 0: 5,000 */
};

void lsm_options_init(struct lsm_options *options);

/*
 * Create an empty store in the folder `path`, which must not exist or be an
 * empty folder. `owner_area` (at most LSM_OWNER_AREA_BYTES) is kept for
 * lsm_owner_area(). The store is published whole or not at all.
 * Errors: EXISTS, BUSY (another makes one there), TOO_BIG, ACCESS, NOSPACE, IO,
 * NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_create(const struct env *env, const char *path,
                                       struct slice owner_area);

/*
 * Lock, recover and open a branch of the store at `path`, main unless the options
 * name another. It is BUSY while any branch of it is open: see lsm_branch_open().
 * Errors: NOT_FOUND (the branch), INVALID (range_prefix_bytes), NOT_STORE, NEWER,
 * CORRUPT, LOST, BUSY, ACCESS, READ_ONLY, NOSPACE,
 * IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_open(struct lsm_runtime *runtime,
                                     const char *path,
                                     const struct lsm_options *options,
                                     struct lsm **store_out);

/*
 * Flush, sync, release the lock, free. The store is closed and freed whatever
 * is returned; NULL is allowed. Wakes every waiting writer with CLOSED.
 * Errors: what kept the last bytes from the disk; they are in the log then, if
 * the log could be written.
 */
enum lsm_err lsm_close(struct lsm *store);

/* The bytes given to lsm_create(); borrowed until close. */
struct slice lsm_owner_area(const struct lsm *store);

/* The absolute value of counter `index` (below LSM_COUNTERS) now. */
int64_t lsm_counter(struct lsm *store, unsigned index);

/* ---- credit: before any lock of the caller is taken ------------------- */

/*
 * Credit taken ahead for one batch. Zeroed means none. Give it to lsm_write(),
 * which spends or returns it whatever happens, or to lsm_admission_release().
 */
struct lsm_admission {
	struct lsm *store;
	uint64_t bytes;
};

/* The most credit that a batch of `entries` entries with together `bytes`
   bytes of keys and values can need. */
uint64_t lsm_admission_bound(const struct lsm *store, size_t entries,
                             size_t bytes);

/*
 * Take credit for lsm_admission_bound() bytes, waiting first come first served
 * until they are free, and on a full disk up to nospace_wait_ms for flushes to
 * make room; up to 20 ms more while compaction is behind. Call with no lock held. A batch of deletions sets
 * `shrinking`: it is admitted on a full disk.
 * Errors: CLOSED, POISONED, READ_ONLY, NOSPACE.
 */
LSM_MUST_CHECK enum lsm_err lsm_admit(struct lsm *store, uint64_t bytes,
                                      bool shrinking,
                                      struct lsm_admission *admission_out);

/* Take credit if lsm_admit() would not wait for anything; otherwise false. */
bool lsm_try_admit(struct lsm *store, uint64_t bytes, bool shrinking,
                   struct lsm_admission *admission_out);

/*
 * As lsm_admit() without waiting: *granted_out says whether credit was free.
 * When it was not, `granted` is called later, once, from another thread, with
 * LSM_OK and the credit in *admission_out, or with an error; both pointers stay
 * in use until then. `granted` must not block and must not call the engine but
 * for lsm_admission_release(). NOSPACE comes at once: lsm_admit() would have
 * waited a while for flushes to make room.
 */
struct lsm_admit_request {
	void (*granted)(struct lsm_admit_request *request, enum lsm_err err);
	struct lsm_admission admission; /* valid once granted */
	uint64_t private_area[12];      /* the engine's, while waiting */
};
LSM_MUST_CHECK enum lsm_err lsm_admit_async(struct lsm *store, uint64_t bytes,
                                            bool shrinking,
                                            struct lsm_admit_request *request,
                                            bool *granted_out);

/* Return unspent credit and clear *admission. */
void lsm_admission_release(struct lsm_admission *admission);

/* ---- writing ---------------------------------------------------------- */

LSM_MUST_CHECK enum lsm_err lsm_batch_create(struct lsm_batch **batch_out);
void lsm_batch_destroy(struct lsm_batch *batch);
void lsm_batch_clear(struct lsm_batch *batch); /* keeps its memory */

/*
 * Add one change; key and value are copied. Later changes of a batch win over
 * earlier ones. Errors: TOO_BIG (limits above; the batch is unchanged), NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_batch_put(struct lsm_batch *batch,
                                          struct slice key, struct slice value);
LSM_MUST_CHECK enum lsm_err lsm_batch_delete(struct lsm_batch *batch,
                                             struct slice key);
LSM_MUST_CHECK enum lsm_err lsm_batch_merge(struct lsm_batch *batch,
                                            struct slice key,
                                            struct slice operand);

/*
 * Delete the keys that begin with `prefix`, of range_prefix_bytes bytes, and go
 * on with at least one byte more, in [lower, upper) (upper empty: no bound). It
 * costs as much as one small put, whatever it deletes; keys of exactly the
 * prefix and keys of other prefixes are left alone.
 * Errors: INVALID (no such range; a prefix of another length than one before),
 * TOO_BIG, NOMEM. lsm_write() refuses the batch (INVALID) when the length is not
 * the store's.
 */
LSM_MUST_CHECK enum lsm_err lsm_batch_delete_range(struct lsm_batch *batch,
                                                   struct slice prefix,
                                                   struct slice lower,
                                                   struct slice upper);

/* Add `delta` to counter `index` when the batch is applied. */
void lsm_batch_count(struct lsm_batch *batch, unsigned index, int64_t delta);

size_t lsm_batch_entries(const struct lsm_batch *batch);
size_t lsm_batch_bytes(const struct lsm_batch *batch); /* keys and values */

/*
 * Apply the batch. `admission` NULL makes the call take credit itself, which
 * may wait: then no lock may be held. An admission that is too small is an
 * error (INVALID) and is returned to the pool. On return the batch is in the
 * log and visible, or nothing of it ever will be. A batch without entries does
 * nothing, whatever its counters say. *seq_out (NULL allowed) gets the sequence
 * number of its last entry.
 * Errors: CLOSED, POISONED, READ_ONLY, NOSPACE, TOO_BIG, INVALID, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_write(struct lsm *store,
                                      struct lsm_batch *batch,
                                      struct lsm_admission *admission,
                                      uint64_t *seq_out);

/*
 * Make everything that was acknowledged before the call survive a power cut.
 * Concurrent callers share one fdatasync. Errors: POISONED, IO.
 */
LSM_MUST_CHECK enum lsm_err lsm_sync(struct lsm *store);

/* ---- reading ---------------------------------------------------------- */

/*
 * Hold the present state for reading. A snapshot expires once its sequence
 * number lies behind the horizon (lsm_compact()): from then on reads with it
 * give EXPIRED. An iterator holds what it reads like a snapshot, and expires
 * like one. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_snapshot_take(struct lsm *store,
                                              struct lsm_snapshot **snap_out);
void lsm_snapshot_release(struct lsm *store, struct lsm_snapshot *snap);

/* The last sequence number that is visible to readers. */
uint64_t lsm_sequence(struct lsm *store);

/*
 * Copy the value of `key` into *value (cleared first) as of `snap`, or as of
 * now when it is NULL. Errors: NOT_FOUND, EXPIRED, CORRUPT, IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_get(struct lsm *store,
                                    const struct lsm_snapshot *snap,
                                    struct slice key, struct buf *value);

/*
 * How many merge operands lie on top of `key` in the memtable being written;
 * what a writer looks at to fold early.
 */
size_t lsm_pending_merges(struct lsm *store, struct slice key);

/*
 * Walk the keys from `lower` (inclusive) to `upper` (exclusive; empty: no
 * bound) as of `snap` or now. The bounds are copied, and `snap` may be released
 * before the iterator. It stands nowhere at first: seek.
 *
 * It never blocks a writer, however long it lives: between two moves the store
 * may take back the memtables and files that it reads from, and the next move
 * opens those that have taken their place. What it shows stays the same.
 * Errors: EXPIRED, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_iter_create(struct lsm *store,
                                            const struct lsm_snapshot *snap,
                                            struct slice lower,
                                            struct slice upper,
                                            struct lsm_iter **iter_out);
void lsm_iter_destroy(struct lsm_iter *iter);

/* Go to the first key >= target, within the bounds. */
void lsm_iter_seek(struct lsm_iter *iter, struct slice target);
void lsm_iter_next(struct lsm_iter *iter); /* needs lsm_iter_valid() */

/* Go to the last key < target (not at it), within the bounds; to the last of
   all. Directions may be mixed; a turn costs a seek. */
void lsm_iter_seek_prev(struct lsm_iter *iter, struct slice target);
void lsm_iter_seek_last(struct lsm_iter *iter);
void lsm_iter_prev(struct lsm_iter *iter); /* needs lsm_iter_valid() */

/* False at the end and after an error; lsm_iter_status() tells which. */
bool lsm_iter_valid(const struct lsm_iter *iter);
LSM_MUST_CHECK enum lsm_err lsm_iter_status(const struct lsm_iter *iter);

/*
 * Borrowed until the next move. A large value is read by the first call of
 * lsm_iter_value() for it, so that a walk over keys reads none. When it cannot
 * be read, the slice is empty, the iterator no longer valid and a move to the
 * next or the previous key leaves it so, and lsm_iter_status() says why: ask it
 * before an empty value is believed.
 */
struct slice lsm_iter_key(const struct lsm_iter *iter);
struct slice lsm_iter_value(struct lsm_iter *iter);

/* ---- fork ------------------------------------------------------------- */

/*
 * A store has branches: trees of their own that share sealed files. Main is the
 * first. Each open branch is a struct lsm; all of a store share its lock, and the
 * last to be closed lets go of it. They are opened and closed in any order.
 */
struct lsm_branch_info {
	uint64_t id;
	uint64_t parent;     /* id; 0: none */
	uint64_t forked_at;  /* sequence of the parent */
	uint64_t created_ns; /* since 1970 */
	size_t children;     /* branches forked from it */
	bool read_only, open;
	bool damaged; /* it cannot be read: only id and name are known, and the
	                 name is the id, as 16 hex digits */
	char name[LSM_BRANCH_NAME_MAX_BYTES + 1];
};

/*
 * Fork: make a branch `name` (1 to LSM_BRANCH_NAME_MAX_BYTES bytes without '/',
 * not "." or "..") that holds everything acknowledged before the call, and return
 * once it is durable. Nothing is flushed or copied; reads and writes of `store`,
 * which may be any open branch, go on. It is not open yet. A crash leaves it
 * whole or not at all; so does an error. *info_out (NULL allowed) describes it.
 * Errors: INVALID (name), EXISTS, READ_ONLY (the store is), POISONED, CLOSED,
 * NOSPACE, ACCESS, IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_branch_create(struct lsm *store,
                                              const char *name, bool read_only,
                                              struct lsm_branch_info *info_out);

/*
 * Open the branch `name` of the store that `store` is a branch of, with the
 * runtime of that, and its options where `options` is NULL; of those given, `env`
 * and `branch` are not looked at. A read-only branch is opened as such. A branch
 * has one handle at a time. End it with lsm_close().
 * Errors: NOT_FOUND, BUSY (it is open), CORRUPT (it is damaged), those of lsm_open().
 */
LSM_MUST_CHECK enum lsm_err lsm_branch_open(struct lsm *store, const char *name,
                                            const struct lsm_options *options,
                                            struct lsm **branch_out);

/*
 * Delete the branch `name`; files that nothing else names go soon after. With
 * `recursive` all that were forked from it go too, the deepest first. An error
 * may leave some of those deleted. One that is damaged is named as it is listed; its
 * files go at the next open, if all others can be read.
 * Errors: NOT_FOUND, INVALID (main, or a damaged one that may be main or that can be
 * read by now), NOT_EMPTY, BUSY (it or one below it is
 * open), READ_ONLY, IO and others of the disk.
 */
LSM_MUST_CHECK enum lsm_err lsm_branch_delete(struct lsm *store,
                                              const char *name, bool recursive);

/* Describe one branch, or the one that `store` is (name NULL). Errors:
   NOT_FOUND. */
LSM_MUST_CHECK enum lsm_err lsm_branch_find(struct lsm *store, const char *name,
                                            struct lsm_branch_info *info_out);

/*
 * All branches by name, those that are damaged last; free(*list_out) is the caller's.
 * Where there were damaged ones at the open of the store, no file of it is deleted
 * until the next. Errors: NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_branch_list(struct lsm *store,
                                            struct lsm_branch_info **list_out,
                                            size_t *count_out);

struct lsm_fork_info {
	uint64_t sequence; /* the fork holds everything up to here */
	uint64_t files_linked;
	uint64_t files_reflinked;
	uint64_t files_copied;
	uint64_t bytes_flushed; /* memtable bytes written out: none */
};

/*
 * Make an independent store at `path` (which must not exist) that holds
 * everything acknowledged before the call. Reads and writes go on meanwhile.
 * Either the whole store appears under `path`, durable, or nothing.
 * Errors: EXISTS, NOT_FOUND (no parent folder), ACCESS, NOSPACE, POISONED,
 * CLOSED, IO, NOMEM.
 */
LSM_MUST_CHECK enum lsm_err lsm_export(struct lsm *store, const char *path,
                                       struct lsm_fork_info *info_out);

/* ---- upkeep ----------------------------------------------------------- */

/* Seal the memtable and wait until it is a table. Errors: as lsm_write(). */
LSM_MUST_CHECK enum lsm_err lsm_flush(struct lsm *store);

struct lsm_compaction {
	/* Told now and then, in a thread of the compaction's own while the
	   caller waits, how many bytes are done of those that there are to do,
	   as far as that is known: false cancels. Must not call the engine.
	   NULL: nobody is told. */
	bool (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
	void *ctx;
};

/*
 * Forget history: make `up_to` the horizon of this branch, durably, and merge all
 * that is as old into the last level, without what no reader from there on can
 * tell missing. Snapshots and iterators of a sequence before it expire, when the
 * horizon stands; it stays where the rest fails or is cancelled. The same horizon
 * again is no error. Other branches keep theirs, and every file that they name.
 * `how` NULL: quietly. Errors: ZERO_HORIZON, FUTURE_HORIZON (past
 * lsm_sequence()), OLD_HORIZON, CANCELLED, and as lsm_write().
 */
LSM_MUST_CHECK enum lsm_err lsm_compact(struct lsm *store, uint64_t up_to,
                                        const struct lsm_compaction *how);

/* The greatest horizon by which nobody expires: the least sequence that a
   snapshot or an iterator holds; lsm_sequence() where there is none. */
uint64_t lsm_oldest_sequence(struct lsm *store);

/* What a call had to wait for. */
enum lsm_stall {
	LSM_STALL_BUDGET,     /* credit, of the whole runtime */
	LSM_STALL_COMPACTION, /* a writer's share while compaction is behind */
	LSM_STALL_L0,         /* a flush, for room in L0 */
	LSM_STALL_DISK,       /* a growing write, for room on the disk */
	LSM_STALL_LOG,        /* a leader, for a log that was not made ahead */
	LSM_STALL_SYNC,       /* lsm_sync() */
	LSM_STALLS,
};

struct lsm_stats {
	struct {
		uint64_t count, ns; /* ns: added up over all who waited */
	} stalls[LSM_STALLS];
	struct {
		int64_t limit_bytes; /* 0: off */
		uint64_t used_bytes, peak_bytes;
		uint64_t waits, stall_ns, oversize;
	} credit;
	struct {
		uint64_t arena_bytes,
		    arena_peak_bytes; /* malloc'ed by arenas */
	} memory;
	struct {
		uint64_t limit_bytes, used_bytes, hits, misses;
	} cache;
	struct {
		uint64_t files, bytes;
	} levels[LSM_LEVELS];
	struct {
		uint64_t bytes_written, bytes_read, syncs;
	} io;
	struct {
		uint64_t count, bytes; /* bytes: of the tables made */
	} flushes, compactions;
	unsigned jobs; /* flushes and compactions that run or are due */
	struct {
		uint64_t files, bytes;              /* that the store names */
		uint64_t live_bytes, garbage_bytes; /* of the values in them */
		uint64_t reclaimable_bytes; /* of the garbage: what would be
		                               given back on a full disk */
		uint64_t bytes_written;             /* since it was opened */
		uint64_t damaged; /* with a value that a job could not read:
		                     these stay */
	} segments;
	struct {
		uint64_t count, open;
		uint64_t damaged; /* that cannot be read; in neither */
	} branches;               /* of the whole store */
	uint64_t sequence;
	uint64_t horizon;   /* 0: none */
	uint64_t log_bytes; /* of logs not yet flushed */
	int64_t counters[LSM_COUNTERS];
};

/* Fill in *stats: this store, and the runtime that it shares. */
void lsm_stats(struct lsm *store, struct lsm_stats *stats);

/* Total bytes of the filesystem below, and those of its free bytes that growing
   writes may use: without the reserve, and what is yet to be flushed. */
LSM_MUST_CHECK enum lsm_err lsm_disk_space(struct lsm *store,
                                           uint64_t *total_bytes_out,
                                           uint64_t *free_bytes_out);

/*
 * Who is asked when a write finds the disk full, whether it gives up space that it
 * held back there; after true the write is tried again. One for the process, set
 * while no store is written to; NULL: nobody. Any thread calls it, under any lock.
 * lsm_set_held() says how much of the reserve of a store is held so.
 */
void lsm_on_nospace(bool (*give_up)(void *ctx), void *ctx);
void lsm_set_held(struct lsm *store, uint64_t bytes);

/*
 * Have the disk space of what was deleted so far given back, in the background:
 * flushed, then compacted; where the disk is nearly full, for whatever there is to
 * gain. Returns the sequence number up to which that is, which lsm_reclaimed()
 * reaches when it is done, if nothing fails.
 */
uint64_t lsm_reclaim(struct lsm *store);
uint64_t lsm_reclaimed(const struct lsm *store);

/*
 * Read every byte of every file that the store names and call `report` (one
 * line without its newline) for each fault. *faults_out counts them.
 * Errors: NOMEM, or IO when the walk itself could not go on.
 */
LSM_MUST_CHECK enum lsm_err
lsm_verify(struct lsm *store, void (*report)(void *ctx, const char *line),
           void *ctx, uint64_t *faults_out);

#endif
