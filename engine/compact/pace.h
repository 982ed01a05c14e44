/* SPDX-License-Identifier: MIT */
/*
 * pace.h: how fast writers may go while compaction is behind: one continuous
 * slow-down before any stop (STUDY section B.4).
 *
 * Between a slow line and a stop line, of the depth of L0 and of the debt of
 * the levels, pressure rises evenly from 0 to PACE_PRESSURE_MAX of PACE_FULL;
 * the worse of the two counts. Writers together get what L0 was lately seen to
 * give up to the levels, a quarter more at the slow line, an eighth less at
 * three quarters of the way, and a sixth of it at the stop line. So they
 * settle between the lines, and each waits a little, instead of all of them
 * waiting long when a stop is met.
 *
 * L0 is emptied in strokes: a job takes what there is, and the depth falls by
 * that much at once. A rule that followed it would let writers loose after each
 * job, and then hold them back the harder. So the depth that counts is the one
 * that the last stroke met, for as long as L0 is at work.
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
	PACE_DELAY_MIN_NS = 150000,   /* less is left to those who follow */
	PACE_LAG_MAX_NS = 1000000,    /* of the clock, behind the time */
	PACE_RATE_FIRST = 32 << 20,   /* bytes a second, before any was seen */
	PACE_RATE_LEAST = 1 << 20,    /* what writers get at least */
};

struct pace_lines {
	uint32_t depth_slow, depth_stop; /* slow < stop */
	uint64_t debt_slow, debt_stop;
};

/* 0 up to the slow lines, PACE_PRESSURE_MAX from a stop line on. */
unsigned pace_pressure(const struct debt *debt, const struct pace_lines *lines);

/* What comes to L0 and leaves it. Zero at first. Bytes are of memtables. */
struct pace_flow {
	uint32_t depth;       /* now */
	uint32_t held;        /* what the last stroke met; 0: not at work */
	uint64_t table_bytes; /* of one table, lately; 0: unknown */
	uint64_t drain_rate;  /* bytes a second that leave it; 0: unknown */
	uint64_t since_ns;    /* the last stroke; 0: not at work */
};

/* A memtable of so many bytes became a table of L0. */
void pace_flushed(struct pace_flow *flow, uint64_t bytes);

/* L0 now has this depth, and is due for compaction or not. */
void pace_changed(struct pace_flow *flow, uint32_t depth, bool due,
                  uint64_t now_ns);

/* The depth that counts. */
uint32_t pace_depth(const struct pace_flow *flow);

/* What writers get of `drain` bytes a second (0: not known yet). */
uint64_t pace_rate(uint64_t drain, unsigned pressure);

/*
 * Let `bytes` go at `rate`: returns for how long to wait first, 0 or between
 * PACE_DELAY_MIN_NS and PACE_DELAY_MAX_NS. *clock_ns is until when the rate is
 * used up by those who came before; it is moved on, and never further ahead than
 * the longest wait. It lags behind the time by PACE_LAG_MAX_NS at most: so much
 * that a sleeper overslept is made up for, and more is not.
 */
uint64_t pace_wait(uint64_t *clock_ns, uint64_t now_ns, uint64_t bytes,
                   uint64_t rate);

/* Whether who comes now has to wait. */
bool pace_must_wait(uint64_t clock_ns, uint64_t now_ns);

#endif
