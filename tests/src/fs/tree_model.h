/* SPDX-License-Identifier: MIT */
/*
 * tree_model.h: what a filesystem should hold, and what each operation should
 * answer: a small array of nodes with whole contents, too simple to be wrong.
 * Every function returns the errno that the real one must return; nodes are
 * named by their index here, and know the inode number the real one got.
 */
#ifndef TESTS_SRC_FS_TREE_MODEL_H
#define TESTS_SRC_FS_TREE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TREE_NODES = 96,
	TREE_NAMES = 24, /* all names there are: "a" to "x" */
	TREE_XATTRS = 4, /* all attributes there are */
	TREE_FILE_MAX_BYTES = 2000000, /* more chunks than go one by one */
	TREE_XATTR_MAX_BYTES = 64,
	TREE_NONE = -1,
	TREE_ROOT = 0,
};

struct tree_node {
	bool used;
	bool held;     /* no name, but somebody uses it */
	bool linkable; /* held, and never had a name */
	uint32_t mode, uid, gid;
	uint32_t nlink;
	uint64_t ino;
	uint8_t *data; /* of a file or symlink */
	size_t size;
	int parent;              /* of a directory */
	int entries[TREE_NAMES]; /* of a directory: a node or TREE_NONE */
	uint8_t xattrs[TREE_XATTRS][TREE_XATTR_MAX_BYTES];
	int xattr_len[TREE_XATTRS]; /* TREE_NONE: none */
};

struct tree {
	struct tree_node nodes[TREE_NODES];
};

void tree_init(struct tree *tree, uint64_t root_ino);
void tree_release(struct tree *tree);

bool tree_is_dir(const struct tree *tree, int node);
bool tree_is_file(const struct tree *tree, int node);
/* A free node, or TREE_NONE. */
int tree_free_node(const struct tree *tree);
int tree_count_entries(const struct tree *tree, int dir);

/* *node_out gets the new node; its ino is for the caller to fill in. */
int tree_create(struct tree *tree, int dir, int name, uint32_t mode,
                int *node_out);
int tree_tmpfile(struct tree *tree, uint32_t mode, int *node_out);
int tree_link(struct tree *tree, int node, int dir, int name);
/* What lost its last name stays, held. */
int tree_unlink(struct tree *tree, int dir, int name);
int tree_rmdir(struct tree *tree, int dir, int name);
int tree_rename(struct tree *tree, int dir, int name, int new_dir, int new_name,
                unsigned flags);
/* Forget a held node. */
void tree_drop(struct tree *tree, int node);

void tree_write(struct tree *tree, int node, size_t offset, const uint8_t *data,
                size_t len);
void tree_resize(struct tree *tree, int node, size_t size);
/* Zero what lies before the size. */
void tree_zero(struct tree *tree, int node, size_t offset, size_t len);

#endif
