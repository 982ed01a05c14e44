/* SPDX-License-Identifier: MIT */
/*
 * budget.h: `kvbench budget`: what bounding unflushed bytes costs.
 */
#ifndef TESTS_BENCH_BUDGET_H
#define TESTS_BENCH_BUDGET_H

/* Run it; the exit status: 1 when a promise was broken. */
int budget_main(int argc, char **argv);

#endif
