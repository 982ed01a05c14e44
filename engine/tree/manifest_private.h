/* SPDX-License-Identifier: MIT */
/*
 * manifest_private.h: what manifest.c, which writes, and manifest_recover.c,
 * which reads, must agree on; private to the two.
 */
#ifndef LSM_TREE_MANIFEST_PRIVATE_H
#define LSM_TREE_MANIFEST_PRIVATE_H

#include "io/file_header.h"

/* The first byte of a payload. On disk. Frozen. */
enum manifest_tag {
	MANIFEST_TAG_BRANCH = 1,
	MANIFEST_TAG_EDIT = 2,
	MANIFEST_TAG_MARK = 3,
	MANIFEST_TAG_BASE = 4,
};

/* Flags of a branch record. On disk. Frozen. */
enum { MANIFEST_FLAG_READ_ONLY = 1 };

#define MANIFEST_CURRENT "CURRENT"
enum {
	MANIFEST_CURRENT_MAX_BYTES = 64,
	MANIFEST_FIRST_NUMBER = 1,
	MANIFEST_STEP_BYTES = 4096, /* preallocation step */
};

/* "MANIFEST-<n>", n decimal from 1 without leading zeros; nothing around it. */
void manifest_name_format(uint64_t number, char out[FILE_NAME_MAX_BYTES]);
bool manifest_name_parse(struct slice name, uint64_t *number_out);

#endif
