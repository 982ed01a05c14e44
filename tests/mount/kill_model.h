/* SPDX-License-Identifier: MIT */
/*
 * kill_model.h: a folder as a model, and the operations on it: what a writer
 * did, and what must be there afterwards.
 *
 * An operation is one system call that changes something. The daemon gets it as
 * one request, so that it happened or did not; only a write the kernel may hand
 * on in pieces that end where pages end. As a line of text it is what the
 * writer notes:
 *
 *   create A          write A offset len salt   append A len salt
 *   truncate A size   chmod A mode              setxattr A salt
 *   mkdir A           rmdir A                   unlink A
 *   rename A B        exchange A B              link A B      symlink A B
 *   sync A
 *
 * Paths are relative and have no spaces. A symlink at B points to A.
 */
#ifndef TESTS_MOUNT_KILL_MODEL_H
#define TESTS_MOUNT_KILL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	MAX_NAMES = 400,
	MAX_INODES = 512,
	MAX_PATH = 80,
	MAX_FILE = 300000,
	MAX_WRITE = 90000,
	PAGE = 4096,
};

enum op_kind {
	OP_CREATE,
	OP_WRITE,
	OP_APPEND,
	OP_TRUNCATE,
	OP_CHMOD,
	OP_SETXATTR,
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_RENAME,
	OP_EXCHANGE,
	OP_LINK,
	OP_SYMLINK,
	OP_SYNC,
	OP_COUNT
};

struct op {
	enum op_kind kind;
	char a[MAX_PATH], b[MAX_PATH];
	uint64_t offset, len, salt; /* len: also a size, salt: also a mode */
};

struct inode {
	mode_t type; /* 0: unused */
	unsigned links, mode;
	size_t size;
	uint64_t xattr; /* 0: it has none */
	uint8_t *bytes; /* MAX_FILE of a regular file */
	char target[MAX_PATH];
};

struct name {
	char path[MAX_PATH];
	unsigned inode;
};

struct model {
	struct name names[MAX_NAMES];
	unsigned name_count;
	struct inode inodes[MAX_INODES];
	unsigned inode_count;
};

void op_print(FILE *file, const struct op *op);
bool op_parse(const char *line, struct op *op);

static inline bool op_is_write(const struct op *op)
{
	return op->kind == OP_WRITE || op->kind == OP_APPEND;
}

/* Do it, below the folder `root`. 0 or an errno. A write that was cut short has
   its `len` set to what was written. */
int op_run(struct op *op, int root);

/* A random one that the model allows. `step` makes new names differ. */
void op_random(const struct model *model, uint64_t *random, unsigned step,
               struct op *op);
uint64_t random_next(uint64_t *random);

/* False: the model does not allow it. */
bool model_apply(struct model *model, const struct op *op);
/* -1: none. */
int model_find(const struct model *model, const char *path);
void model_release(struct model *model);

/* The bytes that a write with that salt puts at `offset`. */
void model_fill(uint8_t *bytes, uint64_t offset, size_t len, uint64_t salt);

/* Compare the folder with the model: names, types, contents, modes, link
   counts, targets, xattrs. What differs goes to `report`. */
bool model_matches(const struct model *model, int root, FILE *report);

#endif
