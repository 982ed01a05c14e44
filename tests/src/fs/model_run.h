/* SPDX-License-Identifier: MIT */
/*
 * model_run.h: one run of random operations on a filesystem and on its model:
 * choosing, comparing, and the steps, each of which does one operation on both
 * and compares the answers. The first difference is printed with the number of
 * its step, and ends the run.
 */
#ifndef TESTS_SRC_FS_MODEL_RUN_H
#define TESTS_SRC_FS_MODEL_RUN_H

#include "fs_kit.h"
#include "tests/support/gen.h"
#include "tree_model.h"

enum { RUN_IO_MAX_BYTES = 150000 };

struct run {
	struct kit kit;
	struct tree tree;
	struct gen gen;
	uint8_t *io; /* room for a whole file */
	int step;
	const char *what;
	bool failed;
};

void run_expect(struct run *run, bool fine, const char *what);
void run_expect_errno(struct run *run, int want, int got);

int run_below(struct run *run, int limit);
int run_pick_name(struct run *run);
struct slice run_name(int name);
/* A node for which `wanted` (NULL: any) is true, or TREE_NONE. */
int run_pick(struct run *run, bool (*wanted)(const struct tree *, int));
int run_pick_dir(struct run *run);
uint64_t run_ino(struct run *run, int node);
/* Often at or near an edge of a chunk or of the inline form. */
size_t run_pick_offset(struct run *run, size_t limit);
struct slice run_xattr_name(int i);

/* Compare part of a file, all of a node, all there is. */
void run_expect_bytes(struct run *run, int node, size_t offset, size_t len);
void run_expect_node(struct run *run, int node);
void run_expect_all(struct run *run);

/* model_names.c */
void step_create(struct run *run);
void step_tmpfile(struct run *run);
void step_link(struct run *run);
void step_remove(struct run *run);
void step_rename(struct run *run);
void step_reclaim(struct run *run);
void step_lookup(struct run *run);
void step_setattr(struct run *run);
void step_setxattr(struct run *run);
void step_removexattr(struct run *run);

/* model_data.c */
void step_write(struct run *run);
void step_small_writes(struct run *run);
void step_read(struct run *run);
void step_truncate(struct run *run);
void step_fallocate(struct run *run);
void step_seek(struct run *run);
void step_copy(struct run *run);

#endif
