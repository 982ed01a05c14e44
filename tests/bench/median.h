/* SPDX-License-Identifier: MIT */
/* median.h: the middle of several measurements. */
#ifndef TESTS_BENCH_MEDIAN_H
#define TESTS_BENCH_MEDIAN_H

/* Sorts them. `count` is at least 1; of an even number the mean of the two in the
   middle. */
double median(double *values, unsigned count);

#endif
