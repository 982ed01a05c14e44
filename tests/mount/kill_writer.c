/* SPDX-License-Identifier: MIT */
/*
 * kill_writer.c: change a folder at random until its daemon is killed, and see
 * afterwards whether everything is there.
 *
 * Usage: kill_writer write FOLDER JOURNAL SEED   until the folder is dead
 *        kill_writer verify FOLDER JOURNAL       compare; prints how many
 *                                                operations returned
 *
 * The journal lies outside the mount. It gets a line before each operation and
 * one after it when the operation has returned: "=" and, of a write, how many
 * bytes it said were written. The last one without "=" may have happened, or
 * not, or of a write a part; all others must have.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/mount/kill_model.h"

enum { MAX_STEPS = 100000, LINE_BYTES = 512, REPORT_LINES = 20 };

static bool is_death(int err)
{
	return err == ENOTCONN || err == ECONNABORTED;
}

/* ---- write --------------------------------------------------------------- */

static int write_until_death(int root, FILE *journal, uint64_t seed)
{
	static struct model model;
	uint64_t random = seed;
	struct op op;
	int err = 0;

	for (unsigned step = 0; step < MAX_STEPS && err == 0; step++) {
		op_random(&model, &random, step, &op);
		op_print(journal, &op);
		fflush(journal);
		err = op_run(&op, root);
		if (err != 0)
			break;
		if (!model_apply(&model, &op))
			abort();
		fprintf(journal, "=%" PRIu64 "\n", op.len);
		fflush(journal);
	}
	model_release(&model);
	if (err == 0 || is_death(err))
		return 0;
	fprintf(stderr, "%s: ", strerror(err));
	op_print(stderr, &op);
	return 1;
}

/* ---- verify -------------------------------------------------------------- */

/* Apply an operation that returned `len`. Of a short write the whole stays in
   *op, as a write from where it began, and is in flight. */
static bool replay_returned(struct model *model, struct op *op, uint64_t len,
                            bool *in_flight)
{
	uint64_t whole = op->len;
	int name = model_find(model, op->a);

	*in_flight = op_is_write(op) && len < whole && name >= 0;
	if (*in_flight && op->kind == OP_APPEND) {
		op->kind = OP_WRITE;
		op->offset = model->inodes[model->names[name].inode].size;
	}
	op->len = len;
	if (!model_apply(model, op))
		return false;
	op->len = whole;
	return true;
}

/* Apply what returned; what was in flight goes to *last. */
static bool replay(FILE *journal, struct model *model, struct op *last,
                   bool *in_flight, unsigned *count)
{
	char line[LINE_BYTES];

	*in_flight = false;
	*count = 0;
	while (fgets(line, sizeof(line), journal) != NULL) {
		if (line[0] != '=') {
			if (*in_flight || !op_parse(line, last))
				return false;
			*in_flight = true;
			continue;
		}
		if (!*in_flight)
			return false;
		(*count)++;
		if (!replay_returned(model, last, strtoull(line + 1, NULL, 10),
		                     in_flight))
			return false;
		/* A write that was cut short met the death of the daemon: its
		   rest is what was in flight, and nothing came after. */
		if (*in_flight)
			break;
	}
	return true;
}

static void show(const char *title, char *report)
{
	unsigned lines = 0;

	puts(title);
	for (char *line = strtok(report, "\n");
	     line != NULL && lines < REPORT_LINES;
	     line = strtok(NULL, "\n"), lines++)
		printf("    %s\n", line);
}

static bool compare(const struct model *model, int root, char **text)
{
	size_t len;
	FILE *report = open_memstream(text, &len);
	bool same;

	if (report == NULL)
		abort();
	same = model_matches(model, root, report);
	fclose(report);
	return same;
}

/* Of a write, any first pages may have been written; the bytes of a longer part
   begin with those of a shorter one, so that the model can grow by them. */
static bool compare_in_flight(struct model *model, const struct op *last,
                              int root, char **text)
{
	struct op part = *last;
	int name = model_find(model, last->a);

	if (op_is_write(last) && name >= 0) {
		part.kind = OP_WRITE;
		if (last->kind == OP_APPEND)
			part.offset =
			    model->inodes[model->names[name].inode].size;
		part.len = PAGE - part.offset % PAGE;
		for (; part.len < last->len; part.len += PAGE) {
			if (!model_apply(model, &part))
				return false;
			if (compare(model, root, text))
				return true;
			free(*text);
			*text = NULL;
		}
		part.len = last->len;
	}
	return model_apply(model, &part) && compare(model, root, text);
}

static int verify(int root, FILE *journal)
{
	static struct model model;
	char *without = NULL, *with = NULL;
	bool in_flight, same;
	struct op last;
	unsigned count;

	if (!replay(journal, &model, &last, &in_flight, &count)) {
		puts("the journal makes no sense");
		return 1;
	}
	same = compare(&model, root, &without);
	if (!same && in_flight)
		same = compare_in_flight(&model, &last, root, &with);
	if (!same) {
		show("without the operation in flight:", without);
		if (with != NULL)
			show("with it:", with);
		op_print(stdout, &last);
	}
	printf("%u\n", count);
	free(with);
	free(without);
	model_release(&model);
	return same ? 0 : 1;
}

int main(int argc, char **argv)
{
	bool writes = argc == 5 && strcmp(argv[1], "write") == 0;
	FILE *journal;
	int root, code;

	if (!writes && (argc != 4 || strcmp(argv[1], "verify") != 0))
		return fputs("usage: kill_writer write|verify FOLDER JOURNAL "
		             "[SEED]\n",
		             stderr),
		       2;
	root = open(argv[2], O_RDONLY | O_DIRECTORY);
	journal = fopen(argv[3], writes ? "w" : "r");
	if (root < 0 || journal == NULL)
		return perror("kill_writer"), 2;
	code = writes ? write_until_death(root, journal,
	                                  strtoull(argv[4], NULL, 10))
	              : verify(root, journal);
	fclose(journal);
	close(root);
	return code;
}
