/* SPDX-License-Identifier: MIT */
/*
 * test_table_verify.c: a damaged table never answers wrong, and table_verify()
 * finds every byte of damage.
 */
#include "seg/pointer.h"
#include "tests/engine/sst/sst_kit.h"

START_TEST(truncated_table_is_refused)
{
	struct entries entries;
	struct table *table;
	struct buf bytes;
	uint64_t whole;

	entries_long_keys(&entries, 2);
	whole = write_table(&entries, 100);
	table_bytes(&bytes);
	for (size_t len = 0; len < whole; len++) {
		set_table_bytes(slice_make(bytes.data, len));
		ck_assert_int_ne(open_table(whole, &table), LSM_OK);
		ck_assert_int_ne(open_table(len, &table), LSM_OK);
	}
	buf_release(&bytes);
	entries_release(&entries);
}
END_TEST

/*
 * Ask a table that may be damaged in all ways. Whether it answered all or with
 * an error, but nothing wrong; *whole_out says that there was no error.
 */
static bool answers_are_true(uint64_t bytes, const struct entries *entries,
                             bool *whole_out)
{
	struct table *table;
	struct iter *it;
	enum lsm_err err;
	size_t next = 0;
	bool ok = true;

	*whole_out = false;
	new_block_cache();
	if (open_table(bytes, &table) != LSM_OK)
		return true;
	*whole_out = true;
	for (size_t i = 0; ok && i < entries->count; i++) {
		ok =
		    get_matches(table, entries, key_user(entry_key(entries, i)),
		                2000, 100, &err);
		*whole_out = *whole_out && err == LSM_OK;
	}
	ck_assert_int_eq(table_iter(table, true, &it), LSM_OK);
	for (iter_seek_first(it); ok && iter_valid(it); iter_next(it), next++)
		ok = next < entries->count &&
		     slice_equal(iter_key(it), entry_key(entries, next)) &&
		     slice_equal(iter_value(it), entry_value(entries, next));
	*whole_out = *whole_out && iter_status(it) == LSM_OK;
	if (iter_status(it) == LSM_OK && next != entries->count)
		ok = false;
	iter_destroy(it);
	/* Every byte is under some checksum. */
	if (faults_of(table) == 0)
		ok = false;
	table_close(table);
	return ok;
}

static void flip_all(const struct entries *entries, uint32_t block_bytes,
                     size_t stride)
{
	uint64_t whole = write_table(entries, block_bytes);
	struct sst_footer footer;
	struct buf bytes;
	size_t harmless = 0;

	table_bytes(&bytes);
	decode_footer(&bytes, &footer);
	for (size_t i = 0; i < bytes.len; i += stride) {
		bool answered;

		bytes.data[i] ^= 0x21;
		set_table_bytes(buf_slice(&bytes));
		ck_assert_msg(answers_are_true(whole, entries, &answered),
		              "offset %zu", i);
		harmless += answered;
		bytes.data[i] ^= 0x21;
	}
	/* The properties are not asked for here; all else is needed. */
	ck_assert_uint_le(harmless,
	                  footer.properties.bytes + SST_TRAILER_BYTES);
	buf_release(&bytes);
	remove_table();
}

START_TEST(flipped_byte_gives_an_error_and_never_other_bytes)
{
	struct entries entries;
	struct gen gen;

	gen_init(&gen, 33);
	entries_random(&entries, &gen, 20, 2, 12);
	flip_all(&entries, 100, 1);
	entries_release(&entries);
}
END_TEST

START_TEST(flipped_byte_in_one_of_many_parts_gives_an_error)
{
	struct entries entries;

	entries_long_keys(&entries, 140);
	flip_all(&entries, 1, 997);
	entries_release(&entries);
}
END_TEST

/* Put `bytes` in the table's place and keep the file open for writing. */
static struct env_file *keep_table(const struct buf *bytes)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;

	remove_table();
	file_name_format(FILE_KIND_TABLE, table_id, name);
	ck_assert_int_eq(env_open(pool, name, ENV_CREATE, &file), LSM_OK);
	ck_assert_int_eq(env_write(file, 0, bytes->data, bytes->len), LSM_OK);
	return file;
}

START_TEST(verify_finds_a_flipped_byte_in_each_kind_of_block)
{
	struct entries entries;
	struct sst_footer footer;
	struct sst_part parts[2];
	struct env_file *file;
	struct table *table;
	struct buf bytes;
	uint64_t whole, at[7];

	entries_long_keys(&entries, 200);
	whole = write_table(&entries, 1);
	table_bytes(&bytes);
	decode_footer(&bytes, &footer);
	ck_assert_uint_ge(read_parts(parts, 2), 2);
	at[0] = 5;                     /* header */
	at[1] = FILE_HEADER_BYTES + 5; /* data */
	at[2] = parts[1].filter.offset + 5;
	at[3] = parts[1].index.offset + 5;
	at[4] = footer.top.offset + 5;
	at[5] = footer.properties.offset + 5;
	at[6] = whole - 5; /* footer */

	file = keep_table(&bytes);
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	ck_assert_uint_eq(faults_of(table), 0);
	for (size_t i = 0; i < 7; i++) {
		uint8_t flipped = bytes.data[at[i]] ^ 0x80;

		ck_assert_int_eq(env_write(file, at[i], &flipped, 1), LSM_OK);
		ck_assert_msg(faults_of(table) == 1, "case %zu", i);
		ck_assert_int_eq(env_write(file, at[i], &bytes.data[at[i]], 1),
		                 LSM_OK);
	}
	ck_assert_uint_eq(faults_of(table), 0);
	table_close(table);
	ck_assert_int_eq(env_close(file), LSM_OK);
	buf_release(&bytes);
	entries_release(&entries);
}
END_TEST

/* A few keys whose values lie in as many segments. */
static void entries_apart(struct entries *entries)
{
	static const char *const users[] = {"a", "b", "c"};

	for (unsigned i = 0; i < 3; i++) {
		struct pointer pointer = {
		    .segment = {7 + i, 300 * i + 1},
		    .offset = FILE_HEADER_BYTES,
		    .stored_len = 9000 + i,
		    .raw_len = 20000,
		};
		uint8_t bytes[POINTER_BYTES];

		pointer_encode(&pointer, bytes);
		entries_add(entries, slice_str(users[i]), 5, KEY_POINTER,
		            slice_make(bytes, sizeof(bytes)));
	}
}

START_TEST(every_flipped_bit_of_the_properties_is_found)
{
	struct entries entries = {0};
	struct sst_footer footer;
	struct table_info info;
	struct table *table;
	struct buf bytes;
	uint64_t whole;
	size_t begin, end;

	entries_apart(&entries);
	whole = write_table(&entries, 100);
	table_bytes(&bytes);
	decode_footer(&bytes, &footer);
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	ck_assert_int_eq(table_read_info(table, &info), LSM_OK);
	ck_assert_uint_eq(info.segments.count, 3);
	table_info_release(&info);
	table_close(table);

	begin = (size_t)footer.properties.offset;
	end = begin + (size_t)footer.properties.bytes + SST_TRAILER_BYTES;
	for (size_t bit = begin * 8; bit < end * 8; bit++) {
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		set_table_bytes(buf_slice(&bytes));
		ck_assert_int_eq(open_table(whole, &table), LSM_OK);
		ck_assert_int_eq(table_read_info(table, &info),
		                 LSM_ERR_CORRUPT);
		ck_assert_uint_eq(info.segments.count, 0);
		ck_assert_uint_eq(faults_of(table), 1);
		table_close(table);
		bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_release(&bytes);
	entries_release(&entries);
}
END_TEST

/* Replace the block that `handle` names by `raw`, in place, checksum and all:
   what a bug would write. It must take no more room than the old one. */
static void forge_block(struct buf *bytes, enum sst_block_type type,
                        struct sst_handle handle, struct slice raw)
{
	struct buf block = BUF_INIT;
	struct sst_handle forged;

	ck_assert_int_eq(sst_block_encode(table_id, handle.offset, type, raw,
	                                  &block, &forged),
	                 LSM_OK);
	ck_assert_uint_eq(forged.bytes, handle.bytes);
	memcpy(bytes->data + handle.offset, block.data, block.len);
	buf_release(&block);
}

START_TEST(verify_finds_what_checksums_do_not)
{
	struct entries entries;
	struct sst_footer footer;
	struct sst_part part;
	struct buf bytes, raw = BUF_INIT;
	struct table_info info;
	struct table *table;
	struct gen gen;
	uint64_t whole;

	entries_long_keys(&entries, 40);
	whole = write_table(&entries, 1000);
	table_bytes(&bytes);
	decode_footer(&bytes, &footer);
	ck_assert_uint_eq(read_parts(&part, 1), 2);
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	ck_assert_int_eq(table_read_info(table, &info), LSM_OK);
	table_close(table);

	/* Properties that tell of one entry more. */
	info.entries++;
	ck_assert_int_eq(table_info_encode(&info, &raw), LSM_OK);
	forge_block(&bytes, SST_BLOCK_PROPERTIES, footer.properties,
	            buf_slice(&raw));
	set_table_bytes(buf_slice(&bytes));
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	ck_assert_uint_eq(faults_of(table), 1);
	table_close(table);

	/* And a filter with half its bits at random, which misses most. */
	gen_init(&gen, 37);
	ck_assert_int_eq(buf_resize(&raw, (size_t)part.filter.bytes), LSM_OK);
	gen_bytes(&gen, raw.data, raw.len - 1);
	raw.data[raw.len - 1] = bytes.data[part.filter.offset + raw.len - 1];
	forge_block(&bytes, SST_BLOCK_FILTER, part.filter, buf_slice(&raw));
	set_table_bytes(buf_slice(&bytes));
	ck_assert_int_eq(open_table(whole, &table), LSM_OK);
	ck_assert_uint_gt(faults_of(table), 1);
	table_close(table);
	buf_release(&raw);
	buf_release(&bytes);
	table_info_release(&info);
	entries_release(&entries);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_verify");
	TCase *tc = tcase_create("bad");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, truncated_table_is_refused);
	tcase_add_test(tc, flipped_byte_gives_an_error_and_never_other_bytes);
	tcase_add_test(tc, flipped_byte_in_one_of_many_parts_gives_an_error);
	tcase_add_test(tc, verify_finds_a_flipped_byte_in_each_kind_of_block);
	tcase_add_test(tc, every_flipped_bit_of_the_properties_is_found);
	tcase_add_test(tc, verify_finds_what_checksums_do_not);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
