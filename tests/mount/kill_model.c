/* SPDX-License-Identifier: MIT */
#include "tests/mount/kill_model.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *parent_of(const char *path, char out[MAX_PATH])
{
	char *slash;

	snprintf(out, MAX_PATH, "%s", path);
	slash = strrchr(out, '/');
	if (slash == NULL)
		out[0] = '\0';
	else
		*slash = '\0';
	return out;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

int model_find(const struct model *model, const char *path)
{
	for (unsigned i = 0; i < model->name_count; i++) {
		if (strcmp(model->names[i].path, path) == 0)
			return (int)i;
	}
	return -1;
}

static struct inode *inode_at(struct model *model, const char *path)
{
	int name = model_find(model, path);

	return name < 0 ? NULL : &model->inodes[model->names[name].inode];
}

static bool is_empty(const struct model *model, const char *dir)
{
	for (unsigned i = 0; i < model->name_count; i++) {
		if (is_below(model->names[i].path, dir))
			return false;
	}
	return true;
}

static bool has_parent(struct model *model, const char *path)
{
	char parent[MAX_PATH];
	const struct inode *dir;

	if (parent_of(path, parent)[0] == '\0')
		return true;
	dir = inode_at(model, parent);
	return dir != NULL && dir->type == S_IFDIR;
}

static bool add_name(struct model *model, const char *path, unsigned inode)
{
	struct name *name;

	if (model->name_count == MAX_NAMES || model_find(model, path) >= 0 ||
	    !has_parent(model, path))
		return false;
	name = &model->names[model->name_count++];
	snprintf(name->path, sizeof(name->path), "%s", path);
	name->inode = inode;
	model->inodes[inode].links++;
	return true;
}

static void drop_name(struct model *model, const char *path)
{
	int at = model_find(model, path);
	struct inode *inode = &model->inodes[model->names[at].inode];

	model->names[at] = model->names[--model->name_count];
	if (--inode->links > 0)
		return;
	free(inode->bytes);
	*inode = (struct inode){0};
}

static struct inode *add_inode(struct model *model, const char *path,
                               mode_t type, unsigned mode)
{
	unsigned i = 0;

	while (i < model->inode_count && model->inodes[i].type != 0)
		i++;
	if (i == MAX_INODES || !add_name(model, path, i))
		return NULL;
	if (i == model->inode_count)
		model->inode_count++;
	model->inodes[i].type = type;
	model->inodes[i].mode = mode;
	if (type == S_IFREG) {
		model->inodes[i].bytes = calloc(1, MAX_FILE);
		if (model->inodes[i].bytes == NULL)
			abort();
	}
	return &model->inodes[i];
}

void model_fill(uint8_t *bytes, uint64_t offset, size_t len, uint64_t salt)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t x = (offset + i + 1) * 0x9e3779b97f4a7c15U ^
		             salt * 0xbf58476d1ce4e5b9U;

		bytes[i] = (uint8_t)((x ^ (x >> 29)) >> 40);
	}
}

static bool apply_data(struct inode *inode, const struct op *op)
{
	uint64_t at = op->kind == OP_APPEND ? inode->size : op->offset;

	if (inode->type != S_IFREG || at + op->len > MAX_FILE)
		return false;
	if (op->kind == OP_TRUNCATE) {
		if (op->len < inode->size)
			memset(inode->bytes + op->len, 0,
			       inode->size - op->len);
		inode->size = op->len;
		return true;
	}
	model_fill(inode->bytes + at, at, op->len, op->salt);
	if (at + op->len > inode->size)
		inode->size = at + op->len;
	return true;
}

/* Names at and below `from` move to `to`, by way of a name nobody has. */
static bool move(struct model *model, const char *from, const char *to)
{
	size_t len = strlen(from);

	for (unsigned i = 0; i < model->name_count; i++) {
		char *path = model->names[i].path;
		char moved[2 * MAX_PATH];

		if (strcmp(path, from) != 0 && !is_below(path, from))
			continue;
		snprintf(moved, sizeof(moved), "%s%s", to, path + len);
		if (strlen(moved) >= MAX_PATH)
			return false;
		memcpy(path, moved, strlen(moved) + 1);
	}
	return true;
}

static bool apply_rename(struct model *model, const struct op *op)
{
	const struct inode *from = inode_at(model, op->a);
	const struct inode *to = inode_at(model, op->b);

	if (from == NULL || !has_parent(model, op->b) ||
	    is_below(op->b, op->a) || is_below(op->a, op->b))
		return false;
	if (op->kind == OP_EXCHANGE)
		return to != NULL && move(model, op->a, "#") &&
		       move(model, op->b, op->a) && move(model, "#", op->b);
	if (from == to)
		return true;
	if (to != NULL && ((from->type == S_IFDIR) != (to->type == S_IFDIR) ||
	                   !is_empty(model, op->b)))
		return false;
	if (to != NULL)
		drop_name(model, op->b);
	return move(model, op->a, op->b);
}

static bool apply_removal(struct model *model, const struct op *op)
{
	const struct inode *inode = inode_at(model, op->a);

	if (inode == NULL ||
	    (inode->type == S_IFDIR) != (op->kind == OP_RMDIR) ||
	    !is_empty(model, op->a))
		return false;
	drop_name(model, op->a);
	return true;
}

static bool apply_new_name(struct model *model, const struct op *op)
{
	struct inode *inode = inode_at(model, op->a);

	if (op->kind == OP_SYMLINK) {
		inode = add_inode(model, op->b, S_IFLNK, 0777);
		if (inode != NULL)
			snprintf(inode->target, MAX_PATH, "%s", op->a);
		return inode != NULL;
	}
	return inode != NULL && inode->type != S_IFDIR &&
	       add_name(model, op->b, (unsigned)(inode - model->inodes));
}

bool model_apply(struct model *model, const struct op *op)
{
	struct inode *inode = inode_at(model, op->a);

	switch (op->kind) {
	case OP_CREATE:
		return add_inode(model, op->a, S_IFREG, 0644) != NULL;
	case OP_MKDIR:
		return add_inode(model, op->a, S_IFDIR, 0755) != NULL;
	case OP_WRITE:
	case OP_APPEND:
	case OP_TRUNCATE:
		return inode != NULL && apply_data(inode, op);
	case OP_CHMOD:
	case OP_SETXATTR:
		if (inode == NULL || inode->type == S_IFLNK)
			return false;
		if (op->kind == OP_CHMOD)
			inode->mode = (unsigned)op->salt;
		else
			inode->xattr = op->salt;
		return true;
	case OP_RMDIR:
	case OP_UNLINK:
		return apply_removal(model, op);
	case OP_RENAME:
	case OP_EXCHANGE:
		return apply_rename(model, op);
	case OP_LINK:
	case OP_SYMLINK:
		return apply_new_name(model, op);
	case OP_SYNC:
		return inode != NULL && inode->type == S_IFREG;
	default:
		return false;
	}
}

void model_release(struct model *model)
{
	for (unsigned i = 0; i < model->inode_count; i++)
		free(model->inodes[i].bytes);
	*model = (struct model){0};
}
