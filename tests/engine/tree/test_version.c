/* SPDX-License-Identifier: MIT */
/*
 * test_version.c: a version over real tables reads as the plain array of what
 * is in them; it opens no table that it need not, and drops each one once.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/sync.h"
#include "tests/engine/tree/tree_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/env_fault.h"
#include "tests/support/gen.h"
#include "tree/edit.h"

enum { USERS = 120, L0_TABLES = 4, BLOCK_BYTES = 256 };

static const struct uuid family = {{7}};

/* A version over tables in memory, and all that is in them. */
static struct env *mem, *fault;
static struct table_source source;
static struct tally tally;
static struct version *version;
static struct entries whole;
static uint64_t last_seq, last_number;
static unsigned tables_opened;

static void must_be_ok(enum lsm_err err)
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

static struct slice user_name(uint64_t index, char out[16])
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

static void setup(void)
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

static void teardown(void)
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

/* Close every open table and forget every block. */
static void empty_caches(void)
{
	cache_destroy(source.files);
	cache_destroy(source.blocks);
	must_be_ok(cache_create(64 * table_cache_charge(), 1, &source.files));
	must_be_ok(cache_create(1 << 20, 1, &source.blocks));
}

/* ---- get ---------------------------------------------------------------- */

struct visits {
	struct entries entries;
	struct slice user;
	size_t limit; /* stop after so many */
};

static bool note_visit(void *ctx, uint64_t seq, enum key_kind kind,
                       struct slice value)
{
	struct visits *visits = ctx;

	entries_add(&visits->entries, visits->user, seq, kind, value);
	return visits->entries.count < visits->limit;
}

/* The versions that the array has of `user` up to `seq`, at most `limit`. */
static void scan(struct slice user, uint64_t seq, size_t limit,
                 struct entries *out)
{
	entries_init(out);
	for (size_t i = 0; i < whole.count && out->count < limit; i++) {
		struct slice key = buf_slice(&whole.all[i].key);

		if (slice_equal(key_user(key), user) && key_seq(key) <= seq)
			entries_add(out, user, key_seq(key), key_kind(key),
			            buf_slice(&whole.all[i].value));
	}
}

static void check_get(uint64_t index, uint64_t seq, size_t limit)
{
	struct visits visits = {.limit = limit};
	struct entries expected;
	char user[16];
	bool stopped;

	visits.user = user_name(index, user);
	entries_init(&visits.entries);
	must_be_ok(version_get(version, &source, visits.user, seq, note_visit,
	                       &visits, &stopped));
	scan(visits.user, seq, limit, &expected);
	ck_assert(entries_equal(&visits.entries, &expected));
	ck_assert_int_eq(stopped, expected.count == limit);
	entries_release(&visits.entries);
	entries_release(&expected);
}

START_TEST(get_visits_what_the_array_has_newest_first)
{
	struct gen gen;

	for (uint64_t index = 0; index < USERS + 2; index++)
		check_get(index, KEY_SEQ_MAX, SIZE_MAX);
	gen_init(&gen, gen_seed(42));
	for (int round = 0; round < 2000; round++)
		check_get(gen_below(&gen, USERS + 2),
		          gen_below(&gen, last_seq + 2),
		          1 + (size_t)gen_below(&gen, 5));
}
END_TEST

START_TEST(get_opens_no_table_that_cannot_hold_the_key)
{
	struct visits visits = {.limit = SIZE_MAX};
	bool stopped;

	entries_init(&visits.entries);
	empty_caches();
	tables_opened = 0;
	visits.user = slice_str("zzz");
	must_be_ok(version_get(version, &source, visits.user, KEY_SEQ_MAX,
	                       note_visit, &visits, &stopped));
	visits.user = slice_str("user050");
	must_be_ok(version_get(version, &source, visits.user, 0, note_visit,
	                       &visits, &stopped));
	ck_assert(!stopped);
	ck_assert_uint_eq(tables_opened, 0);
	must_be_ok(version_get(version, &source, visits.user, KEY_SEQ_MAX,
	                       note_visit, &visits, &stopped));
	/* One a level, and those of L0. */
	ck_assert_uint_le(tables_opened, L0_TABLES + 3);
	entries_release(&visits.entries);
}
END_TEST

START_TEST(each_failing_read_of_a_get_is_its_error)
{
	char user[16];

	for (uint64_t nth = 1;; nth++) {
		struct visits visits = {.limit = SIZE_MAX};
		struct entries expected;
		enum lsm_err err;
		bool stopped, done, whole_answer;

		entries_init(&visits.entries);
		visits.user = user_name(60, user);
		empty_caches();
		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		err = version_get(version, &source, visits.user, KEY_SEQ_MAX,
		                  note_visit, &visits, &stopped);
		done = env_fault_count(fault) < nth;
		env_fault_arm(fault, 0, LSM_OK, false);
		scan(visits.user, KEY_SEQ_MAX, SIZE_MAX, &expected);
		whole_answer = entries_equal(&visits.entries, &expected);
		entries_release(&expected);
		entries_release(&visits.entries);
		ck_assert(!stopped);
		/* An error of closing a file that was only read is none. */
		ck_assert(err == LSM_ERR_IO || err == LSM_OK);
		ck_assert(err == LSM_ERR_IO || whole_answer);
		if (done) {
			must_be_ok(err);
			ck_assert_uint_gt(nth, 5);
			break;
		}
	}
}
END_TEST

/* ---- iterate ------------------------------------------------------------ */

/* A bound, or none. */
static struct slice draw_bound(struct gen *gen, char out[16])
{
	if (gen_below(gen, 4) == 0)
		return slice_make(NULL, 0);
	return user_name(gen_below(gen, USERS + 10), out);
}

static bool is_in(struct slice user, struct slice lower, struct slice upper)
{
	return slice_compare(user, lower) >= 0 &&
	       (upper.len == 0 || slice_compare(user, upper) < 0);
}

static struct iter *merged(struct slice lower, struct slice upper)
{
	struct iter_list list;
	struct iter *it;

	iter_list_init(&list);
	must_be_ok(version_iters(version, &source, lower, upper, true, &list));
	must_be_ok(merge_iter_create(&list, &it));
	return it;
}

static void check_range(struct slice lower, struct slice upper)
{
	struct iter *it = merged(lower, upper);
	struct buf target = BUF_INIT;

	must_be_ok(key_make(&target, lower, KEY_SEQ_MAX, KEY_SEEK));
	iter_seek(it, buf_slice(&target));
	for (size_t i = 0; i < whole.count; i++) {
		struct slice key = buf_slice(&whole.all[i].key);

		if (!is_in(key_user(key), lower, upper))
			continue;
		ck_assert(iter_valid(it));
		ck_assert(slice_equal(iter_key(it), key));
		ck_assert(slice_equal(iter_value(it),
		                      buf_slice(&whole.all[i].value)));
		iter_next(it);
	}
	must_be_ok(iter_status(it));
	ck_assert(!iter_valid(it) ||
	          !is_in(key_user(iter_key(it)), lower, upper));
	buf_release(&target);
	iter_destroy(it);
}

START_TEST(iterators_cover_every_range)
{
	struct slice none = slice_make(NULL, 0);
	struct gen gen;

	check_range(none, none);
	gen_init(&gen, gen_seed(43));
	for (int round = 0; round < 300; round++) {
		char lower[16], upper[16];
		struct slice from = draw_bound(&gen, lower);

		check_range(from, draw_bound(&gen, upper));
	}
}
END_TEST

/* How many iterators a range needs, by looking at every table. */
static size_t count_needed(struct slice lower, struct slice upper)
{
	size_t needed = 0;

	for (unsigned i = 0; i < LSM_LEVELS; i++) {
		const struct level *level = &version->levels[i];
		size_t meeting = 0;

		for (size_t j = 0; j < level->count; j++) {
			const struct table_info *info = &level->tables[j]->info;

			meeting +=
			    slice_compare(key_user(buf_slice(&info->largest)),
			                  lower) >= 0 &&
			    (upper.len == 0 ||
			     slice_compare(key_user(buf_slice(&info->smallest)),
			                   upper) < 0);
		}
		needed += i == 0 ? meeting : meeting > 0;
	}
	return needed;
}

START_TEST(iterators_leave_out_what_is_outside_the_range)
{
	struct gen gen;

	gen_init(&gen, gen_seed(44));
	for (int round = 0; round < 500; round++) {
		char a[16], b[16];
		struct slice lower = draw_bound(&gen, a);
		struct slice upper = draw_bound(&gen, b);
		struct iter_list list;

		if (upper.len > 0 && slice_compare(lower, upper) >= 0)
			continue;
		iter_list_init(&list);
		must_be_ok(
		    version_iters(version, &source, lower, upper, true, &list));
		ck_assert_uint_eq(list.count, count_needed(lower, upper));
		iter_list_release(&list);
	}
}
END_TEST

START_TEST(a_level_iterator_opens_one_table_at_a_time)
{
	const struct level *level = &version->levels[6];
	struct slice largest = buf_slice(&level->tables[3]->info.largest);
	struct iter *it;

	ck_assert_uint_ge(level->count, 5);
	empty_caches();
	tables_opened = 0;
	must_be_ok(level_iter_create(level->tables, level->count, &source,
	                             false, &it));
	ck_assert(!iter_valid(it));
	ck_assert_uint_eq(tables_opened, 0);
	iter_seek(it, largest);
	ck_assert(iter_valid(it));
	ck_assert(slice_equal(iter_key(it), largest));
	ck_assert_uint_eq(tables_opened, 1);
	iter_next(it);
	ck_assert(slice_equal(iter_key(it),
	                      buf_slice(&level->tables[4]->info.smallest)));
	ck_assert_uint_eq(tables_opened, 2);
	iter_destroy(it);
}
END_TEST

START_TEST(a_level_iterator_yields_a_row_of_tables_in_order)
{
	const struct level *level = &version->levels[6];

	for (size_t begin = 0; begin <= level->count; begin++) {
		size_t count = (level->count - begin) / 2;
		struct entries found;
		uint64_t expected = 0;
		struct iter *it;

		must_be_ok(level_iter_create(level->tables + begin, count,
		                             &source, true, &it));
		entries_collect(&found, it);
		must_be_ok(iter_status(it));
		for (size_t i = begin; i < begin + count; i++)
			expected += level->tables[i]->info.entries;
		ck_assert_uint_eq(found.count, expected);
		if (count > 0)
			ck_assert(slice_equal(
			    buf_slice(&found.all[0].key),
			    buf_slice(&level->tables[begin]->info.smallest)));
		for (size_t i = 1; i < found.count; i++)
			ck_assert_int_lt(
			    key_compare(buf_slice(&found.all[i - 1].key),
			                buf_slice(&found.all[i].key)),
			    0);
		entries_release(&found);
		iter_destroy(it);
	}
}
END_TEST

START_TEST(each_failing_read_ends_the_iterator_with_its_error)
{
	struct slice none = slice_make(NULL, 0);

	for (uint64_t nth = 1;; nth++) {
		struct iter *it = merged(none, none);
		size_t count = 0;
		enum lsm_err err;
		bool done;

		empty_caches();
		env_fault_arm(fault, nth, LSM_ERR_IO, false);
		for (iter_seek_first(it); iter_valid(it); iter_next(it)) {
			if (!slice_equal(iter_key(it),
			                 buf_slice(&whole.all[count].key)))
				break;
			count++;
		}
		done = env_fault_count(fault) < nth;
		env_fault_arm(fault, 0, LSM_OK, false);
		err = iter_status(it);
		ck_assert(!iter_valid(it));
		ck_assert(err == LSM_OK || err == LSM_ERR_IO);
		ck_assert((count == whole.count) == (err == LSM_OK));
		/* It can be read again from the start. */
		iter_seek_first(it);
		ck_assert(iter_valid(it));
		must_be_ok(iter_status(it));
		iter_destroy(it);
		if (done) {
			must_be_ok(err);
			ck_assert_uint_gt(nth, 20);
			break;
		}
	}
}
END_TEST

START_TEST(each_failed_allocation_is_nomem_and_leaks_nothing)
{
	struct slice none = slice_make(NULL, 0);
	struct iter_list list;
	uint64_t nth = 1;
	bool failed;

	do {
		enum lsm_err err;

		iter_list_init(&list);
		alloc_fault_arm(nth++);
		err = version_iters(version, &source, none, none, true, &list);
		failed = alloc_fault_disarm();
		ck_assert_int_eq(err, failed ? LSM_ERR_NOMEM : LSM_OK);
		iter_list_release(&list);
	} while (failed);
	ck_assert_uint_gt(nth, L0_TABLES + 3);
	nth = 1;
	do {
		struct iter *it;
		enum lsm_err err;

		empty_caches();
		alloc_fault_arm(nth++);
		err = level_iter_create(version->levels[6].tables, 3, &source,
		                        true, &it);
		if (err == LSM_OK) {
			iter_seek_first(it);
			err = iter_status(it);
		}
		failed = alloc_fault_disarm();
		ck_assert(err == (failed ? LSM_ERR_NOMEM : LSM_OK) ||
		          (failed && err == LSM_OK && iter_valid(it)));
		iter_destroy(it);
	} while (failed);
}
END_TEST

/* ---- overlaps, order, references ---------------------------------------- */

START_TEST(overlaps_and_ranges_are_what_a_scan_finds)
{
	struct gen gen;

	gen_init(&gen, gen_seed(45));
	for (int round = 0; round < 2000; round++) {
		unsigned index = (unsigned)gen_below(&gen, LSM_LEVELS);
		const struct level *level = &version->levels[index];
		uint64_t low = gen_below(&gen, USERS + 5);
		uint64_t high = low + gen_below(&gen, 12);
		char a[16], b[16];
		struct slice smallest = user_name(low, a);
		struct slice largest = user_name(high, b);
		size_t meeting = 0, begin, end;

		for (size_t i = 0; i < level->count; i++) {
			const struct table_info *info = &level->tables[i]->info;
			bool meets =
			    slice_compare(key_user(buf_slice(&info->largest)),
			                  smallest) >= 0 &&
			    slice_compare(key_user(buf_slice(&info->smallest)),
			                  largest) <= 0;

			meeting += meets;
			if (index == 0)
				continue;
			version_range(version, index, smallest, largest, &begin,
			              &end);
			ck_assert_int_eq(meets, i >= begin && i < end);
		}
		ck_assert_int_eq(
		    version_overlaps(version, index, smallest, largest),
		    meeting > 0);
	}
}
END_TEST

START_TEST(a_level_out_of_order_is_not_sound)
{
	struct table_owner nobody = {.dropped = NULL, .ctx = NULL};
	struct table_meta *tables[2] = {make_meta(1, "a", "c", 10, nobody),
	                                make_meta(2, "d", "f", 20, nobody)};
	struct table_meta *swapped[2] = {tables[1], tables[0]};
	struct level level = {.tables = tables, .count = 2};

	ck_assert(level_is_sound(&level, 1));
	ck_assert(!level_is_sound(&level, 0)); /* the older one first */
	level.tables = swapped;
	ck_assert(!level_is_sound(&level, 1));
	ck_assert(level_is_sound(&level, 0));
	table_meta_unref(tables[1]);
	tables[1] = make_meta(3, "c", "f", 5, nobody);
	level.tables = tables;
	ck_assert(!level_is_sound(&level, 1)); /* they share "c" */
	table_meta_unref(tables[0]);
	table_meta_unref(tables[1]);
}
END_TEST

START_TEST(an_iterator_keeps_the_version_and_a_version_its_tables)
{
	struct slice none = slice_make(NULL, 0);
	struct iter *it = merged(none, none);
	struct version *next;
	struct edit edit;
	struct entries found;

	/* A version without any table takes its place. */
	edit_init(&edit);
	for (unsigned i = 0; i < LSM_LEVELS; i++)
		for (size_t j = 0; j < version->levels[i].count; j++)
			must_be_ok(edit_remove_table(
			    &edit, i, version->levels[i].tables[j]->id));
	must_be_ok(edit_apply(version, &edit, &next));
	edit_release(&edit);
	version_unref(version);
	version = next;
	for (int i = 0; i < TALLY_NUMBERS; i++)
		ck_assert_int_eq(tally.dropped[i], 0);

	entries_collect(&found, it);
	ck_assert(entries_equal(&found, &whole));
	entries_release(&found);
	iter_destroy(it);
	ck_assert(tally_is_even(&tally));
	ck_assert_int_eq(tally.dropped[1], 1);
}
END_TEST

enum { THREADS = 4, ROUNDS = 20000 };

static void take_and_give(void *ctx)
{
	struct version *shared = ctx;

	for (int i = 0; i < ROUNDS; i++) {
		struct table_meta *meta = shared->levels[0].tables[0];

		version_ref(shared);
		table_meta_ref(meta);
		version_unref(shared);
		table_meta_unref(meta);
	}
	version_unref(shared);
}

START_TEST(threads_that_share_a_version_drop_its_tables_once)
{
	struct sync_thread threads[THREADS];

	for (int i = 0; i < THREADS; i++) {
		version_ref(version);
		must_be_ok(sync_thread_start(&threads[i], "reader",
		                             take_and_give, version));
	}
	version_unref(version); /* a thread is the last one */
	version = NULL;
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	ck_assert(tally_is_even(&tally));
	ck_assert_int_eq(tally.dropped[1], 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("version");
	TCase *tc = tcase_create("version");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, get_visits_what_the_array_has_newest_first);
	tcase_add_test(tc, get_opens_no_table_that_cannot_hold_the_key);
	tcase_add_test(tc, each_failing_read_of_a_get_is_its_error);
	tcase_add_test(tc, iterators_cover_every_range);
	tcase_add_test(tc, iterators_leave_out_what_is_outside_the_range);
	tcase_add_test(tc, a_level_iterator_opens_one_table_at_a_time);
	tcase_add_test(tc, a_level_iterator_yields_a_row_of_tables_in_order);
	tcase_add_test(tc, each_failing_read_ends_the_iterator_with_its_error);
	tcase_add_test(tc, each_failed_allocation_is_nomem_and_leaks_nothing);
	tcase_add_test(tc, overlaps_and_ranges_are_what_a_scan_finds);
	tcase_add_test(tc, a_level_out_of_order_is_not_sound);
	tcase_add_test(tc,
	               an_iterator_keeps_the_version_and_a_version_its_tables);
	tcase_add_test(tc, threads_that_share_a_version_drop_its_tables_once);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
