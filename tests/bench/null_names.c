/* SPDX-License-Identifier: MIT */
/* null_names.c: names and folders of the tree in null_tree.h. */
#include "tests/bench/null_tree.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checksum.h"
#include "tests/bench/null_node.h"

enum { FIRST_LIST = 8 };

/* ---- names ---------------------------------------------------------------- */

static struct null_node *folder_at(struct null_tree *tree, uint64_t ino,
                                   int *err)
{
	struct null_node *node = null_node_at(tree, ino);

	*err = node == NULL ? ENOENT : S_ISDIR(node->attr.mode) ? 0 : ENOTDIR;
	return *err == 0 ? node : NULL;
}

static struct null_entry **bucket_of(struct null_tree *tree, uint64_t dir,
                                     const char *name)
{
	uint64_t hash = checksum_seeded(slice_str(name), dir);

	return &tree->buckets[hash & (tree->bucket_count - 1)];
}

/* Where the pointer to the entry is; that to NULL when there is none. */
static struct null_entry **find(struct null_tree *tree, uint64_t dir,
                                const char *name)
{
	struct null_entry **at = bucket_of(tree, dir, name);

	while (*at != NULL &&
	       ((*at)->dir != dir || strcmp((*at)->name, name) != 0))
		at = &(*at)->next;
	return at;
}

static void grow_buckets(struct null_tree *tree)
{
	size_t old_count = tree->bucket_count;
	struct null_entry **old = tree->buckets;
	struct null_entry **buckets = calloc(old_count * 2, sizeof(buckets[0]));

	if (buckets == NULL)
		return; /* chains get longer */
	tree->buckets = buckets;
	tree->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		struct null_entry *entry = old[i];

		while (entry != NULL) {
			struct null_entry *next = entry->next;
			struct null_entry **at =
			    bucket_of(tree, entry->dir, entry->name);

			entry->next = *at;
			*at = entry;
			entry = next;
		}
	}
	free(old);
}

static int room_in_list(struct null_node *dir)
{
	size_t capacity =
	    dir->list_capacity == 0 ? FIRST_LIST : dir->list_capacity * 2;
	struct null_entry **list;

	if (dir->list_count < dir->list_capacity)
		return 0;
	list = realloc(dir->list, capacity * sizeof(list[0]));
	if (list == NULL)
		return ENOMEM;
	dir->list = list;
	dir->list_capacity = capacity;
	return 0;
}

/* Put a name for `ino` into `dir`, where there is none such. */
static int add_entry(struct null_tree *tree, struct null_node *dir,
                     const char *name, uint64_t ino)
{
	size_t len = strlen(name) + 1;
	struct null_entry *entry, **at;
	int err = room_in_list(dir);

	if (err != 0)
		return err;
	entry = malloc(sizeof(*entry) + len);
	if (entry == NULL)
		return ENOMEM;
	if (tree->entry_count >= tree->bucket_count)
		grow_buckets(tree);
	*entry = (struct null_entry){
	    .dir = dir->attr.ino,
	    .ino = ino,
	    .cookie = dir->list_first + dir->list_count,
	};
	memcpy(entry->name, name, len);
	at = bucket_of(tree, entry->dir, name);
	entry->next = *at;
	*at = entry;
	dir->list[dir->list_count++] = entry;
	dir->names++;
	tree->entry_count++;
	null_node_changed(dir);
	return 0;
}

static void remove_entry(struct null_tree *tree, struct null_node *dir,
                         struct null_entry **at)
{
	struct null_entry *entry = *at;

	*at = entry->next;
	dir->list[entry->cookie - dir->list_first] = NULL;
	free(entry);
	tree->entry_count--;
	dir->names--;
	if (dir->names == 0) {
		dir->list_first += dir->list_count;
		dir->list_count = 0;
	}
	null_node_changed(dir);
}

/* The inode lost the name that it had in `dir`. */
static void lose_name(struct null_tree *tree, struct null_node *dir,
                      struct null_node *node)
{
	if (S_ISDIR(node->attr.mode)) {
		node->attr.nlink = 0;
		dir->attr.nlink--;
	} else {
		node->attr.nlink--;
	}
	node->attr.ctime = null_now();
	null_node_drop(tree, node);
}

/* Whether the name of `node` may be taken away as that of a folder or not. */
static int may_lose_name(const struct null_node *node, bool folder)
{
	if (folder && !S_ISDIR(node->attr.mode))
		return ENOTDIR;
	if (!folder && S_ISDIR(node->attr.mode))
		return EISDIR;
	return node->names > 0 ? ENOTEMPTY : 0;
}

static void tell(struct null_node *node, struct fs_attr *attr)
{
	node->lookups++;
	*attr = node->attr;
}

int null_tree_lookup(struct null_tree *tree, uint64_t dir, const char *name,
                     struct fs_attr *attr)
{
	struct null_entry *entry;
	int err;

	sync_lock(&tree->mu);
	if (folder_at(tree, dir, &err) != NULL) {
		entry = *find(tree, dir, name);
		if (entry != NULL)
			tell(tree->nodes[entry->ino], attr);
		else
			err = ENOENT;
	}
	sync_unlock(&tree->mu);
	return err;
}

void null_tree_forget(struct null_tree *tree, uint64_t ino, uint64_t lookups)
{
	struct null_node *node;

	sync_lock(&tree->mu);
	node = null_node_at(tree, ino);
	if (node != NULL) {
		node->lookups -=
		    lookups < node->lookups ? lookups : node->lookups;
		null_node_drop(tree, node);
	}
	sync_unlock(&tree->mu);
}

static int make_locked(struct null_tree *tree, struct null_node *parent,
                       const char *name, const struct null_make *make,
                       struct fs_attr *attr)
{
	struct null_node *node;
	int err;

	if (*find(tree, parent->attr.ino, name) != NULL)
		return EEXIST;
	err = null_node_create(tree, make, &node);
	if (err != 0)
		return err;
	node->parent = parent->attr.ino;
	err = add_entry(tree, parent, name, node->attr.ino);
	if (err != 0) {
		node->attr.nlink = 0;
		null_node_drop(tree, node);
		return err;
	}
	if (S_ISDIR(make->mode))
		parent->attr.nlink++;
	tell(node, attr);
	return 0;
}

int null_tree_make(struct null_tree *tree, uint64_t dir, const char *name,
                   const struct null_make *make, struct fs_attr *attr)
{
	struct null_node *parent;
	int err;

	sync_lock(&tree->mu);
	parent = folder_at(tree, dir, &err);
	if (err == 0)
		err = make_locked(tree, parent, name, make, attr);
	sync_unlock(&tree->mu);
	return err;
}

int null_tree_link(struct null_tree *tree, uint64_t ino, uint64_t dir,
                   const char *name, struct fs_attr *attr)
{
	struct null_node *parent, *node;
	int err;

	sync_lock(&tree->mu);
	parent = folder_at(tree, dir, &err);
	node = null_node_at(tree, ino);
	if (err == 0 && node == NULL)
		err = ENOENT;
	if (err == 0 && *find(tree, dir, name) != NULL)
		err = EEXIST;
	if (err == 0)
		err = add_entry(tree, parent, name, ino);
	if (err == 0) {
		node->attr.nlink++;
		node->attr.ctime = null_now();
		tell(node, attr);
	}
	sync_unlock(&tree->mu);
	return err;
}

int null_tree_remove(struct null_tree *tree, uint64_t dir, const char *name,
                     bool folder)
{
	struct null_node *parent;
	struct null_entry **at;
	int err;

	sync_lock(&tree->mu);
	parent = folder_at(tree, dir, &err);
	if (err == 0) {
		at = find(tree, dir, name);
		err = *at == NULL
		          ? ENOENT
		          : may_lose_name(tree->nodes[(*at)->ino], folder);
	}
	if (err == 0) {
		struct null_node *node = tree->nodes[(*at)->ino];

		remove_entry(tree, parent, at);
		lose_name(tree, parent, node);
	}
	sync_unlock(&tree->mu);
	return err;
}

static int rename_locked(struct null_tree *tree, struct null_node *from,
                         const char *name, struct null_node *to,
                         const char *new_name, bool keep)
{
	struct null_entry *old = *find(tree, from->attr.ino, name);
	struct null_entry *taken = *find(tree, to->attr.ino, new_name);
	struct null_node *node, *victim = NULL;
	int err = 0;

	if (old == NULL)
		return ENOENT;
	node = tree->nodes[old->ino];
	if (taken != NULL) {
		victim = tree->nodes[taken->ino];
		if (keep)
			return EEXIST;
		if (victim == node)
			return 0;
		err = may_lose_name(victim, S_ISDIR(node->attr.mode));
		if (err != 0)
			return err;
		taken->ino = node->attr.ino;
	} else {
		err = add_entry(tree, to, new_name, node->attr.ino);
		if (err != 0)
			return err;
	}
	remove_entry(tree, from, find(tree, from->attr.ino, name));
	if (S_ISDIR(node->attr.mode)) {
		from->attr.nlink--;
		to->attr.nlink++;
		node->parent = to->attr.ino;
	}
	if (victim != NULL)
		lose_name(tree, to, victim);
	null_node_changed(to);
	node->attr.ctime = null_now();
	return 0;
}

int null_tree_rename(struct null_tree *tree, uint64_t dir, const char *name,
                     uint64_t new_dir, const char *new_name, bool keep)
{
	struct null_node *from, *to = NULL;
	int err;

	sync_lock(&tree->mu);
	from = folder_at(tree, dir, &err);
	if (err == 0)
		to = folder_at(tree, new_dir, &err);
	if (err == 0)
		err = rename_locked(tree, from, name, to, new_name, keep);
	sync_unlock(&tree->mu);
	return err;
}

/* ---- listing -------------------------------------------------------------- */

static void list_locked(struct null_tree *tree, struct null_node *dir,
                        uint64_t cookie, bool plus, null_tree_emit emit,
                        void *ctx)
{
	struct null_node *parent = null_node_at(tree, dir->parent);
	size_t i;

	if (cookie < 1 && !emit(ctx, ".", 1, &dir->attr))
		return;
	if (cookie < 2 &&
	    !emit(ctx, "..", 2, parent != NULL ? &parent->attr : &dir->attr))
		return;
	i = cookie < dir->list_first ? 0 : cookie - dir->list_first + 1;
	for (; i < dir->list_count; i++) {
		struct null_entry *entry = dir->list[i];
		struct null_node *node;

		if (entry == NULL)
			continue;
		node = tree->nodes[entry->ino];
		if (!emit(ctx, entry->name, entry->cookie, &node->attr))
			return;
		if (plus)
			node->lookups++;
	}
}

int null_tree_list(struct null_tree *tree, uint64_t dir, uint64_t cookie,
                   bool plus, null_tree_emit emit, void *ctx)
{
	struct null_node *node;
	int err;

	sync_lock(&tree->mu);
	node = folder_at(tree, dir, &err);
	if (err == 0)
		list_locked(tree, node, cookie, plus, emit, ctx);
	sync_unlock(&tree->mu);
	return err;
}
