/* SPDX-License-Identifier: MIT */
/*
 * superblock.c: 512 bytes, little-endian:
 *
 *   0   8  magic "SHALEFS" and a NUL
 *   8   4  format version, 1
 *   12  2  length of the owner area in use, at most 256
 *   14  2  zero
 *   16  8  compatible features, 24 8 read-only compatible, 32 8 incompatible
 *   40 16  family UUID
 *   56 16  store UUID
 *   72  8  creation time, ns since 1970
 *   80 256 owner area, zero behind its length
 *   336    zeros up to
 *   504 8  XXH3-64 of bytes 0 to 503
 */
#include "store/superblock.h"

#include "base/checksum.h"
#include "base/coding.h"
#include "base/log.h"

enum {
	AT_VERSION = 8,
	AT_OWNER_LEN = 12,
	AT_COMPAT = 16,
	AT_RO_COMPAT = 24,
	AT_INCOMPAT = 32,
	AT_FAMILY = 40,
	AT_STORE = 56,
	AT_CREATED = 72,
	AT_OWNER = 80,
	AT_CHECKSUM = SUPERBLOCK_BYTES - 8,
};

_Static_assert(AT_OWNER + LSM_OWNER_AREA_BYTES <= AT_CHECKSUM,
               "the owner area ends before the checksum");

static const uint8_t magic[8] = "SHALEFS";

enum lsm_err superblock_init(struct superblock *sb, const struct env *env,
                             struct slice owner_area)
{
	enum lsm_err err;

	if (owner_area.len > LSM_OWNER_AREA_BYTES)
		return LSM_ERR_TOO_BIG;
	memset(sb, 0, sizeof(*sb));
	err = env_random(env, sb->family.bytes, UUID_BYTES);
	if (err == LSM_OK)
		err = env_random(env, sb->store.bytes, UUID_BYTES);
	sb->created_ns = env_time_ns(env);
	sb->owner_len = (uint16_t)owner_area.len;
	if (owner_area.len > 0)
		memcpy(sb->owner_area, owner_area.data, owner_area.len);
	return err;
}

void superblock_encode(const struct superblock *sb,
                       uint8_t bytes[SUPERBLOCK_BYTES])
{
	memset(bytes, 0, SUPERBLOCK_BYTES);
	memcpy(bytes, magic, sizeof(magic));
	put_u32(bytes + AT_VERSION, SUPERBLOCK_VERSION);
	put_u16(bytes + AT_OWNER_LEN, sb->owner_len);
	put_u64(bytes + AT_COMPAT, sb->compat);
	put_u64(bytes + AT_RO_COMPAT, sb->ro_compat);
	put_u64(bytes + AT_INCOMPAT, sb->incompat);
	memcpy(bytes + AT_FAMILY, sb->family.bytes, UUID_BYTES);
	memcpy(bytes + AT_STORE, sb->store.bytes, UUID_BYTES);
	put_u64(bytes + AT_CREATED, sb->created_ns);
	memcpy(bytes + AT_OWNER, sb->owner_area, sb->owner_len);
	put_u64(bytes + AT_CHECKSUM,
	        checksum_seeded(slice_make(bytes, AT_CHECKSUM), 0));
}

static enum lsm_err check_bytes(struct slice s, const char *path)
{
	if (s.len < sizeof(magic) ||
	    memcmp(s.data, magic, sizeof(magic)) != 0) {
		log_error("%s: not a shalefs store: %s has no magic number",
		          path, SUPERBLOCK_NAME);
		return LSM_ERR_NOT_STORE;
	}
	if (s.len != SUPERBLOCK_BYTES ||
	    checksum_seeded(slice_make(s.data, AT_CHECKSUM), 0) !=
	        get_u64(s.data + AT_CHECKSUM)) {
		log_error("%s/%s: damaged superblock: bad checksum or size",
		          path, SUPERBLOCK_NAME);
		return LSM_ERR_CORRUPT;
	}
	if (get_u32(s.data + AT_VERSION) > SUPERBLOCK_VERSION ||
	    get_u64(s.data + AT_INCOMPAT) != 0) {
		log_error("%s: the store was made by a newer shalefs "
		          "(format %u, features %#llx)",
		          path, (unsigned)get_u32(s.data + AT_VERSION),
		          (unsigned long long)get_u64(s.data + AT_INCOMPAT));
		return LSM_ERR_NEWER;
	}
	if (get_u32(s.data + AT_VERSION) == 0 ||
	    get_u16(s.data + AT_OWNER_LEN) > LSM_OWNER_AREA_BYTES) {
		log_error("%s/%s: damaged superblock: impossible field", path,
		          SUPERBLOCK_NAME);
		return LSM_ERR_CORRUPT;
	}
	return LSM_OK;
}

enum lsm_err superblock_read(struct env_dir *dir, const char *path,
                             bool read_only, struct superblock *sb_out)
{
	struct buf buf = BUF_INIT;
	const uint8_t *p;
	enum lsm_err err;

	memset(sb_out, 0, sizeof(*sb_out));
	err = env_read_file(dir, SUPERBLOCK_NAME, SUPERBLOCK_BYTES, &buf);
	if (err == LSM_ERR_NOT_FOUND) {
		log_error("%s: not a shalefs store: it has no file %s", path,
		          SUPERBLOCK_NAME);
		err = LSM_ERR_NOT_STORE;
	}
	if (err != LSM_OK)
		goto out;
	err = check_bytes(buf_slice(&buf), path);
	if (err != LSM_OK)
		goto out;

	p = buf.data;
	sb_out->compat = get_u64(p + AT_COMPAT);
	sb_out->ro_compat = get_u64(p + AT_RO_COMPAT);
	memcpy(sb_out->family.bytes, p + AT_FAMILY, UUID_BYTES);
	memcpy(sb_out->store.bytes, p + AT_STORE, UUID_BYTES);
	sb_out->created_ns = get_u64(p + AT_CREATED);
	sb_out->owner_len = get_u16(p + AT_OWNER_LEN);
	memcpy(sb_out->owner_area, p + AT_OWNER, sb_out->owner_len);
	if (sb_out->ro_compat != 0 && !read_only) {
		log_error("%s: features %#llx allow reading only; mount it "
		          "with -o ro",
		          path, (unsigned long long)sb_out->ro_compat);
		err = LSM_ERR_READ_ONLY;
	}
out:
	buf_release(&buf);
	return err;
}
