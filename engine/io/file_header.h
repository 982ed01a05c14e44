/* SPDX-License-Identifier: MIT */
/*
 * file_header.h: who a file is: the 64 bytes that begin every file of a store
 * but LOCK, CURRENT and SHALEFS, and the name of a file in the pool.
 *
 * A pool file is known by the branch that made it and a number that branch
 * never uses again, so that a name means the same bytes in every fork. The
 * header repeats it, with the family UUID: a file that was copied from an
 * unrelated store, or to another name, is refused.
 */
#ifndef LSM_IO_FILE_HEADER_H
#define LSM_IO_FILE_HEADER_H

#include "base/buf.h"

struct file_id {
	uint64_t creator; /* branch id */
	uint64_t number;  /* from 1 */
};

/* On disk. Frozen. */
enum file_kind {
	FILE_KIND_TABLE = 1, /* .sst */
	FILE_KIND_LOG = 2,   /* .wal */
	FILE_KIND_LIST = 3,  /* .list */
	FILE_KIND_MANIFEST =
	    4,                 /* branches/<id>/MANIFEST-<n>; not in the pool */
	FILE_KIND_SEGMENT = 5, /* .seg */
};

enum {
	FILE_HEADER_BYTES = 64,
	FILE_FORMAT_VERSION = 1,
	FILE_NAME_MAX_BYTES = 64,
	UUID_BYTES = 16,
};

struct uuid {
	uint8_t bytes[UUID_BYTES];
};

struct file_header {
	enum file_kind kind;
	struct file_id id;
	struct uuid family;
	uint64_t extra; /* for what a kind may need later; 0 now, not checked */
};

bool file_id_equal(struct file_id a, struct file_id b);
/* An order of file ids; memcmp's signs. */
int file_id_compare(struct file_id a, struct file_id b);

void file_header_encode(const struct file_header *header,
                        uint8_t out[FILE_HEADER_BYTES]);

/*
 * Decode and check against what is expected: kind, family and id. `name` is for
 * the log line; NULL: none. Errors: CORRUPT (magic, checksum, identity), NEWER.
 */
LSM_MUST_CHECK enum lsm_err
file_header_decode(struct slice bytes, const char *name, enum file_kind kind,
                   const struct uuid *family, struct file_id id,
                   struct file_header *header_out);

/* "<creator, 16 hex digits>-<number, decimal>.sst" and so on; of a manifest
   "MANIFEST-<number>". */
void file_name_format(enum file_kind kind, struct file_id id,
                      char out[FILE_NAME_MAX_BYTES]);

/* False when `name` is not the name of a pool file (a manifest is none). */
bool file_name_parse(const char *name, enum file_kind *kind_out,
                     struct file_id *id_out);

#endif
