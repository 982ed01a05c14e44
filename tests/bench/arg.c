/* SPDX-License-Identifier: MIT */
#include "tests/bench/arg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void arg_mistake(const char *text, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, text,
	        why);
	exit(2);
}

int64_t arg_bytes(const char *text)
{
	char *end;
	long long n;
	unsigned shift = 0;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (*end == 'K')
		shift = 10;
	else if (*end == 'M')
		shift = 20;
	else if (*end == 'G')
		shift = 30;
	if (shift > 0)
		end++;
	if (errno != 0 || end == text || *end != '\0' ||
	    n > INT64_MAX >> shift || n < INT64_MIN >> shift)
		arg_mistake(text, "not a size");
	return n * (INT64_C(1) << shift);
}

uint32_t arg_count(const char *text, uint32_t most)
{
	int64_t n = arg_bytes(text);

	if (n < 1 || n > most)
		arg_mistake(text, "out of range");
	return (uint32_t)n;
}

double arg_fraction(const char *text, double most)
{
	char *end;
	double value;

	errno = 0;
	value = strtod(text, &end);
	if (errno != 0 || end == text || *end != '\0' || !(value > 0) ||
	    value > most)
		arg_mistake(text, "out of range");
	return value;
}

uint64_t arg_size(const char *text)
{
	int64_t n = arg_bytes(text);

	if (n < 1)
		arg_mistake(text, "out of range");
	return (uint64_t)n;
}

void arg_names(char *text, const char **names)
{
	unsigned count = 0;

	for (char *name = strtok(text, ","); name != NULL;
	     name = strtok(NULL, ",")) {
		if (count == ARG_NAMES_MAX)
			arg_mistake(name, "too many names");
		names[count++] = name;
	}
	if (count == 0)
		arg_mistake(text, "no name");
}

bool arg_name_matches(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len > 0 && pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

bool arg_named(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (arg_name_matches(*names, name))
			return true;
	return false;
}
