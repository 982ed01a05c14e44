/* SPDX-License-Identifier: MIT */
#include "model_run.h"

#include <errno.h>
#include <stdio.h>

void run_expect(struct run *run, bool fine, const char *what)
{
	if (fine || run->failed)
		return;
	fprintf(stderr, "step %d, %s: %s\n", run->step, run->what, what);
	run->failed = true;
}

void run_expect_errno(struct run *run, int want, int got)
{
	if (want == got || run->failed)
		return;
	fprintf(stderr, "step %d, %s: errno %d, not %d\n", run->step, run->what,
	        got, want);
	run->failed = true;
}

/* ---- choosing ------------------------------------------------------------ */

int run_below(struct run *run, int limit)
{
	return (int)gen_below(&run->gen, (uint64_t)limit);
}

int run_pick_name(struct run *run)
{
	return run_below(run, TREE_NAMES);
}

struct slice run_name(int name)
{
	static const char names[] = "abcdefghijklmnopqrstuvwxyz";

	return slice_make(names + name, 1);
}

/* A node for which `wanted` is true, or TREE_NONE. */
int run_pick(struct run *run, bool (*wanted)(const struct tree *, int))
{
	int first = run_below(run, TREE_NODES);

	for (int i = 0; i < TREE_NODES; i++) {
		int node = (first + i) % TREE_NODES;

		if (run->tree.nodes[node].used &&
		    (wanted == NULL || wanted(&run->tree, node)))
			return node;
	}
	return TREE_NONE;
}

int run_pick_dir(struct run *run)
{
	int dir = run_pick(run, tree_is_dir);

	return dir == TREE_NONE || run_below(run, 4) == 0 ? TREE_ROOT : dir;
}

uint64_t run_ino(struct run *run, int node)
{
	return run->tree.nodes[node].ino;
}

/* Often at or near an edge of a chunk or of the inline form. */
size_t run_pick_offset(struct run *run, size_t limit)
{
	static const size_t edges[] = {0,      1,      4095,   4096,  4097,
	                               65535,  65536,  65537,  69632, 131072,
	                               196608, 262144, 393216, 524288};
	size_t count = sizeof(edges) / sizeof(edges[0]);
	size_t offset;

	if (run_below(run, 3) == 0)
		offset = edges[run_below(run, (int)count)];
	else if (run_below(run, 3) == 0)
		offset = (size_t)run_below(run, 6000);
	else
		offset = (size_t)run_below(run, (int)limit);
	return offset < limit ? offset : limit - 1;
}

struct slice run_xattr_name(int i)
{
	static const char *const names[TREE_XATTRS] = {
	    "user.a", "user.b", "trusted.c", "security.d"};

	return slice_str(names[i]);
}

/* ---- comparing ----------------------------------------------------------- */

void run_expect_bytes(struct run *run, int node, size_t offset, size_t len)
{
	struct tree_node *file = &run->tree.nodes[node];
	size_t want = offset < file->size ? file->size - offset : 0;
	size_t got = 0;

	if (want > len)
		want = len;
	run_expect_errno(
	    run, 0,
	    fs_read(run->kit.fs, file->ino, offset, run->io, len, &got));
	run_expect(run, got == want, "another number of bytes");
	for (size_t i = 0; i < want && !run->failed; i++) {
		if (run->io[i] == file->data[offset + i])
			continue;
		fprintf(stderr, "inode %llu, byte %zu of %zu: %02x, not %02x\n",
		        (unsigned long long)file->ino, offset + i, file->size,
		        run->io[i], file->data[offset + i]);
		run_expect(run, false, "other bytes");
	}
}

struct found {
	struct run *run;
	int dir;
	int room; /* of this call */
	uint64_t cookie;
	int seen[TREE_NAMES];
	int count, dots;
};

static bool take_entry(void *ctx, struct slice name, uint64_t next_cookie,
                       const struct fs_attr *attr)
{
	struct found *found = ctx;
	struct run *run = found->run;
	int index = name.data[0] - 'a';
	int node;

	if (found->room-- == 0)
		return false;
	found->cookie = next_cookie;
	found->count++;
	if (name.data[0] == '.') {
		found->dots++;
		return true;
	}
	run_expect(run, name.len == 1 && index >= 0 && index < TREE_NAMES,
	           "a name nobody gave");
	node = run->failed ? TREE_NONE
	                   : run->tree.nodes[found->dir].entries[index];
	run_expect(run, node != TREE_NONE, "an entry nobody made");
	if (run->failed)
		return true;
	found->seen[index]++;
	run_expect(run, attr->ino == run_ino(run, node),
	           "an entry names another");
	run_expect(
	    run, (attr->mode & S_IFMT) == (run->tree.nodes[node].mode & S_IFMT),
	    "an entry has another type");
	return true;
}

static void expect_listing(struct run *run, int dir)
{
	struct found found = {.run = run, .dir = dir};
	int before;

	do {
		before = found.count;
		found.room = 1 + run_below(run, 5);
		run_expect_errno(
		    run, 0,
		    fs_readdir(run->kit.fs, run_ino(run, dir), found.cookie,
		               run_below(run, 2) == 0, take_entry, &found));
	} while (found.count > before && !run->failed);
	run_expect(run, found.dots == 2, "dots are missing");
	run_expect(run, found.count == 2 + tree_count_entries(&run->tree, dir),
	           "another number of entries");
	for (int i = 0; i < TREE_NAMES; i++)
		run_expect(run, found.seen[i] <= 1, "an entry came twice");
}

static void expect_xattrs(struct run *run, int node)
{
	struct tree_node *want = &run->tree.nodes[node];
	struct buf value = BUF_INIT;
	size_t bytes = 0;

	for (int i = 0; i < TREE_XATTRS; i++) {
		int err = fs_getxattr(run->kit.fs, want->ino, run_xattr_name(i),
		                      &value);

		if (want->xattr_len[i] == TREE_NONE) {
			run_expect_errno(run, ENODATA, err);
			continue;
		}
		run_expect_errno(run, 0, err);
		run_expect(run,
		           slice_equal(buf_slice(&value),
		                       slice_make(want->xattrs[i],
		                                  (size_t)want->xattr_len[i])),
		           "another xattr");
		bytes += run_xattr_name(i).len + 1;
	}
	run_expect_errno(run, 0, fs_listxattr(run->kit.fs, want->ino, &value));
	run_expect(run, value.len == bytes, "another list of xattrs");
	buf_release(&value);
}

void run_expect_node(struct run *run, int node)
{
	struct tree_node *want = &run->tree.nodes[node];
	struct buf target = BUF_INIT;
	struct fs_attr attr = {0};

	run_expect_errno(run, 0, fs_getattr(run->kit.fs, want->ino, &attr));
	run_expect(run, attr.nlink == want->nlink, "another link count");
	run_expect(run, attr.mode == want->mode, "another mode");
	if (node != TREE_ROOT)
		run_expect(run, attr.uid == want->uid && attr.gid == want->gid,
		           "another owner");
	if (S_ISREG(want->mode) || S_ISLNK(want->mode))
		run_expect(run, attr.size == want->size, "another size");
	if (S_ISREG(want->mode))
		run_expect_bytes(run, node, 0, want->size + 1);
	if (S_ISLNK(want->mode)) {
		run_expect_errno(run, 0,
		                 fs_readlink(run->kit.fs, want->ino, &target));
		run_expect(run,
		           slice_equal(buf_slice(&target),
		                       slice_make(want->data, want->size)),
		           "another target");
	}
	if (S_ISDIR(want->mode))
		expect_listing(run, node);
	expect_xattrs(run, node);
	buf_release(&target);
}

void run_expect_all(struct run *run)
{
	run->what = "dump";
	for (int i = 0; i < TREE_NODES && !run->failed; i++) {
		if (run->tree.nodes[i].used)
			run_expect_node(run, i);
	}
	run_expect(run, kit_faults(&run->kit, "") == 0, "check finds faults");
}
