/* SPDX-License-Identifier: MIT */
/*
 * fold.h: what the versions of one user key amount to: merge operands folded
 * onto a base by the function that the store's owner registered.
 *
 * A fold is fed versions newest first, through fold_visit(), until it is done:
 * a PUT, a POINTER or a DELETE is a base, everything older is shadowed. Or oldest
 * first, through fold_visit_back(), all of them: then a base does away with what
 * came before it. It copies what it is given, so the sources may move on.
 *
 * Versions below `floor` lie under a range tombstone: the first of them is as a
 * DELETE. Range tombstones themselves, versions of the key at which they are
 * stored, are passed over: they say nothing of it.
 *
 * Threads: one at a time.
 */
#ifndef LSM_TREE_FOLD_H
#define LSM_TREE_FOLD_H

#include "base/key.h"

struct fold_fn {
	lsm_fold_fn call; /* NULL: a MERGE entry is CORRUPT */
	void *ctx;
	/* Set *value to what the bytes of a POINTER lead to; NULL: there are
	   none. Called when operands lie on top of one. Errors: CORRUPT, IO,
	   NOMEM; logged. */
	enum lsm_err (*load)(void *load_ctx, struct slice user,
	                     struct slice pointer, struct buf *value);
	void *load_ctx;
};

enum fold_result {
	FOLD_NOTHING, /* no version, or deleted */
	FOLD_VALUE,   /* a value: PUT */
	FOLD_POINTER, /* a value that lies in a segment: POINTER */
	FOLD_OPERAND, /* operands whose base was not seen, made one: MERGE */
};

struct fold {
	struct fold_fn fn;
	struct slice user;   /* borrowed from the caller */
	uint64_t floor;      /* set after a reset, which clears it */
	struct buf value;    /* the base, when it is a PUT or a POINTER */
	struct buf operands; /* as they came, one after another */
	struct buf ends;     /* their end offsets, u64 each */
	size_t operand_count;
	bool has_value;    /* a PUT or a POINTER was seen */
	bool is_pointer;   /* and it is a POINTER */
	bool done;         /* a base was seen */
	bool oldest_first; /* the order of the operands */
	enum lsm_err err;
};

void fold_init(struct fold *fold, struct fold_fn fn, struct slice user);
void fold_release(struct fold *fold);
/* Begin anew for another user key; keeps memory. */
void fold_reset(struct fold *fold, struct slice user);

/* A key_visit_fn whose ctx is the fold; false once the fold is done or failed.
 */
bool fold_visit(void *ctx, uint64_t seq, enum key_kind kind,
                struct slice value);

/* The same for a walk from the oldest version to the newest; false once it
   failed. */
bool fold_visit_back(struct fold *fold, uint64_t seq, enum key_kind kind,
                     struct slice value);

/*
 * Conclude. `bottom` says that nothing older exists anywhere, so that missing
 * means absent. *value gets the bytes of a VALUE, a POINTER or an
 * OPERAND. Errors: CORRUPT, NOMEM, those of the fold function and of load.
 */
LSM_MUST_CHECK enum lsm_err fold_finish(struct fold *fold, bool bottom,
                                        struct buf *value,
                                        enum fold_result *result_out);

#endif
