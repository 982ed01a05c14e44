/* SPDX-License-Identifier: MIT */
#include "compact/pace.h"

#include <assert.h>

#define NS_PER_S 1e9

enum { AVERAGE_SHARE = 4 };

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

uint64_t pace_average(uint64_t rate, uint64_t bytes, uint64_t ns)
{
	double fresh = (double)bytes * NS_PER_S / (double)(ns > 0 ? ns : 1);

	if (rate == 0)
		return (uint64_t)fresh;
	return (uint64_t)((double)rate +
	                  (fresh - (double)rate) / AVERAGE_SHARE);
}

uint64_t pace_rate(uint64_t drain, unsigned pressure)
{
	double rate = drain > 0 ? (double)drain : (double)PACE_RATE_FIRST;

	assert(pressure <= PACE_PRESSURE_MAX);
	rate = rate * (PACE_FULL - pressure) / PACE_FULL;
	return rate > PACE_RATE_LEAST ? (uint64_t)rate
	                              : (uint64_t)PACE_RATE_LEAST;
}

uint64_t pace_wait(uint64_t *clock_ns, uint64_t now_ns, uint64_t bytes,
                   uint64_t rate)
{
	double takes = (double)bytes * NS_PER_S / (double)rate;
	uint64_t start = *clock_ns > now_ns ? *clock_ns : now_ns;
	uint64_t most = now_ns + PACE_DELAY_MAX_NS;
	uint64_t wait = start - now_ns;

	if (wait > PACE_DELAY_MAX_NS)
		wait = PACE_DELAY_MAX_NS;
	*clock_ns =
	    takes < (double)PACE_DELAY_MAX_NS ? start + (uint64_t)takes : most;
	if (*clock_ns > most)
		*clock_ns = most;
	return wait;
}
