/* SPDX-License-Identifier: MIT */
#include "tests/support/append.h"

enum lsm_err append_fold(void *ctx, struct slice key, bool has_base,
                         const struct slice *base, const struct slice *operands,
                         size_t count, struct buf *value)
{
	enum lsm_err err = LSM_OK;

	(void)ctx;
	(void)key;
	if (has_base && base != NULL)
		err = buf_append_slice(value, *base);
	for (size_t i = 0; err == LSM_OK && i < count; i++)
		err = buf_append_slice(value, operands[i]);
	return err;
}
