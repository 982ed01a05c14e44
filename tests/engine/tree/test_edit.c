/* SPDX-License-Identifier: MIT */
/*
 * test_edit.c: an edit comes back from its bytes as it was; other bytes give
 * CORRUPT.
 */
#include <check.h>
#include <stdlib.h>

#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"
#include "tree/edit.h"

static struct tally tally;

static const struct table_owner nobody = {.dropped = NULL, .ctx = NULL};

static void setup(void)
{
	memset(&tally, 0, sizeof(tally));
}

static void must_be_ok(enum lsm_err err)
{
	ck_assert_int_eq(err, LSM_OK);
}

static struct file_id id_of(uint64_t number)
{
	struct file_id id = {.creator = CREATOR, .number = number};

	return id;
}

static void add(struct edit *edit, unsigned level, uint64_t number,
                const char *smallest, const char *largest, uint64_t max_seq)
{
	struct table_meta *meta =
	    make_meta(number, smallest, largest, max_seq, nobody);

	must_be_ok(edit_add_table(edit, level, meta));
	table_meta_unref(meta);
}

static void add_ranged(struct edit *edit, unsigned level, uint64_t number)
{
	struct table_meta *meta = make_meta(number, "p", "q", 90, nobody);

	meta->info.ranges = 2;
	meta->info.ranges_prefix_bytes = 3;
	meta->info.ranges_min_seq = 88;
	must_be_ok(buf_set(&meta->info.ranges_reach, slice_str("pzz")));
	must_be_ok(edit_add_table(edit, level, meta));
	table_meta_unref(meta);
}

/* An edit with some of everything. */
static void make_full(struct edit *edit)
{
	struct log_ref log = {.id = {9, 31}, .promised_upto = 4096};

	edit_init(edit);
	add(edit, 0, 5, "", "zz", KEY_SEQ_MAX);
	add(edit, 3, 6, "abc", "abd", 77);
	add_ranged(edit, 2, 7);
	must_be_ok(edit_remove_table(edit, 6, id_of(2)));
	must_be_ok(edit_add_log(edit, log));
	must_be_ok(edit_remove_log(edit, id_of(30)));
	edit->has_next_number = true;
	edit->next_number = UINT64_MAX;
	edit->has_flushed = true;
	edit->flushed_seq = 123456;
	edit->has_horizon = true;
	edit->horizon = 123400;
	for (int i = 0; i < LSM_COUNTERS; i++)
		edit->counters[i] = i % 2 == 0 ? INT64_MIN + i : INT64_MAX - i;
}

static bool same_table(const struct edit_table *a, const struct edit_table *b)
{
	const struct table_info *x = &a->meta->info, *y = &b->meta->info;

	return a->level == b->level &&
	       file_id_equal(a->meta->id, b->meta->id) &&
	       x->file_bytes == y->file_bytes && x->entries == y->entries &&
	       x->deletes == y->deletes && x->raw_bytes == y->raw_bytes &&
	       x->min_seq == y->min_seq && x->max_seq == y->max_seq &&
	       x->ranges == y->ranges &&
	       x->ranges_prefix_bytes == y->ranges_prefix_bytes &&
	       x->ranges_min_seq == y->ranges_min_seq &&
	       slice_equal(buf_slice(&x->ranges_reach),
	                   buf_slice(&y->ranges_reach)) &&
	       slice_equal(buf_slice(&x->smallest), buf_slice(&y->smallest)) &&
	       slice_equal(buf_slice(&x->largest), buf_slice(&y->largest));
}

static bool same_edit(const struct edit *a, const struct edit *b)
{
	bool same = a->added_count == b->added_count &&
	            a->removed_count == b->removed_count &&
	            a->logs_added_count == b->logs_added_count &&
	            a->logs_removed_count == b->logs_removed_count &&
	            a->has_next_number == b->has_next_number &&
	            a->next_number == b->next_number &&
	            a->has_flushed == b->has_flushed &&
	            a->flushed_seq == b->flushed_seq &&
	            a->has_horizon == b->has_horizon &&
	            a->horizon == b->horizon &&
	            memcmp(a->counters, b->counters, sizeof(a->counters)) == 0;

	for (size_t i = 0; same && i < a->added_count; i++)
		same = same_table(&a->added[i], &b->added[i]);
	for (size_t i = 0; same && i < a->removed_count; i++)
		same = a->removed[i].level == b->removed[i].level &&
		       file_id_equal(a->removed[i].id, b->removed[i].id);
	for (size_t i = 0; same && i < a->logs_added_count; i++)
		same =
		    file_id_equal(a->logs_added[i].id, b->logs_added[i].id) &&
		    a->logs_added[i].promised_upto ==
			b->logs_added[i].promised_upto;
	for (size_t i = 0; same && i < a->logs_removed_count; i++)
		same = file_id_equal(a->logs_removed[i], b->logs_removed[i]);
	return same;
}

static enum lsm_err decode(struct slice bytes, struct edit *edit)
{
	return edit_decode(bytes, tally_owner(&tally), tally_adopted, edit);
}

START_TEST(an_edit_survives_its_bytes)
{
	struct edit edit, empty, back;
	struct buf bytes = BUF_INIT;

	make_full(&edit);
	must_be_ok(edit_encode(&edit, &bytes));
	must_be_ok(decode(buf_slice(&bytes), &back));
	ck_assert(same_edit(&edit, &back));
	edit_release(&back);

	edit_init(&empty);
	buf_clear(&bytes);
	must_be_ok(edit_encode(&empty, &bytes));
	ck_assert_uint_eq(bytes.len, 0);
	must_be_ok(decode(buf_slice(&bytes), &back));
	ck_assert(same_edit(&empty, &back));
	edit_release(&back);
	edit_release(&edit);
	buf_release(&bytes);
	ck_assert(tally_is_even(&tally));
	ck_assert_int_eq(tally.adopted[5], 1);
}
END_TEST

START_TEST(encode_appends)
{
	struct buf bytes = BUF_INIT, alone = BUF_INIT;
	struct edit edit;

	make_full(&edit);
	must_be_ok(edit_encode(&edit, &alone));
	must_be_ok(append_u8(&bytes, 'x'));
	must_be_ok(edit_encode(&edit, &bytes));
	ck_assert_uint_eq(bytes.data[0], 'x');
	ck_assert(slice_equal(slice_make(bytes.data + 1, bytes.len - 1),
	                      buf_slice(&alone)));
	edit_release(&edit);
	buf_release(&bytes);
	buf_release(&alone);
}
END_TEST

/* Decoding `bytes` gives CORRUPT, or an edit that has these very bytes. */
static void decode_anything(struct slice bytes)
{
	struct buf again = BUF_INIT;
	struct edit edit;
	enum lsm_err err = decode(bytes, &edit);

	ck_assert(err == LSM_OK || err == LSM_ERR_CORRUPT);
	if (err == LSM_OK) {
		must_be_ok(edit_encode(&edit, &again));
		ck_assert_uint_eq(again.len, bytes.len);
	} else {
		ck_assert_ptr_null(edit.added);
		ck_assert_uint_eq(edit.added_count, 0);
	}
	edit_release(&edit);
	buf_release(&again);
}

START_TEST(cut_and_flipped_bytes_never_crash_nor_leak)
{
	struct buf bytes = BUF_INIT;
	struct edit edit;

	make_full(&edit);
	must_be_ok(edit_encode(&edit, &bytes));
	edit_release(&edit);
	for (size_t len = 0; len < bytes.len; len++) {
		/* A copy, so that a sanitizer sees a read past the end. */
		uint8_t *copy = malloc(len + 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes.data, len);
		decode_anything(slice_make(copy, len));
		free(copy);
	}
	for (size_t i = 0; i < bytes.len; i++) {
		for (unsigned bit = 1; bit < 256; bit <<= 1) {
			bytes.data[i] ^= (uint8_t)bit;
			decode_anything(buf_slice(&bytes));
			bytes.data[i] ^= (uint8_t)bit;
		}
	}
	buf_release(&bytes);
	ck_assert(tally_is_even(&tally));
}
END_TEST

START_TEST(random_bytes_never_crash_nor_leak)
{
	struct gen gen;

	gen_init(&gen, gen_seed(31));
	for (int round = 0; round < 100000; round++) {
		size_t len = (size_t)gen_below(&gen, 120);
		uint8_t *bytes = malloc(len + 1);

		ck_assert_ptr_nonnull(bytes);
		gen_bytes(&gen, bytes, len);
		/* Mostly tags that mean something, and small numbers. */
		for (size_t i = 0; i < len; i++)
			if (gen_below(&gen, 3) > 0)
				bytes[i] %= 9;
		decode_anything(slice_make(bytes, len));
		free(bytes);
	}
	ck_assert(tally_is_even(&tally));
}
END_TEST

/* The bytes of an edit with one table that `spoil` has had its hands on. */
static enum lsm_err decode_spoiled(void (*spoil)(struct table_meta *meta))
{
	struct buf bytes = BUF_INIT;
	struct edit edit, back;
	enum lsm_err err;

	edit_init(&edit);
	add(&edit, 1, 7, "b", "c", 50);
	spoil(edit.added[0].meta);
	must_be_ok(edit_encode(&edit, &bytes));
	err = decode(buf_slice(&bytes), &back);
	edit_release(&back);
	edit_release(&edit);
	buf_release(&bytes);
	return err;
}

static void spoil_nothing(struct table_meta *meta)
{
	(void)meta;
}
static void spoil_order(struct table_meta *meta)
{
	must_be_ok(key_make(&meta->info.largest, slice_str("a"), 50, KEY_PUT));
}
static void spoil_kind(struct table_meta *meta)
{
	meta->info.largest.data[meta->info.largest.len - KEY_TRAILER_BYTES] = 9;
}
static void spoil_short(struct table_meta *meta)
{
	meta->info.smallest.len = KEY_TRAILER_BYTES - 1;
}
static void spoil_seqs(struct table_meta *meta)
{
	meta->info.min_seq = 51;
}
static void spoil_max_seq(struct table_meta *meta)
{
	meta->info.max_seq = KEY_SEQ_MAX + 1;
}
static void spoil_deletes(struct table_meta *meta)
{
	meta->info.deletes = meta->info.entries + 1;
}
static void set_ranges(struct table_meta *meta)
{
	meta->info.ranges = meta->info.entries;
	meta->info.ranges_prefix_bytes = 1;
	meta->info.ranges_min_seq = meta->info.max_seq;
	must_be_ok(buf_set(&meta->info.ranges_reach, slice_str("d")));
}
static void spoil_range_count(struct table_meta *meta)
{
	set_ranges(meta);
	meta->info.ranges++;
}
static void spoil_range_prefix(struct table_meta *meta)
{
	set_ranges(meta);
	meta->info.ranges_prefix_bytes = 0;
}
static void spoil_range_seq(struct table_meta *meta)
{
	set_ranges(meta);
	meta->info.ranges_min_seq++;
}
static void spoil_range_reach(struct table_meta *meta)
{
	set_ranges(meta);
	buf_clear(&meta->info.ranges_reach);
}
static void spoil_number(struct table_meta *meta)
{
	meta->id.number = 0;
}

START_TEST(impossible_tables_are_corrupt)
{
	ck_assert_int_eq(decode_spoiled(spoil_nothing), LSM_OK);
	ck_assert_int_eq(decode_spoiled(set_ranges), LSM_OK);
	ck_assert_int_eq(decode_spoiled(spoil_range_count), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_range_prefix), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_range_seq), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_range_reach), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_order), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_kind), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_short), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_seqs), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_max_seq), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_deletes), LSM_ERR_CORRUPT);
	ck_assert_int_eq(decode_spoiled(spoil_number), LSM_ERR_CORRUPT);
}
END_TEST

START_TEST(impossible_fields_are_corrupt)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
	    {"\x00", 1},             /* no such tag */
	    {"\x0e", 1},             /* no such tag */
	    {"\x07", 1},             /* no horizon */
	    {"\x07\x00", 2},         /* a horizon of zero */
	    {"\x07\x01\x07\x01", 4}, /* two horizons */
	    {"\x07\x80\x80\x80\x80\x80\x80\x80\x80\x01",
	     10}, /* a horizon of 2^56 */
	    {"\x02\x07"
	     "12345678"
	     "\x01",
	     11}, /* level 7 */
	    {"\x02\x06"
	     "12345678"
	     "\x00",
	     11}, /* file number 0 */
	    {"\x04"
	     "12345678"
	     "\x00",
	     10},                    /* file number 0 */
	    {"\x05\x01\x05\x01", 4}, /* two next numbers */
	    {"\x06\x01", 2},         /* no counters */
	    {"\x06\x01"
	     "\0\0\0\0\0\0\0\0"
	     "\x06\x01"
	     "\0\0\0\0\0\0\0\0",
	     20},                /* flushed twice */
	    {"\x05\x81\x00", 3}, /* an overlong varint */
	};
	struct edit edit;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(
		    decode(slice_make(bad[i].bytes, bad[i].len), &edit),
		    LSM_ERR_CORRUPT);
		edit_release(&edit);
	}
	/* The good twin of some. */
	must_be_ok(decode(slice_make("\x02\x06"
	                             "12345678"
	                             "\x01",
	                             11),
	                  &edit));
	edit_release(&edit);
	must_be_ok(decode(slice_make("\x06\x01\0\0\0\0\0\0\0\0", 10), &edit));
	edit_release(&edit);
	must_be_ok(decode(slice_make("\x07\xff\xff\xff\xff\xff\xff\xff\x7f", 9),
	                  &edit));
	ck_assert_uint_eq(edit.horizon, KEY_SEQ_MAX);
	edit_release(&edit);
}
END_TEST

START_TEST(failed_allocations_while_decoding_drop_what_was_adopted)
{
	struct buf bytes = BUF_INIT;
	struct edit edit, back;
	uint64_t nth = 1;
	bool failed;

	make_full(&edit);
	must_be_ok(edit_encode(&edit, &bytes));
	do {
		enum lsm_err err;

		alloc_fault_arm(nth++);
		err = decode(buf_slice(&bytes), &back);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		edit_release(&back);
		ck_assert(tally_is_even(&tally));
	} while (failed);
	ck_assert_uint_ge(nth, 10);
	edit_release(&edit);
	buf_release(&bytes);
}
END_TEST

START_TEST(a_failed_encode_leaves_the_bytes_that_were_there)
{
	struct edit edit;
	uint64_t nth = 1;
	bool failed;

	make_full(&edit);
	do {
		struct buf bytes = BUF_INIT;
		enum lsm_err err;

		must_be_ok(append_u8(&bytes, 'x'));
		alloc_fault_arm(nth++);
		err = edit_encode(&edit, &bytes);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		if (failed)
			ck_assert_uint_eq(bytes.len, 1);
		buf_release(&bytes);
	} while (failed);
	edit_release(&edit);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("edit");
	TCase *bytes = tcase_create("bytes");

	tcase_add_checked_fixture(bytes, setup, NULL);
	tcase_add_test(bytes, an_edit_survives_its_bytes);
	tcase_add_test(bytes, encode_appends);
	tcase_add_test(bytes, cut_and_flipped_bytes_never_crash_nor_leak);
	tcase_add_test(bytes, random_bytes_never_crash_nor_leak);
	tcase_add_test(bytes, impossible_tables_are_corrupt);
	tcase_add_test(bytes, impossible_fields_are_corrupt);
	tcase_add_test(bytes,
	               failed_allocations_while_decoding_drop_what_was_adopted);
	tcase_add_test(bytes, a_failed_encode_leaves_the_bytes_that_were_there);
	suite_add_tcase(suite, bytes);
	return run_suite(suite);
}
