/* SPDX-License-Identifier: MIT */
#include "tests/bench/median.h"

#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(values[0]), by_size);
	if (count % 2 == 0)
		return (values[count / 2 - 1] + values[count / 2]) / 2;
	return values[count / 2];
}
