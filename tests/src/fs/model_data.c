/* SPDX-License-Identifier: MIT */
/*
 * model_data.c: the steps that deal with contents.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "model_run.h"

void step_write(struct run *run)
{
	int node = run_pick(run, tree_is_file);
	size_t offset, len;

	run->what = "write";
	if (node == TREE_NONE)
		return;
	offset = run_pick_offset(run, TREE_FILE_MAX_BYTES - RUN_IO_MAX_BYTES);
	if (run_below(run, 3) == 0)
		offset = run->tree.nodes[node].size;
	len = run_pick_offset(run, RUN_IO_MAX_BYTES);
	if (offset + len > TREE_FILE_MAX_BYTES)
		return;
	if (run_below(run, 4) == 0)
		memset(run->io, 0, len);
	else
		gen_bytes(&run->gen, run->io, len);
	tree_write(&run->tree, node, offset, run->io, len);
	run_expect_errno(
	    run, 0,
	    kit_write(&run->kit, run_ino(run, node), offset, run->io, len));
}

void step_small_writes(struct run *run)
{
	int node = run_pick(run, tree_is_file);
	size_t base =
	    run_pick_offset(run, TREE_FILE_MAX_BYTES - RUN_IO_MAX_BYTES);

	run->what = "small writes";
	for (int i = 0; node != TREE_NONE && i < 20; i++) {
		size_t offset = base + (size_t)run_below(run, 3000);
		size_t len = (size_t)run_below(run, 200);

		gen_bytes(&run->gen, run->io, len);
		tree_write(&run->tree, node, offset, run->io, len);
		run_expect_errno(run, 0,
		                 kit_write(&run->kit, run_ino(run, node),
		                           offset, run->io, len));
	}
}

void step_read(struct run *run)
{
	int node = run_pick(run, tree_is_file);

	run->what = "read";
	if (node != TREE_NONE)
		run_expect_bytes(run, node,
		                 run_pick_offset(run, TREE_FILE_MAX_BYTES),
		                 run_pick_offset(run, RUN_IO_MAX_BYTES));
}

void step_truncate(struct run *run)
{
	int node = run_pick(run, tree_is_file);
	size_t size = run_pick_offset(run, TREE_FILE_MAX_BYTES);

	run->what = "truncate";
	if (node == TREE_NONE)
		return;
	if (run_below(run, 4) == 0)
		size = 0;
	tree_resize(&run->tree, node, size);
	run_expect_errno(run, 0,
	                 kit_truncate(&run->kit, run_ino(run, node), size));
}

void step_fallocate(struct run *run)
{
	static const int modes[] = {
	    0,
	    FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_ZERO_RANGE,
	    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[run_below(run, 6)];
	int node = run_pick(run, tree_is_file);
	size_t offset =
	    run_pick_offset(run, TREE_FILE_MAX_BYTES - RUN_IO_MAX_BYTES);
	size_t len = run_pick_offset(run, RUN_IO_MAX_BYTES) + 1;

	run->what = "fallocate";
	if (node == TREE_NONE)
		return;
	if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) != 0)
		tree_zero(&run->tree, node, offset, len);
	if ((mode & FALLOC_FL_KEEP_SIZE) == 0 &&
	    offset + len > run->tree.nodes[node].size)
		tree_resize(&run->tree, node, offset + len);
	run_expect_errno(run, 0,
	                 fs_fallocate(run->kit.fs, &run->kit.op,
	                              run_ino(run, node), mode, offset, len));
}

static bool is_zero(const uint8_t *data, size_t from, size_t to)
{
	for (; from < to; from++) {
		if (data[from] != 0)
			return false;
	}
	return true;
}

void step_seek(struct run *run)
{
	int node = run_pick(run, tree_is_file);
	size_t offset = run_pick_offset(run, TREE_FILE_MAX_BYTES);
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
		run_expect_errno(run, ENXIO, err);
		err = fs_seek(run->kit.fs, file->ino, offset, SEEK_HOLE, &hole);
		run_expect_errno(run, ENXIO, err);
		return;
	}
	if (err == ENXIO)
		data = file->size;
	else
		run_expect_errno(run, 0, err);
	run_expect(run, data >= offset && data <= file->size,
	           "data out of range");
	run_expect(run,
	           run->failed || is_zero(file->data, offset, (size_t)data),
	           "data was passed over");
	run_expect_errno(
	    run, 0, fs_seek(run->kit.fs, file->ino, offset, SEEK_HOLE, &hole));
	run_expect(run, hole >= offset && hole <= file->size,
	           "hole out of range");
	run_expect(run, hole == offset || data == offset,
	           "neither data nor hole");
}

void step_copy(struct run *run)
{
	int from = run_pick(run, tree_is_file);
	int to = run_pick(run, tree_is_file);
	size_t from_offset = run_pick_offset(run, TREE_FILE_MAX_BYTES);
	size_t to_offset =
	    run_pick_offset(run, TREE_FILE_MAX_BYTES - RUN_IO_MAX_BYTES);
	size_t len = run_pick_offset(run, RUN_IO_MAX_BYTES);
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
	run_expect_errno(run, want,
	                 fs_copy_range(run->kit.fs, &run->kit.op,
	                               run_ino(run, from), from_offset,
	                               run_ino(run, to), to_offset, len,
	                               &copied));
	if (want != 0)
		return;
	run_expect(run, copied == left, "another number of bytes");
	if (left > 0)
		memcpy(run->io, run->tree.nodes[from].data + from_offset, left);
	tree_write(&run->tree, to, to_offset, run->io, left);
}
