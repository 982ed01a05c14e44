/* SPDX-License-Identifier: MIT */
/*
 * job_kit.h: what a job needs around it: a pool folder in memory behind an env
 * that can fail, caches, an owner that counts references, and streams made of
 * lists of entries. One kit at a time; one thread.
 */
#ifndef TESTS_COMPACT_JOB_KIT_H
#define TESTS_COMPACT_JOB_KIT_H

#include "compact/job.h"

enum { KIT_FILES_MAX = 4096 };

struct kit {
	struct env *memory, *env; /* env fails on demand */
	struct env_dir *pool;
	struct cache *files, *blocks;
	struct table_source source;
	uint64_t last_number;
	unsigned refs[KIT_FILES_MAX]; /* of the file of that number */
	unsigned misuses; /* references given back twice, files that stay */
	enum lsm_err new_file_err; /* what new_file answers */
	atomic_bool stop;
	struct job_context context;
};

void kit_open(struct kit *kit);
/* Fails the test where a file is still referenced or in the folder, or was let
   go wrongly. */
void kit_close(struct kit *kit);

/* Files that the owner knows, and files in the pool folder. */
size_t kit_known(const struct kit *kit);
size_t kit_in_folder(const struct kit *kit);

/* One change, as a writer made it; user keys and values are C strings. */
struct entry {
	const char *user;
	uint64_t seq;
	enum key_kind kind;
	const char *value;
};

/* A stream of `count` entries in internal key order, whatever their order here;
   they are copied. */
struct iter *kit_stream(const struct entry *entries, size_t count);

/* The version that *edit (released) makes of *version (replaced). */
void kit_apply(struct version **version, struct edit *edit);

/* Add one table of these entries to `level` of *version. */
void kit_add_table(struct kit *kit, struct version **version, unsigned level,
                   const struct entry *entries, size_t count);

/* A plan that takes all of `level` and of `output_level`. */
void kit_plan(const struct version *version, unsigned level,
              unsigned output_level, struct compact_plan *plan);

/* Carry such a plan out. */
enum lsm_err kit_compact(struct kit *kit, struct version *version,
                         unsigned level, unsigned output_level,
                         struct edit *edit);

/* What a reader at `seq` finds; false for nothing. `value` as a C string. */
bool kit_get(struct kit *kit, const struct version *version, const char *user,
             uint64_t seq, struct buf *value);

#endif
