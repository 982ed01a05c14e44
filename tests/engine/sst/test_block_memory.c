/* SPDX-License-Identifier: MIT */
#include "sst/block_memory.h"

#include <check.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/sync.h"
#include "tests/engine/sst/sst_kit.h"
#include "tests/support/alloc_fault.h"
#include "tests/support/gen.h"

enum { BLOCK = 4200, THREADS = 4, ROUNDS = 20000, HELD = 5 };

START_TEST(what_was_given_back_is_taken_again)
{
	void *first = block_memory_take(BLOCK);
	void *second = block_memory_take(BLOCK);

	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_nonnull(second);
	ck_assert_ptr_ne(first, second);
	memset(first, 1, BLOCK);
	block_memory_give(first);
	/* A little less does as well. */
	ck_assert_ptr_eq(block_memory_take(BLOCK - 100), first);
	memset(first, 2, BLOCK);
	block_memory_give(first);
	block_memory_give(second);
	ck_assert_ptr_eq(block_memory_take(BLOCK), second);
	block_memory_give(second);
	block_memory_give(NULL);
}
END_TEST

START_TEST(what_is_too_small_or_too_large_is_not)
{
	static const size_t sizes[] = {100,   1000, 2000, 4000,  BLOCK,
	                               12000, 100,  8000, 20000, 4000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *memory = block_memory_take(sizes[i]);
		size_t size = block_memory_size(memory);

		ck_assert_uint_eq((uintptr_t)memory % _Alignof(max_align_t), 0);
		ck_assert_uint_ge(size, sizes[i]);
		/* Nobody pays for much that he did not ask for. */
		ck_assert_uint_le(size, sizes[i] + sizes[i] / 6 + 160);
		memset(memory, 0xa5, sizes[i]);
		block_memory_give(memory);
	}
	ck_assert_ptr_null(block_memory_take(SIZE_MAX));
}
END_TEST

START_TEST(without_memory_there_is_none)
{
	void *memory = block_memory_take(BLOCK), *other;

	block_memory_give(memory);
	alloc_fault_arm(1);
	memory = block_memory_take(BLOCK); /* which was kept */
	other = block_memory_take(BLOCK);
	ck_assert(alloc_fault_disarm());
	ck_assert_ptr_nonnull(memory);
	ck_assert_ptr_null(other);
	block_memory_give(memory);
}
END_TEST

struct taker {
	struct sync_thread thread;
	uint64_t seed;
	bool wrong;
};

/* Take, fill, look whether it stayed so, give back in another order. */
static void take_and_give(void *ctx)
{
	struct taker *taker = ctx;
	uint8_t *held[HELD] = {NULL};
	size_t bytes[HELD] = {0};
	struct gen gen;

	gen_init(&gen, taker->seed);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned at = (unsigned)gen_below(&gen, HELD);
		uint8_t mark = (uint8_t)(taker->seed + at);

		if (held[at] != NULL &&
		    (held[at][0] != mark || held[at][bytes[at] - 1] != mark))
			taker->wrong = true;
		block_memory_give(held[at]);
		bytes[at] = 4000 + gen_below(&gen, 600);
		held[at] = block_memory_take(bytes[at]);
		if (held[at] == NULL) {
			taker->wrong = true;
			break;
		}
		memset(held[at], mark, bytes[at]);
	}
	for (unsigned at = 0; at < HELD; at++)
		block_memory_give(held[at]);
}

START_TEST(threads_never_have_the_same)
{
	struct taker takers[THREADS * BLOCK_MEMORY_SLOTS];
	unsigned count = THREADS * BLOCK_MEMORY_SLOTS;

	/* Those that share a slot run together. */
	for (unsigned i = 0; i < count; i++) {
		takers[i] = (struct taker){.seed = i * HELD};
		ck_assert_int_eq(sync_thread_start(&takers[i].thread, "taker",
		                                   take_and_give, &takers[i]),
		                 LSM_OK);
	}
	for (unsigned i = 0; i < count; i++) {
		sync_thread_join(&takers[i].thread);
		ck_assert(!takers[i].wrong);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("block_memory");
	TCase *tc = tcase_create("memory");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_was_given_back_is_taken_again);
	tcase_add_test(tc, what_is_too_small_or_too_large_is_not);
	tcase_add_test(tc, without_memory_there_is_none);
	tcase_add_test(tc, threads_never_have_the_same);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
