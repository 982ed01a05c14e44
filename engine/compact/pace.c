/* SPDX-License-Identifier: MIT */
#include "compact/pace.h"

#include <assert.h>

#define NS_PER_S 1e9

enum {
	AVERAGE_SHARE = 4,
	SHARE_FIRST = PACE_FULL + PACE_FULL / 4, /* at the slow line */
	KNEE = PACE_FULL / 4 * 3,                /* a pressure */
};

/* From 0 at `slow` to PACE_PRESSURE_MAX at `stop`. */
static unsigned between(uint64_t value, uint64_t slow, uint64_t stop)
{
	assert(slow < stop);
	if (value <= slow)
		return 0;
	if (value >= stop)
		return PACE_PRESSURE_MAX;
	return (unsigned)((double)(value - slow) / (double)(stop - slow) *
	                  PACE_PRESSURE_MAX);
}

unsigned pace_pressure(const struct debt *debt, const struct pace_lines *lines)
{
	unsigned depth =
	    between(debt->depth, lines->depth_slow, lines->depth_stop);
	unsigned bytes =
	    between(debt->bytes, lines->debt_slow, lines->debt_stop);

	return depth > bytes ? depth : bytes;
}

/* The average of a figure: a quarter of what is new. 0: none is known yet. */
static uint64_t average(uint64_t before, double fresh)
{
	if (before == 0)
		return (uint64_t)fresh;
	return (uint64_t)((double)before +
	                  (fresh - (double)before) / AVERAGE_SHARE);
}

void pace_flushed(struct pace_flow *flow, uint64_t bytes)
{
	flow->table_bytes = average(flow->table_bytes, (double)bytes);
}

/* A job has taken `tables` since the last stroke. */
static void stroke(struct pace_flow *flow, uint32_t tables, uint64_t now_ns)
{
	double bytes = (double)tables * (double)flow->table_bytes;

	if (flow->since_ns != 0 && now_ns > flow->since_ns &&
	    flow->table_bytes > 0)
		flow->drain_rate = average(
		    flow->drain_rate,
		    bytes * NS_PER_S / (double)(now_ns - flow->since_ns));
	flow->held = flow->depth;
	flow->since_ns = now_ns;
}

void pace_changed(struct pace_flow *flow, uint32_t depth, bool due,
                  uint64_t now_ns)
{
	if (depth < flow->depth)
		stroke(flow, flow->depth - depth, now_ns);
	flow->depth = depth;
	if (!due) {
		flow->held = 0;
		flow->since_ns = 0;
	} else if (flow->since_ns == 0) {
		flow->since_ns = now_ns;
	}
}

uint32_t pace_depth(const struct pace_flow *flow)
{
	return flow->held > flow->depth ? flow->held : flow->depth;
}

/* Of PACE_FULL: gentle where it is to settle, for L0 answers late, a stroke
   after the next; steep towards the stop line. */
static double share_of(unsigned pressure)
{
	const double low = SHARE_FIRST - KNEE / 2.0; /* at the knee */

	if (pressure <= KNEE)
		return SHARE_FIRST - pressure / 2.0;
	return low * (PACE_FULL - pressure) / (PACE_FULL - KNEE);
}

uint64_t pace_rate(uint64_t drain, unsigned pressure)
{
	double rate = drain > 0 ? (double)drain : (double)PACE_RATE_FIRST;

	assert(pressure <= PACE_PRESSURE_MAX);
	rate = rate * share_of(pressure) / PACE_FULL;
	return rate > PACE_RATE_LEAST ? (uint64_t)rate
	                              : (uint64_t)PACE_RATE_LEAST;
}

bool pace_must_wait(uint64_t clock_ns, uint64_t now_ns)
{
	return clock_ns > now_ns && clock_ns - now_ns >= PACE_DELAY_MIN_NS;
}

uint64_t pace_wait(uint64_t *clock_ns, uint64_t now_ns, uint64_t bytes,
                   uint64_t rate)
{
	double takes = (double)bytes * NS_PER_S / (double)rate;
	uint64_t most = now_ns + PACE_DELAY_MAX_NS, wait = 0;
	uint64_t start = *clock_ns;

	if (start + PACE_LAG_MAX_NS < now_ns)
		start = now_ns - PACE_LAG_MAX_NS;
	if (pace_must_wait(start, now_ns))
		wait = start < most ? start - now_ns : PACE_DELAY_MAX_NS;
	*clock_ns =
	    takes < (double)PACE_DELAY_MAX_NS ? start + (uint64_t)takes : most;
	if (*clock_ns > most)
		*clock_ns = most;
	return wait;
}
