/* SPDX-License-Identifier: MIT */
/*
 * wal_kit.h: a folder in memory behind a fault env, one log in it, and its
 * bytes, for the tests of engine/wal.
 */
#ifndef TESTS_ENGINE_WAL_WAL_KIT_H
#define TESTS_ENGINE_WAL_WAL_KIT_H

#include <check.h>

#include "tests/support/env_fault.h"
#include "tests/support/gen.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

enum { STEP = 4096 };

/* What every test starts from. */
extern struct env *mem;   /* the folder's bytes */
extern struct env *fault; /* around it */
extern struct env_dir *pool;
extern const struct file_header log_header;

void setup(void);
void teardown(void);

/* Make the log of log_header, with steps of STEP. */
struct wal_writer *new_log(void);
/* Append a record of these bytes, alone. */
enum lsm_err append_one(struct wal_writer *writer, const void *data,
                        size_t len);

/* The bytes of the log, and others in their place. */
void log_bytes(struct buf *out);
void set_log_bytes(struct slice bytes);

/* What a reader of the log came to. */
struct outcome {
	enum lsm_err err; /* of open or of the walk */
	size_t records;
	struct buf payloads; /* one after the other, each prefixed */
	bool sealed;
	uint64_t end, promise;
};

/* Read the log of `dir`, which is known to be durable up to `promised`. */
void read_log_of(struct env_dir *dir, uint64_t promised, struct outcome *out);
void read_log(uint64_t promised, struct outcome *out);
void outcome_release(struct outcome *outcome);

/* Whether the payloads of `part` are the first ones of `whole`. */
bool is_prefix(const struct outcome *part, const struct outcome *whole);

/* Run the suite; main() returns what this does. */
int run_suite(Suite *suite);

#endif
