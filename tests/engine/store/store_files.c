/* SPDX-License-Identifier: MIT */
/* store_files.c: the files under a store, seen from outside: store_kit.h. */
#include <stdio.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "tests/engine/store/store_kit.h"

enum { FILE_MAX_BYTES = 16 << 20 };

static struct env_dir *open_dir(const struct env *env, const char *folder)
{
	struct env_dir *dir;

	ASSERT_OK(env_dir_open(env, folder, &dir));
	return dir;
}

struct listing {
	struct kit_names *names;
	const char *part;
};

static enum lsm_err add_name(void *ctx, const char *name)
{
	struct listing *listing = ctx;
	struct kit_names *names = listing->names;

	if (strstr(name, listing->part) == NULL)
		return LSM_OK;
	if (names->count == KIT_NAMES)
		return LSM_ERR_TOO_BIG;
	snprintf(names->name[names->count++], KIT_NAME_BYTES, "%s", name);
	return LSM_OK;
}

void kit_list(const struct env *env, const char *folder, const char *part,
              struct kit_names *names)
{
	struct listing listing = {names, part};
	struct env_dir *dir = open_dir(env, folder);

	names->count = 0;
	ASSERT_OK(env_dir_list(dir, add_name, &listing));
	env_dir_close(dir);
}

size_t kit_files(const struct env *env, const char *folder, const char *part)
{
	static struct kit_names names;

	kit_list(env, folder, part, &names);
	return names.count;
}

void kit_read_file(const struct env *env, const char *folder, const char *name,
                   struct buf *out)
{
	struct env_dir *dir = open_dir(env, folder);

	ASSERT_OK(env_read_file(dir, name, FILE_MAX_BYTES, out));
	env_dir_close(dir);
}

void kit_remove_file(const struct env *env, const char *folder,
                     const char *name)
{
	struct env_dir *dir = open_dir(env, folder);

	ASSERT_OK(env_unlink(dir, name));
	env_dir_close(dir);
}

void kit_write_file(const struct env *env, const char *folder, const char *name,
                    struct slice bytes)
{
	struct env_dir *dir = open_dir(env, folder);
	struct env_file *file;
	enum lsm_err err = env_unlink(dir, name);

	ck_assert(err == LSM_OK || err == LSM_ERR_NOT_FOUND);
	ASSERT_OK(env_open(dir, name, ENV_CREATE, &file));
	ASSERT_OK(env_write(file, 0, bytes.data, bytes.len));
	ASSERT_OK(env_close(file));
	env_dir_close(dir);
}

void kit_flip(const struct env *env, const char *folder, const char *name,
              size_t offset)
{
	struct buf bytes = BUF_INIT;

	kit_read_file(env, folder, name, &bytes);
	ck_assert_uint_lt(offset, bytes.len);
	bytes.data[offset] = (uint8_t)~bytes.data[offset];
	kit_write_file(env, folder, name, buf_slice(&bytes));
	buf_release(&bytes);
}

void kit_branch_folder(const struct env *env, const char *store_path,
                       char out[KIT_NAME_BYTES])
{
	static struct kit_names names;
	char branches[KIT_NAME_BYTES];
	int len;

	len = snprintf(branches, sizeof(branches), "%s/branches", store_path);
	ck_assert_int_lt(len, KIT_NAME_BYTES);
	kit_list(env, branches, "", &names);
	ck_assert_uint_gt(names.count, 0);
	len = snprintf(out, KIT_NAME_BYTES, "%.90s/%.30s", branches,
	               names.name[0]);
	ck_assert_int_lt(len, KIT_NAME_BYTES);
}

void kit_manifest(const struct env *env, const char *store_path,
                  char folder[KIT_NAME_BYTES], char name[KIT_NAME_BYTES])
{
	static struct kit_names names;

	kit_branch_folder(env, store_path, folder);
	kit_list(env, folder, "MANIFEST", &names);
	ck_assert_uint_eq(names.count, 1);
	snprintf(name, KIT_NAME_BYTES, "%s", names.name[0]);
}

/* Of the files of one folder, in whatever order they are listed. */
static uint64_t digest_files(const struct env *env, const char *folder,
                             const char *except)
{
	static struct kit_names names;
	struct buf bytes = BUF_INIT;
	uint64_t sum = 0;

	kit_list(env, folder, "", &names);
	for (size_t i = 0; i < names.count; i++) {
		uint64_t seed = checksum_seeded(slice_str(names.name[i]), 1);

		buf_clear(&bytes);
		if (strstr(except, names.name[i]) == NULL)
			kit_read_file(env, folder, names.name[i], &bytes);
		sum += checksum_seeded(buf_slice(&bytes), seed);
	}
	buf_release(&bytes);
	return sum;
}

uint64_t kit_digest(const struct env *env, const char *store_path)
{
	static struct kit_names branches;
	char folder[KIT_NAME_BYTES];
	uint64_t sum = digest_files(env, store_path, "pool branches");
	int len;

	len = snprintf(folder, sizeof(folder), "%s/pool", store_path);
	ck_assert_int_lt(len, KIT_NAME_BYTES);
	sum += digest_files(env, folder, "") * 3;
	snprintf(folder, sizeof(folder), "%s/branches", store_path);
	kit_list(env, folder, "", &branches);
	for (size_t i = 0; i < branches.count; i++) {
		len = snprintf(folder, sizeof(folder), "%.60s/branches/%.60s",
		               store_path, branches.name[i]);
		ck_assert_int_lt(len, KIT_NAME_BYTES);
		sum += checksum_seeded(slice_str(folder), 7) +
		       digest_files(env, folder, "") * 5;
	}
	return sum;
}
