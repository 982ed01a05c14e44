/* SPDX-License-Identifier: MIT */
/*
 * table_builder.h: stream sorted entries into one table file.
 */
#ifndef LSM_SST_TABLE_BUILDER_H
#define LSM_SST_TABLE_BUILDER_H

#include "base/key.h"
#include "seg/segment_use.h"
#include "sst/format.h"

struct table_builder;

/* What a finished table is known by; the manifest keeps it. */
struct table_info {
	uint64_t file_bytes;
	uint64_t entries;
	uint64_t deletes; /* among the entries: tombstones, and what lies under
	                       a newer entry of its key: a rewrite may drop it */
	uint64_t raw_bytes; /* keys and values */
	uint64_t min_seq, max_seq;
	struct buf smallest, largest; /* internal keys */
	/* Of the range tombstones among the entries: how many, the length of
	   their prefixes, the least sequence, and a user key that none of them
	   reaches beyond. */
	uint64_t ranges, ranges_prefix_bytes, ranges_min_seq;
	struct buf ranges_reach;
	struct segment_uses segments; /* what its pointers lead to */
};

void table_info_init(struct table_info *info);
void table_info_release(struct table_info *info);

/* Add one entry to the figures; the keys are not touched. `older`: the entry
   before it has the same user key. */
void table_info_count(struct table_info *info, struct slice ikey,
                      struct slice value, bool older);

/* The same for a range tombstone; nothing for other kinds. Errors: CORRUPT (it
   is none, or its prefix is as long as no other's; not logged), NOMEM. */
LSM_MUST_CHECK enum lsm_err table_info_note_range(struct table_info *info,
                                                  struct slice ikey,
                                                  struct slice value);

/* What is said of range tombstones, as bytes; where there are none, no bytes.
   Decoding takes what is left of `c`'s. Errors: NOMEM; CORRUPT. */
LSM_MUST_CHECK enum lsm_err
table_info_encode_ranges(const struct table_info *info, struct buf *out);
LSM_MUST_CHECK enum lsm_err table_info_decode_ranges(struct cursor *c,
                                                     struct table_info *info);

/* Add the segment that a KEY_POINTER entry leads to; nothing for other kinds. Its
   size is not known here. Errors: CORRUPT (no pointer; not logged), NOMEM. */
LSM_MUST_CHECK enum lsm_err table_info_note_pointer(struct table_info *info,
                                                    struct slice ikey,
                                                    struct slice value);

/* The properties block: all but file_bytes and the sizes of segments. Errors:
   NOMEM; decode: CORRUPT. */
LSM_MUST_CHECK enum lsm_err table_info_encode(const struct table_info *info,
                                              struct buf *out);
LSM_MUST_CHECK enum lsm_err table_info_decode(struct slice raw,
                                              struct table_info *info);

/* Write the table of `id` through `file`, which is borrowed. `block_bytes`: raw
   target of a data block. Errors: those of env, NOMEM. */
LSM_MUST_CHECK enum lsm_err
table_builder_create(struct env_file *file, struct file_id id,
                     const struct uuid *family, uint32_t block_bytes,
                     struct table_builder **builder_out);
void table_builder_destroy(struct table_builder *builder); /* NULL: nothing */

/* Add an entry; `ikey` sorts after every key before it. Errors: those of env,
   NOMEM; then the file is worthless. */
LSM_MUST_CHECK enum lsm_err table_builder_add(struct table_builder *builder,
                                              struct slice ikey,
                                              struct slice value);

/* The same of an entry that was a whole block of a table: it becomes a block as it
   is, unless the block that is being built has room for it. `packed` NULL: as add. */
LSM_MUST_CHECK enum lsm_err
table_builder_add_packed(struct table_builder *builder, struct slice ikey,
                         struct slice value, const struct codec_packed *packed);

/* What the file would take if it were finished now, nearly. */
uint64_t table_builder_bytes(const struct table_builder *builder);
uint64_t table_builder_entries(const struct table_builder *builder);
/* How many segments its entries lead to so far. */
size_t table_builder_segments(const struct table_builder *builder);

/* Write what is left, with filter, index, properties and footer. At least one
   entry was added. The caller syncs and seals. *info is initialised. */
LSM_MUST_CHECK enum lsm_err table_builder_finish(struct table_builder *builder,
                                                 struct table_info *info);

#endif
