/* SPDX-License-Identifier: MIT */
#include "tests/engine/sst/sst_kit.h"

#include <stdlib.h>

#include "base/log.h"

struct env *mem;
struct env *fault;
struct env_dir *pool;
struct cache *blocks;

const struct file_id table_id = {0x8877665544332211, 3};
const struct uuid family = {.bytes = {5, 4, 3, 2, 1}};

void entries_add(struct entries *entries, struct slice user, uint64_t seq,
                 enum key_kind kind, struct slice value)
{
	struct entry *entry;

	if (entries->count == entries->cap) {
		entries->cap = entries->cap == 0 ? 64 : entries->cap * 2;
		entries->list =
		    realloc(entries->list, entries->cap * sizeof(*entry));
		ck_assert_ptr_nonnull(entries->list);
	}
	entry = &entries->list[entries->count++];
	buf_init(&entry->key);
	buf_init(&entry->value);
	ck_assert_int_eq(key_make(&entry->key, user, seq, kind), LSM_OK);
	ck_assert_int_eq(buf_set(&entry->value, value), LSM_OK);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	return key_compare(buf_slice(&left->key), buf_slice(&right->key));
}

/* Few letters and any length, the empty key too: much is shared. */
static struct slice random_user(struct gen *gen, uint8_t *user)
{
	size_t len = (size_t)gen_below(gen, 24);

	for (size_t i = 0; i < len; i++)
		user[i] = (uint8_t)(gen_below(gen, 3) * 0x7f);
	return slice_make(user, len);
}

static void drop_doubles(struct entries *entries)
{
	size_t kept = 0;

	for (size_t i = 0; i < entries->count; i++) {
		struct entry entry = entries->list[i];

		if (kept > 0 &&
		    compare_entries(&entries->list[kept - 1], &entry) == 0) {
			buf_release(&entry.key);
			buf_release(&entry.value);
		} else {
			entries->list[kept++] = entry;
		}
	}
	entries->count = kept;
}

void entries_random(struct entries *entries, struct gen *gen, size_t users,
                    size_t versions, size_t value_max)
{
	uint8_t *value = malloc(value_max + 1);
	uint8_t user[24];

	memset(entries, 0, sizeof(*entries));
	for (size_t i = 0; i < users; i++) {
		struct slice key = random_user(gen, user);

		for (uint64_t n = 1 + gen_below(gen, versions); n > 0; n--) {
			size_t len = (size_t)gen_below(gen, value_max + 1);

			if (gen_below(gen, 2) == 0)
				gen_bytes(gen, value, len);
			else
				memset(value, (int)gen_below(gen, 256), len);
			entries_add(entries, key, 1 + gen_below(gen, 1000),
			            (enum key_kind)gen_below(gen, 3),
			            slice_make(value, len));
		}
	}
	if (entries->count > 0)
		qsort(entries->list, entries->count, sizeof(*entries->list),
		      compare_entries);
	drop_doubles(entries);
	free(value);
}

void entries_long_keys(struct entries *entries, size_t count)
{
	uint8_t user[LSM_KEY_MAX_BYTES] = {0};

	memset(entries, 0, sizeof(*entries));
	for (size_t i = 0; i < count; i++) {
		put_be32(user, (uint32_t)i * 3);
		put_be32(user + sizeof(user) - 4, (uint32_t)i);
		entries_add(entries, slice_make(user, sizeof(user)), 1 + i % 7,
		            KEY_PUT, slice_make(user, 4));
	}
}

void entries_release(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++) {
		buf_release(&entries->list[i].key);
		buf_release(&entries->list[i].value);
	}
	free(entries->list);
	memset(entries, 0, sizeof(*entries));
}

size_t entries_seek(const struct entries *entries, struct slice target)
{
	size_t i = 0;

	while (i < entries->count &&
	       key_compare(entry_key(entries, i), target) < 0)
		i++;
	return i;
}

struct slice entry_key(const struct entries *entries, size_t i)
{
	return buf_slice(&entries->list[i].key);
}

struct slice entry_value(const struct entries *entries, size_t i)
{
	return buf_slice(&entries->list[i].value);
}

bool walk_matches(struct iter *it, const struct entries *entries, size_t from)
{
	for (; iter_valid(it); iter_next(it), from++) {
		if (from >= entries->count ||
		    !slice_equal(iter_key(it), entry_key(entries, from)) ||
		    !slice_equal(iter_value(it), entry_value(entries, from)))
			return false;
	}
	return iter_status(it) == LSM_OK && from == entries->count;
}

bool moves_match(struct iter *it, const struct entries *entries,
                 struct gen *gen, unsigned moves)
{
	struct walk_entry *list = calloc(entries->count + 1, sizeof(*list));
	bool ok;

	ck_assert_ptr_nonnull(list);
	for (size_t i = 0; i < entries->count; i++) {
		list[i].key = entry_key(entries, i);
		list[i].value = entry_value(entries, i);
	}
	ok = walk_both_ways(it, list, entries->count, gen, moves);
	free(list);
	return ok;
}

bool see(void *ctx, uint64_t seq, enum key_kind kind, struct slice value)
{
	struct expected *expected = ctx;
	size_t i = expected->next++;

	if (i >= expected->entries->count ||
	    key_get_trailer(entry_key(expected->entries, i)) !=
	        key_trailer(seq, kind) ||
	    !slice_equal(entry_value(expected->entries, i), value))
		expected->ok = false;
	return --expected->left > 0;
}

/* How many of the entries from `from` on are versions of `user`. */
static size_t versions_of(const struct entries *entries, size_t from,
                          struct slice user)
{
	size_t count = 0;

	while (from + count < entries->count &&
	       slice_equal(key_user(entry_key(entries, from + count)), user))
		count++;
	return count;
}

enum lsm_err get_versions(struct table *table, struct slice user, uint64_t seq,
                          key_visit_fn visit, void *ctx, bool *stopped)
{
	struct table_probe probe;

	*stopped = false;
	if (!table_probe_init(&probe, user, seq))
		return LSM_OK; /* and no versions */
	return table_get(table, &probe, visit, ctx, stopped);
}

bool get_matches(struct table *table, const struct entries *entries,
                 struct slice user, uint64_t seq, size_t most,
                 enum lsm_err *err_out)
{
	struct buf target = BUF_INIT;
	struct expected expected = {
	    .entries = entries, .left = most, .ok = true};
	size_t from, count;
	bool stopped;

	ck_assert_int_eq(key_make(&target, user, seq, KEY_SEEK), LSM_OK);
	from = entries_seek(entries, buf_slice(&target));
	count = versions_of(entries, from, user);
	expected.next = from;
	*err_out = get_versions(table, user, seq, see, &expected, &stopped);
	buf_release(&target);
	if (!expected.ok || expected.next > from + count)
		return false;
	if (*err_out != LSM_OK)
		return !stopped;
	return stopped == (count >= most) &&
	       expected.next - from == (count < most ? count : most);
}

/* Damage is logged by design; a test looks at what is returned. */
static void drop_line(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

void setup(void)
{
	log_set_sink(drop_line, NULL);
	ck_assert_int_eq(env_mem_create(&mem), LSM_OK);
	ck_assert_int_eq(env_fault_create(mem, &fault), LSM_OK);
	ck_assert_int_eq(env_dir_open(fault, "/", &pool), LSM_OK);
	ck_assert_int_eq(cache_create(8 << 20, 1, &blocks), LSM_OK);
}

void teardown(void)
{
	cache_destroy(blocks);
	env_dir_close(pool);
	env_fault_destroy(fault);
	env_mem_destroy(mem);
}

void new_block_cache(void)
{
	cache_destroy(blocks);
	ck_assert_int_eq(cache_create(8 << 20, 1, &blocks), LSM_OK);
}

static enum lsm_err fill_table(struct env_file *file, struct file_id id,
                               const struct entries *entries,
                               uint32_t block_bytes, struct table_info *info)
{
	struct table_builder *builder;
	enum lsm_err err;

	err = table_builder_create(file, id, &family, block_bytes, &builder);
	for (size_t i = 0; err == LSM_OK && i < entries->count; i++)
		err = table_builder_add(builder, entry_key(entries, i),
		                        entry_value(entries, i));
	if (err == LSM_OK)
		err = table_builder_finish(builder, info);
	table_builder_destroy(builder);
	return err;
}

enum lsm_err write_table_as(struct file_id id, const struct entries *entries,
                            uint32_t block_bytes, struct table_info *info)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;
	enum lsm_err err;

	table_info_init(info);
	file_name_format(FILE_KIND_TABLE, id, name);
	err = env_open(pool, name, ENV_CREATE, &file);
	if (err != LSM_OK)
		return err;
	err = fill_table(file, id, entries, block_bytes, info);
	env_close(file);
	return err;
}

uint64_t write_table(const struct entries *entries, uint32_t block_bytes)
{
	struct table_info info;
	uint64_t bytes;

	ck_assert_int_eq(write_table_as(table_id, entries, block_bytes, &info),
	                 LSM_OK);
	bytes = info.file_bytes;
	table_info_release(&info);
	return bytes;
}

enum lsm_err open_table(uint64_t bytes, struct table **table_out)
{
	return table_open(pool, table_id, &family, bytes, blocks, table_out);
}

void table_bytes(struct buf *out)
{
	char name[FILE_NAME_MAX_BYTES];

	buf_init(out);
	file_name_format(FILE_KIND_TABLE, table_id, name);
	ck_assert_int_eq(env_read_file(pool, name, SIZE_MAX / 2, out), LSM_OK);
}

void remove_table(void)
{
	char name[FILE_NAME_MAX_BYTES];
	enum lsm_err err;

	file_name_format(FILE_KIND_TABLE, table_id, name);
	err = env_unlink(pool, name);
	ck_assert(err == LSM_OK || err == LSM_ERR_NOT_FOUND);
}

void set_table_bytes(struct slice bytes)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;

	remove_table();
	file_name_format(FILE_KIND_TABLE, table_id, name);
	ck_assert_int_eq(env_open(pool, name, ENV_CREATE, &file), LSM_OK);
	if (bytes.len > 0)
		ck_assert_int_eq(env_write(file, 0, bytes.data, bytes.len),
		                 LSM_OK);
	ck_assert_int_eq(env_close(file), LSM_OK);
}

void decode_footer(const struct buf *bytes, struct sst_footer *footer)
{
	const size_t at = bytes->len - SST_FOOTER_BYTES;

	ck_assert_int_eq(
	    sst_footer_decode(slice_make(bytes->data + at, SST_FOOTER_BYTES),
	                      table_id, at, footer),
	    LSM_OK);
}

size_t read_parts(struct sst_part *parts, size_t most)
{
	char name[FILE_NAME_MAX_BYTES];
	struct buf bytes, raw = BUF_INIT;
	struct sst_footer footer;
	struct env_file *file;
	struct block_iter it;
	size_t count = 0;

	table_bytes(&bytes);
	decode_footer(&bytes, &footer);
	file_name_format(FILE_KIND_TABLE, table_id, name);
	ck_assert_int_eq(env_open(pool, name, ENV_READ, &file), LSM_OK);
	ck_assert_int_eq(sst_block_read(file, name, table_id, bytes.len,
	                                SST_BLOCK_TOP_INDEX, footer.top, &raw),
	                 LSM_OK);
	block_iter_init(&it, buf_slice(&raw));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		struct sst_part part;

		ck_assert(sst_part_decode(it.value, &part));
		if (count < most)
			parts[count] = part;
		count++;
	}
	ck_assert_int_eq(it.err, LSM_OK);
	ck_assert_int_eq(env_close(file), LSM_OK);
	buf_release(&raw);
	buf_release(&bytes);
	return count;
}

static void drop_report(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

uint64_t faults_of(struct table *table)
{
	uint64_t faults;

	ck_assert_int_eq(table_verify(table, drop_report, NULL, &faults),
	                 LSM_OK);
	return faults;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
