/* SPDX-License-Identifier: MIT */
#include "tests/engine/seg/seg_kit.h"

#include <check.h>
#include <string.h>

#include "tests/support/env_fault.h"

void kit_open_files(struct segment_source *source)
{
	ck_assert_int_eq(cache_create(1 << 20, 1, &source->files), LSM_OK);
}

void kit_open(struct env **memory, struct env **env,
              struct segment_source *source)
{
	struct env_dir *root;

	ck_assert_int_eq(env_mem_create(memory), LSM_OK);
	ck_assert_int_eq(env_fault_create(*memory, env), LSM_OK);
	ck_assert_int_eq(env_dir_open(*env, "/", &root), LSM_OK);
	ck_assert_int_eq(env_dir_make(root, "pool"), LSM_OK);
	ck_assert_int_eq(env_dir_open_at(root, "pool", &source->pool), LSM_OK);
	env_dir_close(root);
	memset(&source->family, 5, sizeof(source->family));
	kit_open_files(source);
}

void kit_close(struct env *memory, struct env *env,
               struct segment_source *source)
{
	cache_destroy(source->files);
	env_dir_close(source->pool);
	env_fault_destroy(env);
	env_mem_destroy(memory);
}
