/* SPDX-License-Identifier: MIT */
#include "tests/bench/null_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/bench/null_node.h"

enum {
	FIRST_BUCKETS = 1024,
	BLOCK_BYTES = 512,
};

/* ---- inodes --------------------------------------------------------------- */

struct timespec null_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time;
}

struct null_node *null_node_at(struct null_tree *tree, uint64_t ino)
{
	return ino < tree->node_count ? tree->nodes[ino] : NULL;
}

void null_node_changed(struct null_node *node)
{
	node->attr.mtime = node->attr.ctime = null_now();
}

static void set_size(struct null_node *node, uint64_t size)
{
	node->attr.size = size;
	node->attr.blocks = (size + BLOCK_BYTES - 1) / BLOCK_BYTES;
}

static void node_free(struct null_node *node)
{
	if (node == NULL)
		return;
	null_data_release(&node->data);
	free(node->list);
	free(node->target);
	free(node);
}

static int room_for_node(struct null_tree *tree)
{
	size_t capacity = tree->node_capacity * 2;
	struct null_node **nodes;

	if (tree->node_count < tree->node_capacity)
		return 0;
	nodes = realloc(tree->nodes, capacity * sizeof(nodes[0]));
	if (nodes == NULL)
		return ENOMEM;
	tree->nodes = nodes;
	tree->node_capacity = capacity;
	return 0;
}

int null_node_create(struct null_tree *tree, const struct null_make *make,
                     struct null_node **node_out)
{
	struct null_node *node = calloc(1, sizeof(*node));
	int err = node == NULL ? ENOMEM : room_for_node(tree);

	*node_out = NULL;
	if (err == 0 && make->target != NULL) {
		node->target = strdup(make->target);
		if (node->target == NULL)
			err = ENOMEM;
	}
	if (err != 0) {
		node_free(node);
		return err;
	}
	node->attr = (struct fs_attr){
	    .ino = tree->node_count,
	    .mode = make->mode,
	    .nlink = S_ISDIR(make->mode) ? 2 : 1,
	    .uid = make->uid,
	    .gid = make->gid,
	    .rdev = make->rdev,
	    .size = make->target != NULL ? strlen(make->target) : 0,
	    .atime = null_now(),
	};
	node->attr.mtime = node->attr.ctime = node->attr.btime =
	    node->attr.atime;
	node->list_first = NULL_FIRST_COOKIE;
	tree->nodes[tree->node_count++] = node;
	*node_out = node;
	return 0;
}

void null_node_drop(struct null_tree *tree, struct null_node *node)
{
	uint64_t ino = node->attr.ino;

	if (node->attr.nlink > 0 || node->lookups > 0 || ino == FS_ROOT_INO)
		return;
	tree->nodes[ino] = NULL;
	node_free(node);
}

/* ---- data ----------------------------------------------------------------- */

int null_tree_write(struct null_tree *tree, uint64_t ino, uint64_t offset,
                    const void *data, size_t size)
{
	struct null_node *node;
	int err = ENOENT;

	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL)
		err = null_data_write(&node->data, offset, data, size);
	if (err == 0) {
		if (offset + size > node->attr.size)
			set_size(node, offset + size);
		null_node_changed(node);
	}
	sync_unlock(&tree->mu);
	return err;
}

int null_tree_read(struct null_tree *tree, uint64_t ino, uint64_t offset,
                   void *data, size_t size, size_t *got_out)
{
	struct null_node *node;
	int err = ENOENT;

	*got_out = 0;
	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL) {
		uint64_t left =
		    offset < node->attr.size ? node->attr.size - offset : 0;

		err = 0;
		*got_out = left < size ? (size_t)left : size;
		null_data_read(&node->data, offset, data, *got_out);
	}
	sync_unlock(&tree->mu);
	return err;
}

int null_tree_readlink(struct null_tree *tree, uint64_t ino, struct buf *target)
{
	struct null_node *node;
	int err = EINVAL;

	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL && node->target != NULL)
		err = fs_errno(
		    buf_append(target, node->target, strlen(node->target) + 1));
	sync_unlock(&tree->mu);
	return err;
}

/* ---- attributes ----------------------------------------------------------- */

int null_tree_getattr(struct null_tree *tree, uint64_t ino,
                      struct fs_attr *attr)
{
	struct null_node *node;

	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL)
		*attr = node->attr;
	sync_unlock(&tree->mu);
	return node != NULL ? 0 : ENOENT;
}

static void set_locked(struct null_node *node, unsigned set,
                       const struct fs_attr *from)
{
	struct fs_attr *attr = &node->attr;

	if ((set & NULL_SET_MODE) != 0)
		attr->mode = (attr->mode & S_IFMT) | (from->mode & 07777);
	if ((set & NULL_SET_UID) != 0)
		attr->uid = from->uid;
	if ((set & NULL_SET_GID) != 0)
		attr->gid = from->gid;
	if ((set & NULL_SET_SIZE) != 0) {
		if (from->size < attr->size)
			null_data_cut(&node->data, from->size);
		set_size(node, from->size);
		null_node_changed(node);
	}
	if ((set & NULL_SET_ATIME) != 0)
		attr->atime = from->atime;
	if ((set & NULL_SET_MTIME) != 0)
		attr->mtime = from->mtime;
	attr->ctime = null_now();
}

int null_tree_setattr(struct null_tree *tree, uint64_t ino, unsigned set,
                      const struct fs_attr *from, struct fs_attr *attr)
{
	struct null_node *node;

	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL) {
		set_locked(node, set, from);
		*attr = node->attr;
	}
	sync_unlock(&tree->mu);
	return node != NULL ? 0 : ENOENT;
}

/* ---- the whole ------------------------------------------------------------ */

int null_tree_create(struct null_tree **tree_out)
{
	static const struct null_make root = {.mode = S_IFDIR | 0755};
	struct null_tree *tree = calloc(1, sizeof(*tree));
	struct null_node *node;
	int err = ENOMEM;

	*tree_out = NULL;
	if (tree == NULL)
		return ENOMEM;
	sync_mutex_init(&tree->mu, SYNC_RANK_LEAF);
	tree->node_capacity = FIRST_BUCKETS;
	tree->bucket_count = FIRST_BUCKETS;
	tree->nodes = calloc(tree->node_capacity, sizeof(tree->nodes[0]));
	tree->buckets = calloc(tree->bucket_count, sizeof(tree->buckets[0]));
	if (tree->nodes != NULL && tree->buckets != NULL) {
		tree->node_count = FS_ROOT_INO;
		err = null_node_create(tree, &root, &node);
	}
	if (err != 0) {
		null_tree_destroy(tree);
		return err;
	}
	node->parent = FS_ROOT_INO;
	*tree_out = tree;
	return 0;
}

void null_tree_destroy(struct null_tree *tree)
{
	if (tree == NULL)
		return;
	for (size_t i = 0; i < tree->node_count; i++)
		node_free(tree->nodes[i]);
	for (size_t i = 0; tree->buckets != NULL && i < tree->bucket_count;
	     i++) {
		while (tree->buckets[i] != NULL) {
			struct null_entry *next = tree->buckets[i]->next;

			free(tree->buckets[i]);
			tree->buckets[i] = next;
		}
	}
	free(tree->nodes);
	free(tree->buckets);
	sync_mutex_destroy(&tree->mu);
	free(tree);
}
