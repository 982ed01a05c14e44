/* SPDX-License-Identifier: MIT */
#include "io/file_header.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/checksum.h"
#include "base/coding.h"
#include "base/log.h"

/* Where the fields stand. */
enum {
	AT_VERSION = 8,
	AT_KIND = 10,
	AT_ZERO = 11,
	AT_CREATOR = 16,
	AT_NUMBER = 24,
	AT_FAMILY = 32,
	AT_EXTRA = 48,
	AT_CHECKSUM = 56,
};

_Static_assert(AT_CHECKSUM + 8 == FILE_HEADER_BYTES, "checksum ends it");
_Static_assert(AT_FAMILY + UUID_BYTES == AT_EXTRA, "family is a UUID");

enum { CREATOR_DIGITS = 16 };

static const char magic[AT_VERSION] = {'s', 'h', 'a', 'l', 'e', 'f', 'i', 'l'};

bool file_id_equal(struct file_id a, struct file_id b)
{
	return a.creator == b.creator && a.number == b.number;
}

int file_id_compare(struct file_id a, struct file_id b)
{
	if (a.creator != b.creator)
		return a.creator < b.creator ? -1 : 1;
	return (a.number > b.number) - (a.number < b.number);
}

void file_header_encode(const struct file_header *header,
                        uint8_t out[FILE_HEADER_BYTES])
{
	memset(out, 0, FILE_HEADER_BYTES);
	memcpy(out, magic, sizeof(magic));
	put_u16(out + AT_VERSION, FILE_FORMAT_VERSION);
	out[AT_KIND] = (uint8_t)header->kind;
	put_u64(out + AT_CREATOR, header->id.creator);
	put_u64(out + AT_NUMBER, header->id.number);
	memcpy(out + AT_FAMILY, header->family.bytes, UUID_BYTES);
	put_u64(out + AT_EXTRA, header->extra);
	put_u64(out + AT_CHECKSUM,
	        checksum_seeded(slice_make(out, AT_CHECKSUM), 0));
}

static enum lsm_err refuse(const char *name, const char *why)
{
	if (name != NULL)
		log_error("%s: file header: %s", name, why);
	return LSM_ERR_CORRUPT;
}

/* Magic, checksum, version: in this order, so that NEWER is only said of a
   header which is whole. */
static enum lsm_err check_form(struct slice bytes, const char *name)
{
	unsigned version;

	if (bytes.len < FILE_HEADER_BYTES)
		return refuse(name, "shorter than 64 bytes");
	if (memcmp(bytes.data, magic, sizeof(magic)) != 0)
		return refuse(name, "wrong magic");
	if (get_u64(bytes.data + AT_CHECKSUM) !=
	    checksum_seeded(slice_make(bytes.data, AT_CHECKSUM), 0))
		return refuse(name, "wrong checksum");
	version = get_u16(bytes.data + AT_VERSION);
	if (version > FILE_FORMAT_VERSION) {
		if (name != NULL)
			log_error("%s: file header: format %u, this program "
			          "knows %u",
			          name, version, (unsigned)FILE_FORMAT_VERSION);
		return LSM_ERR_NEWER;
	}
	if (version != FILE_FORMAT_VERSION)
		return refuse(name, "unknown format");
	return LSM_OK;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

enum lsm_err file_header_decode(struct slice bytes, const char *name,
                                enum file_kind kind, const struct uuid *family,
                                struct file_id id,
                                struct file_header *header_out)
{
	struct file_header found;
	enum lsm_err err;

	memset(header_out, 0, sizeof(*header_out));
	err = check_form(bytes, name);
	if (err != LSM_OK)
		return err;
	if (bytes.data[AT_KIND] != (uint8_t)kind)
		return refuse(name, "another kind of file");
	if (!is_zero(bytes.data + AT_ZERO, AT_CREATOR - AT_ZERO))
		return refuse(name, "reserved bytes are in use");

	found.kind = kind;
	found.id.creator = get_u64(bytes.data + AT_CREATOR);
	found.id.number = get_u64(bytes.data + AT_NUMBER);
	memcpy(found.family.bytes, bytes.data + AT_FAMILY, UUID_BYTES);
	found.extra = get_u64(bytes.data + AT_EXTRA);
	if (memcmp(found.family.bytes, family->bytes, UUID_BYTES) != 0)
		return refuse(name, "belongs to an unrelated store");
	if (!file_id_equal(found.id, id))
		return refuse(name, "made under another name");
	*header_out = found;
	return LSM_OK;
}

static const struct {
	const char *suffix;
	enum file_kind kind;
} suffixes[] = {
    {".sst", FILE_KIND_TABLE},
    {".wal", FILE_KIND_LOG},
    {".list", FILE_KIND_LIST},
    {".seg", FILE_KIND_SEGMENT},
};

enum { SUFFIXES = sizeof(suffixes) / sizeof(suffixes[0]) };

void file_name_format(enum file_kind kind, struct file_id id,
                      char out[FILE_NAME_MAX_BYTES])
{
	unsigned i = 0;

	if (kind == FILE_KIND_MANIFEST) {
		snprintf(out, FILE_NAME_MAX_BYTES, "MANIFEST-%" PRIu64,
		         id.number);
		return;
	}
	while (i < SUFFIXES && suffixes[i].kind != kind)
		i++;
	assert(i < SUFFIXES);
	snprintf(out, FILE_NAME_MAX_BYTES, "%016" PRIx64 "-%" PRIu64 "%s",
	         id.creator, id.number, suffixes[i].suffix);
}

/* 16 lower-case hex digits; NULL when they are not that. */
static const char *parse_creator(const char *p, uint64_t *creator_out)
{
	uint64_t creator = 0;

	for (int i = 0; i < CREATOR_DIGITS; i++, p++) {
		if (*p >= '0' && *p <= '9')
			creator = creator << 4 | (uint64_t)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			creator = creator << 4 | (uint64_t)(*p - 'a' + 10);
		else
			return NULL;
	}
	*creator_out = creator;
	return p;
}

/* Decimal, from 1, without leading zeros, so that a number has one name. */
static const char *parse_number(const char *p, uint64_t *number_out)
{
	uint64_t number = 0;

	if (*p < '1' || *p > '9')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (number > (UINT64_MAX - digit) / 10)
			return NULL;
		number = number * 10 + digit;
	}
	*number_out = number;
	return p;
}

bool file_name_parse(const char *name, enum file_kind *kind_out,
                     struct file_id *id_out)
{
	struct file_id id;
	const char *p;

	p = parse_creator(name, &id.creator);
	if (p == NULL || *p != '-')
		return false;
	p = parse_number(p + 1, &id.number);
	if (p == NULL)
		return false;
	for (unsigned i = 0; i < SUFFIXES; i++) {
		if (strcmp(p, suffixes[i].suffix) == 0) {
			*kind_out = suffixes[i].kind;
			*id_out = id;
			return true;
		}
	}
	return false;
}
