/* SPDX-License-Identifier: MIT */
/*
 * key.h: internal keys. A version of a user key is its bytes followed by an
 * 8-byte little-endian trailer, sequence << 8 | kind. Order: user key by memcmp,
 * then trailer descending, so that the newest version comes first.
 */
#ifndef LSM_BASE_KEY_H
#define LSM_BASE_KEY_H

#include "base/coding.h"

/* On disk. Frozen. */
enum key_kind {
	KEY_DELETE = 0,
	KEY_PUT = 1,
	KEY_MERGE = 2,
	/* Of a range of keys that begin with this one: base/range.h. */
	KEY_RANGE_DELETE = 3,
	/* A value as PUT, which lies in a segment: where, is seg/pointer.h. */
	KEY_POINTER = 4,
	/* For seeking: sorts before every kind of the same sequence. */
	KEY_SEEK = 0xff,
};

enum { KEY_TRAILER_BYTES = 8 };
#define KEY_SEQ_MAX ((UINT64_C(1) << 56) - 1)

static inline uint64_t key_trailer(uint64_t seq, enum key_kind kind)
{
	return seq << 8 | (uint64_t)kind;
}

/* All three need a key of at least KEY_TRAILER_BYTES. */
static inline struct slice key_user(struct slice ikey)
{
	return slice_make(ikey.data, ikey.len - KEY_TRAILER_BYTES);
}
static inline uint64_t key_get_trailer(struct slice ikey)
{
	return get_u64(ikey.data + ikey.len - KEY_TRAILER_BYTES);
}
static inline uint64_t key_seq(struct slice ikey)
{
	return key_get_trailer(ikey) >> 8;
}
static inline enum key_kind key_kind(struct slice ikey)
{
	return (enum key_kind)(key_get_trailer(ikey) & 0xff);
}

/* Whether bytes from disk are an internal key: long enough, a known kind. */
bool key_is_valid(struct slice ikey);

/* The one ordering. */
static inline int key_compare(struct slice a, struct slice b)
{
	uint64_t a_trailer, b_trailer;
	int order = slice_compare(key_user(a), key_user(b));

	if (order != 0)
		return order;
	a_trailer = key_get_trailer(a);
	b_trailer = key_get_trailer(b);
	return (a_trailer < b_trailer) - (a_trailer > b_trailer);
}

/* Set *out to the internal key. Errors: NOMEM. */
LSM_MUST_CHECK enum lsm_err key_make(struct buf *out, struct slice user,
                                     uint64_t seq, enum key_kind kind);

/*
 * What a source calls for each version of one user key, newest first; false
 * stops the walk. The value is borrowed for the call.
 */
typedef bool (*key_visit_fn)(void *ctx, uint64_t seq, enum key_kind kind,
                             struct slice value);

#endif
