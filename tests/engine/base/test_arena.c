/* SPDX-License-Identifier: MIT */
/* test_arena.c: allocations stay apart, every byte from malloc is counted, and
   no sequence of sizes grows an arena beyond its bound. */
#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/sync.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

enum { HEADER_BYTES = 8 };

START_TEST(an_arena_takes_memory_only_when_asked)
{
	struct arena arena;

	arena_init(&arena, 1 << 16);
	ck_assert_uint_eq(arena_allocated(&arena), 0);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1));
	ck_assert_uint_eq(arena_allocated(&arena), ARENA_FIRST_BLOCK_BYTES);
	arena_release(&arena);
	ck_assert_uint_eq(arena_allocated(&arena), 0);
	arena_release(NULL);
}
END_TEST

START_TEST(blocks_double_up_to_the_largest)
{
	struct arena arena;
	size_t expected = 0;

	arena_init(&arena, 10000);
	for (size_t block = 4096; block < 40000; block *= 2) {
		size_t bytes = block < 10000 ? block : 10000;

		/* 1000 at a time: as many as the block holds. */
		for (size_t i = 0; i < (bytes - HEADER_BYTES) / 1000; i++)
			ck_assert_ptr_nonnull(arena_alloc(&arena, 1000));
		expected += bytes;
		ck_assert_uint_eq(arena_allocated(&arena), expected);
	}
	arena_release(&arena);
}
END_TEST

START_TEST(a_large_allocation_gets_exactly_its_own_block)
{
	struct arena arena;
	uint8_t *small;
	size_t before;

	arena_init(&arena, 1 << 16);
	small = arena_alloc(&arena, 8);
	before = arena_allocated(&arena);
	ck_assert_ptr_nonnull(arena_alloc(&arena, 1 << 20));
	ck_assert_uint_eq(arena_allocated(&arena) - before,
	                  (1 << 20) + HEADER_BYTES);
	/* The shared block goes on where it was. */
	ck_assert_ptr_eq(arena_alloc(&arena, 8), small + 8);
	arena_release(&arena);
}
END_TEST

START_TEST(allocations_are_aligned_and_do_not_overlap)
{
	enum { COUNT = 3000 };
	static uint8_t *start[COUNT];
	static size_t len[COUNT];
	struct arena arena;
	struct gen gen;

	gen_init(&gen, gen_seed(12));
	arena_init(&arena, 1 << 15);
	for (size_t i = 0; i < COUNT; i++) {
		len[i] = 1 + (size_t)gen_below(&gen, i % 50 == 0 ? 20000 : 200);
		start[i] = arena_alloc(&arena, len[i]);
		ck_assert_ptr_nonnull(start[i]);
		ck_assert_uint_eq((uintptr_t)start[i] % ARENA_ALIGN_BYTES, 0);
		memset(start[i], (int)(i % 251), len[i]);
	}
	for (size_t i = 0; i < COUNT; i++) {
		size_t wrong = 0;

		for (size_t k = 0; k < len[i]; k++)
			wrong += start[i][k] != i % 251;
		ck_assert_uint_eq(wrong, 0);
	}
	arena_release(&arena);
}
END_TEST

/* A size of a kind that a writer, or someone who knows arena.c, would choose.
 */
static size_t next_size(struct gen *gen, const struct arena *arena,
                        unsigned style)
{
	size_t left = (size_t)(arena->free_end - arena->free_start);
	size_t quarter = arena->next_block_bytes / 4;
	size_t third = arena->next_block_bytes / 3;

	switch (style) {
	case 0: /* small records */
		return 1 + (size_t)gen_below(gen, 300);
	case 1: /* waste as much of each block as can be */
		return left < quarter ? left + 1
		                      : 1 + (size_t)gen_below(gen, quarter);
	case 2: /* at the edge between shared and own */
		return quarter - 1 + (size_t)gen_below(gen, 3);
	case 3: /* fill to a quarter, then just miss */
		return left > quarter ? left - quarter + 8 : left + 1;
	case 4: /* worst for alignment */
		return 1;
	case 5: /* worst for headers */
		return 1025;
	case 6: /* the same, and every byte of the rounding used */
		return quarter / 8 * 8 - 7;
	case 7: /* what a larger share than a quarter would let happen */
		return left > third ? left - third + 8 : left + 1;
	default: /* anything */
		return 1 + (size_t)gen_below(gen, UINT64_C(1)
		                                      << gen_below(gen, 18));
	}
}

enum { STEPS = 200, STYLES = 9 };

/*
 * Allocate STEPS sizes and compare growth with the bound between every two
 * moments, so that every state is once the one that is started from.
 */
static void attack_bound(struct gen *gen, size_t max_block_bytes,
                         unsigned style)
{
	uint64_t total[STEPS + 1] = {0};
	uint64_t held[STEPS + 1] = {0};
	struct arena arena;

	arena_init(&arena, max_block_bytes);
	for (size_t i = 0; i < STEPS; i++) {
		unsigned now =
		    style < STYLES ? style : (unsigned)gen_below(gen, STYLES);
		size_t bytes = next_size(gen, &arena, now);

		ck_assert_ptr_nonnull(arena_alloc(&arena, bytes));
		total[i + 1] = total[i] + bytes;
		held[i + 1] = arena_allocated(&arena);
	}
	arena_release(&arena);

	for (size_t to = 1; to <= STEPS; to++) {
		for (size_t from = 0; from < to; from++) {
			uint64_t bound =
			    arena_growth_bound(max_block_bytes, to - from,
			                       total[to] - total[from]);

			if (held[to] - held[from] > bound)
				ck_abort_msg(
				    "max %zu style %u steps %zu to %zu: grew "
				    "%" PRIu64 ", bound %" PRIu64,
				    max_block_bytes, style, from, to,
				    held[to] - held[from], bound);
		}
	}
}

START_TEST(no_sequence_grows_beyond_its_bound)
{
	struct gen gen;

	gen_init(&gen, gen_seed(13));
	for (int round = 0; round < 9; round++) {
		size_t odd =
		    ARENA_FIRST_BLOCK_BYTES + (size_t)gen_below(&gen, 1 << 20);

		for (unsigned style = 0; style <= STYLES; style++) {
			attack_bound(&gen, ARENA_FIRST_BLOCK_BYTES, style);
			attack_bound(&gen, (size_t)4096 << round % 9, style);
			attack_bound(&gen, odd, style);
		}
	}
}
END_TEST

/* Long runs, in which a fraction that is missing from the bound adds up. */
START_TEST(long_runs_stay_below_their_bound)
{
	static const size_t max_blocks[] = {4096, 4103, 8190, 65543, 65536};
	struct gen gen;

	gen_init(&gen, gen_seed(16));
	for (size_t i = 0; i < 5 * STYLES; i++) {
		size_t max_block_bytes = max_blocks[i / STYLES];
		unsigned style = (unsigned)(i % STYLES);
		struct arena arena;
		uint64_t total = 0;

		arena_init(&arena, max_block_bytes);
		for (size_t count = 1; count <= 3000; count++) {
			size_t bytes = next_size(&gen, &arena, style);

			ck_assert_ptr_nonnull(arena_alloc(&arena, bytes));
			total += bytes;
			if (arena_allocated(&arena) >
			    arena_growth_bound(max_block_bytes, count, total))
				ck_abort_msg("max %zu style %u count %zu",
				             max_block_bytes, style, count);
		}
		arena_release(&arena);
	}
}
END_TEST

START_TEST(the_bound_is_little_more_than_four_thirds_and_one_block)
{
	for (uint64_t total = 1; total < UINT64_C(1) << 30; total *= 3) {
		for (uint64_t count = 1; count <= total; count *= 7)
			ck_assert_uint_le(
			    arena_growth_bound(1 << 16, count, total),
			    (1 << 16) + 10 * count + total * 135 / 100);
	}
}
END_TEST

START_TEST(a_bound_that_does_not_fit_is_the_largest_number)
{
	ck_assert_uint_eq(arena_growth_bound(4096, 1, UINT64_MAX), UINT64_MAX);
	ck_assert_uint_eq(arena_growth_bound(4096, SIZE_MAX, 1), UINT64_MAX);
	ck_assert_uint_eq(arena_growth_bound(SIZE_MAX, 1, 1), UINT64_MAX);
}
END_TEST

START_TEST(totals_follow_all_arenas_and_the_peak_stays)
{
	uint64_t now, peak, before, before_peak;
	struct arena a, b;

	arena_totals(&before, &before_peak);
	arena_init(&a, 1 << 16);
	arena_init(&b, 1 << 16);
	ck_assert_ptr_nonnull(arena_alloc(&a, 1 << 20));
	ck_assert_ptr_nonnull(arena_alloc(&b, 1));
	arena_totals(&now, &peak);
	ck_assert_uint_eq(now - before,
	                  arena_allocated(&a) + arena_allocated(&b));
	ck_assert_uint_ge(peak, now);
	arena_release(&a);
	arena_release(&b);
	before_peak = peak;
	arena_totals(&now, &peak);
	ck_assert_uint_eq(now, before);
	ck_assert_uint_eq(peak, before_peak);
}
END_TEST

START_TEST(a_failed_allocation_changes_nothing)
{
	static const size_t sizes[] = {16, 1 << 20};
	struct arena arena;

	arena_init(&arena, 1 << 16);
	for (size_t i = 0; i < 2; i++) {
		size_t before = arena_allocated(&arena);
		void *got;

		alloc_fault_arm(1);
		got = arena_alloc(&arena, sizes[i]);
		ck_assert(alloc_fault_disarm());
		ck_assert_ptr_null(got);
		ck_assert_uint_eq(arena_allocated(&arena), before);
		ck_assert_ptr_nonnull(arena_alloc(&arena, sizes[i]));
	}
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 16));
	arena_release(&arena);
}
END_TEST

enum { THREADS = 4, THREAD_ROUNDS = 200, THREAD_BYTES = 50000 };

static void fill_and_release(void *ctx)
{
	struct arena *arena = ctx;

	for (int round = 0; round < THREAD_ROUNDS; round++) {
		for (int i = 0; i < 100; i++)
			(void)arena_alloc(arena, 100);
		(void)arena_alloc(arena, THREAD_BYTES);
		arena_release(arena);
	}
}

START_TEST(totals_are_right_after_many_threads)
{
	struct sync_thread threads[THREADS];
	struct arena arenas[THREADS];
	uint64_t now, peak;

	for (int i = 0; i < THREADS; i++) {
		arena_init(&arenas[i], 1 << 15);
		ck_assert_int_eq(sync_thread_start(&threads[i], "arena",
		                                   fill_and_release,
		                                   &arenas[i]),
		                 LSM_OK);
	}
	/* The figure may be read from outside at any time. */
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_le(arena_allocated(&arenas[i % THREADS]),
		                  4096 + 8192 + THREAD_BYTES + HEADER_BYTES);
	for (int i = 0; i < THREADS; i++)
		sync_thread_join(&threads[i]);
	arena_totals(&now, &peak);
	ck_assert_uint_eq(now, 0);
	ck_assert_uint_ge(peak, 4096 + 8192 + THREAD_BYTES + HEADER_BYTES);
	ck_assert_uint_le(
	    peak,
	    THREADS * (uint64_t)(4096 + 8192 + THREAD_BYTES + HEADER_BYTES));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("arena");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, an_arena_takes_memory_only_when_asked);
	tcase_add_test(tc, blocks_double_up_to_the_largest);
	tcase_add_test(tc, a_large_allocation_gets_exactly_its_own_block);
	tcase_add_test(tc, allocations_are_aligned_and_do_not_overlap);
	tcase_add_test(tc, no_sequence_grows_beyond_its_bound);
	tcase_add_test(tc, long_runs_stay_below_their_bound);
	tcase_add_test(tc,
	               the_bound_is_little_more_than_four_thirds_and_one_block);
	tcase_add_test(tc, a_bound_that_does_not_fit_is_the_largest_number);
	tcase_add_test(tc, totals_follow_all_arenas_and_the_peak_stays);
	tcase_add_test(tc, a_failed_allocation_changes_nothing);
	tcase_add_test(tc, totals_are_right_after_many_threads);
	suite_add_tcase(suite, tc);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
