/* SPDX-License-Identifier: MIT */
#include "tests/engine/tree/version_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

enum { BLOCK_BYTES = 256 };

static const struct uuid family = {{7}};

struct env *mem, *fault;
struct table_source source;
struct tally tally;
struct version *version;
struct entries whole;
uint64_t last_seq;
static uint64_t last_number;
unsigned tables_opened;

void must_be_ok(enum lsm_err err)
{
	ck_assert_int_eq(err, LSM_OK);
}

static struct fault_answer count_opens(void *ctx, const struct fault_call *call)
{
	struct fault_answer answer = {0};

	(void)ctx;
	if (call->op == FAULT_OPEN)
		tables_opened++;
	return answer;
}

static void ignore_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

struct slice user_name(uint64_t index, char out[16])
{
	snprintf(out, 16, "user%03u", (unsigned)index);
	return slice_str(out);
}

/* Write entries [begin, end) of `from` as one table and add it to the edit. */
static void write_table(const struct entries *from, size_t begin, size_t end,
                        unsigned level, struct edit *edit)
{
	struct file_id id = {.creator = CREATOR, .number = ++last_number};
	struct table_builder *builder;
	char name[FILE_NAME_MAX_BYTES];
	struct table_meta *meta;
	struct table_info info;
	struct env_file *file;

	file_name_format(FILE_KIND_TABLE, id, name);
	must_be_ok(env_open(source.pool, name, ENV_CREATE, &file));
	must_be_ok(
	    table_builder_create(file, id, &family, BLOCK_BYTES, &builder));
	for (size_t i = begin; i < end; i++)
		must_be_ok(table_builder_add(builder,
		                             buf_slice(&from->all[i].key),
		                             buf_slice(&from->all[i].value)));
	must_be_ok(table_builder_finish(builder, &info));
	table_builder_destroy(builder);
	must_be_ok(env_close(file));
	must_be_ok(table_meta_create(id, &info, tally_owner(&tally), &meta));
	tally_adopted(&tally, id);
	table_info_release(&info);
	must_be_ok(edit_add_table(edit, level, meta));
	table_meta_unref(meta);
}

/* `count` random versions, newer than all before, into level `level`: one table
   in L0, several that share no user key below. */
static void fill_level(struct gen *gen, size_t count, unsigned level,
                       struct edit *edit)
{
	struct entries entries;
	size_t begin = 0;

	entries_init(&entries);
	for (size_t i = 0; i < count; i++) {
		char user[16], value[24];
		uint64_t index = gen_below(gen, USERS);
		enum key_kind kind = (enum key_kind)gen_below(gen, 3);

		snprintf(value, sizeof(value), "value %u", (unsigned)i);
		last_seq++;
		entries_add(&entries, user_name(index, user), last_seq, kind,
		            slice_str(value));
		entries_add(&whole, user_name(index, user), last_seq, kind,
		            slice_str(value));
	}
	entries_sort(&entries);
	for (size_t i = 1; i <= count; i++) {
		bool same =
		    i < count &&
		    slice_equal(key_user(buf_slice(&entries.all[i].key)),
		                key_user(buf_slice(&entries.all[i - 1].key)));

		if (i < count && (level == 0 || same || i - begin < 20))
			continue;
		write_table(&entries, begin, i, level, edit);
		begin = i;
	}
	entries_release(&entries);
}

static void build(uint64_t seed)
{
	struct version *empty;
	struct edit edit;
	struct gen gen;

	gen_init(&gen, seed);
	edit_init(&edit);
	fill_level(&gen, 400, 6, &edit);
	fill_level(&gen, 200, 5, &edit);
	fill_level(&gen, 60, 2, &edit);
	for (int i = 0; i < L0_TABLES; i++)
		fill_level(&gen, 1 + (size_t)gen_below(&gen, 30), 0, &edit);
	entries_sort(&whole);
	must_be_ok(version_create(&empty));
	must_be_ok(edit_apply(empty, &edit, &version));
	version_unref(empty);
	edit_release(&edit);
	version_check(version);
}

void setup(void)
{
	log_set_sink(ignore_line, NULL);
	must_be_ok(env_mem_create(&mem));
	must_be_ok(env_fault_create(mem, &fault));
	must_be_ok(env_dir_open(fault, "/", &source.pool));
	source.family = family;
	must_be_ok(cache_create(64 * table_cache_charge(), 1, &source.files));
	must_be_ok(cache_create(1 << 20, 1, &source.blocks));
	entries_init(&whole);
	build(gen_seed(41));
	env_fault_set_hook(fault, count_opens, NULL);
}

void teardown(void)
{
	version_unref(version);
	ck_assert(tally_is_even(&tally));
	cache_destroy(source.files);
	cache_destroy(source.blocks);
	env_dir_close(source.pool);
	env_fault_destroy(fault);
	env_mem_destroy(mem);
	entries_release(&whole);
}

void empty_caches(void)
{
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		for (size_t j = 0; j < version->levels[i].count; j++)
			table_kept_release(&version->levels[i].tables[j]->kept);
	cache_destroy(source.files);
	cache_destroy(source.blocks);
	must_be_ok(cache_create(64 * table_cache_charge(), 1, &source.files));
	must_be_ok(cache_create(1 << 20, 1, &source.blocks));
}

struct iter *merged(struct slice lower, struct slice upper)
{
	struct iter_list list;
	struct iter *it;

	iter_list_init(&list);
	must_be_ok(version_iters(version, &source, lower, upper, true, &list));
	must_be_ok(merge_iter_create(&list, &it));
	return it;
}
