/* SPDX-License-Identifier: MIT */
/*
 * test_block.c: a block gives back what was put in, from wherever one seeks; a
 * damaged one ends with an error and is never read past its end.
 */
#include <stdlib.h>

#include "base/coding.h"
#include "sst/block.h"
#include "sst/block_builder.h"
#include "tests/engine/sst/sst_kit.h"

enum { SEED = 20240702, ROUNDS = 60 };

static void build(const struct entries *entries, struct buf *raw)
{
	struct block_builder builder;
	struct slice bytes;

	block_builder_init(&builder, SST_RESTART_INTERVAL);
	for (size_t i = 0; i < entries->count; i++)
		ck_assert_int_eq(block_builder_add(&builder,
		                                   entry_key(entries, i),
		                                   entry_value(entries, i)),
		                 LSM_OK);
	ck_assert_int_eq(block_builder_finish(&builder, &bytes), LSM_OK);
	buf_init(raw);
	ck_assert_int_eq(buf_set(raw, bytes), LSM_OK);
	block_builder_release(&builder);
}

/* Whether the walk from where `it` stands gives entries from..count. */
static bool matches(struct block_iter *it, const struct entries *entries,
                    size_t from)
{
	for (; it->valid; block_iter_next(it), from++) {
		if (from >= entries->count ||
		    !slice_equal(it->key, entry_key(entries, from)) ||
		    !slice_equal(it->value, entry_value(entries, from)))
			return false;
	}
	return it->err == LSM_OK && from == entries->count;
}

/* The same backwards, from entry `at` - 1 to the first. */
static bool matches_back(struct block_iter *it, const struct entries *entries,
                         size_t at)
{
	for (; it->valid; block_iter_prev(it)) {
		if (at-- == 0 ||
		    !slice_equal(it->key, entry_key(entries, at)) ||
		    !slice_equal(it->value, entry_value(entries, at)))
			return false;
	}
	return it->err == LSM_OK && at == 0;
}

/* A target near one of the entries, or anywhere. */
static void random_target(const struct entries *entries, struct gen *gen,
                          struct buf *target)
{
	struct slice near = slice_str("anything");

	if (entries->count > 0)
		near = key_user(
		    entry_key(entries, (size_t)gen_below(gen, entries->count)));
	if (near.len > 0 && gen_below(gen, 3) == 0)
		near.len--;
	ck_assert_int_eq(key_make(target, near, gen_below(gen, 1001), KEY_SEEK),
	                 LSM_OK);
}

START_TEST(random_blocks_match_the_model)
{
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	for (int round = 0; round < ROUNDS; round++) {
		struct buf raw, target = BUF_INIT;
		struct entries entries;
		struct block_iter it;

		entries_random(&entries, &gen, (size_t)gen_below(&gen, 100), 4,
		               50);
		build(&entries, &raw);
		block_iter_init(&it, buf_slice(&raw));
		block_iter_seek_first(&it);
		ck_assert(matches(&it, &entries, 0));
		block_iter_seek_last(&it);
		ck_assert(matches_back(&it, &entries, entries.count));
		for (int i = 0; i < 50; i++) {
			size_t at;

			random_target(&entries, &gen, &target);
			block_iter_seek(&it, buf_slice(&target));
			at = entries_seek(&entries, buf_slice(&target));
			ck_assert(matches(&it, &entries, at));
			block_iter_seek_before(&it, buf_slice(&target));
			ck_assert(matches_back(&it, &entries, at));
		}
		entries_release(&entries);
		buf_release(&raw);
		buf_release(&target);
	}
}
END_TEST

START_TEST(every_key_of_a_block_is_found_by_itself)
{
	struct entries entries;
	struct block_iter it;
	struct buf raw;
	struct gen gen;

	gen_init(&gen, 11);
	entries_random(&entries, &gen, 200, 3, 20);
	build(&entries, &raw);
	block_iter_init(&it, buf_slice(&raw));
	for (size_t i = 0; i < entries.count; i++) {
		block_iter_seek(&it, entry_key(&entries, i));
		ck_assert(it.valid);
		ck_assert(slice_equal(it.key, entry_key(&entries, i)));
	}
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

START_TEST(block_without_entries_is_at_its_end)
{
	struct entries none = {0};
	struct block_iter it;
	struct buf raw;

	build(&none, &raw);
	block_iter_init(&it, buf_slice(&raw));
	block_iter_seek_first(&it);
	ck_assert(!it.valid);
	ck_assert_int_eq(it.err, LSM_OK);
	block_iter_seek_last(&it);
	ck_assert(!it.valid);
	ck_assert_int_eq(it.err, LSM_OK);
	buf_release(&raw);
}
END_TEST

/* Walk a block that may be anything from its end; an entry may come up at most
   once. */
static enum lsm_err probe_back(struct block_iter *it)
{
	size_t offset = it->entries.len;

	for (block_iter_seek_last(it); it->valid; block_iter_prev(it)) {
		ck_assert_uint_lt(it->offset, offset);
		ck_assert(it->value.data + it->value.len <=
		          it->entries.data + it->entries.len);
		offset = it->offset;
	}
	return it->err;
}

/* Walk and seek a block that may be anything. The bytes are copied to a place
   of just their size, so that a sanitizer sees a step past either end. */
static enum lsm_err probe(struct slice raw, struct slice target)
{
	uint8_t *copy = malloc(raw.len + 1);
	struct block_iter it;
	size_t steps = 0;
	enum lsm_err err;

	memcpy(copy + 1, raw.data, raw.len);
	block_iter_init(&it, slice_make(copy + 1, raw.len));
	for (block_iter_seek_first(&it); it.valid; block_iter_next(&it)) {
		ck_assert(it.value.data + it.value.len <=
		          it.entries.data + it.entries.len);
		steps++;
	}
	ck_assert_uint_le(steps, raw.len);
	err = it.err;
	block_iter_seek(&it, target);
	if (it.valid)
		block_iter_next(&it);
	if (err == LSM_OK)
		err = it.err;
	block_iter_seek_before(&it, target);
	if (it.valid)
		block_iter_prev(&it);
	if (err == LSM_OK)
		err = probe_back(&it);
	free(copy);
	return err;
}

START_TEST(damaged_block_is_never_read_past_its_end)
{
	struct entries entries;
	struct slice target;
	struct buf raw;
	struct gen gen;
	size_t refused = 0;

	gen_init(&gen, 12);
	entries_random(&entries, &gen, 40, 3, 12);
	build(&entries, &raw);
	target = entry_key(&entries, entries.count / 2);
	for (size_t i = 0; i < raw.len; i++) {
		for (int mask = 1; mask < 256; mask = mask * 4 + 3) {
			raw.data[i] ^= (uint8_t)mask;
			refused += probe(buf_slice(&raw), target) != LSM_OK;
			raw.data[i] ^= (uint8_t)mask;
		}
	}
	ck_assert_uint_gt(refused, raw.len / 4);
	ck_assert_int_eq(probe(buf_slice(&raw), target), LSM_OK);
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

/* The three lengths of the only entry, each one more than there is. */
START_TEST(length_beyond_the_block_is_refused)
{
	struct entries entries = {0};
	struct buf raw;

	entries_add(&entries, slice_str("k"), 1, KEY_PUT, slice_str("value"));
	build(&entries, &raw);
	ck_assert_int_eq(probe(buf_slice(&raw), entry_key(&entries, 0)),
	                 LSM_OK);
	for (size_t i = 0; i < 3; i++) {
		raw.data[i]++;
		ck_assert_int_eq(probe(buf_slice(&raw), entry_key(&entries, 0)),
		                 LSM_ERR_CORRUPT);
		raw.data[i]--;
	}
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

/* The second restart moved to an entry that shares a prefix. */
START_TEST(restart_that_is_no_whole_key_is_refused)
{
	const uint8_t users[] = "abcdefghijklmnopqrstuvwxyz";
	struct entries entries = {0};
	struct block_iter it;
	struct buf raw;

	for (size_t i = 0; i < 26; i++) {
		uint8_t user[2] = {'x', users[i]};

		entries_add(&entries, slice_make(user, 2), 1, KEY_PUT,
		            slice_make(NULL, 0));
	}
	build(&entries, &raw);
	/* Three lengths and the key stand before the second entry. */
	put_u32(raw.data + raw.len - 8, 3 + 2 + KEY_TRAILER_BYTES);
	block_iter_init(&it, buf_slice(&raw));
	block_iter_seek(&it, entry_key(&entries, 20));
	ck_assert(!it.valid);
	ck_assert_int_eq(it.err, LSM_ERR_CORRUPT);
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

/* The walk back goes from restart to restart: one that is no beginning of an
   entry leads past the entry that is looked for. */
START_TEST(walk_back_from_a_false_restart_is_refused)
{
	struct entries entries = {0};
	struct block_iter it;
	struct buf raw;

	for (char user = 'a'; user <= 'z'; user++)
		entries_add(&entries, slice_make((uint8_t *)&user, 1), 1,
		            KEY_PUT, slice_str("vvvv"));
	build(&entries, &raw);
	block_iter_init(&it, buf_slice(&raw));
	put_u32(raw.data + raw.len - 8, 1); /* the second of two */
	block_iter_seek_last(&it);
	ck_assert(!it.valid);
	ck_assert_int_eq(it.err, LSM_ERR_CORRUPT);
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

START_TEST(truncated_block_is_never_read_past_its_end)
{
	struct entries entries;
	struct buf raw;
	struct gen gen;

	gen_init(&gen, 13);
	entries_random(&entries, &gen, 40, 3, 12);
	build(&entries, &raw);
	for (size_t len = 0; len < raw.len; len++) {
		enum lsm_err err =
		    probe(slice_make(raw.data, len), entry_key(&entries, 0));

		if (len < 4)
			ck_assert_int_eq(err, LSM_ERR_CORRUPT);
	}
	entries_release(&entries);
	buf_release(&raw);
}
END_TEST

START_TEST(random_bytes_are_never_read_past_their_end)
{
	uint8_t bytes[64];
	struct buf target = BUF_INIT;
	struct gen gen;

	gen_init(&gen, gen_seed(SEED));
	ck_assert_int_eq(key_make(&target, slice_str("k"), 5, KEY_SEEK),
	                 LSM_OK);
	for (int i = 0; i < 20000; i++) {
		size_t len = (size_t)gen_below(&gen, sizeof(bytes));

		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)gen_below(&gen, 12);
		/* Few restarts, or it is refused at once. */
		if (len >= 4)
			memset(bytes + len - 3, 0, 3);
		if (probe(slice_make(bytes, len), buf_slice(&target)) == LSM_OK)
			ck_assert_uint_ge(len, 4);
	}
	buf_release(&target);
}
END_TEST

START_TEST(iterator_goes_on_to_another_block)
{
	struct entries first, second;
	struct buf first_raw, second_raw;
	struct block_iter it;
	struct gen gen;

	gen_init(&gen, 14);
	entries_random(&first, &gen, 30, 2, 12);
	entries_random(&second, &gen, 30, 2, 12);
	build(&first, &first_raw);
	build(&second, &second_raw);
	block_iter_init(&it, buf_slice(&first_raw));
	block_iter_seek_first(&it);
	block_iter_init(&it, buf_slice(&second_raw));
	ck_assert(!it.valid);
	block_iter_seek_first(&it);
	ck_assert(matches(&it, &second, 0));
	block_iter_init(&it, slice_make(NULL, 0));
	block_iter_seek_first(&it);
	ck_assert_int_eq(it.err, LSM_ERR_CORRUPT);
	entries_release(&first);
	entries_release(&second);
	buf_release(&first_raw);
	buf_release(&second_raw);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("block");
	TCase *tc = tcase_create("walk");

	tcase_add_test(tc, random_blocks_match_the_model);
	tcase_add_test(tc, every_key_of_a_block_is_found_by_itself);
	tcase_add_test(tc, block_without_entries_is_at_its_end);
	tcase_add_test(tc, damaged_block_is_never_read_past_its_end);
	tcase_add_test(tc, length_beyond_the_block_is_refused);
	tcase_add_test(tc, restart_that_is_no_whole_key_is_refused);
	tcase_add_test(tc, walk_back_from_a_false_restart_is_refused);
	tcase_add_test(tc, truncated_block_is_never_read_past_its_end);
	tcase_add_test(tc, random_bytes_are_never_read_past_their_end);
	tcase_add_test(tc, iterator_goes_on_to_another_block);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
