/* SPDX-License-Identifier: MIT */
/*
 * alloc_fault.h: makes one allocation fail. The program is linked with
 * -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc, which catches every call made
 * from its own objects and static libraries (Check among them: do not assert
 * while armed), but not what the C library does within itself.
 *
 * A sweep over every allocation of an operation:
 *
 *     for (nth = 1;; nth++) {
 *             alloc_fault_arm(nth);
 *             err = operation();
 *             if (!alloc_fault_disarm())
 *                     break;      (fewer than nth: all were tried)
 *             check that err is NOMEM and nothing leaked or changed
 *     }
 *
 * Threads: any; allocations of all threads count.
 */
#ifndef TESTS_SUPPORT_ALLOC_FAULT_H
#define TESTS_SUPPORT_ALLOC_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Fail the `nth` allocation from now, counted from 1, and no other. */
void alloc_fault_arm(uint64_t nth);

/* Back to normal. Whether an allocation was made to fail. */
bool alloc_fault_disarm(void);

#endif
