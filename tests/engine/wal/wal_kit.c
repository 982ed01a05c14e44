/* SPDX-License-Identifier: MIT */
#include "tests/engine/wal/wal_kit.h"

#include <stdlib.h>

#include "base/coding.h"
#include "base/log.h"

struct env *mem;
struct env *fault;
struct env_dir *pool;

const struct file_header log_header = {
    .kind = FILE_KIND_LOG,
    .id = {.creator = 0x1122334455667788, .number = 7},
    .family = {.bytes = {1, 2, 3, 4, 5}},
    .extra = 6,
};

/* Damage is logged by design; a test looks at what is returned. */
static void drop_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

void setup(void)
{
	log_set_sink(drop_line, NULL);
	ck_assert_int_eq(env_mem_create(&mem), LSM_OK);
	ck_assert_int_eq(env_fault_create(mem, &fault), LSM_OK);
	ck_assert_int_eq(env_dir_open(fault, "/", &pool), LSM_OK);
}

void teardown(void)
{
	env_dir_close(pool);
	env_fault_destroy(fault);
	env_mem_destroy(mem);
}

struct wal_writer *new_log(void)
{
	struct wal_writer *writer;

	ck_assert_int_eq(wal_writer_create(pool, &log_header, STEP, 4, &writer),
	                 LSM_OK);
	return writer;
}

enum lsm_err append_one(struct wal_writer *writer, const void *data, size_t len)
{
	struct slice payload = slice_make(data, len);

	return wal_writer_append(writer, &payload, 1);
}

void log_bytes(struct buf *out)
{
	char name[FILE_NAME_MAX_BYTES];

	file_name_format(FILE_KIND_LOG, log_header.id, name);
	buf_init(out);
	ck_assert_int_eq(env_read_file(pool, name, SIZE_MAX / 2, out), LSM_OK);
}

void set_log_bytes(struct slice bytes)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;
	enum lsm_err err;

	file_name_format(FILE_KIND_LOG, log_header.id, name);
	err = env_unlink(pool, name);
	ck_assert(err == LSM_OK || err == LSM_ERR_NOT_FOUND);
	ck_assert_int_eq(env_open(pool, name, ENV_CREATE, &file), LSM_OK);
	if (bytes.len > 0)
		ck_assert_int_eq(env_write(file, 0, bytes.data, bytes.len),
		                 LSM_OK);
	ck_assert_int_eq(env_close(file), LSM_OK);
}

void read_log_of(struct env_dir *dir, uint64_t promised, struct outcome *out)
{
	struct wal_reader *reader;
	struct slice payload;
	bool more;

	memset(out, 0, sizeof(*out));
	out->err = wal_reader_open(dir, FILE_KIND_LOG, log_header.id,
	                           &log_header.family, promised, &reader);
	if (out->err != LSM_OK)
		return;
	for (;;) {
		out->err = wal_reader_next(reader, &payload, &more);
		if (out->err != LSM_OK || !more)
			break;
		ck_assert_int_eq(append_prefixed(&out->payloads, payload),
		                 LSM_OK);
		out->records++;
	}
	out->sealed = wal_reader_sealed(reader);
	out->end = wal_reader_end(reader);
	out->promise = wal_reader_promise(reader);
	wal_reader_close(reader);
}

void read_log(uint64_t promised, struct outcome *out)
{
	read_log_of(pool, promised, out);
}

void outcome_release(struct outcome *outcome)
{
	buf_release(&outcome->payloads);
}

bool is_prefix(const struct outcome *part, const struct outcome *whole)
{
	return part->records <= whole->records &&
	       slice_starts_with(buf_slice(&whole->payloads),
	                         buf_slice(&part->payloads));
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
