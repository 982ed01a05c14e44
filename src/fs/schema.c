/* SPDX-License-Identifier: MIT */
/*
 * schema.c: the bytes.
 *
 *   owner area  "shalefs" NUL, version u16, chunk shift u8, zero u8,
 *               root uid u32, root gid u32, secret 16,
 *               created: seconds i64, nanoseconds u32               48 bytes
 *   inode       version u8, type u8 (st_mode >> 12), flags u16,
 *               permissions u32, uid u32, gid u32, nlink u32,
 *               rdev u64, size u64, alloc_bytes u64,
 *               atime, mtime, ctime, btime: seconds i64,
 *               nanoseconds u32 each, parent u64, change u64       108 bytes
 *   dirent      ino u64, type u8 (st_mode >> 12), name;
 *               a hole: nine zero bytes
 *
 * Values are little-endian, keys big-endian. A record that grows gets another
 * version; this one has exactly its length.
 */
#include "fs/schema.h"

#include <assert.h>
#include <sys/stat.h>

#include "base/checksum.h"
#include "base/coding.h"

enum {
	MAGIC_BYTES = 8,
	TYPE_SHIFT = 12,
	PERMISSION_BITS = 07777,
	NS_PER_S = 1000000000,
	INO_KEY_BYTES = 9,     /* family, number */
	PART_KEY_BYTES = 10,   /* family, number, part */
	DIRENT_KEY_BYTES = 17, /* family, number, cookie */
	CHUNK_KEY_BYTES = 15,  /* family, number, 6 bytes of index */
	INDEX_BYTES = 6,
	HASH_DROPPED_BITS = 5, /* 59 are left */
	SLOT_BITS = 4,
};

static const char owner_magic[MAGIC_BYTES] = "shalefs";

static void put_time(uint8_t *p, const struct timespec *time)
{
	put_u64(p, (uint64_t)time->tv_sec);
	put_u32(p + 8, (uint32_t)time->tv_nsec);
}

static struct timespec cursor_time(struct cursor *c)
{
	struct timespec time;
	uint32_t ns;

	time.tv_sec = (time_t)cursor_u64(c);
	ns = cursor_u32(c);
	if (ns >= NS_PER_S)
		c->bad = true;
	time.tv_nsec = (long)ns;
	return time;
}

void schema_encode_owner(uint8_t out[SCHEMA_OWNER_BYTES],
                         const struct schema_owner *owner)
{
	memcpy(out, owner_magic, MAGIC_BYTES);
	put_u16(out + 8, SCHEMA_VERSION);
	out[10] = SCHEMA_CHUNK_SHIFT;
	out[11] = 0;
	put_u32(out + 12, owner->uid);
	put_u32(out + 16, owner->gid);
	memcpy(out + 20, owner->secret, SCHEMA_SECRET_BYTES);
	put_time(out + 36, &owner->created);
}

enum lsm_err schema_decode_owner(struct slice area, struct schema_owner *owner)
{
	struct cursor c = cursor_make(area);
	struct slice magic = cursor_bytes(&c, MAGIC_BYTES);
	struct slice secret;
	uint16_t version;
	uint8_t shift;

	if (c.bad || memcmp(magic.data, owner_magic, MAGIC_BYTES) != 0)
		return LSM_ERR_NOT_STORE;
	version = cursor_u16(&c);
	if (!c.bad && version > SCHEMA_VERSION)
		return LSM_ERR_NEWER;
	shift = cursor_u8(&c);
	(void)cursor_u8(&c);
	owner->uid = cursor_u32(&c);
	owner->gid = cursor_u32(&c);
	secret = cursor_bytes(&c, SCHEMA_SECRET_BYTES);
	owner->created = cursor_time(&c);
	if (c.bad || version != SCHEMA_VERSION)
		return LSM_ERR_CORRUPT;
	if (shift != SCHEMA_CHUNK_SHIFT)
		return LSM_ERR_NEWER;
	memcpy(owner->secret, secret.data, SCHEMA_SECRET_BYTES);
	return LSM_OK;
}

static void begin_key(struct schema_key *key, enum schema_family family,
                      uint64_t ino)
{
	key->bytes[0] = (uint8_t)family;
	put_be64(key->bytes + 1, ino);
	key->len = INO_KEY_BYTES;
}

void schema_inode_key(struct schema_key *key, uint64_t ino,
                      enum schema_part part)
{
	begin_key(key, SCHEMA_INODE, ino);
	key->bytes[key->len++] = (uint8_t)part;
}

void schema_xattr_key(struct schema_key *key, uint64_t ino, struct slice name)
{
	assert(name.len <= SCHEMA_NAME_MAX_BYTES);
	schema_inode_key(key, ino, SCHEMA_XATTR);
	if (name.len > 0)
		memcpy(key->bytes + key->len, name.data, name.len);
	key->len += name.len;
}

void schema_dirent_key(struct schema_key *key, uint64_t dir, uint64_t cookie)
{
	begin_key(key, SCHEMA_DIRENT, dir);
	put_be64(key->bytes + key->len, cookie);
	key->len = DIRENT_KEY_BYTES;
}

void schema_orphan_key(struct schema_key *key, uint64_t ino)
{
	begin_key(key, SCHEMA_ORPHAN, ino);
}

void schema_chunk_key(struct schema_key *key, uint64_t ino, uint64_t index)
{
	uint8_t wide[8];

	assert(index >> (INDEX_BYTES * 8) == 0);
	begin_key(key, SCHEMA_CHUNK, ino);
	put_be64(wide, index);
	memcpy(key->bytes + key->len, wide + 8 - INDEX_BYTES, INDEX_BYTES);
	key->len = CHUNK_KEY_BYTES;
}

void schema_family_range(enum schema_family family, struct schema_key *lower,
                         struct schema_key *upper)
{
	lower->bytes[0] = (uint8_t)family;
	lower->len = 1;
	upper->bytes[0] = (uint8_t)(family + 1);
	upper->len = 1;
}

/* Whether the key is of `family` and `len` bytes long, or longer if `more`. */
static bool key_fits(struct slice key, enum schema_family family, size_t len,
                     bool more)
{
	if (key.len < len || (!more && key.len != len))
		return false;
	return key.data[0] == (uint8_t)family;
}

enum lsm_err schema_decode_inode_key(struct slice key,
                                     struct schema_inode_part *part)
{
	bool is_xattr;

	if (!key_fits(key, SCHEMA_INODE, PART_KEY_BYTES, true))
		return LSM_ERR_CORRUPT;
	part->ino = get_be64(key.data + 1);
	part->part = (enum schema_part)key.data[INO_KEY_BYTES];
	part->name =
	    slice_make(key.data + PART_KEY_BYTES, key.len - PART_KEY_BYTES);
	switch (part->part) {
	case SCHEMA_ATTR:
	case SCHEMA_INLINE:
	case SCHEMA_SYMLINK:
		is_xattr = false;
		break;
	case SCHEMA_XATTR:
		is_xattr = true;
		break;
	default:
		return LSM_ERR_CORRUPT;
	}
	if (is_xattr != (part->name.len > 0) ||
	    part->name.len > SCHEMA_NAME_MAX_BYTES)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

enum lsm_err schema_decode_dirent_key(struct slice key, uint64_t *dir_out,
                                      uint64_t *cookie_out)
{
	if (!key_fits(key, SCHEMA_DIRENT, DIRENT_KEY_BYTES, false))
		return LSM_ERR_CORRUPT;
	*dir_out = get_be64(key.data + 1);
	*cookie_out = get_be64(key.data + INO_KEY_BYTES);
	return LSM_OK;
}

enum lsm_err schema_decode_orphan_key(struct slice key, uint64_t *ino_out)
{
	if (!key_fits(key, SCHEMA_ORPHAN, INO_KEY_BYTES, false))
		return LSM_ERR_CORRUPT;
	*ino_out = get_be64(key.data + 1);
	return LSM_OK;
}

enum lsm_err schema_decode_chunk_key(struct slice key, uint64_t *ino_out,
                                     uint64_t *index_out)
{
	uint8_t wide[8] = {0};

	if (!key_fits(key, SCHEMA_CHUNK, CHUNK_KEY_BYTES, false))
		return LSM_ERR_CORRUPT;
	*ino_out = get_be64(key.data + 1);
	memcpy(wide + 8 - INDEX_BYTES, key.data + INO_KEY_BYTES, INDEX_BYTES);
	*index_out = get_be64(wide);
	return LSM_OK;
}

uint64_t schema_cookie(const uint8_t secret[SCHEMA_SECRET_BYTES], uint64_t mask,
                       struct slice name)
{
	uint64_t hash = checksum_keyed(name, secret) >> HASH_DROPPED_BITS;

	hash &= mask;
	if (hash == 0)
		hash = 1;
	return hash << SLOT_BITS;
}

void schema_encode_inode(uint8_t out[SCHEMA_INODE_BYTES],
                         const struct inode *inode)
{
	out[0] = SCHEMA_VERSION;
	out[1] = (uint8_t)((inode->mode & S_IFMT) >> TYPE_SHIFT);
	put_u16(out + 2, inode->flags);
	put_u32(out + 4, inode->mode & PERMISSION_BITS);
	put_u32(out + 8, inode->uid);
	put_u32(out + 12, inode->gid);
	put_u32(out + 16, inode->nlink);
	put_u64(out + 20, inode->rdev);
	put_u64(out + 28, inode->size);
	put_u64(out + 36, inode->alloc_bytes);
	put_time(out + 44, &inode->atime);
	put_time(out + 56, &inode->mtime);
	put_time(out + 68, &inode->ctime);
	put_time(out + 80, &inode->btime);
	put_u64(out + 92, inode->parent);
	put_u64(out + 100, inode->change);
}

static bool type_is_known(uint32_t type)
{
	switch (type) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return true;
	default:
		return false;
	}
}

enum lsm_err schema_decode_inode(struct slice value, uint64_t ino,
                                 struct inode *inode)
{
	struct cursor c = cursor_make(value);
	uint8_t version = cursor_u8(&c);
	uint32_t type = (uint32_t)cursor_u8(&c) << TYPE_SHIFT;
	uint32_t permissions;

	inode->ino = ino;
	inode->flags = cursor_u16(&c);
	permissions = cursor_u32(&c);
	inode->mode = type | permissions;
	inode->uid = cursor_u32(&c);
	inode->gid = cursor_u32(&c);
	inode->nlink = cursor_u32(&c);
	inode->rdev = cursor_u64(&c);
	inode->size = cursor_u64(&c);
	inode->alloc_bytes = cursor_u64(&c);
	inode->atime = cursor_time(&c);
	inode->mtime = cursor_time(&c);
	inode->ctime = cursor_time(&c);
	inode->btime = cursor_time(&c);
	inode->parent = cursor_u64(&c);
	inode->change = cursor_u64(&c);
	if (c.bad || cursor_left(&c) != 0 || version != SCHEMA_VERSION)
		return LSM_ERR_CORRUPT;
	if (!type_is_known(type) || permissions > PERMISSION_BITS ||
	    inode->flags > SCHEMA_FLAGS_KNOWN || inode->size > INT64_MAX ||
	    inode->alloc_bytes > INT64_MAX)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}

enum lsm_err schema_encode_dirent(struct buf *out,
                                  const struct schema_dirent *dirent)
{
	uint8_t head[SCHEMA_DIRENT_HEAD_BYTES];
	enum lsm_err err;

	put_u64(head, dirent->ino);
	head[8] = (uint8_t)((dirent->type & S_IFMT) >> TYPE_SHIFT);
	err = buf_append(out, head, sizeof(head));
	if (err != LSM_OK)
		return err;
	return buf_append_slice(out, dirent->name);
}

enum lsm_err schema_decode_dirent(struct slice value,
                                  struct schema_dirent *dirent)
{
	struct cursor c = cursor_make(value);

	dirent->ino = cursor_u64(&c);
	dirent->type = (uint32_t)cursor_u8(&c) << TYPE_SHIFT;
	dirent->name = cursor_bytes(&c, cursor_left(&c));
	if (c.bad || dirent->name.len > SCHEMA_NAME_MAX_BYTES)
		return LSM_ERR_CORRUPT;
	if (dirent->ino == 0)
		return dirent->type == 0 && dirent->name.len == 0
		           ? LSM_OK
		           : LSM_ERR_CORRUPT;
	if (!type_is_known(dirent->type) || dirent->name.len == 0)
		return LSM_ERR_CORRUPT;
	return LSM_OK;
}
