/* SPDX-License-Identifier: MIT */
#include "base/key.h"

#include <assert.h>

bool key_is_valid(struct slice ikey)
{
	if (ikey.len < KEY_TRAILER_BYTES)
		return false;
	switch (ikey.data[ikey.len - KEY_TRAILER_BYTES]) {
	case KEY_DELETE:
	case KEY_PUT:
	case KEY_MERGE:
	case KEY_RANGE_DELETE:
	case KEY_POINTER:
		return true;
	default:
		return false;
	}
}

enum lsm_err key_make(struct buf *out, struct slice user, uint64_t seq,
                      enum key_kind kind)
{
	enum lsm_err err;

	assert(seq <= KEY_SEQ_MAX);
	err = buf_set(out, user);
	if (err != LSM_OK)
		return err;
	return append_u64(out, key_trailer(seq, kind));
}
