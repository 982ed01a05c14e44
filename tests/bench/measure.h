/* SPDX-License-Identifier: MIT */
/*
 * measure.h: what a process used, by what the kernel counts, and how to forget
 * what it has cached.
 */
#ifndef TESTS_BENCH_MEASURE_H
#define TESTS_BENCH_MEASURE_H

#include "lsm.h"

struct measure_io {
	uint64_t read_bytes, write_bytes; /* of the disk, by this process */
};

/* Errors of all: IO, after it was printed. */
LSM_MUST_CHECK enum lsm_err measure_io(struct measure_io *io);

/* Processor time of all threads so far, in the kernel too. */
double measure_cpu_s(void);

/* The most memory that was resident since measure_reset_peak(), or since the
   start where the kernel cannot reset it. */
LSM_MUST_CHECK enum lsm_err measure_peak(uint64_t *bytes_out);
void measure_reset_peak(void);

/* What the files below `path` take of the disk. */
LSM_MUST_CHECK enum lsm_err measure_space(const char *path,
                                          uint64_t *bytes_out);

/* Have the kernel forget what it caches of the files below `path`; root: of all
   files. */
LSM_MUST_CHECK enum lsm_err measure_drop_cache(const char *path);

#endif
