/* SPDX-License-Identifier: MIT */
/*
 * model_names.c: the steps that deal with names and attributes.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "model_run.h"

void step_create(struct run *run)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
	                                 S_IFDIR, S_IFLNK, S_IFIFO};
	uint32_t mode = types[run_below(run, 7)] | 0640;
	struct slice target = slice_str("some/where");
	int dir = run_pick_dir(run);
	int name = run_pick_name(run);
	int node = TREE_NONE;
	struct fs_attr attr;
	int want, got;

	run->what = "create";
	if (tree_free_node(&run->tree) == TREE_NONE)
		return;
	if (S_ISLNK(mode))
		mode = S_IFLNK | 0777;
	want = tree_create(&run->tree, dir, name, mode, &node);
	if (S_ISDIR(mode))
		got = fs_mkdir(run->kit.fs, &run->kit.op, run_ino(run, dir),
		               run_name(name), mode, &attr);
	else if (S_ISLNK(mode))
		got = fs_symlink(run->kit.fs, &run->kit.op, run_ino(run, dir),
		                 run_name(name), target, &attr);
	else
		got = fs_mknod(run->kit.fs, &run->kit.op, run_ino(run, dir),
		               run_name(name), mode, 0, &attr);
	run_expect_errno(run, want, got);
	if (want != 0 || got != 0)
		return;
	run->tree.nodes[node].ino = attr.ino;
	run->tree.nodes[node].uid = run->kit.op.uid;
	run->tree.nodes[node].gid = run->kit.op.gid;
	if (S_ISLNK(mode))
		tree_write(&run->tree, node, 0, target.data, target.len);
}

void step_tmpfile(struct run *run)
{
	struct fs_attr attr;
	int node = TREE_NONE;

	run->what = "tmpfile";
	if (tree_free_node(&run->tree) == TREE_NONE)
		return;
	run_expect_errno(run, tree_tmpfile(&run->tree, S_IFREG | 0600, &node),
	                 fs_tmpfile(run->kit.fs, &run->kit.op, FS_ROOT_INO,
	                            S_IFREG | 0600, &attr));
	run->tree.nodes[node].ino = attr.ino;
	run->tree.nodes[node].uid = run->kit.op.uid;
	run->tree.nodes[node].gid = run->kit.op.gid;
}

void step_link(struct run *run)
{
	int node = run_pick(run, NULL);
	int dir = run_pick_dir(run);
	int name = run_pick_name(run);
	struct fs_attr attr;
	int want;

	run->what = "link";
	want = tree_link(&run->tree, node, dir, name);
	run_expect_errno(run, want,
	                 fs_link(run->kit.fs, &run->kit.op, run_ino(run, node),
	                         run_ino(run, dir), run_name(name), &attr));
}

static void expect_victim(struct run *run, const struct fs_victim *victim)
{
	for (int i = 0; i < TREE_NODES; i++) {
		if (victim->ino == 0 || run->tree.nodes[i].ino != victim->ino)
			continue;
		run_expect(run,
		           victim->orphan == (run->tree.nodes[i].nlink == 0),
		           "the victim is an orphan, or is not");
	}
}

void step_remove(struct run *run)
{
	int dir = run_pick_dir(run);
	int name = run_pick_name(run);
	struct fs_victim victim;
	int want, got;

	run->what = "unlink or rmdir";
	if (run_below(run, 3) != 0) {
		want = tree_unlink(&run->tree, dir, name);
		got = fs_unlink(run->kit.fs, &run->kit.op, run_ino(run, dir),
		                run_name(name), &victim);
	} else {
		want = tree_rmdir(&run->tree, dir, name);
		got = fs_rmdir(run->kit.fs, &run->kit.op, run_ino(run, dir),
		               run_name(name), &victim);
	}
	run_expect_errno(run, want, got);
	run_expect(run, (victim.ino != 0) == (want == 0), "a victim is told");
	expect_victim(run, &victim);
}

void step_rename(struct run *run)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE,
	                                 RENAME_EXCHANGE};
	unsigned flag = flags[run_below(run, 5)];
	int dir = run_pick_dir(run);
	int new_dir = run_below(run, 2) == 0 ? dir : run_pick_dir(run);
	int name = run_pick_name(run);
	int new_name = run_pick_name(run);
	struct fs_victim victim;
	int want;

	run->what = "rename";
	want = tree_rename(&run->tree, dir, name, new_dir, new_name, flag);
	run_expect_errno(run, want,
	                 fs_rename(run->kit.fs, &run->kit.op, run_ino(run, dir),
	                           run_name(name), run_ino(run, new_dir),
	                           run_name(new_name), flag, &victim));
	expect_victim(run, &victim);
}

void step_reclaim(struct run *run)
{
	int node = run_pick(run, NULL);

	run->what = "reclaim";
	run_expect_errno(run, 0, fs_reclaim(run->kit.fs, run_ino(run, node)));
	if (run->tree.nodes[node].held)
		tree_drop(&run->tree, node);
}

void step_lookup(struct run *run)
{
	int dir = run_pick(run, NULL);
	int name = run_pick_name(run);
	int node = tree_is_dir(&run->tree, dir)
	               ? run->tree.nodes[dir].entries[name]
	               : TREE_NONE;
	struct fs_attr attr = {0};
	int want = node == TREE_NONE ? ENOENT : 0;

	run->what = "lookup";
	if (!tree_is_dir(&run->tree, dir))
		want = ENOTDIR;
	run_expect_errno(
	    run, want,
	    fs_lookup(run->kit.fs, run_ino(run, dir), run_name(name), &attr));
	if (want == 0)
		run_expect(run, attr.ino == run_ino(run, node),
		           "another inode");
}

/* ---- attributes ---------------------------------------------------------- */

void step_setattr(struct run *run)
{
	int node = run_pick(run, NULL);
	struct tree_node *target = &run->tree.nodes[node];
	struct fs_attr set = {
	    .mode = (uint32_t)run_below(run, 07777),
	    .uid = (uint32_t)run_below(run, 5),
	    .gid = (uint32_t)run_below(run, 5),
	    .mtime = {.tv_sec = run_below(run, 1000), .tv_nsec = 5},
	};
	unsigned which = (unsigned)run_below(run, 8) | FS_SET_MTIME;
	struct fs_attr attr;

	run->what = "setattr";
	/* A set-group-id directory would change what its children get. */
	set.mode &= ~(uint32_t)S_ISGID;
	run_expect_errno(run, 0,
	                 fs_setattr(run->kit.fs, &run->kit.op, target->ino,
	                            which, &set, &attr));
	if ((which & FS_SET_MODE) != 0)
		target->mode = (target->mode & S_IFMT) | set.mode;
	else if ((which & (FS_SET_UID | FS_SET_GID)) != 0 &&
	         !S_ISDIR(target->mode))
		target->mode &= ~(uint32_t)S_ISUID;
	if ((which & FS_SET_UID) != 0)
		target->uid = set.uid;
	if ((which & FS_SET_GID) != 0)
		target->gid = set.gid;
	run_expect(run, attr.mtime.tv_sec == set.mtime.tv_sec,
	           "mtime is not set");
}

void step_setxattr(struct run *run)
{
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	int flag = flags[run_below(run, 4)];
	int node = run_pick(run, NULL);
	int i = run_below(run, TREE_XATTRS);
	int len = run_below(run, TREE_XATTR_MAX_BYTES);
	struct tree_node *target = &run->tree.nodes[node];
	bool exists = target->xattr_len[i] != TREE_NONE;
	int want = 0;

	run->what = "setxattr";
	if (exists && flag == XATTR_CREATE)
		want = EEXIST;
	if (!exists && flag == XATTR_REPLACE)
		want = ENODATA;
	gen_bytes(&run->gen, run->io, (size_t)len);
	run_expect_errno(run, want,
	                 fs_setxattr(run->kit.fs, &run->kit.op, target->ino,
	                             run_xattr_name(i),
	                             slice_make(run->io, (size_t)len), flag));
	if (want != 0)
		return;
	memcpy(target->xattrs[i], run->io, (size_t)len);
	target->xattr_len[i] = len;
}

void step_removexattr(struct run *run)
{
	int node = run_pick(run, NULL);
	int i = run_below(run, TREE_XATTRS);
	struct tree_node *target = &run->tree.nodes[node];

	run->what = "removexattr";
	run_expect_errno(run, target->xattr_len[i] == TREE_NONE ? ENODATA : 0,
	                 fs_removexattr(run->kit.fs, &run->kit.op, target->ino,
	                                run_xattr_name(i)));
	target->xattr_len[i] = TREE_NONE;
}
