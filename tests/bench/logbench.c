/* SPDX-License-Identifier: MIT */
/*
 * logbench.c: what one append to a log costs: as the writer of logs does it, and
 * with mappings, or preallocation too, refused by the env.
 *
 * For each size of record and each rhythm of syncs the ways take turns, round
 * by round, so that a slow minute of the machine hits all of them; printed is
 * the median of the rounds. With syncs the time of the sync is in it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/sync.h"
#include "wal/wal_writer.h"

enum {
	ROUNDS_MAX = 101,
	ROUNDS_DEFAULT = 7,
	STEP_BYTES = 64 << 10,  /* as lsm_options has it */
	ROUND_BYTES = 24 << 20, /* of a log: about a memtable's */
	ROUND_APPENDS_MAX = 50000,
	ROUND_SYNCS = 200, /* at most, where it syncs */
	RECORD_MAX_BYTES = 64 << 10,
};

enum way { WAY_MAPPED, WAY_WRITTEN, WAY_GROWING, WAYS };

static const char *const way_names[WAYS] = {"as it is", "written", "growing"};

static uint8_t payload[RECORD_MAX_BYTES];

static void die(const char *what, enum lsm_err err)
{
	fprintf(stderr, "logbench: %s: %s\n", what, lsm_strerror(err));
	exit(EXIT_FAILURE);
}

static enum lsm_err refuse_map(struct env_file *file, uint64_t offset,
                               uint64_t len, struct env_map **map_out)
{
	(void)file;
	(void)offset;
	(void)len;
	(void)map_out;
	return LSM_ERR_NOT_SUPPORTED;
}

static enum lsm_err refuse_room(struct env_file *file, uint64_t offset,
                                uint64_t len)
{
	(void)file;
	(void)offset;
	(void)len;
	return LSM_ERR_NOT_SUPPORTED;
}

/* The system's env, without what the way does without. */
static const struct env *env_of(enum way way)
{
	static struct env_ops ops[WAYS];
	static struct env envs[WAYS];

	ops[way] = *env_posix()->ops;
	if (way != WAY_MAPPED)
		ops[way].map = refuse_map;
	if (way == WAY_GROWING)
		ops[way].preallocate = refuse_room;
	envs[way].ops = &ops[way];
	return &envs[way];
}

static size_t appends_of(size_t bytes, unsigned sync_each)
{
	size_t count = ROUND_BYTES / wal_record_bytes(bytes);

	if (count > ROUND_APPENDS_MAX)
		count = ROUND_APPENDS_MAX;
	if (sync_each > 0 && count > (size_t)sync_each * ROUND_SYNCS)
		count = (size_t)sync_each * ROUND_SYNCS;
	return count;
}

static void append(struct wal_writer *log, size_t bytes, size_t count,
                   unsigned sync_each)
{
	struct slice record = slice_make(payload, bytes);
	enum lsm_err err = LSM_OK;

	for (size_t i = 1; err == LSM_OK && i <= count; i++) {
		err = wal_writer_reserve(log, wal_record_bytes(bytes));
		if (err == LSM_OK)
			err = wal_writer_append(log, &record, 1);
		if (err == LSM_OK && sync_each > 0 && i % sync_each == 0)
			err = wal_writer_sync(log);
	}
	if (err != LSM_OK)
		die("append", err);
}

/* One log, filled; microseconds an append. */
static double run_round(const char *folder, enum way way, size_t bytes,
                        unsigned sync_each)
{
	const size_t count = appends_of(bytes, sync_each);
	struct file_header header = {.kind = FILE_KIND_LOG,
	                             .id = {0x6c6f67, 1}};
	char name[FILE_NAME_MAX_BYTES];
	struct wal_writer *log;
	struct env_dir *dir;
	enum lsm_err err;
	uint64_t start, end;

	err = env_dir_open(env_of(way), folder, &dir);
	if (err != LSM_OK)
		die("open folder", err);
	err = wal_writer_create(dir, &header, STEP_BYTES, 4, &log);
	if (err == LSM_OK)
		err = wal_writer_sync(log); /* as a store does */
	if (err != LSM_OK)
		die("create", err);
	start = sync_now_ns();
	append(log, bytes, count, sync_each);
	end = sync_now_ns();
	/* The next round starts with nothing to be written back. */
	err = wal_writer_sync(log);
	wal_writer_destroy(log);
	file_name_format(header.kind, header.id, name);
	if (err == LSM_OK)
		err = env_unlink(dir, name);
	if (err != LSM_OK)
		die("end of a round", err);
	env_dir_close(dir);
	return (double)(end - start) / 1e3 / (double)count;
}

static int compare_doubles(const void *a, const void *b)
{
	const double *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void run_case(const char *folder, size_t bytes, unsigned sync_each,
                     unsigned rounds)
{
	static double us[WAYS][ROUNDS_MAX];

	for (unsigned r = 0; r < rounds; r++)
		for (enum way way = 0; way < WAYS; way++)
			us[way][r] = run_round(folder, way, bytes, sync_each);
	if (sync_each == 0)
		printf("%7zu  no sync      ", bytes);
	else
		printf("%7zu  sync each %-3u", bytes, sync_each);
	for (enum way way = 0; way < WAYS; way++) {
		qsort(us[way], rounds, sizeof(double), compare_doubles);
		printf("  %9.2f", us[way][rounds / 2]);
	}
	printf("\n");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {100, 400, 900, 4200, 64 << 10};
	static const unsigned syncs[] = {0, 1, 16, 256};
	unsigned rounds = ROUNDS_DEFAULT;

	if (argc == 3)
		rounds = (unsigned)strtoul(argv[2], NULL, 10);
	if (argc < 2 || argc > 3 || rounds == 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: logbench FOLDER [ROUNDS]\n");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 131);
	printf("microseconds an append, median of %u rounds\n", rounds);
	printf("%7s  %-13s", "bytes", "");
	for (enum way way = 0; way < WAYS; way++)
		printf("  %9s", way_names[way]);
	printf("\n");
	for (size_t s = 0; s < sizeof(syncs) / sizeof(syncs[0]); s++)
		for (size_t b = 0; b < sizeof(sizes) / sizeof(sizes[0]); b++)
			run_case(argv[1], sizes[b], syncs[s], rounds);
	return EXIT_SUCCESS;
}
