/* SPDX-License-Identifier: MIT */
/*
 * pace.h: how fast writers may go while compaction is behind: one continuous
 * slow-down before any stop (STUDY section B.4).
 *
 * Between a slow line and a stop line, of the depth of L0 and of the debt of
 * the levels, pressure rises evenly from 0 to PACE_PRESSURE_MAX of PACE_FULL;
 * the worse of the two counts. Writers together get that much less than what
 * flushes and compactions were seen to write. So they settle where the two are
 * equal, somewhere between the lines, and each waits a little, instead of all
 * of them waiting long when a stop is met.
 *
 * Everything here is a function of its arguments: no clock, no lock.
 */
#ifndef LSM_COMPACT_PACE_H
#define LSM_COMPACT_PACE_H

#include "compact/debt.h"

enum {
	PACE_FULL = 1000,
	PACE_PRESSURE_MAX = 950,
	PACE_DELAY_MAX_NS = 20000000, /* of one admission */
	PACE_RATE_FIRST = 32 << 20,   /* bytes a second, before any was seen */
	PACE_RATE_LEAST = 1 << 20,    /* what writers get at least */
};

struct pace_lines {
	uint32_t depth_slow, depth_stop; /* slow < stop */
	uint64_t debt_slow, debt_stop;
};

/* 0 up to the slow lines, PACE_PRESSURE_MAX from a stop line on. */
unsigned pace_pressure(const struct debt *debt, const struct pace_lines *lines);

/* The average of a rate, after a job that wrote `bytes` in `ns`: a quarter of
   what is new; 0 is a rate not known yet. */
uint64_t pace_average(uint64_t rate, uint64_t bytes, uint64_t ns);

/* What writers get of `drain` bytes a second (0: not known yet). */
uint64_t pace_rate(uint64_t drain, unsigned pressure);

/*
 * Let `bytes` go at `rate`: returns for how long to wait first, at most
 * PACE_DELAY_MAX_NS. *clock_ns is until when the rate is used up by those who
 * came before; it is moved on, and never further ahead than one such wait.
 */
uint64_t pace_wait(uint64_t *clock_ns, uint64_t now_ns, uint64_t bytes,
                   uint64_t rate);

#endif
