/* SPDX-License-Identifier: MIT */
/*
 * check_names.c: entries of directories against the inodes that were found.
 */
#include "fs/check.h"

#include "fs/dir.h"
#include "fs/inode.h"

typedef unsigned long long ull;

enum {
	TYPE_SHIFT = 12,
	SLOT_MASK = SCHEMA_SLOTS - 1,
};

/* The entries with one hash, of which the last is `cookie`. */
struct group {
	uint64_t dir, cookie;
	bool ends_in_hole;
	struct buf names[SCHEMA_SLOTS];
	size_t count;
};

struct walk {
	struct check *check;
	struct lsm_iter *entries;
	struct group group;
};

/* ---- the form of a directory --------------------------------------------- */

static void end_group(struct walk *walk)
{
	if (walk->group.ends_in_hole)
		check_fault(walk->check,
		            "dirent: directory %llu: a hole at %llu has "
		            "nothing above it",
		            (ull)walk->group.dir, (ull)walk->group.cookie);
	walk->group.ends_in_hole = false;
	walk->group.count = 0;
}

static bool is_repeated(const struct group *group, struct slice name)
{
	for (size_t i = 0; i < group->count; i++) {
		if (slice_equal(buf_slice(&group->names[i]), name))
			return true;
	}
	return false;
}

/* Slots from 0 without a gap, the right hash, no name twice. */
static enum lsm_err check_place(struct walk *walk, uint64_t dir,
                                uint64_t cookie,
                                const struct schema_dirent *entry)
{
	struct group *group = &walk->group;
	bool follows = group->dir == dir && group->cookie + 1 == cookie;
	enum lsm_err err;

	if ((cookie & SLOT_MASK) == 0)
		end_group(walk);
	else if (!follows)
		check_fault(walk->check,
		            "dirent: directory %llu: nothing is below the "
		            "entry at %llu",
		            (ull)dir, (ull)cookie);
	group->dir = dir;
	group->cookie = cookie;
	group->ends_in_hole = entry->ino == 0;
	if (entry->ino == 0)
		return LSM_OK;
	if (dir_cookie(walk->check->fs, entry->name) !=
	    (cookie & ~(uint64_t)SLOT_MASK))
		check_fault(walk->check,
		            "dirent: directory %llu: \"%.*s\" is not where its "
		            "hash says",
		            (ull)dir, (int)entry->name.len, entry->name.data);
	if (is_repeated(group, entry->name))
		check_fault(walk->check,
		            "dirent: directory %llu has \"%.*s\" twice",
		            (ull)dir, (int)entry->name.len, entry->name.data);
	if (group->count == SCHEMA_SLOTS)
		return LSM_OK;
	err = buf_set(&group->names[group->count], entry->name);
	if (err == LSM_OK)
		group->count++;
	return err;
}

/* ---- what it names ------------------------------------------------------- */

static bool is_dir(const struct check_inode *inode)
{
	return inode->type == S_IFDIR >> TYPE_SHIFT;
}

static void check_child(struct check *check, struct check_inode *dir,
                        const struct schema_dirent *entry)
{
	struct check_inode *child = check_find(check, entry->ino);
	int len = (int)entry->name.len;
	const uint8_t *name = entry->name.data;

	if (child == NULL) {
		check_fault(check,
		            "dirent: directory %llu: \"%.*s\" names inode "
		            "%llu, which does not exist",
		            (ull)dir->ino, len, name, (ull)entry->ino);
		return;
	}
	if (child->type != entry->type >> TYPE_SHIFT)
		check_fault(check,
		            "dirent: directory %llu: \"%.*s\" has not the type "
		            "of inode %llu",
		            (ull)dir->ino, len, name, (ull)entry->ino);
	child->names++;
	if (!is_dir(child))
		return;
	check->dirs[dir->dir_index].subdirs++;
	if (check->dirs[child->dir_index].parent != dir->ino)
		check_fault(check,
		            "dirent: directory %llu: \"%.*s\" is directory "
		            "%llu, whose parent is %llu",
		            (ull)dir->ino, len, name, (ull)child->ino,
		            (ull)check->dirs[child->dir_index].parent);
}

static enum lsm_err check_entry(struct walk *walk)
{
	struct check *check = walk->check;
	struct schema_dirent entry;
	struct check_inode *dir;
	uint64_t ino, cookie;
	enum lsm_err err;

	if (schema_decode_dirent_key(lsm_iter_key(walk->entries), &ino,
	                             &cookie) != LSM_OK ||
	    schema_decode_dirent(lsm_iter_value(walk->entries), &entry) !=
	        LSM_OK) {
		check_fault(check, "dirent: an entry cannot be read");
		return LSM_OK;
	}
	err = check_place(walk, ino, cookie, &entry);
	if (err != LSM_OK || entry.ino == 0)
		return err;
	dir = check_find(check, ino);
	if (dir == NULL || !is_dir(dir)) {
		check_fault(check,
		            "dirent: \"%.*s\" is in inode %llu, which is no "
		            "directory",
		            (int)entry.name.len, entry.name.data, (ull)ino);
		return LSM_OK;
	}
	check->dirs[dir->dir_index].entries++;
	check_child(check, dir, &entry);
	return LSM_OK;
}

static int walk_entries(struct check *check)
{
	struct walk walk = {.check = check};
	enum lsm_err failure = LSM_OK;
	int err;

	err = check_iter(check, SCHEMA_DIRENT, &walk.entries);
	if (err != 0)
		return err;
	while (failure == LSM_OK && lsm_iter_valid(walk.entries)) {
		failure = check_entry(&walk);
		lsm_iter_next(walk.entries);
	}
	end_group(&walk);
	if (failure == LSM_OK)
		failure = lsm_iter_status(walk.entries);
	lsm_iter_destroy(walk.entries);
	for (size_t i = 0; i < SCHEMA_SLOTS; i++)
		buf_release(&walk.group.names[i]);
	return check_walk_end(check, "directories", failure);
}

/* ---- links --------------------------------------------------------------- */

static void check_file_links(struct check *check,
                             const struct check_inode *inode)
{
	if (inode->names == 0 && inode->nlink > 0)
		check_fault(check,
		            "orphan: inode %llu has no name, and is no "
		            "recorded orphan",
		            (ull)inode->ino);
	else if (inode->names != inode->nlink)
		check_fault(check,
		            "link count: inode %llu has the link count %u, but "
		            "%u names",
		            (ull)inode->ino, inode->nlink, inode->names);
}

static void check_dir_links(struct check *check,
                            const struct check_inode *inode)
{
	const struct check_dir *dir = &check->dirs[inode->dir_index];
	uint32_t names = inode->ino == FS_ROOT_INO || inode->nlink == 0 ? 0 : 1;
	uint32_t links = inode->nlink == 0 ? 0 : 2 + dir->subdirs;

	if (inode->names == 0 && names == 1)
		check_fault(check,
		            "orphan: directory %llu has no name, and is no "
		            "recorded orphan",
		            (ull)inode->ino);
	else if (inode->names != names)
		check_fault(check, "link count: directory %llu has %u names",
		            (ull)inode->ino, inode->names);
	if (inode->nlink != links)
		check_fault(check,
		            "link count: directory %llu has the link count %u, "
		            "but %u subdirectories",
		            (ull)inode->ino, inode->nlink, dir->subdirs);
	if (dir->entries != dir->counted)
		check_fault(check,
		            "size: directory %llu counts %llu entries, but has "
		            "%llu",
		            (ull)inode->ino, (ull)dir->counted,
		            (ull)dir->entries);
}

/* ---- the way to the root ------------------------------------------------- */

/* Mark a directory and its parents with `reach`, up to one that has it. */
static void mark(struct check *check, const struct check_inode *inode,
                 enum check_reach reach)
{
	while (inode != NULL && is_dir(inode)) {
		struct check_dir *dir = &check->dirs[inode->dir_index];

		if (dir->reach == reach || dir->reach == CHECK_REACHED)
			return;
		dir->reach = reach;
		inode = check_find(check, dir->parent);
	}
}

/* Where following the parents, each marked on the way, comes to an end. */
static bool leads_to_root(struct check *check, const struct check_inode *inode)
{
	while (inode != NULL && is_dir(inode)) {
		struct check_dir *dir = &check->dirs[inode->dir_index];

		if (inode->ino == FS_ROOT_INO || dir->reach == CHECK_REACHED)
			return true;
		if (dir->reach == CHECK_ON_THE_WAY)
			return false;
		dir->reach = CHECK_ON_THE_WAY;
		inode = check_find(check, dir->parent);
	}
	return false;
}

static void check_way(struct check *check, const struct check_inode *inode)
{
	if (inode->nlink == 0)
		return; /* a removed directory leads nowhere */
	if (!leads_to_root(check, inode))
		check_fault(check,
		            "dirent: directory %llu cannot be reached from the "
		            "root",
		            (ull)inode->ino);
	mark(check, inode, CHECK_REACHED);
}

int check_names(struct check *check)
{
	const struct check_inode *root = check_find(check, FS_ROOT_INO);
	int err;

	if (root == NULL || !is_dir(root))
		check_fault(check, "dirent: there is no root directory");
	err = walk_entries(check);
	if (err != 0)
		return err;
	for (size_t i = 0; i < check->inode_count; i++) {
		const struct check_inode *inode = &check->inodes[i];

		if (!is_dir(inode)) {
			check_file_links(check, inode);
			continue;
		}
		check_dir_links(check, inode);
		check_way(check, inode);
	}
	return 0;
}
