/* SPDX-License-Identifier: MIT */
/*
 * arg.h: what the command lines of the benches have in common.
 *
 * Every function but the questions exits with 2, and says why, where the text
 * is not what it should be.
 */
#ifndef TESTS_BENCH_ARG_H
#define TESTS_BENCH_ARG_H

#include <stdbool.h>
#include <stdint.h>

enum { ARG_NAMES_MAX = 64 };

void arg_mistake(const char *text, const char *why) __attribute__((noreturn));

/* "12", "4K", "3M", "1G" as bytes; "-1" too. */
int64_t arg_bytes(const char *text);
/* The same, of at least 1. */
uint64_t arg_size(const char *text);
/* From 1 to `most`. */
uint32_t arg_count(const char *text, uint32_t most);
/* More than 0, up to `most`. */
double arg_fraction(const char *text, double most);

/* Names between commas, of which there are 1 to ARG_NAMES_MAX. They lie in
   `text`; NULL follows the last. */
void arg_names(char *text, const char **names);
/* `pattern` is the name, or its beginning and a `*`. */
bool arg_name_matches(const char *pattern, const char *name);
/* Whether one of `names`, which NULL ends, matches. */
bool arg_named(const char *const *names, const char *name);

#endif
