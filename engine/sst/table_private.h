/* SPDX-License-Identifier: MIT */
/* table_private.h: an open table, as table.c and table_verify.c see it. */
#ifndef LSM_SST_TABLE_PRIVATE_H
#define LSM_SST_TABLE_PRIVATE_H

#include "sst/table.h"

/* Constant after open, and so free for any thread. */
struct table {
	struct env_file *file;
	struct cache *blocks; /* borrowed */
	struct file_id id;
	struct uuid family;
	uint64_t file_bytes;
	struct sst_footer footer;
	char name[FILE_NAME_MAX_BYTES];
};

/* Read and check header and footer. Errors: CORRUPT, NEWER, IO. Logged. */
LSM_MUST_CHECK enum lsm_err table_read_ends(struct table *table,
                                            struct sst_footer *footer_out);

/* The type of the index block that the footer names. */
static inline enum sst_block_type table_root_type(const struct table *table)
{
	return table->footer.index_levels == 2 ? SST_BLOCK_TOP_INDEX
	                                       : SST_BLOCK_INDEX;
}

#endif
