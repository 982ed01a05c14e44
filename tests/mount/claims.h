/* SPDX-License-Identifier: MIT */
/*
 * claims.h: a program that makes claims about the filesystem of a folder.
 *
 * Each claim is a function that runs in a new folder of its own, as working
 * folder. EXPECT() ends it where something is not so. The others still run.
 */
#ifndef TESTS_MOUNT_CLAIMS_H
#define TESTS_MOUNT_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct claim {
	const char *name;
	void (*run)(void);
};

#define CLAIM(function)                                                        \
	{                                                                      \
#function, function                                            \
	}

#define EXPECT(condition)                                                      \
	do {                                                                   \
		if (!(condition)) {                                            \
			claim_failed(__FILE__, __LINE__, #condition);          \
			return;                                                \
		}                                                              \
	} while (0)

/* The call fails with that errno. */
#define EXPECT_ERRNO(call, error) EXPECT((call) < 0 && errno == (error))

/* In helpers, which return false then. */
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			claim_failed(__FILE__, __LINE__, #condition);          \
			return false;                                          \
		}                                                              \
	} while (0)

void claim_failed(const char *file, int line, const char *condition);

/* Called after each claim, whether it holds or not; NULL: nothing. */
extern void (*claims_after)(void);

/* What main() does: run all of them in argv[1], or those that are named after
   it. Returns the exit code. */
int claims_run(const struct claim *claims, size_t count, int argc, char **argv);

/* A file with `len` bytes that depend on `salt`. */
bool make_file(const char *name, size_t len, unsigned salt);
/* Whether it holds exactly what make_file() gave it. */
bool same_file(const char *name, size_t len, unsigned salt);
void fill_bytes(uint8_t *bytes, size_t len, uint64_t offset, unsigned salt);
/* Whether it is there, itself and not what a link points to. */
bool exists(const char *name);
/* -1: it cannot be asked. */
off_t size_of(const char *name);

#endif
