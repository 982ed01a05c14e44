/* SPDX-License-Identifier: MIT */
/*
 * compaction.h: `kvbench compaction`: what a manual compaction costs a writer.
 */
#ifndef TESTS_BENCH_COMPACTION_H
#define TESTS_BENCH_COMPACTION_H

/* Run it; the exit status. */
int compaction_main(int argc, char **argv);

#endif
