/* SPDX-License-Identifier: MIT */
/* test_format.c: handles, footers and blocks are whole and in their place. */
#include <stdlib.h>

#include "base/coding.h"
#include "tests/engine/sst/sst_kit.h"

enum { OFFSET = FILE_HEADER_BYTES, FILE_TAIL = SST_FOOTER_BYTES };

static const struct sst_footer footer = {
    .top = {1000, 200},
    .properties = {1213, 90},
};

START_TEST(handle_comes_back)
{
	static const struct sst_handle handles[] = {
	    {0, 0}, {127, 128}, {1 << 20, 5000}, {UINT64_MAX, UINT64_MAX}};
	uint8_t bytes[SST_HANDLE_MAX_BYTES];

	for (size_t i = 0; i < sizeof(handles) / sizeof(handles[0]); i++) {
		size_t len = sst_handle_encode(handles[i], bytes);
		struct sst_handle got;

		ck_assert(sst_handle_decode(slice_make(bytes, len), &got));
		ck_assert_uint_eq(got.offset, handles[i].offset);
		ck_assert_uint_eq(got.bytes, handles[i].bytes);
		ck_assert(!sst_handle_decode(slice_make(bytes, len - 1), &got));
	}
}
END_TEST

START_TEST(handle_with_bytes_behind_it_is_refused)
{
	uint8_t bytes[SST_HANDLE_MAX_BYTES + 1] = {0};
	struct sst_handle got, handle = {5, 6};
	size_t len = sst_handle_encode(handle, bytes);

	ck_assert(!sst_handle_decode(slice_make(bytes, len + 1), &got));
}
END_TEST

START_TEST(part_comes_back_and_nothing_else_does)
{
	const struct sst_part part = {{1 << 20, 5000}, {127, 128}};
	uint8_t bytes[SST_PART_MAX_BYTES + 1] = {0};
	size_t len = sst_part_encode(&part, bytes);
	struct sst_part got;

	ck_assert(sst_part_decode(slice_make(bytes, len), &got));
	ck_assert_uint_eq(got.index.offset, 1 << 20);
	ck_assert_uint_eq(got.index.bytes, 5000);
	ck_assert_uint_eq(got.filter.offset, 127);
	ck_assert_uint_eq(got.filter.bytes, 128);
	ck_assert(!sst_part_decode(slice_make(bytes, len - 1), &got));
	ck_assert(!sst_part_decode(slice_make(bytes, len + 1), &got));
}
END_TEST

START_TEST(footer_comes_back)
{
	uint8_t bytes[SST_FOOTER_BYTES];
	struct sst_footer got;

	sst_footer_encode(&footer, table_id, 5000, bytes);
	ck_assert_int_eq(sst_footer_decode(slice_make(bytes, sizeof(bytes)),
	                                   table_id, 5000, &got),
	                 LSM_OK);
	ck_assert_uint_eq(got.top.offset, 1000);
	ck_assert_uint_eq(got.top.bytes, 200);
	ck_assert_uint_eq(got.properties.offset, 1213);
	ck_assert_uint_eq(got.properties.bytes, 90);
}
END_TEST

START_TEST(footer_with_a_flipped_bit_is_refused)
{
	uint8_t bytes[SST_FOOTER_BYTES];
	struct sst_footer got;

	sst_footer_encode(&footer, table_id, 5000, bytes);
	for (size_t bit = 0; bit < SST_FOOTER_BYTES * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(
		    sst_footer_decode(slice_make(bytes, sizeof(bytes)),
		                      table_id, 5000, &got),
		    LSM_ERR_CORRUPT);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

START_TEST(footer_of_another_place_is_refused)
{
	struct file_id other = {table_id.creator, table_id.number + 1};
	uint8_t bytes[SST_FOOTER_BYTES];
	struct slice all = slice_make(bytes, sizeof(bytes));
	struct sst_footer got;

	sst_footer_encode(&footer, table_id, 5000, bytes);
	ck_assert_int_eq(sst_footer_decode(all, other, 5000, &got),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(sst_footer_decode(all, table_id, 5001, &got),
	                 LSM_ERR_CORRUPT);
	ck_assert_int_eq(
	    sst_footer_decode(slice_make(bytes, 63), table_id, 5000, &got),
	    LSM_ERR_CORRUPT);
}
END_TEST

/* A file of one block at OFFSET and room for a footer. */
static struct sst_handle write_block(struct slice raw, struct buf *file)
{
	struct sst_handle handle;

	buf_init(file);
	ck_assert_int_eq(buf_resize(file, OFFSET), LSM_OK);
	ck_assert_int_eq(sst_block_encode(table_id, OFFSET, SST_BLOCK_DATA, raw,
	                                  file, &handle),
	                 LSM_OK);
	ck_assert_uint_eq(handle.offset, OFFSET);
	ck_assert_uint_eq(file->len, OFFSET + handle.bytes + SST_TRAILER_BYTES);
	ck_assert_int_eq(buf_resize(file, file->len + FILE_TAIL), LSM_OK);
	set_table_bytes(buf_slice(file));
	return handle;
}

static enum lsm_err read_as(struct file_id id, uint64_t bytes,
                            enum sst_block_type type, struct sst_handle handle,
                            struct buf *raw)
{
	char name[FILE_NAME_MAX_BYTES];
	struct env_file *file;
	enum lsm_err err;

	file_name_format(FILE_KIND_TABLE, table_id, name);
	ck_assert_int_eq(env_open(pool, name, ENV_READ, &file), LSM_OK);
	err = sst_block_read(file, name, id, bytes, type, handle, raw);
	env_close(file);
	return err;
}

static void fill(struct buf *raw, size_t len, bool random)
{
	struct gen gen;

	gen_init(&gen, 3);
	buf_init(raw);
	ck_assert_int_eq(buf_resize(raw, len), LSM_OK);
	if (random)
		gen_bytes(&gen, raw->data, len);
	else
		memset(raw->data, 'a', len);
}

START_TEST(block_comes_back_packed_or_raw)
{
	static const size_t lengths[] = {1, 100, 8192, 1 << 20};

	for (size_t i = 0; i < 8; i++) {
		const bool random = i % 2 == 1;
		struct buf raw, file, got = BUF_INIT;
		struct sst_handle handle;

		fill(&raw, lengths[i / 2], random);
		handle = write_block(buf_slice(&raw), &file);
		if (!random && raw.len > 100)
			ck_assert_uint_lt(handle.bytes, raw.len / 8);
		ck_assert_int_eq(
		    read_as(table_id, file.len, SST_BLOCK_DATA, handle, &got),
		    LSM_OK);
		ck_assert(slice_equal(buf_slice(&got), buf_slice(&raw)));
		buf_release(&raw);
		buf_release(&file);
		buf_release(&got);
	}
}
END_TEST

START_TEST(block_with_a_flipped_byte_is_refused)
{
	for (int random = 0; random < 2; random++) {
		struct buf raw, file, got = BUF_INIT;
		struct sst_handle handle;

		fill(&raw, 300, random == 1);
		handle = write_block(buf_slice(&raw), &file);
		for (size_t i = OFFSET; i < file.len - FILE_TAIL; i++) {
			file.data[i] ^= 0x10;
			set_table_bytes(buf_slice(&file));
			ck_assert_int_eq(read_as(table_id, file.len,
			                         SST_BLOCK_DATA, handle, &got),
			                 LSM_ERR_CORRUPT);
			file.data[i] ^= 0x10;
		}
		buf_release(&raw);
		buf_release(&file);
		buf_release(&got);
	}
}
END_TEST

START_TEST(block_of_another_place_or_type_is_refused)
{
	struct file_id other = {table_id.creator + 1, table_id.number};
	struct buf raw, file, got = BUF_INIT;
	struct sst_handle handle;
	uint64_t bytes;

	fill(&raw, 300, true);
	handle = write_block(buf_slice(&raw), &file);
	bytes = file.len;
	ck_assert_int_eq(
	    read_as(table_id, bytes, SST_BLOCK_INDEX, handle, &got),
	    LSM_ERR_CORRUPT);
	ck_assert_int_eq(read_as(other, bytes, SST_BLOCK_DATA, handle, &got),
	                 LSM_ERR_CORRUPT);
	ck_assert_uint_eq(got.len, 0);
	/* The same bytes, one further on. */
	memmove(file.data + OFFSET + 1, file.data + OFFSET,
	        handle.bytes + SST_TRAILER_BYTES);
	set_table_bytes(buf_slice(&file));
	handle.offset++;
	ck_assert_int_eq(
	    read_as(table_id, bytes + 1, SST_BLOCK_DATA, handle, &got),
	    LSM_ERR_CORRUPT);
	buf_release(&raw);
	buf_release(&file);
	buf_release(&got);
}
END_TEST

START_TEST(handle_out_of_the_file_is_refused_unread)
{
	static const struct sst_handle bad[] = {
	    {0, 10},
	    {OFFSET - 1, 10},
	    {UINT64_MAX, 10},
	    {OFFSET, UINT64_MAX},
	    {UINT64_MAX - 5, UINT64_MAX - 5},
	    {OFFSET, SST_BLOCK_MAX_BYTES + 1},
	};
	struct buf raw, file, got = BUF_INIT;
	struct sst_handle handle;

	fill(&raw, 300, true);
	handle = write_block(buf_slice(&raw), &file);
	env_fault_arm(fault, 0, LSM_OK, false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_int_eq(
		    read_as(table_id, file.len, SST_BLOCK_DATA, bad[i], &got),
		    LSM_ERR_CORRUPT);
	/* One byte into the footer. */
	handle.bytes++;
	ck_assert_int_eq(
	    read_as(table_id, file.len, SST_BLOCK_DATA, handle, &got),
	    LSM_ERR_CORRUPT);
	/* Nothing but open and close, seven times. */
	ck_assert_uint_eq(env_fault_count(fault), 14);
	buf_release(&raw);
	buf_release(&file);
	buf_release(&got);
}
END_TEST

START_TEST(truncated_file_is_refused)
{
	struct buf raw, file, got = BUF_INIT;
	struct sst_handle handle;
	uint64_t bytes;

	fill(&raw, 100, true);
	handle = write_block(buf_slice(&raw), &file);
	bytes = file.len;
	for (size_t len = 0; len < bytes - FILE_TAIL; len++) {
		set_table_bytes(slice_make(file.data, len));
		ck_assert_int_eq(
		    read_as(table_id, bytes, SST_BLOCK_DATA, handle, &got),
		    LSM_ERR_CORRUPT);
	}
	buf_release(&raw);
	buf_release(&file);
	buf_release(&got);
}
END_TEST

START_TEST(block_over_the_limit_is_refused)
{
	struct sst_handle handle;
	struct buf raw, out = BUF_INIT;

	fill(&raw, SST_BLOCK_MAX_BYTES + 1, false);
	ck_assert_int_eq(sst_block_encode(table_id, OFFSET, SST_BLOCK_DATA,
	                                  buf_slice(&raw), &out, &handle),
	                 LSM_ERR_TOO_BIG);
	ck_assert_uint_eq(out.len, 0);
	raw.len--;
	ck_assert_int_eq(sst_block_encode(table_id, OFFSET, SST_BLOCK_DATA,
	                                  buf_slice(&raw), &out, &handle),
	                 LSM_OK);
	buf_release(&raw);
	buf_release(&out);
}
END_TEST

START_TEST(failing_read_is_passed_up)
{
	struct buf raw, file, got = BUF_INIT;
	struct sst_handle handle;

	fill(&raw, 300, true);
	handle = write_block(buf_slice(&raw), &file);
	env_fault_arm(fault, 2, LSM_ERR_IO, false); /* behind the open */
	ck_assert_int_eq(
	    read_as(table_id, file.len, SST_BLOCK_DATA, handle, &got),
	    LSM_ERR_IO);
	buf_release(&raw);
	buf_release(&file);
	buf_release(&got);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("format");
	TCase *tc = tcase_create("parts");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, handle_comes_back);
	tcase_add_test(tc, handle_with_bytes_behind_it_is_refused);
	tcase_add_test(tc, part_comes_back_and_nothing_else_does);
	tcase_add_test(tc, footer_comes_back);
	tcase_add_test(tc, footer_with_a_flipped_bit_is_refused);
	tcase_add_test(tc, footer_of_another_place_is_refused);
	tcase_add_test(tc, block_comes_back_packed_or_raw);
	tcase_add_test(tc, block_with_a_flipped_byte_is_refused);
	tcase_add_test(tc, block_of_another_place_or_type_is_refused);
	tcase_add_test(tc, handle_out_of_the_file_is_refused_unread);
	tcase_add_test(tc, truncated_file_is_refused);
	tcase_add_test(tc, block_over_the_limit_is_refused);
	tcase_add_test(tc, failing_read_is_passed_up);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
