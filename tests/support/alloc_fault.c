/* SPDX-License-Identifier: MIT */
#include "tests/support/alloc_fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* Allocations until the one that fails, itself included; 0 when off. */
static _Atomic uint64_t countdown;
static atomic_bool fired;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void alloc_fault_arm(uint64_t nth)
{
	atomic_store(&fired, false);
	atomic_store(&countdown, nth);
}

bool alloc_fault_disarm(void)
{
	atomic_store(&countdown, 0);
	return atomic_load(&fired);
}

static bool must_fail(void)
{
	uint64_t left = atomic_load(&countdown);

	do {
		if (left == 0)
			return false;
	} while (!atomic_compare_exchange_weak(&countdown, &left, left - 1));
	if (left > 1)
		return false;
	atomic_store(&fired, true);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return must_fail() ? NULL : __real_realloc(old, size);
}
