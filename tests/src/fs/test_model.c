/* SPDX-License-Identifier: MIT */
/*
 * test_model.c: random operations on a filesystem and on a model of it; every
 * answer is compared, and from time to time everything there is.
 *
 * SHALEFS_SEED repeats a run. The number of a step is printed where one fails.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs_kit.h"
#include "tests/support/gen.h"
#include "tree_model.h"

enum {
	STEPS = 2500,
	DUMP_EVERY = 250,
	IO_MAX_BYTES = 150000,
	SEED = 977,
};

struct run {
	struct kit kit;
	struct tree tree;
	struct gen gen;
	uint8_t *io; /* IO_MAX_BYTES, and room for a whole file */
	int step;
	const char *what;
	bool failed;
};

static void expect(struct run *run, bool fine, const char *what)
{
	if (fine || run->failed)
		return;
	fprintf(stderr, "step %d, %s: %s\n", run->step, run->what, what);
	run->failed = true;
}

static void expect_errno(struct run *run, int want, int got)
{
	if (want == got || run->failed)
		return;
	fprintf(stderr, "step %d, %s: errno %d, not %d\n", run->step, run->what,
	        got, want);
	run->failed = true;
}

/* ---- choosing --------------------------------------------------------------------- */

static int below(struct run *run, int limit)
{
	return (int)gen_below(&run->gen, (uint64_t)limit);
}

static int pick_name(struct run *run)
{
	return below(run, TREE_NAMES);
}

static struct slice name_of(int name)
{
	static const char names[] = "abcdefghijklmnopqrstuvwxyz";

	return slice_make(names + name, 1);
}

/* A node for which `wanted` is true, or TREE_NONE. */
static int pick(struct run *run, bool (*wanted)(const struct tree *, int))
{
	int first = below(run, TREE_NODES);

	for (int i = 0; i < TREE_NODES; i++) {
		int node = (first + i) % TREE_NODES;

		if (run->tree.nodes[node].used &&
		    (wanted == NULL || wanted(&run->tree, node)))
			return node;
	}
	return TREE_NONE;
}

static int pick_dir(struct run *run)
{
	int dir = pick(run, tree_is_dir);

	return dir == TREE_NONE || below(run, 4) == 0 ? TREE_ROOT : dir;
}

static uint64_t ino_of(struct run *run, int node)
{
	return run->tree.nodes[node].ino;
}

/* Often at or near an edge of a chunk or of the inline form. */
static size_t pick_offset(struct run *run, size_t limit)
{
	static const size_t edges[] = {0,      1,      4095,   4096,  4097,
	                               65535,  65536,  65537,  69632, 131072,
	                               196608, 262144, 393216, 524288};
	size_t count = sizeof(edges) / sizeof(edges[0]);
	size_t offset;

	if (below(run, 3) == 0)
		offset = edges[below(run, (int)count)];
	else if (below(run, 3) == 0)
		offset = (size_t)below(run, 6000);
	else
		offset = (size_t)below(run, (int)limit);
	return offset < limit ? offset : limit - 1;
}

/* ---- names ------------------------------------------------------------------------- */

static void step_create(struct run *run)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
	                                 S_IFDIR, S_IFLNK, S_IFIFO};
	uint32_t mode = types[below(run, 7)] | 0640;
	struct slice target = slice_str("some/where");
	int dir = pick_dir(run);
	int name = pick_name(run);
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
		got = fs_mkdir(run->kit.fs, &run->kit.op, ino_of(run, dir),
		               name_of(name), mode, &attr);
	else if (S_ISLNK(mode))
		got = fs_symlink(run->kit.fs, &run->kit.op, ino_of(run, dir),
		                 name_of(name), target, &attr);
	else
		got = fs_mknod(run->kit.fs, &run->kit.op, ino_of(run, dir),
		               name_of(name), mode, 0, &attr);
	expect_errno(run, want, got);
	if (want != 0 || got != 0)
		return;
	run->tree.nodes[node].ino = attr.ino;
	run->tree.nodes[node].uid = run->kit.op.uid;
	run->tree.nodes[node].gid = run->kit.op.gid;
	if (S_ISLNK(mode))
		tree_write(&run->tree, node, 0, target.data, target.len);
}

static void step_tmpfile(struct run *run)
{
	struct fs_attr attr;
	int node = TREE_NONE;

	run->what = "tmpfile";
	if (tree_free_node(&run->tree) == TREE_NONE)
		return;
	expect_errno(run, tree_tmpfile(&run->tree, S_IFREG | 0600, &node),
	             fs_tmpfile(run->kit.fs, &run->kit.op, FS_ROOT_INO,
	                        S_IFREG | 0600, &attr));
	run->tree.nodes[node].ino = attr.ino;
	run->tree.nodes[node].uid = run->kit.op.uid;
	run->tree.nodes[node].gid = run->kit.op.gid;
}

static void step_link(struct run *run)
{
	int node = pick(run, NULL);
	int dir = pick_dir(run);
	int name = pick_name(run);
	struct fs_attr attr;
	int want;

	run->what = "link";
	want = tree_link(&run->tree, node, dir, name);
	expect_errno(run, want,
	             fs_link(run->kit.fs, &run->kit.op, ino_of(run, node),
	                     ino_of(run, dir), name_of(name), &attr));
}

static void expect_victim(struct run *run, const struct fs_victim *victim)
{
	for (int i = 0; i < TREE_NODES; i++) {
		if (victim->ino == 0 || run->tree.nodes[i].ino != victim->ino)
			continue;
		expect(run, victim->orphan == (run->tree.nodes[i].nlink == 0),
		       "the victim is an orphan, or is not");
	}
}

static void step_remove(struct run *run)
{
	int dir = pick_dir(run);
	int name = pick_name(run);
	struct fs_victim victim;
	int want, got;

	run->what = "unlink or rmdir";
	if (below(run, 3) != 0) {
		want = tree_unlink(&run->tree, dir, name);
		got = fs_unlink(run->kit.fs, &run->kit.op, ino_of(run, dir),
		                name_of(name), &victim);
	} else {
		want = tree_rmdir(&run->tree, dir, name);
		got = fs_rmdir(run->kit.fs, &run->kit.op, ino_of(run, dir),
		               name_of(name), &victim);
	}
	expect_errno(run, want, got);
	expect(run, (victim.ino != 0) == (want == 0), "a victim is told");
	expect_victim(run, &victim);
}

static void step_rename(struct run *run)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE,
	                                 RENAME_EXCHANGE};
	unsigned flag = flags[below(run, 5)];
	int dir = pick_dir(run);
	int new_dir = below(run, 2) == 0 ? dir : pick_dir(run);
	int name = pick_name(run);
	int new_name = pick_name(run);
	struct fs_victim victim;
	int want;

	run->what = "rename";
	want = tree_rename(&run->tree, dir, name, new_dir, new_name, flag);
	expect_errno(run, want,
	             fs_rename(run->kit.fs, &run->kit.op, ino_of(run, dir),
	                       name_of(name), ino_of(run, new_dir),
	                       name_of(new_name), flag, &victim));
	expect_victim(run, &victim);
}

static void step_reclaim(struct run *run)
{
	int node = pick(run, NULL);

	run->what = "reclaim";
	expect_errno(run, 0, fs_reclaim(run->kit.fs, ino_of(run, node)));
	if (run->tree.nodes[node].held)
		tree_drop(&run->tree, node);
}

static void step_lookup(struct run *run)
{
	int dir = pick(run, NULL);
	int name = pick_name(run);
	int node = tree_is_dir(&run->tree, dir)
	                   ? run->tree.nodes[dir].entries[name]
	                   : TREE_NONE;
	struct fs_attr attr = {0};
	int want = node == TREE_NONE ? ENOENT : 0;

	run->what = "lookup";
	if (!tree_is_dir(&run->tree, dir))
		want = ENOTDIR;
	expect_errno(run, want,
	             fs_lookup(run->kit.fs, ino_of(run, dir), name_of(name),
	                       &attr));
	if (want == 0)
		expect(run, attr.ino == ino_of(run, node), "another inode");
}

/* ---- contents ------------------------------------------------------------------------- */

static void step_write(struct run *run)
{
	int node = pick(run, tree_is_file);
	size_t offset, len;

	run->what = "write";
	if (node == TREE_NONE)
		return;
	offset = pick_offset(run, TREE_FILE_MAX_BYTES - IO_MAX_BYTES);
	if (below(run, 3) == 0)
		offset = run->tree.nodes[node].size;
	len = pick_offset(run, IO_MAX_BYTES);
	if (offset + len > TREE_FILE_MAX_BYTES)
		return;
	if (below(run, 4) == 0)
		memset(run->io, 0, len);
	else
		gen_bytes(&run->gen, run->io, len);
	tree_write(&run->tree, node, offset, run->io, len);
	expect_errno(run, 0,
	             kit_write(&run->kit, ino_of(run, node), offset, run->io,
	                       len));
}

static void step_small_writes(struct run *run)
{
	int node = pick(run, tree_is_file);
	size_t base = pick_offset(run, TREE_FILE_MAX_BYTES - IO_MAX_BYTES);

	run->what = "small writes";
	for (int i = 0; node != TREE_NONE && i < 20; i++) {
		size_t offset = base + (size_t)below(run, 3000);
		size_t len = (size_t)below(run, 200);

		gen_bytes(&run->gen, run->io, len);
		tree_write(&run->tree, node, offset, run->io, len);
		expect_errno(run, 0,
		             kit_write(&run->kit, ino_of(run, node), offset,
		                       run->io, len));
	}
}

static void expect_bytes(struct run *run, int node, size_t offset, size_t len)
{
	struct tree_node *file = &run->tree.nodes[node];
	size_t want = offset < file->size ? file->size - offset : 0;
	size_t got = 0;

	if (want > len)
		want = len;
	expect_errno(run, 0,
	             fs_read(run->kit.fs, file->ino, offset, run->io, len,
	                     &got));
	expect(run, got == want, "another number of bytes");
	for (size_t i = 0; i < want && !run->failed; i++) {
		if (run->io[i] == file->data[offset + i])
			continue;
		fprintf(stderr, "inode %llu, byte %zu of %zu: %02x, not %02x\n",
		        (unsigned long long)file->ino, offset + i, file->size,
		        run->io[i], file->data[offset + i]);
		expect(run, false, "other bytes");
	}
}

static void step_read(struct run *run)
{
	int node = pick(run, tree_is_file);

	run->what = "read";
	if (node != TREE_NONE)
		expect_bytes(run, node,
		             pick_offset(run, TREE_FILE_MAX_BYTES),
		             pick_offset(run, IO_MAX_BYTES));
}

static void step_truncate(struct run *run)
{
	int node = pick(run, tree_is_file);
	size_t size = pick_offset(run, TREE_FILE_MAX_BYTES);

	run->what = "truncate";
	if (node == TREE_NONE)
		return;
	if (below(run, 4) == 0)
		size = 0;
	tree_resize(&run->tree, node, size);
	expect_errno(run, 0, kit_truncate(&run->kit, ino_of(run, node), size));
}

static void step_fallocate(struct run *run)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[below(run, 6)];
	int node = pick(run, tree_is_file);
	size_t offset = pick_offset(run, TREE_FILE_MAX_BYTES - IO_MAX_BYTES);
	size_t len = pick_offset(run, IO_MAX_BYTES) + 1;

	run->what = "fallocate";
	if (node == TREE_NONE)
		return;
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
		tree_zero(&run->tree, node, offset, len);
	if ((mode & FALLOC_FL_KEEP_SIZE) == 0 &&
	    offset + len > run->tree.nodes[node].size)
		tree_resize(&run->tree, node, offset + len);
	expect_errno(run, 0,
	             fs_fallocate(run->kit.fs, &run->kit.op, ino_of(run, node),
	                          mode, offset, len));
}

static bool is_zero(const uint8_t *data, size_t from, size_t to)
{
	for (; from < to; from++) {
		if (data[from] != 0)
			return false;
	}
	return true;
}

static void step_seek(struct run *run)
{
	int node = pick(run, tree_is_file);
	size_t offset = pick_offset(run, TREE_FILE_MAX_BYTES);
	struct tree_node *file;
	uint64_t data = 0;
	uint64_t hole = 0;
	int err;

	run->what = "seek";
	if (node == TREE_NONE)
		return;
	file = &run->tree.nodes[node];
	err = fs_seek(run->kit.fs, file->ino, offset, SEEK_DATA, &data);
	if (offset >= file->size) {
		expect_errno(run, ENXIO, err);
		err = fs_seek(run->kit.fs, file->ino, offset, SEEK_HOLE, &hole);
		expect_errno(run, ENXIO, err);
		return;
	}
	if (err == ENXIO)
		data = file->size;
	else
		expect_errno(run, 0, err);
	expect(run, data >= offset && data <= file->size, "data out of range");
	expect(run, run->failed || is_zero(file->data, offset, (size_t)data),
	       "data was passed over");
	expect_errno(run, 0,
	             fs_seek(run->kit.fs, file->ino, offset, SEEK_HOLE, &hole));
	expect(run, hole >= offset && hole <= file->size, "hole out of range");
	expect(run, hole == offset || data == offset, "neither data nor hole");
}

static void step_copy(struct run *run)
{
	int from = pick(run, tree_is_file);
	int to = pick(run, tree_is_file);
	size_t from_offset = pick_offset(run, TREE_FILE_MAX_BYTES);
	size_t to_offset =
		pick_offset(run, TREE_FILE_MAX_BYTES - IO_MAX_BYTES);
	size_t len = pick_offset(run, IO_MAX_BYTES);
	uint64_t copied = 0;
	size_t left;
	int want = 0;

	run->what = "copy";
	if (from == TREE_NONE || to == TREE_NONE)
		return;
	left = run->tree.nodes[from].size;
	left = from_offset < left ? left - from_offset : 0;
	if (left > len)
		left = len;
	if (from == to && from_offset < to_offset + left &&
	    to_offset < from_offset + left)
		want = EINVAL;
	expect_errno(run, want,
	             fs_copy_range(run->kit.fs, &run->kit.op, ino_of(run, from),
	                           from_offset, ino_of(run, to), to_offset, len,
	                           &copied));
	if (want != 0)
		return;
	expect(run, copied == left, "another number of bytes");
	if (left > 0)
		memcpy(run->io, run->tree.nodes[from].data + from_offset, left);
	tree_write(&run->tree, to, to_offset, run->io, left);
}

/* ---- attributes -------------------------------------------------------------------------- */

static void step_setattr(struct run *run)
{
	int node = pick(run, NULL);
	struct tree_node *target = &run->tree.nodes[node];
	struct fs_attr set = {
		.mode = (uint32_t)below(run, 07777),
		.uid = (uint32_t)below(run, 5),
		.gid = (uint32_t)below(run, 5),
		.mtime = {.tv_sec = below(run, 1000), .tv_nsec = 5},
	};
	unsigned which = (unsigned)below(run, 8) | FS_SET_MTIME;
	struct fs_attr attr;

	run->what = "setattr";
	/* A set-group-id directory would change what its children get. */
	set.mode &= ~(uint32_t)S_ISGID;
	expect_errno(run, 0,
	             fs_setattr(run->kit.fs, &run->kit.op, target->ino, which,
	                        &set, &attr));
	if ((which & FS_SET_MODE) != 0)
		target->mode = (target->mode & S_IFMT) | set.mode;
	if ((which & FS_SET_UID) != 0)
		target->uid = set.uid;
	if ((which & FS_SET_GID) != 0)
		target->gid = set.gid;
	expect(run, attr.mtime.tv_sec == set.mtime.tv_sec, "mtime is not set");
}

static struct slice xattr_name(int i)
{
	static const char *const names[TREE_XATTRS] = {
		"user.a", "user.b", "trusted.c", "security.d"};

	return slice_str(names[i]);
}

static void step_setxattr(struct run *run)
{
	static const int flags[] = {0, 0, XATTR_CREATE, XATTR_REPLACE};
	int flag = flags[below(run, 4)];
	int node = pick(run, NULL);
	int i = below(run, TREE_XATTRS);
	int len = below(run, TREE_XATTR_MAX_BYTES);
	struct tree_node *target = &run->tree.nodes[node];
	bool exists = target->xattr_len[i] != TREE_NONE;
	int want = 0;

	run->what = "setxattr";
	if (exists && flag == XATTR_CREATE)
		want = EEXIST;
	if (!exists && flag == XATTR_REPLACE)
		want = ENODATA;
	gen_bytes(&run->gen, run->io, (size_t)len);
	expect_errno(run, want,
	             fs_setxattr(run->kit.fs, &run->kit.op, target->ino,
	                         xattr_name(i), slice_make(run->io, (size_t)len),
	                         flag));
	if (want != 0)
		return;
	memcpy(target->xattrs[i], run->io, (size_t)len);
	target->xattr_len[i] = len;
}

static void step_removexattr(struct run *run)
{
	int node = pick(run, NULL);
	int i = below(run, TREE_XATTRS);
	struct tree_node *target = &run->tree.nodes[node];

	run->what = "removexattr";
	expect_errno(run, target->xattr_len[i] == TREE_NONE ? ENODATA : 0,
	             fs_removexattr(run->kit.fs, &run->kit.op, target->ino,
	                            xattr_name(i)));
	target->xattr_len[i] = TREE_NONE;
}

/* ---- everything ---------------------------------------------------------------------------- */

struct found {
	struct run *run;
	int dir;
	int room;       /* of this call */
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
	expect(run, name.len == 1 && index >= 0 && index < TREE_NAMES,
	       "a name nobody gave");
	node = run->failed ? TREE_NONE
	                   : run->tree.nodes[found->dir].entries[index];
	expect(run, node != TREE_NONE, "an entry nobody made");
	if (run->failed)
		return true;
	found->seen[index]++;
	expect(run, attr->ino == ino_of(run, node), "an entry names another");
	expect(run,
	       (attr->mode & S_IFMT) == (run->tree.nodes[node].mode & S_IFMT),
	       "an entry has another type");
	return true;
}

static void expect_listing(struct run *run, int dir)
{
	struct found found = {.run = run, .dir = dir};
	int before;

	do {
		before = found.count;
		found.room = 1 + below(run, 5);
		expect_errno(run, 0,
		             fs_readdir(run->kit.fs, ino_of(run, dir),
		                        found.cookie, below(run, 2) == 0,
		                        take_entry, &found));
	} while (found.count > before && !run->failed);
	expect(run, found.dots == 2, "dots are missing");
	expect(run, found.count == 2 + tree_count_entries(&run->tree, dir),
	       "another number of entries");
	for (int i = 0; i < TREE_NAMES; i++)
		expect(run, found.seen[i] <= 1, "an entry came twice");
}

static void expect_xattrs(struct run *run, int node)
{
	struct tree_node *want = &run->tree.nodes[node];
	struct buf value = BUF_INIT;
	size_t bytes = 0;

	for (int i = 0; i < TREE_XATTRS; i++) {
		int err = fs_getxattr(run->kit.fs, want->ino, xattr_name(i),
		                      &value);

		if (want->xattr_len[i] == TREE_NONE) {
			expect_errno(run, ENODATA, err);
			continue;
		}
		expect_errno(run, 0, err);
		expect(run,
		       slice_equal(buf_slice(&value),
		                   slice_make(want->xattrs[i],
		                              (size_t)want->xattr_len[i])),
		       "another xattr");
		bytes += xattr_name(i).len + 1;
	}
	expect_errno(run, 0, fs_listxattr(run->kit.fs, want->ino, &value));
	expect(run, value.len == bytes, "another list of xattrs");
	buf_release(&value);
}

static void expect_node(struct run *run, int node)
{
	struct tree_node *want = &run->tree.nodes[node];
	struct buf target = BUF_INIT;
	struct fs_attr attr = {0};

	expect_errno(run, 0, fs_getattr(run->kit.fs, want->ino, &attr));
	expect(run, attr.nlink == want->nlink, "another link count");
	expect(run, attr.mode == want->mode, "another mode");
	if (node != TREE_ROOT)
		expect(run, attr.uid == want->uid && attr.gid == want->gid,
		       "another owner");
	if (S_ISREG(want->mode) || S_ISLNK(want->mode))
		expect(run, attr.size == want->size, "another size");
	if (S_ISREG(want->mode))
		expect_bytes(run, node, 0, want->size + 1);
	if (S_ISLNK(want->mode)) {
		expect_errno(run, 0,
		             fs_readlink(run->kit.fs, want->ino, &target));
		expect(run,
		       slice_equal(buf_slice(&target),
		                   slice_make(want->data, want->size)),
		       "another target");
	}
	if (S_ISDIR(want->mode))
		expect_listing(run, node);
	expect_xattrs(run, node);
	buf_release(&target);
}

static void expect_all(struct run *run)
{
	run->what = "dump";
	for (int i = 0; i < TREE_NODES && !run->failed; i++) {
		if (run->tree.nodes[i].used)
			expect_node(run, i);
	}
	expect(run, kit_faults(&run->kit, "") == 0, "check finds faults");
}

static void step_dump_one(struct run *run)
{
	run->what = "look at one";
	expect_node(run, pick(run, NULL));
}

/* Nobody uses anything any more, so what is held goes. */
static void step_reopen(struct run *run)
{
	run->what = "reopen";
	if (below(run, 6) != 0)
		return;
	if (below(run, 2) == 0) {
		kit_crash(&run->kit);
	} else {
		kit_close(&run->kit);
		kit_open(&run->kit);
	}
	for (int i = 0; i < TREE_NODES; i++) {
		if (run->tree.nodes[i].held)
			tree_drop(&run->tree, i);
	}
}

static void step_upkeep(struct run *run)
{
	run->what = "flush or compact";
	if (below(run, 3) == 0)
		expect(run, lsm_flush(run->kit.fs->store) == LSM_OK, "flush");
	else if (below(run, 8) == 0)
		expect(run, lsm_compact_all(run->kit.fs->store) == LSM_OK,
		       "compact");
}

/* ---- runs --------------------------------------------------------------------------------------- */

static void run_steps(struct run *run)
{
	static void (*const steps[])(struct run *) = {
		step_create,    step_create,      step_create,
		step_create,    step_tmpfile,     step_link,
		step_link,      step_remove,      step_remove,
		step_rename,    step_rename,      step_rename,
		step_reclaim,   step_reclaim,     step_lookup,
		step_write,     step_write,       step_write,
		step_write,     step_small_writes, step_read,
		step_truncate,  step_fallocate,   step_fallocate,
		step_seek,      step_copy,        step_setattr,
		step_setxattr,  step_removexattr, step_dump_one,
		step_reopen,    step_upkeep,
	};
	int count = (int)(sizeof(steps) / sizeof(steps[0]));

	for (run->step = 0; run->step < STEPS && !run->failed; run->step++) {
		steps[below(run, count)](run);
		if (run->step % DUMP_EVERY == 0)
			expect_all(run);
	}
	expect_all(run);
}

static bool run_with(struct run *run, uint64_t seed)
{
	gen_init(&run->gen, gen_seed(seed));
	run->io = malloc(TREE_FILE_MAX_BYTES + 1);
	if (run->io == NULL)
		return false;
	kit_begin(&run->kit);
	tree_init(&run->tree, FS_ROOT_INO);
	run_steps(run);
	if (!run->failed)
		kit_end(&run->kit);
	tree_release(&run->tree);
	free(run->io);
	return !run->failed;
}

static struct run the_run;

START_TEST(filesystem_does_what_the_model_does)
{
	kit_init(&the_run.kit);
	ck_assert(run_with(&the_run, SEED));
}
END_TEST

START_TEST(with_tiny_limits_too)
{
	kit_init_tiny(&the_run.kit);
	ck_assert(run_with(&the_run, SEED + 1));
}
END_TEST

START_TEST(with_colliding_hashes_too)
{
	kit_init_tiny(&the_run.kit);
	/* Two hashes for 24 names; the other limits are as they were. */
	the_run.kit.hash_mask = 3;
	ck_assert(run_with(&the_run, SEED + 2));
}
END_TEST

START_TEST(without_credit_too)
{
	kit_init_tiny(&the_run.kit);
	the_run.kit.runtime_options.credit_bytes = 0;
	ck_assert(run_with(&the_run, SEED + 3));
}
END_TEST

START_TEST(with_batches_larger_than_the_credit_too)
{
	kit_init_tiny(&the_run.kit);
	the_run.kit.runtime_options.credit_bytes = 100000;
	the_run.kit.options.memtable_bytes = 0;
	ck_assert(run_with(&the_run, SEED + 4));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("model");
	TCase *tc = tcase_create("model");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, filesystem_does_what_the_model_does);
	tcase_add_test(tc, with_tiny_limits_too);
	tcase_add_test(tc, with_colliding_hashes_too);
	tcase_add_test(tc, without_credit_too);
	tcase_add_test(tc, with_batches_larger_than_the_credit_too);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
