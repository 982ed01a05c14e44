/* SPDX-License-Identifier: MIT */
#include "tree_model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void make_node(struct tree_node *node, uint32_t mode)
{
	*node = (struct tree_node){.used = true, .mode = mode, .nlink = 1};
	if (S_ISDIR(mode))
		node->nlink = 2;
	for (int i = 0; i < TREE_NAMES; i++)
		node->entries[i] = TREE_NONE;
	for (int i = 0; i < TREE_XATTRS; i++)
		node->xattr_len[i] = TREE_NONE;
}

void tree_init(struct tree *tree, uint64_t root_ino)
{
	memset(tree, 0, sizeof(*tree));
	make_node(&tree->nodes[TREE_ROOT], S_IFDIR | 0755);
	tree->nodes[TREE_ROOT].ino = root_ino;
	tree->nodes[TREE_ROOT].parent = TREE_ROOT;
}

void tree_release(struct tree *tree)
{
	for (int i = 0; i < TREE_NODES; i++)
		free(tree->nodes[i].data);
	memset(tree, 0, sizeof(*tree));
}

bool tree_is_dir(const struct tree *tree, int node)
{
	return tree->nodes[node].used && S_ISDIR(tree->nodes[node].mode);
}

bool tree_is_file(const struct tree *tree, int node)
{
	return tree->nodes[node].used && S_ISREG(tree->nodes[node].mode);
}

int tree_free_node(const struct tree *tree)
{
	for (int i = 0; i < TREE_NODES; i++) {
		if (!tree->nodes[i].used)
			return i;
	}
	return TREE_NONE;
}

int tree_count_entries(const struct tree *tree, int dir)
{
	int count = 0;

	for (int i = 0; i < TREE_NAMES; i++)
		count += tree->nodes[dir].entries[i] != TREE_NONE;
	return count;
}

/* What stops an entry from being added to or removed from `dir`. */
static int check_dir(const struct tree *tree, int dir)
{
	if (!tree_is_dir(tree, dir))
		return ENOTDIR;
	return tree->nodes[dir].nlink == 0 ? ENOENT : 0;
}

int tree_create(struct tree *tree, int dir, int name, uint32_t mode,
                int *node_out)
{
	int err = check_dir(tree, dir);
	int node = tree_free_node(tree);

	if (err != 0)
		return err;
	if (tree->nodes[dir].entries[name] != TREE_NONE)
		return EEXIST;
	make_node(&tree->nodes[node], mode);
	tree->nodes[node].parent = dir;
	tree->nodes[dir].entries[name] = node;
	if (S_ISDIR(mode))
		tree->nodes[dir].nlink++;
	*node_out = node;
	return 0;
}

int tree_tmpfile(struct tree *tree, uint32_t mode, int *node_out)
{
	int node = tree_free_node(tree);

	make_node(&tree->nodes[node], mode);
	tree->nodes[node].nlink = 0;
	tree->nodes[node].held = true;
	tree->nodes[node].linkable = true;
	*node_out = node;
	return 0;
}

int tree_link(struct tree *tree, int node, int dir, int name)
{
	struct tree_node *target = &tree->nodes[node];
	int err;

	if (tree_is_dir(tree, node))
		return EPERM;
	err = check_dir(tree, dir);
	if (err != 0)
		return err;
	if (tree->nodes[dir].entries[name] != TREE_NONE)
		return EEXIST;
	if (target->nlink == 0 && !target->linkable)
		return ENOENT;
	target->nlink++;
	target->held = false;
	target->linkable = false;
	tree->nodes[dir].entries[name] = node;
	return 0;
}

static void lose_name(struct tree_node *node)
{
	node->nlink = S_ISDIR(node->mode) ? 0 : node->nlink - 1;
	node->held = node->nlink == 0;
}

/* Errors: those of check_dir(), ENOENT. */
static int find(const struct tree *tree, int dir, int name, int *node_out)
{
	int err = check_dir(tree, dir);

	if (err != 0)
		return err;
	*node_out = tree->nodes[dir].entries[name];
	return *node_out == TREE_NONE ? ENOENT : 0;
}

int tree_unlink(struct tree *tree, int dir, int name)
{
	int node;
	int err = find(tree, dir, name, &node);

	if (err != 0)
		return err;
	if (tree_is_dir(tree, node))
		return EISDIR;
	tree->nodes[dir].entries[name] = TREE_NONE;
	lose_name(&tree->nodes[node]);
	return 0;
}

int tree_rmdir(struct tree *tree, int dir, int name)
{
	int node;
	int err = find(tree, dir, name, &node);

	if (err != 0)
		return err;
	if (!tree_is_dir(tree, node))
		return ENOTDIR;
	if (tree_count_entries(tree, node) > 0)
		return ENOTEMPTY;
	tree->nodes[dir].entries[name] = TREE_NONE;
	tree->nodes[dir].nlink--;
	lose_name(&tree->nodes[node]);
	return 0;
}

static bool is_below(const struct tree *tree, int dir, int ancestor)
{
	for (;;) {
		if (dir == ancestor)
			return true;
		if (dir == TREE_ROOT)
			return false;
		dir = tree->nodes[dir].parent;
	}
}

static int check_rename(const struct tree *tree, int moved, int target, int dir,
                        int new_dir, unsigned flags)
{
	bool moved_dir = tree_is_dir(tree, moved);

	if (moved_dir && dir != new_dir && is_below(tree, new_dir, moved))
		return EINVAL;
	if ((flags & RENAME_EXCHANGE) != 0) {
		if (tree_is_dir(tree, target) && dir != new_dir &&
		    is_below(tree, dir, target))
			return EINVAL;
		return 0;
	}
	if (target == TREE_NONE)
		return 0;
	if (moved_dir != tree_is_dir(tree, target))
		return moved_dir ? ENOTDIR : EISDIR;
	if (moved_dir && tree_count_entries(tree, target) > 0)
		return ENOTEMPTY;
	return 0;
}

/* `node` comes to live in `dir`, from `old`. */
static void adopt(struct tree *tree, int node, int old, int dir)
{
	if (!tree_is_dir(tree, node))
		return;
	tree->nodes[old].nlink--;
	tree->nodes[dir].nlink++;
	tree->nodes[node].parent = dir;
}

int tree_rename(struct tree *tree, int dir, int name, int new_dir, int new_name,
                unsigned flags)
{
	int moved, target;
	int err = check_dir(tree, dir);

	if (err == 0)
		err = check_dir(tree, new_dir);
	if (err == 0)
		err = find(tree, dir, name, &moved);
	if (err != 0)
		return err;
	target = tree->nodes[new_dir].entries[new_name];
	if (target != TREE_NONE && (flags & RENAME_NOREPLACE) != 0)
		return EEXIST;
	if (target == TREE_NONE && (flags & RENAME_EXCHANGE) != 0)
		return ENOENT;
	if (target == moved)
		return 0;
	err = check_rename(tree, moved, target, dir, new_dir, flags);
	if (err != 0)
		return err;
	tree->nodes[dir].entries[name] = TREE_NONE;
	tree->nodes[new_dir].entries[new_name] = moved;
	adopt(tree, moved, dir, new_dir);
	if ((flags & RENAME_EXCHANGE) != 0) {
		tree->nodes[dir].entries[name] = target;
		adopt(tree, target, new_dir, dir);
	} else if (target != TREE_NONE) {
		if (tree_is_dir(tree, target))
			tree->nodes[new_dir].nlink--;
		lose_name(&tree->nodes[target]);
	}
	return 0;
}

void tree_drop(struct tree *tree, int node)
{
	free(tree->nodes[node].data);
	memset(&tree->nodes[node], 0, sizeof(tree->nodes[node]));
}

void tree_resize(struct tree *tree, int node, size_t size)
{
	struct tree_node *file = &tree->nodes[node];

	file->data = realloc(file->data, size + 1);
	if (file->data == NULL)
		exit(EXIT_FAILURE);
	if (size > file->size)
		memset(file->data + file->size, 0, size - file->size);
	file->size = size;
}

void tree_write(struct tree *tree, int node, size_t offset, const uint8_t *data,
                size_t len)
{
	if (len == 0)
		return;
	if (tree->nodes[node].size < offset + len)
		tree_resize(tree, node, offset + len);
	memcpy(tree->nodes[node].data + offset, data, len);
}

void tree_zero(struct tree *tree, int node, size_t offset, size_t len)
{
	struct tree_node *file = &tree->nodes[node];

	if (offset >= file->size)
		return;
	if (len > file->size - offset)
		len = file->size - offset;
	memset(file->data + offset, 0, len);
}
