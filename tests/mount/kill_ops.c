/* SPDX-License-Identifier: MIT */
/* kill_ops.c: operations as text, as system calls, and at random. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tests/mount/kill_model.h"

static const char *const op_names[OP_COUNT] = {
    "create", "write",  "append", "truncate", "chmod", "setxattr", "mkdir",
    "rmdir",  "unlink", "rename", "exchange", "link",  "symlink",  "sync",
};

/* ---- as text
 * ------------------------------------------------------------------- */

void op_print(FILE *file, const struct op *op)
{
	fprintf(file, "%s %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
	        op_names[op->kind], op->a, op->b[0] == '\0' ? "-" : op->b,
	        op->offset, op->len, op->salt);
}

bool op_parse(const char *line, struct op *op)
{
	char kind[16];

	*op = (struct op){0};
	if (sscanf(line, "%15s %79s %79s %" SCNu64 " %" SCNu64 " %" SCNu64,
	           kind, op->a, op->b, &op->offset, &op->len, &op->salt) != 6)
		return false;
	if (strcmp(op->b, "-") == 0)
		op->b[0] = '\0';
	for (unsigned i = 0; i < OP_COUNT; i++) {
		if (strcmp(kind, op_names[i]) != 0)
			continue;
		op->kind = (enum op_kind)i;
		return true;
	}
	return false;
}

/* ---- as system calls
 * ---------------------------------------------------------------- */

/* Only the call in the middle changes something. */
static int run_on_file(struct op *op, int root)
{
	int append = op->kind == OP_APPEND ? O_APPEND : 0;
	uint8_t *bytes = malloc(MAX_WRITE);
	ssize_t done = 0;
	struct stat st;
	int err = 0;
	int fd;

	fd = openat(root, op->a, O_RDWR | append);
	if (bytes == NULL || fd < 0 || fstat(fd, &st) != 0) {
		err = errno;
		goto out;
	}
	switch (op->kind) {
	case OP_WRITE:
		model_fill(bytes, op->offset, op->len, op->salt);
		done = pwrite(fd, bytes, op->len, (off_t)op->offset);
		break;
	case OP_APPEND:
		model_fill(bytes, (uint64_t)st.st_size, op->len, op->salt);
		done = write(fd, bytes, op->len);
		break;
	case OP_TRUNCATE:
		done = ftruncate(fd, (off_t)op->len);
		break;
	default:
		done = fsync(fd);
	}
	if (done < 0)
		err = errno;
	else if (op_is_write(op))
		op->len = (uint64_t)done;
out:
	if (fd >= 0)
		close(fd);
	free(bytes);
	return err;
}

static int run_create(const struct op *op, int root)
{
	int fd = openat(root, op->a, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static int run_setxattr(const struct op *op, int root)
{
	int fd = openat(root, op->a, O_RDONLY);
	int err = 0;

	if (fd < 0)
		return errno;
	if (fsetxattr(fd, "user.salt", &op->salt, sizeof(op->salt), 0) != 0)
		err = errno;
	close(fd);
	return err;
}

static int run_on_name(const struct op *op, int root)
{
	switch (op->kind) {
	case OP_CHMOD:
		return fchmodat(root, op->a, (mode_t)op->salt, 0);
	case OP_MKDIR:
		return mkdirat(root, op->a, 0755);
	case OP_RMDIR:
		return unlinkat(root, op->a, AT_REMOVEDIR);
	case OP_UNLINK:
		return unlinkat(root, op->a, 0);
	case OP_RENAME:
		return renameat(root, op->a, root, op->b);
	case OP_EXCHANGE:
		return renameat2(root, op->a, root, op->b, RENAME_EXCHANGE);
	case OP_LINK:
		return linkat(root, op->a, root, op->b, 0);
	default:
		return symlinkat(op->a, root, op->b);
	}
}

int op_run(struct op *op, int root)
{
	switch (op->kind) {
	case OP_WRITE:
	case OP_APPEND:
	case OP_TRUNCATE:
	case OP_SYNC:
		return run_on_file(op, root);
	case OP_CREATE:
		return run_create(op, root);
	case OP_SETXATTR:
		return run_setxattr(op, root);
	default:
		return run_on_name(op, root) == 0 ? 0 : errno;
	}
}

/* ---- at random
 * ------------------------------------------------------------------------ */

uint64_t random_next(uint64_t *random)
{
	uint64_t x = *random += 0x9e3779b97f4a7c15U;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
	return x ^ (x >> 31);
}

static uint64_t below(uint64_t *random, uint64_t limit)
{
	return random_next(random) % limit;
}

static void pick_old(const struct model *model, uint64_t *random,
                     char path[MAX_PATH])
{
	path[0] = '\0';
	if (model->name_count > 0)
		snprintf(path, MAX_PATH, "%s",
		         model->names[below(random, model->name_count)].path);
}

/* In the root, or in a folder no deeper than three. */
static void make_new(const struct model *model, uint64_t *random, unsigned step,
                     char path[MAX_PATH])
{
	for (unsigned tries = 0; tries < 8; tries++) {
		const struct name *name;
		unsigned depth = 0;

		if (model->name_count == 0)
			break;
		name = &model->names[below(random, model->name_count)];
		for (const char *at = name->path; *at != '\0'; at++)
			depth += *at == '/';
		if (model->inodes[name->inode].type != S_IFDIR || depth > 2 ||
		    strlen(name->path) > MAX_PATH / 2)
			continue;
		snprintf(path, MAX_PATH, "%.50s/n%u", name->path, step);
		return;
	}
	snprintf(path, MAX_PATH, "n%u", step);
}

static enum op_kind pick_kind(const struct model *model, uint64_t *random)
{
	static const unsigned char weights[OP_COUNT] = {
	    [OP_CREATE] = 12,  [OP_WRITE] = 25,   [OP_APPEND] = 12,
	    [OP_TRUNCATE] = 5, [OP_CHMOD] = 3,    [OP_SETXATTR] = 4,
	    [OP_MKDIR] = 4,    [OP_RMDIR] = 2,    [OP_UNLINK] = 8,
	    [OP_RENAME] = 10,  [OP_EXCHANGE] = 3, [OP_LINK] = 5,
	    [OP_SYMLINK] = 3,  [OP_SYNC] = 1,
	};
	unsigned total = 0, kind = 0;
	uint64_t at;

	/* Half full, more goes than comes. */
	if (model->name_count > MAX_NAMES / 2 && below(random, 2) == 0)
		return OP_UNLINK;
	for (unsigned i = 0; i < OP_COUNT; i++)
		total += weights[i];
	at = below(random, total);
	while (at >= weights[kind])
		at -= weights[kind++];
	return (enum op_kind)kind;
}

static uint64_t pick_len(uint64_t *random)
{
	switch (below(random, 8)) {
	case 0:
		return 1 + below(random, MAX_WRITE);
	case 1:
		return 65536;
	case 2:
		return 4096;
	default:
		return 1 + below(random, 5000);
	}
}

static void pick_arguments(const struct model *model, uint64_t *random,
                           unsigned step, struct op *op)
{
	*op = (struct op){.kind = pick_kind(model, random)};
	op->salt = random_next(random) >> 1;
	if (op->kind == OP_CREATE || op->kind == OP_MKDIR)
		make_new(model, random, step, op->a);
	else
		pick_old(model, random, op->a);

	switch (op->kind) {
	case OP_WRITE:
		op->offset = below(random, 3) == 0 ? below(random, 200000)
		                                   : below(random, 4000);
		op->len = pick_len(random);
		break;
	case OP_APPEND:
		op->len = pick_len(random);
		break;
	case OP_TRUNCATE:
		op->len = below(random, 100000);
		break;
	case OP_CHMOD:
		op->salt = 0700 + below(random, 0100);
		break;
	case OP_RENAME:
	case OP_LINK:
	case OP_SYMLINK:
		make_new(model, random, step, op->b);
		if (op->kind == OP_RENAME && below(random, 3) == 0)
			pick_old(model, random, op->b);
		break;
	case OP_EXCHANGE:
		pick_old(model, random, op->b);
		break;
	default:
		break;
	}
}

/* Whether the model allows it, without touching the model. */
static bool is_allowed(const struct model *model, const struct op *op)
{
	struct model *copy;
	bool allowed;

	if (op->a[0] == '\0')
		return false;
	copy = malloc(sizeof(*copy));
	if (copy == NULL)
		abort();
	*copy = *model;
	/* The bytes are not copied: they are only looked at by size. */
	for (unsigned i = 0; i < copy->inode_count; i++)
		copy->inodes[i].bytes = NULL;
	if (op_is_write(op) || op->kind == OP_TRUNCATE) {
		int name = model_find(model, op->a);
		const struct inode *inode =
		    name < 0 ? NULL : &model->inodes[model->names[name].inode];
		uint64_t at = op->kind == OP_APPEND && inode != NULL
		                  ? inode->size
		                  : op->offset;

		allowed = inode != NULL && inode->type == S_IFREG &&
		          at + op->len <= MAX_FILE;
	} else {
		allowed = model_apply(copy, op);
		for (unsigned i = 0; i < copy->inode_count; i++)
			free(copy->inodes[i].bytes);
	}
	free(copy);
	return allowed;
}

void op_random(const struct model *model, uint64_t *random, unsigned step,
               struct op *op)
{
	do
		pick_arguments(model, random, step, op);
	while (!is_allowed(model, op));
}
